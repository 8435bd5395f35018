/* suite_events.h - a template of tests: what section 7 of the contract promises of uses, queues and
   polls, where it takes the simulated device to see it: how often which hook is called, on which
   stream, with which event. (What any device can show is in tests/backends/behaviour.c.) */

/* ---- what a poll costs ----------------------------------------------------------------------- */

/* Frees `count` blocks for each of the first `streams` streams, used on that stream alone. */
static inline void ON_RIG(pend_many)(RIG_NOW *rig, sim_stream streams, size_t count,
                                     void **blocks) {
  size_t i, all = (size_t)streams * count;
  for (i = 0; i < all; i++) blocks[i] = ON_RIG(take)(rig, 64 * KIB);
  for (i = 0; i < all; i++) {
    (void)ON_RIG(use)(rig, blocks[i], (sim_stream)(i % (size_t)streams));
    ON_RIG(give)(rig, blocks[i]);
  }
}

RIG_TEST(a_poll_asks_each_busy_stream_once_and_once_more_for_each_block_made_ready) {
  RIG_NOW *rig = *state;
  void *blocks[12];
  uint64_t before;
  ON_RIG(pend_many)(rig, 3, 4, blocks);
  before = sim_calls(&rig->device, SIM_EVERY_HOOK);
  assert_int_equal(ON_RIG(poll)(rig), 0);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK) - before, 3);

  sim_complete(&rig->device, 1, 2);
  before = sim_calls(&rig->device, SIM_EVERY_QUERY);
  assert_int_equal(ON_RIG(poll)(rig), 2);
#ifdef CACHE_TIMELINE
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_QUERY) - before, 3);
#else
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_QUERY) - before, 3 + 2);
#endif
}

RIG_TEST(a_poll_with_nothing_pending_calls_no_hook) {
  RIG_NOW *rig = *state;
  uint64_t before;
  (void)ON_RIG(pend)(rig, 64 * KIB, 3);
  sim_complete_all(&rig->device);
  assert_int_equal(ON_RIG(poll)(rig), 1);
  before = sim_calls(&rig->device, SIM_EVERY_HOOK);
  assert_int_equal(ON_RIG(poll)(rig), 0);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), before);
}

RIG_TEST(a_hit_calls_no_hook_even_while_blocks_are_pending_and_a_stream_is_captured) {
  RIG_NOW *rig = *state;
  void *cached = ON_RIG(take)(rig, 64 * KIB), *ptr;
  uint64_t before;
  (void)ON_RIG(pend)(rig, 64 * KIB, 1);
  ON_RIG(give)(rig, cached);
  /* The bug: a query while a stream is being captured (pytorch #146924). */
  rig->device.capturing = true;
  before = sim_calls(&rig->device, SIM_EVERY_HOOK);
  ptr = ON_RIG(take)(rig, 64 * KIB);
  assert_ptr_equal(ptr, cached);
  ON_RIG(give)(rig, ptr);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), before);
  rig->device.capturing = false;
}

RIG_TEST(freeing_keeps_what_waits_bounded_without_a_miss) {
  RIG_NOW *rig = *state;
  enum { STOCK = 500, ROUNDS = 2000 };
  static void *blocks[STOCK];
  int64_t segments;
  int i;
  for (i = 0; i < STOCK; i++) blocks[i] = ON_RIG(take)(rig, 4 * KIB);
  for (i = 0; i < STOCK; i++) ON_RIG(give)(rig, blocks[i]);
  segments = ON_RIG(stats)(rig).segment.current;
  assert_int_equal(segments, segments_of(STOCK, 4 * KIB));
  for (i = 0; i < ROUNDS; i++) {
    (void)ON_RIG(pend)(rig, 4 * KIB, 2);
    sim_complete(&rig->device, 2, -1);
  }
  assert_int_equal(ON_RIG(stats)(rig).pending.peak,
                   16 + 1); /* each 16th free asks, too early for its own */
  assert_int_equal(ON_RIG(stats)(rig).num_event_record, ROUNDS);
  assert_int_equal(ON_RIG(stats)(rig).segment.current, segments);
}

RIG_TEST(each_stream_is_recorded_once_for_a_block_however_often_it_is_marked) {
  RIG_NOW *rig = *state;
  char *ptr = ON_RIG(take)(rig, 64 * KIB);
  uint64_t before;
  int i;
  for (i = 0; i < 10; i++) (void)ON_RIG(use)(rig, ptr + i, i % 2);
  before = sim_calls(&rig->device, SIM_EVERY_HOOK & ~SIM_ONLY(SIM_EVENT_CREATE));
  ON_RIG(give)(rig, ptr);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK & ~SIM_ONLY(SIM_EVENT_CREATE)) - before,
                   2);
  assert_int_equal(ON_RIG(stats)(rig).num_event_record, 2);
}

RIG_TEST(marking_calls_no_hook) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  uint64_t before = sim_calls(&rig->device, SIM_EVERY_HOOK);
  sim_stream stream;
  for (stream = 0; stream < 10; stream++) (void)ON_RIG(use)(rig, ptr, stream);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), before);
}

RIG_TEST(events_end_where_their_mode_says) {
  RIG_NOW *rig = *state;
  const sim_device *d = &rig->device;
  unsigned long long mallocs = 0;
  int i;
  for (i = 0; i < 100; i++) {
    if (i == 1) mallocs = atomic_load(&below.calls);
    (void)ON_RIG(pend)(rig, 64 * KIB, 1);
    sim_complete(&rig->device, 1, -1);
    assert_int_equal(ON_RIG(poll)(rig), 1);
  }
  assert_int_equal(atomic_load(&below.calls), mallocs); /* a pool has room for more than one */
  if (d->calls[SIM_EVENT_CREATE] > 0) {                 /* pooled: one event does for all */
    assert_int_equal(d->calls[SIM_EVENT_CREATE], 1);
    assert_int_equal(d->calls[SIM_EVENT_DESTROY], 0);
    assert_int_equal(d->calls[SIM_EVENT_RECORD], 100);
  } else { /* made by recording: destroyed once complete; the other modes have nothing to destroy */
    assert_int_equal(sim_live_events(&rig->device), 0);
  }
  assert_int_equal(rig->heard.count, 0);
}

RIG_TEST(a_block_in_two_queues_holds_nobody_back_in_the_one_that_moves) {
  RIG_NOW *rig = *state;
  void *both = ON_RIG(take)(rig, 64 * KIB), *one = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, both, 1);
  (void)ON_RIG(use)(rig, both, 2);
  ON_RIG(give)(rig, both);
  (void)ON_RIG(use)(rig, one, 2);
  ON_RIG(give)(rig, one);
  sim_complete(&rig->device, 2, -1);
  assert_int_equal(ON_RIG(poll)(rig), 1);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), one);
  sim_complete(&rig->device, 1, -1);
  assert_int_equal(ON_RIG(poll)(rig), 1);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), both);
}

/* The bug: walking a queue in search of something ready (pytorch #183501, the fix that was
   proposed). */
RIG_TEST(an_allocation_does_not_walk_a_long_queue) {
  RIG_NOW *rig = *state;
  enum { LAG = 1000 };
  static void *blocks[LAG];
  uint64_t before;
  int i;
  ON_RIG(pend_many)(rig, 1, LAG, blocks);
  before = sim_calls(&rig->device, SIM_EVERY_QUERY);
  for (i = 0; i < 10; i++) (void)ON_RIG(take)(rig, 64 * KIB);
  assert_in_range(sim_calls(&rig->device, SIM_EVERY_QUERY) - before, 0, 2 * 10);
}

/* In a queue of more than some thousand each says where one behind it stands: twice as many, of
   which a part completes while more come, and the same blocks again. */
RIG_TEST(a_very_long_queue_loses_nothing_and_makes_nothing_ready_too_early) {
  enum { LAG = 4096, MORE = 10 };
  RIG_NOW *rig = *state;
  static void *blocks[LAG];
  int round, i;
  for (round = 0; round < 2; round++) {
    ON_RIG(pend_many)(rig, 1, LAG, blocks);
    sim_complete(&rig->device, 0, LAG / 2);
    assert_int_equal(ON_RIG(poll)(rig), LAG / 2);
    for (i = 0; i < MORE; i++) (void)ON_RIG(pend)(rig, 64 * KIB, 0);
    sim_complete_all(&rig->device);
    assert_int_equal(ON_RIG(poll)(rig), LAG / 2 + MORE);
    ON_RIG(check)(rig);
  }
}

/* A block that stood in it comes to it again when it is as long as before, by another of its uses:
   that is none of those that were put there last. */
RIG_TEST(a_queue_that_was_very_long_knows_nothing_of_that_time_when_it_is_so_again) {
  enum { LONG = 512 /* as HC_LONG of the header */, APART = 8, MOST_BEHIND = 8 };
  RIG_NOW *rig = *state;
  static void *blocks[LONG + MOST_BEHIND];
  size_t behind;
  sim_stream stream;
  (void)ON_RIG(pend)(rig, 64 * KIB, 1); /* uses go by the order in which streams are met */
  (void)ON_RIG(pend)(rig, 64 * KIB, 0);
  for (behind = 0; behind < MOST_BEHIND; behind++) {
    void *ptr = ON_RIG(take)(rig, 128 * KIB), *again;
    for (stream = 0; stream < 2; stream++) (void)ON_RIG(use)(rig, ptr, stream);
    ON_RIG(pend_many)(rig, 1, LONG, blocks);
    ON_RIG(give)(rig, ptr);
    sim_complete_all(&rig->device);
    (void)ON_RIG(poll)(rig);
    again = ON_RIG(take)(rig, 128 * KIB);
    if (!blocks_share_segments()) assert_ptr_equal(again, ptr);
    for (stream = 0; stream < 4; stream += 2) (void)ON_RIG(use)(rig, again, stream);
    ON_RIG(pend_many)(rig, 1, APART, blocks); /* so that it is polled only after all is there */
    assert_int_equal(ON_RIG(poll)(rig), 0);
    ON_RIG(pend_many)(rig, 1, LONG - APART + behind, blocks);
    ON_RIG(give)(rig, again);
    assert_int_equal(ON_RIG(poll)(rig), 0);
    sim_complete_all(&rig->device);
    assert_int_equal(ON_RIG(poll)(rig), LONG + behind + 1);
    ON_RIG(check)(rig);
  }
}

#ifndef CACHE_TIMELINE
/* Frees a block when so many events of its own are handed over with it. */
static inline void ON_RIG(give_with_events)(RIG_NOW *rig, void *ptr, sim_stream stream, int count) {
  (void)sim_use(&rig->device, stream, ptr);
  for (; count > 0; count--)
    assert_ok(API(record_event)(rig->cache, ptr, CACHE_OWN_EVENT(&rig->device, stream)));
  ON_RIG(give)(rig, ptr);
}

/* Events handed over complete in any order: what waits for the last of them may come again while
   thousands before it wait on, and a few behind it. */
RIG_TEST(what_leaves_a_very_long_queue_before_others_comes_to_it_again) {
  enum { LAG = 4096, MOST_BETWEEN = 20 };
  RIG_NOW *rig = *state;
  static void *others[LAG + MOST_BETWEEN * (MOST_BETWEEN - 1) / 2];
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  size_t next, i, between;
  for (i = 0; i < COUNT_OF(others); i++) others[i] = ON_RIG(take)(rig, 64 * KIB);
  for (next = 0; next < LAG; next++) ON_RIG(give_with_events)(rig, others[next], 2, 1);
  for (between = 0; between < MOST_BETWEEN; between++) {
    ON_RIG(give_with_events)(rig, ptr, 1, 2);
    for (i = 0; i < between; i++) ON_RIG(give_with_events)(rig, others[next++], 2, 1);
    sim_complete(&rig->device, 1, -1);
    for (i = 0; ON_RIG(poll)(rig) == 0; i++) assert_true(i < LAG);
    assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
  }
  sim_complete_all(&rig->device);
  for (i = 0; ON_RIG(stats)(rig).pending.current > 0; i++) {
    assert_true(i < LAG);
    (void)ON_RIG(poll)(rig);
  }
  ON_RIG(check)(rig);
}
#endif

/* ---- free_deferred --------------------------------------------------------------------------- */

RIG_TEST(free_deferred_calls_no_hook_and_no_malloc_and_the_block_waits_all_the_same) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  uint64_t before;
  sim_stream stream;
  for (stream = 0; stream < 6; stream++) (void)ON_RIG(use)(rig, ptr, stream);
  before = sim_calls(&rig->device, SIM_EVERY_HOOK);
  below_fail(1, true);
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free_deferred)(rig->cache, ptr));
  below_fail_no_more();
  assert_int_equal(atomic_load(&below.failed), 0);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), before);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
  assert_int_equal(ON_RIG(stats)(rig).allocation.current, 0);
  assert_result(API(free)(rig->cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_result(API(record_stream)(rig->cache, ptr, 1), HOSTCACHE_ERR_NOT_FOUND);
  assert_ptr_not_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
  ON_RIG(fill)(rig, 64 * KIB);
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
}

RIG_TEST(free_deferred_of_a_block_without_uses_makes_it_ready_at_once) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  uint64_t before = sim_calls(&rig->device, SIM_EVERY_HOOK);
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free_deferred)(rig->cache, ptr));
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), before);
}

/* One segment may be kept idle, and is; blocks are parts of segments; and this thread has worked
   for stream 1. */
static inline void ON_RIG(keep_one_segment_idle)(RIG_NOW *rig) {
  hostcache_config config = ON_RIG(config)(rig);
  config.segment_bytes = 2 * MIB;
  config.max_cached_bytes = 2 * MIB;
  ON_RIG(configure)(rig, config);
  (void)ON_RIG(pend)(rig, 128 * KIB, 1);
  sim_complete_all(&rig->device);
  (void)ON_RIG(poll)(rig);
  assert_int_equal(sim_live_bytes(&rig->device), 2 * MIB);
}

RIG_TEST(what_a_callback_frees_above_the_bound_goes_back_at_the_next_free) {
  RIG_NOW *rig = *state;
  void *ptr, *marked;
  ON_RIG(keep_one_segment_idle)(rig);
  ptr = ON_RIG(take)(rig, 3 * MIB);
  marked = ON_RIG(take)(rig, 128 * KIB);
  (void)ON_RIG(use)(rig, marked, 1);
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free_deferred)(rig->cache, ptr));
  assert_int_equal(sim_live_bytes(&rig->device), 5 * MIB);
  ON_RIG(give)(rig, marked);
  assert_int_equal(sim_live_bytes(&rig->device), 2 * MIB);
}

/* The 16th free has the queue asked. */
RIG_TEST(what_a_free_makes_ready_above_the_bound_goes_back) {
  RIG_NOW *rig = *state;
  void *blocks[16]; /* which fill a segment */
  uint64_t queries;
  size_t i;
  ON_RIG(keep_one_segment_idle)(rig);
  for (i = 0; i < COUNT_OF(blocks); i++) {
    blocks[i] = ON_RIG(take)(rig, 128 * KIB);
    (void)ON_RIG(use)(rig, blocks[i], 1);
  }
  (void)ON_RIG(take)(rig, 128 * KIB);
  assert_int_equal(sim_live_bytes(&rig->device), 4 * MIB);
  sim_complete_all(&rig->device);
  queries = sim_calls(&rig->device, SIM_EVERY_QUERY);
  for (i = 0; i < COUNT_OF(blocks); i++) {
    assert_int_equal(sim_calls(&rig->device, SIM_EVERY_QUERY), queries);
    ON_RIG(give)(rig, blocks[i]);
  }
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
  assert_int_equal(sim_live_bytes(&rig->device), 2 * MIB);
}

RIG_TEST(a_free_without_uses_records_what_a_callback_left) {
  RIG_NOW *rig = *state;
  void *marked = ON_RIG(take)(rig, 64 * KIB), *other = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, marked, 1);
  sim_handed_back(&rig->device, marked);
  assert_ok(API(free_deferred)(rig->cache, marked));
  assert_int_equal(ON_RIG(stats)(rig).num_event_record, 0);
  ON_RIG(give)(rig, other);
  assert_int_equal(ON_RIG(stats)(rig).num_event_record, 1);
}

static inline void ON_RIG(submit_beside_each_record)(void *user, sim_hook hook) {
  RIG_NOW *rig = user;
  if ((SIM_ONLY(hook) & SIM_EVERY_RECORD & ~SIM_ONLY(SIM_EVENT_CREATE)) != 0)
    (void)sim_submit(&rig->device, 1);
}

/* Whoever comes first in a stream's queue holds up those behind it. */
RIG_TEST(what_callbacks_freed_is_recorded_in_the_order_of_the_frees) {
  RIG_NOW *rig = *state;
  void *first = ON_RIG(take)(rig, 64 * KIB), *second = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, first, 1);
  (void)ON_RIG(use)(rig, second, 1);
  sim_handed_back(&rig->device, first);
  assert_ok(API(free_deferred)(rig->cache, first));
  sim_handed_back(&rig->device, second);
  assert_ok(API(free_deferred)(rig->cache, second));
  rig->device.on_hook = ON_RIG(submit_beside_each_record);
  rig->device.on_hook_user = rig;
  assert_int_equal(ON_RIG(poll)(rig), 0); /* records after unit 3, and after unit 4 */
  rig->device.on_hook = NULL;
  sim_complete(&rig->device, 1, 3);
  assert_int_equal(ON_RIG(poll)(rig), 1);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), first);
}

/* What a callback of the runtime does: it frees in the middle of whatever the cache does. */
static inline void ON_RIG(free_from_a_hook)(void *user, sim_hook hook) {
  RIG_NOW *rig = user;
  (void)hook;
  while (rig->device.blocks.count > 0) {
    void *ptr = (void *)rig->device.blocks.at[0].start;
    sim_handed_back(&rig->device, ptr);
    assert_ok(API(free_deferred)(rig->cache, ptr));
  }
}

RIG_TEST(free_deferred_may_be_called_from_a_hook) {
  RIG_NOW *rig = *state;
  void *ptr;
  int i;
  for (i = 0; i < 5; i++) {
    (void)ON_RIG(pend)(rig, 64 * KIB, 1);
    (void)ON_RIG(use)(rig, ON_RIG(take)(rig, 64 * KIB), 2);
    rig->device.on_hook = ON_RIG(free_from_a_hook);
    rig->device.on_hook_user = rig;
    assert_ok(API(process_events)(rig->cache, NULL));
    rig->device.on_hook = NULL;
    assert_ok(API(alloc)(rig->cache, 3 * MIB, &ptr));
    assert_ok(API(free)(rig->cache, ptr));
    ON_RIG(check)(rig);
    sim_complete_all(&rig->device);
  }
}

/* ---- events handed over ---------------------------------------------------------------------- */

#ifndef CACHE_TIMELINE

/* Frees a block that waits for an event that the test hands over. */
static inline void *ON_RIG(pend_handed_over)(RIG_NOW *rig, sim_stream stream) {
  char *ptr = ON_RIG(take)(rig, 64 * KIB);
  (void)sim_use(&rig->device, stream, ptr);
  assert_ok(API(record_event)(rig->cache, ptr + 100, CACHE_OWN_EVENT(&rig->device, stream)));
  ON_RIG(give)(rig, ptr);
  return ptr;
}

RIG_TEST(a_block_waits_for_an_event_that_was_handed_over) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(pend_handed_over)(rig, 4);
  assert_ptr_not_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
  assert_int_equal(ON_RIG(stats)(rig).num_event_record, 0);
  ON_RIG(fill)(rig, 64 * KIB);
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
  assert_int_equal(sim_live_events(&rig->device), 0); /* the cache owned it, and destroyed it */
}

RIG_TEST(a_mark_and_an_event_on_one_block_both_count) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, ptr, 1);
  (void)sim_use(&rig->device, 2, ptr);
  assert_ok(API(record_event)(rig->cache, ptr, CACHE_OWN_EVENT(&rig->device, 2)));
  ON_RIG(give)(rig, ptr);
  sim_complete(&rig->device, 1, -1);
  assert_int_equal(ON_RIG(poll)(rig), 0);
  sim_complete(&rig->device, 2, -1);
  assert_int_equal(ON_RIG(poll)(rig), 1);
}

RIG_TEST(a_poll_asks_a_bounded_number_of_handed_over_events_in_turn) {
  RIG_NOW *rig = *state;
  enum { EVENTS = 40, BOUND = 16 };
  uint64_t before;
  size_t ready = 0;
  int i;
  for (i = 0; i < EVENTS; i++) (void)ON_RIG(pend_handed_over)(rig, i % 2);
  before = sim_calls(&rig->device, SIM_EVERY_HOOK);
  assert_int_equal(ON_RIG(poll)(rig), 0);
  assert_in_range(sim_calls(&rig->device, SIM_EVERY_HOOK) - before, 1, BOUND);
  /* Half of them hang; the other half come through all the same, wherever they stand. */
  sim_complete(&rig->device, 1, -1);
  for (i = 0; i < (EVENTS + BOUND - 1) / BOUND; i++) ready += ON_RIG(poll)(rig);
  assert_int_equal(ready, EVENTS / 2);
}

RIG_TEST(freeing_keeps_what_waits_for_events_handed_over_bounded_without_a_miss) {
  RIG_NOW *rig = *state;
  void *blocks[40];
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = ON_RIG(take)(rig, 64 * KIB);
  for (i = 0; i < COUNT_OF(blocks); i++) ON_RIG(give)(rig, blocks[i]);
  for (i = 0; i < 100; i++) {
    (void)ON_RIG(pend_handed_over)(rig, 2);
    sim_complete(&rig->device, 2, -1);
  }
  assert_in_range(ON_RIG(stats)(rig).pending.peak, 1, 32);
}

RIG_TEST(an_event_that_is_refused_stays_the_callers) {
  RIG_NOW *rig = *state;
  void *waiting = ON_RIG(pend)(rig, 64 * KIB, 1);
  CACHE_EVENT_T event = CACHE_OWN_EVENT(&rig->device, 1);
  assert_result(API(record_event)(rig->cache, waiting, event), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(API(record_event)(rig->cache, &event, event), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(API(record_event)(rig->cache, NULL, event), HOSTCACHE_ERR_NOT_FOUND);
  sim_complete_all(&rig->device);
  assert_int_equal(ON_RIG(poll)(rig), 1);
  CACHE_END_EVENT(&rig->device, event); /* a violation, had the cache destroyed it */
}

RIG_TEST(events_handed_over_for_a_block_that_is_never_freed_are_not_lost) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  int i;
  for (i = 0; i < 10; i++) {
    (void)sim_use(&rig->device, i, ptr);
    assert_ok(API(record_event)(rig->cache, ptr, CACHE_OWN_EVENT(&rig->device, i)));
  }
  sim_complete_all(&rig->device);
  assert_int_equal(ON_RIG(poll)(rig), 0);
}

#endif

/* ---- timeline values ------------------------------------------------------------------------- */

#ifdef CACHE_TIMELINE

RIG_TEST(a_value_that_the_caller_knows_replaces_the_mark) {
  RIG_NOW *rig = *state;
  char *ptr = ON_RIG(take)(rig, 64 * KIB);
  uint64_t value;
  assert_ok(API(record_stream)(rig->cache, ptr, 1));
  value = sim_use(&rig->device, 1, ptr);
  assert_ok(API(record_value)(rig->cache, ptr + 5, 1, value));
  (void)sim_submit(&rig->device, 1); /* does not use the block */
  ON_RIG(give)(rig, ptr);
  assert_int_equal(rig->device.calls[SIM_TIMELINE_RECORD], 0);
  assert_int_equal(ON_RIG(poll)(rig), 0);
  sim_complete(&rig->device, 1, 1);
  assert_int_equal(ON_RIG(poll)(rig), 1);
}

RIG_TEST(the_highest_value_given_counts) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  uint64_t first = sim_use(&rig->device, 1, ptr);
  uint64_t second = sim_use(&rig->device, 1, ptr);
  assert_ok(API(record_value)(rig->cache, ptr, 1, second));
  assert_ok(API(record_value)(rig->cache, ptr, 1, first));
  ON_RIG(give)(rig, ptr);
  sim_complete(&rig->device, 1, 1);
  assert_int_equal(ON_RIG(poll)(rig), 0);
  sim_complete(&rig->device, 1, 1);
  assert_int_equal(ON_RIG(poll)(rig), 1);
}

RIG_TEST(a_mark_made_after_a_value_covers_what_was_submitted_up_to_the_free) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  assert_ok(API(record_value)(rig->cache, ptr, 1, sim_use(&rig->device, 1, ptr)));
  (void)ON_RIG(use)(rig, ptr, 1);
  ON_RIG(give)(rig, ptr);
  sim_complete(&rig->device, 1, 1);
  assert_int_equal(ON_RIG(poll)(rig), 0);
  sim_complete(&rig->device, 1, 1);
  assert_int_equal(ON_RIG(poll)(rig), 1);
}

RIG_TEST(a_value_on_one_stream_leaves_the_mark_of_another) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, ptr, 2);
  assert_ok(API(record_value)(rig->cache, ptr, 1, sim_use(&rig->device, 1, ptr)));
  ON_RIG(give)(rig, ptr);
  sim_complete(&rig->device, 1, -1);
  assert_int_equal(ON_RIG(poll)(rig), 0);
  sim_complete(&rig->device, 2, -1);
  assert_int_equal(ON_RIG(poll)(rig), 1);
}

typedef struct ON_RIG(callback) {
  RIG_NOW *rig;
  void *ptrs[20]; /* so many that a free would poll */
  bool freed;
} ON_RIG(callback);

static inline void *ON_RIG(free_in_a_callback)(void *argument) {
  ON_RIG(callback) *c = argument;
  size_t i;
  c->freed = true;
  for (i = 0; i < COUNT_OF(c->ptrs); i++)
    c->freed &= API(free_deferred)(c->rig->cache, c->ptrs[i]) == HOSTCACHE_OK;
  return NULL;
}

RIG_TEST(values_of_what_a_callbacks_thread_frees_wait_in_the_queue_of_their_stream) {
  ON_RIG(callback) c = {*state, {NULL}, false};
  sim_device *device = &c.rig->device;
  pthread_t thread;
  uint64_t before;
  size_t i;
  for (i = 0; i < COUNT_OF(c.ptrs); i++) {
    c.ptrs[i] = ON_RIG(take)(c.rig, 64 * KIB);
    assert_ok(API(record_value)(c.rig->cache, c.ptrs[i], 1, sim_use(device, 1, c.ptrs[i])));
    sim_handed_back(device, c.ptrs[i]);
  }
  assert_int_equal(pthread_create(&thread, NULL, ON_RIG(free_in_a_callback), &c), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_true(c.freed);
  assert_int_equal(sim_calls(device, SIM_EVERY_QUERY), 0);
  for (i = 0; i < 3; i++) {
    before = sim_calls(device, SIM_EVERY_HOOK);
    assert_int_equal(ON_RIG(poll)(c.rig), 0);
    assert_int_equal(sim_calls(device, SIM_EVERY_HOOK) - before, 1);
  }
  sim_complete(device, 1, 5);
  assert_int_equal(ON_RIG(poll)(c.rig), 5);
}

/* Which a callback may not make; and it is made once. */
RIG_TEST(a_value_has_its_queue_before_the_block_is_freed) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  uint64_t mallocs, value = sim_use(&rig->device, 1, ptr);
  assert_ok(API(record_value)(rig->cache, ptr, 1, value));
  mallocs = atomic_load(&below.calls);
  assert_ok(API(record_value)(rig->cache, ptr, 1, value));
  assert_int_equal(atomic_load(&below.calls), mallocs);
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free_deferred)(rig->cache, ptr));
  assert_null(rig->cache->deferred); /* nothing is left to later */
}

RIG_TEST(a_value_on_what_is_not_active_is_refused) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(pend)(rig, 64 * KIB, 1);
  assert_result(API(record_value)(rig->cache, ptr, 1, 1), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(API(record_value)(rig->cache, &ptr, 1, 1), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(API(record_value)(rig->cache, NULL, 1, 1), HOSTCACHE_ERR_NOT_FOUND);
}

#endif

/* ---- streams that end ------------------------------------------------------------------------ */

/* In timeline mode forgetting waits, so something must move the simulated device meanwhile. */
static inline void ON_RIG(let_it_move)(RIG_NOW *rig) { rig->device.progress_per_queries = 1; }

RIG_TEST(a_forgotten_stream_is_seen_by_no_hook_and_its_work_is_still_waited_for) {
  RIG_NOW *rig = *state;
  void *marked = ON_RIG(take)(rig, 64 * KIB);
  void *pending = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, marked, 7);
  (void)ON_RIG(use)(rig, pending, 7);
  ON_RIG(give)(rig, pending);
  ON_RIG(let_it_move)(rig);
  assert_ok(API(forget_stream)(rig->cache, 7));
  rig->device.progress_per_queries = 0;
  sim_stream_destroy(&rig->device, 7);
  ON_RIG(give)(rig, marked);
  assert_ok(API(process_events)(rig->cache, NULL));
  (void)ON_RIG(take)(rig, 64 * KIB); /* the referee sees whether it is idle */
  (void)ON_RIG(take)(rig, 64 * KIB);
  sim_complete_all(&rig->device);
  assert_ok(API(process_events)(rig->cache, NULL));
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
}

/* The bug: a new stream with an old handle value (rmm #649). */
RIG_TEST(a_new_stream_with_the_handle_of_a_forgotten_one_is_a_new_stream) {
  RIG_NOW *rig = *state;
  void *old = ON_RIG(take)(rig, 64 * KIB), *fresh;
  int i;
  for (i = 0; i < 3; i++) /* so that the pool has more events of the old stream than it needs */
    (void)ON_RIG(pend)(rig, 64 * KIB, 7);
  sim_complete(&rig->device, 7, -1);
  assert_ok(API(process_events)(rig->cache, NULL));
  (void)ON_RIG(use)(rig, old, 7);
  ON_RIG(let_it_move)(rig);
  assert_ok(API(forget_stream)(rig->cache, 7));
  rig->device.progress_per_queries = 0;
  sim_stream_destroy(&rig->device, 7);
  sim_stream_create(&rig->device, 7);

  /* The old block is used on the new stream too; the new one's counter starts again at 0. */
  (void)ON_RIG(use)(rig, old, 7);
  ON_RIG(give)(rig, old);
  fresh = ON_RIG(pend)(rig, 64 * KIB, 7);
  assert_ptr_not_equal(fresh, old);
  sim_complete(&rig->device, 7, -1);
  assert_ok(API(process_events)(rig->cache, NULL));
#ifdef CACHE_TIMELINE
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0); /* the old work was waited for */
#else
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1); /* the old work goes on */
#endif
  sim_complete_all(&rig->device);
  assert_ok(API(process_events)(rig->cache, NULL));
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
}

RIG_TEST(forgetting_an_unknown_stream_calls_no_hook) {
  RIG_NOW *rig = *state;
  uint64_t before;
  (void)ON_RIG(pend)(rig, 64 * KIB, 1);
  before = sim_calls(&rig->device, SIM_EVERY_HOOK);
  assert_ok(API(forget_stream)(rig->cache, 9));
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), before);
  sim_stream_destroy(&rig->device, 9);
}

RIG_TEST(forgetting_one_stream_leaves_the_marks_of_others) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, ptr, 1);
  assert_ok(API(record_stream)(rig->cache, ptr, 2));
  ON_RIG(let_it_move)(rig);
  assert_ok(API(forget_stream)(rig->cache, 1));
  rig->device.progress_per_queries = 0;
  sim_stream_destroy(&rig->device, 1);
  (void)sim_use(&rig->device, 2, ptr); /* covered by the mark that was made before */
  ON_RIG(give)(rig, ptr);
  sim_complete_all(&rig->device);
  assert_int_equal(ON_RIG(poll)(rig), 1);
}

RIG_TEST(forgetting_a_stream_records_what_a_deferred_free_left_to_do) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, ptr, 7);
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free_deferred)(rig->cache, ptr));
  ON_RIG(let_it_move)(rig);
  assert_ok(API(forget_stream)(rig->cache, 7));
  rig->device.progress_per_queries = 0;
  sim_stream_destroy(&rig->device, 7);
  assert_ok(API(process_events)(rig->cache, NULL));
  (void)ON_RIG(take)(rig, 64 * KIB);
  sim_complete_all(&rig->device);
  assert_ok(API(process_events)(rig->cache, NULL));
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
}

RIG_TEST(a_stream_that_does_not_answer_is_asked_as_often_as_for_a_block_when_it_is_forgotten) {
  RIG_NOW *rig = *state;
  void *marked;
  ON_RIG(let_streams_die_idle)(rig);
  marked = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, marked, 1);
  sim_fail(&rig->device, 1, true, SIM_EVERY_QUERY | SIM_EVERY_WAIT);
  assert_result(API(forget_stream)(rig->cache, 1), HOSTCACHE_ERR_EVENT);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_QUERY), 3);
  sim_fail_no_more(&rig->device);
  ON_RIG(give)(rig, marked);
}

RIG_TEST(where_streams_must_be_idle_to_die_forgetting_waits_for_what_is_pending) {
  RIG_NOW *rig = *state;
  void *blocks[6], *marked;
  ON_RIG(let_streams_die_idle)(rig);
  marked = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, marked, 1);
  ON_RIG(pend_many)(rig, 2, COUNT_OF(blocks) / 2, blocks);
  sim_stick(&rig->device, 0, true); /* the other stream has no part in it */
  ON_RIG(let_it_move)(rig);
  assert_ok(API(forget_stream)(rig->cache, 1));
  rig->device.progress_per_queries = 0;
  assert_true(sim_lane_reached(&rig->device, 1, 4));
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 3);
  sim_stream_destroy(&rig->device, 1);
  ON_RIG(give)(rig, marked);
}

/* ... and leaves neither events nor bookkeeping. */
RIG_TEST(a_stream_can_be_forgotten_again_and_again) {
  RIG_NOW *rig = *state;
  uint32_t lanes;
  long long books = 0;
  int round;
  ON_RIG(let_it_move)(rig);
  for (round = 0; round < 50; round++) {
    void *ptr = ON_RIG(take)(rig, 64 * KIB);
    (void)ON_RIG(use)(rig, ptr, 3);
    if (round % 2 == 0) ON_RIG(give)(rig, ptr);
    if (round % 4 == 0) assert_ok(API(synchronize)(rig->cache, UINT64_MAX));
    assert_ok(API(forget_stream)(rig->cache, 3));
    sim_stream_destroy(&rig->device, 3);
    sim_stream_create(&rig->device, 3);
    if (round % 2 != 0) ON_RIG(give)(rig, ptr);
    sim_complete_all(&rig->device);
    assert_ok(API(process_events)(rig->cache, NULL));
    assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
    assert_int_equal(sim_live_events(&rig->device), 0);
    ON_RIG(check)(rig);
    if (round == 10) books = atomic_load(&below.live);
  }
  assert_int_equal(atomic_load(&below.live), books);
  (void)ON_RIG(pend)(rig, 64 * KIB, 4);
  sim_complete_all(&rig->device);
  assert_int_equal(ON_RIG(poll)(rig), 1);
  lanes = rig->cache->lane_count;
  assert_ok(API(forget_stream)(rig->cache, 4));
  (void)ON_RIG(pend)(rig, 64 * KIB, 5);
  assert_int_equal(rig->cache->lane_count, lanes); /* one where nothing waits serves the next */
}

#include "suite_forget.h"

/* ---- what a look at the right moment found --------------------------------------------------- */

static inline void ON_RIG(callback_frees)(void *user, sim_hook hook) {
  ON_RIG(rival) *rival = user;
  if (hook == SIM_MEM_ALLOC) ON_RIG(rival_frees)(rival, hook);
}

RIG_TEST(a_block_freed_by_a_callback_while_memory_is_got_is_found_before_memory_is_out) {
  RIG_NOW *rig = *state;
  ON_RIG(rival) rival = {NULL, NULL, false};
  void *ptr;
  rival.rig = rig;
  rival.deferred = true;
  rival.block = ptr = ON_RIG(take)(rig, 64 * KIB);
  assert_ok(API(record_stream)(rig->cache, ptr, 3)); /* nothing was submitted: complete at once */
  ON_RIG(fill)(rig, 64 * KIB);
  rig->device.memory_limit = sim_live_bytes(&rig->device);
  rig->device.on_hook = ON_RIG(callback_frees);
  rig->device.on_hook_user = &rival;
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
  rig->device.on_hook = NULL;
}

#ifdef CACHE_WAITS
#ifdef CACHE_TIMELINE
RIG_TEST(a_value_given_is_still_asked_for_where_the_stream_was_waited_for_instead) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  uint64_t later = sim_submit(&rig->device, 3) + 1;
  assert_ok(API(record_value)(rig->cache, ptr, 3, later)); /* of work that is not submitted yet */
  assert_ok(API(record_stream)(rig->cache, ptr, 3));
  sim_fail(&rig->device, 1, false, SIM_EVERY_RECORD);
  sim_handed_back(&rig->device, ptr);
  assert_result(API(free)(rig->cache, ptr), HOSTCACHE_ERR_EVENT);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
  assert_int_equal(ON_RIG(poll)(rig), 0);
  assert_int_equal(sim_submit(&rig->device, 3), later);
  sim_complete(&rig->device, 3, -1);
  assert_int_equal(ON_RIG(poll)(rig), 1);
}
#endif
#endif

#include "suite_races.h"
