/* HOSTCACHE_MALLOC, _FREE, _NOW_NS and _ASSERT: where a program gives its own, the header calls
   only those, gives back all it took, and lives with a malloc that fails. */
#include <string.h>

#include "expect.h"
#include "runtime.h"

static int mallocs_live, mallocs_made, mallocs_until_failure = -1, clock_reads, asserts_made;
static uint64_t now = 1000;

static void *counted_malloc(size_t size) {
  void *ptr;
  if (mallocs_until_failure == 0) return NULL;
  if (mallocs_until_failure > 0) mallocs_until_failure--;
  ptr = malloc(size);
  if (ptr == NULL) return NULL;
  memset(ptr, 0xA5, size); /* what it gives is not zeroed: the header must not count on that */
  mallocs_live++;
  mallocs_made++;
  return ptr;
}

static void counted_free(void *ptr) {
  if (ptr == NULL) return;
  mallocs_live--;
  free(ptr);
}

static uint64_t turned_clock(void) {
  clock_reads++;
  now += 10;
  return now;
}

static void counted_assert(int holds, const char *condition) {
  asserts_made++;
  expect(holds, condition, __FILE__, __LINE__);
}

#undef HOSTCACHE_ASSERT
#define HOSTCACHE_ASSERT(condition) counted_assert((condition) ? 1 : 0, #condition)
#define HOSTCACHE_MALLOC(size) counted_malloc(size)
#define HOSTCACHE_FREE(ptr) counted_free(ptr)
#define HOSTCACHE_NOW_NS() turned_clock()

#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#include "hostcache.h"

/* One round through the cache; nothing but OK or NO_METADATA may come of it. Returns 1 if no
   function complained. */
static int round_trip(void) {
  pinned *cache = NULL;
  void *ptr = NULL;
  hostcache_result result = pinned_create(&cache, NULL, NULL);
  int complained = result != HOSTCACHE_OK;

  EXPECT(result == HOSTCACHE_OK || result == HOSTCACHE_ERR_NO_METADATA);
  if (complained) {
    EXPECT(cache == NULL);
    return 0;
  }

  result = pinned_alloc(cache, 1000, &ptr);
  EXPECT(result == HOSTCACHE_OK || result == HOSTCACHE_ERR_NO_METADATA);
  if (result != HOSTCACHE_OK) {
    EXPECT(ptr == NULL);
    complained = 1;
  } else {
    result = pinned_record_stream(cache, ptr, 1);
    EXPECT(result == HOSTCACHE_OK || result == HOSTCACHE_ERR_NO_METADATA);
    if (result != HOSTCACHE_OK) complained = 1;
    result = pinned_free(cache, ptr);
    EXPECT(result == HOSTCACHE_OK || result == HOSTCACHE_ERR_NO_METADATA ||
           result == HOSTCACHE_ERR_EVENT);
    if (result != HOSTCACHE_OK) complained = 1;
  }
  EXPECT(pinned_check(cache) == HOSTCACHE_OK);
  result = pinned_destroy(cache);
  EXPECT(result == HOSTCACHE_OK || (complained && result == HOSTCACHE_ERR_LEAKED));
  return !complained;
}

int main(void) {
  pinned *cache;
  hostcache_stats stats;
  void *ptr;
  int n;

  EXPECT(pinned_create(&cache, NULL, NULL) == HOSTCACHE_OK);
  EXPECT(mallocs_made > 0);
  EXPECT(pinned_alloc(cache, 1000, &ptr) == HOSTCACHE_OK);
  EXPECT(clock_reads >= 2); /* the alloc hook is timed */
  EXPECT(pinned_stats(cache, &stats) == HOSTCACHE_OK);
  EXPECT(stats.mem_alloc_time.count == 1);
  EXPECT(stats.mem_alloc_time.total >= 10 && stats.mem_alloc_time.total % 10 == 0);
  EXPECT(pinned_free(cache, ptr) == HOSTCACHE_OK);
  EXPECT(pinned_destroy(cache) == HOSTCACHE_OK);
  EXPECT(mallocs_live == 0);
  EXPECT(asserts_made > 0);

  for (n = 0;; n++) {
    int passed;
    EXPECT(n < 1000);
    mallocs_until_failure = n;
    passed = round_trip();
    EXPECT(mallocs_live == 0);
    if (passed && mallocs_until_failure > 0) break;
  }
  EXPECT(n > 0);
  return 0;
}
