/* variants: HC_EVENT_RECORD HC_EVENT_QUERY */
/* expect 1: define VARIANT\(ctx, event_ptr.*\) */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#ifdef VARIANT_HC_EVENT_RECORD
#undef HC_EVENT_RECORD
#else
#undef HC_EVENT_QUERY
#endif
#include "hostcache.h"

#include "use.h"
