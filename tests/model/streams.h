/* streams.h - programs of operations on streams and on the blocks that they use, in every mode, and
   an oracle that follows them.

   A program is a string of bytes, as in memory.h: the first chooses one of model_setups (a mode and
   a config), and each four that follow are one operation and its three arguments. model_run() runs
   one on the simulated device and compares after every operation:

     uses      The oracle watches each hook that records, asks or waits. So it knows of each use of
               each block whether it is recorded, where it waits, and how its event, or its stream's
               timeline, last answered; it keeps the queues that the contract promises, and says of
               each query whether it was one's turn.
     blocks    From that follows what each block is: what walk shows must be just that. A block is
               ready as soon as the last of its uses has been answered for, not before, and
               quarantined if one cannot be told.
     figures   Every figure of hostcache_stats, from the books and from the calls of the hooks. Of
               cached_bytes and inactive_split* only `current` can be known, as in memory.h.
     rules     MODEL_RULES lists them. That memory in use is neither handed out nor given back is
               for the device to say, which knows what work uses it.

   What the contract leaves free, the oracle takes as it comes: when a free polls; how many events
   that were handed over one poll asks; which of the events that one forget_stream records is
   whose (they stand at one point of one stream, so it counts how many have answered); and, when
   queries fail while a stream is forgotten, how many failures in a row those are.

   Left to others: sizes, splitting, bounds and failures of memory and of malloc (memory.h), two
   threads at once (tests of sim/suite_races.h), a hook of recording that fails while a stream is
   forgotten that could be waited for instead (sim/suite_forget.h).

   Each operation's share and meaning is part of what the bytes of tests/fuzz/corpus/streams
   mean. */

#ifndef TESTS_MODEL_STREAMS_H
#define TESTS_MODEL_STREAMS_H

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

#include "../segments.h"
#include "../sim/below.h"
#include "../sim/sim.h"

#define MODEL_NAME "streams"

enum {
  MODEL_STREAMS = 6,
  MODEL_BLOCKS = 40,  /* that are in use at a time */
  MODEL_USES = 12,    /* of a block: four need no memory, and there are six streams */
  MODEL_GHOSTS = 8,   /* blocks freed last, for misuse */
  MODEL_GROUPS = 400, /* successful calls of forget_stream */
  MODEL_OP_BYTES = 4,
  MODEL_OPS = 400
};

/* ---- modes ----------------------------------------------------------------------------------- */

/* What the events are that a mode takes from the caller. */
#define MODEL_NO_EVENTS 0
#define MODEL_OBJECTS 1
#define MODEL_POINTS 2

typedef struct model_point { /* a plain value, told from every other */
  sim_point at;
  uint64_t serial;
} model_point;

typedef union model_event {
  sim_event object;
  model_point point;
} model_event;

typedef enum model_ending { MODEL_DESTROY, MODEL_ABANDON } model_ending;

typedef enum model_upkeep {
  MODEL_CALL_PROCESS_EVENTS,
  MODEL_CALL_SYNCHRONIZE, /* with a timeout of 0, or none */
  MODEL_CALL_EMPTY_CACHE,
  MODEL_CALL_TRIM,
  MODEL_CALL_RELEASE,
  MODEL_CALL_CHECK,
  MODEL_CALL_RESET_PEAKS,
  MODEL_CALL_RESET_ACCUMULATED
} model_upkeep;

static int model_mem_alloc(sim_device *d, size_t size, size_t align, void **ptr);
static int model_mem_free(sim_device *d, void *ptr, size_t size);
static int model_event_create(sim_device *d, sim_stream stream, sim_event *event);
static int model_event_record(sim_device *d, sim_event *event, sim_stream stream);
static int model_event_make(sim_device *d, sim_event *event, sim_stream stream);
static int model_event_query(sim_device *d, sim_event *event);
static int model_point_record(sim_device *d, model_point *point, sim_stream stream);
static int model_point_query(sim_device *d, model_point *point);
static int model_timeline_record(sim_device *d, sim_stream stream, uint64_t *value);
static int model_timeline_query(sim_device *d, sim_stream stream, uint64_t *value);
static int model_stream_wait(sim_device *d, sim_stream stream);

#define HC_NAME model_types /* for the types that all caches share */
#define HC_NO_STREAMS
#define HC_DECLARE
#include "hostcache.h"

typedef struct model_mode { /* a NULL handle: by pointer */
  bool has_streams, is_timeline, has_waits;
  int events;
  hostcache_result (*create)(void **cache, const hostcache_config *config, sim_device *device);
  hostcache_result (*end)(void *cache, model_ending how);
  hostcache_result (*alloc)(void *cache, size_t size, bool by_handle, void **ptr, void **handle,
                            size_t *capacity);
  hostcache_result (*free)(void *cache, void *ptr, void *handle, bool deferred);
  hostcache_result (*mark)(void *cache, void *ptr, void *handle, sim_stream stream);
  hostcache_result (*value)(void *cache, void *ptr, void *handle, sim_stream stream,
                            uint64_t value);
  hostcache_result (*event)(void *cache, void *ptr, void *handle, const model_event *event);
  hostcache_result (*forget)(void *cache, sim_stream stream);
  hostcache_result (*upkeep)(void *cache, model_upkeep what, size_t *number);
  hostcache_result (*stats)(void *cache, hostcache_stats *stats);
  hostcache_result (*walk)(void *cache, hostcache_visit_fn visit, void *user);
} model_mode;

#define PASTE_OF_MODEL2(a, b) a##_##b
#define PASTE_OF_MODEL(a, b) PASTE_OF_MODEL2(a, b)

#define HC_NAME pooled
#define CACHE pooled
#include "../sim/hooks_pooled.h"
#include "streams_mode.h"

#define HC_NAME owned
#define CACHE owned
#include "../sim/hooks_owned.h"
#include "streams_mode.h"

#define HC_NAME plain
#define CACHE plain
#include "../sim/hooks_plain.h"
#include "streams_mode.h"

#define HC_NAME timeline
#define CACHE timeline
#include "../sim/hooks_timeline.h"
#include "streams_mode.h"

#define HC_NAME waiting_pooled
#define CACHE waiting_pooled
#include "../sim/hooks_pooled.h"
#include "../sim/hooks_waits.h"
#include "streams_mode.h"

#define HC_NAME waiting_plain
#define CACHE waiting_plain
#include "../sim/hooks_plain.h"
#include "../sim/hooks_waits.h"
#include "streams_mode.h"

#define HC_NAME waiting_timeline
#define CACHE waiting_timeline
#include "../sim/hooks_timeline.h"
#include "../sim/hooks_waits.h"
#include "streams_mode.h"

#define HC_NAME requests
#define CACHE requests
#include "../sim/hooks_requests.h"
#include "streams_mode.h"

#define HC_NAME memory
#define CACHE memory
#define HC_NO_STREAMS
#include "../sim/hooks_memory.h"
#include "streams_mode.h"

typedef struct model_setup {
  const char *name;
  const model_mode *mode;
  size_t segment_bytes, max_reserved_bytes, max_cached_bytes;
  uint32_t query_error_limit, streams_die_idle;
  uint64_t wait_on_limit_ns;
  uint64_t progress; /* so many unsuccessful queries complete a unit of work; 0: never */
} model_setup;

#define MODEL_SETUPS_OF(cache, words)                                                             \
  {.name = words, .mode = &cache##_mode, .segment_bytes = 4096},                                  \
      {.name = words ", shared segments", .mode = &cache##_mode, .query_error_limit = 1},         \
      {.name = words ", streams die idle",                                                        \
       .mode = &cache##_mode,                                                                     \
       .segment_bytes = 4096,                                                                     \
       .max_cached_bytes = HOSTCACHE_NONE,                                                        \
       .streams_die_idle = 1},                                                                    \
  {                                                                                               \
    .name = words ", a cap that is waited at", .mode = &cache##_mode, .segment_bytes = 64 * 1024, \
    .max_reserved_bytes = 256 * 1024, .wait_on_limit_ns = 30000, .progress = 3,                   \
    .query_error_limit = 2                                                                        \
  }

static const model_setup model_setups[] = {
    MODEL_SETUPS_OF(pooled, "pooled events"),
    MODEL_SETUPS_OF(owned, "events made by recording"),
    MODEL_SETUPS_OF(plain, "plain events"),
    MODEL_SETUPS_OF(timeline, "timelines"),
    MODEL_SETUPS_OF(waiting_pooled, "pooled events and waits"),
    MODEL_SETUPS_OF(waiting_plain, "plain events and waits"),
    MODEL_SETUPS_OF(waiting_timeline, "timelines and waits"),
    MODEL_SETUPS_OF(requests, "events without streams"),
    MODEL_SETUPS_OF(memory, "neither"),
};
enum { MODEL_SETUPS = sizeof model_setups / sizeof *model_setups };

/* Each of them with stocks of the usual size, without any, and with small ones. */
static const size_t model_stocks[] = {0, HOSTCACHE_NONE, 48 * 1024};
enum { MODEL_STOCKS = sizeof model_stocks / sizeof *model_stocks, MODEL_NO_STOCKS = 1 };

/* ---- the books ------------------------------------------------------------------------------- */

typedef enum model_use_kind {
  MODEL_MARK,
  MODEL_VALUE,    /* given by the caller */
  MODEL_EVENT,    /* handed over */
  MODEL_FORGOTTEN /* a mark that forget_stream made one of its events, of `group` */
} model_use_kind;

typedef enum model_fate {
  MODEL_OPEN,   /* its block is active, or not recorded yet */
  MODEL_QUEUED, /* it waits; FORGOTTEN: see its group */
  MODEL_OVER,
  MODEL_UNTOLD
} model_fate;

typedef struct model_use {
  model_use_kind kind;
  model_fate fate;
  sim_stream stream; /* of a mark or a value */
  uint32_t lane;     /* what is behind the handle */
  uint64_t value;    /* what it waits for; of an open mark, the highest that was given before */
  uint64_t serial;   /* which event */
  unsigned errors, group;
  bool proven;  /* timeline: the stream said so, but it may not have been the queue's turn */
  bool refused; /* the hook that was to record it failed */
  bool unsure;  /* timeline: its stream failed while it was forgotten: it may be anything */
  uint64_t since, asked; /* counted in queries: of an event that was handed over */
} model_use;

typedef struct model_block {
  uintptr_t ptr;
  void *handle;
  size_t requested, capacity;
  int kind; /* HOSTCACHE_VISIT_ACTIVE, _PENDING, _QUARANTINED */
  model_use uses[MODEL_USES];
  unsigned use_count;
  uint64_t freed;  /* which free it was: deferred blocks are recorded in this order */
  uint64_t ticket; /* when its uses went to their queues; 0: not yet */
  bool fresh;      /* they did so in this operation, */
  bool waited;     /* and some of them are to be answered for by a query */
  bool failed;     /* a hook that was to record one failed */
} model_block;

/* An event that forget_stream recorded. */
typedef struct model_early {
  uint64_t serial;
  unsigned group; /* 0: in vain, or not known yet */
  unsigned errors;
} model_early;

typedef struct model_group { /* of the events of one forget_stream */
  unsigned done, untold;     /* have answered so, and are not yet found in a block */
} model_group;

typedef struct model_segment {
  uintptr_t ptr;
  size_t size;
} model_segment;

typedef struct model_range { /* what walk shows */
  int kind;
  uintptr_t ptr;
  size_t size, requested;
  bool whole;
} model_range;

typedef enum model_op {
  MODEL_DO_ALLOC,
  MODEL_DO_USE,
  MODEL_DO_GIVE,
  MODEL_DO_SUBMIT,
  MODEL_DO_FREE,
  MODEL_DO_FREE_DEFERRED,
  MODEL_DO_COMPLETE,
  MODEL_DO_PROCESS_EVENTS,
  MODEL_DO_SYNCHRONIZE,
  MODEL_DO_SYNCHRONIZE_IDLE,
  MODEL_DO_EMPTY_CACHE,
  MODEL_DO_TRIM,
  MODEL_DO_FORGET,
  MODEL_DO_FAIL_HOOKS,
  MODEL_DO_FAIL_NO_MORE,
  MODEL_DO_RELEASE,
  MODEL_DO_MISUSE,
  MODEL_DO_RESET,
  MODEL_OP_COUNT
} model_op;

/* How often each is met, of 256. */
static const uint8_t model_shares[MODEL_OP_COUNT] = {44, 50, 26, 6, 36, 14, 22, 12, 4,
                                                     3,  3,  3,  8, 9,  6,  3,  5,  2};

typedef struct model {
  sim_device device; /* first, as the hooks get its address */
  void *cache;
  const model_setup *setup;
  const model_mode *mode;
  FILE *trace;      /* every operation is told here; NULL: none */
  const char *rule; /* the first that was broken; NULL: none */
  char finding[400];
  unsigned lie; /* 1 + the number of the figure to be falsified, to see that it is compared */
  unsigned error_limit;

  model_block blocks[MODEL_BLOCKS];
  size_t block_count;
  uintptr_t ghosts[MODEL_GHOSTS];
  uint64_t ghost_count;
  SIM_LIST(model_segment) segments;
  SIM_LIST(model_range) ranges;
  SIM_LIST(model_early) early;
  model_group groups[MODEL_GROUPS + 1];
  unsigned group_count;
  unsigned errors[SIM_LANES];     /* timeline: failed queries of a stream in a row */
  bool errors_unknown[SIM_LANES]; /* some were made while it was forgotten */
  uint64_t free_count, ticket, serial, query_count;
  size_t held, alignment, max_split, stock;
  hostcache_stats want;
  int64_t bases[19]; /* `current` at the last reset of the accumulated figures */

  /* this operation */
  model_op op;
  unsigned number;
  hostcache_result result;
  bool called;
  size_t size, ready;
  sim_stream stream;      /* that is forgotten */
  model_block handed_out; /* which is among the others once these are followed */
  model_block *freeing;   /* by free, or NULL */
  model_use *failed;      /* the last that could not be recorded */
  unsigned lane_asked[SIM_LANES], lane_over[SIM_LANES]; /* queries, and entries that were over */
  size_t early_before;
  uint64_t query_before, mallocs_before, hooks_before, heard_before[16], heard[16];
  uint64_t fired_before[SIM_HOOKS];
} model;

static jmp_buf *model_jump; /* where a failed assertion goes; NULL: the program aborts */
static model *model_asserting;

/* The rules. Two failures of one rule are one defect to the shrinker. */
#define MODEL_RULES(X)                                                                             \
  X(CHECK, "check says OK after every operation")                                                  \
  X(ASSERTION, "no assertion of the header fails")                                                 \
  X(REFEREE, "the device sees no rule broken")                                                     \
  X(RESULT, "an operation returns what it may return")                                             \
  X(FIGURE, "every figure is that of the books")                                                   \
  X(BLOCKS, "a block is active, pending, quarantined or ready as its uses say")                    \
  X(RECORDED, "each mark of a freed block is recorded once, the block that was freed first first") \
  X(TURN, "of a stream's queue the head alone is asked, of events handed over each in its turn")   \
  X(DRAINED, "who polls records what was deferred, and asks each stream that something waits for") \
  X(COST, "a poll asks each busy stream once, and once more for each entry that was over")         \
  X(NO_HOOK, "marking and free_deferred call no hook, and free_deferred no malloc")                \
  X(NO_WAIT, "process_events waits for nothing")                                                   \
  X(FORGOTTEN, "what forget_stream waits for is complete")                                         \
  X(TOLD, "on_error hears of each failure")                                                        \
  X(END, "once all is freed and the cache emptied, everything has been given back")

#include "books.h"

/* ---- looking --------------------------------------------------------------------------------- */

static int model_look_at(void *user, const hostcache_visit *visit) {
  model *m = user;
  model_range range;
  range.kind = visit->kind;
  range.ptr = (uintptr_t)visit->ptr;
  range.size = visit->size;
  range.requested = visit->requested;
  range.whole = false;
  if (visit->kind != HOSTCACHE_VISIT_SEGMENT && m->ranges.count > 0) {
    const model_range *last = &m->ranges.at[m->ranges.count - 1];
    range.whole = last->kind == HOSTCACHE_VISIT_SEGMENT && last->size == range.size;
  }
  SIM_PUSH(m->ranges, range);
  return 0;
}

/* The range that begins at an address, which is in use, or NULL. */
static const model_range *model_in_use_at(const model *m, uintptr_t ptr) {
  size_t i;
  for (i = 0; i < m->ranges.count; i++) {
    const model_range *range = &m->ranges.at[i];
    if (range->ptr == ptr && range->kind != HOSTCACHE_VISIT_SEGMENT &&
        range->kind != HOSTCACHE_VISIT_CACHED)
      return range;
  }
  return NULL;
}

static uint32_t model_lane(model *m, sim_stream stream) {
  if (m->device.lane_of[stream] == SIM_GONE) sim_stream_create(&m->device, stream);
  return m->device.lane_of[stream];
}

static bool model_reached(const model *m, const model_use *use) {
  return m->device.lanes[use->lane].completed >= use->value;
}

/* ---- what the hooks say ---------------------------------------------------------------------- */

static uint64_t model_serial(const sim_event *event) {
  return (uint64_t)event->generation << 32 | event->slot;
}

/* Does the use stand in the queue of its stream? */
static bool model_in_queue(const model_use *use, uint32_t lane) {
  return use->fate == MODEL_QUEUED && use->lane == lane &&
         (use->kind == MODEL_MARK || use->kind == MODEL_VALUE);
}

/* The uses of a block go to their queues. */
static void model_submit(model *m, model_block *block) {
  unsigned i;
  if (block->ticket != 0) return;
  block->ticket = ++m->ticket;
  block->fresh = true;
  for (i = 0; i < block->use_count; i++) {
    model_use *use = &block->uses[i];
    if (use->kind == MODEL_MARK) continue; /* once it is recorded */
    use->fate = MODEL_QUEUED;
    use->since = m->query_count;
    block->waited = true;
  }
}

static model_use *model_open_mark(model_block *block, sim_stream stream, bool *any) {
  model_use *found = NULL;
  unsigned i;
  *any = false;
  for (i = 0; i < block->use_count; i++) {
    model_use *use = &block->uses[i];
    if (use->kind != MODEL_MARK || use->fate != MODEL_OPEN) continue;
    *any = true;
    if (use->stream == stream) found = use;
  }
  return found;
}

/* The mark that is now to be recorded: of the block that was deferred first, or, when all of these
   are recorded, of the one that is being freed. NULL, and *of_block, if it is none of this block's;
   NULL and no block, if all are recorded. */
static model_use *model_to_record(model *m, sim_stream stream, model_block **of_block) {
  model_use *use = NULL;
  size_t i;
  bool any;
  *of_block = NULL;
  for (i = 0; i < m->block_count; i++) {
    model_block *block = &m->blocks[i];
    if (block->kind != HOSTCACHE_VISIT_PENDING) continue;
    if (*of_block != NULL && (*of_block)->freed < block->freed) continue;
    (void)model_open_mark(block, stream, &any);
    if (any) *of_block = block;
  }
  if (*of_block == NULL && m->freeing != NULL) {
    (void)model_open_mark(m->freeing, stream, &any);
    if (any) *of_block = m->freeing;
  }
  if (*of_block != NULL) use = model_open_mark(*of_block, stream, &any);
  return use;
}

/* A hook has recorded something on a stream: `value` is what that waits for. Or it failed. */
static void model_recorded(model *m, sim_stream stream, bool done, uint64_t value,
                           uint64_t serial) {
  model_block *block;
  model_use *use = model_to_record(m, stream, &block);
  if (block == NULL && m->op == MODEL_DO_FORGET && stream == m->stream) {
    model_early early = {serial, 0, 0};
    if (done && !m->mode->is_timeline) SIM_PUSH(m->early, early);
    return;
  }
  if (use == NULL) {
    model_broken(m, model_rule_RECORDED, "stream %d, where nothing is to be recorded", stream);
    return;
  }
  model_submit(m, block);
  if (done) {
    use->fate = MODEL_QUEUED;
    use->lane = m->device.lane_of[stream];
    if (value > use->value) use->value = value;
    use->serial = serial;
    block->waited = true;
  } else {
    use->fate = MODEL_UNTOLD; /* unless the stream is waited for */
    use->refused = true;
    block->failed = true;
    m->failed = use;
  }
}

static int model_stream_wait(sim_device *d, sim_stream stream) {
  model *m = (model *)d;
  int code = sim_stream_wait(d, stream);
  MODEL_MUST(m, m->op != MODEL_DO_PROCESS_EVENTS, NO_WAIT, "for stream %d", stream);
  if (code == SIM_DONE && m->failed != NULL && m->failed->stream == stream) {
    size_t i;
    m->failed->fate = m->failed->value > 0 ? MODEL_QUEUED : MODEL_OVER;
    for (i = 0; i < m->block_count; i++) /* a value was given as well, and is asked for */
      if (m->failed >= m->blocks[i].uses && m->failed < m->blocks[i].uses + MODEL_USES)
        m->blocks[i].waited |= m->failed->fate == MODEL_QUEUED;
  }
  m->failed = NULL;
  return code;
}

static int model_event_create(sim_device *d, sim_stream stream, sim_event *event) {
  int code = sim_event_create(d, stream, event);
  if (code != SIM_DONE) model_recorded((model *)d, stream, false, 0, 0);
  return code;
}

static uint64_t model_submitted(model *m, sim_stream stream) {
  const uint32_t lane = m->device.lane_of[stream];
  return lane == SIM_GONE ? 0 : m->device.lanes[lane].submitted;
}

static int model_event_record(sim_device *d, sim_event *event, sim_stream stream) {
  int code = sim_event_record(d, event, stream);
  model_recorded((model *)d, stream, code == SIM_DONE, model_submitted((model *)d, stream),
                 model_serial(event));
  return code;
}

static int model_event_make(sim_device *d, sim_event *event, sim_stream stream) {
  int code = sim_event_make(d, event, stream);
  model_recorded((model *)d, stream, code == SIM_DONE, model_submitted((model *)d, stream),
                 code == SIM_DONE ? model_serial(event) : 0);
  return code;
}

static int model_point_record(sim_device *d, model_point *point, sim_stream stream) {
  model *m = (model *)d;
  int code = sim_point_record(d, &point->at, stream);
  point->serial = ++m->serial;
  model_recorded(m, stream, code == SIM_DONE, point->at.value, point->serial);
  return code;
}

static int model_timeline_record(sim_device *d, sim_stream stream, uint64_t *value) {
  int code = sim_timeline_record(d, stream, value);
  model_recorded((model *)d, stream, code == SIM_DONE, *value, 0);
  return code;
}

/* Before a query is judged: a free polls when all that it records is recorded. */
static void model_count_query(model *m) {
  m->query_count++;
  if (m->freeing != NULL) model_submit(m, m->freeing);
}

/* An answer about a use: by it, it is over, waits on, or cannot be told any more. */
static void model_answered(model *m, model_use *use, int code) {
  if (code == SIM_DONE) {
    use->fate = MODEL_OVER;
  } else if (code == SIM_PENDING) {
    use->errors = 0;
  } else if (++use->errors >= m->error_limit) {
    use->fate = MODEL_UNTOLD;
  }
}

/* Was it the use's turn? Of events that were handed over, each other has been asked since this one
   was asked last, or came later. */
static void model_judge_turn(model *m, const model_block *block, const model_use *use) {
  size_t i;
  unsigned j;
  for (i = 0; i < m->block_count; i++) {
    for (j = 0; j < m->blocks[i].use_count; j++) {
      const model_use *other = &m->blocks[i].uses[j];
      if (use->kind == MODEL_EVENT) {
        if (other->kind != MODEL_EVENT || other->fate != MODEL_QUEUED || use->asked == 0) continue;
        if (&m->blocks[i] == m->freeing) continue; /* it may not stand there yet */
        MODEL_MUST(m, other->asked >= use->asked || other->since >= use->asked, TURN,
                   "an event of 0x%" PRIxPTR " is asked again before one of 0x%" PRIxPTR,
                   block->ptr, m->blocks[i].ptr);
      } else if (model_in_queue(other, use->lane)) {
        MODEL_MUST(m, m->blocks[i].ticket >= block->ticket, TURN,
                   "0x%" PRIxPTR " is asked for, and 0x%" PRIxPTR " heads the queue", block->ptr,
                   m->blocks[i].ptr);
      }
    }
  }
}

/* An event was asked. */
static void model_asked(model *m, uint64_t serial, int code) {
  size_t i;
  unsigned j;
  model_count_query(m);
  for (i = 0; i < m->block_count; i++) {
    for (j = 0; j < m->blocks[i].use_count; j++) {
      model_use *use = &m->blocks[i].uses[j];
      if (use->serial != serial || use->fate != MODEL_QUEUED || use->kind == MODEL_FORGOTTEN)
        continue;
      model_judge_turn(m, &m->blocks[i], use);
      use->asked = m->query_count;
      if (use->kind == MODEL_MARK) m->lane_asked[use->lane]++;
      model_answered(m, use, code);
      if (use->kind == MODEL_MARK && use->fate != MODEL_QUEUED) m->lane_over[use->lane]++;
      return;
    }
  }
  for (i = 0; i < m->early.count; i++) {
    model_early *early = &m->early.at[i];
    if (early->serial != serial) continue;
    if (code == SIM_DONE)
      m->groups[early->group].done++;
    else if (code == SIM_PENDING)
      early->errors = 0;
    else if (++early->errors >= m->error_limit)
      m->groups[early->group].untold++;
    return;
  }
  model_broken(m, model_rule_TURN, "event %" PRIx64 " is asked, and nothing waits for it", serial);
}

static int model_event_query(sim_device *d, sim_event *event) {
  int code = sim_event_query(d, event);
  model_asked((model *)d, model_serial(event), code);
  return code;
}

static int model_point_query(sim_device *d, model_point *point) {
  int code = sim_point_query(d, &point->at);
  model_asked((model *)d, point->serial, code);
  return code;
}

/* What heads a stream's queue. */
static model_use *model_head(model *m, uint32_t lane) {
  model_use *head = NULL;
  uint64_t ticket = UINT64_MAX;
  size_t i;
  unsigned j;
  for (i = 0; i < m->block_count; i++) {
    for (j = 0; j < m->blocks[i].use_count; j++) {
      if (!model_in_queue(&m->blocks[i].uses[j], lane) || m->blocks[i].ticket > ticket) continue;
      if (m->blocks[i].uses[j].unsure) continue;
      head = &m->blocks[i].uses[j];
      ticket = m->blocks[i].ticket;
    }
  }
  return head;
}

/* A timeline has answered for all that is at the head of its queue. While a stream is forgotten it
   is asked for other reasons, too. */
static int model_timeline_query(sim_device *d, sim_stream stream, uint64_t *value) {
  model *m = (model *)d;
  const bool forgetting = m->op == MODEL_DO_FORGET;
  const uint32_t lane = d->lane_of[stream];
  int code = sim_timeline_query(d, stream, value);
  bool waits = false, unsure = false;
  model_use *head;
  size_t i;
  unsigned j;
  model_count_query(m);
  if (lane == SIM_GONE) return code;
  m->lane_asked[lane]++;
  for (i = 0; i < m->block_count; i++) {
    for (j = 0; j < m->blocks[i].use_count; j++) {
      model_use *use = &m->blocks[i].uses[j];
      if (!model_in_queue(use, lane)) continue;
      waits = true;
      if (code != SIM_DONE && (forgetting || m->errors_unknown[lane])) use->unsure = true;
      unsure |= use->unsure; /* and may, or may not, stand before others */
    }
  }
  for (i = 0; (forgetting || unsure) && code == SIM_DONE && i < m->block_count; i++)
    for (j = 0; j < m->blocks[i].use_count; j++)
      if (model_in_queue(&m->blocks[i].uses[j], lane) && m->blocks[i].uses[j].value <= *value)
        m->blocks[i].uses[j].proven = true;
  MODEL_MUST(m, waits || forgetting, TURN, "stream %d is asked, and nothing waits for it", stream);
  if (code == SIM_DONE) {
    m->errors[lane] = 0;
    m->errors_unknown[lane] = false;
    while (!forgetting && !unsure && (head = model_head(m, lane)) != NULL && head->value <= *value)
      head->fate = MODEL_OVER;
  } else if (forgetting || m->errors_unknown[lane]) {
    m->errors_unknown[lane] = true;
  } else if (++m->errors[lane] >= m->error_limit) {
    m->errors[lane] = 0;
    while ((head = model_head(m, lane)) != NULL) head->fate = MODEL_UNTOLD;
  }
  return code;
}

/* ---- hooks on memory ------------------------------------------------------------------------- */

/* Has what was deferred been recorded, and every stream been asked that something waits for? */
static void model_judge_drained(model *m, bool and_events) {
  size_t i;
  unsigned j;
  for (i = 0; i < m->block_count; i++) {
    MODEL_MUST(m, m->blocks[i].kind != HOSTCACHE_VISIT_PENDING || m->blocks[i].ticket > 0, DRAINED,
               "0x%" PRIxPTR " was deferred, and is not recorded", m->blocks[i].ptr);
    for (j = 0; j < m->blocks[i].use_count; j++) {
      const model_use *use = &m->blocks[i].uses[j];
      if (use->fate != MODEL_QUEUED || use->kind == MODEL_FORGOTTEN || use->proven) continue;
      if (use->unsure || m->errors_unknown[use->lane]) continue;
      if (use->kind == MODEL_EVENT)
        MODEL_MUST(m, !and_events || use->asked > m->query_before, DRAINED,
                   "an event of 0x%" PRIxPTR " was not asked", m->blocks[i].ptr);
      else
        MODEL_MUST(m, m->lane_asked[use->lane] > 0, DRAINED,
                   "0x%" PRIxPTR " waits for stream %d, which was not asked", m->blocks[i].ptr,
                   use->stream);
    }
  }
}

static int model_mem_alloc(sim_device *d, size_t size, size_t align, void **ptr) {
  model *m = (model *)d;
  model_segment segment;
  int code = sim_mem_alloc(d, size, align, ptr);
  model_judge_drained(m, false); /* before memory is got */
  m->want.num_mem_alloc++;
  model_count_call(&m->want.mem_alloc_time);
  if (code != SIM_DONE) return code;
  segment.ptr = (uintptr_t)*ptr;
  segment.size = size;
  SIM_PUSH(m->segments, segment);
  model_add(&m->want.segment, 1);
  model_add(&m->want.reserved_bytes, size);
  return code;
}

static int model_mem_free(sim_device *d, void *ptr, size_t size) {
  model *m = (model *)d;
  int code = sim_mem_free(d, ptr, size);
  size_t i;
  m->want.num_mem_free++;
  model_count_call(&m->want.mem_free_time);
  for (i = 0; i < m->segments.count; i++)
    if (m->segments.at[i].ptr == (uintptr_t)ptr && m->segments.at[i].size == size) break;
  if (i == m->segments.count) return code; /* the device has said so */
  SIM_REMOVE(m->segments, i);
  model_subtract(&m->want.segment, 1);
  model_subtract(&m->want.reserved_bytes, size);
  return code;
}

/* ---- following ------------------------------------------------------------------------------- */

#define MODEL_MAY(kind) (1u << (kind))

/* How many blocks wait for an event of a group. */
static unsigned model_waiting_for(const model *m, unsigned group) {
  unsigned count = 0, j;
  size_t i;
  for (i = 0; i < m->block_count; i++)
    for (j = 0; j < m->blocks[i].use_count; j++) {
      const model_use *use = &m->blocks[i].uses[j];
      count += use->kind == MODEL_FORGOTTEN && use->fate == MODEL_QUEUED && use->group == group;
    }
  return count;
}

/* What a freed block may be by now, as its uses say. */
static unsigned model_may_be(const model *m, const model_block *block) {
  bool waits = block->ticket == 0, may_be_over = true, may_wait = false, may_be_untold = false;
  unsigned may = 0, i;
  for (i = 0; i < block->use_count; i++) {
    const model_use *use = &block->uses[i];
    if (use->fate == MODEL_UNTOLD) return MODEL_MAY(HOSTCACHE_VISIT_QUARANTINED);
    if (use->fate != MODEL_QUEUED) continue;
    if (use->kind == MODEL_FORGOTTEN) {
      const model_group *group = &m->groups[use->group];
      may_be_over = may_be_over && group->done > 0;
      may_wait = may_wait || group->done + group->untold < model_waiting_for(m, use->group);
      may_be_untold = may_be_untold || group->untold > 0;
    } else {
      may_be_untold = may_be_untold || use->unsure || m->errors_unknown[use->lane];
      if (use->proven || use->unsure)
        may_wait = true; /* until its queue is looked at */
      else
        waits = true;
    }
  }
  if (may_be_untold) may |= MODEL_MAY(HOSTCACHE_VISIT_QUARANTINED);
  if (waits || may_wait) may |= MODEL_MAY(HOSTCACHE_VISIT_PENDING);
  if (!waits && may_be_over) may |= MODEL_MAY(HOSTCACHE_VISIT_CACHED);
  return may;
}

/* Settles what was not certain, now that it is known what the block is. */
static void model_adopt(model *m, model_block *block, int kind) {
  unsigned i;
  for (i = 0; kind == HOSTCACHE_VISIT_QUARANTINED && i < block->use_count; i++)
    if (block->uses[i].fate == MODEL_UNTOLD) return; /* which is why */
  for (i = 0; i < block->use_count; i++) {
    model_use *use = &block->uses[i];
    model_group *group = &m->groups[use->group];
    if (use->fate != MODEL_QUEUED) continue;
    if (kind == HOSTCACHE_VISIT_CACHED) {
      if (use->kind == MODEL_FORGOTTEN) group->done--;
      use->fate = MODEL_OVER;
    } else if (kind == HOSTCACHE_VISIT_QUARANTINED && use->kind == MODEL_FORGOTTEN) {
      if (group->untold > 0) group->untold--, use->fate = MODEL_UNTOLD;
    } else if (kind == HOSTCACHE_VISIT_QUARANTINED && use->kind != MODEL_EVENT) {
      if (m->errors_unknown[use->lane]) use->unsure = true;
    }
  }
}

/* A block is ready: the oracle keeps but its ghost. Invalidates pointers to the last block. */
static void model_forget_block(model *m, model_block *block) {
  model_count_kind(m, block, model_subtract);
  model_count_in_use(m, block, model_subtract);
  m->ghosts[m->ghost_count++ % MODEL_GHOSTS] = block->ptr;
  *block = m->blocks[--m->block_count];
}

/* Was it quarantined as soon as its uses were to be recorded? */
static bool model_is_untold(const model_block *block) {
  unsigned i;
  for (i = 0; i < block->use_count; i++)
    if (block->uses[i].fate == MODEL_UNTOLD && block->uses[i].refused) return true;
  return false;
}

/* In the order in which it came to pass, as the peaks show it: first the deferred blocks that were
   recorded; then the block that was freed; then what the answers of the hooks changed. */
static void model_follow(model *m) {
  size_t i;
  for (i = m->block_count; i-- > 0;) {
    model_block *block = &m->blocks[i];
    if (!block->fresh || block == m->freeing || block->kind != HOSTCACHE_VISIT_PENDING) continue;
    if (model_is_untold(block)) {
      model_turn(m, block, HOSTCACHE_VISIT_QUARANTINED);
    } else if (!block->waited) {
      const model_range *range = model_in_use_at(m, block->ptr); /* may be handed out again */
      MODEL_MUST(m, range == NULL || range->kind == HOSTCACHE_VISIT_ACTIVE, BLOCKS,
                 "0x%" PRIxPTR " waits, and all its streams were waited for", block->ptr);
      if (m->freeing == &m->blocks[m->block_count - 1]) m->freeing = block; /* it moves there */
      model_forget_block(m, block);
      m->ready++;
    }
  }
  if (m->freeing != NULL) {
    model_block *block = m->freeing;
    unsigned j;
    for (j = 0; j < block->use_count; j++)
      if (block->uses[j].asked == 0) block->uses[j].since = m->query_count;
    if (model_is_untold(block)) {
      model_turn(m, block, HOSTCACHE_VISIT_QUARANTINED);
    } else if (block->ticket == 0 || block->waited) {
      model_turn(m, block, HOSTCACHE_VISIT_PENDING);
    } else {
      MODEL_MUST(m, model_in_use_at(m, block->ptr) == NULL, BLOCKS,
                 "0x%" PRIxPTR " was freed without anything to wait for, and is not ready",
                 block->ptr);
      model_forget_block(m, block);
    }
  }
  for (i = m->block_count; i-- > 0;) {
    model_block *block = &m->blocks[i];
    const model_range *range = model_in_use_at(m, block->ptr);
    int kind = range == NULL ? HOSTCACHE_VISIT_CACHED : range->kind;
    unsigned may = MODEL_MAY(HOSTCACHE_VISIT_ACTIVE);
    block->fresh = false;
    if (block->kind != HOSTCACHE_VISIT_ACTIVE) {
      may = model_may_be(m, block);
      if (kind == HOSTCACHE_VISIT_ACTIVE) kind = HOSTCACHE_VISIT_CACHED; /* handed out again */
    }
    MODEL_MUST(m, (may & MODEL_MAY(kind)) != 0, BLOCKS,
               "0x%" PRIxPTR " is %d, and may be 0x%x (bits: 1 active, 2 pending, 3 cached, ...)",
               block->ptr, kind, may);
    if (kind != HOSTCACHE_VISIT_CACHED)
      MODEL_MUST(m, range->size == block->capacity && range->requested == block->requested, BLOCKS,
                 "0x%" PRIxPTR " has %zu bytes of which %zu were requested", block->ptr,
                 range->size, range->requested);
    if (m->rule != NULL) return;
    if (block->kind == kind) continue;
    model_adopt(m, block, kind);
    if (kind != HOSTCACHE_VISIT_CACHED) {
      model_turn(m, block, kind);
    } else {
      model_forget_block(m, block);
      m->ready++;
    }
  }
}

/* ---- operations ------------------------------------------------------------------------------ */

static uint64_t model_told_failures(const model *m) {
  return model_fired(m, SIM_EVERY_RECORD | SIM_EVERY_QUERY | SIM_EVERY_WAIT);
}

/* What upkeep returns: EVENT just where a query, or the recording for a deferred block, failed. */
static unsigned model_upkeep_result(const model *m) {
  return model_fired(m, SIM_EVERY_RECORD | SIM_EVERY_QUERY) > 0 ? MODEL_BIT(HOSTCACHE_ERR_EVENT)
                                                                : MODEL_BIT(HOSTCACHE_OK);
}

static hostcache_result model_upkeep_call(model *m, model_upkeep what, size_t number) {
  return m->mode->upkeep(m->cache, what, &number);
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

static void model_do_alloc(model *m, size_t size, bool by_handle) {
  void *ptr = NULL, *handle = NULL;
  size_t capacity = 0;
  hostcache_result result;
  model_block *block;
  if (m->block_count == MODEL_BLOCKS) return;
  model_say(m, "%3u alloc(%zu)\n", m->number, size);
  m->size = size;
  result = m->mode->alloc(m->cache, size, by_handle, &ptr, &handle, &capacity);
  model_expect(m, "alloc", result,
               MODEL_BIT(HOSTCACHE_OK) |
                   (m->setup->max_reserved_bytes > 0 ? MODEL_BIT(HOSTCACHE_ERR_LIMIT) : 0));
  if (result == HOSTCACHE_ERR_LIMIT) model_judge_drained(m, true);
  if (ptr == NULL) return;
  sim_handed_out(&m->device, ptr, capacity);
  model_say(m, "    %p\n", ptr);
  block = &m->handed_out;
  memset(block, 0, sizeof *block);
  block->ptr = (uintptr_t)ptr;
  block->handle = handle;
  block->requested = size;
  block->capacity = capacity;
  block->kind = HOSTCACHE_VISIT_ACTIVE;
}

/* A place for a use of a kind on a block: one that it has, or a new one; NULL: no room. */
static model_use *model_use_of(model_block *block, model_use_kind kind, sim_stream stream) {
  model_use *use;
  unsigned i;
  for (i = 0; kind != MODEL_EVENT && i < block->use_count; i++) {
    use = &block->uses[i];
    if ((use->kind == MODEL_MARK || use->kind == MODEL_VALUE) && use->stream == stream) return use;
  }
  if (block->use_count == MODEL_USES) return NULL;
  use = &block->uses[block->use_count];
  memset(use, 0, sizeof *use);
  use->stream = stream;
  return use;
}

static void model_use_added(model_block *block, const model_use *use) {
  if (use == &block->uses[block->use_count]) block->use_count++;
}

/* Work on a block: it is marked before or after, by handle or by a pointer into it; or no work. */
static void model_do_use(model *m, uint8_t x, uint8_t y, uint8_t z) {
  const sim_stream stream = y % MODEL_STREAMS;
  model_block *block = model_active(m, x);
  model_use *use = block == NULL ? NULL : model_use_of(block, MODEL_MARK, stream);
  void *inside;
  if (use == NULL || !m->mode->has_streams) return;
  (void)model_lane(m, stream);
  inside = (void *)(block->ptr + (block->capacity - 1) / 255 * z);
  model_say(m, "%3u record_stream(%p, %d)%s\n", m->number, inside, stream,
            z % 8 == 7   ? ""
            : z % 4 >= 2 ? ", and then work"
                         : ", after work");
  if (z % 4 < 2) (void)sim_use(&m->device, stream, (void *)block->ptr);
  model_expect(m, "record_stream",
               m->mode->mark(m->cache, inside, z % 2 != 0 ? block->handle : NULL, stream),
               MODEL_BIT(HOSTCACHE_OK));
  if (z % 4 >= 2 && z % 8 != 7) (void)sim_use(&m->device, stream, (void *)block->ptr);
  use->kind = MODEL_MARK;
  model_use_added(block, use);
}

/* Work, and what says when it is over: a value of its stream's timeline, or an event. */
static void model_do_give(model *m, uint8_t x, uint8_t y, uint8_t z) {
  const model_use_kind kind = m->mode->is_timeline ? MODEL_VALUE : MODEL_EVENT;
  const sim_stream stream = y % MODEL_STREAMS;
  model_block *block = model_active(m, x);
  model_use *use = block == NULL ? NULL : model_use_of(block, kind, stream);
  void *handle = z % 2 != 0 && block != NULL ? block->handle : NULL;
  if (use == NULL || (kind == MODEL_EVENT && m->mode->events == MODEL_NO_EVENTS)) return;
  (void)model_lane(m, stream);
  if (kind == MODEL_VALUE) {
    uint64_t value = sim_use(&m->device, stream, (void *)block->ptr);
    if (z % 8 >= 6) value++; /* of work to come */
    model_say(m, "%3u work, and record_value(0x%" PRIxPTR ", %d, %" PRIu64 ")%s\n", m->number,
              block->ptr, stream, value, z % 8 < 2 ? ", and then with the value before" : "");
    model_expect(m, "record_value",
                 m->mode->value(m->cache, (void *)block->ptr, handle, stream, value),
                 MODEL_BIT(HOSTCACHE_OK));
    if (z % 8 < 2)
      model_expect(m, "record_value",
                   m->mode->value(m->cache, (void *)block->ptr, handle, stream, value - 1),
                   MODEL_BIT(HOSTCACHE_OK));
    if (value > use->value) use->value = value;
    use->lane = model_lane(m, stream);
  } else {
    model_event event;
    memset(&event, 0, sizeof event);
    (void)sim_use(&m->device, stream, (void *)block->ptr);
    if (m->mode->events == MODEL_OBJECTS) {
      event.object = sim_own_event(&m->device, stream);
      use->serial = model_serial(&event.object);
    } else {
      event.point.at = sim_own_point(&m->device, stream);
      use->serial = event.point.serial = ++m->serial;
    }
    use->lane = model_lane(m, stream);
    use->value = model_submitted(m, stream);
    model_say(m, "%3u work on stream %d, and record_event(0x%" PRIxPTR ")\n", m->number, stream,
              block->ptr);
    model_expect(m, "record_event", m->mode->event(m->cache, (void *)block->ptr, handle, &event),
                 MODEL_BIT(HOSTCACHE_OK));
  }
  use->kind = kind;
  model_use_added(block, use);
}

static void model_do_free(model *m, uint8_t x, bool by_handle, bool deferred) {
  model_block *block = model_active(m, x);
  hostcache_result result;
  bool marked;
  if (block == NULL) return;
  (void)model_open_mark(block, 0, &marked);
  model_say(m, "%3u free%s(0x%" PRIxPTR ")\n", m->number, deferred ? "_deferred" : "", block->ptr);
  sim_handed_back(&m->device, (void *)block->ptr);
  m->freeing = block;
  block->freed = ++m->free_count;
  if (deferred && !marked) model_submit(m, block); /* else when its marks are recorded */
  result = m->mode->free(m->cache, (void *)block->ptr, by_handle ? block->handle : NULL, deferred);
  if (!deferred) {
    bool left;
    (void)model_to_record(m, 0, &block);
    left = block != NULL;
    MODEL_MUST(m, !left, RECORDED, "a mark of 0x%" PRIxPTR " is not recorded",
               left ? block->ptr : 0);
    model_submit(m, m->freeing);
  }
  model_expect(m, "free", result,
               MODEL_BIT(m->freeing->failed ? HOSTCACHE_ERR_EVENT : HOSTCACHE_OK));
}

static void model_do_complete(model *m, uint8_t x, uint8_t y, uint8_t z) {
  const int units = y % 8 == 7 ? -1 : y % 8;
  uint32_t lane;
  (void)model_lane(m, x % MODEL_STREAMS);
  model_say(m, "%3u stream %d completes %d units (-1: all)%s\n", m->number, x % MODEL_STREAMS,
            units, z % 4 == 0 ? ", and what was destroyed one" : "");
  sim_complete(&m->device, x % MODEL_STREAMS, units);
  if (z % 4 != 0) return;
  for (lane = SIM_STREAMS; lane < m->device.lane_count; lane++)
    sim_complete_lane(&m->device, lane, 1);
  for (lane = 0; lane < MODEL_STREAMS; lane++)
    if (m->device.lane_of[lane] != lane) sim_complete_lane(&m->device, lane, 1);
}

/* Submits the work that values were given for: who waits for one would wait for ever. */
static void model_catch_up(model *m) {
  size_t i;
  unsigned j;
  for (i = 0; i < m->block_count; i++) {
    for (j = 0; j < m->blocks[i].use_count; j++) {
      const model_use *use = &m->blocks[i].uses[j];
      if (!m->mode->is_timeline || use->value == 0 || use->fate == MODEL_OVER) continue;
      while (model_submitted(m, use->stream) < use->value &&
             m->device.lane_of[use->stream] == use->lane)
        (void)sim_submit(&m->device, use->stream);
    }
  }
}

/* What forget_stream has done, once it says OK. */
static void model_forgotten(model *m, uint32_t lane) {
  const bool waits = m->mode->is_timeline || m->setup->streams_die_idle;
  const unsigned group = waits ? 0 : ++m->group_count;
  unsigned j, marks = 0;
  size_t i;
  for (i = m->early_before; group > 0 && i < m->early.count; i++) m->early.at[i].group = group;
  for (i = 0; i < m->block_count; i++) {
    model_block *block = &m->blocks[i];
    for (j = block->use_count; j-- > 0;) {
      model_use *use = &block->uses[j];
      if (use->kind != MODEL_MARK && use->kind != MODEL_VALUE) continue;
      if (block->kind == HOSTCACHE_VISIT_ACTIVE && use->stream == m->stream) {
        marks++;
        if (waits) {
          MODEL_MUST(m,
                     m->device.lanes[lane].completed >=
                         (use->kind == MODEL_MARK ? m->device.lanes[lane].submitted : use->value),
                     FORGOTTEN, "0x%" PRIxPTR " is used on a stream that was forgotten",
                     block->ptr);
          *use = block->uses[--block->use_count];
        } else {
          use->kind = MODEL_FORGOTTEN;
          use->group = group;
          use->serial = 0;
        }
      } else if (waits && model_in_queue(use, lane)) {
        if (use->unsure) continue;
        MODEL_MUST(m, model_reached(m, use), FORGOTTEN,
                   "0x%" PRIxPTR " waits for a stream that was forgotten", block->ptr);
        use->fate = MODEL_OVER;
      }
    }
  }
  if (!waits)
    MODEL_MUST(m, m->early.count - m->early_before == marks, RECORDED,
               "%zu events were recorded for %u marks", m->early.count - m->early_before, marks);
}

static void model_do_forget(model *m, uint8_t x) {
  const sim_stream stream = x % MODEL_STREAMS;
  const uint32_t lane = model_lane(m, stream);
  hostcache_result result;
  if (!m->mode->has_streams || m->group_count == MODEL_GROUPS) return;
  model_say(m, "%3u forget_stream(%d)\n", m->number, stream);
  model_catch_up(m);
  if (m->mode->has_waits && (m->device.fault.hooks & SIM_EVERY_RECORD) != 0)
    sim_fail_no_more(&m->device);
  m->device.progress_per_queries = 1; /* where it waits */
  m->stream = stream;
  m->early_before = m->early.count;
  result = m->mode->forget(m->cache, stream);
  m->device.progress_per_queries = m->setup->progress;
  model_expect(m, "forget_stream", result,
               model_told_failures(m) > 0 ? MODEL_BIT(HOSTCACHE_ERR_EVENT) | MODEL_BIT(HOSTCACHE_OK)
                                          : MODEL_BIT(HOSTCACHE_OK));
  if (result != HOSTCACHE_OK) return;
  model_forgotten(m, lane);
  sim_stream_destroy(&m->device, stream); /* the next that is so called is another */
}

static void model_do_fail_hooks(model *m, uint8_t x, uint8_t y, uint8_t z) {
  static const unsigned hooks[] = {SIM_EVERY_RECORD, SIM_EVERY_QUERY, SIM_EVERY_QUERY,
                                   SIM_EVERY_RECORD | SIM_EVERY_WAIT, SIM_EVERY_WAIT};
  const unsigned which = hooks[x % (sizeof hooks / sizeof *hooks)];
  sim_fail(&m->device, 1 + y % 6, z % 4 == 0, which);
  memset(m->fired_before, 0, sizeof m->fired_before); /* the device counts anew */
  model_say(m, "%3u call %d%s of hooks 0x%x fails\n", m->number, 1 + y % 6,
            z % 4 == 0 ? " and all after" : "", which);
}

/* Frees and marks what was freed. */
static void model_do_misuse(model *m, uint8_t x, uint8_t y) {
  const uintptr_t ptr = m->ghosts[y % MODEL_GHOSTS];
  const unsigned freed = MODEL_BIT(HOSTCACHE_ERR_DOUBLE_FREE) | MODEL_BIT(HOSTCACHE_ERR_NOT_FOUND);
  size_t i;
  if (ptr == 0) return;
  for (i = 0; i < m->ranges.count; i++)
    if (m->ranges.at[i].kind == HOSTCACHE_VISIT_ACTIVE &&
        ptr - m->ranges.at[i].ptr < m->ranges.at[i].size)
      return;
  model_say(m, "%3u misuse %d of 0x%" PRIxPTR "\n", m->number, x % 4, ptr);
  if (x % 4 == 0) {
    model_expect(m, "free_deferred", m->mode->free(m->cache, (void *)ptr, NULL, true), freed);
  } else if (x % 4 == 1 && m->mode->has_streams) {
    model_expect(m, "record_stream", m->mode->mark(m->cache, (void *)ptr, NULL, 0),
                 MODEL_BIT(HOSTCACHE_ERR_NOT_FOUND));
  } else if (x % 4 == 2 && m->mode->events == MODEL_OBJECTS) {
    model_event event;
    (void)model_lane(m, 0);
    event.object = sim_own_event(&m->device, 0);
    model_expect(m, "record_event", m->mode->event(m->cache, (void *)ptr, NULL, &event),
                 MODEL_BIT(HOSTCACHE_ERR_NOT_FOUND));
    sim_own_event_end(&m->device, event.object); /* it stayed ours */
  } else {
    model_expect(m, "free", m->mode->free(m->cache, (void *)ptr, NULL, false), freed);
  }
}

static void model_do_release(model *m) {
  size_t i;
  unsigned j;
  model_say(m, "%3u all work completes; release_quarantine\n", m->number);
  sim_complete_all(&m->device);
  model_expect(m, "release_quarantine", model_upkeep_call(m, MODEL_CALL_RELEASE, 0),
               MODEL_BIT(HOSTCACHE_OK));
  for (i = 0; i < m->block_count; i++) {
    for (j = 0; j < m->blocks[i].use_count; j++) {
      model_use *use = &m->blocks[i].uses[j];
      if (use->fate == MODEL_UNTOLD) use->fate = MODEL_OVER;
    }
  }
  for (j = 0; j <= m->group_count; j++) {
    m->groups[j].done += m->groups[j].untold;
    m->groups[j].untold = 0;
  }
}

static void model_do_synchronize(model *m, bool idle) {
  const unsigned pending = MODEL_MAY(HOSTCACHE_VISIT_PENDING);
  unsigned allowed = MODEL_BIT(HOSTCACHE_ERR_TIMEOUT);
  bool may_be_late = false, is_late = false;
  hostcache_result result;
  size_t i;
  model_say(m, "%3u %ssynchronize(%s)\n", m->number, idle ? "all work completes; " : "",
            idle ? "UINT64_MAX" : "0");
  if (idle) model_catch_up(m);
  if (idle) sim_complete_all(&m->device);
  result = model_upkeep_call(m, MODEL_CALL_SYNCHRONIZE, idle);
  m->want.num_sync_all_streams++;
  for (i = 0; i < m->block_count && !idle; i++) {
    if (m->blocks[i].kind != HOSTCACHE_VISIT_PENDING) continue;
    may_be_late |= (model_may_be(m, &m->blocks[i]) & pending) != 0;
    is_late |= model_may_be(m, &m->blocks[i]) == pending;
  }
  if (!is_late) allowed = model_upkeep_result(m) | (may_be_late ? allowed : 0);
  model_expect(m, "synchronize", result, allowed);
}

static void model_do(model *m, const uint8_t *bytes) {
  const uint8_t x = bytes[1], y = bytes[2], z = bytes[3];
  switch (m->op) {
    case MODEL_DO_ALLOC:
      model_do_alloc(m, 1 + ((size_t)y << x % 9), z % 2 != 0); /* to 64 KiB */
      break;
    case MODEL_DO_USE: model_do_use(m, x, y, z); break;
    case MODEL_DO_GIVE: model_do_give(m, x, y, z); break;
    case MODEL_DO_SUBMIT:
      model_say(m, "%3u work without memory on stream %d\n", m->number, x % MODEL_STREAMS);
      (void)model_lane(m, x % MODEL_STREAMS);
      (void)sim_submit(&m->device, x % MODEL_STREAMS);
      break;
    case MODEL_DO_FREE: model_do_free(m, x, z % 2 != 0, false); break;
    case MODEL_DO_FREE_DEFERRED: model_do_free(m, x, z % 2 != 0, true); break;
    case MODEL_DO_COMPLETE: model_do_complete(m, x, y, z); break;
    case MODEL_DO_PROCESS_EVENTS: {
      size_t ready = SIZE_MAX;
      model_say(m, "%3u process_events\n", m->number);
      MODEL_CALL(m, "process_events", m->mode->upkeep(m->cache, MODEL_CALL_PROCESS_EVENTS, &ready),
                 model_upkeep_result(m));
      m->size = ready;
      break;
    }
    case MODEL_DO_SYNCHRONIZE: model_do_synchronize(m, false); break;
    case MODEL_DO_SYNCHRONIZE_IDLE: model_do_synchronize(m, true); break;
    case MODEL_DO_EMPTY_CACHE:
      model_say(m, "%3u empty_cache\n", m->number);
      MODEL_CALL(m, "empty_cache", model_upkeep_call(m, MODEL_CALL_EMPTY_CACHE, 0),
                 model_upkeep_result(m));
      break;
    case MODEL_DO_TRIM:
      model_say(m, "%3u trim(%d)\n", m->number, 4096 * y);
      MODEL_CALL(m, "trim", model_upkeep_call(m, MODEL_CALL_TRIM, (size_t)4096 * y),
                 model_upkeep_result(m));
      break;
    case MODEL_DO_FORGET: model_do_forget(m, x); break;
    case MODEL_DO_FAIL_HOOKS: model_do_fail_hooks(m, x, y, z); break;
    case MODEL_DO_FAIL_NO_MORE:
      model_say(m, "%3u nothing fails any more\n", m->number);
      sim_fail_no_more(&m->device);
      break;
    case MODEL_DO_RELEASE: model_do_release(m); break;
    case MODEL_DO_MISUSE: model_do_misuse(m, x, y); break;
    case MODEL_DO_RESET:
      model_say(m, "%3u reset_%s_stats\n", m->number, z % 2 != 0 ? "peak" : "accumulated");
      model_expect(m, "reset",
                   model_upkeep_call(
                       m, z % 2 != 0 ? MODEL_CALL_RESET_PEAKS : MODEL_CALL_RESET_ACCUMULATED, 0),
                   MODEL_BIT(HOSTCACHE_OK));
      model_reset_want(m, z % 2 != 0);
      break;
    case MODEL_OP_COUNT: break;
  }
}

/* ---- comparing ------------------------------------------------------------------------------- */

static void model_judge_poll(model *m) {
  const bool all = m->op == MODEL_DO_SYNCHRONIZE || m->op == MODEL_DO_SYNCHRONIZE_IDLE ||
                   m->op == MODEL_DO_EMPTY_CACHE || m->op == MODEL_DO_TRIM;
  uint32_t lane;
  if (all || m->op == MODEL_DO_PROCESS_EVENTS) model_judge_drained(m, all);
  if (m->op != MODEL_DO_PROCESS_EVENTS) return;
  MODEL_MUST(m, m->size == m->ready, FIGURE, "process_events says %zu, and %zu became ready",
             m->size, m->ready);
  for (lane = 0; lane < m->device.lane_count; lane++)
    MODEL_MUST(m, m->lane_asked[lane] <= 1 + m->lane_over[lane], COST,
               "lane %" PRIu32 " is asked %u times, and %u entries were over", lane,
               m->lane_asked[lane], m->lane_over[lane]);
}

static void model_judge_quiet(model *m) {
  const bool quiet = m->op == MODEL_DO_USE || m->op == MODEL_DO_GIVE ||
                     m->op == MODEL_DO_FREE_DEFERRED || m->op == MODEL_DO_RESET;
  MODEL_MUST(m, !quiet || m->device.all_calls == m->hooks_before, NO_HOOK, "a hook was called");
  MODEL_MUST(m, m->op != MODEL_DO_FREE_DEFERRED || atomic_load(&below.calls) == m->mallocs_before,
             NO_HOOK, "malloc was called");
}

/* The block that was handed out, once the others are followed. */
static void model_count_alloc(model *m) {
  if (m->result != HOSTCACHE_OK) {
    m->want.last_failed_bytes = (int64_t)m->size;
    return;
  }
  if (m->device.all_calls != m->hooks_before)
    m->want.num_misses++;
  else
    m->want.num_hits++;
  m->blocks[m->block_count] = m->handed_out;
  model_count_kind(m, &m->blocks[m->block_count], model_add);
  model_count_in_use(m, &m->blocks[m->block_count], model_add);
  m->block_count++;
}

static void model_compare_figures(model *m) {
  size_t i, split = 0, split_bytes = 0, cached = 0;
  hostcache_stats got;
  for (i = 0; i < m->ranges.count; i++) {
    const model_range *range = &m->ranges.at[i];
    if (range->kind != HOSTCACHE_VISIT_CACHED) continue;
    cached += range->size;
    if (range->whole) continue;
    split++;
    split_bytes += range->size;
  }
  m->want.inactive_split.current = (int64_t)split;
  m->want.inactive_split_bytes.current = (int64_t)split_bytes;
  m->want.cached_bytes.current = (int64_t)cached;
  m->want.num_event_record +=
      (int64_t)(m->device.calls[SIM_EVENT_RECORD] + m->device.calls[SIM_TIMELINE_RECORD]);
  m->want.num_event_query +=
      (int64_t)(m->device.calls[SIM_EVENT_QUERY] + m->device.calls[SIM_TIMELINE_QUERY]);
  memset(m->device.calls, 0, sizeof m->device.calls);
  memset(&got, 0xff, sizeof got);
  MODEL_MUST(m, m->mode->stats(m->cache, &got) == HOSTCACHE_OK, RESULT, "stats");
  model_compare_stats(m, &got);
}

static void model_compare(model *m) {
  const bool allocated = m->op == MODEL_DO_ALLOC;
  MODEL_MUST(m, model_upkeep_call(m, MODEL_CALL_CHECK, 0) == HOSTCACHE_OK, CHECK,
             "check found a broken invariant");
  m->ranges.count = 0;
  MODEL_MUST(m, m->mode->walk(m->cache, model_look_at, m) == HOSTCACHE_OK, RESULT, "walk");
  if (m->rule != NULL) return;
  model_follow(m);
  if (m->rule != NULL) return;
  if (allocated) model_count_alloc(m);
  model_judge_poll(m);
  model_compare_figures(m);
  MODEL_MUST(m, m->device.violations == 0, REFEREE, "the device printed it");
  MODEL_MUST(m, model_heard(m, HOSTCACHE_ERR_EVENT) == model_told_failures(m), TOLD,
             "%" PRIu64 " hooks failed, %" PRIu64 " were told", model_told_failures(m),
             model_heard(m, HOSTCACHE_ERR_EVENT));
}

/* ---- a program ------------------------------------------------------------------------------- */

static void model_open(model *m, const model_setup *setup, size_t thread_cache_bytes) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  memset(m, 0, sizeof *m);
  sim_open(&m->device);
  m->device.reuses_addresses = true;
  m->device.waits_complete = true;
  m->device.progress_per_queries = setup->progress;
  m->setup = setup;
  m->mode = setup->mode;
  m->max_split = SIZE_MAX;
  m->want.max_split_size = INT64_MAX;
  m->error_limit = setup->query_error_limit == 0 ? 3 : setup->query_error_limit;
  m->op = MODEL_OP_COUNT;
  config.segment_bytes = setup->segment_bytes;
  if (config.segment_bytes == SEGMENT_OF_ONE_BLOCK) config.segment_bytes = segment_bytes_wanted();
  config.max_reserved_bytes = setup->max_reserved_bytes;
  config.max_cached_bytes = setup->max_cached_bytes;
  config.query_error_limit = setup->query_error_limit;
  config.streams_die_idle = setup->streams_die_idle;
  config.wait_on_limit_ns = setup->wait_on_limit_ns;
  config.thread_cache_bytes = thread_cache_bytes;
  m->alignment = 512;
  m->stock = thread_cache_bytes == HOSTCACHE_NONE ? 0
             : thread_cache_bytes == 0            ? 4 << 20
                                                  : thread_cache_bytes;
  config.on_error = model_hear;
  config.on_error_user = m;
  memset(&below, 0, sizeof below);
  MODEL_MUST(m, m->mode->create(&m->cache, &config, &m->device) == HOSTCACHE_OK, RESULT, "create");
}

static void model_begin(model *m) {
  unsigned hook;
  m->result = HOSTCACHE_OK;
  m->called = false;
  m->size = m->ready = 0;
  m->freeing = NULL;
  m->failed = NULL;
  memset(m->lane_asked, 0, sizeof m->lane_asked);
  memset(m->lane_over, 0, sizeof m->lane_over);
  m->query_before = m->query_count;
  m->mallocs_before = atomic_load(&below.calls);
  m->hooks_before = m->device.all_calls;
  memcpy(m->heard_before, m->heard, sizeof m->heard);
  for (hook = 0; hook < SIM_HOOKS; hook++) m->fired_before[hook] = m->device.fault.fired_of[hook];
}

static void model_step(model *m, const uint8_t *bytes) {
  unsigned share = bytes[0];
  m->number++;
  for (m->op = 0; share >= model_shares[m->op]; m->op++) share -= model_shares[m->op];
  model_begin(m);
  model_do(m, bytes);
  if (!m->called) m->op = MODEL_OP_COUNT;
  model_judge_quiet(m);
  if (m->rule == NULL) model_compare(m);
}

/* Frees all, and sees that all of it goes back. */
static void model_end(model *m) {
  hostcache_stats stats;
  hostcache_result result;
  size_t i;
  model_say(m, "    the end: nothing fails any more, all is freed\n");
  sim_fail_no_more(&m->device);
  model_catch_up(m);
  sim_complete_all(&m->device);
  for (i = 0; i < m->block_count && m->rule == NULL; i++) {
    model_block *block = &m->blocks[i];
    if (block->kind != HOSTCACHE_VISIT_ACTIVE) continue;
    sim_handed_back(&m->device, (void *)block->ptr);
    m->freeing = block;
    result = m->mode->free(m->cache, (void *)block->ptr, NULL, false);
    MODEL_MUST(m, result == HOSTCACHE_OK, END, "free returned %s", model_name(result));
    model_submit(m, block);
    block->kind = HOSTCACHE_VISIT_PENDING;
  }
  m->freeing = NULL;
  result = model_upkeep_call(m, MODEL_CALL_SYNCHRONIZE, 1);
  MODEL_MUST(m, result == HOSTCACHE_OK, END, "synchronize returned %s", model_name(result));
  result = model_upkeep_call(m, MODEL_CALL_RELEASE, 0);
  MODEL_MUST(m, result == HOSTCACHE_OK, END, "release_quarantine returned %s", model_name(result));
  result = model_upkeep_call(m, MODEL_CALL_EMPTY_CACHE, 0);
  MODEL_MUST(m, result == HOSTCACHE_OK, END, "empty_cache returned %s", model_name(result));
  (void)m->mode->stats(m->cache, &stats);
  MODEL_MUST(m, stats.reserved_bytes.current == 0 && stats.active.current == 0, END,
             "%" PRId64 " bytes are reserved, and %" PRId64 " blocks in use",
             stats.reserved_bytes.current, stats.active.current);
  if (m->rule != NULL) return;
  result = m->mode->end(m->cache, MODEL_DESTROY);
  m->cache = NULL;
  MODEL_MUST(m, result == HOSTCACHE_OK, END, "destroy returned %s", model_name(result));
  MODEL_MUST(m, atomic_load(&below.live) == 0, END, "%lld allocations of bookkeeping are left",
             (long long)atomic_load(&below.live));
  MODEL_MUST(m, m->device.live_bytes == 0 && sim_live_events(&m->device) == 0, END,
             "%zu bytes and %zu events are left", m->device.live_bytes,
             sim_live_events(&m->device));
  MODEL_MUST(m, m->device.violations == 0, REFEREE, "the device printed it");
}

/* Runs a program. True: no rule was broken; else m->rule, m->finding and m->number say which, how
   and where. The program tells what it does on `trace`, if that is not NULL. */
static bool model_run(model *m, const uint8_t *program, size_t size, FILE *trace, unsigned lie) {
  const uint8_t *end = program + size;
  jmp_buf here;
  if (size == 0) return true;
  model_asserting = m;
  model_jump = &here;
  if (setjmp(here) == 0) {
    model_open(m, &model_setups[*program % MODEL_SETUPS],
               model_stocks[*program / MODEL_SETUPS % MODEL_STOCKS]);
    m->trace = trace;
    m->lie = lie;
    model_say(m, "    %s, stocks of %zu\n", m->setup->name, m->stock);
    if (m->rule == NULL) model_compare(m);
    for (program++; end - program >= MODEL_OP_BYTES && m->rule == NULL && m->number < MODEL_OPS;
         program += MODEL_OP_BYTES)
      model_step(m, program);
    m->op = MODEL_OP_COUNT;
    if (m->rule == NULL) model_end(m);
  }
#ifdef HOSTCACHE_DEBUG
  if (m->rule != NULL) hostcache_locks_held = 0; /* an assertion may have failed under a lock */
#endif
  model_jump = NULL;
  if (m->rule != NULL && m->rule != model_rule_ASSERTION && m->cache != NULL)
    (void)m->mode->end(m->cache, MODEL_ABANDON);
  (void)sim_close(&m->device, m->device.live_bytes, sim_live_events(&m->device));
  free(m->segments.at);
  free(m->ranges.at);
  free(m->early.at);
  if (m->rule != NULL) model_say(m, "    BROKEN: %s\n            %s\n", m->rule, m->finding);
  return m->rule == NULL;
}

#endif
