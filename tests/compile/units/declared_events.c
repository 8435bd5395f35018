/* Without any hook the header only declares; and what it declares in event mode is exactly this. A
   prototype that differed from its twin below would not compile. */
#include "runtime.h"

#define HC_NAME pinned
#define HC_STREAM_T rt_stream
#define HC_EVENT_T rt_event
#define HC_CTX_T const char *
#define HC_SEGMENT_T rt_key
#include "hostcache.h"

#ifdef __cplusplus
extern "C" {
#endif
hostcache_result pinned_create(pinned **cache, const hostcache_config *config, const char *ctx);
hostcache_result pinned_destroy(pinned *cache);
void pinned_abandon(pinned *cache);

hostcache_result pinned_alloc(pinned *cache, size_t size, void **ptr);
hostcache_result pinned_record_stream(pinned *cache, void *ptr, rt_stream stream);
hostcache_result pinned_record_event(pinned *cache, void *ptr, rt_event event);
hostcache_result pinned_free(pinned *cache, void *ptr);
hostcache_result pinned_free_deferred(pinned *cache, void *ptr);

hostcache_result pinned_block_alloc(pinned *cache, size_t size, pinned_block **block);
hostcache_result pinned_block_record_stream(pinned *cache, pinned_block *block, rt_stream stream);
hostcache_result pinned_block_record_event(pinned *cache, pinned_block *block, rt_event event);
hostcache_result pinned_block_free(pinned *cache, pinned_block *block);
hostcache_result pinned_block_free_deferred(pinned *cache, pinned_block *block);
void *pinned_block_ptr(const pinned_block *block);
size_t pinned_block_size(const pinned_block *block);
const rt_key *pinned_block_segment(const pinned_block *block, size_t *offset);
pinned_block *pinned_find(pinned *cache, const void *ptr);

hostcache_result pinned_process_events(pinned *cache, size_t *blocks_made_ready);
hostcache_result pinned_synchronize(pinned *cache, uint64_t timeout_ns);
hostcache_result pinned_empty_cache(pinned *cache);
hostcache_result pinned_trim(pinned *cache, size_t keep_bytes);
hostcache_result pinned_reserve(pinned *cache, size_t size, size_t count);
hostcache_result pinned_forget_stream(pinned *cache, rt_stream stream);
hostcache_result pinned_release_quarantine(pinned *cache);

hostcache_result pinned_stats(pinned *cache, hostcache_stats *stats);
hostcache_result pinned_reset_accumulated_stats(pinned *cache);
hostcache_result pinned_reset_peak_stats(pinned *cache);
hostcache_result pinned_check(pinned *cache);
hostcache_result pinned_walk(pinned *cache, hostcache_visit_fn visit, void *user);
#ifdef __cplusplus
}
#endif

/* Both are opaque: had the header defined them, these would be second definitions. */
struct pinned {
  int nothing;
};
struct pinned_block {
  int nothing;
};
