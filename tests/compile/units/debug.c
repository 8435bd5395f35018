/* HOSTCACHE_DEBUG: the order of the locks is tracked; and of caches of the host's memory, with all
   interfaces, of blocks that are segments of their own, and where streams may use what is free. */
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

#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME guarded
#define HC_MEM_IS_HOST
#define HC_POOLS
#define HC_TRACE
#define HC_ALLOC_EX
#define HC_HOST_ALLOCATOR
#define HC_DEVICE_ALLOCATOR
#include "hostcache.h"

#include "hooks_memory.h"
#define HC_NAME departing
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#define HC_MEM_IS_HOST
#define HC_STATIC
#include "hostcache.h"

#include "hooks_memory.h"
#include "hooks_timeline.h"
#define HC_NAME ordered
#define HC_STREAM_ORDERED
#define HC_MEM_IS_HOST
#include "hostcache.h"
