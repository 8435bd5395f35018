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

/* Begins with a state of zeroes, whatever an exploration before this one has left there. */
static void exhaust(const explore_test *test) {
  explore_result result;
  memset(test->state, 0, test->state_bytes);
  result = explore_all(test, 0);
  print_message("%s: %llu schedules\n", test->name, (unsigned long long)result.schedules);
  if (result.failed) print_error("%s\ndecisions: %s\n", result.message, result.decisions);
  assert_false(result.failed);
  assert_true(result.exhausted);
}

#endif
