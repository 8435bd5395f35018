/* The Level Zero pack where nothing is implemented: types and prototypes alone. */
#define HC_NAME pinned
#define HC_DECLARE
#include "backends/hostcache_level_zero.h"
#include "hostcache.h"
