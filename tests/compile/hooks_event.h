/* Defines a stream, and events that are plain values, for the next inclusion of hostcache.h. */
#include "runtime.h"

#define HC_STREAM_T rt_stream
#define HC_EVENT_T rt_event
#define HC_EVENT_RECORD(ctx, event_ptr, stream) \
  ((void)(ctx), hostcache_map(rt_event_record(event_ptr, stream), RT_OK, RT_NOT_READY))
#define HC_EVENT_QUERY(ctx, event_ptr) \
  ((void)(ctx), hostcache_map(rt_event_query(event_ptr), RT_OK, RT_NOT_READY))
