/* Allocations with all that can be said of them: alone, with all that a request may name, with what
   the runtime gives with a segment, and declared alone. */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_event.h"
#include "hooks_memory.h"
#define HC_NAME plain
#define HC_ALLOC_EX
#include "hostcache.h"

#define HC_NAME all_of_it
#define HC_ALLOC_EX
#define HC_POOLS
#define HC_TRACE
#define HC_DEVICE_ALLOCATOR
#define HC_STREAM_ORDERED
#define HC_SEGMENT_T rt_key
#define HC_MEM_ALLOC(ctx, size, align, ptr_out, segment_ptr)                                 \
  ((void)(ctx), hostcache_map_memory(rt_key_alloc(size, align, ptr_out, segment_ptr), RT_OK, \
                                     RT_NO_MEMORY, RT_NO_MEMORY))
#define HC_MEM_ALLOC_ON_NODE(ctx, size, align, node, ptr_out, segment_ptr)                    \
  ((void)(ctx), (void)(node),                                                                 \
   hostcache_map_memory(rt_key_alloc(size, align, ptr_out, segment_ptr), RT_OK, RT_NO_MEMORY, \
                        RT_NO_MEMORY))
#define HC_MEM_FREE(ctx, ptr, size, segment_ptr) \
  ((void)(ctx), (void)(size), hostcache_map(rt_key_free(ptr, segment_ptr), RT_OK, RT_NOT_READY))
#include "hooks_timeline.h"
#define HC_STATIC
#include "hostcache.h"

#define HC_NAME elsewhere
#define HC_STREAM_T rt_stream
#define HC_ALLOC_EX
#define HC_DECLARE
#include "hostcache.h"

elsewhere_block *aligned(elsewhere *c, size_t size);
elsewhere_block *aligned(elsewhere *c, size_t size) {
  hostcache_request request = HOSTCACHE_REQUEST_INIT;
  elsewhere_block *block;
  request.size = size;
  request.alignment = 4096;
  return elsewhere_block_alloc_ex(c, &request, &block) == HOSTCACHE_OK ? block : NULL;
}
