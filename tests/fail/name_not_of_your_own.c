/* HC_NAME must be a name that the header does not have itself, and a name. */
/* variants: hostcache empty */
/* expect 1: HC_NAME must be a name of your own: it is empty, or hostcache */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#ifdef VARIANT_hostcache
#define HC_NAME hostcache
#else
#define HC_NAME
#endif
#include "hostcache.h"
