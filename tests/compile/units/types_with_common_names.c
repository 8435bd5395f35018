/* A user's types may be called what the header calls its variables: a runtime with a `queue` for a
   stream is no rare one. That they are shadowed is not worth a warning, here. */
#include "runtime.h"

#if defined __GNUC__
#pragma GCC diagnostic ignored "-Wshadow"
#endif

typedef int stream;
typedef int queue;
typedef rt_event event;
typedef void *ctx;
typedef rt_key segment;

#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#undef HC_STREAM_T
#undef HC_EVENT_T
#define HC_NAME by_event
#define HC_STREAM_T queue
#define HC_EVENT_T event
#define HC_CTX_T ctx
#include "hostcache.h"

#include "hooks_timeline.h"
#undef HC_STREAM_T
#define HC_NAME by_value
#define HC_STREAM_T stream
#define HC_SEGMENT_T segment
#define HC_MEM_ALLOC(ctx, size, align, ptr_out, segment_ptr)                                 \
  ((void)(ctx), hostcache_map_memory(rt_key_alloc(size, align, ptr_out, segment_ptr), RT_OK, \
                                     RT_NO_MEMORY, RT_NO_MEMORY))
#define HC_MEM_FREE(ctx, ptr, size, segment_ptr) \
  ((void)(ctx), (void)(size), hostcache_map(rt_key_free(ptr, segment_ptr), RT_OK, RT_NOT_READY))
#include "hostcache.h"
