/* The pack for malloc's memory, with what is not its own and without; and declared alone. */
#define HOSTCACHE_IMPLEMENTATION
#define HC_NAME tensors
#include "backends/hostcache_malloc.h"
#include "hostcache.h"

#define HC_NAME passing
#define HC_MALLOC_FREES_FOREIGN
#define HC_HOST_ALLOCATOR
#define HC_TRACE
#define HC_CTX_T const char *
#include "backends/hostcache_malloc.h"
#include "hostcache.h"

#define HC_NAME elsewhere
#define HC_DECLARE
#include "backends/hostcache_malloc.h"
#include "hostcache.h"
