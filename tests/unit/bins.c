/* bins.c - tests section 10 of the header: blocks that are ready.

   Promises: a hit calls no hook; what is freed is reused, the warmest first; a large cached block
   serves its own rounded size; empty_cache gives back everything that is cached, whichever thread
   freed it; reserved memory does not grow while what is cached fits (section 6 of the contract). */

#include "sim/below.h"

#define HC_NAME pinned
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE pinned
#include "sim/rig.h"

static void what_was_freed_last_is_reused_first(void **state) {
  pinned_rig *rig = *state;
  void *one = pinned_rig_take(rig, 64 * KIB), *two = pinned_rig_take(rig, 64 * KIB);
  pinned_rig_give(rig, one);
  pinned_rig_give(rig, two);
  assert_ptr_equal(pinned_rig_take(rig, 64 * KIB),
                   two); /* it is the one in the caches of the processor */
  assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), one);
}

static void every_size_of_a_class_shares_its_blocks(void **state) {
  pinned_rig *rig = *state;
  void *ptr = pinned_rig_take(rig, 61 * KIB);
  pinned_rig_give(rig, ptr);
  assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), ptr); /* the class from 60 KiB + 1 to 64 KiB */
  pinned_rig_give(rig, ptr);
  assert_ptr_equal(pinned_rig_take(rig, 60 * KIB + 1), ptr);
  assert_int_equal(pinned_rig_stats(rig).requested_bytes.current, 60 * KIB + 1);
}

static void a_large_block_serves_every_request_that_rounds_to_its_size(void **state) {
  pinned_rig *rig = *state;
  void *ptr = pinned_rig_take(rig, 3 * MIB);
  pinned_rig_give(rig, ptr);
  assert_ptr_equal(pinned_rig_take(rig, 3 * MIB - PAGE + 1), ptr);
  pinned_rig_give(rig, ptr);
  assert_ptr_not_equal(pinned_rig_take(rig, 3 * MIB + 1), ptr);
}

static void many_large_blocks_of_one_size_and_of_many_are_all_reused(void **state) {
  enum { BLOCKS = 60 };
  pinned_rig *rig = *state;
  void *blocks[BLOCKS];
  uint64_t calls;
  int round;
  size_t i;
  for (i = 0; i < BLOCKS; i++) blocks[i] = pinned_rig_take(rig, 2 * MIB + i % 7 * PAGE);
  for (round = 0; round < 3; round++) {
    for (i = 0; i < BLOCKS; i++) pinned_rig_give(rig, blocks[i * 37 % BLOCKS]);
    calls = sim_calls(&rig->device, SIM_EVERY_HOOK);
    for (i = 0; i < BLOCKS; i++) blocks[i] = pinned_rig_take(rig, 2 * MIB + i % 7 * PAGE);
    assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), calls);
    pinned_rig_check(rig);
  }
  assert_int_equal(pinned_rig_stats(rig).segment.current, BLOCKS);
}

static void a_hit_and_a_free_without_uses_call_no_hook_and_no_malloc(void **state) {
  static const size_t sizes[] = {1, 4096, 64 * 1024, 1024 * 1024, 5 * 1024 * 1024};
  pinned_rig *rig = *state;
  uint64_t calls, mallocs;
  size_t i;
  int round;
  for (i = 0; i < COUNT_OF(sizes); i++) pinned_rig_give(rig, pinned_rig_take(rig, sizes[i]));
  calls = sim_calls(&rig->device, SIM_EVERY_HOOK);
  mallocs = atomic_load(&below.calls);
  for (round = 0; round < 100; round++)
    for (i = 0; i < COUNT_OF(sizes); i++) pinned_rig_give(rig, pinned_rig_take(rig, sizes[i]));
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), calls);
  assert_int_equal(atomic_load(&below.calls), mallocs);
  assert_int_equal(pinned_rig_stats(rig).num_hits, 100 * COUNT_OF(sizes));
}

static void empty_cache_gives_back_all_that_is_cached_and_nothing_else(void **state) {
  pinned_rig *rig = *state;
  void *held = pinned_rig_take(rig, 64 * KIB);
  size_t size;
  for (size = 1; size < 20 * MIB; size = size * 2 + 1)
    pinned_rig_give(rig, pinned_rig_take(rig, size));
  (void)pinned_rig_pend(rig, 128 * KIB, 1);
  assert_ok(pinned_empty_cache(rig->cache));
  assert_int_equal(sim_live_bytes(&rig->device), 192 * KIB);
  assert_int_equal(pinned_rig_stats(rig).reserved_bytes.current, 192 * KIB);
  assert_int_equal(pinned_rig_stats(rig).segment.current, 2);
  assert_non_null(pinned_find(rig->cache, held));
  assert_ok(pinned_empty_cache(rig->cache)); /* nothing to do */
}

typedef struct sleeper { /* a thread that has freed, and now waits while others work */
  pinned_rig *rig;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int stage;
} sleeper;

static void reach(sleeper *s, int stage) {
  pthread_mutex_lock(&s->lock);
  s->stage = stage;
  pthread_cond_broadcast(&s->changed);
  pthread_mutex_unlock(&s->lock);
}

static void await(sleeper *s, int stage) {
  pthread_mutex_lock(&s->lock);
  while (s->stage < stage) pthread_cond_wait(&s->changed, &s->lock);
  pthread_mutex_unlock(&s->lock);
}

static void *get_and_free_then_sleep(void *argument) {
  sleeper *s = argument;
  void *blocks[8];
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++)
    expect_or_abort(pinned_alloc(s->rig->cache, 64 * KIB, &blocks[i]) == HOSTCACHE_OK);
  for (i = 0; i < COUNT_OF(blocks); i++)
    expect_or_abort(pinned_free(s->rig->cache, blocks[i]) == HOSTCACHE_OK);
  reach(s, 1);
  await(s, 2);
  return NULL;
}

/* Whatever a thread keeps for itself: others can have it while it sleeps, and when it is gone. */
static void what_another_thread_freed_can_be_had_and_given_back(void **state) {
  sleeper s;
  pthread_t thread;
  void *blocks[8];
  size_t i;
  memset(&s, 0, sizeof s);
  s.rig = *state;
  pthread_mutex_init(&s.lock, NULL);
  pthread_cond_init(&s.changed, NULL);
  assert_int_equal(pthread_create(&thread, NULL, get_and_free_then_sleep, &s), 0);
  await(&s, 1);
  for (i = 0; i < COUNT_OF(blocks) / 2; i++) blocks[i] = pinned_rig_take(s.rig, 64 * KIB);
  assert_int_equal(pinned_rig_stats(s.rig).segment.current, COUNT_OF(blocks));
  for (i = 0; i < COUNT_OF(blocks) / 2; i++) pinned_rig_give(s.rig, blocks[i]);
  assert_ok(pinned_empty_cache(s.rig->cache));
  assert_int_equal(sim_live_bytes(&s.rig->device), 0);
  reach(&s, 2);
  assert_int_equal(pthread_join(thread, NULL), 0);
  pthread_mutex_destroy(&s.lock);
  pthread_cond_destroy(&s.changed);
}

static void *get_and_free_then_end(void *argument) {
  pinned_rig *rig = argument;
  void *ptr;
  expect_or_abort(pinned_alloc(rig->cache, 64 * KIB, &ptr) == HOSTCACHE_OK);
  expect_or_abort(pinned_free(rig->cache, ptr) == HOSTCACHE_OK);
  return NULL;
}

static void a_thread_that_ends_leaves_what_it_freed_and_calls_no_hook(void **state) {
  pinned_rig *rig = *state;
  int i;
  for (i = 0; i < 20; i++) {
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, get_and_free_then_end, rig), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
  }
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), 1); /* one block did for all */
}

static void the_same_work_again_needs_no_more_memory(void **state) {
  pinned_rig *rig = *state;
  enum { SLOTS = 40 };
  void *slots[SLOTS];
  int64_t reserved = 0;
  int round;
  size_t i;
  for (round = 0; round < 10; round++) {
    for (i = 0; i < SLOTS; i++) slots[i] = pinned_rig_take(rig, 1000 + i * 5000);
    for (i = 0; i < SLOTS; i++) pinned_rig_give(rig, slots[i]);
    if (round == 0) reserved = pinned_rig_stats(rig).reserved_bytes.current;
  }
  assert_int_equal(pinned_rig_stats(rig).reserved_bytes.peak, reserved);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pinned_rig_setup, pinned_rig_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_was_freed_last_is_reused_first),
      TEST(every_size_of_a_class_shares_its_blocks),
      TEST(a_large_block_serves_every_request_that_rounds_to_its_size),
      TEST(many_large_blocks_of_one_size_and_of_many_are_all_reused),
      TEST(a_hit_and_a_free_without_uses_call_no_hook_and_no_malloc),
      TEST(empty_cache_gives_back_all_that_is_cached_and_nothing_else),
      TEST(what_another_thread_freed_can_be_had_and_given_back),
      TEST(a_thread_that_ends_leaves_what_it_freed_and_calls_no_hook),
      TEST(the_same_work_again_needs_no_more_memory),
  };
  return cmocka_run_group_tests_name("bins", tests, NULL, NULL);
}
