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
#define PART ((size_t)512)

typedef struct fixture {
  device device;
  pinned *cache;
  char *first; /* of a segment with room for four blocks; the last one stays active */
  char *stays;
  pinned_block *block;     /* the one that stays */
  char *parts[2];          /* of which the cache knows nothing before */
  void *all[DEVICE_UNITS]; /* what else is active, or put aside */
  unsigned count;
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

static void create(fixture *f, size_t class_max, size_t thread_cache) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  config.segment_bytes = 4 * BLOCK;
  config.class_max_bytes = class_max;
  config.thread_cache_bytes = thread_cache;
  explore_assert(pinned_create(&f->cache, &config, &f->device) == HOSTCACHE_OK);
}

/* Three blocks' worth of one ready range, and behind it the block that stays. */
static void before(void *user) {
  fixture *f = user;
  glue_begin();
  create(f, 1, 0); /* what is freed becomes one with its neighbours at once */
  f->first = take(f, 3 * BLOCK);
  f->stays = take(f, BLOCK);
  f->block = pinned_find(f->cache, f->stays);
  give(f, f->first);
}

/* A cache that has nothing yet; and the address of what it will get first. */
static void before_all(void *user) {
  fixture *f = user;
  before(f);
  give(f, f->stays);
  explore_assert(pinned_destroy(f->cache) == HOSTCACHE_OK);
  create(f, 0, 0);
}

/* All the records for blocks that the cache has are taken: it gets more for the next. */
static void before_more(void *user) {
  fixture *f = user;
  before_all(f);
  do f->all[f->count++] = take(f, PART);
  while (f->cache->spares.block_count > 0);
  f->first = (char *)f->all[f->count - 1] + PART;
}

/* Three blocks' worth that are ready, and two records, of which each second step takes the same. */
static void before_few(void *user) {
  fixture *f = user;
  glue_begin();
  create(f, 0, HOSTCACHE_NONE);
  f->stays = take(f, BLOCK);
  f->first = f->stays + BLOCK;
  while (f->cache->spares.block_count > 2)
    f->all[f->count++] = pinned_i_spare_take(&f->cache->spares);
}

static void after(void *user) {
  fixture *f = user;
  give(f, f->stays);
  explore_assert(pinned_check(f->cache) == HOSTCACHE_OK);
  explore_assert(pinned_destroy(f->cache) == HOSTCACHE_OK);
  device_expect_empty(&f->device);
  explore_assert(explore_live() == 0);
}

/* Splits the range, makes it whole, and splits it again. Nothing of it but the worth of two blocks
   is ever in an active block, of which the second comes into the index and leaves it. */
static void split_and_make_whole(fixture *f) {
  int i;
  for (i = 0; i < 2; i++) {
    char *ptr = take(f, BLOCK);
    explore_assert(ptr == f->first);
    give(f, take(f, BLOCK));
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
    explore_assert(pinned_find(f->cache, f->first + 2 * BLOCK) == NULL);
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

static void take_the_first(fixture *f) {
  f->parts[0] = take(f, PART);
  f->parts[1] = take(f, PART);
  explore_assert(f->parts[0] == f->first && f->parts[1] == f->first + PART);
}

static void give_the_first(void *user) {
  fixture *f = user;
  while (f->count > 0) give(f, f->all[--f->count]);
  give(f, f->parts[0]);
  f->stays = f->parts[1];
  after(f);
}

/* What another thread knows of is in the index, or not yet: but then all of it. */
static void seek_the_first(void *user, unsigned id) {
  fixture *f = user;
  unsigned part;
  if (id == 1) {
    take_the_first(f);
    return;
  }
  for (part = 0; part < 2; part++) {
    pinned_block *found = pinned_find(f->cache, f->first + part * PART + PART - 1);
    explore_assert(!found || pinned_block_ptr(found) == f->first + part * PART);
  }
}

static void seek_the_start_of_the_first(void *user, unsigned id) {
  fixture *f = user;
  const uint64_t start = (uintptr_t)f->first + PART;
  pinned_block *found;
  if (id == 1) {
    take_the_first(f);
    return;
  }
  found = hostcache_index_start(&f->cache->index, &f->leaves, start);
  explore_assert(!found || pinned_block_ptr(found) == f->first + PART);
}

static void give_the_records(void *user) {
  fixture *f = user;
  while (f->count > 0) pinned_i_spare_append(&f->cache->spares, f->all[--f->count]);
  give(f, f->parts[0]);
  give(f, f->parts[1]);
  after(f);
}

/* A record stands for two blocks' worth, and then for what was the second of them. What lies behind
   that is in no block; but it is in one as large as the record's first and begins as its second. */
static void seek_behind_a_record_that_moves(void *user, unsigned id) {
  fixture *f = user;
  if (id == 1) {
    f->parts[0] = take(f, BLOCK);
    give(f, take(f, 2 * BLOCK));
    give(f, f->parts[0]);
    give(f, take(f, BLOCK)); /* with the other record */
    f->parts[0] = take(f, 2 * BLOCK);
    f->parts[1] = take(f, BLOCK);
    explore_assert(f->parts[1] == f->first + 2 * BLOCK);
  } else {
    explore_assert(pinned_find(f->cache, f->first + 3 * BLOCK) == NULL);
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
  exhaust_within("behind a record that moves", 2, before_few, seek_behind_a_record_that_moves,
                 give_the_records, &state, sizeof state, (explore_bounds){{3, 2, 0, 0}, 5});
}

static void explore_new(const char *name, void (*begin)(void *user),
                        void (*thread)(void *user, unsigned id)) {
  exhaust(name, 2, begin, thread, give_the_first, &state, sizeof state, 2);
}

static void what_was_never_there_is_found_whole_or_not_at_all(void **unused) {
  (void)unused;
  explore_new("the first of all", before_all, seek_the_first);
  explore_new("the start of the first of all", before_all, seek_the_start_of_the_first);
  explore_new("the first of more records", before_more, seek_the_first);
  explore_new("the start of the first of more records", before_more, seek_the_start_of_the_first);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_stays_active_is_always_found),
    cmocka_unit_test(what_is_in_no_active_block_is_never_found),
    cmocka_unit_test(what_was_never_there_is_found_whole_or_not_at_all),
};

EXHAUST_MAIN("find", tests)
