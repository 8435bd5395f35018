/* The interface of a shared library that hides all but what it says it exports. */
#include "runtime.h"

#define HC_NAME exported
#define HC_STREAM_T rt_stream
#define HC_EVENT_T rt_event
#define HC_API __attribute__((visibility("default")))
#include "hostcache.h"
