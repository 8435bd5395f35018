/* device_allocator.c - tests what a device allocator has beyond the rest (section 12,
   HC_DEVICE_ALLOCATOR): whether there is a cache, the device's memory and the cap as a part of it,
   the largest block that is cached, the figures by pool, and sets of caches.

   Promises: a function whose hook is missing says so; the lower of both caps counts, and neither
   undoes the other; in each column of the figures `current` equals the sum over the blocks, both
   pools add up to the aggregate, and no peak is below the true one; a set is made as a whole or not
   at all, and is torn down likewise. (What cache_info says where the system refuses the barrier is
   in refused.c; that check sees wrong figures, in check.c.)

   Segments are those of the default config, which small blocks share: so there are stocks. */

#include "sim/below.h"
#include "sim/sim.h"

/* What HC_MEM_INFO says. */
static struct {
  size_t free_bytes, total;
  int fails; /* with this code */
} all_memory;

static int look_at_memory(sim_device *d, size_t *free_bytes, size_t *total) {
  (void)d;
  *free_bytes = all_memory.free_bytes;
  *total = all_memory.total;
  return all_memory.fails;
}

#define HC_NAME pinned
#define HC_DEVICE_ALLOCATOR
#define HC_MEM_INFO(ctx, free_ptr, total_ptr) \
  hostcache_map(look_at_memory(ctx, free_ptr, total_ptr), 0, 0)
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME counted
#define HC_DEVICE_ALLOCATOR
#include "sim/hooks_timeline.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE pinned
#include "sim/rig.h"
#undef CACHE

#define CACHE counted
#include "sim/rig.h"
#undef CACHE

#include "life/life.h"

#include <math.h>

enum { SMALL = HOSTCACHE_STAT_SMALL_POOL, LARGE = HOSTCACHE_STAT_LARGE_POOL };

/* A cache whose small blocks share segments of 2 MiB. */
static void share(pinned_rig *rig, size_t thread_cache_bytes) {
  hostcache_config config = pinned_rig_config(rig);
  config.segment_bytes = 0;
  config.thread_cache_bytes = thread_cache_bytes;
  pinned_rig_configure(rig, config);
}

static int open_with_stocks(void **state) {
  all_memory.free_bytes = all_memory.total = 64 * MIB;
  all_memory.fails = 0;
  (void)pinned_rig_setup(state);
  share(*state, 0);
  return 0;
}

static int open_without_stocks(void **state) {
  (void)open_with_stocks(state);
  share(*state, HOSTCACHE_NONE);
  return 0;
}

static int64_t reserved(pinned_rig *rig) { return pinned_rig_stats(rig).reserved_bytes.current; }

static hostcache_device_stats figures(pinned_rig *rig) {
  hostcache_device_stats stats;
  memset(&stats, 0xff, sizeof stats);
  assert_ok(pinned_device_stats(rig->cache, &stats));
  return stats;
}

/* ---- initialized ----------------------------------------------------------------------------- */

static void must_not_be_initialized(void *cache) { MUST(!pinned_initialized((pinned *)cache)); }

static void a_cache_is_initialized_in_the_process_that_made_it(void **state) {
  pinned_rig *rig = *state;
  assert_int_equal(pinned_initialized(rig->cache), 1);
  assert_int_equal(pinned_initialized(NULL), 0);
  in_a_child(must_not_be_initialized, rig->cache);
}

/* ---- the device's memory --------------------------------------------------------------------- */

static void memory_is_what_the_hook_says(void **state) {
  pinned_rig *rig = *state;
  size_t free_bytes = 1, total = 2;
  all_memory.free_bytes = 768 * MIB;
  all_memory.total = 1280 * MIB;
  assert_ok(pinned_memory_info(rig->cache, &free_bytes, &total));
  assert_int_equal(free_bytes, 768 * MIB);
  assert_int_equal(total, 1280 * MIB);
}

static void memory_is_unknown_where_the_hook_fails(void **state) {
  pinned_rig *rig = *state;
  size_t free_bytes = 1, total = 2;
  all_memory.fails = 7;
  assert_result(pinned_memory_info(rig->cache, &free_bytes, &total), HOSTCACHE_ERR_HOOK);
  assert_int_equal(free_bytes, 0);
  assert_int_equal(total, 0);
  assert_int_equal(rig->heard.count, 1);
  assert_int_equal(rig->heard.result, HOSTCACHE_ERR_HOOK);
  assert_int_equal(rig->heard.code, 7);
}

static void without_the_hook_there_is_no_memory_to_have_a_part_of(void **state) {
  counted_rig *rig = *state;
  size_t free_bytes = 1, total = 2;
  double fraction = 3;
  assert_result(counted_memory_info(rig->cache, &free_bytes, &total), HOSTCACHE_ERR_UNSUPPORTED);
  assert_int_equal(free_bytes, 0);
  assert_int_equal(total, 0);
  assert_result(counted_set_memory_fraction(rig->cache, 0), HOSTCACHE_ERR_UNSUPPORTED);
  assert_result(counted_get_memory_fraction(rig->cache, &fraction), HOSTCACHE_ERR_UNSUPPORTED);
  assert_true(fraction == 0);
  counted_rig_give(rig, counted_rig_take(rig, 64 * KIB));      /* nothing is bounded */
  assert_ok(counted_set_max_reserved_bytes(rig->cache, PAGE)); /* but by this */
  assert_int_equal(counted_rig_stats(rig).reserved_bytes.current, 0);
}

/* ---- the cap as a part of it ----------------------------------------------------------------- */

static void must_not_fit(pinned_rig *rig, size_t size) {
  void *ptr = &ptr;
  assert_result(pinned_alloc(rig->cache, size, &ptr), HOSTCACHE_ERR_LIMIT);
  assert_null(ptr);
}

static double fraction_of(pinned_rig *rig) {
  double fraction = -1;
  assert_ok(pinned_get_memory_fraction(rig->cache, &fraction));
  return fraction;
}

static void a_fraction_bounds_what_is_held(void **state) {
  pinned_rig *rig = *state;
  assert_ok(pinned_set_memory_fraction(rig->cache, 0.125)); /* of 64 MiB */
  assert_true(fraction_of(rig) == 0.125);
  (void)pinned_rig_take(rig, 6 * MIB);
  must_not_fit(rig, 2 * MIB + 1);
  (void)pinned_rig_take(rig, 2 * MIB);
  must_not_fit(rig, 1);
}

static void no_fraction_bounds_nothing(void **state) {
  pinned_rig *rig = *state;
  assert_true(fraction_of(rig) == 1);
  (void)pinned_rig_take(rig, 65 * MIB);
}

static void a_fraction_of_one_is_a_bound_too(void **state) {
  pinned_rig *rig = *state;
  assert_ok(pinned_set_memory_fraction(rig->cache, 1));
  must_not_fit(rig, 64 * MIB + 1);
  (void)pinned_rig_take(rig, 64 * MIB);
}

static void of_a_fraction_of_zero_nothing_is_held(void **state) {
  pinned_rig *rig = *state;
  pinned_rig_give(rig, pinned_rig_take(rig, 64 * KIB));
  assert_ok(pinned_set_memory_fraction(rig->cache, 0));
  assert_true(fraction_of(rig) == 0);
  assert_int_equal(reserved(rig), 0);
  must_not_fit(rig, 1);
  assert_ok(pinned_set_max_reserved_bytes(rig->cache, 0)); /* of that there is no bound */
  must_not_fit(rig, 1);
  assert_ok(pinned_set_memory_fraction(rig->cache, 0.5));
  (void)pinned_rig_take(rig, 1);
}

static void what_is_above_the_fraction_goes_back(void **state) {
  pinned_rig *rig = *state;
  void *held = pinned_rig_take(rig, 4 * MIB), *other = pinned_rig_take(rig, 4 * MIB);
  pinned_rig_give(rig, pinned_rig_take(rig, 64 * KIB)); /* which a stock holds */
  pinned_rig_give(rig, other);
  assert_int_equal(reserved(rig), 10 * MIB);
  assert_ok(pinned_set_memory_fraction(rig->cache, 0.03125));
  assert_int_equal(reserved(rig), 4 * MIB); /* more than may be held, but in use */
  pinned_rig_give(rig, held);
  assert_int_equal(reserved(rig), 0);
}

static void memory_that_does_not_go_back_is_told(void **state) {
  pinned_rig *rig = *state;
  rig->may_leak = true;
  pinned_rig_give(rig, pinned_rig_take(rig, 4 * MIB));
  sim_fail(&rig->device, 1, false, SIM_ONLY(SIM_MEM_FREE));
  assert_result(pinned_set_memory_fraction(rig->cache, 0), HOSTCACHE_ERR_LEAKED);
  assert_true(fraction_of(rig) == 0);
}

static void the_lower_of_both_caps_counts(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  config.max_reserved_bytes = 16 * MIB;
  pinned_rig_configure(rig, config);
  assert_ok(pinned_set_memory_fraction(rig->cache, 0.5)); /* 32 MiB */
  must_not_fit(rig, 17 * MIB);
  assert_ok(pinned_set_max_reserved_bytes(rig->cache, 0));
  must_not_fit(rig, 33 * MIB);
  pinned_rig_give(rig, pinned_rig_take(rig, 32 * MIB));
  assert_ok(pinned_set_max_reserved_bytes(rig->cache, 48 * MIB));
  must_not_fit(rig, 33 * MIB);
  assert_ok(pinned_set_memory_fraction(rig->cache, 1));
  must_not_fit(rig, 49 * MIB);
  pinned_rig_give(rig, pinned_rig_take(rig, 48 * MIB));
  assert_ok(pinned_set_max_reserved_bytes(rig->cache, 8 * MIB));
  must_not_fit(rig, 9 * MIB);
}

static void a_fraction_is_of_what_the_hook_says_at_the_call(void **state) {
  pinned_rig *rig = *state;
  assert_ok(pinned_set_memory_fraction(rig->cache, 0.5));
  all_memory.total = 8 * MIB;
  (void)pinned_rig_take(rig, 16 * MIB);
  assert_ok(pinned_set_memory_fraction(rig->cache, 0.5));
  must_not_fit(rig, 64 * KIB);
}

static void what_is_no_fraction_changes_nothing(void **state) {
  const double none[] = {-0.001, 1.001, -1, 2, (double)NAN, (double)INFINITY, -(double)INFINITY};
  pinned_rig *rig = *state;
  size_t i;
  assert_ok(pinned_set_memory_fraction(rig->cache, 0.25));
  for (i = 0; i < COUNT_OF(none); i++)
    assert_result(pinned_set_memory_fraction(rig->cache, none[i]), HOSTCACHE_ERR_ARGUMENT);
  all_memory.fails = 7;
  assert_result(pinned_set_memory_fraction(rig->cache, 0.5), HOSTCACHE_ERR_HOOK);
  assert_true(fraction_of(rig) == 0.25);
  must_not_fit(rig, 17 * MIB);
  (void)pinned_rig_take(rig, 16 * MIB);
}

/* Where no double is the total, the next one may be above it, or above all that a size_t can be. */
static void a_part_is_rounded_down_and_never_above_the_whole(void **state) {
  const double nearly = 1 - 1.0 / ((uint64_t)1 << 53);
  const size_t totals[] = {0, 1, 3, SIZE_MAX / 2048, SIZE_MAX / 2048 + 2, SIZE_MAX - 1, SIZE_MAX};
  size_t i;
  (void)state;
  assert_int_equal(pinned_i_part_of(10, 0.25), 2);
  assert_int_equal(pinned_i_part_of(10, 0), 0);
  for (i = 0; i < COUNT_OF(totals); i++) {
    assert_true(pinned_i_part_of(totals[i], 1) == totals[i]);
    assert_true(pinned_i_part_of(totals[i], nearly) <= totals[i]);
    assert_true(pinned_i_part_of(totals[i], 0.5) <= totals[i] / 2 + 1024);
    assert_int_equal(pinned_i_part_of(totals[i], 0), 0);
  }
}

/* ---- the largest that is cached -------------------------------------------------------------- */

static size_t largest(pinned_rig *rig) {
  size_t size = 1;
  assert_ok(pinned_cache_info(rig->cache, &size));
  return size;
}

static void nothing_is_the_largest_where_nothing_is_cached(void **state) {
  pinned_rig *rig = *state;
  assert_int_equal(largest(rig), 0);
  (void)pinned_rig_take(rig, 3 * MIB);
  (void)pinned_rig_pend(rig, 4 * MIB, 1);
  assert_int_equal(largest(rig), 0);
}

/* 1 GiB and more: of one list of a heap. */
static void the_largest_is_found_among_those_of_about_its_size(void **state) {
  static const size_t sizes[] = {2 * GIB, 3 * GIB, 1 * GIB};
  pinned_rig *rig = *state;
  void *blocks[COUNT_OF(sizes)];
  size_t i;
  needs("sizes of 64 bits", SIZES_HAVE_64_BITS);
  for (i = 0; i < COUNT_OF(sizes); i++) blocks[i] = pinned_rig_take(rig, sizes[i]);
  for (i = 0; i < COUNT_OF(sizes); i++) pinned_rig_give(rig, blocks[i]);
  assert_int_equal(largest(rig), 3 * GIB);
  blocks[1] = pinned_rig_take(rig, 3 * GIB);
  assert_int_equal(largest(rig), 2 * GIB);
}

static void the_largest_may_be_in_any_heap(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  void *large;
  config.segment_bytes = 0;
  config.reserve_segment_bytes = 8 * MIB;
  pinned_rig_configure(rig, config);
  assert_int_equal(largest(rig), 8 * MIB); /* reserved at creation */
  (void)pinned_rig_take(rig, 8 * MIB);
  (void)pinned_rig_take(rig, 64 * KIB); /* the rest is of the small pool */
  assert_int_equal(largest(rig), 2 * MIB - 64 * KIB);
  large = pinned_rig_take(rig, 4 * MIB);
  pinned_rig_give(rig, large);
  assert_int_equal(largest(rig), 4 * MIB);
}

/* Takes all that a heap has, so that only this thread's stock can have more. */
static void take_the_rest(pinned_rig *rig, size_t size) {
  size_t left;
  for (left = 2 * MIB / size; left > 1; left--) (void)pinned_rig_take(rig, size);
}

static void the_largest_may_be_in_a_stock(void **state) {
  pinned_rig *rig = *state;
  void *ptr = pinned_rig_take(rig, 64 * KIB);
  take_the_rest(rig, 64 * KIB);
  assert_int_equal(largest(rig), 0);
  pinned_rig_give(rig, ptr);
  assert_int_equal(pinned_i_here(rig->cache)->stock_bytes, 64 * KIB);
  assert_int_equal(largest(rig), 64 * KIB);
}

static void the_largest_may_be_in_a_shared_bin(void **state) {
  pinned_rig *rig = *state;
  void *blocks[32];
  size_t i;
  share(rig, 1 * MIB); /* a stock of 16 blocks: the next free gives them to the bin */
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, 64 * KIB);
  (void)pinned_rig_take(rig, 32 * MIB); /* what bins hold is bounded by what is held */
  for (i = 0; i < COUNT_OF(blocks); i++) pinned_rig_give(rig, blocks[i]);
  while (pinned_i_here(rig->cache)->stock_bytes > 0) (void)pinned_rig_take(rig, 64 * KIB);
  assert_true(rig->cache->binned_bytes > 0);
  assert_int_equal(largest(rig), 64 * KIB);
}

typedef struct sleeper { /* a thread that has a block in stock, and sleeps */
  pinned *cache;
  meeting meeting;
} sleeper;

static void *sleep_with_a_stock(void *argument) {
  sleeper *s = (sleeper *)argument;
  void *ptr = NULL;
  expect_or_abort(pinned_alloc(s->cache, 128 * KIB, &ptr) == HOSTCACHE_OK);
  expect_or_abort(pinned_free(s->cache, ptr) == HOSTCACHE_OK);
  reach(&s->meeting, 1);
  await(&s->meeting, 2);
  return NULL;
}

static void the_largest_may_be_in_the_stock_of_a_thread_that_sleeps(void **state) {
  pinned_rig *rig = *state;
  sleeper s = {rig->cache, MEETING_INIT};
  pthread_t thread;
  void *ptr = NULL;
  assert_int_equal(pthread_create(&thread, NULL, sleep_with_a_stock, &s), 0);
  await(&s.meeting, 1);
  while (pinned_rig_stats(rig).inactive_split_bytes.current > (int64_t)(128 * KIB)) {
    assert_ok(pinned_alloc(rig->cache, 64 * KIB, &ptr));
    sim_handed_out(&rig->device, ptr, 64 * KIB);
  }
  assert_int_equal(largest(rig), 128 * KIB);
  assert_int_equal(sim_calls(&rig->device, SIM_ONLY(SIM_MEM_ALLOC)), 1);
  reach(&s.meeting, 2);
  assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- segments that grow ---------------------------------------------------------------------- */

static void there_are_no_segments_that_grow(void **state) {
  pinned_rig *rig = *state;
  size_t sizes[2] = {5, 6}, count = 7;
  (void)pinned_rig_take(rig, 64 * KIB);
  assert_ok(pinned_get_expandable_segment_sizes(rig->cache, sizes, 2, &count));
  assert_int_equal(count, 0);
  assert_int_equal(sizes[0], 5);
  assert_ok(pinned_get_expandable_segment_sizes(rig->cache, NULL, 0, &count));
}

/* ---- the figures by pool --------------------------------------------------------------------- */

#define MUST_BE(array, aggregate, small, large)                             \
  do {                                                                      \
    assert_int_equal((array)[HOSTCACHE_STAT_AGGREGATE].current, aggregate); \
    assert_int_equal((array)[SMALL].current, small);                        \
    assert_int_equal((array)[LARGE].current, large);                        \
  } while (0)

static void what_small_blocks_share_is_the_small_pool(void **state) {
  pinned_rig *rig = *state;
  hostcache_device_stats stats;
  (void)pinned_rig_take(rig, 60 * KIB);
  (void)pinned_rig_take(rig, 1 * MIB);
  (void)pinned_rig_take(rig, 1 * MIB + 1);
  (void)pinned_rig_take(rig, 3 * MIB);
  stats = figures(rig);
  MUST_BE(stats.allocation, 4, 2, 2);
  MUST_BE(stats.active, 4, 2, 2);
  MUST_BE(stats.segment, 3, 1, 2);
  MUST_BE(stats.allocated_bytes, 60 * KIB + 5 * MIB + PAGE, 60 * KIB + MIB, 4 * MIB + PAGE);
  MUST_BE(stats.active_bytes, 60 * KIB + 5 * MIB + PAGE, 60 * KIB + MIB, 4 * MIB + PAGE);
  MUST_BE(stats.requested_bytes, 60 * KIB + 5 * MIB + 1, 60 * KIB + MIB, 4 * MIB + 1);
  MUST_BE(stats.reserved_bytes, 7 * MIB, 2 * MIB, 5 * MIB);
  MUST_BE(stats.inactive_split, 2, 1, 1);
  MUST_BE(stats.inactive_split_bytes, 2 * MIB - 60 * KIB - PAGE, MIB - 60 * KIB, MIB - PAGE);
}

static void a_block_is_of_the_pool_that_it_was_carved_from(void **state) {
  pinned_rig *rig = *state;
  hostcache_device_stats stats;
  void *small;
  (void)pinned_rig_take(rig, 1 * MIB + 1); /* leaves nearly a MiB of a large segment */
  small = pinned_rig_take(rig, 64 * KIB);
  stats = figures(rig);
  MUST_BE(stats.allocation, 2, 0, 2);
  MUST_BE(stats.segment, 1, 0, 1);
  pinned_rig_give(rig, small); /* into a stock */
  stats = figures(rig);
  assert_int_equal(pinned_i_here(rig->cache)->stock_bytes, 64 * KIB);
  MUST_BE(stats.allocation, 1, 0, 1);
  MUST_BE(stats.inactive_split, 2, 0, 2);
  MUST_BE(stats.inactive_split_bytes, MIB - PAGE, 0, MIB - PAGE);
  assert_int_equal(stats.inactive_split_bytes[SMALL].peak, 0);
  assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), small);
  stats = figures(rig);
  MUST_BE(stats.requested_bytes, MIB + 1 + 64 * KIB, 0, MIB + 1 + 64 * KIB);
  assert_int_equal(stats.allocation[LARGE].allocated, 3);
  assert_int_equal(stats.allocation[LARGE].freed, 1);
}

/* With 64 classes to a doubling there are more than stocks have; the first are multiples of the
   alignment. */
static void what_is_in_a_stock_is_counted_in_every_class(void **state) {
  enum { CLASSES = 128 };
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  hostcache_device_stats stats;
  size_t i, sum = 0;
  void *blocks[CLASSES];
  config.segment_bytes = 0;
  config.class_steps = 64;
  config.thread_cache_bytes = 16 * MIB;
  pinned_rig_configure(rig, config);
  for (i = 0; i < CLASSES; i++) {
    blocks[i] = pinned_rig_take(rig, 512 * (i + 1));
    sum += 512 * (i + 1);
  }
  stats = figures(rig);
  MUST_BE(stats.allocation, CLASSES, CLASSES, 0);
  MUST_BE(stats.allocated_bytes, sum, sum, 0);
  for (i = 0; i < CLASSES; i++) pinned_rig_give(rig, blocks[i]);
  assert_int_equal(pinned_i_here(rig->cache)->stock_bytes, sum);
  stats = figures(rig);
  MUST_BE(stats.allocation, 0, 0, 0);
  MUST_BE(stats.allocated_bytes, 0, 0, 0);
}

/* 48 blocks of what is left of a large segment: 32 of them go to a bin, and 16 into the stock. */
static void what_is_in_a_shared_bin_is_of_its_pool(void **state) {
  pinned_rig *rig = *state;
  hostcache_device_stats stats;
  void *blocks[48];
  size_t i;
  share(rig, 16 * 16 * KIB);
  (void)pinned_rig_take(rig, 1 * MIB + 1);
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, 16 * KIB);
  assert_ok(pinned_reset_peak_stats(rig->cache));
  for (i = 0; i < COUNT_OF(blocks); i++) pinned_rig_give(rig, blocks[i]);
  assert_int_equal(rig->cache->binned_bytes, 32 * 16 * KIB);
  stats = figures(rig);
  MUST_BE(stats.inactive_split, 49, 0, 49);
  MUST_BE(stats.inactive_split_bytes, MIB - PAGE, 0, MIB - PAGE);
  assert_true(stats.inactive_split[LARGE].peak >= 49);
  assert_true(stats.inactive_split_bytes[LARGE].peak >= (int64_t)(MIB - PAGE));
  assert_int_equal(stats.inactive_split_bytes[SMALL].peak, 0);
  for (i = 0; i < 20; i++) (void)pinned_rig_take(rig, 16 * KIB); /* some of them from the bin */
  assert_int_equal(rig->cache->binned_bytes, 16 * 16 * KIB);
  stats = figures(rig);
  MUST_BE(stats.inactive_split, 29, 0, 29);
  MUST_BE(stats.allocation, 21, 0, 21);
  assert_ok(pinned_reset_peak_stats(rig->cache)); /* for which the bins are emptied */
  stats = figures(rig);
  assert_int_equal(rig->cache->binned_bytes, 0);
  assert_int_equal(stats.inactive_split[LARGE].peak, stats.inactive_split[LARGE].current);
  assert_int_equal(stats.inactive_split_bytes[LARGE].peak,
                   stats.inactive_split_bytes[LARGE].current);
}

/* Much more than was ever out of the bins at a time: a few blocks of one class after the other. */
static void what_bins_held_is_in_the_peaks_when_they_are_empty(void **state) {
  pinned_rig *rig = *state;
  hostcache_device_stats stats;
  int64_t most;
  void *blocks[32];
  size_t size, i;
  share(rig, 256 * KIB);
  assert_ok(pinned_reserve(rig->cache, 64 * KIB, 128)); /* so that nothing is gathered */
  for (size = 1 * KIB; size <= 16 * KIB; size += 1 * KIB) {
    for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, size);
    for (i = 0; i < COUNT_OF(blocks); i++) pinned_rig_give(rig, blocks[i]);
  }
  most = figures(rig).inactive_split[SMALL].current;
  assert_ok(pinned_empty_cache(rig->cache));
  stats = figures(rig);
  MUST_BE(stats.inactive_split, 0, 0, 0);
  assert_true(stats.inactive_split[SMALL].peak >= most);
  assert_true(stats.inactive_split[HOSTCACHE_STAT_AGGREGATE].peak >= most);
}

static void what_was_reserved_at_creation_is_large(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  hostcache_device_stats stats;
  config.segment_bytes = 0;
  config.reserve_segment_bytes = 4 * MIB;
  pinned_rig_configure(rig, config);
  (void)pinned_rig_take(rig, 64 * KIB);
  stats = figures(rig);
  MUST_BE(stats.allocation, 1, 0, 1);
  MUST_BE(stats.reserved_bytes, 4 * MIB, 0, 4 * MIB);
  MUST_BE(stats.inactive_split, 1, 0, 1);
}

static void what_waits_is_active_and_not_allocated(void **state) {
  pinned_rig *rig = *state;
  hostcache_device_stats stats;
  (void)pinned_rig_pend(rig, 64 * KIB, 1);
  (void)pinned_rig_pend(rig, 3 * MIB, 1);
  stats = figures(rig);
  MUST_BE(stats.allocation, 0, 0, 0);
  MUST_BE(stats.active, 2, 1, 1);
  MUST_BE(stats.active_bytes, 64 * KIB + 3 * MIB, 64 * KIB, 3 * MIB);
  MUST_BE(stats.requested_bytes, 64 * KIB + 3 * MIB, 64 * KIB, 3 * MIB);
  sim_complete_all(&rig->device);
  assert_int_equal(pinned_rig_poll(rig), 2);
  stats = figures(rig);
  MUST_BE(stats.active, 0, 0, 0);
  MUST_BE(stats.requested_bytes, 0, 0, 0);
  MUST_BE(stats.inactive_split_bytes, 2 * MIB, 2 * MIB, 0); /* the stock keeps it in parts */
  assert_int_equal(stats.active[SMALL].freed, 1);
  assert_int_equal(stats.active[LARGE].freed, 1);
}

static void the_other_figures_are_those_of_all(void **state) {
  pinned_rig *rig = *state;
  hostcache_device_stats stats;
  void *ptr;
  (void)pinned_rig_take(rig, 64 * KIB);
  pinned_rig_give(rig, pinned_rig_take(rig, 3 * MIB));
  rig->device.memory_limit = 4 * MIB;
  assert_result(pinned_alloc(rig->cache, 5 * MIB, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_ok(pinned_synchronize(rig->cache, 0));
  stats = figures(rig);
  assert_int_equal(stats.num_device_alloc, 2);
  assert_int_equal(stats.num_device_free, 1);
  assert_int_equal(stats.num_alloc_retries, 1);
  assert_int_equal(stats.num_ooms, 1);
  assert_int_equal(stats.num_sync_all_streams, 1);
  assert_int_equal(stats.num_oom_rejections, 0);
  assert_true(stats.max_split_size == INT64_MAX);
}

static void what_is_not_split_is_oversize(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  hostcache_device_stats stats;
  config.max_split_size = 4 * MIB;
  pinned_rig_configure(rig, config);
  (void)pinned_rig_take(rig, 5 * MIB);
  stats = figures(rig);
  assert_int_equal(stats.oversize_allocations.current, 1);
  assert_int_equal(stats.oversize_segments.current, 1);
  assert_int_equal(stats.max_split_size, 4 * MIB);
}

static void what_the_cap_refuses_is_counted(void **state) {
  pinned_rig *rig = *state;
  assert_ok(pinned_set_memory_fraction(rig->cache, 0.5));
  must_not_fit(rig, 33 * MIB);
  must_not_fit(rig, 34 * MIB);
  assert_int_equal(figures(rig).num_oom_rejections, 2);
  assert_int_equal(figures(rig).num_ooms, 0);
  assert_ok(pinned_reset_accumulated_stats(rig->cache));
  assert_int_equal(figures(rig).num_oom_rejections, 0);
}

static void the_columns_are_reset_as_well(void **state) {
  pinned_rig *rig = *state;
  hostcache_device_stats stats;
  hostcache_stat *row;
  unsigned i, at;
  void *ptr = pinned_rig_take(rig, 3 * MIB);
  (void)pinned_rig_take(rig, 64 * KIB);
  pinned_rig_give(rig, pinned_rig_take(rig, 64 * KIB));
  pinned_rig_give(rig, ptr);
  assert_ok(pinned_reset_accumulated_stats(rig->cache));
  stats = figures(rig);
  for (i = 0; (row = pinned_i_row_by_number(&stats, i)) != NULL; i++) {
    for (at = 0; at < HOSTCACHE_STAT_TYPES; at++) {
      assert_int_equal(row[at].allocated, 0);
      assert_int_equal(row[at].freed, 0);
    }
  }
  assert_int_equal(stats.allocation[LARGE].peak, 1);
  assert_int_equal(stats.reserved_bytes[LARGE].peak, 3 * MIB);
  assert_ok(pinned_reset_peak_stats(rig->cache));
  stats = figures(rig);
  for (i = 0; (row = pinned_i_row_by_number(&stats, i)) != NULL; i++)
    for (at = 0; at < HOSTCACHE_STAT_TYPES; at++) assert_int_equal(row[at].peak, row[at].current);
  assert_int_equal(stats.allocation[SMALL].peak, 1);
}

/* Both pools were at their most at different times. */
static void each_pool_has_peaks_of_its_own(void **state) {
  pinned_rig *rig = *state;
  hostcache_device_stats stats;
  void *small[2], *large;
  small[0] = pinned_rig_take(rig, 64 * KIB);
  small[1] = pinned_rig_take(rig, 64 * KIB);
  pinned_rig_give(rig, small[0]);
  pinned_rig_give(rig, small[1]);
  large = pinned_rig_take(rig, 3 * MIB);
  pinned_rig_give(rig, large);
  stats = figures(rig);
  assert_int_equal(stats.allocation[HOSTCACHE_STAT_AGGREGATE].peak, 2);
  assert_int_equal(stats.allocation[SMALL].peak, 2);
  assert_int_equal(stats.allocation[LARGE].peak, 1);
  assert_int_equal(stats.active_bytes[SMALL].peak, 128 * KIB);
  assert_int_equal(stats.active_bytes[LARGE].peak, 3 * MIB);
  assert_int_equal(stats.requested_bytes[LARGE].peak, 3 * MIB);
  assert_int_equal(stats.inactive_split_bytes[SMALL].peak, 2 * MIB - 64 * KIB);
  assert_int_equal(stats.inactive_split_bytes[LARGE].peak, 0);
}

/* ---- random programs ------------------------------------------------------------------------- */

enum { BLOCKS = 100, STEPS = 2000, TIDE = 150, STREAMS = 3 };

/* What the test knows by itself: the pool of each segment, by what it was got for, and, from walks
   and from what it did, what the figures have to be. */
typedef struct oracle {
  pinned_rig *rig;
  uint64_t chance;
  bool is_exact; /* there are no stocks, and never were: so the peaks of what is in use are exact */
  void *blocks[BLOCKS], *fresh; /* `fresh`: the last one, which no walk has seen yet */
  struct {
    const void *ptr;
    unsigned pool;
  } segments[4096];
  size_t segment_count;
  unsigned wanted;             /* the pool that new segments are for */
  unsigned pool;               /* of the segment that the walk is at, ... */
  size_t segment_size;         /* ... and how large that is */
  hostcache_device_stats now;  /* `current` by the last walk, `peak`: the highest of them, and
                                  `allocated` of allocation and allocated_bytes */
  hostcache_device_stats base; /* `current` when the accumulated figures were last reset */
  int64_t stocked;             /* the most that was in stocks and bins */
} oracle;

/* Which pool the segment at this address is of. One that is not known was just got. (The device
   gives no address twice.) */
static unsigned pool_at(oracle *o, const void *ptr) {
  size_t i;
  for (i = 0; i < o->segment_count; i++)
    if (o->segments[i].ptr == ptr) return o->segments[i].pool;
  assert_true(o->segment_count < COUNT_OF(o->segments));
  o->segments[o->segment_count].ptr = ptr;
  o->segments[o->segment_count++].pool = o->wanted;
  return o->wanted;
}

static void see(hostcache_stat *row, unsigned pool, size_t amount) {
  row[HOSTCACHE_STAT_AGGREGATE].current += (int64_t)amount;
  row[pool].current += (int64_t)amount;
}

static void see_fresh(hostcache_stat *row, unsigned pool, size_t amount) {
  row[HOSTCACHE_STAT_AGGREGATE].allocated += (int64_t)amount;
  row[pool].allocated += (int64_t)amount;
}

static int see_range(void *user, const hostcache_visit *visit) {
  oracle *o = (oracle *)user;
  const int kind = visit->kind;
  if (kind == HOSTCACHE_VISIT_SEGMENT) {
    o->pool = pool_at(o, visit->ptr);
    o->segment_size = visit->size;
    see(o->now.segment, o->pool, 1);
    see(o->now.reserved_bytes, o->pool, visit->size);
  } else if (kind == HOSTCACHE_VISIT_CACHED && visit->size < o->segment_size) {
    see(o->now.inactive_split, o->pool, 1);
    see(o->now.inactive_split_bytes, o->pool, visit->size);
  } else if (kind != HOSTCACHE_VISIT_CACHED && kind != HOSTCACHE_VISIT_LEAKED) {
    see(o->now.active, o->pool, 1);
    see(o->now.active_bytes, o->pool, visit->size);
    see(o->now.requested_bytes, o->pool, visit->requested);
  }
  if (kind == HOSTCACHE_VISIT_ACTIVE) {
    see(o->now.allocation, o->pool, 1);
    see(o->now.allocated_bytes, o->pool, visit->size);
    if (visit->ptr != o->fresh) return 0;
    see_fresh(o->now.allocation, o->pool, 1);
    see_fresh(o->now.allocated_bytes, o->pool, visit->size);
    o->fresh = NULL;
  }
  return 0;
}

static void walk(oracle *o) {
  hostcache_stat *row;
  unsigned i, at;
  for (i = 0; (row = pinned_i_row_by_number(&o->now, i)) != NULL; i++)
    for (at = 0; at < HOSTCACHE_STAT_TYPES; at++) row[at].current = 0;
  assert_ok(pinned_walk(o->rig->cache, see_range, o));
  for (i = 0; (row = pinned_i_row_by_number(&o->now, i)) != NULL; i++)
    for (at = 0; at < HOSTCACHE_STAT_TYPES; at++)
      if (row[at].current > row[at].peak) row[at].peak = row[at].current;
}

/* Is in stocks and bins now. */
static int64_t stocked(oracle *o) {
  const struct pinned_i_thread *thread = pinned_i_threads(o->rig->cache);
  int64_t bytes = (int64_t)o->rig->cache->binned_bytes;
  for (; thread != NULL; thread = thread->next) bytes += (int64_t)thread->stock_bytes;
  return bytes;
}

/* The highest that the peak of a row may be, where the test knows. (Ranges may have been ready in
   the middle of a call.) */
static int64_t highest(const oracle *o, const hostcache_device_stats *stats,
                       const hostcache_stat *row, const hostcache_stat *seen) {
  const bool is_of_use = row == stats->allocation || row == stats->allocated_bytes ||
                         row == stats->active || row == stats->active_bytes ||
                         row == stats->requested_bytes;
  if (o->is_exact && is_of_use) return seen->peak;
  return row == stats->active_bytes ? seen->peak + o->stocked : INT64_MAX;
}

static void must_be_true(oracle *o) {
  hostcache_device_stats stats;
  hostcache_stat *row;
  unsigned i, at;
  walk(o);
  if (stocked(o) > o->stocked) o->stocked = stocked(o);
  stats = figures(o->rig);
  for (i = 0; (row = pinned_i_row_by_number(&stats, i)) != NULL; i++) {
    const hostcache_stat *seen = pinned_i_row_by_number(&o->now, i);
    const hostcache_stat *base = pinned_i_row_by_number(&o->base, i);
    for (at = 0; at < HOSTCACHE_STAT_TYPES; at++) {
      assert_int_equal(row[at].current, seen[at].current);
      assert_int_equal(row[at].allocated - row[at].freed, row[at].current - base[at].current);
      assert_true(row[at].peak >= seen[at].peak);
      assert_true(row[at].peak <= highest(o, &stats, row, &seen[at]));
    }
    assert_int_equal(row[SMALL].allocated + row[LARGE].allocated, row[0].allocated);
    assert_int_equal(row[SMALL].freed + row[LARGE].freed, row[0].freed);
  }
  for (at = 0; at < HOSTCACHE_STAT_TYPES; at++) {
    assert_int_equal(stats.allocation[at].allocated, o->now.allocation[at].allocated);
    assert_int_equal(stats.allocated_bytes[at].allocated, o->now.allocated_bytes[at].allocated);
  }
}

static size_t chance(oracle *o, size_t bound) { return random_below(&o->chance, bound); }

/* Half of the blocks are of one class, so that there are batches of it. */
static void step_alloc(oracle *o) {
  static const size_t bounds[] = {4 * KIB, 64 * KIB, 64 * KIB, 1 * MIB, 2 * MIB, 5 * MIB};
  const size_t any = 1 + chance(o, bounds[chance(o, COUNT_OF(bounds))]);
  const size_t size = chance(o, 2) == 0 ? 8 * KIB - chance(o, 512) : any;
  const size_t at = chance(o, BLOCKS);
  if (o->blocks[at] != NULL) return;
  o->wanted = size <= MIB ? SMALL : LARGE;
  if (pinned_alloc(o->rig->cache, size, &o->blocks[at]) != HOSTCACHE_OK) return;
  sim_handed_out(&o->rig->device, o->blocks[at], size);
  o->fresh = o->blocks[at];
}

/* Frees a block that was used by 0 to 2 streams: now, or from a callback of the runtime. One of
   many frees fails, so that the block is quarantined. */
static void step_free(oracle *o) {
  const size_t at = chance(o, BLOCKS);
  void *ptr = o->blocks[at];
  size_t uses = chance(o, 4) == 0 ? 1 + chance(o, 2) : 0;
  if (ptr == NULL) return;
  for (; uses > 0; uses--) (void)pinned_rig_use(o->rig, ptr, 1 + (sim_stream)chance(o, STREAMS));
  if (chance(o, 50) == 0) sim_fail(&o->rig->device, 1, false, SIM_ONLY(SIM_EVENT_RECORD));
  sim_handed_back(&o->rig->device, ptr);
  if (chance(o, 8) == 0)
    assert_ok(pinned_free_deferred(o->rig->cache, ptr));
  else
    (void)pinned_free(o->rig->cache, ptr);
  o->blocks[at] = NULL;
  sim_fail_no_more(&o->rig->device);
}

static void step_reset_accumulated(oracle *o) {
  unsigned at;
  assert_ok(pinned_reset_accumulated_stats(o->rig->cache));
  walk(o);
  o->base = o->now;
  for (at = 0; at < HOSTCACHE_STAT_TYPES; at++)
    o->now.allocation[at].allocated = o->now.allocated_bytes[at].allocated = 0;
}

static void step_reset_peaks(oracle *o) {
  hostcache_stat *row;
  unsigned i, at;
  assert_ok(pinned_reset_peak_stats(o->rig->cache));
  for (i = 0; (row = pinned_i_row_by_number(&o->now, i)) != NULL; i++)
    for (at = 0; at < HOSTCACHE_STAT_TYPES; at++) row[at].peak = 0;
  o->stocked = 0;
}

/* Some idle segments may not be given back. */
static void step_trim(oracle *o) {
  if (chance(o, 10) == 0) sim_fail(&o->rig->device, 1, false, SIM_ONLY(SIM_MEM_FREE));
  (void)pinned_trim(o->rig->cache, chance(o, 16 * MIB));
  sim_fail_no_more(&o->rig->device);
}

/* There is a tide: at times most steps allocate, at others most free. */
static void step(oracle *o, int number) {
  pinned *cache = o->rig->cache;
  const size_t kind = chance(o, 100), allocates = number / TIDE % 2 == 0 ? 60 : 20;
  if (kind < allocates) {
    step_alloc(o);
  } else if (kind < 82) {
    step_free(o);
  } else if (kind < 90) {
    sim_complete(&o->rig->device, 1 + (sim_stream)chance(o, STREAMS), 1);
    assert_ok(pinned_process_events(cache, NULL));
  } else if (kind < 91) {
    (void)pinned_empty_cache(cache);
  } else if (kind < 93) {
    step_trim(o);
  } else if (kind < 94) {
    o->wanted = SMALL;
    (void)pinned_reserve(cache, 64 * KIB, 1 + chance(o, 40));
  } else if (kind < 95) {
    (void)pinned_set_memory_fraction(cache, (double)(1 + chance(o, 8)) / 8);
  } else if (kind < 96) {
    sim_complete_all(&o->rig->device);
    assert_ok(pinned_release_quarantine(cache));
  } else if (kind < 97) {
    step_reset_accumulated(o);
  } else if (kind < 98) {
    step_reset_peaks(o);
  }
}

static void run_random_programs(size_t thread_cache_bytes) {
  oracle *o = (oracle *)malloc(sizeof *o);
  uint64_t seed;
  int i;
  assert_non_null(o);
  (void)pinned_rig_reset(NULL);
  all_memory.total = 64 * MIB;
  all_memory.fails = 0;
  for (seed = 1; seed <= 3; seed++) {
    memset(o, 0, sizeof *o);
    o->rig = pinned_rig_open_as(true);
    o->rig->may_leak = o->rig->may_lose_events = true;
    o->chance = seed;
    o->is_exact = thread_cache_bytes == HOSTCACHE_NONE;
    share(o->rig, thread_cache_bytes);
    for (i = 0; i < STEPS; i++) {
      step(o, i);
      must_be_true(o);
      if (i % 50 == 0) pinned_rig_check(o->rig);
    }
    pinned_rig_close(o->rig);
  }
  free(o);
}

static void the_columns_are_true_in_random_programs(void **state) {
  (void)state;
  run_random_programs(0);
}

static void the_columns_are_true_where_stocks_are_small(void **state) {
  (void)state;
  run_random_programs(128 * KIB); /* a batch of what half of the blocks are */
}

static void the_columns_are_true_and_peaks_exact_without_stocks(void **state) {
  (void)state;
  run_random_programs(HOSTCACHE_NONE);
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { THREADS = 3, ROUNDS = 400, HELD = 40 };

typedef struct worker {
  pinned_rig *rig;
  uint64_t chance;
} worker;

static void *work(void *argument) {
  static const size_t bounds[] = {4 * KIB, 64 * KIB, 1536 * KIB, 4 * MIB};
  worker *w = (worker *)argument;
  pinned *cache = w->rig->cache;
  void *held[HELD] = {NULL};
  size_t i;
  int round;
  for (round = 0; round < ROUNDS; round++) {
    const size_t at = random_below(&w->chance, HELD);
    const size_t size = 1 + random_below(&w->chance, bounds[random_below(&w->chance, 4)]);
    const sim_stream stream = 1 + (sim_stream)random_below(&w->chance, STREAMS);
    if (held[at] == NULL) {
      expect_or_abort(pinned_alloc(cache, size, &held[at]) == HOSTCACHE_OK);
      continue;
    }
    if (round % 3 == 0) {
      expect_or_abort(pinned_record_stream(cache, held[at], stream) == HOSTCACHE_OK);
      (void)sim_submit(&w->rig->device, stream);
    }
    expect_or_abort(pinned_free(cache, held[at]) == HOSTCACHE_OK);
    held[at] = NULL;
  }
  for (i = 0; i < HELD; i++) expect_or_abort(pinned_free(cache, held[i]) == HOSTCACHE_OK);
  return NULL;
}

static void must_add_up(pinned_rig *rig) {
  hostcache_device_stats stats = figures(rig);
  hostcache_stat *row;
  unsigned i;
  for (i = 0; (row = pinned_i_row_by_number(&stats, i)) != NULL; i++) {
    assert_int_equal(row[SMALL].current + row[LARGE].current, row[0].current);
    assert_int_equal(row[SMALL].allocated + row[LARGE].allocated, row[0].allocated);
    assert_int_equal(row[SMALL].freed + row[LARGE].freed, row[0].freed);
    assert_true(row[SMALL].peak >= row[SMALL].current);
    assert_true(row[LARGE].peak >= row[LARGE].current);
  }
}

static void the_columns_add_up_while_threads_are_at_work(void **state) {
  pinned_rig *rig = *state;
  pthread_t threads[THREADS];
  worker workers[THREADS];
  hostcache_device_stats stats;
  size_t i, size;
  rig->device.eager = true;
  all_memory.total = GIB; /* the fraction never refuses: together they may have 67 MiB at a time */
  for (i = 0; i < THREADS; i++) {
    workers[i].rig = rig;
    workers[i].chance = i + 1;
    assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
  }
  for (i = 0; i < 30; i++) {
    must_add_up(rig);
    pinned_rig_check(rig);
    assert_ok(pinned_cache_info(rig->cache, &size));
    assert_ok(pinned_set_memory_fraction(rig->cache, 1));
    if (i % 10 == 3) assert_ok(pinned_reset_accumulated_stats(rig->cache));
    if (i % 10 == 6) assert_ok(pinned_reset_peak_stats(rig->cache));
    if (i % 10 == 9) assert_ok(pinned_empty_cache(rig->cache));
  }
  for (i = 0; i < THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_ok(pinned_synchronize(rig->cache, UINT64_MAX));
  assert_ok(pinned_empty_cache(rig->cache));
  must_add_up(rig);
  stats = figures(rig);
  MUST_BE(stats.allocation, 0, 0, 0);
  MUST_BE(stats.active_bytes, 0, 0, 0);
  MUST_BE(stats.requested_bytes, 0, 0, 0);
  MUST_BE(stats.inactive_split, 0, 0, 0);
  MUST_BE(stats.reserved_bytes, 0, 0, 0);
}

/* ---- sets ------------------------------------------------------------------------------------ */

enum { DEVICES = 4 };

typedef struct machine {
  sim_device devices[DEVICES];
  sim_device *ctxs[DEVICES];
  heard heard;
  hostcache_config config;
  pinned_devices *set;
} machine;

static int open_machine(void **state) {
  const hostcache_config config = HOSTCACHE_CONFIG_INIT;
  machine *m = (machine *)calloc(1, sizeof *m);
  int i;
  if (m == NULL) return -1;
  (void)pinned_rig_reset(state);
  for (i = 0; i < DEVICES; i++) {
    sim_open(&m->devices[i]);
    m->ctxs[i] = &m->devices[i];
  }
  m->config = config;
  m->config.reserve_segment_bytes = 2 * MIB;
  m->config.on_error = hear;
  m->config.on_error_user = &m->heard;
  *state = m;
  return 0;
}

static int close_machine(void **state) {
  machine *m = *state;
  int i;
  below_fail_no_more();
  if (m->set != NULL) assert_ok(pinned_devices_destroy(m->set));
  for (i = 0; i < DEVICES; i++) assert_int_equal(sim_close(&m->devices[i], 0, 0), 0);
  assert_int_equal(atomic_load(&below.live), 0);
  free(m);
  return 0;
}

static void make(machine *m) {
  assert_ok(pinned_devices_create(&m->set, DEVICES, &m->config, m->ctxs));
}

static pinned *cache_of(machine *m, size_t index) {
  pinned *cache = NULL;
  assert_ok(pinned_devices_get(m->set, 1, index, &cache));
  assert_non_null(cache);
  return cache;
}

static void each_device_has_a_cache_of_its_own(void **state) {
  machine *m = *state;
  size_t i;
  void *ptr;
  make(m);
  assert_int_equal(pinned_devices_count(m->set), DEVICES);
  for (i = 0; i < DEVICES; i++) {
    assert_int_equal(sim_live_bytes(&m->devices[i]), 2 * MIB);
    assert_ok(pinned_alloc(cache_of(m, i), 3 * MIB, &ptr));
    assert_int_equal(sim_calls(&m->devices[i], SIM_ONLY(SIM_MEM_ALLOC)), 2);
    assert_ok(pinned_free(cache_of(m, i), ptr));
    assert_ptr_equal(cache_of(m, i), cache_of(m, i));
  }
  assert_ptr_not_equal(cache_of(m, 0), cache_of(m, 1));
}

static void must_have_none(machine *m, int device_type, size_t index) {
  pinned *cache = (pinned *)(void *)m;
  assert_result(pinned_devices_get(m->set, device_type, index, &cache), HOSTCACHE_ERR_ARGUMENT);
  assert_null(cache);
}

static void the_cpu_is_no_device(void **state) {
  machine *m = *state;
  make(m);
  must_have_none(m, HOSTCACHE_DEVICE_TYPE_CPU, 0);
  must_have_none(m, -1, 0);
  (void)cache_of(m, 0);
}

static void there_is_no_device_beyond_the_last(void **state) {
  machine *m = *state;
  make(m);
  (void)cache_of(m, DEVICES - 1);
  must_have_none(m, 1, DEVICES);
  must_have_none(m, 1, SIZE_MAX);
}

static void a_machine_may_have_no_device(void **state) {
  machine *m = *state;
  assert_ok(pinned_devices_create(&m->set, 0, NULL, NULL));
  assert_int_equal(pinned_devices_count(m->set), 0);
  must_have_none(m, 1, 0);
}

static void all_caches_of_a_set_are_made_or_none(void **state) {
  machine *m = *state;
  int failing;
  for (failing = 0; failing < DEVICES; failing++) {
    m->set = (pinned_devices *)(void *)m;
    sim_fail(&m->devices[failing], 1, false, SIM_ONLY(SIM_MEM_ALLOC));
    assert_result(pinned_devices_create(&m->set, DEVICES, &m->config, m->ctxs),
                  HOSTCACHE_ERR_OUT_OF_MEMORY);
    assert_null(m->set);
    assert_int_equal(atomic_load(&below.live), 0);
    sim_fail_no_more(&m->devices[failing]);
  }
  m->config.class_steps = 3;
  assert_result(pinned_devices_create(&m->set, DEVICES, &m->config, m->ctxs),
                HOSTCACHE_ERR_ARGUMENT);
}

static void a_set_without_memory_for_it_is_not_made(void **state) {
  machine *m = *state;
  hostcache_result result = HOSTCACHE_ERR_NO_METADATA;
  uint64_t n;
  for (n = 1; result != HOSTCACHE_OK; n++) {
    below_fail(n, false);
    result = pinned_devices_create(&m->set, DEVICES, &m->config, m->ctxs);
    if (result == HOSTCACHE_OK) break;
    assert_int_equal(result, HOSTCACHE_ERR_NO_METADATA);
    assert_null(m->set);
    assert_int_equal(atomic_load(&below.live), 0);
  }
  assert_true(n > 1 + DEVICES);
  below_fail_no_more();
  assert_ok(pinned_devices_destroy(m->set));
  assert_result(pinned_devices_create(&m->set, SIZE_MAX, &m->config, m->ctxs),
                HOSTCACHE_ERR_NO_METADATA);
  assert_result(pinned_devices_create(&m->set, SIZE_MAX / sizeof(void *), &m->config, m->ctxs),
                HOSTCACHE_ERR_NO_METADATA);
}

static void a_busy_set_goes_on_as_a_whole(void **state) {
  machine *m = *state;
  void *ptr, *other;
  make(m);
  assert_ok(pinned_alloc(cache_of(m, DEVICES - 1), 64 * KIB, &ptr));
  assert_ok(pinned_record_stream(cache_of(m, DEVICES - 1), ptr, 1));
  (void)sim_submit(&m->devices[DEVICES - 1], 1);
  assert_result(pinned_devices_destroy(m->set), HOSTCACHE_ERR_BUSY);
  assert_ok(pinned_alloc(cache_of(m, 0), 64 * KIB, &other)); /* the first is there still */
  assert_ok(pinned_free(cache_of(m, 0), other));
  assert_int_equal(sim_live_bytes(&m->devices[0]), 2 * MIB);
  assert_ok(pinned_free(cache_of(m, DEVICES - 1), ptr));
  assert_result(pinned_devices_destroy(m->set), HOSTCACHE_ERR_BUSY); /* it waits */
  sim_complete_all(&m->devices[DEVICES - 1]);
  assert_ok(pinned_devices_destroy(m->set)); /* polls */
  m->set = NULL;
}

static void a_set_that_leaves_memory_says_so(void **state) {
  machine *m = *state;
  make(m);
  sim_fail(&m->devices[0], 1, false, SIM_ONLY(SIM_MEM_FREE));
  assert_result(pinned_devices_destroy(m->set), HOSTCACHE_ERR_LEAKED);
  m->set = NULL;
  assert_int_equal(m->heard.count, 1);
  assert_int_equal(m->heard.result, HOSTCACHE_ERR_LEAKED);
  assert_int_equal(sim_live_bytes(&m->devices[1]), 0);
  assert_int_equal(sim_close(&m->devices[0], 2 * MIB, 0), 0);
  sim_open(&m->devices[0]); /* for the end of the test */
}

static void an_abandoned_set_calls_no_hook(void **state) {
  machine *m = *state;
  void *ptr;
  int i;
  make(m);
  assert_ok(pinned_alloc(cache_of(m, 1), 64 * KIB, &ptr));
  for (i = 0; i < DEVICES; i++) sim_shutdown(&m->devices[i]);
  pinned_devices_abandon(m->set);
  m->set = NULL;
  pinned_devices_abandon(NULL);
  for (i = 0; i < DEVICES; i++) {
    assert_int_equal(sim_close(&m->devices[i], 2 * MIB, 0), 0);
    sim_open(&m->devices[i]);
  }
}

static void call_all_in_a_child(void *argument) {
  machine *m = (machine *)argument;
  pinned *cache = (pinned *)argument;
  MUST(pinned_devices_get(m->set, 1, 0, &cache) == HOSTCACHE_ERR_FORKED);
  MUST(cache == NULL);
  MUST(pinned_devices_destroy(m->set) == HOSTCACHE_ERR_FORKED);
  pinned_devices_abandon(m->set);
  MUST(pinned_devices_count(m->set) == DEVICES); /* it is as it was */
  _exit(0);
}

static void a_set_is_of_the_process_that_made_it(void **state) {
  machine *m = *state;
  make(m);
  in_a_child(call_all_in_a_child, m);
  (void)cache_of(m, 0);
}

/* ---- arguments ------------------------------------------------------------------------------- */

static void what_is_null_is_an_argument_error(void **state) {
  pinned_rig *rig = *state;
  hostcache_device_stats stats;
  sim_device *ctx = &rig->device;
  pinned_devices *set = (pinned_devices *)(void *)rig;
  pinned *cache = rig->cache;
  size_t a = 5, b = 6;
  double fraction = 7;
  assert_result(pinned_memory_info(NULL, &a, &b), HOSTCACHE_ERR_ARGUMENT);
  assert_int_equal(a + b, 0);
  assert_result(pinned_memory_info(cache, NULL, &b), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_memory_info(cache, &a, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_set_memory_fraction(NULL, 1), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_get_memory_fraction(NULL, &fraction), HOSTCACHE_ERR_ARGUMENT);
  assert_true(fraction == 0);
  assert_result(pinned_get_memory_fraction(cache, NULL), HOSTCACHE_ERR_ARGUMENT);
  a = 5;
  assert_result(pinned_cache_info(NULL, &a), HOSTCACHE_ERR_ARGUMENT);
  assert_int_equal(a, 0);
  assert_result(pinned_cache_info(cache, NULL), HOSTCACHE_ERR_ARGUMENT);
  a = 5;
  assert_result(pinned_get_expandable_segment_sizes(NULL, NULL, 0, &a), HOSTCACHE_ERR_ARGUMENT);
  assert_int_equal(a, 0);
  assert_result(pinned_get_expandable_segment_sizes(cache, NULL, 0, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_device_stats(NULL, &stats), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_device_stats(cache, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_devices_create(NULL, 1, NULL, &ctx), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_devices_create(&set, 1, NULL, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_null(set);
  assert_result(pinned_devices_destroy(NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_devices_get(NULL, 1, 0, &cache), HOSTCACHE_ERR_ARGUMENT);
  assert_null(cache);
  assert_int_equal(pinned_devices_count(NULL), 0);
  assert_ok(pinned_devices_create(&set, 1, NULL, &ctx));
  assert_result(pinned_devices_get(set, 1, 0, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_ok(pinned_devices_destroy(set));
}

static void call_all_of_a_cache_in_a_child(void *argument) {
  pinned *cache = (pinned *)argument;
  hostcache_device_stats stats;
  size_t a, b;
  double fraction;
  MUST(pinned_memory_info(cache, &a, &b) == HOSTCACHE_ERR_FORKED);
  MUST(pinned_set_memory_fraction(cache, 1) == HOSTCACHE_ERR_FORKED);
  MUST(pinned_get_memory_fraction(cache, &fraction) == HOSTCACHE_ERR_FORKED);
  MUST(pinned_cache_info(cache, &a) == HOSTCACHE_ERR_FORKED);
  MUST(pinned_get_expandable_segment_sizes(cache, NULL, 0, &a) == HOSTCACHE_ERR_FORKED);
  MUST(pinned_device_stats(cache, &stats) == HOSTCACHE_ERR_FORKED);
  _exit(0);
}

static void a_child_after_fork_gets_forked_from_everything(void **state) {
  pinned_rig *rig = *state;
  in_a_child(call_all_of_a_cache_in_a_child, rig->cache);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_with_stocks, pinned_rig_teardown)
#define TEST_EXACT(name) \
  cmocka_unit_test_setup_teardown(name, open_without_stocks, pinned_rig_teardown)
#define TEST_SET(name) cmocka_unit_test_setup_teardown(name, open_machine, close_machine)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_cache_is_initialized_in_the_process_that_made_it),
      TEST(memory_is_what_the_hook_says),
      TEST(memory_is_unknown_where_the_hook_fails),
      cmocka_unit_test_setup_teardown(without_the_hook_there_is_no_memory_to_have_a_part_of,
                                      counted_rig_setup_alone, counted_rig_teardown),
      TEST(a_fraction_bounds_what_is_held),
      TEST(no_fraction_bounds_nothing),
      TEST(a_fraction_of_one_is_a_bound_too),
      TEST(of_a_fraction_of_zero_nothing_is_held),
      TEST(what_is_above_the_fraction_goes_back),
      TEST(memory_that_does_not_go_back_is_told),
      TEST(the_lower_of_both_caps_counts),
      TEST(a_fraction_is_of_what_the_hook_says_at_the_call),
      TEST(what_is_no_fraction_changes_nothing),
      cmocka_unit_test(a_part_is_rounded_down_and_never_above_the_whole),
      TEST(nothing_is_the_largest_where_nothing_is_cached),
      TEST(the_largest_is_found_among_those_of_about_its_size),
      TEST(the_largest_may_be_in_any_heap),
      TEST(the_largest_may_be_in_a_stock),
      TEST(the_largest_may_be_in_a_shared_bin),
      TEST(the_largest_may_be_in_the_stock_of_a_thread_that_sleeps),
      TEST(there_are_no_segments_that_grow),
      TEST(what_small_blocks_share_is_the_small_pool),
      TEST(a_block_is_of_the_pool_that_it_was_carved_from),
      TEST(what_is_in_a_stock_is_counted_in_every_class),
      TEST(what_is_in_a_shared_bin_is_of_its_pool),
      TEST(what_bins_held_is_in_the_peaks_when_they_are_empty),
      TEST(what_was_reserved_at_creation_is_large),
      TEST(what_waits_is_active_and_not_allocated),
      TEST(the_other_figures_are_those_of_all),
      TEST(what_is_not_split_is_oversize),
      TEST(what_the_cap_refuses_is_counted),
      TEST(the_columns_are_reset_as_well),
      TEST_EXACT(each_pool_has_peaks_of_its_own),
      cmocka_unit_test(the_columns_are_true_in_random_programs),
      cmocka_unit_test(the_columns_are_true_where_stocks_are_small),
      cmocka_unit_test(the_columns_are_true_and_peaks_exact_without_stocks),
      TEST(the_columns_add_up_while_threads_are_at_work),
      TEST_SET(each_device_has_a_cache_of_its_own),
      TEST_SET(the_cpu_is_no_device),
      TEST_SET(there_is_no_device_beyond_the_last),
      TEST_SET(a_machine_may_have_no_device),
      TEST_SET(all_caches_of_a_set_are_made_or_none),
      TEST_SET(a_set_without_memory_for_it_is_not_made),
      TEST_SET(a_busy_set_goes_on_as_a_whole),
      TEST_SET(a_set_that_leaves_memory_says_so),
      TEST_SET(an_abandoned_set_calls_no_hook),
      TEST_SET(a_set_is_of_the_process_that_made_it),
      TEST(what_is_null_is_an_argument_error),
      TEST(a_child_after_fork_gets_forked_from_everything),
  };
  return cmocka_run_group_tests_name("device_allocator", tests, NULL, NULL);
}
