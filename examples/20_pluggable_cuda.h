/* 20_pluggable_cuda.h - the runtime of 20_pluggable.c over CUDA: device memory, and events.

   A hook may be called with any device as the current one, so each goes to its own and back, and
   takes away the error that it leaves. */

#ifndef PLUGGABLE_CUDA_H
#define PLUGGABLE_CUDA_H

#include <cuda_runtime_api.h>
#include <stdint.h>
#include <sys/types.h>

enum { PLUGGABLE_DEVICES = 128 };

#define PLUGGABLE_DEVICE_BYTES ((size_t)0) /* no bound but what the device has */

typedef int pluggable_device;
typedef cudaStream_t torch_stream;

/* The default stream is NULL on every device: only with the device it is one. */
typedef struct pluggable_stream {
  int device;
  cudaStream_t handle;
} pluggable_stream;

/* A value must mean the same stream on every thread. The default stream of each thread does not;
   but the legacy one waits for all of these, so an event there comes after what it stands for. */
static inline pluggable_stream pluggable_stream_of(int device, torch_stream handle) {
  pluggable_stream stream = {device, handle};
  if (handle == cudaStreamLegacy || handle == cudaStreamPerThread) stream.handle = NULL;
#if CUDART_VERSION >= 12080 /* before it, the device of the block must do */
  if (stream.handle && cudaStreamGetDevice(handle, &stream.device) != cudaSuccess)
    (void)cudaGetLastError();
#endif
  return stream;
}

static inline torch_stream pluggable_handle(pluggable_stream stream) { return stream.handle; }

/* Is it the same stream whoever says so? */
static inline int pluggable_is_one_stream(torch_stream handle) {
  return handle != cudaStreamPerThread;
}

static inline int pluggable_is_stream(pluggable_stream stream) {
  (void)stream;
  return 1;
}

static inline int pluggable_enter(int device) {
  int was = device;
  (void)cudaGetDevice(&was);
  if (was != device) (void)cudaSetDevice(device);
  return was;
}

/* Back to the device that was current. The error passes through. */
static inline cudaError_t pluggable_leave(int device, int was, cudaError_t error) {
  if (was != device) (void)cudaSetDevice(was);
  if (error != cudaSuccess) (void)cudaGetLastError();
  return error;
}

/* Opens a device: 0, or an error. */
static inline int pluggable_open(int device, pluggable_device *opened) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  *opened = device;
  if (error != cudaSuccess) return (int)pluggable_leave(0, 0, error);
  return device < count ? 0 : (int)cudaErrorInvalidDevice;
}

static inline void pluggable_close(pluggable_device opened) { (void)opened; }

static inline size_t pluggable_segment_bytes(const size_t *segment) { return *segment; }

static inline cudaError_t pluggable_memory(int device, size_t *free_bytes, size_t *total) {
  const int was = pluggable_enter(device);
  return pluggable_leave(device, was, cudaMemGetInfo(free_bytes, total));
}

static inline cudaError_t pluggable_get(int device, size_t size, void **ptr, size_t *segment) {
  const int was = pluggable_enter(device);
  *segment = size;
  return pluggable_leave(device, was, cudaMalloc(ptr, size));
}

static inline cudaError_t pluggable_give_back(int device, void *ptr) {
  const int was = pluggable_enter(device);
  return pluggable_leave(device, was, cudaFree(ptr));
}

static inline cudaError_t pluggable_event_create(pluggable_stream stream, cudaEvent_t *event) {
  const int was = pluggable_enter(stream.device);
  return pluggable_leave(stream.device, was,
                         cudaEventCreateWithFlags(event, cudaEventDisableTiming));
}

static inline cudaError_t pluggable_event_record(pluggable_stream stream, cudaEvent_t event) {
  const int was = pluggable_enter(stream.device);
  return pluggable_leave(stream.device, was, cudaEventRecord(event, stream.handle));
}

static inline cudaError_t pluggable_stream_wait(pluggable_stream stream) {
  const int was = pluggable_enter(stream.device);
  return pluggable_leave(stream.device, was, cudaStreamSynchronize(stream.handle));
}

/* cudaSuccess: it is being captured; cudaErrorNotReady: it is not. */
static inline cudaError_t pluggable_is_capturing(pluggable_stream stream) {
  enum cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  const int was = pluggable_enter(stream.device);
  const cudaError_t error =
      pluggable_leave(stream.device, was, cudaStreamIsCapturing(stream.handle, &status));
  if (error == cudaErrorStreamCaptureImplicit) return cudaErrorNotReady; /* another one is */
  if (error != cudaSuccess) return error;
  return status == cudaStreamCaptureStatusNone ? cudaErrorNotReady : cudaSuccess;
}

/* In the relaxed mode this thread may do what a capture forbids, cudaMalloc first of all. */
static inline cudaError_t pluggable_exchange(enum cudaStreamCaptureMode mode, uint64_t *was) {
  const cudaError_t error = cudaThreadExchangeStreamCaptureMode(&mode);
  *was = (uint64_t)mode;
  return pluggable_leave(0, 0, error);
}

#define PLUGGABLE_STATUS(call) hostcache_map(call, cudaSuccess, cudaErrorNotReady)

#define HC_CTX_T pluggable_device
#define HC_STREAM_T pluggable_stream
#define HC_STREAM_EQ(a, b) ((a).device == (b).device && (a).handle == (b).handle)
#define HC_STREAM_HASH(s) ((uint64_t)(uintptr_t)(s).handle * 31 + (uint64_t)(s).device)
#define HC_SEGMENT_T size_t
#define HC_MEM_ALLOC(ctx, size, align, ptr_out, segment_ptr)                         \
  ((void)(align),                                                                    \
   hostcache_map_memory(pluggable_get(ctx, size, ptr_out, segment_ptr), cudaSuccess, \
                        cudaErrorMemoryAllocation, cudaErrorMemoryAllocation))
#define HC_MEM_FREE(ctx, ptr, size, segment_ptr) \
  ((void)(size), (void)(segment_ptr), PLUGGABLE_STATUS(pluggable_give_back(ctx, ptr)))
#define HC_MEM_INFO(ctx, free_ptr, total_ptr) \
  PLUGGABLE_STATUS(pluggable_memory(ctx, free_ptr, total_ptr))
#define HC_EVENT_T cudaEvent_t
#define HC_EVENT_CREATE(ctx, stream, event_ptr) \
  ((void)(ctx), PLUGGABLE_STATUS(pluggable_event_create(stream, event_ptr)))
#define HC_EVENT_DESTROY(ctx, event_ptr) \
  ((void)(ctx), PLUGGABLE_STATUS(pluggable_leave(0, 0, cudaEventDestroy(*(event_ptr)))))
#define HC_EVENT_RECORD(ctx, event_ptr, stream) \
  ((void)(ctx), PLUGGABLE_STATUS(pluggable_event_record(stream, *(event_ptr))))
#define HC_EVENT_QUERY(ctx, event_ptr) \
  ((void)(ctx), PLUGGABLE_STATUS(pluggable_leave(0, 0, cudaEventQuery(*(event_ptr)))))
#define HC_EVENT_WAIT(ctx, event_ptr) \
  ((void)(ctx), PLUGGABLE_STATUS(pluggable_leave(0, 0, cudaEventSynchronize(*(event_ptr)))))
#define HC_STREAM_WAIT(ctx, stream) ((void)(ctx), PLUGGABLE_STATUS(pluggable_stream_wait(stream)))
#define HC_STREAM_IS_CAPTURING(ctx, stream) \
  ((void)(ctx), PLUGGABLE_STATUS(pluggable_is_capturing(stream)))
#define HC_CAPTURE_RELAX_BEGIN(ctx, mode_ptr) \
  ((void)(ctx), PLUGGABLE_STATUS(pluggable_exchange(cudaStreamCaptureModeRelaxed, mode_ptr)))
#define HC_CAPTURE_RELAX_END(ctx, mode_ptr) \
  ((void)(ctx),                             \
   PLUGGABLE_STATUS(pluggable_exchange((enum cudaStreamCaptureMode) * (mode_ptr), mode_ptr)))

#endif
