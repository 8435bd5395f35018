/* suite_refused.h - a template of tests: the system refuses the barrier by which one thread reaches
   what another one has. So there is another thread, which sleeps with a stock, with a block that
   waits in its queues, and with one that it holds. */

#include "life/life.h"

#ifndef TESTS_SIM_SUITE_REFUSED_H
#define TESTS_SIM_SUITE_REFUSED_H

enum { HELD_ON = 7, OTHER_STREAM = 1 }; /* the stream that is forgotten, and one more */

#endif

typedef struct ON_RIG(sleeper) {
  RIG_NOW *rig;
  meeting meeting;
  pthread_t thread;
  void *held; /* by it, and marked with HELD_ON, as is one that it has freed */
} ON_RIG(sleeper);

/* On its thread cmocka's assertions must not be used. */
static inline void *ON_RIG(get_here)(RIG_NOW *rig) {
  void *ptr = NULL;
  expect_or_abort(API(alloc)(rig->cache, 64 * KIB, &ptr) == HOSTCACHE_OK);
  sim_handed_out(&rig->device, ptr, 64 * KIB);
  return ptr;
}

static inline void ON_RIG(free_here)(RIG_NOW *rig, void *ptr) {
  sim_handed_back(&rig->device, ptr);
  expect_or_abort(API(free)(rig->cache, ptr) == HOSTCACHE_OK);
}

static inline void ON_RIG(use_here)(RIG_NOW *rig, void *ptr) {
  expect_or_abort(API(record_stream)(rig->cache, ptr, HELD_ON) == HOSTCACHE_OK);
  (void)sim_use(&rig->device, HELD_ON, ptr);
}

static inline void *ON_RIG(sleep)(void *argument) {
  ON_RIG(sleeper) *s = argument;
  void *waits = ON_RIG(get_here)(s->rig), *ready[2];
  s->held = ON_RIG(get_here)(s->rig);
  ready[0] = ON_RIG(get_here)(s->rig);
  ready[1] = ON_RIG(get_here)(s->rig);
  ON_RIG(use_here)(s->rig, waits);
  ON_RIG(use_here)(s->rig, s->held);
  ON_RIG(free_here)(s->rig, waits);
  ON_RIG(free_here)(s->rig, ready[0]);
  ON_RIG(free_here)(s->rig, ready[1]);
  reach(&s->meeting, 1);
  await(&s->meeting, 2);
  return NULL;
}

static inline void ON_RIG(put_to_sleep)(ON_RIG(sleeper) * s, RIG_NOW *rig) {
  const meeting nobody_yet = MEETING_INIT;
  s->rig = rig;
  s->meeting = nobody_yet;
  assert_int_equal(pthread_create(&s->thread, NULL, ON_RIG(sleep), s), 0);
  await(&s->meeting, 1);
}

static inline void ON_RIG(wake)(ON_RIG(sleeper) * s) {
  reach(&s->meeting, 2);
  assert_int_equal(pthread_join(s->thread, NULL), 0);
}

static inline int64_t ON_RIG(refusals)(RIG_NOW *rig) {
  return ON_RIG(stats)(rig).num_barriers_refused;
}

/* ---- forget_stream --------------------------------------------------------------------------- */

enum { ON_RIG(marked) = 4 };

typedef struct ON_RIG(refusal) {
  uint64_t n;   /* this barrier is refused, */
  bool onwards; /* and all that follow */
  uint32_t die_idle;
  bool again_at_once; /* where it failed it is tried again, else the blocks are freed */
} ON_RIG(refusal);

/* Work on what was marked before: whatever forget_stream said, if it failed the marks cover it. */
static inline void ON_RIG(use_all)(RIG_NOW *rig, void *const *blocks, size_t count) {
  size_t i;
  for (i = 0; i < count; i++) (void)sim_use(&rig->device, HELD_ON, blocks[i]);
}

/* A block whose use on HELD_ON found no room. */
static inline void *ON_RIG(take_without_room)(RIG_NOW *rig) {
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  sim_stream stream;
  for (stream = 20; stream < 24; stream++) assert_ok(API(record_stream)(rig->cache, ptr, stream));
  below_fail(1, true);
  assert_result(API(record_stream)(rig->cache, ptr, HELD_ON), HOSTCACHE_ERR_NO_METADATA);
  below_fail_no_more();
  (void)sim_use(&rig->device, HELD_ON, ptr);
  return ptr;
}

/* Returns whether so many barriers were wanted that one was refused. */
static inline bool ON_RIG(forget_refused_at)(const ON_RIG(refusal) * at) {
  RIG_NOW *rig = ON_RIG(open)();
  hostcache_config config = ON_RIG(config)(rig);
  void *blocks[ON_RIG(marked) + 2];
  ON_RIG(sleeper) s;
  hostcache_result result;
  uint64_t told = 1; /* once, if it fails */
  bool fired;
  size_t i;
  config.segment_bytes = 0;
  config.streams_die_idle = at->die_idle;
  ON_RIG(configure)(rig, config);
  for (i = 0; i < ON_RIG(marked); i++) {
    blocks[i] = ON_RIG(take)(rig, 64 * KIB);
    (void)ON_RIG(use)(rig, blocks[i], HELD_ON);
    if (i % 2 == 0) (void)ON_RIG(use)(rig, blocks[i], OTHER_STREAM);
  }
  blocks[ON_RIG(marked)] = ON_RIG(take_without_room)(rig);
  ON_RIG(put_to_sleep)(&s, rig);
  blocks[ON_RIG(marked) + 1] = s.held;
  sim_complete(&rig->device, OTHER_STREAM, -1);

  rig->device.progress_per_queries = 1;
  barrier_refuse(at->n, at->onwards);
  result = API(forget_stream)(rig->cache, HELD_ON);
  fired = barrier.refused > 0;
  barrier_refuse_no_more();
  assert_int_equal(ON_RIG(refusals)(rig), barrier.refused);
  ON_RIG(check)(rig);
  if (result != HOSTCACHE_OK) {
    assert_int_equal(result, HOSTCACHE_ERR_UNSUPPORTED);
    assert_true(fired);
    told = rig->heard.of[-HOSTCACHE_ERR_UNSUPPORTED];
    ON_RIG(use_all)(rig, blocks, COUNT_OF(blocks));
    if (at->again_at_once) assert_ok(result = API(forget_stream)(rig->cache, HELD_ON));
  }
  rig->device.progress_per_queries = 0;
  if (result == HOSTCACHE_OK) {
    sim_stream_destroy(&rig->device, HELD_ON);
    sim_stream_create(&rig->device, HELD_ON);
  }
  for (i = 0; i < COUNT_OF(blocks); i++) {
    sim_handed_back(&rig->device, blocks[i]);
    (void)API(free)(rig->cache, blocks[i]); /* one is quarantined where it cannot wait */
  }
  ON_RIG(wake)(&s);
  assert_int_equal(told, 1);
  assert_ok(API(process_events)(rig->cache, NULL));
  for (i = 0; i < COUNT_OF(blocks) + 4; i++)
    (void)ON_RIG(take)(rig, 64 * KIB); /* the referee looks */
  ON_RIG(check)(rig);
  sim_complete_all(&rig->device);
  if (result != HOSTCACHE_OK) assert_ok(API(forget_stream)(rig->cache, HELD_ON));
  ON_RIG(close)(rig);
  return fired;
}

RIG_TEST(a_stream_that_cannot_be_forgotten_for_want_of_a_barrier_goes_on_as_before) {
  ON_RIG(refusal) at;
  unsigned how;
  (void)state;
  for (how = 0; how < 8; how++) {
    at.onwards = (how & 1) != 0;
    at.die_idle = how >> 1 & 1;
    at.again_at_once = (how & 4) != 0;
    for (at.n = 1; ON_RIG(forget_refused_at)(&at); at.n++) assert_true(at.n < 500);
  }
}

/* What was prepared could not be taken back either; a callback may have freed the block since. */
static inline bool ON_RIG(abandon_refused_at)(uint64_t n, bool is_freed) {
  RIG_NOW *rig = ON_RIG(open)();
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  ON_RIG(sleeper) s;
  ON_RIG(put_to_sleep)(&s, rig);
  (void)ON_RIG(use)(rig, ptr, HELD_ON);
  rig->device.progress_per_queries = 1;
  barrier_refuse(n, true);
  (void)API(forget_stream)(rig->cache, HELD_ON);
  barrier_refuse_no_more();
  ON_RIG(wake)(&s);
  if (is_freed) {
    sim_handed_back(&rig->device, ptr);
    assert_ok(API(free_deferred)(rig->cache, ptr));
  }
  rig->left_bytes = sim_live_bytes(&rig->device);
  rig->may_lose_events = true;
  sim_shutdown(&rig->device);
  API(abandon)(rig->cache);
  rig->cache = NULL;
  ON_RIG(close)(rig);
  return barrier.refused > 0;
}

RIG_TEST(abandon_leaves_nothing_of_a_stream_that_could_not_be_forgotten_for_want_of_a_barrier) {
  int is_freed;
  uint64_t n;
  (void)state;
  for (is_freed = 0; is_freed < 2; is_freed++) {
    for (n = 1; ON_RIG(abandon_refused_at)(n, is_freed != 0); n++) assert_true(n < 100);
    assert_true(n > 1);
  }
}

/* ---- what reaches the stocks of others ------------------------------------------------------- */

static inline void ON_RIG(share_with)(ON_RIG(sleeper) * s, RIG_NOW *rig) {
  hostcache_config config = ON_RIG(config)(rig);
  config.segment_bytes = 0;
  ON_RIG(configure)(rig, config);
  ON_RIG(put_to_sleep)(s, rig);
  assert_int_equal(ON_RIG(refusals)(rig), 0);
}

/* What it holds is freed here. */
static inline void ON_RIG(part_with)(ON_RIG(sleeper) * s) {
  barrier_refuse_no_more();
  ON_RIG(wake)(s);
  ON_RIG(give)(s->rig, s->held);
  sim_complete_all(&s->rig->device);
}

static inline size_t ON_RIG(stock_of_the_sleeper)(RIG_NOW *rig) {
  return API(i_threads)(rig->cache)->stock_bytes; /* the last record made */
}

/* Nothing can be done to a stock that cannot be reached. The counter says so; and the next call
   that reaches it does what was left undone. */
RIG_TEST(what_others_have_in_stock_stays_and_a_counter_says_so) {
  RIG_NOW *rig = *state;
  ON_RIG(sleeper) s;
  ON_RIG(share_with)(&s, rig);
  barrier_refuse(1, true);
  assert_ok(API(empty_cache)(rig->cache));
  assert_int_equal(ON_RIG(stock_of_the_sleeper)(rig), 2 * 64 * KIB);
  assert_true(rig->cache->stats.num_barriers_refused > 0);
  barrier_refuse_no_more();
  assert_true(ON_RIG(refusals)(rig) > 0);
  assert_ok(API(empty_cache)(rig->cache));
  assert_int_equal(ON_RIG(stock_of_the_sleeper)(rig), 0);
  ON_RIG(part_with)(&s);
}

/* The bound is set: it binds this thread at once, and what others have as soon as it is reached. */
RIG_TEST(a_bound_that_is_set_without_a_barrier_binds_what_others_have_when_it_is_reached) {
  static const size_t bounds[] = {HOSTCACHE_NONE, 64 * 1024};
  RIG_NOW *rig = *state;
  ON_RIG(sleeper) s;
  void *ptr;
  size_t i;
  ON_RIG(share_with)(&s, rig);
  for (i = 0; i < COUNT_OF(bounds); i++) {
    const int64_t before = rig->cache->stats.num_barriers_refused;
    barrier_refuse(1, true);
    assert_ok(API(set_max_cached_bytes)(rig->cache, bounds[i]));
    assert_int_equal(rig->cache->stats.num_barriers_refused, before + 1);
    if (i == 0) assert_int_equal(ON_RIG(stock_of_the_sleeper)(rig), 2 * 64 * KIB);
    assert_int_equal(rig->cache->max_cached, bounds[i] == HOSTCACHE_NONE ? 0 : bounds[i]);
    barrier_refuse_no_more();
    assert_ok(API(trim)(rig->cache, SIZE_MAX)); /* gives nothing back but what is above a bound */
    assert_int_equal(ON_RIG(stock_of_the_sleeper)(rig), 0);
    ptr = ON_RIG(take)(rig, 64 * KIB);
    ON_RIG(give)(rig, ptr);
    assert_int_equal(API(i_here)(rig->cache)->stock_bytes, 0);
  }
  ON_RIG(part_with)(&s);
  (void)ON_RIG(poll)(rig);
  assert_in_range(ON_RIG(stats)(rig).cached_bytes.current, 0, 64 * KIB);
}

/* Each goes inside of its record by its flag again, if the last who held it could not reach it. */
static inline void ON_RIG(nobody_is_told_to_stop)(RIG_NOW *rig) {
  const struct API(i_thread) *thread = API(i_threads)(rig->cache);
  for (; thread != NULL; thread = thread->next) assert_int_equal(thread->stop, thread->fence);
}

/* It knows no place for it but with the block's thread. */
RIG_TEST(what_another_thread_holds_gets_no_use_where_the_barrier_is_refused) {
  RIG_NOW *rig = *state;
  ON_RIG(sleeper) s;
  ON_RIG(share_with)(&s, rig);
  barrier_refuse(1, true);
  assert_result(API(record_stream)(rig->cache, s.held, OTHER_STREAM), HOSTCACHE_ERR_UNSUPPORTED);
  barrier_refuse_no_more();
  (void)ON_RIG(use)(rig, s.held, OTHER_STREAM);
  ON_RIG(part_with)(&s);
}

#ifndef CACHE_TIMELINE

static inline void *ON_RIG(poll_here)(void *argument) {
  RIG_NOW *rig = argument;
  expect_or_abort(API(process_events)(rig->cache, NULL) == HOSTCACHE_OK);
  return NULL;
}

/* What waits for events without a stream's order, of this thread: one that nobody needs, as a
   stream could not be forgotten after all, and one that a block waits for. */
static inline void ON_RIG(wait_without_order)(RIG_NOW *rig) {
  void *blocks[3];
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = ON_RIG(take)(rig, 64 * KIB);
  for (i = 0; i < 2; i++) (void)ON_RIG(use)(rig, blocks[i], HELD_ON);
  sim_fail(&rig->device, 2, true, SIM_ONLY(SIM_EVENT_RECORD) | SIM_ONLY(SIM_STREAM_WAIT));
  assert_result(API(forget_stream)(rig->cache, HELD_ON), HOSTCACHE_ERR_EVENT);
  sim_fail_no_more(&rig->device);
  (void)sim_use(&rig->device, HELD_ON, blocks[2]);
  assert_ok(API(record_event)(rig->cache, blocks[2], CACHE_OWN_EVENT(&rig->device, HELD_ON)));
  for (i = 0; i < COUNT_OF(blocks); i++) ON_RIG(give)(rig, blocks[i]);
}

/* Another thread polls, and wherever it cannot go on the next one does. */
RIG_TEST(a_poll_that_is_refused_anywhere_leaves_all_to_the_next) {
  RIG_NOW *rig = *state;
  pthread_t thread;
  uint64_t n;
  for (n = 1;; n++) {
    ON_RIG(wait_without_order)(rig);
    sim_complete_all(&rig->device);
    barrier_refuse(n, true);
    assert_int_equal(pthread_create(&thread, NULL, ON_RIG(poll_here), rig), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    barrier_refuse_no_more();
    (void)ON_RIG(poll)(rig);
    ON_RIG(check)(rig);
    assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
    if (barrier.refused == 0) break;
    assert_true(n < 100);
  }
  assert_true(n > 3);
}

#endif

/* There is no memory for a pool, so that what has completed is ended before it can be taken off the
   queue of the sleeper; or it has not, and is waited for. */
static inline bool ON_RIG(synchronize_refused_at)(uint64_t n, bool completes) {
  RIG_NOW *rig = ON_RIG(open)();
  ON_RIG(sleeper) s;
  ON_RIG(share_with)(&s, rig);
  if (completes)
    sim_complete_all(&rig->device);
  else
    rig->device.progress_per_queries = 1;
  below_fail(1, true);
  barrier_refuse(n, false);
  (void)assert_one_of(API(synchronize)(rig->cache, UINT64_MAX),
                      ONE_OF(HOSTCACHE_OK) | ONE_OF(HOSTCACHE_ERR_UNSUPPORTED));
  below_fail_no_more();
  ON_RIG(part_with)(&s);
  ON_RIG(close)(rig);
  return barrier.refused > 0;
}

RIG_TEST(synchronize_goes_on_where_a_barrier_is_refused_once) {
  uint64_t n;
  (void)state;
  for (n = 1; ON_RIG(synchronize_refused_at)(n, true); n++) assert_true(n < 100);
  assert_true(n > 3);
  for (n = 1; ON_RIG(synchronize_refused_at)(n, false); n++) assert_true(n < 100);
}

/* What waits in the queues of another thread cannot be waited for. */
RIG_TEST(synchronize_says_so_when_it_cannot_look_at_what_others_freed) {
  RIG_NOW *rig = *state;
  ON_RIG(sleeper) s;
  uint64_t n;
  ON_RIG(share_with)(&s, rig);
  for (n = 1;; n++) {
    hostcache_result result;
    barrier_refuse(n, true);
    result = API(synchronize)(rig->cache, 0);
    barrier_refuse_no_more();
    ON_RIG(nobody_is_told_to_stop)(rig);
    if (barrier.refused == 0) {
      assert_int_equal(result, HOSTCACHE_ERR_TIMEOUT);
      break;
    }
    assert_int_not_equal(result, HOSTCACHE_OK);
    assert_one_of(result, ONE_OF(HOSTCACHE_ERR_UNSUPPORTED) | ONE_OF(HOSTCACHE_ERR_TIMEOUT));
    assert_true(n < 100);
  }
  ON_RIG(part_with)(&s);
  assert_ok(API(synchronize)(rig->cache, UINT64_MAX));
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
}
