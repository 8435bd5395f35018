/* Declared twice, then implemented, then declared again. */
#include "runtime.h"

#define HC_NAME pinned
#define HC_STREAM_T rt_stream
#define HC_EVENT_T rt_event
#include "hostcache.h"

#define HC_NAME pinned
#define HC_STREAM_T rt_stream
#define HC_EVENT_T rt_event
#include "hostcache.h"

#define HC_IMPLEMENT
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#include "hostcache.h"

#define HC_DECLARE
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#include "hostcache.h"
