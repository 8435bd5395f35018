/* Defines the two memory hooks, for the next inclusion of hostcache.h. */
#include "runtime.h"

#define HC_MEM_ALLOC(ctx, size, align, ptr_out) \
  ((void)(ctx),                                 \
   hostcache_map_memory(rt_mem_alloc(size, align, ptr_out), RT_OK, RT_NO_MEMORY, RT_NO_MEMORY))
#define HC_MEM_FREE(ctx, ptr, size) \
  ((void)(ctx), (void)(size), hostcache_map(rt_mem_free(ptr), RT_OK, RT_NOT_READY))
