/* expect 1: HC_TIMELINE and HC_EVENT_T exclude each other */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_timeline.h"
#define HC_NAME pinned
#define HC_EVENT_T rt_event
#include "hostcache.h"
