/* For scenarios.c: a stream has a rising counter; the hooks that wait are there. */
#include "sim/hooks_timeline.h"

#include "sim/hooks_waits.h"

#define MODE_WAITS
#define MODE_STREAMS
#define MODE_TIMELINE
