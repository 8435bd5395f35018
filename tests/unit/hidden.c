/* hidden.c - tests which memory HOSTCACHE_DEBUG and HC_MEM_IS_HOST close to the host (section 9),
   by a book of it, which stands in for AddressSanitizer's.

   Promises: a block is open to the last byte that was asked for, and closed behind it; so it stays
   whatever looks at it; what is ready is closed; what a hook gets is open, and so are a block that
   leaves and what is left when the cache is gone. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#ifndef HOSTCACHE_DEBUG
#define HOSTCACHE_DEBUG
#endif
#define HOSTCACHE_ASAN
#define __asan_poison_memory_region close_in_book
#define __asan_unpoison_memory_region open_in_book

/* The runtime's memory, which is never used again, and which bytes of it are closed. */
enum { ROOM = 16 << 20 };
static _Alignas(4096) unsigned char arena[ROOM];
static unsigned char is_closed[ROOM];

typedef struct device {
  bool done; /* events are complete */
  bool free_fails;
  size_t used;
  int gave_back, closed; /* of those, where not all was open */
} device;

static bool device_get(device *d, void **out, size_t align, size_t size) {
  d->used = (d->used + (align - 1)) & ~(align - 1);
  if (size > ROOM - d->used) return false;
  *out = arena + d->used;
  d->used += size;
  return true;
}

static bool device_take_back(device *d, const void *ptr, size_t size) {
  const size_t from = (size_t)((const unsigned char *)ptr - arena);
  d->closed += memchr(is_closed + from, 1, size) != NULL;
  d->gave_back++;
  return !d->free_fails;
}

#define HC_CTX_T device *
#define HC_MEM_ALLOC(d, size, align, out) \
  (device_get(d, out, align, size) ? hostcache_done() : hostcache_out_of_memory(1))
#define HC_MEM_FREE(d, ptr, size) \
  (device_take_back(d, ptr, size) ? hostcache_done() : hostcache_failed(1))
#define HC_STREAM_T int
#define HC_EVENT_T int
#define HC_EVENT_RECORD(d, event, stream) \
  ((void)(d), (void)(stream), *(event) = 1, hostcache_done())
#define HC_EVENT_QUERY(d, event) ((void)(event), (d)->done ? hostcache_done() : hostcache_pending())
#define HC_NAME pinned
#define HC_MEM_IS_HOST
#define HC_STATIC
#include "hostcache.h"

/* Blocks that may leave. */
#define HC_CTX_T device *
#define HC_MEM_ALLOC(d, size, align, out) \
  (device_get(d, out, align, size) ? hostcache_done() : hostcache_out_of_memory(1))
#define HC_MEM_FREE(d, ptr, size) \
  (device_take_back(d, ptr, size) ? hostcache_done() : hostcache_failed(1))
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#define HC_MEM_IS_HOST
#define HC_NAME tensors
#define HC_STATIC
#include "hostcache.h"

#include "helpers.h"

static void set_in_book(const volatile void *address, size_t size, int closed) {
  const size_t from = (size_t)((const volatile unsigned char *)address - arena);
  expect_or_abort(from <= ROOM && size <= ROOM - from);
  memset(is_closed + from, closed, size);
}

void close_in_book(const volatile void *address, size_t size) { set_in_book(address, size, 1); }

void open_in_book(const volatile void *address, size_t size) { set_in_book(address, size, 0); }

#define assert_open(ptr, size) assert_null(memchr(&is_closed[(ptr)-arena], 1, size))
#define assert_closed(ptr, size) assert_null(memchr(&is_closed[(ptr)-arena], 0, size))

typedef struct rig {
  device device;
  heard heard;
  pinned *cache;
} rig;

static int setup(void **state) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  rig *r = calloc(1, sizeof *r);
  if (r == NULL) return -1;
  memset(is_closed, 0, sizeof is_closed);
  config.on_error = hear;
  config.on_error_user = &r->heard;
  *state = r;
  return pinned_create(&r->cache, &config, &r->device) == HOSTCACHE_OK ? 0 : -1;
}

static int teardown(void **state) {
  rig *r = *state;
  if (r->cache != NULL) {
    r->device.done = true;
    assert_ok(pinned_process_events(r->cache, NULL));
    assert_ok(pinned_destroy(r->cache));
  }
  assert_int_equal(r->device.closed, 0);
  assert_open(arena, r->device.used);
  free(r);
  return 0;
}

static unsigned char *take(rig *r, size_t size) {
  void *ptr;
  assert_ok(pinned_alloc(r->cache, size, &ptr));
  return ptr;
}

/* With what lies behind the bytes that were asked for. */
static size_t whole(rig *r, const void *ptr) { return pinned_find(r->cache, ptr)->size; }

static void a_block_is_open_to_its_last_byte_and_closed_behind_it(void **state) {
  static const size_t sizes[] = {1, 100, 496, 497, 64 * KIB, 64 * KIB, MIB, 3 * MIB};
  rig *r = *state;
  unsigned char *ptrs[COUNT_OF(sizes)];
  size_t wholes[COUNT_OF(sizes)], i;
  int round;
  for (round = 0; round < 3; round++) { /* what is new, and what was used before */
    for (i = 0; i < COUNT_OF(sizes); i++) {
      ptrs[i] = take(r, sizes[i]);
      wholes[i] = whole(r, ptrs[i]);
      assert_true(wholes[i] >= sizes[i] + 16);
    }
    assert_ok(pinned_check(r->cache));
    for (i = 0; i < COUNT_OF(sizes); i++) {
      assert_open(ptrs[i], sizes[i]);
      assert_closed(ptrs[i] + sizes[i], wholes[i] - sizes[i]);
    }
    for (i = 0; i < COUNT_OF(sizes); i++) assert_ok(pinned_free(r->cache, ptrs[i]));
    assert_closed(arena, r->device.used); /* nothing of it is in use */
    assert_ok(pinned_check(r->cache));
    assert_closed(arena, r->device.used);
  }
}

static void what_waits_is_open_until_it_is_ready(void **state) {
  rig *r = *state;
  unsigned char *ptr = take(r, 1000);
  const size_t size = whole(r, ptr);
  assert_ok(pinned_record_stream(r->cache, ptr, 1));
  assert_ok(pinned_free(r->cache, ptr));
  assert_ok(pinned_check(r->cache));
  assert_open(ptr, 1000);
  assert_closed(ptr + 1000, size - 1000);
  r->device.done = true;
  assert_ok(pinned_process_events(r->cache, NULL));
  assert_closed(ptr, size);
}

static void what_lies_behind_a_block_is_closed_again_when_damage_there_was_told(void **state) {
  rig *r = *state;
  unsigned char *ptr = take(r, 1000), *behind = take(r, 1000);
  const size_t size = whole(r, ptr);
  assert_ptr_equal(behind, ptr + size);
  assert_ok(pinned_record_stream(r->cache, ptr, 1));
  ptr[1000]++;
  assert_result(pinned_free(r->cache, ptr), HOSTCACHE_ERR_CORRUPT);
  assert_open(ptr, 1000);
  assert_closed(ptr + 1000, size - 1000);
  assert_open(behind, 1000);
  assert_closed(behind + 1000, whole(r, behind) - 1000);
  assert_ok(pinned_free(r->cache, behind));
}

/* Where it was closed by then. */
static void what_is_ready_is_open_only_as_far_as_was_asked_also_if_it_was_damaged(void **state) {
  rig *r = *state;
  unsigned char *ptr = take(r, 1000);
  const size_t size = whole(r, ptr);
  assert_ok(pinned_free(r->cache, ptr));
  ptr[10]++;
  assert_ptr_equal(take(r, 900), ptr);
  assert_int_equal(r->heard.of[-HOSTCACHE_ERR_CORRUPT], 1);
  assert_open(ptr, 900);
  assert_closed(ptr + 900, size - 900);
  assert_ok(pinned_free(r->cache, ptr));
}

static void what_goes_back_is_open_also_if_it_is_not_taken(void **state) {
  rig *r = *state;
  unsigned char *ptr = take(r, 3 * MIB);
  const size_t size = whole(r, ptr);
  assert_ok(pinned_free(r->cache, ptr));
  r->device.free_fails = true;
  assert_result(pinned_empty_cache(r->cache), HOSTCACHE_ERR_LEAKED);
  assert_int_equal(r->device.gave_back, 1);
  assert_open(ptr, size);
  assert_ok(pinned_check(r->cache));
  assert_open(ptr, size);
  assert_result(pinned_destroy(r->cache), HOSTCACHE_ERR_LEAKED);
  r->cache = NULL;
}

/* What is in use, waits, is in a stock, and in a heap; and nothing else. */
static void what_an_abandoned_cache_had_is_open(void **state) {
  rig *r = *state;
  pinned *other;
  void *theirs;
  unsigned char *waits = take(r, 1000), *kept = take(r, 1000), *ready = take(r, 1000);
  unsigned char *large = take(r, 3 * MIB), *last = take(r, 3 * MIB);
  const size_t used = r->device.used;
  assert_ok(pinned_create(&other, NULL, &r->device));
  assert_ok(pinned_alloc(other, 3 * MIB, &theirs));
  assert_true((unsigned char *)theirs > last && (unsigned char *)theirs == arena + used);
  assert_ok(pinned_free(other, theirs));
  assert_ok(pinned_record_stream(r->cache, waits, 1));
  assert_ok(pinned_free(r->cache, waits));
  assert_ok(pinned_free(r->cache, ready));
  assert_ok(pinned_free(r->cache, large));
  assert_open(kept, 1000);
  pinned_abandon(r->cache);
  r->cache = NULL;
  assert_open(arena, used);
  assert_closed(arena + used, r->device.used - used);
  assert_ok(pinned_destroy(other));
}

static void a_block_that_leaves_is_open_to_its_end(void **state) {
  rig *r = *state;
  tensors *cache;
  void *ptr;
  assert_ok(tensors_create(&cache, NULL, &r->device));
  assert_ok(tensors_alloc(cache, 100, &ptr));
  assert_closed((unsigned char *)ptr + 100, 128 - 100);
  assert_ok(tensors_record_free(cache, ptr));
  assert_open((unsigned char *)ptr, 128);
  assert_ok(tensors_destroy(cache));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_block_is_open_to_its_last_byte_and_closed_behind_it),
      TEST(what_waits_is_open_until_it_is_ready),
      TEST(what_lies_behind_a_block_is_closed_again_when_damage_there_was_told),
      TEST(what_is_ready_is_open_only_as_far_as_was_asked_also_if_it_was_damaged),
      TEST(what_goes_back_is_open_also_if_it_is_not_taken),
      TEST(what_an_abandoned_cache_had_is_open),
      TEST(a_block_that_leaves_is_open_to_its_end),
  };
  return cmocka_run_group_tests_name("hidden", tests, NULL, NULL);
}
