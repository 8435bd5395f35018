/* segments.c - tests section 9 of the header: memory from the runtime, and blocks found by address.

   Promises: what the runtime gives with a segment is kept, zeroed first, and comes back with it; a
   block is found from any pointer into it, and by nothing else, however close others lie, wherever
   in the address space, and whatever other threads do; an address that comes back at once is a new
   segment; what goes back has left the index before; small blocks share segments; a range that is
   larger is split, and freed neighbours become one (sections 4 to 6 of the contract). */

#include "sim/below.h"

#include "sim/sim.h"

/* A runtime whose memory has a handle. */
typedef struct sim_key {
  uint64_t number;
  const void *start;
  size_t size;
} sim_key;

static atomic_ullong keys_given, keys_returned; /* hooks are called by any thread */

static int sim_key_alloc(sim_device *d, size_t size, size_t align, void **ptr, sim_key *key) {
  int code = sim_mem_alloc(d, size, align, ptr);
  if (key->number != 0 || key->start != NULL || key->size != 0)
    sim_violation(d, "the segment is not zeroed first");
  key->number = atomic_fetch_add(&keys_given, 1) + 1; /* nobody may look at it on failure */
  key->start = *ptr;
  key->size = size;
  return code;
}

static int sim_key_free(sim_device *d, void *ptr, size_t size, const sim_key *key) {
  if (key->start != ptr || key->size != size)
    sim_violation(d, "the segment is not the one that was given with it");
  atomic_fetch_add(&keys_returned, 1);
  return sim_mem_free(d, ptr, size);
}

#define HC_NAME pinned
#include "sim/hooks_pooled.h"
#undef HC_MEM_ALLOC
#undef HC_MEM_FREE
#define HC_SEGMENT_T sim_key
#define HC_MEM_ALLOC(ctx, size, align, ptr_out, segment_ptr)                            \
  hostcache_map_memory(sim_key_alloc(ctx, size, align, ptr_out, segment_ptr), SIM_DONE, \
                       SIM_NO_MEMORY, SIM_NO_MEMORY)
#define HC_MEM_FREE(ctx, ptr, size, segment_ptr) \
  hostcache_map(sim_key_free(ctx, ptr, size, segment_ptr), SIM_DONE, SIM_DONE)
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE pinned
#include "sim/rig.h"

/* ---- what the runtime gives with a segment --------------------------------------------------- */

static void a_segment_has_what_the_runtime_gave_with_it(void **state) {
  pinned_rig *rig = *state;
  pinned_block *blocks[20];
  size_t none = 5, i;
  for (i = 0; i < COUNT_OF(blocks); i++)
    assert_ok(pinned_block_alloc(rig->cache, 1000 * (i + 1), &blocks[i]));
  for (i = 0; i < COUNT_OF(blocks); i++) {
    size_t offset = SIZE_MAX;
    const sim_key *key = pinned_block_segment(blocks[i], &offset);
    assert_ptr_equal((const char *)key->start + offset, pinned_block_ptr(blocks[i]));
    assert_true(offset + pinned_block_size(blocks[i]) <= key->size);
    assert_ptr_equal(pinned_block_segment(blocks[i], NULL), key);
  }
  assert_null(pinned_block_segment(NULL, NULL));
  assert_null(pinned_block_segment(NULL, &none));
  assert_int_equal(none, 0);
  for (i = 0; i < COUNT_OF(blocks); i++) assert_ok(pinned_block_free(rig->cache, blocks[i]));
}

static void a_reused_record_is_zeroed_again(void **state) {
  pinned_rig *rig = *state;
  int i;
  for (i = 0; i < 100; i++) {
    pinned_rig_give(rig, pinned_rig_take(rig, 64 * KIB));
    assert_ok(pinned_empty_cache(rig->cache));
  }
}

static void a_segment_that_was_not_got_is_not_remembered(void **state) {
  pinned_rig *rig = *state;
  void *ptr;
  sim_fail(&rig->device, 1, false, SIM_ONLY(SIM_MEM_ALLOC));
  assert_result(pinned_alloc(rig->cache, 64 * KIB, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  sim_fail_no_more(&rig->device);
  rig->device.memory_limit = 64 * KIB;
  pinned_rig_give(rig, pinned_rig_take(rig, 32 * KIB));
  (void)pinned_rig_take(rig, 64 * KIB); /* out of memory first, then again: zeroed for both calls */
}

static void misaligned_memory_goes_back_with_its_segment(void **state) {
  pinned_rig *rig = *state;
  void *ptr;
  uint64_t returned = keys_returned;
  rig->device.mischief = SIM_MISALIGNED;
  assert_result(pinned_alloc(rig->cache, 64 * KIB, &ptr), HOSTCACHE_ERR_CORRUPT);
  assert_int_equal(keys_returned, returned + 1);
}

/* ---- found by address ------------------------------------------------------------------------ */

/* The trap: two blocks that begin in one page of the address index. The simulated device gives
   addresses that are aligned to 512 and no more, one right behind the other. */
static void neighbours_in_one_page_are_told_apart(void **state) {
  enum { BLOCKS = 200 };
  pinned_rig *rig = *state;
  static char *blocks[BLOCKS];
  size_t i;
  for (i = 0; i < BLOCKS; i++) blocks[i] = pinned_rig_take(rig, PAGE);
  for (i = 0; i < BLOCKS; i++) {
    pinned_block *block = pinned_find(rig->cache, blocks[i]);
    assert_ptr_equal(pinned_block_ptr(block), blocks[i]);
    assert_ptr_equal(pinned_find(rig->cache, blocks[i] + PAGE - 1), block);
    assert_ptr_not_equal(pinned_find(rig->cache, blocks[i] + PAGE), block);
    assert_ptr_not_equal(pinned_find(rig->cache, blocks[i] - 1), block);
  }
  for (i = 0; i < BLOCKS; i += 2) pinned_rig_give(rig, blocks[i]);
  for (i = 0; i < BLOCKS; i++) assert_int_equal(pinned_find(rig->cache, blocks[i]) != NULL, i % 2);
  assert_ok(pinned_empty_cache(rig->cache));
  for (i = 0; i < BLOCKS; i++)
    assert_int_equal(pinned_find(rig->cache, blocks[i] + 5) != NULL, i % 2);
}

static void what_lies_behind_the_request_but_in_the_block_belongs_to_it(void **state) {
  pinned_rig *rig = *state;
  char *ptr = pinned_rig_take(rig, 1);
  pinned_block *block = pinned_find(rig->cache, ptr);
  assert_ptr_equal(pinned_find(rig->cache, ptr + pinned_block_size(block) - 1), block);
}

/* A model of the index: sets of ranges come and go in an order that balances nothing. */
static void many_segments_are_found_while_they_come_and_go(void **state) {
  enum { SLOTS = 300, STEPS = 6000 };
  pinned_rig *rig = *state;
  static struct {
    char *ptr;
    size_t size;
  } slots[SLOTS];
  uint64_t seed = 41;
  int step;
  rig->device.reuses_addresses = true;
  memset(slots, 0, sizeof slots);
  for (step = 0; step < STEPS; step++) {
    size_t slot = random_below(&seed, SLOTS), other = random_below(&seed, SLOTS);
    if (slots[slot].ptr == NULL) {
      slots[slot].size = (1 + random_below(&seed, 6)) * 64 * KIB;
      slots[slot].ptr = pinned_rig_take(rig, slots[slot].size);
    } else {
      pinned_rig_give(rig, slots[slot].ptr);
      slots[slot].ptr = NULL;
      if (step % 16 == 0) assert_ok(pinned_empty_cache(rig->cache));
    }
    if (slots[other].ptr != NULL) {
      char *inside = slots[other].ptr + random_below(&seed, slots[other].size);
      assert_ptr_equal(pinned_block_ptr(pinned_find(rig->cache, inside)), slots[other].ptr);
    }
    if (step % 500 == 0) pinned_rig_check(rig);
  }
}

/* ---- addresses that come back ---------------------------------------------------------------- */

/* The bug: memory given back before the bookkeeping has forgotten it (rmm #2304). Here another
   caller gets the same address at once, inside of the very call of the hook. */
static void take_the_address_back(void *user, sim_hook hook) {
  pinned_rig *rig = user;
  void *ptr;
  if (hook != SIM_MEM_FREE) return;
  /* What goes back now is not to be found any more, though the runtime has it not yet. */
  for (size_t i = 0; i < rig->device.ranges.count; i++) {
    ptr = (void *)rig->device.ranges.at[i].start;
    assert_null(pinned_find(rig->cache, ptr));
    assert_result(pinned_free(rig->cache, ptr), HOSTCACHE_ERR_NOT_FOUND);
  }
}

static void what_goes_back_has_left_the_index_before(void **state) {
  pinned_rig *rig = *state;
  pinned_rig_give(rig, pinned_rig_take(rig, 64 * KIB));
  rig->device.on_hook = take_the_address_back;
  rig->device.on_hook_user = rig;
  assert_ok(pinned_empty_cache(rig->cache));
}

static void an_address_that_comes_back_at_once_is_a_new_segment(void **state) {
  pinned_rig *rig = *state;
  pinned_block *stale;
  void *ptr, *again;
  int i;
  rig->device.reuses_addresses = true;
  for (i = 0; i < 50; i++) {
    ptr = pinned_rig_take(rig, 64 * KIB);
    stale = pinned_find(rig->cache, ptr);
    (void)pinned_rig_use(rig, ptr, 1);
    pinned_rig_give(rig, ptr);
    sim_complete_all(&rig->device);
    assert_ok(pinned_empty_cache(rig->cache));
    assert_result(pinned_free(rig->cache, ptr), HOSTCACHE_ERR_NOT_FOUND);
    again = pinned_rig_take(rig, 64 * KIB);
    assert_ptr_equal(again, ptr);
    assert_ptr_equal(pinned_block_ptr(pinned_find(rig->cache, again)), again);
    (void)pinned_block_size(stale); /* a handle stays readable */
    pinned_rig_give(rig, again);
    assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), again); /* it has no old use */
    pinned_rig_give(rig, again);
    assert_ok(pinned_empty_cache(rig->cache));
  }
}

/* Where the runtime could not take a segment back, it may still give out its address, say after a
   reset. */
static void the_address_of_a_leaked_segment_may_come_again(void **state) {
  pinned_rig *rig = *state;
  void *ptr = pinned_rig_take(rig, 64 * KIB);
  sim_range *range;
  rig->may_leak = true;
  pinned_rig_give(rig, ptr);
  sim_fail(&rig->device, 1, false, SIM_ONLY(SIM_MEM_FREE));
  assert_result(pinned_empty_cache(rig->cache), HOSTCACHE_ERR_LEAKED);
  range = &rig->device.ranges.at[0];
  range->refused =
      false; /* the referee's own book: it is the same address that comes, not the same segment */
  rig->device.mischief = SIM_OVERLAPPING_SAME;
  assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), ptr);
  assert_non_null(pinned_find(rig->cache, ptr));
  pinned_rig_give(rig, ptr);
  assert_ok(pinned_check(rig->cache));
}

static void real_memory_can_be_used_to_its_last_byte(void **state) {
  pinned_rig *rig = *state;
  size_t size;
  rig->device.backed = true; /* the sanitizers look too */
  for (size = 1; size <= 2 * MIB; size = size * 3 + 5) {
    pinned_block *block;
    assert_ok(pinned_block_alloc(rig->cache, size, &block));
    memset(pinned_block_ptr(block), 0x77, pinned_block_size(block));
    assert_ok(pinned_block_free(rig->cache, block));
  }
  assert_ok(pinned_empty_cache(rig->cache));
  rig->device.backed = false;
}

/* ---- shared, split, whole again -------------------------------------------------------------- */

static void share_segments(pinned_rig *rig) {
  hostcache_config config = pinned_rig_config(rig);
  config.segment_bytes = 0; /* the default: 2 MiB */
  pinned_rig_configure(rig, config);
}

/* The same, where what is freed is one with its neighbours at once. */
static void share_segments_without_stocks(pinned_rig *rig) {
  hostcache_config config = pinned_rig_config(rig);
  config.segment_bytes = 0;
  config.thread_cache_bytes = HOSTCACHE_NONE;
  pinned_rig_configure(rig, config);
}

static void small_blocks_share_a_segment(void **state) {
  pinned_rig *rig = *state;
  const sim_key *key;
  size_t offset = SIZE_MAX;
  char *first;
  int i;
  share_segments(rig);
  first = pinned_rig_take(rig, 64 * KIB);
  for (i = 1; i < 32; i++)
    assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), first + (size_t)i * 64 * KIB);
  assert_int_equal(rig->device.calls[SIM_MEM_ALLOC], 1);
  assert_int_equal(rig->device.largest_request, 2 * MIB);
  key = pinned_block_segment(pinned_find(rig->cache, first + 5 * 64 * KIB + 77), &offset);
  assert_ptr_equal(key->start, first);
  assert_int_equal(offset, 5 * 64 * KIB);
  (void)pinned_rig_take(rig, 64 * KIB);
  assert_int_equal(rig->device.calls[SIM_MEM_ALLOC], 2);
  pinned_rig_check(rig);
}

static void freed_neighbours_become_one_in_whatever_order(void **state) {
  static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                   {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
  pinned_rig *rig = *state;
  char *blocks[32];
  uint64_t calls;
  size_t i;
  int order;
  share_segments_without_stocks(rig);
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, 64 * KIB);
  calls = sim_calls(&rig->device, SIM_EVERY_HOOK);
  for (order = 0; order < 6; order++) {
    for (i = 0; i < 3; i++) pinned_rig_give(rig, blocks[7 + orders[order][i]]);
    pinned_rig_check(rig);
    assert_int_equal(pinned_rig_stats(rig).inactive_split.current, 1);
    assert_int_equal(pinned_rig_stats(rig).inactive_split_bytes.current, 192 * KIB);
    assert_ptr_equal(pinned_rig_take(rig, 192 * KIB), blocks[7]);
    pinned_rig_give(rig, blocks[7]);
    for (i = 7; i < 10; i++) assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), blocks[i]);
    pinned_rig_check(rig);
  }
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), calls);
}

static void a_range_that_waits_is_not_made_part_of_its_neighbours(void **state) {
  pinned_rig *rig = *state;
  char *blocks[32];
  size_t i;
  share_segments_without_stocks(rig);
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, 64 * KIB);
  (void)pinned_rig_use(rig, blocks[8], 1);
  for (i = 7; i < 10; i++) pinned_rig_give(rig, blocks[i]);
  assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), blocks[7]);
  assert_ptr_equal(pinned_rig_take(rig, 64 * KIB), blocks[9]);
  pinned_rig_give(rig, blocks[7]);
  pinned_rig_give(rig, blocks[9]);
  sim_complete_all(&rig->device);
  assert_int_equal(pinned_rig_poll(rig), 1);
  assert_ptr_equal(pinned_rig_take(rig, 192 * KIB), blocks[7]);
}

static void a_larger_range_is_split_and_its_rest_stays_available(void **state) {
  pinned_rig *rig = *state;
  char *whole = pinned_rig_take(rig, 8 * MIB);
  pinned_rig_give(rig, whole);
  assert_ptr_equal(pinned_rig_take(rig, 3 * MIB), whole);
  assert_ptr_equal(pinned_rig_take(rig, 5000), whole + 3 * MIB);
  assert_ptr_equal(pinned_rig_take(rig, 4 * MIB), whole + 3 * MIB + 5120);
  assert_int_equal(rig->device.calls[SIM_MEM_ALLOC], 1);
  assert_int_equal(pinned_rig_stats(rig).cached_bytes.current, MIB - 5120);
  pinned_rig_check(rig);
  pinned_rig_give(rig, whole + 3 * MIB);
  pinned_rig_give(rig, whole);
  pinned_rig_give(rig, whole + 3 * MIB + 5120);
  assert_int_equal(pinned_rig_stats(rig).inactive_split.current, 0); /* whole again */
  assert_ptr_equal(pinned_rig_take(rig, 8 * MIB), whole);
}

static void small_blocks_go_to_their_own_segments_while_these_have_room(void **state) {
  pinned_rig *rig = *state;
  char *large, *small;
  share_segments(rig);
  large = pinned_rig_take(rig, 8 * MIB);
  small = pinned_rig_take(rig, 64 * KIB);
  pinned_rig_give(rig, large);
  assert_ptr_equal(pinned_rig_take(rig, MIB), small + 64 * KIB);
  assert_ptr_equal(pinned_rig_take(rig, 832 * KIB), small + MIB + 64 * KIB);
  assert_ptr_equal(pinned_rig_take(rig, 128 * KIB), small + MIB + 896 * KIB);
  assert_ptr_equal(pinned_rig_take(rig, 512), large); /* before more is asked for */
  assert_int_equal(rig->device.calls[SIM_MEM_ALLOC], 2);
}

/* However large these are. */
static void what_is_above_a_mebibyte_goes_where_large_blocks_are(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  char *large, *small;
  config.segment_bytes = 8 * MIB;
  pinned_rig_configure(rig, config);
  large = pinned_rig_take(rig, 16 * MIB);
  small = pinned_rig_take(rig, 64 * KIB);
  pinned_rig_give(rig, large);
  assert_ptr_equal(pinned_rig_take(rig, MIB), small + 64 * KIB);
  assert_ptr_equal(pinned_rig_take(rig, MIB + 1), large);
}

static void a_segment_goes_back_once_all_of_it_is_free(void **state) {
  pinned_rig *rig = *state;
  char *blocks[64];
  size_t i;
  share_segments(rig);
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, 64 * KIB);
  for (i = 0; i < COUNT_OF(blocks); i++)
    if (i != 40) pinned_rig_give(rig, blocks[i]);
  assert_ok(pinned_empty_cache(rig->cache));
  assert_int_equal(sim_live_bytes(&rig->device), 2 * MIB);
  assert_result(pinned_free(rig->cache, blocks[0]), HOSTCACHE_ERR_NOT_FOUND);
  assert_non_null(pinned_find(rig->cache, blocks[40] + 64 * KIB - 1));
  pinned_rig_give(rig, blocks[40]);
  assert_ok(pinned_empty_cache(rig->cache));
  assert_int_equal(sim_live_bytes(&rig->device), 0);
}

/* A record that became part of its neighbour says so, until it is used again. */
static void a_double_free_by_handle_is_told_also_when_the_range_is_part_of_another(void **state) {
  pinned_rig *rig = *state;
  pinned_block *blocks[3];
  size_t i;
  share_segments(rig);
  for (i = 0; i < 3; i++) assert_ok(pinned_block_alloc(rig->cache, 64 * KIB, &blocks[i]));
  for (i = 0; i < 3; i++) assert_ok(pinned_block_free(rig->cache, blocks[i]));
  for (i = 0; i < 3; i++)
    assert_result(pinned_block_free(rig->cache, blocks[i]), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_ok(pinned_empty_cache(rig->cache));
  assert_result(pinned_block_free(rig->cache, blocks[0]), HOSTCACHE_ERR_NOT_FOUND);
}

/* The bug: a handle that its caller kept by mistake is soon that of another block, and frees it. */
static void a_stale_handle_is_told_for_as_long_as_other_records_can_be_used(void **state) {
  pinned_rig *rig = *state;
  pinned_block *stale = pinned_find(rig->cache, pinned_rig_take(rig, 64 * KIB)), *block;
  int i;
  pinned_rig_give(rig, pinned_block_ptr(stale));
  assert_ok(pinned_empty_cache(rig->cache));
  for (i = 0; i < 20; i++) {
    assert_ok(pinned_block_alloc(rig->cache, 64 * KIB, &block));
    assert_result(pinned_block_free(rig->cache, stale), HOSTCACHE_ERR_NOT_FOUND);
    assert_ok(pinned_block_free(rig->cache, block));
    assert_ok(pinned_empty_cache(rig->cache));
  }
}

/* So that blocks that are used by several processors share no line of their caches. */
static void a_record_begins_with_a_line_of_the_processors_cache(void **state) {
  pinned_rig *rig = *state;
  pinned_block *blocks[200];
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++) {
    assert_ok(pinned_block_alloc(rig->cache, 1000, &blocks[i]));
    assert_int_equal((uintptr_t)blocks[i] % 64, 0);
  }
  for (i = 0; i < COUNT_OF(blocks); i++) assert_ok(pinned_block_free(rig->cache, blocks[i]));
}

/* ---- wherever memory is ---------------------------------------------------------------------- */

/* A runtime that gives the addresses that it is told to. */
typedef struct places {
  const uintptr_t *next;
  uint64_t returned;
} places;

#define HC_NAME placed
#define HC_NO_STREAMS
#define HC_CTX_T places *
#define HC_MEM_ALLOC(p, size, align, ptr_out) \
  ((void)(align), (void)(size), *(ptr_out) = (void *)*(p)->next++, hostcache_done())
#define HC_MEM_FREE(p, ptr, size) ((void)(ptr), (void)(size), (p)->returned++, hostcache_done())
#define HC_IMPLEMENT
#include "hostcache.h"

static void memory_may_lie_anywhere_from_4_KiB_to_2_to_the_57(void **state) {
  static const uintptr_t addresses[] = {
    4096,
    (uintptr_t)1 << 30,
#if UINTPTR_MAX > UINT32_MAX
    ((uintptr_t)1 << 39) - 512, /* across what the index divides */
    ((uintptr_t)1 << 47) - 2 * PAGE,
    ((uintptr_t)1 << 48) - 512,
    ((uintptr_t)1 << 56) - 512,
    ((uintptr_t)1 << 57) - 4 * PAGE,
#else
    ((uintptr_t)1 << 31) - 512,
    UINTPTR_MAX - 5 * PAGE + 1,
#endif
  };
  enum { PLACES = COUNT_OF(addresses) };
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  places p = {addresses, 0};
  placed_block *blocks[PLACES];
  placed *cache;
  size_t i;
  (void)state;
  config.segment_bytes = PAGE;
  assert_ok(placed_create(&cache, &config, &p));
  for (i = 0; i < PLACES; i++) assert_ok(placed_block_alloc(cache, 4 * PAGE, &blocks[i]));
  assert_ok(placed_check(cache));
  for (i = 0; i < PLACES; i++) {
    const uintptr_t from = addresses[i];
    assert_ptr_equal(placed_block_ptr(blocks[i]), (void *)from);
    assert_ptr_equal(placed_find(cache, (void *)from), blocks[i]);
    assert_ptr_equal(placed_find(cache, (void *)(from + 4 * PAGE - 1)), blocks[i]);
    assert_null(placed_find(cache, (void *)(from - 1)));
    assert_null(placed_find(cache, (void *)(from + 4 * PAGE)));
  }
  assert_null(placed_find(cache, NULL));
  assert_null(placed_find(cache, (void *)UINTPTR_MAX));
  for (i = 0; i < PLACES; i++) assert_ok(placed_free(cache, (void *)addresses[i]));
  assert_ok(placed_check(cache));
  assert_ok(placed_destroy(cache));
}

/* The most that a block can need to be found, as none of the index is there yet; and then the next
   one as much again, but for the first step. */
static void the_first_segment_may_lie_across_2_to_the_48(void **state) {
  static const uintptr_t addresses[] = {(uintptr_t)((UINT64_C(1) << 48) - 512)};
  places p = {addresses, 0};
  placed *cache;
  char *ptr, *rest;
  (void)state;
  needs("addresses of 64 bits", UINTPTR_MAX > UINT32_MAX);
  assert_ok(placed_create(&cache, NULL, &p));
  assert_ok(placed_alloc(cache, 1024, (void **)&ptr));
  assert_ok(placed_alloc(cache, 1024, (void **)&rest));
  assert_ptr_equal(ptr, (char *)addresses[0]);
  assert_ptr_equal(rest, ptr + 1024);
  assert_ok(placed_check(cache));
  assert_ok(placed_free(cache, ptr));
  assert_ok(placed_free(cache, rest));
  assert_ok(placed_destroy(cache));
}

/* The index remembers where it was last: after all that was there has gone, it must not forget that
   something is there again. */
static void what_comes_back_to_a_place_that_was_empty_is_found_from_afar(void **state) {
  enum { DISTANT = sizeof(uintptr_t) == 8 ? 50 : 31 };
  static const uintptr_t addresses[] = {(uintptr_t)1 << 30, (uintptr_t)1 << 30,
                                        (uintptr_t)1 << DISTANT, (uintptr_t)1 << DISTANT};
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  places p = {addresses, 0};
  placed *cache;
  void *first, *other;
  (void)state;
  config.segment_bytes = PAGE;
  assert_ok(placed_create(&cache, &config, &p));
  assert_ok(placed_alloc(cache, PAGE, &first));
  assert_ok(placed_free(cache, first));
  assert_ok(placed_empty_cache(cache));
  assert_ok(placed_alloc(cache, PAGE, &first));
  assert_ok(placed_alloc(cache, PAGE, &other));
  assert_non_null(placed_find(cache, first));
  assert_ok(placed_free(cache, other));
  assert_ok(placed_empty_cache(cache));
  assert_ok(placed_alloc(cache, PAGE, &other));
  assert_ok(placed_free(cache, first));
  assert_ok(placed_empty_cache(cache));
  assert_non_null(placed_find(cache, other));
  assert_ok(placed_check(cache));
  assert_ok(placed_free(cache, other));
  assert_ok(placed_destroy(cache));
}

static void memory_above_2_to_the_57_is_refused_and_given_back(void **state) {
  static const uintptr_t addresses[] = {(uintptr_t)((UINT64_C(1) << 57) - PAGE),
                                        (uintptr_t)(UINT64_C(1) << 63)};
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  places p = {addresses, 0};
  placed *cache;
  void *ptr;
  (void)state;
  needs("addresses of 64 bits", UINTPTR_MAX > UINT32_MAX);
  config.segment_bytes = PAGE;
  assert_ok(placed_create(&cache, &config, &p));
  assert_result(placed_alloc(cache, 2 * PAGE, &ptr), HOSTCACHE_ERR_CORRUPT);
  assert_result(placed_alloc(cache, PAGE, &ptr), HOSTCACHE_ERR_CORRUPT);
  assert_int_equal(p.returned, 2);
  assert_ok(placed_destroy(cache));
}

/* Of a live segment of four pages that is neither the first nor the last; pages are counted from
   its start. */
static void memory_that_reaches_into_a_live_segment_is_refused_and_kept(void **state) {
  static const struct {
    int start, pages;
    bool overlaps;
  } given[] = {
      {-2, 3, true},  /* its first page */
      {-2, 6, true},  /* all of it, to its end */
      {-2, 8, true},  /* and beyond */
      {0, 1, true},   /* the same start: less of it, */
      {0, 4, true},   /* just it, */
      {0, 5, true},   /* and more */
      {1, 2, true},   /* its inside */
      {1, 3, true},   /* to its end */
      {3, 1, true},   /* its last page */
      {3, 3, true},   /* and beyond */
      {-2, 2, false}, /* up to it */
      {4, 2, false},  /* from where it ends */
  };
  const uintptr_t base = (uintptr_t)1 << 30;
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  uintptr_t addresses[3 + COUNT_OF(given)] = {base - 100 * PAGE, base + 100 * PAGE, base};
  places p = {addresses, 0};
  void *blocks[5], *other;
  size_t i, count = 3;
  placed *cache;
  (void)state;
  for (i = 0; i < COUNT_OF(given); i++) addresses[3 + i] = base + (uintptr_t)given[i].start * PAGE;
  config.segment_bytes = PAGE;
  assert_ok(placed_create(&cache, &config, &p));
  for (i = 0; i < 3; i++) assert_ok(placed_alloc(cache, 4 * PAGE, &blocks[i]));
  for (i = 0; i < COUNT_OF(given); i++) {
    const hostcache_result result = placed_alloc(cache, (size_t)given[i].pages * PAGE, &other);
    assert_result(result, given[i].overlaps ? HOSTCACHE_ERR_CORRUPT : HOSTCACHE_OK);
    if (!given[i].overlaps) blocks[count++] = other;
  }
  assert_int_equal(p.returned, 0);
  assert_ok(placed_check(cache));
  while (count > 0) assert_ok(placed_free(cache, blocks[--count]));
  assert_ok(placed_destroy(cache));
}

/* Ranges from the smallest unit to more than a shelf of the index covers. */
static void every_alignment_finds_its_blocks(void **state) {
  static const unsigned shifts[] = {
    0,
    3,
    6,
    9,
    11,
    12,
    13,
    16,
    20,
    21,
    22,
#if SIZE_MAX > UINT32_MAX
    30,
    40
#endif
  };
  pinned_rig *rig = *state;
  size_t i, j;
  for (i = 0; i < COUNT_OF(shifts); i++) {
    const size_t alignment = (size_t)1 << shifts[i], unit = alignment > PAGE ? alignment : PAGE;
    hostcache_config config = pinned_rig_config(rig);
    char *blocks[40];
    config.alignment = alignment;
    config.segment_bytes = 64 * unit;
    rig->device.memory_limit = SIZE_MAX;
    pinned_rig_configure(rig, config);
    for (j = 0; j < COUNT_OF(blocks); j++)
      blocks[j] = pinned_rig_take(rig, alignment * (j % 5 + 1));
    for (j = 0; j < COUNT_OF(blocks); j++) {
      pinned_block *block = pinned_find(rig->cache, blocks[j]);
      assert_ptr_equal(pinned_block_ptr(block), blocks[j]);
      assert_int_equal((uintptr_t)blocks[j] % alignment, 0);
      assert_ptr_equal(pinned_find(rig->cache, blocks[j] + pinned_block_size(block) - 1), block);
      assert_ptr_not_equal(pinned_find(rig->cache, blocks[j] + pinned_block_size(block)), block);
      assert_ptr_not_equal(pinned_find(rig->cache, blocks[j] - 1), block);
    }
    pinned_rig_check(rig);
    for (j = 0; j < COUNT_OF(blocks); j++) pinned_rig_give(rig, blocks[j * 7 % COUNT_OF(blocks)]);
    pinned_rig_check(rig);
    assert_ok(pinned_empty_cache(rig->cache));
    assert_int_equal(sim_live_bytes(&rig->device), 0);
  }
}

/* ---- found while others work ----------------------------------------------------------------- */

typedef struct crowd {
  pinned *cache;
  char *stable[16];
  atomic_int working;
  int number;
} crowd;

/* Gets and frees around the blocks that stay, splits and makes whole, gives segments back. */
static void *come_and_go(void *argument) {
  crowd *c = argument;
  uint64_t seed = 5;
  void *blocks[64] = {NULL};
  size_t i;
  int step;
  for (step = 0; step < 40000; step++) {
    i = random_below(&seed, COUNT_OF(blocks));
    if (blocks[i] != NULL) {
      expect_or_abort(pinned_free(c->cache, blocks[i]) == HOSTCACHE_OK);
      blocks[i] = NULL;
    } else {
      size_t size = (size_t)1 << random_below(&seed, 22);
      expect_or_abort(pinned_alloc(c->cache, size, &blocks[i]) == HOSTCACHE_OK);
    }
    if (step % 200 == 0) expect_or_abort(pinned_empty_cache(c->cache) == HOSTCACHE_OK);
  }
  for (i = 0; i < COUNT_OF(blocks); i++)
    expect_or_abort(pinned_free(c->cache, blocks[i]) == HOSTCACHE_OK);
  atomic_fetch_sub(&c->working, 1);
  return NULL;
}

static void an_active_block_is_found_while_others_come_and_go(void **state) {
  pinned_rig *rig = *state;
  pinned_block *handles[16];
  pthread_t threads[2];
  uint64_t seed = 9;
  crowd c;
  size_t i;
  share_segments(rig);
  memset(&c, 0, sizeof c);
  c.cache = rig->cache;
  for (i = 0; i < COUNT_OF(c.stable); i++) {
    void *between = pinned_rig_take(rig, 3000);
    c.stable[i] = pinned_rig_take(rig, 40000 + i * 512);
    handles[i] = pinned_find(rig->cache, c.stable[i]);
    pinned_rig_give(rig, between); /* so that there is coming and going on both sides */
  }
  atomic_store(&c.working, 2);
  for (i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &c), 0);
  while (atomic_load(&c.working) > 0) {
    const size_t k = random_below(&seed, COUNT_OF(c.stable));
    const size_t offset = random_below(&seed, 40000);
    assert_ptr_equal(pinned_find(rig->cache, c.stable[k] + offset), handles[k]);
    assert_null(pinned_find(rig->cache, &c)); /* foreign */
    /* No block begins there, but which one lies there, and how large it is, changes meanwhile. */
    assert_result(pinned_free(rig->cache, c.stable[0] + random_below(&seed, 2 * MIB) * 2 + 1),
                  HOSTCACHE_ERR_NOT_FOUND);
    assert_result(
        pinned_free_deferred(rig->cache, c.stable[0] + random_below(&seed, 2 * MIB) * 2 + 1),
        HOSTCACHE_ERR_NOT_FOUND);
  }
  for (i = 0; i < 2; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
  pinned_rig_check(rig);
}

/* With the lock held that comes last: no other may be taken then, and the header asserts it. */
static void finding_takes_no_lock(void **state) {
  pinned_rig *rig = *state;
  char *active = pinned_rig_take(rig, 3000), *freed = pinned_rig_take(rig, 3000);
  pinned_block *block;
  pinned_rig_give(rig, freed);
  hostcache_lock(&rig->cache->segments_lock);
  block = pinned_find(rig->cache, active + 2999);
  assert_ptr_equal(pinned_block_ptr(block), active);
  assert_null(pinned_find(rig->cache, freed));
  assert_null(pinned_find(rig->cache, &block));
  hostcache_unlock(&rig->cache->segments_lock);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pinned_rig_setup, pinned_rig_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_segment_has_what_the_runtime_gave_with_it),
      TEST(a_reused_record_is_zeroed_again),
      TEST(a_segment_that_was_not_got_is_not_remembered),
      TEST(misaligned_memory_goes_back_with_its_segment),
      TEST(neighbours_in_one_page_are_told_apart),
      TEST(what_lies_behind_the_request_but_in_the_block_belongs_to_it),
      TEST(many_segments_are_found_while_they_come_and_go),
      TEST(what_goes_back_has_left_the_index_before),
      TEST(an_address_that_comes_back_at_once_is_a_new_segment),
      TEST(the_address_of_a_leaked_segment_may_come_again),
      TEST(real_memory_can_be_used_to_its_last_byte),
      TEST(small_blocks_share_a_segment),
      TEST(freed_neighbours_become_one_in_whatever_order),
      TEST(a_range_that_waits_is_not_made_part_of_its_neighbours),
      TEST(a_larger_range_is_split_and_its_rest_stays_available),
      TEST(small_blocks_go_to_their_own_segments_while_these_have_room),
      TEST(what_is_above_a_mebibyte_goes_where_large_blocks_are),
      TEST(a_segment_goes_back_once_all_of_it_is_free),
      TEST(a_double_free_by_handle_is_told_also_when_the_range_is_part_of_another),
      TEST(a_record_begins_with_a_line_of_the_processors_cache),
      TEST(a_stale_handle_is_told_for_as_long_as_other_records_can_be_used),
      TEST(memory_may_lie_anywhere_from_4_KiB_to_2_to_the_57),
      TEST(the_first_segment_may_lie_across_2_to_the_48),
      TEST(what_comes_back_to_a_place_that_was_empty_is_found_from_afar),
      TEST(memory_above_2_to_the_57_is_refused_and_given_back),
      TEST(memory_that_reaches_into_a_live_segment_is_refused_and_kept),
      TEST(every_alignment_finds_its_blocks),
      TEST(finding_takes_no_lock),
      TEST(an_active_block_is_found_while_others_come_and_go),
  };
  return cmocka_run_group_tests_name("segments", tests, NULL, NULL);
}
