/* A program without threads, and a cache that is static to its file. */
#define HOSTCACHE_THREADS HOSTCACHE_THREADS_NONE
#include "expect.h"
#include "hooks_memory.h"
#include "hooks_timeline.h"
#define HC_NAME pinned
#define HC_STATIC
#include "hostcache.h"

int main(void) {
  pinned *cache;
  void *ptr;
  size_t ready;

  EXPECT(pinned_create(&cache, NULL, NULL) == HOSTCACHE_OK);
  EXPECT(pinned_alloc(cache, 5000000, &ptr) == HOSTCACHE_OK);
  EXPECT(pinned_record_stream(cache, ptr, 2) == HOSTCACHE_OK);
  EXPECT(pinned_record_value(cache, ptr, 3, 4) == HOSTCACHE_OK); /* stream 3 never reaches 4 */
  EXPECT(pinned_free(cache, ptr) == HOSTCACHE_OK);
  EXPECT(pinned_process_events(cache, &ready) == HOSTCACHE_OK);
  EXPECT(ready == 0);
  EXPECT(pinned_synchronize(cache, 1) == HOSTCACHE_ERR_TIMEOUT);
  EXPECT(pinned_check(cache) == HOSTCACHE_OK);
  EXPECT(pinned_destroy(cache) == HOSTCACHE_ERR_BUSY);
  pinned_abandon(cache);
  rt_mem_free(ptr);
  return 0;
}
