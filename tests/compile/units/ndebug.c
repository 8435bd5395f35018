/* Without asserts nothing that only they read may be left to warn about, tracked locks or not. */
#ifndef NDEBUG
#define NDEBUG
#endif
#define HOSTCACHE_DEBUG
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#define HC_MEM_IS_HOST
#include "hostcache.h"
