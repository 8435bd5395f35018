/* rig.h - what the tests of the driver share: a way through the loader to the simulated device, and
   short names for what they do there. */

#ifndef LEVEL_ZERO_SIM_RIG_H
#define LEVEL_ZERO_SIM_RIG_H

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <level_zero/loader/ze_loader.h>
#include <level_zero/ze_api.h>

#include "level_zero_sim.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)

static ze_driver_handle_t driver, other_driver; /* the second is NULL if there is only one */
static ze_device_handle_t device;
static ze_context_handle_t context;
/* The loader gives handles of its own, which are gone once the object is destroyed: giving it one
   of those is not for us to survive. */
static bool wrapped;

/* ---- results --------------------------------------------------------------------------------- */

#define gives(call, expected) gives_at(call, expected, #call, __FILE__, __LINE__)
#define ok(call) gives(call, ZE_RESULT_SUCCESS)

static inline void gives_at(ze_result_t got, ze_result_t expected, const char *call,
                            const char *file, int line) {
  if (got == expected) return;
  print_error("%s\n  gave     0x%x\n  expected 0x%x\n  last violation: %s\n", call, (unsigned)got,
              (unsigned)expected, ze_sim_last_violation());
  _fail(file, line);
}

/* The referee has seen this, once, and nothing else. */
#define seen(text) seen_at(text, 1, __FILE__, __LINE__)

static inline void seen_at(const char *text, uint64_t times, const char *file, int line) {
  const uint64_t found = ze_sim_expected(text);
  if (found == times && ze_sim_violations() == 0) return;
  print_error("%d violations with '%s', %d others\n  the last is: %s\n", (int)found, text,
              (int)ze_sim_violations(), ze_sim_last_violation());
  _fail(file, line);
}

/* ---- a context for each test ----------------------------------------------------------------- */

static inline ze_context_handle_t new_context(void) {
  const ze_context_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_CONTEXT_DESC};
  ze_context_handle_t made = NULL;
  ok(zeContextCreate(driver, &desc, &made));
  return made;
}

/* The two drivers have the same name; their last byte tells them apart. */
static inline int copy_of(ze_driver_handle_t which) {
  ze_driver_properties_t properties = {.stype = ZE_STRUCTURE_TYPE_DRIVER_PROPERTIES};
  ok(zeDriverGetProperties(which, &properties));
  return properties.uuid.id[sizeof properties.uuid.id - 1];
}

static inline int rig_group_setup(void **state) {
  ze_driver_handle_t drivers[4] = {NULL};
  uint32_t count = 4, i;
  (void)state;
  if (zeInit(0) != ZE_RESULT_SUCCESS || zeDriverGet(&count, drivers) != ZE_RESULT_SUCCESS) {
    fputs("no driver: ZE_ENABLE_ALT_DRIVERS must have the path of the simulator\n", stderr);
    return -1;
  }
  for (i = 0; i < count; i++) *(copy_of(drivers[i]) == 1 ? &driver : &other_driver) = drivers[i];
  count = 1;
  return driver != NULL && zeDeviceGet(driver, &count, &device) == ZE_RESULT_SUCCESS ? 0 : -1;
}

static inline int rig_setup(void **state) {
  void *inner = NULL;
  (void)state;
  ze_sim_reset();
  context = new_context();
  ok(zelLoaderTranslateHandle(ZEL_HANDLE_CONTEXT, context, &inner));
  wrapped = inner != (void *)context;
  return 0;
}

/* Every test gives back what it made, and takes note of every violation that it provoked. */
static inline int rig_teardown(void **state) {
  (void)state;
  ok(zeContextDestroy(context));
  assert_int_equal(ze_sim_violations(), 0);
  assert_int_equal(ze_sim_reset(), 0);
  return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

/* ---- objects --------------------------------------------------------------------------------- */

static inline void *new_host_in(ze_context_handle_t where, size_t size) {
  const ze_host_mem_alloc_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC};
  void *ptr = NULL;
  ok(zeMemAllocHost(where, &desc, size, 64, &ptr));
  return ptr;
}

static inline void *new_host(size_t size) { return new_host_in(context, size); }

static inline void *new_device(size_t size) {
  const ze_device_mem_alloc_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_DEVICE_MEM_ALLOC_DESC};
  void *ptr = NULL;
  ok(zeMemAllocDevice(context, &desc, size, 64, device, &ptr));
  return ptr;
}

static inline void free_memory(void *ptr) { ok(zeMemFree(context, ptr)); }

static inline ze_command_queue_handle_t new_queue_of(ze_context_handle_t where,
                                                     ze_command_queue_mode_t mode) {
  const ze_command_queue_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC,
                                        .mode = mode};
  ze_command_queue_handle_t queue = NULL;
  ok(zeCommandQueueCreate(where, device, &desc, &queue));
  return queue;
}

static inline ze_command_queue_handle_t new_queue(void) {
  return new_queue_of(context, ZE_COMMAND_QUEUE_MODE_ASYNCHRONOUS);
}

static inline ze_command_list_handle_t new_list_of(ze_command_list_flags_t flags) {
  const ze_command_list_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_COMMAND_LIST_DESC,
                                       .flags = flags};
  ze_command_list_handle_t list = NULL;
  ok(zeCommandListCreate(context, device, &desc, &list));
  return list;
}

static inline ze_command_list_handle_t new_list(void) { return new_list_of(0); }

static inline ze_command_list_handle_t new_immediate_of(ze_command_queue_mode_t mode) {
  const ze_command_queue_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC,
                                        .mode = mode};
  ze_command_list_handle_t list = NULL;
  ok(zeCommandListCreateImmediate(context, device, &desc, &list));
  return list;
}

static inline ze_command_list_handle_t new_immediate(void) {
  return new_immediate_of(ZE_COMMAND_QUEUE_MODE_ASYNCHRONOUS);
}

static inline ze_event_pool_handle_t new_pool_of(uint32_t count, ze_event_pool_flags_t flags) {
  const ze_event_pool_desc_t desc = {
      .stype = ZE_STRUCTURE_TYPE_EVENT_POOL_DESC, .flags = flags, .count = count};
  ze_event_pool_handle_t pool = NULL;
  ok(zeEventPoolCreate(context, &desc, 1, &device, &pool));
  return pool;
}

static inline ze_event_pool_handle_t new_pool(uint32_t count) {
  return new_pool_of(count, ZE_EVENT_POOL_FLAG_HOST_VISIBLE);
}

static inline ze_event_handle_t new_event(ze_event_pool_handle_t pool, uint32_t index) {
  const ze_event_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_EVENT_DESC,
                                .index = index,
                                .signal = ZE_EVENT_SCOPE_FLAG_HOST,
                                .wait = ZE_EVENT_SCOPE_FLAG_HOST};
  ze_event_handle_t event = NULL;
  ok(zeEventCreate(pool, &desc, &event));
  return event;
}

static inline ze_fence_handle_t new_fence(ze_command_queue_handle_t queue) {
  const ze_fence_desc_t desc = {.stype = ZE_STRUCTURE_TYPE_FENCE_DESC};
  ze_fence_handle_t fence = NULL;
  ok(zeFenceCreate(queue, &desc, &fence));
  return fence;
}

/* ---- work ------------------------------------------------------------------------------------ */

static inline void barrier(ze_command_list_handle_t list, ze_event_handle_t event) {
  ok(zeCommandListAppendBarrier(list, event, 0, NULL));
}

static inline void fill(ze_command_list_handle_t list, void *to, unsigned char value, size_t size) {
  ok(zeCommandListAppendMemoryFill(list, to, &value, 1, size, NULL, 0, NULL));
}

static inline void wait_for(ze_event_handle_t event) {
  ok(zeEventHostSynchronize(event, UINT64_MAX));
}

static inline void execute(ze_command_queue_handle_t queue, ze_command_list_handle_t list,
                           ze_fence_handle_t fence) {
  ok(zeCommandQueueExecuteCommandLists(queue, 1, &list, fence));
}

static inline void wait_idle(ze_command_queue_handle_t queue) {
  ok(zeCommandQueueSynchronize(queue, UINT64_MAX));
}

static inline void copy(ze_command_list_handle_t list, void *to, const void *from, size_t size) {
  ok(zeCommandListAppendMemoryCopy(list, to, from, size, NULL, 0, NULL));
}

/* What most tests of one command need. */
typedef struct with_event {
  ze_command_list_handle_t list;
  ze_event_pool_handle_t pool;
  ze_event_handle_t event;
} with_event;

static inline with_event begin(void) {
  with_event w = {.list = new_immediate(), .pool = new_pool(4)};
  w.event = new_event(w.pool, 0);
  return w;
}

static inline void end(with_event w) {
  ze_sim_hold(0);
  ze_sim_settle();
  ok(zeEventDestroy(w.event));
  ok(zeEventPoolDestroy(w.pool));
  ok(zeCommandListDestroy(w.list));
}

/* ---- meeting points: for tests whose result must not depend on time -------------------------- */

/* Until other threads have called it so often since the last reset. The driver counts under its
   lock, which a call that waits lets go of only when it waits: so those do, or have ended. */
static inline void wait_until_called(const char *function, uint64_t times) {
  while (ze_sim_calls(function) < times) sched_yield();
}

/* Until a worker is at a command; or this thread was so slow that all have ended. */
static inline void wait_until_running(void) {
  while (ze_sim_live(ZE_SIM_RUNNING) == 0 && ze_sim_live(ZE_SIM_COMMANDS) != 0) sched_yield();
}

static inline pthread_t begin_thread(void *(*body)(void *), void *argument) {
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, body, argument), 0);
  return thread;
}

/* Of a thread that returns a ze_result_t. */
static inline ze_result_t result_of(pthread_t thread) {
  void *result = NULL;
  pthread_join(thread, &result);
  return (ze_result_t)(uintptr_t)result;
}

static inline void *wait_for_event(void *event) {
  return (void *)(uintptr_t)zeEventHostSynchronize(event, UINT64_MAX);
}

static inline void *wait_for_fence(void *fence) {
  return (void *)(uintptr_t)zeFenceHostSynchronize(fence, UINT64_MAX);
}

static inline void *wait_for_queue(void *queue) {
  return (void *)(uintptr_t)zeCommandQueueSynchronize(queue, UINT64_MAX);
}

/* For lower bounds alone: a machine may always be slower. */
static inline uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

#endif
