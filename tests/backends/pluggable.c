/* The pluggable allocator of backends/hostcache_pluggable.h, over functions that write down what
   they are told, and over the CPU backend.

   Promises checked: each allocation is one call of alloc and each delete one of free, with the same
   size, device and stream; what the functions fail, and what the caller does wrong, is told and
   harmless; figures, cap, snapshot, history, observers and checkpoints work, which the original
   refuses; pools keep what is deleted, for the stream that it is of alone; the current allocator is
   not changed once it has allocated; two processes share memory by a handle. */

#include <errno.h>
#include <pthread.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/below.h"

#define HOSTCACHE_PLUGGABLE_IMPLEMENTATION
#include "backends/hostcache_pluggable.h"
#include "hostcache.h"

#include "backends/hostcache_pluggable.h"

#define HOSTCACHE_CPU_IMPLEMENTATION
#define HOSTCACHE_IMPLEMENTATION
#define HC_NAME staging
#include "backends/hostcache_cpu.h"
#include "hostcache.h"

#if defined HC_NAME || defined HC_OWN_SEGMENTS || defined HOSTCACHE_PLUGGABLE_BETWEEN
#error "a switch or a parameter outlived its inclusion"
#endif

#include "helpers.h"

/* ---- functions that write down what they are told -------------------------------------------- */

enum { /* one bit for each of those that can fail */
       FREE = 1,
       INIT = 2,
       RESET = 4,
       FRACTION = 8,
       RECORD = 16,
       BEGIN = 32,
       END = 64,
       RELEASE = 128,
       INFO = 256,
       SHARE = 512,
       OPEN = 1024,
       CLOSE = 2048,
       PEER = 4096,
       COPY = 8192,
       COPY_DATA = 16384
};

enum { MOST_LIVE = 64, FAILURE = 77 };

typedef struct live_block {
  void *ptr;
  size_t size;
  int device;
  void *stream;
} live_block;

typedef struct recorder {
  live_block live[MOST_LIVE]; /* what alloc gave and free did not get */
  size_t allocs, frees, others;
  int no_memory;    /* alloc gives none */
  void *next;       /* alloc gives this, once */
  unsigned failing; /* which functions fail */
  int device, peer, device_count;
  void *stream, *ptr;
  size_t size;
  double fraction;
  hostcache_pool_id pool;
  unsigned last; /* which function was called */
  hostcache_pluggable *allocator;
  void (*inside)(struct recorder *r); /* called in alloc, free and init, once */
} recorder;

static hostcache_status told(recorder *r, unsigned which) {
  r->others++;
  r->last = which;
  return r->failing & which ? hostcache_failed(FAILURE) : hostcache_done();
}

static void call_inside(recorder *r) {
  void (*inside)(recorder *) = r->inside;
  r->inside = NULL;
  if (inside) inside(r);
}

static void *rec_alloc(void *user, size_t size, int device, void *stream) {
  recorder *r = user;
  size_t i = 0;
  void *ptr = r->next;
  call_inside(r);
  r->allocs++;
  if (r->no_memory) return NULL;
  r->next = NULL;
  if (ptr == NULL) ptr = malloc(size);
  while (r->live[i].ptr != NULL) i++;
  assert_true(i < MOST_LIVE);
  r->live[i].ptr = ptr;
  r->live[i].size = size;
  r->live[i].device = device;
  r->live[i].stream = stream;
  return ptr;
}

static hostcache_status rec_free(void *user, void *ptr, size_t size, int device, void *stream) {
  recorder *r = user;
  size_t i = 0;
  call_inside(r);
  r->frees++;
  if (r->failing & FREE) return hostcache_failed(FAILURE);
  while (i < MOST_LIVE && r->live[i].ptr != ptr) i++;
  assert_true(i < MOST_LIVE); /* nothing is freed that was not given, or twice */
  assert_int_equal(r->live[i].size, size);
  assert_int_equal(r->live[i].device, device);
  assert_ptr_equal(r->live[i].stream, stream);
  r->live[i].ptr = NULL;
  free(ptr);
  return hostcache_done();
}

static hostcache_status rec_init(void *user, int device_count) {
  recorder *r = user;
  call_inside(r);
  r->device_count = device_count;
  return told(r, INIT);
}

static hostcache_status rec_reset(void *user) { return told(user, RESET); }

static hostcache_status rec_fraction(void *user, double fraction, int device) {
  recorder *r = user;
  r->fraction = fraction;
  r->device = device;
  return told(r, FRACTION);
}

static void *rec_base(void *user, void *ptr, size_t *size) {
  recorder *r = user;
  *size = r->size;
  return (char *)ptr >= (char *)r->ptr && (char *)ptr < (char *)r->ptr + r->size ? r->ptr : NULL;
}

static hostcache_status rec_record(void *user, void *ptr, void *stream) {
  recorder *r = user;
  r->ptr = ptr;
  r->stream = stream;
  return told(r, RECORD);
}

static hostcache_status rec_begin(void *user, int device, hostcache_pool_id pool,
                                  hostcache_stream_filter filter, void *filter_user) {
  recorder *r = user;
  (void)filter;
  r->device = device;
  r->pool = pool;
  r->ptr = filter_user;
  return told(r, BEGIN);
}

static hostcache_status rec_end(void *user, int device, hostcache_pool_id pool) {
  recorder *r = user;
  r->device = device;
  r->pool = pool;
  return told(r, END);
}

static hostcache_status rec_release(void *user, int device, hostcache_pool_id pool) {
  recorder *r = user;
  r->device = device;
  r->pool = pool;
  return told(r, RELEASE);
}

static int rec_device(void *user) { return ((recorder *)user)->device; }

static void *rec_stream(void *user, int device) {
  return device == ((recorder *)user)->device ? ((recorder *)user)->stream : NULL;
}

static hostcache_status rec_info(void *user, int device, size_t *free_bytes, size_t *total_bytes) {
  recorder *r = user;
  *free_bytes = 400;
  *total_bytes = device == 0 ? 1000 : 2000;
  return r->failing & INFO ? hostcache_failed(FAILURE) : hostcache_done();
}

static hostcache_status rec_share(void *user, void *base, size_t size, int device, void *bytes) {
  recorder *r = user;
  r->size = size;
  r->device = device;
  memcpy(bytes, &base, sizeof base);
  return told(r, SHARE);
}

static hostcache_status rec_open(void *user, const void *bytes, int device, void **base) {
  recorder *r = user;
  r->device = device;
  memcpy(base, bytes, sizeof *base);
  return told(r, OPEN);
}

static hostcache_status rec_close(void *user, void *base, int device) {
  recorder *r = user;
  r->ptr = base;
  r->device = device;
  return told(r, CLOSE);
}

static hostcache_status rec_peer(void *user, int device, int peer) {
  recorder *r = user;
  r->device = device;
  r->peer = peer;
  return told(r, PEER);
}

static hostcache_status rec_copy(void *user, void *to, int to_device, const void *from,
                                 int from_device, size_t count, void *stream, int peer_to_peer) {
  recorder *r = user;
  memcpy(to, from, count);
  r->device = to_device * 100 + from_device * 10 + peer_to_peer;
  r->stream = stream;
  return told(r, COPY);
}

static hostcache_status rec_copy_data(void *user, void *to, const void *from, size_t count) {
  memcpy(to, from, count);
  return told(user, COPY_DATA);
}

static hostcache_pluggable_functions few_functions(recorder *r) {
  hostcache_pluggable_functions f;
  memset(&f, 0, sizeof f);
  f.user = r;
  f.alloc = rec_alloc;
  f.free = rec_free;
  return f;
}

static hostcache_pluggable_functions all_functions(recorder *r) {
  hostcache_pluggable_functions f = few_functions(r);
  f.init = rec_init;
  f.reset = rec_reset;
  f.memory_fraction = rec_fraction;
  f.base_alloc = rec_base;
  f.record_stream = rec_record;
  f.begin_allocate_to_pool = rec_begin;
  f.end_allocate_to_pool = rec_end;
  f.release_pool = rec_release;
  f.current_device = rec_device;
  f.current_stream = rec_stream;
  f.memory_info = rec_info;
  f.share = rec_share;
  f.open = rec_open;
  f.close = rec_close;
  f.enable_peer_access = rec_peer;
  f.copy_async = rec_copy;
  f.copy_data = rec_copy_data;
  return f;
}

/* ---- the rig: an allocator with few functions, and one with all ------------------------------ */

typedef struct rig {
  recorder few_told, all_told;
  heard ear;
  hostcache_pluggable *few, *all;
} rig;

static char streams[4]; /* the addresses are streams */
#define STREAM(i) ((void *)&streams[i])

static int rig_open(void **state) {
  rig *r = calloc(1, sizeof *r);
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  hostcache_pluggable_functions few, all;
  assert_non_null(r);
  few = few_functions(&r->few_told);
  all = all_functions(&r->all_told);
  config.on_error = hear;
  config.on_error_user = &r->ear;
  assert_ok(hostcache_pluggable_create(&r->few, &few, &config));
  assert_ok(hostcache_pluggable_create(&r->all, &all, &config));
  r->few_told.allocator = r->few;
  r->all_told.allocator = r->all;
  *state = r;
  return 0;
}

static int rig_close(void **state) {
  rig *r = *state;
  assert_ok(hostcache_pluggable_check(r->few));
  assert_ok(hostcache_pluggable_check(r->all));
  assert_ok(hostcache_pluggable_destroy(r->few));
  assert_ok(hostcache_pluggable_destroy(r->all));
  assert_null(hostcache_pluggable_get_current());
  assert_int_equal(below.live, 0);
  free(r);
  return 0;
}

static void *take(hostcache_pluggable *a, size_t size, int device, void *stream) {
  void *ptr;
  assert_ok(hostcache_pluggable_malloc(a, size, device, stream, &ptr));
  assert_non_null(ptr);
  return ptr;
}

static hostcache_pool_id pool_id(uint64_t first) {
  hostcache_pool_id pool;
  pool.first = first;
  pool.second = 9;
  return pool;
}

static hostcache_stats stats_of(hostcache_pluggable *a, int device) {
  hostcache_stats stats;
  assert_ok(hostcache_pluggable_get_stats(a, device, &stats));
  return stats;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void each_allocation_is_one_call_with_its_own_size(void **state) {
  static const size_t sizes[] = {1, 3, 64, 1000, 4095, 4097, 100003, 2 * MIB + 1};
  rig *r = *state;
  recorder *t = &r->few_told;
  size_t i, round;
  for (round = 0; round < 2; round++) {
    for (i = 0; i < COUNT_OF(sizes); i++) {
      const size_t allocs = t->allocs, frees = t->frees;
      void *ptr = take(r->few, sizes[i], (int)i % 3, STREAM(i % 4));
      assert_int_equal(t->allocs, allocs + 1);
      assert_ptr_equal(t->live[0].ptr, ptr);
      assert_int_equal(t->live[0].size, sizes[i]);
      assert_int_equal(t->live[0].device, i % 3);
      assert_ptr_equal(t->live[0].stream, STREAM(i % 4));
      assert_ok(hostcache_pluggable_raw_delete(r->few, ptr)); /* free compares */
      assert_int_equal(t->frees, frees + 1);
    }
  }
  assert_int_equal(r->ear.count, 0);
}

static void nothing_is_asked_for_nothing(void **state) {
  rig *r = *state;
  void *ptr = r;
  assert_ok(hostcache_pluggable_malloc(r->few, 0, 0, NULL, &ptr));
  assert_null(ptr);
  assert_ok(hostcache_pluggable_raw_delete(r->few, NULL));
  assert_int_equal(r->few_told.allocs + r->few_told.frees, 0);
  assert_false(hostcache_pluggable_initialized(r->few));
}

static void sizes_are_rounded_where_the_config_says_so(void **state) {
  rig *r = *state;
  hostcache_pluggable_functions f = few_functions(&r->few_told);
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  hostcache_pluggable *a;
  void *ptr;
  config.alignment = 256;
  assert_ok(hostcache_pluggable_create(&a, &f, &config));
  ptr = aligned_alloc(256, 1024);
  r->few_told.next = ptr;
  assert_ptr_equal(take(a, 1000, 0, NULL), ptr);
  assert_int_equal(r->few_told.live[0].size, 1024);
  assert_ok(hostcache_pluggable_raw_delete(a, ptr));
  assert_ok(hostcache_pluggable_destroy(a));
}

static void raw_alloc_is_on_the_current_device_and_stream(void **state) {
  rig *r = *state;
  recorder *t = &r->all_told;
  void *ptr;
  t->device = 2;
  t->stream = STREAM(1);
  assert_ok(hostcache_pluggable_raw_alloc(r->all, 10, &ptr));
  assert_int_equal(t->live[0].device, 2);
  assert_ptr_equal(t->live[0].stream, STREAM(1));
  assert_ok(hostcache_pluggable_raw_delete(r->all, ptr));
  assert_ok(hostcache_pluggable_raw_alloc_with_stream(r->all, 10, STREAM(3), &ptr));
  assert_int_equal(t->live[0].device, 2);
  assert_ptr_equal(t->live[0].stream, STREAM(3));
  assert_ok(hostcache_pluggable_raw_delete(r->all, ptr));
  assert_ok(hostcache_pluggable_raw_alloc(r->few, 10, &ptr)); /* which has no such functions */
  assert_int_equal(r->few_told.live[0].device, 0);
  assert_null(r->few_told.live[0].stream);
  assert_ok(hostcache_pluggable_raw_delete(r->few, ptr));
}

static void a_deleter_needs_the_pointer_alone(void **state) {
  rig *r = *state;
  hostcache_pluggable_data data;
  void *ptr;
  r->all_told.device = 1;
  r->all_told.stream = STREAM(2);
  assert_ok(hostcache_pluggable_allocate(r->all, 100, &data));
  assert_int_equal(data.device, 1);
  assert_ptr_equal(r->all_told.live[0].stream, STREAM(2));
  data.deleter(data.ptr);
  assert_int_equal(r->all_told.frees, 1);
  ptr = take(r->few, 100, 5, STREAM(1)); /* that of one allocator deletes what another one gave */
  hostcache_pluggable_raw_deleter(r->all)(ptr);
  assert_int_equal(r->few_told.frees, 1);
  hostcache_pluggable_raw_deleter(r->all)(NULL);
  assert_null(hostcache_pluggable_raw_deleter(NULL));
}

static void a_deleter_tells_the_current_allocator_what_it_does_not_know(void **state) {
  rig *r = *state;
  hostcache_pluggable_deleter deleter = hostcache_pluggable_raw_deleter(r->few);
  char *ptr = take(r->few, 100, 0, NULL);
  deleter(&streams[0]);
  assert_int_equal(r->ear.count, 0); /* nobody is there to hear */
  assert_ok(hostcache_pluggable_change_current(r->all));
  deleter(&streams[0]);
  assert_int_equal(r->ear.result, HOSTCACHE_ERR_NOT_FOUND);
  assert_ptr_equal(r->ear.ptr, &streams[0]);
  deleter(ptr + 1); /* inside of a block */
  assert_int_equal(r->ear.count, 2);
  deleter(ptr);
  deleter(ptr); /* twice */
  assert_int_equal(r->ear.count, 3);
  assert_int_equal(r->few_told.frees, 1);
  assert_ok(hostcache_pluggable_change_current(NULL));
}

static void what_is_not_handed_out_is_told(void **state) {
  rig *r = *state;
  char *ptr = take(r->few, 100, 0, NULL), *other = take(r->all, 100, 0, NULL);
  hostcache_pluggable_info info;
  void *base;
  assert_result(hostcache_pluggable_raw_delete(r->few, &streams[0]), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(hostcache_pluggable_raw_delete(r->few, ptr + 1), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(hostcache_pluggable_raw_delete(r->few, other), HOSTCACHE_ERR_NOT_FOUND);
  assert_int_equal(r->few_told.frees + r->all_told.frees, 0);
  assert_ok(hostcache_pluggable_raw_delete(r->few, ptr));
  assert_result(hostcache_pluggable_raw_delete(r->few, ptr), HOSTCACHE_ERR_NOT_FOUND);
  assert_int_equal(r->few_told.frees, 1);
  assert_ok(hostcache_pluggable_raw_delete(r->all, other));
  assert_result(hostcache_pluggable_get_info(r->few, ptr, &info), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(hostcache_pluggable_get_base_allocation(r->few, ptr, &base, NULL),
                HOSTCACHE_ERR_NOT_FOUND);
  assert_result(hostcache_pluggable_get_base_allocation(r->few, NULL, &base, NULL),
                HOSTCACHE_ERR_NOT_FOUND);
  assert_result(hostcache_pluggable_record_stream(r->few, ptr, NULL), HOSTCACHE_ERR_NOT_FOUND);
}

static void the_bookkeeping_tells_size_device_and_stream(void **state) {
  rig *r = *state;
  hostcache_pluggable_info info;
  char *ptr = take(r->few, 1001, 3, STREAM(2));
  void *base;
  size_t size;
  assert_ok(hostcache_pluggable_get_info(r->few, ptr + 1000, &info));
  assert_ptr_equal(info.base, ptr);
  assert_int_equal(info.size, 1001);
  assert_int_equal(info.device, 3);
  assert_ptr_equal(info.stream, STREAM(2));
  assert_result(hostcache_pluggable_get_info(r->few, ptr + 1001, &info), HOSTCACHE_ERR_NOT_FOUND);
  assert_null(info.base);
  assert_ok(hostcache_pluggable_get_base_allocation(r->few, ptr + 10, &base, &size));
  assert_ptr_equal(base, ptr);
  assert_int_equal(size, 1001);
  assert_ok(hostcache_pluggable_raw_delete(r->few, ptr));
}

static void the_function_for_it_says_what_memory_is_a_part_of(void **state) {
  static char arena[1000];
  rig *r = *state;
  recorder *t = &r->all_told;
  void *base;
  size_t size;
  t->ptr = arena;
  t->size = sizeof arena;
  assert_ok(hostcache_pluggable_get_base_allocation(r->all, arena + 500, &base, &size));
  assert_ptr_equal(base, arena);
  assert_int_equal(size, sizeof arena);
  assert_result(hostcache_pluggable_get_base_allocation(r->all, arena + 1000, &base, &size),
                HOSTCACHE_ERR_NOT_FOUND);
  assert_null(base);
  assert_int_equal(size, 0);
}

static void note_oom(void *user, const hostcache_oom *oom) { *(hostcache_oom *)user = *oom; }

static void want_of_memory_is_asked_for_once_and_observers_hear(void **state) {
  rig *r = *state;
  hostcache_oom seen;
  void *ptr = r;
  memset(&seen, 0, sizeof seen);
  assert_ok(hostcache_pluggable_attach_oom_observer(r->few, 1, note_oom, &seen));
  r->few_told.no_memory = 1;
  assert_result(hostcache_pluggable_malloc(r->few, 100, 1, NULL, &ptr),
                HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_null(ptr);
  assert_int_equal(r->few_told.allocs, 1);
  assert_int_equal(seen.result, HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_int_equal(seen.requested, 100);
  assert_int_equal(r->ear.result, HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_int_equal(stats_of(r->few, 1).num_ooms, 1);
  assert_false(hostcache_pluggable_initialized(r->few));
  r->few_told.no_memory = 0; /* and the next one is a call again */
  assert_ok(hostcache_pluggable_raw_delete(r->few, take(r->few, 100, 1, NULL)));
  assert_int_equal(r->few_told.allocs, 2);
  assert_result(hostcache_pluggable_malloc(r->few, SIZE_MAX, 1, NULL, &ptr), HOSTCACHE_ERR_TOO_BIG);
  assert_int_equal(r->few_told.allocs, 2);
}

static void memory_that_is_handed_out_already_is_corrupt(void **state) {
  rig *r = *state;
  char *ptr = take(r->few, 100, 0, NULL);
  void *again;
  r->few_told.next = ptr + 50;
  r->few_told.failing = FREE; /* it is given back, and here that must not reach free() */
  assert_result(hostcache_pluggable_malloc(r->few, 100, 0, NULL, &again), HOSTCACHE_ERR_CORRUPT);
  assert_null(again);
  r->few_told.failing = 0;
  r->few_told.live[1].ptr = NULL;
  assert_ok(hostcache_pluggable_raw_delete(r->few, ptr));
}

/* While alloc runs for stream 0, it allocates for stream 1 and deletes that again. */
static void allocate_inside(recorder *r) {
  void *ptr = take(r->allocator, 30, 2, STREAM(1));
  assert_ptr_equal(r->live[0].stream, STREAM(1));
  assert_int_equal(r->live[0].device, 2);
  assert_ok(hostcache_pluggable_raw_delete(r->allocator, ptr));
}

static void a_function_may_call_the_allocator(void **state) {
  rig *r = *state;
  void *ptr;
  r->few_told.inside = allocate_inside;
  ptr = take(r->few, 20, 1, STREAM(0));
  assert_int_equal(r->few_told.allocs, 2);
  assert_ptr_equal(r->few_told.live[0].stream, STREAM(0));
  assert_int_equal(r->few_told.live[0].device, 1);
  assert_ok(hostcache_pluggable_raw_delete(r->few, ptr));
}

static void allocate_inside_and_have_none(recorder *r) {
  allocate_inside(r);
  r->no_memory = 1;
}

static void a_function_that_called_the_allocator_may_have_no_memory(void **state) {
  rig *r = *state;
  void *ptr;
  r->few_told.inside = allocate_inside_and_have_none;
  assert_result(hostcache_pluggable_malloc(r->few, 20, 1, STREAM(0), &ptr),
                HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_null(ptr);
  assert_int_equal(r->few_told.allocs, 2);
}

static void who_uses_memory_is_told(void **state) {
  rig *r = *state;
  char *few = take(r->few, 100, 0, STREAM(0)), *all = take(r->all, 100, 0, STREAM(0));
  assert_ok(hostcache_pluggable_record_stream(r->few, few, STREAM(0)));
  assert_result(hostcache_pluggable_record_stream(r->few, few, STREAM(1)),
                HOSTCACHE_ERR_UNSUPPORTED);
  assert_ok(hostcache_pluggable_record_stream(r->all, all + 50, STREAM(1)));
  assert_int_equal(r->all_told.last, RECORD);
  assert_ptr_equal(r->all_told.ptr, all + 50);
  assert_ptr_equal(r->all_told.stream, STREAM(1));
  r->all_told.failing = RECORD;
  assert_result(hostcache_pluggable_record_stream(r->all, all, STREAM(1)), HOSTCACHE_ERR_HOOK);
  assert_int_equal(r->ear.code, FAILURE);
  assert_int_equal(r->all_told.others, 2);
  assert_result(hostcache_pluggable_record_stream(r->all, few, STREAM(1)), HOSTCACHE_ERR_NOT_FOUND);
  assert_int_equal(r->all_told.others, 2); /* is not told of what is not its own */
  assert_ok(hostcache_pluggable_raw_delete(r->few, few));
  assert_ok(hostcache_pluggable_raw_delete(r->all, all));
}

static void a_failed_free_is_counted_as_leaked(void **state) {
  rig *r = *state;
  hostcache_pluggable_functions f = few_functions(&r->few_told);
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  hostcache_pluggable *a;
  void *ptr;
  config.on_error = hear;
  config.on_error_user = &r->ear;
  assert_ok(hostcache_pluggable_create(&a, &f, &config));
  ptr = take(a, 100, 0, NULL);
  r->few_told.failing = FREE;
  assert_ok(hostcache_pluggable_raw_delete(a, ptr));
  assert_int_equal(r->ear.code, FAILURE);
  assert_int_equal(stats_of(a, 0).leaked_bytes.current, 100);
  assert_result(hostcache_pluggable_destroy(a), HOSTCACHE_ERR_LEAKED);
  r->few_told.live[0].ptr = NULL;
  free(ptr);
}

static void bytes_are_copied(void **state) {
  rig *r = *state;
  char from[] = "bytes", to[6] = "";
  assert_ok(hostcache_pluggable_copy_data(r->few, to, from, 6));
  assert_string_equal(to, "bytes");
  assert_int_equal(r->few_told.others, 0);
  from[0] = 'B';
  assert_ok(hostcache_pluggable_copy_data(r->all, to, from, 6));
  assert_string_equal(to, "Bytes");
  assert_int_equal(r->all_told.last, COPY_DATA);
  assert_ok(hostcache_pluggable_copy_data(r->all, NULL, NULL, 0));
  assert_result(hostcache_pluggable_copy_data(r->all, NULL, from, 6), HOSTCACHE_ERR_ARGUMENT);
  from[0] = 'b';
  assert_ok(hostcache_pluggable_copy_async(r->all, to, 1, from, 2, 6, STREAM(3), 1));
  assert_string_equal(to, "bytes");
  assert_int_equal(r->all_told.device, 121);
  assert_ptr_equal(r->all_told.stream, STREAM(3));
  r->all_told.failing = COPY | COPY_DATA;
  assert_result(hostcache_pluggable_copy_async(r->all, to, 1, from, 2, 6, NULL, 0),
                HOSTCACHE_ERR_HOOK);
  assert_result(hostcache_pluggable_copy_data(r->all, to, from, 6), HOSTCACHE_ERR_HOOK);
  assert_result(hostcache_pluggable_copy_async(r->few, to, 0, from, 0, 6, NULL, 0),
                HOSTCACHE_ERR_UNSUPPORTED);
  assert_result(hostcache_pluggable_copy_async(r->all, to, -1, from, 0, 6, NULL, 0),
                HOSTCACHE_ERR_ARGUMENT);
  assert_result(hostcache_pluggable_copy_async(r->all, to, 0, NULL, 0, 6, NULL, 0),
                HOSTCACHE_ERR_ARGUMENT);
}

static void peer_access_is_passed_on(void **state) {
  rig *r = *state;
  assert_ok(hostcache_pluggable_enable_peer_access(r->all, 1, 3));
  assert_int_equal(r->all_told.device, 1);
  assert_int_equal(r->all_told.peer, 3);
  assert_result(hostcache_pluggable_enable_peer_access(r->all, 1, 1), HOSTCACHE_ERR_ARGUMENT);
  assert_result(hostcache_pluggable_enable_peer_access(r->all, 1, 128), HOSTCACHE_ERR_ARGUMENT);
  assert_int_equal(r->all_told.others, 1);
  r->all_told.failing = PEER;
  assert_result(hostcache_pluggable_enable_peer_access(r->all, 1, 3), HOSTCACHE_ERR_HOOK);
  assert_result(hostcache_pluggable_enable_peer_access(r->few, 1, 3), HOSTCACHE_ERR_UNSUPPORTED);
}

/* ---- an allocator ---------------------------------------------------------------------------- */

static size_t simple_calls;

static void *simple_alloc(size_t size, int device, void *stream) {
  simple_calls += device == 1 && stream == STREAM(1);
  return malloc(size);
}

static void simple_free(void *ptr, size_t size, int device, void *stream) {
  simple_calls += size == 33 && device == 1 && stream == STREAM(1);
  free(ptr);
}

static void two_functions_are_enough(void **state) {
  rig *r = *state;
  hostcache_pluggable_functions f;
  hostcache_pluggable *a;
  simple_calls = 0;
  assert_result(hostcache_pluggable_create_custom(&a, simple_alloc, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_null(a);
  assert_ok(hostcache_pluggable_create_custom(&a, simple_alloc, simple_free));
  assert_string_equal(hostcache_pluggable_name(a), "pluggable");
  assert_ok(hostcache_pluggable_raw_delete(a, take(a, 33, 1, STREAM(1))));
  assert_int_equal(simple_calls, 2);
  assert_ok(hostcache_pluggable_get_functions(a, &f)); /* others are set later */
  assert_null(f.alloc);
  f.user = &r->few_told;
  f.reset = rec_reset;
  assert_ok(hostcache_pluggable_set_functions(a, &f));
  assert_ok(hostcache_pluggable_empty_cache(a, (hostcache_pool_id){0, 0}));
  assert_int_equal(r->few_told.last, RESET);
  assert_ok(hostcache_pluggable_raw_delete(a, take(a, 33, 1, STREAM(1))));
  assert_int_equal(simple_calls, 4);
  assert_ok(hostcache_pluggable_destroy(a));
}

static void functions_may_be_set_at_any_time(void **state) {
  rig *r = *state;
  recorder other;
  hostcache_pluggable_functions f, seen;
  void *ptr = take(r->few, 100, 0, STREAM(0));
  memset(&other, 0, sizeof other);
  f = few_functions(&other);
  other.live[0] = r->few_told.live[0]; /* whose block it is to free */
  r->few_told.live[0].ptr = NULL;
  assert_ok(hostcache_pluggable_set_functions(r->few, &f));
  assert_ok(hostcache_pluggable_get_functions(r->few, &seen));
  assert_memory_equal(&f, &seen, sizeof f);
  assert_ok(hostcache_pluggable_raw_delete(r->few, ptr));
  assert_int_equal(other.frees, 1);
  f.alloc = NULL;
  assert_result(hostcache_pluggable_set_functions(r->few, &f), HOSTCACHE_ERR_ARGUMENT);
  f.free = NULL;
  assert_result(hostcache_pluggable_set_functions(r->few, &f), HOSTCACHE_ERR_ARGUMENT);
  assert_ok(hostcache_pluggable_get_functions(r->few, &seen));
  assert_true(seen.alloc == rec_alloc);
}

static void a_copy_has_the_functions_and_not_the_memory(void **state) {
  rig *r = *state;
  void *ptr = take(r->all, 100, 0, STREAM(0)), *copied;
  hostcache_pluggable *copy;
  assert_ok(hostcache_pluggable_copy(&copy, r->all));
  assert_false(hostcache_pluggable_initialized(copy));
  assert_result(hostcache_pluggable_raw_delete(copy, ptr), HOSTCACHE_ERR_NOT_FOUND);
  copied = take(copy, 50, 1, STREAM(1));
  assert_int_equal(r->all_told.allocs, 2);
  assert_ok(hostcache_pluggable_raw_delete(r->all, ptr));
  assert_result(hostcache_pluggable_destroy(copy), HOSTCACHE_ERR_BUSY);
  assert_ok(hostcache_pluggable_raw_delete(copy, copied));
  r->all_told.no_memory = 1; /* the config, too: who hears of errors */
  assert_result(hostcache_pluggable_malloc(copy, 1, 0, NULL, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_int_equal(r->ear.count, 1);
  assert_ok(hostcache_pluggable_destroy(copy));
}

static void what_is_in_use_is_not_destroyed(void **state) {
  rig *r = *state;
  hostcache_pluggable_functions f = few_functions(&r->few_told);
  hostcache_pluggable *a;
  void *first, *second;
  assert_ok(hostcache_pluggable_create(&a, &f, NULL));
  first = take(a, 10, 0, NULL);
  second = take(a, 10, 7, NULL);
  assert_ok(hostcache_pluggable_raw_delete(a, first));
  assert_result(hostcache_pluggable_destroy(a), HOSTCACHE_ERR_BUSY);
  assert_ok(hostcache_pluggable_raw_delete(a, take(a, 10, 0, NULL))); /* it goes on */
  assert_ok(hostcache_pluggable_raw_delete(a, second));
  assert_ok(hostcache_pluggable_destroy(a));
}

static void abandoned_it_calls_nothing(void **state) {
  rig *r = *state;
  hostcache_pluggable_functions f = all_functions(&r->all_told);
  hostcache_pluggable_handle handle;
  hostcache_pluggable *a;
  void *ptr, *kept, *opened;
  assert_ok(hostcache_pluggable_create(&a, &f, NULL));
  ptr = take(a, 10, 0, NULL);
  assert_ok(hostcache_pluggable_begin_allocate_to_pool(a, 0, pool_id(1), NULL, NULL));
  kept = take(a, 10, 0, NULL);
  assert_ok(hostcache_pluggable_raw_delete(a, kept));
  r->all_told.ptr = ptr; /* base_alloc's */
  r->all_told.size = 10;
  assert_ok(hostcache_pluggable_share_handle(a, ptr, &handle));
  assert_ok(hostcache_pluggable_open_handle(a, &handle, &opened));
  hostcache_pluggable_abandon(a);
  assert_int_equal(r->all_told.frees, 0);
  hostcache_pluggable_abandon(NULL);
  free(ptr);
  free(kept);
  memset(r->all_told.live, 0, sizeof r->all_told.live);
}

static void init_again(recorder *r) {
  assert_result(hostcache_pluggable_init(r->allocator, 2), HOSTCACHE_ERR_BUSY);
}

static void init_is_told_once(void **state) {
  rig *r = *state;
  recorder *t = &r->all_told;
  void *ptr;
  assert_false(hostcache_pluggable_initialized(r->all));
  t->failing = INIT;
  assert_result(hostcache_pluggable_init(r->all, 2), HOSTCACHE_ERR_HOOK);
  assert_false(hostcache_pluggable_initialized(r->all));
  t->failing = 0;
  t->inside = init_again;
  assert_ok(hostcache_pluggable_init(r->all, 2));
  assert_true(hostcache_pluggable_initialized(r->all));
  assert_int_equal(t->device_count, 2);
  assert_int_equal(t->others, 2);
  assert_ok(hostcache_pluggable_init(r->all, 2));
  assert_ok(hostcache_pluggable_init(r->all, 1));
  assert_int_equal(t->others, 2);
  assert_result(hostcache_pluggable_malloc(r->all, 1, 2, NULL, &ptr), HOSTCACHE_ERR_ARGUMENT);
  assert_ok(hostcache_pluggable_init(r->all, 3));
  assert_int_equal(t->device_count, 3);
  assert_ok(hostcache_pluggable_raw_delete(r->all, take(r->all, 1, 2, NULL)));
  assert_result(hostcache_pluggable_init(r->all, 0), HOSTCACHE_ERR_ARGUMENT);
  assert_result(hostcache_pluggable_init(r->all, 129), HOSTCACHE_ERR_ARGUMENT);
  assert_ok(hostcache_pluggable_init(r->few, 128)); /* without the function */
}

static void without_init_each_number_is_a_device(void **state) {
  rig *r = *state;
  void *ptr;
  assert_ok(hostcache_pluggable_raw_delete(r->few, take(r->few, 1, 127, NULL)));
  assert_true(hostcache_pluggable_initialized(r->few));
  assert_result(hostcache_pluggable_malloc(r->few, 1, 128, NULL, &ptr), HOSTCACHE_ERR_ARGUMENT);
  assert_result(hostcache_pluggable_malloc(r->few, 1, -1, NULL, &ptr), HOSTCACHE_ERR_ARGUMENT);
  assert_null(ptr);
}

static void the_current_allocator_changes_until_it_has_allocated(void **state) {
  rig *r = *state;
  void *ptr;
  assert_null(hostcache_pluggable_get_current());
  assert_ok(hostcache_pluggable_change_current(r->few));
  assert_ptr_equal(hostcache_pluggable_get_current(), r->few);
  assert_ok(hostcache_pluggable_init(r->few, 1)); /* init is no allocation */
  assert_ok(hostcache_pluggable_change_current(r->all));
  assert_ptr_equal(hostcache_pluggable_get_current(), r->all);
  ptr = take(r->all, 10, 0, NULL);
  assert_result(hostcache_pluggable_change_current(r->few), HOSTCACHE_ERR_BUSY);
  assert_ok(hostcache_pluggable_raw_delete(r->all, ptr));
  assert_result(hostcache_pluggable_change_current(r->few), HOSTCACHE_ERR_BUSY);
  assert_result(hostcache_pluggable_change_current(NULL), HOSTCACHE_ERR_BUSY);
  assert_ok(hostcache_pluggable_change_current(r->all));
  assert_ptr_equal(hostcache_pluggable_get_current(), r->all);
  /* that it is not the current one once it has ended, rig_close sees */
}

/* ---- the cap --------------------------------------------------------------------------------- */

static void a_fraction_bounds_what_is_held(void **state) {
  rig *r = *state;
  recorder *t = &r->all_told;
  hostcache_oom seen;
  double fraction;
  void *ptr, *none;
  assert_ok(hostcache_pluggable_get_memory_fraction(r->all, 1, &fraction));
  assert_true(fraction == 1);
  assert_ok(hostcache_pluggable_set_memory_fraction(r->all, 0.25, 1)); /* of 2,000 bytes */
  assert_true(t->fraction == 0.25);
  assert_int_equal(t->device, 1);
  assert_ok(hostcache_pluggable_get_memory_fraction(r->all, 1, &fraction));
  assert_true(fraction == 0.25);
  assert_ok(hostcache_pluggable_attach_oom_observer(r->all, 1, note_oom, &seen));
  ptr = take(r->all, 300, 1, NULL);
  assert_result(hostcache_pluggable_malloc(r->all, 201, 1, NULL, &none), HOSTCACHE_ERR_LIMIT);
  assert_int_equal(seen.result, HOSTCACHE_ERR_LIMIT);
  assert_int_equal(t->allocs, 1);
  assert_ok(hostcache_pluggable_raw_delete(r->all, take(r->all, 200, 1, NULL)));
  assert_ok(hostcache_pluggable_raw_delete(r->all, take(r->all, 900, 0, NULL))); /* not bounded */
  assert_ok(hostcache_pluggable_raw_delete(r->all, ptr));
}

static void a_fraction_that_fails_is_as_before(void **state) {
  rig *r = *state;
  recorder *t = &r->all_told;
  double fraction;
  void *ptr;
  t->failing = FRACTION;
  assert_result(hostcache_pluggable_set_memory_fraction(r->all, 0.001, 0), HOSTCACHE_ERR_HOOK);
  assert_ok(hostcache_pluggable_get_memory_fraction(r->all, 0, &fraction));
  assert_true(fraction == 1);
  ptr = take(r->all, 500, 0, NULL);
  assert_ok(hostcache_pluggable_raw_delete(r->all, ptr));
  t->failing = INFO;
  t->others = 0;
  assert_result(hostcache_pluggable_set_memory_fraction(r->all, 0.5, 0), HOSTCACHE_ERR_HOOK);
  assert_int_equal(t->others, 0); /* nor is the function told */
  t->failing = 0;
  assert_result(hostcache_pluggable_set_memory_fraction(r->all, 1.5, 0), HOSTCACHE_ERR_ARGUMENT);
  assert_result(hostcache_pluggable_set_memory_fraction(r->all, -0.5, 0), HOSTCACHE_ERR_ARGUMENT);
  assert_int_equal(t->others, 0);
}

static void without_memory_info_a_fraction_is_the_functions_business(void **state) {
  rig *r = *state;
  hostcache_pluggable_functions f = few_functions(&r->few_told);
  double fraction;
  size_t bytes;
  assert_result(hostcache_pluggable_set_memory_fraction(r->few, 0.5, 0), HOSTCACHE_ERR_UNSUPPORTED);
  assert_result(hostcache_pluggable_get_memory_fraction(r->few, 0, &fraction),
                HOSTCACHE_ERR_UNSUPPORTED);
  assert_result(hostcache_pluggable_get_memory_info(r->few, 0, &bytes, &bytes),
                HOSTCACHE_ERR_UNSUPPORTED);
  f.memory_fraction = rec_fraction;
  assert_ok(hostcache_pluggable_set_functions(r->few, &f));
  assert_ok(hostcache_pluggable_set_memory_fraction(r->few, 0.5, 0));
  assert_true(r->few_told.fraction == 0.5);
  assert_ok(hostcache_pluggable_get_memory_fraction(r->few, 0, &fraction));
  assert_true(fraction == 0.5);
}

static void memory_is_what_the_function_says(void **state) {
  rig *r = *state;
  size_t free_bytes, total_bytes;
  assert_ok(hostcache_pluggable_get_memory_info(r->all, 1, &free_bytes, &total_bytes));
  assert_int_equal(free_bytes, 400);
  assert_int_equal(total_bytes, 2000);
  r->all_told.failing = INFO;
  assert_result(hostcache_pluggable_get_memory_info(r->all, 1, &free_bytes, &total_bytes),
                HOSTCACHE_ERR_HOOK);
  assert_int_equal(free_bytes + total_bytes, 0);
}

/* ---- figures and traces ---------------------------------------------------------------------- */

static void figures_are_by_device(void **state) {
  rig *r = *state;
  hostcache_device_stats device_stats;
  size_t largest = 1, sizes[2], count = 1;
  void *ptr = take(r->few, 1001, 1, NULL);
  assert_int_equal(stats_of(r->few, 1).allocated_bytes.current, 1001);
  assert_int_equal(stats_of(r->few, 0).allocated_bytes.current, 0);
  assert_ok(hostcache_pluggable_get_device_stats(r->few, 1, &device_stats));
  assert_int_equal(device_stats.reserved_bytes[HOSTCACHE_STAT_AGGREGATE].current, 1001);
  assert_ok(hostcache_pluggable_raw_delete(r->few, ptr));
  assert_int_equal(stats_of(r->few, 1).reserved_bytes.current, 0);
  assert_int_equal(stats_of(r->few, 1).allocation.freed, 1);
  assert_int_equal(stats_of(r->few, 1).allocated_bytes.peak, 1001);
  assert_ok(hostcache_pluggable_reset_peak_stats(r->few, 1));
  assert_int_equal(stats_of(r->few, 1).allocated_bytes.peak, 0);
  assert_ok(hostcache_pluggable_reset_accumulated_stats(r->few, 1));
  assert_int_equal(stats_of(r->few, 1).allocation.freed, 0);
  assert_ok(hostcache_pluggable_cache_info(r->few, 1, &largest));
  assert_int_equal(largest, 0);
  assert_ok(hostcache_pluggable_get_expandable_segment_sizes(r->few, 1, sizes, 2, &count));
  assert_int_equal(count, 0);
}

typedef struct entries {
  hostcache_trace of[8];
  size_t count;
} entries;

static void note_entry(void *user, const hostcache_trace *entry) {
  entries *e = user;
  if (e->count < COUNT_OF(e->of)) e->of[e->count++] = *entry;
}

static void *note_context(void *user, hostcache_action action) {
  (void)action;
  return user;
}

static void history_and_trackers_tell_what_happened(void **state) {
  static const hostcache_action expected[] = {
      HOSTCACHE_TRACE_SEGMENT_ALLOC, HOSTCACHE_TRACE_ALLOC, HOSTCACHE_TRACE_FREE_REQUESTED,
      HOSTCACHE_TRACE_FREE_COMPLETED, HOSTCACHE_TRACE_SEGMENT_FREE};
  rig *r = *state;
  entries tracked, shown;
  void *ptr;
  size_t i;
  tracked.count = shown.count = 0;
  assert_ok(hostcache_pluggable_attach_trace_tracker(r->few, 1, note_entry, &tracked));
  assert_ok(hostcache_pluggable_record_history(r->few, 1, 10, note_context, r));
  ptr = take(r->few, 1001, 1, NULL);
  assert_ok(hostcache_pluggable_raw_delete(r->few, ptr));
  assert_ok(hostcache_pluggable_raw_delete(r->few, take(r->few, 10, 0, NULL))); /* elsewhere */
  assert_ok(hostcache_pluggable_history(r->few, 1, note_entry, &shown));
  assert_int_equal(tracked.count, COUNT_OF(expected));
  assert_int_equal(shown.count, COUNT_OF(expected));
  for (i = 0; i < COUNT_OF(expected); i++) {
    assert_int_equal(shown.of[i].action, expected[i]);
    assert_int_equal(tracked.of[i].action, expected[i]);
    assert_int_equal(shown.of[i].size, 1001);
    assert_ptr_equal(shown.of[i].ptr, ptr);
  }
  assert_ptr_equal(shown.of[1].context, r);
}

static int note_range(void *user, const hostcache_range *range) {
  hostcache_range *kinds = user;
  kinds[range->kind] = *range;
  return 0;
}

static void a_snapshot_shows_what_is_handed_out(void **state) {
  rig *r = *state;
  hostcache_range kinds[HOSTCACHE_VISIT_LEAKED + 1];
  void *ptr = take(r->few, 1001, 1, NULL);
  memset(kinds, 0, sizeof kinds);
  assert_ok(hostcache_pluggable_snapshot(r->few, 1, note_range, kinds));
  assert_ptr_equal(kinds[HOSTCACHE_VISIT_SEGMENT].ptr, ptr);
  assert_ptr_equal(kinds[HOSTCACHE_VISIT_ACTIVE].ptr, ptr);
  assert_int_equal(kinds[HOSTCACHE_VISIT_ACTIVE].requested, 1001);
  memset(kinds, 0, sizeof kinds);
  assert_ok(hostcache_pluggable_snapshot(r->few, 0, note_range, kinds));
  assert_null(kinds[HOSTCACHE_VISIT_SEGMENT].ptr);
  assert_ok(hostcache_pluggable_raw_delete(r->few, ptr));
}

/* ---- pools ----------------------------------------------------------------------------------- */

static void a_pool_keeps_what_is_deleted_for_its_stream(void **state) {
  rig *r = *state;
  recorder *t = &r->few_told;
  void *ptr, *other;
  assert_ok(hostcache_pluggable_begin_allocate_to_pool(r->few, 0, pool_id(1), NULL, NULL));
  ptr = take(r->few, 100, 0, STREAM(0));
  assert_ok(hostcache_pluggable_raw_delete(r->few, ptr));
  assert_int_equal(t->frees, 0);
  assert_result(hostcache_pluggable_raw_delete(r->few, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  other = take(r->few, 100, 0, STREAM(1)); /* of another stream */
  assert_ptr_not_equal(other, ptr);
  assert_ptr_equal(take(r->few, 100, 0, STREAM(0)), ptr);
  assert_int_equal(t->allocs, 2);
  assert_ok(hostcache_pluggable_end_allocate_to_pool(r->few, 0, pool_id(1)));
  assert_ok(hostcache_pluggable_raw_delete(r->few, ptr)); /* kept after the end, too */
  assert_ok(hostcache_pluggable_raw_delete(r->few, take(r->few, 100, 0, STREAM(0))));
  assert_int_equal(t->allocs, 3); /* outside of the pool nothing is kept or reused */
  assert_int_equal(t->frees, 1);
  assert_ok(hostcache_pluggable_release_pool(r->few, 0, pool_id(1)));
  assert_int_equal(t->frees, 2);
  assert_ok(hostcache_pluggable_raw_delete(r->few, other)); /* of no pool any more */
  assert_int_equal(t->frees, 3);
}

static void *got_inside;

static void get_the_same_inside(recorder *r) {
  const size_t allocs = r->allocs;
  got_inside = take(r->allocator, 100, 0, STREAM(0));
  assert_int_equal(r->allocs, allocs + 1);
}

static void what_a_pool_gives_back_serves_nobody_on_its_way(void **state) {
  rig *r = *state;
  void *ptrs[2];
  size_t i;
  assert_ok(hostcache_pluggable_begin_allocate_to_pool(r->few, 0, pool_id(1), NULL, NULL));
  for (i = 0; i < 2; i++) ptrs[i] = take(r->few, 100, 0, STREAM(0));
  for (i = 0; i < 2; i++) assert_ok(hostcache_pluggable_raw_delete(r->few, ptrs[i]));
  assert_ok(hostcache_pluggable_end_allocate_to_pool(r->few, 0, pool_id(1)));
  r->few_told.inside = get_the_same_inside; /* while one goes back and the other is to follow */
  assert_ok(hostcache_pluggable_release_pool(r->few, 0, pool_id(1)));
  assert_int_equal(r->few_told.frees, 2);
  assert_ok(hostcache_pluggable_raw_delete(r->few, got_inside));
}

static void what_another_stream_uses_serves_nobody_in_the_pool(void **state) {
  rig *r = *state;
  void *ptr, *next;
  assert_ok(hostcache_pluggable_begin_allocate_to_pool(r->all, 0, pool_id(1), NULL, NULL));
  ptr = take(r->all, 100, 0, STREAM(0));
  assert_ok(hostcache_pluggable_record_stream(r->all, ptr, STREAM(0))); /* its own */
  assert_ok(hostcache_pluggable_raw_delete(r->all, ptr));
  assert_ptr_equal(take(r->all, 100, 0, STREAM(0)), ptr);
  assert_ok(hostcache_pluggable_record_stream(r->all, ptr, STREAM(1)));
  assert_ok(hostcache_pluggable_raw_delete(r->all, ptr));
  next = take(r->all, 100, 0, STREAM(0));
  assert_ptr_not_equal(next, ptr);
  assert_ok(hostcache_pluggable_raw_delete(r->all, next));
  next = take(r->all, 100, 0, STREAM(1));
  assert_ptr_not_equal(next, ptr);
  assert_ok(hostcache_pluggable_raw_delete(r->all, next));
  assert_ok(hostcache_pluggable_end_allocate_to_pool(r->all, 0, pool_id(1)));
  assert_ok(hostcache_pluggable_release_pool(r->all, 0, pool_id(1)));
  assert_int_equal(r->all_told.frees, 3);
}

static int is_stream_1(void *user, const void *stream) {
  ++*(int *)user;
  return *(void *const *)stream == STREAM(1);
}

static void a_filter_says_which_streams_allocate_from_a_pool(void **state) {
  rig *r = *state;
  int asked = 0;
  void *ptr;
  assert_ok(hostcache_pluggable_begin_allocate_to_pool(r->few, 0, pool_id(1), is_stream_1, &asked));
  assert_ok(hostcache_pluggable_raw_delete(r->few, take(r->few, 100, 0, STREAM(0))));
  assert_int_equal(r->few_told.frees, 1);
  ptr = take(r->few, 100, 0, STREAM(1));
  assert_ok(hostcache_pluggable_raw_delete(r->few, ptr));
  assert_int_equal(r->few_told.frees, 1);
  assert_int_equal(asked, 2);
  assert_ok(hostcache_pluggable_raw_delete(r->few, take(r->few, 100, 1, STREAM(1))));
  assert_int_equal(asked, 2); /* not of this device */
  assert_int_equal(r->few_told.frees, 2);
  assert_ok(hostcache_pluggable_end_allocate_to_pool(r->few, 0, pool_id(1)));
  assert_ok(hostcache_pluggable_release_pool(r->few, 0, pool_id(1)));
}

static void the_functions_are_told_of_pools(void **state) {
  rig *r = *state;
  recorder *t = &r->all_told;
  int asked = 0;
  assert_ok(hostcache_pluggable_begin_allocate_to_pool(r->all, 2, pool_id(7), is_stream_1, &asked));
  assert_int_equal(t->last, BEGIN);
  assert_int_equal(t->device, 2);
  assert_int_equal(t->pool.first, 7);
  assert_int_equal(t->pool.second, 9);
  assert_ptr_equal(t->ptr, &asked);
  assert_ok(hostcache_pluggable_end_allocate_to_pool(r->all, 2, pool_id(7)));
  assert_int_equal(t->last, END);
  assert_ok(hostcache_pluggable_release_pool(r->all, 2, pool_id(7)));
  assert_int_equal(t->last, RELEASE);
  assert_int_equal(t->others, 3);
}

static void a_pool_of_which_a_function_fails(void **state) {
  rig *r = *state;
  recorder *t = &r->all_told;
  t->failing = BEGIN;
  assert_result(hostcache_pluggable_begin_allocate_to_pool(r->all, 0, pool_id(1), NULL, NULL),
                HOSTCACHE_ERR_HOOK);
  assert_result(hostcache_pluggable_end_allocate_to_pool(r->all, 0, pool_id(1)),
                HOSTCACHE_ERR_NOT_FOUND);
  assert_result(hostcache_pluggable_release_pool(r->all, 0, pool_id(1)), HOSTCACHE_ERR_NOT_FOUND);
  t->failing = END | RELEASE;
  assert_ok(hostcache_pluggable_begin_allocate_to_pool(r->all, 0, pool_id(1), NULL, NULL));
  assert_result(hostcache_pluggable_end_allocate_to_pool(r->all, 0, pool_id(1)),
                HOSTCACHE_ERR_HOOK);
  assert_result(hostcache_pluggable_end_allocate_to_pool(r->all, 0, pool_id(1)),
                HOSTCACHE_ERR_NOT_FOUND);
  assert_result(hostcache_pluggable_release_pool(r->all, 0, pool_id(1)), HOSTCACHE_ERR_HOOK);
  assert_result(hostcache_pluggable_release_pool(r->all, 0, pool_id(1)), HOSTCACHE_ERR_NOT_FOUND);
}

static void wrong_calls_about_pools_are_told(void **state) {
  const hostcache_pool_id none = {0, 0};
  rig *r = *state;
  assert_result(hostcache_pluggable_begin_allocate_to_pool(r->all, 0, none, NULL, NULL),
                HOSTCACHE_ERR_ARGUMENT);
  assert_result(hostcache_pluggable_begin_allocate_to_pool(r->all, -1, pool_id(1), NULL, NULL),
                HOSTCACHE_ERR_ARGUMENT);
  assert_int_equal(r->all_told.others, 0);
  assert_ok(hostcache_pluggable_begin_allocate_to_pool(r->all, 0, pool_id(1), NULL, NULL));
  assert_result(hostcache_pluggable_begin_allocate_to_pool(r->all, 0, pool_id(1), NULL, NULL),
                HOSTCACHE_ERR_ARGUMENT);
  assert_ok(hostcache_pluggable_begin_allocate_to_pool(r->all, 1, pool_id(1), NULL, NULL));
  assert_result(hostcache_pluggable_release_pool(r->all, 0, pool_id(1)), HOSTCACHE_ERR_BUSY);
  assert_result(hostcache_pluggable_end_allocate_to_pool(r->all, 0, pool_id(2)),
                HOSTCACHE_ERR_NOT_FOUND);
  assert_int_equal(r->all_told.others, 2);
  assert_ok(hostcache_pluggable_end_allocate_to_pool(r->all, 0, pool_id(1)));
  assert_ok(hostcache_pluggable_release_pool(r->all, 0, pool_id(1)));
  /* that of device 1 is open when rig_close destroys it */
}

static void not_enabled_nothing_is_kept(void **state) {
  rig *r = *state;
  assert_true(hostcache_pluggable_is_enabled(r->few));
  assert_ok(hostcache_pluggable_begin_allocate_to_pool(r->few, 0, pool_id(1), NULL, NULL));
  assert_ok(hostcache_pluggable_enable(r->few, 0));
  assert_false(hostcache_pluggable_is_enabled(r->few));
  assert_ok(hostcache_pluggable_raw_delete(r->few, take(r->few, 100, 0, NULL)));
  assert_int_equal(r->few_told.frees, 1);
  assert_ok(hostcache_pluggable_enable(r->few, 5));
  assert_true(hostcache_pluggable_is_enabled(r->few));
  assert_ok(hostcache_pluggable_raw_delete(r->few, take(r->few, 100, 0, NULL)));
  assert_int_equal(r->few_told.frees, 1);
}

static void what_a_pool_keeps_can_be_freed(void **state) {
  const hostcache_pool_id none = {0, 0};
  rig *r = *state;
  recorder *t = &r->all_told;
  assert_ok(hostcache_pluggable_begin_allocate_to_pool(r->all, 1, pool_id(1), NULL, NULL));
  assert_ok(hostcache_pluggable_raw_delete(r->all, take(r->all, 100, 1, NULL)));
  assert_ok(hostcache_pluggable_raw_delete(r->all, take(r->all, 100, 0, NULL)));
  t->others = 0;
  assert_ok(hostcache_pluggable_empty_cache(r->all, none));
  assert_int_equal(t->frees, 1); /* what pools keep stays */
  assert_int_equal(t->last, RESET);
  assert_ok(hostcache_pluggable_empty_cache(r->all, pool_id(1)));
  assert_int_equal(t->frees, 2);
  assert_int_equal(t->others, 1);
  assert_result(hostcache_pluggable_empty_cache(r->all, pool_id(2)), HOSTCACHE_ERR_NOT_FOUND);
  t->failing = RESET;
  assert_result(hostcache_pluggable_empty_cache(r->all, none), HOSTCACHE_ERR_HOOK);
  assert_ok(hostcache_pluggable_end_allocate_to_pool(r->all, 1, pool_id(1)));
  assert_ok(hostcache_pluggable_release_pool(r->all, 1, pool_id(1)));
}

typedef struct deltas {
  size_t created, ended;
} deltas;

static void note_delta(void *user, const hostcache_delta *delta) {
  deltas *d = user;
  *(delta->created ? &d->created : &d->ended) += 1;
}

static void a_restore_brings_a_pool_back(void **state) {
  rig *r = *state;
  hostcache_pluggable_checkpoint *checkpoint;
  hostcache_pluggable_info info;
  deltas seen = {0, 0};
  void *before, *after;
  assert_ok(hostcache_pluggable_begin_allocate_to_pool(r->few, 1, pool_id(1), NULL, NULL));
  before = take(r->few, 100, 1, STREAM(2));
  assert_ok(hostcache_pluggable_end_allocate_to_pool(r->few, 1, pool_id(1)));
  assert_ok(hostcache_pluggable_checkpoint_pool(r->few, 1, pool_id(1), &checkpoint));
  assert_ok(hostcache_pluggable_raw_delete(r->few, before));
  assert_ok(hostcache_pluggable_begin_allocate_to_pool(r->few, 1, pool_id(1), NULL, NULL));
  after = take(r->few, 50, 1, STREAM(2));
  assert_ok(hostcache_pluggable_end_allocate_to_pool(r->few, 1, pool_id(1)));
  assert_result(hostcache_pluggable_restore_pool(r->few, 0, checkpoint, note_delta, &seen),
                HOSTCACHE_ERR_NOT_FOUND); /* of another device */
  assert_ok(hostcache_pluggable_restore_pool(r->few, 1, checkpoint, note_delta, &seen));
  assert_int_equal(seen.created, 1);
  assert_int_equal(seen.ended, 1);
  assert_ok(hostcache_pluggable_get_info(r->few, before, &info));
  assert_int_equal(info.size, 100);
  assert_ptr_equal(info.stream, STREAM(2));
  (void)assert_one_of(hostcache_pluggable_raw_delete(r->few, after),
                      ONE_OF(HOSTCACHE_ERR_DOUBLE_FREE) | ONE_OF(HOSTCACHE_ERR_NOT_FOUND));
  assert_int_equal(r->few_told.frees, 0);
  assert_ok(hostcache_pluggable_raw_delete(r->few, before));
  assert_ok(hostcache_pluggable_release_pool(r->few, 1, pool_id(1)));
  assert_ok(hostcache_pluggable_release_pool(r->few, 1, pool_id(1)));
  assert_int_equal(r->few_told.frees, 2);
  assert_result(hostcache_pluggable_restore_pool(r->few, 1, checkpoint, NULL, NULL),
                HOSTCACHE_ERR_NOT_FOUND);
  assert_result(hostcache_pluggable_checkpoint_pool(r->few, 1, pool_id(1), NULL),
                HOSTCACHE_ERR_ARGUMENT);
  hostcache_pluggable_checkpoint_free(checkpoint);
  hostcache_pluggable_checkpoint_free(NULL);
  assert_result(hostcache_pluggable_checkpoint_pool(r->few, 1, pool_id(1), &checkpoint),
                HOSTCACHE_ERR_NOT_FOUND);
  assert_null(checkpoint);
}

/* ---- handles --------------------------------------------------------------------------------- */

static void a_handle_is_opened_once_for_all_its_pointers(void **state) {
  rig *r = *state;
  recorder *t = &r->all_told;
  hostcache_pluggable_handle first, second;
  char *ptr = take(r->all, 100, 1, NULL);
  void *a, *b;
  t->ptr = ptr; /* base_alloc's */
  t->size = 100;
  assert_ok(hostcache_pluggable_share_handle(r->all, ptr + 10, &first));
  assert_int_equal(first.offset, 10);
  assert_int_equal(first.size, 100);
  assert_int_equal(first.device, 1);
  assert_ok(hostcache_pluggable_share_handle(r->all, ptr + 20, &second));
  t->others = 0;
  assert_ok(hostcache_pluggable_open_handle(r->all, &first, &a));
  assert_ptr_equal(a, ptr + 10);
  assert_ok(hostcache_pluggable_open_handle(r->all, &second, &b));
  assert_ptr_equal(b, ptr + 20);
  assert_int_equal(t->others, 1);
  assert_ok(hostcache_pluggable_raw_delete(r->all, ptr));
  assert_result(hostcache_pluggable_destroy(r->all), HOSTCACHE_ERR_BUSY);
  assert_ok(hostcache_pluggable_close_handle(r->all, a));
  assert_int_equal(t->others, 1);
  assert_ok(hostcache_pluggable_close_handle(r->all, b));
  assert_int_equal(t->last, CLOSE);
  assert_ptr_equal(t->ptr, ptr);
  assert_result(hostcache_pluggable_close_handle(r->all, b), HOSTCACHE_ERR_NOT_FOUND);
}

static void handles_that_are_none_are_refused(void **state) {
  rig *r = *state;
  recorder *t = &r->all_told;
  hostcache_pluggable_handle handle, wrong;
  char *ptr = take(r->all, 100, 1, NULL);
  void *opened;
  assert_result(hostcache_pluggable_share_handle(r->few, ptr, &handle), HOSTCACHE_ERR_UNSUPPORTED);
  assert_result(hostcache_pluggable_share_handle(r->all, &streams[0], &handle),
                HOSTCACHE_ERR_NOT_FOUND);
  t->ptr = ptr;
  t->size = 100;
  t->failing = SHARE;
  assert_result(hostcache_pluggable_share_handle(r->all, ptr, &handle), HOSTCACHE_ERR_HOOK);
  assert_int_equal(handle.size, 0);
  t->failing = OPEN;
  assert_ok(hostcache_pluggable_share_handle(r->all, ptr, &handle));
  assert_result(hostcache_pluggable_open_handle(r->all, &handle, &opened), HOSTCACHE_ERR_HOOK);
  assert_null(opened);
  t->failing = 0;
  wrong = handle;
  memset(wrong.bytes, 0, sizeof wrong.bytes); /* open gives NULL */
  assert_result(hostcache_pluggable_open_handle(r->all, &wrong, &opened), HOSTCACHE_ERR_HOOK);
  t->others = 0;
  wrong = handle;
  wrong.offset = 100;
  assert_result(hostcache_pluggable_open_handle(r->all, &wrong, &opened), HOSTCACHE_ERR_ARGUMENT);
  wrong = handle;
  wrong.device = 128;
  assert_result(hostcache_pluggable_open_handle(r->all, &wrong, &opened), HOSTCACHE_ERR_ARGUMENT);
  wrong.device = -1;
  assert_result(hostcache_pluggable_open_handle(r->all, &wrong, &opened), HOSTCACHE_ERR_ARGUMENT);
  assert_result(hostcache_pluggable_open_handle(r->few, &handle, &opened),
                HOSTCACHE_ERR_UNSUPPORTED);
  assert_int_equal(t->others, 0);
  assert_ok(hostcache_pluggable_open_handle(r->all, &handle, &opened));
  wrong = handle; /* more of what is open than there is */
  wrong.offset = 150;
  wrong.size = 200;
  assert_result(hostcache_pluggable_open_handle(r->all, &wrong, &opened), HOSTCACHE_ERR_ARGUMENT);
  t->failing = CLOSE;
  assert_result(hostcache_pluggable_close_handle(r->all, ptr), HOSTCACHE_ERR_HOOK);
  assert_result(hostcache_pluggable_close_handle(r->all, ptr), HOSTCACHE_ERR_NOT_FOUND);
  assert_ok(hostcache_pluggable_raw_delete(r->all, ptr));
}

/* ---- bad calls, no bookkeeping, forks, threads ----------------------------------------------- */

static void a_missing_argument_is_told(void **state) {
  const hostcache_pool_id pool = {1, 1};
  rig *r = *state;
  hostcache_pluggable_functions f = few_functions(&r->few_told);
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  hostcache_pluggable_handle handle;
  hostcache_pluggable *a;
  hostcache_stats stats;
  size_t bytes;
  void *ptr;
#define NOT_SO(call) assert_result(hostcache_pluggable_##call, HOSTCACHE_ERR_ARGUMENT)
  NOT_SO(create(NULL, &f, NULL));
  NOT_SO(create(&a, NULL, NULL));
  config.version++;
  NOT_SO(create(&a, &f, &config));
  config.version--;
  config.alignment = 3;
  NOT_SO(create(&a, &f, &config));
  f.free = NULL;
  NOT_SO(create(&a, &f, NULL));
  assert_null(a);
  NOT_SO(create_custom(NULL, simple_alloc, simple_free));
  NOT_SO(copy(&a, NULL));
  NOT_SO(copy(NULL, r->few));
  NOT_SO(destroy(NULL));
  NOT_SO(get_functions(NULL, &f));
  NOT_SO(get_functions(r->few, NULL));
  NOT_SO(set_functions(NULL, &f));
  NOT_SO(set_functions(r->few, NULL));
  NOT_SO(init(NULL, 1));
  NOT_SO(enable(NULL, 1));
  NOT_SO(malloc(NULL, 1, 0, NULL, &ptr));
  NOT_SO(malloc(r->few, 1, 0, NULL, NULL));
  NOT_SO(raw_alloc(NULL, 1, &ptr));
  NOT_SO(raw_alloc(r->few, 1, NULL));
  NOT_SO(raw_alloc_with_stream(NULL, 1, NULL, &ptr));
  NOT_SO(raw_alloc_with_stream(r->few, 1, NULL, NULL));
  NOT_SO(allocate(r->few, 1, NULL));
  NOT_SO(raw_delete(NULL, &ptr));
  NOT_SO(get_info(r->few, &ptr, NULL));
  NOT_SO(get_base_allocation(r->few, &ptr, NULL, NULL));
  NOT_SO(get_base_allocation(NULL, &ptr, &ptr, NULL));
  NOT_SO(record_stream(NULL, &ptr, NULL));
  NOT_SO(empty_cache(NULL, pool));
  NOT_SO(copy_data(NULL, &ptr, &ptr, 1));
  NOT_SO(copy_async(NULL, &ptr, 0, &ptr, 0, 1, NULL, 0));
  NOT_SO(enable_peer_access(NULL, 0, 1));
  NOT_SO(set_memory_fraction(NULL, 1, 0));
  NOT_SO(get_memory_fraction(r->all, 0, NULL));
  NOT_SO(get_memory_info(r->all, 0, NULL, &bytes));
  NOT_SO(cache_info(r->few, 0, NULL));
  NOT_SO(cache_info(NULL, 0, &bytes));
  NOT_SO(get_expandable_segment_sizes(r->few, 0, NULL, 0, NULL));
  NOT_SO(get_stats(r->few, 0, NULL));
  NOT_SO(get_stats(r->few, -1, &stats));
  NOT_SO(get_device_stats(r->few, 0, NULL));
  NOT_SO(reset_accumulated_stats(NULL, 0));
  NOT_SO(reset_peak_stats(NULL, 0));
  NOT_SO(snapshot(r->few, 0, NULL, NULL));
  NOT_SO(record_history(NULL, 0, 1, NULL, NULL));
  NOT_SO(history(r->few, 0, NULL, NULL));
  NOT_SO(attach_trace_tracker(r->few, 0, NULL, NULL));
  NOT_SO(attach_oom_observer(r->few, 0, NULL, NULL));
  NOT_SO(check(NULL));
  NOT_SO(end_allocate_to_pool(NULL, 0, pool));
  NOT_SO(release_pool(NULL, 0, pool));
  NOT_SO(restore_pool(r->few, 0, NULL, NULL, NULL));
  NOT_SO(share_handle(r->all, &ptr, NULL));
  NOT_SO(open_handle(r->all, NULL, &ptr));
  NOT_SO(open_handle(r->all, &handle, NULL));
  NOT_SO(close_handle(NULL, &ptr));
#undef NOT_SO
  assert_false(hostcache_pluggable_initialized(NULL));
  assert_false(hostcache_pluggable_is_enabled(NULL));
  assert_int_equal(r->few_told.allocs + r->all_told.allocs, 0);
}

/* All that needs bookkeeping, once. Leaves nothing behind, wherever it fails. */
static hostcache_result need_bookkeeping(recorder *t) {
  hostcache_pluggable_functions f = all_functions(t);
  hostcache_pluggable_handle handle;
  hostcache_pluggable *a;
  void *ptr = NULL, *opened = NULL;
  hostcache_result result, ended;
  result = hostcache_pluggable_create(&a, &f, NULL);
  if (result != HOSTCACHE_OK) return result;
  result = hostcache_pluggable_init(a, 2);
  if (result == HOSTCACHE_OK) {
    result = hostcache_pluggable_begin_allocate_to_pool(a, 0, pool_id(1), NULL, NULL);
  }
  if (result == HOSTCACHE_OK) result = hostcache_pluggable_malloc(a, 100, 0, NULL, &ptr);
  t->ptr = ptr;
  t->size = 100;
  if (result == HOSTCACHE_OK) result = hostcache_pluggable_share_handle(a, ptr, &handle);
  if (result == HOSTCACHE_OK) result = hostcache_pluggable_open_handle(a, &handle, &opened);
  if (opened != NULL) assert_ok(hostcache_pluggable_close_handle(a, opened));
  assert_ok(hostcache_pluggable_raw_delete(a, ptr));
  ended = hostcache_pluggable_destroy(a);
  assert_int_equal(ended, HOSTCACHE_OK);
  return result;
}

static void every_malloc_may_fail_and_nothing_is_left_behind(void **state) {
  rig *r = *state;
  const int64_t live = below.live;
  uint64_t n = 0, failed;
  hostcache_result result;
  do {
    below_fail(++n, false);
    result = need_bookkeeping(&r->all_told);
    failed = below.failed;
    below_fail(UINT64_C(1) << 40, false);
    assert_int_equal(below.live, live);
    assert_int_equal(r->all_told.allocs, r->all_told.frees);
    if (result != HOSTCACHE_OK) assert_result(result, HOSTCACHE_ERR_NO_METADATA);
  } while (failed > 0);
  assert_ok(result);
  assert_true(n > 8);
}

/* In a child nothing may be asserted: 0 is well. */
static int in_child(rig *r, void *ptr) {
  hostcache_pluggable_functions f = few_functions(&r->few_told);
  hostcache_pluggable *own;
  hostcache_stats stats;
  void *mine;
#define FORKED(call) \
  if (hostcache_pluggable_##call != HOSTCACHE_ERR_FORKED) return __LINE__ % 200 + 1
  FORKED(malloc(r->few, 1, 0, NULL, &mine));
  FORKED(raw_alloc(r->few, 1, &mine));
  FORKED(raw_delete(r->few, ptr));
  FORKED(copy(&own, r->few));
  FORKED(init(r->few, 1));
  FORKED(get_functions(r->few, &f));
  FORKED(set_functions(r->few, &f));
  FORKED(get_stats(r->few, 0, &stats));
  FORKED(record_stream(r->few, ptr, NULL));
  FORKED(empty_cache(r->few, pool_id(1)));
  FORKED(begin_allocate_to_pool(r->few, 0, pool_id(1), NULL, NULL));
  FORKED(close_handle(r->few, ptr));
  FORKED(change_current(r->few));
  FORKED(check(r->few));
  FORKED(destroy(r->few));
#undef FORKED
  if (hostcache_pluggable_get_current() != NULL) return 2;
  if (hostcache_pluggable_initialized(r->few) || hostcache_pluggable_is_enabled(r->few)) return 3;
  hostcache_pluggable_raw_deleter(r->few)(ptr); /* is nobody's */
  hostcache_pluggable_abandon(r->few);
  if (r->few_told.frees != 0) return 4;
  f = few_functions(&r->few_told);
  if (hostcache_pluggable_create(&own, &f, NULL) != HOSTCACHE_OK) return 5;
  if (hostcache_pluggable_change_current(own) != HOSTCACHE_OK)
    return 6; /* none stands in the way */
  if (hostcache_pluggable_malloc(own, 10, 0, NULL, &mine) != HOSTCACHE_OK) return 7;
  if (hostcache_pluggable_raw_delete(own, ptr) != HOSTCACHE_ERR_NOT_FOUND) return 8;
  hostcache_pluggable_raw_deleter(own)(mine);
  return hostcache_pluggable_destroy(own) == HOSTCACHE_OK ? 0 : 9;
}

static void a_child_has_no_allocator_of_its_parent(void **state) {
  rig *r = *state;
  void *ptr;
  pid_t child;
  int status;
  assert_ok(hostcache_pluggable_change_current(r->few));
  ptr = take(r->few, 100, 0, NULL);
  child = fork();
  assert_true(child >= 0);
  if (child == 0) _exit(in_child(r, ptr));
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  assert_ok(hostcache_pluggable_raw_delete(r->few, ptr));
}

enum { THREADS = 3, ROUNDS = 3000, PLACES = 8 };

static _Atomic(unsigned char *) places[PLACES];
static _Atomic(size_t) thread_allocs, thread_frees;

/* Before and behind each block: whose it is, to be compared. */
typedef struct header {
  size_t size;
  int device;
  void *stream;
} header;

static void *thread_alloc(void *user, size_t size, int device, void *stream) {
  header *h = malloc(sizeof *h + size);
  (void)user;
  expect_or_abort(h != NULL);
  h->size = size;
  h->device = device;
  h->stream = stream;
  atomic_fetch_add(&thread_allocs, 1);
  return h + 1;
}

static hostcache_status thread_free(void *user, void *ptr, size_t size, int device, void *stream) {
  header *h = (header *)ptr - 1;
  (void)user;
  expect_or_abort(h->size == size && h->device == device && h->stream == stream);
  atomic_fetch_add(&thread_frees, 1);
  free(h);
  return hostcache_done();
}

static hostcache_pluggable *shared_by_threads;

/* One of the threads opens a pool and ends it again, while the others are at work. */
static void open_or_end_a_pool(int round) {
  hostcache_pluggable *a = shared_by_threads;
  if (round % 500 == 0) {
    expect_or_abort(hostcache_pluggable_begin_allocate_to_pool(a, 0, pool_id(1), NULL, NULL) ==
                    HOSTCACHE_OK);
  } else if (round % 500 == 250) {
    expect_or_abort(hostcache_pluggable_end_allocate_to_pool(a, 0, pool_id(1)) == HOSTCACHE_OK);
    expect_or_abort(hostcache_pluggable_release_pool(a, 0, pool_id(1)) == HOSTCACHE_OK);
  }
}

static void *work(void *user) {
  uint64_t seed = (size_t)user + 1;
  hostcache_pluggable_deleter deleter = hostcache_pluggable_raw_deleter(shared_by_threads);
  int i;
  for (i = 0; i < ROUNDS; i++) {
    const size_t size = 1 + random_below(&seed, 3);
    void *stream = STREAM(random_below(&seed, 4));
    const int device = (int)random_below(&seed, 3);
    void *ptr;
    unsigned char *old;
    if (user == NULL) open_or_end_a_pool(i);
    expect_or_abort(hostcache_pluggable_malloc(shared_by_threads, size, device, stream, &ptr) ==
                    HOSTCACHE_OK);
    ((unsigned char *)ptr)[size - 1] = (unsigned char)size;
    old = atomic_exchange(&places[random_below(&seed, PLACES)], ptr);
    if (old == NULL) continue;
    if (random_below(&seed, 2)) {
      deleter(old);
    } else {
      expect_or_abort(hostcache_pluggable_raw_delete(shared_by_threads, old) == HOSTCACHE_OK);
    }
  }
  return NULL;
}

static void threads_delete_what_they_were_passed(void **state) {
  hostcache_pluggable_functions f;
  pthread_t threads[THREADS];
  size_t i;
  (void)state;
  memset(&f, 0, sizeof f);
  f.alloc = thread_alloc;
  f.free = thread_free;
  assert_ok(hostcache_pluggable_create(&shared_by_threads, &f, NULL));
  for (i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)i), 0);
  for (i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  for (i = 0; i < PLACES; i++) {
    assert_ok(hostcache_pluggable_raw_delete(shared_by_threads, atomic_exchange(&places[i], NULL)));
  }
  assert_ok(hostcache_pluggable_check(shared_by_threads));
  assert_ok(hostcache_pluggable_destroy(shared_by_threads));
  assert_int_equal(thread_allocs, thread_frees);
}

/* ---- over the CPU backend -------------------------------------------------------------------- */

#define CPU_STATUS(call) hostcache_map(call, HOSTCACHE_CPU_OK, HOSTCACHE_CPU_OK)

static void *cpu_alloc(void *user, size_t size, int device, void *stream) {
  void *ptr;
  (void)device;
  (void)stream;
  return hostcache_cpu_shared_alloc(user, size, &ptr) == HOSTCACHE_CPU_OK ? ptr : NULL;
}

static hostcache_status cpu_free(void *user, void *ptr, size_t size, int device, void *stream) {
  (void)size;
  (void)device;
  if (stream != NULL) (void)hostcache_cpu_stream_wait(stream);
  return CPU_STATUS(hostcache_cpu_shared_free(user, ptr));
}

static hostcache_status cpu_share(void *user, void *base, size_t size, int device, void *bytes) {
  hostcache_cpu_handle handle;
  const hostcache_cpu_result result = hostcache_cpu_shared_handle(user, base, &handle);
  (void)size;
  (void)device;
  memcpy(bytes, &handle, sizeof handle);
  return CPU_STATUS(result);
}

static hostcache_status cpu_open(void *user, const void *bytes, int device, void **base) {
  hostcache_cpu_handle handle;
  (void)device;
  memcpy(&handle, bytes, sizeof handle);
  return CPU_STATUS(hostcache_cpu_shared_open(user, &handle, base));
}

static hostcache_status cpu_close(void *user, void *base, int device) {
  (void)device;
  return CPU_STATUS(hostcache_cpu_shared_free(user, base));
}

static hostcache_status cpu_copy(void *user, void *to, int to_device, const void *from,
                                 int from_device, size_t count, void *stream, int peer_to_peer) {
  (void)user;
  (void)to_device;
  (void)from_device;
  (void)peer_to_peer;
  return CPU_STATUS(hostcache_cpu_copy(stream, to, from, count));
}

static hostcache_pluggable *over_cpu(hostcache_cpu *cpu) {
  hostcache_pluggable_functions f;
  hostcache_pluggable *a;
  memset(&f, 0, sizeof f);
  f.user = cpu;
  f.alloc = cpu_alloc;
  f.free = cpu_free;
  f.share = cpu_share;
  f.open = cpu_open;
  f.close = cpu_close;
  f.copy_async = cpu_copy;
  return hostcache_pluggable_create(&a, &f, NULL) == HOSTCACHE_OK ? a : NULL;
}

static void copies_run_on_their_stream(void **state) {
  hostcache_cpu *cpu;
  hostcache_cpu_stream *stream;
  hostcache_pluggable *a;
  char back[10] = "";
  void *ptr;
  (void)state;
  assert_int_equal(hostcache_cpu_open(&cpu, NULL), 0);
  assert_int_equal(hostcache_cpu_stream_create(cpu, &stream), 0);
  a = over_cpu(cpu);
  assert_ok(hostcache_pluggable_malloc(a, 100, 0, stream, &ptr));
  assert_ok(hostcache_pluggable_copy_async(a, ptr, 0, "question", 0, 9, stream, 0));
  assert_ok(hostcache_pluggable_copy_async(a, back, 0, ptr, 0, 9, stream, 0));
  assert_ok(hostcache_pluggable_raw_delete(a, ptr)); /* after what its stream has to do */
  assert_string_equal(back, "question");
  assert_ok(hostcache_pluggable_destroy(a));
  assert_int_equal(hostcache_cpu_stream_destroy(stream), 0);
  assert_int_equal(hostcache_cpu_close(cpu), 0);
}

/* The other process: this program once more, with a pipe for its input. 0 is well. */
static int other_process(void) {
  hostcache_pluggable_handle handles[2];
  hostcache_pluggable *a;
  hostcache_cpu *cpu;
  void *first, *second;
  if (read(0, handles, sizeof handles) != (ssize_t)sizeof handles) return 1;
  if (hostcache_cpu_open(&cpu, NULL) != HOSTCACHE_CPU_OK) return 2;
  a = over_cpu(cpu);
  if (hostcache_pluggable_open_handle(a, &handles[0], &first) != HOSTCACHE_OK) return 3;
  if (hostcache_pluggable_open_handle(a, &handles[1], &second) != HOSTCACHE_OK) return 4;
  if ((char *)second - (char *)first != 3000) return 5; /* mapped once */
  if (strcmp(first, "question") != 0) return 6;
  strcpy(second, "answer");
  if (hostcache_pluggable_close_handle(a, first) != HOSTCACHE_OK) return 7;
  if (hostcache_pluggable_destroy(a) != HOSTCACHE_ERR_BUSY) return 8;
  if (hostcache_pluggable_close_handle(a, second) != HOSTCACHE_OK) return 9;
  if (hostcache_pluggable_destroy(a) != HOSTCACHE_OK) return 10;
  return hostcache_cpu_close(cpu) == HOSTCACHE_CPU_OK ? 0 : 11;
}

static const char *program;

static void two_processes_share_memory_by_its_handle(void **state) {
  hostcache_pluggable_handle handles[2];
  hostcache_pluggable *a;
  hostcache_cpu *cpu;
  int ends[2], status;
  pid_t child;
  void *ptr;
  char *bytes;
  (void)state;
  assert_int_equal(hostcache_cpu_open(&cpu, NULL), 0);
  a = over_cpu(cpu);
  if (hostcache_pluggable_malloc(a, 10000, 0, NULL, &ptr) != HOSTCACHE_OK) skip(); /* no Linux */
  bytes = ptr;
  strcpy(bytes + 1000, "question");
  assert_ok(hostcache_pluggable_share_handle(a, bytes + 1000, &handles[0]));
  assert_ok(hostcache_pluggable_share_handle(a, bytes + 4000, &handles[1]));
  assert_int_equal(pipe(ends), 0);
  child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    dup2(ends[0], 0);
    close(ends[1]);
    execl(program, program, "other process", (char *)NULL);
    _exit(99);
  }
  assert_int_equal(write(ends[1], handles, sizeof handles), sizeof handles);
  assert_int_equal(waitpid(child, &status, 0), child);
  close(ends[0]);
  close(ends[1]);
  assert_int_equal(status, 0);
  assert_string_equal(bytes + 4000, "answer");
  assert_ok(hostcache_pluggable_raw_delete(a, ptr));
  assert_ok(hostcache_pluggable_destroy(a));
  assert_int_equal(hostcache_cpu_close(cpu), 0);
}

int main(int count, char **words) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_open, rig_close)
  const struct CMUnitTest tests[] = {
      TEST(each_allocation_is_one_call_with_its_own_size),
      TEST(nothing_is_asked_for_nothing),
      TEST(sizes_are_rounded_where_the_config_says_so),
      TEST(raw_alloc_is_on_the_current_device_and_stream),
      TEST(a_deleter_needs_the_pointer_alone),
      TEST(a_deleter_tells_the_current_allocator_what_it_does_not_know),
      TEST(what_is_not_handed_out_is_told),
      TEST(the_bookkeeping_tells_size_device_and_stream),
      TEST(the_function_for_it_says_what_memory_is_a_part_of),
      TEST(want_of_memory_is_asked_for_once_and_observers_hear),
      TEST(memory_that_is_handed_out_already_is_corrupt),
      TEST(a_function_may_call_the_allocator),
      TEST(a_function_that_called_the_allocator_may_have_no_memory),
      TEST(who_uses_memory_is_told),
      TEST(a_failed_free_is_counted_as_leaked),
      TEST(bytes_are_copied),
      TEST(peer_access_is_passed_on),
      TEST(two_functions_are_enough),
      TEST(functions_may_be_set_at_any_time),
      TEST(a_copy_has_the_functions_and_not_the_memory),
      TEST(what_is_in_use_is_not_destroyed),
      TEST(abandoned_it_calls_nothing),
      TEST(init_is_told_once),
      TEST(without_init_each_number_is_a_device),
      TEST(the_current_allocator_changes_until_it_has_allocated),
      TEST(a_fraction_bounds_what_is_held),
      TEST(a_fraction_that_fails_is_as_before),
      TEST(without_memory_info_a_fraction_is_the_functions_business),
      TEST(memory_is_what_the_function_says),
      TEST(figures_are_by_device),
      TEST(history_and_trackers_tell_what_happened),
      TEST(a_snapshot_shows_what_is_handed_out),
      TEST(a_pool_keeps_what_is_deleted_for_its_stream),
      TEST(what_a_pool_gives_back_serves_nobody_on_its_way),
      TEST(what_another_stream_uses_serves_nobody_in_the_pool),
      TEST(a_filter_says_which_streams_allocate_from_a_pool),
      TEST(the_functions_are_told_of_pools),
      TEST(a_pool_of_which_a_function_fails),
      TEST(wrong_calls_about_pools_are_told),
      TEST(not_enabled_nothing_is_kept),
      TEST(what_a_pool_keeps_can_be_freed),
      TEST(a_restore_brings_a_pool_back),
      TEST(a_handle_is_opened_once_for_all_its_pointers),
      TEST(handles_that_are_none_are_refused),
      TEST(a_missing_argument_is_told),
      TEST(every_malloc_may_fail_and_nothing_is_left_behind),
      TEST(a_child_has_no_allocator_of_its_parent),
      TEST(threads_delete_what_they_were_passed),
      TEST(copies_run_on_their_stream),
      TEST(two_processes_share_memory_by_its_handle),
  };
#undef TEST
  program = words[0];
  if (count > 1) return other_process();
  return cmocka_run_group_tests_name("pluggable", tests, NULL, NULL);
}
