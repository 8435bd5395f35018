/* Caches of every kind in one file. HOSTCACHE_IMPLEMENTATION emits each that defines hooks, but for
   the one that says HC_DECLARE; the last says it by itself. */
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME by_event
#include "hostcache.h"

#include "hooks_memory.h"
#include "hooks_timeline.h"
#define HC_NAME by_value
#include "hostcache.h"

#include "hooks_memory.h"
#define HC_NAME plain
#define HC_NO_STREAMS
#include "hostcache.h"

#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME only_declared
#define HC_DECLARE
#include "hostcache.h"

#define HC_NAME without_hooks
#define HC_NO_STREAMS
#include "hostcache.h"

struct only_declared { /* were it implemented, this would be its second definition */
  int nothing;
};
struct without_hooks {
  int nothing;
};
