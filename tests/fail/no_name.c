/* expect 1: define HC_NAME, */
#define HC_STREAM_T int
#define HC_EVENT_T int
#include "hostcache.h"
