/* pooled.c - the cache `pooled_cache`: see caches.h. */
#define HOSTCACHE_IMPLEMENTATION
#define HC_NAME pooled_cache
#include "hooks_pooled.h"
#include "hostcache.h"
