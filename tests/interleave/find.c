/* find.c - a block is found by address, without a lock, while another thread changes everything
   around it.

   What stays active is always found; what lies in no active block never is, however the record
   that is looked at changes places meanwhile. A search is a few loads, so three preemptions can be
   afforded: between two of them the other thread can end one life of a record and begin the next.
   */

#include "hooks_memory.h"

#define HC_NAME pinned
#define HC_NO_STREAMS
#define HC_IMPLEMENT
#include "hostcache.h"

#include "exhaust.h"

#define BLOCK ((size_t)4096)

typedef struct fixture {
  device device;
  pinned *cache;
  char *first; /* of a segment with room for four blocks; the last one stays active */
  char *stays;
  pinned_block *block;     /* the one that stays */
  hostcache_leaves leaves; /* of the thread that seeks */
} fixture;

static fixture state;

static void *take(fixture *f, size_t size) {
  void *ptr;
  explore_assert(pinned_alloc(f->cache, size, &ptr) == HOSTCACHE_OK);
  return ptr;
}

static void give(fixture *f, void *ptr) {
  explore_assert(pinned_free(f->cache, ptr) == HOSTCACHE_OK);
}

/* Three blocks' worth of one ready range, and behind it the block that stays. */
static void before(void *user) {
  fixture *f = user;
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  glue_begin();
  config.segment_bytes = 4 * BLOCK;
  config.class_max_bytes = 1; /* what is freed becomes one with its neighbours at once */
  explore_assert(pinned_create(&f->cache, &config, &f->device) == HOSTCACHE_OK);
  f->first = take(f, 3 * BLOCK);
  f->stays = take(f, BLOCK);
  f->block = pinned_find(f->cache, f->stays);
  give(f, f->first);
}

static void after(void *user) {
  fixture *f = user;
  give(f, f->stays);
  explore_assert(pinned_check(f->cache) == HOSTCACHE_OK);
  explore_assert(pinned_destroy(f->cache) == HOSTCACHE_OK);
  device_expect_empty(&f->device);
  explore_assert(explore_live() == 0);
}

/* Splits the range, makes it whole, and splits it again. Nothing of it but the first block's worth
   is ever in an active block. */
static void split_and_make_whole(fixture *f) {
  int i;
  for (i = 0; i < 2; i++) {
    char *ptr = take(f, BLOCK);
    explore_assert(ptr == f->first);
    give(f, ptr);
  }
}

static void seek_what_stays(void *user, unsigned id) {
  fixture *f = user;
  if (id == 1)
    split_and_make_whole(f);
  else
    explore_assert(pinned_find(f->cache, f->stays + BLOCK - 1) == f->block);
}

static void seek_what_is_in_no_block(void *user, unsigned id) {
  fixture *f = user;
  if (id == 1)
    split_and_make_whole(f);
  else
    explore_assert(pinned_find(f->cache, f->first + BLOCK) == NULL);
}

/* It is found or not, and never as what it was before, or what stands beside it. */
static void seek_what_comes_and_goes(void *user, unsigned id) {
  fixture *f = user;
  if (id == 1) {
    give(f, take(f, BLOCK));
    give(f, take(f, 2 * BLOCK));
  } else {
    explore_assert(pinned_find(f->cache, f->first) != f->block);
  }
}

/* By its first byte: once by what the index has, and once by what the thread remembers. */
static void seek_the_start_of_what_stays(void *user, unsigned id) {
  fixture *f = user;
  const uint64_t start = (uintptr_t)f->stays;
  if (id == 1) {
    split_and_make_whole(f);
  } else {
    explore_assert(hostcache_index_start(&f->cache->index, &f->leaves, start) == f->block);
    explore_assert(hostcache_index_start(&f->cache->index, &f->leaves, start) == f->block);
    explore_assert(!hostcache_index_start(&f->cache->index, &f->leaves, start + 512));
  }
}

/* The segment goes back, and the address comes again as another one. */
static void seek_while_segments_come_and_go(void *user, unsigned id) {
  fixture *f = user;
  if (id == 1) {
    give(f, take(f, 8 * BLOCK));
    explore_assert(pinned_empty_cache(f->cache) == HOSTCACHE_OK);
    give(f, take(f, 8 * BLOCK));
  } else {
    explore_assert(pinned_find(f->cache, f->stays) == f->block);
    explore_assert(pinned_find(f->cache, f->stays + 9 * BLOCK) == NULL);
  }
}

static void explore(const char *name, void (*thread)(void *user, unsigned id)) {
  exhaust(name, 2, before, thread, after, &state, sizeof state, 3);
}

static void what_stays_active_is_always_found(void **unused) {
  (void)unused;
  explore("what stays", seek_what_stays);
  explore("the start of what stays", seek_the_start_of_what_stays);
  explore("what stays, while segments come and go", seek_while_segments_come_and_go);
}

static void what_is_in_no_active_block_is_never_found(void **unused) {
  (void)unused;
  explore("what is in no block", seek_what_is_in_no_block);
  explore("what comes and goes", seek_what_comes_and_goes);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_stays_active_is_always_found),
    cmocka_unit_test(what_is_in_no_active_block_is_never_found),
};

EXHAUST_MAIN("find", tests)
