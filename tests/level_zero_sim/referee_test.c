/* referee_test.c - every rule that the referee knows is broken here, and seen to be reported. */

#include "rig.h"

/* ---- events ---------------------------------------------------------------------------------- */

static void an_event_signalled_twice_without_reset(void **state) {
  const with_event w = begin();
  (void)state;
  barrier(w.list, w.event);
  wait_for(w.event);
  barrier(w.list, w.event);
  ze_sim_settle();
  seen("is signalled while it is signalled");
  ok(zeEventHostSignal(w.event));
  seen("zeEventHostSignal: event");
  end(w);
}

static void an_event_given_a_second_signal_while_the_first_is_pending(void **state) {
  const with_event w = begin();
  (void)state;
  ze_sim_hold(1);
  barrier(w.list, w.event);
  barrier(w.list, w.event);
  seen("is given a second signal");
  end(w);
}

static void an_event_reset_by_the_host_while_its_signal_is_pending(void **state) {
  const with_event w = begin();
  (void)state;
  ze_sim_hold(1);
  barrier(w.list, w.event);
  ok(zeEventHostReset(w.event));
  seen("while a submitted command has still to signal it");
  end(w);
}

static void an_event_destroyed_while_a_command_will_signal_it(void **state) {
  const with_event w = begin();
  (void)state;
  ze_sim_hold(1);
  barrier(w.list, w.event);
  gives(zeEventDestroy(w.event), ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE);
  seen("signal it or wait for it");
  end(w);
}

static void an_event_destroyed_while_a_command_waits_for_it(void **state) {
  with_event w = begin();
  (void)state;
  ok(zeCommandListAppendWaitOnEvents(w.list, 1, &w.event));
  gives(zeEventDestroy(w.event), ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE);
  seen("signal it or wait for it");
  ok(zeEventHostSignal(w.event));
  end(w);
}

static void an_event_destroyed_before_the_list_that_has_it_is_executed(void **state) {
  ze_command_queue_handle_t queue = new_queue();
  ze_command_list_handle_t list = new_list();
  ze_event_pool_handle_t pool = new_pool(1);
  ze_event_handle_t event = new_event(pool, 0);
  (void)state;
  barrier(list, event);
  ok(zeCommandListClose(list));
  ok(zeEventDestroy(event));
  gives(zeCommandQueueExecuteCommandLists(queue, 1, &list, NULL),
        ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT);
  seen("which is destroyed");
  ok(zeEventPoolDestroy(pool));
  ok(zeCommandListDestroy(list));
  ok(zeCommandQueueDestroy(queue));
}

static void a_pool_destroyed_before_its_events(void **state) {
  ze_command_list_handle_t list = new_immediate();
  ze_event_pool_handle_t pool = new_pool(1);
  ze_event_handle_t event = new_event(pool, 0);
  (void)state;
  ok(zeEventPoolDestroy(pool));
  seen("is destroyed with 1 live objects, one of them an event");
  gives(zeEventQueryStatus(event), ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT);
  seen("is of an event pool that is destroyed");
  gives(zeCommandListAppendBarrier(list, event, 0, NULL),
        ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT);
  seen("is of an event pool that is destroyed");
  ok(zeEventDestroy(event));
  seen("is destroyed after its event pool");
  ok(zeCommandListDestroy(list));
}

static void an_index_of_a_pool_used_twice_or_beyond_its_end(void **state) {
  const with_event w = begin();
  ze_event_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_EVENT_DESC, .index = 0};
  ze_event_handle_t event = NULL;
  (void)state;
  gives(zeEventCreate(w.pool, &desc, &event), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("is used by event");
  desc.index = 4;
  gives(zeEventCreate(w.pool, &desc, &event), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("of 4 events");
  end(w);
}

static void an_event_that_the_host_cannot_see(void **state) {
  ze_event_pool_handle_t pool = new_pool_of(1, 0);
  ze_event_handle_t event = new_event(pool, 0);
  (void)state;
  gives(zeEventQueryStatus(event), ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT);
  seen("whose pool is not visible to it");
  gives(zeEventHostSynchronize(event, 0), ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT);
  seen("whose pool is not visible to it");
  gives(zeEventHostReset(event), ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT);
  seen("whose pool is not visible to it");
  gives(zeEventHostSignal(event), ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT);
  seen("whose pool is not visible to it");
  ok(zeEventDestroy(event));
  ok(zeEventPoolDestroy(pool));
}

static void an_event_of_another_context(void **state) {
  ze_context_handle_t mine = context, other = new_context();
  with_event w = begin();
  ze_event_pool_handle_t pool;
  ze_event_handle_t event;
  (void)state;
  context = other;
  pool = new_pool(1);
  event = new_event(pool, 0);
  context = mine;
  gives(zeCommandListAppendSignalEvent(w.list, event),
        ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT);
  seen("and the command list of another");
  gives(zeCommandListAppendEventReset(w.list, event),
        ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT);
  seen("and the command list of another");
  gives(zeCommandListAppendWaitOnEvents(w.list, 1, &event),
        ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT);
  seen("and the command list of another");
  ok(zeEventDestroy(event));
  ok(zeEventPoolDestroy(pool));
  ok(zeContextDestroy(other));
  end(w);
}

/* The barrier on a second list has still to see it when the first list's waiter resets it. */
static void an_event_reset_by_the_host_while_a_command_has_still_to_see_it(void **state) {
  with_event w = begin();
  ze_command_list_handle_t busy = new_immediate();
  ze_event_handle_t gate = new_event(w.pool, 1);
  (void)state;
  ok(zeCommandListAppendWaitOnEvents(busy, 1, &gate));
  ok(zeCommandListAppendBarrier(busy, NULL, 1, &w.event));
  barrier(w.list, w.event);
  wait_for(w.event);
  ok(zeEventHostReset(w.event));
  seen("1 submitted commands that wait for it have not begun");
  ok(zeEventHostSignal(gate));
  ok(zeEventHostSignal(w.event));
  ze_sim_settle();
  ok(zeEventHostReset(w.event)); /* all have */
  ok(zeEventDestroy(gate));
  ok(zeCommandListDestroy(busy));
  end(w);
}

static void an_event_seen_by_the_host_though_its_signal_has_no_host_scope(void **state) {
  const ze_event_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_EVENT_DESC,
                                .index = 1,
                                .wait = ZE_EVENT_SCOPE_FLAG_HOST,
                                .signal = ZE_EVENT_SCOPE_FLAG_DEVICE};
  with_event w = begin();
  ze_event_handle_t event = NULL;
  (void)state;
  ok(zeEventCreate(w.pool, &desc, &event));
  gives(zeEventQueryStatus(event), ZE_RESULT_NOT_READY);
  ok(zeEventHostSignal(event));
  ok(zeEventQueryStatus(event)); /* what the host wrote, the host sees */
  ok(zeEventHostReset(event));
  assert_int_equal(ze_sim_violations(), 0);
  barrier(w.list, event);
  wait_for(event);
  ok(zeEventQueryStatus(event));
  seen("which was created without ZE_EVENT_SCOPE_FLAG_HOST");
  ok(zeEventDestroy(event));
  end(w);
}

/* ---- lists and queues ------------------------------------------------------------------------ */

static void a_list_appended_to_after_it_was_closed(void **state) {
  ze_command_list_handle_t list = new_list();
  (void)state;
  ok(zeCommandListClose(list));
  gives(zeCommandListAppendBarrier(list, NULL, 0, NULL), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("a command is appended to command list");
  gives(zeCommandListClose(list), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("closed twice");
  ok(zeCommandListDestroy(list));
}

static void a_list_executed_before_it_was_closed(void **state) {
  ze_command_queue_handle_t queue = new_queue();
  ze_command_list_handle_t list = new_list();
  (void)state;
  barrier(list, NULL);
  gives(zeCommandQueueExecuteCommandLists(queue, 1, &list, NULL), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("which is not closed");
  ok(zeCommandListDestroy(list));
  ok(zeCommandQueueDestroy(queue));
}

static void a_list_that_is_under_way(void **state) {
  ze_command_queue_handle_t queue = new_queue();
  ze_command_list_handle_t list = new_list(), twice[2];
  (void)state;
  barrier(list, NULL);
  ok(zeCommandListClose(list));
  twice[0] = twice[1] = list;
  gives(zeCommandQueueExecuteCommandLists(queue, 2, twice, NULL),
        ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE);
  seen("executed twice at once");
  ze_sim_hold(1);
  execute(queue, list, NULL);
  gives(zeCommandQueueExecuteCommandLists(queue, 1, &list, NULL),
        ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE);
  seen("its last execution has not ended");
  gives(zeCommandListReset(list), ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE);
  seen("is reset while it has work");
  gives(zeCommandListDestroy(list), ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE);
  seen("is destroyed while it has work");
  gives(zeCommandQueueDestroy(queue), ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE);
  seen("is destroyed while it has work");
  ze_sim_hold(0);
  wait_idle(queue);
  ok(zeCommandListDestroy(list));
  ok(zeCommandQueueDestroy(queue));
}

static void an_immediate_list_destroyed_while_it_has_work(void **state) {
  ze_command_list_handle_t list = new_immediate();
  (void)state;
  ze_sim_hold(1);
  barrier(list, NULL);
  gives(zeCommandListDestroy(list), ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE);
  seen("is destroyed while it has work");
  ze_sim_hold(0);
  ze_sim_settle();
  ok(zeCommandListDestroy(list));
}

static void an_immediate_list_treated_as_a_regular_one(void **state) {
  ze_command_queue_handle_t queue = new_queue();
  ze_command_list_handle_t list = new_immediate();
  (void)state;
  gives(zeCommandQueueExecuteCommandLists(queue, 1, &list, NULL),
        ZE_RESULT_ERROR_INVALID_COMMAND_LIST_TYPE);
  seen("zeCommandQueueExecuteCommandLists: immediate command list");
  gives(zeCommandListClose(list), ZE_RESULT_ERROR_INVALID_COMMAND_LIST_TYPE);
  seen("zeCommandListClose: immediate command list");
  gives(zeCommandListReset(list), ZE_RESULT_ERROR_INVALID_COMMAND_LIST_TYPE);
  seen("zeCommandListReset: immediate command list");
  ok(zeCommandListDestroy(list));
  ok(zeCommandQueueDestroy(queue));
}

static void a_list_on_a_queue_of_another_context(void **state) {
  ze_context_handle_t other = new_context();
  ze_command_queue_handle_t queue = new_queue_of(other, ZE_COMMAND_QUEUE_MODE_ASYNCHRONOUS);
  ze_command_list_handle_t list = new_list();
  (void)state;
  ok(zeCommandListClose(list));
  gives(zeCommandQueueExecuteCommandLists(queue, 1, &list, NULL), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("of another context");
  ok(zeCommandListDestroy(list));
  ok(zeCommandQueueDestroy(queue));
  ok(zeContextDestroy(other));
}

static void a_queue_that_is_not_there(void **state) {
  ze_command_queue_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC, .ordinal = 1};
  ze_command_queue_handle_t queue = NULL;
  (void)state;
  gives(zeCommandQueueCreate(context, device, &desc, &queue), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("there is no queue 0 of group 1");
  desc.ordinal = 0;
  desc.index = 1;
  gives(zeCommandQueueCreate(context, device, &desc, &queue), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("without ZE_COMMAND_QUEUE_FLAG_EXPLICIT_ONLY");
  desc.flags = ZE_COMMAND_QUEUE_FLAG_EXPLICIT_ONLY;
  ok(zeCommandQueueCreate(context, device, &desc, &queue));
  ok(zeCommandQueueDestroy(queue));
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void memory_freed_while_a_submitted_command_uses_it(void **state) {
  const with_event w = begin();
  char *from = new_host(4 * KIB), *to = new_host(4 * KIB);
  (void)state;
  ze_sim_hold(1);
  ok(zeCommandListAppendMemoryCopy(w.list, to, from, 4 * KIB, NULL, 0, NULL));
  free_memory(from);
  seen("is freed while 1 unfinished commands use it");
  memset(to, 7, 4 * KIB);
  end(w);
  assert_int_equal(to[0], 7); /* the command was told to leave it alone */
  free_memory(to);
}

/* Its next owner must not be written over by what had begun, least of all where that ends. */
static void memory_freed_while_a_command_is_in_the_middle(void **state) {
  const with_event w = begin();
  const size_t size = 16 * MIB;
  int round;
  (void)state;
  for (round = 0; round < 10; round++) {
    unsigned char *memory = new_host(size), *again;
    memset(memory, 2, size);
    fill(w.list, memory, 1, size);
    wait_until_running();
    free_memory(memory);
    again = new_host(size);
    assert_ptr_equal(again, memory);
    again[size - 1] = 7;
    ze_sim_settle();
    assert_int_equal(again[size - 1], 7);
    free_memory(again);
    /* If this thread was slow, the command had ended. */
    (void)ze_sim_expected("unfinished commands use it");
    assert_int_equal(ze_sim_violations(), 0);
  }
  end(w);
}

static void memory_freed_twice(void **state) {
  char *memory = new_host(4 * KIB);
  (void)state;
  free_memory(memory);
  gives(zeMemFree(context, memory), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("is freed, where no memory is");
}

static void memory_freed_that_never_was(void **state) {
  char *memory = new_host(4 * KIB);
  (void)state;
  gives(zeMemFree(context, &state), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("is freed, where no memory is");
  gives(zeMemFree(context, memory + 64), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("is freed, which is inside of the memory");
  free_memory(memory);
}

static void memory_freed_with_another_context(void **state) {
  ze_context_handle_t other = new_context();
  char *memory = new_host(4 * KIB);
  (void)state;
  gives(zeMemFree(other, memory), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("is freed with another context");
  free_memory(memory);
  ok(zeContextDestroy(other));
}

static void a_command_outside_of_live_memory(void **state) {
  const with_event w = begin();
  ze_context_handle_t other = new_context();
  char *memory = new_host(4 * KIB), *freed = new_host(8 * KIB), *foreign;
  char ordinary[64];
  (void)state;
  foreign = new_host_in(other, 4 * KIB);
  free_memory(freed);
  gives(zeCommandListAppendMemoryCopy(w.list, memory, freed, 4 * KIB, NULL, 0, NULL),
        ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("are not within live memory of the driver");
  gives(zeCommandListAppendMemoryFill(w.list, memory + 1, "", 1, 4 * KIB, NULL, 0, NULL),
        ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("4096 bytes at");
  gives(zeCommandListAppendMemoryCopy(w.list, memory, ordinary, 64, NULL, 0, NULL),
        ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("64 bytes at");
  gives(zeCommandListAppendMemoryCopy(w.list, memory, foreign, 64, NULL, 0, NULL),
        ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("belongs to another context");
  gives(zeCommandListAppendMemoryPrefetch(w.list, freed, 64), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("64 bytes at");
  gives(zeContextMakeMemoryResident(context, device, freed, 64), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("64 bytes at");
  free_memory(memory);
  ok(zeMemFree(other, foreign));
  ok(zeContextDestroy(other));
  end(w);
}

static void memory_freed_before_the_list_that_uses_it_is_executed(void **state) {
  ze_command_queue_handle_t queue = new_queue();
  ze_command_list_handle_t list = new_list();
  char *memory = new_host(4 * KIB);
  (void)state;
  fill(list, memory, 1, 4 * KIB);
  ok(zeCommandListClose(list));
  free_memory(memory);
  gives(zeCommandQueueExecuteCommandLists(queue, 1, &list, NULL), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("are not within live memory of the driver");
  ok(zeCommandListDestroy(list));
  ok(zeCommandQueueDestroy(queue));
}

/* The new owner of the address has nothing to do with the list. */
static void memory_freed_before_the_list_is_executed_and_allocated_again(void **state) {
  ze_command_queue_handle_t queue = new_queue();
  ze_command_list_handle_t list = new_list();
  char *memory = new_host(4 * KIB), *again;
  (void)state;
  fill(list, memory, 1, 4 * KIB);
  ok(zeCommandListClose(list));
  free_memory(memory);
  again = new_host(4 * KIB);
  assert_ptr_equal(again, memory);
  again[0] = 7;
  gives(zeCommandQueueExecuteCommandLists(queue, 1, &list, NULL), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("what is there now is another allocation");
  assert_int_equal(again[0], 7);
  free_memory(again);
  ok(zeCommandListDestroy(list));
  ok(zeCommandQueueDestroy(queue));
}

/* Where the loader gives no handles of its own, a report's are the program's. */
static void a_report_names_the_objects(void **state) {
  const with_event w = begin();
  void *memory = new_host(4 * KIB);
  char list[64], event[64];
  (void)state;
  snprintf(list, sizeof list, "AppendMemoryFill on the command list %p", (void *)w.list);
  snprintf(event, sizeof event, "AppendBarrier on command list %p: event %p", (void *)w.list,
           (void *)w.event);
  if (wrapped) list[0] = event[0] = '\0';
  barrier(w.list, w.event);
  wait_for(w.event);
  barrier(w.list, w.event); /* of which it is the worker that tells */
  ze_sim_settle();
  assert_non_null(strstr(ze_sim_last_violation(), event));
  (void)ze_sim_expected("");
  ze_sim_hold(1);
  fill(w.list, memory, 1, 4 * KIB);
  ze_sim_handed_out(memory, 1);
  assert_non_null(strstr(ze_sim_last_violation(), list));
  seen("ze_sim_handed_out: ");
  ze_sim_handed_back(memory);
  ze_sim_handed_back(memory);
  seen("ze_sim_handed_back: ");
  free_memory(memory);
  assert_non_null(strstr(ze_sim_last_violation(), list));
  seen("is freed while 1 unfinished commands use it");
  end(w);
}

static void arguments_that_the_device_has_not(void **state) {
  const with_event w = begin();
  char *memory = new_host(4 * KIB);
  const char pattern[32] = {0};
  (void)state;
  gives(zeCommandListAppendMemoryFill(w.list, memory, pattern, 3, 4 * KIB, NULL, 0, NULL),
        ZE_RESULT_ERROR_INVALID_SIZE);
  seen("a pattern of 3 bytes for command list");
  gives(zeCommandListAppendMemoryFill(w.list, memory, pattern, 32, 4 * KIB, NULL, 0, NULL),
        ZE_RESULT_ERROR_INVALID_SIZE);
  seen("a pattern of 32 bytes");
  gives(zeCommandListAppendWriteGlobalTimestamp(w.list, (uint64_t *)(void *)(memory + 4), NULL, 0,
                                                NULL),
        ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("is not aligned to 8 bytes");
  gives(zeCommandListAppendMemAdvise(w.list, device, memory, 64, (ze_memory_advice_t)99),
        ZE_RESULT_ERROR_INVALID_ENUMERATION);
  if (!wrapped)
    gives(zeCommandListAppendMemAdvise(w.list, NULL, memory, 64, ZE_MEMORY_ADVICE_BIAS_CACHED),
          ZE_RESULT_ERROR_INVALID_NULL_HANDLE);
  assert_int_equal(ze_sim_violations(), 0);
  free_memory(memory);
  end(w);
}

/* ---- the caller's book ----------------------------------------------------------------------- */

static void memory_handed_out_while_a_command_uses_it(void **state) {
  const with_event w = begin();
  char *from = new_host(64 * KIB), *to = new_device(64 * KIB);
  (void)state;
  ze_sim_hold(1);
  ok(zeCommandListAppendMemoryCopy(w.list, to, from, 4 * KIB, NULL, 0, NULL));
  ze_sim_handed_out(from + 4095, 1);
  seen("are handed out while an unfinished command uses them");
  ze_sim_handed_back(from + 4095);
  ze_sim_handed_out(to, 1);
  seen("are handed out while an unfinished command uses them");
  ze_sim_handed_back(to);
  end(w);
  free_memory(from);
  free_memory(to);
}

static void memory_handed_out_though_the_lost_device_may_still_use_it(void **state) {
  const with_event w = begin();
  char *memory = new_host(64 * KIB);
  (void)state;
  ze_sim_hold(1);
  fill(w.list, memory, 1, 4 * KIB);
  ze_sim_lose_device();
  ze_sim_handed_out(memory, 64);
  seen("are handed out while an unfinished command uses them");
  ze_sim_handed_back(memory);
  free_memory(memory);
  end(w);
}

static void memory_handed_out_twice_or_from_nowhere(void **state) {
  char *memory = new_host(64 * KIB);
  char ordinary[64];
  (void)state;
  ze_sim_handed_out(memory, 4 * KIB);
  ze_sim_handed_out(memory + 4 * KIB - 1, 4 * KIB);
  seen("some of which are handed out already");
  ze_sim_handed_out(ordinary, 64);
  seen("not all of which are live memory");
  ze_sim_handed_back(ordinary);
  ze_sim_handed_back(memory + 1);
  seen("which is not handed out");
  free_memory(memory);
  seen("is freed while a part of it is handed out");
  ze_sim_handed_back(memory);
  ze_sim_handed_back(memory);
  seen("which is not handed out");
}

/* ---- fences ---------------------------------------------------------------------------------- */

static void a_fence_that_is_pending(void **state) {
  ze_command_queue_handle_t queue = new_queue(), other = new_queue();
  ze_command_list_handle_t first = new_list(), second = new_list();
  ze_fence_handle_t fence = new_fence(queue);
  (void)state;
  barrier(first, NULL);
  ok(zeCommandListClose(first));
  ok(zeCommandListClose(second));
  ze_sim_hold(1);
  execute(queue, first, fence);
  gives(zeCommandQueueExecuteCommandLists(queue, 1, &second, fence),
        ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT);
  seen("is submitted again while it is pending");
  gives(zeFenceReset(fence), ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT);
  seen("is reset while it is pending");
  gives(zeFenceDestroy(fence), ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE);
  seen("is destroyed while it is pending");
  ze_sim_hold(0);
  ok(zeFenceHostSynchronize(fence, UINT64_MAX));
  gives(zeCommandQueueExecuteCommandLists(queue, 1, &second, fence),
        ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT);
  seen("it was not reset");
  gives(zeCommandQueueExecuteCommandLists(other, 1, &second, fence),
        ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT);
  seen("is of another command queue");
  gives(zeCommandQueueDestroy(queue), ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE);
  seen("is destroyed with 1 live objects, one of them a fence");
  ok(zeFenceDestroy(fence));
  ok(zeCommandListDestroy(first));
  ok(zeCommandListDestroy(second));
  ok(zeCommandQueueDestroy(queue));
  ok(zeCommandQueueDestroy(other));
}

/* ---- contexts and handles -------------------------------------------------------------------- */

static void a_context_destroyed_with_live_objects(void **state) {
  char *memory = new_host(4 * KIB);
  (void)state;
  gives(zeContextDestroy(context), ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE);
  seen("is destroyed with 1 live objects, one of them an allocation");
  free_memory(memory);
}

static void what_is_alive_at_a_reset(void **state) {
  ze_context_handle_t left = new_context(), mine = context;
  (void)state;
  if (wrapped) { /* the loader would keep what is of no use any more */
    ok(zeContextDestroy(left));
    return;
  }
  context = left;
  ze_sim_hold(1);
  fill(new_immediate(), new_host(4 * KIB), 1, 4 * KIB);
  (void)new_event(new_pool(1), 0);
  (void)new_fence(new_queue());
  context = mine;
  ok(zeContextDestroy(mine));
  /* A command, and an allocation, a context, a list, a pool, an event, a queue and a fence. */
  assert_int_equal(ze_sim_reset(), 8);
  assert_int_equal(ze_sim_live(ZE_SIM_CONTEXTS), 0);
  assert_int_equal(ze_sim_live(ZE_SIM_HOST_BYTES), 0);
  assert_int_equal(ze_sim_live(ZE_SIM_COMMANDS), 0);
  context = new_context();
}

static void a_handle_that_is_not_what_it_should_be(void **state) {
  with_event w = begin();
  ze_event_handle_t gone = new_event(w.pool, 1);
  (void)state;
  if (wrapped) {
    ok(zeEventDestroy(gone));
    end(w);
    return;
  }
  ok(zeEventDestroy(gone));
  gives(zeEventQueryStatus(gone), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("is destroyed");
  gives(zeEventDestroy(gone), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("is destroyed");
  gives(zeCommandListAppendBarrier(w.list, gone, 0, NULL), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("is destroyed");
  gives(zeCommandListAppendBarrier(w.list, NULL, 1, &gone), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("is destroyed");
  gives(zeEventQueryStatus((ze_event_handle_t)(void *)w.pool), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("the handle of an event pool is given for an event");
  gives(zeEventQueryStatus((ze_event_handle_t)(void *)&w), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("was never the handle of an event");
  gives(zeContextCreate((ze_driver_handle_t)(void *)device,
                        &(ze_context_desc_t){.stype = ZE_STRUCTURE_TYPE_CONTEXT_DESC}, &context),
        ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("is not the driver");
  gives(zeDeviceGetStatus((ze_device_handle_t)(void *)driver), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  seen("is not the device");
  end(w);
}

static void descriptors_that_are_not_what_they_should_be(void **state) {
  const ze_host_mem_alloc_desc_t untyped = {.flags = 0};
  const ze_relaxed_allocation_limits_exp_desc_t relaxed = {
      .stype = ZE_STRUCTURE_TYPE_RELAXED_ALLOCATION_LIMITS_EXP_DESC,
      .flags = ZE_RELAXED_ALLOCATION_LIMITS_EXP_FLAG_MAX_SIZE};
  const ze_host_mem_alloc_desc_t chained = {.stype = ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC,
                                            .pNext = &relaxed};
  void *memory = NULL;
  (void)state;
  ok(zeMemAllocHost(context, &untyped, 64, 64, &memory));
  seen("stype of the ze_host_mem_alloc_desc_t is 0x0");
  free_memory(memory);
  ze_sim_relaxed_limits(0);
  ok(zeMemAllocHost(context, &chained, 64, 64, &memory));
  seen("a structure of type 0x20001 is chained");
  free_memory(memory);
}

static void violations_are_counted_and_told(void **state) {
  (void)state;
  assert_string_equal(ze_sim_last_violation(), "");
  ze_sim_handed_back(context);
  assert_int_equal(ze_sim_violations(), 1);
  assert_non_null(strstr(ze_sim_last_violation(), "which is not handed out"));
  assert_int_equal(ze_sim_expected("something else"), 0);
  assert_int_equal(ze_sim_expected("handed out"), 1);
  assert_int_equal(ze_sim_violations(), 0);
  ze_sim_handed_back(context);
  assert_int_equal(ze_sim_expected(""), 1); /* any, but each once */
  assert_int_equal(ze_sim_expected(""), 0);
  assert_int_equal(ze_sim_violations(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(an_event_signalled_twice_without_reset),
      TEST(an_event_given_a_second_signal_while_the_first_is_pending),
      TEST(an_event_reset_by_the_host_while_its_signal_is_pending),
      TEST(an_event_destroyed_while_a_command_will_signal_it),
      TEST(an_event_destroyed_while_a_command_waits_for_it),
      TEST(an_event_destroyed_before_the_list_that_has_it_is_executed),
      TEST(a_pool_destroyed_before_its_events),
      TEST(an_index_of_a_pool_used_twice_or_beyond_its_end),
      TEST(an_event_that_the_host_cannot_see),
      TEST(an_event_of_another_context),
      TEST(an_event_reset_by_the_host_while_a_command_has_still_to_see_it),
      TEST(an_event_seen_by_the_host_though_its_signal_has_no_host_scope),
      TEST(a_list_appended_to_after_it_was_closed),
      TEST(a_list_executed_before_it_was_closed),
      TEST(a_list_that_is_under_way),
      TEST(an_immediate_list_destroyed_while_it_has_work),
      TEST(an_immediate_list_treated_as_a_regular_one),
      TEST(a_list_on_a_queue_of_another_context),
      TEST(a_queue_that_is_not_there),
      TEST(memory_freed_while_a_submitted_command_uses_it),
      TEST(memory_freed_while_a_command_is_in_the_middle),
      TEST(memory_freed_twice),
      TEST(memory_freed_that_never_was),
      TEST(memory_freed_with_another_context),
      TEST(a_command_outside_of_live_memory),
      TEST(memory_freed_before_the_list_that_uses_it_is_executed),
      TEST(memory_freed_before_the_list_is_executed_and_allocated_again),
      TEST(a_report_names_the_objects),
      TEST(arguments_that_the_device_has_not),
      TEST(memory_handed_out_while_a_command_uses_it),
      TEST(memory_handed_out_though_the_lost_device_may_still_use_it),
      TEST(memory_handed_out_twice_or_from_nowhere),
      TEST(a_fence_that_is_pending),
      TEST(a_context_destroyed_with_live_objects),
      TEST(what_is_alive_at_a_reset),
      TEST(a_handle_that_is_not_what_it_should_be),
      TEST(descriptors_that_are_not_what_they_should_be),
      TEST(violations_are_counted_and_told),
  };
  return cmocka_run_group_tests(tests, rig_group_setup, NULL);
}
