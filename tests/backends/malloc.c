/* The pack of backends/hostcache_malloc.h, over the C library's own memory.

   Promises checked: memory is malloc's, aligned as the config says, so that a block that left can
   be freed by plain free; what malloc gave can be freed through a cache where that was chosen, and
   is untouched where it was not; errno stays, and a failure has the C library's code; threads with
   a cache each free what they were passed. What is freed twice, wrongly or not at all, a sanitizer
   sees. */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define HOSTCACHE_IMPLEMENTATION

#define HC_NAME tensors
#include "backends/hostcache_malloc.h"
#include "hostcache.h"

#define HC_NAME passing
#define HC_MALLOC_FREES_FOREIGN
#include "backends/hostcache_malloc.h"
#include "hostcache.h"

#if defined HC_MALLOC_FREES_FOREIGN || defined HC_OWN_SEGMENTS || defined HC_FREE_FOREIGN
#error "a switch or a parameter outlived its inclusion"
#endif

#include "helpers.h"

/* That malloc fails is a part of the test. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "allocator_may_return_null=1"; }

static tensors *new_cache(size_t alignment, heard *ear) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  tensors *made;
  config.alignment = alignment;
  config.on_error = hear;
  config.on_error_user = ear;
  assert_ok(tensors_create(&made, &config, NULL));
  return made;
}

static void end_cache(tensors *of) {
  assert_ok(tensors_check(of));
  assert_ok(tensors_destroy(of));
}

static void memory_is_aligned_and_can_be_written(void **state) {
  static const size_t alignments[] = {0, 1, 2, 4, 8, 64, 4096, 1 << 21};
  heard ear = {0};
  size_t i, size;
  (void)state;
  for (i = 0; i < COUNT_OF(alignments); i++) {
    tensors *of = new_cache(alignments[i], &ear);
    const size_t align = alignments[i] > 0 ? alignments[i] : 64;
    for (size = 1; size < 3 * MIB; size = size * 7 + 3) {
      void *ptr;
      assert_ok(tensors_alloc(of, size, &ptr));
      assert_int_equal((uintptr_t)ptr % align, 0);
      memset(ptr, 0x5a, tensors_block_size(tensors_find(of, ptr)));
      assert_ok(tensors_free(of, ptr));
    }
    end_cache(of);
  }
  assert_int_equal(ear.count, 0);
}

static void a_block_that_left_is_freed_by_plain_free(void **state) {
  heard ear = {0};
  tensors *of = new_cache(0, &ear);
  char *ptr;
  (void)state;
  assert_ok(tensors_alloc(of, 1000, (void **)&ptr));
  strcpy(ptr, "outlives the cache");
  assert_ok(tensors_record_free(of, ptr));
  end_cache(of);
  assert_string_equal(ptr, "outlives the cache");
  hostcache_malloc_free(ptr);
#ifndef _WIN32
  of = new_cache(0, &ear);
  assert_ok(tensors_alloc(of, 1000, (void **)&ptr));
  assert_ok(tensors_record_free(of, ptr));
  free(ptr);
  end_cache(of);
#endif
}

/* As a deleter does that does not know where its tensor is from. */
static void free_tensor(void *ptr) {
  tensors *of = tensors_current();
  hostcache_result result = of != NULL ? tensors_free(of, ptr) : tensors_record_free(NULL, ptr);
  if (of != NULL && result == HOSTCACHE_OK) return;
  assert_one_of(result, ONE_OF(HOSTCACHE_OK) | ONE_OF(HOSTCACHE_ERR_NOT_FOUND));
  hostcache_malloc_free(ptr);
}

static void a_tensor_is_freed_whatever_is_current(void **state) {
  heard ear = {0};
  tensors *one = new_cache(0, &ear), *other = new_cache(0, &ear);
  hostcache_guard guard;
  hostcache_stats stats;
  void *ptrs[3];
  size_t i;
  (void)state;
  for (i = 0; i < COUNT_OF(ptrs); i++) assert_ok(tensors_alloc(one, 1000, &ptrs[i]));
  free_tensor(ptrs[0]); /* none is current: it leaves */
  assert_ok(tensors_guard_push(other, &guard));
  free_tensor(ptrs[1]); /* another one is: it goes back to its own */
  assert_ok(tensors_guard_pop(&guard));
  assert_ok(tensors_stats(one, &stats));
  assert_int_equal(stats.allocation.current, 1);
  assert_int_equal(stats.cached_bytes.current, 1024);
  assert_ok(tensors_guard_push(one, &guard));
  free_tensor(ptrs[2]);
  free_tensor(malloc(100)); /* no cache's: as plain free */
  assert_ok(tensors_guard_pop(&guard));
  free_tensor(malloc(100));
  end_cache(one);
  end_cache(other);
}

static void what_malloc_gave_is_freed_where_that_was_chosen(void **state) {
  passing *of;
  void *ptr;
  (void)state;
  assert_ok(passing_create(&of, NULL, NULL));
  assert_ok(passing_free(of, malloc(100)));
  assert_ok(passing_alloc(of, 100, &ptr));
  assert_ok(passing_free(of, ptr));
  assert_result(passing_free(of, ptr), HOSTCACHE_ERR_DOUBLE_FREE); /* is not passed on */
  assert_ok(passing_alloc(of, 100, &ptr));
  assert_result(passing_free(of, (char *)ptr + 16), HOSTCACHE_ERR_NOT_FOUND); /* nor is this */
  assert_ok(passing_free(of, ptr));
  assert_ok(passing_destroy(of));
}

static void what_malloc_gave_is_untouched_where_it_was_not(void **state) {
  heard ear = {0};
  tensors *of = new_cache(0, &ear);
  char *ptr = malloc(100);
  (void)state;
  assert_non_null(ptr);
  strcpy(ptr, "not ours");
  assert_result(tensors_free(of, ptr), HOSTCACHE_ERR_NOT_FOUND);
  assert_string_equal(ptr, "not ours");
  free(ptr);
  end_cache(of);
}

static void errno_stays_and_a_failure_has_its_code(void **state) {
  static volatile size_t too_much = (size_t)PTRDIFF_MAX / 4 * 3;
  heard ear = {0};
  tensors *of = new_cache(0, &ear);
  hostcache_stats stats;
  void *ptr;
  (void)state;
  assert_ok(tensors_alloc(of, 1000, &ptr));
  assert_ok(tensors_free(of, ptr));
  errno = EDOM;
  assert_result(tensors_alloc(of, too_much, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_int_equal(errno, EDOM);
  assert_null(ptr);
  assert_int_equal(ear.result, HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_int_equal(ear.code, ENOMEM);
  assert_ok(tensors_stats(of, &stats));
  assert_int_equal(stats.num_alloc_retries, 1);
  assert_int_equal(stats.reserved_bytes.current, 0); /* what was cached went back for it */
  hostcache_malloc_free(NULL);
  end_cache(of);
  assert_int_equal(errno, EDOM);
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { THREADS = 2, ROUNDS = 20000, PLACES = 16 };

static _Atomic(unsigned char *) places[PLACES];

/* A thread with a cache of its own. Of the blocks that it passes to others some have left before:
   whoever gets one need not know which. */
static void *work(void *user) {
  const unsigned char mark = (unsigned char)((size_t)user + 1);
  uint64_t seed = mark;
  hostcache_guard guard;
  tensors *own;
  int i;
  expect_or_abort(tensors_create(&own, NULL, NULL) == HOSTCACHE_OK);
  expect_or_abort(tensors_guard_push(own, &guard) == HOSTCACHE_OK);
  for (i = 0; i < ROUNDS; i++) {
    const size_t size = 100 * (1 + random_below(&seed, 5));
    unsigned char *ptr;
    expect_or_abort(tensors_alloc(tensors_current(), size, (void **)&ptr) == HOSTCACHE_OK);
    ptr[0] = ptr[size - 1] = mark;
    if (random_below(&seed, 4) > 0) {
      expect_or_abort(tensors_free(tensors_current(), ptr) == HOSTCACHE_OK);
      continue;
    }
    if (random_below(&seed, 2) > 0)
      expect_or_abort(tensors_record_free(tensors_current(), ptr) == HOSTCACHE_OK);
    ptr = atomic_exchange(&places[random_below(&seed, PLACES)], ptr);
    if (ptr == NULL) continue;
    expect_or_abort(ptr[0] > 0 && ptr[0] <= THREADS);
    if (tensors_free(tensors_current(), ptr) == HOSTCACHE_ERR_NOT_FOUND) /* it left before */
      hostcache_malloc_free(ptr);
  }
  expect_or_abort(tensors_guard_pop(&guard) == HOSTCACHE_OK);
  return own;
}

static void threads_free_what_they_were_passed(void **state) {
  pthread_t threads[THREADS];
  void *caches[THREADS];
  size_t i;
  (void)state;
  for (i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)i), 0);
  for (i = 0; i < THREADS; i++) pthread_join(threads[i], &caches[i]);
  for (i = 0; i < PLACES; i++) {
    void *ptr = atomic_exchange(&places[i], NULL);
    if (tensors_free(caches[0], ptr) == HOSTCACHE_ERR_NOT_FOUND) hostcache_malloc_free(ptr);
  }
  for (i = 0; i < THREADS; i++) end_cache(caches[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(memory_is_aligned_and_can_be_written),
      cmocka_unit_test(a_block_that_left_is_freed_by_plain_free),
      cmocka_unit_test(a_tensor_is_freed_whatever_is_current),
      cmocka_unit_test(what_malloc_gave_is_freed_where_that_was_chosen),
      cmocka_unit_test(what_malloc_gave_is_untouched_where_it_was_not),
      cmocka_unit_test(errno_stays_and_a_failure_has_its_code),
      cmocka_unit_test(threads_free_what_they_were_passed),
  };
  return cmocka_run_group_tests_name("malloc", tests, NULL, NULL);
}
