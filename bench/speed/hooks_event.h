/* hooks_event.h - event mode over device.h. An event is a plain value. No guard, as
   hooks_memory.h. */

#include "hooks_memory.h"

#define HC_EVENTS_DO_NOT_CANCEL /* they only read memory */
#define HC_EVENT_T device_event
#define HC_EVENT_RECORD(memory, event_ptr, stream) \
  ((void)(memory), (void)(*(event_ptr) = device_record(stream)), hostcache_done())
#define HC_EVENT_QUERY(memory, event_ptr) \
  ((void)(memory), device_is_done(event_ptr) ? hostcache_done() : hostcache_pending())
