/* Included after one of the other hooks_*.h: the hooks that wait, which are optional. */

#define HC_STREAM_WAIT(ctx, stream) \
  hostcache_map(sim_stream_wait(ctx, stream), SIM_DONE, SIM_PENDING)
#ifdef HC_TIMELINE
#define HC_TIMELINE_WAIT(ctx, stream, value) \
  hostcache_map(sim_timeline_wait(ctx, stream, value), SIM_DONE, SIM_PENDING)
#elif defined HC_EVENT_CREATE || defined HC_EVENT_DESTROY
#define HC_EVENT_WAIT(ctx, event_ptr) \
  hostcache_map(sim_event_wait(ctx, event_ptr), SIM_DONE, SIM_PENDING)
#else
#define HC_EVENT_WAIT(ctx, event_ptr) \
  hostcache_map(sim_point_wait(ctx, event_ptr), SIM_DONE, SIM_PENDING)
#endif
