/* configs.c - a target for libFuzzer: its bytes are configs, and operations on the caches that they
   make, run against the oracle of tests/model/configs.h, with every rule compared after every step.
   What it finds is printed with what it does; `model_configs <file>` runs it again, without a
   fuzzer.

   tests/fuzz/run.sh runs it, and tests/fuzz/corpus/configs holds what it starts from. */

#include "model/configs.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static model m; /* large, and zeroed by each run */
  if (model_run(&m, bytes, size, NULL, 0)) return 0;
  (void)model_run(&m, bytes, size, stderr, 0);
  abort();
}
