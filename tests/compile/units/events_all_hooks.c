/* Event mode: every hook there is, the waits among them. */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#define HC_EVENT_CREATE(ctx, stream, event_ptr) \
  ((void)(ctx), hostcache_map(rt_event_record(event_ptr, stream), RT_OK, RT_NOT_READY))
#define HC_EVENT_DESTROY(ctx, event_ptr) ((void)(ctx), (void)(event_ptr), hostcache_done())
#define HC_EVENT_WAIT(ctx, event_ptr) ((void)(ctx), (void)(event_ptr), hostcache_done())
#define HC_STREAM_WAIT(ctx, stream) ((void)(ctx), (void)(stream), hostcache_done())
#include "hostcache.h"
