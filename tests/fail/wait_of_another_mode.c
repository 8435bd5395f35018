/* variants: NOT_ORDERED VALUE EVENT */
/* expect 1: HC_STREAM_WAIT_(EVENT|VALUE) */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#define HC_NAME pinned
#ifdef VARIANT_EVENT
#include "hooks_timeline.h"
#else
#include "hooks_event.h"
#endif
#ifndef VARIANT_NOT_ORDERED
#define HC_STREAM_ORDERED
#endif
#ifdef VARIANT_VALUE
#define HC_STREAM_WAIT_VALUE(ctx, stream, other, value) \
  ((void)(ctx), (void)(stream), (void)(other), (void)(value), hostcache_done())
#else
#define HC_STREAM_WAIT_EVENT(ctx, stream, event_ptr) \
  ((void)(ctx), (void)(stream), (void)(event_ptr), hostcache_done())
#endif
#include "hostcache.h"

#include "use.h"
