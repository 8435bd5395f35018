/* Streams, but neither events nor a timeline: what event mode lacks, and the way out. */
/* expect 1: define HC_EVENT_T, .*HC_TIMELINE */
/* expect 1: define HC_EVENT_RECORD */
/* expect 1: define HC_EVENT_QUERY */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#define HC_NAME pinned
#define HC_STREAM_T rt_stream
#include "hostcache.h"

#include "use.h"
