/* tables.h - the functions that the tables of tables.c hold, one for each of Level Zero's that this
   driver has. What they do and which codes they give stands in Level Zero's specification. */

#ifndef LEVEL_ZERO_SIM_TABLES_H
#define LEVEL_ZERO_SIM_TABLES_H

#include "internal.h"

/* driver.c */
ze_result_t ZE_APICALL simInit(ze_init_flags_t flags);
ze_result_t ZE_APICALL simDriverGet(uint32_t *count, ze_driver_handle_t *drivers);
ze_result_t ZE_APICALL simDriverGetApiVersion(ze_driver_handle_t driver, ze_api_version_t *version);
ze_result_t ZE_APICALL simDriverGetProperties(ze_driver_handle_t driver,
                                              ze_driver_properties_t *properties);
ze_result_t ZE_APICALL simDriverGetIpcProperties(ze_driver_handle_t driver,
                                                 ze_driver_ipc_properties_t *properties);
ze_result_t ZE_APICALL simDriverGetExtensionProperties(
    ze_driver_handle_t driver, uint32_t *count, ze_driver_extension_properties_t *extensions);
ze_result_t ZE_APICALL simDriverGetExtensionFunctionAddress(ze_driver_handle_t driver,
                                                            const char *name, void **function);
ze_result_t ZE_APICALL simDeviceGet(ze_driver_handle_t driver, uint32_t *count,
                                    ze_device_handle_t *devices);
ze_result_t ZE_APICALL simDeviceGetSubDevices(ze_device_handle_t device, uint32_t *count,
                                              ze_device_handle_t *devices);
ze_result_t ZE_APICALL simDeviceGetCacheProperties(ze_device_handle_t device, uint32_t *count,
                                                   ze_device_cache_properties_t *properties);
ze_result_t ZE_APICALL simDeviceGetProperties(ze_device_handle_t device,
                                              ze_device_properties_t *properties);
ze_result_t ZE_APICALL simDeviceGetComputeProperties(ze_device_handle_t device,
                                                     ze_device_compute_properties_t *properties);
ze_result_t ZE_APICALL simDeviceGetModuleProperties(ze_device_handle_t device,
                                                    ze_device_module_properties_t *properties);
ze_result_t ZE_APICALL simDeviceGetImageProperties(ze_device_handle_t device,
                                                   ze_device_image_properties_t *properties);
ze_result_t ZE_APICALL simDeviceGetExternalMemoryProperties(
    ze_device_handle_t device, ze_device_external_memory_properties_t *properties);
ze_result_t ZE_APICALL simDeviceGetCommandQueueGroupProperties(
    ze_device_handle_t device, uint32_t *count, ze_command_queue_group_properties_t *groups);
ze_result_t ZE_APICALL simDeviceGetMemoryProperties(ze_device_handle_t device, uint32_t *count,
                                                    ze_device_memory_properties_t *memories);
ze_result_t ZE_APICALL simDeviceGetMemoryAccessProperties(
    ze_device_handle_t device, ze_device_memory_access_properties_t *properties);
ze_result_t ZE_APICALL simDeviceGetP2PProperties(ze_device_handle_t device, ze_device_handle_t peer,
                                                 ze_device_p2p_properties_t *properties);
ze_result_t ZE_APICALL simDeviceCanAccessPeer(ze_device_handle_t device, ze_device_handle_t peer,
                                              ze_bool_t *can);
ze_result_t ZE_APICALL simDeviceGetStatus(ze_device_handle_t device);
ze_result_t ZE_APICALL simDeviceGetGlobalTimestamps(ze_device_handle_t device, uint64_t *host,
                                                    uint64_t *clock);
ze_result_t ZE_APICALL simContextCreate(ze_driver_handle_t driver, const ze_context_desc_t *desc,
                                        ze_context_handle_t *context);
ze_result_t ZE_APICALL simContextCreateEx(ze_driver_handle_t driver, const ze_context_desc_t *desc,
                                          uint32_t count, ze_device_handle_t *devices,
                                          ze_context_handle_t *context);
ze_result_t ZE_APICALL simContextDestroy(ze_context_handle_t context);
ze_result_t ZE_APICALL simContextGetStatus(ze_context_handle_t context);
ze_result_t ZE_APICALL simContextSystemBarrier(ze_context_handle_t context,
                                               ze_device_handle_t device);
ze_result_t ZE_APICALL simContextMakeMemoryResident(ze_context_handle_t context,
                                                    ze_device_handle_t device, void *ptr,
                                                    size_t size);
ze_result_t ZE_APICALL simContextEvictMemory(ze_context_handle_t context, ze_device_handle_t device,
                                             void *ptr, size_t size);

/* memory.c */
ze_result_t ZE_APICALL simMemAllocHost(ze_context_handle_t context,
                                       const ze_host_mem_alloc_desc_t *desc, size_t size,
                                       size_t alignment, void **ptr);
ze_result_t ZE_APICALL simMemAllocDevice(ze_context_handle_t context,
                                         const ze_device_mem_alloc_desc_t *desc, size_t size,
                                         size_t alignment, ze_device_handle_t device, void **ptr);
ze_result_t ZE_APICALL simMemAllocShared(ze_context_handle_t context,
                                         const ze_device_mem_alloc_desc_t *device_desc,
                                         const ze_host_mem_alloc_desc_t *host_desc, size_t size,
                                         size_t alignment, ze_device_handle_t device, void **ptr);
ze_result_t ZE_APICALL simMemFree(ze_context_handle_t context, void *ptr);
ze_result_t ZE_APICALL simMemFreeExt(ze_context_handle_t context,
                                     const ze_memory_free_ext_desc_t *desc, void *ptr);
ze_result_t ZE_APICALL simMemGetAllocProperties(ze_context_handle_t context, const void *ptr,
                                                ze_memory_allocation_properties_t *properties,
                                                ze_device_handle_t *device);
ze_result_t ZE_APICALL simMemGetAddressRange(ze_context_handle_t context, const void *ptr,
                                             void **base, size_t *size);

/* lists.c */
ze_result_t ZE_APICALL simCommandQueueCreate(ze_context_handle_t context, ze_device_handle_t device,
                                             const ze_command_queue_desc_t *desc,
                                             ze_command_queue_handle_t *queue);
ze_result_t ZE_APICALL simCommandQueueDestroy(ze_command_queue_handle_t queue);
ze_result_t ZE_APICALL simCommandQueueSynchronize(ze_command_queue_handle_t queue,
                                                  uint64_t timeout);
ze_result_t ZE_APICALL simCommandQueueExecuteCommandLists(ze_command_queue_handle_t queue,
                                                          uint32_t count,
                                                          ze_command_list_handle_t *lists,
                                                          ze_fence_handle_t fence);
ze_result_t ZE_APICALL simCommandListCreate(ze_context_handle_t context, ze_device_handle_t device,
                                            const ze_command_list_desc_t *desc,
                                            ze_command_list_handle_t *list);
ze_result_t ZE_APICALL simCommandListCreateImmediate(ze_context_handle_t context,
                                                     ze_device_handle_t device,
                                                     const ze_command_queue_desc_t *desc,
                                                     ze_command_list_handle_t *list);
ze_result_t ZE_APICALL simCommandListDestroy(ze_command_list_handle_t list);
ze_result_t ZE_APICALL simCommandListClose(ze_command_list_handle_t list);
ze_result_t ZE_APICALL simCommandListReset(ze_command_list_handle_t list);
ze_result_t ZE_APICALL simCommandListHostSynchronize(ze_command_list_handle_t list,
                                                     uint64_t timeout);
ze_result_t ZE_APICALL simCommandListAppendMemoryCopy(ze_command_list_handle_t list, void *to,
                                                      const void *from, size_t size,
                                                      ze_event_handle_t signal, uint32_t wait_count,
                                                      ze_event_handle_t *waits);
ze_result_t ZE_APICALL simCommandListAppendMemoryFill(ze_command_list_handle_t list, void *to,
                                                      const void *pattern, size_t pattern_size,
                                                      size_t size, ze_event_handle_t signal,
                                                      uint32_t wait_count,
                                                      ze_event_handle_t *waits);
ze_result_t ZE_APICALL simCommandListAppendBarrier(ze_command_list_handle_t list,
                                                   ze_event_handle_t signal, uint32_t wait_count,
                                                   ze_event_handle_t *waits);
ze_result_t ZE_APICALL simCommandListAppendMemoryRangesBarrier(
    ze_command_list_handle_t list, uint32_t count, const size_t *sizes, const void **ranges,
    ze_event_handle_t signal, uint32_t wait_count, ze_event_handle_t *waits);
ze_result_t ZE_APICALL simCommandListAppendSignalEvent(ze_command_list_handle_t list,
                                                       ze_event_handle_t event);
ze_result_t ZE_APICALL simCommandListAppendEventReset(ze_command_list_handle_t list,
                                                      ze_event_handle_t event);
ze_result_t ZE_APICALL simCommandListAppendWaitOnEvents(ze_command_list_handle_t list,
                                                        uint32_t count, ze_event_handle_t *events);
ze_result_t ZE_APICALL simCommandListAppendWriteGlobalTimestamp(ze_command_list_handle_t list,
                                                                uint64_t *to,
                                                                ze_event_handle_t signal,
                                                                uint32_t wait_count,
                                                                ze_event_handle_t *waits);
ze_result_t ZE_APICALL simCommandListAppendMemoryPrefetch(ze_command_list_handle_t list,
                                                          const void *ptr, size_t size);
ze_result_t ZE_APICALL simCommandListAppendMemAdvise(ze_command_list_handle_t list,
                                                     ze_device_handle_t device, const void *ptr,
                                                     size_t size, ze_memory_advice_t advice);

/* events.c */
ze_result_t ZE_APICALL simEventPoolCreate(ze_context_handle_t context,
                                          const ze_event_pool_desc_t *desc, uint32_t count,
                                          ze_device_handle_t *devices,
                                          ze_event_pool_handle_t *pool);
ze_result_t ZE_APICALL simEventPoolDestroy(ze_event_pool_handle_t pool);
ze_result_t ZE_APICALL simEventCreate(ze_event_pool_handle_t pool, const ze_event_desc_t *desc,
                                      ze_event_handle_t *event);
ze_result_t ZE_APICALL simEventDestroy(ze_event_handle_t event);
ze_result_t ZE_APICALL simEventHostSignal(ze_event_handle_t event);
ze_result_t ZE_APICALL simEventHostReset(ze_event_handle_t event);
ze_result_t ZE_APICALL simEventHostSynchronize(ze_event_handle_t event, uint64_t timeout);
ze_result_t ZE_APICALL simEventQueryStatus(ze_event_handle_t event);
ze_result_t ZE_APICALL simFenceCreate(ze_command_queue_handle_t queue, const ze_fence_desc_t *desc,
                                      ze_fence_handle_t *fence);
ze_result_t ZE_APICALL simFenceDestroy(ze_fence_handle_t fence);
ze_result_t ZE_APICALL simFenceHostSynchronize(ze_fence_handle_t fence, uint64_t timeout);
ze_result_t ZE_APICALL simFenceQueryStatus(ze_fence_handle_t fence);
ze_result_t ZE_APICALL simFenceReset(ze_fence_handle_t fence);

#endif
