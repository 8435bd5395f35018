/* tables.c - what the loader asks for: tables of functions, one for each kind of object. */

#include "tables.h"

#include <level_zero/ze_ddi.h>
#include <level_zero/zes_ddi.h>
#include <level_zero/zet_ddi.h>

/* ---- filling a table ------------------------------------------------------------------------- */

typedef void (*sim_member)(void);

/* Stands in for functions of all types. Calling a function by another type is not C, but on every
   system that has Level Zero the caller passes and takes away the arguments, so that one which
   looks at none of them serves for all. */
static ze_result_t ZE_APICALL sim_unsupported(void) { return ZE_RESULT_ERROR_UNSUPPORTED_FEATURE; }

/* Every member that the loader's table has for certain begins as unsupported: all that our header
   knows if the loader is not older than it, else those of version 1.0. */
static ze_result_t sim_fill_table(ze_api_version_t version, void *table, size_t size,
                                  size_t size_of_1_0) {
  const sim_member member = (sim_member)sim_unsupported;
  const size_t filled = (uint32_t)version >= (uint32_t)SIM_HEADER_VERSION ? size : size_of_1_0;
  size_t at;
  if (table == NULL) return ZE_RESULT_ERROR_INVALID_NULL_POINTER;
  if (ZE_MAJOR_VERSION(version) != 1) return ZE_RESULT_ERROR_UNSUPPORTED_VERSION;
  for (at = 0; at < filled; at += sizeof member) memcpy((char *)table + at, &member, sizeof member);
  return ZE_RESULT_SUCCESS;
}

/* The export for a table that has functions of this driver. */
#define SIM_TABLE(name, type, last_of_1_0)                                                       \
  static void sim_set_##name(ze_api_version_t version, type *table);                             \
  ZE_DLLEXPORT ze_result_t ZE_APICALL zeGet##name##ProcAddrTable(ze_api_version_t version,       \
                                                                 type *table) {                  \
    const ze_result_t result = sim_fill_table(                                                   \
        version, table, sizeof *table, offsetof(type, last_of_1_0) + sizeof table->last_of_1_0); \
    if (result == ZE_RESULT_SUCCESS) sim_set_##name(version, table);                             \
    return result;                                                                               \
  }                                                                                              \
  static void sim_set_##name(ze_api_version_t version, type *table)

/* The export for a table of which this driver has nothing. */
#define SIM_EMPTY_TABLE(function, type)                                                 \
  ZE_DLLEXPORT ze_result_t ZE_APICALL function(ze_api_version_t version, type *table) { \
    return sim_fill_table(version, table, sizeof *table, 0);                            \
  }

/* Members are set only if the version that the loader asks for has them. */
#define SIM_SINCE(major, minor) ((uint32_t)version >= (uint32_t)ZE_MAKE_VERSION(major, minor))

/* ---- tables with functions ------------------------------------------------------------------- */

SIM_TABLE(Global, ze_global_dditable_t, pfnInit) {
  (void)version;
  table->pfnInit = simInit;
  /* One that does not work would keep the loader from falling back to zeInit. */
#if SIM_HEADER_HAS(1, 10)
  table->pfnInitDrivers = NULL;
#endif
}

SIM_TABLE(Driver, ze_driver_dditable_t, pfnGetExtensionProperties) {
  table->pfnGet = simDriverGet;
  table->pfnGetApiVersion = simDriverGetApiVersion;
  table->pfnGetProperties = simDriverGetProperties;
  table->pfnGetIpcProperties = simDriverGetIpcProperties;
  table->pfnGetExtensionProperties = simDriverGetExtensionProperties;
  if (SIM_SINCE(1, 1)) table->pfnGetExtensionFunctionAddress = simDriverGetExtensionFunctionAddress;
}

SIM_TABLE(Device, ze_device_dditable_t, pfnGetStatus) {
  table->pfnGet = simDeviceGet;
  table->pfnGetSubDevices = simDeviceGetSubDevices;
  table->pfnGetCacheProperties = simDeviceGetCacheProperties;
  table->pfnGetProperties = simDeviceGetProperties;
  table->pfnGetComputeProperties = simDeviceGetComputeProperties;
  table->pfnGetModuleProperties = simDeviceGetModuleProperties;
  table->pfnGetImageProperties = simDeviceGetImageProperties;
  table->pfnGetExternalMemoryProperties = simDeviceGetExternalMemoryProperties;
  table->pfnGetCommandQueueGroupProperties = simDeviceGetCommandQueueGroupProperties;
  table->pfnGetMemoryProperties = simDeviceGetMemoryProperties;
  table->pfnGetMemoryAccessProperties = simDeviceGetMemoryAccessProperties;
  table->pfnGetP2PProperties = simDeviceGetP2PProperties;
  table->pfnCanAccessPeer = simDeviceCanAccessPeer;
  table->pfnGetStatus = simDeviceGetStatus;
  if (SIM_SINCE(1, 1)) table->pfnGetGlobalTimestamps = simDeviceGetGlobalTimestamps;
}

SIM_TABLE(Context, ze_context_dditable_t, pfnEvictImage) {
  table->pfnCreate = simContextCreate;
  table->pfnDestroy = simContextDestroy;
  table->pfnGetStatus = simContextGetStatus;
  table->pfnSystemBarrier = simContextSystemBarrier;
  table->pfnMakeMemoryResident = simContextMakeMemoryResident;
  table->pfnEvictMemory = simContextEvictMemory;
  if (SIM_SINCE(1, 1)) table->pfnCreateEx = simContextCreateEx;
}

SIM_TABLE(CommandQueue, ze_command_queue_dditable_t, pfnSynchronize) {
  (void)version;
  table->pfnCreate = simCommandQueueCreate;
  table->pfnDestroy = simCommandQueueDestroy;
  table->pfnSynchronize = simCommandQueueSynchronize;
  table->pfnExecuteCommandLists = simCommandQueueExecuteCommandLists;
}

SIM_TABLE(CommandList, ze_command_list_dditable_t, pfnAppendLaunchMultipleKernelsIndirect) {
  (void)version;
  table->pfnCreate = simCommandListCreate;
  table->pfnCreateImmediate = simCommandListCreateImmediate;
  table->pfnDestroy = simCommandListDestroy;
  table->pfnClose = simCommandListClose;
  table->pfnReset = simCommandListReset;
  table->pfnAppendMemoryCopy = simCommandListAppendMemoryCopy;
  table->pfnAppendMemoryFill = simCommandListAppendMemoryFill;
  table->pfnAppendBarrier = simCommandListAppendBarrier;
  table->pfnAppendMemoryRangesBarrier = simCommandListAppendMemoryRangesBarrier;
  table->pfnAppendSignalEvent = simCommandListAppendSignalEvent;
  table->pfnAppendEventReset = simCommandListAppendEventReset;
  table->pfnAppendWaitOnEvents = simCommandListAppendWaitOnEvents;
  table->pfnAppendWriteGlobalTimestamp = simCommandListAppendWriteGlobalTimestamp;
  table->pfnAppendMemoryPrefetch = simCommandListAppendMemoryPrefetch;
  table->pfnAppendMemAdvise = simCommandListAppendMemAdvise;
#if SIM_HEADER_HAS(1, 10)
  if (SIM_SINCE(1, 10)) table->pfnHostSynchronize = simCommandListHostSynchronize;
#endif
}

SIM_TABLE(Mem, ze_mem_dditable_t, pfnCloseIpcHandle) {
  table->pfnAllocHost = simMemAllocHost;
  table->pfnAllocDevice = simMemAllocDevice;
  table->pfnAllocShared = simMemAllocShared;
  table->pfnFree = simMemFree;
  table->pfnGetAllocProperties = simMemGetAllocProperties;
  table->pfnGetAddressRange = simMemGetAddressRange;
  if (SIM_SINCE(1, 3)) table->pfnFreeExt = simMemFreeExt;
}

SIM_TABLE(EventPool, ze_event_pool_dditable_t, pfnCloseIpcHandle) {
  (void)version;
  table->pfnCreate = simEventPoolCreate;
  table->pfnDestroy = simEventPoolDestroy;
}

SIM_TABLE(Event, ze_event_dditable_t, pfnQueryKernelTimestamp) {
  (void)version;
  table->pfnCreate = simEventCreate;
  table->pfnDestroy = simEventDestroy;
  table->pfnHostSignal = simEventHostSignal;
  table->pfnHostReset = simEventHostReset;
  table->pfnHostSynchronize = simEventHostSynchronize;
  table->pfnQueryStatus = simEventQueryStatus;
}

SIM_TABLE(Fence, ze_fence_dditable_t, pfnReset) {
  (void)version;
  table->pfnCreate = simFenceCreate;
  table->pfnDestroy = simFenceDestroy;
  table->pfnHostSynchronize = simFenceHostSynchronize;
  table->pfnQueryStatus = simFenceQueryStatus;
  table->pfnReset = simFenceReset;
}

/* ---- tables without -------------------------------------------------------------------------- */

SIM_EMPTY_TABLE(zeGetDeviceExpProcAddrTable, ze_device_exp_dditable_t)
SIM_EMPTY_TABLE(zeGetImageProcAddrTable, ze_image_dditable_t)
SIM_EMPTY_TABLE(zeGetImageExpProcAddrTable, ze_image_exp_dditable_t)
SIM_EMPTY_TABLE(zeGetEventExpProcAddrTable, ze_event_exp_dditable_t)
SIM_EMPTY_TABLE(zeGetModuleProcAddrTable, ze_module_dditable_t)
SIM_EMPTY_TABLE(zeGetModuleBuildLogProcAddrTable, ze_module_build_log_dditable_t)
SIM_EMPTY_TABLE(zeGetKernelProcAddrTable, ze_kernel_dditable_t)
SIM_EMPTY_TABLE(zeGetKernelExpProcAddrTable, ze_kernel_exp_dditable_t)
SIM_EMPTY_TABLE(zeGetSamplerProcAddrTable, ze_sampler_dditable_t)
SIM_EMPTY_TABLE(zeGetPhysicalMemProcAddrTable, ze_physical_mem_dditable_t)
SIM_EMPTY_TABLE(zeGetVirtualMemProcAddrTable, ze_virtual_mem_dditable_t)
SIM_EMPTY_TABLE(zeGetFabricVertexExpProcAddrTable, ze_fabric_vertex_exp_dditable_t)
SIM_EMPTY_TABLE(zeGetFabricEdgeExpProcAddrTable, ze_fabric_edge_exp_dditable_t)
SIM_EMPTY_TABLE(zesGetDriverProcAddrTable, zes_driver_dditable_t)
SIM_EMPTY_TABLE(zesGetDeviceProcAddrTable, zes_device_dditable_t)
SIM_EMPTY_TABLE(zesGetSchedulerProcAddrTable, zes_scheduler_dditable_t)
SIM_EMPTY_TABLE(zesGetPerformanceFactorProcAddrTable, zes_performance_factor_dditable_t)
SIM_EMPTY_TABLE(zesGetPowerProcAddrTable, zes_power_dditable_t)
SIM_EMPTY_TABLE(zesGetFrequencyProcAddrTable, zes_frequency_dditable_t)
SIM_EMPTY_TABLE(zesGetEngineProcAddrTable, zes_engine_dditable_t)
SIM_EMPTY_TABLE(zesGetStandbyProcAddrTable, zes_standby_dditable_t)
SIM_EMPTY_TABLE(zesGetFirmwareProcAddrTable, zes_firmware_dditable_t)
SIM_EMPTY_TABLE(zesGetMemoryProcAddrTable, zes_memory_dditable_t)
SIM_EMPTY_TABLE(zesGetFabricPortProcAddrTable, zes_fabric_port_dditable_t)
SIM_EMPTY_TABLE(zesGetTemperatureProcAddrTable, zes_temperature_dditable_t)
SIM_EMPTY_TABLE(zesGetPsuProcAddrTable, zes_psu_dditable_t)
SIM_EMPTY_TABLE(zesGetFanProcAddrTable, zes_fan_dditable_t)
SIM_EMPTY_TABLE(zesGetLedProcAddrTable, zes_led_dditable_t)
SIM_EMPTY_TABLE(zesGetRasProcAddrTable, zes_ras_dditable_t)
SIM_EMPTY_TABLE(zesGetDiagnosticsProcAddrTable, zes_diagnostics_dditable_t)
SIM_EMPTY_TABLE(zetGetDeviceProcAddrTable, zet_device_dditable_t)
SIM_EMPTY_TABLE(zetGetContextProcAddrTable, zet_context_dditable_t)
SIM_EMPTY_TABLE(zetGetCommandListProcAddrTable, zet_command_list_dditable_t)
SIM_EMPTY_TABLE(zetGetModuleProcAddrTable, zet_module_dditable_t)
SIM_EMPTY_TABLE(zetGetKernelProcAddrTable, zet_kernel_dditable_t)
SIM_EMPTY_TABLE(zetGetMetricGroupProcAddrTable, zet_metric_group_dditable_t)
SIM_EMPTY_TABLE(zetGetMetricGroupExpProcAddrTable, zet_metric_group_exp_dditable_t)
SIM_EMPTY_TABLE(zetGetMetricProcAddrTable, zet_metric_dditable_t)
SIM_EMPTY_TABLE(zetGetMetricStreamerProcAddrTable, zet_metric_streamer_dditable_t)
SIM_EMPTY_TABLE(zetGetMetricQueryPoolProcAddrTable, zet_metric_query_pool_dditable_t)
SIM_EMPTY_TABLE(zetGetMetricQueryProcAddrTable, zet_metric_query_dditable_t)
SIM_EMPTY_TABLE(zetGetTracerExpProcAddrTable, zet_tracer_exp_dditable_t)
SIM_EMPTY_TABLE(zetGetDebugProcAddrTable, zet_debug_dditable_t)
