/* threads.c - threads that come and go: many of them, cancelled ones, and what runs at their end.

   Promises (section 9 of the contract): a thread that ends leaves nothing behind but the blocks
   that it holds, and calls no hook; the destructors of its thread-local variables may use the
   cache; a thread that is cancelled is cancelled outside of the cache, not in the middle of a call;
   a thread may outlive the cache that it used, and the other way round. (That a thread is not
   cancelled inside of a hook, or while the cache waits, is in unit/hooks.c.) */

#include "sim/below.h"

#define HC_NAME pinned
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE pinned
#include "sim/rig.h"

#include "life.h"

#if defined __SANITIZE_THREAD__ || defined __SANITIZE_ADDRESS__
#define SHORT_THREADS 20000 /* each costs half a millisecond there */
#else
#define SHORT_THREADS 100000
#endif

/* One block, used and freed: all that a thread does. */
static void use_a_block(pinned_rig *rig, size_t size, sim_stream stream) {
  void *ptr;
  expect_or_abort(pinned_alloc(rig->cache, size, &ptr) == HOSTCACHE_OK);
  expect_or_abort(pinned_record_stream(rig->cache, ptr, stream) == HOSTCACHE_OK);
  expect_or_abort(pinned_free(rig->cache, ptr) == HOSTCACHE_OK);
  expect_or_abort(pinned_process_events(rig->cache, NULL) == HOSTCACHE_OK);
}

/* ---- many ------------------------------------------------------------------------------------ */

static pthread_barrier_t *all_alive; /* or NULL: where short threads meet before they end */

static void *live_shortly(void *argument) {
  use_a_block((pinned_rig *)argument, 8 * KIB, 1);
  if (all_alive != NULL) (void)pthread_barrier_wait(all_alive);
  return NULL;
}

static void a_batch_of_threads(pinned_rig *rig) {
  pthread_t threads[4];
  size_t i;
  for (i = 0; i < COUNT_OF(threads); i++)
    assert_int_equal(pthread_create(&threads[i], NULL, live_shortly, rig), 0);
  for (i = 0; i < COUNT_OF(threads); i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* Whatever a thread gets when it first calls goes with it: what is held after so many threads, of
   bookkeeping and of memory, is what so few at once need. */
static void a_hundred_thousand_short_threads_leave_nothing_behind(void **state) {
  enum { AT_ONCE = 4 };
  pinned_rig *rig = *state;
  void *blocks[2 * AT_ONCE];
  pthread_barrier_t meet;
  long long records;
  int i;
  rig->device.eager = true;
  rig->device.reuses_addresses = true; /* new ones would need new records in the index */
  for (i = 0; i < 2 * AT_ONCE; i++) blocks[i] = pinned_rig_take(rig, 8 * KIB);
  for (i = 0; i < 2 * AT_ONCE; i++) pinned_rig_give(rig, blocks[i]);
  pthread_barrier_init(&meet, NULL, AT_ONCE);
  all_alive = &meet;
  a_batch_of_threads(rig); /* each has a record of its own then */
  all_alive = NULL;
  pthread_barrier_destroy(&meet);
  records = atomic_load(&below.live);
  for (i = 0; i < SHORT_THREADS / AT_ONCE; i++) a_batch_of_threads(rig);
  /* A record of the stream's queue, its pool of events, a slab: these may come late, and once. */
  assert_in_range(atomic_load(&below.live), 1, records + 3);
  assert_in_range(pinned_rig_stats(rig).reserved_bytes.peak, 1, 2 * AT_ONCE * 8 * KIB);
  assert_in_range(sim_live_events(&rig->device), 0, 2 * AT_ONCE); /* a pool for each at once */
  assert_int_equal(pinned_rig_stats(rig).allocation.current, 0);
  pinned_rig_check(rig);
}

/* ---- cancelled ------------------------------------------------------------------------------- */

typedef struct victim {
  pinned_rig *rig;
  uint64_t seed;
  void *held[4];
  meeting *meeting;
} victim;

/* What the thread holds is freed by its own handler, while it ends. */
static void free_what_is_held(void *argument) {
  victim *v = (victim *)argument;
  size_t i;
  for (i = 0; i < COUNT_OF(v->held); i++)
    expect_or_abort(pinned_free(v->rig->cache, v->held[i]) == HOSTCACHE_OK);
}

static void *work_until_cancelled(void *argument) {
  victim *v = (victim *)argument;
  pthread_cleanup_push(free_what_is_held, v);
  for (;;) {
    void **place = &v->held[random_below(&v->seed, COUNT_OF(v->held))];
    const sim_stream stream = (sim_stream)random_below(&v->seed, 3);
    if (*place == NULL) {
      const size_t size = 1 + random_below(&v->seed, 256 * KIB);
      expect_or_abort(pinned_alloc(v->rig->cache, size, place) == HOSTCACHE_OK);
    } else {
      void *ptr = *place;
      expect_or_abort(pinned_record_stream(v->rig->cache, ptr, stream) == HOSTCACHE_OK);
      *place = NULL;
      if (random_below(&v->seed, 3) == 0)
        expect_or_abort(pinned_free_deferred(v->rig->cache, ptr) == HOSTCACHE_OK);
      else
        expect_or_abort(pinned_free(v->rig->cache, ptr) == HOSTCACHE_OK);
    }
    if (random_below(&v->seed, 8) == 0)
      expect_or_abort(pinned_empty_cache(v->rig->cache) == HOSTCACHE_OK);
    if (random_below(&v->seed, 8) == 0)
      expect_or_abort(pinned_synchronize(v->rig->cache, UINT64_MAX) == HOSTCACHE_OK);
    reach(v->meeting, 1);
    pthread_testcancel();
  }
  pthread_cleanup_pop(0);
  return NULL;
}

/* Wherever a hook could let itself be cancelled, it tries to. */
static void offer_to_be_cancelled(void *user, sim_hook hook) {
  (void)user;
  (void)hook;
  pthread_testcancel();
}

static void threads_that_are_cancelled_lose_no_block_and_leave_no_lock(void **state) {
  enum { ROUNDS = 150, VICTIMS = 3 };
  pinned_rig *rig = *state;
  uint64_t seed = 7;
  int round, i;
  rig->device.eager = true;
  rig->device.on_hook = offer_to_be_cancelled;
  for (round = 0; round < ROUNDS; round++) {
    meeting m = MEETING_INIT;
    victim victims[VICTIMS];
    pthread_t threads[VICTIMS];
    void *result;
    memset(victims, 0, sizeof victims);
    for (i = 0; i < VICTIMS; i++) {
      victims[i].rig = rig;
      victims[i].seed = next_random(&seed) | 1;
      victims[i].meeting = &m;
      assert_int_equal(pthread_create(&threads[i], NULL, work_until_cancelled, &victims[i]), 0);
    }
    await(&m, 1);
    for (i = 0; i < VICTIMS; i++) assert_int_equal(pthread_cancel(threads[i]), 0);
    for (i = 0; i < VICTIMS; i++) {
      assert_int_equal(pthread_join(threads[i], &result), 0);
      assert_ptr_equal(result, PTHREAD_CANCELED);
    }
    assert_int_equal(pinned_rig_stats(rig).allocation.current, 0);
    pinned_rig_check(rig);
    assert_ok(pinned_synchronize(rig->cache, UINT64_MAX));
    assert_int_equal(pinned_rig_stats(rig).pending.current, 0);
  }
}

/* ---- the destructors of thread-local variables ----------------------------------------------- */

typedef struct leaver {
  pinned_rig *rig;
  pthread_key_t *key;
  void *held;
  int rounds; /* more of its destructor: it sets the key again */
  atomic_int *ends;
} leaver;

static pthread_key_t early_key, late_key; /* one from before the first use of a cache, one after */

static void leave(void *argument) {
  leaver *l = (leaver *)argument;
  use_a_block(l->rig, 8 * KIB, 1);
  use_a_block(l->rig, MIB, 2);
  expect_or_abort(pinned_free(l->rig->cache, l->held) == HOSTCACHE_OK);
  l->held = NULL;
  expect_or_abort(pinned_check(l->rig->cache) == HOSTCACHE_OK);
  atomic_fetch_add(l->ends, 1);
  if (l->rounds-- > 0) expect_or_abort(pthread_setspecific(*l->key, l) == 0);
}

static void *set_both_keys(void *argument) {
  leaver *leavers = (leaver *)argument;
  size_t i;
  for (i = 0; i < 2; i++) {
    leaver *l = &leavers[i];
    expect_or_abort(pthread_setspecific(*l->key, l) == 0);
    expect_or_abort(pinned_alloc(l->rig->cache, 64 * KIB, &l->held) == HOSTCACHE_OK);
  }
  use_a_block(leavers->rig, 16 * KIB, 3);
  return NULL;
}

static void the_destructor_of_a_thread_local_variable_may_use_the_cache(void **state) {
  pinned_rig *rig = *state;
  leaver leavers[2];
  atomic_int ends;
  pthread_t thread;
  int i;
  atomic_init(&ends, 0);
  rig->device.eager = true;
  assert_int_equal(pthread_key_create(&early_key, leave), 0);
  use_a_block(rig, 8 * KIB, 1);
  assert_int_equal(pthread_key_create(&late_key, leave), 0);
  for (i = 0; i < 20; i++) {
    const leaver early = {rig, &early_key, NULL, 1, &ends}, late = {rig, &late_key, NULL, 2, &ends};
    leavers[0] = early;
    leavers[1] = late;
    assert_int_equal(pthread_create(&thread, NULL, set_both_keys, leavers), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
  }
  assert_int_equal(atomic_load(&ends), 20 * 5);
  assert_int_equal(pinned_rig_stats(rig).allocation.current, 0);
  pthread_key_delete(early_key);
  pthread_key_delete(late_key);
}

/* A destructor that sets its key each time: the system calls it four times or more, and then no
   more, while what the cache has told the system to call at the end may have been called before.
   ThreadSanitizer knows no thread any more in the last round: there it stays for one less. */
#ifdef __SANITIZE_THREAD__
enum { ROUNDS_AT_LEAST = 3, ROUNDS_AT_MOST = 3 };
#else
enum { ROUNDS_AT_LEAST = 4, ROUNDS_AT_MOST = 1000 };
#endif

typedef struct stayer {
  pinned_rig *rig;
  atomic_int *ends;
  int rounds;
} stayer;

static void use_the_cache_and_stay(void *argument) {
  stayer *s = (stayer *)argument;
  use_a_block(s->rig, 8 * KIB, 1);
  atomic_fetch_add(s->ends, 1);
  if (++s->rounds < ROUNDS_AT_MOST) expect_or_abort(pthread_setspecific(late_key, s) == 0);
}

static void *stay_until_the_end(void *argument) {
  stayer *s = (stayer *)argument;
  s->rounds = 0;
  use_a_block(s->rig, 8 * KIB, 1);
  expect_or_abort(pthread_setspecific(late_key, s) == 0);
  return NULL;
}

static void *touch_the_stack(void *argument) {
  use_a_block((pinned_rig *)argument, 8 * KIB, 1);
  return NULL;
}

static void a_destructor_that_uses_the_cache_to_the_very_end_leaves_nothing_behind(void **state) {
  pinned_rig *rig = *state;
  stayer s = {rig, NULL, 0};
  atomic_int ends;
  pthread_t thread;
  int i;
  atomic_init(&ends, 0);
  s.ends = &ends;
  rig->device.eager = true;
  use_a_block(rig, 8 * KIB, 1);
  assert_int_equal(pthread_key_create(&late_key, use_the_cache_and_stay), 0);
  for (i = 0; i < 20; i++) {
    assert_int_equal(pthread_create(&thread, NULL, stay_until_the_end, &s), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, touch_the_stack, rig), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    pinned_rig_check(rig);
  }
  assert_in_range(atomic_load(&ends), 20 * ROUNDS_AT_LEAST, 20 * ROUNDS_AT_MOST);
  pthread_key_delete(late_key);
  assert_ok(pinned_empty_cache(rig->cache)); /* also what those threads had in stock */
  assert_int_equal(pinned_rig_stats(rig).reserved_bytes.current, 0);
  assert_ok(pinned_destroy(rig->cache));
  rig->cache = NULL;
}

/* ---- what outlives what ---------------------------------------------------------------------- */

typedef struct crossing {
  pinned_rig *rig;
  meeting meeting;
  void *held;
} crossing;

static void *end_with_a_block(void *argument) {
  crossing *c = (crossing *)argument;
  expect_or_abort(pinned_alloc(c->rig->cache, 64 * KIB, &c->held) == HOSTCACHE_OK);
  expect_or_abort(pinned_record_stream(c->rig->cache, c->held, 1) == HOSTCACHE_OK);
  return NULL;
}

static void what_a_thread_held_when_it_ended_can_be_freed_by_another(void **state) {
  pinned_rig *rig = *state;
  crossing c = {rig, MEETING_INIT, NULL};
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, end_with_a_block, &c), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_int_equal(pinned_rig_stats(rig).allocation.current, 1);
  assert_ok(pinned_record_stream(rig->cache, c.held, 2));
  assert_ok(pinned_free(rig->cache, c.held));
}

static void *use_and_wait(void *argument) {
  crossing *c = (crossing *)argument;
  use_a_block(c->rig, 64 * KIB, 1);
  reach(&c->meeting, 1);
  await(&c->meeting, 2);
  return NULL;
}

static void a_thread_may_outlive_the_caches_that_it_used(void **state) {
  enum { CACHES = 50 };
  pinned_rig *rig = *state;
  crossing c = {rig, MEETING_INIT, NULL};
  pthread_t thread;
  int i;
  rig->device.eager = true;
  assert_int_equal(pthread_create(&thread, NULL, use_and_wait, &c), 0);
  await(&c.meeting, 1);
  for (i = 0; i < CACHES; i++) /* one after the other, very likely at the same address */
    pinned_rig_configure(rig, pinned_rig_config(rig));
  assert_ok(pinned_destroy(rig->cache));
  rig->cache = NULL;
  assert_int_equal(atomic_load(&below.live), 0);
  sim_shutdown(&rig->device); /* the end of the thread calls no hook */
  reach(&c.meeting, 2);
  assert_int_equal(pthread_join(thread, NULL), 0);
}

static void *create_and_end(void *argument) {
  pinned_rig *rig = (pinned_rig *)argument;
  hostcache_config config = pinned_rig_config(rig);
  expect_or_abort(pinned_create(&rig->cache, &config, &rig->device) == HOSTCACHE_OK);
  use_a_block(rig, 64 * KIB, 1);
  return NULL;
}

static void *destroy_and_end(void *argument) {
  pinned_rig *rig = (pinned_rig *)argument;
  use_a_block(rig, 64 * KIB, 1);
  expect_or_abort(pinned_destroy(rig->cache) == HOSTCACHE_OK);
  rig->cache = NULL;
  return NULL;
}

static void a_cache_may_outlive_the_thread_that_made_it_and_be_destroyed_by_another(void **state) {
  pinned_rig *rig = *state;
  void *(*const bodies[])(void *) = {create_and_end, destroy_and_end};
  pthread_t thread;
  size_t i;
  rig->device.eager = true;
  assert_ok(pinned_destroy(rig->cache));
  for (i = 0; i < COUNT_OF(bodies); i++) {
    assert_int_equal(pthread_create(&thread, NULL, bodies[i], rig), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
  }
}

/* Where blocks are parts of segments, so that threads have some in stock. */
static int open_with_stocks(void **state) {
  hostcache_config config;
  (void)pinned_rig_setup(state);
  config = pinned_rig_config(*state);
  config.segment_bytes = 0;
  pinned_rig_configure(*state, config);
  return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pinned_rig_setup, pinned_rig_teardown)
#define TEST_WITH_STOCKS(name) \
  { #name ", with stocks", name, open_with_stocks, pinned_rig_teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_hundred_thousand_short_threads_leave_nothing_behind),
      TEST(threads_that_are_cancelled_lose_no_block_and_leave_no_lock),
      TEST(the_destructor_of_a_thread_local_variable_may_use_the_cache),
      TEST_WITH_STOCKS(threads_that_are_cancelled_lose_no_block_and_leave_no_lock),
      TEST_WITH_STOCKS(the_destructor_of_a_thread_local_variable_may_use_the_cache),
      TEST(a_destructor_that_uses_the_cache_to_the_very_end_leaves_nothing_behind),
      TEST_WITH_STOCKS(a_destructor_that_uses_the_cache_to_the_very_end_leaves_nothing_behind),
      TEST(what_a_thread_held_when_it_ended_can_be_freed_by_another),
      TEST(a_thread_may_outlive_the_caches_that_it_used),
      TEST_WITH_STOCKS(a_thread_may_outlive_the_caches_that_it_used),
      TEST(a_cache_may_outlive_the_thread_that_made_it_and_be_destroyed_by_another),
      TEST_WITH_STOCKS(a_cache_may_outlive_the_thread_that_made_it_and_be_destroyed_by_another),
  };
  return cmocka_run_group_tests_name("life.threads", tests, NULL, NULL);
}
