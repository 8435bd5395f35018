/* What two_files.c uses of the caches that two_files_a.c and two_files_b.c implement. */
#include "runtime.h"

#define HC_NAME first
#define HC_STREAM_T rt_stream
#define HC_EVENT_T rt_event
#include "hostcache.h"

#define HC_NAME second
#define HC_NO_STREAMS
#include "hostcache.h"

int use_second(void);
