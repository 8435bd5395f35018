/* variants: HOSTCACHE_MALLOC HOSTCACHE_FREE */
/* expect 1: define VARIANT\(.*\), which HOSTCACHE_.* needs */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#ifdef VARIANT_HOSTCACHE_FREE
#define HOSTCACHE_MALLOC(size) malloc(size)
#else
#define HOSTCACHE_FREE(ptr) free(ptr)
#endif
#include "hostcache.h"

#include "use.h"
