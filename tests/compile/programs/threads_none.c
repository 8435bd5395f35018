/* A program without threads, and a cache that is static to its file. Its one thread has a stock,
   but not where what is kept idle is bounded: then no peak counts what such a stock might have. */
#define HOSTCACHE_THREADS HOSTCACHE_THREADS_NONE
#include "expect.h"
#include "hooks_memory.h"
#include "hooks_timeline.h"
#define HC_NAME pinned
#define HC_STATIC
#include "hostcache.h"

static hostcache_stats figures_of_five_rounds(const hostcache_config *config) {
  hostcache_stats stats;
  pinned *cache;
  void *small, *large, *third;
  int i;
  EXPECT(pinned_create(&cache, config, NULL) == HOSTCACHE_OK);
  for (i = 0; i < 5; i++) {
    EXPECT(pinned_alloc(cache, 60000, &small) == HOSTCACHE_OK);
    EXPECT(pinned_alloc(cache, 3000000, &large) == HOSTCACHE_OK);
    EXPECT(pinned_free(cache, small) == HOSTCACHE_OK);
    EXPECT(pinned_free(cache, large) == HOSTCACHE_OK);
  }
  EXPECT(pinned_alloc(cache, 60000, &small) == HOSTCACHE_OK);
  EXPECT(pinned_alloc(cache, 3000000, &large) == HOSTCACHE_OK);
  EXPECT(pinned_alloc(cache, 100, &third) == HOSTCACHE_OK);
  EXPECT(pinned_free(cache, small) == HOSTCACHE_OK);
  EXPECT(pinned_free(cache, large) == HOSTCACHE_OK);
  EXPECT(pinned_free(cache, third) == HOSTCACHE_OK);
  EXPECT(pinned_stats(cache, &stats) == HOSTCACHE_OK);
  EXPECT(stats.allocation.peak == 3);
  EXPECT(stats.active.peak == 3);
  EXPECT(pinned_check(cache) == HOSTCACHE_OK);
  EXPECT(pinned_destroy(cache) == HOSTCACHE_OK);
  return stats;
}

static void peaks_are_those_of_what_is_in_use(void) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  hostcache_stats stats;
  config.max_cached_bytes = 8000000;
  stats = figures_of_five_rounds(&config);
  EXPECT(stats.requested_bytes.peak >= 3060100);
  EXPECT(stats.requested_bytes.peak <= stats.active_bytes.peak);
  config.max_cached_bytes = 0;
  config.thread_cache_bytes = HOSTCACHE_NONE;
  stats = figures_of_five_rounds(&config);
  EXPECT(stats.requested_bytes.peak == 3060100);
}

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
  peaks_are_those_of_what_is_in_use();
  return 0;
}
