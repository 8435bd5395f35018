/* 02_own_runtime.c - hostcache on a runtime of your own, in the fewest hooks.

     cc -O2 -pthread -I. examples/02_own_runtime.c -o own_runtime && ./own_runtime

   The runtime here is an engine whose lanes finish work when they are told to, so that each step
   below has one outcome. What to learn: two types and four hooks are enough, and a hook is one line
   that translates the runtime's own code into a status. */

#include <stdio.h>
#include <stdlib.h>

/* ---- the runtime: what you have already ------------------------------------------------------ */

enum { ENGINE_OK, ENGINE_BUSY, ENGINE_FULL };

typedef struct engine {
  int pieces; /* of memory that are alive */
} engine;

typedef struct engine_lane { /* work is numbered in order of submission */
  unsigned submitted, finished;
} engine_lane;

typedef struct milestone { /* passed when the lane has finished this number */
  const engine_lane *on;
  unsigned number;
} milestone;

static int engine_memory(engine *e, size_t size, size_t alignment, void **ptr) {
  *ptr = aligned_alloc(alignment, size);
  if (!*ptr) return ENGINE_FULL;
  e->pieces++;
  return ENGINE_OK;
}

static int engine_release(engine *e, void *ptr) {
  free(ptr);
  e->pieces--;
  return ENGINE_OK;
}

static int lane_milestone(engine_lane *l, milestone *t) {
  t->on = l;
  t->number = l->submitted;
  return ENGINE_OK;
}

static int milestone_passed(const milestone *t) {
  return t->on->finished >= t->number ? ENGINE_OK : ENGINE_BUSY;
}

/* ---- the cache: what you add ----------------------------------------------------------------- */

#define HC_NAME bounce
#define HC_CTX_T engine *
#define HC_STREAM_T engine_lane *
#define HC_EVENT_T milestone
#define HC_MEM_ALLOC(ctx, size, align, ptr_out)                                          \
  hostcache_map_memory(engine_memory(ctx, size, align, ptr_out), ENGINE_OK, ENGINE_FULL, \
                       ENGINE_FULL)
#define HC_MEM_FREE(ctx, ptr, size) hostcache_map(engine_release(ctx, ptr), ENGINE_OK, ENGINE_OK)
#define HC_EVENT_RECORD(ctx, event_ptr, stream) \
  hostcache_map(lane_milestone(stream, event_ptr), ENGINE_OK, ENGINE_OK)
#define HC_EVENT_QUERY(ctx, event_ptr) \
  hostcache_map(milestone_passed(event_ptr), ENGINE_OK, ENGINE_BUSY)
#define HC_STATIC /* all of it in this file, and nothing of it outside */
#include "hostcache.h"

enum { BYTES = 4 << 20 }; /* more than a shared segment, so each buffer is a piece of its own */

/* ---- what it does ---------------------------------------------------------------------------- */

/* Says what should be, and ends the program if it is not so. */
static void expect(int so, const char *what) {
  printf("%s  %s\n", so ? "ok   " : "WRONG", what);
  if (!so) exit(EXIT_FAILURE);
}

int main(void) {
  engine e = {0};
  engine_lane left = {0, 0}, right = {0, 0};
  bounce *cache;
  void *a, *b, *c;

  expect(bounce_create(&cache, NULL, &e) == HOSTCACHE_OK, "a cache is made; it gets no memory yet");

  bounce_alloc(cache, BYTES, &a);
  left.submitted++; /* the lane works on a ... */
  bounce_record_stream(cache, a, &left);
  expect(bounce_free(cache, a) == HOSTCACHE_OK, "a is freed while the left lane is at work on it");

  bounce_alloc(cache, BYTES, &b);
  expect(b != a, "so a is not handed out: b is other memory");

  right.submitted++; /* ... and the other lane on b */
  bounce_record_stream(cache, b, &right);
  bounce_free(cache, b);
  left.finished++;
  bounce_alloc(cache, BYTES, &c);
  expect(c == a, "the left lane is done: a is handed out again, though the right one hangs");
  expect(e.pieces == 2, "for all of this the engine was asked for memory twice");

  bounce_free(cache, c);
  expect(bounce_free(cache, c) == HOSTCACHE_ERR_DOUBLE_FREE, "a double free is told, and harmless");
  expect(bounce_destroy(cache) == HOSTCACHE_ERR_BUSY, "the cache does not end while a lane works");

  right.finished++;
  expect(bounce_destroy(cache) == HOSTCACHE_OK, "the right lane is done: now it ends");
  expect(e.pieces == 0, "and the engine has all its memory back");
  return EXIT_SUCCESS;
}
