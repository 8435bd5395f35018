/* expect 1: HC_IMPLEMENT and HC_DECLARE exclude each other */
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#define HC_IMPLEMENT
#define HC_DECLARE
#include "hostcache.h"
