/* Everything that the header needs from below, replaced. */
#include "runtime.h"

static inline uint64_t my_now(void) { return 7; }

#define HOSTCACHE_ASSERT(condition) ((void)(condition))
#define HOSTCACHE_MALLOC(size) malloc(size)
#define HOSTCACHE_FREE(ptr) free(ptr)
#define HOSTCACHE_NOW_NS() my_now()
#define HOSTCACHE_BUDGET_ROOT "/somewhere/else"
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#include "hostcache.h"
