/* trace.c - what happens is recorded, and told to a tracker, while threads go on.

   A tracker has heard that a block was freed before it hears that the same memory is handed out
   again or given back, whoever tells it; a history that starts and ends meanwhile has no gap, and
   takes nobody's shortest way for good. */

#include "hooks_memory.h"

#define HC_NAME pinned
#define HC_NO_STREAMS
#define HC_TRACE
#define HC_IMPLEMENT
#include "hostcache.h"

#include "exhaust.h"

#define BLOCK ((size_t)4096)
#define ALL ((size_t)DEVICE_UNITS * DEVICE_UNIT)

enum { MOST_ACTIVE = 8 };

typedef struct fixture {
  device device;
  pinned *cache;
  void *held[2];
  const void *active[MOST_ACTIVE]; /* by the tracker: NULL, or an address that is handed out */
  uint32_t *told;                  /* an atomic: the last entry */
} fixture;

static fixture state;

/* Not watched for races: the tracker's own list needs no lock, as there is no switch point but the
   one before it is looked at, where another thread may be told something first. */
GLUE_UNWATCHED static void follow(void *user, const hostcache_trace *entry) {
  fixture *f = (fixture *)user;
  const void **active = f->active;
  int i;
  hostcache_u32_store_relaxed(f->told, (uint32_t)entry->sequence);
  for (i = 0; i < MOST_ACTIVE && active[i] != entry->ptr; i++) continue;
  explore_note("told: %s of %p", hostcache_action_string(entry->action), entry->ptr);
  if (entry->action == HOSTCACHE_TRACE_ALLOC) {
    if (i < MOST_ACTIVE) explore_fail("%p is handed out, and not known to be free", entry->ptr);
    for (i = 0; active[i]; i++) continue;
    active[i] = entry->ptr;
  } else if (entry->action == HOSTCACHE_TRACE_FREE_COMPLETED) {
    if (i == MOST_ACTIVE) explore_fail("%p is free, and not known to be in use", entry->ptr);
    active[i] = NULL;
  } else if (entry->action == HOSTCACHE_TRACE_SEGMENT_FREE && i < MOST_ACTIVE) {
    explore_fail("%p goes back, and is not known to be free", entry->ptr);
  }
}

static void *take(fixture *f) {
  void *ptr;
  explore_assert(pinned_alloc(f->cache, BLOCK, &ptr) == HOSTCACHE_OK);
  return ptr;
}

static void give(fixture *f, void *ptr) {
  explore_assert(pinned_free(f->cache, ptr) == HOSTCACHE_OK);
}

/* Each thread has a block that is a segment of its own. */
static void before(void *user) {
  fixture *f = user;
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  glue_begin();
  config.segment_bytes = BLOCK;
  config.max_reserved_bytes = ALL;
  explore_assert(pinned_create(&f->cache, &config, &f->device) == HOSTCACHE_OK);
  f->held[0] = take(f);
  f->held[1] = take(f);
}

static void before_with_tracker(void *user) {
  fixture *f = user;
  before(user);
  f->told = explore_malloc(sizeof *f->told);
  *f->told = 0;
  f->active[0] = f->held[0];
  f->active[1] = f->held[1];
  explore_assert(pinned_attach_trace_tracker(f->cache, follow, f) == HOSTCACHE_OK);
}

static void after(void *user) {
  fixture *f = user;
  int i;
  for (i = 0; i < 2; i++)
    if (f->held[i]) give(f, f->held[i]);
  explore_assert(pinned_empty_cache(f->cache) == HOSTCACHE_OK);
  for (i = 0; i < MOST_ACTIVE; i++) explore_assert(!f->active[i]);
  explore_assert(pinned_check(f->cache) == HOSTCACHE_OK);
  explore_assert(pinned_destroy(f->cache) == HOSTCACHE_OK);
  if (f->told) explore_free(f->told);
  device_expect_empty(&f->device);
  explore_assert(explore_live() == 0);
}

static void free_and_take_again(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    give(f, f->held[0]);
    f->held[0] = NULL;
  } else {
    give(f, take(f));
  }
}

static void free_and_give_back(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    give(f, f->held[0]);
    f->held[0] = NULL;
  } else {
    explore_assert(pinned_empty_cache(f->cache) == HOSTCACHE_OK);
  }
}

static void must_rise(void *user, const hostcache_trace *entry) {
  uint64_t *last = (uint64_t *)user;
  explore_assert(*last == 0 || entry->sequence == *last);
  *last = entry->sequence + 1;
}

static void record_for_a_while(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    give(f, f->held[0]);
    f->held[0] = take(f);
  } else {
    uint64_t last = 0;
    explore_assert(pinned_record_history(f->cache, 4, NULL, NULL) == HOSTCACHE_OK);
    explore_assert(pinned_history(f->cache, must_rise, &last) == HOSTCACHE_OK);
    explore_assert(pinned_record_history(f->cache, 0, NULL, NULL) == HOSTCACHE_OK);
  }
}

static void hear(void *user, const hostcache_trace *entry) {
  (void)entry;
  explore_assert(user == &state);
}

static void hear_of_no_memory(void *user, const hostcache_oom *oom) {
  explore_assert(user == &state && oom->requested == 2 * ALL);
}

/* More come that hear of it, which is being told to one already. */
static void listen_from_now_on(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    void *ptr;
    explore_assert(pinned_alloc(f->cache, 2 * ALL, &ptr) == HOSTCACHE_ERR_LIMIT);
  } else {
    if (f->told) explore_assert(pinned_attach_trace_tracker(f->cache, hear, f) == HOSTCACHE_OK);
    explore_assert(pinned_attach_oom_observer(f->cache, hear_of_no_memory, f) == HOSTCACHE_OK);
  }
}

static void explore(const char *name, void (*first)(void *user),
                    void (*thread)(void *user, unsigned id), unsigned preemptions) {
  exhaust(name, 2, first, thread, after, &state, sizeof state, preemptions);
}

static void a_tracker_hears_of_frees_first(void **unused) {
  (void)unused;
  explore("free and take again", before_with_tracker, free_and_take_again, 2);
  explore("free and give back", before_with_tracker, free_and_give_back, 2);
}

static void a_history_starts_and_ends_while_threads_go_on(void **unused) {
  (void)unused;
  explore("record for a while", before, record_for_a_while, 2);
}

static void more_listen_while_others_are_told(void **unused) {
  (void)unused;
  explore("listen from now on", before_with_tracker, listen_from_now_on, 2);
  explore("listen while nobody else does", before, listen_from_now_on, 2);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_tracker_hears_of_frees_first),
    cmocka_unit_test(a_history_starts_and_ends_while_threads_go_on),
    cmocka_unit_test(more_listen_while_others_are_told),
};

EXHAUST_MAIN("trace", tests)
