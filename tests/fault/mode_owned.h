/* For scenarios.c: recording makes an event, which is destroyed once it is complete. */
#include "sim/hooks_owned.h"

#define MODE_STREAMS
#define MODE_EVENT_T sim_event
#define MODE_OWN_EVENT(d, stream) sim_own_event(d, stream)
#define MODE_END_EVENT(d, event) sim_own_event_end(d, event)
