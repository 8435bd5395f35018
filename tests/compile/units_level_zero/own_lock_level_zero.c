/* The Level Zero pack with the lock that the program has for its lists. */
struct hostcache_level_zero;
void program_lock(struct hostcache_level_zero *l0, const void *list);
void program_unlock(struct hostcache_level_zero *l0, const void *list);
#define HOSTCACHE_LEVEL_ZERO_LOCK(l0, list) program_lock(l0, list)
#define HOSTCACHE_LEVEL_ZERO_UNLOCK(l0, list) program_unlock(l0, list)
#define HOSTCACHE_LEVEL_ZERO_IMPLEMENTATION
#define HC_NAME pinned
#define HC_STATIC
#include "backends/hostcache_level_zero.h"
#include "hostcache.h"
