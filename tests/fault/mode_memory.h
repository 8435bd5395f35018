/* For scenarios.c: neither streams nor events. */
#include "sim/hooks_memory.h"

#define HC_NO_STREAMS
