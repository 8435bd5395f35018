/* The smallest program that uses hostcache with a pack; FLAT where both files were copied into one
   folder. */
#define HOSTCACHE_CPU_IMPLEMENTATION
#define HOSTCACHE_IMPLEMENTATION
#define HC_NAME staging
#ifdef FLAT
#include "hostcache_cpu.h"
#else
#include "backends/hostcache_cpu.h"
#endif
#include "hostcache.h"

#include <stdio.h>

int main(void) {
  hostcache_cpu *cpu;
  hostcache_cpu_stream *stream;
  staging *cache;
  void *buffer;

  if (hostcache_cpu_open(&cpu, NULL) != HOSTCACHE_CPU_OK) return 1;
  if (hostcache_cpu_stream_create(cpu, &stream) != HOSTCACHE_CPU_OK) return 2;
  if (staging_create(&cache, NULL, cpu) != HOSTCACHE_OK) return 3;
  if (staging_alloc(cache, 4096, &buffer) != HOSTCACHE_OK) return 4;
  if (hostcache_cpu_fill(stream, buffer, 1, 4096) != HOSTCACHE_CPU_OK) return 5;
  if (staging_record_stream(cache, buffer, stream) != HOSTCACHE_OK) return 6;
  if (staging_free(cache, buffer) != HOSTCACHE_OK) return 7;
  if (hostcache_cpu_stream_wait(stream) != HOSTCACHE_CPU_OK) return 8;
  if (staging_destroy(cache) != HOSTCACHE_OK) return 9;
  if (hostcache_cpu_stream_destroy(stream) != HOSTCACHE_CPU_OK) return 10;
  if (hostcache_cpu_close(cpu) != HOSTCACHE_CPU_OK) return 11;
  printf("consumer: hostcache %d\n", HOSTCACHE_VERSION);
  return 0;
}
