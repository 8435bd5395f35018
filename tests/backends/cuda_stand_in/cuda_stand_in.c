/* cuda_stand_in.c - see cuda_runtime_api.h. For one thread at a time. */

#include "cuda_runtime_api.h"

#include <stdio.h>
#include <stdlib.h>

enum { PIECES = 256 };

struct CUstream_st {
  int device, captured;
  unsigned long submitted, finished;
};

struct CUevent_st { /* complete when the stream has finished so many */
  int device;
  struct CUstream_st *stream;
  unsigned long at;
};

typedef struct piece {
  void *ptr;
  size_t size;
  int device;
} piece;

static struct CUstream_st defaults[STAND_IN_DEVICES] = {{0, 0, 0, 0}, {1, 0, 0, 0}};
static piece pieces[PIECES];
static int current, captures, forbidden;
static cudaError_t last;
static enum cudaStreamCaptureMode mode;

/* NULL and the legacy stream are the default one of the current device. That of a thread is another
   one, which no thread but its own may name: what keeps it for later is wrong. */
static struct CUstream_st *stream_of(cudaStream_t stream) {
  if (stream == cudaStreamPerThread) forbidden++;
  if (stream == NULL || stream == cudaStreamLegacy || stream == cudaStreamPerThread)
    return &defaults[current];
  return stream;
}

static cudaError_t give(cudaError_t error) {
  if (error != cudaSuccess) last = error;
  return error;
}

static cudaError_t refuse(cudaError_t error) {
  forbidden++;
  return give(error);
}

static int capture_forbids(void) { return captures > 0 && mode != cudaStreamCaptureModeRelaxed; }

/* ---- devices and memory ---------------------------------------------------------------------- */

cudaError_t cudaGetDevice(int *device) {
  *device = current;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= STAND_IN_DEVICES) return refuse(cudaErrorInvalidDevice);
  current = device;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count) {
  *count = STAND_IN_DEVICES;
  return cudaSuccess;
}

cudaError_t cudaGetLastError(void) {
  const cudaError_t error = last;
  last = cudaSuccess;
  return error;
}

cudaError_t cudaPeekAtLastError(void) { return last; }

size_t stand_in_used(int device) {
  size_t used = 0;
  int i;
  for (i = 0; i < PIECES; i++)
    if (pieces[i].ptr != NULL && pieces[i].device == device) used += pieces[i].size;
  return used;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total) {
  *total = STAND_IN_DEVICE_BYTES;
  *free_bytes = *total - stand_in_used(current);
  return cudaSuccess;
}

static piece *piece_at(const void *ptr) {
  int i;
  for (i = 0; i < PIECES; i++)
    if (pieces[i].ptr == ptr) return &pieces[i];
  return NULL;
}

cudaError_t cudaMalloc(void **ptr, size_t size) {
  piece *p = piece_at(NULL);
  if (capture_forbids()) return refuse(cudaErrorStreamCaptureUnsupported);
  if (p == NULL || size > STAND_IN_DEVICE_BYTES - stand_in_used(current))
    return give(cudaErrorMemoryAllocation);
  p->ptr = *ptr = aligned_alloc(256, size);
  p->size = size;
  p->device = current;
  return cudaSuccess;
}

cudaError_t cudaFree(void *ptr) {
  piece *p = ptr == NULL ? NULL : piece_at(ptr);
  if (p == NULL || p->device != current) return refuse(cudaErrorInvalidValue);
  if (capture_forbids()) return refuse(cudaErrorStreamCaptureUnsupported);
  free(ptr);
  p->ptr = NULL;
  return cudaSuccess;
}

/* ---- streams and events ---------------------------------------------------------------------- */

cudaStream_t stand_in_stream(int device) {
  static struct CUstream_st streams[16];
  static int made;
  streams[made].device = device;
  return &streams[made++];
}

void stand_in_submit(cudaStream_t stream, int device) {
  (stream != NULL ? stream : &defaults[device])->submitted++;
}

void stand_in_finish(cudaStream_t stream, int device) {
  struct CUstream_st *s = stream != NULL ? stream : &defaults[device];
  s->finished = s->submitted;
}

void stand_in_capture(cudaStream_t stream, int captured) {
  stream->captured = captured;
  captures += captured ? 1 : -1;
}

int stand_in_forbidden(void) { return forbidden; }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
  (void)flags;
  *event = calloc(1, sizeof **event);
  if (*event == NULL) return give(cudaErrorMemoryAllocation);
  (*event)->device = current;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  free(event);
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  struct CUstream_st *s = stream_of(stream);
  if (captures > 0) return refuse(cudaErrorStreamCaptureUnsupported);
  if (event->device != s->device) return refuse(cudaErrorInvalidResourceHandle);
  event->stream = s;
  event->at = s->submitted;
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  if (captures > 0) return refuse(cudaErrorStreamCaptureUnsupported);
  if (event->stream == NULL || event->stream->finished >= event->at) return cudaSuccess;
  return give(cudaErrorNotReady);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->stream != NULL) event->stream->finished = event->stream->submitted;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  struct CUstream_st *s = stream_of(stream);
  s->finished = s->submitted;
  return cudaSuccess;
}

cudaError_t cudaStreamGetDevice(cudaStream_t stream, int *device) {
  *device = stream_of(stream)->device;
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status) {
  struct CUstream_st *s = stream_of(stream);
  if (s == &defaults[current] && captures > 0) return give(cudaErrorStreamCaptureImplicit);
  *status = s->captured ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *exchanged) {
  const enum cudaStreamCaptureMode was = mode;
  mode = *exchanged;
  *exchanged = was;
  return cudaSuccess;
}
