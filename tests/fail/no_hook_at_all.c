/* As many errors as hooks are missing. */
/* expect 1: define HC_MEM_ALLOC\(ctx, size, align, ptr_out\) */
/* expect 1: define HC_MEM_FREE\(ctx, ptr, size\) */
/* expect 1: define HC_EVENT_RECORD\(ctx, event_ptr, stream\) */
/* expect 1: define HC_EVENT_QUERY\(ctx, event_ptr\) */
#define HC_IMPLEMENT
#define HC_NAME pinned
#define HC_STREAM_T int
#define HC_EVENT_T int
#include "hostcache.h"

#include "use.h"
