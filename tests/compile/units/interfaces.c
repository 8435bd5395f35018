/* Interfaces that are emitted only where they are asked for: the host allocator without its type,
   with the registry, the trace, private pools, and the device allocator, in each mode, with and
   without the hooks that are theirs; and declared alone. */
#define HOSTCACHE_IMPLEMENTATION
#define HOSTCACHE_REGISTRY_IMPLEMENTATION
#include "hooks_event.h"
#include "hooks_memory.h"
#define HC_NAME pinned
#define HC_HOST_ALLOCATOR
#define HC_POOLS
#define HC_TRACE
#define HC_STREAM_CURRENT(ctx, stream_ptr) ((void)(ctx), *(stream_ptr) = 0, hostcache_done())
#define HC_STREAM_IS_CAPTURING(ctx, stream) ((void)(ctx), (void)(stream), hostcache_pending())
#define HC_CAPTURE_RELAX_BEGIN(ctx, mode_ptr) ((void)(ctx), (void)(mode_ptr), hostcache_done())
#define HC_CAPTURE_RELAX_END(ctx, mode_ptr) ((void)(ctx), (void)(mode_ptr), hostcache_done())
#define HC_DEVICE_ALLOCATOR
#define HC_COPY_DATA(ctx, dest, src, count) \
  ((void)(ctx), (void)(dest), (void)(src), (void)(count), hostcache_done())
#define HC_MEM_INFO(ctx, free_ptr, total_ptr) \
  ((void)(ctx), *(free_ptr) = 1, *(total_ptr) = 2, hostcache_done())
#include "hostcache.h"

#include "hooks_memory.h"
#include "hooks_timeline.h"
#define HC_NAME counted
#define HC_HOST_ALLOCATOR
#define HC_POOLS
#define HC_TRACE
#define HC_DEVICE_ALLOCATOR
#define HC_STATIC
#include "hostcache.h"

#include "hooks_memory.h"
#define HC_NAME plain
#define HC_NO_STREAMS
#define HC_HOST_ALLOCATOR
#define HC_POOLS
#define HC_TRACE
#define HC_DEVICE_ALLOCATOR
#include "hostcache.h"

#define HC_NAME elsewhere
#define HC_STREAM_T rt_stream
#define HC_HOST_ALLOCATOR
#define HC_POOLS
#define HC_TRACE
#define HC_DEVICE_ALLOCATOR
#define HC_DECLARE
#include "hostcache.h"

const hostcache_allocator *registered(pinned *cache, hostcache_allocator *allocator);
const hostcache_allocator *registered(pinned *cache, hostcache_allocator *allocator) {
  if (pinned_as_allocator(cache, allocator) != HOSTCACHE_OK) return NULL;
  return hostcache_set_host_allocator(1, allocator);
}

int64_t held_by(const elsewhere_devices *set, size_t index);
int64_t held_by(const elsewhere_devices *set, size_t index) {
  hostcache_device_stats stats;
  elsewhere *cache;
  if (elsewhere_devices_get(set, 1, index, &cache) != HOSTCACHE_OK) return 0;
  if (elsewhere_device_stats(cache, &stats) != HOSTCACHE_OK) return 0;
  return stats.reserved_bytes[HOSTCACHE_STAT_AGGREGATE].current;
}
