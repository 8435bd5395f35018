/* configs.c - random programs of configs, and of operations on the caches that they make, against
   the oracle of configs.h.

     model_configs                the tests; HOSTCACHE_MODEL_PROGRAMS says how many programs each
                                  device gets, HOSTCACHE_SEED which
     model_configs <file>...      runs files as programs, and tells what they do: a corpus of
                                  tests/fuzz/configs.c, or what the fuzzer found

   A program that breaks a rule is made as small as it can be, and printed with what it does, so
   that a unit test can be written from it. */

#include "configs.h"
#include "driver.h"
