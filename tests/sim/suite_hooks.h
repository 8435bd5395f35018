/* suite_hooks.h - a template of tests: what a hook may do and rely on, and what follows when one
   fails. */

#include "suite_failures.h"
#include "suite_sweep.h"

/* ---- a hook calls the cache ------------------------------------------------------------------ */

/* Everything that a hook may call: not destroy, wait, or forget a stream. The bug: a runtime call
   under an allocator lock deadlocks (pytorch #159352, #97833). */
static inline void ON_RIG(call_the_cache)(void *user) {
  RIG_NOW *rig = user;
  hostcache_stats stats;
  void *ptr = NULL, *other = NULL;
  sim_depth++; /* the hooks of these calls do not call again */
  assert_ok(API(alloc)(rig->cache, 4 * KIB, &ptr));
  sim_handed_out(&rig->device, ptr, 4 * KIB);
  assert_ok(API(record_stream)(rig->cache, (char *)ptr + 7, 1));
  (void)sim_use(&rig->device, 1, ptr);
  assert_non_null(API(find)(rig->cache, ptr));
  assert_ok(API(alloc)(rig->cache, 64 * KIB, &other));
  sim_handed_out(&rig->device, other, 64 * KIB);
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free)(rig->cache, ptr));
  sim_handed_back(&rig->device, other);
  assert_ok(API(free_deferred)(rig->cache, other));
  assert_ok(API(process_events)(rig->cache, NULL));
  assert_ok(API(stats)(rig->cache, &stats));
  assert_ok(API(empty_cache)(rig->cache));
  assert_result(API(free)(rig->cache, &rig), HOSTCACHE_ERR_NOT_FOUND);
  ON_RIG(check)(rig);
  sim_depth--;
}

static inline void ON_RIG(call_the_cache_from_a_hook)(void *user, sim_hook hook) {
  (void)hook;
  ON_RIG(call_the_cache)(user);
}

RIG_TEST(every_hook_may_call_the_cache) {
  RIG_NOW *rig = *state;
  int round;
  rig->device.on_hook = ON_RIG(call_the_cache_from_a_hook);
  rig->device.on_hook_user = rig;
  for (round = 0; round < 4; round++) {
    void *ptr = ON_RIG(take)(rig, 64 * KIB);
    void *other = ON_RIG(take)(rig, 3 * MIB);
    sim_stream stream;
    for (stream = 0; stream < 6; stream++) (void)ON_RIG(use)(rig, ptr, stream);
    ON_RIG(give)(rig, ptr);
    (void)ON_RIG(use)(rig, other, 3);
    ON_RIG(give)(rig, other);
    assert_ok(API(process_events)(rig->cache, NULL));
    sim_complete(&rig->device, 3, -1);
    assert_ok(API(process_events)(rig->cache, NULL));
    sim_complete_all(&rig->device);
    assert_ok(API(synchronize)(rig->cache, UINT64_C(1000000000)));
    (void)ON_RIG(use)(rig, ON_RIG(take)(rig, 64 * KIB), 5);
    rig->device.progress_per_queries = 1;
    assert_ok(API(forget_stream)(rig->cache, 5));
    rig->device.progress_per_queries = 0;
    assert_ok(API(empty_cache)(rig->cache));
  }
}

RIG_TEST(on_error_may_call_the_cache) {
  RIG_NOW *rig = *state;
  void *ptr;
  rig->heard.react = ON_RIG(call_the_cache);
  rig->heard.react_user = rig;
  rig->may_leak = true;
  ON_RIG(give)(rig, ON_RIG(take)(rig, 64 * KIB));
  sim_fail(&rig->device, 1, false, SIM_ONLY(SIM_MEM_ALLOC));
  assert_result(API(alloc)(rig->cache, 128 * KIB, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  ON_RIG(give)(rig, ON_RIG(take)(rig, 64 * KIB));
  sim_fail(&rig->device, 1, false, SIM_ONLY(SIM_MEM_FREE));
  assert_result(API(empty_cache)(rig->cache), HOSTCACHE_ERR_LEAKED);
  ptr = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, ptr, 2);
  sim_fail(&rig->device, 1, false, SIM_EVERY_RECORD);
  sim_handed_back(&rig->device, ptr);
  assert_result(API(free)(rig->cache, ptr), HOSTCACHE_ERR_EVENT);
  (void)ON_RIG(pend)(rig, 64 * KIB, 3);
  sim_fail(&rig->device, 1, false, SIM_EVERY_QUERY);
  assert_result(API(process_events)(rig->cache, NULL), HOSTCACHE_ERR_EVENT);
  assert_int_equal(rig->heard.count, 4);
}

/* ---- what a hook is called with -------------------------------------------------------------- */

RIG_TEST(a_hook_gets_whole_pages_and_the_alignment_of_the_config) {
  static const size_t alignments[] = {64, 512, 4096, 65536};
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  size_t i, size;
  for (i = 0; i < COUNT_OF(alignments); i++) {
    config.alignment = alignments[i];
    ON_RIG(configure)(rig, config);
    for (size = 1; size <= 4 * MIB; size = size * 3 + 1) {
      void *ptr = ON_RIG(take)(rig, size); /* the referee looks at the size */
      assert_true(rig->device.last_align >= alignments[i]);
      assert_int_equal((uintptr_t)ptr % alignments[i], 0);
      ON_RIG(give)(rig, ptr);
    }
  }
}

RIG_TEST(no_hook_is_called_after_destroy_and_none_by_abandon) {
  RIG_NOW *rig = *state;
  uint64_t before;
  size_t left;
  (void)ON_RIG(pend)(rig, 64 * KIB, 1);
  (void)ON_RIG(take)(rig, 64 * KIB);
  ON_RIG(give)(rig, ON_RIG(take)(rig, 128 * KIB));
  before = sim_calls(&rig->device, SIM_EVERY_HOOK);
  left = sim_live_bytes(&rig->device);
  sim_shutdown(&rig->device); /* the bug: runtime calls after teardown (rmm #2366) */
  API(abandon)(rig->cache);
  rig->cache = NULL;
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), before);
  assert_int_equal(atomic_load(&below.live), 0);
  rig->left_bytes = left;
  rig->may_lose_events = true;
}
