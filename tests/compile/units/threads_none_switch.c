/* No threads, the other way to say it: as a compiler's -D would. */
#define HOSTCACHE_THREADS_NONE
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_timeline.h"
#define HC_NAME pinned
#include "hostcache.h"
