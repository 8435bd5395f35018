/* For behaviour.c: the CPU backend with the counters of its streams. */
#define HOSTCACHE_CPU_IMPLEMENTATION
#include "backends/hostcache_cpu.h"

#include "cpu_device.h"

#define DEVICE_TIMELINE

static inline uint64_t device_value(device_t *d, device_stream_t stream) {
  (void)d;
  return hostcache_cpu_submitted(stream);
}
