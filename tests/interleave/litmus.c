/* litmus.c - tests the explorer itself: programs of a few lines of which it is known what they can
   do. What is wrong must be found, and what is right must pass with its bounds exhausted: an
   explorer that finds nothing looks like a program without bugs.

   A failure that is expected is also replayed from its decisions, and must come again. */

#include "explore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

typedef struct fixture { /* what a program works on; the words are watched */
  uint64_t *x, *y, *z;
  uint64_t got[EXPLORE_THREADS];
  explore_mutex *first, *second;
} fixture;

static fixture state;

static void prepare(void *user) {
  fixture *f = user;
  uint64_t **words[] = {&f->x, &f->y, &f->z};
  size_t i;
  for (i = 0; i < COUNT_OF(words); i++) {
    *words[i] = explore_malloc(sizeof(uint64_t));
    **words[i] = 0;
  }
  f->first = explore_malloc(sizeof *f->first);
  f->second = explore_malloc(sizeof *f->second);
  memset(f->first, 0, sizeof *f->first);
  memset(f->second, 0, sizeof *f->second);
}

static void nothing(void *user) { (void)user; }

#define LOAD(from, order) explore_load(from, sizeof(uint64_t), EXPLORE_##order, __LINE__)
#define STORE(to, value, order) \
  explore_store(to, sizeof(uint64_t), value, EXPLORE_##order, __LINE__)
#define LOCK(mutex) explore_lock(mutex, #mutex, __LINE__)
#define UNLOCK(mutex) explore_unlock(mutex, #mutex, __LINE__)

static explore_test program(const char *name, unsigned threads, void (*thread)(void *, unsigned),
                            void (*after)(void *)) {
  explore_test test = {.name = name,
                       .threads = threads,
                       .before = prepare,
                       .thread = thread,
                       .after = after,
                       .state = &state,
                       .state_bytes = sizeof state,
                       .bounds = {{2, 2, 2, 1}, 4}};
  return test;
}

static void expect_pass(explore_test test) {
  explore_result result = explore_all(&test, 0);
  if (result.failed) print_error("%s\n  by %s\n", result.message, result.decisions);
  assert_false(result.failed);
  assert_true(result.exhausted);
  assert_true(result.schedules > 1);
  result = explore_random(&test, 1, 500, 3);
  assert_false(result.failed);
}

static void expect_failure(explore_test test, const char *message) {
  explore_result result = explore_all(&test, 0), again;
  if (!result.failed) print_error("%s: nothing was found\n", test.name);
  assert_true(result.failed);
  if (!strstr(result.message, message))
    print_error("found: %s\nexpected: %s\n", result.message, message);
  assert_non_null(strstr(result.message, message));
  again = explore_replay(&test, result.decisions);
  assert_true(again.failed);
  assert_string_equal(again.message, result.message);
}

/* ---- threads that meet ----------------------------------------------------------------------- */

static void adds_one_without_a_lock(void *user, unsigned id) {
  fixture *f = user;
  (void)id;
  STORE(f->x, LOAD(f->x, RELAXED) + 1, RELAXED);
}

static void adds_one_under_a_lock(void *user, unsigned id) {
  fixture *f = user;
  (void)id;
  LOCK(f->first);
  ++*f->x;
  UNLOCK(f->first);
}

static void both_were_added(void *user) { explore_assert(*((fixture *)user)->x == 2); }

static void finds_a_lost_update(void **unused) {
  (void)unused;
  expect_failure(program("lost update", 2, adds_one_without_a_lock, both_were_added), "not true");
}

static void a_lock_loses_no_update(void **unused) {
  (void)unused;
  expect_pass(program("locked update", 2, adds_one_under_a_lock, both_were_added));
}

static void takes_two_locks_in_its_own_order(void *user, unsigned id) {
  fixture *f = user;
  explore_mutex *one = id == 0 ? f->first : f->second, *two = id == 0 ? f->second : f->first;
  LOCK(one);
  LOCK(two);
  UNLOCK(two);
  UNLOCK(one);
}

static void finds_a_deadlock(void **unused) {
  (void)unused;
  expect_failure(program("deadlock", 2, takes_two_locks_in_its_own_order, nothing), "deadlock");
}

static void waits_for_the_other_thread(void *user, unsigned id) {
  fixture *f = user;
  if (id == 1) STORE(f->x, 1, RELEASE);
  while (id == 0 && LOAD(f->x, ACQUIRE) == 0) explore_pause(__LINE__);
}

static void a_wait_that_ends_passes(void **unused) {
  (void)unused;
  expect_pass(program("wait", 2, waits_for_the_other_thread, nothing));
}

static void waits_for_nobody(void *user, unsigned id) {
  fixture *f = user;
  while (id == 0 && LOAD(f->x, ACQUIRE) == 0) explore_pause(__LINE__);
}

static void finds_a_wait_without_end(void **unused) {
  (void)unused;
  expect_failure(program("livelock", 2, waits_for_nobody, nothing), "livelock");
}

static void each_waits_for_the_other(void *user, unsigned id) {
  fixture *f = user;
  uint64_t *mine = id == 0 ? f->x : f->y, *other = id == 0 ? f->y : f->x;
  while (LOAD(other, ACQUIRE) == 0) explore_pause(__LINE__);
  STORE(mine, 1, RELEASE);
}

static void finds_threads_that_wait_for_each_other(void **unused) {
  (void)unused;
  expect_failure(program("mutual wait", 2, each_waits_for_the_other, nothing), "no end");
}

static void never_comes_to_a_switch_point(void *user, unsigned id) {
  volatile uint64_t *x = ((fixture *)user)->x;
  while (id == 0 && *x == 0) continue;
}

static void finds_a_loop_without_a_switch_point(void **unused) {
  (void)unused;
  expect_failure(program("hang", 2, never_comes_to_a_switch_point, nothing), "a loop without end");
}

#define WORD_OF_NOBODY 8

static void reads_where_nothing_is(void *user, unsigned id) {
  fixture *f = user;
  const volatile uint64_t *nowhere = (const volatile uint64_t *)(uintptr_t)(*f->x + WORD_OF_NOBODY);
  f->got[id] = *nowhere;
}

static void finds_a_fault(void **unused) {
  (void)unused;
  expect_failure(program("fault", 2, reads_where_nothing_is, nothing), "signal 11");
}

/* ---- what a load may see --------------------------------------------------------------------- */

/* Message passing: x is the message, y the flag. */
static void passes_a_message_relaxed(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    STORE(f->x, 1, RELAXED);
    STORE(f->y, 1, RELAXED);
  } else if (LOAD(f->y, RELAXED) == 1) {
    explore_assert(LOAD(f->x, RELAXED) == 1);
  }
}

static void passes_a_message_released_but_not_acquired(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    STORE(f->x, 1, RELAXED);
    STORE(f->y, 1, RELEASE);
  } else if (LOAD(f->y, RELAXED) == 1) {
    explore_assert(LOAD(f->x, RELAXED) == 1);
  }
}

static void passes_a_message(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    STORE(f->x, 1, RELAXED);
    STORE(f->y, 1, RELEASE);
  } else if (LOAD(f->y, ACQUIRE) == 1) {
    explore_assert(LOAD(f->x, RELAXED) == 1);
  }
}

static void a_message_needs_release_and_acquire(void **unused) {
  (void)unused;
  expect_failure(program("message", 2, passes_a_message_relaxed, nothing), "not true");
  expect_failure(program("message", 2, passes_a_message_released_but_not_acquired, nothing),
                 "not true");
  expect_pass(program("message", 2, passes_a_message, nothing));
}

static void reads_one_place_twice(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    STORE(f->x, 1, RELAXED);
    STORE(f->x, 2, RELAXED);
  } else {
    uint64_t first = LOAD(f->x, RELAXED);
    explore_assert(LOAD(f->x, RELAXED) >= first);
  }
}

static void one_place_never_goes_back(void **unused) {
  (void)unused;
  expect_pass(program("coherence", 2, reads_one_place_twice, nothing));
}

/* Through a third thread: what it took over it hands on. */
static void passes_a_message_on(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    STORE(f->x, 1, RELAXED);
    STORE(f->y, 1, RELEASE);
  } else if (id == 1) {
    if (LOAD(f->y, ACQUIRE) == 1) STORE(f->z, 1, RELEASE);
  } else if (LOAD(f->z, ACQUIRE) == 1) {
    explore_assert(LOAD(f->x, RELAXED) == 1);
  }
}

/* What stands between a store with release and a load with acquire is an exchange: the load takes
   the store's release over all the same. */
static void passes_a_message_through_an_exchange(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    STORE(f->x, 1, RELAXED);
    STORE(f->y, 1, RELEASE);
  } else if (id == 1) {
    uint64_t expected = 1;
    (void)explore_replace(f->y, sizeof(uint64_t), &expected, 2, EXPLORE_RELAXED, __LINE__);
  } else if (LOAD(f->y, ACQUIRE) == 2) {
    explore_assert(LOAD(f->x, RELAXED) == 1);
  }
}

static void a_message_comes_through_others(void **unused) {
  (void)unused;
  expect_pass(program("message on", 3, passes_a_message_on, nothing));
  expect_pass(program("message through", 3, passes_a_message_through_an_exchange, nothing));
}

/* Store buffering (Dekker): each says that it is there, then looks for the other. */
static void looks_for_the_other(fixture *f, unsigned id, void (*ours)(int), void (*theirs)(int)) {
  STORE(id == 0 ? f->x : f->y, 1, RELEASE);
  if (id == 0 && ours) ours(__LINE__);
  if (id == 1 && theirs) theirs(__LINE__);
  f->got[id] = LOAD(id == 0 ? f->y : f->x, ACQUIRE);
}

static void looks_without_a_barrier(void *user, unsigned id) {
  looks_for_the_other(user, id, NULL, NULL);
}
static void looks_with_light_barriers(void *user, unsigned id) {
  looks_for_the_other(user, id, explore_light_barrier, explore_light_barrier);
}
static void looks_with_a_heavy_barrier_alone(void *user, unsigned id) {
  looks_for_the_other(user, id, explore_heavy_barrier, NULL);
}
static void looks_with_an_asymmetric_pair(void *user, unsigned id) {
  looks_for_the_other(user, id, explore_heavy_barrier, explore_light_barrier);
}
static void looks_with_heavy_barriers(void *user, unsigned id) {
  looks_for_the_other(user, id, explore_heavy_barrier, explore_heavy_barrier);
}

static void one_saw_the_other(void *user) {
  fixture *f = user;
  explore_assert(f->got[0] == 1 || f->got[1] == 1);
}

static void an_asymmetric_barrier_needs_both_sides(void **unused) {
  (void)unused;
  expect_failure(program("dekker", 2, looks_without_a_barrier, one_saw_the_other), "not true");
  expect_failure(program("dekker", 2, looks_with_light_barriers, one_saw_the_other), "not true");
  expect_failure(program("dekker", 2, looks_with_a_heavy_barrier_alone, one_saw_the_other),
                 "not true");
  expect_pass(program("dekker", 2, looks_with_an_asymmetric_pair, one_saw_the_other));
  expect_pass(program("dekker", 2, looks_with_heavy_barriers, one_saw_the_other));
}

static void exchanges_weakly_once(void *user, unsigned id) {
  fixture *f = user;
  uint64_t expected = 0;
  if (id == 0)
    explore_assert(
        explore_replace(f->x, sizeof(uint64_t), &expected, 1, EXPLORE_RELEASE, __LINE__));
}

static void a_weak_exchange_may_fail_by_itself(void **unused) {
  (void)unused;
  expect_failure(program("weak", 2, exchanges_weakly_once, nothing), "not true");
}

/* ---- plain accesses -------------------------------------------------------------------------- */

static void writes_and_reads(void *user, unsigned id) {
  fixture *f = user;
  explore_step("meets", &state, __LINE__);
  if (id == 0) *f->x = 1;
  if (id == 1) f->got[1] = *f->x;
}

static void publishes(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    *f->x = 1;
    STORE(f->y, 1, RELEASE);
  } else if (LOAD(f->y, ACQUIRE) == 1) {
    f->got[1] = *f->x;
  }
}

static void publishes_relaxed(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    *f->x = 1;
    STORE(f->y, 1, RELAXED);
  } else if (LOAD(f->y, ACQUIRE) == 1) {
    f->got[1] = *f->x;
  }
}

static void finds_a_data_race(void **unused) {
  (void)unused;
  expect_failure(program("race", 2, writes_and_reads, nothing), "data race");
  expect_failure(program("race", 2, publishes_relaxed, nothing), "data race");
  expect_pass(program("no race", 2, publishes, nothing));
}

static void writes_bytes_of_one_word(void *user, unsigned id) {
  unsigned char *bytes = (unsigned char *)((fixture *)user)->x;
  explore_step("meets", &state, __LINE__);
  bytes[id] = 1;
}

static void clears_a_word(void *user, unsigned id) {
  fixture *f = user;
  explore_step("meets", &state, __LINE__);
  if (id == 0) memset(f->x, 0, sizeof *f->x);
  if (id == 1) ((unsigned char *)f->x)[7] = 1;
}

static void bytes_race_each_for_itself(void **unused) {
  (void)unused;
  expect_pass(program("bytes", 2, writes_bytes_of_one_word, nothing));
  expect_failure(program("bytes", 2, clears_a_word, nothing), "data race");
}

static void reads_plainly_what_is_atomic(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) STORE(f->x, 1, RELEASE);
  if (id == 1) {
    explore_step("meets", &state, __LINE__);
    f->got[1] = *f->x;
  }
}

static void an_atomic_races_with_a_plain_access(void **unused) {
  (void)unused;
  expect_failure(program("mixed", 2, reads_plainly_what_is_atomic, nothing), "data race");
}

static unsigned shared_static;

static void writes_a_static(void *user, unsigned id) {
  (void)user;
  explore_step("meets", &state, __LINE__);
  shared_static = id + 1;
}

static void a_static_was_written(void *user) {
  (void)user;
  explore_assert(shared_static != 0);
}

static void statics_are_watched(void **unused) {
  (void)unused;
  expect_failure(program("static", 2, writes_a_static, a_static_was_written), "data race");
}

static void frees_what_the_other_reads(void *user, unsigned id) {
  fixture *f = user;
  LOCK(f->first);
  if (id == 0) explore_free(f->x);
  if (id == 1) f->got[1] = *f->x;
  UNLOCK(f->first);
}

static void frees_after_a_look(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) STORE(f->x, 1, RELAXED);
  explore_step("meets", &state, __LINE__);
  if (id == 1 && LOAD(f->x, RELAXED) == 1) explore_free(f->x);
}

static void frees_twice(void *user, unsigned id) {
  (void)id;
  explore_step("meets", &state, __LINE__);
  explore_free(((fixture *)user)->x);
}

static void finds_what_touches_freed_memory(void **unused) {
  (void)unused;
  expect_failure(program("use after free", 2, frees_what_the_other_reads, nothing), "was freed");
  expect_failure(program("free", 2, frees_after_a_look, nothing), "data race");
  expect_failure(program("free", 2, frees_twice, nothing), "freed twice");
}

/* ---- the explorer's own bounds --------------------------------------------------------------- */

static void takes_four_steps(void *user, unsigned id) {
  unsigned i;
  (void)user;
  (void)id;
  for (i = 0; i < 4; i++) explore_step("step", &state, __LINE__);
}

/* Two threads of four steps: one after the other, in 2 orders; or the first one is cut at one of
   the 3 places between its steps; or the second one as well. */
static void a_bound_is_exhausted_and_no_schedule_comes_twice(void **unused) {
  explore_test test = program("count", 2, takes_four_steps, nothing);
  static const uint64_t expected[] = {2, 2 * (1 + 3), 2 * (1 + 3 + 3 * 3)};
  unsigned bound;
  (void)unused;
  for (bound = 0; bound < COUNT_OF(expected); bound++) {
    explore_result result;
    test.bounds.of[EXPLORE_PREEMPT] = bound;
    result = explore_all(&test, 0);
    assert_true(result.exhausted);
    assert_int_equal(result.schedules, expected[bound]);
  }
}

static void fails_when_a_hook_fails(void *user, unsigned id) {
  (void)user;
  explore_step("hook", &state, __LINE__);
  if (id == 1) explore_assert(explore_pick(EXPLORE_FAIL, 2, "it fails") == 0);
}

static void outcomes_come_from_the_same_decisions(void **unused) {
  explore_test test = program("outcome", 2, fails_when_a_hook_fails, nothing);
  (void)unused;
  expect_failure(test, "not true");
  test.bounds.of[EXPLORE_FAIL] = 0;
  expect_pass(test);
}

/* Needs two preemptions, so a bound of one does not find it, and random priorities do. */
static void take_turns(void *user, unsigned id) {
  fixture *f = user;
  uint64_t i;
  for (i = 0; i < 2; i++) {
    uint64_t expected = 2 * i + id;
    (void)explore_replace(f->x, sizeof(uint64_t), &expected, expected + 1, EXPLORE_RELEASE,
                          __LINE__);
  }
}

static void is_not_four(void *user) { explore_assert(*((fixture *)user)->x != 4); }

static void random_schedules_go_beyond_the_bound(void **unused) {
  explore_test test = program("beyond", 2, take_turns, is_not_four);
  explore_result result;
  (void)unused;
  test.bounds.of[EXPLORE_PREEMPT] = 1;
  assert_true(explore_all(&test, 0).exhausted);
  result = explore_random(&test, 1, 2000, 3);
  assert_true(result.failed);
  assert_true(explore_replay(&test, result.decisions).failed);
}

/* In each two bytes: so many decisions take their usual option, and then one does not. */
static void bytes_are_a_schedule_which_its_decisions_run_again(void **unused) {
  explore_test test = program("bytes", 2, take_turns, is_not_four);
  uint8_t bytes[12] = {0};
  uint64_t random = 1;
  size_t i, failed = 0, passed = 0, n;
  (void)unused;
  for (n = 0; n < 2000; n++) {
    explore_result result, again;
    for (i = 0; i < sizeof bytes; i++) {
      random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
      bytes[i] = (uint8_t)((random >> 33) % 8);
    }
    result = explore_bytes(&test, bytes, sizeof bytes);
    again = explore_bytes(&test, bytes, sizeof bytes);
    assert_int_equal(result.failed, again.failed);
    assert_string_equal(result.decisions, again.decisions);
    passed += !result.failed;
    if (!result.failed || failed++ > 0) continue;
    again = explore_replay(&test, result.decisions);
    assert_true(again.failed);
    assert_string_equal(again.message, result.message);
  }
  assert_true(failed > 0 && passed > 0);
  assert_false(explore_bytes(&test, NULL, 0).failed);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(finds_a_lost_update),
      cmocka_unit_test(a_lock_loses_no_update),
      cmocka_unit_test(finds_a_deadlock),
      cmocka_unit_test(a_wait_that_ends_passes),
      cmocka_unit_test(finds_a_wait_without_end),
      cmocka_unit_test(finds_threads_that_wait_for_each_other),
      cmocka_unit_test(finds_a_loop_without_a_switch_point),
      cmocka_unit_test(finds_a_fault),
      cmocka_unit_test(a_message_needs_release_and_acquire),
      cmocka_unit_test(one_place_never_goes_back),
      cmocka_unit_test(a_message_comes_through_others),
      cmocka_unit_test(an_asymmetric_barrier_needs_both_sides),
      cmocka_unit_test(a_weak_exchange_may_fail_by_itself),
      cmocka_unit_test(finds_a_data_race),
      cmocka_unit_test(bytes_race_each_for_itself),
      cmocka_unit_test(an_atomic_races_with_a_plain_access),
      cmocka_unit_test(statics_are_watched),
      cmocka_unit_test(finds_what_touches_freed_memory),
      cmocka_unit_test(a_bound_is_exhausted_and_no_schedule_comes_twice),
      cmocka_unit_test(outcomes_come_from_the_same_decisions),
      cmocka_unit_test(random_schedules_go_beyond_the_bound),
      cmocka_unit_test(bytes_are_a_schedule_which_its_decisions_run_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
