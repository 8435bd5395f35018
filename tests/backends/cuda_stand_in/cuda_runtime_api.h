/* cuda_runtime_api.h - a stand-in for CUDA's, with as much of it as examples/20_pluggable_cuda.h
   calls, so that those hooks run where there is neither CUDA nor a GPU.

   There are two devices, whose streams finish work when the test says so. cuda_stand_in.c is as
   strict as CUDA about which device is current and what a capture forbids. Names, and the values of
   the errors that are told apart, are CUDA's. */

#ifndef TESTS_CUDA_STAND_IN_H
#define TESTS_CUDA_STAND_IN_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#define CUDART_VERSION 13000

typedef struct CUstream_st *cudaStream_t;
typedef struct CUevent_st *cudaEvent_t;

#define cudaStreamLegacy ((cudaStream_t)0x1)
#define cudaStreamPerThread ((cudaStream_t)0x2)
#define cudaEventDisableTiming 2

typedef enum cudaError {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInvalidDevice = 101,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorStreamCaptureUnsupported = 900,
  cudaErrorStreamCaptureImplicit = 906
} cudaError_t;

enum cudaStreamCaptureStatus { cudaStreamCaptureStatusNone, cudaStreamCaptureStatusActive };
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal,
  cudaStreamCaptureModeThreadLocal,
  cudaStreamCaptureModeRelaxed
};

cudaError_t cudaGetDevice(int *device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaGetLastError(void);
cudaError_t cudaPeekAtLastError(void);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total);
cudaError_t cudaMalloc(void **ptr, size_t size);
cudaError_t cudaFree(void *ptr);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamGetDevice(cudaStream_t stream, int *device);
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status);
cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode);

/* For the test. */

enum { STAND_IN_DEVICES = 2 };
#define STAND_IN_DEVICE_BYTES ((size_t)1 << 26)

cudaStream_t stand_in_stream(int device);                 /* a new one, to the end of the process */
void stand_in_submit(cudaStream_t stream, int device);    /* NULL: the device's default stream */
void stand_in_finish(cudaStream_t stream, int device);    /* all that was submitted */
void stand_in_capture(cudaStream_t stream, int captured); /* begins, or ends */
size_t stand_in_used(int device);                         /* bytes */
int stand_in_forbidden(void); /* calls so far that CUDA would have refused or got wrong */

#ifdef __cplusplus
}
#endif

#endif
