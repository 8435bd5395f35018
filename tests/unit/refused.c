/* refused.c - tests what the cache does where the system refuses the barrier by which one thread
   reaches what another one has, although it was there when the cache was made; in each mode.

   Promises (sections 7 and 9 of the contract): what other threads have in stock stays, and a
   counter says so; a stream that cannot be forgotten goes on as before, with all its marks; nothing
   is handed out too early, lost, or waited for without an end; what is not done is not called OK,
   but for what a stock keeps. Where there never was such a barrier, nothing is refused. */

#include "sim/barrier.h"
#include "sim/below.h"

#include <sched.h>

/* What another thread does while the cache waits, at the next pause. */
static void (*at_a_pause)(void *user);
static void *at_a_pause_user;

static int pause_here(void) {
  void (*now)(void *user) = at_a_pause;
  if (now == NULL) return (sched_yield)();
  at_a_pause = NULL;
  now(at_a_pause_user);
  return 0;
}

#define sched_yield() pause_here()

#define SUITE "sim/suite_refused.h"
#include "sim/each_mode.h"

#define HC_NAME device
#define HC_DEVICE_ALLOCATOR
#define HC_TRACE
#include "sim/hooks_captures.h"
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE device
#include "sim/rig.h"

typedef struct owner { /* a thread that has a record of its own, and sleeps */
  device *cache;
  meeting meeting;
} owner;

static void *own_a_stock(void *argument) {
  owner *o = (owner *)argument;
  void *ptr = NULL;
  expect_or_abort(device_alloc(o->cache, 64 * KIB, &ptr) == HOSTCACHE_OK);
  expect_or_abort(device_free(o->cache, ptr) == HOSTCACHE_OK);
  reach(&o->meeting, 1);
  await(&o->meeting, 2);
  return NULL;
}

static void put_an_owner_to_sleep(owner *o, device *cache, pthread_t *thread) {
  const meeting nobody_yet = MEETING_INIT;
  o->cache = cache;
  o->meeting = nobody_yet;
  assert_int_equal(pthread_create(thread, NULL, own_a_stock, o), 0);
  await(&o->meeting, 1);
}

static void wake_the_owner(owner *o, pthread_t thread) {
  reach(&o->meeting, 2);
  assert_int_equal(pthread_join(thread, NULL), 0);
}

static void configure_shared_segments(device_rig *rig) {
  hostcache_config config = device_rig_config(rig);
  config.segment_bytes = 0;
  device_rig_configure(rig, config);
}

static void a_thread_that_is_alone_needs_no_barrier(void **state) {
  device_rig *rig = *state;
  configure_shared_segments(rig);
  device_rig_give(rig, device_rig_take(rig, 64 * KIB));
  barrier_refuse(1, true);
  assert_ok(device_empty_cache(rig->cache));
  assert_int_equal(barrier.calls, 0);
  barrier_refuse_no_more();
  assert_int_equal(device_rig_stats(rig).reserved_bytes.current, 0);
}

/* A thread that only frees: some blocks, and, when it is woken, the others. */
typedef struct only_frees {
  device *cache;
  void *blocks[40];
  meeting meeting;
  size_t most; /* bytes that it ever had in stock */
} only_frees;

static void *free_in_two_parts(void *argument) {
  only_frees *f = argument;
  size_t i;
  for (i = 0; i < COUNT_OF(f->blocks); i++) {
    size_t stocked;
    if (i == 10) {
      reach(&f->meeting, 1);
      await(&f->meeting, 2);
    }
    expect_or_abort(device_free(f->cache, f->blocks[i]) == HOSTCACHE_OK);
    stocked = device_i_here(f->cache)->stock_bytes;
    if (stocked > f->most) f->most = stocked;
  }
  reach(&f->meeting, 3);
  await(&f->meeting, 4);
  return NULL;
}

/* ... so it goes on to pass on whole batches; and of what it has passed on all is gathered. */
static void who_cannot_be_reached_is_not_asked_for_less_and_the_shared_bins_are_emptied(
    void **state) {
  device_rig *rig = *state;
  only_frees f = {NULL, {NULL}, MEETING_INIT, 0};
  pthread_t thread;
  size_t i;
  configure_shared_segments(rig);
  f.cache = rig->cache;
  for (i = 0; i < COUNT_OF(f.blocks); i++) assert_ok(device_alloc(f.cache, 64 * KIB, &f.blocks[i]));
  assert_int_equal(pthread_create(&thread, NULL, free_in_two_parts, &f), 0);
  await(&f.meeting, 1);
  barrier_refuse(1, true);
  assert_ok(device_empty_cache(f.cache));
  barrier_refuse_no_more();
  reach(&f.meeting, 2);
  await(&f.meeting, 3);
  assert_int_equal(f.most, 15 * 64 * KIB); /* the 16th is the last of a batch */
  assert_int_equal(f.cache->binned_bytes, 2 * 16 * 64 * KIB);
  barrier_refuse(1, true);
  assert_ok(device_empty_cache(f.cache));
  barrier_refuse_no_more();
  assert_int_equal(f.cache->binned_bytes, 0);
  reach(&f.meeting, 4);
  assert_int_equal(pthread_join(thread, NULL), 0);
}

static void *mark_a_block_and_sleep(void *argument) {
  owner *o = argument;
  void *ptr = NULL;
  expect_or_abort(device_alloc(o->cache, 64 * KIB, &ptr) == HOSTCACHE_OK);
  expect_or_abort(device_record_stream(o->cache, ptr, 1) == HOSTCACHE_OK);
  reach(&o->meeting, 1);
  await(&o->meeting, 2);
  expect_or_abort(device_free(o->cache, ptr) == HOSTCACHE_OK);
  return NULL;
}

/* Only to use what is left of a stream that was forgotten for one that the cache does not know. */
static void a_mark_holds_the_other_threads_only_where_it_must(void **state) {
  const meeting nobody_yet = MEETING_INIT;
  device_rig *rig = *state;
  void *ptr = device_rig_take(rig, 64 * KIB);
  pthread_t thread;
  owner o;
  o.cache = rig->cache;
  o.meeting = nobody_yet;
  assert_int_equal(pthread_create(&thread, NULL, mark_a_block_and_sleep, &o), 0);
  await(&o.meeting, 1);
  barrier_refuse(1, true);
  assert_ok(device_record_stream(rig->cache, ptr, 2)); /* no stream was forgotten so far */
  assert_int_equal(barrier.calls, 0);
  barrier_refuse_no_more();
  assert_ok(device_forget_stream(rig->cache, 2));
  barrier_refuse(1, true);
  assert_ok(
      device_record_stream(rig->cache, ptr, 1)); /* the cache knows it, though not from here */
  assert_int_equal(barrier.calls, 0);
  barrier_refuse_no_more();
  wake_the_owner(&o, thread);
}

/* What forgetting a stream with one marked block costs. */
static uint64_t barriers_to_forget(device_rig *rig, sim_stream stream) {
  uint64_t calls;
  void *ptr = device_rig_take(rig, 64 * KIB);
  (void)device_rig_use(rig, ptr, stream);
  barrier_refuse(0, false);
  assert_ok(device_forget_stream(rig->cache, stream));
  calls = barrier.calls;
  device_rig_give(rig, ptr);
  return calls;
}

/* ... neither for one that has no mark, nor for one that waits. */
static void forgetting_a_stream_holds_the_other_threads_for_each_marked_block_alone(void **state) {
  device_rig *rig = *state;
  owner o;
  pthread_t thread;
  uint64_t calls;
  int i;
  put_an_owner_to_sleep(&o, rig->cache, &thread);
  calls = barriers_to_forget(rig, 2);
  assert_true(calls > 0);
  for (i = 0; i < 5; i++) (void)device_rig_take(rig, 64 * KIB);
  for (i = 0; i < 5; i++) (void)device_rig_pend(rig, 64 * KIB, 1);
  assert_int_equal(barriers_to_forget(rig, 2), calls);
  wake_the_owner(&o, thread);
}

/* The largest may be in the stock that cannot be reached. */
static void cache_info_says_so_when_it_cannot_look_at_what_others_have(void **state) {
  device_rig *rig = *state;
  owner o;
  hostcache_device_stats stats;
  pthread_t thread;
  size_t size = 1;
  configure_shared_segments(rig);
  put_an_owner_to_sleep(&o, rig->cache, &thread);
  barrier_refuse(1, true);
  assert_result(device_cache_info(rig->cache, &size), HOSTCACHE_ERR_UNSUPPORTED);
  assert_int_equal(size, 0);
  assert_ok(device_device_stats(rig->cache, &stats)); /* as stats: exact when all is quiet */
  assert_int_equal(stats.active[HOSTCACHE_STAT_AGGREGATE].current, 0);
  assert_int_equal(stats.active[HOSTCACHE_STAT_SMALL_POOL].allocated, 1);
  barrier_refuse_no_more();
  assert_ok(device_cache_info(rig->cache, &size));
  assert_int_equal(size, 2 * MIB - 64 * KIB);
  wake_the_owner(&o, thread);
}

static void a_pool_goes_on_as_before_where_a_barrier_is_refused(void **state) {
  const hostcache_pool_id pool = {1, 2};
  device_rig *rig = *state;
  device_checkpoint *checkpoint = NULL;
  owner o;
  pthread_t thread;
  uint64_t calls, n;
  void *ptr;
  put_an_owner_to_sleep(&o, rig->cache, &thread);
  for (n = 1; n <= 2; n++) { /* before it is opened; when hooks are waited for after that */
    barrier_refuse(n, true);
    assert_result(device_begin_allocate_to_pool(rig->cache, pool, NULL, NULL),
                  HOSTCACHE_ERR_UNSUPPORTED);
    barrier_refuse_no_more();
    assert_int_equal(device_pool_use_count(rig->cache, pool), 0);
    calls = sim_capture_calls;
    device_rig_give(rig, device_rig_take(rig, 64 * KIB));
    assert_int_equal(sim_capture_calls, calls); /* none is open */
  }
  assert_ok(device_begin_allocate_to_pool(rig->cache, pool, NULL, NULL));
  ptr = device_rig_take(rig, 3 * MIB);
  assert_ok(device_retain_pool(rig->cache, pool));
  barrier_refuse(1, true);
  assert_result(device_end_allocate_to_pool(rig->cache, pool), HOSTCACHE_ERR_UNSUPPORTED);
  assert_result(device_release_pool(rig->cache, pool), HOSTCACHE_ERR_UNSUPPORTED);
  assert_result(device_retain_pool(rig->cache, pool), HOSTCACHE_ERR_UNSUPPORTED);
  assert_result(device_checkpoint_pool(rig->cache, pool, &checkpoint), HOSTCACHE_ERR_UNSUPPORTED);
  barrier_refuse_no_more();
  assert_null(checkpoint);
  assert_int_equal(device_pool_use_count(rig->cache, pool), 2);
  device_rig_give(rig, ptr);
  assert_ptr_equal(device_rig_take(rig, 3 * MIB), ptr); /* it is open still */
  assert_ok(device_end_allocate_to_pool(rig->cache, pool));
  barrier_refuse(1, true);
  assert_result(device_begin_allocate_to_pool(rig->cache, pool, NULL, NULL),
                HOSTCACHE_ERR_UNSUPPORTED);
  barrier_refuse_no_more();
  assert_int_equal(device_pool_use_count(rig->cache, pool), 2);
  assert_ok(device_release_pool(rig->cache, pool));
  assert_ok(device_release_pool(rig->cache, pool));
  wake_the_owner(&o, thread);
}

/* A thread that stops in a hook, until the test lets it go on. */
typedef struct stopped {
  device_rig *rig;
  meeting meeting;
  pthread_t thread;
  void *ptr; /* what it got */
} stopped;

static void *poll_and_stop(void *argument) {
  stopped *s = argument;
  stop_at = &s->meeting;
  stop_in = SIM_EVENT_QUERY;
  expect_or_abort(device_process_events(s->rig->cache, NULL) == HOSTCACHE_OK);
  return NULL;
}

static void *take_and_stop(void *argument) {
  stopped *s = argument;
  stop_at = &s->meeting;
  stop_in = SIM_MEM_ALLOC;
  expect_or_abort(device_alloc(s->rig->cache, 3 * MIB, &s->ptr) == HOSTCACHE_OK);
  return NULL;
}

static void stop_a_thread(stopped *s, device_rig *rig, void *(*body)(void *)) {
  const meeting nobody_yet = MEETING_INIT;
  s->rig = rig;
  s->meeting = nobody_yet;
  rig->device.on_hook = stop_in_a_hook;
  assert_int_equal(pthread_create(&s->thread, NULL, body, s), 0);
  await(&s->meeting, 1);
}

static void let_it_go_on(stopped *s) {
  reach(&s->meeting, 2);
  assert_int_equal(pthread_join(s->thread, NULL), 0);
}

/* An opening waits for a thread that asks an event. Meanwhile others do something with the pool;
   then the threads cannot be held any more, and the opening is undone. */
static const hostcache_pool_id UNDONE = {3, 4};

typedef struct opening {
  device_rig *rig;
  void (*meanwhile)(struct opening *o);
  void *ptr;
  stopped taker;
} opening;

static void do_it_meanwhile(void *user) {
  opening *o = user;
  if (o->meanwhile != NULL) o->meanwhile(o);
  barrier_refuse(1, true);
}

static void open_in_vain(opening *o, device_rig *rig, void (*meanwhile)(opening *o),
                         uint64_t use_count) {
  hostcache_result result;
  uint64_t uses;
  stopped poller;
  owner sleeper; /* there must be somebody to be held */
  pthread_t thread;
  put_an_owner_to_sleep(&sleeper, rig->cache, &thread);
  (void)device_rig_pend(rig, 64 * KIB, 1);
  stop_a_thread(&poller, rig, poll_and_stop);
  o->rig = rig;
  o->meanwhile = meanwhile;
  at_a_pause_user = o;
  at_a_pause = do_it_meanwhile;
  result = device_begin_allocate_to_pool(rig->cache, UNDONE, NULL, NULL);
  barrier_refuse_no_more();
  uses = device_pool_use_count(rig->cache, UNDONE);
  let_it_go_on(&poller);
  wake_the_owner(&sleeper, thread);
  assert_int_equal(result, HOSTCACHE_ERR_UNSUPPORTED);
  assert_null(at_a_pause);
  assert_int_equal(uses, use_count);
  assert_result(device_end_allocate_to_pool(rig->cache, UNDONE), HOSTCACHE_ERR_NOT_FOUND);
  sim_complete_all(&rig->device);
}

static void retain(opening *o) { assert_ok(device_retain_pool(o->rig->cache, UNDONE)); }

static void retain_and_close(opening *o) {
  retain(o);
  assert_ok(device_end_allocate_to_pool(o->rig->cache, UNDONE));
}

static void close_and_release(opening *o) {
  assert_ok(device_end_allocate_to_pool(o->rig->cache, UNDONE));
  assert_ok(device_release_pool(o->rig->cache, UNDONE));
}

static void take_of_it(opening *o) { o->ptr = device_rig_take(o->rig, 3 * MIB); }

static void retain_and_take(opening *o) {
  retain(o);
  take_of_it(o);
}

static void begin_to_take_of_it(opening *o) { stop_a_thread(&o->taker, o->rig, take_and_stop); }

static void an_opening_that_is_undone_undoes_nothing_that_others_did(void **state) {
  device_rig *rig = *state;
  opening o;
  open_in_vain(&o, rig, NULL, 0);
  open_in_vain(&o, rig, close_and_release, 0);
  open_in_vain(&o, rig, retain_and_close, 2);
  assert_ok(device_release_pool(rig->cache, UNDONE));
  assert_ok(device_release_pool(rig->cache, UNDONE));
  open_in_vain(&o, rig, retain, 1);
  assert_ok(device_release_pool(rig->cache, UNDONE));
  assert_result(device_release_pool(rig->cache, UNDONE), HOSTCACHE_ERR_NOT_FOUND);
}

static void what_was_got_while_an_opening_was_undone_keeps_its_pool(void **state) {
  device_rig *rig = *state;
  opening o;
  open_in_vain(&o, rig, take_of_it, 1);
  assert_int_equal(device_pool_reserved_bytes(rig->cache, UNDONE), 3 * MIB);
  device_rig_give(rig, o.ptr);
  assert_ptr_not_equal(device_rig_take(rig, 3 * MIB), o.ptr);
  assert_ok(device_release_pool(rig->cache, UNDONE));
  assert_ptr_equal(device_rig_take(rig, 3 * MIB), o.ptr);
  open_in_vain(&o, rig, retain_and_take, 1); /* which whoever retained it keeps */
  assert_ok(device_release_pool(rig->cache, UNDONE));
}

static void what_is_being_got_while_an_opening_is_undone_keeps_its_pool(void **state) {
  device_rig *rig = *state;
  opening o;
  open_in_vain(&o, rig, begin_to_take_of_it, 1);
  let_it_go_on(&o.taker);
  assert_int_equal(device_pool_reserved_bytes(rig->cache, UNDONE), 3 * MIB);
  assert_ok(device_free(rig->cache, o.taker.ptr));
  assert_ok(device_release_pool(rig->cache, UNDONE));
}

static void is_put_back_where_a_barrier_is_refused(device_rig *rig, hostcache_pool_id pool) {
  device_checkpoint *checkpoint;
  void *came;
  assert_ok(device_checkpoint_pool(rig->cache, pool, &checkpoint));
  came = device_rig_take(rig, 3 * MIB);
  barrier_refuse(1, true);
  assert_result(device_restore_pool(rig->cache, checkpoint, NULL, NULL), HOSTCACHE_ERR_UNSUPPORTED);
  barrier_refuse_no_more();
  assert_non_null(device_find(rig->cache, came));
  assert_ok(device_restore_pool(rig->cache, checkpoint, NULL, NULL));
  sim_handed_back(&rig->device, came);
  device_checkpoint_free(checkpoint);
}

static void a_checkpoint_is_not_put_back_where_a_barrier_is_refused(void **state) {
  const hostcache_pool_id pool = {1, 2};
  device_rig *rig = *state;
  owner o;
  pthread_t thread;
  put_an_owner_to_sleep(&o, rig->cache, &thread);
  assert_ok(device_begin_allocate_to_pool(rig->cache, pool, NULL, NULL));
  is_put_back_where_a_barrier_is_refused(rig, pool);
  assert_ok(device_end_allocate_to_pool(rig->cache, pool));
  assert_ok(device_release_pool(rig->cache, pool));
  wake_the_owner(&o, thread);
}

static int count_visit(void *user, const hostcache_visit *visit) {
  (void)visit;
  ++*(int *)user;
  return 0;
}

static int count_range(void *user, const hostcache_range *range) {
  (void)range;
  ++*(int *)user;
  return 0;
}

static void count_entry(void *user, const hostcache_trace *entry) {
  (void)entry;
  ++*(int *)user;
}

static void what_looks_at_all_blocks_says_so_where_it_cannot_hold_the_threads(void **state) {
  device_rig *rig = *state;
  owner o;
  pthread_t thread;
  int shown = 0;
  put_an_owner_to_sleep(&o, rig->cache, &thread);
  barrier_refuse(1, true);
  assert_result(device_walk(rig->cache, count_visit, &shown), HOSTCACHE_ERR_UNSUPPORTED);
  assert_result(device_snapshot(rig->cache, count_range, &shown), HOSTCACHE_ERR_UNSUPPORTED);
  assert_result(device_check(rig->cache), HOSTCACHE_ERR_UNSUPPORTED);
  assert_ok(device_release_quarantine(rig->cache));
  barrier_refuse_no_more();
  assert_int_equal(shown, 0);
  assert_ok(device_walk(rig->cache, count_visit, &shown));
  assert_true(shown > 0);
  wake_the_owner(&o, thread);
}

/* What another thread does would go by unheard. An end is one all the same. */
static void a_history_begins_only_where_all_threads_hear_of_it(void **state) {
  device_rig *rig = *state;
  owner o;
  pthread_t thread;
  static int first, second; /* who listens hears of the destroy as well */
  put_an_owner_to_sleep(&o, rig->cache, &thread);
  barrier_refuse(1, true);
  assert_result(device_record_history(rig->cache, 10, NULL, NULL), HOSTCACHE_ERR_UNSUPPORTED);
  assert_result(device_attach_trace_tracker(rig->cache, count_entry, &first),
                HOSTCACHE_ERR_UNSUPPORTED);
  barrier_refuse_no_more();
  assert_ok(device_attach_trace_tracker(rig->cache, count_entry, &second));
  assert_ok(device_record_history(rig->cache, 10, NULL, NULL));
  device_rig_give(rig, device_rig_take(rig, 64 * KIB));
  assert_int_equal(first, 0);
  assert_true(second > 0);
  barrier_refuse(1, true);
  assert_ok(device_record_history(rig->cache, 0, NULL, NULL));
  barrier_refuse_no_more();
  assert_ok(device_history(rig->cache, count_entry, &first));
  assert_int_equal(first, 0);
  wake_the_owner(&o, thread);
}

/* What is quarantined is its thread's: this one holds nothing but a lock. */
static void *quarantine_a_block(void *argument) {
  owner *o = (owner *)argument;
  void *ptr = NULL;
  expect_or_abort(device_alloc(o->cache, 64 * KIB, &ptr) == HOSTCACHE_OK);
  expect_or_abort(device_record_stream(o->cache, ptr, 1) == HOSTCACHE_OK);
  expect_or_abort(device_free(o->cache, ptr) == HOSTCACHE_ERR_EVENT);
  reach(&o->meeting, 1);
  await(&o->meeting, 2);
  return NULL;
}

static void what_another_thread_quarantined_stays_where_the_barrier_is_refused(void **state) {
  const meeting nobody_yet = MEETING_INIT;
  device_rig *rig = *state;
  owner o;
  pthread_t thread;
  o.cache = rig->cache;
  o.meeting = nobody_yet;
  sim_fail(&rig->device, 1, false, SIM_EVERY_RECORD);
  assert_int_equal(pthread_create(&thread, NULL, quarantine_a_block, &o), 0);
  await(&o.meeting, 1);
  barrier_refuse(1, true);
  assert_ok(device_release_quarantine(rig->cache));
  barrier_refuse_no_more();
  assert_true(device_rig_stats(rig).num_barriers_refused > 0);
  assert_int_equal(device_rig_stats(rig).quarantined.current, 1);
  assert_ok(device_release_quarantine(rig->cache));
  assert_int_equal(device_rig_stats(rig).quarantined.current, 0);
  wake_the_owner(&o, thread);
}

/* Each thread has a fence of its own instead. */
static void where_there_is_no_barrier_all_is_reached_and_nothing_refused(void **state) {
  device_rig *rig = *state;
  struct device_i_thread *own = device_i_here(rig->cache);
  owner o;
  pthread_t thread;
  size_t size;
  assert_int_equal(own->fence, 0);
  barrier.is_missing = true;
  configure_shared_segments(rig);
  barrier.is_missing = false;
  assert_false(barrier.is_there);
  own = device_i_here(rig->cache);
  assert_int_not_equal(own->fence, 0);
  assert_true(device_i_raise(own)); /* by the flag alone, not the lock */
  device_i_lower(own);
  put_an_owner_to_sleep(&o, rig->cache, &thread);
  barrier_refuse(1, true);
  assert_ok(device_cache_info(rig->cache, &size));
  assert_int_equal(size, 2 * MIB - 64 * KIB);
  assert_ok(device_empty_cache(rig->cache)); /* also what the other thread has in stock */
  assert_int_equal(barrier.calls, 0);
  barrier_refuse_no_more();
  assert_int_equal(device_rig_stats(rig).num_barriers_refused, 0);
  assert_int_equal(device_rig_stats(rig).reserved_bytes.current, 0);
  wake_the_owner(&o, thread);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_NONE_IN_EACH_MODE(
          a_stream_that_cannot_be_forgotten_for_want_of_a_barrier_goes_on_as_before),
      ON_NONE_IN_EACH_MODE(
          abandon_leaves_nothing_of_a_stream_that_could_not_be_forgotten_for_want_of_a_barrier),
      ON_EACH_MODE(what_others_have_in_stock_stays_and_a_counter_says_so),
      ON_EACH_MODE(a_bound_that_is_set_without_a_barrier_binds_what_others_have_when_it_is_reached),
      ON_EACH_MODE(what_another_thread_holds_gets_no_use_where_the_barrier_is_refused),
      ON_EACH_MODE_WITH_EVENTS(a_poll_that_is_refused_anywhere_leaves_all_to_the_next),
      ON_NONE_IN_EACH_MODE(synchronize_goes_on_where_a_barrier_is_refused_once),
      ON_EACH_MODE(synchronize_says_so_when_it_cannot_look_at_what_others_freed),
      cmocka_unit_test_setup_teardown(a_thread_that_is_alone_needs_no_barrier,
                                      device_rig_setup_alone, device_rig_teardown),
      cmocka_unit_test_setup_teardown(a_mark_holds_the_other_threads_only_where_it_must,
                                      device_rig_setup_alone, device_rig_teardown),
      cmocka_unit_test_setup_teardown(
          who_cannot_be_reached_is_not_asked_for_less_and_the_shared_bins_are_emptied,
          device_rig_setup_alone, device_rig_teardown),
      cmocka_unit_test_setup_teardown(
          forgetting_a_stream_holds_the_other_threads_for_each_marked_block_alone,
          device_rig_setup_alone, device_rig_teardown),
      cmocka_unit_test_setup_teardown(cache_info_says_so_when_it_cannot_look_at_what_others_have,
                                      device_rig_setup_alone, device_rig_teardown),
      cmocka_unit_test_setup_teardown(
          what_looks_at_all_blocks_says_so_where_it_cannot_hold_the_threads, device_rig_setup_alone,
          device_rig_teardown),
      cmocka_unit_test_setup_teardown(a_history_begins_only_where_all_threads_hear_of_it,
                                      device_rig_setup_alone, device_rig_teardown),
      cmocka_unit_test_setup_teardown(a_checkpoint_is_not_put_back_where_a_barrier_is_refused,
                                      device_rig_setup_alone, device_rig_teardown),
      cmocka_unit_test_setup_teardown(a_pool_goes_on_as_before_where_a_barrier_is_refused,
                                      device_rig_setup_alone, device_rig_teardown),
      cmocka_unit_test_setup_teardown(an_opening_that_is_undone_undoes_nothing_that_others_did,
                                      device_rig_setup_alone, device_rig_teardown),
      cmocka_unit_test_setup_teardown(what_was_got_while_an_opening_was_undone_keeps_its_pool,
                                      device_rig_setup_alone, device_rig_teardown),
      cmocka_unit_test_setup_teardown(what_is_being_got_while_an_opening_is_undone_keeps_its_pool,
                                      device_rig_setup_alone, device_rig_teardown),
      cmocka_unit_test_setup_teardown(
          what_another_thread_quarantined_stays_where_the_barrier_is_refused,
          device_rig_setup_alone, device_rig_teardown),
      cmocka_unit_test_setup_teardown(where_there_is_no_barrier_all_is_reached_and_nothing_refused,
                                      device_rig_setup_alone, device_rig_teardown),
  };
  if (!hostcache_barrier_ready()) {
    print_message("left out: here threads have fences of their own, which nobody can refuse\n");
    return 0;
  }
  return cmocka_run_group_tests_name("refused", tests, NULL, NULL);
}
