/* For scenarios.c: a stream has a rising counter. */
#include "sim/hooks_captures.h"
#include "sim/hooks_timeline.h"

#define MODE_POOLS

#define MODE_STREAMS
#define MODE_TIMELINE
