/* The simulated device as parameters of the next inclusion of hostcache.h: no streams, but events
   that the caller has from elsewhere (requests of MPI or UCX, completions of io_uring). */
#include "hooks_memory.h"

#define HC_NO_STREAMS
#define HC_EVENT_T sim_event
#define HC_EVENT_DESTROY(ctx, event_ptr) \
  hostcache_map(sim_event_destroy(ctx, event_ptr), SIM_DONE, SIM_DONE)
#define HC_EVENT_QUERY(ctx, event_ptr) \
  hostcache_map(sim_event_query(ctx, event_ptr), SIM_DONE, SIM_PENDING)
