/* events.c - tests section 11 of the header: uses, queues, polls, quarantine, in each mode.

   Promises: what a poll costs; a hit calls no hook; freeing keeps what waits bounded; free_deferred
   calls no hook and no malloc; events handed over wait in a list of which a bounded number is
   asked; the highest value counts; forget_stream; all that the table of failures says of events
   (sections 7 and 8 of the contract). */

#include "sim/below.h"

#define SUITE "sim/suite_events.h"
#include "sim/each_mode.h"

/* In the mode whose events end one by one. */
static void sim_owned_an_event_that_cannot_be_destroyed_is_told(void **state) {
  sim_owned_rig *rig = *state;
  (void)sim_owned_rig_pend(rig, 64 * KIB, 1);
  sim_complete(&rig->device, 1, -1);
  sim_fail(&rig->device, 1, false, SIM_ONLY(SIM_EVENT_DESTROY));
  assert_int_equal(sim_owned_rig_poll(rig), 1);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_EVENT], 1);
  assert_int_equal(rig->heard.count, 1);
}

/* ---- pools of events ------------------------------------------------------------------------- */

/* A pool has room for 16 at first. */
static void events_for_which_a_pool_has_no_room_are_ended_and_it_grows_when_it_can(void **state) {
  sim_pooled_rig *rig = *state;
  const uint64_t *calls = rig->device.calls;
  void *blocks[24];
  int round;
  for (round = 0; round < 3; round++) {
    sim_pooled_rig_pend_many(rig, 1, COUNT_OF(blocks), blocks);
    assert_int_equal(calls[SIM_EVENT_CREATE], round == 0 ? 24 : 24 + 8);
    below_fail(1, true);
    sim_complete(&rig->device, 0, 12);
    assert_int_equal(sim_pooled_rig_poll(rig), 12);
    if (round > 0) below_fail_no_more();
    sim_complete(&rig->device, 0, 12);
    assert_int_equal(sim_pooled_rig_poll(rig), 12);
    below_fail_no_more();
    assert_int_equal(calls[SIM_EVENT_DESTROY], 8);
  }
}

static void *forget_stream_0(void *argument) {
  sim_waiting_pooled_rig *rig = argument;
  expect_or_abort(sim_waiting_pooled_forget_stream(rig->cache, 0) == HOSTCACHE_OK);
  return NULL;
}

static void let_another_thread_forget_it(void *user, sim_hook hook) {
  sim_waiting_pooled_rig *rig = user;
  pthread_t thread;
  if (hook != SIM_EVENT_WAIT) return;
  rig->device.on_hook = NULL;
  assert_int_equal(pthread_create(&thread, NULL, forget_stream_0, rig), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
}

/* The stream has one event that is in use, and one that is not. */
static void who_waits_for_a_stream_that_is_forgotten_meanwhile_ends_its_events(void **state) {
  sim_waiting_pooled_rig *rig = *state;
  void *blocks[2];
  sim_waiting_pooled_rig_pend_many(rig, 1, 2, blocks);
  sim_complete_all(&rig->device);
  assert_int_equal(sim_waiting_pooled_rig_poll(rig), 2);
  (void)sim_waiting_pooled_rig_pend(rig, 64 * KIB, 0);
  rig->device.on_hook = let_another_thread_forget_it;
  rig->device.on_hook_user = rig;
  assert_ok(sim_waiting_pooled_synchronize(rig->cache, UINT64_MAX));
  assert_null(rig->device.on_hook);
  assert_int_equal(sim_live_events(&rig->device), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EACH_MODE(a_poll_asks_each_busy_stream_once_and_once_more_for_each_block_made_ready),
      ON_EACH_MODE(a_poll_with_nothing_pending_calls_no_hook),
      ON_EACH_MODE(a_hit_calls_no_hook_even_while_blocks_are_pending_and_a_stream_is_captured),
      ON_EACH_MODE(freeing_keeps_what_waits_bounded_without_a_miss),
      ON_EACH_MODE(each_stream_is_recorded_once_for_a_block_however_often_it_is_marked),
      ON_EACH_MODE(marking_calls_no_hook),
      ON_EACH_MODE(events_end_where_their_mode_says),
      ON(sim_owned, an_event_that_cannot_be_destroyed_is_told),
      ON_EACH_MODE(a_block_in_two_queues_holds_nobody_back_in_the_one_that_moves),
      ON_EACH_MODE(an_allocation_does_not_walk_a_long_queue),
      ON_EACH_MODE(a_very_long_queue_loses_nothing_and_makes_nothing_ready_too_early),
      ON_EACH_MODE(a_queue_that_was_very_long_knows_nothing_of_that_time_when_it_is_so_again),
      ON_EACH_MODE_WITH_EVENTS(what_leaves_a_very_long_queue_before_others_comes_to_it_again),
      ON_EACH_MODE(free_deferred_calls_no_hook_and_no_malloc_and_the_block_waits_all_the_same),
      ON_EACH_MODE(free_deferred_of_a_block_without_uses_makes_it_ready_at_once),
      ON_EACH_MODE(what_a_callback_frees_above_the_bound_goes_back_at_the_next_free),
      ON_EACH_MODE(what_a_free_makes_ready_above_the_bound_goes_back),
      ON_EACH_MODE(a_free_without_uses_records_what_a_callback_left),
      ON_EACH_MODE(what_callbacks_freed_is_recorded_in_the_order_of_the_frees),
      ON_EACH_MODE(free_deferred_may_be_called_from_a_hook),
      ON_EACH_MODE_WITH_EVENTS(a_block_waits_for_an_event_that_was_handed_over),
      ON_EACH_MODE_WITH_EVENTS(a_mark_and_an_event_on_one_block_both_count),
      ON_EACH_MODE_WITH_EVENTS(a_poll_asks_a_bounded_number_of_handed_over_events_in_turn),
      ON_EACH_MODE_WITH_EVENTS(
          freeing_keeps_what_waits_for_events_handed_over_bounded_without_a_miss),
      ON_EACH_MODE_WITH_EVENTS(an_event_that_is_refused_stays_the_callers),
      ON_EACH_MODE_WITH_EVENTS(events_handed_over_for_a_block_that_is_never_freed_are_not_lost),
      ON_EACH_MODE_WITH_TIMELINE(a_value_that_the_caller_knows_replaces_the_mark),
      ON_EACH_MODE_WITH_TIMELINE(the_highest_value_given_counts),
      ON_EACH_MODE_WITH_TIMELINE(
          a_mark_made_after_a_value_covers_what_was_submitted_up_to_the_free),
      ON_EACH_MODE_WITH_TIMELINE(a_value_on_one_stream_leaves_the_mark_of_another),
      ON_EACH_MODE_WITH_TIMELINE(
          values_of_what_a_callbacks_thread_frees_wait_in_the_queue_of_their_stream),
      ON_EACH_MODE_WITH_TIMELINE(a_value_has_its_queue_before_the_block_is_freed),
      ON_EACH_MODE_WITH_TIMELINE(a_value_on_what_is_not_active_is_refused),
      ON_EACH_MODE(a_forgotten_stream_is_seen_by_no_hook_and_its_work_is_still_waited_for),
      ON_EACH_MODE(a_new_stream_with_the_handle_of_a_forgotten_one_is_a_new_stream),
      ON_EACH_MODE(forgetting_an_unknown_stream_calls_no_hook),
      ON_EACH_MODE(forgetting_one_stream_leaves_the_marks_of_others),
      ON_EACH_MODE(forgetting_a_stream_records_what_a_deferred_free_left_to_do),
      ON_EACH_MODE(
          a_stream_that_does_not_answer_is_asked_as_often_as_for_a_block_when_it_is_forgotten),
      ON_EACH_MODE(where_streams_must_be_idle_to_die_forgetting_waits_for_what_is_pending),
      ON_EACH_MODE(a_stream_can_be_forgotten_again_and_again),
      /* while something else is under way */
      ON_EACH_MODE(
          a_block_that_is_freed_while_its_stream_is_forgotten_does_not_bring_the_handle_back),
      ON_EACH_MODE(a_stream_that_was_never_used_is_forgotten_like_any_other),
      ON_EACH_MODE(a_use_without_room_does_not_bring_the_handle_of_a_forgotten_stream_back),
      ON_NONE_IN_EACH_MODE(a_stream_whose_forgetting_fails_anywhere_goes_on_as_before),
      ON_EACH_MODE(two_streams_forgotten_at_once_do_not_disturb_each_other),
      ON_EACH_MODE_THAT_WAITS(
          a_use_without_room_is_forgotten_with_its_stream_also_beside_another_one),
      ON(sim_timeline, a_use_without_room_is_forgotten_with_its_stream_also_beside_another_one),
      ON_EACH_MODE_WITH_TIMELINE(a_stream_that_two_threads_forget_has_come_to_its_end_for_both),
      ON_EACH_MODE_WITH_EVENTS(a_forgetting_that_fails_leaves_no_mark_to_another_that_succeeds),
      ON_EACH_MODE(an_event_that_completes_while_its_stream_is_forgotten_serves_no_other_stream),
      ON_EACH_MODE_THAT_POLLS(
          a_free_that_begins_while_its_stream_is_forgotten_keeps_it_until_it_is_recorded),
      ON_EACH_MODE(a_poll_asks_no_further_than_what_was_queued_when_it_began),
      ON_EACH_MODE(a_poll_that_is_under_way_holds_nobody_up),
      ON_EACH_MODE(synchronize_counts_what_another_thread_is_just_recording),
      ON_EACH_MODE(synchronize_waits_for_what_another_thread_is_just_recording),
      ON_EACH_MODE(a_query_that_is_under_way_on_a_stream_keeps_it_from_being_forgotten),
      ON_EACH_MODE(a_record_that_is_under_way_on_a_stream_keeps_it_from_being_forgotten),
      ON_EACH_MODE(a_deferred_record_that_is_under_way_on_a_stream_keeps_it_from_being_forgotten),
      ON(sim_waiting_pooled,
         synchronize_waits_for_streams_also_beside_events_that_were_handed_over),
      ON(sim_waiting_plain, synchronize_waits_for_streams_also_beside_events_that_were_handed_over),
      ON(sim_waiting_pooled, synchronize_on_an_event_that_hangs_keeps_no_other_from_being_polled),
      ON(sim_waiting_plain, synchronize_on_an_event_that_hangs_keeps_no_other_from_being_polled),
      ON_EACH_MODE(threads_do_everything_while_hooks_fail),
      ON_EACH_MODE(a_block_freed_while_its_stream_is_forgotten_is_waited_for),
      ON_EACH_MODE(a_block_freed_deferred_while_its_stream_is_forgotten_is_waited_for),
      ON_EACH_MODE(a_block_freed_deferred_before_its_mark_is_looked_at_is_waited_for),
      ON_EACH_MODE(a_use_without_room_made_while_another_stream_is_forgotten_counts),
      ON_EACH_MODE_THAT_WAITS(a_use_without_room_counts_also_where_the_one_before_was_over),
      ON_EACH_MODE_THAT_WAITS(a_use_without_room_counts_also_where_its_stream_is_just_forgotten),
      ON_EACH_MODE_THAT_WAITS(
          a_use_without_room_of_a_stream_that_could_not_be_forgotten_counts_as_before),
      ON_EACH_MODE_THAT_WAITS(
          a_use_without_room_counts_also_where_one_of_another_stream_was_forgotten),
      ON_EACH_MODE_THAT_WAITS(
          a_use_without_room_made_while_one_of_another_stream_is_waited_for_counts),
      ON(sim_waiting_timeline, the_highest_value_is_waited_for_when_its_stream_is_forgotten),
      ON(sim_waiting_timeline, a_value_without_room_of_another_stream_is_not_waited_for),
      ON_EACH_MODE_THAT_WAITS(
          a_use_without_room_counts_also_where_its_stream_is_waited_for_just_then),
      ON_EACH_MODE(what_waits_in_no_queue_is_waited_for_when_its_stream_is_forgotten),
      ON_EACH_MODE(a_query_that_fails_while_its_stream_is_forgotten_is_told),
      ON_EACH_MODE(what_is_recorded_and_asked_to_forget_a_stream_is_counted),
      ON_EACH_MODE(what_is_ready_after_a_stream_was_forgotten_is_idle_memory),
      ON_EACH_MODE(a_stream_on_which_nothing_ever_ran_leaves_no_mark),
      ON_EACH_MODE(a_use_without_room_counts_also_where_all_others_are_forgotten),
      ON_EACH_MODE_THAT_POLLS(
          a_use_without_room_and_one_that_is_not_recorded_are_two_that_cannot_be_told),
      ON_EACH_MODE_THAT_WAITS(a_use_without_room_that_is_waited_for_is_not_asked_for),
      ON_EACH_MODE(a_use_without_room_counts_also_where_its_stream_is_marked_later),
      ON_EACH_MODE(a_use_without_room_freed_deferred_while_its_stream_is_forgotten_is_seen_to),
      ON_EACH_MODE(
          a_use_without_room_freed_deferred_while_another_stream_is_forgotten_is_left_alone),
      ON_EACH_MODE_THAT_WAITS(
          a_stream_on_which_nothing_can_be_recorded_is_waited_for_when_it_is_forgotten),
      ON_EACH_MODE_THAT_WAITS(a_stream_that_cannot_be_waited_for_is_asked_until_it_is_idle),
      ON(sim_waiting_pooled, a_stream_that_cannot_be_waited_for_is_not_forgotten),
      ON(sim_waiting_plain, a_stream_that_cannot_be_waited_for_is_not_forgotten),
      ON_EACH_MODE_THAT_WAITS(synchronize_does_not_wait_for_what_is_freed_after_the_call),
      ON_EACH_MODE_WITH_EVENTS(streams_whose_events_end_at_once_are_forgotten_independently),
      ON_NONE_IN_EACH_MODE(a_stream_that_could_not_be_forgotten_is_marked_as_before),
      ON_EACH_MODE_WITH_EVENTS(abandon_leaves_nothing_of_a_stream_that_could_not_be_forgotten),
      ON_EACH_MODE_WITH_EVENTS(forgetting_a_stream_that_need_not_be_idle_does_not_wait_for_it),
      ON_EACH_MODE_WITH_EVENTS(an_event_recorded_in_vain_is_ended_when_it_has_completed),
      ON_EACH_MODE_WITH_EVENTS(
          synchronize_does_not_wait_for_the_events_of_a_stream_that_could_not_be_forgotten),
      ON_EACH_MODE_WITH_EVENTS(a_stream_is_not_forgotten_while_there_is_no_memory_for_an_event),
      ON_EACH_MODE_WITH_EVENTS(an_event_that_was_handed_over_keeps_no_stream_from_being_forgotten),
      ON_EACH_MODE_WITH_EVENTS(destroy_tells_of_an_event_recorded_in_vain_that_has_not_completed),
      ON_EACH_MODE_WITH_EVENTS(destroy_tells_of_an_event_recorded_in_vain_that_cannot_be_told),
      ON_EACH_MODE_WITH_EVENTS(everything_that_waits_is_asked_before_memory_is_out),
      ON_EACH_MODE(a_block_freed_by_a_callback_while_memory_is_got_is_found_before_memory_is_out),
      ON(sim_waiting_timeline,
         a_value_given_is_still_asked_for_where_the_stream_was_waited_for_instead),
      cmocka_unit_test_setup_teardown(
          events_for_which_a_pool_has_no_room_are_ended_and_it_grows_when_it_can,
          sim_pooled_rig_setup, sim_pooled_rig_teardown),
      cmocka_unit_test_setup_teardown(
          who_waits_for_a_stream_that_is_forgotten_meanwhile_ends_its_events,
          sim_waiting_pooled_rig_setup, sim_waiting_pooled_rig_teardown),
  };
  return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
