/* The Level Zero pack, in each of its choices, with the code of all in one file. */
#define HOSTCACHE_LEVEL_ZERO_IMPLEMENTATION
#define HOSTCACHE_IMPLEMENTATION
#define HC_NAME on_lists
#include "backends/hostcache_level_zero.h"
#include "hostcache.h"

#define HC_NAME on_queues
#define HC_LEVEL_ZERO_QUEUES
#include "backends/hostcache_level_zero.h"
#include "hostcache.h"

#define HC_NAME of_the_device
#define HC_LEVEL_ZERO_DEVICE
#include "backends/hostcache_level_zero.h"
#include "hostcache.h"

#define HC_NAME of_both
#define HC_LEVEL_ZERO_SHARED
#define HC_LEVEL_ZERO_QUEUES
#include "backends/hostcache_level_zero.h"
#include "hostcache.h"
