/* A hook is expanded in one place. What a compiler says of a macro with the wrong number of
   arguments is two errors, the second because it then takes the macro's name for a variable's; more
   than that would mean more than one place. */
/* variants: HC_MEM_ALLOC HC_MEM_FREE HC_EVENT_CREATE HC_EVENT_DESTROY HC_EVENT_RECORD
             HC_EVENT_QUERY HC_EVENT_WAIT HC_STREAM_WAIT HC_TIMELINE_RECORD HC_TIMELINE_QUERY
             HC_TIMELINE_WAIT HC_FREE_FOREIGN */
/* expect 1 in gcc: macro "VARIANT" passed [0-9] arguments, but takes just 1 */
/* expect 1 in clang: too many arguments provided to function-like macro */
/* expect 1: 'VARIANT' (was not |un)declared|undeclared identifier 'VARIANT' */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#define HC_NAME pinned

#if defined VARIANT_HC_TIMELINE_RECORD || defined VARIANT_HC_TIMELINE_QUERY || \
    defined VARIANT_HC_TIMELINE_WAIT
#include "hooks_timeline.h"
#define HC_TIMELINE_WAIT(ctx, stream, value) hostcache_done()
#elif defined VARIANT_HC_FREE_FOREIGN
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#else
#include "hooks_event.h"
#define HC_EVENT_CREATE(ctx, stream, event_ptr) hostcache_done()
#define HC_EVENT_DESTROY(ctx, event_ptr) hostcache_done()
#define HC_EVENT_WAIT(ctx, event_ptr) hostcache_done()
#endif
#ifndef HC_NO_STREAMS
#define HC_STREAM_WAIT(ctx, stream) hostcache_done()
#endif

#if defined VARIANT_HC_MEM_ALLOC
#undef HC_MEM_ALLOC
#define HC_MEM_ALLOC(one) hostcache_done()
#elif defined VARIANT_HC_MEM_FREE
#undef HC_MEM_FREE
#define HC_MEM_FREE(one) hostcache_done()
#elif defined VARIANT_HC_EVENT_CREATE
#undef HC_EVENT_CREATE
#define HC_EVENT_CREATE(one) hostcache_done()
#elif defined VARIANT_HC_EVENT_DESTROY
#undef HC_EVENT_DESTROY
#define HC_EVENT_DESTROY(one) hostcache_done()
#elif defined VARIANT_HC_EVENT_RECORD
#undef HC_EVENT_RECORD
#define HC_EVENT_RECORD(one) hostcache_done()
#elif defined VARIANT_HC_EVENT_QUERY
#undef HC_EVENT_QUERY
#define HC_EVENT_QUERY(one) hostcache_done()
#elif defined VARIANT_HC_EVENT_WAIT
#undef HC_EVENT_WAIT
#define HC_EVENT_WAIT(one) hostcache_done()
#elif defined VARIANT_HC_STREAM_WAIT
#undef HC_STREAM_WAIT
#define HC_STREAM_WAIT(one) hostcache_done()
#elif defined VARIANT_HC_TIMELINE_RECORD
#undef HC_TIMELINE_RECORD
#define HC_TIMELINE_RECORD(one) hostcache_done()
#elif defined VARIANT_HC_TIMELINE_QUERY
#undef HC_TIMELINE_QUERY
#define HC_TIMELINE_QUERY(one) hostcache_done()
#elif defined VARIANT_HC_TIMELINE_WAIT
#undef HC_TIMELINE_WAIT
#define HC_TIMELINE_WAIT(one) hostcache_done()
#elif defined VARIANT_HC_FREE_FOREIGN
#define HC_FREE_FOREIGN(one) hostcache_done()
#else
#error "no such variant"
#endif
#include "hostcache.h"

#include "use.h"
