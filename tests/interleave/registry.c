/* registry.c - allocators are set, found and taken out by several threads at once.

   Whoever finds one finds all of it, and of two that are set the one of higher priority stays. */

#include "hooks_memory.h"

#define HOSTCACHE_REGISTRY_API static /* in the fuzzer of schedules owners.c emits one, too */
#define HOSTCACHE_REGISTRY_IMPLEMENTATION
#define HC_NAME pinned
#define HC_NO_STREAMS
#define HC_HOST_ALLOCATOR
#define HC_IMPLEMENT
#include "hostcache.h"

#include "exhaust.h"

enum { TYPE = 1 };

typedef struct fixture {
  hostcache_allocator of[2];
} fixture;

static fixture state;

static void before(void *user) {
  (void)user;
  glue_begin();
}

/* One thread's own, which nobody else has seen so far. */
static void set(fixture *f, unsigned id) {
  f->of[id].priority = (int)id + 1;
  f->of[id].cache = f;
  explore_assert(hostcache_set_host_allocator(TYPE, &f->of[id]) != NULL);
}

static void set_and_get(void *user, unsigned id) {
  const hostcache_allocator *found;
  if (id == 0) {
    set(user, 0);
    return;
  }
  found = hostcache_get_host_allocator(TYPE);
  explore_assert(!found || (found->cache == user && found->priority == 1));
}

static void take_out_the_first(void *user) {
  fixture *f = user;
  explore_assert(hostcache_remove_host_allocator(TYPE, &f->of[0]) == 1);
}

static void set_and_set(void *user, unsigned id) { set(user, id); }

static void take_out_the_second(void *user) {
  fixture *f = user;
  explore_assert(hostcache_remove_host_allocator(TYPE, &f->of[1]) == 1);
}

static void whoever_finds_an_allocator_finds_all_of_it(void **unused) {
  (void)unused;
  exhaust("set and get", 2, before, set_and_get, take_out_the_first, &state, sizeof state, 3);
}

static void the_higher_priority_stays(void **unused) {
  (void)unused;
  exhaust("set and set", 2, before, set_and_set, take_out_the_second, &state, sizeof state, 3);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(whoever_finds_an_allocator_finds_all_of_it),
    cmocka_unit_test(the_higher_priority_stays),
};

EXHAUST_MAIN("registry", tests)
