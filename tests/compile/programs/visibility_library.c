/* The library: built with -fvisibility=hidden, so that only HC_API makes a function visible. */
#include "visibility.h"

#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME exported
#define HC_API __attribute__((visibility("default")))
#include "hostcache.h"
