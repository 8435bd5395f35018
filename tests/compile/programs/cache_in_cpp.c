/* A C program links a cache that a C++ file implements. */
#include "cache_in_cpp.h"
#include "expect.h"

int main(void) {
  pinned *cache;
  pinned_block *block;
  void *ptr;

  EXPECT(pinned_create(&cache, NULL, NULL) == HOSTCACHE_OK);
  EXPECT(pinned_alloc(cache, 3000000, &ptr) == HOSTCACHE_OK);
  EXPECT(pinned_record_stream(cache, ptr, 3) == HOSTCACHE_OK);
  EXPECT(pinned_free(cache, ptr) == HOSTCACHE_OK);
  EXPECT(pinned_block_alloc(cache, 3000000, &block) == HOSTCACHE_OK);
  EXPECT(pinned_block_ptr(block) == ptr);
  EXPECT(pinned_block_size(block) >= 3000000);
  EXPECT(pinned_block_free(cache, block) == HOSTCACHE_OK);
  EXPECT(pinned_check(cache) == HOSTCACHE_OK);
  EXPECT(pinned_destroy(cache) == HOSTCACHE_OK);
  return 0;
}
