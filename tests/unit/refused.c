/* refused.c - tests what the cache does where the system refuses the barrier by which one thread
   reaches what another one has, although it was there when the cache was made; in each mode.

   Promises (sections 7 and 9 of the contract): what other threads have in stock stays, and a
   counter says so; a stream that cannot be forgotten goes on as before, with all its marks; nothing
   is handed out too early, lost, or waited for without an end; what is not done is not called OK,
   but for what a stock keeps. */

#include "sim/barrier.h"
#include "sim/below.h"

#define SUITE "sim/suite_refused.h"
#include "sim/each_mode.h"

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_NONE_IN_EACH_MODE(
          a_stream_that_cannot_be_forgotten_for_want_of_a_barrier_goes_on_as_before),
      ON_EACH_MODE(what_others_have_in_stock_stays_and_a_counter_says_so),
      ON_EACH_MODE(a_bound_that_is_set_without_a_barrier_binds_what_others_have_when_it_is_reached),
      ON_EACH_MODE(synchronize_says_so_when_it_cannot_look_at_what_others_freed),
  };
  if (!hostcache_barrier_ready()) {
    print_message("left out: here threads have fences of their own, which nobody can refuse\n");
    return 0;
  }
  return cmocka_run_group_tests_name("refused", tests, NULL, NULL);
}
