/* unthreaded.c - the cache `unthreaded_cache`: see caches.h. */
#define HOSTCACHE_THREADS_NONE
#define HOSTCACHE_IMPLEMENTATION
#define HC_NAME unthreaded_cache
#include "hooks_event.h"
#include "hostcache.h"
