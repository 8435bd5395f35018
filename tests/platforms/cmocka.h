/* cmocka.h - what the tests use of cmocka's interface, for platforms that have no cmocka: there is
   no Debian package of it for a cross compiler. Included by the same line, <cmocka.h>, with this
   folder before the system's own; cmocka.c runs the groups, and stand_in.c tests that each
   assertion can fail.

   One difference shows: a signal ends the whole program, as nothing catches it. */

#ifndef TESTS_PLATFORMS_CMOCKA_H
#define TESTS_PLATFORMS_CMOCKA_H

#include <stddef.h>
#include <stdint.h>

#if defined __GNUC__
#define CMOCKA_PRINTF __attribute__((format(printf, 1, 2)))
#else
#define CMOCKA_PRINTF
#endif

/* ---- groups ---------------------------------------------------------------------------------- */

typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state);

struct CMUnitTest {
  const char *name;
  CMUnitTestFunction test_func;
  CMFixtureFunction setup_func;    /* other than 0: the test fails, and is not run */
  CMFixtureFunction teardown_func; /* runs whatever became of the test */
  void *initial_state;
};

#define cmocka_unit_test(function) \
  { #function, function, NULL, NULL, NULL }
#define cmocka_unit_test_setup_teardown(function, setup, teardown) \
  { #function, function, setup, teardown, NULL }

/* Runs those of the tests whose name fits the filter, of which there must be some; how
   many failed. */
#define cmocka_run_group_tests_name(name, tests, setup, teardown) \
  cmocka_run_group((name), (tests), sizeof(tests) / sizeof(tests)[0], (setup), (teardown))
int cmocka_run_group(const char *name, const struct CMUnitTest *tests, size_t count,
                     CMFixtureFunction setup, CMFixtureFunction teardown);

/* In a pattern * stands for any characters and ? for one; NULL fits every name. */
void cmocka_set_test_filter(const char *pattern);

void print_message(const char *format, ...) CMOCKA_PRINTF;
void print_error(const char *format, ...) CMOCKA_PRINTF;

/* ---- assertions ------------------------------------------------------------------------------ */

_Noreturn void _fail(const char *file, int line);
#define fail() _fail(__FILE__, __LINE__)
/* Ends the test, which counts neither as run nor as failed. */
_Noreturn void cmocka_skip(void);
#define skip() cmocka_skip()

#define fail_msg(...) (print_error(__VA_ARGS__), print_error("\n"), fail())

/* `values` is what the comparison was of, or NULL. */
void cmocka_assert(int holds, const char *what, const uintmax_t *values, const char *file,
                   int line);

#define CMOCKA_NUMBER(value) ((uintmax_t)(value))
#define CMOCKA_POINTER(value) ((uintmax_t)(uintptr_t)(value))
#define CMOCKA_COMPARE(equal, a, b, what) cmocka_compare(equal, a, b, what, __FILE__, __LINE__)

/* `equal` says which the two must be: equal, or not. */
static inline void cmocka_compare(int equal, uintmax_t left, uintmax_t right, const char *what,
                                  const char *file, int line) {
  uintmax_t values[2];
  values[0] = left;
  values[1] = right;
  cmocka_assert((left == right) == equal, what, values, file, line);
}

static inline void cmocka_assert_in_range(uintmax_t value, uintmax_t least, uintmax_t most,
                                          const char *what, const char *file, int line) {
  uintmax_t values[2];
  values[0] = value;
  values[1] = value < least ? least : most;
  cmocka_assert(value >= least && value <= most, what, values, file, line);
}

void cmocka_compare_strings(int equal, const char *left, const char *right, const char *what,
                            const char *file, int line);
void cmocka_compare_memory(const void *left, const void *right, size_t size, const char *what,
                           const char *file, int line);

#define assert_true(so) cmocka_assert((so) ? 1 : 0, #so, NULL, __FILE__, __LINE__)
#define assert_false(so) cmocka_assert((so) ? 0 : 1, "not " #so, NULL, __FILE__, __LINE__)
#define assert_null(ptr) CMOCKA_COMPARE(1, CMOCKA_POINTER(ptr), 0, #ptr " == NULL")
#define assert_non_null(ptr) CMOCKA_COMPARE(0, CMOCKA_POINTER(ptr), 0, #ptr " != NULL")
#define assert_ptr_equal(a, b) CMOCKA_COMPARE(1, CMOCKA_POINTER(a), CMOCKA_POINTER(b), #a " == " #b)
#define assert_ptr_not_equal(a, b) \
  CMOCKA_COMPARE(0, CMOCKA_POINTER(a), CMOCKA_POINTER(b), #a " != " #b)
#define assert_int_equal(a, b) CMOCKA_COMPARE(1, CMOCKA_NUMBER(a), CMOCKA_NUMBER(b), #a " == " #b)
#define assert_int_not_equal(a, b) \
  CMOCKA_COMPARE(0, CMOCKA_NUMBER(a), CMOCKA_NUMBER(b), #a " != " #b)
#define assert_in_range(value, least, most)                                               \
  cmocka_assert_in_range(CMOCKA_NUMBER(value), CMOCKA_NUMBER(least), CMOCKA_NUMBER(most), \
                         #value " in " #least " to " #most, __FILE__, __LINE__)
#define assert_string_equal(a, b) \
  cmocka_compare_strings(1, (a), (b), #a " == " #b, __FILE__, __LINE__)
#define assert_string_not_equal(a, b) \
  cmocka_compare_strings(0, (a), (b), #a " != " #b, __FILE__, __LINE__)
#define assert_memory_equal(a, b, size) \
  cmocka_compare_memory((a), (b), (size), #a " == " #b, __FILE__, __LINE__)

#endif
