/* stand_in.c - tests the stand-in for cmocka beside it: each assertion can fail, and does not when
   what it says is so; a failure in any part of a test is counted once; the filter picks. It says
   itself what is wrong, since what would say it is what is tested. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static int wrong;

static void expect_failures(const char *what, int got, int expected) {
  if (got == expected) return;
  fprintf(stderr, "wrong: %s: %d failed, and not %d\n", what, got, expected);
  wrong++;
}

/* ---- each assertion, true and false ---------------------------------------------------------- */

#define EACH_ASSERTION(ASSERTION)                                                                 \
  ASSERTION(assert_true, assert_true(one), assert_true(one - 1))                                  \
  ASSERTION(assert_true_of_high_bits, assert_true(UINT64_C(1) << 32), assert_true(0))             \
  ASSERTION(assert_false, assert_false(one - 1), assert_false(one))                               \
  ASSERTION(assert_null, assert_null(NULL), assert_null(&one))                                    \
  ASSERTION(assert_non_null, assert_non_null(&one), assert_non_null(NULL))                        \
  ASSERTION(assert_ptr_equal, assert_ptr_equal(&one, &one), assert_ptr_equal(&one, &two))         \
  ASSERTION(assert_ptr_not_equal, assert_ptr_not_equal(&one, &two),                               \
            assert_ptr_not_equal(&one, &one))                                                     \
  ASSERTION(assert_int_equal, assert_int_equal(one, 1), assert_int_equal(one, 2))                 \
  ASSERTION(assert_int_equal_of_high_bits, assert_int_equal(INT64_MIN, INT64_MIN),                \
            assert_int_equal(INT64_MIN, 0))                                                       \
  ASSERTION(assert_int_not_equal, assert_int_not_equal(one, two), assert_int_not_equal(one, one)) \
  ASSERTION(assert_in_range_below, assert_in_range(one, 1, 2), assert_in_range(one, 2, 3))        \
  ASSERTION(assert_in_range_above, assert_in_range(two, 1, 2), assert_in_range(two, 0, 1))        \
  ASSERTION(assert_string_equal, assert_string_equal("a", "a"), assert_string_equal("a", "ab"))   \
  ASSERTION(assert_string_not_equal, assert_string_not_equal("a", "b"),                           \
            assert_string_not_equal("a", "a"))                                                    \
  ASSERTION(assert_memory_equal, assert_memory_equal("abc", "abd", 2),                            \
            assert_memory_equal("abc", "abd", 3))                                                 \
  ASSERTION(fail, (void)0, fail())                                                                \
  ASSERTION(fail_msg, (void)0, fail_msg("%d", one))

#define COUNT(name, so, not_so) +1
enum { ASSERTIONS = 0 EACH_ASSERTION(COUNT) };

static int one = 1, two = 2;
static int went_on; /* behind an assertion that fails */

#define DEFINE(name, so, not_so)            \
  static void name##_so(void **state) {     \
    (void)state;                            \
    so;                                     \
  }                                         \
  static void name##_not_so(void **state) { \
    (void)state;                            \
    not_so;                                 \
    went_on++;                              \
  }
EACH_ASSERTION(DEFINE)

static void each_assertion_fails_when_it_is_false_and_only_then(void) {
#define SO(name, so, not_so) cmocka_unit_test(name##_so),
#define NOT_SO(name, so, not_so) cmocka_unit_test(name##_not_so),
  const struct CMUnitTest all_so[] = {EACH_ASSERTION(SO)};
  const struct CMUnitTest none_so[] = {EACH_ASSERTION(NOT_SO)};
  expect_failures("what is so", cmocka_run_group_tests_name("so", all_so, NULL, NULL), 0);
  expect_failures("what is not so", cmocka_run_group_tests_name("not_so", none_so, NULL, NULL),
                  ASSERTIONS);
  expect_failures("what goes on behind a failure", went_on, 0);
}

/* ---- the parts of a test, and the filter ----------------------------------------------------- */

static void skipped_test(void **state) {
  (void)state;
  skip();
}

static int setups, tests_run, teardowns;

static int good_setup(void **state) {
  setups++;
  *state = &one;
  return 0;
}
static int bad_setup(void **state) { return good_setup(state), 1; }
static int failing_setup(void **state) { return good_setup(state), fail(), 0; }
static int good_teardown(void **state) { return teardowns++, *state == &one ? 0 : 1; }
static int bad_teardown(void **state) { return good_teardown(state), 1; }

static void good_test(void **state) {
  tests_run++;
  assert_ptr_equal(*state, &one);
}
static void bad_test(void **state) {
  good_test(state);
  fail();
}

static void a_test_fails_by_any_of_its_parts(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(good_test, good_setup, good_teardown),
      cmocka_unit_test_setup_teardown(good_test, bad_setup, good_teardown),
      cmocka_unit_test_setup_teardown(good_test, failing_setup, good_teardown),
      cmocka_unit_test_setup_teardown(good_test, good_setup, bad_teardown),
      cmocka_unit_test_setup_teardown(bad_test, good_setup, good_teardown),
      cmocka_unit_test_setup_teardown(bad_test, good_setup, bad_teardown),
      cmocka_unit_test_setup_teardown(skipped_test, good_setup, good_teardown),
      cmocka_unit_test_setup_teardown(skipped_test, good_setup, bad_teardown),
  };
  expect_failures("parts", cmocka_run_group_tests_name("parts", tests, NULL, NULL), 6);
  expect_failures("setups", setups, 8);
  expect_failures("tests behind their setups", tests_run, 4);
  expect_failures("teardowns of all that were set up", teardowns, 6);
  expect_failures("a group without its setup",
                  cmocka_run_group_tests_name("group", tests, bad_setup, NULL), 1);
}

static void the_filter_picks_and_picking_none_is_a_failure(void) {
  static const struct {
    const char *pattern;
    int failures;
  } picks[] = {{"fail_so", 0},          {"fail_not_so", 1}, {"assert_*null_not_so", 2},
               {"*not_so", ASSERTIONS}, {"f??l_*so", 2},    {"fail", 1},
               {"fail_so?", 1},         {NULL, ASSERTIONS}};
  const struct CMUnitTest tests[] = {EACH_ASSERTION(SO) EACH_ASSERTION(NOT_SO)};
  size_t i;
  for (i = 0; i < sizeof picks / sizeof *picks; i++) {
    cmocka_set_test_filter(picks[i].pattern);
    expect_failures(picks[i].pattern == NULL ? "no filter" : picks[i].pattern,
                    cmocka_run_group_tests_name("filter", tests, NULL, NULL), picks[i].failures);
  }
}

int main(void) {
  cmocka_set_test_filter(NULL); /* only.c may have set one */
  each_assertion_fails_when_it_is_false_and_only_then();
  a_test_fails_by_any_of_its_parts();
  the_filter_picks_and_picking_none_is_a_failure();
  printf("the stand-in: %d wrong\n", wrong);
  return wrong != 0;
}
