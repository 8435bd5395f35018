/* The simulated device as parameters of the next inclusion of hostcache.h: a stream has a rising
   counter. */
#include "hooks_memory.h"

#define HC_STREAM_T sim_stream
#define HC_TIMELINE
#define HC_TIMELINE_RECORD(ctx, stream, value_ptr) \
  hostcache_map(sim_timeline_record(ctx, stream, value_ptr), SIM_DONE, SIM_PENDING)
#define HC_TIMELINE_QUERY(ctx, stream, value_ptr) \
  hostcache_map(sim_timeline_query(ctx, stream, value_ptr), SIM_DONE, SIM_PENDING)
