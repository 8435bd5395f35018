/* hooks_pooled.h - event mode over device.h, for a runtime whose events are objects: the cache
   pools them. No guard, as hooks_memory.h. */

#include <stdlib.h>

#include "hooks_memory.h"

#define HC_EVENT_T device_event *
#define HC_EVENT_CREATE(memory, stream, event_ptr)                                          \
  ((void)(memory), (void)(stream),                                                          \
   (*(event_ptr) = (device_event *)malloc(sizeof(device_event))) != NULL ? hostcache_done() \
                                                                         : hostcache_failed(1))
#define HC_EVENT_DESTROY(memory, event_ptr) ((void)(memory), free(*(event_ptr)), hostcache_done())
#define HC_EVENT_RECORD(memory, event_ptr, stream) \
  ((void)(memory), (void)(**(event_ptr) = device_record(stream)), hostcache_done())
#define HC_EVENT_QUERY(memory, event_ptr) \
  ((void)(memory), device_is_done(*(event_ptr)) ? hostcache_done() : hostcache_pending())
