/* common.c - tests section 1 of the header: version, results and their strings, makers of a status,
   config, figures.

   Promises: HOSTCACHE_OK is 0, errors are negative and distinct, each with a string of its own; a
   status is what its maker says; HOSTCACHE_CONFIG_INIT stamps the version; the figures have the
   fields of the contract (section 5). */

#include "sim/hooks_memory.h"

#define HC_NAME pinned
#define HC_STREAM_T sim_stream
#define HC_EVENT_T sim_event
#define HC_DECLARE
#include "hostcache.h"

#include "helpers.h"

static const hostcache_result every_result[] = {
    HOSTCACHE_OK,
    HOSTCACHE_ERR_ARGUMENT,
    HOSTCACHE_ERR_TOO_BIG,
    HOSTCACHE_ERR_OUT_OF_MEMORY,
    HOSTCACHE_ERR_LIMIT,
    HOSTCACHE_ERR_NO_METADATA,
    HOSTCACHE_ERR_NOT_FOUND,
    HOSTCACHE_ERR_DOUBLE_FREE,
    HOSTCACHE_ERR_EVENT,
    HOSTCACHE_ERR_BUSY,
    HOSTCACHE_ERR_LEAKED,
    HOSTCACHE_ERR_TIMEOUT,
    HOSTCACHE_ERR_FORKED,
    HOSTCACHE_ERR_UNSUPPORTED,
    HOSTCACHE_ERR_CORRUPT,
};

static void ok_is_0_and_errors_are_negative_and_distinct(void **state) {
  size_t i, j;
  (void)state;
  assert_int_equal(HOSTCACHE_OK, 0);
  for (i = 1; i < COUNT_OF(every_result); i++) {
    assert_true((int)every_result[i] < 0);
    for (j = 0; j < i; j++) assert_int_not_equal(every_result[i], every_result[j]);
  }
}

static void every_result_has_a_string_of_its_own_that_names_it(void **state) {
  size_t i, j;
  (void)state;
  for (i = 0; i < COUNT_OF(every_result); i++) {
    const char *string = hostcache_result_string(every_result[i]);
    assert_non_null(strstr(string, "HOSTCACHE_"));
    for (j = 0; j < i; j++)
      assert_string_not_equal(string, hostcache_result_string(every_result[j]));
  }
  assert_non_null(
      strstr(hostcache_result_string(HOSTCACHE_ERR_DOUBLE_FREE), "HOSTCACHE_ERR_DOUBLE_FREE"));
}

static void what_is_no_result_has_a_string_too(void **state) {
  (void)state;
  assert_non_null(hostcache_result_string((hostcache_result)1));
  assert_non_null(hostcache_result_string((hostcache_result)-1000));
  assert_string_equal(hostcache_result_string(HOSTCACHE_RESULT_RANGE), "not a hostcache_result");
  assert_string_equal(hostcache_binding_string(HOSTCACHE_BUDGET_RANGE), "not a hostcache_binding");
  assert_string_equal(hostcache_action_string(HOSTCACHE_ACTION_RANGE), "not a hostcache_action");
  assert_null(strstr(hostcache_result_string((hostcache_result)-1000), "HOSTCACHE_ERR"));
}

/* Two makers say the same, or not: a test cannot know more of a status. */
static bool same(hostcache_status a, hostcache_status b) {
  return a.outcome == b.outcome && a.code == b.code;
}

static void the_makers_of_a_status_are_told_apart(void **state) {
  const int64_t code = INT64_C(-0x123456789abc);
  (void)state;
  assert_false(same(hostcache_done(), hostcache_pending()));
  assert_false(same(hostcache_done(), hostcache_failed(0)));
  assert_false(same(hostcache_done(), hostcache_out_of_memory(0)));
  assert_false(same(hostcache_pending(), hostcache_failed(0)));
  assert_false(same(hostcache_out_of_memory(code), hostcache_failed(code)));
  assert_true(hostcache_failed(code).code == code);
  assert_true(hostcache_out_of_memory(code).code == code);
}

static void codes_of_a_runtime_are_mapped_as_they_are_declared(void **state) {
  (void)state;
  /* 1 is done for one runtime and not ready for another: nothing is guessed. */
  assert_true(same(hostcache_map(1, 1, 600), hostcache_done()));
  assert_true(same(hostcache_map(1, 0, 1), hostcache_pending()));
  assert_true(same(hostcache_map(1, 0, 600), hostcache_failed(1)));
  assert_true(same(hostcache_map(0, 1, 2), hostcache_failed(0)));
  assert_true(same(hostcache_map(-3, -3, -3), hostcache_done()));
  assert_true(same(hostcache_map(INT64_MIN, 0, 1), hostcache_failed(INT64_MIN)));
}

static void codes_of_a_call_that_gets_memory_know_two_that_mean_none_left(void **state) {
  (void)state;
  assert_true(same(hostcache_map_memory(0, 0, 2, 3), hostcache_done()));
  assert_true(same(hostcache_map_memory(2, 0, 2, 3), hostcache_out_of_memory(2)));
  assert_true(same(hostcache_map_memory(3, 0, 2, 3), hostcache_out_of_memory(3)));
  assert_true(same(hostcache_map_memory(4, 0, 2, 3), hostcache_failed(4)));
}

static void the_config_is_stamped_and_otherwise_zero(void **state) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT, zero;
  (void)state;
  assert_int_equal(config.version, HOSTCACHE_VERSION);
  memset(&zero, 0, sizeof zero);
  assert_int_equal(config.query_error_limit, 0);
  assert_int_equal(config.alignment, 0);
  assert_int_equal(config.segment_bytes, 0);
  assert_int_equal(config.max_segment_bytes, 0);
  assert_int_equal(config.max_reserved_bytes, 0);
  assert_int_equal(config.max_cached_bytes, 0);
  assert_int_equal(config.max_split_size, 0);
  assert_int_equal(config.thread_cache_bytes, 0);
  assert_int_equal(config.wait_on_limit_ns, 0);
  assert_int_equal(config.streams_die_idle, 0);
  assert_true(config.on_error == NULL);
  assert_null(config.on_error_user);
}

static void the_version_is_one_comparable_integer(void **state) {
  (void)state;
#if HOSTCACHE_VERSION < 100 || HOSTCACHE_VERSION >= 1000000
#error "major * 10000 + minor * 100 + patch"
#endif
  assert_true(HOSTCACHE_NONE == SIZE_MAX);
}

/* Does not compile if a field is missing or of another type. */
static void the_figures_have_the_fields_of_the_contract(void **state) {
  hostcache_stats s;
  hostcache_stat *stats[] = {
      &s.allocation,           &s.segment,        &s.active,        &s.inactive_split,
      &s.allocated_bytes,      &s.reserved_bytes, &s.active_bytes,  &s.requested_bytes,
      &s.inactive_split_bytes, &s.pending,        &s.pending_bytes, &s.quarantined,
      &s.quarantined_bytes,    &s.leaked,         &s.leaked_bytes,  &s.oversize_allocations,
      &s.oversize_segments};
  hostcache_duration *durations[] = {&s.mem_alloc_time, &s.mem_free_time};
  int64_t *counts[] = {&s.num_alloc_retries, &s.num_ooms,     &s.num_sync_all_streams,
                       &s.num_mem_alloc,     &s.num_mem_free, &s.num_event_query,
                       &s.num_event_record,  &s.num_hits,     &s.num_misses,
                       &s.max_split_size};
  int64_t *parts[] = {&stats[0]->current, &stats[0]->peak,      &stats[0]->allocated,
                      &stats[0]->freed,   &durations[0]->total, &durations[0]->max,
                      &durations[0]->min, &durations[0]->count};
  (void)state;
  assert_true(sizeof s >= COUNT_OF(stats) * sizeof *stats[0] +
                              COUNT_OF(durations) * sizeof *durations[0] +
                              COUNT_OF(counts) * sizeof *counts[0]);
  assert_int_equal(COUNT_OF(parts), 8);
}

static void the_kinds_of_a_visit_are_distinct(void **state) {
  const int kinds[] = {HOSTCACHE_VISIT_SEGMENT,     HOSTCACHE_VISIT_ACTIVE,
                       HOSTCACHE_VISIT_PENDING,     HOSTCACHE_VISIT_CACHED,
                       HOSTCACHE_VISIT_QUARANTINED, HOSTCACHE_VISIT_LEAKED};
  size_t i, j;
  (void)state;
  for (i = 0; i < COUNT_OF(kinds); i++)
    for (j = 0; j < i; j++) assert_int_not_equal(kinds[i], kinds[j]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(ok_is_0_and_errors_are_negative_and_distinct),
      cmocka_unit_test(every_result_has_a_string_of_its_own_that_names_it),
      cmocka_unit_test(what_is_no_result_has_a_string_too),
      cmocka_unit_test(the_makers_of_a_status_are_told_apart),
      cmocka_unit_test(codes_of_a_runtime_are_mapped_as_they_are_declared),
      cmocka_unit_test(codes_of_a_call_that_gets_memory_know_two_that_mean_none_left),
      cmocka_unit_test(the_config_is_stamped_and_otherwise_zero),
      cmocka_unit_test(the_version_is_one_comparable_integer),
      cmocka_unit_test(the_figures_have_the_fields_of_the_contract),
      cmocka_unit_test(the_kinds_of_a_visit_are_distinct),
  };
  return cmocka_run_group_tests_name("common", tests, NULL, NULL);
}
