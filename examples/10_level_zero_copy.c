/* 10_level_zero_copy.c - a file through pinned staging buffers into a device's memory and back.

     cc -O2 -pthread -I. examples/10_level_zero_copy.c -lze_loader -o level_zero_copy
     ./level_zero_copy hostcache.h

   Needs the Level Zero loader and its headers (Debian: libze-dev), and a driver for a device.
   Without one it can be tried with the simulated driver of the tests:

     ZE_ENABLE_ALT_DRIVERS=$PWD/build/check/tests/level_zero_sim/liblevel_zero_sim.so \
       ./level_zero_copy hostcache.h

   What to learn: a staging buffer is freed as soon as its copy is submitted, and the cache hands it
   out again when the copy has ended. Commands of a list are in no order between barriers, so the
   copies back come after one; what the host reads, it waits for. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOSTCACHE_LEVEL_ZERO_IMPLEMENTATION
#define HOSTCACHE_IMPLEMENTATION
#define HC_NAME pinned
#include "backends/hostcache_level_zero.h"
#include "hostcache.h"

enum { CHUNK = 64 << 10, CHUNKS = 64 }; /* a file goes to the device in pieces of CHUNKS * CHUNK */

typedef struct copier {
  hostcache_level_zero l0;
  pinned *cache;
  ze_command_list_handle_t list;
  hostcache_level_zero_event done;
  char *device;
  unsigned char *piece; /* what was read, to be compared with what came back */
  uint64_t bytes;
} copier;

/* 1 if the call of Level Zero worked; else says which did not, and why. */
static int worked(const char *call, ze_result_t result) {
  if (result == ZE_RESULT_SUCCESS) return 1;
  fprintf(stderr, "level_zero_copy: %s: %s\n", call, hostcache_level_zero_result_string(result));
  return 0;
}

/* The same of a call of the cache. */
static int cached(const char *call, hostcache_result result) {
  if (result == HOSTCACHE_OK) return 1;
  fprintf(stderr, "level_zero_copy: %s: %s\n", call, hostcache_result_string(result));
  return 0;
}

/* What a failing hook says. */
static void on_error(void *user, hostcache_result result, int64_t code, const char *what,
                     const void *ptr) {
  (void)user, (void)ptr;
  fprintf(stderr, "level_zero_copy: %s: %s\n", what,
          code == 0 ? hostcache_result_string(result)
                    : hostcache_level_zero_result_string((ze_result_t)code));
}

static int open_device(copier *c) {
  const ze_result_t result = hostcache_level_zero_open(&c->l0, 0);
  ze_device_properties_t properties;
  if (result == ZE_RESULT_ERROR_UNINITIALIZED) {
    fprintf(
        stderr,
        "level_zero_copy: the Level Zero loader finds no driver. Install your device's (for Intel "
        "GPUs:\n  libze-intel-gpu1), or try the simulated one of the tests, as the top of "
        "this example shows.\n");
    return 0;
  }
  memset(&properties, 0, sizeof properties);
  properties.stype = ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES;
  if (!worked("opening the first driver", result) ||
      !worked("zeDeviceGetProperties", zeDeviceGetProperties(c->l0.device, &properties)))
    return 0;
  printf("found        %s, %llu MiB for one allocation at most\n", properties.name,
         (unsigned long long)(properties.maxMemAllocSize >> 20));
  return 1;
}

static int begin(copier *c) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  ze_command_queue_desc_t queue;
  ze_device_mem_alloc_desc_t memory;
  void *device = NULL;
  config.on_error = on_error;
  memset(&queue, 0, sizeof queue);
  queue.stype = ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC;
  queue.mode = ZE_COMMAND_QUEUE_MODE_ASYNCHRONOUS;
  memset(&memory, 0, sizeof memory);
  memory.stype = ZE_STRUCTURE_TYPE_DEVICE_MEM_ALLOC_DESC;
  c->piece = (unsigned char *)malloc((size_t)CHUNK * CHUNKS);
  if (!c->piece) return worked("malloc", ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY);
  if (!cached("pinned_create", pinned_create(&c->cache, &config, &c->l0)) ||
      !worked("zeMemAllocDevice", zeMemAllocDevice(c->l0.context, &memory, (size_t)CHUNK * CHUNKS,
                                                   64, c->l0.device, &device)))
    return 0;
  c->device = (char *)device;
  return worked("zeCommandListCreateImmediate",
                zeCommandListCreateImmediate(c->l0.context, c->l0.device, &queue, &c->list)) &&
         worked("making an event", hostcache_level_zero_event_create(&c->l0, 0, &c->done));
}

/* Ends what was begun, however far that came. What the device may still be using is left to it. */
static int end(copier *c) {
  int ok = 1;
  if (c->cache) {
    ok &= cached("pinned_synchronize", pinned_synchronize(c->cache, UINT64_MAX));
    ok &= cached("pinned_destroy", pinned_destroy(c->cache));
    if (!ok) return 0;
  }
  if (c->done.event)
    ok &= worked("ending an event", hostcache_level_zero_event_destroy(&c->l0, &c->done));
  if (c->list) ok &= worked("zeCommandListDestroy", zeCommandListDestroy(c->list));
  if (c->device) ok &= worked("zeMemFree", zeMemFree(c->l0.context, c->device));
  free(c->piece);
  return worked("closing", hostcache_level_zero_close(&c->l0)) && ok;
}

/* Submits the copy of a chunk to the device. Only this thread appends to the list, so it needs no
   lock for that. */
static int send_chunk(copier *c, size_t at, size_t size) {
  void *staging;
  int ok;
  if (!cached("pinned_alloc", pinned_alloc(c->cache, size, &staging))) return 0;
  memcpy(staging, c->piece + at, size);
  ok = worked("zeCommandListAppendMemoryCopy",
              zeCommandListAppendMemoryCopy(c->list, c->device + at, staging, size, NULL, 0, NULL));
  ok &= cached("pinned_record_stream", pinned_record_stream(c->cache, staging, c->list));
  return cached("pinned_free", pinned_free(c->cache, staging)) && ok; /* before the copy has run */
}

/* Copies a piece to the device and back, and compares it. */
static int copy_piece(copier *c, size_t size) {
  void *back[CHUNKS];
  size_t at, i, count = 0;
  int ok = 1;
  for (at = 0; ok && at < size; at += CHUNK)
    ok = send_chunk(c, at, size - at < CHUNK ? size - at : CHUNK);
  ok = ok &&
       worked("zeCommandListAppendBarrier", zeCommandListAppendBarrier(c->list, NULL, 0, NULL));
  for (at = 0; ok && at < size; at += CHUNK) {
    const size_t part = size - at < CHUNK ? size - at : CHUNK;
    ok = cached("pinned_alloc", pinned_alloc(c->cache, part, &back[count]));
    if (!ok) break;
    ok = worked(
        "zeCommandListAppendMemoryCopy",
        zeCommandListAppendMemoryCopy(c->list, back[count], c->device + at, part, NULL, 0, NULL));
    ok &= cached("pinned_record_stream", pinned_record_stream(c->cache, back[count++], c->list));
  }
  ok = worked("a barrier", hostcache_level_zero_event_record(&c->l0, &c->done, c->list, 0)) &&
       worked("waiting for it", hostcache_level_zero_event_wait(&c->done)) && ok;
  for (i = 0; i < count; i++) {
    const size_t part = size - i * CHUNK < CHUNK ? size - i * CHUNK : CHUNK;
    if (ok && memcmp(back[i], c->piece + i * CHUNK, part)) {
      fprintf(stderr, "level_zero_copy: what came back is not what was sent\n");
      ok = 0;
    }
    ok &= cached("pinned_free", pinned_free(c->cache, back[i])); /* also if nothing was awaited */
  }
  if (ok) c->bytes += size;
  return ok;
}

static int copy_file(copier *c, const char *name) {
  FILE *file = fopen(name, "rb");
  size_t got;
  int ok = file != NULL;
  while (ok && (got = fread(c->piece, 1, (size_t)CHUNK * CHUNKS, file)) > 0)
    ok = copy_piece(c, got);
  if (!file || ferror(file)) {
    fprintf(stderr, "level_zero_copy: can't read %s: %s\n", name, strerror(errno));
    ok = 0;
  }
  if (file) (void)fclose(file);
  return ok;
}

int main(int argc, char **argv) {
  copier c;
  hostcache_stats stats;
  int ok;
  memset(&c, 0, sizeof c);
  if (argc != 2) {
    fprintf(stderr, "usage: level_zero_copy FILE\n");
    return 2;
  }
  if (!open_device(&c)) return 1;
  ok = begin(&c) && copy_file(&c, argv[1]) && cached("pinned_stats", pinned_stats(c.cache, &stats));
  if (ok) {
    printf("copied       %llu bytes to the device and back, every byte checked\n",
           (unsigned long long)c.bytes);
    printf("staging      %lld buffers, %lld of them from the driver, at most %lld KiB at once\n",
           (long long)stats.allocation.allocated, (long long)stats.num_mem_alloc,
           (long long)stats.reserved_bytes.peak / 1024);
  }
  ok &= end(&c);
  if (fflush(stdout) || ferror(stdout)) {
    fprintf(stderr, "level_zero_copy: can't write: %s\n", strerror(errno));
    ok = 0;
  }
  return ok ? 0 : 1;
}
