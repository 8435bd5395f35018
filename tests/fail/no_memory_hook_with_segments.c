/* With HC_SEGMENT_T the signature that the message shows has one more argument. */
/* expect 1: define HC_MEM_ALLOC\(ctx, size, align, ptr_out, segment_ptr\) */
/* expect 1: define HC_MEM_FREE\(ctx, ptr, size, segment_ptr\) */
#define HC_IMPLEMENT
#include "hooks_event.h"
#define HC_NAME pinned
#define HC_SEGMENT_T rt_key
#include "hostcache.h"

#include "use.h"
