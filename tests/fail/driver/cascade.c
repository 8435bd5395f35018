/* For the driver's own test: two errors where the comment expects one. */
/* expect 1: the first */
#error "the first"
#error "the second"
