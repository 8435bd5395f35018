/* threads_none.c - tests sections 5 and 10 of the header without threads: HOSTCACHE_THREADS_NONE.

   Promises: the one thread of such a program has a stock like any other (a hit calls no hook and no
   malloc); what is in it goes back with all else that is idle, is bounded by whatever bounds what
   is kept idle, also by what is set later, and is used before more is got; figures are exact, and a
   history misses nothing. Of the registry only what is there is removed. */

#define HOSTCACHE_THREADS_NONE

#include "sim/below.h"

#define HOSTCACHE_REGISTRY_IMPLEMENTATION
#define HC_NAME pinned
#define HC_HOST_ALLOCATOR
#define HC_DEVICE_ALLOCATOR
#define HC_TRACE
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE pinned
#include "sim/rig.h"

/* Shared segments of 2 MiB, so that blocks are parts of them and go through the stock. */
static hostcache_config shared_config(pinned_rig *rig) {
  hostcache_config config = pinned_rig_config(rig);
  config.segment_bytes = 0;
  return config;
}

static int open_with_a_stock(void **state) {
  (void)pinned_rig_setup(state);
  pinned_rig_configure(*state, shared_config(*state));
  return 0;
}

static size_t stocked_bytes(pinned_rig *rig) { return rig->cache->common.stock_bytes; }
static int64_t reserved(pinned_rig *rig) { return pinned_rig_stats(rig).reserved_bytes.current; }
static int64_t cached(pinned_rig *rig) { return pinned_rig_stats(rig).cached_bytes.current; }

static void take_and_give(pinned_rig *rig, size_t size, size_t count) {
  void *blocks[64];
  size_t i;
  assert_in_range(count, 0, COUNT_OF(blocks));
  for (i = 0; i < count; i++) blocks[i] = pinned_rig_take(rig, size);
  for (i = 0; i < count; i++) pinned_rig_give(rig, blocks[i]);
}

/* ---- hits ------------------------------------------------------------------------------------ */

static void a_hit_is_served_by_the_stock_and_calls_no_hook_and_no_malloc(void **state) {
  pinned_rig *rig = *state;
  void *blocks[8];
  uint64_t hooks, mallocs;
  int64_t hits;
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, 64 * KIB);
  for (i = 0; i < COUNT_OF(blocks); i++) pinned_rig_give(rig, blocks[i]);
  assert_int_equal(stocked_bytes(rig), COUNT_OF(blocks) * 64 * KIB);
  hooks = sim_calls(&rig->device, SIM_EVERY_HOOK);
  mallocs = atomic_load(&below.calls);
  hits = pinned_rig_stats(rig).num_hits;
  for (i = COUNT_OF(blocks); i > 0; i--) /* what was freed last is had first */
    assert_ptr_equal(pinned_rig_take(rig, 61 * KIB), blocks[i - 1]);
  assert_int_equal(stocked_bytes(rig), 0);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), hooks);
  assert_int_equal(atomic_load(&below.calls), mallocs);
  assert_int_equal(pinned_rig_stats(rig).num_hits, hits + (int64_t)COUNT_OF(blocks));
}

static void a_block_that_was_in_use_is_in_the_stock_when_its_work_is_done(void **state) {
  pinned_rig *rig = *state;
  void *first = pinned_rig_take(rig, 64 * KIB), *second;
  second = pinned_rig_pend(rig, 64 * KIB, 1); /* a part of a segment, as it has a neighbour */
  assert_int_equal(pinned_rig_poll(rig), 0);
  assert_int_equal(stocked_bytes(rig), 0);
  assert_int_equal(pinned_rig_stats(rig).pending.current, 1);
  sim_complete(&rig->device, 1, -1);
  assert_int_equal(pinned_rig_poll(rig), 1);
  assert_int_equal(stocked_bytes(rig), 64 * KIB);
  assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), second);
  pinned_rig_give(rig, first);
}

static void a_double_free_of_what_is_in_the_stock_is_told(void **state) {
  pinned_rig *rig = *state;
  void *first = pinned_rig_take(rig, 64 * KIB), *second = pinned_rig_take(rig, 64 * KIB);
  pinned_rig_give(rig, second);
  assert_int_equal(stocked_bytes(rig), 64 * KIB);
  assert_result(pinned_free(rig->cache, second), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_result(pinned_record_stream(rig->cache, second, 1), HOSTCACHE_ERR_NOT_FOUND);
  assert_int_equal(stocked_bytes(rig), 64 * KIB);
  pinned_rig_give(rig, first);
}

static void what_a_callback_freed_is_in_the_stock_when_its_work_is_done(void **state) {
  pinned_rig *rig = *state;
  void *first = pinned_rig_take(rig, 64 * KIB), *second = pinned_rig_take(rig, 64 * KIB);
  (void)pinned_rig_use(rig, second, 1);
  sim_handed_back(&rig->device, second);
  assert_ok(pinned_free_deferred(rig->cache, second));
  assert_int_equal(pinned_rig_poll(rig), 0);
  sim_complete(&rig->device, 1, -1);
  assert_int_equal(pinned_rig_poll(rig), 1);
  assert_int_equal(stocked_bytes(rig), 64 * KIB);
  assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), second);
  pinned_rig_give(rig, first);
}

/* ---- what reaches the stock ------------------------------------------------------------------ */

static void empty_cache_and_trim_reach_the_stock(void **state) {
  pinned_rig *rig = *state;
  take_and_give(rig, 64 * KIB, 40);
  assert_true(stocked_bytes(rig) > 0);
  assert_ok(pinned_empty_cache(rig->cache));
  assert_int_equal(stocked_bytes(rig), 0);
  assert_int_equal(reserved(rig), 0);
  take_and_give(rig, 64 * KIB, 40);
  assert_ok(pinned_trim(rig->cache, 2 * MIB));
  assert_in_range(reserved(rig), 0, 2 * MIB);
  assert_ok(pinned_trim(rig->cache, 0));
  assert_int_equal(reserved(rig), 0);
  take_and_give(rig, 64 * KIB, 40);
  assert_ok(pinned_trim_idle(rig->cache, 1000000)); /* idle from now on */
  assert_int_equal(stocked_bytes(rig), 0);
  atomic_fetch_add(&below.now_ns, 1000000);
  assert_ok(pinned_trim_idle(rig->cache, 1000000));
  assert_int_equal(reserved(rig), 0);
}

static void what_is_in_the_stock_is_used_for_larger_blocks_before_more_is_got(void **state) {
  pinned_rig *rig = *state;
  uint64_t calls;
  take_and_give(rig, 64 * KIB, 32);
  assert_true(stocked_bytes(rig) > MIB);
  calls = sim_calls(&rig->device, SIM_EVERY_HOOK);
  take_and_give(rig, 2 * MIB, 1);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), calls);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static void a_bound_on_what_is_idle_that_is_set_later_binds_the_stock(void **state) {
  static const size_t bounds[] = {64 * 1024, HOSTCACHE_NONE};
  pinned_rig *rig = *state;
  void *blocks[40];
  size_t i, k;
  for (k = 0; k < COUNT_OF(bounds); k++) {
    for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, 64 * KIB);
    assert_ok(pinned_set_max_cached_bytes(rig->cache, bounds[k]));
    for (i = 0; i < COUNT_OF(blocks); i++) pinned_rig_give(rig, blocks[i]);
    assert_int_equal(stocked_bytes(rig), 0);
    assert_in_range(cached(rig), 0, bounds[k] == HOSTCACHE_NONE ? 0 : bounds[k]);
    assert_ok(pinned_set_max_cached_bytes(rig->cache, 0));
    take_and_give(rig, 64 * KIB, 40); /* now there is a stock again, */
    assert_true(stocked_bytes(rig) > 0);
    assert_ok(pinned_set_max_cached_bytes(rig->cache, bounds[k])); /* which is bound, too */
    assert_int_equal(stocked_bytes(rig), 0);
    assert_in_range(cached(rig), 0, bounds[k] == HOSTCACHE_NONE ? 0 : bounds[k]);
    assert_ok(pinned_set_max_cached_bytes(rig->cache, 0));
  }
}

static void a_lowered_cap_binds_what_is_freed_into_the_stock(void **state) {
  pinned_rig *rig = *state;
  void *blocks[40];
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, 64 * KIB);
  assert_ok(pinned_set_max_reserved_bytes(rig->cache, 64 * KIB));
  for (i = 0; i < COUNT_OF(blocks); i++) pinned_rig_give(rig, blocks[i]);
  assert_int_equal(stocked_bytes(rig), 0);
  assert_int_equal(reserved(rig), 0);
  take_and_give(rig, 64 * KIB, 1);
  assert_int_equal(reserved(rig), 64 * KIB);
  assert_ok(pinned_set_max_reserved_bytes(rig->cache, 1)); /* also what is there already */
  assert_int_equal(reserved(rig), 0);
}

static void the_config_bounds_the_stock(void **state) {
  enum { STOCK = 256 * 1024 };
  pinned_rig *rig = *state;
  hostcache_config config = shared_config(rig);
  config.thread_cache_bytes = STOCK;
  pinned_rig_configure(rig, config);
  take_and_give(rig, 4 * KIB, 60);
  assert_int_equal(stocked_bytes(rig), 60 * 4 * KIB);
  take_and_give(rig, 64 * KIB, 60);
  assert_in_range(stocked_bytes(rig), 0, STOCK);
  config.thread_cache_bytes = HOSTCACHE_NONE;
  pinned_rig_configure(rig, config);
  take_and_give(rig, 64 * KIB, 60);
  assert_int_equal(stocked_bytes(rig), 0);
  assert_int_equal(rig->cache->common.limit, 0);
  config = shared_config(rig);
  config.max_cached_bytes = STOCK;
  pinned_rig_configure(rig, config);
  take_and_give(rig, 64 * KIB, 60);
  assert_int_equal(stocked_bytes(rig), 0);
  assert_in_range(cached(rig), 0, STOCK);
}

/* ---- figures --------------------------------------------------------------------------------- */

/* What the test knows of what it holds. */
typedef struct book {
  int64_t held, bytes, asked, gets;
} book;

static void compare(pinned_rig *rig, const book *b) {
  const hostcache_stats stats = pinned_rig_stats(rig);
  assert_int_equal(stats.allocation.current, b->held);
  assert_int_equal(stats.allocation.allocated, b->gets);
  assert_int_equal(stats.allocation.freed, b->gets - b->held);
  assert_int_equal(stats.allocated_bytes.current, b->bytes);
  assert_int_equal(stats.active_bytes.current, b->bytes);
  assert_int_equal(stats.requested_bytes.current, b->asked);
  assert_int_equal(stats.wasted_bytes.current, b->bytes - b->asked);
  assert_int_equal(stats.cached_bytes.current, stats.reserved_bytes.current - b->bytes);
  assert_int_equal(stats.num_hits + stats.num_misses, b->gets);
  assert_true(stats.active_bytes.peak >= b->bytes);
  assert_true(stats.active_bytes.peak <= stats.reserved_bytes.peak);
  pinned_rig_check(rig);
}

static void figures_are_exact_whatever_is_in_the_stock(void **state) {
  pinned_rig *rig = *state;
  pinned_block *held[32] = {NULL};
  size_t asked[COUNT_OF(held)], most = 0, i;
  book b = {0, 0, 0, 0};
  uint64_t seed = 3;
  int step;
  for (step = 0; step < 3000; step++) {
    i = random_below(&seed, COUNT_OF(held));
    if (held[i] == NULL) {
      asked[i] = 1 + random_below(&seed, (size_t)512 << random_below(&seed, 10));
      assert_ok(pinned_block_alloc(rig->cache, asked[i], &held[i]));
      b.held++;
      b.gets++;
      b.bytes += (int64_t)pinned_block_size(held[i]);
      b.asked += (int64_t)asked[i];
    } else {
      b.held--;
      b.bytes -= (int64_t)pinned_block_size(held[i]);
      b.asked -= (int64_t)asked[i];
      assert_ok(pinned_block_free(rig->cache, held[i]));
      held[i] = NULL;
    }
    if (random_below(&seed, 300) == 0) assert_ok(pinned_empty_cache(rig->cache));
    compare(rig, &b);
    if (stocked_bytes(rig) > most) most = stocked_bytes(rig);
  }
  assert_true(most > 0);
  for (i = 0; i < COUNT_OF(held); i++)
    if (held[i] != NULL) assert_ok(pinned_block_free(rig->cache, held[i]));
  assert_ok(pinned_empty_cache(rig->cache));
  assert_int_equal(reserved(rig), 0);
  assert_ok(pinned_reset_accumulated_stats(rig->cache));
  assert_int_equal(pinned_rig_stats(rig).allocation.allocated, 0);
  assert_ok(pinned_reset_peak_stats(rig->cache));
  assert_int_equal(pinned_rig_stats(rig).active_bytes.peak, 0);
}

static void peaks_are_exact_where_there_is_no_stock(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = shared_config(rig);
  config.thread_cache_bytes = HOSTCACHE_NONE;
  pinned_rig_configure(rig, config);
  (void)pinned_rig_pend(rig, 64 * KIB, 1);
  (void)pinned_rig_take(rig, 64 * KIB);
  assert_int_equal(pinned_rig_stats(rig).active.peak, 2);
  assert_int_equal(pinned_rig_stats(rig).allocation.peak, 1); /* one after the other */
}

static void the_largest_may_be_in_the_stock(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = shared_config(rig);
  size_t size;
  config.segment_bytes = 256 * KIB;
  pinned_rig_configure(rig, config);
  take_and_give(rig, 64 * KIB, 4);
  assert_int_equal(stocked_bytes(rig), 4 * 64 * KIB);
  assert_ok(pinned_cache_info(rig->cache, &size));
  assert_int_equal(size, 64 * KIB);
}

/* ---- the history ----------------------------------------------------------------------------- */

static void count(void *user, const hostcache_trace *entry) { ((int *)user)[entry->action]++; }

static void a_history_tells_of_what_the_stock_serves(void **state) {
  pinned_rig *rig = *state;
  int counts[8] = {0};
  take_and_give(rig, 64 * KIB, 4);
  assert_ok(pinned_record_history(rig->cache, 100, NULL, NULL));
  take_and_give(rig, 64 * KIB, 4);
  take_and_give(rig, 64 * KIB, 4);
  assert_ok(pinned_history(rig->cache, count, counts));
  assert_int_equal(counts[HOSTCACHE_TRACE_ALLOC], 8);
  assert_int_equal(counts[HOSTCACHE_TRACE_FREE_COMPLETED], 8);
}

/* ---- the registry ---------------------------------------------------------------------------- */

static void an_allocator_that_is_not_registered_is_not_removed(void **state) {
  pinned_rig *rig = *state;
  hostcache_allocator mine, other;
  assert_ok(pinned_as_allocator(rig->cache, &mine));
  other = mine;
  assert_ptr_equal(hostcache_set_host_allocator(3, &mine), &mine);
  assert_int_equal(hostcache_remove_host_allocator(3, &other), 0);
  assert_ptr_equal(hostcache_get_host_allocator(3), &mine);
  assert_int_equal(hostcache_remove_host_allocator(3, &mine), 1);
  assert_int_equal(hostcache_remove_host_allocator(3, &mine), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_with_a_stock, pinned_rig_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_hit_is_served_by_the_stock_and_calls_no_hook_and_no_malloc),
      TEST(a_block_that_was_in_use_is_in_the_stock_when_its_work_is_done),
      TEST(what_a_callback_freed_is_in_the_stock_when_its_work_is_done),
      TEST(a_double_free_of_what_is_in_the_stock_is_told),
      TEST(empty_cache_and_trim_reach_the_stock),
      TEST(what_is_in_the_stock_is_used_for_larger_blocks_before_more_is_got),
      TEST(a_bound_on_what_is_idle_that_is_set_later_binds_the_stock),
      TEST(a_lowered_cap_binds_what_is_freed_into_the_stock),
      TEST(the_config_bounds_the_stock),
      TEST(figures_are_exact_whatever_is_in_the_stock),
      TEST(peaks_are_exact_where_there_is_no_stock),
      TEST(the_largest_may_be_in_the_stock),
      TEST(a_history_tells_of_what_the_stock_serves),
      TEST(an_allocator_that_is_not_registered_is_not_removed),
  };
  return cmocka_run_group_tests_name("threads_none", tests, NULL, NULL);
}
