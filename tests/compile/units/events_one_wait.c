/* Event mode: either wait hook without the other. */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME waits_for_events
#define HC_EVENT_WAIT(ctx, event_ptr) ((void)(ctx), (void)(event_ptr), hostcache_done())
#include "hostcache.h"

#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME waits_for_streams
#define HC_STREAM_WAIT(ctx, stream) ((void)(ctx), (void)(stream), hostcache_done())
#include "hostcache.h"
