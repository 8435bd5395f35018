/* Event mode: recording makes the event, HC_EVENT_DESTROY ends it. */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#define HC_EVENT_DESTROY(ctx, event_ptr) ((void)(ctx), (void)(event_ptr), hostcache_done())
#include "hostcache.h"
