/* marks.c - tests section 11 of the header: marks by many streams and from many threads, in each
   mode.

   Promises: any number of streams may use a block, each is waited for, and holds back its own
   blocks alone; marks that several threads make at once all count, whichever thread got the block,
   and whichever frees it; what became of a block before it was got does not matter; a stream that
   is forgotten leaves nothing to the one that comes in its place (section 7 of the contract). */

#include "sim/below.h"

#define SUITE "sim/suite_marks.h"
#include "sim/each_mode.h"

enum { MOST_USES = 32768 + 4 }; /* with the four that need no memory */

/* One more is a use without memory. */
static void a_block_has_as_many_uses_as_are_counted(void **state) {
  sim_plain_rig *rig = *state;
  void *block = sim_plain_rig_take(rig, 64 * KIB);
  unsigned i;
  for (i = 0; i < MOST_USES; i++)
    assert_ok(sim_plain_record_event(rig->cache, block, sim_own_point(&rig->device, 1)));
  assert_result(sim_plain_record_event(rig->cache, block, sim_own_point(&rig->device, 1)),
                HOSTCACHE_ERR_NO_METADATA);
  sim_handed_back(&rig->device, block);
  assert_result(sim_plain_free(rig->cache, block), HOSTCACHE_ERR_EVENT);
  assert_int_equal(sim_plain_rig_stats(rig).quarantined.current, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EACH_MODE(a_block_waits_for_each_of_a_hundred_streams),
      ON_EACH_MODE(what_is_marked_while_its_stream_is_forgotten_still_waits),
      ON_EACH_MODE(what_is_marked_when_its_stream_is_asked_still_waits_in_its_own_queue),
      ON_EACH_MODE_WITH_TIMELINE(a_mark_and_a_value_in_its_place_are_forgotten_together),
      ON_EACH_MODE_WITH_TIMELINE(a_higher_value_given_while_its_stream_is_forgotten_still_counts),
      ON_EACH_MODE(each_of_a_hundred_streams_holds_back_its_own_blocks_alone),
      ON_EACH_MODE(the_peak_of_what_waits_is_known_when_all_has_completed),
      ON_EACH_MODE_WITH_EVENTS(
          the_peak_of_what_waits_is_known_when_an_event_that_was_handed_over_has_completed),
      ON_EACH_MODE(a_stream_that_takes_the_place_of_a_forgotten_one_inherits_no_marks),
      ON_EACH_MODE(a_block_is_not_ready_before_the_last_of_its_uses_is_recorded),
      ON_EACH_MODE(a_block_of_a_stock_is_not_ready_before_the_last_of_its_uses_is_recorded),
      ON_EACH_MODE(marks_that_threads_make_at_once_all_count),
      ON_EACH_MODE(a_block_freed_by_another_thread_than_marked_it_waits_for_both_threads_streams),
      ON_EACH_MODE(what_another_thread_marked_is_forgotten_with_its_stream),
      ON_EACH_MODE(an_allocation_asks_for_what_its_thread_freed_before_what_others_did),
      ON_EACH_MODE(what_another_thread_got_is_at_home_where_it_is_freed),
      ON_EACH_MODE(the_marks_of_a_thread_that_has_ended_and_of_its_successor_both_count),
      ON_EACH_MODE(a_block_that_came_by_a_shared_bin_waits_for_the_work_on_it_and_for_nothing_else),
      ON_EACH_MODE(what_cannot_be_recorded_of_a_block_that_came_by_a_shared_bin_is_never_asked_for),
      ON_EACH_MODE_WITH_TIMELINE(a_mark_a_value_and_a_mark_again_wait_for_all_work_up_to_the_free),
      ON_EACH_MODE(a_block_that_is_got_again_has_no_mark_that_another_thread_made),
      ON_EACH_MODE(a_mark_that_a_block_has_already_needs_no_memory),
      ON_EACH_MODE(a_block_that_is_freed_while_room_is_got_for_its_use_is_not_found),
      ON_EACH_MODE(a_mark_of_what_is_not_active_leaves_no_books),
      ON_EACH_MODE(room_that_others_take_meanwhile_is_got_again),
      ON_EACH_MODE_WITH_EVENTS(a_use_for_which_there_is_room_meanwhile_is_kept_once),
      ON_EACH_MODE(a_mark_of_a_stream_that_is_forgotten_meanwhile_is_of_the_next_of_the_handle),
      ON_EACH_MODE(
          a_mark_of_a_stream_that_is_forgotten_meanwhile_is_forgotten_with_the_next_of_the_handle),
      ON_EACH_MODE(two_frees_that_need_the_same_queue_share_one),
      ON_EACH_MODE(a_deferred_free_of_a_use_without_room_calls_no_hook),
      ON_EACH_MODE(a_deferred_free_of_a_use_without_a_bit_calls_no_hook),
      ON_EACH_MODE_WITH_TIMELINE(a_value_of_a_stream_without_memory_for_its_books_is_waited_for),
      ON_EACH_MODE(a_free_that_is_due_to_ask_many_streams_loses_none),
      ON_EACH_MODE_WITH_TIMELINE(of_values_that_found_no_memory_the_highest_counts),
      ON_EACH_MODE_WITH_EVENTS(a_mark_that_is_kept_in_the_last_place_moves_when_room_is_got),
      cmocka_unit_test_setup_teardown(a_block_has_as_many_uses_as_are_counted, sim_plain_rig_setup,
                                      sim_plain_rig_teardown),
  };
  return cmocka_run_group_tests_name("marks", tests, NULL, NULL);
}
