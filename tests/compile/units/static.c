/* HC_STATIC: emits the code, and nothing of it need be used. */
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME by_event
#define HC_STATIC
#include "hostcache.h"

#include "hooks_memory.h"
#include "hooks_timeline.h"
#define HC_NAME by_value
#define HC_STATIC
#include "hostcache.h"

#include "hooks_memory.h"
#define HC_NAME plain
#define HC_NO_STREAMS
#define HC_STATIC
#include "hostcache.h"
