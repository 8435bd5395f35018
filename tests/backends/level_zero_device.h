/* level_zero_device.h - Level Zero as a device of tests/backends/behaviour.c, which says what each
   function must do. Included after the pack; LEVEL_ZERO_QUEUES says that streams are queues.

   A unit of work is a barrier that signals `entered`, one that waits for the event `gate`, which
   device_complete signals from the host, and perhaps a fill: nothing of it is beyond Level Zero, so
   this runs on any driver. Where the driver is the simulator of tests/level_zero_sim, it is told
   what the test holds, and is asked for its verdict at the end. */

#ifndef TESTS_LEVEL_ZERO_DEVICE_H
#define TESTS_LEVEL_ZERO_DEVICE_H

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "level_zero_sim/level_zero_sim.h"

#define DEVICE_STREAMS 128
#define DEVICE_BLOCKS 7000 /* each completion is a round trip between threads */

#ifdef LEVEL_ZERO_QUEUES
typedef ze_command_queue_handle_t device_stream_t;
#else
typedef ze_command_list_handle_t device_stream_t;
#endif
typedef hostcache_level_zero_event device_event_t;

typedef struct ze_unit {
  struct ze_unit *next;
  hostcache_level_zero_event entered, gate;
  ze_command_list_handle_t list; /* of a queue */
} ze_unit;

/* One stream. LOCK: lock */
typedef struct ze_lane {
  pthread_mutex_t lock;
  device_stream_t stream; /* NULL until it is used */
  ze_unit *first, **last; /* those that are not complete, oldest first */
} ze_lane;

typedef struct device_t {
  hostcache_level_zero l0;
  uint64_t violations; /* of earlier devices */
  ze_lane lanes[DEVICE_STREAMS];
} device_t;

static inline void ze_must_at(ze_result_t result, const char *call, int line) {
  if (result == ZE_RESULT_SUCCESS) return;
  fprintf(stderr, "level zero device, line %d: %s: %s\n", line, call,
          hostcache_level_zero_result_string(result));
  abort();
}
#define ze_must(call) ze_must_at(call, #call, __LINE__)

static inline void device_open(device_t *d) {
  int i;
  memset(d, 0, sizeof *d);
  ze_must(hostcache_level_zero_open(&d->l0, 0));
  d->violations = ze_sim_violations();
  for (i = 0; i < DEVICE_STREAMS; i++) {
    pthread_mutex_init(&d->lanes[i].lock, NULL);
    d->lanes[i].last = &d->lanes[i].first;
  }
}

static inline hostcache_level_zero *device_ctx(device_t *d) { return &d->l0; }

static inline device_stream_t ze_stream_make(device_t *d) {
  device_stream_t stream;
  ze_command_queue_desc_t desc;
  memset(&desc, 0, sizeof desc);
  desc.stype = ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC;
  desc.mode = ZE_COMMAND_QUEUE_MODE_ASYNCHRONOUS;
#ifdef LEVEL_ZERO_QUEUES
  ze_must(zeCommandQueueCreate(d->l0.context, d->l0.device, &desc, &stream));
#else
  ze_must(zeCommandListCreateImmediate(d->l0.context, d->l0.device, &desc, &stream));
#endif
  return stream;
}

static inline void ze_stream_end(device_stream_t stream) {
#ifdef LEVEL_ZERO_QUEUES
  ze_must(zeCommandQueueDestroy(stream));
#else
  ze_must(zeCommandListDestroy(stream));
#endif
}

static inline device_stream_t device_stream(device_t *d, int i) {
  ze_lane *lane = &d->lanes[i];
  device_stream_t stream;
  pthread_mutex_lock(&lane->lock);
  if (lane->stream == NULL) lane->stream = ze_stream_make(d);
  stream = lane->stream;
  pthread_mutex_unlock(&lane->lock);
  return stream;
}

static inline ze_lane *ze_lane_of(device_t *d, device_stream_t stream) {
  int i;
  for (i = 0; i < DEVICE_STREAMS; i++) {
    device_stream_t here;
    pthread_mutex_lock(&d->lanes[i].lock);
    here = d->lanes[i].stream;
    pthread_mutex_unlock(&d->lanes[i].lock);
    if (here == stream) return &d->lanes[i];
  }
  abort();
}

/* An event that comes after all that was submitted. */
static inline void ze_mark(device_t *d, device_stream_t stream, hostcache_level_zero_event *event) {
#ifdef LEVEL_ZERO_QUEUES
  ze_must(hostcache_level_zero_event_create_for_queue(&d->l0, event));
  ze_must(hostcache_level_zero_event_record_on_queue(event, stream));
#else
  ze_must(hostcache_level_zero_event_create(&d->l0, 0, event));
  ze_must(hostcache_level_zero_event_record(&d->l0, event, stream, 0));
#endif
}

static inline device_event_t device_event(device_t *d, device_stream_t stream) {
  device_event_t event;
  ze_mark(d, stream, &event);
  return event;
}

static inline void device_event_end(device_t *d, device_event_t event) {
  ze_must(hostcache_level_zero_event_destroy(&d->l0, &event));
}

/* Appends the commands of a unit. */
static inline void ze_unit_append(ze_unit *unit, ze_command_list_handle_t list, void *touched) {
  static const char pattern = 0x5a;
  ze_must(zeCommandListAppendBarrier(list, unit->entered.event, 0, NULL));
  ze_must(zeCommandListAppendBarrier(list, NULL, 1, &unit->gate.event));
  if (touched != NULL)
    ze_must(zeCommandListAppendMemoryFill(list, touched, &pattern, 1, 1, NULL, 0, NULL));
}

static inline void ze_submit(device_t *d, device_stream_t stream, void *touched) {
  ze_lane *lane = ze_lane_of(d, stream);
  ze_unit *unit = (ze_unit *)calloc(1, sizeof *unit);
  if (unit == NULL) abort();
  if (touched != NULL) touched = (char *)touched + (lane - d->lanes); /* streams don't meet there */
  ze_must(hostcache_level_zero_event_create(&d->l0, 0, &unit->entered));
  ze_must(hostcache_level_zero_event_create(&d->l0, 0, &unit->gate));
  pthread_mutex_lock(&lane->lock);
#ifdef LEVEL_ZERO_QUEUES
  {
    ze_command_list_desc_t desc;
    memset(&desc, 0, sizeof desc);
    desc.stype = ZE_STRUCTURE_TYPE_COMMAND_LIST_DESC;
    ze_must(zeCommandListCreate(d->l0.context, d->l0.device, &desc, &unit->list));
    ze_unit_append(unit, unit->list, touched);
    ze_must(zeCommandListClose(unit->list));
    ze_must(zeCommandQueueExecuteCommandLists(stream, 1, &unit->list, NULL));
  }
#else
  hostcache_level_zero_lock(&d->l0, stream); /* the cache appends to it too */
  ze_unit_append(unit, stream, touched);
  hostcache_level_zero_unlock(&d->l0, stream);
#endif
  *lane->last = unit;
  lane->last = &unit->next;
  pthread_mutex_unlock(&lane->lock);
}

static inline void device_submit(device_t *d, device_stream_t stream) {
  ze_submit(d, stream, NULL);
}

static inline void device_use(device_t *d, device_stream_t stream, const void *ptr) {
  ze_submit(d, stream, (void *)(uintptr_t)ptr);
}

/* Opens the gates of so many units, and waits until the stream stands at the next one, or has
   nothing left to do: what was recorded in between has then completed. */
static inline void ze_lane_open(device_t *d, ze_lane *lane, int64_t units) {
  hostcache_level_zero_event mark;
  ze_unit *done, *unit;
  pthread_mutex_lock(&lane->lock);
  done = lane->first;
  for (unit = done; unit != NULL && units != 0; unit = unit->next, units--)
    ze_must(zeEventHostSignal(unit->gate.event));
  if (unit != NULL) {
    ze_must(hostcache_level_zero_event_wait(&unit->entered));
  } else if (lane->stream != NULL) {
    ze_mark(d, lane->stream, &mark);
    ze_must(hostcache_level_zero_event_wait(&mark));
    ze_must(hostcache_level_zero_event_destroy(&d->l0, &mark));
  }
  lane->first = unit;
  if (unit == NULL) lane->last = &lane->first;
  pthread_mutex_unlock(&lane->lock);
  while (done != unit) {
    ze_unit *next = done->next;
    if (done->list != NULL) ze_must(zeCommandListDestroy(done->list));
    ze_must(hostcache_level_zero_event_destroy(&d->l0, &done->entered));
    ze_must(hostcache_level_zero_event_destroy(&d->l0, &done->gate));
    free(done);
    done = next;
  }
}

static inline void device_complete(device_t *d, device_stream_t stream, int64_t units) {
  ze_lane_open(d, ze_lane_of(d, stream), units);
}

static inline void device_complete_all(device_t *d) {
  int i;
  for (i = 0; i < DEVICE_STREAMS; i++) ze_lane_open(d, &d->lanes[i], -1);
}

static inline device_stream_t device_renew(device_t *d, int i) {
  ze_lane *lane = &d->lanes[i];
  ze_lane_open(d, lane, -1);
  ze_stream_end(lane->stream);
  pthread_mutex_lock(&lane->lock);
  lane->stream = NULL;
  pthread_mutex_unlock(&lane->lock);
  return device_stream(d, i);
}

static inline void device_handed_out(device_t *d, const void *ptr, size_t size) {
  (void)d;
  ze_sim_handed_out(ptr, size);
}

static inline void device_handed_back(device_t *d, const void *ptr) {
  (void)d;
  ze_sim_handed_back(ptr);
}

static inline uint64_t device_mem_live(device_t *d) {
  (void)d;
  return ze_sim_live(ZE_SIM_HOST_BYTES) + ze_sim_live(ZE_SIM_DEVICE_BYTES);
}

static inline uint64_t device_close(device_t *d) {
  ze_result_t result;
  int i;
  for (i = 0; i < DEVICE_STREAMS; i++) {
    ze_lane_open(d, &d->lanes[i], -1);
    if (d->lanes[i].stream != NULL) ze_stream_end(d->lanes[i].stream);
    pthread_mutex_destroy(&d->lanes[i].lock);
  }
  result = hostcache_level_zero_close(&d->l0); /* in use: events are left */
  return ze_sim_violations() - d->violations + (result != ZE_RESULT_SUCCESS);
}

#endif
