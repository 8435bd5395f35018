/* leave.c - a process ends, with caches in it.

   Promises (section 9 of the contract): nothing of the header runs at exit, so that no hook is
   called on a runtime that is gone; whoever still uses a cache then, in an atexit handler or on
   another thread, can; a cache may be destroyed or abandoned there.

   How: each way to end is that of a child, and its exit status the result. After sim_shutdown any
   hook aborts. The child's caches are reachable from static variables, as those of a program are:
   so a leak checker that looks at exit must have nothing to say, and what it says is a failure. */

#include "sim/below.h"

#define HC_NAME pinned
#define HC_HOST_ALLOCATOR
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE pinned
#include "sim/rig.h"
#undef CACHE

#include "life.h"

static sim_device *device;
static pinned *cache;
static void *active;
static atomic_int *handlers; /* that ran to their end */

/* A cache with blocks in each state. */
static void begin(void) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  void *ptr;
  int i;
  config.segment_bytes = 64 * KIB;
  device = (sim_device *)malloc(sizeof *device);
  MUST(device != NULL);
  sim_open(device);
  MUST(pinned_create(&cache, &config, device) == HOSTCACHE_OK);
  MUST(pinned_alloc(cache, 8 * KIB, &active) == HOSTCACHE_OK);
  MUST(pinned_record_stream(cache, active, 3) == HOSTCACHE_OK);
  for (i = 0; i < 8; i++) { /* 0 is cached, 1 quarantined, 2 of a callback, the rest pending */
    MUST(pinned_alloc(cache, 32 * KIB, &ptr) == HOSTCACHE_OK);
    if (i > 0) MUST(pinned_record_stream(cache, ptr, i % 3) == HOSTCACHE_OK);
    if (i > 4) MUST(pinned_record_event(cache, ptr, sim_own_event(device, 1)) == HOSTCACHE_OK);
    (void)sim_submit(device, i % 3);
    if (i == 1) sim_fail(device, 1, false, SIM_EVERY_RECORD);
    if (i == 2) {
      MUST(pinned_free_deferred(cache, ptr) == HOSTCACHE_OK);
    } else {
      MUST(pinned_free(cache, ptr) == (i == 1 ? HOSTCACHE_ERR_EVENT : HOSTCACHE_OK));
    }
    if (i == 1) MUST(sim_calls(device, SIM_EVERY_RECORD) > 0);
  }
  MUST(pinned_check(cache) == HOSTCACHE_OK);
}

/* The cache can do all that it could before. */
static void use_the_cache(void) {
  hostcache_result result;
  void *ptr;
  MUST(pinned_find(cache, active) != NULL);
  MUST(pinned_alloc(cache, 8 * KIB, &ptr) == HOSTCACHE_OK);
  MUST(pinned_record_stream(cache, ptr, 1) == HOSTCACHE_OK);
  MUST(pinned_free(cache, ptr) == HOSTCACHE_OK);
  result = pinned_process_events(cache, NULL);
  MUST(result == HOSTCACHE_OK);
  MUST(pinned_empty_cache(cache) == HOSTCACHE_OK);
  MUST(pinned_check(cache) == HOSTCACHE_OK);
}

/* Nothing is left, when all is complete. */
static void destroy_the_cache(void) {
  sim_complete_all(device);
  MUST(pinned_free(cache, active) == HOSTCACHE_OK);
  sim_complete_all(device);
  MUST(pinned_synchronize(cache, UINT64_MAX) == HOSTCACHE_OK);
  MUST(pinned_release_quarantine(cache) == HOSTCACHE_OK);
  MUST(pinned_destroy(cache) == HOSTCACHE_OK);
  MUST(atomic_load(&below.live) == 0);
  MUST(sim_close(device, 0, 0) == 0);
  free(device);
}

/* ---- handlers -------------------------------------------------------------------------------- */

static void handler_that_uses(void) {
  use_the_cache();
  atomic_fetch_add(handlers, 1);
}

static void handler_that_destroys(void) {
  use_the_cache();
  destroy_the_cache();
  atomic_fetch_add(handlers, 1);
}

static void handler_that_abandons(void) {
  void *idle;
  MUST(pinned_alloc(cache, MIB, &idle) == HOSTCACHE_OK);
  MUST(pinned_free(cache, idle) == HOSTCACHE_OK);
  sim_shutdown(device);
  pinned_abandon(cache);
  MUST(atomic_load(&below.live) == 0);
  atomic_fetch_add(handlers, 1);
}

/* The last thing that is registered runs first. */
static void at_exit(void (*handler)(void)) { MUST(atexit(handler) == 0); }

/* ---- ways to end ----------------------------------------------------------------------------- */

static void with_everything_alive(void *unused) {
  (void)unused;
  begin();
  sim_shutdown(device);
}

static void at_once(void *unused) {
  (void)unused;
  begin();
  sim_shutdown(device);
  _Exit(0);
}

static void with_handlers_on_both_sides_of_create(void *unused) {
  (void)unused;
  at_exit(handler_that_destroys);
  begin();
  at_exit(handler_that_uses);
}

static void with_a_handler_that_abandons(void *unused) {
  (void)unused;
  begin();
  at_exit(handler_that_abandons);
  at_exit(handler_that_uses);
}

/* As a runtime's own handler of fatal errors does. */
static void exit_inside(void *user, sim_hook hook) {
  (void)user;
  if (hook != SIM_EVENT_QUERY) return;
  device->on_hook = NULL;
  exit(0);
}

static void inside_of_a_hook(void *unused) {
  (void)unused;
  begin();
  at_exit(handler_that_uses);
  device->on_hook = exit_inside;
  (void)pinned_process_events(cache, NULL);
  MUST(cache == NULL); /* it does not come back */
}

static void *exit_on_this_thread(void *argument) {
  await((meeting *)argument, 1);
  exit(0);
}

static void *stand_in_a_hook(void *argument) {
  stop_at = (meeting *)argument;
  stop_in = SIM_EVENT_QUERY;
  (void)pinned_process_events(cache, NULL);
  MUST(cache == NULL); /* it does not come back */
  return NULL;
}

/* One thread stands in a hook, one sleeps in the test, and a third one ends the process. */
static void on_another_thread_while_one_is_inside_of_a_hook(void *unused) {
  static meeting m = MEETING_INIT, never = MEETING_INIT;
  static pthread_t threads[2];
  (void)unused;
  begin();
  at_exit(handler_that_uses);
  device->on_hook = stop_in_a_hook;
  MUST(pthread_create(&threads[0], NULL, stand_in_a_hook, &m) == 0);
  MUST(pthread_create(&threads[1], NULL, exit_on_this_thread, &m) == 0);
  await(&never, 1);
}

static void *use_without_end(void *argument) {
  for (;;) {
    void *ptr;
    MUST(pinned_alloc(cache, 16 * KIB, &ptr) == HOSTCACHE_OK);
    MUST(pinned_record_stream(cache, ptr, 5) == HOSTCACHE_OK);
    MUST(pinned_free(cache, ptr) == HOSTCACHE_OK);
    MUST(pinned_process_events(cache, NULL) == HOSTCACHE_OK);
    reach((meeting *)argument, 1);
  }
  return NULL;
}

static void while_threads_are_at_work(void *unused) {
  static meeting m = MEETING_INIT;
  static pthread_t threads[2];
  size_t i;
  (void)unused;
  begin();
  device->eager = true;
  at_exit(handler_that_uses);
  for (i = 0; i < COUNT_OF(threads); i++)
    MUST(pthread_create(&threads[i], NULL, use_without_end, &m) == 0);
  await(&m, 1);
}

/* The loop for a thread of the user's own (background_run). */
static void *poll_without_end(void *unused) {
  (void)unused;
  MUST(pinned_background_run(cache, 0) == HOSTCACHE_OK);
  return NULL;
}

static pthread_t loop;

static void begin_with_a_loop(void) {
  void *ptr;
  hostcache_stats stats;
  begin();
  MUST(pthread_create(&loop, NULL, poll_without_end, NULL) == 0);
  MUST(pinned_alloc(cache, 8 * KIB, &ptr) == HOSTCACHE_OK);
  MUST(pinned_record_stream(cache, ptr, 7) == HOSTCACHE_OK);
  MUST(pinned_free(cache, ptr) == HOSTCACHE_OK);
  sim_complete_all(device);
  do {
    MUST(pinned_stats(cache, &stats) == HOSTCACHE_OK);
  } while (stats.pending.current > 0);
}

static void while_a_thread_polls(void *unused) {
  (void)unused;
  begin_with_a_loop();
}

static void handler_that_stops_the_loop(void) {
  MUST(pinned_background_stop(cache) == HOSTCACHE_OK);
  MUST(pthread_join(loop, NULL) == 0);
  sim_shutdown(device);
  atomic_fetch_add(handlers, 1);
}

static void with_a_handler_that_stops_who_polls(void *unused) {
  (void)unused;
  begin_with_a_loop();
  at_exit(handler_that_stops_the_loop);
}

static meeting main_is_gone = MEETING_INIT;

/* The destructor of a thread-local variable of the main thread. */
static void say_so(void *unused) {
  (void)unused;
  reach(&main_is_gone, 1);
}

static void *destroy_when_main_is_gone(void *unused) {
  (void)unused;
  await(&main_is_gone, 1);
  use_the_cache();
  destroy_the_cache();
  atomic_fetch_add(handlers, 1);
  exit(0);
}

static void after_the_main_thread(void *unused) {
  static pthread_t last;
  static pthread_key_t key;
  (void)unused;
  begin();
  threads_are_missing = true;
  MUST(pthread_key_create(&key, say_so) == 0);
  MUST(pthread_setspecific(key, &key) == 0);
  MUST(pthread_create(&last, NULL, destroy_when_main_is_gone, NULL) == 0);
  pthread_exit(NULL);
}

/* ---- the tests ------------------------------------------------------------------------------- */

/* Ends a child in this way, in which so many handlers run. */
static void end_a_child(void (*way)(void *), int count) {
  handlers = shared_count();
  in_a_child(way, NULL);
  assert_int_equal(shared_count_end(handlers), count);
}

#define WAY(name, way, count)      \
  static void name(void **state) { \
    (void)state;                   \
    end_a_child(way, count);       \
  }

/* The bugs: crashes in static destructors, hooks called after the runtime is gone (rmm #2367,
   #1375). */
WAY(a_process_may_exit_with_everything_alive, with_everything_alive, 0)
WAY(a_process_may_end_at_once, at_once, 0)
WAY(handlers_from_before_and_after_create_use_the_cache, with_handlers_on_both_sides_of_create, 2)
WAY(a_handler_may_abandon_the_cache, with_a_handler_that_abandons, 2)
WAY(a_hook_may_end_the_process, inside_of_a_hook, 1)
WAY(a_thread_may_end_the_process_while_another_is_in_a_hook,
    on_another_thread_while_one_is_inside_of_a_hook, 1)
WAY(a_process_may_exit_while_threads_are_at_work, while_threads_are_at_work, 1)
WAY(a_process_may_exit_while_a_thread_polls, while_a_thread_polls, 0)
WAY(the_runtime_may_end_once_who_polls_was_stopped, with_a_handler_that_stops_who_polls, 1)
WAY(the_cache_outlives_the_main_thread, after_the_main_thread, 1)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_process_may_exit_with_everything_alive),
      cmocka_unit_test(a_process_may_end_at_once),
      cmocka_unit_test(handlers_from_before_and_after_create_use_the_cache),
      cmocka_unit_test(a_handler_may_abandon_the_cache),
      cmocka_unit_test(a_hook_may_end_the_process),
      cmocka_unit_test(a_thread_may_end_the_process_while_another_is_in_a_hook),
      cmocka_unit_test(a_process_may_exit_while_threads_are_at_work),
      cmocka_unit_test(a_process_may_exit_while_a_thread_polls),
      cmocka_unit_test(the_runtime_may_end_once_who_polls_was_stopped),
      cmocka_unit_test(the_cache_outlives_the_main_thread),
  };
  return cmocka_run_group_tests_name("life.leave", tests, NULL, NULL);
}
