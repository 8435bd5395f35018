/* events.c - events, their pools, and fences. */

#include "work.h"

#include <inttypes.h>

#define SIM_POOL_EVENTS (UINT32_C(1) << 24) /* of one pool at most: 128 MiB of slots */

/* ---- event pools ----------------------------------------------------------------------------- */

static ze_result_t sim_pool_create(ze_context_handle_t handle, const ze_event_pool_desc_t *desc,
                                   uint32_t count, const ze_device_handle_t *devices,
                                   ze_event_pool_handle_t *out) {
  sim_context *context = sim_find(SIM_CONTEXT, handle);
  ze_result_t result = ZE_RESULT_SUCCESS;
  struct sim_event **slots;
  sim_pool *pool;
  uint32_t i;
  if (context == NULL) return sim_missing(handle);
  if (desc == NULL || out == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  sim_check_stype(desc, ZE_STRUCTURE_TYPE_EVENT_POOL_DESC, "ze_event_pool_desc_t");
  (void)sim_chained(desc, ZE_STRUCTURE_TYPE_EVENT_POOL_DESC, false);
  if (desc->flags > 0x7) return ZE_RESULT_ERROR_INVALID_ENUMERATION;
  if (desc->count == 0 || (devices == NULL && count != 0)) return ZE_RESULT_ERROR_INVALID_SIZE;
  for (i = 0; i < count && result == ZE_RESULT_SUCCESS; i++) result = sim_check_device(devices[i]);
  if (result != ZE_RESULT_SUCCESS) return result;
  if ((desc->flags & ZE_EVENT_POOL_FLAG_IPC) != 0) return ZE_RESULT_ERROR_UNSUPPORTED_FEATURE;
  slots = desc->count <= SIM_POOL_EVENTS ? calloc(desc->count, sizeof *slots) : NULL;
  if (slots == NULL) return ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
  pool = sim_object_new(SIM_POOL, sizeof *pool, &context->object);
  pool->host_visible = (desc->flags & ZE_EVENT_POOL_FLAG_HOST_VISIBLE) != 0;
  pool->count = desc->count;
  pool->slots = slots;
  *out = (ze_event_pool_handle_t)pool->object.handle;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simEventPoolCreate(ze_context_handle_t context,
                                          const ze_event_pool_desc_t *desc, uint32_t count,
                                          ze_device_handle_t *devices,
                                          ze_event_pool_handle_t *pool) {
  return SIM_CALL(zeEventPoolCreate, sim_pool_create(context, desc, count, devices, pool));
}

void sim_pool_release(sim_object *object) {
  free(((sim_pool *)object)->slots);
  sim_object_end(object);
}

static ze_result_t sim_pool_destroy(ze_event_pool_handle_t handle) {
  sim_pool *pool = sim_find(SIM_POOL, handle);
  if (pool == NULL) return sim_missing(handle);
  /* It goes all the same, as a driver's would; what is left of its events is good for nothing. */
  if (sim_owns_something(&pool->object))
    while (pool->object.first != NULL) sim_object_move(pool->object.first, pool->object.owner);
  sim_pool_release(&pool->object);
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simEventPoolDestroy(ze_event_pool_handle_t pool) {
  return SIM_CALL_END(zeEventPoolDestroy, pool, sim_pool_destroy(pool));
}

/* ---- events ---------------------------------------------------------------------------------- */

static ze_result_t sim_event_create(ze_event_pool_handle_t handle, const ze_event_desc_t *desc,
                                    ze_event_handle_t *out) {
  sim_pool *pool = sim_find(SIM_POOL, handle);
  ze_result_t result;
  sim_event *event;
  if (pool == NULL) return sim_missing(handle);
  if (desc == NULL || out == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  sim_check_stype(desc, ZE_STRUCTURE_TYPE_EVENT_DESC, "ze_event_desc_t");
  (void)sim_chained(desc, ZE_STRUCTURE_TYPE_EVENT_DESC, false);
  if (desc->signal > 0x7 || desc->wait > 0x7) return ZE_RESULT_ERROR_INVALID_ENUMERATION;
  sim_go_inside(&pool->object, "create events of");
  result = sim_linger(&pool->object);
  sim_go_outside(&pool->object);
  if (result != ZE_RESULT_SUCCESS) return result;
  if (desc->index >= pool->count)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_ARGUMENT, "index %u in event pool %p of %u events",
                     desc->index, (void *)handle, pool->count);
  if (pool->slots[desc->index] != NULL)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_ARGUMENT,
                     "index %u of event pool %p is used by event %p", desc->index, (void *)handle,
                     sim_handle(pool->slots[desc->index]));
  event = sim_object_new(SIM_EVENT, sizeof *event, &pool->object);
  event->context = (sim_context *)pool->object.owner;
  event->host_visible = pool->host_visible;
  event->host_scope = (desc->signal & ZE_EVENT_SCOPE_FLAG_HOST) != 0;
  event->index = desc->index;
  pool->slots[desc->index] = event;
  *out = (ze_event_handle_t)event->object.handle;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simEventCreate(ze_event_pool_handle_t pool, const ze_event_desc_t *desc,
                                      ze_event_handle_t *event) {
  return SIM_CALL(zeEventCreate, sim_event_create(pool, desc, event));
}

void sim_event_release(sim_object *object) {
  const sim_event *event = (const sim_event *)object;
  if (object->owner->kind == SIM_POOL) ((sim_pool *)object->owner)->slots[event->index] = NULL;
  sim_object_end(object);
}

static ze_result_t sim_event_destroy(ze_event_handle_t handle) {
  sim_event *event = sim_find(SIM_EVENT, handle);
  if (event == NULL) return sim_missing(handle);
  if (event->object.owner->kind != SIM_POOL)
    sim_violation("event %p is destroyed after its event pool", (void *)handle);
  if (event->object.inside != 0)
    sim_violation("event %p is destroyed while another thread records or resets it",
                  (void *)handle);
  if (event->object.uses != 0 && !sim.lost)
    return sim_wrong(ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE,
                     "event %p is destroyed while %" PRIu64
                     " submitted commands signal it or wait "
                     "for it",
                     (void *)handle, event->object.uses);
  sim_event_release(&event->object);
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simEventDestroy(ze_event_handle_t event) {
  return SIM_CALL_END(zeEventDestroy, event, sim_event_destroy(event));
}

ze_result_t sim_check_event(const sim_event *event, const sim_object *context) {
  if (!event->object.alive)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT,
                     "a command has event %p, which is destroyed", sim_handle(event));
  if (event->object.owner->kind != SIM_POOL)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT,
                     "event %p is of an event pool that is destroyed", sim_handle(event));
  if (context != NULL && &event->context->object != context)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT,
                     "event %p is of context %p, and the command list of another, %p",
                     sim_handle(event), sim_handle(event->context), (void *)context->handle);
  return ZE_RESULT_SUCCESS;
}

/* An event that the host may look at; NULL and *result if it is none. */
static sim_event *sim_event_for_host(ze_event_handle_t handle, ze_result_t *result) {
  sim_event *event = sim_find(SIM_EVENT, handle);
  *result = event != NULL ? sim_check_event(event, NULL) : sim_missing(handle);
  if (*result != ZE_RESULT_SUCCESS) return NULL;
  if (event->host_visible) return event;
  *result = sim_wrong(ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT,
                      "the host uses event %p, whose pool is not visible to it", (void *)handle);
  return NULL;
}

static ze_result_t sim_event_signal(ze_event_handle_t handle) {
  ze_result_t result;
  sim_event *event = sim_event_for_host(handle, &result);
  if (event == NULL) return result;
  sim_go_inside(&event->object, "record or reset");
  sim_signal(event, NULL);
  sim_progress();
  sim_go_outside(&event->object);
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simEventHostSignal(ze_event_handle_t event) {
  return SIM_CALL(zeEventHostSignal, sim_event_signal(event));
}

static void sim_check_host_reset(const sim_event *event) {
  if (event->signals != 0)
    sim_violation("the host resets event %p while a submitted command has still to signal it",
                  sim_handle(event));
  if (event->signalled && event->waiting != 0)
    sim_violation("the host resets event %p while %" PRIu64
                  " submitted commands that wait for it have not begun",
                  sim_handle(event), event->waiting);
}

static ze_result_t sim_event_reset(ze_event_handle_t handle) {
  ze_result_t result;
  sim_event *event = sim_event_for_host(handle, &result);
  if (event == NULL) return result;
  sim_go_inside(&event->object, "record or reset");
  result = sim_linger(&event->object);
  if (result == ZE_RESULT_SUCCESS) sim_check_host_reset(event);
  event->signalled = event->signalled && result != ZE_RESULT_SUCCESS;
  sim_go_outside(&event->object);
  return result;
}

ze_result_t ZE_APICALL simEventHostReset(ze_event_handle_t event) {
  return SIM_CALL(zeEventHostReset, sim_event_reset(event));
}

/* Who relies on a command's signal without the scope may find old bytes in memory. Said once for an
   event, which may be looked at in a loop. */
static void sim_check_scope(sim_event *event) {
  if (event->host_scope || !event->by_device || event->told) return;
  event->told = true;
  sim_violation(
      "the host sees event %p, which was created without ZE_EVENT_SCOPE_FLAG_HOST as its "
      "signal scope: what commands wrote need not be visible to the host",
      sim_handle(event));
}

static ze_result_t sim_event_synchronize(ze_event_handle_t handle, uint64_t timeout) {
  ze_result_t result;
  sim_event *event = sim_event_for_host(handle, &result);
  if (event == NULL) return result;
  sim_object_keep(&event->object);
  result = sim_host_wait(&event->object, &event->signalled, timeout);
  if (result == ZE_RESULT_SUCCESS) sim_check_scope(event);
  sim_object_let_go(&event->object);
  return result;
}

ze_result_t ZE_APICALL simEventHostSynchronize(ze_event_handle_t event, uint64_t timeout) {
  return SIM_CALL(zeEventHostSynchronize, sim_event_synchronize(event, timeout));
}

ze_result_t ZE_APICALL simEventQueryStatus(ze_event_handle_t event) {
  return SIM_CALL(zeEventQueryStatus, sim_event_synchronize(event, 0));
}

/* ---- fences ---------------------------------------------------------------------------------- */

static ze_result_t sim_fence_create(ze_command_queue_handle_t handle, const ze_fence_desc_t *desc,
                                    ze_fence_handle_t *out) {
  sim_queue *queue = sim_find(SIM_QUEUE, handle);
  sim_fence *fence;
  if (queue == NULL) return sim_missing(handle);
  if (desc == NULL || out == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  sim_check_stype(desc, ZE_STRUCTURE_TYPE_FENCE_DESC, "ze_fence_desc_t");
  (void)sim_chained(desc, ZE_STRUCTURE_TYPE_FENCE_DESC, false);
  if (desc->flags > ZE_FENCE_FLAG_SIGNALED) return ZE_RESULT_ERROR_INVALID_ENUMERATION;
  fence = sim_object_new(SIM_FENCE, sizeof *fence, &queue->object);
  fence->signalled = (desc->flags & ZE_FENCE_FLAG_SIGNALED) != 0;
  *out = (ze_fence_handle_t)fence->object.handle;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simFenceCreate(ze_command_queue_handle_t queue, const ze_fence_desc_t *desc,
                                      ze_fence_handle_t *fence) {
  return SIM_CALL(zeFenceCreate, sim_fence_create(queue, desc, fence));
}

static ze_result_t sim_fence_destroy(ze_fence_handle_t handle) {
  sim_fence *fence = sim_find(SIM_FENCE, handle);
  if (fence == NULL) return sim_missing(handle);
  if (fence->object.uses != 0 && !sim.lost)
    return sim_wrong(ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE,
                     "fence %p is destroyed while it is pending", (void *)handle);
  sim_object_end(&fence->object);
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simFenceDestroy(ze_fence_handle_t fence) {
  return SIM_CALL_END(zeFenceDestroy, fence, sim_fence_destroy(fence));
}

static ze_result_t sim_fence_synchronize(ze_fence_handle_t handle, uint64_t timeout) {
  sim_fence *fence = sim_find(SIM_FENCE, handle);
  if (fence == NULL) return sim_missing(handle);
  return sim_host_wait(&fence->object, &fence->signalled, timeout);
}

ze_result_t ZE_APICALL simFenceHostSynchronize(ze_fence_handle_t fence, uint64_t timeout) {
  return SIM_CALL(zeFenceHostSynchronize, sim_fence_synchronize(fence, timeout));
}

ze_result_t ZE_APICALL simFenceQueryStatus(ze_fence_handle_t fence) {
  return SIM_CALL(zeFenceQueryStatus, sim_fence_synchronize(fence, 0));
}

static ze_result_t sim_fence_reset(ze_fence_handle_t handle) {
  sim_fence *fence = sim_find(SIM_FENCE, handle);
  if (fence == NULL) return sim_missing(handle);
  if (fence->object.uses != 0)
    return sim_wrong(ZE_RESULT_ERROR_INVALID_SYNCHRONIZATION_OBJECT,
                     "fence %p is reset while it is pending", (void *)handle);
  fence->signalled = false;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simFenceReset(ze_fence_handle_t fence) {
  return SIM_CALL(zeFenceReset, sim_fence_reset(fence));
}
