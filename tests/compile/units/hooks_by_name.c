/* A hook may also be the bare name of a function that gives a hostcache_status. */
#define HC_NAME declares_the_shared_types
#define HC_NO_STREAMS
#include "hostcache.h"

#include "runtime.h"

static inline hostcache_status my_alloc(void *ctx, size_t size, size_t align, void **ptr) {
  (void)ctx;
  return hostcache_map_memory(rt_mem_alloc(size, align, ptr), RT_OK, RT_NO_MEMORY, RT_NO_MEMORY);
}

static inline hostcache_status my_free(void *ctx, void *ptr, size_t size) {
  (void)ctx;
  (void)size;
  return hostcache_map(rt_mem_free(ptr), RT_OK, RT_NOT_READY);
}

static inline hostcache_status my_record(void *ctx, rt_event *event, rt_stream stream) {
  (void)ctx;
  return hostcache_map(rt_event_record(event, stream), RT_OK, RT_NOT_READY);
}

static inline hostcache_status my_query(void *ctx, rt_event *event) {
  (void)ctx;
  return hostcache_map(rt_event_query(event), RT_OK, RT_NOT_READY);
}

#define HC_IMPLEMENT
#define HC_NAME pinned
#define HC_STREAM_T rt_stream
#define HC_EVENT_T rt_event
#define HC_MEM_ALLOC my_alloc
#define HC_MEM_FREE my_free
#define HC_EVENT_RECORD my_record
#define HC_EVENT_QUERY my_query
#include "hostcache.h"
