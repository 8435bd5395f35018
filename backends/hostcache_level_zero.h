/* hostcache_level_zero.h - hostcache over Level Zero (oneAPI).

   Memory of Level Zero, cached against the work that is submitted to immediate command lists or to
   command queues. It is no runtime of its own: the handles are Level Zero's, made and destroyed by
   you, and every call goes through the loader (link with -lze_loader).

   QUICK START

     #define HOSTCACHE_LEVEL_ZERO_IMPLEMENTATION  // in exactly one file: the hooks
     #define HOSTCACHE_IMPLEMENTATION             // and the cache
     #define HC_NAME pinned
     #include "hostcache_level_zero.h"            // gives every other HC_* parameter
     #include "hostcache.h"                       // makes the cache, and takes the parameters away

     hostcache_level_zero ze;
     pinned *cache;
     void *staging;
     hostcache_level_zero_open(&ze, 0);           // the first driver, its first GPU, a context
     pinned_create(&cache, NULL, &ze);

     pinned_alloc(cache, size, &staging);                 // ... fill it ...
     hostcache_level_zero_lock(&ze, list);                // see LOCKS
     zeCommandListAppendMemoryCopy(list, device_ptr, staging, size, NULL, 0, NULL);
     hostcache_level_zero_unlock(&ze, list);
     pinned_record_stream(cache, staging, list);          // the list uses it
     pinned_free(cache, staging);                         // safe before the copy has run

     pinned_synchronize(cache, UINT64_MAX);
     pinned_destroy(cache);
     zeCommandListDestroy(list);
     hostcache_level_zero_close(&ze);

   PARAMETER PACKS

   Each inclusion defines the parameters of one cache, for the inclusion of hostcache.h that follows
   it; include both as often as there are caches. What the cache is of is chosen before it:

     (nothing)                          streams are immediate command lists
     #define HC_LEVEL_ZERO_QUEUES       streams are command queues
     (nothing)                          host memory (zeMemAllocHost)
     #define HC_LEVEL_ZERO_DEVICE       device memory (zeMemAllocDevice)
     #define HC_LEVEL_ZERO_SHARED       shared memory (zeMemAllocShared)
     #define HC_LEVEL_ZERO_COUNTERS     events are counter-based, which are never reset: for lists
                                        that are in order, where the headers have them

   All give HC_CTX_T (hostcache_level_zero *), HC_STREAM_T (ze_command_list_handle_t or
   ze_command_queue_handle_t) and HC_EVENT_T (hostcache_level_zero_event).

   WHAT AN EVENT IS

   On an immediate list it is a barrier that signals: zeCommandListAppendBarrier(list, event, 0,
   NULL). A bare zeCommandListAppendSignalEvent would not do, for commands of a list are in no order
   unless it was made with a flag that says so, and then the signal could come before the copy that
   was appended before it. On a queue each event owns a closed list that holds that barrier, and
   recording executes it. An event is reset by the host before each use, and used again once it has
   completed. Events come from pools of a fixed size, got as they are needed and kept until close.

   LOCKS

   No two threads may append to one list at the same time, says Level Zero, and the cache appends to
   it whenever a block that was used on it is freed. So the pack takes a lock around that; whoever
   appends from another thread than the one that frees takes it too:

     hostcache_level_zero_lock(&ze, list); zeCommandListAppend...; hostcache_level_zero_unlock(...)

   A program that has a lock for its lists already defines these two before the code is emitted, and
   the pack takes that instead (`l0->user` is yours, to find it by):

     HOSTCACHE_LEVEL_ZERO_LOCK(l0, list), HOSTCACHE_LEVEL_ZERO_UNLOCK(l0, list)

   It must not be held around a call of the cache. The pack's own lock of a list belongs to the
   hostcache_level_zero, so all caches that see one list share one. Queues need none: Level Zero
   lets any number of threads execute lists on one.

   BEFORE A STREAM IS DESTROYED, call NAME_forget_stream, and see that it is idle, as Level Zero
   asks anyway: a list or queue that still has work may not be destroyed.

   LARGE ALLOCATIONS

   A device says how much one allocation may have (maxMemAllocSize, and it holds for host memory
   too). Above that the pack asks for relaxed limits where the driver has that extension; where it
   has not, the driver's ZE_RESULT_ERROR_UNSUPPORTED_SIZE reaches on_error, for which
   hostcache_level_zero_result_string says so in words.

   ERRORS. Each function returns the ze_result_t of the call that failed, and each that fails inside
   of a cache reaches on_error as its code. Out of host memory and out of device memory, and only
   these two, are out of memory to the cache. After ZE_RESULT_ERROR_DEVICE_LOST the cache's blocks
   come into quarantine, as their events cannot be asked; release_quarantine, destroy and close, in
   that order, then give everything back.

   C11 or C++11, with pthreads or Win32 threads. errno, and GetLastError() on Windows, are left as
   they were found. HOSTCACHE_LEVEL_ZERO_MALLOC(size) and HOSTCACHE_LEVEL_ZERO_FREE(ptr), defined
   before the code is emitted, replace malloc and free; HOSTCACHE_LEVEL_ZERO_API decorates the
   prototypes. */

/* ==== 1. DECLARATIONS (once per file) ========================================================= */

#ifndef HOSTCACHE_LEVEL_ZERO_H
#define HOSTCACHE_LEVEL_ZERO_H

#include <stddef.h>
#include <stdint.h>

#include <level_zero/ze_api.h>

#ifndef HOSTCACHE_LEVEL_ZERO_API /* decorates the prototypes, to export them */
#define HOSTCACHE_LEVEL_ZERO_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What the hooks work on. Filled by open from a driver's number, or by you, from handles that the
   program has already, and then made ready by attach. Must stay where it is until close. */
typedef struct hostcache_level_zero {
  ze_driver_handle_t driver;
  ze_device_handle_t device; /* of all lists and queues that the caches see, of device memory and
                                of shared memory */
  ze_context_handle_t context;
  uint32_t ordinal; /* HC_LEVEL_ZERO_QUEUES: the queue group that all queues of the cache are of */
  void *user;       /* yours */
  struct hostcache_level_zero_inside *inside; /* the pack's own */
} hostcache_level_zero;

/* An event of the pack, by value. One that is handed to NAME_record_event is made by
   hostcache_level_zero_event_of. */
typedef struct hostcache_level_zero_event {
  ze_event_handle_t event;
  ze_command_list_handle_t list;          /* on a queue: closed, holds the barrier. Else NULL */
  struct hostcache_level_zero_pool *pool; /* where it is from, or NULL: a pool of yours ... */
  uint32_t index;                         /* ... and its place there */
} hostcache_level_zero_event;

typedef enum hostcache_level_zero_kind {
  HOSTCACHE_LEVEL_ZERO_HOST,
  HOSTCACHE_LEVEL_ZERO_DEVICE,
  HOSTCACHE_LEVEL_ZERO_SHARED
} hostcache_level_zero_kind;

/* Calls zeInit, takes the driver of that number, its first GPU (where it has none, its first
   device), and makes a context, which close destroys. ordinal is 0, user NULL. On an error *l0 is
   all zero: ZE_RESULT_ERROR_UNINITIALIZED if there is no driver, or none with a device,
   ZE_RESULT_ERROR_INVALID_ARGUMENT if there are fewer. */
HOSTCACHE_LEVEL_ZERO_API ze_result_t hostcache_level_zero_open(hostcache_level_zero *l0,
                                                               uint32_t driver);

/* The same with handles that you have (a SYCL program's, say): fill in driver, device and context,
   and, for queues, ordinal. They stay yours. */
HOSTCACHE_LEVEL_ZERO_API ze_result_t hostcache_level_zero_attach(hostcache_level_zero *l0);

/* Ends what open or attach began, after the caches on it are destroyed. Destroys the event pools,
   and the context if open made it; *l0 is then all zero. ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE: a
   cache still has memory or events, or left some behind (NAME_destroy said LEAKED, or NAME_abandon
   was called), and nothing was done. Another error: what could not be destroyed, and what had to
   stay for its sake, is left to the driver; the rest was done. */
HOSTCACHE_LEVEL_ZERO_API ze_result_t hostcache_level_zero_close(hostcache_level_zero *l0);

/* The same without a call of Level Zero: frees the pack's own bookkeeping, and leaves the pools and
   the context to the driver. For when close can't, or the driver is gone. */
HOSTCACHE_LEVEL_ZERO_API void hostcache_level_zero_abandon(hostcache_level_zero *l0);

/* The lock of a list (or of whatever handle), see LOCKS. Lists share a few locks, so hold one at a
   time, and briefly. */
HOSTCACHE_LEVEL_ZERO_API void hostcache_level_zero_lock(hostcache_level_zero *l0,
                                                        const void *handle);
HOSTCACHE_LEVEL_ZERO_API void hostcache_level_zero_unlock(hostcache_level_zero *l0,
                                                          const void *handle);

/* Wraps an event of yours for NAME_record_event. It has been appended, or is signalled; on OK the
   cache owns it and destroys it (zeEventDestroy) when it has completed. Its pool stays yours, must
   be visible to the host, and must live until then. */
HOSTCACHE_LEVEL_ZERO_API hostcache_level_zero_event
hostcache_level_zero_event_of(ze_event_handle_t event);

/* The name of a result, and what can be done about it. Never NULL. */
HOSTCACHE_LEVEL_ZERO_API const char *hostcache_level_zero_result_string(ze_result_t result);

/* What the hooks call. */
HOSTCACHE_LEVEL_ZERO_API ze_result_t hostcache_level_zero_mem_alloc(hostcache_level_zero *l0,
                                                                    hostcache_level_zero_kind kind,
                                                                    size_t size, size_t alignment,
                                                                    void **ptr);
HOSTCACHE_LEVEL_ZERO_API ze_result_t hostcache_level_zero_mem_free(hostcache_level_zero *l0,
                                                                   void *ptr);
HOSTCACHE_LEVEL_ZERO_API ze_result_t hostcache_level_zero_event_create(
    hostcache_level_zero *l0, int counter, hostcache_level_zero_event *event);
HOSTCACHE_LEVEL_ZERO_API ze_result_t hostcache_level_zero_event_create_for_queue(
    hostcache_level_zero *l0, hostcache_level_zero_event *event);
HOSTCACHE_LEVEL_ZERO_API ze_result_t
hostcache_level_zero_event_destroy(hostcache_level_zero *l0, hostcache_level_zero_event *event);
HOSTCACHE_LEVEL_ZERO_API ze_result_t
hostcache_level_zero_event_record(hostcache_level_zero *l0, hostcache_level_zero_event *event,
                                  ze_command_list_handle_t list, int counter);
HOSTCACHE_LEVEL_ZERO_API ze_result_t hostcache_level_zero_event_record_on_queue(
    hostcache_level_zero_event *event, ze_command_queue_handle_t queue);
HOSTCACHE_LEVEL_ZERO_API ze_result_t
hostcache_level_zero_event_query(hostcache_level_zero_event *event);
HOSTCACHE_LEVEL_ZERO_API ze_result_t
hostcache_level_zero_event_wait(hostcache_level_zero_event *event);
HOSTCACHE_LEVEL_ZERO_API ze_result_t hostcache_level_zero_list_wait(hostcache_level_zero *l0,
                                                                    ze_command_list_handle_t list,
                                                                    int counter);
HOSTCACHE_LEVEL_ZERO_API ze_result_t
hostcache_level_zero_queue_wait(ze_command_queue_handle_t queue);

#ifdef __cplusplus
}
#endif

#endif /* HOSTCACHE_LEVEL_ZERO_H */

/* ==== 2. PARAMETERS (each inclusion) ========================================================== */

#if defined HC_CTX_T || defined HC_STREAM_T || defined HC_SEGMENT_T || defined HC_EVENT_T || \
    defined HC_TIMELINE || defined HC_NO_STREAMS || defined HC_MEM_ALLOC || defined HC_MEM_FREE
#error "hostcache_level_zero.h: a type or hook is defined already; include it once per hostcache.h"
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

#if defined HC_LEVEL_ZERO_DEVICE && defined HC_LEVEL_ZERO_SHARED
#error "hostcache_level_zero.h: HC_LEVEL_ZERO_DEVICE and HC_LEVEL_ZERO_SHARED exclude each other"
#undef HC_LEVEL_ZERO_SHARED
#endif
#if defined HC_LEVEL_ZERO_QUEUES && defined HC_LEVEL_ZERO_COUNTERS
#error "hostcache_level_zero.h: HC_LEVEL_ZERO_COUNTERS is for lists, not for HC_LEVEL_ZERO_QUEUES"
#undef HC_LEVEL_ZERO_COUNTERS
#endif
#if defined HC_LEVEL_ZERO_COUNTERS && !defined ZE_EVENT_POOL_COUNTER_BASED_EXP_NAME
#error "hostcache_level_zero.h: these Level Zero headers are too old for HC_LEVEL_ZERO_COUNTERS"
#undef HC_LEVEL_ZERO_COUNTERS
#endif

#define HC_CTX_T hostcache_level_zero *
#define HC_EVENT_T hostcache_level_zero_event

/* The hooks are expanded in hostcache.h, when the choices above are undefined again. */
#if defined HC_LEVEL_ZERO_DEVICE
#define HC_MEM_ALLOC(ctx, size, align, ptr_out) \
  HOSTCACHE_LEVEL_ZERO_ALLOC(ctx, HOSTCACHE_LEVEL_ZERO_DEVICE, size, align, ptr_out)
#elif defined HC_LEVEL_ZERO_SHARED
#define HC_MEM_ALLOC(ctx, size, align, ptr_out) \
  HOSTCACHE_LEVEL_ZERO_ALLOC(ctx, HOSTCACHE_LEVEL_ZERO_SHARED, size, align, ptr_out)
#else
#define HC_MEM_IS_HOST
#define HC_MEM_ALLOC(ctx, size, align, ptr_out) \
  HOSTCACHE_LEVEL_ZERO_ALLOC(ctx, HOSTCACHE_LEVEL_ZERO_HOST, size, align, ptr_out)
#endif
#define HC_MEM_FREE(ctx, ptr, size) \
  ((void)(size), HOSTCACHE_LEVEL_ZERO_STATUS(hostcache_level_zero_mem_free(ctx, ptr)))

#ifdef HC_LEVEL_ZERO_QUEUES

#define HC_STREAM_T ze_command_queue_handle_t
#define HC_EVENT_CREATE(ctx, queue, event_ptr) \
  ((void)(queue),                              \
   HOSTCACHE_LEVEL_ZERO_STATUS(hostcache_level_zero_event_create_for_queue(ctx, event_ptr)))
#define HC_EVENT_RECORD(ctx, event_ptr, queue) \
  ((void)(ctx),                                \
   HOSTCACHE_LEVEL_ZERO_STATUS(hostcache_level_zero_event_record_on_queue(event_ptr, queue)))
#define HC_STREAM_WAIT(ctx, queue) \
  ((void)(ctx), HOSTCACHE_LEVEL_ZERO_STATUS(hostcache_level_zero_queue_wait(queue)))

#else

#define HC_STREAM_T ze_command_list_handle_t
#ifdef HC_LEVEL_ZERO_COUNTERS
#define HC_EVENT_CREATE(ctx, list, event_ptr) \
  ((void)(list), HOSTCACHE_LEVEL_ZERO_STATUS(hostcache_level_zero_event_create(ctx, 1, event_ptr)))
#define HC_EVENT_RECORD(ctx, event_ptr, list) \
  HOSTCACHE_LEVEL_ZERO_STATUS(hostcache_level_zero_event_record(ctx, event_ptr, list, 1))
#define HC_STREAM_WAIT(ctx, list) \
  HOSTCACHE_LEVEL_ZERO_STATUS(hostcache_level_zero_list_wait(ctx, list, 1))
#else
#define HC_EVENT_CREATE(ctx, list, event_ptr) \
  ((void)(list), HOSTCACHE_LEVEL_ZERO_STATUS(hostcache_level_zero_event_create(ctx, 0, event_ptr)))
#define HC_EVENT_RECORD(ctx, event_ptr, list) \
  HOSTCACHE_LEVEL_ZERO_STATUS(hostcache_level_zero_event_record(ctx, event_ptr, list, 0))
#define HC_STREAM_WAIT(ctx, list) \
  HOSTCACHE_LEVEL_ZERO_STATUS(hostcache_level_zero_list_wait(ctx, list, 0))
#endif

#endif

#define HC_EVENT_DESTROY(ctx, event_ptr) \
  HOSTCACHE_LEVEL_ZERO_STATUS(hostcache_level_zero_event_destroy(ctx, event_ptr))
#define HC_EVENT_QUERY(ctx, event_ptr)                                              \
  ((void)(ctx), hostcache_map((int64_t)hostcache_level_zero_event_query(event_ptr), \
                              ZE_RESULT_SUCCESS, ZE_RESULT_NOT_READY))
#define HC_EVENT_WAIT(ctx, event_ptr)                                              \
  ((void)(ctx), hostcache_map((int64_t)hostcache_level_zero_event_wait(event_ptr), \
                              ZE_RESULT_SUCCESS, ZE_RESULT_NOT_READY))

#undef HC_LEVEL_ZERO_QUEUES
#undef HC_LEVEL_ZERO_DEVICE
#undef HC_LEVEL_ZERO_SHARED
#undef HC_LEVEL_ZERO_COUNTERS

/* Of a call that knows no pending, and of one that gets memory. */
#ifndef HOSTCACHE_LEVEL_ZERO_STATUS
#define HOSTCACHE_LEVEL_ZERO_STATUS(result) \
  hostcache_map((int64_t)(result), ZE_RESULT_SUCCESS, ZE_RESULT_SUCCESS)
#define HOSTCACHE_LEVEL_ZERO_ALLOC(ctx, kind, size, align, ptr_out)                              \
  hostcache_map_memory((int64_t)hostcache_level_zero_mem_alloc(ctx, kind, size, align, ptr_out), \
                       ZE_RESULT_SUCCESS, ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY,                    \
                       ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)
#endif

/* ==== 3. THE CODE (in one file) =============================================================== */

#if defined HOSTCACHE_LEVEL_ZERO_IMPLEMENTATION && !defined HOSTCACHE_LEVEL_ZERO_IMPLEMENTED
#define HOSTCACHE_LEVEL_ZERO_IMPLEMENTED

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#define HOSTCACHE_LEVEL_ZERO_OWN_LEAN
#endif
#include <windows.h>
#ifdef HOSTCACHE_LEVEL_ZERO_OWN_LEAN
#undef WIN32_LEAN_AND_MEAN
#undef HOSTCACHE_LEVEL_ZERO_OWN_LEAN
#endif
#else
#include <pthread.h>
#endif

#if defined HOSTCACHE_LEVEL_ZERO_MALLOC != defined HOSTCACHE_LEVEL_ZERO_FREE
#error "hostcache_level_zero.h: HOSTCACHE_LEVEL_ZERO_MALLOC and _FREE are replaced together"
#endif
#if defined HOSTCACHE_LEVEL_ZERO_LOCK != defined HOSTCACHE_LEVEL_ZERO_UNLOCK
#error "hostcache_level_zero.h: HOSTCACHE_LEVEL_ZERO_LOCK and _UNLOCK are replaced together"
#endif

#ifndef HOSTCACHE_LEVEL_ZERO_MALLOC /* define both to replace them */
#define HOSTCACHE_LEVEL_ZERO_MALLOC(size) malloc(size)
#define HOSTCACHE_LEVEL_ZERO_FREE(ptr) free(ptr)
#endif

#ifndef HOSTCACHE_LEVEL_ZERO_LOCK /* define both to replace them */
#define HOSTCACHE_LEVEL_ZERO_LOCK(l0, list) hostcache_level_zero_lock(l0, list)
#define HOSTCACHE_LEVEL_ZERO_UNLOCK(l0, list) hostcache_level_zero_unlock(l0, list)
#endif

#define HOSTCACHE_LEVEL_ZERO_LOCKS 32       /* that lists share: two threads rarely meet on one */
#define HOSTCACHE_LEVEL_ZERO_POOL_EVENTS 64 /* of one pool: the bits of its map of free places */

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the operating system -------------------------------------------------------------------- */

typedef struct hostcache_level_zero_kept { /* the errors of this thread as a function found them */
  int error;
#ifdef _WIN32
  DWORD last;
#endif
} hostcache_level_zero_kept;

#ifdef _WIN32
typedef SRWLOCK hostcache_level_zero_mutex;
static int hostcache_level_zero_mutex_init(hostcache_level_zero_mutex *mutex) {
  InitializeSRWLock(mutex);
  return 0;
}
static void hostcache_level_zero_mutex_end(hostcache_level_zero_mutex *mutex) { (void)mutex; }
static void hostcache_level_zero_mutex_lock(hostcache_level_zero_mutex *mutex) {
  AcquireSRWLockExclusive(mutex);
}
static void hostcache_level_zero_mutex_unlock(hostcache_level_zero_mutex *mutex) {
  ReleaseSRWLockExclusive(mutex);
}
#else
typedef pthread_mutex_t hostcache_level_zero_mutex;
static int hostcache_level_zero_mutex_init(hostcache_level_zero_mutex *mutex) {
  return pthread_mutex_init(mutex, NULL);
}
static void hostcache_level_zero_mutex_end(hostcache_level_zero_mutex *mutex) {
  (void)pthread_mutex_destroy(mutex);
}
static void hostcache_level_zero_mutex_lock(hostcache_level_zero_mutex *mutex) {
  (void)pthread_mutex_lock(mutex);
}
static void hostcache_level_zero_mutex_unlock(hostcache_level_zero_mutex *mutex) {
  (void)pthread_mutex_unlock(mutex);
}
#endif

static hostcache_level_zero_kept hostcache_level_zero_keep(void) {
  hostcache_level_zero_kept kept;
  kept.error = errno;
#ifdef _WIN32
  kept.last = GetLastError();
#endif
  return kept;
}

/* Gives the result back, after the errors. */
static ze_result_t hostcache_level_zero_leave(hostcache_level_zero_kept kept, ze_result_t result) {
#ifdef _WIN32
  SetLastError(kept.last);
#endif
  errno = kept.error;
  return result;
}

/* The first that failed of two. */
static ze_result_t hostcache_level_zero_first(ze_result_t first, ze_result_t second) {
  return first != ZE_RESULT_SUCCESS ? first : second;
}

/* ---- open and close -------------------------------------------------------------------------- */

/* A pool of events of Level Zero, whose number is fixed when it is made. LOCK: inside->lock */
typedef struct hostcache_level_zero_pool hostcache_level_zero_pool;
struct hostcache_level_zero_pool {
  hostcache_level_zero_pool *next; /* grows at the head; none goes before close */
  ze_event_pool_handle_t pool;
  int counter;      /* its events are counter-based */
  uint64_t used;    /* a bit for each place */
  uint64_t lost;    /* those of `used` that could not be destroyed: close tries again */
  uint64_t awaited; /* those of `lost` that may still be signalled: waiting for them failed */
  hostcache_level_zero_event parked[HOSTCACHE_LEVEL_ZERO_POOL_EVENTS]; /* what `lost` is about */
};

typedef struct hostcache_level_zero_inside hostcache_level_zero_inside;
struct hostcache_level_zero_inside {
  int owns_context;
  int relaxed;        /* the driver has ZE_RELAXED_ALLOCATION_LIMITS_EXP_NAME */
  int counters;       /* ... and ZE_EVENT_POOL_COUNTER_BASED_EXP_NAME */
  uint64_t max_alloc; /* bytes, of one allocation without it */
  hostcache_level_zero_mutex lock;
  hostcache_level_zero_pool *pools; /* LOCK: lock */
  uint64_t live;                    /* LOCK: lock. Allocations that were not given back */
  hostcache_level_zero_mutex list_locks[HOSTCACHE_LEVEL_ZERO_LOCKS];
};

static hostcache_level_zero_mutex *hostcache_level_zero_lock_of(hostcache_level_zero *l0,
                                                                const void *handle) {
  uint64_t hash = (uint64_t)(uintptr_t)handle * UINT64_C(0x9e3779b97f4a7c15); /* 2^64 / phi */
  return &l0->inside->list_locks[(hash >> 32) % HOSTCACHE_LEVEL_ZERO_LOCKS];
}

void hostcache_level_zero_lock(hostcache_level_zero *l0, const void *handle) {
  hostcache_level_zero_mutex_lock(hostcache_level_zero_lock_of(l0, handle));
}

void hostcache_level_zero_unlock(hostcache_level_zero *l0, const void *handle) {
  hostcache_level_zero_mutex_unlock(hostcache_level_zero_lock_of(l0, handle));
}

/* What the driver can, into `inside`. */
static ze_result_t hostcache_level_zero_ask_driver(ze_driver_handle_t driver,
                                                   hostcache_level_zero_inside *inside) {
  ze_driver_extension_properties_t *all;
  uint32_t count = 0, i;
  ze_result_t result = zeDriverGetExtensionProperties(driver, &count, NULL);
  if (result != ZE_RESULT_SUCCESS || count == 0) return result;
  all = (ze_driver_extension_properties_t *)HOSTCACHE_LEVEL_ZERO_MALLOC(count * sizeof *all);
  if (!all) return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
  memset(all, 0, count * sizeof *all);
  result = zeDriverGetExtensionProperties(driver, &count, all);
  for (i = 0; result == ZE_RESULT_SUCCESS && i < count; i++) {
    if (strcmp(all[i].name, ZE_RELAXED_ALLOCATION_LIMITS_EXP_NAME) == 0) inside->relaxed = 1;
#ifdef ZE_EVENT_POOL_COUNTER_BASED_EXP_NAME
    if (strcmp(all[i].name, ZE_EVENT_POOL_COUNTER_BASED_EXP_NAME) == 0) inside->counters = 1;
#endif
  }
  HOSTCACHE_LEVEL_ZERO_FREE(all);
  return result;
}

/* Makes the locks; 0 if the system refused one, and then there are none. */
static int hostcache_level_zero_make_locks(hostcache_level_zero_inside *inside) {
  int made;
  if (hostcache_level_zero_mutex_init(&inside->lock)) return 0;
  for (made = 0; made < HOSTCACHE_LEVEL_ZERO_LOCKS; made++)
    if (hostcache_level_zero_mutex_init(&inside->list_locks[made])) break;
  if (made == HOSTCACHE_LEVEL_ZERO_LOCKS) return 1;
  while (made > 0) hostcache_level_zero_mutex_end(&inside->list_locks[--made]);
  hostcache_level_zero_mutex_end(&inside->lock);
  return 0;
}

static ze_result_t hostcache_level_zero_make_inside(hostcache_level_zero *l0) {
  hostcache_level_zero_inside *inside;
  ze_device_properties_t properties;
  ze_result_t result;
  memset(&properties, 0, sizeof properties);
  properties.stype = ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES;
  result = zeDeviceGetProperties(l0->device, &properties);
  if (result != ZE_RESULT_SUCCESS) return result;
  inside = (hostcache_level_zero_inside *)HOSTCACHE_LEVEL_ZERO_MALLOC(sizeof *inside);
  if (!inside) return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
  memset((void *)inside, 0, sizeof *inside);
  inside->max_alloc = properties.maxMemAllocSize;
  result = hostcache_level_zero_ask_driver(l0->driver, inside);
  if (result == ZE_RESULT_SUCCESS && !hostcache_level_zero_make_locks(inside))
    result = ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
  if (result != ZE_RESULT_SUCCESS) {
    HOSTCACHE_LEVEL_ZERO_FREE(inside);
    return result;
  }
  l0->inside = inside;
  return ZE_RESULT_SUCCESS;
}

ze_result_t hostcache_level_zero_attach(hostcache_level_zero *l0) {
  const hostcache_level_zero_kept kept = hostcache_level_zero_keep();
  if (!l0) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  l0->inside = NULL;
  if (!l0->driver || !l0->device || !l0->context) return ZE_RESULT_ERROR_INVALID_NULL_HANDLE;
  return hostcache_level_zero_leave(kept, hostcache_level_zero_make_inside(l0));
}

/* The driver of that number. */
static ze_result_t hostcache_level_zero_find_driver(uint32_t number, ze_driver_handle_t *driver) {
  ze_driver_handle_t *all;
  uint32_t count = 0;
  ze_result_t result = zeInit(0);
  if (result == ZE_RESULT_SUCCESS) result = zeDriverGet(&count, NULL);
  if (result != ZE_RESULT_SUCCESS) return result;
  if (count == 0) return ZE_RESULT_ERROR_UNINITIALIZED;
  if (number >= count) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
  all = (ze_driver_handle_t *)HOSTCACHE_LEVEL_ZERO_MALLOC(count * sizeof *all);
  if (!all) return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
  result = zeDriverGet(&count, all);
  if (result == ZE_RESULT_SUCCESS) *driver = all[number];
  HOSTCACHE_LEVEL_ZERO_FREE(all);
  return result;
}

/* Its first GPU, or else its first device. */
static ze_result_t hostcache_level_zero_find_device(ze_driver_handle_t driver,
                                                    ze_device_handle_t *device) {
  ze_device_handle_t *all;
  uint32_t count = 0, i;
  ze_result_t result = zeDeviceGet(driver, &count, NULL);
  if (result != ZE_RESULT_SUCCESS) return result;
  if (count == 0) return ZE_RESULT_ERROR_UNINITIALIZED;
  all = (ze_device_handle_t *)HOSTCACHE_LEVEL_ZERO_MALLOC(count * sizeof *all);
  if (!all) return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
  result = zeDeviceGet(driver, &count, all);
  if (result == ZE_RESULT_SUCCESS) *device = all[0];
  for (i = 0; result == ZE_RESULT_SUCCESS && i < count; i++) {
    ze_device_properties_t properties;
    memset(&properties, 0, sizeof properties);
    properties.stype = ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES;
    result = zeDeviceGetProperties(all[i], &properties);
    if (result != ZE_RESULT_SUCCESS || properties.type != ZE_DEVICE_TYPE_GPU) continue;
    *device = all[i];
    break;
  }
  HOSTCACHE_LEVEL_ZERO_FREE(all);
  return result;
}

ze_result_t hostcache_level_zero_open(hostcache_level_zero *l0, uint32_t driver) {
  const hostcache_level_zero_kept kept = hostcache_level_zero_keep();
  ze_context_desc_t desc;
  ze_result_t result;
  if (!l0) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  memset((void *)l0, 0, sizeof *l0);
  memset(&desc, 0, sizeof desc);
  desc.stype = ZE_STRUCTURE_TYPE_CONTEXT_DESC;
  result = hostcache_level_zero_find_driver(driver, &l0->driver);
  if (result == ZE_RESULT_SUCCESS)
    result = hostcache_level_zero_find_device(l0->driver, &l0->device);
  if (result == ZE_RESULT_SUCCESS) result = zeContextCreate(l0->driver, &desc, &l0->context);
  if (result == ZE_RESULT_SUCCESS) {
    result = hostcache_level_zero_make_inside(l0);
    if (result == ZE_RESULT_SUCCESS)
      l0->inside->owns_context = 1;
    else
      (void)zeContextDestroy(l0->context);
  }
  if (result != ZE_RESULT_SUCCESS) memset((void *)l0, 0, sizeof *l0);
  return hostcache_level_zero_leave(kept, result);
}

/* Ends what an event is made of; what that fails for stays in it. */
static ze_result_t hostcache_level_zero_end(hostcache_level_zero_event *event) {
  ze_result_t result = ZE_RESULT_SUCCESS;
  if (event->list) result = zeCommandListDestroy(event->list);
  if (result != ZE_RESULT_SUCCESS) return result; /* the list still refers to the event */
  event->list = NULL;
  if (event->event) result = zeEventDestroy(event->event);
  if (result == ZE_RESULT_SUCCESS) event->event = NULL;
  return result;
}

/* Ends what waits for it in a pool. An event that is still not complete stays. */
static ze_result_t hostcache_level_zero_end_parked(hostcache_level_zero_pool *pool) {
  ze_result_t result = ZE_RESULT_SUCCESS, ended;
  int i;
  for (i = 0; i < HOSTCACHE_LEVEL_ZERO_POOL_EVENTS; i++) {
    hostcache_level_zero_event *event = &pool->parked[i];
    if (!(pool->lost >> i & 1)) continue;
    ended = pool->awaited >> i & 1 ? zeEventQueryStatus(event->event) : ZE_RESULT_SUCCESS;
    if (ended == ZE_RESULT_SUCCESS || ended == ZE_RESULT_ERROR_DEVICE_LOST)
      ended = hostcache_level_zero_end(event);
    if (ended == ZE_RESULT_SUCCESS) pool->lost &= ~(UINT64_C(1) << i);
    result = hostcache_level_zero_first(result, ended);
  }
  return result;
}

ze_result_t hostcache_level_zero_close(hostcache_level_zero *l0) {
  const hostcache_level_zero_kept kept = hostcache_level_zero_keep();
  hostcache_level_zero_inside *inside = l0 ? l0->inside : NULL;
  hostcache_level_zero_pool *pool, *next;
  ze_result_t result = ZE_RESULT_SUCCESS;
  int in_use;
  if (!inside) return ZE_RESULT_SUCCESS;
  hostcache_level_zero_mutex_lock(&inside->lock);
  in_use = inside->live != 0;
  for (pool = inside->pools; pool; pool = pool->next) in_use |= pool->used != pool->lost;
  hostcache_level_zero_mutex_unlock(&inside->lock);
  if (in_use) return ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE;
  for (pool = inside->pools; pool; pool = next) {
    next = pool->next;
    result = hostcache_level_zero_first(result, hostcache_level_zero_end_parked(pool));
    if (!pool->lost) result = hostcache_level_zero_first(result, zeEventPoolDestroy(pool->pool));
    HOSTCACHE_LEVEL_ZERO_FREE(pool);
  }
  inside->pools = NULL;
  /* A context must not be destroyed before what was made in it. */
  if (inside->owns_context && result == ZE_RESULT_SUCCESS) result = zeContextDestroy(l0->context);
  hostcache_level_zero_abandon(l0);
  return hostcache_level_zero_leave(kept, result);
}

void hostcache_level_zero_abandon(hostcache_level_zero *l0) {
  hostcache_level_zero_inside *inside = l0 ? l0->inside : NULL;
  hostcache_level_zero_pool *pool, *next;
  int i;
  if (!inside) return;
  for (pool = inside->pools; pool; pool = next) {
    next = pool->next;
    HOSTCACHE_LEVEL_ZERO_FREE(pool);
  }
  for (i = 0; i < HOSTCACHE_LEVEL_ZERO_LOCKS; i++)
    hostcache_level_zero_mutex_end(&inside->list_locks[i]);
  hostcache_level_zero_mutex_end(&inside->lock);
  HOSTCACHE_LEVEL_ZERO_FREE(inside);
  memset((void *)l0, 0, sizeof *l0);
}

/* ---- memory ---------------------------------------------------------------------------------- */

ze_result_t hostcache_level_zero_mem_alloc(hostcache_level_zero *l0, hostcache_level_zero_kind kind,
                                           size_t size, size_t alignment, void **ptr) {
  const hostcache_level_zero_kept kept = hostcache_level_zero_keep();
  ze_relaxed_allocation_limits_exp_desc_t relaxed;
  ze_host_mem_alloc_desc_t host;
  ze_device_mem_alloc_desc_t device;
  const void *more = NULL;
  ze_result_t result;
  if (!l0 || !l0->inside) return ZE_RESULT_ERROR_UNINITIALIZED;
  memset(&relaxed, 0, sizeof relaxed);
  relaxed.stype = ZE_STRUCTURE_TYPE_RELAXED_ALLOCATION_LIMITS_EXP_DESC;
  relaxed.flags = ZE_RELAXED_ALLOCATION_LIMITS_EXP_FLAG_MAX_SIZE;
  /* The limit is a "less than" in the text of zeMemAllocHost, and a maximum by its name. */
  if (l0->inside->relaxed && size >= l0->inside->max_alloc) more = &relaxed;
  memset(&host, 0, sizeof host);
  host.stype = ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC;
  memset(&device, 0, sizeof device);
  device.stype = ZE_STRUCTURE_TYPE_DEVICE_MEM_ALLOC_DESC;
  if (kind == HOSTCACHE_LEVEL_ZERO_HOST)
    host.pNext = more;
  else
    device.pNext = more; /* one chain is enough, also where both are given */
  *ptr = NULL;
  if (kind == HOSTCACHE_LEVEL_ZERO_HOST)
    result = zeMemAllocHost(l0->context, &host, size, alignment, ptr);
  else if (kind == HOSTCACHE_LEVEL_ZERO_DEVICE)
    result = zeMemAllocDevice(l0->context, &device, size, alignment, l0->device, ptr);
  else
    result = zeMemAllocShared(l0->context, &device, &host, size, alignment, l0->device, ptr);
  if (result == ZE_RESULT_SUCCESS) {
    hostcache_level_zero_mutex_lock(&l0->inside->lock);
    l0->inside->live++;
    hostcache_level_zero_mutex_unlock(&l0->inside->lock);
  }
  return hostcache_level_zero_leave(kept, result);
}

ze_result_t hostcache_level_zero_mem_free(hostcache_level_zero *l0, void *ptr) {
  const hostcache_level_zero_kept kept = hostcache_level_zero_keep();
  ze_result_t result = zeMemFree(l0->context, ptr);
  hostcache_level_zero_mutex_lock(&l0->inside->lock);
  l0->inside->live--; /* one that fails is left to the driver, and not tried again */
  hostcache_level_zero_mutex_unlock(&l0->inside->lock);
  return hostcache_level_zero_leave(kept, result);
}

/* ---- events ---------------------------------------------------------------------------------- */

/* Makes another pool, and puts it in front. */
static ze_result_t hostcache_level_zero_grow(hostcache_level_zero *l0, int counter) {
  hostcache_level_zero_inside *inside = l0->inside;
  hostcache_level_zero_pool *made;
  ze_event_pool_desc_t desc;
  ze_result_t result;
#ifdef ZE_EVENT_POOL_COUNTER_BASED_EXP_NAME
  ze_event_pool_counter_based_exp_desc_t counters;
  memset(&counters, 0, sizeof counters);
  counters.stype = ZE_STRUCTURE_TYPE_COUNTER_BASED_EVENT_POOL_EXP_DESC;
  counters.flags = ZE_EVENT_POOL_COUNTER_BASED_EXP_FLAG_IMMEDIATE;
#endif
  memset(&desc, 0, sizeof desc);
  desc.stype = ZE_STRUCTURE_TYPE_EVENT_POOL_DESC;
  desc.flags = ZE_EVENT_POOL_FLAG_HOST_VISIBLE;
  desc.count = HOSTCACHE_LEVEL_ZERO_POOL_EVENTS;
#ifdef ZE_EVENT_POOL_COUNTER_BASED_EXP_NAME
  if (counter) desc.pNext = &counters;
#endif
  /* A driver that does not know them would make events that have to be reset, which nobody would
     do. */
  if (counter && !inside->counters) return ZE_RESULT_ERROR_UNSUPPORTED_FEATURE;
  made = (hostcache_level_zero_pool *)HOSTCACHE_LEVEL_ZERO_MALLOC(sizeof *made);
  if (!made) return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
  result = zeEventPoolCreate(l0->context, &desc, 1, &l0->device, &made->pool);
  if (result != ZE_RESULT_SUCCESS) {
    HOSTCACHE_LEVEL_ZERO_FREE(made);
    return result;
  }
  made->counter = counter;
  made->used = made->lost = made->awaited = 0;
  hostcache_level_zero_mutex_lock(&inside->lock);
  made->next = inside->pools;
  inside->pools = made;
  hostcache_level_zero_mutex_unlock(&inside->lock);
  return ZE_RESULT_SUCCESS;
}

/* Makes an event in a pool that has room. ZE_RESULT_NOT_READY: none has. The lock is held across
   zeEventCreate, which no two threads may call on one pool. */
static ze_result_t hostcache_level_zero_take(hostcache_level_zero *l0, int counter,
                                             hostcache_level_zero_event *event) {
  hostcache_level_zero_pool *pool;
  ze_result_t result = ZE_RESULT_NOT_READY;
  hostcache_level_zero_mutex_lock(&l0->inside->lock);
  pool = l0->inside->pools;
  while (pool && (pool->counter != counter || pool->used == UINT64_MAX)) pool = pool->next;
  if (pool) {
    ze_event_desc_t desc;
    memset(&desc, 0, sizeof desc);
    desc.stype = ZE_STRUCTURE_TYPE_EVENT_DESC;
    desc.signal = ZE_EVENT_SCOPE_FLAG_HOST;
    desc.wait = ZE_EVENT_SCOPE_FLAG_HOST;
    while (pool->used >> desc.index & 1) desc.index++;
    result = zeEventCreate(pool->pool, &desc, &event->event);
    if (result == ZE_RESULT_SUCCESS) {
      pool->used |= UINT64_C(1) << desc.index;
      event->pool = pool;
      event->index = desc.index;
    }
  }
  hostcache_level_zero_mutex_unlock(&l0->inside->lock);
  return result;
}

ze_result_t hostcache_level_zero_event_create(hostcache_level_zero *l0, int counter,
                                              hostcache_level_zero_event *event) {
  const hostcache_level_zero_kept kept = hostcache_level_zero_keep();
  ze_result_t result;
  memset((void *)event, 0, sizeof *event);
  if (!l0 || !l0->inside) return ZE_RESULT_ERROR_UNINITIALIZED;
  /* Again and again: another thread may be quicker to take what was made. */
  while ((result = hostcache_level_zero_take(l0, counter, event)) == ZE_RESULT_NOT_READY) {
    result = hostcache_level_zero_grow(l0, counter);
    if (result != ZE_RESULT_SUCCESS) break;
  }
  return hostcache_level_zero_leave(kept, result);
}

/* Keeps an event until close, as it could not be destroyed or (`awaited`) must not be. */
static void hostcache_level_zero_park(hostcache_level_zero *l0,
                                      const hostcache_level_zero_event *event, int awaited) {
  if (!event->pool) return; /* the program's own: on_error has said so */
  hostcache_level_zero_mutex_lock(&l0->inside->lock);
  event->pool->lost |= UINT64_C(1) << event->index;
  if (awaited) event->pool->awaited |= UINT64_C(1) << event->index;
  event->pool->parked[event->index] = *event;
  hostcache_level_zero_mutex_unlock(&l0->inside->lock);
}

ze_result_t hostcache_level_zero_event_destroy(hostcache_level_zero *l0,
                                               hostcache_level_zero_event *event) {
  const hostcache_level_zero_kept kept = hostcache_level_zero_keep();
  ze_result_t result = hostcache_level_zero_end(event);
  if (result != ZE_RESULT_SUCCESS) {
    hostcache_level_zero_park(l0, event, 0);
  } else if (event->pool) {
    hostcache_level_zero_mutex_lock(&l0->inside->lock);
    event->pool->used &= ~(UINT64_C(1) << event->index);
    hostcache_level_zero_mutex_unlock(&l0->inside->lock);
  }
  memset((void *)event, 0, sizeof *event); /* the pack has it now, or nobody */
  return hostcache_level_zero_leave(kept, result);
}

ze_result_t hostcache_level_zero_event_create_for_queue(hostcache_level_zero *l0,
                                                        hostcache_level_zero_event *event) {
  const hostcache_level_zero_kept kept = hostcache_level_zero_keep();
  ze_command_list_desc_t desc;
  ze_result_t result = hostcache_level_zero_event_create(l0, 0, event);
  if (result != ZE_RESULT_SUCCESS) return result;
  memset(&desc, 0, sizeof desc);
  desc.stype = ZE_STRUCTURE_TYPE_COMMAND_LIST_DESC;
  desc.commandQueueGroupOrdinal = l0->ordinal;
  result = zeCommandListCreate(l0->context, l0->device, &desc, &event->list);
  if (result != ZE_RESULT_SUCCESS) event->list = NULL;
  if (result == ZE_RESULT_SUCCESS)
    result = zeCommandListAppendBarrier(event->list, event->event, 0, NULL);
  if (result == ZE_RESULT_SUCCESS) result = zeCommandListClose(event->list);
  if (result != ZE_RESULT_SUCCESS) (void)hostcache_level_zero_event_destroy(l0, event);
  return hostcache_level_zero_leave(kept, result);
}

ze_result_t hostcache_level_zero_event_record(hostcache_level_zero *l0,
                                              hostcache_level_zero_event *event,
                                              ze_command_list_handle_t list, int counter) {
  const hostcache_level_zero_kept kept = hostcache_level_zero_keep();
  ze_result_t result = counter ? ZE_RESULT_SUCCESS : zeEventHostReset(event->event);
  if (result == ZE_RESULT_SUCCESS) {
    HOSTCACHE_LEVEL_ZERO_LOCK(l0, list);
    result = zeCommandListAppendBarrier(list, event->event, 0, NULL);
    HOSTCACHE_LEVEL_ZERO_UNLOCK(l0, list);
  }
  return hostcache_level_zero_leave(kept, result);
}

ze_result_t hostcache_level_zero_event_record_on_queue(hostcache_level_zero_event *event,
                                                       ze_command_queue_handle_t queue) {
  const hostcache_level_zero_kept kept = hostcache_level_zero_keep();
  ze_result_t result = zeEventHostReset(event->event);
  if (result == ZE_RESULT_SUCCESS)
    result = zeCommandQueueExecuteCommandLists(queue, 1, &event->list, NULL);
  return hostcache_level_zero_leave(kept, result);
}

ze_result_t hostcache_level_zero_event_query(hostcache_level_zero_event *event) {
  const hostcache_level_zero_kept kept = hostcache_level_zero_keep();
  return hostcache_level_zero_leave(kept, zeEventQueryStatus(event->event));
}

ze_result_t hostcache_level_zero_event_wait(hostcache_level_zero_event *event) {
  const hostcache_level_zero_kept kept = hostcache_level_zero_keep();
  return hostcache_level_zero_leave(kept, zeEventHostSynchronize(event->event, UINT64_MAX));
}

/* Debian's header cannot wait for a list, so an event of its own is waited for. */
ze_result_t hostcache_level_zero_list_wait(hostcache_level_zero *l0, ze_command_list_handle_t list,
                                           int counter) {
  hostcache_level_zero_event event;
  ze_result_t result = hostcache_level_zero_event_create(l0, counter, &event);
  if (result != ZE_RESULT_SUCCESS) return result;
  result = hostcache_level_zero_event_record(l0, &event, list, counter);
  if (result == ZE_RESULT_SUCCESS) {
    result = hostcache_level_zero_event_wait(&event);
    if (result != ZE_RESULT_SUCCESS) { /* it may still be signalled, so it must not be destroyed */
      hostcache_level_zero_park(l0, &event, 1);
      return result;
    }
  }
  return hostcache_level_zero_first(result, hostcache_level_zero_event_destroy(l0, &event));
}

ze_result_t hostcache_level_zero_queue_wait(ze_command_queue_handle_t queue) {
  const hostcache_level_zero_kept kept = hostcache_level_zero_keep();
  return hostcache_level_zero_leave(kept, zeCommandQueueSynchronize(queue, UINT64_MAX));
}

hostcache_level_zero_event hostcache_level_zero_event_of(ze_event_handle_t event) {
  hostcache_level_zero_event wrapped;
  memset((void *)&wrapped, 0, sizeof wrapped);
  wrapped.event = event;
  return wrapped;
}

/* ---- results --------------------------------------------------------------------------------- */

const char *hostcache_level_zero_result_string(ze_result_t result) {
#define HOSTCACHE_LEVEL_ZERO_NAME(name, text) \
  case name: return #name ": " text
  switch ((int64_t)result) {
    HOSTCACHE_LEVEL_ZERO_NAME(ZE_RESULT_SUCCESS, "done");
    HOSTCACHE_LEVEL_ZERO_NAME(ZE_RESULT_NOT_READY, "not complete yet");
    HOSTCACHE_LEVEL_ZERO_NAME(ZE_RESULT_ERROR_DEVICE_LOST,
                              "the device hung, was reset or removed, or its driver was updated");
    HOSTCACHE_LEVEL_ZERO_NAME(ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY, "no host memory is left");
    HOSTCACHE_LEVEL_ZERO_NAME(ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY, "no device memory is left");
    HOSTCACHE_LEVEL_ZERO_NAME(ZE_RESULT_ERROR_UNINITIALIZED,
                              "no driver with a device was found (is one installed?), or open and "
                              "attach were not called");
    HOSTCACHE_LEVEL_ZERO_NAME(ZE_RESULT_ERROR_UNSUPPORTED_SIZE,
                              "more than one allocation may have (maxMemAllocSize), and more than "
                              "the driver gives with " ZE_RELAXED_ALLOCATION_LIMITS_EXP_NAME
                              ", if it has that");
    HOSTCACHE_LEVEL_ZERO_NAME(ZE_RESULT_ERROR_UNSUPPORTED_ALIGNMENT,
                              "the driver does not align so far; choose a smaller alignment");
    HOSTCACHE_LEVEL_ZERO_NAME(ZE_RESULT_ERROR_UNSUPPORTED_FEATURE,
                              "the driver cannot do that (counter-based events, say)");
    HOSTCACHE_LEVEL_ZERO_NAME(ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT,
                              "the event's pool is not visible to the host or to the device");
    HOSTCACHE_LEVEL_ZERO_NAME(ZE_RESULT_ERROR_INVALID_SIZE, "the size is zero or too large");
    HOSTCACHE_LEVEL_ZERO_NAME(ZE_RESULT_ERROR_INVALID_ARGUMENT,
                              "an argument is wrong; of open: there are fewer drivers than that");
    HOSTCACHE_LEVEL_ZERO_NAME(ZE_RESULT_ERROR_INVALID_NULL_HANDLE, "a handle is NULL");
    HOSTCACHE_LEVEL_ZERO_NAME(ZE_RESULT_ERROR_INVALID_NULL_POINTER, "a pointer is NULL");
    HOSTCACHE_LEVEL_ZERO_NAME(ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE,
                              "something is still in use; of close: a cache still has memory or "
                              "events");
    HOSTCACHE_LEVEL_ZERO_NAME(ZE_RESULT_ERROR_INVALID_COMMAND_LIST_TYPE,
                              "the queue is not of the group that `ordinal` says");
    HOSTCACHE_LEVEL_ZERO_NAME(ZE_RESULT_ERROR_INSUFFICIENT_PERMISSIONS,
                              "this user may not use the device (on Linux: the group `render`)");
    HOSTCACHE_LEVEL_ZERO_NAME(ZE_RESULT_ERROR_DEPENDENCY_UNAVAILABLE,
                              "something that the driver needs is not installed");
    HOSTCACHE_LEVEL_ZERO_NAME(ZE_RESULT_ERROR_UNKNOWN, "the driver does not say what went wrong");
    default: return "a ze_result_t: its number is in level_zero/ze_api.h";
  }
#undef HOSTCACHE_LEVEL_ZERO_NAME
}

#ifdef __cplusplus
}
#endif

#undef HOSTCACHE_LEVEL_ZERO_LOCKS
#undef HOSTCACHE_LEVEL_ZERO_POOL_EVENTS

#endif /* HOSTCACHE_LEVEL_ZERO_IMPLEMENTATION */

/* MIT License. See the end of hostcache.h, or LICENSE. */
