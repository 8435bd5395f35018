/* For behaviour.c: the CPU backend with event objects. */
#define HC_CPU_EVENTS
#define HOSTCACHE_CPU_IMPLEMENTATION
#include "backends/hostcache_cpu.h"

#include "cpu_device.h"

typedef hostcache_cpu_event *device_event_t;

static inline device_event_t device_event(device_t *d, device_stream_t stream) {
  hostcache_cpu_event *event;
  cpu_must(hostcache_cpu_event_create(d->cpu, &event));
  cpu_must(hostcache_cpu_event_record(event, stream));
  return event;
}

static inline void device_event_end(device_t *d, device_event_t event) {
  (void)d;
  cpu_must(hostcache_cpu_event_destroy(event));
}
