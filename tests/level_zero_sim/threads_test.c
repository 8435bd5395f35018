/* threads_test.c - what two threads must not do at once, and what the driver does with threads that
   are allowed to meet. */

#include "rig.h"

#include <stdatomic.h>

/* ---- two threads at once --------------------------------------------------------------------- */

enum { MANY = 1000000 }; /* they meet long before */

typedef struct race race;

struct race {
  void (*call)(race *r);
  ze_command_queue_handle_t queue;
  ze_command_list_handle_t list;
  ze_event_handle_t event;
  ze_event_pool_handle_t pool;
  uint32_t index;
  const char *text; /* of the report that both wait for */
  atomic_bool *met;
};

/* Until the referee has seen them meet; what else it says on the way is no matter. */
static void *repeat(void *argument) {
  race *r = argument;
  int i;
  for (i = 0; i < MANY && !atomic_load(r->met); i++) {
    r->call(r);
    if (ze_sim_expected(r->text) != 0) atomic_store(r->met, true);
    (void)ze_sim_expected(""); /* not more than it remembers */
  }
  return NULL;
}

static void meet(race first, race second, const char *text) {
  atomic_bool met = false;
  pthread_t thread;
  first.text = second.text = text;
  first.met = second.met = &met;
  ze_sim_widen(1);
  thread = begin_thread(repeat, &second);
  repeat(&first);
  pthread_join(thread, NULL);
  assert_true(atomic_load(&met));
  (void)ze_sim_expected("");
  ze_sim_settle();
}

static void append(race *r) { (void)zeCommandListAppendBarrier(r->list, r->event, 0, NULL); }
static void close_list(race *r) { (void)zeCommandListClose(r->list); }
static void reset_list(race *r) { (void)zeCommandListReset(r->list); }
static void reset_event(race *r) { (void)zeEventHostReset(r->event); }
static void signal_event(race *r) { (void)zeEventHostSignal(r->event); }

static void execute_list(race *r) {
  (void)zeCommandQueueExecuteCommandLists(r->queue, 1, &r->list, NULL);
}

static void create_event(race *r) {
  const ze_event_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_EVENT_DESC, .index = r->index};
  ze_event_handle_t event = NULL;
  if (zeEventCreate(r->pool, &desc, &event) == ZE_RESULT_SUCCESS) ok(zeEventDestroy(event));
}

static void a_list_appended_to_by_two_threads_at_once(void **state) {
  race r = {.call = append, .list = new_immediate()};
  (void)state;
  meet(r, r, "two threads append to the command list");
  ok(zeCommandListDestroy(r.list));
  r.list = new_list();
  meet(r, r, "two threads append to the command list");
  ok(zeCommandListDestroy(r.list));
}

static void a_list_reset_by_two_threads_at_once(void **state) {
  const race r = {.call = reset_list, .list = new_list()};
  (void)state;
  meet(r, r, "zeCommandListReset: two threads use the command list");
  ok(zeCommandListDestroy(r.list));
}

static void a_list_closed_while_another_thread_appends(void **state) {
  race one = {.call = append, .list = new_list()}, other = one;
  (void)state;
  other.call = close_list;
  meet(one, other, "zeCommandListClose: two threads use the command list");
  ok(zeCommandListDestroy(one.list));
}

static void a_list_executed_while_another_thread_uses_it(void **state) {
  race one = {.call = append, .list = new_list(), .queue = new_queue()}, other = one;
  (void)state;
  other.call = execute_list;
  meet(one, other, "zeCommandQueueExecuteCommandLists: two threads use the command list");
  one.call = reset_list;
  meet(one, other, "zeCommandQueueExecuteCommandLists: two threads use the command list");
  meet(one, other, "zeCommandListReset: two threads use the command list");
  meet(other, other, "zeCommandQueueExecuteCommandLists: two threads use the command list");
  wait_idle(one.queue);
  ok(zeCommandListDestroy(one.list));
  ok(zeCommandQueueDestroy(one.queue));
}

static void an_event_reset_by_two_threads_at_once(void **state) {
  const with_event w = begin();
  const race r = {.call = reset_event, .event = w.event};
  (void)state;
  meet(r, r, "two threads record or reset the event");
  end(w);
}

/* On different lists, so that it is the event alone that they share. Regular lists: nothing is
   executed. */
static void an_event_recorded_by_two_threads_at_once(void **state) {
  const with_event w = begin();
  const race first = {.call = append, .list = new_list(), .event = w.event};
  const race second = {.call = append, .list = new_list(), .event = w.event};
  const race reset = {.call = reset_event, .event = w.event};
  const race signal = {.call = signal_event, .event = w.event};
  (void)state;
  meet(first, second, "zeCommandListAppendBarrier: two threads record or reset the event");
  meet(first, reset, "two threads record or reset the event");
  meet(first, signal, "zeEventHostSignal: two threads record or reset the event");
  ok(zeCommandListDestroy(first.list));
  ok(zeCommandListDestroy(second.list));
  end(w);
}

static void events_of_one_pool_created_by_two_threads_at_once(void **state) {
  race one = {.call = create_event, .pool = new_pool(2)}, other = one;
  (void)state;
  other.index = 1;
  meet(one, other, "two threads create events of the event pool");
  ok(zeEventPoolDestroy(one.pool));
}

/* A thread is inside of the object when another destroys it. The loader's own handles do not
   survive that, so it is for the plain ones alone. */
typedef struct victim {
  ze_command_list_handle_t list;
  ze_event_handle_t event;
  atomic_bool gone;
} victim;

static void *append_until_gone(void *argument) {
  victim *v = argument;
  while (!atomic_load(&v->gone)) {
    const ze_result_t result = zeCommandListAppendBarrier(v->list, v->event, 0, NULL);
    if (result != ZE_RESULT_SUCCESS) break;
  }
  return NULL;
}

static void a_list_destroyed_while_another_thread_appends(void **state) {
  uint64_t met = 0;
  int i;
  (void)state;
  for (i = 0; i < MANY && met == 0 && !wrapped; i++) {
    victim v = {.list = new_list()};
    const uint64_t calls = ze_sim_calls("zeCommandListAppendBarrier");
    pthread_t thread;
    ze_sim_widen(1);
    thread = begin_thread(append_until_gone, &v);
    wait_until_called("zeCommandListAppendBarrier", calls + 1);
    ok(zeCommandListDestroy(v.list));
    atomic_store(&v.gone, true);
    pthread_join(thread, NULL);
    met = ze_sim_expected("zeCommandListDestroy: two threads use or destroy the command list");
    (void)ze_sim_expected("is destroyed"); /* appended to later */
  }
  assert_true(met == 1 || wrapped);
}

static void an_event_destroyed_while_another_thread_records_it(void **state) {
  uint64_t met = 0;
  int i;
  (void)state;
  for (i = 0; i < MANY && met == 0 && !wrapped; i++) {
    with_event w = {.list = new_list(), .pool = new_pool(1)};
    victim v = {.list = w.list, .event = new_event(w.pool, 0)};
    const uint64_t calls = ze_sim_calls("zeCommandListAppendBarrier");
    pthread_t thread;
    ze_sim_widen(1);
    thread = begin_thread(append_until_gone, &v);
    wait_until_called("zeCommandListAppendBarrier", calls + 1);
    ok(zeEventDestroy(v.event));
    atomic_store(&v.gone, true);
    pthread_join(thread, NULL);
    met = ze_sim_expected("is destroyed while another thread records or resets it");
    (void)ze_sim_expected("is destroyed");
    ok(zeEventPoolDestroy(w.pool));
    ok(zeCommandListDestroy(w.list));
  }
  assert_true(met == 1 || wrapped);
}

/* ---- destroyed while a thread waits ---------------------------------------------------------- */

static void an_event_destroyed_while_a_thread_waits_for_it(void **state) {
  ze_event_pool_handle_t pool = new_pool(1);
  ze_event_handle_t event = new_event(pool, 0);
  const pthread_t thread = begin_thread(wait_for_event, event);
  (void)state;
  wait_until_called("zeEventHostSynchronize", 1);
  ok(zeEventDestroy(event));
  assert_int_equal(result_of(thread), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("is destroyed while a thread waits for it");
  ok(zeEventPoolDestroy(pool));
}

static void a_fence_destroyed_while_a_thread_waits_for_it(void **state) {
  ze_command_queue_handle_t queue = new_queue();
  ze_fence_handle_t fence = new_fence(queue);
  const pthread_t thread = begin_thread(wait_for_fence, fence);
  (void)state;
  wait_until_called("zeFenceHostSynchronize", 1);
  ok(zeFenceDestroy(fence));
  assert_int_equal(result_of(thread), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("is destroyed while a thread waits for it");
  ok(zeCommandQueueDestroy(queue));
}

/* ---- what is allowed ------------------------------------------------------------------------- */

typedef struct handshake {
  ze_event_handle_t there, back;
  ze_command_list_handle_t list; /* reset too, if not NULL */
} handshake;

enum { SHAKES = 500 };

static void *see_and_reset(void *argument) {
  const handshake *h = argument;
  int i;
  for (i = 0; i < SHAKES; i++) {
    wait_for(h->there);
    ok(zeEventHostReset(h->there));
    if (h->list != NULL) ok(zeCommandListReset(h->list));
    ok(zeEventHostSignal(h->back));
  }
  return NULL;
}

static void wait_for_the_other(const handshake *h) {
  wait_for(h->back);
  ok(zeEventHostReset(h->back));
}

/* Whoever sees the event may use it again, though the call that recorded it has yet to return. */
static void an_event_of_a_synchronous_list_is_free_once_it_is_seen(void **state) {
  ze_command_list_handle_t list = new_immediate_of(ZE_COMMAND_QUEUE_MODE_SYNCHRONOUS);
  ze_event_pool_handle_t pool = new_pool(2);
  handshake h = {.there = new_event(pool, 0), .back = new_event(pool, 1)};
  const pthread_t thread = begin_thread(see_and_reset, &h);
  int i;
  (void)state;
  for (i = 0; i < SHAKES; i++) {
    barrier(list, h.there);
    wait_for_the_other(&h);
  }
  pthread_join(thread, NULL);
  ok(zeEventDestroy(h.there));
  ok(zeEventDestroy(h.back));
  ok(zeEventPoolDestroy(pool));
  ok(zeCommandListDestroy(list));
}

static void a_list_on_a_synchronous_queue_is_free_once_its_event_is_seen(void **state) {
  ze_command_queue_handle_t queue = new_queue_of(context, ZE_COMMAND_QUEUE_MODE_SYNCHRONOUS);
  ze_event_pool_handle_t pool = new_pool(2);
  handshake h = {.there = new_event(pool, 0), .back = new_event(pool, 1), .list = new_list()};
  const pthread_t thread = begin_thread(see_and_reset, &h);
  int i;
  (void)state;
  for (i = 0; i < SHAKES; i++) {
    barrier(h.list, h.there);
    ok(zeCommandListClose(h.list));
    execute(queue, h.list, NULL);
    wait_for_the_other(&h);
  }
  pthread_join(thread, NULL);
  ok(zeEventDestroy(h.there));
  ok(zeEventDestroy(h.back));
  ok(zeEventPoolDestroy(pool));
  ok(zeCommandListDestroy(h.list));
  ok(zeCommandQueueDestroy(queue));
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { THREADS = 4, ROUNDS = 2000 };

/* Each thread has a list and an event of its own; they share what the driver shares. */
static void *work_along(void *argument) {
  uint64_t *failures = argument;
  ze_command_list_handle_t list = new_immediate();
  ze_event_pool_handle_t pool = new_pool(1);
  ze_event_handle_t event = new_event(pool, 0);
  int round;
  for (round = 0; round < ROUNDS; round++) {
    const size_t size = (size_t)(1 + round % 7) * KIB;
    const unsigned char value = (unsigned char)round;
    unsigned char *host = new_host(size), *on_device = new_device(size);
    ze_sim_handed_out(host, size);
    fill(list, on_device, value, size);
    barrier(list, NULL);
    ok(zeCommandListAppendMemoryCopy(list, host, on_device, size, NULL, 0, NULL));
    barrier(list, event);
    if (round % 2 == 0) {
      wait_for(event);
    } else {
      while (zeEventQueryStatus(event) == ZE_RESULT_NOT_READY) sched_yield();
    }
    *failures += host[0] != value || host[size - 1] != value;
    ok(zeEventHostReset(event));
    ze_sim_handed_back(host);
    free_memory(host);
    free_memory(on_device);
  }
  ok(zeEventDestroy(event));
  ok(zeEventPoolDestroy(pool));
  ok(zeCommandListDestroy(list));
  return NULL;
}

static void threads_with_lists_of_their_own_do_not_meet(void **state) {
  pthread_t threads[THREADS];
  uint64_t failures[THREADS] = {0};
  int i;
  (void)state;
  for (i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, work_along, &failures[i]), 0);
  for (i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(failures[i], 0);
  }
}

/* Many threads may execute lists on one queue. */
static void *execute_along(void *argument) {
  ze_command_queue_handle_t queue = argument;
  ze_command_list_handle_t list = new_list();
  ze_fence_handle_t fence = new_fence(queue);
  unsigned char *memory = new_host(4 * KIB);
  int round;
  fill(list, memory, 1, 4 * KIB);
  barrier(list, NULL);
  fill(list, memory, 2, 4 * KIB);
  ok(zeCommandListClose(list));
  for (round = 0; round < ROUNDS / 4; round++) {
    execute(queue, list, fence);
    ok(zeFenceHostSynchronize(fence, UINT64_MAX));
    if (memory[4095] != 2) abort();
    ok(zeFenceReset(fence));
  }
  ok(zeFenceDestroy(fence));
  ok(zeCommandListDestroy(list));
  free_memory(memory);
  return NULL;
}

static void threads_may_share_a_queue(void **state) {
  ze_command_queue_handle_t queue = new_queue();
  pthread_t threads[THREADS];
  int i;
  (void)state;
  for (i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, execute_along, queue), 0);
  for (i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  ok(zeCommandQueueDestroy(queue));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_list_appended_to_by_two_threads_at_once),
      TEST(a_list_reset_by_two_threads_at_once),
      TEST(a_list_closed_while_another_thread_appends),
      TEST(a_list_executed_while_another_thread_uses_it),
      TEST(an_event_reset_by_two_threads_at_once),
      TEST(an_event_recorded_by_two_threads_at_once),
      TEST(events_of_one_pool_created_by_two_threads_at_once),
      TEST(a_list_destroyed_while_another_thread_appends),
      TEST(an_event_destroyed_while_another_thread_records_it),
      TEST(an_event_destroyed_while_a_thread_waits_for_it),
      TEST(a_fence_destroyed_while_a_thread_waits_for_it),
      TEST(an_event_of_a_synchronous_list_is_free_once_it_is_seen),
      TEST(a_list_on_a_synchronous_queue_is_free_once_its_event_is_seen),
      TEST(threads_with_lists_of_their_own_do_not_meet),
      TEST(threads_may_share_a_queue),
  };
  return cmocka_run_group_tests(tests, rig_group_setup, NULL);
}
