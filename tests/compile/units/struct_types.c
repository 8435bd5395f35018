/* Streams, contexts and events that are structs; and so a comparison and a hash for the streams. */
#include "runtime.h"

typedef struct rt_queue {
  void *handle;
  int device;
} rt_queue;
typedef struct context {
  void *library;
  int device;
} context;

static inline int queue_record(context ctx, rt_event *event, rt_queue q) {
  event->value = ctx.device == q.device ? 1 : 0;
  return RT_OK;
}

static inline int queue_value(context ctx, rt_queue q, uint64_t *value) {
  *value = ctx.device == q.device ? 1 : 0;
  return RT_OK;
}

#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#define HC_NAME by_event
#define HC_CTX_T context
#define HC_STREAM_T rt_queue
#define HC_STREAM_EQ(a, b) ((a).handle == (b).handle && (a).device == (b).device)
#define HC_STREAM_HASH(s) ((uintptr_t)(s).handle ^ (uintptr_t)(s).device)
#define HC_EVENT_T rt_event
#define HC_EVENT_RECORD(ctx, event_ptr, stream) \
  hostcache_map(queue_record(ctx, event_ptr, stream), RT_OK, RT_NOT_READY)
#define HC_EVENT_QUERY(ctx, event_ptr) \
  ((void)(ctx), hostcache_map(rt_event_query(event_ptr), RT_OK, RT_NOT_READY))
#include "hostcache.h"

#include "hooks_memory.h"
#define HC_NAME by_value
#define HC_CTX_T context
#define HC_STREAM_T rt_queue
#define HC_STREAM_EQ(a, b) ((a).handle == (b).handle && (a).device == (b).device)
#define HC_STREAM_HASH(s) ((unsigned)(s).device)
#define HC_TIMELINE
#define HC_TIMELINE_RECORD(ctx, stream, value_ptr) \
  hostcache_map(queue_value(ctx, stream, value_ptr), RT_OK, RT_NOT_READY)
#define HC_TIMELINE_QUERY(ctx, stream, value_ptr) \
  hostcache_map(queue_value(ctx, stream, value_ptr), RT_OK, RT_NOT_READY)
#include "hostcache.h"
