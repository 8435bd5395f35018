/* leave.c - a program that is not linked with the driver, gives it work that cannot end, and leaves
   without giving anything back. It must end, quickly and with 0.

     leave        as above
     leave tidy   gives everything back
     leave wrong  the same, but frees twice */

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <level_zero/ze_api.h>

typedef struct things {
  ze_driver_handle_t driver;
  ze_device_handle_t device;
  ze_context_handle_t context;
  ze_command_list_handle_t list;
  ze_event_pool_handle_t pool;
  ze_event_handle_t event;
  void *memory; /* may be NULL: a fault */
} things;

static int check(ze_result_t result, const char *what) {
  if (result != ZE_RESULT_SUCCESS) fprintf(stderr, "%s: 0x%x\n", what, (unsigned)result);
  return result == ZE_RESULT_SUCCESS;
}

static int get(things *t) {
  const ze_context_desc_t context_desc = {.stype = ZE_STRUCTURE_TYPE_CONTEXT_DESC};
  const ze_command_queue_desc_t queue_desc = {.stype = ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC,
                                              .mode = ZE_COMMAND_QUEUE_MODE_ASYNCHRONOUS};
  const ze_event_pool_desc_t pool_desc = {.stype = ZE_STRUCTURE_TYPE_EVENT_POOL_DESC,
                                          .flags = ZE_EVENT_POOL_FLAG_HOST_VISIBLE,
                                          .count = 1};
  const ze_event_desc_t event_desc = {.stype = ZE_STRUCTURE_TYPE_EVENT_DESC};
  const ze_host_mem_alloc_desc_t memory_desc = {.stype = ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC};
  uint32_t one = 1;
  if (!check(zeInit(0), "init") || !check(zeDriverGet(&one, &t->driver), "driver")) return 0;
  one = 1;
  if (!check(zeDeviceGet(t->driver, &one, &t->device), "device") ||
      !check(zeContextCreate(t->driver, &context_desc, &t->context), "context") ||
      !check(zeCommandListCreateImmediate(t->context, t->device, &queue_desc, &t->list), "list") ||
      !check(zeEventPoolCreate(t->context, &pool_desc, 1, &t->device, &t->pool), "pool") ||
      !check(zeEventCreate(t->pool, &event_desc, &t->event), "event"))
    return 0;
  (void)check(zeMemAllocHost(t->context, &memory_desc, 4096, 64, &t->memory), "memory");
  return 1;
}

static int give_back(const things *t) {
  return check(zeMemFree(t->context, t->memory), "free") &&
         check(zeEventDestroy(t->event), "event's end") &&
         check(zeEventPoolDestroy(t->pool), "pool's end") &&
         check(zeCommandListDestroy(t->list), "list's end");
}

int main(int argc, char **argv) {
  const char *way = argc > 1 ? argv[1] : "";
  things t = {NULL, NULL, NULL, NULL, NULL, NULL, NULL};
  if (!get(&t)) return 1;
  if (*way == '\0')
    return check(zeCommandListAppendBarrier(t.list, NULL, 1, &t.event), "barrier") ? 0 : 1;
  if (!give_back(&t)) return 1;
  if (strcmp(way, "wrong") == 0) (void)zeMemFree(t.context, t.memory);
  printf("%s\n", way);
  return check(zeContextDestroy(t.context), "context's end") ? 0 : 1;
}
