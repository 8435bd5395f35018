/* Included after one of the other hooks_*.h: memory that is ready for its stream first, and with
   SIM_ORDERED_AFTER streams that can be made to wait for each other. */

#define HC_STREAM_ORDERED
#ifdef SIM_ORDERED_AFTER
#ifdef HC_TIMELINE
#define HC_STREAM_WAIT_VALUE(ctx, stream, other, value) \
  hostcache_map(sim_after_value(ctx, stream, other, value), SIM_DONE, SIM_PENDING)
#elif defined HC_EVENT_CREATE || defined HC_EVENT_DESTROY
#define HC_STREAM_WAIT_EVENT(ctx, stream, event_ptr) \
  hostcache_map(sim_after_event(ctx, stream, event_ptr), SIM_DONE, SIM_PENDING)
#else
#define HC_STREAM_WAIT_EVENT(ctx, stream, event_ptr) \
  hostcache_map(sim_after_point(ctx, stream, event_ptr), SIM_DONE, SIM_PENDING)
#endif
#endif
#undef SIM_ORDERED_AFTER
