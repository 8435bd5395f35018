/* hooks_memory.h - what every cache here stands on: the explorer's locks and memory from below, and
   the device of device.h as parameters of the next inclusion of hostcache.h: memory. */

#include "device.h"
#include "explore.h"

#define HOSTCACHE_GLUE_HEADER "interleave/glue.h"
#define HOSTCACHE_ASSERT(condition) explore_assert(condition)
#define HOSTCACHE_MALLOC(size) explore_malloc(size)
#define HOSTCACHE_FREE(ptr) explore_free(ptr)

#define HC_CTX_T device *
#define HC_MEM_ALLOC(ctx, size, align, ptr_out)                                             \
  hostcache_map_memory(device_mem_alloc(ctx, size, ptr_out), DEVICE_DONE, DEVICE_NO_MEMORY, \
                       DEVICE_NO_MEMORY)
#define HC_MEM_FREE(ctx, ptr, size) \
  hostcache_map(device_mem_free(ctx, ptr, size), DEVICE_DONE, DEVICE_DONE)
