/* For behaviour.c: Level Zero, host memory on command queues. */
#define HC_LEVEL_ZERO_QUEUES
#define LEVEL_ZERO_QUEUES
#define HOSTCACHE_LEVEL_ZERO_IMPLEMENTATION
#include "backends/hostcache_level_zero.h"

#include "level_zero_device.h"
