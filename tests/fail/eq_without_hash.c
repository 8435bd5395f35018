/* expect 1: define HC_STREAM_HASH.*HC_STREAM_EQ */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#define HC_STREAM_EQ(a, b) ((a) == (b))
#include "hostcache.h"

#include "use.h"
