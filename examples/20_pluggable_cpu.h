/* 20_pluggable_cpu.h - the runtime of 20_pluggable.c where there is no CUDA: each device is one of
   the CPU backend, a stream of PyTorch's is a hostcache_cpu_stream *.

   The library exports the functions of the backend, so that a program makes its streams with them,
   as it would with those of libcudart. NULL is no stream here: what is got for it is the host's. */

#ifndef PLUGGABLE_CPU_H
#define PLUGGABLE_CPU_H

#define HOSTCACHE_CPU_API __attribute__((visibility("default")))
#include "backends/hostcache_cpu.h" /* gives the hooks for streams and memory */

#include <sys/types.h>

enum { PLUGGABLE_DEVICES = 64 };

#define PLUGGABLE_DEVICE_BYTES ((size_t)1 << 30) /* of each */

typedef hostcache_cpu *pluggable_device;
typedef hostcache_cpu_stream *torch_stream, *pluggable_stream;

static inline pluggable_stream pluggable_stream_of(int device, torch_stream handle) {
  (void)device;
  return handle;
}

static inline torch_stream pluggable_handle(pluggable_stream stream) { return stream; }

static inline int pluggable_is_one_stream(torch_stream handle) { return handle != NULL; }

static inline int pluggable_is_stream(pluggable_stream stream) { return stream != NULL; }

/* Opens a device: 0, or an error. */
static inline int pluggable_open(int device, pluggable_device *opened) {
  (void)device;
  return hostcache_cpu_open(opened, NULL);
}

static inline void pluggable_close(pluggable_device opened) { (void)hostcache_cpu_close(opened); }

static inline size_t pluggable_segment_bytes(const hostcache_cpu_segment *segment) {
  return segment->bytes;
}

static inline int pluggable_memory(pluggable_device cpu, size_t *free_bytes, size_t *total) {
  hostcache_cpu_figures figures;
  const int result = hostcache_cpu_get_figures(cpu, &figures);
  if (result != HOSTCACHE_CPU_OK) return result;
  *total = PLUGGABLE_DEVICE_BYTES;
  *free_bytes = *total - (size_t)(figures.locked_bytes + figures.unlocked_bytes);
  return HOSTCACHE_CPU_OK;
}

#define HC_MEM_INFO(ctx, free_ptr, total_ptr) \
  HOSTCACHE_CPU_STATUS(pluggable_memory(ctx, free_ptr, total_ptr))

#endif
