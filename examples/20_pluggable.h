/* 20_pluggable.h - the cache that 20_pluggable.c implements in C and 20_pluggable_pools.cpp uses
   from C++, over the runtime that was chosen. */

#ifndef PLUGGABLE_H
#define PLUGGABLE_H

#ifdef EXAMPLE_CUDA
#include "20_pluggable_cuda.h"
#else
#include "20_pluggable_cpu.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* The stream that this thread allocates for: PyTorch gives it with each allocation, and the filter
   of a pool asks for it. */
pluggable_stream pluggable_allocating_for(void);

#ifdef __cplusplus
}
#endif

#define HC_NAME plugged
#define HC_STREAM_ORDERED
#define HC_DEVICE_ALLOCATOR
#define HC_POOLS
#define HC_STREAM_CURRENT(ctx, stream_ptr) \
  ((void)(ctx), *(stream_ptr) = pluggable_allocating_for(), hostcache_done())
#include "hostcache.h"

#define PLUGGABLE_API __attribute__((visibility("default"))) /* the rest is built as hidden */

#ifdef __cplusplus
extern "C" {
#endif

/* The cache of a device, made at its first use; NULL if there is no such device. */
plugged *pluggable_cache(int device);

/* What PyTorch loads; the comments are in 20_pluggable.c. */
PLUGGABLE_API void *pluggable_alloc(ssize_t size, int device, torch_stream stream);
PLUGGABLE_API void pluggable_free(void *ptr, ssize_t size, int device, torch_stream stream);
PLUGGABLE_API void pluggable_init(int device_count);
PLUGGABLE_API void pluggable_reset(void);
PLUGGABLE_API void pluggable_memory_fraction(double fraction, int device);
PLUGGABLE_API void *pluggable_base_alloc(void *ptr, size_t *size);
PLUGGABLE_API void pluggable_record_stream(void *ptr, torch_stream stream);

#ifdef __cplusplus
}
#endif

#endif
