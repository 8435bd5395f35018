/* variants: HC_TIMELINE_RECORD HC_TIMELINE_QUERY */
/* expect 1: define VARIANT\(ctx, stream, value_ptr\) */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_timeline.h"
#define HC_NAME pinned
#ifdef VARIANT_HC_TIMELINE_RECORD
#undef HC_TIMELINE_RECORD
#else
#undef HC_TIMELINE_QUERY
#endif
#include "hostcache.h"

#include "use.h"
