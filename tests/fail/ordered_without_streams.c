/* expect 1: HC_STREAM_ORDERED needs streams */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#define HC_NAME pinned
#define HC_NO_STREAMS
#define HC_STREAM_ORDERED
#include "hostcache.h"
