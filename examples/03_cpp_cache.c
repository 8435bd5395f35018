/* 03_cpp_cache.c - the code of the runtime and of the cache, in the one file that has it. */

#define HOSTCACHE_CPU_IMPLEMENTATION
#define HOSTCACHE_IMPLEMENTATION
#include "03_cpp_cache.h"
