/* Blocks that are segments of their own: with all that may go with it, with what the runtime gives
   with a segment, and declared alone. */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#define HC_NAME plain
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#include "hostcache.h"

#include "hooks_memory.h"
#define HC_NAME passing
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#define HC_FREE_FOREIGN(ctx, ptr) ((void)(ctx), hostcache_map(rt_mem_free(ptr), RT_OK, RT_OK))
#define HC_HOST_ALLOCATOR
#define HC_POOLS
#define HC_TRACE
#define HC_DEVICE_ALLOCATOR
#include "hostcache.h"

#define HC_NAME registered
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#define HC_SEGMENT_T rt_key
#define HC_MEM_ALLOC(ctx, size, align, ptr_out, segment_ptr)                                 \
  ((void)(ctx), hostcache_map_memory(rt_key_alloc(size, align, ptr_out, segment_ptr), RT_OK, \
                                     RT_NO_MEMORY, RT_NO_MEMORY))
#define HC_MEM_FREE(ctx, ptr, size, segment_ptr) \
  ((void)(ctx), (void)(size), hostcache_map(rt_key_free(ptr, segment_ptr), RT_OK, RT_NOT_READY))
#define HC_SEGMENT_FITS(segment_ptr) ((segment_ptr)->local != 0)
#define HC_STATIC
#include "hostcache.h"

#define HC_NAME elsewhere
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#define HC_DECLARE
#include "hostcache.h"

elsewhere *innermost(elsewhere *c, hostcache_guard *guard);
elsewhere *innermost(elsewhere *c, hostcache_guard *guard) {
  if (elsewhere_guard_push(c, guard) != HOSTCACHE_OK) return NULL;
  c = elsewhere_current();
  return elsewhere_guard_pop(guard) == HOSTCACHE_OK ? c : NULL;
}
