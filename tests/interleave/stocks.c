/* stocks.c - what threads have for themselves in a cache: a stock of ready blocks, queues, marks.
   Two threads, or three, in every order within bounds.

   Each scenario is a few threads over the same beginning: threads 0 and 1 have met the cache, have
   queues of streams A and B and two small blocks in stock; thread 2 has not, and in most scenarios
   it never runs: in the end it looks at everything, while the others sleep with what they have.

   The referee in device.c watches the one rule. In the end all is freed by others than who got it,
   check finds nothing, and after one empty_cache nothing is reserved, whoever had it in stock.

     stocks                         depth first; every scenario must be exhausted
     stocks --only NAME,NAME,...
     stocks --compare NAME,NAME,... are the ends the same if no schedule is given up?
     stocks --replay NAME DECISIONS

   tests/README.md has a table of what was planted in the header to see whether it is found. */

#include "cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SMALL ((size_t)DEVICE_UNIT)
#define LARGE (4 * SMALL)
#define SEGMENT ((size_t)16384)

typedef struct fixture {
  runs at;                       /* must be the first. at.cache is NULL when it was destroyed */
  held own[2];                   /* what threads 0 and 1 have from the beginning, without a use */
  held both;                     /* got by thread 0, for all */
  held pinned[3];                /* so that what is freed stays a part of its segment */
  void *freed;                   /* what thread 0 had */
  int ends_forgotten;            /* all streams are forgotten before `both` is freed */
  uint32_t *said;                /* by threads 0 and 1; atomics */
  uint8_t deep[EXPLORE_THREADS]; /* the thread is in a hook that uses the cache */
  uint8_t is_forgotten;
  uint8_t is_bounded;      /* nothing may be kept idle */
  pinned_block *aside[64]; /* records that the cache does not have for the time being */
  unsigned aside_count;
} fixture;

typedef struct scenario {
  const char *name;
  void (*programs[EXPLORE_THREADS])(fixture *f);
  explore_bounds orders, failures;
  void (*more_before)(fixture *f);
  void (*in_hook)(device *d);
  size_t stock_bytes;
  bool has_no_barrier;
} scenario;

static const scenario *current;

/* ---- programs -------------------------------------------------------------------------------- */

/* A thread says that it has come so far; another one waits for that. */
static void say(fixture *f, unsigned id) { hostcache_u32_store_release(&f->said[id], 1); }

static void await(fixture *f, unsigned id) {
  unsigned attempt = 0;
  while (!hostcache_u32_load_acquire(&f->said[id])) hostcache_pause(attempt++);
}

static void hits_and_frees(fixture *f) {
  held one = take(&f->at, SMALL), two;
  give(&f->at, &f->own[explore_self()]);
  two = take(&f->at, SMALL);
  give(&f->at, &one);
  give(&f->at, &two);
}

static void hits(fixture *f) {
  held one = take(&f->at, SMALL);
  give(&f->at, &one);
}

static void waits(fixture *f) { (void)f; }

static void empties(fixture *f) { empty(&f->at); }

static void empties_and_takes(fixture *f) {
  held one;
  empty(&f->at);
  one = take(&f->at, LARGE);
  give(&f->at, &one);
}

static void trims(fixture *f) {
  expect("trim", pinned_trim(f->at.cache, SEGMENT), 0,
         ONE(HOSTCACHE_ERR_EVENT) | ONE(HOSTCACHE_ERR_LEAKED));
}

/* What is freed and what is handed out are never negative, and check holds at any moment. */
static void looks(fixture *f) {
  hostcache_stats stats;
  expect("stats", pinned_stats(f->at.cache, &stats), 0, 0);
  explore_assert(explore_spent(EXPLORE_FAIL) ||
                 (stats.allocation.current >= 0 && stats.cached_bytes.current >= 0 &&
                  stats.active.current >= 0));
  expect("check", pinned_check(f->at.cache), 0, ONE(HOSTCACHE_ERR_UNSUPPORTED));
}

static void resets_peaks(fixture *f) {
  expect("reset_peak_stats", pinned_reset_peak_stats(f->at.cache), 0, 0);
  expect("check", pinned_check(f->at.cache), 0, ONE(HOSTCACHE_ERR_UNSUPPORTED));
}

static void polls(fixture *f) { poll(&f->at); }

static void polls_and_takes(fixture *f) {
  held one;
  poll(&f->at);
  one = take(&f->at, SMALL);
  give(&f->at, &one);
}

/* Ends while what it freed is in use, and ready blocks are in its stock. */
static void ends(fixture *f) {
  held one = take(&f->at, SMALL);
  mark(&f->at, one, A);
  give(&f->at, &one);
  give(&f->at, &f->own[explore_self()]);
  glue_thread_ends();
}

/* Ends, and then needs the cache once more, as what runs at a thread's end may. */
static void ends_and_comes_again(fixture *f) {
  held one;
  glue_thread_ends();
  one = take(&f->at, SMALL);
  give(&f->at, &one);
}

/* The last that uses the cache; then it ends, maybe while that is destroyed. */
static void ends_at_last(fixture *f) {
  give(&f->at, &f->own[0]);
  give(&f->at, &f->both);
  say(f, 0);
  glue_thread_ends();
}

static void destroys(fixture *f) {
  hostcache_result result;
  unsigned i;
  give(&f->at, &f->own[1]);
  for (i = 0; i < 3; i++) give(&f->at, &f->pinned[i]);
  await(f, 0);
  device_finish(&f->at.device);
  poll(&f->at);
  result = pinned_destroy(f->at.cache);
  if (result == HOSTCACHE_ERR_BUSY) { /* a poll failed */
    explore_assert(explore_spent(EXPLORE_FAIL) > 0);
    expect("release_quarantine", pinned_release_quarantine(f->at.cache), 0, 0);
    result = pinned_destroy(f->at.cache);
  }
  expect("destroy", result, 0, ONE(HOSTCACHE_ERR_LEAKED));
  f->at.cache = NULL;
}

static void bounds(fixture *f) {
  expect("set_max_cached_bytes", pinned_set_max_cached_bytes(f->at.cache, HOSTCACHE_NONE), 0,
         ONE(HOSTCACHE_ERR_LEAKED));
  f->is_bounded = 1;
}

/* Passes a block on to thread 1, and goes on with its stock. */
static void passes(fixture *f) {
  say(f, 0);
  hits(f);
}

static void frees_what_is_passed(fixture *f) {
  held one;
  await(f, 0);
  give(&f->at, &f->both);
  one = take(&f->at, SMALL);
  give(&f->at, &one);
}

/* Two threads use one block, and then one of them frees it, or a third. */
static void uses_on_a(fixture *f) {
  mark(&f->at, f->both, A);
  say(f, 0);
}

static void uses_on_b_and_frees(fixture *f) {
  held one;
  mark(&f->at, f->both, B);
  await(f, 0);
  give(&f->at, &f->both);
  poll(&f->at); /* as far as is known that block is ready then, and the first to be handed out */
  one = take(&f->at, LARGE);
  give(&f->at, &one);
}

/* Two threads that did not get it, both of whom know the stream: see third_settles. */
static void says_b(fixture *f) {
  mark(&f->at, f->both, B);
  say(f, 0);
}

static void says_a(fixture *f) {
  mark(&f->at, f->both, A);
  say(f, 1);
}

static void awaits_both_and_frees(fixture *f) {
  held one;
  await(f, 0);
  await(f, 1);
  give(&f->at, &f->both);
  poll(&f->at); /* as far as is known that block is ready then, and the first to be handed out */
  one = take(&f->at, LARGE);
  give(&f->at, &one);
}

static void uses_on_b(fixture *f) { mark(&f->at, f->both, B); }

static void joins_and_frees(fixture *f) {
  held one;
  explore_join();
  give(&f->at, &f->both);
  poll(&f->at); /* as far as is known that block is ready then, and the first to be handed out */
  one = take(&f->at, LARGE);
  give(&f->at, &one);
}

/* Two threads, or three, use it at once, each on another stream, where it has room for one use
   more: see three_uses_are_there. */
static void uses_on_d(fixture *f) { mark(&f->at, f->both, D); }
static void uses_on_e(fixture *f) { mark(&f->at, f->both, E); }
static void uses_on_f(fixture *f) { mark(&f->at, f->both, F); }

static void uses_on_e_joins_and_frees(fixture *f) {
  mark(&f->at, f->both, E);
  joins_and_frees(f);
}

static void uses_on_f_joins_and_frees(fixture *f) {
  mark(&f->at, f->both, F);
  joins_and_frees(f);
}

static void forget(fixture *f, unsigned stream) {
  hostcache_result result = pinned_forget_stream(f->at.cache, stream);
  expect(
      "forget_stream", result, 0,
      ONE(HOSTCACHE_ERR_EVENT) | ONE(HOSTCACHE_ERR_NO_METADATA) | ONE(HOSTCACHE_ERR_UNSUPPORTED));
  if (result == HOSTCACHE_OK) device_forget(&f->at.device, stream);
}

/* With more marks than it has room for, if both came at once: they stay as many when all of those
   streams are forgotten, and one more use needs memory. */
static void uses_on_e_forgets_and_frees(fixture *f) {
  unsigned stream;
  mark(&f->at, f->both, E);
  explore_join();
  for (stream = A; stream <= E; stream++) forget(f, stream);
  mark(&f->at, f->both, F);
  joins_and_frees(f);
}

/* With two marks more than it has room for, if all three came at once: when all of those streams
   are forgotten, afterwards, the last mark finds no place among the uses. */
static void uses_on_f_before_all_are_forgotten(fixture *f) {
  mark(&f->at, f->both, F);
  f->ends_forgotten = 1;
}

/* A stream that the cache has not met, of which two threads make a record at once. */
static void uses_own_on_d(fixture *f) {
  const unsigned self = explore_self();
  mark(&f->at, f->own[self], D);
  give(&f->at, &f->own[self]);
}

static void frees_used(fixture *f) {
  held one;
  const unsigned self = explore_self();
  if (!f->is_forgotten) mark(&f->at, f->own[self], A); /* only before it is forgotten: see before */
  give(&f->at, &f->own[self]);
  one = take(&f->at, SMALL);
  mark(&f->at, one, B);
  give(&f->at, &one);
}

static void forgets(fixture *f) { forget(f, A); }

/* Larger than what is in its stock. */
static void takes_three(fixture *f) {
  held some[3];
  unsigned i;
  for (i = 0; i < 3; i++) some[i] = take(&f->at, 2 * SMALL);
  for (i = 0; i < 3; i++) give(&f->at, &some[i]);
}

/* Looks at all records, and waits for nothing. */
static void synchronizes(fixture *f) {
  expect("synchronize", pinned_synchronize(f->at.cache, 0), ONE(HOSTCACHE_ERR_TIMEOUT),
         ONE(HOSTCACHE_ERR_EVENT));
}

/* A stream that lives on, as others still use it. */
static void forgets_in_vain(fixture *f) {
  expect(
      "forget_stream", pinned_forget_stream(f->at.cache, A), 0,
      ONE(HOSTCACHE_ERR_EVENT) | ONE(HOSTCACHE_ERR_NO_METADATA) | ONE(HOSTCACHE_ERR_UNSUPPORTED));
}

/* What is marked with A already is used on A once more, and freed. The work comes before the mark:
   what comes after forget_stream would be the caller's error. */
static void uses_on_a_again(fixture *f) {
  held one;
  device_submit(&f->at.device, f->own[0].ptr, f->own[0].size, A);
  expect("record_stream", pinned_block_record_stream(f->at.cache, f->own[0].block, A), 0,
         ONE(HOSTCACHE_ERR_NO_METADATA));
  give(&f->at, &f->own[0]);
  poll(&f->at); /* as far as is known that block is ready then, and the first to be handed out */
  one = take(&f->at, SMALL);
  give(&f->at, &one);
}

/* What is marked with A while that is forgotten gets another mark, and is freed. */
static void uses_on_b_too(fixture *f) {
  mark(&f->at, f->own[0], B);
  give(&f->at, &f->own[0]);
}

static void defers(fixture *f) {
  held one;
  give_deferred(&f->at, &f->own[0]);
  one = take(&f->at, SMALL);
  give(&f->at, &one);
}

static void drains(fixture *f) {
  held one;
  poll(&f->at);
  one = take(&f->at, SMALL);
  give(&f->at, &one);
}

/* Frees what makes its stock too large: a batch goes to the shared bin. */
static void gives_a_batch(fixture *f) {
  held one;
  give(&f->at, &f->own[0]);
  one = take(&f->at, SMALL);
  give(&f->at, &one);
}

static void takes_a_batch(fixture *f) {
  held one = take(&f->at, SMALL), two = take(&f->at, SMALL), three = take(&f->at, SMALL);
  give(&f->at, &one);
  give(&f->at, &two);
  give(&f->at, &three);
}

/* A second free is told, also while the memory becomes one with what stands before it. */
static void frees_again(fixture *f) {
  const hostcache_result result = pinned_free(f->at.cache, f->freed);
  explore_assert(result == HOSTCACHE_ERR_DOUBLE_FREE || result == HOSTCACHE_ERR_NOT_FOUND);
}

static void frees_beside(fixture *f) { give(&f->at, &f->pinned[0]); }

/* ... and then its record becomes that of another block, which stays. */
static void frees_beside_and_takes(fixture *f) {
  frees_beside(f);
  f->pinned[0] = take(&f->at, LARGE);
  f->own[0] = take(&f->at, LARGE);
}

/* Two threads release what one of them has quarantined, if it could not be recorded. */
static void releases(fixture *f) {
  expect("release_quarantine", pinned_release_quarantine(f->at.cache), 0, 0);
}

static void frees_used_and_releases(fixture *f) {
  mark(&f->at, f->both, A);
  give(&f->at, &f->both);
  device_finish(&f->at.device);
  say(f, 0);
  await(f, 1);
  releases(f);
}

static void awaits_it_and_releases(fixture *f) {
  await(f, 0);
  say(f, 1);
  releases(f);
}

/* A third one may take it meanwhile. */
static void takes_large(fixture *f) {
  held one = take(&f->at, LARGE);
  give(&f->at, &one);
}

/* ---- hooks that use the cache ---------------------------------------------------------------- */

static void reenters(device *d) {
  fixture *f = (fixture *)(void *)d;
  const unsigned self = explore_self();
  held one;
  if (f->deep[self]) return;
  f->deep[self] = 1;
  one = take(&f->at, SMALL);
  mark(&f->at, one, B);
  give(&f->at, &one);
  poll(&f->at);
  f->deep[self] = 0;
}

/* ---- what stands around the threads ---------------------------------------------------------- */

static fixture state;

/* Queues of streams A and B, and two small ready blocks. */
static void settles(fixture *f) {
  held one = take(&f->at, SMALL), two = take(&f->at, SMALL), used = take(&f->at, LARGE);
  mark(&f->at, used, A);
  mark(&f->at, used, B);
  give(&f->at, &used);
  device_finish(&f->at.device);
  poll(&f->at);
  give(&f->at, &one);
  give(&f->at, &two);
}

static void before(void *user) {
  fixture *f = user;
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  unsigned i;
  glue_begin();
  glue_has_no_barrier = current->has_no_barrier;
  in_hook = NULL;
  f->said = explore_malloc(2 * sizeof *f->said);
  f->said[0] = f->said[1] = 0;
  config.segment_bytes = SEGMENT;
  config.on_error = note_error;
  config.thread_cache_bytes = current->stock_bytes ? current->stock_bytes : SEGMENT;
  expect("create", pinned_create(&f->at.cache, &config, &f->at.device), 0, 0);
  for (i = 0; i < 2; i++) {
    explore_become(i);
    f->pinned[i] = take(&f->at, SMALL);
    f->own[i] = take(&f->at, SMALL);
  }
  explore_become(0);
  f->both = take(&f->at, LARGE);
  f->pinned[2] = take(&f->at, SMALL);
  for (i = 2; i-- > 0;) {
    explore_become(i);
    settles(f);
  }
  if (current->more_before) current->more_before(f);
  in_hook = current->in_hook;
}

static void third_settles(fixture *f) {
  explore_become(2);
  settles(f);
}

/* Something waits on stream A in the queue of thread 0. */
static void one_waits(fixture *f) {
  held one = take(&f->at, LARGE);
  mark(&f->at, one, A);
  give(&f->at, &one);
}

/* There are records of streams that were forgotten: a new one takes one of them. */
static void two_are_forgotten(fixture *f) {
  held one = take(&f->at, LARGE);
  mark(&f->at, one, C);
  mark(&f->at, one, E);
  give(&f->at, &one);
  device_finish(&f->at.device);
  poll(&f->at);
  forget(f, C);
  forget(f, E);
}

static void own_is_used(fixture *f) {
  mark(&f->at, f->own[0], A);
  mark(&f->at, f->own[0], C);
  f->is_forgotten = 1; /* from now on nobody uses A */
}

/* The next block that is cut out of a larger range needs a record more than there are. */
static void records_are_scarce(fixture *f) {
  explore_assert(f->at.cache->spares.block_count <= sizeof f->aside / sizeof f->aside[0]);
  while (f->at.cache->spares.block_count > 0)
    f->aside[f->aside_count++] = pinned_i_spare_take(&f->at.cache->spares);
}

/* Each thread knows a stream of its own, and the block has three marks: one short of what it has
   room for. */
static void three_uses_are_there(fixture *f) {
  unsigned i;
  for (i = 0; i < EXPLORE_THREADS; i++) {
    held one;
    explore_become(i);
    one = take(&f->at, LARGE);
    mark(&f->at, one, D + i);
    give(&f->at, &one);
  }
  device_finish(&f->at.device);
  poll(&f->at);
  explore_become(0);
  mark(&f->at, f->both, A);
  mark(&f->at, f->both, B);
  mark(&f->at, f->both, C);
}

/* What was freed is ready for all sizes at once, as nothing may be kept idle. */
static void own_is_in_no_stock(fixture *f) {
  bounds(f);
  f->freed = f->own[0].ptr;
  give(&f->at, &f->own[0]);
}

/* The next record that is needed is that which becomes one with its neighbour. */
static void own_is_in_no_stock_and_records_are_scarce(fixture *f) {
  own_is_in_no_stock(f);
  records_are_scarce(f);
}

/* Thread 0 has sixteen small blocks in stock, as many as it may: with its own that is a batch too
   many. */
static void a_batch_is_there(fixture *f) {
  held all[16];
  unsigned i;
  for (i = 0; i < 16; i++) all[i] = take(&f->at, SMALL);
  for (i = 0; i < 16; i++) give(&f->at, &all[i]);
}

static void thread(void *user, unsigned id) {
  fixture *f = user;
  current->programs[id](f);
}

static void after(void *user) {
  fixture *f = user;
  hostcache_stats stats;
  held one;
  unsigned i;
  in_hook = NULL;
  explore_become(2);
  while (f->aside_count > 0)
    pinned_i_spare_append(&f->at.cache->spares, f->aside[--f->aside_count]);
  if (f->at.cache) {
    for (i = 0; i < 2; i++) give(&f->at, &f->own[i]);
    for (i = A; f->ends_forgotten && i <= F; i++) forget(f, i);
    give(&f->at, &f->both);
    poll(&f->at);
    one = take(&f->at, LARGE); /* that block, as far as is known: the referee looks */
    give(&f->at, &one);
    for (i = 0; i < 3; i++) give(&f->at, &f->pinned[i]);
    device_finish(&f->at.device);
    poll(&f->at);
    if (explore_spent(EXPLORE_FAIL))
      expect("release_quarantine", pinned_release_quarantine(f->at.cache), 0, 0);
    expect("check", pinned_check(f->at.cache), 0, 0);
    expect("stats", pinned_stats(f->at.cache, &stats), 0, 0);
    explore_assert(!f->is_bounded || explore_spent(EXPLORE_FAIL) ||
                   stats.cached_bytes.current == 0);
    empty(&f->at);
    expect("stats", pinned_stats(f->at.cache, &stats), 0, 0);
    explore_assert(stats.active.current == 0 && stats.allocation.current == 0);
    explore_assert(stats.cached_bytes.current == 0);
    explore_assert(stats.segment.current == f->at.device.leaked);
    expect("check", pinned_check(f->at.cache), 0, 0);
    expect("destroy", pinned_destroy(f->at.cache), 0, ONE(HOSTCACHE_ERR_LEAKED));
  }
  device_expect_empty(&f->at.device);
  explore_free(f->said);
  explore_assert(explore_live() == 0);
}

/* ---- the scenarios --------------------------------------------------------------------------- */

/* Preemptions, stale loads, queries that say pending, failures; and all together. */
#define THREE \
  {{3, 2, 0, 0}, 3}, { {1, 0, 1, 1}, 2 }
#define TWO \
  {{2, 1, 1, 0}, 3}, { {1, 0, 1, 1}, 2 }
#define FEW \
  {{2, 1, 1, 0}, 2}, { {1, 0, 0, 1}, 2 }
/* Three that are at once where there is room for one, and then malloc has none either. */
#define ROOM \
  {{2, 0, 0, 0}, 2}, { {2, 0, 0, 1}, 3 }
/* The same, and it fails twice. */
#define NO_ROOM \
  {{1, 0, 0, 0}, 1}, { {2, 0, 0, 2}, 4 }
#define RELEASE \
  {{1, 0, 0, 0}, 1}, { {1, 0, 0, 1}, 2 }
#define ONCE \
  {{1, 0, 0, 0}, 1}, { {1, 0, 0, 0}, 1 }
/* stats reads what it cannot hold, if a barrier is refused. */
#define NO_REFUSAL \
  {{2, 1, 1, 0}, 2}, { {1, 0, 1, 0}, 2 }

static const scenario scenarios[] = {
    {"hit+empty", {hits_and_frees, empties}, TWO, NULL, NULL, 0, 0},
    {"hit+empty-fences", {hits_and_frees, empties}, FEW, NULL, NULL, 0, 1},
    {"hit+empty+take", {hits, empties_and_takes}, FEW, NULL, NULL, 0, 0},
    {"hit+trim", {hits_and_frees, trims}, FEW, NULL, NULL, 0, 0},
    {"hit+look", {hits_and_frees, looks}, NO_REFUSAL, NULL, NULL, 0, 0},
    {"hit+peaks", {hits, resets_peaks}, FEW, NULL, NULL, 0, 0},
    {"exit+empty", {ends, empties}, TWO, NULL, NULL, 0, 0},
    {"exit+look", {ends, looks}, NO_REFUSAL, NULL, NULL, 0, 0},
    {"exit+poll", {ends, polls_and_takes}, TWO, one_waits, NULL, 0, 0},
    {"exit+destroy", {ends_at_last, destroys}, TWO, NULL, NULL, 0, 0},
    {"poll+come", {waits, polls, hits}, FEW, one_waits, NULL, 0, 0},
    {"exit+again", {ends_and_comes_again, ends_and_comes_again}, FEW, NULL, NULL, 0, 0},
    {"exit+come", {ends_and_comes_again, waits, hits}, FEW, NULL, NULL, 0, 0},
    {"again+empty", {ends_and_comes_again, empties}, FEW, NULL, NULL, 0, 0},
    {"pass+free", {passes, frees_what_is_passed}, TWO, NULL, NULL, 0, 0},
    {"use+use", {uses_on_a, uses_on_b_and_frees}, TWO, NULL, NULL, 0, 0},
    {"use+use+join", {uses_on_a, uses_on_b, joins_and_frees}, FEW, NULL, NULL, 0, 0},
    {"use+use+free", {awaits_both_and_frees, says_a, says_b}, FEW, third_settles, NULL, 0, 0},
    {"use+use+room", {uses_on_d, uses_on_e_joins_and_frees}, TWO, three_uses_are_there, NULL, 0, 0},
    {"use+use+use",
     {uses_on_d, uses_on_e, uses_on_f_joins_and_frees},
     FEW,
     three_uses_are_there,
     NULL,
     0,
     0},
    {"use+use+use+fail", {uses_on_d, uses_on_e, uses_on_f}, ROOM, three_uses_are_there, NULL, 0, 0},
    {"use+use+forget",
     {uses_on_d, uses_on_e_forgets_and_frees},
     ONCE,
     three_uses_are_there,
     NULL,
     0,
     0},
    {"use+use+use+forget",
     {uses_on_d, uses_on_e, uses_on_f_before_all_are_forgotten},
     NO_ROOM,
     three_uses_are_there,
     NULL,
     0,
     0},
    {"use+new", {uses_own_on_d, uses_own_on_d}, ONCE, two_are_forgotten, NULL, 0, 0},
    {"used+poll", {frees_used, polls_and_takes}, FEW, one_waits, NULL, 0, 0},
    {"poll+poll", {polls, polls_and_takes}, TWO, one_waits, NULL, 0, 0},
    {"reenter+poll", {polls, polls}, FEW, one_waits, reenters, 0, 0},
    {"reenter+used", {uses_on_b_too, polls}, FEW, one_waits, reenters, 0, 0},
    {"forget+used", {frees_used, forgets}, FEW, own_is_used, NULL, 0, 0},
    {"forget+mark", {uses_on_b_too, forgets}, FEW, own_is_used, NULL, 0, 0},
    {"forget+again", {uses_on_a_again, forgets_in_vain}, FEW, own_is_used, NULL, 0, 0},
    {"bound+hit", {hits_and_frees, bounds}, FEW, NULL, NULL, 0, 0},
    {"bound+come", {waits, bounds, hits}, FEW, NULL, NULL, 0, 0},
    {"deferred+drain", {defers, drains}, FEW, own_is_used, NULL, 0, 0},
    {"deferred+peaks", {defers, resets_peaks}, FEW, own_is_used, NULL, 0, 0},
    {"give+take", {gives_a_batch, takes_a_batch}, FEW, a_batch_is_there, NULL, 16 * SMALL, 0},
    {"give+empty", {gives_a_batch, empties}, FEW, a_batch_is_there, NULL, 16 * SMALL, 0},
    {"take+synchronize", {takes_three, synchronizes}, FEW, records_are_scarce, NULL, 0, 0},
    {"again+beside", {frees_again, frees_beside}, FEW, own_is_in_no_stock, NULL, 0, 0},
    {"again+take",
     {frees_again, frees_beside_and_takes},
     FEW,
     own_is_in_no_stock_and_records_are_scarce,
     NULL,
     0,
     0},
    {"release+release", {frees_used_and_releases, awaits_it_and_releases}, FEW, NULL, NULL, 0, 0},
    {"release+release+take",
     {frees_used_and_releases, awaits_it_and_releases, takes_large},
     RELEASE,
     NULL,
     NULL,
     0,
     0},
};
enum { SCENARIOS = sizeof scenarios / sizeof scenarios[0] };

static explore_test test_of(const scenario *of, explore_bounds bounds) {
  explore_test test = {.name = of->name,
                       .threads = of->programs[2] ? 3 : 2,
                       .before = before,
                       .thread = thread,
                       .after = after,
                       .state = &state,
                       .state_bytes = sizeof state,
                       .bounds = bounds};
  current = of;
  return test;
}

#ifdef EXPLORE_SUITE /* tests/fuzz/schedules.c explores them */

static size_t begin_suite(void) { return SCENARIOS; }

static explore_test choose_scenario(size_t i) {
  const explore_bounds bounds = {{0, 2, 3, scenarios[i].failures.of[EXPLORE_FAIL]}, 5};
  return test_of(&scenarios[i], bounds);
}

const explore_suite EXPLORE_SUITE = {"stocks", begin_suite, choose_scenario};

#else

static bool explore_one(const scenario *of, const char *self) {
  const clock_t began = clock();
  explore_test test = test_of(of, of->orders);
  explore_result orders = explore_all(&test, 0), failures = {0}, *failed = NULL;
  if (orders.failed) {
    failed = &orders;
  } else {
    test.bounds = of->failures;
    failures = explore_all(&test, 0);
    if (failures.failed) failed = &failures;
  }
  printf("%-16s %7llu + %6llu schedules, %4llu steps, %.1f s\n", of->name,
         (unsigned long long)orders.schedules, (unsigned long long)failures.schedules,
         (unsigned long long)orders.steps, (double)(clock() - began) / CLOCKS_PER_SEC);
  if (failed)
    printf("  FAILED: %s\n  again: %s --replay %s %s\n", failed->message, self, of->name,
           failed->decisions);
  fflush(stdout);
  return orders.exhausted && failures.exhausted && !failed;
}

/* Does giving schedules up lose any end? */
static bool compare(const scenario *of) {
  const explore_bounds bounds = {{2, 1, 1, 0}, 2};
  explore_test test = test_of(of, bounds);
  explore_result with = explore_all(&test, 0), without;
  bool same;
  test.gives_nothing_up = true;
  without = explore_all(&test, 0);
  same = with.exhausted && without.exhausted && with.ends == without.ends &&
         with.ends_digest == without.ends_digest;
  printf("%-16s %8llu of %8llu schedules, %llu of %llu ends%s\n", of->name,
         (unsigned long long)with.schedules, (unsigned long long)without.schedules,
         (unsigned long long)with.ends, (unsigned long long)without.ends, same ? "" : ": FAILED");
  return same;
}

static bool is_listed(const char *list, const char *name) {
  const size_t length = strlen(name);
  for (; list; list = strchr(list, ','), list += list != NULL)
    if (strncmp(list, name, length) == 0 && (list[length] == ',' || !list[length])) return true;
  return false;
}

int main(int argc, char **argv) {
  const char *only = argc > 2 ? argv[2] : NULL;
  const bool compares = argc > 2 && strcmp(argv[1], "--compare") == 0;
  size_t i, count = 0, failed = 0;
  for (i = 0; i < SCENARIOS; i++) {
    if (only && !is_listed(only, scenarios[i].name)) continue;
    count++;
    if (argc > 3 && strcmp(argv[1], "--replay") == 0) {
      const explore_test test = test_of(&scenarios[i], scenarios[i].failures);
      const explore_result result = explore_replay(&test, argv[3]);
      printf("%s: %s\n", only, result.failed ? result.message : "no failure");
      return result.failed;
    }
    failed += compares ? !compare(&scenarios[i]) : !explore_one(&scenarios[i], argv[0]);
  }
  printf("%zu scenarios, %zu failed\n", count, failed);
  return failed > 0 || count == 0;
}

#endif
