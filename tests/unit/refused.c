/* refused.c - tests what the cache does where the system refuses the barrier by which one thread
   reaches what another one has, although it was there when the cache was made; in each mode.

   Promises (sections 7 and 9 of the contract): what other threads have in stock stays, and a
   counter says so; a stream that cannot be forgotten goes on as before, with all its marks; nothing
   is handed out too early, lost, or waited for without an end; what is not done is not called OK,
   but for what a stock keeps. */

#include "sim/barrier.h"
#include "sim/below.h"

#define SUITE "sim/suite_refused.h"
#include "sim/each_mode.h"

#define HC_NAME device
#define HC_DEVICE_ALLOCATOR
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE device
#include "sim/rig.h"

typedef struct owner { /* a thread that has a record of its own, and sleeps */
  device *cache;
  meeting meeting;
} owner;

static void *own_a_stock(void *argument) {
  owner *o = (owner *)argument;
  void *ptr = NULL;
  expect_or_abort(device_alloc(o->cache, 64 * KIB, &ptr) == HOSTCACHE_OK);
  expect_or_abort(device_free(o->cache, ptr) == HOSTCACHE_OK);
  reach(&o->meeting, 1);
  await(&o->meeting, 2);
  return NULL;
}

/* The largest may be in the stock that cannot be reached. */
static void cache_info_says_so_when_it_cannot_look_at_what_others_have(void **state) {
  device_rig *rig = *state;
  owner o = {NULL, MEETING_INIT};
  hostcache_config config = device_rig_config(rig);
  hostcache_device_stats stats;
  pthread_t thread;
  size_t size = 1;
  config.segment_bytes = 0;
  device_rig_configure(rig, config);
  o.cache = rig->cache;
  assert_int_equal(pthread_create(&thread, NULL, own_a_stock, &o), 0);
  await(&o.meeting, 1);
  barrier_refuse(1, true);
  assert_result(device_cache_info(rig->cache, &size), HOSTCACHE_ERR_UNSUPPORTED);
  assert_int_equal(size, 0);
  assert_ok(device_device_stats(rig->cache, &stats)); /* as stats: exact when all is quiet */
  assert_int_equal(stats.active[HOSTCACHE_STAT_AGGREGATE].current, 0);
  assert_int_equal(stats.active[HOSTCACHE_STAT_SMALL_POOL].allocated, 1);
  barrier_refuse_no_more();
  assert_ok(device_cache_info(rig->cache, &size));
  assert_int_equal(size, 2 * MIB - 64 * KIB);
  reach(&o.meeting, 2);
  assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_NONE_IN_EACH_MODE(
          a_stream_that_cannot_be_forgotten_for_want_of_a_barrier_goes_on_as_before),
      ON_EACH_MODE(what_others_have_in_stock_stays_and_a_counter_says_so),
      ON_EACH_MODE(a_bound_that_is_set_without_a_barrier_binds_what_others_have_when_it_is_reached),
      ON_EACH_MODE(synchronize_says_so_when_it_cannot_look_at_what_others_freed),
      cmocka_unit_test_setup_teardown(cache_info_says_so_when_it_cannot_look_at_what_others_have,
                                      device_rig_setup_alone, device_rig_teardown),
  };
  if (!hostcache_barrier_ready()) {
    print_message("left out: here threads have fences of their own, which nobody can refuse\n");
    return 0;
  }
  return cmocka_run_group_tests_name("refused", tests, NULL, NULL);
}
