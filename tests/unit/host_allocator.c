/* host_allocator.c - tests the host allocator without its type (section 12, HC_HOST_ALLOCATOR): the
   struct that as_allocator fills in, the registry, and the loop for a thread of the user's own.

   Promises: what goes through the struct is what the cache itself does; the deleter needs the
   context alone; a context that is not of this cache is never looked at; the figures have the
   meanings of at::HostStats; a poll happens without anybody asking for it, and an end of the cache
   waits for it. */

#include "sim/below.h"

#ifndef _WIN32
#include <pthread.h>
#include <sched.h>
#include <time.h>

/* What the cache does instead of sleeping, where a test says so. */
static _Thread_local void (*sleeps)(uint64_t ns);

static int sleep_here(const struct timespec *time, struct timespec *rest) {
  if (sleeps == NULL) return (nanosleep)(time, rest);
  sleeps((uint64_t)time->tv_sec * 1000000000 + (uint64_t)time->tv_nsec);
  return 0;
}

#define nanosleep(time, rest) sleep_here(time, rest)
#endif

#define HOSTCACHE_REGISTRY_IMPLEMENTATION

static int copies; /* calls of HC_COPY_DATA; fails where there is nothing to copy from */

static int copy_by_hand(void *dest, const void *src, size_t count) {
  const unsigned char *from = (const unsigned char *)src;
  copies++;
  if (from[0] == 0) return 7;
  for (; count > 0; count--) ((unsigned char *)dest)[count - 1] = from[count - 1];
  return 0;
}

#define HC_NAME pinned
#define HC_HOST_ALLOCATOR
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME copying
#define HC_HOST_ALLOCATOR
#define HC_COPY_DATA(ctx, dest, src, count) hostcache_map(copy_by_hand(dest, src, count), 0, 0)
#include "sim/hooks_timeline.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME streamless
#define HC_HOST_ALLOCATOR
#define HC_NO_STREAMS
#include "sim/hooks_memory.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE pinned
#include "sim/rig.h"
#undef CACHE

#define CACHE copying
#include "sim/rig.h"
#undef CACHE

#include <limits.h>
#include <pthread.h>
#include <sched.h>

static hostcache_allocator allocator_of(pinned_rig *rig) {
  hostcache_allocator allocator;
  assert_ok(pinned_as_allocator(rig->cache, &allocator));
  return allocator;
}

/* ---- the struct ------------------------------------------------------------------------------ */

static void what_is_allocated_through_it_is_a_block_of_the_cache(void **state) {
  pinned_rig *rig = *state;
  const hostcache_allocator a = allocator_of(rig);
  void *ptr = NULL, *context = NULL;
  assert_ok(a.allocate(a.cache, 64 * KIB, &ptr, &context));
  assert_non_null(ptr);
  assert_ptr_equal(pinned_find(rig->cache, ptr), context);
  assert_ptr_equal(pinned_block_ptr(context), ptr);
  a.deleter(context);
  assert_int_equal(pinned_rig_stats(rig).active.current, 0);
  assert_int_equal(rig->heard.count, 0);
}

static void nothing_is_a_block_of_no_bytes(void **state) {
  const hostcache_allocator a = allocator_of(*state);
  void *ptr = &ptr, *context = &context;
  assert_ok(a.allocate(a.cache, 0, &ptr, &context));
  assert_null(ptr);
  assert_null(context);
  a.deleter(context);
}

static void an_allocation_that_fails_gives_neither(void **state) {
  pinned_rig *rig = *state;
  const hostcache_allocator a = allocator_of(rig);
  void *ptr = &ptr, *context = &context;
  assert_result(a.allocate(a.cache, SIZE_MAX, &ptr, &context), HOSTCACHE_ERR_TOO_BIG);
  assert_null(ptr);
  assert_null(context);
  assert_result(a.allocate(a.cache, 1, NULL, &context), HOSTCACHE_ERR_ARGUMENT);
  assert_result(a.allocate(a.cache, 1, &ptr, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(a.allocate(NULL, 1, &ptr, &context), HOSTCACHE_ERR_ARGUMENT);
}

static void the_deleter_finds_the_cache_by_itself(void **state) {
  pinned_rig *rig = *state;
  const hostcache_allocator a = allocator_of(rig);
  hostcache_allocator b;
  hostcache_stats stats;
  pinned *other;
  void *ptr, *of_a, *of_b;
  assert_ok(pinned_create(&other, NULL, &rig->device));
  assert_ok(pinned_as_allocator(other, &b));
  assert_ok(a.allocate(a.cache, 100, &ptr, &of_a));
  assert_ok(b.allocate(b.cache, 100, &ptr, &of_b));
  a.deleter(of_b);
  assert_ok(pinned_stats(other, &stats));
  assert_int_equal(stats.active.current, 0);
  assert_int_equal(pinned_rig_stats(rig).active.current, 1);
  b.deleter(of_a);
  assert_int_equal(pinned_rig_stats(rig).active.current, 0);
  assert_ok(pinned_destroy(other));
}

static void deleting_twice_is_told(void **state) {
  pinned_rig *rig = *state;
  const hostcache_allocator a = allocator_of(rig);
  void *ptr, *context;
  assert_ok(a.allocate(a.cache, 100, &ptr, &context));
  a.deleter(context);
  a.deleter(context);
  assert_int_equal(rig->heard.count, 1);
  assert_int_equal(rig->heard.result, HOSTCACHE_ERR_DOUBLE_FREE);
}

static void deleting_what_has_gone_is_told(void **state) {
  pinned_rig *rig = *state;
  const hostcache_allocator a = allocator_of(rig);
  void *ptr, *context;
  assert_ok(a.allocate(a.cache, 3 * MIB, &ptr, &context));
  a.deleter(context);
  assert_ok(pinned_empty_cache(rig->cache));
  a.deleter(context);
  assert_int_equal(rig->heard.count, 1);
  assert_int_equal(rig->heard.result, HOSTCACHE_ERR_NOT_FOUND);
}

/* ---- record_event ---------------------------------------------------------------------------- */

/* Frees the block, which must then wait for the stream; and for nothing more. */
static void must_wait(pinned_rig *rig, const hostcache_allocator *a, void *context,
                      sim_stream stream) {
  a->deleter(context);
  assert_int_equal(pinned_rig_stats(rig).pending.current, 1);
  sim_complete(&rig->device, stream, 1);
  assert_int_equal(pinned_rig_poll(rig), 1);
}

static void a_use_is_recorded_by_the_context(void **state) {
  pinned_rig *rig = *state;
  const hostcache_allocator a = allocator_of(rig);
  const sim_stream stream = 3;
  void *ptr, *context;
  assert_ok(a.allocate(a.cache, 100, &ptr, &context));
  (void)sim_submit(&rig->device, stream);
  assert_int_equal(a.record_event(a.cache, NULL, context, &stream), 1);
  must_wait(rig, &a, context, stream);
}

static void a_use_is_recorded_by_the_pointer_where_there_is_no_context(void **state) {
  pinned_rig *rig = *state;
  const hostcache_allocator a = allocator_of(rig);
  const sim_stream stream = 3;
  void *ptr, *context;
  assert_ok(a.allocate(a.cache, 100, &ptr, &context));
  (void)sim_submit(&rig->device, stream);
  assert_int_equal(a.record_event(a.cache, (char *)ptr + 50, NULL, &stream), 1);
  must_wait(rig, &a, context, stream);
}

/* An address that cannot be read stands for any context that is not ours. */
static void a_context_that_is_not_ours_is_not_looked_at(void **state) {
  pinned_rig *rig = *state;
  const hostcache_allocator a = allocator_of(rig);
  const sim_stream stream = 3;
  void *ptr, *context;
  int foreign;
  assert_ok(a.allocate(a.cache, 100, &ptr, &context));
  (void)sim_submit(&rig->device, stream);
  assert_int_equal(a.record_event(a.cache, &foreign, (void *)8, &stream), 0);
  assert_int_equal(a.record_event(a.cache, NULL, (char *)context + 1, &stream), 0);
  assert_int_equal(a.record_event(a.cache, &foreign, NULL, &stream), 0);
  assert_int_equal(a.record_event(a.cache, NULL, NULL, &stream), 0);
  assert_int_equal(a.record_event(a.cache, NULL, context, NULL), 0);
  assert_int_equal(a.record_event(NULL, ptr, context, &stream), 0);
  assert_int_equal(a.record_event(a.cache, ptr, (void *)8, &stream), 1);
  must_wait(rig, &a, context, stream);
}

/* ... and so is none that would be right behind the last record. */
static void there_are_as_many_contexts_as_records(void **state) {
  pinned_rig *rig = *state;
  struct pinned_i_slab *slab;
  const char *first;
  size_t records, stride, i;
  pinned_rig_give(rig, pinned_rig_take(rig, 100));
  slab = (struct pinned_i_slab *)rig->cache->slabs;
  assert_null(slab->next);
  records = COUNT_OF(slab->segments);
  first = (const char *)pinned_i_slab_block(slab, 0);
  stride = (size_t)((const char *)pinned_i_slab_block(slab, 1) - first);
  for (i = 0; i <= records; i++)
    assert_int_equal(pinned_i_has_record(rig->cache, first + i * stride), i < records);
}

static void a_context_of_another_cache_is_not_ours(void **state) {
  pinned_rig *rig = *state;
  const hostcache_allocator a = allocator_of(rig);
  const sim_stream stream = 3;
  pinned_block *block;
  pinned *other;
  assert_ok(pinned_create(&other, NULL, &rig->device));
  assert_ok(pinned_block_alloc(other, 100, &block));
  assert_int_equal(a.record_event(a.cache, NULL, block, &stream), 0);
  assert_ok(pinned_block_free(other, block));
  assert_ok(pinned_destroy(other)); /* nothing is pending */
}

static void the_context_counts_where_the_pointer_is_of_another_block(void **state) {
  pinned_rig *rig = *state;
  const hostcache_allocator a = allocator_of(rig);
  const sim_stream stream = 3;
  void *ptr, *context, *other_ptr, *other;
  assert_ok(a.allocate(a.cache, 100, &ptr, &context));
  assert_ok(a.allocate(a.cache, 100, &other_ptr, &other));
  (void)sim_submit(&rig->device, stream);
  assert_int_equal(a.record_event(a.cache, other_ptr, context, &stream), 1);
  a.deleter(other);
  assert_int_equal(pinned_rig_stats(rig).pending.current, 0);
  must_wait(rig, &a, context, stream);
}

static void a_block_that_was_deleted_takes_no_use(void **state) {
  pinned_rig *rig = *state;
  const hostcache_allocator a = allocator_of(rig);
  const sim_stream stream = 3;
  void *ptr, *context;
  assert_ok(a.allocate(a.cache, 100, &ptr, &context));
  a.deleter(context);
  assert_int_equal(a.record_event(a.cache, ptr, context, &stream), 0);
}

/* Where the mark finds no memory, the block's memory is safe all the same. */
static void a_use_without_memory_for_it_is_still_a_use_of_ours(void **state) {
  pinned_rig *rig = *state;
  const hostcache_allocator a = allocator_of(rig);
  sim_stream stream;
  void *ptr, *context;
  assert_ok(a.allocate(a.cache, 100, &ptr, &context));
  below_fail(1, true);
  for (stream = 1; stream <= 100; stream++) /* more than there are bits for */
    assert_int_equal(a.record_event(a.cache, ptr, context, &stream), 1);
  below_fail_no_more();
  a.deleter(context);
  assert_int_equal(pinned_rig_stats(rig).active.current, 1);
  assert_ok(pinned_release_quarantine(rig->cache));
}

static void without_streams_there_is_no_use(void **state) {
  sim_device device;
  streamless *cache;
  hostcache_allocator a;
  void *ptr, *context;
  int stream = 0;
  (void)state;
  sim_open(&device);
  assert_ok(streamless_create(&cache, NULL, &device));
  assert_ok(streamless_as_allocator(cache, &a));
  assert_ok(a.allocate(cache, 100, &ptr, &context));
  assert_int_equal(a.record_event(cache, ptr, context, &stream), 0);
  a.deleter(context);
  assert_ok(streamless_destroy(cache));
  assert_int_equal(sim_close(&device, 0, 0), 0);
}

/* ---- figures --------------------------------------------------------------------------------- */

static hostcache_host_stats figures(const hostcache_allocator *a) {
  hostcache_host_stats stats;
  memset(&stats, 0xff, sizeof stats);
  assert_ok(a->get_stats(a->cache, &stats));
  return stats;
}

static void figures_have_the_meanings_of_a_host_allocator(void **state) {
  pinned_rig *rig = *state;
  const hostcache_allocator a = allocator_of(rig);
  const sim_stream stream = 3;
  hostcache_host_stats stats;
  void *ptr, *context;
  size_t i;
  assert_ok(a.allocate(a.cache, 60 * KIB, &ptr, &context));
  (void)sim_submit(&rig->device, stream);
  assert_int_equal(a.record_event(a.cache, ptr, context, &stream), 1);
  a.deleter(context);
  stats = figures(&a); /* pending is active still */
  assert_int_equal(stats.active_requests.current, 1);
  assert_int_equal(stats.active_bytes.current, 60 * KIB);
  assert_int_equal(stats.allocations.current, 1);
  assert_int_equal(stats.allocated_bytes.current, 60 * KIB);
  assert_int_equal(stats.num_host_alloc, 1);
  assert_int_equal(stats.num_host_free, 0);
  assert_int_equal(stats.host_alloc_time.count, 1);
  assert_int_equal(stats.host_alloc_time.total, 1); /* the clock moves by a microsecond a look */
  for (i = 0; i < COUNT_OF(stats.bucket_allocation); i++)
    assert_int_equal(stats.bucket_allocation[i], i == 16); /* above 32 KiB, up to 64 */
  sim_complete_all(&rig->device);
  assert_ok(a.empty_cache(a.cache));
  stats = figures(&a);
  assert_int_equal(stats.active_requests.current, 0);
  assert_int_equal(stats.active_requests.allocated, 1);
  assert_int_equal(stats.allocations.current, 0);
  assert_int_equal(stats.allocations.peak, 1);
  assert_int_equal(stats.num_host_free, 1);
  assert_int_equal(stats.host_free_time.count, 1);
  assert_int_equal(stats.bucket_allocation[16], 1);
  assert_result(a.get_stats(a.cache, NULL), HOSTCACHE_ERR_ARGUMENT);
}

static void figures_are_reset(void **state) {
  pinned_rig *rig = *state;
  const hostcache_allocator a = allocator_of(rig);
  hostcache_host_stats stats;
  void *ptr, *context;
  assert_ok(a.allocate(a.cache, 64 * KIB, &ptr, &context));
  a.deleter(context);
  assert_ok(a.empty_cache(a.cache));
  assert_ok(a.reset_peak_stats(a.cache));
  stats = figures(&a);
  assert_int_equal(stats.active_bytes.peak, 0);
  assert_int_equal(stats.bucket_allocation[16], 1);
  assert_ok(a.reset_accumulated_stats(a.cache));
  stats = figures(&a);
  assert_int_equal(stats.num_host_alloc, 0);
  assert_int_equal(stats.host_alloc_time.count, 0);
  assert_int_equal(stats.bucket_allocation[16], 0);
}

/* ---- the rest of the struct ------------------------------------------------------------------ */

static void bytes_are_copied(void **state) {
  const hostcache_allocator a = allocator_of(*state);
  char from[] = "from", to[] = "to..";
  assert_ok(a.copy_data(a.cache, to, from, sizeof from));
  assert_string_equal(to, "from");
  assert_ok(a.copy_data(a.cache, NULL, NULL, 0));
  assert_result(a.copy_data(a.cache, NULL, from, 1), HOSTCACHE_ERR_ARGUMENT);
  assert_result(a.copy_data(a.cache, to, NULL, 1), HOSTCACHE_ERR_ARGUMENT);
  assert_result(a.copy_data(NULL, to, from, 1), HOSTCACHE_ERR_ARGUMENT);
}

static void bytes_are_copied_by_the_hook_that_is_for_it(void **state) {
  copying_rig *rig = *state;
  hostcache_allocator a;
  char from[] = "from", to[] = "to..", nothing[] = "";
  assert_ok(copying_as_allocator(rig->cache, &a));
  copies = 0;
  assert_ok(a.copy_data(a.cache, to, from, sizeof from));
  assert_string_equal(to, "from");
  assert_int_equal(copies, 1);
  assert_result(a.copy_data(a.cache, to, nothing, 1), HOSTCACHE_ERR_HOOK);
  assert_int_equal(rig->heard.count, 1);
  assert_int_equal(rig->heard.result, HOSTCACHE_ERR_HOOK);
  assert_int_equal(rig->heard.code, 7);
}

static void pools_are_there_where_they_are_asked_for(void **state) {
  const hostcache_allocator a = allocator_of(*state);
  const hostcache_pool_id pool = {1, 0};
  assert_result(a.begin_allocate_to_pool(a.cache, pool, NULL, NULL), HOSTCACHE_ERR_UNSUPPORTED);
  assert_result(a.end_allocate_to_pool(a.cache, pool), HOSTCACHE_ERR_UNSUPPORTED);
  assert_result(a.release_pool(a.cache, pool), HOSTCACHE_ERR_UNSUPPORTED);
}

static void what_is_null_is_an_argument_error(void **state) {
  pinned_rig *rig = *state;
  hostcache_allocator a;
  assert_result(pinned_as_allocator(rig->cache, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_as_allocator(NULL, &a), HOSTCACHE_ERR_ARGUMENT);
  assert_null(a.allocate);
  assert_result(pinned_background_run(NULL, 0), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_background_stop(NULL), HOSTCACHE_ERR_ARGUMENT);
}

/* ---- the registry ---------------------------------------------------------------------------- */

static void the_higher_priority_is_registered(void **state) {
  hostcache_allocator low = allocator_of(*state), high = low, as_high = low;
  low.priority = -1;
  high.priority = as_high.priority = 5;
  assert_null(hostcache_get_host_allocator(3));
  assert_ptr_equal(hostcache_set_host_allocator(3, &low), &low);
  assert_ptr_equal(hostcache_set_host_allocator(3, &high), &high);
  assert_ptr_equal(hostcache_set_host_allocator(3, &low), &high);
  assert_ptr_equal(hostcache_get_host_allocator(3), &high);
  assert_ptr_equal(hostcache_set_host_allocator(3, &as_high), &as_high);
  assert_null(hostcache_get_host_allocator(4));
  assert_int_equal(hostcache_remove_host_allocator(3, &high), 0);
  assert_int_equal(hostcache_remove_host_allocator(3, &as_high), 1);
  assert_null(hostcache_get_host_allocator(3));
}

static void the_registry_refuses_what_is_not_there(void **state) {
  const hostcache_allocator a = allocator_of(*state);
  assert_ptr_equal(hostcache_set_host_allocator(0, &a), &a);
  assert_ptr_equal(hostcache_get_host_allocator(0), &a);
  assert_null(hostcache_set_host_allocator(-1, &a));
  assert_null(hostcache_set_host_allocator(HOSTCACHE_DEVICE_TYPES, &a));
  assert_null(hostcache_set_host_allocator(0, NULL));
  assert_null(hostcache_get_host_allocator(-1));
  assert_null(hostcache_get_host_allocator(INT_MIN));
  assert_null(hostcache_get_host_allocator(INT_MAX));
  assert_null(hostcache_get_host_allocator(HOSTCACHE_DEVICE_TYPES));
  assert_int_equal(hostcache_remove_host_allocator(-1, &a), 0);
  assert_int_equal(hostcache_remove_host_allocator(HOSTCACHE_DEVICE_TYPES, &a), 0);
  assert_int_equal(hostcache_remove_host_allocator(INT_MAX, &a), 0);
  assert_int_equal(hostcache_remove_host_allocator(INT_MIN, &a), 0);
  assert_int_equal(hostcache_remove_host_allocator(0, NULL), 0);
  assert_null(hostcache_get_host_allocator(1));
  assert_int_equal(hostcache_remove_host_allocator(1, NULL), 0);
  assert_int_equal(hostcache_remove_host_allocator(0, &a), 1);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static void *run(void *cache) {
  expect_or_abort(pinned_background_run((pinned *)cache, 1000) == HOSTCACHE_OK);
  return NULL;
}

static void *run_without_a_rest(void *cache) {
  expect_or_abort(pinned_background_run((pinned *)cache, 0) == HOSTCACHE_OK);
  return NULL;
}

static pthread_t start(pinned_rig *rig, void *(*loop)(void *)) {
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, loop, rig->cache), 0);
  return thread;
}

/* Until somebody else has polled. */
static void wait_for_a_poll(pinned_rig *rig, sim_stream stream) {
  (void)pinned_rig_pend(rig, 64 * KIB, stream);
  sim_complete_all(&rig->device);
  while (pinned_rig_stats(rig).pending.current > 0) sched_yield();
}

static void a_thread_polls_until_it_is_told_to_stop(void **state) {
  pinned_rig *rig = *state;
  const pthread_t resting = start(rig, run), restless = start(rig, run_without_a_rest);
  wait_for_a_poll(rig, 1);
  assert_ok(pinned_background_stop(rig->cache));
  assert_ok(pinned_background_run(rig->cache, 1000)); /* as a thread that comes late */
  pthread_join(resting, NULL);
  pthread_join(restless, NULL);
}

static void a_thread_that_rests_polls_again_after_each_rest(void **state) {
  pinned_rig *rig = *state;
  const pthread_t resting = start(rig, run);
  sim_stream stream;
  for (stream = 1; stream < 4; stream++) wait_for_a_poll(rig, stream);
  assert_ok(pinned_background_stop(rig->cache));
  pthread_join(resting, NULL);
}

static void destroy_waits_for_a_thread_that_polls(void **state) {
  pinned_rig *rig = *state;
  const pthread_t thread = start(rig, run);
  wait_for_a_poll(rig, 1);
  assert_ok(pinned_destroy(rig->cache));
  rig->cache = NULL;
  pthread_join(thread, NULL);
}

static void a_busy_destroy_lets_it_go_on(void **state) {
  pinned_rig *rig = *state;
  const pthread_t thread = start(rig, run);
  void *ptr = pinned_rig_take(rig, 64 * KIB);
  assert_result(pinned_destroy(rig->cache), HOSTCACHE_ERR_BUSY);
  wait_for_a_poll(rig, 1);
  pinned_rig_give(rig, ptr);
  assert_ok(pinned_background_stop(rig->cache));
  pthread_join(thread, NULL);
}

static void abandon_waits_for_a_thread_that_polls(void **state) {
  pinned_rig *rig = *state;
  const pthread_t thread = start(rig, run);
  wait_for_a_poll(rig, 1);
  assert_ok(pinned_empty_cache(rig->cache));
  rig->may_lose_events = true;
  pinned_abandon(rig->cache);
  rig->cache = NULL;
  pthread_join(thread, NULL);
}

#ifndef _WIN32 /* whose sleep is another function */

static pinned *rests; /* the cache of whose loop this is */
static pthread_t stopper;
static int pieces;

static void *stop_it(void *cache) {
  expect_or_abort(pinned_background_stop((pinned *)cache) == HOSTCACHE_OK);
  return NULL;
}

/* In the third piece of a rest another thread says that the loop is to end. */
static void count_pieces(uint64_t ns) {
  assert_int_equal(ns, 10000000);
  if (++pieces < 3) return;
  assert_int_equal(pthread_create(&stopper, NULL, stop_it, rests), 0);
  while (!hostcache_u32_load_acquire(&rests->loops_stop)) sched_yield();
}

static void a_thread_that_rests_for_long_hears_soon_that_it_is_to_stop(void **state) {
  pinned_rig *rig = *state;
  rests = rig->cache;
  pieces = 0;
  sleeps = count_pieces;
  assert_ok(pinned_background_run(rig->cache, UINT64_C(3600000000000)));
  sleeps = NULL;
  assert_int_equal(pthread_join(stopper, NULL), 0);
  assert_int_equal(pieces, 3);
}

#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, pinned_rig_setup, pinned_rig_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_is_allocated_through_it_is_a_block_of_the_cache),
      TEST(nothing_is_a_block_of_no_bytes),
      TEST(an_allocation_that_fails_gives_neither),
      TEST(the_deleter_finds_the_cache_by_itself),
      TEST(deleting_twice_is_told),
      TEST(deleting_what_has_gone_is_told),
      TEST(a_use_is_recorded_by_the_context),
      TEST(a_use_is_recorded_by_the_pointer_where_there_is_no_context),
      TEST(a_context_that_is_not_ours_is_not_looked_at),
      TEST(there_are_as_many_contexts_as_records),
      TEST(a_context_of_another_cache_is_not_ours),
      TEST(the_context_counts_where_the_pointer_is_of_another_block),
      TEST(a_block_that_was_deleted_takes_no_use),
      TEST(a_use_without_memory_for_it_is_still_a_use_of_ours),
      cmocka_unit_test(without_streams_there_is_no_use),
      TEST(figures_have_the_meanings_of_a_host_allocator),
      TEST(figures_are_reset),
      TEST(bytes_are_copied),
      cmocka_unit_test_setup_teardown(bytes_are_copied_by_the_hook_that_is_for_it,
                                      copying_rig_setup, copying_rig_teardown),
      TEST(pools_are_there_where_they_are_asked_for),
      TEST(what_is_null_is_an_argument_error),
      TEST(the_higher_priority_is_registered),
      TEST(the_registry_refuses_what_is_not_there),
      TEST(a_thread_polls_until_it_is_told_to_stop),
      TEST(a_thread_that_rests_polls_again_after_each_rest),
      TEST(destroy_waits_for_a_thread_that_polls),
      TEST(a_busy_destroy_lets_it_go_on),
      TEST(abandon_waits_for_a_thread_that_polls),
#ifndef _WIN32
      TEST(a_thread_that_rests_for_long_hears_soon_that_it_is_to_stop),
#endif
  };
  return cmocka_run_group_tests_name("host_allocator", tests, NULL, NULL);
}
