/* library.c - a shared library with a cache named twin, and a registry of host allocators. It is
   built four times: two by two with both hidden (LIBRARY_HIDDEN) and visible. */

#include "library.h"

#include <stdlib.h>

#define VISIBLE __attribute__((visibility("default")))

static int hook_calls;

static int device_alloc(int *bytes, size_t size, size_t align, void **ptr) {
  hook_calls++;
  if (posix_memalign(ptr, align, size) != 0) return 1;
  *bytes += (int)size;
  return 0;
}

static int device_free(int *bytes, void *ptr, size_t size) {
  hook_calls++;
  *bytes -= (int)size;
  free(ptr);
  return 0;
}

/* An event is complete from the beginning. */
static int device_record(int *event) {
  hook_calls++;
  *event = 1;
  return 0;
}

static int device_query(const int *event) {
  hook_calls++;
  return *event == 1 ? 0 : 1;
}

#define HC_NAME twin
#define HC_CTX_T int *
#define HC_STREAM_T int
#define HC_EVENT_T int
#define HC_MEM_ALLOC(bytes, size, align, ptr) \
  hostcache_map_memory(device_alloc(bytes, size, align, ptr), 0, 1, 1)
#define HC_MEM_FREE(bytes, ptr, size) hostcache_map(device_free(bytes, ptr, size), 0, 2)
#define HC_EVENT_RECORD(bytes, event, stream) \
  ((void)(bytes), (void)(stream), hostcache_map(device_record(event), 0, 2))
#define HC_EVENT_QUERY(bytes, event) ((void)(bytes), hostcache_map(device_query(event), 0, 1))
#ifdef LIBRARY_HIDDEN
#define HC_API __attribute__((visibility("hidden")))
#define HOSTCACHE_REGISTRY_API __attribute__((visibility("hidden")))
#else
#define HC_API VISIBLE
#define HOSTCACHE_REGISTRY_API VISIBLE
#endif
#define HOSTCACHE_REGISTRY_IMPLEMENTATION
#define HC_HOST_ALLOCATOR
#define HC_IMPLEMENT
#include "hostcache.h"

static int device; /* bytes it has given */
static twin *cache;
static int unload_what;
static atomic_int *unload_done;

static int library_open(void) { return twin_create(&cache, NULL, &device); }

static int library_close(void) {
  const int result = twin_destroy(cache);
  if (result == HOSTCACHE_OK) cache = NULL;
  return result;
}

static int library_take(void **ptr) { return twin_alloc(cache, 100000, ptr); }

static int library_give(void *ptr) {
  int result = twin_record_stream(cache, ptr, 1);
  if (result == HOSTCACHE_OK) result = twin_free(cache, ptr);
  if (result == HOSTCACHE_OK) result = twin_process_events(cache, NULL);
  return result;
}

static long library_stock(void) {
  void *blocks[20];
  size_t i;
  for (i = 0; i < 20; i++)
    if (twin_alloc(cache, 1000 + 100 * i, &blocks[i]) != HOSTCACHE_OK) return -1;
  for (i = 0; i < 20; i++)
    if (twin_free(cache, blocks[i]) != HOSTCACHE_OK) return -1;
  return (long)twin_i_here(cache)->stock_bytes;
}

static int library_check(void) { return twin_check(cache); }
static int library_hook_calls(void) { return hook_calls; }
static int library_bytes(void) { return device; }

static hostcache_allocator allocator;

static const void *library_allocator(void) { return &allocator; }

static const void *library_put(int type) {
  if (twin_as_allocator(cache, &allocator) != HOSTCACHE_OK) abort();
  return hostcache_set_host_allocator(type, &allocator);
}

static const void *library_get(int type) { return hostcache_get_host_allocator(type); }

static void library_at_unload(int what, atomic_int *done) {
  unload_what = what;
  unload_done = done;
}

__attribute__((destructor)) static void unload(void) {
  if (unload_what == LEAVE) return;
  if (unload_what == DESTROY) {
    if (twin_destroy(cache) != HOSTCACHE_OK || device != 0) abort();
  } else {
    const int calls = hook_calls;
    twin_abandon(cache);
    if (hook_calls != calls) abort();
  }
  atomic_store(unload_done, 1);
}

VISIBLE const library *life_library(void);
VISIBLE const library *life_library(void) {
  static const library interface = {library_open,       library_close,     library_take,
                                    library_give,       library_stock,     library_check,
                                    library_hook_calls, library_bytes,     library_put,
                                    library_get,        library_allocator, library_at_unload};
  return &interface;
}
