/* pools.c - tests private pools, captures and checkpoints (section 12, HC_POOLS), in each mode.

   Promises: a pool shares nothing with other pools or with what is outside of all; while it lives
   it keeps its memory, and its release gives that to everybody; what was used in a capture is
   reused only after that release; while a stream may be captured no event is recorded or asked, and
   memory is got only inside of HC_CAPTURE_RELAX_BEGIN and END; a restore makes a pool what it was,
   or changes nothing. */

#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdatomic.h>

#include "sim/below.h"

/* A thread of the cache's that waits for another one gives way; so that it can be seen to. */
static atomic_ulong pauses;

static int give_way(void) { return sched_yield(); }

static int give_way_and_count(void) {
  atomic_fetch_add(&pauses, 1);
  return give_way();
}

#define sched_yield give_way_and_count

#define HC_NAME pooled
#include "sim/hooks_captures.h"
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME owned
#include "sim/hooks_captures.h"
#include "sim/hooks_owned.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME timeline
#include "sim/hooks_captures.h"
#include "sim/hooks_timeline.h"
#include "sim/hooks_waits.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME traced
#define HC_TRACE
#define HC_HOST_ALLOCATOR
#include "sim/hooks_captures.h"
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME hookless
#define HC_POOLS
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME streamless
#define HC_POOLS
#define HC_NO_STREAMS
#include "sim/hooks_memory.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE_EVENT_T sim_event
#define CACHE_OWN_EVENT(d, stream) sim_own_event(d, stream)

#define CACHE pooled
#include "sim/rig.h"
#include "sim/suite_pools.h"
#undef CACHE

#define CACHE owned
#include "sim/rig.h"
#include "sim/suite_pools.h"
#undef CACHE

#undef CACHE_EVENT_T
#undef CACHE_OWN_EVENT

#define CACHE timeline
#include "sim/rig.h"
#include "sim/suite_pools.h"
#undef CACHE

/* ---- what is looked at from inside ----------------------------------------------------------- */

#define CACHE traced
#include "sim/rig.h"
#undef CACHE

static void count_pool(void *user, const hostcache_trace *entry) {
  int *counts = (int *)user;
  if (entry->pool.first == GRAPH.first && entry->pool.second == GRAPH.second)
    counts[entry->action]++;
}

static void a_history_names_the_pool(void **state) {
  traced_rig *rig = *state;
  traced_checkpoint *checkpoint;
  int counts[8] = {0}, later[8] = {0};
  void *ptr;
  assert_ok(traced_record_history(rig->cache, 100, NULL, NULL));
  ptr = traced_rig_take(rig, 64 * KIB);
  traced_rig_give(rig, ptr);
  assert_ok(traced_begin_allocate_to_pool(rig->cache, GRAPH, NULL, NULL));
  ptr = traced_rig_take(rig, 64 * KIB);
  assert_ok(traced_end_allocate_to_pool(rig->cache, GRAPH));
  assert_ok(traced_checkpoint_pool(rig->cache, GRAPH, &checkpoint));
  traced_rig_give(rig, ptr);
  assert_ok(traced_restore_pool(rig->cache, checkpoint, NULL, NULL));
  traced_checkpoint_free(checkpoint);
  assert_ok(traced_history(rig->cache, count_pool, counts));
  assert_int_equal(counts[HOSTCACHE_TRACE_SEGMENT_ALLOC], 1);
  assert_int_equal(counts[HOSTCACHE_TRACE_ALLOC], 2); /* the second by the restore */
  assert_int_equal(counts[HOSTCACHE_TRACE_FREE_REQUESTED], 1);
  assert_int_equal(counts[HOSTCACHE_TRACE_FREE_COMPLETED], 1);
  assert_int_equal(counts[HOSTCACHE_TRACE_SEGMENT_FREE], 0);
  assert_ok(traced_free(rig->cache, ptr));
  assert_ok(traced_empty_cache_pool(rig->cache, GRAPH));
  assert_ok(traced_history(rig->cache, count_pool, later));
  assert_int_equal(later[HOSTCACHE_TRACE_SEGMENT_FREE], 1);
  assert_ok(traced_release_pool(rig->cache, GRAPH));
}

static int count_ranges(void *user, const hostcache_range *range) {
  int *counts = (int *)user;
  if (range->pool.second == GRAPH.second) counts[range->kind]++;
  return 0;
}

/* ... and what is put back is as it was, whoever listens. */
static void a_restore_tells_trackers_of_what_it_begins_alone(void **state) {
  traced_rig *rig = *state;
  traced_checkpoint *empty, *checkpoint;
  static int counts[8]; /* hears of the destroy as well */
  void *first, *second;
  assert_ok(traced_begin_allocate_to_pool(rig->cache, GRAPH, NULL, NULL));
  assert_ok(traced_checkpoint_pool(rig->cache, GRAPH, &empty));
  first = traced_rig_take(rig, 64 * KIB);
  assert_ok(traced_checkpoint_pool(rig->cache, GRAPH, &checkpoint));
  traced_rig_give(rig, first);
  assert_ok(traced_restore_pool(rig->cache, checkpoint, NULL, NULL)); /* nobody listens */
  assert_ok(traced_attach_trace_tracker(rig->cache, count_pool, counts));
  second = traced_rig_take(rig, 64 * KIB);
  assert_ok(traced_restore_pool(rig->cache, checkpoint, NULL, NULL));
  sim_handed_back(&rig->device, second);
  assert_int_equal(counts[HOSTCACHE_TRACE_ALLOC], 2);          /* second; first, by the restore */
  assert_int_equal(counts[HOSTCACHE_TRACE_FREE_REQUESTED], 2); /* of both */
  assert_int_equal(counts[HOSTCACHE_TRACE_FREE_COMPLETED], 2);
  assert_ok(traced_restore_pool(rig->cache, empty, NULL, NULL)); /* begins none */
  assert_int_equal(counts[HOSTCACHE_TRACE_FREE_COMPLETED], 3);
  traced_checkpoint_free(empty);
  traced_checkpoint_free(checkpoint);
  assert_ok(traced_end_allocate_to_pool(rig->cache, GRAPH));
  assert_ok(traced_release_pool(rig->cache, GRAPH));
}

static void note_sequence(void *user, const hostcache_trace *entry) {
  *(uint64_t *)user = entry->sequence;
}

static void a_restore_that_nobody_hears_of_is_no_entry(void **state) {
  traced_rig *rig = *state;
  traced_checkpoint *checkpoint;
  uint64_t last = 10;
  void *ptr;
  assert_ok(traced_begin_allocate_to_pool(rig->cache, GRAPH, NULL, NULL));
  ptr = traced_rig_take(rig, 64 * KIB);
  assert_ok(traced_checkpoint_pool(rig->cache, GRAPH, &checkpoint));
  assert_ok(traced_restore_pool(rig->cache, checkpoint, NULL, NULL));
  assert_ok(traced_record_history(rig->cache, 10, NULL, NULL));
  sim_handed_back(&rig->device, ptr);
  assert_ok(traced_free(rig->cache, ptr));
  assert_ok(traced_history(rig->cache, note_sequence, &last));
  assert_int_equal(last, 1); /* of the two of the free */
  traced_checkpoint_free(checkpoint);
  assert_ok(traced_end_allocate_to_pool(rig->cache, GRAPH));
  assert_ok(traced_release_pool(rig->cache, GRAPH));
}

static void a_snapshot_names_the_pool(void **state) {
  traced_rig *rig = *state;
  int counts[8] = {0}, later[8] = {0};
  (void)traced_rig_take(rig, 64 * KIB);
  assert_ok(traced_begin_allocate_to_pool(rig->cache, GRAPH, NULL, NULL));
  (void)traced_rig_take(rig, 64 * KIB);
  assert_ok(traced_end_allocate_to_pool(rig->cache, GRAPH));
  assert_ok(traced_snapshot(rig->cache, count_ranges, counts));
  assert_int_equal(counts[HOSTCACHE_VISIT_SEGMENT], 1);
  assert_int_equal(counts[HOSTCACHE_VISIT_ACTIVE], 1);
  assert_ok(traced_release_pool(rig->cache, GRAPH));
  assert_ok(traced_snapshot(rig->cache, count_ranges, later));
  assert_int_equal(later[HOSTCACHE_VISIT_SEGMENT], 0);
}

static void hits_stay_the_long_way_while_either_needs_it(void **state) {
  traced_rig *rig = *state;
  int counts[8] = {0};
  void *ptr;
  assert_ok(traced_begin_allocate_to_pool(rig->cache, GRAPH, NULL, NULL));
  assert_ok(traced_record_history(rig->cache, 100, NULL, NULL));
  assert_ok(traced_record_history(rig->cache, 0, NULL, NULL)); /* the pool is open still */
  ptr = traced_rig_take(rig, 64 * KIB);
  traced_rig_give(rig, ptr);
  assert_ok(traced_record_history(rig->cache, 100, NULL, NULL));
  assert_ok(traced_end_allocate_to_pool(rig->cache, GRAPH)); /* the history goes on */
  assert_ptr_not_equal(traced_rig_take(rig, 64 * KIB), ptr);
  assert_ok(traced_begin_allocate_to_pool(rig->cache, GRAPH, NULL, NULL));
  assert_ptr_equal(traced_rig_take(rig, 64 * KIB), ptr);
  assert_ok(traced_end_allocate_to_pool(rig->cache, GRAPH));
  assert_ok(traced_history(rig->cache, count_pool, counts));
  assert_int_equal(counts[HOSTCACHE_TRACE_ALLOC], 1);
  assert_ok(traced_release_pool(rig->cache, GRAPH));
  assert_ok(traced_release_pool(rig->cache, GRAPH));
}

static void pools_work_without_the_type(void **state) {
  traced_rig *rig = *state;
  hostcache_allocator a;
  void *ptr, *context;
  assert_ok(traced_as_allocator(rig->cache, &a));
  assert_ok(a.begin_allocate_to_pool(a.cache, GRAPH, is_stream, &on_1));
  sim_current = 1;
  assert_ok(a.allocate(a.cache, 64 * KIB, &ptr, &context));
  sim_current = 0;
  assert_int_equal(traced_pool_use_count(rig->cache, GRAPH), 1);
  assert_ok(a.end_allocate_to_pool(a.cache, GRAPH));
  assert_result(a.end_allocate_to_pool(a.cache, GRAPH), HOSTCACHE_ERR_NOT_FOUND);
  a.deleter(context);
  assert_ptr_not_equal(traced_rig_take(rig, 64 * KIB), ptr);
  assert_ok(a.release_pool(a.cache, GRAPH));
  assert_result(a.release_pool(a.cache, GRAPH), HOSTCACHE_ERR_NOT_FOUND);
}

static void hear_nothing(void *user, const hostcache_trace *entry) {
  (void)user;
  (void)entry;
}

static void observe_nothing(void *user, const hostcache_oom *oom) {
  (void)user;
  (void)oom;
}

static void a_child_after_fork_gets_forked_from_what_pools_and_histories_have(void **state) {
  traced_rig *rig = *state;
  traced_checkpoint *checkpoint, *none = NULL;
  hostcache_allocator a;
  hostcache_host_stats stats;
  int status, counts[8];
  pid_t child;
  assert_ok(traced_begin_allocate_to_pool(rig->cache, GRAPH, NULL, NULL));
  (void)traced_rig_take(rig, 64 * KIB);
  assert_ok(traced_checkpoint_pool(rig->cache, GRAPH, &checkpoint));
  assert_ok(traced_as_allocator(rig->cache, &a));
  child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    const hostcache_result results[] = {
        traced_begin_allocate_to_pool(rig->cache, OTHER, NULL, NULL),
        traced_retain_pool(rig->cache, GRAPH),
        traced_end_allocate_to_pool(rig->cache, GRAPH),
        traced_release_pool(rig->cache, GRAPH),
        traced_empty_cache_pool(rig->cache, GRAPH),
        traced_checkpoint_pool(rig->cache, GRAPH, &none),
        traced_restore_pool(rig->cache, checkpoint, NULL, NULL),
        traced_record_history(rig->cache, 1, NULL, NULL),
        traced_history(rig->cache, count_pool, counts),
        traced_attach_trace_tracker(rig->cache, hear_nothing, NULL),
        traced_attach_oom_observer(rig->cache, observe_nothing, NULL),
        traced_snapshot(rig->cache, count_ranges, counts),
        a.get_stats(a.cache, &stats)};
    size_t i, wrong = 0;
    for (i = 0; i < COUNT_OF(results); i++) wrong += results[i] != HOSTCACHE_ERR_FORKED;
    wrong += traced_pool_use_count(rig->cache, GRAPH) != 0;
    wrong += traced_pool_reserved_bytes(rig->cache, GRAPH) != 0;
    _exit(wrong > 0);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  traced_checkpoint_free(checkpoint);
  assert_ok(traced_end_allocate_to_pool(rig->cache, GRAPH));
  assert_ok(traced_release_pool(rig->cache, GRAPH));
}

/* ---- without the hooks on streams ------------------------------------------------------------ */

#define CACHE hookless
#include "sim/rig.h"
#undef CACHE

#define CACHE_WITHOUT_STREAMS
#define CACHE streamless
#include "sim/rig.h"
#undef CACHE

static int asks_nobody(void *user, const void *stream) {
  *(int *)user += stream == NULL;
  return 1;
}

static void a_filter_needs_a_stream_to_ask_for(void **state) {
  hookless_rig *rig = *state;
  int asked = 0;
  assert_result(hookless_begin_allocate_to_pool(rig->cache, GRAPH, asks_nobody, &asked),
                HOSTCACHE_ERR_UNSUPPORTED);
  assert_int_equal(hookless_pool_use_count(rig->cache, GRAPH), 0);
}

static void events_go_on_where_nothing_is_captured(void **state) {
  hookless_rig *rig = *state;
  void *ptr;
  assert_ok(hookless_begin_allocate_to_pool(rig->cache, GRAPH, NULL, NULL));
  ptr = hookless_rig_pend(rig, 64 * KIB, 3);
  sim_complete_all(&rig->device);
  assert_ok(hookless_synchronize(rig->cache, 0));
  assert_ptr_equal(hookless_rig_take(rig, 64 * KIB), ptr);
  assert_ok(hookless_forget_stream(rig->cache, 3));
  assert_ok(hookless_end_allocate_to_pool(rig->cache, GRAPH));
  assert_ok(hookless_release_pool(rig->cache, GRAPH));
}

static void a_cache_without_streams_has_pools(void **state) {
  streamless_rig *rig = *state;
  int asked = 0;
  void *ptr;
  assert_ok(streamless_begin_allocate_to_pool(rig->cache, GRAPH, asks_nobody, &asked));
  ptr = streamless_rig_take(rig, 64 * KIB);
  assert_int_equal(asked, 1);
  streamless_rig_give(rig, ptr);
  assert_ok(streamless_end_allocate_to_pool(rig->cache, GRAPH));
  assert_ptr_not_equal(streamless_rig_take(rig, 64 * KIB), ptr);
  assert_ok(streamless_release_pool(rig->cache, GRAPH));
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { THREADS = 3, STEPS = 400 };

static atomic_int at_work;

/* Blocks of all sizes, used on streams, while pools come and go. */
static void *allocate_and_free(void *argument) {
  pooled_rig *rig = argument;
  uint64_t random = (uint64_t)atomic_fetch_add(&at_work, 1) + 1;
  void *ptr[8] = {NULL};
  int step;
  sim_current = (sim_stream)random;
  for (step = 0; step < STEPS || atomic_load(&at_work) < 0; step++) {
    const size_t i = random_below(&random, COUNT_OF(ptr));
    if (ptr[i] != NULL) {
      if (random_below(&random, 2) == 0) {
        expect_or_abort(pooled_record_stream(rig->cache, ptr[i], 5) == HOSTCACHE_OK);
        (void)sim_use(&rig->device, 5, ptr[i]);
      }
      sim_handed_back(&rig->device, ptr[i]);
      expect_or_abort(pooled_free(rig->cache, ptr[i]) == HOSTCACHE_OK);
      ptr[i] = NULL;
    } else {
      const size_t size = 1 + random_below(&random, random_below(&random, 4) ? 64 * KIB : 3 * MIB);
      expect_or_abort(pooled_alloc(rig->cache, size, &ptr[i]) == HOSTCACHE_OK);
      sim_handed_out(&rig->device, ptr[i], size);
    }
    if (step % 7 == 0) sim_complete_all(&rig->device);
  }
  for (step = 0; step < (int)COUNT_OF(ptr); step++) {
    if (ptr[step] == NULL) continue;
    sim_handed_back(&rig->device, ptr[step]);
    expect_or_abort(pooled_free(rig->cache, ptr[step]) == HOSTCACHE_OK);
  }
  return NULL;
}

static void pools_come_and_go_while_threads_are_at_work(void **state) {
  pooled_rig *rig = *state;
  pthread_t threads[THREADS];
  int round;
  size_t i;
  atomic_store(&at_work, 0);
  for (i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, allocate_and_free, rig), 0);
  for (round = 0; round < 40; round++) {
    assert_ok(pooled_begin_allocate_to_pool(rig->cache, GRAPH, is_stream, &on_1));
    assert_ok(pooled_begin_allocate_to_pool(rig->cache, OTHER, is_stream, &on_2));
    sim_capture(&rig->device, round % 2 == 0); /* then no hook may be called, by no thread */
    assert_ok(pooled_check(rig->cache));
    sim_capture(&rig->device, false);
    assert_ok(pooled_end_allocate_to_pool(rig->cache, OTHER));
    assert_ok(pooled_end_allocate_to_pool(rig->cache, GRAPH));
    assert_ok(pooled_release_pool(rig->cache, GRAPH));
    assert_ok(pooled_release_pool(rig->cache, OTHER));
  }
  for (i = 0; i < THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_ok(pooled_check(rig->cache));
}

#define IN_EACH_MODE(test) ON(pooled, test), ON(owned, test), ON(timeline, test)
#define TRACED(test) cmocka_unit_test_setup_teardown(test, traced_rig_setup, traced_rig_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_EACH_MODE(a_pool_shares_nothing_with_what_is_outside_of_it),
      IN_EACH_MODE(pools_share_nothing_with_each_other),
      IN_EACH_MODE(a_pool_keeps_its_memory_until_it_is_released),
      IN_EACH_MODE(a_pool_lives_until_its_last_release),
      IN_EACH_MODE(a_name_can_be_used_again),
      IN_EACH_MODE(pools_that_come_and_go_need_no_more_and_more_memory),
      IN_EACH_MODE(a_filter_says_whose_allocations_belong_to_a_pool),
      IN_EACH_MODE(a_filter_is_asked_as_a_hook_is),
      IN_EACH_MODE(of_several_open_pools_the_one_opened_first_counts),
      IN_EACH_MODE(hits_call_no_hook_once_no_pool_is_open),
      IN_EACH_MODE(what_is_in_use_outlives_its_pool),
      IN_EACH_MODE(a_block_of_a_pool_waits_for_its_uses_and_serves_its_pool_again),
      IN_EACH_MODE(a_pool_can_be_told_to_give_its_idle_memory_back),
      IN_EACH_MODE(the_cap_holds_over_all_pools),
      IN_EACH_MODE(what_a_pool_keeps_is_not_bound_as_idle_memory_is),
      IN_EACH_MODE(what_cannot_be_told_of_the_stream_is_an_error),
      IN_EACH_MODE(wrong_calls_about_pools_are_told),
      IN_EACH_MODE(what_a_release_cannot_give_back_or_record_is_told),
      IN_EACH_MODE(of_a_pool_only_whole_segments_go_back_and_what_fails_there_is_told),
      IN_EACH_MODE(the_pool_opened_first_counts_also_where_it_is_the_younger_one),
      IN_EACH_MODE(a_pool_without_memory_for_its_record_is_not_made),
      IN_EACH_MODE(a_cache_may_end_with_its_pools),
      IN_EACH_MODE(what_is_got_for_a_capture_and_not_used_is_ready_at_once),
      IN_EACH_MODE(what_is_used_in_a_capture_stays_until_its_pool_is_released),
      IN_EACH_MODE(a_pool_that_was_released_does_not_hold_what_is_freed_later),
      IN_EACH_MODE(what_was_used_beside_the_capture_is_waited_for_at_the_release),
      IN_EACH_MODE(what_is_released_during_another_capture_waits_for_its_end),
      IN_EACH_MODE(a_stream_may_be_forgotten_that_was_captured),
      IN_EACH_MODE(a_stream_may_be_forgotten_beside_the_captures_of_others),
      IN_EACH_MODE(a_stream_is_not_forgotten_when_a_capture_begins_while_it_is_waited_for),
      IN_EACH_MODE(one_release_of_the_quarantine_is_enough),
      IN_EACH_MODE(what_is_freed_while_its_stream_is_forgotten_is_not_recorded_there_later),
      IN_EACH_MODE(synchronize_is_busy_also_where_the_capture_ends_meanwhile),
      IN_EACH_MODE(synchronize_is_busy_once_a_capture_begins),
      IN_EACH_MODE(synchronize_is_busy_once_a_capture_begins_while_another_thread_records),
      IN_EACH_MODE(an_allocation_does_not_wait_for_the_end_of_a_capture),
      IN_EACH_MODE(what_is_got_while_its_pool_ends_is_of_no_pool),
      IN_EACH_MODE(what_is_captured_outside_of_all_pools_is_quarantined),
      IN_EACH_MODE(
          what_is_captured_outside_of_all_pools_is_quarantined_also_after_a_release_of_others),
      IN_EACH_MODE(no_event_is_recorded_or_asked_during_a_capture),
      IN_EACH_MODE(what_is_freed_during_a_capture_covers_the_work_up_to_its_end),
      IN_EACH_MODE(the_end_waits_until_the_filter_is_not_asked),
      IN_EACH_MODE(a_capture_that_stays_relaxed_is_told),
      IN_EACH_MODE(memory_is_not_got_where_a_capture_cannot_be_relaxed),
      IN_EACH_MODE(a_restore_ends_what_came_and_brings_back_what_was),
      IN_EACH_MODE(a_checkpoint_can_be_put_back_again_and_again),
      IN_EACH_MODE(restores_leave_the_peaks_as_they_are),
      IN_EACH_MODE(what_was_got_for_a_capture_is_so_after_a_restore),
      IN_EACH_MODE(what_was_got_for_a_capture_is_so_no_more_when_a_restore_has_ended_it),
      IN_EACH_MODE(a_pool_in_use_is_neither_written_down_nor_put_back),
      IN_EACH_MODE(a_checkpoint_whose_memory_has_gone_is_not_put_back),
      IN_EACH_MODE(a_checkpoint_is_of_one_pool_and_of_its_very_segments),
      IN_EACH_MODE(a_checkpoint_is_of_one_cache),
      IN_EACH_MODE(a_block_with_a_use_of_its_own_is_not_ended_by_a_restore),
      IN_EACH_MODE(a_restore_finds_segments_that_came_between_those_that_were),
      IN_EACH_MODE(a_restore_of_a_pool_that_grows_meanwhile_gets_more_memory),
      IN_EACH_MODE(a_restore_that_is_tried_again_needs_no_more_records_for_that),
      IN_EACH_MODE(a_restore_without_memory_changes_nothing),
      IN_EACH_MODE(whatever_happened_since_a_restore_is_exact),
      ON(pooled, an_event_handed_over_for_a_captured_block_is_ended_with_the_pool),
      ON(owned, an_event_handed_over_for_a_captured_block_is_ended_with_the_pool),
      TRACED(a_history_names_the_pool),
      TRACED(a_restore_tells_trackers_of_what_it_begins_alone),
      TRACED(a_restore_that_nobody_hears_of_is_no_entry),
      TRACED(a_snapshot_names_the_pool),
      TRACED(a_child_after_fork_gets_forked_from_what_pools_and_histories_have),
      TRACED(hits_stay_the_long_way_while_either_needs_it),
      TRACED(pools_work_without_the_type),
      cmocka_unit_test_setup_teardown(a_filter_needs_a_stream_to_ask_for, hookless_rig_setup,
                                      hookless_rig_teardown),
      cmocka_unit_test_setup_teardown(events_go_on_where_nothing_is_captured, hookless_rig_setup,
                                      hookless_rig_teardown),
      cmocka_unit_test_setup_teardown(a_cache_without_streams_has_pools, streamless_rig_setup,
                                      streamless_rig_teardown),
      cmocka_unit_test_setup_teardown(pools_come_and_go_while_threads_are_at_work, pooled_rig_setup,
                                      pooled_rig_teardown),
  };
  return cmocka_run_group_tests_name("pools", tests, NULL, NULL);
}
