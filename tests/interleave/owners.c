/* owners.c - caches of one name free each other's blocks, while one of them ends.

   A block is freed into the cache that it is of, whichever of them is asked, once; what is in none
   is not found, and nobody looks at a cache that is gone: neither who looks through the list of all
   caches while one leaves it, nor who frees a block into one that is about to end.

   And who owns a type of device: of allocators that are registered at once the one of the highest
   priority stays. */

#include "hooks_memory.h"

#define HOSTCACHE_REGISTRY_IMPLEMENTATION
#define HC_NAME tensors
#define HC_HOST_ALLOCATOR
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#define HC_IMPLEMENT
#include "hostcache.h"

#include "exhaust.h"

#define BLOCK ((size_t)512)

enum { ASKED, OWNER, ENDS, CACHES };

typedef struct fixture {
  device device;
  tensors *caches[CACHES]; /* NULL: it has ended */
  void *held[2];           /* of OWNER; NULL: it was freed, or left */
} fixture;

static fixture state;

static void before(void *user) {
  fixture *f = user;
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  int i;
  glue_begin();
  tensors_i_instances = NULL; /* likewise: a schedule that was given up leaves some */
  config.alignment = BLOCK;
  for (i = 0; i < CACHES; i++)
    explore_assert(tensors_create(&f->caches[i], &config, &f->device) == HOSTCACHE_OK);
  for (i = 0; i < 2; i++)
    explore_assert(tensors_alloc(f->caches[OWNER], BLOCK, &f->held[i]) == HOSTCACHE_OK);
}

/* What is freed does not stay. */
static void before_with_nothing_kept(void *user) {
  fixture *f = user;
  before(user);
  explore_assert(tensors_set_max_cached_bytes(f->caches[OWNER], HOSTCACHE_NONE) == HOSTCACHE_OK);
}

static void before_with_one_block(void *user) {
  fixture *f = user;
  before_with_nothing_kept(user);
  explore_assert(tensors_free(f->caches[OWNER], f->held[1]) == HOSTCACHE_OK);
  f->held[1] = NULL;
}

static void after(void *user) {
  fixture *f = user;
  int i;
  for (i = 0; i < 2; i++)
    if (f->held[i]) explore_assert(tensors_free(f->caches[ASKED], f->held[i]) == HOSTCACHE_OK);
  for (i = 0; i < CACHES; i++) {
    if (!f->caches[i]) continue;
    explore_assert(tensors_check(f->caches[i]) == HOSTCACHE_OK);
    explore_assert(tensors_destroy(f->caches[i]) == HOSTCACHE_OK);
  }
  device_expect_empty(&f->device);
  explore_assert(explore_live() == 0);
}

static void free_by_another(fixture *f, int i) {
  explore_assert(tensors_free(f->caches[ASKED], f->held[i]) == HOSTCACHE_OK);
  f->held[i] = NULL;
}

static void end(fixture *f, int which) {
  explore_assert(tensors_destroy(f->caches[which]) == HOSTCACHE_OK);
  f->caches[which] = NULL;
}

static void free_while_one_ends(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0)
    free_by_another(f, 0);
  else if (id == 1)
    end(f, ENDS);
  else
    free_by_another(f, 1);
}

/* Both free the same block, so one of them is told; which of them, nobody can say. */
static void free_twice(void *user, unsigned id) {
  fixture *f = user;
  const hostcache_result result = tensors_free(f->caches[id == 0 ? ASKED : ENDS], f->held[0]);
  if (result == HOSTCACHE_OK) {
    explore_assert(f->held[1]);
    explore_assert(tensors_free(f->caches[OWNER], f->held[1]) == HOSTCACHE_OK);
    f->held[1] = NULL;
  } else {
    explore_assert(result == HOSTCACHE_ERR_DOUBLE_FREE);
  }
}

static void after_two_frees(void *user) {
  fixture *f = user;
  explore_assert(!f->held[1]);
  f->held[0] = NULL;
  after(user);
}

/* It ends, or says that a block is not free yet; in no case is the block freed into nothing. */
static void free_while_the_owner_ends(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    free_by_another(f, 0);
  } else {
    const hostcache_result result = tensors_destroy(f->caches[OWNER]);
    if (result == HOSTCACHE_OK)
      f->caches[OWNER] = NULL;
    else
      explore_assert(result == HOSTCACHE_ERR_BUSY);
  }
}

static void leave_while_one_ends(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    explore_assert(tensors_record_free(NULL, f->held[0]) == HOSTCACHE_OK);
    explore_assert(device_mem_free(&f->device, f->held[0], BLOCK) == DEVICE_DONE);
    f->held[0] = NULL;
  } else if (id == 1) {
    end(f, ENDS);
  } else {
    void *ptr;
    explore_assert(tensors_alloc(f->caches[OWNER], BLOCK, &ptr) == HOSTCACHE_OK);
    explore_assert(tensors_free(f->caches[ASKED], ptr) == HOSTCACHE_OK);
  }
}

/* A new cache comes into the list, of which another one goes. */
static void come_and_go(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    tensors *comes;
    explore_assert(tensors_create(&comes, NULL, &f->device) == HOSTCACHE_OK);
    explore_assert(tensors_destroy(comes) == HOSTCACHE_OK);
  } else if (id == 1) {
    end(f, ENDS);
  } else {
    explore_assert(tensors_free(f->caches[ASKED], f) == HOSTCACHE_ERR_NOT_FOUND);
  }
}

/* Each finds nobody there, or the other. */
enum { TYPE = 3 };

static const hostcache_allocator by_priority[] = {{.priority = 0}, {.priority = 1}};

static void before_with_no_allocator(void *user) {
  (void)user;
  glue_begin();
  hostcache_registry[TYPE] = NULL; /* likewise */
}

static void register_one(void *user, unsigned id) {
  const hostcache_allocator *now = hostcache_set_host_allocator(TYPE, &by_priority[id]);
  (void)user;
  explore_assert(now == &by_priority[id] || now == &by_priority[1]);
}

static void after_two_were_registered(void *user) {
  (void)user;
  explore_assert(hostcache_remove_host_allocator(TYPE, &by_priority[1]) == 1);
  explore_assert(hostcache_get_host_allocator(TYPE) == NULL);
}

static void explore(const char *name, unsigned threads, void (*first)(void *user),
                    void (*thread)(void *user, unsigned id), void (*last)(void *user)) {
  const unsigned preemptions = threads == 2 ? 3 : 2;
  exhaust(name, threads, first, thread, last, &state, sizeof state, preemptions);
}

static void caches_free_each_others_blocks_while_one_ends(void **unused) {
  (void)unused;
  explore("free+free+end", 3, before, free_while_one_ends, after);
  explore("leave+take+end", 3, before, leave_while_one_ends, after);
}

static void a_block_is_freed_once_whoever_is_asked(void **unused) {
  (void)unused;
  explore("free+free", 2, before, free_twice, after_two_frees);
}

static void the_owner_does_not_end_before_a_free_into_it_is_through(void **unused) {
  (void)unused;
  explore("free+end of the owner", 2, before_with_one_block, free_while_the_owner_ends, after);
}

static void caches_come_and_go(void **unused) {
  (void)unused;
  explore("come+go+look", 3, before, come_and_go, after);
}

static void of_allocators_that_are_registered_at_once_the_highest_stays(void **unused) {
  (void)unused;
  explore("register+register", 2, before_with_no_allocator, register_one,
          after_two_were_registered);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(caches_free_each_others_blocks_while_one_ends),
    cmocka_unit_test(a_block_is_freed_once_whoever_is_asked),
    cmocka_unit_test(the_owner_does_not_end_before_a_free_into_it_is_through),
    cmocka_unit_test(caches_come_and_go),
    cmocka_unit_test(of_allocators_that_are_registered_at_once_the_highest_stays),
};

EXHAUST_MAIN("owners", tests)
