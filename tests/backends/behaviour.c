/* behaviour.c - what the contract promises, shown on a device: any device. Compiled once for each
   device_*.h of this folder, with -DDEVICE_HEADER="\"device_x.h\"".

   Promises: the one rule (section 3); the results of section 5 for what the caller does wrong;
   rounding and waste (section 6); marks, values, events handed over, stuck streams, forgotten
   streams (section 7); what the figures say after each step; threads (section 9).

   A device header defines the HC_* hooks of the next inclusion of hostcache.h, and:

     device_t, device_open(d)
     device_close(d)                 gives the number of rules broken, 0 if it knows none
     device_ctx(d)                   what pinned_create gets
     DEVICE_STREAMS                  how many streams there are, at least 101
     device_stream_t, device_stream(d, i)
     device_renew(d, i)              destroys the i-th stream and makes a new one, with the same
                                     handle if it can; gives the handle. Work of the old stream may
                                     be completed by it
     device_submit(d, stream)        one unit of work, incomplete until the test completes it
     device_use(d, stream, ptr)      the same, and it uses the block at ptr
     device_complete(d, stream, n)   the n oldest units complete, all of them if n < 0: events
                                     recorded between them and counters show it when this returns
     device_complete_all(d)
     device_handed_out(d, ptr, size), device_handed_back(d, ptr)    for a device that is a referee
     device_mem_live(d)              bytes obtained and not given back
     DEVICE_BLOCKS                   how many blocks a long test may use
     DEVICE_SIMULATED                memory is addresses alone, so that any size can be had
     event mode:     device_event_t; device_event(d, stream), after all work so far;
                     device_event_end(d, event)
     timeline mode:  DEVICE_TIMELINE, device_value(d, stream) after all work so far

   All of these may be called from any thread. */

#include DEVICE_HEADER

#if defined HOSTCACHE_DEBUG && defined HC_MEM_IS_HOST
enum { RED_ZONE = 16 }; /* bytes of each block, behind those that were asked for */
#else
enum { RED_ZONE = 0 };
#endif

#define HC_NAME pinned
#define HC_IMPLEMENT
#include "hostcache.h"

#include "helpers.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* ---- a cache on the device ------------------------------------------------------------------- */

typedef struct bench {
  device_t device;
  pinned *cache;
  heard heard;
} bench;

static hostcache_stats figures(bench *b) {
  hostcache_stats stats = {0};
  assert_ok(pinned_stats(b->cache, &stats));
  return stats;
}

static int64_t hook_calls(bench *b) {
  hostcache_stats stats = figures(b);
  return stats.num_mem_alloc + stats.num_mem_free + stats.num_event_record + stats.num_event_query;
}

static void *take(bench *b, size_t size) {
  void *ptr = NULL;
  assert_ok(pinned_alloc(b->cache, size, &ptr));
  assert_non_null(ptr);
  device_handed_out(&b->device, ptr, size);
  return ptr;
}

static void give(bench *b, void *ptr) {
  device_handed_back(&b->device, ptr);
  assert_ok(pinned_free(b->cache, ptr));
}

/* Marks a block, then submits what uses it. */
static void use(bench *b, void *ptr, int stream) {
  device_stream_t s = device_stream(&b->device, stream);
  assert_ok(pinned_record_stream(b->cache, ptr, s));
  device_use(&b->device, s, ptr);
}

static void complete(bench *b, int stream, int64_t units) {
  device_complete(&b->device, device_stream(&b->device, stream), units);
}

/* A block that was used on a stream, and freed. */
static void *pend(bench *b, size_t size, int stream) {
  void *ptr = take(b, size);
  use(b, ptr, stream);
  give(b, ptr);
  return ptr;
}

static size_t poll_events(bench *b) {
  size_t ready = SIZE_MAX;
  assert_ok(pinned_process_events(b->cache, &ready));
  return ready;
}

/* Where blocks share segments other memory is at hand, and no allocation polls for what waits. */
static void poll_where_memory_is_at_hand(bench *b) {
  if (blocks_share_segments()) assert_in_range(poll_events(b), 1, SIZE_MAX);
}

static int setup(void **state) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  bench *b = malloc(sizeof *b);
  if (b == NULL) return -1;
  memset(b, 0, sizeof *b);
  device_open(&b->device);
  config.segment_bytes = segment_bytes_wanted();
  config.on_error = hear;
  config.on_error_user = &b->heard;
  *state = b;
  return pinned_create(&b->cache, &config, device_ctx(&b->device)) == HOSTCACHE_OK ? 0 : -1;
}

/* Every test frees what it got; here it must show that nothing is lost. */
static int teardown(void **state) {
  bench *b = *state;
  device_complete_all(&b->device);
  assert_ok(pinned_synchronize(b->cache, UINT64_MAX));
  assert_ok(pinned_check(b->cache));
  assert_int_equal(figures(b).active.current, 0);
  assert_int_equal(figures(b).reserved_bytes.current, device_mem_live(&b->device));
  assert_int_equal(b->heard.count, 0);
  assert_ok(pinned_destroy(b->cache));
  assert_int_equal(device_mem_live(&b->device), 0);
  assert_int_equal(device_close(&b->device), 0);
  free(b);
  return 0;
}

/* ---- the one rule ---------------------------------------------------------------------------- */

static void a_block_without_uses_is_ready_at_once(void **state) {
  bench *b = *state;
  void *ptr = take(b, 64 * KIB);
  int64_t before;
  give(b, ptr);
  before = hook_calls(b);
  assert_ptr_equal(take(b, 64 * KIB), ptr);
  assert_int_equal(hook_calls(b), before);
  give(b, ptr);
}

static void a_block_is_reused_only_after_the_work_on_it(void **state) {
  bench *b = *state;
  void *first = pend(b, 64 * KIB, 1);
  void *second = take(b, 64 * KIB);
  assert_ptr_not_equal(second, first);
  complete(b, 1, -1);
  poll_where_memory_is_at_hand(b);
  assert_ptr_equal(take(b, 64 * KIB), first);
  give(b, first);
  give(b, second);
}

static void wait_for_streams(bench *b, int streams) {
  void *ptr = take(b, 64 * KIB);
  int stream;
  for (stream = 0; stream < streams; stream++) use(b, ptr, stream);
  give(b, ptr);
  for (stream = streams - 1; stream >= 0; stream--) {
    void *other = take(b, 64 * KIB);
    assert_ptr_not_equal(other, ptr);
    give(b, other);
    assert_int_equal(poll_events(b), 0);
    assert_int_equal(figures(b).pending.current, 1);
    complete(b, stream, -1);
  }
  assert_int_equal(poll_events(b), 1);
  assert_int_equal(figures(b).pending.current, 0);
}

static void a_block_waits_for_each_of_four_streams(void **state) { wait_for_streams(*state, 4); }

static void a_block_waits_for_each_of_a_hundred_streams(void **state) {
  wait_for_streams(*state, 100);
}

static void a_mark_may_be_made_before_the_work_is_submitted(void **state) {
  bench *b = *state;
  void *ptr = take(b, 64 * KIB), *other;
  assert_ok(pinned_record_stream(b->cache, ptr, device_stream(&b->device, 3)));
  device_use(&b->device, device_stream(&b->device, 3), ptr);
  give(b, ptr);
  other = take(b, 64 * KIB);
  assert_ptr_not_equal(other, ptr);
  give(b, other);
}

static void a_mark_covers_all_work_up_to_the_free(void **state) {
  bench *b = *state;
  void *ptr = take(b, 64 * KIB);
  int i;
  use(b, ptr, 3);
  for (i = 0; i < 4; i++) device_use(&b->device, device_stream(&b->device, 3), ptr);
  give(b, ptr);
  complete(b, 3, 4);
  assert_int_equal(poll_events(b), 0);
  complete(b, 3, 1);
  assert_int_equal(poll_events(b), 1);
}

static void work_submitted_after_the_free_is_not_waited_for(void **state) {
  bench *b = *state;
  (void)pend(b, 64 * KIB, 3);
  device_submit(&b->device, device_stream(&b->device, 3));
  complete(b, 3, 1);
  assert_int_equal(poll_events(b), 1);
}

/* The bug: a use recorded through an interior pointer is dropped (pytorch #69124). */
static void a_use_may_be_recorded_through_any_pointer_into_the_block(void **state) {
  static const size_t offsets[] = {0, 1, 511, 512, 4096, 64 * 1024 - 1};
  bench *b = *state;
  size_t i;
  for (i = 0; i < COUNT_OF(offsets); i++) {
    char *ptr = take(b, 64 * KIB);
    void *other;
    assert_ok(pinned_record_stream(b->cache, ptr + offsets[i], device_stream(&b->device, 1)));
    device_use(&b->device, device_stream(&b->device, 1), ptr);
    give(b, ptr);
    other = take(b, 64 * KIB);
    assert_ptr_not_equal(other, ptr);
    give(b, other);
    complete(b, 1, -1);
    assert_int_equal(poll_events(b), 1);
  }
}

static void memory_is_not_given_back_while_it_is_used(void **state) {
  bench *b = *state;
  uint64_t live, before;
  (void)pend(b, 64 * KIB, 1);
  before = device_mem_live(&b->device);
  (void)pend(b, 3 * MIB, 2);
  live = device_mem_live(&b->device);
  assert_ok(pinned_empty_cache(b->cache));
  assert_int_equal(device_mem_live(&b->device), live);
  complete(b, 2, -1);
  assert_ok(pinned_empty_cache(b->cache)); /* polls first */
  assert_int_equal(device_mem_live(&b->device), before);
  complete(b, 1, -1);
  assert_ok(pinned_empty_cache(b->cache));
  assert_int_equal(device_mem_live(&b->device), 0);
}

/* ---- streams that hang ----------------------------------------------------------------------- */

static void a_stuck_stream_holds_back_only_its_own_blocks(void **state) {
  bench *b = *state;
  void *stuck = take(b, 64 * KIB), *free_to_go = take(b, 64 * KIB);
  use(b, stuck, 1);
  use(b, free_to_go, 2);
  give(b, stuck);
  give(b, free_to_go);
  complete(b, 2, -1);
  poll_where_memory_is_at_hand(b);
  assert_ptr_equal(take(b, 64 * KIB), free_to_go);
  assert_int_equal(figures(b).segment.current, segments_of(2, 64 * KIB));
  give(b, free_to_go);
}

/* Blocks pass through seven streams, each of which lags by a few units; the eighth got `stuck`
   blocks first. */
static int64_t segments_needed(bench *b, int stuck) {
  enum { STREAMS = 8, LAG = 4 };
  int64_t peak;
  void *blocks[16];
  int i;
  assert_true(stuck <= (int)COUNT_OF(blocks));
  for (i = 0; i < stuck; i++) blocks[i] = take(b, 64 * KIB);
  for (i = 0; i < stuck; i++) {
    use(b, blocks[i], 0);
    give(b, blocks[i]);
  }
  for (i = 0; i < DEVICE_BLOCKS; i++) {
    int stream = 1 + i % (STREAMS - 1);
    (void)pend(b, 64 * KIB, stream);
    if (i >= LAG * (STREAMS - 1)) complete(b, stream, 1);
  }
  peak = figures(b).segment.peak;
  assert_int_equal(figures(b).segment.current, peak);
  device_complete_all(&b->device);
  assert_ok(pinned_synchronize(b->cache, UINT64_MAX));
  assert_ok(pinned_empty_cache(b->cache));
  assert_ok(pinned_reset_peak_stats(b->cache));
  return peak;
}

/* The bug: one stuck event blocks all (pytorch #183501). */
static void one_of_eight_streams_never_completes_and_costs_no_more_than_its_blocks(void **state) {
  bench *b = *state;
  int64_t without = segments_needed(b, 0);
  assert_in_range(without, 1, 100);
  assert_in_range(segments_needed(b, 5), segments_of(5, 64 * KIB),
                  without + segments_of(5, 64 * KIB));
}

#ifndef DEVICE_TIMELINE
static void an_event_that_hangs_harms_no_other(void **state) {
  bench *b = *state;
  int i;
  for (i = 0; i < 20; i++) {
    void *ptr = take(b, 64 * KIB);
    device_use(&b->device, device_stream(&b->device, 1), ptr);
    assert_ok(
        pinned_record_event(b->cache, ptr, device_event(&b->device, device_stream(&b->device, 1))));
    give(b, ptr);
  }
  for (i = 0; i < 500; i++) {
    void *ptr = take(b, 64 * KIB);
    device_use(&b->device, device_stream(&b->device, 2), ptr);
    assert_ok(
        pinned_record_event(b->cache, ptr, device_event(&b->device, device_stream(&b->device, 2))));
    give(b, ptr);
    complete(b, 2, -1);
  }
  assert_in_range(figures(b).segment.current, segments_of(21, 64 * KIB), segments_of(60, 64 * KIB));
}
#endif

/* ---- uses that the caller knows better ------------------------------------------------------- */

#ifdef DEVICE_TIMELINE

static void a_value_replaces_the_mark_and_the_highest_counts(void **state) {
  bench *b = *state;
  device_stream_t stream = device_stream(&b->device, 1);
  char *ptr = take(b, 64 * KIB);
  uint64_t first, second;
  assert_ok(pinned_record_stream(b->cache, ptr, stream));
  device_use(&b->device, stream, ptr);
  first = device_value(&b->device, stream);
  device_use(&b->device, stream, ptr);
  second = device_value(&b->device, stream);
  device_submit(&b->device, stream); /* does not use the block */
  assert_ok(pinned_record_value(b->cache, ptr + 9, stream, second));
  assert_ok(pinned_record_value(b->cache, ptr, stream, first));
  give(b, ptr);
  assert_int_equal(figures(b).num_event_record, 0);
  complete(b, 1, 1);
  assert_int_equal(poll_events(b), 0);
  complete(b, 1, 1);
  assert_int_equal(poll_events(b), 1);
}

#else

static void an_event_that_exists_already_can_be_handed_over(void **state) {
  bench *b = *state;
  device_stream_t stream = device_stream(&b->device, 1);
  char *ptr = take(b, 64 * KIB);
  device_event_t event;
  device_use(&b->device, stream, ptr);
  event = device_event(&b->device, stream);
  device_submit(&b->device, stream); /* does not use the block */
  assert_ok(pinned_record_event(b->cache, ptr + 9, event));
  give(b, ptr);
  assert_int_equal(figures(b).num_event_record, 0);
  assert_int_equal(poll_events(b), 0);
  complete(b, 1, 1);
  assert_int_equal(poll_events(b), 1);
}

static void an_event_that_was_refused_stays_the_callers(void **state) {
  bench *b = *state;
  device_stream_t stream = device_stream(&b->device, 1);
  device_event_t event;
  int on_the_stack;
  device_submit(&b->device, stream);
  event = device_event(&b->device, stream);
  assert_result(pinned_record_event(b->cache, &on_the_stack, event), HOSTCACHE_ERR_NOT_FOUND);
  complete(b, 1, -1);
  assert_int_equal(poll_events(b), 0);
  device_event_end(&b->device, event);
}

#endif

/* ---- wrong pointers -------------------------------------------------------------------------- */

static void refuse(bench *b, void *ptr) {
  device_stream_t stream = device_stream(&b->device, 1);
  assert_result(pinned_free(b->cache, ptr), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_free_deferred(b->cache, ptr), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_record_stream(b->cache, ptr, stream), HOSTCACHE_ERR_NOT_FOUND);
#ifdef DEVICE_TIMELINE
  assert_result(pinned_record_value(b->cache, ptr, stream, 1), HOSTCACHE_ERR_NOT_FOUND);
#endif
  assert_null(pinned_find(b->cache, ptr));
}

static void foreign_pointers_are_refused_and_never_looked_into(void **state) {
  bench *b = *state;
  void *nobodys = aligned_alloc(16 * PAGE, 16 * PAGE);
  char *ours = take(b, 64 * KIB), *behind;
  void *heap = malloc(100);
  assert_non_null(nobodys);
  assert_int_equal(mprotect(nobodys, 16 * PAGE, PROT_NONE), 0);
  refuse(b, nobodys);
  refuse(b, (char *)nobodys + 16 * PAGE - 1);
  refuse(b, heap);
  refuse(b, &b);
  refuse(b, (void *)(uintptr_t)1);
  refuse(b, (void *)(uintptr_t)4096);
  refuse(b, (void *)UINTPTR_MAX);
  refuse(b, (void *)(UINTPTR_MAX / 2));
  refuse(b, (void *)((uintptr_t)ours - 1));
  behind = ours + figures(b).allocated_bytes.current;
  if (blocks_share_segments()) /* a ready range begins there */
    assert_result(pinned_free(b->cache, behind), HOSTCACHE_ERR_DOUBLE_FREE);
  else
    refuse(b, behind);
  assert_null(pinned_find(b->cache, NULL));
  assert_int_equal(figures(b).allocation.current, 1);
  give(b, ours);
  free(heap);
  assert_int_equal(mprotect(nobodys, 16 * PAGE, PROT_READ | PROT_WRITE), 0);
  free(nobodys);
}

static void an_interior_pointer_is_not_freed(void **state) {
  bench *b = *state;
  char *ptr = take(b, 64 * KIB);
  assert_result(pinned_free(b->cache, ptr + 1), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_free(b->cache, ptr + 512), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_free_deferred(b->cache, ptr + 64 * KIB - 1), HOSTCACHE_ERR_NOT_FOUND);
  assert_int_equal(figures(b).allocation.current, 1);
  give(b, ptr);
}

/* The bug: a double free pushes a block twice (read in the source of pytorch). */
static void a_double_free_is_told_in_every_state_and_does_no_harm(void **state) {
  bench *b = *state;
  device_stream_t stream = device_stream(&b->device, 1);
  void *ptr = take(b, 64 * KIB), *one, *two;
  pinned_block *block = pinned_find(b->cache, ptr);
  use(b, ptr, 1);
  give(b, ptr);

  /* pending */
  assert_result(pinned_free(b->cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_result(pinned_free_deferred(b->cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_result(pinned_block_free(b->cache, block), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_result(pinned_record_stream(b->cache, ptr, stream), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_block_record_stream(b->cache, block, stream), HOSTCACHE_ERR_NOT_FOUND);
  assert_null(pinned_find(b->cache, ptr));

  /* cached */
  complete(b, 1, -1);
  assert_int_equal(poll_events(b), 1);
  assert_result(pinned_free(b->cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_result(pinned_free_deferred(b->cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_result(pinned_block_free_deferred(b->cache, block), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_result(pinned_record_stream(b->cache, ptr, stream), HOSTCACHE_ERR_NOT_FOUND);
  assert_ok(pinned_check(b->cache));
  one = take(b, 64 * KIB);
  two = take(b, 64 * KIB);
  assert_ptr_not_equal(one, two);
  give(b, one);
  give(b, two);

  /* gone */
  assert_ok(pinned_empty_cache(b->cache));
  assert_result(pinned_free(b->cache, ptr), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_record_stream(b->cache, ptr, stream), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_block_free(b->cache, block), HOSTCACHE_ERR_NOT_FOUND);
}

/* The bug: free into the wrong pool (umf #1161). */
static void a_pointer_of_another_cache_is_refused(void **state) {
  bench *b = *state;
  device_stream_t stream = device_stream(&b->device, 1);
  void *ptr = take(b, 64 * KIB);
  pinned_block *block = pinned_find(b->cache, ptr);
  hostcache_stats stats = {0};
  pinned *other;
  assert_ok(pinned_create(&other, NULL, device_ctx(&b->device)));
  assert_result(pinned_free(other, ptr), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_free_deferred(other, ptr), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_record_stream(other, ptr, stream), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_block_free(other, block), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_block_free_deferred(other, block), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_block_record_stream(other, block, stream), HOSTCACHE_ERR_NOT_FOUND);
  assert_null(pinned_find(other, ptr));
  assert_ok(pinned_stats(other, &stats));
  assert_int_equal(stats.allocation.freed, 0);
  assert_ok(pinned_check(other));
  assert_ok(pinned_destroy(other));
  give(b, ptr);
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static void nothing_is_asked_for_and_nothing_is_freed(void **state) {
  bench *b = *state;
  void *ptr = &ptr;
  pinned_block *block = (pinned_block *)(void *)&ptr;
  assert_ok(pinned_alloc(b->cache, 0, &ptr));
  assert_null(ptr);
  assert_ok(pinned_block_alloc(b->cache, 0, &block));
  assert_null(block);
  assert_ok(pinned_free(b->cache, NULL));
  assert_ok(pinned_free_deferred(b->cache, NULL));
  assert_ok(pinned_block_free(b->cache, NULL));
  assert_ok(pinned_block_free_deferred(b->cache, NULL));
  assert_int_equal(hook_calls(b), 0);
  assert_int_equal(figures(b).allocation.allocated, 0);
}

/* The bug: a size wraps to 0 (pytorch #182446). */
static void sizes_at_the_end_of_the_range_are_too_big(void **state) {
  static const size_t sizes[] = {SIZE_MAX,
                                 SIZE_MAX - 1,
                                 SIZE_MAX - 511,
                                 SIZE_MAX - 4095,
                                 SIZE_MAX - 4096,
                                 SIZE_MAX / 2 + 2,
                                 SIZE_MAX / 2 + 1,
                                 (size_t)PTRDIFF_MAX,
                                 (size_t)PTRDIFF_MAX - 1,
                                 (size_t)PTRDIFF_MAX - 4094};
  bench *b = *state;
  size_t i;
  for (i = 0; i < COUNT_OF(sizes); i++) {
    void *ptr = &ptr;
    pinned_block *block = (pinned_block *)(void *)&ptr;
    assert_result(pinned_alloc(b->cache, sizes[i], &ptr), HOSTCACHE_ERR_TOO_BIG);
    assert_null(ptr);
    assert_result(pinned_block_alloc(b->cache, sizes[i], &block), HOSTCACHE_ERR_TOO_BIG);
    assert_null(block);
  }
  assert_int_equal(hook_calls(b), 0);
  assert_int_equal(figures(b).num_misses, 0);
}

static void a_block_is_at_least_as_large_as_asked_and_wastes_little(void **state) {
  bench *b = *state;
  size_t size;
  for (size = 1; size <= 6 * MIB; size += 1 + size / 3) {
    void *ptr = take(b, size);
    const size_t needed = size + RED_ZONE, taken = (size_t)figures(b).allocated_bytes.current;
    const size_t waste = taken - needed;
    assert_int_equal(pinned_block_size(pinned_find(b->cache, ptr)), RED_ZONE > 0 ? size : taken);
    assert_true(taken >= needed);
    assert_int_equal((uintptr_t)ptr % 512, 0);
    if (needed > MIB) {
      assert_int_equal(taken, (needed + PAGE - 1) / PAGE * PAGE);
    } else {
      assert_true(waste <= 511 || waste * 8 <= needed);
    }
    give(b, ptr);
  }
}

#ifdef DEVICE_SIMULATED
/* Users' worst: 20.4 GiB becomes 32 (sglang #36562). */
static void a_large_request_reserves_what_it_asks_for(void **state) {
  bench *b = *state;
  size_t size = (size_t)(20.4 * (double)GIB);
  void *ptr = take(b, size);
  assert_in_range(figures(b).reserved_bytes.current, size, size + PAGE - 1);
  give(b, ptr);
}
#endif

/* ---- handles --------------------------------------------------------------------------------- */

static void a_handle_does_what_a_pointer_does(void **state) {
  bench *b = *state;
  device_stream_t stream = device_stream(&b->device, 2);
  pinned_block *block, *again;
  char *ptr;
  assert_ok(pinned_block_alloc(b->cache, 1000, &block));
  assert_non_null(block);
  ptr = pinned_block_ptr(block);
  device_handed_out(&b->device, ptr, 1000);
  assert_true(pinned_block_size(block) >= 1000);
  assert_ptr_equal(pinned_find(b->cache, ptr), block);
  assert_ptr_equal(pinned_find(b->cache, ptr + 999), block);
  assert_ok(pinned_block_record_stream(b->cache, block, stream));
  device_use(&b->device, stream, ptr);
#ifdef DEVICE_TIMELINE
  assert_ok(pinned_block_record_value(b->cache, block, stream, device_value(&b->device, stream)));
#else
  assert_ok(pinned_block_record_event(b->cache, block, device_event(&b->device, stream)));
#endif
  device_handed_back(&b->device, ptr);
  assert_ok(pinned_block_free(b->cache, block));
  assert_null(pinned_find(b->cache, ptr));
  assert_int_equal(poll_events(b), 0);
  device_complete_all(&b->device);
  assert_int_equal(poll_events(b), 1);

  assert_ok(pinned_block_alloc(b->cache, 1000, &again));
  ptr = pinned_block_ptr(again);
  device_handed_out(&b->device, ptr, 1000);
  device_handed_back(&b->device, ptr);
  assert_ok(pinned_block_free_deferred(b->cache, again));
}

static void a_null_handle_is_nothing(void **state) {
  bench *b = *state;
  assert_null(pinned_block_ptr(NULL));
  assert_int_equal(pinned_block_size(NULL), 0);
  assert_result(pinned_block_record_stream(b->cache, NULL, device_stream(&b->device, 0)),
                HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_record_stream(b->cache, NULL, device_stream(&b->device, 0)),
                HOSTCACHE_ERR_NOT_FOUND);
}

static void find_knows_every_byte_of_a_block_and_no_other(void **state) {
  bench *b = *state;
  char *one = take(b, 64 * KIB), *two = take(b, 64 * KIB);
  pinned_block *block = pinned_find(b->cache, one);
  assert_ptr_equal(pinned_find(b->cache, one + 64 * KIB - 1), block);
  assert_ptr_not_equal(pinned_find(b->cache, one + figures(b).allocated_bytes.current / 2), block);
  assert_ptr_not_equal(pinned_find(b->cache, one - 1), block);
  assert_ptr_not_equal(pinned_find(b->cache, two), block);
  give(b, one);
  assert_null(pinned_find(b->cache, one));
  give(b, two);
}

/* ---- upkeep ---------------------------------------------------------------------------------- */

static void process_events_says_how_many_became_ready(void **state) {
  bench *b = *state;
  void *blocks[6];
  int i;
  assert_int_equal(poll_events(b), 0);
  for (i = 0; i < 6; i++) blocks[i] = take(b, 64 * KIB);
  for (i = 0; i < 6; i++) {
    use(b, blocks[i], 1);
    give(b, blocks[i]);
  }
  complete(b, 1, 2);
  assert_int_equal(poll_events(b), 2);
  complete(b, 1, 3);
  assert_int_equal(poll_events(b), 3);
  complete(b, 1, 1);
  assert_ok(pinned_process_events(b->cache, NULL));
  assert_int_equal(figures(b).pending.current, 0);
}

static void synchronize_with_no_time_polls_once(void **state) {
  bench *b = *state;
  assert_ok(pinned_synchronize(b->cache, 0));
  (void)pend(b, 64 * KIB, 1);
  (void)pend(b, 64 * KIB, 2);
  complete(b, 2, -1);
  assert_result(pinned_synchronize(b->cache, 0), HOSTCACHE_ERR_TIMEOUT);
  assert_int_equal(figures(b).pending.current, 1);
  assert_result(pinned_synchronize(b->cache, 1000), HOSTCACHE_ERR_TIMEOUT);
  complete(b, 1, -1);
  assert_ok(pinned_synchronize(b->cache, 0));
  assert_int_equal(figures(b).pending.current, 0);
}

static void synchronize_does_not_touch_what_is_active(void **state) {
  bench *b = *state;
  void *ptr = take(b, 64 * KIB);
  use(b, ptr, 1); /* incomplete: but it is not pending */
  assert_ok(pinned_synchronize(b->cache, UINT64_MAX));
  assert_int_equal(figures(b).active.current, 1);
  give(b, ptr);
}

static void free_deferred_makes_a_block_wait_like_free(void **state) {
  bench *b = *state;
  void *ptr = take(b, 64 * KIB);
  int64_t before;
  use(b, ptr, 1);
  device_handed_back(&b->device, ptr);
  before = hook_calls(b);
  assert_ok(pinned_free_deferred(b->cache, ptr));
  assert_int_equal(hook_calls(b), before);
  assert_int_equal(figures(b).pending.current, 1);
  assert_int_equal(poll_events(b), 0);
  complete(b, 1, -1);
  assert_int_equal(poll_events(b), 1);
}

static void destroy_says_busy_and_tears_nothing_down(void **state) {
  bench *b = *state;
  void *ptr = take(b, 64 * KIB), *cached = take(b, 128 * KIB);
  give(b, cached);
  use(b, ptr, 1);
  assert_result(pinned_destroy(b->cache), HOSTCACHE_ERR_BUSY); /* active */
  if (RED_ZONE > 0) {                                          /* and is told of */
    assert_int_equal(b->heard.of[-HOSTCACHE_ERR_BUSY], 1);
    assert_non_null(strstr(b->heard.what, "65536 bytes is still handed out; got at "));
    b->heard.count = 0;
  }
  assert_ptr_equal(take(b, 128 * KIB), cached);
  give(b, cached);
  give(b, ptr);
  assert_result(pinned_destroy(b->cache), HOSTCACHE_ERR_BUSY); /* pending */
  assert_ok(pinned_check(b->cache));
  assert_result(pinned_free(b->cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  complete(b, 1, -1); /* now it polls first, and succeeds: see teardown */
}

typedef struct walked {
  int count[8], stop_after, segments_before_ranges;
  size_t bytes[8], requested;
  const void *last_segment;
  pinned *cache;
  bool ordered, inside;
  const char *segment_start;
  size_t segment_size;
} walked;

static int look(void *user, const hostcache_visit *visit) {
  walked *w = user;
  hostcache_stats stats = {0};
  assert_ok(pinned_stats(w->cache, &stats)); /* no lock is held */
  assert_true(visit->kind >= 0 && visit->kind < 8);
  w->count[visit->kind]++;
  w->bytes[visit->kind] += visit->size;
  if (visit->kind == HOSTCACHE_VISIT_SEGMENT) {
    if ((uintptr_t)visit->ptr <= (uintptr_t)w->segment_start) w->ordered = false;
    w->segment_start = visit->ptr;
    w->segment_size = visit->size;
  } else {
    size_t offset = (size_t)((uintptr_t)visit->ptr - (uintptr_t)w->segment_start);
    if (offset > w->segment_size || visit->size > w->segment_size - offset) w->inside = false;
    w->requested += visit->requested;
  }
  return w->stop_after != 0 && --w->stop_after == 0;
}

static walked walk(bench *b, int stop_after) {
  walked w;
  memset(&w, 0, sizeof w);
  w.cache = b->cache;
  w.ordered = w.inside = true;
  w.stop_after = stop_after;
  assert_ok(pinned_walk(b->cache, look, &w));
  return w;
}

static void walk_shows_every_segment_and_block(void **state) {
  bench *b = *state;
  void *active = take(b, 1000), *cached = take(b, 64 * KIB);
  walked w = walk(b, 0);
  assert_int_equal(w.count[HOSTCACHE_VISIT_SEGMENT], segments_of(2, 64 * KIB));
  assert_int_equal(w.count[HOSTCACHE_VISIT_ACTIVE], 2);
  (void)pend(b, 3 * MIB, 1);
  give(b, cached);
  w = walk(b, 0);
  assert_true(w.ordered);
  assert_true(w.inside);
  assert_int_equal(w.count[HOSTCACHE_VISIT_SEGMENT], segments_of(2, 64 * KIB) + 1);
  assert_int_equal(w.bytes[HOSTCACHE_VISIT_SEGMENT], figures(b).reserved_bytes.current);
  assert_int_equal(w.count[HOSTCACHE_VISIT_ACTIVE], 1);
  assert_int_equal(w.bytes[HOSTCACHE_VISIT_ACTIVE], figures(b).allocated_bytes.current);
  assert_int_equal(w.count[HOSTCACHE_VISIT_PENDING], 1);
  assert_int_equal(w.bytes[HOSTCACHE_VISIT_PENDING], figures(b).pending_bytes.current);
  assert_true(w.count[HOSTCACHE_VISIT_CACHED] >= 1);
  assert_int_equal(w.count[HOSTCACHE_VISIT_QUARANTINED] + w.count[HOSTCACHE_VISIT_LEAKED], 0);
  w = walk(b, 2);
  assert_int_equal(w.count[0] + w.count[1] + w.count[2] + w.count[3] + w.count[4] + w.count[5], 2);
  give(b, active);
}

/* ---- figures --------------------------------------------------------------------------------- */

static void assert_stat(hostcache_stat stat, int64_t current, int64_t peak, int64_t allocated,
                        int64_t freed) {
  assert_int_equal(stat.current, current);
  assert_int_equal(stat.peak, peak);
  assert_int_equal(stat.allocated, allocated);
  assert_int_equal(stat.freed, freed);
}

/* The bug: active counters never fall, or go negative (pytorch #169561, #183067). */
static void the_figures_are_right_after_each_step(void **state) {
  bench *b = *state;
  const int64_t k64 = 64 * 1024, asked = 60000;
  hostcache_stats s = figures(b);
  void *ptr;
  assert_stat(s.allocation, 0, 0, 0, 0);

  ptr = take(b, (size_t)asked); /* of the class of 60 KiB */
  s = figures(b);
  assert_stat(s.allocation, 1, 1, 1, 0);
  assert_stat(s.segment, 1, 1, 1, 0);
  assert_stat(s.active, 1, 1, 1, 0);
  assert_int_equal(s.requested_bytes.current, asked);
  assert_in_range(s.allocated_bytes.current, asked, k64);
  assert_int_equal(s.active_bytes.current, s.allocated_bytes.current);
  assert_true(s.reserved_bytes.current >= s.allocated_bytes.current);
  assert_int_equal(s.reserved_bytes.current, device_mem_live(&b->device));
  assert_int_equal(s.num_mem_alloc, 1);
  assert_int_equal(s.num_misses, 1);
  assert_int_equal(s.num_hits, 0);
  assert_int_equal(s.mem_alloc_time.count, 1);

  use(b, ptr, 1);
  give(b, ptr);
  s = figures(b);
  assert_stat(s.allocation, 0, 1, 1, 1);
  assert_int_equal(s.allocated_bytes.current, 0);
  assert_stat(s.active, 1, 1, 1, 0);
  assert_int_equal(s.requested_bytes.current, asked);
  assert_stat(s.pending, 1, 1, 1, 0);
  assert_int_equal(s.pending_bytes.current, s.active_bytes.current);
  assert_int_equal(s.num_event_record, 1);

  assert_int_equal(poll_events(b), 0);
  assert_int_equal(figures(b).num_event_query, 1);
  complete(b, 1, -1);
  assert_int_equal(poll_events(b), 1);
  s = figures(b);
  assert_stat(s.active, 0, 1, 1, 1);
  assert_stat(s.pending, 0, 1, 1, 1);
  assert_int_equal(s.active_bytes.current, 0);
  assert_int_equal(s.pending_bytes.current, 0);
  assert_int_equal(s.requested_bytes.current, 0);
  if (blocks_share_segments()) /* what is in stock may have been asked for in full */
    assert_in_range(s.requested_bytes.peak, asked, s.allocated_bytes.peak);
  else
    assert_int_equal(s.requested_bytes.peak, asked);
  assert_stat(s.segment, 1, 1, 1, 0);

  ptr = take(b, (size_t)asked);
  s = figures(b);
  assert_int_equal(s.num_hits, 1);
  assert_int_equal(s.num_misses, 1);
  assert_int_equal(s.num_mem_alloc, 1);
  give(b, ptr);

  assert_ok(pinned_empty_cache(b->cache));
  s = figures(b);
  assert_stat(s.segment, 0, 1, 1, 1);
  assert_int_equal(s.reserved_bytes.current, 0);
  assert_int_equal(s.num_mem_free, 1);
  assert_int_equal(s.mem_free_time.count, 1);
  assert_true(s.mem_free_time.total >= s.mem_free_time.max &&
              s.mem_free_time.max >= s.mem_free_time.min);

  assert_ok(pinned_reset_accumulated_stats(b->cache));
  s = figures(b);
  assert_stat(s.allocation, 0, 1, 0, 0);
  assert_int_equal(
      s.num_mem_alloc + s.num_mem_free + s.num_hits + s.num_misses + s.num_event_record, 0);
  assert_int_equal(s.mem_alloc_time.total + s.mem_alloc_time.count, 0);
  assert_ok(pinned_reset_peak_stats(b->cache));
  s = figures(b);
  assert_stat(s.allocation, 0, 0, 0, 0);
  assert_int_equal(s.reserved_bytes.peak, 0);
}

/* Every figure against a model, after every operation. */
static void the_figures_agree_with_a_model(void **state) {
  enum { SLOTS = 24, STREAMS = 5, STEPS = 4000 };
  static const size_t sizes[] = {
      STREAMS,   700,    4096,        5000, /* a stream may write a byte */
      64 * 1024, 100000, 1024 * 1024, 1024 * 1024 + 1};
  bench *b = *state;
  uint64_t seed = 20240607;
  struct {
    void *ptr;
    size_t size;
    int64_t bytes;    /* that it takes */
    unsigned streams; /* a bit each: marked, with incomplete work */
  } slots[SLOTS];
  struct { /* freed with a use */
    int64_t bytes, requested;
    unsigned streams;
  } waiting[STEPS];
  int64_t done[STREAMS] = {0}; /* all blocks before this index have no work left on that stream */
  int waits = 0, step, i;
  int64_t live = 0, live_bytes = 0, live_requested = 0, gets = 0;
  memset(slots, 0, sizeof slots);
  for (step = 0; step < STEPS; step++) {
    hostcache_stats s;
    int64_t pending = 0, pending_bytes = 0, pending_requested = 0;
    int slot = (int)random_below(&seed, SLOTS), stream = (int)random_below(&seed, STREAMS);
    size_t what = random_below(&seed, 10);
    if (slots[slot].ptr == NULL) {
      slots[slot].size = sizes[random_below(&seed, COUNT_OF(sizes))];
      slots[slot].bytes = -figures(b).allocated_bytes.current;
      slots[slot].ptr = take(b, slots[slot].size);
      slots[slot].bytes += figures(b).allocated_bytes.current;
      assert_true(slots[slot].bytes >=
                  (int64_t)pinned_block_size(pinned_find(b->cache, slots[slot].ptr)));
      slots[slot].streams = 0;
      gets++;
      live++;
      live_bytes += slots[slot].bytes;
      live_requested += (int64_t)slots[slot].size;
    } else if (what < 4) {
      use(b, slots[slot].ptr, stream);
      slots[slot].streams |= 1u << stream;
    } else if (what < 8) {
      int64_t bytes = slots[slot].bytes;
      if (slots[slot].streams != 0) {
        waiting[waits].bytes = bytes;
        waiting[waits].requested = (int64_t)slots[slot].size;
        waiting[waits++].streams = slots[slot].streams;
      }
      live--;
      live_bytes -= bytes;
      live_requested -= (int64_t)slots[slot].size;
      give(b, slots[slot].ptr);
      slots[slot].ptr = NULL;
    } else {
      complete(b, stream, -1);
      done[stream] = waits;
      /* What is still active has a mark that is recorded anew at its free: then all is complete. */
    }
    assert_ok(pinned_process_events(b->cache, NULL));
    for (i = 0; i < waits; i++) {
      unsigned left = 0;
      for (stream = 0; stream < STREAMS; stream++)
        if ((waiting[i].streams & 1u << stream) != 0 && i >= done[stream]) left |= 1u << stream;
      if (left == 0) continue;
      pending++;
      pending_bytes += waiting[i].bytes;
      pending_requested += waiting[i].requested;
    }
    s = figures(b);
    assert_int_equal(s.allocation.current, live);
    assert_int_equal(s.allocation.allocated, gets);
    assert_int_equal(s.allocation.freed, gets - live);
    assert_int_equal(s.allocated_bytes.current, live_bytes);
    /* A block that is freed when its streams are idle already is ready at the next poll. */
    assert_in_range(s.pending.current, 0, pending);
    assert_in_range(s.pending_bytes.current, 0, pending_bytes);
    assert_int_equal(s.active.current, live + s.pending.current);
    assert_int_equal(s.active_bytes.current, live_bytes + s.pending_bytes.current);
    assert_in_range(s.requested_bytes.current, live_requested, live_requested + pending_requested);
    assert_int_equal(s.reserved_bytes.current, device_mem_live(&b->device));
    assert_int_equal(s.num_hits + s.num_misses, gets);
    assert_int_equal(s.segment.current, s.num_mem_alloc - s.num_mem_free);
    if (step % 100 == 0) assert_ok(pinned_check(b->cache));
  }
  for (i = 0; i < SLOTS; i++)
    if (slots[i].ptr != NULL) give(b, slots[i].ptr);
}

/* ---- streams that end ------------------------------------------------------------------------ */

/* The bug: a new stream with an old handle value (rmm #649). */
static void a_stream_may_be_destroyed_once_it_is_forgotten(void **state) {
  bench *b = *state;
  void *marked = take(b, 64 * KIB);
  int round;
  use(b, marked, 1);
  for (round = 0; round < 5; round++) {
    (void)pend(b, 64 * KIB, 1);
    complete(b, 1, -1); /* in timeline mode forgetting waits for what is pending */
    assert_ok(pinned_forget_stream(b->cache, device_stream(&b->device, 1)));
    (void)device_renew(&b->device, 1);
    use(b, marked, 1);
  }
  give(b, marked);
  assert_ok(pinned_process_events(b->cache, NULL));
  assert_int_equal(figures(b).pending.current, 1); /* on the new stream */
  complete(b, 1, -1);
  assert_int_equal(poll_events(b), 1);
}

#ifndef DEVICE_TIMELINE
static void the_work_of_a_forgotten_stream_is_still_waited_for(void **state) {
  bench *b = *state;
  void *marked = take(b, 64 * KIB), *other;
  (void)pend(b, 64 * KIB, 1);
  use(b, marked, 1);
  assert_ok(pinned_forget_stream(b->cache, device_stream(&b->device, 1)));
  give(b, marked);
  assert_int_equal(poll_events(b), 0);
  other = take(b, 64 * KIB);
  assert_ptr_not_equal(other, marked);
  give(b, other);
  (void)device_renew(&b->device, 1);
  device_complete_all(&b->device);
  assert_int_equal(poll_events(b), 2);
}
#endif

/* ---- threads --------------------------------------------------------------------------------- */

#if defined __SANITIZE_THREAD__
#define UNDER_TSAN 1
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

enum { THREADS = 4 };

typedef struct worker {
  bench *bench;
  pthread_t thread;
  int number;
  void *argument;
} worker;

static void run_threads(bench *b, void *(*body)(void *), void *argument) {
  worker workers[THREADS];
  int i;
  for (i = 0; i < THREADS; i++) {
    workers[i].bench = b;
    workers[i].number = i;
    workers[i].argument = argument;
    assert_int_equal(pthread_create(&workers[i].thread, NULL, body, &workers[i]), 0);
  }
  for (i = 0; i < THREADS; i++) assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
}

static void *free_the_block(void *argument) {
  worker *w = argument;
  if (w->number != 0) return NULL;
  device_handed_back(&w->bench->device, w->argument);
  expect_or_abort(pinned_free(w->bench->cache, w->argument) == HOSTCACHE_OK);
  return NULL;
}

static void a_block_may_be_freed_by_another_thread(void **state) {
  bench *b = *state;
  void *plain = take(b, 64 * KIB), *used = take(b, 128 * KIB);
  use(b, used, 1);
  run_threads(b, free_the_block, plain);
  run_threads(b, free_the_block, used);
  assert_ptr_equal(take(b, 64 * KIB), plain);
  give(b, plain);
  complete(b, 1, -1);
  assert_int_equal(poll_events(b), 1);
}

enum { MARKS = 25 };

static void *mark_the_block(void *argument) {
  worker *w = argument;
  int i;
  for (i = 0; i < MARKS; i++) {
    device_stream_t stream = device_stream(&w->bench->device, w->number * MARKS + i);
    device_use(&w->bench->device, stream, w->argument);
    expect_or_abort(pinned_record_stream(w->bench->cache, (char *)w->argument + i, stream) ==
                    HOSTCACHE_OK);
    expect_or_abort(
        pinned_record_stream(w->bench->cache, w->argument, device_stream(&w->bench->device, 0)) ==
        HOSTCACHE_OK); /* the same one by all */
  }
  return NULL;
}

/* The trap: two threads that record on one block with plain stores lose a use, which breaks the one
   rule. */
static void many_threads_may_record_on_one_block_at_once(void **state) {
  bench *b = *state;
  void *ptr = take(b, 64 * KIB);
  int stream;
  run_threads(b, mark_the_block, ptr);
  give(b, ptr);
  for (stream = 0; stream < THREADS * MARKS; stream++) {
    assert_int_equal(poll_events(b), 0);
    complete(b, stream, -1);
  }
  assert_int_equal(poll_events(b), 1);
  assert_int_equal(figures(b).num_event_record, THREADS * MARKS);
}

/* Threads that do everything at once. Each owns the blocks in its slots; through a mailbox they
   pass to another. Marks are made and blocks are freed by their owner alone: two threads at one
   block would be the caller's error. Each has a stream of its own, too, which it destroys now and
   then. */
enum {
  STRESS_STEPS = UNDER_TSAN ? 1500 : 6000,
  STRESS_SLOTS = 12,
  STRESS_STREAMS = 6,
  MAILBOX = 8
};

typedef struct mailbox {
  pthread_mutex_t lock;
  void *blocks[MAILBOX];
} mailbox;

static void *swap_in_mailbox(mailbox *box, size_t at, void *block) {
  void *other;
  pthread_mutex_lock(&box->lock);
  other = box->blocks[at];
  box->blocks[at] = block;
  pthread_mutex_unlock(&box->lock);
  return other;
}

static void stress_use(worker *w, void *ptr, int number, bool by_hand) {
  bench *b = w->bench;
  device_stream_t stream = device_stream(&b->device, number);
  hostcache_result result;
  if (!by_hand) {
    result = pinned_record_stream(b->cache, ptr, stream);
    device_use(&b->device, stream, ptr);
  } else {
    device_use(&b->device, stream, ptr);
#ifdef DEVICE_TIMELINE
    result = pinned_record_value(b->cache, ptr, stream, device_value(&b->device, stream));
#else
    result = pinned_record_event(b->cache, ptr, device_event(&b->device, stream));
#endif
  }
  expect_or_abort(result == HOSTCACHE_OK);
}

static void stress_free(worker *w, void *ptr, bool deferred) {
  bench *b = w->bench;
  hostcache_result result;
  device_handed_back(&b->device, ptr);
  result = deferred ? pinned_free_deferred(b->cache, ptr) : pinned_free(b->cache, ptr);
  expect_or_abort(result == HOSTCACHE_OK);
}

static void *do_everything(void *argument) {
  static const size_t sizes[] = {100, 4096, 20000, 64 * 1024, 1024 * 1024, 1024 * 1024 + 8192};
  worker *w = argument;
  bench *b = w->bench;
  mailbox *box = w->argument;
  const int own = STRESS_STREAMS + w->number;
  uint64_t seed = 77 + (uint64_t)w->number;
  void *slots[STRESS_SLOTS] = {NULL};
  hostcache_stats stats = {0};
  int step;
  size_t i;
  for (step = 0; step < STRESS_STEPS; step++) {
    size_t slot = random_below(&seed, STRESS_SLOTS);
    int stream = (int)random_below(&seed, STRESS_STREAMS + 1);
    if (stream == STRESS_STREAMS) stream = own;
    if (slots[slot] == NULL) {
      size_t size = sizes[random_below(&seed, COUNT_OF(sizes))];
      expect_or_abort(pinned_alloc(b->cache, size, &slots[slot]) == HOSTCACHE_OK);
      device_handed_out(&b->device, slots[slot], size);
      continue;
    }
    switch (random_below(&seed, 16)) {
      case 0:
      case 1:
      case 2:
      case 3: stress_use(w, slots[slot], stream, false); break;
      case 4: stress_use(w, slots[slot], stream, true); break;
      case 5:
      case 6:
      case 7:
      case 8:
        stress_free(w, slots[slot], false);
        slots[slot] = NULL;
        break;
      case 9:
        stress_free(w, slots[slot], true);
        slots[slot] = NULL;
        break;
      case 10:
      case 11: slots[slot] = swap_in_mailbox(box, random_below(&seed, MAILBOX), slots[slot]); break;
      case 12:
      case 13:
        device_complete(&b->device, device_stream(&b->device, stream),
                        (int64_t)random_below(&seed, 8));
        break;
      case 14: expect_or_abort(pinned_process_events(b->cache, NULL) == HOSTCACHE_OK); break;
      default:
        switch (random_below(&seed, 8)) {
          case 0: expect_or_abort(pinned_empty_cache(b->cache) == HOSTCACHE_OK); break;
          case 1: expect_or_abort(pinned_check(b->cache) == HOSTCACHE_OK); break;
          case 2: expect_or_abort(pinned_stats(b->cache, &stats) == HOSTCACHE_OK); break;
          case 3: expect_or_abort(pinned_free(b->cache, &stats) == HOSTCACHE_ERR_NOT_FOUND); break;
          case 4: expect_or_abort(pinned_find(b->cache, slots[slot]) != NULL); break;
          case 5: {
            hostcache_result result = pinned_synchronize(b->cache, 0);
            expect_or_abort(result == HOSTCACHE_OK || result == HOSTCACHE_ERR_TIMEOUT);
            break;
          }
          case 6: {
            device_complete(&b->device, device_stream(&b->device, own), -1);
            expect_or_abort(pinned_forget_stream(b->cache, device_stream(&b->device, own)) ==
                            HOSTCACHE_OK);
            (void)device_renew(&b->device, own);
            break;
          }
          default: expect_or_abort(pinned_reset_peak_stats(b->cache) == HOSTCACHE_OK); break;
        }
    }
  }
  for (i = 0; i < STRESS_SLOTS; i++)
    if (slots[i] != NULL) stress_free(w, slots[i], i % 2 == 0);
  return NULL;
}

static void threads_do_everything_at_once(void **state) {
  bench *b = *state;
  mailbox box;
  int i;
  memset(&box, 0, sizeof box);
  pthread_mutex_init(&box.lock, NULL);
#ifdef DEVICE_SIMULATED
  b->device.widens = true;
#endif
  run_threads(b, do_everything, &box);
  for (i = 0; i < MAILBOX; i++)
    if (box.blocks[i] != NULL) give(b, box.blocks[i]);
  pthread_mutex_destroy(&box.lock);
  assert_ok(pinned_check(b->cache));
}

static atomic_bool stop_polling;

static void *poll_until_told(void *argument) {
  bench *b = argument;
  while (!atomic_load(&stop_polling))
    expect_or_abort(pinned_process_events(b->cache, NULL) == HOSTCACHE_OK);
  return NULL;
}

/* The user's own thread, as the bugs of background threads (pytorch #167347) are not to happen
   here: the header has none, and when the user's has ended, destroy is safe. */
static void a_thread_of_the_users_may_poll_all_the_time(void **state) {
  bench *b = *state;
  pthread_t thread;
  int i;
  atomic_store(&stop_polling, false);
  assert_int_equal(pthread_create(&thread, NULL, poll_until_told, b), 0);
  for (i = 0; i < 300; i++) {
    (void)pend(b, 64 * KIB, i % 3);
    complete(b, i % 3, -1);
  }
  atomic_store(&stop_polling, true);
  assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ---- all of them ----------------------------------------------------------------------------- */

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_block_without_uses_is_ready_at_once),
      TEST(a_block_is_reused_only_after_the_work_on_it),
      TEST(a_block_waits_for_each_of_four_streams),
      TEST(a_block_waits_for_each_of_a_hundred_streams),
      TEST(a_mark_may_be_made_before_the_work_is_submitted),
      TEST(a_mark_covers_all_work_up_to_the_free),
      TEST(work_submitted_after_the_free_is_not_waited_for),
      TEST(a_use_may_be_recorded_through_any_pointer_into_the_block),
      TEST(memory_is_not_given_back_while_it_is_used),
      TEST(a_stuck_stream_holds_back_only_its_own_blocks),
      TEST(one_of_eight_streams_never_completes_and_costs_no_more_than_its_blocks),
#ifdef DEVICE_TIMELINE
      TEST(a_value_replaces_the_mark_and_the_highest_counts),
#else
      TEST(an_event_that_hangs_harms_no_other),
      TEST(an_event_that_exists_already_can_be_handed_over),
      TEST(an_event_that_was_refused_stays_the_callers),
      TEST(the_work_of_a_forgotten_stream_is_still_waited_for),
#endif
      TEST(foreign_pointers_are_refused_and_never_looked_into),
      TEST(an_interior_pointer_is_not_freed),
      TEST(a_double_free_is_told_in_every_state_and_does_no_harm),
      TEST(a_pointer_of_another_cache_is_refused),
      TEST(nothing_is_asked_for_and_nothing_is_freed),
      TEST(sizes_at_the_end_of_the_range_are_too_big),
      TEST(a_block_is_at_least_as_large_as_asked_and_wastes_little),
#ifdef DEVICE_SIMULATED
      TEST(a_large_request_reserves_what_it_asks_for),
#endif
      TEST(a_handle_does_what_a_pointer_does),
      TEST(a_null_handle_is_nothing),
      TEST(find_knows_every_byte_of_a_block_and_no_other),
      TEST(process_events_says_how_many_became_ready),
      TEST(synchronize_with_no_time_polls_once),
      TEST(synchronize_does_not_touch_what_is_active),
      TEST(free_deferred_makes_a_block_wait_like_free),
      TEST(destroy_says_busy_and_tears_nothing_down),
      TEST(walk_shows_every_segment_and_block),
      TEST(the_figures_are_right_after_each_step),
      TEST(the_figures_agree_with_a_model),
      TEST(a_stream_may_be_destroyed_once_it_is_forgotten),
      TEST(a_block_may_be_freed_by_another_thread),
      TEST(many_threads_may_record_on_one_block_at_once),
      TEST(threads_do_everything_at_once),
      TEST(a_thread_of_the_users_may_poll_all_the_time),
  };
  return cmocka_run_group_tests_name("behaviour on " DEVICE_HEADER, tests, NULL, NULL);
}
