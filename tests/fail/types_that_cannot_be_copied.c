/* The cache copies streams, events, contexts and segments as bytes. C++ can have types for which
   that is wrong; C has none. */
/* only in C++ */
/* variants: HC_STREAM_T HC_EVENT_T HC_CTX_T HC_SEGMENT_T */
/* expect 1: VARIANT.*trivially copyable and assignable */
#include "runtime.h"

struct owner {
  int value;
  owner() : value(0) {}
  owner(const owner &other) : value(other.value + 1) {}
  owner &operator=(const owner &) { return *this; }
  bool operator==(const owner &other) const { return value == other.value; }
};

#define HOSTCACHE_IMPLEMENTATION
#define HC_NAME pinned
#ifdef VARIANT_HC_STREAM_T
#define HC_STREAM_T owner
#else
#define HC_STREAM_T rt_stream
#endif
#ifdef VARIANT_HC_EVENT_T
#define HC_EVENT_T owner
#else
#define HC_EVENT_T rt_event
#endif
#ifdef VARIANT_HC_CTX_T
#define HC_CTX_T owner
#endif
#ifdef VARIANT_HC_SEGMENT_T
#define HC_SEGMENT_T owner
#else
#define HC_SEGMENT_T rt_key
#endif
#define HC_STREAM_EQ(a, b) ((a) == (b))
#define HC_STREAM_HASH(s) ((void)(s), 0u)
#define HC_MEM_ALLOC(ctx, size, align, ptr_out, segment_ptr) hostcache_failed(1)
#define HC_MEM_FREE(ctx, ptr, size, segment_ptr) hostcache_failed(1)
#define HC_EVENT_RECORD(ctx, event_ptr, stream) hostcache_done()
#define HC_EVENT_QUERY(ctx, event_ptr) hostcache_done()
#include "hostcache.h"

#include "use.h"
