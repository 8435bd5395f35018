/* expect 1: define HC_OWN_SEGMENTS, which HC_FREE_FOREIGN\(ctx, ptr\) belongs to */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#define HC_NAME pinned
#define HC_NO_STREAMS
#define HC_FREE_FOREIGN(ctx, ptr) ((void)(ctx), (void)(ptr), hostcache_done())
#include "hostcache.h"

#include "use.h"
