/* library.c - the caches `library_cache` and, with LIBRARY_INITIAL, `library_initial_cache`: see
   caches.h. Each is in a shared object; the second says how its thread-locals are reached. */
#ifdef LIBRARY_INITIAL
#define HOSTCACHE_TLS_MODEL "initial-exec"
#define HC_NAME library_initial_cache
#else
#define HC_NAME library_cache
#endif
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_event.h"
#include "hostcache.h"
