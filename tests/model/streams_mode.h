/* streams_mode.h - a template: the cache of one mode, with hooks that the oracle of streams.h
   watches, behind the calls that it makes. Included by streams.h once for each mode, after one of
   sim/hooks_*.h; CACHE is the name of the cache, and of its model_mode. */

#define API(name) PASTE_OF_MODEL(CACHE, name)

#undef HC_MEM_ALLOC
#undef HC_MEM_FREE
#define HC_MEM_ALLOC(ctx, size, align, ptr_out)                                             \
  hostcache_map_memory(model_mem_alloc(ctx, size, align, ptr_out), SIM_DONE, SIM_NO_MEMORY, \
                       SIM_NO_MEMORY)
#define HC_MEM_FREE(ctx, ptr, size) \
  hostcache_map(model_mem_free(ctx, ptr, size), SIM_DONE, SIM_DONE)

#ifdef HC_NO_STREAMS
#define MODE_STREAMS 0
#else
#define MODE_STREAMS 1
#endif

#ifdef HC_TIMELINE
#define MODE_TIMELINE 1
#undef HC_TIMELINE_RECORD
#undef HC_TIMELINE_QUERY
#define HC_TIMELINE_RECORD(ctx, stream, value_ptr) \
  hostcache_map(model_timeline_record(ctx, stream, value_ptr), SIM_DONE, SIM_PENDING)
#define HC_TIMELINE_QUERY(ctx, stream, value_ptr) \
  hostcache_map(model_timeline_query(ctx, stream, value_ptr), SIM_DONE, SIM_PENDING)
#else
#define MODE_TIMELINE 0
#endif

#if !defined HC_EVENT_T
#define MODE_EVENTS MODEL_NO_EVENTS
#elif defined HC_EVENT_DESTROY
#define MODE_EVENTS MODEL_OBJECTS
#undef HC_EVENT_QUERY
#define HC_EVENT_QUERY(ctx, event) \
  hostcache_map(model_event_query(ctx, event), SIM_DONE, SIM_PENDING)
#ifdef HC_EVENT_CREATE
#undef HC_EVENT_CREATE
#undef HC_EVENT_RECORD
#define HC_EVENT_CREATE(ctx, stream, event) \
  hostcache_map(model_event_create(ctx, stream, event), SIM_DONE, SIM_PENDING)
#define HC_EVENT_RECORD(ctx, event, stream) \
  hostcache_map(model_event_record(ctx, event, stream), SIM_DONE, SIM_PENDING)
#elif defined HC_EVENT_RECORD
#undef HC_EVENT_RECORD
#define HC_EVENT_RECORD(ctx, event, stream) \
  hostcache_map(model_event_make(ctx, event, stream), SIM_DONE, SIM_PENDING)
#endif
#else
#define MODE_EVENTS MODEL_POINTS
#undef HC_EVENT_T
#undef HC_EVENT_RECORD
#undef HC_EVENT_QUERY
#define HC_EVENT_T model_point
#define HC_EVENT_RECORD(ctx, event, stream) \
  hostcache_map(model_point_record(ctx, event, stream), SIM_DONE, SIM_PENDING)
#define HC_EVENT_QUERY(ctx, event) \
  hostcache_map(model_point_query(ctx, event), SIM_DONE, SIM_PENDING)
#ifdef HC_EVENT_WAIT
#undef HC_EVENT_WAIT
#define HC_EVENT_WAIT(ctx, event) \
  hostcache_map(sim_point_wait(ctx, &(event)->at), SIM_DONE, SIM_PENDING)
#endif
#endif

#ifdef HC_STREAM_WAIT
#define MODE_WAITS 1
#undef HC_STREAM_WAIT
#define HC_STREAM_WAIT(ctx, stream) \
  hostcache_map(model_stream_wait(ctx, stream), SIM_DONE, SIM_PENDING)
#else
#define MODE_WAITS 0
#endif

#define HC_IMPLEMENT
#include "hostcache.h"

static hostcache_result API(do_create)(void **cache, const hostcache_config *config,
                                       sim_device *device) {
  CACHE *made = NULL;
  hostcache_result result = API(create)(&made, config, device);
  *cache = made;
  return result;
}

static hostcache_result API(do_end)(void *cache, model_ending how) {
  if (how == MODEL_DESTROY) return API(destroy)(cache);
  API(abandon)(cache);
  return HOSTCACHE_OK;
}

static hostcache_result API(do_alloc)(void *cache, size_t size, bool by_handle, void **ptr,
                                      void **handle, size_t *capacity) {
  API(block) *block = NULL;
  hostcache_result result;
  if (by_handle) {
    result = API(block_alloc)(cache, size, &block);
    *ptr = API(block_ptr)(block);
  } else {
    result = API(alloc)(cache, size, ptr);
    block = *ptr == NULL ? NULL : API(find)(cache, *ptr);
  }
  *handle = block;
  *capacity = API(block_size)(block);
  return result;
}

static hostcache_result API(do_free)(void *cache, void *ptr, void *handle, bool deferred) {
  if (handle != NULL)
    return deferred ? API(block_free_deferred)(cache, handle) : API(block_free)(cache, handle);
  return deferred ? API(free_deferred)(cache, ptr) : API(free)(cache, ptr);
}

static hostcache_result API(do_mark)(void *cache, void *ptr, void *handle, sim_stream stream) {
#if MODE_STREAMS
  return handle != NULL ? API(block_record_stream)(cache, handle, stream)
                        : API(record_stream)(cache, ptr, stream);
#else
  (void)cache, (void)ptr, (void)handle, (void)stream;
  return HOSTCACHE_ERR_UNSUPPORTED;
#endif
}

static hostcache_result API(do_value)(void *cache, void *ptr, void *handle, sim_stream stream,
                                      uint64_t value) {
#if MODE_TIMELINE
  return handle != NULL ? API(block_record_value)(cache, handle, stream, value)
                        : API(record_value)(cache, ptr, stream, value);
#else
  (void)cache, (void)ptr, (void)handle, (void)stream, (void)value;
  return HOSTCACHE_ERR_UNSUPPORTED;
#endif
}

static hostcache_result API(do_event)(void *cache, void *ptr, void *handle,
                                      const model_event *event) {
#if MODE_EVENTS == MODEL_OBJECTS
  return handle != NULL ? API(block_record_event)(cache, handle, event->object)
                        : API(record_event)(cache, ptr, event->object);
#elif MODE_EVENTS == MODEL_POINTS
  return handle != NULL ? API(block_record_event)(cache, handle, event->point)
                        : API(record_event)(cache, ptr, event->point);
#else
  (void)cache, (void)ptr, (void)handle, (void)event;
  return HOSTCACHE_ERR_UNSUPPORTED;
#endif
}

static hostcache_result API(do_forget)(void *cache, sim_stream stream) {
#if MODE_STREAMS
  return API(forget_stream)(cache, stream);
#else
  (void)cache, (void)stream;
  return HOSTCACHE_ERR_UNSUPPORTED;
#endif
}

static hostcache_result API(do_upkeep)(void *cache, model_upkeep what, size_t *number) {
  switch (what) {
    case MODEL_CALL_PROCESS_EVENTS: return API(process_events)(cache, number);
    case MODEL_CALL_SYNCHRONIZE: return API(synchronize)(cache, *number == 0 ? 0 : UINT64_MAX);
    case MODEL_CALL_EMPTY_CACHE: return API(empty_cache)(cache);
    case MODEL_CALL_TRIM: return API(trim)(cache, *number);
    case MODEL_CALL_RELEASE: return API(release_quarantine)(cache);
    case MODEL_CALL_CHECK: return API(check)(cache);
    case MODEL_CALL_RESET_PEAKS: return API(reset_peak_stats)(cache);
    default: return API(reset_accumulated_stats)(cache);
  }
}

static hostcache_result API(do_stats)(void *cache, hostcache_stats *stats) {
  return API(stats)(cache, stats);
}

static hostcache_result API(do_walk)(void *cache, hostcache_visit_fn visit, void *user) {
  return API(walk)(cache, visit, user);
}

static const model_mode API(mode) = {
    MODE_STREAMS,  MODE_TIMELINE,  MODE_WAITS,     MODE_EVENTS,   API(do_create),
    API(do_end),   API(do_alloc),  API(do_free),   API(do_mark),  API(do_value),
    API(do_event), API(do_forget), API(do_upkeep), API(do_stats), API(do_walk),
};

#undef API
#undef CACHE
#undef MODE_STREAMS
#undef MODE_TIMELINE
#undef MODE_EVENTS
#undef MODE_WAITS
