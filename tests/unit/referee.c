/* referee.c - tests the simulated device (tests/sim/sim.h), on which the other tests rely: it sees
   every rule that is broken, and sees none where none is. The lines "sim: ..." that it prints are
   what is expected of it. */

#include "sim/sim.h"

#define HC_NAME pinned /* for the results that the helpers know */
#define HC_STREAM_T sim_stream
#include "hostcache.h"

#include "helpers.h"

static int open_device(void **state) {
  sim_device *d = malloc(sizeof *d);
  if (d == NULL) return -1;
  sim_open(d);
  *state = d;
  return 0;
}

static int close_device(void **state) {
  sim_device *d = *state;
  (void)sim_close(d, d->live_bytes, sim_live_events(d));
  free(d);
  return 0;
}

/* The statement breaks exactly one rule. */
#define assert_seen(d, statement)                         \
  do {                                                    \
    uint64_t seen_before = sim_violations(d);             \
    statement;                                            \
    assert_int_equal(sim_violations(d), seen_before + 1); \
  } while (0)

#define assert_unseen(d) assert_int_equal(sim_violations(d), 0)

static void *get(sim_device *d, size_t size) {
  void *ptr = NULL;
  assert_int_equal(sim_mem_alloc(d, size, 512, &ptr), SIM_DONE);
  return ptr;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void memory_is_used_as_agreed(void **state) {
  sim_device *d = *state;
  void *ptr = get(d, 8192);
  sim_handed_out(d, ptr, 8192);
  (void)sim_use(d, 3, (char *)ptr + 8191);
  sim_handed_back(d, ptr);
  sim_complete(d, 3, 1);
  sim_handed_out(d, ptr, 100);
  sim_handed_out(d, (char *)ptr + 100, 100);
  sim_handed_back(d, ptr);
  sim_handed_back(d, (char *)ptr + 100);
  assert_int_equal(sim_mem_free(d, ptr, 8192), SIM_DONE);
  assert_int_equal(sim_live_bytes(d), 0);
  assert_unseen(d);
}

static void sizes_that_no_runtime_should_be_asked_for_are_seen(void **state) {
  sim_device *d = *state;
  void *ptr;
  assert_seen(d, sim_mem_alloc(d, 0, 512, &ptr));
  assert_seen(d, sim_mem_alloc(d, 4095, 1, &ptr));
  assert_seen(d, sim_mem_alloc(d, 4096, 8192, &ptr));
  assert_seen(d, sim_mem_alloc(d, 4096, 0, &ptr));
  assert_seen(d, sim_mem_alloc(d, 12288, 3, &ptr));
}

static void memory_must_not_be_handed_out_twice(void **state) {
  sim_device *d = *state;
  char *ptr = get(d, 8192);
  sim_handed_out(d, ptr, 4096);
  assert_seen(d, sim_handed_out(d, ptr + 4095, 1));
}

static void memory_in_the_callers_hands_must_not_be_given_back(void **state) {
  sim_device *d = *state;
  void *ptr = get(d, 8192);
  sim_handed_out(d, ptr, 8192);
  assert_seen(d, sim_mem_free(d, ptr, 8192));
}

static void memory_under_work_must_not_be_given_back(void **state) {
  sim_device *d = *state;
  void *ptr = get(d, 8192);
  sim_handed_out(d, ptr, 8192);
  (void)sim_use(d, 3, ptr);
  sim_handed_back(d, ptr);
  assert_seen(d, sim_mem_free(d, ptr, 8192));
}

static void memory_under_work_must_not_be_handed_out(void **state) {
  sim_device *d = *state;
  char *ptr = get(d, 8192);
  sim_handed_out(d, ptr, 8192);
  (void)sim_use(d, 3, ptr);
  sim_handed_back(d, ptr);
  sim_stream_destroy(d, 3); /* the work goes on */
  assert_seen(d, sim_handed_out(d, ptr + 4096, 100));
}

static void memory_must_come_from_the_runtime_and_fit(void **state) {
  sim_device *d = *state;
  char *ptr = get(d, 8192);
  assert_seen(d, sim_handed_out(d, &ptr, 8));
  assert_seen(d, sim_handed_out(d, ptr + 4096, 4097));
}

static void only_what_was_obtained_is_given_back_and_once(void **state) {
  sim_device *d = *state;
  char *ptr = get(d, 8192);
  assert_seen(d, sim_mem_free(d, &ptr, 8192));
  assert_seen(d, sim_mem_free(d, ptr, 4096));
  assert_seen(d, sim_mem_free(d, ptr + 4096, 4096));
  assert_int_equal(sim_mem_free(d, ptr, 8192), SIM_DONE);
  assert_seen(d, sim_mem_free(d, ptr, 8192));
}

static void what_could_not_be_given_back_is_not_tried_again(void **state) {
  sim_device *d = *state;
  void *ptr = get(d, 8192);
  sim_fail(d, 1, false, SIM_ONLY(SIM_MEM_FREE));
  assert_int_equal(sim_mem_free(d, ptr, 8192), SIM_FAILURE);
  assert_seen(d, sim_mem_free(d, ptr, 8192));
}

static void an_address_can_come_back_at_once(void **state) {
  sim_device *d = *state;
  void *ptr = get(d, 8192);
  d->reuses_addresses = true;
  assert_int_equal(sim_mem_free(d, ptr, 8192), SIM_DONE);
  assert_ptr_not_equal(get(d, 4096), ptr);
  assert_ptr_equal(get(d, 8192), ptr);
  assert_unseen(d);
}

static void memory_is_aligned_to_what_is_asked_and_never_to_more(void **state) {
  static const size_t alignments[] = {512, 4096, 65536};
  sim_device *d = *state;
  size_t i;
  for (i = 0; i < COUNT_OF(alignments); i++) {
    void *ptr;
    assert_int_equal(sim_mem_alloc(d, 65536, alignments[i], &ptr), SIM_DONE);
    assert_int_equal((uintptr_t)ptr % (2 * alignments[i]), alignments[i]);
  }
}

static void memory_runs_out_at_the_limit(void **state) {
  sim_device *d = *state;
  void *ptr;
  d->memory_limit = 8192;
  (void)get(d, 4096);
  assert_int_equal(sim_mem_alloc(d, 8192, 512, &ptr), SIM_NO_MEMORY);
  (void)get(d, 4096);
  assert_int_equal(sim_mem_alloc(d, 4096, 512, &ptr), SIM_NO_MEMORY);
  assert_unseen(d);
}

static void what_is_left_at_the_end_is_seen(void **state) {
  sim_device *d = malloc(sizeof *d);
  (void)state;
  assert_non_null(d);
  sim_open(d);
  (void)get(d, 4096);
  (void)sim_own_event(d, 1);
  assert_int_equal(sim_close(d, 0, 0), 2);
  free(d);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void an_event_tells_when_the_work_before_it_is_done(void **state) {
  sim_device *d = *state;
  sim_event event = {0, 0};
  (void)sim_submit(d, 2);
  assert_int_equal(sim_event_create(d, 2, &event), SIM_DONE);
  assert_int_equal(sim_event_record(d, &event, 2), SIM_DONE);
  (void)sim_submit(d, 2);
  assert_int_equal(sim_event_query(d, &event), SIM_PENDING);
  sim_complete(d, 2, 1);
  assert_int_equal(sim_event_query(d, &event), SIM_DONE);
  assert_int_equal(sim_event_record(d, &event, 2), SIM_DONE);
  assert_int_equal(sim_event_query(d, &event), SIM_PENDING);
  sim_complete(d, 2, -1);
  assert_int_equal(sim_event_destroy(d, &event), SIM_DONE);
  assert_unseen(d);
}

static void an_event_is_not_used_before_or_after_its_time(void **state) {
  sim_device *d = *state;
  sim_event none = {0, 0}, event = {0, 0};
  assert_seen(d, sim_event_query(d, &none));
  assert_int_equal(sim_event_create(d, 2, &event), SIM_DONE);
  assert_seen(d, sim_event_query(d, &event)); /* never recorded */
  assert_int_equal(sim_event_destroy(d, &event), SIM_DONE);
  assert_seen(d, sim_event_destroy(d, &event));
  assert_seen(d, sim_event_record(d, &event, 2));
}

static void an_event_that_is_pending_is_not_reused_or_destroyed(void **state) {
  sim_device *d = *state;
  sim_event event = {0, 0};
  assert_int_equal(sim_event_create(d, 2, &event), SIM_DONE);
  (void)sim_submit(d, 2);
  assert_int_equal(sim_event_record(d, &event, 2), SIM_DONE);
  assert_seen(d, sim_event_record(d, &event, 2));
  assert_seen(d, sim_event_destroy(d, &event));
}

static void an_event_is_recorded_on_its_own_stream_alone(void **state) {
  sim_device *d = *state;
  sim_event event = {0, 0};
  assert_int_equal(sim_event_create(d, 2, &event), SIM_DONE);
  assert_seen(d, sim_event_record(d, &event, 3));
  sim_stream_destroy(d, 2);
  sim_stream_create(d, 2);
  assert_seen(d, sim_event_record(d, &event, 2)); /* the same handle, another stream */
}

static void ask_the_same_event(void *user, sim_hook hook) {
  sim_device *d = ((void **)user)[0];
  (void)hook;
  (void)sim_event_query(d, ((void **)user)[1]);
}

static void an_event_is_in_the_hands_of_one_call_at_a_time(void **state) {
  sim_device *d = *state;
  sim_event event = {0, 0};
  void *both[2];
  both[0] = d;
  both[1] = &event;
  assert_int_equal(sim_event_make(d, &event, 2), SIM_DONE);
  d->on_hook = ask_the_same_event; /* as another thread would, inside of the query */
  d->on_hook_user = both;
  assert_seen(d, sim_event_query(d, &event));
  d->on_hook = NULL;
}

static void nothing_is_asked_while_a_stream_is_captured(void **state) {
  sim_device *d = *state;
  sim_point point = sim_own_point(d, 1);
  uint64_t value;
  d->capturing = true;
  assert_seen(d, sim_point_query(d, &point));
  assert_seen(d, sim_timeline_query(d, 1, &value));
}

/* ---- streams --------------------------------------------------------------------------------- */

static void a_stream_that_is_gone_must_not_be_seen(void **state) {
  sim_device *d = *state;
  sim_point point;
  uint64_t value;
  sim_stream_destroy(d, 4);
  assert_seen(d, sim_point_record(d, &point, 4));
  assert_seen(d, sim_timeline_record(d, 4, &value));
  assert_seen(d, sim_timeline_query(d, 4, &value));
  assert_seen(d, sim_stream_wait(d, 4));
  assert_seen(d, sim_stream_destroy(d, 4));
}

static void a_new_stream_begins_at_0_and_the_old_work_goes_on(void **state) {
  sim_device *d = *state;
  sim_point point;
  uint64_t value = 99;
  (void)sim_submit(d, 4);
  point = sim_own_point(d, 4);
  sim_stream_destroy(d, 4);
  sim_stream_create(d, 4);
  assert_int_equal(sim_timeline_record(d, 4, &value), SIM_DONE);
  assert_int_equal(value, 0);
  sim_complete(d, 4, -1);
  assert_int_equal(sim_point_query(d, &point), SIM_PENDING);
  sim_complete_all(d);
  assert_int_equal(sim_point_query(d, &point), SIM_DONE);
  assert_unseen(d);
}

static void destroy_stream_6(void *user, sim_hook hook) {
  (void)hook;
  sim_stream_destroy(user, 6);
}

static void a_stream_is_not_destroyed_while_a_hook_runs_on_it(void **state) {
  sim_device *d = *state;
  sim_point point;
  d->on_hook = destroy_stream_6;
  d->on_hook_user = d;
  assert_seen(d, sim_point_record(d, &point, 6));
  d->on_hook = NULL;
}

static void a_wait_that_would_never_end_is_seen(void **state) {
  sim_device *d = *state;
  (void)sim_submit(d, 1);
  assert_seen(d, sim_stream_wait(d, 1));
  d->waits_complete = true;
  assert_int_equal(sim_stream_wait(d, 1), SIM_DONE);
  assert_seen(d, sim_timeline_wait(d, 1, 2)); /* nobody submitted that */
  sim_stick(d, 1, true);
  (void)sim_submit(d, 1);
  assert_seen(d, sim_stream_wait(d, 1));
}

static void a_device_can_move_when_it_is_asked(void **state) {
  sim_device *d = *state;
  sim_point point;
  int asked = 0;
  (void)sim_submit(d, 1);
  (void)sim_submit(d, 1);
  point = sim_own_point(d, 1);
  d->progress_per_queries = 3;
  while (sim_point_query(d, &point) == SIM_PENDING) asked++;
  assert_int_equal(asked, 6);
}

/* ---- faults ---------------------------------------------------------------------------------- */

static void faults_come_when_they_are_ordered(void **state) {
  sim_device *d = *state;
  sim_point point = {0, 0};
  void *ptr;
  sim_fail(d, 2, false, SIM_EVERY_HOOK);
  assert_int_equal(sim_point_query(d, &point), SIM_DONE);
  assert_int_equal(sim_point_query(d, &point), SIM_FAILURE);
  assert_int_equal(sim_point_query(d, &point), SIM_DONE);
  sim_fail(d, 2, true, SIM_ONLY(SIM_MEM_ALLOC));
  (void)get(d, 4096);
  assert_int_equal(sim_point_query(d, &point), SIM_DONE);
  assert_int_equal(sim_mem_alloc(d, 4096, 512, &ptr), SIM_FAILURE);
  assert_int_equal(sim_mem_alloc(d, 4096, 512, &ptr), SIM_FAILURE);
  assert_int_equal(d->fault.fired, 2);
  sim_fail_with(d, 1, false, SIM_EVERY_RECORD, SIM_PENDING);
  assert_int_equal(sim_point_record(d, &point, 1), SIM_PENDING);
  assert_int_equal(sim_point_record(d, &point, 1), SIM_DONE);
  sim_fail_every(d, 2, SIM_EVERY_QUERY);
  assert_int_equal(sim_point_query(d, &point), SIM_DONE);
  assert_int_equal(sim_point_query(d, &point), SIM_FAILURE);
  assert_int_equal(sim_point_query(d, &point), SIM_DONE);
  assert_int_equal(sim_point_query(d, &point), SIM_FAILURE);
  assert_unseen(d);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_device, close_device)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(memory_is_used_as_agreed),
      TEST(sizes_that_no_runtime_should_be_asked_for_are_seen),
      TEST(memory_must_not_be_handed_out_twice),
      TEST(memory_in_the_callers_hands_must_not_be_given_back),
      TEST(memory_under_work_must_not_be_given_back),
      TEST(memory_under_work_must_not_be_handed_out),
      TEST(memory_must_come_from_the_runtime_and_fit),
      TEST(only_what_was_obtained_is_given_back_and_once),
      TEST(what_could_not_be_given_back_is_not_tried_again),
      TEST(an_address_can_come_back_at_once),
      TEST(memory_is_aligned_to_what_is_asked_and_never_to_more),
      TEST(memory_runs_out_at_the_limit),
      TEST(what_is_left_at_the_end_is_seen),
      TEST(an_event_tells_when_the_work_before_it_is_done),
      TEST(an_event_is_not_used_before_or_after_its_time),
      TEST(an_event_that_is_pending_is_not_reused_or_destroyed),
      TEST(an_event_is_recorded_on_its_own_stream_alone),
      TEST(an_event_is_in_the_hands_of_one_call_at_a_time),
      TEST(nothing_is_asked_while_a_stream_is_captured),
      TEST(a_stream_that_is_gone_must_not_be_seen),
      TEST(a_new_stream_begins_at_0_and_the_old_work_goes_on),
      TEST(a_stream_is_not_destroyed_while_a_hook_runs_on_it),
      TEST(a_wait_that_would_never_end_is_seen),
      TEST(a_device_can_move_when_it_is_asked),
      TEST(faults_come_when_they_are_ordered),
  };
  return cmocka_run_group_tests_name("referee", tests, NULL, NULL);
}
