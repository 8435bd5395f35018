/* sim.h - a simulated device, whose clock the test turns.

   It is no runtime and no model of one: it is a referee. It gives memory, events and timeline
   values to a cache, completes work only when the test says so (`sim_complete(&device, stream,
   3)`), and writes down every step that breaks the rules between a cache and its runtime:

     memory   given back or handed out while work that uses it is incomplete; given back while in
              the caller's hands, with a wrong size, twice, or never obtained; asked for with a size
              that is not a multiple of the alignment and of 4 KiB (unless no_pages is set); handed
              out twice, or from outside of what was obtained
     events   used after destruction, destroyed twice or while pending, recorded on another stream
              than they were created for, recorded again while pending, in the hands of two threads
              at once, leaked
     streams  seen by a hook after the test destroyed them, or destroyed while a hook still runs on
              them
     the end  any hook after the test said that the runtime is gone

   A rule that is broken is printed at once, and counted: a test ends with sim_close() == 0. (After
   sim_shutdown a hook aborts, because nothing else would still be there to look.)

   The referee of memory works on ranges of addresses, not on what the cache calls blocks:
     sim_use(d, stream, ptr)          submits one unit of work that uses the block at ptr
     sim_handed_out(d, ptr, size)     the test got this block from the cache
     sim_handed_back(d, ptr)          the test is about to free it
     sim_handed_out_on(d, ptr, size, stream)   ... for the work of one stream: it may be in use by
                                      that stream, or by one that it waits for

   Memory is made of addresses only, which nobody can read or write, unless `backed` is set; so a
   cache that looks into the memory of its user crashes. It is aligned to what was asked, and never
   to more.

   Every hook can be made to fail: `sim_fail(d, n, onwards, hooks)`; or to answer "pending", also
   where that is no answer: `sim_fail_with(d, n, onwards, hooks, SIM_PENDING)`. Thread-safe; no
   sleeps. */

#ifndef TESTS_SIM_H
#define TESTS_SIM_H

#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- types ----------------------------------------------------------------------------------- */

/* What the hooks return. Pending is neither 0 nor 1, and done is not 0: the cache must not
   guess. */
enum { SIM_DONE = 3, SIM_PENDING = 600, SIM_NO_MEMORY = 2, SIM_FAILURE = 700 };

typedef enum sim_hook {
  SIM_MEM_ALLOC,
  SIM_MEM_FREE,
  SIM_EVENT_CREATE,
  SIM_EVENT_DESTROY,
  SIM_EVENT_RECORD,
  SIM_EVENT_QUERY,
  SIM_EVENT_WAIT,
  SIM_STREAM_WAIT,
  SIM_TIMELINE_RECORD,
  SIM_TIMELINE_QUERY,
  SIM_TIMELINE_WAIT,
  SIM_STREAM_AFTER, /* a stream is made to wait for another one */
  SIM_HOOKS
} sim_hook;

#define SIM_ONLY(hook) (1u << (hook))
#define SIM_EVERY_HOOK (SIM_ONLY(SIM_HOOKS) - 1u)
/* Destroying an event is not in the table of failures: what fails there has no consequence but a
   leak. */
#define SIM_EVERY_TOLD_HOOK (SIM_EVERY_HOOK & ~SIM_ONLY(SIM_EVENT_DESTROY))
#define SIM_EVERY_RECORD \
  (SIM_ONLY(SIM_EVENT_CREATE) | SIM_ONLY(SIM_EVENT_RECORD) | SIM_ONLY(SIM_TIMELINE_RECORD))
#define SIM_EVERY_QUERY (SIM_ONLY(SIM_EVENT_QUERY) | SIM_ONLY(SIM_TIMELINE_QUERY))
#define SIM_EVERY_WAIT \
  (SIM_ONLY(SIM_EVENT_WAIT) | SIM_ONLY(SIM_STREAM_WAIT) | SIM_ONLY(SIM_TIMELINE_WAIT))

#define SIM_STREAMS 128 /* handles 0 to 127, all of them open at first */
#define SIM_LANES 1024  /* streams that ever were: a handle can be destroyed and made anew */
#define SIM_GONE UINT32_MAX

typedef int sim_stream;

/* An event that is an object of the runtime. All zero is no event. */
typedef struct sim_event {
  uint32_t slot;       /* index + 1 */
  uint32_t generation; /* of the slot */
} sim_event;

/* An event that is a plain value: this much of this lane. */
typedef struct sim_point {
  uint32_t lane;
  uint64_t value;
} sim_point;

/* A lane is what is behind a handle: work that completes in order, also after the handle is
   gone. */
typedef struct sim_lane {
  uint64_t submitted, completed;
  uint64_t asked; /* queries that found it not ready; see progress_per_queries */
  int inside;     /* hooks that run on it now */
  bool stuck;     /* only sim_complete() itself moves it */
} sim_lane;

typedef struct sim_object { /* an event */
  uint32_t generation;
  uint32_t home;  /* the lane that it was created for; SIM_GONE: any */
  uint32_t lane;  /* where it was last recorded; SIM_GONE: nowhere */
  uint64_t value; /* ... and after how much work */
  bool live, busy, handed_over, refused;
} sim_object;

typedef struct sim_range { /* memory of the runtime */
  uintptr_t start;
  size_t size;
  void *raw;     /* what free() wants, where there is memory behind it */
  bool refused;  /* the free hook failed for it */
  bool overlaps; /* given out by mistake, on demand of the test: in use, or impossible */
} sim_range;

typedef struct sim_block { /* memory in the hands of the test */
  uintptr_t start;
  size_t size;
} sim_block;

typedef struct sim_work { /* incomplete work on memory */
  uint32_t lane;
  uint64_t value;
  uintptr_t start;
  size_t size;
} sim_work;

typedef enum sim_mischief { /* what the next call of the alloc hook does */
                            SIM_HONEST,
                            SIM_MISALIGNED,
                            SIM_OVERLAPPING_START, /* inside of live memory, and beyond its end */
                            SIM_OVERLAPPING_SAME,  /* the same range again */
                            SIM_WRAPPING,          /* so high that it goes on at address 0 */
                            SIM_NULL
} sim_mischief;

typedef struct sim_barrier { /* a unit of work that does nothing, but not before ... */
  uint32_t lane;
  uint64_t value;
  uint32_t other; /* ... this lane has come so far */
  uint64_t other_value;
} sim_barrier;

#define SIM_LIST(type)  \
  struct {              \
    type *at;           \
    size_t count, room; \
  }

typedef struct sim_device {
  pthread_mutex_t lock; /* guards everything below, but for what is set before the first call */

  /* set by the test at any quiet moment */
  bool backed;           /* real memory, from malloc */
  bool no_pages;         /* for a cache whose blocks are segments of their own */
  bool reuses_addresses; /* the address that was freed last is the first to be given out again */
  bool waits_complete;   /* a wait hook completes what it waits for (else it fails) */
  bool widens;           /* yields inside of hooks, so that threads meet there */
  bool eager;            /* work completes as it is submitted: the device is always idle */
  bool capturing;        /* a stream is being captured: no event may be recorded or asked */
  /* This many unsuccessful queries of a lane complete one unit; 0: never. */
  uint64_t progress_per_queries;
  size_t memory_limit; /* the alloc hook is out of memory beyond */
  sim_mischief mischief;
  /* Called inside of every hook, but not inside of itself. */
  void (*on_hook)(void *user, sim_hook hook);
  void *on_hook_user;

  /* results */
  uint64_t calls[SIM_HOOKS];
  uint64_t all_calls;
  uint64_t violations;
  size_t live_bytes, peak_bytes; /* obtained and not given back */
  size_t largest_request, last_align;

  struct {
    uint64_t at;    /* the n-th of the calls that count fails; 0: none */
    bool onwards;   /* and all that follow */
    uint64_t every; /* or each n-th, again and again */
    unsigned hooks; /* which calls count */
    int alloc_code; /* what the alloc hook returns */
    int code;       /* and the others */
    uint64_t seen, fired;
    uint64_t fired_of[SIM_HOOKS];
  } fault;

  bool shut;
  uintptr_t cursor;
  uint32_t lane_of[SIM_STREAMS];
  sim_lane lanes[SIM_LANES];
  uint32_t lane_count;
  SIM_LIST(sim_range) ranges, reusable;
  SIM_LIST(sim_block) blocks;
  SIM_LIST(sim_work) works;
  SIM_LIST(sim_barrier) barriers;
  SIM_LIST(sim_object) objects;
} sim_device;

static _Thread_local int sim_depth;        /* on_hook is running on this thread */
static _Thread_local uint64_t sim_relaxed; /* this thread may get memory during a capture */

/* ---- lists ----------------------------------------------------------------------------------- */

static inline void *sim_grown(void *at, size_t *room, size_t count, size_t size) {
  if (count < *room) return at;
  *room = *room == 0 ? 64 : 2 * *room;
  at = realloc(at, *room * size);
  if (at == NULL) abort();
  return at;
}

#define SIM_PUSH(list, value)                                                       \
  ((list).at = sim_grown((list).at, &(list).room, (list).count, sizeof *(list).at), \
   (list).at[(list).count++] = (value))
#define SIM_REMOVE(list, index) ((list).at[index] = (list).at[--(list).count])

/* ---- the book of violations ------------------------------------------------------------------ */

#if defined __GNUC__
__attribute__((format(printf, 2, 3)))
#endif
static inline void
sim_violation(sim_device *d, const char *format, ...) {
  va_list arguments;
  d->violations++;
  fputs("sim: ", stderr);
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
}

static inline void sim_lock(sim_device *d) { pthread_mutex_lock(&d->lock); }

static inline void sim_unlock(sim_device *d) { pthread_mutex_unlock(&d->lock); }

/* ---- streams and work ------------------------------------------------------------------------ */

static inline uint32_t sim_new_lane(sim_device *d) {
  if (d->lane_count == SIM_LANES) abort();
  return d->lane_count++;
}

/* Far from what malloc and mmap give. */
#if UINTPTR_MAX > UINT32_MAX
#define SIM_LOWEST_ADDRESS ((uintptr_t)1 << 44)
#else
#define SIM_LOWEST_ADDRESS ((uintptr_t)1 << 28)
#endif

static inline void sim_open(sim_device *d) {
  uint32_t i;
  memset(d, 0, sizeof *d);
  pthread_mutex_init(&d->lock, NULL);
#if UINTPTR_MAX > UINT32_MAX
  d->memory_limit = (size_t)1 << 45;
#else
  d->memory_limit = (size_t)3 << 30;
#endif
  d->cursor = SIM_LOWEST_ADDRESS;
  for (i = 0; i < SIM_STREAMS; i++) d->lane_of[i] = sim_new_lane(d);
}

static inline bool sim_lane_reached(const sim_device *d, uint32_t lane, uint64_t value) {
  return d->lanes[lane].completed >= value;
}

/* The lane behind a handle; a violation and SIM_GONE where there is none. */
static inline uint32_t sim_lane_of(sim_device *d, sim_stream stream) {
  if (stream < 0 || stream >= SIM_STREAMS || d->lane_of[stream] == SIM_GONE) {
    sim_violation(d, "stream %d is seen, which does not exist (any more)", stream);
    return SIM_GONE;
  }
  return d->lane_of[stream];
}

/* One unit of work; returns the value that the stream will have reached. */
static inline uint64_t sim_submit(sim_device *d, sim_stream stream) {
  uint64_t value = 0;
  uint32_t lane;
  sim_lock(d);
  lane = sim_lane_of(d, stream);
  if (lane != SIM_GONE) value = ++d->lanes[lane].submitted;
  if (lane != SIM_GONE && d->eager) d->lanes[lane].completed = value;
  sim_unlock(d);
  return value;
}

/* Completes up to so many units of a lane, as far as nothing on it waits for others. */
static inline void sim_complete_lane(sim_device *d, uint32_t index, int64_t units) {
  sim_lane *lane = &d->lanes[index];
  uint64_t rest = lane->submitted - lane->completed;
  size_t i;
  if (units >= 0 && (uint64_t)units < rest) rest = (uint64_t)units;
  for (i = 0; i < d->barriers.count; i++) {
    const sim_barrier *b = &d->barriers.at[i];
    if (b->lane != index || b->value > lane->completed + rest || b->value <= lane->completed)
      continue;
    if (!sim_lane_reached(d, b->other, b->other_value)) rest = b->value - lane->completed - 1;
  }
  lane->completed += rest;
}

/* Completes a lane up to a value, and first what it waits for. */
static inline void sim_complete_to(sim_device *d, uint32_t index, uint64_t value) {
  size_t i;
  for (i = 0; i < d->barriers.count; i++) {
    const sim_barrier b = d->barriers.at[i];
    if (b.lane == index && b.value <= value && b.value > d->lanes[index].completed &&
        !sim_lane_reached(d, b.other, b.other_value))
      sim_complete_to(d, b.other, b.other_value);
  }
  d->lanes[index].completed = value;
}

/* Is all that is submitted to a lane after unit `value` later than unit `of_value` of another? */
static inline bool sim_is_after(const sim_device *d, uint32_t lane, uint64_t value, uint32_t of,
                                uint64_t of_value) {
  size_t i;
  if (lane == of) return of_value <= value;
  for (i = 0; i < d->barriers.count; i++) {
    const sim_barrier *b = &d->barriers.at[i];
    if (b->lane == lane && b->value <= value &&
        sim_is_after(d, b->other, b->other_value, of, of_value))
      return true;
  }
  return false;
}

/* Completes the `units` oldest units of work of a stream; all of them if negative. */
static inline void sim_complete(sim_device *d, sim_stream stream, int64_t units) {
  uint32_t lane;
  sim_lock(d);
  lane = sim_lane_of(d, stream);
  if (lane != SIM_GONE) sim_complete_lane(d, lane, units);
  sim_unlock(d);
}

/* Everything, also on streams that are gone, but not on stuck ones. */
static inline void sim_complete_all(sim_device *d) {
  size_t rounds = 0;
  uint32_t lane;
  sim_lock(d);
  for (; rounds <= d->barriers.count; rounds++) /* a chain of waits may go against the order */
    for (lane = 0; lane < d->lane_count; lane++)
      if (!d->lanes[lane].stuck) sim_complete_lane(d, lane, -1);
  sim_unlock(d);
}

static inline void sim_stick(sim_device *d, sim_stream stream, bool stuck) {
  uint32_t lane;
  sim_lock(d);
  lane = sim_lane_of(d, stream);
  if (lane != SIM_GONE) d->lanes[lane].stuck = stuck;
  sim_unlock(d);
}

/* The handle is gone; the work that was submitted goes on. */
static inline void sim_stream_destroy(sim_device *d, sim_stream stream) {
  uint32_t lane;
  sim_lock(d);
  lane = sim_lane_of(d, stream);
  if (lane != SIM_GONE) {
    if (d->lanes[lane].inside != 0)
      sim_violation(d, "stream %d is destroyed while a hook runs on it", stream);
    d->lane_of[stream] = SIM_GONE;
  }
  sim_unlock(d);
}

/* A new stream that gets the handle of one that is gone. Its counter begins at 0 again. */
static inline void sim_stream_create(sim_device *d, sim_stream stream) {
  sim_lock(d);
  if (d->lane_of[stream] != SIM_GONE) sim_violation(d, "stream %d exists", stream);
  d->lane_of[stream] = sim_new_lane(d);
  sim_unlock(d);
}

/* ---- faults ---------------------------------------------------------------------------------- */

/* The n-th call (1 is the next) of any of `hooks` does nothing and returns `code`; `onwards`: and
   all calls after it. */
static inline void sim_fail_with(sim_device *d, uint64_t n, bool onwards, unsigned hooks,
                                 int code) {
  sim_lock(d);
  memset(&d->fault, 0, sizeof d->fault);
  d->fault.at = n;
  d->fault.onwards = onwards;
  d->fault.hooks = hooks;
  d->fault.alloc_code = SIM_FAILURE;
  d->fault.code = code;
  sim_unlock(d);
}

/* The same: it fails. */
static inline void sim_fail(sim_device *d, uint64_t n, bool onwards, unsigned hooks) {
  sim_fail_with(d, n, onwards, hooks, SIM_FAILURE);
}

/* Each n-th call of any of `hooks` fails. */
static inline void sim_fail_every(sim_device *d, uint64_t n, unsigned hooks) {
  sim_fail(d, n, false, hooks);
  sim_lock(d);
  d->fault.every = n;
  sim_unlock(d);
}

static inline void sim_fail_no_more(sim_device *d) {
  sim_lock(d);
  d->fault.at = 0;
  sim_unlock(d);
}

/* From now on every hook call ends the program: the runtime is gone. */
static inline void sim_shutdown(sim_device *d) {
  sim_lock(d);
  d->shut = true;
  sim_unlock(d);
}

static inline uint64_t sim_calls(sim_device *d, unsigned hooks) {
  uint64_t calls = 0;
  unsigned hook;
  sim_lock(d);
  for (hook = 0; hook < SIM_HOOKS; hook++)
    if ((hooks & SIM_ONLY(hook)) != 0) calls += d->calls[hook];
  sim_unlock(d);
  return calls;
}

static inline uint64_t sim_violations(sim_device *d) {
  uint64_t violations;
  sim_lock(d);
  violations = d->violations;
  sim_unlock(d);
  return violations;
}

static inline size_t sim_live_bytes(sim_device *d) {
  size_t bytes;
  sim_lock(d);
  bytes = d->live_bytes;
  sim_unlock(d);
  return bytes;
}

/* During a capture no event is recorded or asked, and memory only by a thread that relaxes it. */
static inline void sim_may_be_called(sim_device *d, sim_hook hook) {
  const unsigned events = SIM_EVERY_RECORD | SIM_EVERY_QUERY | SIM_EVERY_WAIT;
  const unsigned memory = SIM_ONLY(SIM_MEM_ALLOC) | SIM_ONLY(SIM_MEM_FREE);
  if (!d->capturing) return;
  if ((SIM_ONLY(hook) & events) != 0 || ((SIM_ONLY(hook) & memory) != 0 && sim_relaxed == 0))
    sim_violation(d, "hook %d is called while a stream is captured", (int)hook);
}

/* A capture begins or ends, also while other threads are in hooks. */
static inline void sim_capture(sim_device *d, bool begins) {
  sim_lock(d);
  d->capturing = begins;
  sim_unlock(d);
}

/* What every hook begins with: counts the call, and says SIM_DONE or the fault that is due. */
static inline int sim_enter(sim_device *d, sim_hook hook) {
  int code = SIM_DONE;
  sim_lock(d);
  if (d->shut) {
    fprintf(stderr, "sim: hook %d is called after shutdown\n", (int)hook);
    abort();
  }
  sim_may_be_called(d, hook);
  d->calls[hook]++;
  d->all_calls++;
  if (d->fault.at != 0 && (d->fault.hooks & SIM_ONLY(hook)) != 0) {
    d->fault.seen++;
    if (d->fault.seen == d->fault.at || (d->fault.onwards && d->fault.seen > d->fault.at) ||
        (d->fault.every != 0 && d->fault.seen % d->fault.every == 0)) {
      d->fault.fired++;
      d->fault.fired_of[hook]++;
      code = hook == SIM_MEM_ALLOC ? d->fault.alloc_code : d->fault.code;
    }
  }
  sim_unlock(d);
  if (d->on_hook != NULL && sim_depth == 0) {
    sim_depth++;
    d->on_hook(d->on_hook_user, hook);
    sim_depth--;
  }
  if (d->widens) sched_yield();
  return code;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static inline bool sim_overlap(uintptr_t a, size_t a_size, uintptr_t b, size_t b_size) {
  return a < b + b_size && b < a + a_size;
}

/* Completed work is of no interest any more. */
static inline void sim_forget_completed(sim_device *d) {
  size_t i = 0;
  while (i < d->works.count) {
    if (sim_lane_reached(d, d->works.at[i].lane, d->works.at[i].value)) {
      SIM_REMOVE(d->works, i);
    } else {
      i++;
    }
  }
}

/* No work uses the memory, but what a lane (SIM_GONE: none) is to come after. */
static inline void sim_must_be_idle(sim_device *d, uintptr_t start, size_t size, uint32_t lane,
                                    const char *what) {
  size_t i;
  sim_forget_completed(d);
  for (i = 0; i < d->works.count; i++) {
    const sim_work *work = &d->works.at[i];
    if (lane != SIM_GONE &&
        sim_is_after(d, lane, d->lanes[lane].submitted, work->lane, work->value))
      continue;
    if (sim_overlap(work->start, work->size, start, size)) {
      sim_violation(d, "0x%" PRIxPTR " is %s while unit %" PRIu64 " of lane %" PRIu32 " uses it",
                    start, what, work->value, work->lane);
      return;
    }
  }
}

static inline void sim_must_not_be_held(sim_device *d, uintptr_t start, size_t size,
                                        const char *what) {
  size_t i;
  for (i = 0; i < d->blocks.count; i++) {
    if (sim_overlap(d->blocks.at[i].start, d->blocks.at[i].size, start, size)) {
      sim_violation(d, "0x%" PRIxPTR " is %s while it is in the hands of the caller", start, what);
      return;
    }
  }
}

static inline void sim_handed_out_to(sim_device *d, const void *ptr, size_t size, uint32_t lane) {
  sim_block block;
  size_t i;
  bool ours = false;
  block.start = (uintptr_t)ptr;
  block.size = size;
  sim_lock(d);
  for (i = 0; i < d->ranges.count && !ours; i++) {
    const sim_range *range = &d->ranges.at[i];
    ours = block.start >= range->start && size <= range->size &&
           block.start - range->start <= range->size - size && !range->refused;
  }
  if (!ours)
    sim_violation(d, "0x%" PRIxPTR " is handed out, and is not memory of the runtime", block.start);
  sim_must_not_be_held(d, block.start, size, "handed out");
  sim_must_be_idle(d, block.start, size, lane, "handed out");
  SIM_PUSH(d->blocks, block);
  sim_unlock(d);
}

static inline void sim_handed_out(sim_device *d, const void *ptr, size_t size) {
  sim_handed_out_to(d, ptr, size, SIM_GONE);
}

static inline void sim_handed_out_on(sim_device *d, const void *ptr, size_t size,
                                     sim_stream stream) {
  uint32_t lane;
  sim_lock(d);
  lane = sim_lane_of(d, stream);
  sim_unlock(d);
  sim_handed_out_to(d, ptr, size, lane);
}

static inline void sim_handed_back(sim_device *d, const void *ptr) {
  size_t i;
  sim_lock(d);
  for (i = 0; i < d->blocks.count; i++) {
    if (d->blocks.at[i].start == (uintptr_t)ptr) {
      SIM_REMOVE(d->blocks, i);
      sim_unlock(d);
      return;
    }
  }
  sim_violation(d, "the test frees %p, which it does not have", ptr);
  sim_unlock(d);
}

/* Submits one unit of work that uses the block that `ptr` points into. */
static inline uint64_t sim_use(sim_device *d, sim_stream stream, const void *ptr) {
  sim_work work;
  size_t i;
  work.value = sim_submit(d, stream);
  sim_lock(d);
  work.lane = sim_lane_of(d, stream);
  for (i = 0; i < d->blocks.count; i++) {
    if ((uintptr_t)ptr - d->blocks.at[i].start < d->blocks.at[i].size) {
      work.start = d->blocks.at[i].start;
      work.size = d->blocks.at[i].size;
      SIM_PUSH(d->works, work);
      sim_unlock(d);
      return work.value;
    }
  }
  sim_violation(d, "the test uses %p, which it does not have", ptr);
  sim_unlock(d);
  return work.value;
}

/* Where the next range lies: what was freed last, if that is wanted and fits, else new addresses.
   Misaligned for everything beyond `align`. */
static inline bool sim_find_place(sim_device *d, size_t size, size_t align, sim_range *range) {
  size_t i;
  memset(range, 0, sizeof *range);
  range->size = size;
  if (d->reuses_addresses) {
    for (i = d->reusable.count; i-- > 0;) {
      if (d->reusable.at[i].size != size || d->reusable.at[i].start % align != 0) continue;
      *range = d->reusable.at[i];
      for (; i + 1 < d->reusable.count; i++) d->reusable.at[i] = d->reusable.at[i + 1];
      d->reusable.count--;
      return true;
    }
  }
  if (d->backed) {
    range->raw = malloc(size + 2 * align);
    if (range->raw == NULL) return false;
    range->start = ((uintptr_t)range->raw + align - 1) / align * align;
    if (range->start % (2 * align) == 0) range->start += align;
    return range->start + size <= (uintptr_t)range->raw + size + 2 * align;
  }
  if (size > UINTPTR_MAX - 2 * align - d->cursor) { /* of 32 bits there can be an end */
    if (d->ranges.count > 0) return false;
    d->cursor = SIM_LOWEST_ADDRESS;
  }
  range->start = (d->cursor + align - 1) / align * align;
  if (range->start % (2 * align) == 0) range->start += align;
  d->cursor = range->start + size;
  return true;
}

static inline void sim_drop_range(sim_device *d, size_t index) {
  sim_range range = d->ranges.at[index];
  SIM_REMOVE(d->ranges, index);
  d->live_bytes -= range.size;
  range.refused = range.overlaps = false;
  if (d->reuses_addresses) {
    SIM_PUSH(d->reusable, range);
  } else {
    free(range.raw);
  }
}

/* The last range that was obtained, and is still there, in a place that it must not be. */
static inline void sim_misplace(sim_device *d, size_t align, sim_range *range) {
  const sim_range *last = d->ranges.count > 0 ? &d->ranges.at[d->ranges.count - 1] : NULL;
  switch (d->mischief) {
    case SIM_MISALIGNED: range->start += align / 2; break;
    case SIM_OVERLAPPING_START:
      if (last == NULL) break;
      range->start = last->start + (last->size / align - 1) * align;
      range->overlaps = true;
      break;
    case SIM_OVERLAPPING_SAME:
      if (last == NULL) break;
      range->start = last->start;
      range->overlaps = true;
      break;
    case SIM_WRAPPING:
      range->start = (uintptr_t)0 - align;
      range->overlaps = true;
      break;
    case SIM_NULL:
    case SIM_HONEST: break;
  }
  d->mischief = SIM_HONEST;
}

static inline int sim_mem_alloc(sim_device *d, size_t size, size_t align, void **ptr) {
  sim_range range;
  int code = sim_enter(d, SIM_MEM_ALLOC);
  sim_lock(d);
  *ptr = (void *)(uintptr_t)0xbad0; /* not NULL on failure: runtimes leave anything there */
  if (size == 0 || (size % 4096 != 0 && !d->no_pages) || align == 0 || (align & (align - 1)) != 0 ||
      size % align != 0) {
    sim_violation(d, "%zu bytes aligned to %zu are asked for", size, align);
    code = SIM_FAILURE;
  }
  d->last_align = align;
  if (size > d->largest_request) d->largest_request = size;
  if (code == SIM_DONE && d->mischief == SIM_NULL) {
    d->mischief = SIM_HONEST;
    *ptr = NULL;
    sim_unlock(d);
    return code;
  }
  if (code == SIM_DONE &&
      (d->live_bytes > d->memory_limit || size > d->memory_limit - d->live_bytes))
    code = SIM_NO_MEMORY;
  if (code == SIM_DONE && !sim_find_place(d, size, align, &range)) code = SIM_NO_MEMORY;
  if (code == SIM_DONE) {
    if (d->mischief != SIM_HONEST) sim_misplace(d, align, &range);
    d->live_bytes += size;
    if (d->live_bytes > d->peak_bytes) d->peak_bytes = d->live_bytes;
    SIM_PUSH(d->ranges, range);
    *ptr = (void *)range.start;
  }
  sim_unlock(d);
  return code;
}

static inline int sim_mem_free(sim_device *d, void *ptr, size_t size) {
  uintptr_t start = (uintptr_t)ptr;
  size_t i;
  int code = sim_enter(d, SIM_MEM_FREE);
  sim_lock(d);
  /* From the youngest: of two ranges at one address that one is the mistake. */
  for (i = d->ranges.count; i-- > 0;)
    if (d->ranges.at[i].start == start && d->ranges.at[i].size == size) break;
  if (i >= d->ranges.count) {
    sim_violation(d, "0x%" PRIxPTR " with %zu bytes is given back, which was not obtained so",
                  start, size);
    code = SIM_FAILURE;
  } else if (d->ranges.at[i].refused) {
    sim_violation(d, "0x%" PRIxPTR " is given back again, after that had failed", start);
  } else {
    if (!d->ranges.at[i].overlaps) {
      sim_must_not_be_held(d, start, size, "given back");
      sim_must_be_idle(d, start, size, SIM_GONE, "given back");
    }
    if (code == SIM_DONE) {
      sim_drop_range(d, i);
    } else {
      d->ranges.at[i].refused = true;
    }
  }
  sim_unlock(d);
  return code;
}

/* ---- events that are objects ----------------------------------------------------------------- */

static inline sim_event sim_object_new(sim_device *d, uint32_t home) {
  sim_object fresh;
  sim_event event;
  size_t i;
  memset(&fresh, 0, sizeof fresh);
  fresh.home = home;
  fresh.lane = SIM_GONE;
  fresh.live = true;
  for (i = 0; i < d->objects.count && d->objects.at[i].live; i++) continue;
  if (i < d->objects.count) {
    fresh.generation = d->objects.at[i].generation + 1;
    d->objects.at[i] = fresh;
  } else {
    fresh.generation = 1;
    SIM_PUSH(d->objects, fresh);
  }
  event.slot = (uint32_t)i + 1;
  event.generation = fresh.generation;
  return event;
}

static inline sim_object *sim_object_of(sim_device *d, const sim_event *event, const char *what) {
  sim_object *object;
  if (event->slot == 0 || event->slot > d->objects.count) {
    sim_violation(d, "event %" PRIu32 " is %s, which never was", event->slot, what);
    return NULL;
  }
  object = &d->objects.at[event->slot - 1];
  if (!object->live || object->generation != event->generation) {
    sim_violation(d, "event %" PRIu32 " is %s after its destruction", event->slot, what);
    return NULL;
  }
  return object;
}

/* Claims an event for the time of a call, or of a hook on it. */
static inline bool sim_object_claim(sim_device *d, const sim_event *event, const char *what) {
  sim_object *object;
  bool claimed = false;
  sim_lock(d);
  object = sim_object_of(d, event, what);
  if (object != NULL) {
    if (object->busy)
      sim_violation(d, "event %" PRIu32 " is %s by two threads at once", event->slot, what);
    object->busy = claimed = true;
  }
  sim_unlock(d);
  return claimed;
}

static inline bool sim_object_pending(const sim_device *d, const sim_object *object) {
  return object->lane != SIM_GONE && !sim_lane_reached(d, object->lane, object->value);
}

static inline void sim_lane_enter(sim_device *d, sim_stream stream, uint32_t *lane) {
  sim_lock(d);
  *lane = sim_lane_of(d, stream);
  if (*lane != SIM_GONE) d->lanes[*lane].inside++;
  sim_unlock(d);
}

static inline void sim_lane_leave(sim_device *d, uint32_t lane) {
  if (lane != SIM_GONE) d->lanes[lane].inside--;
}

static inline int sim_event_create(sim_device *d, sim_stream stream, sim_event *event) {
  uint32_t lane;
  int code;
  sim_lane_enter(d, stream, &lane);
  code = sim_enter(d, SIM_EVENT_CREATE);
  sim_lock(d);
  if (code == SIM_DONE) *event = sim_object_new(d, lane);
  sim_lane_leave(d, lane);
  sim_unlock(d);
  return code;
}

static inline int sim_event_destroy(sim_device *d, sim_event *event) {
  bool claimed = sim_object_claim(d, event, "destroyed");
  int code = sim_enter(d, SIM_EVENT_DESTROY);
  sim_lock(d);
  if (claimed) {
    sim_object *object = &d->objects.at[event->slot - 1];
    object->busy = false;
    if (sim_object_pending(d, object))
      sim_violation(d, "event %" PRIu32 " is destroyed while pending", event->slot);
    if (code == SIM_DONE) {
      object->live = false;
    } else {
      object->refused = true;
    }
  }
  sim_unlock(d);
  return code;
}

/* Recording an event that was created before. */
static inline int sim_event_record(sim_device *d, sim_event *event, sim_stream stream) {
  uint32_t lane;
  bool claimed = sim_object_claim(d, event, "recorded");
  int code;
  sim_lane_enter(d, stream, &lane);
  code = sim_enter(d, SIM_EVENT_RECORD);
  sim_lock(d);
  if (claimed) {
    sim_object *object = &d->objects.at[event->slot - 1];
    object->busy = false;
    if (sim_object_pending(d, object))
      sim_violation(d, "event %" PRIu32 " is recorded again while pending", event->slot);
    if (object->home != lane)
      sim_violation(d, "event %" PRIu32 " is recorded on another stream", event->slot);
    if (object->handed_over)
      sim_violation(d, "event %" PRIu32 " was handed over, and is reused", event->slot);
    if (code == SIM_DONE && lane != SIM_GONE) {
      object->lane = lane;
      object->value = d->lanes[lane].submitted;
    }
  }
  sim_lane_leave(d, lane);
  sim_unlock(d);
  return code;
}

/* Recording makes the event. */
static inline int sim_event_make(sim_device *d, sim_event *event, sim_stream stream) {
  uint32_t lane;
  int code;
  sim_lane_enter(d, stream, &lane);
  code = sim_enter(d, SIM_EVENT_RECORD);
  sim_lock(d);
  if (code == SIM_DONE && lane != SIM_GONE) {
    *event = sim_object_new(d, lane);
    d->objects.at[event->slot - 1].lane = lane;
    d->objects.at[event->slot - 1].value = d->lanes[lane].submitted;
  }
  sim_lane_leave(d, lane);
  sim_unlock(d);
  return code;
}

/* One more unit of a lane, or of what that waits for. */
static inline void sim_move(sim_device *d, uint32_t index) {
  const uint64_t before = d->lanes[index].completed;
  size_t i;
  sim_complete_lane(d, index, 1);
  if (d->lanes[index].completed > before) return;
  for (i = 0; i < d->barriers.count; i++) {
    const sim_barrier b = d->barriers.at[i];
    if (b.lane == index && b.value == before + 1 && !d->lanes[b.other].stuck) sim_move(d, b.other);
  }
}

/* An unsuccessful query; some devices move when they are asked. */
static inline int sim_not_ready(sim_device *d, uint32_t index) {
  sim_lane *lane = &d->lanes[index];
  lane->asked++;
  if (d->progress_per_queries != 0 && !lane->stuck && lane->asked % d->progress_per_queries == 0)
    sim_move(d, index);
  return SIM_PENDING;
}

/* What a query and a wait share once the fault is decided. */
static inline int sim_ask(sim_device *d, uint32_t lane, uint64_t value, bool waits) {
  if (lane == SIM_GONE || sim_lane_reached(d, lane, value)) return SIM_DONE;
  if (!waits) return sim_not_ready(d, lane);
  if (!d->waits_complete || d->lanes[lane].stuck) {
    sim_violation(d, "a wait would never end: unit %" PRIu64 " of lane %" PRIu32, value, lane);
    return SIM_FAILURE;
  }
  if (value > d->lanes[lane].submitted) {
    sim_violation(d, "a wait for unit %" PRIu64 " of lane %" PRIu32 ", which was not submitted",
                  value, lane);
    return SIM_FAILURE;
  }
  sim_complete_to(d, lane, value);
  return SIM_DONE;
}

static inline int sim_event_ask(sim_device *d, sim_event *event, sim_hook hook) {
  bool claimed = sim_object_claim(d, event, "asked");
  int code = sim_enter(d, hook);
  sim_lock(d);
  if (claimed) {
    sim_object *object = &d->objects.at[event->slot - 1];
    object->busy = false;
    if (object->lane == SIM_GONE)
      sim_violation(d, "event %" PRIu32 " is asked before it was recorded", event->slot);
    if (code == SIM_DONE) code = sim_ask(d, object->lane, object->value, hook == SIM_EVENT_WAIT);
  }
  sim_unlock(d);
  return code;
}

static inline int sim_event_query(sim_device *d, sim_event *event) {
  return sim_event_ask(d, event, SIM_EVENT_QUERY);
}

static inline int sim_event_wait(sim_device *d, sim_event *event) {
  return sim_event_ask(d, event, SIM_EVENT_WAIT);
}

/* For the test: an event of its own, after all work so far, to hand over. No hook. */
static inline sim_event sim_own_event(sim_device *d, sim_stream stream) {
  sim_event event = {0, 0};
  uint32_t lane;
  sim_lock(d);
  lane = sim_lane_of(d, stream);
  if (lane != SIM_GONE) {
    event = sim_object_new(d, SIM_GONE);
    d->objects.at[event.slot - 1].lane = lane;
    d->objects.at[event.slot - 1].value = d->lanes[lane].submitted;
    d->objects.at[event.slot - 1].handed_over = true;
  }
  sim_unlock(d);
  return event;
}

/* For the test: destroys an event that stayed its own. */
static inline void sim_own_event_end(sim_device *d, sim_event event) {
  sim_object *object;
  sim_lock(d);
  object = sim_object_of(d, &event, "destroyed by the test");
  if (object != NULL) object->live = false;
  sim_unlock(d);
}

static inline size_t sim_live_events(sim_device *d) {
  size_t i, live = 0;
  sim_lock(d);
  for (i = 0; i < d->objects.count; i++) live += d->objects.at[i].live && !d->objects.at[i].refused;
  sim_unlock(d);
  return live;
}

/* ---- events that are plain values ------------------------------------------------------------ */

static inline int sim_point_record(sim_device *d, sim_point *point, sim_stream stream) {
  uint32_t lane;
  int code;
  sim_lane_enter(d, stream, &lane);
  code = sim_enter(d, SIM_EVENT_RECORD);
  sim_lock(d);
  if (code == SIM_DONE && lane != SIM_GONE) {
    point->lane = lane;
    point->value = d->lanes[lane].submitted;
  }
  sim_lane_leave(d, lane);
  sim_unlock(d);
  return code;
}

static inline int sim_point_ask(sim_device *d, const sim_point *point, sim_hook hook) {
  int code = sim_enter(d, hook);
  sim_lock(d);
  if (point->lane >= d->lane_count) {
    sim_violation(d, "an event is asked that was never recorded");
  } else if (code == SIM_DONE) {
    code = sim_ask(d, point->lane, point->value, hook == SIM_EVENT_WAIT);
  }
  sim_unlock(d);
  return code;
}

static inline int sim_point_query(sim_device *d, const sim_point *point) {
  return sim_point_ask(d, point, SIM_EVENT_QUERY);
}

static inline int sim_point_wait(sim_device *d, const sim_point *point) {
  return sim_point_ask(d, point, SIM_EVENT_WAIT);
}

/* For the test: an event of its own, after all work so far. */
static inline sim_point sim_own_point(sim_device *d, sim_stream stream) {
  sim_point point = {0, 0};
  sim_lock(d);
  point.lane = sim_lane_of(d, stream);
  if (point.lane != SIM_GONE) point.value = d->lanes[point.lane].submitted;
  sim_unlock(d);
  return point;
}

/* ---- timelines ------------------------------------------------------------------------------- */

static inline int sim_timeline_record(sim_device *d, sim_stream stream, uint64_t *value) {
  uint32_t lane;
  int code;
  sim_lane_enter(d, stream, &lane);
  code = sim_enter(d, SIM_TIMELINE_RECORD);
  sim_lock(d);
  *value = code == SIM_DONE && lane != SIM_GONE ? d->lanes[lane].submitted : 0;
  sim_lane_leave(d, lane);
  sim_unlock(d);
  return code;
}

static inline int sim_timeline_query(sim_device *d, sim_stream stream, uint64_t *value) {
  uint32_t lane;
  int code;
  sim_lane_enter(d, stream, &lane);
  code = sim_enter(d, SIM_TIMELINE_QUERY);
  sim_lock(d);
  *value = UINT64_MAX; /* on failure: anything */
  if (code == SIM_DONE && lane != SIM_GONE) {
    *value = d->lanes[lane].completed;
    if (d->lanes[lane].completed < d->lanes[lane].submitted) (void)sim_not_ready(d, lane);
  }
  sim_lane_leave(d, lane);
  sim_unlock(d);
  return code;
}

static inline int sim_timeline_wait(sim_device *d, sim_stream stream, uint64_t value) {
  uint32_t lane;
  int code;
  sim_lane_enter(d, stream, &lane);
  code = sim_enter(d, SIM_TIMELINE_WAIT);
  sim_lock(d);
  if (code == SIM_DONE) code = sim_ask(d, lane, value, true);
  sim_lane_leave(d, lane);
  sim_unlock(d);
  return code;
}

/* ---- streams that wait ----------------------------------------------------------------------- */

/* All that is submitted to a stream from now on comes after this unit of another lane. */
static inline int sim_after(sim_device *d, sim_stream stream, uint32_t other, uint64_t value) {
  sim_barrier after;
  uint32_t lane;
  int code;
  sim_lane_enter(d, stream, &lane);
  code = sim_enter(d, SIM_STREAM_AFTER);
  sim_lock(d);
  if (code == SIM_DONE && lane != SIM_GONE && other != SIM_GONE) {
    after.lane = lane;
    after.value = ++d->lanes[lane].submitted;
    after.other = other;
    after.other_value = value;
    SIM_PUSH(d->barriers, after);
  }
  sim_lane_leave(d, lane);
  sim_unlock(d);
  return code;
}

static inline int sim_after_event(sim_device *d, sim_stream stream, sim_event *event) {
  bool claimed = sim_object_claim(d, event, "waited for by a stream");
  uint32_t lane = SIM_GONE;
  uint64_t value = 0;
  int code;
  sim_lock(d);
  if (claimed) {
    sim_object *object = &d->objects.at[event->slot - 1];
    lane = object->lane;
    value = object->value;
    if (lane == SIM_GONE)
      sim_violation(d, "event %" PRIu32 " is waited for before it was recorded", event->slot);
  }
  sim_unlock(d);
  code = sim_after(d, stream, lane, value);
  sim_lock(d);
  if (claimed) d->objects.at[event->slot - 1].busy = false;
  sim_unlock(d);
  return code;
}

static inline int sim_after_point(sim_device *d, sim_stream stream, const sim_point *point) {
  return sim_after(d, stream, point->lane, point->value);
}

static inline int sim_after_value(sim_device *d, sim_stream stream, sim_stream other,
                                  uint64_t value) {
  uint32_t lane, index;
  int code;
  sim_lane_enter(d, other, &lane);
  index = lane;
  code = sim_after(d, stream, index, value);
  sim_lock(d);
  sim_lane_leave(d, lane);
  sim_unlock(d);
  return code;
}

static inline int sim_stream_wait(sim_device *d, sim_stream stream) {
  uint32_t lane;
  int code;
  sim_lane_enter(d, stream, &lane);
  code = sim_enter(d, SIM_STREAM_WAIT);
  sim_lock(d);
  if (code == SIM_DONE && lane != SIM_GONE) code = sim_ask(d, lane, d->lanes[lane].submitted, true);
  sim_lane_leave(d, lane);
  sim_unlock(d);
  return code;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Ends the device and says how many rules were broken. What the cache said that it left to the
   runtime is `leaked_bytes` and `leaked_events`; anything else that is still there is one more. */
static inline uint64_t sim_close(sim_device *d, size_t leaked_bytes, size_t leaked_events) {
  size_t i, events = sim_live_events(d);
  if (d->live_bytes != leaked_bytes)
    sim_violation(d, "%zu bytes are left, %zu were told", d->live_bytes, leaked_bytes);
  if (events != leaked_events)
    sim_violation(d, "%zu events are left, %zu were told", events, leaked_events);
  for (i = 0; i < d->ranges.count; i++) free(d->ranges.at[i].raw);
  for (i = 0; i < d->reusable.count; i++) free(d->reusable.at[i].raw);
  free(d->ranges.at);
  free(d->reusable.at);
  free(d->blocks.at);
  free(d->works.at);
  free(d->barriers.at);
  free(d->objects.at);
  pthread_mutex_destroy(&d->lock);
  return d->violations;
}

#endif
