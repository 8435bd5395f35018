/* expect 1: define HC_STREAM_T, .*HC_NO_STREAMS */
#define HC_NAME pinned
#include "hostcache.h"
