/* No threads: nothing of the system is asked for. */
#define HOSTCACHE_THREADS HOSTCACHE_THREADS_NONE
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#include "hostcache.h"

#include "hooks_memory.h"
#define HC_NAME plain
#define HC_NO_STREAMS
#include "hostcache.h"

#include "hooks_memory.h"
#define HC_NAME tensors
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#include "hostcache.h"
