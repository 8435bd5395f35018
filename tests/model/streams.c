/* streams.c - random programs of operations on streams and events, in each mode, against the oracle
   of streams.h.

     model_streams                the tests; HOSTCACHE_MODEL_PROGRAMS says how many programs each
                                  config of each mode gets, HOSTCACHE_SEED which
     model_streams <file>...      runs files as programs, and tells what they do: a corpus of
                                  tests/fuzz/streams.c, or what the fuzzer found

   A program that breaks a rule is made as small as it can be, and printed with what it does, so
   that a unit test can be written from it. */

#include "streams.h"
#include "driver.h"
