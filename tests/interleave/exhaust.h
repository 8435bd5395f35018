/* exhaust.h - for the programs here that are cmocka's: every schedule of a test within its bounds,
   of which none may fail. Includes cmocka, and what that needs. */

#ifndef TESTS_INTERLEAVE_EXHAUST_H
#define TESTS_INTERLEAVE_EXHAUST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "explore.h"

/* Schedules with at most so many preemptions, and at most one failure besides. Begins with a state
   of zeroes, whatever an exploration before this one has left there. */
static void exhaust(const char *name, unsigned threads, void (*before)(void *state),
                    void (*thread)(void *state, unsigned id), void (*after)(void *state),
                    void *state, size_t state_bytes, unsigned preemptions) {
  const explore_test test = {.name = name,
                             .threads = threads,
                             .before = before,
                             .thread = thread,
                             .after = after,
                             .state = state,
                             .state_bytes = state_bytes,
                             .bounds = {{preemptions, 1, 0, 0}, preemptions + 1}};
  explore_result result;
  memset(state, 0, state_bytes);
  result = explore_all(&test, 0);
  print_message("%s: %llu schedules\n", name, (unsigned long long)result.schedules);
  if (result.failed) print_error("%s\ndecisions: %s\n", result.message, result.decisions);
  assert_false(result.failed);
  assert_true(result.exhausted);
}

#endif
