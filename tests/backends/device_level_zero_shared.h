/* For behaviour.c: Level Zero, shared memory on immediate command lists. */
#define HC_LEVEL_ZERO_SHARED
#define HOSTCACHE_LEVEL_ZERO_IMPLEMENTATION
#include "backends/hostcache_level_zero.h"

#include "level_zero_device.h"
