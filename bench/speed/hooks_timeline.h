/* hooks_timeline.h - timeline mode over device.h, with the value in plain memory. No guard, as
   hooks_memory.h. */

#include "hooks_memory.h"

#define HC_EVENTS_DO_NOT_CANCEL /* they only read memory */
#define HC_TIMELINE
#define HC_TIMELINE_RECORD(memory, stream, value_ptr) \
  ((void)(memory), (void)(*(value_ptr) = device_submit(stream)), hostcache_done())
#define HC_TIMELINE_QUERY(memory, stream, value_ptr) \
  ((void)(memory), (void)(*(value_ptr) = device_reached(stream)), hostcache_done())
