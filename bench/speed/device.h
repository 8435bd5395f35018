/* device.h - the device that every caching allocator of bench_speed works for, so that what differs
   between them is their own work.

   Memory is address space: it is never touched. A stream is a counter of the work submitted to it,
   and how far behind the device is; so a lag of 0 is a device that is done at once, and UINT64_MAX
   one that is stuck. Recording an event costs about 1 ns, a query 0.3 ns: both are inline, and the
   figures are those of the allocators, not of a runtime's calls.

   One thread at a time submits to a stream; any may ask how far it is. Linux, gcc or clang. */

#ifndef BENCH_DEVICE_H
#define BENCH_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Two cache lines each, since processors fetch lines by pairs: what one thread does on its stream
   must not slow another down. */
typedef struct device_stream {
  uint64_t submitted; /* written by the thread that submits alone */
  uint64_t reached;   /* what the device is done with */
  uint64_t lag;       /* how far `reached` is behind; UINT64_MAX: it stays where it is */
  char apart[104];
} device_stream;

typedef struct device_event {
  const device_stream *stream;
  uint64_t value;
} device_event;

/* Streams live as long as the program: an allocator may still hold an event of a work that is over.
   Each thread has DEVICE_STREAMS_EACH of them. */
enum { DEVICE_STREAMS_EACH = 8, DEVICE_STREAMS = 16 * DEVICE_STREAMS_EACH };
extern device_stream device_streams[DEVICE_STREAMS];

/* Returns the value that the stream has reached when the work so far is done. */
static inline uint64_t device_submit(device_stream *stream) {
  const uint64_t value = __atomic_load_n(&stream->submitted, __ATOMIC_RELAXED) + 1;
  __atomic_store_n(&stream->submitted, value, __ATOMIC_RELAXED);
  if (value - __atomic_load_n(&stream->reached, __ATOMIC_RELAXED) > stream->lag)
    __atomic_store_n(&stream->reached, value - stream->lag, __ATOMIC_RELEASE);
  return value;
}

static inline uint64_t device_reached(const device_stream *stream) {
  return __atomic_load_n(&stream->reached, __ATOMIC_ACQUIRE);
}

static inline device_event device_record(device_stream *stream) {
  device_event event;
  event.stream = stream;
  event.value = device_submit(stream);
  return event;
}

static inline int device_is_done(const device_event *event) {
  return device_reached(event->stream) >= event->value;
}

/* All that was submitted is done, and what follows lags so far behind. */
static inline void device_finish(device_stream *stream, uint64_t lag) {
  stream->lag = lag;
  __atomic_store_n(&stream->reached, stream->submitted, __ATOMIC_RELEASE);
}

/* Memory, counted for each allocator. */
typedef struct device_memory {
  uint64_t gets;        /* calls that got memory */
  uint64_t bytes, peak; /* held */
} device_memory;

/* 0, or -1: there is none. */
int device_get(device_memory *memory, size_t size, void **ptr);
int device_give(device_memory *memory, void *ptr, size_t size);

#ifdef __cplusplus
}
#endif

#endif
