/* After windows.h with all its macros: HC_ACTION and its like, min, max, small, near, far. */
#ifdef _WIN32
#include <windows.h>
#endif

#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#include "hostcache.h"

#if defined(_WIN32) && !defined(HC_ACTION)
#error "hostcache.h undefined a macro of winuser.h"
#endif
