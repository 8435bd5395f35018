/* stocks.c - tests section 10 of the header: what a thread has in stock, and trades with others.

   Promises (sections 5, 6 and 9 of the contract): a hit and a free without uses take no lock and
   call no hook and no malloc; whoever needs memory, or gives it back, reaches the stocks of threads
   that sleep, and those of threads that have ended; a stock is bounded, and so is what is kept idle
   in all; figures are exact when all is quiet, and a peak is not below the true one; a block that
   is in a stock is as free as any other; a cache works where a thread can have no stock.

   The rig's own config has segments so small that no block is a part of one, and so none is ever in
   a stock: these tests have shared segments. */

#include "sim/below.h"

#define HC_NAME pinned
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE pinned
#include "sim/rig.h"

#include "life/life.h"

#include <errno.h>
#include <semaphore.h>
#include <time.h>

/* Shared segments of 2 MiB. */
static void stock(pinned_rig *rig, size_t thread_cache_bytes) {
  hostcache_config config = pinned_rig_config(rig);
  config.segment_bytes = 0;
  config.thread_cache_bytes = thread_cache_bytes;
  pinned_rig_configure(rig, config);
}

static int open_with_stocks(void **state) {
  (void)pinned_rig_setup(state);
  stock(*state, 0);
  return 0;
}

static int64_t reserved(pinned_rig *rig) { return pinned_rig_stats(rig).reserved_bytes.current; }

/* For threads, which must not use cmocka's assertions. */
static void *get(pinned *cache, size_t size) {
  void *ptr = NULL;
  expect_or_abort(pinned_alloc(cache, size, &ptr) == HOSTCACHE_OK && ptr != NULL);
  return ptr;
}

static void put(pinned *cache, void *ptr) {
  expect_or_abort(pinned_free(cache, ptr) == HOSTCACHE_OK);
}

static void get_and_put(pinned *cache, size_t size, size_t count) {
  void *blocks[64];
  size_t i;
  expect_or_abort(count <= COUNT_OF(blocks));
  for (i = 0; i < count; i++) blocks[i] = get(cache, size);
  for (i = 0; i < count; i++) put(cache, blocks[i]);
}

static pthread_t start(void *(*body)(void *), void *argument) {
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, body, argument), 0);
  return thread;
}

static void join(pthread_t thread) { assert_int_equal(pthread_join(thread, NULL), 0); }

/* What all stocks and shared bins hold. */
static size_t stocked_bytes(pinned_rig *rig) {
  struct pinned_i_thread *thread;
  size_t bytes = rig->cache->binned_bytes;
  for (thread = pinned_i_threads(rig->cache); thread != NULL; thread = thread->next)
    bytes += thread->stock_bytes;
  return bytes;
}

/* ---- the hot path ---------------------------------------------------------------------------- */

typedef struct
    holder { /* a thread that holds every lock, until it is told to stop or waits in vain */
  pinned *cache;
  struct pinned_i_thread *other; /* the thread whose lock is among them */
  meeting meeting;
  bool in_vain;
} holder;

static void *hold_every_lock(void *argument) {
  holder *h = (holder *)argument;
  struct timespec until;
  hostcache_lock(&hostcache_guests_lock);
  hostcache_lock(&h->cache->threads_lock);
  hostcache_lock(&h->other->lock);
  hostcache_lock(&h->cache->common.lock);
  hostcache_lock(&h->cache->streams_lock);
  hostcache_lock(&h->cache->segments_lock);
  reach(&h->meeting, 1);
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 30;
  pthread_mutex_lock(&h->meeting.lock);
  while (h->meeting.step < 2 && !h->in_vain)
    h->in_vain = pthread_cond_timedwait(&h->meeting.changed, &h->meeting.lock, &until) == ETIMEDOUT;
  pthread_mutex_unlock(&h->meeting.lock);
  hostcache_unlock(&h->cache->segments_lock);
  hostcache_unlock(&h->cache->streams_lock);
  hostcache_unlock(&h->cache->common.lock);
  hostcache_unlock(&h->other->lock);
  hostcache_unlock(&h->cache->threads_lock);
  hostcache_unlock(&hostcache_guests_lock);
  return NULL;
}

/* The first four streams, which this thread knows from now on. */
static void mark_by_four_streams(pinned_rig *rig, void *ptr) {
  sim_stream stream;
  for (stream = 1; stream <= 4; stream++) assert_ok(pinned_record_stream(rig->cache, ptr, stream));
}

static void a_hit_a_mark_and_a_free_take_no_lock_and_call_no_hook_and_no_malloc(void **state) {
  pinned_rig *rig = *state;
  holder h = {rig->cache, NULL, MEETING_INIT, false};
  pinned_block *block;
  uint64_t hooks, mallocs;
  void *ptr, *marked;
  pthread_t thread;
  int i;
  get_and_put(rig->cache, 64 * KIB, 4);
  marked = get(rig->cache, 64 * KIB);
  mark_by_four_streams(rig, marked);
  put(rig->cache, marked);
  marked = get(rig->cache, 4 * KIB);
  h.other = pinned_i_here(rig->cache);
  assert_ptr_not_equal(h.other, &rig->cache->common);
  hooks = sim_calls(&rig->device, SIM_EVERY_HOOK);
  mallocs = atomic_load(&below.calls);
  thread = start(hold_every_lock, &h);
  await(&h.meeting, 1);
  for (i = 0; i < 100; i++) {
    assert_ok(pinned_alloc(rig->cache, 64 * KIB - (size_t)i, &ptr));
    assert_ok(pinned_free(rig->cache, ptr));
    assert_ok(pinned_block_alloc(rig->cache, 64 * KIB, &block));
    assert_ok(pinned_block_free(rig->cache, block));
    mark_by_four_streams(rig, marked);
  }
  reach(&h.meeting, 2);
  join(thread);
  assert_false(h.in_vain);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), hooks);
  assert_int_equal(atomic_load(&below.calls), mallocs);
  put(rig->cache, marked);
}

/* That they take no lock is for streams that the thread remembers: two of a place, and of three
   that share one the last two. */
static void of_streams_that_share_a_place_a_thread_remembers_the_last_two(void **state) {
  pinned_rig *rig = *state;
  void *ptr = get(rig->cache, 64 * KIB);
  sim_stream sharing[3], stream = -1, other;
  const struct pinned_i_thread *own = pinned_i_here(rig->cache);
  size_t count = 0, i;
  while (count < COUNT_OF(sharing)) {
    assert_in_range(++stream, 0, SIM_STREAMS - 1);
    for (count = 0, other = stream; other < SIM_STREAMS && count < COUNT_OF(sharing); other++)
      if (pinned_i_known_place(other) == pinned_i_known_place(stream)) sharing[count++] = other;
  }
  for (i = 0; i < COUNT_OF(sharing); i++)
    assert_ok(pinned_record_stream(rig->cache, ptr, sharing[i]));
  assert_non_null(pinned_i_lane_known(own, sharing[1]));
  assert_non_null(pinned_i_lane_known(own, sharing[2]));
  put(rig->cache, ptr);
}

/* Of the handles below 2^31 this is the first whose hash is as good as the highest. */
static void the_highest_hash_has_a_place_too(void **state) {
  const pinned_rig *rig = *state;
  assert_in_range(pinned_i_known_place(39088169), 0, COUNT_OF(rig->cache->common.known) - 1);
}

static void what_was_freed_last_is_had_first_and_others_do_not_get_it(void **state) {
  pinned_rig *rig = *state;
  void *blocks[8];
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, 64 * KIB);
  for (i = 0; i < COUNT_OF(blocks); i++) pinned_rig_give(rig, blocks[i]);
  for (i = COUNT_OF(blocks); i > 0; i--)
    assert_ptr_equal(pinned_rig_take(rig, 61 * KIB), blocks[i - 1]);
}

/* ---- threads that sleep ---------------------------------------------------------------------- */

enum { SLEEPERS = 4 };

typedef struct bed { /* four threads that have a stock each, and are blocked */
  pinned_rig *rig;
  pthread_mutex_t mutex; /* held by the test */
  sem_t semaphore, ready;
  pthread_cond_t never;
  pthread_t threads[SLEEPERS];
  atomic_int next;
  bool over; /* guarded by `mutex` */
} bed;

static void *sleep_with_a_stock(void *argument) {
  bed *b = (bed *)argument;
  const int number = atomic_fetch_add(&b->next, 1);
  size_t size;
  for (size = 512; size <= 256 * KIB; size *= 2) get_and_put(b->rig->cache, size + size / 4, 3);
  sem_post(&b->ready);
  if (number % 2 == 0) {
    while (sem_wait(&b->semaphore) != 0) continue;
  } else {
    pthread_mutex_lock(&b->mutex);
    while (!b->over) pthread_cond_wait(&b->never, &b->mutex);
    pthread_mutex_unlock(&b->mutex);
  }
  return NULL;
}

static void put_to_bed(bed *b, pinned_rig *rig) {
  int i;
  b->rig = rig;
  b->over = false;
  atomic_init(&b->next, 0);
  pthread_mutex_init(&b->mutex, NULL);
  pthread_cond_init(&b->never, NULL);
  sem_init(&b->semaphore, 0, 0);
  sem_init(&b->ready, 0, 0);
  for (i = 0; i < SLEEPERS; i++) b->threads[i] = start(sleep_with_a_stock, b);
  for (i = 0; i < SLEEPERS; i++)
    while (sem_wait(&b->ready) != 0) continue;
  assert_true(stocked_bytes(rig) > 0);
}

static void wake_up(bed *b) {
  int i;
  pthread_mutex_lock(&b->mutex);
  b->over = true;
  pthread_cond_broadcast(&b->never);
  pthread_mutex_unlock(&b->mutex);
  for (i = 0; i < SLEEPERS; i++) sem_post(&b->semaphore);
  for (i = 0; i < SLEEPERS; i++) join(b->threads[i]);
  sem_destroy(&b->semaphore);
  sem_destroy(&b->ready);
  pthread_cond_destroy(&b->never);
  pthread_mutex_destroy(&b->mutex);
}

static void empty_cache_reaches_the_stocks_of_threads_that_sleep(void **state) {
  bed b;
  put_to_bed(&b, *state);
  assert_ok(pinned_empty_cache(b.rig->cache));
  assert_int_equal(reserved(b.rig), 0);
  pinned_rig_check(b.rig);
  wake_up(&b);
}

static void trim_reaches_the_stocks_of_threads_that_sleep(void **state) {
  bed b;
  put_to_bed(&b, *state);
  assert_ok(pinned_trim(b.rig->cache, 2 * MIB));
  assert_in_range(reserved(b.rig), 0, 2 * MIB);
  assert_ok(pinned_trim(b.rig->cache, 0));
  assert_int_equal(reserved(b.rig), 0);
  wake_up(&b);
}

/* What was in a stock counts as idle from when it has left it, which the first call sees to. */
static void trim_idle_reaches_the_stocks_of_threads_that_sleep(void **state) {
  bed b;
  put_to_bed(&b, *state);
  assert_ok(pinned_trim_idle(b.rig->cache, 1000000));
  assert_int_equal(stocked_bytes(b.rig), 0);
  atomic_fetch_add(&below.now_ns, 1000000);
  assert_ok(pinned_trim_idle(b.rig->cache, 1000000));
  assert_int_equal(reserved(b.rig), 0);
  wake_up(&b);
}

static void a_bound_that_is_lowered_reaches_the_stocks_of_threads_that_sleep(void **state) {
  bed b;
  put_to_bed(&b, *state);
  assert_ok(pinned_set_max_cached_bytes(b.rig->cache, HOSTCACHE_NONE));
  assert_int_equal(reserved(b.rig), 0);
  assert_ok(pinned_set_max_cached_bytes(b.rig->cache, 0));
  wake_up(&b);
  put_to_bed(&b, *state);
  assert_ok(pinned_set_max_reserved_bytes(b.rig->cache, 1));
  assert_int_equal(reserved(b.rig), 0);
  assert_ok(pinned_set_max_reserved_bytes(b.rig->cache, 0));
  wake_up(&b);
}

/* What is reserved is all in the stocks of others, so only these can make room. */
static void an_allocation_takes_from_threads_that_sleep_before_it_passes_the_cap(void **state) {
  pinned_rig *rig = *state;
  int64_t before;
  uint64_t calls;
  void *ptr;
  bed b;
  put_to_bed(&b, rig);
  before = reserved(rig);
  assert_ok(pinned_set_max_reserved_bytes(rig->cache, (size_t)before + 1));
  assert_int_equal(reserved(rig), before);
  assert_ok(pinned_alloc(rig->cache, (size_t)before, &ptr)); /* one segment, in place of all */
  assert_ok(pinned_free(rig->cache, ptr));
  wake_up(&b);

  assert_ok(pinned_set_max_reserved_bytes(rig->cache, 0));
  assert_ok(pinned_empty_cache(rig->cache));
  put_to_bed(&b, rig);
  rig->device.memory_limit = (size_t)reserved(rig) + PAGE;
  calls = sim_calls(&rig->device, SIM_ONLY(SIM_MEM_ALLOC));
  assert_ok(pinned_alloc(rig->cache, rig->device.memory_limit, &ptr));
  assert_true(sim_calls(&rig->device, SIM_ONLY(SIM_MEM_ALLOC)) > calls);
  assert_ok(pinned_free(rig->cache, ptr));
  wake_up(&b);
}

/* Small blocks of others' stocks, made one again, serve a larger request: without a hook. */
static void what_others_have_in_stock_is_used_before_more_is_got(void **state) {
  pinned_rig *rig = *state;
  uint64_t calls;
  void *ptr;
  bed b;
  put_to_bed(&b, rig);
  calls = sim_calls(&rig->device, SIM_EVERY_HOOK);
  assert_ok(pinned_alloc(rig->cache, MIB, &ptr));
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), calls);
  assert_ok(pinned_free(rig->cache, ptr));
  wake_up(&b);
}

/* ---- threads that end ------------------------------------------------------------------------ */

typedef struct filler {
  pinned_rig *rig;
  uint64_t calls; /* of hooks, when it had done all that it does */
} filler;

static void *fill_a_stock(void *argument) {
  filler *f = (filler *)argument;
  get_and_put(f->rig->cache, 64 * KIB, 24);
  expect_or_abort(stocked_bytes(f->rig) == 24 * 64 * KIB ||
                  pinned_i_threads(f->rig->cache) == NULL);
  f->calls = sim_calls(&f->rig->device, SIM_EVERY_HOOK);
  return NULL;
}

static void a_thread_that_ends_gives_its_stock_back_and_calls_no_hook(void **state) {
  filler f = {*state, 0};
  void *ptr;
  join(start(fill_a_stock, &f));
  assert_int_equal(sim_calls(&f.rig->device, SIM_EVERY_HOOK), f.calls);
  assert_int_equal(stocked_bytes(f.rig), 0);
  assert_int_equal(pinned_rig_stats(f.rig).inactive_split.current, 0); /* it is one again */
  pinned_rig_check(f.rig);
  ptr = pinned_rig_take(f.rig, 2 * MIB);
  assert_int_equal(sim_calls(&f.rig->device, SIM_EVERY_HOOK), f.calls);
  pinned_rig_give(f.rig, ptr);
}

static uint64_t short_threads(void) {
  const char *wanted = getenv("HOSTCACHE_STRESS");
#if defined __SANITIZE_THREAD__ || defined __SANITIZE_ADDRESS__
  const uint64_t usual = 2000;
#else
  const uint64_t usual = 20000;
#endif
  const uint64_t threads = wanted != NULL && *wanted != '\0' ? strtoull(wanted, NULL, 0) : usual;
  return threads < 100000 ? threads : 100000;
}

static void *live_shortly(void *argument) {
  pinned_rig *rig = (pinned_rig *)argument;
  void *ptr;
  get_and_put(rig->cache, 8 * KIB, 8);
  ptr = get(rig->cache, 8 * KIB);
  expect_or_abort(pinned_record_stream(rig->cache, ptr, 1) == HOSTCACHE_OK);
  put(rig->cache, ptr);
  return NULL;
}

static void many_short_threads_leave_memory_as_it_was(void **state) {
  const uint64_t threads = short_threads();
  pinned_rig *rig = *state;
  int64_t held = 0;
  long long live = 0;
  uint64_t i;
  rig->device.eager = true;
  for (i = 0; i < threads; i++) {
    if (i == 100) {
      held = reserved(rig);
      live = atomic_load(&below.live);
    }
    join(start(live_shortly, rig));
  }
  assert_int_equal(reserved(rig), held);
  assert_int_equal(atomic_load(&below.live), live);
  assert_int_equal(pinned_rig_stats(rig).segment.peak, 1);
  assert_int_equal(pinned_rig_stats(rig).allocation.allocated, threads * 9);
  assert_int_equal(pinned_rig_stats(rig).allocation.freed, threads * 9);
  assert_ok(pinned_empty_cache(rig->cache));
  assert_int_equal(reserved(rig), 0);
}

/* ---- one gets, another frees ----------------------------------------------------------------- */

typedef struct belt { /* from the one to the other, as many blocks as it has places */
  pinned_rig *rig;
  void *places[32];
  sem_t empty, full;
  int rounds;
} belt;

static void *free_what_comes(void *argument) {
  belt *b = (belt *)argument;
  int i;
  for (i = 0; i < b->rounds; i++) {
    while (sem_wait(&b->full) != 0) continue;
    put(b->rig->cache, b->places[(size_t)i % COUNT_OF(b->places)]);
    sem_post(&b->empty);
  }
  return NULL;
}

static void a_thread_that_only_frees_what_another_got_piles_up_nothing(void **state) {
  enum { STOCK = 1024 * 1024 };
  pinned_rig *rig = *state;
  pthread_t thread;
  belt b;
  int i;
  stock(rig, STOCK);
  b.rig = rig;
  b.rounds = 20000;
  sem_init(&b.empty, 0, COUNT_OF(b.places));
  sem_init(&b.full, 0, 0);
  thread = start(free_what_comes, &b);
  for (i = 0; i < b.rounds; i++) {
    while (sem_wait(&b.empty) != 0) continue;
    b.places[(size_t)i % COUNT_OF(b.places)] = get(rig->cache, 16 * KIB);
    sem_post(&b.full);
  }
  join(thread);
  /* What is handed out, two stocks, and what the shared bins may hold; in whole segments. */
  assert_in_range(pinned_rig_stats(rig).reserved_bytes.peak, 1, 3 * STOCK + 2 * MIB);
  assert_in_range(stocked_bytes(rig), 0, 3 * STOCK);
  assert_int_equal(pinned_rig_stats(rig).allocation.current, 0);
  pinned_rig_check(rig);
  sem_destroy(&b.empty);
  sem_destroy(&b.full);
}

/* Frees `first` blocks, waits until another thread has wanted memory, and frees the rest. */
typedef struct only_frees {
  pinned *cache;
  void *blocks[64];
  size_t first;
  meeting meeting;
  size_t most;   /* bytes that it ever had in stock */
  size_t binned; /* bytes in the shared bins, at its end */
} only_frees;

static void *free_in_two_parts(void *argument) {
  only_frees *f = (only_frees *)argument;
  size_t i;
  for (i = 0; i < COUNT_OF(f->blocks); i++) {
    size_t stocked;
    if (i == f->first) {
      reach(&f->meeting, 1);
      await(&f->meeting, 2);
    }
    put(f->cache, f->blocks[i]);
    stocked = pinned_i_here(f->cache)->stock_bytes;
    if (stocked > f->most) f->most = stocked;
  }
  f->binned = f->cache->binned_bytes;
  return NULL;
}

/* 64 blocks of 64 KiB, got here, and freed there. */
static only_frees free_elsewhere(pinned_rig *rig, size_t first) {
  only_frees f = {rig->cache, {NULL}, first, MEETING_INIT, 0, 0};
  pthread_t thread;
  size_t i;
  for (i = 0; i < COUNT_OF(f.blocks); i++) f.blocks[i] = get(rig->cache, 64 * KIB);
  thread = start(free_in_two_parts, &f);
  if (first < COUNT_OF(f.blocks)) {
    await(&f.meeting, 1);
    put(rig->cache, get(rig->cache, 8 * MIB)); /* wants what stocks hold, before more is got */
    reach(&f.meeting, 2);
  }
  join(thread);
  pinned_rig_check(rig);
  return f;
}

/* What follows looks at this thread, while others get the blocks that it frees, or want what it has
   in stock. */
typedef struct getter {
  pinned *cache;
  void **blocks;
  size_t count, size;
} getter;

static void *get_for_another(void *argument) {
  getter *g = (getter *)argument;
  size_t i;
  for (i = 0; i < g->count; i++) g->blocks[i] = get(g->cache, g->size);
  return NULL;
}

static void get_elsewhere(pinned_rig *rig, void **blocks, size_t count, size_t size) {
  getter g = {rig->cache, blocks, count, size};
  (void)pinned_i_here(
      rig->cache); /* this thread's record is not to be the one that the other had */
  join(start(get_for_another, &g));
}

static void *want_all(void *argument) {
  expect_or_abort(pinned_empty_cache((pinned *)argument) == HOSTCACHE_OK);
  return NULL;
}

static void want_elsewhere(pinned_rig *rig) { join(start(want_all, rig->cache)); }

/* Frees so many blocks. Gives the most that were in stock after one of these. */
static size_t put_all(pinned_rig *rig, void **blocks, size_t count, size_t size) {
  const struct pinned_i_thread *own = pinned_i_here(rig->cache);
  size_t i, most = 0;
  for (i = 0; i < count; i++) {
    put(rig->cache, blocks[i]);
    if (own->stock_bytes > most) most = own->stock_bytes;
  }
  return most / size;
}

static void a_thread_that_was_held_takes_no_lock_afterwards(void **state) {
  pinned_rig *rig = *state;
  struct pinned_i_thread *own = pinned_i_here(rig->cache);
  want_elsewhere(rig);
  assert_true(pinned_i_raise(own));
  pinned_i_lower(own);
}

/* So a look without a lock tells what it began with from what is there now. Out of a heap, and
   twice out of a stock. */
static void a_blocks_life_says_how_often_it_was_handed_out(void **state) {
  pinned_rig *rig = *state;
  void *neighbour = get(rig->cache, 64 * KIB), *ptr = get(rig->cache, 64 * KIB);
  const pinned_block *block = pinned_find(rig->cache, ptr);
  size_t times;
  for (times = 1; times < 6; times++) {
    assert_int_equal(block->life, times * (HOSTCACHE_STATE_MASK + 1) + HOSTCACHE_ACTIVE);
    put(rig->cache, ptr);
    if (times % 3 == 0) want_elsewhere(rig);
    assert_ptr_equal(get(rig->cache, 64 * KIB), ptr);
  }
  put(rig->cache, ptr);
  put(rig->cache, neighbour);
}

static void a_thread_that_only_frees_passes_each_batch_on(void **state) {
  pinned_rig *rig = *state;
  const only_frees f = free_elsewhere(rig, SIZE_MAX);
  uint64_t calls = sim_calls(&rig->device, SIM_EVERY_HOOK);
  void *blocks[70];
  size_t i;
  assert_int_equal(f.most, 15 * 64 * KIB); /* the 16th is the last of a batch */
  assert_int_equal(f.binned, 2 * MIB);     /* half of what is reserved; the rest is in a heap */
  get_and_put(rig->cache, 64 * KIB, 64);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), calls);
  assert_int_equal(pinned_rig_stats(rig).allocation.peak, 64);
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = get(rig->cache, 64 * KIB);
  assert_int_equal(pinned_rig_stats(rig).allocation.peak, COUNT_OF(blocks));
  (void)put_all(rig, blocks, COUNT_OF(blocks), 64 * KIB);
}

/* The first of a batch has the others in its record where a use of it has what forget_stream
   prepared, which a free with one mark does not look at. */
static void what_was_passed_on_and_is_pending_leaves_no_bookkeeping(void **state) {
  pinned_rig *rig = *state;
  void *blocks[32];
  size_t i;
  get_elsewhere(rig, blocks, COUNT_OF(blocks), 64 * KIB);
  (void)put_all(rig, blocks, COUNT_OF(blocks), 64 * KIB);
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = pinned_rig_take(rig, 64 * KIB);
  for (i = 0; i < COUNT_OF(blocks); i++) {
    (void)pinned_rig_use(rig, blocks[i], 1);
    pinned_rig_give(rig, blocks[i]);
  }
  assert_int_equal(pinned_rig_stats(rig).pending.current, COUNT_OF(blocks));
  rig->left_bytes = sim_live_bytes(&rig->device);
  rig->may_lose_events = true;
  sim_shutdown(&rig->device);
  pinned_abandon(rig->cache);
  rig->cache = NULL; /* what is left is counted when the rig is closed */
}

static void a_thread_that_only_frees_passes_on_fewer_at_a_time_when_others_want_them(void **state) {
  const only_frees f = free_elsewhere(*state, 10);
  assert_int_equal(f.most, 10 * 64 * KIB);
  assert_int_equal(f.binned, 48 * 64 * KIB); /* of the other 54: in batches of 8 */
}

/* A class that the thread gets too may grow by four batches; from when it is only freed. */
static void a_thread_that_got_some_before_keeps_four_batches_more(void **state) {
  pinned_rig *rig = *state;
  void *blocks[200];
  get_elsewhere(rig, blocks, COUNT_OF(blocks), 4 * KIB);
  get_and_put(rig->cache, 4 * KIB, 1);
  get_and_put(rig->cache, 4 * KIB, 1); /* a hit, which no look has noticed so far */
  /* With the second block it is seen that the thread got one. 48 more, and the batch that goes. */
  assert_int_equal(put_all(rig, blocks, COUNT_OF(blocks), 4 * KIB), 2 + 48 + 15);
  pinned_rig_check(rig);
}

/* ... and by so many more than it had then; of which half go at a time where others want them. */
static void what_a_thread_got_before_does_not_count_as_what_it_has(void **state) {
  pinned_rig *rig = *state;
  void *blocks[200];
  get_elsewhere(rig, blocks, COUNT_OF(blocks), 4 * KIB);
  get_and_put(rig->cache, 4 * KIB, 40);
  get_and_put(rig->cache, 4 * KIB, 40);
  assert_int_equal(put_all(rig, blocks, 1, 4 * KIB), 41);
  want_elsewhere(rig);
  assert_int_equal(put_all(rig, blocks + 1, 199, 4 * KIB), (41 + 48 + 16 + 1) / 2 - 1);
  pinned_rig_check(rig);
}

static void a_class_that_the_thread_gets_too_is_not_stinted(void **state) {
  pinned_rig *rig = *state;
  void *blocks[200], *held;
  get_elsewhere(rig, blocks, COUNT_OF(blocks), 4 * KIB);
  get_and_put(rig->cache, 4 * KIB, 32);
  held = get(rig->cache, 4 * KIB);
  want_elsewhere(rig);
  put(rig->cache, held);
  /* It had 32 before, so the 33rd is the first that is looked at. */
  assert_int_equal(put_all(rig, blocks, COUNT_OF(blocks), 4 * KIB), 33 + 48 + 15);
  pinned_rig_check(rig);
}

static void what_others_want_stints_no_class_that_is_not_there(void **state) {
  pinned_rig *rig = *state;
  void *blocks[40];
  int i;
  get_elsewhere(rig, blocks, COUNT_OF(blocks), 64 * KIB);
  for (i = 0; i < 4; i++) want_elsewhere(rig);
  assert_int_equal(put_all(rig, blocks, 10, 64 * KIB), 10);
  assert_ok(pinned_empty_cache(rig->cache)); /* what it wants itself is no reason either */
  assert_int_equal(put_all(rig, blocks + 10, 30, 64 * KIB), 15);
  pinned_rig_check(rig);
}

/* Again and again: down to each block at once. */
static void squeeze(pinned_rig *rig, void **blocks, size_t count) {
  size_t i;
  for (i = 0; i < count; i++) {
    put(rig->cache, blocks[i]);
    want_elsewhere(rig);
  }
}

static void a_thread_that_only_frees_comes_to_pass_on_each_block_at_once(void **state) {
  pinned_rig *rig = *state;
  void *blocks[20];
  get_elsewhere(rig, blocks, COUNT_OF(blocks), 64 * KIB);
  squeeze(rig, blocks, 10);
  assert_int_equal(put_all(rig, blocks + 10, 3, 64 * KIB), 0);
  assert_int_equal(rig->cache->binned_bytes, 3 * 64 * KIB);
  /* What is kept idle is bounded from now on, and the shared bins are not for that. */
  assert_ok(pinned_set_max_cached_bytes(rig->cache, 8 * MIB));
  assert_int_equal(rig->cache->binned_bytes, 0);
  assert_int_equal(put_all(rig, blocks + 13, 7, 64 * KIB), 0);
  assert_int_equal(rig->cache->binned_bytes, 0);
  pinned_rig_check(rig);
}

/* ... but not for ever: with every 1,024th block it is half way back to a batch. */
static void a_thread_that_passes_on_fewer_comes_back_to_a_batch(void **state) {
  static void *blocks[3000];
  pinned_rig *rig = *state;
  void **next = blocks + 10;
  get_elsewhere(rig, blocks, COUNT_OF(blocks), 4 * KIB);
  squeeze(rig, blocks, 10);
  assert_int_equal(put_all(rig, next, 1014, 4 * KIB), 0); /* the last is the 1,024th of all */
  assert_int_equal(put_all(rig, next + 1014, 1000, 4 * KIB), 8);
  next += 2014;
  assert_int_equal(put_all(rig, next, 100, 4 * KIB), 12);
  want_elsewhere(rig);
  assert_int_equal(put_all(rig, next + 100, 876, 4 * KIB), 6);
  pinned_rig_check(rig);
}

/* What a thread keeps beyond a batch, as it got some itself before, stays. */
static void a_thread_that_passes_on_batches_goes_on_as_before(void **state) {
  static void *blocks[1300];
  pinned_rig *rig = *state;
  get_elsewhere(rig, blocks, COUNT_OF(blocks), 4 * KIB);
  get_and_put(rig->cache, 4 * KIB, 1);
  get_and_put(rig->cache, 4 * KIB, 1);
  assert_int_equal(put_all(rig, blocks, 1100, 4 * KIB), 2 + 48 + 15);
  want_elsewhere(rig);
  assert_int_equal(put_all(rig, blocks + 1100, 200, 4 * KIB), (2 + 48 + 16) / 2 - 1);
  pinned_rig_check(rig);
}

/* ... although the stock once was so large, by what the thread gets too, that none is looked at. */
static void what_is_passed_on_at_once_still_is_after_the_stock_was_larger(void **state) {
  pinned_rig *rig = *state;
  void *blocks[20], *held[32];
  size_t i;
  get_elsewhere(rig, blocks, COUNT_OF(blocks), 64 * KIB);
  squeeze(rig, blocks, 10);
  get_and_put(rig->cache, 8 * KIB, COUNT_OF(held));
  for (i = 0; i < COUNT_OF(held); i++) held[i] = get(rig->cache, 8 * KIB);
  assert_int_equal(put_all(rig, blocks + 10, 3, 64 * KIB), 3);
  want_elsewhere(rig);
  assert_int_equal(put_all(rig, blocks + 13, 7, 64 * KIB), 0);
  (void)put_all(rig, held, COUNT_OF(held), 8 * KIB);
  pinned_rig_check(rig);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

/* The part of what is reserved, from 4 to 32 MiB; looked at when the stock would pass it. */
static void a_stock_may_be_the_larger_the_more_is_reserved(void **state) {
  pinned_rig *rig = *state;
  const struct pinned_i_thread *own = pinned_i_here(rig->cache);
  void *blocks[48], *large, *huge;
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = get(rig->cache, 128 * KIB);
  assert_int_equal(pinned_i_stock_limit(rig->cache), 4 * MIB);
  large = get(rig->cache, 256 * MIB - 6 * MIB);
  assert_int_equal(reserved(rig), 256 * MIB);
  assert_int_equal(own->limit, 4 * MIB); /* as it was before that */
  for (i = 0; i < 32; i++) put(rig->cache, blocks[i]);
  assert_int_equal(own->stock_bytes, 4 * MIB);
  put(rig->cache, blocks[32]);
  assert_int_equal(own->stock_bytes, 33 * 128 * KIB);
  assert_int_equal(own->limit, 16 * MIB);
  assert_int_equal(own->mark, own->stock_bytes);
  huge = get(rig->cache, GIB);
  assert_int_equal(pinned_i_stock_limit(rig->cache), 32 * MIB);
  put(rig->cache, huge);
  put(rig->cache, large);
  for (i = 33; i < COUNT_OF(blocks); i++) put(rig->cache, blocks[i]);
}

static void a_cap_that_is_just_reached_leaves_the_stocks(void **state) {
  pinned_rig *rig = *state;
  get_and_put(rig->cache, 64 * KIB, 4);
  assert_ok(pinned_set_max_reserved_bytes(rig->cache, (size_t)reserved(rig)));
  get_and_put(rig->cache, 64 * KIB, 4);
  assert_int_equal(stocked_bytes(rig), 4 * 64 * KIB);
  assert_ok(pinned_set_max_reserved_bytes(rig->cache, 0));
}

/* Classes of which there are as many as there can be. */
static void what_is_just_larger_than_all_classes_is_in_no_stock(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  const struct pinned_i_thread *own;
  void *ptr;
  config.segment_bytes = 0;
  config.class_steps = 64;
  config.class_max_bytes = 64 * KIB;
  pinned_rig_configure(rig, config);
  assert_int_equal(rig->cache->class_size[COUNT_OF(rig->cache->class_size) - 1], 64 * KIB);
  (void)free_elsewhere(rig, SIZE_MAX);
  own = pinned_i_here(rig->cache);
  ptr = get(rig->cache, 64 * KIB);
  assert_int_equal(own->stock_bytes, 15 * 64 * KIB); /* it came with a batch */
  put(rig->cache, ptr);
  get_and_put(rig->cache, 2 * MIB, 64);  /* fills what lies behind the classes of the stock */
  assert_int_equal(own->stock_bytes, 0); /* it was gathered for these */
  get_and_put(rig->cache, 64 * KIB + 1, 1);
  assert_int_equal(own->stock_bytes, 0);
}

/* Also where blocks come into it as they complete. */
static void what_completes_keeps_the_bound_of_the_stock(void **state) {
  enum { STOCK = 128 * 1024 };
  pinned_rig *rig = *state;
  const struct pinned_i_thread *own;
  int i;
  stock(rig, STOCK);
  own = pinned_i_here(rig->cache);
  for (i = 0; i < 11; i++) (void)pinned_rig_pend(rig, 64 * KIB, 1);
  sim_complete_all(&rig->device);
  assert_int_equal(pinned_rig_poll(rig), 11);
  assert_in_range(own->stock_bytes, 1, STOCK);
  pinned_rig_check(rig);
}

static void *pend_some(void *argument) {
  pinned_rig *rig = (pinned_rig *)argument;
  int i;
  for (i = 0; i < 5; i++) {
    void *ptr = get(rig->cache, 64 * KIB);
    expect_or_abort(pinned_record_stream(rig->cache, ptr, 1) == HOSTCACHE_OK);
    put(rig->cache, ptr);
  }
  return NULL;
}

static void what_completes_after_its_thread_has_ended_is_in_no_stock(void **state) {
  pinned_rig *rig = *state;
  (void)sim_submit(&rig->device, 1);
  join(start(pend_some, rig));
  sim_complete_all(&rig->device);
  assert_int_equal(pinned_rig_poll(rig), 5);
  assert_int_equal(stocked_bytes(rig), 0);
  assert_int_equal(pinned_rig_stats(rig).inactive_split.current, 0);
}

/* Where a stock is too large, what is less than a batch becomes one with its neighbours. */
static void fewer_than_a_batch_are_not_kept_for_others(void **state) {
  pinned_rig *rig = *state;
  stock(rig, 64 * KIB);
  get_and_put(rig->cache, 4 * KIB, 10);
  get_and_put(rig->cache, 16 * KIB, 4);
  assert_in_range(stocked_bytes(rig), 1, 64 * KIB);
  assert_int_equal(rig->cache->binned_bytes, 0);
  pinned_rig_check(rig);
}

/* ... as it is where the system refuses the barrier that reaches a thread's limit. */
static void what_is_large_keeps_a_bound_that_its_thread_has_not_heard_of(void **state) {
  pinned_rig *rig = *state;
  struct pinned_i_thread *own = pinned_i_here(rig->cache);
  void *large = get(rig->cache, 3 * MIB), *by_callback = get(rig->cache, 3 * MIB);
  void *small = get(rig->cache, 64 * KIB);
  assert_ok(pinned_set_max_cached_bytes(rig->cache, HOSTCACHE_NONE));
  own->limit = own->mark = MIB;
  put(rig->cache, large);
  assert_int_equal(reserved(rig), 5 * MIB);
  assert_ok(pinned_free_deferred(rig->cache, by_callback));
  assert_int_equal(reserved(rig), 5 * MIB); /* a callback calls no hook, but the next free does */
  put(rig->cache, small);
  assert_in_range(reserved(rig), 0, 2 * MIB);
}

/* A cap that is lowered below what is in use: the rest goes back as it becomes idle. */
static void a_lowered_cap_also_binds_what_is_freed_into_a_stock(void **state) {
  pinned_rig *rig = *state;
  void *blocks[32];
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = get(rig->cache, 64 * KIB);
  assert_ok(pinned_set_max_reserved_bytes(rig->cache, 64 * KIB));
  for (i = 0; i < COUNT_OF(blocks); i++) put(rig->cache, blocks[i]);
  assert_int_equal(reserved(rig), 0);
  put(rig->cache, get(rig->cache, 64 * KIB));
  assert_int_equal(reserved(rig), 64 * KIB);
  assert_ok(pinned_set_max_reserved_bytes(rig->cache, 0));
  get_and_put(rig->cache, 64 * KIB, 4);
  assert_int_equal(stocked_bytes(rig), 3 * 64 * KIB); /* the fourth is a segment of its own */
  pinned_rig_check(rig);
}

typedef struct churner {
  pinned_rig *rig;
  uint64_t seed;
  size_t bound; /* on its stock */
} churner;

static void *churn(void *argument) {
  churner *c = (churner *)argument;
  struct pinned_i_thread *own = pinned_i_here(c->rig->cache);
  void *held[64] = {NULL};
  size_t i;
  int step;
  for (step = 0; step < 4000; step++) {
    i = random_below(&c->seed, COUNT_OF(held));
    if (held[i] == NULL) {
      held[i] = get(c->rig->cache, (size_t)512 << random_below(&c->seed, 10));
    } else {
      put(c->rig->cache, held[i]);
      held[i] = NULL;
    }
    pinned_i_begin(c->rig->cache, own);
    expect_or_abort(own->stock_bytes <= c->bound);
    pinned_i_end(own);
  }
  for (i = 0; i < COUNT_OF(held); i++)
    if (held[i] != NULL) put(c->rig->cache, held[i]);
  return NULL;
}

static void churn_in_threads(pinned_rig *rig, size_t bound) {
  churner churners[3];
  pthread_t threads[COUNT_OF(churners)];
  size_t i;
  for (i = 0; i < COUNT_OF(churners); i++) {
    churners[i].rig = rig;
    churners[i].seed = 11 + i;
    churners[i].bound = bound;
    threads[i] = start(churn, &churners[i]);
  }
  for (i = 0; i < COUNT_OF(churners); i++) join(threads[i]);
  pinned_rig_check(rig);
}

static void thread_cache_bytes_bounds_each_stock(void **state) {
  static const size_t bounds[] = {1, 5000, 64 * 1024, 1024 * 1024};
  pinned_rig *rig = *state;
  size_t i;
  for (i = 0; i < COUNT_OF(bounds); i++) {
    stock(rig, bounds[i]);
    churn_in_threads(rig, bounds[i]);
  }
}

/* A batch from a shared bin counts, too. */
static void a_batch_that_is_taken_makes_room_for_itself(void **state) {
  enum { STOCK = 256 * 1024 };
  pinned_rig *rig = *state;
  struct pinned_i_thread *own;
  void *blocks[40];
  size_t i;
  stock(rig, STOCK);
  own = pinned_i_here(rig->cache);
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = get(rig->cache, 8 * KIB);
  for (i = 0; i < COUNT_OF(blocks); i++) put(rig->cache, blocks[i]); /* a batch goes to the bin */
  assert_int_equal(rig->cache->binned_bytes, 16 * 8 * KIB);
  for (i = 0; i < 24; i++) blocks[i] = get(rig->cache, 8 * KIB);
  get_and_put(rig->cache, 2 * KIB, 60); /* fills what the stock has room for */
  get_and_put(rig->cache, 4 * KIB, 30);
  assert_true(own->stock_bytes > STOCK - 16 * 8 * KIB);
  blocks[24] = get(rig->cache, 8 * KIB);
  assert_in_range(own->stock_bytes, 0, STOCK);
  pinned_rig_check(rig);
  for (i = 0; i <= 24; i++) put(rig->cache, blocks[i]);
}

static void hostcache_none_leaves_a_thread_without_a_stock(void **state) {
  filler f = {*state, 0};
  long long live;
  stock(f.rig, HOSTCACHE_NONE);
  get_and_put(f.rig->cache, 64 * KIB, 30);
  live = atomic_load(&below.live);
  join(start(fill_a_stock, &f));
  assert_int_equal(atomic_load(&below.live), live); /* nothing is kept of a thread */
  assert_int_equal(stocked_bytes(f.rig), 0);
  assert_int_equal(pinned_rig_stats(f.rig).inactive_split.current, 0);
}

static void max_cached_bytes_bounds_what_all_threads_keep_idle(void **state) {
  enum { BOUND = 256 * 1024 };
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  config.segment_bytes = 64 * KIB;
  config.max_cached_bytes = BOUND;
  pinned_rig_configure(rig, config);
  churn_in_threads(rig, 0);
  assert_in_range(pinned_rig_stats(rig).cached_bytes.current, 0, BOUND);
}

typedef struct turns {
  pinned_rig *rig;
  meeting meeting;
} turns;

/* Nine blocks: the tenth passes it, and so each second free from there on, the last one too, goes
   into the stock first. */
enum { TURNS_BOUND = 9 * 64 * 1024 };

static void *fill_before_and_after(void *argument) {
  turns *t = (turns *)argument;
  void *blocks[64]; /* two whole segments */
  hostcache_stats stats;
  size_t i;
  get_and_put(t->rig->cache, 64 * KIB, COUNT_OF(blocks));
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = get(t->rig->cache, 64 * KIB);
  reach(&t->meeting, 1);
  await(&t->meeting, 2);
  for (i = 0; i < COUNT_OF(blocks); i++) put(t->rig->cache, blocks[i]);
  expect_or_abort(pinned_stats(t->rig->cache, &stats) == HOSTCACHE_OK);
  expect_or_abort(stats.cached_bytes.current <= TURNS_BOUND);
  get_and_put(t->rig->cache, 64 * KIB, COUNT_OF(blocks));
  reach(&t->meeting, 3);
  await(&t->meeting, 4);
  return NULL;
}

static void a_lower_max_cached_bytes_also_binds_a_stock_that_was_larger(void **state) {
  turns t = {*state, MEETING_INIT};
  pthread_t thread = start(fill_before_and_after, &t);
  await(&t.meeting, 1);
  assert_ok(pinned_set_max_cached_bytes(t.rig->cache, TURNS_BOUND));
  assert_in_range(pinned_rig_stats(t.rig).cached_bytes.current, 0, TURNS_BOUND);
  reach(&t.meeting, 2);
  await(&t.meeting, 3);
  assert_in_range(pinned_rig_stats(t.rig).cached_bytes.current, 0, TURNS_BOUND);
  reach(&t.meeting, 4);
  join(thread);
}

/* ---- misuse ---------------------------------------------------------------------------------- */

typedef struct misuser {
  pinned_rig *rig;
  char *ptr;
  pinned_block *block;
} misuser;

static void *misuse_what_is_in_a_stock(void *argument) {
  misuser *u = (misuser *)argument;
  pinned *cache = u->rig->cache;
  int round;
  for (round = 0; round < 2; round++) {
    expect_or_abort(pinned_free(cache, u->ptr) == HOSTCACHE_ERR_DOUBLE_FREE);
    expect_or_abort(pinned_block_free(cache, u->block) == HOSTCACHE_ERR_DOUBLE_FREE);
    expect_or_abort(pinned_free_deferred(cache, u->ptr) == HOSTCACHE_ERR_DOUBLE_FREE);
    expect_or_abort(pinned_block_free_deferred(cache, u->block) == HOSTCACHE_ERR_DOUBLE_FREE);
    expect_or_abort(pinned_free(cache, u->ptr + 1) == HOSTCACHE_ERR_NOT_FOUND);
    expect_or_abort(pinned_free_deferred(cache, u->ptr + 512) == HOSTCACHE_ERR_NOT_FOUND);
    expect_or_abort(pinned_record_stream(cache, u->ptr, 1) == HOSTCACHE_ERR_NOT_FOUND);
    expect_or_abort(pinned_record_stream(cache, u->ptr + 7, 1) == HOSTCACHE_ERR_NOT_FOUND);
    expect_or_abort(pinned_block_record_stream(cache, u->block, 1) == HOSTCACHE_ERR_NOT_FOUND);
    expect_or_abort(pinned_find(cache, u->ptr) == NULL);
    get_and_put(cache, 4 * KIB, 2); /* from now on the thread has a stock of its own */
  }
  return NULL;
}

static void misuse_is_told_of_a_block_that_is_in_a_stock(void **state) {
  pinned_rig *rig = *state;
  misuser u = {rig, NULL, NULL};
  void *one, *two;
  u.ptr = pinned_rig_take(rig, 64 * KIB);
  u.block = pinned_find(rig->cache, u.ptr);
  pinned_rig_give(rig, u.ptr);
  (void)misuse_what_is_in_a_stock(&u);
  join(start(misuse_what_is_in_a_stock, &u));
  one = pinned_rig_take(rig, 64 * KIB);
  two = pinned_rig_take(rig, 64 * KIB);
  assert_ptr_equal(one, u.ptr);
  assert_ptr_not_equal(two, one);
  pinned_rig_check(rig);
}

static void a_double_free_is_told_wherever_the_block_has_gone_since(void **state) {
  pinned_rig *rig = *state;
  pinned_block *handles[40];
  char *blocks[40];
  size_t i;
  stock(rig, 128 * KIB); /* 16 of them, so that some go to the shared bin, and some to a heap */
  for (i = 0; i < COUNT_OF(blocks); i++) {
    blocks[i] = get(rig->cache, 8 * KIB);
    handles[i] = pinned_find(rig->cache, blocks[i]);
  }
  for (i = 0; i < COUNT_OF(blocks); i++) put(rig->cache, blocks[i]);
  assert_true(rig->cache->binned_bytes > 0);
  for (i = 0; i < COUNT_OF(blocks); i++) {
    assert_result(pinned_block_free(rig->cache, handles[i]), HOSTCACHE_ERR_DOUBLE_FREE);
    assert_result(pinned_block_record_stream(rig->cache, handles[i], 1), HOSTCACHE_ERR_NOT_FOUND);
  }
  pinned_rig_check(rig);
  assert_ok(pinned_trim(rig->cache, SIZE_MAX)); /* all is one again */
  for (i = 0; i < COUNT_OF(blocks); i++)
    assert_result(pinned_block_free(rig->cache, handles[i]), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_ok(pinned_empty_cache(rig->cache));
  for (i = 0; i < COUNT_OF(blocks); i++) {
    assert_result(pinned_free(rig->cache, blocks[i]), HOSTCACHE_ERR_NOT_FOUND);
    assert_one_of(pinned_block_free(rig->cache, handles[i]),
                  ONE_OF(HOSTCACHE_ERR_NOT_FOUND) | ONE_OF(HOSTCACHE_ERR_DOUBLE_FREE));
  }
}

static void foreign_and_interior_pointers_are_refused_and_change_no_stock(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  char *active = pinned_rig_take(rig, 64 * KIB), *foreign;
  size_t before;
  pinned *other;
  config.segment_bytes = 0;
  assert_ok(pinned_create(&other, &config, &rig->device));
  foreign = get(other, 64 * KIB);
  get_and_put(rig->cache, 64 * KIB, 3);
  get_and_put(other, 64 * KIB, 3);
  before = stocked_bytes(rig);
  assert_result(pinned_free(rig->cache, foreign), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_block_free(rig->cache, pinned_find(other, foreign)),
                HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_block_record_stream(rig->cache, pinned_find(other, foreign), 1),
                HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_block_record_stream(rig->cache, NULL, 1), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_record_stream(rig->cache, NULL, 1), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_free(rig->cache, active + 512), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_free(rig->cache, &before), HOSTCACHE_ERR_NOT_FOUND);
  assert_int_equal(stocked_bytes(rig), before);
  assert_non_null(pinned_find(rig->cache, active));
  assert_non_null(pinned_find(other, foreign));
  put(other, foreign);
  assert_ok(pinned_destroy(other));
}

/* ---- figures --------------------------------------------------------------------------------- */

static void *handle_blocks_of_all_sizes(void *argument) {
  churner c = {(pinned_rig *)argument, 5, SIZE_MAX};
  return churn(&c);
}

static void figures_are_exact_over_threads_that_came_and_went(void **state) {
  pinned_rig *rig = *state;
  hostcache_stats stats, again;
  int64_t first;
  int round;
  join(start(handle_blocks_of_all_sizes, rig));
  stats = pinned_rig_stats(rig);
  first = stats.allocation.allocated;
  assert_true(first > 1000);
  for (round = 2; round <= 5; round++) { /* the same again: the same figures again */
    join(start(handle_blocks_of_all_sizes, rig));
    again = pinned_rig_stats(rig);
    assert_int_equal(again.allocation.allocated, round * first);
    assert_int_equal(again.allocation.freed, round * first);
    assert_int_equal(again.allocated_bytes.allocated, round * stats.allocated_bytes.allocated);
    assert_int_equal(again.allocated_bytes.freed, round * stats.allocated_bytes.allocated);
    assert_int_equal(again.requested_bytes.allocated, round * stats.requested_bytes.allocated);
    assert_int_equal(again.requested_bytes.freed, round * stats.requested_bytes.allocated);
    assert_int_equal(again.num_hits + again.num_misses, round * first);
    assert_int_equal(again.active.current, 0);
    assert_int_equal(again.cached_bytes.current, again.reserved_bytes.current);
  }
  assert_ok(pinned_reset_accumulated_stats(rig->cache));
  join(start(handle_blocks_of_all_sizes, rig));
  assert_int_equal(pinned_rig_stats(rig).allocation.allocated, first);
}

typedef struct tide {
  pinned_rig *rig;
  pthread_barrier_t all;
} tide;

static void *hold_at_once(void *argument) {
  tide *t = (tide *)argument;
  void *blocks[8];
  size_t i;
  int round;
  for (round = 0; round < 3; round++) {
    for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = get(t->rig->cache, 64 * KIB);
    (void)pthread_barrier_wait(&t->all); /* now all have theirs */
    for (i = 0; i < COUNT_OF(blocks); i++) put(t->rig->cache, blocks[i]);
    (void)pthread_barrier_wait(&t->all);
  }
  return NULL;
}

static void a_peak_is_not_below_the_true_one_and_above_it_by_at_most_the_stocks(void **state) {
  enum { THREADS = 4, STOCK = 1024 * 1024, TRUE_PEAK = THREADS * 8 };
  pinned_rig *rig = *state;
  hostcache_stats stats;
  pthread_t threads[THREADS];
  tide t;
  int i;
  stock(rig, STOCK);
  t.rig = rig;
  pthread_barrier_init(&t.all, NULL, THREADS);
  for (i = 0; i < THREADS; i++) threads[i] = start(hold_at_once, &t);
  for (i = 0; i < THREADS; i++) join(threads[i]);
  pthread_barrier_destroy(&t.all);
  stats = pinned_rig_stats(rig);
  assert_in_range(stats.active.peak, TRUE_PEAK, TRUE_PEAK + THREADS * STOCK / (64 * KIB));
  assert_in_range(stats.active_bytes.peak, TRUE_PEAK * 64 * KIB,
                  TRUE_PEAK * 64 * KIB + THREADS * STOCK);
  assert_in_range(stats.allocation.peak, TRUE_PEAK, stats.active.peak);
  assert_in_range(stats.requested_bytes.peak, TRUE_PEAK * 64 * KIB, stats.active_bytes.peak);
  assert_ok(pinned_reset_peak_stats(rig->cache));
  assert_int_equal(pinned_rig_stats(rig).active_bytes.peak, 0);
  get_and_put(rig->cache, 64 * KIB, 2);
  assert_in_range(pinned_rig_stats(rig).active_bytes.peak, 128 * KIB, 128 * KIB + STOCK);
}

static size_t records(pinned_rig *rig) {
  const struct pinned_i_thread *thread = pinned_i_threads(rig->cache);
  size_t count = 0;
  for (; thread != NULL; thread = thread->next) count++;
  return count;
}

static void the_records_of_threads_that_ended_serve_as_many(void **state) {
  pinned_rig *rig = *state;
  pthread_t threads[3];
  size_t before = records(rig), i;
  tide t;
  int round;
  t.rig = rig;
  pthread_barrier_init(&t.all, NULL, COUNT_OF(threads));
  for (round = 0; round < 2; round++) {
    for (i = 0; i < COUNT_OF(threads); i++) threads[i] = start(hold_at_once, &t);
    for (i = 0; i < COUNT_OF(threads); i++) join(threads[i]);
    assert_int_equal(records(rig), before + COUNT_OF(threads));
  }
  pthread_barrier_destroy(&t.all);
}

/* Figures that the threads count apart, where one thread gets what another frees. */
static void *free_a_block(void *argument) {
  misuser *u = (misuser *)argument;
  put(u->rig->cache, u->ptr);
  return NULL;
}

static void a_large_block_that_another_thread_freed_is_ready_at_once(void **state) {
  pinned_rig *rig = *state;
  void *ptr = get(rig->cache, 3 * MIB);
  misuser u = {rig, ptr, NULL};
  hostcache_stats before, after;
  pinned_block *block = pinned_find(rig->cache, ptr);
  uint64_t calls;
  put(rig->cache, ptr);
  before = pinned_rig_stats(rig);
  calls = sim_calls(&rig->device, SIM_EVERY_HOOK);
  assert_ptr_equal(get(rig->cache, 3 * MIB - 5000), ptr); /* straight from the heap */
  pinned_rig_check(rig);
  after = pinned_rig_stats(rig);
  assert_int_equal(after.active.current, 1);
  assert_int_equal(after.active_bytes.current, 3 * MIB - 4096);
  assert_int_equal(after.requested_bytes.current, 3 * MIB - 5000);
  assert_int_equal(after.wasted_bytes.current, 5000 - 4096);
  assert_int_equal(after.num_hits, before.num_hits + 1);
  join(start(free_a_block, &u));
  assert_result(pinned_block_free(rig->cache, block), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_result(pinned_free(rig->cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  after = pinned_rig_stats(rig);
  assert_int_equal(after.active.current, 0);
  assert_int_equal(after.active.freed, 2);
  assert_int_equal(after.requested_bytes.current, 0);
  assert_int_equal(after.wasted_bytes.current, 0);
  assert_ptr_equal(get(rig->cache, 3 * MIB), ptr);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), calls);
  put(rig->cache, ptr);
  pinned_rig_check(rig);
}

/* The other one comes between this one's look at the block and its lock. */
static void a_large_block_that_two_threads_free_at_once_is_freed_once(void **state) {
  pinned_rig *rig = *state;
  struct pinned_i_thread *own = pinned_i_here(rig->cache);
  void *ptr = get(rig->cache, 3 * MIB);
  misuser u = {rig, ptr, pinned_find(rig->cache, ptr)};
  pinned_i_begin(rig->cache, own);
  join(start(free_a_block, &u));
  assert_result(pinned_i_free_large(rig->cache, own, u.block), HOSTCACHE_ERR_DOUBLE_FREE);
  pinned_rig_check(rig);
  assert_int_equal(pinned_rig_stats(rig).allocation.freed, 1);
}

/* A range that is not split is handed out as it is, and counts as what it is. */
static void what_is_above_max_split_size_counts_as_that_wherever_it_comes_from(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  void *ptr;
  config.segment_bytes = 0;
  config.max_split_size = 4 * MIB;
  config.reserve_segment_bytes = 16 * MIB;
  pinned_rig_configure(rig, config);
  get_and_put(rig->cache, 64 * KIB, 1);
  get_and_put(rig->cache, 5 * MIB, 1);
  ptr = get(rig->cache, 5 * MIB); /* a part of what was reserved, that was handed out before */
  assert_int_equal(pinned_rig_stats(rig).oversize_allocations.current, 1);
  pinned_rig_check(rig);
  put(rig->cache, ptr);
  config.reserve_segment_bytes = 0;
  pinned_rig_configure(rig, config);
  get_and_put(rig->cache, 64 * KIB, 1);
  get_and_put(rig->cache, 4 * MIB + 256 * KIB, 1);
  ptr = get(rig->cache, 4 * MIB - 64 * KIB);
  assert_int_equal(pinned_rig_stats(rig).allocated_bytes.current, 4 * MIB + 256 * KIB);
  assert_int_equal(pinned_rig_stats(rig).oversize_allocations.current, 1);
  pinned_rig_check(rig);
  put(rig->cache, ptr);
}

/* Each block of a stock is a ready range of its own, until it is gathered. */
static void a_peak_of_what_is_split_outlives_the_stock(void **state) {
  pinned_rig *rig = *state;
  void *blocks[10];
  int64_t ranges;
  get_elsewhere(rig, blocks, COUNT_OF(blocks), 64 * KIB);
  (void)put_all(rig, blocks, COUNT_OF(blocks), 64 * KIB);
  ranges = pinned_rig_stats(rig).inactive_split.current;
  assert_in_range(ranges, COUNT_OF(blocks), COUNT_OF(blocks) + 1);
  want_elsewhere(rig);
  assert_true(pinned_rig_stats(rig).inactive_split.peak >= ranges);

  stock(rig, 0);
  get_and_put(rig->cache, 64 * KIB, 20);
  get_and_put(rig->cache, 64 * KIB, 20);
  ranges = pinned_rig_stats(rig).inactive_split.current;
  assert_in_range(ranges, 20, 21);
  assert_ok(pinned_set_max_cached_bytes(rig->cache, GIB));
  assert_int_equal(stocked_bytes(rig), 0);
  assert_true(pinned_rig_stats(rig).inactive_split.peak >= ranges);
}

/* Bins may hold more blocks than were ever out of the shared lists at a time: some of each class,
   one class after the other. */
static void a_peak_of_what_is_split_outlives_the_bins(void **state) {
  pinned_rig *rig = *state;
  int64_t ranges;
  size_t size;
  stock(rig, 256 * KIB);
  assert_ok(pinned_reserve(rig->cache, 64 * KIB, 128)); /* so that nothing is gathered */
  for (size = KIB; size <= 16 * KIB; size += KIB) get_and_put(rig->cache, size, 32);
  ranges = pinned_rig_stats(rig).inactive_split.current;
  assert_true(ranges > 2 * rig->cache->lent.peak);
  assert_ok(pinned_empty_cache(rig->cache));
  assert_true(pinned_rig_stats(rig).inactive_split.peak >= ranges);
}

/* The home may take the last place at the same time; there is one more, for one mark of others. */
static void only_the_first_mark_of_others_does_without_a_look_at_the_room(void **state) {
  pinned_rig *rig = *state;
  void *ptr = get(rig->cache, 64 * KIB);
  pinned_block *block;
  mark_by_four_streams(rig, ptr);
  put(rig->cache, ptr);
  ptr = get(rig->cache, 4 * KIB);
  block = pinned_find(rig->cache, ptr);
  assert_true(pinned_i_mark_too(block, 1));
  assert_true(pinned_i_mark_too(block, 1));
  assert_false(pinned_i_mark_too(block, 2));
  put(rig->cache, ptr);
}

/* ... and for what it becomes when all streams are forgotten. */
static void what_was_marked_in_the_last_place_is_waited_for_when_all_streams_are_forgotten(
    void **state) {
  pinned_rig *rig = *state;
  const struct pinned_i_thread *own = pinned_i_here(rig->cache);
  void *ptr = pinned_rig_take(rig, 64 * KIB), *other = get(rig->cache, 64 * KIB);
  sim_stream stream;
  size_t bit;
  assert_ok(pinned_record_stream(rig->cache, other, 5));
  bit = pinned_i_lane_known(own, 5)->bit;
  mark_by_four_streams(rig, ptr);
  assert_true(pinned_i_mark_too(pinned_find(rig->cache, ptr), bit));
  (void)sim_use(&rig->device, 5, ptr);
  for (stream = 1; stream <= 5; stream++) assert_ok(pinned_forget_stream(rig->cache, stream));
  pinned_rig_give(rig, ptr);
  assert_int_equal(pinned_rig_poll(rig), 0);
  sim_complete(&rig->device, 5, -1);
  assert_int_equal(pinned_rig_poll(rig), 1);
  put(rig->cache, other);
}

static void peaks_do_not_grow_while_one_thread_gets_and_another_frees(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  misuser u = {rig, NULL, NULL};
  int i;
  config.segment_bytes = 0;
  config.max_split_size = 4 * MIB;
  pinned_rig_configure(rig, config);
  for (i = 0; i < 20; i++) {
    u.ptr = get(rig->cache, 5 * MIB);
    join(start(free_a_block, &u));
    u.ptr = get(rig->cache, 64 * KIB);
    assert_ok(pinned_record_stream(rig->cache, u.ptr, 1));
    join(start(free_a_block, &u));
    sim_complete_all(&rig->device);
    (void)pinned_rig_poll(rig);
  }
  assert_int_equal(pinned_rig_stats(rig).oversize_allocations.peak, 1);
  assert_in_range(pinned_rig_stats(rig).allocation.peak, 1, 2);
  assert_in_range(pinned_rig_stats(rig).pending.peak, 1, 2);
}

/* ---- several caches, and caches that end ----------------------------------------------------- */

enum { CACHES = 7 }; /* more than a thread finds without looking */

static void *use_all_caches(void *argument) {
  pinned **caches = (pinned **)argument;
  int round, i;
  for (round = 0; round < 50; round++)
    for (i = 0; i < CACHES; i++) get_and_put(caches[i], 64 * KIB + (size_t)i, 3);
  return NULL;
}

static void a_thread_has_a_stock_in_each_of_many_caches(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  pinned *caches[CACHES];
  pthread_t threads[2];
  hostcache_stats stats;
  uint64_t calls, mallocs;
  int i;
  config.segment_bytes = 0;
  for (i = 0; i < CACHES; i++) assert_ok(pinned_create(&caches[i], &config, &rig->device));
  (void)use_all_caches(caches);
  calls = sim_calls(&rig->device, SIM_EVERY_HOOK);
  mallocs = atomic_load(&below.calls);
  (void)use_all_caches(caches);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), calls);
  assert_int_equal(atomic_load(&below.calls), mallocs);
  for (i = 0; i < 2; i++) threads[i] = start(use_all_caches, caches);
  for (i = 0; i < 2; i++) join(threads[i]);
  for (i = 0; i < CACHES; i++) {
    assert_ok(pinned_check(caches[i]));
    assert_ok(pinned_stats(caches[i], &stats));
    assert_int_equal(stats.allocation.allocated, 4 * 50 * 3);
    assert_int_equal(stats.allocation.current, 0);
    assert_ok(pinned_destroy(caches[i]));
  }
}

static void *use_whatever_cache_there_is(void *argument) {
  turns *t = (turns *)argument;
  int step;
  for (step = 1; step < 40; step += 2) { /* a new one each time, while this thread stays */
    await(&t->meeting, step);
    get_and_put(t->rig->cache, 64 * KIB, 5);
    reach(&t->meeting, step + 1);
  }
  return NULL;
}

static void a_cache_made_anew_at_the_same_address_has_none_of_the_old_stock(void **state) {
  pinned_rig *rig = *state;
  turns t = {rig, MEETING_INIT};
  pthread_t thread = start(use_whatever_cache_there_is, &t);
  int step;
  for (step = 1; step < 40; step += 2) {
    stock(rig, 0); /* destroys the cache that the thread has a stock in */
    assert_int_equal(stocked_bytes(rig), 0);
    get_and_put(rig->cache, 64 * KIB, 2);
    reach(&t.meeting, step);
    await(&t.meeting, step + 1);
    pinned_rig_check(rig);
    assert_int_equal(pinned_rig_stats(rig).allocation.allocated, 7);
  }
  join(thread); /* which ends after a cache of its was destroyed */
}

/* ---- where a thread can have no stock -------------------------------------------------------- */

/* A key of the system for something of each thread, of which there are not many. */
#ifdef _WIN32
typedef DWORD thread_key;
static bool key_create(thread_key *key) {
  *key = FlsAlloc(NULL);
  return *key != FLS_OUT_OF_INDEXES;
}
static bool key_delete(thread_key key) { return FlsFree(key) != 0; }
#else
typedef pthread_key_t thread_key;
static bool key_create(thread_key *key) { return pthread_key_create(key, NULL) == 0; }
static bool key_delete(thread_key key) { return pthread_key_delete(key) == 0; }
#endif

static void a_cache_works_without_stocks_where_no_key_for_threads_is_left(void **state) {
  static thread_key keys[4096];
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  filler f = {rig, 0};
  size_t count = 0;
  void *blocks[2];
  config.segment_bytes = 0;
  assert_ok(pinned_destroy(rig->cache)); /* the last one: its key goes */
  while (count < COUNT_OF(keys) && key_create(&keys[count])) count++;
  assert_in_range(count, 100, COUNT_OF(keys) - 1);
  assert_ok(pinned_create(&rig->cache, &config, &rig->device));
  join(start(fill_a_stock, &f));
  get_and_put(rig->cache, 64 * KIB, 20);
  assert_int_equal(stocked_bytes(rig), 0);
  blocks[0] = pinned_rig_pend(rig, 64 * KIB, 1);
  blocks[1] = pinned_rig_take(rig, 64 * KIB);
  assert_ptr_not_equal(blocks[0], blocks[1]);
  pinned_rig_give(rig, blocks[1]);
  churn_in_threads(rig, 0);
  assert_ok(pinned_empty_cache(rig->cache));
  while (count > 0) assert_true(key_delete(keys[--count]));
  sim_complete_all(&rig->device);
  pinned_rig_check(rig);
  stock(rig, 0); /* the next first cache finds a key again */
  get_and_put(rig->cache, 64 * KIB, 2);
  assert_true(stocked_bytes(rig) > 0);
}

typedef struct unlucky {
  pinned_rig *rig;
  uint64_t at; /* this malloc of the thread fails */
  bool fired;
} unlucky;

static void *begin_without_memory(void *argument) {
  unlucky *u = (unlucky *)argument;
  pinned *cache = u->rig->cache;
  hostcache_result result;
  void *ptr;
  below_fail(u->at, false);
  result = pinned_alloc(cache, 3000, &ptr);
  expect_or_abort(result == HOSTCACHE_OK || result == HOSTCACHE_ERR_NO_METADATA);
  if (result == HOSTCACHE_OK) {
    expect_or_abort(pinned_record_stream(cache, ptr, 1) == HOSTCACHE_OK ||
                    atomic_load(&below.failed) > 0);
    result = pinned_free(cache, ptr);
    expect_or_abort(result == HOSTCACHE_OK || result == HOSTCACHE_ERR_EVENT);
  }
  u->fired = atomic_load(&below.failed) > 0;
  below_fail_no_more();
  get_and_put(cache, 3000, 4);
  expect_or_abort(pinned_i_here(cache) != &cache->common); /* it has its record after all */
  return NULL;
}

static void a_thread_that_finds_no_memory_for_its_record_goes_on_without(void **state) {
  pinned_rig *rig = *state;
  unlucky u = {rig, 0, true};
  rig->device.eager = true;
  while (u.fired) {
    u.at++;
    stock(rig, 0); /* nobody's record is left to be used again */
    get_and_put(rig->cache, 3000, 1);
    join(start(begin_without_memory, &u));
    pinned_rig_check(rig);
    assert_ok(pinned_release_quarantine(rig->cache));
  }
  assert_in_range(u.at, 3, 20); /* the record was among what failed, and its queue */
}

static void peaks_are_exact_where_no_thread_has_a_record(void **state) {
  pinned_rig *rig = *state;
  stock(rig, 0);
  below_fail(1, false);
  (void)pinned_rig_take(rig, 3000);
  below_fail_no_more();
  assert_null(pinned_i_threads(rig->cache));
  assert_int_equal(pinned_rig_stats(rig).requested_bytes.peak, 3000);
}

/* ---- fork ------------------------------------------------------------------------------------ */

static void call_with_a_stock_in_a_child(void *argument) {
  pinned_rig *rig = (pinned_rig *)argument;
  pinned_block *block = NULL;
  pinned *cache = NULL;
  void *ptr = rig;
  MUST(pinned_alloc(rig->cache, 64 * KIB, &ptr) == HOSTCACHE_ERR_FORKED && ptr == NULL);
  MUST(pinned_block_alloc(rig->cache, 64 * KIB, &block) == HOSTCACHE_ERR_FORKED);
  MUST(pinned_free(rig->cache, rig) == HOSTCACHE_ERR_FORKED);
  MUST(pinned_create(&cache, NULL, &rig->device) == HOSTCACHE_OK);
  get_and_put(cache, 64 * KIB, 8);
  MUST(pinned_i_here(cache) != &cache->common);
  MUST(pinned_i_here(cache)->stock_bytes == 8 * 64 * KIB);
  MUST(pinned_check(cache) == HOSTCACHE_OK);
  MUST(pinned_destroy(cache) == HOSTCACHE_OK);
  _exit(0);
}

static void a_child_takes_nothing_from_the_stock_of_its_parent(void **state) {
  pinned_rig *rig = *state;
  size_t before;
  get_and_put(rig->cache, 64 * KIB, 8);
  before = stocked_bytes(rig);
  in_a_child(call_with_a_stock_in_a_child, rig);
  assert_int_equal(stocked_bytes(rig), before);
  pinned_rig_check(rig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_with_stocks, pinned_rig_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_hit_a_mark_and_a_free_take_no_lock_and_call_no_hook_and_no_malloc),
      TEST(of_streams_that_share_a_place_a_thread_remembers_the_last_two),
      TEST(the_highest_hash_has_a_place_too),
      TEST(what_was_freed_last_is_had_first_and_others_do_not_get_it),
      TEST(empty_cache_reaches_the_stocks_of_threads_that_sleep),
      TEST(trim_reaches_the_stocks_of_threads_that_sleep),
      TEST(trim_idle_reaches_the_stocks_of_threads_that_sleep),
      TEST(a_bound_that_is_lowered_reaches_the_stocks_of_threads_that_sleep),
      TEST(an_allocation_takes_from_threads_that_sleep_before_it_passes_the_cap),
      TEST(what_others_have_in_stock_is_used_before_more_is_got),
      TEST(a_thread_that_ends_gives_its_stock_back_and_calls_no_hook),
      TEST(many_short_threads_leave_memory_as_it_was),
      TEST(a_thread_that_only_frees_what_another_got_piles_up_nothing),
      TEST(a_thread_that_was_held_takes_no_lock_afterwards),
      TEST(a_blocks_life_says_how_often_it_was_handed_out),
      TEST(a_thread_that_only_frees_passes_each_batch_on),
      TEST(what_was_passed_on_and_is_pending_leaves_no_bookkeeping),
      TEST(a_thread_that_only_frees_passes_on_fewer_at_a_time_when_others_want_them),
      TEST(a_thread_that_got_some_before_keeps_four_batches_more),
      TEST(what_a_thread_got_before_does_not_count_as_what_it_has),
      TEST(a_class_that_the_thread_gets_too_is_not_stinted),
      TEST(what_others_want_stints_no_class_that_is_not_there),
      TEST(a_thread_that_only_frees_comes_to_pass_on_each_block_at_once),
      TEST(a_thread_that_passes_on_fewer_comes_back_to_a_batch),
      TEST(a_thread_that_passes_on_batches_goes_on_as_before),
      TEST(what_is_passed_on_at_once_still_is_after_the_stock_was_larger),
      TEST(a_large_block_that_another_thread_freed_is_ready_at_once),
      TEST(a_large_block_that_two_threads_free_at_once_is_freed_once),
      TEST(what_is_above_max_split_size_counts_as_that_wherever_it_comes_from),
      TEST(only_the_first_mark_of_others_does_without_a_look_at_the_room),
      TEST(what_was_marked_in_the_last_place_is_waited_for_when_all_streams_are_forgotten),
      TEST(a_lowered_cap_also_binds_what_is_freed_into_a_stock),
      TEST(thread_cache_bytes_bounds_each_stock),
      TEST(a_batch_that_is_taken_makes_room_for_itself),
      TEST(a_stock_may_be_the_larger_the_more_is_reserved),
      TEST(a_cap_that_is_just_reached_leaves_the_stocks),
      TEST(what_is_just_larger_than_all_classes_is_in_no_stock),
      TEST(what_completes_keeps_the_bound_of_the_stock),
      TEST(what_completes_after_its_thread_has_ended_is_in_no_stock),
      TEST(fewer_than_a_batch_are_not_kept_for_others),
      TEST(what_is_large_keeps_a_bound_that_its_thread_has_not_heard_of),
      TEST(hostcache_none_leaves_a_thread_without_a_stock),
      TEST(max_cached_bytes_bounds_what_all_threads_keep_idle),
      TEST(a_lower_max_cached_bytes_also_binds_a_stock_that_was_larger),
      TEST(misuse_is_told_of_a_block_that_is_in_a_stock),
      TEST(a_double_free_is_told_wherever_the_block_has_gone_since),
      TEST(foreign_and_interior_pointers_are_refused_and_change_no_stock),
      TEST(figures_are_exact_over_threads_that_came_and_went),
      TEST(a_peak_is_not_below_the_true_one_and_above_it_by_at_most_the_stocks),
      TEST(the_records_of_threads_that_ended_serve_as_many),
      TEST(peaks_do_not_grow_while_one_thread_gets_and_another_frees),
      TEST(a_peak_of_what_is_split_outlives_the_stock),
      TEST(a_peak_of_what_is_split_outlives_the_bins),
      TEST(a_thread_has_a_stock_in_each_of_many_caches),
      TEST(a_cache_made_anew_at_the_same_address_has_none_of_the_old_stock),
      TEST(a_cache_works_without_stocks_where_no_key_for_threads_is_left),
      TEST(a_thread_that_finds_no_memory_for_its_record_goes_on_without),
      TEST(peaks_are_exact_where_no_thread_has_a_record),
      TEST(a_child_takes_nothing_from_the_stock_of_its_parent),
  };
  return cmocka_run_group_tests_name("stocks", tests, NULL, NULL);
}
