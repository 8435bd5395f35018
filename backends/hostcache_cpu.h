/* hostcache_cpu.h - a runtime for hostcache that needs no device.

   A stream is a worker thread that copies, fills and calls functions in the order in which they
   were submitted. Memory is mapped, made resident and locked into RAM (mlock, VirtualLock), as a
   driver does when it pins. So what makes pinned memory awkward is real here: it is slow to get,
   it is limited, and work that was submitted may still be reading it when the host is done with
   it. Use it to try hostcache, to test code that will run on a device, or to overlap I/O with
   copies on the CPU.

   QUICK START

     #define HOSTCACHE_CPU_IMPLEMENTATION       // in exactly one file: the code of the runtime
     #define HOSTCACHE_IMPLEMENTATION           // and of the cache
     #define HC_NAME staging
     #include "hostcache_cpu.h"                 // gives every other HC_* parameter
     #include "hostcache.h"                     // makes the cache, and takes the parameters away

     hostcache_cpu *cpu;
     hostcache_cpu_stream *stream;
     staging *cache;
     void *buffer;
     hostcache_cpu_open(&cpu, NULL);
     hostcache_cpu_stream_create(cpu, &stream);
     staging_create(&cache, NULL, cpu);

     staging_alloc(cache, size, &buffer);                     // ... fill the buffer ...
     hostcache_cpu_copy(stream, device, buffer, size);        // returns at once
     staging_record_stream(cache, buffer, stream);            // the stream uses it
     staging_free(cache, buffer);                             // safe before the copy has run

     hostcache_cpu_stream_wait(stream);
     staging_destroy(cache);
     hostcache_cpu_stream_destroy(stream);
     hostcache_cpu_close(cpu);

   TWO PARAMETER PACKS

   Each inclusion defines the parameters of one cache, for the inclusion of hostcache.h that follows
   it; include both as often as there are caches. Which pack is chosen before the inclusion:

     (nothing)               timeline: a stream has a counter that rises with each finished item
     #define HC_CPU_EVENTS   event objects, which the cache creates, records, asks and pools

   Both give HC_CTX_T (hostcache_cpu *), HC_STREAM_T (hostcache_cpu_stream *) and HC_SEGMENT_T
   (hostcache_cpu_segment): NAME_block_segment(block, &offset)->locked says whether a buffer is
   locked.

   WHEN THE SYSTEM REFUSES TO LOCK

   Locked memory is limited: by RLIMIT_MEMLOCK, often 8 MiB, for processes without CAP_IPC_LOCK; by
   the working set on Windows. A refusal is never silent, and what it means is chosen at open:

     by default              the memory is usable, but not locked: its segment says locked = 0, and
                             the figures have locks_refused, lock_error and the bytes of both kinds
     options.lock_required   HOSTCACHE_CPU_ERR_LOCK_REFUSED, which the cache takes for out of
                             memory: it gives idle memory back and asks again before it fails

   hostcache_cpu_lock_limit says what the limit is, hostcache_cpu_raise_lock_limit asks for more.

   MEMORY THAT PROCESSES SHARE

   hostcache_cpu_shared_alloc gives memory that another process maps by its handle, as a device's
   memory is by an IPC handle. No cache of these packs uses it: it is for hooks of your own.

   GUARANTEES

   - Items of one stream run one at a time, in order of submission. What an item wrote is visible to
     whoever learns, through a wait, a query or the counter, that it has run. Streams have no order
     among each other.
   - Every function may be called by any number of threads at once, on the same stream too: their
     items are then in the order in which the calls took the stream's lock. Two exceptions: what
     ends an object (close, stream_destroy, event_destroy) is its last use, and an event is touched
     by one thread at a time, as hostcache promises.
   - A function that a stream calls (hostcache_cpu_host) may call anything here and in the cache,
     but for what would wait for its own stream: that returns HOSTCACHE_CPU_ERR_DEADLOCK.
   - Submitting, recording and querying never wait for work. errno, and GetLastError() on Windows,
     are left as they were found. A function that fails has done nothing, but for setting what it
     would have given to NULL; hostcache_cpu_raise_lock_limit alone goes as far as it may.
   - A worker starts with the signal mask of the thread that creates the stream. Threads that call
     in must not be cancelled there. A child after fork must not use what its parent opened.

   C11 or C++11, with pthreads or Win32 threads: gcc, clang, mingw; MSVC is written, not verified.
   Where no code is emitted it includes stddef.h and stdint.h alone.

   HOSTCACHE_CPU_MALLOC(size) and HOSTCACHE_CPU_FREE(ptr), defined before the code is emitted,
   replace malloc and free for its bookkeeping and its device memory; HOSTCACHE_CPU_API decorates
   the prototypes. */

/* ==== 1. DECLARATIONS (once per file) ========================================================= */

#ifndef HOSTCACHE_CPU_H
#define HOSTCACHE_CPU_H

#include <stddef.h>
#include <stdint.h>

#ifndef HOSTCACHE_CPU_API /* decorates the prototypes, to export them from a shared library */
#define HOSTCACHE_CPU_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hostcache_cpu hostcache_cpu;               /* the runtime: memory and its figures */
typedef struct hostcache_cpu_stream hostcache_cpu_stream; /* a worker thread and its queue       */
typedef struct hostcache_cpu_event hostcache_cpu_event;   /* a marker in a stream                */

/* One list gives the codes and their strings. */
#define HOSTCACHE_CPU_RESULTS(X)                                                     \
  X(OK, 0, "done")                                                                   \
  X(PENDING, 1, "not complete yet")                                                  \
  X(ERR_ARGUMENT, -1, "an argument is NULL or out of its range")                     \
  X(ERR_OUT_OF_MEMORY, -2, "the system gave no memory")                              \
  X(ERR_LOCK_REFUSED, -3,                                                            \
    "the system refused to lock the memory: raise the limit on locked memory")       \
  X(ERR_THREAD, -4, "the system gave no thread")                                     \
  X(ERR_QUEUE_FULL, -5, "as many items wait in the stream as the options allow")     \
  X(ERR_BUSY, -6, "streams, events or memory of the runtime are still alive")        \
  X(ERR_DEADLOCK, -7, "a function called by a stream would wait for its own stream") \
  X(ERR_SYSTEM, -8, "the system refused what it was asked for")                      \
  X(ERR_UNSUPPORTED, -9, "this system has no memory that processes share by a handle")

typedef enum hostcache_cpu_result {
#define HOSTCACHE_CPU_RESULT(name, value, text) HOSTCACHE_CPU_##name = (value),
  HOSTCACHE_CPU_RESULTS(HOSTCACHE_CPU_RESULT)
#undef HOSTCACHE_CPU_RESULT
} hostcache_cpu_result;

/* A code as the hooks below tell it to a cache; only a query gives PENDING. */
#define HOSTCACHE_CPU_STATUS(call) hostcache_map(call, HOSTCACHE_CPU_OK, HOSTCACHE_CPU_PENDING)

typedef struct hostcache_cpu_options { /* all zero, or NULL for the whole: the defaults */
  int lock_required;                   /* 1: memory that can't be locked is an error    */
  size_t max_queue_items;              /* most items that wait in one stream; no bound  */
} hostcache_cpu_options;

/* What belongs to one piece of staging memory. The fields are for reading. */
typedef struct hostcache_cpu_segment {
  void *base;    /* what was mapped: the memory, and what was skipped before it to align it */
  size_t mapped; /* bytes of address space behind base                                      */
  size_t bytes;  /* bytes of memory, in whole pages                                         */
  int locked;    /* 1: locked into RAM; 0: the system refused                               */
} hostcache_cpu_segment;

/* Bytes are in whole pages, as the limit on locked memory counts them. */
typedef struct hostcache_cpu_figures {
  uint64_t locked_bytes;   /* staging memory that is alive and locked             */
  uint64_t unlocked_bytes; /* staging memory that is alive and not                */
  uint64_t locks_granted;  /* since open                                          */
  uint64_t locks_refused;  /* since open; 0: all memory ever given was locked     */
  uint64_t streams;        /* alive, as are the next two                          */
  uint64_t events;
  uint64_t device_blocks;
  int64_t lock_error;     /* errno or GetLastError() of the last refusal; 0: none */
  uint64_t shared_blocks; /* alive: made here, or opened by a handle              */
} hostcache_cpu_figures;

/* What another process needs to open shared memory: plain bytes, to be sent as they are. */
typedef struct hostcache_cpu_handle {
  uint64_t process, file, volume, inode, bytes;
} hostcache_cpu_handle;

typedef void (*hostcache_cpu_host_fn)(void *argument);

/* The text of a code; never NULL. */
HOSTCACHE_CPU_API const char *hostcache_cpu_result_string(hostcache_cpu_result result);

/* ---- the runtime ----------------------------------------------------------------------------- */

/* Opens a runtime. ERR_ARGUMENT, ERR_OUT_OF_MEMORY. */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_open(hostcache_cpu **cpu,
                                                          const hostcache_cpu_options *options);
/* Closes it; NULL is fine. ERR_BUSY, and nothing is closed, while anything of it is alive. */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_close(hostcache_cpu *cpu);

/* What is alive and how locking went, as of one moment. */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_get_figures(hostcache_cpu *cpu,
                                                                 hostcache_cpu_figures *figures);

/* How many bytes this process may lock; SIZE_MAX: any. Linux does not hold a process with
   CAP_IPC_LOCK to it. On Windows it is the working set that the process is sure of, which holds
   more than locked pages. */
HOSTCACHE_CPU_API size_t hostcache_cpu_lock_limit(void);

/* Raises that limit to so many bytes, or as far as it goes without privilege, for the whole
   process; never lowers it. ERR_LOCK_REFUSED if it is lower than asked afterwards: locking then
   fails beyond it. */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_raise_lock_limit(size_t bytes);

/* ---- streams --------------------------------------------------------------------------------- */

/* Starts a worker. ERR_ARGUMENT, ERR_OUT_OF_MEMORY, ERR_THREAD. */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_stream_create(hostcache_cpu *cpu,
                                                                   hostcache_cpu_stream **stream);
/* Waits for all that was submitted and ends the worker; NULL is fine. A cache that knows the
   stream must have forgotten it before (NAME_forget_stream). ERR_DEADLOCK from the stream's own
   function. */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_stream_destroy(hostcache_cpu_stream *stream);

/* Submit one item and return: copy bytes that do not overlap, set bytes, call a function. The
   memory must stay until the item has run. O(1), and now and then a malloc to let the queue
   grow. ERR_ARGUMENT (NULL where bytes is not 0), ERR_OUT_OF_MEMORY (the queue could not grow),
   ERR_QUEUE_FULL. */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_copy(hostcache_cpu_stream *stream, void *to,
                                                          const void *from, size_t bytes);
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_fill(hostcache_cpu_stream *stream, void *to,
                                                          unsigned char value, size_t bytes);
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_host(hostcache_cpu_stream *stream,
                                                          hostcache_cpu_host_fn call,
                                                          void *argument);

/* Items submitted to the stream, and items that have run, since it was made: the first is what
   the second will have reached when all that is submitted now has run. Markers of events count.
   No lock. */
HOSTCACHE_CPU_API uint64_t hostcache_cpu_submitted(const hostcache_cpu_stream *stream);
HOSTCACHE_CPU_API uint64_t hostcache_cpu_reached(const hostcache_cpu_stream *stream);

/* Block until all that is submitted at the call has run, or until so many items have (they may
   be submitted later). ERR_ARGUMENT, ERR_DEADLOCK. */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_stream_wait(hostcache_cpu_stream *stream);
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_value_wait(hostcache_cpu_stream *stream,
                                                                uint64_t value);

/* ---- events ---------------------------------------------------------------------------------- */

/* An event that was never recorded is complete. ERR_ARGUMENT, ERR_OUT_OF_MEMORY. */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_event_create(hostcache_cpu *cpu,
                                                                  hostcache_cpu_event **event);
/* NULL is fine; so is an event that is not complete: its marker runs all the same. Never waits. */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_event_destroy(hostcache_cpu_event *event);

/* Submits a marker: the event is complete when all submitted before it has run. Recorded again,
   it stands for the last marker. Fails as submitting does; the event is then as it was. */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_event_record(hostcache_cpu_event *event,
                                                                  hostcache_cpu_stream *stream);
/* OK or PENDING; one atomic load. */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_event_query(const hostcache_cpu_event *event);

/* Blocks until the event is complete. Its stream may be destroyed meanwhile. ERR_ARGUMENT,
   ERR_DEADLOCK. */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_event_wait(hostcache_cpu_event *event);

/* ---- memory ---------------------------------------------------------------------------------- */

/* Staging memory: mapped, zero, resident, and locked unless that was refused (see the top). The
   size is rounded up to pages; the alignment is any power of two, and beyond a page it costs as
   much address space (not memory). From 2 MiB on, huge pages are asked for. ERR_ARGUMENT,
   ERR_OUT_OF_MEMORY, ERR_LOCK_REFUSED (lock_required). */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_mem_alloc(hostcache_cpu *cpu, size_t size,
                                                               size_t alignment, void **ptr,
                                                               hostcache_cpu_segment *segment);
/* ERR_SYSTEM if the system keeps it: it then still counts as alive. */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_mem_free(hostcache_cpu *cpu, void *ptr,
                                                              hostcache_cpu_segment *segment);

/* Plain memory that stands in for a device's. Free NULL at will. ERR_ARGUMENT,
   ERR_OUT_OF_MEMORY. */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_device_alloc(hostcache_cpu *cpu, size_t size,
                                                                  void **ptr);
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_device_free(hostcache_cpu *cpu, void *ptr);

/* Memory that processes share, as a device's by its IPC handles: zero, in whole pages, not locked.
   Each piece keeps a file descriptor. Linux alone (memfd_create): elsewhere ERR_UNSUPPORTED.
   ERR_ARGUMENT, ERR_OUT_OF_MEMORY. */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_shared_alloc(hostcache_cpu *cpu, size_t size,
                                                                  void **ptr);
/* The handle of such memory, by its first byte. ERR_ARGUMENT: it was not made by this runtime. */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_shared_handle(hostcache_cpu *cpu,
                                                                   const void *ptr,
                                                                   hostcache_cpu_handle *handle);
/* Maps the same memory here. It stays when the process that made it frees it, or ends; but then it
   cannot be opened any more. Both processes must be the same user's, and see each other in /proc.
   ERR_SYSTEM: the handle is none, or stands for nothing any more. ERR_ARGUMENT,
   ERR_OUT_OF_MEMORY. */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_shared_open(hostcache_cpu *cpu,
                                                                 const hostcache_cpu_handle *handle,
                                                                 void **ptr);
/* Ends what either of them gave, for this process. NULL is fine. ERR_ARGUMENT: it is neither;
   ERR_SYSTEM if the system keeps it. */
HOSTCACHE_CPU_API hostcache_cpu_result hostcache_cpu_shared_free(hostcache_cpu *cpu, void *ptr);

#ifdef __cplusplus
}
#endif

#endif /* HOSTCACHE_CPU_H */

/* ==== 2. PARAMETERS (each inclusion) ========================================================== */

#if defined HC_CTX_T || defined HC_STREAM_T || defined HC_SEGMENT_T || defined HC_EVENT_T || \
    defined HC_TIMELINE || defined HC_NO_STREAMS || defined HC_MEM_ALLOC || defined HC_MEM_FREE
#error "hostcache_cpu.h: a type or hook is defined already; include it once before each hostcache.h"
/* So that this sentence is all that the user hears. */
#undef HC_CTX_T
#undef HC_STREAM_T
#undef HC_SEGMENT_T
#undef HC_EVENT_T
#undef HC_EVENT_CREATE
#undef HC_EVENT_DESTROY
#undef HC_EVENT_RECORD
#undef HC_EVENT_QUERY
#undef HC_EVENT_WAIT
#undef HC_TIMELINE
#undef HC_TIMELINE_RECORD
#undef HC_TIMELINE_QUERY
#undef HC_TIMELINE_WAIT
#undef HC_STREAM_WAIT
#undef HC_NO_STREAMS
#undef HC_MEM_ALLOC
#undef HC_MEM_FREE
#endif

#define HC_CTX_T hostcache_cpu *
#define HC_STREAM_T hostcache_cpu_stream *
#define HC_SEGMENT_T hostcache_cpu_segment
#define HC_MEM_IS_HOST

#define HC_MEM_ALLOC(ctx, size, align, ptr_out, segment_ptr)                            \
  hostcache_map_memory(hostcache_cpu_mem_alloc(ctx, size, align, ptr_out, segment_ptr), \
                       HOSTCACHE_CPU_OK, HOSTCACHE_CPU_ERR_OUT_OF_MEMORY,               \
                       HOSTCACHE_CPU_ERR_LOCK_REFUSED)
#define HC_MEM_FREE(ctx, ptr, size, segment_ptr) \
  ((void)(size), HOSTCACHE_CPU_STATUS(hostcache_cpu_mem_free(ctx, ptr, segment_ptr)))
#define HC_STREAM_WAIT(ctx, stream) \
  ((void)(ctx), HOSTCACHE_CPU_STATUS(hostcache_cpu_stream_wait(stream)))

#ifdef HC_CPU_EVENTS

#define HC_EVENT_T hostcache_cpu_event *
#define HC_EVENT_CREATE(ctx, stream, event_ptr) \
  ((void)(stream), HOSTCACHE_CPU_STATUS(hostcache_cpu_event_create(ctx, event_ptr)))
#define HC_EVENT_DESTROY(ctx, event_ptr) \
  ((void)(ctx), HOSTCACHE_CPU_STATUS(hostcache_cpu_event_destroy(*(event_ptr))))
#define HC_EVENT_RECORD(ctx, event_ptr, stream) \
  ((void)(ctx), HOSTCACHE_CPU_STATUS(hostcache_cpu_event_record(*(event_ptr), stream)))
#define HC_EVENT_QUERY(ctx, event_ptr) \
  ((void)(ctx), HOSTCACHE_CPU_STATUS(hostcache_cpu_event_query(*(event_ptr))))
#define HC_EVENT_WAIT(ctx, event_ptr) \
  ((void)(ctx), HOSTCACHE_CPU_STATUS(hostcache_cpu_event_wait(*(event_ptr))))

#else

#define HC_TIMELINE
#define HC_TIMELINE_RECORD(ctx, stream, value_ptr) \
  ((void)(ctx), *(value_ptr) = hostcache_cpu_submitted(stream), hostcache_done())
#define HC_TIMELINE_QUERY(ctx, stream, value_ptr) \
  ((void)(ctx), *(value_ptr) = hostcache_cpu_reached(stream), hostcache_done())
#define HC_TIMELINE_WAIT(ctx, stream, value) \
  ((void)(ctx), HOSTCACHE_CPU_STATUS(hostcache_cpu_value_wait(stream, value)))

#endif
#undef HC_CPU_EVENTS

/* ==== 3. THE CODE (in one file) =============================================================== */

#if defined HOSTCACHE_CPU_IMPLEMENTATION && !defined HOSTCACHE_CPU_IMPLEMENTED
#define HOSTCACHE_CPU_IMPLEMENTED

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#define HOSTCACHE_CPU_OWN_LEAN
#endif
#include <windows.h>
#ifdef HOSTCACHE_CPU_OWN_LEAN
#undef WIN32_LEAN_AND_MEAN
#undef HOSTCACHE_CPU_OWN_LEAN
#endif
#else
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#endif

#ifdef __linux__
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#endif

#ifndef HOSTCACHE_CPU_MALLOC /* define both to replace them */
#define HOSTCACHE_CPU_MALLOC(size) malloc(size)
#define HOSTCACHE_CPU_FREE(ptr) free(ptr)
#endif

#define HOSTCACHE_CPU_FIRST_ITEMS 64              /* of a new stream's queue; a power of two     */
#define HOSTCACHE_CPU_HUGE_PAGE ((size_t)2 << 20) /* bytes, on x86-64 and on AArch64 by default  */

#ifdef __cplusplus
extern "C" {
#endif

/* ---- atomics ------------------------------------------------------------------------------------
   C11's stdatomic.h does not exist in C++11, and C++11's atomic not in C: the compilers' own serve
   both. A 32-bit machine without 64-bit atomics must link with -latomic. */

#if defined _MSC_VER && !defined __clang__

static uint64_t hostcache_cpu_load_acquire(const uint64_t *at) {
  return (uint64_t)InterlockedCompareExchange64((LONG64 volatile *)(uint64_t *)at, 0, 0);
}

static void hostcache_cpu_store_release(uint64_t *at, uint64_t value) {
  InterlockedExchange64((LONG64 volatile *)at, (LONG64)value);
}

/* Puts value at *at if *seen is still there, else what is there into *seen. */
static int hostcache_cpu_swap_acq_rel(uint64_t *at, uint64_t *seen, uint64_t value) {
  const uint64_t found =
      (uint64_t)InterlockedCompareExchange64((LONG64 volatile *)at, (LONG64)value, (LONG64)*seen);
  const int same = found == *seen;
  *seen = found;
  return same;
}

#else

static uint64_t hostcache_cpu_load_acquire(const uint64_t *at) {
  return __atomic_load_n(at, __ATOMIC_ACQUIRE);
}

static void hostcache_cpu_store_release(uint64_t *at, uint64_t value) {
  __atomic_store_n(at, value, __ATOMIC_RELEASE);
}

/* Puts value at *at if *seen is still there, else what is there into *seen. */
static int hostcache_cpu_swap_acq_rel(uint64_t *at, uint64_t *seen, uint64_t value) {
  return __atomic_compare_exchange_n(at, seen, value, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

#endif

/* ---- the operating system -------------------------------------------------------------------- */

/* How many bytes of what was mapped at base lie before the next multiple of alignment: none,
   unless more was mapped than is used, for pages are aligned already. */
static size_t hostcache_cpu_skip(const hostcache_cpu_segment *segment, const void *base,
                                 size_t alignment) {
  return segment->mapped > segment->bytes ? (size_t)(0 - (uintptr_t)base) & (alignment - 1) : 0;
}

#ifdef _WIN32

typedef SRWLOCK hostcache_cpu_mutex;
typedef CONDITION_VARIABLE hostcache_cpu_condition;
typedef struct hostcache_cpu_thread {
  HANDLE handle;
  DWORD id;
} hostcache_cpu_thread;
typedef struct hostcache_cpu_kept { /* the errors of this thread as a function found them */
  int error;
  DWORD last;
} hostcache_cpu_kept;

static hostcache_cpu_kept hostcache_cpu_keep_error(void) {
  hostcache_cpu_kept kept;
  kept.last = GetLastError();
  kept.error = errno;
  return kept;
}

static void hostcache_cpu_restore_error(hostcache_cpu_kept kept) {
  errno = kept.error;
  SetLastError(kept.last);
}

static int hostcache_cpu_mutex_init(hostcache_cpu_mutex *mutex) {
  InitializeSRWLock(mutex);
  return 1;
}

static void hostcache_cpu_mutex_end(hostcache_cpu_mutex *mutex) {
  (void)mutex; /* an SRWLOCK holds nothing; nor does a CONDITION_VARIABLE */
}

static int hostcache_cpu_condition_init(hostcache_cpu_condition *condition) {
  InitializeConditionVariable(condition);
  return 1;
}

static void hostcache_cpu_condition_end(hostcache_cpu_condition *condition) { (void)condition; }

static void hostcache_cpu_lock(hostcache_cpu_mutex *mutex) { AcquireSRWLockExclusive(mutex); }

static void hostcache_cpu_unlock(hostcache_cpu_mutex *mutex) { ReleaseSRWLockExclusive(mutex); }

static void hostcache_cpu_sleep(hostcache_cpu_condition *condition, hostcache_cpu_mutex *mutex) {
  SleepConditionVariableSRW(condition, mutex, INFINITE, 0);
}

static void hostcache_cpu_wake_one(hostcache_cpu_condition *condition) {
  WakeConditionVariable(condition);
}

static void hostcache_cpu_wake_all(hostcache_cpu_condition *condition) {
  WakeAllConditionVariable(condition);
}

static void hostcache_cpu_work(hostcache_cpu_stream *stream);

static DWORD WINAPI hostcache_cpu_thread_main(void *stream) {
  hostcache_cpu_work((hostcache_cpu_stream *)stream);
  return 0;
}

static int hostcache_cpu_thread_start(hostcache_cpu_thread *thread, hostcache_cpu_stream *stream) {
  thread->handle = CreateThread(NULL, 0, hostcache_cpu_thread_main, stream, 0, &thread->id);
  return thread->handle != NULL;
}

static void hostcache_cpu_thread_join(hostcache_cpu_thread *thread) {
  WaitForSingleObject(thread->handle, INFINITE);
  CloseHandle(thread->handle);
}

static int hostcache_cpu_thread_is_self(const hostcache_cpu_thread *thread) {
  return thread->id == GetCurrentThreadId();
}

static size_t hostcache_cpu_page_size(void) {
  SYSTEM_INFO info;
  GetSystemInfo(&info);
  return info.dwPageSize;
}

/* Maps segment->mapped bytes and makes segment->bytes of them usable, at a multiple of
   alignment. What is skipped to align is reserved, but never backed by memory. NULL: the system
   has none. */
static void *hostcache_cpu_map(hostcache_cpu_segment *segment, size_t alignment) {
  unsigned char *base =
      (unsigned char *)VirtualAlloc(NULL, segment->mapped, MEM_RESERVE, PAGE_NOACCESS);
  void *start;
  if (!base) return NULL;
  start = base + hostcache_cpu_skip(segment, base, alignment);
  if (!VirtualAlloc(start, segment->bytes, MEM_COMMIT, PAGE_READWRITE)) {
    VirtualFree(base, 0, MEM_RELEASE);
    return NULL;
  }
  segment->base = base;
  return start;
}

static int hostcache_cpu_unmap(void *start, const hostcache_cpu_segment *segment) {
  if (segment->locked) {
    VirtualUnlock(start, segment->bytes); /* VirtualFree is not documented to do it */
  }
  return VirtualFree(segment->base, 0, MEM_RELEASE) != 0;
}

static int hostcache_cpu_lock_pages(void *start, size_t bytes, int64_t *error) {
  if (VirtualLock(start, bytes)) return 1;
  *error = (int64_t)GetLastError();
  return 0;
}

static void hostcache_cpu_advise_huge(void *start, size_t bytes) {
  (void)start; /* large pages on Windows are a privilege, and asked for when memory is mapped */
  (void)bytes;
}

size_t hostcache_cpu_lock_limit(void) {
  const hostcache_cpu_kept kept = hostcache_cpu_keep_error();
  SIZE_T least = 0, most = 0;
  if (!GetProcessWorkingSetSize(GetCurrentProcess(), &least, &most)) least = 0;
  hostcache_cpu_restore_error(kept);
  return least;
}

hostcache_cpu_result hostcache_cpu_raise_lock_limit(size_t bytes) {
  const hostcache_cpu_kept kept = hostcache_cpu_keep_error();
  SIZE_T least = 0, most = 0;
  int enough = GetProcessWorkingSetSize(GetCurrentProcess(), &least, &most) != 0;
  if (enough && least < bytes) {
    /* The most must stay above the least by what the rest of the process moves in. */
    most = most - least > SIZE_MAX - bytes ? SIZE_MAX : bytes + (most - least);
    enough = SetProcessWorkingSetSize(GetCurrentProcess(), bytes, most) != 0;
  }
  hostcache_cpu_restore_error(kept);
  return enough ? HOSTCACHE_CPU_OK : HOSTCACHE_CPU_ERR_LOCK_REFUSED;
}

#else

typedef pthread_mutex_t hostcache_cpu_mutex;
typedef pthread_cond_t hostcache_cpu_condition;
typedef pthread_t hostcache_cpu_thread;
typedef int hostcache_cpu_kept; /* errno as a function found it */

/* In -std=c11 glibc hides what POSIX 2008 lacks, and macros that would show it come too late
   once any of its headers was included. Both of these are part of the kernel's interface, so
   they can be said here. */
#if defined MAP_ANONYMOUS
#define HOSTCACHE_CPU_MAP_ANONYMOUS MAP_ANONYMOUS
#elif defined MAP_ANON
#define HOSTCACHE_CPU_MAP_ANONYMOUS MAP_ANON
#elif defined __linux__ && (defined __mips__ || defined __xtensa__)
#define HOSTCACHE_CPU_MAP_ANONYMOUS 0x800
#elif defined __linux__ && (defined __alpha__ || defined __hppa__)
#define HOSTCACHE_CPU_MAP_ANONYMOUS 0x10
#elif defined __linux__
#define HOSTCACHE_CPU_MAP_ANONYMOUS 0x20
#else
#error "hostcache_cpu.h: define what shows MAP_ANONYMOUS in sys/mman.h, as _DEFAULT_SOURCE does"
#endif

#if defined __linux__ && defined SYS_memfd_create
#define HOSTCACHE_CPU_HAS_SHARED 1
#ifndef __cplusplus
long syscall(long number, ...);
#endif
#endif

#if defined __linux__ && !defined MADV_HUGEPAGE && !defined __cplusplus /* C++ compilers show it */
#define MADV_HUGEPAGE 14
#define HOSTCACHE_CPU_OWN_MADVISE
int madvise(void *address, size_t bytes, int advice);
#endif

static hostcache_cpu_kept hostcache_cpu_keep_error(void) { return errno; }

static void hostcache_cpu_restore_error(hostcache_cpu_kept kept) { errno = kept; }

static int hostcache_cpu_mutex_init(hostcache_cpu_mutex *mutex) {
  return pthread_mutex_init(mutex, NULL) == 0;
}

static void hostcache_cpu_mutex_end(hostcache_cpu_mutex *mutex) { pthread_mutex_destroy(mutex); }

static int hostcache_cpu_condition_init(hostcache_cpu_condition *condition) {
  return pthread_cond_init(condition, NULL) == 0;
}

static void hostcache_cpu_condition_end(hostcache_cpu_condition *condition) {
  pthread_cond_destroy(condition);
}

static void hostcache_cpu_lock(hostcache_cpu_mutex *mutex) { pthread_mutex_lock(mutex); }

static void hostcache_cpu_unlock(hostcache_cpu_mutex *mutex) { pthread_mutex_unlock(mutex); }

static void hostcache_cpu_sleep(hostcache_cpu_condition *condition, hostcache_cpu_mutex *mutex) {
  pthread_cond_wait(condition, mutex);
}

static void hostcache_cpu_wake_one(hostcache_cpu_condition *condition) {
  pthread_cond_signal(condition);
}

static void hostcache_cpu_wake_all(hostcache_cpu_condition *condition) {
  pthread_cond_broadcast(condition);
}

static void hostcache_cpu_work(hostcache_cpu_stream *stream);

static void *hostcache_cpu_thread_main(void *stream) {
  hostcache_cpu_work((hostcache_cpu_stream *)stream);
  return NULL;
}

static int hostcache_cpu_thread_start(hostcache_cpu_thread *thread, hostcache_cpu_stream *stream) {
  return pthread_create(thread, NULL, hostcache_cpu_thread_main, stream) == 0;
}

static void hostcache_cpu_thread_join(hostcache_cpu_thread *thread) { pthread_join(*thread, NULL); }

static int hostcache_cpu_thread_is_self(const hostcache_cpu_thread *thread) {
  return pthread_equal(*thread, pthread_self()) != 0;
}

static size_t hostcache_cpu_page_size(void) {
  const long page = sysconf(_SC_PAGESIZE);
  return page > 0 ? (size_t)page : 4096;
}

/* Maps segment->mapped bytes, of which segment->bytes are used, at a multiple of alignment. What
   is skipped to align is never touched, so it costs no memory; it stays mapped, so that one call
   undoes one call. NULL: the system has none. */
static void *hostcache_cpu_map(hostcache_cpu_segment *segment, size_t alignment) {
  void *base = mmap(NULL, segment->mapped, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | HOSTCACHE_CPU_MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return NULL;
  segment->base = base;
  return (unsigned char *)base + hostcache_cpu_skip(segment, base, alignment);
}

static int hostcache_cpu_unmap(void *start, const hostcache_cpu_segment *segment) {
  (void)start;
  return munmap(segment->base, segment->mapped) == 0; /* also ends the lock of the pages */
}

/* Every errno of mlock means that the pages are not locked: over the limit (ENOMEM, EPERM), or
   no memory to make them resident (EAGAIN). */
static int hostcache_cpu_lock_pages(void *start, size_t bytes, int64_t *error) {
  if (mlock(start, bytes) == 0) return 1;
  *error = errno;
  (void)munlock(start, bytes); /* after EAGAIN some are, and would count against the limit */
  return 0;
}

/* Half of what locking costs, and more, is the first touch of each page: with huge pages there
   are 512 times fewer. Only advice; where it isn't taken, the pages are small. */
static void hostcache_cpu_advise_huge(void *start, size_t bytes) {
#ifdef MADV_HUGEPAGE
  (void)madvise(start, bytes, MADV_HUGEPAGE);
#else
  (void)start;
  (void)bytes;
#endif
}

size_t hostcache_cpu_lock_limit(void) {
  const hostcache_cpu_kept kept = hostcache_cpu_keep_error();
  struct rlimit limit;
  size_t bytes = 0;
  if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
    bytes = limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= SIZE_MAX ? SIZE_MAX
                                                                          : (size_t)limit.rlim_cur;
  }
  hostcache_cpu_restore_error(kept);
  return bytes;
}

hostcache_cpu_result hostcache_cpu_raise_lock_limit(size_t bytes) {
  const hostcache_cpu_kept kept = hostcache_cpu_keep_error();
  struct rlimit limit;
  if (hostcache_cpu_lock_limit() < bytes && getrlimit(RLIMIT_MEMLOCK, &limit) == 0) {
    limit.rlim_cur = (rlim_t)bytes;
    if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < limit.rlim_cur) {
      limit.rlim_cur = limit.rlim_max;
    }
    (void)setrlimit(RLIMIT_MEMLOCK, &limit); /* what came of it is read back below */
  }
  hostcache_cpu_restore_error(kept);
  return hostcache_cpu_lock_limit() < bytes ? HOSTCACHE_CPU_ERR_LOCK_REFUSED : HOSTCACHE_CPU_OK;
}

#endif

/* ---- the operating system: memory in a file without a name ----------------------------------- */

#ifndef HOSTCACHE_CPU_HAS_SHARED
#define HOSTCACHE_CPU_HAS_SHARED 0
#endif

#if HOSTCACHE_CPU_HAS_SHARED

/* A file of so many bytes that only exists as memory, or -1. Its last byte is written: what would
   set the size is hidden in -std=c11, and not the same function on every machine. */
static int hostcache_cpu_file_make(size_t bytes) {
  const unsigned close_on_exec = 1; /* MFD_CLOEXEC */
  const int file = (int)syscall(SYS_memfd_create, "hostcache_cpu", close_on_exec);
  if (file < 0) return -1;
  if (lseek(file, (off_t)(bytes - 1), SEEK_SET) >= 0 && write(file, "", 1) == 1) return file;
  close(file);
  return -1;
}

static void hostcache_cpu_file_close(int file) {
  if (file >= 0) close(file);
}

static void *hostcache_cpu_file_map(int file, size_t bytes) {
  void *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  return start == MAP_FAILED ? NULL : start;
}

static int hostcache_cpu_file_unmap(void *start, size_t bytes) { return munmap(start, bytes) == 0; }

/* Which process has it under which number, and which file that is: numbers are used again. */
static int hostcache_cpu_file_tell(int file, size_t bytes, hostcache_cpu_handle *handle) {
  struct stat status;
  if (fstat(file, &status) != 0) return 0;
  memset(handle, 0, sizeof *handle);
  handle->process = (uint64_t)getpid();
  handle->file = (uint64_t)file;
  handle->volume = (uint64_t)status.st_dev;
  handle->inode = (uint64_t)status.st_ino;
  handle->bytes = bytes;
  return 1;
}

/* The file of another process, or -1: it is another one now, or smaller. */
static int hostcache_cpu_file_open(const hostcache_cpu_handle *handle) {
  struct stat status;
  char path[64];
  int file;
  (void)snprintf(path, sizeof path, "/proc/%llu/fd/%llu", (unsigned long long)handle->process,
                 (unsigned long long)handle->file);
  file = open(path, O_RDWR);
  if (file < 0) return -1;
  if (fstat(file, &status) == 0 && (uint64_t)status.st_dev == handle->volume &&
      (uint64_t)status.st_ino == handle->inode && (uint64_t)status.st_size >= handle->bytes) {
    return file;
  }
  close(file);
  return -1;
}

#else

static int hostcache_cpu_file_make(size_t bytes) {
  (void)bytes;
  return -1;
}

static void hostcache_cpu_file_close(int file) { (void)file; }

static void *hostcache_cpu_file_map(int file, size_t bytes) {
  (void)file;
  (void)bytes;
  return NULL;
}

static int hostcache_cpu_file_unmap(void *start, size_t bytes) {
  (void)start;
  (void)bytes;
  return 0;
}

static int hostcache_cpu_file_tell(int file, size_t bytes, hostcache_cpu_handle *handle) {
  (void)file;
  (void)bytes;
  (void)handle;
  return 0;
}

static int hostcache_cpu_file_open(const hostcache_cpu_handle *handle) {
  (void)handle;
  return -1;
}

#endif

/* ---- types ----------------------------------------------------------------------------------- */

/* A piece of memory that processes share, in a list. */
typedef struct hostcache_cpu_shared {
  struct hostcache_cpu_shared *next; /* LOCK: the runtime's */
  void *start;                       /* constant, as is what follows */
  size_t bytes;
  int file; /* that it was made as; -1: it was opened */
} hostcache_cpu_shared;

/* No function holds two locks at once, so there is no order among them. */
struct hostcache_cpu {
  hostcache_cpu_options options; /* constant, as is page */
  size_t page;
  hostcache_cpu_mutex lock;
  hostcache_cpu_figures figures; /* LOCK: lock */
  hostcache_cpu_shared *shared;  /* LOCK: lock */
};

struct hostcache_cpu_event {
  hostcache_cpu *cpu;           /* constant */
  hostcache_cpu_stream *stream; /* where the last marker went. It and */
  uint64_t recorded;            /* its number, rising from 1, are the caller's: one at a time */
  uint64_t passed;              /* highest number that a worker has come to. Stored with release,
                                   after what ran before; loaded by queries with acquire */
  uint64_t owners;              /* the caller, and each marker that waits in a queue. Changed with
                                   acquire and release: who takes it to 0 comes after all others */
};

typedef enum hostcache_cpu_kind {
  HOSTCACHE_CPU_COPY,
  HOSTCACHE_CPU_FILL,
  HOSTCACHE_CPU_HOST,
  HOSTCACHE_CPU_MARKER
} hostcache_cpu_kind;

typedef struct hostcache_cpu_item {
  hostcache_cpu_kind kind;
  unsigned char value;        /* FILL */
  size_t bytes;               /* COPY, FILL */
  void *to;                   /* COPY, FILL */
  const void *from;           /* COPY */
  hostcache_cpu_host_fn call; /* HOST */
  void *argument;             /* HOST */
  hostcache_cpu_event *event; /* MARKER */
  uint64_t number;            /* MARKER: its number in the event */
} hostcache_cpu_item;

/* The n-th item submitted, counted from 0, lies in ring[n & (capacity - 1)] until it is taken.
   reached <= taken <= reached + 1, and taken <= submitted <= taken + capacity. */
struct hostcache_cpu_stream {
  hostcache_cpu *cpu;          /* constant */
  uint64_t owners;             /* the handle, and each event that was last recorded here, whose wait
                                  sleeps on what follows: the last one gives it back */
  hostcache_cpu_thread worker; /* constant once create has returned */
  hostcache_cpu_mutex lock;
  hostcache_cpu_condition work; /* with lock: an item was submitted, or closing was set */
  hostcache_cpu_condition done; /* with lock: an item has run */
  hostcache_cpu_item *ring;     /* LOCK: lock */
  uint64_t capacity;            /* LOCK: lock. Of the ring; a power of two */
  uint64_t taken;               /* LOCK: lock. Items that the worker took out */
  uint64_t waiting;             /* LOCK: lock. Threads that sleep on done */
  int idle;                     /* LOCK: lock. 1: the worker sleeps on work, and nobody woke it */
  int closing;                  /* LOCK: lock. 1: the worker ends when all has run */
  uint64_t submitted;           /* stored under lock with release; loaded anywhere, with acquire */
  uint64_t reached;             /* items that have run. Stored under lock with release, after what
                                   they wrote (by the worker, or by who submits a marker while it
                                   sleeps); loaded anywhere, with acquire */
};

/* ---- the runtime ----------------------------------------------------------------------------- */

const char *hostcache_cpu_result_string(hostcache_cpu_result result) {
  switch (result) {
#define HOSTCACHE_CPU_RESULT(name, value, text) \
  case HOSTCACHE_CPU_##name: return text;
    HOSTCACHE_CPU_RESULTS(HOSTCACHE_CPU_RESULT)
#undef HOSTCACHE_CPU_RESULT
    default: return "not a result of hostcache_cpu";
  }
}

hostcache_cpu_result hostcache_cpu_open(hostcache_cpu **cpu, const hostcache_cpu_options *options) {
  const hostcache_cpu_kept kept = hostcache_cpu_keep_error();
  hostcache_cpu *opened;
  if (!cpu) return HOSTCACHE_CPU_ERR_ARGUMENT;
  *cpu = NULL;
  opened = (hostcache_cpu *)HOSTCACHE_CPU_MALLOC(sizeof *opened);
  if (opened) {
    memset(opened, 0, sizeof *opened);
    if (options) {
      opened->options = *options;
    }
    opened->page = hostcache_cpu_page_size();
    if (hostcache_cpu_mutex_init(&opened->lock)) {
      *cpu = opened;
    } else {
      HOSTCACHE_CPU_FREE(opened);
    }
  }
  hostcache_cpu_restore_error(kept);
  return *cpu ? HOSTCACHE_CPU_OK : HOSTCACHE_CPU_ERR_OUT_OF_MEMORY;
}

hostcache_cpu_result hostcache_cpu_close(hostcache_cpu *cpu) {
  hostcache_cpu_kept kept;
  hostcache_cpu_figures figures;
  if (!cpu) return HOSTCACHE_CPU_OK;
  hostcache_cpu_get_figures(cpu, &figures);
  if (figures.locked_bytes || figures.unlocked_bytes || figures.streams || figures.events ||
      figures.device_blocks || figures.shared_blocks) {
    return HOSTCACHE_CPU_ERR_BUSY;
  }
  kept = hostcache_cpu_keep_error();
  hostcache_cpu_mutex_end(&cpu->lock);
  HOSTCACHE_CPU_FREE(cpu);
  hostcache_cpu_restore_error(kept);
  return HOSTCACHE_CPU_OK;
}

hostcache_cpu_result hostcache_cpu_get_figures(hostcache_cpu *cpu, hostcache_cpu_figures *figures) {
  if (!cpu || !figures) return HOSTCACHE_CPU_ERR_ARGUMENT;
  hostcache_cpu_lock(&cpu->lock);
  *figures = cpu->figures;
  hostcache_cpu_unlock(&cpu->lock);
  return HOSTCACHE_CPU_OK;
}

/* Adds to one of the figures; (uint64_t)-1 takes one away. */
static void hostcache_cpu_count(hostcache_cpu *cpu, uint64_t *figure, uint64_t more) {
  hostcache_cpu_lock(&cpu->lock);
  *figure += more;
  hostcache_cpu_unlock(&cpu->lock);
}

/* ---- streams: the worker --------------------------------------------------------------------- */

static void hostcache_cpu_share(uint64_t *owners) {
  uint64_t before = hostcache_cpu_load_acquire(owners);
  while (!hostcache_cpu_swap_acq_rel(owners, &before, before + 1)) {
  }
}

/* Takes one owner away. 1: it was the last. */
static int hostcache_cpu_unshare(uint64_t *owners) {
  uint64_t before = hostcache_cpu_load_acquire(owners);
  while (!hostcache_cpu_swap_acq_rel(owners, &before, before - 1)) {
  }
  return before == 1;
}

/* Gives back what a stream consists of, but for its worker. Of its lock and its two conditions, in
   this order, so many were made. */
static void hostcache_cpu_stream_dispose(hostcache_cpu_stream *stream, int made) {
  if (made > 2) hostcache_cpu_condition_end(&stream->done);
  if (made > 1) hostcache_cpu_condition_end(&stream->work);
  if (made > 0) hostcache_cpu_mutex_end(&stream->lock);
  HOSTCACHE_CPU_FREE(stream->ring);
  HOSTCACHE_CPU_FREE(stream);
}

static void hostcache_cpu_stream_leave(hostcache_cpu_stream *stream) {
  if (stream && hostcache_cpu_unshare(&stream->owners)) hostcache_cpu_stream_dispose(stream, 3);
}

static void hostcache_cpu_event_leave(hostcache_cpu_event *event) {
  if (hostcache_cpu_unshare(&event->owners)) {
    hostcache_cpu_stream_leave(event->stream);
    hostcache_cpu_count(event->cpu, &event->cpu->figures.events, (uint64_t)-1);
    HOSTCACHE_CPU_FREE(event);
  }
}

/* Numbers may come out of order, from two streams on which the event was recorded one after the
   other: the highest stays, for it is the last one recorded that counts. */
static void hostcache_cpu_event_pass(hostcache_cpu_event *event, uint64_t number) {
  uint64_t passed = hostcache_cpu_load_acquire(&event->passed);
  while (passed < number && !hostcache_cpu_swap_acq_rel(&event->passed, &passed, number)) {
  }
  hostcache_cpu_event_leave(event);
}

static void hostcache_cpu_run(const hostcache_cpu_item *item) {
  switch (item->kind) {
    case HOSTCACHE_CPU_COPY:
      if (item->bytes) { /* memcpy may not be given NULL, not even with nothing to copy */
        memcpy(item->to, item->from, item->bytes);
      }
      break;
    case HOSTCACHE_CPU_FILL:
      if (item->bytes) {
        memset(item->to, item->value, item->bytes);
      }
      break;
    case HOSTCACHE_CPU_HOST: item->call(item->argument); break;
    case HOSTCACHE_CPU_MARKER: hostcache_cpu_event_pass(item->event, item->number); break;
  }
}

/* Runs items with the lock released, so that submitting never waits for work. An item is copied
   out first: the ring may grow, and so move, while it runs. */
static void hostcache_cpu_work(hostcache_cpu_stream *stream) {
  hostcache_cpu_lock(&stream->lock);
  for (;;) {
    hostcache_cpu_item item;
    while (stream->taken == stream->submitted && !stream->closing) {
      stream->idle = 1;
      hostcache_cpu_sleep(&stream->work, &stream->lock);
    }
    stream->idle = 0;
    if (stream->taken == stream->submitted) break;
    item = stream->ring[stream->taken & (stream->capacity - 1)];
    stream->taken++;
    hostcache_cpu_unlock(&stream->lock);

    hostcache_cpu_run(&item);

    hostcache_cpu_lock(&stream->lock);
    hostcache_cpu_store_release(&stream->reached, stream->taken);
    if (stream->waiting) {
      hostcache_cpu_wake_all(&stream->done);
    }
  }
  hostcache_cpu_unlock(&stream->lock);
}

/* ---- streams: the callers -------------------------------------------------------------------- */

/* Doubles the ring. Called with the stream's lock held; 0 if there is no memory, and nothing has
   changed. */
static int hostcache_cpu_grow(hostcache_cpu_stream *stream) {
  const hostcache_cpu_kept kept = hostcache_cpu_keep_error();
  const uint64_t capacity = stream->capacity ? stream->capacity * 2 : HOSTCACHE_CPU_FIRST_ITEMS;
  hostcache_cpu_item *ring = NULL;
  uint64_t i;
  if (capacity <= SIZE_MAX / sizeof *ring) {
    ring = (hostcache_cpu_item *)HOSTCACHE_CPU_MALLOC((size_t)capacity * sizeof *ring);
  }
  if (ring) {
    for (i = stream->taken; i < stream->submitted; i++) {
      ring[i & (capacity - 1)] = stream->ring[i & (stream->capacity - 1)];
    }
    HOSTCACHE_CPU_FREE(stream->ring);
    stream->ring = ring;
    stream->capacity = capacity;
  }
  hostcache_cpu_restore_error(kept);
  return ring != NULL;
}

static hostcache_cpu_result hostcache_cpu_submit(hostcache_cpu_stream *stream,
                                                 const hostcache_cpu_item *item) {
  const size_t bound = stream->cpu->options.max_queue_items;
  hostcache_cpu_result result = HOSTCACHE_CPU_OK;
  uint64_t waiting;
  int wake = 0;
  hostcache_cpu_lock(&stream->lock);
  waiting = stream->submitted - stream->taken;
  if (bound && waiting >= bound) {
    result = HOSTCACHE_CPU_ERR_QUEUE_FULL;
  } else if (stream->idle && item->kind == HOSTCACHE_CPU_MARKER) {
    /* All that came before has run, so the marker has nothing to wait for, and the worker need not
       be woken for it, which would cost more than all the rest of an event. */
    hostcache_cpu_run(item);
    hostcache_cpu_store_release(&stream->submitted, ++stream->taken);
    hostcache_cpu_store_release(&stream->reached, stream->taken);
  } else if (waiting == stream->capacity && !hostcache_cpu_grow(stream)) {
    result = HOSTCACHE_CPU_ERR_OUT_OF_MEMORY;
  } else {
    stream->ring[stream->submitted & (stream->capacity - 1)] = *item;
    hostcache_cpu_store_release(&stream->submitted, stream->submitted + 1);
    wake = stream->idle;
    stream->idle = 0; /* one call wakes it: who submits before it comes need not call again */
  }
  hostcache_cpu_unlock(&stream->lock);
  if (wake) hostcache_cpu_wake_one(&stream->work); /* now that it finds the lock free */
  return result;
}

hostcache_cpu_result hostcache_cpu_copy(hostcache_cpu_stream *stream, void *to, const void *from,
                                        size_t bytes) {
  hostcache_cpu_item item;
  if (!stream || (bytes && (!to || !from))) return HOSTCACHE_CPU_ERR_ARGUMENT;
  memset(&item, 0, sizeof item);
  item.kind = HOSTCACHE_CPU_COPY;
  item.bytes = bytes;
  item.to = to;
  item.from = from;
  return hostcache_cpu_submit(stream, &item);
}

hostcache_cpu_result hostcache_cpu_fill(hostcache_cpu_stream *stream, void *to, unsigned char value,
                                        size_t bytes) {
  hostcache_cpu_item item;
  if (!stream || (bytes && !to)) return HOSTCACHE_CPU_ERR_ARGUMENT;
  memset(&item, 0, sizeof item);
  item.kind = HOSTCACHE_CPU_FILL;
  item.bytes = bytes;
  item.to = to;
  item.value = value;
  return hostcache_cpu_submit(stream, &item);
}

hostcache_cpu_result hostcache_cpu_host(hostcache_cpu_stream *stream, hostcache_cpu_host_fn call,
                                        void *argument) {
  hostcache_cpu_item item;
  if (!stream || !call) return HOSTCACHE_CPU_ERR_ARGUMENT;
  memset(&item, 0, sizeof item);
  item.kind = HOSTCACHE_CPU_HOST;
  item.call = call;
  item.argument = argument;
  return hostcache_cpu_submit(stream, &item);
}

uint64_t hostcache_cpu_submitted(const hostcache_cpu_stream *stream) {
  return hostcache_cpu_load_acquire(&stream->submitted);
}

uint64_t hostcache_cpu_reached(const hostcache_cpu_stream *stream) {
  return hostcache_cpu_load_acquire(&stream->reached);
}

/* Sleeps until *counter, which the worker moves, has come to target. */
static hostcache_cpu_result hostcache_cpu_wait(hostcache_cpu_stream *stream,
                                               const uint64_t *counter, uint64_t target) {
  /* Before the look: a worker that has ended may have given its name to this thread, but then all
     has run. */
  const int is_worker = hostcache_cpu_thread_is_self(&stream->worker);
  if (hostcache_cpu_load_acquire(counter) >= target) return HOSTCACHE_CPU_OK;
  if (is_worker) return HOSTCACHE_CPU_ERR_DEADLOCK;
  hostcache_cpu_lock(&stream->lock);
  stream->waiting++;
  while (hostcache_cpu_load_acquire(counter) < target) {
    hostcache_cpu_sleep(&stream->done, &stream->lock);
  }
  stream->waiting--;
  hostcache_cpu_unlock(&stream->lock);
  return HOSTCACHE_CPU_OK;
}

hostcache_cpu_result hostcache_cpu_value_wait(hostcache_cpu_stream *stream, uint64_t value) {
  return stream ? hostcache_cpu_wait(stream, &stream->reached, value) : HOSTCACHE_CPU_ERR_ARGUMENT;
}

hostcache_cpu_result hostcache_cpu_stream_wait(hostcache_cpu_stream *stream) {
  return stream ? hostcache_cpu_value_wait(stream, hostcache_cpu_submitted(stream))
                : HOSTCACHE_CPU_ERR_ARGUMENT;
}

static hostcache_cpu_result hostcache_cpu_stream_make(hostcache_cpu *cpu,
                                                      hostcache_cpu_stream **out) {
  hostcache_cpu_result result = HOSTCACHE_CPU_ERR_OUT_OF_MEMORY;
  hostcache_cpu_stream *stream = (hostcache_cpu_stream *)HOSTCACHE_CPU_MALLOC(sizeof *stream);
  int made = 0;
  if (!stream) return result;
  memset(stream, 0, sizeof *stream);
  stream->cpu = cpu;
  stream->owners = 1;
  made += hostcache_cpu_mutex_init(&stream->lock);
  made += made == 1 && hostcache_cpu_condition_init(&stream->work);
  made += made == 2 && hostcache_cpu_condition_init(&stream->done);
  if (made == 3 && hostcache_cpu_grow(stream)) {
    result = HOSTCACHE_CPU_ERR_THREAD;
    if (hostcache_cpu_thread_start(&stream->worker, stream)) {
      *out = stream;
      return HOSTCACHE_CPU_OK;
    }
  }
  hostcache_cpu_stream_dispose(stream, made);
  return result;
}

hostcache_cpu_result hostcache_cpu_stream_create(hostcache_cpu *cpu,
                                                 hostcache_cpu_stream **stream) {
  const hostcache_cpu_kept kept = hostcache_cpu_keep_error();
  hostcache_cpu_result result;
  if (stream) *stream = NULL;
  if (!cpu || !stream) return HOSTCACHE_CPU_ERR_ARGUMENT;
  result = hostcache_cpu_stream_make(cpu, stream);
  if (result == HOSTCACHE_CPU_OK) {
    hostcache_cpu_count(cpu, &cpu->figures.streams, 1);
  }
  hostcache_cpu_restore_error(kept);
  return result;
}

hostcache_cpu_result hostcache_cpu_stream_destroy(hostcache_cpu_stream *stream) {
  hostcache_cpu_kept kept;
  if (!stream) return HOSTCACHE_CPU_OK;
  if (hostcache_cpu_thread_is_self(&stream->worker)) return HOSTCACHE_CPU_ERR_DEADLOCK;
  kept = hostcache_cpu_keep_error();
  hostcache_cpu_lock(&stream->lock);
  stream->closing = 1;
  hostcache_cpu_wake_one(&stream->work);
  hostcache_cpu_unlock(&stream->lock);
  hostcache_cpu_thread_join(&stream->worker);
  hostcache_cpu_count(stream->cpu, &stream->cpu->figures.streams, (uint64_t)-1);
  hostcache_cpu_stream_leave(stream);
  hostcache_cpu_restore_error(kept);
  return HOSTCACHE_CPU_OK;
}

/* ---- events ---------------------------------------------------------------------------------- */

hostcache_cpu_result hostcache_cpu_event_create(hostcache_cpu *cpu, hostcache_cpu_event **event) {
  const hostcache_cpu_kept kept = hostcache_cpu_keep_error();
  hostcache_cpu_event *created;
  if (event) *event = NULL;
  if (!cpu || !event) return HOSTCACHE_CPU_ERR_ARGUMENT;
  created = (hostcache_cpu_event *)HOSTCACHE_CPU_MALLOC(sizeof *created);
  if (created) {
    memset(created, 0, sizeof *created);
    created->cpu = cpu;
    created->owners = 1;
    hostcache_cpu_count(cpu, &cpu->figures.events, 1);
  }
  *event = created;
  hostcache_cpu_restore_error(kept);
  return created ? HOSTCACHE_CPU_OK : HOSTCACHE_CPU_ERR_OUT_OF_MEMORY;
}

hostcache_cpu_result hostcache_cpu_event_destroy(hostcache_cpu_event *event) {
  if (event) {
    const hostcache_cpu_kept kept = hostcache_cpu_keep_error();
    hostcache_cpu_event_leave(event);
    hostcache_cpu_restore_error(kept);
  }
  return HOSTCACHE_CPU_OK;
}

hostcache_cpu_result hostcache_cpu_event_record(hostcache_cpu_event *event,
                                                hostcache_cpu_stream *stream) {
  hostcache_cpu_result result;
  hostcache_cpu_item item;
  if (!event || !stream) return HOSTCACHE_CPU_ERR_ARGUMENT;
  memset(&item, 0, sizeof item);
  item.kind = HOSTCACHE_CPU_MARKER;
  item.event = event;
  item.number = event->recorded + 1;
  /* The marker owns its share before it is submitted: it may run before submit returns. */
  hostcache_cpu_share(&event->owners);
  result = hostcache_cpu_submit(stream, &item);
  if (result != HOSTCACHE_CPU_OK) {
    hostcache_cpu_event_leave(event); /* never the last: the caller's own share remains */
    return result;
  }
  event->recorded = item.number;
  if (event->stream != stream) {
    const hostcache_cpu_kept kept = hostcache_cpu_keep_error();
    hostcache_cpu_share(&stream->owners);
    hostcache_cpu_stream_leave(event->stream);
    event->stream = stream;
    hostcache_cpu_restore_error(kept);
  }
  return HOSTCACHE_CPU_OK;
}

hostcache_cpu_result hostcache_cpu_event_query(const hostcache_cpu_event *event) {
  if (!event) return HOSTCACHE_CPU_ERR_ARGUMENT;
  return hostcache_cpu_load_acquire(&event->passed) >= event->recorded ? HOSTCACHE_CPU_OK
                                                                       : HOSTCACHE_CPU_PENDING;
}

/* The worker wakes sleepers after each item, and a marker is an item: so an event needs no
   condition. */
hostcache_cpu_result hostcache_cpu_event_wait(hostcache_cpu_event *event) {
  if (!event) return HOSTCACHE_CPU_ERR_ARGUMENT;
  if (!event->recorded) return HOSTCACHE_CPU_OK;
  return hostcache_cpu_wait(event->stream, &event->passed, event->recorded);
}

/* ---- memory ---------------------------------------------------------------------------------- */

/* Locking makes memory resident. This does it for memory that could not be locked: what is staged
   through it should not pay for its first touch either. The bytes are zero before and after. */
static void hostcache_cpu_touch(void *start, size_t bytes, size_t page) {
  volatile unsigned char *at = (volatile unsigned char *)start;
  size_t i;
  for (i = 0; i < bytes; i += page) {
    at[i] = 0;
  }
}

/* Counts a try to lock, and the memory, unless it is to be given back at once. */
static void hostcache_cpu_count_lock(hostcache_cpu *cpu, const hostcache_cpu_segment *segment,
                                     int64_t error) {
  hostcache_cpu_figures *figures = &cpu->figures;
  hostcache_cpu_lock(&cpu->lock);
  if (segment->locked) {
    figures->locks_granted++;
    figures->locked_bytes += segment->bytes;
  } else {
    figures->locks_refused++;
    figures->lock_error = error;
    figures->unlocked_bytes += cpu->options.lock_required ? 0 : segment->bytes;
  }
  hostcache_cpu_unlock(&cpu->lock);
}

static hostcache_cpu_result hostcache_cpu_mem_make(hostcache_cpu *cpu, size_t size,
                                                   size_t alignment, void **ptr,
                                                   hostcache_cpu_segment *segment) {
  const size_t page = cpu->page;
  int64_t error = 0;
  void *start;
  if (size > SIZE_MAX - (page - 1)) return HOSTCACHE_CPU_ERR_OUT_OF_MEMORY;
  segment->bytes = (size + page - 1) & ~(page - 1);
  if (segment->bytes >= HOSTCACHE_CPU_HUGE_PAGE && alignment < HOSTCACHE_CPU_HUGE_PAGE) {
    alignment = HOSTCACHE_CPU_HUGE_PAGE;
  }
  segment->mapped = segment->bytes;
  if (alignment > page) {
    if (segment->bytes > SIZE_MAX - alignment) return HOSTCACHE_CPU_ERR_OUT_OF_MEMORY;
    segment->mapped += alignment;
  }
  start = hostcache_cpu_map(segment, alignment);
  if (!start) return HOSTCACHE_CPU_ERR_OUT_OF_MEMORY;
  if (segment->bytes >= HOSTCACHE_CPU_HUGE_PAGE) {
    hostcache_cpu_advise_huge(start, segment->bytes);
  }
  segment->locked = hostcache_cpu_lock_pages(start, segment->bytes, &error);
  hostcache_cpu_count_lock(cpu, segment, error);
  if (!segment->locked) {
    if (cpu->options.lock_required) {
      (void)hostcache_cpu_unmap(start, segment); /* untouched: even if it stays, it costs nothing */
      return HOSTCACHE_CPU_ERR_LOCK_REFUSED;
    }
    hostcache_cpu_touch(start, segment->bytes, page);
  }
  *ptr = start;
  return HOSTCACHE_CPU_OK;
}

hostcache_cpu_result hostcache_cpu_mem_alloc(hostcache_cpu *cpu, size_t size, size_t alignment,
                                             void **ptr, hostcache_cpu_segment *segment) {
  const hostcache_cpu_kept kept = hostcache_cpu_keep_error();
  hostcache_cpu_result result;
  if (ptr) *ptr = NULL;
  if (segment) memset(segment, 0, sizeof *segment);
  if (!cpu || !ptr || !segment || !size || !alignment || (alignment & (alignment - 1))) {
    return HOSTCACHE_CPU_ERR_ARGUMENT;
  }
  result = hostcache_cpu_mem_make(cpu, size, alignment, ptr, segment);
  if (result != HOSTCACHE_CPU_OK) {
    memset(segment, 0, sizeof *segment);
  }
  hostcache_cpu_restore_error(kept);
  return result;
}

hostcache_cpu_result hostcache_cpu_mem_free(hostcache_cpu *cpu, void *ptr,
                                            hostcache_cpu_segment *segment) {
  const hostcache_cpu_kept kept = hostcache_cpu_keep_error();
  hostcache_cpu_result result = HOSTCACHE_CPU_ERR_SYSTEM;
  if (!cpu || !ptr || !segment || !segment->base) return HOSTCACHE_CPU_ERR_ARGUMENT;
  if (hostcache_cpu_unmap(ptr, segment)) {
    uint64_t *figure = segment->locked ? &cpu->figures.locked_bytes : &cpu->figures.unlocked_bytes;
    hostcache_cpu_count(cpu, figure, (uint64_t)0 - segment->bytes);
    memset(segment, 0, sizeof *segment);
    result = HOSTCACHE_CPU_OK;
  }
  hostcache_cpu_restore_error(kept);
  return result;
}

hostcache_cpu_result hostcache_cpu_device_alloc(hostcache_cpu *cpu, size_t size, void **ptr) {
  const hostcache_cpu_kept kept = hostcache_cpu_keep_error();
  if (ptr) *ptr = NULL;
  if (!cpu || !ptr || !size) return HOSTCACHE_CPU_ERR_ARGUMENT;
  *ptr = HOSTCACHE_CPU_MALLOC(size);
  if (*ptr) {
    hostcache_cpu_count(cpu, &cpu->figures.device_blocks, 1);
  }
  hostcache_cpu_restore_error(kept);
  return *ptr ? HOSTCACHE_CPU_OK : HOSTCACHE_CPU_ERR_OUT_OF_MEMORY;
}

hostcache_cpu_result hostcache_cpu_device_free(hostcache_cpu *cpu, void *ptr) {
  const hostcache_cpu_kept kept = hostcache_cpu_keep_error();
  if (!cpu) return HOSTCACHE_CPU_ERR_ARGUMENT;
  if (ptr) {
    HOSTCACHE_CPU_FREE(ptr);
    hostcache_cpu_count(cpu, &cpu->figures.device_blocks, (uint64_t)-1);
  }
  hostcache_cpu_restore_error(kept);
  return HOSTCACHE_CPU_OK;
}

/* ---- memory that processes share ------------------------------------------------------------- */

/* Maps a file, and enters it into the list; if that fails, nothing has changed. */
static hostcache_cpu_result hostcache_cpu_shared_add(hostcache_cpu *cpu, int file, size_t bytes,
                                                     int is_ours, void **ptr) {
  hostcache_cpu_shared *shared = (hostcache_cpu_shared *)HOSTCACHE_CPU_MALLOC(sizeof *shared);
  void *start = shared ? hostcache_cpu_file_map(file, bytes) : NULL;
  if (!start) {
    HOSTCACHE_CPU_FREE(shared);
    return HOSTCACHE_CPU_ERR_OUT_OF_MEMORY;
  }
  shared->start = start;
  shared->bytes = bytes;
  shared->file = is_ours ? file : -1;
  hostcache_cpu_lock(&cpu->lock);
  shared->next = cpu->shared;
  cpu->shared = shared;
  cpu->figures.shared_blocks++;
  hostcache_cpu_unlock(&cpu->lock);
  *ptr = start;
  return HOSTCACHE_CPU_OK;
}

hostcache_cpu_result hostcache_cpu_shared_alloc(hostcache_cpu *cpu, size_t size, void **ptr) {
  const hostcache_cpu_kept kept = hostcache_cpu_keep_error();
  hostcache_cpu_result result = HOSTCACHE_CPU_ERR_OUT_OF_MEMORY;
  int file;
  if (ptr) *ptr = NULL;
  if (!cpu || !ptr || !size) return HOSTCACHE_CPU_ERR_ARGUMENT;
  if (!HOSTCACHE_CPU_HAS_SHARED) return HOSTCACHE_CPU_ERR_UNSUPPORTED;
  if (size > SIZE_MAX / 2) return HOSTCACHE_CPU_ERR_OUT_OF_MEMORY; /* nor would off_t hold it */
  size = (size + cpu->page - 1) & ~(cpu->page - 1);
  file = hostcache_cpu_file_make(size);
  if (file >= 0) {
    result = hostcache_cpu_shared_add(cpu, file, size, 1, ptr);
    if (result != HOSTCACHE_CPU_OK) hostcache_cpu_file_close(file);
  }
  hostcache_cpu_restore_error(kept);
  return result;
}

hostcache_cpu_result hostcache_cpu_shared_handle(hostcache_cpu *cpu, const void *ptr,
                                                 hostcache_cpu_handle *handle) {
  const hostcache_cpu_kept kept = hostcache_cpu_keep_error();
  hostcache_cpu_result result = HOSTCACHE_CPU_ERR_ARGUMENT;
  hostcache_cpu_shared *shared;
  if (!cpu || !ptr || !handle) return HOSTCACHE_CPU_ERR_ARGUMENT;
  hostcache_cpu_lock(&cpu->lock);
  for (shared = cpu->shared; shared && shared->start != ptr;) shared = shared->next;
  if (shared && shared->file >= 0) {
    result = hostcache_cpu_file_tell(shared->file, shared->bytes, handle)
                 ? HOSTCACHE_CPU_OK
                 : HOSTCACHE_CPU_ERR_SYSTEM;
  }
  hostcache_cpu_unlock(&cpu->lock);
  hostcache_cpu_restore_error(kept);
  return result;
}

hostcache_cpu_result hostcache_cpu_shared_open(hostcache_cpu *cpu,
                                               const hostcache_cpu_handle *handle, void **ptr) {
  const hostcache_cpu_kept kept = hostcache_cpu_keep_error();
  hostcache_cpu_result result = HOSTCACHE_CPU_ERR_SYSTEM;
  int file;
  if (ptr) *ptr = NULL;
  if (!cpu || !handle || !ptr) return HOSTCACHE_CPU_ERR_ARGUMENT;
  if (!HOSTCACHE_CPU_HAS_SHARED) return HOSTCACHE_CPU_ERR_UNSUPPORTED;
  if (!handle->bytes || handle->bytes > SIZE_MAX / 2) return HOSTCACHE_CPU_ERR_SYSTEM;
  file = hostcache_cpu_file_open(handle);
  if (file >= 0) {
    result = hostcache_cpu_shared_add(cpu, file, (size_t)handle->bytes, 0, ptr);
    hostcache_cpu_file_close(file); /* what is mapped stays */
  }
  hostcache_cpu_restore_error(kept);
  return result;
}

hostcache_cpu_result hostcache_cpu_shared_free(hostcache_cpu *cpu, void *ptr) {
  const hostcache_cpu_kept kept = hostcache_cpu_keep_error();
  hostcache_cpu_result result = HOSTCACHE_CPU_ERR_ARGUMENT;
  hostcache_cpu_shared **at, *shared;
  if (!cpu) return HOSTCACHE_CPU_ERR_ARGUMENT;
  if (!ptr) return HOSTCACHE_CPU_OK;
  hostcache_cpu_lock(&cpu->lock);
  for (at = &cpu->shared; *at && (*at)->start != ptr;) at = &(*at)->next;
  shared = *at;
  if (shared && hostcache_cpu_file_unmap(ptr, shared->bytes)) {
    *at = shared->next;
    cpu->figures.shared_blocks--;
    result = HOSTCACHE_CPU_OK;
  } else if (shared) {
    result = HOSTCACHE_CPU_ERR_SYSTEM;
  }
  hostcache_cpu_unlock(&cpu->lock);
  if (result == HOSTCACHE_CPU_OK) {
    hostcache_cpu_file_close(shared->file);
    HOSTCACHE_CPU_FREE(shared);
  }
  hostcache_cpu_restore_error(kept);
  return result;
}

#ifdef __cplusplus
}
#endif

#ifdef HOSTCACHE_CPU_OWN_MADVISE
#undef MADV_HUGEPAGE
#undef HOSTCACHE_CPU_OWN_MADVISE
#endif
#undef HOSTCACHE_CPU_HAS_SHARED
#undef HOSTCACHE_CPU_MAP_ANONYMOUS
#undef HOSTCACHE_CPU_FIRST_ITEMS
#undef HOSTCACHE_CPU_HUGE_PAGE

#endif /* HOSTCACHE_CPU_IMPLEMENTATION */
