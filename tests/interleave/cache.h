/* cache.h - a cache on the device of device.h, over the explorer's glue, and what a thread does
   with it. Each step tells the referee, and checks what it is answered.

   Compiled with events or, with CACHE_TIMELINE, with timelines; with CACHE_POOLS also with private
   pools, where all streams are captured as long as the device says so; with CACHE_ORDERED also with
   blocks for the work of one stream. */

#ifndef TESTS_INTERLEAVE_CACHE_H
#define TESTS_INTERLEAVE_CACHE_H

#include "hooks_memory.h"

/* A test's hooks may use the cache themselves: this is called in each that records or queries. */
static void (*in_hook)(device *d);

static int with_hook(device *d, int outcome) {
  if (in_hook) in_hook(d);
  return outcome;
}

/* What a hook writes through a pointer is written here, and not in device.c: so it is watched. */
#ifndef CACHE_TIMELINE
static int create_event(device *d, unsigned stream, unsigned *event) {
  unsigned made = 0;
  const int outcome = device_event_create(d, stream, &made);
  if (outcome == DEVICE_DONE) *event = made;
  return outcome;
}
#endif

#define HC_NAME pinned
#ifdef CACHE_POOLS
#define HC_POOLS
#define HC_STREAM_CURRENT(ctx, stream_ptr) ((void)(ctx), *(stream_ptr) = 0, hostcache_done())
#define HC_STREAM_IS_CAPTURING(ctx, stream) \
  ((void)(stream), (ctx)->is_capturing ? hostcache_done() : hostcache_pending())
#endif
#ifdef CACHE_ORDERED
#define HC_STREAM_ORDERED
#endif
#define HC_STREAM_T unsigned
#ifdef CACHE_TIMELINE
#define HC_TIMELINE
#define HC_TIMELINE_RECORD(ctx, stream, value_ptr)                                           \
  hostcache_map(with_hook(ctx, device_timeline_record(ctx, stream, value_ptr)), DEVICE_DONE, \
                DEVICE_DONE)
#define HC_TIMELINE_QUERY(ctx, stream, value_ptr)                                           \
  hostcache_map(with_hook(ctx, device_timeline_query(ctx, stream, value_ptr)), DEVICE_DONE, \
                DEVICE_DONE)
#else
#define HC_EVENT_T unsigned
#define HC_EVENT_CREATE(ctx, stream, event_ptr) \
  hostcache_map(create_event(ctx, stream, event_ptr), DEVICE_DONE, DEVICE_DONE)
#define HC_EVENT_DESTROY(ctx, event_ptr) \
  hostcache_map(device_event_destroy(ctx, *(event_ptr)), DEVICE_DONE, DEVICE_DONE)
#define HC_EVENT_RECORD(ctx, event_ptr, stream)                                              \
  hostcache_map(with_hook(ctx, device_event_record(ctx, *(event_ptr), stream)), DEVICE_DONE, \
                DEVICE_DONE)
#define HC_EVENT_QUERY(ctx, event_ptr) \
  hostcache_map(with_hook(ctx, device_event_query(ctx, *(event_ptr))), DEVICE_DONE, DEVICE_PENDING)
#endif
#define HC_IMPLEMENT
#include "hostcache.h"

#include <string.h>

enum { A, B, C, D, E, F }; /* the streams */

typedef struct runs { /* what the programs of a test work on: the beginning of its state */
  device device;
  pinned *cache;
} runs;

typedef struct held { /* a block that is handed out */
  pinned_block *block;
  void *ptr;
  size_t size;
} held;

/* Sets of results, as bits. What an operation may say at any time beside OK, and what only when a
   hook or malloc failed in this schedule, which the bounds may exclude. */
#define ONE(result) (1u << -(int)(result))

HOSTCACHE_UNUSED static void expect(const char *what, hostcache_result got, unsigned at_any_time,
                                    unsigned when_failing) {
  const unsigned failing = explore_spent(EXPLORE_FAIL) ? when_failing : 0;
  explore_note("%s: %s", what, hostcache_result_string(got));
  if (((ONE(HOSTCACHE_OK) | at_any_time | failing) & ONE(got)) == 0)
    explore_fail("%s gave %s", what, hostcache_result_string(got));
}

#define MUST(call) expect(#call, call, 0, 0)

HOSTCACHE_UNUSED static held take(runs *s, size_t size) {
  held got = {NULL, NULL, size};
  hostcache_result result;
  explore_note("alloc(%zu) ...", size);
  result = pinned_block_alloc(s->cache, size, &got.block);
  got.ptr = pinned_block_ptr(got.block);
  expect("alloc", result, s->device.cap ? ONE(HOSTCACHE_ERR_LIMIT) : 0,
         ONE(HOSTCACHE_ERR_OUT_OF_MEMORY) | ONE(HOSTCACHE_ERR_NO_METADATA));
  if (got.ptr) device_hand_out(&s->device, got.ptr, size);
  return got;
}

HOSTCACHE_UNUSED static void mark(runs *s, held block, unsigned stream) {
  hostcache_result result;
  if (!block.ptr) return;
  explore_note("record_stream(%p, %u) ...", block.ptr, stream);
  result = pinned_block_record_stream(s->cache, block.block, stream);
  expect("record_stream", result, 0,
         ONE(HOSTCACHE_ERR_NO_METADATA) | ONE(HOSTCACHE_ERR_UNSUPPORTED));
  if (result == HOSTCACHE_ERR_UNSUPPORTED) return; /* the caller knows that it must not */
  device_submit(&s->device, block.ptr, block.size, stream);
}

HOSTCACHE_UNUSED static void give(runs *s, held *block) {
  if (!block->ptr) return;
  device_hand_back(&s->device, block->ptr, block->size);
  explore_note("free(%p) ...", block->ptr);
  expect("free", pinned_block_free(s->cache, block->block), 0, ONE(HOSTCACHE_ERR_EVENT));
  block->ptr = NULL;
}

HOSTCACHE_UNUSED static void give_deferred(runs *s, held *block) {
  device_hand_back(&s->device, block->ptr, block->size);
  explore_note("free_deferred(%p) ...", block->ptr);
  expect("free_deferred", pinned_block_free_deferred(s->cache, block->block), 0, 0);
  block->ptr = NULL;
}

HOSTCACHE_UNUSED static void poll(runs *s) {
  explore_note("process_events ...");
  expect("process_events", pinned_process_events(s->cache, NULL), 0, ONE(HOSTCACHE_ERR_EVENT));
}

HOSTCACHE_UNUSED static void empty(runs *s) {
  explore_note("empty_cache ...");
  expect("empty_cache", pinned_empty_cache(s->cache), 0,
         ONE(HOSTCACHE_ERR_EVENT) | ONE(HOSTCACHE_ERR_LEAKED));
}

HOSTCACHE_UNUSED static void note_error(void *user, hostcache_result result, int64_t code,
                                        const char *what, const void *ptr) {
  (void)user, (void)result, (void)code, (void)ptr;
  explore_note("on_error: %s", what);
}

#endif
