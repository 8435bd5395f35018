/* The model of the thread-locals, as a plugin that is loaded at run time may need it. */
#define HOSTCACHE_TLS_MODEL "global-dynamic"
#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#include "hooks_event.h"
#define HC_NAME pinned
#include "hostcache.h"

#include "hooks_memory.h"
#define HC_NAME tensors
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS /* each thread has a current cache */
#include "hostcache.h"
