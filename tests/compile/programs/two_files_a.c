/* Implements the first cache; declares the second, and does not implement it. */
#include "two_files.h"

#define HC_IMPLEMENT
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME first
#include "hostcache.h"
