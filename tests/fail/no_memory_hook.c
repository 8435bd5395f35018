/* variants: HC_MEM_ALLOC HC_MEM_FREE */
/* expect 1: define VARIANT\(ctx, .*ptr.*\) */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#ifdef VARIANT_HC_MEM_ALLOC
#undef HC_MEM_ALLOC
#else
#undef HC_MEM_FREE
#endif
#include "hostcache.h"

#include "use.h"
