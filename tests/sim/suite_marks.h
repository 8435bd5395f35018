/* suite_marks.h - a template of tests: uses of one block by many streams and from many threads. The
   first streams that a cache meets have a bit each in a block, the others a place in a list; what
   is promised does not depend on which. The referee speaks up when memory is handed out that work
   still uses. */

/* Blocks are parts of segments here, so that they go through the stocks of threads. */
static inline void ON_RIG(share)(RIG_NOW *rig) {
  hostcache_config config = ON_RIG(config)(rig);
  config.segment_bytes = 0;
  ON_RIG(configure)(rig, config);
}

/* Is the block still waiting? */
static inline bool ON_RIG(waits)(RIG_NOW *rig) {
  (void)ON_RIG(poll)(rig);
  ON_RIG(check)(rig);
  return ON_RIG(stats)(rig).pending.current > 0;
}

RIG_TEST(a_block_waits_for_each_of_a_hundred_streams) {
  enum { STREAMS = 100 };
  RIG_NOW *rig = *state;
  void *block;
  int last, i;
  ON_RIG(share)(rig);
  for (last = 0; last < STREAMS; last += 33) { /* the one that is late: with a bit, and without */
    block = ON_RIG(take)(rig, 64 * KIB);
    for (i = 0; i < STREAMS; i++) (void)ON_RIG(use)(rig, block, i);
    ON_RIG(give)(rig, block);
    for (i = 0; i < STREAMS; i++)
      if (i != last) sim_complete(&rig->device, i, -1);
    assert_true(ON_RIG(waits)(rig));
    assert_ptr_not_equal(ON_RIG(take)(rig, 64 * KIB), block);
    sim_complete(&rig->device, last, -1);
    assert_false(ON_RIG(waits)(rig));
  }
}

RIG_TEST(each_of_a_hundred_streams_holds_back_its_own_blocks_alone) {
  enum { STREAMS = 100 };
  RIG_NOW *rig = *state;
  int64_t i;
  int round;
  ON_RIG(share)(rig);
  for (round = 0; round < 2; round++) { /* then the thread knows the streams, also those without */
    for (i = 0; i < STREAMS; i++) (void)ON_RIG(pend)(rig, 4 * KIB, (sim_stream)i);
    for (i = STREAMS; i > 0; i--) {
      assert_int_equal(ON_RIG(stats)(rig).pending.current, i);
      sim_complete(&rig->device, (sim_stream)(i - 1), -1);
      assert_int_equal(ON_RIG(poll)(rig), 1);
    }
  }
}

/* A stream that takes the place of one that was forgotten has nothing to do with blocks that were
   marked by that one: these wait for its work, and for none of the new one's. */
RIG_TEST(a_stream_that_takes_the_place_of_a_forgotten_one_inherits_no_marks) {
  RIG_NOW *rig = *state;
  void *of_old, *of_new;
  int round;
  ON_RIG(share)(rig);
  for (round = 0; round < 200; round++) { /* more than there are bits */
    const sim_stream old = 2 * (round % 40), fresh = old + 1;
    of_old = ON_RIG(take)(rig, 4 * KIB);
    (void)ON_RIG(use)(rig, of_old, old);
    sim_complete(&rig->device, old, -1); /* so that forgetting need not wait, in whatever mode */
    assert_ok(API(forget_stream)(rig->cache, old));
    of_new = ON_RIG(take)(rig, 4 * KIB);
    (void)ON_RIG(use)(rig, of_new, fresh);
    ON_RIG(give)(rig, of_old);
    ON_RIG(give)(rig, of_new);
    (void)ON_RIG(poll)(rig);
    assert_int_equal(ON_RIG(stats)(rig).pending.current, 1); /* of_new alone */
    sim_complete(&rig->device, fresh, -1);
    assert_false(ON_RIG(waits)(rig));
    assert_ok(API(forget_stream)(rig->cache, fresh));
  }
}

/* Also where nobody looked at the figures in between. */
RIG_TEST(the_peak_of_what_waits_is_known_when_all_has_completed) {
  RIG_NOW *rig = *state;
  ON_RIG(share)(rig);
  (void)ON_RIG(pend)(rig, 4 * KIB, 1);
  (void)ON_RIG(pend)(rig, 4 * KIB, 1);
  sim_complete(&rig->device, 1, -1);
  assert_int_equal(ON_RIG(poll)(rig), 2);
  assert_int_equal(ON_RIG(stats)(rig).pending.peak, 2);
  assert_int_equal(ON_RIG(stats)(rig).pending_bytes.peak, 2 * 4 * KIB);
}

#ifndef CACHE_TIMELINE

/* ... and where what completes first is an event that was handed over. */
RIG_TEST(the_peak_of_what_waits_is_known_when_an_event_that_was_handed_over_has_completed) {
  RIG_NOW *rig = *state;
  void *ptr;
  ON_RIG(share)(rig);
  (void)ON_RIG(pend)(rig, 4 * KIB, 1); /* the stream is known from now on */
  sim_complete(&rig->device, 1, -1);
  assert_int_equal(ON_RIG(poll)(rig), 1);
  ptr = ON_RIG(take)(rig, 4 * KIB);
  (void)sim_use(&rig->device, 2, ptr);
  assert_ok(API(record_event)(rig->cache, ptr, CACHE_OWN_EVENT(&rig->device, 2)));
  ON_RIG(give)(rig, ptr);
  (void)ON_RIG(pend)(rig, 4 * KIB, 1);
  (void)ON_RIG(pend)(rig, 4 * KIB, 1);
  sim_complete(&rig->device, 2, -1);
  assert_int_equal(ON_RIG(poll)(rig), 1);
  assert_int_equal(ON_RIG(stats)(rig).pending.peak, 3);
  assert_int_equal(ON_RIG(stats)(rig).pending_bytes.peak, 3 * 4 * KIB);
}

#endif

/* ---- while the uses are recorded ---- */

typedef struct ON_RIG(taker) {
  RIG_NOW *rig;
  void *freed;
  size_t taken;
} ON_RIG(taker);

/* Stands for another thread that asks what is complete and takes what is ready, while a free is
   under way. */
static inline void ON_RIG(take_what_is_ready)(void *user, sim_hook hook) {
  ON_RIG(taker) *t = user;
  (void)hook;
  if (t->freed == NULL) return;
  (void)ON_RIG(poll)(t->rig);
  assert_ptr_not_equal(ON_RIG(take)(t->rig, 64 * KIB), t->freed);
  t->taken++;
}

/* First where the streams are new, then where they are known. */
static inline void ON_RIG(record_while_another_takes)(RIG_NOW *rig) {
  ON_RIG(taker) t = {rig, NULL, 0};
  sim_stream i;
  int round;
  rig->device.on_hook = ON_RIG(take_what_is_ready);
  rig->device.on_hook_user = &t;
  for (round = 0; round < 3; round++) {
    void *block = ON_RIG(take)(rig, 64 * KIB);
    for (i = 1; i <= 3; i++) {
      (void)ON_RIG(use)(rig, block, i);
      if (i < 3) sim_complete(&rig->device, i, -1);
    }
    t.freed = block;
    ON_RIG(give)(rig, block);
    t.freed = NULL;
    assert_true(t.taken > 0);
    assert_true(ON_RIG(waits)(rig));
    sim_complete(&rig->device, 3, -1);
    assert_false(ON_RIG(waits)(rig));
  }
  rig->device.on_hook = NULL;
  rig->device.on_hook_user = NULL;
}

RIG_TEST(a_block_is_not_ready_before_the_last_of_its_uses_is_recorded) {
  ON_RIG(record_while_another_takes)(*state);
}

/* Where it goes back into a stock: the hot path of free. */
RIG_TEST(a_block_of_a_stock_is_not_ready_before_the_last_of_its_uses_is_recorded) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  config.segment_bytes = 2 * MIB;
  ON_RIG(configure)(rig, config);
  ON_RIG(record_while_another_takes)(rig);
}

typedef struct ON_RIG(remarker) {
  RIG_NOW *rig;
  void *blocks[2];
  int records;
  bool uses[2]; /* which of them */
} ON_RIG(remarker);

/* Stands for another thread, which goes on using the stream when one of the blocks is seen to. */
static inline void ON_RIG(use_both_again)(void *user, sim_hook hook) {
  ON_RIG(remarker) *m = user;
  if (hook != SIM_EVENT_RECORD && hook != SIM_TIMELINE_RECORD) return;
  if (++m->records != 2) return;
  (void)ON_RIG(use)(m->rig, m->blocks[0], 1);
  (void)ON_RIG(use)(m->rig, m->blocks[1], 1);
}

/* The same, when it is asked whether what was recorded for the second block has completed. */
static inline void ON_RIG(use_both_when_asked)(void *user, sim_hook hook) {
  ON_RIG(remarker) *m = user;
  if (hook != SIM_EVENT_QUERY && hook != SIM_TIMELINE_QUERY) return;
  if (++m->records != 1) return;
  if (m->uses[0]) (void)ON_RIG(use)(m->rig, m->blocks[0], 1);
  if (m->uses[1]) (void)ON_RIG(use)(m->rig, m->blocks[1], 1);
}

/* The first block, which has been looked at by then, was not marked before. Another stream comes
   after that, and hangs, or is done while the first goes on. */
static inline void ON_RIG(forget_while_marked)(RIG_NOW *rig, bool first, bool second,
                                               bool other_hangs) {
  ON_RIG(remarker) m = {rig, {NULL, NULL}, 0, {first, second}};
  hostcache_config config = ON_RIG(config)(rig);
  int i;
  config.segment_bytes = 0;
  config.streams_die_idle = 1;
  ON_RIG(settle)(rig);
  ON_RIG(configure)(rig, config);
  for (i = 0; i < 2; i++) m.blocks[i] = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, m.blocks[1], 1);
  sim_complete(&rig->device, 1, -1);
  rig->device.on_hook = ON_RIG(use_both_when_asked);
  rig->device.on_hook_user = &m;
  assert_ok(API(forget_stream)(rig->cache, 1));
  rig->device.on_hook = NULL;
  rig->device.on_hook_user = NULL;
  assert_true(m.records >= 1);
  (void)ON_RIG(pend)(rig, 64 * KIB, 2);
  for (i = 0; i < 2; i++) ON_RIG(give)(rig, m.blocks[i]);
  if (!other_hangs) {
    sim_complete(&rig->device, 2, -1);
    assert_int_equal(ON_RIG(poll)(rig), 1);
  }
  assert_true(ON_RIG(waits)(rig));
  sim_complete(&rig->device, 1, -1);
  assert_int_equal(ON_RIG(poll)(rig), first + second);
  sim_complete(&rig->device, 2, -1);
  assert_false(ON_RIG(waits)(rig));
}

RIG_TEST(what_is_marked_when_its_stream_is_asked_still_waits_in_its_own_queue) {
  unsigned way;
  for (way = 2; way < 8; way++) /* at least one of them */
    ON_RIG(forget_while_marked)(*state, (way & 2) != 0, (way & 4) != 0, (way & 1) != 0);
}

RIG_TEST(what_is_marked_while_its_stream_is_forgotten_still_waits) {
  RIG_NOW *rig = *state;
  ON_RIG(remarker) m = {rig, {NULL, NULL}, 0, {true, true}};
  int i;
  ON_RIG(share)(rig);
  for (i = 0; i < 2; i++) {
    m.blocks[i] = ON_RIG(take)(rig, 64 * KIB);
    (void)ON_RIG(use)(rig, m.blocks[i], 1);
  }
#ifdef CACHE_TIMELINE
  rig->device.progress_per_queries = 1; /* it waits there, for all that is marked */
#endif
  rig->device.on_hook = ON_RIG(use_both_again);
  rig->device.on_hook_user = &m;
  assert_ok(API(forget_stream)(rig->cache, 1));
  rig->device.on_hook = NULL;
  rig->device.on_hook_user = NULL;
  assert_true(m.records >= 2);
  for (i = 0; i < 2; i++) ON_RIG(give)(rig, m.blocks[i]);
#ifndef CACHE_TIMELINE
  sim_complete(&rig->device, 1, 2);
  assert_true(ON_RIG(waits)(rig));
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 2);
#endif
  sim_complete(&rig->device, 1, -1);
  assert_false(ON_RIG(waits)(rig));
}

/* ---- several threads ---- */

typedef struct ON_RIG(marker) {
  RIG_NOW *rig;
  char *block;
  sim_stream first, count; /* its streams */
  bool frees;
} ON_RIG(marker);

static inline void *ON_RIG(mark_in_a_thread)(void *argument) {
  ON_RIG(marker) *m = argument;
  sim_stream i;
  for (i = 0; i < m->count; i++) {
    expect_or_abort(API(record_stream)(m->rig->cache, m->block + i, m->first + i) == HOSTCACHE_OK);
    expect_or_abort(API(record_stream)(m->rig->cache, m->block, m->first + i) == HOSTCACHE_OK);
  }
  if (m->frees) expect_or_abort(API(free)(m->rig->cache, m->block) == HOSTCACHE_OK);
  return NULL;
}

static inline void ON_RIG(mark_at_once)(RIG_NOW *rig, char *block, sim_stream count) {
  ON_RIG(marker) markers[4];
  pthread_t threads[4];
  size_t i;
  for (i = 0; i < 4; i++) {
    markers[i].rig = rig;
    markers[i].block = block;
    markers[i].first = (sim_stream)i * count;
    markers[i].count = count;
    markers[i].frees = false;
    assert_int_equal(pthread_create(&threads[i], NULL, ON_RIG(mark_in_a_thread), &markers[i]), 0);
  }
  for (i = 0; i < 4; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* Few, so that all are bits; and so many that there is no room for some. */
RIG_TEST(marks_that_threads_make_at_once_all_count) {
  RIG_NOW *rig = *state;
  sim_stream count, late, i;
  char *block;
  ON_RIG(share)(rig);
  for (count = 1; count <= 25; count += 4) {
    for (late = 0; late < 4 * count; late += count) {
      block = ON_RIG(take)(rig, 64 * KIB);
      ON_RIG(mark_at_once)(rig, block, count);
      for (i = 0; i < 4 * count; i++) (void)sim_use(&rig->device, i, block);
      ON_RIG(give)(rig, block);
      for (i = 0; i < 4 * count; i++)
        if (i != late) sim_complete(&rig->device, i, -1);
      assert_true(ON_RIG(waits)(rig));
      sim_complete(&rig->device, late, -1);
      assert_false(ON_RIG(waits)(rig));
    }
  }
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
}

RIG_TEST(a_block_freed_by_another_thread_than_marked_it_waits_for_both_threads_streams) {
  RIG_NOW *rig = *state;
  int late;
  ON_RIG(share)(rig);
  for (late = 1; late <= 2; late++) {
    ON_RIG(marker) m = {rig, NULL, 2, 1, true};
    pthread_t thread;
    m.block = ON_RIG(take)(rig, 64 * KIB);
    (void)ON_RIG(use)(rig, m.block, 1);
    (void)sim_use(&rig->device, 2, m.block);
    sim_handed_back(&rig->device, m.block);
    assert_int_equal(pthread_create(&thread, NULL, ON_RIG(mark_in_a_thread), &m), 0);
    assert_int_equal(pthread_join(thread, NULL), 0); /* it ends, with the block in its queues */
    assert_true(ON_RIG(waits)(rig));
    sim_complete(&rig->device, 3 - late, -1);
    assert_true(ON_RIG(waits)(rig));
    sim_complete(&rig->device, late, -1);
    assert_false(ON_RIG(waits)(rig));
  }
}

static inline void *ON_RIG(mark_two_in_a_thread)(void *argument) {
  ON_RIG(marker) *markers = argument;
  (void)ON_RIG(mark_in_a_thread)(&markers[0]);
  return ON_RIG(mark_in_a_thread)(&markers[1]);
}

/* When the thread marks the second block it knows the stream. */
RIG_TEST(what_another_thread_marked_is_forgotten_with_its_stream) {
  RIG_NOW *rig = *state;
  ON_RIG(marker) markers[2];
  pthread_t thread;
  int i;
  for (i = 0; i < 2; i++) {
    const ON_RIG(marker) marker = {rig, ON_RIG(take)(rig, 64 * KIB), 9, 1, false};
    markers[i] = marker;
    (void)sim_use(&rig->device, 9, marker.block);
  }
  assert_int_equal(pthread_create(&thread, NULL, ON_RIG(mark_two_in_a_thread), markers), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  sim_complete(&rig->device, 9, -1);
  assert_ok(API(forget_stream)(rig->cache, 9));
  sim_stream_destroy(&rig->device, 9); /* the referee sees what asks it from now on */
  for (i = 0; i < 2; i++) ON_RIG(give)(rig, markers[i].block);
  assert_false(ON_RIG(waits)(rig));
}

RIG_TEST(an_allocation_asks_for_what_its_thread_freed_before_what_others_did) {
  RIG_NOW *rig = *state;
  ON_RIG(marker) m = {rig, ON_RIG(take)(rig, 3 * MIB), 2, 1, true};
  void *own = ON_RIG(take)(rig, 3 * MIB);
  pthread_t thread;
  uint64_t queries;
  (void)ON_RIG(use)(rig, own, 1);
  (void)sim_use(&rig->device, 2, m.block);
  sim_handed_back(&rig->device, m.block);
  assert_int_equal(pthread_create(&thread, NULL, ON_RIG(mark_in_a_thread), &m), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  ON_RIG(give)(rig, own);
  sim_complete_all(&rig->device);
  queries = sim_calls(&rig->device, SIM_EVERY_QUERY);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), own);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_QUERY), queries + 1);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), m.block);
}

static inline void *ON_RIG(get_and_mark_in_a_thread)(void *argument) {
  ON_RIG(marker) *m = argument;
  void *ptr = NULL;
  expect_or_abort(API(alloc)(m->rig->cache, 64 * KIB, &ptr) == HOSTCACHE_OK);
  m->block = ptr;
  return ON_RIG(mark_in_a_thread)(m);
}

RIG_TEST(what_another_thread_got_is_at_home_where_it_is_freed) {
  RIG_NOW *rig = *state;
  ON_RIG(marker) m = {rig, NULL, 1, 0, false};
  pthread_t thread;
  ON_RIG(share)(rig);
  ON_RIG(give)(rig, ON_RIG(take)(rig, 64 * KIB)); /* so that this thread has a stock */
  assert_int_equal(pthread_create(&thread, NULL, ON_RIG(get_and_mark_in_a_thread), &m), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  sim_handed_out(&rig->device, m.block, 64 * KIB);
  ON_RIG(give)(rig, m.block);
  ON_RIG(check)(rig);
}

/* The second thread gets the record of the first, which is the block's home. */
RIG_TEST(the_marks_of_a_thread_that_has_ended_and_of_its_successor_both_count) {
  RIG_NOW *rig = *state;
  ON_RIG(marker) m = {rig, NULL, 1, 2, false}, successor;
  pthread_t thread;
  ON_RIG(share)(rig);
  assert_int_equal(pthread_create(&thread, NULL, ON_RIG(get_and_mark_in_a_thread), &m), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  sim_handed_out(&rig->device, m.block, 64 * KIB);
  (void)sim_use(&rig->device, 1, m.block);
  (void)sim_use(&rig->device, 4, m.block);
  successor = m;
  successor.first = 3;
  assert_int_equal(pthread_create(&thread, NULL, ON_RIG(mark_in_a_thread), &successor), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  ON_RIG(give)(rig, m.block);
  sim_complete(&rig->device, 1, -1);
  assert_true(ON_RIG(waits)(rig));
  sim_complete(&rig->device, 4, -1);
  assert_false(ON_RIG(waits)(rig));
}

/* ---- what once was in a shared bin ---- */

enum { ON_RIG(passed) = 32 }; /* blocks: two batches of a shared bin */

typedef struct ON_RIG(passer) {
  RIG_NOW *rig;
  void *blocks[ON_RIG(passed)];
} ON_RIG(passer);

static inline void *ON_RIG(free_in_a_thread)(void *argument) {
  ON_RIG(passer) *p = argument;
  size_t i;
  for (i = 0; i < ON_RIG(passed); i++)
    expect_or_abort(API(free)(p->rig->cache, p->blocks[i]) == HOSTCACHE_OK);
  return NULL;
}

/* Gets blocks that came by a shared bin, where one of each batch has what the bin needed to know in
   place of its uses. This thread knows stream 1, so that all goes by the hot path. */
static inline void ON_RIG(take_by_a_shared_bin)(RIG_NOW *rig, void **blocks) {
  ON_RIG(passer) p = {rig, {NULL}};
  pthread_t thread;
  size_t i;
  ON_RIG(share)(rig);
  (void)ON_RIG(pend)(rig, 4 * KIB, 1);
  sim_complete(&rig->device, 1, -1);
  assert_false(ON_RIG(waits)(rig));
  (void)ON_RIG(take)(rig, 4 * KIB);
  for (i = 0; i < ON_RIG(passed); i++) p.blocks[i] = ON_RIG(take)(rig, 4 * KIB);
  for (i = 0; i < ON_RIG(passed); i++) sim_handed_back(&rig->device, p.blocks[i]);
  assert_int_equal(pthread_create(&thread, NULL, ON_RIG(free_in_a_thread), &p), 0);
  assert_int_equal(pthread_join(thread, NULL), 0); /* it only frees, and passes each batch on */
  assert_int_equal(rig->cache->binned_bytes, ON_RIG(passed) * 4 * KIB);
  for (i = 0; i < ON_RIG(passed); i++) blocks[i] = ON_RIG(take)(rig, 4 * KIB);
  assert_int_equal(rig->cache->binned_bytes, 0);
}

RIG_TEST(a_block_that_came_by_a_shared_bin_waits_for_the_work_on_it_and_for_nothing_else) {
  RIG_NOW *rig = *state;
  void *blocks[ON_RIG(passed)];
  size_t i;
  ON_RIG(take_by_a_shared_bin)(rig, blocks);
  for (i = 0; i < ON_RIG(passed); i++) {
    (void)ON_RIG(use)(rig, blocks[i], 1);
    ON_RIG(give)(rig, blocks[i]);
    assert_true(ON_RIG(waits)(rig));
    sim_complete(&rig->device, 1, -1);
    assert_false(ON_RIG(waits)(rig));
  }
}

/* What cannot be recorded is over when its stream was waited for, and is asked for no more: there
   is no event of it. Without the hook that waits it is quarantined. */
RIG_TEST(what_cannot_be_recorded_of_a_block_that_came_by_a_shared_bin_is_never_asked_for) {
  RIG_NOW *rig = *state;
  void *blocks[ON_RIG(passed)];
  uint64_t queries;
  int64_t quarantined = 0;
  size_t i;
  ON_RIG(take_by_a_shared_bin)(rig, blocks);
  queries = sim_calls(&rig->device, SIM_EVERY_QUERY);
  sim_fail(&rig->device, 1, true, SIM_EVERY_RECORD);
  for (i = 0; i < ON_RIG(passed); i++) {
    (void)ON_RIG(use)(rig, blocks[i], 1);
    sim_handed_back(&rig->device, blocks[i]);
    assert_result(API(free)(rig->cache, blocks[i]), HOSTCACHE_ERR_EVENT);
#ifndef CACHE_WAITS
    quarantined++;
#endif
    assert_int_equal(ON_RIG(stats)(rig).quarantined.current, quarantined);
    assert_false(ON_RIG(waits)(rig));
  }
  sim_fail_no_more(&rig->device);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_QUERY), queries);
}

#ifdef CACHE_TIMELINE

static inline void ON_RIG(give_a_higher_value)(void *user, sim_hook hook) {
  ON_RIG(remarker) *m = user;
  if (hook != SIM_TIMELINE_QUERY || ++m->records != 1) return;
  assert_ok(
      API(record_value)(m->rig->cache, m->blocks[0], 1, sim_use(&m->rig->device, 1, m->blocks[0])));
}

RIG_TEST(a_higher_value_given_while_its_stream_is_forgotten_still_counts) {
  RIG_NOW *rig = *state;
  ON_RIG(remarker) m = {rig, {NULL, NULL}, 0, {true, false}};
  ON_RIG(share)(rig);
  m.blocks[0] = ON_RIG(take)(rig, 64 * KIB);
  assert_ok(API(record_value)(rig->cache, m.blocks[0], 1, sim_use(&rig->device, 1, m.blocks[0])));
  sim_complete(&rig->device, 1, -1);
  rig->device.on_hook = ON_RIG(give_a_higher_value);
  rig->device.on_hook_user = &m;
  assert_ok(API(forget_stream)(rig->cache, 1));
  rig->device.on_hook = NULL;
  rig->device.on_hook_user = NULL;
  assert_true(m.records >= 1);
  ON_RIG(give)(rig, m.blocks[0]);
  assert_true(ON_RIG(waits)(rig));
  sim_complete(&rig->device, 1, -1);
  assert_false(ON_RIG(waits)(rig));
}

/* The mark that a value has replaced does not outlive the stream. */
RIG_TEST(a_mark_and_a_value_in_its_place_are_forgotten_together) {
  RIG_NOW *rig = *state;
  void *block;
  ON_RIG(share)(rig);
  block = ON_RIG(take)(rig, 64 * KIB);
  assert_ok(API(record_stream)(rig->cache, block, 1));
  assert_ok(API(record_value)(rig->cache, block, 1, sim_use(&rig->device, 1, block)));
  rig->device.progress_per_queries = 1;
  assert_ok(API(forget_stream)(rig->cache, 1));
  rig->device.progress_per_queries = 0;
  sim_stream_destroy(&rig->device, 1);
  ON_RIG(check)(rig);
  ON_RIG(give)(rig, block);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
}

/* A value replaces a mark, and a mark that comes after it covers what is submitted until the
   free. */
RIG_TEST(a_mark_a_value_and_a_mark_again_wait_for_all_work_up_to_the_free) {
  RIG_NOW *rig = *state;
  sim_stream stream;
  uint64_t value;
  void *block;
  ON_RIG(share)(rig);
  for (stream = 0; stream < 100; stream++) { /* with a bit, and without */
    block = ON_RIG(take)(rig, 64 * KIB);
    value = ON_RIG(use)(rig, block, stream);
    assert_ok(API(record_value)(rig->cache, block, stream, value));
    (void)ON_RIG(use)(rig, block, stream);
    ON_RIG(give)(rig, block);
    sim_complete(&rig->device, stream, 1);
    assert_true(ON_RIG(waits)(rig));
    sim_complete(&rig->device, stream, 1);
    assert_false(ON_RIG(waits)(rig));
  }
}

#endif

/* ---- uses that a block remembers itself -----------------------------------------------------*/

/* A use that has no bit: an event that was handed over, or a value. */
static inline hostcache_result ON_RIG(use_own)(RIG_NOW *rig, void *block, sim_stream stream) {
#ifdef CACHE_TIMELINE
  return API(record_value)(rig->cache, block, stream, sim_use(&rig->device, stream, block));
#else
  hostcache_result result;
  CACHE_EVENT_T event;
  (void)sim_use(&rig->device, stream, block);
  event = CACHE_OWN_EVENT(&rig->device, stream);
  result = API(record_event)(rig->cache, block, event);
  if (result != HOSTCACHE_OK) CACHE_END_EVENT(&rig->device, event);
  return result;
#endif
}

typedef struct ON_RIG(used) {
  RIG_NOW *rig;
  void *block;
} ON_RIG(used);

/* With as many uses as need no memory, which it has no room for either; the streams are known. */
static inline ON_RIG(used) ON_RIG(take_used)(RIG_NOW *rig) {
  ON_RIG(used) u = {rig, ON_RIG(take)(rig, 64 * KIB)};
  sim_stream stream;
  for (stream = 0; stream < 12; stream++) (void)ON_RIG(pend)(rig, 64 * KIB, 100 + stream);
  sim_complete_all(&rig->device);
  (void)ON_RIG(poll)(rig);
  for (stream = 0; stream < 4; stream++) assert_ok(ON_RIG(use_own)(rig, u.block, 100 + stream));
  return u;
}

static inline void ON_RIG(free_used)(void *user) {
  const ON_RIG(used) *u = user;
  ON_RIG(give)(u->rig, u->block);
}

static inline void ON_RIG(use_four_more)(void *user) {
  const ON_RIG(used) *u = user;
  sim_stream stream;
  for (stream = 4; stream < 8; stream++) assert_ok(ON_RIG(use_own)(u->rig, u->block, 100 + stream));
}

/* Marks two blocks: at the second one it knows the stream. */
static inline void *ON_RIG(mark_two)(void *argument) {
  ON_RIG(used) *u = argument;
  int i;
  for (i = 0; i < 2; i++)
    expect_or_abort(API(record_stream)(u[i].rig->cache, u[i].block, 1) == HOSTCACHE_OK);
  return NULL;
}

/* It is freed with nothing but marks, whose stream this thread knows, and with another use. */
RIG_TEST(a_block_that_is_got_again_has_no_mark_that_another_thread_made) {
  RIG_NOW *rig = *state;
  ON_RIG(used) u[2];
  pthread_t thread;
  int round, i;
  ON_RIG(share)(rig);
  (void)ON_RIG(pend)(rig, 64 * KIB, 1);
  sim_complete_all(&rig->device);
  assert_false(ON_RIG(waits)(rig));
  for (round = 0; round < 2; round++) {
    for (i = 0; i < 2; i++) {
      u[i].rig = rig;
      u[i].block = ON_RIG(take)(rig, 64 * KIB);
    }
    assert_int_equal(pthread_create(&thread, NULL, ON_RIG(mark_two), u), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    if (round == 1) assert_ok(ON_RIG(use_own)(rig, u[1].block, 2));
    for (i = 0; i < 2; i++) ON_RIG(give)(rig, u[i].block);
    assert_int_equal(ON_RIG(stats)(rig).pending.current, 2);
    sim_complete_all(&rig->device);
    assert_false(ON_RIG(waits)(rig));
    for (i = 0; i < 2; i++) u[i].block = ON_RIG(take)(rig, 64 * KIB);
    for (i = 0; i < 2; i++) ON_RIG(give)(rig, u[i].block);
    assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
  }
}

/* ... where it has just the room for what it is marked with: that of each block, and more. */
RIG_TEST(a_mark_that_a_block_has_already_needs_no_memory) {
  RIG_NOW *rig = *state;
  sim_stream room, stream;
  for (room = 4; room <= 8; room += 4) {
    void *block = ON_RIG(take)(rig, 64 * KIB);
    assert_ok(ON_RIG(use_own)(rig, block, 100)); /* a mark looks whether it is of its stream */
    for (stream = 1; stream < room; stream++) (void)ON_RIG(use)(rig, block, stream);
    below_fail(1, true);
    for (stream = 1; stream < room; stream++) (void)ON_RIG(use)(rig, block, stream);
    below_fail_no_more();
    ON_RIG(give)(rig, block);
    sim_complete_all(&rig->device);
    assert_false(ON_RIG(waits)(rig));
  }
}

RIG_TEST(a_block_that_is_freed_while_room_is_got_for_its_use_is_not_found) {
  RIG_NOW *rig = *state;
  ON_RIG(used) u = ON_RIG(take_used)(rig);
  below.once = ON_RIG(free_used);
  below.once_user = &u;
#ifdef CACHE_TIMELINE
  assert_result(API(record_value)(rig->cache, u.block, 104, 1), HOSTCACHE_ERR_NOT_FOUND);
#else
  {
    CACHE_EVENT_T event = CACHE_OWN_EVENT(&rig->device, 104);
    assert_result(API(record_event)(rig->cache, u.block, event), HOSTCACHE_ERR_NOT_FOUND);
    CACHE_END_EVENT(&rig->device, event);
  }
#endif
  assert_null(below.once);
  sim_complete_all(&rig->device);
  assert_false(ON_RIG(waits)(rig));
}

/* Whatever the stream is. */
RIG_TEST(a_mark_of_what_is_not_active_leaves_no_books) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  API(block) *block = API(find)(rig->cache, ptr);
  unsigned long long calls;
  ON_RIG(give)(rig, ptr);
  calls = atomic_load(&below.calls);
  assert_result(API(block_record_stream)(rig->cache, block, 50), HOSTCACHE_ERR_NOT_FOUND);
  assert_int_equal(atomic_load(&below.calls), calls);
}

RIG_TEST(room_that_others_take_meanwhile_is_got_again) {
  RIG_NOW *rig = *state;
  ON_RIG(used) u = ON_RIG(take_used)(rig);
  sim_stream stream;
  below.once = ON_RIG(use_four_more);
  below.once_user = &u;
  assert_ok(ON_RIG(use_own)(rig, u.block, 108));
  assert_null(below.once);
  ON_RIG(give)(rig, u.block);
  for (stream = 0; stream < 9; stream++) {
    assert_true(ON_RIG(waits)(rig));
    sim_complete(&rig->device, 100 + stream, -1);
  }
  assert_false(ON_RIG(waits)(rig));
}

/* A stream is forgotten while room is got, ... */
static inline void ON_RIG(forget_it)(void *user) {
  const ON_RIG(used) *u = user;
  assert_ok(API(forget_stream)(u->rig->cache, 104));
  sim_stream_destroy(&u->rig->device, 104);
  sim_stream_create(&u->rig->device, 104);
}

#ifndef CACHE_TIMELINE

/* Another use is over meanwhile: a stream that has come to its end is forgotten. */
RIG_TEST(a_use_for_which_there_is_room_meanwhile_is_kept_once) {
  RIG_NOW *rig = *state;
  ON_RIG(used) u = {rig, NULL};
  sim_stream stream;
  int has_memory;
  ON_RIG(let_streams_die_idle)(rig);
  for (has_memory = 0; has_memory < 2; has_memory++) {
    u.block = ON_RIG(take)(rig, 64 * KIB);
    for (stream = 100; stream < 103; stream++) assert_ok(ON_RIG(use_own)(rig, u.block, stream));
    (void)ON_RIG(use)(rig, u.block, 104);
    sim_complete(&rig->device, 104, -1);
    below.once = ON_RIG(forget_it);
    below.once_user = &u;
    if (!has_memory) below_fail(1, false);
    assert_ok(ON_RIG(use_own)(rig, u.block, 103)); /* an event that ends once */
    assert_null(below.once);
    ON_RIG(give)(rig, u.block);
    for (stream = 100; stream < 104; stream++) {
      assert_true(ON_RIG(waits)(rig));
      sim_complete(&rig->device, stream, -1);
    }
    assert_false(ON_RIG(waits)(rig));
  }
}

#endif

/* ... for its use of a block, and another one has its place. */
static inline void ON_RIG(change_places)(void *user) {
  const ON_RIG(used) *u = user;
  ON_RIG(forget_it)(user);
  (void)ON_RIG(pend)(u->rig, 64 * KIB, 50);
}

RIG_TEST(a_mark_of_a_stream_that_is_forgotten_meanwhile_is_of_the_next_of_the_handle) {
  RIG_NOW *rig = *state;
  ON_RIG(used) u = ON_RIG(take_used)(rig);
  sim_stream stream;
  below.once = ON_RIG(change_places);
  below.once_user = &u;
  (void)ON_RIG(use)(rig, u.block, 104);
  assert_null(below.once);
  sim_complete(&rig->device, 50, -1);
  ON_RIG(give)(rig, u.block);
  (void)ON_RIG(pend)(rig, 64 * KIB, 50); /* hangs, and has nothing to do with it */
  for (stream = 100; stream < 104; stream++) sim_complete(&rig->device, stream, -1);
  (void)ON_RIG(poll)(rig);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 2);
  sim_complete(&rig->device, 104, -1);
  (void)ON_RIG(poll)(rig);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
}

/* ... also when that is forgotten in its turn: the free calls no hook on it. */
RIG_TEST(a_mark_of_a_stream_that_is_forgotten_meanwhile_is_forgotten_with_the_next_of_the_handle) {
  RIG_NOW *rig = *state;
  ON_RIG(used) u = ON_RIG(take_used)(rig);
  below.once = ON_RIG(forget_it);
  below.once_user = &u;
  (void)ON_RIG(use)(rig, u.block, 104);
  assert_null(below.once);
  sim_complete(&rig->device, 104, -1);
  assert_ok(API(forget_stream)(rig->cache, 104));
  sim_stream_destroy(&rig->device, 104);
  ON_RIG(give)(rig, u.block); /* the referee looks */
}

/* Another block of the same stream is freed while room is got for what waits for that. */
RIG_TEST(two_frees_that_need_the_same_queue_share_one) {
  RIG_NOW *rig = *state;
  ON_RIG(used) u = {rig, ON_RIG(take)(rig, 64 * KIB)};
  void *block = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, u.block, 60);
  (void)ON_RIG(use)(rig, block, 60);
  below.once = ON_RIG(free_used);
  below.once_user = &u;
  ON_RIG(give)(rig, block);
  assert_null(below.once);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 2);
  assert_true(ON_RIG(waits)(rig));
  sim_complete(&rig->device, 60, 1);
  assert_true(ON_RIG(waits)(rig));
  sim_complete(&rig->device, 60, -1);
  assert_false(ON_RIG(waits)(rig));
}

/* What it is to wait for cannot be told there: that needs a hook. */
RIG_TEST(a_deferred_free_of_a_use_without_room_calls_no_hook) {
  RIG_NOW *rig = *state;
  ON_RIG(used) u = ON_RIG(take_used)(rig);
  uint64_t calls;
  below_fail(1, true);
  assert_result(API(record_stream)(rig->cache, u.block, 104), HOSTCACHE_ERR_NO_METADATA);
  below_fail_no_more();
  calls = rig->device.all_calls;
  sim_handed_back(&rig->device, u.block);
  assert_ok(API(free_deferred)(rig->cache, u.block));
  assert_int_equal(rig->device.all_calls, calls);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
  ON_RIG(check)(rig);
  sim_complete_all(&rig->device);
  assert_result(API(process_events)(rig->cache, NULL), HOSTCACHE_ERR_EVENT); /* never waits */
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
}

/* ... nor does one of a stream that came after those with a bit. */
RIG_TEST(a_deferred_free_of_a_use_without_a_bit_calls_no_hook) {
  RIG_NOW *rig = *state;
  sim_stream stream;
  uint64_t calls;
  void *block;
  for (stream = 0; stream < 100; stream++) (void)ON_RIG(pend)(rig, 4 * KIB, stream);
  block = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, block, stream - 1);
  calls = rig->device.all_calls;
  sim_handed_back(&rig->device, block);
  assert_ok(API(free_deferred)(rig->cache, block));
  assert_int_equal(rig->device.all_calls, calls);
  assert_true(ON_RIG(waits)(rig));
}

/* Each sixteenth free asks: of more streams than fit there the next free asks the rest. */
RIG_TEST(a_free_that_is_due_to_ask_many_streams_loses_none) {
  enum { STREAMS = 7, BLOCKS = 40 };
  RIG_NOW *rig = *state;
  int i, stream;
  for (i = 0; i < BLOCKS; i++) {
    void *block = ON_RIG(take)(rig, 64 * KIB);
    for (stream = 0; stream < STREAMS; stream++) (void)ON_RIG(use)(rig, block, stream);
    ON_RIG(give)(rig, block);
  }
  assert_int_equal(ON_RIG(stats)(rig).pending.current, BLOCKS);
  sim_complete_all(&rig->device);
  assert_int_equal(ON_RIG(poll)(rig), BLOCKS);
}

#ifdef CACHE_TIMELINE

RIG_TEST(a_value_of_a_stream_without_memory_for_its_books_is_waited_for) {
  RIG_NOW *rig = *state;
  void *block = ON_RIG(take)(rig, 64 * KIB);
  uint64_t calls;
  below_fail(1, true);
  assert_ok(API(record_value)(rig->cache, block, 50, sim_use(&rig->device, 50, block)));
  sim_handed_back(&rig->device, block);
  calls = rig->device.all_calls;
  assert_ok(API(free_deferred)(rig->cache, block));
  assert_int_equal(rig->device.all_calls, calls);
  below_fail_no_more();
  assert_true(ON_RIG(waits)(rig));
  sim_complete(&rig->device, 50, -1);
  assert_false(ON_RIG(waits)(rig));
}

/* What there is no room for is waited for, up to the highest value. */
RIG_TEST(of_values_that_found_no_memory_the_highest_counts) {
  RIG_NOW *rig = *state;
  ON_RIG(used) u = ON_RIG(take_used)(rig);
  below_fail(1, true);
  assert_result(ON_RIG(use_own)(rig, u.block, 104), HOSTCACHE_ERR_NO_METADATA);
  assert_result(ON_RIG(use_own)(rig, u.block, 104), HOSTCACHE_ERR_NO_METADATA);
  below_fail_no_more();
  sim_handed_back(&rig->device, u.block);
  (void)assert_one_of(API(free)(rig->cache, u.block),
                      ONE_OF(HOSTCACHE_OK) | ONE_OF(HOSTCACHE_ERR_EVENT));
  ON_RIG(check)(rig);
}

#else

/* What was marked becomes a use of the block's own when its stream is forgotten: there is a place
   for one such, beyond those that all blocks have. */
RIG_TEST(a_mark_that_is_kept_in_the_last_place_moves_when_room_is_got) {
  RIG_NOW *rig = *state;
  ON_RIG(used) u = ON_RIG(take_used)(rig);
  sim_stream stream;
  (void)ON_RIG(use)(rig, u.block, 1);
  assert_ok(API(forget_stream)(rig->cache, 1));
  assert_ok(ON_RIG(use_own)(rig, u.block, 105));
  ON_RIG(give)(rig, u.block);
  for (stream = 100; stream < 106; stream++)
    if (stream != 104) sim_complete(&rig->device, stream, -1);
  assert_true(ON_RIG(waits)(rig)); /* for the work of the stream that was forgotten */
  sim_complete_all(&rig->device);
  assert_false(ON_RIG(waits)(rig));
}

#endif
