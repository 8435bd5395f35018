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
                          (+)  gets memory; size is a multiple of align and of 4 KiB. With
                               HC_SEGMENT_T a last argument segment_ptr
   HC_MEM_FREE(ctx, ptr, size)
                          (+)  gives it back; with HC_SEGMENT_T likewise

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

   Neither mode:
   HC_NO_STREAMS               instead of HC_STREAM_T: a plain CPU caching allocator; with
                               HC_EVENT_T and HC_EVENT_QUERY events without streams (requests of
                               MPI or UCX, completions of io_uring)

   How the code is emitted:
   HC_API                      decorates the prototypes (export, visibility)
   HC_STATIC                   everything static, for one file; emits the code
   HC_IMPLEMENT, HC_DECLARE    emit the code of this inclusion, or never

   HOSTCACHE_* hold for the whole file, and are defined before its first inclusion:
   HOSTCACHE_IMPLEMENTATION    emit the code of every inclusion that defines hooks and does not say
                               HC_DECLARE
   HOSTCACHE_DEBUG             check at run time that locks are taken in order, and that no hook
                               sees one held
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
     stats, reset_accumulated_stats, reset_peak_stats
                                     figures
     check, walk                     every invariant; every segment and block
     budget                          what may sensibly be pinned here and now; needs no cache

   GUARANTEES

   A block is handed out, or its memory given back, only when it is not active and every use that
   was recorded on it has completed. Nothing that fails in the runtime or in the bookkeeping breaks
   this, loses a block or miscounts a byte. Every misuse that is ordered before the next hand-out of
   that address (double free, foreign or interior pointer, use recorded after the free) is reported
   and harmless. Racing calls on one block, and a pointer or handle kept after its block was freed
   and handed out again, cannot be told: they are the caller's error. A handle stays readable until
   destroy.

   Every function may be called from any thread at any time, but for destroy and abandon, which must
   be the last. A child after fork gets HOSTCACHE_ERR_FORKED from everything. Nothing is
   async-signal-safe.

   DESIGN NOTE

   A block belongs to exactly one owner at a time: the user, the thread that is freeing it, the
   queues of the streams it waits for, a bin of ready blocks, or the thread that gives it back. Its
   state says which (section 6 draws the machine). Each stream has a queue of waiting blocks, and
   only the head of a queue is asked: what stands behind it was submitted later. So a stream that
   hangs holds back its own blocks alone, and polling costs one query per busy stream. Events that
   the user hands over have no order among them; they wait in one list, of which each poll asks a
   bounded number in turn. Locks are plain and short: none is held while a hook, malloc or on_error
   runs, and their order is the order of their ranks in section 5.

   Memory is got in segments: of 2 MiB that small blocks share, or of the size of one large block. A
   segment is divided into ranges without a gap; a block is a range. Two ready ranges side by side
   become one at once, a ready range that is larger than what is asked for is split, and the best
   fit is taken. So nothing is hoarded by size: every ready byte serves every request that fits. A
   segment that is ready as a whole is idle and can be given back; before more is held than ever
   was, or an eighth more than was ever in use, idle segments that don't fit go back first. All
   records live outside of the memory, which the host may not be able to read.

   Not built yet: threads' own stocks (thread_cache_bytes says HOSTCACHE_ERR_UNSUPPORTED). */

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
  X(HOSTCACHE_ERR_BUSY, -9, "blocks are active or pending; nothing was torn down")                 \
  X(HOSTCACHE_ERR_LEAKED, -10, "memory was left to the runtime: quarantined, or its free failed")  \
  X(HOSTCACHE_ERR_TIMEOUT, -11, "the time given ran out")                                          \
  X(HOSTCACHE_ERR_FORKED, -12, "the cache was made by the parent of this process")                 \
  X(HOSTCACHE_ERR_UNSUPPORTED, -13, "the hook that this needs is missing, or it is not built yet") \
  X(HOSTCACHE_ERR_CORRUPT, -14, "a broken invariant, or a hook gave memory that cannot be right")

#define HOSTCACHE_RESULT_ENUM(name, value, text) name = value,
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
  size_t alignment;               /* of every block, a power of two; 512 */
  size_t segment_bytes;           /* of the segments that blocks of up to it share; 2 MiB. Refused
                                     by a bound or the runtime, the request's own size is tried */
  size_t max_segment_bytes;       /* the most that one call of HC_MEM_ALLOC may ask, at least a
                                     page and the alignment; no bound */
  size_t max_reserved_bytes;      /* hard cap on what is held; no bound */
  size_t max_cached_bytes;        /* above it idle segments go back; no bound; HOSTCACHE_NONE */
  size_t max_split_size;          /* ranges above it are not split; at least class_steps pages; no
                                     bound */
  size_t thread_cache_bytes;      /* a thread's own stock; not built yet: HOSTCACHE_NONE or 0 */
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

#if defined HC_STREAM_EQ && !defined HC_STREAM_HASH
#error "hostcache: define HC_STREAM_HASH(stream), a hash as a uint64_t, which HC_STREAM_EQ needs"
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
   the cap). UNSUPPORTED: the config asks for what is not built yet. NO_METADATA: no memory for the
   bookkeeping. O(1). With max_reserved_percent it also does what budget does; UNSUPPORTED: the
   budget is unknown; LIMIT: reserve_segment_bytes is above that part of it. */
HC_PUBLIC hostcache_result HC_FN(create)(HC_CACHE **cache, const hostcache_config *config,
                                         HC_CTX ctx);

/* Ends a cache: polls once, gives all cached memory back, destroys the pooled events, frees the
   bookkeeping. Must be the last call. BUSY: blocks are active or still pending; nothing was torn
   down and the cache goes on. LEAKED: torn down, but quarantined blocks, segments whose free hook
   failed, or events that forget_stream recorded in vain and that have not completed, were left to
   the runtime. Otherwise OK, and the pointer is dead. Blocks as long as the hooks do. One
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
   the figures (last_failed_bytes). O(log n) of ready ranges. Source: HostAllocator::allocate. */
HC_PUBLIC hostcache_result HC_FN(alloc)(HC_CACHE *cache, size_t size, void **ptr);

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
   The highest value given counts, and replaces a mark made by record_stream. A value that is never
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
   either waited for the stream (HC_STREAM_WAIT) or quarantined it. One create and record hook per
   stream; every 16th free on a stream also polls it. Source: the deleter of HostAllocator. */
HC_PUBLIC hostcache_result HC_FN(free)(HC_CACHE *cache, void *ptr);

/* Like free, for use inside a callback of the runtime: calls no hook, allocates nothing, and takes
   only locks that are never held across either. Events that must be recorded for it are recorded by
   the next call that polls or frees, which waits for the stream where that fails (process_events
   does not: it quarantines the block); until then the block is pending. NOT_FOUND, DOUBLE_FREE. */
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

/* The first byte of an active block; its usable bytes, at least those asked for. NULL and 0 of
   NULL. They take no lock: only the block's owner may rely on the answer. */
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
   instead. Costs what process_events does, again and again. Source: synchronize_and_free_events. */
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
   would have it go back at once; what was got before an error stays cached. O(count log n), and an
   HC_MEM_ALLOC a segment. */
HC_PUBLIC hostcache_result HC_FN(reserve)(HC_CACHE *cache, size_t size, size_t count);

/* Sets the bound of the config of that name anew: 0 is none, HOSTCACHE_NONE keeps nothing idle.
   What is above it and idle goes back at once, the rest as it becomes idle. LEAKED: a free hook
   failed. One HC_MEM_FREE a segment. */
HC_PUBLIC hostcache_result HC_FN(set_max_reserved_bytes)(HC_CACHE *cache, size_t bytes);
HC_PUBLIC hostcache_result HC_FN(set_max_cached_bytes)(HC_CACHE *cache, size_t bytes);

#ifdef HC_STREAM_T
/* To be called before a stream is destroyed. Every active block that is marked with it gets an
   event now instead of the mark; then the cache forgets the handle: after the return no hook sees
   it, and a new stream of the same value is a new stream. Blocks while other threads are inside
   hooks on this stream; in timeline mode, and with streams_die_idle, until what is pending on it
   has completed. EVENT: a hook failed, NO_METADATA: no memory for an event; then the stream is not
   forgotten, its marks are as before, and it must not be destroyed. Of a stream that the cache
   never saw it calls no hook. Another thread that forgets the same stream is waited for, so
   on_error must not. O(blocks). */
HC_PUBLIC hostcache_result HC_FN(forget_stream)(HC_CACHE *cache, HC_STREAM stream);
#endif

/* The caller says: the device is idle. What cannot be told of a quarantined block counts as
   complete, and its event is destroyed; the block becomes ready, or, where it has other uses,
   pending until they are complete. OK. O(blocks), and an HC_EVENT_DESTROY for each such event. */
HC_PUBLIC hostcache_result HC_FN(release_quarantine)(HC_CACHE *cache);

/* Figures and self-check. */

/* Copies the figures. Consistent with each other, exact when no other thread is inside a call.
   ARGUMENT: no `stats`. Never blocks; O(1). */
HC_PUBLIC hostcache_result HC_FN(stats)(HC_CACHE *cache, hostcache_stats *stats);

/* Zeroes every `allocated` and `freed`, the counts and the durations. O(1). Source:
   reset_accumulated_stats. */
HC_PUBLIC hostcache_result HC_FN(reset_accumulated_stats)(HC_CACHE *cache);

/* Sets every peak to its current. O(1). Source: reset_peak_stats. */
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
   called while other threads are at work; what concerns several structures at once is then compared
   only if nothing changed during a pass, of which it makes up to 16. Calls no hook, allocates
   nothing. O(n log n) of blocks and uses. */
HC_PUBLIC hostcache_result HC_FN(check)(HC_CACHE *cache);

/* Shows the segments of one moment, each with its ranges, by address; what leaked comes last. A
   non-zero return of `visit` stops it. `visit` is called with no lock held, on a copy, and may call
   the cache. ARGUMENT: no `visit`. NO_METADATA: no memory for the copy. O(n log n) of segments. */
HC_PUBLIC hostcache_result HC_FN(walk)(HC_CACHE *cache, hostcache_visit_fn visit, void *user);

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
   one of each. This is the lock order of the whole header. */
enum {
  HOSTCACHE_RANK_CHECK = 1, /* cache->check_lock: one check at a time */
  HOSTCACHE_RANK_STREAMS,   /* cache->streams_lock: the table of streams */
  HOSTCACHE_RANK_QUEUE,     /* queue->lock: the waiting blocks of one stream, its event pool */
  HOSTCACHE_RANK_SEGMENTS,  /* cache->segments_lock: segments, ranges, what is ready, spares */
  HOSTCACHE_RANK_BLOCK,     /* cache->block_locks[]: state and uses of a share of the blocks */
  HOSTCACHE_RANK_STATS      /* cache->stats_lock: the figures */
};

/* From here to the budget all is what threads need, and a test that steers them replaces it. */

#ifdef HOSTCACHE_GLUE_HEADER
#include HOSTCACHE_GLUE_HEADER
#else

/* Thread-local, only where HOSTCACHE_DEBUG tracks the locks that a thread holds. */
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

typedef struct hostcache_mutex {
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD
  pthread_mutex_t native;
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_WIN32
  SRWLOCK native;
#endif
  unsigned rank;
} hostcache_mutex;

/* 0, or non-zero where the system has no more mutexes. */
HOSTCACHE_UNUSED static int hostcache_mutex_init(hostcache_mutex *mutex, unsigned rank) {
  mutex->rank = rank;
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD
  return pthread_mutex_init(&mutex->native, NULL);
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_WIN32
  InitializeSRWLock(&mutex->native);
  return 0;
#else
  return 0;
#endif
}

HOSTCACHE_UNUSED static void hostcache_mutex_destroy(hostcache_mutex *mutex) {
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD
  (void)pthread_mutex_destroy(&mutex->native);
#else
  (void)mutex;
#endif
}

HOSTCACHE_UNUSED static void hostcache_lock(hostcache_mutex *mutex) {
#ifdef HOSTCACHE_DEBUG
  HOSTCACHE_ASSERT((hostcache_locks_held >> mutex->rank) == 0);
  hostcache_locks_held |= 1u << mutex->rank;
#endif
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD
  (void)pthread_mutex_lock(&mutex->native);
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_WIN32
  AcquireSRWLockExclusive(&mutex->native);
#else
  (void)mutex;
#endif
}

HOSTCACHE_UNUSED static void hostcache_unlock(hostcache_mutex *mutex) {
#ifdef HOSTCACHE_DEBUG
  hostcache_locks_held &= ~(1u << mutex->rank);
#endif
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD
  (void)pthread_mutex_unlock(&mutex->native);
#elif HOSTCACHE_THREADS == HOSTCACHE_THREADS_WIN32
  ReleaseSRWLockExclusive(&mutex->native);
#else
  (void)mutex;
#endif
}

/* Atomics, the memory order in the name. Four kinds are enough: a pointer that is published and
   then only read, a word of bits that one thread at a time writes and any reads, a stack that any
   thread pushes to and one thread takes whole (so that it knows no ABA), and a number that is
   peeked at as a hint. */

#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_NONE

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
  (void)expected;
  *at = value;
  return 1;
}
HOSTCACHE_UNUSED static uint32_t hostcache_u32_load_relaxed(const uint32_t *from) { return *from; }
HOSTCACHE_UNUSED static void hostcache_u32_store_relaxed(uint32_t *to, uint32_t value) {
  *to = value;
}

#elif defined __GNUC__

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
/* Puts `value` where *expected stands. Else puts what stands there into *expected and returns 0. */
HOSTCACHE_UNUSED static int hostcache_ptr_replace_release(void **at, void **expected, void *value) {
  return __atomic_compare_exchange_n(at, expected, value, 1, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}
HOSTCACHE_UNUSED static uint32_t hostcache_u32_load_relaxed(const uint32_t *from) {
  return __atomic_load_n(from, __ATOMIC_RELAXED);
}
HOSTCACHE_UNUSED static void hostcache_u32_store_relaxed(uint32_t *to, uint32_t value) {
  __atomic_store_n(to, value, __ATOMIC_RELAXED);
}

#elif defined _MSC_VER /* unverified: written for MSVC, not built with it so far */

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

#else
#error "hostcache: the atomics of this compiler are not known; define HOSTCACHE_THREADS_NONE"
#endif

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

/* Before and after each call of the user's code: no lock is held there, and the thread is not
   cancelled inside, as it would leave a block without an owner. */
HOSTCACHE_UNUSED static int hostcache_hook_begin(void) {
  int cancel = 0;
#ifdef HOSTCACHE_DEBUG
  HOSTCACHE_ASSERT(hostcache_locks_held == 0);
#endif
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD && !defined __ANDROID__
  (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
#endif
  return cancel;
}

HOSTCACHE_UNUSED static void hostcache_hook_end(int cancel) {
#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_PTHREAD && !defined __ANDROID__
  (void)pthread_setcancelstate(cancel, NULL);
#else
  (void)cancel;
#endif
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
  int cancel = hostcache_hook_begin();
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
  hostcache_hook_end(cancel);
#endif
}

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
}

/* NULL, or where forks are watched. Set with release, read with acquire. Under no lock, which a
   child could be forked with: two threads that come at once watch twice, and a fork then counts for
   two, which is as good. */
static void *hostcache_forks_watched;

/* 0 where forks will be noticed. */
HOSTCACHE_UNUSED static int hostcache_watch_forks(void) {
  int failed;
  if (hostcache_ptr_load_acquire(&hostcache_forks_watched)) return 0;
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
  int64_t value = 0;
  int too_large = 0;
  if (*text < '0' || *text > '9') return HOSTCACHE_UNKNOWN;
  for (; *text >= '0' && *text <= '9'; text++) {
    const int digit = *text - '0';
    if (value > (INT64_MAX / unit - digit) / 10)
      too_large = 1;
    else
      value = value * 10 + digit;
  }
  text = hostcache_skip_word(text, "");
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

/* Climbs from the cgroup `path` up to its first `top` characters, where cgroups are mounted. */
HOSTCACHE_UNUSED static void hostcache_cgroup_climb(hostcache_budget *budget, hostcache_path *path,
                                                    size_t top, hostcache_climb *climb) {
  for (;;) {
    hostcache_cgroup_look(budget, path, path->length == top, climb);
    if (path->length == top) return;
    do path->length--;
    while (path->length > top && path->text[path->length] != '/');
    hostcache_path_cut(path, path->length);
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

#elif defined _WIN32 /* unverified: compiled, not run so far */

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

/* A block's state says who owns it.

     SPARE --> ACTIVE -- free --> FREEING -- no use ---------------------> CACHED --> LEAVING
       ^       ^ |                  | its events recorded                   ^ |         | | free
       |       | |                  v                                       | |         | | hook
       |       | |               WAITING -- all complete -------------------+ |         | | failed
       |       | |                ^ |  ^                                    | |         | v
       |       | |     recorded   | |  | released, uses left                | |         | LEAKED
       |       | v                | v  |                                    | |         |
       |       | DEFERRED --------+ QUARANTINED -- released ----------------+ |         |
       |       +--------------------- handed out again ----------------------+         |
       +---------------- given back, or one with its neighbour ------------------------+

   (FREEING and DEFERRED also end as QUARANTINED, where a use cannot be recorded, and as CACHED,
   where the stream was waited for instead.) SPARE: a record without memory. ACTIVE: the user's.
   FREEING: of the thread that records its events; the figures still count it as handed out.
   DEFERRED: on the deferred stack, or of the thread that took it from there. WAITING: in the
   queues; the figures call it pending, as the contract does. CACHED: in a heap, a ready range of
   any size. LEAVING: of the thread that gives its memory back, or that has just got it. What is
   over when a range is split is a SPARE record that becomes CACHED at once. */
enum {
  HOSTCACHE_SPARE,
  HOSTCACHE_ACTIVE,
  HOSTCACHE_FREEING,
  HOSTCACHE_DEFERRED,
  HOSTCACHE_WAITING,
  HOSTCACHE_QUARANTINED,
  HOSTCACHE_CACHED,
  HOSTCACHE_LEAVING,
  HOSTCACHE_LEAKED,
  HOSTCACHE_STATE_COUNT
};

/* What a use of a block is, and, once its block is freed, what became of it. */
enum {
  HOSTCACHE_USE_STREAM, /* a mark: at the free an event is recorded, or a value taken (at least
                           `value`) */
  HOSTCACHE_USE_VALUE,  /* a timeline value that the user gave */
  HOSTCACHE_USE_EVENT   /* an event that the user handed over, or that forget_stream recorded */
};
enum {
  HOSTCACHE_FATE_OPEN,   /* the block is still active, or this use is being recorded */
  HOSTCACHE_FATE_QUEUED, /* in a queue, until its event completes or its value is reached */
  HOSTCACHE_FATE_OVER,   /* complete */
  HOSTCACHE_FATE_UNTOLD  /* cannot be told: quarantines the block */
};

/* While forget_stream runs: what a mark becomes if it succeeds. If it fails, marks stay marks. */
enum {
  HOSTCACHE_EARLY_NONE,
  HOSTCACHE_EARLY_EVENT, /* the event in `early_event`, recorded just now */
  HOSTCACHE_EARLY_OVER   /* nothing: the stream has completed, or will have, what it had so far */
};

/* What a segment is for, and so in which heap its ready ranges are. */
enum {
  HOSTCACHE_KIND_RESERVE, /* got at creation, for blocks of any size */
  HOSTCACHE_KIND_SMALL,   /* shared by small blocks */
  HOSTCACHE_KIND_LARGE,
  HOSTCACHE_KIND_COUNT
};

/* A node of a treap: a search tree by (key, subkey) that is at the same time a heap by a hash of
   the node's key, which keeps it about 2 log2(n) deep whatever the order of insertion. */
typedef struct hostcache_node {
  struct hostcache_node *left, *right;
  size_t key, subkey;
  uint64_t priority;
  void *owner; /* the segment or block that the node stands in */
} hostcache_node;

/* A number is changed into one that looks like chance (the finalizer of splitmix64, public
   domain). */
HOSTCACHE_UNUSED static uint64_t hostcache_scramble(uint64_t x) {
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

HOSTCACHE_UNUSED static int hostcache_node_before(const hostcache_node *node, size_t key,
                                                  size_t subkey) {
  return node->key < key || (node->key == key && node->subkey < subkey);
}

/* Adds a node. No node of the same keys is in the tree. */
HOSTCACHE_UNUSED static void hostcache_tree_add(hostcache_node **root, hostcache_node *node,
                                                size_t key, size_t subkey, void *owner) {
  hostcache_node **at = root, **left = &node->left, **right = &node->right, *rest;
  node->key = key;
  node->subkey = subkey;
  node->owner = owner;
  node->priority = hostcache_scramble((uint64_t)key + UINT64_C(0x9e3779b97f4a7c15) * subkey);
  while (*at && (*at)->priority >= node->priority)
    at = hostcache_node_before(*at, key, subkey) ? &(*at)->right : &(*at)->left;
  rest = *at; /* comes below the new node, split into what is before it and what is after it */
  *at = node;
  while (rest) {
    if (hostcache_node_before(rest, key, subkey)) {
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
    at = hostcache_node_before(*at, node->key, node->subkey) ? &(*at)->right : &(*at)->left;
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

/* The last node that is not after (key, subkey), or NULL. */
HOSTCACHE_UNUSED static hostcache_node *hostcache_tree_floor(hostcache_node *root, size_t key,
                                                             size_t subkey) {
  hostcache_node *found = NULL;
  while (root) {
    if (hostcache_node_before(root, key, subkey) || (root->key == key && root->subkey == subkey)) {
      found = root;
      root = root->right;
    } else {
      root = root->left;
    }
  }
  return found;
}

/* The first node that is not before (key, subkey), or NULL. */
HOSTCACHE_UNUSED static hostcache_node *hostcache_tree_ceiling(hostcache_node *root, size_t key,
                                                               size_t subkey) {
  hostcache_node *found = NULL;
  while (root) {
    if (hostcache_node_before(root, key, subkey)) {
      root = root->right;
    } else {
      found = root;
      root = root->left;
    }
  }
  return found;
}

/* A heap: the ready ranges of a kind, by size and address. Sizes fall into so many classes that
   most hold one node or none, and adding or taking it touches no other; each class is a tree, so
   that thousands of one size cost no more than log n. Bits tell which classes hold something, and
   which words of these bits are not 0: the next larger class is found in a few steps. All zero is
   an empty heap. */

#define HOSTCACHE_HEAP_UNIT 9    /* log2 of bytes: smaller differences tell no class from another */
#define HOSTCACHE_HEAP_STEPS 6   /* log2 of the classes to each doubling */
#define HOSTCACHE_HEAP_SIZES 960 /* classes; what is above 512 MiB is all of the last */
#define HOSTCACHE_WORD_BITS ((unsigned)(8 * sizeof(size_t)))

typedef struct hostcache_heap {
  hostcache_node *trees[HOSTCACHE_HEAP_SIZES];
  size_t filled[HOSTCACHE_HEAP_SIZES / 32 + 1]; /* a bit for each tree that is not empty */
  size_t words;                                 /* a bit for each word of these that is not 0 */
} hostcache_heap;

/* The lowest bit of x > 0. */
HOSTCACHE_UNUSED static unsigned hostcache_lowest(size_t x) {
  return hostcache_log2(x & (~x + 1));
}

/* The class of a size: no class is of larger sizes than those of the next. */
HOSTCACHE_UNUSED static unsigned hostcache_heap_class(size_t size) {
  const size_t units = size >> HOSTCACHE_HEAP_UNIT;
  size_t class_of = units;
  if (units >> HOSTCACHE_HEAP_STEPS) {
    const unsigned shift = hostcache_log2(units) - HOSTCACHE_HEAP_STEPS;
    class_of = ((size_t)shift << HOSTCACHE_HEAP_STEPS) + (units >> shift);
  }
  return (unsigned)(class_of < HOSTCACHE_HEAP_SIZES ? class_of : HOSTCACHE_HEAP_SIZES - 1);
}

/* Adds a node. No node of the same size and address is in the heap. */
HOSTCACHE_UNUSED static void hostcache_heap_add(hostcache_heap *heap, hostcache_node *node,
                                                size_t size, size_t address, void *owner) {
  const unsigned at = hostcache_heap_class(size), word = at / HOSTCACHE_WORD_BITS;
  hostcache_tree_add(&heap->trees[at], node, size, address, owner);
  heap->filled[word] |= (size_t)1 << (at % HOSTCACHE_WORD_BITS);
  heap->words |= (size_t)1 << word;
}

/* Takes a node out. It is in the heap. */
HOSTCACHE_UNUSED static void hostcache_heap_remove(hostcache_heap *heap, hostcache_node *node) {
  const unsigned at = hostcache_heap_class(node->key), word = at / HOSTCACHE_WORD_BITS;
  hostcache_tree_remove(&heap->trees[at], node);
  if (heap->trees[at]) return;
  heap->filled[word] &= ~((size_t)1 << (at % HOSTCACHE_WORD_BITS));
  if (heap->filled[word] == 0) heap->words &= ~((size_t)1 << word);
}

/* The first node that is not before (size, address), or NULL. With address 0 it is the best fit:
   the least size that is enough, and of those the lowest address. */
HOSTCACHE_UNUSED static hostcache_node *hostcache_heap_first(const hostcache_heap *heap,
                                                             size_t size, size_t address) {
  unsigned at = hostcache_heap_class(size), word;
  hostcache_node *node = hostcache_tree_ceiling(heap->trees[at], size, address);
  size_t bits;
  if (node) return node;
  at++; /* any of a later class will do; of the first that holds something, the first node */
  word = at / HOSTCACHE_WORD_BITS;
  bits = heap->filled[word] >> (at % HOSTCACHE_WORD_BITS) << (at % HOSTCACHE_WORD_BITS);
  if (!bits) {
    bits = heap->words >> (word + 1) << (word + 1);
    if (!bits) return NULL;
    word = hostcache_lowest(bits);
    bits = heap->filled[word];
  }
  node = heap->trees[word * HOSTCACHE_WORD_BITS + hostcache_lowest(bits)];
  while (node->left) node = node->left;
  return node;
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
   root: the index remembers the shelves above leaves, each for a region. That can be relied on
   without a lock, as no shelf goes or moves. */

#define HOSTCACHE_ADDRESS_BITS 57 /* of x86-64 with five levels of pages; all others have fewer */
#define HOSTCACHE_SHELF_BITS 9    /* a shelf of 512 places takes about a page itself */
#define HOSTCACHE_PAGE_SHIFT 12
#define HOSTCACHE_SHIFT_MAX 48    /* coarser would be no use, also to larger alignments */
#define HOSTCACHE_DEPTH_MAX 6
#define HOSTCACHE_REGIONS 16      /* that an index remembers: of 1 GiB each, with pages of 4 KiB */

typedef struct hostcache_shelf {
  struct hostcache_shelf *next;  /* among the spares */
  struct hostcache_shelf *above; /* this and the next two lines: set before the shelf is published.
                                    The one that it stands on, NULL for the root */
  unsigned shift, places;
  unsigned width; /* log2 of the addresses that it is for; `prefix` are their bits above that */
  uint64_t prefix;
  size_t count;   /* LOCK: segments_lock. How many places are filled */
  size_t *filled; /* a bit for each place below which something begins. Stored with release under
                     segments_lock; read with acquire */
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
    hostcache_size_store_release(word, *word ^ (before ^ filled) << bit);
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
  if (!shelf || index->region_width == index->leaf_width) return shelf;
  return (hostcache_shelf *)hostcache_ptr_load_acquire(hostcache_shelf_at(shelf, address));
}

/* Where something stands on a leaf that begins at this address, or is in its page. The leaf itself
   is not looked at. */
HOSTCACHE_UNUSED static void **hostcache_leaf_at(const hostcache_index *index,
                                                 const hostcache_shelf *leaf, uint64_t address) {
  const uint64_t mask = ((uint64_t)1 << HOSTCACHE_SHELF_BITS) - 1;
  return &hostcache_shelf_places(leaf)[(address >> index->page) & mask];
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
    hostcache_prefetch(hostcache_leaf_at(index, leaf, address));
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
  hostcache_shelf *region = index->region_width > index->leaf_width ? leaf->above : leaf;
  if (*slot != region) hostcache_ptr_store_release(slot, region);
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
    word = hostcache_size_load_acquire(&shelf->filled[i]) & mask;
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

#ifdef HC_EVENT_CREATE
#define HC_POOLS_EVENTS 1
#else
#define HC_POOLS_EVENTS 0
#endif

#ifndef HC_SEGMENT_T
typedef char HC_RUNTIME;
#endif

#define HC_INLINE_USES 4        /* uses of a block that need no memory of their own */
#define HC_SMALL_MAX (1u << 20) /* bytes; larger blocks do not share segments with smaller ones */
#define HC_PAGE 4096u           /* bytes; what a memory hook gets is a multiple of it */
#define HC_BLOCK_LOCKS 16       /* blocks share so many locks: two threads rarely meet on one */
#define HC_STREAM_BUCKETS 256   /* of the table of streams: a few in each, also with thousands */
#define HC_RECORDS 64           /* block and segment records got from malloc at a time */
#define HC_POLL_EVERY 16        /* pushes to a queue between two polls by free */
#define HC_LOOSE_PER_POLL 16    /* entries of the loose queue that one poll asks */
#define HC_FIRST_POOL 16        /* events that a pool first has room for */

#define HC_SEGMENT struct HC_I(segment)
#define HC_USE struct HC_I(use)
#define HC_QUEUE struct HC_I(queue)
#define HC_SLAB struct HC_I(slab)
#define HC_STOCK struct HC_I(stock)
#define HC_NEEDS struct HC_I(needs)
#define HC_HOPES struct HC_I(hopes)
#define HC_TALLY struct HC_I(tally)
#define HC_FINDINGS struct HC_I(findings)

HOSTCACHE_ASSERT_TYPE(HC_CTX, "HC_CTX_T");
HOSTCACHE_ASSERT_TYPE(HC_STREAM, "HC_STREAM_T");
HOSTCACHE_ASSERT_TYPE(HC_EVENT, "HC_EVENT_T");
HOSTCACHE_ASSERT_TYPE(HC_RUNTIME, "HC_SEGMENT_T");
#if defined __cplusplus && !defined HC_STREAM_HASH
static_assert(std::is_scalar<HC_STREAM>::value,
              "hostcache: define HC_STREAM_HASH(stream) and HC_STREAM_EQ(a, b) for a stream class");
#endif

/* One use of a block, and its entry in a queue; also, without a block and got from malloc, an event
   that nobody needs any more but that must not be ended before it has completed. While the block
   is ACTIVE its fields are guarded by the block's lock; in FREEING and DEFERRED `stream` and `kind`
   stay as they are and the rest is the freeing thread's; while QUEUED the links are guarded by the
   queue's lock, and `event` and `errors` belong to the thread that has claimed the queue. */
HC_USE {
  HC_BLOCK *block;
  HC_USE *next, *previous; /* LOCK: queue->lock */
  uint64_t ticket;         /* LOCK: queue->lock. Rises along a queue */
  uint64_t value;          /* timeline: complete when the stream has reached it */
  uint32_t errors;         /* failed queries in a row */
  uint8_t kind, fate;
  uint8_t has_event;    /* `event` is one that must be ended */
  uint8_t early;        /* what forget_stream has prepared ... */
  HC_USE *early_event;  /* ... and, got from malloc, where the event is */
  HC_QUEUE *queue;   /* of the freeing thread: where it goes, pinned; NULL: the loose queue */
  HC_STREAM stream;
  HC_EVENT event;
};

struct HC_BLOCK {
  HC_CACHE *cache;      /* set when the record is made, then never changed */
  hostcache_mutex *lock; /* likewise: one of cache->block_locks */
  HC_SEGMENT *segment; /* this and the next two: LOCK: segments_lock and block->lock to write,
                          either to read; while it is ACTIVE they stay, and anyone may read */
  void *ptr;           /* this and the next with release, as find reads them without a lock */
  size_t size;
  HC_BLOCK *left, *right; /* LOCK: segments_lock. The neighbours in the segment */
  size_t requested;     /* LOCK: block->lock. Bytes, as the caller said */
  size_t life;          /* LOCK: block->lock to write, with release; find reads with acquire. One
                           more at each hand-out, which makes it odd, and at each free */
  uint32_t outstanding; /* LOCK: block->lock. Uses that are not over, and 1 while they are pushed */
  uint8_t state;        /* LOCK: block->lock */
  uint8_t pushing;      /* LOCK: block->lock. Its uses are being pushed to their queues */
  uint8_t unknown_uses; /* LOCK: block->lock. Uses that found no room: none, of one stream, more */
  uint8_t unknown_over; /* LOCK: block->lock. forget_stream has waited for the one */
  uint32_t use_count;   /* LOCK: block->lock; in FREEING and DEFERRED the owner's, unchanged */
  uint32_t more_room;   /* LOCK: block->lock. Uses that `more` has room for */
  HC_USE *more; /* LOCK: block->lock. Those beyond the inline ones; kept for the next hand-out */
  HC_USE uses[HC_INLINE_USES];
  HC_STREAM unknown_stream; /* LOCK: block->lock */
  uint64_t unknown_value;   /* LOCK: block->lock. Timeline: the highest that was given with it */
  HC_BLOCK *next; /* among the spares (LOCK: segments_lock), or on the deferred stack */
  hostcache_node by_size; /* LOCK: segments_lock. In a heap */
  uint8_t is_ready;       /* LOCK: segments_lock. In a heap: CACHED, seen from its neighbours */
  uint8_t merged;         /* LOCK: block->lock. SPARE, as it became part of its neighbour */
  uint32_t seen;          /* LOCK: check_lock. Its uses that check found in queues */
};

HC_SEGMENT {
  hostcache_node by_address; /* LOCK: segments_lock */
  HC_SEGMENT *next;          /* LOCK: segments_lock. Among the spares */
  HC_SEGMENT *idle_next, *idle_previous; /* LOCK: segments_lock. The idle, longest first */
  uint64_t idle_since;                   /* LOCK: segments_lock. ns */
  HC_BLOCK *first; /* this and the rest: set under segments_lock before the segment is published,
                      then never changed. Its first range; NULL: a spare record */
  void *ptr;
  size_t size;
  int kind;
  HC_RUNTIME runtime; /* what HC_MEM_ALLOC gave with it */
};

/* Records come from malloc in slabs that live until the cache is destroyed: a stale handle stays
   readable, and a walk over all blocks needs no lock but the blocks' own. */
HC_SLAB {
  HC_SLAB *next; /* set before the slab is published */
  HC_BLOCK blocks[HC_RECORDS];
  HC_SEGMENT segments[HC_RECORDS];
};

/* The waiting uses of one stream, in order of arrival. The record of a stream that was forgotten
   goes on until its queue is empty, and is then used for another stream. */
HC_QUEUE {
  HC_QUEUE *next;        /* of all queues; set before the record is published, then never changed */
  HC_QUEUE *bucket_next; /* LOCK: streams_lock */
  hostcache_mutex lock;
  HC_STREAM stream; /* LOCK: streams_lock and queue->lock to write, either to read */
  uint8_t live;     /* LOCK: streams_lock and queue->lock to write, either to read. In the table */
  uint8_t claimed;  /* LOCK: queue->lock. One thread asks the head; others skip the queue */
  uint32_t pins;    /* LOCK: queue->lock. Threads that hold the pointer and have no claim */
  uint32_t pushes;  /* LOCK: queue->lock. Since free last polled it */
  uint32_t errors;  /* of the claimer. Timeline: failed queries in a row */
  uint32_t length;  /* LOCK: queue->lock to write; a poll peeks at it, relaxed, as a hint */
  HC_USE *head, *tail; /* LOCK: queue->lock */
  HC_USE *cursor;      /* LOCK: queue->lock. The loose queue alone: the next entry to ask */
  HC_EVENT *pool;      /* LOCK: queue->lock. Complete events, to be used again */
  uint32_t pool_count, pool_room; /* LOCK: queue->lock */
};

/* Spare records: the cache's, or what one step has set aside for itself. */
HC_STOCK {
  HC_BLOCK *blocks, *last_block; /* the spare for longest comes first, so that a stale handle finds
                                    its record in use again as late as can be */
  HC_SEGMENT *segments;
  size_t block_count, segment_count;
  hostcache_shelves shelves;
};

struct HC_I(forgetting);

HC_CACHE {
  HC_CTX ctx;            /* this and the next three: set by create, then never changed */
  hostcache_config config; /* with the defaults filled in */
  unsigned process;        /* which process made it: hostcache_process() */
  unsigned locks_made; /* how many of the locks below exist, for the way out of a failed create */

  hostcache_mutex check_lock;
  hostcache_mutex streams_lock;
  HC_QUEUE *buckets[HC_STREAM_BUCKETS]; /* LOCK: streams_lock. Live queues by stream */
  HC_QUEUE *retired; /* LOCK: streams_lock. Queues that are not live, by bucket_next */
  struct HC_I(forgetting) *forgets; /* LOCK: streams_lock. The forgets under way, one a stream */
  void *queues;   /* HC_QUEUE *, all of them; none is ever unlinked. Grows at the head: under
                     streams_lock with release; read with acquire */
  HC_QUEUE loose; /* what has no order: events handed over, and uses whose stream has no record */
  HC_USE *untold; /* LOCK: loose.lock. Events alone that cannot be told, as in quarantine */

  hostcache_mutex segments_lock;
  HC_STOCK stock;              /* LOCK: segments_lock */
  hostcache_index index;       /* LOCK: segments_lock to write. Blocks by first byte */
  hostcache_node *by_address;  /* LOCK: segments_lock. Segments by first byte */
  hostcache_heap heaps[HOSTCACHE_KIND_COUNT]; /* LOCK: segments_lock. The ready ranges */
  HC_SEGMENT *idle_first, *idle_last; /* LOCK: segments_lock. Longest idle first */
  size_t idle_count;   /* LOCK: segments_lock */
  size_t claimed;      /* LOCK: segments_lock. Bytes that are held, or being asked for */
  size_t max_reserved; /* LOCK: segments_lock. The cap on `claimed`; SIZE_MAX: none */
  size_t max_cached;   /* LOCK: segments_lock. The bound on what is ready; SIZE_MAX: none */
  size_t returning;    /* LOCK: segments_lock. Bytes of `claimed` that HC_MEM_FREE is being given */
  uint64_t gains;      /* LOCK: segments_lock. How often a range got ready, or memory went back */
  size_t wanted;       /* LOCK: segments_lock. The most that was held when something was reserved */
  uint32_t excess;     /* LOCK: segments_lock to write; peeked at, relaxed: one of them is passed */
  void *slabs; /* HC_SLAB *. Grows at the head: under segments_lock with release; read: acquire */

  hostcache_mutex block_locks[HC_BLOCK_LOCKS];

  void *deferred; /* HC_BLOCK *, a stack: pushed to with release, taken whole with acquire */

  hostcache_mutex stats_lock;
  hostcache_stats stats; /* LOCK: stats_lock; of cached_bytes and inactive_split*: segments_lock */
  int64_t peak_held, peak_used; /* LOCK: stats_lock. Of reserved_bytes and of active_bytes; never
                                   reset */
  uint64_t tickets; /* LOCK: stats_lock. Given out so far to uses that were pushed to a queue */
  uint64_t changes; /* LOCK: stats_lock. Steps that changed figures, or what stands in queues */
};

/* What one pass over the queues did. */
HC_TALLY {
  size_t ready; /* blocks that became ready */
  size_t hooks; /* hooks called */
  int failed;   /* a record or a query failed */
  int no_wait;  /* a wait hook failed, or none may be called: poll, or quarantine, instead */
};

/* The books. Every change of a block's state goes through HC_I(turn), which moves the figures with
   it under one lock: so they always equal the sum over the blocks, and check can say so at any
   time. */

/* What only grows wraps round, without undefined behaviour, in a cache that is never reset. */
HOSTCACHE_UNUSED static int64_t HC_I(sum)(int64_t total, int64_t amount) {
  return (int64_t)((uint64_t)total + (uint64_t)amount);
}

HOSTCACHE_UNUSED static void HC_I(stat_add)(hostcache_stat *stat, int64_t amount) {
  stat->current = HC_I(sum)(stat->current, amount);
  stat->allocated = HC_I(sum)(stat->allocated, amount);
  if (stat->current > stat->peak) stat->peak = stat->current;
}

HOSTCACHE_UNUSED static void HC_I(stat_subtract)(hostcache_stat *stat, int64_t amount) {
  stat->current = HC_I(sum)(stat->current, -amount);
  stat->freed = HC_I(sum)(stat->freed, amount);
}

/* Something of this amount leaves what `stat` counts, enters it, or neither. */
HOSTCACHE_UNUSED static void HC_I(stat_step)(hostcache_stat *stat, int from, int to,
                                             size_t amount) {
  if (from == to) return;
  if (to)
    HC_I(stat_add)(stat, (int64_t)amount);
  else
    HC_I(stat_subtract)(stat, (int64_t)amount);
}

/* The same for a number of things and their bytes. */
HOSTCACHE_UNUSED static void HC_I(stat_move)(hostcache_stat *count, hostcache_stat *bytes, int from,
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

/* Gives a block its next state. block->lock is held. */
HOSTCACHE_UNUSED static void HC_I(turn)(HC_CACHE *self, HC_BLOCK *block, unsigned state) {
  hostcache_stats *stats = &self->stats;
  unsigned from = block->state;
  block->state = (uint8_t)state;
  if ((from == HOSTCACHE_ACTIVE) != (state == HOSTCACHE_ACTIVE))
    hostcache_size_store_release(&block->life, block->life + 1);
  if (!HC_I(is_in_use)(from) && !HC_I(is_in_use)(state) && state != HOSTCACHE_LEAKED) return;
  hostcache_lock(&self->stats_lock);
  self->changes++;
  HC_I(stat_move)(&stats->allocation, &stats->allocated_bytes, HC_I(is_handed_out)(from),
                  HC_I(is_handed_out)(state), block->size);
  HC_I(stat_move)(&stats->pending, &stats->pending_bytes, HC_I(is_pending)(from),
                  HC_I(is_pending)(state), block->size);
  HC_I(stat_move)(&stats->quarantined, &stats->quarantined_bytes, from == HOSTCACHE_QUARANTINED,
                  state == HOSTCACHE_QUARANTINED, block->size);
  HC_I(stat_move)(&stats->active, &stats->active_bytes, HC_I(is_in_use)(from),
                  HC_I(is_in_use)(state), block->size);
  if (stats->active_bytes.current > self->peak_used)
    self->peak_used = stats->active_bytes.current;
  HC_I(stat_move)(&stats->leaked, &stats->leaked_bytes, from == HOSTCACHE_LEAKED,
                  state == HOSTCACHE_LEAKED, block->segment->size);
  if (block->size > self->config.max_split_size)
    HC_I(stat_step)(&stats->oversize_allocations, HC_I(is_handed_out)(from),
                    HC_I(is_handed_out)(state), 1);
  HC_I(stat_step)(&stats->requested_bytes, HC_I(is_in_use)(from), HC_I(is_in_use)(state),
                  block->requested);
  HC_I(stat_step)(&stats->wasted_bytes, HC_I(is_in_use)(from), HC_I(is_in_use)(state),
                  block->size - block->requested);
  hostcache_unlock(&self->stats_lock);
}

/* One more of a figure of cache->stats that only counts. */
HOSTCACHE_UNUSED static void HC_I(count)(HC_CACHE *self, int64_t *figure) {
  hostcache_lock(&self->stats_lock);
  (*figure)++;
  hostcache_unlock(&self->stats_lock);
}

/* One more call of a memory hook, and how long it took. */
HOSTCACHE_UNUSED static void HC_I(count_call)(HC_CACHE *self, int64_t *calls,
                                              hostcache_duration *duration, uint64_t began_ns) {
  int64_t ns = (int64_t)(hostcache_now_ns() - began_ns);
  if (ns < 0) ns = 0; /* a clock that was given went back */
  hostcache_lock(&self->stats_lock);
  (*calls)++;
  if (duration->count == 0 || ns < duration->min) duration->min = ns;
  if (ns > duration->max) duration->max = ns;
  duration->total = HC_I(sum)(duration->total, ns);
  duration->count++;
  hostcache_unlock(&self->stats_lock);
}

/* A segment comes (got = 1) or goes. */
HOSTCACHE_UNUSED static void HC_I(count_segment)(HC_CACHE *self, size_t size, int got) {
  hostcache_lock(&self->stats_lock);
  self->changes++;
  HC_I(stat_move)(&self->stats.segment, &self->stats.reserved_bytes, !got, got, size);
  if (self->stats.reserved_bytes.current > self->peak_held)
    self->peak_held = self->stats.reserved_bytes.current;
  if (size > self->config.max_split_size)
    HC_I(stat_step)(&self->stats.oversize_segments, !got, got, 1);
  hostcache_unlock(&self->stats_lock);
}

/* A range is ready from now on (is = 1), or is so no more. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(count_ready)(HC_CACHE *self, const HC_BLOCK *range, int is) {
  HC_I(stat_step)(&self->stats.cached_bytes, !is, is, range->size);
  if (range->left || range->right)
    HC_I(stat_move)(&self->stats.inactive_split, &self->stats.inactive_split_bytes, !is, is,
                    range->size);
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
HOSTCACHE_UNUSED static hostcache_status HC_I(call_event_record)(HC_CACHE *hc_cache,
                                                                 HC_EVENT *hc_event,
                                                                 HC_STREAM hc_stream) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_event;
  (void)hc_stream;
  HC_I(count)(hc_cache, &hc_cache->stats.num_event_record);
  HC_TRY {
    hc_status = HC_EVENT_RECORD(hc_ctx, hc_event, hc_stream);
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
  return hc_status;
}
#endif

#ifdef HC_EVENT_QUERY
HOSTCACHE_UNUSED static hostcache_status HC_I(call_event_query)(HC_CACHE *hc_cache,
                                                                HC_EVENT *hc_event) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_event;
  HC_I(count)(hc_cache, &hc_cache->stats.num_event_query);
  HC_TRY {
    hc_status = HC_EVENT_QUERY(hc_ctx, hc_event);
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
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
HOSTCACHE_UNUSED static hostcache_status HC_I(call_timeline_record)(HC_CACHE *hc_cache,
                                                                    HC_STREAM hc_stream,
                                                                    uint64_t *hc_value) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_stream;
  (void)hc_value;
  HC_I(count)(hc_cache, &hc_cache->stats.num_event_record);
  HC_TRY {
    hc_status = HC_TIMELINE_RECORD(hc_ctx, hc_stream, hc_value);
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
  return hc_status;
}
#endif

#ifdef HC_TIMELINE_QUERY
HOSTCACHE_UNUSED static hostcache_status HC_I(call_timeline_query)(HC_CACHE *hc_cache,
                                                                   HC_STREAM hc_stream,
                                                                   uint64_t *hc_value) {
  HC_CTX hc_ctx = hc_cache->ctx;
  hostcache_status hc_status = hostcache_failed(0);
  int hc_cancel = hostcache_hook_begin();
  (void)hc_ctx;
  (void)hc_stream;
  (void)hc_value;
  HC_I(count)(hc_cache, &hc_cache->stats.num_event_query);
  HC_TRY {
    hc_status = HC_TIMELINE_QUERY(hc_ctx, hc_stream, hc_value);
  }
  HC_CATCH(hc_status)
  hostcache_hook_end(hc_cancel);
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

#if HC_HAS_STREAMS

/* Not hooks, but expanded once like them: they are called under locks, and must not call the
   cache. */
HOSTCACHE_UNUSED static int HC_I(same_stream)(HC_STREAM hc_a, HC_STREAM hc_b) {
#ifdef HC_STREAM_EQ
  return HC_STREAM_EQ(hc_a, hc_b) ? 1 : 0;
#elif defined __cplusplus
  return hostcache_equal(hc_a, hc_b, 0);
#else
  return hc_a == hc_b; /* an error here: define HC_STREAM_EQ(a, b) and HC_STREAM_HASH(stream) */
#endif
}

HOSTCACHE_UNUSED static size_t HC_I(stream_bucket)(HC_STREAM hc_stream) {
#ifdef HC_STREAM_HASH
  uint64_t hc_hash = (uint64_t)(HC_STREAM_HASH(hc_stream));
#else
  uint64_t hc_hash =
      0; /* of the bytes: the type is a number, a pointer or an enum here, as == takes it */
  unsigned char hc_bytes[sizeof(HC_STREAM)];
  size_t hc_i;
  memcpy(hc_bytes, &hc_stream, sizeof hc_bytes);
  for (hc_i = 0; hc_i < sizeof hc_bytes; hc_i++)
    hc_hash = ((hc_hash << 8) | (hc_hash >> 56)) ^ hc_bytes[hc_i];
#endif
  return (size_t)(hostcache_scramble(hc_hash) % HC_STREAM_BUCKETS);
}

#endif

/* ---- 8. SIZES -----------------------------------------------------------------------------------
   Up to a border (1 MiB) sizes are rounded up to a class: multiples of the alignment, and, beyond
   as many of them as there are steps (8), so many steps to each doubling. So a block is larger than
   the request by at most one unit or 12.5%. Larger requests are rounded up to the page (or the
   alignment, where that is more) and to nothing else. */

/* `size` rounded up to a multiple of `unit`, a power of two. The caller has ruled out overflow. */
HOSTCACHE_UNUSED static size_t HC_I(round_up)(size_t size, size_t unit) {
  return (size + (unit - 1)) & ~(unit - 1);
}

HOSTCACHE_UNUSED static size_t HC_I(page_unit)(const hostcache_config *config) {
  return config->alignment > HC_PAGE ? config->alignment : HC_PAGE;
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
  if (size > self->config.class_max_bytes)
    size = HC_I(round_up)(size, unit);
  else
    size = HC_I(class_units)((size + (align - 1)) / align, self->config.class_steps) * align;
  return HC_I(own_size)(self, size) <= self->config.max_segment_bytes ? size : 0;
}

/* Are blocks of this size small? These live in segments of their own, as one that stays in a large
   segment keeps the whole of it from being used for large blocks or given back. */
HOSTCACHE_UNUSED static int HC_I(is_small)(const HC_CACHE *self, size_t block_size) {
  return block_size <= HC_SMALL_MAX && block_size <= self->config.segment_bytes / 2;
}

/* Is this above what max_split_size lets be split? */
HOSTCACHE_UNUSED static int HC_I(is_oversize)(const HC_CACHE *self, size_t size) {
  return size > self->config.max_split_size;
}

/* ---- 9. SEGMENTS --------------------------------------------------------------------------------
   Gets segments from the runtime and gives them back; carves blocks out of them, and makes what is
   freed whole again; finds a block by address.

   A segment is divided into ranges without a gap, each with a block's record, linked by address.
   Two ready ranges never stand side by side: they become one at once. A ready range is in the heap
   of its kind of segment, a tree by size and then address, so the best fit is the smallest range
   that is large enough, and of these the lowest: O(log n). A segment that is all one ready range is
   idle, and can be given back. */

/* Records. */

/* Among the spare blocks of a stock. */
HOSTCACHE_UNUSED static void HC_I(spare_append)(HC_STOCK *stock, HC_BLOCK *block) {
  block->next = NULL;
  if (stock->blocks)
    stock->last_block->next = block;
  else
    stock->blocks = block;
  stock->last_block = block;
  stock->block_count++;
}

HOSTCACHE_UNUSED static HC_BLOCK *HC_I(spare_take)(HC_STOCK *stock) {
  HC_BLOCK *block = stock->blocks;
  HOSTCACHE_ASSERT(block);
  stock->blocks = block->next;
  stock->block_count--;
  block->next = NULL;
  return block;
}

/* What a step needs of each kind of record. */
HC_NEEDS {
  size_t blocks, segments, shelves[2];
};

HOSTCACHE_UNUSED static int HC_I(stock_has)(const HC_STOCK *stock, const HC_NEEDS *needs) {
  return stock->block_count >= needs->blocks && stock->segment_count >= needs->segments &&
         stock->shelves.count[0] >= needs->shelves[0] &&
         stock->shelves.count[1] >= needs->shelves[1];
}

/* More records of blocks and segments, behind those that there are. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(add_slab)(HC_CACHE *self, HC_SLAB *slab) {
  unsigned i;
  for (i = 0; i < HC_RECORDS; i++) {
    slab->blocks[i].cache = self;
    slab->blocks[i].lock = &self->block_locks[i % HC_BLOCK_LOCKS];
    HC_I(spare_append)(&self->stock, &slab->blocks[i]);
    slab->segments[i].next = self->stock.segments;
    self->stock.segments = &slab->segments[i];
  }
  self->stock.segment_count += HC_RECORDS;
  slab->next = (HC_SLAB *)self->slabs;
  hostcache_ptr_store_release(&self->slabs, slab);
}

/* Sees that the cache's stock has what is needed. segments_lock is held, but let go around malloc;
   *let_go says that it was. 0, and the lock is not held: malloc had none, and on_error was told. */
HOSTCACHE_UNUSED static int HC_I(stock_up)(HC_CACHE *self, const HC_NEEDS *needs, int *let_go) {
  *let_go = 0;
  while (!HC_I(stock_has)(&self->stock, needs)) {
    int low = self->stock.shelves.count[0] >= needs->shelves[0];
    int wants_slab =
        self->stock.block_count < needs->blocks || self->stock.segment_count < needs->segments;
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
      hostcache_shelf_put(&self->stock.shelves, low, shelf);
  }
  return 1;
}

/* Moves what is needed out of the cache's stock. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(stock_move)(HC_STOCK *from, HC_STOCK *to, const HC_NEEDS *moved) {
  size_t i;
  int low;
  for (i = 0; i < moved->blocks; i++) HC_I(spare_append)(to, HC_I(spare_take)(from));
  for (i = 0; i < moved->segments; i++) {
    HC_SEGMENT *segment = from->segments;
    from->segments = segment->next;
    from->segment_count--;
    segment->next = to->segments;
    to->segments = segment;
    to->segment_count++;
  }
  for (low = 0; low < 2; low++)
    for (i = 0; i < moved->shelves[low]; i++)
      hostcache_shelf_put(&to->shelves, low, hostcache_shelf_take(&from->shelves, low));
}

/* Moves all that is left of a stock back. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(stock_return)(HC_CACHE *self, HC_STOCK *from) {
  HC_NEEDS all;
  all.blocks = from->block_count;
  all.segments = from->segment_count;
  all.shelves[0] = from->shelves.count[0];
  all.shelves[1] = from->shelves.count[1];
  HC_I(stock_move)(from, &self->stock, &all);
}

/* Says which memory a range is. Not while it is ACTIVE. range->lock, segments_lock are held. */
HOSTCACHE_UNUSED static void HC_I(place)(HC_BLOCK *range, void *ptr, size_t size) {
  hostcache_ptr_store_release(&range->ptr, ptr);
  hostcache_size_store_release(&range->size, size);
}

/* A range is a spare record from now on: its memory has gone back, or it is `merged` with its
   neighbour. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(retire)(HC_CACHE *self, HC_BLOCK *range, int merged) {
  hostcache_lock(range->lock);
  HC_I(turn)(self, range, HOSTCACHE_SPARE);
  range->segment = NULL;
  HC_I(place)(range, NULL, 0);
  range->left = NULL;
  range->right = NULL;
  range->merged = (uint8_t)merged;
  hostcache_unlock(range->lock);
  HC_I(spare_append)(&self->stock, range);
}

/* Heaps: the ready ranges. */

/* May this ready range be split? What was got at creation always may. */
HOSTCACHE_UNUSED static int HC_I(may_split)(const HC_CACHE *self, const HC_BLOCK *range) {
  return range->segment->kind == HOSTCACHE_KIND_RESERVE || !HC_I(is_oversize)(self, range->size);
}

/* Bytes that are ready. segments_lock is held. */
HOSTCACHE_UNUSED static size_t HC_I(cached)(const HC_CACHE *self) {
  return (size_t)self->stats.cached_bytes.current;
}

/* Is more held, or ready, than the bounds allow? segments_lock is held. */
HOSTCACHE_UNUSED static int HC_I(is_in_excess)(const HC_CACHE *self) {
  return self->claimed > self->max_reserved || HC_I(cached)(self) > self->max_cached;
}

/* A range is ready, and no neighbour of it is. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(heap_add)(HC_CACHE *self, HC_BLOCK *range) {
  HC_SEGMENT *segment = range->segment;
  range->is_ready = 1;
  self->gains++;
  hostcache_heap_add(&self->heaps[segment->kind], &range->by_size, range->size,
                     (size_t)range->ptr, range);
  if (!range->left && !range->right) {
    segment->idle_since = hostcache_now_ns();
    segment->idle_previous = self->idle_last;
    if (self->idle_last)
      self->idle_last->idle_next = segment;
    else
      self->idle_first = segment;
    self->idle_last = segment;
    self->idle_count++;
  }
  HC_I(count_ready)(self, range, 1);
  if (HC_I(is_in_excess)(self)) hostcache_u32_store_relaxed(&self->excess, 1);
}

/* A ready range is taken, or about to change. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(heap_remove)(HC_CACHE *self, HC_BLOCK *range) {
  HC_SEGMENT *segment = range->segment;
  range->is_ready = 0;
  hostcache_heap_remove(&self->heaps[segment->kind], &range->by_size);
  if (!range->left && !range->right) {
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
    self->idle_count--;
  }
  HC_I(count_ready)(self, range, 0);
}

/* The ready range that serves a block of this size best, or NULL. First what was reserved at
   creation, then the segments of its kind, then the others. A range above max_split_size is not
   split, so it serves only what it is larger than by at most an eighth. segments_lock is held. */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(heap_best)(HC_CACHE *self, size_t size,
                                                  size_t requested) {
  int small = HC_I(is_small)(self, size), i;
  for (i = 0; i < HOSTCACHE_KIND_COUNT; i++) {
    const int kind = i == 0               ? HOSTCACHE_KIND_RESERVE
                     : (i == 1) == small ? HOSTCACHE_KIND_SMALL
                                         : HOSTCACHE_KIND_LARGE;
    const hostcache_node *node = hostcache_heap_first(&self->heaps[kind], size, 0);
    HC_BLOCK *range = node ? (HC_BLOCK *)node->owner : NULL;
    if (range && (HC_I(may_split)(self, range) || range->size == HC_I(own_size)(self, size) ||
                  range->size - requested <= requested / 8))
      return range;
  }
  return NULL;
}

/* Carving and coalescing. */

/* Makes a block that the caller owns CACHED. To be followed by coalesce, when its lock has been
   released; segments_lock and block->lock are held. */
HOSTCACHE_UNUSED static void HC_I(block_ready)(HC_CACHE *self, HC_BLOCK *block) {
  block->use_count = 0;
  block->unknown_uses = 0;
  block->unknown_over = 0;
  HC_I(turn)(self, block, HOSTCACHE_CACHED);
}

/* Divides a range, which is in no heap, after `size` bytes. Returns the rest, CACHED and in no heap
   either. The stock has a block, and the shelves for where the rest begins. segments_lock is held.
   */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(carve)(HC_CACHE *self, HC_STOCK *stock, HC_BLOCK *range,
                                              size_t size) {
  HC_BLOCK *rest = HC_I(spare_take)(stock);
  hostcache_lock(rest->lock);
  rest->segment = range->segment;
  HC_I(place)(rest, (char *)range->ptr + size, range->size - size);
  rest->left = range;
  rest->right = range->right;
  HC_I(block_ready)(self, rest);
  hostcache_unlock(rest->lock);
  if (range->right) range->right->left = rest;
  range->right = rest;
  hostcache_lock(range->lock);
  HC_I(place)(range, range->ptr, size);
  hostcache_unlock(range->lock);
  hostcache_index_add(&self->index, (size_t)rest->ptr, rest, &stock->shelves);
  return rest;
}

/* Makes the right neighbour of a range part of it. Neither is in a heap. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(absorb)(HC_CACHE *self, HC_BLOCK *range, HC_BLOCK *gone) {
  size_t size = gone->size;
  hostcache_index_remove(&self->index, (size_t)gone->ptr);
  range->right = gone->right;
  if (gone->right) gone->right->left = range;
  HC_I(retire)(self, gone, 1);
  hostcache_lock(range->lock);
  HC_I(place)(range, range->ptr, range->size + size);
  hostcache_unlock(range->lock);
}

/* A range that has just become CACHED, with segments_lock held since: makes it one with its ready
   neighbours, and puts it into the heap. */
HOSTCACHE_UNUSED static void HC_I(coalesce)(HC_CACHE *self, HC_BLOCK *range) {
  HC_BLOCK *left = range->left;
  if (left && left->is_ready) {
    HC_I(heap_remove)(self, left);
    HC_I(absorb)(self, left, range);
    range = left;
  }
  if (range->right && range->right->is_ready) {
    HC_I(heap_remove)(self, range->right);
    HC_I(absorb)(self, range, range->right);
  }
  HC_I(heap_add)(self, range);
}

/* Segments. */

/* Is any byte of this range in a segment that is in the index? segments_lock is held. */
HOSTCACHE_UNUSED static int HC_I(overlaps)(HC_CACHE *self, const void *ptr, size_t size) {
  const hostcache_node *node = hostcache_tree_floor(self->by_address, (size_t)ptr, 0);
  if (node && (size_t)ptr - node->key < ((HC_SEGMENT *)node->owner)->size) return 1;
  node = hostcache_tree_ceiling(self->by_address, (size_t)ptr, 0);
  return node && node->key - (size_t)ptr < size;
}

/* Gives memory to the runtime. 0, or -1 if the free hook failed: on_error was told, and the memory
   is to be counted as leaked. */
HOSTCACHE_UNUSED static int HC_I(memory_give_back)(HC_CACHE *self, void *ptr, size_t size,
                                                   HC_RUNTIME *runtime) {
  uint64_t began = hostcache_now_ns();
  hostcache_status status = HC_I(call_mem_free)(self, ptr, size, runtime);
  HC_I(count_call)(self, &self->stats.num_mem_free, &self->stats.mem_free_time, began);
  if (status.outcome == HOSTCACHE_DONE) return 0;
  HC_I(tell)(self, HOSTCACHE_ERR_LEAKED, status.code,
             "HC_MEM_FREE failed: the segment is counted as leaked and not tried again", ptr);
  return -1;
}

/* Takes an idle segment out of everything: its one range is LEAVING, and the caller's. The range
   leaves the index before it is given back, as the runtime may give the address to another thread
   at once. segments_lock is held. */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(segment_evict)(HC_CACHE *self, HC_SEGMENT *segment) {
  HC_BLOCK *range = segment->first;
  HC_I(heap_remove)(self, range);
  hostcache_tree_remove(&self->by_address, &segment->by_address);
  hostcache_index_remove(&self->index, (size_t)range->ptr);
  self->returning += segment->size;
  hostcache_lock(range->lock);
  HC_I(turn)(self, range, HOSTCACHE_LEAVING);
  hostcache_unlock(range->lock);
  return range;
}

/* Gives an evicted segment's memory to the runtime. 0, or -1 if the free hook failed. */
HOSTCACHE_UNUSED static int HC_I(segment_give_back)(HC_CACHE *self, HC_BLOCK *range) {
  HC_SEGMENT *segment = range->segment;
  if (HC_I(memory_give_back)(self, segment->ptr, segment->size, &segment->runtime)) {
    hostcache_lock(&self->segments_lock);
    self->returning -= segment->size;
    hostcache_lock(range->lock);
    HC_I(turn)(self, range, HOSTCACHE_LEAKED);
    hostcache_unlock(range->lock);
    hostcache_unlock(&self->segments_lock);
    return -1;
  }
  hostcache_lock(&self->segments_lock);
  HC_I(retire)(self, range, 0);
  HC_I(count_segment)(self, segment->size, 0);
  self->claimed -= segment->size;
  self->returning -= segment->size;
  self->gains++;
  segment->first = NULL;
  segment->next = self->stock.segments;
  self->stock.segments = segment;
  self->stock.segment_count++;
  hostcache_unlock(&self->segments_lock);
  return 0;
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
HOSTCACHE_UNUSED static const char *HC_I(memory_fault)(HC_CACHE *self, const void *ptr,
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

/* Gets memory from the hook that is as it should be. segments_lock is held on success, so that no
   other segment can come between the check and the entry into the index. *left: the memory is
   wrong, and the free hook did not take it back. */
HOSTCACHE_UNUSED static hostcache_result HC_I(memory_get)(HC_CACHE *self, size_t size, void **ptr,
                                                          HC_RUNTIME *runtime,
                                                          hostcache_status *status, int *left) {
  const char *fault;
  uint64_t began = hostcache_now_ns();
  int give_back;
  *ptr = NULL;
  *left = 0;
  memset((void *)runtime, 0, sizeof *runtime);
  *status = HC_I(call_mem_alloc)(self, size, ptr, runtime);
  HC_I(count_call)(self, &self->stats.num_mem_alloc, &self->stats.mem_alloc_time, began);
  if (status->outcome != HOSTCACHE_DONE) return HOSTCACHE_ERR_OUT_OF_MEMORY;

  hostcache_lock(&self->segments_lock);
  fault = HC_I(memory_fault)(self, *ptr, size, &give_back);
  if (!fault) return HOSTCACHE_OK;
  hostcache_unlock(&self->segments_lock);
  HC_I(tell)(self, HOSTCACHE_ERR_CORRUPT, 0, fault, *ptr);
  if (give_back) *left = HC_I(memory_give_back)(self, *ptr, size, runtime);
  return HOSTCACHE_ERR_CORRUPT;
}

/* Sets aside what a segment needs: records for it, for its range and for what is over of that, and
   shelves for two addresses anywhere. Before anything is given back or asked for, so that nothing
   can fail for want of them later. segments_lock is held, but let go around malloc. 0, and the lock
   is not held: there was no memory, and on_error was told. */
HOSTCACHE_UNUSED static int HC_I(stock_for_segment)(HC_CACHE *self, HC_STOCK *stock) {
  const size_t low = self->index.shift < HOSTCACHE_PAGE_SHIFT ? 2 : 0;
  const HC_NEEDS needs = {2, 1, {2 * HOSTCACHE_DEPTH_MAX - 3, low}};
  int let_go;
  memset((void *)stock, 0, sizeof *stock);
  if (!HC_I(stock_up)(self, &needs, &let_go)) return 0;
  HC_I(stock_move)(&self->stock, stock, &needs);
  return 1;
}

/* Gets a segment of `size` bytes, which the caller has claimed: its one range is LEAVING, and the
   caller's. segments_lock is held after OK, and not after an error, which gives the claim up.
   OUT_OF_MEMORY: *status is what HC_MEM_ALLOC said, and the caller tells on_error; the other errors
   were told. `stock` has what stock_for_segment set aside. */
HOSTCACHE_UNUSED static hostcache_result HC_I(segment_get)(HC_CACHE *self, size_t size, int kind,
                                                           HC_STOCK *stock, HC_BLOCK **out,
                                                           hostcache_status *status) {
  HC_SEGMENT *segment = stock->segments;
  hostcache_result result;
  HC_BLOCK *range;
  void *ptr;
  int left;

  result = HC_I(memory_get)(self, size, &ptr, &segment->runtime, status, &left);
  if (result != HOSTCACHE_OK) hostcache_lock(&self->segments_lock);
  if (result != HOSTCACHE_OK && !left) {
    self->claimed -= size;
    hostcache_unlock(&self->segments_lock);
    return result;
  }
  range = HC_I(spare_take)(stock);
  stock->segments = NULL;
  stock->segment_count = 0;
  segment->next = NULL;
  segment->ptr = ptr;
  segment->size = size;
  segment->kind = kind;
  segment->first = range;
  HC_I(count_segment)(self, size, 1);
  hostcache_lock(range->lock);
  range->segment = segment;
  HC_I(place)(range, ptr, size);
  range->left = NULL;
  range->right = NULL;
  HC_I(turn)(self, range, left ? HOSTCACHE_LEAKED : HOSTCACHE_LEAVING);
  hostcache_unlock(range->lock);
  if (left) {
    hostcache_unlock(&self->segments_lock);
    return result;
  }
  hostcache_tree_add(&self->by_address, &segment->by_address, (size_t)ptr, 0, segment);
  hostcache_index_add(&self->index, (size_t)ptr, range, &stock->shelves);
  *out = range;
  return HOSTCACHE_OK;
}

/* Finding. */

/* The block, whatever its state, whose range `ptr` lies in, with its lock held; NULL, and no lock,
   if there is none. An active block is always found, whatever other threads do meanwhile: see
   hostcache_index. Never dereferences `ptr`. O(1). */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(lock_at)(HC_CACHE *self, const void *ptr) {
  HC_BLOCK *block = (HC_BLOCK *)hostcache_index_floor(&self->index, (size_t)ptr);
  if (!block) return NULL;
  hostcache_lock(block->lock);
  if (block->segment && block->state != HOSTCACHE_LEAKED && (size_t)ptr >= (size_t)block->ptr &&
      (size_t)ptr - (size_t)block->ptr < block->size)
    return block;
  hostcache_unlock(block->lock); /* not ours, or its record is another's by now */
  return NULL;
}

/* The same for a handle: NULL if it is of another cache. */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(lock_handle)(HC_CACHE *self, HC_BLOCK *block) {
  if (!block || block->cache != self) return NULL;
  hostcache_lock(block->lock);
  return block;
}

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
  if (life % 2 == 0 || (size_t)ptr < start || (size_t)ptr - start >= size) return NULL;
  return hostcache_size_load_acquire(&block->life) == life ? block : NULL;
}

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
  return &(*slab)->blocks[(*i)++];
}

/* ---- 10. BINS -----------------------------------------------------------------------------------
   Takes blocks out of what is ready, makes blocks ready, and keeps what is held within its bounds:
   the cap, the bound on what is idle, and, before more is asked for, what was held before. */

/* Hands out a range, which is in no heap, as a block of `size` bytes, in the given state. What is
   over becomes ready; `stock` has the records for that. segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(hand_out)(HC_CACHE *self, HC_STOCK *stock, HC_BLOCK *range,
                                            size_t size, size_t requested, unsigned state) {
  if (range->size > size && HC_I(may_split)(self, range)) {
    HC_I(heap_add)(self, HC_I(carve)(self, stock, range, size));
  }
  hostcache_lock(range->lock);
  range->requested = requested;
  if (range->state != state) HC_I(turn)(self, range, state);
  hostcache_unlock(range->lock);
}

/* Takes the ready range that fits best, ACTIVE or, for the cache's own ends, LEAVING. *out is NULL
   if there is none. NO_METADATA: no record for what is over; on_error was told. */
HOSTCACHE_UNUSED static hostcache_result HC_I(bin_take)(HC_CACHE *self, size_t size,
                                                        size_t requested, unsigned state,
                                                        HC_BLOCK **out) {
  HC_BLOCK *range;
  HC_NEEDS needs;
  int let_go;
  *out = NULL;
  memset((void *)&needs, 0, sizeof needs);
  hostcache_lock(&self->segments_lock);
  do {
    let_go = 0;
    range = HC_I(heap_best)(self, size, requested);
    if (range && range->size > size && HC_I(may_split)(self, range)) {
      needs.blocks = 1;
      hostcache_index_missing(&self->index, (size_t)range->ptr + size, needs.shelves);
      if (!HC_I(stock_up)(self, &needs, &let_go)) return HOSTCACHE_ERR_NO_METADATA;
    }
  } while (let_go); /* another thread may have taken it */
  if (range) {
    HC_I(heap_remove)(self, range);
    HC_I(hand_out)(self, &self->stock, range, size, requested, state);
  }
  hostcache_unlock(&self->segments_lock);
  *out = range;
  return HOSTCACHE_OK;
}

/* Makes a block ready that the caller owns. */
HOSTCACHE_UNUSED static void HC_I(make_ready)(HC_CACHE *self, HC_BLOCK *block) {
  hostcache_lock(&self->segments_lock);
  hostcache_lock(block->lock);
  HC_I(block_ready)(self, block);
  hostcache_unlock(block->lock);
  HC_I(coalesce)(self, block);
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
  for (left = self->idle_count; left > 0 && self->idle_first && self->claimed > keep; left--) {
    if (self->idle_first->idle_since > before) break;
    (void)HC_I(give_back_oldest)(self, &leaked);
  }
  hostcache_unlock(&self->segments_lock);
  return leaked ? -1 : 0;
}

/* Gives back what is above the cap, which may have been lowered, or above what may be idle. 0, or
   -1 if a free hook failed. */
HOSTCACHE_UNUSED static int HC_I(bins_shed)(HC_CACHE *self) {
  int leaked = 0;
  if (!hostcache_u32_load_relaxed(&self->excess)) return 0;
  hostcache_lock(&self->segments_lock);
  hostcache_u32_store_relaxed(&self->excess, 0);
  while (HC_I(is_in_excess)(self) && HC_I(give_back_oldest)(self, &leaked)) continue;
  hostcache_unlock(&self->segments_lock);
  return leaked ? -1 : 0;
}

/* May so many more bytes be held? segments_lock is held. */
HOSTCACHE_UNUSED static int HC_I(has_room)(const HC_CACHE *self, size_t size) {
  return self->claimed <= self->max_reserved && size <= self->max_reserved - self->claimed;
}

/* Up to where more is asked of the runtime while something is idle: what was held before, or an
   eighth more than was ever in use or reserved, whichever is less. (The eighth is measured: with it
   the peak of what is held is 1.2 times that of what is in use, where sizes vary much.)
   segments_lock is held. */
HOSTCACHE_UNUSED static size_t HC_I(comfort)(HC_CACHE *self, size_t size) {
  int64_t held, used, with;
  hostcache_lock(&self->stats_lock);
  held = self->peak_held;
  used = self->peak_used;
  with = HC_I(sum)(self->stats.active_bytes.current, (int64_t)size);
  hostcache_unlock(&self->stats_lock);
  if (with > used) used = with;
  if ((int64_t)self->wanted > used) used = (int64_t)self->wanted;
  return (size_t)(held - used > used / 8 ? used + used / 8 : held); /* of which none can overflow */
}

/* How large a new segment for a block is to be: as large as the shared ones, if the block is not
   larger, what is over may be kept idle, and the cap allows it. segments_lock is held. */
HOSTCACHE_UNUSED static size_t HC_I(size_to_get)(const HC_CACHE *self, size_t size) {
  const size_t shared = self->config.segment_bytes, cached = HC_I(cached)(self);
  if (size > shared || !HC_I(has_room)(self, shared)) return HC_I(own_size)(self, size);
  if (cached > self->max_cached || shared - size > self->max_cached - cached)
    return HC_I(own_size)(self, size);
  return shared;
}

/* Gets new memory for a block. OUT_OF_MEMORY: *status is what HC_MEM_ALLOC said; LIMIT: the cap
   would be passed; of both the caller tells on_error. What is reserved (LEAVING) does not make
   other idle memory go back, but for the cap. */
HOSTCACHE_UNUSED static hostcache_result HC_I(grow)(HC_CACHE *self, size_t size, size_t requested,
                                                    unsigned state, HC_BLOCK **out,
                                                    hostcache_status *status, HC_TALLY *tally) {
  const int kind = HC_I(is_small)(self, size) ? HOSTCACHE_KIND_SMALL : HOSTCACHE_KIND_LARGE;
  const size_t own = HC_I(own_size)(self, size);
  hostcache_result result = HOSTCACHE_ERR_LIMIT;
  int leaked = 0;
  HC_STOCK stock;
  size_t get;

  *status = hostcache_done();
  hostcache_lock(&self->segments_lock);
  if (own > self->max_reserved) { /* giving back would not help */
    hostcache_unlock(&self->segments_lock);
    return HOSTCACHE_ERR_LIMIT;
  }
  if (!HC_I(stock_for_segment)(self, &stock)) return HOSTCACHE_ERR_NO_METADATA;
  get = HC_I(size_to_get)(self, size);
  while (!HC_I(has_room)(self, get) ||
         (state == HOSTCACHE_ACTIVE && self->claimed + get > HC_I(comfort)(self, size))) {
    if (!HC_I(give_back_oldest)(self, &leaked)) break;
    tally->hooks++;
  }
  while (HC_I(has_room)(self, get)) {
    self->claimed += get; /* before the hook is called, so that the cap holds */
    hostcache_unlock(&self->segments_lock);
    tally->hooks++;
    result = HC_I(segment_get)(self, get, kind, &stock, out, status);
    if (result == HOSTCACHE_OK) {
      HC_I(hand_out)(self, &stock, *out, size, requested, state);
      break;
    }
    hostcache_lock(&self->segments_lock);
    if (status->outcome != HOSTCACHE_NO_MEMORY || get == own) break;
    get = own; /* too much for the runtime: only what is asked for, then */
    result = HOSTCACHE_ERR_LIMIT;
  }
  HC_I(stock_return)(self, &stock);
  hostcache_unlock(&self->segments_lock);
  return result;
}

/* ---- 11. EVENTS ---------------------------------------------------------------------------------
   Uses, queues, poll, quarantine. A use is marked on an active block; at the free it is recorded
   and pushed to the queue of its stream; a poll asks the head of each queue, and takes off what is
   complete. The last use that is over makes the block ready. */

HOSTCACHE_UNUSED static HC_USE *HC_I(use_at)(HC_BLOCK *block, uint32_t i) {
  return i < HC_INLINE_USES ? &block->uses[i] : &block->more[i - HC_INLINE_USES];
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

/* The live queue of a stream, or NULL. streams_lock is held. */
HOSTCACHE_UNUSED static HC_QUEUE *HC_I(queue_find)(HC_CACHE *self, HC_STREAM stream) {
  HC_QUEUE *queue = self->buckets[HC_I(stream_bucket)(stream)];
  while (queue && !HC_I(same_stream)(queue->stream, stream)) queue = queue->bucket_next;
  return queue;
}

/* The same, and it will not be used for another stream before it is unpinned. */
HOSTCACHE_UNUSED static HC_QUEUE *HC_I(queue_pin)(HC_CACHE *self, HC_STREAM stream) {
  HC_QUEUE *queue;
  hostcache_lock(&self->streams_lock);
  queue = HC_I(queue_find)(self, stream);
  if (queue) {
    hostcache_lock(&queue->lock);
    queue->pins++;
    hostcache_unlock(&queue->lock);
  }
  hostcache_unlock(&self->streams_lock);
  return queue;
}

HOSTCACHE_UNUSED static void HC_I(queue_unpin)(HC_QUEUE *queue) {
  if (!queue) return;
  hostcache_lock(&queue->lock);
  queue->pins--;
  hostcache_unlock(&queue->lock);
}

/* Puts a queue into the table. streams_lock is held. */
HOSTCACHE_UNUSED static void HC_I(queue_enter)(HC_CACHE *self, HC_QUEUE *queue, HC_STREAM stream) {
  HC_QUEUE **bucket = &self->buckets[HC_I(stream_bucket)(stream)];
  hostcache_lock(&queue->lock);
  queue->stream = stream;
  queue->live = 1;
  queue->errors = 0;
  hostcache_unlock(&queue->lock);
  queue->bucket_next = *bucket;
  *bucket = queue;
}

/* A record that once was another stream's and is no longer in use, or NULL. streams_lock is
   held. */
HOSTCACHE_UNUSED static HC_QUEUE *HC_I(queue_reuse)(HC_CACHE *self) {
  HC_QUEUE **at = &self->retired, *queue;
  int idle;
  for (; (queue = *at) != NULL; at = &queue->bucket_next) {
    hostcache_lock(&queue->lock);
    idle = !queue->head && !queue->claimed && queue->pins == 0;
    hostcache_unlock(&queue->lock);
    if (!idle) continue;
    *at = queue->bucket_next;
    return queue;
  }
  return NULL;
}

/* Sees to it that a stream has a queue. Where there is no memory for one its uses wait in the loose
   queue: so a failure is none. */
HOSTCACHE_UNUSED static void HC_I(queue_ensure)(HC_CACHE *self, HC_STREAM stream) {
  HC_QUEUE *fresh = NULL, *queue;
  int have;
  for (;;) {
    hostcache_lock(&self->streams_lock);
    have = HC_I(queue_find)(self, stream) != NULL;
    if (!have) {
      queue = HC_I(queue_reuse)(self);
      if (!queue && fresh) {
        queue = fresh;
        fresh = NULL;
        queue->next = (HC_QUEUE *)self->queues;
        hostcache_ptr_store_release(&self->queues, queue);
      }
      if (queue) {
        HC_I(queue_enter)(self, queue, stream);
        have = 1;
      }
    }
    hostcache_unlock(&self->streams_lock);
    if (have) break;
    fresh = (HC_QUEUE *)HOSTCACHE_MALLOC(sizeof(HC_QUEUE));
    if (!fresh) return;
    memset((void *)fresh, 0, sizeof *fresh);
    if (hostcache_mutex_init(&fresh->lock, HOSTCACHE_RANK_QUEUE)) {
      HOSTCACHE_FREE(fresh);
      return;
    }
  }
  if (fresh) { /* another thread was faster */
    hostcache_mutex_destroy(&fresh->lock);
    HOSTCACHE_FREE(fresh);
  }
}

/* Takes a queue out of the table, and ends the events of its pool. What waits in it goes on
   waiting. */
HOSTCACHE_UNUSED static void HC_I(queue_leave)(HC_CACHE *self, HC_QUEUE *queue) {
  HC_QUEUE **at;
  HC_EVENT *pool = NULL;
  uint32_t count = 0;
  hostcache_lock(&self->streams_lock);
  hostcache_lock(&queue->lock);
  if (queue->live) {
    at = &self->buckets[HC_I(stream_bucket)(queue->stream)];
    while (*at != queue) at = &(*at)->bucket_next;
    *at = queue->bucket_next;
    queue->bucket_next = self->retired;
    self->retired = queue;
    queue->live = 0;
    pool = queue->pool;
    count = queue->pool_count;
    queue->pool = NULL;
    queue->pool_count = 0;
    queue->pool_room = 0;
  }
  hostcache_unlock(&queue->lock);
  hostcache_unlock(&self->streams_lock);
  while (count > 0) HC_I(event_destroy)(self, &pool[--count]);
  if (pool) HOSTCACHE_FREE(pool);
}

/* The mark of a stream on a block, or NULL. block->lock is held, or the block is the caller's. */
HOSTCACHE_UNUSED static HC_USE *HC_I(mark_of)(HC_BLOCK *block, HC_STREAM stream) {
  uint32_t i;
  for (i = 0; i < block->use_count; i++) {
    HC_USE *use = HC_I(use_at)(block, i);
    if (use->kind != HOSTCACHE_USE_EVENT && HC_I(same_stream)(use->stream, stream)) return use;
  }
  return NULL;
}

#endif /* HC_HAS_STREAMS */

/* Adds a use to an active block, or lets one that it has cover it. *added: it is a new one. 0 if
   there is no room. block->lock is held. */
HOSTCACHE_UNUSED static int HC_I(use_add)(HC_BLOCK *block, const HC_USE *wanted, int *added) {
  *added = 0;
#if HC_HAS_STREAMS
  if (wanted->kind != HOSTCACHE_USE_EVENT) {
    HC_USE *found = HC_I(mark_of)(block, wanted->stream);
    if (found) { /* a mark keeps a value given before as the least; a value replaces a mark */
      found->kind = wanted->kind;
      if (wanted->value > found->value) found->value = wanted->value;
      return 1;
    }
  }
#endif
  if (block->use_count == HC_INLINE_USES + block->more_room) return 0;
  *HC_I(use_at)(block, block->use_count++) = *wanted;
  *added = 1;
  return 1;
}

/* No memory for a use: the block remembers as much as it has room for, so that its free does not
   forget the stream. block->lock is held. */
HOSTCACHE_UNUSED static void HC_I(use_unknown)(HC_BLOCK *block, const HC_USE *wanted) {
#if HC_HAS_STREAMS
  if (wanted->kind != HOSTCACHE_USE_EVENT) {
    if (block->unknown_uses == 0) {
      block->unknown_uses = 1;
      block->unknown_stream = wanted->stream;
      block->unknown_value = wanted->value;
      return;
    }
    if (block->unknown_uses == 1 && HC_I(same_stream)(block->unknown_stream, wanted->stream)) {
      if (wanted->value > block->unknown_value) block->unknown_value = wanted->value;
      return;
    }
  }
#endif
  (void)wanted;
  block->unknown_uses = 2;
}

/* Records a use on an active block, by handle or, if that is NULL, by a pointer into it. */
HOSTCACHE_UNUSED static hostcache_result HC_I(record)(HC_CACHE *self, HC_BLOCK *handle,
                                                      const void *ptr, const HC_USE *wanted) {
  HC_USE *more = NULL; /* room got by this call for the block, or what the block had before */
  uint32_t room = 0, need;
  int added = 0, have, out_of_memory = 0;
  for (;;) {
    HC_BLOCK *block = handle ? HC_I(lock_handle)(self, handle) : HC_I(lock_at)(self, ptr);
    if (!block || block->state != HOSTCACHE_ACTIVE) {
      if (block) hostcache_unlock(block->lock);
      if (more) HOSTCACHE_FREE(more);
      return HOSTCACHE_ERR_NOT_FOUND;
    }
    have = HC_I(use_add)(block, wanted, &added);
    if (!have && room > block->more_room) {
      HC_USE *before = block->more;
      if (before) memcpy((void *)more, (const void *)before, block->more_room * sizeof *more);
      block->more = more;
      block->more_room = room;
      more = before;
      have = HC_I(use_add)(block, wanted, &added);
    }
    if (!have && out_of_memory) HC_I(use_unknown)(block, wanted);
    need = block->more_room ? 2 * block->more_room : HC_INLINE_USES;
    hostcache_unlock(block->lock);
    if (have || out_of_memory) break;
    if (more) HOSTCACHE_FREE(more);
    room = need;
    more = (HC_USE *)HOSTCACHE_MALLOC(room * sizeof(HC_USE));
    if (more)
      memset((void *)more, 0, room * sizeof(HC_USE));
    else
      room = 0;
    out_of_memory = !more;
  }
  if (more) HOSTCACHE_FREE(more);
  if (!have) {
    HC_I(tell)(self, HOSTCACHE_ERR_NO_METADATA, 0,
               "HOSTCACHE_MALLOC had no memory for a use: its free waits or quarantines",
               ptr);
    return HOSTCACHE_ERR_NO_METADATA;
  }
#if HC_HAS_STREAMS
  if (added && wanted->kind != HOSTCACHE_USE_EVENT) HC_I(queue_ensure)(self, wanted->stream);
#endif
  return HOSTCACHE_OK;
}

/* Queues. */

/* Puts a use at the end of a queue, and unpins that. Non-zero: the caller, who may poll, should. */
HOSTCACHE_UNUSED static int HC_I(queue_push)(HC_CACHE *self, HC_QUEUE *queue, HC_USE *use,
                                             int may_poll) {
  int due;
  hostcache_lock(&queue->lock);
  hostcache_lock(&self->stats_lock);
  self->changes++;
  use->ticket = ++self->tickets; /* drawn under both locks, so that tickets rise along a queue */
  hostcache_unlock(&self->stats_lock);
  use->next = NULL;
  use->previous = queue->tail;
  if (queue->tail)
    queue->tail->next = use;
  else
    queue->head = use;
  queue->tail = use;
  hostcache_u32_store_relaxed(&queue->length, queue->length + 1);
  due = ++queue->pushes >= HC_POLL_EVERY && may_poll;
  if (due) queue->pushes = 0;
  if (queue != &self->loose) queue->pins--;
  hostcache_unlock(&queue->lock);
  return due;
}

/* Takes a use out of a queue. The queue's lock is held and the caller has its claim. */
HOSTCACHE_UNUSED static void HC_I(queue_unlink)(HC_QUEUE *queue, HC_USE *use) {
  if (use->previous)
    use->previous->next = use->next;
  else
    queue->head = use->next;
  if (use->next)
    use->next->previous = use->previous;
  else
    queue->tail = use->previous;
  if (queue->cursor == use) queue->cursor = use->next;
  hostcache_u32_store_relaxed(&queue->length, queue->length - 1);
}

/* One use of the block less (NULL: all have been pushed); the last one makes it ready. Non-zero: it
   did. */
HOSTCACHE_UNUSED static int HC_I(complete)(HC_CACHE *self, HC_BLOCK *block, HC_USE *use) {
  int ready;
  hostcache_lock(&self->segments_lock);
  hostcache_lock(block->lock);
  if (use) {
    use->fate = HOSTCACHE_FATE_OVER;
    use->has_event = 0;
  } else {
    block->pushing = 0;
  }
  block->outstanding--;
  hostcache_lock(&self->stats_lock);
  self->changes++;
  hostcache_unlock(&self->stats_lock);
  ready = block->outstanding == 0 && block->state == HOSTCACHE_WAITING;
  if (ready) HC_I(block_ready)(self, block);
  hostcache_unlock(block->lock);
  if (ready) HC_I(coalesce)(self, block);
  hostcache_unlock(&self->segments_lock);
  return ready;
}

/* An event that has completed goes to the pool of its queue, or is ended. */
HOSTCACHE_UNUSED static void HC_I(event_retire)(HC_CACHE *self, HC_QUEUE *queue, HC_EVENT *event) {
  HC_EVENT *fresh = NULL;
  uint32_t room = 0;
  int kept = 0, wanted = HC_POOLS_EVENTS && queue && queue != &self->loose;
  while (wanted && !kept) {
    hostcache_lock(&queue->lock);
    if (!queue->live) {
      wanted = 0;
    } else if (fresh && room > queue->pool_room) {
      HC_EVENT *before = queue->pool;
      if (before) memcpy((void *)fresh, (const void *)before, queue->pool_count * sizeof *fresh);
      queue->pool = fresh;
      queue->pool_room = room;
      fresh = before;
    }
    if (wanted && queue->pool_count < queue->pool_room) {
      queue->pool[queue->pool_count++] = *event;
      kept = 1;
    }
    room = queue->pool_room ? 2 * queue->pool_room : HC_FIRST_POOL;
    hostcache_unlock(&queue->lock);
    if (!wanted || kept) break;
    if (fresh) HOSTCACHE_FREE(fresh);
    fresh = (HC_EVENT *)HOSTCACHE_MALLOC(room * sizeof(HC_EVENT));
    if (!fresh) break;
  }
  if (fresh) HOSTCACHE_FREE(fresh);
  if (!kept) HC_I(event_destroy)(self, event);
}

/* A use has completed: takes it out of its queue and ends its event. The caller has the claim.
   Returns what heads the queue now. */
HOSTCACHE_UNUSED static HC_USE *HC_I(use_over)(HC_CACHE *self, HC_QUEUE *queue, HC_USE *use,
                                               HC_TALLY *tally) {
  HOSTCACHE_LOCAL(HC_EVENT, event); /* once the block is complete, the use may be another's */
  HC_USE *alone = use->block ? NULL : use, *head;
  int has_event = use->has_event;
  memcpy((void *)event, (const void *)&use->event, sizeof *event);
  hostcache_lock(&queue->lock);
  HC_I(queue_unlink)(queue, use);
  if (!alone && HC_I(complete)(self, use->block, use)) tally->ready++;
  head = queue->head;
  hostcache_unlock(&queue->lock);
  if (has_event) {
    tally->hooks++;
    HC_I(event_retire)(self, queue, event);
  }
  if (alone) HOSTCACHE_FREE(alone);
  return head;
}

/* A use cannot be told: takes it out of its queue, and quarantines the block, with the event, which
   may be pending still. The caller has the claim. Returns what heads the queue now. */
HOSTCACHE_UNUSED static HC_USE *HC_I(use_untold)(HC_CACHE *self, HC_QUEUE *queue, HC_USE *use) {
  HC_BLOCK *block = use->block;
  HC_USE *head;
  hostcache_lock(&queue->lock);
  HC_I(queue_unlink)(queue, use);
  if (block) {
    hostcache_lock(block->lock);
    use->fate = HOSTCACHE_FATE_UNTOLD;
    block->outstanding--;
    HC_I(turn)(self, block, HOSTCACHE_QUARANTINED);
    hostcache_unlock(block->lock);
  } else {
    use->next = self->untold;
    self->untold = use;
  }
  head = queue->head;
  hostcache_unlock(&queue->lock);
  return head;
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
    if (status.outcome != HOSTCACHE_DONE)
      return status.outcome == HOSTCACHE_PENDING ? hostcache_failed(status.code) : status;
    *asked = 1;
  }
  return *reached >= use->value ? hostcache_done() : hostcache_pending();
#elif HC_HAS_EVENTS
  (void)asked;
  (void)reached;
  tally->hooks++;
  return HC_I(call_event_query)(self, &use->event);
#else
  (void)self, (void)use, (void)tally, (void)asked, (void)reached;
  return hostcache_done();
#endif
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

/* Claims a queue: then its head is the caller's to ask. NULL if another thread has it, or it is
   empty. *last: the ticket of its last entry, so that what a query's hook frees meanwhile cannot
   keep the caller busy for ever. */
HOSTCACHE_UNUSED static HC_USE *HC_I(queue_claim)(HC_QUEUE *queue, uint64_t *last) {
  HC_USE *head = NULL;
  *last = 0;
  hostcache_lock(&queue->lock);
  if (!queue->claimed) head = queue->head;
  if (head) {
    queue->claimed = 1;
    *last = queue->tail->ticket;
  }
  hostcache_unlock(&queue->lock);
  return head;
}

HOSTCACHE_UNUSED static void HC_I(queue_unclaim)(HC_QUEUE *queue) {
  hostcache_lock(&queue->lock);
  queue->claimed = 0;
  hostcache_unlock(&queue->lock);
}

/* Takes off a stream's queue what has completed. Asks the head alone: one query, and one for each
   entry that is over (in timeline mode one in all). */
HOSTCACHE_UNUSED static void HC_I(poll_queue)(HC_CACHE *self, HC_QUEUE *queue, HC_TALLY *tally) {
  uint64_t reached = 0, last;
  HC_USE *use = HC_I(queue_claim)(queue, &last);
  int asked = 0;
  if (!use) return;
  while (use && use->ticket <= last) {
    hostcache_status status = HC_I(ask)(self, use, tally, &asked, &reached);
    uint32_t *errors = HC_HAS_TIMELINE ? &queue->errors : &use->errors;
    if (status.outcome == HOSTCACHE_PENDING) {
      *errors = 0;
      break;
    }
    if (status.outcome == HOSTCACHE_DONE) {
      *errors = 0;
      use = HC_I(use_over)(self, queue, use, tally);
      continue;
    }
    if (!HC_I(query_failed)(self, tally, status.code, ++*errors, HC_I(ptr_of)(use))) break;
    *errors = 0;
    do { /* a timeline that cannot be asked: all of its queue */
      use = HC_I(use_untold)(self, queue, use);
    } while (HC_HAS_TIMELINE && use);
  }
  HC_I(queue_unclaim)(queue);
}

/* Asks at most `most` entries of the loose queue, each in its turn. */
HOSTCACHE_UNUSED static void HC_I(poll_loose)(HC_CACHE *self, size_t most, HC_TALLY *tally) {
  HC_QUEUE *queue = &self->loose;
  uint64_t last;
  HC_USE *use = HC_I(queue_claim)(queue, &last);
  if (!use) return;
  hostcache_lock(&queue->lock);
  if (most > queue->length) most = queue->length;
  hostcache_unlock(&queue->lock);
  for (; most > 0; most--) {
    hostcache_status status;
    uint64_t reached = 0;
    int asked = 0;
    hostcache_lock(&queue->lock);
    use = queue->cursor ? queue->cursor : queue->head;
    queue->cursor = use->next; /* `use` is there: only the claimer takes out, one a round at most */
    hostcache_unlock(&queue->lock);
    status = HC_I(ask)(self, use, tally, &asked, &reached);
    if (status.outcome == HOSTCACHE_DONE) {
      (void)HC_I(use_over)(self, queue, use, tally);
    } else if (status.outcome == HOSTCACHE_PENDING) {
      use->errors = 0;
    } else if (HC_I(query_failed)(self, tally, status.code, ++use->errors, HC_I(ptr_of)(use))) {
      (void)HC_I(use_untold)(self, queue, use);
    }
  }
  HC_I(queue_unclaim)(queue);
}

/* One look at everything that waits. */
HOSTCACHE_UNUSED static void HC_I(poll)(HC_CACHE *self, size_t loose, HC_TALLY *tally) {
  HC_QUEUE *queue = (HC_QUEUE *)hostcache_ptr_load_acquire(&self->queues);
  for (; queue; queue = queue->next)
    if (hostcache_u32_load_relaxed(&queue->length) > 0) HC_I(poll_queue)(self, queue, tally);
  if (hostcache_u32_load_relaxed(&self->loose.length) > 0) HC_I(poll_loose)(self, loose, tally);
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
   0 if a hook failed. */
HOSTCACHE_UNUSED static int HC_I(use_record)(HC_CACHE *self, HC_QUEUE *queue, HC_USE *use,
                                             const void *ptr) {
  hostcache_status status;
#if HC_HAS_TIMELINE
  uint64_t value = 0;
  const char *what =
      "HC_TIMELINE_RECORD failed: the cache waits for the stream, or quarantines the block";
  (void)queue;
  status = HC_I(call_timeline_record)(self, use->stream, &value);
  if (status.outcome == HOSTCACHE_DONE) {
    if (value > use->value) use->value = value;
    return 1;
  }
#else
  const char *what =
      "HC_EVENT_RECORD failed: the cache waits for the stream, or quarantines the block";
#if HC_POOLS_EVENTS
  if (queue) {
    hostcache_lock(&queue->lock);
    if (queue->pool_count > 0) {
      use->event = queue->pool[--queue->pool_count];
      use->has_event = 1;
    }
    hostcache_unlock(&queue->lock);
  }
  if (!use->has_event) {
    status = HC_I(call_event_create)(self, use->stream, &use->event);
    if (status.outcome != HOSTCACHE_DONE) {
      HC_I(tell)(self, HOSTCACHE_ERR_EVENT, status.code,
                 "HC_EVENT_CREATE failed: the cache waits for the stream, or quarantines the block",
                 ptr);
      return 0;
    }
    use->has_event = 1;
  }
#endif
  (void)queue;
  status = HC_I(call_event_record)(self, &use->event, use->stream);
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
  HC_I(tell)(self, HOSTCACHE_ERR_EVENT, status.code, what, ptr);
  return 0;
}

/* Is the use that found no room over, now that its stream was waited for? */
HOSTCACHE_UNUSED static int HC_I(unknown_over)(HC_CACHE *self, HC_BLOCK *block) {
  if (block->unknown_uses != 1 || !HC_I(wait_stream)(self, block->unknown_stream, block->ptr))
    return 0;
#if HC_HAS_TIMELINE
  if (block->unknown_value > 0) { /* an idle stream need not have reached a value that was given */
    uint64_t reached = 0;
    hostcache_status status = HC_I(call_timeline_query)(self, block->unknown_stream, &reached);
    if (status.outcome != HOSTCACHE_DONE)
      HC_I(tell)(self, HOSTCACHE_ERR_EVENT, status.code,
                 "HC_TIMELINE_QUERY failed for a use that found no memory: it cannot be told",
                 block->ptr);
    return status.outcome == HOSTCACHE_DONE && reached >= block->unknown_value;
  }
#endif
  return 1;
}

#endif /* HC_HAS_STREAMS */

/* Lets an event that nobody needs any more wait for its end in the loose queue. It is not ended at
   once: a runtime may forbid that before it has completed. */
HOSTCACHE_UNUSED static void HC_I(event_leave)(HC_CACHE *self, HC_USE *alone) {
  if (!alone) return;
  if (!alone->has_event) {
    HOSTCACHE_FREE(alone);
    return;
  }
  alone->block = NULL;
  alone->kind = HOSTCACHE_USE_EVENT;
  alone->fate = HOSTCACHE_FATE_QUEUED;
  alone->errors = 0;
  (void)HC_I(queue_push)(self, &self->loose, alone, 0);
}

/* Undoes what forget_stream has prepared for a mark. The use is the caller's. */
HOSTCACHE_UNUSED static void HC_I(early_drop)(HC_CACHE *self, HC_USE *use) {
  HC_USE *alone = use->early_event;
  use->early = HOSTCACHE_EARLY_NONE;
  use->early_event = NULL;
  HC_I(event_leave)(self, alone);
}

/* Records what a freed block was marked with, and finds the queue of each use. Returns how many
   uses are to be queued; *untold: how many cannot be told; *failed: a hook failed. */
HOSTCACHE_UNUSED static uint32_t HC_I(record_uses)(HC_CACHE *self, HC_BLOCK *block, HC_TALLY *tally,
                                                   uint32_t *untold, int *failed) {
  uint32_t i, queued = 0;
  (void)self, (void)tally, (void)failed; /* without streams */
  for (i = 0; i < block->use_count; i++) {
    HC_USE *use = HC_I(use_at)(block, i);
    use->block = block;
    use->errors = 0;
    use->queue = NULL;
    use->fate = HOSTCACHE_FATE_QUEUED;
#if HC_HAS_STREAMS
    if (use->kind != HOSTCACHE_USE_EVENT) use->queue = HC_I(queue_pin)(self, use->stream);
    if (use->kind == HOSTCACHE_USE_STREAM) {
      HC_I(early_drop)(self, use);
      tally->hooks++;
      if (!HC_I(use_record)(self, use->queue, use, block->ptr)) {
        *failed = 1;
        if (tally->no_wait || !HC_I(wait_stream)(self, use->stream, block->ptr))
          use->fate = HOSTCACHE_FATE_UNTOLD;
        else if (use->value == 0)
          use->fate = HOSTCACHE_FATE_OVER; /* else a value was given as well, which is asked for */
        if (use->fate != HOSTCACHE_FATE_QUEUED) HC_I(queue_unpin)(use->queue);
      }
    }
#endif
    if (use->fate == HOSTCACHE_FATE_QUEUED) queued++;
    if (use->fate == HOSTCACHE_FATE_UNTOLD) ++*untold;
  }
  return queued;
}

/* Records the uses of a block that the caller owns (FREEING or DEFERRED), and lets it wait for
   them. 0, or -1 if a hook failed or the block was quarantined. */
HOSTCACHE_UNUSED static int HC_I(submit)(HC_CACHE *self, HC_BLOCK *block, HC_TALLY *tally,
                                         int may_poll) {
  uint32_t i, untold = 0, queued;
  int failed = 0, over = 0;
  queued = HC_I(record_uses)(self, block, tally, &untold, &failed);
  if (block->unknown_uses) {
#if HC_HAS_STREAMS
    tally->hooks++;
    over = !tally->no_wait && HC_I(unknown_over)(self, block);
#endif
    if (!over) {
      untold++;
      failed = 1;
      HC_I(tell)(self, HOSTCACHE_ERR_EVENT, 0,
                 "a use that found no memory when it was recorded cannot be told: quarantined",
                 block->ptr);
    }
  }
  if (queued == 0 && untold == 0) { /* all were waited for */
    HC_I(make_ready)(self, block);
    tally->ready++;
    return failed ? -1 : 0;
  }
  hostcache_lock(block->lock);
  block->outstanding = queued + 1; /* the one keeps it from getting ready while uses are pushed */
  block->pushing = 1;
  block->unknown_uses = 0;
  block->unknown_over = 0;
  HC_I(turn)(self, block, untold ? HOSTCACHE_QUARANTINED : HOSTCACHE_WAITING);
  hostcache_unlock(block->lock);

  for (i = 0; i < block->use_count; i++) {
    HC_USE *use = HC_I(use_at)(block, i);
    HC_QUEUE *queue = use->queue ? use->queue : &self->loose;
    if (use->fate != HOSTCACHE_FATE_QUEUED) continue;
    if (!HC_I(queue_push)(self, queue, use, may_poll)) continue;
    if (queue == &self->loose) {
      HC_I(poll_loose)(self, HC_LOOSE_PER_POLL, tally);
    } else {
      HC_I(poll_queue)(self, queue, tally);
    }
  }
  if (HC_I(complete)(self, block, NULL)) tally->ready++;
  return failed ? -1 : 0;
}

/* Submits the blocks that free_deferred left, oldest first. Does not poll: the callers do, as they
   need. */
HOSTCACHE_UNUSED static void HC_I(drain_deferred)(HC_CACHE *self, HC_TALLY *tally) {
  HC_BLOCK *stack, *oldest = NULL, *next;
  if (!hostcache_ptr_load_acquire(&self->deferred)) return;
  stack = (HC_BLOCK *)hostcache_ptr_exchange_acquire(&self->deferred, NULL);
  for (; stack; stack = next) {
    next = stack->next;
    stack->next = oldest;
    oldest = stack;
  }
  for (; oldest; oldest = next) {
    next = oldest->next;
    oldest->next = NULL;
    if (HC_I(submit)(self, oldest, tally, 0)) tally->failed = 1;
  }
}

HOSTCACHE_UNUSED static void HC_I(push_deferred)(HC_CACHE *self, HC_BLOCK *block) {
  void *top = hostcache_ptr_load_acquire(&self->deferred);
  do {
    block->next = (HC_BLOCK *)top;
  } while (!hostcache_ptr_replace_release(&self->deferred, &top, block));
}

/* Must a hook be called before the block can wait? Its lock is held. */
HOSTCACHE_UNUSED static int HC_I(needs_hook)(HC_BLOCK *block) {
  uint32_t i;
  for (i = 0; i < block->use_count; i++)
    if (HC_I(use_at)(block, i)->kind == HOSTCACHE_USE_STREAM) return 1;
  return block->unknown_uses != 0;
}

/* Frees a block. Its lock is held, and is released here. */
HOSTCACHE_UNUSED static hostcache_result HC_I(put)(HC_CACHE *self, HC_BLOCK *block, int deferred) {
  HC_TALLY tally = {0, 0, 0, 0};
  int has_use;
  if (deferred && HC_I(needs_hook)(block)) {
    HC_I(turn)(self, block, HOSTCACHE_DEFERRED);
    hostcache_unlock(block->lock);
    HC_I(push_deferred)(self, block);
    return HOSTCACHE_OK;
  }
  HC_I(turn)(self, block, HOSTCACHE_FREEING);
  has_use = block->use_count > 0 || block->unknown_uses > 0;
  hostcache_unlock(block->lock);
  if (!has_use) {
    HC_I(make_ready)(self, block);
    return HOSTCACHE_OK;
  }
  return HC_I(submit)(self, block, &tally, !deferred) ? HOSTCACHE_ERR_EVENT : HOSTCACHE_OK;
}

/* Waiting. */

/* Is a block pending, and not yet in all of its queues? *life tells this time from the next. */
HOSTCACHE_UNUSED static int HC_I(is_being_queued)(HC_BLOCK *block, size_t *life) {
  int is;
  hostcache_lock(block->lock);
  is = block->state == HOSTCACHE_DEFERRED || block->pushing;
  *life = block->life;
  hostcache_unlock(block->lock);
  return is;
}

/* The ticket that the last use pushed so far has. */
HOSTCACHE_UNUSED static uint64_t HC_I(last_ticket)(HC_CACHE *self) {
  uint64_t ticket;
  hostcache_lock(&self->stats_lock);
  ticket = self->tickets;
  hostcache_unlock(&self->stats_lock);
  return ticket;
}

/* Does a queue hold a use that was pushed up to that ticket? */
HOSTCACHE_UNUSED static int HC_I(queue_holds)(HC_QUEUE *queue, uint64_t ticket) {
  int holds;
  hostcache_lock(&queue->lock);
  holds = queue->head && queue->head->ticket <= ticket;
  hostcache_unlock(&queue->lock);
  return holds;
}

/* The same, of a pending block: not of a quarantined one, and no event alone. */
HOSTCACHE_UNUSED static int HC_I(queue_holds_pending)(HC_QUEUE *queue, uint64_t ticket) {
  const HC_USE *use;
  int holds = 0;
  hostcache_lock(&queue->lock);
  for (use = queue->head; use && use->ticket <= ticket && !holds; use = use->next) {
    if (!use->block) continue;
    hostcache_lock(use->block->lock);
    holds = use->block->state == HOSTCACHE_WAITING;
    hostcache_unlock(use->block->lock);
  }
  hostcache_unlock(&queue->lock);
  return holds;
}

/* A queue that does, or NULL. */
HOSTCACHE_UNUSED static HC_QUEUE *HC_I(queue_pending)(HC_CACHE *self, uint64_t ticket) {
  HC_QUEUE *queue = (HC_QUEUE *)hostcache_ptr_load_acquire(&self->queues);
  for (; queue; queue = queue->next)
    if (HC_I(queue_holds_pending)(queue, ticket)) return queue;
  return HC_I(queue_holds_pending)(&self->loose, ticket) ? &self->loose : NULL;
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
   has the queue. */
HOSTCACHE_UNUSED static int HC_I(wait_head)(HC_CACHE *self, HC_QUEUE *queue, uint64_t ticket,
                                            HC_TALLY *tally) {
  uint64_t last;
  HC_USE *use = HC_I(queue_claim)(queue, &last);
  int waited;
  if (!use) return 0;
  waited = use->ticket <= ticket && HC_I(wait_hook)(self, use, tally);
  HC_I(queue_unclaim)(queue);
  return waited;
}

#if HC_HAS_STREAMS

/* Forgetting a stream. First each mark of an active block is prepared for life without the handle:
   that may fail, and then all is undone and the stream goes on. Then, where the mode asks for it,
   what is pending is waited for. Then the marks are changed, which cannot fail; and last it waits
   for those threads that were freeing a marked block meanwhile, and may be in a hook. */

struct HC_I(forgetting) {
  struct HC_I(forgetting) *next; /* LOCK: streams_lock. In cache->forgets */
  HC_STREAM stream;
  HC_QUEUE *queue; /* of the stream, pinned, or NULL */
  HC_TALLY tally;
  int recorded;    /* timeline: the value of all work so far is in `target` */
  uint64_t target; /* timeline: the highest value that something waits for */
};

/* What is to be prepared on a block. */
struct HC_I(sighting) {
  int marked;  /* by the stream, without a value */
  int unknown; /* a use of the stream found no room */
  size_t life;
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

/* Did a use of the stream find no room on an active block? block->lock is held. */
HOSTCACHE_UNUSED static int HC_I(is_unknown_of)(HC_BLOCK *block, HC_STREAM stream) {
  return block->state == HOSTCACHE_ACTIVE && block->unknown_uses == 1 &&
         HC_I(same_stream)(block->unknown_stream, stream);
}

/* Is there something to prepare on a block? */
HOSTCACHE_UNUSED static int HC_I(see)(HC_BLOCK *block, struct HC_I(forgetting) *job,
                                      struct HC_I(sighting) *sight) {
  HC_USE *found;
  int active;
  hostcache_lock(block->lock);
  active = block->state == HOSTCACHE_ACTIVE;
  found = active ? HC_I(mark_of)(block, job->stream) : NULL;
  sight->marked = found && found->kind == HOSTCACHE_USE_STREAM && !found->early;
  sight->unknown = HC_I(is_unknown_of)(block, job->stream) && !block->unknown_over;
  sight->life = block->life;
  sight->ptr = block->ptr;
  if (found && found->value > job->target) job->target = found->value;
  if (sight->unknown && block->unknown_value > job->target) job->target = block->unknown_value;
  hostcache_unlock(block->lock);
  return sight->marked || sight->unknown;
}

/* Notes what the marks of a block become. Returns `alone` if it was not needed, as the block was
   freed meanwhile, and perhaps handed out again. */
HOSTCACHE_UNUSED static HC_USE *HC_I(prepare)(HC_BLOCK *block, struct HC_I(forgetting) *job,
                                              const struct HC_I(sighting) *sight, int early,
                                              HC_USE *alone) {
  HC_USE *found = NULL;
  hostcache_lock(block->lock);
  if (block->state == HOSTCACHE_ACTIVE && block->life == sight->life) {
    if (sight->marked) found = HC_I(mark_of)(block, job->stream);
    if (found && !found->early) {
      found->early = (uint8_t)early;
      found->early_event = alone;
      alone = NULL;
    }
    if (sight->unknown && early == HOSTCACHE_EARLY_OVER) block->unknown_over = 1;
  }
  hostcache_unlock(block->lock);
  return alone;
}

#if HC_HAS_TIMELINE

/* The first step, for one block. */
HOSTCACHE_UNUSED static hostcache_result HC_I(forget_prepare)(HC_CACHE *self, HC_BLOCK *block,
                                                              struct HC_I(forgetting) *job) {
  struct HC_I(sighting) sight;
  HOSTCACHE_LOCAL(HC_USE, made);
  if (!HC_I(see)(block, job, &sight)) return HOSTCACHE_OK;
  if (!job->recorded) {
    memset((void *)made, 0, sizeof *made);
    made->stream = job->stream;
    if (!HC_I(use_record)(self, job->queue, made, sight.ptr) &&
        !HC_I(wait_stream)(self, job->stream, sight.ptr))
      return HOSTCACHE_ERR_EVENT;
    job->recorded = 1;
    if (made->value > job->target) job->target = made->value;
  }
  (void)HC_I(prepare)(block, job, &sight, HOSTCACHE_EARLY_OVER, NULL);
  return HOSTCACHE_OK;
}

#else

HOSTCACHE_UNUSED static hostcache_result HC_I(forget_prepare)(HC_CACHE *self, HC_BLOCK *block,
                                                              struct HC_I(forgetting) *job) {
  struct HC_I(sighting) sight;
  HC_USE *alone;
  int recorded, over = 0;
  if (!HC_I(see)(block, job, &sight)) return HOSTCACHE_OK;
#ifdef HC_STREAM_WAIT
  over = sight.unknown;
  if (over && !HC_I(wait_stream)(self, job->stream, sight.ptr)) return HOSTCACHE_ERR_EVENT;
#else
  if (!sight.marked) return HOSTCACHE_OK; /* its free calls no hook: it quarantines the block */
#endif
  if (over) {
    (void)HC_I(prepare)(block, job, &sight, HOSTCACHE_EARLY_OVER, NULL);
    return HOSTCACHE_OK;
  }
  alone = (HC_USE *)HOSTCACHE_MALLOC(sizeof *alone);
  if (!alone) {
    HC_I(tell)(self, HOSTCACHE_ERR_NO_METADATA, 0,
               "HOSTCACHE_MALLOC had no memory to forget a stream: it is not forgotten", sight.ptr);
    return HOSTCACHE_ERR_NO_METADATA;
  }
  memset((void *)alone, 0, sizeof *alone);
  alone->stream = job->stream;
  recorded = HC_I(use_record)(self, job->queue, alone, sight.ptr);
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
  alone = HC_I(prepare)(block, job, &sight,
                        over ? HOSTCACHE_EARLY_OVER : HOSTCACHE_EARLY_EVENT, alone);
  HC_I(event_leave)(self, alone);
  return HOSTCACHE_OK;
}

#endif

/* Undoes that. */
HOSTCACHE_UNUSED static void HC_I(forget_undo)(HC_CACHE *self, HC_BLOCK *block,
                                               struct HC_I(forgetting) *job) {
  HC_USE *found, *alone = NULL;
  hostcache_lock(block->lock);
  found = block->state == HOSTCACHE_ACTIVE ? HC_I(mark_of)(block, job->stream) : NULL;
  if (found) {
    alone = found->early_event;
    found->early = HOSTCACHE_EARLY_NONE;
    found->early_event = NULL;
  }
  if (HC_I(is_unknown_of)(block, job->stream)) block->unknown_over = 0;
  hostcache_unlock(block->lock);
  HC_I(event_leave)(self, alone);
}

/* Changes what was prepared. In timeline mode the stream has reached job->target. */
HOSTCACHE_UNUSED static void HC_I(forget_commit)(HC_BLOCK *block, struct HC_I(forgetting) *job) {
  HC_USE *found, *last, *alone = NULL;
  hostcache_lock(block->lock);
  found = block->state == HOSTCACHE_ACTIVE ? HC_I(mark_of)(block, job->stream) : NULL;
  if (found && found->early == HOSTCACHE_EARLY_EVENT) {
    alone = found->early_event;
    found->kind = HOSTCACHE_USE_EVENT;
    found->event = alone->event;
    found->has_event = alone->has_event;
    found->early = HOSTCACHE_EARLY_NONE;
    found->early_event = NULL;
  } else if (found && found->value <= job->target &&
             (found->early == HOSTCACHE_EARLY_OVER || found->kind == HOSTCACHE_USE_VALUE)) {
    last = HC_I(use_at)(block, --block->use_count);
    if (found != last) *found = *last;
  }
  if (HC_I(is_unknown_of)(block, job->stream) && block->unknown_over) {
    block->unknown_uses = 0;
    block->unknown_over = 0;
  }
  hostcache_unlock(block->lock);
  if (alone) HOSTCACHE_FREE(alone);
}

/* Is a thread recording the uses of this block, and may it be on the stream? */
HOSTCACHE_UNUSED static int HC_I(is_recording)(HC_BLOCK *block, struct HC_I(forgetting) *job) {
  int is;
  hostcache_lock(block->lock);
  is = block->state == HOSTCACHE_FREEING || block->state == HOSTCACHE_DEFERRED || block->pushing;
  is = is && (HC_I(mark_of)(block, job->stream) ||
              (block->unknown_uses == 1 && HC_I(same_stream)(block->unknown_stream, job->stream)));
  hostcache_unlock(block->lock);
  return is;
}

/* Does anything wait, pushed up to that ticket, that may still ask the stream? */
HOSTCACHE_UNUSED static int HC_I(waits_on)(HC_CACHE *self, struct HC_I(forgetting) *job,
                                           uint64_t ticket) {
  HC_USE *use;
  int found;
  if (job->queue && HC_I(queue_holds)(job->queue, ticket)) return 1;
  hostcache_lock(&self->loose.lock);
  use = self->loose.head;
  while (use && (use->kind == HOSTCACHE_USE_EVENT ||
                 !HC_I(same_stream)(use->stream, job->stream)))
    use = use->next;
  found = use && use->ticket <= ticket;
  hostcache_unlock(&self->loose.lock);
  return found;
}

/* Waits until nothing does. */
HOSTCACHE_UNUSED static void HC_I(wait_queued)(HC_CACHE *self, struct HC_I(forgetting) *job,
                                               uint64_t ticket) {
  unsigned attempt;
  for (attempt = 0; HC_I(waits_on)(self, job, ticket); attempt++) {
    if (job->queue && !job->tally.no_wait && HC_I(queue_holds)(job->queue, ticket))
      (void)HC_I(wait_head)(self, job->queue, ticket, &job->tally);
    if (job->queue) HC_I(poll_queue)(self, job->queue, &job->tally);
    HC_I(poll_loose)(self, HC_LOOSE_PER_POLL, &job->tally);
    if (attempt > 0) hostcache_pause(attempt);
  }
}

/* The second step: waits for what is pending on the stream, and for what active blocks wait for. */
HOSTCACHE_UNUSED static hostcache_result HC_I(forget_wait)(HC_CACHE *self,
                                                           struct HC_I(forgetting) *job) {
  HOSTCACHE_LOCAL(HC_USE, last);
  if (!HC_HAS_TIMELINE && !self->config.streams_die_idle) return HOSTCACHE_OK;
  HC_I(wait_queued)(self, job, HC_I(last_ticket)(self));
  if (HC_HAS_TIMELINE && job->target > 0) {
    memset((void *)last, 0, sizeof *last);
    last->stream = job->stream;
    last->value = job->target;
    if (!HC_I(wait_use)(self, last, &job->tally)) return HOSTCACHE_ERR_EVENT;
  }
  return job->tally.failed ? HOSTCACHE_ERR_EVENT : HOSTCACHE_OK;
}

/* One thread at a time forgets a stream, since what it has prepared is its own: waits until no
   other one does. */
HOSTCACHE_UNUSED static void HC_I(forget_begin)(HC_CACHE *self, struct HC_I(forgetting) *job) {
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

HOSTCACHE_UNUSED static void HC_I(forget_end)(HC_CACHE *self, struct HC_I(forgetting) *job) {
  struct HC_I(forgetting) **at;
  hostcache_lock(&self->streams_lock);
  for (at = &self->forgets; *at != job;) at = &(*at)->next;
  *at = job->next;
  hostcache_unlock(&self->streams_lock);
}

HOSTCACHE_UNUSED static hostcache_result HC_I(forget)(HC_CACHE *self,
                                                      struct HC_I(forgetting) *job) {
  HC_TALLY of_others = {0, 0, 0, 0}; /* what fails there is not this call's, and on_error hears */
  hostcache_result result = HOSTCACHE_OK;
  HC_SLAB *slab;
  HC_BLOCK *block;
  unsigned i, attempt;
  int busy = 1;

  HC_I(drain_deferred)(self, &of_others);
  for (slab = NULL, i = 0; (block = HC_I(next_block)(self, &slab, &i)) != NULL;) {
    result = HC_I(forget_prepare)(self, block, job);
    if (result != HOSTCACHE_OK) break;
  }
  if (result == HOSTCACHE_OK) result = HC_I(forget_wait)(self, job);
  if (result != HOSTCACHE_OK) {
    for (slab = NULL, i = 0; (block = HC_I(next_block)(self, &slab, &i)) != NULL;)
      HC_I(forget_undo)(self, block, job);
    return result;
  }
  for (slab = NULL, i = 0; (block = HC_I(next_block)(self, &slab, &i)) != NULL;)
    HC_I(forget_commit)(block, job);

  for (attempt = 0; busy; attempt++) {
    busy = 0;
    HC_I(drain_deferred)(self, &of_others);
    for (slab = NULL, i = 0; (block = HC_I(next_block)(self, &slab, &i)) != NULL;)
      busy |= HC_I(is_recording)(block, job);
    if (busy) hostcache_pause(attempt);
  }
  if (HC_HAS_TIMELINE || self->config.streams_die_idle) HC_I(wait_queued)(self, job, UINT64_MAX);
  if (job->queue) HC_I(queue_leave)(self, job->queue);
  return HOSTCACHE_OK;
}

#endif /* HC_HAS_STREAMS */

/* Quarantine. */

/* Lets a quarantined block go on, now that the device is idle: a step at a time, as the events of
   its untold uses are ended without a lock. Non-zero: there is more to do. */
HOSTCACHE_UNUSED static int HC_I(release_step)(HC_CACHE *self, HC_BLOCK *block) {
  HOSTCACHE_LOCAL(HC_EVENT, event);
  int has_event = 0, ready = 0;
  uint32_t i;

  hostcache_lock(&self->segments_lock);
  hostcache_lock(block->lock);
  if (block->state == HOSTCACHE_QUARANTINED) {
    for (i = 0; i < block->use_count && !has_event; i++) {
      HC_USE *use = HC_I(use_at)(block, i);
      if (use->fate != HOSTCACHE_FATE_UNTOLD || !use->has_event) continue;
      memcpy((void *)event, (const void *)&use->event, sizeof *event);
      use->has_event = 0;
      has_event = 1;
    }
    ready = !has_event && block->outstanding == 0;
    if (ready)
      HC_I(block_ready)(self, block);
    else if (!has_event)
      HC_I(turn)(self, block, HOSTCACHE_WAITING);
  }
  hostcache_unlock(block->lock);
  if (ready) HC_I(coalesce)(self, block);
  hostcache_unlock(&self->segments_lock);
  if (has_event) HC_I(event_destroy)(self, event);
  return has_event;
}

/* ---- 12. PUBLIC ---------------------------------------------------------------------------------
   In the order of section 4, which says what they promise. */

#ifdef __cplusplus
extern "C" {
#endif

/* The i-th lock that a cache holds itself, with its rank, or NULL after the last. */
HOSTCACHE_UNUSED static hostcache_mutex *HC_I(lock_by_number)(HC_CACHE *self, unsigned i,
                                                              unsigned *rank) {
  *rank = HOSTCACHE_RANK_BLOCK;
  if (i < HC_BLOCK_LOCKS) return &self->block_locks[i];
  i -= HC_BLOCK_LOCKS;
  *rank = i == 0   ? HOSTCACHE_RANK_CHECK
          : i == 1 ? HOSTCACHE_RANK_STREAMS
          : i == 2 ? HOSTCACHE_RANK_QUEUE
          : i == 3 ? HOSTCACHE_RANK_SEGMENTS
                   : HOSTCACHE_RANK_STATS;
  return i == 0   ? &self->check_lock
         : i == 1 ? &self->streams_lock
         : i == 2 ? &self->loose.lock
         : i == 3 ? &self->segments_lock
         : i == 4 ? &self->stats_lock
                  : NULL;
}

/* Frees the bookkeeping. Nobody uses the cache any more. */
HOSTCACHE_UNUSED static void HC_I(dispose)(HC_CACHE *self) {
  HC_QUEUE *queue = (HC_QUEUE *)self->queues, *next_queue;
  HC_SLAB *slab = (HC_SLAB *)self->slabs, *next_slab;
  HC_USE *use, *next_use;
  unsigned i, rank;
  for (; queue; queue = next_queue) {
    next_queue = queue->next;
    if (queue->pool) HOSTCACHE_FREE(queue->pool);
    hostcache_mutex_destroy(&queue->lock);
    HOSTCACHE_FREE(queue);
  }
  for (use = self->loose.head; use; use = next_use) {
    next_use = use->next;
    if (!use->block) HOSTCACHE_FREE(use);
  }
  for (use = self->untold; use; use = next_use) {
    next_use = use->next;
    HOSTCACHE_FREE(use);
  }
  for (; slab; slab = next_slab) {
    next_slab = slab->next;
    for (i = 0; i < HC_RECORDS; i++)
      if (slab->blocks[i].more) HOSTCACHE_FREE(slab->blocks[i].more);
    HOSTCACHE_FREE(slab);
  }
  hostcache_index_dispose(&self->index, &self->stock.shelves);
  for (i = 0; i < self->locks_made; i++)
    hostcache_mutex_destroy(HC_I(lock_by_number)(self, i, &rank));
  HOSTCACHE_FREE(self);
}

/* The bound that max_cached_bytes stands for: 0 is none, and HOSTCACHE_NONE is nothing. */
HOSTCACHE_UNUSED static size_t HC_I(cached_bound)(size_t max_cached_bytes) {
  if (max_cached_bytes == 0) return SIZE_MAX;
  return max_cached_bytes == HOSTCACHE_NONE ? 0 : max_cached_bytes;
}

/* Fills in the defaults. ARGUMENT for what contradicts itself, UNSUPPORTED for what is not built
   yet. */
HOSTCACHE_UNUSED static hostcache_result HC_I(configure)(hostcache_config *config) {
  const size_t most = (size_t)PTRDIFF_MAX / 2;
  size_t unit;
  if (config->alignment == 0) config->alignment = 512;
  if (config->query_error_limit == 0) config->query_error_limit = 3;
  if (config->max_segment_bytes == 0) config->max_segment_bytes = SIZE_MAX;
  if (config->max_split_size == 0) config->max_split_size = SIZE_MAX;
  if (config->class_max_bytes == 0) config->class_max_bytes = (size_t)1 << 20;
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
  if (config->thread_cache_bytes && config->thread_cache_bytes != HOSTCACHE_NONE)
    return HOSTCACHE_ERR_UNSUPPORTED;

  if (config->max_split_size < unit * config->class_steps) /* below, classes are no whole pages */
    config->max_split_size = unit * config->class_steps;
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
HOSTCACHE_UNUSED static hostcache_result HC_I(reserve_segment)(HC_CACHE *self) {
  const size_t size = self->config.reserve_segment_bytes;
  hostcache_result result;
  hostcache_status status;
  HC_BLOCK *range = NULL;
  HC_STOCK stock;
  hostcache_lock(&self->segments_lock);
  if (!HC_I(stock_for_segment)(self, &stock)) return HOSTCACHE_ERR_NO_METADATA;
  self->claimed = size;
  hostcache_unlock(&self->segments_lock);
  result = HC_I(segment_get)(self, size, HOSTCACHE_KIND_RESERVE, &stock, &range, &status);
  if (result == HOSTCACHE_ERR_OUT_OF_MEMORY)
    HC_I(tell)(self, result, status.code, "HC_MEM_ALLOC failed for reserve_segment_bytes", NULL);
  if (result != HOSTCACHE_OK) hostcache_lock(&self->segments_lock);
  self->wanted = size;
  HC_I(stock_return)(self, &stock);
  hostcache_unlock(&self->segments_lock);
  if (result == HOSTCACHE_OK) HC_I(make_ready)(self, range);
  return result;
}

/* Lowers the cap to the part of the budget that the config asks for. Before any other thread knows
   of the cache. */
HOSTCACHE_UNUSED static hostcache_result HC_I(bound_by_budget)(HC_CACHE *self) {
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
HOSTCACHE_UNUSED static hostcache_result HC_I(enter)(const HC_CACHE *self) {
  if (!self) return HOSTCACHE_ERR_ARGUMENT;
  if (self->process != hostcache_process()) return HOSTCACHE_ERR_FORKED;
  return HOSTCACHE_OK;
}

HC_PUBLIC hostcache_result HC_FN(create)(HC_CACHE **out, const hostcache_config *given,
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
  self->stats.max_split_size =
      config.max_split_size > (size_t)PTRDIFF_MAX ? INT64_MAX : (int64_t)config.max_split_size;
  self->max_reserved = config.max_reserved_bytes ? config.max_reserved_bytes : SIZE_MAX;
  self->max_cached = HC_I(cached_bound)(config.max_cached_bytes);
  hostcache_index_init(&self->index, config.alignment);
  while ((lock = HC_I(lock_by_number)(self, self->locks_made, &rank)) != NULL) {
    if (hostcache_mutex_init(lock, rank)) {
      HC_I(dispose)(self);
      return HOSTCACHE_ERR_NO_METADATA;
    }
    self->locks_made++;
  }
  if (config.max_reserved_percent) result = HC_I(bound_by_budget)(self);
  if (result == HOSTCACHE_OK && config.reserve_segment_bytes)
    result = HC_I(reserve_segment)(self);
  if (result != HOSTCACHE_OK) {
    HC_I(dispose)(self);
    return result;
  }
  *out = self;
  return HOSTCACHE_OK;
}

HC_PUBLIC hostcache_result HC_FN(destroy)(HC_CACHE *self) {
  hostcache_result result = HC_I(enter)(self);
  HC_TALLY tally = {0, 0, 0, 0};
  HC_QUEUE *queue;
  HC_USE *use;
  int64_t in_use, left;
  if (result != HOSTCACHE_OK) return result;

  HC_I(drain_deferred)(self, &tally);
  HC_I(poll)(self, SIZE_MAX, &tally);
  hostcache_lock(&self->stats_lock);
  in_use = self->stats.active.current - self->stats.quarantined.current;
  hostcache_unlock(&self->stats_lock);
  if (in_use > 0) return HOSTCACHE_ERR_BUSY;

  (void)HC_I(bins_trim)(self, 0, UINT64_MAX);
  for (queue = (HC_QUEUE *)self->queues; queue; queue = queue->next)
    while (queue->pool_count > 0) HC_I(event_destroy)(self, &queue->pool[--queue->pool_count]);
  left = self->stats.segment.current;
  for (use = self->loose.head; use; use = use->next) left += !use->block;
  if (self->untold) left++;
  HC_I(dispose)(self);
  return left > 0 ? HOSTCACHE_ERR_LEAKED : HOSTCACHE_OK;
}

HC_PUBLIC void HC_FN(abandon)(HC_CACHE *self) {
  if (HC_I(enter)(self) == HOSTCACHE_OK) HC_I(dispose)(self);
}

/* Has the time run out? UINT64_MAX never does. */
HOSTCACHE_UNUSED static int HC_I(is_late)(uint64_t began_ns, uint64_t timeout_ns) {
  return timeout_ns != UINT64_MAX && hostcache_now_ns() - began_ns >= timeout_ns;
}

/* The two locks that guard the figures. */
HOSTCACHE_UNUSED static void HC_I(stats_lock_all)(HC_CACHE *self) {
  hostcache_lock(&self->segments_lock);
  hostcache_lock(&self->stats_lock);
}

HOSTCACHE_UNUSED static void HC_I(stats_unlock_all)(HC_CACHE *self) {
  hostcache_unlock(&self->stats_lock);
  hostcache_unlock(&self->segments_lock);
}

/* What an allocation may still hope for. */
HC_HOPES {
  uint64_t gains; /* as cache->gains */
  int more;       /* something is pending, or on its way back to the runtime */
};

HOSTCACHE_UNUSED static HC_HOPES HC_I(look_ahead)(HC_CACHE *self) {
  HC_HOPES hopes;
  HC_I(stats_lock_all)(self);
  hopes.gains = self->gains;
  hopes.more = self->returning > 0 || self->stats.pending.current > 0;
  HC_I(stats_unlock_all)(self);
  return hopes;
}

/* There was no memory, or it would be above the cap. In order of cost: what asking everything that
   waits makes ready; new memory, after what is idle was given back; and then the same again, each
   time that something has become ready or has gone back, whoever did it, for as long as the config
   says. (Not longer: what is awaited may be a hook that this call is made from.) */
HOSTCACHE_UNUSED static hostcache_result HC_I(reclaim)(HC_CACHE *self, size_t size,
                                                       size_t requested, unsigned state,
                                                       HC_BLOCK **out, hostcache_status *status,
                                                       HC_TALLY *tally) {
  const uint64_t wait_ns = self->config.wait_on_limit_ns;
  uint64_t began = wait_ns ? hostcache_now_ns() : 0, tried = 0;
  hostcache_result result = HOSTCACHE_ERR_LIMIT, taken;
  unsigned attempt;
  int retried = 0;
  for (attempt = 0;; attempt++) {
    HC_HOPES hopes;
    HC_I(drain_deferred)(self, tally);
    HC_I(poll)(self, SIZE_MAX, tally);
    hopes = HC_I(look_ahead)(self); /* before the look, so that nothing comes unseen after it */
    taken = HC_I(bin_take)(self, size, requested, state, out);
    if (*out || taken != HOSTCACHE_OK) return taken;
    if (attempt == 0 || hopes.gains != tried) {
      do {
        if (status->outcome == HOSTCACHE_NO_MEMORY) {
          if (!retried) HC_I(count)(self, &self->stats.num_alloc_retries);
          retried = 1;
          (void)HC_I(bins_trim)(self, 0, UINT64_MAX);
        }
        result = HC_I(grow)(self, size, requested, state, out, status, tally);
        if (result != HOSTCACHE_ERR_LIMIT && status->outcome != HOSTCACHE_NO_MEMORY) return result;
      } while (status->outcome == HOSTCACHE_NO_MEMORY && !retried);
      tried = hopes.gains;
    }
    if (!hopes.more || wait_ns == 0 || HC_I(is_late)(began, wait_ns)) break;
    hostcache_pause(attempt);
  }
  if (status->outcome == HOSTCACHE_NO_MEMORY) HC_I(count)(self, &self->stats.num_ooms);
  return result;
}

/* Gets a block, ACTIVE or LEAVING, of a size that block_size_for gave. In order of cost: what is
   ready; what a poll makes ready; new memory; and, if there is none, what reclaim gets. */
HOSTCACHE_UNUSED static hostcache_result HC_I(get)(HC_CACHE *self, size_t size, size_t requested,
                                                   unsigned state, HC_BLOCK **out,
                                                   HC_TALLY *tally) {
  hostcache_result result;
  hostcache_status status;
  result = HC_I(bin_take)(self, size, requested, state, out);
  if (*out || result != HOSTCACHE_OK) return result;
  HC_I(drain_deferred)(self, tally);
  HC_I(poll)(self, HC_LOOSE_PER_POLL, tally);
  result = HC_I(bin_take)(self, size, requested, state, out);
  if (*out || result != HOSTCACHE_OK) return result;
  result = HC_I(grow)(self, size, requested, state, out, &status, tally);
  if (result == HOSTCACHE_ERR_LIMIT || status.outcome == HOSTCACHE_NO_MEMORY)
    result = HC_I(reclaim)(self, size, requested, state, out, &status, tally);
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

/* Both forms of alloc. */
HOSTCACHE_UNUSED static hostcache_result HC_I(get_active)(HC_CACHE *self, size_t requested,
                                                          HC_BLOCK **out) {
  HC_TALLY tally = {0, 0, 0, 0};
  hostcache_result result = HOSTCACHE_ERR_TOO_BIG;
  size_t size;
  if (requested == 0) return HOSTCACHE_OK;
  size = HC_I(block_size_for)(self, requested);
  if (size) result = HC_I(get)(self, size, requested, HOSTCACHE_ACTIVE, out, &tally);
  hostcache_lock(&self->stats_lock);
  if (result != HOSTCACHE_OK)
    self->stats.last_failed_bytes =
        requested > (size_t)PTRDIFF_MAX ? INT64_MAX : (int64_t)requested;
  else if (tally.hooks)
    self->stats.num_misses++;
  else
    self->stats.num_hits++;
  hostcache_unlock(&self->stats_lock);
  if (tally.hooks) (void)HC_I(bins_shed)(self); /* what the poll made ready */
  return result;
}

HC_PUBLIC hostcache_result HC_FN(alloc)(HC_CACHE *self, size_t size, void **ptr) {
  hostcache_result result;
  HC_BLOCK *block = NULL;
  if (!ptr) return HOSTCACHE_ERR_ARGUMENT;
  *ptr = NULL;
  result = HC_I(enter)(self);
  if (result == HOSTCACHE_OK) result = HC_I(get_active)(self, size, &block);
  if (block) *ptr = block->ptr;
  return result;
}

HC_PUBLIC hostcache_result HC_FN(block_alloc)(HC_CACHE *self, size_t size, HC_BLOCK **block) {
  hostcache_result result;
  if (!block) return HOSTCACHE_ERR_ARGUMENT;
  *block = NULL;
  result = HC_I(enter)(self);
  return result == HOSTCACHE_OK ? HC_I(get_active)(self, size, block) : result;
}

#if HC_HAS_STREAMS

/* The uses by stream, in all their forms. */
HOSTCACHE_UNUSED static hostcache_result HC_I(record_mark)(HC_CACHE *self, HC_BLOCK *block,
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

HC_PUBLIC hostcache_result HC_FN(record_stream)(HC_CACHE *self, void *ptr, HC_STREAM stream) {
  return HC_I(record_mark)(self, NULL, ptr, stream, HOSTCACHE_USE_STREAM, 0);
}

HC_PUBLIC hostcache_result HC_FN(block_record_stream)(HC_CACHE *self, HC_BLOCK *block,
                                                      HC_STREAM stream) {
  return HC_I(record_mark)(self, block, NULL, stream, HOSTCACHE_USE_STREAM, 0);
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

/* All forms of free. */
HOSTCACHE_UNUSED static hostcache_result HC_I(free_any)(HC_CACHE *self, HC_BLOCK *handle,
                                                        const void *ptr, int deferred) {
  hostcache_result result = HC_I(enter)(self);
  HC_BLOCK *block;
  if (result != HOSTCACHE_OK || (!handle && !ptr)) return result;
  if (!deferred && hostcache_ptr_load_acquire(&self->deferred)) {
    HC_TALLY tally = {0, 0, 0, 0};
    HC_I(drain_deferred)(self, &tally); /* on_error hears what fails: not this block's result */
  }
  block = handle ? HC_I(lock_handle)(self, handle) : HC_I(lock_at)(self, ptr);
  if (!block) return HOSTCACHE_ERR_NOT_FOUND;
  if (block->state == HOSTCACHE_ACTIVE && (handle || block->ptr == ptr)) {
    result = HC_I(put)(self, block, deferred);
    if (!deferred) (void)HC_I(bins_shed)(self);
    return result;
  }
  if (block->state == HOSTCACHE_LEAKED || (block->state == HOSTCACHE_SPARE && !block->merged) ||
      (!handle && block->ptr != ptr))
    result = HOSTCACHE_ERR_NOT_FOUND;
  else
    result = HOSTCACHE_ERR_DOUBLE_FREE;
  hostcache_unlock(block->lock);
  return result;
}

HC_PUBLIC hostcache_result HC_FN(free)(HC_CACHE *self, void *ptr) {
  return HC_I(free_any)(self, NULL, ptr, 0);
}

HC_PUBLIC hostcache_result HC_FN(free_deferred)(HC_CACHE *self, void *ptr) {
  return HC_I(free_any)(self, NULL, ptr, 1);
}

HC_PUBLIC hostcache_result HC_FN(block_free)(HC_CACHE *self, HC_BLOCK *block) {
  return HC_I(free_any)(self, block, NULL, 0);
}

HC_PUBLIC hostcache_result HC_FN(block_free_deferred)(HC_CACHE *self, HC_BLOCK *block) {
  return HC_I(free_any)(self, block, NULL, 1);
}

HC_PUBLIC void *HC_FN(block_ptr)(const HC_BLOCK *block) { return block ? block->ptr : NULL; }

HC_PUBLIC size_t HC_FN(block_size)(const HC_BLOCK *block) { return block ? block->size : 0; }

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
  HC_TALLY tally = {0, 0, 0, 0};
  if (blocks_made_ready) *blocks_made_ready = 0;
  if (result != HOSTCACHE_OK) return result;
  tally.no_wait = 1; /* never blocks: what cannot be recorded is quarantined */
  HC_I(drain_deferred)(self, &tally);
  HC_I(poll)(self, HC_LOOSE_PER_POLL, &tally);
  (void)HC_I(bins_shed)(self);
  if (blocks_made_ready) *blocks_made_ready = tally.ready;
  return tally.failed ? HOSTCACHE_ERR_EVENT : HOSTCACHE_OK;
}

/* Waits until every block that other threads are queueing at the call stands in its queues. Returns
   the last ticket of what was pending at the call; *late: the time ran out before. */
HOSTCACHE_UNUSED static uint64_t HC_I(settle)(HC_CACHE *self, HC_TALLY *tally, uint64_t began_ns,
                                              uint64_t timeout_ns, int *late) {
  uint64_t ticket = HC_I(last_ticket)(self);
  size_t life, seen;
  HC_SLAB *slab = NULL;
  HC_BLOCK *block;
  unsigned i = 0, attempt;
  *late = 0;
  while ((block = HC_I(next_block)(self, &slab, &i)) != NULL) {
    if (!HC_I(is_being_queued)(block, &life)) continue;
    for (attempt = 0, seen = life; seen == life; attempt++) {
      HC_I(drain_deferred)(self, tally);
      if (!HC_I(is_being_queued)(block, &seen)) break;
      *late = HC_I(is_late)(began_ns, timeout_ns);
      if (*late) return ticket;
      hostcache_pause(attempt);
    }
    ticket = HC_I(last_ticket)(self);
  }
  return ticket;
}

HC_PUBLIC hostcache_result HC_FN(synchronize)(HC_CACHE *self, uint64_t timeout_ns) {
  hostcache_result result = HC_I(enter)(self);
  HC_TALLY tally = {0, 0, 0, 0};
  uint64_t ticket, began;
  HC_QUEUE *queue;
  unsigned attempt;
  int late;
  if (result != HOSTCACHE_OK) return result;

  HC_I(count)(self, &self->stats.num_sync_all_streams);
  began = hostcache_now_ns();
  HC_I(drain_deferred)(self, &tally);
  ticket = HC_I(settle)(self, &tally, began, timeout_ns, &late);
  for (attempt = 0;; attempt++) {
    HC_I(poll)(self, SIZE_MAX, &tally);
    queue = HC_I(queue_pending)(self, ticket);
    (void)HC_I(bins_shed)(self);
    if (late) return HOSTCACHE_ERR_TIMEOUT;
    if (!queue) return tally.failed ? HOSTCACHE_ERR_EVENT : HOSTCACHE_OK;
    if (HC_I(is_late)(began, timeout_ns)) return HOSTCACHE_ERR_TIMEOUT;
    if (timeout_ns == UINT64_MAX && !tally.no_wait && queue != &self->loose &&
        HC_I(wait_head)(self, queue, ticket, &tally))
      continue; /* not the loose queue: its claim would hold back events of other streams */
    hostcache_pause(attempt);
  }
}

/* Polls, and then gives back what has been idle for so long, down to `keep` bytes. */
HOSTCACHE_UNUSED static hostcache_result HC_I(trim)(HC_CACHE *self, size_t keep,
                                                    uint64_t idle_ns) {
  HC_TALLY tally = {0, 0, 0, 0};
  uint64_t before = UINT64_MAX;
  HC_I(drain_deferred)(self, &tally);
  HC_I(poll)(self, SIZE_MAX, &tally);
  if (idle_ns > 0) {
    before = hostcache_now_ns(); /* after the poll, which makes idle what is not old */
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
  HC_BLOCK *got = NULL, *block;
  HC_TALLY tally = {0, 0, 0, 0};
  for (; count > 0 && result == HOSTCACHE_OK; count--) {
    block = NULL;
    result = may_grow ? HC_I(get)(self, size, requested, HOSTCACHE_LEAVING, &block, &tally)
                      : HC_I(bin_take)(self, size, requested, HOSTCACHE_LEAVING, &block);
    if (result == HOSTCACHE_OK && !block) result = HOSTCACHE_ERR_LIMIT;
    if (block) {
      block->next = got;
      got = block;
    }
  }
  hostcache_lock(&self->segments_lock);
  if (self->claimed > self->wanted) self->wanted = self->claimed;
  hostcache_unlock(&self->segments_lock);
  for (; got; got = block) {
    block = got->next;
    got->next = NULL;
    HC_I(make_ready)(self, got);
  }
  return result;
}

HC_PUBLIC hostcache_result HC_FN(reserve)(HC_CACHE *self, size_t size, size_t count) {
  hostcache_result result = HC_I(enter)(self);
  size_t each, bound;
  if (result != HOSTCACHE_OK || size == 0 || count == 0) return result;
  each = HC_I(block_size_for)(self, size);
  if (each == 0 || count > (size_t)PTRDIFF_MAX / each) return HOSTCACHE_ERR_TOO_BIG;
  hostcache_lock(&self->segments_lock);
  bound = self->max_cached;
  hostcache_unlock(&self->segments_lock);
  if (each * count > bound) return HOSTCACHE_ERR_LIMIT; /* it would go back at once */
  result = HC_I(set_aside)(self, each, size, count, 1);
  (void)HC_I(bins_shed)(self);
  if (result != HOSTCACHE_OK) return result;
  return HC_I(set_aside)(self, each, size, count, 0); /* is it there, after what had to go went? */
}

/* Sets one of the bounds, and gives back what is above it. */
HOSTCACHE_UNUSED static hostcache_result HC_I(set_bound)(HC_CACHE *self, size_t *bound,
                                                         size_t bytes) {
  hostcache_lock(&self->segments_lock);
  *bound = bytes;
  hostcache_u32_store_relaxed(&self->excess, 1);
  hostcache_unlock(&self->segments_lock);
  return HC_I(bins_shed)(self) ? HOSTCACHE_ERR_LEAKED : HOSTCACHE_OK;
}

HC_PUBLIC hostcache_result HC_FN(set_max_reserved_bytes)(HC_CACHE *self, size_t bytes) {
  hostcache_result result = HC_I(enter)(self);
  if (result != HOSTCACHE_OK) return result;
  return HC_I(set_bound)(self, &self->max_reserved, bytes ? bytes : SIZE_MAX);
}

HC_PUBLIC hostcache_result HC_FN(set_max_cached_bytes)(HC_CACHE *self, size_t bytes) {
  hostcache_result result = HC_I(enter)(self);
  if (result != HOSTCACHE_OK) return result;
  return HC_I(set_bound)(self, &self->max_cached, HC_I(cached_bound)(bytes));
}

#ifdef HC_STREAM_T
HC_PUBLIC hostcache_result HC_FN(forget_stream)(HC_CACHE *self, HC_STREAM stream) {
  hostcache_result result = HC_I(enter)(self);
  HOSTCACHE_LOCAL(struct HC_I(forgetting), job);
  if (result != HOSTCACHE_OK) return result;
  memset((void *)job, 0, sizeof *job);
  job->stream = stream;
  HC_I(forget_begin)(self, job);
  job->queue = HC_I(queue_pin)(self, stream);
  result = HC_I(forget)(self, job);
  HC_I(queue_unpin)(job->queue);
  HC_I(forget_end)(self, job);
  (void)HC_I(bins_shed)(self);
  return result;
}
#endif

HC_PUBLIC hostcache_result HC_FN(release_quarantine)(HC_CACHE *self) {
  hostcache_result result = HC_I(enter)(self);
  HC_SLAB *slab = NULL;
  HC_USE *alone, *next;
  HC_BLOCK *block;
  unsigned i = 0;
  if (result != HOSTCACHE_OK) return result;
  while ((block = HC_I(next_block)(self, &slab, &i)) != NULL)
    while (HC_I(release_step)(self, block)) continue;
  hostcache_lock(&self->loose.lock);
  alone = self->untold;
  self->untold = NULL;
  hostcache_unlock(&self->loose.lock);
  for (; alone; alone = next) {
    next = alone->next;
    HC_I(event_destroy)(self, &alone->event);
    HOSTCACHE_FREE(alone);
  }
  (void)HC_I(bins_shed)(self);
  return HOSTCACHE_OK;
}

HC_PUBLIC hostcache_result HC_FN(stats)(HC_CACHE *self, hostcache_stats *stats) {
  hostcache_result result;
  if (!stats) return HOSTCACHE_ERR_ARGUMENT;
  result = HC_I(enter)(self);
  if (result != HOSTCACHE_OK) return result;
  HC_I(stats_lock_all)(self);
  *stats = self->stats;
  HC_I(stats_unlock_all)(self);
  return HOSTCACHE_OK;
}

/* The i-th hostcache_stat of the figures, or NULL after the last: they stand one after the
   other. */
HOSTCACHE_UNUSED static hostcache_stat *HC_I(stat_by_number)(hostcache_stats *stats, unsigned i) {
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

HC_PUBLIC hostcache_result HC_FN(reset_accumulated_stats)(HC_CACHE *self) {
  hostcache_result result = HC_I(enter)(self);
  const hostcache_duration none = {0, 0, 0, 0};
  hostcache_stats *stats;
  hostcache_stat *stat;
  unsigned i;
  if (result != HOSTCACHE_OK) return result;
  stats = &self->stats;
  HC_I(stats_lock_all)(self);
  for (i = 0; (stat = HC_I(stat_by_number)(stats, i)) != NULL; i++)
    stat->allocated = stat->freed = 0;
  stats->mem_alloc_time = stats->mem_free_time = none;
  stats->num_alloc_retries = stats->num_ooms = stats->num_sync_all_streams = 0;
  stats->num_mem_alloc = stats->num_mem_free = 0;
  stats->num_event_record = stats->num_event_query = 0;
  stats->num_hits = stats->num_misses = 0;
  HC_I(stats_unlock_all)(self);
  return HOSTCACHE_OK;
}

HC_PUBLIC hostcache_result HC_FN(reset_peak_stats)(HC_CACHE *self) {
  hostcache_result result = HC_I(enter)(self);
  hostcache_stat *stat;
  unsigned i;
  if (result != HOSTCACHE_OK) return result;
  HC_I(stats_lock_all)(self);
  for (i = 0; (stat = HC_I(stat_by_number)(&self->stats, i)) != NULL; i++)
    stat->peak = stat->current;
  HC_I(stats_unlock_all)(self);
  return HOSTCACHE_OK;
}

HC_PUBLIC hostcache_result HC_FN(budget)(hostcache_budget *budget) {
  if (!budget) return HOSTCACHE_ERR_ARGUMENT;
  return hostcache_budget_read(budget, HOSTCACHE_BUDGET_ROOT) ? HOSTCACHE_OK
                                                              : HOSTCACHE_ERR_UNSUPPORTED;
}

/* ---- 13. CHECK ----------------------------------------------------------------------------------
   check looks at one structure after the other, each under its own lock, and then compares them.
   The comparison counts only if nothing changed since the first look; with other threads at work
   it is tried again. Each part returns the sentence of the first invariant that does not hold, or
   NULL. */

#define HC_CHECK_TRIES 16 /* comparisons before check is content with each structure by itself */

/* What check finds in the structures, to be compared. */
HC_FINDINGS {
  size_t indexed; /* segments in the index */
  size_t ready;   /* ranges in heaps */
  uint64_t changes;
};

/* Is a block in a state in which uses of it may be queued? Its lock is held. */
HOSTCACHE_UNUSED static int HC_I(is_waiting)(const HC_BLOCK *block) {
  return block->state == HOSTCACHE_WAITING || block->state == HOSTCACHE_QUARANTINED;
}

/* What one block says of itself, whatever the rest. Its lock is held. */
HOSTCACHE_UNUSED static const char *HC_I(check_block)(HC_CACHE *self, HC_BLOCK *block) {
  uint32_t i;
  int waiting = HC_I(is_waiting)(block);
  if (block->cache != self) return "a block knows its cache";
  if (block->state >= HOSTCACHE_STATE_COUNT) return "a block's state is one of those drawn";
  if (block->state == HOSTCACHE_SPARE)
    return block->segment ? "a spare record has no segment" : NULL;
  if (!block->segment) return "a block lies in a segment";
  if (HC_I(is_in_use)(block->state) && (block->requested == 0 || block->requested > block->size))
    return "a block is at least as large as the request";
  if (block->use_count > HC_INLINE_USES + block->more_room) return "a block has room for its uses";
  if ((block->more_room > 0) != (block->more != NULL)) return "a block has room for its uses";
  if (block->pushing && !waiting) return "only a block that waits is pushed to queues";
  if (block->outstanding > 0 && !waiting) return "only a block that waits has uses outstanding";
  if (block->state == HOSTCACHE_WAITING && block->outstanding == 0)
    return "a block waits for something";
  if (block->state != HOSTCACHE_ACTIVE) return NULL;
  for (i = 0; i < block->use_count; i++) {
    HC_USE *use = HC_I(use_at)(block, i);
    if (use->kind > HOSTCACHE_USE_EVENT) return "a use is of a known kind";
#if HC_HAS_STREAMS
    if (use->kind != HOSTCACHE_USE_EVENT && HC_I(mark_of)(block, use->stream) != use)
      return "an active block is marked by a stream once";
#endif
  }
  return NULL;
}

/* A range of a segment that is in the index. segments_lock is held. */
HOSTCACHE_UNUSED static const char *HC_I(check_range)(HC_CACHE *self, const HC_SEGMENT *segment,
                                                      const HC_BLOCK *range) {
  unsigned state;
  int ours;
  hostcache_lock(range->lock);
  state = range->state;
  ours = range->segment == segment;
  hostcache_unlock(range->lock);
  if (!ours) return "a range knows its segment";
  if (state == HOSTCACHE_SPARE || state == HOSTCACHE_LEAKED)
    return "a block in the index has memory";
  if ((size_t)range->ptr & (self->config.alignment - 1)) return "a block is aligned";
  if ((state == HOSTCACHE_CACHED) != range->is_ready) return "a cached block is in a heap";
  if (range->is_ready && range->right && range->right->is_ready)
    return "ready ranges do not stand side by side";
  if (hostcache_index_floor(&self->index, (size_t)range->ptr) != (const void *)range ||
      hostcache_index_floor(&self->index, (size_t)range->ptr + (range->size - 1)) !=
          (const void *)range)
    return "a block is found by its first address and its last";
  return NULL;
}

/* A segment that is in the index. segments_lock is held. */
HOSTCACHE_UNUSED static const char *HC_I(check_segment)(HC_CACHE *self, const HC_SEGMENT *segment,
                                                        HC_FINDINGS *findings) {
  const HC_BLOCK *range, *left = NULL;
  size_t size = 0;
  if (segment->size == 0 || segment->size % HC_PAGE) return "a segment is a multiple of the page";
  for (range = segment->first; range; left = range, range = range->right) {
    const char *broken;
    if (range->left != left) return "ranges are linked both ways";
    if (range->size == 0 || range->size > segment->size - size ||
        (size_t)range->ptr != (size_t)segment->ptr + size)
      return "the ranges of a segment follow each other without a gap";
    broken = HC_I(check_range)(self, segment, range);
    if (broken) return broken;
    size += range->size;
    findings->ready += range->is_ready;
  }
  return size == segment->size ? NULL : "the ranges of a segment follow each other without a gap";
}

/* The index of segments. segments_lock is held. */
HOSTCACHE_UNUSED static const char *HC_I(check_index)(HC_CACHE *self, HC_FINDINGS *findings) {
  const hostcache_node *node = hostcache_tree_ceiling(self->by_address, 0, 0);
  const hostcache_node *next;
  size_t held = 0;
  for (; node; node = next) {
    const HC_SEGMENT *segment = (const HC_SEGMENT *)node->owner;
    const char *broken;
    next = hostcache_tree_ceiling(self->by_address, node->key + 1, 0);
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

/* The heaps, and the list of idle segments. segments_lock is held. */
HOSTCACHE_UNUSED static const char *HC_I(check_heaps)(HC_CACHE *self, const HC_FINDINGS *findings) {
  size_t count = 0, idle = 0;
  const HC_SEGMENT *segment, *previous = NULL;
  int kind;
  for (kind = 0; kind < HOSTCACHE_KIND_COUNT; kind++) {
    const hostcache_heap *heap = &self->heaps[kind];
    const hostcache_node *node = hostcache_heap_first(heap, 0, 0);
    for (; node; node = hostcache_heap_first(heap, node->key, node->subkey + 1)) {
      const HC_BLOCK *range = (const HC_BLOCK *)node->owner;
      if (count++ == findings->ready || !range->is_ready || range->segment->kind != kind)
        return "what is in a heap is ready, and of its kind";
      if (range->size != node->key || (size_t)range->ptr != node->subkey)
        return "a ready range stands under its size and address";
      idle += !range->left && !range->right;
    }
  }
  if (count != findings->ready) return "a cached block is in a heap";
  for (segment = self->idle_first; segment; previous = segment, segment = segment->idle_next)
    if (idle-- == 0 || segment->idle_previous != previous || !segment->first->is_ready ||
        segment->first->right)
      return "the idle segments are those that are one ready range";
  if (idle != 0 || self->idle_last != previous)
    return "the idle segments are those that are one ready range";
  return NULL;
}

/* queue->lock and check_lock are held. */
HOSTCACHE_UNUSED static const char *HC_I(check_queue)(HC_QUEUE *queue) {
  const HC_USE *use, *previous = NULL;
  uint32_t length = 0;
  int cursor = queue->cursor == NULL, waiting = 1;
  for (use = queue->head; use; previous = use, use = use->next) {
    HC_BLOCK *block = use->block; /* NULL: an event alone */
    if (length++ == queue->length) return "a queue knows its length";
    if (use->previous != previous) return "a queue is linked both ways";
    if (previous && use->ticket <= previous->ticket) return "tickets rise along a queue";
    if (use->fate != HOSTCACHE_FATE_QUEUED) return "a use in a queue is queued";
    if (block) {
      hostcache_lock(block->lock);
      waiting = HC_I(is_waiting)(block);
      hostcache_unlock(block->lock);
      block->seen++;
    }
    if (!waiting) return "the block of a queued use waits";
    cursor |= use == queue->cursor;
  }
  if (length != queue->length) return "a queue knows its length";
  if (queue->tail != previous) return "a queue ends at its tail";
  if (!cursor) return "the cursor stands in the loose queue";
  if (queue->pool_count > queue->pool_room) return "a pool has room for its events";
  if (queue->pool_room > 0 && !queue->live) return "a stream that was forgotten pools no events";
  return NULL;
}

/* streams_lock is held. */
HOSTCACHE_UNUSED static const char *HC_I(check_table)(HC_CACHE *self) {
#if HC_HAS_STREAMS
  const HC_QUEUE *queue;
  size_t live = 0, listed = 0;
  unsigned i;
  for (queue = (const HC_QUEUE *)self->queues; queue; queue = queue->next) live += queue->live;
  for (i = 0; i < HC_STREAM_BUCKETS; i++) {
    for (queue = self->buckets[i]; queue; queue = queue->bucket_next) {
      if (listed++ == live || !queue->live) return "the live queues are those in the table";
      if (HC_I(stream_bucket)(queue->stream) != i ||
          HC_I(queue_find)(self, queue->stream) != queue)
        return "a stream is found in the table, once";
    }
  }
  return listed == live ? NULL : "the live queues are those in the table";
#else
  (void)self;
  return NULL;
#endif
}

/* Each structure by itself. */
HOSTCACHE_UNUSED static const char *HC_I(check_each)(HC_CACHE *self, HC_FINDINGS *findings) {
  const char *broken;
  HC_SLAB *slab = NULL;
  HC_QUEUE *queue;
  HC_BLOCK *block;
  unsigned i = 0;

  hostcache_lock(&self->segments_lock);
  broken = HC_I(check_index)(self, findings);
  if (!broken) broken = HC_I(check_heaps)(self, findings);
  hostcache_unlock(&self->segments_lock);
  while (!broken && (block = HC_I(next_block)(self, &slab, &i)) != NULL) {
    hostcache_lock(block->lock);
    broken = HC_I(check_block)(self, block);
    hostcache_unlock(block->lock);
    block->seen = 0;
  }
  queue = &self->loose;
  while (!broken && queue) {
    hostcache_lock(&queue->lock);
    broken = HC_I(check_queue)(queue);
    hostcache_unlock(&queue->lock);
    queue = queue == &self->loose ? (HC_QUEUE *)hostcache_ptr_load_acquire(&self->queues)
                                  : queue->next;
  }
  if (broken) return broken;
  hostcache_lock(&self->streams_lock);
  broken = HC_I(check_table)(self);
  hostcache_unlock(&self->streams_lock);
  return broken;
}

/* Adds what a block counts for; a segment is counted with its first range. segments_lock and
   block->lock are held. */
HOSTCACHE_UNUSED static void HC_I(add_up)(const HC_CACHE *self, const HC_BLOCK *block,
                                          hostcache_stats *sum) {
  const HC_SEGMENT *segment = block->segment;
  const unsigned state = block->state;
  const int oversize = HC_I(is_oversize)(self, block->size);
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
  HC_I(stat_step)(&sum->cached_bytes, 0, state == HOSTCACHE_CACHED, block->size);
  HC_I(stat_move)(&sum->inactive_split, &sum->inactive_split_bytes, 0,
                  state == HOSTCACHE_CACHED && (block->left || block->right), block->size);
}

/* The structures among each other. *settled: nothing changed since the first look, so that the
   answer counts. */
HOSTCACHE_UNUSED static const char *HC_I(check_together)(HC_CACHE *self, HC_FINDINGS *findings,
                                                         int *settled) {
  const char *broken = NULL;
  hostcache_stats sum, stats;
  hostcache_stat *stat;
  size_t held, leaving = 0;
  HC_SLAB *slab = NULL;
  HC_BLOCK *block;
  unsigned i = 0;

  memset(&sum, 0, sizeof sum);
  hostcache_lock(&self->segments_lock);
  while ((block = HC_I(next_block)(self, &slab, &i)) != NULL) {
    hostcache_lock(block->lock);
    HC_I(add_up)(self, block, &sum);
    leaving += block->state == HOSTCACHE_LEAVING;
    if (block->pushing ? block->seen >= block->outstanding : block->seen != block->outstanding)
      broken = "a block has as many uses outstanding as stand in queues";
    hostcache_unlock(block->lock);
  }
  hostcache_lock(&self->stats_lock);
  stats = self->stats;
  *settled = findings->changes == self->changes;
  HC_I(stats_unlock_all)(self);

  if (broken) return broken;
  held = (size_t)(sum.segment.current - sum.leaked.current); /* those with memory of ours */
  if (findings->indexed > held || findings->indexed + leaving < held)
    return "a block with memory is in the index";
  for (i = 0; (stat = HC_I(stat_by_number)(&stats, i)) != NULL; i++) {
    if (stat->current != HC_I(stat_by_number)(&sum, i)->current)
      return "the figures equal the sum over the blocks";
    if (stat->peak < stat->current) return "a peak is not below its current";
  }
  return NULL;
}

HC_PUBLIC hostcache_result HC_FN(check)(HC_CACHE *self) {
  hostcache_result result = HC_I(enter)(self);
  const char *broken = NULL;
  HC_FINDINGS findings;
  int settled = 0, tries;
  if (result != HOSTCACHE_OK) return result;
  hostcache_lock(&self->check_lock);
  for (tries = 0; !settled && !broken && tries < HC_CHECK_TRIES; tries++) {
    memset(&findings, 0, sizeof findings);
    hostcache_lock(&self->stats_lock);
    findings.changes = self->changes;
    hostcache_unlock(&self->stats_lock);
    broken = HC_I(check_each)(self, &findings);
    if (broken) break;
    broken = HC_I(check_together)(self, &findings, &settled);
    if (!settled) broken = NULL;
  }
  hostcache_unlock(&self->check_lock);
  if (!broken) return HOSTCACHE_OK;
  HC_I(tell)(self, HOSTCACHE_ERR_CORRUPT, 0, broken, NULL);
  return HOSTCACHE_ERR_CORRUPT;
}

HOSTCACHE_UNUSED static int HC_I(visit_kind)(unsigned state) {
  if (HC_I(is_handed_out)(state)) return HOSTCACHE_VISIT_ACTIVE;
  if (HC_I(is_pending)(state)) return HOSTCACHE_VISIT_PENDING;
  if (state == HOSTCACHE_QUARANTINED) return HOSTCACHE_VISIT_QUARANTINED;
  return state == HOSTCACHE_LEAKED ? HOSTCACHE_VISIT_LEAKED : HOSTCACHE_VISIT_CACHED;
}

/* Notes something, if there is room for it. */
HOSTCACHE_UNUSED static size_t HC_I(visit_note)(hostcache_visit *visits, size_t room, size_t used,
                                                int kind, const void *ptr, size_t size,
                                                size_t requested) {
  if (used < room) {
    visits[used].kind = kind;
    visits[used].ptr = ptr;
    visits[used].size = size;
    visits[used].requested = requested;
  }
  return used + 1;
}

/* Notes a segment and its ranges. Returns the room that is needed so far. segments_lock is held. */
HOSTCACHE_UNUSED static size_t HC_I(visit_segment)(const HC_SEGMENT *segment,
                                                   hostcache_visit *visits, size_t room,
                                                   size_t used) {
  const HC_BLOCK *range;
  used = HC_I(visit_note)(visits, room, used, HOSTCACHE_VISIT_SEGMENT, segment->ptr, segment->size,
                          0);
  for (range = segment->first; range; range = range->right) {
    hostcache_lock(range->lock);
    used = HC_I(visit_note)(visits, room, used, HC_I(visit_kind)(range->state), range->ptr,
                            range->size, HC_I(is_in_use)(range->state) ? range->requested : 0);
    hostcache_unlock(range->lock);
  }
  return used;
}

/* Notes all segments: those of the index by address, then those that leaked. Returns the room
   needed. */
HOSTCACHE_UNUSED static size_t HC_I(visit_all)(HC_CACHE *self, hostcache_visit *visits,
                                               size_t room) {
  const hostcache_node *node;
  HC_SLAB *slab = NULL;
  HC_BLOCK *block;
  size_t used = 0;
  unsigned i = 0;
  int leaked;
  hostcache_lock(&self->segments_lock);
  for (node = hostcache_tree_ceiling(self->by_address, 0, 0); node;
       node = hostcache_tree_ceiling(self->by_address, node->key + 1, 0))
    used = HC_I(visit_segment)((const HC_SEGMENT *)node->owner, visits, room, used);
  while ((block = HC_I(next_block)(self, &slab, &i)) != NULL) {
    hostcache_lock(block->lock);
    leaked = block->state == HOSTCACHE_LEAKED;
    hostcache_unlock(block->lock);
    if (leaked) used = HC_I(visit_segment)(block->segment, visits, room, used);
  }
  hostcache_unlock(&self->segments_lock);
  return used;
}

HC_PUBLIC hostcache_result HC_FN(walk)(HC_CACHE *self, hostcache_visit_fn visit, void *user) {
  hostcache_result result = HC_I(enter)(self);
  hostcache_visit *visits = NULL;
  size_t room = 0, used, i;
  int cancel;
  if (result != HOSTCACHE_OK) return result;
  if (!visit) return HOSTCACHE_ERR_ARGUMENT;
  while ((used = HC_I(visit_all)(self, visits, room)) > room) {
    if (visits) HOSTCACHE_FREE(visits);
    room = used + used / 4;
    visits = (hostcache_visit *)HOSTCACHE_MALLOC(room * sizeof *visits);
    if (!visits) {
      HC_I(tell)(self, HOSTCACHE_ERR_NO_METADATA, 0,
                 "HOSTCACHE_MALLOC had no memory for what walk shows", NULL);
      return HOSTCACHE_ERR_NO_METADATA;
    }
  }
  cancel = hostcache_hook_begin();
  for (i = 0; i < used && visit(user, &visits[i]) == 0; i++) continue;
  hostcache_hook_end(cancel);
  if (visits) HOSTCACHE_FREE(visits);
  return HOSTCACHE_OK;
}

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
#undef HC_PUBLIC
#undef HC_HAS_STREAMS
#undef HC_STREAM
#undef HC_HAS_TIMELINE
#undef HC_HAS_EVENTS
#undef HC_EVENT
#undef HC_POOLS_EVENTS
#undef HC_RUNTIME
#undef HC_CTX
#undef HC_INLINE_USES
#undef HC_PAGE
#undef HC_BLOCK_LOCKS
#undef HC_STREAM_BUCKETS
#undef HC_RECORDS
#undef HC_POLL_EVERY
#undef HC_LOOSE_PER_POLL
#undef HC_FIRST_POOL
#undef HC_SEGMENT
#undef HC_USE
#undef HC_QUEUE
#undef HC_SLAB
#undef HC_STOCK
#undef HC_NEEDS
#undef HC_HOPES
#undef HC_SMALL_MAX
#undef HC_TALLY
#undef HC_FINDINGS
#undef HC_CHECK_TRIES
#undef HC_TRY
#undef HC_CATCH
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
