/* cub.cpp - CUB's cub::CachingDeviceAllocator over device.h, as an allocator of works.h.

   It calls the CUDA runtime by name. No CUDA device, and no runtime library, is needed: the
   functions that it calls are defined here, over device.h, where the compiler can inline them.
   An event is an object, as in CUDA. A block belongs to the one stream that it is got for, and
   to free it records an event there, whether it was used or not. On that stream it is reused at
   once, as memory of a device can be and memory of the host cannot: so the works where a stream
   lags are left out. */

#include <cub/util_allocator.cuh>

#include "allocators.h"
#include "works.h"

/* ---- the runtime ---------------------------------------------------------------------------- */

namespace {

device_memory *current; /* of the one allocator there is */

/* The runtime gives back memory without being told its size. */
struct sizes {
  std::mutex lock;
  std::map<void *, size_t> all;
} known;

}  // namespace

cudaError_t cudaGetDevice(int *device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int) { return cudaSuccess; }

cudaError_t cudaGetLastError() { return cudaSuccess; }

cudaError_t cudaPeekAtLastError() { return cudaSuccess; }

const char *cudaGetErrorString(cudaError_t) { return "an error"; }

cudaError_t cudaMalloc(void **ptr, size_t size) {
  if (device_get(current, size, ptr) != 0) return cudaErrorMemoryAllocation;
  const std::lock_guard<std::mutex> guard(known.lock);
  known.all[*ptr] = size;
  return cudaSuccess;
}

cudaError_t cudaFree(void *ptr) {
  const std::lock_guard<std::mutex> guard(known.lock);
  const auto found = known.all.find(ptr);
  device_give(current, ptr, found->second);
  known.all.erase(found);
  return cudaSuccess;
}

/* An event that was never recorded is done. CUB asks for such: a block that is freed can be
   found by other threads before its event is recorded. */
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned) {
  *event = reinterpret_cast<cudaEvent_t>(new device_event{device_streams, 0});
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete reinterpret_cast<device_event *>(event);
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  *reinterpret_cast<device_event *>(event) =
      device_record(reinterpret_cast<device_stream *>(stream));
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return device_is_done(reinterpret_cast<device_event *>(event)) ? cudaSuccess : cudaErrorNotReady;
}

/* ---- the allocator -------------------------------------------------------------------------- */

namespace {

struct allocator {
  using block = void *;
  static constexpr bool streams = true;
  device_memory memory = {};
  /* Bins are powers of two from 4 KiB to 32 MiB, and nothing is given back for being too much. */
  cub::CachingDeviceAllocator made{2, 12, 25, SIZE_MAX, true};

  allocator() { current = &memory; }

  block get(size_t size) {
    void *got;
    if (made.DeviceAllocate(0, &got, size, reinterpret_cast<cudaStream_t>(stream)) != cudaSuccess)
      bench::fail("CUB: get");
    return got;
  }

  /* CUB wants to know the stream when it gets the block: so this one is for the next. */
  void use(block, device_stream *used) { stream = used; }

  void give(block got) {
    if (made.DeviceFree(0, got) != cudaSuccess) bench::fail("CUB: free");
  }
  bool empty() { return made.FreeAllCached() == cudaSuccess && memory.bytes == 0; }

 private:
  /* Each thread begins with a stream of its own, which no work uses. */
  static inline std::atomic<int> threads;
  static inline thread_local device_stream *stream =
      bench::streams_of(threads++ % (DEVICE_STREAMS / DEVICE_STREAMS_EACH)) + DEVICE_STREAMS_EACH -
      1;
};

}  // namespace

void add_cub() {
  using namespace bench;
  add<allocator>("cub", one_thread | many_threads | one_stream | handoff);
}
