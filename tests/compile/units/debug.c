/* HOSTCACHE_DEBUG: the order of the locks is tracked. */
#define HOSTCACHE_DEBUG
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME by_event
#include "hostcache.h"

#include "hooks_memory.h"
#include "hooks_timeline.h"
#define HC_NAME by_value
#include "hostcache.h"
