/* pools.c - private pools come and go, and captures with them, while other threads go on.

   The referee in device.c watches the one rule, and that no hook on events is under way when a
   capture begins, or comes during it. What was used in a capture is not handed out and does not go
   back before its pool is released. In the end all pools are released, check finds nothing, and
   after one empty_cache nothing is reserved. */

#define CACHE_POOLS
#include "cache.h"

#include "exhaust.h"

#define SMALL ((size_t)DEVICE_UNIT)
#define SEGMENT ((size_t)4096)

static const hostcache_pool_id POOL = {1, 1}, OTHER = {1, 2};

typedef struct fixture {
  runs at;       /* must be the first */
  held of_a;     /* marked by A, and in use there */
  held of_pool;  /* which thread 0 has */
  held captured; /* got in a capture, marked by A, and active */
  pinned_checkpoint *was;
  uint8_t is_forgotten, is_open;
} fixture;

static fixture state;

/* ---- before and after ------------------------------------------------------------------------ */

static void before(void *user) {
  fixture *f = user;
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  glue_begin();
  config.segment_bytes = SEGMENT;
  config.on_error = note_error;
  MUST(pinned_create(&f->at.cache, &config, &f->at.device));
  f->of_a = take(&f->at, SMALL);
  mark(&f->at, f->of_a, A);
  MUST(pinned_retain_pool(f->at.cache, POOL));
}

static void before_with_a_block_of_the_pool(void *user) {
  fixture *f = user;
  before(user);
  MUST(pinned_begin_allocate_to_pool(f->at.cache, POOL, NULL, NULL));
  MUST(pinned_release_pool(f->at.cache, POOL)); /* once still */
  f->of_pool = take(&f->at, SMALL);
  device_capture(&f->at.device, true);
  f->captured = take(&f->at, SMALL);
  device_capture(&f->at.device, false);
  MUST(pinned_block_record_stream(f->at.cache, f->captured.block, A));
  MUST(pinned_end_allocate_to_pool(f->at.cache, POOL));
}

static void before_open(void *user) {
  fixture *f = user;
  before(user);
  MUST(pinned_begin_allocate_to_pool(f->at.cache, POOL, NULL, NULL));
  MUST(pinned_release_pool(f->at.cache, POOL));
  f->is_open = 1;
}

static void before_with_a_checkpoint(void *user) {
  fixture *f = user;
  before_open(user);
  f->of_pool = take(&f->at, SMALL);
  MUST(pinned_checkpoint_pool(f->at.cache, POOL, &f->was));
  give(&f->at, &f->of_pool);
  f->of_pool = take(&f->at, 2 * SMALL);
  MUST(pinned_end_allocate_to_pool(f->at.cache, POOL));
  f->is_open = 0;
}

static void after(void *user) {
  fixture *f = user;
  hostcache_stats stats;
  MUST(pinned_check(f->at.cache));
  device_capture(&f->at.device, false);
  if (f->is_open) MUST(pinned_end_allocate_to_pool(f->at.cache, POOL));
  give(&f->at, &f->of_a);
  give(&f->at, &f->of_pool);
  give(&f->at, &f->captured);
  while (pinned_pool_use_count(f->at.cache, POOL)) MUST(pinned_release_pool(f->at.cache, POOL));
  MUST(pinned_check(f->at.cache));
  device_finish(&f->at.device);
  poll(&f->at);
  MUST(pinned_stats(f->at.cache, &stats));
  explore_assert(stats.active.current == 0);
  empty(&f->at);
  MUST(pinned_stats(f->at.cache, &stats));
  explore_assert(stats.reserved_bytes.current == 0); /* nothing of it is another pool's */
  if (pinned_pool_use_count(f->at.cache, OTHER)) MUST(pinned_release_pool(f->at.cache, OTHER));
  MUST(pinned_check(f->at.cache));
  pinned_checkpoint_free(f->was);
  MUST(pinned_destroy(f->at.cache));
  device_expect_empty(&f->at.device);
  explore_assert(explore_live() == 0);
}

/* ---- what threads do ------------------------------------------------------------------------- */

/* What is used in a capture, and what is not. */
static void captures(fixture *f) {
  held used, unused;
  MUST(pinned_begin_allocate_to_pool(f->at.cache, POOL, NULL, NULL));
  device_capture(&f->at.device, true);
  used = take(&f->at, SMALL);
  MUST(pinned_block_record_stream(f->at.cache, used.block, B));
  give(&f->at, &used);
  unused = take(&f->at, SMALL);
  explore_assert(unused.ptr != used.ptr);
  give(&f->at, &unused);
  device_capture(&f->at.device, false);
  MUST(pinned_end_allocate_to_pool(f->at.cache, POOL));
  MUST(pinned_release_pool(f->at.cache, POOL));
}

static void forgets(fixture *f) {
  const hostcache_result result = pinned_forget_stream(f->at.cache, A);
  expect("forget_stream", result, ONE(HOSTCACHE_ERR_BUSY), 0);
  if (result != HOSTCACHE_OK) return;
  device_forget(&f->at.device, A);
}

static void capture_and_free(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    captures(f);
  } else {
    give(&f->at, &f->of_a);
    poll(&f->at);
  }
}

static void capture_and_deferred(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    captures(f);
  } else {
    give_deferred(&f->at, &f->of_a);
    poll(&f->at);
  }
}

static void capture_and_forget(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0)
    captures(f);
  else
    forgets(f);
}

/* What is pending is not waited for while a stream may be captured: that goes on to the end. */
static void capture_and_synchronize(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    MUST(pinned_begin_allocate_to_pool(f->at.cache, POOL, NULL, NULL));
    device_capture(&f->at.device, true);
    f->is_open = 1;
  } else {
    give(&f->at, &f->of_a);
    expect("synchronize", pinned_synchronize(f->at.cache, UINT64_MAX), ONE(HOSTCACHE_ERR_BUSY), 0);
  }
}

/* What is kept for the pool knows nothing of the handle at its release, in the end. */
static void free_captured_and_forget(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0)
    give(&f->at, &f->captured);
  else
    forgets(f);
}

static void take_and_release(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    held one = take(&f->at, SMALL), two;
    give(&f->at, &one);
    two = take(&f->at, SMALL);
    give(&f->at, &two);
  } else {
    MUST(pinned_end_allocate_to_pool(f->at.cache, POOL));
    f->is_open = 0;
    MUST(pinned_release_pool(f->at.cache, POOL));
  }
}

/* What is got while the pool ends is not of the one that is made then. */
static void take_and_renew(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    held one = take(&f->at, SMALL);
    give(&f->at, &one);
  } else {
    MUST(pinned_end_allocate_to_pool(f->at.cache, POOL));
    f->is_open = 0;
    MUST(pinned_release_pool(f->at.cache, POOL));
    MUST(pinned_retain_pool(f->at.cache, OTHER));
  }
}

static void free_captured_and_release(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    give(&f->at, &f->captured);
    give(&f->at, &f->of_pool);
  } else {
    MUST(pinned_release_pool(f->at.cache, POOL));
  }
}

static void retain_and_release(void *user, unsigned id) {
  fixture *f = user;
  (void)id;
  MUST(pinned_retain_pool(f->at.cache, POOL));
  MUST(pinned_release_pool(f->at.cache, POOL));
}

static void take_and_empty(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    held one = take(&f->at, SMALL);
    give(&f->at, &one);
  } else {
    MUST(pinned_empty_cache_pool(f->at.cache, POOL));
  }
}

static void note_restored(void *user, const hostcache_delta *delta) {
  fixture *f = user;
  const held block = {delta->block, delta->ptr, SMALL};
  if (!delta->created) {
    device_hand_back(&f->at.device, delta->ptr, delta->size);
    return;
  }
  device_hand_out(&f->at.device, delta->ptr, SMALL);
  f->of_pool = block;
}

/* The other thread's free, outside of the pool, and its poll, change nothing of it. */
static void restore_and_free(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0) {
    MUST(pinned_restore_pool(f->at.cache, f->was, note_restored, f));
  } else {
    held one = take(&f->at, SMALL);
    give(&f->at, &f->of_a);
    give(&f->at, &one);
  }
}

static void restore_and_release(void *user, unsigned id) {
  fixture *f = user;
  if (id == 0)
    expect("restore_pool", pinned_restore_pool(f->at.cache, f->was, note_restored, f),
           ONE(HOSTCACHE_ERR_NOT_FOUND), 0);
  else
    MUST(pinned_release_pool(f->at.cache, POOL));
}

/* A preemption, and one event that is not complete when it is asked. */
static const explore_bounds with_one_that_is_pending = {{1, 0, 1, 0}, 2};

/* ---- the tests ------------------------------------------------------------------------------- */

static void explore(const char *name, void (*first)(void *user),
                    void (*thread)(void *user, unsigned id), unsigned preemptions) {
  exhaust(name, 2, first, thread, after, &state, sizeof state, preemptions);
}

static void a_capture_begins_when_no_hook_runs_and_none_comes(void **unused) {
  (void)unused;
  explore("capture and free", before, capture_and_free, 2);
  explore("capture and free_deferred", before, capture_and_deferred, 2);
  explore("capture and forget_stream", before, capture_and_forget, 1);
  exhaust_within("capture and synchronize", 2, before, capture_and_synchronize, after, &state,
                 sizeof state, with_one_that_is_pending);
}

static void a_pool_is_released_while_others_take_and_free(void **unused) {
  (void)unused;
  explore("take and release", before_open, take_and_release, 2);
  explore("take and renew", before_open, take_and_renew, 2);
  explore("take and empty", before_open, take_and_empty, 2);
  explore("free captured and release", before_with_a_block_of_the_pool, free_captured_and_release,
          2);
  explore("free captured and forget_stream", before_with_a_block_of_the_pool,
          free_captured_and_forget, 2);
  explore("retain and release", before, retain_and_release, 2);
}

static void a_pool_is_put_back_while_others_go_on(void **unused) {
  (void)unused;
  explore("restore and free", before_with_a_checkpoint, restore_and_free, 2);
  explore("restore and release", before_with_a_checkpoint, restore_and_release, 2);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(a_capture_begins_when_no_hook_runs_and_none_comes),
    cmocka_unit_test(a_pool_is_released_while_others_take_and_free),
    cmocka_unit_test(a_pool_is_put_back_while_others_go_on),
};

EXHAUST_MAIN("pools", tests)
