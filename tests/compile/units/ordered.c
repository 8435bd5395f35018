/* Blocks for the work of one stream: in each mode, with and without the hooks by which a stream
   waits for another one, with all that may go with it, and declared alone. */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_event.h"
#include "hooks_memory.h"
#define HC_NAME plain
#define HC_STREAM_ORDERED
#include "hostcache.h"

#include "hooks_event.h"
#include "hooks_memory.h"
#define HC_NAME with_events
#define HC_STREAM_ORDERED
#define HC_STREAM_WAIT_EVENT(ctx, stream, event_ptr) \
  ((void)(ctx), (void)(stream), (void)(event_ptr), hostcache_done())
#define HC_HOST_ALLOCATOR
#define HC_POOLS
#define HC_STREAM_CURRENT(ctx, stream_ptr) ((void)(ctx), *(stream_ptr) = 0, hostcache_done())
#define HC_STREAM_IS_CAPTURING(ctx, stream) ((void)(ctx), (void)(stream), hostcache_pending())
#define HC_TRACE
#define HC_DEVICE_ALLOCATOR
#include "hostcache.h"

#include "hooks_memory.h"
#include "hooks_timeline.h"
#define HC_NAME with_values
#define HC_STREAM_ORDERED
#define HC_STREAM_WAIT_VALUE(ctx, stream, other, value) \
  ((void)(ctx), (void)(stream), (void)(other), (void)(value), hostcache_done())
#define HC_STATIC
#include "hostcache.h"

#define HC_NAME elsewhere
#define HC_STREAM_T rt_stream
#define HC_STREAM_ORDERED
#define HC_DECLARE
#include "hostcache.h"

elsewhere_block *of_two(elsewhere *c, with_events *d);
elsewhere_block *of_two(elsewhere *c, with_events *d) {
  elsewhere_block *block;
  void *ptr;
  if (with_events_alloc_on(d, 1, 0, &ptr) != HOSTCACHE_OK) return NULL;
  return elsewhere_block_alloc_on(c, 1, 0, &block) == HOSTCACHE_OK ? block : NULL;
}
