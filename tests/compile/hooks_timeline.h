/* Defines a stream with a timeline, for the next inclusion of hostcache.h. */
#include "runtime.h"

#define HC_TIMELINE
#define HC_STREAM_T rt_stream
#define HC_TIMELINE_RECORD(ctx, stream, value_ptr) \
  ((void)(ctx), hostcache_map(rt_value(stream, value_ptr), RT_OK, RT_NOT_READY))
#define HC_TIMELINE_QUERY(ctx, stream, value_ptr) \
  ((void)(ctx), hostcache_map(rt_value(stream, value_ptr), RT_OK, RT_NOT_READY))
