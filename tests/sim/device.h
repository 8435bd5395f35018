/* device.h - the simulated device as a device of tests/backends/behaviour.c, which says what each
   function must do. The mode is the including header's. */

#ifndef TESTS_SIM_DEVICE_H
#define TESTS_SIM_DEVICE_H

#include "sim.h"

#define DEVICE_SIMULATED /* memory is addresses alone, so sizes are unbounded; and the device is a
                            referee */
#define DEVICE_STREAMS SIM_STREAMS
#define DEVICE_BLOCKS 100000

typedef sim_device device_t;
typedef sim_stream device_stream_t;

static inline void device_open(device_t *d) {
  sim_open(d);
  d->reuses_addresses = true; /* the hardest device to serve */
  d->waits_complete = true;
}

static inline uint64_t device_close(device_t *d) { return sim_close(d, 0, 0); }

static inline sim_device *device_ctx(device_t *d) { return d; }

static inline device_stream_t device_stream(device_t *d, int i) {
  (void)d;
  return i;
}

static inline device_stream_t device_renew(device_t *d, int i) {
  sim_stream_destroy(d, i);
  sim_stream_create(d, i);
  return i;
}

static inline void device_submit(device_t *d, device_stream_t stream) {
  (void)sim_submit(d, stream);
}

static inline void device_use(device_t *d, device_stream_t stream, const void *ptr) {
  (void)sim_use(d, stream, ptr);
}

static inline void device_complete(device_t *d, device_stream_t stream, int64_t units) {
  sim_complete(d, stream, units);
}

static inline void device_complete_all(device_t *d) { sim_complete_all(d); }

static inline void device_handed_out(device_t *d, const void *ptr, size_t size) {
  sim_handed_out(d, ptr, size);
}

static inline void device_handed_back(device_t *d, const void *ptr) { sim_handed_back(d, ptr); }

static inline uint64_t device_mem_live(device_t *d) { return sim_live_bytes(d); }

#endif
