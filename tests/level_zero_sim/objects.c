/* objects.c - handles, and who owns what. */

#include "internal.h"

#include <inttypes.h>

/* ---- handles --------------------------------------------------------------------------------- */

/* A handle is the copy of the driver, a serial number, and the kind. The loader keeps the handles
   of all drivers in one table when it wraps them, so two copies must never give the same. */
#define SIM_HANDLE(serial, kind) \
  (((uintptr_t)ZE_SIM_COPY << 56) | ((uintptr_t)(serial) << 4) | (uintptr_t)(kind))
#define SIM_HANDLE_KIND(handle) ((sim_kind)((handle)&15))

_Static_assert(sizeof(uintptr_t) == 8, "a handle has 64 bits");
_Static_assert(SIM_KINDS <= 16, "a handle has 4 bits for its kind");

static uintptr_t sim_serial = 2; /* the driver is 1, the device 2 */

static sim_object sim_driver_object = {.kind = SIM_DRIVER, .alive = true, .refs = 1};

/* Objects by their handles: open addressing, at most half full. */
static struct {
  sim_object **at;
  size_t count, size; /* size: a power of two */
} sim_table;

/* With its article, which sim_kind_name leaves out. */
static const char *sim_a_kind(sim_kind kind) {
  switch (kind) {
    case SIM_CONTEXT: return "a context";
    case SIM_QUEUE: return "a command queue";
    case SIM_LIST: return "a command list";
    case SIM_POOL: return "an event pool";
    case SIM_EVENT: return "an event";
    case SIM_FENCE: return "a fence";
    default: return "an allocation"; /* the driver and the device are named otherwise */
  }
}

const char *sim_kind_name(sim_kind kind) { return strchr(sim_a_kind(kind), ' ') + 1; }

static size_t sim_table_home(uintptr_t handle) {
  return (size_t)((handle * UINT64_C(0x9e3779b97f4a7c15)) >> 32) & (sim_table.size - 1);
}

static sim_object **sim_table_slot(uintptr_t handle) {
  size_t i = sim_table_home(handle);
  while (sim_table.at[i] != NULL && sim_table.at[i]->handle != handle)
    i = (i + 1) & (sim_table.size - 1);
  return &sim_table.at[i];
}

static void sim_table_add(sim_object *object) {
  if (2 * (sim_table.count + 1) > sim_table.size) {
    sim_object **old = sim_table.at;
    const size_t old_size = sim_table.size;
    size_t i;
    sim_table.size = old_size != 0 ? 2 * old_size : 64;
    sim_table.at = sim_allocate(sim_table.size * sizeof *sim_table.at);
    for (i = 0; i < old_size; i++)
      if (old[i] != NULL) *sim_table_slot(old[i]->handle) = old[i];
    free(old);
  }
  *sim_table_slot(object->handle) = object;
  sim_table.count++;
}

/* Closes the gap: what comes behind it and could stand in it moves up. */
static void sim_table_remove(uintptr_t handle) {
  const size_t mask = sim_table.size - 1;
  size_t gap = (size_t)(sim_table_slot(handle) - sim_table.at), i = gap;
  sim_table.count--;
  for (;;) {
    sim_table.at[gap] = NULL;
    for (;;) {
      i = (i + 1) & mask;
      if (sim_table.at[i] == NULL) return;
      /* It may move if its home is not between the gap and itself. */
      if (((i - sim_table_home(sim_table.at[i]->handle)) & mask) >= ((i - gap) & mask)) break;
    }
    sim_table.at[gap] = sim_table.at[i];
    gap = i;
  }
}

sim_object *sim_peek(const void *handle) {
  return handle == NULL || sim_table.count == 0 ? NULL : *sim_table_slot((uintptr_t)handle);
}

void *sim_find(sim_kind kind, const void *handle) {
  const uintptr_t value = (uintptr_t)handle;
  sim_object *object = sim_peek(handle);
  if (object != NULL && object->kind == kind) return object;
  if (handle == NULL) return NULL;
  if (object != NULL) {
    sim_violation("the handle of %s is given for %s", sim_a_kind(object->kind), sim_a_kind(kind));
  } else if (SIM_HANDLE_KIND(value) == kind && value > SIM_HANDLE(2, SIM_NO_KIND) &&
             value <= SIM_HANDLE(sim_serial, kind)) {
    sim_violation("the %s %p is destroyed", sim_kind_name(kind), handle);
  } else {
    sim_violation("%p was never the handle of %s", handle, sim_a_kind(kind));
  }
  return NULL;
}

/* ---- driver and device ----------------------------------------------------------------------- */

ze_driver_handle_t const sim_driver_handle = (ze_driver_handle_t)SIM_HANDLE(1, SIM_DRIVER);
ze_device_handle_t const sim_device_handle = (ze_device_handle_t)SIM_HANDLE(2, SIM_DEVICE);

ze_result_t sim_check_driver(ze_driver_handle_t handle) {
  if (handle == sim_driver_handle) return ZE_RESULT_SUCCESS;
  if (handle == NULL) return ZE_RESULT_ERROR_INVALID_NULL_HANDLE;
  return sim_wrong(ZE_RESULT_ERROR_INVALID_ARGUMENT, "%p is not the driver", (void *)handle);
}

ze_result_t sim_check_device(ze_device_handle_t handle) {
  if (handle == sim_device_handle) return ZE_RESULT_SUCCESS;
  if (handle == NULL) return ZE_RESULT_ERROR_INVALID_NULL_HANDLE;
  return sim_wrong(ZE_RESULT_ERROR_INVALID_ARGUMENT, "%p is not the device", (void *)handle);
}

/* ---- objects --------------------------------------------------------------------------------- */

void sim_object_keep(sim_object *object) { object->refs++; }

void sim_object_let_go(sim_object *object) {
  if (--object->refs == 0) free(object);
}

static void sim_adopt(sim_object *owner, sim_object *object) {
  object->owner = owner;
  object->previous = NULL;
  object->next = owner->first;
  if (owner->first != NULL) owner->first->previous = object;
  owner->first = object;
  sim_object_keep(owner);
}

static void sim_disown(sim_object *object) {
  sim_object *owner = object->owner;
  if (object->previous != NULL) {
    object->previous->next = object->next;
  } else {
    owner->first = object->next;
  }
  if (object->next != NULL) object->next->previous = object->previous;
  object->owner = NULL;
  sim_object_let_go(owner);
}

void *sim_object_new(sim_kind kind, size_t size, sim_object *owner) {
  sim_object *object = sim_allocate(size);
  object->kind = kind;
  object->alive = true;
  object->refs = 1;
  if (kind != SIM_MEMORY) {
    object->handle = SIM_HANDLE(++sim_serial, kind);
    sim_table_add(object);
  }
  sim_adopt(owner != NULL ? owner : &sim_driver_object, object);
  sim.live[kind]++;
  return object;
}

void sim_object_end(sim_object *object) {
  object->alive = false;
  if (object->awaited != 0) {
    sim_violation("the %s %p is destroyed while a thread waits for it", sim_kind_name(object->kind),
                  (void *)object->handle);
    sim_progress();
  }
  sim.live[object->kind]--;
  if (object->kind != SIM_MEMORY) sim_table_remove(object->handle);
  sim_disown(object);
  sim_object_let_go(object);
}

void sim_object_move(sim_object *object, sim_object *owner) {
  sim_disown(object);
  sim_adopt(owner, object);
}

void sim_release(sim_object *object) {
  sim_object_keep(object);
  while (object->first != NULL) sim_release(object->first);
  switch (object->kind) {
    case SIM_QUEUE: sim_queue_release(object); break;
    case SIM_LIST: sim_list_release(object); break;
    case SIM_POOL: sim_pool_release(object); break;
    case SIM_EVENT: sim_event_release(object); break;
    case SIM_MEMORY: sim_memory_release((sim_memory *)object); break;
    default: sim_object_end(object);
  }
  sim_object_let_go(object);
}

void sim_release_everything(void) {
  while (sim_driver_object.first != NULL) sim_release(sim_driver_object.first);
  sim_memory_drop_cache();
}

/* ---- leaks ----------------------------------------------------------------------------------- */

void sim_excuse(const void *handle_or_memory) {
  sim_object *object = sim_peek(handle_or_memory);
  sim_memory *memory = sim_memory_around((uintptr_t)handle_or_memory, 1);
  if (object == NULL && memory != NULL) object = &memory->object;
  if (object != NULL) object->excused = true;
}

static bool sim_is_forgotten(const sim_object *object) {
  const sim_object *child;
  if (!object->excused) return true;
  for (child = object->first; child != NULL; child = child->next)
    if (sim_is_forgotten(child)) return true;
  return false;
}

void sim_release_excused(void) {
  sim_object *child = sim_driver_object.first;
  while (child != NULL) {
    sim_object *next = child->next;
    if (!sim_is_forgotten(child)) sim_release(child);
    child = next;
  }
}

static void *sim_address(const sim_object *object) {
  return (void *)(object->kind == SIM_MEMORY ? ((const sim_memory *)object)->start
                                             : object->handle);
}

bool sim_owns_something(sim_object *object) {
  size_t forgotten = 0;
  const sim_object *child, *example = NULL;
  for (child = object->first; child != NULL; child = child->next) {
    if (!sim_is_forgotten(child)) continue;
    forgotten++;
    example = child;
  }
  if (forgotten != 0) {
    sim_violation("the %s %p is destroyed with %zu live objects, one of them %s, %p",
                  sim_kind_name(object->kind), (void *)object->handle, forgotten,
                  sim_a_kind(example->kind), sim_address(example));
    return true;
  }
  while (object->first != NULL) sim_release(object->first);
  return false;
}

/* ---- two threads at once --------------------------------------------------------------------- */

void sim_go_inside(sim_object *object, const char *what) {
  sim_object_keep(object);
  if (object->inside++ != 0)
    sim_violation("two threads %s the %s %p at once", what, sim_kind_name(object->kind),
                  (void *)object->handle);
}

void sim_go_outside(sim_object *object) {
  object->inside--;
  sim_object_let_go(object);
}

ze_result_t sim_linger(const sim_object *object) {
  sim_widen();
  if (!object->alive) return ZE_RESULT_ERROR_INVALID_ARGUMENT; /* who ended it was reported */
  return sim.lost ? ZE_RESULT_ERROR_DEVICE_LOST : ZE_RESULT_SUCCESS;
}

void sim_forget_threads(void) {
  size_t i;
  for (i = 0; i < sim_table.size; i++)
    if (sim_table.at[i] != NULL) sim_table.at[i]->inside = sim_table.at[i]->awaited = 0;
}

/* ---- ranges of addresses --------------------------------------------------------------------- */

bool sim_overlap(uintptr_t a, size_t a_size, uintptr_t b, size_t b_size) {
  return a_size != 0 && b_size != 0 && (a >= b ? a - b < b_size : b - a < a_size);
}

/* The first range that ends behind `start`. */
static size_t sim_ranges_after(const sim_ranges *ranges, uintptr_t start) {
  size_t low = 0, high = ranges->count;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (ranges->at[middle].start + ranges->at[middle].size > start) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

sim_range *sim_ranges_overlapping(const sim_ranges *ranges, uintptr_t start, size_t size) {
  const size_t i = sim_ranges_after(ranges, start);
  if (i == ranges->count) return NULL;
  return sim_overlap(ranges->at[i].start, ranges->at[i].size, start, size) ? &ranges->at[i] : NULL;
}

void sim_ranges_insert(sim_ranges *ranges, sim_range range) {
  const size_t i = sim_ranges_after(ranges, range.start);
  if (ranges->count == ranges->room) {
    ranges->room = ranges->room != 0 ? 2 * ranges->room : 64;
    ranges->at = sim_grown(ranges->at, ranges->room * sizeof *ranges->at);
  }
  memmove(&ranges->at[i + 1], &ranges->at[i], (ranges->count - i) * sizeof *ranges->at);
  ranges->at[i] = range;
  ranges->count++;
}

void sim_ranges_remove(sim_ranges *ranges, sim_range *range) {
  const size_t i = (size_t)(range - ranges->at);
  ranges->count--;
  memmove(&ranges->at[i], &ranges->at[i + 1], (ranges->count - i) * sizeof *ranges->at);
}
