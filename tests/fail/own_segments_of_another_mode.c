/* variants: streams timeline events */
/* expect 1: HC_OWN_SEGMENTS needs HC_NO_STREAMS and no HC_EVENT_T */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#define HC_NAME pinned
#define HC_OWN_SEGMENTS
#if defined VARIANT_streams
#include "hooks_event.h"
#elif defined VARIANT_timeline
#include "hooks_timeline.h"
#else
#define HC_NO_STREAMS
#define HC_EVENT_T rt_event
#define HC_EVENT_QUERY(ctx, event_ptr) ((void)(ctx), (void)(event_ptr), hostcache_done())
#endif
#include "hostcache.h"
