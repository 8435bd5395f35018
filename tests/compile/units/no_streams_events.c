/* No streams, but events that the caller makes: requests of MPI, completions of io_uring. */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#define HC_NAME requests
#define HC_NO_STREAMS
#define HC_EVENT_T rt_event
#define HC_EVENT_QUERY(ctx, event_ptr) \
  ((void)(ctx), hostcache_map(rt_event_query(event_ptr), RT_OK, RT_NOT_READY))
#include "hostcache.h"

#include "hooks_memory.h"
#define HC_NAME owned_requests
#define HC_NO_STREAMS
#define HC_EVENT_T rt_event
#define HC_EVENT_QUERY(ctx, event_ptr) \
  ((void)(ctx), hostcache_map(rt_event_query(event_ptr), RT_OK, RT_NOT_READY))
#define HC_EVENT_DESTROY(ctx, event_ptr) ((void)(ctx), (void)(event_ptr), hostcache_done())
#define HC_EVENT_WAIT(ctx, event_ptr) ((void)(ctx), (void)(event_ptr), hostcache_done())
#include "hostcache.h"
