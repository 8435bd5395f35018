/* Implements the second cache, and uses it: what the caches share is static, and in both files. */
#include "two_files.h"

#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#define HC_NAME second
#define HC_NO_STREAMS
#include "hostcache.h"

int use_second(void) {
  second *cache;
  void *ptr;
  if (second_create(&cache, NULL, NULL) != HOSTCACHE_OK) return 0;
  if (second_alloc(cache, 1000, &ptr) != HOSTCACHE_OK) return 0;
  if (second_free(cache, ptr) != HOSTCACHE_OK) return 0;
  if (second_check(cache) != HOSTCACHE_OK) return 0;
  return second_destroy(cache) == HOSTCACHE_OK;
}
