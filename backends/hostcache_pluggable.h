/* hostcache_pluggable.h - a device allocator whose functions are pointers, set at run time.

   For programs that let their users bring an allocator along: a library of pooled memory, a tracer,
   a runtime that is loaded by name. It follows torch::cuda::CUDAPluggableAllocator of PyTorch: each
   allocation is one call of the user's alloc, with exactly its size, device and stream, and each
   delete one of the user's free, with the same again; nothing is cached, and the bookkeeping is
   done here. What the original refuses works too: figures, cap, snapshot, history, observers,
   trackers, checkpoints, memory that other processes open, peer access, asynchronous copies.

   QUICK START

     #define HOSTCACHE_PLUGGABLE_IMPLEMENTATION  // in one file of the program
     #include "hostcache_pluggable.h"            // the parameters of the cache behind it
     #include "hostcache.h"                      // which this makes
     #include "hostcache_pluggable.h"            // the allocator around it

     void *my_alloc(size_t size, int device, void *stream);
     void my_free(void *ptr, size_t size, int device, void *stream);

     hostcache_pluggable *allocator;
     void *ptr;
     hostcache_pluggable_create_custom(&allocator, my_alloc, my_free);
     hostcache_pluggable_change_current(allocator);

     hostcache_pluggable_malloc(allocator, 1000, 0, stream, &ptr);
     hostcache_pluggable_raw_delete(allocator, ptr);
     hostcache_pluggable_destroy(allocator);

   Other files write the same three lines, without the definition before them.

   FUNCTIONS

   A stream is a pointer, which is passed on and compared, and never followed; a device is a number
   from 0. Of the functions in hostcache_pluggable_functions only alloc and free are needed. Each
   gets `user` first; alloc_fn and free_fn of create_custom do not, and are those that PyTorch loads
   from a library by name. They may be called by any number of threads at once, hold no lock of this
   file, and may call the allocator (but not destroy it). They must not throw.

     alloc, free                     memory
     init, reset                     told of init and of empty_cache
     memory_fraction                 told of the fraction
     base_alloc                      what an allocation is a part of
     record_stream                   told that a stream uses memory
     begin_allocate_to_pool, end_allocate_to_pool, release_pool
                                     told of private pools
     current_device, current_stream  for raw_alloc, which says neither; 0 and NULL without them
     memory_info                     how much memory there is; without it no cap by a fraction
     share, open, close              memory that other processes open (IPC handles)
     enable_peer_access, copy_async, copy_data
                                     passed on; copy_data is memcpy without its function

   GUARANTEES

   - The pointers that alloc gives are handed out as they are, whatever their alignment. NULL is out
     of memory, and is not asked again; size 0 is NULL without a call.
   - What an allocator did not hand out, or was deleted before, is told by a code, and untouched.
   - A delete reaches free before it returns. Private pools alone keep what is deleted, until they
     are released, as a graph that was captured writes to it again at each replay. It serves the
     same pool, size and stream again, but not if record_stream named another stream for it.
   - Functions may be set at any time; a call that runs has those of its beginning.
   - Every function may be called from any thread, but for destroy and abandon, which must be the
     last. Threads that call in must not be cancelled there, but in malloc and raw_delete. A child
     after fork gets HOSTCACHE_ERR_FORKED from every allocator of its parent, and may make its own.

   The current allocator is one variable of the program, as the registry of hostcache.h is: where
   two shared objects both emit this file, the dynamic linker decides. If its functions are visible
   to it the first object serves both; if they are hidden (HOSTCACHE_PLUGGABLE_API), or with
   RTLD_LOCAL, or on Windows, each has its own.

   C11 or C++11. */

#ifndef HOSTCACHE_PLUGGABLE_BETWEEN

/* ==== 1. PARAMETERS (the first inclusion of the two) ========================================== */

#define HOSTCACHE_PLUGGABLE_BETWEEN

#if defined HC_NAME || defined HC_CTX_T || defined HC_STREAM_T || defined HC_SEGMENT_T || \
    defined HC_NO_STREAMS || defined HC_MEM_ALLOC || defined HC_MEM_FREE
#error "hostcache_pluggable.h: a name, type or hook is defined already; it brings its own"
/* So that this sentence is all that the user hears. */
#undef HC_NAME
#undef HC_CTX_T
#undef HC_STREAM_T
#undef HC_SEGMENT_T
#undef HC_NO_STREAMS
#undef HC_MEM_ALLOC
#undef HC_MEM_FREE
#endif

#ifndef HOSTCACHE_PLUGGABLE_SEGMENT
#define HOSTCACHE_PLUGGABLE_SEGMENT

#include <stddef.h>
#include <stdint.h>

struct hostcache_pluggable_device;

/* What is known of an allocation beside its address and size. */
struct hostcache_pluggable_segment {
  void *stream;     /* of its alloc, and of its free */
  size_t pooled;    /* 1: it was got for a private pool */
  size_t elsewhere; /* 1: another stream uses it as well. Relaxed: set by who owns it, or was told
                       of it by who does, and read when it is ready again */
};

#endif

#define HC_NAME hostcache_plugged
#define HC_CTX_T struct hostcache_pluggable_device *
#define HC_SEGMENT_T struct hostcache_pluggable_segment
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#define HC_POOLS
#define HC_TRACE
#define HC_DEVICE_ALLOCATOR

#if defined HOSTCACHE_PLUGGABLE_IMPLEMENTATION && !defined HOSTCACHE_PLUGGABLE_IMPLEMENTED

#ifdef __cplusplus
extern "C" {
#endif

/* The hooks. 0 is done, else a code. */
static int64_t hostcache_pluggable_i_mem_alloc(struct hostcache_pluggable_device *device,
                                               size_t size, void **ptr,
                                               struct hostcache_pluggable_segment *segment);
static int64_t hostcache_pluggable_i_mem_free(struct hostcache_pluggable_device *device, void *ptr,
                                              size_t size,
                                              const struct hostcache_pluggable_segment *segment);
static int64_t hostcache_pluggable_i_mem_info(struct hostcache_pluggable_device *device,
                                              size_t *free_bytes, size_t *total_bytes);
static int hostcache_pluggable_i_fits(const struct hostcache_pluggable_segment *segment);

#ifdef __cplusplus
}
#endif

#define HC_STATIC
#define HC_MEM_ALLOC(ctx, size, align, ptr_out, segment_ptr) \
  ((void)(align), hostcache_map_memory(                      \
                      hostcache_pluggable_i_mem_alloc(ctx, size, ptr_out, segment_ptr), 0, 1, 1))
#define HC_MEM_FREE(ctx, ptr, size, segment_ptr) \
  hostcache_map(hostcache_pluggable_i_mem_free(ctx, ptr, size, segment_ptr), 0, 0)
#define HC_MEM_INFO(ctx, free_ptr, total_ptr) \
  hostcache_map(hostcache_pluggable_i_mem_info(ctx, free_ptr, total_ptr), 0, 0)
#define HC_SEGMENT_FITS(segment_ptr) hostcache_pluggable_i_fits(segment_ptr)

#else
#define HC_DECLARE
#endif

#else

/* ==== 2. DECLARATIONS (the second inclusion) ================================================== */

#undef HOSTCACHE_PLUGGABLE_BETWEEN

#ifdef HC_NAME
#error "hostcache_pluggable.h: include hostcache.h between its two inclusions"
#endif

#ifndef HOSTCACHE_PLUGGABLE_H
#define HOSTCACHE_PLUGGABLE_H

#ifndef HOSTCACHE_PLUGGABLE_API /* decorates the prototypes, to export them or to hide them */
#define HOSTCACHE_PLUGGABLE_API
#endif

#define HOSTCACHE_PLUGGABLE_DEVICES 128     /* at most; numbers are below it */
#define HOSTCACHE_PLUGGABLE_HANDLE_BYTES 64 /* of what `share` writes, and another process reads */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hostcache_pluggable hostcache_pluggable; /* an allocator: opaque */
typedef struct hostcache_pluggable_checkpoint hostcache_pluggable_checkpoint; /* opaque */

/* The functions, with `user` first. All zero but for alloc and free is fine. Those that give a
   hostcache_status fail as hooks do: HOSTCACHE_ERR_HOOK, and on_error hears the code. Source: the
   set_..._fn of CUDAPluggableAllocator, and its constructor. */
typedef struct hostcache_pluggable_functions {
  void *user;
  void *(*alloc)(void *user, size_t size, int device, void *stream); /* NULL: out of memory */
  hostcache_status (*free)(void *user, void *ptr, size_t size, int device, void *stream);
  hostcache_status (*init)(void *user, int device_count);
  hostcache_status (*reset)(void *user);
  hostcache_status (*memory_fraction)(void *user, double fraction, int device);
  void *(*base_alloc)(void *user, void *ptr, size_t *size); /* NULL: it is not known */
  hostcache_status (*record_stream)(void *user, void *ptr, void *stream);
  /* The filter as it was given; it takes a pointer to a stream, a void *const *. */
  hostcache_status (*begin_allocate_to_pool)(void *user, int device, hostcache_pool_id pool,
                                             hostcache_stream_filter filter, void *filter_user);
  hostcache_status (*end_allocate_to_pool)(void *user, int device, hostcache_pool_id pool);
  hostcache_status (*release_pool)(void *user, int device, hostcache_pool_id pool);
  int (*current_device)(void *user);
  void *(*current_stream)(void *user, int device);
  hostcache_status (*memory_info)(void *user, int device, size_t *free_bytes, size_t *total_bytes);
  /* From the first byte of what was allocated to HOSTCACHE_PLUGGABLE_HANDLE_BYTES, which are zero
     before; from these, in another process, to its first byte there; and the end of that. */
  hostcache_status (*share)(void *user, void *base, size_t size, int device, void *handle_bytes);
  hostcache_status (*open)(void *user, const void *handle_bytes, int device, void **base);
  hostcache_status (*close)(void *user, void *base, int device);
  hostcache_status (*enable_peer_access)(void *user, int device, int peer);
  hostcache_status (*copy_async)(void *user, void *to, int to_device, const void *from,
                                 int from_device, size_t count, void *stream, int peer_to_peer);
  hostcache_status (*copy_data)(void *user, void *to, const void *from, size_t count);
} hostcache_pluggable_functions;

typedef void *(*hostcache_pluggable_alloc_fn)(size_t size, int device, void *stream);
typedef void (*hostcache_pluggable_free_fn)(void *ptr, size_t size, int device, void *stream);
typedef void (*hostcache_pluggable_deleter)(void *ptr);

/* Source: c10::DataPtr. */
typedef struct hostcache_pluggable_data {
  void *ptr;
  hostcache_pluggable_deleter deleter; /* takes ptr */
  int device;
} hostcache_pluggable_data;

/* The bookkeeping of an allocation. */
typedef struct hostcache_pluggable_info {
  void *base;  /* what alloc gave */
  size_t size; /* what it was asked for */
  int device;
  void *stream;
} hostcache_pluggable_info;

/* Stands for memory in another process: plain bytes, without padding, to be sent as they are.
   Source: ShareableHandle. */
typedef struct hostcache_pluggable_handle {
  uint64_t offset; /* of the pointer that was shared in what the bytes stand for */
  uint64_t size;   /* of that */
  int64_t device;
  unsigned char bytes[HOSTCACHE_PLUGGABLE_HANDLE_BYTES];
} hostcache_pluggable_handle;

/* What holds of all that follow: a NULL allocator, and a device that is negative, too high, or not
   among those that init told of, are HOSTCACHE_ERR_ARGUMENT, a child after fork FORKED; out
   pointers are NULL or 0 after an error. What takes a device makes what is needed for it at its
   first use: NO_METADATA if there is no memory for that. UNSUPPORTED: the function that this needs
   is not set. HOOK: it failed. */

/* ---- an allocator ---------------------------------------------------------------------------- */

/* Makes an allocator of these functions, which are copied. `config` may be NULL: on_error hears
   what fails; alignment, 1 by default, is what sizes are rounded up to; max_reserved_bytes and
   max_segment_bytes bound each device. What it says of caching is not followed. The caller ends
   *allocator with destroy or abandon. ARGUMENT: no alloc or no free; the config contradicts itself.
   NO_METADATA. */
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_create(
    hostcache_pluggable **allocator, const hostcache_pluggable_functions *functions,
    const hostcache_config *config);

/* Makes one of two functions without `user`, as PyTorch loads them by name. Others may be set
   later; set_functions leaves these two as they are where it is given neither. Source:
   createCustomAllocator. */
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_create_custom(
    hostcache_pluggable **allocator, hostcache_pluggable_alloc_fn alloc_fn,
    hostcache_pluggable_free_fn free_fn);

/* Makes one with the functions and the config of another, and nothing else of it: its memory stays
   its own, and so do its fractions, pools, history, observers. Source: the copy constructor. */
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_copy(hostcache_pluggable **allocator,
                                                                  hostcache_pluggable *other);

/* Ends an allocator, and frees what its pools keep. It is not the current one any more. BUSY:
   memory of it is handed out, or what it opened is not closed; it goes on. LEAKED: ended, but free
   failed of some memory. NULL is an ARGUMENT. */
HOSTCACHE_PLUGGABLE_API hostcache_result
hostcache_pluggable_destroy(hostcache_pluggable *allocator);

/* The runtime is gone: ends the bookkeeping, and calls no function. NULL is fine; in a child after
   fork it does nothing. */
HOSTCACHE_PLUGGABLE_API void hostcache_pluggable_abandon(hostcache_pluggable *allocator);

/* The functions as they are now; and others from now on. ARGUMENT: one of alloc and free without
   the other; neither, unless it was made by create_custom. */
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_get_functions(
    hostcache_pluggable *allocator, hostcache_pluggable_functions *functions);
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_set_functions(
    hostcache_pluggable *allocator, const hostcache_pluggable_functions *functions);

/* Says how many devices there are, and tells the function init. Again with as many or fewer it does
   nothing; with more it tells of these. Not needed: without it every number is a device. BUSY:
   another thread, or who called this one, is in it. Source: init. */
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_init(hostcache_pluggable *allocator,
                                                                  int device_count);

/* 1: init was called, or memory was allocated; 0: neither, or not in this process. */
HOSTCACHE_PLUGGABLE_API int hostcache_pluggable_initialized(hostcache_pluggable *allocator);

/* Whether pools keep memory, as nothing else is ever cached: while it is not enabled, what is
   allocated is of no pool, and freed when it is deleted. The functions are told of pools all the
   same. It is enabled at first. Source: enable and isEnabled, which there are nothing and true. */
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_enable(hostcache_pluggable *allocator,
                                                                    int value);
HOSTCACHE_PLUGGABLE_API int hostcache_pluggable_is_enabled(hostcache_pluggable *allocator);

/* "pluggable". Source: name. */
HOSTCACHE_PLUGGABLE_API const char *hostcache_pluggable_name(const hostcache_pluggable *allocator);

/* The current allocator, or NULL; that of a parent is none in a child after fork. Source:
   getCurrentAllocator. */
HOSTCACHE_PLUGGABLE_API hostcache_pluggable *hostcache_pluggable_get_current(void);

/* Makes another one the current one, or none: NULL. It stays the caller's. BUSY: the current one
   has allocated, as its pointers are about by then; only its own end makes room. (What it allocates
   at this moment may come too late to count.) Source: changeCurrentAllocator. */
HOSTCACHE_PLUGGABLE_API hostcache_result
hostcache_pluggable_change_current(hostcache_pluggable *allocator);

/* ---- memory ---------------------------------------------------------------------------------- */

/* Allocates by one call of alloc (in a pool perhaps by none: see the top). Size 0 is NULL.
   OUT_OF_MEMORY: it gave none; LIMIT: the cap would be passed, and it was not called; observers
   hear of both. CORRUPT: it gave memory that is handed out already. TOO_BIG; NO_METADATA. Source:
   malloc. */
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_malloc(hostcache_pluggable *allocator,
                                                                    size_t size, int device,
                                                                    void *stream, void **ptr);

/* The same on the current device, and its current stream. */
HOSTCACHE_PLUGGABLE_API hostcache_result
hostcache_pluggable_raw_alloc(hostcache_pluggable *allocator, size_t size, void **ptr);
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_raw_alloc_with_stream(
    hostcache_pluggable *allocator, size_t size, void *stream, void **ptr);
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_allocate(
    hostcache_pluggable *allocator, size_t size, hostcache_pluggable_data *data);

/* Ends an allocation, by its first byte: one call of free, unless a pool keeps it. NULL is fine.
   NOT_FOUND: it is not this allocator's, or not any more; DOUBLE_FREE: a pool keeps it (after a
   restore NOT_FOUND, perhaps). */
HOSTCACHE_PLUGGABLE_API hostcache_result
hostcache_pluggable_raw_delete(hostcache_pluggable *allocator, void *ptr);

/* A function that deletes what any allocator in this process handed out, by the data pointer alone.
   What is of none, on_error of the current one hears of. NULL of NULL. */
HOSTCACHE_PLUGGABLE_API hostcache_pluggable_deleter
hostcache_pluggable_raw_deleter(const hostcache_pluggable *allocator);

/* What was asked for, and what was given, of a pointer into memory that is handed out.
   NOT_FOUND. */
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_get_info(
    hostcache_pluggable *allocator, const void *ptr, hostcache_pluggable_info *info);

/* What this memory is a part of, by base_alloc, or else by the bookkeeping: its allocation. `size`
   may be NULL. NOT_FOUND. Source: getBaseAllocation. */
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_get_base_allocation(
    hostcache_pluggable *allocator, void *ptr, void **base, size_t *size);

/* A stream uses this memory, a pointer into which it is: free must not give it to others before the
   stream is through, for which record_stream is told. Without that function UNSUPPORTED, as nobody
   would wait, but for the stream that it was allocated on, where there is nothing to do. NOT_FOUND:
   it is not handed out; nobody is told. Source: recordStream. */
HOSTCACHE_PLUGGABLE_API hostcache_result
hostcache_pluggable_record_stream(hostcache_pluggable *allocator, void *ptr, void *stream);

/* Frees what a pool keeps, {0, 0}: what none does, which is nothing, and then tells reset.
   NOT_FOUND: there is no such pool on any device. LEAKED: free failed. Source: emptyCache. */
HOSTCACHE_PLUGGABLE_API hostcache_result
hostcache_pluggable_empty_cache(hostcache_pluggable *allocator, hostcache_pool_id pool);

/* By copy_data, or memcpy. */
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_copy_data(
    hostcache_pluggable *allocator, void *to, const void *from, size_t count);

/* By copy_async; UNSUPPORTED without it. Source: memcpyAsync. */
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_copy_async(
    hostcache_pluggable *allocator, void *to, int to_device, const void *from, int from_device,
    size_t count, void *stream, int peer_to_peer);

/* By its function; UNSUPPORTED without it. ARGUMENT: they are the same device. Source:
   enablePeerAccess. */
HOSTCACHE_PLUGGABLE_API hostcache_result
hostcache_pluggable_enable_peer_access(hostcache_pluggable *allocator, int device, int peer);

/* ---- the cap --------------------------------------------------------------------------------- */

/* Bounds what is held on a device to this part, from 0 to 1, of the total that memory_info says,
   and tells memory_fraction. Where only the latter is there, the bound is its business.
   UNSUPPORTED: neither is. After an error the fraction is as before. Source: setMemoryFraction,
   getMemoryFraction. */
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_set_memory_fraction(
    hostcache_pluggable *allocator, double fraction, int device);
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_get_memory_fraction(
    hostcache_pluggable *allocator, int device, double *fraction);
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_get_memory_info(
    hostcache_pluggable *allocator, int device, size_t *free_bytes, size_t *total_bytes);

/* ---- figures and traces ---------------------------------------------------------------------- */

/* As the functions of a cache that these are named after (hostcache.h, section 4), for one device.
   Of a want of memory the figures count that alloc was asked and, as a cache does, asked again;
   the second time the answer is known and it is not called. The largest that is cached, and the
   expandable segments, are 0 and none, as nothing outside of pools is cached. */
HOSTCACHE_PLUGGABLE_API hostcache_result
hostcache_pluggable_cache_info(hostcache_pluggable *allocator, int device, size_t *largest);
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_get_expandable_segment_sizes(
    hostcache_pluggable *allocator, int device, size_t *sizes, size_t room, size_t *count);
HOSTCACHE_PLUGGABLE_API hostcache_result
hostcache_pluggable_get_stats(hostcache_pluggable *allocator, int device, hostcache_stats *stats);
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_get_device_stats(
    hostcache_pluggable *allocator, int device, hostcache_device_stats *stats);
HOSTCACHE_PLUGGABLE_API hostcache_result
hostcache_pluggable_reset_accumulated_stats(hostcache_pluggable *allocator, int device);
HOSTCACHE_PLUGGABLE_API hostcache_result
hostcache_pluggable_reset_peak_stats(hostcache_pluggable *allocator, int device);
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_snapshot(
    hostcache_pluggable *allocator, int device, hostcache_range_fn visit, void *user);
HOSTCACHE_PLUGGABLE_API hostcache_result
hostcache_pluggable_record_history(hostcache_pluggable *allocator, int device, size_t max_entries,
                                   hostcache_context_fn context, void *user);
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_history(hostcache_pluggable *allocator,
                                                                     int device,
                                                                     hostcache_trace_fn show,
                                                                     void *user);
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_attach_trace_tracker(
    hostcache_pluggable *allocator, int device, hostcache_trace_fn tracker, void *user);
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_attach_oom_observer(
    hostcache_pluggable *allocator, int device, hostcache_oom_fn observer, void *user);

/* Every invariant of the bookkeeping, of all devices. */
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_check(hostcache_pluggable *allocator);

/* ---- pools ----------------------------------------------------------------------------------- */

/* As those of a cache, and each then tells its function. The filter (NULL: all) is asked for each
   allocation, by a pointer to its stream; it must not call the allocator. Where the function
   fails, a pool is as before begin, but closed or released after the others. */
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_begin_allocate_to_pool(
    hostcache_pluggable *allocator, int device, hostcache_pool_id pool,
    hostcache_stream_filter filter, void *user);
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_end_allocate_to_pool(
    hostcache_pluggable *allocator, int device, hostcache_pool_id pool);
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_release_pool(
    hostcache_pluggable *allocator, int device, hostcache_pool_id pool);

/* As checkpoint_pool, restore_pool and checkpoint_free of a cache; the `block` of a delta is
   of no use here. Source: getCheckpointState, setCheckpointPoolState. */
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_checkpoint_pool(
    hostcache_pluggable *allocator, int device, hostcache_pool_id pool,
    hostcache_pluggable_checkpoint **checkpoint);
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_restore_pool(
    hostcache_pluggable *allocator, int device, const hostcache_pluggable_checkpoint *checkpoint,
    hostcache_delta_fn delta, void *user);
HOSTCACHE_PLUGGABLE_API void hostcache_pluggable_checkpoint_free(
    hostcache_pluggable_checkpoint *checkpoint);

/* ---- memory of other processes --------------------------------------------------------------- */

/* Makes a handle of a pointer into memory that is handed out, by share, for another process. It is
   good for as long as the memory is. NOT_FOUND. Source: shareIpcHandle. */
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_share_handle(
    hostcache_pluggable *allocator, void *ptr, hostcache_pluggable_handle *handle);

/* What a handle of another process stands for, by open, which is called once for as many pointers
   into the same memory as are open at once (by two threads that come first, by each of them).
   ARGUMENT: it is no such handle. Source: getIpcDevPtr. */
HOSTCACHE_PLUGGABLE_API hostcache_result hostcache_pluggable_open_handle(
    hostcache_pluggable *allocator, const hostcache_pluggable_handle *handle, void **ptr);

/* Ends one pointer that open_handle gave; the last one of its memory calls close. NOT_FOUND. */
HOSTCACHE_PLUGGABLE_API hostcache_result
hostcache_pluggable_close_handle(hostcache_pluggable *allocator, void *ptr);

#ifdef __cplusplus
}
#endif

#endif /* HOSTCACHE_PLUGGABLE_H */

/* ==== 3. THE CODE (in one file) =============================================================== */

#if defined HOSTCACHE_PLUGGABLE_IMPLEMENTATION && !defined HOSTCACHE_PLUGGABLE_IMPLEMENTED
#define HOSTCACHE_PLUGGABLE_IMPLEMENTED

/* Locks, atomics, thread-locals and malloc are those of hostcache.h (its section 5), which has
   emitted a cache in this file. No function of the user, and none of the cache that may call one,
   is called with a lock held. */

#ifdef __cplusplus
extern "C" {
#endif

/* ---- types ----------------------------------------------------------------------------------- */

/* The functions, and the two without `user` where alloc and free are NULL. */
typedef struct hostcache_pluggable_table {
  hostcache_pluggable_functions with;
  hostcache_pluggable_alloc_fn alloc_fn;
  hostcache_pluggable_free_fn free_fn;
} hostcache_pluggable_table;

/* A device that was used: what the cache's hooks get. */
typedef struct hostcache_pluggable_device {
  hostcache_pluggable *allocator; /* constant, as is what follows */
  hostcache_plugged *cache;       /* one block a segment, nothing idle but in pools */
  int index;
  double fraction; /* LOCK: the allocator's. Of the cap, as it was set; 1 */
} hostcache_pluggable_device;

/* A pool that is open: what its filter gets. */
typedef struct hostcache_pluggable_opening {
  struct hostcache_pluggable_opening *next; /* LOCK: the allocator's */
  hostcache_pluggable_device *device;       /* constant, as is what follows */
  hostcache_pool_id pool;
  hostcache_stream_filter filter;
  void *user;
} hostcache_pluggable_opening;

/* Memory of another process that is open. */
typedef struct hostcache_pluggable_import {
  struct hostcache_pluggable_import *next; /* LOCK: the allocator's, as is `pointers` */
  size_t pointers;                         /* that were given and not closed */
  hostcache_pluggable_handle handle;       /* constant, as is what follows; the first one's */
  void *base;
} hostcache_pluggable_import;

struct hostcache_pluggable {
  unsigned process;                           /* constant, as is the config */
  hostcache_config config;                    /* of each device's cache */
  hostcache_pluggable *next;                  /* LOCK: hostcache_owners_lock */
  size_t enabled;                             /* relaxed, as is `allocated`: they order nothing */
  size_t allocated;                           /* 1: memory was handed out, ever */
  void *devices[HOSTCACHE_PLUGGABLE_DEVICES]; /* hostcache_pluggable_device *, or NULL. Stored with
                                                 release, under lock; read with acquire */
  size_t devices_end; /* above the highest that was used. As they are, and after them */

  hostcache_mutex lock;            /* held for a few steps, with no other lock */
  hostcache_pluggable_table table; /* LOCK: lock, as all that follows */
  int device_count;                /* that init told of; 0: it was not called */
  int initializing;                /* 1: a thread is in init */
  hostcache_pluggable_opening *openings;
  hostcache_pluggable_import *imports;
};

/* What this thread asks the cache for, which the hooks cannot be told in another way. Those that
   alloc asks for in turn, when it calls the allocator, stand before it. */
typedef struct hostcache_pluggable_request {
  hostcache_pluggable_device *device;
  void *stream;
  int pooled;  /* 1: a pool wants it */
  int refused; /* 1: alloc gave nothing */
} hostcache_pluggable_request;

HOSTCACHE_THREAD_LOCAL hostcache_pluggable_request *hostcache_pluggable_i_asked;

/* All allocators, for who has a pointer alone. LOCK: hostcache_owners_lock, as the next line */
static hostcache_pluggable *hostcache_pluggable_i_all;
static unsigned hostcache_pluggable_i_all_from; /* the process that made them */

/* The current one, a hostcache_pluggable *. Replaced with release, read with acquire. */
static void *hostcache_pluggable_i_current;

/* ---- what everything begins with ------------------------------------------------------------- */

static hostcache_result hostcache_pluggable_i_enter(const hostcache_pluggable *self) {
  if (!self) return HOSTCACHE_ERR_ARGUMENT;
  return self->process == hostcache_process() ? HOSTCACHE_OK : HOSTCACHE_ERR_FORKED;
}

/* The functions as they are now. */
static hostcache_pluggable_table hostcache_pluggable_i_table(hostcache_pluggable *self) {
  hostcache_pluggable_table table;
  hostcache_lock(&self->lock);
  table = self->table;
  hostcache_unlock(&self->lock);
  return table;
}

static hostcache_result hostcache_pluggable_i_tell(const hostcache_pluggable *self,
                                                   hostcache_result result, int64_t code,
                                                   const char *what, const void *ptr) {
  if (self->config.on_error) {
    self->config.on_error(self->config.on_error_user, result, code, what, ptr);
  }
  return result;
}

/* What the status of a function comes to. */
static hostcache_result hostcache_pluggable_i_result(const hostcache_pluggable *self,
                                                     hostcache_status status, const char *what,
                                                     const void *ptr) {
  if (status.outcome == HOSTCACHE_DONE) return HOSTCACHE_OK;
  return hostcache_pluggable_i_tell(self, HOSTCACHE_ERR_HOOK, status.code, what, ptr);
}

static void *hostcache_pluggable_i_new(const hostcache_pluggable *self, size_t size) {
  void *made = HOSTCACHE_MALLOC(size);
  if (made) {
    memset(made, 0, size);
  } else {
    (void)hostcache_pluggable_i_tell(self, HOSTCACHE_ERR_NO_METADATA, 0,
                                     "HOSTCACHE_MALLOC had no memory for the bookkeeping", NULL);
  }
  return made;
}

/* ---- devices --------------------------------------------------------------------------------- */

/* The i-th device, or NULL: it was never used. */
static hostcache_pluggable_device *hostcache_pluggable_i_used(const hostcache_pluggable *self,
                                                              int i) {
  return (hostcache_pluggable_device *)hostcache_ptr_load_acquire(&self->devices[i]);
}

/* What all loops over devices end before. */
static int hostcache_pluggable_i_end(const hostcache_pluggable *self) {
  return (int)hostcache_size_load_acquire(&self->devices_end);
}

/* Makes a device, if another thread does not do so meanwhile. */
static hostcache_result hostcache_pluggable_i_make_device(hostcache_pluggable *self, int index) {
  hostcache_pluggable_device *made =
      (hostcache_pluggable_device *)hostcache_pluggable_i_new(self, sizeof *made);
  hostcache_result result;
  int is_first;
  if (!made) return HOSTCACHE_ERR_NO_METADATA;
  made->allocator = self;
  made->index = index;
  made->fraction = 1;
  result = hostcache_plugged_create(&made->cache, &self->config, made);
  if (result != HOSTCACHE_OK) {
    HOSTCACHE_FREE(made);
    return result;
  }
  hostcache_lock(&self->lock);
  is_first = self->devices[index] == NULL;
  if (is_first) hostcache_ptr_store_release(&self->devices[index], made);
  if (is_first && self->devices_end <= (size_t)index) {
    hostcache_size_store_release(&self->devices_end, (size_t)index + 1);
  }
  hostcache_unlock(&self->lock);
  if (is_first) return HOSTCACHE_OK;
  (void)hostcache_plugged_destroy(made->cache);
  HOSTCACHE_FREE(made);
  return HOSTCACHE_OK;
}

/* Is there such a device? */
static int hostcache_pluggable_i_exists(hostcache_pluggable *self, int index) {
  int count;
  hostcache_lock(&self->lock);
  count = self->device_count;
  hostcache_unlock(&self->lock);
  return index >= 0 && index < (count ? count : HOSTCACHE_PLUGGABLE_DEVICES);
}

/* The device of a number, made if need be. */
static hostcache_result hostcache_pluggable_i_device(hostcache_pluggable *self, int index,
                                                     hostcache_pluggable_device **device) {
  hostcache_result result = hostcache_pluggable_i_enter(self);
  *device = NULL;
  if (result != HOSTCACHE_OK) return result;
  if (!hostcache_pluggable_i_exists(self, index)) return HOSTCACHE_ERR_ARGUMENT;
  if (!hostcache_pluggable_i_used(self, index)) {
    result = hostcache_pluggable_i_make_device(self, index);
  }
  if (result == HOSTCACHE_OK) *device = hostcache_pluggable_i_used(self, index);
  return result;
}

/* The block that a pointer points into, and its device; or NULL. */
static hostcache_plugged_block *hostcache_pluggable_i_find(const hostcache_pluggable *self,
                                                           const void *ptr,
                                                           hostcache_pluggable_device **device) {
  hostcache_plugged_block *block = NULL;
  const int end = hostcache_pluggable_i_end(self);
  int i;
  *device = NULL;
  for (i = 0; i < end && !block && ptr; i++) {
    *device = hostcache_pluggable_i_used(self, i);
    if (*device) block = hostcache_plugged_find((*device)->cache, ptr);
  }
  return block;
}

/* The same among all allocators of this process. */
static hostcache_plugged_block *hostcache_pluggable_i_find_anywhere(
    const void *ptr, hostcache_pluggable_device **device) {
  hostcache_plugged_block *block = NULL;
  const hostcache_pluggable *at = NULL;
  hostcache_lock(&hostcache_owners_lock);
  if (hostcache_pluggable_i_all_from == hostcache_process()) at = hostcache_pluggable_i_all;
  for (; at && !block; at = at->next) block = hostcache_pluggable_i_find(at, ptr, device);
  hostcache_unlock(&hostcache_owners_lock);
  return block;
}

/* ---- the hooks of the caches ----------------------------------------------------------------- */

static int64_t hostcache_pluggable_i_mem_alloc(hostcache_pluggable_device *device, size_t size,
                                               void **ptr,
                                               struct hostcache_pluggable_segment *segment) {
  hostcache_pluggable_request *request = hostcache_pluggable_i_asked;
  hostcache_pluggable_table table;
  *ptr = NULL;
  if (request->refused) return 1; /* the cache asks again, having given back what it has: nothing */
  table = hostcache_pluggable_i_table(device->allocator);
  *ptr = table.with.alloc ? table.with.alloc(table.with.user, size, device->index, request->stream)
                          : table.alloc_fn(size, device->index, request->stream);
  request->refused = *ptr == NULL;
  segment->stream = request->stream;
  segment->pooled = request->pooled != 0;
  return request->refused;
}

static int64_t hostcache_pluggable_i_mem_free(hostcache_pluggable_device *device, void *ptr,
                                              size_t size,
                                              const struct hostcache_pluggable_segment *segment) {
  const hostcache_pluggable_table table = hostcache_pluggable_i_table(device->allocator);
  hostcache_status status = hostcache_done();
  if (table.with.free) {
    status = table.with.free(table.with.user, ptr, size, device->index, segment->stream);
  } else {
    table.free_fn(ptr, size, device->index, segment->stream);
  }
  if (status.outcome == HOSTCACHE_DONE) return 0;
  return status.code ? status.code : -1;
}

static int64_t hostcache_pluggable_i_mem_info(hostcache_pluggable_device *device,
                                              size_t *free_bytes, size_t *total_bytes) {
  const hostcache_pluggable_table table = hostcache_pluggable_i_table(device->allocator);
  hostcache_status status = hostcache_failed(-1);
  if (table.with.memory_info) {
    status = table.with.memory_info(table.with.user, device->index, free_bytes, total_bytes);
  }
  if (status.outcome == HOSTCACHE_DONE) return 0;
  return status.code ? status.code : -1;
}

/* May what is ready serve what this thread asks for? What was not got for a pool is on its way back
   to the user; and of a pool's, work that was submitted to another stream may still use it. */
static int hostcache_pluggable_i_fits(const struct hostcache_pluggable_segment *segment) {
  const hostcache_pluggable_request *request = hostcache_pluggable_i_asked;
  return request && request->pooled && segment->pooled && segment->stream == request->stream &&
         !hostcache_size_load_relaxed(&segment->elsewhere);
}

/* ---- an allocator ---------------------------------------------------------------------------- */

/* Before it is in the list nobody comes to it, and after it was in the list nobody does any
   more. */
static void hostcache_pluggable_i_list_add(hostcache_pluggable *self) {
  hostcache_lock(&hostcache_owners_lock);
  if (hostcache_pluggable_i_all_from != self->process) hostcache_pluggable_i_all = NULL;
  hostcache_pluggable_i_all_from = self->process;
  self->next = hostcache_pluggable_i_all;
  hostcache_pluggable_i_all = self;
  hostcache_unlock(&hostcache_owners_lock);
}

static void hostcache_pluggable_i_list_remove(const hostcache_pluggable *self) {
  hostcache_pluggable **at = &hostcache_pluggable_i_all;
  hostcache_lock(&hostcache_owners_lock);
  while (*at != self) at = &(*at)->next;
  *at = self->next;
  hostcache_unlock(&hostcache_owners_lock);
}

/* The config of the caches: blocks of their own, and nothing kept. ARGUMENT and the rest as
   creating one says. */
static hostcache_result hostcache_pluggable_i_configure(const hostcache_config *given,
                                                        hostcache_config *config) {
  const hostcache_config defaults = HOSTCACHE_CONFIG_INIT;
  hostcache_plugged *trial;
  hostcache_result result;
  if (given && given->version != HOSTCACHE_VERSION) return HOSTCACHE_ERR_ARGUMENT;
  *config = given ? *given : defaults;
  if (config->alignment == 0) config->alignment = 1;
  config->max_cached_bytes = HOSTCACHE_NONE;
  config->thread_cache_bytes = HOSTCACHE_NONE;
  result = hostcache_plugged_create(&trial, config, NULL);
  if (result == HOSTCACHE_OK) (void)hostcache_plugged_destroy(trial);
  return result;
}

/* Are alloc and free both there, or neither, and then the two without `user`? */
static int hostcache_pluggable_i_is_whole(const hostcache_pluggable_table *table) {
  if (!table->with.alloc != !table->with.free) return 0;
  return table->with.alloc || (table->alloc_fn && table->free_fn);
}

static hostcache_result hostcache_pluggable_i_create(hostcache_pluggable **allocator,
                                                     const hostcache_pluggable_table *table,
                                                     const hostcache_config *given) {
  hostcache_config config;
  hostcache_pluggable *made;
  hostcache_result result;
  if (!hostcache_pluggable_i_is_whole(table)) return HOSTCACHE_ERR_ARGUMENT;
  result = hostcache_pluggable_i_configure(given, &config);
  if (result != HOSTCACHE_OK) return result;
  made = (hostcache_pluggable *)HOSTCACHE_MALLOC(sizeof *made);
  if (!made) return HOSTCACHE_ERR_NO_METADATA;
  memset(made, 0, sizeof *made);
  if (hostcache_mutex_init(&made->lock, 0)) {
    HOSTCACHE_FREE(made);
    return HOSTCACHE_ERR_NO_METADATA;
  }
  made->process = hostcache_process();
  made->config = config;
  made->table = *table;
  made->enabled = 1;
  hostcache_pluggable_i_list_add(made);
  *allocator = made;
  return HOSTCACHE_OK;
}

hostcache_result hostcache_pluggable_create(hostcache_pluggable **allocator,
                                            const hostcache_pluggable_functions *functions,
                                            const hostcache_config *config) {
  hostcache_pluggable_table table;
  if (allocator) *allocator = NULL;
  if (!allocator || !functions) return HOSTCACHE_ERR_ARGUMENT;
  memset(&table, 0, sizeof table);
  table.with = *functions;
  return hostcache_pluggable_i_create(allocator, &table, config);
}

hostcache_result hostcache_pluggable_create_custom(hostcache_pluggable **allocator,
                                                   hostcache_pluggable_alloc_fn alloc_fn,
                                                   hostcache_pluggable_free_fn free_fn) {
  hostcache_pluggable_table table;
  if (!allocator) return HOSTCACHE_ERR_ARGUMENT;
  *allocator = NULL;
  memset(&table, 0, sizeof table);
  table.alloc_fn = alloc_fn;
  table.free_fn = free_fn;
  return hostcache_pluggable_i_create(allocator, &table, NULL);
}

hostcache_result hostcache_pluggable_copy(hostcache_pluggable **allocator,
                                          hostcache_pluggable *other) {
  hostcache_result result = hostcache_pluggable_i_enter(other);
  hostcache_pluggable_table table;
  if (allocator) *allocator = NULL;
  if (!allocator) return HOSTCACHE_ERR_ARGUMENT;
  if (result != HOSTCACHE_OK) return result;
  table = hostcache_pluggable_i_table(other);
  return hostcache_pluggable_i_create(allocator, &table, &other->config);
}

/* Is anything of it in use? */
static int hostcache_pluggable_i_is_busy(hostcache_pluggable *self) {
  hostcache_stats stats;
  int i, busy;
  hostcache_lock(&self->lock);
  busy = self->imports != NULL;
  hostcache_unlock(&self->lock);
  for (i = 0; i < hostcache_pluggable_i_end(self) && !busy; i++) {
    const hostcache_pluggable_device *device = hostcache_pluggable_i_used(self, i);
    if (!device) continue;
    (void)hostcache_plugged_stats(device->cache, &stats);
    busy = stats.active.current > 0;
  }
  return busy;
}

/* Ends a device whose cache has ended. */
static void hostcache_pluggable_i_drop_device(hostcache_pluggable *self,
                                              hostcache_pluggable_device *device) {
  hostcache_ptr_store_release(&self->devices[device->index], NULL);
  HOSTCACHE_FREE(device);
}

/* Ends the rest of an allocator, which is out of the list. */
static void hostcache_pluggable_i_dispose(hostcache_pluggable *self) {
  void *is_current = self;
  (void)hostcache_ptr_replace_release(&hostcache_pluggable_i_current, &is_current, NULL);
  while (self->openings) {
    hostcache_pluggable_opening *gone = self->openings;
    self->openings = gone->next;
    HOSTCACHE_FREE(gone);
  }
  while (self->imports) {
    hostcache_pluggable_import *gone = self->imports;
    self->imports = gone->next;
    HOSTCACHE_FREE(gone);
  }
  hostcache_mutex_destroy(&self->lock);
  HOSTCACHE_FREE(self);
}

hostcache_result hostcache_pluggable_destroy(hostcache_pluggable *allocator) {
  hostcache_result result = hostcache_pluggable_i_enter(allocator);
  int i;
  if (result != HOSTCACHE_OK) return result;
  if (hostcache_pluggable_i_is_busy(allocator)) return HOSTCACHE_ERR_BUSY;
  hostcache_pluggable_i_list_remove(allocator);
  for (i = 0; i < hostcache_pluggable_i_end(allocator); i++) {
    hostcache_pluggable_device *device = hostcache_pluggable_i_used(allocator, i);
    hostcache_result ended;
    if (!device) continue;
    ended = hostcache_plugged_destroy(device->cache);
    if (ended == HOSTCACHE_ERR_BUSY) { /* a function got memory meanwhile */
      hostcache_pluggable_i_list_add(allocator);
      return ended;
    }
    if (ended != HOSTCACHE_OK) result = ended;
    hostcache_pluggable_i_drop_device(allocator, device);
  }
  hostcache_pluggable_i_dispose(allocator);
  return result;
}

void hostcache_pluggable_abandon(hostcache_pluggable *allocator) {
  int i;
  if (hostcache_pluggable_i_enter(allocator) != HOSTCACHE_OK) return;
  hostcache_pluggable_i_list_remove(allocator);
  for (i = 0; i < hostcache_pluggable_i_end(allocator); i++) {
    hostcache_pluggable_device *device = hostcache_pluggable_i_used(allocator, i);
    if (!device) continue;
    hostcache_plugged_abandon(device->cache);
    hostcache_pluggable_i_drop_device(allocator, device);
  }
  hostcache_pluggable_i_dispose(allocator);
}

hostcache_result hostcache_pluggable_get_functions(hostcache_pluggable *allocator,
                                                   hostcache_pluggable_functions *functions) {
  const hostcache_result result = hostcache_pluggable_i_enter(allocator);
  if (functions) memset(functions, 0, sizeof *functions);
  if (!functions) return HOSTCACHE_ERR_ARGUMENT;
  if (result == HOSTCACHE_OK) *functions = hostcache_pluggable_i_table(allocator).with;
  return result;
}

hostcache_result hostcache_pluggable_set_functions(hostcache_pluggable *allocator,
                                                   const hostcache_pluggable_functions *functions) {
  hostcache_result result = hostcache_pluggable_i_enter(allocator);
  hostcache_pluggable_table table;
  if (!functions) return HOSTCACHE_ERR_ARGUMENT;
  if (result != HOSTCACHE_OK) return result;
  hostcache_lock(&allocator->lock);
  table = allocator->table;
  table.with = *functions;
  if (hostcache_pluggable_i_is_whole(&table)) {
    allocator->table = table;
  } else {
    result = HOSTCACHE_ERR_ARGUMENT;
  }
  hostcache_unlock(&allocator->lock);
  return result;
}

/* Makes the devices and tells the function. */
static hostcache_result hostcache_pluggable_i_init(hostcache_pluggable *self, int device_count) {
  const hostcache_pluggable_table table = hostcache_pluggable_i_table(self);
  hostcache_result result = HOSTCACHE_OK;
  int i;
  for (i = 0; i < device_count && result == HOSTCACHE_OK; i++) {
    if (!hostcache_pluggable_i_used(self, i)) result = hostcache_pluggable_i_make_device(self, i);
  }
  if (result != HOSTCACHE_OK || !table.with.init) return result;
  return hostcache_pluggable_i_result(self, table.with.init(table.with.user, device_count),
                                      "init failed: the allocator is as before", NULL);
}

hostcache_result hostcache_pluggable_init(hostcache_pluggable *allocator, int device_count) {
  hostcache_result result = hostcache_pluggable_i_enter(allocator);
  int is_first, is_enough, cancel;
  if (result != HOSTCACHE_OK) return result;
  if (device_count < 1 || device_count > HOSTCACHE_PLUGGABLE_DEVICES) return HOSTCACHE_ERR_ARGUMENT;
  hostcache_lock(&allocator->lock);
  is_enough = allocator->device_count >= device_count;
  is_first = !is_enough && !allocator->initializing;
  if (is_first) allocator->initializing = 1;
  hostcache_unlock(&allocator->lock);
  if (is_enough) return HOSTCACHE_OK;
  if (!is_first) return HOSTCACHE_ERR_BUSY;
  cancel = hostcache_hook_begin();
  result = hostcache_pluggable_i_init(allocator, device_count);
  hostcache_hook_end(cancel);
  hostcache_lock(&allocator->lock);
  if (result == HOSTCACHE_OK) allocator->device_count = device_count;
  allocator->initializing = 0;
  hostcache_unlock(&allocator->lock);
  return result;
}

int hostcache_pluggable_initialized(hostcache_pluggable *allocator) {
  int count;
  if (hostcache_pluggable_i_enter(allocator) != HOSTCACHE_OK) return 0;
  hostcache_lock(&allocator->lock);
  count = allocator->device_count;
  hostcache_unlock(&allocator->lock);
  return count > 0 || hostcache_size_load_relaxed(&allocator->allocated);
}

hostcache_result hostcache_pluggable_enable(hostcache_pluggable *allocator, int value) {
  const hostcache_result result = hostcache_pluggable_i_enter(allocator);
  if (result == HOSTCACHE_OK) hostcache_size_store_relaxed(&allocator->enabled, value != 0);
  return result;
}

int hostcache_pluggable_is_enabled(hostcache_pluggable *allocator) {
  if (hostcache_pluggable_i_enter(allocator) != HOSTCACHE_OK) return 0;
  return hostcache_size_load_relaxed(&allocator->enabled) != 0;
}

const char *hostcache_pluggable_name(const hostcache_pluggable *allocator) {
  (void)allocator;
  return "pluggable";
}

hostcache_pluggable *hostcache_pluggable_get_current(void) {
  hostcache_pluggable *current =
      (hostcache_pluggable *)hostcache_ptr_load_acquire(&hostcache_pluggable_i_current);
  return hostcache_pluggable_i_enter(current) == HOSTCACHE_OK ? current : NULL;
}

hostcache_result hostcache_pluggable_change_current(hostcache_pluggable *allocator) {
  void *seen;
  if (allocator) {
    const hostcache_result result = hostcache_pluggable_i_enter(allocator);
    if (result != HOSTCACHE_OK) return result;
  }
  do {
    const hostcache_pluggable *current;
    seen = hostcache_ptr_load_acquire(&hostcache_pluggable_i_current);
    current = (const hostcache_pluggable *)seen;
    if (current == allocator) return HOSTCACHE_OK;
    if (hostcache_pluggable_i_enter(current) == HOSTCACHE_OK &&
        hostcache_size_load_relaxed(&current->allocated)) {
      return HOSTCACHE_ERR_BUSY;
    }
  } while (!hostcache_ptr_replace_release(&hostcache_pluggable_i_current, &seen, allocator));
  return HOSTCACHE_OK;
}

/* ---- memory ---------------------------------------------------------------------------------- */

hostcache_result hostcache_pluggable_malloc(hostcache_pluggable *allocator, size_t size, int device,
                                            void *stream, void **ptr) {
  hostcache_pluggable_request *outer = hostcache_pluggable_i_asked;
  hostcache_pluggable_request request;
  hostcache_result result;
  if (ptr) *ptr = NULL;
  if (!ptr) return HOSTCACHE_ERR_ARGUMENT;
  memset(&request, 0, sizeof request);
  request.stream = stream;
  result = hostcache_pluggable_i_device(allocator, device, &request.device);
  if (result != HOSTCACHE_OK) return result;
  hostcache_pluggable_i_asked = &request;
  result = hostcache_plugged_alloc(request.device->cache, size, ptr);
  hostcache_pluggable_i_asked = outer;
  if (*ptr) hostcache_size_store_relaxed(&allocator->allocated, 1);
  return result;
}

/* The current device, and its current stream unless the caller says which. */
static hostcache_result hostcache_pluggable_i_here(hostcache_pluggable *self, int *device,
                                                   void **stream) {
  const hostcache_result result = hostcache_pluggable_i_enter(self);
  hostcache_pluggable_table table;
  *device = 0;
  if (result != HOSTCACHE_OK) return result;
  table = hostcache_pluggable_i_table(self);
  if (table.with.current_device) *device = table.with.current_device(table.with.user);
  if (stream) *stream = NULL;
  if (stream && table.with.current_stream) {
    *stream = table.with.current_stream(table.with.user, *device);
  }
  return HOSTCACHE_OK;
}

hostcache_result hostcache_pluggable_raw_alloc(hostcache_pluggable *allocator, size_t size,
                                               void **ptr) {
  void *stream;
  int device;
  const hostcache_result result = hostcache_pluggable_i_here(allocator, &device, &stream);
  if (ptr) *ptr = NULL;
  if (result != HOSTCACHE_OK) return result;
  return hostcache_pluggable_malloc(allocator, size, device, stream, ptr);
}

hostcache_result hostcache_pluggable_raw_alloc_with_stream(hostcache_pluggable *allocator,
                                                           size_t size, void *stream, void **ptr) {
  int device;
  const hostcache_result result = hostcache_pluggable_i_here(allocator, &device, NULL);
  if (ptr) *ptr = NULL;
  if (result != HOSTCACHE_OK) return result;
  return hostcache_pluggable_malloc(allocator, size, device, stream, ptr);
}

hostcache_result hostcache_pluggable_allocate(hostcache_pluggable *allocator, size_t size,
                                              hostcache_pluggable_data *data) {
  hostcache_result result;
  void *stream;
  if (!data) return HOSTCACHE_ERR_ARGUMENT;
  memset(data, 0, sizeof *data);
  result = hostcache_pluggable_i_here(allocator, &data->device, &stream);
  if (result != HOSTCACHE_OK) return result;
  data->deleter = hostcache_pluggable_raw_deleter(allocator);
  return hostcache_pluggable_malloc(allocator, size, data->device, stream, &data->ptr);
}

/* Why no block begins there that is handed out: DOUBLE_FREE if a pool keeps it, else NOT_FOUND. A
   cache asked to free it looks for it among all caches, so it must be nobody's. */
static hostcache_result hostcache_pluggable_i_why_not(const hostcache_pluggable *self, void *ptr) {
  hostcache_pluggable_device *device;
  int i;
  if (hostcache_pluggable_i_find_anywhere(ptr, &device)) return HOSTCACHE_ERR_NOT_FOUND;
  for (i = 0; i < hostcache_pluggable_i_end(self); i++) {
    device = hostcache_pluggable_i_used(self, i);
    if (device) return hostcache_plugged_free(device->cache, ptr);
  }
  return HOSTCACHE_ERR_NOT_FOUND;
}

hostcache_result hostcache_pluggable_raw_delete(hostcache_pluggable *allocator, void *ptr) {
  const hostcache_result result = hostcache_pluggable_i_enter(allocator);
  hostcache_plugged_block *block;
  hostcache_pluggable_device *device;
  if (result != HOSTCACHE_OK || !ptr) return result;
  block = hostcache_pluggable_i_find(allocator, ptr, &device);
  if (!block || hostcache_plugged_block_ptr(block) != ptr) {
    return hostcache_pluggable_i_why_not(allocator, ptr);
  }
  return hostcache_plugged_block_free(device->cache, block);
}

static void hostcache_pluggable_i_delete(void *ptr) {
  hostcache_pluggable_device *device;
  const hostcache_pluggable *current;
  if (!ptr) return;
  if (hostcache_pluggable_i_find_anywhere(ptr, &device) &&
      hostcache_pluggable_raw_delete(device->allocator, ptr) == HOSTCACHE_OK) {
    return;
  }
  current = hostcache_pluggable_get_current();
  if (!current) return;
  (void)hostcache_pluggable_i_tell(current, HOSTCACHE_ERR_NOT_FOUND, 0,
                                   "a deleter was given what no allocator has handed out", ptr);
}

hostcache_pluggable_deleter hostcache_pluggable_raw_deleter(const hostcache_pluggable *allocator) {
  return allocator ? hostcache_pluggable_i_delete : NULL;
}

hostcache_result hostcache_pluggable_get_info(hostcache_pluggable *allocator, const void *ptr,
                                              hostcache_pluggable_info *info) {
  const hostcache_result result = hostcache_pluggable_i_enter(allocator);
  hostcache_plugged_block *block;
  hostcache_pluggable_device *device;
  if (!info) return HOSTCACHE_ERR_ARGUMENT;
  memset(info, 0, sizeof *info);
  if (result != HOSTCACHE_OK) return result;
  block = hostcache_pluggable_i_find(allocator, ptr, &device);
  if (!block) return HOSTCACHE_ERR_NOT_FOUND;
  info->base = hostcache_plugged_block_ptr(block);
  info->size = hostcache_plugged_block_size(block);
  info->device = device->index;
  info->stream = hostcache_plugged_block_segment(block, NULL)->stream;
  return HOSTCACHE_OK;
}

hostcache_result hostcache_pluggable_get_base_allocation(hostcache_pluggable *allocator, void *ptr,
                                                         void **base, size_t *size) {
  hostcache_result result = hostcache_pluggable_i_enter(allocator);
  hostcache_pluggable_table table;
  hostcache_pluggable_info info;
  size_t unused;
  if (!size) size = &unused;
  *size = 0;
  if (base) *base = NULL;
  if (!base) return HOSTCACHE_ERR_ARGUMENT;
  if (result != HOSTCACHE_OK) return result;
  if (!ptr) return HOSTCACHE_ERR_NOT_FOUND;
  table = hostcache_pluggable_i_table(allocator);
  if (table.with.base_alloc) {
    *base = table.with.base_alloc(table.with.user, ptr, size);
    if (*base) return HOSTCACHE_OK;
    *size = 0;
    return HOSTCACHE_ERR_NOT_FOUND;
  }
  result = hostcache_pluggable_get_info(allocator, ptr, &info);
  *base = info.base;
  *size = info.size;
  return result;
}

/* The memory of a block is not to serve its own stream either, as long as a pool keeps it. */
static void hostcache_pluggable_i_mark(const hostcache_plugged_block *block) {
  const struct hostcache_pluggable_segment *segment = hostcache_plugged_block_segment(block, NULL);
  /* const for those who only look; the cache's own copy, which is not */
  size_t *elsewhere = (size_t *)(uintptr_t)&segment->elsewhere;
  hostcache_size_store_relaxed(elsewhere, 1);
}

hostcache_result hostcache_pluggable_record_stream(hostcache_pluggable *allocator, void *ptr,
                                                   void *stream) {
  const hostcache_result result = hostcache_pluggable_i_enter(allocator);
  hostcache_plugged_block *block;
  hostcache_pluggable_device *device;
  hostcache_pluggable_table table;
  int is_own;
  if (result != HOSTCACHE_OK) return result;
  block = hostcache_pluggable_i_find(allocator, ptr, &device);
  if (!block) return HOSTCACHE_ERR_NOT_FOUND;
  is_own = hostcache_plugged_block_segment(block, NULL)->stream == stream;
  table = hostcache_pluggable_i_table(allocator);
  if (!table.with.record_stream) return is_own ? HOSTCACHE_OK : HOSTCACHE_ERR_UNSUPPORTED;
  if (!is_own) hostcache_pluggable_i_mark(block);
  return hostcache_pluggable_i_result(allocator,
                                      table.with.record_stream(table.with.user, ptr, stream),
                                      "record_stream failed: nobody waits for the stream", ptr);
}

hostcache_result hostcache_pluggable_empty_cache(hostcache_pluggable *allocator,
                                                 hostcache_pool_id pool) {
  const int is_pool = pool.first != 0 || pool.second != 0;
  hostcache_result result = hostcache_pluggable_i_enter(allocator);
  hostcache_pluggable_table table;
  int i, found = !is_pool;
  if (result != HOSTCACHE_OK) return result;
  for (i = 0; i < hostcache_pluggable_i_end(allocator); i++) {
    const hostcache_pluggable_device *device = hostcache_pluggable_i_used(allocator, i);
    hostcache_result emptied;
    if (!device) continue;
    emptied = hostcache_plugged_empty_cache_pool(device->cache, pool);
    if (emptied == HOSTCACHE_ERR_NOT_FOUND) continue;
    found = 1;
    if (emptied != HOSTCACHE_OK) result = emptied;
  }
  if (!found) return HOSTCACHE_ERR_NOT_FOUND;
  table = hostcache_pluggable_i_table(allocator);
  if (is_pool || !table.with.reset || result != HOSTCACHE_OK) return result;
  return hostcache_pluggable_i_result(allocator, table.with.reset(table.with.user), "reset failed",
                                      NULL);
}

hostcache_result hostcache_pluggable_copy_data(hostcache_pluggable *allocator, void *to,
                                               const void *from, size_t count) {
  const hostcache_result result = hostcache_pluggable_i_enter(allocator);
  hostcache_pluggable_table table;
  if (result != HOSTCACHE_OK || count == 0) return result;
  if (!to || !from) return HOSTCACHE_ERR_ARGUMENT;
  table = hostcache_pluggable_i_table(allocator);
  if (!table.with.copy_data) {
    memcpy(to, from, count);
    return HOSTCACHE_OK;
  }
  return hostcache_pluggable_i_result(
      allocator, table.with.copy_data(table.with.user, to, from, count), "copy_data failed", to);
}

hostcache_result hostcache_pluggable_copy_async(hostcache_pluggable *allocator, void *to,
                                                int to_device, const void *from, int from_device,
                                                size_t count, void *stream, int peer_to_peer) {
  const hostcache_result result = hostcache_pluggable_i_enter(allocator);
  hostcache_pluggable_table table;
  if (result != HOSTCACHE_OK) return result;
  if (!hostcache_pluggable_i_exists(allocator, to_device) ||
      !hostcache_pluggable_i_exists(allocator, from_device) || (count && (!to || !from))) {
    return HOSTCACHE_ERR_ARGUMENT;
  }
  table = hostcache_pluggable_i_table(allocator);
  if (!table.with.copy_async) return HOSTCACHE_ERR_UNSUPPORTED;
  return hostcache_pluggable_i_result(
      allocator,
      table.with.copy_async(table.with.user, to, to_device, from, from_device, count, stream,
                            peer_to_peer),
      "copy_async failed", to);
}

hostcache_result hostcache_pluggable_enable_peer_access(hostcache_pluggable *allocator, int device,
                                                        int peer) {
  const hostcache_result result = hostcache_pluggable_i_enter(allocator);
  hostcache_pluggable_table table;
  if (result != HOSTCACHE_OK) return result;
  if (device == peer || !hostcache_pluggable_i_exists(allocator, device) ||
      !hostcache_pluggable_i_exists(allocator, peer)) {
    return HOSTCACHE_ERR_ARGUMENT;
  }
  table = hostcache_pluggable_i_table(allocator);
  if (!table.with.enable_peer_access) return HOSTCACHE_ERR_UNSUPPORTED;
  return hostcache_pluggable_i_result(allocator,
                                      table.with.enable_peer_access(table.with.user, device, peer),
                                      "enable_peer_access failed", NULL);
}

/* ---- the cap --------------------------------------------------------------------------------- */

/* Tells the function, if there is one; a cap that was set goes back to `before` if that fails. */
static hostcache_result hostcache_pluggable_i_tell_fraction(hostcache_pluggable_device *device,
                                                            const hostcache_pluggable_table *table,
                                                            double fraction, double before) {
  hostcache_result result;
  if (!table->with.memory_fraction) return HOSTCACHE_OK;
  result = hostcache_pluggable_i_result(
      device->allocator, table->with.memory_fraction(table->with.user, fraction, device->index),
      "memory_fraction failed: the fraction is as before", NULL);
  if (result != HOSTCACHE_OK && table->with.memory_info) {
    (void)hostcache_plugged_set_memory_fraction(device->cache, before);
  }
  return result;
}

hostcache_result hostcache_pluggable_set_memory_fraction(hostcache_pluggable *allocator,
                                                         double fraction, int device) {
  hostcache_result result, leaked = HOSTCACHE_OK;
  hostcache_pluggable_device *found;
  hostcache_pluggable_table table;
  double before = 1;
  result = hostcache_pluggable_i_device(allocator, device, &found);
  if (result != HOSTCACHE_OK) return result;
  if (!(fraction >= 0 && fraction <= 1)) return HOSTCACHE_ERR_ARGUMENT;
  table = hostcache_pluggable_i_table(allocator);
  if (!table.with.memory_info && !table.with.memory_fraction) return HOSTCACHE_ERR_UNSUPPORTED;
  if (table.with.memory_info) {
    (void)hostcache_plugged_get_memory_fraction(found->cache, &before);
    leaked = hostcache_plugged_set_memory_fraction(found->cache, fraction);
    if (leaked != HOSTCACHE_OK && leaked != HOSTCACHE_ERR_LEAKED) return leaked;
  }
  result = hostcache_pluggable_i_tell_fraction(found, &table, fraction, before);
  if (result != HOSTCACHE_OK) return result;
  hostcache_lock(&allocator->lock);
  found->fraction = fraction;
  hostcache_unlock(&allocator->lock);
  return leaked;
}

hostcache_result hostcache_pluggable_get_memory_fraction(hostcache_pluggable *allocator, int device,
                                                         double *fraction) {
  hostcache_pluggable_device *found;
  hostcache_result result = hostcache_pluggable_i_device(allocator, device, &found);
  if (fraction) *fraction = 0;
  if (!fraction) return HOSTCACHE_ERR_ARGUMENT;
  if (result != HOSTCACHE_OK) return result;
  hostcache_lock(&allocator->lock);
  if (allocator->table.with.memory_info || allocator->table.with.memory_fraction) {
    *fraction = found->fraction;
  } else {
    result = HOSTCACHE_ERR_UNSUPPORTED;
  }
  hostcache_unlock(&allocator->lock);
  return result;
}

hostcache_result hostcache_pluggable_get_memory_info(hostcache_pluggable *allocator, int device,
                                                     size_t *free_bytes, size_t *total_bytes) {
  hostcache_pluggable_device *found;
  const hostcache_result result = hostcache_pluggable_i_device(allocator, device, &found);
  if (free_bytes) *free_bytes = 0;
  if (total_bytes) *total_bytes = 0;
  if (!free_bytes || !total_bytes) return HOSTCACHE_ERR_ARGUMENT;
  if (result != HOSTCACHE_OK) return result;
  if (!hostcache_pluggable_i_table(allocator).with.memory_info) return HOSTCACHE_ERR_UNSUPPORTED;
  return hostcache_plugged_memory_info(found->cache, free_bytes, total_bytes);
}

/* ---- figures and traces ---------------------------------------------------------------------- */

/* The cache of a device, or NULL and why: for all that it does by itself. */
static hostcache_plugged *hostcache_pluggable_i_cache(hostcache_pluggable *self, int index,
                                                      hostcache_result *result) {
  hostcache_pluggable_device *device;
  *result = hostcache_pluggable_i_device(self, index, &device);
  return device ? device->cache : NULL;
}

hostcache_result hostcache_pluggable_cache_info(hostcache_pluggable *allocator, int device,
                                                size_t *largest) {
  hostcache_result result;
  hostcache_plugged *cache = hostcache_pluggable_i_cache(allocator, device, &result);
  if (largest) *largest = 0;
  return cache ? hostcache_plugged_cache_info(cache, largest) : result;
}

hostcache_result hostcache_pluggable_get_expandable_segment_sizes(hostcache_pluggable *allocator,
                                                                  int device, size_t *sizes,
                                                                  size_t room, size_t *count) {
  hostcache_result result;
  hostcache_plugged *cache = hostcache_pluggable_i_cache(allocator, device, &result);
  if (count) *count = 0;
  if (!cache) return result;
  return hostcache_plugged_get_expandable_segment_sizes(cache, sizes, room, count);
}

hostcache_result hostcache_pluggable_get_stats(hostcache_pluggable *allocator, int device,
                                               hostcache_stats *stats) {
  hostcache_result result;
  hostcache_plugged *cache = hostcache_pluggable_i_cache(allocator, device, &result);
  return cache ? hostcache_plugged_stats(cache, stats) : result;
}

hostcache_result hostcache_pluggable_get_device_stats(hostcache_pluggable *allocator, int device,
                                                      hostcache_device_stats *stats) {
  hostcache_result result;
  hostcache_plugged *cache = hostcache_pluggable_i_cache(allocator, device, &result);
  return cache ? hostcache_plugged_device_stats(cache, stats) : result;
}

hostcache_result hostcache_pluggable_reset_accumulated_stats(hostcache_pluggable *allocator,
                                                             int device) {
  hostcache_result result;
  hostcache_plugged *cache = hostcache_pluggable_i_cache(allocator, device, &result);
  return cache ? hostcache_plugged_reset_accumulated_stats(cache) : result;
}

hostcache_result hostcache_pluggable_reset_peak_stats(hostcache_pluggable *allocator, int device) {
  hostcache_result result;
  hostcache_plugged *cache = hostcache_pluggable_i_cache(allocator, device, &result);
  return cache ? hostcache_plugged_reset_peak_stats(cache) : result;
}

hostcache_result hostcache_pluggable_snapshot(hostcache_pluggable *allocator, int device,
                                              hostcache_range_fn visit, void *user) {
  hostcache_result result;
  hostcache_plugged *cache = hostcache_pluggable_i_cache(allocator, device, &result);
  return cache ? hostcache_plugged_snapshot(cache, visit, user) : result;
}

hostcache_result hostcache_pluggable_record_history(hostcache_pluggable *allocator, int device,
                                                    size_t max_entries,
                                                    hostcache_context_fn context, void *user) {
  hostcache_result result;
  hostcache_plugged *cache = hostcache_pluggable_i_cache(allocator, device, &result);
  if (!cache) return result;
  return hostcache_plugged_record_history(cache, max_entries, context, user);
}

hostcache_result hostcache_pluggable_history(hostcache_pluggable *allocator, int device,
                                             hostcache_trace_fn show, void *user) {
  hostcache_result result;
  hostcache_plugged *cache = hostcache_pluggable_i_cache(allocator, device, &result);
  return cache ? hostcache_plugged_history(cache, show, user) : result;
}

hostcache_result hostcache_pluggable_attach_trace_tracker(hostcache_pluggable *allocator,
                                                          int device, hostcache_trace_fn tracker,
                                                          void *user) {
  hostcache_result result;
  hostcache_plugged *cache = hostcache_pluggable_i_cache(allocator, device, &result);
  return cache ? hostcache_plugged_attach_trace_tracker(cache, tracker, user) : result;
}

hostcache_result hostcache_pluggable_attach_oom_observer(hostcache_pluggable *allocator, int device,
                                                         hostcache_oom_fn observer, void *user) {
  hostcache_result result;
  hostcache_plugged *cache = hostcache_pluggable_i_cache(allocator, device, &result);
  return cache ? hostcache_plugged_attach_oom_observer(cache, observer, user) : result;
}

hostcache_result hostcache_pluggable_check(hostcache_pluggable *allocator) {
  hostcache_result result = hostcache_pluggable_i_enter(allocator);
  int i;
  if (result != HOSTCACHE_OK) return result;
  for (i = 0; i < hostcache_pluggable_i_end(allocator) && result == HOSTCACHE_OK; i++) {
    const hostcache_pluggable_device *device = hostcache_pluggable_i_used(allocator, i);
    if (device) result = hostcache_plugged_check(device->cache);
  }
  return result;
}

/* ---- pools ----------------------------------------------------------------------------------- */

/* What the cache asks of an open pool: the stream is the one that this thread allocates for. */
static int hostcache_pluggable_i_wants(void *user, const void *unused) {
  const hostcache_pluggable_opening *opening = (const hostcache_pluggable_opening *)user;
  hostcache_pluggable_request *request = hostcache_pluggable_i_asked;
  (void)unused;
  if (!hostcache_size_load_relaxed(&opening->device->allocator->enabled)) return 0;
  if (opening->filter && !opening->filter(opening->user, &request->stream)) return 0;
  request->pooled = 1;
  return 1;
}

static void hostcache_pluggable_i_opening_add(hostcache_pluggable *self,
                                              hostcache_pluggable_opening *opening) {
  hostcache_lock(&self->lock);
  opening->next = self->openings;
  self->openings = opening;
  hostcache_unlock(&self->lock);
}

/* Takes the opening of a pool out of the list, or NULL: it is not open. */
static hostcache_pluggable_opening *hostcache_pluggable_i_opening_take(
    hostcache_pluggable *self, const hostcache_pluggable_device *device, hostcache_pool_id pool) {
  hostcache_pluggable_opening **at, *found;
  hostcache_lock(&self->lock);
  for (at = &self->openings; *at; at = &(*at)->next) {
    if ((*at)->device == device && (*at)->pool.first == pool.first &&
        (*at)->pool.second == pool.second) {
      break;
    }
  }
  found = *at;
  if (found) *at = found->next;
  hostcache_unlock(&self->lock);
  return found;
}

/* Closes a pool. Its opening is out of the list before, so that nobody else does, and must stay
   until no thread asks its filter. */
static hostcache_result hostcache_pluggable_i_pool_end(hostcache_pluggable_device *device,
                                                       hostcache_pool_id pool) {
  hostcache_pluggable_opening *opening =
      hostcache_pluggable_i_opening_take(device->allocator, device, pool);
  hostcache_result result;
  if (!opening) return HOSTCACHE_ERR_NOT_FOUND;
  result = hostcache_plugged_end_allocate_to_pool(device->cache, pool);
  if (result == HOSTCACHE_OK) {
    HOSTCACHE_FREE(opening);
  } else {
    hostcache_pluggable_i_opening_add(device->allocator, opening);
  }
  return result;
}

static hostcache_result hostcache_pluggable_i_pool_begin(hostcache_pluggable_device *device,
                                                         hostcache_pool_id pool,
                                                         hostcache_stream_filter filter,
                                                         void *user) {
  hostcache_pluggable_opening *opening =
      (hostcache_pluggable_opening *)hostcache_pluggable_i_new(device->allocator, sizeof *opening);
  hostcache_result result;
  if (!opening) return HOSTCACHE_ERR_NO_METADATA;
  opening->device = device;
  opening->pool = pool;
  opening->filter = filter;
  opening->user = user;
  result = hostcache_plugged_begin_allocate_to_pool(device->cache, pool,
                                                    hostcache_pluggable_i_wants, opening);
  if (result == HOSTCACHE_OK) {
    hostcache_pluggable_i_opening_add(device->allocator, opening);
  } else {
    HOSTCACHE_FREE(opening);
  }
  return result;
}

hostcache_result hostcache_pluggable_begin_allocate_to_pool(hostcache_pluggable *allocator,
                                                            int device, hostcache_pool_id pool,
                                                            hostcache_stream_filter filter,
                                                            void *user) {
  hostcache_pluggable_device *found;
  hostcache_pluggable_table table;
  hostcache_result result = hostcache_pluggable_i_device(allocator, device, &found);
  if (result == HOSTCACHE_OK) {
    result = hostcache_pluggable_i_pool_begin(found, pool, filter, user);
  }
  if (result != HOSTCACHE_OK) return result;
  table = hostcache_pluggable_i_table(allocator);
  if (!table.with.begin_allocate_to_pool) return HOSTCACHE_OK;
  result = hostcache_pluggable_i_result(
      allocator, table.with.begin_allocate_to_pool(table.with.user, device, pool, filter, user),
      "begin_allocate_to_pool failed: the pool is as before", NULL);
  if (result == HOSTCACHE_OK) return HOSTCACHE_OK;
  (void)hostcache_pluggable_i_pool_end(found, pool);
  (void)hostcache_plugged_release_pool(found->cache, pool);
  return result;
}

hostcache_result hostcache_pluggable_end_allocate_to_pool(hostcache_pluggable *allocator,
                                                          int device, hostcache_pool_id pool) {
  hostcache_pluggable_device *found;
  hostcache_pluggable_table table;
  hostcache_result result = hostcache_pluggable_i_device(allocator, device, &found);
  if (result == HOSTCACHE_OK) result = hostcache_pluggable_i_pool_end(found, pool);
  if (result != HOSTCACHE_OK) return result;
  table = hostcache_pluggable_i_table(allocator);
  if (!table.with.end_allocate_to_pool) return HOSTCACHE_OK;
  return hostcache_pluggable_i_result(
      allocator, table.with.end_allocate_to_pool(table.with.user, device, pool),
      "end_allocate_to_pool failed: the pool is closed all the same", NULL);
}

hostcache_result hostcache_pluggable_release_pool(hostcache_pluggable *allocator, int device,
                                                  hostcache_pool_id pool) {
  hostcache_pluggable_device *found;
  hostcache_pluggable_table table;
  hostcache_result told, result = hostcache_pluggable_i_device(allocator, device, &found);
  if (result != HOSTCACHE_OK) return result;
  result = hostcache_plugged_release_pool(found->cache, pool);
  if (result != HOSTCACHE_OK && result != HOSTCACHE_ERR_LEAKED) return result;
  table = hostcache_pluggable_i_table(allocator);
  if (!table.with.release_pool) return result;
  told = hostcache_pluggable_i_result(
      allocator, table.with.release_pool(table.with.user, device, pool),
      "release_pool failed: the pool is released all the same", NULL);
  return told == HOSTCACHE_OK ? result : told;
}

/* A checkpoint is that of the cache, under the name of this file. */

hostcache_result hostcache_pluggable_checkpoint_pool(hostcache_pluggable *allocator, int device,
                                                     hostcache_pool_id pool,
                                                     hostcache_pluggable_checkpoint **checkpoint) {
  hostcache_plugged_checkpoint *made = NULL;
  hostcache_result result;
  hostcache_plugged *cache = hostcache_pluggable_i_cache(allocator, device, &result);
  if (checkpoint) *checkpoint = NULL;
  if (!checkpoint) return HOSTCACHE_ERR_ARGUMENT;
  if (!cache) return result;
  result = hostcache_plugged_checkpoint_pool(cache, pool, &made);
  *checkpoint = (hostcache_pluggable_checkpoint *)(void *)made;
  return result;
}

hostcache_result hostcache_pluggable_restore_pool(hostcache_pluggable *allocator, int device,
                                                  const hostcache_pluggable_checkpoint *checkpoint,
                                                  hostcache_delta_fn delta, void *user) {
  hostcache_result result;
  hostcache_plugged *cache = hostcache_pluggable_i_cache(allocator, device, &result);
  if (!cache) return result;
  return hostcache_plugged_restore_pool(
      cache, (const hostcache_plugged_checkpoint *)(const void *)checkpoint, delta, user);
}

void hostcache_pluggable_checkpoint_free(hostcache_pluggable_checkpoint *checkpoint) {
  hostcache_plugged_checkpoint_free((hostcache_plugged_checkpoint *)(void *)checkpoint);
}

/* ---- memory of other processes --------------------------------------------------------------- */

hostcache_result hostcache_pluggable_share_handle(hostcache_pluggable *allocator, void *ptr,
                                                  hostcache_pluggable_handle *handle) {
  hostcache_result result = hostcache_pluggable_i_enter(allocator);
  hostcache_pluggable_table table;
  hostcache_pluggable_info info;
  void *base;
  size_t size;
  if (!handle) return HOSTCACHE_ERR_ARGUMENT;
  memset(handle, 0, sizeof *handle);
  if (result != HOSTCACHE_OK) return result;
  table = hostcache_pluggable_i_table(allocator);
  if (!table.with.share) return HOSTCACHE_ERR_UNSUPPORTED;
  result = hostcache_pluggable_get_info(allocator, ptr, &info);
  if (result == HOSTCACHE_OK) {
    result = hostcache_pluggable_get_base_allocation(allocator, ptr, &base, &size);
  }
  if (result != HOSTCACHE_OK) return result;
  result = hostcache_pluggable_i_result(
      allocator, table.with.share(table.with.user, base, size, info.device, handle->bytes),
      "share failed", ptr);
  if (result != HOSTCACHE_OK) {
    memset(handle, 0, sizeof *handle);
    return result;
  }
  handle->offset = (uint64_t)((uintptr_t)ptr - (uintptr_t)base);
  handle->size = size;
  handle->device = info.device;
  return HOSTCACHE_OK;
}

/* Counts one pointer more into memory that is open already. ARGUMENT: that is smaller than the
   handle says; NOT_FOUND: it is not open. */
static hostcache_result hostcache_pluggable_i_import_again(hostcache_pluggable *self,
                                                           const hostcache_pluggable_handle *handle,
                                                           void **base) {
  hostcache_result result = HOSTCACHE_ERR_NOT_FOUND;
  hostcache_pluggable_import *at;
  hostcache_lock(&self->lock);
  for (at = self->imports; at; at = at->next) {
    if (at->handle.device != handle->device) continue;
    if (memcmp(at->handle.bytes, handle->bytes, sizeof handle->bytes) == 0) break;
  }
  if (at && handle->offset >= at->handle.size) {
    result = HOSTCACHE_ERR_ARGUMENT;
  } else if (at) {
    at->pointers++;
    *base = at->base;
    result = HOSTCACHE_OK;
  }
  hostcache_unlock(&self->lock);
  return result;
}

/* Opens what a handle stands for. */
static hostcache_result hostcache_pluggable_i_import(hostcache_pluggable *self,
                                                     const hostcache_pluggable_table *table,
                                                     const hostcache_pluggable_handle *handle,
                                                     void **base) {
  hostcache_pluggable_import *import =
      (hostcache_pluggable_import *)hostcache_pluggable_i_new(self, sizeof *import);
  hostcache_result result;
  if (!import) return HOSTCACHE_ERR_NO_METADATA;
  import->handle = *handle;
  import->pointers = 1;
  result = hostcache_pluggable_i_result(
      self, table->with.open(table->with.user, handle->bytes, (int)handle->device, &import->base),
      "open failed", NULL);
  if (result == HOSTCACHE_OK && !import->base) {
    result = hostcache_pluggable_i_tell(self, HOSTCACHE_ERR_HOOK, 0, "open gave no memory", NULL);
  }
  if (result != HOSTCACHE_OK) {
    HOSTCACHE_FREE(import);
    return result;
  }
  *base = import->base;
  hostcache_lock(&self->lock);
  import->next = self->imports;
  self->imports = import;
  hostcache_unlock(&self->lock);
  return HOSTCACHE_OK;
}

hostcache_result hostcache_pluggable_open_handle(hostcache_pluggable *allocator,
                                                 const hostcache_pluggable_handle *handle,
                                                 void **ptr) {
  hostcache_result result = hostcache_pluggable_i_enter(allocator);
  hostcache_pluggable_table table;
  void *base = NULL;
  if (ptr) *ptr = NULL;
  if (!ptr || !handle) return HOSTCACHE_ERR_ARGUMENT;
  if (result != HOSTCACHE_OK) return result;
  if (handle->device < 0 || handle->device >= HOSTCACHE_PLUGGABLE_DEVICES ||
      !hostcache_pluggable_i_exists(allocator, (int)handle->device) ||
      handle->offset >= handle->size || handle->size > (uint64_t)PTRDIFF_MAX) {
    return HOSTCACHE_ERR_ARGUMENT;
  }
  table = hostcache_pluggable_i_table(allocator);
  if (!table.with.open || !table.with.close) return HOSTCACHE_ERR_UNSUPPORTED;
  result = hostcache_pluggable_i_import_again(allocator, handle, &base);
  if (result == HOSTCACHE_ERR_NOT_FOUND) {
    result = hostcache_pluggable_i_import(allocator, &table, handle, &base);
  }
  if (result == HOSTCACHE_OK) *ptr = (char *)base + handle->offset;
  return result;
}

hostcache_result hostcache_pluggable_close_handle(hostcache_pluggable *allocator, void *ptr) {
  hostcache_result result = hostcache_pluggable_i_enter(allocator);
  hostcache_pluggable_import **at, *found;
  hostcache_pluggable_table table;
  int is_last;
  if (result != HOSTCACHE_OK) return result;
  hostcache_lock(&allocator->lock);
  for (at = &allocator->imports; *at; at = &(*at)->next) {
    if ((uintptr_t)ptr - (uintptr_t)(*at)->base < (*at)->handle.size) break;
  }
  found = *at;
  is_last = found && --found->pointers == 0;
  if (is_last) *at = found->next;
  hostcache_unlock(&allocator->lock);
  if (!found) return HOSTCACHE_ERR_NOT_FOUND;
  if (!is_last) return HOSTCACHE_OK;
  table = hostcache_pluggable_i_table(allocator);
  if (table.with.close) {
    result = hostcache_pluggable_i_result(
        allocator, table.with.close(table.with.user, found->base, (int)found->handle.device),
        "close failed: the memory is left to the runtime", found->base);
  }
  HOSTCACHE_FREE(found);
  return result;
}

#ifdef __cplusplus
}
#endif

#endif /* HOSTCACHE_PLUGGABLE_IMPLEMENTATION */

#endif /* the second inclusion */
