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
  ON_RIG(share)(rig);
  for (i = 0; i < STREAMS; i++) (void)ON_RIG(pend)(rig, 4 * KIB, (sim_stream)i);
  for (i = STREAMS; i > 0; i--) {
    assert_int_equal(ON_RIG(stats)(rig).pending.current, i);
    sim_complete(&rig->device, (sim_stream)(i - 1), -1);
    assert_int_equal(ON_RIG(poll)(rig), 1);
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
} ON_RIG(remarker);

/* Stands for another thread, which goes on using the stream when one of the blocks is seen to. */
static inline void ON_RIG(use_both_again)(void *user, sim_hook hook) {
  ON_RIG(remarker) *m = user;
  if (hook != SIM_EVENT_RECORD && hook != SIM_TIMELINE_RECORD) return;
  if (++m->records != 2) return;
  (void)ON_RIG(use)(m->rig, m->blocks[0], 1);
  (void)ON_RIG(use)(m->rig, m->blocks[1], 1);
}

RIG_TEST(what_is_marked_while_its_stream_is_forgotten_still_waits) {
  RIG_NOW *rig = *state;
  ON_RIG(remarker) m = {rig, {NULL, NULL}, 0};
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

static inline void *ON_RIG(get_and_mark_in_a_thread)(void *argument) {
  ON_RIG(marker) *m = argument;
  void *ptr = NULL;
  expect_or_abort(API(alloc)(m->rig->cache, 64 * KIB, &ptr) == HOSTCACHE_OK);
  m->block = ptr;
  return ON_RIG(mark_in_a_thread)(m);
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

#ifdef CACHE_TIMELINE

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
