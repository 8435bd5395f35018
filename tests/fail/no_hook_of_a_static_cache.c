/* HC_STATIC emits the code by itself, and so needs the hooks. */
/* variants: events timeline no_streams */
/* expect 1: define HC_MEM_ALLOC */
/* expect 1: define HC_MEM_FREE */
/* expect 1 when events: define HC_EVENT_RECORD */
/* expect 1 when events: define HC_EVENT_QUERY */
/* expect 1 when timeline: define HC_TIMELINE_RECORD */
/* expect 1 when timeline: define HC_TIMELINE_QUERY */
#define HC_STATIC
#define HC_NAME pinned
#if defined VARIANT_events
#define HC_STREAM_T int
#define HC_EVENT_T int
#elif defined VARIANT_timeline
#define HC_STREAM_T int
#define HC_TIMELINE
#else
#define HC_NO_STREAMS
#endif
#include "hostcache.h"
