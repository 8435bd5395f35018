/* work_test.c - what the device does with work, and in which order. The programs here do nothing
   wrong, and the referee is silent. */

#include "rig.h"

/* ---- work ------------------------------------------------------------------------------------ */

static void a_buffer_goes_to_the_device_and_back(void **state) {
  ze_command_list_handle_t list = new_immediate();
  ze_event_pool_handle_t pool = new_pool(1);
  ze_event_handle_t done = new_event(pool, 0);
  unsigned char *host = new_host(1 * MIB), *on_device = new_device(1 * MIB);
  unsigned char *back = new_host(1 * MIB);
  size_t i;
  (void)state;
  for (i = 0; i < 1 * MIB; i++) host[i] = (unsigned char)(i * 7 >> 3);
  gives(zeEventQueryStatus(done), ZE_RESULT_NOT_READY);
  ok(zeCommandListAppendMemoryCopy(list, on_device, host, 1 * MIB, NULL, 0, NULL));
  barrier(list, NULL);
  ok(zeCommandListAppendMemoryCopy(list, back, on_device, 1 * MIB, NULL, 0, NULL));
  barrier(list, done);
  wait_for(done);
  ok(zeEventQueryStatus(done));
  assert_memory_equal(host, back, 1 * MIB);
  ok(zeEventHostReset(done));
  gives(zeEventQueryStatus(done), ZE_RESULT_NOT_READY);
  ok(zeEventDestroy(done));
  ok(zeEventPoolDestroy(pool));
  ok(zeCommandListDestroy(list));
  free_memory(host);
  free_memory(on_device);
  free_memory(back);
}

static void a_pattern_is_repeated_to_the_end(void **state) {
  ze_command_list_handle_t list = new_immediate_of(ZE_COMMAND_QUEUE_MODE_SYNCHRONOUS);
  unsigned char *memory = new_host(1000);
  const unsigned char pattern[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  size_t size, i;
  (void)state;
  for (size = 1; size <= 16; size *= 2) {
    ok(zeCommandListAppendMemoryFill(list, memory, pattern, size, 999, NULL, 0, NULL));
    for (i = 0; i < 999; i++) assert_int_equal(memory[i], i % size);
  }
  ok(zeCommandListDestroy(list));
  free_memory(memory);
}

/* ---- each command's own events --------------------------------------------------------------- */

enum { COPY, FILL, BARRIER, RANGES_BARRIER, TIMESTAMP, KINDS };

/* Appends one of each kind, which waits for two events and signals one. */
static ze_result_t append_kind(int kind, ze_command_list_handle_t list, char *memory,
                               ze_event_handle_t signal, ze_event_handle_t waits[2]) {
  const size_t size = 64;
  const void *ranges = memory;
  switch (kind) {
    case COPY:
      return zeCommandListAppendMemoryCopy(list, memory, memory + 64, size, signal, 2, waits);
    case FILL: return zeCommandListAppendMemoryFill(list, memory, "", 1, size, signal, 2, waits);
    case BARRIER: return zeCommandListAppendBarrier(list, signal, 2, waits);
    case RANGES_BARRIER:
      return zeCommandListAppendMemoryRangesBarrier(list, 1, &size, &ranges, signal, 2, waits);
    default:
      return zeCommandListAppendWriteGlobalTimestamp(list, (uint64_t *)(void *)memory, signal, 2,
                                                     waits);
  }
}

static void a_command_waits_for_all_of_its_events_and_signals_its_own(void **state) {
  ze_event_pool_handle_t pool = new_pool(3);
  char *memory = new_host(128);
  int kind, i;
  (void)state;
  for (kind = 0; kind < KINDS; kind++) {
    ze_command_list_handle_t list = new_immediate();
    ze_event_handle_t waits[2] = {new_event(pool, 0), new_event(pool, 1)};
    ze_event_handle_t signal = new_event(pool, 2);
    memset(memory, 1, 128);
    ok(append_kind(kind, list, memory, signal, waits));
    for (i = 0; i < 2; i++) {
      ze_sim_settle();
      gives(zeEventQueryStatus(signal), ZE_RESULT_NOT_READY);
      ok(zeEventHostSignal(waits[i]));
    }
    wait_for(signal);
    for (i = 0; i < 2; i++) ok(zeEventDestroy(waits[i]));
    ok(zeEventDestroy(signal));
    ok(zeCommandListDestroy(list));
  }
  ok(zeEventPoolDestroy(pool));
  free_memory(memory);
}

/* ---- lists, queues, fences ------------------------------------------------------------------- */

static void a_closed_list_can_be_executed_again_and_again(void **state) {
  ze_command_queue_handle_t queue = new_queue();
  ze_command_list_handle_t list = new_list();
  ze_fence_handle_t fence = new_fence(queue);
  unsigned char *memory = new_host(4 * KIB);
  int round;
  (void)state;
  fill(list, memory, 7, 4 * KIB);
  ok(zeCommandListClose(list));
  for (round = 0; round < 3; round++) {
    memset(memory, 0, 4 * KIB);
    gives(zeFenceQueryStatus(fence), ZE_RESULT_NOT_READY);
    execute(queue, list, fence);
    ok(zeFenceHostSynchronize(fence, UINT64_MAX));
    ok(zeFenceQueryStatus(fence));
    assert_int_equal(memory[4095], 7);
    ok(zeFenceReset(fence));
  }
  ok(zeCommandListReset(list));
  fill(list, memory, 8, 4 * KIB);
  ok(zeCommandListClose(list));
  execute(queue, list, NULL);
  wait_idle(queue);
  assert_int_equal(memory[0], 8);
  ok(zeFenceDestroy(fence));
  ok(zeCommandListDestroy(list));
  ok(zeCommandQueueDestroy(queue));
  free_memory(memory);
}

static void a_list_that_was_reset_is_empty(void **state) {
  ze_command_queue_handle_t queue = new_queue();
  ze_command_list_handle_t list = new_list();
  unsigned char *memory = new_host(64);
  (void)state;
  memory[0] = 0;
  fill(list, memory, 7, 64);
  ok(zeCommandListClose(list));
  ok(zeCommandListReset(list));
  ok(zeCommandListClose(list));
  execute(queue, list, NULL);
  wait_idle(queue);
  assert_int_equal(memory[0], 0);
  ok(zeCommandListDestroy(list));
  ok(zeCommandQueueDestroy(queue));
  free_memory(memory);
}

static void a_fence_of_empty_lists_is_signalled_and_wakes_who_waits(void **state) {
  ze_command_queue_handle_t queue = new_queue();
  ze_command_list_handle_t list = new_list();
  ze_fence_handle_t fence = new_fence(queue);
  pthread_t thread;
  (void)state;
  ok(zeCommandListClose(list));
  thread = begin_thread(wait_for_fence, fence);
  wait_until_called("zeFenceHostSynchronize", 1);
  execute(queue, list, fence);
  assert_int_equal(result_of(thread), ZE_RESULT_SUCCESS);
  ok(zeFenceQueryStatus(fence));
  ok(zeFenceDestroy(fence));
  ok(zeCommandListDestroy(list));
  ok(zeCommandQueueDestroy(queue));
}

static void a_fence_can_begin_signalled(void **state) {
  const ze_fence_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_FENCE_DESC,
                                .flags = ZE_FENCE_FLAG_SIGNALED};
  ze_command_queue_handle_t queue = new_queue();
  ze_fence_handle_t fence = NULL;
  (void)state;
  ok(zeFenceCreate(queue, &desc, &fence));
  ok(zeFenceQueryStatus(fence));
  ok(zeFenceReset(fence));
  gives(zeFenceQueryStatus(fence), ZE_RESULT_NOT_READY);
  ok(zeFenceDestroy(fence));
  ok(zeCommandQueueDestroy(queue));
}

static void who_waits_for_a_queue_does_not_wait_for_what_came_later(void **state) {
  ze_command_queue_handle_t queue = new_queue();
  ze_command_list_handle_t first = new_list(), second = new_list();
  ze_event_pool_handle_t pool = new_pool(1);
  ze_event_handle_t gate = new_event(pool, 0);
  pthread_t thread;
  (void)state;
  barrier(first, NULL);
  ok(zeCommandListClose(first));
  ok(zeCommandListAppendWaitOnEvents(second, 1, &gate));
  ok(zeCommandListClose(second));
  ze_sim_hold(1);
  execute(queue, first, NULL);
  thread = begin_thread(wait_for_queue, queue);
  wait_until_called("zeCommandQueueSynchronize", 1);
  execute(queue, second, NULL);
  ze_sim_hold(0);
  assert_int_equal(result_of(thread), ZE_RESULT_SUCCESS);
  assert_int_equal(ze_sim_live(ZE_SIM_COMMANDS), 1);
  ok(zeEventHostSignal(gate));
  wait_idle(queue);
  ok(zeEventDestroy(gate));
  ok(zeEventPoolDestroy(pool));
  ok(zeCommandListDestroy(first));
  ok(zeCommandListDestroy(second));
  ok(zeCommandQueueDestroy(queue));
}

static void an_index_of_a_pool_can_be_used_again(void **state) {
  ze_event_pool_handle_t pool = new_pool(1);
  int round;
  (void)state;
  for (round = 0; round < 3; round++) ok(zeEventDestroy(new_event(pool, 0)));
  ok(zeEventPoolDestroy(pool));
}

static void a_synchronous_queue_is_done_when_it_returns(void **state) {
  ze_command_queue_handle_t queue = new_queue_of(context, ZE_COMMAND_QUEUE_MODE_SYNCHRONOUS);
  ze_command_list_handle_t list = new_list();
  unsigned char *memory = new_host(4 * KIB);
  (void)state;
  memory[0] = 0;
  fill(list, memory, 7, 4 * KIB);
  ok(zeCommandListClose(list));
  execute(queue, list, NULL);
  assert_int_equal(memory[0], 7);
  ok(zeCommandListDestroy(list));
  ok(zeCommandQueueDestroy(queue));
  free_memory(memory);
}

static void a_wait_lasts_as_long_as_it_says(void **state) {
  const uint64_t timeout = 20 * UINT64_C(1000000);
  ze_command_queue_handle_t queue = new_queue();
  ze_command_list_handle_t list = new_list();
  const with_event w = begin();
  uint64_t before;
  (void)state;
  barrier(list, NULL);
  ok(zeCommandListClose(list));
  ze_sim_hold(1);
  execute(queue, list, NULL);
  before = now_ns();
  gives(zeEventHostSynchronize(w.event, timeout), ZE_RESULT_NOT_READY);
  assert_true(now_ns() - before >= timeout);
  before = now_ns();
  gives(zeCommandQueueSynchronize(queue, timeout), ZE_RESULT_NOT_READY);
  assert_true(now_ns() - before >= timeout);
  ze_sim_hold(0);
  wait_idle(queue);
  ok(zeCommandListDestroy(list));
  ok(zeCommandQueueDestroy(queue));
  end(w);
}

static void nothing_begins_while_held_and_a_wait_says_not_ready(void **state) {
  ze_command_queue_handle_t queue = new_queue();
  ze_command_list_handle_t list = new_list(), immediate = new_immediate();
  ze_fence_handle_t fence = new_fence(queue);
  ze_event_pool_handle_t pool = new_pool(1);
  ze_event_handle_t event = new_event(pool, 0);
  (void)state;
  ze_sim_hold(1);
  barrier(list, NULL);
  ok(zeCommandListClose(list));
  execute(queue, list, fence);
  barrier(immediate, event);
  ze_sim_settle();
  gives(zeCommandQueueSynchronize(queue, 0), ZE_RESULT_NOT_READY);
  gives(zeCommandQueueSynchronize(queue, 1000), ZE_RESULT_NOT_READY);
  gives(zeFenceHostSynchronize(fence, 1000), ZE_RESULT_NOT_READY);
  gives(zeEventHostSynchronize(event, 1000), ZE_RESULT_NOT_READY);
  assert_int_equal(ze_sim_live(ZE_SIM_COMMANDS), 2);
  ze_sim_step(1);
  ze_sim_settle();
  assert_int_equal(ze_sim_live(ZE_SIM_COMMANDS), 1);
  ze_sim_hold(0);
  wait_idle(queue);
  wait_for(event);
  ok(zeFenceDestroy(fence));
  ok(zeEventDestroy(event));
  ok(zeEventPoolDestroy(pool));
  ok(zeCommandListDestroy(list));
  ok(zeCommandListDestroy(immediate));
  ok(zeCommandQueueDestroy(queue));
}

/* ---- order ----------------------------------------------------------------------------------- */

typedef enum divider { NOTHING, A_BARRIER, A_RANGES_BARRIER } divider;

static void divide(ze_command_list_handle_t list, divider by, const void *memory, size_t size) {
  if (by == A_BARRIER) barrier(list, NULL);
  if (by == A_RANGES_BARRIER)
    ok(zeCommandListAppendMemoryRangesBarrier(list, 1, &size, &memory, NULL, 0, NULL));
}

/* What the memory holds after two fills of it, with a barrier between or not. */
static int last_of_two_fills(divider by, bool in_two_lists) {
  ze_command_queue_handle_t queue = new_queue();
  ze_command_list_handle_t lists[2] = {new_list(), new_list()};
  ze_command_list_handle_t second = lists[in_two_lists];
  unsigned char *memory = new_host(4 * KIB);
  int last;
  ze_sim_hold(1); /* until all is there, so that there is a choice */
  fill(lists[0], memory, 1, 4 * KIB);
  divide(second, by, memory, 4 * KIB);
  fill(second, memory, 2, 4 * KIB);
  ok(zeCommandListClose(lists[0]));
  ok(zeCommandListClose(lists[1]));
  ok(zeCommandQueueExecuteCommandLists(queue, 2, lists, NULL));
  ze_sim_hold(0);
  wait_idle(queue);
  last = memory[0];
  ok(zeCommandListDestroy(lists[0]));
  ok(zeCommandListDestroy(lists[1]));
  ok(zeCommandQueueDestroy(queue));
  free_memory(memory);
  return last;
}

static int last_from_seed(uint64_t seed, divider by, bool in_two_lists) {
  ze_sim_seed(seed);
  return last_of_two_fills(by, in_two_lists);
}

static void commands_end_in_any_order_but_for_barriers(void **state) {
  int in_two_lists;
  uint64_t seed;
  (void)state;
  for (in_two_lists = 0; in_two_lists < 2; in_two_lists++) {
    int first = 0, second = 0;
    for (seed = 0; seed < 40; seed++) {
      const int last = last_from_seed(seed, NOTHING, in_two_lists);
      first += last == 1;
      second += last == 2;
      assert_int_equal(last, last_from_seed(seed, NOTHING, in_two_lists));
      assert_int_equal(last_from_seed(seed, A_BARRIER, in_two_lists), 2);
      assert_int_equal(last_from_seed(seed, A_RANGES_BARRIER, in_two_lists), 2);
    }
    assert_true(first > 0 && second > 0);
    assert_int_equal(first + second, 40);
  }
}

/* The order of the next commands, as a number. */
static uint64_t order(void) {
  uint64_t bits = 0;
  int i;
  for (i = 0; i < 32; i++) bits = bits << 1 | (last_of_two_fills(NOTHING, false) == 1);
  return bits;
}

/* Starts the test's context anew, so that the driver reads the environment. */
static void reset(void) {
  ok(zeContextDestroy(context));
  assert_int_equal(ze_sim_reset(), 0);
  context = new_context();
}

static void the_order_starts_from_the_seed_and_a_reset_from_that_of_the_environment(void **state) {
  uint64_t of_none, of_five;
  (void)state;
  ze_sim_seed(0);
  of_none = order();
  ze_sim_seed(5);
  of_five = order();
  assert_true(of_none != of_five);
  reset();
  assert_true(order() == of_none);
  setenv("ZE_SIM_SEED", "5", 1);
  reset();
  unsetenv("ZE_SIM_SEED");
  assert_true(order() == of_five);
}

/* Half of the time, and its share of the other half: an eighth would be fair. */
static void the_command_that_was_appended_last_is_preferred(void **state) {
  ze_command_list_handle_t list = new_immediate();
  ze_event_pool_handle_t pool = new_pool(1);
  ze_event_handle_t last = new_event(pool, 0);
  void *memory = new_host(64);
  int preferred = 0, round, i;
  (void)state;
  for (round = 0; round < 100; round++) {
    ze_sim_hold(1);
    for (i = 0; i < 7; i++) fill(list, memory, 1, 64);
    ok(zeCommandListAppendSignalEvent(list, last));
    ze_sim_step(1);
    ze_sim_settle();
    preferred += zeEventQueryStatus(last) == ZE_RESULT_SUCCESS;
    ze_sim_hold(0);
    ze_sim_settle();
    ok(zeEventHostReset(last));
  }
  assert_in_range(preferred, 35, 80);
  ok(zeEventDestroy(last));
  ok(zeEventPoolDestroy(pool));
  ok(zeCommandListDestroy(list));
  free_memory(memory);
}

/* The mistake that a user of immediate lists makes most easily. */
static void a_bare_signal_overtakes_the_work_before_it(void **state) {
  ze_command_list_handle_t list = new_immediate();
  ze_event_pool_handle_t pool = new_pool(2);
  ze_event_handle_t bare = new_event(pool, 0), after = new_event(pool, 1);
  void *memory = new_host(4 * KIB);
  int overtaken = 0, round;
  (void)state;
  for (round = 0; round < 40; round++) {
    ze_sim_hold(1);
    fill(list, memory, 1, 4 * KIB);
    ok(zeCommandListAppendSignalEvent(list, bare));
    ze_sim_step(1);
    ze_sim_settle();
    overtaken += zeEventQueryStatus(bare) == ZE_RESULT_SUCCESS;
    barrier(list, after);
    ze_sim_hold(0);
    wait_for(after);
    ok(zeEventQueryStatus(bare));
    ok(zeEventHostReset(bare));
    ok(zeEventHostReset(after));
  }
  assert_true(overtaken > 0 && overtaken < 40);
  ok(zeEventDestroy(bare));
  ok(zeEventDestroy(after));
  ok(zeEventPoolDestroy(pool));
  ok(zeCommandListDestroy(list));
  free_memory(memory);
}

static void wait_events_hold_back_what_is_behind_them(void **state) {
  ze_command_list_handle_t one = new_immediate(), two = new_immediate();
  ze_event_pool_handle_t pool = new_pool(3);
  ze_event_handle_t gate = new_event(pool, 0), barred = new_event(pool, 1);
  ze_event_handle_t last = new_event(pool, 2);
  unsigned char *memory = new_host(4 * KIB);
  const unsigned char value = 5;
  (void)state;
  memory[0] = 0;
  ok(zeCommandListAppendMemoryFill(one, memory, &value, 1, 4 * KIB, NULL, 1, &gate));
  barrier(one, last);
  ok(zeCommandListAppendWaitOnEvents(two, 1, &gate));
  ok(zeCommandListAppendBarrier(two, barred, 1, &gate));
  ze_sim_settle();
  assert_int_equal(ze_sim_live(ZE_SIM_COMMANDS), 4);
  assert_int_equal(memory[0], 0);
  ok(zeEventHostSignal(gate));
  wait_for(last);
  wait_for(barred);
  assert_int_equal(memory[0], 5);
  ze_sim_settle();
  ok(zeEventDestroy(gate));
  ok(zeEventDestroy(barred));
  ok(zeEventDestroy(last));
  ok(zeEventPoolDestroy(pool));
  ok(zeCommandListDestroy(one));
  ok(zeCommandListDestroy(two));
  free_memory(memory);
}

static void nothing_behind_a_command_that_waits_begins(void **state) {
  with_event w = begin();
  unsigned char *memory = new_host(2), value = 5;
  int kind;
  (void)state;
  for (kind = 0; kind < 2; kind++) {
    memset(memory, 0, 2);
    if (kind == 0) {
      ok(zeCommandListAppendMemoryFill(w.list, memory, &value, 1, 1, NULL, 1, &w.event));
    } else {
      ok(zeCommandListAppendWaitOnEvents(w.list, 1, &w.event));
    }
    fill(w.list, memory + 1, value, 1);
    ze_sim_settle();
    assert_int_equal(ze_sim_live(ZE_SIM_COMMANDS), 2);
    assert_int_equal(memory[1], 0);
    ok(zeEventHostSignal(w.event));
    ze_sim_settle();
    assert_int_equal(memory[1], value);
    ok(zeEventHostReset(w.event));
  }
  end(w);
  free_memory(memory);
}

/* Also when the events are signalled already: the wait itself is one of the commands. */
static void nothing_behind_a_wait_overtakes_it(void **state) {
  with_event w = begin();
  unsigned char *memory = new_host(64);
  int round;
  (void)state;
  ok(zeEventHostSignal(w.event));
  for (round = 0; round < 20; round++) {
    memory[0] = 0;
    ze_sim_hold(1);
    ok(zeCommandListAppendWaitOnEvents(w.list, 1, &w.event));
    fill(w.list, memory, 1, 64);
    ze_sim_step(1);
    ze_sim_settle();
    assert_int_equal(memory[0], 0);
    ze_sim_hold(0);
    ze_sim_settle();
    assert_int_equal(memory[0], 1);
  }
  end(w);
  free_memory(memory);
}

/* A command that has begun does not look at its wait events again, though it may end later than the
   reset behind it. */
static void a_reset_of_an_event_does_not_stop_the_command_before_it_that_waits(void **state) {
  with_event w = begin();
  ze_event_handle_t done = new_event(w.pool, 1);
  char *memory = new_host(128);
  int round;
  (void)state;
  for (round = 0; round < 20; round++) {
    ok(zeEventHostSignal(w.event));
    ze_sim_hold(1);
    ok(zeCommandListAppendMemoryCopy(w.list, memory, memory + 64, 64, NULL, 1, &w.event));
    ok(zeCommandListAppendEventReset(w.list, w.event));
    barrier(w.list, done);
    ze_sim_hold(0);
    wait_for(done);
    gives(zeEventQueryStatus(w.event), ZE_RESULT_NOT_READY);
    ok(zeEventHostReset(done));
  }
  ok(zeEventDestroy(done));
  end(w);
  free_memory(memory);
}

/* Whether a barrier that waits for an event is through before the fill in front of it. */
static bool barrier_overtakes(uint64_t seed, bool has_wait_event) {
  ze_command_list_handle_t list = new_immediate();
  ze_event_pool_handle_t pool = new_pool(2);
  ze_event_handle_t open = new_event(pool, 0), barred = new_event(pool, 1);
  void *memory = new_host(4 * KIB);
  bool overtakes;
  ok(zeEventHostSignal(open));
  ze_sim_seed(seed);
  ze_sim_hold(1);
  fill(list, memory, 1, 4 * KIB);
  ok(zeCommandListAppendBarrier(list, barred, has_wait_event, has_wait_event ? &open : NULL));
  ze_sim_step(1);
  ze_sim_settle();
  overtakes = zeEventQueryStatus(barred) == ZE_RESULT_SUCCESS;
  ze_sim_hold(0);
  ze_sim_settle();
  ok(zeEventDestroy(open));
  ok(zeEventDestroy(barred));
  ok(zeEventPoolDestroy(pool));
  ok(zeCommandListDestroy(list));
  free_memory(memory);
  return overtakes;
}

static void a_barrier_with_wait_events_waits_for_them_alone(void **state) {
  uint64_t seed;
  int overtaken = 0;
  (void)state;
  for (seed = 0; seed < 20; seed++) {
    overtaken += barrier_overtakes(seed, true);
    assert_false(barrier_overtakes(seed, false));
  }
  assert_true(overtaken > 0);
}

static void a_relaxed_list_lets_others_pass_what_waits(void **state) {
  ze_command_queue_handle_t queue = new_queue();
  ze_command_list_handle_t list = new_list_of(ZE_COMMAND_LIST_FLAG_RELAXED_ORDERING);
  ze_event_pool_handle_t pool = new_pool(1);
  ze_event_handle_t gate = new_event(pool, 0);
  unsigned char *memory = new_host(2);
  const unsigned char value = 5;
  (void)state;
  memory[0] = memory[1] = 0;
  ok(zeCommandListAppendMemoryFill(list, memory, &value, 1, 1, NULL, 1, &gate));
  ok(zeCommandListAppendMemoryFill(list, memory + 1, &value, 1, 1, NULL, 0, NULL));
  ok(zeCommandListClose(list));
  execute(queue, list, NULL);
  ze_sim_settle();
  assert_int_equal(ze_sim_live(ZE_SIM_COMMANDS), 1);
  assert_int_equal(memory[1], 5);
  ok(zeEventHostSignal(gate));
  wait_idle(queue);
  assert_int_equal(memory[0], 5);
  ok(zeEventDestroy(gate));
  ok(zeEventPoolDestroy(pool));
  ok(zeCommandListDestroy(list));
  ok(zeCommandQueueDestroy(queue));
  free_memory(memory);
}

static void the_device_can_reset_an_event(void **state) {
  ze_command_list_handle_t list = new_immediate();
  ze_event_pool_handle_t pool = new_pool(2);
  ze_event_handle_t event = new_event(pool, 0), done = new_event(pool, 1);
  (void)state;
  ze_sim_hold(1); /* so that the second signal is submitted before the first is through */
  barrier(list, event);
  ok(zeCommandListAppendEventReset(list, event));
  barrier(list, event);
  barrier(list, NULL);
  ok(zeCommandListAppendEventReset(list, event));
  barrier(list, done);
  ze_sim_hold(0);
  wait_for(done);
  gives(zeEventQueryStatus(event), ZE_RESULT_NOT_READY);
  ok(zeEventDestroy(event));
  ok(zeEventDestroy(done));
  ok(zeEventPoolDestroy(pool));
  ok(zeCommandListDestroy(list));
}

static void the_device_tells_the_time(void **state) {
  ze_command_list_handle_t list = new_immediate_of(ZE_COMMAND_QUEUE_MODE_SYNCHRONOUS);
  uint64_t *times = new_host(2 * sizeof *times);
  uint64_t host = 0, now = 0;
  (void)state;
  ok(zeCommandListAppendWriteGlobalTimestamp(list, &times[0], NULL, 0, NULL));
  ok(zeCommandListAppendMemoryPrefetch(list, times, 2 * sizeof *times));
  ok(zeCommandListAppendMemAdvise(list, device, times, sizeof *times,
                                  ZE_MEMORY_ADVICE_SET_READ_MOSTLY));
  ok(zeDeviceGetGlobalTimestamps(device, &host, &now));
  ok(zeCommandListAppendWriteGlobalTimestamp(list, &times[1], NULL, 0, NULL));
  assert_true(times[0] <= now && now <= times[1]);
  ok(zeCommandListDestroy(list));
  free_memory(times);
}

static void each_command_takes_as_long_as_the_delay(void **state) {
  const with_event w = begin();
  const uint64_t delay_us = 20000;
  uint64_t before = now_ns();
  (void)state;
  ze_sim_delay(delay_us);
  barrier(w.list, w.event);
  wait_for(w.event);
  assert_true(now_ns() - before >= delay_us * 1000);
  end(w);
}

/* What is appended while a command passes the time may end before it: a bare signal, however late,
   says nothing about the work before it. */
static void what_comes_during_a_delay_may_end_first(void **state) {
  const with_event w = begin();
  void *memory = new_host(64);
  int overtaken = 0, round;
  (void)state;
  ze_sim_delay(2000);
  for (round = 0; round < 1000 && overtaken == 0; round++) {
    fill(w.list, memory, 1, 64);
    wait_until_running();
    ok(zeCommandListAppendSignalEvent(w.list, w.event));
    wait_for(w.event);
    overtaken += ze_sim_live(ZE_SIM_COMMANDS) == 1;
    ze_sim_settle();
    ok(zeEventHostReset(w.event));
  }
  assert_int_equal(overtaken, 1);
  end(w);
  free_memory(memory);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_buffer_goes_to_the_device_and_back),
      TEST(a_pattern_is_repeated_to_the_end),
      TEST(a_command_waits_for_all_of_its_events_and_signals_its_own),
      TEST(a_closed_list_can_be_executed_again_and_again),
      TEST(a_list_that_was_reset_is_empty),
      TEST(a_fence_of_empty_lists_is_signalled_and_wakes_who_waits),
      TEST(a_fence_can_begin_signalled),
      TEST(who_waits_for_a_queue_does_not_wait_for_what_came_later),
      TEST(an_index_of_a_pool_can_be_used_again),
      TEST(a_synchronous_queue_is_done_when_it_returns),
      TEST(a_wait_lasts_as_long_as_it_says),
      TEST(nothing_begins_while_held_and_a_wait_says_not_ready),
      TEST(commands_end_in_any_order_but_for_barriers),
      TEST(the_order_starts_from_the_seed_and_a_reset_from_that_of_the_environment),
      TEST(the_command_that_was_appended_last_is_preferred),
      TEST(a_bare_signal_overtakes_the_work_before_it),
      TEST(wait_events_hold_back_what_is_behind_them),
      TEST(nothing_behind_a_command_that_waits_begins),
      TEST(nothing_behind_a_wait_overtakes_it),
      TEST(a_reset_of_an_event_does_not_stop_the_command_before_it_that_waits),
      TEST(a_barrier_with_wait_events_waits_for_them_alone),
      TEST(a_relaxed_list_lets_others_pass_what_waits),
      TEST(the_device_can_reset_an_event),
      TEST(the_device_tells_the_time),
      TEST(each_command_takes_as_long_as_the_delay),
      TEST(what_comes_during_a_delay_may_end_first),
  };
  return cmocka_run_group_tests(tests, rig_group_setup, NULL);
}
