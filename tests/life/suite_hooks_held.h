/* suite_hooks_held.h - a template of tests: a thread stands inside of a hook, or a hook calls the
   cache for the very block that it is called for. */

#include "life.h"

/* ---- others go on ---------------------------------------------------------------------------- */

#ifndef TESTS_LIFE_SUITE_HOOKS_HELD_H
#define TESTS_LIFE_SUITE_HOOKS_HELD_H

enum { HELD_STREAM = 5, OTHERS = 2 };

static int visit_nothing(void *user, const hostcache_visit *visit) {
  (void)user;
  (void)visit;
  return 0;
}

#endif

typedef struct ON_RIG(visitor) {
  RIG_NOW *rig;
  sim_hook hook;
  meeting meeting;
  bool stood; /* it came by the hook */
} ON_RIG(visitor);

/* Comes by every hook that there is, once, and stops in one of them. */
static inline void *ON_RIG(visit_every_hook)(void *argument) {
  ON_RIG(visitor) *v = argument;
  CACHE *cache = v->rig->cache;
  hostcache_result result;
  void *ptr;
  stop_in = v->hook;
  stop_at = &v->meeting;
  expect_or_abort(API(alloc)(cache, MIB, &ptr) == HOSTCACHE_OK);
  expect_or_abort(API(record_stream)(cache, ptr, HELD_STREAM) == HOSTCACHE_OK);
  (void)sim_submit(&v->rig->device, HELD_STREAM);
  /* Only where recording has failed is a stream waited for. */
  if (v->hook == SIM_STREAM_WAIT) sim_fail(&v->rig->device, 1, false, SIM_EVERY_RECORD);
  result = API(free)(cache, ptr);
  expect_or_abort(result == HOSTCACHE_OK || result == HOSTCACHE_ERR_EVENT);
  expect_or_abort(API(process_events)(cache, NULL) == HOSTCACHE_OK);
#ifdef CACHE_WAITS
  expect_or_abort(API(synchronize)(cache, UINT64_MAX) == HOSTCACHE_OK);
#endif
  sim_complete(&v->rig->device, HELD_STREAM, -1);
  expect_or_abort(API(process_events)(cache, NULL) == HOSTCACHE_OK);
  expect_or_abort(API(forget_stream)(cache, HELD_STREAM) == HOSTCACHE_OK);
  expect_or_abort(API(empty_cache)(cache) == HOSTCACHE_OK);
  v->stood = stop_at == NULL;
  stop_at = NULL;
  reach(&v->meeting, 1); /* where this mode has no such hook */
  return NULL;
}

/* Everything that may not wait for a thread in a hook; on the stream of that hook too. */
static inline void *ON_RIG(go_on)(void *argument) {
  RIG_NOW *rig = argument;
  CACHE *cache = rig->cache;
  hostcache_stats stats;
  size_t round;
  for (round = 0; round < 60; round++) {
    const sim_stream stream = round % 2 == 0 ? HELD_STREAM : 6;
    hostcache_result result;
    void *ptr, *other;
    expect_or_abort(API(alloc)(cache, 4 * KIB, &ptr) == HOSTCACHE_OK);
    expect_or_abort(API(alloc)(cache, (1 + round) * 64 * KIB, &other) == HOSTCACHE_OK);
    expect_or_abort(API(find)(cache, (char *)ptr + 1) != NULL);
    expect_or_abort(API(record_stream)(cache, ptr, stream) == HOSTCACHE_OK);
    expect_or_abort(API(record_stream)(cache, other, 6) == HOSTCACHE_OK);
    (void)sim_submit(&rig->device, stream);
    expect_or_abort(API(free)(cache, ptr) == HOSTCACHE_OK);
    expect_or_abort(API(free_deferred)(cache, other) == HOSTCACHE_OK);
    expect_or_abort(API(process_events)(cache, NULL) == HOSTCACHE_OK);
    result = API(synchronize)(cache, 0);
    expect_or_abort(result == HOSTCACHE_OK || result == HOSTCACHE_ERR_TIMEOUT);
    expect_or_abort(API(stats)(cache, &stats) == HOSTCACHE_OK);
    expect_or_abort(API(check)(cache) == HOSTCACHE_OK);
    expect_or_abort(API(walk)(cache, visit_nothing, NULL) == HOSTCACHE_OK);
    result = API(reserve)(cache, 8 * KIB, 2); /* LIMIT: another thread has emptied the cache */
    expect_or_abort(result == HOSTCACHE_OK || result == HOSTCACHE_ERR_LIMIT);
    expect_or_abort(API(set_max_cached_bytes)(cache, GIB) == HOSTCACHE_OK);
    expect_or_abort(API(trim)(cache, 64 * KIB) == HOSTCACHE_OK);
    expect_or_abort(API(trim_idle)(cache, 0) == HOSTCACHE_OK);
    expect_or_abort(API(empty_cache)(cache) == HOSTCACHE_OK);
    expect_or_abort(API(release_quarantine)(cache) == HOSTCACHE_OK);
  }
  expect_or_abort(API(forget_stream)(cache, 6) == HOSTCACHE_OK); /* not the one of the hook */
  return NULL;
}

/* The bugs: 12 ms stalls on a driver's lock (vllm #37006); a runtime call under an allocator's lock
   (pytorch #159352). Nobody looks at a clock: the others have to end before the thread goes on. */
static inline bool ON_RIG(goes_on_beside)(sim_hook hook) {
  RIG_NOW *rig = ON_RIG(open)();
  ON_RIG(visitor) v = {rig, hook, MEETING_INIT, false};
  pthread_t thread, others[OTHERS];
  bool stood;
  size_t i;
  rig->device.on_hook = stop_in_a_hook;
  assert_int_equal(pthread_create(&thread, NULL, ON_RIG(visit_every_hook), &v), 0);
  await(&v.meeting, 1);
  sim_lock(&rig->device);
  rig->device.eager = true; /* what the others submit */
  sim_unlock(&rig->device);
  for (i = 0; i < OTHERS; i++)
    assert_int_equal(pthread_create(&others[i], NULL, ON_RIG(go_on), rig), 0);
  for (i = 0; i < OTHERS; i++) assert_int_equal(pthread_join(others[i], NULL), 0);
  reach(&v.meeting, 2);
  assert_int_equal(pthread_join(thread, NULL), 0);
  rig->device.on_hook = NULL;
  stood = v.stood;
  assert_true(stood == (sim_calls(&rig->device, SIM_ONLY(hook)) > 0));
  assert_int_equal(ON_RIG(stats)(rig).allocation.current, 0);
  ON_RIG(close)(rig);
  return stood;
}

RIG_TEST(others_go_on_while_a_thread_stands_in_any_hook) {
  unsigned hook, stood = 0;
  (void)state;
  for (hook = 0; hook < SIM_HOOKS; hook++) stood += ON_RIG(goes_on_beside)((sim_hook)hook);
  assert_in_range(stood, 4, SIM_HOOKS); /* memory's two, a record, a query, and what the mode has */
}

/* ---- a hook that names its own block --------------------------------------------------------- */

typedef struct ON_RIG(named) {
  RIG_NOW *rig;
  void *block;
  unsigned seen; /* hooks */
} ON_RIG(named);

/* Freed already, whatever hook this is for: so it can't be freed, marked or found. */
static inline void ON_RIG(name_it)(void *user, sim_hook hook) {
  ON_RIG(named) *n = user;
  CACHE *cache = n->rig->cache;
  const unsigned gone = hook == SIM_MEM_FREE ? ONE_OF(HOSTCACHE_ERR_NOT_FOUND) : 0;
  if (hook == SIM_MEM_ALLOC) return;
  n->seen |= SIM_ONLY(hook);
  (void)assert_one_of(API(free)(cache, n->block), gone | ONE_OF(HOSTCACHE_ERR_DOUBLE_FREE));
  (void)assert_one_of(API(free_deferred)(cache, n->block),
                      gone | ONE_OF(HOSTCACHE_ERR_DOUBLE_FREE));
  assert_result(API(record_stream)(cache, n->block, 1), HOSTCACHE_ERR_NOT_FOUND);
  assert_null(API(find)(cache, n->block));
  assert_ok(API(process_events)(cache, NULL));
  assert_result(API(synchronize)(cache, 0),
                ON_RIG(stats)(n->rig).pending.current > 0 ? HOSTCACHE_ERR_TIMEOUT : HOSTCACHE_OK);
  ON_RIG(check)(n->rig);
}

RIG_TEST(a_hook_may_name_the_block_that_it_is_called_for) {
  RIG_NOW *rig = *state;
  ON_RIG(named) n = {rig, NULL, 0};
  n.block = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, n.block, 1);
  rig->device.on_hook = ON_RIG(name_it);
  rig->device.on_hook_user = &n;
  ON_RIG(give)(rig, n.block);
  assert_ok(API(process_events)(rig->cache, NULL));
  rig->device.on_hook = NULL;
  sim_complete_all(&rig->device);
  rig->device.on_hook = ON_RIG(name_it);
  assert_ok(API(process_events)(rig->cache, NULL));
  assert_ok(API(empty_cache)(rig->cache));
  rig->device.on_hook = NULL;
  assert_true((n.seen & SIM_EVERY_RECORD) != 0);
  assert_true((n.seen & SIM_EVERY_QUERY) != 0);
  assert_true((n.seen & SIM_ONLY(SIM_MEM_FREE)) != 0);
}

/* ---- hooks inside of hooks ------------------------------------------------------------------- */

typedef struct ON_RIG(nest) {
  RIG_NOW *rig;
  int depth, left;
} ON_RIG(nest);

/* Each allocation needs new memory, and for that another one. */
static inline void ON_RIG(allocate_again)(void *user, sim_hook hook) {
  ON_RIG(nest) *n = user;
  void *ptr;
  if (hook != SIM_MEM_ALLOC || n->left == 0) return;
  n->left--;
  n->depth++;
  sim_depth--; /* the hooks of this call do the same */
  ptr = ON_RIG(take)(n->rig, 128 * KIB);
  sim_depth++;
  ON_RIG(give)(n->rig, ptr);
}

RIG_TEST(an_allocation_may_need_another_thirty_deep) {
  RIG_NOW *rig = *state;
  ON_RIG(nest) n = {rig, 0, 30};
  rig->device.on_hook = ON_RIG(allocate_again);
  rig->device.on_hook_user = &n;
  (void)ON_RIG(take)(rig, 64 * KIB);
  rig->device.on_hook = NULL;
  assert_int_equal(n.depth, 30);
  assert_int_equal(ON_RIG(stats)(rig).allocation.current, 1);
  ON_RIG(check)(rig);
}

/* ---- the end of one cache is nothing to another ---------------------------------------------- */

static inline void ON_RIG(end_a_neighbour)(RIG_NOW *rig, bool abandons) {
  hostcache_config config = ON_RIG(config)(rig);
  CACHE *neighbour;
  void *mine = ON_RIG(take)(rig, 64 * KIB), *theirs;
  hostcache_stats before, after;
  size_t left;
  (void)ON_RIG(pend)(rig, 128 * KIB, 1);
  assert_ok(API(create)(&neighbour, &config, &rig->device));
  assert_ok(API(alloc)(neighbour, 64 * KIB, &theirs));
  left = sim_live_bytes(&rig->device) - (size_t)ON_RIG(stats)(rig).reserved_bytes.current;
  assert_ok(API(record_stream)(neighbour, theirs, 1));
  assert_result(API(free)(rig->cache, theirs), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(API(record_stream)(neighbour, mine, 1), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(API(block_free)(neighbour, API(find)(rig->cache, mine)), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(API(destroy)(neighbour), HOSTCACHE_ERR_BUSY);
  assert_ok(API(stats)(neighbour, &after)); /* it goes on */
  before = ON_RIG(stats)(rig);
  if (abandons) {
    const uint64_t calls = sim_calls(&rig->device, SIM_EVERY_HOOK);
    API(abandon)(neighbour);
    assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), calls);
  } else {
    sim_complete_all(&rig->device);
    assert_ok(API(free)(neighbour, theirs));
    assert_ok(API(destroy)(neighbour));
  }
  after = ON_RIG(stats)(rig);
  assert_memory_equal(&before, &after, sizeof before);
  assert_null(API(find)(rig->cache, theirs));
  assert_ptr_equal(API(block_ptr)(API(find)(rig->cache, mine)), mine);
  ON_RIG(give)(rig, mine);
  ON_RIG(check)(rig);
  sim_complete_all(&rig->device);
  assert_ok(API(destroy)(rig->cache)); /* not by the rig, which knows of one cache only */
  rig->cache = NULL;
  rig->left_bytes = abandons ? left : 0; /* abandon leaves its memory to the runtime */
}

RIG_TEST(destroying_one_cache_is_nothing_to_another) {
  ON_RIG(end_a_neighbour)((RIG_NOW *)*state, false);
}

RIG_TEST(abandoning_one_cache_is_nothing_to_another) {
  RIG_NOW *rig = *state;
  ON_RIG(end_a_neighbour)(rig, true);
}
