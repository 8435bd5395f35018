/* The simulated device as parameters of the next inclusion of hostcache.h: recording makes an
   event, which is destroyed once it is complete (as with OpenCL). */
#include "hooks_memory.h"

#define HC_STREAM_T sim_stream
#define HC_EVENT_T sim_event
#define HC_EVENT_DESTROY(ctx, event_ptr) \
  hostcache_map(sim_event_destroy(ctx, event_ptr), SIM_DONE, SIM_PENDING)
#define HC_EVENT_RECORD(ctx, event_ptr, stream) \
  hostcache_map(sim_event_make(ctx, event_ptr, stream), SIM_DONE, SIM_PENDING)
#define HC_EVENT_QUERY(ctx, event_ptr) \
  hostcache_map(sim_event_query(ctx, event_ptr), SIM_DONE, SIM_PENDING)
