/* hooks.c - a hook that takes its time, and one that calls back.

   Promises (sections 4 and 9 of the contract): while a thread is inside of a hook, any hook, all
   others go on with everything, but for what waits for that stream; a hook may call the cache, for
   the block that it is called for too, and to any depth; an address that the runtime gives out
   again before the call that returned it is over is a new one; the end of one cache is nothing to
   another.

   How: the thread stands in the hook until the others have ended, not for a time. (Every hook calls
   everything in unit/hooks.c, every_hook_may_call_the_cache. Memory that is still live is refused,
   and nothing lost, in the tests there that begin with memory_that, and in unit/segments.c.) */

#include "sim/below.h"

#define SUITE "life/suite_hooks_held.h"
#include "sim/each_mode.h"

/* ---- an address that comes back at once ------------------------------------------------------ */

/* A runtime with one piece of memory, which it has again as soon as it is given back: before its
   own function has returned. */
typedef struct one_place {
  meeting *meeting; /* where the thread that gives it back stops, once */
  uint64_t got, returned;
} one_place;

static int get_the_place(one_place *p, void **ptr) {
  p->got++;
  *ptr = (void *)((uintptr_t)1 << 30);
  return 0;
}

static int return_the_place(one_place *p) {
  meeting *m = p->meeting;
  p->returned++;
  p->meeting = NULL;
  if (m != NULL) {
    reach(m, 1);
    await(m, 2);
  }
  return 0;
}

#define HC_NAME tight
#define HC_NO_STREAMS
#define HC_CTX_T one_place *
#define HC_MEM_ALLOC(p, size, align, ptr_out) \
  ((void)(align), (void)(size), hostcache_map(get_the_place(p, ptr_out), 0, 1))
#define HC_MEM_FREE(p, ptr, size) \
  ((void)(ptr), (void)(size), hostcache_map(return_the_place(p), 0, 1))
#define HC_IMPLEMENT
#include "hostcache.h"

static void *empty_it(void *cache) {
  expect_or_abort(tight_empty_cache((tight *)cache) == HOSTCACHE_OK);
  return NULL;
}

/* The bug: the memory went back before the bookkeeping did, and came again meanwhile (rmm
   #2304). */
static void memory_may_come_again_before_its_return_is_over(void **state) {
  meeting m = MEETING_INIT;
  one_place place = {NULL, 0, 0};
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  pthread_t thread;
  tight *cache;
  void *ptr, *again;
  (void)state;
  config.segment_bytes = PAGE;
  assert_ok(tight_create(&cache, &config, &place));
  assert_ok(tight_alloc(cache, 2 * PAGE, &ptr));
  assert_ok(tight_free(cache, ptr));
  place.meeting = &m;
  assert_int_equal(pthread_create(&thread, NULL, empty_it, cache), 0);
  await(&m, 1);
  assert_ok(tight_alloc(cache, 2 * PAGE, &again));
  assert_ptr_equal(again, ptr);
  assert_non_null(tight_find(cache, again));
  assert_ok(tight_check(cache));
  reach(&m, 2);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_non_null(tight_find(cache, again)); /* what was over late has not taken it away */
  assert_ok(tight_check(cache));
  assert_ok(tight_free(cache, again));
  assert_ok(tight_destroy(cache));
  assert_int_equal(place.got, 2);
  assert_int_equal(place.returned, 2);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_NONE_IN_EACH_MODE(others_go_on_while_a_thread_stands_in_any_hook),
      ON_EACH_MODE(a_hook_may_name_the_block_that_it_is_called_for),
      ON_EACH_MODE(an_allocation_may_need_another_thirty_deep),
      ON_EACH_MODE(destroying_one_cache_is_nothing_to_another),
      ON_EACH_MODE(abandoning_one_cache_is_nothing_to_another),
      cmocka_unit_test(memory_may_come_again_before_its_return_is_over),
  };
  alarm(100); /* for a thread that waits for ever: it decides nothing else */
  return cmocka_run_group_tests_name("life.hooks", tests, NULL, NULL);
}
