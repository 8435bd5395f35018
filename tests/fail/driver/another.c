/* For the driver's own test: as many errors as the comment expects, but not that one. */
/* expect 1: the first */
#error "the second"
