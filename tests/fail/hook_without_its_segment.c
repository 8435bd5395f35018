/* HC_SEGMENT_T, but a memory hook that does not take the segment. */
/* variants: HC_MEM_ALLOC HC_MEM_FREE */
/* expect 1 in gcc: macro "VARIANT" passed [45] arguments, but takes just [34] */
/* expect 1 in clang: too many arguments provided to function-like macro */
/* expect 1: 'VARIANT' (was not |un)declared|undeclared identifier 'VARIANT' */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#define HC_SEGMENT_T rt_key
#ifdef VARIANT_HC_MEM_ALLOC
#undef HC_MEM_FREE
#define HC_MEM_FREE(ctx, ptr, size, segment_ptr) hostcache_done()
#else
#undef HC_MEM_ALLOC
#define HC_MEM_ALLOC(ctx, size, align, ptr_out, segment_ptr) hostcache_done()
#endif
#include "hostcache.h"

#include "use.h"
