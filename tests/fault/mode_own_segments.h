/* For scenarios.c: neither streams nor events, and blocks that are segments of their own. */
#include "sim/hooks_memory.h"

#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#define MODE_OWN_SEGMENTS
