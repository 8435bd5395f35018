/* expect 1: define HC_EVENT_T, .*HC_TIMELINE */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#undef HC_EVENT_T
#include "hostcache.h"

#include "use.h"
