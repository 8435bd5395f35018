/* types.c - tests the structures of section 6 of the header: the heap of ready ranges, and the
   index of blocks by address.

   Promises: a heap gives the best fit, and of equal sizes the lowest address, as long as few are of
   nearly one size, and a fit wherever there is one; the index finds the record that stands under an
   address, or last before it, at every alignment, and needs no new shelf where one stood before.
   Each is compared with an array that is looked through from end to end. */

#define HC_NAME pinned
#define HC_CTX_T int
#define HC_NO_STREAMS
#define HC_MEM_ALLOC(ctx, size, align, ptr_out) \
  ((void)(ctx), (void)(size), (void)(align), *(ptr_out) = NULL, hostcache_map_memory(1, 0, 1, 1))
#define HC_MEM_FREE(ctx, ptr, size) ((void)(ctx), (void)(ptr), (void)(size), hostcache_done())
#define HC_STATIC
#include "hostcache.h"

#include "helpers.h"

static uint64_t draw(uint64_t *state) {
  *state += UINT64_C(0x9e3779b97f4a7c15);
  return hostcache_scramble(*state);
}

/* ---- heaps ---- */

static pinned cache;

/* Ranges that are parts of segments: a neighbour says so. */
static struct pinned_block neighbour;

static void add(struct pinned_block *range, size_t size, size_t address) {
  range->left = &neighbour;
  range->size = size;
  range->ptr = (void *)address;
  pinned_i_heap_add(&cache, &cache.heaps[0], range);
}

static void take(struct pinned_block *range) {
  pinned_i_heap_remove(&cache, &cache.heaps[0], range);
}

static const struct pinned_block *first(size_t size) {
  return pinned_i_heap_first(&cache.heaps[0], size);
}

static int is_before(const struct pinned_block *one, const struct pinned_block *other) {
  return one->size < other->size ||
         (one->size == other->size && (size_t)one->ptr < (size_t)other->ptr);
}

static const struct pinned_block *first_of(const struct pinned_block *ranges, size_t count,
                                           size_t size) {
  const struct pinned_block *found = NULL;
  size_t i;
  for (i = 0; i < count; i++)
    if (ranges[i].is_ready && ranges[i].size >= size && (!found || is_before(&ranges[i], found)))
      found = &ranges[i];
  return found;
}

/* Up to 512 MiB, and often one of a few sizes. */
static size_t draw_size(uint64_t *state) {
  const uint64_t bits = draw(state);
  if (bits % 4 == 0) return 512 * (1 + (size_t)(bits >> 8) % 30);
  return ((size_t)(draw(state) >> (44 + (bits >> 8) % 20)) + 1) * 512;
}

static void a_heap_gives_the_best_fit_and_of_those_the_lowest_address(void **unused) {
  enum { RANGES = 200, ROUNDS = 20000 };
  static struct pinned_block ranges[RANGES];
  uint64_t state = 1;
  size_t i;
  (void)unused;
  for (i = 0; i < ROUNDS; i++) {
    const size_t at = (size_t)draw(&state) % RANGES, size = draw_size(&state);
    if (ranges[at].is_ready)
      take(&ranges[at]);
    else
      add(&ranges[at], draw_size(&state), (at + 1) * 4096);
    assert_ptr_equal(first(size), first_of(ranges, RANGES, size));
    assert_ptr_equal(first(ranges[at].size), first_of(ranges, RANGES, ranges[at].size));
    assert_ptr_equal(first(0), first_of(ranges, RANGES, 0));
  }
  for (i = 0; i < RANGES; i++)
    if (ranges[i].is_ready) take(&ranges[i]);
  assert_null(first(0));
  assert_true(cache.heaps[0].words == 0);
}

static void no_size_is_of_a_higher_class_than_a_larger_one(void **unused) {
  unsigned shift, last = 0;
  (void)unused;
  for (shift = 0; shift < 8 * sizeof(size_t); shift++) {
    const size_t size = (size_t)1 << shift, step = (size >> 7) + 1;
    size_t offset;
    for (offset = 0; offset < size; offset += step) {
      const unsigned at = hostcache_heap_class(size + offset);
      assert_in_range(at, last, HOSTCACHE_HEAP_SIZES - 1);
      last = at;
    }
  }
  assert_int_equal(hostcache_heap_class(SIZE_MAX), HOSTCACHE_HEAP_SIZES - 1);
}

/* What was added last is looked at first, and is the highest here. */
static void of_many_of_a_class_only_so_many_are_looked_at(void **unused) {
  enum { COUNT = 2 * HOSTCACHE_HEAP_LOOKS };
  static struct pinned_block ranges[COUNT];
  const size_t size = (size_t)64 << 20;
  size_t i;
  (void)unused;
  for (i = 0; i < COUNT; i++) add(&ranges[i], size, (i + 1) * 4096);
  assert_ptr_equal(first(size - 4096), &ranges[COUNT - HOSTCACHE_HEAP_LOOKS]);
  assert_ptr_equal(first(size), &ranges[COUNT - HOSTCACHE_HEAP_EXACT]);
  for (i = 0; i < COUNT; i++) take(&ranges[i]);
}

/* As when every second one of many small blocks is free. */
static void of_thousands_of_one_size_each_is_had(void **unused) {
  enum { COUNT = 100000 };
  static struct pinned_block ranges[COUNT];
  size_t i;
  (void)unused;
  for (i = 0; i < COUNT; i++) add(&ranges[i], 512, (i + 1) * 1024);
  for (i = 0; i < COUNT; i++) {
    const struct pinned_block *range = first(1);
    assert_non_null(range);
    assert_true(range->is_ready);
    take(&ranges[range - ranges]);
  }
  assert_null(first(0));
}

/* More of one class than are looked at, and the one that fits behind them. */
static void what_fits_is_found_behind_many_that_do_not(void **unused) {
  enum { COUNT = 1000 };
  static struct pinned_block ranges[COUNT];
  const size_t size = (size_t)64 << 20;
  size_t i;
  (void)unused;
  add(&ranges[0], size + 8192, 4096);
  for (i = 1; i < COUNT; i++) add(&ranges[i], size + 4096, (i + 1) * 4096);
  assert_ptr_equal(first(size + 8192), &ranges[0]);
  assert_null(first(size + 8193));
  for (i = 0; i < COUNT; i++) take(&ranges[i]);
}

/* ---- the index ---- */

enum { RECORDS = 100 };

typedef struct book {
  hostcache_index index;
  hostcache_shelves spare;
  hostcache_leaves leaves;
  uint64_t addresses[RECORDS]; /* of the records that stand in the index; else UINT64_MAX */
  size_t records[RECORDS];     /* they are never looked into */
} book;

static void stock_up(book *b, uint64_t address) {
  size_t missing[2];
  int low;
  hostcache_index_missing(&b->index, address, missing);
  for (low = 0; low < 2; low++)
    while (b->spare.count[low] < missing[low])
      hostcache_shelf_put(&b->spare, low, hostcache_shelf_new(&b->index, low));
}

static void assert_found(book *b, uint64_t address) {
  void *last = NULL, *exact = NULL;
  uint64_t before = 0;
  size_t i;
  for (i = 0; i < RECORDS; i++) {
    if (b->addresses[i] == address) exact = &b->records[i];
    if (b->addresses[i] > address || (last && b->addresses[i] < before)) continue;
    before = b->addresses[i];
    last = &b->records[i];
  }
  if (address >> HOSTCACHE_ADDRESS_BITS) last = NULL;
  assert_ptr_equal(hostcache_index_start(&b->index, &b->leaves, address), exact);
  assert_ptr_equal(hostcache_index_floor(&b->index, address), last);
}

/* Up to `bits` of an address count, so that records are near each other and far apart. */
static void enter_and_take_out(uint64_t seed, size_t alignment, unsigned bits) {
  const uint64_t most = ((uint64_t)1 << HOSTCACHE_ADDRESS_BITS) - 1;
  const uint64_t mask = (uint64_t)alignment - 1;
  uint64_t state = seed;
  size_t i, round;
  book *b = (book *)calloc(1, sizeof *b);
  assert_non_null(b);
  hostcache_index_init(&b->index, alignment);
  memset(b->addresses, 0xff, sizeof b->addresses);
  for (round = 0; round < 4000; round++) {
    const size_t one = (size_t)draw(&state) % RECORDS;
    const uint64_t address = (draw(&state) >> (64 - bits)) & most & ~mask;
    if (b->addresses[one] != UINT64_MAX) {
      const uint64_t gone = b->addresses[one];
      size_t missing[2];
      hostcache_index_remove(&b->index, gone);
      b->addresses[one] = UINT64_MAX;
      assert_found(b, gone);
      hostcache_index_missing(&b->index, gone, missing);
      assert_true(missing[0] == 0 && missing[1] == 0);
    } else if (!hostcache_index_start(&b->index, &b->leaves, address)) {
      stock_up(b, address);
      hostcache_index_add(&b->index, address, &b->records[one], &b->spare);
      assert_true(b->spare.count[0] == 0 && b->spare.count[1] == 0);
      b->addresses[one] = address;
      assert_found(b, address);
    }
    assert_found(b, address + (draw(&state) & mask));
    assert_found(b, address + 1);
    assert_found(b, draw(&state) >> (64 - bits));
  }
  assert_null(hostcache_index_start(&b->index, &b->leaves, most + 1));
  assert_null(hostcache_index_floor(&b->index, UINT64_MAX));
  for (i = 0; i < RECORDS; i++)
    if (b->addresses[i] != UINT64_MAX) hostcache_index_remove(&b->index, b->addresses[i]);
  assert_null(hostcache_index_floor(&b->index, most));
  assert_int_equal(((hostcache_shelf *)b->index.root)->count, 0);
  hostcache_index_dispose(&b->index, &b->spare);
  free(b);
}

static void the_index_finds_what_stands_under_an_address_or_before_it(void **unused) {
  static const unsigned alignments[] = {0, 1, 3, 6, 9, 12, 13, 16, 21, 30, 40, 48, 56};
  unsigned i, bits;
  (void)unused;
  for (i = 0; i < COUNT_OF(alignments); i++)
    for (bits = 8; bits <= 57; bits += 7)
      if (bits > alignments[i] + 4 || bits == 57)
        enter_and_take_out(bits, (size_t)1 << alignments[i], bits);
}

static void an_empty_index_finds_nothing(void **unused) {
  static hostcache_index index;
  static hostcache_leaves leaves;
  (void)unused;
  hostcache_index_init(&index, 512);
  assert_null(hostcache_index_floor(&index, 0));
  assert_null(hostcache_index_start(&index, &leaves, 0));
  assert_null(hostcache_index_start(&index, &leaves, UINT64_MAX));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_heap_gives_the_best_fit_and_of_those_the_lowest_address),
      cmocka_unit_test(no_size_is_of_a_higher_class_than_a_larger_one),
      cmocka_unit_test(of_many_of_a_class_only_so_many_are_looked_at),
      cmocka_unit_test(of_thousands_of_one_size_each_is_had),
      cmocka_unit_test(what_fits_is_found_behind_many_that_do_not),
      cmocka_unit_test(the_index_finds_what_stands_under_an_address_or_before_it),
      cmocka_unit_test(an_empty_index_finds_nothing),
  };
  return cmocka_run_group_tests_name("types", tests, NULL, NULL);
}
