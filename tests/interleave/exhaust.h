/* exhaust.h - for the programs here that are cmocka's: every schedule of a test within its bounds,
   of which none may fail. Includes cmocka, and what that needs.

     interleave_<program>                           the tests
     interleave_<program> --replay NAME DECISIONS   one schedule again, with a trace

   With EXPLORE_SUITE a program has no main: its tests are listed, and explored by
   tests/fuzz/schedules.c. */

#ifndef TESTS_INTERLEAVE_EXHAUST_H
#define TESTS_INTERLEAVE_EXHAUST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "explore.h"

/* What exhaust does with a test instead. */
static struct {
  bool lists; /* it only notes it */
  explore_test tests[32];
  size_t count;
  const char *replayed, *decisions; /* it runs this schedule of this test again; NULL: none */
  bool failed;
} exhaust_now;

/* Begins with a state of zeroes, whatever an exploration before this one has left there. */
static void exhaust_within(const char *name, unsigned threads, void (*before)(void *state),
                           void (*thread)(void *state, unsigned id), void (*after)(void *state),
                           void *state, size_t state_bytes, explore_bounds bounds) {
  const explore_test test = {.name = name,
                             .threads = threads,
                             .before = before,
                             .thread = thread,
                             .after = after,
                             .state = state,
                             .state_bytes = state_bytes,
                             .bounds = bounds};
  explore_result result;
  if (exhaust_now.lists) {
    if (exhaust_now.count == sizeof exhaust_now.tests / sizeof exhaust_now.tests[0]) abort();
    exhaust_now.tests[exhaust_now.count++] = test;
    return;
  }
  if (exhaust_now.replayed) {
    if (strcmp(name, exhaust_now.replayed) != 0) return;
    result = explore_replay(&test, exhaust_now.decisions);
    printf("%s: %s\n", name, result.failed ? result.message : "no failure");
    exhaust_now.failed = result.failed;
    return;
  }
  memset(state, 0, state_bytes);
  result = explore_all(&test, 0);
  print_message("%s: %llu schedules\n", name, (unsigned long long)result.schedules);
  if (result.failed)
    print_error("%s\n  again: --replay '%s' %s\n", result.message, name, result.decisions);
  assert_false(result.failed);
  assert_true(result.exhausted);
}

/* Schedules with at most so many preemptions, and at most one stale load besides. */
static void exhaust(const char *name, unsigned threads, void (*before)(void *state),
                    void (*thread)(void *state, unsigned id), void (*after)(void *state),
                    void *state, size_t state_bytes, unsigned preemptions) {
  const explore_bounds bounds = {{preemptions, 1, 0, 0}, preemptions + 1};
  exhaust_within(name, threads, before, thread, after, state, state_bytes, bounds);
}

static void exhaust_call(const struct CMUnitTest *tests, size_t count) {
  size_t i;
  for (i = 0; i < count; i++) tests[i].test_func(NULL);
}

#ifdef EXPLORE_SUITE

/* Stale loads and events that are pending, but nothing that fails. */
static explore_test exhaust_choose(size_t i) {
  static const explore_bounds bounds = {{0, 2, 3, 0}, 5};
  explore_test test = exhaust_now.tests[i];
  test.bounds = bounds;
  return test;
}

#define EXHAUST_MAIN(name, tests)                        \
  static size_t exhaust_begin(void) {                    \
    exhaust_now.lists = true;                            \
    exhaust_call(tests, sizeof tests / sizeof tests[0]); \
    return exhaust_now.count;                            \
  }                                                      \
  const explore_suite EXPLORE_SUITE = {name, exhaust_begin, exhaust_choose};

#else

/* Handles --replay. */
static bool exhaust_replays(int argc, char **argv, const struct CMUnitTest *tests, size_t count) {
  if (argc != 4 || strcmp(argv[1], "--replay") != 0) return false;
  exhaust_now.replayed = argv[2];
  exhaust_now.decisions = argv[3];
  exhaust_now.failed = true; /* unless there is such a test */
  exhaust_call(tests, count);
  return true;
}

#define EXHAUST_MAIN(name, tests)                                           \
  int main(int argc, char **argv) {                                         \
    if (exhaust_replays(argc, argv, tests, sizeof tests / sizeof tests[0])) \
      return exhaust_now.failed;                                            \
    return cmocka_run_group_tests_name(name, tests, NULL, NULL);            \
  }

#endif

#endif
