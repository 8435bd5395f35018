/* hostcache.h - a caching allocator for pinned host memory, generated for your streams and events.

   A block that the host has freed may still be in use by a stream. hostcache remembers on which
   streams a block was used, records an event on each of them when the block is freed, and hands
   the block out again only when every one of those events has completed. It has no dependency, no
   state shared between caches and no thread of its own, and knows no runtime: you tell it in a few
   macros how yours gets memory and records events.

   MAP      0 this comment: quick start, parameters, API, guarantees, design note
            1 COMMON      once per file: version, results, status, config, stats
            2 PARAMETERS  defaults, checks
            3 NAMES       how generated names are made
            4 DECLARE     opaque types and prototypes: the reference of every function (API)
              -- below only where the code is emitted --
            5 GLUE        once per file, all static: mutex, atomics, thread-local, clock, fork
            6 TYPES       block, segment, use, queue, cache; the states of a block; the books; the
                          index of addresses
            7 HOOKS       one typed wrapper each
            8 SIZES       classes and rounding
            9 SEGMENTS    get, carve, coalesce, give back, find by address
           10 BINS        takes and makes ready; the cap and the other bounds
           11 EVENTS      uses, queues, poll, quarantine
           12 PUBLIC      in the order of section 4
           13 CHECK       check, walk
           14 UNDEF       every HC_*
            licence (MIT)

   QUICK START (event mode; rt_* is your runtime)

     #define HC_NAME      pinned
     #define HC_STREAM_T  rt_stream
     #define HC_EVENT_T   rt_event
     #define HC_MEM_ALLOC(ctx, size, align, ptr_out) \
             hostcache_map_memory(rt_host_alloc(ptr_out, size, align), RT_OK, RT_NOMEM, RT_NOMEM)
     #define HC_MEM_FREE(ctx, ptr, size)     hostcache_map(rt_host_free(ptr), RT_OK, RT_OK)
     #define HC_EVENT_CREATE(ctx, stream, e) hostcache_map(rt_event_create(e), RT_OK, RT_OK)
     #define HC_EVENT_DESTROY(ctx, e)        hostcache_map(rt_event_destroy(*e), RT_OK, RT_OK)
     #define HC_EVENT_RECORD(ctx, e, stream) hostcache_map(rt_record(*e, stream), RT_OK, RT_OK)
     #define HC_EVENT_QUERY(ctx, e)          hostcache_map(rt_query(*e), RT_OK, RT_NOT_READY)
     #define HOSTCACHE_IMPLEMENTATION        // in one file of the program
     #include "hostcache.h"

     pinned *cache;
     void *staging;
     pinned_create(&cache, NULL, NULL);
     pinned_alloc(cache, 65536, &staging);
     pinned_record_stream(cache, staging, stream);   // the block is used on this stream
     rt_copy_async(device_ptr, staging, 65536, stream);
     pinned_free(cache, staging);                    // at once: reused when the copy is done

   Other files that only call the cache define HC_NAME, HC_STREAM_T and, where they differ from
   the default, HC_CTX_T, HC_EVENT_T, HC_TIMELINE, HC_SEGMENT_T, and include this header without
   hooks: it declares then.

   PARAMETERS. HC_* belong to one inclusion and are undefined at its end. (*) needed to declare,
   (+) needed to emit the code.

   HC_NAME                (*)  the cache's type; prefixes everything external. Not hostcache
   HC_STREAM_T            (*)  the stream type; a value means the same stream everywhere. Like the
                               other types not const, trivially copyable, aligned as malloc aligns
   HC_CTX_T                    what every hook gets first, by value; void * if not given
   HC_SEGMENT_T                what the runtime gives with a segment (a registration handle, an
                               lkey): kept per segment, zeroed first
   HC_MEM_ALLOC(ctx, size, align, ptr_out)
                          (+)  gets memory; size is a multiple of align and of 4 KiB (with
                               HC_OWN_SEGMENTS of align alone). With HC_SEGMENT_T a last argument
                               segment_ptr
   HC_MEM_FREE(ctx, ptr, size)
                          (+)  gives it back; with HC_SEGMENT_T likewise
   HC_MEM_IS_HOST              the host may read and write what HC_MEM_ALLOC gives: HOSTCACHE_DEBUG
                               then looks after the memory too. Else it changes nothing, and neither
                               with HC_STREAM_ORDERED, where a stream may use what is free

   Event mode:
   HC_EVENT_T             (+)  the event type; values of it are copied
   HC_EVENT_RECORD(ctx, event_ptr, stream)
                          (+)  an event after all work submitted to the stream so far
   HC_EVENT_QUERY(ctx, event_ptr)
                          (+)  done, pending or failed; never blocks
   HC_EVENT_CREATE(ctx, stream, event_ptr), HC_EVENT_DESTROY(ctx, event_ptr)
                               both: events are pooled per stream and reused. DESTROY alone:
                               recording makes the event, and it is destroyed once complete.
                               Neither: an event is a plain value. CREATE alone is an error
   HC_EVENT_WAIT(ctx, event_ptr)
                               blocks until complete; without it the header polls and yields

   Timeline mode, for streams that have a rising 64-bit counter instead of events:
   HC_TIMELINE            (*)  chooses this mode
   HC_TIMELINE_RECORD(ctx, stream, value_ptr)
                          (+)  the value reached when all work submitted so far is done
   HC_TIMELINE_QUERY(ctx, stream, value_ptr)
                          (+)  the value reached now
   HC_TIMELINE_WAIT(ctx, stream, value)
                               blocks until it is reached

   Both modes:
   HC_STREAM_WAIT(ctx, stream)
                               blocks until the stream is idle
   HC_STREAM_EQ(a, b), HC_STREAM_HASH(s)
                               for streams that are structs; default: ==, and a hash of the value.
                               Both may run under a lock, and must not call the cache

   HC_EVENTS_DO_NOT_CANCEL     the hooks that record and query are no cancellation points, as those
                               that only read memory are not: then a thread's cancelability need
                               not be switched around them, which takes 20 ns a block
   HC_STREAM_ORDERED      (*)  for memory that the host does not touch before its stream reaches the
                               point (a device's, not pinned memory): alloc_on, by which a block
                               that its stream alone has used is ready for it as soon as it is freed
   HC_STREAM_WAIT_EVENT(ctx, stream, event_ptr), HC_STREAM_WAIT_VALUE(ctx, stream, other, value)
                               with HC_STREAM_ORDERED, in event and in timeline mode: what is
                               submitted to `stream` from now on begins when the event has
                               completed, or the stream `other` has reached the value; never blocks.
                               The event counts as it is now: it may be recorded anew, or ended,
                               before the stream has come there

   Neither mode:
   HC_NO_STREAMS               instead of HC_STREAM_T: a plain CPU caching allocator; with
                               HC_EVENT_T and HC_EVENT_QUERY events without streams (requests of
                               MPI or UCX, completions of io_uring)
   HC_OWN_SEGMENTS        (*)  with HC_NO_STREAMS and without HC_EVENT_T: every block is a segment
                               of its own, of the request's size, rounded up to the alignment (64
                               by default) and to nothing else, and serves requests of exactly that
                               size; so it may leave the cache, by record_free. A pointer is freed
                               where it belongs, through whichever cache of this HC_NAME: these
                               share a list of themselves. Each thread has a current cache
   HC_FREE_FOREIGN(ctx, ptr)   with HC_OWN_SEGMENTS: frees what is in no cache of this HC_NAME, and
                               was given to free
   HC_SEGMENT_FITS(segment_ptr)
                               with HC_OWN_SEGMENTS and HC_SEGMENT_T: may this segment, which is
                               ready and of the right size, serve what this thread asks for? Runs
                               under a lock, and must not call the cache

   Interfaces, which cost nothing where they are not asked for:
   HC_ALLOC_EX            (*)  alloc_ex: an allocation with all that can be said of it
   HC_MEM_ALLOC_ON_NODE(ctx, size, align, node, ptr_out)
                               with HC_ALLOC_EX: gets memory on this NUMA node. With HC_SEGMENT_T a
                               last argument segment_ptr
   HC_HOST_ALLOCATOR      (*)  as_allocator, and a loop for a thread of the user's own
   HC_TRACE               (*)  snapshot, and a history of what happens, with those who follow it
   HC_POOLS               (*)  private pools, with captures: begin_allocate_to_pool and what is
                               around it
   HC_STREAM_CURRENT(ctx, stream_ptr)
                               the stream that this thread works for, for a pool's filter; must not
                               allocate from the cache
   HC_STREAM_IS_CAPTURING(ctx, stream)
                               is it being captured into a graph: done is yes, pending is no. What
                               is got for a capture and used stays in its pool until that is
                               released; and no event is recorded or asked while a pool is open
   HC_CAPTURE_RELAX_BEGIN(ctx, mode_ptr), HC_CAPTURE_RELAX_END(ctx, mode_ptr)
                               around the hooks that get memory and give it back: lets this thread
                               do what a capture forbids. What BEGIN writes to the uint64_t that
                               mode_ptr points to, END reads. Where BEGIN fails, the hook counts as
                               failed
   HC_DEVICE_ALLOCATOR    (*)  figures by pool, a cap that is a part of the memory, and a set of
                               caches, one for each device
   HC_MEM_INFO(ctx, free_ptr, total_ptr)
                               bytes of the memory that the cache gets its own from: those that are
                               free, and all (both size_t)
   HC_COPY_DATA(ctx, dest, src, count)
                               copies between the host's memory and what the cache hands out;
                               without it copy_data is memcpy

   How the code is emitted:
   HC_API                      decorates the prototypes (export, visibility)
   HC_STATIC                   everything static, for one file; emits the code
   HC_IMPLEMENT, HC_DECLARE    emit the code of this inclusion, or never

   HOSTCACHE_* hold for the whole file, and are defined before its first inclusion:
   HOSTCACHE_IMPLEMENTATION    emit the code of every inclusion that defines hooks and does not say
                               HC_DECLARE
   HOSTCACHE_DEBUG             check at run time that locks are taken in order, that no hook sees
                               one held, and, with HC_MEM_IS_HOST, what the program does: see
                               DEBUGGING below
   HOSTCACHE_BACKTRACE(addresses, most)
                               with HOSTCACHE_DEBUG: stores up to `most` return addresses, the
                               innermost first, into void *addresses[], and is how many; default:
                               backtrace of <execinfo.h>; where there is none, the caller alone
   HOSTCACHE_ASSERT(condition) default: assert
   HOSTCACHE_MALLOC(size), HOSTCACHE_FREE(ptr)
                               for the bookkeeping; default: malloc, free. Called with no lock held
   HOSTCACHE_THREADS           HOSTCACHE_THREADS_PTHREAD, _WIN32 or _NONE; default: by platform
   HOSTCACHE_NOW_NS()          a rising clock in ns; default: the system's monotonic clock. May be
                               called with a lock held, so it must not call the cache
   HOSTCACHE_TLS_MODEL         the model of thread-local variables, a string ("initial-exec")
   HOSTCACHE_GLUE_HEADER       a header in place of the locks, atomics, thread-locals and clock of
                               section 5, for a test that steers threads: the one in tests/ shows
                               what it has to have
   HOSTCACHE_BUDGET_ROOT       what stands before /proc and /sys where budget reads them; ""
   HOSTCACHE_REGISTRY          declare the registry of host allocators (section 1)
   HOSTCACHE_REGISTRY_IMPLEMENTATION
                               emit it, in one file that emits a cache
   HOSTCACHE_REGISTRY_API      decorates its prototypes

   Every hook returns a hostcache_status, which only these make: hostcache_done(),
   hostcache_pending(), hostcache_out_of_memory(code), hostcache_failed(code); or from a runtime's
   own code hostcache_map(code, done, pending), hostcache_map_memory(code, done, no_memory,
   no_memory_too). A bare integer does not compile: runtimes disagree on what 0 and 1 mean, and a
   wrong guess would hand out memory in use. The code reaches on_error unchanged.

   What a hook may rely on: no lock of the cache is held, so it may block, take the runtime's own
   locks and call back into the cache (but not destroy, wait, or forget a stream from an event
   hook; on_error is bound as the hook that failed is). What it must do: leave the current device,
   the runtime's last error and errno as it found them; expect to run on one stream at the same time
   as other hooks and the user's own submissions; not throw, not longjmp (in C++ an exception is
   turned into a failure).

   API. HC_NAME and an underscore stand before each; section 4 says of each what it does, returns,
   owns and costs, and whether it may block.

     create, destroy, abandon        a cache
     alloc, free, free_deferred      a block, by its pointer
     alloc_on, block_alloc_on        a block for the work of one stream
     alloc_ex, block_alloc_ex        ... of an alignment, a pool, a NUMA node, and how to get it
     record_stream, record_value, record_event
                                     what uses the block: a stream, a stream's value, an event
     block_alloc, block_free, block_free_deferred, block_record_stream, block_record_value,
     block_record_event              the same by handle, without looking the pointer up
     block_ptr, block_size, block_segment, find
                                     from a handle to what it stands for, and back
     process_events, synchronize     asks what is complete; waits for it
     empty_cache, trim, trim_idle    give cached memory back: all, down to so many bytes, what was
                                     idle for so long
     reserve                         gets memory in advance
     set_max_reserved_bytes, set_max_cached_bytes
                                     change the bounds of the config
     forget_stream                   before a stream is destroyed
     release_quarantine              the caller says that the device is idle
     record_free, free_cached        a block leaves for good; all that is cached goes back
     guard_push, guard_pop, current  a thread's current cache
     stats, reset_accumulated_stats, reset_peak_stats
                                     figures
     check, walk                     every invariant; every segment and block
     budget                          what may sensibly be pinned here and now; needs no cache
     begin_allocate_to_pool, end_allocate_to_pool, retain_pool, release_pool, pool_use_count,
     pool_reserved_bytes             private pools
     empty_cache_pool                gives back what is idle of one
     checkpoint_pool, restore_pool, checkpoint_free
                                     what one was like
     as_allocator                    the cache as a struct of function pointers
     background_run, background_stop
                                     polls in a thread of the user's own; ends that
     snapshot                        every segment and block, with all that is known of them
     record_history, history         what happened, in a ring
     attach_trace_tracker, attach_oom_observer
                                     hear of it as it happens
     record_external_register, record_external_unregister
                                     memory that is pinned outside of the cache
     initialized                     is there a cache to be used?
     memory_info, cache_info, get_expandable_segment_sizes
                                     what is free and what there is; the largest that is cached
     set_memory_fraction, get_memory_fraction
                                     the cap as a part of all there is
     device_stats                    figures by pool: small, large and both
     devices_create, devices_destroy, devices_abandon, devices_count, devices_get
                                     a cache for each device

   GUARANTEES

   A block is handed out, or its memory given back, only when it is not active and every use that
   was recorded on it has completed. Nothing that fails in the runtime or in the bookkeeping breaks
   this, loses a block or miscounts a byte. Every misuse that is ordered before the next hand-out of
   that address (double free, foreign or interior pointer, use recorded after the free) is reported
   and harmless. Racing calls on one block, and a pointer or handle kept after its block was freed
   and handed out again, cannot be told: they are the caller's error. (What a handle stands for may
   then lie at another address: records of blocks are used again, the one spare for longest first.)
   A handle stays readable until destroy.

   Every function may be called from any thread at any time, but for destroy and abandon, which must
   be the last. A child after fork gets HOSTCACHE_ERR_FORKED from everything. Nothing is
   async-signal-safe.

   DEBUGGING

   With HOSTCACHE_DEBUG and HC_MEM_IS_HOST a cache looks after its memory, at the price of going
   over all of a block each time that it is got and freed, also where it holds a lock:

     live blocks         destroy, if it says BUSY, and abandon tell of the blocks that are still
                         handed out (the first 16, and how many more): BUSY, or LEAKED, each with
                         the place where it was got. That is its callers: functions and offsets
                         where the system knows them (-rdynamic), else addresses for addr2line.
     overflow            behind the bytes that were asked for lies a red zone, of at least 16 bytes.
                         It is looked at by free, record_free, check, and by destroy where that is
                         BUSY; and of what was freed by free_deferred, or was written to by a stream
                         after its free, when the memory is next handed out or goes back. So a block
                         is got as if 16 bytes more had been asked for: a size may be TOO_BIG, or
                         pass a bound, that is not so without HOSTCACHE_DEBUG. `requested` is what
                         was asked for everywhere, and block_size too, as no byte more may be used;
                         `size` in walk and bytes in the figures count the red zone.
     write after free    what is ready is full of one byte (0xdb), from when all uses of the block
                         are complete. It is looked at when it is handed out, by check, and before
                         HC_MEM_FREE. A write of that very byte is not seen.
     access after free   what is ready, and the red zones, are poisoned for AddressSanitizer, and
                         for valgrind where its header is found: these then stop the program, or
                         tell, where it errs. That is lifted before HC_MEM_FREE, and when a block
                         leaves.

   The memory of private pools is left alone, as a replay uses it while it is free. on_error hears
   CORRUPT of what was written to, with a sentence that is good until it returns; where there is
   none, stderr is told, and also of live blocks. free and record_free return CORRUPT, although the
   block is freed, or has left; check does until the memory is handed out again; alloc gives OK, and
   the block may be used.

   DESIGN NOTE

   A block belongs to exactly one owner at a time: the user, the thread that is freeing it, the
   queues of the streams it waits for, a bin of ready blocks, or the thread that gives it back. Its
   state says which (section 6 draws the machine). Each thread has a record in the cache: a stock of
   ready blocks by class, queues of the blocks that it freed with uses, and its part of the figures.
   It goes inside of its record by raising a flag, so a hit and a free without uses take no lock and
   no atomic read-modify-write; nor do they share a line of memory that others write. Another thread
   that wants what is in there says stop, makes all processors pass a barrier, and waits until the
   flag is down: a thread that sleeps need not wake up for it. Stocks are bounded in bytes, and
   trade with shared bins in batches of 16; a thread that only frees blocks of some class passes
   each batch of them on. What is larger than small goes straight to and from the heaps. A stream
   that uses a block is one bit in the block, which the thread that got the block sets with a plain
   store and others in a word of their own.

   A thread has a queue for each stream, and only the head of a queue is asked: what stands behind
   it was submitted later. So a stream that hangs holds back its own blocks alone, and polling costs
   one query per busy stream, however many blocks wait. Events that the user hands over have no
   order among them; they wait in a list, of which each poll asks a bounded number in turn. What a
   thread that sleeps or has ended left in its queues, others poll. Locks are short: none is held
   while a hook, malloc or on_error runs, and their order is the order of their ranks in section 5.

   Memory is got in segments: of 2 MiB that small blocks share, or of the size of one large block. A
   segment is divided into ranges without a gap; a block is a range. Two ready ranges side by side
   become one at once, a ready range that is larger than what is asked for is split, and the best
   fit is taken. So nothing is hoarded by size: every ready byte serves every request that fits. A
   segment that is ready as a whole is idle and can be given back; before more is held than ever
   was, or an eighth more than was ever in use, idle segments that don't fit go back first. All
   records live outside of the memory, which the host may not be able to read. Small blocks that are
   in a stock or a bin are not made one with their neighbours; before the runtime is asked for more,
   and by empty_cache, trim and the bounds, they are, wherever they are.

   With HC_STREAM_ORDERED a stream has heaps of its own, of what it alone may take before it is
   through. A fence, an event after all that the stream had so far, says of all that was freed
   before it that it is ready for everybody: each free records one while others look for memory, so
   that a block is ready as soon as if it had an event of its own, and else every 16th, so that a
   stream that takes back what it frees costs no more than that. */

/* ---- 1. COMMON ----------------------------------------------------------------------------------
   Once per file: what all caches share. Nothing here depends on an HC_* macro. */

#if defined HOSTCACHE_VERSION && HOSTCACHE_VERSION != 100
#error "hostcache: two versions of hostcache.h meet in one file; let both inclusions find one"
#define HC_BAD_DECLARE
#endif

#ifndef HOSTCACHE_VERSION
#define HOSTCACHE_VERSION 100 /* major * 10000 + minor * 100 + patch */

#include <stddef.h>
#include <stdint.h>

#define HOSTCACHE_NONE ((size_t)-1) /* none at all, for max_cached_bytes and thread_cache_bytes */

/* The results and what they mean, in one list. HOSTCACHE_OK is 0, errors are negative. */
#define HOSTCACHE_RESULTS(X)                                                                       \
  X(HOSTCACHE_OK, 0, "ok")                                                                         \
  X(HOSTCACHE_ERR_ARGUMENT, -1,                                                                    \
    "NULL where it must not be, or a config of another version or that contradicts itself")        \
  X(HOSTCACHE_ERR_TOO_BIG, -2, "the size exceeds PTRDIFF_MAX or the config's max_segment_bytes")   \
  X(HOSTCACHE_ERR_OUT_OF_MEMORY, -3, "HC_MEM_ALLOC gave no memory; on_error has its code")         \
  X(HOSTCACHE_ERR_LIMIT, -4, "the cache's own cap would be passed, also after reclaiming")         \
  X(HOSTCACHE_ERR_NO_METADATA, -5, "the cache's own bookkeeping could not be allocated")           \
  X(HOSTCACHE_ERR_NOT_FOUND, -6, "the pointer is not in an active block of this cache")            \
  X(HOSTCACHE_ERR_DOUBLE_FREE, -7, "the block is not active: it was freed before")                 \
  X(HOSTCACHE_ERR_EVENT, -8, "an event hook failed; on_error has its code")                        \
  X(HOSTCACHE_ERR_BUSY, -9, "blocks are in use, or a stream is captured: nothing was done")        \
  X(HOSTCACHE_ERR_LEAKED, -10, "memory was left to the runtime: quarantined, or its free failed")  \
  X(HOSTCACHE_ERR_TIMEOUT, -11, "the time given ran out")                                          \
  X(HOSTCACHE_ERR_FORKED, -12, "the cache was made by the parent of this process")                 \
  X(HOSTCACHE_ERR_UNSUPPORTED, -13, "the hook that this needs is missing, or it is not built yet") \
  X(HOSTCACHE_ERR_CORRUPT, -14, "a broken invariant, or a hook gave memory that cannot be right")  \
  X(HOSTCACHE_ERR_HOOK, -15, "a hook of an interface failed; on_error has its code")

#define HOSTCACHE_RESULT_ENUM(name, value, text) name = (value),
#define HOSTCACHE_RESULT_CASE(name, value, text) \
  case name:                                     \
    return #name ": " text;

typedef enum hostcache_result {
  HOSTCACHE_RESULTS(HOSTCACHE_RESULT_ENUM)
  HOSTCACHE_RESULT_RANGE = 0x7fffffff /* no result: keeps the enum as wide as an int everywhere */
} hostcache_result;

/* What a hook returns. Made by the functions below alone; the fields are the header's own. */
typedef struct hostcache_status {
  int outcome;
  int64_t code;
} hostcache_status;

enum { HOSTCACHE_DONE, HOSTCACHE_PENDING, HOSTCACHE_NO_MEMORY, HOSTCACHE_FAILED };

/* The code of a failure that was a C++ exception. */
#define HOSTCACHE_CODE_EXCEPTION INT64_MIN

typedef void (*hostcache_error_fn)(void *user, hostcache_result result, int64_t code,
                                   const char *what, const void *ptr);

typedef struct hostcache_config { /* start from HOSTCACHE_CONFIG_INIT; 0 means the default */
  uint32_t version;               /* stamped by HOSTCACHE_CONFIG_INIT */
  uint32_t query_error_limit;     /* failed queries in a row before quarantine; 3 */
  size_t alignment;               /* of every block, a power of two; 512; with HC_OWN_SEGMENTS 64 */
  size_t segment_bytes;           /* of the segments that blocks of up to it share; 2 MiB. Refused
                                     by a bound or the runtime, the request's own size is tried */
  size_t max_segment_bytes;       /* the most that one call of HC_MEM_ALLOC may ask, at least a
                                     page and the alignment; no bound */
  size_t max_reserved_bytes;      /* hard cap on what is held; no bound */
  size_t max_cached_bytes;        /* above it idle segments go back; no bound; HOSTCACHE_NONE */
  size_t max_split_size;          /* ranges above it are not split; at least class_steps pages; no
                                     bound */
  size_t thread_cache_bytes;      /* what one thread may have in stock; a 16th of what is reserved,
                                     from 4 to 32 MiB; HOSTCACHE_NONE: no stocks. There are none
                                     either where max_cached_bytes bounds what is idle */
  uint64_t wait_on_limit_ns;      /* how long an allocation waits for what is pending before it
                                     fails for want of memory; 0: it does not. A hook that allocates
                                     may wait for itself so long */
  uint32_t streams_die_idle;      /* 1: forget_stream waits for what is pending; 0 */
  hostcache_error_fn on_error;    /* hears of each failure of a hook or of the bookkeeping */
  void *on_error_user;
  size_t reserve_segment_bytes;   /* one segment that create gets, to be carved first; 0: none */
  size_t class_max_bytes;         /* above it sizes are rounded to the page alone; 1 MiB */
  uint32_t class_steps;           /* classes to each doubling, a power of two up to 64; 8 */
  uint32_t max_reserved_percent;  /* the cap is also at most this part, 1 to 100, of what the
                                     budget is at create; 0: no such bound. Replaced too by
                                     set_max_reserved_bytes */
} hostcache_config;

#define HOSTCACHE_CONFIG_INIT \
  { HOSTCACHE_VERSION, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL, 0, 0, 0, 0 }

typedef struct hostcache_stat {
  int64_t current, peak, allocated, freed;
} hostcache_stat;

typedef struct hostcache_duration { /* ns */
  int64_t total, max, min, count;
} hostcache_duration;

/* Names and meanings are those of c10::CachingDeviceAllocator::DeviceStats where it has one, else
   of at::HostStats. Bytes are bytes; `requested` is what the callers asked for, before rounding. */
typedef struct hostcache_stats {
  hostcache_stat allocation;           /* blocks handed out */
  hostcache_stat segment;              /* segments held, leaked ones too */
  hostcache_stat active;               /* blocks handed out, pending or quarantined */
  hostcache_stat inactive_split;       /* ready ranges of a split segment */
  hostcache_stat allocated_bytes;      /* of `allocation` */
  hostcache_stat reserved_bytes;       /* of `segment` */
  hostcache_stat active_bytes;         /* of `active` */
  hostcache_stat inactive_split_bytes; /* of `inactive_split` */
  hostcache_stat requested_bytes;      /* of `active`, as requested */
  hostcache_stat pending;              /* blocks freed, with a use not yet known to be complete */
  hostcache_stat pending_bytes;
  hostcache_stat quarantined; /* blocks with a use that cannot be told */
  hostcache_stat quarantined_bytes;
  hostcache_stat leaked; /* segments whose free hook failed */
  hostcache_stat leaked_bytes;
  hostcache_stat oversize_allocations; /* above max_split_size */
  hostcache_stat oversize_segments;
  hostcache_stat cached_bytes; /* ready, in whole segments or in part */
  hostcache_stat wasted_bytes; /* of `active`, beyond what was requested */
  hostcache_duration mem_alloc_time; /* in HC_MEM_ALLOC */
  hostcache_duration mem_free_time;  /* in HC_MEM_FREE */
  int64_t num_alloc_retries;    /* HC_MEM_ALLOC was out of memory: reclaimed, then asked again */
  int64_t num_ooms;             /* ... and still out of memory */
  int64_t num_sync_all_streams; /* calls of synchronize */
  int64_t num_mem_alloc;        /* calls of HC_MEM_ALLOC */
  int64_t num_mem_free;         /* calls of HC_MEM_FREE */
  int64_t num_event_record;     /* calls of HC_EVENT_RECORD or HC_TIMELINE_RECORD */
  int64_t num_event_query;      /* calls of HC_EVENT_QUERY or HC_TIMELINE_QUERY */
  int64_t num_hits;             /* allocations served without a hook */
  int64_t num_misses;           /* the other allocations that were served */
  int64_t num_barriers_refused; /* the system refused the barrier that reaches other threads'
                                   stocks: they stayed as they were */
  int64_t max_split_size;       /* the config's; INT64_MAX: no bound */
  int64_t last_failed_bytes;    /* what the last allocation that failed had asked for; 0: none */
} hostcache_stats;

enum {
  HOSTCACHE_VISIT_SEGMENT,
  HOSTCACHE_VISIT_ACTIVE,
  HOSTCACHE_VISIT_PENDING,
  HOSTCACHE_VISIT_CACHED,
  HOSTCACHE_VISIT_QUARANTINED,
  HOSTCACHE_VISIT_LEAKED
};

typedef struct hostcache_visit { /* what walk shows: a segment, then its ranges by address */
  int kind;
  const void *ptr;
  size_t size, requested; /* requested: 0 for what is not active */
} hostcache_visit;

/* Non-zero stops the walk. */
typedef int (*hostcache_visit_fn)(void *user, const hostcache_visit *visit);

#define HOSTCACHE_UNKNOWN INT64_C(-1) /* in a budget: the system does not tell, or not in full */
#define HOSTCACHE_UNLIMITED INT64_MAX /* likewise: the system says that there is no limit */

/* What bounds a budget, in one list like the results. */
#define HOSTCACHE_BINDINGS(X)                                                                      \
  X(HOSTCACHE_BUDGET_NOTHING, 0, "nothing that is known bounds it")                                \
  X(HOSTCACHE_BUDGET_MEMLOCK, 1, "what may be locked: memlock_limit - memlock_used")               \
  X(HOSTCACHE_BUDGET_CGROUP, 2, "the cgroup: cgroup_limit - cgroup_used + cgroup_reclaimable")     \
  X(HOSTCACHE_BUDGET_AVAILABLE, 3, "the memory of the machine: mem_available")

typedef enum hostcache_binding {
  HOSTCACHE_BINDINGS(HOSTCACHE_RESULT_ENUM)
  HOSTCACHE_BUDGET_RANGE = 0x7fffffff /* none: keeps the enum as wide as an int everywhere */
} hostcache_binding;

/* What may still be pinned, and each figure that it comes from, in bytes. Any of them can be
   HOSTCACHE_UNKNOWN, a limit also HOSTCACHE_UNLIMITED. A limit whose use is unknown bounds as it
   stands, and page cache that is unknown is not counted on; else what is unknown bounds nothing. */
typedef struct hostcache_budget {
  int64_t bytes;              /* the least of the three in HOSTCACHE_BINDINGS that are known */
  hostcache_binding binding;  /* which of them that is */
  int32_t memlock_exempt;     /* 1: this process has CAP_IPC_LOCK, and memlock_limit does not bind;
                                 0: it does; -1: unknown, and it does */
  int64_t memlock_limit;      /* RLIMIT_MEMLOCK, the soft one; on Windows the minimum of
                                 the working set */
  int64_t memlock_used;       /* VmLck. Not VmPin: what drivers pin for I/O is held against the
                                 same limit, but counted apart */
  int64_t cgroup_limit;       /* the lower of memory.max and memory.high (above which the kernel
                                 slows a process down), in the cgroup v2 that has the least left:
                                 that of this process, or one around it */
  int64_t cgroup_used;        /* memory.current of it */
  int64_t cgroup_reclaimable; /* its page cache, which counts as used, but makes room for what is
                                 pinned: inactive_file + active_file of memory.stat */
  int64_t mem_available;      /* MemAvailable; on Windows ullAvailPhys */
  int64_t huge_free;          /* HugePages_Free * Hugepagesize. Bounds nothing, and is not part of
                                 mem_available */
} hostcache_budget;

/* The columns of hostcache_device_stats. Source: c10::CachingAllocator::StatType. */
enum {
  HOSTCACHE_STAT_AGGREGATE,
  HOSTCACHE_STAT_SMALL_POOL, /* of segments that small blocks share */
  HOSTCACHE_STAT_LARGE_POOL, /* of all others, also of what was reserved at creation */
  HOSTCACHE_STAT_TYPES
};

/* The figures of a device allocator: names and meanings are those of
   c10::CachingDeviceAllocator::DeviceStats. The aggregate is that of hostcache_stats. The segment
   that a block lies in says which pool it is of, so that in each column what is in use or ready is
   also reserved: where a small block was carved from what was left of a large segment, it counts as
   large. `current`, `allocated` and `freed` of both pools add up to the aggregate. */
typedef struct hostcache_device_stats {
  hostcache_stat allocation[HOSTCACHE_STAT_TYPES];
  hostcache_stat segment[HOSTCACHE_STAT_TYPES];
  hostcache_stat active[HOSTCACHE_STAT_TYPES];
  hostcache_stat inactive_split[HOSTCACHE_STAT_TYPES];
  hostcache_stat allocated_bytes[HOSTCACHE_STAT_TYPES];
  hostcache_stat reserved_bytes[HOSTCACHE_STAT_TYPES];
  hostcache_stat active_bytes[HOSTCACHE_STAT_TYPES];
  hostcache_stat inactive_split_bytes[HOSTCACHE_STAT_TYPES];
  hostcache_stat requested_bytes[HOSTCACHE_STAT_TYPES];
  hostcache_stat oversize_allocations;
  hostcache_stat oversize_segments;
  int64_t num_alloc_retries;
  int64_t num_ooms;
  int64_t num_sync_all_streams;
  int64_t num_device_alloc;   /* segments got */
  int64_t num_device_free;    /* segments given back */
  int64_t num_oom_rejections; /* allocations that failed at the cap: LIMIT */
  int64_t max_split_size;
} hostcache_device_stats;

#define HOSTCACHE_DEVICE_TYPE_CPU 0 /* no device. Source: c10::DeviceType::CPU */

/* What makes a cache the current one of a thread (HC_OWN_SEGMENTS): the caller's, which it links.
   The fields are the header's own. Source: c10::WithCPUCachingAllocatorGuard. */
typedef struct hostcache_guard {
  void *cache;
  struct hostcache_guard *outer; /* what was current before */
} hostcache_guard;

/* The identity of a private pool; {0, 0} is none. Source: c10::MempoolId_t. */
typedef struct hostcache_pool_id {
  uint64_t first, second;
} hostcache_pool_id;

/* An allocation with all that can be said of it: start from HOSTCACHE_REQUEST_INIT. */
#define HOSTCACHE_NODE_ANY (-1)
#define HOSTCACHE_REQUEST_CACHED_ONLY 1u /* what is ready or nothing: HC_MEM_ALLOC is not called */
#define HOSTCACHE_REQUEST_NO_WAIT 2u     /* as if wait_on_limit_ns were 0 */

typedef struct hostcache_request {
  uint32_t version;       /* stamped by HOSTCACHE_REQUEST_INIT */
  uint32_t flags;         /* HOSTCACHE_REQUEST_..., or-ed */
  size_t size;            /* bytes */
  size_t alignment;       /* a power of two; 0, or less than the config's: that */
  hostcache_pool_id pool; /* {0, 0}: as the open pools and their filters say; else this one, which
                             somebody has retained, open or not */
  int32_t node;           /* HOSTCACHE_NODE_ANY, or the memory is to be of this NUMA node */
  const void *stream;     /* a const HC_STREAM_T *: as alloc_on; NULL: as alloc */
} hostcache_request;

#define HOSTCACHE_REQUEST_INIT \
  { HOSTCACHE_VERSION, 0, 0, 0, {0, 0}, HOSTCACHE_NODE_ANY, NULL }

/* The figures of a host allocator, with the meanings of at::HostStats. A request is active until
   all uses of its block are known to be complete; what is allocated is what HC_MEM_ALLOC gave.
   Durations are microseconds here. */
typedef struct hostcache_host_stats {
  hostcache_stat active_requests;     /* `active` of hostcache_stats */
  hostcache_stat active_bytes;        /* `active_bytes` */
  hostcache_stat allocations;         /* `segment` */
  hostcache_stat allocated_bytes;     /* `reserved_bytes` */
  hostcache_duration host_alloc_time; /* `mem_alloc_time` */
  hostcache_duration host_free_time;  /* `mem_free_time` */
  int64_t num_host_alloc;             /* segments got */
  int64_t num_host_free;              /* segments given back */
  int64_t bucket_allocation[64];      /* segments got, by log2 of their size, rounded up */
} hostcache_host_stats;

/* Is this stream (a const HC_STREAM_T *; NULL where the cache has none) one whose allocations
   belong to the pool? Called with no lock held, by the thread that allocates; must neither call the
   cache nor throw. */
typedef int (*hostcache_stream_filter)(void *user, const void *stream);

typedef struct hostcache_delta { /* what a restore of a pool has changed: one block */
  int created;            /* 1: it is active from now on, and the caller's; 0: it has ended */
  void *ptr;
  size_t size, requested; /* bytes */
  void *block;            /* its handle, if it was created; else NULL */
} hostcache_delta;

typedef void (*hostcache_delta_fn)(void *user, const hostcache_delta *delta);

/* A host allocator without its type: what as_allocator fills in. The functions take the `cache` of
   this struct and do what those of the cache do, with their results, on any thread. `priority` is
   the user's to set. Source: at::HostAllocator. */
typedef struct hostcache_allocator {
  void *cache;
  int priority; /* for the registry; 0 */
  /* Hands out a block: its pointer, and the context that the others take. Size 0: both NULL. */
  hostcache_result (*allocate)(void *cache, size_t size, void **ptr, void **context);
  /* Frees a block by its context, which knows its cache. NULL is fine. on_error hears of a block
     that is not active. */
  void (*deleter)(void *context);
  /* Marks the block as used on a stream (a const HC_STREAM_T *): the block of the context, if that
     is one of this cache, else the one that `ptr` points into. 1: its memory will not be reused
     before the stream is through; 0: neither is ours. Looks at no context that it does not know. */
  int (*record_event)(void *cache, void *ptr, void *context, const void *stream);
  hostcache_result (*empty_cache)(void *cache);
  hostcache_result (*get_stats)(void *cache, hostcache_host_stats *stats);
  hostcache_result (*reset_accumulated_stats)(void *cache);
  hostcache_result (*reset_peak_stats)(void *cache);
  /* As those of the cache with HC_POOLS; without it UNSUPPORTED. */
  hostcache_result (*begin_allocate_to_pool)(void *cache, hostcache_pool_id pool,
                                             hostcache_stream_filter filter, void *user);
  hostcache_result (*end_allocate_to_pool)(void *cache, hostcache_pool_id pool);
  hostcache_result (*release_pool)(void *cache, hostcache_pool_id pool);
  /* Copies by HC_COPY_DATA, or memcpy. HOOK: it failed. */
  hostcache_result (*copy_data)(void *cache, void *dest, const void *src, size_t count);
} hostcache_allocator;

/* What happens to a block or a segment, in one list like the results. Source:
   c10::CachingDeviceAllocator::TraceEntry::Action. */
#define HOSTCACHE_ACTIONS(X)                                                             \
  X(HOSTCACHE_TRACE_ALLOC, 0, "a block is handed out")                                   \
  X(HOSTCACHE_TRACE_FREE_REQUESTED, 1, "it is freed, and may be in use by streams still") \
  X(HOSTCACHE_TRACE_FREE_COMPLETED, 2, "it is in use no more, and ready")                \
  X(HOSTCACHE_TRACE_SEGMENT_ALLOC, 3, "HC_MEM_ALLOC gave a segment")                     \
  X(HOSTCACHE_TRACE_SEGMENT_FREE, 4, "a segment is about to go back, by HC_MEM_FREE")    \
  X(HOSTCACHE_TRACE_OOM, 5, "an allocation failed for want of memory, or at the cap")    \
  X(HOSTCACHE_TRACE_SNAPSHOT, 6, "snapshot was called")

typedef enum hostcache_action {
  HOSTCACHE_ACTIONS(HOSTCACHE_RESULT_ENUM)
  HOSTCACHE_ACTION_RANGE = 0x7fffffff /* none: keeps the enum as wide as an int everywhere */
} hostcache_action;

typedef struct hostcache_trace { /* one entry */
  hostcache_action action;
  uint64_t sequence; /* rises by one from entry to entry of a cache */
  uint64_t time_ns;  /* by HOSTCACHE_NOW_NS */
  const void *ptr;   /* of the block or segment; else NULL */
  size_t size;       /* its bytes; OOM: those that were wanted */
  size_t requested;  /* of a block: what was asked for */
  hostcache_pool_id pool; /* {0, 0}: none */
  void *context;     /* what the user's hostcache_context_fn gave, for ALLOC, OOM and SNAPSHOT; that
                        of its ALLOC for the rest of a block's life */
} hostcache_trace;

/* Hears of an entry. */
typedef void (*hostcache_trace_fn)(void *user, const hostcache_trace *entry);

/* What the user wants to remember with an entry (where in the program, which tensor); the cache
   never looks at it. Called with no lock held, before the allocation begins; must not call it. */
typedef void *(*hostcache_context_fn)(void *user, hostcache_action action);

typedef struct hostcache_oom { /* an allocation that failed for want of memory */
  hostcache_result result;     /* OUT_OF_MEMORY or LIMIT */
  size_t requested;            /* what it asked for */
  size_t reserved_bytes;       /* what is held */
  size_t max_reserved_bytes;   /* the cap; SIZE_MAX: none */
} hostcache_oom;

typedef void (*hostcache_oom_fn)(void *user, const hostcache_oom *oom);

typedef struct hostcache_range { /* what snapshot shows: a segment, then its ranges by address */
  int kind;                      /* HOSTCACHE_VISIT_... */
  const void *ptr;
  size_t size, requested;   /* requested: 0 for what is not active, pending or quarantined */
  size_t active_bytes;      /* of a segment: those of its blocks in use */
  size_t allocated_bytes;   /* of a segment: those of its blocks that are handed out */
  hostcache_pool_id pool;   /* {0, 0}: none */
  void *context;            /* of a block in use: as in hostcache_trace, if that was on then */
  const void *streams;      /* const HC_STREAM_T *: those that use it, as far as is known; good */
  size_t stream_count;      /* until the function returns. Events alone have no stream */
} hostcache_range;

/* Non-zero stops the snapshot. */
typedef int (*hostcache_range_fn)(void *user, const hostcache_range *range);

/* The name of an action and what it means. Never NULL. */
static inline const char *hostcache_action_string(hostcache_action action) {
  switch (action) {
    HOSTCACHE_ACTIONS(HOSTCACHE_RESULT_CASE)
    case HOSTCACHE_ACTION_RANGE:
      break;
  }
  return "not a hostcache_action";
}

#if defined HOSTCACHE_REGISTRY || defined HOSTCACHE_REGISTRY_IMPLEMENTATION

/* The registry: which host allocator is for which type of device, a small number that the program
   chooses. Emitted in the file that says HOSTCACHE_REGISTRY_IMPLEMENTATION. Any thread may call.
   Where two shared objects of one process both emit it, the dynamic linker decides as with any
   function: if both are visible to it (ELF's default visibility, objects that the program was
   linked with or that were opened with RTLD_GLOBAL), the first one serves both; if it is hidden
   (HOSTCACHE_REGISTRY_API), or with RTLD_LOCAL, or on Windows, each has its own. */

#define HOSTCACHE_DEVICE_TYPES 64

#ifndef HOSTCACHE_REGISTRY_API
#define HOSTCACHE_REGISTRY_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Registers an allocator, unless one of a higher priority is registered; of equal ones the last
   counts. Returns the one that is registered now; NULL: no such type, or no allocator. The struct
   stays the caller's, and must live until it is taken out. Source: at::setHostAllocator. */
HOSTCACHE_REGISTRY_API const hostcache_allocator *hostcache_set_host_allocator(
    int device_type, const hostcache_allocator *allocator);

/* The one that is registered, or NULL. Source: at::getHostAllocator. */
HOSTCACHE_REGISTRY_API const hostcache_allocator *hostcache_get_host_allocator(int device_type);

/* Takes an allocator out, as its cache is about to end. 1: it was the one; 0: it was not. */
HOSTCACHE_REGISTRY_API int hostcache_remove_host_allocator(int device_type,
                                                           const hostcache_allocator *allocator);

#ifdef __cplusplus
}
#endif

#endif /* the registry */

/* The name of a result and what it means. Never NULL. */
static inline const char *hostcache_result_string(hostcache_result result) {
  switch (result) {
    HOSTCACHE_RESULTS(HOSTCACHE_RESULT_CASE)
    case HOSTCACHE_RESULT_RANGE:
      break;
  }
  return "not a hostcache_result";
}

/* The name of what bounds a budget and what it means. Never NULL. */
static inline const char *hostcache_binding_string(hostcache_binding binding) {
  switch (binding) {
    HOSTCACHE_BINDINGS(HOSTCACHE_RESULT_CASE)
    case HOSTCACHE_BUDGET_RANGE:
      break;
  }
  return "not a hostcache_binding";
}

static inline hostcache_status hostcache_make_status(int outcome, int64_t code) {
  hostcache_status status;
  status.outcome = outcome;
  status.code = code;
  return status;
}

/* The hook did what it was asked to; of a query: the event has completed. */
static inline hostcache_status hostcache_done(void) {
  return hostcache_make_status(HOSTCACHE_DONE, 0);
}

/* Of a query or a wait: not complete yet. */
static inline hostcache_status hostcache_pending(void) {
  return hostcache_make_status(HOSTCACHE_PENDING, 0);
}

/* Of HC_MEM_ALLOC: none left. The cache gives back what it can and asks once more. */
static inline hostcache_status hostcache_out_of_memory(int64_t code) {
  return hostcache_make_status(HOSTCACHE_NO_MEMORY, code);
}

/* Anything else that went wrong. */
static inline hostcache_status hostcache_failed(int64_t code) {
  return hostcache_make_status(HOSTCACHE_FAILED, code);
}

/* A runtime's own code: done_code is done, pending_code pending, the rest failed. Where the call
   knows no pending, give done_code twice. */
static inline hostcache_status hostcache_map(int64_t code, int64_t done_code,
                                             int64_t pending_code) {
  if (code == done_code) return hostcache_done();
  if (code == pending_code) return hostcache_pending();
  return hostcache_failed(code);
}

/* A runtime's own code from a call that gets memory. Runtimes have up to two codes that mean out of
   memory (of the host, of the device); where there is one, give it twice. */
static inline hostcache_status hostcache_map_memory(int64_t code, int64_t done_code,
                                                    int64_t no_memory_code,
                                                    int64_t no_memory_code_too) {
  if (code == done_code) return hostcache_done();
  if (code == no_memory_code || code == no_memory_code_too) return hostcache_out_of_memory(code);
  return hostcache_failed(code);
}

/* For functions that are static and may be unused in this file. */
#if defined __GNUC__
#define HOSTCACHE_UNUSED __attribute__((unused))
#else
#define HOSTCACHE_UNUSED
#endif

/* For the few functions that the hot path consists of: a call would cost more than they do. */
#if defined __GNUC__
#define HOSTCACHE_INLINE __attribute__((unused, always_inline)) static inline
#define HOSTCACHE_RARELY(condition) __builtin_expect(!!(condition), 0)
#define HOSTCACHE_APART __attribute__((unused, noinline)) static /* so that hot paths stay small */
#define HOSTCACHE_RARE __attribute__((unused, cold)) /* made small rather than fast */
#else
#define HOSTCACHE_INLINE static inline
#define HOSTCACHE_RARELY(condition) (condition)
#define HOSTCACHE_APART static
#define HOSTCACHE_RARE
#endif

#endif /* COMMON */

/* ---- 2. PARAMETERS ------------------------------------------------------------------------------
   Defaults and checks. Each thing that is missing is one #error, and then nothing else:
   HC_BAD_DECLARE skips all that follows, HC_BAD_EMIT the code alone, so that the user's own calls
   still find their prototypes. */

/* HC_SECOND(HC_PROBE(HC_NAME), 0, 0) is 0, but 1 for a name that has an HC_PROBE_name. */
#define HC_PROBE_hostcache HC_NAME, 1
#define HC_PROBE_ HC_NAME, 1
#define HC_PROBE2(name) HC_PROBE_##name
#define HC_PROBE(name) HC_PROBE2(name)
#define HC_SECOND2(a, b, ...) b
#define HC_SECOND(...) HC_SECOND2(__VA_ARGS__)

#ifndef HC_NAME
#error "hostcache: define HC_NAME, the name of the cache's type and the prefix of its functions"
#define HC_BAD_DECLARE
#elif HC_SECOND(HC_PROBE(HC_NAME), 0, 0)
#error "hostcache: HC_NAME must be a name of your own: it is empty, or hostcache"
#define HC_BAD_DECLARE
#endif

#if !defined HC_STREAM_T && !defined HC_NO_STREAMS
#error "hostcache: define HC_STREAM_T, the type of a stream (or HC_NO_STREAMS if there are none)"
#define HC_BAD_DECLARE
#endif

#if defined HC_STREAM_T && defined HC_NO_STREAMS
#error "hostcache: HC_STREAM_T and HC_NO_STREAMS exclude each other"
#define HC_BAD_DECLARE
#endif

#if defined HC_NO_STREAMS && defined HC_TIMELINE
#error "hostcache: HC_TIMELINE needs streams, which HC_NO_STREAMS excludes"
#define HC_BAD_DECLARE
#endif

#if defined HC_TIMELINE && defined HC_EVENT_T
#error "hostcache: HC_TIMELINE and HC_EVENT_T exclude each other: a use waits for one of them"
#define HC_BAD_DECLARE
#endif

#if defined HC_STREAM_ORDERED && defined HC_NO_STREAMS
#error "hostcache: HC_STREAM_ORDERED needs streams, which HC_NO_STREAMS excludes"
#define HC_BAD_DECLARE
#endif

#if defined HC_OWN_SEGMENTS && (!defined HC_NO_STREAMS || defined HC_EVENT_T)
#error "hostcache: HC_OWN_SEGMENTS needs HC_NO_STREAMS and no HC_EVENT_T: what leaves can't wait"
#define HC_BAD_DECLARE
#endif

#if defined HC_IMPLEMENT && defined HC_DECLARE
#error "hostcache: HC_IMPLEMENT and HC_DECLARE exclude each other"
#define HC_BAD_DECLARE
#endif

#ifndef HC_CTX_T
#define HC_CTX_T void *
#endif

#ifndef HC_API
#define HC_API
#endif

#if !defined HC_BAD_DECLARE && !defined HC_DECLARE
#if defined HC_STATIC || defined HC_IMPLEMENT
#define HC_EMIT
#elif defined HOSTCACHE_IMPLEMENTATION
#if defined HC_MEM_ALLOC || defined HC_MEM_FREE || defined HC_EVENT_CREATE ||        \
    defined HC_EVENT_DESTROY || defined HC_EVENT_RECORD || defined HC_EVENT_QUERY || \
    defined HC_EVENT_WAIT || defined HC_STREAM_WAIT || defined HC_TIMELINE_RECORD || \
    defined HC_TIMELINE_QUERY || defined HC_TIMELINE_WAIT
#define HC_EMIT
#endif
#endif
#endif

#ifdef HC_EMIT

#ifndef HC_MEM_ALLOC
#ifdef HC_SEGMENT_T
#error "hostcache: define HC_MEM_ALLOC(ctx, size, align, ptr_out, segment_ptr), which gets memory"
#else
#error "hostcache: define HC_MEM_ALLOC(ctx, size, align, ptr_out), which gets memory"
#endif
#define HC_BAD_EMIT
#endif

#ifndef HC_MEM_FREE
#ifdef HC_SEGMENT_T
#error "hostcache: define HC_MEM_FREE(ctx, ptr, size, segment_ptr), which gives memory back"
#else
#error "hostcache: define HC_MEM_FREE(ctx, ptr, size), which gives memory back"
#endif
#define HC_BAD_EMIT
#endif

#if defined HC_NO_STREAMS

#if defined HC_EVENT_T && !defined HC_EVENT_QUERY
#error "hostcache: define HC_EVENT_QUERY(ctx, event_ptr): has the event completed?"
#define HC_BAD_EMIT
#endif
#if !defined HC_EVENT_T && \
    (defined HC_EVENT_QUERY || defined HC_EVENT_DESTROY || defined HC_EVENT_WAIT)
#error "hostcache: define HC_EVENT_T, the type of an event"
#define HC_BAD_EMIT
#endif
#if defined HC_EVENT_RECORD || defined HC_EVENT_CREATE || defined HC_STREAM_WAIT || \
    defined HC_TIMELINE_RECORD || defined HC_TIMELINE_QUERY || defined HC_TIMELINE_WAIT
#error "hostcache: HC_NO_STREAMS excludes HC_EVENT_RECORD, _CREATE, HC_STREAM_WAIT, HC_TIMELINE_*"
#define HC_BAD_EMIT
#endif

#elif defined HC_TIMELINE

#if defined HC_EVENT_RECORD || defined HC_EVENT_QUERY || defined HC_EVENT_CREATE || \
    defined HC_EVENT_DESTROY || defined HC_EVENT_WAIT
#error "hostcache: HC_TIMELINE excludes the hooks on events, HC_EVENT_*"
#define HC_BAD_EMIT
#endif
#ifndef HC_TIMELINE_RECORD
#error "hostcache: define HC_TIMELINE_RECORD(ctx, stream, value_ptr): where work so far ends"
#define HC_BAD_EMIT
#endif
#ifndef HC_TIMELINE_QUERY
#error "hostcache: define HC_TIMELINE_QUERY(ctx, stream, value_ptr): the value reached now"
#define HC_BAD_EMIT
#endif

#elif defined HC_TIMELINE_RECORD || defined HC_TIMELINE_QUERY || defined HC_TIMELINE_WAIT

#error "hostcache: define HC_TIMELINE, which HC_TIMELINE_RECORD, _QUERY and _WAIT belong to"
#define HC_BAD_EMIT

#else

#ifndef HC_EVENT_T
#error "hostcache: define HC_EVENT_T, the type of an event (or HC_TIMELINE, for stream counters)"
#define HC_BAD_EMIT
#endif
#ifndef HC_EVENT_RECORD
#error "hostcache: define HC_EVENT_RECORD(ctx, event_ptr, stream), which records an event"
#define HC_BAD_EMIT
#endif
#ifndef HC_EVENT_QUERY
#error "hostcache: define HC_EVENT_QUERY(ctx, event_ptr): has the event completed?"
#define HC_BAD_EMIT
#endif
#if defined HC_EVENT_CREATE && !defined HC_EVENT_DESTROY
#error "hostcache: define HC_EVENT_DESTROY(ctx, event_ptr), which HC_EVENT_CREATE needs"
#define HC_BAD_EMIT
#endif

#endif

#if !defined HC_STREAM_ORDERED && (defined HC_STREAM_WAIT_EVENT || defined HC_STREAM_WAIT_VALUE)
#error "hostcache: define HC_STREAM_ORDERED, which HC_STREAM_WAIT_EVENT and _VALUE belong to"
#define HC_BAD_EMIT
#elif defined HC_TIMELINE && defined HC_STREAM_WAIT_EVENT
#error "hostcache: with HC_TIMELINE define HC_STREAM_WAIT_VALUE(ctx, stream, other, value) instead"
#define HC_BAD_EMIT
#elif !defined HC_TIMELINE && defined HC_STREAM_WAIT_VALUE
#error "hostcache: without HC_TIMELINE define HC_STREAM_WAIT_EVENT(ctx, stream, event_ptr) instead"
#define HC_BAD_EMIT
#endif
#if defined HC_STREAM_IS_CAPTURING && !defined HC_STREAM_CURRENT
#error "hostcache: define HC_STREAM_CURRENT(ctx, stream_ptr), which HC_STREAM_IS_CAPTURING needs"
#define HC_BAD_EMIT
#endif
#if defined HC_NO_STREAMS && defined HC_STREAM_CURRENT
#error "hostcache: HC_NO_STREAMS excludes HC_STREAM_CURRENT and HC_STREAM_IS_CAPTURING"
#define HC_BAD_EMIT
#endif
#if defined HC_STREAM_CURRENT && !defined HC_POOLS
#error "hostcache: define HC_POOLS, which HC_STREAM_CURRENT and HC_STREAM_IS_CAPTURING belong to"
#define HC_BAD_EMIT
#endif
#if defined HC_CAPTURE_RELAX_BEGIN && !defined HC_CAPTURE_RELAX_END
#error "hostcache: define HC_CAPTURE_RELAX_END(ctx, mode_ptr), which HC_CAPTURE_RELAX_BEGIN needs"
#define HC_BAD_EMIT
#endif
#if !defined HC_CAPTURE_RELAX_BEGIN && defined HC_CAPTURE_RELAX_END
#error "hostcache: define HC_CAPTURE_RELAX_BEGIN(ctx, mode_ptr), which HC_CAPTURE_RELAX_END needs"
#define HC_BAD_EMIT
#endif

#if defined HC_STREAM_EQ && !defined HC_STREAM_HASH
#error "hostcache: define HC_STREAM_HASH(stream), a hash as a uint64_t, which HC_STREAM_EQ needs"
#define HC_BAD_EMIT
#endif

#if defined HC_MEM_ALLOC_ON_NODE && !defined HC_ALLOC_EX
#error "hostcache: define HC_ALLOC_EX, which HC_MEM_ALLOC_ON_NODE belongs to"
#define HC_BAD_EMIT
#endif

#if defined HC_FREE_FOREIGN && !defined HC_OWN_SEGMENTS
#error "hostcache: define HC_OWN_SEGMENTS, which HC_FREE_FOREIGN(ctx, ptr) belongs to"
#define HC_BAD_EMIT
#endif

#if defined HC_SEGMENT_FITS && !(defined HC_OWN_SEGMENTS && defined HC_SEGMENT_T)
#error "hostcache: define HC_OWN_SEGMENTS and HC_SEGMENT_T, for HC_SEGMENT_FITS(segment_ptr)"
#define HC_BAD_EMIT
#endif

#if defined HOSTCACHE_MALLOC && !defined HOSTCACHE_FREE
#error "hostcache: define HOSTCACHE_FREE(ptr), which HOSTCACHE_MALLOC needs"
#define HC_BAD_EMIT
#endif
#if !defined HOSTCACHE_MALLOC && defined HOSTCACHE_FREE
#error "hostcache: define HOSTCACHE_MALLOC(size), which HOSTCACHE_FREE needs"
#define HC_BAD_EMIT
#endif

#endif /* HC_EMIT */

#ifndef HC_BAD_DECLARE

/* ---- 3. NAMES -----------------------------------------------------------------------------------
   HC_FN(alloc) is pinned_alloc, HC_I(alloc) is pinned_i_alloc and internal. */

#define HC_JOIN2(a, b) a##b
#define HC_JOIN(a, b) HC_JOIN2(a, b)
#define HC_FN(name) HC_JOIN(HC_NAME, _##name)
#define HC_I(name) HC_JOIN(HC_NAME, _i_##name)
#define HC_CACHE struct HC_NAME /* not the typedef: a variable may hide that */
#define HC_BLOCK HC_FN(block)
#define HC_CHECKPOINT HC_FN(checkpoint)
#define HC_DEVICES HC_FN(devices)

/* The user's types under names of our own, as theirs may be hidden by a parameter or a variable (a
   stream type named `cache`, say). HC_RUNTIME is HC_SEGMENT_T. */
#define HC_CTX HC_I(ctx_type)
#define HC_STREAM HC_I(stream_type)
#define HC_EVENT HC_I(event_type)
#define HC_RUNTIME HC_I(runtime_type)

#ifdef HC_STATIC
#define HC_PUBLIC static HOSTCACHE_UNUSED
#else
#define HC_PUBLIC HC_API
#endif

/* ---- 4. DECLARE ---------------------------------------------------------------------------------
   Opaque types and prototypes: may be repeated in one file. The comments here are the reference.
   What holds for all of them: any thread may call at any time, except for destroy and abandon; no
   lock is held while a hook runs; a NULL cache gives HOSTCACHE_ERR_ARGUMENT, a child after fork
   HOSTCACHE_ERR_FORKED; out pointers are NULL after an error. "Source" names the function of
   PyTorch whose meaning was taken. */

#ifdef __cplusplus
extern "C" {
#endif

typedef struct HC_NAME HC_NAME;   /* a cache: opaque */
typedef struct HC_BLOCK HC_BLOCK; /* a block's handle: opaque, readable until destroy */
#ifdef HC_POOLS
typedef struct HC_CHECKPOINT HC_CHECKPOINT; /* what a pool was like: opaque */
#endif

typedef HC_CTX_T HC_CTX;
#ifdef HC_STREAM_T
typedef HC_STREAM_T HC_STREAM;
#endif
#ifdef HC_EVENT_T
typedef HC_EVENT_T HC_EVENT;
#endif
#ifdef HC_SEGMENT_T
typedef HC_SEGMENT_T HC_RUNTIME;
#endif

/* Makes a cache. `config` may be NULL (all defaults) and is copied; `ctx` is handed to every hook.
   Calls no hook, but HC_MEM_ALLOC for reserve_segment_bytes, whose errors are as those of alloc.
   The caller owns *cache and ends it with destroy or abandon. ARGUMENT: `cache` is NULL, the config
   is of another version, or contradicts itself (an alignment that is no power of two, or
   class_steps; a max_segment_bytes below a page or below the alignment; a segment above it or above
   the cap), or, with HC_OWN_SEGMENTS, says how blocks share segments (segment_bytes, class_steps,
   class_max_bytes, reserve_segment_bytes). UNSUPPORTED: the config asks for what is not built yet.
   NO_METADATA: no memory for the bookkeeping. O(1). With max_reserved_percent it also does what
   budget does; UNSUPPORTED: the budget is unknown; LIMIT: reserve_segment_bytes is above that part
   of it. */
HC_PUBLIC hostcache_result HC_FN(create)(HC_CACHE **cache, const hostcache_config *config,
                                         HC_CTX ctx);

/* Ends a cache: polls once, gives all cached memory back, destroys the pooled events, frees the
   bookkeeping. Must be the last call. BUSY: blocks are active or still pending; nothing was torn
   down and the cache goes on. LEAKED: torn down, but quarantined blocks (as what was used in a
   capture, if its pool was not released), segments whose free hook failed, or events that
   forget_stream recorded in vain and that have not completed, were left to the runtime. Otherwise
   OK, and the pointer is dead. Blocks as long as the hooks do; also while a thread frees a block of
   it through another cache (HC_OWN_SEGMENTS), so it must not be called from a hook of that. One
   HC_MEM_FREE a segment; O(n log n) of segments. */
HC_PUBLIC hostcache_result HC_FN(destroy)(HC_CACHE *cache);

/* The runtime is gone (a lost device, the end of the process): frees the bookkeeping and calls no
   hook. Must be the last call. NULL is fine. In a child after fork it does nothing: what another
   thread of the parent was changing at the fork cannot be walked. */
HC_PUBLIC void HC_FN(abandon)(HC_CACHE *cache);

/* By pointer. */

/* Hands out a block of at least `size` bytes, aligned to the config's alignment, contents
   undefined. Size 0 gives OK and NULL. The caller owns the block until it frees it. A hit calls no
   hook. A miss polls, which may make a range ready that fits; else it calls HC_MEM_ALLOC. If that
   is out of memory, or the cap would be passed, it asks everything that waits, gives back what is
   idle and asks once more, and so on for wait_on_limit_ns. TOO_BIG; NO_METADATA; LIMIT: the cap
   would be passed; OUT_OF_MEMORY: HC_MEM_ALLOC was out of memory again, or failed otherwise, when
   it is not asked again; CORRUPT: it gave memory that cannot be right. The size that failed is in
   the figures (last_failed_bytes). O(1), but where nothing larger is ready: then all ready ranges
   of about that size may be looked at. Source: HostAllocator::allocate. */
HC_PUBLIC hostcache_result HC_FN(alloc)(HC_CACHE *cache, size_t size, void **ptr);

#ifdef HC_STREAM_ORDERED
/* Hands out a block for work that is submitted to `stream` from now on; the host, and other
   streams, must not touch it before that stream reaches this point. It counts as marked by the
   stream (which record_value does not replace on it, but adds to). If it is freed with no other
   mark, it is ready for the same stream at once, where it can be split, and becomes one with its
   neighbours; for all others after a fence, an event that is recorded on the stream after the free.
   The free itself records it, at first and as long as others want what streams have; a stream that
   takes back what it frees records one for each 16 frees. Where HC_STREAM_WAIT_EVENT (_VALUE) is
   defined, another stream gets the memory before new memory is got, and is made to wait for all
   that this one was given so far: so who hangs holds up who got memory from it. With another mark,
   in a private pool, or where there is no memory for the bookkeeping, the block waits for all its
   streams like any other.

   Size 0 gives OK and NULL. Errors and blocking as alloc. A miss also records a fence on each
   stream that has something which none covers. Where a hook fails, on_error hears, and what is
   ready for a stream stays its own; also where a fence cannot be told, until one of synchronize,
   trim and destroy can, or release_quarantine says so.
   destroy is BUSY until all streams are through with what is ready for them. The hooks that a call
   calls must not forget its stream. O(1), a lock each for alloc_on and free; when a fence
   completes, O(n) of what is ready for its stream. Source: DeviceCachingAllocator::malloc. */
HC_PUBLIC hostcache_result HC_FN(alloc_on)(HC_CACHE *cache, size_t size, HC_STREAM stream,
                                           void **ptr);
HC_PUBLIC hostcache_result HC_FN(block_alloc_on)(HC_CACHE *cache, size_t size, HC_STREAM stream,
                                                 HC_BLOCK **block);
#endif

#ifdef HC_ALLOC_EX
/* Hands out a block as alloc does, or alloc_on, and as the request says: of an alignment beyond the
   config's, for which a range is divided before the block as well as behind it; of a pool; of a
   NUMA node, with HC_MEM_ALLOC_ON_NODE; only of what is ready. The request is copied; its size 0
   gives OK and NULL. Errors as alloc, and: ARGUMENT: the request is NULL or of another version, or
   has an unknown flag, a negative node but HOSTCACHE_NODE_ANY, or an alignment that is no power of
   two; UNSUPPORTED: a node without that hook, a stream without HC_STREAM_ORDERED, a pool without
   HC_POOLS, an alignment beyond the config's with HC_OWN_SEGMENTS; NOT_FOUND: nobody has retained
   the pool; LIMIT: CACHED_ONLY was said, and nothing ready fits, of which on_error does not hear;
   TOO_BIG also for what the alignment may take. Where it has an alignment or a node, O(n) of the
   ready ranges that are large enough. */
HC_PUBLIC hostcache_result HC_FN(alloc_ex)(HC_CACHE *cache, const hostcache_request *request,
                                           void **ptr);
HC_PUBLIC hostcache_result HC_FN(block_alloc_ex)(HC_CACHE *cache, const hostcache_request *request,
                                                 HC_BLOCK **block);
#endif

#ifdef HC_STREAM_T
/* Marks an active block as used on `stream`, from any pointer into it. The mark covers all work
   submitted to the stream up to the block's free, so it may be made before or after submitting, and
   one is enough. Four uses of a block need no memory. NOT_FOUND: not in an active block (the
   pointer is not dereferenced). NO_METADATA: a fifth use found no memory; the block is still the
   caller's, and its free waits for the stream (HC_STREAM_WAIT), else quarantines it. Calls no hook.
   O(1). Source: HostAllocator::record_event. */
HC_PUBLIC hostcache_result HC_FN(record_stream)(HC_CACHE *cache, void *ptr, HC_STREAM stream);
#endif

#ifdef HC_TIMELINE
/* Like record_stream, for who knows better: the block is in use until `stream` has reached `value`.
   The highest value given counts, and replaces a mark made by record_stream, whichever thread made
   it: who gives a value speaks for all that was submitted for the block there. One that is never
   reached keeps the block, and those freed after it with a use on that stream, for ever. Calls no
   hook. */
HC_PUBLIC hostcache_result HC_FN(record_value)(HC_CACHE *cache, void *ptr, HC_STREAM stream,
                                               uint64_t value);
#endif

#ifdef HC_EVENT_T
/* Hands an event over that the caller has recorded already: the block is in use until it has
   completed. On OK the cache owns the event (HC_EVENT_DESTROY ends it, if there is one; it is never
   reused); on an error it stays the caller's. NOT_FOUND, NO_METADATA: as with record_stream. Calls
   no hook. */
HC_PUBLIC hostcache_result HC_FN(record_event)(HC_CACHE *cache, void *ptr, HC_EVENT event);
#endif

/* Frees a block, from its first byte. NULL is fine. Without a use it is ready at once; else an
   event is recorded on each stream that it was marked with (a timeline value taken), and it is
   ready when all have completed. NOT_FOUND: foreign, stale or interior. DOUBLE_FREE: the block
   begins there and is not active. EVENT: a hook failed; the cache owns the block all the same, and
   either waited for the stream (HC_STREAM_WAIT) or quarantined it. CORRUPT, where it is debugged:
   it was written to behind its end; it is freed all the same. One create and record hook per
   stream; every 16th free on a stream also polls it. Source: the deleter of HostAllocator.

   With HC_OWN_SEGMENTS a block of another cache of this HC_NAME is freed into that one, with its
   results. What lies in none of them goes to HC_FREE_FOREIGN, if there is one (HOOK: it failed);
   so then does a pointer that is stale, as its memory went back. O(log n) of blocks of each cache.
   Source: CPUCachingAllocator::free. */
HC_PUBLIC hostcache_result HC_FN(free)(HC_CACHE *cache, void *ptr);

/* Like free, for use inside a callback of the runtime: calls no hook, allocates nothing, and takes
   only locks that are never held across either. Events that must be recorded for it are recorded by
   the next call that polls or frees, which waits for the stream where that fails (process_events
   does not: it quarantines the block); until then the block is pending. NOT_FOUND, DOUBLE_FREE.
   With HC_OWN_SEGMENTS as free, but that HC_FREE_FOREIGN is not called. */
HC_PUBLIC hostcache_result HC_FN(free_deferred)(HC_CACHE *cache, void *ptr);

/* By handle: the same without looking the pointer up. The handle must be one that this library
   gave; NULL is as the NULL pointer is above. NOT_FOUND also for a handle of another cache. */

HC_PUBLIC hostcache_result HC_FN(block_alloc)(HC_CACHE *cache, size_t size, HC_BLOCK **block);
#ifdef HC_STREAM_T
HC_PUBLIC hostcache_result HC_FN(block_record_stream)(HC_CACHE *cache, HC_BLOCK *block,
                                                      HC_STREAM stream);
#endif
#ifdef HC_TIMELINE
HC_PUBLIC hostcache_result HC_FN(block_record_value)(HC_CACHE *cache, HC_BLOCK *block,
                                                     HC_STREAM stream, uint64_t value);
#endif
#ifdef HC_EVENT_T
HC_PUBLIC hostcache_result HC_FN(block_record_event)(HC_CACHE *cache, HC_BLOCK *block,
                                                     HC_EVENT event);
#endif
HC_PUBLIC hostcache_result HC_FN(block_free)(HC_CACHE *cache, HC_BLOCK *block);
HC_PUBLIC hostcache_result HC_FN(block_free_deferred)(HC_CACHE *cache, HC_BLOCK *block);

/* The first byte of an active block; its usable bytes, at least those asked for, and no more where
   it is debugged. NULL and 0 of NULL. They take no lock: only the block's owner may rely on the
   answer. */
HC_PUBLIC void *HC_FN(block_ptr)(const HC_BLOCK *block);
HC_PUBLIC size_t HC_FN(block_size)(const HC_BLOCK *block);

#ifdef HC_SEGMENT_T
/* What the runtime gave with the block's segment, and, if `offset` is not NULL, where in the
   segment the block begins. The pointer is good while the block is active. NULL of NULL. */
HC_PUBLIC HC_RUNTIME const *HC_FN(block_segment)(const HC_BLOCK *block, size_t *offset);
#endif

/* The handle of the active block that `ptr` points into, or NULL. Never dereferences `ptr`. Takes
   no lock. O(1). */
HC_PUBLIC HC_BLOCK *HC_FN(find)(HC_CACHE *cache, const void *ptr);

/* Upkeep. */

/* Makes blocks ready whose uses have completed; *blocks_made_ready (NULL is fine) says how many.
   Never blocks: one query per busy stream and one per entry made ready, and at most 16 events that
   were handed over. EVENT: a query failed, the rest was done. Source:
   CachingHostAllocatorImpl::process_events. */
HC_PUBLIC hostcache_result HC_FN(process_events)(HC_CACHE *cache, size_t *blocks_made_ready);

/* Waits until everything that is pending at the call has become ready, or been quarantined.
   UINT64_MAX ns waits without end and uses the wait hooks; 0 polls once. TIMEOUT: the time ran out;
   EVENT: a record or a query failed, and it waited all the same; where a wait hook fails, it polls
   instead. BUSY: a stream may be captured (HC_STREAM_IS_CAPTURING), whatever is pending.
   UNSUPPORTED: the system refuses the barrier that stops threads, and what others freed may be
   pending. Costs what process_events does, again and again. Source: synchronize_and_free_events. */
HC_PUBLIC hostcache_result HC_FN(synchronize)(HC_CACHE *cache, uint64_t timeout_ns);

/* Polls, then gives back all segments that are idle: all that is cached, but for ranges between
   blocks that are in use. EVENT: a query failed; LEAKED: a free hook failed; both did the rest. One
   HC_MEM_FREE a segment. Source: HostAllocator::empty_cache. */
HC_PUBLIC hostcache_result HC_FN(empty_cache)(HC_CACHE *cache);

/* Polls, then gives idle segments back, the one that has been idle for longest first, until no more
   than `keep_bytes` are held, or none is idle. EVENT, LEAKED: as with empty_cache. */
HC_PUBLIC hostcache_result HC_FN(trim)(HC_CACHE *cache, size_t keep_bytes);

/* Polls, then gives back the segments that have been idle for at least `idle_ns` nanoseconds,
   longest first. EVENT, LEAKED: as with empty_cache. */
HC_PUBLIC hostcache_result HC_FN(trim_idle)(HC_CACHE *cache, uint64_t idle_ns);

/* Gets memory now, so that `count` blocks of `size` can be had without a hook, as long as nothing
   else is allocated. What is ready counts. Errors as those of alloc; LIMIT also if max_cached_bytes
   would have it go back at once; what was got before an error stays cached. O(count), and an
   HC_MEM_ALLOC a segment. */
HC_PUBLIC hostcache_result HC_FN(reserve)(HC_CACHE *cache, size_t size, size_t count);

/* Sets the bound of the config of that name anew: 0 is none, HOSTCACHE_NONE keeps nothing idle.
   What is above it and idle goes back at once, the rest as it becomes idle. LEAKED: a free hook
   failed. One HC_MEM_FREE a segment. Where the system refuses the barrier that stops threads, the
   bound is set all the same; but what other threads have in stock, and may have, stays as it is
   until a call that reaches them, and num_barriers_refused says so. A memory fraction is a second
   cap, and stays. */
HC_PUBLIC hostcache_result HC_FN(set_max_reserved_bytes)(HC_CACHE *cache, size_t bytes);
HC_PUBLIC hostcache_result HC_FN(set_max_cached_bytes)(HC_CACHE *cache, size_t bytes);

#ifdef HC_STREAM_T
/* To be called before a stream is destroyed. Every active block that is marked with it gets an
   event now instead of the mark; then the cache forgets the handle: after the return no hook sees
   it, and a new stream of the same value is a new stream. Blocks while other threads are inside
   hooks on this stream; in timeline mode, and with streams_die_idle, until what is pending on it
   has completed. EVENT: a hook failed, NO_METADATA: no memory for an event, BUSY: a stream may be
   captured (HC_STREAM_IS_CAPTURING), UNSUPPORTED: the system refuses the barrier that stops
   threads; then the stream is not forgotten, its marks are as before, and it must not be destroyed.
   Of a stream that the cache never saw it calls no hook. Another thread that forgets the same
   stream is waited for, so on_error must not. O(blocks). */
HC_PUBLIC hostcache_result HC_FN(forget_stream)(HC_CACHE *cache, HC_STREAM stream);
#endif

/* The caller says: the device is idle. What cannot be told of a quarantined block counts as
   complete, and its event is destroyed; the block becomes ready, or, where it has other uses,
   pending until they are complete; what is ready for one stream becomes ready for all. What was
   used in a capture outside of all pools waits for its uses; in one with a pool it stays until that
   is released. OK. O(blocks), and an HC_EVENT_DESTROY for each such event. */
HC_PUBLIC hostcache_result HC_FN(release_quarantine)(HC_CACHE *cache);

#ifdef HC_OWN_SEGMENTS

/* Blocks that leave, and the current cache. */

/* The block leaves: its memory is the caller's from now on, who frees it as HC_MEM_FREE would have,
   and the cache is not asked again. To be called before that: once it is freed, another thread may
   have the same address. It counts as freed, and is not held any more. A block of another cache of
   this HC_NAME leaves that one; `cache` may be NULL, for those who have none at hand. NULL is fine.
   NOT_FOUND: in no cache, or interior; DOUBLE_FREE: cached, as it was freed before; CORRUPT, where
   it is debugged: it was written to behind its end, and has left all the same. Calls no hook;
   trackers hear that it is free, and that its segment goes back. O(log n) of blocks, and where it
   is not of `cache` of each other one. Source: CPUCachingAllocator::record_free. */
HC_PUBLIC hostcache_result HC_FN(record_free)(HC_CACHE *cache, void *ptr);

/* As empty_cache. Source: CPUCachingAllocator::free_cached. */
HC_PUBLIC hostcache_result HC_FN(free_cached)(HC_CACHE *cache);

/* Makes a cache (or none: NULL) the current one of this thread, until the guard is popped. `guard`
   is the caller's, on the stack as a rule, and must stay where it is until then; any number may be
   nested, each cache any number of times. That a cache is not destroyed while it is current is the
   caller's business. ARGUMENT: no `guard`, or it is pushed already. A step for each that is
   pushed. Source: WithCPUCachingAllocatorGuard. */
HC_PUBLIC hostcache_result HC_FN(guard_push)(HC_CACHE *cache, hostcache_guard *guard);

/* Ends that: what was current before is so again. Works in a child after fork, too. ARGUMENT: it is
   not the innermost of this thread's, and nothing has changed. O(1). */
HC_PUBLIC hostcache_result HC_FN(guard_pop)(hostcache_guard *guard);

/* This thread's current cache, or NULL. In a child after fork still that of the thread that forked,
   which says FORKED to everything. O(1). Source: GetThreadLocalCachingAllocator. */
HC_PUBLIC HC_CACHE *HC_FN(current)(void);

#endif

/* Figures and self-check. */

/* Copies the figures. Consistent with each other, exact when no other thread is inside a call.
   Peaks are exact as long as no thread has a stock; else those of what is in use count what the
   stocks held (and those of `allocation` what was pending), so that none is too low. ARGUMENT: no
   `stats`. Stops all threads for a moment, of which no hook is a part. O(threads). */
HC_PUBLIC hostcache_result HC_FN(stats)(HC_CACHE *cache, hostcache_stats *stats);

/* Zeroes every `allocated` and `freed`, the counts and the durations. As stats. Source:
   reset_accumulated_stats. */
HC_PUBLIC hostcache_result HC_FN(reset_accumulated_stats)(HC_CACHE *cache);

/* Sets every peak to its current, for which the threads give their stocks up. As empty_cache
   without a hook. Source: reset_peak_stats. */
HC_PUBLIC hostcache_result HC_FN(reset_peak_stats)(HC_CACHE *cache);

/* What this process may sensibly pin now, on top of what it has pinned already, with each figure
   that this comes from. Needs no cache, and works in a child after fork. The memlock limit holds
   for what is pinned with mlock, io_uring or RDMA; a driver that pins for itself (CUDA's) is not
   held to it: then look at the other figures. OK: something is known; what is not says
   HOSTCACHE_UNKNOWN, and so do the bytes if nothing that is known bounds them; a limit of cgroups
   v1 is not seen. UNSUPPORTED: nothing is known, as on systems other than Linux and Windows.
   ARGUMENT: no `budget`. Takes no lock. Reads six files of /proc, and four for each cgroup up to
   the root: about a millisecond. */
HC_PUBLIC hostcache_result HC_FN(budget)(hostcache_budget *budget);

/* Verifies every invariant of the bookkeeping. CORRUPT: one is broken; on_error hears which. May be
   called while other threads are at work: it stops them all until it is through. UNSUPPORTED: the
   system refuses the barrier that stops threads. Calls no hook, allocates nothing. O(n log n) of
   blocks and uses. */
HC_PUBLIC hostcache_result HC_FN(check)(HC_CACHE *cache);

/* Shows the segments of one moment, each with its ranges, by address; what leaked comes last. A
   non-zero return of `visit` stops it. `visit` is called with no lock held, on a copy, and may call
   the cache. ARGUMENT: no `visit`. NO_METADATA: no memory for the copy. UNSUPPORTED: as check.
   O(n log n) of segments. */
HC_PUBLIC hostcache_result HC_FN(walk)(HC_CACHE *cache, hostcache_visit_fn visit, void *user);

/* Interfaces. */

#ifdef HC_POOLS

/* Opens a private pool, which is made if there is none of that name, and retains it once. Until
   end_allocate_to_pool the allocations of those whom `filter` lets in (NULL: all; it is asked with
   what HC_STREAM_CURRENT gives) are served from segments of the pool alone; of several open pools
   the one that was opened first counts. (reserve is not of a pool. Nor does a pool that is at the
   cap give its idle memory back for another size.) While a pool is open, an allocation calls the
   hooks on streams and the filter, and hits and frees take a lock.
   With HC_STREAM_IS_CAPTURING no event is recorded or asked while any pool is open: frees that need
   one are pending until then, synchronize and forget_stream are BUSY, and this call waits until the
   hooks that run have ended, which is as long as a wait hook may take. A block that is got while
   the stream is captured, and then used, waits after its free until the last release of its pool;
   what was got before, the caller keeps until then. One that is captured outside of all pools waits
   for release_quarantine. ARGUMENT: the pool is {0, 0}, or is open. UNSUPPORTED: a filter without
   HC_STREAM_CURRENT; the system refuses the barrier that stops threads (if it did only after the
   opening, what was got meanwhile keeps the pool retained once). NO_METADATA. Not from a
   hook or on_error. Source: begin_allocate_to_pool. */
HC_PUBLIC hostcache_result HC_FN(begin_allocate_to_pool)(HC_CACHE *cache, hostcache_pool_id pool,
                                                         hostcache_stream_filter filter,
                                                         void *user);

/* Closes it: an allocation that begins from now on is not of the pool, which lives on until it is
   released. Waits until no thread is in the filter. NOT_FOUND: no such pool is open. UNSUPPORTED:
   the barrier, and it is open still. Calls no hook. Source: end_allocate_to_pool. */
HC_PUBLIC hostcache_result HC_FN(end_allocate_to_pool)(HC_CACHE *cache, hostcache_pool_id pool);

/* Retains a pool once more, which is made if there is none of that name. ARGUMENT, NO_METADATA,
   UNSUPPORTED: as begin_allocate_to_pool. Source: createOrIncrefPool. */
HC_PUBLIC hostcache_result HC_FN(retain_pool)(HC_CACHE *cache, hostcache_pool_id pool);

/* Releases a pool once. With the last release the caller says that nothing runs, or will run, that
   was captured with it: what was used in a capture and freed waits for its uses now, as after any
   free, and the pool is no more. Its segments are everybody's, and go back as any others do
   (empty_cache); blocks of it that are active stay so. NOT_FOUND: no such pool. BUSY: the last
   release of one that is open. EVENT: a record hook failed; LEAKED: a free hook failed; both did
   the rest. UNSUPPORTED: the barrier, and nothing has changed. O(segments and blocks), with all
   threads stopped. Source: release_pool. */
HC_PUBLIC hostcache_result HC_FN(release_pool)(HC_CACHE *cache, hostcache_pool_id pool);

/* How often the pool was retained and not released; 0: there is none, or this is a child after
   fork. Source: getPoolUseCount. */
HC_PUBLIC uint64_t HC_FN(pool_use_count)(HC_CACHE *cache, hostcache_pool_id pool);

/* Bytes of the segments of a pool; 0: likewise. O(segments). Source: DeviceStats's
   reserved_bytes_by_private_pools. */
HC_PUBLIC size_t HC_FN(pool_reserved_bytes)(HC_CACHE *cache, hostcache_pool_id pool);

/* Polls, and then gives back the segments of a pool that are idle, although it lives: who has
   captured anything with it must know that its memory is not among them. {0, 0}: empty_cache.
   NOT_FOUND: no such pool. EVENT, LEAKED: as empty_cache. One HC_MEM_FREE a segment; O(segments).
   Source: emptyCache(pool). */
HC_PUBLIC hostcache_result HC_FN(empty_cache_pool)(HC_CACHE *cache, hostcache_pool_id pool);

/* Writes down which blocks of a pool are active. The caller owns *checkpoint, and ends it with
   checkpoint_free; it may outlive the cache. BUSY: a block of the pool is pending or quarantined
   (as is what was used in a capture and freed), or another thread is getting or freeing one.
   NOT_FOUND: no such pool. ARGUMENT: no `checkpoint`. NO_METADATA. UNSUPPORTED: the barrier.
   O(segments and blocks). Source: getCheckpointState. */
HC_PUBLIC hostcache_result HC_FN(checkpoint_pool)(HC_CACHE *cache, hostcache_pool_id pool,
                                                  HC_CHECKPOINT **checkpoint);

/* Makes a pool what it was: ends every block of it that is active, and makes active what was active
   then, at the same addresses. All handles to its blocks are dead; `delta` (NULL is fine) hears of
   each block that has ended and then of each that is active, with its handle, and may call the
   cache. Segments that came later stay, as ready memory. This is the only call that ends a block
   without a free. BUSY: as checkpoint_pool, or a block is marked as used. NOT_FOUND: the pool that
   it was made of has ended, or is another cache's, or a segment has gone back. ARGUMENT: no
   `checkpoint`. NO_METADATA, UNSUPPORTED: as checkpoint_pool. After an error nothing has changed.
   O(segments and blocks), with all threads stopped. Source: setCheckpointPoolState. */
HC_PUBLIC hostcache_result HC_FN(restore_pool)(HC_CACHE *cache, const HC_CHECKPOINT *checkpoint,
                                               hostcache_delta_fn delta, void *user);

/* Ends a checkpoint. NULL is fine. */
HC_PUBLIC void HC_FN(checkpoint_free)(HC_CHECKPOINT *checkpoint);

#endif

#ifdef HC_HOST_ALLOCATOR

/* Fills in `allocator`, for users who do not know this cache's type. It may be copied, and is good
   until the cache ends. ARGUMENT: it is NULL. O(1). Source: at::HostAllocator. */
HC_PUBLIC hostcache_result HC_FN(as_allocator)(HC_CACHE *cache, hostcache_allocator *allocator);

/* Polls every `interval_ns` (0: again and again, letting others run) until background_stop; for a
   thread of the user's own, any number of them. OK: it was told to stop. A destroy that goes
   through, and abandon, tell it too and wait until it has left; one that says BUSY lets it go on.
   Nothing is to be done at the end of the process, unless the runtime ends before it: then
   background_stop first. Calls the hooks that process_events calls; on_error hears what fails.
   Source: the background thread of CachingHostAllocatorImpl. */
HC_PUBLIC hostcache_result HC_FN(background_run)(HC_CACHE *cache, uint64_t interval_ns);

/* Tells all threads in background_run to leave it, and waits until they have: as long as a poll
   and 10 ms. From then on background_run returns at once, so that a thread that comes to it late
   does not stay. Not from a hook that one of them may call. OK. */
HC_PUBLIC hostcache_result HC_FN(background_stop)(HC_CACHE *cache);

#endif

#ifdef HC_TRACE

/* Shows the segments of one moment and their ranges, as walk does, with all that is known of them;
   and then what was registered with record_external_register.
   Errors as those of walk; calls no hook. Source: DeviceAllocator's snapshot, and
   HostAllocator::get_segments. */
HC_PUBLIC hostcache_result HC_FN(snapshot)(HC_CACHE *cache, hostcache_range_fn visit, void *user);

/* Starts a history anew, of the last `max_entries` entries; 0 ends it and forgets it. `context` may
   be NULL. NO_METADATA: no memory for it; what was recorded stays. UNSUPPORTED: the system refuses
   the barrier that stops threads. While there is a history or a tracker, hits and frees take a lock
   and read the clock; without, they are as fast as ever. Source: recordHistory. */
HC_PUBLIC hostcache_result HC_FN(record_history)(HC_CACHE *cache, size_t max_entries,
                                                 hostcache_context_fn context, void *user);

/* Shows what was recorded, the oldest first, on a copy and with no lock held; `show` may call the
   cache. ARGUMENT: no `show`. NO_METADATA: no memory for the copy. */
HC_PUBLIC hostcache_result HC_FN(history)(HC_CACHE *cache, hostcache_trace_fn show, void *user);

/* Has `tracker` hear of each entry from now on, until the cache ends; of any number of them. It is
   called with no lock held, by the thread that causes the entry, or, of FREE_REQUESTED and
   FREE_COMPLETED, by whoever comes by next. So two threads may call it at once, and `sequence` says
   which came first; but it has heard that a block was freed before it hears that the same memory
   is handed out or given back, for which other threads wait. It must not call the cache, nor wait
   for what may. ARGUMENT: no tracker. NO_METADATA, UNSUPPORTED: as record_history. Source:
   attachAllocatorTraceTracker. */
HC_PUBLIC hostcache_result HC_FN(attach_trace_tracker)(HC_CACHE *cache, hostcache_trace_fn tracker,
                                                       void *user);

/* Tells of memory that was pinned outside of the cache (cudaHostRegister, say): history and
   trackers hear of it as of a segment with one block, and snapshot shows it so. It is in no figure,
   and stays the caller's. ARGUMENT: no memory, or it is registered. NO_METADATA. O(what is
   registered). Source: record_external_register. */
HC_PUBLIC hostcache_result HC_FN(record_external_register)(HC_CACHE *cache, const void *ptr,
                                                           size_t size);

/* It is pinned no more: by the pointer that it was registered with. NOT_FOUND: it is not
   registered. Source: record_external_unregister. */
HC_PUBLIC hostcache_result HC_FN(record_external_unregister)(HC_CACHE *cache, const void *ptr);

/* Has `observer` hear of each allocation that fails for want of memory (OUT_OF_MEMORY, LIMIT), with
   no lock held, before it returns; of any number of them. It may call the cache. ARGUMENT: no
   observer. NO_METADATA. Source: attachOutOfMemoryObserver. */
HC_PUBLIC hostcache_result HC_FN(attach_oom_observer)(HC_CACHE *cache, hostcache_oom_fn observer,
                                                      void *user);

#endif

#ifdef HC_DEVICE_ALLOCATOR

/* 1: the cache can be used; 0: it is NULL, or that of this process's parent. O(1). Source:
   DeviceAllocator::initialized. */
HC_PUBLIC int HC_FN(initialized)(const HC_CACHE *cache);

/* How much of the device's memory is free, and how much there is. Both 0 after an error. ARGUMENT:
   one of the two is NULL. UNSUPPORTED: there is no HC_MEM_INFO. HOOK: it failed. Calls HC_MEM_INFO
   alone. Source: DeviceAllocator::getMemoryInfo. */
HC_PUBLIC hostcache_result HC_FN(memory_info)(HC_CACHE *cache, size_t *free_bytes,
                                              size_t *total_bytes);

/* Bounds what is held to this part, from 0 to 1, of the total that HC_MEM_INFO says now. It and
   max_reserved_bytes do not undo each other: the lower one counts. 0 is a bound too: nothing may be
   held. What is above it goes back, with results and cost, as by set_max_reserved_bytes. ARGUMENT:
   no number from 0 to 1; UNSUPPORTED: there is no HC_MEM_INFO; HOOK: it failed; after these the
   fraction is as before. Source: setMemoryFraction. */
HC_PUBLIC hostcache_result HC_FN(set_memory_fraction)(HC_CACHE *cache, double fraction);

/* The fraction that was set last; 1, which bounds nothing, if none was. ARGUMENT: no `fraction`.
   UNSUPPORTED: there is no HC_MEM_INFO. O(1). Source: getMemoryFraction. */
HC_PUBLIC hostcache_result HC_FN(get_memory_fraction)(HC_CACHE *cache, double *fraction);

/* The size of the largest block that is cached, wherever it is, 0 if none is: so much can be had
   without a hook, and more perhaps, as small blocks that stand side by side are only made one when
   that is needed. (What private pools keep, and what is ready for one stream, serves these alone,
   and does not count.) ARGUMENT: no `largest`. UNSUPPORTED: the system refuses the barrier that
   stops threads. Calls no hook, and does not poll. O(threads), and what is cached of about the
   largest size. Source: cacheInfo. */
HC_PUBLIC hostcache_result HC_FN(cache_info)(HC_CACHE *cache, size_t *largest);

/* The sizes of the segments that can grow: *count of them, of which `sizes` (NULL is fine) gets
   those that it has room for. There are none, as the header only knows memory that is there as a
   whole. ARGUMENT: no `count`. O(1). Source: getExpandableSegmentSizes. */
HC_PUBLIC hostcache_result HC_FN(get_expandable_segment_sizes)(HC_CACHE *cache, size_t *sizes,
                                                               size_t room, size_t *count);

/* Copies the figures by pool. Errors, consistency and cost are those of stats, and so is what holds
   of peaks, for each pool by itself. reset_accumulated_stats and reset_peak_stats reset these too.
   Source: getDeviceStats. */
HC_PUBLIC hostcache_result HC_FN(device_stats)(HC_CACHE *cache, hostcache_device_stats *stats);

/* A set of caches, one for each device of one type, by index. */

typedef struct HC_DEVICES HC_DEVICES; /* opaque */

/* Makes so many caches as `create` does, all with this config, each with its own of the `count`
   contexts; or none: the error is that of the first that failed. Those made before it are destroyed
   (with reserve_segment_bytes, by HC_MEM_FREE). ARGUMENT: no `set`; no `ctxs`, though there are
   devices. The caller owns *set and ends it with devices_destroy or devices_abandon. O(count).
   Source: the init of CUDACachingAllocator. */
HC_PUBLIC hostcache_result HC_FN(devices_create)(HC_DEVICES **set, size_t count,
                                                 const hostcache_config *config,
                                                 const HC_CTX *ctxs);

/* Ends all caches of a set as destroy does, or none. Must be the last call on the set and on each
   cache in it. BUSY: one has blocks that are active or still pending; nothing was torn down, and
   all go on. LEAKED: torn down, but destroy would say so of one. All are looked at before the first
   is torn down; a thread that gets a block in between breaks the rule that this is the last
   call. */
HC_PUBLIC hostcache_result HC_FN(devices_destroy)(HC_DEVICES *set);

/* Ends all caches of a set as abandon does. NULL is fine. */
HC_PUBLIC void HC_FN(devices_abandon)(HC_DEVICES *set);

/* How many caches there are; 0 of NULL. O(1). */
HC_PUBLIC size_t HC_FN(devices_count)(const HC_DEVICES *set);

/* The cache of a device. It stays the set's: not to be destroyed by itself. ARGUMENT: the type of
   device is the CPU (HOSTCACHE_DEVICE_TYPE_CPU) or none (negative); there is no device of that
   index; no `cache`. What other types there are is the program's to say. O(1). Source:
   c10::getDeviceAllocator. */
HC_PUBLIC hostcache_result HC_FN(devices_get)(const HC_DEVICES *set, int device_type, size_t index,
                                              HC_CACHE **cache);

#endif

#ifdef __cplusplus
}
#endif

#if defined HC_EMIT && !defined HC_BAD_EMIT

/* ---- 5. GLUE ------------------------------------------------------------------------------------
   Once per file, all static: everything that the header needs from the compiler and the system. The
   rest uses no atomic, lock, thread-local or clock but through it. */

#ifndef HOSTCACHE_GLUE_INCLUDED
#define HOSTCACHE_GLUE_INCLUDED

#include <string.h>

/* HOSTCACHE_THREADS_NONE and the others may be defined as switches, or be given as the value of
   HOSTCACHE_THREADS: both end as a number here. */
#ifndef HOSTCACHE_THREADS
#if defined HOSTCACHE_THREADS_NONE
#define HOSTCACHE_THREADS HOSTCACHE_THREADS_NONE
#elif defined HOSTCACHE_THREADS_WIN32
#define HOSTCACHE_THREADS HOSTCACHE_THREADS_WIN32
#elif defined HOSTCACHE_THREADS_PTHREAD
#define HOSTCACHE_THREADS HOSTCACHE_THREADS_PTHREAD
#elif defined _WIN32
#define HOSTCACHE_THREADS HOSTCACHE_THREADS_WIN32
#else
#define HOSTCACHE_THREADS HOSTCACHE_THREADS_PTHREAD
#endif
#endif
#undef HOSTCACHE_THREADS_PTHREAD
#undef HOSTCACHE_THREADS_WIN32
#undef HOSTCACHE_THREADS_NONE
#define HOSTCACHE_THREADS_PTHREAD 1
#define HOSTCACHE_THREADS_WIN32 2
#define HOSTCACHE_THREADS_NONE 3

#if HOSTCACHE_THREADS != HOSTCACHE_THREADS_PTHREAD && \
    HOSTCACHE_THREADS != HOSTCACHE_THREADS_WIN32 && HOSTCACHE_THREADS != HOSTCACHE_THREADS_NONE
#error "hostcache: HOSTCACHE_THREADS must be HOSTCACHE_THREADS_PTHREAD, _WIN32 or _NONE"
#endif

#ifdef _WIN32
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#define HOSTCACHE_LEAN_AND_MEAN
#endif
#ifndef NOMINMAX
#define NOMINMAX
#define HOSTCACHE_NOMINMAX
#endif
#include <windows.h>
#ifdef HOSTCACHE_LEAN_AND_MEAN
#undef WIN32_LEAN_AND_MEAN
#endif
#ifdef HOSTCACHE_NOMINMAX
#undef NOMINMAX
#endif
#else
#include <sched.h>
#endif
#if !defined _WIN32 || HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD
#include <pthread.h> /* also without threads: such a process forks as well */
#endif

#include <errno.h>
#include <time.h>

#ifndef HOSTCACHE_ASSERT
#include <assert.h>
#define HOSTCACHE_ASSERT(condition) assert(condition)
#endif

#ifndef HOSTCACHE_MALLOC
#include <stdlib.h>
#define HOSTCACHE_MALLOC(size) malloc(size)
#define HOSTCACHE_FREE(ptr) free(ptr)
#endif

/* HOSTCACHE_LOCAL declares a pointer `name` to a local variable, not initialised: a stream or event
   of C++ need not have a constructor without arguments. */
#ifdef __cplusplus
#include <type_traits>
#define HOSTCACHE_LOCAL(type, name)                         \
  alignas(type) unsigned char name##_room[sizeof(type)]; \
  type *name = reinterpret_cast<type *>(name##_room)
#define HOSTCACHE_ASSERT_TYPE(type, what)                                                        \
  static_assert(std::is_trivially_copyable<type>::value && std::is_copy_assignable<type>::value, \
                "hostcache: " what " must be trivially copyable and assignable"); \
  static_assert(alignof(type) <= 2 * sizeof(void *), "hostcache: " what " is aligned too much")

/* ==, and one sentence where a class has none. */
template <class T>
static auto hostcache_equal(const T &first, const T &second, int)
    -> decltype(static_cast<bool>(first == second)) {
  return static_cast<bool>(first == second);
}
template <class T>
static bool hostcache_equal(const T &, const T &, long) {
  static_assert(sizeof(T) == 0, "hostcache: define HC_STREAM_EQ(a, b) for a stream without ==");
  return false;
}
#else
#define HOSTCACHE_LOCAL(type, name) type name##_room, *name = &name##_room
#define HOSTCACHE_ASSERT_TYPE(type, what) \
  _Static_assert(_Alignof(type) <= 2 * sizeof(void *), "hostcache: " what " is aligned too much")
#endif

/* The highest bit of x > 0. */
HOSTCACHE_UNUSED static unsigned hostcache_log2(size_t x) {
#if defined __GNUC__
  return 63 - (unsigned)__builtin_clzll((unsigned long long)x);
#else
  unsigned log = 0;
  while (x >>= 1) log++;
  return log;
#endif
}

/* Memory that is written soon is fetched meanwhile. */
HOSTCACHE_UNUSED static void hostcache_prefetch(const void *at) {
#if defined __GNUC__
  __builtin_prefetch(at, 1);
#else
  (void)at;
#endif
}

/* The locks by rank: a thread that holds one takes only locks of a higher rank, so it holds at most
   one of each; but who holds a cache's threads_lock may hold those of all its threads. This is the
   lock order of the whole header. */
enum {
  HOSTCACHE_RANK_OWNERS = 1, /* hostcache_owners_lock: which caches share who owns what */
  HOSTCACHE_RANK_GUESTS,     /* hostcache_guests_lock: what is told when a thread ends */
  HOSTCACHE_RANK_THREADS,    /* cache->threads_lock: the list of threads; who stops them all */
  HOSTCACHE_RANK_THREAD,     /* thread->lock, or being inside: what one thread has */
  HOSTCACHE_RANK_COMMON,     /* the lock of cache->common, which is no thread's own */
  HOSTCACHE_RANK_STREAMS,    /* cache->streams_lock: the table of streams */
  HOSTCACHE_RANK_SEGMENTS,   /* cache->segments_lock: segments, ranges, what is ready, spares */
  HOSTCACHE_RANK_TRACE       /* cache->trace_lock: what is recorded of all that happens */
};

/* From here to the budget all is what threads need, and a test that steers them replaces it. */

#ifdef HOSTCACHE_GLUE_HEADER
#include HOSTCACHE_GLUE_HEADER
#else

/* Thread-local. In a shared object each use may cost a call; "initial-exec" as the model does not,
   but then the object cannot always be loaded late. */
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_NONE
#define HOSTCACHE_THREAD_LOCAL static
#elif defined __GNUC__ && defined HOSTCACHE_TLS_MODEL
#define HOSTCACHE_THREAD_LOCAL static __thread __attribute__((tls_model(HOSTCACHE_TLS_MODEL)))
#elif defined __GNUC__
#define HOSTCACHE_THREAD_LOCAL static __thread
#elif defined __cplusplus
#define HOSTCACHE_THREAD_LOCAL static thread_local
#else
#define HOSTCACHE_THREAD_LOCAL static _Thread_local
#endif

#ifdef HOSTCACHE_DEBUG
HOSTCACHE_THREAD_LOCAL unsigned hostcache_locks_held; /* a bit for each rank */
#endif

#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD && defined __linux__
#include <sys/syscall.h>
#ifdef __cplusplus
#include <unistd.h>
#else
extern long syscall(long number, ...); /* strict ISO C mode hides it */
#endif
#endif

/* Where the system has them, a lock is a futex: one atomic step takes it and one gives it back,
   without a call, unless somebody else wants it. (The system's mutex takes 60 instructions more
   each time, for kinds of mutexes that this one is not.) */
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD && defined __linux__ && defined __GNUC__ && \
    defined SYS_futex
#define HOSTCACHE_FUTEX
#endif

typedef struct hostcache_mutex {
  unsigned rank;
#if defined HOSTCACHE_FUTEX
  uint32_t taken; /* 0: free; 1: taken; 2: taken, and somebody may sleep. Changed with acquire, and
                     to 0 with release */
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD
  pthread_mutex_t native;
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_WIN32
  SRWLOCK native;
#endif
} hostcache_mutex;

/* What a mutex begins with that is there from the start. */
#if defined HOSTCACHE_FUTEX
#define HOSTCACHE_MUTEX_INIT(rank) {rank, 0}
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD
#define HOSTCACHE_MUTEX_INIT(rank) {rank, PTHREAD_MUTEX_INITIALIZER}
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_WIN32
#define HOSTCACHE_MUTEX_INIT(rank) {rank, SRWLOCK_INIT}
#else
#define HOSTCACHE_MUTEX_INIT(rank) {rank}
#endif

/* 0, or non-zero where the system has no more mutexes. */
HOSTCACHE_UNUSED static int hostcache_mutex_init(hostcache_mutex *mutex, unsigned rank) {
  mutex->rank = rank;
#if defined HOSTCACHE_FUTEX
  mutex->taken = 0;
  return 0;
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD
  return pthread_mutex_init(&mutex->native, NULL);
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_WIN32
  InitializeSRWLock(&mutex->native);
  return 0;
#else
  return 0;
#endif
}

HOSTCACHE_UNUSED static void hostcache_mutex_destroy(hostcache_mutex *mutex) {
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD && !defined HOSTCACHE_FUTEX
  (void)pthread_mutex_destroy(&mutex->native);
#else
  (void)mutex;
#endif
}

/* In HOSTCACHE_DEBUG: this thread takes a lock of that rank, or gives it back. */
HOSTCACHE_UNUSED static void hostcache_note_lock(unsigned rank) {
#ifdef HOSTCACHE_DEBUG
  HOSTCACHE_ASSERT((hostcache_locks_held >> rank) == 0);
  hostcache_locks_held |= 1u << rank;
#else
  (void)rank;
#endif
}

HOSTCACHE_UNUSED static void hostcache_note_unlock(unsigned rank) {
#ifdef HOSTCACHE_DEBUG
  hostcache_locks_held &= ~(1u << rank);
#else
  (void)rank;
#endif
}

/* Lets the processor rest for a moment, without giving it up. */
HOSTCACHE_UNUSED static void hostcache_rest(void) {
#if defined __GNUC__ && (defined __x86_64__ || defined __i386__)
  __builtin_ia32_pause();
#elif defined __GNUC__ && defined __aarch64__
  __asm__ volatile("yield" ::: "memory");
#endif
}

#ifdef HOSTCACHE_FUTEX
/* Takes a lock if it is free. */
HOSTCACHE_INLINE int hostcache_lock_try(hostcache_mutex *mutex) {
  uint32_t expected = 0;
  return __atomic_compare_exchange_n(&mutex->taken, &expected, 1, 0, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED);
}

/* Takes a lock that was taken. What it guards takes less time than to sleep and be woken: so the
   thread first looks again a few times, at longer and longer intervals, for a microsecond or two in
   all; then it lets others have the processor, among which may be who has the lock; and only then
   it sleeps. (Measured with two threads on mixed sizes: half the time.) */
HOSTCACHE_APART void hostcache_lock_taken(hostcache_mutex *mutex) {
  const int error = errno;
  unsigned rests, i;
  for (rests = 1; rests <= 32; rests *= 2) {
    for (i = 0; i < rests; i++) hostcache_rest();
    if (__atomic_load_n(&mutex->taken, __ATOMIC_RELAXED) == 0 && hostcache_lock_try(mutex)) return;
  }
  for (i = 0; i < 16; i++) {
    (void)sched_yield();
    if (__atomic_load_n(&mutex->taken, __ATOMIC_RELAXED) == 0 && hostcache_lock_try(mutex)) return;
  }
  while (__atomic_exchange_n(&mutex->taken, 2, __ATOMIC_ACQUIRE) != 0)
    (void)syscall(SYS_futex, &mutex->taken, 128 /* FUTEX_WAIT_PRIVATE */, 2, (void *)NULL,
                  (void *)NULL, 0);
  errno = error;
}

/* Gives a lock back that somebody may be waiting for. */
HOSTCACHE_APART void hostcache_lock_pass_on(hostcache_mutex *mutex) {
  const int error = errno;
  (void)syscall(SYS_futex, &mutex->taken, 129 /* FUTEX_WAKE_PRIVATE */, 1, (void *)NULL,
                (void *)NULL, 0);
  errno = error;
}
#endif

/* This and hostcache_unlock are calls: they stand in a hundred places. */
HOSTCACHE_APART void hostcache_lock(hostcache_mutex *mutex) {
  hostcache_note_lock(mutex->rank);
#if defined HOSTCACHE_FUTEX
  if (HOSTCACHE_RARELY(!hostcache_lock_try(mutex))) hostcache_lock_taken(mutex);
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD
  (void)pthread_mutex_lock(&mutex->native);
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_WIN32
  AcquireSRWLockExclusive(&mutex->native);
#else
  (void)mutex;
#endif
}

/* Takes one more lock of a rank, where a lock of a lower rank keeps others from doing so. */
HOSTCACHE_UNUSED static void hostcache_lock_one_more(hostcache_mutex *mutex) {
  hostcache_note_unlock(mutex->rank);
  hostcache_lock(mutex);
}

HOSTCACHE_APART void hostcache_unlock(hostcache_mutex *mutex) {
  hostcache_note_unlock(mutex->rank);
#if defined HOSTCACHE_FUTEX
  const uint32_t taken = __atomic_exchange_n(&mutex->taken, 0, __ATOMIC_RELEASE);
  HOSTCACHE_ASSERT(taken != 0);
  if (HOSTCACHE_RARELY(taken == 2)) hostcache_lock_pass_on(mutex);
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD
  (void)pthread_mutex_unlock(&mutex->native);
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_WIN32
  ReleaseSRWLockExclusive(&mutex->native);
#else
  (void)mutex;
#endif
}

/* Atomics, the memory order in the name. Few kinds are enough: a pointer or a number that is
   published for others to read, a word in which any thread sets bits, a stack that any thread
   pushes to and one thread takes whole (so that it knows no ABA), a number that is peeked at as a
   hint, and a flag that says whether its thread is inside. */

#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_NONE

HOSTCACHE_UNUSED static void *hostcache_ptr_load_relaxed(void *const *from) { return *from; }
HOSTCACHE_UNUSED static void *hostcache_ptr_load_acquire(void *const *from) { return *from; }
HOSTCACHE_UNUSED static void hostcache_ptr_store_release(void **to, void *value) { *to = value; }
HOSTCACHE_UNUSED static size_t hostcache_size_load_acquire(const size_t *from) { return *from; }
HOSTCACHE_UNUSED static void hostcache_size_store_release(size_t *to, size_t value) {
  *to = value;
}
HOSTCACHE_UNUSED static void *hostcache_ptr_exchange_acquire(void **at, void *value) {
  void *before = *at;
  *at = value;
  return before;
}
HOSTCACHE_UNUSED static int hostcache_ptr_replace_release(void **at, void **expected, void *value) {
  if (*at != *expected) {
    *expected = *at;
    return 0;
  }
  *at = value;
  return 1;
}
HOSTCACHE_UNUSED static uint32_t hostcache_u32_load_relaxed(const uint32_t *from) { return *from; }
HOSTCACHE_UNUSED static void hostcache_u32_store_relaxed(uint32_t *to, uint32_t value) {
  *to = value;
}
HOSTCACHE_UNUSED static uint32_t hostcache_u32_load_acquire(const uint32_t *from) { return *from; }
HOSTCACHE_UNUSED static void hostcache_u32_store_release(uint32_t *to, uint32_t value) {
  *to = value;
}
HOSTCACHE_UNUSED static size_t hostcache_size_load_relaxed(const size_t *from) { return *from; }
HOSTCACHE_UNUSED static void hostcache_size_store_relaxed(size_t *to, size_t value) {
  *to = value;
}
HOSTCACHE_UNUSED static void hostcache_size_or_relaxed(size_t *at, size_t bits) { *at |= bits; }

#elif defined __GNUC__

HOSTCACHE_UNUSED static void *hostcache_ptr_load_relaxed(void *const *from) {
  return __atomic_load_n(from, __ATOMIC_RELAXED);
}
HOSTCACHE_UNUSED static void *hostcache_ptr_load_acquire(void *const *from) {
  return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}
HOSTCACHE_UNUSED static void hostcache_ptr_store_release(void **to, void *value) {
  __atomic_store_n(to, value, __ATOMIC_RELEASE);
}
HOSTCACHE_UNUSED static size_t hostcache_size_load_acquire(const size_t *from) {
  return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}
HOSTCACHE_UNUSED static void hostcache_size_store_release(size_t *to, size_t value) {
  __atomic_store_n(to, value, __ATOMIC_RELEASE);
}
HOSTCACHE_UNUSED static void *hostcache_ptr_exchange_acquire(void **at, void *value) {
  return __atomic_exchange_n(at, value, __ATOMIC_ACQUIRE);
}
/* Puts `value` where *expected stands. Else puts what stands there into *expected and returns 0.
   Not weak: who takes an allocator out of the registry does not try again. */
HOSTCACHE_UNUSED static int hostcache_ptr_replace_release(void **at, void **expected, void *value) {
  return __atomic_compare_exchange_n(at, expected, value, 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}
HOSTCACHE_UNUSED static uint32_t hostcache_u32_load_relaxed(const uint32_t *from) {
  return __atomic_load_n(from, __ATOMIC_RELAXED);
}
HOSTCACHE_UNUSED static void hostcache_u32_store_relaxed(uint32_t *to, uint32_t value) {
  __atomic_store_n(to, value, __ATOMIC_RELAXED);
}
HOSTCACHE_UNUSED static uint32_t hostcache_u32_load_acquire(const uint32_t *from) {
  return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}
HOSTCACHE_UNUSED static void hostcache_u32_store_release(uint32_t *to, uint32_t value) {
  __atomic_store_n(to, value, __ATOMIC_RELEASE);
}
HOSTCACHE_UNUSED static size_t hostcache_size_load_relaxed(const size_t *from) {
  return __atomic_load_n(from, __ATOMIC_RELAXED);
}
HOSTCACHE_UNUSED static void hostcache_size_store_relaxed(size_t *to, size_t value) {
  __atomic_store_n(to, value, __ATOMIC_RELAXED);
}
HOSTCACHE_UNUSED static void hostcache_size_or_relaxed(size_t *at, size_t bits) {
  (void)__atomic_fetch_or(at, bits, __ATOMIC_RELAXED);
}

#elif defined _MSC_VER /* unverified: written for MSVC, not built with it so far */

HOSTCACHE_UNUSED static void *hostcache_ptr_load_relaxed(void *const *from) {
  return *(void *const volatile *)from;
}
HOSTCACHE_UNUSED static void *hostcache_ptr_load_acquire(void *const *from) {
  void *value = *(void *const volatile *)from;
  MemoryBarrier();
  return value;
}
HOSTCACHE_UNUSED static void hostcache_ptr_store_release(void **to, void *value) {
  (void)InterlockedExchangePointer((void *volatile *)to, value);
}
HOSTCACHE_UNUSED static size_t hostcache_size_load_acquire(const size_t *from) {
  size_t value = *(const volatile size_t *)from;
  MemoryBarrier();
  return value;
}
HOSTCACHE_UNUSED static void hostcache_size_store_release(size_t *to, size_t value) {
  MemoryBarrier();
  *(volatile size_t *)to = value;
}
HOSTCACHE_UNUSED static void *hostcache_ptr_exchange_acquire(void **at, void *value) {
  return InterlockedExchangePointer((void *volatile *)at, value);
}
HOSTCACHE_UNUSED static int hostcache_ptr_replace_release(void **at, void **expected, void *value) {
  void *before = InterlockedCompareExchangePointer((void *volatile *)at, value, *expected);
  if (before == *expected) return 1;
  *expected = before;
  return 0;
}
HOSTCACHE_UNUSED static uint32_t hostcache_u32_load_relaxed(const uint32_t *from) {
  return *(const volatile uint32_t *)from;
}
HOSTCACHE_UNUSED static void hostcache_u32_store_relaxed(uint32_t *to, uint32_t value) {
  *(volatile uint32_t *)to = value;
}
HOSTCACHE_UNUSED static uint32_t hostcache_u32_load_acquire(const uint32_t *from) {
  uint32_t value = *(const volatile uint32_t *)from;
  MemoryBarrier();
  return value;
}
HOSTCACHE_UNUSED static void hostcache_u32_store_release(uint32_t *to, uint32_t value) {
  MemoryBarrier();
  *(volatile uint32_t *)to = value;
}
HOSTCACHE_UNUSED static size_t hostcache_size_load_relaxed(const size_t *from) {
  return *(const volatile size_t *)from;
}
HOSTCACHE_UNUSED static void hostcache_size_store_relaxed(size_t *to, size_t value) {
  *(volatile size_t *)to = value;
}
HOSTCACHE_UNUSED static void hostcache_size_or_relaxed(size_t *at, size_t bits) {
  void *before;
  do before = *(void *volatile *)at;
  while (InterlockedCompareExchangePointer((void *volatile *)at, (void *)((size_t)before | bits),
                                           before) != before);
}

#else
#error "hostcache: the atomics of this compiler are not known; define HOSTCACHE_THREADS_NONE"
#endif

/* A barrier whose cost is all on one side. A thread that goes inside raises its flag, and then
   looks whether another thread has told it to stop; the other thread says stop, and then looks
   whether the flag is raised. One of the two sees what the other did, if neither can do its second
   step before its first is seen. Where the system has such a barrier, the one who stops others
   makes all of them pass it, and going inside costs them nothing; else (and under ThreadSanitizer,
   which does not know it) each of them pays for a fence. */

#if defined __SANITIZE_THREAD__
#define HOSTCACHE_TSAN
#elif defined __has_feature
#if __has_feature(thread_sanitizer)
#define HOSTCACHE_TSAN
#endif
#endif

/* Says that this process will use the barrier: done once for a cache, as it takes milliseconds in a
   process that already has threads. 0 where there is none. */
HOSTCACHE_UNUSED static int hostcache_barrier_ready(void) {
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_NONE
  return 1;
#elif defined HOSTCACHE_TSAN
  return 0;
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD && defined __linux__ && defined SYS_membarrier
  const int error = errno;
  const int ready = syscall(SYS_membarrier, 16 /* MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED */, 0,
                            0) == 0;
  errno = error;
  return ready;
#elif defined _WIN32 && defined _WIN32_WINNT && _WIN32_WINNT >= 0x0600
  return 1;
#else
  return 0;
#endif
}

/* Raises the flag of this thread, where the heavy barrier is the other's part. */
HOSTCACHE_INLINE void hostcache_raise(uint32_t *flag) {
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_NONE
#ifdef HOSTCACHE_DEBUG
  *flag = 1; /* says in which rank to note that it is let go; else nobody looks */
#endif
  (void)flag;
#elif defined __GNUC__
  __atomic_store_n(flag, 1, __ATOMIC_RELAXED);
  __atomic_signal_fence(__ATOMIC_SEQ_CST);
#else
  *(volatile uint32_t *)flag = 1;
#endif
}

/* The same where there is no such barrier: this thread's own fence. */
HOSTCACHE_UNUSED static void hostcache_raise_with_fence(uint32_t *flag) {
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_NONE
  *flag = 1;
#elif defined __GNUC__
  (void)__atomic_exchange_n(flag, 1, __ATOMIC_SEQ_CST);
#ifndef HOSTCACHE_TSAN
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
#else
  *(volatile uint32_t *)flag = 1;
  MemoryBarrier();
#endif
}

/* What this thread did before comes before what it does then, for every thread that raises its flag
   or has raised it. 0, or -1 if the system refuses it, although it was ready. */
HOSTCACHE_UNUSED static int hostcache_heavy_barrier(int asymmetric) {
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_NONE
  (void)asymmetric;
#elif defined HOSTCACHE_TSAN
  static uint32_t any;
  (void)asymmetric;
  (void)__atomic_exchange_n(&any, 1, __ATOMIC_SEQ_CST);
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD && defined __linux__ && defined SYS_membarrier
  if (asymmetric) {
    const int error = errno;
    const int expedited = 8; /* MEMBARRIER_CMD_PRIVATE_EXPEDITED */
    const int refused = syscall(SYS_membarrier, expedited, 0, 0) != 0;
    errno = error;
    return refused ? -1 : 0;
  }
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
#elif defined _WIN32 && defined _WIN32_WINNT && _WIN32_WINNT >= 0x0600
  if (asymmetric) FlushProcessWriteBuffers();
  MemoryBarrier();
#elif defined __GNUC__
  (void)asymmetric;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
#else
  (void)asymmetric;
  MemoryBarrier();
#endif
  return 0;
}

/* A clock in ns that never goes back. In strict ISO C mode the C library hides POSIX's functions,
   although they are there: then they are declared by hand. (No feature macro helps here, as the
   file may have included <time.h> before us. With 32 bits there are two of each, for times of 32
   and of 64 bits, so there ISO C's own clock has to do.) */

#if defined __linux__ && defined __LP64__ && !defined CLOCK_MONOTONIC
extern int clock_gettime(int clock, struct timespec *now);
extern int nanosleep(const struct timespec *time, struct timespec *left);
#define HOSTCACHE_CLOCK_MONOTONIC 1 /* Linux: the same on every architecture */
#elif defined CLOCK_MONOTONIC
#define HOSTCACHE_CLOCK_MONOTONIC CLOCK_MONOTONIC
#endif

HOSTCACHE_UNUSED static uint64_t hostcache_now_ns(void) {
#if defined HOSTCACHE_NOW_NS
  return HOSTCACHE_NOW_NS();
#elif defined _WIN32
  LARGE_INTEGER ticks, per_second;
  (void)QueryPerformanceCounter(&ticks);
  (void)QueryPerformanceFrequency(&per_second);
  return (uint64_t)(ticks.QuadPart / per_second.QuadPart) * 1000000000u +
         (uint64_t)(ticks.QuadPart % per_second.QuadPart) * 1000000000u /
             (uint64_t)per_second.QuadPart;
#else
  struct timespec now;
#if defined HOSTCACHE_CLOCK_MONOTONIC
  (void)clock_gettime(HOSTCACHE_CLOCK_MONOTONIC, &now);
#else
  (void)timespec_get(&now, TIME_UTC);
#endif
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
#endif
}

/* Between the two the thread is not cancelled. */
HOSTCACHE_UNUSED static int hostcache_cancel_off(void) {
  int cancel = 0;
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD && !defined __ANDROID__
  (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
#endif
  return cancel;
}

HOSTCACHE_UNUSED static void hostcache_cancel_on(int cancel) {
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD && !defined __ANDROID__
  (void)pthread_setcancelstate(cancel, NULL);
#else
  (void)cancel;
#endif
}

/* Before and after each call of the user's code: no lock is held there, and the thread is not
   cancelled inside, as it would leave a block without an owner. */
HOSTCACHE_UNUSED static int hostcache_hook_begin(void) {
#ifdef HOSTCACHE_DEBUG
  HOSTCACHE_ASSERT(hostcache_locks_held == 0);
#endif
  return hostcache_cancel_off();
}

HOSTCACHE_UNUSED static void hostcache_hook_end(int cancel) { hostcache_cancel_on(cancel); }

/* Before a hook that is known to be no cancellation point. */
HOSTCACHE_INLINE int hostcache_hook_begin_plain(void) {
#ifdef HOSTCACHE_DEBUG
  HOSTCACHE_ASSERT(hostcache_locks_held == 0);
#endif
  return 0;
}

/* Between two looks at something that takes time: first other threads get the processor, later (the
   `attempt`s count) it sleeps 50 us. Not a point at which the thread is cancelled, either. */
HOSTCACHE_UNUSED static void hostcache_pause(unsigned attempt) {
#if defined _WIN32
  if (attempt < 64) {
    (void)SwitchToThread();
  } else {
    Sleep(1);
  }
#else
  int cancel = hostcache_cancel_off();
  if (attempt < 64) {
    (void)sched_yield();
  } else {
#if defined HOSTCACHE_CLOCK_MONOTONIC
    struct timespec time;
    time.tv_sec = 0;
    time.tv_nsec = 50000;
    (void)nanosleep(&time, NULL);
#endif
  }
  hostcache_cancel_on(cancel);
#endif
}

/* Sleeps about so long. Not a point at which the thread is cancelled. */
HOSTCACHE_UNUSED static void hostcache_sleep(uint64_t ns) {
#if defined _WIN32
  Sleep((DWORD)((ns + 999999) / 1000000));
#elif defined HOSTCACHE_CLOCK_MONOTONIC
  int cancel = hostcache_cancel_off();
  struct timespec time;
  time.tv_sec = (time_t)(ns / 1000000000);
  time.tv_nsec = (long)(ns % 1000000000);
  (void)nanosleep(&time, NULL);
  hostcache_cancel_on(cancel);
#else
  (void)ns;
#endif
}

/* Guests: what a thread has in the caches of this file, each of which is told when the thread ends.
   And where the thread finds it again: a small table by the number of the cache, which no other
   cache of the file ever gets, so that what a destroyed cache left there is never taken for
   another's. Not a state that caches share: they only use the same door. */

typedef struct hostcache_guest {
  struct hostcache_guest *next;  /* LOCK: hostcache_guests_lock. Of the same thread */
  struct hostcache_guest **list; /* likewise. NULL: in no list */
  uint64_t cache;                /* its number */
  void (*leave)(struct hostcache_guest *guest); /* called by the thread that ends, with the lock */
} hostcache_guest;

typedef struct hostcache_here {
  uint64_t cache; /* its number */
  void *thread;
} hostcache_here;

#define HOSTCACHE_HERES 4 /* caches that a thread can use in turn without looking further */

HOSTCACHE_THREAD_LOCAL hostcache_here hostcache_heres[HOSTCACHE_HERES];

HOSTCACHE_UNUSED static size_t hostcache_here_place(uint64_t number) {
  return (size_t)(number % HOSTCACHE_HERES) * sizeof(hostcache_here);
}

/* `place`: what hostcache_here_place said of the cache. */
HOSTCACHE_INLINE hostcache_here *hostcache_here_at(size_t place) {
  return (hostcache_here *)(void *)((char *)hostcache_heres + place);
}

static uint64_t hostcache_guests_numbers; /* LOCK: hostcache_guests_lock. Caches made so far */

#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_NONE

HOSTCACHE_UNUSED static uint64_t hostcache_guests_open(void) { return ++hostcache_guests_numbers; }
HOSTCACHE_UNUSED static void hostcache_guests_close(void) {}
HOSTCACHE_UNUSED static hostcache_guest *hostcache_guest_find(uint64_t number) {
  (void)number;
  return NULL;
}
HOSTCACHE_UNUSED static int hostcache_guests_can_be_told(void) { return 0; }
HOSTCACHE_UNUSED static int hostcache_guest_add(hostcache_guest *guest) {
  (void)guest;
  return -1;
}
HOSTCACHE_UNUSED static void hostcache_guest_remove(hostcache_guest *guest) { (void)guest; }

#else

HOSTCACHE_THREAD_LOCAL hostcache_guest *hostcache_guests; /* LOCK: hostcache_guests_lock */
HOSTCACHE_THREAD_LOCAL int hostcache_guests_over;         /* this thread was told that it ends */
static size_t hostcache_guests_caches; /* likewise: how many there are; the key goes with the last
                                          */
static int hostcache_guests_told;      /* likewise: there is a key */

static hostcache_mutex hostcache_guests_lock = HOSTCACHE_MUTEX_INIT(HOSTCACHE_RANK_GUESTS);
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD
static pthread_key_t hostcache_guests_key; /* likewise */
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_WIN32
static DWORD hostcache_guests_key; /* likewise */
#endif

/* The thread ends. If the code of the caches goes on being called after this, by what else ends
   with a thread, no more guests come: it may be the last time that they are told. */
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD
HOSTCACHE_UNUSED static void hostcache_guests_leave(void *list) {
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_WIN32
HOSTCACHE_UNUSED static void NTAPI hostcache_guests_leave(void *list) {
#endif
  hostcache_guest **at = (hostcache_guest **)list, *guest;
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_WIN32
  if (!at) return; /* FlsFree, for a thread that has been nowhere */
#endif
  hostcache_lock(&hostcache_guests_lock);
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD
  hostcache_guests_over = 1;
#else
  if (*at) hostcache_guests_over = 1; /* else it may be FlsFree */
#endif
  while ((guest = *at) != NULL) {
    *at = guest->next;
    guest->list = NULL;
    hostcache_here_at(hostcache_here_place(guest->cache))->cache = 0;
    guest->leave(guest);
  }
  hostcache_unlock(&hostcache_guests_lock);
}

/* A cache is made. Returns its number, which is not 0. */
HOSTCACHE_UNUSED static uint64_t hostcache_guests_open(void) {
  uint64_t number;
  hostcache_lock(&hostcache_guests_lock);
  number = ++hostcache_guests_numbers;
  if (hostcache_guests_caches++ == 0) {
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD
    hostcache_guests_told = pthread_key_create(&hostcache_guests_key, hostcache_guests_leave) == 0;
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_WIN32
    hostcache_guests_key = FlsAlloc(hostcache_guests_leave);
    hostcache_guests_told = hostcache_guests_key != FLS_OUT_OF_INDEXES;
#endif
  }
  hostcache_unlock(&hostcache_guests_lock);
  return number;
}

/* A cache, of which there are no guests any more, is gone. */
HOSTCACHE_UNUSED static void hostcache_guests_close(void) {
  int last;
  hostcache_lock(&hostcache_guests_lock);
  last = --hostcache_guests_caches == 0 && hostcache_guests_told;
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD
  if (last) (void)pthread_key_delete(hostcache_guests_key);
  if (last) hostcache_guests_told = 0;
  hostcache_unlock(&hostcache_guests_lock);
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_WIN32
  {
    const DWORD key = hostcache_guests_key;
    if (last) hostcache_guests_told = 0;
    hostcache_unlock(&hostcache_guests_lock);
    if (last) (void)FlsFree(key); /* calls hostcache_guests_leave for every thread: lists are empty
                                     */
  }
#endif
}

/* This thread's guest in a cache, or NULL. */
HOSTCACHE_UNUSED static hostcache_guest *hostcache_guest_find(uint64_t number) {
  hostcache_guest *guest;
  hostcache_lock(&hostcache_guests_lock);
  guest = hostcache_guests;
  while (guest && guest->cache != number) guest = guest->next;
  hostcache_unlock(&hostcache_guests_lock);
  return guest;
}

/* Could the system make a key, and will this thread's end still be told? */
HOSTCACHE_UNUSED static int hostcache_guests_can_be_told(void) {
  int told;
  hostcache_lock(&hostcache_guests_lock);
  told = hostcache_guests_told && !hostcache_guests_over;
  hostcache_unlock(&hostcache_guests_lock);
  return told;
}

/* There is a key. From now on the guest is told when this thread ends: 0, or -1 if the system
   cannot do that. */
HOSTCACHE_UNUSED static int hostcache_guest_add(hostcache_guest *guest) {
  int told;
  hostcache_lock(&hostcache_guests_lock);
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD
  told = pthread_setspecific(hostcache_guests_key, (void *)&hostcache_guests) == 0;
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_WIN32
  told = FlsSetValue(hostcache_guests_key, (void *)&hostcache_guests) != 0;
#endif
  if (told) {
    guest->list = &hostcache_guests;
    guest->next = hostcache_guests;
    hostcache_guests = guest;
  }
  hostcache_unlock(&hostcache_guests_lock);
  return told ? 0 : -1;
}

/* A guest goes although its thread has not ended: the cache is about to be destroyed. */
HOSTCACHE_UNUSED static void hostcache_guest_remove(hostcache_guest *guest) {
  hostcache_guest **at;
  hostcache_lock(&hostcache_guests_lock);
  if (guest->list) {
    for (at = guest->list; *at != guest;) at = &(*at)->next;
    *at = guest->next;
    guest->list = NULL;
  }
  hostcache_unlock(&hostcache_guests_lock);
}

#endif

/* Guards the lists of the caches that share who owns what (HC_OWN_SEGMENTS), one for each HC_NAME
   of the file. Held for a look, and never across a hook. */
HOSTCACHE_UNUSED static hostcache_mutex hostcache_owners_lock =
    HOSTCACHE_MUTEX_INIT(HOSTCACHE_RANK_OWNERS);

/* How many forks lie between this process and the one that loaded the code. Written in a child
   before it has a second thread, so a plain variable is enough. Not a state that caches share: they
   only compare it with what it was when they were made. */
#ifndef _WIN32
static unsigned hostcache_generation;

HOSTCACHE_UNUSED static void hostcache_after_fork_in_child(void) {
  hostcache_generation++;
#ifdef HOSTCACHE_DEBUG
  hostcache_locks_held = 0;
#endif
  /* Another thread may have held the locks, and what this one has is of caches of the parent. */
  (void)hostcache_mutex_init(&hostcache_owners_lock, HOSTCACHE_RANK_OWNERS);
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD
  (void)hostcache_mutex_init(&hostcache_guests_lock, HOSTCACHE_RANK_GUESTS);
  hostcache_guests = NULL;
#endif
  memset(hostcache_heres, 0, sizeof hostcache_heres); /* so that the hot path leads nowhere */
}

/* NULL, or where forks are watched. Set with release, read with acquire. Under no lock, which a
   child could be forked with: two threads that come at once watch twice, and a fork then counts for
   two, which is as good. */
static void *hostcache_forks_watched;

/* 0 where forks will be noticed. */
HOSTCACHE_UNUSED static int hostcache_watch_forks(void) {
  int failed;
  if (hostcache_ptr_load_relaxed(&hostcache_forks_watched)) return 0;
  failed = pthread_atfork(NULL, NULL, hostcache_after_fork_in_child);
  if (!failed) hostcache_ptr_store_release(&hostcache_forks_watched, &hostcache_generation);
  return failed;
}

HOSTCACHE_UNUSED static unsigned hostcache_process(void) { return hostcache_generation; }
#else
HOSTCACHE_UNUSED static int hostcache_watch_forks(void) { return 0; }
HOSTCACHE_UNUSED static unsigned hostcache_process(void) { return 0; }
#endif

#endif /* HOSTCACHE_GLUE_HEADER */

#ifdef HOSTCACHE_DEBUG

/* What only HOSTCACHE_DEBUG needs: memory that the host must not touch, places in the program, and
   words about them. */

#include <stdio.h>
#include <stdlib.h>

#if defined __SANITIZE_ADDRESS__
#define HOSTCACHE_ASAN
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define HOSTCACHE_ASAN
#endif
#endif

#ifdef HOSTCACHE_ASAN
#ifdef __cplusplus
extern "C" {
#endif
void __asan_poison_memory_region(const volatile void *address, size_t size);
void __asan_unpoison_memory_region(const volatile void *address, size_t size);
#ifdef __cplusplus
}
#endif
#endif

#if defined __has_include && !defined _WIN32 /* where these may be those of another system */
#if __has_include(<valgrind/memcheck.h>) && defined __GNUC__
#include <valgrind/memcheck.h>
#endif
#if __has_include(<execinfo.h>) && !defined HOSTCACHE_BACKTRACE
#include <execinfo.h>
#define HOSTCACHE_NAMES_PLACES
#define HOSTCACHE_BACKTRACE(addresses, most) backtrace(addresses, most)
#endif
#endif

#if defined __GNUC__
#define HOSTCACHE_CALLER() __builtin_return_address(0) /* of the function that says so */
#else
#define HOSTCACHE_CALLER() NULL
#endif

#define HOSTCACHE_READY_BYTE 0xdb /* odd, as a pointer or a float far off, and not a byte of text */

/* From now on the host must not touch this memory. */
HOSTCACHE_UNUSED static void hostcache_hide(const void *ptr, size_t size) {
#ifdef HOSTCACHE_ASAN
  __asan_poison_memory_region(ptr, size);
#endif
#ifdef VALGRIND_MAKE_MEM_NOACCESS
  VALGRIND_MAKE_MEM_NOACCESS(ptr, size);
#endif
  (void)ptr;
  (void)size;
}

/* It may again, and finds there what there was. */
HOSTCACHE_UNUSED static void hostcache_show(const void *ptr, size_t size) {
#ifdef HOSTCACHE_ASAN
  __asan_unpoison_memory_region(ptr, size);
#endif
#ifdef VALGRIND_MAKE_MEM_DEFINED
  VALGRIND_MAKE_MEM_DEFINED(ptr, size);
#endif
  (void)ptr;
  (void)size;
}

/* It may, and should write there before it reads. */
HOSTCACHE_UNUSED static void hostcache_offer(const void *ptr, size_t size) {
  hostcache_show(ptr, size);
#ifdef VALGRIND_MAKE_MEM_UNDEFINED
  VALGRIND_MAKE_MEM_UNDEFINED(ptr, size);
#endif
}

HOSTCACHE_UNUSED static void hostcache_fill(void *ptr, size_t size) {
  memset(ptr, HOSTCACHE_READY_BYTE, size);
}

/* The first byte of memory that is not as hostcache_fill left it, or NULL. AddressSanitizer does
   not look, as check may hide a red zone at any time that its owner looks at. */
#ifdef HOSTCACHE_ASAN
__attribute__((no_sanitize_address, noinline, unused))
#else
HOSTCACHE_UNUSED
#endif
static const void *hostcache_damage(const void *ptr, size_t size) {
  const unsigned char *at = (const unsigned char *)ptr, *end = at + size;
#ifndef HOSTCACHE_ASAN /* faster, unless there is next to nothing to look at */
  if (size > 64 && *at == HOSTCACHE_READY_BYTE && memcmp(at, at + 1, size - 1) == 0) return NULL;
#endif
  while (at < end && *at == HOSTCACHE_READY_BYTE) at++;
  return at < end ? at : NULL;
}

/* Stores where this thread is, but for the functions of the header: `from` is what called it. The
   unused places are NULL. */
HOSTCACHE_UNUSED static void hostcache_places(void **places, int most, void *from) {
  int count = 0, i;
#ifdef HOSTCACHE_BACKTRACE
  void *addresses[32];
  const int error = errno, cancel = hostcache_hook_begin();
  const int all = HOSTCACHE_BACKTRACE(addresses, 32);
  hostcache_hook_end(cancel);
  errno = error;
  for (i = 0; i < all && addresses[i] != from;) i++;
  if (i == all) i = 0; /* it is not among them: better too many than none */
  for (; i < all && count < most; i++) places[count++] = addresses[i];
#endif
  if (count == 0) places[count++] = from;
  for (i = count; i < most; i++) places[i] = NULL;
}

/* A sentence that is put together from pieces. What finds no room is left out. */
typedef struct hostcache_words {
  char text[512];
  size_t used;
} hostcache_words;

HOSTCACHE_UNUSED static void hostcache_say(hostcache_words *words, const char *piece) {
  while (*piece && words->used < sizeof words->text - 1) words->text[words->used++] = *piece++;
  words->text[words->used] = 0;
}

HOSTCACHE_UNUSED static void hostcache_say_number(hostcache_words *words, size_t number,
                                                  unsigned base) {
  char digits[8 * sizeof number + 1];
  size_t at = sizeof digits - 1;
  digits[at] = 0;
  do {
    digits[--at] = "0123456789abcdef"[number % base];
    number /= base;
  } while (number > 0);
  hostcache_say(words, digits + at);
}

/* Names places, the last of which is the first NULL, or all of `most`. Where the system's own names
   find no memory they are addresses. */
HOSTCACHE_UNUSED static void hostcache_say_places(hostcache_words *words, void *const *places,
                                                  int most) {
  int count = 0, i;
  char **names = NULL;
  while (count < most && places[count]) count++;
#ifdef HOSTCACHE_NAMES_PLACES
  if (count > 0) names = backtrace_symbols(places, count);
#endif
  for (i = 0; i < count; i++) {
    hostcache_say(words, i == 0 ? "got at " : " < ");
    if (names) {
      hostcache_say(words, names[i]);
      continue;
    }
    hostcache_say(words, "0x");
    hostcache_say_number(words, (size_t)places[i], 16);
  }
  if (count == 0) hostcache_say(words, "got where cannot be told");
  if (names) free(names);
}

/* Tells what nobody else hears. */
HOSTCACHE_UNUSED static void hostcache_complain(const char *what, const void *ptr) {
  hostcache_words words = {"", 0};
  hostcache_say(&words, "0x");
  hostcache_say_number(&words, (size_t)ptr, 16);
  (void)fprintf(stderr, "hostcache: %s (%s)\n", what, words.text);
}

#endif /* HOSTCACHE_DEBUG */

/* The budget: what the system tells of how much may be pinned. hostcache_budget_read takes what
   stands before /proc and /sys, so that a test can give it a tree of its own. */

#ifndef HOSTCACHE_BUDGET_ROOT
#define HOSTCACHE_BUDGET_ROOT ""
#endif

/* How much is left below a limit. More may be used than the limit says, since it may be lowered and
   some use is not asked about; and the figures are not of one moment. */
HOSTCACHE_UNUSED static int64_t hostcache_budget_left(int64_t limit, int64_t used,
                                                      int64_t reclaimable) {
  if (limit == HOSTCACHE_UNKNOWN || limit == HOSTCACHE_UNLIMITED) return limit;
  if (used == HOSTCACHE_UNKNOWN) return limit;
  if (reclaimable != HOSTCACHE_UNKNOWN) used = used > reclaimable ? used - reclaimable : 0;
  return used < limit ? limit - used : 0;
}

HOSTCACHE_UNUSED static void hostcache_budget_bound(hostcache_budget *budget, int64_t bytes,
                                                    hostcache_binding binding) {
  if (bytes == HOSTCACHE_UNKNOWN || bytes == HOSTCACHE_UNLIMITED) return;
  if (budget->bytes != HOSTCACHE_UNKNOWN && budget->bytes <= bytes) return;
  budget->bytes = bytes;
  budget->binding = binding;
}

/* From the figures to the budget. */
HOSTCACHE_UNUSED static void hostcache_budget_conclude(hostcache_budget *budget) {
  budget->bytes = HOSTCACHE_UNKNOWN;
  budget->binding = HOSTCACHE_BUDGET_NOTHING;
  if (budget->memlock_exempt != 1)
    hostcache_budget_bound(
        budget, hostcache_budget_left(budget->memlock_limit, budget->memlock_used, 0),
        HOSTCACHE_BUDGET_MEMLOCK);
  hostcache_budget_bound(budget,
                         hostcache_budget_left(budget->cgroup_limit, budget->cgroup_used,
                                               budget->cgroup_reclaimable),
                         HOSTCACHE_BUDGET_CGROUP);
  hostcache_budget_bound(budget, budget->mem_available, HOSTCACHE_BUDGET_AVAILABLE);
}

#if defined __linux__

#include <errno.h>
#include <stdio.h>

#define HOSTCACHE_PATH_BYTES 2048 /* of a name with its 0; cgroups of Kubernetes take up to 500 */
#define HOSTCACHE_LINE_BYTES 256  /* what we look for in a file of the kernel takes up to 80 */

typedef struct hostcache_path {
  size_t length;
  char text[HOSTCACHE_PATH_BYTES];
} hostcache_path;

HOSTCACHE_UNUSED static void hostcache_path_cut(hostcache_path *path, size_t length) {
  path->length = length;
  path->text[length] = 0;
}

/* 0: it does not fit, and nothing was added. */
HOSTCACHE_UNUSED static int hostcache_path_add(hostcache_path *path, const char *text) {
  const size_t length = strlen(text);
  if (length >= sizeof path->text - path->length) return 0;
  memcpy(path->text + path->length, text, length + 1);
  path->length += length;
  return 1;
}

/* What a line of a file tells, after its key. */
enum {
  HOSTCACHE_FIELD_BYTES,  /* a number */
  HOSTCACHE_FIELD_KIB,    /* a number and kB */
  HOSTCACHE_FIELD_LIMIT,  /* a number, "max" or "unlimited" */
  HOSTCACHE_FIELD_CAPS,   /* capabilities: 1 if CAP_IPC_LOCK is among them, else 0 */
  HOSTCACHE_FIELD_IDS,    /* a namespace's user ids: 1 if it has all, by their own numbers */
  HOSTCACHE_FIELD_MEMORY  /* controllers: 1 if memory is among them, else 0 */
};

typedef struct hostcache_field {
  const char *key; /* what the line begins with; "" is the first line */
  int kind;
  int64_t value; /* HOSTCACHE_UNKNOWN where there is no such line, or it is not as it should be */
} hostcache_field;

#define HOSTCACHE_CAP_IPC_LOCK 14 /* Linux: the same on every architecture */

HOSTCACHE_UNUSED static const char *hostcache_skip_blanks(const char *text) {
  while (*text == ' ' || *text == '\t') text++;
  return text;
}

/* What follows a word and the blanks after it, or NULL if another word stands there. A word that
   ends without a blank or a new line may have been cut off, and is none. */
HOSTCACHE_UNUSED static const char *hostcache_skip_word(const char *text, const char *word) {
  const size_t length = strlen(word);
  if (strncmp(text, word, length) != 0) return NULL;
  text += length;
  if (*text != ' ' && *text != '\t' && *text != '\n') return NULL;
  return hostcache_skip_blanks(text);
}

/* A number that is too large for its type is UNLIMITED as a limit, and else UNKNOWN. */
HOSTCACHE_UNUSED static int64_t hostcache_parse_number(const char *text, int kind) {
  const int64_t unit = kind == HOSTCACHE_FIELD_KIB ? 1024 : 1;
  const char *start = text;
  int64_t value = 0;
  int too_large = 0;
  for (; *text >= '0' && *text <= '9'; text++) {
    const int digit = *text - '0';
    if (value > (INT64_MAX / unit - digit) / 10)
      too_large = 1;
    else
      value = value * 10 + digit;
  }
  text = text == start ? NULL : hostcache_skip_word(text, "");
  if (text && kind == HOSTCACHE_FIELD_KIB) text = hostcache_skip_word(text, "kB");
  if (!text) return HOSTCACHE_UNKNOWN;
  if (too_large) return kind == HOSTCACHE_FIELD_LIMIT ? HOSTCACHE_UNLIMITED : HOSTCACHE_UNKNOWN;
  return value * unit;
}

HOSTCACHE_UNUSED static int64_t hostcache_parse_caps(const char *text) {
  const char *start = text;
  uint64_t caps = 0;
  for (;; text++) {
    if (*text >= '0' && *text <= '9')
      caps = caps << 4 | (uint64_t)(*text - '0');
    else if (*text >= 'a' && *text <= 'f')
      caps = caps << 4 | (uint64_t)(*text - 'a' + 10);
    else
      break;
  }
  if (text == start || !hostcache_skip_word(text, "")) return HOSTCACHE_UNKNOWN;
  return (int64_t)(caps >> HOSTCACHE_CAP_IPC_LOCK & 1);
}

HOSTCACHE_UNUSED static int64_t hostcache_parse_ids(const char *text) {
  const char *rest = hostcache_skip_word(text, "0");
  if (rest) rest = hostcache_skip_word(rest, "0");
  if (rest) rest = hostcache_skip_word(rest, "4294967295");
  if (rest) return 1;
  return strchr(text, '\n') ? 0 : HOSTCACHE_UNKNOWN;
}

HOSTCACHE_UNUSED static int64_t hostcache_parse_controllers(const char *text) {
  while (*text && *text != '\n') {
    if (hostcache_skip_word(text, "memory")) return 1;
    while (*text && *text != ' ' && *text != '\n') text++;
    text = hostcache_skip_blanks(text);
  }
  return *text ? 0 : HOSTCACHE_UNKNOWN;
}

HOSTCACHE_UNUSED static int64_t hostcache_parse_field(const char *text, int kind) {
  text = hostcache_skip_blanks(text);
  if (kind == HOSTCACHE_FIELD_CAPS) return hostcache_parse_caps(text);
  if (kind == HOSTCACHE_FIELD_IDS) return hostcache_parse_ids(text);
  if (kind == HOSTCACHE_FIELD_MEMORY) return hostcache_parse_controllers(text);
  if (kind == HOSTCACHE_FIELD_LIMIT &&
      (hostcache_skip_word(text, "max") || hostcache_skip_word(text, "unlimited")))
    return HOSTCACHE_UNLIMITED;
  return hostcache_parse_number(text, kind);
}

/* Opens the file `name` below `path`. A file that a new process would get is none of its business:
   "e" is understood by every C library of Linux, and closes it there. */
HOSTCACHE_UNUSED static FILE *hostcache_open(hostcache_path *path, const char *name) {
  const size_t length = path->length;
  FILE *file = NULL;
  errno = ENAMETOOLONG;
  if (hostcache_path_add(path, name)) file = fopen(path->text, "re");
  hostcache_path_cut(path, length);
  return file;
}

/* Reads fields from a file, each where its key first stands. 1: it could be read; 0: there is no
   such file; -1: there may be one. */
HOSTCACHE_UNUSED static int hostcache_read_fields(hostcache_path *path, const char *name,
                                                  hostcache_field *fields, unsigned count) {
  char line[HOSTCACHE_LINE_BYTES];
  int is_first = 1, begins = 1, failed;
  unsigned i;
  FILE *file = hostcache_open(path, name);
  for (i = 0; i < count; i++) fields[i].value = HOSTCACHE_UNKNOWN;
  if (!file) return errno == ENOENT ? 0 : -1;
  while (fgets(line, (int)sizeof line, file)) {
    for (i = 0; begins && i < count; i++) {
      const size_t length = strlen(fields[i].key);
      if (fields[i].value == HOSTCACHE_UNKNOWN && (is_first || length > 0) &&
          strncmp(line, fields[i].key, length) == 0)
        fields[i].value = hostcache_parse_field(line + length, fields[i].kind);
    }
    is_first = 0;
    begins = strchr(line, '\n') != NULL; /* a longer line comes in parts */
  }
  failed = ferror(file);
  (void)fclose(file);
  return failed ? -1 : 1;
}

/* What was seen of the cgroups on the way up, besides the figures of the one that binds. */
typedef struct hostcache_climb {
  int unlimited; /* one that has no limit */
  int unknown;   /* one of which it is unknown what limit it has */
} hostcache_climb;

/* A cgroup without memory.max: the memory controller is not switched on for it, so that only those
   above count; or it is the root of all, which has no limit. */
HOSTCACHE_UNUSED static void hostcache_cgroup_without_limit(hostcache_path *path, int is_top,
                                                            hostcache_climb *climb) {
  hostcache_field memory = {"", HOSTCACHE_FIELD_MEMORY, HOSTCACHE_UNKNOWN};
  if (hostcache_read_fields(path, "/cgroup.controllers", &memory, 1) != 1)
    climb->unknown = 1;
  else if (memory.value == 1 && is_top)
    climb->unlimited = 1;
  else if (memory.value != 0)
    climb->unknown = 1;
}

/* Looks at one cgroup, whose folder `path` is, and takes its figures if it binds more than those
   below it. */
HOSTCACHE_UNUSED static void hostcache_cgroup_look(hostcache_budget *budget, hostcache_path *path,
                                                   int is_top, hostcache_climb *climb) {
  hostcache_field most = {"", HOSTCACHE_FIELD_LIMIT, HOSTCACHE_UNKNOWN}, high = most;
  hostcache_field used = {"", HOSTCACHE_FIELD_BYTES, HOSTCACHE_UNKNOWN};
  hostcache_field cached[2] = {{"inactive_file ", HOSTCACHE_FIELD_BYTES, HOSTCACHE_UNKNOWN},
                               {"active_file ", HOSTCACHE_FIELD_BYTES, HOSTCACHE_UNKNOWN}};
  int64_t limit, reclaimable = HOSTCACHE_UNKNOWN, left, left_below;

  if (hostcache_read_fields(path, "/memory.max", &most, 1) == 0) {
    hostcache_cgroup_without_limit(path, is_top, climb);
    return;
  }
  if (hostcache_read_fields(path, "/memory.high", &high, 1) == 0)
    high.value = HOSTCACHE_UNLIMITED; /* a kernel that does not have it */
  limit = most.value;
  if (limit == HOSTCACHE_UNKNOWN || (high.value != HOSTCACHE_UNKNOWN && high.value < limit))
    limit = high.value;
  if (limit == HOSTCACHE_UNLIMITED && most.value == high.value)
    climb->unlimited = 1;
  else if (limit == HOSTCACHE_UNLIMITED || limit == HOSTCACHE_UNKNOWN)
    climb->unknown = 1;
  (void)hostcache_read_fields(path, "/memory.current", &used, 1);
  (void)hostcache_read_fields(path, "/memory.stat", cached, 2);
  if (cached[0].value != HOSTCACHE_UNKNOWN && cached[1].value != HOSTCACHE_UNKNOWN &&
      cached[0].value <= INT64_MAX - cached[1].value)
    reclaimable = cached[0].value + cached[1].value;

  left = hostcache_budget_left(limit, used.value, reclaimable);
  left_below = hostcache_budget_left(budget->cgroup_limit, budget->cgroup_used,
                                     budget->cgroup_reclaimable);
  if (left == HOSTCACHE_UNKNOWN || left == HOSTCACHE_UNLIMITED) {
    if (budget->cgroup_used != HOSTCACHE_UNKNOWN || left_below != HOSTCACHE_UNKNOWN) return;
  } else {
    if (left_below != HOSTCACHE_UNKNOWN && left_below <= left) return;
    budget->cgroup_limit = limit;
  }
  budget->cgroup_used = used.value;
  budget->cgroup_reclaimable = reclaimable;
}

/* Climbs from the cgroup `path` up to its first `top` characters, where cgroups are mounted. What
   follows them, if anything does, begins with a /. */
HOSTCACHE_UNUSED static void hostcache_cgroup_climb(hostcache_budget *budget, hostcache_path *path,
                                                    size_t top, hostcache_climb *climb) {
  for (;;) {
    size_t length = path->length;
    hostcache_cgroup_look(budget, path, length == top, climb);
    if (length == top) return;
    HOSTCACHE_ASSERT(path->text[top] == '/');
    do length--;
    while (path->text[length] != '/');
    hostcache_path_cut(path, length);
  }
}

/* The cgroup v2 of this process, "" for the root, or 0 where it cannot be told: a line that is
   missing, cut off or too long, or a cgroup outside of what this process may see. */
HOSTCACHE_UNUSED static int hostcache_cgroup_own(hostcache_path *path, char *own, size_t size) {
  FILE *file = hostcache_open(path, "/proc/self/cgroup");
  int begins = 1, found = 0;
  if (!file) return 0;
  while (!found && fgets(own, (int)size, file)) {
    char *end = strchr(own, '\n');
    if (begins && strncmp(own, "0::/", 4) == 0) {
      if (!end) break;
      *end = 0;
      found = 1;
    }
    begins = end != NULL;
  }
  (void)fclose(file);
  if (!found) return 0;
  memmove(own, own + 3, strlen(own + 3) + 1);
  if (strcmp(own, "/") == 0) own[0] = 0;
  return strncmp(own, "/..", 3) != 0;
}

/* Reads a word of a line, unless *end, what ended the one before, says that there is none. A word
   that does not fit is "". */
HOSTCACHE_UNUSED static void hostcache_read_word(FILE *file, int *end, char *word, size_t size) {
  size_t length = 0;
  if (*end == ' ') {
    while ((*end = getc(file)) != EOF && *end != ' ' && *end != '\n')
      if (length < size) word[length++] = (char)*end;
  }
  word[length < size ? length : 0] = 0;
}

/* In the names in mountinfo a space, say, is \040. */
HOSTCACHE_UNUSED static void hostcache_unescape(char *text) {
  char *to = text;
  for (; *text; to++) {
    if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] >= '0' && text[2] <= '7' &&
        text[3] >= '0' && text[3] <= '7') {
      *to = (char)(unsigned char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
      text += 4;
    } else {
      *to = *text++;
    }
  }
  *to = 0;
}

/* Where a mount that begins with the cgroup `root` shows the cgroup `own`, or NULL. */
HOSTCACHE_UNUSED static const char *hostcache_below(const char *own, const char *root) {
  const size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);
  if (root[0] != '/' || strncmp(own, root, length) != 0) return NULL;
  return own[length] == '/' || own[length] == 0 ? own + length : NULL;
}

/* Climbs in each mount of cgroups that shows the one of this process; several show the same, or
   less of it. A line is: id, id, device, root, where, options, more of them, -, type, ... */
HOSTCACHE_UNUSED static void hostcache_cgroup_mounts(hostcache_budget *budget, hostcache_path *path,
                                                     const char *own, FILE *file,
                                                     hostcache_climb *climb) {
  const size_t start = path->length, room = sizeof path->text - start;
  char *where = path->text + start, word[16];
  int end, i;
  do {
    const char *shown;
    int is_cgroup;
    end = ' ';
    for (i = 0; i < 3; i++) hostcache_read_word(file, &end, word, sizeof word);
    hostcache_read_word(file, &end, where, room);
    hostcache_unescape(where);
    shown = hostcache_below(own, where);
    hostcache_read_word(file, &end, where, room);
    hostcache_unescape(where);
    do hostcache_read_word(file, &end, word, sizeof word);
    while (end == ' ' && strcmp(word, "-") != 0);
    hostcache_read_word(file, &end, word, sizeof word);
    is_cgroup = end == ' ' && strcmp(word, "cgroup2") == 0;
    while (end == ' ') hostcache_read_word(file, &end, word, sizeof word);
    if (is_cgroup && shown) {
      const size_t top = start + strlen(where);
      path->length = top;
      if (top > start && hostcache_path_add(path, shown))
        hostcache_cgroup_climb(budget, path, top, climb);
      else
        climb->unknown = 1;
    }
    hostcache_path_cut(path, start);
  } while (end != EOF);
}

/* The same where mountinfo cannot be read, in the usual places: the second is that of a system that
   has both versions of cgroups. */
HOSTCACHE_UNUSED static void hostcache_cgroup_usual(hostcache_budget *budget, hostcache_path *path,
                                                    const char *own, hostcache_climb *climb) {
  static const char *const places[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
  const size_t start = path->length;
  unsigned i;
  for (i = 0; i < 2; i++) {
    if (hostcache_path_add(path, places[i])) {
      const size_t top = path->length;
      if (hostcache_read_fields(path, "/cgroup.controllers", NULL, 0) == 1) {
        if (hostcache_path_add(path, own))
          hostcache_cgroup_climb(budget, path, top, climb);
        else
          climb->unknown = 1;
      }
    }
    hostcache_path_cut(path, start);
  }
}

HOSTCACHE_UNUSED static void hostcache_budget_read_cgroup(hostcache_budget *budget,
                                                          hostcache_path *path) {
  char own[HOSTCACHE_PATH_BYTES];
  hostcache_climb climb = {0, 0};
  FILE *mounts;
  if (!hostcache_cgroup_own(path, own, sizeof own)) return;
  mounts = hostcache_open(path, "/proc/self/mountinfo");
  if (mounts) {
    hostcache_cgroup_mounts(budget, path, own, mounts, &climb);
    (void)fclose(mounts);
  } else {
    hostcache_cgroup_usual(budget, path, own, &climb);
  }
  if (budget->cgroup_limit == HOSTCACHE_UNKNOWN && climb.unlimited && !climb.unknown)
    budget->cgroup_limit = HOSTCACHE_UNLIMITED;
}

/* The kernel asks for CAP_IPC_LOCK in the first user namespace. The root of a container without
   privilege has it in its own alone, whose user ids are not all those that there are. */
HOSTCACHE_UNUSED static void hostcache_budget_read_memlock(hostcache_budget *budget,
                                                           hostcache_path *path) {
  hostcache_field limit = {"Max locked memory ", HOSTCACHE_FIELD_LIMIT, HOSTCACHE_UNKNOWN};
  hostcache_field ids = {"", HOSTCACHE_FIELD_IDS, HOSTCACHE_UNKNOWN};
  hostcache_field status[2] = {{"VmLck:", HOSTCACHE_FIELD_KIB, HOSTCACHE_UNKNOWN},
                               {"CapEff:", HOSTCACHE_FIELD_CAPS, HOSTCACHE_UNKNOWN}};
  (void)hostcache_read_fields(path, "/proc/self/limits", &limit, 1);
  (void)hostcache_read_fields(path, "/proc/self/status", status, 2);
  (void)hostcache_read_fields(path, "/proc/self/uid_map", &ids, 1);
  budget->memlock_limit = limit.value;
  budget->memlock_used = status[0].value;
  if (status[1].value == 0 || ids.value == 0)
    budget->memlock_exempt = 0;
  else if (status[1].value == 1 && ids.value == 1)
    budget->memlock_exempt = 1;
}

HOSTCACHE_UNUSED static void hostcache_budget_read_figures(hostcache_budget *budget,
                                                           const char *root) {
  hostcache_field memory[3] = {{"MemAvailable:", HOSTCACHE_FIELD_KIB, HOSTCACHE_UNKNOWN},
                               {"HugePages_Free:", HOSTCACHE_FIELD_BYTES, HOSTCACHE_UNKNOWN},
                               {"Hugepagesize:", HOSTCACHE_FIELD_KIB, HOSTCACHE_UNKNOWN}};
  const int error = errno, cancel = hostcache_hook_begin(); /* else files could stay open */
  hostcache_path path;
  hostcache_path_cut(&path, 0);
  if (hostcache_path_add(&path, root)) {
    hostcache_budget_read_memlock(budget, &path);
    hostcache_budget_read_cgroup(budget, &path);
    (void)hostcache_read_fields(&path, "/proc/meminfo", memory, 3);
    budget->mem_available = memory[0].value;
    if (memory[1].value != HOSTCACHE_UNKNOWN && memory[2].value > 0 &&
        memory[1].value <= INT64_MAX / memory[2].value)
      budget->huge_free = memory[1].value * memory[2].value;
  }
  hostcache_hook_end(cancel);
  errno = error;
}

#elif defined _WIN32 /* run under wine, not on Windows so far */

/* VirtualLock goes as far as the minimum of the working set, which a process may raise itself. */
HOSTCACHE_UNUSED static void hostcache_budget_read_figures(hostcache_budget *budget,
                                                           const char *root) {
  const DWORD error = GetLastError();
  SIZE_T least = 0, most = 0;
  MEMORYSTATUSEX memory;
  (void)root;
  memory.dwLength = sizeof memory;
  if (GlobalMemoryStatusEx(&memory)) budget->mem_available = (int64_t)memory.ullAvailPhys;
  if (GetProcessWorkingSetSize(GetCurrentProcess(), &least, &most))
    budget->memlock_limit = (int64_t)least;
  SetLastError(error);
}

#else /* what macOS and the BSDs tell is not known yet */

HOSTCACHE_UNUSED static void hostcache_budget_read_figures(hostcache_budget *budget,
                                                           const char *root) {
  (void)budget;
  (void)root;
}

#endif

/* 1 if anything is known. */
HOSTCACHE_UNUSED static int hostcache_budget_read(hostcache_budget *budget, const char *root) {
  budget->memlock_exempt = -1;
  budget->memlock_limit = budget->memlock_used = HOSTCACHE_UNKNOWN;
  budget->cgroup_limit = budget->cgroup_used = budget->cgroup_reclaimable = HOSTCACHE_UNKNOWN;
  budget->mem_available = budget->huge_free = HOSTCACHE_UNKNOWN;
  hostcache_budget_read_figures(budget, root);
  hostcache_budget_conclude(budget);
  return budget->memlock_exempt != -1 || budget->memlock_limit != HOSTCACHE_UNKNOWN ||
         budget->memlock_used != HOSTCACHE_UNKNOWN || budget->cgroup_limit != HOSTCACHE_UNKNOWN ||
         budget->cgroup_used != HOSTCACHE_UNKNOWN || budget->mem_available != HOSTCACHE_UNKNOWN ||
         budget->huge_free != HOSTCACHE_UNKNOWN;
}

#endif /* GLUE */

/* ---- 6. TYPES -----------------------------------------------------------------------------------
   Block, segment, use, queue, bin, cache; the states of a block, and the books that follow them.
   First what does not depend on the user's types, once per file. */

#ifndef HOSTCACHE_TYPES_INCLUDED
#define HOSTCACHE_TYPES_INCLUDED

/* A block's state says who owns it, and so which lock guards it.

     SPARE --> LEAVING --> ACTIVE -- free, no use --> STOCKED --> CACHED --> LEAVING
       ^                    ^ | |                       ^ |          ^ |         | | free
       |                    | | | free                  | |          | |         | | hook
       |                    | | v                       | |          | |         | | failed
       |                    | | FREEING                 | |          | |         | v
       |                    | |   | its events recorded | |          | |         | LEAKED
       |                    | |   v                     | |          | |         |
       |                    | | WAITING -- all complete-+-+----------+ |         |
       |                    | |  ^  |  ^                | |            |         |
       |                    | |  |  |  | released,      | |            |         |
       |                    | |  |  v  | uses left      | |            |         |
       |                    | |  | QUARANTINED -- released             |         |
       |                    | v  |                        |            |         |
       |                    | DEFERRED                    |            |         |
       |                    +-------- handed out again ---+            |         |
       |                    +-------- handed out again, by LEAVING ----+         |
       +---------------- given back, or one with its neighbour -----------------+

   (FREEING and DEFERRED also end as QUARANTINED, where a use cannot be recorded, and as STOCKED or
   CACHED, where the stream was waited for instead.) SPARE: a record without memory. ACTIVE: the
   user's. FREEING: of the thread that records its events; the figures still count it as handed out.
   DEFERRED: on the deferred stack, or of the thread that took it from there. WAITING: in the queues
   of the thread that is its home; the figures call it pending, as the contract does. STOCKED:
   ready, in the stock of a thread or in a shared bin. CACHED: in a heap, a ready range of any size.
   LEAVING: of the thread that gives its memory back, or that has just got it. What is over when a
   range is split is a SPARE record that becomes CACHED at once.

   What a thread's lock guards: ACTIVE (of its home), DEFERRED, FREEING, WAITING and QUARANTINED (of
   its home), STOCKED (in its stock). segments_lock: the rest. Who holds all of them knows all. */
enum {
  HOSTCACHE_SPARE,
  HOSTCACHE_ACTIVE,
  HOSTCACHE_FREEING,
  HOSTCACHE_DEFERRED,
  HOSTCACHE_WAITING,
  HOSTCACHE_QUARANTINED,
  HOSTCACHE_STOCKED,
  HOSTCACHE_CACHED,
  HOSTCACHE_LEAVING,
  HOSTCACHE_LEAKED,
  HOSTCACHE_STATE_COUNT
};
#define HOSTCACHE_STATE_MASK 15u /* of block->life: has room for all of them */

/* What a use of a block is, and, once its block is freed, what became of it. */
enum {
  HOSTCACHE_USE_STREAM, /* a mark: at the free an event is recorded, or a value taken (at least
                           `value`) */
  HOSTCACHE_USE_VALUE,  /* a timeline value that the user gave */
  HOSTCACHE_USE_EVENT,  /* an event that the user handed over, or that forget_stream recorded */
  HOSTCACHE_USE_FREED   /* a mark that is being freed, or was: its stream is that of its queue, so
                           that a line of a cache less is written to */
};
enum {
  HOSTCACHE_FATE_OPEN,   /* the block is still active, or this use is being recorded */
  HOSTCACHE_FATE_QUEUED, /* in a queue, until its event completes or its value is reached */
  HOSTCACHE_FATE_OVER,   /* complete */
  HOSTCACHE_FATE_UNTOLD  /* cannot be told: quarantines the block */
};

/* While forget_stream runs: what a mark becomes if it succeeds. If it fails, marks stay marks. */
enum {
  HOSTCACHE_EARLY_NONE,  /* a mark: also one that was looked at, and then set again */
  HOSTCACHE_EARLY_SEEN,  /* looked at: what is asked of the stream from now on covers it */
  HOSTCACHE_EARLY_EVENT, /* the event in `early_event`, recorded just now */
  HOSTCACHE_EARLY_OVER   /* nothing: the stream has completed, or will have, what it had so far */
};

/* What a record of a private pool stands for. */
enum {
  HOSTCACHE_POOL_NONE, /* no pool */
  HOSTCACHE_POOL_LIVE  /* one that somebody has retained */
};

/* What a segment is for, and so in which heap its ready ranges are. */
enum {
  HOSTCACHE_KIND_RESERVE, /* got at creation, for blocks of any size */
  HOSTCACHE_KIND_SMALL,   /* shared by small blocks */
  HOSTCACHE_KIND_LARGE,
  HOSTCACHE_KIND_COUNT
};

/* A node of a treap: a search tree by key that is at the same time a heap by a hash of the key,
   which keeps it about 2 log2(n) deep whatever the order of insertion. */
typedef struct hostcache_node {
  struct hostcache_node *left, *right;
  size_t key;
  uint64_t priority;
  void *owner; /* the segment that the node stands in */
} hostcache_node;

/* A number is changed into one that looks like chance (the finalizer of splitmix64, public
   domain). */
HOSTCACHE_UNUSED static uint64_t hostcache_scramble(uint64_t x) {
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

/* Adds a node. No node of the same key is in the tree. */
HOSTCACHE_UNUSED static void hostcache_tree_add(hostcache_node **root, hostcache_node *node,
                                                size_t key, void *owner) {
  hostcache_node **at = root, **left = &node->left, **right = &node->right, *rest;
  node->key = key;
  node->owner = owner;
  node->priority = hostcache_scramble((uint64_t)key);
  while (*at && (*at)->priority >= node->priority)
    at = (*at)->key < key ? &(*at)->right : &(*at)->left;
  rest = *at; /* comes below the new node, split into what is before it and what is after it */
  *at = node;
  while (rest) {
    if (rest->key < key) {
      *left = rest;
      left = &rest->right;
      rest = rest->right;
    } else {
      *right = rest;
      right = &rest->left;
      rest = rest->left;
    }
  }
  *left = NULL;
  *right = NULL;
}

/* Takes a node out. It is in the tree. */
HOSTCACHE_UNUSED static void hostcache_tree_remove(hostcache_node **root, hostcache_node *node) {
  hostcache_node **at = root, *left = node->left, *right = node->right;
  while (*at != node) {
    HOSTCACHE_ASSERT(*at);
    at = (*at)->key < node->key ? &(*at)->right : &(*at)->left;
  }
  while (left && right) { /* merge the two subtrees, the higher priority on top */
    if (left->priority >= right->priority) {
      *at = left;
      at = &left->right;
      left = left->right;
    } else {
      *at = right;
      at = &right->left;
      right = right->left;
    }
  }
  *at = left ? left : right;
}

/* The last node that is not after a key, or NULL. */
HOSTCACHE_UNUSED static hostcache_node *hostcache_tree_floor(hostcache_node *root, size_t key) {
  hostcache_node *found = NULL;
  while (root) {
    if (root->key <= key) {
      found = root;
      root = root->right;
    } else {
      root = root->left;
    }
  }
  return found;
}

/* The first node that is not before a key, or NULL. */
HOSTCACHE_UNUSED static hostcache_node *hostcache_tree_ceiling(hostcache_node *root, size_t key) {
  hostcache_node *found = NULL;
  while (root) {
    if (root->key < key) {
      root = root->right;
    } else {
      found = root;
      root = root->left;
    }
  }
  return found;
}

/* Heaps: the ready ranges of a kind, by size. Sizes fall into so many classes that most hold one
   range or none, and each is a list: adding a range or taking it touches at most two others, and
   has no branch that cannot be foreseen, however many are of one size. Bits tell which classes hold
   something, and which words of these bits are not 0: the next larger class is found in a few
   steps. */

#define HOSTCACHE_HEAP_UNIT 9    /* log2 of bytes: smaller differences tell no class from another */
#define HOSTCACHE_HEAP_STEPS 6   /* log2 of the classes to each doubling */
#define HOSTCACHE_HEAP_SIZES 960 /* classes; what is above 512 MiB is all of the last */
#define HOSTCACHE_WORD_BITS ((unsigned)(8 * sizeof(size_t)))

/* How many of a class are looked at for the least that is enough; and how many more, once one fits
   exactly, for the lowest address. Measured: with 8 the peak of what is reserved is higher. */
#define HOSTCACHE_HEAP_LOOKS 64u
#define HOSTCACHE_HEAP_EXACT 16u

/* The lowest bit of x > 0. */
HOSTCACHE_UNUSED static unsigned hostcache_lowest(size_t x) {
#if defined __GNUC__
  return (unsigned)__builtin_ctzll(x);
#else
  return hostcache_log2(x & (~x + 1));
#endif
}

/* The class of a size: no class is of larger sizes than those of the next. */
HOSTCACHE_UNUSED static unsigned hostcache_heap_class(size_t size) {
  const size_t units = size >> HOSTCACHE_HEAP_UNIT, steps = (size_t)1 << HOSTCACHE_HEAP_STEPS;
  const unsigned shift = hostcache_log2(units | steps) - HOSTCACHE_HEAP_STEPS;
  const size_t class_of = shift * steps + (units >> shift);
  return (unsigned)(class_of < HOSTCACHE_HEAP_SIZES ? class_of : HOSTCACHE_HEAP_SIZES - 1);
}

/* The index of blocks finds the record of the block that an address lies in. It is a tree of
   shelves, each for some bits of an address, down to the alignment; a range is entered under where
   it begins, and the block of an address is the last that begins at or before it. A page in which
   nothing begins but at its first byte has no shelf of its own.

   It is written under segments_lock, and read without a lock, while it is written: shelves are only
   ever added (so their memory, 0.2% of the addresses that ever held large blocks, goes with the
   cache alone), and a reader that looks for an active block finds it whatever others do. For where
   the block begins is entered, and what once began inside of it has gone, since before it was
   handed out, and both stay so until it is freed. A reader of any other address may find a record
   that is no longer what it was: it has to look, under the block's lock.

   A leaf is a shelf of whole pages. Most steps are at a leaf, and few come down to it from the
   root: the index remembers the shelves above leaves, each for a region, and a thread may remember
   leaves. What is remembered can be relied on without a lock, as no shelf goes or moves. */

#define HOSTCACHE_ADDRESS_BITS 57 /* of x86-64 with five levels of pages; all others have fewer */
#define HOSTCACHE_SHELF_BITS 9    /* a shelf of 512 places takes about a page itself */
#define HOSTCACHE_PAGE_SHIFT 12
#define HOSTCACHE_SHIFT_MAX 39    /* coarser would be no use, also to larger alignments; and so each
                                     leaf stands on another shelf */
#define HOSTCACHE_SHELVES_MAX 5   /* on the way down to a page: (57 - 12) / 9 */
#define HOSTCACHE_REGIONS 16      /* that an index remembers: of 1 GiB each, with pages of 4 KiB */
#define HOSTCACHE_LEAVES 64       /* that a thread may remember: of 2 MiB each */

typedef struct hostcache_shelf {
  struct hostcache_shelf *next;  /* among the spares */
  struct hostcache_shelf *above; /* this and the next two lines: set before the shelf is published.
                                    The one that it stands on, NULL for the root */
  unsigned shift, places;
  unsigned width; /* log2 of the addresses that it is for; `prefix` are their bits above that */
  uint64_t prefix;
  size_t count;   /* LOCK: segments_lock. How many places are filled */
  size_t *filled; /* a bit for each place below which something begins. Written under segments_lock,
                     peeked at, relaxed: whoever looks for what does not leave sees its bits, and a
                     place that is not filled is passed over */
} hostcache_shelf;

/* Spare shelves: [0] for all levels but [1] the lowest, within a page. */
typedef struct hostcache_shelves {
  hostcache_shelf *first[2];
  size_t count[2];
} hostcache_shelves;

typedef struct hostcache_index {
  void *root; /* a shelf. Stored with release, read with acquire */
  void *regions[HOSTCACHE_REGIONS]; /* likewise. By address, shelves that leaves stand on, below
                                       which something was entered last */
  unsigned shift; /* this and the rest: set by init. log2 of what two entries are apart, at least */
  unsigned page;  /* log2 of what two entries of a leaf are apart */
  unsigned leaf_width, region_width; /* log2 of the addresses of a leaf, and of what it stands on */
} hostcache_index;

/* The leaves that one thread looked up last; all zero it knows none. Of no use after the index is
   disposed of. */
typedef struct hostcache_leaf {
  uint64_t region; /* the addresses' bits above leaf_width, plus one */
  void **places;   /* of the leaf */
} hostcache_leaf;
typedef struct hostcache_leaves {
  hostcache_leaf of[HOSTCACHE_LEAVES];
} hostcache_leaves;

/* The shift of the shelves below those of `shift`. */
HOSTCACHE_UNUSED static unsigned hostcache_shift_below(const hostcache_index *index,
                                                       unsigned shift) {
  if (shift <= index->page) return index->shift;
  return shift > index->page + HOSTCACHE_SHELF_BITS ? shift - HOSTCACHE_SHELF_BITS : index->page;
}

/* An index is all zero before this. `alignment` of whatever is entered is a power of two. */
HOSTCACHE_UNUSED static void hostcache_index_init(hostcache_index *index, size_t alignment) {
  unsigned width = HOSTCACHE_ADDRESS_BITS;
  index->shift = hostcache_log2(alignment);
  if (index->shift > HOSTCACHE_SHIFT_MAX) index->shift = HOSTCACHE_SHIFT_MAX;
  index->page =
      index->shift > HOSTCACHE_PAGE_SHIFT ? index->shift : (unsigned)HOSTCACHE_PAGE_SHIFT;
  index->region_width = width;
  for (; hostcache_shift_below(index, width) > index->page;
       width = hostcache_shift_below(index, width))
    index->region_width = width;
  index->leaf_width = width;
}

HOSTCACHE_UNUSED static int hostcache_is_record(const void *entry) {
  return (int)((size_t)entry & 1);
}

HOSTCACHE_UNUSED static unsigned hostcache_place(const hostcache_shelf *shelf, uint64_t address) {
  return (unsigned)(address >> shelf->shift) & (shelf->places - 1);
}

/* What stands in the places of a shelf: a shelf, the address of a record plus one, or NULL. Stored
   with release under segments_lock; read with acquire. They follow the shelf itself, so that they
   are reached without a look at it. */
HOSTCACHE_UNUSED static void **hostcache_shelf_places(const hostcache_shelf *shelf) {
  return (void **)(size_t)(shelf + 1);
}

/* Where something stands on a shelf that begins at this address, or is below it. */
HOSTCACHE_UNUSED static void **hostcache_shelf_at(const hostcache_shelf *shelf, uint64_t address) {
  return &hostcache_shelf_places(shelf)[hostcache_place(shelf, address)];
}

/* A spare shelf from malloc, or NULL. */
HOSTCACHE_UNUSED static hostcache_shelf *hostcache_shelf_new(const hostcache_index *index,
                                                             int low) {
  unsigned places = 1u << (low ? HOSTCACHE_PAGE_SHIFT - index->shift : HOSTCACHE_SHELF_BITS);
  size_t words = (places + HOSTCACHE_WORD_BITS - 1) / HOSTCACHE_WORD_BITS;
  size_t bytes = sizeof(hostcache_shelf) + words * sizeof(size_t) + places * sizeof(void *);
  hostcache_shelf *shelf = (hostcache_shelf *)HOSTCACHE_MALLOC(bytes);
  if (!shelf) return NULL;
  memset((void *)shelf, 0, bytes);
  shelf->places = places;
  shelf->filled = (size_t *)(void *)(hostcache_shelf_places(shelf) + places);
  return shelf;
}

HOSTCACHE_UNUSED static void hostcache_shelf_put(hostcache_shelves *spare, int low,
                                                 hostcache_shelf *shelf) {
  shelf->next = spare->first[low];
  spare->first[low] = shelf;
  spare->count[low]++;
}

HOSTCACHE_UNUSED static hostcache_shelf *hostcache_shelf_take(hostcache_shelves *spare, int low) {
  hostcache_shelf *shelf = spare->first[low];
  HOSTCACHE_ASSERT(shelf);
  spare->first[low] = shelf->next;
  spare->count[low]--;
  shelf->next = NULL;
  return shelf;
}

/* Marks the place of an address as filled (1) or empty (0), and what changes by that above it. What
   is above a leaf is marked anew each time: whether it changes cannot be foreseen, and asking costs
   more. segments_lock is held. */
HOSTCACHE_UNUSED static void hostcache_index_mark(const hostcache_index *index,
                                                  hostcache_shelf *shelf, uint64_t address,
                                                  size_t filled) {
  int more = 1;
  for (; shelf && more; shelf = shelf->above) {
    const unsigned place = hostcache_place(shelf, address), bit = place % HOSTCACHE_WORD_BITS;
    size_t *word = &shelf->filled[place / HOSTCACHE_WORD_BITS];
    const size_t before = *word >> bit & 1, count = shelf->count;
    hostcache_size_store_relaxed(word, *word ^ (before ^ filled) << bit);
    shelf->count = count - before + filled;
    filled = shelf->count > 0;
    more = shelf->shift <= index->page || filled != (count > 0);
  }
}

/* Where the index remembers the shelf of a region. */
HOSTCACHE_UNUSED static unsigned hostcache_index_slot(const hostcache_index *index,
                                                      uint64_t address) {
  return (unsigned)(address >> index->region_width) % HOSTCACHE_REGIONS;
}

/* The leaf of an address, or NULL if there is none yet. Takes no lock: above the leaves there are
   shelves alone, which once published stay. */
HOSTCACHE_UNUSED static hostcache_shelf *hostcache_index_leaf(const hostcache_index *index,
                                                              uint64_t address) {
  hostcache_shelf *shelf = (hostcache_shelf *)hostcache_ptr_load_acquire(
      &index->regions[hostcache_index_slot(index, address)]);
  if (!shelf || shelf->prefix != address >> index->region_width) {
    if (address >> HOSTCACHE_ADDRESS_BITS) return NULL;
    shelf = (hostcache_shelf *)hostcache_ptr_load_acquire(&index->root);
    while (shelf && shelf->width > index->region_width)
      shelf = (hostcache_shelf *)hostcache_ptr_load_acquire(hostcache_shelf_at(shelf, address));
  }
  if (!shelf) return NULL;
  return (hostcache_shelf *)hostcache_ptr_load_acquire(hostcache_shelf_at(shelf, address));
}

/* Where something stands on a leaf that begins at this address, or is in its page. The leaf itself
   is not looked at. */
HOSTCACHE_UNUSED static void **hostcache_leaf_at(const hostcache_index *index, void **places,
                                                 uint64_t address) {
  return &places[(address >> index->page) & (((uint64_t)1 << HOSTCACHE_SHELF_BITS) - 1)];
}

/* May a record stand at this place of a shelf, or must it stand below? */
HOSTCACHE_UNUSED static int hostcache_stands_here(const hostcache_index *index, unsigned shift,
                                                  uint64_t address, const void *entry) {
  const uint64_t in_page = ((uint64_t)1 << HOSTCACHE_PAGE_SHIFT) - 1;
  return shift == index->shift ||
         (shift == HOSTCACHE_PAGE_SHIFT && (address & in_page) == 0 && !entry);
}

/* How many shelves are missing to enter an address. segments_lock is held. */
HOSTCACHE_UNUSED static void hostcache_index_missing(const hostcache_index *index,
                                                     uint64_t address, size_t missing[2]) {
  const hostcache_shelf *leaf = hostcache_index_leaf(index, address);
  const void *entry = leaf ? (const void *)leaf : index->root;
  unsigned shift = leaf ? index->page : hostcache_shift_below(index, HOSTCACHE_ADDRESS_BITS);
  missing[0] = missing[1] = 0;
  if (leaf && (address & (((uint64_t)1 << index->page) - 1)) == 0) { /* a page needs no more */
    hostcache_prefetch(leaf);
    hostcache_prefetch(hostcache_leaf_at(index, hostcache_shelf_places(leaf), address));
    return;
  }
  for (;; shift = hostcache_shift_below(index, shift)) {
    const hostcache_shelf *shelf =
        hostcache_is_record(entry) ? NULL : (const hostcache_shelf *)entry;
    if (!shelf) missing[shift < HOSTCACHE_PAGE_SHIFT]++;
    entry = shelf ? *hostcache_shelf_at(shelf, address) : NULL;
    if (hostcache_stands_here(index, shift, address, entry)) return;
  }
}

/* A shelf from the spares, for some addresses, that stands on another one (NULL: it is the root).
   `record`, or NULL, is what stood in its place, under the first of them. segments_lock is held. */
HOSTCACHE_UNUSED static hostcache_shelf *hostcache_shelf_set_up(const hostcache_index *index,
                                                                hostcache_shelf *above,
                                                                uint64_t address, void *record,
                                                                hostcache_shelves *spare) {
  const unsigned width = above ? above->shift : (unsigned)HOSTCACHE_ADDRESS_BITS;
  const unsigned shift = hostcache_shift_below(index, width);
  hostcache_shelf *shelf = hostcache_shelf_take(spare, shift < HOSTCACHE_PAGE_SHIFT);
  shelf->above = above;
  shelf->shift = shift;
  shelf->width = width;
  shelf->prefix = address >> width;
  if (record) {
    hostcache_shelf_places(shelf)[0] = record;
    shelf->filled[0] = 1;
    shelf->count = 1;
  }
  return shelf;
}

/* Remembers the region of a leaf. segments_lock is held. */
HOSTCACHE_UNUSED static void hostcache_index_remember(hostcache_index *index,
                                                      hostcache_shelf *leaf, uint64_t address) {
  void **slot = &index->regions[hostcache_index_slot(index, address)];
  if (*slot != leaf->above) hostcache_ptr_store_release(slot, leaf->above);
}

/* Enters a record, which is not odd, under an address that no other stands under. The shelves that
   are missing are taken from the spares. segments_lock is held. */
HOSTCACHE_UNUSED static void hostcache_index_add(hostcache_index *index, uint64_t address,
                                                 void *record, hostcache_shelves *spare) {
  void **at = &index->root;
  hostcache_shelf *shelf = NULL, *lower = hostcache_index_leaf(index, address);
  if (!lower) lower = (hostcache_shelf *)index->root;
  for (;; lower = (hostcache_shelf *)*at) {
    if (!lower || hostcache_is_record(lower)) { /* a record of where the page begins */
      lower = hostcache_shelf_set_up(index, shelf, address, lower, spare);
      hostcache_ptr_store_release(at, lower);
    }
    shelf = lower;
    if (shelf->shift == index->page) hostcache_index_remember(index, shelf, address);
    at = hostcache_shelf_at(shelf, address);
    if (hostcache_stands_here(index, shelf->shift, address, *at)) break;
  }
  hostcache_ptr_store_release(at, (char *)record + 1);
  hostcache_index_mark(index, shelf, address, 1);
}

/* The same in fewer steps, if the address has its place and no shelf is missing; else 0.
   segments_lock is held. */
HOSTCACHE_UNUSED static int hostcache_index_add_quickly(hostcache_index *index, uint64_t address,
                                                        void *record) {
  hostcache_shelf *shelf = hostcache_index_leaf(index, address);
  void **at;
  if (!shelf) return 0;
  hostcache_index_remember(index, shelf, address);
  at = hostcache_shelf_at(shelf, address);
  if (*at && !hostcache_is_record(*at)) {
    shelf = (hostcache_shelf *)*at;
    at = hostcache_shelf_at(shelf, address);
  }
  if (!hostcache_stands_here(index, shelf->shift, address, *at)) return 0;
  hostcache_ptr_store_release(at, (char *)record + 1);
  hostcache_index_mark(index, shelf, address, 1);
  return 1;
}

/* Takes the record out that stands under an address. segments_lock is held. */
HOSTCACHE_UNUSED static void hostcache_index_remove(hostcache_index *index, uint64_t address) {
  hostcache_shelf *shelf = hostcache_index_leaf(index, address);
  void **at;
  HOSTCACHE_ASSERT(shelf);
  at = hostcache_shelf_at(shelf, address);
  while (!hostcache_is_record(*at)) {
    HOSTCACHE_ASSERT(*at);
    shelf = (hostcache_shelf *)*at;
    at = hostcache_shelf_at(shelf, address);
  }
  hostcache_ptr_store_release(at, NULL);
  hostcache_index_mark(index, shelf, address, 0);
}

/* The last place that is filled, up to `place`, or -1. */
HOSTCACHE_UNUSED static int hostcache_shelf_floor(const hostcache_shelf *shelf, unsigned place) {
  size_t mask = SIZE_MAX >> (HOSTCACHE_WORD_BITS - 1 - place % HOSTCACHE_WORD_BITS), word;
  int i;
  for (i = (int)(place / HOSTCACHE_WORD_BITS); i >= 0; i--, mask = SIZE_MAX) {
    word = hostcache_size_load_relaxed(&shelf->filled[i]) & mask;
    if (word) return i * (int)HOSTCACHE_WORD_BITS + (int)hostcache_log2(word);
  }
  return -1;
}

/* The last record on or below a shelf that stands under `address` or before; NULL if there is
   none. Calls itself once for each level. */
HOSTCACHE_UNUSED static void *hostcache_shelf_last(const hostcache_shelf *shelf,
                                                   uint64_t address) {
  unsigned place = hostcache_place(shelf, address);
  int found = hostcache_shelf_floor(shelf, place);
  while (found >= 0) {
    void *entry = hostcache_ptr_load_acquire(&hostcache_shelf_places(shelf)[found]);
    if (hostcache_is_record(entry)) return (char *)entry - 1;
    if (entry) /* all ones: the last of a shelf that lies before the address */
      entry = hostcache_shelf_last((const hostcache_shelf *)entry,
                                   (unsigned)found == place ? address : UINT64_MAX);
    if (entry) return entry;
    found = found > 0 ? hostcache_shelf_floor(shelf, (unsigned)found - 1) : -1;
  }
  return NULL;
}

/* The record that stands under `address` or last before it, or NULL. Takes no lock. A few steps, of
   which there are at most as many as levels, unless others write meanwhile: O(1). */
HOSTCACHE_UNUSED static void *hostcache_index_floor(const hostcache_index *index,
                                                    uint64_t address) {
  const hostcache_shelf *shelf = hostcache_index_leaf(index, address);
  void *found = shelf ? hostcache_shelf_last(shelf, address) : NULL;
  if (found || address >> HOSTCACHE_ADDRESS_BITS) return found;
  shelf = (const hostcache_shelf *)hostcache_ptr_load_acquire(&index->root);
  return shelf ? hostcache_shelf_last(shelf, address) : NULL;
}

/* `leaf` is from now on that of `region`, which `address` is in. 0: there is none. */
HOSTCACHE_APART int hostcache_leaf_turn(const hostcache_index *index, hostcache_leaf *leaf,
                                        uint64_t address, uint64_t region) {
  const hostcache_shelf *shelf = hostcache_index_leaf(index, address);
  if (!shelf) return 0;
  leaf->region = region;
  leaf->places = hostcache_shelf_places(shelf);
  return 1;
}

/* The record that an entry of a shelf stands for, if it begins exactly at this address, or NULL. */
HOSTCACHE_INLINE void *hostcache_entry_start(void *entry, uint64_t address, unsigned shift) {
  if (!entry || (address & (((uint64_t)1 << shift) - 1)) != 0) return NULL;
  return (char *)entry - 1;
}

/* The same of the entry of an address in such a shelf. */
HOSTCACHE_APART void *hostcache_shelf_start(const hostcache_shelf *shelf, uint64_t address) {
  return hostcache_entry_start(hostcache_ptr_load_acquire(hostcache_shelf_at(shelf, address)),
                               address, shelf->shift);
}

/* The record that stands under exactly this address, or NULL. Takes no lock; `leaves` is this
   thread's own, and of this index. If an active block begins there, it is found whatever others do;
   else it may be one that is no longer what it was. A few loads: O(1). */
HOSTCACHE_INLINE void *hostcache_index_start(const hostcache_index *index,
                                             hostcache_leaves *leaves, uint64_t address) {
  const uint64_t region = (address >> index->leaf_width) + 1;
  hostcache_leaf *leaf = &leaves->of[region % HOSTCACHE_LEAVES];
  void *entry;
  if (HOSTCACHE_RARELY(leaf->region != region)) {
    if (!hostcache_leaf_turn(index, leaf, address, region)) return NULL;
  }
  entry = hostcache_ptr_load_acquire(hostcache_leaf_at(index, leaf->places, address));
  if (HOSTCACHE_RARELY(entry && !hostcache_is_record(entry)))
    return hostcache_shelf_start((const hostcache_shelf *)entry, address);
  return hostcache_entry_start(entry, address, index->page);
}

/* Frees the shelves. Nobody uses the index any more. */
HOSTCACHE_UNUSED static void hostcache_shelf_dispose(hostcache_shelf *shelf) {
  unsigned i;
  if (!shelf) return;
  for (i = 0; i < shelf->places; i++)
    if (!hostcache_is_record(hostcache_shelf_places(shelf)[i]))
      hostcache_shelf_dispose((hostcache_shelf *)hostcache_shelf_places(shelf)[i]);
  HOSTCACHE_FREE(shelf);
}

HOSTCACHE_UNUSED static void hostcache_index_dispose(hostcache_index *index,
                                                     hostcache_shelves *spare) {
  int low;
  hostcache_shelf_dispose((hostcache_shelf *)index->root);
  for (low = 0; low < 2; low++)
    while (spare->first[low]) HOSTCACHE_FREE(hostcache_shelf_take(spare, low));
}

#endif /* TYPES, once per file */

/* The modes as numbers, so that the code can say `if` where both branches compile; and placeholders
   for the types that the mode has not, which are never used. */

#ifdef HC_STREAM_T
#define HC_HAS_STREAMS 1
#else
#define HC_HAS_STREAMS 0
typedef char HC_STREAM;
#endif

#ifdef HC_TIMELINE
#define HC_HAS_TIMELINE 1
#else
#define HC_HAS_TIMELINE 0
#endif

#ifdef HC_EVENT_T
#define HC_HAS_EVENTS 1
#else
#define HC_HAS_EVENTS 0
typedef char HC_EVENT;
#endif

#ifdef HC_STREAM_IS_CAPTURING
#define HC_HAS_CAPTURES 1
#else
#define HC_HAS_CAPTURES 0
#endif

#if defined HC_STREAM_WAIT_EVENT || defined HC_STREAM_WAIT_VALUE
#define HC_CAN_WAIT /* a stream can be made to wait for another one */
#endif

#if defined HOSTCACHE_DEBUG && defined HC_MEM_IS_HOST && !defined HC_STREAM_ORDERED
#define HC_GUARD /* what is ready, and what lies behind a block, is looked after (section 9) */
#define HC_RED_ZONE 16u  /* bytes, at least: of one SIMD register */
#define HC_PLACES 8      /* callers that are remembered of who got a block */
#define HC_LIVE_TOLD 16u /* live blocks that are told of one by one */
#endif

#ifdef HC_OWN_SEGMENTS
#define HC_ALONE 1 /* each block in its segment */
#else
#define HC_ALONE 0
#endif

#ifdef HC_EVENT_CREATE
#define HC_POOLS_EVENTS 1
#else
#define HC_POOLS_EVENTS 0
#endif

#ifdef HC_EVENT_DESTROY
#define HC_HAS_EVENT(use) ((use)->has_event)
#else
#define HC_HAS_EVENT(use) 0 /* there is nothing to be ended */
#endif

#ifndef HC_SEGMENT_T
typedef char HC_RUNTIME;
#endif

#define HC_MOST_USES 32768u     /* of a block: so that 16 bits count them */
#define HC_INLINE_USES 4        /* uses of a block that need no memory of their own */
#define HC_SMALL_MAX (1u << 20) /* bytes; larger blocks do not share segments with smaller ones */
#define HC_PAGE 4096u           /* bytes; what a memory hook gets is a multiple of it, unless blocks
                                   are segments of their own */
#define HC_STREAM_BUCKETS 256   /* of the table of streams: a few in each, also with thousands */
#define HC_LINE 64u             /* bytes of a line of a processor's cache */
#define HC_APART (2 * HC_LINE)  /* behind what a thread always has at hand: processors fetch lines
                                   in pairs, and what comes next may be another thread's */
#define HC_BLOCK_STRIDE ((sizeof(HC_BLOCK) + (HC_LINE - 1)) & ~(size_t)(HC_LINE - 1))
#define HC_RECORDS 64           /* block and segment records got from malloc at a time */
#define HC_POLL_EVERY 16        /* pushes to a queue between two polls by free */
#define HC_LONG 512             /* in a queue of so many, those to come are fetched, */
#define HC_AHEAD 16             /* ... so many before they are asked: about one poll */
#define HC_FENCES 16            /* of a stream at a time: more only where a call needs it */
#define HC_LOOSE_PER_POLL 16    /* entries of a loose queue that one poll asks */
#define HC_FIRST_POOL 16        /* events that a pool first has room for */
#define HC_BINS 128             /* classes that threads have in stock; the default config has 72 */
#define HC_CLASS_UNITS 2048u    /* up to so many units a class is looked up: 1 MiB by default */
#define HC_NO_BIN 255u          /* of a block that no thread has in stock */
#define HC_BATCH 16             /* blocks that a thread trades with the shared bins at a time */
#define HC_EASE 1024            /* with so many blocks freed who gives fewer gives more again */
#define HC_STOP 1u              /* another thread says stop */
#define HC_STOP_FENCE 2u        /* there is no asymmetric barrier */
#define HC_STOP_DETOUR 4u       /* a history is recorded, or a pool open: nobody goes the shortest
                                   way */
#define HC_KNOWN 64             /* places for streams that a thread finds without a lock */

/* What a thread may have in stock is this part of what is reserved, within these bounds. Measured:
   more makes mixed sizes faster, and the peak of what is reserved higher. */
#define HC_STOCK_PART 16
#define HC_STOCK_LEAST ((size_t)4 << 20)
#define HC_STOCK_MOST ((size_t)32 << 20)
#define HC_BINNED_PART 2 /* the shared bins hold at most this part of it */

/* What a range may be divided into besides the block. */
#ifdef HC_ALLOC_EX
#define HC_DIVISIONS 2u
#else
#define HC_DIVISIONS 1u
#endif

#define HC_SEGMENT struct HC_I(segment)
#define HC_USE struct HC_I(use)
#define HC_LANE struct HC_I(lane)
#define HC_QUEUE struct HC_I(queue)
#define HC_SLAB struct HC_I(slab)
#define HC_HEAP struct HC_I(heap)
#define HC_SPARES struct HC_I(spares)
#define HC_NEEDS struct HC_I(needs)
#define HC_FLOW struct HC_I(flow)
#define HC_LEVEL struct HC_I(level)
#define HC_BIN struct HC_I(bin)
#define HC_THREAD struct HC_I(thread)
#define HC_HOPES struct HC_I(hopes)
#define HC_TALLY struct HC_I(tally)
#define HC_FINDINGS struct HC_I(findings)
#define HC_POOL struct HC_I(pool)
#define HC_WANT struct HC_I(want)
#define HC_ORDER struct HC_I(order)

HOSTCACHE_ASSERT_TYPE(HC_CTX, "HC_CTX_T");
HOSTCACHE_ASSERT_TYPE(HC_STREAM, "HC_STREAM_T");
HOSTCACHE_ASSERT_TYPE(HC_EVENT, "HC_EVENT_T");
HOSTCACHE_ASSERT_TYPE(HC_RUNTIME, "HC_SEGMENT_T");
#if defined __cplusplus && !defined HC_STREAM_HASH
static_assert(std::is_scalar<HC_STREAM>::value,
              "hostcache: define HC_STREAM_HASH(stream) and HC_STREAM_EQ(a, b) for a stream class");
#endif

HC_THREAD;

/* What the cache knows of a stream. The lane of a stream that was forgotten is used again for
   another one, as soon as nothing waits in any of its queues. */
HC_LANE {
  HC_LANE *next;        /* LOCK: streams_lock. In its bucket, or among the retired */
  HC_STREAM stream;     /* LOCK: set before it is published; then streams_lock and all threads'
                           locks to write, any of these to read */
  size_t bit;           /* set when it is made. In a block's marks; 0: there are not so many bits */
  uint32_t number;      /* likewise. Which bit that is, and its place in thread->queues */
  uint8_t live;         /* LOCK: as `stream`. In the table */
  uint8_t leaving;      /* LOCK: as `stream`. Neither there nor among the retired: the events of its
                           pools are being ended */
#ifdef HC_STREAM_ORDERED
  void *order; /* HC_ORDER *; NULL: none. LOCK: segments_lock to write, and all threads' locks to
                  take away. With release; read relaxed by who looks into it under segments_lock */
#endif
  unsigned char apart[HC_APART]; /* nothing: neither read nor written, here and in what follows */
};

/* One use of a block, and its entry in a queue; also, without a block and got from malloc, an event
   that nobody needs any more but that must not be ended before it has completed. While the block
   is ACTIVE, and once it is in a queue, all is guarded by the lock of block->home; but `event`,
   `errors` and `next` of what stands in a claimed queue up to the end that the claimer saw can be
   read, and the first two written, by the claimer alone. In FREEING and DEFERRED `stream`, `lane`
   and `kind`, and `queue` of what is FREED, stay as they are, and the rest is the freeing
   thread's. */
HC_USE {
  HC_BLOCK *block;
  HC_USE *next; /* in the queue */
  union {
    HC_USE *previous; /* in a loose queue */
    void *ahead;      /* in another: where the use is that was pushed HC_AHEAD later, or any
                         address, to be fetched. Stored with release, read relaxed by the claimer */
  };
  uint64_t ticket;  /* cache->epoch when it was pushed: never falls along a queue */
  HC_QUEUE *queue;  /* of the freeing thread: where it goes, or stands. NULL: the loose queue */
  uint32_t errors;  /* failed queries in a row, also of a timeline: its head is asked */
  uint8_t kind, fate;
  uint8_t has_event; /* `event` is one that must be ended */
  uint8_t early;     /* what forget_stream has prepared */
#if HC_HAS_TIMELINE
  uint64_t value; /* complete when the stream has reached it */
  HC_STREAM stream;
  HC_EVENT event;
#else
  HC_EVENT event;
  HC_STREAM stream;
  uint64_t value; /* 0 */
#endif
  HC_LANE *lane;       /* of a use that is not a mark. NULL: there was no memory for one; `stream`
                          says which */
  HC_USE *early_event; /* got from malloc, where the event is that was prepared; or NULL */
  uint8_t over;        /* in a loose queue, of the claimer: likewise as queue->left_over */
#ifdef HC_STREAM_ORDERED
  HC_ORDER *order; /* of a fence, which is a use without a block: what it is for; */
  uint64_t covers; /* ... and up to which stamp. Both set before it is pushed */
#endif
};

/* The first fields are those of the hot path, and fill one line of a cache. */
struct HC_BLOCK {
  size_t life; /* its state in the low bits; above them how often it was handed out. Stored with
                  release by the block's owner under the lock that the state stands for (section 6),
                  read by anyone with acquire */
  HC_BLOCK *next;   /* of the owner: in a stock or bin, on the deferred stack, among the spares */
  size_t requested; /* of the owner. Bytes, as the caller said */
  size_t marks;     /* a bit for each lane that uses it: written by the thread that is its home, */
  size_t marks_too; /* ... and by all others, with an atomic or; both relaxed. A free that comes
                       after them takes them together */
  void *home;       /* HC_THREAD *: the thread that got it; of what waits or is in a stock, the one
                       that freed it. With release by the owner, read with acquire */
  HC_CACHE *cache;  /* set when the record is made, then never changed */
  uint32_t extra_uses; /* LOCK: home's; peeked at, relaxed, by other threads. How many uses there
                          are in `uses`, and above them those that found no room: none, of one
                          stream, more; and whether it was got for a capture. In one word, so that a
                          free sees at once that there is nothing of it */
  uint16_t outstanding; /* LOCK: home's. Uses that are not over */
  uint8_t bin;          /* set by who hands it out, and kept until it is in a heap again */
  uint8_t unknown_over; /* LOCK: home's. What forget_stream has done for the unknown use: NONE, SEEN
                           it, or waited for it: OVER */

  void *ptr; /* this and the next: LOCK: segments_lock to write, with release, as find reads them
                without a lock; while it is handed out they stay, and anyone may read. With the rest
                of what a step of the heaps needs, up to `uses`, they fill another line */
  size_t size;
  HC_BLOCK *left, *right; /* LOCK: segments_lock. The neighbours in the segment */
  uint8_t is_ready;       /* LOCK: segments_lock. In a heap: CACHED, seen from its neighbours */
  uint8_t merged;         /* LOCK: segments_lock. SPARE, as it became part of its neighbour */
  uint8_t is_indexed;     /* LOCK: segments_lock. The index knows where it begins */
  uint8_t kind;           /* LOCK: as `segment`. Of the segment */
  uint32_t ready_class;   /* LOCK: segments_lock, as the next line. In a heap: the class, */
  HC_BLOCK *ready_next, **ready_from; /* ... what follows in its list, and what points to this */
  HC_SEGMENT *segment;    /* LOCK: segments_lock to write; while it is in no heap, read by anyone */

  union {
    HC_USE uses[HC_INLINE_USES + 1]; /* LOCK: home's. The first begins with another line of a
                                        cache; the last is for a mark that another thread sets while
                                        the home takes the room that there seems to be */
    struct {                     /* LOCK: segments_lock. In a bin: the blocks of its batch */
      HC_BLOCK *blocks[HC_BATCH];
      unsigned count;
    } batch;
  } in;

  HC_USE *more;             /* LOCK: home's. Uses beyond the first; kept for the next hand-out */
  uint32_t more_room;       /* LOCK: home's. Uses that `more` has room for */
  uint32_t seen;            /* LOCK: threads_lock. Its uses that check found in queues */
  HC_STREAM unknown_stream; /* LOCK: home's */
  uint64_t unknown_value;   /* LOCK: home's. Timeline: the highest that was given with it */
#ifdef HC_TRACE
  void *context; /* LOCK: trace_lock. The user's, of its last hand-out */
#endif
#ifdef HC_GUARD
  void *places[HC_PLACES]; /* of the owner. Who got it, the innermost first; NULL after the last */
  uint8_t guarded; /* of the owner; in a heap, LOCK: segments_lock. Active: behind `requested` it is
                      as hostcache_fill left it; ready: all of it is, and hidden */
  uint8_t filled;  /* of the owner. Active: it is as if it were ready, as it is being freed */
#endif
#ifdef HC_STREAM_ORDERED
  HC_ORDER *order; /* of the owner; in a heap, LOCK: segments_lock, as the next line. Active: of the
                      stream that it was got for, or NULL. Ready: of the one that it is ready for
                      alone, or NULL: for all */
  uint64_t stamp;  /* ready for one stream alone: order->stamp when it became so */
#endif
};

HC_SEGMENT {
  hostcache_node by_address; /* LOCK: segments_lock */
  HC_SEGMENT *next;          /* LOCK: segments_lock. Among the spares */
  HC_SEGMENT *idle_next, *idle_previous; /* LOCK: segments_lock. The idle, longest first */
  uint64_t idle_since;                   /* LOCK: segments_lock. ns */
  HC_BLOCK *first; /* this and the rest: set under segments_lock before the segment is published,
                      then never changed, but for the pool. Its first range; NULL: a spare record
                      */
  void *ptr;
  size_t size;
  int kind;
#ifdef HC_POOLS
  HC_POOL *pool; /* LOCK: segments_lock and all threads' locks to write, once it is published and
                    until it goes back; any of these to read. NULL: it is shared by all */
  hostcache_pool_id was_of; /* of who gives it back: the pool that it was of */
  uint64_t born;            /* LOCK: segments_lock. No other segment of the cache ever has it */
#endif
#ifdef HC_MEM_ALLOC_ON_NODE
  int32_t node; /* HOSTCACHE_NODE_ANY: it was not said */
#endif
  HC_RUNTIME runtime; /* what HC_MEM_ALLOC gave with it */
};

/* Records come from malloc in slabs that live until the cache is destroyed: a stale handle stays
   readable, and a walk over all blocks needs no lock but the blocks' own. */
HC_SLAB {
  HC_SLAB *next; /* set before the slab is published */
  HC_SEGMENT segments[HC_RECORDS];
  unsigned char blocks[(HC_RECORDS + 1) * HC_BLOCK_STRIDE]; /* each begins with a line of a cache */
};

HOSTCACHE_UNUSED static HC_BLOCK *HC_I(slab_block)(HC_SLAB *slab, unsigned i) {
  const size_t off = (0 - (size_t)slab->blocks) & (HC_LINE - 1); /* to the first line */
  return (HC_BLOCK *)(void *)(slab->blocks + off + i * HC_BLOCK_STRIDE);
}

/* The uses on one stream of the blocks that one thread freed, in the order of their frees. All of
   it: LOCK: the thread's. */
HC_QUEUE {
  HC_LANE *lane;  /* NULL: the loose queue, of what has no order: events handed over, and uses whose
                     stream has no lane */
  HC_USE *head, *tail;
  HC_USE *cursor;   /* the loose queue alone: the next entry to ask */
  uint32_t length;
  uint32_t poll_at; /* how long it is when it is time to poll it */
  uint32_t left_over; /* of the claimer: entries at the head that have completed, but that could not
                         be taken off, as the thread could not be held */
  HC_USE *recent[HC_AHEAD]; /* where it is long: those pushed last, */
  uint32_t turn;            /* ... and how many of them since it is */
  uint32_t claimed; /* one thread asks what stands in it; others skip the queue. 0 with release,
                       also by a claimer that cannot hold the thread; read with acquire */
  HC_EVENT *pool;   /* complete events, to be used again */
  uint32_t pool_count, pool_room;
  unsigned char apart[HC_APART];
};

/* How many of something came and went, and their bytes. LOCK: the thread's, of what one has. */
HC_FLOW {
  int64_t in, out, in_bytes, out_bytes, peak, peak_bytes;
};

/* How much of something there is, and was at most. LOCK: segments_lock. */
HC_LEVEL {
  int64_t now, peak;
};

/* The ready blocks of one class that a thread has in stock. LOCK: the thread's. */
HC_BIN {
  HC_BLOCK *top;
  int64_t got;       /* handed out from here */
  int64_t put;       /* put here, as it was freed without a use, or has completed, ... */
  int64_t traded;    /* ... or taken from the shared bins, less what they were given */
  int64_t got_seen;  /* `got` when it was last asked whether this thread only frees */
  int64_t extra;     /* blocks beyond a batch that may stand here even so; below 0: short of it */
#ifdef HC_DEVICE_ALLOCATOR
  int64_t large_got, large_put, large_traded; /* of these, of the large pool */
#endif
};

#ifdef HC_DEVICE_ALLOCATOR
/* What is counted of one pool, small or large, as well as of both: by a thread, which has fields of
   the same names, ... LOCK: the thread's. */
struct HC_I(thread_column) {
  HC_FLOW handed, used, requested;
};

/* ... and by the cache. LOCK: segments_lock. */
struct HC_I(column) {
  hostcache_stat segment, reserved_bytes;
  HC_FLOW split; /* the ready ranges that are parts of segments */
  HC_FLOW direct, direct_requested;
  HC_LEVEL lent, lent_bytes, lent_requested;
  HC_LEVEL binned, binned_bytes; /* in the batches */
};
#endif

/* What one thread has in a cache: a stock of ready blocks, the queues of what it freed with uses,
   and its part of the figures. The record of a thread that has ended serves the next one that
   comes.

   All of it is guarded by a lock that costs the thread itself next to nothing: it goes inside by
   raising a flag. Another thread takes `lock`, says stop, passes the heavy barrier, and waits until
   the flag is down; as long as it says stop, the thread takes `lock` like everybody else. So the
   stock of a thread that sleeps can be reached, without help from it. The common record, which is
   no thread's own and serves all that have none, has no more than the lock. */
HC_THREAD {
  hostcache_guest guest; /* must be the first: told when the thread ends */
  HC_THREAD *next;       /* set before it is published, then never changed */
  HC_CACHE *cache;       /* likewise */
  uint8_t shared;        /* likewise: the common record */
  uint8_t owned;         /* LOCK: lock. It is a living thread's */
  uint32_t inside;       /* stored by its thread: 1 by hostcache_raise, 0 with release; read with
                            acquire by the one who says stop */
  uint32_t stop;         /* LOCK: lock to write, with release; its thread reads with acquire.
                            HC_STOP, and always `fence` */
  uint32_t fence;        /* LOCK: all threads' locks to write. HC_STOP_FENCE where a thread needs a
                            fence of its own to go inside, HC_STOP_DETOUR where none goes inside by
                            its flag. So the usual way in looks at one word alone */
  uint32_t waiting;      /* LOCK: this to write; peeked at, relaxed. How many of its queues hold
                            something */
  hostcache_mutex lock;

  /* LOCK: this, for all the rest. */
  size_t stock_bytes; /* in the bins */
  size_t mark;        /* above it, and so above the limit, the limit is looked at */
  size_t most;        /* how many there have been at most, or `mark` if that is more */
  size_t limit;       /* how many there may be */
  unsigned sweep;     /* the bin that is made smaller next */
  HC_BIN bins[HC_BINS];
  hostcache_leaves leaves;  /* of the index; touched by its own thread alone */
  HC_LANE *known[HC_KNOWN]; /* by hash; NULL: none */
  HC_QUEUE **queues;        /* by the number of the lane; NULL: none so far */
  uint32_t queue_room;      /* places of `queues` */
  HC_QUEUE loose;
  HC_FLOW pending, quarantined, used, requested, oversize; /* see section 6; what the bins count is
                                                              not counted here */
  HC_FLOW handed; /* its peaks; the rest as it was when they were last looked at */
  int64_t wasted_peak;
  int64_t misses, records, queries;
#ifdef HC_DEVICE_ALLOCATOR
  struct HC_I(thread_column) columns[2];
#endif
  unsigned char apart[HC_APART];
};

/* A heap. All zero it is empty. LOCK: segments_lock. */
HC_HEAP {
  HC_BLOCK *first[HOSTCACHE_HEAP_SIZES];        /* of each class, as HC_I(heap_class) says */
  size_t filled[HOSTCACHE_HEAP_SIZES / 32 + 1]; /* a bit for each class that is not empty */
  size_t words;                                 /* a bit for each word of these that is not 0 */
  HC_BLOCK **nobody; /* written where there is no next range to be told, which saves asking */
};

#ifdef HC_POOLS
/* A private pool: segments that serve those alone who allocate while it is open. Its record stays
   until the cache is destroyed, and is used again for another. */
HC_POOL {
  HC_POOL *next;        /* set before it is published */
  hostcache_pool_id id; /* LOCK: segments_lock to write; whoever is among the takers, and whoever
                           holds a thread and finds a segment of the pool, may read */
  uint8_t stage;        /* LOCK: segments_lock and all threads' locks to write (the latter not of
                           one without segments and takers); any of these to read. What it is */
  uint64_t use_count;   /* LOCK: segments_lock, as the rest. Those who have retained it */
  uint64_t born;        /* no other pool or segment of the cache ever has it */
  uint64_t opened;      /* which of all openings this was; 0: it is not open */
  hostcache_stream_filter filter; /* whose allocations belong to it; NULL: all */
  void *user;
  size_t takers; /* threads that have found it, and may take from it */
  size_t asking; /* threads that ask its filter */
  HC_HEAP heaps[HOSTCACHE_KIND_COUNT];
};
#endif

#ifdef HC_STREAM_ORDERED
/* What is ready for one stream alone: blocks that were got for it, used there alone, and freed. The
   stream may take them back at once, as its work is done in order; for all others they become ready
   when a fence, an event or value that is recorded on the stream after their free, has completed.
   A stream that is forgotten leaves its own behind, which serves another stream of the lane when it
   is empty. */
HC_ORDER {
  HC_ORDER *next;     /* set before it is published */
  HC_LANE *lane;      /* likewise */
  uint32_t uncovered; /* LOCK: segments_lock to write; peeked at, relaxed. Something was freed after
                         the last fence */
  uint32_t credit;    /* relaxed. How many frees more record a fence each: a miss renews it, as what
                         is wanted elsewhere should be covered exactly */
  uint64_t stamp;     /* LOCK: segments_lock, as the rest. Rises with each fence, which covers what
                         was stamped before it */
  size_t bytes;       /* in the heaps */
  size_t fences;      /* recorded, or being so, and not known to be complete */
  size_t visitors;    /* threads that take from it, or are about to call a hook on the stream */
  uint32_t frees;     /* since the queue was last polled */
  uint8_t untold;     /* a fence could not be told: no other one is recorded without need */
  uint8_t closed;     /* the stream was forgotten: no hook may see it */
  uint8_t spare_used; /* `spare` is a fence */
  HC_USE spare;       /* for a fence that malloc has no memory for; then the claimer's, as any */
  HC_HEAP heaps[HOSTCACHE_KIND_COUNT];
};
#endif

/* Spare records: the cache's, or what one step has set aside for itself. */
HC_SPARES {
  HC_BLOCK *blocks, *last_block; /* the spare for longest comes first, so that a stale handle finds
                                    its record in use again as late as can be */
  HC_SEGMENT *segments;
  size_t block_count;
  hostcache_shelves shelves;
};

#ifdef HC_TRACE
struct HC_I(listener) { /* set before it is published, but for */
  uint32_t deaf;        /* relaxed: it could not be attached after all */
  struct HC_I(listener) *next;
  hostcache_trace_fn tracker;
  hostcache_oom_fn observer;
  void *user;
};

struct HC_I(external) { /* memory that was pinned outside of the cache. LOCK: trace_lock */
  struct HC_I(external) *next;
  const void *ptr;
  size_t size;
  void *context; /* the user's, of when it was registered */
};

struct HC_I(annals) {    /* a history */
  hostcache_trace *ring; /* NULL: there is none */
  size_t room, count, next;
  hostcache_context_fn context;
  void *user;
};
#endif

struct HC_I(forgetting);

HC_CACHE {
  HC_CTX ctx;            /* this and the rest up to the locks: set by create, then never changed */
  hostcache_config config; /* with the defaults filled in */
  uint64_t number;         /* no other cache of the file ever has it */
  size_t here_place;       /* hostcache_here_place of it */
  unsigned process;        /* which process made it: hostcache_process() */
  int asymmetric;          /* what hostcache_barrier_ready said */
  unsigned unit_shift, steps_shift; /* log2 of the alignment and of the classes to a doubling */
  size_t binned_max;       /* larger requests are never in a stock; 0: there are no stocks */
  size_t class_size[HC_BINS]; /* bytes of the blocks of each bin */
  uint8_t class_by_units[HC_CLASS_UNITS]; /* class_of_units */
  unsigned locks_made; /* how many of the locks below exist, for the way out of a failed create */

  void *deferred; /* HC_BLOCK *, a stack: pushed to with release, taken whole with acquire; peeked
                     at, relaxed */
  uint32_t excess; /* LOCK: segments_lock to write; peeked at, relaxed: one of the bounds is passed
                      */

  hostcache_mutex threads_lock;
  void *threads; /* HC_THREAD *, all but the common one; none is ever unlinked. Grows at the head:
                    under threads_lock with release; read with acquire */
  HC_THREAD common;
  uint64_t epoch;  /* LOCK: all threads' locks to write, any thread's to read. Rises when somebody
                      waits for what is pending by then */
  HC_USE *untold;  /* LOCK: common's. Events alone that cannot be told, as in quarantine */
  hostcache_stats base; /* LOCK: all threads' locks. What was counted when it was last reset */

#ifdef HC_OWN_SEGMENTS
  HC_CACHE *next_instance; /* LOCK: hostcache_owners_lock, as the next line. Of this name */
  size_t borrowers;        /* threads that free its blocks for another one */
#endif

#ifdef HC_HOST_ALLOCATOR
  uint32_t loops_stop; /* whoever is in background_run is to leave; relaxed */
  size_t loops;        /* LOCK: threads_lock. How many there are */
  int64_t segments_got[64]; /* LOCK: segments_lock. By log2 of their size, rounded up */
#endif

  hostcache_mutex streams_lock;
  HC_LANE *buckets[HC_STREAM_BUCKETS]; /* LOCK: streams_lock. Live lanes by stream */
  HC_LANE *retired;     /* LOCK: streams_lock. Lanes that are not live, and nobody's */
  HC_LANE *leaving;     /* LOCK: streams_lock. Those whose pools are being ended */
  uint32_t lane_count;  /* LOCK: streams_lock. Ever made */
  void *lanes[8 * sizeof(size_t)]; /* HC_LANE *. By number, those that have a bit. Set once,
                                           with release; read with acquire */
  struct HC_I(forgetting) *forgets; /* LOCK: streams_lock. The forgets under way, one a stream */

  hostcache_mutex segments_lock;
  HC_SPARES spares;            /* LOCK: segments_lock */
  hostcache_index index;       /* LOCK: segments_lock to write. Blocks by first byte */
  hostcache_node *by_address;  /* LOCK: segments_lock. Segments by first byte */
  HC_HEAP heaps[HOSTCACHE_KIND_COUNT]; /* LOCK: segments_lock. The ready ranges */
  HC_BLOCK *batches[HC_BINS];  /* LOCK: segments_lock. Of ready blocks, by class; linked by next */
  size_t binned_bytes;         /* LOCK: segments_lock. In the batches */
  size_t binned_peak;          /* LOCK: segments_lock */
  HC_SEGMENT *idle_first, *idle_last; /* LOCK: segments_lock. Longest idle first */
  size_t claimed;      /* LOCK: segments_lock. Bytes that are held, or being asked for */
  size_t max_reserved; /* LOCK: segments_lock. The cap on `claimed`; SIZE_MAX: none */
  size_t max_cached;   /* LOCK: segments_lock. The bound on what is ready; SIZE_MAX: none */
  size_t returning;    /* LOCK: segments_lock. Bytes of `claimed` that HC_MEM_FREE is being given */
  size_t wanted;       /* LOCK: segments_lock. The most that was held when something was reserved */
  void *slabs; /* HC_SLAB *. Grows at the head: under segments_lock with release; read: acquire */
  hostcache_stats stats; /* LOCK: segments_lock. What the threads do not count */
#ifdef HC_STREAM_ORDERED
  void *orders;          /* HC_ORDER *. Grows at the head: under segments_lock with release; read
                            with acquire */
  size_t ordered_bytes;  /* LOCK: segments_lock. Of what is ready, that for one stream alone */
#endif
  HC_FLOW ready, idle;   /* LOCK: segments_lock. The ranges in the heaps, the peak of how many are
                            parts of segments, and that of the bytes of all; of these, the whole
                            segments, and the peak of the bytes of those that are none */
#ifdef HC_POOLS
  uint32_t open_pools;  /* LOCK: segments_lock and all threads' locks to write (the latter but for
                           an opening that is undone); peeked at, relaxed, by who holds none */
  uint32_t draining;    /* LOCK: common's. Threads that record for what was deferred */
  HC_POOL *pools;       /* LOCK: segments_lock. All records */
  uint64_t openings;    /* LOCK: segments_lock. How often a pool was opened */
  uint64_t births;      /* LOCK: segments_lock. Pools, and segments, that there have been */
  size_t pooled_bytes;  /* LOCK: segments_lock. Of what is ready, that of pools */
#endif
#ifdef HC_TRACE
  uint32_t tracing;           /* LOCK: all threads' locks to write; read relaxed, by who holds one
                                 of them or may be late: there is a history or a tracker */
  hostcache_mutex trace_lock;
  struct HC_I(annals) annals; /* LOCK: trace_lock */
  struct HC_I(external) *externals; /* LOCK: trace_lock */
  hostcache_trace *owed;      /* LOCK: trace_lock, as the next two lines. What the trackers have not
                                 heard yet, the oldest at owed_next */
  size_t owed_room, owed_count, owed_next;
  size_t owed_telling;        /* LOCK: trace_lock. How many threads have taken one to tell it */
  uint64_t sequence;
  size_t records;             /* LOCK: segments_lock. Of blocks, that there are */
  void *trackers, *observers; /* struct HC_I(listener) *, lists. Grow at the head: under trace_lock
                                 with release; read with acquire */
#endif
  HC_LEVEL lent, lent_bytes; /* LOCK: segments_lock, as the next three lines. What is not in the
                                shared lists: in use, or in a stock */
  HC_LEVEL lent_requested, lent_wasted, lent_oversize; /* of these */
  HC_FLOW direct, direct_requested; /* Handed out from a heap, and freed into one, without the books
                                       of a thread */
  int64_t peak_held, peak_used; /* LOCK: segments_lock. Of reserved_bytes and of what is lent; never
                                   reset */
#ifdef HC_DEVICE_ALLOCATOR
  struct HC_I(column) columns[2];     /* LOCK: segments_lock. Small, large */
  hostcache_device_stats device_base; /* LOCK: as `base`. Its columns but the aggregate */
  int64_t rejections;    /* LOCK: segments_lock, as the next two lines. Allocations, at the cap */
  size_t cap_given, cap_by_fraction; /* `max_reserved` is the lower one; SIZE_MAX: none */
  double fraction;
#endif
};

/* What is to be got. */
HC_WANT {
  size_t size;      /* bytes, as block_size_for says */
  size_t requested; /* as the caller said */
  unsigned state;   /* ACTIVE: for the user; LEAVING: for the cache's own ends */
  HC_POOL *pool;    /* NULL: of what is shared by all */
  int captured;     /* its stream is being captured */
  HC_ORDER *order;  /* of the stream it is for; NULL: it is for the host, or any stream */
  HC_ORDER *from;   /* not NULL: only what is ready for that stream alone will do */
  const HC_STREAM *stream; /* that it is for; NULL: HC_STREAM_CURRENT tells */
  const hostcache_request *more; /* what else was said; NULL: nothing */
};

/* What one pass over the queues did. */
HC_TALLY {
  size_t ready; /* blocks that became ready */
  size_t hooks; /* hooks called */
  int failed;   /* a record or a query failed */
  int no_wait;  /* a wait hook failed, or none may be called: poll, or quarantine, instead */
  int64_t records, queries; /* of these, those of the figures that no thread has counted yet */
};

#define HC_UNKNOWN_SHIFT 30     /* in block->extra_uses */
#define HC_CAPTURED (1u << 29)  /* likewise: it was got for a capture, */
#define HC_WAS_USED (1u << 28)  /* ... and a use of it is not among the uses any more. These are
                                   counted below */

HOSTCACHE_INLINE uint32_t HC_I(use_count)(const HC_BLOCK *block) {
  return hostcache_u32_load_relaxed(&block->extra_uses) & (HC_WAS_USED - 1);
}

HOSTCACHE_INLINE uint32_t HC_I(unknown_uses)(const HC_BLOCK *block) {
  return hostcache_u32_load_relaxed(&block->extra_uses) >> HC_UNKNOWN_SHIFT;
}

HOSTCACHE_UNUSED static void HC_I(set_use_count)(HC_BLOCK *block, uint32_t count) {
  const uint32_t rest = hostcache_u32_load_relaxed(&block->extra_uses) & ~(HC_WAS_USED - 1);
  hostcache_u32_store_relaxed(&block->extra_uses, rest | count);
}

HOSTCACHE_UNUSED static void HC_I(set_unknown_uses)(HC_BLOCK *block, uint32_t unknown) {
  const uint32_t rest =
      hostcache_u32_load_relaxed(&block->extra_uses) & ((1u << HC_UNKNOWN_SHIFT) - 1);
  hostcache_u32_store_relaxed(&block->extra_uses, rest | unknown << HC_UNKNOWN_SHIFT);
}

/* What a request takes, with the red zone behind it; and the most that takes so much. */
#ifdef HC_GUARD
HOSTCACHE_INLINE size_t HC_I(padded)(size_t requested) {
  return requested == 0 || requested > SIZE_MAX - HC_RED_ZONE ? requested : requested + HC_RED_ZONE;
}
#define HC_PADDED(requested) HC_I(padded)(requested)
#define HC_PARED(size) ((size) > HC_RED_ZONE ? (size) - HC_RED_ZONE : 0)
#else
#define HC_PADDED(requested) (requested)
#define HC_PARED(size) (size)
#endif

/* The books. Every change of a block's state goes through HC_I(turn), which moves the figures of
   the thread with it under its lock, but for the two changes of the hot path, which the bins count.
   So the figures always equal the sum over the blocks, and check can say so at any time. */

/* What only grows wraps round, without undefined behaviour, in a cache that is never reset. */
HOSTCACHE_INLINE int64_t HC_I(sum)(int64_t total, int64_t amount) {
  return (int64_t)((uint64_t)total + (uint64_t)amount);
}

/* The same for what has come and has not gone. */
HOSTCACHE_INLINE int64_t HC_I(rest)(int64_t in, int64_t out) {
  return (int64_t)((uint64_t)in - (uint64_t)out);
}

HOSTCACHE_INLINE void HC_I(stat_add)(hostcache_stat *stat, int64_t amount) {
  stat->current = HC_I(sum)(stat->current, amount);
  stat->allocated = HC_I(sum)(stat->allocated, amount);
  if (stat->current > stat->peak) stat->peak = stat->current;
}

HOSTCACHE_INLINE void HC_I(stat_subtract)(hostcache_stat *stat, int64_t amount) {
  stat->current = HC_I(sum)(stat->current, -amount);
  stat->freed = HC_I(sum)(stat->freed, amount);
}

/* Something of this amount leaves what `stat` counts, enters it, or neither. */
HOSTCACHE_INLINE void HC_I(stat_step)(hostcache_stat *stat, int from, int to,
                                             size_t amount) {
  if (from == to) return;
  if (to)
    HC_I(stat_add)(stat, (int64_t)amount);
  else
    HC_I(stat_subtract)(stat, (int64_t)amount);
}

/* The same for a number of things and their bytes. */
HOSTCACHE_INLINE void HC_I(stat_move)(hostcache_stat *count, hostcache_stat *bytes, int from,
                                             int to, size_t size) {
  HC_I(stat_step)(count, from, to, 1);
  HC_I(stat_step)(bytes, from, to, size);
}

HOSTCACHE_UNUSED static int HC_I(is_handed_out)(unsigned state) {
  return state == HOSTCACHE_ACTIVE || state == HOSTCACHE_FREEING;
}

HOSTCACHE_UNUSED static int HC_I(is_pending)(unsigned state) {
  return state == HOSTCACHE_DEFERRED || state == HOSTCACHE_WAITING;
}

HOSTCACHE_UNUSED static int HC_I(is_in_use)(unsigned state) { /* "active" in the figures */
  return HC_I(is_handed_out)(state) || HC_I(is_pending)(state) || state == HOSTCACHE_QUARANTINED;
}

HOSTCACHE_UNUSED static unsigned HC_I(state_of)(const HC_BLOCK *block) {
  return (unsigned)(hostcache_size_load_acquire(&block->life) & HOSTCACHE_STATE_MASK);
}

/* Gives a block its next state. The caller owns it, or holds the lock that guards it. */
HOSTCACHE_UNUSED static void HC_I(set_state)(HC_BLOCK *block, unsigned state) {
  size_t life = (block->life & ~(size_t)HOSTCACHE_STATE_MASK) | state;
  if (state == HOSTCACHE_ACTIVE) life += HOSTCACHE_STATE_MASK + 1;
  hostcache_size_store_release(&block->life, life);
}

/* What the figures count a block in some state as. */
#define HC_COUNTS_HANDED 1u
#define HC_COUNTS_PENDING 2u
#define HC_COUNTS_QUARANTINED 4u
#define HC_COUNTS_USED 8u

HOSTCACHE_INLINE unsigned HC_I(counts_of)(unsigned state) {
  if (HC_I(is_handed_out)(state)) return HC_COUNTS_HANDED | HC_COUNTS_USED;
  if (HC_I(is_pending)(state)) return HC_COUNTS_PENDING | HC_COUNTS_USED;
  return state == HOSTCACHE_QUARANTINED ? HC_COUNTS_QUARANTINED | HC_COUNTS_USED : 0u;
}

/* Something of this size enters what a flow counts, or leaves it. */
HOSTCACHE_UNUSED static void HC_I(flow_step)(HC_FLOW *flow, unsigned enters, size_t size) {
  const int64_t bytes = (int64_t)size;
  if (!enters) {
    flow->out++;
    flow->out_bytes = HC_I(sum)(flow->out_bytes, bytes);
    return;
  }
  flow->in++;
  flow->in_bytes = HC_I(sum)(flow->in_bytes, bytes);
  if (flow->in - flow->out > flow->peak) flow->peak = flow->in - flow->out;
  if (HC_I(rest)(flow->in_bytes, flow->out_bytes) > flow->peak_bytes)
    flow->peak_bytes = HC_I(rest)(flow->in_bytes, flow->out_bytes);
}

/* What left it and was counted is counted elsewhere, too. */
HOSTCACHE_UNUSED static void HC_I(flow_undo)(HC_FLOW *flow, size_t size) {
  flow->out--;
  flow->out_bytes = HC_I(rest)(flow->out_bytes, (int64_t)size);
}

/* There may be more of it than there ever was: of a flow that was moved without a look at that. */
HOSTCACHE_UNUSED static void HC_I(flow_note)(HC_FLOW *flow) {
  const int64_t count = HC_I(rest)(flow->in, flow->out);
  const int64_t bytes = HC_I(rest)(flow->in_bytes, flow->out_bytes);
  if (count > flow->peak) flow->peak = count;
  if (bytes > flow->peak_bytes) flow->peak_bytes = bytes;
}

/* What is handed out: of what is in use, all but what waits or is in quarantine. So a free has one
   figure less to count. Sets all but the peaks. */
HOSTCACHE_APART void HC_I(flow_handed)(HC_FLOW *handed, const HC_FLOW *used, const HC_FLOW *pending,
                                       const HC_FLOW *quarantined) {
  handed->in = used->in;
  handed->out = used->out + pending->in - pending->out + quarantined->in - quarantined->out;
  handed->in_bytes = used->in_bytes;
  handed->out_bytes =
      HC_I(sum)(HC_I(sum)(used->out_bytes, HC_I(rest)(pending->in_bytes, pending->out_bytes)),
                HC_I(rest)(quarantined->in_bytes, quarantined->out_bytes));
}

/* More of something is there (is = 1), or less. segments_lock is held. */
HOSTCACHE_INLINE void HC_I(level_step)(HC_LEVEL *level, int is, size_t amount) {
  if (!is) {
    level->now -= (int64_t)amount;
    return;
  }
  level->now += (int64_t)amount;
  if (level->now > level->peak) level->peak = level->now;
}

/* The columns: what is counted once more, of the small pool or of the large one. Of the blocks in
   bins, which are counted by class, only those of the large pool are. HC_COLUMN(put, bin, block) is
   HC_I(column_put)(bin, block), and nothing where HC_DEVICE_ALLOCATOR is not defined. */

#ifndef HC_DEVICE_ALLOCATOR
#define HC_COLUMN(name, ...) ((void)0)
#else
#define HC_COLUMN(name, ...) HC_I(column_##name)(__VA_ARGS__)

/* 0: the small pool; 1: the large one. What small blocks share is small, whatever lies there. */
HOSTCACHE_INLINE unsigned HC_I(pool_of_kind)(int kind) { return kind != HOSTCACHE_KIND_SMALL; }

HOSTCACHE_INLINE unsigned HC_I(column_of)(const HC_BLOCK *block) {
  return HC_I(pool_of_kind)(block->kind);
}

HOSTCACHE_INLINE struct HC_I(thread_column) *HC_I(column_here)(HC_THREAD *thread,
                                                               const HC_BLOCK *block) {
  return &thread->columns[HC_I(column_of)(block)];
}

/* What HC_I(turn) counts. */
HOSTCACHE_UNUSED static void HC_I(column_turn)(HC_THREAD *thread, const HC_BLOCK *block,
                                               unsigned changed, unsigned to) {
  struct HC_I(thread_column) *column = HC_I(column_here)(thread, block);
  if (changed & HC_COUNTS_HANDED)
    HC_I(flow_step)(&column->handed, to & HC_COUNTS_HANDED, block->size);
  if (changed & HC_COUNTS_USED) {
    HC_I(flow_step)(&column->used, to & HC_COUNTS_USED, block->size);
    HC_I(flow_step)(&column->requested, to & HC_COUNTS_USED, block->requested);
  }
}

/* A block is handed out from a stock; ... */
HOSTCACHE_INLINE void HC_I(column_got)(HC_THREAD *thread, HC_BIN *bin, const HC_BLOCK *block,
                                       size_t requested) {
  HC_FLOW *asked = &HC_I(column_here)(thread, block)->requested;
  bin->large_got += HC_I(column_of)(block);
  asked->in_bytes = HC_I(sum)(asked->in_bytes, (int64_t)requested);
}

/* ... it is put into one, ... */
HOSTCACHE_INLINE void HC_I(column_put)(HC_BIN *bin, const HC_BLOCK *block) {
  bin->large_put += HC_I(column_of)(block);
}

/* ... and what was asked of it is not in use any more, ... */
HOSTCACHE_INLINE void HC_I(column_dropped)(HC_THREAD *thread, const HC_BLOCK *block) {
  HC_FLOW *asked = &HC_I(column_here)(thread, block)->requested;
  asked->out_bytes = HC_I(sum)(asked->out_bytes, (int64_t)block->requested);
}

/* ... where it waited first, and was counted as handed out no more when that began, ... */
HOSTCACHE_INLINE void HC_I(column_completed)(HC_THREAD *thread, const HC_BLOCK *block) {
  HC_I(flow_undo)(&HC_I(column_here)(thread, block)->handed, block->size);
}

/* ... which HC_I(turn) may have counted as well. */
HOSTCACHE_INLINE void HC_I(column_over)(HC_THREAD *thread, const HC_BLOCK *block) {
  HC_I(flow_undo)(&HC_I(column_here)(thread, block)->used, block->size);
}

/* It begins to wait for them, and HC_I(turn) does not count that. */
HOSTCACHE_INLINE void HC_I(column_waits)(HC_THREAD *thread, const HC_BLOCK *block, int64_t size) {
  HC_FLOW *handed = &HC_I(column_here)(thread, block)->handed;
  handed->out++;
  handed->out_bytes = HC_I(sum)(handed->out_bytes, size);
}

/* The first blocks of a chain come into a stock from the shared lists (by = 1), or go (-1). */
HOSTCACHE_UNUSED static void HC_I(column_traded)(HC_BIN *bin, const HC_BLOCK *block,
                                                 unsigned count, int by) {
  for (; count > 0; count--, block = block->next)
    bin->large_traded += (int64_t)HC_I(column_of)(block) * by;
}

/* The same for those that come into a shared bin (is = 1), or go. segments_lock is held, as for all
   that follow. */
HOSTCACHE_UNUSED static void HC_I(column_binned)(HC_CACHE *self, const HC_BLOCK *block,
                                                 unsigned count, int is) {
  for (; count > 0; count--, block = block->next) {
    struct HC_I(column) *column = &self->columns[HC_I(column_of)(block)];
    HC_I(level_step)(&column->binned, is, 1);
    HC_I(level_step)(&column->binned_bytes, is, block->size);
  }
}

/* What HC_I(count_lent) counts, of a chain of blocks. */
HOSTCACHE_UNUSED static void HC_I(column_lent)(HC_CACHE *self, const HC_BLOCK *block,
                                               unsigned count, int is, size_t requested) {
  for (; count > 0; count--, block = block->next) {
    struct HC_I(column) *column = &self->columns[HC_I(column_of)(block)];
    HC_I(level_step)(&column->lent, is, 1);
    HC_I(level_step)(&column->lent_bytes, is, block->size);
    HC_I(level_step)(&column->lent_requested, is, requested);
  }
}

/* What HC_I(count_direct) counts. */
HOSTCACHE_UNUSED static void HC_I(column_direct)(HC_CACHE *self, const HC_BLOCK *block, int is) {
  struct HC_I(column) *column = &self->columns[HC_I(column_of)(block)];
  HC_I(flow_step)(&column->direct, (unsigned)is, block->size);
  HC_I(flow_step)(&column->direct_requested, (unsigned)is, block->requested);
}

/* A segment comes (got = 1) or goes. */
HOSTCACHE_UNUSED static void HC_I(column_segment)(HC_CACHE *self, int kind, size_t size, int got) {
  struct HC_I(column) *column = &self->columns[HC_I(pool_of_kind)(kind)];
  HC_I(stat_move)(&column->segment, &column->reserved_bytes, !got, got, size);
}

/* A range comes into a heap (is = 1), or is taken; its bytes are ready, or are so no more; ... */
HOSTCACHE_INLINE void HC_I(column_range)(HC_CACHE *self, const HC_BLOCK *range, int is) {
  HC_FLOW *split = &self->columns[HC_I(column_of)(range)].split;
  ++*(is ? &split->in : &split->out);
}

HOSTCACHE_INLINE void HC_I(column_ready)(HC_CACHE *self, const HC_BLOCK *range, int is) {
  HC_FLOW *split = &self->columns[HC_I(column_of)(range)].split;
  int64_t *bytes = is ? &split->in_bytes : &split->out_bytes;
  *bytes = HC_I(sum)(*bytes, (int64_t)range->size);
}

/* ... but a segment that is idle (is = 1) is no part of one. */
HOSTCACHE_UNUSED static void HC_I(column_idle)(HC_CACHE *self, const HC_SEGMENT *segment, int is) {
  HC_FLOW *split = &self->columns[HC_I(pool_of_kind)(segment->kind)].split;
  int64_t *bytes = is ? &split->out_bytes : &split->in_bytes;
  *bytes = HC_I(sum)(*bytes, (int64_t)segment->size);
  --*(is ? &split->in : &split->out);
}

/* What HC_I(note_ready) notes. */
HOSTCACHE_UNUSED static void HC_I(column_note_ready)(HC_CACHE *self) {
  HC_I(flow_note)(&self->columns[0].split);
  HC_I(flow_note)(&self->columns[1].split);
}

/* An allocation failed, perhaps at the cap. No lock is held. */
HOSTCACHE_UNUSED static void HC_I(column_rejected)(HC_CACHE *self, hostcache_result result) {
  if (result != HOSTCACHE_ERR_LIMIT) return;
  hostcache_lock(&self->segments_lock);
  self->rejections++;
  hostcache_unlock(&self->segments_lock);
}

#endif

/* The pending are at their most before one of them completes. The thread is held. */
HOSTCACHE_APART void HC_I(note_pending)(HC_THREAD *thread) {
  HC_I(flow_note)(&thread->pending);
}

/* What is in use of this thread's blocks, and was not asked for. The thread is held. */
HOSTCACHE_UNUSED static int64_t HC_I(wasted)(const HC_THREAD *thread) {
  return HC_I(rest)(HC_I(rest)(thread->used.in_bytes, thread->used.out_bytes),
                    HC_I(rest)(thread->requested.in_bytes, thread->requested.out_bytes));
}

/* There may be more handed out than there ever was. The thread is held. */
HOSTCACHE_UNUSED static void HC_I(note_handed)(HC_THREAD *thread) {
  HC_I(flow_handed)(&thread->handed, &thread->used, &thread->pending, &thread->quarantined);
  HC_I(flow_note)(&thread->handed);
}

/* Gives a block its next state, where the one or the other is in use. The thread is held. */
HOSTCACHE_UNUSED static void HC_I(turn)(HC_CACHE *self, HC_THREAD *thread, HC_BLOCK *block,
                                        unsigned state) {
  const unsigned from = HC_I(counts_of)(HC_I(state_of)(block)), to = HC_I(counts_of)(state);
  const unsigned changed = from ^ to;
  int64_t wasted;
  if (changed & HC_COUNTS_PENDING) HC_I(note_pending)(thread);
  HC_I(set_state)(block, state);
  if ((changed & HC_COUNTS_HANDED) &&
      HOSTCACHE_RARELY(block->size > self->config.max_split_size))
    HC_I(flow_step)(&thread->oversize, to & HC_COUNTS_HANDED, 0);
  if (changed & HC_COUNTS_PENDING)
    HC_I(flow_step)(&thread->pending, to & HC_COUNTS_PENDING, block->size);
  if (HOSTCACHE_RARELY(changed & HC_COUNTS_QUARANTINED))
    HC_I(flow_step)(&thread->quarantined, to & HC_COUNTS_QUARANTINED, block->size);
  HC_COLUMN(turn, thread, block, changed, to);
  if (!(changed & HC_COUNTS_USED)) return;
  HC_I(flow_step)(&thread->used, to & HC_COUNTS_USED, block->size);
  HC_I(flow_step)(&thread->requested, to & HC_COUNTS_USED, block->requested);
  if (to & HC_COUNTS_USED) HC_I(note_handed)(thread);
  wasted = HC_I(wasted)(thread);
  if (wasted > thread->wasted_peak) thread->wasted_peak = wasted;
}

/* One more of a figure of cache->stats that only counts. */
HOSTCACHE_UNUSED static void HC_I(count)(HC_CACHE *self, int64_t *figure) {
  hostcache_lock(&self->segments_lock);
  (*figure)++;
  hostcache_unlock(&self->segments_lock);
}

/* One more call of a memory hook, and how long it took. */
HOSTCACHE_UNUSED static void HC_I(count_call)(HC_CACHE *self, int64_t *calls,
                                              hostcache_duration *duration, uint64_t began_ns) {
  int64_t ns = (int64_t)(hostcache_now_ns() - began_ns);
  if (ns < 0) ns = 0; /* a clock that was given went back */
  hostcache_lock(&self->segments_lock);
  (*calls)++;
  if (duration->count == 0 || ns < duration->min) duration->min = ns;
  if (ns > duration->max) duration->max = ns;
  duration->total = HC_I(sum)(duration->total, ns);
  duration->count++;
  hostcache_unlock(&self->segments_lock);
}

/* A segment comes (got = 1) or goes. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(count_segment)(HC_CACHE *self, size_t size, int got) {
  HC_I(stat_move)(&self->stats.segment, &self->stats.reserved_bytes, !got, got, size);
  if (self->stats.reserved_bytes.current > self->peak_held)
    self->peak_held = self->stats.reserved_bytes.current;
#ifdef HC_HOST_ALLOCATOR
  if (got) self->segments_got[size > 1 ? hostcache_log2(size - 1) + 1 : 0]++;
#endif
  if (size > self->config.max_split_size)
    HC_I(stat_step)(&self->stats.oversize_segments, !got, got, 1);
}

/* Private pools. Without HC_POOLS there are none, and these do nothing. */

#ifdef HC_POOLS

/* The pool that a segment belongs to, or NULL. */
HOSTCACHE_INLINE HC_POOL *HC_I(pool_of)(const HC_SEGMENT *segment) { return segment->pool; }

/* The heaps of a pool, or, of none, those that are shared. segments_lock is held. */
HOSTCACHE_INLINE HC_HEAP *HC_I(heaps_of)(HC_CACHE *self, HC_POOL *pool) {
  return HOSTCACHE_RARELY(pool != NULL) ? pool->heaps : self->heaps;
}

/* The pool, as long as it is one. segments_lock, or a thread, is held. */
HOSTCACHE_UNUSED static HC_POOL *HC_I(pool_still)(HC_POOL *pool) {
  return pool && pool->stage == HOSTCACHE_POOL_LIVE ? pool : NULL;
}

HOSTCACHE_UNUSED static hostcache_pool_id HC_I(pool_id)(const HC_POOL *pool) {
  const hostcache_pool_id none = {0, 0};
  return pool ? pool->id : none;
}

/* A new segment is of a pool, if that is one still. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(pool_join)(HC_CACHE *self, HC_SEGMENT *segment, HC_POOL *pool) {
  segment->pool = HC_I(pool_still)(pool);
  segment->born = ++self->births;
}

/* A segment is of no pool any more, as it goes back. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(pool_part)(HC_SEGMENT *segment) {
  segment->was_of = HC_I(pool_id)(segment->pool);
  segment->pool = NULL;
}

HOSTCACHE_UNUSED static hostcache_pool_id HC_I(was_of)(const HC_SEGMENT *segment) {
  return segment->was_of;
}

/* Of what is ready. segments_lock is held. */
HOSTCACHE_INLINE void HC_I(count_pooled)(HC_CACHE *self, const HC_BLOCK *range, int is) {
  if (!HOSTCACHE_RARELY(range->segment->pool != NULL)) return;
  self->pooled_bytes += is ? range->size : 0 - range->size;
}

/* How much that is. Likewise. */
HOSTCACHE_INLINE size_t HC_I(pooled_bytes)(const HC_CACHE *self) { return self->pooled_bytes; }

HOSTCACHE_INLINE int HC_I(pool_is_open)(const HC_CACHE *self) {
  return HOSTCACHE_RARELY(hostcache_u32_load_relaxed(&self->open_pools)) != 0;
}

/* Was this block got for a capture? Its home is held, or it is the caller's. */
HOSTCACHE_UNUSED static int HC_I(is_captured)(const HC_BLOCK *block) {
  return (hostcache_u32_load_relaxed(&block->extra_uses) & HC_CAPTURED) != 0;
}

/* The block is activated: notes whether that is for a capture. If the pool has ended meanwhile, it
   is not. The thread is held. */
HOSTCACHE_UNUSED static void HC_I(note_capture)(HC_BLOCK *block, const HC_WANT *want) {
  if (want->captured && HC_I(pool_still)(want->pool) == want->pool)
    hostcache_u32_store_relaxed(&block->extra_uses,
                                hostcache_u32_load_relaxed(&block->extra_uses) | HC_CAPTURED);
}

/* A use is taken off a block without its free: if that was got for a capture, it was used all the
   same. All threads are held. */
HOSTCACHE_UNUSED static void HC_I(note_used)(HC_BLOCK *block) {
  const uint32_t uses = hostcache_u32_load_relaxed(&block->extra_uses);
  if (uses & HC_CAPTURED) hostcache_u32_store_relaxed(&block->extra_uses, uses | HC_WAS_USED);
}

/* The capture is over. All threads are held. */
HOSTCACHE_RARE static void HC_I(uncapture)(HC_BLOCK *block) {
  hostcache_u32_store_relaxed(
      &block->extra_uses,
      hostcache_u32_load_relaxed(&block->extra_uses) & ~(HC_CAPTURED | HC_WAS_USED));
}

#else

HOSTCACHE_INLINE HC_POOL *HC_I(pool_of)(const HC_SEGMENT *segment) {
  (void)segment;
  return NULL;
}
HOSTCACHE_INLINE HC_HEAP *HC_I(heaps_of)(HC_CACHE *self, HC_POOL *pool) {
  (void)pool;
  return self->heaps;
}
HOSTCACHE_INLINE HC_POOL *HC_I(pool_still)(HC_POOL *pool) { return pool; }
HOSTCACHE_INLINE void HC_I(pool_join)(HC_CACHE *self, HC_SEGMENT *segment, HC_POOL *pool) {
  (void)self;
  (void)segment;
  (void)pool;
}
HOSTCACHE_INLINE void HC_I(pool_part)(HC_SEGMENT *segment) { (void)segment; }
HOSTCACHE_INLINE hostcache_pool_id HC_I(was_of)(const HC_SEGMENT *segment) {
  const hostcache_pool_id none = {0, 0};
  (void)segment;
  return none;
}
HOSTCACHE_INLINE void HC_I(count_pooled)(HC_CACHE *self, const HC_BLOCK *range, int is) {
  (void)self;
  (void)range;
  (void)is;
}
HOSTCACHE_INLINE size_t HC_I(pooled_bytes)(const HC_CACHE *self) {
  (void)self;
  return 0;
}
HOSTCACHE_INLINE hostcache_pool_id HC_I(pool_id)(const HC_POOL *pool) {
  const hostcache_pool_id none = {0, 0};
  (void)pool;
  return none;
}
HOSTCACHE_INLINE int HC_I(pool_is_open)(const HC_CACHE *self) {
  (void)self;
  return 0;
}
HOSTCACHE_INLINE int HC_I(is_captured)(const HC_BLOCK *block) {
  (void)block;
  return 0;
}
HOSTCACHE_INLINE void HC_I(note_capture)(HC_BLOCK *block, const HC_WANT *want) {
  (void)block;
  (void)want;
}
HOSTCACHE_INLINE void HC_I(note_used)(HC_BLOCK *block) { (void)block; }

#endif

/* What is ready for one stream alone. Without HC_STREAM_ORDERED nothing is, and these do
   nothing. */

#ifdef HC_STREAM_ORDERED

/* The order of an active block or of a ready range; NULL: it has none. */
HOSTCACHE_INLINE HC_ORDER *HC_I(order_of)(const HC_BLOCK *block) { return block->order; }

HOSTCACHE_INLINE void HC_I(set_order)(HC_BLOCK *block, HC_ORDER *order) { block->order = order; }

HOSTCACHE_INLINE int HC_I(is_fence)(const HC_USE *use) { return use->order != NULL; }

/* Is it one that malloc had no memory for? */
HOSTCACHE_INLINE int HC_I(is_spare)(const HC_USE *use) {
  return use->order && use == &use->order->spare;
}

/* A range that is about to be ready for one stream alone is covered by no fence yet. segments_lock
   is held, as for the next two. */
HOSTCACHE_INLINE void HC_I(order_stamp)(HC_BLOCK *range) {
  if (!range->order) return;
  range->stamp = range->order->stamp;
  hostcache_u32_store_relaxed(&range->order->uncovered, 1);
}

/* A part of a range, or one that becomes part of it, is for whom the range is. */
HOSTCACHE_INLINE void HC_I(order_carve)(HC_BLOCK *rest, const HC_BLOCK *range) {
  rest->order = range->order;
  rest->stamp = range->stamp;
}

HOSTCACHE_INLINE void HC_I(order_absorb)(HC_BLOCK *range, const HC_BLOCK *gone) {
  if (gone->stamp > range->stamp) range->stamp = gone->stamp;
}

/* Of what is ready. segments_lock is held. */
HOSTCACHE_INLINE void HC_I(count_ordered)(HC_CACHE *self, const HC_BLOCK *range, int is) {
  const size_t bytes = is ? range->size : 0 - range->size;
  if (!range->order) return;
  range->order->bytes += bytes;
  self->ordered_bytes += bytes;
}

/* How much that is. Likewise. */
HOSTCACHE_INLINE size_t HC_I(ordered_bytes)(const HC_CACHE *self) { return self->ordered_bytes; }

HOSTCACHE_INLINE HC_HEAP *HC_I(heaps_of_order)(HC_ORDER *order) { return order->heaps; }

HOSTCACHE_UNUSED static HC_ORDER *HC_I(orders)(const HC_CACHE *self) {
  return (HC_ORDER *)hostcache_ptr_load_acquire(&self->orders);
}

/* May this active block become ready for its stream alone: was it got for one that was not
   forgotten, and is it marked by that and by nothing else? The thread is held. */
HOSTCACHE_INLINE int HC_I(is_in_order)(HC_BLOCK *block) {
  const HC_LANE *lane = block->order ? block->order->lane : NULL;
  const size_t marks = hostcache_size_load_relaxed(&block->marks) |
                       hostcache_size_load_relaxed(&block->marks_too);
  const HC_USE *use = &block->in.uses[0];
  if (!lane || hostcache_ptr_load_relaxed(&lane->order) != (void *)block->order) return 0;
  if (lane->bit) return marks == lane->bit && block->extra_uses == 0;
  return marks == 0 && block->extra_uses == 1 && use->kind == HOSTCACHE_USE_STREAM &&
         use->lane == lane && use->value == 0 && use->early == HOSTCACHE_EARLY_NONE;
}

/* Takes the use by its own stream off such a block, which is being freed and the caller's. */
HOSTCACHE_INLINE void HC_I(unmark_own)(HC_BLOCK *block) {
  hostcache_size_store_relaxed(&block->marks, 0);
  hostcache_size_store_relaxed(&block->marks_too, 0);
  hostcache_u32_store_relaxed(&block->extra_uses, 0);
}

/* Marks a block that nobody else knows as used on a stream, which lives: the thread is held, or the
   caller is a visitor of the order. */
HOSTCACHE_INLINE void HC_I(order_mark)(HC_BLOCK *block, HC_LANE *lane) {
  HC_USE *use = &block->in.uses[0];
  if (lane->bit) {
    hostcache_size_store_relaxed(&block->marks, lane->bit);
    return;
  }
  memset((void *)use, 0, sizeof *use);
  use->kind = HOSTCACHE_USE_STREAM;
  use->lane = lane;
  use->stream = lane->stream;
  hostcache_u32_store_relaxed(&block->extra_uses, 1);
}

#else

HOSTCACHE_INLINE HC_ORDER *HC_I(order_of)(const HC_BLOCK *block) {
  (void)block;
  return NULL;
}
HOSTCACHE_INLINE void HC_I(set_order)(HC_BLOCK *block, HC_ORDER *order) {
  (void)block;
  (void)order;
}
HOSTCACHE_INLINE int HC_I(is_fence)(const HC_USE *use) {
  (void)use;
  return 0;
}
HOSTCACHE_INLINE int HC_I(is_spare)(const HC_USE *use) {
  (void)use;
  return 0;
}
HOSTCACHE_INLINE void HC_I(order_stamp)(HC_BLOCK *range) { (void)range; }
HOSTCACHE_INLINE void HC_I(order_carve)(HC_BLOCK *rest, const HC_BLOCK *range) {
  (void)rest;
  (void)range;
}
HOSTCACHE_INLINE void HC_I(order_absorb)(HC_BLOCK *range, const HC_BLOCK *gone) {
  (void)range;
  (void)gone;
}
HOSTCACHE_INLINE void HC_I(count_ordered)(HC_CACHE *self, const HC_BLOCK *range, int is) {
  (void)self;
  (void)range;
  (void)is;
}
HOSTCACHE_INLINE size_t HC_I(ordered_bytes)(const HC_CACHE *self) {
  (void)self;
  return 0;
}
HOSTCACHE_INLINE HC_HEAP *HC_I(heaps_of_order)(HC_ORDER *order) {
  (void)order;
  return NULL;
}

#endif

/* What was said beside the size. Without HC_ALLOC_EX nothing ever is, and these know that. */

#ifdef HC_ALLOC_EX

HOSTCACHE_INLINE unsigned HC_I(flags_of)(const HC_WANT *want) {
  return want->more ? want->more->flags : 0;
}

HOSTCACHE_INLINE int32_t HC_I(node_of)(const HC_WANT *want) {
  return want->more ? want->more->node : HOSTCACHE_NODE_ANY;
}

/* 1: as the config says. */
HOSTCACHE_INLINE size_t HC_I(alignment_of)(const HC_WANT *want) {
  return want->more && want->more->alignment ? want->more->alignment : 1;
}

/* Bytes in front of the first address in a range that is aligned as wanted. */
HOSTCACHE_INLINE size_t HC_I(ahead)(const HC_BLOCK *range, size_t alignment) {
  return (0 - (size_t)range->ptr) & (alignment - 1);
}

#else

HOSTCACHE_INLINE unsigned HC_I(flags_of)(const HC_WANT *want) {
  (void)want;
  return 0;
}
HOSTCACHE_INLINE int32_t HC_I(node_of)(const HC_WANT *want) {
  (void)want;
  return HOSTCACHE_NODE_ANY;
}
HOSTCACHE_INLINE size_t HC_I(alignment_of)(const HC_WANT *want) {
  (void)want;
  return 1;
}
HOSTCACHE_INLINE size_t HC_I(ahead)(const HC_BLOCK *range, size_t alignment) {
  (void)range;
  (void)alignment;
  return 0;
}

#endif

/* May a stream be captured at this moment? Then no event is recorded or asked. True as long as a
   thread is held; else a peek. */
HOSTCACHE_INLINE int HC_I(is_capturing)(const HC_CACHE *self) {
  return HC_HAS_CAPTURES && HC_I(pool_is_open)(self);
}

/* Bytes of the ready ranges. segments_lock is held. */
HOSTCACHE_INLINE int64_t HC_I(ready_bytes)(const HC_CACHE *self) {
  return HC_I(rest)(self->ready.in_bytes, self->ready.out_bytes);
}

/* Of those of them that are whole segments. Likewise. */
HOSTCACHE_INLINE int64_t HC_I(idle_bytes)(const HC_CACHE *self) {
  return HC_I(rest)(self->idle.in_bytes, self->idle.out_bytes);
}

/* The bytes of a range are ready from now on (is = 1), or are so no more. (The heaps count how many
   ranges there are; two that become one are no other bytes.) segments_lock is held. */
HOSTCACHE_INLINE void HC_I(count_ready)(HC_CACHE *self, const HC_BLOCK *range, int is) {
  int64_t *bytes = is ? &self->ready.in_bytes : &self->ready.out_bytes;
  *bytes = HC_I(sum)(*bytes, (int64_t)range->size);
  HC_I(count_pooled)(self, range, is);
  HC_I(count_ordered)(self, range, is);
  HC_COLUMN(ready, self, range, is);
}

/* So many blocks of the size of this one, and of its bin, which follow it in a chain, leave the
   shared lists (is = 1), to be in use or in a stock, or come back. What a stock has is counted as
   if it were in use for any request that it may serve: so that no peak is too low, whatever its
   thread does until it trades again. segments_lock is held. */
HOSTCACHE_INLINE void HC_I(count_lent)(HC_CACHE *self, const HC_BLOCK *block, unsigned count,
                                       int is) {
  size_t least = block->requested, most = least;
  if (block->bin != HC_NO_BIN) {
    least = block->bin == 0 ? 1 : HC_PARED(self->class_size[block->bin - 1]) + 1;
    most = block->size;
  }
  HC_I(level_step)(&self->lent, is, count);
  HC_I(level_step)(&self->lent_bytes, is, count * block->size);
  HC_I(level_step)(&self->lent_requested, is, count * most);
  HC_I(level_step)(&self->lent_wasted, is, count * (block->size - least));
  if (HOSTCACHE_RARELY(block->size > self->config.max_split_size))
    HC_I(level_step)(&self->lent_oversize, is, count);
  HC_COLUMN(lent, self, block, count, is, most);
  if (self->lent_bytes.now > self->peak_used) self->peak_used = self->lent_bytes.now;
}

/* A block is handed out straight from a heap (is = 1), or freed straight into it, by a thread that
   has a record of its own: what HC_I(turn) would count, of what it has no peak. segments_lock is
   held. */
HOSTCACHE_INLINE void HC_I(count_direct)(HC_CACHE *self, const HC_BLOCK *block, int is) {
  const int64_t size = (int64_t)block->size, requested = (int64_t)block->requested;
  HC_FLOW *flow = &self->direct, *asked = &self->direct_requested;
  if (is) {
    flow->in++;
    flow->in_bytes = HC_I(sum)(flow->in_bytes, size);
    asked->in_bytes = HC_I(sum)(asked->in_bytes, requested);
  } else {
    flow->out++;
    flow->out_bytes = HC_I(sum)(flow->out_bytes, size);
    asked->out_bytes = HC_I(sum)(asked->out_bytes, requested);
  }
  HC_COLUMN(direct, self, block, is);
  HC_I(count_lent)(self, block, 1, is);
}

/* Tells on_error what failed. `what` names the hook or function and says what became of the block.
   Called with no lock held, like a hook. */
HOSTCACHE_UNUSED static void HC_I(tell)(HC_CACHE *self, hostcache_result result, int64_t code,
                                        const char *what, const void *ptr) {
  int cancel = hostcache_hook_begin();
  if (self->config.on_error)
    self->config.on_error(self->config.on_error_user, result, code, what, ptr);
  hostcache_hook_end(cancel);
}

#ifdef HC_GUARD
/* Tells of what the program did: on_error, or, where there is none, stderr. Likewise. */
HOSTCACHE_RARE static void HC_I(report)(HC_CACHE *self, hostcache_result result, const char *what,
                                        const void *ptr) {
  const int cancel = hostcache_hook_begin();
  if (!self->config.on_error) hostcache_complain(what, ptr);
  hostcache_hook_end(cancel);
  HC_I(tell)(self, result, 0, what, ptr);
}
#endif

/* What happens, for those who want to know. Where HC_TRACE is not defined, these do nothing. */

#ifdef HC_TRACE

HOSTCACHE_INLINE int HC_I(is_traced)(const HC_CACHE *self) {
  return HOSTCACHE_RARELY(hostcache_u32_load_relaxed(&self->tracing)) != 0;
}

/* Calls the trackers. With no lock held. */
HOSTCACHE_RARE static void HC_I(trace_tell)(HC_CACHE *self, const hostcache_trace *entry) {
  const struct HC_I(listener) *listener =
      (const struct HC_I(listener) *)hostcache_ptr_load_acquire(&self->trackers);
  const int cancel = hostcache_hook_begin();
  for (; listener; listener = listener->next)
    if (!hostcache_u32_load_relaxed(&listener->deaf)) listener->tracker(listener->user, entry);
  hostcache_hook_end(cancel);
}

/* Notes an entry. trace_lock is held. */
HOSTCACHE_RARE static void HC_I(trace_note)(HC_CACHE *self, hostcache_trace *entry) {
  entry->sequence = self->sequence++;
  entry->time_ns = hostcache_now_ns();
  if (!self->annals.ring) return;
  self->annals.ring[self->annals.next] = *entry;
  self->annals.next = (self->annals.next + 1) % self->annals.room;
  if (self->annals.count < self->annals.room) self->annals.count++;
}

/* Lets the trackers hear what was noted while locks were held. With no lock held. At the return
   they have heard it all, also what another thread was about to tell. */
HOSTCACHE_RARE static void HC_I(trace_hear)(HC_CACHE *self) {
  unsigned attempt = 0;
  for (;;) {
    hostcache_trace entry;
    size_t count, telling;
    hostcache_lock(&self->trace_lock);
    count = self->owed_count;
    telling = self->owed_telling;
    if (count > 0) {
      entry = self->owed[self->owed_next];
      self->owed_next = (self->owed_next + 1) % self->owed_room;
      self->owed_count--;
      self->owed_telling++;
    }
    hostcache_unlock(&self->trace_lock);
    if (count == 0 && telling == 0) return;
    if (count == 0) {
      hostcache_pause(attempt++);
      continue;
    }
    HC_I(trace_tell)(self, &entry);
    hostcache_lock(&self->trace_lock);
    self->owed_telling--;
    hostcache_unlock(&self->trace_lock);
  }
}

HOSTCACHE_INLINE void HC_I(trace_flush)(HC_CACHE *self) {
  if (HC_I(is_traced)(self)) HC_I(trace_hear)(self);
}

/* A block is freed, or its free is complete: noted, and told later. Its thread is held. */
HOSTCACHE_RARE static void HC_I(trace_later)(HC_CACHE *self, HC_BLOCK *block,
                                             hostcache_action action) {
  hostcache_trace entry; /* all of it is set here and by trace_note */
  entry.action = action;
  entry.ptr = block->ptr;
  entry.size = block->size;
  entry.requested = block->requested;
  entry.pool = HC_I(pool_id)(HC_I(pool_of)(block->segment));
  hostcache_lock(&self->trace_lock);
  entry.context = block->context;
  if (action == HOSTCACHE_TRACE_FREE_COMPLETED) block->context = NULL;
  HC_I(trace_note)(self, &entry);
  if (self->trackers && self->owed_count < self->owed_room) {
    self->owed[(self->owed_next + self->owed_count) % self->owed_room] = entry;
    self->owed_count++;
  }
  hostcache_unlock(&self->trace_lock);
}

/* The same, where anything is noted. Likewise. */
HOSTCACHE_INLINE void HC_I(trace_block)(HC_CACHE *self, HC_BLOCK *block,
                                        hostcache_action action) {
  if (HC_I(is_traced)(self)) HC_I(trace_later)(self, block, action);
}

/* Sees that there is room for what the trackers may not have heard yet: two entries of each record,
   as it is handed out again only after they were heard. With no lock held. 0: no memory for it;
   on_error was told. */
HOSTCACHE_RARE static int HC_I(trace_room)(HC_CACHE *self) {
  size_t room, i;
  hostcache_trace *more, *before;
  hostcache_lock(&self->segments_lock);
  room = 2 * self->records;
  hostcache_unlock(&self->segments_lock);
  hostcache_lock(&self->trace_lock);
  i = self->owed_room;
  hostcache_unlock(&self->trace_lock);
  if (i >= room) return 1;
  more = (hostcache_trace *)HOSTCACHE_MALLOC(room * sizeof *more);
  if (!more) {
    HC_I(tell)(self, HOSTCACHE_ERR_NO_METADATA, 0,
               "HOSTCACHE_MALLOC had no memory for what trackers are to hear: some may be lost",
               NULL);
    return 0;
  }
  hostcache_lock(&self->trace_lock);
  before = more;
  if (self->owed_room < room) {
    for (i = 0; i < self->owed_count; i++)
      more[i] = self->owed[(self->owed_next + i) % self->owed_room];
    before = self->owed;
    self->owed = more;
    self->owed_room = room;
    self->owed_next = 0;
  }
  hostcache_unlock(&self->trace_lock);
  if (before) HOSTCACHE_FREE(before);
  return 1;
}

/* Notes and tells at once. With no lock held. `block` is NULL, or is about to be the user's. */
HOSTCACHE_RARE static void HC_I(trace_now)(HC_CACHE *self, hostcache_action action, HC_BLOCK *block,
                                           const void *ptr, size_t size, size_t requested,
                                           hostcache_pool_id pool, void *context) {
  hostcache_trace entry; /* all of it is set here and by trace_note */
  entry.action = action;
  entry.ptr = ptr;
  entry.size = size;
  entry.requested = requested;
  entry.pool = pool;
  entry.context = context;
  if (hostcache_ptr_load_relaxed(&self->trackers)) (void)HC_I(trace_room)(self);
  HC_I(trace_hear)(self); /* first, what came before */
  hostcache_lock(&self->trace_lock);
  if (block) block->context = context;
  HC_I(trace_note)(self, &entry);
  hostcache_unlock(&self->trace_lock);
  HC_I(trace_tell)(self, &entry);
}

HOSTCACHE_INLINE void HC_I(trace_segment)(HC_CACHE *self, hostcache_action action, const void *ptr,
                                          size_t size, hostcache_pool_id pool) {
  if (HC_I(is_traced)(self)) HC_I(trace_now)(self, action, NULL, ptr, size, 0, pool, NULL);
}

/* What the user wants to remember. With no lock held. */
HOSTCACHE_RARE static void *HC_I(trace_ask)(HC_CACHE *self, hostcache_action action) {
  hostcache_context_fn context;
  void *user, *given = NULL;
  int cancel;
  hostcache_lock(&self->trace_lock);
  context = self->annals.context;
  user = self->annals.user;
  hostcache_unlock(&self->trace_lock);
  if (!context) return NULL;
  cancel = hostcache_hook_begin();
  given = context(user, action);
  hostcache_hook_end(cancel);
  return given;
}

/* An allocation failed. With no lock held. */
HOSTCACHE_RARE static void HC_I(trace_oom)(HC_CACHE *self, hostcache_result result,
                                           const HC_WANT *want) {
  const struct HC_I(listener) *listener =
      (const struct HC_I(listener) *)hostcache_ptr_load_acquire(&self->observers);
  hostcache_oom oom;
  int cancel;
  if (HC_I(is_traced)(self))
    HC_I(trace_now)(self, HOSTCACHE_TRACE_OOM, NULL, NULL, want->requested, 0,
                    HC_I(pool_id)(want->pool), HC_I(trace_ask)(self, HOSTCACHE_TRACE_OOM));
  if (!listener) return;
  oom.result = result;
  oom.requested = want->requested;
  hostcache_lock(&self->segments_lock);
  oom.reserved_bytes = (size_t)self->stats.reserved_bytes.current;
  oom.max_reserved_bytes = self->max_reserved;
  hostcache_unlock(&self->segments_lock);
  cancel = hostcache_hook_begin();
  for (; listener; listener = listener->next) listener->observer(listener->user, &oom);
  hostcache_hook_end(cancel);
}

#else

HOSTCACHE_INLINE void HC_I(trace_flush)(HC_CACHE *self) { (void)self; }
HOSTCACHE_INLINE void HC_I(trace_block)(HC_CACHE *self, HC_BLOCK *block,
                                        hostcache_action action) {
  (void)self;
  (void)block;
  (void)action;
}
HOSTCACHE_INLINE void HC_I(trace_segment)(HC_CACHE *self, hostcache_action action, const void *ptr,
                                          size_t size, hostcache_pool_id pool) {
  (void)pool;
  (void)self;
  (void)action;
  (void)ptr;
  (void)size;
}
HOSTCACHE_INLINE void HC_I(trace_oom)(HC_CACHE *self, hostcache_result result,
                                      const HC_WANT *want) {
  (void)self;
  (void)result;
  (void)want;
}

#endif

#if defined HC_TRACE || defined HC_POOLS

/* Must every thread go the long way, as a history is recorded or a pool is open? Any of the
   threads' locks is held. */
HOSTCACHE_UNUSED static int HC_I(is_detoured)(const HC_CACHE *self) {
#ifdef HC_TRACE
  if (HC_I(is_traced)(self)) return 1;
#endif
  return HC_I(pool_is_open)(self);
}

/* Sends them there, or back: no thread goes inside of its own record by its flag alone then, and so
   none of them the shortest way. All threads are held. */
HOSTCACHE_RARE static void HC_I(detour)(HC_CACHE *self) {
  const uint32_t detour = HC_I(is_detoured)(self) ? HC_STOP_DETOUR : 0;
  HC_THREAD *thread = (HC_THREAD *)hostcache_ptr_load_acquire(&self->threads);
  for (; thread; thread = thread->next) {
    thread->fence = (thread->fence & ~HC_STOP_DETOUR) | detour;
    if (!thread->owned) hostcache_u32_store_release(&thread->stop, thread->fence);
  }
  self->common.fence = detour; /* without threads it is this thread's own */
  hostcache_u32_store_release(&self->common.stop, self->common.fence);
}

#else

HOSTCACHE_INLINE int HC_I(is_detoured)(const HC_CACHE *self) {
  (void)self;
  return 0;
}

#endif

/* ---- 7. HOOKS -----------------------------------------------------------------------------------
   One typed wrapper for each, the only place where the hook's macro is expanded. A wrapper asserts
   that no lock is held, keeps the thread from being cancelled, and in C++ turns an exception into a
   failure. The names of its variables begin with hc_, so that they hide nothing that a user's macro
   refers to. */

#if defined __cplusplus && (defined __cpp_exceptions || defined __EXCEPTIONS || defined _CPPUNWIND)
#define HC_TRY try
#define HC_CATCH(status) catch (...) { status = hostcache_failed(HOSTCACHE_CODE_EXCEPTION); }
#else
#define HC_TRY
#define HC_CATCH(status)
#endif

/* Those that are called for every free with a use and every poll. */
#ifdef HC_EVENTS_DO_NOT_CANCEL
#define HC_EVENT_HOOK_BEGIN() hostcache_hook_begin_plain()
#define HC_EVENT_HOOK_END(cancel) (void)(cancel)
#else
#define HC_EVENT_HOOK_BEGIN() hostcache_hook_begin()
#define HC_EVENT_HOOK_END(cancel) hostcache_hook_end(cancel)
#endif

HOSTCACHE_UNUSED static hostcache_status HC_I(call_mem_alloc)(HC_CACHE *hc_cache, size_t hc_size,
                                                              void **hc_ptr,
                                                              HC_RUNTIME *hc_runtime) {
  size_t hc_align = hc_cache->config.alignment;
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_size;
  (void)hc_ptr;
  (void)hc_runtime;
  (void)hc_align;
  HC_TRY {
#ifdef HC_SEGMENT_T
    hc_status = HC_MEM_ALLOC(hc_ctx, hc_size, hc_align, hc_ptr, hc_runtime);
#else
    hc_status = HC_MEM_ALLOC(hc_ctx, hc_size, hc_align, hc_ptr);
#endif
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
  return hc_status;
}

#ifdef HC_MEM_ALLOC_ON_NODE
HOSTCACHE_UNUSED static hostcache_status HC_I(call_mem_alloc_on_node)(HC_CACHE *hc_cache,
                                                                      size_t hc_size,
                                                                      int32_t hc_node,
                                                                      void **hc_ptr,
                                                                      HC_RUNTIME *hc_runtime) {
  size_t hc_align = hc_cache->config.alignment;
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_size;
  (void)hc_node;
  (void)hc_ptr;
  (void)hc_runtime;
  (void)hc_align;
  HC_TRY {
#ifdef HC_SEGMENT_T
    hc_status = HC_MEM_ALLOC_ON_NODE(hc_ctx, hc_size, hc_align, hc_node, hc_ptr, hc_runtime);
#else
    hc_status = HC_MEM_ALLOC_ON_NODE(hc_ctx, hc_size, hc_align, hc_node, hc_ptr);
#endif
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
  return hc_status;
}
#endif

HOSTCACHE_UNUSED static hostcache_status HC_I(call_mem_free)(HC_CACHE *hc_cache, void *hc_ptr,
                                                             size_t hc_size,
                                                             HC_RUNTIME *hc_runtime) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_ptr;
  (void)hc_size;
  (void)hc_runtime;
  HC_TRY {
#ifdef HC_SEGMENT_T
    hc_status = HC_MEM_FREE(hc_ctx, hc_ptr, hc_size, hc_runtime);
#else
    hc_status = HC_MEM_FREE(hc_ctx, hc_ptr, hc_size);
#endif
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
  return hc_status;
}

#ifdef HC_EVENT_CREATE
HOSTCACHE_UNUSED static hostcache_status HC_I(call_event_create)(HC_CACHE *hc_cache,
                                                                 HC_STREAM hc_stream,
                                                                 HC_EVENT *hc_event) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_stream;
  (void)hc_event;
  HC_TRY {
    hc_status = HC_EVENT_CREATE(hc_ctx, hc_stream, hc_event);
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
  return hc_status;
}
#endif

#ifdef HC_EVENT_DESTROY
HOSTCACHE_UNUSED static hostcache_status HC_I(call_event_destroy)(HC_CACHE *hc_cache,
                                                                  HC_EVENT *hc_event) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_event;
  HC_TRY {
    hc_status = HC_EVENT_DESTROY(hc_ctx, hc_event);
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
  return hc_status;
}
#endif

#ifdef HC_EVENT_RECORD
HOSTCACHE_INLINE hostcache_status HC_I(call_event_record)(HC_CACHE *hc_cache,
                                                                 HC_EVENT *hc_event,
                                                                 HC_STREAM hc_stream) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = HC_EVENT_HOOK_BEGIN();
  (void)hc_ctx;
  (void)hc_event;
  (void)hc_stream;
  HC_TRY {
    hc_status = HC_EVENT_RECORD(hc_ctx, hc_event, hc_stream);
  }
  HC_CATCH(hc_status)
  HC_EVENT_HOOK_END(hc_cancel);
  return hc_status;
}
#endif

#ifdef HC_EVENT_QUERY
HOSTCACHE_INLINE hostcache_status HC_I(call_event_query)(HC_CACHE *hc_cache,
                                                                HC_EVENT *hc_event) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = HC_EVENT_HOOK_BEGIN();
  (void)hc_ctx;
  (void)hc_event;
  HC_TRY {
    hc_status = HC_EVENT_QUERY(hc_ctx, hc_event);
  }
  HC_CATCH(hc_status)
  HC_EVENT_HOOK_END(hc_cancel);
  return hc_status;
}
#endif

#ifdef HC_EVENT_WAIT
HOSTCACHE_UNUSED static hostcache_status HC_I(call_event_wait)(HC_CACHE *hc_cache,
                                                               HC_EVENT *hc_event) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_event;
  HC_TRY {
    hc_status = HC_EVENT_WAIT(hc_ctx, hc_event);
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
  return hc_status;
}
#endif

#ifdef HC_STREAM_WAIT
HOSTCACHE_UNUSED static hostcache_status HC_I(call_stream_wait)(HC_CACHE *hc_cache,
                                                                HC_STREAM hc_stream) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_stream;
  HC_TRY {
    hc_status = HC_STREAM_WAIT(hc_ctx, hc_stream);
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
  return hc_status;
}
#endif

#ifdef HC_TIMELINE_RECORD
HOSTCACHE_INLINE hostcache_status HC_I(call_timeline_record)(HC_CACHE *hc_cache,
                                                                    HC_STREAM hc_stream,
                                                                    uint64_t *hc_value) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = HC_EVENT_HOOK_BEGIN();
  (void)hc_ctx;
  (void)hc_stream;
  (void)hc_value;
  HC_TRY {
    hc_status = HC_TIMELINE_RECORD(hc_ctx, hc_stream, hc_value);
  }
  HC_CATCH(hc_status)
  HC_EVENT_HOOK_END(hc_cancel);
  return hc_status;
}
#endif

#ifdef HC_TIMELINE_QUERY
HOSTCACHE_INLINE hostcache_status HC_I(call_timeline_query)(HC_CACHE *hc_cache,
                                                                   HC_STREAM hc_stream,
                                                                   uint64_t *hc_value) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = HC_EVENT_HOOK_BEGIN();
  (void)hc_ctx;
  (void)hc_stream;
  (void)hc_value;
  HC_TRY {
    hc_status = HC_TIMELINE_QUERY(hc_ctx, hc_stream, hc_value);
  }
  HC_CATCH(hc_status)
  HC_EVENT_HOOK_END(hc_cancel);
  return hc_status;
}
#endif

#ifdef HC_TIMELINE_WAIT
HOSTCACHE_UNUSED static hostcache_status HC_I(call_timeline_wait)(HC_CACHE *hc_cache,
                                                                  HC_STREAM hc_stream,
                                                                  uint64_t hc_value) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_stream;
  (void)hc_value;
  HC_TRY {
    hc_status = HC_TIMELINE_WAIT(hc_ctx, hc_stream, hc_value);
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
  return hc_status;
}
#endif

#ifdef HC_STREAM_WAIT_EVENT
HOSTCACHE_UNUSED static hostcache_status HC_I(call_stream_wait_event)(HC_CACHE *hc_cache,
                                                                      HC_STREAM hc_stream,
                                                                      HC_EVENT *hc_event) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_stream;
  (void)hc_event;
  HC_TRY {
    hc_status = HC_STREAM_WAIT_EVENT(hc_ctx, hc_stream, hc_event);
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
  return hc_status;
}
#endif

#ifdef HC_STREAM_WAIT_VALUE
HOSTCACHE_UNUSED static hostcache_status HC_I(call_stream_wait_value)(HC_CACHE *hc_cache,
                                                                      HC_STREAM hc_stream,
                                                                      HC_STREAM hc_other,
                                                                      uint64_t hc_value) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_stream;
  (void)hc_other;
  (void)hc_value;
  HC_TRY {
    hc_status = HC_STREAM_WAIT_VALUE(hc_ctx, hc_stream, hc_other, hc_value);
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
  return hc_status;
}
#endif

#ifdef HC_STREAM_CURRENT
HOSTCACHE_UNUSED static hostcache_status HC_I(call_stream_current)(HC_CACHE *hc_cache,
                                                                   HC_STREAM *hc_stream) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_stream;
  HC_TRY {
    hc_status = HC_STREAM_CURRENT(hc_ctx, hc_stream);
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
  return hc_status;
}
#endif

#ifdef HC_STREAM_IS_CAPTURING
HOSTCACHE_UNUSED static hostcache_status HC_I(call_stream_is_capturing)(HC_CACHE *hc_cache,
                                                                        HC_STREAM hc_stream) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_stream;
  HC_TRY {
    hc_status = HC_STREAM_IS_CAPTURING(hc_ctx, hc_stream);
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
  return hc_status;
}
#endif

#ifdef HC_CAPTURE_RELAX_BEGIN
HOSTCACHE_UNUSED static hostcache_status HC_I(call_relax_begin)(HC_CACHE *hc_cache,
                                                                uint64_t *hc_mode) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_mode;
  HC_TRY {
    hc_status = HC_CAPTURE_RELAX_BEGIN(hc_ctx, hc_mode);
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
  return hc_status;
}

HOSTCACHE_UNUSED static hostcache_status HC_I(call_relax_end)(HC_CACHE *hc_cache,
                                                              uint64_t *hc_mode) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_mode;
  HC_TRY {
    hc_status = HC_CAPTURE_RELAX_END(hc_ctx, hc_mode);
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
  return hc_status;
}
#endif

#ifdef HC_COPY_DATA
HOSTCACHE_UNUSED static hostcache_status HC_I(call_copy_data)(HC_CACHE *hc_cache, void *hc_dest,
                                                              const void *hc_src,
                                                              size_t hc_count) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_dest;
  (void)hc_src;
  (void)hc_count;
  HC_TRY {
    hc_status = HC_COPY_DATA(hc_ctx, hc_dest, hc_src, hc_count);
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
  return hc_status;
}
#endif

#ifdef HC_MEM_INFO
HOSTCACHE_UNUSED static hostcache_status HC_I(call_mem_info)(HC_CACHE *hc_cache, size_t *hc_free,
                                                             size_t *hc_total) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_free;
  (void)hc_total;
  HC_TRY {
    hc_status = HC_MEM_INFO(hc_ctx, hc_free, hc_total);
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
  return hc_status;
}
#endif

#ifdef HC_FREE_FOREIGN
HOSTCACHE_UNUSED static hostcache_status HC_I(call_free_foreign)(HC_CACHE *hc_cache,
                                                                 void *hc_ptr) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_ptr;
  HC_TRY {
    hc_status = HC_FREE_FOREIGN(hc_ctx, hc_ptr);
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
  return hc_status;
}
#endif

/* Not hooks, but expanded once like them: this one and the next two are called under locks, and
   must not call the cache. */

HOSTCACHE_INLINE int HC_I(segment_fits)(const HC_RUNTIME *hc_runtime) {
#ifdef HC_SEGMENT_FITS
  return HC_SEGMENT_FITS(hc_runtime) ? 1 : 0;
#else
  (void)hc_runtime;
  return 1;
#endif
}

#if HC_HAS_STREAMS

HOSTCACHE_UNUSED static int HC_I(same_stream)(HC_STREAM hc_a, HC_STREAM hc_b) {
#ifdef HC_STREAM_EQ
  return HC_STREAM_EQ(hc_a, hc_b) ? 1 : 0;
#elif defined __cplusplus
  return hostcache_equal(hc_a, hc_b, 0);
#else
  return hc_a == hc_b; /* an error here: define HC_STREAM_EQ(a, b) and HC_STREAM_HASH(stream) */
#endif
}

HOSTCACHE_INLINE uint64_t HC_I(stream_hash)(HC_STREAM hc_stream) {
#ifdef HC_STREAM_HASH
  uint64_t hc_hash = (uint64_t)(HC_STREAM_HASH(hc_stream));
#else
  uint64_t hc_hash = 0; /* of the bytes: the type is a number, a pointer or an enum here, as ==
                           takes it */
  unsigned char hc_bytes[sizeof(HC_STREAM)];
  size_t hc_i;
  if (sizeof hc_bytes <= sizeof hc_hash) {
    memcpy(&hc_hash, &hc_stream, sizeof hc_bytes);
  } else {
    memcpy(hc_bytes, &hc_stream, sizeof hc_bytes);
    for (hc_i = 0; hc_i < sizeof hc_bytes; hc_i++)
      hc_hash = ((hc_hash << 8) | (hc_hash >> 56)) ^ hc_bytes[hc_i];
  }
#endif
  return hc_hash * UINT64_C(0x9e3779b97f4a7c15); /* 2^64 over the golden ratio: look at the top */
}

HOSTCACHE_UNUSED static size_t HC_I(stream_bucket)(HC_STREAM hc_stream) {
  return (size_t)(HC_I(stream_hash)(hc_stream) >> 32) % HC_STREAM_BUCKETS;
}

#endif

/* ---- 8. SIZES -----------------------------------------------------------------------------------
   Up to a border (1 MiB) sizes are rounded up to a class: multiples of the alignment, and, beyond
   as many of them as there are steps (8), so many steps to each doubling. So a block is larger than
   the request by at most one unit or 12.5%. Larger requests are rounded up to the page (or the
   alignment, where that is more) and to nothing else. Where blocks are segments of their own there
   are no classes and no pages: all are rounded up to the alignment. */

/* `size` rounded up to a multiple of `unit`, a power of two. The caller has ruled out overflow. */
HOSTCACHE_UNUSED static size_t HC_I(round_up)(size_t size, size_t unit) {
  return (size + (unit - 1)) & ~(unit - 1);
}

/* What sizes of segments are multiples of. */
HOSTCACHE_UNUSED static size_t HC_I(page_unit)(const hostcache_config *config) {
  return HC_ALONE || config->alignment > HC_PAGE ? config->alignment : HC_PAGE;
}

/* The size of a segment that is for one block alone. */
HOSTCACHE_UNUSED static size_t HC_I(own_size)(const HC_CACHE *self, size_t block_size) {
  return HC_I(round_up)(block_size, HC_I(page_unit)(&self->config));
}

/* `units` alignments, at least one, rounded up to a class of `steps` (a power of two) to each
   doubling. */
HOSTCACHE_UNUSED static size_t HC_I(class_units)(size_t units, uint32_t steps) {
  unsigned log;
  if (units <= steps) return units;
  log = hostcache_log2(units - 1); /* 2^log < units <= 2^(log + 1), and 2^log >= steps */
  return HC_I(round_up)(units, ((size_t)1 << log) / steps);
}

/* The size of the block that serves a request; 0 if that is too big for a segment. */
HOSTCACHE_UNUSED static size_t HC_I(block_size_for)(const HC_CACHE *self, size_t size) {
  size_t align = self->config.alignment, unit = HC_I(page_unit)(&self->config);
  if (size > (size_t)PTRDIFF_MAX - (unit - 1)) return 0;
  if (size > self->config.class_max_bytes) {
    size = HC_I(round_up)(size, unit);
    return size <= self->config.max_segment_bytes ? size : 0;
  }
  size = HC_I(class_units)((size + (align - 1)) / align, self->config.class_steps) * align;
  return HC_I(own_size)(self, size) <= self->config.max_segment_bytes ? size : 0;
}

/* Are blocks of this size small? These live in segments of their own, as one that stays in a large
   segment keeps the whole of it from being used for large blocks or given back. */
HOSTCACHE_UNUSED static int HC_I(is_small)(const HC_CACHE *self, size_t block_size) {
  return block_size <= HC_SMALL_MAX && block_size <= self->config.segment_bytes / 2;
}

/* The kind of the segments that are got for blocks of this size. */
HOSTCACHE_UNUSED static int HC_I(kind_for)(const HC_CACHE *self, size_t block_size) {
  return HC_I(is_small)(self, block_size) ? HOSTCACHE_KIND_SMALL : HOSTCACHE_KIND_LARGE;
}

/* Is this above what max_split_size lets be split? */
HOSTCACHE_UNUSED static int HC_I(is_oversize)(const HC_CACHE *self, size_t size) {
  return size > self->config.max_split_size;
}

/* The number of the class of so many units, less one: the first has the number 0. The same sum as
   class_units, without a division. */
HOSTCACHE_UNUSED static size_t HC_I(class_of_units)(const HC_CACHE *self, size_t before) {
  unsigned log;
  if (before < self->config.class_steps) return before;
  log = hostcache_log2(before) - self->steps_shift;
  return ((size_t)log << self->steps_shift) + (before >> log);
}

/* The number of the class of a request of at least one byte. The hot path looks it up, where the
   alignment is the usual one or larger. */
HOSTCACHE_INLINE size_t HC_I(class_of)(const HC_CACHE *self, size_t size) {
  const size_t before = (size - 1) >> self->unit_shift;
  if (!HOSTCACHE_RARELY(before >= HC_CLASS_UNITS)) return self->class_by_units[before];
  return HC_I(class_of_units)(self, before);
}

/* The sizes of the bins, and up to where they serve requests: small blocks, if their sizes are
   classes. What is small is at most half of a shared segment, so it may be split; and the size
   after it is at most twice as large, so it is not too big. */
HOSTCACHE_RARE static void HC_I(size_bins)(HC_CACHE *self) {
  const hostcache_config *config = &self->config;
  size_t size = 0, bin;
  for (bin = 0; bin < HC_CLASS_UNITS; bin++) {
    const size_t number = HC_I(class_of_units)(self, bin);
    self->class_by_units[bin] = (uint8_t)(number < HC_NO_BIN ? number : HC_NO_BIN);
  }
  for (bin = 0; bin < HC_BINS; bin++) {
    size = HC_I(block_size_for)(self, size + 1);
    if (size > config->class_max_bytes || !HC_I(is_small)(self, size)) break;
    HOSTCACHE_ASSERT(HC_I(class_of)(self, size) == bin);
    self->class_size[bin] = size;
    self->binned_max = size;
  }
}

/* ---- 9. SEGMENTS --------------------------------------------------------------------------------
   Gets segments from the runtime and gives them back; carves blocks out of them, and makes what is
   freed whole again; finds a block by address.

   A segment is divided into ranges without a gap, each with a block's record, linked by address.
   Two ready ranges never stand side by side: they become one at once, unless one of them is ready
   for a stream alone that the other is not for. A ready range is in the heap of its kind of
   segment, by size, so the best fit is the smallest range that is large enough, and of these the
   lowest: O(1), as of many of nearly one size only some are compared. A segment that is all one
   ready range is idle, and can be given back. */

/* Records. */

/* Among the spare blocks. */
HOSTCACHE_UNUSED static void HC_I(spare_append)(HC_SPARES *spares, HC_BLOCK *block) {
  block->next = NULL;
  if (spares->blocks)
    spares->last_block->next = block;
  else
    spares->blocks = block;
  spares->last_block = block;
  spares->block_count++;
}

HOSTCACHE_UNUSED static HC_BLOCK *HC_I(spare_take)(HC_SPARES *spares) {
  HC_BLOCK *block = spares->blocks;
  HOSTCACHE_ASSERT(block);
  spares->blocks = block->next;
  if (spares->blocks) { /* the next one was not touched for long */
    hostcache_prefetch(spares->blocks);
    hostcache_prefetch(&spares->blocks->ptr);
  }
  spares->block_count--;
  block->next = NULL;
  return block;
}

/* What a step needs of each kind of record. */
HC_NEEDS {
  size_t blocks, segments, shelves[2];
};

/* Segments need not be counted: there are as many records of them as of blocks, and each in use has
   a block of its own, so no fewer of them are spare. */
HOSTCACHE_UNUSED static int HC_I(spares_have)(const HC_SPARES *spares, const HC_NEEDS *needs) {
  return spares->block_count >= needs->blocks && spares->shelves.count[0] >= needs->shelves[0] &&
         spares->shelves.count[1] >= needs->shelves[1];
}

/* More records of blocks and segments, behind those that there are. Blocks that are made one after
   the other go to one thread, and are not to lie in its records' order: what fetches ahead in a
   processor would go on into the records of the next thread, and take them from it (two threads
   with a stream each: 57 ns instead of 23; one alone, with a thousand blocks pending, is 5 in 100
   slower). So the second lies one place behind the first, the third two behind that, and so on; as
   HC_RECORDS is a power of two, that comes to all of them. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(add_slab)(HC_CACHE *self, HC_SLAB *slab) {
  unsigned i;
  for (i = 0; i < HC_RECORDS; i++) {
    HC_BLOCK *block = HC_I(slab_block)(slab, i * (i + 1) / 2 % HC_RECORDS);
    block->cache = self;
    block->bin = HC_NO_BIN;
    HC_I(spare_append)(&self->spares, block);
    slab->segments[i].next = self->spares.segments;
    self->spares.segments = &slab->segments[i];
  }
#ifdef HC_TRACE
  self->records += HC_RECORDS;
#endif
  slab->next = (HC_SLAB *)self->slabs;
  hostcache_ptr_store_release(&self->slabs, slab);
}

/* Sees that the cache's spares have what is needed. segments_lock is held, but let go around
   malloc; *let_go says that it was. 0, and the lock is not held: malloc had none, and on_error was
   told. */
HOSTCACHE_UNUSED static int HC_I(spares_fill)(HC_CACHE *self, const HC_NEEDS *needs, int *let_go) {
  *let_go = 0;
  while (!HC_I(spares_have)(&self->spares, needs)) {
    int low = self->spares.shelves.count[0] >= needs->shelves[0];
    int wants_slab = self->spares.block_count < needs->blocks;
    hostcache_shelf *shelf = NULL;
    HC_SLAB *slab = NULL;
    *let_go = 1;
    hostcache_unlock(&self->segments_lock);
    if (wants_slab)
      slab = (HC_SLAB *)HOSTCACHE_MALLOC(sizeof *slab);
    else
      shelf = hostcache_shelf_new(&self->index, low);
    if (!slab && !shelf) {
      HC_I(tell)(self, HOSTCACHE_ERR_NO_METADATA, 0,
                 "HOSTCACHE_MALLOC had no memory for a block's record", NULL);
      return 0;
    }
    if (slab) memset((void *)slab, 0, sizeof *slab);
    hostcache_lock(&self->segments_lock);
    if (slab)
      HC_I(add_slab)(self, slab);
    else
      hostcache_shelf_put(&self->spares.shelves, low, shelf);
  }
  return 1;
}

/* Moves what is needed from one place to the other. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(spares_move)(HC_SPARES *from, HC_SPARES *to,
                                               const HC_NEEDS *moved) {
  size_t i;
  int low;
  for (i = 0; i < moved->blocks; i++) HC_I(spare_append)(to, HC_I(spare_take)(from));
  for (i = 0; i < moved->segments; i++) {
    HC_SEGMENT *segment = from->segments;
    HOSTCACHE_ASSERT(segment);
    from->segments = segment->next;
    segment->next = to->segments;
    to->segments = segment;
  }
  for (low = 0; low < 2; low++)
    for (i = 0; i < moved->shelves[low]; i++)
      hostcache_shelf_put(&to->shelves, low, hostcache_shelf_take(&from->shelves, low));
}

/* Moves all that is left back: of segments a step has set aside one at most. segments_lock is
   held. */
HOSTCACHE_UNUSED static void HC_I(spares_return)(HC_CACHE *self, HC_SPARES *from) {
  HC_NEEDS all;
  all.blocks = from->block_count;
  all.segments = from->segments != NULL;
  all.shelves[0] = from->shelves.count[0];
  all.shelves[1] = from->shelves.count[1];
  HC_I(spares_move)(from, &self->spares, &all);
}

/* Says which memory a range is. Not while it is handed out. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(place)(HC_BLOCK *range, void *ptr, size_t size) {
  hostcache_ptr_store_release(&range->ptr, ptr);
  hostcache_size_store_release(&range->size, size);
}

/* The guard (HC_GUARD): what is ready is full of one byte and hidden from the host, and so is what
   lies behind the bytes that were asked for. The rest of it looks at memory that the caller owns,
   with no lock held; here is what makes it ready, under the lock that the caller has. Without
   HC_GUARD the macros are nothing. */

#ifdef HC_GUARD

/* A block that was freed and is in use no more is about to be ready. That of a pool is left alone,
   as a replay may write there. What lies behind the bytes that were asked for is not written, so
   that damage shows later. The thread or segments_lock is held, or the block is active still. */
HOSTCACHE_UNUSED static void HC_I(guard_ready)(HC_BLOCK *block) {
  if (block->filled) return;
  if (HC_I(pool_of)(block->segment)) return;
  hostcache_offer(block->ptr, block->size);
  hostcache_fill(block->ptr, block->guarded ? block->requested : block->size);
  hostcache_hide(block->ptr, block->size);
  if (!block->guarded) block->guarded = 1; /* else check may be reading it */
  block->filled = 1;
}

/* A ready range that nobody wrote to, of a new segment or of a pool that has ended, is guarded, if
   it is of no pool. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(guard_range)(HC_BLOCK *range) {
  range->filled = 0;
  HC_I(guard_ready)(range);
}

/* Says which byte of a range it was. */
HOSTCACHE_RARE static void HC_I(say_where)(hostcache_words *words, const HC_BLOCK *range,
                                           const void *damage) {
  hostcache_say(words, ", at byte ");
  hostcache_say_number(words, (size_t)damage - (size_t)range->ptr, 10);
}

/* What was ready, and is the caller's now, alone, of which the host may use so many bytes from now
   on: was it written to? Then tells of it. With no lock held. */
HOSTCACHE_UNUSED static void HC_I(guard_open)(HC_CACHE *self, HC_BLOCK *range, size_t usable) {
  char *end = (char *)range->ptr + usable;
  const void *damage;
  hostcache_words words = {"", 0};
  hostcache_show(range->ptr, range->size);
  damage = hostcache_damage(range->ptr, range->size);
  if (damage) hostcache_fill(end, range->size - usable); /* else check may be reading there */
  hostcache_offer(range->ptr, usable);
  hostcache_hide(end, range->size - usable);
  if (!damage) return;
  hostcache_say(&words, "ready memory was written to, after a free or behind a block's end");
  HC_I(say_where)(&words, range, damage);
  HC_I(report)(self, HOSTCACHE_ERR_CORRUPT, words.text, damage);
}

/* A block was handed out, and is about to be the user's. With no lock held. */
HOSTCACHE_UNUSED static void HC_I(guard_got)(HC_CACHE *self, HC_BLOCK *block) {
  block->filled = 0;
  if (block->guarded) HC_I(guard_open)(self, block, block->requested);
}

/* A segment that is one range goes back. With no lock held. */
HOSTCACHE_UNUSED static void HC_I(guard_leave)(HC_CACHE *self, HC_BLOCK *range) {
  if (range->guarded) HC_I(guard_open)(self, range, range->size);
  range->guarded = 0;
}

/* An active block leaves the cache. segments_lock is held, so that check does not hide it again. */
HOSTCACHE_UNUSED static void HC_I(guard_part)(const HC_BLOCK *block) {
  if (block->guarded) hostcache_show(block->ptr, block->size);
}

/* The record serves another range. What a restore makes of it has no caller. */
HOSTCACHE_UNUSED static void HC_I(guard_retire)(HC_BLOCK *range) {
  range->guarded = 0;
  range->filled = 0;
  range->places[0] = NULL;
}

/* The first byte behind what was asked for that was written to, or NULL. */
HOSTCACHE_UNUSED static const void *HC_I(overflow)(const HC_BLOCK *block) {
  const char *end = (const char *)block->ptr + block->requested;
  const size_t size = block->size - block->requested;
  const void *damage;
  if (!block->guarded) return NULL;
  hostcache_show(end, size);
  damage = hostcache_damage(end, size);
  hostcache_hide(end, size);
  return damage;
}

/* Notes where a block was written to behind its end, and repairs that. 0: nowhere. The block is the
   caller's. */
HOSTCACHE_UNUSED static const void *HC_I(guard_end)(HC_BLOCK *block, hostcache_words *words) {
  const void *damage = HC_I(overflow)(block);
  char *end = (char *)block->ptr + block->requested;
  if (!damage) return NULL;
  hostcache_say(words, "a block of ");
  hostcache_say_number(words, block->requested, 10);
  hostcache_say(words, " bytes was written to behind its end");
  HC_I(say_where)(words, block, damage);
  hostcache_say(words, "; ");
  hostcache_say_places(words, block->places, HC_PLACES);
  hostcache_offer(end, block->size - block->requested);
  hostcache_fill(end, block->size - block->requested);
  hostcache_hide(end, block->size - block->requested);
  return damage;
}

/* The host may touch what is left of the cache's memory, which is the runtime's from now on. Nobody
   uses the cache any more; the memory may be gone, and is not touched. */
HOSTCACHE_RARE static void HC_I(guard_drop)(HC_CACHE *self) {
  HC_SLAB *slab = (HC_SLAB *)self->slabs;
  unsigned i;
  for (; slab; slab = slab->next) {
    for (i = 0; i < HC_RECORDS; i++) {
      const HC_BLOCK *block = HC_I(slab_block)(slab, i);
      const size_t from = HC_I(is_in_use)(HC_I(state_of)(block)) ? block->requested : 0;
      if (block->guarded) /* no spare one is */
        hostcache_offer((const char *)block->ptr + from, block->size - from);
    }
  }
}

#define HC_GUARD_READY(block) HC_I(guard_ready)(block)
#define HC_GUARD_RANGE(range) HC_I(guard_range)(range)
#define HC_GUARD_CARVE(rest, range) (void)((rest)->guarded = (range)->guarded)
#define HC_GUARD_RETIRE(range) HC_I(guard_retire)(range)
#define HC_GUARD_LEAVE(self, range) HC_I(guard_leave)(self, range)
#define HC_GUARD_PART(block) HC_I(guard_part)(block)
#define HC_GUARD_DROP(self) HC_I(guard_drop)(self)

#else

#define HC_GUARD_READY(block) ((void)0)
#define HC_GUARD_RANGE(range) ((void)0)
#define HC_GUARD_CARVE(rest, range) ((void)0)
#define HC_GUARD_RETIRE(range) ((void)0)
#define HC_GUARD_LEAVE(self, range) ((void)0)
#define HC_GUARD_PART(block) ((void)0)
#define HC_GUARD_DROP(self) ((void)0)

#endif

/* A range is a spare record from now on: its memory has gone back, or it is `merged` with its
   neighbour. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(retire)(HC_CACHE *self, HC_BLOCK *range, int merged) {
  HC_I(set_state)(range, HOSTCACHE_SPARE);
  range->segment = NULL;
  HC_I(place)(range, NULL, 0);
  range->left = NULL;
  range->right = NULL;
  range->merged = (uint8_t)merged;
  range->is_indexed = 0;
  HC_GUARD_RETIRE(range);
  HC_I(set_order)(range, NULL);
  HC_I(spare_append)(&self->spares, range);
}

/* Heaps: the ready ranges. */

/* May this ready range be split? What was got at creation always may. */
HOSTCACHE_UNUSED static int HC_I(may_split)(const HC_CACHE *self, const HC_BLOCK *range) {
  return range->kind == HOSTCACHE_KIND_RESERVE || !HC_I(is_oversize)(self, range->size);
}

/* Bytes in the heaps that are ready for all: those of pools stay with them, and those of a stream
   until it is through. Where they are bounded, nothing is in stocks and bins. segments_lock is
   held. */
HOSTCACHE_UNUSED static size_t HC_I(cached)(const HC_CACHE *self) {
  return (size_t)HC_I(ready_bytes)(self) - HC_I(pooled_bytes)(self) - HC_I(ordered_bytes)(self);
}

/* Is more held, or ready, than the bounds allow? segments_lock is held. */
HOSTCACHE_UNUSED static int HC_I(is_in_excess)(const HC_CACHE *self) {
  return self->claimed > self->max_reserved || HC_I(cached)(self) > self->max_cached;
}

/* More may be ready than before this step of the heaps: what are the peaks, and is it too much?
   segments_lock is held. */
HOSTCACHE_INLINE void HC_I(note_ready)(HC_CACHE *self) {
  const int64_t bytes = HC_I(ready_bytes)(self);
  const int64_t parts = HC_I(rest)(HC_I(sum)(self->ready.in, self->idle.out),
                                   HC_I(sum)(self->ready.out, self->idle.in));
  if (bytes > self->ready.peak_bytes) self->ready.peak_bytes = bytes;
  if (parts > self->ready.peak) self->ready.peak = parts;
  if (bytes - HC_I(idle_bytes)(self) > self->idle.peak_bytes)
    self->idle.peak_bytes = bytes - HC_I(idle_bytes)(self);
  HC_COLUMN(note_ready, self);
  if (HOSTCACHE_RARELY(HC_I(is_in_excess)(self))) hostcache_u32_store_relaxed(&self->excess, 1);
}

/* Is a segment that is one ready range kept by a pool, or by a stream that may be using it?
   segments_lock is held. */
HOSTCACHE_INLINE int HC_I(is_kept)(const HC_SEGMENT *segment) {
  return HC_I(pool_of)(segment) != NULL || HC_I(order_of)(segment->first) != NULL;
}

/* A segment is idle: last of them, unless it is kept. segments_lock is held. */
HOSTCACHE_APART void HC_I(idle_add)(HC_CACHE *self, HC_SEGMENT *segment) {
  self->idle.in++;
  self->idle.in_bytes = HC_I(sum)(self->idle.in_bytes, (int64_t)segment->size);
  HC_COLUMN(idle, self, segment, 1);
  if (HC_I(is_kept)(segment)) return;
  segment->idle_since = hostcache_now_ns();
  segment->idle_previous = self->idle_last;
  if (self->idle_last)
    self->idle_last->idle_next = segment;
  else
    self->idle_first = segment;
  self->idle_last = segment;
}

/* It is so no more. segments_lock is held. */
HOSTCACHE_APART void HC_I(idle_remove)(HC_CACHE *self, HC_SEGMENT *segment) {
  self->idle.out++;
  self->idle.out_bytes = HC_I(sum)(self->idle.out_bytes, (int64_t)segment->size);
  HC_COLUMN(idle, self, segment, 0);
  if (HC_I(is_kept)(segment)) return;
  if (segment->idle_previous)
    segment->idle_previous->idle_next = segment->idle_next;
  else
    self->idle_first = segment->idle_next;
  if (segment->idle_next)
    segment->idle_next->idle_previous = segment->idle_previous;
  else
    self->idle_last = segment->idle_previous;
  segment->idle_next = NULL;
  segment->idle_previous = NULL;
}

/* Is this range a segment as a whole? segments_lock is held. */
HOSTCACHE_INLINE int HC_I(is_whole)(const HC_BLOCK *range) {
  return ((size_t)range->left | (size_t)range->right) == 0;
}

/* Where a ready range belongs. (The functions that work there are shorter if they are given it.)
   segments_lock is held. */
HOSTCACHE_INLINE HC_HEAP *HC_I(heap_of)(HC_CACHE *self, const HC_BLOCK *range) {
  HC_ORDER *order = HC_I(order_of)(range);
  if (order) return &HC_I(heaps_of_order)(order)[range->kind];
  return &HC_I(heaps_of)(self, HC_I(pool_of)(range->segment))[range->kind];
}

/* The list of a heap that ranges of this size are in. Where only the very size will do, by chance:
   so nearly each size has one for itself. */
HOSTCACHE_INLINE unsigned HC_I(heap_class)(size_t size) {
  if (HC_ALONE) return (unsigned)(hostcache_scramble(size) % HOSTCACHE_HEAP_SIZES);
  return hostcache_heap_class(size);
}

/* A range is ready, and no neighbour of it is. The caller counts its bytes. segments_lock is held.
   */
HOSTCACHE_APART void HC_I(heap_add)(HC_CACHE *self, HC_HEAP *heap, HC_BLOCK *range) {
  const unsigned at = HC_I(heap_class)(range->size), word = at / HOSTCACHE_WORD_BITS;
  HC_BLOCK *next = heap->first[at];
  range->is_ready = 1;
  range->ready_class = at;
  range->ready_next = next;
  range->ready_from = &heap->first[at];
  *(next ? &next->ready_from : &heap->nobody) = &range->ready_next;
  heap->first[at] = range;
  heap->filled[word] |= (size_t)1 << (at % HOSTCACHE_WORD_BITS);
  heap->words |= (size_t)1 << word;
  self->ready.in++;
  HC_COLUMN(range, self, range, 1);
  if (HOSTCACHE_RARELY(HC_I(is_whole)(range))) HC_I(idle_add)(self, range->segment);
}

/* A ready range is taken, or about to change. Likewise. */
HOSTCACHE_APART void HC_I(heap_remove)(HC_CACHE *self, HC_HEAP *heap, HC_BLOCK *range) {
  const unsigned at = range->ready_class, word = at / HOSTCACHE_WORD_BITS;
  HC_BLOCK *next = range->ready_next;
  range->is_ready = 0;
  *range->ready_from = next;
  *(next ? &next->ready_from : &heap->nobody) = range->ready_from;
  heap->filled[word] &= ~((size_t)!heap->first[at] << (at % HOSTCACHE_WORD_BITS));
  if (HOSTCACHE_RARELY(!heap->filled[word])) heap->words &= ~((size_t)1 << word);
  self->ready.out++;
  HC_COLUMN(range, self, range, 0);
  if (HOSTCACHE_RARELY(HC_I(is_whole)(range))) HC_I(idle_remove)(self, range->segment);
}

/* The best fit of a list, which is of one class: the least size that is enough, and of those the
   lowest address. segments_lock is held. */
HOSTCACHE_INLINE HC_BLOCK *HC_I(list_best)(HC_BLOCK *range, size_t size) {
  unsigned looks = HOSTCACHE_HEAP_LOOKS;
  HC_BLOCK *best = NULL;
  for (; range && looks > 0; range = range->ready_next, looks--) {
    if (range->size < size) continue;
    if (best && (range->size > best->size ||
                 (range->size == best->size && (size_t)range->ptr > (size_t)best->ptr)))
      continue;
    best = range;
    if (range->size == size && looks > HOSTCACHE_HEAP_EXACT) looks = HOSTCACHE_HEAP_EXACT;
  }
  return best;
}

/* The range of exactly this size in a list that became ready last, and whose segment may serve this
   thread, or NULL. segments_lock is held. */
HOSTCACHE_INLINE HC_BLOCK *HC_I(list_exact)(HC_BLOCK *range, size_t size) {
  while (range && (range->size != size || !HC_I(segment_fits)(&range->segment->runtime)))
    range = range->ready_next;
  return range;
}

/* The best fit of a heap, or NULL. segments_lock is held. */
HOSTCACHE_APART HC_BLOCK *HC_I(heap_first)(const HC_HEAP *heap, size_t size) {
  const unsigned own = HC_I(heap_class)(size), at = own + 1;
  unsigned word = at / HOSTCACHE_WORD_BITS;
  HC_BLOCK *range = HC_ALONE ? HC_I(list_exact)(heap->first[own], size)
                             : HC_I(list_best)(heap->first[own], size);
  size_t bits;
  if (range || HC_ALONE) return range;
  /* any of a later class will do: of the first that holds something, the best */
  bits = heap->filled[word] >> (at % HOSTCACHE_WORD_BITS) << (at % HOSTCACHE_WORD_BITS);
  if (!bits) {
    bits = heap->words >> (word + 1) << (word + 1);
    if (!bits) { /* the last hope: there may be more of its own than were looked at */
      for (range = heap->first[own]; range && range->size < size;) range = range->ready_next;
      return range;
    }
    word = hostcache_lowest(bits);
    bits = heap->filled[word];
  }
  return HC_I(list_best)(heap->first[word * HOSTCACHE_WORD_BITS + hostcache_lowest(bits)], size);
}

/* In which heap a block is looked for first, second and third. */
HOSTCACHE_INLINE int HC_I(kind_by_turn)(int small, int turn) {
  static const uint8_t kinds[2][HOSTCACHE_KIND_COUNT] = {
      {HOSTCACHE_KIND_RESERVE, HOSTCACHE_KIND_LARGE, HOSTCACHE_KIND_SMALL},
      {HOSTCACHE_KIND_RESERVE, HOSTCACHE_KIND_SMALL, HOSTCACHE_KIND_LARGE}};
  return kinds[small][turn];
}

/* May a range be handed out for so many bytes although it is not split? segments_lock is held. */
HOSTCACHE_INLINE int HC_I(fits_whole)(const HC_CACHE *self, const HC_BLOCK *range, size_t size,
                                      size_t requested) {
  return range->size == HC_I(own_size)(self, size) || range->size - requested <= requested / 8;
}

/* The ready range that serves a block of this size best, or NULL. First what was reserved at
   creation, then the segments of its kind, then the others. A range above max_split_size is not
   split, so it serves only what it is larger than by at most an eighth. segments_lock is held. */
HOSTCACHE_INLINE HC_BLOCK *HC_I(heap_best)(const HC_CACHE *self, const HC_HEAP *heaps, size_t size,
                                           size_t requested) {
  const int small = HC_I(is_small)(self, size);
  int i = heaps[HOSTCACHE_KIND_RESERVE].words == 0;
  for (; i < HOSTCACHE_KIND_COUNT; i++) {
    const HC_HEAP *heap = &heaps[HC_I(kind_by_turn)(small, i)];
    HC_BLOCK *range = heap->words ? HC_I(heap_first)(heap, size) : NULL;
    if (range && (HC_I(may_split)(self, range) || HC_I(fits_whole)(self, range, size, requested)))
      return range;
  }
  return NULL;
}

#ifdef HC_ALLOC_EX

/* May a block as it is wanted be cut out of this ready range? segments_lock is held. */
HOSTCACHE_UNUSED static int HC_I(suits)(const HC_CACHE *self, const HC_BLOCK *range,
                                        const HC_WANT *want) {
  const size_t ahead = HC_I(ahead)(range, HC_I(alignment_of)(want));
#ifdef HC_MEM_ALLOC_ON_NODE
  if (HC_I(node_of)(want) != HOSTCACHE_NODE_ANY && range->segment->node != HC_I(node_of)(want))
    return 0;
#endif
  if (range->size < want->size || range->size - want->size < ahead) return 0;
  if (HC_ALONE) return range->size == want->size && HC_I(segment_fits)(&range->segment->runtime);
  if (HC_I(may_split)(self, range)) return 1;
  return ahead == 0 && HC_I(fits_whole)(self, range, want->size, want->requested);
}

/* The first range of the least class that suits, or NULL. segments_lock is held. */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(heap_search)(const HC_CACHE *self, const HC_HEAP *heaps,
                                                    const HC_WANT *want) {
  const int small = HC_I(is_small)(self, want->size);
  const unsigned own = HC_I(heap_class)(want->size);
  const unsigned end = HC_ALONE ? own + 1 : HOSTCACHE_HEAP_SIZES;
  unsigned at;
  int i;
  for (i = 0; i < HOSTCACHE_KIND_COUNT; i++) {
    const HC_HEAP *heap = &heaps[HC_I(kind_by_turn)(small, i)];
    for (at = own; heap->words && at < end; at++) {
      HC_BLOCK *range = heap->first[at];
      while (range && !HC_I(suits)(self, range, want)) range = range->ready_next;
      if (range) return range;
    }
  }
  return NULL;
}

#endif

/* Carving and coalescing. */

/* Divides a range, which is in no heap, after `size` bytes. Returns the rest, CACHED and in no heap
   either; it is not in the index before it is handed out, as it may be one with its neighbour again
   by then. The spares have a block. segments_lock is held. */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(carve)(HC_SPARES *spares, HC_BLOCK *range, size_t size) {
  HC_BLOCK *rest = HC_I(spare_take)(spares);
  rest->segment = range->segment;
  rest->kind = range->kind;
  HC_I(place)(rest, (char *)range->ptr + size, range->size - size);
  rest->left = range;
  rest->right = range->right;
  HC_I(order_carve)(rest, range);
  HC_GUARD_CARVE(rest, range);
  HC_I(set_state)(rest, HOSTCACHE_CACHED);
  if (range->right) range->right->left = rest;
  range->right = rest;
  HC_I(place)(range, range->ptr, size);
  return rest;
}

/* Makes the right neighbour of a range part of it. Neither is in a heap. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(absorb)(HC_CACHE *self, HC_BLOCK *range, HC_BLOCK *gone) {
  const size_t size = gone->size;
  HC_I(order_absorb)(range, gone);
  if (gone->is_indexed) hostcache_index_remove(&self->index, (size_t)gone->ptr);
  range->right = gone->right;
  if (gone->right) gone->right->left = range;
  HC_I(retire)(self, gone, 1);
  HC_I(place)(range, range->ptr, range->size + size);
}

/* Is this neighbour of a range (or NULL) ready, and for the same stream, if for one alone?
   segments_lock is held. */
HOSTCACHE_INLINE int HC_I(is_ready_too)(const HC_BLOCK *neighbour, const HC_BLOCK *range) {
  return neighbour && neighbour->is_ready &&
         HC_I(order_of)(neighbour) == HC_I(order_of)(range);
}

/* Makes a block ready that is out of the shared lists and that the caller owns: one with its ready
   neighbours, and in the heap. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(make_ready)(HC_CACHE *self, HC_BLOCK *range) {
  HC_BLOCK *left = range->left;
  range->bin = HC_NO_BIN;
  HC_I(order_stamp)(range);
  HC_I(count_ready)(self, range, 1);
  HC_I(set_state)(range, HOSTCACHE_CACHED);
  if (HC_I(is_ready_too)(left, range)) {
    HC_I(heap_remove)(self, HC_I(heap_of)(self, left), left);
    HC_I(absorb)(self, left, range);
    range = left;
  }
  if (HC_I(is_ready_too)(range->right, range)) {
    HC_I(heap_remove)(self, HC_I(heap_of)(self, range), range->right);
    HC_I(absorb)(self, range, range->right);
  }
  HC_I(heap_add)(self, HC_I(heap_of)(self, range), range);
  HC_I(note_ready)(self);
}

/* Segments. */

/* Is any byte of this range in a segment that is in the index? segments_lock is held. */
HOSTCACHE_UNUSED static int HC_I(overlaps)(HC_CACHE *self, const void *ptr, size_t size) {
  const hostcache_node *node = hostcache_tree_floor(self->by_address, (size_t)ptr);
  if (node && (size_t)ptr - node->key < ((HC_SEGMENT *)node->owner)->size) return 1;
  node = hostcache_tree_ceiling(self->by_address, (size_t)ptr);
  return node && node->key - (size_t)ptr < size;
}

/* Around the hooks that get memory and give it back: lets this thread do what else would break the
   captures under way. */
HOSTCACHE_INLINE hostcache_status HC_I(relax_begin)(HC_CACHE *self, uint64_t *mode) {
#ifdef HC_CAPTURE_RELAX_BEGIN
  hostcache_status status;
  *mode = 0;
  status = HC_I(call_relax_begin)(self, mode);
  if (status.outcome == HOSTCACHE_DONE) return status;
  HC_I(tell)(self, HOSTCACHE_ERR_HOOK, status.code,
             "HC_CAPTURE_RELAX_BEGIN failed: the hook that it stands before is not called", NULL);
  return hostcache_failed(status.code);
#else
  (void)self;
  (void)mode;
  return hostcache_done();
#endif
}

HOSTCACHE_INLINE void HC_I(relax_end)(HC_CACHE *self, uint64_t *mode) {
#ifdef HC_CAPTURE_RELAX_BEGIN
  const hostcache_status status = HC_I(call_relax_end)(self, mode);
  if (status.outcome != HOSTCACHE_DONE)
    HC_I(tell)(self, HOSTCACHE_ERR_HOOK, status.code, "HC_CAPTURE_RELAX_END failed", NULL);
#else
  (void)self;
  (void)mode;
#endif
}

/* Gives memory to the runtime. 0, or -1 if the free hook failed: on_error was told, and the memory
   is to be counted as leaked. */
HOSTCACHE_UNUSED static int HC_I(memory_give_back)(HC_CACHE *self, void *ptr, size_t size,
                                                   hostcache_pool_id pool,
                                                   HC_RUNTIME *runtime) {
  uint64_t began, mode;
  hostcache_status status;
  HC_I(trace_segment)(self, HOSTCACHE_TRACE_SEGMENT_FREE, ptr, size, pool);
  began = hostcache_now_ns();
  status = HC_I(relax_begin)(self, &mode);
  if (status.outcome == HOSTCACHE_DONE) {
    status = HC_I(call_mem_free)(self, ptr, size, runtime);
    HC_I(relax_end)(self, &mode);
    HC_I(count_call)(self, &self->stats.num_mem_free, &self->stats.mem_free_time, began);
  }
  if (status.outcome == HOSTCACHE_DONE) return 0;
  HC_I(tell)(self, HOSTCACHE_ERR_LEAKED, status.code,
             "HC_MEM_FREE failed: the segment is counted as leaked and not tried again", ptr);
  return -1;
}

/* Takes a segment that is one range out of both indexes. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(segment_unlist)(HC_CACHE *self, HC_SEGMENT *segment) {
  HC_BLOCK *range = segment->first;
  hostcache_tree_remove(&self->by_address, &segment->by_address);
  if (range->is_indexed) hostcache_index_remove(&self->index, (size_t)range->ptr);
  range->is_indexed = 0;
}

/* A segment's memory is not held any more: the records of it and its one range are spare.
   segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(segment_retire)(HC_CACHE *self, HC_BLOCK *range) {
  HC_SEGMENT *segment = range->segment;
  HC_I(retire)(self, range, 0);
  HC_I(count_segment)(self, segment->size, 0);
  HC_COLUMN(segment, self, segment->kind, segment->size, 0);
  self->claimed -= segment->size;
  segment->first = NULL;
  segment->next = self->spares.segments;
  self->spares.segments = segment;
}

/* Takes an idle segment out of everything: its one range is LEAVING, and the caller's. The range
   leaves the index before it is given back, as the runtime may give the address to another thread
   at once. segments_lock is held. */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(segment_evict)(HC_CACHE *self, HC_SEGMENT *segment) {
  HC_BLOCK *range = segment->first;
  HC_I(heap_remove)(self, HC_I(heap_of)(self, range), range);
  HC_I(count_ready)(self, range, 0);
  HC_I(segment_unlist)(self, segment);
  self->returning += segment->size;
  HC_I(set_state)(range, HOSTCACHE_LEAVING);
  HC_I(pool_part)(segment); /* whatever comes of it */
  return range;
}

/* A range is LEAKED from now on. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(leak)(HC_CACHE *self, HC_BLOCK *range) {
  HC_I(set_state)(range, HOSTCACHE_LEAKED);
  HC_I(stat_move)(&self->stats.leaked, &self->stats.leaked_bytes, 0, 1, range->size);
}

/* Gives an evicted segment's memory to the runtime. 0, or -1 if the free hook failed. */
HOSTCACHE_UNUSED static int HC_I(segment_give_back)(HC_CACHE *self, HC_BLOCK *range) {
  HC_SEGMENT *segment = range->segment;
  int failed;
  HC_GUARD_LEAVE(self, range);
  failed = HC_I(memory_give_back)(self, segment->ptr, segment->size, HC_I(was_of)(segment),
                                  &segment->runtime);
  hostcache_lock(&self->segments_lock);
  self->returning -= segment->size;
  if (failed)
    HC_I(leak)(self, range);
  else
    HC_I(segment_retire)(self, range);
  hostcache_unlock(&self->segments_lock);
  return failed;
}

/* Gives the segment back that has been idle for longest. segments_lock is held, but let go around
   the hook. 0 if none is idle. */
HOSTCACHE_UNUSED static int HC_I(give_back_oldest)(HC_CACHE *self, int *leaked) {
  HC_BLOCK *range;
  if (!self->idle_first) return 0;
  range = HC_I(segment_evict)(self, self->idle_first);
  hostcache_unlock(&self->segments_lock);
  if (HC_I(segment_give_back)(self, range)) *leaked = 1;
  hostcache_lock(&self->segments_lock);
  return 1;
}

/* What is wrong with memory that HC_MEM_ALLOC gave, or NULL. *give_back: it is wrong, but is not in
   use, so that it can go back. segments_lock is held. */
HOSTCACHE_RARE static const char *HC_I(memory_fault)(HC_CACHE *self, const void *ptr,
                                                       size_t size, int *give_back) {
  *give_back = 0;
  if (!ptr) return "HC_MEM_ALLOC said done and gave NULL";
  if ((size_t)ptr > SIZE_MAX - size)
    return "HC_MEM_ALLOC gave memory that wraps around the address space";
  if (HC_I(overlaps)(self, ptr, size))
    return "HC_MEM_ALLOC gave memory that overlaps a live segment; it was not given back, as it is "
           "in use";
  *give_back = 1;
  if ((uint64_t)((size_t)ptr + (size - 1)) >> HOSTCACHE_ADDRESS_BITS)
    return "HC_MEM_ALLOC gave memory above 2^57, where no address is looked for; it goes back";
  if (((size_t)ptr & (self->config.alignment - 1)) == 0) return NULL;
  return "HC_MEM_ALLOC gave memory that is not aligned as asked; it goes back";
}

/* Gets memory, on this node if one is said. */
HOSTCACHE_UNUSED static hostcache_status HC_I(call_for_memory)(HC_CACHE *self, size_t size,
                                                               int32_t node, void **ptr,
                                                               HC_RUNTIME *runtime) {
#ifdef HC_MEM_ALLOC_ON_NODE
  if (node != HOSTCACHE_NODE_ANY)
    return HC_I(call_mem_alloc_on_node)(self, size, node, ptr, runtime);
#endif
  (void)node;
  return HC_I(call_mem_alloc)(self, size, ptr, runtime);
}

/* Gets memory from the hook that is as it should be. segments_lock is held on success, so that no
   other segment can come between the check and the entry into the index. *left: the memory is
   wrong, and the free hook did not take it back. */
HOSTCACHE_UNUSED static hostcache_result HC_I(memory_get)(HC_CACHE *self, size_t size,
                                                          const HC_POOL *pool, int32_t node,
                                                          void **ptr,
                                                          HC_RUNTIME *runtime,
                                                          hostcache_status *status, int *left) {
  const char *fault;
  uint64_t began = hostcache_now_ns(), mode;
  int give_back;
  *ptr = NULL;
  *left = 0;
  memset((void *)runtime, 0, sizeof *runtime);
  *status = HC_I(relax_begin)(self, &mode);
  if (status->outcome == HOSTCACHE_DONE) {
    *status = HC_I(call_for_memory)(self, size, node, ptr, runtime);
    HC_I(relax_end)(self, &mode);
    HC_I(count_call)(self, &self->stats.num_mem_alloc, &self->stats.mem_alloc_time, began);
  }
  if (status->outcome != HOSTCACHE_DONE) return HOSTCACHE_ERR_OUT_OF_MEMORY;
  if (*ptr)
    HC_I(trace_segment)(self, HOSTCACHE_TRACE_SEGMENT_ALLOC, *ptr, size, HC_I(pool_id)(pool));

  hostcache_lock(&self->segments_lock);
  fault = HC_I(memory_fault)(self, *ptr, size, &give_back);
  if (!fault) return HOSTCACHE_OK;
  hostcache_unlock(&self->segments_lock);
  HC_I(tell)(self, HOSTCACHE_ERR_CORRUPT, 0, fault, *ptr);
  if (give_back)
    *left = HC_I(memory_give_back)(self, *ptr, size, HC_I(pool_id)(pool), runtime);
  return HOSTCACHE_ERR_CORRUPT;
}

/* Sets aside what a segment needs: records for it, for its range and for what is over of it, and
   shelves for the address of one block, anywhere. Before anything is given back or asked for, so
   that nothing can fail for want of them later. segments_lock is held, but let go around malloc. 0,
   and the lock is not held: there was no memory, and on_error was told. */
HOSTCACHE_UNUSED static int HC_I(spares_for_segment)(HC_CACHE *self, HC_SPARES *spares) {
  const size_t low = self->index.shift < HOSTCACHE_PAGE_SHIFT;
  const HC_NEEDS needs = {HC_DIVISIONS + 1, 1, {HOSTCACHE_SHELVES_MAX, low}};
  int let_go;
  memset((void *)spares, 0, sizeof *spares);
  if (!HC_I(spares_fill)(self, &needs, &let_go)) return 0;
  HC_I(spares_move)(&self->spares, spares, &needs);
  return 1;
}

/* Gets a segment of `size` bytes, which the caller has claimed: its one range is LEAVING, and the
   caller's. segments_lock is held after OK, and not after an error, which gives the claim up.
   OUT_OF_MEMORY: *status is what HC_MEM_ALLOC said, and the caller tells on_error; the other errors
   were told. `spares` has what spares_for_segment set aside. */
HOSTCACHE_UNUSED static hostcache_result HC_I(segment_get)(HC_CACHE *self, size_t size, int kind,
                                                           HC_POOL *pool, int32_t node,
                                                           HC_SPARES *spares, HC_BLOCK **out,
                                                           hostcache_status *status) {
  HC_SEGMENT *segment = spares->segments;
  hostcache_result result;
  HC_BLOCK *range;
  void *ptr;
  int left;

  result = HC_I(memory_get)(self, size, pool, node, &ptr, &segment->runtime, status, &left);
  if (result != HOSTCACHE_OK) hostcache_lock(&self->segments_lock);
  if (result != HOSTCACHE_OK && !left) {
    self->claimed -= size;
    hostcache_unlock(&self->segments_lock);
    return result;
  }
  range = HC_I(spare_take)(spares);
  spares->segments = NULL;
  segment->next = NULL;
  segment->ptr = ptr;
  segment->size = size;
  segment->kind = kind;
#ifdef HC_MEM_ALLOC_ON_NODE
  segment->node = node;
#endif
  HC_I(pool_join)(self, segment, left ? NULL : pool);
  segment->first = range;
  HC_I(count_segment)(self, size, 1);
  HC_COLUMN(segment, self, kind, size, 1);
  range->segment = segment;
  range->kind = (uint8_t)kind;
  HC_I(place)(range, ptr, size);
  range->left = NULL;
  range->right = NULL;
  HC_I(set_state)(range, HOSTCACHE_LEAVING);
  if (left) {
    HC_I(leak)(self, range);
    hostcache_unlock(&self->segments_lock);
    return result;
  }
  hostcache_tree_add(&self->by_address, &segment->by_address, (size_t)ptr, segment);
  HC_GUARD_RANGE(range);
  *out = range;
  return HOSTCACHE_OK;
}

/* Finding. */

/* The active block that `ptr` lies in, without a lock. If what is found gets another place while it
   is looked at, its life has changed before: it was freed meanwhile. What lies in a block that
   stays active is found at once. */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(active_at)(const HC_CACHE *self, const void *ptr) {
  HC_BLOCK *block = (HC_BLOCK *)hostcache_index_floor(&self->index, (size_t)ptr);
  size_t life, start, size;
  if (!block) return NULL;
  life = hostcache_size_load_acquire(&block->life);
  start = (size_t)hostcache_ptr_load_acquire(&block->ptr);
  size = hostcache_size_load_acquire(&block->size);
  if ((life & HOSTCACHE_STATE_MASK) != HOSTCACHE_ACTIVE) return NULL;
  if ((size_t)ptr - start >= size) return NULL; /* also of what lies before it, which wraps */
  return hostcache_size_load_relaxed(&block->life) == life ? block : NULL;
}

/* Does a block, of which nothing is held, begin at `ptr`? A pointer that is wrong may lie in one
   that others free meanwhile, and whose record they take for another: that is told when it is asked
   after the block's state, which is read with acquire. */
HOSTCACHE_INLINE int HC_I(begins_at)(const HC_BLOCK *block, const void *ptr) {
  return hostcache_ptr_load_relaxed(&block->ptr) == ptr;
}

/* The block that begins at `ptr` by the index, as this thread knows it; or NULL. A pointer that is
   the caller's is of one that is active, and stays in its place. */
HOSTCACHE_INLINE HC_BLOCK *HC_I(indexed_at)(HC_CACHE *self, hostcache_leaves *leaves,
                                            const void *ptr) {
  return (HC_BLOCK *)hostcache_index_start(&self->index, leaves, (size_t)ptr);
}

#ifdef HC_OWN_SEGMENTS

/* Whose is an address, among all caches of this name? They stand in a list. Who looks through it
   keeps them all from ending; who has found one keeps that one from ending, as a borrower, and lets
   the list go, as hooks may be called then. */

static HC_CACHE *HC_I(instances);     /* LOCK: hostcache_owners_lock, as the next line */
static unsigned HC_I(instances_from); /* the process that made them */

/* A cache comes. Those that a parent made are none in its child. */
HOSTCACHE_RARE static void HC_I(instance_add)(HC_CACHE *self) {
  hostcache_lock(&hostcache_owners_lock);
  if (HC_I(instances_from) != self->process) HC_I(instances) = NULL;
  HC_I(instances_from) = self->process;
  self->next_instance = HC_I(instances);
  HC_I(instances) = self;
  hostcache_unlock(&hostcache_owners_lock);
}

/* A cache is about to end. At the return nobody has it who found it in the list. */
HOSTCACHE_RARE static void HC_I(instance_remove)(HC_CACHE *self) {
  HC_CACHE **at = &HC_I(instances);
  unsigned attempt = 0;
  hostcache_lock(&hostcache_owners_lock);
  while (*at != self) at = &(*at)->next_instance;
  *at = self->next_instance;
  while (self->borrowers > 0) {
    hostcache_unlock(&hostcache_owners_lock);
    hostcache_pause(attempt++);
    hostcache_lock(&hostcache_owners_lock);
  }
  hostcache_unlock(&hostcache_owners_lock);
}

/* Does this address lie in memory of the cache? */
HOSTCACHE_UNUSED static int HC_I(owns)(HC_CACHE *self, const void *ptr) {
  int has;
  hostcache_lock(&self->segments_lock);
  has = HC_I(overlaps)(self, ptr, 1);
  hostcache_unlock(&self->segments_lock);
  return has;
}

/* The cache in whose memory this address lies, or NULL; it is borrowed. FORKED: they are all of the
   parent. */
HOSTCACHE_UNUSED static hostcache_result HC_I(owner_borrow)(const void *ptr, HC_CACHE **owner) {
  hostcache_result result = HOSTCACHE_OK;
  *owner = NULL;
  hostcache_lock(&hostcache_owners_lock);
  if (HC_I(instances) && HC_I(instances_from) != hostcache_process())
    result = HOSTCACHE_ERR_FORKED;
  else
    *owner = HC_I(instances);
  while (*owner && !HC_I(owns)(*owner, ptr)) *owner = (*owner)->next_instance;
  if (*owner) (*owner)->borrowers++;
  hostcache_unlock(&hostcache_owners_lock);
  return result;
}

/* A borrower is through with it. */
HOSTCACHE_UNUSED static void HC_I(owner_return)(HC_CACHE *owner) {
  hostcache_lock(&hostcache_owners_lock);
  owner->borrowers--;
  hostcache_unlock(&hostcache_owners_lock);
}

#endif

/* Visits the records of all blocks, also spare ones, without a lock: start with *slab and *i of 0.
   NULL at the end. Records that are added meanwhile are not seen. */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(next_block)(HC_CACHE *self, HC_SLAB **slab, unsigned *i) {
  if (!*slab)
    *slab = (HC_SLAB *)hostcache_ptr_load_acquire(&self->slabs);
  else if (*i == HC_RECORDS) {
    *slab = (*slab)->next;
    *i = 0;
  }
  if (!*slab) return NULL;
  return HC_I(slab_block)(*slab, (*i)++);
}

/* ---- 10. BINS -----------------------------------------------------------------------------------
   Lists of ready blocks that are not made one with their neighbours, by class: the stock of each
   thread, which it takes from and puts into without a lock, and the shared bins, with which the
   stocks trade in batches. A thread that frees blocks of a class and gets none passes them on as
   soon as they are a batch; and for a while in smaller batches, if others had to gather them
   nevertheless. Then what takes from the shared lists, and keeps what is held within its bounds:
   the cap, the bound on what is idle, and, before more is asked for, what was held before. */

/* Holding threads. */

/* All records but the common one. They are never unlinked, so whoever has one can go on from it. */
HOSTCACHE_UNUSED static HC_THREAD *HC_I(threads)(const HC_CACHE *self) {
  return (HC_THREAD *)hostcache_ptr_load_acquire(&self->threads);
}

/* This thread's own record, if the table knows it; else NULL. */
HOSTCACHE_INLINE HC_THREAD *HC_I(own)(const HC_CACHE *self) {
  const hostcache_here *here = hostcache_here_at(self->here_place);
  return here->cache == self->number ? (HC_THREAD *)here->thread : NULL;
}

/* The same, or the common record. Gets no memory. */
HOSTCACHE_UNUSED static HC_THREAD *HC_I(here_already)(HC_CACHE *self) {
  HC_THREAD *own = HC_I(own)(self);
  return own ? own : &self->common;
}

/* Goes outside again. */
HOSTCACHE_INLINE void HC_I(lower)(HC_THREAD *thread) {
  hostcache_note_unlock(HOSTCACHE_RANK_THREAD);
  hostcache_u32_store_release(&thread->inside, 0);
}

/* The rest of going inside, where not all is clear: a fence is missing, or another thread says
   stop. */
HOSTCACHE_APART int HC_I(raise_apart)(HC_THREAD *thread) {
  if (hostcache_u32_load_acquire(&thread->stop) == HC_STOP_FENCE) {
    hostcache_raise_with_fence(&thread->inside);
    if (hostcache_u32_load_acquire(&thread->stop) == HC_STOP_FENCE) return 1;
  }
  HC_I(lower)(thread);
  return 0;
}

/* Goes inside of this thread's own record. 0 if another thread says stop: then it is outside. */
HOSTCACHE_INLINE int HC_I(raise)(HC_THREAD *thread) {
  hostcache_note_lock(HOSTCACHE_RANK_THREAD);
  hostcache_raise(&thread->inside);
  if (!HOSTCACHE_RARELY(hostcache_u32_load_acquire(&thread->stop))) return 1;
  return HC_I(raise_apart)(thread);
}

/* Goes inside of this thread's own record, *thread: the way in of the hot path. 0 if the table does
   not know it, or another thread says stop. */
HOSTCACHE_INLINE int HC_I(raise_own)(const HC_CACHE *self, HC_THREAD **thread) {
  const hostcache_here *here = hostcache_here_at(self->here_place);
  if (HOSTCACHE_RARELY(here->cache != self->number)) return 0;
  *thread = (HC_THREAD *)here->thread;
  return HC_I(raise)(*thread);
}

/* Holds this thread's own record, or the common one. */
HOSTCACHE_APART void HC_I(begin)(const HC_CACHE *self, HC_THREAD *thread) {
  (void)self;
  if (thread->shared || !HC_I(raise)(thread)) hostcache_lock(&thread->lock);
}

HOSTCACHE_UNUSED static void HC_I(end)(HC_THREAD *thread) {
  if (hostcache_u32_load_relaxed(&thread->inside)) /* this thread's own: else it has the lock */
    HC_I(lower)(thread);
  else
    hostcache_unlock(&thread->lock);
}

/* Waits until a thread that was told to stop is not inside. It calls no hook there. */
HOSTCACHE_UNUSED static void HC_I(await)(HC_THREAD *thread) {
  unsigned attempt;
  for (attempt = 0; hostcache_u32_load_acquire(&thread->inside); attempt++)
    hostcache_pause(attempt);
}

/* Holds a thread's record, whosever it is. 0, or -1 if the system refuses the barrier: then it is
   not held. */
HOSTCACHE_UNUSED static int HC_I(seize)(HC_CACHE *self, HC_THREAD *thread) {
  hostcache_lock(&thread->lock);
  if (!thread->owned) return 0;
  hostcache_u32_store_relaxed(&thread->stop, thread->fence | HC_STOP);
  if (hostcache_heavy_barrier(self->asymmetric)) {
    hostcache_u32_store_release(&thread->stop, thread->fence);
    hostcache_unlock(&thread->lock);
    HC_I(count)(self, &self->stats.num_barriers_refused);
    return -1;
  }
  HC_I(await)(thread);
  return 0;
}

HOSTCACHE_UNUSED static void HC_I(release)(HC_THREAD *thread) {
  if (thread->owned) hostcache_u32_store_release(&thread->stop, thread->fence);
  hostcache_unlock(&thread->lock);
}

/* Either of them: `own` is this thread's. */
HOSTCACHE_UNUSED static int HC_I(hold)(HC_CACHE *self, HC_THREAD *thread, HC_THREAD *own) {
  if (thread != own) return HC_I(seize)(self, thread);
  HC_I(begin)(self, thread);
  return 0;
}

HOSTCACHE_UNUSED static void HC_I(let_go)(HC_THREAD *thread, HC_THREAD *own) {
  if (thread != own)
    HC_I(release)(thread);
  else
    HC_I(end)(thread);
}

HOSTCACHE_UNUSED static void HC_I(go_on)(HC_CACHE *self) {
  HC_THREAD *thread;
  hostcache_unlock(&self->common.lock);
  for (thread = HC_I(threads)(self); thread; thread = thread->next) HC_I(release)(thread);
  hostcache_unlock(&self->threads_lock);
}

/* Holds all records at once, at the cost of one barrier. 0, or -1 if the system refuses that: then
   none is held. The caller is not inside of its own. */
HOSTCACHE_UNUSED static int HC_I(stop)(HC_CACHE *self) {
  const HC_THREAD *own = HC_I(here_already)(self);
  HC_THREAD *thread;
  int others = 0, refused;
  hostcache_lock(&self->threads_lock);
  for (thread = HC_I(threads)(self); thread; thread = thread->next) {
    hostcache_lock_one_more(&thread->lock);
    if (!thread->owned) continue;
    hostcache_u32_store_relaxed(&thread->stop, thread->fence | HC_STOP);
    others |= thread != own;
  }
  refused = others && hostcache_heavy_barrier(self->asymmetric);
  for (thread = HC_I(threads)(self); thread && !refused; thread = thread->next)
    if (thread->owned) HC_I(await)(thread);
  hostcache_lock(&self->common.lock);
  if (!refused) return 0;
  HC_I(go_on)(self);
  HC_I(count)(self, &self->stats.num_barriers_refused);
  return -1;
}

/* The record that a block calls its home, held; NULL if the barrier was refused. A block has one
   since it was first handed out. */
HOSTCACHE_UNUSED static HC_THREAD *HC_I(hold_home)(HC_CACHE *self, HC_BLOCK *block,
                                                   HC_THREAD *own) {
  for (;;) {
    HC_THREAD *home = (HC_THREAD *)hostcache_ptr_load_acquire(&block->home);
    if (HC_I(hold)(self, home, own)) return NULL;
    if (hostcache_ptr_load_relaxed(&block->home) == (void *)home) return home;
    HC_I(let_go)(home, own);
  }
}

/* Trading. */

/* How much a thread may have in stock. Nothing where what is kept idle is bounded, as that bound is
   for all of it, or more is held than may be. segments_lock is held. */
HOSTCACHE_UNUSED static size_t HC_I(stock_limit)(const HC_CACHE *self) {
  const size_t given = self->config.thread_cache_bytes, part = self->claimed / HC_STOCK_PART;
  if (self->binned_max == 0 || self->max_cached != SIZE_MAX) return 0;
  if (self->claimed > self->max_reserved) return 0;
  if (given) return given;
  if (part < HC_STOCK_LEAST) return HC_STOCK_LEAST;
  return part < HC_STOCK_MOST ? part : HC_STOCK_MOST;
}

/* Puts a ready block into the stock of a thread. `number` and `size` are those of its class, which
   the caller has at hand. The thread is held. */
HOSTCACHE_INLINE void HC_I(stock_put)(HC_THREAD *thread, HC_BLOCK *block, unsigned number,
                                      size_t size) {
  HC_BIN *bin = &thread->bins[number];
  block->next = bin->top;
  bin->top = block;
  bin->put++;
  HC_COLUMN(put, bin, block);
  thread->stock_bytes += size;
}

/* Takes a ready block of a class out of it, and hands it out. NULL if there is none. The thread is
   held. */
HOSTCACHE_INLINE HC_BLOCK *HC_I(stock_take)(HC_CACHE *self, HC_THREAD *thread, size_t class_number,
                                            size_t requested) {
  HC_BIN *bin = &thread->bins[class_number];
  HC_BLOCK *block = bin->top;
  if (!block) return NULL;
  bin->top = block->next;
  bin->got++;
  thread->stock_bytes -= self->class_size[class_number];
  thread->requested.in_bytes = HC_I(sum)(thread->requested.in_bytes, (int64_t)requested);
  HC_COLUMN(got, thread, bin, block, requested);
  block->requested = requested;
  hostcache_size_store_release(&block->life, block->life + (HOSTCACHE_STATE_MASK + 1) +
                                                 HOSTCACHE_ACTIVE - HOSTCACHE_STOCKED);
  return block;
}

/* Takes up to a batch of a class, of which there are some, out of a stock, linked by next. *count:
   how many. The thread is held. */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(stock_pull)(HC_CACHE *self, HC_THREAD *thread,
                                                   size_t class_number, unsigned *count) {
  HC_BIN *bin = &thread->bins[class_number];
  HC_BLOCK *chain = bin->top, *last = chain;
  HOSTCACHE_ASSERT(chain);
  for (*count = 1; *count < HC_BATCH && last->next; ++*count) last = last->next;
  bin->top = last->next;
  bin->traded -= *count;
  HC_COLUMN(traded, bin, chain, *count, -1);
  thread->stock_bytes -= *count * self->class_size[class_number];
  last->next = NULL;
  return chain;
}

/* Makes the blocks of a chain ready for all sizes. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(chain_ready)(HC_CACHE *self, HC_BLOCK *chain, int was_lent) {
  HC_BLOCK *next;
  for (; chain; chain = next) {
    next = chain->next;
    chain->next = NULL;
    if (was_lent) HC_I(count_lent)(self, chain, 1, 0);
    HC_I(make_ready)(self, chain);
  }
}

/* Gives up to a batch of a class from a stock to the shared lists: to the bin, if there are `least`
   of them and the bins do not hold much as it is. Returns how many. The thread and segments_lock
   are held. */
HOSTCACHE_UNUSED static unsigned HC_I(stock_give)(HC_CACHE *self, HC_THREAD *thread,
                                                  size_t class_number, unsigned least) {
  unsigned count, i;
  HC_BLOCK *batch = HC_I(stock_pull)(self, thread, class_number, &count), *block = batch, *next;
  const size_t bytes = count * self->class_size[class_number];
  if (count < least || self->binned_bytes + bytes > self->claimed / HC_BINNED_PART ||
      HC_I(stock_limit)(self) == 0) {
    HC_I(chain_ready)(self, batch, 1);
    return count;
  }
  HC_I(count_lent)(self, batch, count, 0);
  HC_COLUMN(binned, self, batch, count, 1);
  for (i = 0; i < count; block = next, i++) {
    next = block->next; /* the first one's is about to be the next batch */
    batch->in.batch.blocks[i] = block;
  }
  batch->in.batch.count = count;
  batch->next = self->batches[class_number];
  self->batches[class_number] = batch;
  self->binned_bytes += bytes;
  if (self->binned_bytes > self->binned_peak) self->binned_peak = self->binned_bytes;
  return count;
}

/* Takes a batch out of a shared bin, linked by next; NULL if there is none. segments_lock is
   held. */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(batch_take)(HC_CACHE *self, size_t class_number) {
  HC_BLOCK *batch = self->batches[class_number];
  unsigned i, count;
  if (!batch) return NULL;
  count = batch->in.batch.count;
  self->batches[class_number] = batch->next;
  self->binned_bytes -= count * self->class_size[class_number];
  for (i = 0; i < count; i++)
    batch->in.batch.blocks[i]->next = i + 1 < count ? batch->in.batch.blocks[i + 1] : NULL;
  HC_COLUMN(binned, self, batch, count, 0);
  return batch;
}

/* Looks anew how much a thread may have in stock. The thread and segments_lock are held. */
HOSTCACHE_UNUSED static void HC_I(stock_bound)(HC_CACHE *self, HC_THREAD *thread) {
  if (thread->mark > thread->most) thread->most = thread->mark;
  thread->limit = HC_I(stock_limit)(self);
  if (thread->mark > thread->limit) thread->mark = thread->limit;
}

/* Gives batches away, of all classes in turn, until there is room for so many bytes. The thread and
   segments_lock are held. */
HOSTCACHE_UNUSED static void HC_I(stock_sweep)(HC_CACHE *self, HC_THREAD *thread, size_t room) {
  for (; thread->stock_bytes > thread->limit - room; thread->sweep = (thread->sweep + 1) % HC_BINS)
    if (thread->bins[thread->sweep].top)
      (void)HC_I(stock_give)(self, thread, thread->sweep, HC_BATCH);
}

/* Does this thread only free blocks of this class, and has a batch of them? Where it got some since
   this was last asked, the class may first grow by four batches. The thread is held. */
HOSTCACHE_UNUSED static int HC_I(only_frees)(HC_BIN *bin) {
  const int64_t count = bin->put + bin->traded - bin->got;
  if (bin->got == bin->got_seen) return count >= HC_BATCH + bin->extra;
  bin->got_seen = bin->got;
  bin->extra = count + 3 * HC_BATCH;
  return 0;
}

/* A thread that only frees blocks of a class gave so many of them away, which it freed last. If
   they are fewer than a batch, as others wanted them (stock_stint), it is half way back to one with
   each HC_EASE blocks: else every few of them would cost a lock for ever, and a gather that comes
   so rarely costs next to nothing. The thread is held. */
HOSTCACHE_UNUSED static void HC_I(stock_ease)(HC_BIN *bin, unsigned count) {
  if (count < HC_BATCH && bin->put % HC_EASE < count) bin->extra /= 2;
}

/* The stock is larger than it ever was. If that is by a block of a class (not HC_NO_BIN) that this
   thread only frees, it gives a batch of them to those that get them. Else it is noted, or, above
   the limit, batches are given away. The thread is held. */
HOSTCACHE_APART void HC_I(stock_over)(HC_CACHE *self, HC_THREAD *thread, size_t class_number) {
  const int gives = class_number != HC_NO_BIN && HC_I(only_frees)(&thread->bins[class_number]);
  if (!gives && thread->stock_bytes <= thread->limit) {
    thread->mark = thread->stock_bytes;
    return;
  }
  hostcache_lock(&self->segments_lock);
  HC_I(stock_bound)(self, thread);
  if (gives) {
    const unsigned count = HC_I(stock_give)(self, thread, class_number, 1);
    HC_I(stock_ease)(&thread->bins[class_number], count);
  }
  if (thread->stock_bytes > thread->limit) thread->mark = thread->limit;
  HC_I(stock_sweep)(self, thread, 0);
  if (thread->stock_bytes > thread->mark) thread->mark = thread->stock_bytes; /* a new limit */
  hostcache_unlock(&self->segments_lock);
}

/* Takes a batch out of a shared bin for a stock, and makes room for it there. NULL if there is none
   or it would be too large. The thread and segments_lock are held. */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(batch_for_stock)(HC_CACHE *self, HC_THREAD *thread,
                                                        size_t class_number) {
  const size_t bytes = HC_BATCH * self->class_size[class_number];
  HC_BLOCK *batch = bytes <= thread->limit ? HC_I(batch_take)(self, class_number) : NULL;
  if (!batch) return NULL;
  HC_I(count_lent)(self, batch, batch->in.batch.count, 1);
  HC_I(stock_sweep)(self, thread, bytes);
  return batch;
}

/* Puts it there. The thread is held. */
HOSTCACHE_UNUSED static void HC_I(stock_fill)(HC_CACHE *self, HC_THREAD *thread,
                                              size_t class_number, HC_BLOCK *block) {
  HC_BIN *bin = &thread->bins[class_number];
  HC_BLOCK *next;
  for (; block; block = next) {
    next = block->next;
    hostcache_ptr_store_release(&block->home, thread); /* as of all that a stock has */
    block->next = bin->top;
    bin->top = block;
    bin->traded++;
    HC_COLUMN(traded, bin, block, 1, 1);
    thread->stock_bytes += self->class_size[class_number];
  }
  if (thread->stock_bytes > thread->mark) thread->mark = thread->stock_bytes;
}

/* Makes all that a thread has in stock ready for all sizes. The thread and segments_lock are
   held. */
HOSTCACHE_UNUSED static void HC_I(stock_empty)(HC_CACHE *self, HC_THREAD *thread) {
  size_t bin;
  unsigned count;
  for (bin = 0; bin < HC_BINS && thread->stock_bytes > 0; bin++)
    while (thread->bins[bin].top)
      HC_I(chain_ready)(self, HC_I(stock_pull)(self, thread, bin, &count), 1);
}

/* The same for the shared bins. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(bins_empty)(HC_CACHE *self) {
  size_t bin;
  for (bin = 0; bin < HC_BINS && self->binned_bytes > 0; bin++)
    while (self->batches[bin]) HC_I(chain_ready)(self, HC_I(batch_take)(self, bin), 0);
}

/* All stocks and bins. segments_lock is held, and all threads are, or nobody else uses the cache.
   */
HOSTCACHE_UNUSED static void HC_I(all_empty)(HC_CACHE *self) {
  HC_THREAD *thread = HC_I(threads)(self);
  HC_I(bins_empty)(self);
  for (; thread; thread = thread->next) HC_I(stock_empty)(self, thread);
  HC_I(stock_empty)(self, &self->common);
}

/* Another thread wants what this one has in stock. Of the classes that it only frees it gives away
   half as many at a time, down to each block at once, until stock_ease has it come back: else,
   where just as many are freed as are wanted until the next gather, each of them would be gathered.
   The thread is held. */
HOSTCACHE_UNUSED static void HC_I(stock_stint)(HC_THREAD *thread) {
  size_t i;
  for (i = 0; i < HC_BINS; i++) {
    HC_BIN *bin = &thread->bins[i];
    if (!bin->top || bin->got != bin->got_seen) continue;
    bin->extra = (HC_BATCH + bin->extra + 1) / 2 - HC_BATCH;
    if (thread->mark > thread->most) thread->most = thread->mark;
    thread->mark = 0; /* so that the next block is looked at */
  }
}

/* Makes all ready blocks ready for all sizes, wherever they are: also those of threads that sleep.
   If the system refuses the barrier, the stocks of other threads stay, and a counter says so. */
HOSTCACHE_UNUSED static void HC_I(gather)(HC_CACHE *self) {
  const HC_THREAD *own = HC_I(here_already)(self);
  HC_THREAD *thread;
  const int refused = HC_I(stop)(self);
  hostcache_lock(&self->segments_lock);
  if (refused) {
    HC_I(bins_empty)(self);
  } else {
    for (thread = HC_I(threads)(self); thread; thread = thread->next)
      if (thread != own) HC_I(stock_stint)(thread);
    HC_I(all_empty)(self);
    for (thread = HC_I(threads)(self); thread; thread = thread->next)
      HC_I(stock_bound)(self, thread);
  }
  if (!self->common.shared) /* no threads, so that nobody can refuse them */
    HC_I(stock_bound)(self, &self->common);
  hostcache_unlock(&self->segments_lock);
  if (!refused) HC_I(go_on)(self);
}

/* Coming and going. */

/* A thread ends: what it has in stock is everybody's. Its queues go on, and are polled by others.
   */
HOSTCACHE_UNUSED static void HC_I(leave)(hostcache_guest *guest) {
  HC_THREAD *thread = (HC_THREAD *)(void *)guest;
  HC_CACHE *self = thread->cache;
  hostcache_lock(&thread->lock);
  hostcache_lock(&self->segments_lock);
  HC_I(stock_empty)(self, thread);
  hostcache_unlock(&self->segments_lock);
  thread->owned = 0;
  hostcache_unlock(&thread->lock);
}

/* The record of a thread that has ended, now this thread's, or NULL. */
HOSTCACHE_UNUSED static HC_THREAD *HC_I(thread_reuse)(HC_CACHE *self) {
  HC_THREAD *thread, *found = NULL;
  hostcache_lock(&self->threads_lock);
  for (thread = HC_I(threads)(self); thread && !found; thread = thread->next) {
    hostcache_lock(&thread->lock);
    if (!thread->owned) {
      thread->owned = 1;
      found = thread;
    }
    hostcache_unlock(&thread->lock);
  }
  hostcache_unlock(&self->threads_lock);
  return found;
}

/* A new record, or NULL if there is no memory for one. */
HOSTCACHE_UNUSED static HC_THREAD *HC_I(thread_new)(HC_CACHE *self) {
  HC_THREAD *thread = (HC_THREAD *)HOSTCACHE_MALLOC(sizeof *thread);
  if (!thread) return NULL;
  memset((void *)thread, 0, sizeof *thread);
  if (hostcache_mutex_init(&thread->lock, HOSTCACHE_RANK_THREAD)) {
    HOSTCACHE_FREE(thread);
    return NULL;
  }
  thread->cache = self;
  thread->owned = 1;
  thread->loose.poll_at = HC_POLL_EVERY;
  thread->guest.cache = self->number;
  thread->guest.leave = HC_I(leave);
  thread->fence = self->asymmetric ? 0 : HC_STOP_FENCE;
  hostcache_lock(&self->threads_lock);
  if (HC_I(is_detoured)(self)) thread->fence |= HC_STOP_DETOUR;
  thread->stop = thread->fence;
  hostcache_lock(&self->segments_lock); /* so that a bound that changes now finds the record */
  thread->limit = HC_I(stock_limit)(self);
  hostcache_unlock(&self->segments_lock);
  thread->next = HC_I(threads)(self);
  hostcache_ptr_store_release(&self->threads, thread);
  hostcache_unlock(&self->threads_lock);
  return thread;
}

/* This thread's record, where the table does not know it. The common one, if there are no stocks or
   it cannot have one: so a failure is none. */
HOSTCACHE_APART HC_THREAD *HC_I(settle_in)(HC_CACHE *self) {
  hostcache_here *here = hostcache_here_at(self->here_place);
  HC_THREAD *thread;
  if (self->binned_max == 0) return &self->common;
  if (HOSTCACHE_THREADS == HOSTCACHE_THREADS_NONE) {
    thread = &self->common; /* as good as this thread's own */
  } else {
    thread = (HC_THREAD *)(void *)hostcache_guest_find(self->number);
    if (!thread && hostcache_guests_can_be_told()) {
      thread = HC_I(thread_reuse)(self);
      if (!thread) thread = HC_I(thread_new)(self);
      if (thread && hostcache_guest_add(&thread->guest)) {
        hostcache_lock(&thread->lock);
        thread->owned = 0;
        hostcache_unlock(&thread->lock);
        thread = NULL;
      }
    }
    if (!thread) return &self->common;
  }
  here->cache = self->number;
  here->thread = thread;
  return thread;
}

/* This thread's record. */
HOSTCACHE_INLINE HC_THREAD *HC_I(here)(HC_CACHE *self) {
  HC_THREAD *own = HC_I(own)(self);
  return HOSTCACHE_RARELY(!own) ? HC_I(settle_in)(self) : own;
}

/* The shared lists. */

/* The bin that a block goes to when it is free again: one of a class, if it is a part of a segment.
   What is a segment of its own goes back to the heaps, so that it can go further. segments_lock is
   held. */
HOSTCACHE_UNUSED static uint8_t HC_I(bin_of)(const HC_CACHE *self, const HC_BLOCK *range) {
  size_t number;
  if (range->size > self->binned_max || HC_I(is_whole)(range)) return HC_NO_BIN;
  if (HC_I(pool_of)(range->segment) || HC_I(order_of)(range))
    return HC_NO_BIN; /* a stock is shared by all allocations */
  number = HC_I(class_of)(self, range->size);
  HOSTCACHE_ASSERT(self->class_size[number] == range->size); /* it was cut for a request */
  return (uint8_t)number;
}

/* Makes a range, which is in no heap and larger, one of `size` bytes, and what is over ready. The
   spares have a block. segments_lock is held. */
HOSTCACHE_INLINE void HC_I(split)(HC_CACHE *self, HC_SPARES *spares, HC_BLOCK *range,
                                  size_t size) {
  HC_BLOCK *rest = HC_I(carve)(spares, range, size);
  HC_I(heap_add)(self, HC_I(heap_of)(self, range), rest);
  HC_I(count_ready)(self, rest, 1);
  if (!range->left && !rest->right) /* else there is no more that is ready than before */
    HC_I(note_ready)(self);
}

/* Makes a range, which is in no heap, one of `size` bytes that the index knows. What is over
   becomes ready; `spares` has the records for that. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(cut)(HC_CACHE *self, HC_SPARES *spares, HC_BLOCK *range,
                                       size_t size, size_t requested) {
  if (range->size > size && HC_I(may_split)(self, range))
    HC_I(split)(self, spares, range, size);
  if (!range->is_indexed) {
    hostcache_index_add(&self->index, (size_t)range->ptr, range, &spares->shelves);
    range->is_indexed = 1;
  }
  range->requested = requested;
}

/* Divides a range, which is in no heap, before the first address that is aligned as wanted. What is
   before that becomes ready. Returns the rest. segments_lock is held. */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(align_range)(HC_CACHE *self, HC_SPARES *spares,
                                                    HC_BLOCK *range, const HC_WANT *want) {
  const size_t ahead = HC_I(ahead)(range, HC_I(alignment_of)(want));
  HC_BLOCK *rest;
  if (ahead == 0) return range;
  rest = HC_I(carve)(spares, range, ahead);
  HC_I(set_state)(range, HOSTCACHE_CACHED);
  HC_I(heap_add)(self, HC_I(heap_of)(self, range), range);
  HC_I(count_ready)(self, range, 1);
  return rest;
}

/* Hands a range, which is in no heap, to this thread as the block that it wants, LEAVING; with the
   rest as by cut. Returns the block. segments_lock is held. */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(hand_out)(HC_CACHE *self, HC_SPARES *spares,
                                                 HC_BLOCK *range, const HC_WANT *want) {
  HC_BLOCK *const whole = range;
  range = HC_I(align_range)(self, spares, whole, want);
  HC_I(cut)(self, spares, range, want->size, want->requested);
  if (range != whole) HC_I(note_ready)(self); /* two are, perhaps, where one was */
  HC_I(set_order)(range, want->order); /* after the rest has become ready, for whom it was */
  if (want->state == HOSTCACHE_ACTIVE) {
    range->bin = HC_I(bin_of)(self, range);
    HC_I(count_lent)(self, range, 1, 1);
  }
  HC_I(set_state)(range, HOSTCACHE_LEAVING);
  return range;
}

/* A block that was handed to this thread is the user's from now on. */
HOSTCACHE_UNUSED static void HC_I(activate)(HC_CACHE *self, HC_THREAD *thread, HC_BLOCK *block,
                                            const HC_WANT *want) {
  HC_I(begin)(self, thread);
  hostcache_ptr_store_release(&block->home, thread);
  HC_I(turn)(self, thread, block, HOSTCACHE_ACTIVE);
  HC_I(note_capture)(block, want);
#ifdef HC_STREAM_ORDERED
  if (want->order) HC_I(order_mark)(block, want->order->lane);
#endif
  HC_I(end)(thread);
}

/* The ready range of these heaps that serves a want best, or NULL. segments_lock is held. */
HOSTCACHE_INLINE HC_BLOCK *HC_I(choose_of)(HC_CACHE *self, const HC_HEAP *heaps,
                                           const HC_WANT *want) {
#ifdef HC_ALLOC_EX
  if (HC_I(alignment_of)(want) > 1 || HC_I(node_of)(want) != HOSTCACHE_NODE_ANY)
    return HC_I(heap_search)(self, heaps, want);
#endif
  return HC_I(heap_best)(self, heaps, want->size, want->requested);
}

/* The ready range that serves a want best, or NULL: first of those that are ready for its stream
   alone. segments_lock is held. */
HOSTCACHE_INLINE HC_BLOCK *HC_I(choose)(HC_CACHE *self, const HC_WANT *want) {
#ifdef HC_STREAM_ORDERED
  HC_ORDER *order = want->from ? want->from : want->order;
  HC_BLOCK *range = order ? HC_I(choose_of)(self, order->heaps, want) : NULL;
  if (range || want->from) return range;
#endif
  return HC_I(choose_of)(self, HC_I(heaps_of)(self, HC_I(pool_still)(want->pool)), want);
}

/* Takes the ready range that fits best; it is LEAVING. *out is NULL if there is none. NO_METADATA:
   no record for what is over; on_error was told. */
HOSTCACHE_UNUSED static hostcache_result HC_I(heap_take)(HC_CACHE *self, const HC_WANT *want,
                                                         HC_BLOCK **out) {
  HC_BLOCK *range;
  size_t ahead;
  int let_go;
  *out = NULL;
  hostcache_lock(&self->segments_lock);
  do {
    HC_NEEDS needs = {HC_DIVISIONS, 0, {0, 0}};
    range = HC_I(choose)(self, want);
    if (!range) break;
    ahead = HC_I(ahead)(range, HC_I(alignment_of)(want));
    if (!range->is_indexed || ahead > 0)
      hostcache_index_missing(&self->index, (size_t)range->ptr + ahead, needs.shelves);
    if (!HC_I(spares_fill)(self, &needs, &let_go)) return HOSTCACHE_ERR_NO_METADATA;
  } while (let_go); /* another thread may have taken it */
  if (range) {
    HC_I(heap_remove)(self, HC_I(heap_of)(self, range), range);
    HC_I(count_ready)(self, range, 0);
    range = HC_I(hand_out)(self, &self->spares, range, want);
  }
  hostcache_unlock(&self->segments_lock);
  *out = range;
  return HOSTCACHE_OK;
}

/* Hands out the range of these heaps that fits best, if that takes no more than a record of what is
   over and one entry of the index that has its place: as heap_take does, and HC_I(activate), in
   fewer steps. NULL if not. The thread is held, and its own; segments_lock is held. */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(heap_hit)(HC_CACHE *self, const HC_HEAP *heaps,
                                                 HC_THREAD *thread, size_t size,
                                                 size_t requested) {
  HC_BLOCK *range;
  if (HC_I(is_oversize)(self, size) || !self->spares.blocks) return NULL;
  range = HC_I(heap_best)(self, heaps, size, requested);
  if (!range || !HC_I(may_split)(self, range)) return NULL;
  if (!range->is_indexed &&
      !hostcache_index_add_quickly(&self->index, (size_t)range->ptr, range))
    return NULL;
  range->is_indexed = 1;
  HC_I(heap_remove)(self, HC_I(heap_of)(self, range), range);
  HC_I(count_ready)(self, range, 0);
  if (range->size > size) HC_I(split)(self, &self->spares, range, size);
  range->requested = requested;
  range->bin = HC_I(bin_of)(self, range);
  HC_I(count_direct)(self, range, 1);
  hostcache_ptr_store_release(&range->home, thread);
  HC_I(set_state)(range, HOSTCACHE_ACTIVE);
  return range;
}

/* Hands out a block of a size from what is shared, in few steps: out of a batch of its class (which
   is HC_NO_BIN if it has none), of which the stock gets the rest, or from a heap. NULL if there is
   none, or it takes more. The thread is held, and its own. */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(take_shared)(HC_CACHE *self, HC_THREAD *thread,
                                                    size_t class_number, size_t size,
                                                    size_t requested) {
  HC_BLOCK *block = NULL, *batch = NULL;
  if (thread->limit == 0) return NULL;
  hostcache_lock(&self->segments_lock);
  if (class_number != HC_NO_BIN) batch = HC_I(batch_for_stock)(self, thread, class_number);
  if (!batch) block = HC_I(heap_hit)(self, self->heaps, thread, size, requested);
  hostcache_unlock(&self->segments_lock);
  if (class_number == HC_NO_BIN) return block;
  if (!batch) {
    thread->bins[class_number].got_seen = -1; /* it gets what it does not have */
    return block;
  }
  HC_I(stock_fill)(self, thread, class_number, batch);
  return HC_I(stock_take)(self, thread, class_number, requested);
}

/* The class of a request, or HC_NO_BIN if its blocks are in no stock, as those of 0 bytes. */
HOSTCACHE_INLINE size_t HC_I(binned_class)(const HC_CACHE *self, size_t requested) {
  const size_t size = HC_PADDED(requested);
  return size - 1 < self->binned_max ? HC_I(class_of)(self, size) : HC_NO_BIN;
}

/* Takes what is ready: for the user from this thread's stock, a shared bin, or a heap, and the
   block is ACTIVE; for the cache's own ends, and of a pool, from a heap alone. As heap_take. */
HOSTCACHE_UNUSED static hostcache_result HC_I(bin_take)(HC_CACHE *self, HC_THREAD *thread,
                                                        const HC_WANT *want, HC_BLOCK **out) {
  hostcache_result result;
  if (want->state == HOSTCACHE_ACTIVE && !thread->shared && !want->pool && !want->order &&
      !want->more) {
    const size_t number = HC_I(binned_class)(self, want->requested);
    HC_I(begin)(self, thread);
    if (number != HC_NO_BIN) *out = HC_I(stock_take)(self, thread, number, want->requested);
    if (!*out) *out = HC_I(take_shared)(self, thread, number, want->size, want->requested);
    if (*out) HC_I(note_capture)(*out, want);
    HC_I(end)(thread);
    if (*out) return HOSTCACHE_OK;
  }
  result = HC_I(heap_take)(self, want, out);
  if (*out && want->state == HOSTCACHE_ACTIVE) HC_I(activate)(self, thread, *out, want);
  return result;
}

/* A pending block, whose life is at hand, goes into the stock of the thread that is its home: what
   HC_I(turn) would count, in fewer steps, for the hot path. The thread is held. */
HOSTCACHE_INLINE void HC_I(stock_completed)(HC_CACHE *self, HC_THREAD *thread, HC_BLOCK *block,
                                            size_t life) {
  const unsigned number = block->bin;
  const size_t size = self->class_size[number];
  HC_I(trace_block)(self, block, HOSTCACHE_TRACE_FREE_COMPLETED);
  HC_GUARD_READY(block);
  hostcache_u32_store_relaxed(&block->extra_uses, 0);
  hostcache_size_store_release(&block->life, life + HOSTCACHE_STOCKED - HOSTCACHE_WAITING);
  thread->pending.out++;
  thread->pending.out_bytes = HC_I(sum)(thread->pending.out_bytes, (int64_t)size);
  thread->requested.out_bytes =
      HC_I(sum)(thread->requested.out_bytes, (int64_t)block->requested);
  HC_COLUMN(dropped, thread, block);
  HC_I(stock_put)(thread, block, number, size);
  HC_COLUMN(completed, thread, block);
}

/* Makes a block ready that the caller has freed and owns, and that is in use no more: it goes into
   the stock of the thread, or a heap. The thread is held. */
HOSTCACHE_UNUSED static void HC_I(block_ready)(HC_CACHE *self, HC_THREAD *thread, HC_BLOCK *block,
                                               int is_own) {
  HC_I(trace_block)(self, block, HOSTCACHE_TRACE_FREE_COMPLETED);
  HC_GUARD_READY(block);
  hostcache_u32_store_relaxed(&block->extra_uses, 0);
  block->unknown_over = 0;
  if (is_own && block->bin != HC_NO_BIN && thread->limit > 0) {
    HC_I(turn)(self, thread, block, HOSTCACHE_STOCKED);
    HC_I(flow_undo)(&thread->used, block->size); /* the bin counts it */
    HC_COLUMN(over, thread, block);
    HC_I(stock_put)(thread, block, block->bin, block->size);
    HC_COLUMN(completed, thread, block);
    if (thread->stock_bytes > thread->mark) HC_I(stock_over)(self, thread, HC_NO_BIN);
    return;
  }
  HC_I(turn)(self, thread, block, HOSTCACHE_LEAVING);
  hostcache_lock(&self->segments_lock);
  HC_I(count_lent)(self, block, 1, 0);
  HC_I(make_ready)(self, block);
  hostcache_unlock(&self->segments_lock);
}

/* Gives idle segments back, the one that has been idle for longest first, while more than `keep`
   bytes are held and it has been idle since `before` or longer; and no more than are idle at the
   call, so that this ends. 0, or -1 if a free hook failed. */
HOSTCACHE_UNUSED static int HC_I(bins_trim)(HC_CACHE *self, size_t keep, uint64_t before) {
  size_t left;
  int leaked = 0;
  hostcache_lock(&self->segments_lock);
  if (before == UINT64_MAX && self->wanted > keep) self->wanted = keep;
  left = (size_t)HC_I(rest)(self->idle.in, self->idle.out);
  for (; left > 0 && self->idle_first && self->claimed > keep; left--) {
    if (self->idle_first->idle_since > before) break;
    (void)HC_I(give_back_oldest)(self, &leaked);
  }
  hostcache_unlock(&self->segments_lock);
  return leaked ? -1 : 0;
}

/* Gives back what is above the cap, which may have been lowered, or above what may be idle. 0, or
   -1 if a free hook failed. */
HOSTCACHE_APART int HC_I(bins_shed)(HC_CACHE *self) {
  int leaked = 0;
  HC_I(trace_flush)(self);
  if (!hostcache_u32_load_relaxed(&self->excess)) return 0;
  hostcache_lock(&self->segments_lock);
  hostcache_u32_store_relaxed(&self->excess, 0);
  while (HC_I(is_in_excess)(self) && HC_I(give_back_oldest)(self, &leaked)) continue;
  hostcache_unlock(&self->segments_lock);
  return leaked ? -1 : 0;
}

/* The same, where it is rarely needed. */
HOSTCACHE_INLINE void HC_I(shed)(HC_CACHE *self) {
  if (HOSTCACHE_RARELY(hostcache_u32_load_relaxed(&self->excess))) (void)HC_I(bins_shed)(self);
}

/* May so many more bytes be held? segments_lock is held. */
HOSTCACHE_UNUSED static int HC_I(has_room)(const HC_CACHE *self, size_t size) {
  return self->claimed <= self->max_reserved && size <= self->max_reserved - self->claimed;
}

/* Up to where more is asked of the runtime while something is idle: what was held before, or an
   eighth more than was ever in use or reserved, whichever is less. (The eighth is measured: with it
   the peak of what is held is 1.2 times that of what is in use, where sizes vary much.) No such
   bound where what is idle serves its own size alone: then a program that goes through a few sizes
   again and again would find none of them. segments_lock is held. */
HOSTCACHE_UNUSED static size_t HC_I(comfort)(HC_CACHE *self, size_t size) {
  const int64_t held = self->peak_held;
  const int64_t with = self->lent_bytes.now + (int64_t)size;
  int64_t used = self->peak_used;
  if (with > used) used = with;
  if ((int64_t)self->wanted > used) used = (int64_t)self->wanted;
  if (HC_ALONE) return SIZE_MAX;
  return (size_t)(held - used > used / 8 ? used + used / 8 : held); /* of which none can overflow */
}

/* How large a new segment for a block is to be: as large as the shared ones, if the block is not
   larger, what is over may be kept idle, and the cap allows it. segments_lock is held. */
HOSTCACHE_UNUSED static size_t HC_I(size_to_get)(const HC_CACHE *self, size_t size) {
  const size_t shared = self->config.segment_bytes, cached = HC_I(cached)(self);
  if (HC_ALONE || size > shared || !HC_I(has_room)(self, shared))
    return HC_I(own_size)(self, size);
  if (cached > self->max_cached || shared - size > self->max_cached - cached)
    return HC_I(own_size)(self, size);
  return shared;
}

/* How much more than the block a segment must hold, so that it is aligned as wanted wherever the
   segment begins. */
HOSTCACHE_INLINE size_t HC_I(slack_for)(const HC_CACHE *self, const HC_WANT *want) {
  const size_t alignment = HC_I(alignment_of)(want);
  return alignment > self->config.alignment ? alignment - self->config.alignment : 0;
}

/* Gets new memory for a block, which is LEAVING. OUT_OF_MEMORY: *status is what HC_MEM_ALLOC said;
   LIMIT: the cap would be passed; of both the caller tells on_error. What is for the cache's own
   ends does not make other idle memory go back, but for the cap. */
HOSTCACHE_RARE static hostcache_result HC_I(grow)(HC_CACHE *self, const HC_WANT *want,
                                                  HC_BLOCK **out, hostcache_status *status,
                                                  HC_TALLY *tally) {
  const size_t size = want->size + HC_I(slack_for)(self, want), own = HC_I(own_size)(self, size);
  hostcache_result result = HOSTCACHE_ERR_LIMIT;
  int leaked = 0;
  HC_SPARES spares;
  size_t get;

  *status = hostcache_done();
  hostcache_lock(&self->segments_lock);
  if (own > self->max_reserved) { /* giving back would not help */
    hostcache_unlock(&self->segments_lock);
    return HOSTCACHE_ERR_LIMIT;
  }
  if (!HC_I(spares_for_segment)(self, &spares)) return HOSTCACHE_ERR_NO_METADATA;
  get = HC_I(size_to_get)(self, size);
  while (!HC_I(has_room)(self, get) ||
         (want->state == HOSTCACHE_ACTIVE && self->claimed + get > HC_I(comfort)(self, size))) {
    if (!HC_I(give_back_oldest)(self, &leaked)) break;
    tally->hooks++;
  }
  while (HC_I(has_room)(self, get)) {
    self->claimed += get; /* before the hook is called, so that the cap holds */
    hostcache_unlock(&self->segments_lock);
    tally->hooks++;
    result = HC_I(segment_get)(self, get, HC_I(kind_for)(self, size), want->pool,
                               HC_I(node_of)(want), &spares, out, status);
    if (result == HOSTCACHE_OK) {
      *out = HC_I(hand_out)(self, &spares, *out, want);
      break;
    }
    hostcache_lock(&self->segments_lock);
    if (status->outcome != HOSTCACHE_NO_MEMORY || get == own) break;
    get = own; /* too much for the runtime: only what is asked for, then */
    result = HOSTCACHE_ERR_LIMIT;
  }
  HC_I(spares_return)(self, &spares);
  hostcache_unlock(&self->segments_lock);
  return result;
}

/* ---- 11. EVENTS ---------------------------------------------------------------------------------
   Uses, queues, poll, quarantine. A use is marked on an active block; at the free it is recorded
   and pushed to the freeing thread's queue of its stream; a poll asks the head of each queue, and
   takes off what is complete. The last use that is over makes the block ready. */

HOSTCACHE_UNUSED static HC_USE *HC_I(use_at)(HC_BLOCK *block, uint32_t i) {
  if (i < HC_INLINE_USES) return &block->in.uses[i];
  return i - HC_INLINE_USES < block->more_room ? &block->more[i - HC_INLINE_USES]
                                               : &block->in.uses[HC_INLINE_USES];
}

/* Ends an event that the cache owns and does not pool. */
HOSTCACHE_UNUSED static void HC_I(event_destroy)(HC_CACHE *self, HC_EVENT *event) {
#ifdef HC_EVENT_DESTROY
  hostcache_status status = HC_I(call_event_destroy)(self, event);
  if (status.outcome != HOSTCACHE_DONE)
    HC_I(tell)(self, HOSTCACHE_ERR_EVENT, status.code,
               "HC_EVENT_DESTROY failed: the event is left to the runtime", NULL);
#else
  (void)self;
  (void)event;
#endif
}
#if HC_HAS_STREAMS

/* Lanes. */

/* The live lane of a stream, or NULL. streams_lock is held. */
HOSTCACHE_UNUSED static HC_LANE *HC_I(lane_find)(HC_CACHE *self, HC_STREAM stream) {
  HC_LANE *lane = self->buckets[HC_I(stream_bucket)(stream)];
  while (lane && !HC_I(same_stream)(lane->stream, stream)) lane = lane->next;
  return lane;
}

HOSTCACHE_UNUSED static HC_LANE *HC_I(lane_of)(HC_CACHE *self, HC_STREAM stream) {
  HC_LANE *lane;
  hostcache_lock(&self->streams_lock);
  lane = HC_I(lane_find)(self, stream);
  hostcache_unlock(&self->streams_lock);
  return lane;
}

/* A thread's queue of a lane, or NULL. The thread is held. */
HOSTCACHE_UNUSED static HC_QUEUE *HC_I(queue_of)(const HC_THREAD *thread, const HC_LANE *lane) {
  return lane && lane->number < thread->queue_room ? thread->queues[lane->number] : NULL;
}

/* Sees to it that a thread, this one's own, has a queue of a lane. NULL: there is no memory for
   one, and the loose queue has to do. */
HOSTCACHE_UNUSED static HC_QUEUE *HC_I(queue_make)(HC_CACHE *self, HC_THREAD *thread,
                                                   HC_LANE *lane) {
  HC_QUEUE *fresh = (HC_QUEUE *)HOSTCACHE_MALLOC(sizeof *fresh), *queue, **queues = NULL, **before;
  uint32_t room = 8;
  if (!fresh) return NULL;
  memset((void *)fresh, 0, sizeof *fresh);
  fresh->lane = lane;
  fresh->poll_at = HC_POLL_EVERY;
  while (room <= lane->number) room *= 2;
  HC_I(begin)(self, thread);
  while (lane->number >= thread->queue_room) {
    if (queues) {
      before = thread->queues;
      if (before) memcpy((void *)queues, (const void *)before, thread->queue_room * sizeof *queues);
      thread->queues = queues;
      thread->queue_room = room;
      queues = before;
      break;
    }
    HC_I(end)(thread);
    queues = (HC_QUEUE **)HOSTCACHE_MALLOC(room * sizeof *queues);
    if (!queues) {
      HOSTCACHE_FREE(fresh);
      return NULL;
    }
    memset((void *)queues, 0, room * sizeof *queues);
    HC_I(begin)(self, thread);
  }
  queue = thread->queues[lane->number];
  if (!queue) {
    queue = fresh;
    fresh = NULL;
    thread->queues[lane->number] = queue;
  }
  HC_I(end)(thread);
  if (queues) HOSTCACHE_FREE(queues);
  if (fresh) HOSTCACHE_FREE(fresh);
  return queue;
}

/* Does anything of the lane's former stream still wait? All threads are held. */
HOSTCACHE_UNUSED static int HC_I(lane_is_busy)(HC_CACHE *self, const HC_LANE *lane) {
  const HC_THREAD *thread = &self->common, *next = HC_I(threads)(self);
  while (thread) {
    const HC_QUEUE *queue = HC_I(queue_of)(thread, lane);
    if (queue && queue->head) return 1; /* what is claimed has one, and so has what has a pool */
    thread = next;
    next = next ? next->next : NULL;
  }
  return 0;
}

/* Puts a lane into the table. streams_lock is held, and if it once was another stream's, so are all
   threads. */
HOSTCACHE_UNUSED static void HC_I(lane_enter)(HC_CACHE *self, HC_LANE *lane, HC_STREAM stream) {
  HC_LANE **bucket = &self->buckets[HC_I(stream_bucket)(stream)];
  lane->stream = stream;
  lane->live = 1;
  lane->next = *bucket;
  *bucket = lane;
}

/* Gives a stream the lane of one that was forgotten. NULL if none can be had. */
HOSTCACHE_UNUSED static HC_LANE *HC_I(lane_reuse)(HC_CACHE *self, HC_STREAM stream) {
  HC_LANE **at, *lane;
  if (HC_I(stop)(self)) return NULL;
  hostcache_lock(&self->streams_lock);
  lane = HC_I(lane_find)(self, stream);
  for (at = &self->retired; !lane && *at; at = &(*at)->next) {
    if (HC_I(lane_is_busy)(self, *at)) continue;
    lane = *at;
    *at = lane->next;
    HC_I(lane_enter)(self, lane, stream);
    break;
  }
  hostcache_unlock(&self->streams_lock);
  HC_I(go_on)(self);
  return lane;
}

/* Sees to it that a stream has a lane. Where there is no memory for one (NULL) its uses wait in the
   loose queues: so a failure is none. */
HOSTCACHE_UNUSED static HC_LANE *HC_I(lane_make)(HC_CACHE *self, HC_STREAM stream) {
  HC_LANE *lane, *fresh;
  int retired;
  hostcache_lock(&self->streams_lock);
  lane = HC_I(lane_find)(self, stream);
  retired = self->retired != NULL;
  hostcache_unlock(&self->streams_lock);
  if (!lane && retired) lane = HC_I(lane_reuse)(self, stream);
  if (lane) return lane;
  fresh = (HC_LANE *)HOSTCACHE_MALLOC(sizeof *fresh);
  if (!fresh) return NULL;
  memset((void *)fresh, 0, sizeof *fresh);
  hostcache_lock(&self->streams_lock);
  lane = HC_I(lane_find)(self, stream);
  if (!lane) {
    lane = fresh;
    fresh = NULL;
    lane->number = self->lane_count++;
    lane->bit = lane->number < HOSTCACHE_WORD_BITS ? (size_t)1 << lane->number : 0;
    HC_I(lane_enter)(self, lane, stream);
    if (lane->bit) hostcache_ptr_store_release(&self->lanes[lane->number], lane);
  }
  hostcache_unlock(&self->streams_lock);
  if (fresh) HOSTCACHE_FREE(fresh); /* another thread was faster */
  return lane;
}

/* Where a thread remembers the lane of a stream: here, or in the place beside it. */
HOSTCACHE_INLINE size_t HC_I(known_place)(HC_STREAM stream) {
  return (size_t)(HC_I(stream_hash)(stream) >> 32) / (UINT32_MAX / HC_KNOWN + 1u);
}

/* The lane of a stream, if this thread remembers it; else NULL. The thread is held. */
HOSTCACHE_INLINE HC_LANE *HC_I(lane_known)(const HC_THREAD *thread, HC_STREAM stream) {
  const size_t place = HC_I(known_place)(stream);
  HC_LANE *lane = thread->known[place];
  if (lane && HC_I(same_stream)(lane->stream, stream)) return lane;
  lane = thread->known[place ^ 1];
  return lane && HC_I(same_stream)(lane->stream, stream) ? lane : NULL;
}

/* Remembers it. The thread is held. */
HOSTCACHE_UNUSED static void HC_I(lane_remember)(HC_THREAD *thread, HC_LANE *lane) {
  const size_t place = HC_I(known_place)(lane->stream);
  if (HC_I(lane_known)(thread, lane->stream)) return;
  if (thread->known[place] && !thread->known[place ^ 1])
    thread->known[place ^ 1] = lane;
  else
    thread->known[place] = lane;
}

/* Is this still the lane of the stream? It may have been forgotten, and be another's. It stays what
   it is as long as a thread is held. */
HOSTCACHE_UNUSED static int HC_I(lane_is_of)(const HC_LANE *lane, HC_STREAM stream) {
  return lane->live && HC_I(same_stream)(lane->stream, stream);
}

/* The lane of a stream, which this thread remembers from now on; NULL as of lane_make. For a value
   it gets its queue, too: free_deferred can queue a block then, which may not get memory. */
HOSTCACHE_UNUSED static HC_LANE *HC_I(lane_here)(HC_CACHE *self, HC_THREAD *own,
                                                 HC_STREAM stream, int kind) {
  HC_LANE *lane = HC_I(lane_make)(self, stream);
  int queued;
  if (!lane) return NULL;
  HC_I(begin)(self, own);
  if (HC_I(lane_is_of)(lane, stream)) HC_I(lane_remember)(own, lane);
  queued = HC_I(queue_of)(own, lane) != NULL;
  HC_I(end)(own);
  if (kind == HOSTCACHE_USE_VALUE && !queued) (void)HC_I(queue_make)(self, own, lane);
  return lane;
}

/* The stream of a use that is not by an event. The home of its block is held, or it is the
   caller's. */
HOSTCACHE_INLINE HC_STREAM HC_I(stream_of)(const HC_USE *use) {
  return use->kind == HOSTCACHE_USE_FREED ? use->queue->lane->stream : use->stream;
}

/* The mark of a stream among the uses of a block, or NULL. Its home is held, or it is the caller's.
   */
HOSTCACHE_UNUSED static HC_USE *HC_I(mark_of)(HC_BLOCK *block, HC_STREAM stream) {
  uint32_t i;
  for (i = 0; i < HC_I(use_count)(block); i++) {
    HC_USE *use = HC_I(use_at)(block, i);
    if (use->kind != HOSTCACHE_USE_EVENT && HC_I(same_stream)(HC_I(stream_of)(use), stream))
      return use;
  }
  return NULL;
}
#endif /* HC_HAS_STREAMS */

/* Uses. */

/* How many bits are set. */
HOSTCACHE_UNUSED static uint32_t HC_I(bits)(size_t word) {
  uint32_t count = 0;
  for (; word; word &= word - 1) count++;
  return count;
}

HOSTCACHE_UNUSED static size_t HC_I(all_marks)(const HC_BLOCK *block) {
  return hostcache_size_load_relaxed(&block->marks) |
         hostcache_size_load_relaxed(&block->marks_too);
}

/* What a use becomes on a block. A value replaces a mark, but not that of the stream that the block
   was got for: this stands for what was there before as well, which the caller cannot know. */
HOSTCACHE_INLINE uint8_t HC_I(kind_on)(const HC_BLOCK *block, const HC_USE *wanted) {
  const HC_ORDER *order = HC_I(order_of)(block);
#ifdef HC_STREAM_ORDERED
  if (order && wanted->lane == order->lane) return HOSTCACHE_USE_STREAM; /* an event has none */
#endif
  (void)order;
  return wanted->kind;
}

/* Adds a use to an active block, or lets one that it has cover it. 0 if there is no room. Its home
   is held. */
HOSTCACHE_UNUSED static int HC_I(use_add)(HC_BLOCK *block, const HC_USE *wanted) {
  const size_t marks = HC_I(all_marks)(block);
  HC_USE *found;
#if HC_HAS_STREAMS
  if (wanted->kind != HOSTCACHE_USE_EVENT) {
    const HC_LANE *lane = wanted->lane;
    const size_t bit = lane ? lane->bit : 0;
    found = HC_I(mark_of)(block, wanted->stream);
    if (found) { /* a mark keeps a value given before as the least; a value replaces a mark */
      found->kind = HC_I(kind_on)(block, wanted);
      found->early = HOSTCACHE_EARLY_NONE; /* what was prepared came before this */
      if (wanted->value > found->value) found->value = wanted->value;
      return 1;
    }
    if (wanted->kind == HOSTCACHE_USE_STREAM && (marks & bit)) /* is there room for all of them? */
      return HC_I(use_count)(block) + HC_I(bits)(marks) <= HC_INLINE_USES + block->more_room;
    if (HC_I(use_count)(block) + HC_I(bits)(marks & ~bit) >= HC_INLINE_USES + block->more_room)
      return 0;
    if (wanted->kind == HOSTCACHE_USE_STREAM && bit) {
      hostcache_size_store_relaxed(&block->marks,
                                   hostcache_size_load_relaxed(&block->marks) | bit);
      return 1;
    }
  }
#endif
  if (HC_I(use_count)(block) + HC_I(bits)(marks) >= HC_INLINE_USES + block->more_room) return 0;
  found = HC_I(use_at)(block, HC_I(use_count)(block));
  *found = *wanted;
  found->kind = HC_I(kind_on)(block, wanted);
  HC_I(set_use_count)(block, HC_I(use_count)(block) + 1);
  return 1;
}

/* No memory for a use: the block remembers as much as it has room for, so that its free does not
   forget the stream. Its home is held, or it is the caller's. */
#if HC_HAS_STREAMS
HOSTCACHE_UNUSED static void HC_I(mark_unknown)(HC_BLOCK *block, HC_STREAM stream,
                                                uint64_t value) {
  if (HC_I(unknown_uses)(block) == 0) {
    HC_I(set_unknown_uses)(block, 1);
    block->unknown_stream = stream;
    block->unknown_value = value;
  } else if (HC_I(same_stream)(block->unknown_stream, stream)) { /* as many as before */
    block->unknown_over = HOSTCACHE_EARLY_NONE;
    if (value > block->unknown_value) block->unknown_value = value;
  } else {
    HC_I(set_unknown_uses)(block, 2);
  }
}
#endif

/* The same of any use: of an event there is nothing to remember but that there is one. */
HOSTCACHE_UNUSED static void HC_I(use_unknown)(HC_BLOCK *block, const HC_USE *wanted) {
#if HC_HAS_STREAMS
  if (wanted->kind != HOSTCACHE_USE_EVENT) {
    HC_I(mark_unknown)(block, wanted->stream, wanted->value);
    return;
  }
#endif
  (void)wanted;
  HC_I(set_unknown_uses)(block, 2);
}

/* Records a use on an active block, by handle or, if that is NULL, by a pointer into it. */
HOSTCACHE_UNUSED static hostcache_result HC_I(record)(HC_CACHE *self, HC_BLOCK *handle,
                                                      const void *ptr, HC_USE *wanted) {
  HC_THREAD *own = HC_I(here)(self), *home;
  HC_USE *more = NULL; /* room got by this call for the block, or what the block had before */
  HC_BLOCK *block = handle ? handle : HC_I(active_at)(self, ptr);
  uint32_t room = 0, need;
  int have, out_of_memory = 0;
  if (!block || block->cache != self || HC_I(state_of)(block) != HOSTCACHE_ACTIVE)
    return HOSTCACHE_ERR_NOT_FOUND;
#if HC_HAS_STREAMS
  if (wanted->kind != HOSTCACHE_USE_EVENT)
    wanted->lane = HC_I(lane_here)(self, own, wanted->stream, wanted->kind);
#endif
  for (;;) {
    home = HC_I(hold_home)(self, block, own);
    if (!home || HC_I(state_of)(block) != HOSTCACHE_ACTIVE) {
      if (home) HC_I(let_go)(home, own);
      if (more) HOSTCACHE_FREE(more);
      return home ? HOSTCACHE_ERR_NOT_FOUND : HOSTCACHE_ERR_UNSUPPORTED;
    }
#if HC_HAS_STREAMS
    if (wanted->lane && !HC_I(lane_is_of)(wanted->lane, wanted->stream)) { /* forgotten meanwhile */
      HC_I(let_go)(home, own);
      wanted->lane = HC_I(lane_here)(self, own, wanted->stream, wanted->kind);
      continue;
    }
#endif
    have = HC_I(use_add)(block, wanted);
    if (!have && room > block->more_room) {
      HC_USE *before = block->more;
      if (before) memcpy((void *)more, (const void *)before, block->more_room * sizeof *more);
      more[block->more_room] = block->in.uses[HC_INLINE_USES]; /* if it stands there */
      block->more = more;
      block->more_room = room;
      more = before;
      have = HC_I(use_add)(block, wanted);
    }
    if (!have && out_of_memory) HC_I(use_unknown)(block, wanted);
    need = block->more_room ? 2 * block->more_room : HC_INLINE_USES;
    HC_I(let_go)(home, own);
    if (have || out_of_memory) break;
    if (more) HOSTCACHE_FREE(more);
    room = need;
    more = need > HC_MOST_USES ? NULL : (HC_USE *)HOSTCACHE_MALLOC(room * sizeof(HC_USE));
    if (more)
      memset((void *)more, 0, room * sizeof(HC_USE)); /* a use of a mark sets no fence's fields */
    else
      room = 0;
    out_of_memory = !more;
  }
  if (more) HOSTCACHE_FREE(more);
  if (have) return HOSTCACHE_OK;
  HC_I(tell)(self, HOSTCACHE_ERR_NO_METADATA, 0,
             "HOSTCACHE_MALLOC had no memory for a use: its free waits or quarantines", ptr);
  return HOSTCACHE_ERR_NO_METADATA;
}

#if HC_HAS_STREAMS

/* Sets a bit of another thread than the block's home. 0 if it is not the only one: then it is to be
   seen that there is room. */
HOSTCACHE_UNUSED static int HC_I(mark_too)(HC_BLOCK *block, size_t bit) {
  size_t marks;
  hostcache_size_or_relaxed(&block->marks_too, bit);
  marks = hostcache_size_load_relaxed(&block->marks_too); /* with all that were set before it */
  return (marks & (marks - 1)) == 0;
}

/* Marks an active block as used on a stream that this thread remembers: the hot path. The thread
   that is the block's home sets the bit with a plain store; two that did so at once would lose one,
   so the others have a word of their own, with an atomic or. Only the first of those bits is set so
   without the home's lock: the home may take the last place at the same time, and there is one
   place more. 0: it takes more than a bit. The thread is held. */
HOSTCACHE_INLINE int HC_I(mark)(const HC_THREAD *thread, HC_BLOCK *block, HC_STREAM stream) {
  const HC_LANE *lane = HC_I(lane_known)(thread, stream);
  size_t marks, rest;
  if (HOSTCACHE_RARELY(!lane || !lane->bit)) return 0;
  marks = HC_I(all_marks)(block);
  if (HOSTCACHE_RARELY(hostcache_u32_load_relaxed(&block->extra_uses)))
    return 0; /* one of them may be of the stream, and is to become a mark again */
  if (marks) { /* is there room: fewer than four so far? */
    if (marks & lane->bit) return 1;
    rest = marks & (marks - 1);
    rest &= rest - 1;
    rest &= rest - 1;
    if (rest) return 0;
  }
  if (hostcache_ptr_load_relaxed(&block->home) == (const void *)thread)
    hostcache_size_store_relaxed(&block->marks,
                                 hostcache_size_load_relaxed(&block->marks) | lane->bit);
  else
    return HC_I(mark_too)(block, lane->bit);
  return 1;
}

#endif

/* Queues. */

/* A use comes to a queue that is too long for the nearest cache: the one pushed HC_AHEAD before it
   says where it is. That still stands there, as a lane's are taken off in their order; the loose
   queue has none. The thread is held. */
HOSTCACHE_APART void HC_I(queue_push_ahead)(HC_QUEUE *queue, HC_USE *use) {
  HC_USE **recent = &queue->recent[queue->turn % HC_AHEAD];
  if (!queue->lane) return;
  if (queue->turn++ >= HC_AHEAD) hostcache_ptr_store_release(&(*recent)->ahead, use);
  *recent = use;
}

/* Puts a use at the end of a queue. Non-zero: it is time to poll it. The thread is held. */
HOSTCACHE_INLINE int HC_I(queue_push)(HC_CACHE *self, HC_THREAD *thread, HC_QUEUE *queue,
                                             HC_USE *use) {
  if (HOSTCACHE_RARELY(queue->length >= HC_LONG)) HC_I(queue_push_ahead)(queue, use);
  use->ticket = self->epoch;
  use->next = NULL;
  use->previous = queue->tail;
  if (queue->tail) {
    queue->tail->next = use;
  } else {
    queue->head = use;
    hostcache_u32_store_relaxed(&thread->waiting, thread->waiting + 1);
  }
  queue->tail = use;
  return ++queue->length >= queue->poll_at;
}

/* So many uses have been taken out of a queue. The thread is held. */
HOSTCACHE_INLINE void HC_I(queue_shrink)(HC_THREAD *thread, HC_QUEUE *queue, uint32_t by) {
  queue->length -= by;
  queue->poll_at -= by;
  if (queue->length == 0) hostcache_u32_store_relaxed(&thread->waiting, thread->waiting - 1);
}

/* Takes a use out of a queue, whose cursor has gone on to the next one. The thread is held and the
   caller has its claim. */
HOSTCACHE_APART void HC_I(queue_unlink)(HC_THREAD *thread, HC_QUEUE *queue, HC_USE *use) {
  if (use->previous)
    use->previous->next = use->next;
  else
    queue->head = use->next;
  if (use->next)
    use->next->previous = use->previous;
  else
    queue->tail = use->previous;
  HC_I(queue_shrink)(thread, queue, 1);
}

/* What a claimer has of a queue. */
struct HC_I(claim) {
  HC_USE *first, *last; /* what there is to ask */
  uint32_t pool_left;   /* events that the pool has room for */
  uint32_t pool_wanted; /* as much room the pool should have */
  int is_long;          /* those to come are fetched */
};

/* Claims a queue: what stands in it is the caller's to ask, up to what is its end now, so that what
   a query's hook frees meanwhile cannot keep the caller busy for ever. 0 if another thread has it,
   it is empty, or nothing may be asked now. The thread is held. */
HOSTCACHE_UNUSED static int HC_I(queue_claim)(const HC_CACHE *self, HC_QUEUE *queue,
                                              struct HC_I(claim) *claim) {
  const int pools = HC_POOLS_EVENTS && queue->lane && queue->lane->live;
  if (hostcache_u32_load_acquire(&queue->claimed) || !queue->head) return 0;
  if (HC_I(is_capturing)(self)) return 0;
  hostcache_u32_store_relaxed(&queue->claimed, 1);
  queue->poll_at = queue->length + HC_POLL_EVERY;
  claim->first = queue->head;
  claim->last = queue->tail;
  claim->pool_left = pools ? queue->pool_room - queue->pool_count : 0;
  claim->pool_wanted = 0;
  claim->is_long = queue->length >= HC_LONG;
  if (pools && claim->pool_left < queue->length) {
    claim->pool_wanted = queue->pool_room ? queue->pool_room : HC_FIRST_POOL;
    while (claim->pool_wanted - queue->pool_count < queue->length) claim->pool_wanted *= 2;
  }
  return 1;
}

/* Gives the claim up. Also where the thread cannot be held any more, as the system refuses the
   barrier: then what is over stays in the queue, and is taken off it by who claims it next. */
HOSTCACHE_UNUSED static void HC_I(queue_drop)(HC_QUEUE *queue) {
  hostcache_u32_store_release(&queue->claimed, 0);
}

/* Gives the claim of a lane's queue up. Returns the pool, if the stream was forgotten meanwhile:
   its *count events are to be ended, and then its memory. The thread is held. */
HOSTCACHE_UNUSED static HC_EVENT *HC_I(queue_unclaim)(HC_QUEUE *queue, uint32_t *count) {
  HC_EVENT *pool = NULL;
  HC_I(queue_drop)(queue);
  *count = 0;
  if (!queue->lane->live) {
    pool = queue->pool;
    *count = queue->pool_count;
    queue->pool = NULL;
    queue->pool_count = 0;
    queue->pool_room = 0;
  }
  return pool;
}

HOSTCACHE_UNUSED static void HC_I(pool_end)(HC_CACHE *self, HC_EVENT *pool, uint32_t count) {
  while (count > 0) HC_I(event_destroy)(self, &pool[--count]);
  if (pool) HOSTCACHE_FREE(pool);
}

/* Makes the pool as large as the claim wants it, if there is memory. */
HOSTCACHE_UNUSED static void HC_I(pool_grow)(HC_CACHE *self, HC_THREAD *thread, HC_THREAD *own,
                                             HC_QUEUE *queue, struct HC_I(claim) *claim) {
  HC_EVENT *fresh = (HC_EVENT *)HOSTCACHE_MALLOC(claim->pool_wanted * sizeof(HC_EVENT)), *before;
  if (!fresh) return;
  before = fresh;
  if (HC_I(hold)(self, thread, own) == 0) {
    before = queue->pool;
    if (before) memcpy((void *)fresh, (const void *)before, queue->pool_count * sizeof *fresh);
    queue->pool = fresh;
    queue->pool_room = claim->pool_wanted;
    claim->pool_left = queue->pool_room - queue->pool_count;
    HC_I(let_go)(thread, own);
  }
  if (before) HOSTCACHE_FREE(before);
}

#ifdef HC_STREAM_ORDERED

/* Takes what was stamped up to `covers` out of a heap, linked by next. segments_lock is held. */
HOSTCACHE_RARE static void HC_I(order_part)(HC_CACHE *self, HC_HEAP *heap, uint64_t covers,
                                            HC_BLOCK **covered) {
  HC_BLOCK *range, *next;
  unsigned at;
  for (at = 0; heap->words && at < HOSTCACHE_HEAP_SIZES; at++) {
    for (range = heap->first[at]; range; range = next) {
      next = range->ready_next;
      if (range->stamp > covers) continue;
      HC_I(heap_remove)(self, heap, range);
      HC_I(count_ready)(self, range, 0);
      range->next = *covered;
      *covered = range;
    }
  }
}

/* What was stamped up to `covers` is ready for all. Returns how many ranges. segments_lock is
   held. */
HOSTCACHE_RARE static size_t HC_I(order_share)(HC_CACHE *self, HC_ORDER *order, uint64_t covers) {
  HC_BLOCK *covered = NULL, *range;
  size_t count = 0;
  unsigned kind;
  for (kind = 0; kind < HOSTCACHE_KIND_COUNT; kind++)
    HC_I(order_part)(self, &order->heaps[kind], covers, &covered);
  for (range = covered; range; range = range->next, count++) HC_I(set_order)(range, NULL);
  HC_I(chain_ready)(self, covered, 0);
  return count;
}

/* A fence has completed: what it covers is ready for all. Or (`told` is 0) it cannot be told: then
   it covers nothing. The thread that it waited in is held. */
HOSTCACHE_RARE static void HC_I(fence_over)(HC_CACHE *self, HC_USE *fence, HC_TALLY *tally,
                                            int told) {
  HC_ORDER *order = fence->order;
  if (!order) return; /* an event that nobody needs any more */
  hostcache_lock(&self->segments_lock);
  order->fences--;
  if (told) {
    tally->ready += HC_I(order_share)(self, order, fence->covers);
  } else {
    order->untold = 1;
    hostcache_u32_store_relaxed(&order->uncovered, 1);
  }
  hostcache_unlock(&self->segments_lock);
}

/* Notes a use without a block that was taken off a queue, to be freed later. */
HOSTCACHE_INLINE void HC_I(keep_alone)(HC_USE **alone, HC_USE *use) {
  if (!use) return;
  use->next = *alone;
  *alone = use;
}

/* Frees uses without a block, linked by next. */
HOSTCACHE_UNUSED static void HC_I(free_alone)(HC_CACHE *self, HC_USE *alone) {
  HC_USE *next;
  for (; alone; alone = next) {
    next = alone->next;
    if (!HC_I(is_spare)(alone)) {
      HOSTCACHE_FREE(alone);
      continue;
    }
    hostcache_lock(&self->segments_lock);
    alone->order->spare_used = 0;
    hostcache_unlock(&self->segments_lock);
  }
}

#else

HOSTCACHE_INLINE void HC_I(fence_over)(HC_CACHE *self, HC_USE *fence, HC_TALLY *tally, int told) {
  (void)self;
  (void)fence;
  (void)tally;
  (void)told;
}
HOSTCACHE_INLINE void HC_I(keep_alone)(HC_USE **alone, HC_USE *use) {
  (void)alone;
  (void)use;
}
HOSTCACHE_INLINE void HC_I(free_alone)(HC_CACHE *self, HC_USE *alone) {
  (void)self;
  if (alone) HOSTCACHE_FREE(alone); /* there is one at most */
}

#endif

/* A use that was in a queue has completed: its event is pooled, if it has one still. The last use
   makes its block ready, which the caller counts by what is pending no more; it goes into the stock
   if that has less than `limit` (0: the thread is not this one's). Returns the use, if it is one
   without a block, which is to be freed. The thread is held and the caller has the claim. */
HOSTCACHE_INLINE HC_USE *HC_I(use_over)(HC_CACHE *self, HC_THREAD *thread, size_t limit,
                                        HC_QUEUE *queue, HC_USE *use, HC_TALLY *tally) {
  HC_BLOCK *block = use->block;
  size_t life;
  if (HC_HAS_EVENT(use)) {
    HOSTCACHE_ASSERT(queue->pool_count < queue->pool_room);
    queue->pool[queue->pool_count++] = use->event;
    use->has_event = 0;
  }
  if (HOSTCACHE_RARELY(!block)) {
    HC_I(fence_over)(self, use, tally, 1);
    return use;
  }
  life = block->life;
  if (--block->outstanding > 0 ||
      HOSTCACHE_RARELY((life & HOSTCACHE_STATE_MASK) != HOSTCACHE_WAITING)) {
    use->fate = HOSTCACHE_FATE_OVER;
    return NULL;
  }
  if (HOSTCACHE_RARELY(block->bin == HC_NO_BIN || thread->stock_bytes >= limit))
    HC_I(block_ready)(self, thread, block, limit > 0);
  else
    HC_I(stock_completed)(self, thread, block, life);
  return NULL;
}

/* A use cannot be told: it says itself from now on of which stream it is, as the lane may become
   another one's. The home of its block is held. */
HOSTCACHE_UNUSED static void HC_I(use_lost)(HC_USE *use) {
  use->fate = HOSTCACHE_FATE_UNTOLD;
  if (use->kind != HOSTCACHE_USE_FREED) return;
  use->stream = use->queue->lane->stream;
  use->kind = HOSTCACHE_USE_STREAM;
}

/* A use cannot be told: takes it out of its queue, and quarantines the block, with the event, which
   may be pending still. Returns the use, if it is one without a block. The thread is held and the
   caller has the claim. */
HOSTCACHE_UNUSED static HC_USE *HC_I(use_untold)(HC_CACHE *self, HC_THREAD *thread,
                                                 HC_QUEUE *queue, HC_USE *use, HC_TALLY *tally) {
  HC_I(queue_unlink)(thread, queue, use);
  HC_I(use_lost)(use);
  if (!use->block) {
    HC_I(fence_over)(self, use, tally, 0);
    return use;
  }
  use->block->outstanding--;
  HC_I(turn)(self, thread, use->block, HOSTCACHE_QUARANTINED);
  return NULL;
}

/* Events alone, linked by next, that cannot be told wait, as in quarantine. */
HOSTCACHE_UNUSED static void HC_I(keep_untold)(HC_CACHE *self, HC_USE *alone) {
  HC_USE *next;
  for (; alone; alone = next) {
    next = alone->next;
    if (!alone->has_event) { /* a value: there is nothing to be ended */
      alone->next = NULL;
      HC_I(free_alone)(self, alone);
      continue;
    }
    hostcache_lock(&self->common.lock);
    alone->next = self->untold;
    self->untold = alone;
    hostcache_unlock(&self->common.lock);
  }
}

/* The memory that a use is of, for on_error. */
HOSTCACHE_UNUSED static const void *HC_I(ptr_of)(const HC_USE *use) {
  return use->block ? use->block->ptr : NULL;
}

/* Has a use completed? In timeline mode *reached is the stream's value if *asked says so, so that
   one query does for a queue. */
HOSTCACHE_UNUSED static hostcache_status HC_I(ask)(HC_CACHE *self, HC_USE *use, HC_TALLY *tally,
                                                   int *asked, uint64_t *reached) {
#if HC_HAS_TIMELINE
  if (!*asked) {
    hostcache_status status = HC_I(call_timeline_query)(self, use->stream, reached);
    tally->hooks++;
    tally->queries++;
    if (status.outcome != HOSTCACHE_DONE)
      return status.outcome == HOSTCACHE_PENDING ? hostcache_failed(status.code) : status;
    *asked = 1;
  }
  return *reached >= use->value ? hostcache_done() : hostcache_pending();
#elif HC_HAS_EVENTS
  (void)asked;
  (void)reached;
  tally->hooks++;
  tally->queries++;
  return HC_I(call_event_query)(self, &use->event);
#else
  (void)self, (void)use, (void)tally, (void)asked, (void)reached;
  return hostcache_done();
#endif
}

/* Adds to the figures of a thread, which is held, what was recorded and asked. */
HOSTCACHE_UNUSED static void HC_I(count_asked)(HC_THREAD *thread, HC_TALLY *tally) {
  thread->records += tally->records;
  thread->queries += tally->queries;
  tally->records = tally->queries = 0;
}

/* A query failed for the `errors`th time in a row. Non-zero: that is enough, it cannot be told. */
HOSTCACHE_UNUSED static int HC_I(query_failed)(HC_CACHE *self, HC_TALLY *tally, int64_t code,
                                               uint32_t errors, const void *ptr) {
  int enough = errors >= self->config.query_error_limit;
  tally->failed = 1;
  HC_I(tell)(self, HOSTCACHE_ERR_EVENT, code,
             enough ? "a query of an event or timeline failed too often: the block is quarantined"
                    : "a query of an event or timeline failed: the block waits, and is asked again",
             ptr);
  return enough;
}

/* Asks the uses of a claim, one after the other, until one is not complete. An event that no pool
   has room for is ended. Returns how many have completed; *failed: the one after them could not be
   asked, so often that it is enough. */
HOSTCACHE_UNUSED static uint32_t HC_I(ask_claim)(HC_CACHE *self, HC_QUEUE *queue,
                                                 struct HC_I(claim) *claim, HC_TALLY *tally,
                                                 int *failed) {
  HC_USE *use = claim->first;
  uint64_t reached = 0;
  HC_USE *const last = claim->last; /* this and what follows the compiler can keep in registers */
  const int is_long = claim->is_long;
  const uint32_t left_over = queue->left_over;
  const int is_special = is_long || left_over > 0;
  uint32_t over = 0;
  int asked = 0;
  HC_TALLY here = {0, 0, 0, 0, 0, 0};
  *failed = 0;
  for (;; use = use->next) {
    hostcache_status status;
    int is_over = 0;
    if (HOSTCACHE_RARELY(is_special)) {
      const size_t ahead = (size_t)hostcache_ptr_load_relaxed(&use->ahead);
      if (is_long) { /* also its block, if it is the first use of that */
        hostcache_prefetch((const void *)ahead);
        hostcache_prefetch((const void *)(ahead - offsetof(HC_BLOCK, in)));
      }
      is_over = over < left_over;
    }
    status = is_over ? hostcache_done() : HC_I(ask)(self, use, &here, &asked, &reached);
    if (HOSTCACHE_RARELY(status.outcome != HOSTCACHE_DONE &&
                         status.outcome != HOSTCACHE_PENDING)) {
      *failed = HC_I(query_failed)(self, tally, status.code, ++use->errors, HC_I(ptr_of)(use));
      break;
    }
    use->errors = 0;
    if (HOSTCACHE_RARELY(status.outcome == HOSTCACHE_PENDING)) break;
    if (HC_HAS_EVENT(use) && claim->pool_left > 0) {
      claim->pool_left--;
    } else if (HC_HAS_EVENT(use)) {
      use->has_event = 0;
      here.hooks++;
      HC_I(event_destroy)(self, &use->event);
    }
    over++;
    if (use == last) break;
  }
  tally->hooks += here.hooks;
  tally->queries += here.queries;
  return over;
}

/* Takes off a claimed queue what has completed, and gives the claim up. Asks the head alone: one
   query, and one for each entry that is over (in timeline mode one in all). The thread is not
   held. */
HOSTCACHE_UNUSED static void HC_I(poll_claimed)(HC_CACHE *self, HC_THREAD *thread, HC_THREAD *own,
                                                HC_QUEUE *queue, struct HC_I(claim) *claim,
                                                HC_TALLY *tally) {
  HC_EVENT *pool = NULL;
  uint32_t count = 0;
  int failed;
  if (claim->pool_wanted) HC_I(pool_grow)(self, thread, own, queue, claim);
  do {
    HC_USE *head, *next, *last = claim->last, *alone = NULL, *untold = NULL;
    int64_t out;
    size_t limit;
    uint32_t over = HC_I(ask_claim)(self, queue, claim, tally, &failed);
    if (HC_I(hold)(self, thread, own)) {
      queue->left_over = over;
      HC_I(queue_drop)(queue);
      return;
    }
    HC_I(count_asked)(thread, tally);
    queue->left_over = 0;
    HC_I(note_pending)(thread);
    HC_I(queue_shrink)(thread, queue, over);
    limit = thread == own ? thread->limit : 0;
    out = thread->pending.out;
    for (head = queue->head; over > 0; over--, head = next) {
      next = head->next;
      HC_I(keep_alone)(&alone, HC_I(use_over)(self, thread, limit, queue, head, tally));
    }
    tally->ready += (size_t)(thread->pending.out - out);
    queue->head = head;
    if (!head) queue->tail = NULL;
    while (failed && queue->head) { /* a timeline that cannot be asked: all of its queue */
      queue->head->previous = NULL; /* it may have said what is ahead */
      if (queue->head == last) last = NULL; /* what comes after it is none of this poll's */
      HC_I(keep_alone)(&untold, HC_I(use_untold)(self, thread, queue, queue->head, tally));
      if (!HC_HAS_TIMELINE) break;
    }
    if (queue->length < HC_LONG) queue->turn = 0;
    if (thread->stock_bytes > thread->mark) HC_I(stock_over)(self, thread, HC_NO_BIN);
    claim->first = queue->head;
    failed = failed && last; /* which stands in the queue still */
    if (!failed) pool = HC_I(queue_unclaim)(queue, &count);
    HC_I(let_go)(thread, own);
    HC_I(free_alone)(self, alone);
    HC_I(keep_untold)(self, untold);
  } while (failed);
  HC_I(pool_end)(self, pool, count);
}

HOSTCACHE_UNUSED static void HC_I(poll_queue)(HC_CACHE *self, HC_THREAD *thread, HC_THREAD *own,
                                              HC_QUEUE *queue, HC_TALLY *tally) {
  struct HC_I(claim) claim;
  int claimed;
  if (HC_I(hold)(self, thread, own)) return;
  claimed = HC_I(queue_claim)(self, queue, &claim);
  HC_I(let_go)(thread, own);
  if (claimed) HC_I(poll_claimed)(self, thread, own, queue, &claim, tally);
}

/* Asks at most `most` entries of a loose queue, each in its turn. */
HOSTCACHE_UNUSED static void HC_I(poll_loose)(HC_CACHE *self, HC_THREAD *thread, HC_THREAD *own,
                                              size_t most, HC_TALLY *tally) {
  HC_QUEUE *queue = &thread->loose;
  struct HC_I(claim) claim;
  int claimed;
  if (HC_I(hold)(self, thread, own)) return;
  claimed = HC_I(queue_claim)(self, queue, &claim);
  if (most > queue->length) most = queue->length;
  while (claimed && most-- > 0) {
    HC_USE *use = queue->cursor ? queue->cursor : queue->head, *alone = NULL, *untold = NULL;
    int64_t out;
    hostcache_status status;
    uint64_t reached = 0;
    int asked = 0, failed = 0;
    queue->cursor = use->next; /* `use` is there: only the claimer takes out, one a round at most */
    HC_I(let_go)(thread, own);
    status = use->over ? hostcache_done() : HC_I(ask)(self, use, tally, &asked, &reached);
    if (status.outcome == HOSTCACHE_DONE) use->over = 1;
    if (status.outcome == HOSTCACHE_DONE && use->has_event) {
      use->has_event = 0;
      tally->hooks++;
      HC_I(event_destroy)(self, &use->event);
    } else if (status.outcome == HOSTCACHE_PENDING) {
      use->errors = 0;
    } else if (status.outcome != HOSTCACHE_DONE) {
      failed = HC_I(query_failed)(self, tally, status.code, ++use->errors, HC_I(ptr_of)(use));
    }
    if (HC_I(hold)(self, thread, own)) {
      HC_I(queue_drop)(queue);
      return;
    }
    HC_I(count_asked)(thread, tally);
    if (status.outcome == HOSTCACHE_DONE) {
      HC_I(queue_unlink)(thread, queue, use);
      HC_I(note_pending)(thread);
      out = thread->pending.out;
      alone = HC_I(use_over)(self, thread, own == thread ? thread->limit : 0, queue, use,
                             tally);
      tally->ready += (size_t)(thread->pending.out - out);
    } else if (failed) {
      untold = HC_I(use_untold)(self, thread, queue, use, tally);
    }
    if (thread->stock_bytes > thread->mark) HC_I(stock_over)(self, thread, HC_NO_BIN);
    if (!alone && !untold) continue;
    HC_I(let_go)(thread, own);
    if (untold) untold->next = NULL;
    HC_I(keep_untold)(self, untold);
    if (alone) alone->next = NULL;
    HC_I(free_alone)(self, alone);
    if (HC_I(hold)(self, thread, own)) {
      HC_I(queue_drop)(queue);
      return;
    }
  }
  if (claimed) HC_I(queue_drop)(queue);
  HC_I(let_go)(thread, own);
}

/* One look at everything that waits in a thread's queues. */
HOSTCACHE_UNUSED static void HC_I(poll_thread)(HC_CACHE *self, HC_THREAD *thread, HC_THREAD *own,
                                               size_t loose, HC_TALLY *tally) {
  struct HC_I(claim) claim;
  uint32_t number = 0;
  HC_QUEUE *queue;
  if (hostcache_u32_load_relaxed(&thread->waiting) == 0) return;
  do {
    if (HC_I(hold)(self, thread, own)) return;
    for (queue = NULL; !queue && number < thread->queue_room; number++) {
      queue = thread->queues[number];
      if (queue && !HC_I(queue_claim)(self, queue, &claim)) queue = NULL;
    }
    HC_I(let_go)(thread, own);
    if (queue) HC_I(poll_claimed)(self, thread, own, queue, &claim, tally);
  } while (queue);
  HC_I(poll_loose)(self, thread, own, loose, tally);
}

/* One look at everything that waits in the queues of others. */
HOSTCACHE_UNUSED static void HC_I(poll_others)(HC_CACHE *self, HC_THREAD *own, size_t loose,
                                               HC_TALLY *tally) {
  HC_THREAD *thread = HC_I(threads)(self);
  if (own != &self->common) HC_I(poll_thread)(self, &self->common, own, loose, tally);
  for (; thread; thread = thread->next)
    if (thread != own) HC_I(poll_thread)(self, thread, own, loose, tally);
}

/* One look at everything that waits, first at what this thread has freed. */
HOSTCACHE_UNUSED static void HC_I(poll)(HC_CACHE *self, size_t loose, HC_TALLY *tally) {
  HC_THREAD *own = HC_I(here_already)(self);
  HC_I(poll_thread)(self, own, own, loose, tally);
  HC_I(poll_others)(self, own, loose, tally);
}

/* Freeing. */

#if HC_HAS_STREAMS

/* Waits until a stream is idle. 0 if that is not possible, or failed. */
HOSTCACHE_UNUSED static int HC_I(wait_stream)(HC_CACHE *self, HC_STREAM stream, const void *ptr) {
#ifdef HC_STREAM_WAIT
  hostcache_status status = HC_I(call_stream_wait)(self, stream);
  if (status.outcome == HOSTCACHE_DONE) return 1;
  HC_I(tell)(self, HOSTCACHE_ERR_EVENT, status.code,
             "HC_STREAM_WAIT failed: the stream counts as busy", ptr);
#else
  (void)self, (void)stream, (void)ptr;
#endif
  return 0;
}

/* Puts a use's event behind all work submitted to its stream so far, or takes the timeline's value.
   An event of the pool, if there was one, is there already. 0 if a hook failed. */
HOSTCACHE_INLINE int HC_I(use_record_now)(HC_CACHE *self, HC_USE *use, HC_STREAM stream,
                                          const HC_BLOCK *block, HC_TALLY *tally) {
  hostcache_status status;
#if HC_HAS_TIMELINE
  uint64_t value = 0;
  const char *what =
      "HC_TIMELINE_RECORD failed: the cache waits for the stream, or quarantines the block";
  tally->records++;
  status = HC_I(call_timeline_record)(self, stream, &value);
  if (status.outcome == HOSTCACHE_DONE) {
    if (value > use->value) use->value = value;
    return 1;
  }
#else
  const char *what =
      "HC_EVENT_RECORD failed: the cache waits for the stream, or quarantines the block";
#if HC_POOLS_EVENTS
  if (!use->has_event) {
    status = HC_I(call_event_create)(self, stream, &use->event);
    if (status.outcome != HOSTCACHE_DONE) {
      HC_I(tell)(self, HOSTCACHE_ERR_EVENT, status.code,
                 "HC_EVENT_CREATE failed: the cache waits for the stream, or quarantines the block",
                 block ? block->ptr : NULL);
      return 0;
    }
    use->has_event = 1;
  }
#endif
  tally->records++;
  status = HC_I(call_event_record)(self, &use->event, stream);
  if (status.outcome == HOSTCACHE_DONE) {
#ifdef HC_EVENT_DESTROY
    use->has_event = 1;
#endif
    return 1;
  }
  if (use->has_event) {
    use->has_event = 0;
    HC_I(event_destroy)(self, &use->event);
  }
#endif
  HC_I(tell)(self, HOSTCACHE_ERR_EVENT, status.code, what, block ? block->ptr : NULL);
  return 0;
}

HOSTCACHE_APART int HC_I(use_record)(HC_CACHE *self, HC_USE *use, const HC_BLOCK *block,
                                     HC_TALLY *tally) {
  return HC_I(use_record_now)(self, use, use->stream, block, tally);
}

/* Is the use that found no room over, now that its stream was waited for? */
HOSTCACHE_UNUSED static int HC_I(unknown_over)(HC_CACHE *self, HC_BLOCK *block,
                                             HC_TALLY *tally) {
  if (HC_I(unknown_uses)(block) != 1 || !HC_I(wait_stream)(self, block->unknown_stream, block->ptr))
    return 0;
#if HC_HAS_TIMELINE
  if (block->unknown_value > 0) { /* an idle stream need not have reached a value that was given */
    uint64_t reached = 0;
    hostcache_status status = HC_I(call_timeline_query)(self, block->unknown_stream, &reached);
    tally->queries++;
    if (status.outcome != HOSTCACHE_DONE)
      HC_I(tell)(self, HOSTCACHE_ERR_EVENT, status.code,
                 "HC_TIMELINE_QUERY failed for a use that found no memory: it cannot be told",
                 block->ptr);
    return status.outcome == HOSTCACHE_DONE && reached >= block->unknown_value;
  }
#endif
  (void)tally;
  return 1;
}

#endif /* HC_HAS_STREAMS */

/* Lets an event that nobody needs any more wait for its end in the loose queue. It is not ended at
   once: a runtime may forbid that before it has completed. */
HOSTCACHE_UNUSED static void HC_I(event_leave)(HC_CACHE *self, HC_USE *alone) {
  HC_THREAD *thread = HC_I(here_already)(self);
  if (!alone) return;
  if (!alone->has_event) {
    HOSTCACHE_FREE(alone);
    return;
  }
  alone->block = NULL;
  alone->kind = HOSTCACHE_USE_EVENT;
  alone->fate = HOSTCACHE_FATE_QUEUED;
  alone->errors = 0;
  alone->over = 0;
  HC_I(begin)(self, thread);
  (void)HC_I(queue_push)(self, thread, &thread->loose, alone);
  HC_I(end)(thread);
}

/* Undoes what forget_stream has prepared for a mark. The use is the caller's. */
HOSTCACHE_UNUSED static void HC_I(early_drop)(HC_CACHE *self, HC_USE *use) {
  HC_USE *alone = use->early_event;
  use->early = HOSTCACHE_EARLY_NONE;
  use->early_event = NULL;
  HC_I(event_leave)(self, alone);
}

/* The uses of a block that this thread frees, made ready to be recorded: its marks become uses, and
   each use gets its queue, and an event if there is one. The thread is held; it is the block's home
   from now on. */
HOSTCACHE_UNUSED static void HC_I(uses_begin)(HC_CACHE *self, HC_THREAD *thread, HC_BLOCK *block) {
  uint32_t i;
#if HC_HAS_STREAMS
  size_t marks = HC_I(all_marks)(block);
  if (marks) {
    hostcache_size_store_relaxed(&block->marks, 0);
    hostcache_size_store_relaxed(&block->marks_too, 0);
  }
  for (; marks; marks &= marks - 1) {
    const unsigned number = hostcache_lowest(marks);
    HC_LANE *lane = (HC_LANE *)hostcache_ptr_load_acquire(&self->lanes[number]);
    HC_USE *use;
    if (HC_I(mark_of)(block, lane->stream)) continue;
    if (HC_I(use_count)(block) > HC_INLINE_USES + block->more_room) { /* no memory for its room */
      HC_I(mark_unknown)(block, lane->stream, 0);
      continue;
    }
    use = HC_I(use_at)(block, HC_I(use_count)(block));
    HC_I(set_use_count)(block, HC_I(use_count)(block) + 1);
    use->kind = HOSTCACHE_USE_STREAM;
    use->lane = lane;
    use->stream = lane->stream;
    use->value = 0;
    use->has_event = 0;
    use->early = HOSTCACHE_EARLY_NONE;
    use->early_event = NULL;
  }
#else
  (void)self;
#endif
  hostcache_ptr_store_release(&block->home, thread);
  for (i = 0; i < HC_I(use_count)(block); i++) {
    HC_USE *use = HC_I(use_at)(block, i);
    use->block = block;
    use->errors = 0;
    use->over = 0;
    use->fate = HOSTCACHE_FATE_QUEUED;
    use->queue = NULL;
#if HC_HAS_STREAMS
    if (use->kind == HOSTCACHE_USE_EVENT) continue;
    use->queue = HC_I(queue_of)(thread, use->lane);
    if (use->queue && use->queue->pool_count > 0) {
      use->event = use->queue->pool[--use->queue->pool_count];
      use->has_event = 1;
    }
#endif
  }
}

#if HC_HAS_STREAMS

/* A use could not be recorded: its stream is waited for, if that is possible, or it cannot be
   told. */
HOSTCACHE_UNUSED static void HC_I(use_failed)(HC_CACHE *self, HC_USE *use, const void *ptr,
                                              const HC_TALLY *tally) {
  if (tally->no_wait || !HC_I(wait_stream)(self, HC_I(stream_of)(use), ptr))
    use->fate = HOSTCACHE_FATE_UNTOLD;
  else if (!HC_HAS_TIMELINE || use->value == 0)
    use->fate = HOSTCACHE_FATE_OVER; /* else a value was given as well, which is asked for */
}

#endif

/* Records what a freed block was marked with, from its `begin` use on. *failed: a hook failed. */
HOSTCACHE_UNUSED static void HC_I(record_uses)(HC_CACHE *self, HC_THREAD *thread, HC_BLOCK *block,
                                               uint32_t begin, HC_TALLY *tally, int *failed) {
#if HC_HAS_STREAMS
  uint32_t i;
  for (i = begin; i < HC_I(use_count)(block); i++) {
    HC_USE *use = HC_I(use_at)(block, i);
    if (use->kind == HOSTCACHE_USE_EVENT) continue;
    if (!use->queue && use->lane)
      use->queue = HC_I(queue_make)(self, thread, use->lane);
    if (use->kind != HOSTCACHE_USE_STREAM) continue;
    if (use->early_event) HC_I(early_drop)(self, use);
    tally->hooks++;
    if (HC_I(use_record)(self, use, block, tally)) continue;
    *failed = 1;
    HC_I(use_failed)(self, use, block->ptr, tally);
  }
#else
  (void)self, (void)thread, (void)block, (void)begin, (void)tally, (void)failed;
#endif
}

/* A deferred block was counted by the common record, and is this thread's now. The thread is
   held. */
HOSTCACHE_UNUSED static void HC_I(adopt)(HC_CACHE *self, HC_THREAD *thread, const HC_BLOCK *block) {
  if (thread == &self->common || HC_I(state_of)(block) != HOSTCACHE_DEFERRED) return;
  hostcache_lock(&self->common.lock);
  self->common.pending.in--; /* not as if it went and came: it is counted once */
  self->common.pending.in_bytes =
      HC_I(rest)(self->common.pending.in_bytes, (int64_t)block->size);
  HC_I(flow_step)(&thread->pending, 1, block->size);
  hostcache_unlock(&self->common.lock);
}

/* Lets a block that the caller owns (FREEING or DEFERRED) wait for its uses, from the `begin` on
   not yet recorded. 0, or -1 if a hook failed or the block was quarantined. */
HOSTCACHE_UNUSED static int HC_I(submit)(HC_CACHE *self, HC_THREAD *thread, HC_BLOCK *block,
                                         uint32_t begin, HC_TALLY *tally, int may_poll) {
  uint32_t i, untold = 0, queued = 0;
  HC_QUEUE *due[HC_INLINE_USES]; /* the rest is due again at the next free */
  uint32_t dues = 0;
  int failed = 0, over = 0;
  HC_I(record_uses)(self, thread, block, begin, tally, &failed);
  if (HOSTCACHE_RARELY(HC_I(unknown_uses)(block))) {
#if HC_HAS_STREAMS
    tally->hooks++;
    over = !tally->no_wait && HC_I(unknown_over)(self, block, tally);
#endif
    if (!over) {
      untold++;
      failed = 1;
      HC_I(tell)(self, HOSTCACHE_ERR_EVENT, 0,
                 "a use that found no memory when it was recorded cannot be told: quarantined",
                 block->ptr);
    }
  }
  HC_I(begin)(self, thread);
  HC_I(adopt)(self, thread, block);
  HC_I(count_asked)(thread, tally);
  block->unknown_over = 0;
  for (i = 0; i < HC_I(use_count)(block); i++) {
    HC_USE *use = HC_I(use_at)(block, i);
    HC_QUEUE *queue = use->queue ? use->queue : &thread->loose;
    if (use->fate == HOSTCACHE_FATE_UNTOLD) {
      HC_I(use_lost)(use);
      untold++;
    }
    if (use->fate != HOSTCACHE_FATE_QUEUED) continue;
    queued++;
    if (HC_I(queue_push)(self, thread, queue, use) && dues < HC_INLINE_USES) due[dues++] = queue;
  }
  block->outstanding = (uint16_t)queued;
  if (queued == 0 && untold == 0) { /* all were waited for */
    HC_I(block_ready)(self, thread, block, 1);
    tally->ready++;
  } else {
    HC_I(turn)(self, thread, block, untold ? HOSTCACHE_QUARANTINED : HOSTCACHE_WAITING);
  }
  HC_I(end)(thread);
  for (; may_poll && dues > 0; dues--) {
    if (due[dues - 1]->lane)
      HC_I(poll_queue)(self, thread, thread, due[dues - 1], tally);
    else
      HC_I(poll_loose)(self, thread, thread, HC_LOOSE_PER_POLL, tally);
  }
  return failed ? -1 : 0;
}

#if HC_HAS_CAPTURES

/* May events be recorded for what was deferred? Then it is known that some are, until the end. */
HOSTCACHE_UNUSED static int HC_I(drain_begin)(HC_CACHE *self) {
  int may;
  hostcache_lock(&self->common.lock);
  may = !HC_I(is_capturing)(self);
  if (may) self->draining++;
  hostcache_unlock(&self->common.lock);
  return may;
}

HOSTCACHE_UNUSED static void HC_I(drain_end)(HC_CACHE *self) {
  hostcache_lock(&self->common.lock);
  self->draining--;
  hostcache_unlock(&self->common.lock);
}

#else

HOSTCACHE_INLINE int HC_I(drain_begin)(HC_CACHE *self) {
  (void)self;
  return 1;
}
HOSTCACHE_INLINE void HC_I(drain_end)(HC_CACHE *self) { (void)self; }

#endif

/* Submits the blocks that free_deferred left, oldest first, and those that were freed during a
   capture, after it. Does not poll: the callers do, as they need. */
HOSTCACHE_UNUSED static void HC_I(drain_deferred)(HC_CACHE *self, HC_TALLY *tally) {
  HC_THREAD *thread = HC_I(here_already)(self);
  HC_BLOCK *stack, *oldest = NULL, *next;
  if (!hostcache_ptr_load_relaxed(&self->deferred) || !HC_I(drain_begin)(self)) return;
  stack = (HC_BLOCK *)hostcache_ptr_exchange_acquire(&self->deferred, NULL);
  for (; stack; stack = next) {
    next = stack->next;
    stack->next = oldest;
    oldest = stack;
  }
  for (; oldest; oldest = next) {
    next = oldest->next;
    oldest->next = NULL;
    HC_I(begin)(self, thread);
    HC_I(uses_begin)(self, thread, oldest);
    HC_I(end)(thread);
    if (HC_I(submit)(self, thread, oldest, 0, tally, 0)) tally->failed = 1;
  }
  HC_I(drain_end)(self);
}

HOSTCACHE_UNUSED static void HC_I(push_deferred)(HC_CACHE *self, HC_BLOCK *block) {
  void *top = hostcache_ptr_load_relaxed(&self->deferred);
  do {
    block->next = (HC_BLOCK *)top;
  } while (!hostcache_ptr_replace_release(&self->deferred, &top, block));
}

/* What is ready for one stream alone. */

#ifdef HC_STREAM_ORDERED

/* A thread that is no longer at a stream, or at what is ready for it. */
HOSTCACHE_UNUSED static void HC_I(visitor_leave)(HC_CACHE *self, HC_ORDER *order) {
  hostcache_lock(&self->segments_lock);
  order->visitors--;
  hostcache_unlock(&self->segments_lock);
}

/* A fence that covers what is ready for one stream alone by now. NULL if there is no memory, and
   the spare one is used. This thread is a visitor of the order. */
HOSTCACHE_UNUSED static HC_USE *HC_I(fence_new)(HC_CACHE *self, HC_ORDER *order) {
  HC_USE *fence = (HC_USE *)HOSTCACHE_MALLOC(sizeof *fence);
  hostcache_lock(&self->segments_lock);
  if (!fence && !order->spare_used) {
    fence = &order->spare;
    order->spare_used = 1;
  }
  if (fence) {
    memset((void *)fence, 0, sizeof *fence);
    fence->order = order;
    fence->covers = order->stamp++;
    order->fences++;
    hostcache_u32_store_relaxed(&order->uncovered, 0);
  }
  hostcache_unlock(&self->segments_lock);
  return fence;
}

/* Ends a fence that was not recorded: it covers nothing. */
HOSTCACHE_UNUSED static void HC_I(fence_drop)(HC_CACHE *self, HC_USE *fence) {
  hostcache_lock(&self->segments_lock);
  fence->order->fences--;
  hostcache_u32_store_relaxed(&fence->order->uncovered, 1);
  hostcache_unlock(&self->segments_lock);
  fence->next = NULL;
  HC_I(free_alone)(self, fence);
}

/* Makes the stream of `waiter` wait until a fence that was recorded just now has completed. 0 if
   there is no hook for that, or it failed. */
HOSTCACHE_UNUSED static int HC_I(stream_waits)(HC_CACHE *self, HC_USE *fence,
                                               const HC_ORDER *waiter) {
#ifdef HC_CAN_WAIT
#ifdef HC_TIMELINE
  const hostcache_status status = HC_I(call_stream_wait_value)(self, waiter->lane->stream,
                                                               fence->stream, fence->value);
#else
  const hostcache_status status =
      HC_I(call_stream_wait_event)(self, waiter->lane->stream, &fence->event);
#endif
  if (status.outcome == HOSTCACHE_DONE) return 1;
  HC_I(tell)(self, HOSTCACHE_ERR_EVENT, status.code,
             "HC_STREAM_WAIT_EVENT or _VALUE failed: what is another stream's stays its own", NULL);
#else
  (void)self, (void)fence, (void)waiter;
#endif
  return 0;
}

/* Records a fence on its stream, and lets it wait in the queue of that; where `waiter` is not NULL,
   that one's stream waits for it. 0 if a hook failed: on_error was told. This thread is a visitor
   of the order. */
HOSTCACHE_UNUSED static int HC_I(fence_record)(HC_CACHE *self, HC_USE *fence,
                                               const HC_ORDER *waiter, HC_TALLY *tally) {
  HC_THREAD *own = HC_I(here_already)(self);
  HC_LANE *lane = fence->order->lane;
  int is_recorded, is_after = 1;
  HC_QUEUE *queue;
  HC_I(begin)(self, own);
  queue = HC_I(queue_of)(own, lane);
  if (queue && queue->pool_count > 0) {
    fence->event = queue->pool[--queue->pool_count];
    fence->has_event = 1;
  }
  HC_I(end)(own);
  if (!queue) queue = HC_I(queue_make)(self, own, lane);
  fence->kind = HOSTCACHE_USE_STREAM;
  fence->fate = HOSTCACHE_FATE_QUEUED;
  fence->lane = lane;
  fence->stream = lane->stream;
  tally->hooks++;
  is_recorded = HC_I(use_record)(self, fence, NULL, tally);
  if (is_recorded && waiter) is_after = HC_I(stream_waits)(self, fence, waiter);
  HC_I(begin)(self, own);
  HC_I(count_asked)(own, tally);
  if (is_recorded) (void)HC_I(queue_push)(self, own, queue ? queue : &own->loose, fence);
  HC_I(end)(own);
  if (!is_recorded) {
    tally->failed = 1;
    HC_I(fence_drop)(self, fence);
  }
  return is_recorded && is_after;
}

/* Lets what is ready for one stream alone become ready for all in time, if there is anything that
   no fence covers; not during a capture. Where it is needed, also beyond what is usual, and by
   waiting for the stream if it cannot be recorded. 1 if something may be ready now or soon, -1 if
   that failed, -2 if there is no memory. */
HOSTCACHE_UNUSED static int HC_I(fence)(HC_CACHE *self, HC_ORDER *order, int needed,
                                        HC_TALLY *tally) {
  HC_USE *fence;
  uint64_t covers;
  int wanted, result = -2;
  if (!hostcache_u32_load_relaxed(&order->uncovered)) return 0;
  hostcache_lock(&self->segments_lock);
  wanted = order->uncovered && order->bytes > 0 && !order->closed &&
           (needed || (!order->untold && order->fences < HC_FENCES));
  order->visitors += (size_t)wanted;
  hostcache_unlock(&self->segments_lock);
  if (!wanted) return 0;
  if (!HC_I(drain_begin)(self)) {
    HC_I(visitor_leave)(self, order);
    return 0;
  }
  fence = HC_I(fence_new)(self, order);
  if (fence) {
    covers = fence->covers;
    result = HC_I(fence_record)(self, fence, NULL, tally) ? 1 : -1;
    if (result == -1 && needed && HC_I(wait_stream)(self, order->lane->stream, NULL)) {
      hostcache_lock(&self->segments_lock);
      (void)HC_I(order_share)(self, order, covers);
      hostcache_unlock(&self->segments_lock);
      result = 1;
    }
  }
  HC_I(drain_end)(self);
  HC_I(visitor_leave)(self, order);
  return result;
}

/* The same for all streams. 1 if anything may be ready by it. */
HOSTCACHE_UNUSED static int HC_I(fence_all)(HC_CACHE *self, int needed, HC_TALLY *tally) {
  HC_ORDER *order = HC_I(orders)(self);
  int recorded = 0;
  for (; order; order = order->next)
    recorded |= HC_I(fence)(self, order, needed, tally) > 0;
  return recorded;
}

/* What a free into an order has to do, beside: */
#define HC_DUE_FENCE 1u
#define HC_DUE_POLL 2u

/* As long as there is credit each free records a fence, so that the block is ready for all as soon
   as can be; else each 16th does, which costs a stream that takes back what it frees next to
   nothing. Each 16th also polls. segments_lock is held. */
HOSTCACHE_INLINE unsigned HC_I(order_due)(HC_ORDER *order) {
  const uint32_t credit = hostcache_u32_load_relaxed(&order->credit);
  const unsigned due = credit > 0 ? HC_DUE_FENCE : 0;
  if (credit > 0) hostcache_u32_store_relaxed(&order->credit, credit - 1);
  if (++order->frees < HC_POLL_EVERY) return due;
  order->frees = 0;
  return HC_DUE_FENCE | HC_DUE_POLL;
}

/* A block has become ready for its stream alone: does what is due. */
HOSTCACHE_UNUSED static void HC_I(order_freed)(HC_CACHE *self, HC_THREAD *thread,
                                               HC_ORDER *order, unsigned due) {
  HC_TALLY tally = {0, 0, 0, 0, 0, 0}; /* on_error hears what fails */
  HC_QUEUE *queue;
  if (due & HC_DUE_FENCE) (void)HC_I(fence)(self, order, 0, &tally);
  if (!(due & HC_DUE_POLL)) return;
  HC_I(begin)(self, thread);
  queue = HC_I(queue_of)(thread, order->lane);
  HC_I(end)(thread);
  if (queue) HC_I(poll_queue)(self, thread, thread, queue, &tally);
}

/* The same, counted first. No lock is held. */
HOSTCACHE_UNUSED static void HC_I(order_put)(HC_CACHE *self, HC_THREAD *thread, HC_ORDER *order) {
  unsigned due;
  hostcache_lock(&self->segments_lock);
  due = HC_I(order_due)(order);
  hostcache_unlock(&self->segments_lock);
  HC_I(order_freed)(self, thread, order, due);
}

/* After a look at all fences: may a stream be through with what is ready for it alone, in time? Not
   if that cannot be told, as a fence could not be recorded or asked. segments_lock is held. */
HOSTCACHE_UNUSED static int HC_I(is_ordered)(const HC_CACHE *self) {
  const HC_ORDER *order = HC_I(orders)(self);
  if (self->ordered_bytes > 0 && HC_I(is_capturing)(self)) return 1;
  while (order && order->fences == 0) order = order->next;
  return order != NULL;
}

/* The caller says that all streams are through. */
HOSTCACHE_RARE static void HC_I(orders_release)(HC_CACHE *self) {
  HC_ORDER *order = HC_I(orders)(self);
  for (; order; order = order->next) {
    hostcache_lock(&self->segments_lock);
    (void)HC_I(order_share)(self, order, UINT64_MAX);
    order->untold = 0;
    hostcache_unlock(&self->segments_lock);
  }
}

#else

HOSTCACHE_INLINE int HC_I(is_ordered)(const HC_CACHE *self) {
  (void)self;
  return 0;
}
HOSTCACHE_INLINE int HC_I(fence_all)(HC_CACHE *self, int needed, HC_TALLY *tally) {
  (void)self;
  (void)needed;
  (void)tally;
  return 0;
}
HOSTCACHE_INLINE void HC_I(order_put)(HC_CACHE *self, HC_THREAD *thread, HC_ORDER *order) {
  (void)self;
  (void)thread;
  (void)order;
}
HOSTCACHE_INLINE void HC_I(orders_release)(HC_CACHE *self) { (void)self; }

#endif

/* One look at everything that waits, and at what streams have for themselves and may be through
   with. */
HOSTCACHE_UNUSED static void HC_I(poll_all)(HC_CACHE *self, size_t loose, int needed,
                                            HC_TALLY *tally) {
  HC_I(poll)(self, loose, tally);
  if (HC_I(fence_all)(self, needed, tally)) HC_I(poll)(self, loose, tally);
}

/* Must a hook be called, or memory be got for a queue, before the block can wait in this thread's
   queues? The thread is held. */
HOSTCACHE_UNUSED static int HC_I(needs_call)(const HC_THREAD *thread, HC_BLOCK *block) {
  uint32_t i;
  for (i = 0; i < HC_I(use_count)(block); i++) {
    const HC_USE *use = HC_I(use_at)(block, i);
    if (use->kind == HOSTCACHE_USE_STREAM) return 1;
#if HC_HAS_STREAMS
    if (use->kind == HOSTCACHE_USE_VALUE && !HC_I(queue_of)(thread, use->lane)) return 1;
#endif
  }
  (void)thread;
  return HC_I(all_marks)(block) != 0 || HC_I(unknown_uses)(block) != 0;
}

/* Does a block keep its marks: is it active, or quarantined with what was used in a capture? (What
   was got for one is nothing else.) All threads are held; else it is a peek. */
HOSTCACHE_UNUSED static int HC_I(keeps_marks)(const HC_BLOCK *block) {
  return HC_I(state_of)(block) == HOSTCACHE_ACTIVE || HC_I(is_captured)(block);
}

/* Was this active block got for a capture, and used? Its home is held, or it is the caller's. */
HOSTCACHE_UNUSED static int HC_I(is_capture_used)(HC_BLOCK *block) {
  const uint32_t uses = hostcache_u32_load_relaxed(&block->extra_uses);
  return HC_I(is_captured)(block) && (uses != HC_CAPTURED || HC_I(all_marks)(block) != 0);
}

/* An active block is freed: is it going to be ready for one stream alone? Then its use there is
   over. Returns the order, or NULL. The thread is held. */
HOSTCACHE_INLINE HC_ORDER *HC_I(order_at_free)(HC_BLOCK *block) {
#ifdef HC_STREAM_ORDERED
  if (HC_I(is_in_order)(block))
    HC_I(unmark_own)(block);
  else
    block->order = NULL;
#endif
  return HC_I(order_of)(block);
}

/* Frees an active block. The thread is held, and is let go here. */
HOSTCACHE_UNUSED static hostcache_result HC_I(put)(HC_CACHE *self, HC_THREAD *thread,
                                                   HC_BLOCK *block, int deferred) {
  HC_TALLY tally = {0, 0, 0, 0, 0, 0};
  HC_ORDER *order = HC_I(order_at_free)(block);
  if (HC_I(is_capture_used)(block)) { /* what was captured may run at any time, and again: its uses
                                         wait, as they are, until the pool is released */
    HC_I(turn)(self, thread, block, HOSTCACHE_QUARANTINED);
    HC_I(end)(thread);
    return HOSTCACHE_OK;
  }
  if ((deferred || HC_I(is_capturing)(self)) && HC_I(needs_call)(thread, block)) {
    if (thread != &self->common) hostcache_lock(&self->common.lock);
    HC_I(turn)(self, &self->common, block, HOSTCACHE_DEFERRED);
    if (thread != &self->common) hostcache_unlock(&self->common.lock);
    HC_I(end)(thread);
    HC_I(push_deferred)(self, block);
    return HOSTCACHE_OK;
  }
  HC_I(turn)(self, thread, block, HOSTCACHE_FREEING);
  HC_I(uses_begin)(self, thread, block);
  if (HC_I(use_count)(block) == 0 && HC_I(unknown_uses)(block) == 0) {
    HC_I(block_ready)(self, thread, block, 1);
    HC_I(end)(thread);
    if (order && !deferred) HC_I(order_put)(self, thread, order);
    return HOSTCACHE_OK;
  }
  HC_I(end)(thread);
  if (HC_I(submit)(self, thread, block, 0, &tally, !deferred)) return HOSTCACHE_ERR_EVENT;
  return HOSTCACHE_OK;
}

#if HC_HAS_STREAMS

/* Makes uses of the marks of an active block (`left`, not 0; `one`: there is but one), which has no
   others, if this thread has a queue of each stream. Returns how many; 0 if not: then nothing has
   changed. The thread is held. */
HOSTCACHE_INLINE uint32_t HC_I(marks_begin)(HC_THREAD *thread, HC_BLOCK *block, size_t left,
                                            int one) {
  uint32_t count = 0;
  do {
    const unsigned number = hostcache_lowest(left);
    HC_QUEUE *queue = number < thread->queue_room ? thread->queues[number] : NULL;
    HC_USE *use = &block->in.uses[count];
    if (HOSTCACHE_RARELY(!queue || count == HC_INLINE_USES)) {
      while (count-- > 0) { /* the events go back */
        use = &block->in.uses[count];
        if (use->has_event) use->queue->pool[use->queue->pool_count++] = use->event;
      }
      return 0;
    }
    use->block = block;
    use->queue = queue;
    use->errors = 0; /* this and what else is asked for later: a batch may have stood here */
    use->kind = HOSTCACHE_USE_FREED;
    if (HC_HAS_TIMELINE) use->value = 0;
    if (HC_HAS_TIMELINE || !one) {
      use->kind = HOSTCACHE_USE_STREAM;
      use->stream = queue->lane->stream;
    }
    if (!one) use->early_event = NULL;
    use->fate = HOSTCACHE_FATE_QUEUED;
    use->has_event = 0;
    use->early = HOSTCACHE_EARLY_NONE;
    if (HC_POOLS_EVENTS && queue->pool_count > 0) {
      use->event = queue->pool[--queue->pool_count];
      use->has_event = 1;
    }
    left = one ? 0 : left & (left - 1);
    count++;
  } while (left);
  hostcache_size_store_relaxed(&block->marks, 0);
  hostcache_size_store_relaxed(&block->marks_too, 0);
  hostcache_u32_store_relaxed(&block->extra_uses, count);
  return count;
}

#endif

/* Waiting. */

/* From now on what is pushed has a higher ticket. Returns the highest so far; 0, which is none, if
   the threads cannot be held. */
HOSTCACHE_UNUSED static uint64_t HC_I(next_epoch)(HC_CACHE *self) {
  uint64_t ticket;
  if (HC_I(stop)(self)) return 0;
  ticket = self->epoch++;
  HC_I(go_on)(self);
  return ticket;
}

/* Does a queue hold a use of a pending block, or a fence, that was pushed up to that ticket? Not a
   use of a quarantined one, and no event that nobody needs. The thread is held. */
HOSTCACHE_UNUSED static int HC_I(queue_holds_pending)(const HC_QUEUE *queue, uint64_t ticket) {
  const HC_USE *use;
  for (use = queue->head; use && use->ticket <= ticket; use = use->next)
    if (use->block ? HC_I(state_of)(use->block) == HOSTCACHE_WAITING : HC_I(is_fence)(use))
      return 1;
  return 0;
}

/* A queue of a thread that does, or NULL. *unseen: one cannot tell, as the thread cannot be held.
   */
HOSTCACHE_UNUSED static HC_QUEUE *HC_I(thread_pending)(HC_CACHE *self, HC_THREAD *thread,
                                                       HC_THREAD *own, uint64_t ticket,
                                                       int *unseen) {
  HC_QUEUE *queue = NULL;
  uint32_t i;
  if (hostcache_u32_load_relaxed(&thread->waiting) == 0) return NULL;
  if (HC_I(hold)(self, thread, own)) {
    *unseen = 1;
    return NULL;
  }
  for (i = 0; !queue && i < thread->queue_room; i++)
    if (thread->queues[i] && HC_I(queue_holds_pending)(thread->queues[i], ticket))
      queue = thread->queues[i];
  if (!queue && HC_I(queue_holds_pending)(&thread->loose, ticket)) queue = &thread->loose;
  HC_I(let_go)(thread, own);
  return queue;
}

/* The same of any thread, *whose it is. */
HOSTCACHE_UNUSED static HC_QUEUE *HC_I(queue_pending)(HC_CACHE *self, HC_THREAD *own,
                                                      uint64_t ticket, HC_THREAD **whose,
                                                      int *unseen) {
  HC_QUEUE *queue = HC_I(thread_pending)(self, &self->common, own, ticket, unseen);
  HC_THREAD *thread = HC_I(threads)(self);
  *whose = &self->common;
  for (; thread && !queue; thread = thread->next) {
    *whose = thread;
    queue = HC_I(thread_pending)(self, thread, own, ticket, unseen);
  }
  return queue;
}

/* Blocks until a use is complete, by the wait hook. 0 if there is none, or it failed: then the
   caller polls and pauses. The use is the caller's, or it has the claim of its queue. */
HOSTCACHE_UNUSED static int HC_I(wait_hook)(HC_CACHE *self, HC_USE *use, HC_TALLY *tally) {
#if defined HC_EVENT_WAIT || defined HC_TIMELINE_WAIT
#ifdef HC_TIMELINE
  hostcache_status status = HC_I(call_timeline_wait)(self, use->stream, use->value);
#else
  hostcache_status status = HC_I(call_event_wait)(self, &use->event);
#endif
  if (status.outcome == HOSTCACHE_DONE) return 1;
  if (status.outcome != HOSTCACHE_PENDING) {
    tally->no_wait = 1;
    HC_I(tell)(self, HOSTCACHE_ERR_EVENT, status.code,
               "HC_EVENT_WAIT or HC_TIMELINE_WAIT failed: the cache polls instead", NULL);
  }
#else
  (void)self, (void)use, (void)tally;
#endif
  return 0;
}

/* The same for the head of a queue, if that was pushed up to the ticket. 0 also if another thread
   has the queue, or if the head is over and its event may have been ended, or during a capture. */
HOSTCACHE_UNUSED static int HC_I(wait_head)(HC_CACHE *self, HC_THREAD *thread, HC_THREAD *own,
                                            HC_QUEUE *queue, uint64_t ticket, HC_TALLY *tally) {
  HC_EVENT *pool;
  uint32_t count;
  HC_USE *use;
  int waited;
  if (HC_I(hold)(self, thread, own)) return 0;
  use = queue->head;
  if (hostcache_u32_load_acquire(&queue->claimed) || queue->left_over > 0 || !use ||
      use->ticket > ticket || HC_I(is_capturing)(self)) {
    HC_I(let_go)(thread, own);
    return 0;
  }
  hostcache_u32_store_relaxed(&queue->claimed, 1);
  HC_I(let_go)(thread, own);
  waited = HC_I(wait_hook)(self, use, tally);
  if (HC_I(hold)(self, thread, own)) {
    HC_I(queue_drop)(queue);
    return 0;
  }
  pool = HC_I(queue_unclaim)(queue, &count);
  HC_I(let_go)(thread, own);
  HC_I(pool_end)(self, pool, count);
  return waited;
}

#if HC_HAS_STREAMS

/* Forgetting a stream. First each mark of an active block is prepared for life without the handle.
   Then, where the mode asks for it, what is pending is waited for, and in any case those threads
   that are freeing a marked block meanwhile, and may be in a hook. All that may fail, and then it
   is undone and the stream goes on. Last the marks are changed, and the handle is forgotten, in one
   step that cannot fail. What is changed on blocks is changed while all threads are stopped. */

struct HC_I(forgetting) {
  struct HC_I(forgetting) *next; /* LOCK: streams_lock. In cache->forgets */
  HC_STREAM stream;
  HC_LANE *lane; /* of the stream, or NULL */
  size_t bit;    /* of the lane in marks; 0: none */
  HC_TALLY tally;
  uint64_t target; /* timeline: the highest value that something waits for */
};

/* What is to be prepared on a block. */
struct HC_I(sighting) {
  int marked;  /* by the stream, without a value */
  int unknown; /* a use of the stream found no room */
  const void *ptr;
};

/* Blocks until a use that stands in no queue has completed. 0 if that cannot be told. */
HOSTCACHE_UNUSED static int HC_I(wait_use)(HC_CACHE *self, HC_USE *use, HC_TALLY *tally) {
  unsigned attempt;
  use->errors = 0;
  (void)HC_I(wait_hook)(self, use, tally);
  for (attempt = 0;; attempt++) { /* whatever the wait said: the query decides */
    uint64_t reached = 0;
    int asked = 0;
    hostcache_status status = HC_I(ask)(self, use, tally, &asked, &reached);
    if (status.outcome == HOSTCACHE_DONE) return 1;
    if (status.outcome == HOSTCACHE_PENDING) {
      use->errors = 0;
    } else if (HC_I(query_failed)(self, tally, status.code, ++use->errors, NULL)) {
      return 0;
    }
    hostcache_pause(attempt);
  }
}

/* Did a use of the stream find no room on a block, which is in use or being freed? All threads are
   held. */
HOSTCACHE_UNUSED static int HC_I(is_unknown_of)(HC_BLOCK *block, HC_STREAM stream) {
  return HC_I(unknown_uses)(block) == 1 && HC_I(same_stream)(block->unknown_stream, stream);
}

/* May there be something to prepare on a block? A peek, without a lock: what was marked before the
   stream is forgotten is seen. */
HOSTCACHE_UNUSED static int HC_I(may_be_marked)(const HC_BLOCK *block,
                                                const struct HC_I(forgetting) *job) {
  return HC_I(keeps_marks)(block) &&
         ((HC_I(all_marks)(block) & job->bit) != 0 ||
          HC_I(use_count)(block) > 0 ||
          HC_I(unknown_uses)(block) > 0);
}

/* Makes a use of a block's mark by the stream, as there is more to say of it now. All threads are
   held. */
HOSTCACHE_UNUSED static void HC_I(mark_to_use)(HC_BLOCK *block, struct HC_I(forgetting) *job) {
  if (!(HC_I(all_marks)(block) & job->bit)) return;
  if (!HC_I(mark_of)(block, job->stream)) {
    if (HC_I(use_count)(block) <= HC_INLINE_USES + block->more_room) {
      HC_USE *use = HC_I(use_at)(block, HC_I(use_count)(block));
      memset((void *)use, 0, sizeof *use);
      use->kind = HOSTCACHE_USE_STREAM;
      use->stream = job->stream;
      use->lane = job->lane;
      HC_I(set_use_count)(block, HC_I(use_count)(block) + 1);
    } else {
      HC_I(mark_unknown)(block, job->stream, 0); /* no memory for its room */
    }
  }
  hostcache_size_store_relaxed(&block->marks, block->marks & ~job->bit);
  hostcache_size_store_relaxed(&block->marks_too, block->marks_too & ~job->bit);
}

/* Is there something to prepare on a block? -1 if that cannot be told. */
HOSTCACHE_UNUSED static int HC_I(see)(HC_CACHE *self, HC_BLOCK *block,
                                      struct HC_I(forgetting) *job,
                                      struct HC_I(sighting) *sight) {
  HC_USE *found = NULL;
  if (!HC_I(may_be_marked)(block, job)) return 0;
  if (HC_I(stop)(self)) return -1;
  sight->unknown = 0;
  if (HC_I(keeps_marks)(block)) {
    HC_I(mark_to_use)(block, job);
    found = HC_I(mark_of)(block, job->stream);
    sight->unknown = HC_I(is_unknown_of)(block, job->stream);
  }
  sight->marked = found && found->kind == HOSTCACHE_USE_STREAM;
  if (sight->marked) found->early = HOSTCACHE_EARLY_SEEN;
  if (sight->unknown) block->unknown_over = HOSTCACHE_EARLY_SEEN;
  sight->ptr = block->ptr;
  if (found && found->value > job->target) job->target = found->value;
  if (sight->unknown && block->unknown_value > job->target) job->target = block->unknown_value;
  HC_I(go_on)(self);
  return sight->marked || sight->unknown;
}

/* Notes what the marks of a block become. Returns the event that is not needed, or NULL: *alone, if
   the block was freed meanwhile, and perhaps handed out again, or marked again, as that may be a
   use that the event does not cover: what is SEEN is not that; or what an earlier forget_stream
   left, as it could not undo it. *refused: the threads cannot be held. */
HOSTCACHE_UNUSED static HC_USE *HC_I(prepare)(HC_CACHE *self, HC_BLOCK *block,
                                              struct HC_I(forgetting) *job,
                                              const struct HC_I(sighting) *sight, int early,
                                              HC_USE *alone, int *refused) {
  HC_USE *found = NULL, *before;
  *refused = HC_I(stop)(self);
  if (*refused) return alone;
  if (HC_I(keeps_marks)(block)) {
    if (sight->marked) found = HC_I(mark_of)(block, job->stream);
    if (found && found->early == HOSTCACHE_EARLY_SEEN) {
      before = found->early_event;
      found->early = (uint8_t)early;
      found->early_event = alone;
      alone = before;
    }
    if (sight->unknown && block->unknown_over == HOSTCACHE_EARLY_SEEN &&
        early == HOSTCACHE_EARLY_OVER)
      block->unknown_over = HOSTCACHE_EARLY_OVER;
  }
  HC_I(go_on)(self);
  return alone;
}

/* The threads cannot be held, so the stream is not forgotten. */
HOSTCACHE_UNUSED static hostcache_result HC_I(forget_refused)(HC_CACHE *self, const void *ptr) {
  HC_I(tell)(self, HOSTCACHE_ERR_UNSUPPORTED, 0,
             "the system refuses the barrier that forget_stream needs: it is not forgotten", ptr);
  return HOSTCACHE_ERR_UNSUPPORTED;
}

#if HC_HAS_TIMELINE

/* The first step, for one block. */
HOSTCACHE_UNUSED static hostcache_result HC_I(forget_prepare)(HC_CACHE *self, HC_BLOCK *block,
                                                              struct HC_I(forgetting) *job) {
  struct HC_I(sighting) sight;
  HOSTCACHE_LOCAL(HC_USE, made);
  const int seen = HC_I(see)(self, block, job, &sight);
  int refused;
  if (seen < 0) return HC_I(forget_refused)(self, block->ptr);
  if (!seen) return HOSTCACHE_OK;
  memset((void *)made, 0, sizeof *made); /* anew for each: this mark may be later than the last */
  made->stream = job->stream;
  if (!HC_I(use_record)(self, made, block, &job->tally) &&
      !HC_I(wait_stream)(self, job->stream, sight.ptr))
    return HOSTCACHE_ERR_EVENT;
  if (made->value > job->target) job->target = made->value;
  (void)HC_I(prepare)(self, block, job, &sight, HOSTCACHE_EARLY_OVER, NULL, &refused);
  return refused ? HC_I(forget_refused)(self, sight.ptr) : HOSTCACHE_OK;
}

#else

HOSTCACHE_UNUSED static hostcache_result HC_I(forget_prepare)(HC_CACHE *self, HC_BLOCK *block,
                                                              struct HC_I(forgetting) *job) {
  struct HC_I(sighting) sight;
  HC_USE *alone;
  const int seen = HC_I(see)(self, block, job, &sight);
  int recorded, over = 0, refused;
  if (seen < 0) return HC_I(forget_refused)(self, block->ptr);
  if (!seen) return HOSTCACHE_OK;
#ifdef HC_STREAM_WAIT
  over = sight.unknown;
  if (over && !HC_I(wait_stream)(self, job->stream, sight.ptr)) return HOSTCACHE_ERR_EVENT;
#else
  if (!sight.marked) return HOSTCACHE_OK; /* its free calls no hook: it quarantines the block */
#endif
  if (over) {
    (void)HC_I(prepare)(self, block, job, &sight, HOSTCACHE_EARLY_OVER, NULL, &refused);
    return refused ? HC_I(forget_refused)(self, sight.ptr) : HOSTCACHE_OK;
  }
  alone = (HC_USE *)HOSTCACHE_MALLOC(sizeof *alone);
  if (!alone) {
    HC_I(tell)(self, HOSTCACHE_ERR_NO_METADATA, 0,
               "HOSTCACHE_MALLOC had no memory to forget a stream: it is not forgotten", sight.ptr);
    return HOSTCACHE_ERR_NO_METADATA;
  }
  memset((void *)alone, 0, sizeof *alone);
  alone->stream = job->stream;
  recorded = HC_I(use_record)(self, alone, block, &job->tally);
  if (!recorded) {
    HOSTCACHE_FREE(alone);
    alone = NULL;
    over = HC_I(wait_stream)(self, job->stream, sight.ptr);
    if (!over) return HOSTCACHE_ERR_EVENT;
  } else if (self->config.streams_die_idle) {
    over = HC_I(wait_use)(self, alone, &job->tally);
    HC_I(event_leave)(self, alone);
    alone = NULL;
    if (!over) return HOSTCACHE_ERR_EVENT;
  }
  alone = HC_I(prepare)(self, block, job, &sight,
                        over ? HOSTCACHE_EARLY_OVER : HOSTCACHE_EARLY_EVENT, alone, &refused);
  HC_I(event_leave)(self, alone);
  return refused ? HC_I(forget_refused)(self, sight.ptr) : HOSTCACHE_OK;
}

#endif

/* Undoes that. What was waited for, for a use without room, is waited for anew by the next
   attempt. */
HOSTCACHE_UNUSED static void HC_I(forget_undo)(HC_CACHE *self, struct HC_I(forgetting) *job) {
  HC_USE *found, *all = NULL, *next;
  HC_SLAB *slab = NULL;
  HC_BLOCK *block;
  unsigned i = 0;
  if (HC_I(stop)(self)) return; /* nothing was prepared then, or the next free drops it */
  while ((block = HC_I(next_block)(self, &slab, &i)) != NULL) {
    if (!HC_I(keeps_marks)(block)) continue;
    found = HC_I(mark_of)(block, job->stream);
    if (found) {
      if (found->early_event) {
        found->early_event->next = all;
        all = found->early_event;
      }
      found->early = HOSTCACHE_EARLY_NONE;
      found->early_event = NULL;
    }
  }
  HC_I(go_on)(self);
  for (; all; all = next) {
    next = all->next;
    HC_I(event_leave)(self, all);
  }
}

/* Changes what was prepared on a block, but for a mark that was set again meanwhile: the use says
   so, as long as there is one no bit is set. Returns what is to be freed, or left to its end. In
   timeline mode the stream has reached job->target. All threads are held. */
HOSTCACHE_UNUSED static HC_USE *HC_I(forget_block)(HC_BLOCK *block,
                                                   struct HC_I(forgetting) *job) {
  HC_USE *found, *last, *alone = NULL;
  int early;
  if (!HC_I(keeps_marks)(block)) return NULL;
  found = HC_I(mark_of)(block, job->stream);
  if (found) {
    alone = found->early_event;
    early = found->early;
    found->early = HOSTCACHE_EARLY_NONE;
    found->early_event = NULL;
    if (early == HOSTCACHE_EARLY_EVENT) {
      found->kind = HOSTCACHE_USE_EVENT;
      found->event = alone->event;
      found->has_event = alone->has_event;
      alone->has_event = 0;
    } else if (found->value <= job->target &&
               (early == HOSTCACHE_EARLY_OVER || found->kind == HOSTCACHE_USE_VALUE)) {
      HC_I(note_used)(block);
      HC_I(set_use_count)(block, HC_I(use_count)(block) - 1);
      last = HC_I(use_at)(block, HC_I(use_count)(block));
      if (found != last) *found = *last;
    }
  }
  if (HC_I(is_unknown_of)(block, job->stream)) { /* else it is of one that others forget, perhaps */
    if (block->unknown_over == HOSTCACHE_EARLY_OVER) HC_I(set_unknown_uses)(block, 0);
    block->unknown_over = HOSTCACHE_EARLY_NONE;
    /* the others, for which it found no room, say that the block was used */
    HOSTCACHE_ASSERT(HC_I(is_captured)(block) == HC_I(is_capture_used)(block));
  }
  return alone;
}

/* Is a thread recording the uses of a block, and may it be on the stream? All threads are held. */
HOSTCACHE_UNUSED static int HC_I(is_recording)(HC_CACHE *self, struct HC_I(forgetting) *job) {
  HC_SLAB *slab = NULL;
  HC_BLOCK *block;
  unsigned i = 0, state;
  while ((block = HC_I(next_block)(self, &slab, &i)) != NULL) {
    state = HC_I(state_of)(block);
    if (state != HOSTCACHE_FREEING && state != HOSTCACHE_DEFERRED) continue;
    if ((HC_I(all_marks)(block) & job->bit) != 0 || HC_I(mark_of)(block, job->stream)) return 1;
    if (HC_I(is_unknown_of)(block, job->stream)) return 1;
  }
  return 0;
}

/* Does anything of a thread's wait that may still ask the stream? *queue: the stream's, if it is
   that. The thread is held. */
HOSTCACHE_UNUSED static int HC_I(thread_waits_on)(HC_THREAD *thread, struct HC_I(forgetting) *job,
                                                  HC_QUEUE **queue) {
  const HC_USE *use = thread->loose.head;
  *queue = HC_I(queue_of)(thread, job->lane);
  if (*queue && (*queue)->head) return 1;
  *queue = NULL;
  while (use && (use->kind == HOSTCACHE_USE_EVENT ||
                 !HC_I(same_stream)(use->stream, job->stream)))
    use = use->next;
  return use != NULL;
}

/* Does anything, of any thread's? All threads are held. */
HOSTCACHE_UNUSED static int HC_I(is_queued)(HC_CACHE *self, struct HC_I(forgetting) *job) {
  HC_THREAD *thread = &self->common, *next = HC_I(threads)(self);
  HC_QUEUE *queue;
  for (; thread; thread = next, next = next ? next->next : NULL)
    if (HC_I(thread_waits_on)(thread, job, &queue)) return 1;
  return 0;
}

/* Must the stream have come to its end when it is forgotten? */
HOSTCACHE_UNUSED static int HC_I(dies_idle)(const HC_CACHE *self) {
  return HC_HAS_TIMELINE || self->config.streams_die_idle;
}

/* Waits until nothing does, in any thread's queues, or a capture begins. 0, or -1 if one cannot be
   held. */
HOSTCACHE_UNUSED static int HC_I(wait_queued)(HC_CACHE *self, struct HC_I(forgetting) *job) {
  HC_THREAD *own = HC_I(here_already)(self), *thread = &self->common;
  HC_THREAD *next = HC_I(threads)(self);
  unsigned attempt;
  for (; thread; thread = next, next = next ? next->next : NULL) {
    for (attempt = 0;; attempt++) {
      HC_QUEUE *queue = NULL;
      int still;
      if (HC_I(hold)(self, thread, own)) return -1;
      still = HC_I(thread_waits_on)(thread, job, &queue);
      HC_I(let_go)(thread, own);
      if (!still || HC_I(is_capturing)(self)) break;
      if (queue && !job->tally.no_wait)
        (void)HC_I(wait_head)(self, thread, own, queue, UINT64_MAX, &job->tally);
      if (queue) HC_I(poll_queue)(self, thread, own, queue, &job->tally);
      HC_I(poll_loose)(self, thread, own, HC_LOOSE_PER_POLL, &job->tally);
      hostcache_pause(attempt);
    }
  }
  return 0;
}

/* The second step: waits for what is pending on the stream, and for what active blocks wait for. */
HOSTCACHE_UNUSED static hostcache_result HC_I(forget_wait)(HC_CACHE *self,
                                                           struct HC_I(forgetting) *job) {
  HOSTCACHE_LOCAL(HC_USE, last);
  if (!HC_I(dies_idle)(self)) return HOSTCACHE_OK;
  if (HC_I(wait_queued)(self, job)) return HC_I(forget_refused)(self, NULL);
  if (job->target > 0) { /* of a timeline */
    memset((void *)last, 0, sizeof *last);
    last->stream = job->stream;
    last->value = job->target;
    if (!HC_I(wait_use)(self, last, &job->tally)) return HOSTCACHE_ERR_EVENT;
  }
  return job->tally.failed ? HOSTCACHE_ERR_EVENT : HOSTCACHE_OK;
}

/* One thread at a time forgets a stream, since what it has prepared is its own: waits until no
   other one does. */
HOSTCACHE_RARE static void HC_I(forget_begin)(HC_CACHE *self, struct HC_I(forgetting) *job) {
  struct HC_I(forgetting) *other;
  unsigned attempt;
  for (attempt = 0;; attempt++) {
    hostcache_lock(&self->streams_lock);
    other = self->forgets;
    while (other && !HC_I(same_stream)(other->stream, job->stream)) other = other->next;
    if (!other) {
      job->next = self->forgets;
      self->forgets = job;
    }
    hostcache_unlock(&self->streams_lock);
    if (!other) return;
    hostcache_pause(attempt);
  }
}

HOSTCACHE_RARE static void HC_I(forget_end)(HC_CACHE *self, struct HC_I(forgetting) *job) {
  struct HC_I(forgetting) **at;
  hostcache_lock(&self->streams_lock);
  for (at = &self->forgets; *at != job;) at = &(*at)->next;
  *at = job->next;
  hostcache_unlock(&self->streams_lock);
}

/* Is an active block marked by the stream of a lane? All threads are held. */
HOSTCACHE_UNUSED static int HC_I(lane_is_marked)(HC_CACHE *self, const HC_LANE *lane) {
  HC_SLAB *slab = NULL;
  HC_BLOCK *block;
  unsigned i = 0;
  while ((block = HC_I(next_block)(self, &slab, &i)) != NULL) {
    if (!HC_I(keeps_marks)(block)) continue;
    if ((HC_I(all_marks)(block) & lane->bit) || HC_I(mark_of)(block, lane->stream)) return 1;
  }
  return 0;
}

/* Takes the lane out of the table and out of what threads remember. What waits in its queues goes
   on waiting. 0: it stays, as a block was marked by the stream meanwhile: that is a mark by the
   next stream of the handle. All threads are held. */
HOSTCACHE_RARE static int HC_I(lane_leave)(HC_CACHE *self, HC_LANE *lane) {
  HC_THREAD *thread = &self->common, *next = HC_I(threads)(self);
  HC_LANE **at;
  unsigned i;
  if (HC_I(lane_is_marked)(self, lane)) return 0;
  hostcache_lock(&self->streams_lock);
  at = &self->buckets[HC_I(stream_bucket)(lane->stream)];
  while (*at != lane) at = &(*at)->next; /* only who forgets its stream takes it out */
  *at = lane->next;
  lane->next = self->leaving;
  self->leaving = lane;
  lane->live = 0;
  lane->leaving = 1;
  hostcache_unlock(&self->streams_lock);
  for (; thread; thread = next, next = next ? next->next : NULL)
    for (i = 0; i < HC_KNOWN; i++)
      if (thread->known[i] == lane) thread->known[i] = NULL;
  return 1;
}

/* Ends the events of the pools of a lane that has left. If the threads cannot be held, it is not
   used again. */
HOSTCACHE_RARE static void HC_I(lane_end)(HC_CACHE *self, HC_LANE *lane) {
  HC_THREAD *thread = &self->common, *next = HC_I(threads)(self);
  HC_LANE **at;
  int refused = 0;
  for (; thread; thread = next, next = next ? next->next : NULL) {
    HC_THREAD *own = HC_I(here_already)(self);
    HC_EVENT *pool = NULL;
    uint32_t count = 0;
    HC_QUEUE *queue;
    if (HC_I(hold)(self, thread, own)) {
      refused = 1;
      continue;
    }
    queue = HC_I(queue_of)(thread, lane);
    if (queue && !hostcache_u32_load_acquire(&queue->claimed)) /* else the claimer does */
      pool = HC_I(queue_unclaim)(queue, &count);
    HC_I(let_go)(thread, own);
    HC_I(pool_end)(self, pool, count);
  }
  if (refused || HC_I(stop)(self)) return;
  hostcache_lock(&self->streams_lock);
  for (at = &self->leaving; *at != lane;) at = &(*at)->next;
  *at = lane->next;
  lane->next = self->retired;
  self->retired = lane;
  lane->leaving = 0;
  hostcache_unlock(&self->streams_lock);
  HC_I(go_on)(self);
}

#ifdef HC_STREAM_ORDERED

/* What is ready for the stream alone is covered by a fence from now on. EVENT: that failed;
   NO_METADATA: there is no memory for it, and on_error was told. */
HOSTCACHE_UNUSED static hostcache_result HC_I(forget_order)(HC_CACHE *self,
                                                            struct HC_I(forgetting) *job) {
  HC_ORDER *order =
      job->lane ? (HC_ORDER *)hostcache_ptr_load_acquire(&job->lane->order) : NULL;
  int result;
  if (!order) return HOSTCACHE_OK;
  result = HC_I(fence)(self, order, 1, &job->tally);
  if (result >= 0) return HOSTCACHE_OK;
  if (result == -1) return HOSTCACHE_ERR_EVENT;
  HC_I(tell)(self, HOSTCACHE_ERR_NO_METADATA, 0,
             "HOSTCACHE_MALLOC had no memory for an event: the stream is not forgotten", NULL);
  return HOSTCACHE_ERR_NO_METADATA;
}

/* Is a thread at the stream, or was something freed since? If not, the order is no stream's from
   now on, and its fences go on without one. All threads are held. */
HOSTCACHE_UNUSED static int HC_I(order_is_busy)(HC_CACHE *self, struct HC_I(forgetting) *job) {
  HC_ORDER *order;
  int busy;
  if (!job->lane) return 0;
  hostcache_lock(&self->segments_lock);
  order = (HC_ORDER *)job->lane->order;
  busy = order && (order->visitors > 0 || (order->uncovered && order->bytes > 0));
  if (order && !busy) {
    order->closed = 1;
    hostcache_ptr_store_release(&job->lane->order, NULL);
  }
  hostcache_unlock(&self->segments_lock);
  return busy;
}

#else

HOSTCACHE_INLINE hostcache_result HC_I(forget_order)(HC_CACHE *self,
                                                     struct HC_I(forgetting) *job) {
  (void)self;
  (void)job;
  return HOSTCACHE_OK;
}
HOSTCACHE_INLINE int HC_I(order_is_busy)(HC_CACHE *self, struct HC_I(forgetting) *job) {
  (void)self;
  (void)job;
  return 0;
}

#endif

/* The last step: changes all that was prepared, and forgets the handle. 1; 0 if a hook may be at
   the stream, or come to it: then nothing has changed; -1 likewise, if the threads cannot be
   held. */
HOSTCACHE_UNUSED static int HC_I(forget_commit)(HC_CACHE *self, struct HC_I(forgetting) *job) {
  HC_USE *all = NULL, *alone;
  HC_SLAB *slab = NULL;
  HC_BLOCK *block;
  unsigned i = 0;
  int leaves;
  if (HC_I(stop)(self)) return -1;
  if (HC_I(is_recording)(self, job) || (HC_I(dies_idle)(self) && HC_I(is_queued)(self, job)) ||
      HC_I(order_is_busy)(self, job)) {
    HC_I(go_on)(self);
    return 0;
  }
  while ((block = HC_I(next_block)(self, &slab, &i)) != NULL) {
    alone = HC_I(forget_block)(block, job);
    if (!alone) continue;
    alone->next = all;
    all = alone;
  }
  leaves = job->lane && HC_I(lane_leave)(self, job->lane);
  HC_I(go_on)(self);
  for (; all; all = alone) {
    alone = all->next;
    HC_I(event_leave)(self, all);
  }
  if (leaves) HC_I(lane_end)(self, job->lane);
  return 1;
}

/* BUSY, if a stream may be captured now, so that no event may be recorded or asked. */
HOSTCACHE_UNUSED static hostcache_result HC_I(unless_capturing)(HC_CACHE *self) {
  HC_THREAD *own = HC_I(here_already)(self);
  int capturing = 0;
  if (HC_HAS_CAPTURES) { /* held, so that a capture that begins now sees what this thread is at */
    HC_I(begin)(self, own);
    capturing = HC_I(is_capturing)(self);
    HC_I(end)(own);
  }
  return capturing ? HOSTCACHE_ERR_BUSY : HOSTCACHE_OK;
}

HOSTCACHE_UNUSED static hostcache_result HC_I(forget)(HC_CACHE *self,
                                                      struct HC_I(forgetting) *job) {
  HC_TALLY of_others = {0, 0, 0, 0, 0, 0}; /* on_error hears what fails: not this call's result */
  hostcache_result result = HOSTCACHE_OK;
  HC_SLAB *slab;
  HC_BLOCK *block;
  unsigned i, attempt;
  int done;

  HC_I(drain_deferred)(self, &of_others);
  for (slab = NULL, i = 0; (block = HC_I(next_block)(self, &slab, &i)) != NULL;) {
    result = HC_I(unless_capturing)(self);
    if (result == HOSTCACHE_OK) result = HC_I(forget_prepare)(self, block, job);
    if (result != HOSTCACHE_OK) break;
  }
  if (result == HOSTCACHE_OK) result = HC_I(unless_capturing)(self);
  if (result == HOSTCACHE_OK) result = HC_I(forget_order)(self, job);
  if (result == HOSTCACHE_OK) result = HC_I(forget_wait)(self, job);
  for (attempt = 0; result == HOSTCACHE_OK; attempt++) {
    done = HC_I(forget_commit)(self, job);
    if (done > 0) return HOSTCACHE_OK;
    result = HC_I(unless_capturing)(self);
    if (result != HOSTCACHE_OK) break;
    result = HC_I(forget_order)(self, job);
    if (result != HOSTCACHE_OK) break;
    if (done == 0) HC_I(drain_deferred)(self, &of_others);
    if (done < 0 || (HC_I(dies_idle)(self) && HC_I(wait_queued)(self, job)))
      result = HC_I(forget_refused)(self, NULL);
    else
      hostcache_pause(attempt);
  }
  HC_I(forget_undo)(self, job);
  return result;
}

#endif /* HC_HAS_STREAMS */

/* Quarantine. */

/* Lets a quarantined block go on, now that the device is idle, unless it was used in a capture: a
   step at a time, as the events of its untold uses are ended without a lock. Non-zero: there is
   more to do. */
HOSTCACHE_RARE static int HC_I(release_step)(HC_CACHE *self, HC_BLOCK *block) {
  HC_THREAD *own = HC_I(here_already)(self), *home;
  HOSTCACHE_LOCAL(HC_EVENT, event);
  int has_event = 0;
  uint32_t i;

  if (HC_I(state_of)(block) != HOSTCACHE_QUARANTINED) return 0;
  home = HC_I(hold_home)(self, block, own);
  if (!home) return 0;
  if (HC_I(state_of)(block) == HOSTCACHE_QUARANTINED && !HC_I(is_captured)(block)) {
    for (i = 0; i < HC_I(use_count)(block) && !has_event; i++) {
      HC_USE *use = HC_I(use_at)(block, i);
      if (use->fate != HOSTCACHE_FATE_UNTOLD || !use->has_event) continue;
      memcpy((void *)event, (const void *)&use->event, sizeof *event);
      use->has_event = 0;
      has_event = 1;
    }
    if (!has_event && block->outstanding == 0)
      HC_I(block_ready)(self, home, block, home == own);
    else if (!has_event)
      HC_I(turn)(self, home, block, HOSTCACHE_WAITING);
  }
  HC_I(let_go)(home, own);
  if (has_event) HC_I(event_destroy)(self, event);
  return has_event;
}

/* ---- 12. PUBLIC ---------------------------------------------------------------------------------
   In the order of section 4, which says what they promise. */

#ifdef __cplusplus
extern "C" {
#endif

/* The i-th lock that a cache holds itself, with its rank, or NULL after the last. */
HOSTCACHE_RARE static hostcache_mutex *HC_I(lock_by_number)(HC_CACHE *self, unsigned i,
                                                              unsigned *rank) {
#ifdef HC_TRACE
  if (i == 4) {
    *rank = HOSTCACHE_RANK_TRACE;
    return &self->trace_lock;
  }
#endif
  *rank = i == 0   ? HOSTCACHE_RANK_THREADS
          : i == 1 ? HOSTCACHE_RANK_COMMON
          : i == 2 ? HOSTCACHE_RANK_STREAMS
                   : HOSTCACHE_RANK_SEGMENTS;
  return i == 0   ? &self->threads_lock
         : i == 1 ? &self->common.lock
         : i == 2 ? &self->streams_lock
         : i == 3 ? &self->segments_lock
                  : NULL;
}

HOSTCACHE_RARE static void HC_I(dispose_lanes)(HC_LANE *lane) {
  HC_LANE *next;
  for (; lane; lane = next) {
    next = lane->next;
    HOSTCACHE_FREE(lane);
  }
}

/* Frees what stands in a chain of uses without a block. */
HOSTCACHE_RARE static void HC_I(dispose_uses)(HC_USE *use) {
  HC_USE *next;
  for (; use; use = next) {
    next = use->next;
    if (!use->block && !HC_I(is_spare)(use)) HOSTCACHE_FREE(use);
  }
}

HOSTCACHE_RARE static void HC_I(dispose_thread)(HC_THREAD *thread) {
  uint32_t i;
  for (i = 0; i < thread->queue_room; i++) {
    HC_QUEUE *queue = thread->queues[i];
    if (queue) HC_I(dispose_uses)(queue->head);
    if (queue && queue->pool) HOSTCACHE_FREE(queue->pool);
    if (queue) HOSTCACHE_FREE(queue);
  }
  if (thread->queues) HOSTCACHE_FREE(thread->queues);
  HC_I(dispose_uses)(thread->loose.head);
}

#ifdef HC_TRACE
HOSTCACHE_RARE static void HC_I(dispose_listeners)(struct HC_I(listener) *listener) {
  struct HC_I(listener) *next;
  for (; listener; listener = next) {
    next = listener->next;
    HOSTCACHE_FREE(listener);
  }
}
#endif

/* Frees what a block has besides its record: room for uses; and events that forget_stream prepared
   and could not take back, as the system refused the barrier. */
HOSTCACHE_RARE static void HC_I(dispose_block)(HC_BLOCK *block) {
#if HC_HAS_STREAMS
  uint32_t i;
  for (i = 0; i < HC_I(use_count)(block); i++) {
    const HC_USE *use = HC_I(use_at)(block, i); /* what is being freed has none, nor says so */
    HC_USE *alone = use->fate == HOSTCACHE_FATE_OPEN ? use->early_event : NULL;
    if (alone) HOSTCACHE_FREE(alone);
  }
#endif
  if (block->more) HOSTCACHE_FREE(block->more);
}

/* Frees the bookkeeping. Nobody uses the cache any more; threads that have records in it may live
   on, and end at this moment. */
HOSTCACHE_RARE static void HC_I(dispose)(HC_CACHE *self) {
  HC_THREAD *thread = HC_I(threads)(self), *next_thread;
  HC_SLAB *slab = (HC_SLAB *)self->slabs, *next_slab;
  unsigned i, rank;
  HC_GUARD_DROP(self);
  for (; thread; thread = next_thread) {
    next_thread = thread->next;
    hostcache_guest_remove(&thread->guest);
    HC_I(dispose_thread)(thread);
    hostcache_mutex_destroy(&thread->lock);
    HOSTCACHE_FREE(thread);
  }
  HC_I(dispose_thread)(&self->common);
  HC_I(dispose_uses)(self->untold);
  for (i = 0; i < HC_STREAM_BUCKETS; i++) HC_I(dispose_lanes)(self->buckets[i]);
  HC_I(dispose_lanes)(self->retired);
  HC_I(dispose_lanes)(self->leaving);
  for (; slab; slab = next_slab) {
    next_slab = slab->next;
    for (i = 0; i < HC_RECORDS; i++) HC_I(dispose_block)(HC_I(slab_block)(slab, i));
    HOSTCACHE_FREE(slab);
  }
  hostcache_index_dispose(&self->index, &self->spares.shelves);
#ifdef HC_POOLS
  while (self->pools) {
    HC_POOL *pool = self->pools;
    self->pools = pool->next;
    HOSTCACHE_FREE(pool);
  }
#endif
#ifdef HC_STREAM_ORDERED
  while (self->orders) {
    HC_ORDER *order = (HC_ORDER *)self->orders;
    self->orders = order->next;
    HOSTCACHE_FREE(order);
  }
#endif
#ifdef HC_TRACE
  HC_I(dispose_listeners)((struct HC_I(listener) *)self->trackers);
  HC_I(dispose_listeners)((struct HC_I(listener) *)self->observers);
  while (self->externals) {
    struct HC_I(external) *external = self->externals;
    self->externals = external->next;
    HOSTCACHE_FREE(external);
  }
  if (self->annals.ring) HOSTCACHE_FREE(self->annals.ring);
  if (self->owed) HOSTCACHE_FREE(self->owed);
#endif
  for (i = 0; i < self->locks_made; i++)
    hostcache_mutex_destroy(HC_I(lock_by_number)(self, i, &rank));
  hostcache_guests_close();
  HOSTCACHE_FREE(self);
}

/* The bound that max_cached_bytes stands for: 0 is none, and HOSTCACHE_NONE is nothing. */
HOSTCACHE_UNUSED static size_t HC_I(cached_bound)(size_t max_cached_bytes) {
  if (max_cached_bytes == 0) return SIZE_MAX;
  return max_cached_bytes == HOSTCACHE_NONE ? 0 : max_cached_bytes;
}

/* Fills in the defaults. ARGUMENT for what contradicts itself. */
HOSTCACHE_RARE static hostcache_result HC_I(configure)(hostcache_config *config) {
  const size_t most = (size_t)PTRDIFF_MAX / 2;
  size_t unit, split_least;
  if (HC_ALONE && (config->segment_bytes | config->class_max_bytes | config->class_steps |
                   config->reserve_segment_bytes))
    return HOSTCACHE_ERR_ARGUMENT;
  if (config->alignment == 0) config->alignment = HC_ALONE ? 64 : 512;
  if (config->query_error_limit == 0) config->query_error_limit = 3;
  if (config->max_segment_bytes == 0) config->max_segment_bytes = SIZE_MAX;
  if (config->max_split_size == 0) config->max_split_size = SIZE_MAX;
  if (config->class_max_bytes == 0 && !HC_ALONE) config->class_max_bytes = (size_t)1 << 20;
  if (config->class_steps == 0) config->class_steps = 8;

  if (config->streams_die_idle > 1) return HOSTCACHE_ERR_ARGUMENT;
  if (config->alignment & (config->alignment - 1)) return HOSTCACHE_ERR_ARGUMENT;
  if (config->alignment > most || config->class_max_bytes > most) return HOSTCACHE_ERR_ARGUMENT;
  if (config->class_steps > 64 || (config->class_steps & (config->class_steps - 1)))
    return HOSTCACHE_ERR_ARGUMENT;
  unit = HC_I(page_unit)(config);
  if (config->max_segment_bytes < unit) return HOSTCACHE_ERR_ARGUMENT; /* none could be got */
  if (config->segment_bytes > config->max_segment_bytes || config->segment_bytes > most)
    return HOSTCACHE_ERR_ARGUMENT;
  if (config->reserve_segment_bytes > most) return HOSTCACHE_ERR_ARGUMENT;
  config->reserve_segment_bytes = HC_I(round_up)(config->reserve_segment_bytes, unit);
  if (config->reserve_segment_bytes > config->max_segment_bytes ||
      config->reserve_segment_bytes > HC_I(cached_bound)(config->max_cached_bytes))
    return HOSTCACHE_ERR_ARGUMENT;
  if (config->max_reserved_bytes && config->reserve_segment_bytes > config->max_reserved_bytes)
    return HOSTCACHE_ERR_ARGUMENT;
  if (config->max_reserved_percent > 100) return HOSTCACHE_ERR_ARGUMENT;

  split_least = unit > SIZE_MAX / config->class_steps ? SIZE_MAX : unit * config->class_steps;
  if (config->max_split_size < split_least) /* below, classes are no whole pages */
    config->max_split_size = split_least;
  if (config->max_split_size <= most)
    config->max_split_size = HC_I(round_up)(config->max_split_size, unit);
  if (config->segment_bytes == 0) config->segment_bytes = (size_t)2 << 20;
  config->segment_bytes = HC_I(round_up)(config->segment_bytes, unit);
  if (config->segment_bytes > config->max_split_size)
    config->segment_bytes = config->max_split_size; /* else what is shared could not be split */
  if (config->segment_bytes > config->max_segment_bytes)
    config->segment_bytes = config->max_segment_bytes & ~(unit - 1);
  return HOSTCACHE_OK;
}

/* Gets the segment that the config asks for at creation. */
HOSTCACHE_RARE static hostcache_result HC_I(reserve_segment)(HC_CACHE *self) {
  const size_t size = self->config.reserve_segment_bytes;
  hostcache_result result;
  hostcache_status status;
  HC_BLOCK *range = NULL;
  HC_SPARES spares;
  hostcache_lock(&self->segments_lock);
  if (!HC_I(spares_for_segment)(self, &spares)) return HOSTCACHE_ERR_NO_METADATA;
  self->claimed = size;
  hostcache_unlock(&self->segments_lock);
  result = HC_I(segment_get)(self, size, HOSTCACHE_KIND_RESERVE, NULL, HOSTCACHE_NODE_ANY, &spares,
                             &range, &status);
  if (result == HOSTCACHE_ERR_OUT_OF_MEMORY)
    HC_I(tell)(self, result, status.code, "HC_MEM_ALLOC failed for reserve_segment_bytes", NULL);
  if (result != HOSTCACHE_OK) hostcache_lock(&self->segments_lock);
  self->wanted = size;
  HC_I(spares_return)(self, &spares);
  if (result == HOSTCACHE_OK) HC_I(make_ready)(self, range);
  hostcache_unlock(&self->segments_lock);
  return result;
}

/* Lowers the cap to the part of the budget that the config asks for. Before any other thread knows
   of the cache. */
HOSTCACHE_RARE static hostcache_result HC_I(bound_by_budget)(HC_CACHE *self) {
  const int64_t percent = self->config.max_reserved_percent;
  hostcache_budget budget;
  int64_t most;
  (void)hostcache_budget_read(&budget, HOSTCACHE_BUDGET_ROOT);
  if (budget.bytes == HOSTCACHE_UNKNOWN) {
    HC_I(tell)(self, HOSTCACHE_ERR_UNSUPPORTED, 0,
               "max_reserved_percent needs a budget, and the system tells nothing that bounds it",
               NULL);
    return HOSTCACHE_ERR_UNSUPPORTED;
  }
  most = budget.bytes / 100 * percent + budget.bytes % 100 * percent / 100;
  if ((uint64_t)most < self->max_reserved) self->max_reserved = (size_t)most;
  if (self->config.reserve_segment_bytes <= self->max_reserved) return HOSTCACHE_OK;
  HC_I(tell)(self, HOSTCACHE_ERR_LIMIT, 0,
             "reserve_segment_bytes is above max_reserved_percent of the budget", NULL);
  return HOSTCACHE_ERR_LIMIT;
}

/* What every function asks first. */
HOSTCACHE_INLINE hostcache_result HC_I(enter)(const HC_CACHE *self) {
  if (!self) return HOSTCACHE_ERR_ARGUMENT;
  if (self->process != hostcache_process()) return HOSTCACHE_ERR_FORKED;
  return HOSTCACHE_OK;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(create)(HC_CACHE **out,
                                                        const hostcache_config *given,
                                                        HC_CTX ctx) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  hostcache_result result;
  hostcache_mutex *lock;
  HC_CACHE *self;
  unsigned rank;

  if (!out) return HOSTCACHE_ERR_ARGUMENT;
  *out = NULL;
  if (given && given->version != HOSTCACHE_VERSION) return HOSTCACHE_ERR_ARGUMENT;
  if (given) config = *given; /* now that its size is known to be ours */
  result = HC_I(configure)(&config);
  if (result != HOSTCACHE_OK) return result;
  self = hostcache_watch_forks() == 0 ? (HC_CACHE *)HOSTCACHE_MALLOC(sizeof *self) : NULL;
  if (!self) return HOSTCACHE_ERR_NO_METADATA;
  memset((void *)self, 0, sizeof *self);
  self->ctx = ctx;
  self->config = config;
  self->process = hostcache_process();
  self->asymmetric = hostcache_barrier_ready();
  self->number = hostcache_guests_open();
  self->here_place = hostcache_here_place(self->number);
  self->epoch = 1;
  self->unit_shift = hostcache_log2(config.alignment);
  self->steps_shift = hostcache_log2(config.class_steps);
  if (config.thread_cache_bytes != HOSTCACHE_NONE) HC_I(size_bins)(self);
  self->common.cache = self;
  self->common.loose.poll_at = HC_POLL_EVERY;
  self->common.shared = HOSTCACHE_THREADS != HOSTCACHE_THREADS_NONE;
  self->stats.max_split_size =
      config.max_split_size > (size_t)PTRDIFF_MAX ? INT64_MAX : (int64_t)config.max_split_size;
  self->max_reserved = config.max_reserved_bytes ? config.max_reserved_bytes : SIZE_MAX;
  self->max_cached = HC_I(cached_bound)(config.max_cached_bytes);
  self->common.limit = self->common.shared ? 0 : HC_I(stock_limit)(self);
  hostcache_index_init(&self->index, config.alignment);
  while ((lock = HC_I(lock_by_number)(self, self->locks_made, &rank)) != NULL) {
    if (hostcache_mutex_init(lock, rank)) {
      HC_I(dispose)(self);
      return HOSTCACHE_ERR_NO_METADATA;
    }
    self->locks_made++;
  }
  if (config.max_reserved_percent) result = HC_I(bound_by_budget)(self);
#ifdef HC_DEVICE_ALLOCATOR
  self->cap_given = self->max_reserved;
  self->cap_by_fraction = SIZE_MAX;
  self->fraction = 1;
#endif
  if (result == HOSTCACHE_OK && config.reserve_segment_bytes)
    result = HC_I(reserve_segment)(self);
  if (result != HOSTCACHE_OK) {
    HC_I(dispose)(self);
    return result;
  }
#ifdef HC_OWN_SEGMENTS
  HC_I(instance_add)(self);
#endif
  *out = self;
  return HOSTCACHE_OK;
}

/* What the threads have counted, and what it comes to together. */
struct HC_I(totals) {
  HC_FLOW handed, pending, quarantined, used, requested, oversize;
  int64_t wasted_peak, stocked, stocked_bytes, stocked_peak;
  int64_t put, put_bytes, put_least; /* into stocks, ever; the size of the smallest of these */
  int64_t misses, records, queries;
};

HOSTCACHE_RARE static void HC_I(add_flow)(HC_FLOW *to, const HC_FLOW *flow) {
  to->in = HC_I(sum)(to->in, flow->in);
  to->out = HC_I(sum)(to->out, flow->out);
  to->in_bytes = HC_I(sum)(to->in_bytes, flow->in_bytes);
  to->out_bytes = HC_I(sum)(to->out_bytes, flow->out_bytes);
  to->peak = HC_I(sum)(to->peak, flow->peak);
  to->peak_bytes = HC_I(sum)(to->peak_bytes, flow->peak_bytes);
}

HOSTCACHE_UNUSED static int64_t HC_I(bytes_of)(int64_t count, size_t size) {
  return (int64_t)((uint64_t)count * size);
}

/* How many bytes a thread has had in stock at most: who puts more there notes it before the thread
   is let go. It is held. */
HOSTCACHE_RARE static int64_t HC_I(stock_peak)(const HC_THREAD *thread) {
  const size_t most = thread->most > thread->mark ? thread->most : thread->mark;
  HOSTCACHE_ASSERT(thread->stock_bytes <= most);
  return (int64_t)most;
}

/* Adds what one thread has counted. The thread is held. */
HOSTCACHE_RARE static void HC_I(add_thread)(const HC_CACHE *self, HC_THREAD *thread,
                                              struct HC_I(totals) *to) {
  size_t i;
  HC_I(note_pending)(thread);
  HC_I(add_flow)(&to->handed, &thread->handed); /* for its peaks */
  HC_I(add_flow)(&to->pending, &thread->pending);
  HC_I(add_flow)(&to->quarantined, &thread->quarantined);
  HC_I(add_flow)(&to->used, &thread->used);
  HC_I(add_flow)(&to->requested, &thread->requested);
  HC_I(add_flow)(&to->oversize, &thread->oversize);
  for (i = 0; i < HC_BINS && self->class_size[i]; i++) {
    const HC_BIN *bin = &thread->bins[i];
    const size_t size = self->class_size[i];
    const HC_FLOW of_bin = {bin->got, bin->put, HC_I(bytes_of)(bin->got, size),
                            HC_I(bytes_of)(bin->put, size), 0, 0};
    HC_I(add_flow)(&to->used, &of_bin);
    to->stocked += bin->put + bin->traded - bin->got;
    to->put = HC_I(sum)(to->put, bin->put);
    to->put_bytes = HC_I(sum)(to->put_bytes, HC_I(bytes_of)(bin->put, size));
    if (bin->put && (int64_t)size < to->put_least) to->put_least = (int64_t)size;
  }
  to->stocked_bytes += (int64_t)thread->stock_bytes;
  to->stocked_peak += HC_I(stock_peak)(thread);
  to->wasted_peak += thread->wasted_peak;
  to->misses += thread->misses;
  to->records += thread->records;
  to->queries += thread->queries;
}

HOSTCACHE_RARE static hostcache_stat HC_I(stat_of)(int64_t in, int64_t out, int64_t peak) {
  hostcache_stat stat;
  stat.current = HC_I(sum)(in, -out);
  stat.peak = peak;
  stat.allocated = in;
  stat.freed = out;
  return stat;
}

/* What a hostcache_stat counts is also in stocks and bins: `amount` is there, of `put` that ever
   came. (What leaves these for a heap comes once more there, so it counts as gone here.) */
HOSTCACHE_RARE static void HC_I(stat_raise)(hostcache_stat *stat, int64_t amount, int64_t put,
                                              int64_t peak) {
  stat->current = HC_I(sum)(stat->current, amount);
  stat->allocated = HC_I(sum)(stat->allocated, put);
  stat->freed = HC_I(sum)(stat->freed, HC_I(sum)(put, -amount));
  stat->peak = HC_I(sum)(stat->peak, peak);
}

/* Are there no threads with stocks, and were there none? */
HOSTCACHE_RARE static int HC_I(peaks_are_exact)(const HC_CACHE *self) {
  return !HC_I(threads)(self) && (self->common.shared || self->binned_max == 0);
}

/* The figures, as they were counted since the cache was made. Peaks are exact as long as no thread
   can have a stock; then those of what is in use count what the stocks hold, and those of what
   waits are the sums of the threads' own. segments_lock is held, and so is a thread: the common
   record, and all others if they can be (stats_lock). */
HOSTCACHE_RARE static void HC_I(sum_up)(HC_CACHE *self, hostcache_stats *stats) {
  struct HC_I(totals) all;
  const int is_exact = HC_I(peaks_are_exact)(self);
  const int64_t binned = (int64_t)self->binned_bytes;
  HC_THREAD *thread;
  int64_t in_bins = 0, split_peak;
  size_t i;

  memset((void *)&all, 0, sizeof all);
  all.put_least = INT64_MAX;
  HC_I(add_flow)(&all.used, &self->direct);
  HC_I(add_flow)(&all.requested, &self->direct_requested);
  HC_I(add_thread)(self, &self->common, &all);
  for (thread = HC_I(threads)(self); thread; thread = thread->next)
    HC_I(add_thread)(self, thread, &all);
  for (i = 0; i < HC_BINS; i++) {
    const HC_BLOCK *batch = self->batches[i];
    for (; batch; batch = batch->next) in_bins += batch->in.batch.count;
  }
  *stats = self->stats;
  HC_I(flow_handed)(&all.handed, &all.used, &all.pending, &all.quarantined);
  if (!is_exact) {
    all.handed.peak = all.used.peak = self->lent.peak;
    all.handed.peak_bytes = all.used.peak_bytes = self->lent_bytes.peak;
    all.requested.peak_bytes = self->lent_requested.peak;
    all.wasted_peak = self->lent_wasted.peak;
    all.oversize.peak = self->lent_oversize.peak;
  }
  stats->allocation = HC_I(stat_of)(all.handed.in, all.handed.out, all.handed.peak);
  stats->allocated_bytes =
      HC_I(stat_of)(all.handed.in_bytes, all.handed.out_bytes, all.handed.peak_bytes);
  stats->active = HC_I(stat_of)(all.used.in, all.used.out, all.used.peak);
  stats->active_bytes =
      HC_I(stat_of)(all.used.in_bytes, all.used.out_bytes, all.used.peak_bytes);
  stats->requested_bytes =
      HC_I(stat_of)(all.requested.in_bytes, all.requested.out_bytes, all.requested.peak_bytes);
  stats->wasted_bytes = HC_I(stat_of)(HC_I(rest)(all.used.in_bytes, all.requested.in_bytes),
                                      HC_I(rest)(all.used.out_bytes, all.requested.out_bytes),
                                      all.wasted_peak);
  stats->pending = HC_I(stat_of)(all.pending.in, all.pending.out, all.pending.peak);
  stats->pending_bytes =
      HC_I(stat_of)(all.pending.in_bytes, all.pending.out_bytes, all.pending.peak_bytes);
  stats->quarantined =
      HC_I(stat_of)(all.quarantined.in, all.quarantined.out, all.quarantined.peak);
  stats->quarantined_bytes = HC_I(stat_of)(
      all.quarantined.in_bytes, all.quarantined.out_bytes, all.quarantined.peak_bytes);
  stats->oversize_allocations =
      HC_I(stat_of)(all.oversize.in, all.oversize.out, all.oversize.peak);

  stats->cached_bytes =
      HC_I(stat_of)(self->ready.in_bytes, self->ready.out_bytes, self->ready.peak_bytes);
  stats->inactive_split =
      HC_I(stat_of)(HC_I(rest)(self->ready.in, self->idle.in),
                    HC_I(rest)(self->ready.out, self->idle.out), self->ready.peak);
  stats->inactive_split_bytes = /* what becomes a whole segment leaves them, and the reverse */
      HC_I(stat_of)(HC_I(sum)(self->ready.in_bytes, self->idle.out_bytes),
                    HC_I(sum)(self->ready.out_bytes, self->idle.in_bytes), self->idle.peak_bytes);
  split_peak = all.stocked_peak + (int64_t)self->binned_peak;
  HC_I(stat_raise)(&stats->cached_bytes, all.stocked_bytes + binned, all.put_bytes, split_peak);
  HC_I(stat_raise)(&stats->inactive_split_bytes, all.stocked_bytes + binned, all.put_bytes,
                   split_peak);
  split_peak = all.stocked_peak / all.put_least; /* no more blocks than that, ... */
  if (split_peak > self->lent.peak) split_peak = self->lent.peak;
  split_peak += (int64_t)self->binned_peak / all.put_least; /* ... and those of the bins */
  HC_I(stat_raise)(&stats->inactive_split, all.stocked + in_bins, all.put, split_peak);

  stats->num_misses = all.misses;
  stats->num_hits = HC_I(sum)(all.handed.in, -all.misses);
  stats->num_event_record = all.records;
  stats->num_event_query = all.queries;
}

/* Ending pools. */

#ifdef HC_POOLS

/* The segment after this one (the first: NULL) that is of a pool. segments_lock is held. O(log n),
   and the segments between that are of others. */
HOSTCACHE_RARE static HC_SEGMENT *HC_I(pool_segment)(const HC_CACHE *self, const HC_POOL *pool,
                                                     const HC_SEGMENT *before) {
  const size_t from = before ? (size_t)before->ptr + 1 : 0;
  const hostcache_node *node = hostcache_tree_ceiling(self->by_address, from);
  while (node && ((HC_SEGMENT *)node->owner)->pool != pool)
    node = hostcache_tree_ceiling(self->by_address, node->key + 1);
  return node ? (HC_SEGMENT *)node->owner : NULL;
}

/* A segment is everybody's from now on. All threads and segments_lock are held, or nobody else uses
   the cache. */
HOSTCACHE_RARE static void HC_I(segment_share)(HC_CACHE *self, HC_SEGMENT *segment) {
  HC_BLOCK *range, *ready = NULL;
  for (range = segment->first; range; range = range->right) {
    if (!range->is_ready) continue;
    HC_I(heap_remove)(self, HC_I(heap_of)(self, range), range);
    HC_I(count_pooled)(self, range, 0);
    range->next = ready;
    ready = range;
  }
  segment->pool = NULL;
  for (; ready; ready = range) {
    range = ready->next;
    ready->next = NULL;
    HC_GUARD_RANGE(ready);
    HC_I(heap_add)(self, HC_I(heap_of)(self, ready), ready);
  }
}

/* What was got for a capture, with this pool or (NULL) with none, is like any other block from now
   on; what was used in it and freed waits for its uses. All threads and segments_lock are held. */
HOSTCACHE_RARE static void HC_I(end_captures)(HC_CACHE *self, const HC_POOL *pool) {
  HC_SLAB *slab = NULL;
  HC_BLOCK *block;
  unsigned i = 0;
  while ((block = HC_I(next_block)(self, &slab, &i)) != NULL) {
    if (!HC_I(is_captured)(block) || HC_I(pool_of)(block->segment) != pool) continue;
    if (HC_I(state_of)(block) == HOSTCACHE_QUARANTINED) {
      HC_I(turn)(self, &self->common, block, HOSTCACHE_DEFERRED);
      HC_I(push_deferred)(self, block);
    } else if (!pool) {
      continue; /* active, and in the user's hands */
    }
    HC_I(uncapture)(block);
  }
}

/* Lets go on what was used in a capture outside of all pools. */
HOSTCACHE_RARE static void HC_I(release_captured)(HC_CACHE *self) {
  HC_TALLY tally = {0, 0, 0, 0, 0, 0};
  if (HC_I(stop)(self)) return;
  hostcache_lock(&self->segments_lock);
  HC_I(end_captures)(self, NULL);
  hostcache_unlock(&self->segments_lock);
  HC_I(go_on)(self);
  HC_I(drain_deferred)(self, &tally); /* on_error hears what fails */
}

/* All segments of a pool. All threads and segments_lock are held, or nobody else uses the cache. */
HOSTCACHE_RARE static void HC_I(pool_dissolve)(HC_CACHE *self, HC_POOL *pool) {
  HC_SEGMENT *segment = NULL;
  while ((segment = HC_I(pool_segment)(self, pool, segment)) != NULL)
    HC_I(segment_share)(self, segment);
  pool->stage = HOSTCACHE_POOL_NONE;
}

/* Those of all pools. Likewise. */
HOSTCACHE_RARE static void HC_I(pools_dissolve)(HC_CACHE *self) {
  HC_POOL *pool;
  for (pool = self->pools; pool; pool = pool->next) HC_I(pool_dissolve)(self, pool);
}

#else

HOSTCACHE_INLINE void HC_I(pools_dissolve)(HC_CACHE *self) { (void)self; }
HOSTCACHE_INLINE void HC_I(release_captured)(HC_CACHE *self) { (void)self; }

#endif

#ifdef HC_DEVICE_ALLOCATOR

/* The figures by pool. */

/* What the threads have counted of one pool, and what it comes to together. */
struct HC_I(column_totals) {
  HC_FLOW handed, used, requested;
  int64_t stocked, stocked_bytes, stocked_peak;
  int64_t put, put_bytes; /* into stocks, ever */
};

/* What of a class has been in a thread's stock, of one pool. */
HOSTCACHE_RARE static void HC_I(add_bin_column)(const HC_BIN *bin, size_t size, unsigned pool,
                                                struct HC_I(column_totals) *to) {
  const int64_t got = pool ? bin->large_got : HC_I(rest)(bin->got, bin->large_got);
  const int64_t put = pool ? bin->large_put : HC_I(rest)(bin->put, bin->large_put);
  const int64_t traded = pool ? bin->large_traded : HC_I(rest)(bin->traded, bin->large_traded);
  const int64_t stocked = put + traded - got;
  const HC_FLOW of_bin = {got, put, HC_I(bytes_of)(got, size), HC_I(bytes_of)(put, size), 0, 0};
  HC_I(add_flow)(&to->handed, &of_bin);
  HC_I(add_flow)(&to->used, &of_bin);
  to->stocked += stocked;
  to->stocked_bytes += HC_I(bytes_of)(stocked, size);
  to->put = HC_I(sum)(to->put, put);
  to->put_bytes = HC_I(sum)(to->put_bytes, HC_I(bytes_of)(put, size));
}

/* Adds what one thread has counted of a pool. It is held. */
HOSTCACHE_RARE static void HC_I(add_thread_column)(const HC_CACHE *self, const HC_THREAD *thread,
                                                   unsigned pool, struct HC_I(column_totals) *to) {
  const struct HC_I(thread_column) *column = &thread->columns[pool];
  size_t i;
  HC_I(add_flow)(&to->handed, &column->handed);
  HC_I(add_flow)(&to->used, &column->used);
  HC_I(add_flow)(&to->requested, &column->requested);
  for (i = 0; i < HC_BINS && self->class_size[i]; i++)
    HC_I(add_bin_column)(&thread->bins[i], self->class_size[i], pool, to);
  to->stocked_peak += HC_I(stock_peak)(thread);
}

/* The ready parts of segments of one pool: those in the heaps, and what stocks and bins hold. What
   stocks have held of the pool at most is not known: no more than all that they held, nor than was
   out of the shared lists. segments_lock is held. */
HOSTCACHE_RARE static void HC_I(sum_up_split)(const HC_CACHE *self, unsigned pool,
                                              const struct HC_I(column_totals) *all,
                                              hostcache_device_stats *stats) {
  const struct HC_I(column) *column = &self->columns[pool];
  const HC_FLOW *split = &column->split;
  hostcache_stat *count = &stats->inactive_split[HOSTCACHE_STAT_SMALL_POOL + pool];
  hostcache_stat *bytes = &stats->inactive_split_bytes[HOSTCACHE_STAT_SMALL_POOL + pool];
  int64_t stocked_peak = all->stocked_peak, blocks_peak;
  if (stocked_peak > column->lent_bytes.peak) stocked_peak = column->lent_bytes.peak;
  blocks_peak = stocked_peak >> self->unit_shift; /* no more blocks than that */
  if (blocks_peak > column->lent.peak) blocks_peak = column->lent.peak;
  *count = HC_I(stat_of)(split->in, split->out, split->peak);
  *bytes = HC_I(stat_of)(split->in_bytes, split->out_bytes, split->peak_bytes);
  HC_I(stat_raise)(count, all->stocked + column->binned.now, all->put,
                   blocks_peak + column->binned.peak);
  HC_I(stat_raise)(bytes, all->stocked_bytes + column->binned_bytes.now, all->put_bytes,
                   stocked_peak + column->binned_bytes.peak);
}

/* The column of one pool, as it was counted since the cache was made: as HC_I(sum_up), of which all
   that is said there holds. segments_lock is held. */
HOSTCACHE_RARE static void HC_I(sum_up_column)(const HC_CACHE *self, unsigned pool,
                                               hostcache_device_stats *stats) {
  const struct HC_I(column) *column = &self->columns[pool];
  const unsigned at = HOSTCACHE_STAT_SMALL_POOL + pool;
  const HC_THREAD *thread = HC_I(threads)(self);
  struct HC_I(column_totals) all;
  memset((void *)&all, 0, sizeof all);
  HC_I(add_flow)(&all.handed, &column->direct);
  HC_I(add_flow)(&all.used, &column->direct);
  HC_I(add_flow)(&all.requested, &column->direct_requested);
  HC_I(add_thread_column)(self, &self->common, pool, &all);
  for (; thread; thread = thread->next) HC_I(add_thread_column)(self, thread, pool, &all);
  if (!HC_I(peaks_are_exact)(self)) {
    all.handed.peak = all.used.peak = column->lent.peak;
    all.handed.peak_bytes = all.used.peak_bytes = column->lent_bytes.peak;
    all.requested.peak_bytes = column->lent_requested.peak;
  }
  stats->segment[at] = column->segment;
  stats->reserved_bytes[at] = column->reserved_bytes;
  stats->allocation[at] = HC_I(stat_of)(all.handed.in, all.handed.out, all.handed.peak);
  stats->allocated_bytes[at] =
      HC_I(stat_of)(all.handed.in_bytes, all.handed.out_bytes, all.handed.peak_bytes);
  stats->active[at] = HC_I(stat_of)(all.used.in, all.used.out, all.used.peak);
  stats->active_bytes[at] =
      HC_I(stat_of)(all.used.in_bytes, all.used.out_bytes, all.used.peak_bytes);
  stats->requested_bytes[at] =
      HC_I(stat_of)(all.requested.in_bytes, all.requested.out_bytes, all.requested.peak_bytes);
  HC_I(sum_up_split)(self, pool, &all, stats);
}

/* Those of both. Likewise. */
HOSTCACHE_RARE static void HC_I(sum_up_columns)(const HC_CACHE *self,
                                                hostcache_device_stats *stats) {
  unsigned pool;
  for (pool = 0; pool < 2; pool++) HC_I(sum_up_column)(self, pool, stats);
}

/* The i-th row of the columns, or NULL after the last. */
HOSTCACHE_RARE static hostcache_stat *HC_I(row_by_number)(hostcache_device_stats *stats,
                                                          unsigned i) {
  hostcache_stat *all[] = {stats->allocation,      stats->segment,
                           stats->active,          stats->inactive_split,
                           stats->allocated_bytes, stats->reserved_bytes,
                           stats->active_bytes,    stats->inactive_split_bytes,
                           stats->requested_bytes};
  return i < sizeof all / sizeof *all ? all[i] : NULL;
}

/* Fills in what is not of one pool. */
HOSTCACHE_RARE static void HC_I(aggregate)(const hostcache_stats *stats,
                                           hostcache_device_stats *out) {
  out->allocation[HOSTCACHE_STAT_AGGREGATE] = stats->allocation;
  out->segment[HOSTCACHE_STAT_AGGREGATE] = stats->segment;
  out->active[HOSTCACHE_STAT_AGGREGATE] = stats->active;
  out->inactive_split[HOSTCACHE_STAT_AGGREGATE] = stats->inactive_split;
  out->allocated_bytes[HOSTCACHE_STAT_AGGREGATE] = stats->allocated_bytes;
  out->reserved_bytes[HOSTCACHE_STAT_AGGREGATE] = stats->reserved_bytes;
  out->active_bytes[HOSTCACHE_STAT_AGGREGATE] = stats->active_bytes;
  out->inactive_split_bytes[HOSTCACHE_STAT_AGGREGATE] = stats->inactive_split_bytes;
  out->requested_bytes[HOSTCACHE_STAT_AGGREGATE] = stats->requested_bytes;
  out->oversize_allocations = stats->oversize_allocations;
  out->oversize_segments = stats->oversize_segments;
  out->num_alloc_retries = stats->num_alloc_retries;
  out->num_ooms = stats->num_ooms;
  out->num_sync_all_streams = stats->num_sync_all_streams;
  out->num_device_alloc = stats->segment.allocated;
  out->num_device_free = stats->segment.freed;
  out->max_split_size = stats->max_split_size;
}

/* segments_lock is held. */
HOSTCACHE_RARE static void HC_I(reset_column_peaks)(struct HC_I(column) *column) {
  column->segment.peak = column->segment.current;
  column->reserved_bytes.peak = column->reserved_bytes.current;
  column->split.peak = column->split.peak_bytes = 0; /* noted with what is ready */
  column->lent.peak = column->lent.now;
  column->lent_bytes.peak = column->lent_bytes.now;
  column->lent_requested.peak = column->lent_requested.now;
  column->binned.peak = column->binned.now;
  column->binned_bytes.peak = column->binned_bytes.now;
}

#endif

#ifdef HC_HOST_ALLOCATOR
/* Waits until nobody is in background_run, having said so. */
HOSTCACHE_RARE static void HC_I(end_loops)(HC_CACHE *self) {
  unsigned attempt;
  hostcache_u32_store_relaxed(&self->loops_stop, 1);
  for (attempt = 0;; attempt++) {
    size_t left;
    hostcache_lock(&self->threads_lock);
    left = self->loops;
    hostcache_unlock(&self->threads_lock);
    if (left == 0) return;
    hostcache_pause(attempt);
  }
}
#endif

#ifdef HC_GUARD

/* Tells of the blocks that are handed out, as destroy is BUSY, or as they are LEAKED; of the first
   of them one by one. The memory is looked at while there is a runtime. Nobody else uses the
   cache. */
HOSTCACHE_RARE static void HC_I(report_live)(HC_CACHE *self, hostcache_result result) {
  HC_SLAB *slab = NULL;
  HC_BLOCK *block;
  size_t count = 0;
  unsigned i = 0;
  while ((block = HC_I(next_block)(self, &slab, &i)) != NULL) {
    hostcache_words words = {"", 0};
    const void *ptr = block->ptr;
    if (HC_I(state_of)(block) != HOSTCACHE_ACTIVE) continue;
    if (result == HOSTCACHE_ERR_BUSY) {
      const void *damage = HC_I(guard_end)(block, &words);
      if (damage) HC_I(report)(self, HOSTCACHE_ERR_CORRUPT, words.text, damage);
      words.used = 0;
    }
    if (count++ >= HC_LIVE_TOLD) continue;
    hostcache_say(&words, "a block of ");
    hostcache_say_number(&words, block->requested, 10);
    hostcache_say(&words, " bytes is still handed out; ");
    hostcache_say_places(&words, block->places, HC_PLACES);
    HC_I(report)(self, result, words.text, ptr);
  }
  if (count > HC_LIVE_TOLD) {
    hostcache_words words = {"", 0};
    hostcache_say_number(&words, count - HC_LIVE_TOLD, 10);
    hostcache_say(&words, " more blocks are still handed out");
    HC_I(report)(self, result, words.text, NULL);
  }
}

/* A public function hands a block out, or has got none: notes its caller; where that is one of
   these itself, its own caller counts. */
HOSTCACHE_UNUSED static void HC_I(note_place)(HC_BLOCK *block, void *from) {
  if (block) hostcache_places(block->places, HC_PLACES, from);
}

HOSTCACHE_UNUSED static void HC_I(note_got)(HC_CACHE *self, HC_BLOCK *block, void *from) {
  if (block) HC_I(guard_got)(self, block);
  HC_I(note_place)(block, from);
}

#define HC_REPORT_LIVE(self, result) HC_I(report_live)(self, result)
#define HC_NOTE_GOT(self, block) HC_I(note_got)(self, block, HOSTCACHE_CALLER())
#define HC_NOTE_PLACE(block) HC_I(note_place)(block, HOSTCACHE_CALLER())

#else

#define HC_REPORT_LIVE(self, result) ((void)0)
#define HC_NOTE_GOT(self, block) ((void)0)
#define HC_NOTE_PLACE(block) ((void)0)

#endif

/* Holds all that the figures are made of: all threads, if they can be held, the common record and
   segments_lock. Returns whether the threads cannot be: what they count is read as it stands then.
   stats_unlock lets all go. */
HOSTCACHE_RARE static int HC_I(stats_lock)(HC_CACHE *self) {
  const int refused = HC_I(stop)(self);
  if (refused) hostcache_lock(&self->common.lock); /* else stop holds it */
  hostcache_lock(&self->segments_lock);
  return refused;
}

HOSTCACHE_RARE static void HC_I(stats_unlock)(HC_CACHE *self, int refused) {
  hostcache_unlock(&self->segments_lock);
  if (refused)
    hostcache_unlock(&self->common.lock);
  else
    HC_I(go_on)(self);
}

/* Polls once. Is anything active or pending even so? */
HOSTCACHE_RARE static int HC_I(is_busy)(HC_CACHE *self) {
  HC_TALLY tally = {0, 0, 0, 0, 0, 0};
  hostcache_stats stats;
  int refused, kept;
  HC_I(drain_deferred)(self, &tally);
  HC_I(poll_all)(self, SIZE_MAX, 1, &tally);
  refused = HC_I(stats_lock)(self);
  HC_I(sum_up)(self, &stats);
  kept = HC_I(is_ordered)(self);
  HC_I(stats_unlock)(self, refused);
  return kept || stats.active.current > stats.quarantined.current;
}

/* Ends a cache that is not busy: OK, or LEAKED. */
HOSTCACHE_RARE static hostcache_result HC_I(tear_down)(HC_CACHE *self) {
  HC_THREAD *thread, *next;
  HC_USE *use;
  int64_t left;
  uint32_t i;
#ifdef HC_OWN_SEGMENTS
  HC_I(instance_remove)(self);
#endif
#ifdef HC_HOST_ALLOCATOR
  HC_I(end_loops)(self);
#endif
  hostcache_lock(&self->segments_lock);
  HC_I(all_empty)(self); /* whatever the system says: nobody else is there to be held */
  HC_I(pools_dissolve)(self);
  hostcache_unlock(&self->segments_lock);
  (void)HC_I(bins_trim)(self, 0, UINT64_MAX);
  left = self->stats.segment.current + (self->untold != NULL);
  thread = &self->common;
  for (next = HC_I(threads)(self); thread; thread = next, next = next ? next->next : NULL) {
    for (i = 0; i < thread->queue_room; i++) {
      HC_QUEUE *queue = thread->queues[i];
      while (queue && queue->pool_count > 0)
        HC_I(event_destroy)(self, &queue->pool[--queue->pool_count]);
    }
    for (use = thread->loose.head; use; use = use->next) left += !use->block;
  }
  HC_I(dispose)(self);
  return left > 0 ? HOSTCACHE_ERR_LEAKED : HOSTCACHE_OK;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(destroy)(HC_CACHE *self) {
  hostcache_result result = HC_I(enter)(self);
  if (result != HOSTCACHE_OK) return result;
  if (!HC_I(is_busy)(self)) return HC_I(tear_down)(self);
  HC_REPORT_LIVE(self, HOSTCACHE_ERR_BUSY);
  return HOSTCACHE_ERR_BUSY;
}

HOSTCACHE_RARE HC_PUBLIC void HC_FN(abandon)(HC_CACHE *self) {
  if (HC_I(enter)(self) != HOSTCACHE_OK) return;
#ifdef HC_OWN_SEGMENTS
  HC_I(instance_remove)(self);
#endif
#ifdef HC_HOST_ALLOCATOR
  HC_I(end_loops)(self);
#endif
  HC_REPORT_LIVE(self, HOSTCACHE_ERR_LEAKED);
  HC_I(dispose)(self);
}

/* Has the time run out? UINT64_MAX never does. */
HOSTCACHE_UNUSED static int HC_I(is_late)(uint64_t began_ns, uint64_t timeout_ns) {
  return timeout_ns != UINT64_MAX && hostcache_now_ns() - began_ns >= timeout_ns;
}

/* What an allocation may still hope for. */
HC_HOPES {
  int64_t gains; /* how often a range got ready, or memory went back */
  int more;       /* something is pending, or on its way back to the runtime */
};

HOSTCACHE_UNUSED static HC_HOPES HC_I(look_ahead)(HC_CACHE *self) {
  const HC_THREAD *thread = HC_I(threads)(self);
  HC_HOPES hopes;
  hostcache_lock(&self->segments_lock);
  hopes.gains = HC_I(sum)(self->ready.in, self->stats.segment.freed);
  hopes.more = self->returning > 0;
  hostcache_unlock(&self->segments_lock);
  if (HC_I(is_capturing)(self)) return hopes; /* nothing is asked until it ends, by this thread
                                                 perhaps */
  if (hostcache_ptr_load_relaxed(&self->deferred)) hopes.more = 1;
  if (hostcache_u32_load_relaxed(&self->common.waiting)) hopes.more = 1;
  for (; thread; thread = thread->next)
    if (hostcache_u32_load_relaxed(&thread->waiting)) hopes.more = 1;
  return hopes;
}

/* There was no memory, or it would be above the cap. In order of cost: what asking everything that
   waits makes ready; new memory, after what is idle was given back; and then the same again, each
   time that something has become ready or has gone back, whoever did it, for as long as the config
   says. (Not longer: what is awaited may be a hook that this call is made from.) */
HOSTCACHE_UNUSED static hostcache_result HC_I(reclaim)(HC_CACHE *self, HC_THREAD *thread,
                                                       const HC_WANT *want, HC_BLOCK **out,
                                                       hostcache_status *status,
                                                       HC_TALLY *tally) {
  const uint64_t wait_ns =
      HC_I(flags_of)(want) & HOSTCACHE_REQUEST_NO_WAIT ? 0 : self->config.wait_on_limit_ns;
  const uint64_t began = hostcache_now_ns();
  hostcache_result result = HOSTCACHE_ERR_LIMIT, taken;
  int64_t tried = 0;
  unsigned attempt;
  int retried = 0;
  for (attempt = 0;; attempt++) {
    HC_HOPES hopes;
    HC_I(drain_deferred)(self, tally);
    HC_I(poll)(self, SIZE_MAX, tally);
    HC_I(gather)(self);
    (void)HC_I(fence_all)(self, 0, tally); /* what this waits for, if it does */
    hopes = HC_I(look_ahead)(self); /* before the look, so that nothing comes unseen after it */
    taken = HC_I(bin_take)(self, thread, want, out);
    if (*out || taken != HOSTCACHE_OK) return taken;
    if (attempt == 0 || hopes.gains != tried) {
      do {
        if (status->outcome == HOSTCACHE_NO_MEMORY) {
          if (!retried) HC_I(count)(self, &self->stats.num_alloc_retries);
          retried = 1;
          (void)HC_I(bins_trim)(self, 0, UINT64_MAX);
        }
        result = HC_I(grow)(self, want, out, status, tally);
        if (result == HOSTCACHE_OK && want->state == HOSTCACHE_ACTIVE)
          HC_I(activate)(self, thread, *out, want);
        if (result != HOSTCACHE_ERR_LIMIT && status->outcome != HOSTCACHE_NO_MEMORY) return result;
      } while (status->outcome == HOSTCACHE_NO_MEMORY && !retried);
      tried = hopes.gains;
    }
    if (!hopes.more || HC_I(is_late)(began, wait_ns)) break;
    hostcache_pause(attempt);
  }
  if (status->outcome == HOSTCACHE_NO_MEMORY) HC_I(count)(self, &self->stats.num_ooms);
  return result;
}

#ifdef HC_STREAM_ORDERED

#ifdef HC_CAN_WAIT

/* Takes for one stream what is ready for another one alone, and makes it wait for that one. *out is
   NULL if there is nothing, or it cannot be made to. */
HOSTCACHE_UNUSED static hostcache_result HC_I(take_after)(HC_CACHE *self, HC_THREAD *thread,
                                                          HC_ORDER *order, const HC_WANT *given,
                                                          HC_BLOCK **out, HC_TALLY *tally) {
  HC_WANT want = *given;
  hostcache_result result = HOSTCACHE_OK;
  HC_USE *fence;
  int has_enough;
  hostcache_lock(&self->segments_lock);
  has_enough = order->bytes >= given->size && !order->closed;
  order->visitors += (size_t)has_enough;
  hostcache_unlock(&self->segments_lock);
  if (!has_enough) return HOSTCACHE_OK;
  want.from = order;
  result = HC_I(heap_take)(self, &want, out);
  fence = *out ? HC_I(fence_new)(self, order) : NULL;
  if (fence && HC_I(fence_record)(self, fence, given->order, tally)) {
    HC_I(activate)(self, thread, *out, given);
  } else if (*out) {
    hostcache_lock(&self->segments_lock);
    HC_I(count_lent)(self, *out, 1, 0);
    HC_I(set_order)(*out, order);
    HC_I(make_ready)(self, *out);
    hostcache_unlock(&self->segments_lock);
    *out = NULL;
  }
  HC_I(visitor_leave)(self, order);
  return result;
}

#endif

/* Takes what is ready for other streams alone: what their fences make ready, or what this one can
   be made to wait for. As bin_take. */
HOSTCACHE_UNUSED static hostcache_result HC_I(take_ordered)(HC_CACHE *self, HC_THREAD *thread,
                                                            const HC_WANT *want, HC_BLOCK **out,
                                                            HC_TALLY *tally) {
  hostcache_result result = HOSTCACHE_OK;
  HC_ORDER *order = HC_I(orders)(self);
  if (want->pool) return result;
  for (; order; order = order->next) /* what is freed from now on may be wanted elsewhere */
    hostcache_u32_store_relaxed(&order->credit, HC_POLL_EVERY);
  if (HC_I(fence_all)(self, 0, tally)) {
    HC_I(poll)(self, HC_LOOSE_PER_POLL, tally);
    result = HC_I(bin_take)(self, thread, want, out);
  }
#ifdef HC_CAN_WAIT
  if (want->order && HC_I(drain_begin)(self)) {
    for (order = HC_I(orders)(self); order && !*out && result == HOSTCACHE_OK; order = order->next)
      if (order != want->order)
        result = HC_I(take_after)(self, thread, order, want, out, tally);
    HC_I(drain_end)(self);
  }
#endif
  return result;
}

#else

HOSTCACHE_INLINE hostcache_result HC_I(take_ordered)(HC_CACHE *self, HC_THREAD *thread,
                                                     const HC_WANT *want, HC_BLOCK **out,
                                                     HC_TALLY *tally) {
  (void)self, (void)thread, (void)want, (void)out, (void)tally;
  return HOSTCACHE_OK;
}

#endif

/* Gets a block, ACTIVE or LEAVING as it is wanted. In order of cost: what is
   ready; what a poll makes ready, of this thread's frees and then of all; what others have in
   stock; what a fence makes ready; new memory; and, if there is none, what reclaim gets. */
HOSTCACHE_UNUSED static hostcache_result HC_I(get)(HC_CACHE *self, HC_THREAD *thread,
                                                   const HC_WANT *want, HC_BLOCK **out,
                                                   HC_TALLY *tally) {
  hostcache_result result;
  hostcache_status status;
  result = HC_I(bin_take)(self, thread, want, out);
  if (*out || result != HOSTCACHE_OK) return result;
  HC_I(drain_deferred)(self, tally);
  HC_I(poll_thread)(self, thread, thread, HC_LOOSE_PER_POLL, tally);
  if (tally->ready > 0) {
    result = HC_I(bin_take)(self, thread, want, out);
    if (*out || result != HOSTCACHE_OK) return result;
  }
  HC_I(poll_others)(self, thread, HC_LOOSE_PER_POLL, tally);
  if (!want->pool) HC_I(gather)(self); /* no stock has anything of a pool's */
  result = HC_I(bin_take)(self, thread, want, out);
  if (*out || result != HOSTCACHE_OK) return result;
  result = HC_I(take_ordered)(self, thread, want, out, tally);
  if (*out || result != HOSTCACHE_OK) return result;
  if (HC_I(flags_of)(want) & HOSTCACHE_REQUEST_CACHED_ONLY) return HOSTCACHE_ERR_LIMIT;
  result = HC_I(grow)(self, want, out, &status, tally);
  if (result == HOSTCACHE_OK && want->state == HOSTCACHE_ACTIVE)
    HC_I(activate)(self, thread, *out, want);
  if (result == HOSTCACHE_ERR_LIMIT || status.outcome == HOSTCACHE_NO_MEMORY)
    result = HC_I(reclaim)(self, thread, want, out, &status, tally);
  HC_COLUMN(rejected, self, result);
  if (result == HOSTCACHE_ERR_LIMIT || result == HOSTCACHE_ERR_OUT_OF_MEMORY)
    HC_I(trace_oom)(self, result, want);
  if (result == HOSTCACHE_ERR_LIMIT)
    HC_I(tell)(self, result, 0,
               "max_reserved_bytes would be passed, also after all that is idle was given back",
               NULL);
  if (result == HOSTCACHE_ERR_OUT_OF_MEMORY)
    HC_I(tell)(self, result, status.code,
               status.outcome == HOSTCACHE_NO_MEMORY
                   ? "HC_MEM_ALLOC is out of memory, also after all that is idle was given back"
                   : "HC_MEM_ALLOC failed, not for want of memory: nothing was given back for it",
               NULL);
  return result;
}

/* Which pool an allocation belongs to. */

#ifdef HC_POOLS

HOSTCACHE_UNUSED static int HC_I(is_no_pool)(hostcache_pool_id id) {
  return id.first == 0 && id.second == 0;
}

/* The live pool of a name, or NULL. segments_lock is held. */
HOSTCACHE_RARE static HC_POOL *HC_I(pool_find)(const HC_CACHE *self, hostcache_pool_id id) {
  HC_POOL *pool = self->pools;
  while (pool && (pool->stage != HOSTCACHE_POOL_LIVE || pool->id.first != id.first ||
                  pool->id.second != id.second))
    pool = pool->next;
  return pool;
}

/* The open pool that was opened first after such an opening, or NULL. segments_lock is held. */
HOSTCACHE_RARE static HC_POOL *HC_I(pool_opened_after)(const HC_CACHE *self, uint64_t opened) {
  HC_POOL *pool, *found = NULL;
  for (pool = self->pools; pool; pool = pool->next)
    if (pool->opened > opened && (!found || pool->opened < found->opened)) found = pool;
  return found;
}

HOSTCACHE_RARE static hostcache_result HC_I(stream_unknown)(HC_CACHE *self, const char *what,
                                                            int64_t code) {
  HC_I(tell)(self, HOSTCACHE_ERR_HOOK, code, what, NULL);
  return HOSTCACHE_ERR_HOOK;
}

/* The stream that this thread allocates for, and whether it is being captured. */
HOSTCACHE_RARE static hostcache_result HC_I(stream_here)(HC_CACHE *self, const HC_WANT *want,
                                                         HC_STREAM *stream, int *captured) {
#ifdef HC_STREAM_CURRENT
  hostcache_status status = hostcache_done();
  if (want->stream)
    *stream = *want->stream;
  else
    status = HC_I(call_stream_current)(self, stream);
  if (status.outcome != HOSTCACHE_DONE)
    return HC_I(stream_unknown)(
        self, "HC_STREAM_CURRENT failed: which pool the block belongs to is unknown", status.code);
#ifdef HC_STREAM_IS_CAPTURING
  status = HC_I(call_stream_is_capturing)(self, *stream);
  if (status.outcome != HOSTCACHE_DONE && status.outcome != HOSTCACHE_PENDING)
    return HC_I(stream_unknown)(
        self, "HC_STREAM_IS_CAPTURING failed: whether the block may be reused is unknown",
        status.code);
  *captured = status.outcome == HOSTCACHE_DONE;
#endif
#endif
  (void)self;
  (void)want;
  (void)stream;
  (void)captured;
  return HOSTCACHE_OK;
}

/* Does the pool want what this thread allocates? With no lock held. */
HOSTCACHE_RARE static int HC_I(pool_wants)(hostcache_stream_filter filter, void *user,
                                           const HC_STREAM *stream) {
  int cancel, wants;
  if (!filter) return 1;
  cancel = hostcache_hook_begin();
  wants = filter(user, HC_HAS_STREAMS ? stream : NULL);
  hostcache_hook_end(cancel);
  return wants;
}

/* Says in `want` to which of the open pools the allocation belongs: the first that wants it, of
   which this thread is then a taker. With no lock held. HOOK: that cannot be told, or whether there
   is a capture. */
HOSTCACHE_RARE static hostcache_result HC_I(pool_choose)(HC_CACHE *self, HC_WANT *want) {
  HOSTCACHE_LOCAL(HC_STREAM, stream);
  hostcache_stream_filter filter = NULL;
  hostcache_result result;
  uint64_t opened = 0;
  void *user = NULL;
  HC_POOL *pool;
  int wants;
  memset((void *)stream, 0, sizeof *stream);
  result = HC_I(stream_here)(self, want, stream, &want->captured);
  if (result != HOSTCACHE_OK || want->pool) return result;
  for (;;) {
    hostcache_lock(&self->segments_lock);
    pool = HC_I(pool_opened_after)(self, opened);
    if (pool) {
      pool->takers++;
      pool->asking++;
      opened = pool->opened;
      filter = pool->filter;
      user = pool->user;
    }
    hostcache_unlock(&self->segments_lock);
    if (!pool) return HOSTCACHE_OK;
    wants = HC_I(pool_wants)(filter, user, stream);
    hostcache_lock(&self->segments_lock);
    pool->asking--;
    if (!wants) pool->takers--;
    hostcache_unlock(&self->segments_lock);
    if (!wants) continue;
    want->pool = pool;
    return HOSTCACHE_OK;
  }
}

HOSTCACHE_INLINE hostcache_result HC_I(pool_enter)(HC_CACHE *self, HC_WANT *want) {
  return HC_I(pool_is_open)(self) ? HC_I(pool_choose)(self, want) : HOSTCACHE_OK;
}

/* The same for the pool that the caller has said. NOT_FOUND: there is none. */
HOSTCACHE_UNUSED static hostcache_result HC_I(pool_enter_given)(HC_CACHE *self, HC_WANT *want,
                                                                hostcache_pool_id id) {
  hostcache_lock(&self->segments_lock);
  want->pool = HC_I(pool_find)(self, id);
  if (want->pool) want->pool->takers++;
  hostcache_unlock(&self->segments_lock);
  return want->pool ? HOSTCACHE_OK : HOSTCACHE_ERR_NOT_FOUND;
}

HOSTCACHE_UNUSED static void HC_I(taker_leave)(HC_CACHE *self, const HC_WANT *want) {
  if (!want->pool) return;
  hostcache_lock(&self->segments_lock);
  want->pool->takers--;
  hostcache_unlock(&self->segments_lock);
}

#else

HOSTCACHE_INLINE hostcache_result HC_I(pool_enter)(HC_CACHE *self, HC_WANT *want) {
  (void)self;
  (void)want;
  return HOSTCACHE_OK;
}
HOSTCACHE_INLINE void HC_I(taker_leave)(HC_CACHE *self, const HC_WANT *want) {
  (void)self;
  (void)want;
}

#endif

/* An allocation from this thread's stock: the hot path. NULL if there is nothing that fits. Like
   all that begins with raise_own, it need not ask which process this is: after a fork the table is
   empty. */
HOSTCACHE_INLINE HC_BLOCK *HC_I(hit)(HC_CACHE *self, size_t requested) {
  HC_THREAD *thread;
  HC_BLOCK *block;
  if (HOSTCACHE_RARELY(HC_PADDED(requested) - 1 >= self->binned_max)) return NULL; /* 0 wraps */
  if (HOSTCACHE_RARELY(!HC_I(raise_own)(self, &thread))) return NULL;
  block = HC_I(stock_take)(self, thread, HC_I(class_of)(self, HC_PADDED(requested)), requested);
  HC_I(lower)(thread);
  return block;
}

/* The rest of all forms of alloc. */
HOSTCACHE_UNUSED static hostcache_result HC_I(get_wanted)(HC_CACHE *self, HC_WANT *want,
                                                          HC_BLOCK **out) {
  const size_t requested = want->requested;
  HC_TALLY tally = {0, 0, 0, 0, 0, 0};
  hostcache_result result = HC_I(enter)(self);
  HC_THREAD *thread;
#ifdef HC_TRACE
  void *context = NULL;
#endif
  *out = NULL;
  if (result != HOSTCACHE_OK || requested == 0) return result;
#ifdef HC_TRACE
  if (HC_I(is_traced)(self)) context = HC_I(trace_ask)(self, HOSTCACHE_TRACE_ALLOC);
#endif
  result = HOSTCACHE_ERR_TOO_BIG;
  want->size = HC_I(block_size_for)(self, HC_PADDED(requested));
  thread = HC_I(here)(self);
  if (want->size) result = HC_I(pool_enter)(self, want);
  if (want->pool || want->captured) want->order = NULL; /* a replay has no order with the stream */
  if (result == HOSTCACHE_OK) result = HC_I(get)(self, thread, want, out, &tally);
  if (result != HOSTCACHE_OK) {
    hostcache_lock(&self->segments_lock);
    self->stats.last_failed_bytes =
        requested > (size_t)PTRDIFF_MAX ? INT64_MAX : (int64_t)requested;
    hostcache_unlock(&self->segments_lock);
  } else if (tally.hooks) {
    HC_I(begin)(self, thread);
    thread->misses++;
    HC_I(end)(thread);
  }
  if (tally.hooks) HC_I(shed)(self); /* what was made ready on the way; a hit calls no hook */
#ifdef HC_TRACE
  if (*out && HC_I(is_traced)(self))
    HC_I(trace_now)(self, HOSTCACHE_TRACE_ALLOC, *out, (*out)->ptr, (*out)->size, requested,
                    HC_I(pool_id)(want->pool), context);
#endif
  HC_I(taker_leave)(self, want);
  return result;
}

HOSTCACHE_APART hostcache_result HC_I(get_active)(HC_CACHE *self, size_t requested,
                                                  HC_BLOCK **out) {
  HC_WANT want = {0, requested, HOSTCACHE_ACTIVE, NULL, 0, NULL, NULL, NULL, NULL};
  return HC_I(get_wanted)(self, &want, out);
}

/* Both forms of alloc, where the stock has none. Of what is ready, in few steps: as drop and
   free_large in reverse. */
HOSTCACHE_APART hostcache_result HC_I(get_ready)(HC_CACHE *self, size_t requested,
                                                 HC_BLOCK **out) {
  const size_t number = HC_I(binned_class)(self, requested);
  const size_t size = number != HC_NO_BIN
                          ? self->class_size[number]
                          : HC_I(block_size_for)(self, HC_PADDED(requested));
  HC_BLOCK *block = NULL;
  HC_THREAD *thread;
  if (!HOSTCACHE_RARELY(size == 0 || !HC_I(raise_own)(self, &thread))) {
    block = HC_I(take_shared)(self, thread, number, size, requested);
    HC_I(lower)(thread);
  }
  if (HOSTCACHE_RARELY(!block)) return HC_I(get_active)(self, requested, out);
  *out = block;
  return HOSTCACHE_OK;
}

HC_PUBLIC hostcache_result HC_FN(alloc)(HC_CACHE *self, size_t size, void **ptr) {
  hostcache_result result;
  HC_BLOCK *block;
  if (HOSTCACHE_RARELY(!ptr)) return HOSTCACHE_ERR_ARGUMENT;
  *ptr = NULL;
  if (HOSTCACHE_RARELY(!self)) return HOSTCACHE_ERR_ARGUMENT;
  block = HC_I(hit)(self, size);
  if (!HOSTCACHE_RARELY(!block)) {
    HC_NOTE_GOT(self, block);
    *ptr = block->ptr;
    return HOSTCACHE_OK;
  }
  result = HC_I(get_ready)(self, size, &block);
  HC_NOTE_GOT(self, block);
  if (block) *ptr = block->ptr;
  return result;
}

HC_PUBLIC hostcache_result HC_FN(block_alloc)(HC_CACHE *self, size_t size, HC_BLOCK **block) {
  HC_BLOCK *got;
  if (HOSTCACHE_RARELY(!block)) return HOSTCACHE_ERR_ARGUMENT;
  *block = NULL;
  if (HOSTCACHE_RARELY(!self)) return HOSTCACHE_ERR_ARGUMENT;
  got = HC_I(hit)(self, size);
  if (HOSTCACHE_RARELY(!got)) {
    const hostcache_result result = HC_I(get_ready)(self, size, block);
    HC_NOTE_GOT(self, *block);
    return result;
  }
  HC_NOTE_GOT(self, got);
  *block = got;
  return HOSTCACHE_OK;
}

#ifdef HC_STREAM_ORDERED

/* One that a stream of this lane left behind, without visitors, and that is empty; or `fresh`, if
   there is none. segments_lock is held. */
HOSTCACHE_UNUSED static HC_ORDER *HC_I(order_to_use)(HC_CACHE *self, const HC_LANE *lane,
                                                     HC_ORDER *fresh) {
  HC_ORDER *order = HC_I(orders)(self);
  while (order && (order->lane != lane || order->bytes > 0 || order->fences > 0))
    order = order->next;
  HOSTCACHE_ASSERT(!order || order->closed); /* else the lane had it */
  if (!order) {
    order = fresh;
    order->next = HC_I(orders)(self);
    hostcache_ptr_store_release(&self->orders, order);
  }
  order->closed = 0;
  order->untold = 0;
  hostcache_u32_store_relaxed(&order->credit, HC_POLL_EVERY);
  return order;
}

/* The order of a lane, which gets one if it has none. NULL: there is no memory for it. */
HOSTCACHE_UNUSED static HC_ORDER *HC_I(order_make)(HC_CACHE *self, HC_LANE *lane) {
  HC_ORDER *order = (HC_ORDER *)hostcache_ptr_load_relaxed(&lane->order), *fresh;
  if (order) return order;
  fresh = (HC_ORDER *)HOSTCACHE_MALLOC(sizeof *fresh);
  if (!fresh) return NULL;
  memset((void *)fresh, 0, sizeof *fresh);
  fresh->lane = lane;
  hostcache_lock(&self->segments_lock);
  order = (HC_ORDER *)lane->order;
  if (!order) {
    order = HC_I(order_to_use)(self, lane, fresh);
    hostcache_ptr_store_release(&lane->order, order);
  }
  hostcache_unlock(&self->segments_lock);
  if (fresh != order) HOSTCACHE_FREE(fresh);
  return order;
}

/* The order of a stream, of which this thread is a visitor from now on, so that the stream is not
   forgotten meanwhile. NULL: there is no memory for it. */
HOSTCACHE_UNUSED static HC_ORDER *HC_I(order_enter)(HC_CACHE *self, HC_STREAM stream) {
  HC_THREAD *own = HC_I(here)(self);
  for (;;) {
    HC_LANE *lane = HC_I(lane_here)(self, own, stream, HOSTCACHE_USE_STREAM);
    HC_ORDER *order = lane ? HC_I(order_make)(self, lane) : NULL;
    if (!order) return NULL;
    HC_I(begin)(self, own);
    order = HC_I(lane_is_of)(lane, stream)
                ? (HC_ORDER *)hostcache_ptr_load_relaxed(&lane->order)
                : NULL;
    if (order) {
      hostcache_lock(&self->segments_lock);
      order->visitors++;
      hostcache_unlock(&self->segments_lock);
    }
    HC_I(end)(own);
    if (order) return order; /* else the stream was forgotten meanwhile */
  }
}

/* An allocation for a stream from what is ready for it alone: the hot path. NULL if there is
   nothing that fits, or it takes more. */
HOSTCACHE_INLINE HC_BLOCK *HC_I(order_hit)(HC_CACHE *self, size_t requested, HC_STREAM stream) {
  const size_t number = HC_I(binned_class)(self, requested);
  const size_t size = number != HC_NO_BIN
                          ? self->class_size[number]
                          : HC_I(block_size_for)(self, HC_PADDED(requested));
  HC_BLOCK *block = NULL;
  HC_THREAD *thread;
  HC_ORDER *order;
  HC_LANE *lane;
  if (size == 0 || !HC_I(raise_own)(self, &thread)) return NULL;
  lane = HC_I(lane_known)(thread, stream);
  order = lane ? (HC_ORDER *)hostcache_ptr_load_relaxed(&lane->order) : NULL;
  if (order) {
    hostcache_lock(&self->segments_lock);
    block = HC_I(heap_hit)(self, order->heaps, thread, size, requested);
    hostcache_unlock(&self->segments_lock);
    if (block) HC_I(order_mark)(block, lane);
  }
  HC_I(lower)(thread);
  return block;
}

/* What is wanted, for want->stream; as get_wanted. */
HOSTCACHE_UNUSED static hostcache_result HC_I(get_wanted_on)(HC_CACHE *self, HC_WANT *want,
                                                             HC_BLOCK **out) {
  HC_ORDER *order = HC_I(order_enter)(self, *want->stream);
  hostcache_result result;
  want->order = order;
  result = HC_I(get_wanted)(self, want, out);
  if (order) HC_I(visitor_leave)(self, order);
  if (!*out || want->order) return result;
  return HC_FN(block_record_stream)(self, *out, *want->stream); /* there is room for the first */
}

/* Both forms of alloc_on, where there is nothing in few steps. */
HOSTCACHE_APART hostcache_result HC_I(get_on)(HC_CACHE *self, size_t requested, HC_STREAM stream,
                                              HC_BLOCK **out) {
  HC_WANT want = {0, requested, HOSTCACHE_ACTIVE, NULL, 0, NULL, NULL, NULL, NULL};
  hostcache_result result = HC_I(enter)(self);
  if (result != HOSTCACHE_OK || requested == 0) return result;
  want.stream = &stream;
  return HC_I(get_wanted_on)(self, &want, out);
}

HC_PUBLIC hostcache_result HC_FN(alloc_on)(HC_CACHE *self, size_t size, HC_STREAM stream,
                                           void **ptr) {
  hostcache_result result;
  HC_BLOCK *block;
  if (!ptr) return HOSTCACHE_ERR_ARGUMENT;
  *ptr = NULL;
  result = HC_FN(block_alloc_on)(self, size, stream, &block);
  if (block) *ptr = block->ptr;
  return result;
}

HC_PUBLIC hostcache_result HC_FN(block_alloc_on)(HC_CACHE *self, size_t size, HC_STREAM stream,
                                                 HC_BLOCK **block) {
  HC_BLOCK *got;
  if (!block) return HOSTCACHE_ERR_ARGUMENT;
  *block = NULL;
  if (!self) return HOSTCACHE_ERR_ARGUMENT;
  got = HC_I(order_hit)(self, size, stream);
  if (!got) return HC_I(get_on)(self, size, stream, block);
  *block = got;
  return HOSTCACHE_OK;
}

#endif

#ifdef HC_ALLOC_EX

/* What is wrong with a request, if anything. */
HOSTCACHE_RARE static hostcache_result HC_I(request_fault)(const HC_CACHE *self,
                                                           const hostcache_request *request) {
  const uint32_t known = HOSTCACHE_REQUEST_CACHED_ONLY | HOSTCACHE_REQUEST_NO_WAIT;
  const size_t alignment = request->alignment;
  if (request->version != HOSTCACHE_VERSION || (request->flags & ~known) != 0)
    return HOSTCACHE_ERR_ARGUMENT;
  if ((alignment & (alignment - 1)) != 0 || request->node < HOSTCACHE_NODE_ANY)
    return HOSTCACHE_ERR_ARGUMENT;
#ifndef HC_MEM_ALLOC_ON_NODE
  if (request->node != HOSTCACHE_NODE_ANY) return HOSTCACHE_ERR_UNSUPPORTED;
#endif
#ifndef HC_STREAM_ORDERED
  if (request->stream) return HOSTCACHE_ERR_UNSUPPORTED;
#endif
#ifndef HC_POOLS
  if (request->pool.first != 0 || request->pool.second != 0) return HOSTCACHE_ERR_UNSUPPORTED;
#endif
  if (HC_ALONE && alignment > self->config.alignment) return HOSTCACHE_ERR_UNSUPPORTED;
  return HOSTCACHE_OK;
}

/* Is a segment possible in which a block of this size can be aligned so? */
HOSTCACHE_RARE static int HC_I(can_be_aligned)(const HC_CACHE *self, const HC_WANT *want) {
  const size_t size = HC_I(block_size_for)(self, HC_PADDED(want->requested));
  const size_t slack = HC_I(slack_for)(self, want);
  if (size == 0 || slack > (size_t)PTRDIFF_MAX / 2) return 0;
  return size <= (size_t)PTRDIFF_MAX / 2 &&
         HC_I(own_size)(self, size + slack) <= self->config.max_segment_bytes;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(alloc_ex)(HC_CACHE *self,
                                                          const hostcache_request *request,
                                                          void **ptr) {
  hostcache_result result;
  HC_BLOCK *block;
  if (!ptr) return HOSTCACHE_ERR_ARGUMENT;
  result = HC_FN(block_alloc_ex)(self, request, &block);
  HC_NOTE_PLACE(block);
  *ptr = block ? block->ptr : NULL;
  return result;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(block_alloc_ex)(HC_CACHE *self,
                                                                const hostcache_request *request,
                                                                HC_BLOCK **block) {
  HC_WANT want = {0, 0, HOSTCACHE_ACTIVE, NULL, 0, NULL, NULL, NULL, NULL};
  hostcache_result result;
  hostcache_request copy;
  if (!block) return HOSTCACHE_ERR_ARGUMENT;
  *block = NULL;
  result = HC_I(enter)(self);
  if (result != HOSTCACHE_OK) return result;
  if (!request) return HOSTCACHE_ERR_ARGUMENT;
  copy = *request;
  result = HC_I(request_fault)(self, &copy);
  if (result != HOSTCACHE_OK || copy.size == 0) return result;
  if (copy.alignment <= self->config.alignment) copy.alignment = 0;
  want.requested = copy.size;
  if (copy.alignment || copy.node != HOSTCACHE_NODE_ANY || copy.flags) want.more = &copy;
  if (!HC_I(can_be_aligned)(self, &want)) return HOSTCACHE_ERR_TOO_BIG;
#ifdef HC_POOLS
  if (!HC_I(is_no_pool)(copy.pool)) result = HC_I(pool_enter_given)(self, &want, copy.pool);
  if (result != HOSTCACHE_OK) return result;
#endif
#ifdef HC_STREAM_ORDERED
  want.stream = (const HC_STREAM *)copy.stream;
  if (want.stream) return HC_I(get_wanted_on)(self, &want, block);
#endif
  result = HC_I(get_wanted)(self, &want, block);
  HC_NOTE_GOT(self, *block);
  return result;
}

#endif

#if HC_HAS_STREAMS

/* The uses by stream that take more than a bit, in all their forms. */
HOSTCACHE_APART hostcache_result HC_I(record_mark)(HC_CACHE *self, HC_BLOCK *block,
                                                           const void *ptr, HC_STREAM stream,
                                                           int kind, uint64_t value) {
  hostcache_result result = HC_I(enter)(self);
  HOSTCACHE_LOCAL(HC_USE, use);
  if (result != HOSTCACHE_OK) return result;
  if (!block && !ptr) return HOSTCACHE_ERR_NOT_FOUND;
  memset((void *)use, 0, sizeof *use);
  use->kind = (uint8_t)kind;
  use->stream = stream;
  use->value = value;
  return HC_I(record)(self, block, ptr, use);
}

/* Marks by stream: first the hot path. */
HOSTCACHE_INLINE hostcache_result HC_I(record_stream)(HC_CACHE *self, HC_BLOCK *block,
                                                      const void *ptr, HC_STREAM stream) {
  HC_BLOCK *found = block;
  HC_THREAD *thread;
  int marked = 0;
  if (HOSTCACHE_RARELY(!self)) goto apart;
  if (HOSTCACHE_RARELY(!HC_I(raise_own)(self, &thread))) goto apart;
  if (ptr) found = HC_I(indexed_at)(self, &thread->leaves, ptr);
  if (!HOSTCACHE_RARELY(!found || found->cache != self ||
                        HC_I(state_of)(found) != HOSTCACHE_ACTIVE))
    marked = HC_I(mark)(thread, found, stream);
  HC_I(lower)(thread);
  if (!HOSTCACHE_RARELY(!marked)) return HOSTCACHE_OK;
apart:
  return HC_I(record_mark)(self, block, ptr, stream, HOSTCACHE_USE_STREAM, 0);
}

HC_PUBLIC hostcache_result HC_FN(record_stream)(HC_CACHE *self, void *ptr, HC_STREAM stream) {
  return HC_I(record_stream)(self, NULL, ptr, stream);
}

HC_PUBLIC hostcache_result HC_FN(block_record_stream)(HC_CACHE *self, HC_BLOCK *block,
                                                      HC_STREAM stream) {
  return HC_I(record_stream)(self, block, NULL, stream);
}

#endif

#ifdef HC_TIMELINE

HC_PUBLIC hostcache_result HC_FN(record_value)(HC_CACHE *self, void *ptr, HC_STREAM stream,
                                               uint64_t value) {
  return HC_I(record_mark)(self, NULL, ptr, stream, HOSTCACHE_USE_VALUE, value);
}

HC_PUBLIC hostcache_result HC_FN(block_record_value)(HC_CACHE *self, HC_BLOCK *block,
                                                     HC_STREAM stream, uint64_t value) {
  return HC_I(record_mark)(self, block, NULL, stream, HOSTCACHE_USE_VALUE, value);
}
#endif

#ifdef HC_EVENT_T

HOSTCACHE_UNUSED static hostcache_result HC_I(record_given)(HC_CACHE *self, HC_BLOCK *block,
                                                            const void *ptr, HC_EVENT event) {
  hostcache_result result = HC_I(enter)(self);
  HOSTCACHE_LOCAL(HC_USE, use);
  if (result != HOSTCACHE_OK) return result;
  if (!block && !ptr) return HOSTCACHE_ERR_NOT_FOUND;
  memset((void *)use, 0, sizeof *use);
  use->kind = HOSTCACHE_USE_EVENT;
  use->event = event;
#ifdef HC_EVENT_DESTROY
  use->has_event = 1;
#endif
  return HC_I(record)(self, block, ptr, use);
}

HC_PUBLIC hostcache_result HC_FN(record_event)(HC_CACHE *self, void *ptr, HC_EVENT event) {
  return HC_I(record_given)(self, NULL, ptr, event);
}

HC_PUBLIC hostcache_result HC_FN(block_record_event)(HC_CACHE *self, HC_BLOCK *block,
                                                     HC_EVENT event) {
  return HC_I(record_given)(self, block, NULL, event);
}
#endif

/* What is wrong with what was to be freed: DOUBLE_FREE or NOT_FOUND. */
HOSTCACHE_UNUSED static hostcache_result HC_I(why_not_free)(HC_CACHE *self, HC_BLOCK *block,
                                                            const void *ptr) {
  hostcache_result result = HOSTCACHE_ERR_DOUBLE_FREE;
  unsigned state;
  if (block && block->cache != self) return HOSTCACHE_ERR_NOT_FOUND;
  hostcache_lock(&self->segments_lock);
  if (!block) {
    block = (HC_BLOCK *)hostcache_index_floor(&self->index, (size_t)ptr);
    while (block && block->right && (size_t)block->right->ptr <= (size_t)ptr)
      block = block->right; /* ready ranges that were not handed out yet are not in the index */
    if (!block || block->ptr != ptr) result = HOSTCACHE_ERR_NOT_FOUND;
  }
  if (result != HOSTCACHE_ERR_NOT_FOUND) {
    state = HC_I(state_of)(block);
    if (state == HOSTCACHE_LEAKED || (state == HOSTCACHE_SPARE && !block->merged))
      result = HOSTCACHE_ERR_NOT_FOUND;
  }
  hostcache_unlock(&self->segments_lock);
  return result;
}

/* All forms of free, where it is not into this thread's stock. */
HOSTCACHE_APART hostcache_result HC_I(free_any)(HC_CACHE *self, HC_BLOCK *handle,
                                                        const void *ptr, int deferred) {
  hostcache_result result = HC_I(enter)(self);
  HC_TALLY tally = {0, 0, 0, 0, 0, 0}; /* on_error hears what fails: not this block's result */
  HC_THREAD *thread;
  HC_BLOCK *block;
  if (result != HOSTCACHE_OK || (!handle && !ptr)) return result;
  if (!deferred) HC_I(drain_deferred)(self, &tally);
  thread = deferred ? HC_I(here_already)(self) : HC_I(here)(self);
  HC_I(begin)(self, thread);
  block = handle ? handle : HC_I(active_at)(self, ptr);
  if (block && block->cache == self && HC_I(state_of)(block) == HOSTCACHE_ACTIVE &&
      (handle || HC_I(begins_at)(block, ptr))) {
    HC_I(trace_block)(self, block, HOSTCACHE_TRACE_FREE_REQUESTED);
    result = HC_I(put)(self, thread, block, deferred);
    if (deferred) return result;
    HC_I(trace_flush)(self);
    HC_I(shed)(self);
    return result;
  }
  HC_I(end)(thread);
  return HC_I(why_not_free)(self, handle, ptr);
}

/* The rest of a free that made the stock larger than it ever was: a call of its own, so that the
   hot path ends with it and needs none in its middle. The thread is held, and its own; it is let go
   here. */
HOSTCACHE_APART hostcache_result HC_I(drop_over)(HC_CACHE *self, HC_THREAD *thread,
                                                 const HC_BLOCK *block) {
  HC_I(stock_over)(self, thread, block->bin);
  HC_I(lower)(thread);
  (void)HC_I(bins_shed)(self);
  return HOSTCACHE_OK;
}

/* What the hot path of a free came to. */
enum {
  HC_I(not_dropped),
  HC_I(dropped),
  HC_I(dropped_over), /* this and the next: the thread is still held, as there is more to do */
  HC_I(dropped_marked),
  HC_I(dropped_large),
  HC_I(dropped_ordered)
};

/* A free into this thread's stock: the hot path. */
HOSTCACHE_INLINE int HC_I(drop)(HC_CACHE *self, HC_BLOCK **given, const void *ptr,
                                HC_THREAD **whose, size_t *marked) {
  HC_BLOCK *block = *given;
  HC_THREAD *thread;
  size_t life, marks;
  unsigned bin;
  if (HOSTCACHE_RARELY(!self)) return HC_I(not_dropped);
  if (HOSTCACHE_RARELY((size_t)hostcache_ptr_load_relaxed(&self->deferred) |
                       hostcache_u32_load_relaxed(&self->excess)))
    return HC_I(not_dropped);
  if (HOSTCACHE_RARELY(!HC_I(raise_own)(self, &thread))) return HC_I(not_dropped);
  if (!block) *given = block = HC_I(indexed_at)(self, &thread->leaves, ptr);
  if (HOSTCACHE_RARELY(!block || block->cache != self)) {
    HC_I(lower)(thread);
    return HC_I(not_dropped);
  }
  life = hostcache_size_load_acquire(&block->life);
  marks = HC_I(all_marks)(block);
  if (HOSTCACHE_RARELY((life & HOSTCACHE_STATE_MASK) != HOSTCACHE_ACTIVE ||
                       (ptr && !HC_I(begins_at)(block, ptr)))) {
    HC_I(lower)(thread);
    return HC_I(not_dropped);
  }
  bin = block->bin;
  if (HOSTCACHE_RARELY(block->extra_uses || bin == HC_NO_BIN)) {
    if (!block->extra_uses && !marks) {
      *whose = thread;
      return HC_I(dropped_large);
    }
#ifdef HC_STREAM_ORDERED
    if (HC_I(is_in_order)(block)) {
      *whose = thread;
      return HC_I(dropped_ordered);
    }
#endif
    HC_I(lower)(thread);
    return HC_I(not_dropped);
  }
  if (marks) {
    *whose = thread;
    *marked = marks;
    return HC_I(dropped_marked);
  }
  hostcache_ptr_store_release(&block->home, thread);
  hostcache_size_store_release(&block->life, life + HOSTCACHE_STOCKED - HOSTCACHE_ACTIVE);
  thread->requested.out_bytes =
      HC_I(sum)(thread->requested.out_bytes, (int64_t)block->requested);
  HC_COLUMN(dropped, thread, block);
  HC_I(stock_put)(thread, block, bin, self->class_size[bin]);
  if (HOSTCACHE_RARELY(thread->stock_bytes > thread->mark)) {
    *whose = thread;
    return HC_I(dropped_over);
  }
  HC_I(lower)(thread);
  return HC_I(dropped);
}

/* Frees a block of no bin that has no use: straight into a heap, in fewer steps than put. The
   thread is held, and its own; it is let go here. */
HOSTCACHE_APART hostcache_result HC_I(free_large)(HC_CACHE *self, HC_THREAD *thread,
                                                  HC_BLOCK *block) {
  int is_ours = 0;
  if (!HC_I(is_oversize)(self, block->size)) {
    hostcache_lock(&self->segments_lock);
    is_ours = HC_I(state_of)(block) == HOSTCACHE_ACTIVE; /* else two threads free it */
    if (is_ours) {
      HC_I(set_order)(block, NULL); /* it has no mark: its stream was forgotten */
      HC_GUARD_READY(block);
      HC_I(count_direct)(self, block, 0);
      HC_I(make_ready)(self, block);
    }
    hostcache_unlock(&self->segments_lock);
  }
  HC_I(lower)(thread);
  if (!is_ours) return HC_I(free_any)(self, block, NULL, 0);
  HC_I(shed)(self);
  return HOSTCACHE_OK;
}

#ifdef HC_STREAM_ORDERED

/* Frees a block that becomes ready for its stream alone, as free_large does. Likewise. */
HOSTCACHE_APART hostcache_result HC_I(free_ordered)(HC_CACHE *self, HC_THREAD *thread,
                                                    HC_BLOCK *block) {
  HC_ORDER *order = block->order;
  unsigned due = 0;
  int is_ours = 0;
  if (!HC_I(is_oversize)(self, block->size)) {
    hostcache_lock(&self->segments_lock);
    is_ours = HC_I(state_of)(block) == HOSTCACHE_ACTIVE; /* else two threads free it */
    if (is_ours) {
      HC_I(unmark_own)(block);
      HC_I(count_direct)(self, block, 0);
      HC_I(make_ready)(self, block);
      due = HC_I(order_due)(order);
    }
    hostcache_unlock(&self->segments_lock);
  }
  HC_I(lower)(thread);
  if (!is_ours) return HC_I(free_any)(self, block, NULL, 0);
  HC_I(order_freed)(self, thread, order, due);
  HC_I(shed)(self);
  return HOSTCACHE_OK;
}

#endif

#if HC_HAS_STREAMS

/* The rest of free_marked_by, apart so that its own frame stays small: `done` uses were recorded,
   and then one failed, or another thread says stop. `records` hooks were called. */
HOSTCACHE_APART hostcache_result HC_I(marked_apart)(HC_CACHE *self, HC_THREAD *thread,
                                                    HC_BLOCK *block, uint32_t done,
                                                    uint32_t failed, int64_t records) {
  HC_TALLY tally = {0, 0, 0, 0, 0, 0};
  tally.records = records;
  if (failed) HC_I(use_failed)(self, &block->in.uses[done], block->ptr, &tally);
  (void)HC_I(submit)(self, thread, block, done + failed, &tally, 1);
  HC_I(shed)(self);
  return failed ? HOSTCACHE_ERR_EVENT : HOSTCACHE_OK;
}

/* Likewise: it is time to poll. The thread is held, and its own; it is let go here. */
HOSTCACHE_APART hostcache_result HC_I(marked_due)(HC_CACHE *self, HC_THREAD *thread,
                                                  HC_QUEUE **due, uint32_t dues) {
  HC_TALLY tally = {0, 0, 0, 0, 0, 0};
  HC_I(lower)(thread);
  while (dues > 0) HC_I(poll_queue)(self, thread, thread, due[--dues], &tally);
  HC_I(shed)(self);
  return HOSTCACHE_OK;
}

/* Frees an active block of a bin that is marked by streams (`one`: by one) and has no other use:
   what put and submit do, in fewer steps, where nothing is out of the ordinary. The thread is held,
   and its own; it is let go here. */
HOSTCACHE_INLINE hostcache_result HC_I(free_marked_by)(HC_CACHE *self, HC_THREAD *thread,
                                                       HC_BLOCK *block, size_t marks, int one) {
  HC_TALLY tally = {0, 0, 0, 0, 0, 0};
  HC_QUEUE *due[HC_INLINE_USES];
  uint32_t count = HC_I(marks_begin)(thread, block, marks, one), dues = 0, i;
  const int64_t size = (int64_t)self->class_size[block->bin];
  if (HOSTCACHE_RARELY(count == 0)) {
    HC_I(lower)(thread);
    return HC_I(free_any)(self, block, NULL, 0);
  }
  const HC_STREAM stream = block->in.uses[0].queue->lane->stream; /* where there is but one */
  if (one) count = 1;                                             /* the compiler is to know it */
  hostcache_ptr_store_release(&block->home, thread);
  hostcache_size_store_release(&block->life,
                               block->life + HOSTCACHE_FREEING - HOSTCACHE_ACTIVE);
  HC_I(lower)(thread);
  for (i = 0; i < count; i++) {
    HC_USE *use = &block->in.uses[i];
    if (HOSTCACHE_RARELY(
            !HC_I(use_record_now)(self, use, one ? stream : use->stream, block, &tally)))
      return HC_I(marked_apart)(self, thread, block, i, 1, tally.records);
  }
  if (HOSTCACHE_RARELY(!HC_I(raise)(thread)))
    return HC_I(marked_apart)(self, thread, block, count, 0, tally.records);
  block->outstanding = (uint16_t)count;
  hostcache_size_store_release(&block->life,
                               block->life + HOSTCACHE_WAITING - HOSTCACHE_FREEING);
  HC_COLUMN(waits, thread, block, size);
  thread->pending.in++;
  thread->pending.in_bytes = HC_I(sum)(thread->pending.in_bytes, size);
  thread->records += count;
  for (i = 0; i < count; i++) {
    HC_USE *use = &block->in.uses[i];
    if (HC_I(queue_push)(self, thread, use->queue, use)) due[dues++] = use->queue;
  }
  if (HOSTCACHE_RARELY(dues)) return HC_I(marked_due)(self, thread, due, dues);
  HC_I(lower)(thread);
  return HOSTCACHE_OK;
}

/* The same, compiled once for one stream, as there is most often, ... The thread is held, and is
   let go here. */
HOSTCACHE_APART hostcache_result HC_I(free_marked)(HC_CACHE *self, HC_THREAD *thread,
                                                   HC_BLOCK *block, size_t marks) {
  return HC_I(free_marked_by)(self, thread, block, marks, 1);
}

/* ... and once for more. The thread is held, and is let go here. */
HOSTCACHE_APART hostcache_result HC_I(free_marked_more)(HC_CACHE *self, HC_THREAD *thread,
                                                        HC_BLOCK *block, size_t marks) {
  return HC_I(free_marked_by)(self, thread, block, marks, 0);
}

#endif

/* The rest of a free, by what the hot path of it came to. */
HOSTCACHE_INLINE hostcache_result HC_I(free_now)(HC_CACHE *self, HC_BLOCK *block, const void *ptr) {
  HC_THREAD *thread = NULL;
  size_t marks = 0;
  const int dropped =
      block || ptr ? HC_I(drop)(self, &block, ptr, &thread, &marks) : HC_I(not_dropped);
  if (dropped == HC_I(dropped)) return HOSTCACHE_OK;
  if (dropped == HC_I(dropped_over)) return HC_I(drop_over)(self, thread, block);
#if HC_HAS_STREAMS
  if (dropped == HC_I(dropped_marked))
    return (marks & (marks - 1)) == 0 ? HC_I(free_marked)(self, thread, block, marks)
                                      : HC_I(free_marked_more)(self, thread, block, marks);
#endif
  if (dropped == HC_I(dropped_large)) return HC_I(free_large)(self, thread, block);
#ifdef HC_STREAM_ORDERED
  if (dropped == HC_I(dropped_ordered)) return HC_I(free_ordered)(self, thread, block);
#endif
  return HC_I(free_any)(self, ptr ? NULL : block, ptr, 0);
}

#ifdef HC_GUARD

/* What is to be freed, or to leave (`leaves`): was it written to behind its end? Then that is told
   after the free, as the block is the user's until then, and its bookkeeping nobody's after. What
   has no use is made as if it were ready, while no lock is held. */
HOSTCACHE_UNUSED static const void *HC_I(guard_free)(HC_CACHE *self, HC_BLOCK *block,
                                                     const void *ptr, int leaves,
                                                     hostcache_words *words) {
  const void *damage;
  if (HC_I(enter)(self) != HOSTCACHE_OK || (!block && !ptr)) return NULL;
  if (!block) block = HC_I(active_at)(self, ptr);
  if (!block || block->cache != self || HC_I(state_of)(block) != HOSTCACHE_ACTIVE) return NULL;
  if ((ptr && !HC_I(begins_at)(block, ptr)) || !block->guarded) return NULL;
  damage = HC_I(guard_end)(block, words);
  if (!leaves && HC_I(all_marks)(block) == 0 && hostcache_u32_load_relaxed(&block->extra_uses) == 0)
    HC_I(guard_ready)(block);
  return damage;
}

/* The rest of it, after what the free said. */
HOSTCACHE_UNUSED static hostcache_result HC_I(guard_freed)(HC_CACHE *self, hostcache_result result,
                                                           const hostcache_words *words,
                                                           const void *damage) {
  if (!damage) return result;
  HC_I(report)(self, HOSTCACHE_ERR_CORRUPT, words->text, damage);
  return result == HOSTCACHE_OK ? HOSTCACHE_ERR_CORRUPT : result;
}

/* As free_now, and as free_any where that is not the deferred one. */
HOSTCACHE_UNUSED static hostcache_result HC_I(free_guarded)(HC_CACHE *self, HC_BLOCK *block,
                                                            const void *ptr, int now) {
  hostcache_words words = {"", 0};
  const void *damage = HC_I(guard_free)(self, block, ptr, 0, &words);
  const hostcache_result result =
      now ? HC_I(free_now)(self, block, ptr) : HC_I(free_any)(self, block, ptr, 0);
  return HC_I(guard_freed)(self, result, &words, damage);
}

#define HC_FREE_NOW(self, block, ptr) HC_I(free_guarded)(self, block, ptr, 1)
#define HC_FREE_ANY(self, ptr, deferred) \
  ((deferred) ? HC_I(free_any)(self, NULL, ptr, 1) : HC_I(free_guarded)(self, NULL, ptr, 0))
#define HC_USABLE(block) ((block)->guarded ? (block)->requested : (block)->size)

#else

#define HC_FREE_NOW(self, block, ptr) HC_I(free_now)(self, block, ptr)
#define HC_FREE_ANY(self, ptr, deferred) HC_I(free_any)(self, NULL, ptr, deferred)
#define HC_USABLE(block) ((block)->size)

#endif

#ifdef HC_OWN_SEGMENTS

/* Frees what the cache that was asked does not know into the one in whose memory it lies.
   NOT_FOUND: no block begins there, or, and that is *foreign, it lies in that of none. */
HOSTCACHE_UNUSED static hostcache_result HC_I(free_elsewhere)(const void *ptr, int deferred,
                                                              int *foreign) {
  HC_CACHE *owner;
  hostcache_result result;
  (void)HC_I(owner_borrow)(ptr, &owner); /* never FORKED: who was asked is of this process */
  *foreign = !owner;
  if (!owner) return HOSTCACHE_ERR_NOT_FOUND;
  result = HC_FREE_ANY(owner, ptr, deferred);
  HC_I(owner_return)(owner);
  return result;
}

/* Passes on what is in the memory of no cache. */
HOSTCACHE_UNUSED static hostcache_result HC_I(free_foreign)(HC_CACHE *self, void *ptr) {
#ifdef HC_FREE_FOREIGN
  const hostcache_status status = HC_I(call_free_foreign)(self, ptr);
  if (status.outcome == HOSTCACHE_DONE) return HOSTCACHE_OK;
  HC_I(tell)(self, HOSTCACHE_ERR_HOOK, status.code,
             "HC_FREE_FOREIGN failed: what became of the memory is not known here", ptr);
  return HOSTCACHE_ERR_HOOK;
#else
  (void)self;
  (void)ptr;
  return HOSTCACHE_ERR_NOT_FOUND;
#endif
}

HC_PUBLIC hostcache_result HC_FN(free)(HC_CACHE *self, void *ptr) {
  hostcache_result result = HC_FREE_ANY(self, ptr, 0);
  int foreign = 0;
  if (result == HOSTCACHE_ERR_NOT_FOUND) result = HC_I(free_elsewhere)(ptr, 0, &foreign);
  return foreign ? HC_I(free_foreign)(self, ptr) : result;
}

HC_PUBLIC hostcache_result HC_FN(free_deferred)(HC_CACHE *self, void *ptr) {
  hostcache_result result = HC_I(free_any)(self, NULL, ptr, 1);
  int foreign;
  if (result == HOSTCACHE_ERR_NOT_FOUND) result = HC_I(free_elsewhere)(ptr, 1, &foreign);
  return result;
}

#else

HC_PUBLIC hostcache_result HC_FN(free)(HC_CACHE *self, void *ptr) {
  return HC_FREE_NOW(self, NULL, ptr);
}

HC_PUBLIC hostcache_result HC_FN(free_deferred)(HC_CACHE *self, void *ptr) {
  return HC_I(free_any)(self, NULL, ptr, 1);
}

#endif

HC_PUBLIC hostcache_result HC_FN(block_free)(HC_CACHE *self, HC_BLOCK *block) {
  return HC_FREE_NOW(self, block, NULL);
}

HC_PUBLIC hostcache_result HC_FN(block_free_deferred)(HC_CACHE *self, HC_BLOCK *block) {
  return HC_I(free_any)(self, block, NULL, 1);
}

HC_PUBLIC void *HC_FN(block_ptr)(const HC_BLOCK *block) { return block ? block->ptr : NULL; }
HC_PUBLIC size_t HC_FN(block_size)(const HC_BLOCK *block) {
  return block ? HC_USABLE(block) : 0;
}
#ifdef HC_SEGMENT_T
HC_PUBLIC HC_RUNTIME const *HC_FN(block_segment)(const HC_BLOCK *block, size_t *offset) {
  HC_SEGMENT *segment = block ? block->segment : NULL;
  if (offset) *offset = segment ? (size_t)block->ptr - (size_t)segment->ptr : 0;
  return segment ? (HC_RUNTIME const *)&segment->runtime : NULL; /* the cast: it may be an array */
}
#endif

HC_PUBLIC HC_BLOCK *HC_FN(find)(HC_CACHE *self, const void *ptr) {
  if (HC_I(enter)(self) != HOSTCACHE_OK) return NULL;
  return HC_I(active_at)(self, ptr);
}

HC_PUBLIC hostcache_result HC_FN(process_events)(HC_CACHE *self, size_t *blocks_made_ready) {
  hostcache_result result = HC_I(enter)(self);
  HC_TALLY tally = {0, 0, 0, 0, 0, 0};
  if (blocks_made_ready) *blocks_made_ready = 0;
  if (result != HOSTCACHE_OK) return result;
  tally.no_wait = 1; /* never blocks: what cannot be recorded is quarantined */
  HC_I(drain_deferred)(self, &tally);
  HC_I(poll_all)(self, HC_LOOSE_PER_POLL, 0, &tally);
  (void)HC_I(bins_shed)(self);
  if (blocks_made_ready) *blocks_made_ready = tally.ready;
  return tally.failed ? HOSTCACHE_ERR_EVENT : HOSTCACHE_OK;
}

/* Waits until every block that others are about to queue at the call stands in its queues. Returns
   the last ticket of what was pending at the call. *settled: OK, or why they do not: TIMEOUT, or
   BUSY, as a stream may be captured. */
HOSTCACHE_UNUSED static uint64_t HC_I(settle)(HC_CACHE *self, HC_TALLY *tally, uint64_t began_ns,
                                              uint64_t timeout_ns, hostcache_result *settled) {
  HC_SLAB *slab = NULL;
  HC_BLOCK *block;
  unsigned i = 0, attempt;
  uint64_t ticket;
  *settled = HC_I(is_capturing)(self) ? HOSTCACHE_ERR_BUSY : HOSTCACHE_OK;
  while (*settled == HOSTCACHE_OK && (block = HC_I(next_block)(self, &slab, &i)) != NULL) {
    const size_t life = hostcache_size_load_relaxed(&block->life);
    if ((life & HOSTCACHE_STATE_MASK) != HOSTCACHE_DEFERRED) continue;
    for (attempt = 0;; attempt++) {
      HC_I(drain_deferred)(self, tally);
      if (hostcache_size_load_relaxed(&block->life) != life) break;
      if (HC_I(is_late)(began_ns, timeout_ns)) *settled = HOSTCACHE_ERR_TIMEOUT;
      if (HC_I(is_capturing)(self)) *settled = HOSTCACHE_ERR_BUSY;
      if (*settled != HOSTCACHE_OK) break;
      hostcache_pause(attempt);
    }
  }
  ticket = HC_I(next_epoch)(self);
  return ticket ? ticket : UINT64_MAX;
}

HC_PUBLIC hostcache_result HC_FN(synchronize)(HC_CACHE *self, uint64_t timeout_ns) {
  hostcache_result result = HC_I(enter)(self), settled;
  HC_TALLY tally = {0, 0, 0, 0, 0, 0};
  HC_THREAD *own, *whose;
  uint64_t ticket, began;
  HC_QUEUE *queue;
  unsigned attempt;
  int unseen = 0;
  if (result != HOSTCACHE_OK) return result;

  own = HC_I(here_already)(self);
  HC_I(count)(self, &self->stats.num_sync_all_streams);
  began = hostcache_now_ns();
  HC_I(drain_deferred)(self, &tally);
  (void)HC_I(fence_all)(self, 1, &tally);
  ticket = HC_I(settle)(self, &tally, began, timeout_ns, &settled);
  for (attempt = 0;; attempt++) {
    HC_I(poll)(self, SIZE_MAX, &tally);
    queue = HC_I(queue_pending)(self, own, ticket, &whose, &unseen);
    (void)HC_I(bins_shed)(self);
    if (settled == HOSTCACHE_OK && HC_I(is_capturing)(self)) settled = HOSTCACHE_ERR_BUSY;
    if (settled != HOSTCACHE_OK) return settled;
    if (unseen) return HOSTCACHE_ERR_UNSUPPORTED;
    if (!queue) return tally.failed ? HOSTCACHE_ERR_EVENT : HOSTCACHE_OK;
    if (HC_I(is_late)(began, timeout_ns)) return HOSTCACHE_ERR_TIMEOUT;
    if (timeout_ns == UINT64_MAX && !tally.no_wait && queue->lane &&
        HC_I(wait_head)(self, whose, own, queue, ticket, &tally))
      continue; /* not a loose queue: its claim would hold back events of other streams */
    hostcache_pause(attempt);
  }
}

/* Polls, and then gives back what has been idle for so long, down to `keep` bytes. */
HOSTCACHE_UNUSED static hostcache_result HC_I(trim)(HC_CACHE *self, size_t keep,
                                                    uint64_t idle_ns) {
  HC_TALLY tally = {0, 0, 0, 0, 0, 0};
  uint64_t before = UINT64_MAX;
  HC_I(drain_deferred)(self, &tally);
  HC_I(poll_all)(self, SIZE_MAX, 1, &tally);
  HC_I(gather)(self);
  if (idle_ns > 0) {
    before = hostcache_now_ns(); /* after what makes idle what is not old */
    if (idle_ns > before) keep = SIZE_MAX; /* for longer than the clock has run: nothing is */
    before -= idle_ns;
  }
  if (HC_I(bins_trim)(self, keep, before) | HC_I(bins_shed)(self)) return HOSTCACHE_ERR_LEAKED;
  return tally.failed ? HOSTCACHE_ERR_EVENT : HOSTCACHE_OK;
}

HC_PUBLIC hostcache_result HC_FN(empty_cache)(HC_CACHE *self) {
  hostcache_result result = HC_I(enter)(self);
  return result == HOSTCACHE_OK ? HC_I(trim)(self, 0, 0) : result;
}

HC_PUBLIC hostcache_result HC_FN(trim)(HC_CACHE *self, size_t keep_bytes) {
  hostcache_result result = HC_I(enter)(self);
  return result == HOSTCACHE_OK ? HC_I(trim)(self, keep_bytes, 0) : result;
}

HC_PUBLIC hostcache_result HC_FN(trim_idle)(HC_CACHE *self, uint64_t idle_ns) {
  hostcache_result result = HC_I(enter)(self);
  return result == HOSTCACHE_OK ? HC_I(trim)(self, 0, idle_ns) : result;
}

/* Takes so many blocks of a size at the same time, and makes them ready again. LIMIT also if they
   are not there and none may be got (may_grow is 0). */
HOSTCACHE_UNUSED static hostcache_result HC_I(set_aside)(HC_CACHE *self, size_t size,
                                                         size_t requested, size_t count,
                                                         int may_grow) {
  hostcache_result result = HOSTCACHE_OK;
  const HC_WANT want = {size, requested, HOSTCACHE_LEAVING, NULL, 0, NULL, NULL, NULL, NULL};
  HC_THREAD *thread = HC_I(here)(self);
  HC_BLOCK *got = NULL, *block;
  HC_TALLY tally = {0, 0, 0, 0, 0, 0};
  for (; count > 0 && result == HOSTCACHE_OK; count--) {
    block = NULL;
    result = may_grow ? HC_I(get)(self, thread, &want, &block, &tally)
                      : HC_I(heap_take)(self, &want, &block);
    if (result == HOSTCACHE_OK && !block) result = HOSTCACHE_ERR_LIMIT;
    if (block) {
      block->next = got;
      got = block;
    }
  }
  hostcache_lock(&self->segments_lock);
  if (self->claimed > self->wanted) self->wanted = self->claimed;
  HC_I(chain_ready)(self, got, 0);
  hostcache_unlock(&self->segments_lock);
  return result;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(reserve)(HC_CACHE *self, size_t size,
                                                         size_t count) {
  hostcache_result result = HC_I(enter)(self);
  size_t each, bound;
  if (result != HOSTCACHE_OK || size == 0 || count == 0) return result;
  each = HC_I(block_size_for)(self, HC_PADDED(size));
  if (each == 0 || count > (size_t)PTRDIFF_MAX / each) return HOSTCACHE_ERR_TOO_BIG;
  hostcache_lock(&self->segments_lock);
  bound = self->max_cached;
  hostcache_unlock(&self->segments_lock);
  if (each * count > bound) return HOSTCACHE_ERR_LIMIT; /* it would go back at once */
  HC_I(gather)(self);
  result = HC_I(set_aside)(self, each, size, count, 1);
  HC_I(gather)(self); /* also what a poll on the way has put into a stock */
  (void)HC_I(bins_shed)(self);
  if (result != HOSTCACHE_OK) return result;
  return HC_I(set_aside)(self, each, size, count, 0); /* is it there, after what had to go went? */
}

/* The cap that the user gave in bytes. */
HOSTCACHE_UNUSED static size_t *HC_I(cap_given)(HC_CACHE *self) {
#ifdef HC_DEVICE_ALLOCATOR
  return &self->cap_given;
#else
  return &self->max_reserved;
#endif
}

/* Where there are two caps the lower one counts. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(choose_cap)(HC_CACHE *self) {
#ifdef HC_DEVICE_ALLOCATOR
  self->max_reserved =
      self->cap_given < self->cap_by_fraction ? self->cap_given : self->cap_by_fraction;
#else
  (void)self;
#endif
}

/* One of the bounds was set: gives back what is above it. segments_lock is held, and is let go
   here. */
HOSTCACHE_UNUSED static hostcache_result HC_I(bound_set)(HC_CACHE *self) {
  HC_I(choose_cap)(self);
  hostcache_u32_store_relaxed(&self->excess, 1);
  hostcache_unlock(&self->segments_lock);
  HC_I(gather)(self);
  return HC_I(bins_shed)(self) ? HOSTCACHE_ERR_LEAKED : HOSTCACHE_OK;
}

HOSTCACHE_UNUSED static hostcache_result HC_I(set_bound)(HC_CACHE *self, size_t *bound,
                                                         size_t bytes) {
  hostcache_lock(&self->segments_lock);
  *bound = bytes;
  return HC_I(bound_set)(self);
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(set_max_reserved_bytes)(HC_CACHE *self,
                                                                        size_t bytes) {
  hostcache_result result = HC_I(enter)(self);
  if (result != HOSTCACHE_OK) return result;
  return HC_I(set_bound)(self, HC_I(cap_given)(self), bytes ? bytes : SIZE_MAX);
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(set_max_cached_bytes)(HC_CACHE *self,
                                                                      size_t bytes) {
  hostcache_result result = HC_I(enter)(self);
  if (result != HOSTCACHE_OK) return result;
  return HC_I(set_bound)(self, &self->max_cached, HC_I(cached_bound)(bytes));
}
#ifdef HC_STREAM_T
HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(forget_stream)(HC_CACHE *self, HC_STREAM stream) {
  hostcache_result result = HC_I(enter)(self);
  HOSTCACHE_LOCAL(struct HC_I(forgetting), job);
  HC_THREAD *own;
  if (result != HOSTCACHE_OK) return result;
  memset((void *)job, 0, sizeof *job);
  job->stream = stream;
  HC_I(forget_begin)(self, job);
  job->lane = HC_I(lane_of)(self, stream);
  if (job->lane) job->bit = job->lane->bit;
  result = HC_I(forget)(self, job);
  own = HC_I(here_already)(self);
  HC_I(begin)(self, own);
  HC_I(count_asked)(own, &job->tally);
  HC_I(end)(own);
  HC_I(forget_end)(self, job);
  (void)HC_I(bins_shed)(self);
  return result;
}
#endif

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(release_quarantine)(HC_CACHE *self) {
  hostcache_result result = HC_I(enter)(self);
  HC_SLAB *slab = NULL;
  HC_USE *alone, *next;
  HC_BLOCK *block;
  unsigned i = 0;
  if (result != HOSTCACHE_OK) return result;
  HC_I(orders_release)(self);
  HC_I(release_captured)(self); /* first, as a use of these may turn out to be untold */
  while ((block = HC_I(next_block)(self, &slab, &i)) != NULL)
    while (HC_I(release_step)(self, block)) continue;
  hostcache_lock(&self->common.lock);
  alone = self->untold;
  self->untold = NULL;
  hostcache_unlock(&self->common.lock);
  for (; alone; alone = next) {
    next = alone->next;
    HC_I(event_destroy)(self, &alone->event);
    alone->next = NULL;
    HC_I(free_alone)(self, alone);
  }
  (void)HC_I(bins_shed)(self);
  return HOSTCACHE_OK;
}

#ifdef HC_OWN_SEGMENTS

/* The active block that begins at `ptr` leaves. */
HOSTCACHE_UNUSED static hostcache_result HC_I(let_leave)(HC_CACHE *self, const void *ptr) {
  HC_THREAD *thread = HC_I(here)(self);
  hostcache_pool_id pool;
  HC_BLOCK *block;
  size_t size;
  HC_I(begin)(self, thread);
  block = HC_I(active_at)(self, ptr);
  if (!block || !HC_I(begins_at)(block, ptr)) {
    HC_I(end)(thread);
    return HC_I(why_not_free)(self, NULL, ptr);
  }
  size = block->size;
  pool = HC_I(pool_id)(HC_I(pool_of)(block->segment));
  HC_I(trace_block)(self, block, HOSTCACHE_TRACE_FREE_REQUESTED);
  HC_I(trace_block)(self, block, HOSTCACHE_TRACE_FREE_COMPLETED);
  HC_I(turn)(self, thread, block, HOSTCACHE_LEAVING);
  hostcache_lock(&self->segments_lock);
  HC_I(count_lent)(self, block, 1, 0);
  HC_GUARD_PART(block);
  HC_I(segment_unlist)(self, block->segment);
  HC_I(segment_retire)(self, block);
  hostcache_unlock(&self->segments_lock);
  HC_I(end)(thread);
  HC_I(trace_segment)(self, HOSTCACHE_TRACE_SEGMENT_FREE, ptr, size, pool);
  return HOSTCACHE_OK;
}

#ifdef HC_GUARD
/* The same, once it was looked at whether it was written to behind its end. */
HOSTCACHE_UNUSED static hostcache_result HC_I(leave_guarded)(HC_CACHE *self, const void *ptr) {
  hostcache_words words = {"", 0};
  const void *damage = HC_I(guard_free)(self, NULL, ptr, 1, &words);
  return HC_I(guard_freed)(self, HC_I(let_leave)(self, ptr), &words, damage);
}
#define HC_LET_LEAVE(self, ptr) HC_I(leave_guarded)(self, ptr)
#else
#define HC_LET_LEAVE(self, ptr) HC_I(let_leave)(self, ptr)
#endif

HC_PUBLIC hostcache_result HC_FN(record_free)(HC_CACHE *self, void *ptr) {
  hostcache_result result = self ? HC_I(enter)(self) : HOSTCACHE_OK;
  HC_CACHE *owner;
  if (result != HOSTCACHE_OK || !ptr) return result;
  if (self) result = HC_LET_LEAVE(self, ptr);
  if (self && result != HOSTCACHE_ERR_NOT_FOUND) return result;
  result = HC_I(owner_borrow)(ptr, &owner);
  if (result != HOSTCACHE_OK) return result;
  if (!owner) return HOSTCACHE_ERR_NOT_FOUND;
  result = HC_LET_LEAVE(owner, ptr);
  HC_I(owner_return)(owner);
  return result;
}

HC_PUBLIC hostcache_result HC_FN(free_cached)(HC_CACHE *self) { return HC_FN(empty_cache)(self); }

HOSTCACHE_THREAD_LOCAL hostcache_guard *HC_I(guards); /* of this thread, the innermost first */

HC_PUBLIC hostcache_result HC_FN(guard_push)(HC_CACHE *cache, hostcache_guard *guard) {
  hostcache_result result = cache ? HC_I(enter)(cache) : HOSTCACHE_OK;
  const hostcache_guard *pushed = HC_I(guards);
  if (result != HOSTCACHE_OK) return result;
  while (pushed && pushed != guard) pushed = pushed->outer;
  if (!guard || pushed) return HOSTCACHE_ERR_ARGUMENT;
  guard->cache = cache;
  guard->outer = HC_I(guards);
  HC_I(guards) = guard;
  return HOSTCACHE_OK;
}

HC_PUBLIC hostcache_result HC_FN(guard_pop)(hostcache_guard *guard) {
  if (!guard || HC_I(guards) != guard) return HOSTCACHE_ERR_ARGUMENT;
  HC_I(guards) = guard->outer;
  return HOSTCACHE_OK;
}

HC_PUBLIC HC_CACHE *HC_FN(current)(void) {
  return HC_I(guards) ? (HC_CACHE *)HC_I(guards)->cache : NULL;
}

#endif

/* The i-th hostcache_stat of the figures, or NULL after the last: they stand one after the
   other. */
HOSTCACHE_RARE static hostcache_stat *HC_I(stat_by_number)(hostcache_stats *stats, unsigned i) {
  hostcache_stat *all[] = {&stats->allocation,
                           &stats->segment,
                           &stats->active,
                           &stats->inactive_split,
                           &stats->allocated_bytes,
                           &stats->reserved_bytes,
                           &stats->active_bytes,
                           &stats->inactive_split_bytes,
                           &stats->requested_bytes,
                           &stats->pending,
                           &stats->pending_bytes,
                           &stats->quarantined,
                           &stats->quarantined_bytes,
                           &stats->leaked,
                           &stats->leaked_bytes,
                           &stats->oversize_allocations,
                           &stats->oversize_segments,
                           &stats->cached_bytes,
                           &stats->wasted_bytes};
  return i < sizeof all / sizeof *all ? all[i] : NULL;
}

/* The i-th of the figures that only count. */
HOSTCACHE_RARE static int64_t *HC_I(count_by_number)(hostcache_stats *stats, unsigned i) {
  int64_t *all[] = {&stats->num_alloc_retries, &stats->num_ooms, &stats->num_sync_all_streams,
                    &stats->num_mem_alloc, &stats->num_mem_free, &stats->num_event_record,
                    &stats->num_event_query, &stats->num_hits, &stats->num_misses,
                    &stats->num_barriers_refused};
  return i < sizeof all / sizeof *all ? all[i] : NULL;
}

/* Takes away what was counted until the last reset. */
HOSTCACHE_RARE static void HC_I(since)(hostcache_stat *stat, const hostcache_stat *base) {
  stat->allocated = HC_I(rest)(stat->allocated, base->allocated);
  stat->freed = HC_I(rest)(stat->freed, base->freed);
}

/* The figures, since they were last reset. segments_lock is held, and so is a thread, as by
   stats_lock. */
HOSTCACHE_RARE static void HC_I(figures)(HC_CACHE *self, hostcache_stats *stats) {
  hostcache_stat *stat;
  int64_t *count;
  unsigned i;
  HC_I(sum_up)(self, stats);
  for (i = 0; (stat = HC_I(stat_by_number)(stats, i)) != NULL; i++)
    HC_I(since)(stat, HC_I(stat_by_number)(&self->base, i));
  for (i = 0; (count = HC_I(count_by_number)(stats, i)) != NULL; i++)
    *count = HC_I(rest)(*count, *HC_I(count_by_number)(&self->base, i));
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(stats)(HC_CACHE *self, hostcache_stats *stats) {
  hostcache_result result;
  int refused;
  if (!stats) return HOSTCACHE_ERR_ARGUMENT;
  result = HC_I(enter)(self);
  if (result != HOSTCACHE_OK) return result;
  refused = HC_I(stats_lock)(self);
  HC_I(figures)(self, stats);
  HC_I(stats_unlock)(self, refused);
  return HOSTCACHE_OK;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(reset_accumulated_stats)(HC_CACHE *self) {
  hostcache_result result = HC_I(enter)(self);
  const hostcache_duration none = {0, 0, 0, 0};
  int refused;
  if (result != HOSTCACHE_OK) return result;
  refused = HC_I(stats_lock)(self);
  HC_I(sum_up)(self, &self->base);
  self->stats.mem_alloc_time = self->stats.mem_free_time = none;
#ifdef HC_HOST_ALLOCATOR
  memset(self->segments_got, 0, sizeof self->segments_got);
#endif
#ifdef HC_DEVICE_ALLOCATOR
  HC_I(sum_up_columns)(self, &self->device_base);
  self->rejections = 0;
#endif
  HC_I(stats_unlock)(self, refused);
  return HOSTCACHE_OK;
}

HOSTCACHE_RARE static void HC_I(reset_peak)(HC_FLOW *flow) {
  flow->peak = HC_I(rest)(flow->in, flow->out);
  flow->peak_bytes = HC_I(rest)(flow->in_bytes, flow->out_bytes);
}

/* The thread is held. */
HOSTCACHE_RARE static void HC_I(reset_thread_peaks)(HC_THREAD *thread) {
#ifdef HC_DEVICE_ALLOCATOR
  unsigned pool;
#endif
  HC_I(reset_peak)(&thread->pending);
  HC_I(reset_peak)(&thread->quarantined);
  HC_I(reset_peak)(&thread->used);
  HC_I(reset_peak)(&thread->requested);
  HC_I(reset_peak)(&thread->oversize);
  HC_I(note_handed)(thread); /* so that it is as now */
  HC_I(reset_peak)(&thread->handed);
  thread->wasted_peak = HC_I(wasted)(thread);
  thread->mark = thread->most = thread->stock_bytes;
#ifdef HC_DEVICE_ALLOCATOR
  for (pool = 0; pool < 2; pool++) {
    HC_I(reset_peak)(&thread->columns[pool].handed);
    HC_I(reset_peak)(&thread->columns[pool].used);
    HC_I(reset_peak)(&thread->columns[pool].requested);
  }
#endif
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(reset_peak_stats)(HC_CACHE *self) {
  hostcache_result result = HC_I(enter)(self);
  hostcache_stat *stat;
  HC_THREAD *thread;
  unsigned i;
  int refused;
  if (result != HOSTCACHE_OK) return result;
  HC_I(gather)(self); /* so that what stocks hold is in none of the peaks */
  refused = HC_I(stats_lock)(self);
  for (i = 0; (stat = HC_I(stat_by_number)(&self->stats, i)) != NULL; i++)
    stat->peak = stat->current;
#ifdef HC_DEVICE_ALLOCATOR
  for (i = 0; i < 2; i++) HC_I(reset_column_peaks)(&self->columns[i]);
#endif
  self->ready.peak = self->ready.peak_bytes = self->idle.peak_bytes = 0;
  HC_I(note_ready)(self);
  self->lent.peak = self->lent.now;
  self->lent_bytes.peak = self->lent_bytes.now;
  self->lent_requested.peak = self->lent_requested.now;
  self->lent_wasted.peak = self->lent_wasted.now;
  self->lent_oversize.peak = self->lent_oversize.now;
  self->binned_peak = self->binned_bytes;
  HC_I(reset_thread_peaks)(&self->common);
  for (thread = HC_I(threads)(self); thread && !refused; thread = thread->next)
    HC_I(reset_thread_peaks)(thread);
  HC_I(stats_unlock)(self, refused);
  return HOSTCACHE_OK;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(budget)(hostcache_budget *budget) {
  if (!budget) return HOSTCACHE_ERR_ARGUMENT;
  return hostcache_budget_read(budget, HOSTCACHE_BUDGET_ROOT) ? HOSTCACHE_OK
                                                              : HOSTCACHE_ERR_UNSUPPORTED;
}

#ifdef HC_POOLS

/* Private pools. */

/* The pool of a name, retained once more; or `fresh`, or a record of a pool that is no more, made
   one. All threads and segments_lock are held. */
HOSTCACHE_RARE static HC_POOL *HC_I(pool_retain)(HC_CACHE *self, hostcache_pool_id id,
                                                 HC_POOL **fresh) {
  HC_POOL *pool = HC_I(pool_find)(self, id);
  if (!pool) {
    pool = self->pools;
    while (pool && (pool->stage != HOSTCACHE_POOL_NONE || pool->takers > 0)) pool = pool->next;
    if (!pool) {
      pool = *fresh;
      *fresh = NULL;
      pool->next = self->pools;
      self->pools = pool;
    }
    pool->id = id;
    pool->born = ++self->births;
    pool->stage = HOSTCACHE_POOL_LIVE;
  }
  pool->use_count++;
  return pool;
}

/* Opens a pool for those whom the filter lets in; *opening: which of all openings this is.
   ARGUMENT: it is open. All threads and segments_lock are held. */
HOSTCACHE_RARE static hostcache_result HC_I(pool_open)(HC_CACHE *self, hostcache_pool_id id,
                                                       hostcache_stream_filter filter, void *user,
                                                       uint64_t *opening, HC_POOL **fresh) {
  HC_POOL *pool = HC_I(pool_find)(self, id);
  if (pool && pool->opened) return HOSTCACHE_ERR_ARGUMENT;
  pool = HC_I(pool_retain)(self, id, fresh);
  pool->filter = filter;
  pool->user = user;
  pool->opened = *opening = ++self->openings;
  hostcache_u32_store_relaxed(&self->open_pools, self->open_pools + 1);
  HC_I(detour)(self);
  return HOSTCACHE_OK;
}

/* All threads and segments_lock are held. */
HOSTCACHE_RARE static void HC_I(pool_close)(HC_CACHE *self, HC_POOL *pool) {
  pool->opened = 0;
  hostcache_u32_store_relaxed(&self->open_pools, self->open_pools - 1);
  HC_I(detour)(self);
}

/* Retains a pool, and opens it, unless `opening` is NULL. */
HOSTCACHE_RARE static hostcache_result HC_I(pool_start)(HC_CACHE *self, hostcache_pool_id id,
                                                        hostcache_stream_filter filter, void *user,
                                                        uint64_t *opening) {
  HC_POOL *fresh = (HC_POOL *)HOSTCACHE_MALLOC(sizeof *fresh);
  hostcache_result result = HOSTCACHE_ERR_UNSUPPORTED;
  if (!fresh) {
    HC_I(tell)(self, HOSTCACHE_ERR_NO_METADATA, 0,
               "HOSTCACHE_MALLOC had no memory for the record of a pool", NULL);
    return HOSTCACHE_ERR_NO_METADATA;
  }
  memset((void *)fresh, 0, sizeof *fresh);
  if (HC_I(stop)(self) == 0) {
    hostcache_lock(&self->segments_lock);
    result = HOSTCACHE_OK;
    if (opening)
      result = HC_I(pool_open)(self, id, filter, user, opening, &fresh);
    else
      (void)HC_I(pool_retain)(self, id, &fresh);
    hostcache_unlock(&self->segments_lock);
    HC_I(go_on)(self);
  }
  if (fresh) HOSTCACHE_FREE(fresh);
  return result;
}

#if HC_HAS_CAPTURES

/* Does a thread ask one of this thread's queues, or wait for it? It is held. */
HOSTCACHE_RARE static int HC_I(is_asked)(const HC_THREAD *thread) {
  uint32_t i;
  for (i = 0; i < thread->queue_room; i++)
    if (thread->queues[i] && hostcache_u32_load_acquire(&thread->queues[i]->claimed)) return 1;
  return hostcache_u32_load_acquire(&thread->loose.claimed) != 0;
}

/* May a thread be in a hook that records, asks or waits? All threads are held. */
HOSTCACHE_RARE static int HC_I(is_in_event_hook)(HC_CACHE *self) {
  const HC_THREAD *thread = HC_I(threads)(self);
  HC_SLAB *slab = NULL;
  HC_BLOCK *block;
  unsigned i = 0;
  int busy = self->draining > 0 || HC_I(is_asked)(&self->common);
  for (; thread && !busy; thread = thread->next) busy = HC_I(is_asked)(thread);
  hostcache_lock(&self->streams_lock);
  busy |= self->forgets != NULL;
  hostcache_unlock(&self->streams_lock);
  while (!busy && (block = HC_I(next_block)(self, &slab, &i)) != NULL)
    busy = HC_I(state_of)(block) == HOSTCACHE_FREEING;
  return busy;
}

/* A pool is open: waits until the hooks on events that run have ended, after which none begins.
   0, or -1: the threads cannot be held. */
HOSTCACHE_RARE static int HC_I(wait_for_event_hooks)(HC_CACHE *self) {
  unsigned attempt;
  int busy;
  for (attempt = 0;; attempt++) {
    if (HC_I(stop)(self)) return -1;
    busy = HC_I(is_in_event_hook)(self);
    HC_I(go_on)(self);
    if (!busy) return 0;
    hostcache_pause(attempt);
  }
}

#else

HOSTCACHE_INLINE int HC_I(wait_for_event_hooks)(HC_CACHE *self) {
  (void)self;
  return 0;
}

#endif

/* Undoes an opening, where the threads cannot be held any more: they go on the long way, which is
   harmless, and may see a little longer that a stream may be captured. What was allocated meanwhile
   keeps the pool: then it stays retained. */
HOSTCACHE_RARE static void HC_I(pool_unopen)(HC_CACHE *self, hostcache_pool_id id,
                                             uint64_t opening) {
  HC_POOL *pool;
  hostcache_lock(&self->segments_lock);
  pool = HC_I(pool_find)(self, id);
  if (pool && pool->opened == opening) {
    pool->opened = 0;
    hostcache_u32_store_relaxed(&self->open_pools, self->open_pools - 1);
    if (pool->use_count > 1 || (!HC_I(pool_segment)(self, pool, NULL) && pool->takers == 0))
      pool->use_count--;
    if (pool->use_count == 0) pool->stage = HOSTCACHE_POOL_NONE;
  }
  hostcache_unlock(&self->segments_lock);
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(begin_allocate_to_pool)(
    HC_CACHE *self, hostcache_pool_id pool, hostcache_stream_filter filter, void *user) {
  hostcache_result result = HC_I(enter)(self);
  uint64_t opening = 0;
  if (result != HOSTCACHE_OK) return result;
  if (HC_I(is_no_pool)(pool)) return HOSTCACHE_ERR_ARGUMENT;
#if HC_HAS_STREAMS && !defined HC_STREAM_CURRENT
  if (filter) return HOSTCACHE_ERR_UNSUPPORTED;
#endif
  result = HC_I(pool_start)(self, pool, filter, user, &opening);
  if (result != HOSTCACHE_OK || HC_I(wait_for_event_hooks)(self) == 0) return result;
  HC_I(pool_unopen)(self, pool, opening);
  return HOSTCACHE_ERR_UNSUPPORTED;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(retain_pool)(HC_CACHE *self,
                                                             hostcache_pool_id pool) {
  hostcache_result result = HC_I(enter)(self);
  if (result != HOSTCACHE_OK) return result;
  if (HC_I(is_no_pool)(pool)) return HOSTCACHE_ERR_ARGUMENT;
  return HC_I(pool_start)(self, pool, NULL, NULL, NULL);
}

/* Waits until no thread asks the filter of a pool that was closed. */
HOSTCACHE_RARE static void HC_I(wait_for_filter)(HC_CACHE *self, const HC_POOL *pool) {
  unsigned attempt;
  size_t asking;
  for (attempt = 0;; attempt++) {
    hostcache_lock(&self->segments_lock);
    asking = pool->asking;
    hostcache_unlock(&self->segments_lock);
    if (asking == 0) return;
    hostcache_pause(attempt);
  }
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(end_allocate_to_pool)(HC_CACHE *self,
                                                                      hostcache_pool_id pool) {
  hostcache_result result = HC_I(enter)(self);
  HC_POOL *found;
  if (result != HOSTCACHE_OK) return result;
  if (HC_I(stop)(self)) return HOSTCACHE_ERR_UNSUPPORTED;
  hostcache_lock(&self->segments_lock);
  found = HC_I(pool_find)(self, pool);
  if (found && found->opened)
    HC_I(pool_close)(self, found);
  else
    result = HOSTCACHE_ERR_NOT_FOUND;
  hostcache_unlock(&self->segments_lock);
  HC_I(go_on)(self);
  if (result == HOSTCACHE_OK) HC_I(wait_for_filter)(self, found);
  return result;
}

/* Releases a pool once. At the last time it ends, and its segments are everybody's. BUSY: it would,
   but is open. All threads and segments_lock are held. */
HOSTCACHE_RARE static hostcache_result HC_I(pool_drop)(HC_CACHE *self, hostcache_pool_id id) {
  HC_POOL *pool = HC_I(pool_find)(self, id);
  if (!pool) return HOSTCACHE_ERR_NOT_FOUND;
  if (pool->use_count == 1 && pool->opened) return HOSTCACHE_ERR_BUSY;
  if (--pool->use_count > 0) return HOSTCACHE_OK;
  HC_I(end_captures)(self, pool);
  HC_I(pool_dissolve)(self, pool);
  hostcache_u32_store_relaxed(&self->excess, 1); /* there is more that can go back */
  return HOSTCACHE_OK;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(release_pool)(HC_CACHE *self,
                                                              hostcache_pool_id pool) {
  hostcache_result result = HC_I(enter)(self);
  HC_TALLY tally = {0, 0, 0, 0, 0, 0};
  if (result != HOSTCACHE_OK) return result;
  if (HC_I(stop)(self)) return HOSTCACHE_ERR_UNSUPPORTED;
  hostcache_lock(&self->segments_lock);
  result = HC_I(pool_drop)(self, pool);
  hostcache_unlock(&self->segments_lock);
  HC_I(go_on)(self);
  if (result != HOSTCACHE_OK) return result;
  HC_I(drain_deferred)(self, &tally); /* what was used in a capture */
  if (HC_I(bins_shed)(self)) return HOSTCACHE_ERR_LEAKED;
  return tally.failed ? HOSTCACHE_ERR_EVENT : HOSTCACHE_OK;
}

HOSTCACHE_RARE HC_PUBLIC uint64_t HC_FN(pool_use_count)(HC_CACHE *self, hostcache_pool_id pool) {
  const HC_POOL *found;
  uint64_t count;
  if (HC_I(enter)(self) != HOSTCACHE_OK) return 0;
  hostcache_lock(&self->segments_lock);
  found = HC_I(pool_find)(self, pool);
  count = found ? found->use_count : 0;
  hostcache_unlock(&self->segments_lock);
  return count;
}

HOSTCACHE_RARE HC_PUBLIC size_t HC_FN(pool_reserved_bytes)(HC_CACHE *self,
                                                           hostcache_pool_id pool) {
  HC_SEGMENT *segment = NULL;
  const HC_POOL *found;
  size_t bytes = 0;
  if (HC_I(enter)(self) != HOSTCACHE_OK) return 0;
  hostcache_lock(&self->segments_lock);
  found = HC_I(pool_find)(self, pool);
  while (found && (segment = HC_I(pool_segment)(self, found, segment)) != NULL)
    bytes += segment->size;
  hostcache_unlock(&self->segments_lock);
  return bytes;
}

/* Takes the idle segments of a live pool out of everything: a chain of their ranges, LEAVING.
   *none: there is no such pool. segments_lock is held. */
HOSTCACHE_RARE static HC_BLOCK *HC_I(pool_evict)(HC_CACHE *self, hostcache_pool_id id, int *none) {
  const HC_POOL *pool = HC_I(pool_find)(self, id);
  HC_SEGMENT *segment, *next;
  HC_BLOCK *chain = NULL, *range;
  *none = pool == NULL;
  segment = pool ? HC_I(pool_segment)(self, pool, NULL) : NULL;
  for (; segment; segment = next) {
    next = HC_I(pool_segment)(self, pool, segment);
    if (!segment->first->is_ready || !HC_I(is_whole)(segment->first)) continue;
    range = HC_I(segment_evict)(self, segment);
    range->next = chain;
    chain = range;
  }
  return chain;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(empty_cache_pool)(HC_CACHE *self,
                                                                  hostcache_pool_id pool) {
  hostcache_result result = HC_I(enter)(self);
  HC_TALLY tally = {0, 0, 0, 0, 0, 0};
  HC_BLOCK *range, *next;
  int leaked = 0, none;
  if (result != HOSTCACHE_OK) return result;
  if (HC_I(is_no_pool)(pool)) return HC_FN(empty_cache)(self);
  HC_I(drain_deferred)(self, &tally);
  HC_I(poll)(self, SIZE_MAX, &tally);
  hostcache_lock(&self->segments_lock);
  range = HC_I(pool_evict)(self, pool, &none);
  hostcache_unlock(&self->segments_lock);
  for (; range; range = next) {
    next = range->next;
    range->next = NULL;
    if (HC_I(segment_give_back)(self, range)) leaked = 1;
  }
  if (none) return HOSTCACHE_ERR_NOT_FOUND;
  if (leaked) return HOSTCACHE_ERR_LEAKED;
  return tally.failed ? HOSTCACHE_ERR_EVENT : HOSTCACHE_OK;
}

/* Checkpoints. */

/* A range of a pool, as it was. */
struct HC_I(remembered) {
  uint64_t born;       /* the segment's */
  void *segment, *ptr; /* first bytes */
  size_t size, requested;
  int active, captured; /* `captured`: if it was active */
};

struct HC_CHECKPOINT {
  hostcache_pool_id pool;
  uint64_t cache, born; /* its number, and that of the pool */
  size_t count; /* of its ranges, by address */
  struct HC_I(remembered) ranges[1]; /* as many as were asked for */
};

/* Is anything of a pool in use that a stream may still work on, or on its way? Then it can neither
   be remembered nor put back. All threads and segments_lock are held. */
HOSTCACHE_RARE static int HC_I(pool_is_busy)(HC_CACHE *self, const HC_POOL *pool) {
  HC_SEGMENT *segment = NULL;
  HC_BLOCK *range;
  while ((segment = HC_I(pool_segment)(self, pool, segment)) != NULL)
    for (range = segment->first; range; range = range->right) {
      if (range->is_ready) continue;
      if (HC_I(state_of)(range) != HOSTCACHE_ACTIVE) return 1;
    }
  return 0;
}

/* Writes down the ranges of a pool, as many as there is room for. Returns how many there are.
   Likewise. */
HOSTCACHE_RARE static size_t HC_I(pool_write)(HC_CACHE *self, const HC_POOL *pool,
                                              HC_CHECKPOINT *to, size_t room) {
  HC_SEGMENT *segment = NULL;
  const HC_BLOCK *range;
  size_t count = 0;
  while ((segment = HC_I(pool_segment)(self, pool, segment)) != NULL)
    for (range = segment->first; range; range = range->right, count++) {
      struct HC_I(remembered) *at;
      if (count >= room) continue;
      at = &to->ranges[count];
      at->born = segment->born;
      at->segment = segment->ptr;
      at->ptr = range->ptr;
      at->size = range->size;
      at->requested = range->requested;
      at->active = !range->is_ready;
      at->captured = HC_I(is_captured)(range);
    }
  return count;
}

HOSTCACHE_RARE static hostcache_result HC_I(no_checkpoint_memory)(HC_CACHE *self) {
  HC_I(tell)(self, HOSTCACHE_ERR_NO_METADATA, 0,
             "HOSTCACHE_MALLOC had no memory for a checkpoint, or to put one back", NULL);
  return HOSTCACHE_ERR_NO_METADATA;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(checkpoint_pool)(HC_CACHE *self,
                                                                 hostcache_pool_id id,
                                                                 HC_CHECKPOINT **checkpoint) {
  hostcache_result result = HC_I(enter)(self);
  HC_CHECKPOINT *made = NULL;
  size_t room = 0, count = 0;
  if (!checkpoint) return HOSTCACHE_ERR_ARGUMENT;
  *checkpoint = NULL;
  if (result != HOSTCACHE_OK) return result;
  for (;;) {
    const HC_POOL *pool;
    if (made) HOSTCACHE_FREE(made);
    room = count + count / 4;
    made = (HC_CHECKPOINT *)HOSTCACHE_MALLOC(sizeof *made + room * sizeof made->ranges[0]);
    if (!made) return HC_I(no_checkpoint_memory)(self);
    if (HC_I(stop)(self)) {
      result = HOSTCACHE_ERR_UNSUPPORTED;
      break;
    }
    hostcache_lock(&self->segments_lock);
    pool = HC_I(pool_find)(self, id);
    if (!pool)
      result = HOSTCACHE_ERR_NOT_FOUND;
    else if (HC_I(pool_is_busy)(self, pool))
      result = HOSTCACHE_ERR_BUSY;
    else
      count = HC_I(pool_write)(self, pool, made, room);
    made->born = pool ? pool->born : 0;
    hostcache_unlock(&self->segments_lock);
    HC_I(go_on)(self);
    if (count <= room) break; /* as it is where nothing was written */
  }
  if (result == HOSTCACHE_OK) {
    made->pool = id;
    made->cache = self->number;
    made->count = count;
    *checkpoint = made;
  } else {
    HOSTCACHE_FREE(made);
  }
  return result;
}

HOSTCACHE_RARE HC_PUBLIC void HC_FN(checkpoint_free)(HC_CHECKPOINT *checkpoint) {
  if (checkpoint) HOSTCACHE_FREE(checkpoint);
}

/* What a restore works with, got before anything is changed. */
struct HC_I(restoring) {
  const HC_CHECKPOINT *from;
  HC_POOL *pool;
  HC_SPARES spares;
  hostcache_delta *deltas; /* what ended, then what began */
  size_t room, count;
};

HOSTCACHE_RARE static void HC_I(note_delta)(struct HC_I(restoring) *job, HC_BLOCK *block,
                                            int created) {
  hostcache_delta *delta = &job->deltas[job->count++];
  HOSTCACHE_ASSERT(job->count <= job->room);
  delta->created = created;
  delta->ptr = block->ptr;
  delta->size = block->size;
  delta->requested = block->requested;
  delta->block = created ? block : NULL;
}

/* The pool that a checkpoint is of, if that lives, or NULL. segments_lock is held. */
HOSTCACHE_RARE static HC_POOL *HC_I(restore_pool_of)(const HC_CACHE *self,
                                                     const HC_CHECKPOINT *from) {
  HC_POOL *pool = HC_I(pool_find)(self, from->pool);
  return pool && pool->born == from->born && from->cache == self->number ? pool : NULL;
}

/* How many records, and how much room for deltas, it takes at most. No shelf: what was active was
   in the index, and shelves stay. segments_lock is held. */
HOSTCACHE_RARE static void HC_I(restore_needs)(HC_CACHE *self, struct HC_I(restoring) *job,
                                               HC_NEEDS *needs, size_t *changes) {
  HC_SEGMENT *segment = NULL;
  const HC_BLOCK *range;
  size_t i;
  memset((void *)needs, 0, sizeof *needs);
  *changes = 0;
  while ((segment = HC_I(pool_segment)(self, job->pool, segment)) != NULL) {
    needs->blocks++;
    for (range = segment->first; range; range = range->right) *changes += !range->is_ready;
  }
  for (i = 0; i < job->from->count; i++) {
    needs->blocks++;
    *changes += job->from->ranges[i].active != 0;
  }
}

/* Is there as much as that now? Likewise. */
HOSTCACHE_RARE static int HC_I(restore_has)(HC_CACHE *self, struct HC_I(restoring) *job) {
  HC_NEEDS needs;
  size_t changes;
  HC_I(restore_needs)(self, job, &needs, &changes);
  return changes <= job->room && HC_I(spares_have)(&job->spares, &needs);
}

/* Gets it. With no lock held. NO_METADATA; NOT_FOUND: there is no such pool. */
HOSTCACHE_RARE static hostcache_result HC_I(restore_prepare)(HC_CACHE *self,
                                                             struct HC_I(restoring) *job) {
  HC_NEEDS needs;
  size_t changes = 0;
  int let_go;
  hostcache_lock(&self->segments_lock);
  HC_I(spares_return)(self, &job->spares);
  do {
    job->pool = HC_I(restore_pool_of)(self, job->from);
    if (!job->pool) {
      hostcache_unlock(&self->segments_lock);
      return HOSTCACHE_ERR_NOT_FOUND;
    }
    HC_I(restore_needs)(self, job, &needs, &changes);
    if (!HC_I(spares_fill)(self, &needs, &let_go)) return HOSTCACHE_ERR_NO_METADATA;
  } while (let_go);
  HC_I(spares_move)(&self->spares, &job->spares, &needs);
  hostcache_unlock(&self->segments_lock);
  if (job->deltas) HOSTCACHE_FREE(job->deltas);
  job->room = changes + 1;
  job->deltas = (hostcache_delta *)HOSTCACHE_MALLOC(job->room * sizeof *job->deltas);
  return job->deltas ? HOSTCACHE_OK : HC_I(no_checkpoint_memory)(self);
}

/* Can the checkpoint be put back? BUSY: something of the pool may be in use; NOT_FOUND: a segment
   has gone. All threads and segments_lock are held. */
HOSTCACHE_RARE static hostcache_result HC_I(restore_check)(HC_CACHE *self,
                                                           struct HC_I(restoring) *job) {
  HC_SEGMENT *segment = NULL;
  HC_BLOCK *range;
  size_t i;
  if (HC_I(pool_is_busy)(self, job->pool)) return HOSTCACHE_ERR_BUSY;
  while ((segment = HC_I(pool_segment)(self, job->pool, segment)) != NULL)
    for (range = segment->first; range; range = range->right)
      if (!range->is_ready &&
          (HC_I(all_marks)(range) ||
           (hostcache_u32_load_relaxed(&range->extra_uses) & ~HC_CAPTURED) != 0))
        return HOSTCACHE_ERR_BUSY; /* its free would wait for these */
  for (i = 0; i < job->from->count; i++) {
    const struct HC_I(remembered) *at = &job->from->ranges[i];
    const hostcache_node *node = hostcache_tree_ceiling(self->by_address, (size_t)at->segment);
    segment = node ? (HC_SEGMENT *)node->owner : NULL;
    if (!segment || segment->born != at->born)
      return HOSTCACHE_ERR_NOT_FOUND; /* (else it is the pool's still: that has not ended) */
  }
  return HOSTCACHE_OK;
}

/* Ends all active blocks of a segment: it is one ready range then. Likewise. */
HOSTCACHE_RARE static void HC_I(restore_end)(HC_CACHE *self, HC_THREAD *thread,
                                             struct HC_I(restoring) *job, HC_SEGMENT *segment) {
  HC_BLOCK *range, *next;
  for (range = segment->first; range; range = next) {
    next = range->right;
    if (next && next->is_ready) next = next->right; /* it is about to be part of this one */
    if (range->is_ready) continue;
    HC_I(note_delta)(job, range, 0);
    HC_I(trace_block)(self, range, HOSTCACHE_TRACE_FREE_REQUESTED);
    HC_I(trace_block)(self, range, HOSTCACHE_TRACE_FREE_COMPLETED);
    hostcache_u32_store_relaxed(&range->extra_uses, 0);
    HC_I(turn)(self, thread, range, HOSTCACHE_LEAVING);
    HC_I(count_lent)(self, range, 1, 0);
    HC_I(make_ready)(self, range);
  }
}

/* Gives a segment that is one ready range another record for that, as the old one was a handle.
   The range is in no heap then. Likewise. */
HOSTCACHE_RARE static HC_BLOCK *HC_I(restore_renew)(HC_CACHE *self, struct HC_I(restoring) *job,
                                                    HC_SEGMENT *segment) {
  HC_BLOCK *old = segment->first, *range = HC_I(spare_take)(&job->spares);
  HC_I(heap_remove)(self, HC_I(heap_of)(self, old), old);
  if (old->is_indexed) hostcache_index_remove(&self->index, (size_t)old->ptr);
  range->segment = segment;
  range->kind = old->kind;
  HC_I(place)(range, segment->ptr, segment->size);
  range->left = NULL;
  range->right = NULL;
  HC_I(set_state)(range, HOSTCACHE_CACHED);
  segment->first = range;
  HC_I(retire)(self, old, 1);
  return range;
}

/* Divides a segment as it was: `from` is the first of its ranges, up to `end`. Likewise. */
HOSTCACHE_RARE static void HC_I(restore_begin)(HC_CACHE *self, HC_THREAD *thread,
                                               struct HC_I(restoring) *job, HC_BLOCK *range,
                                               const struct HC_I(remembered) *from,
                                               const struct HC_I(remembered) *end) {
  HC_BLOCK *rest;
  const void *segment = range->ptr;
  for (; range; range = rest, from++) {
    const int known = from < end && from->segment == segment;
    rest = known && from->size < range->size ? HC_I(carve)(&job->spares, range, from->size) : NULL;
    if (!known || !from->active) {
      HC_I(heap_add)(self, HC_I(heap_of)(self, range), range);
      continue;
    }
    HC_I(count_ready)(self, range, 0);
    hostcache_index_add(&self->index, (size_t)range->ptr, range, &job->spares.shelves);
    range->is_indexed = 1;
    range->requested = from->requested;
    range->bin = HC_NO_BIN;
    HC_I(count_lent)(self, range, 1, 1);
    hostcache_ptr_store_release(&range->home, thread);
    hostcache_u32_store_relaxed(&range->extra_uses, from->captured ? HC_CAPTURED : 0);
    HC_I(turn)(self, thread, range, HOSTCACHE_ACTIVE);
    HC_I(note_delta)(job, range, 1);
  }
}

/* Puts the checkpoint back: nothing of this can fail. All threads and segments_lock are held. */
HOSTCACHE_RARE static void HC_I(restore_now)(HC_CACHE *self, HC_THREAD *thread,
                                             struct HC_I(restoring) *job) {
  const struct HC_I(remembered) *from = job->from->ranges, *end = from + job->from->count;
  const HC_FLOW ready = self->ready, idle = self->idle;
#ifdef HC_DEVICE_ALLOCATOR
  const HC_FLOW splits[2] = {self->columns[0].split, self->columns[1].split};
#endif
  HC_SEGMENT *segment = NULL;
  while ((segment = HC_I(pool_segment)(self, job->pool, segment)) != NULL)
    HC_I(restore_end)(self, thread, job, segment);
  while ((segment = HC_I(pool_segment)(self, job->pool, segment)) != NULL) {
    HC_BLOCK *range = HC_I(restore_renew)(self, job, segment);
    HC_I(restore_begin)(self, thread, job, range, from, end);
    while (from < end && from->segment == segment->ptr) from++;
  }
  self->ready.peak = ready.peak; /* what was ready in between was so for nobody */
  self->ready.peak_bytes = ready.peak_bytes;
  self->idle.peak_bytes = idle.peak_bytes;
#ifdef HC_DEVICE_ALLOCATOR
  self->columns[0].split.peak = splits[0].peak;
  self->columns[0].split.peak_bytes = splits[0].peak_bytes;
  self->columns[1].split.peak = splits[1].peak;
  self->columns[1].split.peak_bytes = splits[1].peak_bytes;
#endif
  HC_I(note_ready)(self);
}

/* Lets the trackers hear of the blocks that began. With no lock held. */
HOSTCACHE_RARE static void HC_I(restore_trace)(HC_CACHE *self, const struct HC_I(restoring) *job) {
#ifdef HC_TRACE
  size_t i;
  HC_I(trace_flush)(self);
  for (i = 0; i < job->count && HC_I(is_traced)(self); i++) {
    const hostcache_delta *delta = &job->deltas[i];
    if (delta->created)
      HC_I(trace_now)(self, HOSTCACHE_TRACE_ALLOC, (HC_BLOCK *)delta->block, delta->ptr,
                      delta->size, delta->requested, job->from->pool, NULL);
  }
#else
  (void)self;
  (void)job;
#endif
}

/* Tries to put a checkpoint back. *again: it takes more than was there. */
HOSTCACHE_RARE static hostcache_result HC_I(restore_try)(HC_CACHE *self, HC_THREAD *thread,
                                                         struct HC_I(restoring) *job, int *again) {
  hostcache_result result = HC_I(restore_prepare)(self, job);
  *again = 0;
  if (result != HOSTCACHE_OK) return result;
  if (HC_I(stop)(self)) return HOSTCACHE_ERR_UNSUPPORTED;
  hostcache_lock(&self->segments_lock);
  job->pool = HC_I(restore_pool_of)(self, job->from);
  if (!job->pool)
    result = HOSTCACHE_ERR_NOT_FOUND;
  else if (!HC_I(restore_has)(self, job))
    *again = 1;
  else
    result = HC_I(restore_check)(self, job);
  if (result == HOSTCACHE_OK && !*again) HC_I(restore_now)(self, thread, job);
  hostcache_unlock(&self->segments_lock);
  HC_I(go_on)(self);
  return result;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(restore_pool)(HC_CACHE *self,
                                                              const HC_CHECKPOINT *checkpoint,
                                                              hostcache_delta_fn delta,
                                                              void *user) {
  hostcache_result result = HC_I(enter)(self);
  struct HC_I(restoring) job;
  HC_THREAD *thread;
  int again, cancel;
  size_t i;
  if (result != HOSTCACHE_OK) return result;
  if (!checkpoint) return HOSTCACHE_ERR_ARGUMENT;
  memset((void *)&job, 0, sizeof job);
  job.from = checkpoint;
  thread = HC_I(here)(self);
  do {
    result = HC_I(restore_try)(self, thread, &job, &again);
  } while (again);
  hostcache_lock(&self->segments_lock);
  HC_I(spares_return)(self, &job.spares);
  hostcache_unlock(&self->segments_lock);
  HC_I(restore_trace)(self, &job);
  cancel = hostcache_hook_begin();
  for (i = 0; delta && i < job.count; i++) delta(user, &job.deltas[i]);
  hostcache_hook_end(cancel);
  if (job.deltas) HOSTCACHE_FREE(job.deltas);
  return result;
}

#endif /* HC_POOLS */

#ifdef HC_HOST_ALLOCATOR

/* The host allocator without its type. */

/* Is this the record of a block of this cache? Asked of what the caller says is one, before it is
   looked at. O(blocks). */
HOSTCACHE_RARE static int HC_I(has_record)(const HC_CACHE *self, const void *context) {
  HC_SLAB *slab = (HC_SLAB *)hostcache_ptr_load_acquire(&self->slabs);
  for (; slab; slab = slab->next) {
    const size_t off = (size_t)context - (size_t)HC_I(slab_block)(slab, 0);
    if (off < HC_RECORDS * HC_BLOCK_STRIDE) return off % HC_BLOCK_STRIDE == 0;
  }
  return 0;
}

HOSTCACHE_RARE static hostcache_result HC_I(erased_allocate)(void *cache, size_t size, void **ptr,
                                                             void **context) {
  HC_BLOCK *block = NULL;
  hostcache_result result;
  if (!ptr || !context) return HOSTCACHE_ERR_ARGUMENT;
  result = HC_FN(block_alloc)((HC_CACHE *)cache, size, &block);
  HC_NOTE_PLACE(block);
  *ptr = HC_FN(block_ptr)(block);
  *context = block;
  return result;
}

HOSTCACHE_RARE static void HC_I(erased_delete)(void *context) {
  HC_BLOCK *block = (HC_BLOCK *)context;
  hostcache_result result;
  if (!block) return;
  result = HC_FN(block_free)(block->cache, block);
  if (result == HOSTCACHE_ERR_NOT_FOUND || result == HOSTCACHE_ERR_DOUBLE_FREE)
    HC_I(tell)(block->cache, result, 0, "deleter: the block is not active", block->ptr);
}

HOSTCACHE_RARE static int HC_I(erased_record)(void *cache, void *ptr, void *context,
                                              const void *stream) {
#if HC_HAS_STREAMS
  HC_CACHE *self = (HC_CACHE *)cache;
  HC_BLOCK *block;
  hostcache_result result;
  if (!self || !stream) return 0;
  block = HC_FN(find)(self, ptr);
  if (context && context != (void *)block && HC_I(has_record)(self, context))
    block = (HC_BLOCK *)context;
  if (!block) return 0;
  result = HC_FN(block_record_stream)(self, block, *(const HC_STREAM *)stream);
  return result == HOSTCACHE_OK || result == HOSTCACHE_ERR_NO_METADATA; /* then it is unknown */
#else
  (void)cache;
  (void)ptr;
  (void)context;
  (void)stream;
  return 0;
#endif
}

HOSTCACHE_RARE static hostcache_result HC_I(erased_empty_cache)(void *cache) {
  return HC_FN(empty_cache)((HC_CACHE *)cache);
}

HOSTCACHE_RARE static hostcache_duration HC_I(microseconds)(hostcache_duration ns) {
  ns.total /= 1000;
  ns.max /= 1000;
  ns.min /= 1000;
  return ns;
}

HOSTCACHE_RARE static hostcache_result HC_I(erased_stats)(void *cache, hostcache_host_stats *out) {
  HC_CACHE *self = (HC_CACHE *)cache;
  hostcache_stats stats;
  hostcache_result result;
  if (!out) return HOSTCACHE_ERR_ARGUMENT;
  result = HC_FN(stats)(self, &stats);
  if (result != HOSTCACHE_OK) return result;
  out->active_requests = stats.active;
  out->active_bytes = stats.active_bytes;
  out->allocations = stats.segment;
  out->allocated_bytes = stats.reserved_bytes;
  out->host_alloc_time = HC_I(microseconds)(stats.mem_alloc_time);
  out->host_free_time = HC_I(microseconds)(stats.mem_free_time);
  out->num_host_alloc = stats.segment.allocated;
  out->num_host_free = stats.segment.freed;
  hostcache_lock(&self->segments_lock);
  memcpy(out->bucket_allocation, self->segments_got, sizeof out->bucket_allocation);
  hostcache_unlock(&self->segments_lock);
  return HOSTCACHE_OK;
}

HOSTCACHE_RARE static hostcache_result HC_I(erased_reset_accumulated)(void *cache) {
  return HC_FN(reset_accumulated_stats)((HC_CACHE *)cache);
}

HOSTCACHE_RARE static hostcache_result HC_I(erased_reset_peak)(void *cache) {
  return HC_FN(reset_peak_stats)((HC_CACHE *)cache);
}

HOSTCACHE_RARE static hostcache_result HC_I(erased_begin_pool)(void *cache, hostcache_pool_id pool,
                                                               hostcache_stream_filter filter,
                                                               void *user) {
#ifdef HC_POOLS
  return HC_FN(begin_allocate_to_pool)((HC_CACHE *)cache, pool, filter, user);
#else
  (void)cache;
  (void)pool;
  (void)filter;
  (void)user;
  return HOSTCACHE_ERR_UNSUPPORTED;
#endif
}

HOSTCACHE_RARE static hostcache_result HC_I(erased_end_pool)(void *cache, hostcache_pool_id pool) {
#ifdef HC_POOLS
  return HC_FN(end_allocate_to_pool)((HC_CACHE *)cache, pool);
#else
  (void)cache;
  (void)pool;
  return HOSTCACHE_ERR_UNSUPPORTED;
#endif
}

HOSTCACHE_RARE static hostcache_result HC_I(erased_release_pool)(void *cache,
                                                                 hostcache_pool_id pool) {
#ifdef HC_POOLS
  return HC_FN(release_pool)((HC_CACHE *)cache, pool);
#else
  (void)cache;
  (void)pool;
  return HOSTCACHE_ERR_UNSUPPORTED;
#endif
}

HOSTCACHE_RARE static hostcache_result HC_I(erased_copy)(void *cache, void *dest, const void *src,
                                                         size_t count) {
  hostcache_result result = HC_I(enter)((HC_CACHE *)cache);
  if (result != HOSTCACHE_OK || count == 0) return result;
  if (!dest || !src) return HOSTCACHE_ERR_ARGUMENT;
#ifdef HC_COPY_DATA
  {
    const hostcache_status status = HC_I(call_copy_data)((HC_CACHE *)cache, dest, src, count);
    if (status.outcome == HOSTCACHE_DONE) return HOSTCACHE_OK;
    HC_I(tell)((HC_CACHE *)cache, HOSTCACHE_ERR_HOOK, status.code, "HC_COPY_DATA failed", dest);
    return HOSTCACHE_ERR_HOOK;
  }
#else
  memcpy(dest, src, count);
  return HOSTCACHE_OK;
#endif
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(as_allocator)(HC_CACHE *self,
                                                              hostcache_allocator *allocator) {
  hostcache_result result = HC_I(enter)(self);
  if (!allocator) return HOSTCACHE_ERR_ARGUMENT;
  memset(allocator, 0, sizeof *allocator);
  if (result != HOSTCACHE_OK) return result;
  allocator->cache = self;
  allocator->allocate = HC_I(erased_allocate);
  allocator->deleter = HC_I(erased_delete);
  allocator->record_event = HC_I(erased_record);
  allocator->empty_cache = HC_I(erased_empty_cache);
  allocator->get_stats = HC_I(erased_stats);
  allocator->reset_accumulated_stats = HC_I(erased_reset_accumulated);
  allocator->reset_peak_stats = HC_I(erased_reset_peak);
  allocator->begin_allocate_to_pool = HC_I(erased_begin_pool);
  allocator->end_allocate_to_pool = HC_I(erased_end_pool);
  allocator->release_pool = HC_I(erased_release_pool);
  allocator->copy_data = HC_I(erased_copy);
  return HOSTCACHE_OK;
}

/* A thread that polls. It sleeps in short pieces, so that it hears soon that it is to leave. */

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(background_run)(HC_CACHE *self,
                                                                uint64_t interval_ns) {
  const uint64_t piece_ns = 10000000;
  hostcache_result result = HC_I(enter)(self);
  uint64_t left;
  if (result != HOSTCACHE_OK) return result;
  hostcache_lock(&self->threads_lock);
  self->loops++;
  hostcache_unlock(&self->threads_lock);
  while (!hostcache_u32_load_relaxed(&self->loops_stop)) {
    (void)HC_FN(process_events)(self, NULL); /* on_error heard what failed */
    if (interval_ns == 0) hostcache_pause(0);
    for (left = interval_ns; left > 0 && !hostcache_u32_load_relaxed(&self->loops_stop);) {
      const uint64_t piece = left < piece_ns ? left : piece_ns;
      hostcache_sleep(piece);
      left -= piece;
    }
  }
  hostcache_lock(&self->threads_lock);
  self->loops--;
  hostcache_unlock(&self->threads_lock);
  return HOSTCACHE_OK;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(background_stop)(HC_CACHE *self) {
  hostcache_result result = HC_I(enter)(self);
  if (result != HOSTCACHE_OK) return result;
  HC_I(end_loops)(self);
  return HOSTCACHE_OK;
}

#endif /* HC_HOST_ALLOCATOR */

#ifdef HC_TRACE

HOSTCACHE_RARE static hostcache_result HC_I(trace_without_memory)(HC_CACHE *self) {
  HC_I(tell)(self, HOSTCACHE_ERR_NO_METADATA, 0,
             "HOSTCACHE_MALLOC had no memory for a history, its copy, or who hears of it", NULL);
  return HOSTCACHE_ERR_NO_METADATA;
}

/* Switches recording on or off, as what there is to record for demands. 0, or -1 if the barrier was
   refused: then nothing has changed. */
HOSTCACHE_RARE static int HC_I(trace_switch)(HC_CACHE *self) {
  HC_SLAB *slab = NULL;
  HC_BLOCK *block;
  unsigned i = 0;
  uint32_t on;
  if (HC_I(stop)(self)) return -1;
  hostcache_lock(&self->trace_lock);
  on = self->annals.ring || self->trackers;
  while (!on && (block = HC_I(next_block)(self, &slab, &i)) != NULL) block->context = NULL;
  hostcache_unlock(&self->trace_lock);
  hostcache_u32_store_relaxed(&self->tracing, on);
  HC_I(detour)(self);
  HC_I(go_on)(self);
  return 0;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(record_history)(HC_CACHE *self, size_t max_entries,
                                                                hostcache_context_fn context,
                                                                void *user) {
  hostcache_result result = HC_I(enter)(self);
  hostcache_trace *ring = NULL;
  struct HC_I(annals) before;
  if (result != HOSTCACHE_OK) return result;
  if (max_entries > 0) {
    if (max_entries <= SIZE_MAX / sizeof *ring)
      ring = (hostcache_trace *)HOSTCACHE_MALLOC(max_entries * sizeof *ring);
    if (!ring) return HC_I(trace_without_memory)(self);
  }
  hostcache_lock(&self->trace_lock);
  before = self->annals;
  memset((void *)&self->annals, 0, sizeof self->annals);
  self->annals.ring = ring;
  self->annals.room = max_entries;
  self->annals.context = ring ? context : NULL;
  self->annals.user = user;
  hostcache_unlock(&self->trace_lock);
  if (HC_I(trace_switch)(self) && ring) { /* as it was; an end is one, though it costs more then */
    hostcache_lock(&self->trace_lock);
    self->annals = before;
    hostcache_unlock(&self->trace_lock);
    HOSTCACHE_FREE(ring);
    return HOSTCACHE_ERR_UNSUPPORTED;
  }
  if (before.ring) HOSTCACHE_FREE(before.ring);
  return HOSTCACHE_OK;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(history)(HC_CACHE *self, hostcache_trace_fn show,
                                                         void *user) {
  hostcache_result result = HC_I(enter)(self);
  hostcache_trace *copy = NULL;
  size_t room = 0, count, i;
  int cancel;
  if (result != HOSTCACHE_OK) return result;
  if (!show) return HOSTCACHE_ERR_ARGUMENT;
  for (;;) {
    hostcache_lock(&self->trace_lock);
    count = self->annals.count;
    for (i = 0; i < count && count <= room; i++)
      copy[i] = self->annals.ring[(self->annals.next + self->annals.room - count + i) %
                                  self->annals.room];
    hostcache_unlock(&self->trace_lock);
    if (count <= room) break;
    if (copy) HOSTCACHE_FREE(copy);
    room = count;
    copy = (hostcache_trace *)HOSTCACHE_MALLOC(room * sizeof *copy);
    if (!copy) return HC_I(trace_without_memory)(self);
  }
  cancel = hostcache_hook_begin();
  for (i = 0; i < count; i++) show(user, &copy[i]);
  hostcache_hook_end(cancel);
  if (copy) HOSTCACHE_FREE(copy);
  return HOSTCACHE_OK;
}

/* A new listener at the head of a list. */
HOSTCACHE_RARE static struct HC_I(listener) *HC_I(listen)(HC_CACHE *self, void **list,
                                                          hostcache_trace_fn tracker,
                                                          hostcache_oom_fn observer, void *user) {
  struct HC_I(listener) *listener =
      (struct HC_I(listener) *)HOSTCACHE_MALLOC(sizeof *listener);
  if (!listener) return NULL;
  listener->deaf = 0;
  listener->tracker = tracker;
  listener->observer = observer;
  listener->user = user;
  hostcache_lock(&self->trace_lock);
  listener->next = (struct HC_I(listener) *)*list;
  hostcache_ptr_store_release(list, listener);
  hostcache_unlock(&self->trace_lock);
  return listener;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(attach_trace_tracker)(HC_CACHE *self,
                                                                      hostcache_trace_fn tracker,
                                                                      void *user) {
  hostcache_result result = HC_I(enter)(self);
  struct HC_I(listener) *listener;
  if (result != HOSTCACHE_OK) return result;
  if (!tracker) return HOSTCACHE_ERR_ARGUMENT;
  if (!HC_I(trace_room)(self)) return HOSTCACHE_ERR_NO_METADATA;
  listener = HC_I(listen)(self, &self->trackers, tracker, NULL, user);
  if (!listener) return HC_I(trace_without_memory)(self);
  if (HC_I(trace_switch)(self) == 0) return HOSTCACHE_OK;
  hostcache_u32_store_relaxed(&listener->deaf, 1);
  return HOSTCACHE_ERR_UNSUPPORTED;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(attach_oom_observer)(HC_CACHE *self,
                                                                     hostcache_oom_fn observer,
                                                                     void *user) {
  hostcache_result result = HC_I(enter)(self);
  if (result != HOSTCACHE_OK) return result;
  if (!observer) return HOSTCACHE_ERR_ARGUMENT;
  if (!HC_I(listen)(self, &self->observers, NULL, observer, user))
    return HC_I(trace_without_memory)(self);
  return HOSTCACHE_OK;
}

/* The place in the list where this memory stands, or the end. trace_lock is held. */
HOSTCACHE_RARE static struct HC_I(external) **HC_I(external_at)(HC_CACHE *self, const void *ptr) {
  struct HC_I(external) **at = &self->externals;
  while (*at && (*at)->ptr != ptr) at = &(*at)->next;
  return at;
}

/* Notes what happens to memory that is not the cache's. With no lock held. */
HOSTCACHE_RARE static void HC_I(trace_external)(HC_CACHE *self,
                                                const struct HC_I(external) *external,
                                                hostcache_action action) {
  const int is_block = action != HOSTCACHE_TRACE_SEGMENT_ALLOC &&
                       action != HOSTCACHE_TRACE_SEGMENT_FREE;
  if (HC_I(is_traced)(self))
    HC_I(trace_now)(self, action, NULL, external->ptr, external->size,
                    is_block ? external->size : 0, HC_I(pool_id)(NULL),
                    is_block ? external->context : NULL);
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(record_external_register)(HC_CACHE *self,
                                                                          const void *ptr,
                                                                          size_t size) {
  hostcache_result result = HC_I(enter)(self);
  struct HC_I(external) *external, **at, noted;
  if (result != HOSTCACHE_OK) return result;
  if (!ptr || size == 0) return HOSTCACHE_ERR_ARGUMENT;
  external = (struct HC_I(external) *)HOSTCACHE_MALLOC(sizeof *external);
  if (!external) return HC_I(trace_without_memory)(self);
  external->next = NULL;
  external->ptr = ptr;
  external->size = size;
  external->context =
      HC_I(is_traced)(self) ? HC_I(trace_ask)(self, HOSTCACHE_TRACE_ALLOC) : NULL;
  noted = *external;
  hostcache_lock(&self->trace_lock);
  at = HC_I(external_at)(self, ptr);
  if (*at)
    result = HOSTCACHE_ERR_ARGUMENT;
  else
    *at = external;
  hostcache_unlock(&self->trace_lock);
  if (result != HOSTCACHE_OK) {
    HOSTCACHE_FREE(external);
    return result;
  }
  HC_I(trace_external)(self, &noted, HOSTCACHE_TRACE_SEGMENT_ALLOC);
  HC_I(trace_external)(self, &noted, HOSTCACHE_TRACE_ALLOC);
  return HOSTCACHE_OK;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(record_external_unregister)(HC_CACHE *self,
                                                                            const void *ptr) {
  hostcache_result result = HC_I(enter)(self);
  struct HC_I(external) *external, **at;
  if (result != HOSTCACHE_OK) return result;
  hostcache_lock(&self->trace_lock);
  at = HC_I(external_at)(self, ptr);
  external = *at;
  if (external) *at = external->next;
  hostcache_unlock(&self->trace_lock);
  if (!external) return HOSTCACHE_ERR_NOT_FOUND;
  HC_I(trace_external)(self, external, HOSTCACHE_TRACE_FREE_REQUESTED);
  HC_I(trace_external)(self, external, HOSTCACHE_TRACE_FREE_COMPLETED);
  HC_I(trace_external)(self, external, HOSTCACHE_TRACE_SEGMENT_FREE);
  HOSTCACHE_FREE(external);
  return HOSTCACHE_OK;
}

#endif /* HC_TRACE */

#ifdef HC_DEVICE_ALLOCATOR

HOSTCACHE_RARE HC_PUBLIC int HC_FN(initialized)(const HC_CACHE *self) {
  return HC_I(enter)(self) == HOSTCACHE_OK;
}

/* What HC_MEM_INFO says. Both are 0 after an error. */
HOSTCACHE_RARE static hostcache_result HC_I(ask_memory)(HC_CACHE *self, size_t *free_bytes,
                                                        size_t *total_bytes) {
#ifdef HC_MEM_INFO
  hostcache_status status;
  *free_bytes = *total_bytes = 0;
  status = HC_I(call_mem_info)(self, free_bytes, total_bytes);
  if (status.outcome == HOSTCACHE_DONE) return HOSTCACHE_OK;
  *free_bytes = *total_bytes = 0;
  HC_I(tell)(self, HOSTCACHE_ERR_HOOK, status.code, "HC_MEM_INFO failed", NULL);
  return HOSTCACHE_ERR_HOOK;
#else
  (void)self;
  *free_bytes = *total_bytes = 0;
  return HOSTCACHE_ERR_UNSUPPORTED;
#endif
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(memory_info)(HC_CACHE *self, size_t *free_bytes,
                                                             size_t *total_bytes) {
  hostcache_result result = HC_I(enter)(self);
  if (free_bytes) *free_bytes = 0;
  if (total_bytes) *total_bytes = 0;
  if (result != HOSTCACHE_OK) return result;
  if (!free_bytes || !total_bytes) return HOSTCACHE_ERR_ARGUMENT;
  return HC_I(ask_memory)(self, free_bytes, total_bytes);
}

/* This part of a number of bytes, rounded down; `fraction` is from 0 to 1. As a double, the number
   may be larger than it is, and than a size_t can be. */
HOSTCACHE_RARE static size_t HC_I(part_of)(size_t total, double fraction) {
  const double part = (double)total * fraction;
  return part < (double)total ? (size_t)part : total;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(set_memory_fraction)(HC_CACHE *self,
                                                                     double fraction) {
  hostcache_result result = HC_I(enter)(self);
  size_t free_bytes, total;
  if (result != HOSTCACHE_OK) return result;
  if (!(fraction >= 0 && fraction <= 1)) return HOSTCACHE_ERR_ARGUMENT; /* NaN is not, either */
  result = HC_I(ask_memory)(self, &free_bytes, &total);
  if (result != HOSTCACHE_OK) return result;
  hostcache_lock(&self->segments_lock);
  self->fraction = fraction;
  self->cap_by_fraction = HC_I(part_of)(total, fraction);
  return HC_I(bound_set)(self);
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(get_memory_fraction)(HC_CACHE *self,
                                                                     double *fraction) {
  hostcache_result result = HC_I(enter)(self);
  if (fraction) *fraction = 0;
  if (result != HOSTCACHE_OK) return result;
  if (!fraction) return HOSTCACHE_ERR_ARGUMENT;
#ifdef HC_MEM_INFO
  hostcache_lock(&self->segments_lock);
  *fraction = self->fraction;
  hostcache_unlock(&self->segments_lock);
  return HOSTCACHE_OK;
#else
  return HOSTCACHE_ERR_UNSUPPORTED;
#endif
}

/* The largest range of a heap, or 0: it is in the last list that holds something, if they stand in
   the order of sizes. segments_lock is held. */
HOSTCACHE_RARE static size_t HC_I(heap_largest)(const HC_HEAP *heap) {
  const HC_BLOCK *range;
  size_t largest = 0;
  unsigned at;
  for (at = HOSTCACHE_HEAP_SIZES; at > 0 && (HC_ALONE || largest == 0); at--)
    for (range = heap->first[at - 1]; range; range = range->ready_next)
      if (range->size > largest) largest = range->size;
  return largest;
}

/* The largest block in a stock or bin, or 0. All threads and segments_lock are held. */
HOSTCACHE_RARE static size_t HC_I(stocked_largest)(const HC_CACHE *self) {
  const HC_THREAD *thread;
  size_t bin;
  for (bin = HC_BINS; bin > 0; bin--) {
    int is_there = self->batches[bin - 1] || self->common.bins[bin - 1].top;
    for (thread = HC_I(threads)(self); thread; thread = thread->next)
      is_there |= thread->bins[bin - 1].top != NULL;
    if (is_there) return self->class_size[bin - 1];
  }
  return 0;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(cache_info)(HC_CACHE *self, size_t *largest) {
  hostcache_result result = HC_I(enter)(self);
  unsigned kind;
  if (largest) *largest = 0;
  if (result != HOSTCACHE_OK) return result;
  if (!largest) return HOSTCACHE_ERR_ARGUMENT;
  if (HC_I(stop)(self)) return HOSTCACHE_ERR_UNSUPPORTED;
  hostcache_lock(&self->segments_lock);
  *largest = HC_I(stocked_largest)(self);
  for (kind = 0; kind < HOSTCACHE_KIND_COUNT; kind++) {
    const size_t size = HC_I(heap_largest)(&self->heaps[kind]);
    if (size > *largest) *largest = size;
  }
  hostcache_unlock(&self->segments_lock);
  HC_I(go_on)(self);
  return HOSTCACHE_OK;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(get_expandable_segment_sizes)(HC_CACHE *self,
                                                                              size_t *sizes,
                                                                              size_t room,
                                                                              size_t *count) {
  hostcache_result result = HC_I(enter)(self);
  (void)sizes;
  (void)room;
  if (count) *count = 0;
  if (result != HOSTCACHE_OK) return result;
  return count ? HOSTCACHE_OK : HOSTCACHE_ERR_ARGUMENT;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(device_stats)(HC_CACHE *self,
                                                              hostcache_device_stats *stats) {
  hostcache_result result;
  hostcache_stats all;
  hostcache_stat *row;
  unsigned i, pool;
  int refused;
  if (!stats) return HOSTCACHE_ERR_ARGUMENT;
  result = HC_I(enter)(self);
  if (result != HOSTCACHE_OK) return result;
  refused = HC_I(stats_lock)(self);
  HC_I(figures)(self, &all);
  HC_I(aggregate)(&all, stats);
  HC_I(sum_up_columns)(self, stats);
  for (i = 0; (row = HC_I(row_by_number)(stats, i)) != NULL; i++)
    for (pool = HOSTCACHE_STAT_SMALL_POOL; pool < HOSTCACHE_STAT_TYPES; pool++)
      HC_I(since)(&row[pool], &HC_I(row_by_number)(&self->device_base, i)[pool]);
  stats->num_oom_rejections = self->rejections;
  HC_I(stats_unlock)(self, refused);
  return HOSTCACHE_OK;
}

/* A set of caches. Set by devices_create, then never changed. */
struct HC_DEVICES {
  unsigned process; /* which one made it */
  size_t count;
  HC_CACHE *caches[1]; /* as many as were asked for */
};

HOSTCACHE_RARE static hostcache_result HC_I(enter_set)(const HC_DEVICES *set) {
  if (!set) return HOSTCACHE_ERR_ARGUMENT;
  return set->process == hostcache_process() ? HOSTCACHE_OK : HOSTCACHE_ERR_FORKED;
}

/* A set of no caches so far, with room for so many; or NULL. */
HOSTCACHE_RARE static HC_DEVICES *HC_I(new_set)(size_t count) {
  HC_DEVICES *set = NULL;
  if (hostcache_watch_forks()) return NULL;
  if (count <= (SIZE_MAX - sizeof *set) / sizeof *set->caches)
    set = (HC_DEVICES *)HOSTCACHE_MALLOC(sizeof *set + count * sizeof *set->caches);
  if (!set) return NULL;
  set->process = hostcache_process();
  set->count = 0;
  return set;
}

/* Ends the caches of a set, which are not busy, and the set. */
HOSTCACHE_RARE static hostcache_result HC_I(tear_down_set)(HC_DEVICES *set) {
  hostcache_result result = HOSTCACHE_OK;
  while (set->count > 0)
    if (HC_I(tear_down)(set->caches[--set->count]) != HOSTCACHE_OK)
      result = HOSTCACHE_ERR_LEAKED;
  HOSTCACHE_FREE(set);
  return result;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(devices_create)(HC_DEVICES **out, size_t count,
                                                                const hostcache_config *config,
                                                                const HC_CTX *ctxs) {
  hostcache_result result = HOSTCACHE_OK;
  HC_DEVICES *set;
  if (!out) return HOSTCACHE_ERR_ARGUMENT;
  *out = NULL;
  if (count > 0 && !ctxs) return HOSTCACHE_ERR_ARGUMENT;
  set = HC_I(new_set)(count);
  if (!set) return HOSTCACHE_ERR_NO_METADATA;
  while (set->count < count && result == HOSTCACHE_OK) {
    result = HC_FN(create)(&set->caches[set->count], config, ctxs[set->count]);
    if (result == HOSTCACHE_OK) set->count++;
  }
  if (result == HOSTCACHE_OK)
    *out = set;
  else
    (void)HC_I(tear_down_set)(set); /* on_error hears of a leak */
  return result;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(devices_destroy)(HC_DEVICES *set) {
  hostcache_result result = HC_I(enter_set)(set);
  size_t i;
  if (result != HOSTCACHE_OK) return result;
  for (i = 0; i < set->count; i++)
    if (HC_I(is_busy)(set->caches[i])) return HOSTCACHE_ERR_BUSY;
  return HC_I(tear_down_set)(set);
}

HOSTCACHE_RARE HC_PUBLIC void HC_FN(devices_abandon)(HC_DEVICES *set) {
  if (HC_I(enter_set)(set) != HOSTCACHE_OK) return;
  while (set->count > 0) HC_FN(abandon)(set->caches[--set->count]);
  HOSTCACHE_FREE(set);
}

HOSTCACHE_RARE HC_PUBLIC size_t HC_FN(devices_count)(const HC_DEVICES *set) {
  return set ? set->count : 0;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(devices_get)(const HC_DEVICES *set,
                                                             int device_type, size_t index,
                                                             HC_CACHE **cache) {
  hostcache_result result = HC_I(enter_set)(set);
  if (!cache) return HOSTCACHE_ERR_ARGUMENT;
  *cache = NULL;
  if (result != HOSTCACHE_OK) return result;
  if (device_type <= HOSTCACHE_DEVICE_TYPE_CPU || index >= set->count)
    return HOSTCACHE_ERR_ARGUMENT;
  *cache = set->caches[index];
  return HOSTCACHE_OK;
}

#endif /* HC_DEVICE_ALLOCATOR */

#if defined HOSTCACHE_REGISTRY_IMPLEMENTATION && !defined HOSTCACHE_REGISTRY_INCLUDED
#define HOSTCACHE_REGISTRY_INCLUDED

/* The registry. Each place: stored with release, read with acquire. */
static void *hostcache_registry[HOSTCACHE_DEVICE_TYPES]; /* const hostcache_allocator * */

HOSTCACHE_REGISTRY_API const hostcache_allocator *hostcache_get_host_allocator(int device_type) {
  if (device_type < 0 || device_type >= HOSTCACHE_DEVICE_TYPES) return NULL;
  return (const hostcache_allocator *)hostcache_ptr_load_acquire(&hostcache_registry[device_type]);
}

HOSTCACHE_REGISTRY_API const hostcache_allocator *hostcache_set_host_allocator(
    int device_type, const hostcache_allocator *allocator) {
  const hostcache_allocator *now;
  void *expected;
  if (!allocator || device_type < 0 || device_type >= HOSTCACHE_DEVICE_TYPES) return NULL;
  do {
    now = hostcache_get_host_allocator(device_type);
    if (now && now->priority > allocator->priority) return now;
    expected = (void *)(size_t)now;
  } while (!hostcache_ptr_replace_release(&hostcache_registry[device_type], &expected,
                                          (void *)(size_t)allocator));
  return allocator;
}

HOSTCACHE_REGISTRY_API int hostcache_remove_host_allocator(int device_type,
                                                           const hostcache_allocator *allocator) {
  void *expected = (void *)(size_t)allocator;
  if (!allocator || device_type < 0 || device_type >= HOSTCACHE_DEVICE_TYPES) return 0;
  return hostcache_ptr_replace_release(&hostcache_registry[device_type], &expected, NULL);
}

#endif /* the registry */

/* ---- 13. CHECK ----------------------------------------------------------------------------------
   check holds all threads, streams_lock and segments_lock, looks at one structure after the other,
   and then compares them. Each part, a check_*, returns the sentence of the first invariant that
   does not hold, or NULL. */

/* What check finds in the structures, to be compared. */
HC_FINDINGS {
  size_t indexed; /* segments in the index */
  size_t ready;   /* ranges in heaps */
  size_t stocked; /* blocks in stocks and bins */
#ifdef HC_GUARD
  const void *damage; /* of what memory holds: the byte that is not as it was */
#endif
};

/* Is a block in a state in which uses of it may be queued? */
HOSTCACHE_RARE static int HC_I(is_waiting)(const HC_BLOCK *block) {
  const unsigned state = HC_I(state_of)(block);
  return state == HOSTCACHE_WAITING || state == HOSTCACHE_QUARANTINED;
}

/* What one block says of itself, whatever the rest. */
HOSTCACHE_RARE static const char *HC_I(check_block)(HC_CACHE *self, HC_BLOCK *block) {
  const unsigned state = HC_I(state_of)(block);
  const int waiting = HC_I(is_waiting)(block);
  uint32_t i;
  if (block->cache != self) return "a block knows its cache";
  if (state >= HOSTCACHE_STATE_COUNT) return "a block's state is one of those drawn";
  if (state == HOSTCACHE_SPARE) return block->segment ? "a spare record has no segment" : NULL;
  if (!block->segment) return "a block lies in a segment";
  if (HC_I(is_in_use)(state) && (block->requested == 0 || block->requested > block->size))
    return "a block is at least as large as the request";
  if (block->bin != HC_NO_BIN &&
      (block->bin >= HC_BINS || self->class_size[block->bin] != block->size))
    return "a block is of the class of its bin";
  if (HC_I(use_count)(block) > HC_INLINE_USES + 1 + block->more_room)
    return "a block has room for its uses";
  if ((block->more_room > 0) != (block->more != NULL)) return "a block has room for its uses";
  if (block->outstanding > 0 && !waiting) return "only a block that waits has uses outstanding";
  if (state == HOSTCACHE_WAITING && block->outstanding == 0) return "a block waits for something";
  if (!HC_I(keeps_marks)(block) && state != HOSTCACHE_DEFERRED)
    return HC_I(all_marks)(block) ? "only an active block is marked" : NULL;
  for (i = 0; i < HC_I(use_count)(block); i++) {
    HC_USE *use = HC_I(use_at)(block, i);
    if (use->kind > HOSTCACHE_USE_EVENT) return "a use is of a known kind";
#if HC_HAS_STREAMS
    if (use->kind != HOSTCACHE_USE_EVENT && HC_I(mark_of)(block, use->stream) != use)
      return "an active block is marked by a stream once";
#endif
  }
  return NULL;
}

/* A range of a segment that is in the index. */
HOSTCACHE_RARE static const char *HC_I(check_range)(HC_CACHE *self, const HC_SEGMENT *segment,
                                                      const HC_BLOCK *range) {
  const unsigned state = HC_I(state_of)(range);
  if (range->segment != segment) return "a range knows its segment";
  if (state == HOSTCACHE_SPARE || state == HOSTCACHE_LEAKED)
    return "a block in the index has memory";
  if ((size_t)range->ptr & (self->config.alignment - 1)) return "a block is aligned";
  if ((state == HOSTCACHE_CACHED) != range->is_ready) return "a cached block is in a heap";
  if (range->is_ready && range->bin != HC_NO_BIN) return "a range in a heap has no bin";
  if (range->is_ready && HC_I(is_ready_too)(range->right, range))
    return "ready ranges do not stand side by side";
  if (!range->is_indexed) {
    const HC_BLOCK *found =
        (const HC_BLOCK *)hostcache_index_floor(&self->index, (size_t)range->ptr);
    if (found && found->ptr == range->ptr) return "what is not in the index is not found there";
    return range->is_ready || state == HOSTCACHE_LEAVING ? NULL : "a block is in the index";
  }
  if (hostcache_index_floor(&self->index, (size_t)range->ptr) != (const void *)range ||
      hostcache_index_floor(&self->index, (size_t)range->ptr + (range->size - 1)) !=
          (const void *)range)
    return "a block is found by its first address and its last";
  return NULL;
}

#ifdef HC_GUARD

/* What the memory of a range holds. */
HOSTCACHE_RARE static const char *HC_I(check_memory)(const HC_BLOCK *range,
                                                       HC_FINDINGS *findings) {
  const unsigned state = HC_I(state_of)(range);
  const int ready = state == HOSTCACHE_CACHED || state == HOSTCACHE_STOCKED;
  if (ready && !range->guarded && !HC_I(pool_of)(range->segment))
    return "what is ready, and of no pool, is guarded";
  if (ready && range->guarded) {
    hostcache_show(range->ptr, range->size);
    findings->damage = hostcache_damage(range->ptr, range->size);
    hostcache_hide(range->ptr, range->size);
    if (findings->damage) return "ready memory is written to by nobody";
  }
  if (HC_I(is_in_use)(state)) findings->damage = HC_I(overflow)(range);
  return findings->damage ? "a block is not written to behind its end" : NULL;
}

#define HC_CHECK_MEMORY(range, findings) HC_I(check_memory)(range, findings)
#define HC_DAMAGE(findings) ((findings)->damage)

#else

#define HC_CHECK_MEMORY(range, findings) NULL
#define HC_DAMAGE(findings) NULL

#endif

/* A segment that is in the index. */
HOSTCACHE_RARE static const char *HC_I(check_segment)(HC_CACHE *self, const HC_SEGMENT *segment,
                                                        HC_FINDINGS *findings) {
  const HC_BLOCK *range, *left = NULL;
  size_t size = 0;
  if (segment->size == 0 || segment->size % (HC_ALONE ? self->config.alignment : HC_PAGE))
    return "a segment is a multiple of the page";
  if (HC_ALONE && segment->first->right) return "a block is a segment of its own";
  for (range = segment->first; range; left = range, range = range->right) {
    const char *broken;
    if (range->left != left) return "ranges are linked both ways";
    if (range->size == 0 || range->size > segment->size - size ||
        (size_t)range->ptr != (size_t)segment->ptr + size)
      return "the ranges of a segment follow each other without a gap";
    broken = HC_I(check_range)(self, segment, range);
    if (!broken) broken = HC_CHECK_MEMORY(range, findings);
    if (broken) return broken;
    size += range->size;
    findings->ready += range->is_ready;
    findings->stocked += HC_I(state_of)(range) == HOSTCACHE_STOCKED;
  }
  return size == segment->size ? NULL : "the ranges of a segment follow each other without a gap";
}

/* The index of segments. */
HOSTCACHE_RARE static const char *HC_I(check_index)(HC_CACHE *self, HC_FINDINGS *findings) {
  const hostcache_node *node = hostcache_tree_ceiling(self->by_address, 0);
  const hostcache_node *next;
  size_t held = 0;
  for (; node; node = next) {
    const HC_SEGMENT *segment = (const HC_SEGMENT *)node->owner;
    const char *broken;
    next = hostcache_tree_ceiling(self->by_address, node->key + 1);
    if ((size_t)segment->ptr != node->key)
      return "a segment stands in the index under its address";
    if (next && next->key - node->key < segment->size) return "segments do not overlap";
    broken = HC_I(check_segment)(self, segment, findings);
    if (broken) return broken;
    if ((node->left && node->left->priority > node->priority) ||
        (node->right && node->right->priority > node->priority))
      return "the index is a heap by priority";
    held += segment->size;
    findings->indexed++;
  }
  return held <= self->claimed ? NULL : "what is held was claimed";
}

/* The heaps of a pool, of what is ready for one stream alone, or (neither) those that are shared.
   Adds up their ranges, those of them that are whole segments, and the bytes. */
HOSTCACHE_RARE static const char *HC_I(check_heap_set)(const HC_HEAP *heaps, const HC_POOL *pool,
                                                       const HC_ORDER *order,
                                                       const HC_FINDINGS *findings, size_t *count,
                                                       size_t *whole, size_t *bytes) {
  const HC_HEAP *heap;
  unsigned word, bit;
  for (heap = heaps; heap < heaps + HOSTCACHE_KIND_COUNT; heap++) {
    for (word = 0; word < HOSTCACHE_HEAP_SIZES / HOSTCACHE_WORD_BITS; word++) {
      const unsigned lists = word * HOSTCACHE_WORD_BITS;
      size_t filled = 0;
      for (bit = 0; bit < HOSTCACHE_WORD_BITS; bit++)
        if (heap->first[lists + bit]) filled |= (size_t)1 << bit;
      if (heap->filled[word] != filled || (heap->words >> word & 1) != (filled != 0))
        return "a heap knows which of its lists hold something";
      for (; filled; filled &= filled - 1) {
        const unsigned list = lists + hostcache_lowest(filled);
        HC_BLOCK *const *from = &heap->first[list];
        for (; *from; from = &(*from)->ready_next) {
          const HC_BLOCK *range = *from;
          if ((*count)++ == findings->ready || !range->is_ready ||
              &heaps[range->segment->kind] != heap || HC_I(pool_of)(range->segment) != pool ||
              HC_I(order_of)(range) != order)
            return "what is in a heap is ready, of its kind, and of its pool";
          if (range->ready_class != list || HC_I(heap_class)(range->size) != list ||
              range->ready_from != from)
            return "a ready range stands in the list of its size";
          *whole += (size_t)HC_I(is_whole)(range);
          if (bytes) *bytes += range->size;
        }
      }
    }
  }
  return NULL;
}

/* The heaps, and the list of idle segments. */
HOSTCACHE_RARE static const char *HC_I(check_heaps)(HC_CACHE *self, const HC_FINDINGS *findings) {
  size_t count = 0, idle = 0;
  const HC_SEGMENT *segment, *previous = NULL;
  size_t kept = 0, kept_ready = 0, for_one = 0;
  const char *broken =
      HC_I(check_heap_set)(self->heaps, NULL, NULL, findings, &count, &idle, NULL);
#ifdef HC_POOLS
  const HC_POOL *pool;
  for (pool = self->pools; pool && !broken; pool = pool->next)
    broken =
        HC_I(check_heap_set)(pool->heaps, pool, NULL, findings, &count, &kept, &kept_ready);
#endif
#ifdef HC_STREAM_ORDERED
  const HC_ORDER *order;
  for (order = HC_I(orders)(self); order && !broken; order = order->next) {
    size_t bytes = 0;
    broken = HC_I(check_heap_set)(order->heaps, NULL, order, findings, &count, &kept, &bytes);
    if (!broken && bytes != order->bytes) broken = "a stream knows how much is ready for it alone";
    for_one += bytes;
  }
#endif
  if (broken) return broken;
  if (kept_ready != HC_I(pooled_bytes)(self)) return "the pools know how much of them is ready";
  if (for_one != HC_I(ordered_bytes)(self))
    return "a stream knows how much is ready for it alone";
  if (count != findings->ready) return "a cached block is in a heap";
  if ((int64_t)(idle + kept) != HC_I(rest)(self->idle.in, self->idle.out))
    return "the idle segments are those that are one ready range";
  for (segment = self->idle_first; segment; previous = segment, segment = segment->idle_next)
    if (idle-- == 0 || segment->idle_previous != previous || !segment->first->is_ready ||
        segment->first->right)
      return "the idle segments are those that are one ready range";
  if (idle != 0 || self->idle_last != previous)
    return "the idle segments are those that are one ready range";
  return NULL;
}

/* A block in a stock or bin. */
HOSTCACHE_RARE static const char *HC_I(check_stocked)(const HC_BLOCK *block, size_t bin) {
  if (HC_I(state_of)(block) != HOSTCACHE_STOCKED || block->bin != bin)
    return "what is in a stock or a bin is stocked there";
  return block->extra_uses ? "a stocked block has no uses" : NULL;
}

/* What a thread has in stock. */
HOSTCACHE_RARE static const char *HC_I(check_stock)(HC_CACHE *self, const HC_THREAD *thread,
                                                      HC_FINDINGS *findings) {
  const char *broken = NULL;
  size_t bytes = 0, i;
  for (i = 0; i < HC_BINS && !broken; i++) {
    const HC_BIN *bin = &thread->bins[i];
    int64_t count = bin->put + bin->traded - bin->got;
    const HC_BLOCK *block = bin->top;
    for (; block && !broken; block = block->next) {
      broken = HC_I(check_stocked)(block, i);
      if (!broken && block->home != (const void *)thread)
        broken = "what is in a stock has its thread for a home";
      if (!broken && findings->stocked-- == 0) return "a stocked block is in one stock or bin";
      bytes += self->class_size[i];
      count--;
    }
    if (!broken && count != 0) broken = "a stock knows how much it has";
  }
  if (!broken && bytes != thread->stock_bytes) broken = "a stock knows how much it has";
  return broken;
}

/* The shared bins. */
HOSTCACHE_RARE static const char *HC_I(check_bins)(HC_CACHE *self, HC_FINDINGS *findings) {
  const char *broken = NULL;
  size_t bytes = 0, i;
  unsigned k;
  for (i = 0; i < HC_BINS; i++) {
    const HC_BLOCK *batch = self->batches[i];
    for (; batch; batch = batch->next) {
      for (k = 0; k < batch->in.batch.count && !broken; k++) {
        broken = HC_I(check_stocked)(batch->in.batch.blocks[k], i);
        if (!broken && findings->stocked-- == 0) return "a stocked block is in one stock or bin";
      }
      if (broken) return broken;
      bytes += batch->in.batch.count * self->class_size[i];
    }
  }
  if (findings->stocked != 0) return "a stocked block is in one stock or bin";
  return bytes == self->binned_bytes ? NULL : "the bins know how much they have";
}

/* A queue of a thread. */
HOSTCACHE_RARE static const char *HC_I(check_queue)(const HC_CACHE *self,
                                                      const HC_THREAD *thread,
                                                      const HC_QUEUE *queue) {
  const HC_USE *use, *previous = NULL;
  uint32_t length = 0;
  int cursor = queue->cursor == NULL;
  for (use = queue->head; use; previous = use, use = use->next) {
    HC_BLOCK *block = use->block; /* NULL: an event alone */
    if (length++ == queue->length) return "a queue knows its length";
    if (previous && !queue->lane && use->previous != previous)
      return "a queue is linked both ways";
    if (previous && use->ticket < previous->ticket) return "tickets do not fall along a queue";
    if (use->fate != HOSTCACHE_FATE_QUEUED) return "a use in a queue is queued";
    if (block && !HC_I(is_waiting)(block)) return "the block of a queued use waits";
    if (block && block->home != (const void *)thread) return "a block waits in its home's queues";
    if (block) block->seen++;
    cursor |= use == queue->cursor;
  }
  if (length != queue->length) return "a queue knows its length";
  if (queue->tail != previous) return "a queue ends at its tail";
  if (!cursor) return "the cursor stands in the loose queue";
  if (queue->pool_count > queue->pool_room) return "a pool has room for its events";
  if (queue->pool_room > 0 && !hostcache_u32_load_acquire(&queue->claimed) &&
      (!queue->lane || (!queue->lane->live && !queue->lane->leaving)) &&
      self->stats.num_barriers_refused == 0)
    return "a stream that was forgotten pools no events";
  return NULL;
}

/* A thread's record. */
HOSTCACHE_RARE static const char *HC_I(check_thread)(HC_CACHE *self, const HC_THREAD *thread,
                                                       HC_FINDINGS *findings) {
  const char *broken = HC_I(check_stock)(self, thread, findings);
  uint32_t waiting = thread->loose.length > 0, i;
  if (!broken) broken = HC_I(check_queue)(self, thread, &thread->loose);
  for (i = 0; i < thread->queue_room && !broken; i++) {
    if (!thread->queues[i]) continue;
    if (!thread->queues[i]->lane || thread->queues[i]->lane->number != i)
      return "a queue stands at the number of its lane";
    broken = HC_I(check_queue)(self, thread, thread->queues[i]);
    waiting += thread->queues[i]->length > 0;
  }
  if (!broken && waiting != thread->waiting) broken = "a thread counts its busy queues";
#if HC_HAS_STREAMS
  for (i = 0; i < HC_KNOWN && !broken; i++)
    if (thread->known[i] && !thread->known[i]->live) broken = "a thread knows live lanes only";
#endif
  return broken;
}

/* The table of streams. streams_lock is held. */
HOSTCACHE_RARE static const char *HC_I(check_table)(HC_CACHE *self) {
#if HC_HAS_STREAMS
  const HC_LANE *lane;
  size_t listed = 0;
  unsigned i;
  for (i = 0; i < HC_STREAM_BUCKETS; i++) {
    for (lane = self->buckets[i]; lane; lane = lane->next) {
      if (listed++ == self->lane_count || !lane->live)
        return "the live lanes are those in the table";
      if (HC_I(stream_bucket)(lane->stream) != i || HC_I(lane_find)(self, lane->stream) != lane)
        return "a stream is found in the table, once";
    }
  }
  for (lane = self->retired; lane; lane = lane->next)
    if (listed++ == self->lane_count || lane->live) return "the live lanes are those in the table";
  for (lane = self->leaving; lane; lane = lane->next)
    if (listed++ == self->lane_count || lane->live) return "the live lanes are those in the table";
  return listed == self->lane_count ? NULL : "the live lanes are those in the table";
#else
  (void)self;
  return NULL;
#endif
}

/* Each structure by itself. */
HOSTCACHE_RARE static const char *HC_I(check_each)(HC_CACHE *self, HC_FINDINGS *findings) {
  const HC_THREAD *thread;
  const char *broken = HC_I(check_index)(self, findings);
  HC_SLAB *slab = NULL;
  HC_BLOCK *block;
  unsigned i = 0;
  if (!broken) broken = HC_I(check_heaps)(self, findings);
  while (!broken && (block = HC_I(next_block)(self, &slab, &i)) != NULL) {
    broken = HC_I(check_block)(self, block);
    block->seen = 0;
  }
  if (!broken) broken = HC_I(check_thread)(self, &self->common, findings);
  for (thread = HC_I(threads)(self); thread && !broken; thread = thread->next)
    broken = HC_I(check_thread)(self, thread, findings);
  return broken ? broken : HC_I(check_bins)(self, findings);
}

/* Adds what a block counts for; a segment is counted with its first range. */
HOSTCACHE_RARE static void HC_I(add_up)(const HC_CACHE *self, const HC_BLOCK *block,
                                          hostcache_stats *sum) {
  const HC_SEGMENT *segment = block->segment;
  const unsigned state = HC_I(state_of)(block);
  const int oversize = HC_I(is_oversize)(self, block->size);
  const int cached = state == HOSTCACHE_CACHED || state == HOSTCACHE_STOCKED;
  if (state == HOSTCACHE_SPARE) return;
  if (segment->first == block) {
    HC_I(stat_move)(&sum->segment, &sum->reserved_bytes, 0, 1, segment->size);
    HC_I(stat_step)(&sum->oversize_segments, 0, HC_I(is_oversize)(self, segment->size), 1);
  }
  HC_I(stat_move)(&sum->leaked, &sum->leaked_bytes, 0, state == HOSTCACHE_LEAKED, block->size);
  HC_I(stat_move)(&sum->allocation, &sum->allocated_bytes, 0, HC_I(is_handed_out)(state),
                  block->size);
  HC_I(stat_move)(&sum->pending, &sum->pending_bytes, 0, HC_I(is_pending)(state), block->size);
  HC_I(stat_move)(&sum->quarantined, &sum->quarantined_bytes, 0, state == HOSTCACHE_QUARANTINED,
                  block->size);
  HC_I(stat_move)(&sum->active, &sum->active_bytes, 0, HC_I(is_in_use)(state), block->size);
  HC_I(stat_step)(&sum->requested_bytes, 0, HC_I(is_in_use)(state), block->requested);
  HC_I(stat_step)(&sum->wasted_bytes, 0, HC_I(is_in_use)(state), block->size - block->requested);
  HC_I(stat_step)(&sum->oversize_allocations, 0, oversize && HC_I(is_handed_out)(state), 1);
  HC_I(stat_step)(&sum->cached_bytes, 0, cached, block->size);
  HC_I(stat_move)(&sum->inactive_split, &sum->inactive_split_bytes, 0,
                  cached && (block->left || block->right), block->size);
}

#ifdef HC_DEVICE_ALLOCATOR

/* The same by pool. */
HOSTCACHE_RARE static void HC_I(add_up_column)(const HC_BLOCK *block,
                                               hostcache_device_stats *sum) {
  const HC_SEGMENT *segment = block->segment;
  const unsigned state = HC_I(state_of)(block);
  const int split = (state == HOSTCACHE_CACHED || state == HOSTCACHE_STOCKED) &&
                    !HC_I(is_whole)(block);
  unsigned at;
  if (state == HOSTCACHE_SPARE) return;
  at = HOSTCACHE_STAT_SMALL_POOL + HC_I(pool_of_kind)(segment->kind);
  HC_I(stat_move)(&sum->segment[at], &sum->reserved_bytes[at], 0, segment->first == block,
                  segment->size);
  HC_I(stat_move)(&sum->allocation[at], &sum->allocated_bytes[at], 0,
                  HC_I(is_handed_out)(state), block->size);
  HC_I(stat_move)(&sum->active[at], &sum->active_bytes[at], 0, HC_I(is_in_use)(state),
                  block->size);
  HC_I(stat_step)(&sum->requested_bytes[at], 0, HC_I(is_in_use)(state), block->requested);
  HC_I(stat_move)(&sum->inactive_split[at], &sum->inactive_split_bytes[at], 0, split,
                  block->size);
}

/* The columns, among each other too. `all` are the figures of both pools. */
HOSTCACHE_RARE static const char *HC_I(check_columns)(HC_CACHE *self, const hostcache_stats *all) {
  hostcache_device_stats sum, stats;
  const hostcache_stat *row;
  HC_SLAB *slab = NULL;
  HC_BLOCK *block;
  unsigned i = 0, pool;
  memset(&sum, 0, sizeof sum);
  while ((block = HC_I(next_block)(self, &slab, &i)) != NULL) HC_I(add_up_column)(block, &sum);
  HC_I(aggregate)(all, &stats);
  HC_I(sum_up_columns)(self, &stats);
  for (i = 0; (row = HC_I(row_by_number)(&stats, i)) != NULL; i++) {
    const hostcache_stat *both = &row[HOSTCACHE_STAT_AGGREGATE];
    const hostcache_stat *small = &row[HOSTCACHE_STAT_SMALL_POOL], *large = small + 1;
    for (pool = HOSTCACHE_STAT_SMALL_POOL; pool < HOSTCACHE_STAT_TYPES; pool++) {
      if (row[pool].current != HC_I(row_by_number)(&sum, i)[pool].current)
        return "the figures equal the sum over the blocks";
      if (row[pool].peak < row[pool].current) return "a peak is not below its current";
    }
    /* (All of them are what the blocks add up to, and so are the currents of all.) */
    if (both->allocated != HC_I(sum)(small->allocated, large->allocated) ||
        both->freed != HC_I(sum)(small->freed, large->freed))
      return "the figures of both pools add up to those of all";
  }
  return NULL;
}

#endif

/* The structures among each other. */
HOSTCACHE_RARE static const char *HC_I(check_together)(HC_CACHE *self, HC_FINDINGS *findings) {
  hostcache_stats sum, stats;
  hostcache_stat *stat;
  size_t held, leaving = 0;
  HC_SLAB *slab = NULL;
  HC_BLOCK *block;
  unsigned i = 0;

  memset(&sum, 0, sizeof sum);
  while ((block = HC_I(next_block)(self, &slab, &i)) != NULL) {
    HC_I(add_up)(self, block, &sum);
    leaving += HC_I(state_of)(block) == HOSTCACHE_LEAVING;
    if (block->seen != block->outstanding)
      return "a block has as many uses outstanding as stand in queues";
  }
  held = (size_t)(sum.segment.current - sum.leaked.current); /* those with memory of ours */
  if (findings->indexed > held || findings->indexed + leaving < held)
    return "a block with memory is in the index";
  HC_I(sum_up)(self, &stats);
  for (i = 0; (stat = HC_I(stat_by_number)(&stats, i)) != NULL; i++) {
    if (stat->current != HC_I(stat_by_number)(&sum, i)->current)
      return "the figures equal the sum over the blocks";
    if (stat->peak < stat->current) return "a peak is not below its current";
  }
#ifdef HC_DEVICE_ALLOCATOR
  return HC_I(check_columns)(self, &stats);
#else
  return NULL;
#endif
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(check)(HC_CACHE *self) {
  hostcache_result result = HC_I(enter)(self);
  const char *broken;
  HC_FINDINGS findings;
  if (result != HOSTCACHE_OK) return result;
  memset(&findings, 0, sizeof findings);
  if (HC_I(stop)(self)) return HOSTCACHE_ERR_UNSUPPORTED;
  hostcache_lock(&self->streams_lock);
  hostcache_lock(&self->segments_lock);
  broken = HC_I(check_each)(self, &findings);
  if (!broken) broken = HC_I(check_table)(self);
  if (!broken) broken = HC_I(check_together)(self, &findings);
  hostcache_unlock(&self->segments_lock);
  hostcache_unlock(&self->streams_lock);
  HC_I(go_on)(self);
  if (!broken) return HOSTCACHE_OK;
  HC_I(tell)(self, HOSTCACHE_ERR_CORRUPT, 0, broken, HC_DAMAGE(&findings));
  return HOSTCACHE_ERR_CORRUPT;
}

HOSTCACHE_RARE static int HC_I(visit_kind)(unsigned state) {
  if (HC_I(is_handed_out)(state)) return HOSTCACHE_VISIT_ACTIVE;
  if (HC_I(is_pending)(state)) return HOSTCACHE_VISIT_PENDING;
  if (state == HOSTCACHE_QUARANTINED) return HOSTCACHE_VISIT_QUARANTINED;
  return state == HOSTCACHE_LEAKED ? HOSTCACHE_VISIT_LEAKED : HOSTCACHE_VISIT_CACHED;
}

/* What there is, as walk and snapshot note it: a segment (`range` is NULL), then its ranges. */
typedef void (*HC_I(note_fn))(HC_CACHE *self, void *notes, const HC_SEGMENT *segment,
                              const HC_BLOCK *range);

/* Notes a segment. segments_lock is held. */
HOSTCACHE_RARE static void HC_I(note_segment)(HC_CACHE *self, HC_I(note_fn) note, void *notes,
                                              const HC_SEGMENT *segment) {
  const HC_BLOCK *range;
  note(self, notes, segment, NULL);
  for (range = segment->first; range; range = range->right) note(self, notes, segment, range);
}

/* Notes all segments: those of the index by address, then those that leaked. 0, or -1: the threads
   cannot be held. */
HOSTCACHE_RARE static int HC_I(note_all)(HC_CACHE *self, HC_I(note_fn) note, void *notes) {
  const hostcache_node *node;
  HC_SLAB *slab = NULL;
  HC_BLOCK *block;
  unsigned i = 0;
  if (HC_I(stop)(self)) return -1;
  hostcache_lock(&self->segments_lock);
  for (node = hostcache_tree_ceiling(self->by_address, 0); node;
       node = hostcache_tree_ceiling(self->by_address, node->key + 1))
    HC_I(note_segment)(self, note, notes, (const HC_SEGMENT *)node->owner);
  while ((block = HC_I(next_block)(self, &slab, &i)) != NULL)
    if (HC_I(state_of)(block) == HOSTCACHE_LEAKED)
      HC_I(note_segment)(self, note, notes, block->segment);
  hostcache_unlock(&self->segments_lock);
  HC_I(go_on)(self);
  return 0;
}

/* What walk has noted, and how much room that takes. */
struct HC_I(visits) {
  hostcache_visit *at;
  size_t room, used;
};

HOSTCACHE_RARE static void HC_I(note_visit)(HC_CACHE *self, void *notes, const HC_SEGMENT *segment,
                                            const HC_BLOCK *range) {
  struct HC_I(visits) *visits = (struct HC_I(visits) *)notes;
  hostcache_visit visit = {HOSTCACHE_VISIT_SEGMENT, segment->ptr, segment->size, 0};
  (void)self;
  if (range) {
    const unsigned state = HC_I(state_of)(range);
    visit.kind = HC_I(visit_kind)(state);
    visit.ptr = range->ptr;
    visit.size = range->size;
    if (HC_I(is_in_use)(state)) visit.requested = range->requested;
  }
  if (visits->used < visits->room) visits->at[visits->used] = visit;
  visits->used++;
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(walk)(HC_CACHE *self, hostcache_visit_fn visit,
                                                      void *user) {
  hostcache_result result = HC_I(enter)(self);
  struct HC_I(visits) visits = {NULL, 0, 0};
  size_t i;
  int cancel;
  if (result != HOSTCACHE_OK) return result;
  if (!visit) return HOSTCACHE_ERR_ARGUMENT;
  for (;;) {
    visits.used = 0;
    if (HC_I(note_all)(self, HC_I(note_visit), &visits)) result = HOSTCACHE_ERR_UNSUPPORTED;
    if (visits.used <= visits.room) break; /* as they are where nothing was noted */
    if (visits.at) HOSTCACHE_FREE(visits.at);
    visits.room = visits.used + visits.used / 4;
    visits.at = (hostcache_visit *)HOSTCACHE_MALLOC(visits.room * sizeof *visits.at);
    if (!visits.at) {
      HC_I(tell)(self, HOSTCACHE_ERR_NO_METADATA, 0,
                 "HOSTCACHE_MALLOC had no memory for what walk shows", NULL);
      return HOSTCACHE_ERR_NO_METADATA;
    }
  }
  cancel = hostcache_hook_begin();
  for (i = 0; i < visits.used; i++) /* none, where the threads could not be held */
    if (visit(user, &visits.at[i])) break;
  hostcache_hook_end(cancel);
  if (visits.at) HOSTCACHE_FREE(visits.at);
  return result;
}

#ifdef HC_TRACE

/* What snapshot has noted: ranges, and the streams of all of them one after the other. */
struct HC_I(view) {
  hostcache_range *ranges;
  size_t room, used, segment; /* `segment`: where the last one stands */
  HC_STREAM *streams;
  size_t stream_room, streams_used;
};

HOSTCACHE_RARE static void HC_I(note_streams)(HC_CACHE *self, struct HC_I(view) *view,
                                              const HC_BLOCK *range) {
#if HC_HAS_STREAMS
  size_t marks = HC_I(all_marks)(range);
  uint32_t i;
  for (; marks; marks &= marks - 1) {
    const HC_LANE *lane =
        (const HC_LANE *)hostcache_ptr_load_acquire(&self->lanes[hostcache_lowest(marks)]);
    if (view->streams_used < view->stream_room)
      view->streams[view->streams_used] = lane->stream;
    view->streams_used++;
  }
  for (i = 0; i < HC_I(use_count)(range); i++) {
    const HC_USE *use = HC_I(use_at)((HC_BLOCK *)(size_t)range, i);
    if (use->kind == HOSTCACHE_USE_EVENT || use->fate == HOSTCACHE_FATE_OVER) continue;
    if (view->streams_used < view->stream_room)
      view->streams[view->streams_used] = HC_I(stream_of)(use);
    view->streams_used++;
  }
#else
  (void)self;
  (void)view;
  (void)range;
#endif
}

HOSTCACHE_RARE static void HC_I(note_range)(HC_CACHE *self, void *notes, const HC_SEGMENT *segment,
                                            const HC_BLOCK *range) {
  struct HC_I(view) *view = (struct HC_I(view) *)notes;
  const unsigned state = range ? HC_I(state_of)(range) : (unsigned)HOSTCACHE_SPARE;
  const size_t place = view->used++, first = view->streams_used;
  hostcache_range shown;
  memset(&shown, 0, sizeof shown);
  shown.kind = range ? HC_I(visit_kind)(state) : (int)HOSTCACHE_VISIT_SEGMENT;
  shown.pool = HC_I(pool_id)(HC_I(pool_of)(segment));
  shown.ptr = range ? range->ptr : segment->ptr;
  shown.size = range ? range->size : segment->size;
  if (!range) view->segment = place;
  if (HC_I(is_in_use)(state)) {
    shown.requested = range->requested;
    hostcache_lock(&self->trace_lock);
    shown.context = range->context;
    hostcache_unlock(&self->trace_lock);
    HC_I(note_streams)(self, view, range);
    shown.stream_count = view->streams_used - first;
    if (shown.stream_count > 0 && view->streams_used <= view->stream_room)
      shown.streams = &view->streams[first];
    if (view->segment < view->room) {
      view->ranges[view->segment].active_bytes += range->size;
      if (HC_I(is_handed_out)(state)) view->ranges[view->segment].allocated_bytes += range->size;
    }
  }
  if (place < view->room) view->ranges[place] = shown;
}

HOSTCACHE_RARE static void HC_I(note_shown)(struct HC_I(view) *view, const hostcache_range *shown) {
  if (view->used < view->room) view->ranges[view->used] = *shown;
  view->used++;
}

/* Notes what was pinned outside of the cache: each as a segment, and an active range of it. */
HOSTCACHE_RARE static void HC_I(note_externals)(HC_CACHE *self, struct HC_I(view) *view) {
  const struct HC_I(external) *external;
  hostcache_lock(&self->trace_lock);
  for (external = self->externals; external; external = external->next) {
    hostcache_range shown;
    memset(&shown, 0, sizeof shown);
    shown.kind = HOSTCACHE_VISIT_SEGMENT;
    shown.ptr = external->ptr;
    shown.size = shown.active_bytes = shown.allocated_bytes = external->size;
    HC_I(note_shown)(view, &shown);
    shown.kind = HOSTCACHE_VISIT_ACTIVE;
    shown.active_bytes = shown.allocated_bytes = 0;
    shown.requested = external->size;
    shown.context = external->context;
    HC_I(note_shown)(view, &shown);
  }
  hostcache_unlock(&self->trace_lock);
}

HOSTCACHE_RARE HC_PUBLIC hostcache_result HC_FN(snapshot)(HC_CACHE *self, hostcache_range_fn visit,
                                                          void *user) {
  hostcache_result result = HC_I(enter)(self);
  struct HC_I(view) view;
  size_t i;
  int cancel;
  if (result != HOSTCACHE_OK) return result;
  if (!visit) return HOSTCACHE_ERR_ARGUMENT;
  if (HC_I(is_traced)(self))
    HC_I(trace_now)(self, HOSTCACHE_TRACE_SNAPSHOT, NULL, NULL, 0, 0, HC_I(pool_id)(NULL),
                    HC_I(trace_ask)(self, HOSTCACHE_TRACE_SNAPSHOT));
  memset((void *)&view, 0, sizeof view);
  for (;;) {
    view.used = view.streams_used = 0;
    if (HC_I(note_all)(self, HC_I(note_range), &view)) result = HOSTCACHE_ERR_UNSUPPORTED;
    HC_I(note_externals)(self, &view);
    if (result != HOSTCACHE_OK ||
        (view.used <= view.room && view.streams_used <= view.stream_room))
      break;
    if (view.ranges) HOSTCACHE_FREE(view.ranges);
    if (view.streams) HOSTCACHE_FREE(view.streams);
    view.room = view.used + view.used / 4;
    view.stream_room = view.streams_used + view.streams_used / 4 + 1;
    view.ranges = (hostcache_range *)HOSTCACHE_MALLOC(view.room * sizeof *view.ranges);
    view.streams = (HC_STREAM *)HOSTCACHE_MALLOC(view.stream_room * sizeof *view.streams);
    if (view.ranges && view.streams) continue;
    HC_I(tell)(self, HOSTCACHE_ERR_NO_METADATA, 0,
               "HOSTCACHE_MALLOC had no memory for what snapshot shows", NULL);
    result = HOSTCACHE_ERR_NO_METADATA;
    break;
  }
  cancel = hostcache_hook_begin();
  for (i = 0; result == HOSTCACHE_OK && i < view.used; i++)
    if (visit(user, &view.ranges[i])) break;
  hostcache_hook_end(cancel);
  if (view.ranges) HOSTCACHE_FREE(view.ranges);
  if (view.streams) HOSTCACHE_FREE(view.streams);
  return result;
}

#endif

#ifdef __cplusplus
}
#endif

#endif /* HC_EMIT && !HC_BAD_EMIT */
#endif /* HC_BAD_DECLARE */

/* ---- 14. UNDEF ----------------------------------------------------------------------------------
   Every HC_*, so that the next inclusion starts clean. */

#undef HC_NAME
#undef HC_STREAM_T
#undef HC_CTX_T
#undef HC_SEGMENT_T
#undef HC_MEM_ALLOC
#undef HC_MEM_FREE
#undef HC_MEM_IS_HOST
#undef HC_EVENT_T
#undef HC_EVENT_CREATE
#undef HC_EVENT_DESTROY
#undef HC_EVENT_RECORD
#undef HC_EVENT_QUERY
#undef HC_EVENT_WAIT
#undef HC_STREAM_WAIT
#undef HC_STREAM_EQ
#undef HC_STREAM_HASH
#undef HC_TIMELINE
#undef HC_TIMELINE_RECORD
#undef HC_TIMELINE_QUERY
#undef HC_TIMELINE_WAIT
#undef HC_NO_STREAMS
#undef HC_OWN_SEGMENTS
#undef HC_FREE_FOREIGN
#undef HC_SEGMENT_FITS
#undef HC_EVENTS_DO_NOT_CANCEL
#undef HC_HOST_ALLOCATOR
#undef HC_TRACE
#undef HC_DEVICE_ALLOCATOR
#undef HC_MEM_INFO
#undef HC_COPY_DATA
#undef HC_POOLS
#undef HC_STREAM_CURRENT
#undef HC_STREAM_ORDERED
#undef HC_ALLOC_EX
#undef HC_MEM_ALLOC_ON_NODE
#undef HC_STREAM_WAIT_EVENT
#undef HC_STREAM_WAIT_VALUE
#undef HC_STREAM_IS_CAPTURING
#undef HC_CAPTURE_RELAX_BEGIN
#undef HC_CAPTURE_RELAX_END
#undef HC_API
#undef HC_STATIC
#undef HC_IMPLEMENT
#undef HC_DECLARE

#undef HC_PROBE_hostcache
#undef HC_PROBE_
#undef HC_PROBE2
#undef HC_PROBE
#undef HC_SECOND2
#undef HC_SECOND
#undef HC_BAD_DECLARE
#undef HC_EMIT
#undef HC_BAD_EMIT
#undef HC_JOIN2
#undef HC_JOIN
#undef HC_FN
#undef HC_I
#undef HC_CACHE
#undef HC_BLOCK
#undef HC_CHECKPOINT
#undef HC_DEVICES
#undef HC_PUBLIC
#undef HC_HAS_STREAMS
#undef HC_STREAM
#undef HC_HAS_TIMELINE
#undef HC_HAS_EVENTS
#undef HC_EVENT
#undef HC_ALONE
#undef HC_POOLS_EVENTS
#undef HC_HAS_EVENT
#undef HC_RUNTIME
#undef HC_CTX
#undef HC_INLINE_USES
#undef HC_PAGE
#undef HC_STREAM_BUCKETS
#undef HC_RECORDS
#undef HC_POLL_EVERY
#undef HC_LONG
#undef HC_AHEAD
#undef HC_LOOSE_PER_POLL
#undef HC_FENCES
#undef HC_DUE_FENCE
#undef HC_DUE_POLL
#undef HC_FIRST_POOL
#undef HC_SEGMENT
#undef HC_THREAD
#undef HC_LEVEL
#undef HC_BIN
#undef HC_FLOW
#undef HC_LANE
#undef HC_STOCK_MOST
#undef HC_BINNED_PART
#undef HC_STOCK_LEAST
#undef HC_STOCK_PART
#undef HC_KNOWN
#undef HC_CLASS_UNITS
#undef HC_MOST_USES
#undef HC_UNKNOWN_SHIFT
#undef HC_APART
#undef HC_LINE
#undef HC_BLOCK_STRIDE
#undef HC_COLUMN
#undef HC_COUNTS_HANDED
#undef HC_COUNTS_PENDING
#undef HC_COUNTS_QUARANTINED
#undef HC_COUNTS_USED
#undef HC_STOP
#undef HC_STOP_FENCE
#undef HC_STOP_DETOUR
#undef HC_CAPTURED
#undef HC_WAS_USED
#undef HC_POOL
#undef HC_WANT
#undef HC_ORDER
#undef HC_CAN_WAIT
#undef HC_DIVISIONS
#undef HC_HAS_CAPTURES
#undef HC_BATCH
#undef HC_EASE
#undef HC_NO_BIN
#undef HC_BINS
#undef HC_USE
#undef HC_QUEUE
#undef HC_SLAB
#undef HC_HEAP
#undef HC_SPARES
#undef HC_NEEDS
#undef HC_HOPES
#undef HC_SMALL_MAX
#undef HC_TALLY
#undef HC_FINDINGS
#undef HC_EVENT_HOOK_BEGIN
#undef HC_EVENT_HOOK_END
#undef HC_TRY
#undef HC_CATCH
#undef HC_GUARD
#undef HC_RED_ZONE
#undef HC_PLACES
#undef HC_LIVE_TOLD
#undef HC_PADDED
#undef HC_PARED
#undef HC_GUARD_READY
#undef HC_GUARD_RANGE
#undef HC_GUARD_CARVE
#undef HC_GUARD_RETIRE
#undef HC_GUARD_LEAVE
#undef HC_GUARD_PART
#undef HC_GUARD_DROP
#undef HC_REPORT_LIVE
#undef HC_NOTE_GOT
#undef HC_NOTE_PLACE
#undef HC_FREE_NOW
#undef HC_FREE_ANY
#undef HC_USABLE
#undef HC_LET_LEAVE
#undef HC_CHECK_MEMORY
#undef HC_DAMAGE
/* MIT License

   Copyright (c) 2026 The hostcache authors

   Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
   associated documentation files (the "Software"), to deal in the Software without restriction,
   including without limitation the rights to use, copy, modify, merge, publish, distribute,
   sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
   furnished to do so, subject to the following conditions:

   The above copyright notice and this permission notice shall be included in all copies or
   substantial portions of the Software.

   THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
   NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
   NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM,
   DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
   OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE. */
