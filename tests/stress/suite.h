/* suite.h - the stress itself, a template. Define and include, once for each cache:

     CACHE            the cache's name
     DEVICE           cpus or lanes: the device's type, which begins the names of its functions
     WITH_STREAMS     the cache has streams; without it, WITH_EVENTS alone is events without streams
     WITH_EVENTS      record_event: CACHE_OWN_EVENT(d, stream) is one that the test owns
     WITH_TIMELINE    record_value

   Threads do everything that may be done at any time, on one cache and a few streams that all of
   them use; each has a stream of its own besides, which it forgets, ends and makes anew. Each block
   is written by the host, then read by the device on any number of streams, or changed by it on
   one. Some blocks are passed to another thread, which goes on with them; a few are everybody's:
   all threads let the device read them and mark them, at once, until one thread renews them (under
   a lock for readers and writers, which orders no reader and another).

   Each cache is stressed twice: with journals, and without, as then nothing but the cache and the
   device orders what the threads do to the payload. */

#ifndef TESTS_STRESS_SUITE_H
#define TESTS_STRESS_SUITE_H

#include <sched.h>

#include "../helpers.h"
#include "payload.h"

enum { THREADS = 4, SHARED_STREAMS = 4, HOLDINGS = 12, MAILBOXES = 4, COMMONS = 4, MOST_USES = 8 };

#if defined __SANITIZE_THREAD__ || defined __SANITIZE_ADDRESS__
#define STRESS_DEFAULT 200000
#else
#define STRESS_DEFAULT 1000000
#endif

#define ON_RUN(name) PASTE(CACHE, name)
#define API(name) PASTE(CACHE, name)
#define OF_DEVICE(name) PASTE(DEVICE, name)
#define RUN ON_RUN(run)
#define THREAD ON_RUN(thread)

/* For the list of tests. */
#define STRESS(cache)                                                                      \
  {#cache ": threads_keep_what_they_hold_as_their_payloads_tell",                          \
   PASTE(cache, threads_keep_what_they_hold_as_their_payloads_tell), NULL, NULL, NULL},    \
  {                                                                                        \
#cache ": threads_keep_what_they_hold_as_their_journals_tell",                         \
        PASTE(cache, threads_keep_what_they_hold_as_their_journals_tell), NULL, NULL, NULL \
  }

/* What the device may do with a block that is held. */
enum {
  UNUSED,
  READ,    /* on any stream */
  WRITTEN, /* on one stream alone */
  CLOSED   /* no more */
};

typedef struct holding {
  uint64_t *words;
  size_t size;
  uint64_t stamp, hand_out;
  int mode, slot, uses;
  bool is_common; /* others use it at the same time */
} holding;

static inline uint64_t stress_number(const char *name, uint64_t otherwise) {
  const char *wanted = getenv(name);
  return wanted != NULL ? strtoull(wanted, NULL, 10) : otherwise;
}

/* Of all runs of the program together. */
static inline uint64_t stress_operations(void) {
  return stress_number("HOSTCACHE_STRESS", STRESS_DEFAULT);
}

static inline uint64_t stress_seed(void) { return stress_number("HOSTCACHE_STRESS_SEED", 1); }

/* The seed makes the threads do the same again, but not at the same moments. */
static inline void stress_announce(const char *program) {
  print_message("again: HOSTCACHE_STRESS=%" PRIu64 " HOSTCACHE_STRESS_SEED=%" PRIu64 " %s\n",
                stress_operations(), stress_seed(), program);
}

/* Most are small and share segments; some get one of their own. */
static inline size_t stress_size(uint64_t *seed) {
  const size_t dice = payload_random(seed, 20);
  const size_t most = dice == 0 ? MIB : dice < 6 ? 64 * KIB : 8 * KIB;
  return 8 + payload_random(seed, most);
}

/* Without faults only the cap can be in the way. */
static inline void hear_only_limits(void *user, hostcache_result result, int64_t code,
                                    const char *what, const void *ptr) {
  (void)user;
  (void)code;
  (void)ptr;
  if (result == HOSTCACHE_ERR_LIMIT) return;
  fprintf(stderr, "on_error: %s: %s\n", hostcache_result_string(result), what);
  abort();
}

#endif

typedef struct RUN {
  DEVICE device;
  CACHE *cache;
  journals *journals; /* or NULL */
  OF_DEVICE(stream) shared[SHARED_STREAMS];
  journal *shared_journals[SHARED_STREAMS];
  _Atomic(holding *) mail[MAILBOXES];
  pthread_rwlock_t common_locks[COMMONS];
  holding *commons[COMMONS]; /* LOCK: its lock; NULL: not there yet */
} RUN;

typedef struct ON_RUN(thread) {
  RUN *run;
  pthread_t id;
  int number;
  uint64_t seed, operations, stamps;
  OF_DEVICE(stream) own;
  journal *own_stream_journal;
  holding *holdings[HOLDINGS];
} ON_RUN(thread);

static void ON_RUN(get)(THREAD *t, holding **place) {
  RUN *run = t->run;
  const size_t size = stress_size(&t->seed);
  void *ptr;
  holding *h;
  hostcache_result result = API(alloc)(run->cache, size, &ptr);
  if (result == HOSTCACHE_ERR_LIMIT) { /* what is pending is too much: the device is given time */
    if (payload_random(&t->seed, 4) == 0)
      expect_or_abort(API(synchronize)(run->cache, UINT64_MAX) == HOSTCACHE_OK);
    sched_yield();
    return;
  }
  expect_or_abort(result == HOSTCACHE_OK);
  h = (holding *)journal_must(calloc(1, sizeof *h));
  h->words = (uint64_t *)ptr;
  h->size = size;
  h->hand_out = journal_write(own_journal, HANDED_OUT, 0, ptr, size);
  h->stamp = (uint64_t)(t->number + 1) << 56 | ++t->stamps << 8;
  payload_write(h->words, h->size, h->stamp);
  *place = h;
}

static void ON_RUN(release)(THREAD *t, holding *h) {
  CACHE *cache = t->run->cache;
  hostcache_result result = HOSTCACHE_ERR_CORRUPT;
  if (h->mode <= READ) payload_check(h->words, h->size, h->stamp, "the host");
  (void)journal_write(own_journal, FREED, h->hand_out, NULL, 0);
  switch (payload_random(&t->seed, 8)) {
    case 0:
    case 1: result = API(free_deferred)(cache, h->words); break;
    case 2: result = API(block_free_deferred)(cache, API(find)(cache, h->words)); break;
    case 3: {
      const char *last = (const char *)h->words + h->size - 1;
      result = API(block_free)(cache, API(find)(cache, last));
      break;
    }
    default: result = API(free)(cache, h->words); break;
  }
  expect_or_abort(result == HOSTCACHE_OK);
  free(h);
}

#if defined WITH_STREAMS || defined WITH_EVENTS

static work *ON_RUN(work_on)(THREAD *t, holding *h) {
  work *w = (work *)journal_must(calloc(1, sizeof *w));
  const bool own = h->slot == SHARED_STREAMS;
  w->journal = own ? t->own_stream_journal : t->run->shared_journals[h->slot];
  w->hand_out = h->hand_out;
  w->words = h->words;
  w->size = h->size;
  w->stamp = h->stamp;
  return w;
}

/* Submits work on a block, and tells the cache, before or after. */
static void ON_RUN(use)(THREAD *t, holding *h) {
  RUN *run = t->run;
  OF_DEVICE(stream) stream;
  work *w;
  size_t how = payload_random(&t->seed, 4);
  void *inside = (char *)h->words + payload_random(&t->seed, h->size);
  if (h->mode == CLOSED || h->uses == MOST_USES) return;
  h->uses++;
  if (h->mode != WRITTEN) h->slot = (int)payload_random(&t->seed, SHARED_STREAMS + 1);
  if (h->mode == UNUSED) h->mode = payload_random(&t->seed, 4) == 0 ? WRITTEN : READ;
  stream = h->slot == SHARED_STREAMS ? t->own : run->shared[h->slot];
  w = ON_RUN(work_on)(t, h);
  w->writes = h->mode == WRITTEN && payload_random(&t->seed, 2) == 0;
  if (w->writes) h->stamp++;

#ifdef WITH_TIMELINE
  /* A value speaks for all uses of its stream, as it replaces a mark. Who does not know of the uses
     of others cannot do that: those of a common block all give values, or all mark. */
  if (h->is_common) how = (h->stamp >> 8) % 2 == 0 ? 3 : how % 3;
#endif
#ifdef WITH_STREAMS
  if (how == 0) expect_or_abort(API(record_stream)(run->cache, inside, stream) == HOSTCACHE_OK);
#endif
#ifdef WITH_TIMELINE
  {
    const uint64_t value = OF_DEVICE(submit)(&run->device, stream, w);
    if (how == 3)
      expect_or_abort(API(record_value)(run->cache, inside, stream, value) == HOSTCACHE_OK);
  }
#else
  (void)OF_DEVICE(submit)(&run->device, stream, w);
#endif
#ifdef WITH_EVENTS
#ifndef WITH_STREAMS
  how = 3;
#endif
  if (how == 3)
    expect_or_abort(API(record_event)(run->cache, inside, CACHE_OWN_EVENT(&run->device, stream)) ==
                    HOSTCACHE_OK);
#endif
#ifdef WITH_STREAMS
  if (how == 1) expect_or_abort(API(record_stream)(run->cache, inside, stream) == HOSTCACHE_OK);
  if (how == 2)
    expect_or_abort(API(block_record_stream)(run->cache, API(find)(run->cache, inside), stream) ==
                    HOSTCACHE_OK);
#endif
}

/* The thread's own stream ends, and another begins. */
static void ON_RUN(renew_stream)(THREAD *t) {
  RUN *run = t->run;
  size_t i;
  for (i = 0; i < HOLDINGS; i++) {
    holding *h = t->holdings[i];
    if (h != NULL && h->mode == WRITTEN && h->slot == SHARED_STREAMS) h->mode = CLOSED;
  }
#ifdef WITH_STREAMS
  expect_or_abort(API(forget_stream)(run->cache, t->own) == HOSTCACHE_OK);
#endif
  OF_DEVICE(stream_end)(&run->device, t->own);
  t->own_stream_journal = journal_new(run->journals);
  t->own = OF_DEVICE(stream_new)(&run->device, SHARED_STREAMS + t->number);
}

#else

static void ON_RUN(use)(THREAD *t, holding *h) {
  (void)t;
  payload_check(h->words, h->size, h->stamp, "the host");
  if (h->mode == UNUSED) payload_write(h->words, h->size, ++h->stamp);
}

static void ON_RUN(renew_stream)(THREAD *t) { (void)t; }

#endif

/* Puts the block into a mailbox, and takes what another thread has left there. */
static void ON_RUN(pass_on)(THREAD *t, holding **place) {
  const size_t box = payload_random(&t->seed, MAILBOXES);
  if ((*place)->mode == WRITTEN) (*place)->mode = CLOSED;
  *place = atomic_exchange_explicit(&t->run->mail[box], *place, memory_order_acq_rel);
}

/* Uses a block that is everybody's, or renews it. */
static void ON_RUN(use_common)(THREAD *t) {
  RUN *run = t->run;
  const size_t i = payload_random(&t->seed, COMMONS);
  const bool renews = payload_random(&t->seed, 8) == 0;
  if (renews) {
    pthread_rwlock_wrlock(&run->common_locks[i]);
    if (run->commons[i] != NULL) ON_RUN(release)(t, run->commons[i]);
    run->commons[i] = NULL;
    ON_RUN(get)(t, &run->commons[i]);
    if (run->commons[i] != NULL) {
      run->commons[i]->mode = READ;
      run->commons[i]->is_common = true;
    }
  } else {
    pthread_rwlock_rdlock(&run->common_locks[i]);
    if (run->commons[i] != NULL) {
      holding copy = *run->commons[i];
      ON_RUN(use)(t, &copy);
    }
  }
  pthread_rwlock_unlock(&run->common_locks[i]);
}

static void ON_RUN(keep_up)(THREAD *t) {
  static const size_t caps[] = {8 * MIB, 16 * MIB, 64 * MIB};
  CACHE *cache = t->run->cache;
  const size_t dice = payload_random(&t->seed, 64);
  hostcache_result result = HOSTCACHE_OK;
  hostcache_stats stats;
  switch (dice) {
    case 0: result = API(empty_cache)(cache); break;
    case 1: result = API(trim)(cache, payload_random(&t->seed, 16) * MIB); break;
    case 2: result = API(trim_idle)(cache, 0); break;
    case 3: result = API(set_max_reserved_bytes)(cache, caps[payload_random(&t->seed, 3)]); break;
    case 4:
      result = API(set_max_cached_bytes)(
          cache, payload_random(&t->seed, 4) == 0 ? HOSTCACHE_NONE : 4 * MIB);
      break;
    case 5: result = API(set_max_cached_bytes)(cache, 0); break;
    case 6:
      result = API(reserve)(cache, stress_size(&t->seed), 1 + payload_random(&t->seed, 4));
      if (result == HOSTCACHE_ERR_LIMIT) result = HOSTCACHE_OK;
      break;
    case 7: result = API(check)(cache); break;
    case 8:
    case 9: ON_RUN(renew_stream)(t); break;
    case 10: result = API(synchronize)(cache, UINT64_MAX); break;
    case 11:
      result = API(synchronize)(cache, 0);
      if (result == HOSTCACHE_ERR_TIMEOUT) result = HOSTCACHE_OK;
      break;
    case 12:
    case 13:
      result = API(stats)(cache, &stats);
      expect_or_abort(stats.allocation.current >= 0 && stats.pending.current >= 0);
      expect_or_abort(stats.reserved_bytes.current >= stats.active_bytes.current);
      break;
    default: result = API(process_events)(cache, NULL); break;
  }
  expect_or_abort(result == HOSTCACHE_OK);
}

static void *ON_RUN(body)(void *argument) {
  THREAD *t = (THREAD *)argument;
  size_t i;
  own_journal = journal_new(t->run->journals);
  for (; t->operations > 0; t->operations--) {
    holding **place = &t->holdings[payload_random(&t->seed, HOLDINGS)];
    const size_t dice = payload_random(&t->seed, 20);
    if (dice == 0) {
      ON_RUN(keep_up)(t);
    } else if (dice == 1) {
      ON_RUN(use_common)(t);
    } else if (*place == NULL) {
      ON_RUN(get)(t, place);
    } else if (dice < 10) {
      ON_RUN(use)(t, *place);
    } else if (dice < 12) {
      ON_RUN(pass_on)(t, place);
    } else {
      ON_RUN(release)(t, *place);
      *place = NULL;
    }
  }
  for (i = 0; i < HOLDINGS; i++)
    if (t->holdings[i] != NULL) ON_RUN(release)(t, t->holdings[i]);
  return NULL;
}

/* All threads have ended: nothing may be left, and every figure is exact. */
static void ON_RUN(settle)(RUN *run, THREAD *t) {
  hostcache_stats stats;
  size_t i;
  for (i = 0; i < MAILBOXES; i++) {
    holding *left = atomic_load(&run->mail[i]);
    if (left != NULL) ON_RUN(release)(t, left);
  }
  for (i = 0; i < COMMONS; i++) {
    if (run->commons[i] != NULL) ON_RUN(release)(t, run->commons[i]);
    pthread_rwlock_destroy(&run->common_locks[i]);
  }
  assert_ok(API(synchronize)(run->cache, UINT64_MAX));
  assert_ok(API(check)(run->cache));
  memset(&stats, 0xff, sizeof stats);
  assert_ok(API(stats)(run->cache, &stats));
  assert_int_equal(stats.allocation.current, 0);
  assert_int_equal(stats.pending.current, 0);
  assert_int_equal(stats.active_bytes.current, 0);
  assert_int_equal(stats.quarantined.current + stats.leaked.current, 0);
  assert_true(stats.allocation.allocated > 0);
  assert_ok(API(empty_cache)(run->cache));
  assert_ok(API(stats)(run->cache, &stats));
  assert_int_equal(stats.reserved_bytes.current, 0);
  assert_int_equal(stats.cached_bytes.current, 0);
  assert_ok(API(destroy)(run->cache));
}

static void ON_RUN(stress)(journals *all) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  RUN *run = (RUN *)journal_must(calloc(1, sizeof *run));
  THREAD *threads = (THREAD *)journal_must(calloc(THREADS, sizeof *threads));
  int i;
  config.max_reserved_bytes = 16 * MIB;
  config.on_error = hear_only_limits;
  atomic_store(&payload_errors, 0);
  run->journals = all;
  OF_DEVICE(open)(&run->device);
  for (i = 0; i < COMMONS; i++) pthread_rwlock_init(&run->common_locks[i], NULL);
  for (i = 0; i < SHARED_STREAMS; i++) {
    run->shared_journals[i] = journal_new(all);
    run->shared[i] = OF_DEVICE(stream_new)(&run->device, i);
  }
  assert_ok(API(create)(&run->cache, &config, OF_DEVICE(ctx)(&run->device)));
  for (i = 0; i < THREADS; i++) {
    THREAD *t = &threads[i];
    t->run = run;
    t->number = i;
    t->operations = stress_operations() / RUNS / THREADS;
    t->seed = stress_seed() * 1000003 + (uint64_t)i + 1;
    t->own_stream_journal = journal_new(all);
    t->own = OF_DEVICE(stream_new)(&run->device, SHARED_STREAMS + i);
  }
  for (i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i].id, NULL, ON_RUN(body), &threads[i]), 0);
  for (i = 0; i < THREADS; i++) pthread_join(threads[i].id, NULL);
  own_journal = journal_new(all);
  ON_RUN(settle)(run, &threads[0]);
  for (i = 0; i < SHARED_STREAMS; i++) OF_DEVICE(stream_end)(&run->device, run->shared[i]);
  for (i = 0; i < THREADS; i++) OF_DEVICE(stream_end)(&run->device, threads[i].own);
  own_journal = NULL;
  assert_int_equal(OF_DEVICE(close)(&run->device), 0);
  assert_int_equal(atomic_load(&payload_errors), 0);
  free(threads);
  free(run);
}

static void ON_RUN(threads_keep_what_they_hold_as_their_payloads_tell)(void **state) {
  (void)state;
  ON_RUN(stress)(NULL);
}

static void ON_RUN(threads_keep_what_they_hold_as_their_journals_tell)(void **state) {
  journals all;
  (void)state;
  journals_open(&all);
  ON_RUN(stress)(&all);
  assert_true(atomic_load(&all.last) > 0);
  assert_int_equal(journals_check(&all), 0);
  journals_close(&all);
}
