/* expect 1: define HC_EVENT_DESTROY\(ctx, event_ptr\), .*HC_EVENT_CREATE */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#define HC_EVENT_CREATE(ctx, stream, event_ptr) hostcache_done()
#include "hostcache.h"

#include "use.h"
