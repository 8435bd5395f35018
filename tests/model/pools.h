/* pools.h - a template for pools_caches.h: the oracle of one cache, and its programs.

   A program is a string of bytes, which chance and a fuzzer can write alike: whatever is to be
   drawn is drawn from them, and when there are none left the program ends. */

#ifndef TESTS_MODEL_POOLS_H
#define TESTS_MODEL_POOLS_H

enum { SHARED, ALONE, WITHOUT_STOCKS }; /* the configs: how segments and stocks are */
enum { OF_NONE = -1 };

/* A block that the program holds, or that is kept for a capture. */
typedef struct oracle_block {
  char *ptr; /* NULL: none */
  size_t size;
  int pool; /* which it was got from; OF_NONE also once that has ended */
  bool captured, used, is_freed;
  bool may_be_unmarked; /* forget_stream may have waited for its uses */
  int own;              /* the stream that it was got for; -1: none, or it was used on others too */
} oracle_block;

/* What is left of a program. */
typedef struct oracle_bytes {
  const uint8_t *at, *end;
} oracle_bytes;

static inline size_t oracle_draw(oracle_bytes *bytes, size_t bound) {
  size_t drawn = 0, most = 1;
  for (; most < bound && bytes->at < bytes->end; most *= 256) drawn = drawn * 256 + *bytes->at++;
  return drawn % bound;
}

typedef struct oracle_pool {
  uint64_t uses;
  uint64_t opened; /* which of all openings; 0: it is not open */
  int stream;      /* of its filter; -1: all */
  bool has_lost;   /* a segment may have gone back since the checkpoint */
} oracle_pool;

#endif

typedef struct ON_RIG(oracle) {
  RIG_NOW *rig;
  oracle_bytes bytes;
  uint64_t openings;
  oracle_block blocks[BLOCKS];
  oracle_pool pools[POOLS];
  bool capturing;
  struct {
    API(checkpoint) * at;
    int pool;
    oracle_block then[BLOCKS];
  } checkpoint;
} ON_RIG(oracle);

#define ORACLE ON_RIG(oracle)

static inline size_t ON_RIG(draw)(ORACLE *o, size_t bound) { return oracle_draw(&o->bytes, bound); }

static inline hostcache_pool_id ON_RIG(id)(int pool) {
  const hostcache_pool_id id = {(uint64_t)pool + 1, 7};
  return id;
}

/* ---- what is expected ------------------------------------------------------------------------ */

/* Which pool an allocation for a stream is from: of those that want it the one opened first. */
static inline int ON_RIG(pool_for)(const ORACLE *o, sim_stream stream) {
  int found = OF_NONE, i;
  for (i = 0; i < POOLS; i++) {
    const oracle_pool *pool = &o->pools[i];
    if (pool->opened == 0 || (pool->stream >= 0 && pool->stream != stream)) continue;
    if (found == OF_NONE || pool->opened < o->pools[found].opened) found = i;
  }
  return found;
}

static inline bool ON_RIG(any_open)(const ORACLE *o) {
  int i;
  for (i = 0; i < POOLS; i++)
    if (o->pools[i].opened != 0) return true;
  return false;
}

/* What the snapshot shows must be what the oracle knows. */
static inline int ON_RIG(look)(void *user, const hostcache_range *range) {
  const ORACLE *o = (const ORACLE *)user;
  int i;
  if (range->kind == HOSTCACHE_VISIT_SEGMENT) return 0;
  for (i = 0; i < BLOCKS; i++) {
    const oracle_block *block = &o->blocks[i];
    if (block->ptr == NULL || block->ptr != range->ptr) continue;
    assert_int_equal(range->kind,
                     block->is_freed ? HOSTCACHE_VISIT_QUARANTINED : HOSTCACHE_VISIT_ACTIVE);
    assert_int_equal(range->requested, block->size);
    assert_int_equal(range->pool.first, block->pool == OF_NONE ? 0 : block->pool + 1);
    return 0;
  }
  assert_true(range->kind == HOSTCACHE_VISIT_CACHED || range->kind == HOSTCACHE_VISIT_PENDING);
  return 0;
}

static inline void ON_RIG(compare)(ORACLE *o) {
  const hostcache_stats stats = ON_RIG(stats)(o->rig);
  int64_t held = 0, kept = 0;
  int i;
  for (i = 0; i < BLOCKS; i++) {
    const oracle_block *block = &o->blocks[i];
    held += block->ptr != NULL && !block->is_freed;
    kept += block->ptr != NULL && block->is_freed;
  }
  assert_int_equal(stats.allocation.current, held);
  assert_int_equal(stats.quarantined.current, kept);
  assert_int_equal(stats.reserved_bytes.current, o->rig->device.live_bytes);
  assert_int_equal(o->rig->device.violations, 0);
  assert_ok(API(check)(o->rig->cache));
  assert_ok(API(snapshot)(o->rig->cache, ON_RIG(look), o));
}

/* ---- operations ------------------------------------------------------------------------------ */

static inline void ON_RIG(allocate)(ORACLE *o) {
  oracle_block *block = &o->blocks[ON_RIG(draw)(o, BLOCKS)];
  void *ptr = NULL;
  if (block->ptr != NULL) return;
  sim_current = streams[ON_RIG(draw)(o, STREAMS)];
  memset(block, 0, sizeof *block);
  block->pool = ON_RIG(pool_for)(o, sim_current);
  block->size = 1 + ON_RIG(draw)(o, ON_RIG(draw)(o, 4) ? 40 * KIB : 3 * MIB);
  block->captured = ON_RIG(any_open)(o) && o->capturing && sim_current == sim_captured_stream;
  block->own = -1;
#ifdef CACHE_ORDERED
  if (ON_RIG(draw)(o, 4) == 0) {
    hostcache_request request = HOSTCACHE_REQUEST_INIT;
    request.size = block->size;
    request.alignment = (size_t)1 << ON_RIG(draw)(o, 22);
    assert_ok(API(alloc_ex)(o->rig->cache, &request, &ptr));
    assert_int_equal((uintptr_t)ptr % request.alignment, 0);
  }
#endif
  if (ptr == NULL) assert_ok(API(alloc)(o->rig->cache, block->size, &ptr));
  sim_handed_out(&o->rig->device, ptr, block->size);
  block->ptr = ptr;
}

#ifdef CACHE_ORDERED
/* For the work of a stream, which is not the one that this thread works for. */
static inline void ON_RIG(allocate_on)(ORACLE *o) {
  const sim_stream stream = streams[ON_RIG(draw)(o, STREAMS)];
  const uint64_t got = o->rig->device.calls[SIM_MEM_ALLOC];
  oracle_block *block = &o->blocks[ON_RIG(draw)(o, BLOCKS)];
  const oracle_block before = *block;
  void *ptr = NULL;
  const bool again = before.ptr != NULL && !before.is_freed && before.own == stream;
  if (block->ptr != NULL && !again) return;
  sim_current = streams[ON_RIG(draw)(o, STREAMS)];
  if (again) { /* it is ready for its stream */
    sim_handed_back(&o->rig->device, block->ptr);
    assert_ok(API(free)(o->rig->cache, block->ptr));
  }
  memset(block, 0, sizeof *block);
  block->pool = ON_RIG(pool_for)(o, stream);
  block->size = again ? before.size : 1 + ON_RIG(draw)(o, ON_RIG(draw)(o, 4) ? 40 * KIB : 3 * MIB);
  block->captured = ON_RIG(any_open)(o) && o->capturing && stream == sim_captured_stream;
  block->used = block->pool != OF_NONE || block->captured; /* like one that was marked */
  block->own = block->used ? -1 : stream;
  assert_ok(API(alloc_on)(o->rig->cache, block->size, stream, &ptr));
  if (again && !block->used) assert_int_equal(o->rig->device.calls[SIM_MEM_ALLOC], got);
  sim_handed_out_on(&o->rig->device, ptr, block->size, stream);
  block->ptr = ptr;
  if (!o->capturing || stream != sim_captured_stream) (void)sim_use(&o->rig->device, stream, ptr);
}
#endif

/* The work of a captured stream runs when it is replayed, if ever. */
static inline void ON_RIG(use_some)(ORACLE *o) {
  oracle_block *block = &o->blocks[ON_RIG(draw)(o, BLOCKS)];
  const sim_stream stream = streams[ON_RIG(draw)(o, STREAMS)];
  if (block->ptr == NULL || block->is_freed) return;
  assert_ok(API(record_stream)(o->rig->cache, block->ptr, stream));
  if (!o->capturing || stream != sim_captured_stream)
    (void)sim_use(&o->rig->device, stream, block->ptr);
  block->used = true;
  block->own = -1;
  block->may_be_unmarked = false;
}

static inline void ON_RIG(free_some)(ORACLE *o) {
  oracle_block *block = &o->blocks[ON_RIG(draw)(o, BLOCKS)];
  if (block->ptr == NULL || block->is_freed) return;
  sim_handed_back(&o->rig->device, block->ptr);
  if (ON_RIG(draw)(o, 4) == 0)
    assert_ok(API(free_deferred)(o->rig->cache, block->ptr));
  else
    assert_ok(API(free)(o->rig->cache, block->ptr));
  block->is_freed = block->captured && block->used; /* then it is kept */
  if (!block->is_freed) block->ptr = NULL;
}

/* One unit, or all. */
static inline void ON_RIG(complete_some)(ORACLE *o) {
  const sim_stream stream = streams[ON_RIG(draw)(o, STREAMS)];
  sim_complete(&o->rig->device, stream, ON_RIG(draw)(o, 2) ? 1 : -1);
}

static inline void ON_RIG(open_some)(ORACLE *o) {
  const int i = (int)ON_RIG(draw)(o, POOLS);
  oracle_pool *pool = &o->pools[i];
  const int stream = ON_RIG(draw)(o, 3) == 0 ? -1 : (int)ON_RIG(draw)(o, STREAMS);
  hostcache_result result;
  if (o->capturing) return;
  result = API(begin_allocate_to_pool)(o->rig->cache, ON_RIG(id)(i), stream < 0 ? NULL : is_stream,
                                       stream < 0 ? NULL : (void *)&streams[stream]);
  assert_int_equal(result, pool->opened == 0 ? HOSTCACHE_OK : HOSTCACHE_ERR_ARGUMENT);
  if (result != HOSTCACHE_OK) return;
  pool->uses++;
  pool->opened = ++o->openings;
  pool->stream = stream;
}

static inline void ON_RIG(close_some)(ORACLE *o) {
  const int i = (int)ON_RIG(draw)(o, POOLS);
  hostcache_result result;
  if (o->capturing) return;
  result = API(end_allocate_to_pool)(o->rig->cache, ON_RIG(id)(i));
  assert_int_equal(result, o->pools[i].opened ? HOSTCACHE_OK : HOSTCACHE_ERR_NOT_FOUND);
  o->pools[i].opened = 0;
}

/* What was kept for the pool's captures waits for its uses now; what is active is of no pool. */
static inline void ON_RIG(release)(ORACLE *o, int i) {
  oracle_pool *pool = &o->pools[i];
  const hostcache_result result = API(release_pool)(o->rig->cache, ON_RIG(id)(i));
  int k;
  assert_int_equal(result, pool->uses == 0                        ? HOSTCACHE_ERR_NOT_FOUND
                           : pool->uses == 1 && pool->opened != 0 ? HOSTCACHE_ERR_BUSY
                                                                  : HOSTCACHE_OK);
  if (result != HOSTCACHE_OK || --pool->uses > 0) return;
  for (k = 0; k < BLOCKS; k++) {
    oracle_block *block = &o->blocks[k];
    if (block->ptr == NULL || block->pool != i) continue;
    if (block->is_freed) block->ptr = NULL;
    block->captured = false;
    block->pool = OF_NONE;
  }
  if (o->checkpoint.pool == i) o->checkpoint.pool = OF_NONE; /* it is of none that is there */
}

/* A stream is captured, which pools are opened for before and closed after. */
static inline void ON_RIG(capture_or_end)(ORACLE *o) {
  if (!o->capturing && !ON_RIG(any_open)(o)) return;
  o->capturing = !o->capturing;
  o->rig->device.capturing = o->capturing;
  sim_captured_stream = o->capturing ? streams[ON_RIG(draw)(o, STREAMS)] : SIM_NO_STREAM;
}

static inline void ON_RIG(checkpoint_some)(ORACLE *o) {
  const int i = (int)ON_RIG(draw)(o, POOLS);
  API(checkpoint) * made;
  const hostcache_result result = API(checkpoint_pool)(o->rig->cache, ON_RIG(id)(i), &made);
  if (o->pools[i].uses == 0) {
    assert_int_equal(result, HOSTCACHE_ERR_NOT_FOUND);
    return;
  }
  assert_true(result == HOSTCACHE_OK || result == HOSTCACHE_ERR_BUSY); /* pending, or kept */
  if (result != HOSTCACHE_OK) return;
  API(checkpoint_free)(o->checkpoint.at);
  o->checkpoint.at = made;
  o->checkpoint.pool = i;
  o->pools[i].has_lost = false;
  memcpy(o->checkpoint.then, o->blocks, sizeof o->blocks);
}

/* The pool is what it was; blocks that are not of it keep their places. */
static inline void ON_RIG(restore_some)(ORACLE *o) {
  const int pool = o->checkpoint.pool;
  hostcache_result result;
  bool must_be_busy = false;
  int k, j;
  if (o->checkpoint.at == NULL) return;
  for (k = 0; k < BLOCKS; k++)
    must_be_busy |= o->blocks[k].ptr != NULL && o->blocks[k].pool == pool && o->blocks[k].used &&
                    (o->blocks[k].captured || !o->blocks[k].may_be_unmarked);
  result = API(restore_pool)(o->rig->cache, o->checkpoint.at, NULL, NULL);
  if (pool == OF_NONE) {
    assert_int_equal(result, HOSTCACHE_ERR_NOT_FOUND);
    return;
  }
  assert_true(result == HOSTCACHE_OK || result == HOSTCACHE_ERR_BUSY ||
              (result == HOSTCACHE_ERR_NOT_FOUND && o->pools[pool].has_lost));
  if (must_be_busy) assert_int_not_equal(result, HOSTCACHE_OK);
  if (result != HOSTCACHE_OK) return;
  for (k = 0; k < BLOCKS; k++) {
    oracle_block *block = &o->blocks[k];
    if (block->ptr == NULL || block->pool != pool) continue;
    sim_handed_back(&o->rig->device, block->ptr);
    block->ptr = NULL;
  }
  for (k = 0; k < BLOCKS; k++) {
    const oracle_block *then = &o->checkpoint.then[k];
    if (then->ptr == NULL || then->pool != pool) continue;
    for (j = 0; j < BLOCKS && o->blocks[j].ptr != NULL;) j++;
    if (j == BLOCKS) { /* the program has no room for it */
      assert_ok(API(free)(o->rig->cache, then->ptr));
      continue;
    }
    o->blocks[j] = *then;
    o->blocks[j].used = false; /* what it was marked with then has been waited for */
    sim_handed_out(&o->rig->device, then->ptr, then->size);
  }
}

static inline void ON_RIG(empty_some)(ORACLE *o) {
  const int i = (int)ON_RIG(draw)(o, POOLS + 1);
  if (i == POOLS) {
    assert_ok(API(empty_cache)(o->rig->cache));
    return;
  }
  assert_int_equal(API(empty_cache_pool)(o->rig->cache, ON_RIG(id)(i)),
                   o->pools[i].uses > 0 ? HOSTCACHE_OK : HOSTCACHE_ERR_NOT_FOUND);
  o->pools[i].has_lost = true;
}

static inline void ON_RIG(forget_some)(ORACLE *o) {
  const sim_stream stream = streams[ON_RIG(draw)(o, STREAMS)];
  hostcache_result result;
  int i;
  o->rig->device.progress_per_queries = 1;
  result = API(forget_stream)(o->rig->cache, stream);
  o->rig->device.progress_per_queries = 0;
  assert_int_equal(result, ON_RIG(any_open)(o) ? HOSTCACHE_ERR_BUSY : HOSTCACHE_OK);
  if (result != HOSTCACHE_OK) return;
  sim_stream_destroy(&o->rig->device, stream);
  sim_stream_create(&o->rig->device, stream);
  for (i = 0; i < BLOCKS; i++) {
    o->blocks[i].may_be_unmarked = true;
    if (o->blocks[i].own == stream) o->blocks[i].own = -1;
  }
}

static inline void ON_RIG(allocate_some)(ORACLE *o) {
#ifdef CACHE_ORDERED
  if (ON_RIG(draw)(o, 3) > 0) {
    ON_RIG(allocate_on)(o);
    return;
  }
#endif
  ON_RIG(allocate)(o);
}

static inline void ON_RIG(poll_some)(ORACLE *o) {
  assert_ok(API(process_events)(o->rig->cache, NULL));
}

static inline void ON_RIG(release_some)(ORACLE *o) {
  ON_RIG(release)(o, (int)ON_RIG(draw)(o, POOLS));
}

static inline void ON_RIG(step)(ORACLE *o) {
  static const struct {
    const char *name;
    void (*run)(ORACLE *o);
    uint8_t share; /* of 32 */
  } steps[] = {
      {"allocate", ON_RIG(allocate_some), 9},  {"use", ON_RIG(use_some), 3},
      {"free", ON_RIG(free_some), 7},          {"complete", ON_RIG(complete_some), 1},
      {"poll", ON_RIG(poll_some), 1},          {"open a pool", ON_RIG(open_some), 2},
      {"close a pool", ON_RIG(close_some), 2}, {"release a pool", ON_RIG(release_some), 1},
      {"capture", ON_RIG(capture_or_end), 1},  {"checkpoint", ON_RIG(checkpoint_some), 1},
      {"restore", ON_RIG(restore_some), 2},    {"empty", ON_RIG(empty_some), 1},
      {"forget", ON_RIG(forget_some), 1},
  };
  size_t share = ON_RIG(draw)(o, 32), i = 0;
  while (share >= steps[i].share) share -= steps[i++].share;
  if (pools_trace != NULL) fprintf(pools_trace, "    %s\n", steps[i].name);
  steps[i].run(o);
}

/* ---- programs -------------------------------------------------------------------------------- */

static inline void ON_RIG(end)(ORACLE *o) {
  int i;
  if (o->capturing) ON_RIG(capture_or_end)(o);
  sim_complete_all(&o->rig->device);
  for (i = 0; i < POOLS; i++) {
    if (o->pools[i].opened != 0) assert_ok(API(end_allocate_to_pool)(o->rig->cache, ON_RIG(id)(i)));
    o->pools[i].opened = 0;
    while (o->pools[i].uses > 0) ON_RIG(release)(o, i);
  }
  assert_ok(API(release_quarantine)(o->rig->cache)); /* what was captured outside of all pools */
  for (i = 0; i < BLOCKS; i++) {
    if (o->blocks[i].ptr == NULL || o->blocks[i].is_freed) continue;
    sim_handed_back(&o->rig->device, o->blocks[i].ptr);
    (void)API(free)(o->rig->cache, o->blocks[i].ptr);
  }
  sim_complete_all(&o->rig->device);
  assert_ok(API(synchronize)(o->rig->cache, 1000000));
  assert_ok(API(release_quarantine)(o->rig->cache));
  assert_ok(API(synchronize)(o->rig->cache, 1000000));
  assert_ok(API(empty_cache)(o->rig->cache));
  assert_int_equal(ON_RIG(stats)(o->rig).reserved_bytes.current, 0);
  API(checkpoint_free)(o->checkpoint.at);
}

static void PASTE(CACHE, program)(const uint8_t *bytes, size_t size, int how) {
  ORACLE *o = calloc(1, sizeof *o);
  hostcache_config config;
  int i;
  if (o == NULL) abort();
  o->bytes.at = bytes;
  o->bytes.end = bytes + size;
  o->rig = ON_RIG(open)();
  o->checkpoint.pool = OF_NONE;
  config = ON_RIG(config)(o->rig);
  config.segment_bytes = how == ALONE ? 4096 : 0;
  if (how == WITHOUT_STOCKS) config.thread_cache_bytes = HOSTCACHE_NONE;
  config.streams_die_idle = (uint32_t)ON_RIG(draw)(o, 2);
  ON_RIG(configure)(o->rig, config);
  o->rig->device.reuses_addresses = ON_RIG(draw)(o, 3) == 0;
  sim_captured_stream = SIM_NO_STREAM;
  for (i = 0; i < OPERATIONS && o->bytes.at < o->bytes.end; i++) {
    ON_RIG(step)(o);
    ON_RIG(compare)(o);
  }
  ON_RIG(end)(o);
  ON_RIG(close)(o->rig);
  free(o);
}

#undef ORACLE
