/* For the driver's own test: an error, and no comment that expects one. */
#error "the first"
