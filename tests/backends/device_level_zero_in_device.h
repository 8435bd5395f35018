/* For behaviour.c: Level Zero, device memory on immediate command lists. */
#define HC_LEVEL_ZERO_DEVICE
#define HOSTCACHE_LEVEL_ZERO_IMPLEMENTATION
#include "backends/hostcache_level_zero.h"

#include "level_zero_device.h"
