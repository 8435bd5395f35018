/* hooks.c - tests section 7 of the header: the wrappers of the hooks, in each mode.

   Promises: no lock is held while a hook runs (HOSTCACHE_DEBUG asserts it, and hooks call the
   cache); the code of a failure reaches on_error unchanged; the table of failures, row by row
   (section 8 of the contract), where "pending" counts as failed if it is no answer; a script in
   which each call of a hook, and each malloc, fails; cancellation is disabled around hooks, and
   while the cache waits; no hook is called after destroy, or by abandon. */

#include "sim/below.h"

#define SUITE "sim/suite_hooks.h"
#include "sim/each_mode.h"

/* ---- cancellation ---------------------------------------------------------------------------- */

typedef struct cancelled {
  sim_pooled_rig *rig;
  bool came_back;
} cancelled;

static void test_for_cancellation(void *user, sim_hook hook) {
  (void)user;
  (void)hook;
  pthread_testcancel();
}

static void *get_and_free_while_cancelled(void *argument) {
  cancelled *c = argument;
  void *ptr;
  pthread_cancel(pthread_self());
  expect_or_abort(sim_pooled_alloc(c->rig->cache, 64 * KIB, &ptr) == HOSTCACHE_OK);
  expect_or_abort(sim_pooled_record_stream(c->rig->cache, ptr, 1) == HOSTCACHE_OK);
  expect_or_abort(sim_pooled_free(c->rig->cache, ptr) == HOSTCACHE_OK);
  expect_or_abort(sim_pooled_process_events(c->rig->cache, NULL) == HOSTCACHE_OK);
  expect_or_abort(sim_pooled_empty_cache(c->rig->cache) == HOSTCACHE_OK);
  c->came_back = true;
  pthread_testcancel();
  c->came_back = false;
  return NULL;
}

static void *synchronize_while_cancelled(void *argument) {
  cancelled *c = argument;
  pthread_cancel(pthread_self());
  expect_or_abort(sim_pooled_synchronize(c->rig->cache, UINT64_MAX) == HOSTCACHE_OK);
  c->came_back = true;
  pthread_testcancel();
  c->came_back = false;
  return NULL;
}

/* Cancels a thread that is about to call the cache: it ends, but not before it has come back. */
static void cancel_in(sim_pooled_rig *rig, void *(*body)(void *)) {
  cancelled c = {rig, false};
  pthread_t thread;
  void *result;
#ifdef _WIN32
  needs("threads that can be cancelled", false);
#endif
  assert_int_equal(pthread_create(&thread, NULL, body, &c), 0);
  assert_int_equal(pthread_join(thread, &result), 0);
  assert_ptr_equal(result, PTHREAD_CANCELED);
  assert_true(c.came_back);
}

static void a_thread_is_not_cancelled_inside_of_a_hook(void **state) {
  sim_pooled_rig *rig = *state;
  rig->device.on_hook = test_for_cancellation;
  cancel_in(rig, get_and_free_while_cancelled);
}

static void a_thread_is_not_cancelled_while_the_cache_waits(void **state) {
  sim_pooled_rig *rig = *state;
  (void)sim_pooled_rig_pend(rig, 64 * KIB, 1);
  rig->device.progress_per_queries = 100; /* so long that it does not poll without a pause */
  cancel_in(rig, synchronize_while_cancelled);
}

#define ON_POOLED(test) \
  { #test, test, sim_pooled_rig_setup, sim_pooled_rig_teardown, NULL }

int main(void) {
  const struct CMUnitTest tests[] = {
      /* the table of failures */
      ON_EACH_MODE_ALONE(out_of_memory_gives_back_what_is_idle_and_asks_once_more),
      ON_EACH_MODE_ALONE(out_of_memory_after_reclaiming_is_an_error_and_nothing_else),
      ON_EACH_MODE_ALONE(what_completed_meanwhile_is_used_before_failing),
      ON_EACH_MODE_ALONE(what_is_pending_is_not_given_back_even_when_memory_is_out),
      ON_EACH_MODE_ALONE(another_failure_to_get_memory_is_told_at_once),
      ON_EACH_MODE(misaligned_memory_is_given_back_and_refused),
      ON_EACH_MODE_ALONE(misaligned_memory_that_cannot_be_given_back_is_leaked),
      ON_EACH_MODE_ALONE(memory_that_overlaps_the_end_of_a_live_segment_is_refused),
      ON_EACH_MODE_ALONE(memory_that_begins_where_a_live_segment_does_is_refused),
      ON_EACH_MODE_ALONE(memory_that_wraps_around_the_address_space_is_refused),
      ON_EACH_MODE(memory_at_null_is_refused),
      ON_EACH_MODE(four_uses_need_no_malloc),
      ON_EACH_MODE(a_use_without_room_leaves_the_block_the_callers_and_makes_its_free_careful),
      ON_EACH_MODE(every_use_without_room_counts),
      ON_EACH_MODE_THAT_WAITS(
          process_events_quarantines_a_use_without_room_for_which_free_would_wait),
      ON(sim_waiting_timeline, a_value_without_room_is_over_when_its_stream_has_reached_it),
      ON(sim_waiting_timeline,
         a_value_without_room_that_its_idle_stream_has_not_reached_quarantines),
      ON(sim_waiting_timeline, a_value_without_room_of_a_stream_that_answers_pending_quarantines),
      ON_EACH_MODE_WITH_EVENTS(an_event_for_which_there_is_no_room_stays_the_callers),
      ON_EACH_MODE(a_first_record_that_fails_at_free_loses_nothing),
      ON_EACH_MODE(a_second_record_that_fails_at_free_loses_nothing),
      ON_EACH_MODE(a_record_that_answers_pending_at_free_counts_as_failed),
      ON_EACH_MODE(an_event_that_cannot_be_created_at_free_loses_nothing),
      ON_EACH_MODE(a_second_event_that_cannot_be_created_at_free_loses_nothing),
      ON_EACH_MODE(an_event_whose_creation_answers_pending_at_free_counts_as_not_created),
      ON_EACH_MODE(upkeep_says_so_when_a_record_fails_that_a_callback_left_to_it),
      ON_EACH_MODE(synchronize_does_not_wait_for_what_is_quarantined),
      ON_EACH_MODE_THAT_WAITS(process_events_quarantines_what_free_would_wait_for),
      ON_EACH_MODE_THAT_WAITS(a_wait_that_fails_too_ends_in_quarantine),
      ON_EACH_MODE_THAT_WAITS(a_wait_for_a_stream_that_answers_pending_ends_in_quarantine),
      ON_EACH_MODE_THAT_WAITS(a_free_whose_record_fails_keeps_the_bound_on_what_is_idle),
      ON_EACH_MODE_THAT_WAITS(a_wait_for_a_use_that_answers_pending_proves_nothing),
      ON_EACH_MODE_THAT_WAITS(where_a_wait_for_a_use_fails_synchronize_polls_instead),
      ON_EACH_MODE(a_query_that_fails_once_leaves_the_block_where_it_is),
      ON_EACH_MODE(a_query_that_fails_does_not_stop_the_other_streams),
      ON_EACH_MODE(a_query_that_fails_three_times_in_a_row_quarantines),
      ON_EACH_MODE_WITH_TIMELINE(a_timeline_that_answers_pending_counts_as_failed),
      ON_EACH_MODE(the_config_says_after_how_many_failures_a_query_quarantines),
      ON_EACH_MODE(a_query_that_succeeds_in_between_starts_the_count_again),
      ON_EACH_MODE_WITH_EVENTS(an_event_handed_over_that_answers_in_between_starts_the_count_again),
      ON_EACH_MODE(upkeep_finishes_its_work_when_a_query_fails_and_says_so),
      ON_EACH_MODE(an_allocation_tells_only_on_error_of_a_query_that_fails),
      ON_EACH_MODE(a_free_tells_only_on_error_of_a_query_that_fails),
      ON_EACH_MODE(a_stream_that_cannot_be_forgotten_is_still_known),
      ON_EACH_MODE(memory_whose_return_answers_pending_is_leaked),
      ON_EACH_MODE_ALONE(memory_that_cannot_be_given_back_is_leaked_and_not_tried_again),
      ON_EACH_MODE_ALONE(the_rest_goes_back_when_one_segment_cannot),
      ON_EACH_MODE_ALONE(destroy_tells_of_what_it_could_not_give_back),
      ON_EACH_MODE_ALONE(destroy_leaves_what_is_quarantined_to_the_runtime),
      ON_EACH_MODE(without_bookkeeping_an_allocation_changes_nothing),
      ON_EACH_MODE(without_bookkeeping_a_cache_is_not_made),
      /* sweeps */
      ON_NONE_IN_EACH_MODE(each_hook_call_fails_once),
      ON_NONE_IN_EACH_MODE(each_hook_call_fails_once_and_memory_is_out),
      ON_NONE_IN_EACH_MODE(all_hook_calls_fail_from_each_on),
      ON_NONE_IN_EACH_MODE(each_malloc_fails_once),
      ON_NONE_IN_EACH_MODE(all_mallocs_fail_from_each_on),
      /* what a hook may do and rely on */
      ON_EACH_MODE(every_hook_may_call_the_cache),
      ON_EACH_MODE_ALONE(on_error_may_call_the_cache),
      ON_EACH_MODE(a_hook_gets_whole_pages_and_the_alignment_of_the_config),
      ON_EACH_MODE(no_hook_is_called_after_destroy_and_none_by_abandon),
      ON_POOLED(a_thread_is_not_cancelled_inside_of_a_hook),
      ON_POOLED(a_thread_is_not_cancelled_while_the_cache_waits),
  };
  return cmocka_run_group_tests_name("hooks", tests, NULL, NULL);
}
