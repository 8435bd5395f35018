/* events.c - the cache `events_cache`: see caches.h. Also what cost.py measures the cost of. */
#define HOSTCACHE_IMPLEMENTATION
#define HC_NAME events_cache
#include "hooks_event.h"
#include "hostcache.h"
