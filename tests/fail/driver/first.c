/* For the driver's own test: what may only follow comes first. */
/* expect 1: the first */
/* then any: the second */
#error "the second"
#error "the first"
#error "the second"
