/* 20_pluggable.c - hostcache as the allocator of PyTorch: the library for CUDAPluggableAllocator.

     cmake --preset check && cmake --build --preset check --target 20_pluggable
     python3
       import ctypes, torch
       path = "build/check/examples/lib20_pluggable.so"
       plug = torch.cuda.memory.CUDAPluggableAllocator(path, "pluggable_alloc", "pluggable_free")
       library = ctypes.CDLL(path)
       address = lambda name: ctypes.cast(getattr(library, name), ctypes.c_void_p).value
       more = plug.allocator()
       more.set_init_fn(address("pluggable_init"))
       more.set_reset_fn(address("pluggable_reset"))                # torch.cuda.empty_cache()
       more.set_memory_fraction_fn(address("pluggable_memory_fraction"))
       more.set_base_alloc_fn(address("pluggable_base_alloc"))
       more.set_record_stream_fn(address("pluggable_record_stream"))
       more.set_begin_allocate_to_pool(address("pluggable_begin_allocate_to_pool"))
       more.set_end_allocate_to_pool_fn(address("pluggable_end_allocate_to_pool"))
       more.set_release_pool(address("pluggable_release_pool"))
       torch.cuda.memory.change_current_allocator(plug)             # before CUDA is used

   What to learn: a cache for each device, and one line for each function. PyTorch asks for memory
   for a stream and frees it while that is at work; the cache hands it out again to the same stream
   at once, and to others when that is through, and those that record_stream adds.

   That is all that PyTorch lets a library do. Statistics, snapshots, histories and sharing between
   processes it refuses by itself for whatever is plugged in. The three functions of pools take a
   std::function and a std::pair by value, for which C has no type: they are in C++, in
   20_pluggable_pools.cpp, which is to be compiled with the C++ library that PyTorch has. PyTorch
   does not look whether it got NULL, so what fails is told on stderr. */

#define HOSTCACHE_CPU_IMPLEMENTATION
#define HOSTCACHE_IMPLEMENTATION
#include "20_pluggable.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#define PATIENCE_NS UINT64_C(10000000000) /* for what is pending, before memory is out */

/* Says what failed, each kind of it once; `told` has a bit for each. */
static void tell(atomic_uint *told, hostcache_result result, const char *where) {
  const unsigned kind = 1u << -(int)result;
  if (result == HOSTCACHE_OK || (atomic_fetch_or(told, kind) & kind) != 0) return;
  fprintf(stderr, "%s: %s\n", where, hostcache_result_string(result));
}

static void hear(void *user, hostcache_result result, int64_t code, const char *what,
                 const void *ptr) {
  static atomic_uint told;
  (void)user;
  (void)code;
  (void)ptr;
  tell(&told, result, what);
}

/* ---- a cache for each device ----------------------------------------------------------------- */

/* Not a leak: PyTorch frees tensors until the process ends, so there is no time to end these.
   LOCK: making, to write. */
static _Atomic(plugged *) caches[PLUGGABLE_DEVICES];
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

static plugged *make_cache(int device) {
  static atomic_uint told;
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  hostcache_result result = HOSTCACHE_ERR_ARGUMENT;
  pluggable_device opened;
  plugged *made = NULL;
  config.alignment = 256; /* what cudaMalloc promises */
  config.max_reserved_bytes = PLUGGABLE_DEVICE_BYTES;
  config.wait_on_limit_ns = PATIENCE_NS;
  config.on_error = hear;
  if (pluggable_open(device, &opened) == 0) {
    result = plugged_create(&made, &config, opened);
    if (result != HOSTCACHE_OK) pluggable_close(opened);
  }
  tell(&told, result, "no cache for a device");
  return made;
}

plugged *pluggable_cache(int device) {
  plugged *cache;
  if (device < 0 || device >= PLUGGABLE_DEVICES) return NULL;
  cache = atomic_load_explicit(&caches[device], memory_order_acquire);
  if (cache) return cache;
  pthread_mutex_lock(&making);
  cache = atomic_load_explicit(&caches[device], memory_order_relaxed);
  if (!cache) {
    cache = make_cache(device);
    atomic_store_explicit(&caches[device], cache, memory_order_release);
  }
  pthread_mutex_unlock(&making);
  return cache;
}

/* The cache that `ptr` is in an active block of, with the block and its device; or NULL. */
static plugged *cache_of(const void *ptr, plugged_block **block, int *device) {
  for (*device = 0; *device < PLUGGABLE_DEVICES; ++*device) {
    plugged *cache = atomic_load_explicit(&caches[*device], memory_order_acquire);
    *block = cache ? plugged_find(cache, ptr) : NULL;
    if (*block) return cache;
  }
  return NULL;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static _Thread_local pluggable_stream allocating_for;

pluggable_stream pluggable_allocating_for(void) { return allocating_for; }

/* Once it is freed, the block serves its stream again at once, and any other when this one is
   through with what was submitted until then. */
static hostcache_result alloc_for(plugged *cache, size_t size, int device, torch_stream handle,
                                  void **ptr) {
  const pluggable_stream stream = pluggable_stream_of(device, handle);
  hostcache_result result;
  allocating_for = stream;
  if (pluggable_is_one_stream(handle)) return plugged_alloc_on(cache, size, stream, ptr);
  result = plugged_alloc(cache, size, ptr);
  if (result != HOSTCACHE_OK || !*ptr || !pluggable_is_stream(stream)) return result;
  return plugged_record_stream(cache, *ptr, stream); /* which waits for all that it may be */
}

/* Memory of a device for a stream; NULL for 0 bytes, without memory, and of no such device. */
void *pluggable_alloc(ssize_t size, int device, torch_stream stream) {
  static atomic_uint told;
  plugged *cache = pluggable_cache(device);
  hostcache_result result = HOSTCACHE_ERR_ARGUMENT;
  void *ptr = NULL;
  if (cache) result = alloc_for(cache, (size_t)size, device, stream, &ptr);
  tell(&told, result, "pluggable_alloc");
  return ptr;
}

/* Takes it back, at work or not. PyTorch gives what it gave to alloc, which the cache knows. */
void pluggable_free(void *ptr, ssize_t size, int device, torch_stream stream) {
  static atomic_uint told;
  plugged *cache = pluggable_cache(device);
  (void)size;
  (void)stream;
  tell(&told, cache ? plugged_free(cache, ptr) : HOSTCACHE_ERR_ARGUMENT, "pluggable_free");
}

/* ---- what is optional ------------------------------------------------------------------------ */

/* Makes the caches; what is asked for before makes its own. */
void pluggable_init(int device_count) {
  int device;
  for (device = 0; device < device_count; device++) (void)pluggable_cache(device);
}

/* Gives all cached memory back. */
void pluggable_reset(void) {
  static atomic_uint told;
  int device;
  for (device = 0; device < PLUGGABLE_DEVICES; device++) {
    plugged *cache = atomic_load_explicit(&caches[device], memory_order_acquire);
    if (cache) tell(&told, plugged_empty_cache(cache), "pluggable_reset");
  }
}

/* Bounds what is held of a device to this part of it. */
void pluggable_memory_fraction(double fraction, int device) {
  static atomic_uint told;
  plugged *cache = pluggable_cache(device);
  tell(&told, cache ? plugged_set_memory_fraction(cache, fraction) : HOSTCACHE_ERR_ARGUMENT,
       "pluggable_memory_fraction");
}

/* What the runtime gave, and how much, for any pointer into a block: the segment that it is in.
   NULL and 0 for any other pointer. */
void *pluggable_base_alloc(void *ptr, size_t *size) {
  plugged_block *block;
  size_t offset, bytes = 0;
  int device;
  char *base = NULL;
  if (cache_of(ptr, &block, &device)) {
    bytes = pluggable_segment_bytes(plugged_block_segment(block, &offset));
    base = (char *)plugged_block_ptr(block) - offset;
  }
  if (size) *size = bytes;
  return base;
}

/* Has the free of this memory wait for one more stream. NULL is fine: a tensor of no bytes. */
void pluggable_record_stream(void *ptr, torch_stream stream) {
  static atomic_uint told;
  hostcache_result result = HOSTCACHE_ERR_NOT_FOUND;
  pluggable_stream used_on;
  plugged_block *block;
  int device;
  plugged *cache = cache_of(ptr, &block, &device);
  if (!ptr) return;
  if (cache) {
    used_on = pluggable_stream_of(device, stream);
    if (!pluggable_is_stream(used_on)) return;
    result = plugged_block_record_stream(cache, block, used_on);
  }
  tell(&told, result, "pluggable_record_stream");
}
