/* Timeline mode, without any wait hook and with all of them. */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_timeline.h"
#define HC_NAME pinned
#include "hostcache.h"

#include "hooks_memory.h"
#include "hooks_timeline.h"
#define HC_NAME waits
#define HC_STREAM_WAIT(ctx, stream) ((void)(ctx), (void)(stream), hostcache_done())
#define HC_TIMELINE_WAIT(ctx, stream, value) \
  ((void)(ctx), (void)(stream), (void)(value), hostcache_done())
#include "hostcache.h"
