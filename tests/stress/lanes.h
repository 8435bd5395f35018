/* lanes.h - a device made of threads, for caches in each mode.

   Each stream is a lane: a thread that runs what was submitted, in order, at a pace of its own. A
   handle is a small number; where a stream ends its handle is given to the next one at once, while
   the lane behind it goes on with what it has. Events are plain values, or objects that recording
   makes, or handed over by the test; or the lane is a timeline.

   As little as possible is synchronised here, so that a thread sanitizer sees what the cache itself
   leaves in disorder: a query is one load of a counter that the lane stores with release, recording
   one load of another. Memory comes from malloc, and an event that is an object has a field that
   every hook on it changes without any lock: so a sanitizer tells of memory or events that are used
   after their end, or by two threads at once. What it says itself is counted in `violations`: a
   handle or event seen after its end, an event destroyed before it is complete. */

#ifndef TESTS_STRESS_LANES_H
#define TESTS_STRESS_LANES_H

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "payload.h"

#define LANES_HANDLES 16

enum { LANES_DONE, LANES_PENDING, LANES_NO_MEMORY };

typedef int lanes_stream;

typedef struct lanes_lane {
  struct lanes_lane *next; /* of all, until close */
  pthread_t worker;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  work *first, *last;             /* LOCK: lock. What the worker has not taken yet */
  bool closing;                   /* LOCK: lock */
  atomic_uint_fast64_t submitted; /* LOCK: lock to write */
  atomic_uint_fast64_t completed; /* of the worker, with release: what it did is seen with it */
} lanes_lane;

typedef struct lanes_point { /* an event that is a value */
  lanes_lane *at;
  uint64_t value;
} lanes_point;

typedef struct lanes_object { /* an event that is an object */
  lanes_point point;
  uint64_t touched; /* plain: one thread at a time */
} lanes_object;

typedef struct lanes {
  pthread_mutex_t lock;
  lanes_lane *all;                                /* LOCK: lock */
  _Atomic(lanes_lane *) by_handle[LANES_HANDLES]; /* NULL: no such stream */
  atomic_int_fast64_t live_bytes, live_objects, violations;
} lanes;

static inline void lanes_violation(lanes *d, const char *what) {
  atomic_fetch_add_explicit(&d->violations, 1, memory_order_relaxed);
  fprintf(stderr, "lanes: %s\n", what);
}

/* ---- streams --------------------------------------------------------------------------------- */

static inline void *lanes_work(void *argument) {
  lanes_lane *l = (lanes_lane *)argument;
  uint64_t pace = (uint64_t)(uintptr_t)l | 1, done = 0;
  bool closing = false;
  while (!closing) {
    work *taken;
    pthread_mutex_lock(&l->lock);
    while (l->first == NULL && !l->closing) pthread_cond_wait(&l->changed, &l->lock);
    taken = l->first; /* all of it, so that the lock orders as little as can be */
    l->first = l->last = NULL;
    closing = taken == NULL;
    pthread_mutex_unlock(&l->lock);
    while (taken != NULL) {
      work *next = taken->next;
      size_t yields;
      for (yields = payload_random(&pace, 6); yields > 0; yields--) sched_yield();
      work_run(taken);
      atomic_store_explicit(&l->completed, ++done, memory_order_release);
      taken = next;
    }
  }
  return NULL;
}

/* Starts a stream with this handle, which is free. */
static inline lanes_stream lanes_stream_new(lanes *d, int handle) {
  lanes_lane *l = (lanes_lane *)calloc(1, sizeof *l);
  if (l == NULL) abort();
  pthread_mutex_init(&l->lock, NULL);
  pthread_cond_init(&l->changed, NULL);
  if (pthread_create(&l->worker, NULL, lanes_work, l) != 0) abort();
  pthread_mutex_lock(&d->lock);
  l->next = d->all;
  d->all = l;
  pthread_mutex_unlock(&d->lock);
  atomic_store_explicit(&d->by_handle[handle], l, memory_order_release);
  return handle;
}

static inline void lanes_close_lane(lanes_lane *l) {
  pthread_mutex_lock(&l->lock);
  l->closing = true;
  pthread_cond_signal(&l->changed);
  pthread_mutex_unlock(&l->lock);
}

/* The handle is gone; what was submitted goes on. */
static inline void lanes_stream_end(lanes *d, lanes_stream stream) {
  lanes_close_lane(atomic_exchange(&d->by_handle[stream], NULL));
}

/* The lane behind a handle, or NULL, which is a violation. */
static inline lanes_lane *lanes_of(lanes *d, lanes_stream stream) {
  lanes_lane *l = NULL;
  if (stream >= 0 && stream < LANES_HANDLES)
    l = atomic_load_explicit(&d->by_handle[stream], memory_order_acquire);
  if (l == NULL) lanes_violation(d, "a stream is seen, which does not exist (any more)");
  return l;
}

/* Returns what the stream's counter will have reached. */
static inline uint64_t lanes_submit(lanes *d, lanes_stream stream, work *w) {
  lanes_lane *l = lanes_of(d, stream);
  uint64_t value;
  pthread_mutex_lock(&l->lock);
  w->next = NULL;
  if (l->last != NULL)
    l->last->next = w;
  else
    l->first = w;
  l->last = w;
  value = atomic_load_explicit(&l->submitted, memory_order_relaxed) + 1;
  atomic_store_explicit(&l->submitted, value, memory_order_release);
  pthread_cond_signal(&l->changed);
  pthread_mutex_unlock(&l->lock);
  return value;
}

static inline bool lanes_reached(const lanes_point *point) {
  return atomic_load_explicit(&point->at->completed, memory_order_acquire) >= point->value;
}

/* ---- hooks ----------------------------------------------------------------------------------- */

static inline int lanes_mem_alloc(lanes *d, size_t size, size_t align, void **ptr) {
  if (posix_memalign(ptr, align < 4096 ? 4096 : align, size) != 0) return LANES_NO_MEMORY;
  atomic_fetch_add_explicit(&d->live_bytes, (int_fast64_t)size, memory_order_relaxed);
  return LANES_DONE;
}

static inline int lanes_mem_free(lanes *d, void *ptr, size_t size) {
  (void)journal_write(own_journal, GIVEN_BACK, 0, ptr, size);
  atomic_fetch_sub_explicit(&d->live_bytes, (int_fast64_t)size, memory_order_relaxed);
  free(ptr);
  return LANES_DONE;
}

static inline int lanes_point_record(lanes *d, lanes_point *point, lanes_stream stream) {
  point->at = lanes_of(d, stream);
  if (point->at == NULL) return LANES_NO_MEMORY;
  point->value = atomic_load_explicit(&point->at->submitted, memory_order_relaxed);
  return LANES_DONE;
}

static inline int lanes_point_query(const lanes_point *point) {
  return lanes_reached(point) ? LANES_DONE : LANES_PENDING;
}

static inline int lanes_object_record(lanes *d, lanes_object **event, lanes_stream stream) {
  lanes_object *object = (lanes_object *)calloc(1, sizeof *object);
  if (object == NULL) return LANES_NO_MEMORY;
  if (lanes_point_record(d, &object->point, stream) != LANES_DONE) {
    free(object);
    return LANES_NO_MEMORY;
  }
  atomic_fetch_add_explicit(&d->live_objects, 1, memory_order_relaxed);
  *event = object;
  return LANES_DONE;
}

static inline int lanes_object_query(lanes_object *event) {
  event->touched++;
  return lanes_point_query(&event->point);
}

static inline int lanes_object_destroy(lanes *d, lanes_object *event) {
  event->touched++;
  if (!lanes_reached(&event->point)) lanes_violation(d, "an event is destroyed while pending");
  atomic_fetch_sub_explicit(&d->live_objects, 1, memory_order_relaxed);
  free(event);
  return LANES_DONE;
}

static inline int lanes_timeline_record(lanes *d, lanes_stream stream, uint64_t *value) {
  lanes_lane *l = lanes_of(d, stream);
  if (l == NULL) return LANES_NO_MEMORY;
  *value = atomic_load_explicit(&l->submitted, memory_order_relaxed);
  return LANES_DONE;
}

static inline int lanes_timeline_query(lanes *d, lanes_stream stream, uint64_t *value) {
  lanes_lane *l = lanes_of(d, stream);
  if (l == NULL) return LANES_NO_MEMORY;
  *value = atomic_load_explicit(&l->completed, memory_order_acquire);
  return LANES_DONE;
}

/* ---- the device ------------------------------------------------------------------------------ */

static inline void lanes_open(lanes *d) {
  memset(d, 0, sizeof *d);
  pthread_mutex_init(&d->lock, NULL);
}

static inline lanes *lanes_ctx(lanes *d) { return d; }

/* All streams have ended. Says, once all lanes have run all, how many rules were broken. */
static inline int64_t lanes_close(lanes *d) {
  while (d->all != NULL) {
    lanes_lane *l = d->all;
    d->all = l->next;
    pthread_join(l->worker, NULL);
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
    free(l);
  }
  if (atomic_load(&d->live_bytes) != 0) lanes_violation(d, "memory was not given back");
  if (atomic_load(&d->live_objects) != 0) lanes_violation(d, "events were not destroyed");
  pthread_mutex_destroy(&d->lock);
  return atomic_load(&d->violations);
}

#endif
