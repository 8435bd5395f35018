/* timeline.c - the cache `timeline_cache`: see caches.h. */
#define HOSTCACHE_IMPLEMENTATION
#define HC_NAME timeline_cache
#include "hooks_timeline.h"
#include "hostcache.h"
