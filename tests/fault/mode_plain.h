/* For scenarios.c: an event is a plain value. */
#include "sim/hooks_plain.h"

#define MODE_STREAMS
#define MODE_EVENT_T sim_point
#define MODE_OWN_EVENT(d, stream) sim_own_point(d, stream)
#define MODE_END_EVENT(d, event) ((void)(d), (void)(event))
