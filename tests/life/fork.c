/* fork.c - a process that has caches forks.

   Promises (section 9 of the contract): whatever other threads are in the middle of, each call in
   the child says FORKED at once, or NULL, or does nothing; no hook is called there; the child can
   exit, and make caches of its own; the parent goes on as if nothing had happened. (Forks with no
   other thread, and with threads that are just busy, are in unit/glue.c.)

   How: a thread of the parent holds each of the cache's locks in turn, or stands in each of the
   hooks in turn, while another one forks. A child that waits for what never comes is ended by its
   alarm, and that is the failure. */

#include <pthread.h>

/* The header's own call, so that a test can fork in the middle of it. */
static int atfork_where_a_test_may_wait(void (*prepare)(void), void (*parent)(void),
                                        void (*child)(void));
#define pthread_atfork atfork_where_a_test_may_wait

#include "sim/below.h"

#define HC_NAME pinned
#include "sim/hooks_pooled.h"
#include "sim/hooks_waits.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME counted
#include "sim/hooks_timeline.h"
#include "sim/hooks_waits.h"
#include "sim/hooks_ordered.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE pinned
#include "sim/rig.h"
#undef CACHE

#define CACHE counted
#include "sim/rig.h"
#undef CACHE

#include <signal.h>

#include "life.h"

/* ---- every function, in the child ------------------------------------------------------------ */

static int never_visited(void *user, const hostcache_visit *visit) {
  (void)user;
  MUST(visit == NULL);
  return 0;
}

#define MUST_SAY_FORKED(call) MUST((call) == HOSTCACHE_ERR_FORKED)

/* What the child of a test gets. */
typedef struct family {
  pinned_rig *rig;
  counted_rig *counted; /* or NULL */
  void *active;
  pinned_block *block;
  unsigned forks, ended_well; /* children of a hook */
} family;

static void call_what_only_this_one_has(counted *cache) {
  counted_block *block;
  void *ptr = cache;
  MUST_SAY_FORKED(counted_alloc_on(cache, 100, 1, &ptr));
  MUST(ptr == NULL);
  MUST_SAY_FORKED(counted_block_alloc_on(cache, 100, 1, &block));
  MUST(block == NULL);
  MUST_SAY_FORKED(counted_record_value(cache, &cache, 1, 1));
  MUST_SAY_FORKED(counted_block_record_value(cache, NULL, 1, 1));
  MUST_SAY_FORKED(counted_synchronize(cache, UINT64_MAX));
  MUST_SAY_FORKED(counted_forget_stream(cache, 1));
  MUST_SAY_FORKED(counted_destroy(cache));
  counted_abandon(cache);
}

static void call_everything(void *argument) {
  static const sim_event event = {1, 1};
  family *f = (family *)argument;
  pinned *cache = f->rig->cache;
  /* Not by the referee's own lock: whoever held that at the fork is not here any more. */
  const uint64_t calls = f->rig->device.all_calls;
  const long long records = atomic_load(&below.live);
  hostcache_stats stats;
  hostcache_budget budget;
  pinned_block *block = f->block;
  size_t ready = 5;
  void *ptr = f->active;
  MUST_SAY_FORKED(pinned_alloc(cache, 100, &ptr));
  MUST(ptr == NULL);
  MUST_SAY_FORKED(pinned_alloc(cache, 0, &ptr));
  MUST_SAY_FORKED(pinned_alloc(cache, SIZE_MAX, &ptr));
  MUST_SAY_FORKED(pinned_record_stream(cache, f->active, 1));
  MUST_SAY_FORKED(pinned_record_event(cache, f->active, event));
  MUST_SAY_FORKED(pinned_free(cache, f->active));
  MUST_SAY_FORKED(pinned_free(cache, NULL));
  MUST_SAY_FORKED(pinned_free(cache, &ptr)); /* foreign */
  MUST_SAY_FORKED(pinned_free_deferred(cache, f->active));
  MUST_SAY_FORKED(pinned_block_alloc(cache, 100, &block));
  MUST(block == NULL);
  MUST_SAY_FORKED(pinned_block_record_stream(cache, f->block, 1));
  MUST_SAY_FORKED(pinned_block_record_event(cache, f->block, event));
  MUST_SAY_FORKED(pinned_block_free(cache, f->block));
  MUST_SAY_FORKED(pinned_block_free_deferred(cache, f->block));
  MUST(pinned_find(cache, f->active) == NULL);
  MUST(pinned_block_ptr(f->block) == f->active); /* a handle stays readable */
  MUST(pinned_block_size(f->block) > 0);
  MUST_SAY_FORKED(pinned_process_events(cache, &ready));
  MUST(ready == 0);
  MUST_SAY_FORKED(pinned_synchronize(cache, UINT64_MAX));
  MUST_SAY_FORKED(pinned_empty_cache(cache));
  MUST_SAY_FORKED(pinned_trim(cache, 0));
  MUST_SAY_FORKED(pinned_trim_idle(cache, 0));
  MUST_SAY_FORKED(pinned_reserve(cache, 1, 1));
  MUST_SAY_FORKED(pinned_set_max_reserved_bytes(cache, 1));
  MUST_SAY_FORKED(pinned_set_max_cached_bytes(cache, 1));
  MUST_SAY_FORKED(pinned_forget_stream(cache, 1));
  MUST_SAY_FORKED(pinned_release_quarantine(cache));
  MUST_SAY_FORKED(pinned_stats(cache, &stats));
  MUST_SAY_FORKED(pinned_reset_accumulated_stats(cache));
  MUST_SAY_FORKED(pinned_reset_peak_stats(cache));
  MUST_SAY_FORKED(pinned_check(cache));
  MUST_SAY_FORKED(pinned_walk(cache, never_visited, NULL));
  MUST_SAY_FORKED(pinned_destroy(cache));
  pinned_abandon(cache);
  MUST_SAY_FORKED(pinned_destroy(cache)); /* abandon did nothing */
  (void)pinned_budget(&budget);           /* needs no cache */
  if (f->counted != NULL) call_what_only_this_one_has(f->counted->cache);
  MUST(f->rig->device.all_calls == calls);
  MUST(atomic_load(&below.live) == records); /* what another thread was changing is left alone */
}

/* A child can go on by itself, whatever its parent was in the middle of. */
static void make_a_cache(void) {
  sim_device *d = (sim_device *)malloc(sizeof *d);
  pinned *cache;
  void *ptr;
  MUST(d != NULL);
  sim_open(d);
  d->eager = true;
  MUST(pinned_create(&cache, NULL, d) == HOSTCACHE_OK);
  MUST(pinned_alloc(cache, 64 * KIB, &ptr) == HOSTCACHE_OK);
  MUST(pinned_record_stream(cache, ptr, 3) == HOSTCACHE_OK);
  MUST(pinned_free(cache, ptr) == HOSTCACHE_OK);
  MUST(pinned_check(cache) == HOSTCACHE_OK);
  MUST(pinned_destroy(cache) == HOSTCACHE_OK);
  MUST(sim_close(d, 0, 0) == 0);
  free(d);
}

static void call_everything_and_make_a_cache(void *argument) {
  threads_are_missing = true;
  call_everything(argument);
  make_a_cache();
}

/* Many of them, where a sanitizer takes a second for each exit. */
static void call_everything_and_leave(void *argument) {
  call_everything_and_make_a_cache(argument);
  _exit(0);
}

/* ---- with all kinds of things left undone ---------------------------------------------------- */

/* Active, cached, pending on streams and on an event handed over, freed in a callback,
   quarantined. */
static void leave_everything_undone(family *f, pinned_rig *rig) {
  void *ptr;
  memset(f, 0, sizeof *f);
  f->rig = rig;
  f->active = pinned_rig_take(rig, 64 * KIB);
  f->block = pinned_find(rig->cache, f->active);
  (void)pinned_rig_use(rig, f->active, 2);
  (void)pinned_rig_pend(rig, 64 * KIB, 1);
  (void)pinned_rig_pend(rig, 64 * KIB, 2);
  ptr = pinned_rig_take(rig, 64 * KIB);
  assert_ok(pinned_record_event(rig->cache, ptr, sim_own_event(&rig->device, 1)));
  pinned_rig_give(rig, ptr);
  ptr = pinned_rig_take(rig, 64 * KIB);
  (void)pinned_rig_use(rig, ptr, 3);
  sim_fail(&rig->device, 1, true, SIM_EVERY_RECORD | SIM_ONLY(SIM_STREAM_WAIT));
  sim_handed_back(&rig->device, ptr);
  assert_result(pinned_free(rig->cache, ptr), HOSTCACHE_ERR_EVENT);
  sim_fail_no_more(&rig->device);
  pinned_rig_give(rig, pinned_rig_take(rig, 128 * KIB));
  ptr = pinned_rig_take(rig, 256 * KIB);
  (void)pinned_rig_use(rig, ptr, 3);
  sim_handed_back(&rig->device, ptr);
  assert_ok(pinned_free_deferred(rig->cache, ptr));
}

static void a_child_leaves_alone_what_was_pending_in_its_parent(void **state) {
  pinned_rig *rig = *state;
  hostcache_stats before, after;
  counted_rig *other = counted_rig_open();
  family f;
  uint64_t calls;
  leave_everything_undone(&f, rig);
  (void)counted_rig_pend(other, 64 * KIB, 1);
  f.counted = other;
  before = pinned_rig_stats(rig);
  calls = rig->device.all_calls;
  in_a_child(call_everything_and_make_a_cache, &f);
  after = pinned_rig_stats(rig);
  assert_memory_equal(&before, &after, sizeof before);
  assert_int_equal(rig->device.all_calls, calls);
  pinned_rig_check(rig);
  assert_int_equal(pinned_rig_stats(rig).quarantined.current, 1);
  sim_complete_all(&rig->device);
  assert_ok(pinned_synchronize(rig->cache, UINT64_MAX));
  assert_int_equal(pinned_rig_stats(rig).pending.current, 0);
  counted_rig_destroy(other);
  assert_int_equal(sim_close(&other->device, 0, 0), 0); /* not the whole rig: the other is alive */
  free(other);
}

/* ---- with a lock held ------------------------------------------------------------------------ */

typedef struct holder {
  pinned *cache;
  hostcache_mutex *lock; /* NULL: the thread is inside of its own record, which is as good as one */
  meeting meeting;
} holder;

static void *hold_a_lock(void *argument) {
  holder *h = (holder *)argument;
  struct pinned_i_thread *own = h->lock == NULL ? pinned_i_here(h->cache) : NULL;
  if (own != NULL)
    pinned_i_begin(h->cache, own);
  else
    hostcache_lock(h->lock);
  reach(&h->meeting, 1);
  await(&h->meeting, 2);
  if (own != NULL)
    pinned_i_end(own);
  else
    hostcache_unlock(h->lock);
  return NULL;
}

static void fork_while_held(family *f, hostcache_mutex *lock) {
  holder h = {f->rig->cache, lock, MEETING_INIT};
  pthread_t thread;
  bool well;
  assert_int_equal(pthread_create(&thread, NULL, hold_a_lock, &h), 0);
  await(&h.meeting, 1);
  well = child_ends_well(call_everything_and_leave, f);
  reach(&h.meeting, 2);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_true(well);
}

/* The bug: fork while a thread holds a lock deadlocks the child (pytorch #130610). */
static void a_child_never_waits_for_a_lock_whichever_was_held(void **state) {
  pinned_rig *rig = *state;
  struct pinned_i_thread *thread;
  hostcache_mutex *lock;
  unsigned i, rank, threads = 0;
  family f;
  leave_everything_undone(&f, rig);
  for (i = 0; (lock = pinned_i_lock_by_number(rig->cache, i, &rank)) != NULL; i++)
    fork_while_held(&f, lock);
  assert_int_equal(i, 4);
  fork_while_held(&f, NULL);
  for (thread = pinned_i_threads(rig->cache); thread != NULL; thread = thread->next, threads++)
    fork_while_held(&f, &thread->lock);
  assert_int_equal(threads, 2); /* the main thread's, and that of the one that was inside */
  fork_while_held(&f, &hostcache_guests_lock);
}

/* ---- with a thread inside of a hook ---------------------------------------------------------- */

typedef struct visitor {
  pinned_rig *rig;
  sim_hook hook;
  meeting meeting;
  bool came_by;
} visitor;

/* Calls everything that calls a hook, so that it comes by the one in which it stops. */
static void *come_by_every_hook(void *argument) {
  visitor *v = (visitor *)argument;
  pinned *cache = v->rig->cache;
  int round;
  stop_in = v->hook;
  stop_at = &v->meeting;
  for (round = 0; round < 2; round++) {
    void *ptr, *other;
    expect_or_abort(pinned_alloc(cache, MIB + (size_t)round * MIB, &ptr) == HOSTCACHE_OK);
    expect_or_abort(pinned_alloc(cache, 4 * KIB, &other) == HOSTCACHE_OK);
    expect_or_abort(pinned_record_stream(cache, ptr, 5) == HOSTCACHE_OK);
    expect_or_abort(pinned_record_stream(cache, other, 6) == HOSTCACHE_OK);
    (void)sim_submit(&v->rig->device, 5);
    expect_or_abort(pinned_free(cache, ptr) == HOSTCACHE_OK);
    expect_or_abort(pinned_free(cache, other) == HOSTCACHE_OK);
    expect_or_abort(pinned_synchronize(cache, UINT64_MAX) == HOSTCACHE_OK);
    expect_or_abort(pinned_forget_stream(cache, 5) == HOSTCACHE_OK);
    expect_or_abort(pinned_empty_cache(cache) == HOSTCACHE_OK);
  }
  v->came_by = stop_at == NULL;
  stop_at = NULL;
  reach(&v->meeting, 1); /* where it did not */
  return NULL;
}

static void a_child_is_not_drawn_into_a_hook_in_which_a_thread_of_its_parent_stands(void **state) {
  static const sim_hook hooks[] = {SIM_MEM_ALLOC,     SIM_MEM_FREE,     SIM_EVENT_CREATE,
                                   SIM_EVENT_DESTROY, SIM_EVENT_RECORD, SIM_EVENT_QUERY,
                                   SIM_EVENT_WAIT};
  pinned_rig *rig = *state;
  size_t i;
  for (i = 0; i < COUNT_OF(hooks); i++) {
    visitor v = {rig, hooks[i], MEETING_INIT, false};
    family f;
    pthread_t thread;
    bool well;
    leave_everything_undone(&f, rig);
    sim_complete_all(&rig->device);
    rig->device.on_hook = stop_in_a_hook;
    assert_int_equal(pthread_create(&thread, NULL, come_by_every_hook, &v), 0);
    await(&v.meeting, 1);
    well = child_ends_well(call_everything_and_make_a_cache, &f);
    reach(&v.meeting, 2);
    assert_int_equal(pthread_join(thread, NULL), 0);
    rig->device.on_hook = NULL;
    assert_true(well);
    assert_true(v.came_by);
    pinned_rig_give(rig, f.active);
    sim_complete_all(&rig->device);
    assert_ok(pinned_release_quarantine(rig->cache));
  }
}

/* ---- a hook that forks ----------------------------------------------------------------------- */

/* As a runtime does that starts another program to compile a kernel. */
static void fork_inside(void *user, sim_hook hook) {
  family *f = (family *)user;
  (void)hook;
  f->forks++;
  f->ended_well += child_ends_well(call_everything_and_make_a_cache, f);
}

static void a_hook_may_fork(void **state) {
  pinned_rig *rig = *state;
  family f;
  void *ptr;
  leave_everything_undone(&f, rig);
  rig->device.on_hook = fork_inside;
  rig->device.on_hook_user = &f;
  ptr = pinned_rig_take(rig, MIB);
  (void)pinned_rig_use(rig, ptr, 1);
  pinned_rig_give(rig, ptr);
  assert_ok(pinned_process_events(rig->cache, NULL));
  rig->device.on_hook = NULL;
  assert_true(f.forks > 3);
  assert_int_equal(f.ended_well, f.forks);
}

static void a_child_forked_from_a_callback_of_the_device_can_exit(void **state) {
  pinned_rig *rig = *state;
  family f;
  leave_everything_undone(&f, rig);
  assert_ok(pinned_free_deferred(rig->cache, f.active)); /* as in a callback; and it forks there */
  sim_handed_back(&rig->device, f.active);
  in_a_child(call_everything_and_make_a_cache, &f);
}

/* ---- while the first cache of the process is made -------------------------------------------- */

#undef pthread_atfork

static meeting *in_atfork; /* or NULL */

static int atfork_where_a_test_may_wait(void (*prepare)(void), void (*parent)(void),
                                        void (*child)(void)) {
  if (in_atfork != NULL) {
    reach(in_atfork, 1);
    await(in_atfork, 2);
  }
  return pthread_atfork(prepare, parent, child);
}

static void *make_a_cache_of_its_own(void *argument) {
  (void)argument;
  make_a_cache();
  return NULL;
}

static void fork_while_forks_are_not_watched_yet(void *argument) {
  meeting m = MEETING_INIT;
  pthread_t thread;
  pid_t child;
  int status;
  (void)argument;
  hostcache_forks_watched = NULL; /* as in a process that has had no cache so far */
  in_atfork = &m;
  MUST(pthread_create(&thread, NULL, make_a_cache_of_its_own, NULL) == 0);
  await(&m, 1);
  child = fork();
  if (child == 0) {
    alarm(20);
    in_atfork = NULL;
    make_a_cache();
    _exit(0);
  }
  MUST(waitpid(child, &status, 0) == child);
  reach(&m, 2);
  MUST(pthread_join(thread, NULL) == 0);
  MUST(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void a_child_forked_while_a_thread_makes_the_first_cache_can_make_its_own(void **state) {
  (void)state;
  in_a_child(fork_while_forks_are_not_watched_yet, NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pinned_rig_setup, pinned_rig_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_child_leaves_alone_what_was_pending_in_its_parent),
      TEST(a_child_never_waits_for_a_lock_whichever_was_held),
      TEST(a_child_is_not_drawn_into_a_hook_in_which_a_thread_of_its_parent_stands),
      TEST(a_hook_may_fork),
      TEST(a_child_forked_from_a_callback_of_the_device_can_exit),
      cmocka_unit_test(a_child_forked_while_a_thread_makes_the_first_cache_can_make_its_own),
  };
  return cmocka_run_group_tests_name("life.fork", tests, NULL, NULL);
}
