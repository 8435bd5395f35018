/* For scenarios.c: no streams, but events that the caller hands over. */
#include "sim/hooks_requests.h"

#define MODE_EVENT_T sim_event
#define MODE_OWN_EVENT(d, stream) sim_own_event(d, stream)
#define MODE_END_EVENT(d, event) sim_own_event_end(d, event)
