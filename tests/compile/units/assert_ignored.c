/* HOSTCACHE_ASSERT as nothing at all. */
#define HOSTCACHE_ASSERT(condition) ((void)0)
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#include "hostcache.h"
