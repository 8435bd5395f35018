/* For scenarios.c: events are created, pooled and reused; the hooks that wait are there;
   and blocks for the work of one stream. */
#include "sim/hooks_pooled.h"

#include "sim/hooks_waits.h"

#include "sim/hooks_ordered.h"

#define MODE_ORDERED

#define MODE_WAITS
#define MODE_STREAMS
#define MODE_EVENT_T sim_event
#define MODE_OWN_EVENT(d, stream) sim_own_event(d, stream)
#define MODE_END_EVENT(d, event) sim_own_event_end(d, event)
