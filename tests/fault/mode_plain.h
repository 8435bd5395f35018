/* For scenarios.c: an event is a plain value; a stream can be made to wait for another one. */
#include "sim/hooks_plain.h"

#define SIM_ORDERED_AFTER
#include "sim/hooks_ordered.h"

#define MODE_ORDERED

#define MODE_STREAMS
#define MODE_EVENT_T sim_point
#define MODE_OWN_EVENT(d, stream) sim_own_point(d, stream)
#define MODE_END_EVENT(d, event) ((void)(d), (void)(event))
