/* memory.h - programs of operations on a cache's memory, and an oracle that follows them.

   A program is a string of bytes, so that chance (model/memory.c) and a fuzzer (fuzz/memory.c) can
   write it alike: the first byte chooses a config of model_setups, and each four that follow are
   one operation and its three arguments. Any bytes are a program. model_run() runs one on a
   simulated device, whose memory is addresses alone, and compares the cache with the oracle after
   every operation:

     blocks    The oracle keeps a book of what it was given, and of the work that it submitted. What
               walk shows must be that, to the byte. Which of the pending blocks have become ready
               it takes from walk, and judges: a block whose work is incomplete must wait, and one
               whose work was complete before an operation that polls must not.
     segments  It keeps a book of what its own hooks gave and took back: the cap, which it asserts
               inside of the alloc hook, what is held, what leaked, and since when each is idle.
     figures   Every figure of hostcache_stats, from these two books and the calls of the hooks. Of
               cached_bytes and inactive_split* only `current` can be known, as ranges that become
               one are counted out and in again; `peak`, `allocated` and `freed` are bounded.
     rules     Those of the contract, section 6 above all: MODEL_RULES lists them.

   configs.h runs programs of its own on the same oracle, over configs that bytes make, and defines
   MODEL_CONFIGS for that: then the configs here, and model_run, are not there.

   The oracle knows of hostcache.h nothing but the interface. It includes no assertion library: a
   rule that is broken is noted in the model, and ends the program. Each operation's meaning and
   share is part of what the bytes of tests/fuzz/corpus/memory mean: new ones take theirs from the
   others, and the corpus is then made anew. */

#ifndef TESTS_MODEL_MEMORY_H
#define TESTS_MODEL_MEMORY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An assertion of the header ends the program that failed it, like a rule that is broken. */
static void model_assertion(const char *condition);
#define HOSTCACHE_ASSERT(condition) ((condition) ? (void)0 : model_assertion(#condition))

#include "../sim/below.h"
#include "../sim/sim.h"

static int model_mem_alloc(sim_device *d, size_t size, size_t align, void **ptr);
static int model_mem_free(sim_device *d, void *ptr, size_t size);

#define HC_NAME pinned
#include "../sim/hooks_pooled.h"
#undef HC_MEM_ALLOC
#undef HC_MEM_FREE
#define HC_MEM_ALLOC(ctx, size, align, ptr_out)                                             \
  hostcache_map_memory(model_mem_alloc(ctx, size, align, ptr_out), SIM_DONE, SIM_NO_MEMORY, \
                       SIM_NO_MEMORY)
#define HC_MEM_FREE(ctx, ptr, size) \
  hostcache_map(model_mem_free(ctx, ptr, size), SIM_DONE, SIM_PENDING)
#define HC_IMPLEMENT
#include "hostcache.h"

#define MODEL_KIB ((size_t)1024)
#define MODEL_MIB (1024 * MODEL_KIB)
#define MODEL_PAGE ((size_t)4096)

enum {
  MODEL_STREAMS = 6,  /* four uses of a block need no memory: more than that */
  MODEL_BLOCKS = 96,  /* that are in use at a time */
  MODEL_GHOSTS = 32,  /* blocks freed last, for double frees */
  MODEL_OP_BYTES = 4, /* of a program */
  MODEL_OPS = 400     /* of a program, at most */
};

/* ---- configs --------------------------------------------------------------------------------- */

typedef struct model_setup {
  const char *name;
  size_t alignment, segment_bytes, max_segment_bytes, max_reserved_bytes, max_cached_bytes;
  size_t max_split_size, reserve_segment_bytes, class_max_bytes;
  uint32_t class_steps;
  uint64_t wait_on_limit_ns;
  size_t memory_limit;   /* of the device; 0: none */
  uint64_t progress;     /* so many unsuccessful queries complete a unit of work; 0: never */
  bool reuses_addresses; /* the device gives out again what it got back last */
  bool has_budget;       /* the system tells one: see configs.h */
} model_setup;

#ifndef MODEL_CONFIGS
#define MODEL_NAME "memory"

static const model_setup model_setups[] = {
    {.name = "the defaults"},
    {.name = "small segments", .segment_bytes = 64 * MODEL_KIB, .reuses_addresses = true},
    {.name = "an alignment of 64", .alignment = 64, .segment_bytes = 256 * MODEL_KIB},
    {.name = "an alignment of 4096", .alignment = 4096, .class_steps = 4},
    {.name = "an alignment of 64 KiB", .alignment = 64 * MODEL_KIB, .reuses_addresses = true},
    {.name = "a max_split_size", .max_split_size = MODEL_MIB, .max_cached_bytes = 96 * MODEL_MIB},
    {.name = "a small max_split_size", .max_split_size = 64 * MODEL_KIB},
    {.name = "more classes", .class_steps = 16, .class_max_bytes = 4 * MODEL_MIB},
    {.name = "few classes",
     .class_steps = 1,
     .class_max_bytes = 64 * MODEL_KIB,
     .segment_bytes = 512 * MODEL_KIB},
    {.name = "a reserve segment", .reserve_segment_bytes = 32 * MODEL_MIB},
    {.name = "a cap", .max_reserved_bytes = 64 * MODEL_MIB, .reuses_addresses = true},
    {.name = "a cap that is waited at",
     .max_reserved_bytes = 24 * MODEL_MIB,
     .max_cached_bytes = 4 * MODEL_MIB,
     .wait_on_limit_ns = 30000,
     .progress = 2},
    {.name = "nothing idle", .max_cached_bytes = HOSTCACHE_NONE},
    {.name = "a small device", .memory_limit = 96 * MODEL_MIB, .reuses_addresses = true},
    {.name = "a small device and a cap",
     .memory_limit = 40 * MODEL_MIB,
     .max_reserved_bytes = 48 * MODEL_MIB,
     .max_segment_bytes = 8 * MODEL_MIB},
    {.name = "a small device and a cap that are waited at",
     .memory_limit = 20 * MODEL_MIB,
     .max_reserved_bytes = 24 * MODEL_MIB,
     .wait_on_limit_ns = 30000,
     .progress = 1},
    {.name = "everything at once",
     .alignment = 256,
     .segment_bytes = MODEL_MIB,
     .max_segment_bytes = 40 * MODEL_MIB,
     .reserve_segment_bytes = 8 * MODEL_MIB,
     .max_split_size = 256 * MODEL_KIB,
     .max_reserved_bytes = 48 * MODEL_MIB,
     .max_cached_bytes = 10 * MODEL_MIB,
     .class_steps = 4,
     .reuses_addresses = true},
};
enum { MODEL_SETUPS = sizeof model_setups / sizeof *model_setups };
#endif

/* Each of them with stocks of the usual size, without any, and with small ones. */
static const size_t model_stocks[] = {0, HOSTCACHE_NONE, 48 * MODEL_KIB};
enum { MODEL_STOCKS = sizeof model_stocks / sizeof *model_stocks, MODEL_NO_STOCKS = 1 };

/* ---- the books ------------------------------------------------------------------------------- */

typedef struct model_block {
  uintptr_t ptr;
  pinned_block *handle;
  size_t requested, capacity;
  int kind;                      /* HOSTCACHE_VISIT_ACTIVE, _PENDING, _QUARANTINED */
  uint64_t waits[MODEL_STREAMS]; /* how much of a stream it waits for; active: it is marked */
  bool deferred;                 /* freed by free_deferred: its events may be recorded later */
  bool unknown;                  /* a use of it found no memory */
  bool complete;                 /* its work was, before the operation */
  bool fresh;                    /* handed out by this operation, and not yet in the figures */
} model_block;

typedef struct model_ghost { /* what was freed */
  uintptr_t ptr;
  pinned_block *handle;
  size_t capacity;
} model_ghost;

typedef struct model_segment {
  uintptr_t ptr;
  size_t size;
  bool leaked, reserve;
  bool idle;                   /* after the last operation */
  uint64_t idle_from, idle_to; /* and since some time between these, on the replaced clock */
} model_segment;

typedef struct model_range { /* what walk shows */
  int kind;
  uintptr_t ptr;
  size_t size, requested;
  bool whole; /* it is all of its segment */
} model_range;

typedef SIM_LIST(model_range) model_ranges;

typedef struct model_call { /* of the alloc hook */
  size_t size;
  int code;
} model_call;

typedef enum model_op {
  MODEL_ALLOC,
  MODEL_BLOCK_ALLOC,
  MODEL_ALLOC_ODD,
  MODEL_FREE,
  MODEL_BLOCK_FREE,
  MODEL_FREE_DEFERRED,
  MODEL_BLOCK_FREE_DEFERRED,
  MODEL_USE,
  MODEL_COMPLETE,
  MODEL_PROCESS_EVENTS,
  MODEL_SYNCHRONIZE,
  MODEL_EMPTY_CACHE,
  MODEL_TRIM,
  MODEL_TRIM_IDLE,
  MODEL_RESERVE,
  MODEL_SET_MAX_RESERVED,
  MODEL_SET_MAX_CACHED,
  MODEL_MISUSE,
  MODEL_FAIL_HOOKS,
  MODEL_FAIL_MALLOC,
  MODEL_FAIL_NO_MORE,
  MODEL_RELEASE_QUARANTINE,
  MODEL_RESET,
  MODEL_OP_COUNT
} model_op;

/* How often each is met, of 256. */
static const uint8_t model_shares[MODEL_OP_COUNT] = {50, 24, 3, 36, 14, 10, 6, 34, 20, 7, 2, 3,
                                                     5,  4,  5, 5,  5,  8,  5, 3,  4,  1, 2};

typedef struct model {
  sim_device device; /* first, as the hooks get its address */
  pinned *cache;
  const model_setup *setup;
  FILE *trace;      /* every operation is told here; NULL: none */
  const char *rule; /* the first that was broken; NULL: none */
  char finding[400];
  unsigned lie; /* 1 + the number of the figure to be falsified, to see that it is compared */

  /* the config, with its defaults */
  size_t alignment, unit, max_split, segment, max_segment, reserve, cap, max_cached, class_max;
  size_t stock;
  uint32_t steps, query_limit;
  bool stock_is_part; /* of what is held */
  bool deaf;          /* there is no on_error */

  model_block blocks[MODEL_BLOCKS];
  size_t block_count;
  model_ghost ghosts[MODEL_GHOSTS];
  size_t ghost_count; /* ever: the last ones are kept */
  SIM_LIST(model_segment) segments;
  size_t held, most_held; /* bytes */
  model_ranges ranges;    /* after the last operation */
  model_ranges seen;      /* inside of a hook */
  hostcache_stats want;
  int64_t bases[19];       /* `current` at the last reset of the accumulated figures */
  bool loose;              /* a stream may have no queue: then some polls ask a few blocks alone */
  uint64_t queries_failed; /* so far */

  /* this operation */
  model_op op;
  unsigned number;
  hostcache_result result;
  size_t size, need; /* of an allocation: what is asked, and the block's size */
  size_t keep;       /* of trim */
  uint64_t idle_ns;  /* of trim_idle */
  size_t ready;      /* blocks that became so */
  bool called;       /* the cache, at all */
  SIM_LIST(model_call) calls;
  unsigned frees, frees_failed;
  size_t fitting; /* the size of a segment that went back, and would have done */
  size_t last_free, held_at_last_free; /* its size, and what was held before it */
  uint64_t began_ns, hooks_before, heard_before[16], fired_before[SIM_HOOKS], malloc_before;
  uint64_t heard[16];
} model;

static jmp_buf *model_jump; /* where a failed assertion goes; NULL: the program aborts */
static model *model_asserting;

/* ---- rules ----------------------------------------------------------------------------------- */

/* The rules. Two failures of one rule are one defect to the shrinker. */
#define MODEL_RULES(X)                                                                         \
  X(CREATE, "create takes a config that makes sense, and refuses any other")                   \
  X(CHECK, "check says OK after every operation")                                              \
  X(ASSERTION, "no assertion of the header fails")                                             \
  X(REFEREE, "the device sees no rule broken")                                                 \
  X(RESULT, "an operation returns what it may return")                                         \
  X(FIGURE, "every figure is that of the books")                                               \
  X(SIZE, "a block is of the size of its class: never below the request, 12.5% above at most") \
  X(WASTE, "no more is wasted than the steps of the classes, an alignment unit or a page")     \
  X(ALIGNED, "a block and a segment are aligned")                                              \
  X(OVERLAP, "what is handed out was ready, or is new")                                        \
  X(TILES, "the ranges of a segment tile it, and no two ready ones stand side by side")        \
  X(BLOCKS, "the blocks in use are those handed out and not given back")                       \
  X(WAITS, "a block waits until its work is complete")                                         \
  X(DRAINED, "who polls makes ready what is complete")                                         \
  X(QUARANTINE, "only a failure quarantines, and only the caller releases")                    \
  X(SEGMENTS, "the segments are those that the hooks gave and have not taken back")            \
  X(FITS, "a new segment is got only when no ready range fits")                                \
  X(SEGMENT_SIZE, "a segment is as large as the shared ones or as its block alone")            \
  X(CAP, "the cap is never passed")                                                            \
  X(PEAK, "idle segments go back before more is held than ever was")                           \
  X(BEST_FIT, "of two ranges of a segment the smaller one that fits is taken")                 \
  X(CACHED, "nothing idle is kept above max_cached_bytes and the cap")                         \
  X(OVERSHED, "no more is given back than the bounds ask for")                                 \
  X(TRIM, "trim gives back what is idle down to what is to be kept, and no more")              \
  X(OLDEST, "what has been idle for longest goes back first")                                  \
  X(IDLE, "trim_idle gives back what has been idle for so long, and nothing else")             \
  X(RESERVED, "what was reserved can be had without a hook")                                   \
  X(GAVE_UP, "no allocation fails while something could be reclaimed for it")                  \
  X(UNTOUCHED, "an error changes nothing but what it may")                                     \
  X(FIND, "find finds the active block that a pointer lies in, and no other")                  \
  X(TOLD, "on_error hears of each failure")                                                    \
  X(END, "once all is freed and the cache emptied, everything has been given back")

#include "books.h"

/* ---- sizes ----------------------------------------------------------------------------------- */

static size_t model_up(size_t size, size_t unit) { return (size + unit - 1) / unit * unit; }

/* The size of the block that a request gets: the smallest of alignment * k for k up to the steps,
   and alignment * (steps + j) * 2^e for j from 1 to steps. 0: too big. */
static size_t model_class(const model *m, size_t size) {
  size_t units, class_units = 0, e, j;
  if (size > (size_t)PTRDIFF_MAX - (m->unit - 1)) return 0;
  if (size > m->class_max) {
    size = model_up(size, m->unit);
  } else {
    units = model_up(size, m->alignment) / m->alignment;
    if (units <= m->steps) class_units = units;
    for (e = 0; class_units == 0; e++)
      for (j = 1; j <= m->steps && class_units == 0; j++)
        if ((m->steps + j) << e >= units) class_units = (m->steps + j) << e;
    size = class_units * m->alignment;
  }
  return model_up(size, m->unit) <= m->max_segment ? size : 0;
}

/* ---- looking --------------------------------------------------------------------------------- */

/* The model's own calls of the cache cannot fail for want of memory, nor do they use up the count
   to a failure. */
typedef struct model_quiet {
  unsigned long long calls, at, from, failed;
} model_quiet;

static model_quiet model_hush(void) {
  model_quiet quiet;
  quiet.calls = atomic_load(&below.calls);
  quiet.at = atomic_exchange(&below.fails_at, 0);
  quiet.from = atomic_exchange(&below.fails_from, 0);
  quiet.failed = atomic_load(&below.failed);
  return quiet;
}

static void model_unhush(model_quiet quiet) {
  atomic_store(&below.calls, quiet.calls);
  atomic_store(&below.fails_at, quiet.at);
  atomic_store(&below.fails_from, quiet.from);
}

typedef struct model_looking {
  model_ranges *into;
  uintptr_t segment, next; /* the first byte that no range has covered yet */
  size_t size;
  bool ready; /* the last range is */
  model *m;
} model_looking;

static void model_segment_ends(model_looking *looking) {
  MODEL_MUST(looking->m, looking->next == looking->segment + looking->size, TILES,
             "the ranges of 0x%" PRIxPTR " end at 0x%" PRIxPTR, looking->segment, looking->next);
}

static int model_look_at(void *user, const hostcache_visit *visit) {
  model_looking *looking = user;
  model *m = looking->m;
  model_range range;
  if (visit->kind == HOSTCACHE_VISIT_SEGMENT) {
    model_segment_ends(looking);
    looking->segment = looking->next = (uintptr_t)visit->ptr;
    looking->size = visit->size;
    looking->ready = false;
    return 0;
  }
  range.kind = visit->kind;
  range.ptr = (uintptr_t)visit->ptr;
  range.size = visit->size;
  range.requested = visit->requested;
  range.whole = range.ptr == looking->segment && range.size == looking->size;
  MODEL_MUST(m, range.ptr == looking->next && range.size > 0, TILES,
             "after 0x%" PRIxPTR " comes 0x%" PRIxPTR, looking->next, range.ptr);
  /* What reserve and a segment on its way in or out hold is shown as cached as well, and so is what
     is in a stock, which becomes one with its neighbours only when it leaves that. */
  MODEL_MUST(m,
             !looking->ready || range.kind != HOSTCACHE_VISIT_CACHED || looking->into == &m->seen ||
                 m->stock > 0,
             TILES, "two ready ranges meet at 0x%" PRIxPTR, range.ptr);
  looking->next = range.ptr + range.size;
  looking->ready = range.kind == HOSTCACHE_VISIT_CACHED;
  SIM_PUSH(*looking->into, range);
  return 0;
}

static void model_look(model *m, model_ranges *into) {
  model_quiet quiet = model_hush();
  model_looking looking;
  memset(&looking, 0, sizeof looking);
  looking.m = m;
  looking.into = into;
  into->count = 0;
  MODEL_MUST(m, pinned_walk(m->cache, model_look_at, &looking) == HOSTCACHE_OK, RESULT, "walk");
  model_segment_ends(&looking);
  model_unhush(quiet);
}

/* The range that an address lies in, or NULL; leaked ones are none. */
static const model_range *model_range_at(const model *m, uintptr_t ptr) {
  size_t low = 0, high = m->ranges.count;
  while (high > 0 && m->ranges.at[high - 1].kind == HOSTCACHE_VISIT_LEAKED) high--;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const model_range *range = &m->ranges.at[middle];
    if (ptr < range->ptr) {
      high = middle;
    } else if (ptr - range->ptr < range->size) {
      return range;
    } else {
      low = middle + 1;
    }
  }
  return NULL;
}

static model_segment *model_segment_of(model *m, uintptr_t ptr) {
  size_t i;
  for (i = 0; i < m->segments.count; i++)
    if (!m->segments.at[i].leaked && ptr - m->segments.at[i].ptr < m->segments.at[i].size)
      return &m->segments.at[i];
  return NULL;
}

/* Would a block of this size be carved from a ready range? One above max_split_size is not split,
   but for what was got at creation; it serves the size that it was got for, and what it is larger
   than, as it was asked for, by an eighth at most. */
static bool model_may_split(model *m, const model_range *range) {
  const model_segment *segment = model_segment_of(m, range->ptr);
  return range->size <= m->max_split || (segment != NULL && segment->reserve);
}

static bool model_fits(model *m, const model_range *range, size_t size) {
  if (range->kind != HOSTCACHE_VISIT_CACHED || range->size < size) return false;
  return model_may_split(m, range) || range->size == model_up(size, m->unit) ||
         range->size - m->size <= m->size / 8;
}

static size_t model_cached_bytes(const model *m) {
  size_t i, bytes = 0;
  for (i = 0; i < m->ranges.count; i++)
    if (m->ranges.at[i].kind == HOSTCACHE_VISIT_CACHED) bytes += m->ranges.at[i].size;
  return bytes;
}

static bool model_complete(const model *m, const model_block *block) {
  int stream;
  for (stream = 0; stream < MODEL_STREAMS; stream++) {
    const sim_lane *lane = &m->device.lanes[stream];
    if (block->waits[stream] == 0) continue;
    if (lane->completed < block->waits[stream]) return false;
    if (block->deferred && lane->completed < lane->submitted) return false;
  }
  return true;
}

static bool model_malloc_failed(const model *m) {
  return atomic_load(&below.failed) != m->malloc_before;
}

static bool model_allocates(const model *m) {
  return m->op == MODEL_ALLOC || m->op == MODEL_BLOCK_ALLOC || m->op == MODEL_ALLOC_ODD;
}

/* ---- figures --------------------------------------------------------------------------------- */

/* A block is ready: the oracle keeps but its ghost. */
static void model_forget(model *m, model_block *block) {
  model_ghost *ghost = &m->ghosts[m->ghost_count++ % MODEL_GHOSTS];
  model_count_kind(m, block, model_subtract);
  model_count_in_use(m, block, model_subtract);
  ghost->ptr = block->ptr;
  ghost->handle = block->handle;
  ghost->capacity = block->capacity;
  *block = m->blocks[--m->block_count];
}

/* ---- hooks on memory ------------------------------------------------------------------------- */

/* What a thread may have in stock where the config leaves it open. */
static size_t model_part(size_t held) {
  const size_t part = held / 16;
  return part < 4 * MODEL_MIB ? 4 * MODEL_MIB : part < 32 * MODEL_MIB ? part : 32 * MODEL_MIB;
}

/* What must hold when the cache is about to ask for memory. */
static void model_may_get(model *m, size_t size, size_t align) {
  const size_t own = model_up(m->need, m->unit);
  size_t i;
  MODEL_MUST(m, size <= m->cap && m->held <= m->cap - size, CAP,
             "%zu are held, %zu more are asked for, the cap is %zu", m->held, size, m->cap);
  MODEL_MUST(m, align == m->alignment && size <= m->max_segment, SEGMENT_SIZE,
             "%zu bytes aligned to %zu are asked for", size, align);
  if (m->cache == NULL) {
    MODEL_MUST(m, size == m->reserve, CREATE, "create asks for %zu bytes, not for %zu", size,
               m->reserve);
    return;
  }
  MODEL_MUST(m, model_allocates(m) || m->op == MODEL_RESERVE, UNTOUCHED,
             "this operation must not get memory");
  MODEL_MUST(m, size == own || (size > own && size <= m->segment), SEGMENT_SIZE,
             "%zu bytes are asked for, for a block of %zu", size, m->need);
  MODEL_MUST(m, m->fitting == 0, FITS,
             "%zu bytes are got for a block of %zu, and %zu that were idle went back", size,
             m->need, m->fitting);
  if (m->op == MODEL_RESERVE) return; /* what it has set aside looks as if it were ready */
  model_look(m, &m->seen);
  for (i = 0; i < m->seen.count; i++) {
    const model_range *range = &m->seen.at[i];
    MODEL_MUST(m, !model_fits(m, range, m->need), FITS,
               "%zu bytes are got for a block of %zu, which fits into the %zu that are ready", size,
               m->need, range->size);
    MODEL_MUST(
        m, range->kind != HOSTCACHE_VISIT_CACHED || !range->whole || m->held + size <= m->most_held,
        PEAK, "%zu are held, at most %zu were; %zu more are got while %zu are idle", m->held,
        m->most_held, size, range->size);
  }
  for (i = 0; i < m->block_count; i++) {
    const model_block *block = &m->blocks[i];
    size_t j;
    if (block->kind != HOSTCACHE_VISIT_PENDING || !block->complete) continue;
    if (m->loose || model_fired(m, SIM_EVERY_QUERY | SIM_EVERY_RECORD) > 0) continue;
    for (j = 0; j < m->seen.count; j++)
      MODEL_MUST(
          m, m->seen.at[j].ptr != block->ptr || m->seen.at[j].kind != HOSTCACHE_VISIT_PENDING,
          DRAINED, "memory is got while 0x%" PRIxPTR " waits for what is complete", block->ptr);
  }
}

static int model_mem_alloc(sim_device *d, size_t size, size_t align, void **ptr) {
  model *m = (model *)d;
  model_call call;
  model_may_get(m, size, align);
  call.size = size;
  call.code = sim_mem_alloc(d, size, align, ptr);
  SIM_PUSH(m->calls, call);
  m->want.num_mem_alloc++;
  model_count_call(&m->want.mem_alloc_time);
  if (call.code == SIM_DONE) {
    model_segment segment;
    memset(&segment, 0, sizeof segment);
    segment.ptr = (uintptr_t)*ptr;
    segment.size = size;
    segment.reserve = m->cache == NULL;
    SIM_PUSH(m->segments, segment);
    m->held += size;
    if (m->held > m->most_held) m->most_held = m->held;
    if (m->stock_is_part) m->stock = model_part(m->most_held);
    model_add(&m->want.segment, 1);
    model_add(&m->want.reserved_bytes, size);
    if (size > m->max_split) model_add(&m->want.oversize_segments, 1);
  }
  model_say(m, "    alloc hook: %zu bytes%s\n", size,
            call.code == SIM_DONE        ? ""
            : call.code == SIM_NO_MEMORY ? ", out of memory"
                                         : ", failed");
  return call.code;
}

/* Is a segment that goes back the one that has been idle for longest, as far as one can tell? */
static void model_is_oldest(model *m, const model_segment *segment) {
  uint64_t since = segment->idle ? segment->idle_from : m->began_ns;
  size_t i;
  if (m->op == MODEL_RESERVE) return; /* it takes what is idle, and puts it back */
  for (i = 0; i < m->segments.count; i++) {
    const model_segment *other = &m->segments.at[i];
    MODEL_MUST(m, !other->idle || other->leaked || other->idle_to >= since, OLDEST,
               "0x%" PRIxPTR " is given back, 0x%" PRIxPTR " has been idle for longer",
               segment->ptr, other->ptr);
  }
}

static int model_mem_free(sim_device *d, void *ptr, size_t size) {
  model *m = (model *)d;
  model_segment *segment = model_segment_of(m, (uintptr_t)ptr);
  int code = sim_mem_free(d, ptr, size);
  m->want.num_mem_free++;
  model_count_call(&m->want.mem_free_time);
  m->last_free = size;
  m->held_at_last_free = m->held;
  m->frees++;
  model_say(m, "    free hook: %zu bytes%s\n", size, code == SIM_DONE ? "" : ", failed");
  if (segment == NULL || segment->ptr != (uintptr_t)ptr || segment->size != size) {
    model_broken(m, model_rule_SEGMENTS, "%p with %zu bytes is given back, and is not held", ptr,
                 size);
    return code;
  }
  model_is_oldest(m, segment);
  if (m->need > 0 && size >= m->need &&
      (size <= m->max_split || segment->reserve || size == model_up(m->need, m->unit) ||
       size - m->size <= m->size / 8))
    m->fitting = size; /* right for a bound, but not before memory is got */
  if (m->op == MODEL_TRIM)
    MODEL_MUST(m, m->held > m->keep || m->held > m->cap || m->max_cached != SIZE_MAX, TRIM,
               "%zu are held, to keep %zu, and %zu go back", m->held, m->keep, size);
  if (m->op == MODEL_TRIM_IDLE && m->cap == SIZE_MAX && m->max_cached == SIZE_MAX)
    MODEL_MUST(m,
               atomic_load(&below.now_ns) - (segment->idle ? segment->idle_from : m->began_ns) >=
                   m->idle_ns,
               IDLE, "0x%" PRIxPTR " goes back, idle since %" PRIu64 ", it is %" PRIu64,
               segment->ptr, segment->idle_from, (uint64_t)atomic_load(&below.now_ns));
  if (code == SIM_DONE) {
    m->held -= size;
    model_subtract(&m->want.segment, 1);
    model_subtract(&m->want.reserved_bytes, size);
    if (size > m->max_split) model_subtract(&m->want.oversize_segments, 1);
    *segment = m->segments.at[--m->segments.count];
  } else {
    segment->leaked = true;
    segment->idle = false;
    m->frees_failed++;
    model_add(&m->want.leaked, 1);
    model_add(&m->want.leaked_bytes, size);
  }
  return code;
}

/* ---- operations ------------------------------------------------------------------------------ */

/* From 1 byte to 64 MiB and a bit: as many between 1 KiB and 2 KiB as between 1 MiB and 2 MiB. */
static size_t model_log_uniform(uint8_t x, uint8_t y) {
  size_t power = (size_t)1 << x % 27;
  return power + (x % 27 == 26 ? 0 : power / 256 * y + (power % 256 * y >> 8));
}

/* What an allocation, or a reservation, may fail with, judged by the hooks that it called. */
static unsigned model_failures(const model *m) {
  unsigned allowed = 0;
  size_t i;
  if (model_malloc_failed(m)) allowed |= MODEL_BIT(HOSTCACHE_ERR_NO_METADATA);
  if (m->cap != SIZE_MAX) allowed |= MODEL_BIT(HOSTCACHE_ERR_LIMIT);
  for (i = 0; i < m->calls.count; i++)
    if (m->calls.at[i].code != SIM_DONE) allowed |= MODEL_BIT(HOSTCACHE_ERR_OUT_OF_MEMORY);
  return allowed;
}

/* The counts of retries and of failures for want of memory, from the calls of the alloc hook. A
   retry is a call after one for the block's own size was out of memory. */
static void model_count_retries(model *m) {
  const size_t own = model_up(m->need, m->unit);
  bool refused = false, retried = false;
  size_t i;
  for (i = 0; i < m->calls.count; i++) {
    if (refused && !retried) {
      retried = true;
      m->want.num_alloc_retries++;
    }
    if (m->calls.at[i].code == SIM_NO_MEMORY && m->calls.at[i].size == own) refused = true;
    if (m->calls.at[i].code == SIM_DONE) refused = retried = false;
  }
  if (m->result == HOSTCACHE_ERR_OUT_OF_MEMORY && m->calls.count > 0 &&
      m->calls.at[m->calls.count - 1].code == SIM_NO_MEMORY)
    m->want.num_ooms++;
}

static void model_do_alloc(model *m, size_t size, bool by_handle) {
  pinned_block *handle = NULL;
  hostcache_result result;
  model_block *block;
  void *ptr = NULL;
  unsigned allowed;
  if (m->block_count == MODEL_BLOCKS) return;
  m->size = size;
  m->need = model_class(m, size);
  model_say(m, "%3u %s(%zu)\n", m->number, by_handle ? "block_alloc" : "alloc", size);
  if (by_handle) {
    result = pinned_block_alloc(m->cache, size, &handle);
    ptr = pinned_block_ptr(handle);
  } else {
    result = pinned_alloc(m->cache, size, &ptr);
    handle = ptr == NULL ? NULL : pinned_find(m->cache, ptr);
  }
  allowed =
      m->need == 0 ? MODEL_BIT(HOSTCACHE_ERR_TOO_BIG) : model_failures(m) | MODEL_BIT(HOSTCACHE_OK);
  if (size == 0) allowed = MODEL_BIT(HOSTCACHE_OK);
  model_expect(m, "alloc", result, allowed);
  MODEL_MUST(m, (ptr != NULL) == (result == HOSTCACHE_OK && size > 0), RESULT,
             "alloc returned %s and %p", model_name(result), ptr);
  if (ptr == NULL) return;
  block = &m->blocks[m->block_count++];
  memset(block, 0, sizeof *block);
  block->ptr = (uintptr_t)ptr;
  block->handle = handle;
  block->requested = size;
  block->capacity = pinned_block_size(handle);
  block->kind = HOSTCACHE_VISIT_ACTIVE;
  block->fresh = true;
  MODEL_MUST(m, handle != NULL && pinned_block_ptr(handle) == ptr, FIND,
             "%p is handed out, and not found", ptr);
  sim_handed_out(&m->device, ptr, block->capacity);
  model_say(m, "    %p, %zu bytes\n", ptr, block->capacity);
}

static size_t model_odd_size(const model *m, uint8_t x, uint8_t y) {
  switch (x % 8) {
    case 0: return 0;
    case 1: return SIZE_MAX - y;
    case 2: return (size_t)PTRDIFF_MAX - y;
    case 3: return (size_t)PTRDIFF_MAX + 1 + y;
    case 4:
      return m->max_segment == SIZE_MAX ? SIZE_MAX / ((size_t)1 << 18) + 1
                                        : m->max_segment - 4 + y % 8;
    case 5: return m->cap == SIZE_MAX ? m->class_max - 4 + y % 8 : m->cap - 4 + y % 8;
    case 6: return m->class_max - 4 + y % 8;
    default: return m->max_split == SIZE_MAX ? (size_t)1 + y : m->max_split - 4 + y % 8;
  }
}

/* The n-th active block from a slot on, or NULL. */
static model_block *model_active(model *m, uint8_t slot) {
  size_t i;
  for (i = 0; i < m->block_count; i++) {
    model_block *block = &m->blocks[(slot + i) % m->block_count];
    if (block->kind == HOSTCACHE_VISIT_ACTIVE) return block;
  }
  return NULL;
}

/* A free first records the events of the blocks that were deferred: those that cannot be told are
   quarantined before the block is pending, which the peak of `pending` shows. */
static void model_follow_drained(model *m) {
  size_t i;
  if (m->device.all_calls == m->hooks_before) return;
  model_look(m, &m->ranges);
  for (i = 0; i < m->block_count; i++) {
    const model_range *range = model_range_at(m, m->blocks[i].ptr);
    if (m->blocks[i].kind != HOSTCACHE_VISIT_PENDING || !m->blocks[i].deferred) continue;
    if (range == NULL || range->kind != HOSTCACHE_VISIT_QUARANTINED) continue;
    MODEL_MUST(m, m->blocks[i].unknown || model_fired(m, SIM_EVERY_RECORD) > 0, QUARANTINE,
               "0x%" PRIxPTR " is quarantined, and nothing failed", m->blocks[i].ptr);
    model_turn(m, &m->blocks[i], HOSTCACHE_VISIT_QUARANTINED);
  }
}

static void model_do_free(model *m, uint8_t slot, bool by_handle, bool deferred) {
  model_block *block = model_active(m, slot);
  hostcache_result result;
  bool used = false;
  void *ptr;
  int stream;
  if (block == NULL) return;
  ptr = (void *)block->ptr;
  for (stream = 0; stream < MODEL_STREAMS; stream++) used |= block->waits[stream] > 0;
  model_say(m, "%3u %s%s(%p)\n", m->number, by_handle ? "block_free" : "free",
            deferred ? "_deferred" : "", ptr);
  sim_handed_back(&m->device, ptr);
  if (by_handle)
    result = deferred ? pinned_block_free_deferred(m->cache, block->handle)
                      : pinned_block_free(m->cache, block->handle);
  else
    result = deferred ? pinned_free_deferred(m->cache, ptr) : pinned_free(m->cache, ptr);
  model_expect(m, "free", result,
               block->unknown && !deferred ? MODEL_BIT(HOSTCACHE_ERR_EVENT)
               : used && !deferred && model_fired(m, SIM_EVERY_RECORD) > 0
                   ? MODEL_BIT(HOSTCACHE_ERR_EVENT) | MODEL_BIT(HOSTCACHE_OK)
                   : MODEL_BIT(HOSTCACHE_OK));
  if (!used && !block->unknown) {
    model_forget(m, block);
    return;
  }
  for (stream = 0; stream < MODEL_STREAMS; stream++) /* what it waits for ends here */
    if (block->waits[stream] > 0) block->waits[stream] = m->device.lanes[stream].submitted;
  block->deferred = deferred;
  if (!deferred) model_follow_drained(m);
  model_turn(m, block,
             result == HOSTCACHE_OK ? HOSTCACHE_VISIT_PENDING : HOSTCACHE_VISIT_QUARANTINED);
}

/* Work on a block: it is marked before or after. */
static void model_do_use(model *m, uint8_t slot, uint8_t y, uint8_t z) {
  model_block *block = model_active(m, slot);
  sim_stream stream = y % MODEL_STREAMS;
  hostcache_result result;
  void *ptr;
  if (block == NULL) return;
  ptr = (void *)(block->ptr + (block->capacity - 1) / 255 * z);
  model_say(m, "%3u %s(%p, %d), and a unit of work\n", m->number,
            z % 2 != 0 ? "block_record_stream" : "record_stream", ptr, stream);
  if (z % 4 < 2) (void)sim_use(&m->device, stream, (void *)block->ptr);
  result = z % 2 != 0 ? pinned_block_record_stream(m->cache, block->handle, stream)
                      : pinned_record_stream(m->cache, ptr, stream);
  if (z % 4 >= 2) (void)sim_use(&m->device, stream, (void *)block->ptr);
  model_expect(m, "record_stream", result,
               MODEL_BIT(HOSTCACHE_OK) |
                   (model_malloc_failed(m) ? MODEL_BIT(HOSTCACHE_ERR_NO_METADATA) : 0));
  if (model_malloc_failed(m)) m->loose = true; /* it may have been for the stream's queue */
  if (result == HOSTCACHE_OK)
    block->waits[stream] = m->device.lanes[stream].submitted;
  else
    block->unknown = true;
}

static unsigned model_upkeep_results(const model *m, bool gives_back) {
  unsigned allowed = MODEL_BIT(HOSTCACHE_OK);
  bool event = model_fired(m, SIM_EVERY_QUERY | SIM_EVERY_RECORD) > 0;
  size_t i;
  for (i = 0; i < m->block_count; i++) /* its use that found no memory is told when it is drained */
    event |= m->blocks[i].deferred && m->blocks[i].unknown;
  if (event) allowed |= MODEL_BIT(HOSTCACHE_ERR_EVENT);
  if (gives_back && m->frees_failed > 0) allowed = MODEL_BIT(HOSTCACHE_ERR_LEAKED);
  return allowed;
}

static void model_do_reserve(model *m, size_t size, size_t count) {
  const size_t bound = m->max_cached;
  hostcache_result result;
  unsigned allowed;
  m->size = size;
  m->need = model_class(m, size);
  m->ready = count;
  model_say(m, "%3u reserve(%zu, %zu)\n", m->number, size, count);
  result = pinned_reserve(m->cache, size, count);
  allowed = model_failures(m);
  if (bound != SIZE_MAX) allowed |= MODEL_BIT(HOSTCACHE_ERR_LIMIT); /* it would go back at once */
  if (m->need == 0 || m->need > (size_t)PTRDIFF_MAX / count)        /* or all of them together */
    allowed = MODEL_BIT(HOSTCACHE_ERR_TOO_BIG);
  else if (m->need > bound / count)
    allowed = MODEL_BIT(HOSTCACHE_ERR_LIMIT);
  else
    allowed |= MODEL_BIT(HOSTCACHE_OK);
  model_expect(m, "reserve", result, allowed);
}

/* Where a block could begin that is none: by what walk showed. */
static unsigned model_free_results(const model *m, uintptr_t ptr, size_t capacity) {
  const unsigned twice = MODEL_BIT(HOSTCACHE_ERR_DOUBLE_FREE);
  const unsigned none = MODEL_BIT(HOSTCACHE_ERR_NOT_FOUND);
  const model_range *range = model_range_at(m, ptr);
  if (range == NULL || range->kind == HOSTCACHE_VISIT_ACTIVE) return none;
  if (range->kind != HOSTCACHE_VISIT_CACHED) return range->ptr == ptr ? twice : none;
  return range->ptr == ptr && range->size == capacity ? twice : twice | none;
}

/* Frees, and marks, what is not to be freed, or marked. */
static void model_do_misuse(model *m, uint8_t x, uint8_t y, uint8_t z) {
  const model_ghost *ghost = NULL;
  const model_block *block = m->block_count == 0 ? NULL : &m->blocks[y % m->block_count];
  const model_range *range;
  uintptr_t ptr = 0;
  size_t i, capacity = 0;
  if (m->ghost_count > 0)
    ghost = &m->ghosts[y % (m->ghost_count < MODEL_GHOSTS ? m->ghost_count : MODEL_GHOSTS)];
  switch (x % 8) {
    case 0: ptr = (uintptr_t)&ptr; break;
    case 1: ptr = UINTPTR_MAX - y; break;
    case 2: ptr = 1 + y; break;
    case 3: /* behind a segment, or just before it */
      if (m->segments.count == 0) return;
      ptr = m->segments.at[y % m->segments.count].ptr;
      ptr += z % 2 != 0 ? m->segments.at[y % m->segments.count].size : (uintptr_t)-1;
      break;
    case 4: /* inside of a block, in use or not */
      if (block == NULL || block->capacity < 2) return;
      ptr = block->ptr + 1 + (block->capacity - 2) / 256 * z;
      break;
    case 5: /* of a block that waits */
      if (block == NULL) return;
      ptr = block->ptr;
      capacity = block->capacity;
      break;
    default:
      if (ghost == NULL) return;
      ptr = ghost->ptr;
      capacity = ghost->capacity;
  }
  range = model_range_at(m, ptr);
  if (x % 8 == 7) { /* by handle: unless the record is another block's by now */
    for (i = 0; i < m->block_count; i++)
      if (m->blocks[i].handle == ghost->handle) return;
    model_say(m, "%3u block_free%s(the handle that was %p)\n", m->number,
              z % 2 != 0 ? "_deferred" : "", (void *)ptr);
    model_expect(m, "block_free",
                 z % 2 != 0 ? pinned_block_free_deferred(m->cache, ghost->handle)
                            : pinned_block_free(m->cache, ghost->handle),
                 MODEL_BIT(HOSTCACHE_ERR_DOUBLE_FREE) | MODEL_BIT(HOSTCACHE_ERR_NOT_FOUND));
  } else if (z % 3 == 0) {
    if (range != NULL && range->kind == HOSTCACHE_VISIT_ACTIVE) return;
    model_say(m, "%3u record_stream(%p, 0)\n", m->number, (void *)ptr);
    model_expect(m, "record_stream", pinned_record_stream(m->cache, (void *)ptr, 0),
                 MODEL_BIT(HOSTCACHE_ERR_NOT_FOUND));
  } else {
    if (range != NULL && range->kind == HOSTCACHE_VISIT_ACTIVE && range->ptr == ptr) return;
    model_say(m, "%3u free%s(%p)\n", m->number, z % 3 == 1 ? "_deferred" : "", (void *)ptr);
    model_expect(m, "free",
                 z % 3 == 1 ? pinned_free_deferred(m->cache, (void *)ptr)
                            : pinned_free(m->cache, (void *)ptr),
                 model_free_results(m, ptr, capacity));
  }
}

static void model_do_fail_hooks(model *m, uint8_t x, uint8_t y, uint8_t z) {
  static const unsigned hooks[] = {
      SIM_ONLY(SIM_MEM_ALLOC), SIM_ONLY(SIM_MEM_ALLOC),
      SIM_ONLY(SIM_MEM_FREE),  SIM_EVERY_RECORD,
      SIM_EVERY_QUERY,         SIM_ONLY(SIM_MEM_ALLOC) | SIM_ONLY(SIM_MEM_FREE)};
  const unsigned which = x % (sizeof hooks / sizeof *hooks);
  const bool onwards = z % 4 == 0;
  const int n = 1 + y % 6;
  sim_fail(&m->device, (uint64_t)n, onwards, hooks[which]);
  m->device.fault.alloc_code = which == 0 ? SIM_FAILURE : SIM_NO_MEMORY;
  model_say(m, "%3u call %d%s of hooks 0x%x fails%s\n", m->number, n,
            onwards ? " and all after" : "", hooks[which],
            which == 0 ? "" : ", for want of memory");
}

static void model_do_reset(model *m, bool peaks);

static void model_do(model *m, const uint8_t *bytes) {
  const uint8_t x = bytes[1], y = bytes[2], z = bytes[3];
  const size_t size = model_log_uniform(x, y);
  size_t ready = SIZE_MAX;
  switch (m->op) {
    case MODEL_ALLOC: model_do_alloc(m, size, false); break;
    case MODEL_BLOCK_ALLOC: model_do_alloc(m, size, true); break;
    case MODEL_ALLOC_ODD: model_do_alloc(m, model_odd_size(m, x, y), z % 2 != 0); break;
    case MODEL_FREE: model_do_free(m, x, false, false); break;
    case MODEL_BLOCK_FREE: model_do_free(m, x, true, false); break;
    case MODEL_FREE_DEFERRED: model_do_free(m, x, false, true); break;
    case MODEL_BLOCK_FREE_DEFERRED: model_do_free(m, x, true, true); break;
    case MODEL_USE: model_do_use(m, x, y, z); break;
    case MODEL_COMPLETE:
      model_say(m, "%3u stream %d completes %d units (of all, if 15)\n", m->number,
                x % MODEL_STREAMS, y % 16);
      sim_complete(&m->device, x % MODEL_STREAMS, y % 16 == 15 ? -1 : y % 16);
      if (z % 4 == 0) sim_complete_all(&m->device);
      break;
    case MODEL_PROCESS_EVENTS:
      model_say(m, "%3u process_events\n", m->number);
      MODEL_CALL(m, "process_events", pinned_process_events(m->cache, &ready),
                 model_upkeep_results(m, false));
      m->size = ready;
      break;
    case MODEL_SYNCHRONIZE:
      model_say(m, "%3u synchronize(0)\n", m->number);
      MODEL_CALL(m, "synchronize", pinned_synchronize(m->cache, 0),
                 model_upkeep_results(m, false) | MODEL_BIT(HOSTCACHE_ERR_TIMEOUT));
      m->want.num_sync_all_streams++;
      break;
    case MODEL_EMPTY_CACHE:
      model_say(m, "%3u empty_cache\n", m->number);
      MODEL_CALL(m, "empty_cache", pinned_empty_cache(m->cache), model_upkeep_results(m, true));
      break;
    case MODEL_TRIM:
      m->keep = z % 4 == 0 ? 0 : size;
      if (z % 4 == 1) m->keep = m->held > size ? m->held - size : m->held;
      if (z % 4 == 2 && m->segments.count > 0) /* exactly this one goes, or as much */
        m->keep = m->held - m->segments.at[y % m->segments.count].size;
      model_say(m, "%3u trim(%zu) of %zu\n", m->number, m->keep, m->held);
      MODEL_CALL(m, "trim", pinned_trim(m->cache, m->keep), model_upkeep_results(m, true));
      break;
    case MODEL_TRIM_IDLE:
      m->idle_ns = z % 8 == 0 ? UINT64_MAX : (uint64_t)1000 * y * (1 + x % 8);
      model_say(m, "%3u trim_idle(%" PRIu64 ")\n", m->number, m->idle_ns);
      MODEL_CALL(m, "trim_idle", pinned_trim_idle(m->cache, m->idle_ns),
                 model_upkeep_results(m, true));
      break;
    case MODEL_RESERVE: model_do_reserve(m, model_log_uniform(x % 24, y), 1 + z % 12); break;
    case MODEL_SET_MAX_RESERVED:
      m->cap = z % 4 == 0 ? SIZE_MAX : model_log_uniform((uint8_t)(14 + x % 13), y);
      if (z % 4 == 1 && m->held > 0) m->cap = m->held;
      model_say(m, "%3u set_max_reserved_bytes(%zu)\n", m->number, m->cap == SIZE_MAX ? 0 : m->cap);
      MODEL_CALL(m, "set_max_reserved_bytes",
                 pinned_set_max_reserved_bytes(m->cache, m->cap == SIZE_MAX ? 0 : m->cap),
                 model_upkeep_results(m, true) & ~MODEL_BIT(HOSTCACHE_ERR_EVENT));
      break;
    case MODEL_SET_MAX_CACHED:
      m->max_cached = z % 4 == 0   ? SIZE_MAX
                      : z % 4 == 1 ? 0
                                   : model_log_uniform((uint8_t)(12 + x % 15), y);
      if (z % 8 == 2) m->max_cached = model_cached_bytes(m);
      model_say(m, "%3u set_max_cached_bytes(%zu), of SIZE_MAX as 0 and of 0 as NONE\n", m->number,
                m->max_cached);
      MODEL_CALL(m, "set_max_cached_bytes",
                 pinned_set_max_cached_bytes(m->cache, m->max_cached == SIZE_MAX ? 0
                                                       : m->max_cached == 0      ? HOSTCACHE_NONE
                                                                                 : m->max_cached),
                 model_upkeep_results(m, true) & ~MODEL_BIT(HOSTCACHE_ERR_EVENT));
      break;
    case MODEL_MISUSE: model_do_misuse(m, x, y, z); break;
    case MODEL_FAIL_HOOKS: model_do_fail_hooks(m, x, y, z); break;
    case MODEL_FAIL_MALLOC:
      model_say(m, "%3u malloc %d%s fails\n", m->number, 1 + y % 4,
                z % 4 == 0 ? " and all after" : "");
      below_fail(1 + y % 4, z % 4 == 0);
      break;
    case MODEL_FAIL_NO_MORE:
      model_say(m, "%3u nothing fails any more\n", m->number);
      sim_fail_no_more(&m->device);
      below_fail_no_more();
      break;
    case MODEL_RELEASE_QUARANTINE:
      model_say(m, "%3u all work completes; release_quarantine\n", m->number);
      sim_complete_all(&m->device);
      MODEL_CALL(m, "release_quarantine", pinned_release_quarantine(m->cache),
                 MODEL_BIT(HOSTCACHE_OK));
      break;
    case MODEL_RESET: model_do_reset(m, z % 2 != 0); break;
    case MODEL_OP_COUNT: break;
  }
}

/* ---- comparing: blocks ----------------------------------------------------------------------- */

/* Does this operation ask everything that waits? */
static bool model_polls(const model *m) {
  if (model_fired(m, SIM_EVERY_QUERY) > 0) return false;
  switch (m->op) {
    case MODEL_SYNCHRONIZE:
    case MODEL_EMPTY_CACHE:
    case MODEL_TRIM:
    case MODEL_TRIM_IDLE: return true;
    case MODEL_PROCESS_EVENTS: return !m->loose;
    default:
      if (m->result == HOSTCACHE_ERR_LIMIT && m->op == MODEL_RESERVE)
        return false; /* it may have refused at once */
      return (model_allocates(m) || m->op == MODEL_RESERVE) && m->result != HOSTCACHE_ERR_TOO_BIG &&
             !m->loose &&
             (m->calls.count > 0 || m->result == HOSTCACHE_ERR_LIMIT ||
              m->result == HOSTCACHE_ERR_OUT_OF_MEMORY);
  }
}

/* Follows the blocks that waited, or were quarantined, before the operation; and sees that all the
   others are as they were. */
static void model_follow(model *m) {
  size_t i, in_use = 0, was_ready = m->ready;
  m->ready = 0;
  if (m->called) m->queries_failed += model_fired(m, SIM_EVERY_QUERY); /* else it may begin anew */
  for (i = m->block_count; i-- > 0;) { /* backwards, as a block that is forgotten is replaced */
    model_block *block = &m->blocks[i];
    const model_range *range = model_range_at(m, block->ptr);
    bool there = range != NULL && range->kind != HOSTCACHE_VISIT_CACHED;
    const int kind = there ? range->kind : HOSTCACHE_VISIT_CACHED;
    /* (A fresh block of this operation may lie where this one waited.) */
    if (there && kind == HOSTCACHE_VISIT_ACTIVE && block->kind != HOSTCACHE_VISIT_ACTIVE)
      there = false;
    if (there)
      MODEL_MUST(m,
                 range->ptr == block->ptr && range->size == block->capacity &&
                     range->requested == block->requested,
                 BLOCKS,
                 "0x%" PRIxPTR
                 " has %zu bytes, %zu of them requested; walk shows %zu and %zu at "
                 "0x%" PRIxPTR,
                 block->ptr, block->capacity, block->requested, range->size, range->requested,
                 range->ptr);
    if (there && kind == block->kind) {
      MODEL_MUST(
          m, kind != HOSTCACHE_VISIT_PENDING || !block->complete || block->fresh || !model_polls(m),
          DRAINED, "0x%" PRIxPTR " waits for what is complete", block->ptr);
      if (m->op == MODEL_RELEASE_QUARANTINE)
        MODEL_MUST(m, kind != HOSTCACHE_VISIT_QUARANTINED, QUARANTINE,
                   "0x%" PRIxPTR " is quarantined after the release", block->ptr);
    } else if (block->kind == HOSTCACHE_VISIT_ACTIVE) {
      model_broken(m, model_rule_BLOCKS, "0x%" PRIxPTR " is active, and not shown so", block->ptr);
    } else if (block->kind == HOSTCACHE_VISIT_PENDING && there) {
      MODEL_MUST(m,
                 block->unknown || model_fired(m, SIM_EVERY_RECORD) > 0 ||
                     (model_fired(m, SIM_EVERY_QUERY) > 0 && m->queries_failed >= m->query_limit),
                 QUARANTINE, "0x%" PRIxPTR " is quarantined, and nothing failed so often",
                 block->ptr);
      model_turn(m, block, kind);
    } else if (block->kind == HOSTCACHE_VISIT_QUARANTINED) {
      MODEL_MUST(m, m->op == MODEL_RELEASE_QUARANTINE, QUARANTINE,
                 "0x%" PRIxPTR " is not quarantined any more", block->ptr);
      block->unknown = false;
      if (there) {
        model_turn(m, block, kind);
      } else {
        model_forget(m, block);
        continue;
      }
    } else {
      block->deferred = false; /* the exact rule: what had been submitted when it was freed */
      MODEL_MUST(m, model_complete(m, block), WAITS,
                 "0x%" PRIxPTR " became ready, and its work is incomplete", block->ptr);
      MODEL_MUST(m, !block->unknown, QUARANTINE,
                 "0x%" PRIxPTR " became ready, and a use of it cannot be told", block->ptr);
      model_forget(m, block);
      m->ready++;
      continue;
    }
    in_use++;
  }
  for (i = 0; i < m->ranges.count; i++)
    in_use -= m->ranges.at[i].kind != HOSTCACHE_VISIT_CACHED &&
              m->ranges.at[i].kind != HOSTCACHE_VISIT_LEAKED;
  MODEL_MUST(m, in_use == 0, BLOCKS, "walk shows %" PRId64 " blocks too many", -(int64_t)in_use);
  if (m->op == MODEL_PROCESS_EVENTS)
    MODEL_MUST(m, m->size == m->ready, FIGURE, "process_events says %zu blocks, %zu became ready",
               m->size, m->ready);
  if (m->op == MODEL_RESERVE) m->ready = was_ready;
}

/* Were all these bytes ready? Several ranges that were can have become one. */
static bool model_was_ready(const model_ranges *before, uintptr_t ptr, size_t size) {
  size_t i = 0;
  while (i < before->count) {
    const model_range *range = &before->at[i++];
    if (range->kind != HOSTCACHE_VISIT_CACHED || ptr - range->ptr >= range->size) continue;
    if (size <= range->size - (ptr - range->ptr)) return true;
    size -= range->size - (ptr - range->ptr);
    ptr = range->ptr + range->size;
    i = 0;
  }
  return false;
}

/* The most by which the block may be larger than what was requested, said without the sizes of
   classes: with the usual eight steps 12.5% or an alignment unit, and above class_max_bytes a page.
   What is not split may be larger by 12.5%, or by what makes whole pages of a class. */
static size_t model_waste(const model *m, const model_block *block) {
  const bool classed = block->requested <= m->class_max;
  const size_t part = classed ? block->requested / m->steps : 0, eighth = block->requested / 8;
  const size_t unit = classed ? m->alignment : m->unit;
  if (block->capacity > m->max_split) return (part > eighth ? part : eighth) + m->unit;
  return part > unit ? part : unit;
}

/* The block that was handed out. */
static void model_judge_block(model *m, const model_block *block, const model_ranges *before,
                              bool hit) {
  size_t slack = block->capacity - m->need, i;
  const model_range *from = NULL;
  MODEL_MUST(m, block->ptr % m->alignment == 0, ALIGNED, "0x%" PRIxPTR, block->ptr);
  MODEL_MUST(m, block->capacity >= block->requested, SIZE, "%zu bytes for a request of %zu",
             block->capacity, block->requested);
  MODEL_MUST(m,
             slack == 0 || (block->capacity > m->need && block->capacity > m->max_split &&
                            (block->capacity == model_up(m->need, m->unit) ||
                             block->capacity - m->size <= m->size / 8)),
             SIZE, "%zu bytes for a request of %zu, whose class is %zu", block->capacity,
             block->requested, m->need);
  MODEL_MUST(m, block->capacity - block->requested <= model_waste(m, block), WASTE,
             "%zu bytes for a request of %zu", block->capacity, block->requested);
  if (!hit) return;
  /* A hit changes nothing but the range that it takes from: what was ready before is known. */
  for (i = 0; i < before->count; i++)
    if (block->ptr - before->at[i].ptr < before->at[i].size) from = &before->at[i];
  if (m->stock > 0) { /* it may be the best fit of what came out of the stock alone, or was in it */
    MODEL_MUST(m, model_was_ready(before, block->ptr, block->capacity), OVERLAP,
               "0x%" PRIxPTR " is handed out, and was not ready", block->ptr);
    return;
  }
  MODEL_MUST(m, from != NULL && model_fits(m, from, m->need), OVERLAP,
             "0x%" PRIxPTR " is handed out, and was not ready", block->ptr);
  if (from == NULL) return;
  for (i = 0; i < before->count; i++)
    MODEL_MUST(m,
               model_segment_of(m, before->at[i].ptr) != model_segment_of(m, block->ptr) ||
                   !model_fits(m, &before->at[i], m->need) || before->at[i].size >= from->size,
               BEST_FIT, "%zu are taken from %zu, and %zu would have done", m->need, from->size,
               before->at[i].size);
}

/* ---- comparing: segments --------------------------------------------------------------------- */

static void model_compare_segments(model *m) {
  const uint64_t now = atomic_load(&below.now_ns);
  size_t i, j, shown = 0, starts = 0;
  for (j = 0; j < m->ranges.count; j++) shown += m->ranges.at[j].size;
  MODEL_MUST(m, shown == m->held, SEGMENTS, "%zu bytes are shown, %zu are held", shown, m->held);
  for (i = 0; i < m->segments.count; i++) {
    model_segment *segment = &m->segments.at[i];
    bool idle = false;
    for (j = 0; j < m->ranges.count; j++) {
      const model_range *range = &m->ranges.at[j];
      const bool leaked = range->kind == HOSTCACHE_VISIT_LEAKED;
      if (leaked != segment->leaked || range->ptr != segment->ptr) continue;
      starts++;
      idle = range->kind == HOSTCACHE_VISIT_CACHED && range->whole;
      if (leaked || idle)
        MODEL_MUST(m, range->size == segment->size, SEGMENTS,
                   "0x%" PRIxPTR " has %zu bytes, and is shown with %zu", segment->ptr,
                   segment->size, range->size);
      break;
    }
    if (idle && (!segment->idle || m->op == MODEL_RESERVE)) {
      if (!segment->idle) segment->idle_from = m->began_ns;
      segment->idle_to = now; /* reserve may have taken it and put it back */
    }
    segment->idle = idle;
  }
  MODEL_MUST(m, starts == m->segments.count, SEGMENTS, "%zu segments are held, %zu are shown",
             m->segments.count, starts);
}

static size_t model_idle_bytes(const model *m) {
  size_t i, bytes = 0;
  for (i = 0; i < m->segments.count; i++)
    if (m->segments.at[i].idle) bytes += m->segments.at[i].size;
  return bytes;
}

/* Must this operation leave nothing idle above the bounds? */
static bool model_sheds(const model *m) {
  switch (m->op) {
    case MODEL_FREE:
    case MODEL_BLOCK_FREE:
    case MODEL_PROCESS_EVENTS:
    case MODEL_SYNCHRONIZE:
    case MODEL_EMPTY_CACHE:
    case MODEL_TRIM:
    case MODEL_TRIM_IDLE:
    case MODEL_SET_MAX_RESERVED:
    case MODEL_SET_MAX_CACHED:
    case MODEL_RELEASE_QUARANTINE: return true;
    case MODEL_ALLOC:
    case MODEL_BLOCK_ALLOC:
    case MODEL_ALLOC_ODD:
    case MODEL_RESERVE: return m->device.all_calls != m->hooks_before; /* it was not a hit */
    default: return false;
  }
}

/* Had the segment that went back last to go, for one of the bounds? */
static bool model_was_above_bounds(const model *m, size_t cached) {
  return cached + m->last_free > m->max_cached || m->held_at_last_free > m->cap;
}

static void model_judge_bounds(model *m) {
  const size_t cached = model_cached_bytes(m), idle = model_idle_bytes(m);
  const size_t own = model_up(m->need, m->unit);
  size_t i, fit = 0;
  if (model_sheds(m))
    MODEL_MUST(m, idle == 0 || (cached <= m->max_cached && m->held <= m->cap), CACHED,
               "%zu are cached, %zu of them idle (max_cached_bytes %zu); %zu are held (cap %zu)",
               cached, idle, m->max_cached, m->held, m->cap);
  switch (m->op) {
    case MODEL_EMPTY_CACHE:
      MODEL_MUST(m, idle == 0, TRIM, "%zu bytes are idle after empty_cache", idle);
      break;
    case MODEL_TRIM:
      MODEL_MUST(m, idle == 0 || m->held <= m->keep, TRIM, "%zu bytes are held, %zu of them idle",
                 m->held, idle);
      break;
    case MODEL_TRIM_IDLE:
      for (i = 0; i < m->segments.count; i++)
        MODEL_MUST(m,
                   !m->segments.at[i].idle || m->segments.at[i].idle_to > m->began_ns ||
                       m->began_ns - m->segments.at[i].idle_to < m->idle_ns,
                   IDLE, "0x%" PRIxPTR " has been idle since %" PRIu64 ", it is %" PRIu64,
                   m->segments.at[i].ptr, m->segments.at[i].idle_to, m->began_ns);
      break;
    case MODEL_RESERVE:
      if (m->result != HOSTCACHE_OK) break;
      for (i = 0; i < m->ranges.count; i++)
        if (model_fits(m, &m->ranges.at[i], m->need))
          fit += model_may_split(m, &m->ranges.at[i]) ? m->ranges.at[i].size / m->need : 1;
      MODEL_MUST(m, fit >= m->ready, RESERVED, "%zu blocks of %zu were reserved, %zu are there",
                 m->ready, m->need, fit);
      break;
    case MODEL_FREE:
    case MODEL_BLOCK_FREE:
    case MODEL_PROCESS_EVENTS:
    case MODEL_SYNCHRONIZE:
    case MODEL_SET_MAX_RESERVED:
    case MODEL_SET_MAX_CACHED:
    case MODEL_RELEASE_QUARANTINE:
      MODEL_MUST(m, m->frees == 0 || model_was_above_bounds(m, cached), OVERSHED,
                 "%zu are cached, %zu were held, and the last %zu went back", cached,
                 m->held_at_last_free, m->last_free);
      break;
    case MODEL_ALLOC:
    case MODEL_BLOCK_ALLOC:
    case MODEL_ALLOC_ODD:
      if (m->result == HOSTCACHE_OK && m->calls.count > 0)
        MODEL_MUST(m, m->calls.at[m->calls.count - 1].size <= own || cached <= m->max_cached,
                   CACHED, "%zu are got for a block of %zu, and then %zu are cached",
                   m->calls.at[m->calls.count - 1].size, m->need, cached);
      if (m->result == HOSTCACHE_ERR_LIMIT)
        MODEL_MUST(m, own > m->cap || m->held - idle > m->cap - own, GAVE_UP,
                   "LIMIT, and %zu of the %zu that are held are idle; the cap is %zu", idle,
                   m->held, m->cap);
      if (m->result == HOSTCACHE_ERR_OUT_OF_MEMORY &&
          m->calls.at[m->calls.count - 1].code == SIM_NO_MEMORY)
        MODEL_MUST(m, idle == 0, GAVE_UP, "OUT_OF_MEMORY, and %zu bytes are idle", idle);
      if (m->result != HOSTCACHE_OK && m->result != HOSTCACHE_ERR_NO_METADATA && m->need > 0)
        for (i = 0; i < m->ranges.count; i++)
          MODEL_MUST(m, !model_fits(m, &m->ranges.at[i], m->need), GAVE_UP,
                     "%s, and %zu bytes are ready", model_name(m->result), m->ranges.at[i].size);
      if (m->result == HOSTCACHE_ERR_NO_METADATA || m->result == HOSTCACHE_ERR_TOO_BIG)
        MODEL_MUST(m, m->frees == 0 || model_was_above_bounds(m, cached), UNTOUCHED,
                   "%s, and memory was given back", model_name(m->result));
      break;
    default: MODEL_MUST(m, m->frees == 0, UNTOUCHED, "this operation must not give memory back");
  }
}

/* ---- comparing: figures ---------------------------------------------------------------------- */

static void model_do_reset(model *m, bool peaks) {
  model_say(m, "%3u reset_%s_stats\n", m->number, peaks ? "peak" : "accumulated");
  model_expect(m, "reset",
               peaks ? pinned_reset_peak_stats(m->cache) : pinned_reset_accumulated_stats(m->cache),
               MODEL_BIT(HOSTCACHE_OK));
  model_reset_want(m, peaks);
}

/* What the figures are of an allocation, once the blocks are followed. */
static void model_count_alloc(model *m, const model_ranges *before) {
  bool hooks = m->device.all_calls != m->hooks_before;
  size_t i;
  model_count_retries(m);
  if (m->op == MODEL_RESERVE || (m->result == HOSTCACHE_OK && m->size == 0)) return;
  if (m->result != HOSTCACHE_OK) {
    m->want.last_failed_bytes = m->size > (size_t)PTRDIFF_MAX ? INT64_MAX : (int64_t)m->size;
    return;
  }
  if (hooks)
    m->want.num_misses++;
  else
    m->want.num_hits++;
  for (i = 0; i < m->block_count; i++) {
    model_block *block = &m->blocks[i];
    if (!block->fresh) continue;
    model_count_kind(m, block, model_add);
    model_count_in_use(m, block, model_add);
    model_judge_block(m, block, before, !hooks);
    block->fresh = false;
  }
}

/* Two cases in which the calls of the hook do not tell whether it was to be asked again: then the
   figure is taken as it is, if it is one of the two. */
static void model_settle_retries(model *m, int64_t got) {
  const int64_t want = m->want.num_alloc_retries;
  /* Between them, a record for the segment found no memory. */
  if (m->result == HOSTCACHE_ERR_NO_METADATA && got == want + 1) m->want.num_alloc_retries = got;
  /* What had become ready did for one block, and the call was for the next. */
  if (m->op == MODEL_RESERVE && got == want - 1) m->want.num_alloc_retries = got;
}

static void model_compare_figures(model *m) {
  hostcache_stats *want = &m->want, got;
  size_t i, split = 0, split_bytes = 0;
  for (i = 0; i < m->ranges.count; i++) {
    const model_range *range = &m->ranges.at[i];
    if (range->kind != HOSTCACHE_VISIT_CACHED || range->whole) continue;
    split++;
    split_bytes += range->size;
  }
  want->inactive_split.current = (int64_t)split;
  want->inactive_split_bytes.current = (int64_t)split_bytes;
  want->cached_bytes.current = (int64_t)model_cached_bytes(m);

  memset(&got, 0xff, sizeof got);
  MODEL_MUST(m, pinned_stats(m->cache, &got) == HOSTCACHE_OK, RESULT, "stats");
  model_settle_retries(m, got.num_alloc_retries);
  model_compare_stats(m, &got);
}

/* ---- a program ------------------------------------------------------------------------------- */

static hostcache_config model_config(const model_setup *setup, size_t thread_cache_bytes) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  config.alignment = setup->alignment;
  config.segment_bytes = setup->segment_bytes;
  config.max_segment_bytes = setup->max_segment_bytes;
  config.max_reserved_bytes = setup->max_reserved_bytes;
  config.max_cached_bytes = setup->max_cached_bytes;
  config.max_split_size = setup->max_split_size;
  config.reserve_segment_bytes = setup->reserve_segment_bytes;
  config.class_max_bytes = setup->class_max_bytes;
  config.class_steps = setup->class_steps;
  config.wait_on_limit_ns = setup->wait_on_limit_ns;
  config.thread_cache_bytes = thread_cache_bytes;
  config.on_error = model_hear;
  return config;
}

/* The device, and an oracle that knows of no cache yet. */
static void model_open(model *m, const model_setup *setup) {
  memset(m, 0, sizeof *m);
  sim_open(&m->device);
  m->device.reuses_addresses = setup->reuses_addresses;
  m->device.progress_per_queries = setup->progress;
  if (setup->memory_limit > 0) m->device.memory_limit = setup->memory_limit;
  m->setup = setup;
  m->op = MODEL_OP_COUNT;
  memset(&below, 0, sizeof below);
}

static size_t model_or(size_t given, size_t otherwise) { return given == 0 ? otherwise : given; }

static size_t model_least(size_t a, size_t b) { return a < b ? a : b; }

/* What a config that makes sense comes to. */
static void model_understand(model *m, const hostcache_config *config) {
  m->alignment = model_or(config->alignment, 512);
  m->unit = m->alignment > MODEL_PAGE ? m->alignment : MODEL_PAGE;
  m->steps = config->class_steps == 0 ? 8 : config->class_steps;
  m->class_max = model_or(config->class_max_bytes, MODEL_MIB);
  m->max_split = model_or(config->max_split_size, SIZE_MAX);
  if (m->max_split / m->steps < m->unit)
    m->max_split = m->unit > SIZE_MAX / m->steps ? SIZE_MAX : m->unit * m->steps;
  if (m->max_split <= (size_t)PTRDIFF_MAX / 2) m->max_split = model_up(m->max_split, m->unit);
  m->max_segment = model_or(config->max_segment_bytes, SIZE_MAX);
  m->segment = model_up(model_or(config->segment_bytes, 2 * MODEL_MIB), m->unit);
  m->segment = model_least(m->segment, m->max_split);
  m->segment = model_least(m->segment, m->max_segment / m->unit * m->unit);
  m->reserve = model_up(config->reserve_segment_bytes, m->unit);
  m->cap = model_or(config->max_reserved_bytes, SIZE_MAX);
  m->max_cached =
      config->max_cached_bytes == HOSTCACHE_NONE ? 0 : model_or(config->max_cached_bytes, SIZE_MAX);
  m->query_limit = config->query_error_limit == 0 ? 3 : config->query_error_limit;
  m->stock_is_part = config->thread_cache_bytes == 0;
  m->stock = config->thread_cache_bytes == HOSTCACHE_NONE ? 0
             : m->stock_is_part                           ? model_part(0)
                                : model_least(config->thread_cache_bytes, PTRDIFF_MAX / 2);
  m->deaf = config->on_error == NULL;
  m->want.max_split_size = m->max_split > (size_t)PTRDIFF_MAX ? INT64_MAX : (int64_t)m->max_split;
}

static hostcache_result model_create(model *m, hostcache_config config) {
  hostcache_result result;
  config.on_error_user = m;
  result = pinned_create(&m->cache, &config, &m->device);
  memset(&config, 0xa5, sizeof config); /* it was copied */
  return result;
}

/* Compares everything. */
static void model_compare(model *m, const model_ranges *before) {
  const model_block *block;
  const model_ghost *ghost;
  const model_range *range;
  uint64_t told = m->device.violations;
  MODEL_MUST(m, pinned_check(m->cache) == HOSTCACHE_OK, CHECK, "check found a broken invariant");
  model_look(m, &m->ranges);
  if (m->rule != NULL) return;
  model_compare_segments(m);
  model_follow(m);
  if (model_allocates(m) || m->op == MODEL_RESERVE) model_count_alloc(m, before);
  model_judge_bounds(m);
  m->want.num_event_record += (int64_t)(m->device.calls[SIM_EVENT_RECORD]);
  m->want.num_event_query += (int64_t)(m->device.calls[SIM_EVENT_QUERY]);
  m->device.calls[SIM_EVENT_RECORD] = m->device.calls[SIM_EVENT_QUERY] = 0;
  model_compare_figures(m);
  MODEL_MUST(m, told == 0, REFEREE, "the device printed it");

  MODEL_MUST(m, m->deaf || model_heard(m, HOSTCACHE_ERR_LEAKED) == m->frees_failed, TOLD,
             "%u segments leaked, %" PRIu64 " were told", m->frees_failed,
             model_heard(m, HOSTCACHE_ERR_LEAKED));
  if (!m->deaf && model_allocates(m) && m->result != HOSTCACHE_OK &&
      m->result != HOSTCACHE_ERR_TOO_BIG)
    MODEL_MUST(m, model_heard(m, m->result) > 0, TOLD, "%s was not told", model_name(m->result));

  block = model_active(m, (uint8_t)m->number);
  if (block != NULL)
    MODEL_MUST(
        m,
        pinned_find(m->cache, (void *)(block->ptr + (block->capacity - 1) / (m->number % 7 + 1))) ==
            block->handle,
        FIND, "0x%" PRIxPTR " is active, and not found", block->ptr);
  ghost = &m->ghosts[m->number % MODEL_GHOSTS];
  range = model_range_at(m, ghost->ptr);
  MODEL_MUST(m,
             (pinned_find(m->cache, (void *)ghost->ptr) != NULL) ==
                 (range != NULL && range->kind == HOSTCACHE_VISIT_ACTIVE),
             FIND, "0x%" PRIxPTR " was freed, and is found", ghost->ptr);
}

static void model_step(model *m, const uint8_t *bytes) {
  model_ranges before = {NULL, 0, 0};
  unsigned share = bytes[0], hook;
  size_t i;
  m->number++;
  for (m->op = 0; share >= model_shares[m->op]; m->op++) share -= model_shares[m->op];
  m->result = HOSTCACHE_OK;
  m->called = false;
  m->size = m->need = m->keep = m->ready = 0;
  m->calls.count = 0;
  m->frees = m->frees_failed = 0;
  m->fitting = 0;
  m->began_ns = atomic_load(&below.now_ns);
  m->hooks_before = m->device.all_calls;
  m->malloc_before = atomic_load(&below.failed);
  memcpy(m->heard_before, m->heard, sizeof m->heard);
  for (hook = 0; hook < SIM_HOOKS; hook++) m->fired_before[hook] = m->device.fault.fired_of[hook];
  for (i = 0; i < m->block_count; i++) m->blocks[i].complete = model_complete(m, &m->blocks[i]);
  if (model_allocates(m) && m->ranges.count > 0) { /* to see what a hit was taken from */
    before.at = malloc(m->ranges.count * sizeof *before.at);
    if (before.at == NULL) abort();
    memcpy(before.at, m->ranges.at, m->ranges.count * sizeof *before.at);
    before.count = m->ranges.count;
  }
  model_do(m, bytes);
  if (!m->called) m->op = MODEL_OP_COUNT;
  if (m->rule == NULL) model_compare(m, &before);
  free(before.at);
}

/* Frees all, and sees that all of it goes back. */
static void model_end(model *m) {
  hostcache_stats stats;
  size_t i, leaked = 0;
  hostcache_result result;
  model_say(m, "    the end: nothing fails any more, all is freed\n");
  sim_fail_no_more(&m->device);
  below_fail_no_more();
  m->op = MODEL_OP_COUNT;
  m->began_ns = atomic_load(&below.now_ns);
  sim_complete_all(&m->device);
  for (i = 0; i < m->block_count; i++) {
    if (m->blocks[i].kind != HOSTCACHE_VISIT_ACTIVE) continue;
    sim_handed_back(&m->device, (void *)m->blocks[i].ptr);
    result = pinned_block_free(m->cache, m->blocks[i].handle);
    MODEL_MUST(m, result == HOSTCACHE_OK || m->blocks[i].unknown, END, "free returned %s",
               model_name(result));
  }
  (void)pinned_process_events(m->cache, NULL); /* may say what was deferred and cannot be told */
  (void)pinned_release_quarantine(m->cache);
  result = pinned_empty_cache(m->cache);
  MODEL_MUST(m, result == HOSTCACHE_OK, END, "empty_cache returned %s", model_name(result));
  MODEL_MUST(m, pinned_check(m->cache) == HOSTCACHE_OK, CHECK, "check found a broken invariant");
  for (i = 0; i < m->segments.count; i++)
    leaked += m->segments.at[i].leaked ? m->segments.at[i].size : 0;
  (void)pinned_stats(m->cache, &stats);
  MODEL_MUST(m,
             stats.reserved_bytes.current == (int64_t)leaked && stats.active.current == 0 &&
                 stats.cached_bytes.current == 0 && m->held == leaked,
             END, "%" PRId64 " bytes are reserved, %zu leaked", stats.reserved_bytes.current,
             leaked);
  if (m->rule != NULL) return;
  result = pinned_destroy(m->cache);
  m->cache = NULL;
  MODEL_MUST(m, result == (leaked > 0 ? HOSTCACHE_ERR_LEAKED : HOSTCACHE_OK), END,
             "destroy returned %s", model_name(result));
  MODEL_MUST(m, atomic_load(&below.live) == 0, END, "%lld allocations of bookkeeping are left",
             (long long)atomic_load(&below.live));
  MODEL_MUST(m, m->device.live_bytes == leaked && sim_live_events(&m->device) == 0, END,
             "%zu bytes and %zu events are left", m->device.live_bytes,
             sim_live_events(&m->device));
}

static void model_free(model *m) {
  free(m->segments.at);
  free(m->ranges.at);
  free(m->seen.at);
  free(m->calls.at);
}

/* Ends the device, and the cache, if there is still one as a rule was broken. */
static void model_close(model *m) {
#ifdef HOSTCACHE_DEBUG
  if (m->rule != NULL) hostcache_locks_held = 0; /* an assertion may have failed under a lock */
#endif
  model_jump = NULL;
  if (m->rule != NULL && m->rule != model_rule_ASSERTION && m->cache != NULL)
    pinned_abandon(m->cache);
  (void)sim_close(&m->device, m->device.live_bytes, sim_live_events(&m->device));
  model_free(m);
  if (m->rule != NULL) model_say(m, "    BROKEN: %s\n            %s\n", m->rule, m->finding);
}

#ifndef MODEL_CONFIGS

/* Runs a program. True: no rule was broken; else m->rule, m->finding and m->number say which, how
   and where. The program tells what it does on `trace`, if that is not NULL. */
static bool model_run(model *m, const uint8_t *program, size_t size, FILE *trace, unsigned lie) {
  const uint8_t *end = program + size;
  hostcache_config config;
  jmp_buf here;
  if (size == 0) return true;
  model_asserting = m;
  model_jump = &here;
  if (setjmp(here) == 0) {
    model_open(m, &model_setups[*program % MODEL_SETUPS]);
    m->trace = trace;
    m->lie = lie;
    config = model_config(m->setup, model_stocks[*program / MODEL_SETUPS % MODEL_STOCKS]);
    model_understand(m, &config);
    MODEL_MUST(m, model_create(m, config) == HOSTCACHE_OK, CREATE, "create");
    model_say(m, "    %s, stocks of %zu\n", m->setup->name, m->stock);
    if (m->rule == NULL) model_compare(m, &m->ranges);
    for (program++; end - program >= MODEL_OP_BYTES && m->rule == NULL && m->number < MODEL_OPS;
         program += MODEL_OP_BYTES)
      model_step(m, program);
    if (m->rule == NULL) model_end(m);
  }
  model_close(m);
  return m->rule == NULL;
}

#endif

#endif
