// A hook must not throw. One that does is told to on_error and becomes a failure: nothing flies
// through the header, whose callers may be C.
#include <stdexcept>

#include "expect.h"
#include "runtime.h"

namespace {

enum place {
  nowhere,
  in_mem_alloc,
  in_mem_free,
  in_create,
  in_record,
  in_query,
  in_destroy,
  in_free_foreign
};
place throws;
int errors_told;

void maybe_throw(place here) {
  if (throws == here) throw std::runtime_error("thrown by a hook");
}

}  // namespace

#define HC_NAME pinned
#define HC_STREAM_T rt_stream
#define HC_EVENT_T rt_event
#define HC_IMPLEMENT
#define HC_MEM_ALLOC(ctx, size, align, ptr_out) \
  ((void)(ctx), maybe_throw(in_mem_alloc),      \
   hostcache_map_memory(rt_mem_alloc(size, align, ptr_out), RT_OK, RT_NO_MEMORY, RT_NO_MEMORY))
#define HC_MEM_FREE(ctx, ptr, size) \
  ((void)(ctx), (void)(size), maybe_throw(in_mem_free), rt_mem_free(ptr), hostcache_done())
#define HC_EVENT_CREATE(ctx, stream, event_ptr) \
  ((void)(ctx), (void)(stream), (void)(event_ptr), maybe_throw(in_create), hostcache_done())
#define HC_EVENT_DESTROY(ctx, event_ptr) \
  ((void)(ctx), (void)(event_ptr), maybe_throw(in_destroy), hostcache_done())
#define HC_EVENT_RECORD(ctx, event_ptr, stream) \
  ((void)(ctx), (void)(stream), (void)(event_ptr), maybe_throw(in_record), hostcache_done())
#define HC_EVENT_QUERY(ctx, event_ptr) \
  ((void)(ctx), (void)(event_ptr), maybe_throw(in_query), hostcache_done())
#include "hostcache.h"

#define HC_NAME tensors
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#define HC_IMPLEMENT
#define HC_MEM_ALLOC(ctx, size, align, ptr_out) \
  ((void)(ctx),                                 \
   hostcache_map_memory(rt_mem_alloc(size, align, ptr_out), RT_OK, RT_NO_MEMORY, RT_NO_MEMORY))
#define HC_MEM_FREE(ctx, ptr, size) ((void)(ctx), (void)(size), rt_mem_free(ptr), hostcache_done())
#define HC_FREE_FOREIGN(ctx, ptr) \
  ((void)(ctx), (void)(ptr), maybe_throw(in_free_foreign), hostcache_done())
#include "hostcache.h"

namespace {

void count_error(void *, hostcache_result, int64_t, const char *, const void *) { errors_told++; }

hostcache_config telling() {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  config.on_error = count_error;
  config.query_error_limit = 100;
  return config;
}

void an_alloc_hook_that_throws() {
  hostcache_config config = telling();
  pinned *cache = nullptr;
  void *ptr = &config;
  EXPECT(pinned_create(&cache, &config, nullptr) == HOSTCACHE_OK);
  throws = in_mem_alloc;
  errors_told = 0;
  EXPECT(pinned_alloc(cache, 1000, &ptr) == HOSTCACHE_ERR_OUT_OF_MEMORY);
  EXPECT(ptr == nullptr);
  EXPECT(errors_told == 1);
  throws = nowhere;
  EXPECT(pinned_check(cache) == HOSTCACHE_OK);
  EXPECT(pinned_destroy(cache) == HOSTCACHE_OK);
}

void an_event_hook_that_throws_at_free(place here) {
  hostcache_config config = telling();
  pinned *cache = nullptr;
  void *ptr = nullptr;
  hostcache_stats stats;
  EXPECT(pinned_create(&cache, &config, nullptr) == HOSTCACHE_OK);
  EXPECT(pinned_alloc(cache, 1000, &ptr) == HOSTCACHE_OK);
  EXPECT(pinned_record_stream(cache, ptr, 1) == HOSTCACHE_OK);
  throws = here;
  errors_told = 0;
  EXPECT(pinned_free(cache, ptr) == HOSTCACHE_ERR_EVENT);
  EXPECT(errors_told >= 1);
  throws = nowhere;
  EXPECT(pinned_stats(cache, &stats) == HOSTCACHE_OK);
  EXPECT(stats.quarantined.current == 1);
  EXPECT(pinned_check(cache) == HOSTCACHE_OK);
  EXPECT(pinned_release_quarantine(cache) == HOSTCACHE_OK);
  EXPECT(pinned_destroy(cache) == HOSTCACHE_OK);
}

void a_query_that_throws() {
  hostcache_config config = telling();
  pinned *cache = nullptr;
  void *ptr = nullptr;
  hostcache_stats stats;
  EXPECT(pinned_create(&cache, &config, nullptr) == HOSTCACHE_OK);
  EXPECT(pinned_alloc(cache, 1000, &ptr) == HOSTCACHE_OK);
  EXPECT(pinned_record_stream(cache, ptr, 1) == HOSTCACHE_OK);
  EXPECT(pinned_free(cache, ptr) == HOSTCACHE_OK);
  throws = in_query;
  errors_told = 0;
  EXPECT(pinned_process_events(cache, nullptr) == HOSTCACHE_ERR_EVENT);
  EXPECT(errors_told == 1);
  EXPECT(pinned_stats(cache, &stats) == HOSTCACHE_OK);
  EXPECT(stats.pending.current == 1);
  throws = nowhere;
  EXPECT(pinned_process_events(cache, nullptr) == HOSTCACHE_OK);
  EXPECT(pinned_check(cache) == HOSTCACHE_OK);
  EXPECT(pinned_destroy(cache) == HOSTCACHE_OK);
}

void a_free_hook_that_throws() {
  hostcache_config config = telling();
  pinned *cache = nullptr;
  void *ptr = nullptr;
  hostcache_stats stats;
  EXPECT(pinned_create(&cache, &config, nullptr) == HOSTCACHE_OK);
  EXPECT(pinned_alloc(cache, 1000, &ptr) == HOSTCACHE_OK);
  EXPECT(pinned_free(cache, ptr) == HOSTCACHE_OK);
  throws = in_mem_free;
  errors_told = 0;
  EXPECT(pinned_empty_cache(cache) == HOSTCACHE_ERR_LEAKED);
  EXPECT(errors_told == 1);
  throws = nowhere;
  EXPECT(pinned_stats(cache, &stats) == HOSTCACHE_OK);
  EXPECT(stats.leaked.current == 1);
  EXPECT(pinned_check(cache) == HOSTCACHE_OK);
  EXPECT(pinned_destroy(cache) == HOSTCACHE_ERR_LEAKED);
  rt_mem_free(ptr); /* what the hook did not give back before it threw */
}

void a_destroy_hook_that_throws() {
  hostcache_config config = telling();
  pinned *cache = nullptr;
  void *ptr = nullptr;
  EXPECT(pinned_create(&cache, &config, nullptr) == HOSTCACHE_OK);
  EXPECT(pinned_alloc(cache, 1000, &ptr) == HOSTCACHE_OK);
  EXPECT(pinned_record_stream(cache, ptr, 1) == HOSTCACHE_OK);
  EXPECT(pinned_free(cache, ptr) == HOSTCACHE_OK);
  throws = in_destroy;
  errors_told = 0;
  pinned_destroy(cache); /* what it returns is not the point: that it returns is */
  EXPECT(errors_told >= 1);
  throws = nowhere;
}

void a_hook_for_what_is_foreign_that_throws() {
  hostcache_config config = telling();
  tensors *cache = nullptr;
  EXPECT(tensors_create(&cache, &config, nullptr) == HOSTCACHE_OK);
  throws = in_free_foreign;
  errors_told = 0;
  EXPECT(tensors_free(cache, &config) == HOSTCACHE_ERR_HOOK);
  EXPECT(errors_told == 1);
  throws = nowhere;
  EXPECT(tensors_free(cache, &config) == HOSTCACHE_OK);
  EXPECT(tensors_destroy(cache) == HOSTCACHE_OK);
}

}  // namespace

int main() {
  an_alloc_hook_that_throws();
  an_event_hook_that_throws_at_free(in_create);
  an_event_hook_that_throws_at_free(in_record);
  a_query_that_throws();
  a_free_hook_that_throws();
  a_destroy_hook_that_throws();
  a_hook_for_what_is_foreign_that_throws();
  return 0;
}
