/* expect 1: define HC_EVENT_QUERY\(ctx, event_ptr\) */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#define HC_NAME pinned
#define HC_NO_STREAMS
#define HC_EVENT_T rt_event
#include "hostcache.h"

#include "use.h"
