/* streams.c - a target for libFuzzer: its bytes are a program of operations on streams and events
   in one of the modes, run against the oracle of tests/model/streams.h, with every rule compared
   after every step. What it finds is printed with what it does; `model_streams <file>` runs it
   again, without a fuzzer.

   tests/fuzz/run.sh runs it, and tests/fuzz/corpus/streams holds what it starts from. */

#include "model/streams.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static model m; /* large, and zeroed by each run */
  if (model_run(&m, bytes, size, NULL, 0)) return 0;
  (void)model_run(&m, bytes, size, stderr, 0);
  abort();
}
