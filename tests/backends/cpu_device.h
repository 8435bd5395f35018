/* cpu_device.h - the CPU backend as a device of tests/backends/behaviour.c, which says what each
   function must do. The mode is the including header's.

   A unit of work is a host function that blocks at a gate, which device_complete opens. */

#ifndef TESTS_CPU_DEVICE_H
#define TESTS_CPU_DEVICE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICE_STREAMS 128
#define DEVICE_BLOCKS 7000 /* each completion is a round trip between threads */

typedef hostcache_cpu_stream *device_stream_t;

/* All counts are of units of work, since the stream was made. LOCK: lock */
typedef struct cpu_gate {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  hostcache_cpu_stream *stream; /* NULL until it is used */
  uint64_t submitted, entered, opened;
} cpu_gate;

typedef struct device_t {
  hostcache_cpu *cpu;
  cpu_gate gates[DEVICE_STREAMS];
} device_t;

static inline void cpu_must(hostcache_cpu_result result) {
  if (result == HOSTCACHE_CPU_OK) return;
  fprintf(stderr, "cpu device: %s\n", hostcache_cpu_result_string(result));
  abort();
}

static inline void device_open(device_t *d) {
  int i;
  memset(d, 0, sizeof *d);
  cpu_must(hostcache_cpu_open(&d->cpu, NULL));
  for (i = 0; i < DEVICE_STREAMS; i++) {
    pthread_mutex_init(&d->gates[i].lock, NULL);
    pthread_cond_init(&d->gates[i].changed, NULL);
  }
}

static inline hostcache_cpu *device_ctx(device_t *d) { return d->cpu; }

static inline device_stream_t device_stream(device_t *d, int i) {
  cpu_gate *gate = &d->gates[i];
  hostcache_cpu_stream *stream;
  pthread_mutex_lock(&gate->lock);
  if (gate->stream == NULL) cpu_must(hostcache_cpu_stream_create(d->cpu, &gate->stream));
  stream = gate->stream;
  pthread_mutex_unlock(&gate->lock);
  return stream;
}

static inline cpu_gate *cpu_gate_of(device_t *d, device_stream_t stream) {
  int i;
  for (i = 0; i < DEVICE_STREAMS; i++) {
    hostcache_cpu_stream *here;
    pthread_mutex_lock(&d->gates[i].lock);
    here = d->gates[i].stream;
    pthread_mutex_unlock(&d->gates[i].lock);
    if (here == stream) return &d->gates[i];
  }
  abort();
}

static inline void cpu_unit(void *argument) {
  cpu_gate *gate = (cpu_gate *)argument;
  uint64_t number;
  pthread_mutex_lock(&gate->lock);
  number = ++gate->entered;
  pthread_cond_broadcast(&gate->changed);
  while (gate->opened < number) pthread_cond_wait(&gate->changed, &gate->lock);
  pthread_mutex_unlock(&gate->lock);
}

static inline void device_submit(device_t *d, device_stream_t stream) {
  cpu_gate *gate = cpu_gate_of(d, stream);
  pthread_mutex_lock(&gate->lock);
  gate->submitted++;
  cpu_must(hostcache_cpu_host(stream, cpu_unit, gate));
  pthread_mutex_unlock(&gate->lock);
}

static inline void device_use(device_t *d, device_stream_t stream, const void *ptr) {
  (void)ptr;
  device_submit(d, stream);
}

/* Opens the gate for so many units, then waits until the stream has done all that comes before the
   next unit, the markers of events too. */
static inline void cpu_gate_open(cpu_gate *gate, int64_t units) {
  uint64_t rest, target;
  pthread_mutex_lock(&gate->lock);
  if (gate->stream != NULL) {
    rest = gate->submitted - gate->opened;
    target = gate->opened + (units < 0 || (uint64_t)units > rest ? rest : (uint64_t)units);
    gate->opened = target;
    pthread_cond_broadcast(&gate->changed);
    if (target < gate->submitted) {
      while (gate->entered <= target) pthread_cond_wait(&gate->changed, &gate->lock);
    } else {
      /* No unit is closed, and none can be submitted before the lock is let go: what is in the
         stream now ends. */
      hostcache_cpu_stream *stream = gate->stream;
      uint64_t last = hostcache_cpu_submitted(stream);
      pthread_mutex_unlock(&gate->lock);
      cpu_must(hostcache_cpu_value_wait(stream, last));
      return;
    }
  }
  pthread_mutex_unlock(&gate->lock);
}

static inline void device_complete(device_t *d, device_stream_t stream, int64_t units) {
  cpu_gate_open(cpu_gate_of(d, stream), units);
}

static inline void device_complete_all(device_t *d) {
  int i;
  for (i = 0; i < DEVICE_STREAMS; i++) cpu_gate_open(&d->gates[i], -1);
}

/* Ends a stream, which takes the end of its work with it. */
static inline void cpu_gate_end(cpu_gate *gate) {
  hostcache_cpu_stream *stream = gate->stream;
  cpu_gate_open(gate, -1);
  cpu_must(hostcache_cpu_stream_destroy(stream));
  pthread_mutex_lock(&gate->lock);
  gate->stream = NULL;
  gate->submitted = gate->entered = gate->opened = 0;
  pthread_mutex_unlock(&gate->lock);
}

static inline device_stream_t device_renew(device_t *d, int i) {
  cpu_gate_end(&d->gates[i]);
  return device_stream(d, i);
}

static inline void device_handed_out(device_t *d, const void *ptr, size_t size) {
  (void)d;
  memset((void *)(uintptr_t)ptr, 0x5a, size); /* all of it must be there */
}

static inline void device_handed_back(device_t *d, const void *ptr) {
  (void)d;
  (void)ptr;
}

static inline uint64_t device_mem_live(device_t *d) {
  hostcache_cpu_figures figures;
  cpu_must(hostcache_cpu_get_figures(d->cpu, &figures));
  return figures.locked_bytes + figures.unlocked_bytes;
}

static inline uint64_t device_close(device_t *d) {
  int i;
  for (i = 0; i < DEVICE_STREAMS; i++) {
    if (d->gates[i].stream != NULL) cpu_gate_end(&d->gates[i]);
    pthread_mutex_destroy(&d->gates[i].lock);
    pthread_cond_destroy(&d->gates[i].changed);
  }
  /* Busy: events or memory are left. */
  return hostcache_cpu_close(d->cpu) == HOSTCACHE_CPU_OK ? 0 : 1;
}

#endif
