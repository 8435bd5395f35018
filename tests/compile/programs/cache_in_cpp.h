/* The cache that a C++ file implements and a C program uses. */
#include "runtime.h"

#define HC_NAME pinned
#define HC_STREAM_T rt_stream
#define HC_EVENT_T rt_event
#include "hostcache.h"
