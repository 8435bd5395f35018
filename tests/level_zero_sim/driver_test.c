/* driver_test.c - the driver, memory, failures and the environment. The programs here do nothing
   wrong, and the referee is silent. */

#include "rig.h"

/* ---- driver and device ----------------------------------------------------------------------- */

static void the_loader_and_the_program_see_one_driver(void **state) {
  void *found = NULL;
  uint64_t (*violations)(void) = ze_sim_violations;
  void *linked;
  (void)state;
  memcpy(&linked, &violations, sizeof linked);
  assert_int_equal(ze_sim_calls("zeContextCreate"), 1);
  ok(zeDriverGetExtensionFunctionAddress(driver, "ze_sim_violations", &found));
  assert_ptr_equal(found, linked);
  gives(zeDriverGetExtensionFunctionAddress(driver, "ze_sim_nothing", &found),
        ZE_RESULT_ERROR_INVALID_ARGUMENT);
}

static void two_drivers_have_nothing_in_common(void **state) {
  const ze_context_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_CONTEXT_DESC};
  ze_context_handle_t other = NULL;
  void *found = NULL, *ours = NULL;
  uint64_t (*live)(ze_sim_what);
  (void)state;
  if (other_driver == NULL) return;
  ok(zeDriverGetExtensionFunctionAddress(other_driver, "ze_sim_live", &found));
  ok(zeDriverGetExtensionFunctionAddress(driver, "ze_sim_live", &ours));
  assert_ptr_not_equal(found, ours);
  memcpy(&live, &found, sizeof live);
  assert_int_equal(live(ZE_SIM_CONTEXTS), 0);
  ok(zeContextCreate(other_driver, &desc, &other));
  assert_int_equal(live(ZE_SIM_CONTEXTS), 1);
  assert_int_equal(ze_sim_live(ZE_SIM_CONTEXTS), 1);
  ok(zeContextDestroy(other));
  assert_int_equal(live(ZE_SIM_CONTEXTS), 0);
}

static void the_device_says_what_it_is(void **state) {
  ze_device_properties_t properties = {.stype = ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES};
  ze_command_queue_group_properties_t group = {
      .stype = ZE_STRUCTURE_TYPE_COMMAND_QUEUE_GROUP_PROPERTIES};
  ze_device_memory_properties_t memory = {.stype = ZE_STRUCTURE_TYPE_DEVICE_MEMORY_PROPERTIES};
  ze_device_memory_access_properties_t access = {
      .stype = ZE_STRUCTURE_TYPE_DEVICE_MEMORY_ACCESS_PROPERTIES};
  uint32_t count = 0;
  (void)state;
  ok(zeDeviceGetProperties(device, &properties));
  assert_string_equal(properties.name, "Level Zero CPU simulator");
  assert_int_equal(properties.type, ZE_DEVICE_TYPE_GPU);
  assert_int_equal(properties.maxMemAllocSize, UINT64_C(4) << 30);
  ok(zeDeviceGetCommandQueueGroupProperties(device, &count, NULL));
  assert_int_equal(count, 1);
  ok(zeDeviceGetCommandQueueGroupProperties(device, &count, &group));
  assert_int_equal(group.numQueues, 64);
  ze_sim_limits(0, 64 * MIB, 0);
  ok(zeDeviceGetMemoryProperties(device, &count, &memory));
  assert_int_equal(memory.totalSize, 64 * MIB);
  ok(zeDeviceGetMemoryAccessProperties(device, &access));
  assert_int_equal(access.sharedSystemAllocCapabilities, 0);
}

static void the_device_answers_what_it_is_asked(void **state) {
  ze_driver_memory_free_ext_properties_t free_policies = {
      .stype = ZE_STRUCTURE_TYPE_DRIVER_MEMORY_FREE_EXT_PROPERTIES};
  ze_driver_properties_t of_driver = {.stype = ZE_STRUCTURE_TYPE_DRIVER_PROPERTIES,
                                      .pNext = &free_policies};
  ze_driver_ipc_properties_t ipc = {.stype = ZE_STRUCTURE_TYPE_DRIVER_IPC_PROPERTIES, .flags = 1};
  ze_device_compute_properties_t compute = {.stype = ZE_STRUCTURE_TYPE_DEVICE_COMPUTE_PROPERTIES};
  ze_device_p2p_properties_t p2p = {.stype = ZE_STRUCTURE_TYPE_DEVICE_P2P_PROPERTIES, .flags = 1};
  ze_bool_t can = 0;
  uint32_t count = 7;
  (void)state;
  ok(zeDriverGetProperties(driver, &of_driver));
  assert_true(free_policies.freePolicies != 0);
  ok(zeDriverGetIpcProperties(driver, &ipc));
  assert_int_equal(ipc.flags, 0);
  ok(zeDeviceGetComputeProperties(device, &compute));
  assert_int_equal(compute.maxTotalGroupSize, 1);
  ok(zeDeviceGetP2PProperties(device, device, &p2p));
  assert_int_equal(p2p.flags, 0);
  ok(zeDeviceCanAccessPeer(device, device, &can));
  assert_true(can);
  ok(zeDeviceGetSubDevices(device, &count, NULL));
  assert_int_equal(count, 0);
  ok(zeContextSystemBarrier(context, device));
}

static void what_is_not_there_is_said_to_be_unsupported(void **state) {
  const uint8_t code = 0;
  const ze_module_desc_t desc = {
      .stype = ZE_STRUCTURE_TYPE_MODULE_DESC, .inputSize = 1, .pInputModule = &code};
  ze_module_handle_t module = NULL;
  ze_ipc_mem_handle_t ipc;
  void *memory = new_device(4 * KIB);
  (void)state;
  gives(zeModuleCreate(context, device, &desc, &module, NULL), ZE_RESULT_ERROR_UNSUPPORTED_FEATURE);
  gives(zeMemGetIpcHandle(context, memory, &ipc), ZE_RESULT_ERROR_UNSUPPORTED_FEATURE);
  free_memory(memory);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void memory_is_aligned_to_what_was_asked_and_no_more(void **state) {
  const ze_host_mem_alloc_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC};
  size_t alignment;
  void *ptr = NULL;
  (void)state;
  for (alignment = 1; alignment <= 4 * MIB; alignment *= 2) {
    ok(zeMemAllocHost(context, &desc, 10000, alignment, &ptr));
    assert_int_equal((uintptr_t)ptr % (2 * alignment), alignment);
    memset(ptr, 1, 10000);
    free_memory(ptr);
  }
  ok(zeMemAllocHost(context, &desc, 1, 0, &ptr));
  free_memory(ptr);
  gives(zeMemAllocHost(context, &desc, 1, 48, &ptr), ZE_RESULT_ERROR_UNSUPPORTED_ALIGNMENT);
  gives(zeMemAllocHost(context, &desc, 0, 64, &ptr), ZE_RESULT_ERROR_UNSUPPORTED_SIZE);
}

static void memory_says_what_it_is(void **state) {
  const ze_device_mem_alloc_desc_t device_desc = {.stype = ZE_STRUCTURE_TYPE_DEVICE_MEM_ALLOC_DESC};
  const ze_host_mem_alloc_desc_t host_desc = {.stype = ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC};
  ze_memory_allocation_properties_t properties = {
      .stype = ZE_STRUCTURE_TYPE_MEMORY_ALLOCATION_PROPERTIES};
  ze_device_handle_t of = NULL;
  char *host = new_host(10000), *on_device = new_device(10000);
  void *shared = NULL, *base = NULL;
  size_t size = 0;
  (void)state;
  ok(zeMemAllocShared(context, &device_desc, &host_desc, 10000, 64, device, &shared));
  ok(zeMemGetAllocProperties(context, host + 9999, &properties, NULL));
  assert_int_equal(properties.type, ZE_MEMORY_TYPE_HOST);
  ok(zeMemGetAllocProperties(context, on_device, &properties, &of));
  assert_int_equal(properties.type, ZE_MEMORY_TYPE_DEVICE);
  assert_ptr_equal(of, device);
  ok(zeMemGetAllocProperties(context, shared, &properties, &of));
  assert_int_equal(properties.type, ZE_MEMORY_TYPE_SHARED);
  ok(zeMemGetAllocProperties(context, &size, &properties, NULL));
  assert_int_equal(properties.type, ZE_MEMORY_TYPE_UNKNOWN);
  ok(zeMemGetAddressRange(context, host + 17, &base, &size));
  assert_ptr_equal(base, host);
  assert_int_equal(size, 10000);
  assert_int_equal(ze_sim_live(ZE_SIM_HOST_BYTES), 10000);
  assert_int_equal(ze_sim_live(ZE_SIM_DEVICE_BYTES), 20000);
  assert_int_equal(ze_sim_live(ZE_SIM_ALLOCATIONS), 3);
  free_memory(host);
  free_memory(on_device);
  free_memory(shared);
}

static void memory_has_limits(void **state) {
  const ze_host_mem_alloc_desc_t host = {.stype = ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC};
  const ze_device_mem_alloc_desc_t on_device = {.stype = ZE_STRUCTURE_TYPE_DEVICE_MEM_ALLOC_DESC};
  void *first = NULL, *second = NULL;
  (void)state;
  ze_sim_limits(1 * MIB, 2 * MIB, 0);
  ok(zeMemAllocHost(context, &host, 600 * KIB, 64, &first));
  gives(zeMemAllocHost(context, &host, 600 * KIB, 64, &second), ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY);
  free_memory(first);
  ok(zeMemAllocHost(context, &host, 1 * MIB, 64, &first));
  free_memory(first);
  ok(zeMemAllocDevice(context, &on_device, 2 * MIB, 64, device, &first));
  gives(zeMemAllocDevice(context, &on_device, 1, 64, device, &second),
        ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY);
  free_memory(first);
}

static void one_allocation_is_limited_unless_the_limit_is_relaxed(void **state) {
  const ze_relaxed_allocation_limits_exp_desc_t relaxed = {
      .stype = ZE_STRUCTURE_TYPE_RELAXED_ALLOCATION_LIMITS_EXP_DESC,
      .flags = ZE_RELAXED_ALLOCATION_LIMITS_EXP_FLAG_MAX_SIZE};
  const ze_host_mem_alloc_desc_t plain = {.stype = ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC};
  const ze_host_mem_alloc_desc_t chained = {.stype = ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC,
                                            .pNext = &relaxed};
  ze_driver_extension_properties_t extensions[4];
  uint32_t count = 4;
  void *ptr = NULL;
  (void)state;
  ok(zeDriverGetExtensionProperties(driver, &count, extensions));
  assert_int_equal(count, 2);
  assert_string_equal(extensions[1].name, ZE_RELAXED_ALLOCATION_LIMITS_EXP_NAME);
  ze_sim_limits(0, 0, 1 * MIB);
  ok(zeMemAllocHost(context, &plain, 1 * MIB, 64, &ptr));
  free_memory(ptr);
  gives(zeMemAllocHost(context, &plain, 1 * MIB + 1, 64, &ptr), ZE_RESULT_ERROR_UNSUPPORTED_SIZE);
  ok(zeMemAllocHost(context, &chained, 1 * MIB + 1, 64, &ptr));
  free_memory(ptr);
  ze_sim_relaxed_limits(0);
  count = 4;
  ok(zeDriverGetExtensionProperties(driver, &count, extensions));
  assert_int_equal(count, 1);
}

/* How the three kinds of memory are asked for. */
typedef enum kind { HOST, DEVICE, SHARED_OF_DEVICE, SHARED_OF_HOST, KINDS } kind;

/* `chained` is the descriptor's: of shared memory, that of its device descriptor if `first`. */
static ze_result_t allocate(kind of, size_t size, const void *chained, bool first, void **ptr) {
  const ze_host_mem_alloc_desc_t host = {.stype = ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC,
                                         .pNext = of == HOST || !first ? chained : NULL};
  const ze_device_mem_alloc_desc_t on_device = {.stype = ZE_STRUCTURE_TYPE_DEVICE_MEM_ALLOC_DESC,
                                                .pNext = of == DEVICE || first ? chained : NULL};
  switch (of) {
    case HOST: return zeMemAllocHost(context, &host, size, 64, ptr);
    case DEVICE: return zeMemAllocDevice(context, &on_device, size, 64, device, ptr);
    case SHARED_OF_DEVICE:
      return zeMemAllocShared(context, &on_device, &host, size, 64, device, ptr);
    default: return zeMemAllocShared(context, &on_device, &host, size, 64, NULL, ptr);
  }
}

static void each_kind_of_memory_has_its_limits(void **state) {
  const ze_relaxed_allocation_limits_exp_desc_t relaxed = {
      .stype = ZE_STRUCTURE_TYPE_RELAXED_ALLOCATION_LIMITS_EXP_DESC,
      .flags = ZE_RELAXED_ALLOCATION_LIMITS_EXP_FLAG_MAX_SIZE};
  void *ptr = NULL;
  kind of;
  int first;
  (void)state;
  for (of = HOST; of < KINDS; of++) {
    const bool on_device = of == DEVICE || of == SHARED_OF_DEVICE;
    ze_sim_limits(on_device ? 8 * MIB : 4 * MIB, on_device ? 4 * MIB : 8 * MIB, 1 * MIB);
    ok(allocate(of, 1 * MIB, NULL, true, &ptr));
    assert_int_equal(ze_sim_live(ZE_SIM_DEVICE_BYTES), on_device ? 1 * MIB : 0);
    assert_int_equal(ze_sim_live(ZE_SIM_HOST_BYTES), on_device ? 0 : 1 * MIB);
    free_memory(ptr);
    gives(allocate(of, 1 * MIB + 1, NULL, true, &ptr), ZE_RESULT_ERROR_UNSUPPORTED_SIZE);
    for (first = 0; first < 2; first++) {
      ok(allocate(of, 2 * MIB, &relaxed, first, &ptr));
      free_memory(ptr);
      gives(allocate(of, 5 * MIB, &relaxed, first, &ptr),
            on_device ? ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY : ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY);
    }
  }
}

/* More than are kept to be handed out again, and some too big for that. */
static void memory_can_be_had_and_freed_in_any_number(void **state) {
  void *memory[100];
  size_t i, round;
  (void)state;
  for (round = 0; round < 2; round++) {
    for (i = 0; i < 100; i++) memory[i] = new_host(i % 50 == 0 ? 100 * MIB : (i + 1) * 100);
    for (i = 0; i < 100; i++) *(char *)memory[i] = 1;
    for (i = 0; i < 100; i++) free_memory(memory[i]);
  }
  assert_int_equal(ze_sim_live(ZE_SIM_ALLOCATIONS), 0);
  assert_int_equal(ze_sim_live(ZE_SIM_HOST_BYTES), 0);
}

static void an_alignment_of_half_of_all_addresses_cannot_be_had(void **state) {
  const ze_host_mem_alloc_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC};
  void *ptr = NULL;
  (void)state;
  gives(zeMemAllocHost(context, &desc, 64, (size_t)1 << 63, &ptr),
        ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY);
}

static void a_pool_of_more_events_than_memory_holds_cannot_be_had(void **state) {
  const ze_event_pool_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_EVENT_POOL_DESC,
                                     .count = UINT32_MAX};
  ze_event_pool_handle_t pool = NULL;
  (void)state;
  gives(zeEventPoolCreate(context, &desc, 0, NULL, &pool), ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY);
  assert_int_equal(ze_sim_live(ZE_SIM_POOLS), 0);
}

/* What belongs to nobody, and what belongs to another context: to ask is no mistake. */
static void memory_is_known_in_its_own_context_alone(void **state) {
  ze_memory_allocation_properties_t properties = {
      .stype = ZE_STRUCTURE_TYPE_MEMORY_ALLOCATION_PROPERTIES};
  ze_context_handle_t other = new_context();
  void *memory = new_host(64), *second = new_host(64), *base = NULL;
  uint64_t id;
  size_t size = 0;
  (void)state;
  ok(zeMemGetAllocProperties(context, memory, &properties, NULL));
  id = properties.id;
  ok(zeMemGetAllocProperties(context, second, &properties, NULL));
  assert_true(properties.id != id);
  ok(zeMemGetAllocProperties(other, memory, &properties, NULL));
  assert_int_equal(properties.type, ZE_MEMORY_TYPE_UNKNOWN);
  gives(zeMemGetAddressRange(other, memory, &base, &size), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  gives(zeMemGetAddressRange(context, &size, &base, &size), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  ok(zeContextMakeMemoryResident(context, device, memory, 64));
  ok(zeContextEvictMemory(context, device, memory, 64));
  gives(zeContextMakeMemoryResident(context, device, memory, 0), ZE_RESULT_ERROR_INVALID_SIZE);
  free_memory(memory);
  free_memory(second);
  ok(zeContextDestroy(other));
}

static void more_memory_than_the_machine_has_can_be_had(void **state) {
  const ze_relaxed_allocation_limits_exp_desc_t relaxed = {
      .stype = ZE_STRUCTURE_TYPE_RELAXED_ALLOCATION_LIMITS_EXP_DESC,
      .flags = ZE_RELAXED_ALLOCATION_LIMITS_EXP_FLAG_MAX_SIZE};
  const ze_host_mem_alloc_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC,
                                         .pNext = &relaxed};
  char *ptr = NULL;
  (void)state;
  ok(zeMemAllocHost(context, &desc, 5 * 1024 * MIB, 2 * MIB, (void **)&ptr));
  ptr[5 * 1024 * MIB - 1] = 1;
  free_memory(ptr);
}

static void what_was_freed_last_is_handed_out_first(void **state) {
  size_t size;
  (void)state;
  for (size = 1; size <= 4 * MIB; size *= 4) {
    unsigned char *first = new_host(size), *second = new_host(size), *again;
    memset(first, 1, size);
    free_memory(second);
    free_memory(first);
    again = new_host(size);
    assert_ptr_equal(again, first);
    assert_int_equal(again[0], 0xDD);
    assert_int_equal(again[size - 1], 0xDD);
    assert_ptr_equal(new_host(size), second);
    free_memory(first);
    free_memory(second);
  }
}

static void a_free_can_wait_for_the_work_or_be_left_to_it(void **state) {
  const ze_memory_free_ext_desc_t wait = {
      .stype = ZE_STRUCTURE_TYPE_MEMORY_FREE_EXT_DESC,
      .freePolicy = ZE_DRIVER_MEMORY_FREE_POLICY_EXT_FLAG_BLOCKING_FREE};
  const ze_memory_free_ext_desc_t leave = {
      .stype = ZE_STRUCTURE_TYPE_MEMORY_FREE_EXT_DESC,
      .freePolicy = ZE_DRIVER_MEMORY_FREE_POLICY_EXT_FLAG_DEFER_FREE};
  ze_command_list_handle_t list = new_immediate();
  void *first = new_device(64 * KIB), *second = new_device(64 * KIB);
  (void)state;
  ze_sim_hold(1);
  fill(list, first, 1, 64 * KIB);
  fill(list, second, 1, 64 * KIB);
  ok(zeMemFreeExt(context, &leave, first));
  assert_int_equal(ze_sim_live(ZE_SIM_ALLOCATIONS), 2);
  ze_sim_hold(0);
  ok(zeMemFreeExt(context, &wait, second));
  ze_sim_settle();
  assert_int_equal(ze_sim_live(ZE_SIM_ALLOCATIONS), 0);
  ok(zeCommandListDestroy(list));
}

/* ---- handles --------------------------------------------------------------------------------- */

enum { EVENTS = 1000 };

/* Handles are found in a table that grows and closes its gaps: whatever came and went, each of them
   is the one event that it was. */
static void a_handle_stays_what_it_is_among_many(void **state) {
  static ze_event_handle_t events[EVENTS];
  static bool signalled[EVENTS];
  ze_event_pool_handle_t pool = new_pool(EVENTS);
  uint32_t i, step, round;
  (void)state;
  for (i = 0; i < EVENTS; i++) events[i] = new_event(pool, i);
  for (round = 0, step = 2; round < 6; round++, step++) {
    for (i = 0; i < EVENTS; i += step) ok(zeEventDestroy(events[i]));
    for (i = 0; i < EVENTS; i++) {
      if (i % step == 0) continue;
      gives(zeEventQueryStatus(events[i]), signalled[i] ? ZE_RESULT_SUCCESS : ZE_RESULT_NOT_READY);
      ok(signalled[i] ? zeEventHostReset(events[i]) : zeEventHostSignal(events[i]));
      signalled[i] = !signalled[i];
    }
    for (i = 0; i < EVENTS; i += step) {
      events[i] = new_event(pool, i);
      signalled[i] = false;
    }
  }
  for (i = 0; i < EVENTS; i++) ok(zeEventDestroy(events[i]));
  ok(zeEventPoolDestroy(pool));
}

/* ---- failures -------------------------------------------------------------------------------- */

/* A small program that stops at the first failure, and gives back what it has. What cannot be given
   back is lost. Returns whether it came through. */
static bool small_program(void) {
  const ze_host_mem_alloc_desc_t memory_desc = {.stype = ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC};
  const ze_command_queue_desc_t queue_desc = {.stype = ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC};
  const ze_event_pool_desc_t pool_desc = {.stype = ZE_STRUCTURE_TYPE_EVENT_POOL_DESC,
                                          .flags = ZE_EVENT_POOL_FLAG_HOST_VISIBLE,
                                          .count = 1};
  const ze_event_desc_t event_desc = {.stype = ZE_STRUCTURE_TYPE_EVENT_DESC,
                                      .signal = ZE_EVENT_SCOPE_FLAG_HOST};
  ze_context_desc_t context_desc = {.stype = ZE_STRUCTURE_TYPE_CONTEXT_DESC};
  ze_context_handle_t made = NULL;
  ze_command_list_handle_t list = NULL;
  ze_event_pool_handle_t pool = NULL;
  ze_event_handle_t event = NULL;
  void *memory = NULL;
  bool through = false;
  if (zeContextCreate(driver, &context_desc, &made) != ZE_RESULT_SUCCESS) return false;
  if (zeMemAllocHost(made, &memory_desc, 4096, 64, &memory) == ZE_RESULT_SUCCESS &&
      zeCommandListCreateImmediate(made, device, &queue_desc, &list) == ZE_RESULT_SUCCESS &&
      zeEventPoolCreate(made, &pool_desc, 0, NULL, &pool) == ZE_RESULT_SUCCESS &&
      zeEventCreate(pool, &event_desc, &event) == ZE_RESULT_SUCCESS &&
      zeCommandListAppendMemoryPrefetch(list, memory, 4096) == ZE_RESULT_SUCCESS &&
      zeCommandListAppendBarrier(list, event, 0, NULL) == ZE_RESULT_SUCCESS &&
      zeEventHostSynchronize(event, UINT64_MAX) == ZE_RESULT_SUCCESS &&
      zeEventQueryStatus(event) == ZE_RESULT_SUCCESS &&
      zeEventHostReset(event) == ZE_RESULT_SUCCESS)
    through = true;
  ze_sim_settle();
  if (event != NULL && zeEventDestroy(event) != ZE_RESULT_SUCCESS) through = false;
  if (pool != NULL && zeEventPoolDestroy(pool) != ZE_RESULT_SUCCESS) through = false;
  if (list != NULL && zeCommandListDestroy(list) != ZE_RESULT_SUCCESS) through = false;
  if (memory != NULL && zeMemFree(made, memory) != ZE_RESULT_SUCCESS) through = false;
  if (zeContextDestroy(made) != ZE_RESULT_SUCCESS) return false;
  return through;
}

static void any_call_can_be_made_to_fail(void **state) {
  uint64_t n = 0, calls = 0;
  bool through = false;
  (void)state;
  while (!through) {
    assert_int_equal(ze_sim_fail(NULL, ++n, 0, ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY), 0);
    through = small_program();
    assert_true(through == (ze_sim_fired() == 0));
    ze_sim_fail_no_more();
    assert_int_equal(ze_sim_violations(), 0);
  }
  calls = n - 1;
  assert_int_equal(calls, 15);
  /* The context that could not be destroyed took nothing with it but itself. */
  assert_int_equal(ze_sim_live(ZE_SIM_CONTEXTS), 2);
  assert_int_equal(ze_sim_live(ZE_SIM_EVENTS), 0);
  assert_int_equal(ze_sim_live(ZE_SIM_ALLOCATIONS), 0);
}

static void what_a_fault_kept_goes_with_its_context(void **state) {
  ze_context_handle_t mine = context;
  ze_command_list_handle_t list;
  void *memory;
  (void)state;
  context = new_context();
  list = new_immediate();
  memory = new_host(64 * KIB);
  ze_sim_hold(1);
  fill(list, memory, 1, 64 * KIB);
  assert_int_equal(ze_sim_fail("zeCommandListDestroy,zeMemFree", 1, 1, ZE_RESULT_ERROR_UNKNOWN), 0);
  gives(zeCommandListDestroy(list), ZE_RESULT_ERROR_UNKNOWN);
  gives(zeMemFree(context, memory), ZE_RESULT_ERROR_UNKNOWN);
  ze_sim_fail_no_more();
  ok(zeContextDestroy(context));
  assert_int_equal(ze_sim_live(ZE_SIM_LISTS), 0);
  assert_int_equal(ze_sim_live(ZE_SIM_ALLOCATIONS), 0);
  assert_int_equal(ze_sim_live(ZE_SIM_COMMANDS), 0);
  context = mine;
}

static void faults_are_for_the_functions_that_are_named(void **state) {
  const uint64_t before = ze_sim_calls("zeDeviceGetStatus");
  (void)state;
  assert_int_equal(ze_sim_fail("zeNothing", 1, 0, 0), -1);
  assert_int_equal(ze_sim_fail("zeDeviceGetStatus,zeContextGetStatus", 2, 1,
                               ZE_RESULT_ERROR_DEVICE_REQUIRES_RESET),
                   0);
  ok(zeDeviceGetStatus(device));
  gives(zeContextGetStatus(context), ZE_RESULT_ERROR_DEVICE_REQUIRES_RESET);
  gives(zeDeviceGetStatus(device), ZE_RESULT_ERROR_DEVICE_REQUIRES_RESET);
  assert_int_equal(ze_sim_fired(), 2);
  assert_int_equal(ze_sim_fail("-zeDeviceGetStatus", 1, 1, 0), 0);
  ok(zeDeviceGetStatus(device));
  gives(zeContextGetStatus(context), ZE_RESULT_ERROR_UNKNOWN);
  ze_sim_fail_no_more();
  ok(zeContextGetStatus(context));
  assert_int_equal(ze_sim_calls("zeDeviceGetStatus") - before, 3);
}

/* ---- the environment ------------------------------------------------------------------------- */

/* Starts the test's context anew, so that the driver reads the environment again. */
static void reset_with(const char *name, const char *value) {
  ok(zeContextDestroy(context));
  setenv(name, value, 1);
  assert_int_equal(ze_sim_reset(), 0);
  unsetenv(name);
  context = new_context();
}

static uint64_t max_allocation(void) {
  ze_device_properties_t properties = {.stype = ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES};
  ok(zeDeviceGetProperties(device, &properties));
  return properties.maxMemAllocSize;
}

static void the_environment_sets_the_limits(void **state) {
  ze_driver_extension_properties_t extensions[4];
  uint32_t count = 4;
  void *ptr = NULL;
  (void)state;
  reset_with("ZE_SIM_HOST_LIMIT", "1000");
  gives(allocate(HOST, 1001, NULL, true, &ptr), ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY);
  reset_with("ZE_SIM_DEVICE_LIMIT", "1000");
  gives(allocate(DEVICE, 1001, NULL, true, &ptr), ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY);
  reset_with("ZE_SIM_MAX_ALLOC", "0x1000");
  assert_int_equal(max_allocation(), 0x1000);
  reset_with("ZE_SIM_NO_RELAXED", "1");
  ok(zeDriverGetExtensionProperties(driver, &count, extensions));
  assert_int_equal(count, 1);
}

static void the_environment_makes_calls_fail(void **state) {
  void *first = NULL, *second = NULL;
  (void)state;
  reset_with("ZE_SIM_FAIL", "zeMemAllocHost,zeMemAllocDevice:2+:0x70000003");
  ok(allocate(HOST, 64, NULL, true, &first));
  gives(allocate(DEVICE, 64, NULL, true, &second), ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY);
  gives(allocate(HOST, 64, NULL, true, &second), ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY);
  assert_int_equal(ze_sim_fired(), 2);
  free_memory(first);
}

static void the_environment_makes_commands_slow(void **state) {
  uint64_t before;
  with_event w;
  (void)state;
  reset_with("ZE_SIM_DELAY_US", "20000");
  w = begin();
  before = now_ns();
  barrier(w.list, w.event);
  wait_for(w.event);
  assert_true(now_ns() - before >= UINT64_C(20000000));
  end(w);
}

static void what_is_no_number_in_the_environment_is_ignored(void **state) {
  static const char *const numbers[] = {"-1", "+1", " 1", "1k", "x", "18446744073709551616"};
  static const char *const faults[] = {"zeInit",    "zeInit:",     "zeInit:-1", "zeInit:0",
                                       "zeInit:1:", "zeInit:1:-2", "zeInit:1x", "zeNothing:1"};
  size_t i;
  (void)state;
  for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    reset_with("ZE_SIM_MAX_ALLOC", numbers[i]);
    assert_int_equal(max_allocation(), UINT64_C(4) << 30);
  }
  for (i = 0; i < sizeof faults / sizeof faults[0]; i++) {
    reset_with("ZE_SIM_FAIL", faults[i]);
    ok(zeInit(0));
    ok(zeInit(0));
    assert_int_equal(ze_sim_fired(), 0);
  }
}

/* ---- the caller's book ----------------------------------------------------------------------- */

static void what_no_command_uses_may_be_handed_out(void **state) {
  ze_command_list_handle_t list = new_immediate();
  char *memory = new_host(64 * KIB);
  (void)state;
  ze_sim_hold(1);
  fill(list, memory, 1, 4 * KIB);
  ze_sim_handed_out(memory + 4 * KIB, 4 * KIB);
  ze_sim_handed_back(memory + 4 * KIB);
  ze_sim_hold(0);
  ze_sim_settle();
  ze_sim_handed_out(memory, 4 * KIB);
  ze_sim_handed_out(memory + 4 * KIB, 60 * KIB);
  ze_sim_handed_back(memory);
  ze_sim_handed_back(memory + 4 * KIB);
  free_memory(memory);
  ok(zeCommandListDestroy(list));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(the_loader_and_the_program_see_one_driver),
      TEST(two_drivers_have_nothing_in_common),
      TEST(the_device_says_what_it_is),
      TEST(the_device_answers_what_it_is_asked),
      TEST(what_is_not_there_is_said_to_be_unsupported),
      TEST(memory_is_aligned_to_what_was_asked_and_no_more),
      TEST(memory_says_what_it_is),
      TEST(memory_has_limits),
      TEST(one_allocation_is_limited_unless_the_limit_is_relaxed),
      TEST(each_kind_of_memory_has_its_limits),
      TEST(memory_can_be_had_and_freed_in_any_number),
      TEST(an_alignment_of_half_of_all_addresses_cannot_be_had),
      TEST(a_pool_of_more_events_than_memory_holds_cannot_be_had),
      TEST(memory_is_known_in_its_own_context_alone),
      TEST(more_memory_than_the_machine_has_can_be_had),
      TEST(what_was_freed_last_is_handed_out_first),
      TEST(a_free_can_wait_for_the_work_or_be_left_to_it),
      TEST(a_handle_stays_what_it_is_among_many),
      TEST(any_call_can_be_made_to_fail),
      TEST(what_a_fault_kept_goes_with_its_context),
      TEST(faults_are_for_the_functions_that_are_named),
      TEST(the_environment_sets_the_limits),
      TEST(the_environment_makes_calls_fail),
      TEST(the_environment_makes_commands_slow),
      TEST(what_is_no_number_in_the_environment_is_ignored),
      TEST(what_no_command_uses_may_be_handed_out),
  };
  return cmocka_run_group_tests(tests, rig_group_setup, NULL);
}
