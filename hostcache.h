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
            6 TYPES       block, segment, use, queue, bin, cache; the states of a block; the books
            7 HOOKS       one typed wrapper each
            8 SIZES       classes and rounding
            9 SEGMENTS    get, give back, find by address
           10 BINS        shared lists of ready blocks
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
   HOSTCACHE_NOW_NS()          a rising clock in ns; default: the system's monotonic clock
   HOSTCACHE_TLS_MODEL         the model of thread-local variables, a string ("initial-exec")

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
     empty_cache, trim, reserve      gives cached memory back; gets some in advance
     forget_stream                   before a stream is destroyed
     release_quarantine              the caller says that the device is idle
     stats, reset_accumulated_stats, reset_peak_stats
                                     figures
     check, walk                     every invariant; every segment and block

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

   For now a block is a segment of its own: small blocks are not carved from larger segments, larger
   ones are not split, and there are no caps. So even the smallest block takes a page of the
   runtime, a block above 1 MiB is reused only for the same number of pages, and where large sizes
   vary much empty_cache is to be called now and then. What needs more (reserve, trim, the caps in
   hostcache_config) says HOSTCACHE_ERR_UNSUPPORTED. */

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
  size_t segment_bytes;           /* of shared segments; not built yet */
  size_t max_segment_bytes;       /* the most that one call of HC_MEM_ALLOC may ask, at least a
                                     page and the alignment; no bound */
  size_t max_reserved_bytes;      /* hard cap; not built yet */
  size_t max_cached_bytes;        /* what is kept idle; not built yet */
  size_t max_split_size;          /* ranges above it are not split; not built yet */
  size_t thread_cache_bytes;      /* a thread's own stock; not built yet: HOSTCACHE_NONE or 0 */
  uint64_t wait_on_limit_ns;      /* wait for pending events before failing; not built yet */
  uint32_t streams_die_idle;      /* 1: forget_stream waits for what is pending; 0 */
  hostcache_error_fn on_error;    /* hears of each failure of a hook or of the bookkeeping */
  void *on_error_user;
} hostcache_config;

#define HOSTCACHE_CONFIG_INIT \
  { HOSTCACHE_VERSION, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL, NULL }

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

/* The name of a result and what it means. Never NULL. */
static inline const char *hostcache_result_string(hostcache_result result) {
  switch (result) {
    HOSTCACHE_RESULTS(HOSTCACHE_RESULT_CASE)
    case HOSTCACHE_RESULT_RANGE:
      break;
  }
  return "not a hostcache_result";
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
   Calls no hook. The caller owns *cache and ends it with destroy or abandon. ARGUMENT: `cache` is
   NULL, the config is of another version, or contradicts itself (an alignment that is no power of
   two; a max_segment_bytes below a page or below the alignment). UNSUPPORTED: the config asks for
   what is not built yet. NO_METADATA: no memory for the bookkeeping. O(1). */
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
   hook. A miss polls, which may make a block ready that fits; else it calls HC_MEM_ALLOC, and, if
   that is out of memory, gives back all that is cached and asks once more. TOO_BIG, NO_METADATA;
   OUT_OF_MEMORY: HC_MEM_ALLOC was out of memory again, or failed otherwise, when it is not asked
   again; CORRUPT: it gave memory that cannot be right. O(1) for a hit up to 1 MiB, O(log n) above.
   Source: HostAllocator::allocate. */
HC_PUBLIC hostcache_result HC_FN(alloc)(HC_CACHE *cache, size_t size, void **ptr);

#ifdef HC_STREAM_T
/* Marks an active block as used on `stream`, from any pointer into it. The mark covers all work
   submitted to the stream up to the block's free, so it may be made before or after submitting, and
   one is enough. Four uses of a block need no memory. NOT_FOUND: not in an active block (the
   pointer is not dereferenced). NO_METADATA: a fifth use found no memory; the block is still the
   caller's, and its free waits for the stream (HC_STREAM_WAIT), else quarantines it. Calls no hook.
   O(log n). Source: HostAllocator::record_event. */
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

/* The handle of the active block that `ptr` points into, or NULL. Never dereferences `ptr`. O(log
   n). */
HC_PUBLIC HC_BLOCK *HC_FN(find)(HC_CACHE *cache, const void *ptr);

/* Upkeep. */

/* Makes blocks ready whose uses have completed; *blocks_made_ready (NULL is fine) says how many.
   Never blocks: one query per busy stream and one per entry made ready, and at most 16 events that
   were handed over. EVENT: a query failed, the rest was done. Source:
   CachingHostAllocatorImpl::process_events. */
HC_PUBLIC hostcache_result HC_FN(process_events)(HC_CACHE *cache, size_t *blocks_made_ready);

/* Waits until everything that is pending at the call has become ready, or been quarantined.
   UINT64_MAX ns waits without end and uses the wait hooks; 0 polls once. TIMEOUT: the time ran out;
   EVENT: a hook failed, and it waited all the same. Costs what process_events does, again and
   again. Source: synchronize_and_free_events. */
HC_PUBLIC hostcache_result HC_FN(synchronize)(HC_CACHE *cache, uint64_t timeout_ns);

/* Polls, then gives back all that is cached. EVENT: a query failed; LEAKED: a free hook failed;
   both did the rest. One HC_MEM_FREE a segment. Source: HostAllocator::empty_cache. */
HC_PUBLIC hostcache_result HC_FN(empty_cache)(HC_CACHE *cache);

/* Gives back cached memory down to `keep_bytes` reserved. Not built yet: UNSUPPORTED. */
HC_PUBLIC hostcache_result HC_FN(trim)(HC_CACHE *cache, size_t keep_bytes);

/* Gets memory now, so that `count` blocks of `size` can be had without a hook. Not built yet:
   UNSUPPORTED. */
HC_PUBLIC hostcache_result HC_FN(reserve)(HC_CACHE *cache, size_t size, size_t count);

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
   Once per file, all static: everything that the header needs from the compiler and the system. A
   test that wants to steer threads replaces this section alone, and the rest uses no atomic, lock,
   thread-local or clock but through it. */

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

/* The locks by rank: a thread that holds one takes only locks of a higher rank, so it holds at most
   one of each. This is the lock order of the whole header. */
enum {
  HOSTCACHE_RANK_CHECK = 1, /* cache->check_lock: one check at a time */
  HOSTCACHE_RANK_STREAMS,   /* cache->streams_lock: the table of streams */
  HOSTCACHE_RANK_QUEUE,     /* queue->lock: the waiting blocks of one stream, its event pool */
  HOSTCACHE_RANK_BIN,       /* bin->lock: the ready blocks of one class */
  HOSTCACHE_RANK_SEGMENTS,  /* cache->segments_lock: the address index, the spare records */
  HOSTCACHE_RANK_BLOCK,     /* cache->block_locks[]: state and uses of a share of the blocks */
  HOSTCACHE_RANK_STATS      /* cache->stats_lock: the figures */
};

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

/* Atomics, the memory order in the name. Three kinds are enough: a pointer that is published and
   then only read, a stack that any thread pushes to and one thread takes whole (so that it knows no
   ABA), and a number that is peeked at as a hint. */

#if HOSTCACHE_THREADS == HOSTCACHE_THREADS_NONE

HOSTCACHE_UNUSED static void *hostcache_ptr_load_acquire(void *const *from) { return *from; }
HOSTCACHE_UNUSED static void hostcache_ptr_store_release(void **to, void *value) { *to = value; }
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

/* NULL, or where forks are watched. Set once under the mutex below, with release; read with acquire
   without it, so that a child that was forked while another thread held it can go on. */
static void *hostcache_forks_watched;

/* 0 where forks will be noticed. */
HOSTCACHE_UNUSED static int hostcache_watch_forks(void) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  int failed = 0;
  if (hostcache_ptr_load_acquire(&hostcache_forks_watched)) return 0;
  (void)pthread_mutex_lock(&mutex);
  if (!hostcache_forks_watched) {
    failed = pthread_atfork(NULL, NULL, hostcache_after_fork_in_child);
    if (!failed) hostcache_ptr_store_release(&hostcache_forks_watched, &hostcache_generation);
  }
  (void)pthread_mutex_unlock(&mutex);
  return failed;
}

HOSTCACHE_UNUSED static unsigned hostcache_process(void) { return hostcache_generation; }
#else
HOSTCACHE_UNUSED static int hostcache_watch_forks(void) { return 0; }
HOSTCACHE_UNUSED static unsigned hostcache_process(void) { return 0; }
#endif

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
       +-------------------------------- given back ------------------------------------+

   (FREEING and DEFERRED also end as QUARANTINED, where a use cannot be recorded, and as CACHED,
   where the stream was waited for instead.) SPARE: a record without memory. ACTIVE: the user's.
   FREEING: of the thread that records its events; the figures still count it as handed out.
   DEFERRED: on the deferred stack, or of the thread that took it from there. WAITING: in the
   queues; the figures call it pending, as the contract does. CACHED: in a bin. LEAVING: of the
   thread that gives its memory back. */
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
  node->priority = hostcache_scramble((uint64_t)key ^ hostcache_scramble((uint64_t)subkey + 1));
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
#define HC_CLASS_STEPS 8        /* size classes per doubling: at most 12.5% of waste */
#define HC_CLASS_MAX (1u << 20) /* bytes; above, sizes are rounded to the page alone */
#define HC_PAGE 4096u           /* bytes; what a memory hook gets is a multiple of it */
#define HC_BLOCK_LOCKS 16       /* blocks share so many locks: two threads rarely meet on one */
#define HC_STREAM_BUCKETS 256   /* of the table of streams: a few in each, also with thousands */
#define HC_RECORDS 64           /* block and segment records got from malloc at a time */
#define HC_POLL_EVERY 16        /* pushes to a queue between two polls by free */
#define HC_LOOSE_PER_POLL 16    /* entries of the loose queue that one poll asks */
#define HC_FIRST_POOL 16        /* events that a pool first has room for */

/* Bins: with the smallest alignment, 1, eight classes up to 8 bytes and eight for each of the 17
   doublings up to 1 MiB; and one for all that is larger. */
#define HC_CLASSES (HC_CLASS_STEPS * 18 + 1)

#define HC_SEGMENT struct HC_I(segment)
#define HC_USE struct HC_I(use)
#define HC_QUEUE struct HC_I(queue)
#define HC_BIN struct HC_I(bin)
#define HC_SLAB struct HC_I(slab)
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
  HC_SEGMENT *segment;   /* this and the next two: set before ACTIVE, by the one owner */
  void *ptr;
  size_t size;
  size_t requested;     /* LOCK: block->lock. Bytes, as the caller said */
  uint64_t hand_outs;   /* LOCK: block->lock. Tells this hand-out from the next */
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
  HC_BLOCK *next; /* in a bin (LOCK: bin->lock), among the spares (LOCK: segments_lock), or on the
                     deferred stack */
  hostcache_node by_size; /* LOCK: bin->lock. In the bin of the large blocks */
  uint32_t seen;          /* LOCK: check_lock. Its uses that check found in queues */
};

HC_SEGMENT {
  hostcache_node by_address; /* LOCK: segments_lock */
  HC_SEGMENT *next;          /* LOCK: segments_lock. Among the spares */
  HC_BLOCK *block;           /* the only one, so far */
  void *ptr; /* this and the rest: set before the block is ACTIVE, by the one owner */
  size_t size;
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

HC_BIN {
  hostcache_mutex lock;
  HC_BLOCK *ready;         /* LOCK: lock. Up to 1 MiB: all of one size, last in first out */
  hostcache_node *by_size; /* LOCK: lock. Above: by size, then address */
  size_t count;            /* LOCK: lock */
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

  HC_BIN bins[HC_CLASSES];

  hostcache_mutex segments_lock;
  hostcache_node *by_address; /* LOCK: segments_lock. Segments by first byte */
  HC_BLOCK *spare_blocks;     /* LOCK: segments_lock. The spare for longest comes first, so that a
                                 stale handle finds its record in use again as late as can be */
  HC_BLOCK *spare_last;       /* LOCK: segments_lock */
  HC_SEGMENT *spare_segments; /* LOCK: segments_lock */
  void *slabs; /* HC_SLAB *. Grows at the head: under segments_lock with release; read: acquire */

  hostcache_mutex block_locks[HC_BLOCK_LOCKS];

  void *deferred; /* HC_BLOCK *, a stack: pushed to with release, taken whole with acquire */

  hostcache_mutex stats_lock;
  hostcache_stats stats; /* LOCK: stats_lock */
  uint64_t tickets; /* LOCK: stats_lock. Given out so far to uses that were pushed to a queue */
  uint64_t changes; /* LOCK: stats_lock. Steps that changed what check compares across structures */
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

/* A block leaves the group that `stat` counts, enters it, or neither. */
HOSTCACHE_UNUSED static void HC_I(stat_move)(hostcache_stat *count, hostcache_stat *bytes, int from,
                                             int to, size_t size) {
  if (from == to) return;
  if (to) {
    HC_I(stat_add)(count, 1);
    HC_I(stat_add)(bytes, (int64_t)size);
  } else {
    HC_I(stat_subtract)(count, 1);
    HC_I(stat_subtract)(bytes, (int64_t)size);
  }
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
  HC_I(stat_move)(&stats->leaked, &stats->leaked_bytes, from == HOSTCACHE_LEAKED,
                  state == HOSTCACHE_LEAKED, block->segment->size);
  if (HC_I(is_in_use)(from) != HC_I(is_in_use)(state)) {
    if (HC_I(is_in_use)(state))
      HC_I(stat_add)(&stats->requested_bytes, (int64_t)block->requested);
    else
      HC_I(stat_subtract)(&stats->requested_bytes, (int64_t)block->requested);
  }
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
  hostcache_unlock(&self->stats_lock);
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
   Up to 1 MiB sizes are rounded up to a class: multiples of the alignment, and, beyond eight of
   them, eight steps to each doubling. So a block is larger than the request by at most one unit
   or 12.5%. Larger requests are rounded up to the page (or the alignment, where that is more) and
   to nothing else. */

HOSTCACHE_UNUSED static unsigned HC_I(log2)(size_t x) { /* of x > 0, rounded down */
  unsigned log = 0;
  while (x >>= 1) log++;
  return log;
}

/* `size` rounded up to a multiple of `unit`, a power of two. The caller has ruled out overflow. */
HOSTCACHE_UNUSED static size_t HC_I(round_up)(size_t size, size_t unit) {
  return (size + (unit - 1)) & ~(unit - 1);
}

HOSTCACHE_UNUSED static size_t HC_I(segment_size)(const HC_CACHE *self, size_t block_size) {
  size_t unit = self->config.alignment > HC_PAGE ? self->config.alignment : HC_PAGE;
  return HC_I(round_up)(block_size, unit);
}

/* The class of a request of `units` alignments, 1 <= units, and the units of a block of it. */
HOSTCACHE_UNUSED static unsigned HC_I(class_of_units)(size_t units, size_t *block_units) {
  unsigned log, step;
  size_t steps;
  *block_units = units;
  if (units <= HC_CLASS_STEPS) return (unsigned)units - 1;
  log = HC_I(log2)(units - 1); /* 2^log < units <= 2^(log + 1), log >= 3 */
  step = log - 3;              /* an eighth of that doubling, as a power of two */
  steps = ((units - 1 - ((size_t)1 << log)) >> step) + 1;
  *block_units = ((size_t)1 << log) + (steps << step);
  return HC_CLASS_STEPS * (log - 2) + (unsigned)steps - 1;
}

/* The size of the block that serves a request; 0 if that is too big for a segment. */
HOSTCACHE_UNUSED static size_t HC_I(block_size_for)(const HC_CACHE *self, size_t size) {
  size_t align = self->config.alignment, unit = align > HC_PAGE ? align : HC_PAGE, units;
  if (size > (size_t)PTRDIFF_MAX - (unit - 1)) return 0;
  if (size > HC_CLASS_MAX) {
    size = HC_I(round_up)(size, unit);
  } else {
    (void)HC_I(class_of_units)((size + (align - 1)) / align, &units);
    size = units * align;
  }
  return HC_I(segment_size)(self, size) <= self->config.max_segment_bytes ? size : 0;
}

/* The bin of the blocks of a size that block_size_for gave. */
HOSTCACHE_UNUSED static HC_BIN *HC_I(bin_of)(HC_CACHE *self, size_t block_size) {
  size_t align = self->config.alignment, units;
  if (block_size > HC_CLASS_MAX && block_size > align) return &self->bins[HC_CLASSES - 1];
  return &self->bins[HC_I(class_of_units)(block_size / align, &units)];
}

/* ---- 9. SEGMENTS --------------------------------------------------------------------------------
   Gets segments from the runtime and gives them back, makes blocks of them, finds a block by
   address. For now a segment is one block. The other sections know only what stands here without
   "static" inside: segment_get, segment_give_back, block_at. */

/* segments_lock is held. */
HOSTCACHE_UNUSED static void HC_I(spare_append)(HC_CACHE *self, HC_BLOCK *block) {
  block->next = NULL;
  if (self->spare_blocks) {
    self->spare_last->next = block;
  } else {
    self->spare_blocks = block;
  }
  self->spare_last = block;
}

/* More records, behind those that there are. No lock is held. 0 if malloc had none. */
HOSTCACHE_UNUSED static int HC_I(add_slab)(HC_CACHE *self) {
  HC_SLAB *slab = (HC_SLAB *)HOSTCACHE_MALLOC(sizeof(HC_SLAB));
  unsigned i;
  if (!slab) return 0;
  memset((void *)slab, 0, sizeof *slab);
  hostcache_lock(&self->segments_lock);
  for (i = 0; i < HC_RECORDS; i++) {
    slab->blocks[i].cache = self;
    slab->blocks[i].lock = &self->block_locks[i % HC_BLOCK_LOCKS];
    HC_I(spare_append)(self, &slab->blocks[i]);
    slab->segments[i].next = self->spare_segments;
    self->spare_segments = &slab->segments[i];
  }
  slab->next = (HC_SLAB *)self->slabs;
  hostcache_ptr_store_release(&self->slabs, slab);
  hostcache_unlock(&self->segments_lock);
  return 1;
}

/* A block and a segment without memory, the caller's, in no list. 0 if malloc had none. */
HOSTCACHE_UNUSED static int HC_I(records_get)(HC_CACHE *self, HC_BLOCK **block,
                                              HC_SEGMENT **segment) {
  int have;
  do {
    hostcache_lock(&self->segments_lock);
    *block = self->spare_blocks;
    *segment = self->spare_segments;
    have = *block && *segment;
    if (have) {
      self->spare_blocks = (*block)->next;
      self->spare_segments = (*segment)->next;
      (*block)->next = NULL;
      (*segment)->next = NULL;
    }
    hostcache_unlock(&self->segments_lock);
  } while (!have && HC_I(add_slab)(self));
  return have;
}

/* Back among the spares. segments_lock and block->lock are held. */
HOSTCACHE_UNUSED static void HC_I(records_put)(HC_CACHE *self, HC_BLOCK *block,
                                               HC_SEGMENT *segment) {
  segment->block = NULL;
  segment->next = self->spare_segments;
  self->spare_segments = segment;
  block->segment = NULL;
  block->ptr = NULL;
  block->size = 0;
  HC_I(spare_append)(self, block);
}

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

/* Gives a segment's memory to the runtime. The block is LEAVING and belongs to the caller; it ends
   as a spare record, or LEAKED. The range leaves the index first: the runtime may give the address
   to another thread at once. 0, or -1 if the free hook failed. */
HOSTCACHE_UNUSED static int HC_I(segment_give_back)(HC_CACHE *self, HC_BLOCK *block) {
  HC_SEGMENT *segment = block->segment;
  HC_USE *more;

  hostcache_lock(&self->segments_lock);
  hostcache_tree_remove(&self->by_address, &segment->by_address);
  hostcache_unlock(&self->segments_lock);

  if (HC_I(memory_give_back)(self, segment->ptr, segment->size, &segment->runtime)) {
    hostcache_lock(block->lock);
    HC_I(turn)(self, block, HOSTCACHE_LEAKED);
    hostcache_unlock(block->lock);
    return -1;
  }
  hostcache_lock(&self->segments_lock);
  hostcache_lock(block->lock);
  HC_I(turn)(self, block, HOSTCACHE_SPARE);
  HC_I(count_segment)(self, segment->size, 0);
  more = block->more;
  block->more = NULL;
  block->more_room = 0;
  block->use_count = 0;
  HC_I(records_put)(self, block, segment);
  hostcache_unlock(block->lock);
  hostcache_unlock(&self->segments_lock);
  if (more) HOSTCACHE_FREE(more);
  return 0;
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
  if (((size_t)ptr & (self->config.alignment - 1)) == 0) return NULL;
  *give_back = 1;
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

/* Gets a segment for a block of `block_size`, ACTIVE and holding `requested` bytes. OUT_OF_MEMORY:
   *status is what HC_MEM_ALLOC said, and the caller tells on_error; the other errors were told. */
HOSTCACHE_UNUSED static hostcache_result HC_I(segment_get)(HC_CACHE *self, size_t block_size,
                                                           size_t requested, HC_BLOCK **out,
                                                           hostcache_status *status) {
  size_t size = HC_I(segment_size)(self, block_size);
  hostcache_result result;
  HC_SEGMENT *segment;
  HC_BLOCK *block;
  void *ptr;
  int left;

  *status = hostcache_done();
  if (!HC_I(records_get)(self, &block, &segment)) {
    HC_I(tell)(self, HOSTCACHE_ERR_NO_METADATA, 0,
               "HOSTCACHE_MALLOC had no memory for a block's record", NULL);
    return HOSTCACHE_ERR_NO_METADATA;
  }
  result = HC_I(memory_get)(self, size, &ptr, &segment->runtime, status, &left);
  if (result != HOSTCACHE_OK) hostcache_lock(&self->segments_lock);
  hostcache_lock(block->lock);
  if (result != HOSTCACHE_OK && !left) {
    HC_I(records_put)(self, block, segment);
  } else {
    segment->ptr = ptr;
    segment->size = size;
    segment->block = block;
    block->segment = segment;
    block->ptr = ptr;
    block->size = block_size;
    block->requested = requested;
    block->hand_outs++;
    HC_I(count_segment)(self, size, 1);
    HC_I(turn)(self, block, left ? HOSTCACHE_LEAKED : HOSTCACHE_ACTIVE);
    if (!left)
      hostcache_tree_add(&self->by_address, &segment->by_address, (size_t)ptr, 0, segment);
  }
  hostcache_unlock(block->lock);
  hostcache_unlock(&self->segments_lock);
  if (result == HOSTCACHE_OK) *out = block;
  return result;
}

/* The block, whatever its state, whose range `ptr` lies in, with its lock held; NULL, and no lock,
   if there is none. Handing over from lock to lock keeps the block where it is. Never dereferences
   `ptr`. O(log n). */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(lock_at)(HC_CACHE *self, const void *ptr) {
  HC_BLOCK *block = NULL;
  hostcache_node *node;
  hostcache_lock(&self->segments_lock);
  node = hostcache_tree_floor(self->by_address, (size_t)ptr, 0);
  if (node) block = ((HC_SEGMENT *)node->owner)->block;
  if (block && (size_t)ptr - (size_t)block->ptr >= block->size) block = NULL;
  if (block) hostcache_lock(block->lock);
  hostcache_unlock(&self->segments_lock);
  return block;
}

/* The same for a handle: NULL if it is of another cache. */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(lock_handle)(HC_CACHE *self, HC_BLOCK *block) {
  if (!block || block->cache != self) return NULL;
  hostcache_lock(block->lock);
  return block;
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
   The ready blocks: a list for each class up to 1 MiB, and one tree by size for what is larger. */

/* Takes a ready block of exactly that size and hands it out; NULL if there is none. */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(bin_take)(HC_CACHE *self, size_t block_size,
                                                 size_t requested) {
  HC_BIN *bin = HC_I(bin_of)(self, block_size);
  HC_BLOCK *block;
  hostcache_node *node;
  hostcache_lock(&bin->lock);
  block = bin->ready;
  if (block) {
    bin->ready = block->next;
  } else if (bin->by_size) {
    node = hostcache_tree_ceiling(bin->by_size, block_size, 0);
    if (node && node->key == block_size) {
      hostcache_tree_remove(&bin->by_size, node);
      block = (HC_BLOCK *)node->owner;
    }
  }
  if (block) {
    bin->count--;
    hostcache_lock(block->lock);
    block->next = NULL;
    block->requested = requested;
    block->hand_outs++;
    HC_I(turn)(self, block, HOSTCACHE_ACTIVE);
    hostcache_unlock(block->lock);
  }
  hostcache_unlock(&bin->lock);
  return block;
}

/* Makes a block ready that the caller owns. Its bin's lock and its own are held. */
HOSTCACHE_UNUSED static void HC_I(bin_put)(HC_CACHE *self, HC_BIN *bin, HC_BLOCK *block) {
  block->use_count = 0;
  block->unknown_uses = 0;
  block->unknown_over = 0;
  HC_I(turn)(self, block, HOSTCACHE_CACHED);
  bin->count++;
  if (bin == &self->bins[HC_CLASSES - 1]) {
    hostcache_tree_add(&bin->by_size, &block->by_size, block->size, (size_t)block->ptr, block);
  } else {
    block->next = bin->ready;
    bin->ready = block;
  }
}

/* Takes any ready block out of a bin, LEAVING; NULL if the bin is empty. */
HOSTCACHE_UNUSED static HC_BLOCK *HC_I(bin_evict)(HC_CACHE *self, HC_BIN *bin) {
  HC_BLOCK *block;
  hostcache_lock(&bin->lock);
  block = bin->ready;
  if (block) {
    bin->ready = block->next;
  } else if (bin->by_size) {
    block = (HC_BLOCK *)bin->by_size->owner;
    hostcache_tree_remove(&bin->by_size, &block->by_size);
  }
  if (block) {
    bin->count--;
    hostcache_lock(block->lock);
    block->next = NULL;
    HC_I(turn)(self, block, HOSTCACHE_LEAVING);
    hostcache_unlock(block->lock);
  }
  hostcache_unlock(&bin->lock);
  return block;
}

/* Gives back what is ready now (what becomes ready meanwhile may stay, so that this ends). 0, or -1
   if a free hook failed. */
HOSTCACHE_UNUSED static int HC_I(bins_empty)(HC_CACHE *self) {
  int result = 0;
  unsigned i;
  for (i = 0; i < HC_CLASSES; i++) {
    HC_BIN *bin = &self->bins[i];
    HC_BLOCK *block;
    size_t left;
    hostcache_lock(&bin->lock);
    left = bin->count;
    hostcache_unlock(&bin->lock);
    while (left-- > 0 && (block = HC_I(bin_evict)(self, bin)) != NULL)
      if (HC_I(segment_give_back)(self, block)) result = -1;
  }
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
  HC_BIN *bin = HC_I(bin_of)(self, block->size);
  int ready;
  hostcache_lock(&bin->lock);
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
  if (ready) HC_I(bin_put)(self, bin, block);
  hostcache_unlock(block->lock);
  hostcache_unlock(&bin->lock);
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

/* Makes a block ready that the caller owns. */
HOSTCACHE_UNUSED static void HC_I(make_ready)(HC_CACHE *self, HC_BLOCK *block) {
  HC_BIN *bin = HC_I(bin_of)(self, block->size);
  hostcache_lock(&bin->lock);
  hostcache_lock(block->lock);
  HC_I(bin_put)(self, bin, block);
  hostcache_unlock(block->lock);
  hostcache_unlock(&bin->lock);
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

/* Is a block pending, and not yet in all of its queues? *hand_outs tells this time from the
   next. */
HOSTCACHE_UNUSED static int HC_I(is_being_queued)(HC_BLOCK *block, uint64_t *hand_outs) {
  int is;
  hostcache_lock(block->lock);
  is = block->state == HOSTCACHE_DEFERRED || block->pushing;
  *hand_outs = block->hand_outs;
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
  uint64_t hand_outs;
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
  sight->hand_outs = block->hand_outs;
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
  if (block->state == HOSTCACHE_ACTIVE && block->hand_outs == sight->hand_outs) {
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
  HC_BIN *bin = NULL;
  HOSTCACHE_LOCAL(HC_EVENT, event);
  uint32_t i;
  int has_event = 0;

  hostcache_lock(block->lock);
  if (block->state == HOSTCACHE_QUARANTINED) bin = HC_I(bin_of)(self, block->size);
  hostcache_unlock(block->lock);
  if (!bin) return 0;

  hostcache_lock(&bin->lock);
  hostcache_lock(block->lock);
  if (block->state == HOSTCACHE_QUARANTINED && HC_I(bin_of)(self, block->size) == bin) {
    for (i = 0; i < block->use_count && !has_event; i++) {
      HC_USE *use = HC_I(use_at)(block, i);
      if (use->fate != HOSTCACHE_FATE_UNTOLD || !use->has_event) continue;
      memcpy((void *)event, (const void *)&use->event, sizeof *event);
      use->has_event = 0;
      has_event = 1;
    }
    if (!has_event && block->outstanding == 0)
      HC_I(bin_put)(self, bin, block);
    else if (!has_event)
      HC_I(turn)(self, block, HOSTCACHE_WAITING);
  }
  hostcache_unlock(block->lock);
  hostcache_unlock(&bin->lock);
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
  *rank = HOSTCACHE_RANK_BIN;
  if (i < HC_CLASSES) return &self->bins[i].lock;
  i -= HC_CLASSES;
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
  for (i = 0; i < self->locks_made; i++)
    hostcache_mutex_destroy(HC_I(lock_by_number)(self, i, &rank));
  HOSTCACHE_FREE(self);
}

/* Fills in the defaults. ARGUMENT for what contradicts itself, UNSUPPORTED for what is not built
   yet. */
HOSTCACHE_UNUSED static hostcache_result HC_I(configure)(hostcache_config *config) {
  const size_t page = HC_PAGE;
  if (config->streams_die_idle > 1) return HOSTCACHE_ERR_ARGUMENT;
  if (config->alignment == 0) config->alignment = 512;
  if (config->query_error_limit == 0) config->query_error_limit = 3;
  if (config->max_segment_bytes == 0) config->max_segment_bytes = SIZE_MAX;
  if (config->alignment & (config->alignment - 1)) return HOSTCACHE_ERR_ARGUMENT;
  if (config->alignment > (size_t)PTRDIFF_MAX / 2) return HOSTCACHE_ERR_ARGUMENT;
  if (config->max_segment_bytes < (config->alignment > page ? config->alignment : page))
    return HOSTCACHE_ERR_ARGUMENT; /* not even the smallest segment could be got */
  if (config->segment_bytes > config->max_segment_bytes) return HOSTCACHE_ERR_ARGUMENT;
  if (config->segment_bytes || config->max_reserved_bytes || config->max_cached_bytes ||
      config->max_split_size || config->wait_on_limit_ns)
    return HOSTCACHE_ERR_UNSUPPORTED;
  if (config->thread_cache_bytes && config->thread_cache_bytes != HOSTCACHE_NONE)
    return HOSTCACHE_ERR_UNSUPPORTED;
  return HOSTCACHE_OK;
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
  self->stats.max_split_size = INT64_MAX;
  while ((lock = HC_I(lock_by_number)(self, self->locks_made, &rank)) != NULL) {
    if (hostcache_mutex_init(lock, rank)) {
      HC_I(dispose)(self);
      return HOSTCACHE_ERR_NO_METADATA;
    }
    self->locks_made++;
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

  (void)HC_I(bins_empty)(self);
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

/* Both forms of alloc. In order of cost: what is ready; what a poll makes ready; new memory; and,
   if there is none, what asking everything that waits makes ready, or new memory once more, after
   all that is cached was given back. */
HOSTCACHE_UNUSED static hostcache_result HC_I(get)(HC_CACHE *self, size_t requested,
                                                   HC_BLOCK **out) {
  HC_TALLY tally = {0, 0, 0, 0};
  hostcache_result result = HOSTCACHE_OK;
  hostcache_status status;
  size_t size;

  if (requested == 0) return HOSTCACHE_OK;
  size = HC_I(block_size_for)(self, requested);
  if (size == 0) return HOSTCACHE_ERR_TOO_BIG;

  *out = HC_I(bin_take)(self, size, requested);
  if (!*out) {
    HC_I(drain_deferred)(self, &tally);
    HC_I(poll)(self, HC_LOOSE_PER_POLL, &tally);
    *out = HC_I(bin_take)(self, size, requested);
  }
  if (!*out) {
    tally.hooks++;
    result = HC_I(segment_get)(self, size, requested, out, &status);
    if (status.outcome == HOSTCACHE_NO_MEMORY) {
      HC_I(count)(self, &self->stats.num_alloc_retries);
      HC_I(drain_deferred)(self, &tally);
      HC_I(poll)(self, SIZE_MAX, &tally);
      *out = HC_I(bin_take)(self, size, requested);
      if (*out) {
        result = HOSTCACHE_OK;
      } else {
        (void)HC_I(bins_empty)(self);
        result = HC_I(segment_get)(self, size, requested, out, &status);
        if (status.outcome == HOSTCACHE_NO_MEMORY) HC_I(count)(self, &self->stats.num_ooms);
      }
    }
  }
  if (result == HOSTCACHE_OK)
    HC_I(count)(self, tally.hooks ? &self->stats.num_misses : &self->stats.num_hits);
  if (result == HOSTCACHE_ERR_OUT_OF_MEMORY)
    HC_I(tell)(self, result, status.code,
               status.outcome == HOSTCACHE_NO_MEMORY
                   ? "HC_MEM_ALLOC is out of memory, also after all that was cached was given back"
                   : "HC_MEM_ALLOC failed, not for want of memory: nothing was given back for it",
               NULL);
  return result;
}

HC_PUBLIC hostcache_result HC_FN(alloc)(HC_CACHE *self, size_t size, void **ptr) {
  hostcache_result result;
  HC_BLOCK *block = NULL;
  if (!ptr) return HOSTCACHE_ERR_ARGUMENT;
  *ptr = NULL;
  result = HC_I(enter)(self);
  if (result == HOSTCACHE_OK) result = HC_I(get)(self, size, &block);
  if (block) *ptr = block->ptr;
  return result;
}

HC_PUBLIC hostcache_result HC_FN(block_alloc)(HC_CACHE *self, size_t size, HC_BLOCK **block) {
  hostcache_result result;
  if (!block) return HOSTCACHE_ERR_ARGUMENT;
  *block = NULL;
  result = HC_I(enter)(self);
  return result == HOSTCACHE_OK ? HC_I(get)(self, size, block) : result;
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
  if (block->state == HOSTCACHE_ACTIVE && (handle || block->ptr == ptr))
    return HC_I(put)(self, block, deferred);
  if (block->state == HOSTCACHE_SPARE || block->state == HOSTCACHE_LEAKED ||
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
  HC_BLOCK *block;
  int active;
  if (HC_I(enter)(self) != HOSTCACHE_OK) return NULL;
  block = HC_I(lock_at)(self, ptr);
  if (!block) return NULL;
  active = block->state == HOSTCACHE_ACTIVE;
  hostcache_unlock(block->lock);
  return active ? block : NULL;
}

HC_PUBLIC hostcache_result HC_FN(process_events)(HC_CACHE *self, size_t *blocks_made_ready) {
  hostcache_result result = HC_I(enter)(self);
  HC_TALLY tally = {0, 0, 0, 0};
  if (blocks_made_ready) *blocks_made_ready = 0;
  if (result != HOSTCACHE_OK) return result;
  tally.no_wait = 1; /* never blocks: what cannot be recorded is quarantined */
  HC_I(drain_deferred)(self, &tally);
  HC_I(poll)(self, HC_LOOSE_PER_POLL, &tally);
  if (blocks_made_ready) *blocks_made_ready = tally.ready;
  return tally.failed ? HOSTCACHE_ERR_EVENT : HOSTCACHE_OK;
}

/* Has the time run out? UINT64_MAX never does. */
HOSTCACHE_UNUSED static int HC_I(is_late)(uint64_t began_ns, uint64_t timeout_ns) {
  return timeout_ns != UINT64_MAX && hostcache_now_ns() - began_ns >= timeout_ns;
}

/* Waits until every block that other threads are queueing at the call stands in its queues. Returns
   the last ticket of what was pending at the call; *late: the time ran out before. */
HOSTCACHE_UNUSED static uint64_t HC_I(settle)(HC_CACHE *self, HC_TALLY *tally, uint64_t began_ns,
                                              uint64_t timeout_ns, int *late) {
  uint64_t ticket = HC_I(last_ticket)(self), hand_outs, seen;
  HC_SLAB *slab = NULL;
  HC_BLOCK *block;
  unsigned i = 0, attempt;
  *late = 0;
  while ((block = HC_I(next_block)(self, &slab, &i)) != NULL) {
    if (!HC_I(is_being_queued)(block, &hand_outs)) continue;
    for (attempt = 0, seen = hand_outs; seen == hand_outs; attempt++) {
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
    if (late) return HOSTCACHE_ERR_TIMEOUT;
    if (!queue) return tally.failed ? HOSTCACHE_ERR_EVENT : HOSTCACHE_OK;
    if (HC_I(is_late)(began, timeout_ns)) return HOSTCACHE_ERR_TIMEOUT;
    if (timeout_ns == UINT64_MAX && !tally.no_wait && queue != &self->loose &&
        HC_I(wait_head)(self, queue, ticket, &tally))
      continue; /* not the loose queue: its claim would hold back events of other streams */
    hostcache_pause(attempt);
  }
}

HC_PUBLIC hostcache_result HC_FN(empty_cache)(HC_CACHE *self) {
  hostcache_result result = HC_I(enter)(self);
  HC_TALLY tally = {0, 0, 0, 0};
  if (result != HOSTCACHE_OK) return result;
  HC_I(drain_deferred)(self, &tally);
  HC_I(poll)(self, SIZE_MAX, &tally);
  if (HC_I(bins_empty)(self)) return HOSTCACHE_ERR_LEAKED;
  return tally.failed ? HOSTCACHE_ERR_EVENT : HOSTCACHE_OK;
}

HC_PUBLIC hostcache_result HC_FN(trim)(HC_CACHE *self, size_t keep_bytes) {
  hostcache_result result = HC_I(enter)(self);
  (void)keep_bytes;
  return result == HOSTCACHE_OK ? HOSTCACHE_ERR_UNSUPPORTED : result;
}

HC_PUBLIC hostcache_result HC_FN(reserve)(HC_CACHE *self, size_t size, size_t count) {
  hostcache_result result = HC_I(enter)(self);
  (void)size;
  (void)count;
  return result == HOSTCACHE_OK ? HOSTCACHE_ERR_UNSUPPORTED : result;
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
  return HOSTCACHE_OK;
}

HC_PUBLIC hostcache_result HC_FN(stats)(HC_CACHE *self, hostcache_stats *stats) {
  hostcache_result result;
  if (!stats) return HOSTCACHE_ERR_ARGUMENT;
  result = HC_I(enter)(self);
  if (result != HOSTCACHE_OK) return result;
  hostcache_lock(&self->stats_lock);
  *stats = self->stats;
  hostcache_unlock(&self->stats_lock);
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
                           &stats->oversize_segments};
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
  hostcache_lock(&self->stats_lock);
  for (i = 0; (stat = HC_I(stat_by_number)(stats, i)) != NULL; i++)
    stat->allocated = stat->freed = 0;
  stats->mem_alloc_time = stats->mem_free_time = none;
  stats->num_alloc_retries = stats->num_ooms = stats->num_sync_all_streams = 0;
  stats->num_mem_alloc = stats->num_mem_free = 0;
  stats->num_event_record = stats->num_event_query = 0;
  stats->num_hits = stats->num_misses = 0;
  hostcache_unlock(&self->stats_lock);
  return HOSTCACHE_OK;
}

HC_PUBLIC hostcache_result HC_FN(reset_peak_stats)(HC_CACHE *self) {
  hostcache_result result = HC_I(enter)(self);
  hostcache_stat *stat;
  unsigned i;
  if (result != HOSTCACHE_OK) return result;
  hostcache_lock(&self->stats_lock);
  for (i = 0; (stat = HC_I(stat_by_number)(&self->stats, i)) != NULL; i++)
    stat->peak = stat->current;
  hostcache_unlock(&self->stats_lock);
  return HOSTCACHE_OK;
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
  size_t binned;  /* blocks in bins */
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
  if (!block->segment || block->segment->block != block)
    return "a segment and its block know each other";
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

/* A segment that is in the index, and its block, whose lock is held. */
HOSTCACHE_UNUSED static const char *HC_I(check_segment)(HC_CACHE *self, const HC_SEGMENT *segment,
                                                        const HC_BLOCK *block) {
  size_t start = (size_t)segment->ptr, from = (size_t)block->ptr;
  if (block->segment != segment) return "a segment and its block know each other";
  if (block->state == HOSTCACHE_SPARE || block->state == HOSTCACHE_LEAKED)
    return "a block in the index has memory";
  if (from < start || from - start + block->size > segment->size)
    return "a block lies inside its segment";
  return from & (self->config.alignment - 1) ? "a block is aligned" : NULL;
}

/* The index. segments_lock is held. */
HOSTCACHE_UNUSED static const char *HC_I(check_index)(HC_CACHE *self, HC_FINDINGS *findings) {
  const hostcache_node *node = hostcache_tree_ceiling(self->by_address, 0, 0);
  size_t end = 0;
  for (; node; node = hostcache_tree_ceiling(self->by_address, node->key + 1, 0)) {
    const HC_SEGMENT *segment = (const HC_SEGMENT *)node->owner;
    HC_BLOCK *block = segment->block;
    const char *broken;
    if ((size_t)segment->ptr != node->key)
      return "a segment stands in the index under its address";
    if (node->key < end) return "segments do not overlap";
    if (segment->size == 0 || segment->size % HC_PAGE) return "a segment is a multiple of the page";
    end = node->key + segment->size;
    if (!block) return "a segment and its block know each other";
    hostcache_lock(block->lock);
    broken = HC_I(check_segment)(self, segment, block);
    hostcache_unlock(block->lock);
    if (broken) return broken;
    if ((node->left && node->left->priority > node->priority) ||
        (node->right && node->right->priority > node->priority))
      return "the index is a heap by priority";
    findings->indexed++;
  }
  return NULL;
}

/* A block that is in a bin. The bin's lock is held. */
HOSTCACHE_UNUSED static const char *HC_I(check_ready)(HC_CACHE *self, HC_BIN *bin,
                                                      HC_BLOCK *block) {
  int cached, right;
  hostcache_lock(block->lock);
  cached = block->state == HOSTCACHE_CACHED;
  right = HC_I(bin_of)(self, block->size) == bin;
  hostcache_unlock(block->lock);
  if (!cached) return "a block in a bin is cached";
  return right ? NULL : "a block is in the bin of its size";
}

/* bin->lock is held. */
HOSTCACHE_UNUSED static const char *HC_I(check_bin)(HC_CACHE *self, HC_BIN *bin,
                                                    HC_FINDINGS *findings) {
  const char *broken;
  size_t count = 0;
  const hostcache_node *node;
  HC_BLOCK *block;
  for (block = bin->ready; block; block = block->next) {
    if (count++ == bin->count) return "a bin counts its blocks";
    broken = HC_I(check_ready)(self, bin, block);
    if (broken) return broken;
  }
  for (node = hostcache_tree_ceiling(bin->by_size, 0, 0); node;
       node = hostcache_tree_ceiling(bin->by_size, node->key, node->subkey + 1)) {
    block = (HC_BLOCK *)node->owner;
    if (count++ == bin->count) return "a bin counts its blocks";
    broken = HC_I(check_ready)(self, bin, block);
    if (broken) return broken;
    if (block->size != node->key || (size_t)block->ptr != node->subkey)
      return "a large ready block stands under its size and address";
  }
  findings->binned += count;
  return count == bin->count ? NULL : "a bin counts its blocks";
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
  hostcache_unlock(&self->segments_lock);
  while (!broken && (block = HC_I(next_block)(self, &slab, &i)) != NULL) {
    hostcache_lock(block->lock);
    broken = HC_I(check_block)(self, block);
    hostcache_unlock(block->lock);
    block->seen = 0;
  }
  for (i = 0; !broken && i < HC_CLASSES; i++) {
    hostcache_lock(&self->bins[i].lock);
    broken = HC_I(check_bin)(self, &self->bins[i], findings);
    hostcache_unlock(&self->bins[i].lock);
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

/* Adds what a block counts for. Its lock is held. */
HOSTCACHE_UNUSED static void HC_I(add_up)(const HC_BLOCK *block, hostcache_stats *sum) {
  const int64_t size = (int64_t)block->size;
  if (block->state == HOSTCACHE_SPARE) return;
  sum->segment.current++;
  sum->reserved_bytes.current += (int64_t)block->segment->size;
  if (block->state == HOSTCACHE_LEAKED) {
    sum->leaked.current++;
    sum->leaked_bytes.current += (int64_t)block->segment->size;
  }
  if (HC_I(is_handed_out)(block->state)) {
    sum->allocation.current++;
    sum->allocated_bytes.current += size;
  }
  if (HC_I(is_pending)(block->state)) {
    sum->pending.current++;
    sum->pending_bytes.current += size;
  }
  if (block->state == HOSTCACHE_QUARANTINED) {
    sum->quarantined.current++;
    sum->quarantined_bytes.current += size;
  }
  if (HC_I(is_in_use)(block->state)) {
    sum->active.current++;
    sum->active_bytes.current += size;
    sum->requested_bytes.current += (int64_t)block->requested;
  }
}

/* The structures among each other. *settled: nothing changed since the first look, so that the
   answer counts. */
HOSTCACHE_UNUSED static const char *HC_I(check_together)(HC_CACHE *self, HC_FINDINGS *findings,
                                                         int *settled) {
  const char *broken = NULL;
  hostcache_stats sum, stats;
  hostcache_stat *stat;
  size_t ready = 0, leaving = 0;
  HC_SLAB *slab = NULL;
  HC_BLOCK *block;
  unsigned i = 0;

  memset(&sum, 0, sizeof sum);
  while ((block = HC_I(next_block)(self, &slab, &i)) != NULL) {
    hostcache_lock(block->lock);
    HC_I(add_up)(block, &sum);
    ready += block->state == HOSTCACHE_CACHED;
    leaving += block->state == HOSTCACHE_LEAVING;
    if (block->pushing ? block->seen >= block->outstanding : block->seen != block->outstanding)
      broken = "a block has as many uses outstanding as stand in queues";
    hostcache_unlock(block->lock);
  }
  hostcache_lock(&self->stats_lock);
  stats = self->stats;
  *settled = findings->changes == self->changes;
  hostcache_unlock(&self->stats_lock);

  if (broken) return broken;
  if (ready != findings->binned) return "a cached block is in a bin";
  ready = (size_t)(sum.segment.current - sum.leaked.current); /* those with memory of ours */
  if (findings->indexed > ready || findings->indexed + leaving < ready)
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

/* Notes a segment and its block, if there is room for two more. Returns the room that is needed so
   far. segments_lock is held. */
HOSTCACHE_UNUSED static size_t HC_I(visit_segment)(HC_BLOCK *block, hostcache_visit *visits,
                                                   size_t room, size_t used) {
  if (used + 2 <= room) {
    hostcache_lock(block->lock);
    visits[used].kind = HOSTCACHE_VISIT_SEGMENT;
    visits[used].ptr = block->segment->ptr;
    visits[used].size = block->segment->size;
    visits[used].requested = 0;
    visits[used + 1].kind = HC_I(visit_kind)(block->state);
    visits[used + 1].ptr = block->ptr;
    visits[used + 1].size = block->size;
    visits[used + 1].requested = HC_I(is_in_use)(block->state) ? block->requested : 0;
    hostcache_unlock(block->lock);
  }
  return used + 2;
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
    used = HC_I(visit_segment)(((HC_SEGMENT *)node->owner)->block, visits, room, used);
  while ((block = HC_I(next_block)(self, &slab, &i)) != NULL) {
    hostcache_lock(block->lock);
    leaked = block->state == HOSTCACHE_LEAKED;
    hostcache_unlock(block->lock);
    if (leaked) used = HC_I(visit_segment)(block, visits, room, used);
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
#undef HC_CLASS_STEPS
#undef HC_CLASS_MAX
#undef HC_CLASSES
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
#undef HC_BIN
#undef HC_SLAB
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
