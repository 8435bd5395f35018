/* sizes.c - tests section 8 of the header: classes and rounding.

   Promises (section 6 of the contract): sizes up to 1 MiB go into classes, eight steps to a
   doubling, multiples of the alignment; larger ones are rounded to the page and nothing more; a
   block is never smaller than the request, and never larger by more than the larger of 12.5% and
   one alignment unit (above 1 MiB: one page); a size that is too big reaches no hook. */

#include "sim/below.h"

#define HC_NAME pinned
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE pinned
#include "sim/rig.h"

static size_t usable_size(pinned_rig *rig, size_t size) {
  pinned_block *block;
  size_t usable;
  assert_ok(pinned_block_alloc(rig->cache, size, &block));
  usable = pinned_block_size(block);
  assert_ok(pinned_block_free(rig->cache, block));
  return usable;
}

static void use_alignment(pinned_rig *rig, size_t alignment) {
  hostcache_config config = pinned_rig_config(rig);
  config.alignment = alignment;
  pinned_rig_configure(rig, config);
}

/* Sizes where rounding could be off by one: around each multiple of a step, and a few between. */
static size_t next_size(size_t size, size_t step) {
  size_t rest = size % step;
  if (rest == 0) return size + 1;
  if (rest == 1) return size + step / 3 + 1;
  return rest < step - 1 ? size - rest + step - 1 : size + 1;
}

/* The unit above 1 MiB is the page, or the alignment where that is coarser. */
static void assert_waste(size_t size, size_t usable, size_t alignment) {
  size_t waste = usable - size, unit = size > MIB && alignment < PAGE ? PAGE : alignment;
  if (usable < size || usable % alignment != 0 ||
      (waste >= unit && (size > MIB || waste * 8 > size))) {
    print_error("%zu bytes give a block of %zu, aligned to %zu\n", size, usable, alignment);
    fail();
  }
}

static void waste_is_bounded_for_every_size_and_alignment(void **state) {
  static const size_t alignments[] = {16, 64, 512, 4096, 65536};
  pinned_rig *rig = *state;
  size_t i, size;
  for (i = 0; i < COUNT_OF(alignments); i++) {
    use_alignment(rig, alignments[i]);
    for (size = 1; size <= 8 * KIB; size++)
      assert_waste(size, usable_size(rig, size), alignments[i]);
    for (; size <= MIB + 64 * KIB; size = next_size(size, 512))
      assert_waste(size, usable_size(rig, size), alignments[i]);
    assert_ok(pinned_empty_cache(rig->cache));
  }
}

static void there_are_eight_classes_to_a_doubling(void **state) {
  pinned_rig *rig = *state;
  size_t bottom, size, last, classes;
  for (bottom = 8 * KIB; bottom < MIB; bottom *= 2) {
    last = 0;
    classes = 0;
    for (size = bottom + 1; size <= 2 * bottom; size = next_size(size, 256)) {
      size_t usable = usable_size(rig, size);
      if (usable != last) classes++;
      last = usable;
    }
    assert_int_equal(classes, 8);
    assert_int_equal(last, 2 * bottom);
  }
}

static void a_larger_request_never_gets_a_smaller_block(void **state) {
  pinned_rig *rig = *state;
  size_t size, last = 0;
  for (size = 1; size <= 2 * MIB; size = next_size(size, 1024)) {
    size_t usable = usable_size(rig, size);
    assert_true(usable >= last);
    last = usable;
  }
}

/* The table has 2048 units; what is ready are blocks of classes that could be mistaken for it. */
static void the_first_class_that_stands_in_no_table_is_told_from_others(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  size_t size;
  config.alignment = 64;
  config.segment_bytes = 0;
  pinned_rig_configure(rig, config);
  for (size = 64; size <= 4 * KIB; size += 64) (void)usable_size(rig, size);
  for (size = 2047 * 64; size <= 2049 * 64; size++) assert_waste(size, usable_size(rig, size), 64);
}

/* The bug: a bin hands out a smaller block when rounding is off (pytorch #192722): blocks of all
   sizes are cached, and every one that comes back is large enough. */
static void capacity_is_never_below_the_request_when_sizes_mix(void **state) {
  enum { SLOTS = 64, STEPS = 20000 };
  pinned_rig *rig = *state;
  uint64_t seed = 192722;
  pinned_block *slots[SLOTS] = {NULL};
  int step;
  size_t slot;
  for (step = 0; step < STEPS; step++) {
    slot = random_below(&seed, SLOTS);
    if (slots[slot] == NULL) {
      size_t bits = random_below(&seed, 12), size = 1 + random_below(&seed, (size_t)1024 << bits);
      assert_ok(pinned_block_alloc(rig->cache, size, &slots[slot]));
      assert_waste(size, pinned_block_size(slots[slot]), 512);
      sim_handed_out(&rig->device, pinned_block_ptr(slots[slot]), size);
    } else {
      sim_handed_back(&rig->device, pinned_block_ptr(slots[slot]));
      assert_ok(pinned_block_free(rig->cache, slots[slot]));
      slots[slot] = NULL;
    }
  }
}

static void a_large_request_is_rounded_to_the_page_and_nothing_more(void **state) {
  static const size_t sizes[] = {
    MIB + 1,
    MIB + PAGE,
    MIB + PAGE + 1,
    2 * MIB - 1,
    2 * MIB,
    2 * MIB + 1,
    GIB + 1, /* one byte above a power of two */
#if SIZE_MAX > UINT32_MAX
    (size_t)(20.4 * (double)GIB),
    600 * GIB,
#endif
  };
  pinned_rig *rig = *state;
  size_t i;
  for (i = 0; i < COUNT_OF(sizes); i++) {
    size_t rounded = (sizes[i] + PAGE - 1) / PAGE * PAGE;
    void *ptr = pinned_rig_take(rig, sizes[i]);
    assert_int_equal(pinned_block_size(pinned_find(rig->cache, ptr)), rounded);
    assert_int_equal(pinned_rig_stats(rig).reserved_bytes.current, rounded);
    pinned_rig_give(rig, ptr);
    assert_ok(pinned_empty_cache(rig->cache));
  }
}

static void a_segment_is_whole_pages_even_for_one_byte(void **state) {
  pinned_rig *rig = *state;
  (void)pinned_rig_take(rig, 1);
  assert_int_equal(pinned_rig_stats(rig).reserved_bytes.current % (int64_t)PAGE, 0);
  assert_int_equal(pinned_rig_stats(rig).allocated_bytes.current, 512);
  assert_int_equal(pinned_rig_stats(rig).requested_bytes.current, 1);
}

/* The bug: a size wraps to 0 (pytorch #182446). */
static void a_size_that_wraps_when_rounded_reaches_no_hook(void **state) {
  static const size_t alignments[] = {1, 16, 512, 4096, 2 * 1024 * 1024};
  pinned_rig *rig = *state;
  size_t i, j;
  for (i = 0; i < COUNT_OF(alignments); i++) {
    const size_t sizes[] = {SIZE_MAX,
                            SIZE_MAX - 1,
                            SIZE_MAX - alignments[i],
                            SIZE_MAX - alignments[i] + 1,
                            SIZE_MAX - PAGE,
                            SIZE_MAX - PAGE + 1,
                            SIZE_MAX - PAGE + 2,
                            SIZE_MAX / 2 + 1,
                            SIZE_MAX / 2 + 2,
                            (size_t)PTRDIFF_MAX,
                            (size_t)PTRDIFF_MAX - PAGE + 2};
    use_alignment(rig, alignments[i]);
    for (j = 0; j < COUNT_OF(sizes); j++) {
      void *ptr = &ptr;
      assert_result(pinned_alloc(rig->cache, sizes[j], &ptr), HOSTCACHE_ERR_TOO_BIG);
      assert_null(ptr);
    }
    assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), 0);
    assert_int_equal(pinned_rig_stats(rig).num_alloc_retries, 0);
  }
}

/* The largest size that is not too big: the runtime does not have it, and says so. */
static void the_largest_size_reaches_the_runtime(void **state) {
  pinned_rig *rig = *state;
  void *ptr = &ptr;
  rig->device.memory_limit = GIB; /* which has less */
  assert_result(pinned_alloc(rig->cache, (size_t)PTRDIFF_MAX - PAGE + 1, &ptr),
                HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_null(ptr);
  assert_int_equal(rig->device.largest_request, (size_t)PTRDIFF_MAX - PAGE + 1);
}

static void the_config_bounds_what_one_call_asks_for(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  void *ptr = &ptr;
  uint64_t before;
  config.max_segment_bytes = 4 * MIB;
  pinned_rig_configure(rig, config);
  (void)pinned_rig_take(rig, 4 * MIB);
  (void)pinned_rig_take(rig, 4 * MIB - PAGE + 1);
  before = sim_calls(&rig->device, SIM_EVERY_HOOK);
  assert_result(pinned_alloc(rig->cache, 4 * MIB + 1, &ptr), HOSTCACHE_ERR_TOO_BIG);
  assert_null(ptr);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), before);
  assert_int_equal(rig->device.largest_request, 4 * MIB);
}

/* A bound between two pages: what is asked for is never above it. */
static void a_crooked_bound_is_kept_too(void **state) {
  static const size_t bounds[] = {PAGE, PAGE + 1, 10000, MIB + 5};
  pinned_rig *rig = *state;
  size_t i, size;
  for (i = 0; i < COUNT_OF(bounds); i++) {
    hostcache_config config = pinned_rig_config(rig);
    config.max_segment_bytes = bounds[i];
    pinned_rig_configure(rig, config);
    rig->device.largest_request = 0;
    for (size = 1; size < 2 * bounds[i] + 4 * PAGE; size = size * 2 + 3) {
      void *ptr;
      hostcache_result result = pinned_alloc(rig->cache, size, &ptr);
      assert_true(result == HOSTCACHE_OK || result == HOSTCACHE_ERR_TOO_BIG);
      if (result == HOSTCACHE_OK) assert_ok(pinned_free(rig->cache, ptr));
    }
    assert_true(rig->device.largest_request <= bounds[i]);
  }
}

/* Whatever the config says of sizes, what is freed is found again, and every figure is right. */
/* Its last size is of a class, which is finer than a page. */
static void the_largest_size_of_a_class_is_no_page(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  config.class_max_bytes = 5 * 512;
  pinned_rig_configure(rig, config);
  assert_int_equal(usable_size(rig, 5 * 512), 5 * 512);
  assert_int_equal(usable_size(rig, 5 * 512 + 1), PAGE);
}

static void classes_end_where_the_config_says(void **state) {
  static const struct {
    size_t max_segment_bytes, max_split_size;
    uint32_t steps;
  } all[] = {{8 * KIB, 0, 0}, {0, 1, 0}, {0, 100 * KIB, 0}, {0, 0, 64}, {0, 0, 1}};
  pinned_rig *rig = *state;
  size_t i, size;
  for (i = 0; i < COUNT_OF(all); i++) {
    hostcache_config config = pinned_rig_config(rig);
    const size_t most = all[i].max_segment_bytes != 0 ? all[i].max_segment_bytes : 2 * MIB;
    config.segment_bytes = 0;
    config.max_segment_bytes = all[i].max_segment_bytes;
    config.max_split_size = all[i].max_split_size;
    config.class_steps = all[i].steps;
    pinned_rig_configure(rig, config);
    for (size = 1; size <= most; size += size / 3 + 1) {
      void *ptr = pinned_rig_take(rig, size);
      pinned_rig_give(rig, ptr);
      assert_ptr_equal(pinned_rig_take(rig, size), ptr);
      pinned_rig_give(rig, ptr);
    }
    pinned_rig_check(rig);
    assert_ok(pinned_empty_cache(rig->cache));
    assert_int_equal(pinned_rig_stats(rig).reserved_bytes.current, 0);
  }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pinned_rig_setup, pinned_rig_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(waste_is_bounded_for_every_size_and_alignment),
      TEST(there_are_eight_classes_to_a_doubling),
      TEST(a_larger_request_never_gets_a_smaller_block),
      TEST(the_first_class_that_stands_in_no_table_is_told_from_others),
      TEST(capacity_is_never_below_the_request_when_sizes_mix),
      TEST(a_large_request_is_rounded_to_the_page_and_nothing_more),
      TEST(a_segment_is_whole_pages_even_for_one_byte),
      TEST(a_size_that_wraps_when_rounded_reaches_no_hook),
      TEST(the_largest_size_reaches_the_runtime),
      TEST(the_config_bounds_what_one_call_asks_for),
      TEST(a_crooked_bound_is_kept_too),
      TEST(the_largest_size_of_a_class_is_no_page),
      TEST(classes_end_where_the_config_says),
  };
  return cmocka_run_group_tests_name("sizes", tests, NULL, NULL);
}
