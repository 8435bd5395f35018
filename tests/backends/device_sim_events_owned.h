/* For behaviour.c: the simulated device with events that recording makes, and that are destroyed
   once complete. */
#include "sim/hooks_owned.h"

#include "sim/device.h"

typedef sim_event device_event_t;
#define device_event(d, stream) sim_own_event(d, stream)
#define device_event_end(d, event) sim_own_event_end(d, event)
