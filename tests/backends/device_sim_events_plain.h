/* For behaviour.c: the simulated device with events that are plain values. */
#include "sim/hooks_plain.h"

#include "sim/device.h"

typedef sim_point device_event_t;
#define device_event(d, stream) sim_own_point(d, stream)
#define device_event_end(d, event) ((void)(d), (void)(event))
