/* For behaviour.c: Level Zero, host memory on immediate command lists. */
#define HOSTCACHE_LEVEL_ZERO_IMPLEMENTATION
#include "backends/hostcache_level_zero.h"

#include "level_zero_device.h"
