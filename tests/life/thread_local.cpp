// thread_local.cpp - C++ objects of a thread, whose destructors use the cache while that ends.
//
// Promises (section 9 of the contract): a destructor may free blocks, and get and use others, both
// before the cache itself has heard that the thread ends and afterwards; nothing is left behind:
// all goes back with empty_cache, and the next thread needs no more than the last one.

#include <pthread.h>

#include <atomic>
#include <cstdlib>

static std::atomic<long> device_bytes(0);  // given and not got back
static std::atomic<long> live(0);          // blocks of bookkeeping

static int device_alloc(size_t size, size_t align, void **ptr) {
  if (posix_memalign(ptr, align, size) != 0) return 1;
  device_bytes += static_cast<long>(size);
  return 0;
}

// Apart from the header's code: else a compiler that sees both takes the address of what was freed,
// which is told to on_error, for a use of it.
__attribute__((noinline)) static int device_free(void *ptr, size_t size) {
  device_bytes -= static_cast<long>(size);
  free(ptr);
  return 0;
}

static void *counted_malloc(size_t size) {
  live++;
  return malloc(size);
}

static void counted_free(void *ptr) {
  live--;
  free(ptr);
}

#define HOSTCACHE_MALLOC(size) counted_malloc(size)
#define HOSTCACHE_FREE(ptr) counted_free(ptr)

// An event is complete as soon as it is recorded.
#define HC_NAME pinned
#define HC_STREAM_T int
#define HC_EVENT_T int
#define HC_MEM_ALLOC(ctx, size, align, ptr) \
  ((void)(ctx), hostcache_map_memory(device_alloc(size, align, ptr), 0, 1, 1))
#define HC_MEM_FREE(ctx, ptr, size) ((void)(ctx), hostcache_map(device_free(ptr, size), 0, 0))
#define HC_EVENT_RECORD(ctx, event, stream) \
  ((void)(ctx), *(event) = (stream), hostcache_map(0, 0, 1))
#define HC_EVENT_QUERY(ctx, event) ((void)(ctx), (void)(event), hostcache_map(0, 0, 1))
#define HC_STATIC
#include "hostcache.h"

extern "C" {
#include "helpers.h"
}

static pinned *cache;
static std::atomic<int> known(0), unknown(0);  // destructors that ran before, and after

// Blocks of a thread, some of them in use. It may be destroyed on any other thread as well.
class holder {
 public:
  holder() {
    for (size_t i = 0; i < COUNT_OF(blocks); i++) {
      blocks[i] = get(3000 * (i + 1));
      if (i % 2 == 0) use(blocks[i]);
    }
  }

  ~holder() {
    (pinned_i_own(cache) != NULL ? known : unknown)++;
    for (void *block : blocks) put(block);
    void *more = get(20000);  // and needs the cache once more
    use(more);
    put(more);
    expect_or_abort(pinned_process_events(cache, NULL) == HOSTCACHE_OK);
    expect_or_abort(pinned_check(cache) == HOSTCACHE_OK);
  }

  static void *get(size_t size) {
    void *ptr = NULL;
    expect_or_abort(pinned_alloc(cache, size, &ptr) == HOSTCACHE_OK);
    return ptr;
  }
  static void put(void *ptr) { expect_or_abort(pinned_free(cache, ptr) == HOSTCACHE_OK); }
  static void use(void *ptr) {
    expect_or_abort(pinned_record_stream(cache, ptr, 1) == HOSTCACHE_OK);
  }

 private:
  void *blocks[8];
  holder(const holder &);
  holder &operator=(const holder &);
};

// The cache's own key was made with the cache. In each round the system takes a thread's keys in
// the order in which they were made, so that this one's turn comes when the cache has been told.
static pthread_key_t late_key;
extern "C" {
static void destroy_late(void *object) { delete static_cast<holder *>(object); }
}

static holder *of_the_thread() {
  static thread_local holder mine;
  return &mine;
}

extern "C" {
static void *with_an_object(void *) {
  expect_or_abort(of_the_thread() != NULL);
  return NULL;
}

static void *with_an_object_after_its_first_call(void *) {
  holder::put(holder::get(5000));
  expect_or_abort(of_the_thread() != NULL);
  return NULL;
}

static void *with_a_late_object(void *) {
  expect_or_abort(pthread_setspecific(late_key, new holder) == 0);
  return NULL;
}

static void *with_both(void *) {
  (void)with_a_late_object(NULL);
  return with_an_object(NULL);
}
}

static void run(void *(*body)(void *)) {
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, body, NULL), 0);
  assert_int_equal(pthread_join(thread, NULL), 0);
}

static hostcache_stats figures() {
  hostcache_stats stats;
  assert_int_equal(pinned_stats(cache, &stats), HOSTCACHE_OK);
  return stats;
}

static int open_a_cache(void **) {
  known = unknown = 0;
  if (pinned_create(&cache, NULL, NULL) != HOSTCACHE_OK) return -1;
  return pthread_key_create(&late_key, destroy_late);
}

static int nothing_is_left(void **) {
  assert_int_equal(pthread_key_delete(late_key), 0);
  assert_int_equal(pinned_check(cache), HOSTCACHE_OK);
  assert_int_equal(figures().allocation.current, 0);
  assert_int_equal(pinned_empty_cache(cache), HOSTCACHE_OK);
  assert_int_equal(figures().reserved_bytes.current, 0);
  assert_int_equal(device_bytes, 0);
  assert_int_equal(pinned_destroy(cache), HOSTCACHE_OK);
  assert_int_equal(live, 0);
  return 0;
}

// So many threads, one after the other, need no more bookkeeping than two.
static void end_threads(void *(*body)(void *)) {
  long after_two = 0;
  for (int i = 0; i < 20; i++) {
    if (i == 2) after_two = live;
    run(body);
    assert_int_equal(figures().allocation.current, 0);
  }
  assert_int_equal(live, after_two);
}

static void an_object_of_a_thread_may_free_its_blocks_while_that_ends(void **) {
  end_threads(with_an_object);
  end_threads(with_an_object_after_its_first_call);
  assert_int_equal(known + unknown, 40);
}

static void an_object_may_free_its_blocks_when_the_cache_has_heard_of_the_end(void **) {
  end_threads(with_a_late_object);
#ifdef __GLIBC__
  assert_int_equal(unknown, 20);
#endif
  assert_int_equal(known + unknown, 20);
}

static void objects_may_free_their_blocks_before_and_after(void **) {
  end_threads(with_both);
#ifdef __GLIBC__  // there thread_local objects come before all keys
  assert_int_equal(known, 20);
  assert_int_equal(unknown, 20);
#endif
  assert_int_equal(known + unknown, 40);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_a_cache, nothing_is_left)

int main() {
  const struct CMUnitTest tests[] = {
      TEST(an_object_of_a_thread_may_free_its_blocks_while_that_ends),
      TEST(an_object_may_free_its_blocks_when_the_cache_has_heard_of_the_end),
      TEST(objects_may_free_their_blocks_before_and_after),
  };
  return cmocka_run_group_tests_name("life.thread_local", tests, NULL, NULL);
}
