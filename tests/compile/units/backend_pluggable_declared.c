/* The pluggable allocator as a file sees it that only calls it. */
#include "backends/hostcache_pluggable.h"
#include "hostcache.h"

#include "backends/hostcache_pluggable.h"

hostcache_result use(hostcache_pluggable *allocator, void **ptr);
hostcache_result use(hostcache_pluggable *allocator, void **ptr) {
  return hostcache_pluggable_raw_alloc(allocator, 1, ptr);
}
