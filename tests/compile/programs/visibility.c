/* A program uses a cache that a shared library exports by HC_API. */
#include "expect.h"
#include "visibility.h"

int main(void) {
  exported *cache;
  void *ptr;

  EXPECT(exported_create(&cache, NULL, NULL) == HOSTCACHE_OK);
  EXPECT(exported_alloc(cache, 1000, &ptr) == HOSTCACHE_OK);
  EXPECT(exported_free(cache, ptr) == HOSTCACHE_OK);
  EXPECT(exported_check(cache) == HOSTCACHE_OK);
  EXPECT(exported_destroy(cache) == HOSTCACHE_OK);
  return 0;
}
