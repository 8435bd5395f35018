/* Structs have no == : HC_STREAM_EQ and HC_STREAM_HASH must be given. */
/* expect 1 in C: invalid operands.*\n.*define HC_STREAM_EQ\(a, b\) and HC_STREAM_HASH\(stream\) */
/* expect 1 in C++: define HC_STREAM_EQ\(a, b\) for a stream without == */
/* expect 1 in C++: define HC_STREAM_HASH\(stream\) and HC_STREAM_EQ\(a, b\) for a stream class */
typedef struct rt_queue {
  void *handle;
  int device;
} rt_queue;

#define HOSTCACHE_IMPLEMENTATION
#define HC_NAME pinned
#define HC_STREAM_T rt_queue
#define HC_EVENT_T int
#define HC_MEM_ALLOC(ctx, size, align, ptr_out) hostcache_failed(1)
#define HC_MEM_FREE(ctx, ptr, size) hostcache_failed(1)
#define HC_EVENT_RECORD(ctx, event_ptr, stream) hostcache_done()
#define HC_EVENT_QUERY(ctx, event_ptr) hostcache_done()
#include "hostcache.h"

#include "use.h"
