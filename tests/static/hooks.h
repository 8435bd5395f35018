/* The parameters of a cache in the mode that is given as -DMODE_<name>, for tools that read code
   and do not run it. Its runtime is only declared: what it does is not the header's, and a tool has
   to expect anything. */
#include <stddef.h>
#include <stdint.h>

typedef struct device device;
typedef struct event {
  uint64_t value;
} event;

int device_alloc(device *d, size_t size, size_t align, void **ptr);
int device_free(device *d, void *ptr, size_t size);
int device_create(device *d, int stream, event *e);
int device_destroy(device *d, event *e);
int device_record(device *d, event *e, int stream);
int device_query(device *d, event *e);
int device_wait_event(device *d, event *e);
int device_wait_stream(device *d, int stream);
int device_record_value(device *d, int stream, uint64_t *value);
int device_query_value(device *d, int stream, uint64_t *value);
int device_wait_value(device *d, int stream, uint64_t value);
int device_order(device *d, int stream, event *e);
int device_current(device *d, int *stream);
int device_capturing(device *d, int stream);
int device_memory(device *d, size_t *free_bytes, size_t *total_bytes);

#ifdef MODE_THREADS_NONE
#define HOSTCACHE_THREADS HOSTCACHE_THREADS_NONE
#endif
#ifdef MODE_DEBUG
#define HOSTCACHE_DEBUG
#endif
#define HOSTCACHE_IMPLEMENTATION
#define HC_NAME cache
#define HC_CTX_T device *
#define HC_MEM_ALLOC(ctx, size, align, ptr_out) \
  hostcache_map_memory(device_alloc(ctx, size, align, ptr_out), 0, 1, 1)
#define HC_MEM_FREE(ctx, ptr, size) hostcache_map(device_free(ctx, ptr, size), 0, 1)

#if defined MODE_NO_STREAMS || defined MODE_OWN_SEGMENTS || defined MODE_REQUESTS
#define HC_NO_STREAMS
#else
#define HC_STREAM_T int
#endif

#ifdef MODE_OWN_SEGMENTS
#define HC_OWN_SEGMENTS
#endif

#if defined MODE_TIMELINE || defined MODE_TIMELINE_WAITS
#define HC_TIMELINE
#define HC_TIMELINE_RECORD(ctx, stream, value_ptr) \
  hostcache_map(device_record_value(ctx, stream, value_ptr), 0, 1)
#define HC_TIMELINE_QUERY(ctx, stream, value_ptr) \
  hostcache_map(device_query_value(ctx, stream, value_ptr), 0, 1)
#elif !defined MODE_NO_STREAMS && !defined MODE_OWN_SEGMENTS
#define HC_EVENT_T event
#define HC_EVENT_QUERY(ctx, event_ptr) hostcache_map(device_query(ctx, event_ptr), 0, 1)
#ifndef MODE_REQUESTS
#define HC_EVENT_RECORD(ctx, event_ptr, stream) \
  hostcache_map(device_record(ctx, event_ptr, stream), 0, 1)
#endif
#endif

#if defined MODE_POOLED || defined MODE_POOLED_WAITS || defined MODE_INTERFACES
#define HC_EVENT_CREATE(ctx, stream, event_ptr) \
  hostcache_map(device_create(ctx, stream, event_ptr), 0, 1)
#endif
#if defined MODE_POOLED || defined MODE_POOLED_WAITS || defined MODE_INTERFACES || \
    defined MODE_OWNED || defined MODE_REQUESTS
#define HC_EVENT_DESTROY(ctx, event_ptr) hostcache_map(device_destroy(ctx, event_ptr), 0, 1)
#endif

#ifdef MODE_POOLED_WAITS
#define HC_EVENT_WAIT(ctx, event_ptr) hostcache_map(device_wait_event(ctx, event_ptr), 0, 1)
#endif
#if defined MODE_POOLED_WAITS || defined MODE_TIMELINE_WAITS
#define HC_STREAM_WAIT(ctx, stream) hostcache_map(device_wait_stream(ctx, stream), 0, 1)
#endif
#ifdef MODE_TIMELINE_WAITS
#define HC_TIMELINE_WAIT(ctx, stream, value) \
  hostcache_map(device_wait_value(ctx, stream, value), 0, 1)
#endif

#ifdef MODE_ORDERED
#define HC_STREAM_ORDERED
#define HC_STREAM_WAIT_EVENT(ctx, stream, event_ptr) \
  hostcache_map(device_order(ctx, stream, event_ptr), 0, 1)
#endif

#if defined MODE_POOLS || defined MODE_INTERFACES
#define HC_POOLS
#define HC_STREAM_CURRENT(ctx, stream_ptr) hostcache_map(device_current(ctx, stream_ptr), 0, 1)
#define HC_STREAM_IS_CAPTURING(ctx, stream) hostcache_map(device_capturing(ctx, stream), 0, 1)
#endif
#ifdef MODE_INTERFACES
#define HOSTCACHE_REGISTRY_IMPLEMENTATION
#define HC_HOST_ALLOCATOR
#define HC_TRACE
#define HC_DEVICE_ALLOCATOR
#define HC_MEM_INFO(ctx, free_ptr, total_ptr) \
  hostcache_map(device_memory(ctx, free_ptr, total_ptr), 0, 1)
#endif
