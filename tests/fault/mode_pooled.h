/* For scenarios.c: events are created, pooled and reused. */
#include "sim/hooks_captures.h"
#include "sim/hooks_pooled.h"

#define MODE_POOLS

#define MODE_STREAMS
#define MODE_EVENT_T sim_event
#define MODE_OWN_EVENT(d, stream) sim_own_event(d, stream)
#define MODE_END_EVENT(d, event) sim_own_event_end(d, event)
