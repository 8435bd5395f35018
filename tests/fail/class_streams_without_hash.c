/* A class may have == and still hold bytes that do not count: those must not be hashed. */
/* only in C++ */
/* expect 1: define HC_STREAM_HASH\(stream\) */
class lane {
 public:
  bool operator==(const lane &other) const { return number_ == other.number_; }

 private:
  char kind_;
  int number_;
};

#define HOSTCACHE_IMPLEMENTATION
#define HC_NAME pinned
#define HC_STREAM_T lane
#define HC_EVENT_T int
#define HC_MEM_ALLOC(ctx, size, align, ptr_out) hostcache_failed(1)
#define HC_MEM_FREE(ctx, ptr, size) hostcache_failed(1)
#define HC_EVENT_RECORD(ctx, event_ptr, stream) hostcache_done()
#define HC_EVENT_QUERY(ctx, event_ptr) hostcache_done()
#include "hostcache.h"

#include "use.h"
