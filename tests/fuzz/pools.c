/* pools.c - a target for libFuzzer: its bytes are a program of private pools, captures and
   checkpoints, run against the oracle of tests/model/pools.h, which looks after every step. What it
   finds is told by the assertion that failed; `model_pools <file>` names the operations that lead
   to it, without a fuzzer.

   tests/fuzz/run.sh runs it, and tests/fuzz/corpus/pools holds what it starts from. */

#include "model/pools_caches.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* No test of cmocka is around the program: what fails is to end it so that libFuzzer sees it. */
int LLVMFuzzerInitialize(int *argc, char ***argv) {
  (void)argc;
  (void)argv;
  return setenv("CMOCKA_TEST_ABORT", "1", 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  pools_run(bytes, size);
  return 0;
}
