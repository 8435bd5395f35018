/* No streams: a plain caching allocator. */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#define HC_NAME plain
#define HC_NO_STREAMS
#include "hostcache.h"
