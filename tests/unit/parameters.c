/* parameters.c - tests section 2 of the header: parameters, their defaults, what each kind of cache
   can do with them.

   Promises: streams, contexts, events and segments of any trivially copyable type; HC_STREAM_EQ and
   HC_STREAM_HASH decide which streams are the same; HC_NO_STREAMS with and without events;
   HC_STATIC, HC_API; HOSTCACHE_IMPLEMENTATION emits what defines hooks and does not say HC_DECLARE;
   every HC_* is gone after the inclusion (section 4 of the contract). What must not compile is in
   tests/fail. */

#define HOSTCACHE_IMPLEMENTATION

#include "sim/below.h"

#include "sim/sim.h"

static sim_device *the_device; /* of the caches whose context is something else */

/* ---- the default context, streams that are structs ------------------------------------------- */

typedef struct lane_of_device {
  uint16_t device;
  sim_stream stream;
  const char *label; /* says nothing about which stream it is */
} lane_of_device;

static bool same_lane(lane_of_device a, lane_of_device b) {
  return a.device == b.device && a.stream == b.stream;
}

#define HC_NAME by_struct
#define HC_STREAM_T lane_of_device
#define HC_STREAM_EQ(a, b) same_lane(a, b)
#define HC_STREAM_HASH(s) ((uint64_t)(s).device % 2) /* a poor one: most streams collide */
#define HC_EVENT_T sim_point
#define HC_MEM_ALLOC(ctx, size, align, ptr_out)                                           \
  hostcache_map_memory(sim_mem_alloc(ctx, size, align, ptr_out), SIM_DONE, SIM_NO_MEMORY, \
                       SIM_NO_MEMORY)
#define HC_MEM_FREE(ctx, ptr, size) hostcache_map(sim_mem_free(ctx, ptr, size), SIM_DONE, SIM_DONE)
#define HC_EVENT_RECORD(ctx, event_ptr, s) \
  hostcache_map(sim_point_record(ctx, event_ptr, (s).stream), SIM_DONE, SIM_DONE)
#define HC_EVENT_QUERY(ctx, event_ptr) \
  hostcache_map(sim_point_query(ctx, event_ptr), SIM_DONE, SIM_PENDING)
#include "hostcache.h"

/* ---- a context that is a struct, streams that are pointers ----------------------------------- */

typedef struct runtime_context {
  sim_device *device;
  uint64_t cookie;
} runtime_context;

struct queue_object {
  sim_stream stream;
};

enum { COOKIE = 0x51 };

static sim_device *of_context(runtime_context ctx) {
  if (ctx.cookie != COOKIE) sim_violation(ctx.device, "the context is not what create got");
  return ctx.device;
}

#define HC_NAME by_pointer
#define HC_CTX_T runtime_context
#define HC_STREAM_T struct queue_object *
#define HC_TIMELINE
#define HC_MEM_ALLOC(ctx, size, align, ptr_out)                                        \
  hostcache_map_memory(sim_mem_alloc(of_context(ctx), size, align, ptr_out), SIM_DONE, \
                       SIM_NO_MEMORY, SIM_NO_MEMORY)
#define HC_MEM_FREE(ctx, ptr, size) \
  hostcache_map(sim_mem_free(of_context(ctx), ptr, size), SIM_DONE, SIM_DONE)
#define HC_TIMELINE_RECORD(ctx, s, value_ptr) \
  hostcache_map(sim_timeline_record(of_context(ctx), (s)->stream, value_ptr), SIM_DONE, SIM_DONE)
#define HC_TIMELINE_QUERY(ctx, s, value_ptr) \
  hostcache_map(sim_timeline_query(of_context(ctx), (s)->stream, value_ptr), SIM_DONE, SIM_DONE)
#include "hostcache.h"

/* ---- an event and a segment that are pointers, a stream that is a byte ----------------------- */

typedef struct registration {
  sim_event event; /* of the simulated device; here it stands behind a pointer */
} registration;

static int make_registered_event(sim_device *d, sim_stream stream, registration **out) {
  sim_event event = {0, 0};
  int code = sim_event_create(d, stream, &event);
  if (code != SIM_DONE) return code;
  *out = malloc(sizeof **out);
  if (*out == NULL) abort();
  (*out)->event = event;
  return code;
}

static int end_registered_event(sim_device *d, registration *r) {
  int code = sim_event_destroy(d, &r->event);
  if (code == SIM_DONE) free(r);
  return code;
}

static int get_registered(sim_device *d, size_t size, size_t align, void **ptr,
                          registration **segment) {
  if (*segment != NULL) sim_violation(d, "the segment is not zeroed first");
  *segment = (registration *)(void *)d; /* any pointer that is not NULL */
  return sim_mem_alloc(d, size, align, ptr);
}

static int give_registered_back(sim_device *d, void *ptr, size_t size, registration **segment) {
  if (*segment != (registration *)(void *)d)
    sim_violation(d, "the segment is not what the runtime gave");
  return sim_mem_free(d, ptr, size);
}

#define HC_NAME by_byte
#define HC_CTX_T sim_device *
#define HC_STREAM_T unsigned char
#define HC_EVENT_T registration *
#define HC_SEGMENT_T registration *
#define HC_MEM_ALLOC(ctx, size, align, ptr_out, segment_ptr)                             \
  hostcache_map_memory(get_registered(ctx, size, align, ptr_out, segment_ptr), SIM_DONE, \
                       SIM_NO_MEMORY, SIM_NO_MEMORY)
#define HC_MEM_FREE(ctx, ptr, size, segment_ptr) \
  hostcache_map(give_registered_back(ctx, ptr, size, segment_ptr), SIM_DONE, SIM_DONE)
#define HC_EVENT_CREATE(ctx, s, event_ptr) \
  hostcache_map(make_registered_event(ctx, s, event_ptr), SIM_DONE, SIM_DONE)
#define HC_EVENT_DESTROY(ctx, event_ptr) \
  hostcache_map(end_registered_event(ctx, *(event_ptr)), SIM_DONE, SIM_DONE)
#define HC_EVENT_RECORD(ctx, event_ptr, s) \
  hostcache_map(sim_event_record(ctx, &(*(event_ptr))->event, s), SIM_DONE, SIM_DONE)
#define HC_EVENT_QUERY(ctx, event_ptr) \
  hostcache_map(sim_event_query(ctx, &(*(event_ptr))->event), SIM_DONE, SIM_PENDING)
#include "hostcache.h"

/* ---- a stream that is wider than a hash ------------------------------------------------------ */

#ifdef __SIZEOF_INT128__
__extension__ typedef unsigned __int128 wide_stream;

/* Only the upper half says which stream it is. */
static sim_stream narrow(wide_stream stream) { return (sim_stream)(stream >> 64); }

#define HC_NAME by_width
#define HC_STREAM_T wide_stream
#define HC_EVENT_T sim_point
#include "sim/hooks_memory.h"
#define HC_EVENT_RECORD(ctx, event_ptr, s) \
  hostcache_map(sim_point_record(ctx, event_ptr, narrow(s)), SIM_DONE, SIM_DONE)
#define HC_EVENT_QUERY(ctx, event_ptr) \
  hostcache_map(sim_point_query(ctx, event_ptr), SIM_DONE, SIM_PENDING)
#include "hostcache.h"
#endif

/* ---- no streams ------------------------------------------------------------------------------ */

#define HC_NAME of_the_cpu
#include "sim/hooks_memory.h"
#define HC_NO_STREAMS
#include "hostcache.h"

#define HC_NAME of_requests
#include "sim/hooks_requests.h"
#include "hostcache.h"

/* ---- how it is emitted ----------------------------------------------------------------------- */

#define HC_NAME for_this_file
#include "sim/hooks_pooled.h"
#define HC_STATIC
#include "hostcache.h"

#if defined __GNUC__ && !defined _WIN32 /* which has no visibility */
#define HC_API __attribute__((visibility("hidden")))
#else
#define HC_API
#endif
#define HC_NAME hidden
#include "sim/hooks_pooled.h"
#include "hostcache.h"

/* HOSTCACHE_IMPLEMENTATION does not emit these two: their functions would be undefined, were they
   called. */
#define HC_NAME only_declared
#include "sim/hooks_pooled.h"
#define HC_DECLARE
#include "hostcache.h"

#define HC_NAME without_hooks
#define HC_STREAM_T int
#include "hostcache.h"

/* ---- what is left of the parameters: nothing ------------------------------------------------- */

#if defined HC_NAME || defined HC_STREAM_T || defined HC_CTX_T || defined HC_SEGMENT_T ||    \
    defined HC_MEM_ALLOC || defined HC_MEM_FREE || defined HC_EVENT_T ||                     \
    defined HC_EVENT_RECORD || defined HC_EVENT_QUERY || defined HC_EVENT_CREATE ||          \
    defined HC_EVENT_DESTROY || defined HC_EVENT_WAIT || defined HC_STREAM_WAIT ||           \
    defined HC_TIMELINE_WAIT || defined HC_TIMELINE || defined HC_TIMELINE_RECORD ||         \
    defined HC_TIMELINE_QUERY || defined HC_NO_STREAMS || defined HC_STREAM_EQ ||            \
    defined HC_STREAM_HASH || defined HC_API || defined HC_STATIC || defined HC_IMPLEMENT || \
    defined HC_DECLARE
#error "a parameter outlives its inclusion"
#endif

#include "helpers.h"

static int make_device(void **state) {
  (void)state;
  the_device = malloc(sizeof *the_device);
  if (the_device == NULL) return -1;
  sim_open(the_device);
  return 0;
}

static int end_device(void **state) {
  (void)state;
  assert_int_equal(sim_close(the_device, 0, 0), 0);
  assert_int_equal(atomic_load(&below.live), 0);
  free(the_device);
  return 0;
}

static void what_makes_two_streams_the_same_is_the_users_to_say(void **state) {
  const lane_of_device one = {1, 7, "a name"}, the_same = {1, 7, "another"},
                       other = {3, 8, "a name"};
  by_struct *cache;
  hostcache_stats stats = {0};
  void *ptr;
  (void)state;
  assert_ok(by_struct_create(&cache, NULL, the_device)); /* the context is a void * */
  assert_ok(by_struct_alloc(cache, 64 * KIB, &ptr));
  sim_handed_out(the_device, ptr, 64 * KIB);
  assert_ok(by_struct_record_stream(cache, ptr, one));
  assert_ok(by_struct_record_stream(cache, ptr, the_same));
  assert_ok(by_struct_record_stream(cache, ptr, other));
  (void)sim_use(the_device, 7, ptr);
  (void)sim_use(the_device, 8, ptr);
  sim_handed_back(the_device, ptr);
  assert_ok(by_struct_free(cache, ptr));
  assert_ok(by_struct_stats(cache, &stats));
  assert_int_equal(stats.num_event_record, 2);
  assert_ok(by_struct_forget_stream(cache, the_same));
  sim_stream_destroy(the_device, 7);
  sim_complete_all(the_device);
  assert_ok(by_struct_synchronize(cache, 0));
  assert_ok(by_struct_check(cache));
  assert_ok(by_struct_destroy(cache));
}

static void many_streams_with_one_hash_are_told_apart(void **state) {
  enum { STREAMS = 100 };
  by_struct *cache;
  size_t ready;
  void *ptr;
  int i;
  (void)state;
  assert_ok(by_struct_create(&cache, NULL, the_device));
  for (i = 0; i < STREAMS; i++) {
    lane_of_device stream = {2, 0, NULL};
    stream.stream = i;
    assert_ok(by_struct_alloc(cache, 4 * KIB, &ptr));
    assert_ok(by_struct_record_stream(cache, ptr, stream));
    (void)sim_submit(the_device, i);
    assert_ok(by_struct_free(cache, ptr));
  }
  for (i = STREAMS - 1; i >= 0; i--) {
    sim_complete(the_device, i, -1);
    assert_ok(by_struct_process_events(cache, &ready));
    assert_int_equal(ready, 1);
  }
  assert_ok(by_struct_check(cache));
  assert_ok(by_struct_destroy(cache));
}

static void a_context_may_be_a_struct_and_a_stream_a_pointer(void **state) {
  runtime_context ctx;
  struct queue_object queue = {5};
  by_pointer *cache;
  size_t ready;
  void *ptr;
  (void)state;
  ctx.device = the_device;
  ctx.cookie = COOKIE;
  assert_ok(by_pointer_create(&cache, NULL, ctx));
  assert_ok(by_pointer_alloc(cache, 64 * KIB, &ptr));
  assert_ok(by_pointer_record_stream(cache, ptr, &queue));
  (void)sim_submit(the_device, 5);
  assert_ok(by_pointer_free(cache, ptr));
  assert_ok(by_pointer_process_events(cache, &ready));
  assert_int_equal(ready, 0);
  sim_complete_all(the_device);
  assert_ok(by_pointer_process_events(cache, &ready));
  assert_int_equal(ready, 1);
  assert_ok(by_pointer_forget_stream(cache, &queue));
  assert_ok(by_pointer_check(cache));
  assert_ok(by_pointer_destroy(cache));
}

static void events_and_segments_may_be_pointers_and_a_stream_a_byte(void **state) {
  by_byte *cache;
  by_byte_block *block;
  size_t offset = 99;
  int i;
  (void)state;
  assert_ok(by_byte_create(&cache, NULL, the_device));
  for (i = 0; i < 3; i++) {
    assert_ok(by_byte_block_alloc(cache, 64 * KIB, &block));
    assert_ptr_equal((const void *)*by_byte_block_segment(block, &offset),
                     (const void *)the_device);
    assert_int_equal(offset, 0);
    assert_ok(by_byte_block_record_stream(cache, block, 100));
    (void)sim_submit(the_device, 100);
    assert_ok(by_byte_block_free(cache, block));
    sim_complete_all(the_device);
    assert_ok(by_byte_process_events(cache, NULL));
  }
  assert_int_equal(the_device->calls[SIM_EVENT_CREATE], 1);
  assert_ok(by_byte_check(cache));
  assert_ok(by_byte_destroy(cache));
}

static void streams_that_are_wider_than_a_hash_are_told_apart(void **state) {
#ifdef __SIZEOF_INT128__
  enum { STREAMS = 20 };
  by_width *cache;
  size_t ready;
  void *ptr;
  int i;
  (void)state;
  assert_ok(by_width_create(&cache, NULL, the_device));
  for (i = 0; i < STREAMS; i++) {
    assert_ok(by_width_alloc(cache, 4 * KIB, &ptr));
    assert_ok(by_width_record_stream(cache, ptr, (wide_stream)i << 64 | 5));
    (void)sim_submit(the_device, i);
    assert_ok(by_width_free(cache, ptr));
  }
  for (i = STREAMS - 1; i >= 0; i--) {
    sim_complete(the_device, i, -1);
    assert_ok(by_width_process_events(cache, &ready));
    assert_int_equal(ready, 1);
    assert_ok(by_width_forget_stream(cache, (wide_stream)i << 64 | 5));
  }
  assert_ok(by_width_check(cache));
  assert_ok(by_width_destroy(cache));
#else
  (void)state;
  needs("a number of 128 bits", false);
#endif
}

static void without_streams_it_is_a_caching_allocator(void **state) {
  of_the_cpu *cache;
  of_the_cpu_block *block;
  hostcache_stats stats = {0};
  void *ptr, *again;
  size_t ready = 99;
  (void)state;
  assert_ok(of_the_cpu_create(&cache, NULL, the_device));
  assert_ok(of_the_cpu_alloc(cache, 100000, &ptr));
  assert_ok(of_the_cpu_free(cache, ptr));
  assert_result(of_the_cpu_free(cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_ok(of_the_cpu_alloc(cache, 100000, &again));
  assert_ptr_equal(ptr, again);
  assert_ok(of_the_cpu_free_deferred(cache, again));
  assert_ok(of_the_cpu_block_alloc(cache, 3 * MIB, &block));
  assert_ok(of_the_cpu_block_free(cache, block));
  assert_ok(of_the_cpu_process_events(cache, &ready));
  assert_int_equal(ready, 0);
  assert_ok(of_the_cpu_synchronize(cache, UINT64_MAX));
  assert_ok(of_the_cpu_release_quarantine(cache));
  assert_ok(of_the_cpu_stats(cache, &stats));
  assert_int_equal(stats.num_hits, 1);
  assert_int_equal(stats.num_event_query + stats.num_event_record, 0);
  assert_ok(of_the_cpu_empty_cache(cache));
  assert_ok(of_the_cpu_check(cache));
  assert_ok(of_the_cpu_destroy(cache));
}

static void without_streams_a_block_may_wait_for_requests(void **state) {
  of_requests *cache;
  size_t ready = 99;
  void *ptr, *other;
  int i;
  (void)state;
  assert_ok(of_requests_create(&cache, NULL, the_device));
  assert_ok(of_requests_alloc(cache, 64 * KIB, &ptr));
  sim_handed_out(the_device, ptr, 64 * KIB);
  for (i = 0; i < 6; i++) {
    (void)sim_use(the_device, i, ptr);
    assert_ok(of_requests_record_event(cache, (char *)ptr + i, sim_own_event(the_device, i)));
  }
  sim_handed_back(the_device, ptr);
  assert_ok(of_requests_free(cache, ptr));
  for (i = 5; i >= 0; i--) {
    assert_ok(of_requests_alloc(cache, 64 * KIB, &other));
    sim_handed_out(the_device, other, 64 * KIB); /* the referee: it is not the same block */
    sim_handed_back(the_device, other);
    assert_ok(of_requests_free(cache, other));
    sim_complete(the_device, i, -1);
  }
  assert_ok(of_requests_process_events(cache, &ready));
  assert_int_equal(ready, 1);
  assert_ok(of_requests_check(cache));
  assert_ok(of_requests_destroy(cache));
}

static void a_static_cache_and_a_decorated_one_work(void **state) {
  for_this_file *mine;
  hidden *other;
  void *ptr;
  (void)state;
  assert_ok(for_this_file_create(&mine, NULL, the_device));
  assert_ok(for_this_file_alloc(mine, 1, &ptr));
  assert_ok(for_this_file_free(mine, ptr));
  assert_ok(for_this_file_check(mine));
  assert_ok(for_this_file_destroy(mine));
  assert_ok(hidden_create(&other, NULL, the_device));
  assert_ok(hidden_check(other));
  assert_ok(hidden_destroy(other));
}

/* Were they emitted, these would be second definitions. */
hostcache_result only_declared_check(only_declared *cache) {
  (void)cache;
  return HOSTCACHE_ERR_UNSUPPORTED;
}

hostcache_result without_hooks_check(without_hooks *cache) {
  (void)cache;
  return HOSTCACHE_ERR_UNSUPPORTED;
}

static void what_only_declares_emits_nothing(void **state) {
  (void)state;
  assert_result(only_declared_check(NULL), HOSTCACHE_ERR_UNSUPPORTED);
  assert_result(without_hooks_check(NULL), HOSTCACHE_ERR_UNSUPPORTED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_device, end_device)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(what_makes_two_streams_the_same_is_the_users_to_say),
      TEST(many_streams_with_one_hash_are_told_apart),
      TEST(a_context_may_be_a_struct_and_a_stream_a_pointer),
      TEST(events_and_segments_may_be_pointers_and_a_stream_a_byte),
      TEST(streams_that_are_wider_than_a_hash_are_told_apart),
      TEST(without_streams_it_is_a_caching_allocator),
      TEST(without_streams_a_block_may_wait_for_requests),
      TEST(a_static_cache_and_a_decorated_one_work),
      TEST(what_only_declares_emits_nothing),
  };
  return cmocka_run_group_tests_name("parameters", tests, NULL, NULL);
}
