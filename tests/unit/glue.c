/* glue.c - tests section 5 of the header: what it needs from below, each replaceable; threads;
   fork.

   Promises (section 9 of the contract): HOSTCACHE_MALLOC, _FREE, _NOW_NS and _ASSERT are what is
   used; locks are taken in order and never held in a hook (HOSTCACHE_DEBUG); a child after fork
   gets FORKED from everything, and no hook is called in it, whatever other threads did at the fork;
   any number of caches can come and go. */

#include <stdio.h>

/* A failing assertion is written down: these tests cause some. */
static int assertions_failed;
static int assertions_expected;

static void note_assertion(const char *what) {
  assertions_failed++;
  if (assertions_expected == 0) fprintf(stderr, "assertion failed: %s\n", what);
}

#define HOSTCACHE_ASSERT(condition) ((condition) ? (void)0 : note_assertion(#condition))

#ifndef HOSTCACHE_DEBUG
#define HOSTCACHE_DEBUG
#endif

#include "sim/below.h"

#include <errno.h>
#include <pthread.h>
#ifdef _WIN32
#include <windows.h>
#endif
#ifdef __linux__
#include <sched.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

static bool keys_refused, key_refused; /* what the system does not do, as a test says */
static int keys;                       /* that there are */
static int keys_set;                   /* how often one was */

#ifdef _WIN32

static DWORD make_key(PFLS_CALLBACK_FUNCTION leave) {
  const DWORD key = keys_refused ? FLS_OUT_OF_INDEXES : FlsAlloc(leave);
  keys += key != FLS_OUT_OF_INDEXES;
  return key;
}

static BOOL delete_key(DWORD key) {
  keys--;
  return FlsFree(key);
}

static BOOL set_key(DWORD key, void *value) {
  keys_set++;
  return key_refused ? 0 : FlsSetValue(key, value);
}

#define FlsAlloc(leave) make_key(leave)
#define FlsFree(key) delete_key(key)
#define FlsSetValue(key, value) set_key(key, value)

#else

static bool forks_unwatched; /* likewise */
static int forks_watched;    /* how often it was asked to */

static int make_key(pthread_key_t *key, void (*leave)(void *)) {
  const int failed = keys_refused ? EAGAIN : pthread_key_create(key, leave);
  keys += !failed;
  return failed;
}

static int delete_key(pthread_key_t key) {
  keys--;
  return pthread_key_delete(key);
}

static int set_key(pthread_key_t key, const void *value) {
  keys_set++;
  return key_refused ? ENOMEM : pthread_setspecific(key, value);
}

static int watch_forks(void (*prepare)(void), void (*parent)(void), void (*child)(void)) {
  forks_watched++;
  return forks_unwatched ? ENOMEM : pthread_atfork(prepare, parent, child);
}

#define pthread_key_create(key, leave) make_key(key, leave)
#define pthread_key_delete(key) delete_key(key)
#define pthread_setspecific(key, value) set_key(key, value)
#define pthread_atfork(prepare, parent, child) watch_forks(prepare, parent, child)

#endif

#if defined __linux__ && defined SYS_futex

static atomic_int sleeps, wakes; /* of threads that want a lock */

/* The header's two system calls. */
static long call_system(long number, ...) {
  va_list arguments;
  long result;
  va_start(arguments, number);
  if (number == SYS_futex) {
    uint32_t *word = va_arg(arguments, uint32_t *);
    const int what = va_arg(arguments, int), value = va_arg(arguments, int);
    atomic_fetch_add(what == 128 /* FUTEX_WAIT_PRIVATE */ ? &sleeps : &wakes, 1);
    result = syscall(number, word, what, value, NULL, NULL, 0);
  } else {
    result = syscall(number, va_arg(arguments, int), 0, 0);
  }
  va_end(arguments);
  return result;
}

#define syscall call_system

#endif

#define HC_NAME pinned
#define HC_DEVICE_ALLOCATOR
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME counted
#include "sim/hooks_timeline.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE pinned
#include "sim/rig.h"

#ifndef _WIN32
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

/* ---- what is replaced ------------------------------------------------------------------------ */

static void the_bookkeeping_comes_from_the_malloc_that_was_given(void **state) {
  pinned_rig *rig = *state;
  assert_true(atomic_load(&below.live) > 0);
  assert_ok(pinned_destroy(rig->cache));
  rig->cache = NULL;
  assert_int_equal(atomic_load(&below.live), 0);
}

/* The replaced clock moves by 1000 ns a look. */
static void durations_are_those_of_the_clock_that_was_given(void **state) {
  pinned_rig *rig = *state;
  hostcache_duration time;
  int i;
  for (i = 0; i < 3; i++) (void)pinned_rig_take(rig, 64 * KIB);
  time = pinned_rig_stats(rig).mem_alloc_time;
  assert_int_equal(time.count, 3);
  assert_int_equal(time.min, 1000);
  assert_int_equal(time.max, 1000);
  assert_int_equal(time.total, 3000);
}

static void turn_the_clock_on(void *user, sim_hook hook) {
  const uint64_t **ns = user;
  (void)hook;
  atomic_fetch_add(&below.now_ns, *(*ns)++);
}

static void the_least_and_the_most_of_all_durations_are_kept(void **state) {
  static const uint64_t more[] = {3000, 1000, 5000, 4000};
  pinned_rig *rig = *state;
  const uint64_t *ns = more;
  hostcache_duration time;
  size_t i;
  rig->device.on_hook = turn_the_clock_on;
  rig->device.on_hook_user = &ns;
  for (i = 0; i < COUNT_OF(more); i++) (void)pinned_rig_take(rig, 64 * KIB);
  rig->device.on_hook = NULL;
  time = pinned_rig_stats(rig).mem_alloc_time;
  assert_int_equal(time.min, 1000 + 1000);
  assert_int_equal(time.max, 1000 + 5000);
  assert_int_equal(time.total, 4 * 1000 + 13000);
}

static void turn_the_clock_back(void *user, sim_hook hook) {
  (void)user;
  (void)hook;
  atomic_fetch_sub(&below.now_ns, 1000000);
}

static void a_clock_that_goes_back_gives_no_negative_duration(void **state) {
  pinned_rig *rig = *state;
  hostcache_duration times[2];
  size_t i;
  atomic_fetch_add(&below.now_ns, 1000000000); /* so that there is time to go back to */
  rig->device.on_hook = turn_the_clock_back;
  for (i = 0; i < 3; i++) pinned_rig_give(rig, pinned_rig_take(rig, (1 + i) * 64 * KIB));
  assert_ok(pinned_empty_cache(rig->cache));
  rig->device.on_hook = NULL;
  times[0] = pinned_rig_stats(rig).mem_alloc_time;
  times[1] = pinned_rig_stats(rig).mem_free_time;
  for (i = 0; i < COUNT_OF(times); i++) {
    assert_int_equal(times[i].count, 3);
    assert_true(times[i].min >= 0);
    assert_true(times[i].max >= 0);
    assert_true(times[i].total >= 0);
  }
}

static void turn_the_clock_on_by_centuries(void *user, sim_hook hook) {
  (void)user;
  (void)hook;
  atomic_fetch_add(&below.now_ns, UINT64_C(1) << 62);
}

/* A sanitizer sees the overflow, if it is one. */
static void durations_that_add_up_to_too_much_wrap_around(void **state) {
  pinned_rig *rig = *state;
  hostcache_duration time;
  int i;
  rig->device.on_hook = turn_the_clock_on_by_centuries;
  for (i = 0; i < 3; i++) (void)pinned_rig_take(rig, 64 * KIB);
  rig->device.on_hook = NULL;
  time = pinned_rig_stats(rig).mem_alloc_time;
  assert_true((uint64_t)time.total == 3 * ((UINT64_C(1) << 62) + 1000));
  assert_true((uint64_t)time.max == (UINT64_C(1) << 62) + 1000);
}

static void a_thousand_caches_can_be_alive_at_once_and_two_thousand_come_and_go(void **state) {
  enum { CACHES = 1100 }; /* more than a process has keys for threads */
  static pinned *caches[CACHES];
  sim_device *d = malloc(sizeof *d);
  long long live = 0;
  void *ptr;
  int i, round;
  (void)state;
  assert_non_null(d);
  sim_open(d);
  for (i = 0; i < CACHES; i++) assert_ok(pinned_create(&caches[i], NULL, d));
  for (round = 0; round < 2; round++) {
    for (i = 0; i < CACHES; i++) {
      assert_ok(pinned_alloc(caches[i], 100, &ptr));
      assert_ok(pinned_free(caches[i], ptr));
    }
    if (round == 0) live = atomic_load(&below.live);
  }
  assert_int_equal(atomic_load(&below.live), live); /* it finds in each what it had there before */
  for (i = 0; i < CACHES; i++) assert_ok(pinned_destroy(caches[i]));
  for (i = 0; i < 2000; i++) {
    assert_ok(pinned_create(&caches[0], NULL, d));
    assert_ok(pinned_alloc(caches[0], 100, &ptr));
    assert_ok(pinned_free(caches[0], ptr));
    assert_ok(pinned_destroy(caches[0]));
  }
  assert_int_equal(atomic_load(&below.live), 0);
  assert_int_equal(sim_close(d, 0, 0), 0);
  free(d);
}

/* ---- locks ----------------------------------------------------------------------------------- */

static void locks_out_of_order_are_told(void **state) {
  hostcache_mutex locks[4]; /* each is taken once: else a thread sanitizer would tell the same */
  const unsigned ranks[] = {HOSTCACHE_RANK_THREAD, HOSTCACHE_RANK_SEGMENTS, HOSTCACHE_RANK_SEGMENTS,
                            HOSTCACHE_RANK_THREAD};
  size_t i;
  (void)state;
  for (i = 0; i < COUNT_OF(locks); i++)
    assert_int_equal(hostcache_mutex_init(&locks[i], ranks[i]), 0);
  assertions_failed = 0;
  assertions_expected = 1;
  for (i = 0; i < COUNT_OF(locks); i += 2) {
    hostcache_lock(&locks[i]);
    hostcache_lock(&locks[i + 1]);
    assert_int_equal(assertions_failed, i / 2);
    hostcache_unlock(&locks[i + 1]);
    hostcache_unlock(&locks[i]);
  }
  assertions_failed = assertions_expected = 0;
  for (i = 0; i < COUNT_OF(locks); i++) hostcache_mutex_destroy(&locks[i]);
}

#ifdef HOSTCACHE_FUTEX
static void a_lock_given_back_that_was_not_taken_is_told(void **state) {
  hostcache_mutex mutex;
  (void)state;
  assert_int_equal(hostcache_mutex_init(&mutex, HOSTCACHE_RANK_SEGMENTS), 0);
  assertions_failed = 0;
  assertions_expected = 1;
  hostcache_lock(&mutex);
  hostcache_unlock(&mutex);
  assert_int_equal(assertions_failed, 0);
  hostcache_unlock(&mutex);
  assert_int_equal(assertions_failed, 1);
  assertions_failed = assertions_expected = 0;
  hostcache_mutex_destroy(&mutex);
}

static void *lock_and_unlock(void *argument) {
  hostcache_mutex *mutex = (hostcache_mutex *)argument;
  errno = 77;
  hostcache_lock(mutex);
  hostcache_unlock(mutex);
  expect_or_abort(errno == 77);
  return NULL;
}

static void who_waits_long_for_a_lock_sleeps_and_is_woken(void **state) {
  hostcache_mutex mutex;
  pthread_t thread;
  (void)state;
  assert_int_equal(hostcache_mutex_init(&mutex, HOSTCACHE_RANK_SEGMENTS), 0);
  atomic_store(&sleeps, 0);
  atomic_store(&wakes, 0);
  (void)lock_and_unlock(&mutex); /* nobody wants it: no call */
  assert_int_equal(atomic_load(&sleeps) + atomic_load(&wakes), 0);
  hostcache_lock(&mutex);
  assert_int_equal(pthread_create(&thread, NULL, lock_and_unlock, &mutex), 0);
  while (atomic_load(&sleeps) == 0) (void)sched_yield();
  hostcache_unlock(&mutex);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_int_equal(atomic_load(&wakes), 2); /* who has slept does not know whether others do */
  hostcache_mutex_destroy(&mutex);
}
#endif

static void a_hook_with_a_lock_held_is_told(void **state) {
  hostcache_mutex mutex;
  int cancel;
  (void)state;
  assert_int_equal(hostcache_mutex_init(&mutex, HOSTCACHE_RANK_SEGMENTS), 0);
  assertions_failed = 0;
  assertions_expected = 1;
  hostcache_lock(&mutex);
  cancel = hostcache_hook_begin();
  assert_int_equal(assertions_failed, 1);
  hostcache_hook_end(cancel);
  (void)hostcache_hook_begin_plain();
  assert_int_equal(assertions_failed, 2);
  hostcache_unlock(&mutex);
  cancel = hostcache_hook_begin();
  (void)hostcache_hook_begin_plain();
  assert_int_equal(assertions_failed, 2);
  hostcache_hook_end(cancel);
  assertions_failed = assertions_expected = 0;
  hostcache_mutex_destroy(&mutex);
}

static void being_inside_of_a_record_counts_as_a_lock(void **state) {
  pinned_rig *rig = *state;
  struct pinned_i_thread *own;
  int inside, outside;
  void *ptr;
  assert_ok(pinned_alloc(rig->cache, 64 * KIB, &ptr));
  assert_ok(pinned_free(rig->cache, ptr));
  own = pinned_i_own(rig->cache);
  assert_non_null(own);
  assertions_failed = 0;
  assertions_expected = 1;
  assert_true(pinned_i_raise(own));
  hostcache_lock(&rig->cache->threads_lock);
  inside = assertions_failed;
  hostcache_unlock(&rig->cache->threads_lock);
  pinned_i_lower(own);
  hostcache_lock(&rig->cache->threads_lock);
  outside = assertions_failed - inside;
  hostcache_unlock(&rig->cache->threads_lock);
  assertions_failed = assertions_expected = 0;
  assert_int_equal(inside, 1);
  assert_int_equal(outside, 0);
  pinned_rig_check(rig);
}

/* ---- what the system refuses ----------------------------------------------------------------- */

static void *use_a_cache(void *argument) {
  pinned *cache = (pinned *)argument;
  void *ptr = NULL;
  int i;
  for (i = 0; i < 3; i++) {
    expect_or_abort(pinned_alloc(cache, 64 * KIB, &ptr) == HOSTCACHE_OK);
    expect_or_abort(pinned_free(cache, ptr) == HOSTCACHE_OK);
  }
  return NULL;
}

static void a_thread_leaves_no_stock_whether_its_end_is_told_or_not(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  pthread_t thread;
  int round;
  config.segment_bytes = 0;
  pinned_rig_configure(rig, config);
  for (round = 0; round < 2; round++) {
    key_refused = round == 0; /* then it has none in the first place */
    assert_int_equal(pthread_create(&thread, NULL, use_a_cache, rig->cache), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(pinned_i_threads(rig->cache)->stock_bytes, 0);
    assert_int_equal(pinned_i_threads(rig->cache)->owned, 0); /* the next thread may have it */
    pinned_rig_check(rig);
  }
}

static void where_no_key_is_left_none_is_set_or_deleted(void **state) {
  sim_device *d = malloc(sizeof *d);
  pinned *cache, *other;
  int round;
  (void)state;
  assert_non_null(d);
  sim_open(d);
  for (round = 0; round < 2; round++) {
    keys_set = 0;
    keys_refused = round == 0;
    assert_ok(pinned_create(&cache, NULL, d));
    keys_refused = false;
    assert_ok(pinned_create(&other, NULL, d));
    assert_ok(pinned_destroy(other)); /* the key goes with the last of them */
    assert_int_equal(keys, round);
    (void)use_a_cache(cache);
    assert_int_equal(keys_set, round);
    assert_ok(pinned_destroy(cache));
    assert_int_equal(keys, 0);
  }
  assert_int_equal(sim_close(d, 0, 0), 0);
  free(d);
}

/* Else each hit would pay for a fence. */
static void a_barrier_that_the_system_has_is_used(void **state) {
#if defined __linux__ && defined SYS_membarrier && !defined HOSTCACHE_TSAN
  pinned_rig *rig = *state;
  const long commands = syscall(SYS_membarrier, 0 /* MEMBARRIER_CMD_QUERY */, 0, 0);
  const bool has_private_expedited = commands > 0 && (commands & 8) != 0;
  assert_int_equal(rig->cache->asymmetric, has_private_expedited);
#else
  (void)state;
  needs("membarrier, and no ThreadSanitizer", false);
#endif
}

/* ---- fork ------------------------------------------------------------------------------------ */

#ifdef _WIN32 /* has none */

static void a_child_after_fork(void **state) {
  (void)state;
  needs("fork", false);
}

#define TESTS_OF_FORK cmocka_unit_test(a_child_after_fork)

#else

/* Runs first of all tests: once they are watched, they stay so. */
static void without_a_watch_on_forks_no_cache_is_made(void **state) {
  pinned *cache = (pinned *)(void *)state;
  pinned_devices *set = (pinned_devices *)(void *)state;
  sim_device *d = malloc(sizeof *d);
  int i;
  assert_non_null(d);
  sim_open(d);
  forks_unwatched = true;
  assert_result(pinned_create(&cache, NULL, d), HOSTCACHE_ERR_NO_METADATA);
  assert_result(pinned_devices_create(&set, 1, NULL, &d), HOSTCACHE_ERR_NO_METADATA);
  forks_unwatched = false;
  assert_null(cache);
  assert_null(set);
  assert_int_equal(atomic_load(&below.live), 0);
  for (forks_watched = 0, i = 0; i < 2; i++) { /* once is enough */
    assert_ok(pinned_create(&cache, NULL, d));
    assert_ok(pinned_destroy(cache));
    assert_int_equal(forks_watched, 1);
  }
  assert_int_equal(sim_close(d, 0, 0), 0);
  free(d);
}

/* In the child: every function, by the number of the line that is wrong; 0 if all are right. */
#define MUST_SAY_FORKED(call) \
  if ((call) != HOSTCACHE_ERR_FORKED) return __LINE__

static int nothing_visited(void *user, const hostcache_visit *visit) {
  (void)user;
  (void)visit;
  return 1;
}

static int call_everything_in_a_child(pinned_rig *rig, void *active, pinned_block *block) {
  const sim_event event = {0, 0};
  uint64_t calls = sim_calls(&rig->device, SIM_EVERY_HOOK);
  hostcache_stats stats;
  pinned_block *other = block;
  size_t ready = 5;
  void *ptr = active;
  MUST_SAY_FORKED(pinned_alloc(rig->cache, 100, &ptr));
  if (ptr != NULL) return __LINE__;
  MUST_SAY_FORKED(pinned_alloc(rig->cache, 0, &ptr));
  MUST_SAY_FORKED(pinned_record_stream(rig->cache, active, 1));
  MUST_SAY_FORKED(pinned_record_event(rig->cache, active, event));
  MUST_SAY_FORKED(pinned_free(rig->cache, active));
  MUST_SAY_FORKED(pinned_free(rig->cache, NULL));
  MUST_SAY_FORKED(pinned_free_deferred(rig->cache, active));
  MUST_SAY_FORKED(pinned_block_alloc(rig->cache, 100, &other));
  if (other != NULL) return __LINE__;
  MUST_SAY_FORKED(pinned_block_record_stream(rig->cache, block, 1));
  MUST_SAY_FORKED(pinned_block_record_event(rig->cache, block, event));
  MUST_SAY_FORKED(pinned_block_free(rig->cache, block));
  MUST_SAY_FORKED(pinned_block_free_deferred(rig->cache, block));
  if (pinned_find(rig->cache, active) != NULL) return __LINE__;
  MUST_SAY_FORKED(pinned_process_events(rig->cache, &ready));
  MUST_SAY_FORKED(pinned_synchronize(rig->cache, UINT64_MAX));
  MUST_SAY_FORKED(pinned_empty_cache(rig->cache));
  MUST_SAY_FORKED(pinned_trim(rig->cache, 0));
  MUST_SAY_FORKED(pinned_reserve(rig->cache, 1, 1));
  MUST_SAY_FORKED(pinned_forget_stream(rig->cache, 1));
  MUST_SAY_FORKED(pinned_release_quarantine(rig->cache));
  MUST_SAY_FORKED(pinned_stats(rig->cache, &stats));
  MUST_SAY_FORKED(pinned_reset_accumulated_stats(rig->cache));
  MUST_SAY_FORKED(pinned_reset_peak_stats(rig->cache));
  MUST_SAY_FORKED(pinned_check(rig->cache));
  MUST_SAY_FORKED(pinned_walk(rig->cache, nothing_visited, NULL));
  MUST_SAY_FORKED(pinned_destroy(rig->cache));
  pinned_abandon(rig->cache);
  MUST_SAY_FORKED(pinned_destroy(rig->cache));
  if (sim_calls(&rig->device, SIM_EVERY_HOOK) != calls) return __LINE__;
  return 0;
}

static int use_a_cache_of_its_own(sim_device *d) {
  pinned *cache;
  void *ptr;
  if (pinned_create(&cache, NULL, d) != HOSTCACHE_OK) return __LINE__;
  if (pinned_alloc(cache, 64 * KIB, &ptr) != HOSTCACHE_OK) return __LINE__;
  if (pinned_record_stream(cache, ptr, 3) != HOSTCACHE_OK) return __LINE__;
  if (pinned_free(cache, ptr) != HOSTCACHE_OK) return __LINE__;
  if (pinned_check(cache) != HOSTCACHE_OK) return __LINE__;
  if (pinned_destroy(cache) != HOSTCACHE_OK) return __LINE__;
  return 0;
}

/* A line number does not fit into an exit status: the child prints it. A child that hangs is
   ended. */
static void end_child(int line) {
  if (line != 0) {
    fprintf(stderr, "in the child: %s:%d\n", __FILE__, line);
    fflush(stderr);
  }
  _exit(line != 0);
}

static void assert_child_ends_well(pid_t child) {
  int status;
  assert_true(child > 0);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_child_after_fork_gets_forked_from_everything_and_calls_no_hook(void **state) {
  pinned_rig *rig = *state;
  void *active = pinned_rig_take(rig, 64 * KIB);
  pinned_block *block = pinned_find(rig->cache, active);
  pid_t child;
  (void)pinned_rig_pend(rig, 64 * KIB, 1);
  pinned_rig_give(rig, pinned_rig_take(rig, 128 * KIB));
  child = fork();
  if (child == 0) {
    alarm(60);
    end_child(call_everything_in_a_child(rig, active, block));
  }
  assert_child_ends_well(child);
  assert_non_null(pinned_find(rig->cache, active)); /* the parent goes on */
  pinned_rig_give(rig, active);
}

static void a_child_after_fork_can_make_a_cache_of_its_own_and_so_can_its_child(void **state) {
  pinned_rig *rig = *state;
  pid_t child = fork();
  if (child == 0) {
    int line = use_a_cache_of_its_own(&rig->device), status = 0;
    pinned *cache = NULL;
    alarm(60);
    if (line != 0 || pinned_create(&cache, NULL, &rig->device) != HOSTCACHE_OK)
      end_child(line + __LINE__);
    child = fork();
    if (child == 0) {
      if (pinned_check(cache) != HOSTCACHE_ERR_FORKED) end_child(__LINE__);
      if (pinned_check(rig->cache) != HOSTCACHE_ERR_FORKED) end_child(__LINE__);
      end_child(use_a_cache_of_its_own(&rig->device));
    }
    if (waitpid(child, &status, 0) != child || status != 0) end_child(__LINE__);
    if (pinned_destroy(cache) != HOSTCACHE_OK) end_child(__LINE__);
    end_child(0);
  }
  assert_child_ends_well(child);
}

typedef struct busy_thread {
  pinned_rig *rig;
  atomic_bool stop;
} busy_thread;

static void *keep_every_lock_busy(void *argument) {
  busy_thread *b = argument;
  pinned *cache = b->rig->cache;
  while (!atomic_load(&b->stop)) {
    void *ptr;
    expect_or_abort(pinned_alloc(cache, 64 * KIB, &ptr) == HOSTCACHE_OK);
    expect_or_abort(pinned_record_stream(cache, ptr, 1) == HOSTCACHE_OK);
    expect_or_abort(pinned_free(cache, ptr) == HOSTCACHE_OK);
    expect_or_abort(pinned_process_events(cache, NULL) == HOSTCACHE_OK);
    expect_or_abort(pinned_check(cache) == HOSTCACHE_OK);
  }
  return NULL;
}

/* The bug: fork while a thread holds a lock deadlocks the child (pytorch #130610). */
static void a_child_never_waits_for_a_lock_that_a_thread_of_the_parent_held(void **state) {
  pinned_rig *rig = *state;
  busy_thread busy;
  pthread_t threads[2];
  size_t i;
  int round;
  busy.rig = rig;
  atomic_init(&busy.stop, false);
  for (i = 0; i < COUNT_OF(threads); i++)
    assert_int_equal(pthread_create(&threads[i], NULL, keep_every_lock_busy, &busy), 0);
  for (round = 0; round < 20; round++) {
    pid_t child;
    sim_lock(
        &rig->device); /* the simulated device's own lock, and stderr's, are free in the child */
    child = fork();
    if (child == 0) {
      hostcache_stats stats;
      alarm(60);
      if (pinned_stats(rig->cache, &stats) != HOSTCACHE_ERR_FORKED) end_child(__LINE__);
      if (pinned_check(rig->cache) != HOSTCACHE_ERR_FORKED) end_child(__LINE__);
      if (pinned_find(rig->cache, &stats) != NULL) end_child(__LINE__);
      if (pinned_destroy(rig->cache) != HOSTCACHE_ERR_FORKED) end_child(__LINE__);
      pinned_abandon(rig->cache);
      end_child(0);
    }
    sim_unlock(&rig->device);
    assert_child_ends_well(child);
  }
  atomic_store(&busy.stop, true);
  for (i = 0; i < COUNT_OF(threads); i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void a_child_has_the_locks_that_caches_share_to_itself(void **state) {
  pinned_rig *rig = *state;
  pid_t child;
  hostcache_lock(&hostcache_owners_lock);
  hostcache_lock(&hostcache_guests_lock);
  child = fork();
  if (child == 0) {
    alarm(10);
    hostcache_lock(&hostcache_owners_lock);
    hostcache_lock(&hostcache_guests_lock);
    hostcache_unlock(&hostcache_guests_lock);
    hostcache_unlock(&hostcache_owners_lock);
    end_child(use_a_cache_of_its_own(&rig->device));
  }
  hostcache_unlock(&hostcache_guests_lock);
  hostcache_unlock(&hostcache_owners_lock);
  assert_child_ends_well(child);
}

#define TESTS_OF_FORK                                                            \
  cmocka_unit_test(without_a_watch_on_forks_no_cache_is_made),                   \
      TEST(a_child_after_fork_gets_forked_from_everything_and_calls_no_hook),    \
      TEST(a_child_after_fork_can_make_a_cache_of_its_own_and_so_can_its_child), \
      TEST(a_child_has_the_locks_that_caches_share_to_itself),                   \
      TEST(a_child_never_waits_for_a_lock_that_a_thread_of_the_parent_held)

#endif

static int no_assertion_failed(void **state) {
  int failed = assertions_failed;
  assertions_failed = 0;
  return pinned_rig_teardown(state) | failed;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pinned_rig_setup, no_assertion_failed)

int main(void) {
  const struct CMUnitTest tests[] = {
      TESTS_OF_FORK,
      TEST(a_thread_leaves_no_stock_whether_its_end_is_told_or_not),
      cmocka_unit_test(where_no_key_is_left_none_is_set_or_deleted),
      TEST(a_barrier_that_the_system_has_is_used),
      TEST(the_bookkeeping_comes_from_the_malloc_that_was_given),
      TEST(durations_are_those_of_the_clock_that_was_given),
      TEST(the_least_and_the_most_of_all_durations_are_kept),
      TEST(a_clock_that_goes_back_gives_no_negative_duration),
      TEST(durations_that_add_up_to_too_much_wrap_around),
      cmocka_unit_test(a_thousand_caches_can_be_alive_at_once_and_two_thousand_come_and_go),
      cmocka_unit_test(locks_out_of_order_are_told),
#ifdef HOSTCACHE_FUTEX
      cmocka_unit_test(a_lock_given_back_that_was_not_taken_is_told),
      cmocka_unit_test(who_waits_long_for_a_lock_sleeps_and_is_woken),
#endif
      cmocka_unit_test(a_hook_with_a_lock_held_is_told),
      TEST(being_inside_of_a_record_counts_as_a_lock),
  };
  return cmocka_run_group_tests_name("glue", tests, NULL, NULL);
}
