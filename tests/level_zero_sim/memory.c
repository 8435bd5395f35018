/* memory.c - memory that can be handed to commands, and the caller's book. */

#include "tables.h"

#include <inttypes.h>
#include <sys/mman.h>

#if defined __SANITIZE_ADDRESS__
#define SIM_ASAN
#elif defined __has_feature
#if __has_feature(address_sanitizer)
#define SIM_ASAN
#endif
#endif
#if defined SIM_ASAN
#include <sanitizer/asan_interface.h>
#define SIM_POISON(start, size) ASAN_POISON_MEMORY_REGION(start, size)
#define SIM_UNPOISON(start, size) ASAN_UNPOISON_MEMORY_REGION(start, size)
#else
#define SIM_POISON(start, size) ((void)(start), (void)(size))
#define SIM_UNPOISON(start, size) ((void)(start), (void)(size))
#endif

#define SIM_PAGE ((size_t)4096)
#define SIM_DEFAULT_ALIGNMENT ((size_t)64) /* where the program asks for none */
#define SIM_FREED 0xDD                     /* what freed memory holds */
/* So much of freed memory is filled at each of its ends: more costs time, and real memory. */
#define SIM_FILLED ((size_t)512 << 10)

/* ---- mappings -------------------------------------------------------------------------------- */

/* What is freed is kept for the next allocation that fits, the last freed first: so memory that is
   used after it was freed soon belongs to somebody else, as on a real device. */
#define SIM_CACHED 64u                       /* mappings, and as many */
#define SIM_CACHED_BYTES ((size_t)128 << 20) /* bytes                 */

typedef struct sim_mapping {
  char *base;
  size_t size;
} sim_mapping;

static struct {
  sim_mapping at[SIM_CACHED]; /* the last freed at the end */
  size_t count, bytes;
} sim_cache;

static void sim_cache_remove(size_t i) {
  sim_cache.bytes -= sim_cache.at[i].size;
  sim_cache.count--;
  memmove(&sim_cache.at[i], &sim_cache.at[i + 1], (sim_cache.count - i) * sizeof sim_cache.at[0]);
}

static void sim_unmap(sim_mapping mapping) {
  SIM_UNPOISON(mapping.base, mapping.size);
  munmap(mapping.base, mapping.size);
}

static void sim_cache_add(sim_mapping mapping) {
  if (mapping.size > SIM_CACHED_BYTES) {
    sim_unmap(mapping);
    return;
  }
  while (sim_cache.count == SIM_CACHED || sim_cache.bytes + mapping.size > SIM_CACHED_BYTES) {
    sim_unmap(sim_cache.at[0]);
    sim_cache_remove(0);
  }
  sim_cache.at[sim_cache.count++] = mapping;
  sim_cache.bytes += mapping.size;
}

void sim_memory_drop_cache(void) {
  while (sim_cache.count != 0) {
    sim_unmap(sim_cache.at[0]);
    sim_cache_remove(0);
  }
}

static bool sim_map(size_t size, sim_mapping *mapping) {
  size_t i;
  void *base;
  for (i = sim_cache.count; i-- > 0;) {
    if (sim_cache.at[i].size != size) continue;
    *mapping = sim_cache.at[i];
    sim_cache_remove(i);
    return true;
  }
  /* Nothing is reserved, so that a test may allocate more than the machine has. */
  base =
      mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) return false;
  mapping->base = base;
  mapping->size = size;
  return true;
}

/* ---- allocations ----------------------------------------------------------------------------- */

static bool sim_place(sim_memory *memory, size_t size, size_t alignment) {
  size_t needed = size + 2 * alignment;
  sim_mapping mapping;
  if (alignment > SIZE_MAX / 4 || needed < size || needed > SIZE_MAX - SIM_PAGE) return false;
  needed = (needed + SIM_PAGE - 1) & ~(SIM_PAGE - 1);
  if (!sim_map(needed, &mapping)) return false;
  memory->base = mapping.base;
  memory->mapped = mapping.size;
  /* Aligned to what was asked for, and to no more: an odd multiple of it. */
  memory->start = ((uintptr_t)mapping.base + alignment - 1) & ~(uintptr_t)(alignment - 1);
  if ((memory->start & alignment) == 0) memory->start += alignment;
  memory->size = size;
  SIM_UNPOISON(mapping.base, mapping.size <= SIM_CACHED_BYTES ? mapping.size : 0);
  SIM_POISON(mapping.base, memory->start - (uintptr_t)mapping.base);
  SIM_POISON((void *)(memory->start + size),
             (uintptr_t)mapping.base + mapping.size - memory->start - size);
  return true;
}

void sim_memory_release(sim_memory *memory) {
  sim_range *range;
  const size_t fill = memory->size < 2 * SIM_FILLED ? memory->size : SIM_FILLED;
  /* Whoever was wrong, no worker writes where nothing is any more. */
  memory->leaving = true;
  sim_spoil_work_on(memory);
  while (memory->moving != 0) sim_wait_for_progress(UINT64_MAX);
  range = sim_ranges_overlapping(&sim.memory, memory->start, 1);
  sim_ranges_remove(&sim.memory, range);
  *(memory->on_device ? &sim.device_bytes : &sim.host_bytes) -= memory->size;
  memset((void *)memory->start, SIM_FREED, fill);
  memset((void *)(memory->start + memory->size - fill), SIM_FREED, fill);
  if (memory->mapped <= SIM_CACHED_BYTES) SIM_POISON((void *)memory->start, memory->size);
  sim_cache_add((sim_mapping){memory->base, memory->mapped});
  sim_object_end(&memory->object);
}

sim_memory *sim_memory_around(uintptr_t start, size_t size) {
  const sim_range *range = sim_ranges_overlapping(&sim.memory, start, size);
  if (range == NULL || start < range->start || size > range->start + range->size - start)
    return NULL;
  return range->memory;
}

sim_memory *sim_memory_checked(const void *ptr, size_t size, const sim_context *context) {
  sim_memory *memory = sim_memory_around((uintptr_t)ptr, size);
  if (memory == NULL || memory->leaving) {
    sim_violation("%zu bytes at %p are not within live memory of the driver", size, ptr);
    return NULL;
  }
  if (memory->object.owner != &context->object) {
    sim_violation("the memory at %p belongs to another context, %p", ptr,
                  (void *)memory->object.owner->handle);
    return NULL;
  }
  return memory;
}

/* Whether the limits allow it. `relaxed`: the size of one allocation has none. */
static ze_result_t sim_admit(size_t size, size_t alignment, bool relaxed, bool on_device) {
  const uint64_t limit = on_device ? sim.device_limit : sim.host_limit;
  const uint64_t used = on_device ? sim.device_bytes : sim.host_bytes;
  if (size == 0) return ZE_RESULT_ERROR_UNSUPPORTED_SIZE;
  if ((alignment & (alignment - 1)) != 0) return ZE_RESULT_ERROR_UNSUPPORTED_ALIGNMENT;
  if (size > sim.max_alloc && !relaxed) return ZE_RESULT_ERROR_UNSUPPORTED_SIZE;
  if (size > limit - used || used > limit)
    return on_device ? ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY : ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
  return ZE_RESULT_SUCCESS;
}

static bool sim_is_relaxed(const void *desc) {
  const ze_relaxed_allocation_limits_exp_desc_t *relaxed =
      sim_chained(desc, ZE_STRUCTURE_TYPE_RELAXED_ALLOCATION_LIMITS_EXP_DESC, !sim.no_relaxed);
  return relaxed != NULL && (relaxed->flags & ZE_RELAXED_ALLOCATION_LIMITS_EXP_FLAG_MAX_SIZE) != 0;
}

static ze_result_t sim_memory_new(ze_context_handle_t handle, ze_memory_type_t type, bool relaxed,
                                  size_t size, size_t alignment, bool on_device, void **ptr) {
  static uint64_t last_id;
  sim_context *context = sim_find(SIM_CONTEXT, handle);
  sim_memory *memory;
  sim_memory placed = {.type = type, .on_device = on_device};
  ze_result_t result;
  if (context == NULL) return sim_missing(handle);
  if (ptr == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  result = sim_admit(size, alignment, relaxed, on_device);
  if (result != ZE_RESULT_SUCCESS) return result;
  if (!sim_place(&placed, size, alignment != 0 ? alignment : SIM_DEFAULT_ALIGNMENT))
    return on_device ? ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY : ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY;
  memory = sim_object_new(SIM_MEMORY, sizeof *memory, &context->object);
  placed.object = memory->object;
  placed.id = ++last_id;
  *memory = placed;
  *(on_device ? &sim.device_bytes : &sim.host_bytes) += size;
  sim_ranges_insert(&sim.memory, (sim_range){memory->start, memory->size, memory});
  *ptr = (void *)memory->start;
  return ZE_RESULT_SUCCESS;
}

static ze_result_t sim_alloc_host(ze_context_handle_t context, const ze_host_mem_alloc_desc_t *desc,
                                  size_t size, size_t alignment, void **ptr) {
  if (desc == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  sim_check_stype(desc, ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC, "ze_host_mem_alloc_desc_t");
  if (desc->flags > 0xf) return ZE_RESULT_ERROR_INVALID_ENUMERATION;
  return sim_memory_new(context, ZE_MEMORY_TYPE_HOST, sim_is_relaxed(desc), size, alignment, false,
                        ptr);
}

ze_result_t ZE_APICALL simMemAllocHost(ze_context_handle_t context,
                                       const ze_host_mem_alloc_desc_t *desc, size_t size,
                                       size_t alignment, void **ptr) {
  return SIM_CALL(zeMemAllocHost, sim_alloc_host(context, desc, size, alignment, ptr));
}

static ze_result_t sim_check_device_desc(const ze_device_mem_alloc_desc_t *desc) {
  if (desc == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  sim_check_stype(desc, ZE_STRUCTURE_TYPE_DEVICE_MEM_ALLOC_DESC, "ze_device_mem_alloc_desc_t");
  if (desc->flags > 0x7) return ZE_RESULT_ERROR_INVALID_ENUMERATION;
  return desc->ordinal == 0 ? ZE_RESULT_SUCCESS : ZE_RESULT_ERROR_INVALID_ARGUMENT;
}

static ze_result_t sim_alloc_device(ze_context_handle_t context,
                                    const ze_device_mem_alloc_desc_t *desc, size_t size,
                                    size_t alignment, ze_device_handle_t device, void **ptr) {
  ze_result_t result = sim_check_device(device);
  if (result == ZE_RESULT_SUCCESS) result = sim_check_device_desc(desc);
  if (result != ZE_RESULT_SUCCESS) return result;
  return sim_memory_new(context, ZE_MEMORY_TYPE_DEVICE, sim_is_relaxed(desc), size, alignment, true,
                        ptr);
}

ze_result_t ZE_APICALL simMemAllocDevice(ze_context_handle_t context,
                                         const ze_device_mem_alloc_desc_t *desc, size_t size,
                                         size_t alignment, ze_device_handle_t device, void **ptr) {
  return SIM_CALL(zeMemAllocDevice, sim_alloc_device(context, desc, size, alignment, device, ptr));
}

static ze_result_t sim_alloc_shared(ze_context_handle_t context,
                                    const ze_device_mem_alloc_desc_t *device_desc,
                                    const ze_host_mem_alloc_desc_t *host_desc, size_t size,
                                    size_t alignment, ze_device_handle_t device, void **ptr) {
  ze_result_t result = device != NULL ? sim_check_device(device) : ZE_RESULT_SUCCESS;
  bool relaxed;
  if (result == ZE_RESULT_SUCCESS) result = sim_check_device_desc(device_desc);
  if (result != ZE_RESULT_SUCCESS) return result;
  if (host_desc == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  sim_check_stype(host_desc, ZE_STRUCTURE_TYPE_HOST_MEM_ALLOC_DESC, "ze_host_mem_alloc_desc_t");
  if (host_desc->flags > 0xf) return ZE_RESULT_ERROR_INVALID_ENUMERATION;
  relaxed = sim_is_relaxed(device_desc);
  relaxed = sim_is_relaxed(host_desc) || relaxed;
  return sim_memory_new(context, ZE_MEMORY_TYPE_SHARED, relaxed, size, alignment, device != NULL,
                        ptr);
}

ze_result_t ZE_APICALL simMemAllocShared(ze_context_handle_t context,
                                         const ze_device_mem_alloc_desc_t *device_desc,
                                         const ze_host_mem_alloc_desc_t *host_desc, size_t size,
                                         size_t alignment, ze_device_handle_t device, void **ptr) {
  return SIM_CALL(zeMemAllocShared,
                  sim_alloc_shared(context, device_desc, host_desc, size, alignment, device, ptr));
}

/* ---- free ------------------------------------------------------------------------------------ */

/* The memory that may be freed so; NULL and a violation if there is none. */
static sim_memory *sim_to_free(const sim_context *context, const void *ptr) {
  sim_memory *memory = sim_memory_around((uintptr_t)ptr, 1);
  if (memory == NULL || memory->leaving) {
    sim_violation("%p is freed, where no memory is (or not any more)", ptr);
    return NULL;
  }
  if (memory->start != (uintptr_t)ptr) {
    sim_violation("%p is freed, which is inside of the memory at %p", ptr, (void *)memory->start);
    return NULL;
  }
  if (memory->object.owner != &context->object) {
    sim_violation("the memory at %p is freed with another context than its own, %p", ptr,
                  (void *)memory->object.owner->handle);
    return NULL;
  }
  if (sim_ranges_overlapping(&sim.handed_out, memory->start, memory->size) != NULL)
    sim_violation("the memory at %p is freed while a part of it is handed out", ptr);
  return memory;
}

static ze_result_t sim_memory_free(ze_context_handle_t handle, const void *ptr,
                                   ze_driver_memory_free_policy_ext_flags_t policy) {
  const bool waits = (policy & ZE_DRIVER_MEMORY_FREE_POLICY_EXT_FLAG_BLOCKING_FREE) != 0;
  const sim_context *context = sim_find(SIM_CONTEXT, handle);
  sim_memory *memory;
  if (context == NULL) return sim_missing(handle);
  if (ptr == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  memory = sim_to_free(context, ptr);
  if (memory == NULL) return ZE_RESULT_ERROR_INVALID_ARGUMENT;
  memory->leaving = true;
  while (waits && memory->object.uses != 0 && !sim.lost) sim_wait_for_progress(UINT64_MAX);
  if (policy != 0 && !waits && memory->object.uses != 0 && !sim.lost) {
    memory->ends_with_last_use = memory->object.excused = true;
    return ZE_RESULT_SUCCESS;
  }
  if (memory->object.uses != 0 && !sim.lost) {
    const sim_user user = sim_unfinished_work_on(memory->start, memory->size);
    sim_violation("the memory at %p is freed while %" PRIu64
                  " unfinished commands use it, the first of them " SIM_USER,
                  ptr, memory->object.uses, sim_user_is(user));
  }
  sim_memory_release(memory);
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simMemFree(ze_context_handle_t context, void *ptr) {
  return SIM_CALL_END(zeMemFree, ptr, sim_memory_free(context, ptr, 0));
}

static ze_result_t sim_memory_free_ext(ze_context_handle_t context,
                                       const ze_memory_free_ext_desc_t *desc, void *ptr) {
  if (desc == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  sim_check_stype(desc, ZE_STRUCTURE_TYPE_MEMORY_FREE_EXT_DESC, "ze_memory_free_ext_desc_t");
  if (desc->freePolicy > 0x3) return ZE_RESULT_ERROR_INVALID_ENUMERATION;
  return sim_memory_free(context, ptr, desc->freePolicy);
}

ze_result_t ZE_APICALL simMemFreeExt(ze_context_handle_t context,
                                     const ze_memory_free_ext_desc_t *desc, void *ptr) {
  return SIM_CALL_END(zeMemFreeExt, ptr, sim_memory_free_ext(context, desc, ptr));
}

/* ---- questions ------------------------------------------------------------------------------- */

static ze_result_t sim_memory_properties(ze_context_handle_t handle, const void *ptr,
                                         ze_memory_allocation_properties_t *properties,
                                         ze_device_handle_t *device) {
  const sim_context *context = sim_find(SIM_CONTEXT, handle);
  const sim_memory *memory = sim_memory_around((uintptr_t)ptr, 1);
  if (context == NULL) return sim_missing(handle);
  if (ptr == NULL || properties == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  sim_check_stype(properties, ZE_STRUCTURE_TYPE_MEMORY_ALLOCATION_PROPERTIES,
                  "ze_memory_allocation_properties_t");
  if (memory != NULL && (memory->leaving || memory->object.owner != &context->object))
    memory = NULL; /* not of this context: unknown, and no error */
  properties->type = memory != NULL ? memory->type : ZE_MEMORY_TYPE_UNKNOWN;
  properties->id = memory != NULL ? memory->id : 0;
  properties->pageSize = memory != NULL ? SIM_PAGE : 0;
  if (device != NULL) *device = memory != NULL && memory->on_device ? sim_device_handle : NULL;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simMemGetAllocProperties(ze_context_handle_t context, const void *ptr,
                                                ze_memory_allocation_properties_t *properties,
                                                ze_device_handle_t *device) {
  return SIM_CALL(zeMemGetAllocProperties, sim_memory_properties(context, ptr, properties, device));
}

static ze_result_t sim_memory_range(ze_context_handle_t handle, const void *ptr, void **base,
                                    size_t *size) {
  const sim_context *context = sim_find(SIM_CONTEXT, handle);
  const sim_memory *memory;
  if (context == NULL) return sim_missing(handle);
  if (ptr == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  memory = sim_memory_around((uintptr_t)ptr, 1);
  if (memory == NULL || memory->leaving || memory->object.owner != &context->object)
    return ZE_RESULT_ERROR_INVALID_ARGUMENT; /* to ask is no mistake */
  if (base != NULL) *base = (void *)memory->start;
  if (size != NULL) *size = memory->size;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simMemGetAddressRange(ze_context_handle_t context, const void *ptr,
                                             void **base, size_t *size) {
  return SIM_CALL(zeMemGetAddressRange, sim_memory_range(context, ptr, base, size));
}

/* ---- the caller's book ----------------------------------------------------------------------- */

void ze_sim_handed_out(const void *ptr, size_t size) {
  const uintptr_t start = (uintptr_t)ptr;
  sim_memory *memory;
  sim_user user;
  if (size == 0) size = 1; /* even nothing has an address of its own */
  sim_enter_control("ze_sim_handed_out");
  memory = sim_memory_around(start, size);
  if (memory == NULL || memory->leaving)
    sim_violation("%zu bytes at %p are handed out, not all of which are live memory", size, ptr);
  if (sim_ranges_overlapping(&sim.handed_out, start, size) != NULL) {
    sim_violation("%zu bytes at %p are handed out, some of which are handed out already", size,
                  ptr);
  } else {
    sim_ranges_insert(&sim.handed_out, (sim_range){start, size, NULL});
  }
  user = sim_unfinished_work_on(start, size);
  if (user.call != NULL)
    sim_violation("%zu bytes at %p are handed out while an unfinished command uses them, " SIM_USER,
                  size, ptr, sim_user_is(user));
  sim_leave(ZE_RESULT_SUCCESS);
}

void ze_sim_handed_back(const void *ptr) {
  sim_range *range;
  sim_enter_control("ze_sim_handed_back");
  range = sim_ranges_overlapping(&sim.handed_out, (uintptr_t)ptr, 1);
  if (range == NULL || range->start != (uintptr_t)ptr) {
    sim_violation("%p is handed back, which is not handed out", ptr);
  } else {
    sim_ranges_remove(&sim.handed_out, range);
  }
  sim_leave(ZE_RESULT_SUCCESS);
}
