/* The Level Zero pack with counter-based events, as headers newer than Debian's declare them: here
   they are declared by hand, so that this choice of the pack is compiled everywhere. */
#include <level_zero/ze_api.h>
#ifndef ZE_EVENT_POOL_COUNTER_BASED_EXP_NAME
#define ZE_EVENT_POOL_COUNTER_BASED_EXP_NAME "ZE_experimental_event_pool_counter_based"
#define ZE_STRUCTURE_TYPE_COUNTER_BASED_EVENT_POOL_EXP_DESC ((ze_structure_type_t)0x0002001d)
#define ZE_EVENT_POOL_COUNTER_BASED_EXP_FLAG_IMMEDIATE 1u
typedef struct ze_event_pool_counter_based_exp_desc_t {
  ze_structure_type_t stype;
  const void *pNext;
  uint32_t flags;
} ze_event_pool_counter_based_exp_desc_t;
#endif
#define HOSTCACHE_LEVEL_ZERO_IMPLEMENTATION
#define HOSTCACHE_IMPLEMENTATION
#define HC_NAME counting
#define HC_LEVEL_ZERO_COUNTERS
#include "backends/hostcache_level_zero.h"
#include "hostcache.h"
