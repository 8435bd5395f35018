/* For behaviour.c: the simulated device with events that are created, pooled and reused. */
#include "sim/hooks_pooled.h"

#include "sim/device.h"

typedef sim_event device_event_t;
#define device_event(d, stream) sim_own_event(d, stream)
#define device_event_end(d, event) sim_own_event_end(d, event)
