/* What is declared in timeline mode, and is not in event mode. */
#include "runtime.h"

#define HC_NAME pinned
#define HC_STREAM_T rt_stream
#define HC_TIMELINE
#include "hostcache.h"

#ifdef __cplusplus
extern "C" {
#endif
hostcache_result pinned_create(pinned **cache, const hostcache_config *config, void *ctx);
hostcache_result pinned_record_stream(pinned *cache, void *ptr, rt_stream stream);
hostcache_result pinned_record_value(pinned *cache, void *ptr, rt_stream stream, uint64_t value);
hostcache_result pinned_block_record_stream(pinned *cache, pinned_block *block, rt_stream stream);
hostcache_result pinned_block_record_value(pinned *cache, pinned_block *block, rt_stream stream,
                                           uint64_t value);
hostcache_result pinned_forget_stream(pinned *cache, rt_stream stream);
#ifdef __cplusplus
}
#endif

/* Names that are not declared are free for the user. */
typedef int pinned_record_event;
typedef int pinned_block_record_event;
typedef int pinned_block_segment;
