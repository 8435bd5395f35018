/* scenarios.c - two or three threads on one cache, in every order within bounds.

   A scenario is a pair or a triple of the small programs below, one for each thread, over the same
   beginning: each thread has a block of its own that is marked with stream A; one block waits
   for stream B; one range is ready. So the first allocation is a hit, the next one polls, and finds
   what has become ready or gets new memory. Every program allocates, so that each scenario meets
   hits, misses and polls; the test fails if a scenario did not reach one of each.

   The referee in device.c watches every step. At the end of each schedule all is freed, check finds
   nothing, destroy succeeds, and no memory, event, lock or bookkeeping is left.

     scenarios                        depth first; every scenario must be exhausted
     scenarios --random               PCT with d = 3
     scenarios [--random] --threads N those of so many threads
     scenarios [--random] --only NAME,NAME,...
     scenarios ... --part K/N         of those each N-th, from the K-th on
     scenarios --compare NAME,NAME,... are the ends the same if no schedule is given up?
     scenarios --replay NAME DECISIONS

   HOSTCACHE_STRESS (a number) makes it longer: one triple more, as many preemptions in triples as
   in pairs, and a 500th as many random schedules of each scenario.

   Blocks go by their handles: a search by address is explored in find.c. What is new with threads'
   own stocks and queues is in stocks.c.

   Not covered: synchronize, walk and check beside other threads, the wait hooks, reserve, events
   that are handed over, find of a block that another thread frees, times (the clock stands still).

   Compiled once with events and, with -DCACHE_TIMELINE, once with timelines (cache.h). */

#include "cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SMALL ((size_t)DEVICE_UNIT)
#define BLOCK ((size_t)4096)
#define SEGMENT (2 * BLOCK)

typedef struct scenario_state {
  runs at;                   /* must be the first. at.cache is NULL when it was destroyed */
  held own[EXPLORE_THREADS]; /* what each thread has from the beginning */
  held filler[5];            /* so that no segment is idle at the beginning; and see before */
  void **passed;             /* by each thread that ends to one that goes on; atomics */
  int64_t hits, misses;      /* before the threads began */
  unsigned queries;
} scenario_state;

typedef struct scenario {
  const char *name;
  unsigned threads;
  void (*programs[EXPLORE_THREADS])(scenario_state *s, unsigned id);
  bool is_capped, passes_on, is_long;
} scenario;

/* What is outside of the schedules, and so not put back with them. */
typedef struct reached {
  bool hit, miss, poll;
} reached;
static reached *so_far;
static const scenario *current;

/* ---- what a thread does ---------------------------------------------------------------------- */

/* Frees the blocks that other threads left when they ended. */
static void free_passed(scenario_state *s) {
  unsigned i;
  for (i = 0; current->passes_on && i < current->threads; i++) {
    held got = {NULL, NULL, BLOCK};
    got.block = (pinned_block *)hostcache_ptr_exchange_acquire(&s->passed[i], NULL);
    got.ptr = pinned_block_ptr(got.block);
    give(&s->at, &got);
  }
}

/* The programs: at least three operations each. */

static void allocs(scenario_state *s, unsigned id) {
  held one = take(&s->at, SMALL), two = take(&s->at, BLOCK);
  (void)id;
  give(&s->at, &one);
  give(&s->at, &two);
}

static void frees(scenario_state *s, unsigned id) {
  held one;
  give(&s->at, &s->own[id]);
  one = take(&s->at, BLOCK);
  give(&s->at, &one);
}

static void records(scenario_state *s, unsigned id) {
  held one;
  mark(&s->at, s->own[id], C);
  one = take(&s->at, BLOCK);
  mark(&s->at, one, B);
  give(&s->at, &one);
}

static void polls(scenario_state *s, unsigned id) {
  held one;
  explore_assert(pinned_find(s->at.cache, s->own[id].ptr) != NULL); /* it is active all the time */
  poll(&s->at);
  one = take(&s->at, BLOCK);
  give(&s->at, &one);
  poll(&s->at);
}

static void trims(scenario_state *s, unsigned id) {
  held one = take(&s->at, BLOCK);
  (void)id;
  give(&s->at, &one);
  explore_note("trim(%zu) ...", SEGMENT);
  expect("trim", pinned_trim(s->at.cache, SEGMENT), 0,
         ONE(HOSTCACHE_ERR_EVENT) | ONE(HOSTCACHE_ERR_LEAKED));
}

static void empties(scenario_state *s, unsigned id) {
  held one;
  (void)id;
  empty(&s->at);
  one = take(&s->at, BLOCK);
  give(&s->at, &one);
}

/* Ends, while its block is still in use; another thread may free that. */
static void ends(scenario_state *s, unsigned id) {
  held one = take(&s->at, BLOCK);
  mark(&s->at, one, B);
  give(&s->at, &s->own[id]);
  if (one.ptr) hostcache_ptr_store_release(&s->passed[id], one.block);
}

/* Needs a whole segment, which the cap may refuse. */
static void meets_the_cap(scenario_state *s, unsigned id) {
  held one = take(&s->at, SEGMENT), two = take(&s->at, BLOCK);
  (void)id;
  give(&s->at, &one);
  give(&s->at, &two);
}

static void forgets(scenario_state *s, unsigned id) {
  held one;
  hostcache_result result;
  (void)id;
  explore_note("forget_stream(A) ...");
  result = pinned_forget_stream(s->at.cache, A);
  expect(
      "forget_stream", result, 0,
      ONE(HOSTCACHE_ERR_EVENT) | ONE(HOSTCACHE_ERR_NO_METADATA) | ONE(HOSTCACHE_ERR_UNSUPPORTED));
  if (result == HOSTCACHE_OK) device_forget(&s->at.device, A);
  one = take(&s->at, BLOCK);
  give(&s->at, &one);
}

static void defers(scenario_state *s, unsigned id) {
  held one;
  give_deferred(&s->at, &s->own[id]);
  one = take(&s->at, BLOCK);
  give(&s->at, &one);
}

static void free_all(scenario_state *s) {
  unsigned i;
  free_passed(s);
  for (i = 0; i < EXPLORE_THREADS; i++) give(&s->at, &s->own[i]);
  for (i = 0; i < sizeof s->filler / sizeof s->filler[0]; i++) give(&s->at, &s->filler[i]);
}

/* Notes what the schedule reached. */
static void note_reached(scenario_state *s) {
  hostcache_stats stats;
  explore_assert(pinned_stats(s->at.cache, &stats) == HOSTCACHE_OK);
  so_far->hit |= stats.num_hits > s->hits;
  so_far->miss |= stats.num_misses > s->misses;
  so_far->poll |= s->at.device.queries > s->queries;
}

/* What cannot be told of a block, as a hook failed, counts as done when the device is idle. */
static void release(scenario_state *s) {
  if (!explore_spent(EXPLORE_FAIL)) return;
  device_finish(&s->at.device);
  expect("release_quarantine", pinned_release_quarantine(s->at.cache), 0, 0);
}

/* When it knows that the others have ended. Until what it freed is complete, destroy says BUSY. */
static void destroys(scenario_state *s, unsigned id) {
  hostcache_result result;
  held one = take(&s->at, BLOCK);
  (void)id;
  give(&s->at, &one);
  explore_join();
  note_reached(s);
  free_all(s);
  release(s);
  for (;;) {
    const unsigned queries = s->at.device.queries;
    explore_note("destroy ...");
    result = pinned_destroy(s->at.cache);
    explore_note("destroy: %s", hostcache_result_string(result));
    if (result != HOSTCACHE_ERR_BUSY) break;
    explore_assert(s->at.device.queries > queries ||
                   explore_spent(EXPLORE_FAIL)); /* it has asked */
  }
  expect("destroy", result, 0, ONE(HOSTCACHE_ERR_LEAKED));
  s->at.cache = NULL;
}

/* ---- what stands around the threads ---------------------------------------------------------- */

static scenario_state *state;

static void before(void *user) {
  scenario_state *s = user;
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  hostcache_stats stats;
  held waits, ready;
  unsigned i;
  glue_begin();
  s->passed = explore_malloc(EXPLORE_THREADS * sizeof *s->passed);
  memset(s->passed, 0, EXPLORE_THREADS * sizeof *s->passed);
  config.segment_bytes = SEGMENT;
  config.on_error = note_error;
  if (current->is_capped) config.max_reserved_bytes = (current->threads == 2 ? 4 : 5) * SEGMENT;
  expect("create", pinned_create(&s->at.cache, &config, &s->at.device), 0, 0);
  s->at.device.cap = (unsigned)(config.max_reserved_bytes / DEVICE_UNIT);
  for (i = 0; i < current->threads; i++) {
    s->own[i] = take(&s->at, BLOCK);
    mark(&s->at, s->own[i], A);
  }
  waits = take(&s->at, BLOCK);
  ready = take(&s->at, BLOCK);
  if (current->threads % 2) s->filler[4] = take(&s->at, BLOCK);
  /* Small blocks in two pages use the spare shelves of the index up, so that whoever splits a page
     lets the lock go and calls malloc. */
  for (i = 0; i < 4; i++) s->filler[i] = take(&s->at, i % 2 ? BLOCK - SMALL : SMALL);
  mark(&s->at, waits, B);
  give(&s->at, &waits);
  give(&s->at, &ready);
  explore_assert(pinned_stats(s->at.cache, &stats) == HOSTCACHE_OK);
  s->hits = stats.num_hits;
  s->misses = stats.num_misses;
  s->queries = s->at.device.queries;
}

static void thread(void *user, unsigned id) {
  scenario_state *s = user;
  current->programs[id](s, id);
  if (s->at.cache && current->programs[id] != ends) free_passed(s);
}

static void after(void *user) {
  scenario_state *s = user;
  hostcache_result result;
  hostcache_stats stats;
  if (s->at.cache) {
    note_reached(s);
    free_all(s);
    device_finish(&s->at.device);
    (void)pinned_process_events(s->at.cache, NULL);
    release(s);
    expect("check", pinned_check(s->at.cache), 0, 0);
    expect("empty_cache", pinned_empty_cache(s->at.cache), 0, 0);
    expect("stats", pinned_stats(s->at.cache, &stats), 0, 0);
    explore_assert(stats.active.current == 0 && stats.cached_bytes.current == 0);
    explore_assert(stats.segment.current == s->at.device.leaked);
    result = pinned_destroy(s->at.cache);
    explore_assert(result == (s->at.device.leaked ? HOSTCACHE_ERR_LEAKED : HOSTCACHE_OK));
  }
  device_expect_empty(&s->at.device);
  explore_free(s->passed);
  explore_assert(explore_live() == 0);
}

/* ---- the scenarios --------------------------------------------------------------------------- */

typedef struct program {
  const char *name;
  void (*run)(scenario_state *s, unsigned id);
} program;

static const program programs[] = {
    {"alloc", allocs},   {"free", frees},      {"record", records},   {"poll", polls},
    {"trim", trims},     {"empty", empties},   {"exit", ends},        {"cap", meets_the_cap},
    {"forget", forgets}, {"deferred", defers}, {"destroy", destroys},
};
enum { PROGRAMS = sizeof programs / sizeof programs[0] };

static const char *const triples[][3] = {
    {"alloc", "free", "poll"},
    {"alloc", "cap", "trim"},
    {"alloc", "alloc", "trim"},
    {"deferred", "free", "empty"},
    {"deferred", "poll", "trim"},
    {"exit", "free", "poll"},
    {"record", "poll", "trim"},
    {"cap", "cap", "deferred"},
    {"free", "free", "poll"},
    {"record", "free", "forget"},
    {"free", "poll", "forget"},
    {"deferred", "poll", "forget"},
    {"record", "poll", "destroy"},
    /* Long: depth first only where HOSTCACHE_STRESS asks for it. */
    {"forget", "forget", "free"},
};
enum { LONG_TRIPLES = 1 };
enum { TRIPLES = sizeof triples / sizeof triples[0], MOST = PROGRAMS * PROGRAMS + TRIPLES };

static scenario scenarios[MOST];
static char names[MOST][40];
static size_t scenario_count;

static const program *program_of(const char *name) {
  size_t i = 0;
  while (strcmp(programs[i].name, name) != 0) i++;
  return &programs[i];
}

static void add_scenario(const program *const *of, unsigned threads) {
  scenario *fresh = &scenarios[scenario_count];
  size_t at = 0;
  unsigned i;
  fresh->name = names[scenario_count];
  fresh->threads = threads;
  for (i = 0; i < threads; i++) {
    at += (size_t)snprintf(names[scenario_count] + at, sizeof names[0] - at, "%s%s", i ? "+" : "",
                           of[i]->name);
    fresh->programs[i] = of[i]->run;
    if (of[i]->run == meets_the_cap) fresh->is_capped = true;
    if (of[i]->run == ends) fresh->passes_on = true;
  }
  scenario_count++;
}

/* Every pair, and the triples. Only one thread can destroy. */
static void add_scenarios(void) {
  const program *of[EXPLORE_THREADS];
  size_t i, j;
  for (i = 0; i < PROGRAMS; i++)
    for (j = i; j < PROGRAMS; j++) {
      of[0] = &programs[i];
      of[1] = &programs[j];
      if (of[0]->run != destroys) add_scenario(of, 2);
    }
  for (i = 0; i < TRIPLES; i++) {
    for (j = 0; j < 3; j++) of[j] = program_of(triples[i][j]);
    add_scenario(of, 3);
    scenarios[scenario_count - 1].is_long = i >= TRIPLES - LONG_TRIPLES;
  }
}

static explore_test test_of(const scenario *of, explore_bounds bounds) {
  explore_test test = {.name = of->name,
                       .threads = of->threads,
                       .before = before,
                       .thread = thread,
                       .after = after,
                       .state = state,
                       .state_bytes = sizeof *state,
                       .bounds = bounds};
  current = of;
  return test;
}

/* The bounds: preemptions, stale loads, queries that say pending, failures; and all together. */
static const explore_bounds random_bounds = {{0, 2, 3, 1}, 5};

#ifdef EXPLORE_SUITE /* tests/fuzz/schedules.c explores them */

static size_t begin_suite(void) {
  so_far = malloc(sizeof *so_far);
  state = malloc(sizeof *state);
  if (!so_far || !state) abort();
  add_scenarios();
  return scenario_count;
}

static explore_test choose_scenario(size_t i) { return test_of(&scenarios[i], random_bounds); }

#ifdef CACHE_TIMELINE
const explore_suite EXPLORE_SUITE = {"timeline", begin_suite, choose_scenario};
#else
const explore_suite EXPLORE_SUITE = {"events", begin_suite, choose_scenario};
#endif

#else

/* Depth first each scenario is explored twice, for its orders and for its failures. Three threads
   have so many schedules that they get less, and HOSTCACHE_STRESS gives them more. */
static const explore_bounds orders = {{2, 1, 1, 0}, 2}, failures = {{1, 0, 1, 1}, 2},
                            orders_of_three = {{1, 1, 1, 0}, 1},
                            failures_of_three = {{0, 0, 0, 1}, 1};

/* Explores one scenario and says what came of it. */
static bool explore_one(const scenario *of, const char *self, bool random, uint64_t schedules) {
  const bool few = of->threads == 2;
  const bool more = getenv("HOSTCACHE_STRESS") != NULL;
  explore_test test = test_of(of, random ? random_bounds : few || more ? orders : orders_of_three);
  const clock_t began = clock();
  const reached none = {0, 0, 0};
  explore_result result, second = {0};
  bool good;
  *so_far = none;
  result = random ? explore_random(&test, 1, schedules, 3) : explore_all(&test, 0);
  good =
      !result.failed && (random || result.exhausted) && so_far->hit && so_far->miss && so_far->poll;
  printf("%-24s %8llu", of->name, (unsigned long long)result.schedules);
  if (good && !random) {
    test.bounds = few || more ? failures : failures_of_three;
    second = explore_all(&test, 0);
    good = second.exhausted && !second.failed;
    printf(" + %6llu", (unsigned long long)second.schedules);
  }
  printf(" schedules, %4llu steps, %s%s%s%s, %.1f s\n",
         (unsigned long long)(result.steps > second.steps ? result.steps : second.steps),
         random ? "random"
         : good ? "exhausted"
                : "NOT exhausted",
         so_far->hit ? ", hit" : "", so_far->miss ? ", miss" : "", so_far->poll ? ", poll" : "",
         (double)(clock() - began) / CLOCKS_PER_SEC);
  if (second.failed) result = second;
  if (result.failed)
    printf("  FAILED: %s\n  again: %s --replay %s %s\n", result.message, self, of->name,
           result.decisions);
  fflush(stdout);
  return good;
}

/* Does giving schedules up lose any end? */
static bool compare(const scenario *of) {
  explore_test test = test_of(of, orders);
  explore_result with = explore_all(&test, 0), without;
  bool same;
  test.gives_nothing_up = true;
  without = explore_all(&test, 0);
  same = with.exhausted && without.exhausted && with.ends == without.ends &&
         with.ends_digest == without.ends_digest;
  printf("%-24s %8llu of %8llu schedules, %llu of %llu ends%s\n", of->name,
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
  const char *stress = getenv("HOSTCACHE_STRESS"), *only = NULL, *replayed = NULL;
  uint64_t schedules = 1000, failed = 0;
  unsigned threads = 0, part = 1, parts = 1;
  bool random = false, compares = false;
  size_t i, chosen = 0, count = 0;
  int at;
  for (at = 1; at < argc; at++) {
    if (strcmp(argv[at], "--random") == 0)
      random = true;
    else if (strcmp(argv[at], "--threads") == 0 && at + 1 < argc)
      threads = (unsigned)atoi(argv[++at]);
    else if (strcmp(argv[at], "--part") == 0 && at + 1 < argc) {
      if (sscanf(argv[++at], "%u/%u", &part, &parts) != 2 || part < 1 || part > parts) return 1;
    } else if (strcmp(argv[at], "--only") == 0 && at + 1 < argc)
      only = argv[++at];
    else if (strcmp(argv[at], "--compare") == 0 && at + 1 < argc) {
      only = argv[++at];
      compares = true;
    } else if (strcmp(argv[at], "--replay") == 0 && at + 2 < argc) {
      only = argv[++at];
      replayed = argv[++at];
    }
  }
  if (stress && strtoull(stress, NULL, 10) > schedules * 500)
    schedules = strtoull(stress, NULL, 10) / 500;
  so_far = malloc(sizeof *so_far);
  state = malloc(sizeof *state);
  if (!so_far || !state) return 1;
  add_scenarios();
  for (i = 0; i < scenario_count; i++) {
    if (only && !is_listed(only, scenarios[i].name)) continue;
    if (threads && scenarios[i].threads != threads) continue;
    if (scenarios[i].is_long && !only && !random && !stress) continue;
    if (chosen++ % parts != part - 1) continue;
    count++;
    if (replayed) {
      const explore_test test = test_of(&scenarios[i], random_bounds);
      const explore_result result = explore_replay(&test, replayed);
      printf("%s: %s\n", only, result.failed ? result.message : "no failure");
      return result.failed;
    }
    failed += compares ? !compare(&scenarios[i])
                       : !explore_one(&scenarios[i], argv[0], random, schedules);
  }
  printf("%zu scenarios, %llu failed\n", count, (unsigned long long)failed);
  return failed > 0 || count == 0;
}

#endif
