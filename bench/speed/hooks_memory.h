/* hooks_memory.h - how a cache of bench_speed gets the memory of device.h. No guard: the macros
   belong to one inclusion of hostcache.h. */

#include "device.h"

#define HC_CTX_T device_memory *
#define HC_MEM_ALLOC(memory, size, align, ptr_out) \
  ((void)(align), hostcache_map_memory(device_get(memory, size, ptr_out), 0, -1, -1))
#define HC_MEM_FREE(memory, ptr, size) hostcache_map(device_give(memory, ptr, size), 0, 0)
#define HC_STREAM_T device_stream *
