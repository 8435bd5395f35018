/* The CPU runtime, and its two packs. */
#define HOSTCACHE_CPU_IMPLEMENTATION
#define HOSTCACHE_IMPLEMENTATION
#define HC_NAME by_value
#include "backends/hostcache_cpu.h"
#include "hostcache.h"

#define HC_NAME by_event
#define HC_CPU_EVENTS
#include "backends/hostcache_cpu.h"
#include "hostcache.h"
