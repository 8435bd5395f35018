/* variants: CAPTURING NO_STREAMS NO_POOLS */
/* expect 1: HC_STREAM_CURRENT.*HC_STREAM_IS_CAPTURING */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#define HC_NAME pinned
#ifdef VARIANT_NO_STREAMS
#define HC_NO_STREAMS
#else
#include "hooks_event.h"
#endif
#ifndef VARIANT_NO_POOLS
#define HC_POOLS
#endif
#ifdef VARIANT_CAPTURING
#define HC_STREAM_IS_CAPTURING(ctx, stream) ((void)(ctx), (void)(stream), hostcache_pending())
#else
#define HC_STREAM_CURRENT(ctx, stream_ptr) ((void)(ctx), (void)(stream_ptr), hostcache_done())
#endif
#include "hostcache.h"

#ifndef VARIANT_NO_STREAMS
#include "use.h"
#endif
