/* lists.c - command queues and command lists. */

#include "work.h"

/* ---- command queues -------------------------------------------------------------------------- */

static ze_result_t sim_check_queue_desc(const ze_command_queue_desc_t *desc, const void *out) {
  if (desc == NULL || out == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  sim_check_stype(desc, ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC, "ze_command_queue_desc_t");
  (void)sim_chained(desc, ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC, false);
  if (desc->flags > (ZE_COMMAND_QUEUE_FLAG_EXPLICIT_ONLY | SIM_QUEUE_IN_ORDER) ||
      desc->mode > ZE_COMMAND_QUEUE_MODE_ASYNCHRONOUS ||
      desc->priority > ZE_COMMAND_QUEUE_PRIORITY_PRIORITY_HIGH)
    return ZE_RESULT_ERROR_INVALID_ENUMERATION;
  if (desc->ordinal != 0 || desc->index >= SIM_QUEUES)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_ARGUMENT, "there is no queue %u of group %u",
                     desc->index, desc->ordinal);
  if (desc->index != 0 && (desc->flags & ZE_COMMAND_QUEUE_FLAG_EXPLICIT_ONLY) == 0)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_ARGUMENT,
                     "queue %u is asked for without ZE_COMMAND_QUEUE_FLAG_EXPLICIT_ONLY",
                     desc->index);
  return ZE_RESULT_SUCCESS;
}

static ze_result_t sim_queue_create(ze_context_handle_t handle, ze_device_handle_t device,
                                    const ze_command_queue_desc_t *desc,
                                    ze_command_queue_handle_t *out) {
  sim_context *context = sim_find(SIM_CONTEXT, handle);
  ze_result_t result = sim_check_device(device);
  sim_queue *queue;
  if (context == NULL) return sim_missing(handle);
  if (result == ZE_RESULT_SUCCESS) result = sim_check_queue_desc(desc, out);
  if (result != ZE_RESULT_SUCCESS) return result;
  queue = sim_object_new(SIM_QUEUE, sizeof *queue, &context->object);
  if (!sim_lane_begin(&queue->lane, &queue->object,
                      desc->mode == ZE_COMMAND_QUEUE_MODE_SYNCHRONOUS)) {
    sim_object_end(&queue->object);
    return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
  }
  *out = (ze_command_queue_handle_t)queue->object.handle;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simCommandQueueCreate(ze_context_handle_t context, ze_device_handle_t device,
                                             const ze_command_queue_desc_t *desc,
                                             ze_command_queue_handle_t *queue) {
  return SIM_CALL(zeCommandQueueCreate, sim_queue_create(context, device, desc, queue));
}

void sim_queue_release(sim_object *object) {
  sim_object_keep(object);
  sim_object_end(object);
  sim_lane_end(&((sim_queue *)object)->lane);
  sim_object_let_go(object);
}

static ze_result_t sim_queue_destroy(ze_command_queue_handle_t handle) {
  sim_queue *queue = sim_find(SIM_QUEUE, handle);
  if (queue == NULL) return sim_missing(handle);
  if (sim_lane_is_busy(&queue->lane))
    return sim_wrong(ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE,
                     "command queue %p is destroyed while it has work", (void *)handle);
  if (sim_owns_something(&queue->object)) return ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE;
  sim_queue_release(&queue->object);
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simCommandQueueDestroy(ze_command_queue_handle_t queue) {
  return SIM_CALL_END(zeCommandQueueDestroy, queue, sim_queue_destroy(queue));
}

static ze_result_t sim_queue_synchronize(ze_command_queue_handle_t handle, uint64_t timeout) {
  sim_queue *queue = sim_find(SIM_QUEUE, handle);
  if (queue == NULL) return sim_missing(handle);
  return sim_lane_wait(&queue->lane, queue->lane.serial, timeout);
}

ze_result_t ZE_APICALL simCommandQueueSynchronize(ze_command_queue_handle_t queue,
                                                  uint64_t timeout) {
  return SIM_CALL(zeCommandQueueSynchronize, sim_queue_synchronize(queue, timeout));
}

/* ---- what may be executed -------------------------------------------------------------------- */

/* The memory of an appended command must be there when its list is executed: the same, not what was
   allocated at its address since. */
static bool sim_check_use(sim_use *use, const sim_context *context) {
  const sim_memory *memory;
  if (use->size == 0) return true;
  memory = sim_memory_checked((void *)use->start, use->size, context);
  if (memory == NULL) return false;
  if (use->id != 0 && use->id != memory->id) {
    sim_violation(
        "the memory at %p was freed after a command that uses it was appended; what is "
        "there now is another allocation",
        (void *)use->start);
    return false;
  }
  use->id = memory->id;
  return true;
}

/* Events and memory of a command, when it is appended and when its list is executed. */
static ze_result_t sim_check_command(sim_command *command, const sim_list *list) {
  const sim_context *context = (const sim_context *)list->object.owner;
  ze_result_t result = ZE_RESULT_SUCCESS;
  uint32_t i;
  if (command->signal != NULL) result = sim_check_event(command->signal, &context->object);
  if (command->reset != NULL) result = sim_check_event(command->reset, &context->object);
  for (i = 0; i < command->wait_count && result == ZE_RESULT_SUCCESS; i++)
    result = sim_check_event(command->waits[i], &context->object);
  if (result != ZE_RESULT_SUCCESS) return result;
  if (!sim_check_use(&command->to, context) || !sim_check_use(&command->from, context))
    return ZE_RESULT_ERROR_INVALID_ARGUMENT;
  return ZE_RESULT_SUCCESS;
}

static ze_result_t sim_check_list(const sim_list *list, const sim_queue *queue) {
  sim_command *command;
  ze_result_t result = ZE_RESULT_SUCCESS;
  if (list->immediate)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_COMMAND_LIST_TYPE,
                     "immediate command list %p is executed on a queue", sim_handle(list));
  if (!list->closed)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_ARGUMENT,
                     "command list %p is executed, which is not closed", sim_handle(list));
  if (list->object.owner != queue->object.owner)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_ARGUMENT,
                     "command list %p is executed on command queue %p of another context",
                     sim_handle(list), sim_handle(queue));
  if (list->object.uses != 0)
    return sim_wrong(ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE,
                     "command list %p is executed while its last execution has not ended",
                     sim_handle(list));
  for (command = list->first; command != NULL && result == ZE_RESULT_SUCCESS;
       command = command->next)
    result = sim_check_command(command, list);
  return result;
}

static ze_result_t sim_check_fence(const sim_fence *fence, const sim_queue *queue) {
  if (fence->object.owner != &queue->object)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT,
                     "fence %p is of another command queue than %p", sim_handle(fence),
                     sim_handle(queue));
  if (fence->object.uses != 0)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT,
                     "fence %p is submitted again while it is pending", sim_handle(fence));
  if (fence->signalled)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT,
                     "fence %p is submitted while it is signalled: it was not reset",
                     sim_handle(fence));
  return ZE_RESULT_SUCCESS;
}

/* ---- execution of lists ---------------------------------------------------------------------- */

static void sim_submit_list(sim_lane *lane, sim_list *list, sim_batch *batch) {
  const sim_command *command;
  for (command = list->first; command != NULL; command = command->next) {
    const size_t size = sim_command_size(command->wait_count);
    sim_command *copy = sim_allocate(size);
    memcpy(copy, command, size);
    copy->list = list;
    copy->batch = batch;
    if (batch != NULL) batch->left++;
    sim_submit(lane, copy);
  }
}

static ze_result_t sim_execute_checked(sim_queue *queue, uint32_t count, sim_list **lists,
                                       sim_fence *fence) {
  ze_result_t result = fence != NULL ? sim_check_fence(fence, queue) : ZE_RESULT_SUCCESS;
  sim_batch *batch = NULL;
  uint32_t i;
  for (i = 0; i < count && result == ZE_RESULT_SUCCESS; i++)
    result = sim_check_list(lists[i], queue);
  if (result != ZE_RESULT_SUCCESS) return result;
  if (fence != NULL) {
    batch = sim_allocate(sizeof *batch);
    batch->fence = fence;
    fence->object.uses++;
    sim_object_keep(&fence->object);
  }
  for (i = 0; i < count; i++) sim_submit_list(&queue->lane, lists[i], batch);
  if (batch != NULL && batch->left == 0) { /* there was nothing in the lists */
    fence->object.uses--;
    fence->signalled = true;
    sim_progress();
    sim_object_let_go(&fence->object);
    free(batch);
  }
  return ZE_RESULT_SUCCESS;
}

static ze_result_t sim_add_list(sim_list **lists, uint32_t count, ze_command_list_handle_t handle) {
  uint32_t i;
  lists[count] = sim_find(SIM_LIST, handle);
  if (lists[count] == NULL) return sim_missing(handle);
  for (i = 0; i < count; i++)
    if (lists[i] == lists[count])
      return sim_wrong(ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE,
                       "command list %p is executed twice at once", (void *)handle);
  return ZE_RESULT_SUCCESS;
}

/* The queue and the fence are looked up here, where other threads have had time to destroy them. */
static ze_result_t sim_execute_inside(ze_command_queue_handle_t handle, uint32_t count,
                                      sim_list **lists, ze_fence_handle_t fence_handle) {
  sim_queue *queue = sim_find(SIM_QUEUE, handle);
  sim_fence *fence = sim_find(SIM_FENCE, fence_handle);
  uint32_t i;
  if (queue == NULL || (fence == NULL && fence_handle != NULL))
    return ZE_RESULT_ERROR_INVALID_ARGUMENT;
  if (sim.lost) return ZE_RESULT_ERROR_DEVICE_LOST;
  for (i = 0; i < count; i++)
    if (!lists[i]->object.alive) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
  return sim_execute_checked(queue, count, lists, fence);
}

/* Once it is through, the lists may be used by other threads, also while a synchronous queue has
   this one wait. */
static ze_result_t sim_execute_lists(ze_command_queue_handle_t handle, uint32_t count,
                                     const ze_command_list_handle_t *handles,
                                     ze_fence_handle_t fence) {
  sim_list **lists;
  sim_queue *queue;
  ze_result_t result = ZE_RESULT_SUCCESS;
  uint32_t found = 0;
  if (handle == NULL) return ZE_RESULT_ERROR_INVALID_NULL_HANDLE;
  if (handles == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  if (count == 0) return ZE_RESULT_ERROR_INVALID_SIZE;
  lists = sim_allocate(count * sizeof *lists);
  for (; found < count; found++) {
    result = sim_add_list(lists, found, handles[found]);
    if (result != ZE_RESULT_SUCCESS) break;
    sim_go_inside(&lists[found]->object, "use");
  }
  sim_widen();
  if (result == ZE_RESULT_SUCCESS) result = sim_execute_inside(handle, count, lists, fence);
  while (found-- > 0) sim_go_outside(&lists[found]->object);
  free(lists);
  if (result != ZE_RESULT_SUCCESS) return result;
  queue = (sim_queue *)sim_peek(handle);
  return queue->lane.synchronous ? sim_lane_wait(&queue->lane, queue->lane.serial, UINT64_MAX)
                                 : ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simCommandQueueExecuteCommandLists(ze_command_queue_handle_t queue,
                                                          uint32_t count,
                                                          ze_command_list_handle_t *lists,
                                                          ze_fence_handle_t fence) {
  return SIM_CALL(zeCommandQueueExecuteCommandLists, sim_execute_lists(queue, count, lists, fence));
}

/* ---- command lists --------------------------------------------------------------------------- */

static void sim_forget_commands(sim_list *list) {
  while (list->first != NULL) {
    sim_command *command = list->first;
    sim_unlink(&list->first, &list->last, command);
    sim_each_event(command, sim_event_let_go);
    free(command);
  }
}

static ze_result_t sim_list_create(ze_context_handle_t handle, ze_device_handle_t device,
                                   const ze_command_list_desc_t *desc,
                                   ze_command_list_handle_t *out) {
  sim_context *context = sim_find(SIM_CONTEXT, handle);
  const ze_result_t result = sim_check_device(device);
  sim_list *list;
  if (context == NULL) return sim_missing(handle);
  if (result != ZE_RESULT_SUCCESS) return result;
  if (desc == NULL || out == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  sim_check_stype(desc, ZE_STRUCTURE_TYPE_COMMAND_LIST_DESC, "ze_command_list_desc_t");
  (void)sim_chained(desc, ZE_STRUCTURE_TYPE_COMMAND_LIST_DESC, false);
  if (desc->flags > (0x7 | SIM_LIST_IN_ORDER)) return ZE_RESULT_ERROR_INVALID_ENUMERATION;
  if (desc->commandQueueGroupOrdinal != 0)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_ARGUMENT, "there is no group %u of queues",
                     desc->commandQueueGroupOrdinal);
  list = sim_object_new(SIM_LIST, sizeof *list, &context->object);
  list->relaxed = (desc->flags & ZE_COMMAND_LIST_FLAG_RELAXED_ORDERING) != 0;
  list->in_order = (desc->flags & SIM_LIST_IN_ORDER) != 0;
  *out = (ze_command_list_handle_t)list->object.handle;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simCommandListCreate(ze_context_handle_t context, ze_device_handle_t device,
                                            const ze_command_list_desc_t *desc,
                                            ze_command_list_handle_t *list) {
  return SIM_CALL(zeCommandListCreate, sim_list_create(context, device, desc, list));
}

static ze_result_t sim_list_create_immediate(ze_context_handle_t handle, ze_device_handle_t device,
                                             const ze_command_queue_desc_t *desc,
                                             ze_command_list_handle_t *out) {
  sim_context *context = sim_find(SIM_CONTEXT, handle);
  ze_result_t result = sim_check_device(device);
  sim_list *list;
  if (context == NULL) return sim_missing(handle);
  if (result == ZE_RESULT_SUCCESS) result = sim_check_queue_desc(desc, out);
  if (result != ZE_RESULT_SUCCESS) return result;
  list = sim_object_new(SIM_LIST, sizeof *list, &context->object);
  list->immediate = true;
  list->in_order = (desc->flags & SIM_QUEUE_IN_ORDER) != 0;
  if (!sim_lane_begin(&list->lane, &list->object,
                      desc->mode == ZE_COMMAND_QUEUE_MODE_SYNCHRONOUS)) {
    sim_object_end(&list->object);
    return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
  }
  *out = (ze_command_list_handle_t)list->object.handle;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simCommandListCreateImmediate(ze_context_handle_t context,
                                                     ze_device_handle_t device,
                                                     const ze_command_queue_desc_t *desc,
                                                     ze_command_list_handle_t *list) {
  return SIM_CALL(zeCommandListCreateImmediate,
                  sim_list_create_immediate(context, device, desc, list));
}

void sim_list_release(sim_object *object) {
  sim_list *list = (sim_list *)object;
  sim_object_keep(object);
  sim_object_end(object);
  if (list->immediate) sim_lane_end(&list->lane);
  sim_forget_commands(list);
  sim_object_let_go(object);
}

static ze_result_t sim_list_destroy(ze_command_list_handle_t handle) {
  sim_list *list = sim_find(SIM_LIST, handle);
  ze_result_t result = ZE_RESULT_SUCCESS;
  if (list == NULL) return sim_missing(handle);
  sim_go_inside(&list->object, "use or destroy");
  if (list->object.uses != 0 && !sim.lost) {
    result = sim_wrong(ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE,
                       "command list %p is destroyed while it has work", (void *)handle);
  } else {
    sim_list_release(&list->object);
  }
  sim_go_outside(&list->object);
  return result;
}

ze_result_t ZE_APICALL simCommandListDestroy(ze_command_list_handle_t list) {
  return SIM_CALL_END(zeCommandListDestroy, list, sim_list_destroy(list));
}

static ze_result_t sim_close_inside(sim_list *list) {
  if (list->immediate)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_COMMAND_LIST_TYPE,
                     "immediate command list %p is closed", sim_handle(list));
  if (list->closed)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_ARGUMENT, "command list %p is closed twice",
                     sim_handle(list));
  list->closed = true;
  return ZE_RESULT_SUCCESS;
}

static ze_result_t sim_list_close(ze_command_list_handle_t handle) {
  sim_list *list = sim_find(SIM_LIST, handle);
  ze_result_t result;
  if (list == NULL) return sim_missing(handle);
  sim_go_inside(&list->object, "use");
  result = sim_linger(&list->object);
  if (result == ZE_RESULT_SUCCESS) result = sim_close_inside(list);
  sim_go_outside(&list->object);
  return result;
}

ze_result_t ZE_APICALL simCommandListClose(ze_command_list_handle_t list) {
  return SIM_CALL(zeCommandListClose, sim_list_close(list));
}

static ze_result_t sim_reset_inside(sim_list *list) {
  if (list->immediate)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_COMMAND_LIST_TYPE,
                     "immediate command list %p is reset", sim_handle(list));
  if (list->object.uses != 0)
    return sim_wrong(ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE,
                     "command list %p is reset while it has work", sim_handle(list));
  sim_forget_commands(list);
  list->closed = false;
  return ZE_RESULT_SUCCESS;
}

static ze_result_t sim_list_reset(ze_command_list_handle_t handle) {
  sim_list *list = sim_find(SIM_LIST, handle);
  ze_result_t result;
  if (list == NULL) return sim_missing(handle);
  sim_go_inside(&list->object, "use");
  result = sim_linger(&list->object);
  if (result == ZE_RESULT_SUCCESS) result = sim_reset_inside(list);
  sim_go_outside(&list->object);
  return result;
}

ze_result_t ZE_APICALL simCommandListReset(ze_command_list_handle_t list) {
  return SIM_CALL(zeCommandListReset, sim_list_reset(list));
}

static ze_result_t sim_list_synchronize(ze_command_list_handle_t handle, uint64_t timeout) {
  sim_list *list = sim_find(SIM_LIST, handle);
  if (list == NULL) return sim_missing(handle);
  if (!list->immediate)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_ARGUMENT,
                     "the host waits for command list %p, which is not immediate", (void *)handle);
  return sim_lane_wait(&list->lane, list->lane.serial, timeout);
}

ze_result_t ZE_APICALL simCommandListHostSynchronize(ze_command_list_handle_t list,
                                                     uint64_t timeout) {
  return SIM_CALL(zeCommandListHostSynchronize, sim_list_synchronize(list, timeout));
}

/* ---- append ---------------------------------------------------------------------------------- */

/* What the append functions have in common. */
typedef struct sim_request {
  sim_work work;
  void *to;
  const void *from;
  size_t size;
  const void *pattern;
  size_t pattern_size;
  ze_event_handle_t signal, reset;
  uint32_t wait_count;
  const ze_event_handle_t *waits;
} sim_request;

/* The command that is asked for. NULL and *result: an event is not there. */
static sim_command *sim_command_new(const sim_request *request, ze_result_t *result) {
  sim_command *command = sim_allocate(sim_command_size(request->wait_count));
  uint32_t i;
  command->work = request->work;
  command->call = sim_call_name();
  command->to.start = (uintptr_t)request->to;
  command->to.size = request->to != NULL ? request->size : 0;
  command->from.start = (uintptr_t)request->from;
  command->from.size = request->from != NULL ? request->size : 0;
  if (request->pattern != NULL) memcpy(command->pattern, request->pattern, request->pattern_size);
  command->pattern_size = request->pattern_size;
  command->signal = sim_find(SIM_EVENT, request->signal);
  command->reset = sim_find(SIM_EVENT, request->reset);
  *result = ZE_RESULT_SUCCESS;
  if ((command->signal == NULL && request->signal != NULL) ||
      (command->reset == NULL && request->reset != NULL))
    *result = ZE_RESULT_ERROR_INVALID_ARGUMENT;
  for (i = 0; i < request->wait_count && *result == ZE_RESULT_SUCCESS; i++) {
    command->waits[i] = sim_find(SIM_EVENT, request->waits[i]);
    if (command->waits[i] == NULL) *result = sim_missing(request->waits[i]);
  }
  command->wait_count = request->wait_count;
  if (*result == ZE_RESULT_SUCCESS) return command;
  free(command);
  return NULL;
}

static ze_result_t sim_append_inside(sim_list *list, const sim_request *request) {
  ze_result_t result;
  sim_command *command;
  if (list->closed)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_ARGUMENT,
                     "a command is appended to command list %p, which is closed", sim_handle(list));
  command = sim_command_new(request, &result);
  if (command == NULL) return result;
  result = sim_check_command(command, list);
  if (result != ZE_RESULT_SUCCESS) {
    free(command);
    return result;
  }
  if (!list->immediate) {
    sim_each_event(command, sim_event_keep);
    sim_push(&list->first, &list->last, command);
    return ZE_RESULT_SUCCESS;
  }
  command->list = list;
  sim_submit(&list->lane, command);
  return ZE_RESULT_SUCCESS;
}

/* The list, and the event that is recorded or reset, must not be in two threads at once. So that
   those who do it meet, each append stops in the middle for a moment. */
static ze_result_t sim_append(ze_command_list_handle_t handle, const sim_request *request) {
  sim_list *list = sim_find(SIM_LIST, handle);
  sim_event *event;
  ze_result_t result;
  if (list == NULL) return sim_missing(handle);
  if (request->wait_count != 0 && request->waits == NULL) return ZE_RESULT_ERROR_INVALID_SIZE;
  sim_go_inside(&list->object, "append to");
  event = (sim_event *)sim_peek(request->signal != NULL ? request->signal : request->reset);
  if (event != NULL) sim_go_inside(&event->object, "record or reset");
  result = sim_linger(&list->object);
  if (result == ZE_RESULT_SUCCESS) result = sim_append_inside(list, request);
  if (event != NULL) sim_go_outside(&event->object); /* who sees it signalled may reset it */
  if (result == ZE_RESULT_SUCCESS && list->immediate && list->lane.synchronous)
    result = sim_lane_wait(&list->lane, list->lane.serial, UINT64_MAX);
  sim_go_outside(&list->object);
  return result;
}

static ze_result_t sim_append_copy(ze_command_list_handle_t list, const sim_request *request) {
  if (list == NULL) return ZE_RESULT_ERROR_INVALID_NULL_HANDLE;
  if (request->to == NULL || request->from == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  return sim_append(list, request);
}

ze_result_t ZE_APICALL simCommandListAppendMemoryCopy(ze_command_list_handle_t list, void *to,
                                                      const void *from, size_t size,
                                                      ze_event_handle_t signal, uint32_t wait_count,
                                                      ze_event_handle_t *waits) {
  const sim_request request = {.work = SIM_COPY,
                               .to = to,
                               .from = from,
                               .size = size,
                               .signal = signal,
                               .wait_count = wait_count,
                               .waits = waits};
  return SIM_CALL(zeCommandListAppendMemoryCopy, sim_append_copy(list, &request));
}

static ze_result_t sim_append_fill(ze_command_list_handle_t list, const sim_request *request) {
  const size_t pattern = request->pattern_size;
  if (list == NULL) return ZE_RESULT_ERROR_INVALID_NULL_HANDLE;
  if (request->to == NULL || request->pattern == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  if (pattern == 0 || (pattern & (pattern - 1)) != 0 || pattern > SIM_PATTERN)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_SIZE,
                     "a pattern of %zu bytes for command list %p: no power of two up to %d",
                     pattern, (void *)list, SIM_PATTERN);
  return sim_append(list, request);
}

ze_result_t ZE_APICALL simCommandListAppendMemoryFill(ze_command_list_handle_t list, void *to,
                                                      const void *pattern, size_t pattern_size,
                                                      size_t size, ze_event_handle_t signal,
                                                      uint32_t wait_count,
                                                      ze_event_handle_t *waits) {
  const sim_request request = {.work = SIM_FILL,
                               .to = to,
                               .size = size,
                               .pattern = pattern,
                               .pattern_size = pattern_size,
                               .signal = signal,
                               .wait_count = wait_count,
                               .waits = waits};
  return SIM_CALL(zeCommandListAppendMemoryFill, sim_append_fill(list, &request));
}

ze_result_t ZE_APICALL simCommandListAppendBarrier(ze_command_list_handle_t list,
                                                   ze_event_handle_t signal, uint32_t wait_count,
                                                   ze_event_handle_t *waits) {
  const sim_request request = {
      .work = SIM_BARRIER, .signal = signal, .wait_count = wait_count, .waits = waits};
  return SIM_CALL(zeCommandListAppendBarrier, sim_append(list, &request));
}

static ze_result_t sim_append_ranges(ze_command_list_handle_t handle, uint32_t count,
                                     const size_t *sizes, const void *const *ranges,
                                     const sim_request *request) {
  const sim_list *list = sim_find(SIM_LIST, handle);
  uint32_t i;
  if (list == NULL) return sim_missing(handle);
  if (sizes == NULL || ranges == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  for (i = 0; i < count; i++)
    if (sizes[i] != 0 &&
        sim_memory_checked(ranges[i], sizes[i], (const sim_context *)list->object.owner) == NULL)
      return ZE_RESULT_ERROR_INVALID_ARGUMENT;
  return sim_append(handle, request);
}

ze_result_t ZE_APICALL simCommandListAppendMemoryRangesBarrier(
    ze_command_list_handle_t list, uint32_t count, const size_t *sizes, const void **ranges,
    ze_event_handle_t signal, uint32_t wait_count, ze_event_handle_t *waits) {
  const sim_request request = {
      .work = SIM_BARRIER, .signal = signal, .wait_count = wait_count, .waits = waits};
  return SIM_CALL(zeCommandListAppendMemoryRangesBarrier,
                  sim_append_ranges(list, count, sizes, ranges, &request));
}

static ze_result_t sim_append_for_event(ze_command_list_handle_t list, ze_event_handle_t event,
                                        const sim_request *request) {
  if (list == NULL || event == NULL) return ZE_RESULT_ERROR_INVALID_NULL_HANDLE;
  return sim_append(list, request);
}

ze_result_t ZE_APICALL simCommandListAppendSignalEvent(ze_command_list_handle_t list,
                                                       ze_event_handle_t event) {
  const sim_request request = {.work = SIM_NOTHING, .signal = event};
  return SIM_CALL(zeCommandListAppendSignalEvent, sim_append_for_event(list, event, &request));
}

ze_result_t ZE_APICALL simCommandListAppendEventReset(ze_command_list_handle_t list,
                                                      ze_event_handle_t event) {
  const sim_request request = {.work = SIM_NOTHING, .reset = event};
  return SIM_CALL(zeCommandListAppendEventReset, sim_append_for_event(list, event, &request));
}

static ze_result_t sim_append_wait(ze_command_list_handle_t list, const sim_request *request) {
  if (list == NULL) return ZE_RESULT_ERROR_INVALID_NULL_HANDLE;
  if (request->waits == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  return sim_append(list, request);
}

ze_result_t ZE_APICALL simCommandListAppendWaitOnEvents(ze_command_list_handle_t list,
                                                        uint32_t count, ze_event_handle_t *events) {
  const sim_request request = {.work = SIM_WAIT, .wait_count = count, .waits = events};
  return SIM_CALL(zeCommandListAppendWaitOnEvents, sim_append_wait(list, &request));
}

static ze_result_t sim_append_timestamp(ze_command_list_handle_t list, const sim_request *request) {
  if (list == NULL) return ZE_RESULT_ERROR_INVALID_NULL_HANDLE;
  if (request->to == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  if ((uintptr_t)request->to % 8 != 0)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_ARGUMENT, "%p is not aligned to 8 bytes", request->to);
  return sim_append(list, request);
}

ze_result_t ZE_APICALL simCommandListAppendWriteGlobalTimestamp(ze_command_list_handle_t list,
                                                                uint64_t *to,
                                                                ze_event_handle_t signal,
                                                                uint32_t wait_count,
                                                                ze_event_handle_t *waits) {
  const sim_request request = {.work = SIM_TIMESTAMP,
                               .to = to,
                               .size = sizeof *to,
                               .signal = signal,
                               .wait_count = wait_count,
                               .waits = waits};
  return SIM_CALL(zeCommandListAppendWriteGlobalTimestamp, sim_append_timestamp(list, &request));
}

/* Changes nothing here, but the memory must be there. */
static ze_result_t sim_append_hint(ze_command_list_handle_t list, void *to, size_t size) {
  const sim_request request = {.work = SIM_NOTHING, .to = to, .size = size};
  if (list == NULL) return ZE_RESULT_ERROR_INVALID_NULL_HANDLE;
  if (to == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  return sim_append(list, &request);
}

ze_result_t ZE_APICALL simCommandListAppendMemoryPrefetch(ze_command_list_handle_t list,
                                                          const void *ptr, size_t size) {
  return SIM_CALL(zeCommandListAppendMemoryPrefetch,
                  sim_append_hint(list, (void *)(uintptr_t)ptr, size));
}

static ze_result_t sim_append_advice(ze_command_list_handle_t list, ze_device_handle_t device,
                                     void *to, size_t size, ze_memory_advice_t advice) {
  const ze_result_t result = sim_check_device(device);
  if (result != ZE_RESULT_SUCCESS) return result;
  if ((unsigned)advice > SIM_LAST_ADVICE) return ZE_RESULT_ERROR_INVALID_ENUMERATION;
  return sim_append_hint(list, to, size);
}

ze_result_t ZE_APICALL simCommandListAppendMemAdvise(ze_command_list_handle_t list,
                                                     ze_device_handle_t device, const void *ptr,
                                                     size_t size, ze_memory_advice_t advice) {
  return SIM_CALL(zeCommandListAppendMemAdvise,
                  sim_append_advice(list, device, (void *)(uintptr_t)ptr, size, advice));
}
