/* hostcache_other.h is the header with another HOSTCACHE_VERSION, made by check.py. */
/* variants: declared implemented */
/* expect 1: two versions of hostcache.h */
#ifdef VARIANT_implemented
#define HOSTCACHE_IMPLEMENTATION
#endif
#include "hooks_memory.h"
#define HC_NAME pinned
#define HC_NO_STREAMS
#include "hostcache.h"

#include "use.h"

#include "hooks_memory.h"
#define HC_NAME other
#define HC_NO_STREAMS
#include "hostcache_other.h"
