/* For behaviour.c: the simulated device with a counter for each stream. The hooks that wait are
   there too. */
#include "sim/hooks_timeline.h"

#include "sim/hooks_waits.h"

#include "sim/device.h"

#define DEVICE_TIMELINE

/* The value that the stream will have reached when all work so far is done. */
static inline uint64_t device_value(device_t *d, device_stream_t stream) {
  uint64_t value;
  sim_lock(d);
  value = d->lanes[d->lane_of[stream]].submitted;
  sim_unlock(d);
  return value;
}
