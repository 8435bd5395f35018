/* expect 1: HC_ALLOC_EX.*HC_MEM_ALLOC_ON_NODE */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_event.h"
#include "hooks_memory.h"
#define HC_NAME pinned
#define HC_MEM_ALLOC_ON_NODE(ctx, size, align, node, ptr_out) \
  ((void)(ctx), (void)(size), (void)(align), (void)(node), (void)(ptr_out), hostcache_done())
#include "hostcache.h"

#include "use.h"
