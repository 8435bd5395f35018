/* expect 1: define HC_OWN_SEGMENTS and HC_SEGMENT_T, for HC_SEGMENT_FITS\(segment_ptr\) */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#define HC_NAME pinned
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#define HC_SEGMENT_FITS(segment_ptr) ((void)(segment_ptr), 1)
#include "hostcache.h"

#include "use.h"
