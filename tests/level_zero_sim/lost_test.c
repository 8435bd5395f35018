/* lost_test.c - a lost device, and one that stayed with the parent of a forked process. */

#include "rig.h"

#include <sys/wait.h>
#include <unistd.h>

/* ---- every call ------------------------------------------------------------------------------ */

#define lost(call) gives(call, ZE_RESULT_ERROR_DEVICE_LOST)

typedef struct all { /* one of each */
  ze_command_queue_handle_t queue;
  ze_command_list_handle_t list, immediate;
  ze_fence_handle_t fence;
  ze_event_pool_handle_t pool;
  ze_event_handle_t event;
  char *memory, *other;
} all;

static all make_all(void) {
  all a = {.queue = new_queue(),
           .list = new_list(),
           .immediate = new_immediate(),
           .pool = new_pool(2),
           .memory = new_host(4 * KIB),
           .other = new_host(4 * KIB)};
  a.fence = new_fence(a.queue);
  a.event = new_event(a.pool, 0);
  return a;
}

static void end_all(all a) {
  const ze_memory_free_ext_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_MEMORY_FREE_EXT_DESC};
  ok(zeEventDestroy(a.event));
  ok(zeEventPoolDestroy(a.pool));
  ok(zeFenceDestroy(a.fence));
  ok(zeCommandListDestroy(a.list));
  ok(zeCommandListDestroy(a.immediate));
  ok(zeCommandQueueDestroy(a.queue));
  free_memory(a.memory);
  ok(zeMemFreeExt(context, &desc, a.other));
}

static void device_and_context_are_lost(const all *a) {
  ze_context_desc_t context_desc = {.stype = ZE_STRUCTURE_TYPE_CONTEXT_DESC};
  ze_context_handle_t made = NULL;
  ze_device_properties_t properties = {.stype = ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES};
  ze_device_compute_properties_t compute = {.stype = ZE_STRUCTURE_TYPE_DEVICE_COMPUTE_PROPERTIES};
  ze_device_module_properties_t module = {.stype = ZE_STRUCTURE_TYPE_DEVICE_MODULE_PROPERTIES};
  ze_device_image_properties_t image = {.stype = ZE_STRUCTURE_TYPE_DEVICE_IMAGE_PROPERTIES};
  ze_device_external_memory_properties_t external = {
      .stype = ZE_STRUCTURE_TYPE_DEVICE_EXTERNAL_MEMORY_PROPERTIES};
  ze_device_memory_access_properties_t access = {
      .stype = ZE_STRUCTURE_TYPE_DEVICE_MEMORY_ACCESS_PROPERTIES};
  ze_device_p2p_properties_t p2p = {.stype = ZE_STRUCTURE_TYPE_DEVICE_P2P_PROPERTIES};
  ze_bool_t can = 0;
  uint64_t host = 0, clock = 0;
  uint32_t count = 0;
  lost(zeDeviceGetSubDevices(device, &count, NULL));
  lost(zeDeviceGetProperties(device, &properties));
  lost(zeDeviceGetComputeProperties(device, &compute));
  lost(zeDeviceGetModuleProperties(device, &module));
  lost(zeDeviceGetCommandQueueGroupProperties(device, &count, NULL));
  lost(zeDeviceGetMemoryProperties(device, &count, NULL));
  lost(zeDeviceGetMemoryAccessProperties(device, &access));
  lost(zeDeviceGetCacheProperties(device, &count, NULL));
  lost(zeDeviceGetImageProperties(device, &image));
  lost(zeDeviceGetExternalMemoryProperties(device, &external));
  lost(zeDeviceGetP2PProperties(device, device, &p2p));
  lost(zeDeviceCanAccessPeer(device, device, &can));
  lost(zeDeviceGetStatus(device));
  lost(zeDeviceGetGlobalTimestamps(device, &host, &clock));
  lost(zeContextCreate(driver, &context_desc, &made));
  lost(zeContextCreateEx(driver, &context_desc, 1, &device, &made));
  lost(zeContextGetStatus(context));
  lost(zeContextSystemBarrier(context, device));
  lost(zeContextMakeMemoryResident(context, device, a->memory, 64));
  lost(zeContextEvictMemory(context, device, a->memory, 64));
}

static void memory_is_lost(const all *a) {
  const ze_host_mem_alloc_desc_t host = {.stype = ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC};
  const ze_device_mem_alloc_desc_t on_device = {.stype = ZE_STRUCTURE_TYPE_DEVICE_MEM_ALLOC_DESC};
  ze_memory_allocation_properties_t properties = {
      .stype = ZE_STRUCTURE_TYPE_MEMORY_ALLOCATION_PROPERTIES};
  void *ptr = NULL;
  size_t size = 0;
  lost(zeMemAllocHost(context, &host, 64, 64, &ptr));
  lost(zeMemAllocDevice(context, &on_device, 64, 64, device, &ptr));
  lost(zeMemAllocShared(context, &on_device, &host, 64, 64, device, &ptr));
  lost(zeMemGetAllocProperties(context, a->memory, &properties, NULL));
  lost(zeMemGetAddressRange(context, a->memory, &ptr, &size));
}

static void queues_and_lists_are_lost(const all *a) {
  const ze_command_queue_desc_t queue_desc = {.stype = ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC};
  const ze_command_list_desc_t list_desc = {.stype = ZE_STRUCTURE_TYPE_COMMAND_LIST_DESC};
  ze_command_list_handle_t lists[1] = {a->list}, made = NULL;
  ze_command_queue_handle_t queue = NULL;
  lost(zeCommandQueueCreate(context, device, &queue_desc, &queue));
  lost(zeCommandQueueExecuteCommandLists(a->queue, 1, lists, NULL));
  lost(zeCommandQueueSynchronize(a->queue, 0));
  lost(zeCommandListCreate(context, device, &list_desc, &made));
  lost(zeCommandListCreateImmediate(context, device, &queue_desc, &made));
  lost(zeCommandListClose(a->list));
  lost(zeCommandListReset(a->list));
}

static void appends_are_lost(const all *a) {
  ze_event_handle_t events[1] = {a->event};
  const void *range = a->memory;
  const size_t size = 64;
  lost(zeCommandListAppendMemoryCopy(a->list, a->memory, a->memory + 64, size, NULL, 0, NULL));
  lost(zeCommandListAppendMemoryFill(a->list, a->memory, "", 1, size, NULL, 0, NULL));
  lost(zeCommandListAppendBarrier(a->immediate, a->event, 0, NULL));
  lost(zeCommandListAppendMemoryRangesBarrier(a->list, 1, &size, &range, NULL, 0, NULL));
  lost(zeCommandListAppendSignalEvent(a->list, a->event));
  lost(zeCommandListAppendWaitOnEvents(a->list, 1, events));
  lost(zeCommandListAppendEventReset(a->list, a->event));
  lost(zeCommandListAppendWriteGlobalTimestamp(a->list, (uint64_t *)(void *)a->memory, NULL, 0,
                                               NULL));
  lost(zeCommandListAppendMemoryPrefetch(a->list, a->memory, size));
  lost(zeCommandListAppendMemAdvise(a->list, device, a->memory, size, (ze_memory_advice_t)0));
}

static void events_and_fences_are_lost(const all *a) {
  const ze_event_pool_desc_t pool_desc = {.stype = ZE_STRUCTURE_TYPE_EVENT_POOL_DESC, .count = 1};
  const ze_event_desc_t event_desc = {.stype = ZE_STRUCTURE_TYPE_EVENT_DESC, .index = 1};
  const ze_fence_desc_t fence_desc = {.stype = ZE_STRUCTURE_TYPE_FENCE_DESC};
  ze_event_pool_handle_t pool = NULL;
  ze_event_handle_t event = NULL;
  ze_fence_handle_t fence = NULL;
  lost(zeEventPoolCreate(context, &pool_desc, 0, NULL, &pool));
  lost(zeEventCreate(a->pool, &event_desc, &event));
  lost(zeEventHostSignal(a->event));
  lost(zeEventHostReset(a->event));
  lost(zeEventHostSynchronize(a->event, UINT64_MAX));
  lost(zeEventQueryStatus(a->event));
  lost(zeFenceCreate(a->queue, &fence_desc, &fence));
  lost(zeFenceHostSynchronize(a->fence, UINT64_MAX));
  lost(zeFenceQueryStatus(a->fence));
  lost(zeFenceReset(a->fence));
}

static void every_call_that_uses_a_lost_device_says_so(void **state) {
  const all a = make_all();
  uint32_t count = 0;
  ze_api_version_t version;
  (void)state;
  ze_sim_lose_device();
  device_and_context_are_lost(&a);
  memory_is_lost(&a);
  queues_and_lists_are_lost(&a);
  appends_are_lost(&a);
  events_and_fences_are_lost(&a);
  ok(zeInit(0));
  ok(zeDriverGet(&count, NULL));
  ok(zeDriverGetApiVersion(driver, &version));
  count = 0;
  ok(zeDeviceGet(driver, &count, NULL));
  end_all(a);
}

/* ---- work under way -------------------------------------------------------------------------- */

static void a_lost_device_says_so_and_lets_everything_go(void **state) {
  const ze_host_mem_alloc_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC};
  ze_command_queue_handle_t queue = new_queue();
  ze_command_list_handle_t list = new_list(), immediate = new_immediate();
  ze_fence_handle_t fence = new_fence(queue);
  ze_event_pool_handle_t pool = new_pool(1);
  ze_event_handle_t event = new_event(pool, 0);
  unsigned char *memory = new_host(4 * KIB);
  void *ptr = NULL;
  (void)state;
  memory[0] = 0;
  ze_sim_hold(1);
  fill(list, memory, 1, 4 * KIB);
  ok(zeCommandListClose(list));
  execute(queue, list, fence);
  fill(immediate, memory, 1, 4 * KIB);
  barrier(immediate, event);
  ze_sim_lose_device();
  ze_sim_hold(0);
  ze_sim_settle();
  assert_int_equal(memory[0], 0);
  gives(zeEventQueryStatus(event), ZE_RESULT_ERROR_DEVICE_LOST);
  gives(zeEventHostSynchronize(event, UINT64_MAX), ZE_RESULT_ERROR_DEVICE_LOST);
  gives(zeFenceHostSynchronize(fence, UINT64_MAX), ZE_RESULT_ERROR_DEVICE_LOST);
  gives(zeCommandQueueSynchronize(queue, UINT64_MAX), ZE_RESULT_ERROR_DEVICE_LOST);
  gives(zeCommandListAppendBarrier(immediate, event, 0, NULL), ZE_RESULT_ERROR_DEVICE_LOST);
  gives(zeMemAllocHost(context, &desc, 4 * KIB, 64, &ptr), ZE_RESULT_ERROR_DEVICE_LOST);
  gives(zeDeviceGetStatus(device), ZE_RESULT_ERROR_DEVICE_LOST);
  gives(zeContextGetStatus(context), ZE_RESULT_ERROR_DEVICE_LOST);
  free_memory(memory);
  ok(zeEventDestroy(event));
  ok(zeEventPoolDestroy(pool));
  ok(zeFenceDestroy(fence));
  ok(zeCommandListDestroy(list));
  ok(zeCommandListDestroy(immediate));
  ok(zeCommandQueueDestroy(queue));
}

/* What has begun stops where it is: it writes nothing, signals nothing, and is in nobody's way. */
static void a_command_under_way_is_lost_with_the_device(void **state) {
  const all a = make_all();
  unsigned char value = 1;
  (void)state;
  memset(a.memory, 0, 64);
  ok(zeEventHostSignal(a.event));         /* a second signal would be a violation */
  ze_sim_delay(3600 * UINT64_C(1000000)); /* not to be waited for */
  ok(zeCommandListAppendMemoryFill(a.immediate, a.memory, &value, 1, 64, a.event, 0, NULL));
  wait_until_running();
  ze_sim_lose_device();
  ze_sim_settle();
  assert_int_equal(a.memory[0], 0);
  end_all(a);
}

/* Its worker may have to hear of it yet. */
static void what_a_lost_command_under_way_had_can_be_destroyed_at_once(void **state) {
  int round;
  (void)state;
  for (round = 0; round < 10; round++) {
    const with_event w = begin();
    void *memory = new_host(64);
    ze_sim_delay(3600 * UINT64_C(1000000));
    ok(zeCommandListAppendMemoryFill(w.list, memory, "", 1, 64, w.event, 0, NULL));
    wait_until_running();
    ze_sim_lose_device();
    ok(zeEventDestroy(w.event));
    free_memory(memory);
    ok(zeCommandListDestroy(w.list));
    ok(zeEventPoolDestroy(w.pool));
    ok(zeContextDestroy(context));
    assert_int_equal(ze_sim_reset(), 0); /* the device is back */
    context = new_context();
  }
}

static void who_waits_hears_that_the_device_is_lost(void **state) {
  const all a = make_all();
  pthread_t threads[3];
  int i;
  (void)state;
  ze_sim_hold(1);
  barrier(a.list, NULL);
  ok(zeCommandListClose(a.list));
  execute(a.queue, a.list, a.fence);
  threads[0] = begin_thread(wait_for_event, a.event);
  threads[1] = begin_thread(wait_for_fence, a.fence);
  threads[2] = begin_thread(wait_for_queue, a.queue);
  wait_until_called("zeEventHostSynchronize", 1);
  wait_until_called("zeFenceHostSynchronize", 1);
  wait_until_called("zeCommandQueueSynchronize", 1);
  ze_sim_lose_device();
  for (i = 0; i < 3; i++) assert_int_equal(result_of(threads[i]), ZE_RESULT_ERROR_DEVICE_LOST);
  end_all(a);
}

/* No worker is there to wake who waits. */
static void who_waits_for_the_host_alone_hears_it_too(void **state) {
  ze_event_pool_handle_t pool = new_pool(1);
  ze_event_handle_t event = new_event(pool, 0);
  const pthread_t thread = begin_thread(wait_for_event, event);
  (void)state;
  wait_until_called("zeEventHostSynchronize", 1);
  ze_sim_lose_device();
  assert_int_equal(result_of(thread), ZE_RESULT_ERROR_DEVICE_LOST);
  ok(zeEventDestroy(event));
  ok(zeEventPoolDestroy(pool));
}

/* ---- fork ------------------------------------------------------------------------------------ */

/* In the child. Returns 0 if all is as it should be; a test that fails here cannot say more. */
static int use_what_was_inherited(const all *a) {
  ze_device_handle_t found = NULL;
  uint32_t count = 1;
  if (zeDeviceGetStatus(device) != ZE_RESULT_ERROR_DEVICE_LOST ||
      zeCommandListAppendBarrier(a->immediate, a->event, 0, NULL) != ZE_RESULT_ERROR_DEVICE_LOST ||
      zeEventHostSynchronize(a->event, UINT64_MAX) != ZE_RESULT_ERROR_DEVICE_LOST ||
      zeCommandQueueSynchronize(a->queue, UINT64_MAX) != ZE_RESULT_ERROR_DEVICE_LOST ||
      zeDeviceGet(driver, &count, &found) != ZE_RESULT_SUCCESS)
    return 1;
  if (zeEventDestroy(a->event) != ZE_RESULT_SUCCESS ||
      zeEventPoolDestroy(a->pool) != ZE_RESULT_SUCCESS ||
      zeFenceDestroy(a->fence) != ZE_RESULT_SUCCESS ||
      zeCommandListDestroy(a->list) != ZE_RESULT_SUCCESS ||
      zeCommandListDestroy(a->immediate) != ZE_RESULT_SUCCESS ||
      zeCommandQueueDestroy(a->queue) != ZE_RESULT_SUCCESS ||
      zeMemFree(context, a->memory) != ZE_RESULT_SUCCESS ||
      zeMemFree(context, a->other) != ZE_RESULT_SUCCESS ||
      zeContextDestroy(context) != ZE_RESULT_SUCCESS)
    return 2;
  if (ze_sim_reset() != 0) return 3;
  return zeDeviceGetStatus(device) == ZE_RESULT_ERROR_DEVICE_LOST ? 0 : 4;
}

static void a_child_after_fork_has_no_device_and_can_give_back_what_it_inherited(void **state) {
  const all a = make_all();
  const pthread_t thread = begin_thread(wait_for_event, a.event);
  void *big = new_device(64 * MIB);
  int status = -1;
  pid_t child;
  (void)state;
  wait_until_called("zeEventHostSynchronize", 1);
  fill(a.immediate, big, 1, 64 * MIB); /* in the middle of which it is forked */
  wait_until_running();
  fill(a.immediate, a.memory, 1, 4 * KIB);
  child = fork();
  if (child == 0) {
    alarm(20); /* instead of a hang */
    ze_sim_settle();
    if (zeMemFree(context, big) != ZE_RESULT_SUCCESS) _exit(5);
    _exit(use_what_was_inherited(&a));
  }
  assert_true(child > 0);
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  ok(zeEventHostSignal(a.event)); /* the parent goes on as before */
  assert_int_equal(result_of(thread), ZE_RESULT_SUCCESS);
  ze_sim_settle();
  assert_int_equal(a.memory[0], 1);
  free_memory(big);
  end_all(a);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(every_call_that_uses_a_lost_device_says_so),
      TEST(a_lost_device_says_so_and_lets_everything_go),
      TEST(a_command_under_way_is_lost_with_the_device),
      TEST(what_a_lost_command_under_way_had_can_be_destroyed_at_once),
      TEST(who_waits_hears_that_the_device_is_lost),
      TEST(who_waits_for_the_host_alone_hears_it_too),
      TEST(a_child_after_fork_has_no_device_and_can_give_back_what_it_inherited),
  };
  return cmocka_run_group_tests(tests, rig_group_setup, NULL);
}
