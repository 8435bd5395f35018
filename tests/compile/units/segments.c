/* HC_SEGMENT_T: what the runtime gives with its memory, with streams and without. */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_event.h"
#define HC_NAME registered
#define HC_SEGMENT_T rt_key
#define HC_MEM_ALLOC(ctx, size, align, ptr_out, segment_ptr)                                 \
  ((void)(ctx), hostcache_map_memory(rt_key_alloc(size, align, ptr_out, segment_ptr), RT_OK, \
                                     RT_NO_MEMORY, RT_NO_MEMORY))
#define HC_MEM_FREE(ctx, ptr, size, segment_ptr) \
  ((void)(ctx), (void)(size), hostcache_map(rt_key_free(ptr, segment_ptr), RT_OK, RT_NOT_READY))
#include "hostcache.h"

#define HC_NAME plain
#define HC_NO_STREAMS
#define HC_SEGMENT_T rt_key
#define HC_MEM_ALLOC(ctx, size, align, ptr_out, segment_ptr)                                 \
  ((void)(ctx), hostcache_map_memory(rt_key_alloc(size, align, ptr_out, segment_ptr), RT_OK, \
                                     RT_NO_MEMORY, RT_NO_MEMORY))
#define HC_MEM_FREE(ctx, ptr, size, segment_ptr) \
  ((void)(ctx), (void)(size), hostcache_map(rt_key_free(ptr, segment_ptr), RT_OK, RT_NOT_READY))
#include "hostcache.h"

const rt_key *key_of(const plain_block *block);
const rt_key *key_of(const plain_block *block) {
  size_t offset;
  return plain_block_segment(block, &offset);
}
