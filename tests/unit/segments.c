/* segments.c - tests section 9 of the header: memory from the runtime, and blocks found by address.

   Promises: what the runtime gives with a segment is kept, zeroed first, and comes back with it; a
   block is found from any pointer into it, and by nothing else, however close others lie; an
   address that comes back at once is a new segment; what goes back has left the index before
   (sections 4 to 6 of the contract). */

#include "sim/below.h"

#include "sim/sim.h"

/* A runtime whose memory has a handle. */
typedef struct sim_key {
  uint64_t number;
  const void *start;
  size_t size;
} sim_key;

static uint64_t keys_given, keys_returned;

static int sim_key_alloc(sim_device *d, size_t size, size_t align, void **ptr, sim_key *key) {
  int code = sim_mem_alloc(d, size, align, ptr);
  if (key->number != 0 || key->start != NULL || key->size != 0)
    sim_violation(d, "the segment is not zeroed first");
  key->number = ++keys_given; /* also on failure: nobody may look at it then */
  key->start = *ptr;
  key->size = size;
  return code;
}

static int sim_key_free(sim_device *d, void *ptr, size_t size, const sim_key *key) {
  if (key->start != ptr || key->size != size)
    sim_violation(d, "the segment is not the one that was given with it");
  keys_returned++;
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
  size_t i;
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
  };
  return cmocka_run_group_tests_name("segments", tests, NULL, NULL);
}
