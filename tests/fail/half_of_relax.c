/* variants: BEGIN END */
/* expect 1: define HC_CAPTURE_RELAX_.*, which HC_CAPTURE_RELAX_VARIANT needs */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#ifdef VARIANT_BEGIN
#define HC_CAPTURE_RELAX_BEGIN(ctx, mode_ptr) ((void)(ctx), (void)(mode_ptr), hostcache_done())
#else
#define HC_CAPTURE_RELAX_END(ctx, mode_ptr) ((void)(ctx), (void)(mode_ptr), hostcache_done())
#endif
#include "hostcache.h"

#include "use.h"
