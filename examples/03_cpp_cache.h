/* 03_cpp_cache.h - the cache that 03_cpp_cache.c implements in C and 03_cpp.cpp uses from C++.

   A file that includes this gets declarations; the one that defines the two IMPLEMENTATION macros
   before it gets the code as well. */

#ifndef CPP_CACHE_H
#define CPP_CACHE_H

#define HC_NAME staging
#include "backends/hostcache_cpu.h"
#include "hostcache.h"

#endif
