/* ordered.c - tests blocks for the work of one stream (HC_STREAM_ORDERED), in each mode.

   Promises: a block that its stream alone has used is ready for that stream as soon as it is freed,
   is split there and becomes one with its neighbours of the same stream; others, and the host, get
   it when the stream is through, or after it; nothing of it goes back before; a stream can be
   forgotten; what fails leaves a block where it is. */

#include <pthread.h>
#include <sched.h>

#include "sim/below.h"

#define HC_NAME pooled
#include "sim/hooks_pooled.h"
#include "sim/hooks_ordered.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME owned
#include "sim/hooks_owned.h"
#include "sim/hooks_ordered.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME timeline
#include "sim/hooks_timeline.h"
#include "sim/hooks_waits.h"
#include "sim/hooks_ordered.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME pooled_after
#include "sim/hooks_pooled.h"
#include "sim/hooks_waits.h"
#define SIM_ORDERED_AFTER
#include "sim/hooks_ordered.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME plain_after
#include "sim/hooks_plain.h"
#define SIM_ORDERED_AFTER
#include "sim/hooks_ordered.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME timeline_after
#include "sim/hooks_timeline.h"
#define SIM_ORDERED_AFTER
#include "sim/hooks_ordered.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME graphs
#include "sim/hooks_captures.h"
#include "sim/hooks_pooled.h"
#define SIM_ORDERED_AFTER
#include "sim/hooks_ordered.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE pooled
#define CACHE_EVENT_T sim_event
#define CACHE_OWN_EVENT(d, stream) sim_own_event(d, stream)
#include "sim/rig.h"
#include "sim/suite_ordered.h"
#undef CACHE
#undef CACHE_EVENT_T
#undef CACHE_OWN_EVENT

#define CACHE owned
#define CACHE_EVENT_T sim_event
#define CACHE_OWN_EVENT(d, stream) sim_own_event(d, stream)
#include "sim/rig.h"
#include "sim/suite_ordered.h"
#undef CACHE
#undef CACHE_EVENT_T
#undef CACHE_OWN_EVENT

#define CACHE timeline
#include "sim/rig.h"
#include "sim/suite_ordered.h"
#undef CACHE

#define CACHE_AFTER

#define CACHE pooled_after
#define CACHE_EVENT_T sim_event
#define CACHE_OWN_EVENT(d, stream) sim_own_event(d, stream)
#include "sim/rig.h"
#include "sim/suite_ordered.h"
#undef CACHE
#undef CACHE_EVENT_T
#undef CACHE_OWN_EVENT

#define CACHE plain_after
#define CACHE_EVENT_T sim_point
#define CACHE_OWN_EVENT(d, stream) sim_own_point(d, stream)
#include "sim/rig.h"
#include "sim/suite_ordered.h"
#undef CACHE
#undef CACHE_EVENT_T
#undef CACHE_OWN_EVENT

#define CACHE timeline_after
#include "sim/rig.h"
#include "sim/suite_ordered.h"
#undef CACHE

#undef CACHE_AFTER

/* ---- captures -------------------------------------------------------------------------------- */

#define CACHE graphs
#include "sim/rig.h"
#undef CACHE

static int is_stream_2(void *user, const void *stream) {
  (void)user;
  return *(const sim_stream *)stream == 2;
}

static void *graphs_take_on(graphs_rig *rig, sim_stream stream) {
  void *ptr = NULL;
  assert_ok(graphs_alloc_on(rig->cache, 3 * MIB, stream, &ptr));
  sim_handed_out_on(&rig->device, ptr, 3 * MIB, stream);
  return ptr;
}

/* No fence is recorded; and what is captured runs at a replay, perhaps on another stream, while
   what the stream did before may be under way. */
static void graphs_what_is_ready_for_a_stream_is_not_for_its_capture(void **state) {
  const hostcache_pool_id pool = {1, 2};
  graphs_rig *rig = *state;
  void *ptr = graphs_take_on(rig, 1), *other = graphs_take_on(rig, 3), *got;
  (void)sim_use(&rig->device, 1, ptr);
  (void)sim_use(&rig->device, 3, other);
  graphs_rig_give(rig, ptr);
  assert_ok(graphs_begin_allocate_to_pool(rig->cache, pool, is_stream_2, NULL));
  rig->device.capturing = true;
  sim_captured_stream = 1;
  graphs_rig_give(rig, other);
  got = graphs_take_on(rig, 1);
  assert_ptr_not_equal(got, ptr);
  assert_ptr_equal(graphs_take_on(rig, 3), other); /* which is not captured */
  graphs_rig_give(rig, graphs_take_on(rig, 2));    /* of the pool */
  graphs_rig_check(rig);
  rig->device.capturing = false;
  sim_captured_stream = SIM_NO_STREAM;
  assert_ok(graphs_end_allocate_to_pool(rig->cache, pool));
  assert_ptr_equal(graphs_take_on(rig, 1), ptr);
  assert_ok(graphs_release_pool(rig->cache, pool));
  graphs_rig_give(rig, got);
  assert_int_equal(graphs_rig_stats(rig).quarantined.current,
                   1); /* as it was captured in no pool */
  sim_complete_all(&rig->device);
  assert_ok(graphs_release_quarantine(rig->cache));
  assert_ok(graphs_synchronize(rig->cache, UINT64_MAX));
}

/* No fence can be recorded, so that nothing else says that the stream may be busy. */
static void graphs_destroy_is_busy_with_what_a_stream_left_during_a_capture(void **state) {
  const hostcache_pool_id pool = {1, 2};
  graphs_rig *rig = *state;
  void *ptr = graphs_take_on(rig, 3);
  (void)sim_use(&rig->device, 3, ptr);
  assert_ok(graphs_begin_allocate_to_pool(rig->cache, pool, is_stream_2, NULL));
  rig->device.capturing = true;
  graphs_rig_give(rig, ptr);
  assert_result(graphs_destroy(rig->cache), HOSTCACHE_ERR_BUSY);
  graphs_rig_check(rig);
  rig->device.capturing = false;
  assert_ok(graphs_end_allocate_to_pool(rig->cache, pool));
  assert_ok(graphs_release_pool(rig->cache, pool));
  assert_ok(graphs_forget_stream(rig->cache, 3)); /* no thread is at it any more */
}

/* ... and with nothing else. */
static void graphs_a_cache_may_end_during_a_capture(void **state) {
  const hostcache_pool_id pool = {1, 2};
  graphs_rig *rig = *state;
  assert_ok(graphs_begin_allocate_to_pool(rig->cache, pool, is_stream_2, NULL));
  rig->device.capturing = true;
  assert_ok(graphs_destroy(rig->cache));
  rig->cache = NULL;
}

static void graphs_no_stream_is_made_to_wait_during_a_capture(void **state) {
  const hostcache_pool_id pool = {1, 2};
  graphs_rig *rig = *state;
  void *ptr = graphs_take_on(rig, 3);
  (void)sim_use(&rig->device, 3, ptr);
  graphs_rig_give(rig, ptr);
  assert_ok(graphs_begin_allocate_to_pool(rig->cache, pool, is_stream_2, NULL));
  rig->device.capturing = true;
  assert_ptr_not_equal(graphs_take_on(rig, 4), ptr);
  rig->device.capturing = false;
  assert_ok(graphs_end_allocate_to_pool(rig->cache, pool));
  assert_ptr_equal(graphs_take_on(rig, 5), ptr);
  assert_int_equal(rig->device.calls[SIM_STREAM_AFTER], 1);
  assert_ok(graphs_release_pool(rig->cache, pool));
}

#define ON_EACH_THAT_LEAVES(test) ON(pooled, test), ON(owned, test), ON(timeline, test)
#define ON_EACH_AFTER(test) ON(pooled_after, test), ON(plain_after, test), ON(timeline_after, test)
#define ON_EACH_WITH_EVENTS(test) \
  ON(pooled, test), ON(owned, test), ON(pooled_after, test), ON(plain_after, test)
#define ON_EACH(test) ON_EACH_THAT_LEAVES(test), ON_EACH_AFTER(test)

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EACH(a_block_that_its_stream_alone_used_is_ready_for_it_at_once),
      ON_EACH(a_stream_that_goes_on_with_its_blocks_records_few_fences),
      ON_EACH(what_a_stream_has_taken_again_needs_no_fence),
      ON_EACH(polls_between_frees_do_not_add_a_fence_to_each),
      ON_EACH(a_miss_has_the_next_frees_record_a_fence_each),
      ON_EACH(memory_that_goes_from_stream_to_stream_does_not_grow),
      ON_EACH(frees_keep_what_is_ready_for_streams_bounded),
      ON_EACH_THAT_LEAVES(an_allocation_that_fails_leaves_to_streams_what_is_theirs),
      ON_EACH(what_is_ready_for_a_stream_is_split_there_and_becomes_whole_again),
      ON_EACH(a_mark_by_its_own_stream_changes_nothing),
      ON_EACH(a_deferred_free_makes_a_block_ready_for_its_stream_without_a_hook),
      ON_EACH(a_block_is_ready_for_others_when_its_stream_is_through),
      ON_EACH(what_a_stream_does_later_does_not_keep_its_block_from_others),
      ON_EACH(what_was_freed_after_a_fence_gets_one_of_its_own),
      ON_EACH(a_fence_does_not_cover_what_is_freed_after_it),
      ON_EACH(a_fence_does_not_cover_what_a_later_neighbour_became_part_of),
      ON_EACH(a_part_of_what_is_ready_for_a_stream_is_as_new_as_the_whole),
      ON_EACH(process_events_makes_ready_for_all_what_streams_are_through_with),
      ON_EACH(process_events_records_a_fence_and_asks_for_it_at_once),
      ON_EACH(a_block_that_others_used_waits_for_them_too),
      ON(pooled, a_block_waits_for_an_event_that_was_given_for_it),
      ON(owned, a_block_waits_for_an_event_that_was_given_for_it),
      ON(pooled_after, a_block_waits_for_an_event_that_was_given_for_it),
      ON(plain_after, a_block_waits_for_an_event_that_was_given_for_it),
      ON(timeline, a_block_waits_for_a_value_that_was_given_for_it),
      ON(timeline_after, a_block_waits_for_a_value_that_was_given_for_it),
      ON(timeline, a_value_does_not_stand_for_what_was_there_before),
      ON(timeline_after, a_value_does_not_stand_for_what_was_there_before),
      ON(timeline, a_value_of_another_stream_is_waited_for_too),
      ON(timeline_after, a_value_of_another_stream_is_waited_for_too),
      ON(timeline, a_value_beyond_the_work_so_far_is_waited_for),
      ON(timeline_after, a_value_beyond_the_work_so_far_is_waited_for),
      ON_EACH_THAT_LEAVES(neighbours_of_two_streams_become_one_when_both_are_through),
      ON_EACH_THAT_LEAVES(a_hundred_streams_have_blocks_of_their_own),
      ON_EACH_AFTER(another_stream_gets_it_before_and_is_made_to_wait),
      ON_EACH_AFTER(what_a_stream_is_through_with_another_one_gets_without_waiting),
      ON_EACH_AFTER(where_a_stream_cannot_be_made_to_wait_it_gets_other_memory),
      ON_EACH_AFTER(no_stream_is_made_to_wait_for_what_could_not_be_recorded),
      ON_EACH_THAT_LEAVES(a_stream_that_runs_keeps_its_block_from_others),
      ON_EACH(empty_cache_gives_back_what_streams_are_through_with_and_no_more),
      ON_EACH(what_is_ready_for_a_stream_is_not_bound_as_idle_memory_is),
      ON_EACH(what_is_above_the_bound_goes_back_when_its_stream_is_through),
      ON_EACH(what_is_above_the_bound_goes_back_by_a_free_that_finds_its_stream_through),
      ON_EACH(at_the_cap_a_block_of_another_stream_is_waited_for),
      ON_EACH(at_the_cap_all_that_streams_freed_is_waited_for),
      ON_EACH(what_a_callback_frees_while_the_runtime_is_asked_is_waited_for),
      ON_EACH(a_free_off_the_hot_path_records_the_fence_too),
      ON_EACH(at_the_cap_a_stream_takes_what_is_its_own),
      ON_EACH(destroy_is_busy_as_long_as_a_stream_runs),
      ON_EACH(destroy_is_busy_as_long_as_a_fence_waits),
      ON_EACH(abandon_leaves_no_bookkeeping),
      ON_EACH(synchronize_waits_until_all_is_ready_for_all),
      ON_EACH(what_was_ready_for_a_forgotten_stream_is_waited_for_without_it),
      ON_EACH(a_new_stream_gets_nothing_that_was_ready_for_the_one_before),
      ON_EACH(a_stream_beyond_those_with_a_bit_has_blocks_of_its_own_too),
      ON_EACH(a_stream_without_a_bit_leaves_nothing_of_itself_to_who_comes_after_it),
      ON_EACH(what_is_not_split_is_for_its_own_stream_too),
      ON(pooled, a_stream_in_the_place_of_one_whose_fences_wait_begins_with_nothing),
      ON(owned, a_stream_in_the_place_of_one_whose_fences_wait_begins_with_nothing),
      ON(pooled_after, a_stream_in_the_place_of_one_whose_fences_wait_begins_with_nothing),
      ON(plain_after, a_stream_in_the_place_of_one_whose_fences_wait_begins_with_nothing),
      ON_EACH(wrong_calls_for_a_stream_are_told),
      ON_EACH(a_fence_that_cannot_be_recorded_leaves_the_block_to_its_stream),
      ON_EACH(process_events_says_that_a_fence_could_not_be_recorded),
      ON_EACH(a_fence_that_cannot_be_told_leaves_the_block_to_its_stream),
      ON_EACH(what_a_fence_could_not_tell_another_one_tells_where_it_is_needed),
      ON_EACH(a_fence_without_memory_can_end_untold_and_be_used_again),
      ON_EACH(what_cannot_be_told_of_a_stream_is_left_to_the_runtime),
      ON_EACH(without_memory_for_the_books_it_is_a_block_like_any_other),
      ON_EACH(threads_work_for_streams_at_once),
      ON_EACH(a_stream_without_blocks_of_its_own_is_forgotten_like_any_other),
      ON_EACH(what_is_freed_while_its_stream_is_forgotten_gets_a_fence_before_that_is_gone),
      ON_EACH(a_fence_that_is_just_recorded_keeps_its_stream_from_being_forgotten),
      ON_EACH(what_is_taken_while_its_stream_is_forgotten_is_a_block_like_any_other),
      ON_EACH(a_stream_whose_last_fence_cannot_be_recorded_is_not_forgotten),
      ON_EACH(a_block_that_is_freed_while_its_stream_is_forgotten_waits_for_it),
      ON_EACH(what_was_recorded_to_forget_a_stream_does_not_leak_when_its_block_is_freed),
      ON_EACH(a_block_of_a_forgotten_stream_is_not_of_the_one_in_its_place),
      ON_EACH(a_second_fence_without_memory_is_recorded_when_there_is_some),
      ON_EACH(a_stream_is_not_forgotten_while_there_is_no_memory_for_its_fence),
      ON_EACH(a_block_of_a_stream_that_two_threads_free_at_once_is_freed_once),
      ON_EACH(abandon_leaves_no_fence_that_had_no_memory),
      ON_EACH(synchronize_waits_for_a_stream_whose_fence_cannot_be_recorded),
      ON_EACH(without_memory_for_what_a_stream_has_it_gets_what_is_for_all),
      ON_EACH(two_first_allocations_for_a_stream_share_what_it_has),
      ON_EACH(an_allocation_for_a_stream_that_is_forgotten_meanwhile_is_for_the_next_of_the_handle),
      ON_EACH(an_allocation_that_finds_no_record_for_it_takes_nothing_from_other_streams),
      ON_EACH_WITH_EVENTS(a_block_of_a_forgotten_stream_waits_for_it_whoever_has_its_place),
      ON_EACH_WITH_EVENTS(
          what_cannot_be_told_of_a_forgotten_stream_waits_for_the_word_that_all_is_idle),
      ON_EACH_WITH_EVENTS(a_fence_of_a_forgotten_stream_says_nothing_of_the_one_in_its_place),
      ON_EACH_WITH_EVENTS(
          a_fence_of_a_forgotten_stream_that_cannot_be_told_says_nothing_of_the_one_in_its_place),
      ON(graphs, what_is_ready_for_a_stream_is_not_for_its_capture),
      ON(graphs, destroy_is_busy_with_what_a_stream_left_during_a_capture),
      ON(graphs, a_cache_may_end_during_a_capture),
      ON(graphs, no_stream_is_made_to_wait_during_a_capture),
  };
  return cmocka_run_group_tests_name("ordered", tests, NULL, NULL);
}
