/* driver.c - the driver, its device, and contexts. */

#include "tables.h"

#include <stdio.h>

#define SIM_DEFAULT_DEVICE_BYTES ((uint64_t)16 << 30) /* what the device says if it has no limit */

/* The two-call way in which Level Zero gives lists: how many there are if *count is 0, else as many
   as there are and fit. Returns how many to write. */
static uint32_t sim_give(uint32_t *count, uint32_t there, const void *to) {
  if (*count == 0 || *count > there) {
    const uint32_t asked = *count;
    *count = there;
    if (asked == 0) return 0;
  }
  return to != NULL ? *count : 0;
}

static uint8_t sim_uuid_byte(size_t i) {
  static const uint8_t id[] = "cpu simulator ";
  return i < sizeof id ? id[i] : (uint8_t)ZE_SIM_COPY;
}

/* ---- driver ---------------------------------------------------------------------------------- */

static ze_result_t sim_init(ze_init_flags_t flags) {
  if (flags > (ZE_INIT_FLAG_GPU_ONLY | ZE_INIT_FLAG_VPU_ONLY))
    return ZE_RESULT_ERROR_INVALID_ENUMERATION;
  return flags == ZE_INIT_FLAG_VPU_ONLY ? ZE_RESULT_ERROR_UNINITIALIZED : ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simInit(ze_init_flags_t flags) { return SIM_CALL(zeInit, sim_init(flags)); }

static ze_result_t sim_driver_get(uint32_t *count, ze_driver_handle_t *drivers) {
  if (count == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  if (sim_give(count, 1, drivers) != 0) drivers[0] = sim_driver_handle;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simDriverGet(uint32_t *count, ze_driver_handle_t *drivers) {
  return SIM_CALL(zeDriverGet, sim_driver_get(count, drivers));
}

static ze_result_t sim_driver_api_version(ze_driver_handle_t driver, ze_api_version_t *version) {
  const ze_result_t result = sim_check_driver(driver);
  if (result != ZE_RESULT_SUCCESS) return result;
  if (version == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  *version = (ze_api_version_t)SIM_HEADER_VERSION;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simDriverGetApiVersion(ze_driver_handle_t driver,
                                              ze_api_version_t *version) {
  return SIM_CALL(zeDriverGetApiVersion, sim_driver_api_version(driver, version));
}

static ze_result_t sim_driver_properties(ze_driver_handle_t driver,
                                         ze_driver_properties_t *properties) {
  const ze_result_t result = sim_check_driver(driver);
  ze_driver_memory_free_ext_properties_t *chained;
  size_t i;
  if (result != ZE_RESULT_SUCCESS) return result;
  if (properties == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  sim_check_stype(properties, ZE_STRUCTURE_TYPE_DRIVER_PROPERTIES, "ze_driver_properties_t");
  for (i = 0; i < sizeof properties->uuid.id; i++) properties->uuid.id[i] = sim_uuid_byte(i);
  properties->driverVersion = 1;
  /* All structures of a chain begin alike. */
  for (chained = properties->pNext; chained != NULL; chained = chained->pNext) {
    if (chained->stype == ZE_STRUCTURE_TYPE_DRIVER_MEMORY_FREE_EXT_PROPERTIES)
      chained->freePolicies = ZE_DRIVER_MEMORY_FREE_POLICY_EXT_FLAG_BLOCKING_FREE |
                              ZE_DRIVER_MEMORY_FREE_POLICY_EXT_FLAG_DEFER_FREE;
  }
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simDriverGetProperties(ze_driver_handle_t driver,
                                              ze_driver_properties_t *properties) {
  return SIM_CALL(zeDriverGetProperties, sim_driver_properties(driver, properties));
}

static ze_result_t sim_driver_ipc(ze_driver_handle_t driver,
                                  ze_driver_ipc_properties_t *properties) {
  const ze_result_t result = sim_check_driver(driver);
  if (result != ZE_RESULT_SUCCESS) return result;
  if (properties == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  sim_check_stype(properties, ZE_STRUCTURE_TYPE_DRIVER_IPC_PROPERTIES,
                  "ze_driver_ipc_properties_t");
  properties->flags = 0;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simDriverGetIpcProperties(ze_driver_handle_t driver,
                                                 ze_driver_ipc_properties_t *properties) {
  return SIM_CALL(zeDriverGetIpcProperties, sim_driver_ipc(driver, properties));
}

static ze_result_t sim_driver_extensions(ze_driver_handle_t driver, uint32_t *count,
                                         ze_driver_extension_properties_t *extensions) {
  static const ze_driver_extension_properties_t had[] = {
      {ZE_MEMORY_FREE_POLICIES_EXT_NAME, ZE_MEMORY_FREE_POLICIES_EXT_VERSION_CURRENT},
      {ZE_RELAXED_ALLOCATION_LIMITS_EXP_NAME, ZE_RELAXED_ALLOCATION_LIMITS_EXP_VERSION_CURRENT}};
  const ze_result_t result = sim_check_driver(driver);
  uint32_t fit;
  if (result != ZE_RESULT_SUCCESS) return result;
  if (count == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  fit = sim_give(count, sim.no_relaxed ? 1 : 2, extensions);
  if (fit != 0) memcpy(extensions, had, fit * sizeof had[0]);
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simDriverGetExtensionProperties(
    ze_driver_handle_t driver, uint32_t *count, ze_driver_extension_properties_t *extensions) {
  return SIM_CALL(zeDriverGetExtensionProperties, sim_driver_extensions(driver, count, extensions));
}

/* The controls, by name: for programs that are not linked with this library. */
typedef void (*sim_any_function)(void);

static const struct {
  const char *name;
  sim_any_function function;
} sim_controls[] = {
#define SIM_CONTROL(name) \
  { #name, (sim_any_function)name }
    SIM_CONTROL(ze_sim_reset),          SIM_CONTROL(ze_sim_violations),
    SIM_CONTROL(ze_sim_last_violation), SIM_CONTROL(ze_sim_expected),
    SIM_CONTROL(ze_sim_report),         SIM_CONTROL(ze_sim_live),
    SIM_CONTROL(ze_sim_seed),           SIM_CONTROL(ze_sim_delay),
    SIM_CONTROL(ze_sim_widen),          SIM_CONTROL(ze_sim_hold),
    SIM_CONTROL(ze_sim_step),           SIM_CONTROL(ze_sim_settle),
    SIM_CONTROL(ze_sim_lose_device),    SIM_CONTROL(ze_sim_fail),
    SIM_CONTROL(ze_sim_fail_no_more),   SIM_CONTROL(ze_sim_fired),
    SIM_CONTROL(ze_sim_calls),          SIM_CONTROL(ze_sim_limits),
    SIM_CONTROL(ze_sim_relaxed_limits), SIM_CONTROL(ze_sim_handed_out),
    SIM_CONTROL(ze_sim_handed_back),
#undef SIM_CONTROL
};

static ze_result_t sim_driver_function(ze_driver_handle_t driver, const char *name,
                                       void **function) {
  const ze_result_t result = sim_check_driver(driver);
  size_t i;
  if (result != ZE_RESULT_SUCCESS) return result;
  if (name == NULL || function == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  *function = NULL;
  for (i = 0; i < sizeof sim_controls / sizeof sim_controls[0]; i++) {
    if (strcmp(sim_controls[i].name, name) != 0) continue;
    /* POSIX has function pointers in void pointers, ISO C does not know them. */
    memcpy(function, &sim_controls[i].function, sizeof *function);
    return ZE_RESULT_SUCCESS;
  }
  return ZE_RESULT_ERROR_INVALID_ARGUMENT;
}

ze_result_t ZE_APICALL simDriverGetExtensionFunctionAddress(ze_driver_handle_t driver,
                                                            const char *name, void **function) {
  return SIM_CALL(zeDriverGetExtensionFunctionAddress, sim_driver_function(driver, name, function));
}

/* ---- device ---------------------------------------------------------------------------------- */

static ze_result_t sim_device_get(ze_driver_handle_t driver, uint32_t *count,
                                  ze_device_handle_t *devices) {
  const ze_result_t result = sim_check_driver(driver);
  if (result != ZE_RESULT_SUCCESS) return result;
  if (count == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  if (sim_give(count, 1, devices) != 0) devices[0] = sim_device_handle;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simDeviceGet(ze_driver_handle_t driver, uint32_t *count,
                                    ze_device_handle_t *devices) {
  return SIM_CALL(zeDeviceGet, sim_device_get(driver, count, devices));
}

/* What there is none of. */
static ze_result_t sim_device_has_none(ze_device_handle_t device, uint32_t *count) {
  const ze_result_t result = sim_check_device(device);
  if (result != ZE_RESULT_SUCCESS) return result;
  if (count == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  *count = 0;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simDeviceGetSubDevices(ze_device_handle_t device, uint32_t *count,
                                              ze_device_handle_t *devices) {
  (void)devices;
  return SIM_CALL(zeDeviceGetSubDevices, sim_device_has_none(device, count));
}

ze_result_t ZE_APICALL simDeviceGetCacheProperties(ze_device_handle_t device, uint32_t *count,
                                                   ze_device_cache_properties_t *properties) {
  (void)properties;
  return SIM_CALL(zeDeviceGetCacheProperties, sim_device_has_none(device, count));
}

/* Zeroes a structure of properties behind its stype and its chain. */
static ze_result_t sim_properties_of(ze_device_handle_t device, void *properties, size_t size,
                                     ze_structure_type_t stype, const char *name) {
  const ze_result_t result = sim_check_device(device);
  if (result != ZE_RESULT_SUCCESS) return result;
  if (properties == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  if (stype != ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES ||
      ((sim_header *)properties)->stype != ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES_1_2)
    sim_check_stype(properties, stype, name);
  memset((char *)properties + sizeof(sim_header), 0, size - sizeof(sim_header));
  return ZE_RESULT_SUCCESS;
}

#define SIM_PROPERTIES_OF(device, properties, stype) \
  sim_properties_of(device, properties, sizeof *(properties), stype, #stype)

static ze_result_t sim_device_properties(ze_device_handle_t device, ze_device_properties_t *p) {
  const ze_result_t result = SIM_PROPERTIES_OF(device, p, ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES);
  size_t i;
  if (result != ZE_RESULT_SUCCESS) return result;
  p->type = ZE_DEVICE_TYPE_GPU;
  p->coreClockRate = 1000;
  p->maxMemAllocSize = sim.max_alloc;
  p->maxHardwareContexts = 1024;
  p->numThreadsPerEU = p->physicalEUSimdWidth = p->numEUsPerSubslice = 1;
  p->numSubslicesPerSlice = p->numSlices = 1;
  /* A nanosecond, or so many of them in a second. */
  p->timerResolution = p->stype == ZE_STRUCTURE_TYPE_DEVICE_PROPERTIES_1_2 ? 1000000000 : 1;
  p->timestampValidBits = p->kernelTimestampValidBits = 64;
  for (i = 0; i < sizeof p->uuid.id; i++) p->uuid.id[i] = sim_uuid_byte(i);
  snprintf(p->name, sizeof p->name, "Level Zero CPU simulator");
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simDeviceGetProperties(ze_device_handle_t device,
                                              ze_device_properties_t *properties) {
  return SIM_CALL(zeDeviceGetProperties, sim_device_properties(device, properties));
}

static ze_result_t sim_device_compute(ze_device_handle_t device,
                                      ze_device_compute_properties_t *p) {
  const ze_result_t result =
      SIM_PROPERTIES_OF(device, p, ZE_STRUCTURE_TYPE_DEVICE_COMPUTE_PROPERTIES);
  if (result != ZE_RESULT_SUCCESS) return result;
  p->maxTotalGroupSize = p->maxGroupSizeX = p->maxGroupSizeY = p->maxGroupSizeZ = 1;
  p->maxGroupCountX = p->maxGroupCountY = p->maxGroupCountZ = 1;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simDeviceGetComputeProperties(ze_device_handle_t device,
                                                     ze_device_compute_properties_t *properties) {
  return SIM_CALL(zeDeviceGetComputeProperties, sim_device_compute(device, properties));
}

ze_result_t ZE_APICALL simDeviceGetModuleProperties(ze_device_handle_t device,
                                                    ze_device_module_properties_t *properties) {
  return SIM_CALL(
      zeDeviceGetModuleProperties,
      SIM_PROPERTIES_OF(device, properties, ZE_STRUCTURE_TYPE_DEVICE_MODULE_PROPERTIES));
}

ze_result_t ZE_APICALL simDeviceGetImageProperties(ze_device_handle_t device,
                                                   ze_device_image_properties_t *properties) {
  return SIM_CALL(zeDeviceGetImageProperties,
                  SIM_PROPERTIES_OF(device, properties, ZE_STRUCTURE_TYPE_DEVICE_IMAGE_PROPERTIES));
}

ze_result_t ZE_APICALL simDeviceGetExternalMemoryProperties(
    ze_device_handle_t device, ze_device_external_memory_properties_t *properties) {
  return SIM_CALL(
      zeDeviceGetExternalMemoryProperties,
      SIM_PROPERTIES_OF(device, properties, ZE_STRUCTURE_TYPE_DEVICE_EXTERNAL_MEMORY_PROPERTIES));
}

static ze_result_t sim_queue_groups(ze_device_handle_t device, uint32_t *count,
                                    ze_command_queue_group_properties_t *groups) {
  ze_result_t result = sim_check_device(device);
  if (result != ZE_RESULT_SUCCESS) return result;
  if (count == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  if (sim_give(count, 1, groups) == 0) return ZE_RESULT_SUCCESS;
  result = SIM_PROPERTIES_OF(device, groups, ZE_STRUCTURE_TYPE_COMMAND_QUEUE_GROUP_PROPERTIES);
  groups->flags =
      ZE_COMMAND_QUEUE_GROUP_PROPERTY_FLAG_COMPUTE | ZE_COMMAND_QUEUE_GROUP_PROPERTY_FLAG_COPY;
  groups->maxMemoryFillPatternSize = SIM_PATTERN;
  groups->numQueues = SIM_QUEUES;
  return result;
}

ze_result_t ZE_APICALL simDeviceGetCommandQueueGroupProperties(
    ze_device_handle_t device, uint32_t *count, ze_command_queue_group_properties_t *groups) {
  return SIM_CALL(zeDeviceGetCommandQueueGroupProperties, sim_queue_groups(device, count, groups));
}

static ze_result_t sim_device_memory(ze_device_handle_t device, uint32_t *count,
                                     ze_device_memory_properties_t *memories) {
  ze_result_t result = sim_check_device(device);
  if (result != ZE_RESULT_SUCCESS) return result;
  if (count == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  if (sim_give(count, 1, memories) == 0) return ZE_RESULT_SUCCESS;
  result = SIM_PROPERTIES_OF(device, memories, ZE_STRUCTURE_TYPE_DEVICE_MEMORY_PROPERTIES);
  memories->maxClockRate = 1000;
  memories->maxBusWidth = 64;
  memories->totalSize =
      sim.device_limit != UINT64_MAX ? sim.device_limit : SIM_DEFAULT_DEVICE_BYTES;
  snprintf(memories->name, sizeof memories->name, "memory of the host");
  return result;
}

ze_result_t ZE_APICALL simDeviceGetMemoryProperties(ze_device_handle_t device, uint32_t *count,
                                                    ze_device_memory_properties_t *memories) {
  return SIM_CALL(zeDeviceGetMemoryProperties, sim_device_memory(device, count, memories));
}

static ze_result_t sim_device_access(ze_device_handle_t device,
                                     ze_device_memory_access_properties_t *p) {
  const ze_memory_access_cap_flags_t all =
      ZE_MEMORY_ACCESS_CAP_FLAG_RW | ZE_MEMORY_ACCESS_CAP_FLAG_ATOMIC |
      ZE_MEMORY_ACCESS_CAP_FLAG_CONCURRENT | ZE_MEMORY_ACCESS_CAP_FLAG_CONCURRENT_ATOMIC;
  const ze_result_t result =
      SIM_PROPERTIES_OF(device, p, ZE_STRUCTURE_TYPE_DEVICE_MEMORY_ACCESS_PROPERTIES);
  if (result != ZE_RESULT_SUCCESS) return result;
  p->hostAllocCapabilities = p->deviceAllocCapabilities = all;
  p->sharedSingleDeviceAllocCapabilities = p->sharedCrossDeviceAllocCapabilities = all;
  return ZE_RESULT_SUCCESS; /* none for what malloc gives */
}

ze_result_t ZE_APICALL simDeviceGetMemoryAccessProperties(
    ze_device_handle_t device, ze_device_memory_access_properties_t *properties) {
  return SIM_CALL(zeDeviceGetMemoryAccessProperties, sim_device_access(device, properties));
}

static ze_result_t sim_device_p2p(ze_device_handle_t device, ze_device_handle_t peer,
                                  ze_device_p2p_properties_t *properties) {
  const ze_result_t result = sim_check_device(peer);
  if (result != ZE_RESULT_SUCCESS) return result;
  return SIM_PROPERTIES_OF(device, properties, ZE_STRUCTURE_TYPE_DEVICE_P2P_PROPERTIES);
}

ze_result_t ZE_APICALL simDeviceGetP2PProperties(ze_device_handle_t device, ze_device_handle_t peer,
                                                 ze_device_p2p_properties_t *properties) {
  return SIM_CALL(zeDeviceGetP2PProperties, sim_device_p2p(device, peer, properties));
}

static ze_result_t sim_device_peer(ze_device_handle_t device, ze_device_handle_t peer,
                                   ze_bool_t *can) {
  ze_result_t result = sim_check_device(device);
  if (result == ZE_RESULT_SUCCESS) result = sim_check_device(peer);
  if (result != ZE_RESULT_SUCCESS) return result;
  if (can == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  *can = 1; /* to itself */
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simDeviceCanAccessPeer(ze_device_handle_t device, ze_device_handle_t peer,
                                              ze_bool_t *can) {
  return SIM_CALL(zeDeviceCanAccessPeer, sim_device_peer(device, peer, can));
}

ze_result_t ZE_APICALL simDeviceGetStatus(ze_device_handle_t device) {
  return SIM_CALL(zeDeviceGetStatus, sim_check_device(device));
}

static ze_result_t sim_device_clock(ze_device_handle_t device, uint64_t *host, uint64_t *clock) {
  const ze_result_t result = sim_check_device(device);
  if (result != ZE_RESULT_SUCCESS) return result;
  if (host == NULL || clock == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  *host = *clock = sim_now_ns();
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simDeviceGetGlobalTimestamps(ze_device_handle_t device, uint64_t *host,
                                                    uint64_t *clock) {
  return SIM_CALL(zeDeviceGetGlobalTimestamps, sim_device_clock(device, host, clock));
}

/* ---- contexts -------------------------------------------------------------------------------- */

static ze_result_t sim_context_create(ze_driver_handle_t driver, const ze_context_desc_t *desc,
                                      uint32_t count, const ze_device_handle_t *devices,
                                      ze_context_handle_t *context) {
  ze_result_t result = sim_check_driver(driver);
  const sim_object *object;
  uint32_t i;
  if (result != ZE_RESULT_SUCCESS) return result;
  if (desc == NULL || context == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  if (devices == NULL && count != 0) return ZE_RESULT_ERROR_INVALID_SIZE;
  sim_check_stype(desc, ZE_STRUCTURE_TYPE_CONTEXT_DESC, "ze_context_desc_t");
  (void)sim_chained(desc, ZE_STRUCTURE_TYPE_CONTEXT_DESC, false);
  if (desc->flags > ZE_CONTEXT_FLAG_TBD) return ZE_RESULT_ERROR_INVALID_ENUMERATION;
  for (i = 0; i < count; i++) {
    result = sim_check_device(devices[i]);
    if (result != ZE_RESULT_SUCCESS) return result;
  }
  object = sim_object_new(SIM_CONTEXT, sizeof(sim_context), NULL);
  *context = (ze_context_handle_t)object->handle;
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simContextCreate(ze_driver_handle_t driver, const ze_context_desc_t *desc,
                                        ze_context_handle_t *context) {
  return SIM_CALL(zeContextCreate, sim_context_create(driver, desc, 0, NULL, context));
}

ze_result_t ZE_APICALL simContextCreateEx(ze_driver_handle_t driver, const ze_context_desc_t *desc,
                                          uint32_t count, ze_device_handle_t *devices,
                                          ze_context_handle_t *context) {
  return SIM_CALL(zeContextCreateEx, sim_context_create(driver, desc, count, devices, context));
}

static ze_result_t sim_context_destroy(ze_context_handle_t handle) {
  sim_context *context = sim_find(SIM_CONTEXT, handle);
  if (context == NULL) return sim_missing(handle);
  if (sim_owns_something(&context->object)) return ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE;
  sim_release(&context->object);
  return ZE_RESULT_SUCCESS;
}

ze_result_t ZE_APICALL simContextDestroy(ze_context_handle_t context) {
  return SIM_CALL_END(zeContextDestroy, context, sim_context_destroy(context));
}

static ze_result_t sim_context_status(ze_context_handle_t context) {
  return sim_find(SIM_CONTEXT, context) != NULL ? ZE_RESULT_SUCCESS : sim_missing(context);
}

ze_result_t ZE_APICALL simContextGetStatus(ze_context_handle_t context) {
  return SIM_CALL(zeContextGetStatus, sim_context_status(context));
}

static ze_result_t sim_context_barrier(ze_context_handle_t context, ze_device_handle_t device) {
  const ze_result_t result = sim_context_status(context);
  return result != ZE_RESULT_SUCCESS ? result : sim_check_device(device);
}

ze_result_t ZE_APICALL simContextSystemBarrier(ze_context_handle_t context,
                                               ze_device_handle_t device) {
  return SIM_CALL(zeContextSystemBarrier, sim_context_barrier(context, device));
}

/* Memory is always resident: only the arguments are looked at. */
static ze_result_t sim_context_resident(ze_context_handle_t handle, ze_device_handle_t device,
                                        const void *ptr, size_t size) {
  const sim_context *context = sim_find(SIM_CONTEXT, handle);
  const ze_result_t result = sim_check_device(device);
  if (context == NULL) return sim_missing(handle);
  if (result != ZE_RESULT_SUCCESS) return result;
  if (ptr == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  if (size == 0) return ZE_RESULT_ERROR_INVALID_SIZE;
  return sim_memory_checked(ptr, size, context) != NULL ? ZE_RESULT_SUCCESS
                                                        : ZE_RESULT_ERROR_INVALID_ARGUMENT;
}

ze_result_t ZE_APICALL simContextMakeMemoryResident(ze_context_handle_t context,
                                                    ze_device_handle_t device, void *ptr,
                                                    size_t size) {
  return SIM_CALL(zeContextMakeMemoryResident, sim_context_resident(context, device, ptr, size));
}

ze_result_t ZE_APICALL simContextEvictMemory(ze_context_handle_t context, ze_device_handle_t device,
                                             void *ptr, size_t size) {
  return SIM_CALL(zeContextEvictMemory, sim_context_resident(context, device, ptr, size));
}
