/* lanes.c - threads at once on caches of a device that synchronises as little as it can (lanes.h),
   in the modes that the CPU backend does not have, and in timeline mode with handles that are used
   again at once.

   Promises: as cpu.c. Memory is from malloc and events are objects there, so that a sanitizer sees
   what is used after its end. */

#include "lanes.h"

#define HOSTCACHE_IMPLEMENTATION

#define LANES_MEMORY(call) hostcache_map_memory(call, LANES_DONE, LANES_NO_MEMORY, LANES_NO_MEMORY)
#define LANES_STATUS(call) hostcache_map(call, LANES_DONE, LANES_PENDING)

#define HC_NAME lanes_plain
#include "hooks_lanes.h"
#define HC_STREAM_T lanes_stream
#define HC_EVENT_T lanes_point
#define HC_EVENT_RECORD(d, event, stream) LANES_STATUS(lanes_point_record(d, event, stream))
#define HC_EVENT_QUERY(d, event) ((void)(d), LANES_STATUS(lanes_point_query(event)))
#include "hostcache.h"

#define HC_NAME lanes_owned
#include "hooks_lanes.h"
#define HC_STREAM_T lanes_stream
#define HC_EVENT_T lanes_object *
#define HC_EVENT_DESTROY(d, event) LANES_STATUS(lanes_object_destroy(d, *(event)))
#define HC_EVENT_RECORD(d, event, stream) LANES_STATUS(lanes_object_record(d, event, stream))
#define HC_EVENT_QUERY(d, event) ((void)(d), LANES_STATUS(lanes_object_query(*(event))))
#include "hostcache.h"

#define HC_NAME lanes_timeline
#include "hooks_lanes.h"
#define HC_STREAM_T lanes_stream
#define HC_TIMELINE
#define HC_TIMELINE_RECORD(d, stream, value) LANES_STATUS(lanes_timeline_record(d, stream, value))
#define HC_TIMELINE_QUERY(d, stream, value) LANES_STATUS(lanes_timeline_query(d, stream, value))
#include "hostcache.h"

#define HC_NAME lanes_requests /* events without streams */
#include "hooks_lanes.h"
#define HC_NO_STREAMS
#define HC_EVENT_T lanes_object *
#define HC_EVENT_DESTROY(d, event) LANES_STATUS(lanes_object_destroy(d, *(event)))
#define HC_EVENT_QUERY(d, event) ((void)(d), LANES_STATUS(lanes_object_query(*(event))))
#include "hostcache.h"

#define HC_NAME lanes_alone /* neither */
#include "hooks_lanes.h"
#define HC_NO_STREAMS
#include "hostcache.h"

static inline lanes_point lanes_own_point(lanes *d, lanes_stream stream) {
  lanes_point point;
  if (lanes_point_record(d, &point, stream) != LANES_DONE) abort();
  return point;
}

static inline lanes_object *lanes_own_object(lanes *d, lanes_stream stream) {
  lanes_object *event;
  if (lanes_object_record(d, &event, stream) != LANES_DONE) abort();
  return event;
}

#define RUNS 10 /* tests below */
#define DEVICE lanes

#define WITH_STREAMS
#define CACHE lanes_timeline
#define WITH_TIMELINE
#include "suite.h"
#undef CACHE
#undef WITH_TIMELINE

#define WITH_EVENTS
#define CACHE lanes_plain
#define CACHE_OWN_EVENT(d, stream) lanes_own_point(d, stream)
#include "suite.h"
#undef CACHE
#undef CACHE_OWN_EVENT

#define CACHE lanes_owned
#define CACHE_OWN_EVENT(d, stream) lanes_own_object(d, stream)
#include "suite.h"
#undef CACHE

#undef WITH_STREAMS
#define CACHE lanes_requests
#include "suite.h"
#undef CACHE

#undef WITH_EVENTS
#define CACHE lanes_alone
#include "suite.h"
#undef CACHE

int main(void) {
  const struct CMUnitTest tests[] = {
      STRESS(lanes_plain),    STRESS(lanes_owned), STRESS(lanes_timeline),
      STRESS(lanes_requests), STRESS(lanes_alone),
  };
  stress_announce("stress_lanes");
  return cmocka_run_group_tests_name("stress.lanes", tests, NULL, NULL);
}
