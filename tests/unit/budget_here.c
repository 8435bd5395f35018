/* budget_here.c - tests the parts of section 5 of the header that ask the system, where it runs,
   what may be pinned, and the time: budget.c has Linux' files under its control, and so needs
   Linux; other tests have a clock of their own.

   Promises: the memory that is available is told, on Linux and Windows; no figure is made up; on
   Windows the limit is the minimum of the working set; the clock never goes back. */

#define HC_NAME pinned
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#include "helpers.h"

#include <time.h>

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

static void the_clock_is_the_systems_and_never_goes_back(void **state) {
  uint64_t before = hostcache_now_ns(), now;
  int i;
  (void)state;
  for (i = 0; i < 1000; i++) {
#ifdef __linux__
    struct timespec time; /* here, and not on the part of the stack that the header's would have */
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &time), 0);
    now = (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
    assert_true(now >= before);
    before = now;
#endif
    now = hostcache_now_ns();
    assert_true(now >= before);
    before = now;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_available_is_told_and_bounds),
      cmocka_unit_test(a_figure_is_unknown_or_a_number),
      cmocka_unit_test(on_windows_the_limit_is_the_minimum_of_the_working_set),
      cmocka_unit_test(the_clock_is_the_systems_and_never_goes_back),
  };
  return cmocka_run_group_tests_name("budget_here", tests, NULL, NULL);
}
