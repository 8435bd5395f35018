/* The simulated device as parameters of the next inclusion of hostcache.h: an event is a plain
   value. */
#include "hooks_memory.h"

#define HC_STREAM_T sim_stream
#define HC_EVENT_T sim_point
#define HC_EVENT_RECORD(ctx, event_ptr, stream) \
  hostcache_map(sim_point_record(ctx, event_ptr, stream), SIM_DONE, SIM_PENDING)
#define HC_EVENT_QUERY(ctx, event_ptr) \
  hostcache_map(sim_point_query(ctx, event_ptr), SIM_DONE, SIM_PENDING)
