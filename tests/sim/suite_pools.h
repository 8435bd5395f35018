/* suite_pools.h - a template of tests: private pools, captures, checkpoints; of a cache with the
   parameters of hooks_captures.h. */

#ifndef TESTS_SIM_SUITE_POOLS_H
#define TESTS_SIM_SUITE_POOLS_H

static const hostcache_pool_id GRAPH = {0, 7}, OTHER = {7, 0}, NO_POOL = {0, 0};

/* A pool for one stream. */
static int is_stream(void *user, const void *stream) {
  return *(const sim_stream *)stream == *(const sim_stream *)user;
}

static sim_stream on_1 = 1, on_2 = 2;

/* From here on stream 1 is captured, which this thread works for. */
static inline void begin_capture(sim_device *d) {
  sim_current = 1;
  sim_captured_stream = 1;
  d->capturing = true;
}

static inline void end_capture(sim_device *d) {
  d->capturing = false;
  sim_captured_stream = SIM_NO_STREAM;
  sim_current = 0;
}

static atomic_bool filter_may_be_asked; /* as its pool's end has not returned */

/* What a restore tells. */
typedef struct deltas {
  hostcache_delta at[64];
  size_t count;
} deltas;

static inline void note_delta(void *user, const hostcache_delta *delta) {
  deltas *d = (deltas *)user;
  expect_or_abort(d->count < COUNT_OF(d->at));
  d->at[d->count++] = *delta;
}

#endif

static inline void ON_RIG(open_pool)(RIG_NOW *rig, hostcache_pool_id pool) {
  assert_ok(API(begin_allocate_to_pool)(rig->cache, pool, NULL, NULL));
}

static inline void ON_RIG(close_pool)(RIG_NOW *rig, hostcache_pool_id pool) {
  assert_ok(API(end_allocate_to_pool)(rig->cache, pool));
}

/* A block of a pool. */
static inline void *ON_RIG(take_of)(RIG_NOW *rig, hostcache_pool_id pool, size_t size) {
  void *ptr;
  ON_RIG(open_pool)(rig, pool);
  ptr = ON_RIG(take)(rig, size);
  ON_RIG(close_pool)(rig, pool);
  assert_ok(API(release_pool)(rig->cache, pool)); /* the caller has retained it */
  return ptr;
}

static inline void ON_RIG(is_well)(RIG_NOW *rig) { assert_ok(API(check)(rig->cache)); }

/* ---- pools ----------------------------------------------------------------------------------- */

RIG_TEST(a_pool_shares_nothing_with_what_is_outside_of_it) {
  RIG_NOW *rig = *state;
  const size_t size = 64 * KIB;
  void *outside, *inside, *again;
  ON_RIG(warm)(rig, 4 * MIB);
  outside = ON_RIG(take)(rig, size);
  ON_RIG(give)(rig, outside);
  ON_RIG(open_pool)(rig, GRAPH);
  inside = ON_RIG(take)(rig, size);
  assert_ptr_not_equal(inside, outside); /* which is ready, in a stock */
  ON_RIG(give)(rig, inside);
  again = ON_RIG(take)(rig, size);
  assert_ptr_equal(again, inside);
  ON_RIG(give)(rig, again);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ptr_equal(ON_RIG(take)(rig, size), outside);
  again = ON_RIG(take)(rig, size);
  assert_ptr_not_equal(again, inside);
  ON_RIG(is_well)(rig);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

RIG_TEST(pools_share_nothing_with_each_other) {
  RIG_NOW *rig = *state;
  void *one, *two;
  assert_ok(API(retain_pool)(rig->cache, GRAPH));
  assert_ok(API(retain_pool)(rig->cache, OTHER));
  one = ON_RIG(take_of)(rig, GRAPH, 2 * MIB);
  ON_RIG(give)(rig, one);
  two = ON_RIG(take_of)(rig, OTHER, 2 * MIB);
  assert_ptr_not_equal(two, one);
  assert_ptr_equal(ON_RIG(take_of)(rig, GRAPH, 2 * MIB), one);
  ON_RIG(is_well)(rig);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  assert_ok(API(release_pool)(rig->cache, OTHER));
  ON_RIG(is_well)(rig);
}

RIG_TEST(a_pool_keeps_its_memory_until_it_is_released) {
  RIG_NOW *rig = *state;
  void *small, *large;
  ON_RIG(open_pool)(rig, GRAPH);
  small = ON_RIG(take)(rig, 4 * KIB);
  large = ON_RIG(take)(rig, 3 * MIB);
  ON_RIG(give)(rig, small);
  ON_RIG(give)(rig, large);
  assert_ok(API(empty_cache)(rig->cache));
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(empty_cache)(rig->cache));
  assert_int_equal(ON_RIG(stats)(rig).segment.current, 2);
  ON_RIG(is_well)(rig);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  assert_int_equal(ON_RIG(stats)(rig).segment.current, 2); /* idle, as any other is */
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), large);
  ON_RIG(is_well)(rig);
  assert_ok(API(empty_cache)(rig->cache));
  assert_int_equal(ON_RIG(stats)(rig).segment.current, 1);
}

RIG_TEST(a_pool_lives_until_its_last_release) {
  RIG_NOW *rig = *state;
  void *ptr;
  assert_int_equal(API(pool_use_count)(rig->cache, GRAPH), 0);
  ON_RIG(open_pool)(rig, GRAPH);
  ptr = ON_RIG(take)(rig, 64 * KIB);
  ON_RIG(give)(rig, ptr);
  ON_RIG(close_pool)(rig, GRAPH);
  ON_RIG(open_pool)(rig, GRAPH);
  ON_RIG(close_pool)(rig, GRAPH);
  ON_RIG(open_pool)(rig, GRAPH);
  assert_int_equal(API(pool_use_count)(rig->cache, GRAPH), 3);
  assert_ok(API(release_pool)(rig->cache, GRAPH)); /* which is open: only the last one ends it */
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  assert_ok(API(empty_cache)(rig->cache));
  assert_int_equal(ON_RIG(stats)(rig).segment.current, 1);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  assert_int_equal(API(pool_use_count)(rig->cache, GRAPH), 0);
  assert_ok(API(empty_cache)(rig->cache));
  assert_int_equal(ON_RIG(stats)(rig).segment.current, 0);
}

RIG_TEST(a_name_can_be_used_again) {
  RIG_NOW *rig = *state;
  void *old, *ptr;
  ON_RIG(warm)(rig, 4 * MIB);
  ON_RIG(open_pool)(rig, GRAPH);
  old = ON_RIG(take)(rig, 64 * KIB);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  ON_RIG(open_pool)(rig, GRAPH);
  ON_RIG(give)(rig, old); /* which is of no pool any more */
  ptr = ON_RIG(take)(rig, 64 * KIB);
  assert_ptr_not_equal(ptr, old);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), old);
  ON_RIG(is_well)(rig);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

RIG_TEST(pools_that_come_and_go_need_no_more_and_more_memory) {
  RIG_NOW *rig = *state;
  long long live = 0;
  int i;
  for (i = 0; i < 10; i++) {
    if (i == 1) live = atomic_load(&below.live);
    assert_ok(API(retain_pool)(rig->cache, i % 2 == 0 ? GRAPH : OTHER));
    assert_ok(API(release_pool)(rig->cache, i % 2 == 0 ? GRAPH : OTHER));
  }
  assert_int_equal(atomic_load(&below.live), live);
}

RIG_TEST(a_filter_says_whose_allocations_belong_to_a_pool) {
  RIG_NOW *rig = *state;
  void *of_1, *of_2, *of_3;
  assert_ok(API(begin_allocate_to_pool)(rig->cache, GRAPH, is_stream, &on_1));
  assert_ok(API(begin_allocate_to_pool)(rig->cache, OTHER, is_stream, &on_2));
  sim_current = 1;
  of_1 = ON_RIG(take)(rig, 64 * KIB);
  ON_RIG(give)(rig, of_1);
  sim_current = 2;
  of_2 = ON_RIG(take)(rig, 64 * KIB);
  assert_ptr_not_equal(of_2, of_1);
  ON_RIG(give)(rig, of_2);
  sim_current = 3;
  of_3 = ON_RIG(take)(rig, 64 * KIB);
  assert_true(of_3 != of_1 && of_3 != of_2);
  sim_current = 1;
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), of_1);
  sim_current = 2;
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), of_2);
  sim_current = 0;
  ON_RIG(close_pool)(rig, GRAPH);
  ON_RIG(close_pool)(rig, OTHER);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  assert_ok(API(release_pool)(rig->cache, OTHER));
}

/* The thread can be cancelled again after that. */
RIG_TEST(a_filter_is_asked_as_a_hook_is) {
  RIG_NOW *rig = *state;
  int cancel;
  assert_ok(API(begin_allocate_to_pool)(rig->cache, GRAPH, is_stream, &on_1));
  (void)ON_RIG(take)(rig, 64 * KIB);
  assert_int_equal(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &cancel), 0);
  assert_int_equal(cancel, PTHREAD_CANCEL_ENABLE);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

RIG_TEST(of_several_open_pools_the_one_opened_first_counts) {
  RIG_NOW *rig = *state;
  void *ptr;
  ON_RIG(open_pool)(rig, OTHER);
  ON_RIG(open_pool)(rig, GRAPH);
  ptr = ON_RIG(take)(rig, 64 * KIB);
  ON_RIG(give)(rig, ptr);
  ON_RIG(close_pool)(rig, OTHER);
  assert_ptr_not_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
  ON_RIG(close_pool)(rig, GRAPH);
  ON_RIG(open_pool)(rig, OTHER);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
  ON_RIG(close_pool)(rig, OTHER);
  assert_ok(API(release_pool)(rig->cache, OTHER));
  assert_ok(API(release_pool)(rig->cache, OTHER));
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

RIG_TEST(hits_call_no_hook_once_no_pool_is_open) {
  RIG_NOW *rig = *state;
  void *ptr;
  uint64_t calls;
  uint32_t stop;
  ON_RIG(give)(rig, ON_RIG(take)(rig, 64 * KIB));
  stop = hostcache_u32_load_relaxed(&API(i_here_already)(rig->cache)->stop);
  ON_RIG(open_pool)(rig, GRAPH);
  ON_RIG(close_pool)(rig, GRAPH);
  calls = sim_capture_calls;
  ptr = ON_RIG(take)(rig, 64 * KIB);
  ON_RIG(give)(rig, ptr);
  assert_int_equal(sim_capture_calls, calls);
  assert_int_equal(hostcache_u32_load_relaxed(&API(i_here_already)(rig->cache)->stop), stop);
  ON_RIG(open_pool)(rig, GRAPH);
  ptr = ON_RIG(take)(rig, 64 * KIB);
  assert_true(sim_capture_calls > calls);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

RIG_TEST(what_is_in_use_outlives_its_pool) {
  RIG_NOW *rig = *state;
  void *ptr;
  ON_RIG(open_pool)(rig, GRAPH);
  ptr = ON_RIG(take)(rig, 64 * KIB);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  ON_RIG(is_well)(rig);
  (void)ON_RIG(use)(rig, ptr, 3);
  ON_RIG(give)(rig, ptr);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
}

RIG_TEST(a_block_of_a_pool_waits_for_its_uses_and_serves_its_pool_again) {
  RIG_NOW *rig = *state;
  void *ptr;
  assert_ok(API(retain_pool)(rig->cache, GRAPH));
  ptr = ON_RIG(take_of)(rig, GRAPH, 2 * MIB);
  (void)ON_RIG(use)(rig, ptr, 3);
  ON_RIG(give)(rig, ptr);
  assert_ptr_not_equal(ON_RIG(take)(rig, 2 * MIB), ptr);
  sim_complete_all(&rig->device);
  assert_ok(API(process_events)(rig->cache, NULL));
  assert_ptr_not_equal(ON_RIG(take)(rig, 2 * MIB), ptr);
  assert_ptr_equal(ON_RIG(take_of)(rig, GRAPH, 2 * MIB), ptr);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

RIG_TEST(a_pool_can_be_told_to_give_its_idle_memory_back) {
  RIG_NOW *rig = *state;
  void *kept, *idle, *outside = ON_RIG(take)(rig, 2 * MIB);
  assert_ok(API(retain_pool)(rig->cache, GRAPH));
  kept = ON_RIG(take_of)(rig, GRAPH, 2 * MIB);
  idle = ON_RIG(take_of)(rig, GRAPH, 3 * MIB);
  ON_RIG(give)(rig, idle);
  ON_RIG(give)(rig, outside);
  assert_ok(API(empty_cache_pool)(rig->cache, GRAPH));
  ON_RIG(is_well)(rig);
  assert_int_equal(ON_RIG(stats)(rig).segment.current, 2); /* `kept`, and what is outside */
  assert_int_equal(API(pool_reserved_bytes)(rig->cache, GRAPH), 2 * MIB);
  assert_int_equal(API(pool_reserved_bytes)(rig->cache, OTHER), 0);
  assert_ok(API(empty_cache_pool)(rig->cache, NO_POOL));
  assert_int_equal(ON_RIG(stats)(rig).segment.current, 1);
  assert_result(API(empty_cache_pool)(rig->cache, OTHER), HOSTCACHE_ERR_NOT_FOUND);
  (void)ON_RIG(use)(rig, kept, 3);
  sim_complete_all(&rig->device);
  sim_handed_back(&rig->device, kept);
  assert_ok(API(free_deferred)(rig->cache, kept)); /* which is seen to */
  sim_fail(&rig->device, 1, false, SIM_ONLY(SIM_MEM_FREE));
  assert_result(API(empty_cache_pool)(rig->cache, GRAPH), HOSTCACHE_ERR_LEAKED);
  rig->may_leak = true;
  ON_RIG(is_well)(rig);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  ON_RIG(is_well)(rig);
}

RIG_TEST(the_cap_holds_over_all_pools) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  void *ptr;
  config.max_reserved_bytes = 4 * MIB;
  ON_RIG(configure)(rig, config);
  ON_RIG(open_pool)(rig, GRAPH);
  ptr = ON_RIG(take)(rig, 3 * MIB);
  ON_RIG(give)(rig, ptr);
  ON_RIG(close_pool)(rig, GRAPH);
  /* what the pool keeps serves nobody else, and does not go back */
  assert_result(API(alloc)(rig->cache, 2 * MIB, &ptr), HOSTCACHE_ERR_LIMIT);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  (void)ON_RIG(take)(rig, 2 * MIB);
  assert_true(rig->device.peak_bytes <= 4 * MIB);
}

RIG_TEST(what_a_pool_keeps_is_not_bound_as_idle_memory_is) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  static const size_t bounds[] = {HOSTCACHE_NONE, 3 * MIB};
  void *outside, *inside;
  size_t i;
  for (i = 0; i < COUNT_OF(bounds); i++) { /* so many segments may be idle */
    config.max_cached_bytes = bounds[i];
    ON_RIG(configure)(rig, config);
    outside = ON_RIG(take)(rig, 2 * MIB);
    ON_RIG(open_pool)(rig, GRAPH);
    inside = ON_RIG(take)(rig, 2 * MIB);
    ON_RIG(give)(rig, inside);
    ON_RIG(give)(rig, outside);
    assert_ok(API(process_events)(rig->cache, NULL));
    assert_int_equal(ON_RIG(stats)(rig).segment.current, i + 1);
    ON_RIG(close_pool)(rig, GRAPH);
    assert_ok(API(release_pool)(rig->cache, GRAPH)); /* now it is idle memory, and goes */
    assert_int_equal(ON_RIG(stats)(rig).segment.current, i);
  }
}

RIG_TEST(what_cannot_be_told_of_the_stream_is_an_error) {
  RIG_NOW *rig = *state;
  void *ptr = NULL;
  ON_RIG(open_pool)(rig, GRAPH);
  sim_current_fails = 9;
  assert_result(API(alloc)(rig->cache, 64 * KIB, &ptr), HOSTCACHE_ERR_HOOK);
  sim_current_fails = 0;
  assert_null(ptr);
  assert_int_equal(rig->heard.result, HOSTCACHE_ERR_HOOK);
  assert_int_equal(rig->heard.code, 9);
  sim_is_capturing_fails = 8;
  assert_result(API(alloc)(rig->cache, 64 * KIB, &ptr), HOSTCACHE_ERR_HOOK);
  sim_is_capturing_fails = 0;
  assert_null(ptr);
  assert_int_equal(rig->heard.code, 8);
  assert_int_equal(ON_RIG(stats)(rig).reserved_bytes.current, 0);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

RIG_TEST(wrong_calls_about_pools_are_told) {
  RIG_NOW *rig = *state;
  API(checkpoint) *checkpoint = NULL;
  assert_result(API(begin_allocate_to_pool)(NULL, GRAPH, NULL, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(API(begin_allocate_to_pool)(rig->cache, NO_POOL, NULL, NULL),
                HOSTCACHE_ERR_ARGUMENT);
  assert_result(API(retain_pool)(rig->cache, NO_POOL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(API(end_allocate_to_pool)(rig->cache, GRAPH), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(API(release_pool)(rig->cache, GRAPH), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(API(checkpoint_pool)(rig->cache, GRAPH, &checkpoint), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(API(checkpoint_pool)(rig->cache, GRAPH, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(API(restore_pool)(rig->cache, NULL, NULL, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_null(checkpoint);
  ON_RIG(open_pool)(rig, GRAPH);
  assert_result(API(begin_allocate_to_pool)(rig->cache, GRAPH, NULL, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_int_equal(API(pool_use_count)(rig->cache, GRAPH), 1);
  assert_result(API(release_pool)(rig->cache, GRAPH), HOSTCACHE_ERR_BUSY);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_result(API(end_allocate_to_pool)(rig->cache, GRAPH), HOSTCACHE_ERR_NOT_FOUND);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  assert_result(API(release_pool)(rig->cache, GRAPH), HOSTCACHE_ERR_NOT_FOUND);
  assert_int_equal(API(pool_use_count)(NULL, GRAPH), 0);
  API(checkpoint_free)(NULL);
}

RIG_TEST(what_a_release_cannot_give_back_or_record_is_told) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  void *ptr;
  config.max_cached_bytes = HOSTCACHE_NONE;
  ON_RIG(configure)(rig, config);
  rig->may_leak = true;
  ON_RIG(open_pool)(rig, GRAPH);
  ptr = ON_RIG(take)(rig, 3 * MIB);
  ON_RIG(close_pool)(rig, GRAPH);
  ON_RIG(give)(rig, ptr);
  sim_fail(&rig->device, 1, true, SIM_ONLY(SIM_MEM_FREE));
  assert_result(API(release_pool)(rig->cache, GRAPH), HOSTCACHE_ERR_LEAKED);
  sim_fail_no_more(&rig->device);

  ON_RIG(open_pool)(rig, GRAPH);
  begin_capture(&rig->device);
  ptr = ON_RIG(take)(rig, 64 * KIB);
  assert_ok(API(record_stream)(rig->cache, ptr, 1));
  ON_RIG(give)(rig, ptr);
  end_capture(&rig->device);
  ON_RIG(close_pool)(rig, GRAPH);
  sim_fail(&rig->device, 1, true, SIM_EVERY_RECORD);
  assert_result(API(release_pool)(rig->cache, GRAPH), HOSTCACHE_ERR_EVENT);
  sim_fail_no_more(&rig->device);
}

RIG_TEST(of_a_pool_only_whole_segments_go_back_and_what_fails_there_is_told) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  void *first, *second;
  config.segment_bytes = 0;
  ON_RIG(configure)(rig, config);
  ON_RIG(open_pool)(rig, GRAPH);
  first = ON_RIG(take)(rig, 64 * KIB);
  second = ON_RIG(take)(rig, 64 * KIB);
  ON_RIG(close_pool)(rig, GRAPH);
  ON_RIG(give)(rig, first);
  assert_ok(API(empty_cache)(rig->cache)); /* so that it is in no stock */
  assert_ok(API(empty_cache_pool)(rig->cache, GRAPH));
  assert_int_equal(API(pool_reserved_bytes)(rig->cache, GRAPH), 2 * MIB);
  (void)ON_RIG(use)(rig, second, 3);
  ON_RIG(give)(rig, second);
  sim_fail(&rig->device, 1, true, SIM_EVERY_QUERY);
  assert_result(API(empty_cache_pool)(rig->cache, GRAPH), HOSTCACHE_ERR_EVENT);
  sim_fail_no_more(&rig->device);
  sim_complete_all(&rig->device);
  assert_ok(API(empty_cache_pool)(rig->cache, GRAPH));
  assert_int_equal(API(pool_reserved_bytes)(rig->cache, GRAPH), 0);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

RIG_TEST(the_pool_opened_first_counts_also_where_it_is_the_younger_one) {
  RIG_NOW *rig = *state;
  void *ptr;
  ON_RIG(open_pool)(rig, GRAPH);
  ON_RIG(open_pool)(rig, OTHER);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(begin_allocate_to_pool)(rig->cache, GRAPH, NULL, NULL)); /* retains it again */
  ptr = ON_RIG(take)(rig, 3 * MIB);
  assert_int_equal(API(pool_reserved_bytes)(rig->cache, OTHER), 3 * MIB);
  assert_int_equal(API(pool_reserved_bytes)(rig->cache, GRAPH), 0);
  ON_RIG(give)(rig, ptr);
  ON_RIG(close_pool)(rig, OTHER);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  assert_ok(API(release_pool)(rig->cache, OTHER));
}

RIG_TEST(a_pool_without_memory_for_its_record_is_not_made) {
  RIG_NOW *rig = *state;
  below_fail(1, true);
  assert_result(API(begin_allocate_to_pool)(rig->cache, GRAPH, NULL, NULL),
                HOSTCACHE_ERR_NO_METADATA);
  assert_result(API(retain_pool)(rig->cache, GRAPH), HOSTCACHE_ERR_NO_METADATA);
  below_fail_no_more();
  assert_int_equal(API(pool_use_count)(rig->cache, GRAPH), 0);
  assert_int_equal(rig->heard.result, HOSTCACHE_ERR_NO_METADATA);
}

RIG_TEST(a_cache_may_end_with_its_pools) {
  RIG_NOW *rig = *state;
  void *ptr;
  ON_RIG(open_pool)(rig, GRAPH);
  ptr = ON_RIG(take)(rig, 64 * KIB);
  assert_result(API(destroy)(rig->cache), HOSTCACHE_ERR_BUSY);
  ON_RIG(give)(rig, ptr);
  assert_ok(API(destroy)(rig->cache)); /* which gives back what the pool has kept */
  rig->cache = NULL;
}

/* ---- captures -------------------------------------------------------------------------------- */

RIG_TEST(what_is_got_for_a_capture_and_not_used_is_ready_at_once) {
  RIG_NOW *rig = *state;
  void *ptr;
  ON_RIG(open_pool)(rig, GRAPH);
  begin_capture(&rig->device);
  ptr = ON_RIG(take)(rig, 64 * KIB);
  ON_RIG(give)(rig, ptr);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
  end_capture(&rig->device);
  ON_RIG(close_pool)(rig, GRAPH);
  ON_RIG(give)(rig, ptr); /* got for the capture, and freed after it */
  assert_ptr_not_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

/* The bug: memory that a graph uses was reused between its replays (pytorch #161583). */
RIG_TEST(what_is_used_in_a_capture_stays_until_its_pool_is_released) {
  RIG_NOW *rig = *state;
  void *during, *after, *large;
  ON_RIG(open_pool)(rig, GRAPH);
  begin_capture(&rig->device);
  during = ON_RIG(take)(rig, 64 * KIB);
  after = ON_RIG(take)(rig, 64 * KIB);
  large = ON_RIG(take)(rig, 5 * MIB);
  assert_ok(API(record_stream)(rig->cache, during, 1));
  assert_ok(API(record_stream)(rig->cache, after, 1));
  assert_ok(API(record_stream)(rig->cache, large, 1));
  ON_RIG(give)(rig, during);
  sim_handed_back(&rig->device, large);
  assert_ok(API(free_deferred)(rig->cache, large));
  assert_ptr_not_equal(ON_RIG(take)(rig, 64 * KIB), during);
  end_capture(&rig->device);
  ON_RIG(close_pool)(rig, GRAPH);
  ON_RIG(give)(rig, after);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 3);
  assert_ok(API(release_quarantine)(rig->cache)); /* the device is idle, but the graph lives */
  assert_ok(API(empty_cache)(rig->cache));
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 3);
  ON_RIG(is_well)(rig);
  assert_result(API(free)(rig->cache, during), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
  ON_RIG(is_well)(rig);
  assert_ptr_equal(ON_RIG(take)(rig, 5 * MIB), large);
}

RIG_TEST(a_pool_that_was_released_does_not_hold_what_is_freed_later) {
  RIG_NOW *rig = *state;
  void *ptr;
  ON_RIG(open_pool)(rig, GRAPH);
  begin_capture(&rig->device);
  ptr = ON_RIG(take)(rig, 64 * KIB);
  assert_ok(API(record_stream)(rig->cache, ptr, 1));
  end_capture(&rig->device);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  (void)sim_use(&rig->device, 1, ptr);
  ON_RIG(give)(rig, ptr); /* a free like any other: it waits for the stream */
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
}

/* A block that was got for a capture, marked by the captured stream, and is active. */
static inline void *ON_RIG(capture)(RIG_NOW *rig, size_t size) {
  void *ptr;
  ON_RIG(open_pool)(rig, GRAPH);
  begin_capture(&rig->device);
  ptr = ON_RIG(take)(rig, size);
  assert_ok(API(record_stream)(rig->cache, ptr, 1));
  end_capture(&rig->device);
  ON_RIG(close_pool)(rig, GRAPH);
  return ptr;
}

RIG_TEST(what_was_used_beside_the_capture_is_waited_for_at_the_release) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(capture)(rig, 3 * MIB);
  (void)ON_RIG(use)(rig, ptr, 3); /* no part of what was captured */
  ON_RIG(give)(rig, ptr);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
  assert_ptr_not_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
  assert_ok(API(empty_cache)(rig->cache));
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

RIG_TEST(what_is_released_during_another_capture_waits_for_its_end) {
  RIG_NOW *rig = *state;
  ON_RIG(give)(rig, ON_RIG(capture)(rig, 3 * MIB));
  ON_RIG(open_pool)(rig, OTHER);
  begin_capture(&rig->device);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
  ON_RIG(is_well)(rig);
  end_capture(&rig->device);
  ON_RIG(close_pool)(rig, OTHER);
  assert_ok(API(process_events)(rig->cache, NULL));
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
  assert_ok(API(release_pool)(rig->cache, OTHER));
}

RIG_TEST(a_stream_may_be_forgotten_that_was_captured) {
  RIG_NOW *rig = *state;
  void *active, *freed;
  ON_RIG(let_streams_die_idle)(rig);
  active = ON_RIG(capture)(rig, 3 * MIB);
  assert_ok(API(forget_stream)(rig->cache, 1));
  sim_stream_destroy(&rig->device, 1);
  sim_stream_create(&rig->device, 1);
  ON_RIG(give)(rig, active);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1); /* it was used all the same */
  freed = ON_RIG(capture)(rig, 3 * MIB);
  assert_ptr_not_equal(freed, active);
  ON_RIG(give)(rig, freed);
  assert_ok(API(forget_stream)(rig->cache, 1));
  sim_stream_destroy(&rig->device, 1); /* its marks are gone with it */
  ON_RIG(is_well)(rig);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 2);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
  ON_RIG(is_well)(rig);
}

/* What was not got for a capture is ready then, as nothing may use it again. */
RIG_TEST(a_stream_may_be_forgotten_beside_the_captures_of_others) {
  RIG_NOW *rig = *state;
  void *ptr;
  ON_RIG(let_streams_die_idle)(rig);
  ptr = ON_RIG(take)(rig, 3 * MIB);
  (void)ON_RIG(use)(rig, ptr, 3);
  sim_complete_all(&rig->device);
  assert_ok(API(forget_stream)(rig->cache, 3));
  sim_stream_destroy(&rig->device, 3);
  ON_RIG(give)(rig, ptr);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

/* A thread that opens a pool, after which a stream may be captured. */
typedef struct ON_RIG(opener) {
  RIG_NOW *rig;
  pthread_t thread;
  bool began;
} ON_RIG(opener);

static inline void *ON_RIG(open_in_a_thread)(void *argument) {
  const ON_RIG(opener) *opener = argument;
  expect_or_abort(API(begin_allocate_to_pool)(opener->rig->cache, GRAPH, NULL, NULL) ==
                  HOSTCACHE_OK);
  return NULL;
}

/* It has to wait for the hook that calls this, and has seen so when this ends: it pauses. */
static inline void ON_RIG(let_a_capture_begin)(void *user, sim_hook hook) {
  ON_RIG(opener) *opener = user;
  const unsigned asks = SIM_EVERY_QUERY | SIM_EVERY_WAIT;
  const unsigned long before = atomic_load(&pauses);
  if (opener->began || (asks & SIM_ONLY(hook)) == 0) return;
  opener->began = true;
  expect_or_abort(pthread_create(&opener->thread, NULL, ON_RIG(open_in_a_thread), opener) == 0);
  while (atomic_load(&pauses) == before) (void)give_way();
  expect_or_abort(hostcache_u32_load_acquire(&opener->rig->cache->open_pools) > 0);
}

RIG_TEST(a_stream_is_not_forgotten_when_a_capture_begins_while_it_is_waited_for) {
  RIG_NOW *rig = *state;
  ON_RIG(opener) opener = {.rig = rig};
  ON_RIG(let_streams_die_idle)(rig);
  (void)ON_RIG(pend)(rig, 3 * MIB, 3);
  rig->device.on_hook = ON_RIG(let_a_capture_begin);
  rig->device.on_hook_user = &opener;
  assert_result(API(forget_stream)(rig->cache, 3), HOSTCACHE_ERR_BUSY);
  assert_true(opener.began);
  assert_int_equal(pthread_join(opener.thread, NULL), 0);
  rig->device.on_hook = NULL;
  begin_capture(&rig->device);
  assert_int_equal(ON_RIG(poll)(rig), 0);
  end_capture(&rig->device);
  ON_RIG(close_pool)(rig, GRAPH);
  sim_complete_all(&rig->device);
  assert_ok(API(forget_stream)(rig->cache, 3));
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

RIG_TEST(one_release_of_the_quarantine_is_enough) {
  RIG_NOW *rig = *state;
  sim_stream stream;
  void *ptr;
  assert_ok(API(begin_allocate_to_pool)(rig->cache, OTHER, is_stream, &on_2));
  begin_capture(&rig->device); /* outside of all pools */
  ptr = ON_RIG(take)(rig, 64 * KIB);
  end_capture(&rig->device);
  ON_RIG(close_pool)(rig, OTHER);
  for (stream = 1; stream <= 4; stream++) (void)ON_RIG(use)(rig, ptr, stream);
  below_fail(1, true); /* the fifth finds no room */
  assert_result(API(record_stream)(rig->cache, ptr, 5), HOSTCACHE_ERR_NO_METADATA);
  below_fail_no_more();
  ON_RIG(give)(rig, ptr);
  sim_complete_all(&rig->device);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
  assert_ok(API(release_quarantine)(rig->cache));
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
  assert_ok(API(release_pool)(rig->cache, OTHER));
}

/* A free by another thread, while forget_stream records. */
static inline void ON_RIG(free_it)(void *user, sim_hook hook) {
  RIG_NOW *rig = user;
  void *ptr = (void *)rig->device.blocks.at[0].start;
  if ((SIM_ONLY(hook) & (SIM_ONLY(SIM_EVENT_RECORD) | SIM_ONLY(SIM_TIMELINE_RECORD))) == 0) return;
  rig->device.on_hook = NULL;
  sim_handed_back(&rig->device, ptr);
  expect_or_abort(API(free)(rig->cache, ptr) == HOSTCACHE_OK);
}

RIG_TEST(what_is_freed_while_its_stream_is_forgotten_is_not_recorded_there_later) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(capture)(rig, 3 * MIB);
  (void)ON_RIG(use)(rig, ptr, 3);
  sim_complete_all(&rig->device);
  rig->device.on_hook = ON_RIG(free_it);
  rig->device.on_hook_user = rig;
  assert_ok(API(forget_stream)(rig->cache, 3));
  assert_null(rig->device.on_hook);
  sim_stream_destroy(&rig->device, 3); /* a hook that sees it breaks a rule */
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  assert_ok(API(synchronize)(rig->cache, 0));
  sim_stream_create(&rig->device, 3);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

static inline void ON_RIG(end_the_capture)(void *user, sim_hook hook) {
  RIG_NOW *rig = user;
  if (hook != SIM_MEM_FREE) return;
  rig->device.on_hook = NULL;
  end_capture(&rig->device);
  expect_or_abort(API(end_allocate_to_pool)(rig->cache, GRAPH) == HOSTCACHE_OK);
}

RIG_TEST(synchronize_is_busy_also_where_the_capture_ends_meanwhile) {
  RIG_NOW *rig = *state;
  void *big = ON_RIG(take)(rig, 4 * MIB), *marked = ON_RIG(take)(rig, 2 * MIB);
  (void)ON_RIG(use)(rig, marked, 3);
  assert_ok(API(set_max_cached_bytes)(rig->cache, 4096));
  ON_RIG(open_pool)(rig, GRAPH);
  begin_capture(&rig->device);
  ON_RIG(give)(rig, marked);
  sim_handed_back(&rig->device, big);
  assert_ok(API(free_deferred)(rig->cache, big));
  rig->device.on_hook = ON_RIG(end_the_capture); /* as another thread would */
  rig->device.on_hook_user = rig;
  assert_result(API(synchronize)(rig->cache, 1000000), HOSTCACHE_ERR_BUSY);
  assert_null(rig->device.on_hook);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

/* A capture begins on another thread, which is started in a hook. */
typedef struct ON_RIG(beginner) {
  RIG_NOW *rig;
  pthread_t thread, poller;
  unsigned hooks; /* in the first call of one of them */
  atomic_bool used, over;
} ON_RIG(beginner);

static inline void *ON_RIG(begin_from_a_thread)(void *argument) {
  ON_RIG(beginner) *b = argument;
  expect_or_abort(API(begin_allocate_to_pool)(b->rig->cache, GRAPH, NULL, NULL) == HOSTCACHE_OK);
  return NULL;
}

static inline void ON_RIG(let_it_begin)(void *user, sim_hook hook) {
  ON_RIG(beginner) *b = user;
  if (!(b->hooks & SIM_ONLY(hook)) || atomic_exchange(&b->used, true)) return;
  expect_or_abort(pthread_create(&b->thread, NULL, ON_RIG(begin_from_a_thread), b) == 0);
}

static inline void ON_RIG(prepare_to_begin)(ON_RIG(beginner) * b, RIG_NOW *rig, unsigned hooks,
                                            void (*on_hook)(void *user, sim_hook hook)) {
  b->rig = rig;
  b->hooks = hooks;
  atomic_store(&b->used, false);
  atomic_store(&b->over, false);
  rig->device.on_hook = on_hook;
  rig->device.on_hook_user = b;
}

static inline void ON_RIG(end_what_began)(ON_RIG(beginner) * b) {
  assert_int_equal(pthread_join(b->thread, NULL), 0);
  b->rig->device.on_hook = NULL;
  ON_RIG(close_pool)(b->rig, GRAPH);
  assert_ok(API(release_pool)(b->rig->cache, GRAPH));
  assert_int_equal(ON_RIG(stats)(b->rig).pending.current, 1);
}

RIG_TEST(synchronize_is_busy_once_a_capture_begins) {
  RIG_NOW *rig = *state;
  ON_RIG(beginner) b;
  (void)ON_RIG(pend)(rig, 64 * KIB, 3); /* whose work does not end */
  ON_RIG(prepare_to_begin)(&b, rig, SIM_EVERY_QUERY, ON_RIG(let_it_begin));
  assert_result(API(synchronize)(rig->cache, UINT64_MAX - 1), HOSTCACHE_ERR_BUSY);
  ON_RIG(end_what_began)(&b);
}

/* The poller, which stands in a hook, lets the capture begin once the test's thread waits for what
   it has, and so looks at the clock. */
static inline void ON_RIG(let_it_begin_when_awaited)(void *user, sim_hook hook) {
  ON_RIG(beginner) *b = user;
  const uint64_t began = atomic_load(&below.now_ns);
  if (!(b->hooks & SIM_ONLY(hook)) || atomic_exchange(&b->used, true)) return;
  while (atomic_load(&below.now_ns) - began < 10000) sched_yield();
  expect_or_abort(pthread_create(&b->thread, NULL, ON_RIG(begin_from_a_thread), b) == 0);
  while (!atomic_load(&b->over)) sched_yield();
}

static inline void *ON_RIG(poll_from_a_thread)(void *argument) {
  ON_RIG(beginner) *b = argument;
  expect_or_abort(API(process_events)(b->rig->cache, NULL) == HOSTCACHE_OK);
  return NULL;
}

RIG_TEST(synchronize_is_busy_once_a_capture_begins_while_another_thread_records) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  ON_RIG(beginner) b;
  (void)ON_RIG(use)(rig, ptr, 3);
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free_deferred)(rig->cache, ptr));
  ON_RIG(prepare_to_begin)(&b, rig, SIM_EVERY_RECORD, ON_RIG(let_it_begin_when_awaited));
  assert_int_equal(pthread_create(&b.poller, NULL, ON_RIG(poll_from_a_thread), &b), 0);
  while (!atomic_load(&b.used)) sched_yield();
  assert_result(API(synchronize)(rig->cache, UINT64_MAX - 1), HOSTCACHE_ERR_BUSY);
  atomic_store(&b.over, true);
  assert_int_equal(pthread_join(b.poller, NULL), 0);
  ON_RIG(end_what_began)(&b);
}

/* It may be this thread that ends the capture. */
RIG_TEST(an_allocation_does_not_wait_for_the_end_of_a_capture) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  void *ptr, *more;
  config.max_reserved_bytes = 4 * MIB;
  config.wait_on_limit_ns = UINT64_MAX;
  ON_RIG(configure)(rig, config);
  ptr = ON_RIG(take)(rig, 4 * MIB);
  (void)ON_RIG(use)(rig, ptr, 3);
  sim_complete_all(&rig->device);
  ON_RIG(open_pool)(rig, GRAPH);
  begin_capture(&rig->device);
  ON_RIG(give)(rig, ptr);
  assert_result(API(alloc)(rig->cache, 2 * MIB, &more), HOSTCACHE_ERR_LIMIT);
  end_capture(&rig->device);
  ON_RIG(close_pool)(rig, GRAPH);
  (void)ON_RIG(take)(rig, 2 * MIB);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

static inline void ON_RIG(end_the_pool)(void *user, sim_hook hook) {
  RIG_NOW *rig = user;
  rig->device.on_hook = NULL;
  (void)hook;
  expect_or_abort(API(end_allocate_to_pool)(rig->cache, GRAPH) == HOSTCACHE_OK);
  expect_or_abort(API(release_pool)(rig->cache, GRAPH) == HOSTCACHE_OK);
  expect_or_abort(API(retain_pool)(rig->cache, OTHER) == HOSTCACHE_OK);
}

RIG_TEST(what_is_got_while_its_pool_ends_is_of_no_pool) {
  RIG_NOW *rig = *state;
  void *ptr;
  ON_RIG(open_pool)(rig, GRAPH);
  begin_capture(&rig->device);
  rig->device.on_hook = ON_RIG(end_the_pool); /* in HC_MEM_ALLOC, as another thread would */
  rig->device.on_hook_user = rig;
  ptr = ON_RIG(take)(rig, 3 * MIB);
  end_capture(&rig->device);
  assert_int_equal(API(pool_reserved_bytes)(rig->cache, OTHER), 0); /* which came meanwhile */
  assert_ok(API(release_pool)(rig->cache, OTHER));
  (void)ON_RIG(use)(rig, ptr, 1);
  ON_RIG(give)(rig, ptr);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

RIG_TEST(what_is_captured_outside_of_all_pools_is_quarantined) {
  RIG_NOW *rig = *state;
  void *ptr;
  assert_ok(API(begin_allocate_to_pool)(rig->cache, OTHER, is_stream, &on_2));
  begin_capture(&rig->device); /* of stream 1, which the pool does not want */
  ptr = ON_RIG(take)(rig, 64 * KIB);
  assert_ok(API(record_stream)(rig->cache, ptr, 1));
  ON_RIG(give)(rig, ptr);
  end_capture(&rig->device);
  ON_RIG(close_pool)(rig, OTHER);
  assert_ok(API(release_pool)(rig->cache, OTHER));
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
  assert_ok(API(release_quarantine)(rig->cache));
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
  ON_RIG(is_well)(rig);
}

/* It may be used by a replay as soon as it is freed. */
RIG_TEST(what_is_captured_outside_of_all_pools_is_quarantined_also_after_a_release_of_others) {
  RIG_NOW *rig = *state;
  void *ptr;
  ON_RIG(warm)(rig, 4 * MIB);
  ON_RIG(give)(rig, ON_RIG(take)(rig, 64 * KIB)); /* to be taken from a stock */
  assert_ok(API(begin_allocate_to_pool)(rig->cache, OTHER, is_stream, &on_2));
  begin_capture(&rig->device);
  ptr = ON_RIG(take)(rig, 64 * KIB);
  assert_ok(API(record_stream)(rig->cache, ptr, 1));
  end_capture(&rig->device);
  ON_RIG(close_pool)(rig, OTHER);
  assert_ok(API(release_pool)(rig->cache, OTHER));
  assert_ok(API(release_quarantine)(rig->cache)); /* in which it is not yet */
  ON_RIG(give)(rig, ptr);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
  ON_RIG(is_well)(rig);
  assert_ok(API(release_quarantine)(rig->cache));
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
}

RIG_TEST(no_event_is_recorded_or_asked_during_a_capture) {
  RIG_NOW *rig = *state;
  void *before = ON_RIG(take)(rig, 64 * KIB), *waits = ON_RIG(take)(rig, 2 * MIB);
  void *deferred = ON_RIG(take)(rig, 3 * MIB), *ptr;
  size_t made_ready = 1;
  (void)ON_RIG(use)(rig, before, 3);
  (void)ON_RIG(use)(rig, deferred, 3);
  (void)ON_RIG(use)(rig, waits, 4);
  ON_RIG(give)(rig, waits); /* its event is recorded */
  ON_RIG(open_pool)(rig, GRAPH);
  begin_capture(&rig->device);
  ON_RIG(give)(rig, before); /* those of these are not, before the end */
  sim_handed_back(&rig->device, deferred);
  assert_ok(API(free_deferred)(rig->cache, deferred));
  sim_complete_all(&rig->device);
  assert_ok(API(process_events)(rig->cache, &made_ready));
  assert_int_equal(made_ready, 0);
  ptr = ON_RIG(take)(rig, 6 * MIB);
  ON_RIG(give)(rig, ptr);
  assert_ok(API(empty_cache)(rig->cache));
  assert_ok(API(trim_idle)(rig->cache, 0));
  assert_ok(API(reserve)(rig->cache, 64 * KIB, 1));
  assert_ok(API(release_quarantine)(rig->cache));
  assert_result(API(synchronize)(rig->cache, 0), HOSTCACHE_ERR_BUSY);
  assert_result(API(synchronize)(rig->cache, UINT64_MAX), HOSTCACHE_ERR_BUSY);
  assert_result(API(forget_stream)(rig->cache, 3), HOSTCACHE_ERR_BUSY);
  assert_result(API(destroy)(rig->cache), HOSTCACHE_ERR_BUSY);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 3);
  ON_RIG(is_well)(rig);
  end_capture(&rig->device);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(synchronize)(rig->cache, 0));
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
  assert_ok(API(forget_stream)(rig->cache, 3));
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

RIG_TEST(what_is_freed_during_a_capture_covers_the_work_up_to_its_end) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 2 * MIB);
  (void)ON_RIG(use)(rig, ptr, 3);
  ON_RIG(open_pool)(rig, GRAPH);
  begin_capture(&rig->device);
  ON_RIG(give)(rig, ptr);
  end_capture(&rig->device);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ptr_not_equal(ON_RIG(take)(rig, 2 * MIB), ptr); /* its event is recorded here */
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 2 * MIB), ptr);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

static inline void *ON_RIG(end_from_a_thread)(void *argument) {
  RIG_NOW *rig = argument;
  expect_or_abort(API(end_allocate_to_pool)(rig->cache, GRAPH) == HOSTCACHE_OK);
  atomic_store(&filter_may_be_asked, false);
  return NULL;
}

/* The end begins while the filter is asked, and has not returned when that ends. */
static inline int ON_RIG(ask_slowly)(void *user, const void *stream) {
  static pthread_t thread;
  int looks;
  (void)stream;
  expect_or_abort(pthread_create(&thread, NULL, ON_RIG(end_from_a_thread), user) == 0);
  for (looks = 0; looks < 1000; looks++) {
    expect_or_abort(atomic_load(&filter_may_be_asked));
    sched_yield();
  }
  expect_or_abort(pthread_detach(thread) == 0);
  return 1;
}

RIG_TEST(the_end_waits_until_the_filter_is_not_asked) {
  RIG_NOW *rig = *state;
  atomic_store(&filter_may_be_asked, true);
  assert_ok(API(begin_allocate_to_pool)(rig->cache, GRAPH, ON_RIG(ask_slowly), rig));
  (void)ON_RIG(take)(rig, 64 * KIB);
  while (atomic_load(&filter_may_be_asked)) sched_yield();
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

RIG_TEST(memory_is_not_got_where_a_capture_cannot_be_relaxed) {
  RIG_NOW *rig = *state;
  void *ptr = NULL;
  sim_relax_fails = 5;
  assert_result(API(alloc)(rig->cache, 2 * MIB, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_null(ptr);
  assert_int_equal(sim_calls(&rig->device, SIM_ONLY(SIM_MEM_ALLOC)), 0);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_HOOK], 1);
  assert_int_equal(rig->heard.code, 5);
  sim_relax_fails = 0;
  ptr = ON_RIG(take)(rig, 2 * MIB);
  ON_RIG(give)(rig, ptr);
  sim_relax_fails = 5; /* nor given back */
  assert_result(API(empty_cache)(rig->cache), HOSTCACHE_ERR_LEAKED);
  sim_relax_fails = 0;
  assert_int_equal(sim_calls(&rig->device, SIM_ONLY(SIM_MEM_FREE)), 0);
  assert_int_equal(ON_RIG(stats)(rig).num_mem_free, 0);
  assert_int_equal(ON_RIG(stats)(rig).num_mem_alloc, 1);
  rig->may_leak = true;
}

static inline void ON_RIG(relax_no_more)(void *user, sim_hook hook) {
  (void)user;
  (void)hook;
  sim_relax_fails = 6;
}

/* The memory is there: only on_error can hear that the capture stays relaxed. */
RIG_TEST(a_capture_that_stays_relaxed_is_told) {
  RIG_NOW *rig = *state;
  rig->device.on_hook = ON_RIG(relax_no_more);
  ON_RIG(give)(rig, ON_RIG(take)(rig, 2 * MIB));
  sim_relax_fails = 0;
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_HOOK], 1);
  assert_int_equal(rig->heard.code, 6);
  assert_ok(API(empty_cache)(rig->cache)); /* it went back */
  rig->device.on_hook = NULL;
  sim_relax_fails = 0;
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_HOOK], 2);
}

#ifdef CACHE_EVENT_T

RIG_TEST(an_event_handed_over_for_a_captured_block_is_ended_with_the_pool) {
  RIG_NOW *rig = *state;
  void *ptr;
  ON_RIG(open_pool)(rig, GRAPH);
  begin_capture(&rig->device);
  ptr = ON_RIG(take)(rig, 64 * KIB);
  assert_ok(API(record_event)(rig->cache, ptr, CACHE_OWN_EVENT(&rig->device, 3)));
  ON_RIG(give)(rig, ptr);
  end_capture(&rig->device);
  ON_RIG(close_pool)(rig, GRAPH);
  (void)sim_submit(&rig->device, 3);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
}

#endif

/* ---- checkpoints ----------------------------------------------------------------------------- */

RIG_TEST(a_restore_ends_what_came_and_brings_back_what_was) {
  RIG_NOW *rig = *state;
  API(checkpoint) * checkpoint;
  API(block) * was;
  void *kept, *gone, *came, *large;
  deltas d = {.count = 0};
  size_t i;
  ON_RIG(open_pool)(rig, GRAPH);
  kept = ON_RIG(take)(rig, 64 * KIB);
  gone = ON_RIG(take)(rig, 128 * KIB);
  was = API(find)(rig->cache, kept);
  assert_ok(API(checkpoint_pool)(rig->cache, GRAPH, &checkpoint));
  ON_RIG(give)(rig, gone);
  came = ON_RIG(take)(rig, 32 * KIB);
  large = ON_RIG(take)(rig, 3 * MIB); /* in a segment that the checkpoint does not know */
  sim_handed_back(&rig->device, kept);
  sim_handed_back(&rig->device, came);
  sim_handed_back(&rig->device, large);
  assert_ok(API(restore_pool)(rig->cache, checkpoint, note_delta, &d));
  sim_handed_out(&rig->device, kept, 64 * KIB);
  sim_handed_out(&rig->device, gone, 128 * KIB);
  ON_RIG(is_well)(rig);
  assert_int_equal(d.count, 5);
  for (i = 0; i < 3; i++) {
    assert_int_equal(d.at[i].created, 0);
    assert_null(d.at[i].block);
    assert_true(d.at[i].ptr == kept || d.at[i].ptr == came || d.at[i].ptr == large);
  }
  for (; i < 5; i++) {
    assert_int_equal(d.at[i].created, 1);
    assert_ptr_equal(API(find)(rig->cache, d.at[i].ptr), d.at[i].block);
    assert_int_equal(d.at[i].requested, d.at[i].ptr == kept ? 64 * KIB : 128 * KIB);
    assert_int_equal(API(block_size)(d.at[i].block), d.at[i].size);
  }
  assert_int_equal(ON_RIG(stats)(rig).allocation.current, 2);
  assert_result(API(block_free)(rig->cache, was), HOSTCACHE_ERR_DOUBLE_FREE); /* dead */
  assert_null(API(find)(rig->cache, large));
  ON_RIG(give)(rig, kept);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), large);
  API(checkpoint_free)(checkpoint);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

RIG_TEST(a_checkpoint_can_be_put_back_again_and_again) {
  RIG_NOW *rig = *state;
  API(checkpoint) * checkpoint;
  void *ptr;
  int round;
  ON_RIG(open_pool)(rig, GRAPH);
  ptr = ON_RIG(take)(rig, 64 * KIB);
  assert_ok(API(checkpoint_pool)(rig->cache, GRAPH, &checkpoint));
  for (round = 0; round < 5; round++) {
    ON_RIG(give)(rig, ptr);
    assert_ok(API(restore_pool)(rig->cache, checkpoint, NULL, NULL));
    sim_handed_out(&rig->device, ptr, 64 * KIB);
    ON_RIG(is_well)(rig);
  }
  assert_int_equal(ON_RIG(stats)(rig).allocation.current, 1);
  API(checkpoint_free)(checkpoint);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

RIG_TEST(restores_leave_the_peaks_as_they_are) {
  RIG_NOW *rig = *state;
  API(checkpoint) * checkpoint;
  hostcache_stats stats;
  int64_t cached;
  int round;
  ON_RIG(open_pool)(rig, GRAPH);
  (void)ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(take)(rig, 3 * MIB);
  cached = ON_RIG(stats)(rig).cached_bytes.peak;
  assert_ok(API(checkpoint_pool)(rig->cache, GRAPH, &checkpoint));
  for (round = 0; round < 20; round++)
    assert_ok(API(restore_pool)(rig->cache, checkpoint, NULL, NULL));
  stats = ON_RIG(stats)(rig);
  assert_int_equal(stats.allocation.peak, 2);
  assert_int_equal(stats.active_bytes.peak, stats.active_bytes.current);
  assert_int_equal(stats.cached_bytes.peak, cached);
  assert_int_equal(stats.allocation.allocated, 42);
  assert_int_equal(stats.allocation.freed, 40);
  API(checkpoint_free)(checkpoint);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

RIG_TEST(what_was_got_for_a_capture_is_so_after_a_restore) {
  RIG_NOW *rig = *state;
  API(checkpoint) * checkpoint;
  void *captured, *other;
  ON_RIG(open_pool)(rig, GRAPH);
  begin_capture(&rig->device);
  captured = ON_RIG(take)(rig, 64 * KIB);
  end_capture(&rig->device);
  other = ON_RIG(take)(rig, 64 * KIB);
  assert_ok(API(checkpoint_pool)(rig->cache, GRAPH, &checkpoint));
  assert_ok(API(restore_pool)(rig->cache, checkpoint, NULL, NULL));
  API(checkpoint_free)(checkpoint);
  ON_RIG(close_pool)(rig, GRAPH);
  (void)ON_RIG(use)(rig, captured, 1);
  (void)ON_RIG(use)(rig, other, 1);
  ON_RIG(give)(rig, captured);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
  ON_RIG(give)(rig, other);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
  sim_complete_all(&rig->device);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

/* ... nor does what the restore ended leave anything of that to who has its records next. */
RIG_TEST(what_was_got_for_a_capture_is_so_no_more_when_a_restore_has_ended_it) {
  RIG_NOW *rig = *state;
  API(checkpoint) * checkpoint;
  void *ptr;
  size_t i;
  ON_RIG(open_pool)(rig, GRAPH);
  assert_ok(API(checkpoint_pool)(rig->cache, GRAPH, &checkpoint));
  begin_capture(&rig->device);
  ptr = ON_RIG(take)(rig, 64 * KIB);
  end_capture(&rig->device);
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(restore_pool)(rig->cache, checkpoint, NULL, NULL));
  API(checkpoint_free)(checkpoint);
  ON_RIG(close_pool)(rig, GRAPH);
  for (i = 0; i < 100; i++) (void)ON_RIG(pend)(rig, 64 * KIB, 1);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 100);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

RIG_TEST(a_pool_in_use_is_neither_written_down_nor_put_back) {
  RIG_NOW *rig = *state;
  API(checkpoint) * checkpoint, *second = NULL;
  void *ptr;
  deltas d = {.count = 0};
  ON_RIG(open_pool)(rig, GRAPH);
  ptr = ON_RIG(take)(rig, 64 * KIB);
  assert_ok(API(checkpoint_pool)(rig->cache, GRAPH, &checkpoint));
  (void)ON_RIG(use)(rig, ptr, 3); /* marked: its end would have to wait */
  assert_result(API(restore_pool)(rig->cache, checkpoint, note_delta, &d), HOSTCACHE_ERR_BUSY);
  ON_RIG(close_pool)(rig, GRAPH);
  ON_RIG(give)(rig, ptr); /* pending */
  assert_result(API(restore_pool)(rig->cache, checkpoint, note_delta, &d), HOSTCACHE_ERR_BUSY);
  assert_result(API(checkpoint_pool)(rig->cache, GRAPH, &second), HOSTCACHE_ERR_BUSY);
  assert_null(second);
  assert_int_equal(d.count, 0);
  sim_complete_all(&rig->device);
  assert_ok(API(process_events)(rig->cache, NULL));
  assert_ok(API(restore_pool)(rig->cache, checkpoint, note_delta, &d));
  sim_handed_out(&rig->device, ptr, 64 * KIB);
  assert_int_equal(d.count, 1);
  ON_RIG(is_well)(rig);
  API(checkpoint_free)(checkpoint);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

RIG_TEST(a_checkpoint_whose_memory_has_gone_is_not_put_back) {
  RIG_NOW *rig = *state;
  API(checkpoint) * checkpoint;
  void *ptr;
  rig->device.reuses_addresses = true;
  ON_RIG(open_pool)(rig, GRAPH);
  ptr = ON_RIG(take)(rig, 3 * MIB);
  assert_ok(API(checkpoint_pool)(rig->cache, GRAPH, &checkpoint));
  ON_RIG(give)(rig, ptr);
  assert_ok(API(empty_cache_pool)(rig->cache, GRAPH));
  assert_result(API(restore_pool)(rig->cache, checkpoint, NULL, NULL), HOSTCACHE_ERR_NOT_FOUND);
  (void)ON_RIG(take)(rig, 4 * MIB); /* another segment, perhaps over that address */
  assert_result(API(restore_pool)(rig->cache, checkpoint, NULL, NULL), HOSTCACHE_ERR_NOT_FOUND);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  assert_result(API(restore_pool)(rig->cache, checkpoint, NULL, NULL), HOSTCACHE_ERR_NOT_FOUND);
  ON_RIG(is_well)(rig);
  API(checkpoint_free)(checkpoint);
}

RIG_TEST(a_checkpoint_is_of_one_pool_and_of_its_very_segments) {
  RIG_NOW *rig = *state;
  API(checkpoint) * empty, *full;
  void *ptr;
  rig->device.reuses_addresses = true;
  assert_ok(API(retain_pool)(rig->cache, GRAPH));
  assert_ok(API(checkpoint_pool)(rig->cache, GRAPH, &empty));
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  ON_RIG(open_pool)(rig, GRAPH); /* another one of that name */
  ptr = ON_RIG(take)(rig, 3 * MIB);
  assert_result(API(restore_pool)(rig->cache, empty, NULL, NULL), HOSTCACHE_ERR_NOT_FOUND);
  assert_non_null(API(find)(rig->cache, ptr));
  assert_ok(API(checkpoint_pool)(rig->cache, GRAPH, &full));
  ON_RIG(give)(rig, ptr);
  assert_ok(API(empty_cache_pool)(rig->cache, GRAPH));
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr); /* the same address, of other memory */
  assert_result(API(restore_pool)(rig->cache, full, NULL, NULL), HOSTCACHE_ERR_NOT_FOUND);
  API(checkpoint_free)(empty);
  API(checkpoint_free)(full);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

RIG_TEST(a_checkpoint_is_of_one_cache) {
  RIG_NOW *rig = *state;
  API(checkpoint) * checkpoint;
  CACHE *other;
  assert_ok(API(create)(&other, NULL, &rig->device));
  assert_ok(API(retain_pool)(rig->cache, GRAPH));
  assert_ok(API(retain_pool)(other, GRAPH)); /* as old as that one */
  assert_ok(API(checkpoint_pool)(rig->cache, GRAPH, &checkpoint));
  assert_result(API(restore_pool)(other, checkpoint, NULL, NULL), HOSTCACHE_ERR_NOT_FOUND);
  assert_ok(API(restore_pool)(rig->cache, checkpoint, NULL, NULL));
  API(checkpoint_free)(checkpoint);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  assert_ok(API(destroy)(other));
}

/* Where there is no mark for it, a use is one that the block remembers itself. */
RIG_TEST(a_block_with_a_use_of_its_own_is_not_ended_by_a_restore) {
  RIG_NOW *rig = *state;
  API(checkpoint) * checkpoint;
  void *ptr;
  ON_RIG(open_pool)(rig, GRAPH);
  ptr = ON_RIG(take)(rig, 64 * KIB);
  assert_ok(API(checkpoint_pool)(rig->cache, GRAPH, &checkpoint));
#ifdef CACHE_EVENT_T
  assert_ok(API(record_event)(rig->cache, ptr, CACHE_OWN_EVENT(&rig->device, 3)));
#else
  assert_ok(API(record_value)(rig->cache, ptr, 3, sim_submit(&rig->device, 3)));
#endif
  assert_result(API(restore_pool)(rig->cache, checkpoint, NULL, NULL), HOSTCACHE_ERR_BUSY);
  ON_RIG(give)(rig, ptr);
  API(checkpoint_free)(checkpoint);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

/* What came since is one ready range after that, wherever it lies. */
RIG_TEST(a_restore_finds_segments_that_came_between_those_that_were) {
  RIG_NOW *rig = *state;
  API(checkpoint) * checkpoint;
  void *ptr[3], *came[3];
  size_t i;
  rig->device.reuses_addresses = true;
  ON_RIG(open_pool)(rig, GRAPH);
  for (i = 0; i < 3; i++) ptr[i] = ON_RIG(take)(rig, (5 - i) * MIB);
  ON_RIG(give)(rig, ptr[0]);
  ON_RIG(give)(rig, ptr[1]);
  assert_ok(API(empty_cache_pool)(rig->cache, GRAPH));
  assert_ok(API(checkpoint_pool)(rig->cache, GRAPH, &checkpoint));
  for (i = 0; i < 3; i++) came[i] = ON_RIG(take)(rig, (5 - i) * MIB);
  assert_ok(API(restore_pool)(rig->cache, checkpoint, NULL, NULL));
  for (i = 0; i < 3; i++) {
    sim_handed_back(&rig->device, came[i]);
    assert_null(API(find)(rig->cache, came[i]));
  }
  assert_non_null(API(find)(rig->cache, ptr[2]));
  ON_RIG(is_well)(rig);
  API(checkpoint_free)(checkpoint);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

static inline void ON_RIG(take_more_of_the_pool)(void *user) {
  RIG_NOW *rig = user;
  size_t i;
  for (i = 0; i < 8; i++) (void)ON_RIG(take)(rig, 64 * KIB);
}

static inline void ON_RIG(leave_more_to_the_pool)(void *user) {
  RIG_NOW *rig = user;
  void *ptrs[4];
  size_t i;
  for (i = 0; i < COUNT_OF(ptrs); i++) ptrs[i] = ON_RIG(take)(rig, 5 * MIB);
  for (i = 0; i < COUNT_OF(ptrs); i++) ON_RIG(give)(rig, ptrs[i]);
}

static inline void ON_RIG(divide_what_the_pool_has)(void *user) {
  RIG_NOW *rig = user;
  size_t i;
  for (i = 0; i < 2; i++) (void)ON_RIG(take)(rig, 1200 * KIB);
}

/* ... while the restore gets memory for what it changes. What it has got by then is not lost:
   there are no more records at the end than after the first rounds. */
RIG_TEST(a_restore_of_a_pool_that_grows_meanwhile_gets_more_memory) {
  static void (*const ways[])(void *user) = {ON_RIG(take_more_of_the_pool),
                                             ON_RIG(leave_more_to_the_pool),
                                             ON_RIG(divide_what_the_pool_has)};
  static const size_t changes[] = {10, 2, 4};
  enum { ROUNDS = 200 };
  RIG_NOW *rig = *state;
  API(checkpoint) * checkpoint;
  long long live = 0;
  size_t round;
  rig->device.reuses_addresses = true;
  for (round = 0; round < ROUNDS; round++) {
    const size_t way = round % COUNT_OF(ways);
    deltas d = {.count = 0};
    size_t i;
    void *kept;
    if (round == 10) live = atomic_load(&below.live);
    ON_RIG(open_pool)(rig, GRAPH);
    kept = ON_RIG(take)(rig, 3 * MIB);
    if (way == 2) ON_RIG(give)(rig, ON_RIG(take)(rig, 5 * MIB));
    assert_ok(API(checkpoint_pool)(rig->cache, GRAPH, &checkpoint));
    assert_ok(API(restore_pool)(rig->cache, checkpoint, NULL, NULL)); /* has got its records */
    below.once = ways[way];
    below.once_user = rig;
    assert_ok(API(restore_pool)(rig->cache, checkpoint, note_delta, &d));
    assert_null(below.once);
    for (i = 0; i < d.count; i++)
      if (!d.at[i].created && d.at[i].size < 3 * MIB) sim_handed_back(&rig->device, d.at[i].ptr);
    assert_int_equal(d.count, changes[way]);
    ON_RIG(is_well)(rig);
    API(checkpoint_free)(checkpoint);
    ON_RIG(give)(rig, kept);
    ON_RIG(close_pool)(rig, GRAPH);
    assert_ok(API(release_pool)(rig->cache, GRAPH));
    assert_ok(API(empty_cache)(rig->cache));
  }
  assert_int_equal(atomic_load(&below.live), live);
}

static inline void ON_RIG(note_end)(void *user, const hostcache_delta *delta) {
  RIG_NOW *rig = user;
  if (!delta->created && delta->size == 64 * KIB) sim_handed_back(&rig->device, delta->ptr);
}

/* What was set aside for the first try is there for the second. */
RIG_TEST(a_restore_that_is_tried_again_needs_no_more_records_for_that) {
  enum { BLOCKS = 2000, FOR_WHAT_CAME = 16 };
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  API(checkpoint) * checkpoint;
  long long live;
  int i;
  config.segment_bytes = 0;
  ON_RIG(configure)(rig, config);
  ON_RIG(open_pool)(rig, GRAPH);
  for (i = 0; i < BLOCKS; i++) (void)ON_RIG(take)(rig, 4 * KIB);
  assert_ok(API(checkpoint_pool)(rig->cache, GRAPH, &checkpoint));
  assert_ok(API(restore_pool)(rig->cache, checkpoint, NULL, NULL)); /* has got its records */
  live = atomic_load(&below.live);
  below.once = ON_RIG(take_more_of_the_pool);
  below.once_user = rig;
  assert_ok(API(restore_pool)(rig->cache, checkpoint, ON_RIG(note_end), rig));
  assert_null(below.once);
  assert_in_range(atomic_load(&below.live), live, live + FOR_WHAT_CAME);
  ON_RIG(is_well)(rig);
  API(checkpoint_free)(checkpoint);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

RIG_TEST(a_restore_without_memory_changes_nothing) {
  RIG_NOW *rig = *state;
  API(checkpoint) * checkpoint, *none = NULL;
  void *ptr[130], *came;
  unsigned n, i;
  hostcache_result result;
  ON_RIG(open_pool)(rig, GRAPH);
  for (i = 0; i < COUNT_OF(ptr); i++) ptr[i] = ON_RIG(take)(rig, 4 * KIB);
  below_fail(1, true);
  assert_result(API(checkpoint_pool)(rig->cache, GRAPH, &none), HOSTCACHE_ERR_NO_METADATA);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_NO_METADATA], 1);
  below_fail_no_more();
  assert_ok(API(checkpoint_pool)(rig->cache, GRAPH, &checkpoint));
  for (i = 0; i < COUNT_OF(ptr); i++) ON_RIG(give)(rig, ptr[i]);
  came = ON_RIG(take)(rig, 64 * KIB);
  for (n = 0;; n++) { /* what was got is kept: each is the first that fails, and the second */
    below_fail(1 + n % 2, false);
    result = API(restore_pool)(rig->cache, checkpoint, NULL, NULL);
    below_fail_no_more();
    if (result == HOSTCACHE_OK) break;
    assert_int_equal(result, HOSTCACHE_ERR_NO_METADATA);
    assert_non_null(API(find)(rig->cache, came));
    assert_int_equal(ON_RIG(stats)(rig).allocation.current, 1);
    ON_RIG(is_well)(rig);
  }
  assert_true(n > 2); /* there are several, and each was made to fail */
  sim_handed_back(&rig->device, came);
  for (i = 0; i < COUNT_OF(ptr); i++) sim_handed_out(&rig->device, ptr[i], 4 * KIB);
  ON_RIG(is_well)(rig);
  API(checkpoint_free)(checkpoint);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
}

/* Random allocations and frees of a pool, against what was active at the checkpoint. */
RIG_TEST(whatever_happened_since_a_restore_is_exact) {
  enum { BLOCKS = 40, ROUNDS = 60 };
  RIG_NOW *rig = *state;
  void *ptr[BLOCKS] = {NULL}, *then[BLOCKS];
  size_t size[BLOCKS] = {0}, size_then[BLOCKS];
  API(checkpoint) * checkpoint;
  uint64_t random = 42;
  int64_t bytes;
  int round, step, i;
  ON_RIG(open_pool)(rig, GRAPH);
  for (round = 0; round < ROUNDS; round++) {
    for (step = 0; step < 100; step++) {
      if (step == 50) {
        memcpy(then, ptr, sizeof then);
        memcpy(size_then, size, sizeof size_then);
        bytes = ON_RIG(stats)(rig).allocated_bytes.current;
        assert_ok(API(checkpoint_pool)(rig->cache, GRAPH, &checkpoint));
      }
      i = (int)random_below(&random, BLOCKS);
      if (ptr[i] != NULL) {
        ON_RIG(give)(rig, ptr[i]);
        ptr[i] = NULL;
      } else {
        size[i] = 1 + random_below(&random, i % 4 == 0 ? 3 * MIB : 40 * KIB);
        ptr[i] = ON_RIG(take)(rig, size[i]);
      }
    }
    for (i = 0; i < BLOCKS; i++)
      if (ptr[i] != NULL) sim_handed_back(&rig->device, ptr[i]);
    assert_ok(API(restore_pool)(rig->cache, checkpoint, NULL, NULL));
    memcpy(ptr, then, sizeof ptr);
    memcpy(size, size_then, sizeof size);
    for (i = 0; i < BLOCKS; i++)
      if (ptr[i] != NULL) sim_handed_out(&rig->device, ptr[i], size[i]);
    ON_RIG(is_well)(rig);
    assert_int_equal(ON_RIG(stats)(rig).allocated_bytes.current, bytes);
    API(checkpoint_free)(checkpoint);
  }
  for (i = 0; i < BLOCKS; i++)
    if (ptr[i] != NULL) ON_RIG(give)(rig, ptr[i]);
  ON_RIG(close_pool)(rig, GRAPH);
  assert_ok(API(release_pool)(rig->cache, GRAPH));
  assert_ok(API(empty_cache)(rig->cache));
  assert_int_equal(ON_RIG(stats)(rig).reserved_bytes.current, 0);
}
