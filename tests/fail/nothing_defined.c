/* expect 1: define HC_NAME, */
/* expect 1: define HC_STREAM_T, */
#include "hostcache.h"
