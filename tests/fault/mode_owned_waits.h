/* For scenarios.c: recording makes an event, which is destroyed once it is complete; the hooks that
   wait are there. */
#include "sim/hooks_owned.h"

#include "sim/hooks_waits.h"

#define MODE_WAITS
#define MODE_STREAMS
#define MODE_EVENT_T sim_event
#define MODE_OWN_EVENT(d, stream) sim_own_event(d, stream)
#define MODE_END_EVENT(d, event) sim_own_event_end(d, event)
