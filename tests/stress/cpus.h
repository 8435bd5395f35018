/* cpus.h - the CPU backend as a device of the stress tests: streams are its worker threads. */

#ifndef TESTS_STRESS_CPUS_H
#define TESTS_STRESS_CPUS_H

#include "payload.h"

typedef hostcache_cpu_stream *cpus_stream;

typedef struct cpus {
  hostcache_cpu *cpu;
} cpus;

static inline void cpus_must(hostcache_cpu_result result) {
  if (result == HOSTCACHE_CPU_OK) return;
  fprintf(stderr, "cpus: %s\n", hostcache_cpu_result_string(result));
  abort();
}

static inline void cpus_open(cpus *d) { cpus_must(hostcache_cpu_open(&d->cpu, NULL)); }

static inline hostcache_cpu *cpus_ctx(cpus *d) { return d->cpu; }

static inline cpus_stream cpus_stream_new(cpus *d, int handle) {
  cpus_stream stream;
  (void)handle;
  cpus_must(hostcache_cpu_stream_create(d->cpu, &stream));
  return stream;
}

static inline void cpus_stream_end(cpus *d, cpus_stream stream) {
  (void)d;
  cpus_must(hostcache_cpu_stream_destroy(stream));
}

/* Returns a value of the stream's counter that stands for this work, and may be for more. */
static inline uint64_t cpus_submit(cpus *d, cpus_stream stream, work *w) {
  (void)d;
  cpus_must(hostcache_cpu_host(stream, work_run, w));
  return hostcache_cpu_submitted(stream);
}

static inline hostcache_cpu_event *cpus_own_event(cpus *d, cpus_stream stream) {
  hostcache_cpu_event *event;
  cpus_must(hostcache_cpu_event_create(d->cpu, &event));
  cpus_must(hostcache_cpu_event_record(event, stream));
  return event;
}

/* What is left of memory or events keeps the runtime from being closed. */
static inline int64_t cpus_close(cpus *d) {
  return hostcache_cpu_close(d->cpu) == HOSTCACHE_CPU_OK ? 0 : 1;
}

#endif
