/* bins.c - tests section 10 of the header: blocks that are ready, and the bounds on what is held.

   Promises: a hit calls no hook; what is freed is reused, the best fit first; a large cached
   block serves its own rounded size; empty_cache gives back everything that is cached, whichever
   thread freed it; reserved memory does not grow while what is cached fits; the cap is never
   passed, by any number of threads; what is idle is bounded; both may be changed; trim gives back
   what has been idle for longest; what was reserved calls no hook (section 6 of the contract). */

#include "sim/below.h"

#define HC_NAME pinned
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE pinned
#include "sim/rig.h"

static void of_equal_ranges_the_lowest_is_reused_first(void **state) {
  pinned_rig *rig = *state;
  void *one = pinned_rig_take(rig, 64 * KIB), *two = pinned_rig_take(rig, 64 * KIB);
  pinned_rig_give(rig, one);
  pinned_rig_give(rig, two);
  assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), one); /* so that high ones become whole */
  assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), two);
}

static void every_size_of_a_class_shares_its_blocks(void **state) {
  pinned_rig *rig = *state;
  void *ptr = pinned_rig_take(rig, 61 * KIB);
  pinned_rig_give(rig, ptr);
  assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), ptr); /* the class from 60 KiB + 1 to 64 KiB */
  pinned_rig_give(rig, ptr);
  assert_ptr_equal(pinned_rig_take(rig, 60 * KIB + 1), ptr);
  assert_int_equal(pinned_rig_stats(rig).requested_bytes.current, 60 * KIB + 1);
}

static void a_large_block_serves_every_request_that_rounds_to_its_size(void **state) {
  pinned_rig *rig = *state;
  void *ptr = pinned_rig_take(rig, 3 * MIB);
  pinned_rig_give(rig, ptr);
  assert_ptr_equal(pinned_rig_take(rig, 3 * MIB - PAGE + 1), ptr);
  pinned_rig_give(rig, ptr);
  assert_ptr_not_equal(pinned_rig_take(rig, 3 * MIB + 1), ptr);
}

static void many_large_blocks_of_one_size_and_of_many_are_all_reused(void **state) {
  enum { BLOCKS = 60 };
  pinned_rig *rig = *state;
  void *blocks[BLOCKS];
  uint64_t calls;
  int round;
  size_t i;
  for (i = 0; i < BLOCKS; i++) blocks[i] = pinned_rig_take(rig, 2 * MIB + i % 7 * PAGE);
  for (round = 0; round < 3; round++) {
    for (i = 0; i < BLOCKS; i++) pinned_rig_give(rig, blocks[i * 37 % BLOCKS]);
    calls = sim_calls(&rig->device, SIM_EVERY_HOOK);
    for (i = 0; i < BLOCKS; i++) blocks[i] = pinned_rig_take(rig, 2 * MIB + i % 7 * PAGE);
    assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), calls);
    pinned_rig_check(rig);
  }
  assert_int_equal(pinned_rig_stats(rig).segment.current, BLOCKS);
}

static void a_hit_and_a_free_without_uses_call_no_hook_and_no_malloc(void **state) {
  static const size_t sizes[] = {1, 4096, 64 * 1024, 1024 * 1024, 5 * 1024 * 1024};
  pinned_rig *rig = *state;
  void *held[COUNT_OF(sizes)];
  uint64_t calls, mallocs;
  size_t i;
  int round;
  for (i = 0; i < COUNT_OF(sizes); i++) held[i] = pinned_rig_take(rig, sizes[i]);
  for (i = 0; i < COUNT_OF(sizes); i++) pinned_rig_give(rig, held[i]);
  assert_ok(pinned_reset_accumulated_stats(rig->cache));
  calls = sim_calls(&rig->device, SIM_EVERY_HOOK);
  mallocs = atomic_load(&below.calls);
  for (round = 0; round < 100; round++)
    for (i = 0; i < COUNT_OF(sizes); i++) pinned_rig_give(rig, pinned_rig_take(rig, sizes[i]));
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), calls);
  assert_int_equal(atomic_load(&below.calls), mallocs);
  assert_int_equal(pinned_rig_stats(rig).num_hits, 100 * COUNT_OF(sizes));
}

static void empty_cache_gives_back_all_that_is_cached_and_nothing_else(void **state) {
  pinned_rig *rig = *state;
  void *held = pinned_rig_take(rig, 64 * KIB), *pending = pinned_rig_pend(rig, 128 * KIB, 1);
  size_t size;
  for (size = 1; size < 20 * MIB; size = size * 2 + 1)
    pinned_rig_give(rig, pinned_rig_take(rig, size));
  assert_ok(pinned_empty_cache(rig->cache));
  assert_result(pinned_free(rig->cache, pending), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_int_equal(sim_live_bytes(&rig->device), 192 * KIB);
  assert_int_equal(pinned_rig_stats(rig).reserved_bytes.current, 192 * KIB);
  assert_int_equal(pinned_rig_stats(rig).segment.current, 2);
  assert_non_null(pinned_find(rig->cache, held));
  assert_ok(pinned_empty_cache(rig->cache)); /* nothing to do */
}

typedef struct sleeper { /* a thread that has freed, and now waits while others work */
  pinned_rig *rig;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int stage;
} sleeper;

static void reach(sleeper *s, int stage) {
  pthread_mutex_lock(&s->lock);
  s->stage = stage;
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->lock);
}

static void await(sleeper *s, int stage) {
  pthread_mutex_lock(&s->lock);
  while (s->stage < stage) pthread_cond_wait(&s->changed, &s->lock);
  pthread_mutex_unlock(&s->lock);
}

static void *get_and_free_then_sleep(void *argument) {
  sleeper *s = argument;
  void *blocks[8];
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++)
    expect_or_abort(pinned_alloc(s->rig->cache, 64 * KIB, &blocks[i]) == HOSTCACHE_OK);
  for (i = 0; i < COUNT_OF(blocks); i++)
    expect_or_abort(pinned_free(s->rig->cache, blocks[i]) == HOSTCACHE_OK);
  reach(s, 1);
  await(s, 2);
  return NULL;
}

/* Whatever a thread keeps for itself: others can have it while it sleeps, and when it is gone. */
static void what_another_thread_freed_can_be_had_and_given_back(void **state) {
  sleeper s;
  pthread_t thread;
  void *blocks[8];
  size_t i;
  memset(&s, 0, sizeof s);
  s.rig = *state;
  pthread_mutex_init(&s.lock, NULL);
  pthread_cond_init(&s.changed, NULL);
  assert_int_equal(pthread_create(&thread, NULL, get_and_free_then_sleep, &s), 0);
  await(&s, 1);
  for (i = 0; i < COUNT_OF(blocks) / 2; i++) blocks[i] = pinned_rig_take(s.rig, 64 * KIB);
  assert_int_equal(pinned_rig_stats(s.rig).segment.current, COUNT_OF(blocks));
  for (i = 0; i < COUNT_OF(blocks) / 2; i++) pinned_rig_give(s.rig, blocks[i]);
  assert_ok(pinned_empty_cache(s.rig->cache));
  assert_int_equal(sim_live_bytes(&s.rig->device), 0);
  reach(&s, 2);
  assert_int_equal(pthread_join(thread, NULL), 0);
  pthread_mutex_destroy(&s.lock);
  pthread_cond_destroy(&s.changed);
}

static void *get_and_free_then_end(void *argument) {
  pinned_rig *rig = argument;
  void *ptr;
  expect_or_abort(pinned_alloc(rig->cache, 64 * KIB, &ptr) == HOSTCACHE_OK);
  expect_or_abort(pinned_free(rig->cache, ptr) == HOSTCACHE_OK);
  return NULL;
}

static void a_thread_that_ends_leaves_what_it_freed_and_calls_no_hook(void **state) {
  pinned_rig *rig = *state;
  int i;
  for (i = 0; i < 20; i++) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, get_and_free_then_end, rig), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
  }
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), 1); /* one block did for all */
}

static void the_same_work_again_needs_no_more_memory(void **state) {
  pinned_rig *rig = *state;
  enum { SLOTS = 40 };
  void *slots[SLOTS];
  int64_t reserved = 0;
  int round;
  size_t i;
  for (round = 0; round < 10; round++) {
    for (i = 0; i < SLOTS; i++) slots[i] = pinned_rig_take(rig, 1000 + i * 5000);
    for (i = 0; i < SLOTS; i++) pinned_rig_give(rig, slots[i]);
    if (round == 0) reserved = pinned_rig_stats(rig).reserved_bytes.current;
  }
  assert_int_equal(pinned_rig_stats(rig).reserved_bytes.peak, reserved);
}

/* ---- the best fit ---------------------------------------------------------------------------- */

static void the_smallest_range_that_fits_is_taken(void **state) {
  pinned_rig *rig = *state;
  void *large = pinned_rig_take(rig, 12 * MIB), *middle = pinned_rig_take(rig, 5 * MIB);
  void *small = pinned_rig_take(rig, 3 * MIB);
  pinned_rig_give(rig, large);
  pinned_rig_give(rig, middle);
  pinned_rig_give(rig, small);
  assert_ptr_equal(pinned_rig_take(rig, 4 * MIB), middle);
  assert_ptr_equal(pinned_rig_take(rig, 4 * MIB), large);
  assert_ptr_equal(pinned_rig_take(rig, 3 * MIB), small);
}

static void a_range_above_max_split_size_is_not_split(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  hostcache_stats stats;
  void *large, *other;
  config.max_split_size = 8 * MIB;
  pinned_rig_configure(rig, config);
  assert_int_equal(pinned_rig_stats(rig).max_split_size, 8 * MIB);
  large = pinned_rig_take(rig, 16 * MIB);
  stats = pinned_rig_stats(rig);
  assert_int_equal(stats.oversize_allocations.current, 1);
  assert_int_equal(stats.oversize_segments.current, 1);
  (void)pinned_rig_take(rig, 8 * MIB); /* not above it */
  assert_int_equal(pinned_rig_stats(rig).oversize_segments.current, 1);
  pinned_rig_give(rig, large);
  assert_int_equal(pinned_rig_stats(rig).oversize_allocations.current, 0);
  assert_ptr_equal(pinned_rig_take(rig, 15 * MIB), large); /* at most an eighth is left over */
  assert_int_equal(pinned_rig_stats(rig).active_bytes.current, 24 * MIB);
  pinned_rig_give(rig, large);
  other = pinned_rig_take(rig, 14 * MIB);
  assert_ptr_not_equal(other, large);
  assert_ptr_not_equal(pinned_rig_take(rig, 64 * KIB), large);
  pinned_rig_check(rig);
}

/* On the border of each of the two rules. */
static void a_range_as_large_as_max_split_size_is_split_and_an_eighth_too_much_is_not(
    void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  char *even, *large;
  config.max_split_size = 8 * MIB;
  pinned_rig_configure(rig, config);
  pinned_rig_warm(rig, 64 * MIB);
  even = pinned_rig_take(rig, 8 * MIB);
  pinned_rig_give(rig, even);
  assert_ptr_equal(pinned_rig_take(rig, 4 * MIB), even);
  assert_ptr_equal(pinned_rig_take(rig, 4 * MIB), even + 4 * MIB);
  large = pinned_rig_take(rig, 18 * MIB);
  pinned_rig_give(rig, large);
  assert_ptr_not_equal(pinned_rig_take(rig, 16 * MIB - PAGE), large); /* an eighth and a page */
  assert_ptr_equal(pinned_rig_take(rig, 16 * MIB), large);
}

/* Nor is it counted as one that is not. */
static void what_is_as_large_as_max_split_size_is_not_oversize(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  int over;
  config.max_split_size = 8 * MIB;
  pinned_rig_configure(rig, config);
  for (over = 0; over < 2; over++) {
    hostcache_stats stats;
    (void)pinned_rig_take(rig, 8 * MIB + (size_t)over);
    stats = pinned_rig_stats(rig);
    assert_int_equal(stats.oversize_allocations.current, over);
    assert_int_equal(stats.oversize_allocations.peak, over);
    assert_int_equal(stats.oversize_segments.current, over);
  }
}

/* With coarse classes that is more than an eighth above what was asked. */
static void what_is_not_split_serves_again_what_it_was_got_for(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  void *ptr;
  config.max_split_size = 64 * KIB;
  config.class_steps = 1;
  pinned_rig_configure(rig, config);
  ptr = pinned_rig_take(rig, 65 * KIB); /* 128 KiB */
  pinned_rig_give(rig, ptr);
  assert_ptr_equal(pinned_rig_take(rig, 65 * KIB), ptr);
}

/* The slack counts from what was asked, not from its class. */
static void what_is_not_split_is_larger_than_the_request_by_an_eighth_at_most(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  void *ptr;
  config.max_split_size = 64 * KIB;
  pinned_rig_configure(rig, config);
  pinned_rig_warm(rig, MIB);
  ptr = pinned_rig_take(rig, 80 * KIB);
  pinned_rig_give(rig, ptr);
  assert_ptr_not_equal(pinned_rig_take(rig, 64 * KIB + 1), ptr);
  assert_ptr_equal(pinned_rig_take(rig, 72 * KIB), ptr);
}

/* As many pages as there are classes to a doubling are more than a size can say. */
static void the_least_that_is_split_does_not_wrap_around(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  config.segment_bytes = 0;
  config.alignment = (size_t)1 << (8 * sizeof(size_t) - 3);
  config.max_split_size = 1;
  pinned_rig_configure(rig, config);
  assert_int_equal(pinned_rig_stats(rig).max_split_size, INT64_MAX);
}

static void shared_segments_are_no_larger_than_what_may_be_split(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  config.segment_bytes = 0;
  config.max_split_size = MIB;
  pinned_rig_configure(rig, config);
  (void)pinned_rig_take(rig, 64 * KIB);
  assert_int_equal(rig->device.largest_request, MIB);
}

static void shared_segments_are_no_larger_than_one_call_may_ask_for(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  void *ptr;
  config.segment_bytes = 0;
  config.max_segment_bytes = 5000;
  pinned_rig_configure(rig, config);
  (void)pinned_rig_take(rig, 1);
  assert_int_equal(rig->device.largest_request, 4096);
  assert_result(pinned_alloc(rig->cache, 4500, &ptr), HOSTCACHE_ERR_TOO_BIG);
}

/* ---- the cap --------------------------------------------------------------------------------- */

static void cap(pinned_rig *rig, size_t bytes) {
  hostcache_config config = pinned_rig_config(rig);
  config.max_reserved_bytes = bytes;
  pinned_rig_configure(rig, config);
}

static void the_cap_is_an_error_of_its_own_and_says_which_size_failed(void **state) {
  pinned_rig *rig = *state;
  void *held, *ptr = &ptr;
  cap(rig, MIB);
  held = pinned_rig_take(rig, 768 * KIB);
  assert_result(pinned_alloc(rig->cache, 300 * KIB, &ptr), HOSTCACHE_ERR_LIMIT);
  assert_null(ptr);
  assert_int_equal(pinned_rig_stats(rig).last_failed_bytes, 300 * KIB);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_LIMIT], 1);
  assert_int_equal(rig->device.calls[SIM_MEM_ALLOC], 1);
  (void)pinned_rig_take(rig, 256 * KIB); /* to the last byte */
  pinned_rig_give(rig, held);
  assert_ptr_equal(pinned_rig_take(rig, 300 * KIB), held);
  assert_int_equal(pinned_rig_stats(rig).num_ooms, 0);
}

static void what_is_idle_goes_back_before_the_cap_is_an_error(void **state) {
  pinned_rig *rig = *state;
  void *first, *second;
  cap(rig, MIB);
  first = pinned_rig_take(rig, 512 * KIB);
  second = pinned_rig_take(rig, 256 * KIB);
  pinned_rig_give(rig, second);
  (void)pinned_rig_take(rig, 512 * KIB);
  assert_int_equal(rig->device.peak_bytes, MIB);
  assert_int_equal(rig->device.calls[SIM_MEM_FREE], 1);
  pinned_rig_give(rig, first);
}

/* The bug: an error although a pending block would do (pytorch #189504). */
static void what_has_completed_is_used_before_the_cap_is_an_error(void **state) {
  enum { EVENTS = 100 }; /* more than a poll asks of those that were handed over */
  pinned_rig *rig = *state;
  char *blocks[EVENTS];
  void *ptr;
  int i;
  cap(rig, EVENTS * 64 * KIB);
  for (i = 0; i < EVENTS; i++) {
    const sim_stream stream = i == EVENTS - 1 ? 2 : 1;
    sim_event event;
    blocks[i] = pinned_rig_take(rig, 64 * KIB);
    (void)sim_use(&rig->device, stream, blocks[i]);
    event = sim_own_event(&rig->device, stream);
    assert_ok(pinned_record_event(rig->cache, blocks[i], event));
    pinned_rig_give(rig, blocks[i]);
  }
  assert_result(pinned_alloc(rig->cache, 64 * KIB, &ptr), HOSTCACHE_ERR_LIMIT);
  sim_complete(&rig->device, 2, -1);
  assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), blocks[EVENTS - 1]);
}

static void where_a_shared_segment_would_pass_the_cap_the_requests_own_size_is_got(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  config.segment_bytes = 2 * MIB;
  config.max_reserved_bytes = 3 * MIB;
  pinned_rig_configure(rig, config);
  (void)pinned_rig_take(rig, 2 * MIB - 512 * KIB);
  assert_int_equal(rig->device.live_bytes, 2 * MIB);
  (void)pinned_rig_take(rig, 768 * KIB);
  assert_int_equal(rig->device.live_bytes, 2 * MIB + 768 * KIB);
}

static void where_the_runtime_refuses_a_shared_segment_the_requests_own_size_is_got(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  config.segment_bytes = 2 * MIB;
  pinned_rig_configure(rig, config);
  rig->device.memory_limit = 512 * KIB;
  (void)pinned_rig_take(rig, 100 * KIB);
  assert_int_equal(rig->device.live_bytes, 100 * KIB + 4 * KIB); /* the class, in whole pages */
  assert_int_equal(pinned_rig_stats(rig).num_ooms, 0);
  assert_int_equal(pinned_rig_stats(rig).num_alloc_retries, 0); /* nothing had to be given back */
}

static void a_runtime_that_fails_otherwise_is_not_asked_for_less(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  void *ptr;
  config.segment_bytes = 2 * MIB;
  pinned_rig_configure(rig, config);
  sim_fail(&rig->device, 1, false, SIM_ONLY(SIM_MEM_ALLOC));
  assert_result(pinned_alloc(rig->cache, 100 * KIB, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_int_equal(rig->device.calls[SIM_MEM_ALLOC], 1);
}

/* An allocation for which there is no room: how long does it wait, in ns? */
static uint64_t wait_in_vain(pinned_rig *rig, size_t size) {
  const uint64_t began = atomic_load(&below.now_ns);
  void *ptr;
  assert_result(pinned_alloc(rig->cache, size, &ptr), HOSTCACHE_ERR_LIMIT);
  return atomic_load(&below.now_ns) - began;
}

static void an_allocation_waits_at_the_cap_as_long_as_the_config_says(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  void *pending;
  config.max_reserved_bytes = 64 * KIB;
  config.wait_on_limit_ns = 1000000; /* of a clock that moves when it is looked at */
  pinned_rig_configure(rig, config);
  (void)atomic_fetch_add(&below.now_ns, UINT64_C(1) << 40); /* wherever that stands */
  pending = pinned_rig_pend(rig, 64 * KIB, 1);
  assert_in_range(wait_in_vain(rig, 64 * KIB), 1000000, 2000000);
  rig->device.progress_per_queries = 20;
  assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), pending);
  rig->device.progress_per_queries = 0;
  assert_in_range(wait_in_vain(rig, 64 * KIB), 0, 10000); /* none is pending */
}

/* Another thread gives memory back, and its hook takes until somebody waits for it: who waits looks
   at the clock. */
typedef struct giver {
  pinned_rig *rig;
  atomic_bool inside, had_enough;
} giver;

static void return_once_somebody_waits(void *user, sim_hook hook) {
  giver *g = user;
  const uint64_t began = atomic_load(&below.now_ns);
  if (hook != SIM_MEM_FREE) return;
  atomic_store(&g->inside, true);
  while (!atomic_load(&g->had_enough) && atomic_load(&below.now_ns) - began < 100000) sched_yield();
}

static void *empty_the_cache(void *argument) {
  giver *g = argument;
  expect_or_abort(pinned_empty_cache(g->rig->cache) == HOSTCACHE_OK);
  return NULL;
}

static void who_waits_at_the_cap_waits_for_what_is_being_given_back(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  pthread_t thread;
  giver g;
  config.max_reserved_bytes = 64 * KIB;
  config.wait_on_limit_ns = UINT64_MAX / 2; /* to look at the clock at all */
  pinned_rig_configure(rig, config);
  pinned_rig_give(rig, pinned_rig_take(rig, 64 * KIB));
  g.rig = rig;
  atomic_store(&g.inside, false);
  atomic_store(&g.had_enough, false);
  rig->device.on_hook = return_once_somebody_waits;
  rig->device.on_hook_user = &g;
  assert_int_equal(pthread_create(&thread, NULL, empty_the_cache, &g), 0);
  while (!atomic_load(&g.inside)) sched_yield();
  {
    void *ptr = NULL;
    const hostcache_result result = pinned_alloc(rig->cache, 32 * KIB, &ptr);
    atomic_store(&g.had_enough, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_ok(result);
    assert_ok(pinned_free(rig->cache, ptr));
  }
}

static void free_what_is_held(void *user, sim_hook hook) {
  pinned_rig *rig = user;
  if (hook != SIM_EVENT_QUERY || rig->device.calls[SIM_EVENT_QUERY] < 10) return;
  rig->device.on_hook = NULL;
  (void)pinned_free(rig->cache, (void *)rig->device.blocks.at[0].start);
}

static void who_waits_at_the_cap_gets_what_another_thread_frees(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  void *held, *ptr;
  config.max_reserved_bytes = 128 * KIB;
  config.wait_on_limit_ns = 1000000;
  pinned_rig_configure(rig, config);
  held = pinned_rig_take(rig, 64 * KIB);
  (void)pinned_rig_pend(rig, 64 * KIB, 1);
  rig->device.on_hook = free_what_is_held; /* inside of a query, as another thread would */
  rig->device.on_hook_user = rig;
  assert_ok(pinned_alloc(rig->cache, 64 * KIB, &ptr));
  assert_ptr_equal(ptr, held);
}

static void free_deferred_what_is_held(void *user, sim_hook hook) {
  pinned_rig *rig = user;
  if (hook != SIM_EVENT_QUERY || rig->device.fault.fired == 0) return;
  rig->device.on_hook = NULL;
  (void)pinned_free_deferred(rig->cache, (void *)rig->device.blocks.at[0].start);
}

/* In the query with which what waits is quarantined: then what the callback leaves, to be recorded
   by the next look, is the only hope. */
static void who_waits_at_the_cap_gets_what_a_callback_frees(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  void *held, *ptr;
  config.max_reserved_bytes = 128 * KIB;
  config.wait_on_limit_ns = 1000000;
  config.query_error_limit = 1;
  pinned_rig_configure(rig, config);
  held = pinned_rig_take(rig, 64 * KIB);
  (void)pinned_rig_use(rig, held, 2);
  sim_complete_all(&rig->device);
  (void)pinned_rig_pend(rig, 64 * KIB, 1);
  sim_fail(&rig->device, 5, false, SIM_EVERY_QUERY);
  rig->device.on_hook = free_deferred_what_is_held;
  rig->device.on_hook_user = rig;
  assert_ok(pinned_alloc(rig->cache, 64 * KIB, &ptr));
  assert_ptr_equal(ptr, held);
  assert_int_equal(pinned_rig_stats(rig).quarantined.current, 1);
}

static void an_allocation_waits_also_where_the_runtime_is_out_of_memory(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  config.wait_on_limit_ns = 1000000;
  pinned_rig_configure(rig, config);
  (void)pinned_rig_pend(rig, 64 * KIB, 1);
  rig->device.memory_limit = 128 * KIB;
  rig->device.progress_per_queries = 20;
  (void)pinned_rig_take(rig, 128 * KIB); /* for which what was pending went back */
  assert_int_equal(pinned_rig_stats(rig).num_alloc_retries, 1);
  assert_int_equal(pinned_rig_stats(rig).num_ooms, 0);
}

/* Whatever fails on the way, what was claimed of the cap is given up again. */
static void a_failure_takes_nothing_of_the_cap(void **state) {
  pinned_rig *rig = *state;
  void *ptr;
  cap(rig, 64 * KIB);
  below_fail(1, true);
  assert_result(pinned_alloc(rig->cache, 64 * KIB, &ptr), HOSTCACHE_ERR_NO_METADATA);
  below_fail_no_more();
  sim_fail(&rig->device, 1, false, SIM_ONLY(SIM_MEM_ALLOC));
  assert_result(pinned_alloc(rig->cache, 64 * KIB, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  rig->device.memory_limit = 4096;
  assert_result(pinned_alloc(rig->cache, 64 * KIB, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  rig->device.memory_limit = MIB;
  rig->device.mischief = SIM_MISALIGNED;
  assert_result(pinned_alloc(rig->cache, 64 * KIB, &ptr), HOSTCACHE_ERR_CORRUPT);
  (void)pinned_rig_take(rig, 64 * KIB);
}

static void what_leaked_counts_against_the_cap(void **state) {
  pinned_rig *rig = *state;
  void *ptr;
  rig->may_leak = true;
  cap(rig, 192 * KIB);
  pinned_rig_give(rig, pinned_rig_take(rig, 64 * KIB));
  sim_fail(&rig->device, 1, false, SIM_ONLY(SIM_MEM_FREE));
  assert_result(pinned_empty_cache(rig->cache), HOSTCACHE_ERR_LEAKED);
  rig->device.mischief = SIM_MISALIGNED;
  sim_fail(&rig->device, 1, false, SIM_ONLY(SIM_MEM_FREE));
  assert_result(pinned_alloc(rig->cache, 64 * KIB, &ptr), HOSTCACHE_ERR_CORRUPT);
  (void)pinned_rig_take(rig, 64 * KIB);
  assert_result(pinned_alloc(rig->cache, 64 * KIB, &ptr), HOSTCACHE_ERR_LIMIT);
}

static void a_request_above_the_cap_takes_nothing_from_others(void **state) {
  pinned_rig *rig = *state;
  void *ptr;
  cap(rig, MIB);
  pinned_rig_give(rig, pinned_rig_take(rig, 64 * KIB));
  assert_result(pinned_alloc(rig->cache, 2 * MIB, &ptr), HOSTCACHE_ERR_LIMIT);
  assert_int_equal(rig->device.calls[SIM_MEM_FREE], 0);
}

/* First the cap is in the way; when that has room, the runtime has none, which is reclaimed for. */
static void out_of_memory_behind_the_cap_is_reclaimed_for_too(void **state) {
  enum { EVENTS = 40 }; /* of which one poll asks 16 */
  pinned_rig *rig = *state;
  int i;
  cap(rig, EVENTS * 64 * KIB);
  for (i = 0; i < EVENTS; i++) {
    void *ptr = pinned_rig_take(rig, 64 * KIB);
    (void)sim_use(&rig->device, 1, ptr);
    assert_ok(pinned_record_event(rig->cache, ptr, sim_own_event(&rig->device, 1)));
    pinned_rig_give(rig, ptr);
  }
  sim_complete_all(&rig->device);
  rig->heard.wanted_code = SIM_NO_MEMORY;
  rig->device.memory_limit = (EVENTS - 9) * 64 * KIB;
  (void)pinned_rig_take(rig, 30 * 64 * KIB);
  assert_int_equal(pinned_rig_stats(rig).num_alloc_retries, 1);
  assert_int_equal(pinned_rig_stats(rig).num_ooms, 0);
}

static void complete_all_meanwhile(void *user, sim_hook hook) {
  if (hook == SIM_MEM_ALLOC) sim_complete_all(user);
}

/* Blocks that go to this thread's stock, of another size than what is wanted. */
static void what_completes_while_the_runtime_is_asked_serves_all_sizes(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  size_t i;
  config.segment_bytes = MIB;
  pinned_rig_configure(rig, config);
  for (i = 0; i < 16; i++) (void)pinned_rig_pend(rig, 64 * KIB, 1);
  rig->device.memory_limit = MIB;
  rig->device.on_hook = complete_all_meanwhile;
  rig->device.on_hook_user = &rig->device;
  (void)pinned_rig_take(rig, MIB);
  assert_int_equal(pinned_rig_stats(rig).num_ooms, 0);
  assert_int_equal(rig->device.calls[SIM_MEM_FREE], 0);
}

/* ---- threads at the cap ---------------------------------------------------------------------- */

/* A runtime that counts what it has given, and notes when that was too much. */
typedef struct scale {
  atomic_size_t held, most;
  atomic_uintptr_t next;
} scale;

/* Others come first: one processor alone would seldom let them in between claim and count. */
static void *scale_get(scale *s, size_t size) {
  size_t held, most;
  (void)sched_yield();
  held = atomic_fetch_add(&s->held, size) + size;
  most = atomic_load(&s->most);
  while (held > most && !atomic_compare_exchange_weak(&s->most, &most, held)) continue;
  return (void *)atomic_fetch_add(&s->next, size);
}

#define HC_NAME weighed
#define HC_NO_STREAMS
#define HC_CTX_T scale *
#define HC_MEM_ALLOC(s, size, align, ptr_out) \
  ((void)(align), *(ptr_out) = scale_get(s, size), hostcache_done())
#define HC_MEM_FREE(s, ptr, size) \
  ((void)(ptr), atomic_fetch_sub(&(s)->held, size), hostcache_done())
#define HC_IMPLEMENT
#include "hostcache.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define RACE_OPERATIONS 100000
#else
#define RACE_OPERATIONS 1000000
#endif
#define RACERS 8
#define RACE_CAP (24 * MIB)

static void *race_to_the_cap(void *argument) {
  weighed *cache = argument;
  static atomic_uint racers;
  uint64_t seed = atomic_fetch_add(&racers, 1) + 1;
  void *blocks[16] = {NULL};
  size_t i;
  int step;
  for (step = 0; step < RACE_OPERATIONS / RACERS; step++) {
    i = random_below(&seed, COUNT_OF(blocks));
    if (blocks[i] != NULL) {
      expect_or_abort(weighed_free(cache, blocks[i]) == HOSTCACHE_OK);
      blocks[i] = NULL;
    } else {
      const size_t size = (size_t)1 << (9 + random_below(&seed, 14)); /* to 4 MiB */
      const hostcache_result result = weighed_alloc(cache, size, &blocks[i]);
      expect_or_abort(result == HOSTCACHE_OK || result == HOSTCACHE_ERR_LIMIT);
    }
    if (step % 5000 == 0) expect_or_abort(weighed_trim(cache, RACE_CAP / 2) == HOSTCACHE_OK);
  }
  for (i = 0; i < COUNT_OF(blocks); i++)
    expect_or_abort(weighed_free(cache, blocks[i]) == HOSTCACHE_OK);
  return NULL;
}

static void eight_threads_never_pass_the_cap(void **state) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  pthread_t threads[RACERS];
  weighed *cache;
  scale s;
  size_t i;
  (void)state;
  memset(&s, 0, sizeof s);
  atomic_store(&s.next, (uintptr_t)1 << (sizeof(uintptr_t) == 8 ? 40 : 30));
  config.max_reserved_bytes = RACE_CAP;
  assert_ok(weighed_create(&cache, &config, &s));
  for (i = 0; i < RACERS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, race_to_the_cap, cache), 0);
  for (i = 0; i < RACERS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_true(atomic_load(&s.most) <= RACE_CAP);
  assert_true(atomic_load(&s.most) > RACE_CAP - 4 * MIB); /* it was reached */
  assert_ok(weighed_check(cache));
  assert_ok(weighed_empty_cache(cache));
  assert_int_equal(atomic_load(&s.held), 0);
  assert_ok(weighed_destroy(cache));
}

/* ---- bounds that change ---------------------------------------------------------------------- */

static void what_is_idle_is_bounded(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  void *blocks[8];
  size_t i;
  config.max_cached_bytes = 256 * KIB;
  pinned_rig_configure(rig, config);
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, 64 * KIB);
  for (i = 0; i < COUNT_OF(blocks); i++) {
    pinned_rig_give(rig, blocks[i]);
    assert_in_range(pinned_rig_stats(rig).cached_bytes.current, 0, 256 * KIB);
  }
  assert_int_equal(sim_live_bytes(&rig->device), 256 * KIB);
  assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), blocks[4]); /* the longest idle went first */
}

static void nothing_is_kept_where_nothing_may_be_idle(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  config.segment_bytes = 2 * MIB;
  config.max_cached_bytes = HOSTCACHE_NONE;
  pinned_rig_configure(rig, config);
  pinned_rig_give(rig, pinned_rig_take(rig, 64 * KIB));
  assert_int_equal(rig->device.largest_request, 64 * KIB); /* a shared one would be idle in part */
  assert_int_equal(sim_live_bytes(&rig->device), 0);
  (void)pinned_rig_pend(rig, 64 * KIB, 1);
  sim_complete_all(&rig->device);
  assert_int_equal(pinned_rig_poll(rig), 1);
  assert_int_equal(sim_live_bytes(&rig->device), 0);
}

static void a_shared_segment_is_got_if_what_is_over_of_it_may_just_be_idle(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  config.segment_bytes = MIB;
  config.max_cached_bytes = MIB - 64 * KIB;
  pinned_rig_configure(rig, config);
  (void)pinned_rig_take(rig, 64 * KIB);
  assert_int_equal(sim_live_bytes(&rig->device), MIB);
  (void)pinned_rig_take(rig, MIB); /* now nothing more may be idle */
  assert_int_equal(sim_live_bytes(&rig->device), 2 * MIB);
}

static void the_bounds_may_be_changed_and_the_cache_converges(void **state) {
  pinned_rig *rig = *state;
  void *blocks[8], *ptr;
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, 64 * KIB);
  assert_ok(pinned_set_max_reserved_bytes(rig->cache, 256 * KIB));
  assert_int_equal(sim_live_bytes(&rig->device), 512 * KIB); /* all of it in use */
  assert_result(pinned_alloc(rig->cache, 64 * KIB, &ptr), HOSTCACHE_ERR_LIMIT);
  for (i = 0; i < COUNT_OF(blocks); i++) pinned_rig_give(rig, blocks[i]);
  assert_int_equal(sim_live_bytes(&rig->device), 256 * KIB);
  assert_ok(pinned_set_max_cached_bytes(rig->cache, 128 * KIB));
  assert_int_equal(sim_live_bytes(&rig->device), 128 * KIB);
  assert_ok(pinned_set_max_cached_bytes(rig->cache, HOSTCACHE_NONE));
  assert_int_equal(sim_live_bytes(&rig->device), 0);
  assert_ok(pinned_set_max_cached_bytes(rig->cache, 0));
  assert_ok(pinned_set_max_reserved_bytes(rig->cache, 0));
  pinned_rig_give(rig, pinned_rig_take(rig, MIB));
  assert_int_equal(sim_live_bytes(&rig->device), MIB); /* no bound again */
}

static void a_bound_that_cannot_be_kept_says_what_leaked(void **state) {
  pinned_rig *rig = *state;
  rig->may_leak = true;
  pinned_rig_give(rig, pinned_rig_take(rig, 64 * KIB));
  sim_fail(&rig->device, 1, true, SIM_ONLY(SIM_MEM_FREE));
  assert_result(pinned_set_max_cached_bytes(rig->cache, HOSTCACHE_NONE), HOSTCACHE_ERR_LEAKED);
  assert_int_equal(pinned_rig_stats(rig).leaked_bytes.current, 64 * KIB);
  assert_ok(pinned_set_max_cached_bytes(rig->cache, 0));
}

/* Before what is held passes its earlier peak, what is idle and does not fit goes back. */
static void idle_segments_go_back_before_more_is_held_than_ever(void **state) {
  pinned_rig *rig = *state;
  void *first = pinned_rig_take(rig, 150 * MIB);
  pinned_rig_give(rig, first);
  pinned_rig_give(rig, pinned_rig_take(rig, 200 * MIB));
  assert_int_equal(rig->device.peak_bytes, 200 * MIB);
  pinned_rig_give(rig, pinned_rig_take(rig, 150 * MIB)); /* fits */
  assert_int_equal(rig->device.calls[SIM_MEM_ALLOC], 2);
}

/* Also if it is no more than an eighth above what is then in use. */
static void what_is_held_grows_by_no_more_than_what_is_in_use_while_something_is_idle(
    void **state) {
  pinned_rig *rig = *state;
  void *blocks[64];
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, 64 * KIB);
  pinned_rig_give(rig, blocks[20]);
  (void)pinned_rig_take(rig, 128 * KIB); /* fits nowhere */
  assert_int_equal(rig->device.peak_bytes, 65 * 64 * KIB);
}

/* What was held was twice as much as was in use: blocks of half a shared segment and a page. */
static void idle_segments_go_back_before_an_eighth_more_is_held_than_was_ever_in_use(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  void *blocks[4];
  size_t i;
  config.segment_bytes = 2 * MIB;
  pinned_rig_configure(rig, config);
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, MIB + PAGE);
  for (i = 0; i < COUNT_OF(blocks); i++) pinned_rig_give(rig, blocks[i]);
  assert_int_equal(sim_live_bytes(&rig->device), 8 * MIB);
  assert_ok(pinned_trim(rig->cache, 2 * MIB));
  (void)pinned_rig_take(rig, 2 * MIB + 256 * KIB); /* 4.25 MiB, where 4 were in use */
  assert_int_equal(sim_live_bytes(&rig->device), 4 * MIB + 256 * KIB);
  (void)pinned_rig_take(rig, 2 * MIB + 64 * KIB); /* of 6.31 MiB two that are idle go back */
  assert_int_equal(sim_live_bytes(&rig->device), 4 * MIB + 320 * KIB);
}

/* 4.7 MiB are to be held, where 4 were in use, and 4.2 are about to be. */
static void what_is_about_to_be_in_use_counts_for_that_too(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  void *blocks[4];
  size_t i;
  config.segment_bytes = 2 * MIB;
  pinned_rig_configure(rig, config);
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, MIB + PAGE);
  for (i = 0; i < COUNT_OF(blocks); i++) pinned_rig_give(rig, blocks[i]);
  assert_ok(pinned_empty_cache(rig->cache));
  assert_ok(pinned_set_max_cached_bytes(rig->cache, MIB)); /* too little for shared segments */
  pinned_rig_give(rig, pinned_rig_take(rig, 512 * KIB));
  (void)pinned_rig_take(rig, 4 * MIB + 200 * KIB);
  assert_int_equal(sim_live_bytes(&rig->device), 4 * MIB + 712 * KIB);
}

/* The peaks that users reset are not those that this goes by. */
static void resetting_the_peaks_gives_nothing_back(void **state) {
  pinned_rig *rig = *state;
  void *blocks[8];
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, 64 * KIB);
  for (i = 0; i < COUNT_OF(blocks); i++) pinned_rig_give(rig, blocks[i]);
  assert_ok(pinned_reset_peak_stats(rig->cache));
  (void)pinned_rig_take(rig, 128 * KIB); /* fits nowhere */
  assert_int_equal(rig->device.calls[SIM_MEM_FREE], 2);
}

static void what_a_callback_frees_above_the_bound_goes_back_later(void **state) {
  pinned_rig *rig = *state;
  uint64_t calls;
  void *ptr = pinned_rig_take(rig, 64 * KIB);
  assert_ok(pinned_set_max_cached_bytes(rig->cache, HOSTCACHE_NONE));
  calls = sim_calls(&rig->device, SIM_EVERY_HOOK);
  sim_handed_back(&rig->device, ptr);
  assert_ok(pinned_free_deferred(rig->cache, ptr));
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), calls);
  assert_ok(pinned_process_events(rig->cache, NULL));
  assert_int_equal(sim_live_bytes(&rig->device), 0);
  assert_int_equal(rig->cache->excess, 0); /* so that the next free goes the short way */
}

/* Each of these makes something ready, and gives back what is above the bound then. */
static void whatever_makes_ready_keeps_the_bound(void **state) {
  pinned_rig *rig = *state;
  void *ptr;
  assert_ok(pinned_set_max_cached_bytes(rig->cache, HOSTCACHE_NONE));
  (void)pinned_rig_pend(rig, 64 * KIB, 1);
  sim_complete_all(&rig->device);
  assert_ok(pinned_synchronize(rig->cache, 0));
  assert_int_equal(sim_live_bytes(&rig->device), 0);

  (void)pinned_rig_pend(rig, 64 * KIB, 1);
  sim_complete_all(&rig->device);
  (void)pinned_rig_take(rig, MIB); /* a miss */
  assert_int_equal(sim_live_bytes(&rig->device), MIB);

  (void)pinned_rig_pend(rig, 64 * KIB, 1);
  sim_complete_all(&rig->device);
  assert_ok(pinned_trim(rig->cache, SIZE_MAX));
  assert_int_equal(sim_live_bytes(&rig->device), MIB);

  ptr = pinned_rig_take(rig, 64 * KIB);
  (void)pinned_rig_use(rig, ptr, 1);
  sim_fail(&rig->device, 1, true, SIM_EVERY_RECORD | SIM_EVERY_WAIT);
  sim_handed_back(&rig->device, ptr);
  assert_result(pinned_free(rig->cache, ptr), HOSTCACHE_ERR_EVENT);
  sim_fail_no_more(&rig->device);
  sim_complete_all(&rig->device);
  assert_ok(pinned_release_quarantine(rig->cache));
  assert_int_equal(sim_live_bytes(&rig->device), MIB);
}

/* ---- trim ------------------------------------------------------------------------------------ */

static void trim_gives_back_what_has_been_idle_for_longest_and_no_more_than_it_must(void **state) {
  pinned_rig *rig = *state;
  void *blocks[4];
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, 64 * KIB);
  pinned_rig_give(rig, blocks[2]);
  pinned_rig_give(rig, blocks[0]);
  pinned_rig_give(rig, blocks[3]);
  assert_ok(pinned_trim(rig->cache, 192 * KIB));
  assert_int_equal(sim_live_bytes(&rig->device), 192 * KIB);
  assert_result(pinned_free(rig->cache, blocks[2]), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_free(rig->cache, blocks[0]), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_ok(pinned_trim(rig->cache, SIZE_MAX));
  assert_int_equal(sim_live_bytes(&rig->device), 192 * KIB);
  assert_ok(pinned_trim(rig->cache, 0)); /* as far as it can */
  assert_int_equal(sim_live_bytes(&rig->device), 64 * KIB);
}

static void become_idle(void *user, sim_hook hook) {
  pinned_rig *rig = user;
  void *ptr = NULL;
  if (hook != SIM_MEM_FREE || rig->device.calls[SIM_MEM_FREE] > 10) return;
  assert_ok(pinned_alloc(rig->cache, 64 * KIB, &ptr));
  assert_ok(pinned_free(rig->cache, ptr));
}

/* Each hook that gives something back leaves as much behind, as another thread might. */
static void trim_gives_back_no_more_than_was_idle_when_it_began(void **state) {
  pinned_rig *rig = *state;
  void *blocks[3];
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, 64 * KIB);
  for (i = 0; i < COUNT_OF(blocks); i++) pinned_rig_give(rig, blocks[i]);
  rig->device.on_hook = become_idle;
  rig->device.on_hook_user = rig;
  assert_ok(pinned_trim(rig->cache, 0));
  assert_int_equal(rig->device.calls[SIM_MEM_FREE], COUNT_OF(blocks));
}

/* Until then what is idle is not given back for a block that fits nowhere, also where what was
   reserved has gone because it was idle for long. */
static void what_was_reserved_counts_as_held_until_a_trim(void **state) {
  pinned_rig *rig = *state;
  assert_ok(pinned_reserve(rig->cache, 4 * MIB, 10));
  assert_ok(pinned_trim_idle(rig->cache, 1));
  assert_int_equal(sim_live_bytes(&rig->device), 0);
  pinned_rig_give(rig, pinned_rig_take(rig, 4 * MIB));
  pinned_rig_give(rig, pinned_rig_take(rig, 5 * MIB));
  assert_int_equal(sim_live_bytes(&rig->device), 9 * MIB);
  assert_ok(pinned_trim(rig->cache, 0));
  assert_ok(pinned_trim(rig->cache, GIB)); /* that much was never reserved */
  pinned_rig_give(rig, pinned_rig_take(rig, 4 * MIB));
  pinned_rig_give(rig, pinned_rig_take(rig, 5 * MIB));
  assert_int_equal(sim_live_bytes(&rig->device), 5 * MIB);
}

static void trim_polls_first(void **state) {
  pinned_rig *rig = *state;
  (void)pinned_rig_pend(rig, 64 * KIB, 1);
  assert_ok(pinned_trim(rig->cache, 0));
  assert_int_equal(sim_live_bytes(&rig->device), 64 * KIB);
  sim_complete_all(&rig->device);
  assert_ok(pinned_trim(rig->cache, 0));
  assert_int_equal(sim_live_bytes(&rig->device), 0);
}

static void trim_says_what_leaked(void **state) {
  pinned_rig *rig = *state;
  rig->may_leak = true;
  pinned_rig_give(rig, pinned_rig_take(rig, 64 * KIB));
  sim_fail(&rig->device, 1, false, SIM_ONLY(SIM_MEM_FREE));
  assert_result(pinned_trim(rig->cache, 0), HOSTCACHE_ERR_LEAKED);
}

/* The clock moves by 1000 ns a look, and by what the test adds. */
static void what_was_idle_for_so_long_goes_back(void **state) {
  pinned_rig *rig = *state;
  void *old = pinned_rig_take(rig, 64 * KIB), *young = pinned_rig_take(rig, 64 * KIB);
  const uint64_t second = UINT64_C(1000000000);
  pinned_rig_give(rig, old);
  atomic_fetch_add(&below.now_ns, 10 * second);
  pinned_rig_give(rig, young);
  atomic_fetch_add(&below.now_ns, 5 * second);
  assert_ok(pinned_trim_idle(rig->cache, 20 * second));
  assert_ok(pinned_trim_idle(rig->cache, UINT64_MAX));
  assert_int_equal(sim_live_bytes(&rig->device), 128 * KIB);
  assert_ok(pinned_trim_idle(rig->cache, 10 * second));
  assert_int_equal(sim_live_bytes(&rig->device), 64 * KIB);
  assert_result(pinned_free(rig->cache, young), HOSTCACHE_ERR_DOUBLE_FREE);
  pinned_rig_give(rig, pinned_rig_take(rig, 64 * KIB)); /* used again: not idle for long */
  assert_ok(pinned_trim_idle(rig->cache, 5 * second));
  assert_int_equal(sim_live_bytes(&rig->device), 64 * KIB);
  assert_ok(pinned_trim_idle(rig->cache, 0));
  assert_int_equal(sim_live_bytes(&rig->device), 0);
}

/* The clock moves by 1000 ns a look: what becomes idle looks last, and so does who asks. */
static void what_was_idle_for_exactly_so_long_goes_back_and_for_one_less_stays(void **state) {
  pinned_rig *rig = *state;
  pinned_rig_give(rig, pinned_rig_take(rig, 64 * KIB));
  assert_ok(pinned_trim_idle(rig->cache, 1001));
  assert_int_equal(sim_live_bytes(&rig->device), 64 * KIB);
  assert_ok(pinned_trim_idle(rig->cache, 2000));
  assert_int_equal(sim_live_bytes(&rig->device), 0);
}

/* ---- reserve --------------------------------------------------------------------------------- */

static void what_was_reserved_can_be_had_without_a_hook(void **state) {
  static const size_t sizes[] = {512, 5000, 64 * 1024, 1024 * 1024, 3 * 1024 * 1024 + 1};
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  hostcache_stats stats;
  uint64_t calls;
  size_t i, j;
  config.segment_bytes = 2 * MIB;
  pinned_rig_configure(rig, config);
  for (i = 0; i < COUNT_OF(sizes); i++) {
    void *blocks[50];
    assert_ok(pinned_reserve(rig->cache, sizes[i], COUNT_OF(blocks)));
    stats = pinned_rig_stats(rig);
    assert_int_equal(stats.allocation.current, 0);
    assert_int_equal(stats.active.peak, 50 * (i > 0)); /* reserving hands nothing out */
    calls = sim_calls(&rig->device, SIM_EVERY_HOOK);
    for (j = 0; j < COUNT_OF(blocks); j++) blocks[j] = pinned_rig_take(rig, sizes[i]);
    assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), calls);
    for (j = 0; j < COUNT_OF(blocks); j++) pinned_rig_give(rig, blocks[j]);
    assert_ok(pinned_reserve(rig->cache, sizes[i], COUNT_OF(blocks))); /* it is there already */
    assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), calls);
    pinned_rig_check(rig);
  }
  assert_ok(pinned_empty_cache(rig->cache));
  assert_int_equal(sim_live_bytes(&rig->device), 0);
}

static void what_was_reserved_stays_while_more_is_reserved(void **state) {
  pinned_rig *rig = *state;
  void *ptr;
  assert_ok(pinned_reserve(rig->cache, 4 * MIB, 10));
  assert_ok(pinned_reserve(rig->cache, 8 * MIB, 10));
  assert_int_equal(sim_live_bytes(&rig->device), 120 * MIB);
  assert_int_equal(rig->device.calls[SIM_MEM_FREE], 0);
  ptr = pinned_rig_take(rig, 9 * MIB); /* fits nowhere, so as much goes back as it needs */
  assert_int_equal(sim_live_bytes(&rig->device), 117 * MIB);
  pinned_rig_give(rig, ptr);
}

static void reserve_says_what_it_cannot_do_and_keeps_what_it_got(void **state) {
  pinned_rig *rig = *state;
  cap(rig, MIB);
  assert_ok(pinned_reserve(rig->cache, 0, 10));
  assert_ok(pinned_reserve(rig->cache, 10, 0));
  assert_ok(pinned_reserve(rig->cache, SIZE_MAX, 0));
  assert_int_equal(rig->device.calls[SIM_MEM_ALLOC], 0);
  assert_result(pinned_reserve(rig->cache, SIZE_MAX, 1), HOSTCACHE_ERR_TOO_BIG);
  assert_result(pinned_reserve(rig->cache, MIB, SIZE_MAX), HOSTCACHE_ERR_TOO_BIG);
  assert_result(pinned_reserve(rig->cache, 300 * KIB, 4), HOSTCACHE_ERR_LIMIT);
  assert_int_equal(pinned_rig_stats(rig).cached_bytes.current, 960 * KIB); /* three of 320 */
  pinned_rig_check(rig);
  assert_ok(pinned_set_max_cached_bytes(rig->cache, 100 * KIB));
  assert_result(pinned_reserve(rig->cache, 64 * KIB, 2), HOSTCACHE_ERR_LIMIT);
  assert_result(pinned_reserve(rig->cache, MIB, PTRDIFF_MAX / MIB), HOSTCACHE_ERR_LIMIT);
  assert_ok(pinned_set_max_cached_bytes(rig->cache, 0));
  assert_ok(pinned_empty_cache(rig->cache));
  sim_fail(&rig->device, 3, false, SIM_ONLY(SIM_MEM_ALLOC));
  assert_result(pinned_reserve(rig->cache, 64 * KIB, 4), HOSTCACHE_ERR_OUT_OF_MEMORY);
  pinned_rig_check(rig);
}

static void as_much_as_may_be_idle_can_be_reserved(void **state) {
  pinned_rig *rig = *state;
  assert_ok(pinned_set_max_cached_bytes(rig->cache, 4 * 64 * KIB));
  assert_ok(pinned_reserve(rig->cache, 64 * KIB, 4));
  assert_int_equal(pinned_rig_stats(rig).cached_bytes.current, 4 * 64 * KIB);
  assert_result(pinned_reserve(rig->cache, 64 * KIB, 5), HOSTCACHE_ERR_LIMIT);
}

/* Two shared segments are got, and the first goes back, as both are above the bound. */
static void a_reserve_that_a_bound_undoes_says_so(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  config.segment_bytes = 2 * MIB;
  config.max_cached_bytes = 33 * 64 * KIB;
  pinned_rig_configure(rig, config);
  assert_result(pinned_reserve(rig->cache, 64 * KIB, 33), HOSTCACHE_ERR_LIMIT);
  assert_int_equal(sim_live_bytes(&rig->device), 2 * MIB);
  assert_int_equal(rig->device.calls[SIM_MEM_FREE], 1);
}

static void a_segment_can_be_reserved_at_creation_and_is_carved_first(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  hostcache_stats stats;
  char *small, *large;
  config.segment_bytes = 2 * MIB;
  config.reserve_segment_bytes = 64 * MIB - 1;
  config.max_split_size = MIB; /* it is split all the same */
  pinned_rig_configure(rig, config);
  assert_int_equal(rig->device.live_bytes, 64 * MIB);
  assert_int_equal(rig->device.calls[SIM_MEM_ALLOC], 1);
  small = pinned_rig_take(rig, 4096);
  large = pinned_rig_take(rig, 60 * MIB);
  assert_ptr_equal(large, small + 4096);
  assert_int_equal(rig->device.calls[SIM_MEM_ALLOC], 1);
  stats = pinned_rig_stats(rig);
  assert_int_equal(stats.num_hits, 2);
  (void)pinned_rig_take(rig, 8 * MIB); /* does not fit any more */
  assert_int_equal(rig->device.calls[SIM_MEM_ALLOC], 2);
  pinned_rig_give(rig, large);
  pinned_rig_give(rig, small);
  pinned_rig_check(rig);
  assert_ok(pinned_empty_cache(rig->cache));
  assert_int_equal(rig->device.live_bytes, 8 * MIB);
}

static void create_fails_whole_if_its_segment_cannot_be_had(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  long long live = atomic_load(&below.live);
  pinned *cache = rig->cache;
  uint64_t n;
  config.reserve_segment_bytes = MIB;
  sim_fail(&rig->device, 1, false, SIM_ONLY(SIM_MEM_ALLOC));
  assert_result(pinned_create(&cache, &config, &rig->device), HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_null(cache);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_OUT_OF_MEMORY], 1);
  rig->device.mischief = SIM_MISALIGNED;
  assert_result(pinned_create(&cache, &config, &rig->device), HOSTCACHE_ERR_CORRUPT);
  assert_int_equal(rig->device.live_bytes, 0);
  for (n = 1;; n++) { /* and wherever its bookkeeping cannot */
    hostcache_result result;
    below_fail(n, false);
    result = pinned_create(&cache, &config, &rig->device);
    if (result == HOSTCACHE_OK) break;
    assert_result(result, HOSTCACHE_ERR_NO_METADATA);
    assert_int_equal(atomic_load(&below.live), live);
    assert_int_equal(rig->device.live_bytes, 0);
  }
  assert_true(n > 2);
  assert_ok(pinned_destroy(cache));
}

/* What splitting needs is got before anything changes. */
static void a_range_that_cannot_be_split_for_want_of_a_record_stays_whole(void **state) {
  pinned_rig *rig = *state;
  void *blocks[200], *ptr = &ptr;
  hostcache_stats before, after;
  hostcache_result result;
  size_t count = 0;
  pinned_rig_give(rig, pinned_rig_take(rig, GIB));
  below_fail(1, true);
  do { /* until the spare records are used up */
    before = pinned_rig_stats(rig);
    result = pinned_alloc(rig->cache, 3 * MIB, &ptr);
    if (result == HOSTCACHE_OK) blocks[count++] = ptr;
  } while (result == HOSTCACHE_OK && count < COUNT_OF(blocks));
  assert_result(result, HOSTCACHE_ERR_NO_METADATA);
  assert_null(ptr);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_NO_METADATA], 1);
  after = pinned_rig_stats(rig);
  assert_int_equal(after.cached_bytes.current, before.cached_bytes.current);
  assert_int_equal(after.last_failed_bytes, 3 * MIB);
  assert_int_equal(rig->device.calls[SIM_MEM_ALLOC], 1);
  pinned_rig_check(rig);
  below_fail_no_more();
  assert_ok(pinned_alloc(rig->cache, 3 * MIB, &blocks[count++]));
  while (count > 0) assert_ok(pinned_free(rig->cache, blocks[--count]));
  assert_int_equal(pinned_rig_stats(rig).inactive_split.current, 0);
}

/* Takes until no record is left for what is over of a range. */
static void use_the_records_up(pinned_rig *rig) {
  pinned_rig_give(rig, pinned_rig_take(rig, 128 * KIB));
  while (rig->cache->spares.block_count > 0) (void)pinned_rig_take(rig, 512);
}

/* ... and so does one that gets ready when the cap, which was lowered, is in the way. */
static void a_range_that_gets_ready_at_the_cap_and_cannot_be_split_stays_whole(void **state) {
  pinned_rig *rig = *state;
  void *ptr;
  (void)pinned_rig_pend(rig, 3 * MIB, 1);
  use_the_records_up(rig);
  assert_ok(pinned_set_max_reserved_bytes(rig->cache, 1 * MIB));
  rig->device.progress_per_queries = 1; /* the second query finds it over */
  below_fail(1, true);
  assert_result(pinned_alloc(rig->cache, 2 * MIB, &ptr), HOSTCACHE_ERR_NO_METADATA);
  below_fail_no_more();
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_NO_METADATA], 1);
  assert_int_equal(pinned_rig_stats(rig).pending.current, 0);
  pinned_rig_check(rig);
  assert_int_equal(pinned_rig_stats(rig).reserved_bytes.current, 128 * KIB); /* it went back */
}

static void *pend_and_end(void *argument) {
  pinned *cache = argument;
  void *ptr;
  expect_or_abort(pinned_alloc(cache, 3 * MIB, &ptr) == HOSTCACHE_OK);
  expect_or_abort(pinned_record_stream(cache, ptr, 1) == HOSTCACHE_OK);
  expect_or_abort(pinned_free(cache, ptr) == HOSTCACHE_OK);
  return NULL;
}

/* ... or before that, of what this thread freed or another one did. Nothing else is tried. */
static void a_range_that_a_poll_makes_ready_and_that_cannot_be_split_stays_whole(void **state) {
  pinned_rig *rig = *state;
  pthread_t thread;
  void *ptr;
  int other;
  for (other = 0; other < 2; other++) {
    (void)sim_submit(&rig->device, 1);
    if (other) {
      assert_int_equal(pthread_create(&thread, NULL, pend_and_end, rig->cache), 0);
      assert_int_equal(pthread_join(thread, NULL), 0);
    } else {
      (void)pinned_rig_pend(rig, 3 * MIB, 1);
    }
    use_the_records_up(rig);
    sim_complete_all(&rig->device);
    below_fail(1, true);
    assert_result(pinned_alloc(rig->cache, 2 * MIB, &ptr), HOSTCACHE_ERR_NO_METADATA);
    below_fail_no_more();
    assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_NO_METADATA], other + 1);
    assert_int_equal(pinned_rig_stats(rig).pending.current, 0);
    pinned_rig_check(rig);
  }
}

/* Stands for another thread that comes while the cache asks malloc for a record to split with. */
static void take_what_was_to_be_split(void *user) { (void)pinned_rig_take(user, 2 * MIB); }

static void a_range_that_another_thread_takes_during_a_malloc_is_not_handed_out_twice(
    void **state) {
  pinned_rig *rig = *state;
  int taken;
  pinned_rig_give(rig, pinned_rig_take(rig, GIB));
  for (taken = 0; taken < 5;) { /* the referee looks at what is handed out */
    below.once = take_what_was_to_be_split;
    below.once_user = rig;
    (void)pinned_rig_take(rig, 3 * MIB);
    taken += below.once == NULL;
  }
  below.once = NULL;
  assert_int_equal(rig->device.calls[SIM_MEM_ALLOC], 1);
  pinned_rig_check(rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pinned_rig_setup, pinned_rig_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(of_equal_ranges_the_lowest_is_reused_first),
      TEST(every_size_of_a_class_shares_its_blocks),
      TEST(a_large_block_serves_every_request_that_rounds_to_its_size),
      TEST(many_large_blocks_of_one_size_and_of_many_are_all_reused),
      TEST(a_hit_and_a_free_without_uses_call_no_hook_and_no_malloc),
      TEST(empty_cache_gives_back_all_that_is_cached_and_nothing_else),
      TEST(what_another_thread_freed_can_be_had_and_given_back),
      TEST(a_thread_that_ends_leaves_what_it_freed_and_calls_no_hook),
      TEST(the_same_work_again_needs_no_more_memory),
      TEST(the_smallest_range_that_fits_is_taken),
      TEST(a_range_above_max_split_size_is_not_split),
      TEST(the_cap_is_an_error_of_its_own_and_says_which_size_failed),
      TEST(what_is_idle_goes_back_before_the_cap_is_an_error),
      TEST(what_has_completed_is_used_before_the_cap_is_an_error),
      TEST(where_a_shared_segment_would_pass_the_cap_the_requests_own_size_is_got),
      TEST(where_the_runtime_refuses_a_shared_segment_the_requests_own_size_is_got),
      TEST(a_runtime_that_fails_otherwise_is_not_asked_for_less),
      TEST(an_allocation_waits_at_the_cap_as_long_as_the_config_says),
      TEST(who_waits_at_the_cap_gets_what_another_thread_frees),
      TEST(who_waits_at_the_cap_gets_what_a_callback_frees),
      TEST(what_was_reserved_stays_while_more_is_reserved),
      TEST(an_allocation_waits_also_where_the_runtime_is_out_of_memory),
      TEST(eight_threads_never_pass_the_cap),
      TEST(what_is_idle_is_bounded),
      TEST(nothing_is_kept_where_nothing_may_be_idle),
      TEST(the_bounds_may_be_changed_and_the_cache_converges),
      TEST(a_bound_that_cannot_be_kept_says_what_leaked),
      TEST(idle_segments_go_back_before_more_is_held_than_ever),
      TEST(trim_gives_back_what_has_been_idle_for_longest_and_no_more_than_it_must),
      TEST(trim_gives_back_no_more_than_was_idle_when_it_began),
      TEST(what_was_reserved_counts_as_held_until_a_trim),
      TEST(trim_polls_first),
      TEST(trim_says_what_leaked),
      TEST(what_was_idle_for_so_long_goes_back),
      TEST(what_was_reserved_can_be_had_without_a_hook),
      TEST(reserve_says_what_it_cannot_do_and_keeps_what_it_got),
      TEST(a_segment_can_be_reserved_at_creation_and_is_carved_first),
      TEST(create_fails_whole_if_its_segment_cannot_be_had),
      TEST(a_range_that_cannot_be_split_for_want_of_a_record_stays_whole),
      TEST(what_is_not_split_is_larger_than_the_request_by_an_eighth_at_most),
      TEST(shared_segments_are_no_larger_than_what_may_be_split),
      TEST(shared_segments_are_no_larger_than_one_call_may_ask_for),
      TEST(a_failure_takes_nothing_of_the_cap),
      TEST(what_leaked_counts_against_the_cap),
      TEST(a_request_above_the_cap_takes_nothing_from_others),
      TEST(out_of_memory_behind_the_cap_is_reclaimed_for_too),
      TEST(what_completes_while_the_runtime_is_asked_serves_all_sizes),
      TEST(resetting_the_peaks_gives_nothing_back),
      TEST(what_a_callback_frees_above_the_bound_goes_back_later),
      TEST(whatever_makes_ready_keeps_the_bound),
      TEST(as_much_as_may_be_idle_can_be_reserved),
      TEST(a_reserve_that_a_bound_undoes_says_so),
      TEST(a_range_as_large_as_max_split_size_is_split_and_an_eighth_too_much_is_not),
      TEST(what_is_as_large_as_max_split_size_is_not_oversize),
      TEST(what_is_not_split_serves_again_what_it_was_got_for),
      TEST(the_least_that_is_split_does_not_wrap_around),
      TEST(a_shared_segment_is_got_if_what_is_over_of_it_may_just_be_idle),
      TEST(what_is_held_grows_by_no_more_than_what_is_in_use_while_something_is_idle),
      TEST(idle_segments_go_back_before_an_eighth_more_is_held_than_was_ever_in_use),
      TEST(what_is_about_to_be_in_use_counts_for_that_too),
      TEST(what_was_idle_for_exactly_so_long_goes_back_and_for_one_less_stays),
      TEST(a_range_that_gets_ready_at_the_cap_and_cannot_be_split_stays_whole),
      TEST(a_range_that_a_poll_makes_ready_and_that_cannot_be_split_stays_whole),
      TEST(a_range_that_another_thread_takes_during_a_malloc_is_not_handed_out_twice),
      TEST(who_waits_at_the_cap_waits_for_what_is_being_given_back),
  };
  return cmocka_run_group_tests_name("bins", tests, NULL, NULL);
}
