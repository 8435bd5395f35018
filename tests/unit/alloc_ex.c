/* alloc_ex.c - tests allocations with all that can be said of them (HC_ALLOC_EX).

   Promises: a block is aligned as asked, what is over before and behind it serves others, and comes
   together again; a pool, a node and a stream are those that were said; CACHED_ONLY calls no memory
   hook, NO_WAIT does not wait; what is wrong is told, and changes nothing. */

#include "sim/below.h"

#define NODES 3

static unsigned got_on[NODES];

#define HC_NAME pinned
#define HC_ALLOC_EX
#define HC_POOLS
#define HC_DEVICE_ALLOCATOR
#define HC_MEM_ALLOC_ON_NODE(ctx, size, align, node, ptr_out)                               \
  (got_on[node]++, hostcache_map_memory(sim_mem_alloc(ctx, size, align, ptr_out), SIM_DONE, \
                                        SIM_NO_MEMORY, SIM_NO_MEMORY))
#include "sim/hooks_pooled.h"
#include "sim/hooks_ordered.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME bare /* without anything that a request may name */
#define HC_ALLOC_EX
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME tensors
#define HC_ALLOC_EX
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#include "sim/hooks_memory.h"
#define HC_IMPLEMENT
#include "hostcache.h"

/* Segments of its own, of a node and a colour, serve those alone who ask for both. */
static int colour_wanted;

static hostcache_status get_coloured(sim_device *d, size_t size, size_t align, void **out,
                                     int *colour) {
  *colour = colour_wanted;
  return hostcache_map_memory(sim_mem_alloc(d, size, align, out), SIM_DONE, SIM_NO_MEMORY,
                              SIM_NO_MEMORY);
}

#define HC_NAME coloured
#define HC_ALLOC_EX
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#define HC_CTX_T sim_device *
#define HC_SEGMENT_T int
#define HC_MEM_ALLOC(ctx, size, align, ptr_out, segment_ptr) \
  get_coloured(ctx, size, align, ptr_out, segment_ptr)
#define HC_MEM_ALLOC_ON_NODE(ctx, size, align, node, ptr_out, segment_ptr) \
  ((void)(node), get_coloured(ctx, size, align, ptr_out, segment_ptr))
#define HC_MEM_FREE(ctx, ptr, size, segment_ptr) \
  ((void)(segment_ptr), hostcache_map(sim_mem_free(ctx, ptr, size), SIM_DONE, SIM_PENDING))
#define HC_SEGMENT_FITS(segment_ptr) (*(segment_ptr) == colour_wanted)
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE pinned
#include "sim/rig.h"
#undef CACHE

#define CACHE bare
#include "sim/rig.h"
#undef CACHE

#define CACHE tensors
#define CACHE_WITHOUT_STREAMS
#define CACHE_OWN_SEGMENTS
#include "sim/rig.h"
#undef CACHE

#define CACHE coloured
#include "sim/rig.h"
#undef CACHE
#undef CACHE_WITHOUT_STREAMS
#undef CACHE_OWN_SEGMENTS

static hostcache_request request_of(size_t size) {
  hostcache_request request = HOSTCACHE_REQUEST_INIT;
  request.size = size;
  return request;
}

static void *take_as(pinned_rig *rig, hostcache_request request) {
  void *ptr = NULL;
  assert_ok(pinned_alloc_ex(rig->cache, &request, &ptr));
  assert_non_null(ptr);
  sim_handed_out(&rig->device, ptr, request.size);
  pinned_rig_check(rig);
  return ptr;
}

static void *take_aligned(pinned_rig *rig, size_t size, size_t alignment) {
  hostcache_request request = request_of(size);
  void *ptr;
  request.alignment = alignment;
  ptr = take_as(rig, request);
  assert_int_equal((uintptr_t)ptr % alignment, 0);
  return ptr;
}

static void is_refused(pinned_rig *rig, hostcache_request request, hostcache_result result) {
  pinned_block *block = (pinned_block *)(void *)rig;
  const uint64_t hooks = sim_calls(&rig->device, SIM_EVERY_HOOK);
  assert_result(pinned_block_alloc_ex(rig->cache, &request, &block), result);
  assert_null(block);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), hooks);
}

/* ---- alignment ------------------------------------------------------------------------------- */

static void pinned_a_request_that_says_nothing_more_is_an_allocation(void **state) {
  pinned_rig *rig = *state;
  void *ptr = take_as(rig, request_of(64 * KIB));
  pinned_rig_give(rig, ptr);
  assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), ptr);
  assert_int_equal(pinned_rig_stats(rig).num_hits, 1);
}

/* Although another range that would do became ready last. */
static void pinned_a_request_that_says_no_alignment_takes_the_best_fit(void **state) {
  pinned_rig *rig = *state;
  hostcache_request request = request_of(3 * MIB);
  void *fits = pinned_rig_take(rig, 3 * MIB), *larger = pinned_rig_take(rig, 3 * MIB + PAGE);
  pinned_rig_give(rig, fits);
  pinned_rig_give(rig, larger);
  request.flags = HOSTCACHE_REQUEST_CACHED_ONLY;
  assert_ptr_equal(take_as(rig, request), fits);
}

static void pinned_a_block_is_aligned_as_asked(void **state) {
  static const size_t sizes[] = {1, 4 * KIB, 100 * KIB, 3 * MIB};
  pinned_rig *rig = *state;
  size_t i, alignment;
  for (i = 0; i < COUNT_OF(sizes); i++) {
    for (alignment = 1; alignment <= 4 * MIB; alignment *= 2) {
      void *ptr = take_aligned(rig, sizes[i], alignment), *second;
      second = take_aligned(rig, sizes[i], alignment);
      pinned_rig_give(rig, ptr);
      pinned_rig_check(rig);
      pinned_rig_give(rig, second);
      pinned_rig_check(rig);
    }
  }
  assert_ok(pinned_empty_cache(rig->cache));
  assert_int_equal(pinned_rig_stats(rig).reserved_bytes.current, 0);
}

/* Small blocks are with small ones and large ones with large ones, as without an alignment: else a
   small one that stays keeps a large segment. */
static void pinned_an_aligned_block_is_among_those_of_its_kind(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  char *small, *large, *got;
  config.segment_bytes = 2 * MIB;
  pinned_rig_configure(rig, config);
  pinned_rig_warm(rig, 32 * MIB);
  small = pinned_rig_take(rig, 64 * KIB); /* the rest of whose segment would do for either */
  large = pinned_rig_take(rig, 4 * MIB);
  pinned_rig_give(rig, large);
  got = take_aligned(rig, 1536 * KIB, 8 * KIB);
  assert_true(got >= large && got < large + 4 * MIB);
  got = take_aligned(rig, 64 * KIB, 8 * KIB);
  assert_true(got > small && got < small + 2 * MIB);
}

/* The device gives no more alignment than it is asked for. */
static void pinned_what_is_over_before_and_behind_serves_others(void **state) {
  pinned_rig *rig = *state;
  char *whole, *aligned, *before, *behind;
  size_t ahead, rest;
  pinned_rig_warm(rig, 32 * MIB);
  whole = pinned_rig_take(rig, 6 * MIB);
  pinned_rig_give(rig, whole);
  aligned = take_aligned(rig, 3 * MIB, 2 * MIB);
  ahead = (size_t)(aligned - whole);
  assert_in_range(ahead, 1, 2 * MIB - 1);
  rest = 3 * MIB - ahead;
  before = pinned_rig_take(rig, ahead > 1 * MIB ? ahead / 4096 * 4096 : ahead / 2);
  assert_true(before >= whole && before < aligned);
  behind = pinned_rig_take(rig, rest / 4096 * 4096);
  assert_ptr_equal(behind, aligned + 3 * MIB);
  assert_int_equal(pinned_rig_stats(rig).segment.current, 1);
  pinned_rig_give(rig, aligned);
  pinned_rig_give(rig, before);
  pinned_rig_give(rig, behind);
  pinned_rig_check(rig);
  assert_ptr_equal(pinned_rig_take(rig, 6 * MIB), whole);
}

static void pinned_an_aligned_place_is_found_again(void **state) {
  pinned_rig *rig = *state;
  void *aligned, *small;
  pinned_rig_warm(rig, 32 * MIB);
  aligned = take_aligned(rig, 3 * MIB, 1 * MIB);
  while (pinned_rig_stats(rig).inactive_split_bytes.current > 0) /* what is beside it is taken */
    (void)pinned_rig_take(rig, 512);
  pinned_rig_give(rig, aligned);
  small = take_aligned(rig, 3 * MIB, 1 * MIB);
  assert_ptr_equal(small, aligned);
  assert_int_equal(pinned_rig_stats(rig).segment.current, 1);
}

/* Ranges of nearly one size are in one list. */
static void pinned_a_range_that_is_a_little_too_small_is_left_alone(void **state) {
  pinned_rig *rig = *state;
  char *ptr, *got;
  pinned_rig_warm(rig, 32 * MIB);
  ptr = pinned_rig_take(rig, 3 * MIB);
  pinned_rig_give(rig, ptr);
  got = take_aligned(rig, 3 * MIB + 4 * KIB, KIB);
  assert_true(got + 3 * MIB < ptr || got >= ptr + 3 * MIB);
  assert_ptr_equal(pinned_rig_take(rig, 3 * MIB), ptr);
}

/* A range that the index knows, and a place in it 4 MiB further on, where it has no shelf; 4 MiB
   before it there is one. No shelf is left over. */
static void pinned_what_the_index_needs_for_an_aligned_place_is_got_first(void **state) {
  pinned_rig *rig = *state;
  char *whole = pinned_rig_take(rig, GIB);
  char *place = whole + (64 * MIB - (uintptr_t)whole % (32 * MIB));
  void *range;
  pinned_rig_give(rig, whole);
  (void)pinned_rig_take(rig, (size_t)(place - whole) - 8 * MIB);
  (void)pinned_rig_take(rig, 4 * MIB);
  range = pinned_rig_take(rig, 32 * MIB);
  while (rig->cache->spares.shelves.count[0] > 0) (void)take_aligned(rig, 4 * KIB, 4 * MIB);
  pinned_rig_give(rig, range);
  assert_ptr_equal(take_aligned(rig, 2 * MIB, 32 * MIB), place);
}

static void pinned_an_alignment_counts_against_the_bounds(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  hostcache_request request = request_of(1 * MIB);
  void *ptr;
  config.max_segment_bytes = 3 * MIB; /* just enough for an alignment to 2 MiB */
  config.max_reserved_bytes = 3 * MIB;
  pinned_rig_configure(rig, config);
  request.alignment = 4 * MIB;
  is_refused(rig, request, HOSTCACHE_ERR_TOO_BIG);
  request.alignment = (size_t)1 << (sizeof(size_t) * 8 - 1);
  is_refused(rig, request, HOSTCACHE_ERR_TOO_BIG);
  request.alignment = 2 * MIB;
  request.size = SIZE_MAX;
  is_refused(rig, request, HOSTCACHE_ERR_TOO_BIG);
  request.pool.first = 7; /* also where nothing else is right */
  is_refused(rig, request, HOSTCACHE_ERR_TOO_BIG);
  request.pool.first = 0;
  request.size = 1 * MIB;
  ptr = take_as(rig, request);
  is_refused(rig, request, HOSTCACHE_ERR_LIMIT);
  assert_true(rig->device.peak_bytes <= 3 * MIB);
  pinned_rig_give(rig, ptr);
  pinned_rig_give(rig, take_as(rig, request));
}

/* What is not split may be aligned as it is, or must be got anew. */
static void pinned_what_is_not_split_is_not_divided_for_an_alignment(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  static const size_t sizes[] = {MIB, 5 * MIB + MIB / 2}; /* a part, and nearly all of it */
  void *ptr, *aligned;
  size_t i;
  config.max_split_size = 2 * MIB;
  pinned_rig_configure(rig, config);
  pinned_rig_warm(rig, 32 * MIB);
  ptr = pinned_rig_take(rig, 6 * MIB);
  pinned_rig_give(rig, ptr);
  for (i = 0; i < COUNT_OF(sizes); i++) {
    aligned = take_aligned(rig, sizes[i], 64 * KIB);
    assert_false((char *)aligned >= (char *)ptr && (char *)aligned < (char *)ptr + 6 * MIB);
  }
}

static void pinned_what_is_not_split_serves_an_alignment_that_it_has_and_a_size_that_is_its_own(
    void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  char *whole, *small;
  config.max_split_size = 2 * MIB;
  pinned_rig_configure(rig, config);
  whole = take_aligned(rig, 6 * MIB, 8 * KIB);
  pinned_rig_fill(rig, 512); /* what is beside it is taken */
  pinned_rig_give(rig, whole);
  small = take_aligned(rig, 4 * MIB, 8 * KIB);
  assert_false(small >= whole && small < whole + 6 * MIB);
  assert_ptr_equal(take_aligned(rig, 6 * MIB, 8 * KIB), whole);
}

/* ---- what else may be said ------------------------------------------------------------------- */

static void pinned_cached_only_calls_no_memory_hook(void **state) {
  pinned_rig *rig = *state;
  hostcache_request request = request_of(3 * MIB);
  void *ptr;
  request.flags = HOSTCACHE_REQUEST_CACHED_ONLY;
  is_refused(rig, request, HOSTCACHE_ERR_LIMIT);
  assert_int_equal(rig->heard.count, 0);
  ptr = pinned_rig_take(rig, 3 * MIB);
  pinned_rig_give(rig, ptr);
  assert_ptr_equal(take_as(rig, request), ptr);
  is_refused(rig, request, HOSTCACHE_ERR_LIMIT);
}

static void pinned_who_does_not_wait_is_told_at_once(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  hostcache_request request = request_of(3 * MIB);
  pinned_block *block;
  config.max_reserved_bytes = 3 * MIB;
  config.wait_on_limit_ns = UINT64_MAX;
  pinned_rig_configure(rig, config);
  (void)pinned_rig_pend(rig, 3 * MIB, 1);
  request.flags = HOSTCACHE_REQUEST_NO_WAIT;
  assert_result(pinned_block_alloc_ex(rig->cache, &request, &block), HOSTCACHE_ERR_LIMIT);
}

static void pinned_a_request_names_a_pool_that_need_not_be_open(void **state) {
  const hostcache_pool_id pool = {5, 6};
  pinned_rig *rig = *state;
  hostcache_request request = request_of(3 * MIB);
  void *ptr;
  request.pool = pool;
  is_refused(rig, request, HOSTCACHE_ERR_NOT_FOUND);
  pinned_rig_give(rig, pinned_rig_take(rig, 3 * MIB));
  assert_ok(pinned_retain_pool(rig->cache, pool));
  ptr = take_as(rig, request);
  assert_int_equal(pinned_pool_reserved_bytes(rig->cache, pool), 3 * MIB);
  pinned_rig_give(rig, ptr);
  assert_ptr_not_equal(pinned_rig_take(rig, 3 * MIB), ptr);
  assert_ptr_equal(take_as(rig, request), ptr);
  assert_ok(pinned_release_pool(rig->cache, pool));
  is_refused(rig, request, HOSTCACHE_ERR_NOT_FOUND);
}

static void pinned_memory_is_of_the_node_that_was_said(void **state) {
  pinned_rig *rig = *state;
  hostcache_request request = request_of(3 * MIB);
  void *of[NODES], *any;
  int node;
  pinned_rig_warm(rig, 64 * MIB);
  memset(got_on, 0, sizeof got_on);
  for (node = 0; node < NODES; node++) {
    request.node = node;
    of[node] = take_as(rig, request);
    pinned_rig_give(rig, of[node]);
    assert_int_equal(got_on[node], 1);
  }
  for (node = NODES - 1; node >= 0; node--) {
    request.node = node;
    assert_ptr_equal(take_as(rig, request), of[node]);
    assert_int_equal(got_on[node], 1);
  }
  pinned_rig_give(rig, of[1]);
  any = pinned_rig_take(rig, 3 * MIB); /* whoever does not say takes what there is */
  assert_ptr_equal(any, of[1]);
  request.node = 1;
  assert_ptr_not_equal(take_as(rig, request), any);
  assert_int_equal(got_on[1], 2);
  pinned_rig_give(rig, any);
  assert_in_range((uintptr_t)take_aligned(rig, 2 * MIB, 64 * KIB), (uintptr_t)any,
                  (uintptr_t)any + MIB);
}

static void pinned_a_request_names_the_stream_that_it_is_for(void **state) {
  pinned_rig *rig = *state;
  hostcache_request request = request_of(3 * MIB);
  const sim_stream stream = 1;
  void *ptr, *again;
  request.stream = &stream;
  request.alignment = 64 * KIB;
  ptr = take_as(rig, request);
  (void)sim_use(&rig->device, 1, ptr);
  pinned_rig_give(rig, ptr);
  assert_int_equal(pinned_rig_stats(rig).pending.current, 0);
  assert_ok(pinned_alloc_ex(rig->cache, &request, &again));
  assert_ptr_equal(again, ptr);
  sim_handed_out_on(&rig->device, again, 3 * MIB, 1);
  pinned_rig_check(rig);
}

/* ---- what is wrong --------------------------------------------------------------------------- */

static void pinned_wrong_requests_are_told(void **state) {
  pinned_rig *rig = *state;
  hostcache_request request = request_of(64 * KIB), wrong;
  pinned_block *block = (pinned_block *)(void *)rig;
  void *ptr = rig;
  assert_result(pinned_alloc_ex(NULL, &request, &ptr), HOSTCACHE_ERR_ARGUMENT);
  assert_null(ptr);
  assert_result(pinned_alloc_ex(rig->cache, &request, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_block_alloc_ex(rig->cache, &request, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_block_alloc_ex(rig->cache, NULL, &block), HOSTCACHE_ERR_ARGUMENT);
  assert_null(block);
  wrong = request;
  wrong.version++;
  is_refused(rig, wrong, HOSTCACHE_ERR_ARGUMENT);
  wrong = request;
  wrong.flags = 4;
  is_refused(rig, wrong, HOSTCACHE_ERR_ARGUMENT);
  wrong = request;
  wrong.alignment = 3;
  is_refused(rig, wrong, HOSTCACHE_ERR_ARGUMENT);
  wrong = request;
  wrong.node = -2;
  is_refused(rig, wrong, HOSTCACHE_ERR_ARGUMENT);
  wrong.node = HOSTCACHE_NODE_ANY;
  wrong.size = 0;
  is_refused(rig, wrong, HOSTCACHE_OK);
}

static void pinned_what_cannot_be_aligned_is_too_big(void **state) {
  pinned_rig *rig = *state;
  hostcache_request request = request_of((size_t)PTRDIFF_MAX / 2 + 2 * PAGE);
  request.alignment = 2 * MIB;
  is_refused(rig, request, HOSTCACHE_ERR_TOO_BIG);
  request.size = PAGE;
  request.alignment = (size_t)PTRDIFF_MAX + 1;
  is_refused(rig, request, HOSTCACHE_ERR_TOO_BIG);
}

/* A pool that is open takes what does not say where it belongs. */
static void pinned_a_request_for_a_pool_is_not_for_the_one_that_is_open(void **state) {
  const hostcache_pool_id open = {1, 2}, said = {1, 3};
  pinned_rig *rig = *state;
  hostcache_request request = request_of(3 * MIB);
  assert_ok(pinned_retain_pool(rig->cache, said));
  assert_ok(pinned_begin_allocate_to_pool(rig->cache, open, NULL, NULL));
  request.pool = said;
  (void)take_as(rig, request);
  assert_int_equal(pinned_pool_reserved_bytes(rig->cache, said), 3 * MIB);
  assert_int_equal(pinned_pool_reserved_bytes(rig->cache, open), 0);
  assert_ok(pinned_end_allocate_to_pool(rig->cache, open));
  assert_ok(pinned_release_pool(rig->cache, open));
  assert_ok(pinned_release_pool(rig->cache, said));
}

static void bare_what_there_is_no_hook_for_is_unsupported(void **state) {
  bare_rig *rig = *state;
  hostcache_request request = request_of(64 * KIB);
  const sim_stream stream = 1;
  void *ptr;
  request.node = 0;
  assert_result(bare_alloc_ex(rig->cache, &request, &ptr), HOSTCACHE_ERR_UNSUPPORTED);
  request.node = HOSTCACHE_NODE_ANY;
  request.stream = &stream;
  assert_result(bare_alloc_ex(rig->cache, &request, &ptr), HOSTCACHE_ERR_UNSUPPORTED);
  request.stream = NULL;
  request.pool.second = 1;
  assert_result(bare_alloc_ex(rig->cache, &request, &ptr), HOSTCACHE_ERR_UNSUPPORTED);
  request.pool.second = 0;
  request.pool.first = 1;
  assert_result(bare_alloc_ex(rig->cache, &request, &ptr), HOSTCACHE_ERR_UNSUPPORTED);
  request.pool.first = 0;
  request.alignment = 64 * KIB;
  assert_ok(bare_alloc_ex(rig->cache, &request, &ptr));
  assert_ok(bare_free(rig->cache, ptr));
}

static void tensors_a_segment_of_its_own_is_aligned_as_the_config_says(void **state) {
  tensors_rig *rig = *state;
  hostcache_request request = request_of(1000);
  void *ptr;
  request.alignment = 128;
  assert_result(tensors_alloc_ex(rig->cache, &request, &ptr), HOSTCACHE_ERR_UNSUPPORTED);
  request.alignment = 64;
  assert_ok(tensors_alloc_ex(rig->cache, &request, &ptr));
  assert_ok(tensors_free(rig->cache, ptr));
}

static void *take_coloured(coloured_rig *rig, size_t size, int node, int colour) {
  hostcache_request request = request_of(size);
  void *ptr = NULL;
  request.node = node;
  colour_wanted = colour;
  assert_ok(coloured_alloc_ex(rig->cache, &request, &ptr));
  sim_handed_out(&rig->device, ptr, size);
  return ptr;
}

static void coloured_a_segment_of_its_own_serves_its_size_on_its_node_where_it_fits(void **state) {
  coloured_rig *rig = *state;
  size_t size = 2048, i;
  void *red, *others[5];
  do size += 64;
  while (coloured_i_heap_class(size) != coloured_i_heap_class(2048));
  red = take_coloured(rig, size, 1, 1);
  coloured_rig_give(rig, red);
  others[0] = take_coloured(rig, size, 1, 2); /* of another colour, */
  others[1] = take_coloured(rig, size, 2, 1); /* on another node, */
  others[2] = take_coloured(rig, 2048, 1, 1); /* or of another size, that of the same list, */
  others[3] = take_coloured(rig, 2112, 1, 1); /* or not */
  others[4] = take_coloured(rig, size + 64, 1, 1);
  for (i = 0; i < COUNT_OF(others); i++) {
    assert_ptr_not_equal(others[i], red);
    coloured_rig_give(rig, others[i]);
  }
  assert_ptr_equal(take_coloured(rig, size, 1, 1), red);
  coloured_rig_check(rig);
}

static void pinned_no_metadata_for_a_request_is_told_and_nothing_is_lost(void **state) {
  pinned_rig *rig = *state;
  hostcache_request request = request_of(64 * KIB);
  uint64_t n;
  request.alignment = 1 * MIB;
  for (n = 1; n < 12; n++) {
    void *ptr = NULL;
    hostcache_result result;
    below_fail(n, false);
    result = pinned_alloc_ex(rig->cache, &request, &ptr);
    below_fail_no_more();
    assert_true(result == HOSTCACHE_OK || result == HOSTCACHE_ERR_NO_METADATA);
    if (result == HOSTCACHE_OK) assert_ok(pinned_free(rig->cache, ptr));
    pinned_rig_check(rig);
  }
}

static void pinned_memory_that_is_refused_for_a_request_is_told(void **state) {
  pinned_rig *rig = *state;
  hostcache_request request = request_of(64 * KIB);
  void *ptr;
  request.alignment = 1 * MIB;
  request.node = 2;
  sim_fail(&rig->device, 1, true, SIM_ONLY(SIM_MEM_ALLOC));
  assert_result(pinned_alloc_ex(rig->cache, &request, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  sim_fail_no_more(&rig->device);
  pinned_rig_give(rig, take_as(rig, request));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(pinned, a_request_that_says_nothing_more_is_an_allocation),
      ON(pinned, a_request_that_says_no_alignment_takes_the_best_fit),
      ON(pinned, a_block_is_aligned_as_asked),
      ON(pinned, an_aligned_block_is_among_those_of_its_kind),
      ON(pinned, what_is_over_before_and_behind_serves_others),
      ON(pinned, an_aligned_place_is_found_again),
      ON(pinned, a_range_that_is_a_little_too_small_is_left_alone),
      ON(pinned, what_the_index_needs_for_an_aligned_place_is_got_first),
      ON(pinned, an_alignment_counts_against_the_bounds),
      ON(pinned, what_is_not_split_is_not_divided_for_an_alignment),
      ON(pinned, what_is_not_split_serves_an_alignment_that_it_has_and_a_size_that_is_its_own),
      ON(pinned, cached_only_calls_no_memory_hook),
      ON(pinned, who_does_not_wait_is_told_at_once),
      ON(pinned, a_request_names_a_pool_that_need_not_be_open),
      ON(pinned, memory_is_of_the_node_that_was_said),
      ON(pinned, a_request_names_the_stream_that_it_is_for),
      ON(pinned, wrong_requests_are_told),
      ON(pinned, what_cannot_be_aligned_is_too_big),
      ON(pinned, a_request_for_a_pool_is_not_for_the_one_that_is_open),
      ON(bare, what_there_is_no_hook_for_is_unsupported),
      ON(tensors, a_segment_of_its_own_is_aligned_as_the_config_says),
      ON(coloured, a_segment_of_its_own_serves_its_size_on_its_node_where_it_fits),
      ON(pinned, no_metadata_for_a_request_is_told_and_nothing_is_lost),
      ON(pinned, memory_that_is_refused_for_a_request_is_told),
  };
  return cmocka_run_group_tests_name("alloc_ex", tests, NULL, NULL);
}
