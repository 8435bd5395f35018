/* count.c - nothing but blocks got and freed, for callgrind: what it counts of a work of
   bench_speed has the works' own steps among it.

     bench_count hit|one_stream ITERATIONS */

#include "caches.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES = 64 << 10 };

static int hit(events_cache *cache, long iterations) {
  events_cache_block *block;
  for (; iterations > 0; iterations--) {
    if (events_cache_block_alloc(cache, BYTES, &block) != HOSTCACHE_OK) return 1;
    if (events_cache_block_free(cache, block) != HOSTCACHE_OK) return 1;
  }
  return 0;
}

static int one_stream(events_cache *cache, long iterations) {
  device_stream *stream = &device_streams[0];
  events_cache_block *block;
  for (; iterations > 0; iterations--) {
    if (events_cache_block_alloc(cache, BYTES, &block) != HOSTCACHE_OK) return 1;
    if (events_cache_block_record_stream(cache, block, stream) != HOSTCACHE_OK) return 1;
    if (events_cache_block_free(cache, block) != HOSTCACHE_OK) return 1;
  }
  return 0;
}

int main(int argc, char **argv) {
  device_memory memory = {0, 0, 0};
  events_cache *cache;
  long iterations;
  int failed;
  if (argc != 3 || (strcmp(argv[1], "hit") != 0 && strcmp(argv[1], "one_stream") != 0)) {
    fprintf(stderr, "usage: %s hit|one_stream ITERATIONS\n", argv[0]);
    return 2;
  }
  iterations = strtol(argv[2], NULL, 10);
  if (events_cache_create(&cache, NULL, &memory) != HOSTCACHE_OK) return 1;
  failed = argv[1][0] == 'h' ? hit(cache, iterations) : one_stream(cache, iterations);
  if (events_cache_synchronize(cache, UINT64_MAX) != HOSTCACHE_OK) failed = 1;
  if (events_cache_destroy(cache) != HOSTCACHE_OK) failed = 1;
  return failed;
}
