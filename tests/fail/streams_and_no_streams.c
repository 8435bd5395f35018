/* variants: HC_STREAM_T HC_TIMELINE */
/* expect 1: VARIANT .*HC_NO_STREAMS.* exclude */
#define HC_NAME pinned
#define HC_NO_STREAMS
#define HC_MEM_ALLOC(ctx, size, align, ptr_out) hostcache_done()
#define HC_MEM_FREE(ctx, ptr, size) hostcache_done()
#ifdef VARIANT_HC_STREAM_T
#define HC_STREAM_T int
#else
#define HC_TIMELINE
#endif
#include "hostcache.h"
