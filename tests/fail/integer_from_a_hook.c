/* What 0 means differs from runtime to runtime: a hook that gives a bare integer must not
   compile. */
/* variants: HC_MEM_ALLOC HC_MEM_FREE HC_EVENT_CREATE HC_EVENT_DESTROY HC_EVENT_RECORD
             HC_EVENT_QUERY HC_EVENT_WAIT HC_STREAM_WAIT HC_TIMELINE_RECORD HC_TIMELINE_QUERY
             HC_TIMELINE_WAIT HC_FREE_FOREIGN */
/* expect 1: hostcache_status|no viable overloaded '=' */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#define HC_NAME pinned

#if defined VARIANT_HC_TIMELINE_RECORD || defined VARIANT_HC_TIMELINE_QUERY || \
    defined VARIANT_HC_TIMELINE_WAIT
#include "hooks_timeline.h"
#define HC_TIMELINE_WAIT(ctx, stream, value) hostcache_done()
#elif defined VARIANT_HC_FREE_FOREIGN
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#else
#include "hooks_event.h"
#define HC_EVENT_CREATE(ctx, stream, event_ptr) hostcache_done()
#define HC_EVENT_DESTROY(ctx, event_ptr) hostcache_done()
#define HC_EVENT_WAIT(ctx, event_ptr) hostcache_done()
#endif
#ifndef HC_NO_STREAMS
#define HC_STREAM_WAIT(ctx, stream) hostcache_done()
#endif

#if defined VARIANT_HC_MEM_ALLOC
#undef HC_MEM_ALLOC
#define HC_MEM_ALLOC(ctx, size, align, ptr_out) rt_mem_alloc(size, align, ptr_out)
#elif defined VARIANT_HC_MEM_FREE
#undef HC_MEM_FREE
#define HC_MEM_FREE(ctx, ptr, size) rt_mem_free(ptr)
#elif defined VARIANT_HC_EVENT_CREATE
#undef HC_EVENT_CREATE
#define HC_EVENT_CREATE(ctx, stream, event_ptr) rt_event_record(event_ptr, stream)
#elif defined VARIANT_HC_EVENT_DESTROY
#undef HC_EVENT_DESTROY
#define HC_EVENT_DESTROY(ctx, event_ptr) rt_event_query(event_ptr)
#elif defined VARIANT_HC_EVENT_RECORD
#undef HC_EVENT_RECORD
#define HC_EVENT_RECORD(ctx, event_ptr, stream) rt_event_record(event_ptr, stream)
#elif defined VARIANT_HC_EVENT_QUERY
#undef HC_EVENT_QUERY
#define HC_EVENT_QUERY(ctx, event_ptr) rt_event_query(event_ptr)
#elif defined VARIANT_HC_EVENT_WAIT
#undef HC_EVENT_WAIT
#define HC_EVENT_WAIT(ctx, event_ptr) rt_event_query(event_ptr)
#elif defined VARIANT_HC_STREAM_WAIT
#undef HC_STREAM_WAIT
#define HC_STREAM_WAIT(ctx, stream) (stream)
#elif defined VARIANT_HC_TIMELINE_RECORD
#undef HC_TIMELINE_RECORD
#define HC_TIMELINE_RECORD(ctx, stream, value_ptr) rt_value(stream, value_ptr)
#elif defined VARIANT_HC_TIMELINE_QUERY
#undef HC_TIMELINE_QUERY
#define HC_TIMELINE_QUERY(ctx, stream, value_ptr) rt_value(stream, value_ptr)
#elif defined VARIANT_HC_TIMELINE_WAIT
#undef HC_TIMELINE_WAIT
#define HC_TIMELINE_WAIT(ctx, stream, value) (0)
#elif defined VARIANT_HC_FREE_FOREIGN
#define HC_FREE_FOREIGN(ctx, ptr) rt_mem_free(ptr)
#else
#error "no such variant"
#endif
#include "hostcache.h"

#include "use.h"
