/* cmocka.c - runs the groups of tests for cmocka.h beside it. */

#include <cmocka.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HELD, FAILED, SKIPPED }; /* what a part of a test ended with */

static const char *filter;
static jmp_buf here;  /* where a failed assertion goes on */
static int in_a_test; /* else there is nowhere to go */

void cmocka_set_test_filter(const char *pattern) { filter = pattern; }

static int fits(const char *name, const char *pattern) {
  if (*pattern == '*') return fits(name, pattern + 1) || (*name != '\0' && fits(name + 1, pattern));
  if (*name == '\0' || *pattern == '\0') return *name == *pattern;
  return (*pattern == '?' || *pattern == *name) && fits(name + 1, pattern + 1);
}

/* All goes one way, so that it stays in order; and at once, as a program may end at any line. */
static void print(const char *format, va_list arguments) {
  vfprintf(stdout, format, arguments);
  fflush(stdout);
}

void print_message(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  print(format, arguments);
  va_end(arguments);
}

void print_error(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  print(format, arguments);
  va_end(arguments);
}

/* ---- assertions ------------------------------------------------------------------------------ */

void _fail(const char *file, int line) {
  print_error("%s:%d: error: Failure!\n", file, line);
  if (!in_a_test) exit(1);
  longjmp(here, FAILED);
}

void cmocka_skip(void) { longjmp(here, SKIPPED); }

void cmocka_assert(int holds, const char *what, const uintmax_t *values, const char *file,
                   int line) {
  if (holds) return;
  print_error("not so: %s\n", what);
  if (values != NULL)
    print_error("  with 0x%" PRIxMAX " and 0x%" PRIxMAX "\n", values[0], values[1]);
  _fail(file, line);
}

void cmocka_compare_strings(int equal, const char *left, const char *right, const char *what,
                            const char *file, int line) {
  if ((strcmp(left, right) == 0) == equal) return;
  print_error("not so: %s\n  with \"%s\" and \"%s\"\n", what, left, right);
  _fail(file, line);
}

void cmocka_compare_memory(const void *left, const void *right, size_t size, const char *what,
                           const char *file, int line) {
  size_t i;
  if (memcmp(left, right, size) == 0) return;
  for (i = 0; ((const unsigned char *)left)[i] == ((const unsigned char *)right)[i];) i++;
  print_error("not so: %s\n  at %" PRIuMAX "\n", what, (uintmax_t)i);
  _fail(file, line);
}

/* ---- groups ---------------------------------------------------------------------------------- */

/* A failed assertion ends the part of a test that it is in: setup, teardown or the test itself. */
static int end_of(CMUnitTestFunction test, CMFixtureFunction fixture, void **state) {
  volatile int end = FAILED;
  in_a_test = 1;
  switch (setjmp(here)) {
    case HELD:
      if (test != NULL) test(state);
      if (fixture == NULL || fixture(state) == 0) end = HELD;
      break;
    case SKIPPED: end = SKIPPED; break;
    default: break;
  }
  in_a_test = 0;
  return end;
}

static int end_of_test(const struct CMUnitTest *test) {
  void *state = test->initial_state;
  int end;
  if (end_of(NULL, test->setup_func, &state) != HELD) {
    print_error("its setup failed\n");
    return FAILED;
  }
  end = end_of(test->test_func, NULL, &state);
  if (end_of(NULL, test->teardown_func, &state) != HELD) {
    print_error("its teardown failed\n");
    return FAILED;
  }
  return end;
}

int cmocka_run_group(const char *name, const struct CMUnitTest *tests, size_t count,
                     CMFixtureFunction setup, CMFixtureFunction teardown) {
  static const char *const said[] = {"[       OK ]", "[  FAILED  ]", "[  SKIPPED ]"};
  int ended[] = {0, 0, 0};
  void *state = NULL;
  size_t i;
  if (end_of(NULL, setup, &state) != HELD) {
    print_error("the setup of %s failed\n", name);
    return 1;
  }
  for (i = 0; i < count; i++) {
    int end;
    if (filter != NULL && !fits(tests[i].name, filter)) continue;
    print_message("[ RUN      ] %s\n", tests[i].name);
    end = end_of_test(&tests[i]);
    print_message("%s %s\n", said[end], tests[i].name);
    ended[end]++;
  }
  if (end_of(NULL, teardown, &state) != HELD) {
    print_error("the teardown of %s failed\n", name);
    ended[FAILED]++;
  }
  if (ended[HELD] + ended[FAILED] + ended[SKIPPED] == 0) {
    print_error("no test of %s fits the filter\n", name);
    ended[FAILED]++;
  }
  print_message("%s: %d passed, %d skipped, %d failed\n", name, ended[HELD], ended[SKIPPED],
                ended[FAILED]);
  return ended[FAILED];
}
