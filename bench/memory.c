/* memory.c - how much memory the cache holds for what is asked of it, and how often it asks.

     ./bench_memory             every row of the table, with all nine seeds; a minute or two
     ./bench_memory --quick     one seed for the longest row
     ./bench_memory --markdown  the table as Markdown

   Each row is a load, what it measures, and the bound that the contract gives; the program fails
   (exit status 1) where a bound is passed. Nothing of it depends on time or on the machine: the
   hooks reserve address space and count. Sizes are log-uniform where the row says "to", from the
   seeds below, by splitmix64. */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)
#define PAGE ((size_t)4096)

enum { SEEDS = 9 };
static const uint64_t seeds[SEEDS] = {1, 2, 3, 5, 8, 13, 21, 34, 55};

/* ---- the runtime: address space -------------------------------------------------------------- */

typedef struct space {
  uint64_t allocs, frees; /* calls */
} space;

static int space_get(space *s, size_t size, void **ptr) {
  s->allocs++;
  *ptr = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return *ptr == MAP_FAILED ? -1 : 0;
}

static int space_give_back(space *s, void *ptr, size_t size) {
  s->frees++;
  return munmap(ptr, size);
}

#define HC_NAME cache
#define HC_NO_STREAMS
#define HC_CTX_T space *
#define HC_MEM_ALLOC(s, size, align, ptr_out) \
  ((void)(align), hostcache_map_memory(space_get(s, size, ptr_out), 0, -1, -1))
#define HC_MEM_FREE(s, ptr, size) hostcache_map(space_give_back(s, ptr, size), 0, 0)
#define HC_STATIC
#include "hostcache.h"

static void must(hostcache_result result, const char *call) {
  if (result == HOSTCACHE_OK) return;
  fprintf(stderr, "bench_memory: %s: %s\n", call, hostcache_result_string(result));
  exit(2);
}

static cache *open_cache(space *s) {
  cache *made;
  memset(s, 0, sizeof *s);
  must(cache_create(&made, NULL, s), "create");
  return made;
}

static hostcache_stats figures(cache *c) {
  hostcache_stats stats;
  must(cache_stats(c, &stats), "stats");
  return stats;
}

static cache_block *get(cache *c, size_t size) {
  cache_block *block;
  must(cache_block_alloc(c, size, &block), "alloc");
  return block;
}

/* Everything is free: it goes back without a rest. Returns what is still held. */
static double close_cache(cache *c) {
  double left;
  must(cache_empty_cache(c), "empty_cache");
  must(cache_check(c), "check");
  left = (double)figures(c).reserved_bytes.current;
  must(cache_destroy(c), "destroy");
  return left;
}

/* ---- the table ------------------------------------------------------------------------------- */

static int failures, markdown;

/* What was measured is at most the bound. */
static void row(const char *load, const char *what, double measured, double bound) {
  const int so = measured <= bound;
  failures += !so;
  if (markdown)
    printf("| %s | %s | %.4g | %.4g |%s\n", load, what, measured, bound, so ? "" : " **passed** |");
  else
    printf("%-46s %-34s %10.4g %10.4g%s\n", load, what, measured, bound, so ? "" : "  PASSED");
  (void)fflush(stdout);
}

/* ---- random numbers -------------------------------------------------------------------------- */

static uint64_t next(uint64_t *state) {
  uint64_t x = *state += UINT64_C(0x9e3779b97f4a7c15);
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

/* Log-uniform between two sizes. */
static size_t draw(uint64_t *state, size_t from, size_t to) {
  const double part = (double)(next(state) >> 11) / (double)(UINT64_C(1) << 53);
  return (size_t)exp(log((double)from) + part * log((double)to / (double)from));
}

/* ---- loads ----------------------------------------------------------------------------------- */

static void live_blocks(void) {
  cache_block *blocks[256];
  hostcache_stats stats;
  uint64_t state = 1;
  size_t i;
  space s;
  cache *c = open_cache(&s);
  for (i = 0; i < 256; i++) blocks[i] = get(c, draw(&state, 4 * KIB, 64 * MIB));
  stats = figures(c);
  row("256 live, 4 KiB to 64 MiB", "in blocks / requested",
      (double)stats.active_bytes.current / (double)stats.requested_bytes.current, 1.07);
  row("256 live, 4 KiB to 64 MiB", "reserved / requested",
      (double)stats.reserved_bytes.current / (double)stats.requested_bytes.current, 1.07);
  for (i = 0; i < 256; i++) must(cache_block_free(c, blocks[i]), "free");
  (void)close_cache(c);
}

/* `count` blocks of a size: what is reserved beyond it, in pages for each. */
static void large_blocks(const char *load, size_t size, size_t count) {
  cache_block *blocks[24];
  size_t i;
  space s;
  cache *c = open_cache(&s);
  for (i = 0; i < count; i++) blocks[i] = get(c, size);
  row(load, "pages too many, each",
      ((double)figures(c).reserved_bytes.current - (double)count * (double)size) / (double)PAGE /
          (double)count,
      1);
  for (i = 0; i < count; i++) must(cache_block_free(c, blocks[i]), "free");
  (void)close_cache(c);
}

/* PyTorch gave the block of 150 MiB for 200 MiB where rounding was limited. */
static void a_larger_one_after(void) {
  space s;
  cache *c = open_cache(&s);
  cache_block *block = get(c, 150 * MIB);
  must(cache_block_free(c, block), "free");
  block = get(c, 200 * MIB);
  row("150 MiB, freed, then 200 MiB", "reserved / 200 MiB",
      (double)figures(c).reserved_bytes.peak / (200.0 * (double)MIB), 1);
  must(cache_block_free(c, block), "free");
  (void)close_cache(c);
}

/* The buffers of a training step, the same in each. */
static void steps(void) {
  enum { BUFFERS = 155, STEPS = 1000 };
  cache_block *blocks[BUFFERS];
  size_t sizes[BUFFERS], i, step;
  uint64_t state = 1, calls = 0;
  hostcache_stats stats;
  space s;
  cache *c = open_cache(&s);
  for (i = 0; i < BUFFERS; i++) sizes[i] = draw(&state, 1 * KIB, 30 * MIB);
  for (step = 0; step < STEPS; step++) {
    for (i = 0; i < BUFFERS; i++) blocks[i] = get(c, sizes[i]);
    for (i = 0; i < BUFFERS; i++) must(cache_block_free(c, blocks[i]), "free");
    if (step == 0) calls = s.allocs + s.frees;
  }
  stats = figures(c);
  row("155 a step, 1 KiB to 30 MiB, 1,000 steps", "peak reserved / peak requested",
      (double)stats.reserved_bytes.peak / (double)stats.requested_bytes.peak, 1.07);
  row("155 a step, 1 KiB to 30 MiB, 1,000 steps", "hooks in 1,000, after the first step",
      1000.0 * (double)(s.allocs + s.frees - calls) / (2.0 * BUFFERS * (STEPS - 1)), 1);
  (void)close_cache(c);
}

static void many_small_ones(void) {
  enum { BLOCKS = 10000 };
  static cache_block *blocks[BLOCKS];
  size_t i;
  space s;
  cache *c = open_cache(&s);
  for (i = 0; i < BLOCKS; i++) blocks[i] = get(c, 64 * KIB);
  row("10,000 of 64 KiB", "calls of the alloc hook", (double)s.allocs,
      1.05 * BLOCKS * 64.0 * (double)KIB / (2.0 * (double)MIB));
  for (i = 0; i < BLOCKS; i++) must(cache_block_free(c, blocks[i]), "free");
  (void)close_cache(c);
}

typedef struct churn {
  double ratio;         /* of the peaks of what is reserved and what is live */
  double allocs, frees; /* hook calls in 1,000 operations, in the last three quarters */
  double left;          /* bytes, when all is free and empty_cache has run */
} churn;

/* Each operation gets a block or frees one: a slot, drawn at random, is replaced. */
static churn churn_once(uint64_t seed, size_t slots, uint64_t operations, size_t from, size_t to) {
  cache_block **blocks = (cache_block **)calloc(slots, sizeof *blocks);
  uint64_t i, state = seed, allocs = 0, frees = 0;
  const double warm = 0.75 * (double)operations / 1000;
  hostcache_stats stats;
  churn result;
  space s;
  cache *c = open_cache(&s);
  if (!blocks) exit(2);
  for (i = 0; i < operations / 2; i++) {
    const size_t slot = (size_t)(next(&state) % slots);
    if (blocks[slot]) must(cache_block_free(c, blocks[slot]), "free");
    blocks[slot] = get(c, draw(&state, from, to));
    if (i == operations / 8) allocs = s.allocs, frees = s.frees;
  }
  stats = figures(c);
  result.ratio = (double)stats.reserved_bytes.peak / (double)stats.requested_bytes.peak;
  result.allocs = (double)(s.allocs - allocs) / warm;
  result.frees = (double)(s.frees - frees) / warm;
  for (i = 0; i < slots; i++)
    if (blocks[i]) must(cache_block_free(c, blocks[i]), "free");
  result.left = close_cache(c);
  free(blocks);
  return result;
}

static int by_size(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void churns(const char *load, size_t slots, uint64_t operations, size_t from, size_t to,
                   int count) {
  double ratios[SEEDS], allocs = 0, frees = 0, left = 0;
  int i;
  for (i = 0; i < count; i++) {
    const churn one = churn_once(seeds[i], slots, operations, from, to);
    ratios[i] = one.ratio;
    if (one.allocs > allocs) allocs = one.allocs;
    if (one.frees > frees) frees = one.frees;
    if (one.left > left) left = one.left;
  }
  qsort(ratios, (size_t)count, sizeof *ratios, by_size);
  row(load, "peak reserved / peak live, median", ratios[count / 2], 1.25);
  row(load, "peak reserved / peak live, worst", ratios[count - 1], 1.32);
  row(load, "alloc hooks in 1,000, worst", allocs, 1);
  row(load, "free hooks in 1,000, worst", frees, 1);
  row(load, "left after empty_cache", left, 0);
}

int main(int argc, char **argv) {
  int quick = 0, i;
  for (i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--quick") == 0) {
      quick = 1;
    } else if (strcmp(argv[i], "--markdown") == 0) {
      markdown = 1;
    } else {
      fprintf(stderr, "usage: bench_memory [--quick] [--markdown]\n");
      return 2;
    }
  }
  if (markdown)
    printf("| load | figure | measured | at most |\n|---|---|---|---|\n");
  else
    printf("%-46s %-34s %10s %10s\n", "load", "figure", "measured", "at most");
  live_blocks();
  large_blocks("20.4 GiB", (size_t)(20.4 * (double)GIB), 1);
  large_blocks("24 of 2.0832 GiB", (size_t)(2.0832 * (double)GIB), 24);
  a_larger_one_after();
  steps();
  many_small_ones();
  churns("200,000 replaced, 256 live, 4 KiB to 64 MiB", 256, 400000, 4 * KIB, 64 * MIB, SEEDS);
  churns("10 million operations, 1 GiB live, to 16 MiB", 666, 10000000, 512, 16 * MIB,
         quick ? 1 : SEEDS);
  if (failures) fprintf(stderr, "bench_memory: %d bounds were passed\n", failures);
  return failures ? 1 : 0;
}
