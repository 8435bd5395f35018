/* What is declared without streams: nothing that takes one; with HC_EVENT_T, what takes
   an event. */
#include "runtime.h"

#define HC_NAME plain
#define HC_NO_STREAMS
#include "hostcache.h"

#define HC_NAME requests
#define HC_NO_STREAMS
#define HC_EVENT_T rt_event
#include "hostcache.h"

#ifdef __cplusplus
extern "C" {
#endif
hostcache_result plain_alloc(plain *cache, size_t size, void **ptr);
hostcache_result plain_free(plain *cache, void *ptr);
hostcache_result requests_record_event(requests *cache, void *ptr, rt_event event);
hostcache_result requests_block_record_event(requests *cache, requests_block *block,
                                             rt_event event);
#ifdef __cplusplus
}
#endif

/* Names that are not declared are free for the user. */
typedef int plain_record_stream;
typedef int plain_record_value;
typedef int plain_record_event;
typedef int plain_forget_stream;
typedef int requests_record_stream;
typedef int requests_record_value;
typedef int requests_forget_stream;
