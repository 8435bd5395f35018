/* own_segments.c - tests caches whose blocks are segments of their own (HC_OWN_SEGMENTS), as those
   of c10::CPUCachingAllocator are: sections 8 to 10 as they are there, and what section 12 has for
   them alone.

   Promises: a block has the request's size, rounded up to the alignment and to nothing else, and
   serves that size alone, and those whom its segment fits; it may leave, and then is not touched or
   counted any more; a pointer is freed where it belongs, whichever cache of the name is asked, and
   what belongs to none is passed on, and nothing else; a cache does not end while another one frees
   a block of it; a thread has a current cache, as deep as guards are nested. */

#include "sim/below.h"

/* What HC_FREE_FOREIGN got. Of one thread at a time, but where threads are all that it gets. */
static int passed_on, passed_on_code;
static void *passed_on_last;

static int pass_on(void *ptr) {
  passed_on++;
  passed_on_last = ptr;
  return passed_on_code;
}

#define HC_NAME tensors
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#define HC_FREE_FOREIGN(ctx, ptr) hostcache_map(((void)(ctx), pass_on(ptr)), 0, 0)
#include "sim/hooks_memory.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME strict
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#define HC_HOST_ALLOCATOR
#define HC_TRACE
#define HC_POOLS
#define HC_DEVICE_ALLOCATOR
#include "sim/hooks_memory.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#ifdef _WIN32 /* its C library has another function, with memory that free does not take */
#define aligned_alloc(align, size) _aligned_malloc(size, align)
#define aligned_free(ptr) _aligned_free(ptr)
#else
#define aligned_free(ptr) free(ptr)
#endif

/* A cache whose segments have a colour, and serve those alone who ask for it. */
static int colour_wanted, colours_got;

#define HC_NAME coloured
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#define HC_SEGMENT_T int
#define HC_MEM_ALLOC(ctx, size, align, ptr_out, segment_ptr)         \
  ((void)(ctx), (void)(align), *(ptr_out) = aligned_alloc(64, size), \
   *(segment_ptr) = colour_wanted, colours_got++, hostcache_done())
#define HC_MEM_FREE(ctx, ptr, size, segment_ptr) \
  ((void)(ctx), (void)(size), (void)(segment_ptr), aligned_free(ptr), hostcache_done())
#define HC_SEGMENT_FITS(segment_ptr) (*(segment_ptr) == colour_wanted)
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE_WITHOUT_STREAMS
#define CACHE_OWN_SEGMENTS

#define CACHE tensors
#include "sim/rig.h"
#undef CACHE

#define CACHE strict
#include "sim/rig.h"
#undef CACHE

#include "life/life.h"

/* So many calls of the hook since the rig was opened. */
static uint64_t asked(const tensors_rig *rig) { return rig->device.calls[SIM_MEM_ALLOC]; }
static uint64_t gave_back(const tensors_rig *rig) { return rig->device.calls[SIM_MEM_FREE]; }

static size_t size_of(tensors *cache, const void *ptr) {
  return tensors_block_size(tensors_find(cache, ptr));
}

/* ---- sizes ----------------------------------------------------------------------------------- */

static void a_block_is_rounded_to_the_alignment_and_to_nothing_else(void **state) {
  static const size_t sizes[] = {
      1, 63, 64, 65, 100, 128, 4095, 4096, 4097, 100000, MIB - 1, MIB + 1, 20 * MIB + 12345};
  tensors_rig *rig = *state;
  size_t i, held = 0;
  for (i = 0; i < COUNT_OF(sizes); i++) {
    const size_t rounded = (sizes[i] + 63) / 64 * 64;
    const void *ptr = tensors_rig_take(rig, sizes[i]);
    held += rounded;
    assert_int_equal(size_of(rig->cache, ptr), rounded);
    assert_int_equal(rig->device.last_align, 64);
    assert_int_equal(rig->device.live_bytes, held);
    assert_int_equal(tensors_rig_stats(rig).reserved_bytes.current, held);
  }
  assert_int_equal(tensors_rig_stats(rig).segment.current, COUNT_OF(sizes));
}

static void the_config_says_which_alignment(void **state) {
  static const size_t alignments[] = {1, 8, 16, 512, 4096, 65536};
  tensors_rig *rig = *state;
  hostcache_config config = tensors_rig_config(rig);
  size_t i;
  for (i = 0; i < COUNT_OF(alignments); i++) {
    const size_t align = alignments[i], sizes[] = {1, align, align + 1, 3 * align, 10000};
    void *ptrs[COUNT_OF(sizes)];
    size_t k;
    config.alignment = align;
    tensors_rig_configure(rig, config);
    for (k = 0; k < COUNT_OF(sizes); k++) {
      ptrs[k] = tensors_rig_take(rig, sizes[k]);
      assert_int_equal((uintptr_t)ptrs[k] % align, 0);
      assert_int_equal(size_of(rig->cache, ptrs[k]), (sizes[k] + align - 1) / align * align);
    }
    tensors_rig_check(rig);
    for (k = 0; k < COUNT_OF(sizes); k++) tensors_rig_give(rig, ptrs[k]);
    tensors_rig_check(rig);
  }
}

static void a_block_serves_its_own_size_alone(void **state) {
  tensors_rig *rig = *state;
  void *ptr = tensors_rig_take(rig, 1000);
  tensors_rig_give(rig, ptr);
  assert_ptr_not_equal(tensors_rig_take(rig, 960), ptr);
  assert_ptr_not_equal(tensors_rig_take(rig, 1025), ptr);
  assert_int_equal(asked(rig), 3);
  assert_ptr_equal(tensors_rig_take(rig, 961), ptr); /* 1,024 bytes, too */
  assert_int_equal(asked(rig), 3);
  assert_int_equal(gave_back(rig), 0);
}

static void of_one_size_what_was_freed_last_comes_first(void **state) {
  tensors_rig *rig = *state;
  void *ptrs[3];
  size_t i;
  for (i = 0; i < COUNT_OF(ptrs); i++) ptrs[i] = tensors_rig_take(rig, 4096);
  for (i = 0; i < COUNT_OF(ptrs); i++) tensors_rig_give(rig, ptrs[i]);
  for (i = COUNT_OF(ptrs); i-- > 0;) assert_ptr_equal(tensors_rig_take(rig, 4096), ptrs[i]);
}

static void a_segment_that_does_not_fit_serves_nobody(void **state) {
  void *red, *blue, *again;
  coloured *of;
  (void)state;
  colours_got = 0;
  assert_ok(coloured_create(&of, NULL, NULL));
  colour_wanted = 1;
  assert_ok(coloured_alloc(of, 128, &red));
  assert_ok(coloured_free(of, red));
  colour_wanted = 2;
  assert_ok(coloured_alloc(of, 128, &blue));
  assert_int_equal(colours_got, 2);
  assert_ok(coloured_free(of, blue)); /* the last one, and yet the other is found */
  colour_wanted = 1;
  assert_ok(coloured_alloc(of, 128, &again));
  assert_ptr_equal(again, red);
  assert_int_equal(colours_got, 2);
  assert_ok(coloured_free(of, again));
  assert_ok(coloured_check(of));
  assert_ok(coloured_destroy(of));
}

/* More sizes than there are lists, and many that a best fit would take for each other. */
static void each_of_thousands_of_sizes_is_found_again(void **state) {
  enum { SIZES = SIZES_HAVE_64_BITS ? 3000 : 2000 }; /* 2 GiB, where not more than 3 can be had */
  static void *ptrs[SIZES];
  tensors_rig *rig = *state;
  size_t i;
  for (i = 0; i < SIZES; i++) ptrs[i] = tensors_rig_take(rig, MIB + 64 * i);
  for (i = 0; i < SIZES; i++) tensors_rig_give(rig, ptrs[i]);
  tensors_rig_check(rig);
  for (i = 0; i < SIZES; i += 7) assert_ptr_equal(tensors_rig_take(rig, MIB + 64 * i), ptrs[i]);
  assert_int_equal(asked(rig), SIZES);
}

static void neighbours_do_not_become_one(void **state) {
  tensors_rig *rig = *state;
  char *ptrs[4];
  size_t i;
  for (i = 0; i < COUNT_OF(ptrs); i++) ptrs[i] = tensors_rig_take(rig, 192);
  for (i = 0; i < COUNT_OF(ptrs); i++) tensors_rig_give(rig, ptrs[i]);
  (void)tensors_rig_take(rig, 384);
  assert_int_equal(asked(rig), COUNT_OF(ptrs) + 1);
  assert_int_equal(tensors_rig_stats(rig).inactive_split.peak, 0);
  assert_int_equal(tensors_rig_stats(rig).cached_bytes.current, 4 * 192);
}

/* Where ranges are split, memory that does not fit goes back before more is asked for than ever was
   held. Here the next round would find nothing. */
static void a_round_of_sizes_is_found_the_second_time(void **state) {
  static const size_t sizes[] = {3 * MIB, 100, 20 * MIB, 64 * KIB, 5 * MIB};
  tensors_rig *rig = *state;
  unsigned round;
  size_t i;
  for (round = 0; round < 3; round++)
    for (i = 0; i < COUNT_OF(sizes); i++) tensors_rig_give(rig, tensors_rig_take(rig, sizes[i]));
  assert_int_equal(asked(rig), COUNT_OF(sizes));
  assert_int_equal(gave_back(rig), 0);
  assert_int_equal(tensors_rig_stats(rig).num_hits, 2 * COUNT_OF(sizes));
}

static void sizes_that_are_too_big_reach_no_hook(void **state) {
  tensors_rig *rig = *state;
  hostcache_config config = tensors_rig_config(rig);
  void *ptr;
  assert_result(tensors_alloc(rig->cache, SIZE_MAX, &ptr), HOSTCACHE_ERR_TOO_BIG);
  assert_result(tensors_alloc(rig->cache, (size_t)PTRDIFF_MAX - 62, &ptr), HOSTCACHE_ERR_TOO_BIG);
  config.max_segment_bytes = 1000; /* 960 is the last multiple of 64 */
  tensors_rig_configure(rig, config);
  assert_result(tensors_alloc(rig->cache, 961, &ptr), HOSTCACHE_ERR_TOO_BIG);
  assert_int_equal(asked(rig), 0);
  (void)tensors_rig_take(rig, 960);
}

/* ---- the config ------------------------------------------------------------------------------ */

static void a_config_that_has_blocks_share_segments_is_refused(void **state) {
  tensors_rig *rig = *state;
  const hostcache_config usual = tensors_rig_config(rig);
  hostcache_config configs[4];
  tensors *made;
  size_t i;
  for (i = 0; i < COUNT_OF(configs); i++) configs[i] = usual;
  configs[0].segment_bytes = 2 * MIB;
  configs[1].class_max_bytes = MIB;
  configs[2].class_steps = 8;
  configs[3].reserve_segment_bytes = MIB;
  for (i = 0; i < COUNT_OF(configs); i++) {
    assert_result(tensors_create(&made, &configs[i], &rig->device), HOSTCACHE_ERR_ARGUMENT);
    assert_null(made);
  }
  assert_int_equal(asked(rig), 0);
}

/* Bounds that hold anyway. */
static void bounds_on_splits_and_stocks_may_be_set(void **state) {
  tensors_rig *rig = *state;
  hostcache_config config = tensors_rig_config(rig);
  config.max_split_size = MIB;
  config.thread_cache_bytes = MIB;
  tensors_rig_configure(rig, config);
  tensors_rig_give(rig, tensors_rig_take(rig, MIB + 64));
  assert_int_equal(tensors_rig_stats(rig).oversize_allocations.allocated, 1);
  tensors_rig_check(rig);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static void out_of_memory_all_that_is_cached_goes_back(void **state) {
  tensors_rig *rig = *state;
  void *ptr;
  rig->device.memory_limit = 300 * KIB;
  tensors_rig_give(rig, tensors_rig_take(rig, 100 * KIB));
  tensors_rig_give(rig, tensors_rig_take(rig, 150 * KIB));
  (void)tensors_rig_take(rig, 64 * KIB);
  assert_int_equal(gave_back(rig), 2);
  assert_int_equal(tensors_rig_stats(rig).num_alloc_retries, 1);
  assert_result(tensors_alloc(rig->cache, 250 * KIB, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_int_equal(tensors_rig_stats(rig).num_ooms, 1);
}

static void the_cap_is_never_passed(void **state) {
  tensors_rig *rig = *state;
  hostcache_config config = tensors_rig_config(rig);
  void *first, *ptr;
  config.max_reserved_bytes = 1000;
  tensors_rig_configure(rig, config);
  first = tensors_rig_take(rig, 500); /* 512 */
  assert_result(tensors_alloc(rig->cache, 500, &ptr), HOSTCACHE_ERR_LIMIT);
  (void)tensors_rig_take(rig, 448);
  tensors_rig_give(rig, first);
  (void)tensors_rig_take(rig, 300); /* what is idle goes back for it */
  assert_true(rig->device.peak_bytes <= 1000);
}

static void what_is_idle_may_be_bounded(void **state) {
  tensors_rig *rig = *state;
  void *ptrs[3];
  size_t i;
  assert_ok(tensors_set_max_cached_bytes(rig->cache, 10000));
  for (i = 0; i < COUNT_OF(ptrs); i++) ptrs[i] = tensors_rig_take(rig, 4096 + 64 * i);
  for (i = 0; i < COUNT_OF(ptrs); i++) tensors_rig_give(rig, ptrs[i]);
  assert_int_equal(gave_back(rig), 1); /* the one that was idle for longest */
  assert_int_equal(tensors_rig_stats(rig).cached_bytes.current, 2 * 4096 + 3 * 64);
}

static void memory_is_got_in_advance_by_its_size(void **state) {
  tensors_rig *rig = *state;
  size_t i;
  assert_ok(tensors_reserve(rig->cache, 100, 5));
  assert_int_equal(asked(rig), 5);
  assert_int_equal(rig->device.live_bytes, 5 * 128);
  for (i = 0; i < 5; i++) (void)tensors_rig_take(rig, 128);
  assert_int_equal(asked(rig), 5);
}

static void free_cached_gives_back_all_that_is_cached(void **state) {
  tensors_rig *rig = *state;
  void *held = tensors_rig_take(rig, 100);
  tensors_rig_give(rig, tensors_rig_take(rig, 200));
  tensors_rig_give(rig, tensors_rig_take(rig, 3 * MIB));
  assert_ok(tensors_free_cached(rig->cache));
  assert_int_equal(rig->device.live_bytes, 128);
  assert_int_equal(size_of(rig->cache, held), 128);
  assert_result(tensors_free_cached(NULL), HOSTCACHE_ERR_ARGUMENT);
}

static int count_blocks(void *user, const hostcache_visit *visit) {
  ((unsigned *)user)[visit->kind]++;
  return 0;
}

static void a_walk_shows_each_block_in_its_segment(void **state) {
  tensors_rig *rig = *state;
  unsigned seen[HOSTCACHE_VISIT_LEAKED + 1] = {0};
  (void)tensors_rig_take(rig, 100);
  (void)tensors_rig_take(rig, 5 * MIB);
  tensors_rig_give(rig, tensors_rig_take(rig, 300));
  assert_ok(tensors_walk(rig->cache, count_blocks, seen));
  assert_int_equal(seen[HOSTCACHE_VISIT_SEGMENT], 3);
  assert_int_equal(seen[HOSTCACHE_VISIT_ACTIVE], 2);
  assert_int_equal(seen[HOSTCACHE_VISIT_CACHED], 1);
}

/* ---- blocks that leave ----------------------------------------------------------------------- */

/* Tells the cache and the referee, and frees the memory, as its new owner does. */
static void let_leave(tensors_rig *rig, tensors *told, void *ptr, size_t rounded) {
  assert_ok(tensors_record_free(told, ptr));
  sim_handed_back(&rig->device, ptr);
  assert_int_equal(sim_mem_free(&rig->device, ptr, rounded), SIM_DONE);
}

static void a_block_that_leaves_is_not_given_back_and_not_counted(void **state) {
  tensors_rig *rig = *state;
  void *ptr = tensors_rig_take(rig, 1000);
  hostcache_stats stats;
  assert_ok(tensors_record_free(rig->cache, ptr));
  assert_int_equal(gave_back(rig), 0);
  assert_int_equal(rig->device.live_bytes, 1024);
  assert_null(tensors_find(rig->cache, ptr));
  stats = tensors_rig_stats(rig);
  assert_int_equal(stats.allocation.current, 0);
  assert_int_equal(stats.allocation.freed, 1);
  assert_int_equal(stats.reserved_bytes.current, 0);
  assert_int_equal(stats.segment.freed, 1);
  assert_int_equal(stats.cached_bytes.current, 0);
  tensors_rig_check(rig);
  assert_ok(tensors_destroy(rig->cache)); /* it is not waited for either */
  rig->cache = NULL;
  sim_handed_back(&rig->device, ptr);
  assert_int_equal(sim_mem_free(&rig->device, ptr, 1024), SIM_DONE);
}

static void room_below_the_cap_is_what_it_leaves(void **state) {
  tensors_rig *rig = *state;
  void *ptr;
  assert_ok(tensors_set_max_reserved_bytes(rig->cache, 1024));
  ptr = tensors_rig_take(rig, 1024);
  let_leave(rig, rig->cache, ptr, 1024);
  (void)tensors_rig_take(rig, 512);
  (void)tensors_rig_take(rig, 500);
}

static void its_address_may_come_again(void **state) {
  tensors_rig *rig = *state;
  void *ptr = tensors_rig_take(rig, 1000);
  rig->device.reuses_addresses = true;
  let_leave(rig, rig->cache, ptr, 1024);
  assert_ptr_equal(tensors_rig_take(rig, 1000), ptr);
  assert_int_equal(size_of(rig->cache, ptr), 1024);
  tensors_rig_check(rig);
}

static void what_cannot_leave_is_told(void **state) {
  tensors_rig *rig = *state;
  char *ptr = tensors_rig_take(rig, 1000);
  int local = 0;
  assert_result(tensors_record_free(rig->cache, ptr + 64), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(tensors_record_free(rig->cache, &local), HOSTCACHE_ERR_NOT_FOUND);
  assert_ok(tensors_record_free(rig->cache, NULL));
  assert_ok(tensors_record_free(NULL, NULL));
  tensors_rig_give(rig, ptr);
  assert_result(tensors_record_free(rig->cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  ptr = tensors_rig_take(rig, 1000);
  let_leave(rig, rig->cache, ptr, 1024);
  assert_result(tensors_record_free(rig->cache, ptr), HOSTCACHE_ERR_NOT_FOUND);
  assert_int_equal(passed_on, 0);
  tensors_rig_check(rig);
}

static void leaving_needs_no_memory(void **state) {
  tensors_rig *rig = *state;
  void *ptr = tensors_rig_take(rig, 1000);
  below_fail(1, true);
  let_leave(rig, rig->cache, ptr, 1024);
  below_fail_no_more();
}

/* ---- one ownership for all caches of a name -------------------------------------------------- */

static tensors *another(tensors_rig *rig) {
  tensors *other;
  assert_ok(tensors_create(&other, NULL, &rig->device));
  return other;
}

static hostcache_stats stats_of(tensors *of) {
  hostcache_stats stats;
  assert_ok(tensors_stats(of, &stats));
  return stats;
}

static void a_block_is_freed_into_the_cache_that_it_is_of(void **state) {
  tensors_rig *rig = *state;
  tensors *other = another(rig);
  void *ptr, *again;
  assert_ok(tensors_alloc(other, 1000, &ptr));
  assert_ok(tensors_free(rig->cache, ptr));
  assert_int_equal(stats_of(other).cached_bytes.current, 1024);
  assert_int_equal(tensors_rig_stats(rig).cached_bytes.current, 0);
  assert_ok(tensors_alloc(other, 1000, &again));
  assert_ptr_equal(again, ptr);
  assert_ok(tensors_free_deferred(rig->cache, ptr));
  assert_int_equal(stats_of(other).cached_bytes.current, 1024);
  assert_int_equal(passed_on, 0);
  assert_ok(tensors_check(other));
  assert_ok(tensors_destroy(other));
}

static void a_double_free_is_told_by_whichever_cache(void **state) {
  tensors_rig *rig = *state;
  tensors *other = another(rig);
  char *ptr;
  assert_ok(tensors_alloc(other, 1000, (void **)&ptr));
  assert_result(tensors_free(rig->cache, ptr + 64), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(tensors_free(other, ptr + 64), HOSTCACHE_ERR_NOT_FOUND);
  assert_ok(tensors_free(rig->cache, ptr));
  assert_result(tensors_free(rig->cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_result(tensors_free(other, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_result(tensors_free_deferred(rig->cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_result(tensors_record_free(rig->cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_int_equal(passed_on, 0);
  assert_ok(tensors_destroy(other));
}

static void a_block_leaves_the_cache_that_it_is_of(void **state) {
  tensors_rig *rig = *state;
  tensors *other = another(rig);
  void *ptrs[2];
  size_t i;
  for (i = 0; i < COUNT_OF(ptrs); i++) {
    assert_ok(tensors_alloc(other, 1000, &ptrs[i]));
    sim_handed_out(&rig->device, ptrs[i], 1000);
  }
  let_leave(rig, rig->cache, ptrs[0], 1024);
  let_leave(rig, NULL, ptrs[1], 1024); /* none at hand */
  assert_int_equal(stats_of(other).reserved_bytes.current, 0);
  assert_ok(tensors_check(other));
  assert_ok(tensors_destroy(other));
}

static void a_handle_is_of_its_own_cache_alone(void **state) {
  tensors_rig *rig = *state;
  tensors *other = another(rig);
  tensors_block *block;
  assert_ok(tensors_block_alloc(other, 1000, &block));
  assert_result(tensors_block_free(rig->cache, block), HOSTCACHE_ERR_NOT_FOUND);
  assert_null(tensors_find(rig->cache, tensors_block_ptr(block)));
  assert_ok(tensors_block_free(other, block));
  assert_ok(tensors_destroy(other));
}

static void a_cache_of_another_name_has_nothing_to_do_with_it(void **state) {
  tensors_rig *rig = *state;
  strict *other;
  void *ptr;
  assert_ok(strict_create(&other, NULL, &rig->device));
  assert_ok(strict_alloc(other, 1000, &ptr));
  assert_ok(tensors_free(rig->cache, ptr));
  assert_int_equal(passed_on, 1);
  assert_result(tensors_record_free(NULL, ptr), HOSTCACHE_ERR_NOT_FOUND);
  assert_ok(strict_free(other, ptr));
  assert_ok(strict_destroy(other));
}

static void a_cache_that_has_ended_owns_nothing(void **state) {
  tensors_rig *rig = *state;
  tensors *others[3];
  void *ptr;
  size_t i;
  for (i = 0; i < COUNT_OF(others); i++) others[i] = another(rig);
  assert_ok(tensors_alloc(others[1], 1000, &ptr));
  assert_result(tensors_destroy(others[1]), HOSTCACHE_ERR_BUSY); /* and it goes on */
  assert_ok(tensors_free(rig->cache, ptr));
  assert_ok(tensors_destroy(others[1]));
  assert_ok(tensors_destroy(others[2]));
  tensors_abandon(others[0]);
  assert_ok(tensors_free(rig->cache, &ptr));
  assert_int_equal(passed_on, 1);
}

/* ---- what is not ours ------------------------------------------------------------------------ */

static void what_is_not_ours_is_passed_on(void **state) {
  tensors_rig *rig = *state;
  int local = 0;
  (void)tensors_rig_take(rig, 1000);
  assert_ok(tensors_free(rig->cache, &local));
  assert_int_equal(passed_on, 1);
  assert_ptr_equal(passed_on_last, &local);
  assert_ok(tensors_free(rig->cache, NULL));
  assert_result(tensors_free(NULL, &local), HOSTCACHE_ERR_ARGUMENT);
  assert_int_equal(passed_on, 1);
  assert_int_equal(rig->heard.count, 0);
}

static void a_hook_that_cannot_free_it_is_told(void **state) {
  tensors_rig *rig = *state;
  int local = 0;
  passed_on_code = SIM_FAILURE;
  assert_result(tensors_free(rig->cache, &local), HOSTCACHE_ERR_HOOK);
  assert_int_equal(rig->heard.count, 1);
  assert_int_equal(rig->heard.result, HOSTCACHE_ERR_HOOK);
  assert_int_equal(rig->heard.code, SIM_FAILURE);
  assert_ptr_equal(rig->heard.ptr, &local);
}

static void a_free_in_a_callback_passes_nothing_on(void **state) {
  tensors_rig *rig = *state;
  int local = 0;
  assert_result(tensors_free_deferred(rig->cache, &local), HOSTCACHE_ERR_NOT_FOUND);
  assert_int_equal(passed_on, 0);
}

static void a_free_in_a_callback_calls_no_hook_of_the_owner(void **state) {
  tensors_rig *rig = *state;
  tensors *other = another(rig);
  void *ptr;
  assert_ok(tensors_set_max_cached_bytes(other, HOSTCACHE_NONE));
  assert_ok(tensors_alloc(other, 1000, &ptr));
  assert_ok(tensors_free_deferred(rig->cache, ptr));
  assert_int_equal(gave_back(rig), 0);
  assert_ok(tensors_process_events(other, NULL));
  assert_int_equal(gave_back(rig), 1);
  assert_ok(tensors_destroy(other));
}

static void without_the_hook_it_is_not_found(void **state) {
  strict_rig *rig = *state;
  int local = 0;
  assert_result(strict_free(rig->cache, &local), HOSTCACHE_ERR_NOT_FOUND);
  assert_int_equal(rig->heard.count, 0);
}

/* ---- the interfaces -------------------------------------------------------------------------- */

static void the_deleter_frees_a_block_of_any_size(void **state) {
  strict_rig *rig = *state;
  hostcache_config config = strict_rig_config(rig);
  hostcache_allocator a;
  hostcache_host_stats stats;
  void *ptr, *context;
  size_t size;
  config.alignment = 1;
  strict_rig_configure(rig, config);
  assert_ok(strict_as_allocator(rig->cache, &a));
  for (size = 1; size <= 3; size++) { /* each is a segment */
    assert_ok(a.allocate(a.cache, size, &ptr, &context));
    assert_ok(a.get_stats(a.cache, &stats));
    assert_int_equal(stats.bucket_allocation[size - 1], 1); /* up to 1, 2, and 4 bytes */
    a.deleter(context);
    assert_int_equal(strict_rig_stats(rig).active.current, 0);
  }
}

typedef struct story {
  hostcache_trace entries[8];
  size_t count;
} story;

static void remember(void *user, const hostcache_trace *entry) {
  story *s = user;
  if (s->count < COUNT_OF(s->entries)) s->entries[s->count] = *entry;
  s->count++;
}

static void trackers_hear_that_a_block_leaves(void **state) {
  static const hostcache_action actions[] = {
      HOSTCACHE_TRACE_SEGMENT_ALLOC, HOSTCACHE_TRACE_ALLOC, HOSTCACHE_TRACE_FREE_REQUESTED,
      HOSTCACHE_TRACE_FREE_COMPLETED, HOSTCACHE_TRACE_SEGMENT_FREE};
  strict_rig *rig = *state;
  static story told; /* hears of the destroy as well */
  void *ptr;
  size_t i;
  assert_ok(strict_attach_trace_tracker(rig->cache, remember, &told));
  assert_ok(strict_alloc(rig->cache, 1000, &ptr));
  assert_ok(strict_record_free(rig->cache, ptr));
  assert_int_equal(told.count, COUNT_OF(actions));
  for (i = 0; i < COUNT_OF(actions); i++) {
    assert_int_equal(told.entries[i].action, actions[i]);
    assert_ptr_equal(told.entries[i].ptr, ptr);
    assert_int_equal(told.entries[i].size, 1024);
  }
  assert_int_equal(sim_mem_free(&rig->device, ptr, 1024), SIM_DONE);
}

/* ---- the current cache ----------------------------------------------------------------------- */

static void guards_nest(void **state) {
  tensors_rig *rig = *state;
  tensors *other = another(rig);
  hostcache_guard outer, inner, none;
  assert_null(tensors_current());
  assert_ok(tensors_guard_push(rig->cache, &outer));
  assert_ptr_equal(tensors_current(), rig->cache);
  assert_ok(tensors_guard_push(other, &inner));
  assert_ptr_equal(tensors_current(), other);
  assert_ok(tensors_guard_push(NULL, &none));
  assert_null(tensors_current());
  assert_ok(tensors_guard_pop(&none));
  assert_ptr_equal(tensors_current(), other);
  assert_ok(tensors_guard_pop(&inner));
  assert_ptr_equal(tensors_current(), rig->cache);
  assert_ok(tensors_guard_pop(&outer));
  assert_null(tensors_current());
  assert_ok(tensors_destroy(other));
}

static void a_cache_may_be_current_many_times(void **state) {
  tensors_rig *rig = *state;
  static hostcache_guard guards[1000];
  size_t i;
  for (i = 0; i < COUNT_OF(guards); i++) assert_ok(tensors_guard_push(rig->cache, &guards[i]));
  for (i = COUNT_OF(guards); i-- > 0;) {
    assert_ptr_equal(tensors_current(), rig->cache);
    assert_ok(tensors_guard_pop(&guards[i]));
  }
  assert_null(tensors_current());
}

static void guards_out_of_order_are_told(void **state) {
  tensors_rig *rig = *state;
  hostcache_guard outer, inner;
  assert_result(tensors_guard_push(rig->cache, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(tensors_guard_pop(NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(tensors_guard_pop(&outer), HOSTCACHE_ERR_ARGUMENT);
  assert_ok(tensors_guard_push(rig->cache, &outer));
  assert_ok(tensors_guard_push(NULL, &inner));
  assert_result(tensors_guard_push(rig->cache, &outer), HOSTCACHE_ERR_ARGUMENT);
  assert_result(tensors_guard_pop(&outer), HOSTCACHE_ERR_ARGUMENT);
  assert_null(tensors_current());
  assert_ok(tensors_guard_pop(&inner));
  assert_result(tensors_guard_pop(&inner), HOSTCACHE_ERR_ARGUMENT);
  assert_ptr_equal(tensors_current(), rig->cache);
  assert_ok(tensors_guard_pop(&outer));
}

static void *current_of_a_new_thread(void *user) {
  tensors *other = user;
  hostcache_guard guard;
  expect_or_abort(!tensors_current());
  expect_or_abort(tensors_guard_push(other, &guard) == HOSTCACHE_OK);
  expect_or_abort(tensors_current() == other);
  expect_or_abort(tensors_guard_pop(&guard) == HOSTCACHE_OK);
  return NULL;
}

static void each_thread_and_each_name_has_its_own(void **state) {
  tensors_rig *rig = *state;
  hostcache_guard guard;
  pthread_t thread;
  assert_ok(tensors_guard_push(rig->cache, &guard));
  assert_null(strict_current());
  assert_int_equal(pthread_create(&thread, NULL, current_of_a_new_thread, rig->cache), 0);
  pthread_join(thread, NULL);
  assert_ptr_equal(tensors_current(), rig->cache);
  assert_ok(tensors_guard_pop(&guard));
}

/* ---- children -------------------------------------------------------------------------------- */

typedef struct family {
  tensors_rig *rig;
  void *held;
  hostcache_guard *guard;
} family;

static void in_the_child(void *user) {
  const family *f = user;
  tensors_rig *rig = f->rig;
  tensors *own, *other;
  void *ptr;
  hostcache_guard guard;
  MUST(tensors_current() == rig->cache);
  MUST(tensors_free(rig->cache, f->held) == HOSTCACHE_ERR_FORKED);
  MUST(tensors_free(rig->cache, &ptr) == HOSTCACHE_ERR_FORKED);
  MUST(tensors_free_deferred(rig->cache, &ptr) == HOSTCACHE_ERR_FORKED);
  MUST(tensors_record_free(rig->cache, f->held) == HOSTCACHE_ERR_FORKED);
  MUST(tensors_record_free(NULL, f->held) == HOSTCACHE_ERR_FORKED);
  MUST(coloured_record_free(NULL, f->held) == HOSTCACHE_ERR_NOT_FOUND); /* none were alive */
  MUST(tensors_free_cached(rig->cache) == HOSTCACHE_ERR_FORKED);
  MUST(tensors_guard_push(rig->cache, &guard) == HOSTCACHE_ERR_FORKED);
  MUST(tensors_guard_pop(f->guard) == HOSTCACHE_OK);
  MUST(passed_on == 0);
  MUST(tensors_create(&own, NULL, &rig->device) == HOSTCACHE_OK);
  MUST(tensors_create(&other, NULL, &rig->device) == HOSTCACHE_OK);
  MUST(tensors_alloc(own, 1000, &ptr) == HOSTCACHE_OK);
  MUST(tensors_free(other, ptr) == HOSTCACHE_OK);
  MUST(tensors_free(other, f->held) == HOSTCACHE_OK); /* of no cache that this process has */
  MUST(passed_on == 1);
  MUST(tensors_destroy(own) == HOSTCACHE_OK);
  MUST(tensors_destroy(other) == HOSTCACHE_OK);
}

static void a_child_has_a_list_of_its_own(void **state) {
  tensors_rig *rig = *state;
  hostcache_guard guard;
  family f = {rig, tensors_rig_take(rig, 1000), &guard};
  assert_ok(tensors_guard_push(rig->cache, &guard));
  in_a_child(in_the_child, &f);
  hostcache_lock(&hostcache_owners_lock); /* as another thread may have it at that moment */
  in_a_child(in_the_child, &f);
  hostcache_unlock(&hostcache_owners_lock);
  assert_ok(tensors_guard_pop(&guard));
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { THREADS = 3, ROUNDS = 2000 };

static tensors *shared[2];
static _Atomic(void *) on_the_way[THREADS];

/* Gets blocks of both caches, passes one on, and frees what another thread passed, through either;
   some leave. */
static void *pass_blocks(void *user) {
  const size_t id = (size_t)user;
  sim_device *d = ((tensors *)shared[0])->ctx;
  uint64_t seed = id + 1;
  int i;
  for (i = 0; i < ROUNDS; i++) {
    const size_t size = 64 * (1 + random_below(&seed, 8));
    tensors *of = shared[random_below(&seed, 2)], *by = shared[random_below(&seed, 2)];
    void *ptr;
    expect_or_abort(tensors_alloc(of, size, &ptr) == HOSTCACHE_OK);
    memset(ptr, (int)id, size);
    ptr = atomic_exchange(&on_the_way[random_below(&seed, THREADS)], ptr);
    if (ptr == NULL) continue;
    if (random_below(&seed, 8) > 0) {
      expect_or_abort(tensors_free(by, ptr) == HOSTCACHE_OK);
    } else {
      size_t rounded = tensors_block_size(tensors_find(shared[0], ptr));
      if (rounded == 0) rounded = tensors_block_size(tensors_find(shared[1], ptr));
      expect_or_abort(tensors_record_free(by, ptr) == HOSTCACHE_OK);
      expect_or_abort(sim_mem_free(d, ptr, rounded) == SIM_DONE);
    }
  }
  return NULL;
}

static void *make_and_end_caches(void *user) {
  int i;
  for (i = 0; i < ROUNDS / 10; i++) {
    tensors *passing;
    void *ptr;
    expect_or_abort(tensors_create(&passing, NULL, user) == HOSTCACHE_OK);
    expect_or_abort(tensors_alloc(passing, 100, &ptr) == HOSTCACHE_OK);
    expect_or_abort(tensors_free(shared[0], ptr) == HOSTCACHE_OK);
    expect_or_abort(tensors_free_cached(shared[1]) == HOSTCACHE_OK);
    expect_or_abort(tensors_destroy(passing) == HOSTCACHE_OK);
  }
  return NULL;
}

static void threads_free_into_each_others_caches(void **state) {
  tensors_rig *rig = *state;
  pthread_t threads[THREADS + 1];
  size_t i;
  rig->device.backed = true;
  shared[0] = rig->cache;
  shared[1] = another(rig);
  for (i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, pass_blocks, (void *)i), 0);
  assert_int_equal(pthread_create(&threads[THREADS], NULL, make_and_end_caches, &rig->device), 0);
  for (i = 0; i <= THREADS; i++) pthread_join(threads[i], NULL);
  for (i = 0; i < THREADS; i++)
    assert_ok(tensors_free(shared[i % 2], atomic_exchange(&on_the_way[i], NULL)));
  assert_ok(tensors_check(shared[1]));
  assert_ok(tensors_destroy(shared[1]));
  assert_int_equal(passed_on, 0);
}

/* A thread that frees a block of a cache by another one, and stops in its hook. */
typedef struct freeing {
  tensors *by;
  void *ptr;
  meeting meeting;
} freeing;

static void *free_and_stop_in_the_hook(void *user) {
  freeing *f = user;
  stop_at = &f->meeting;
  stop_in = SIM_MEM_FREE;
  expect_or_abort(tensors_free(f->by, f->ptr) == HOSTCACHE_OK);
  return NULL;
}

typedef struct ending {
  tensors *ends;
  atomic_bool ended;
} ending;

static void *end_a_cache(void *user) {
  ending *e = user;
  expect_or_abort(tensors_destroy(e->ends) == HOSTCACHE_OK);
  atomic_store(&e->ended, true);
  return NULL;
}

static bool is_listed(const tensors *wanted) {
  const tensors *at;
  hostcache_lock(&hostcache_owners_lock);
  for (at = tensors_i_instances; at != NULL && at != wanted;) at = at->next_instance;
  hostcache_unlock(&hostcache_owners_lock);
  return at != NULL;
}

static void a_cache_does_not_end_while_a_block_is_freed_into_it(void **state) {
  tensors_rig *rig = *state;
  ending e = {another(rig), false};
  freeing f = {rig->cache, NULL, MEETING_INIT};
  pthread_t frees, ends;
  int i;
  assert_ok(tensors_set_max_cached_bytes(e.ends, HOSTCACHE_NONE)); /* it goes back at once */
  assert_ok(tensors_alloc(e.ends, 1000, &f.ptr));
  rig->device.on_hook = stop_in_a_hook;
  assert_int_equal(pthread_create(&frees, NULL, free_and_stop_in_the_hook, &f), 0);
  await(&f.meeting, 1);
  assert_int_equal(pthread_create(&ends, NULL, end_a_cache, &e), 0);
  while (is_listed(e.ends)) sched_yield();
  for (i = 0; i < 1000; i++) sched_yield();
  assert_false(atomic_load(&e.ended));
  reach(&f.meeting, 2);
  pthread_join(frees, NULL);
  pthread_join(ends, NULL);
}

/* ---- all of them ----------------------------------------------------------------------------- */

static int setup(void **state) {
  passed_on = passed_on_code = 0;
  passed_on_last = NULL;
  return tensors_rig_setup(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, tensors_rig_teardown)
#define TEST_STRICT(name) \
  cmocka_unit_test_setup_teardown(name, strict_rig_setup, strict_rig_teardown)

/* ---- the other interfaces -------------------------------------------------------------------- */

static void the_largest_cached_block_is_found_among_all_sizes(void **state) {
  strict_rig *rig = *state;
  void *ptr[100];
  size_t largest, i;
  for (i = 0; i < COUNT_OF(ptr); i++) ptr[i] = strict_rig_take(rig, 64 * (i + 1));
  assert_ok(strict_cache_info(rig->cache, &largest));
  assert_int_equal(largest, 0);
  for (i = 0; i < COUNT_OF(ptr); i++) {
    strict_rig_give(rig, ptr[i]);
    assert_ok(strict_cache_info(rig->cache, &largest));
    assert_int_equal(largest, 64 * (i + 1));
  }
}

static void the_columns_follow_a_block_that_leaves(void **state) {
  strict_rig *rig = *state;
  hostcache_device_stats stats;
  void *leaves = strict_rig_take(rig, 640), *stays = strict_rig_take(rig, 3 * MIB);
  sim_handed_back(&rig->device, leaves);
  assert_ok(strict_record_free(rig->cache, leaves));
  assert_ok(strict_device_stats(rig->cache, &stats));
  assert_int_equal(stats.segment[HOSTCACHE_STAT_AGGREGATE].current, 1);
  assert_int_equal(stats.segment[HOSTCACHE_STAT_SMALL_POOL].current +
                       stats.segment[HOSTCACHE_STAT_LARGE_POOL].current,
                   1);
  assert_int_equal(stats.allocated_bytes[HOSTCACHE_STAT_SMALL_POOL].current +
                       stats.allocated_bytes[HOSTCACHE_STAT_LARGE_POOL].current,
                   3 * MIB);
  assert_ok(strict_check(rig->cache));
  strict_rig_give(rig, stays);
  assert_int_equal(sim_mem_free(&rig->device, leaves, 640), SIM_DONE); /* by who has it now */
}

/* Which pool the last segment that left was of. */
static void note_segment_free(void *user, const hostcache_trace *entry) {
  if (entry->action == HOSTCACHE_TRACE_SEGMENT_FREE) *(uint64_t *)user = entry->pool.second;
}

static void a_pool_has_segments_of_its_own_too(void **state) {
  const hostcache_pool_id pool = {1, 2};
  strict_rig *rig = *state;
  uint64_t gone_from = 0;
  void *outside = strict_rig_take(rig, 640), *inside, *leaves;
  strict_rig_give(rig, outside);
  assert_ok(strict_begin_allocate_to_pool(rig->cache, pool, NULL, NULL));
  inside = strict_rig_take(rig, 640);
  assert_ptr_not_equal(inside, outside);
  leaves = strict_rig_take(rig, 1280);
  strict_rig_give(rig, inside);
  assert_ptr_equal(strict_rig_take(rig, 640), inside);
  assert_ok(strict_end_allocate_to_pool(rig->cache, pool));
  assert_int_equal(strict_pool_reserved_bytes(rig->cache, pool), 1920);
  assert_ok(strict_record_history(rig->cache, 100, NULL, NULL));
  sim_handed_back(&rig->device, leaves);
  assert_ok(strict_record_free(rig->cache, leaves));
  assert_int_equal(strict_pool_reserved_bytes(rig->cache, pool), 640);
  assert_ok(strict_history(rig->cache, note_segment_free, &gone_from));
  assert_int_equal(gone_from, pool.second);
  assert_ok(strict_check(rig->cache));
  assert_ptr_equal(strict_rig_take(rig, 640), outside);
  assert_ok(strict_release_pool(rig->cache, pool));
  assert_ok(strict_check(rig->cache));
  assert_int_equal(sim_mem_free(&rig->device, leaves, 1280), SIM_DONE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_block_is_rounded_to_the_alignment_and_to_nothing_else),
      TEST(the_config_says_which_alignment),
      TEST(a_block_serves_its_own_size_alone),
      TEST(of_one_size_what_was_freed_last_comes_first),
      cmocka_unit_test(a_segment_that_does_not_fit_serves_nobody),
      TEST(each_of_thousands_of_sizes_is_found_again),
      TEST(neighbours_do_not_become_one),
      TEST(a_round_of_sizes_is_found_the_second_time),
      TEST(sizes_that_are_too_big_reach_no_hook),
      TEST(a_config_that_has_blocks_share_segments_is_refused),
      TEST(bounds_on_splits_and_stocks_may_be_set),
      TEST(out_of_memory_all_that_is_cached_goes_back),
      TEST(the_cap_is_never_passed),
      TEST(what_is_idle_may_be_bounded),
      TEST(memory_is_got_in_advance_by_its_size),
      TEST(free_cached_gives_back_all_that_is_cached),
      TEST(a_walk_shows_each_block_in_its_segment),
      TEST(a_block_that_leaves_is_not_given_back_and_not_counted),
      TEST(room_below_the_cap_is_what_it_leaves),
      TEST(its_address_may_come_again),
      TEST(what_cannot_leave_is_told),
      TEST(leaving_needs_no_memory),
      TEST(a_block_is_freed_into_the_cache_that_it_is_of),
      TEST(a_double_free_is_told_by_whichever_cache),
      TEST(a_block_leaves_the_cache_that_it_is_of),
      TEST(a_handle_is_of_its_own_cache_alone),
      TEST(a_cache_of_another_name_has_nothing_to_do_with_it),
      TEST(a_cache_that_has_ended_owns_nothing),
      TEST(what_is_not_ours_is_passed_on),
      TEST(a_hook_that_cannot_free_it_is_told),
      TEST(a_free_in_a_callback_passes_nothing_on),
      TEST(a_free_in_a_callback_calls_no_hook_of_the_owner),
      TEST_STRICT(without_the_hook_it_is_not_found),
      TEST_STRICT(the_deleter_frees_a_block_of_any_size),
      TEST_STRICT(trackers_hear_that_a_block_leaves),
      TEST(guards_nest),
      TEST(a_cache_may_be_current_many_times),
      TEST(guards_out_of_order_are_told),
      TEST(each_thread_and_each_name_has_its_own),
      TEST(a_child_has_a_list_of_its_own),
      TEST(threads_free_into_each_others_caches),
      TEST(a_cache_does_not_end_while_a_block_is_freed_into_it),
      TEST_STRICT(the_largest_cached_block_is_found_among_all_sizes),
      TEST_STRICT(the_columns_follow_a_block_that_leaves),
      TEST_STRICT(a_pool_has_segments_of_its_own_too),
  };
  return cmocka_run_group_tests_name("own_segments", tests, NULL, NULL);
}
