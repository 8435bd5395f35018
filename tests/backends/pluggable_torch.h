/* pluggable_torch.h - what PyTorch does with a library that is plugged into it, without PyTorch.

   The library is loaded by its path and each function by its name; the addresses go through
   integers, as they do from Python; and each becomes a std::function of the type that
   CUDAPluggableAllocator has for it. Size, device and stream of each pointer are kept here, and
   given to the library's free. (Read in torch/csrc/cuda/CUDAPluggableAllocator.cpp and
   Module.cpp.) */

#ifndef TESTS_PLUGGABLE_TORCH_H
#define TESTS_PLUGGABLE_TORCH_H

#include <stddef.h>
#include <stdint.h>

#include "backends/hostcache_cpu.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What Python gives by name; the comment in examples/20_pluggable.c says so. */
#define TORCH_NAMES(X) \
  X(alloc)             \
  X(free)              \
  X(init)              \
  X(reset)             \
  X(memory_fraction)   \
  X(base_alloc) X(record_stream) X(begin_allocate_to_pool) X(end_allocate_to_pool) X(release_pool)

typedef hostcache_cpu_stream *torch_stream;
typedef int (*torch_filter)(void *user, torch_stream stream);
typedef struct torch_library torch_library;

enum { TORCH_LETS_ALL_IN, TORCH_ASKS, TORCH_THROWS }; /* what a filter does */

/* NULL: the library cannot be loaded, or lacks a name; stderr says which. */
torch_library *torch_plug(const char *path);

void torch_init(torch_library *t, int device_count);
void torch_empty_cache(torch_library *t);
void torch_set_memory_fraction(torch_library *t, double fraction, int device);
void *torch_raw_alloc(torch_library *t, size_t size, int device, torch_stream stream);
/* 0: it was not allocated here, and the library is not called. */
int torch_raw_delete(torch_library *t, void *ptr);
void *torch_base_allocation(torch_library *t, void *ptr, size_t *size);
void torch_record_stream(torch_library *t, void *ptr, torch_stream stream);

void torch_begin_pool(torch_library *t, int device, uint64_t first, uint64_t second, int kind,
                      torch_filter filter, void *user);
void torch_end_pool(torch_library *t, int device, uint64_t first, uint64_t second);
void torch_release_pool(torch_library *t, int device, uint64_t first, uint64_t second);

/* How many copies of filters there are. */
long torch_filters_alive(void);

/* Calls the library's free itself, with what PyTorch would never give. */
void torch_free_anything(torch_library *t, void *ptr, int device);

#ifdef __cplusplus
}
#endif

#endif
