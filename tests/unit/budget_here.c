/* budget_here.c - tests the part of section 5 of the header that asks the system what may be
   pinned, where it runs: budget.c has Linux' files under its control, and so needs Linux.

   Promises: the memory that is available is told, on Linux and Windows; no figure is made up; on
   Windows the limit is the minimum of the working set. */

#include "sim/below.h"

#define HC_NAME pinned
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#include "helpers.h"

static hostcache_budget budget_of_this_process(void) {
  hostcache_budget budget;
  assert_ok(pinned_budget(&budget));
  return budget;
}

static void what_is_available_is_told_and_bounds(void **state) {
  const hostcache_budget budget = budget_of_this_process();
  (void)state;
  assert_true(budget.mem_available > 0);
  assert_true(budget.bytes >= 0);
  assert_true(budget.bytes <= budget.mem_available);
}

static void a_figure_is_unknown_or_a_number(void **state) {
  const hostcache_budget budget = budget_of_this_process();
  const int64_t figures[] = {budget.memlock_limit, budget.memlock_used,       budget.cgroup_limit,
                             budget.cgroup_used,   budget.cgroup_reclaimable, budget.mem_available,
                             budget.huge_free};
  size_t i;
  (void)state;
  for (i = 0; i < COUNT_OF(figures); i++)
    assert_true(figures[i] == HOSTCACHE_UNKNOWN || figures[i] >= 0);
}

static void on_windows_the_limit_is_the_minimum_of_the_working_set(void **state) {
  (void)state;
#ifdef _WIN32
  SIZE_T least, most;
  hostcache_budget budget;
  SetLastError(17);
  budget = budget_of_this_process();
  assert_int_equal(GetLastError(), 17);
  assert_true(GetProcessWorkingSetSize(GetCurrentProcess(), &least, &most));
  assert_int_equal(budget.memlock_limit, least);
  assert_int_equal(budget.cgroup_limit, HOSTCACHE_UNKNOWN);
  assert_int_equal(budget.memlock_exempt, -1);
#else
  needs("Windows", false);
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_available_is_told_and_bounds),
      cmocka_unit_test(a_figure_is_unknown_or_a_number),
      cmocka_unit_test(on_windows_the_limit_is_the_minimum_of_the_working_set),
  };
  return cmocka_run_group_tests_name("budget_here", tests, NULL, NULL);
}
