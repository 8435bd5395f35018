/* What is declared without streams: nothing that takes one; with HC_EVENT_T, what takes
   an event; with HC_OWN_SEGMENTS, what blocks that leave need. */
#include "runtime.h"

#define HC_NAME plain
#define HC_NO_STREAMS
#include "hostcache.h"

#define HC_NAME requests
#define HC_NO_STREAMS
#define HC_EVENT_T rt_event
#include "hostcache.h"

#define HC_NAME tensors
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#include "hostcache.h"

#ifdef __cplusplus
extern "C" {
#endif
hostcache_result plain_alloc(plain *cache, size_t size, void **ptr);
hostcache_result plain_free(plain *cache, void *ptr);
hostcache_result requests_record_event(requests *cache, void *ptr, rt_event event);
hostcache_result requests_block_record_event(requests *cache, requests_block *block,
                                             rt_event event);
hostcache_result tensors_record_free(tensors *cache, void *ptr);
hostcache_result tensors_free_cached(tensors *cache);
hostcache_result tensors_guard_push(tensors *cache, hostcache_guard *guard);
hostcache_result tensors_guard_pop(hostcache_guard *guard);
tensors *tensors_current(void);
#ifdef __cplusplus
}
#endif

/* Names that are not declared are free for the user. */
typedef int plain_record_stream;
typedef int plain_record_value;
typedef int plain_record_event;
typedef int plain_forget_stream;
typedef int plain_record_free;
typedef int plain_free_cached;
typedef int plain_guard_push;
typedef int plain_guard_pop;
typedef int plain_current;
typedef int requests_record_stream;
typedef int requests_record_value;
typedef int requests_forget_stream;
