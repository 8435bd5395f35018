/* public.c - tests section 12 of the header: the functions, where they are called wrongly, and at
   their ends.

   Promises: every row of the table of results (section 5 of the contract); an error changes no
   block and no figure that the caller can see; out pointers are NULL after an error; the config is
   checked and copied, and a thread keeps to itself what it says; synchronize waits for what is
   pending at the call; destroy, abandon, and a program that exits with everything alive (section
   9). Section 8's table is in hooks.c, the figures' in tests/backends/behaviour.c. */

#include "sim/below.h"

#define HC_NAME pinned
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME counted
#include "sim/hooks_timeline.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE pinned
#include "sim/rig.h"
#undef CACHE

#define CACHE counted
#include "sim/rig.h"
#undef CACHE

#ifndef _WIN32
#include <sys/wait.h>
#include <unistd.h>
#endif

/* ---- ARGUMENT -------------------------------------------------------------------------------- */

static int never_visited(void *user, const hostcache_visit *visit) {
  (void)user;
  (void)visit;
  fail();
  return 0;
}

static void a_null_cache_is_an_argument_error_in_every_function(void **state) {
  static const sim_event no_event = {0, 0};
  hostcache_stats stats;
  pinned_block *block = NULL;
  size_t ready = 7;
  void *ptr = &ptr;
  (void)state;
  assert_result(pinned_create(NULL, NULL, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_destroy(NULL), HOSTCACHE_ERR_ARGUMENT);
  pinned_abandon(NULL);
  assert_result(pinned_alloc(NULL, 1, &ptr), HOSTCACHE_ERR_ARGUMENT);
  assert_null(ptr);
  assert_result(pinned_record_stream(NULL, &ptr, 1), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_record_event(NULL, &ptr, no_event), HOSTCACHE_ERR_ARGUMENT);
  assert_result(counted_record_value(NULL, &ptr, 1, 1), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_free(NULL, &ptr), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_free_deferred(NULL, &ptr), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_block_alloc(NULL, 1, &block), HOSTCACHE_ERR_ARGUMENT);
  assert_null(block);
  assert_result(pinned_block_record_stream(NULL, NULL, 1), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_block_record_event(NULL, NULL, no_event), HOSTCACHE_ERR_ARGUMENT);
  assert_result(counted_block_record_value(NULL, NULL, 1, 1), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_block_free(NULL, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_block_free_deferred(NULL, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_null(pinned_find(NULL, &ptr));
  assert_result(pinned_process_events(NULL, &ready), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_synchronize(NULL, 0), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_empty_cache(NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_trim(NULL, 0), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_reserve(NULL, 1, 1), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_forget_stream(NULL, 1), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_release_quarantine(NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_stats(NULL, &stats), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_reset_accumulated_stats(NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_reset_peak_stats(NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_check(NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_walk(NULL, never_visited, NULL), HOSTCACHE_ERR_ARGUMENT);
}

static void a_null_out_pointer_is_an_argument_error(void **state) {
  pinned_rig *rig = *state;
  assert_result(pinned_alloc(rig->cache, 1, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_alloc(rig->cache, 0, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_block_alloc(rig->cache, 1, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_stats(rig->cache, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_walk(rig->cache, NULL, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_ok(pinned_process_events(rig->cache, NULL));
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), 0);
}

static void refuse_config(pinned_rig *rig, hostcache_config config, hostcache_result expected) {
  pinned *cache = rig->cache;
  assert_result(pinned_create(&cache, &config, &rig->device), expected);
  assert_null(cache);
}

static void a_config_that_contradicts_itself_is_refused(void **state) {
  static const size_t no_powers[] = {3, 511, 513, 4097, 1000, SIZE_MAX};
  static const uint32_t no_steps[] = {3, 12, 65, 128, UINT32_MAX};
  pinned_rig *rig = *state;
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  size_t i;
  for (i = 0; i < COUNT_OF(no_powers); i++) {
    config.alignment = no_powers[i];
    refuse_config(rig, config, HOSTCACHE_ERR_ARGUMENT);
  }
  config.alignment = (size_t)PTRDIFF_MAX / 2 + 1; /* a power of two, but too large to round up to */
  refuse_config(rig, config, HOSTCACHE_ERR_ARGUMENT);
  config.alignment = (size_t)PTRDIFF_MAX + 1;
  refuse_config(rig, config, HOSTCACHE_ERR_ARGUMENT);
  config.alignment = 0;
  config.max_segment_bytes = 4 * KIB - 1; /* less than a page: none could be got */
  refuse_config(rig, config, HOSTCACHE_ERR_ARGUMENT);
  config.max_segment_bytes = 0;
  config.streams_die_idle = 2; /* yes, no, or a field that somebody forgot to set */
  refuse_config(rig, config, HOSTCACHE_ERR_ARGUMENT);
  config.streams_die_idle = 0;
  config.max_segment_bytes = 2 * MIB;
  config.segment_bytes = 2 * MIB + 1;
  refuse_config(rig, config, HOSTCACHE_ERR_ARGUMENT);
  config.segment_bytes = 0;
  config.reserve_segment_bytes = 2 * MIB + 1;
  refuse_config(rig, config, HOSTCACHE_ERR_ARGUMENT);
  config.max_segment_bytes = 0;
  config.max_reserved_bytes = 2 * MIB;
  refuse_config(rig, config, HOSTCACHE_ERR_ARGUMENT);
  config.reserve_segment_bytes = 5000; /* two pages, which is more than 5000 bytes */
  config.max_reserved_bytes = 5000;
  refuse_config(rig, config, HOSTCACHE_ERR_ARGUMENT);
  config.max_reserved_bytes = 0;
  config.max_segment_bytes = 5000;
  refuse_config(rig, config, HOSTCACHE_ERR_ARGUMENT);
  config.max_segment_bytes = 0;
  config.max_cached_bytes = 5000;
  refuse_config(rig, config, HOSTCACHE_ERR_ARGUMENT);
  config.max_cached_bytes = 0;
  config.reserve_segment_bytes = SIZE_MAX;
  refuse_config(rig, config, HOSTCACHE_ERR_ARGUMENT);
  config.reserve_segment_bytes = 0;
  config.segment_bytes = SIZE_MAX;
  refuse_config(rig, config, HOSTCACHE_ERR_ARGUMENT);
  config.segment_bytes = 0;
  config.class_max_bytes = SIZE_MAX;
  refuse_config(rig, config, HOSTCACHE_ERR_ARGUMENT);
  config.class_max_bytes = 0;
  for (i = 0; i < COUNT_OF(no_steps); i++) {
    config.class_steps = no_steps[i];
    refuse_config(rig, config, HOSTCACHE_ERR_ARGUMENT);
  }
}

/* ... and is no contradiction where two bounds are the same. */
static void a_config_at_its_bounds_is_taken(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  config.segment_bytes = 2 * MIB;
  config.reserve_segment_bytes = 2 * MIB;
  config.max_segment_bytes = 2 * MIB;
  config.max_cached_bytes = 2 * MIB;
  config.max_reserved_bytes = 2 * MIB;
  config.class_max_bytes = (size_t)PTRDIFF_MAX / 2;
  pinned_rig_configure(rig, config);
  assert_int_equal(sim_live_bytes(&rig->device), 2 * MIB);
  config = pinned_rig_config(rig);
  config.reserve_segment_bytes = (size_t)PTRDIFF_MAX / 2; /* but nobody has that much */
  refuse_config(rig, config, HOSTCACHE_ERR_OUT_OF_MEMORY);
}

static void segments_are_whole_pages_whatever_the_largest_may_be(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  config.segment_bytes = 0;
  config.max_segment_bytes = MIB + 1;
  pinned_rig_configure(rig, config);
  (void)pinned_rig_take(rig, 1);
  assert_int_equal(sim_live_bytes(&rig->device), MIB);
}

static void a_config_of_another_version_is_refused(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  config.version = HOSTCACHE_VERSION + 1;
  refuse_config(rig, config, HOSTCACHE_ERR_ARGUMENT);
  config.version = 0;
  refuse_config(rig, config, HOSTCACHE_ERR_ARGUMENT);
  memset(&config, 0, sizeof config);
  refuse_config(rig, config, HOSTCACHE_ERR_ARGUMENT);
}

static void a_config_may_be_changed_and_thrown_away_after_create(void **state) {
  pinned_rig *rig = *state;
  hostcache_config *config = malloc(sizeof *config);
  assert_non_null(config);
  *config = pinned_rig_config(rig);
  config->alignment = 4096;
  pinned_rig_configure(rig, *config);
  memset(config, 0xff, sizeof *config);
  free(config);
  assert_int_equal((uintptr_t)pinned_rig_take(rig, 1) % 4096, 0);
}

static void without_a_config_all_is_default(void **state) {
  pinned_rig *rig = *state;
  pinned *cache;
  pinned_block *block;
  assert_ok(pinned_create(&cache, NULL, &rig->device));
  assert_ok(pinned_block_alloc(cache, 1, &block));
  assert_int_equal(pinned_block_size(block), 512);
  assert_int_equal(rig->device.last_align, 512);
  assert_ok(pinned_block_free(cache, block));
  assert_ok(pinned_check(cache));
  assert_ok(pinned_destroy(cache));
}

/* ---- figures that only grow ------------------------------------------------------------------ */

/* A sanitizer sees the overflow, if it is one. */
static void figures_that_only_grow_wrap_around(void **state) {
  enum { TIMES = 300 }; /* of 2^55 bytes: more than a signed number of 64 bits holds */
  const size_t size = (size_t)(UINT64_C(1) << 55);
  pinned_rig *rig = *state;
  hostcache_stats stats;
  int i;
  needs("sizes of 64 bits", SIZES_HAVE_64_BITS);
  rig->device.memory_limit = SIZE_MAX;
  for (i = 0; i < TIMES; i++) pinned_rig_give(rig, pinned_rig_take(rig, size));
  stats = pinned_rig_stats(rig);
  assert_true((uint64_t)stats.allocated_bytes.allocated == TIMES * (uint64_t)size);
  assert_true((uint64_t)stats.allocated_bytes.freed == TIMES * (uint64_t)size);
  assert_true((uint64_t)stats.cached_bytes.freed == (TIMES - 1) * (uint64_t)size);
  assert_int_equal(stats.allocated_bytes.current, 0);
  assert_int_equal(stats.allocated_bytes.peak, size);
}

/* Of what a stock holds: not as if all its blocks were of the smallest size. */
static void the_peak_of_what_is_split_is_no_higher_than_what_was_freed(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  void *blocks[10];
  int64_t before;
  size_t i;
  pinned_rig_configure(rig, config);
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, 64 * KIB);
  before = pinned_rig_stats(rig).inactive_split.peak;
  pinned_rig_give(rig, blocks[0]);
  assert_in_range(pinned_rig_stats(rig).inactive_split.peak, before, before + 1);
}

/* ---- a thread's own stock -------------------------------------------------------------------- */

/* Frees two blocks of 64 KiB. Is the one that was freed last the first to be had again? That is so
   out of a stock; else it is the lowest of those that fit. */
static bool last_in_is_first_out(pinned_rig *rig, size_t thread_cache_bytes) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  void *low, *high, *again;
  config.thread_cache_bytes = thread_cache_bytes;
  pinned_rig_configure(rig, config);
  low = pinned_rig_take(rig, 64 * KIB);
  high = pinned_rig_take(rig, 64 * KIB);
  assert_true((uintptr_t)low < (uintptr_t)high);
  pinned_rig_give(rig, low);
  pinned_rig_give(rig, high);
  again = pinned_rig_take(rig, 64 * KIB);
  assert_true(again == low || again == high);
  pinned_rig_give(rig, again);
  return again == high;
}

static void thread_cache_bytes_is_what_a_thread_keeps_to_itself(void **state) {
  pinned_rig *rig = *state;
  assert_true(last_in_is_first_out(rig, 0));
  assert_true(last_in_is_first_out(rig, 128 * KIB));
  assert_false(last_in_is_first_out(rig, 128 * KIB - 1)); /* the second is too much: both go */
  assert_false(last_in_is_first_out(rig, 1));
  assert_false(last_in_is_first_out(rig, HOSTCACHE_NONE));
}

/* ---- errors change nothing ------------------------------------------------------------------- */

static void an_error_of_the_caller_changes_no_figure_and_tells_nobody(void **state) {
  pinned_rig *rig = *state;
  const sim_event no_event = {0, 0};
  char *active = pinned_rig_take(rig, 64 * KIB);
  void *pending = pinned_rig_pend(rig, 64 * KIB, 1);
  void *cached = pinned_rig_take(rig, 128 * KIB), *ptr;
  hostcache_stats before, after;
  uint64_t calls;
  pinned_block *block;
  pinned_rig_give(rig, cached);
  before = pinned_rig_stats(rig);
  calls = sim_calls(&rig->device, SIM_EVERY_HOOK);

  assert_result(pinned_alloc(rig->cache, SIZE_MAX, &ptr), HOSTCACHE_ERR_TOO_BIG);
  assert_result(pinned_block_alloc(rig->cache, SIZE_MAX, &block), HOSTCACHE_ERR_TOO_BIG);
  assert_result(pinned_alloc(rig->cache, 1, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_free(rig->cache, &before), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_free(rig->cache, active + 1), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_free_deferred(rig->cache, active + 1), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_free(rig->cache, pending), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_result(pinned_free(rig->cache, cached), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_result(pinned_record_stream(rig->cache, cached, 1), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_record_event(rig->cache, pending, no_event), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_block_record_event(rig->cache, NULL, no_event), HOSTCACHE_ERR_NOT_FOUND);

  after = pinned_rig_stats(rig);
  assert_true(after.last_failed_bytes == INT64_MAX); /* but this one, which is of errors */
  after.last_failed_bytes = before.last_failed_bytes;
  assert_memory_equal(&before, &after, sizeof before);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), calls);
  assert_int_equal(rig->heard.count, 0);
}

/* DOUBLE_FREE at the start of a range that is cached; elsewhere in it either code. */
static void an_interior_pointer_of_what_is_freed_is_refused_with_either_code(void **state) {
  pinned_rig *rig = *state;
  char *ptr = pinned_rig_take(rig, 64 * KIB);
  pinned_rig_give(rig, ptr);
  assert_result(pinned_free(rig->cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  (void)assert_one_of(pinned_free(rig->cache, ptr + 512),
                      ONE_OF(HOSTCACHE_ERR_DOUBLE_FREE) | ONE_OF(HOSTCACHE_ERR_NOT_FOUND));
  (void)assert_one_of(pinned_free_deferred(rig->cache, ptr + 4096),
                      ONE_OF(HOSTCACHE_ERR_DOUBLE_FREE) | ONE_OF(HOSTCACHE_ERR_NOT_FOUND));
}

/* ... also where that begins anew, as it was part of a larger one in between. */
static void a_double_free_is_told_of_what_became_whole_and_was_divided_again(void **state) {
  pinned_rig *rig = *state;
  void *whole = pinned_rig_take(rig, 4 * MIB), *parts[2];
  pinned_rig_give(rig, whole);
  parts[0] = pinned_rig_take(rig, 2 * MIB);
  parts[1] = pinned_rig_take(rig, 2 * MIB);
  pinned_rig_give(rig, parts[1]);
  pinned_rig_give(rig, parts[0]);
  assert_ptr_equal(pinned_rig_take(rig, 2 * MIB), whole);
  assert_result(pinned_free(rig->cache, parts[1]), HOSTCACHE_ERR_DOUBLE_FREE);
}

/* Also where this thread and the stream are known to both. */
static void a_handle_of_another_cache_is_refused(void **state) {
  pinned_rig *rig = *state;
  pinned *other;
  pinned_block *block;
  int again;
  assert_ok(pinned_create(&other, NULL, &rig->device));
  assert_ok(pinned_block_alloc(other, 64 * KIB, &block));
  for (again = 0; again < 2; again++) {
    assert_result(pinned_block_record_stream(rig->cache, block, 1), HOSTCACHE_ERR_NOT_FOUND);
    assert_result(pinned_block_free(rig->cache, block), HOSTCACHE_ERR_NOT_FOUND);
    assert_result(pinned_block_free_deferred(rig->cache, block), HOSTCACHE_ERR_NOT_FOUND);
    (void)pinned_rig_pend(rig, 64 * KIB, 1);
  }
  assert_ok(pinned_block_free(other, block));
  assert_ok(pinned_check(other));
  assert_ok(pinned_destroy(other));
}

static void what_is_quarantined_is_refused_like_what_is_pending(void **state) {
  pinned_rig *rig = *state;
  void *ptr = pinned_rig_take(rig, 64 * KIB);
  (void)pinned_rig_use(rig, ptr, 1);
  sim_fail(&rig->device, 1, false, SIM_EVERY_RECORD);
  sim_handed_back(&rig->device, ptr);
  assert_result(pinned_free(rig->cache, ptr), HOSTCACHE_ERR_EVENT);
  assert_result(pinned_free(rig->cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_result(pinned_free_deferred(rig->cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_result(pinned_record_stream(rig->cache, ptr, 1), HOSTCACHE_ERR_NOT_FOUND);
  assert_null(pinned_find(rig->cache, ptr));
  assert_ok(pinned_empty_cache(rig->cache));
  assert_int_equal(pinned_rig_stats(rig).quarantined.current, 1);
}

static void a_handle_stays_readable_until_destroy(void **state) {
  pinned_rig *rig = *state;
  pinned_block *handles[200];
  size_t i;
  for (i = 0; i < COUNT_OF(handles); i++)
    assert_ok(pinned_block_alloc(rig->cache, 5000, &handles[i]));
  for (i = 0; i < COUNT_OF(handles); i++) assert_ok(pinned_block_free(rig->cache, handles[i]));
  assert_ok(pinned_empty_cache(rig->cache));
  for (i = 0; i < COUNT_OF(handles); i++) { /* the sanitizers see it if a record is gone */
    (void)pinned_block_ptr(handles[i]);
    (void)pinned_block_size(handles[i]);
    assert_result(pinned_block_free(rig->cache, handles[i]), HOSTCACHE_ERR_NOT_FOUND);
    assert_result(pinned_block_free_deferred(rig->cache, handles[i]), HOSTCACHE_ERR_NOT_FOUND);
    assert_result(pinned_block_record_stream(rig->cache, handles[i], 1), HOSTCACHE_ERR_NOT_FOUND);
  }
}

/* Nothing of the one cache may come to stand in a block of the other. */
static void a_block_of_another_cache_gets_no_use(void **state) {
  pinned_rig *rig = *state;
  pinned_block *block;
  pinned *other;
  assert_ok(pinned_create(&other, NULL, &rig->device));
  assert_ok(pinned_block_alloc(other, 5000, &block));
  assert_result(pinned_block_record_stream(rig->cache, block, 1), HOSTCACHE_ERR_NOT_FOUND);
  assert_ok(pinned_block_free(other, block));
  assert_ok(pinned_destroy(other));
  assert_int_equal(rig->device.calls[SIM_EVENT_RECORD], 0);
}

/* ---- synchronize ----------------------------------------------------------------------------- */

/* The clock of these tests moves by itself, one microsecond a look. */
static uint64_t queries_of(pinned_rig *rig, uint64_t timeout_ns) {
  const uint64_t before = rig->device.calls[SIM_EVENT_QUERY];
  assert_result(pinned_synchronize(rig->cache, timeout_ns), HOSTCACHE_ERR_TIMEOUT);
  return rig->device.calls[SIM_EVENT_QUERY] - before;
}

static void synchronize_gives_up_when_the_time_given_has_run_out(void **state) {
  pinned_rig *rig = *state;
  uint64_t began = atomic_load(&below.now_ns), took;
  (void)pinned_rig_pend(rig, 64 * KIB, 1);
  assert_result(pinned_synchronize(rig->cache, 100 * 1000), HOSTCACHE_ERR_TIMEOUT);
  took = atomic_load(&below.now_ns) - began;
  assert_in_range(took, 100 * 1000, 200 * 1000);
  assert_true(rig->device.calls[SIM_EVENT_QUERY] > 1);
  assert_int_equal(queries_of(rig, 1000), queries_of(rig, 1)); /* to the nanosecond */
  assert_int_equal(queries_of(rig, 1001), queries_of(rig, 2000));
}

static void synchronize_waits_by_polling_where_no_hook_can_wait(void **state) {
  pinned_rig *rig = *state;
  int i;
  for (i = 0; i < 20; i++) (void)pinned_rig_pend(rig, 64 * KIB, i % 3);
  rig->device.progress_per_queries = 3;
  assert_ok(pinned_synchronize(rig->cache, UINT64_MAX));
  assert_int_equal(pinned_rig_stats(rig).pending.current, 0);
  assert_int_equal(pinned_rig_stats(rig).num_sync_all_streams, 1);
}

static void pend_another(void *user, sim_hook hook) {
  pinned_rig *rig = user;
  if (hook != SIM_EVENT_QUERY || rig->device.calls[SIM_EVENT_QUERY] > 200) return;
  sim_depth++;
  (void)pinned_rig_pend(rig, 4 * KIB, 2);
  sim_depth--;
}

static void synchronize_waits_for_what_is_pending_at_the_call_alone(void **state) {
  pinned_rig *rig = *state;
  (void)pinned_rig_pend(rig, 64 * KIB, 1);
  sim_stick(&rig->device, 2, true);
  rig->device.on_hook = pend_another; /* others free meanwhile what never completes */
  rig->device.on_hook_user = rig;
  rig->device.progress_per_queries = 4;
  assert_ok(pinned_synchronize(rig->cache, UINT64_MAX));
  assert_true(pinned_rig_stats(rig).pending.current > 0);
}

static void synchronize_covers_what_was_freed_in_a_callback(void **state) {
  pinned_rig *rig = *state;
  void *ptr = pinned_rig_take(rig, 64 * KIB);
  (void)pinned_rig_use(rig, ptr, 1);
  sim_handed_back(&rig->device, ptr);
  assert_ok(pinned_free_deferred(rig->cache, ptr));
  assert_result(pinned_synchronize(rig->cache, 0), HOSTCACHE_ERR_TIMEOUT);
  sim_complete_all(&rig->device);
  assert_ok(pinned_synchronize(rig->cache, 0));
  assert_int_equal(pinned_rig_stats(rig).pending.current, 0);
}

typedef struct freed_in_a_hook {
  pinned_rig *rig;
  void *ptr;
} freed_in_a_hook;

static void free_it_in_a_record(void *user, sim_hook hook) {
  freed_in_a_hook *freed = user;
  if (hook != SIM_EVENT_RECORD) return;
  freed->rig->device.on_hook = NULL;
  sim_handed_back(&freed->rig->device, freed->ptr);
  assert_ok(pinned_free_deferred(freed->rig->cache, freed->ptr));
}

/* What is freed while it records is recorded as well, though nobody polls. */
static void synchronize_covers_what_a_callback_frees_while_it_looks(void **state) {
  pinned_rig *rig = *state;
  freed_in_a_hook later = {rig, pinned_rig_take(rig, 64 * KIB)};
  void *ptr = pinned_rig_take(rig, 64 * KIB);
  (void)pinned_rig_use(rig, ptr, 1);
  (void)pinned_rig_use(rig, later.ptr, 1);
  sim_complete_all(&rig->device);
  sim_handed_back(&rig->device, ptr);
  assert_ok(pinned_free_deferred(rig->cache, ptr));
  rig->device.on_hook = free_it_in_a_record;
  rig->device.on_hook_user = &later;
  assert_ok(pinned_synchronize(rig->cache, 1000 * 1000));
  assert_int_equal(pinned_rig_stats(rig).pending.current, 0);
}

static void synchronize_covers_every_event_handed_over(void **state) {
  enum { EVENTS = 100 };
  pinned_rig *rig = *state;
  int i;
  for (i = 0; i < EVENTS; i++) {
    void *ptr = pinned_rig_take(rig, 4 * KIB);
    assert_ok(pinned_record_event(rig->cache, ptr, sim_own_event(&rig->device, 0)));
    pinned_rig_give(rig, ptr);
  }
  assert_ok(pinned_synchronize(rig->cache, 0)); /* all of them are complete: one poll has to do */
  assert_int_equal(pinned_rig_stats(rig).pending.current, 0);
}

/* ---- walk ------------------------------------------------------------------------------------ */

static int count_kinds(void *user, const hostcache_visit *visit) {
  int *counts = user;
  assert_in_range(visit->kind, 0, 7);
  counts[visit->kind]++;
  return 0;
}

static void walk_shows_what_is_quarantined_and_what_is_leaked(void **state) {
  pinned_rig *rig = *state;
  void *ptr = pinned_rig_take(rig, 64 * KIB);
  int counts[8] = {0};
  pinned_block *leaked;
  rig->may_leak = true;
  (void)pinned_rig_use(rig, ptr, 1);
  sim_fail(&rig->device, 1, false, SIM_EVERY_RECORD);
  sim_handed_back(&rig->device, ptr);
  assert_result(pinned_free(rig->cache, ptr), HOSTCACHE_ERR_EVENT);
  assert_ok(pinned_block_alloc(rig->cache, 128 * KIB, &leaked));
  assert_ok(pinned_block_free(rig->cache, leaked));
  sim_fail(&rig->device, 1, false, SIM_ONLY(SIM_MEM_FREE));
  assert_result(pinned_empty_cache(rig->cache), HOSTCACHE_ERR_LEAKED);
  assert_result(pinned_block_free(rig->cache, leaked), HOSTCACHE_ERR_NOT_FOUND);
  assert_ok(pinned_walk(rig->cache, count_kinds, counts));
  assert_int_equal(counts[HOSTCACHE_VISIT_SEGMENT], 2);
  assert_int_equal(counts[HOSTCACHE_VISIT_QUARANTINED], 1);
  assert_int_equal(counts[HOSTCACHE_VISIT_LEAKED], 1);
  assert_int_equal(counts[HOSTCACHE_VISIT_ACTIVE] + counts[HOSTCACHE_VISIT_PENDING], 0);
}

static int free_what_is_shown(void *user, const hostcache_visit *visit) {
  pinned_rig *rig = user;
  if (visit->kind != HOSTCACHE_VISIT_ACTIVE) return 0;
  sim_handed_back(&rig->device, visit->ptr);
  assert_ok(pinned_free(rig->cache, (void *)(uintptr_t)visit->ptr));
  assert_ok(pinned_empty_cache(rig->cache));
  return 0;
}

static void the_cache_may_be_changed_while_it_is_walked(void **state) {
  pinned_rig *rig = *state;
  int i;
  for (i = 0; i < 20; i++) (void)pinned_rig_take(rig, 64 * KIB);
  assert_ok(pinned_walk(rig->cache, free_what_is_shown, rig));
  assert_int_equal(pinned_rig_stats(rig).segment.current, 0);
}

static void walk_without_memory_for_its_copy_says_so(void **state) {
  pinned_rig *rig = *state;
  int counts[8] = {0};
  (void)pinned_rig_take(rig, 64 * KIB);
  below_fail(1, true);
  assert_result(pinned_walk(rig->cache, count_kinds, counts), HOSTCACHE_ERR_NO_METADATA);
  below_fail_no_more();
  assert_int_equal(counts[HOSTCACHE_VISIT_SEGMENT], 0);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_NO_METADATA], 1);
  pinned_rig_check(rig);
}

/* ---- the ends -------------------------------------------------------------------------------- */

static void destroy_polls_before_it_says_busy(void **state) {
  pinned_rig *rig = *state;
  (void)pinned_rig_pend(rig, 64 * KIB, 1);
  sim_complete_all(&rig->device);
  assert_ok(pinned_destroy(rig->cache));
  rig->cache = NULL;
}

static void destroy_is_busy_with_what_a_callback_freed(void **state) {
  pinned_rig *rig = *state;
  void *ptr = pinned_rig_take(rig, 64 * KIB);
  (void)pinned_rig_use(rig, ptr, 1);
  sim_handed_back(&rig->device, ptr);
  assert_ok(pinned_free_deferred(rig->cache, ptr));
  assert_result(pinned_destroy(rig->cache), HOSTCACHE_ERR_BUSY);
  sim_complete_all(&rig->device);
  assert_ok(pinned_destroy(rig->cache));
  rig->cache = NULL;
}

static void a_busy_destroy_gives_nothing_back(void **state) {
  pinned_rig *rig = *state;
  void *cached = pinned_rig_take(rig, 128 * KIB);
  (void)pinned_rig_take(rig, 64 * KIB);
  pinned_rig_give(rig, cached);
  assert_result(pinned_destroy(rig->cache), HOSTCACHE_ERR_BUSY);
  assert_int_equal(rig->device.calls[SIM_MEM_FREE], 0);
  assert_ptr_equal(pinned_rig_take(rig, 128 * KIB), cached);
}

static void quarantine_is_released_when_the_caller_says_so(void **state) {
  pinned_rig *rig = *state;
  void *ptr = pinned_rig_take(rig, 64 * KIB);
  assert_ok(pinned_release_quarantine(rig->cache)); /* nothing to do */
  (void)pinned_rig_use(rig, ptr, 1);
  (void)pinned_rig_use(rig, ptr, 2);
  sim_fail(&rig->device, 2, false, SIM_ONLY(SIM_EVENT_RECORD));
  sim_handed_back(&rig->device, ptr);
  assert_result(pinned_free(rig->cache, ptr), HOSTCACHE_ERR_EVENT);
  sim_complete_all(&rig->device);
  assert_ok(pinned_release_quarantine(rig->cache));
  assert_int_equal(pinned_rig_stats(rig).quarantined.peak, 1);
  assert_ok(pinned_reset_peak_stats(rig->cache));
  assert_int_equal(pinned_rig_stats(rig).quarantined.peak, 0);
  assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), ptr);
  assert_int_equal(sim_live_events(&rig->device),
                   rig->device.calls[SIM_EVENT_CREATE] - rig->device.calls[SIM_EVENT_DESTROY]);
}

/* Two of one block, which are not used again. */
static void events_that_cannot_be_told_end_with_their_quarantine(void **state) {
  pinned_rig *rig = *state;
  void *ptr = pinned_rig_take(rig, 64 * KIB);
  int i;
  (void)pinned_rig_use(rig, ptr, 1);
  (void)pinned_rig_use(rig, ptr, 2);
  pinned_rig_give(rig, ptr);
  sim_complete_all(&rig->device);
  sim_fail(&rig->device, 1, true, SIM_EVERY_QUERY);
  for (i = 0; i < 3; i++)
    assert_result(pinned_process_events(rig->cache, NULL), HOSTCACHE_ERR_EVENT);
  sim_fail_no_more(&rig->device);
  assert_int_equal(pinned_rig_stats(rig).quarantined.current, 1);
  assert_ok(pinned_release_quarantine(rig->cache));
  assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), ptr);
  assert_int_equal(sim_live_events(&rig->device), 0);
}

/* The bugs: crashes in static destructors, hooks called after the runtime is gone (rmm #2367,
   #1375). */
static void a_program_may_exit_with_everything_alive(void **state) {
#ifdef _WIN32
  (void)state;
  needs("fork", false);
#else
  pinned_rig *rig = *state;
  pid_t child = fork();
  int status;
  assert_true(child >= 0);
  if (child == 0) {
    pinned *cache;
    void *ptr;
    if (pinned_create(&cache, NULL, &rig->device) != HOSTCACHE_OK) _exit(1);
    if (pinned_alloc(cache, 64 * KIB, &ptr) != HOSTCACHE_OK) _exit(2);
    if (pinned_record_stream(cache, ptr, 1) != HOSTCACHE_OK) _exit(3);
    (void)sim_submit(&rig->device, 1);
    if (pinned_free(cache, ptr) != HOSTCACHE_OK) _exit(4);
    if (pinned_alloc(cache, 64 * KIB, &ptr) != HOSTCACHE_OK) _exit(5);
    sim_shutdown(&rig->device); /* a hook aborts from here on */
    _Exit(0);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
#endif
}

static void a_cache_of_a_lost_runtime_is_abandoned(void **state) {
  counted_rig *rig = *state;
  (void)counted_rig_pend(rig, 64 * KIB, 1);
  (void)counted_rig_take(rig, 64 * KIB);
  rig->left_bytes = sim_live_bytes(&rig->device);
  sim_shutdown(&rig->device);
  counted_abandon(rig->cache);
  rig->cache = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pinned_rig_setup, pinned_rig_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_null_cache_is_an_argument_error_in_every_function),
      TEST(a_null_out_pointer_is_an_argument_error),
      TEST(a_config_that_contradicts_itself_is_refused),
      TEST(a_config_at_its_bounds_is_taken),
      TEST(segments_are_whole_pages_whatever_the_largest_may_be),
      TEST(a_config_of_another_version_is_refused),
      TEST(a_config_may_be_changed_and_thrown_away_after_create),
      TEST(without_a_config_all_is_default),
      TEST(figures_that_only_grow_wrap_around),
      TEST(the_peak_of_what_is_split_is_no_higher_than_what_was_freed),
      TEST(thread_cache_bytes_is_what_a_thread_keeps_to_itself),
      TEST(an_error_of_the_caller_changes_no_figure_and_tells_nobody),
      TEST(an_interior_pointer_of_what_is_freed_is_refused_with_either_code),
      TEST(a_double_free_is_told_of_what_became_whole_and_was_divided_again),
      TEST(a_handle_of_another_cache_is_refused),
      TEST(what_is_quarantined_is_refused_like_what_is_pending),
      TEST(a_handle_stays_readable_until_destroy),
      TEST(a_block_of_another_cache_gets_no_use),
      TEST(synchronize_gives_up_when_the_time_given_has_run_out),
      TEST(synchronize_waits_by_polling_where_no_hook_can_wait),
      TEST(synchronize_waits_for_what_is_pending_at_the_call_alone),
      TEST(synchronize_covers_what_was_freed_in_a_callback),
      TEST(synchronize_covers_what_a_callback_frees_while_it_looks),
      TEST(synchronize_covers_every_event_handed_over),
      TEST(walk_shows_what_is_quarantined_and_what_is_leaked),
      TEST(the_cache_may_be_changed_while_it_is_walked),
      TEST(walk_without_memory_for_its_copy_says_so),
      TEST(destroy_polls_before_it_says_busy),
      TEST(destroy_is_busy_with_what_a_callback_freed),
      TEST(a_busy_destroy_gives_nothing_back),
      TEST(quarantine_is_released_when_the_caller_says_so),
      TEST(events_that_cannot_be_told_end_with_their_quarantine),
      TEST(a_program_may_exit_with_everything_alive),
      cmocka_unit_test_setup_teardown(a_cache_of_a_lost_runtime_is_abandoned, counted_rig_setup,
                                      counted_rig_teardown),
  };
  return cmocka_run_group_tests_name("public", tests, NULL, NULL);
}
