/* memory.c - random programs of operations on a cache's memory, against the oracle of memory.h.

     model_memory                 the tests; HOSTCACHE_MODEL_PROGRAMS says how many programs each
                                  config gets, HOSTCACHE_SEED which
     model_memory <file>...       runs files as programs, and tells what they do: a corpus of
                                  tests/fuzz/memory.c, or what the fuzzer found

   A program that breaks a rule is made as small as it can be, and printed with what it does, so
   that a unit test can be written from it. */

#include "memory.h"
#include "driver.h"
