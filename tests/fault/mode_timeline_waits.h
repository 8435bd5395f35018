/* For scenarios.c: a stream has a rising counter; the hooks that wait are there, also
   those by which a stream waits for another one. */
#include "sim/hooks_timeline.h"

#include "sim/hooks_waits.h"

#define SIM_ORDERED_AFTER
#include "sim/hooks_ordered.h"

#define MODE_ORDERED

#define MODE_WAITS
#define MODE_STREAMS
#define MODE_TIMELINE
