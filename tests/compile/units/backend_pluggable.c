/* The pluggable allocator: its code, and its declarations once more. */
#define HOSTCACHE_PLUGGABLE_IMPLEMENTATION
#include "backends/hostcache_pluggable.h"
#include "hostcache.h"

#include "backends/hostcache_pluggable.h"

#include "backends/hostcache_pluggable.h"
#include "hostcache.h"

#include "backends/hostcache_pluggable.h"
