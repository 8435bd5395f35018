/* ordered.c - blocks for the work of one stream, which other threads free, poll, take and forget.

   The referee in device.c watches the one rule: what is handed out for a stream may be in use by
   that stream, and by no other. In the end check finds nothing, and after one empty_cache nothing
   is reserved. Compiled with events and, as interleave.ordered_timeline, with timelines. */

#define CACHE_ORDERED
#include "cache.h"

#include "exhaust.h"

#define SIZE ((size_t)512)
#define SEGMENT ((size_t)4096)

typedef struct fixture {
  runs at;    /* must be the first */
  held of[4]; /* [0] and [1]: neighbours, for A, and in use there; [2]: for B; [3]: for A, and in
                 use on B too */
} fixture;

static fixture state;

static held take_on(fixture *f, size_t size, unsigned stream) {
  held got = {NULL, NULL, size};
  hostcache_result result;
  explore_note("alloc_on(%zu, %u) ...", size, stream);
  result = pinned_block_alloc_on(f->at.cache, size, stream, &got.block);
  got.ptr = pinned_block_ptr(got.block);
  expect("alloc_on", result, f->at.device.cap ? ONE(HOSTCACHE_ERR_LIMIT) : 0,
         ONE(HOSTCACHE_ERR_OUT_OF_MEMORY) | ONE(HOSTCACHE_ERR_NO_METADATA));
  if (!got.ptr) return got;
  device_hand_out_on(&f->at.device, got.ptr, size, stream);
  device_submit(&f->at.device, got.ptr, size, stream);
  return got;
}

/* ---- before and after ------------------------------------------------------------------------ */

static void before(void *user) {
  fixture *f = user;
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  glue_begin();
  config.segment_bytes = SEGMENT;
  config.on_error = note_error;
  MUST(pinned_create(&f->at.cache, &config, &f->at.device));
  f->of[0] = take_on(f, SIZE, A);
  f->of[1] = take_on(f, SIZE, A);
  f->of[2] = take_on(f, SIZE, B);
  f->of[3] = take_on(f, SIZE, A);
  mark(&f->at, f->of[3], B);
}

/* What is ready for A is covered by a fence that waits. */
static void before_with_a_fence(void *user) {
  fixture *f = user;
  before(user);
  give(&f->at, &f->of[0]);
}

static void before_at_the_cap(void *user) {
  fixture *f = user;
  before_with_a_fence(user);
  f->at.device.cap = (unsigned)(SEGMENT / DEVICE_UNIT);
  MUST(pinned_set_max_reserved_bytes(f->at.cache, SEGMENT));
}

static void after(void *user) {
  fixture *f = user;
  hostcache_stats stats;
  unsigned i;
  MUST(pinned_check(f->at.cache));
  for (i = 0; i < 4; i++) give(&f->at, &f->of[i]);
  device_finish(&f->at.device);
  MUST(pinned_check(f->at.cache));
  poll(&f->at);
  empty(&f->at);
  MUST(pinned_stats(f->at.cache, &stats));
  explore_assert(stats.active.current == 0);
  explore_assert(stats.reserved_bytes.current == 0);
  MUST(pinned_destroy(f->at.cache));
  device_expect_empty(&f->at.device);
  explore_assert(explore_live() == 0);
}

/* ---- what threads do ------------------------------------------------------------------------- */

static void frees(fixture *f) {
  give(&f->at, &f->of[0]);
  give(&f->at, &f->of[1]);
}

static void takes(fixture *f, size_t size, unsigned stream) {
  held got = take_on(f, size, stream);
  give(&f->at, &got);
}

static void takes_for_the_host(fixture *f) {
  held got = take(&f->at, 2 * SIZE);
  give(&f->at, &got);
}

static void free_and_take(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0)
    frees(f);
  else
    takes(f, 2 * SIZE, A);
}

static void free_and_take_of_another(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0)
    frees(f);
  else
    takes(f, 2 * SIZE, B);
}

static void free_and_take_for_the_host(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0)
    frees(f);
  else
    takes_for_the_host(f);
}

static void free_and_free(void *user, unsigned id) {
  fixture *f = user;
  give(&f->at, &f->of[id]);
  give(&f->at, &f->of[2 + id]);
}

static void free_and_poll(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0)
    frees(f);
  else
    poll(&f->at);
}

static void free_and_empty(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0)
    frees(f);
  else
    empty(&f->at);
}

static void forgets(fixture *f) {
  const hostcache_result result = pinned_forget_stream(f->at.cache, A);
  expect("forget_stream", result, 0, ONE(HOSTCACHE_ERR_EVENT));
  if (result == HOSTCACHE_OK) device_forget(&f->at.device, A);
}

static void free_and_forget(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    frees(f);
    give(&f->at, &f->of[3]);
  } else {
    forgets(f);
  }
}

static void deferred_and_take(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    give_deferred(&f->at, &f->of[1]);
    give_deferred(&f->at, &f->of[3]);
  } else {
    takes(f, SIZE, A);
    poll(&f->at);
  }
}

static void take_and_poll(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0)
    takes(f, SIZE, A);
  else
    poll(&f->at);
}

static void take_and_take(void *user, unsigned id) {
  fixture *f = user;
  takes(f, SIZE, id == 0 ? A : B);
}

/* A stream that the cache does not know. */
static void take_and_take_of_a_new_one(void *user, unsigned id) {
  fixture *f = user;
  (void)id;
  takes(f, SIZE, C);
}

static void take_of_a_new_one_and_poll(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0)
    takes(f, SIZE, C);
  else
    poll(&f->at);
}

static void poll_and_poll(void *user, unsigned id) {
  fixture *f = user;
  (void)id;
  poll(&f->at);
}

static void poll_and_forget(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0)
    poll(&f->at);
  else
    forgets(f);
}

/* ---- the tests ------------------------------------------------------------------------------- */

static void explore(const char *name, void (*first)(void *user),
                    void (*thread)(void *user, unsigned id), unsigned preemptions) {
  exhaust(name, 2, first, thread, after, &state, sizeof state, preemptions);
}

static void what_is_freed_is_taken_for_its_stream_and_for_others(void **unused) {
  (void)unused;
  explore("free and take", before, free_and_take, 2);
  explore("free and take of another", before, free_and_take_of_another, 2);
  explore("free and take for the host", before, free_and_take_for_the_host, 2);
  explore("free and free", before, free_and_free, 2);
  explore("deferred and take", before, deferred_and_take, 2);
}

static void a_stream_comes_while_others_take_and_poll(void **unused) {
  (void)unused;
  explore("take and take of a new stream", before, take_and_take_of_a_new_one, 2);
  explore("take of a new stream and poll", before, take_of_a_new_one_and_poll, 2);
}

static void a_fence_completes_while_its_stream_goes_on(void **unused) {
  (void)unused;
  explore("free and poll", before_with_a_fence, free_and_poll, 2);
  explore("free and empty", before_with_a_fence, free_and_empty, 2);
  explore("take and poll", before_with_a_fence, take_and_poll, 2);
  explore("take and take", before_at_the_cap, take_and_take, 2);
  explore("poll and poll", before_with_a_fence, poll_and_poll, 2);
}

static void a_stream_is_forgotten_while_its_blocks_are_freed(void **unused) {
  (void)unused;
  explore("free and forget_stream", before, free_and_forget, 2);
  explore("free and forget_stream, with a fence", before_with_a_fence, free_and_forget, 1);
  explore("poll and forget_stream", before_with_a_fence, poll_and_forget, 2);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_is_freed_is_taken_for_its_stream_and_for_others),
    cmocka_unit_test(a_stream_comes_while_others_take_and_poll),
    cmocka_unit_test(a_fence_completes_while_its_stream_goes_on),
    cmocka_unit_test(a_stream_is_forgotten_while_its_blocks_are_freed),
};

#ifdef CACHE_TIMELINE
EXHAUST_MAIN("ordered_timeline", tests)
#else
EXHAUST_MAIN("ordered", tests)
#endif
