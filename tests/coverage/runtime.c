/* runtime.c - what the programs that coverage.py builds get besides their own code.

   A child that ends by _exit writes its counters all the same. And the programs that
   interleave/explore.c steers are compiled for ThreadSanitizer: there the counters are atomics that
   ThreadSanitizer's library would count. They are no part of what is explored, and the threads are
   coroutines in one real thread, so a plain step is enough. */

#include <stdint.h>

int __llvm_profile_write_file(void);
void __real__exit(int status) __attribute__((noreturn));
void __wrap__exit(int status) __attribute__((noreturn));
uint64_t __tsan_atomic64_fetch_add(volatile uint64_t *at, uint64_t value, int order);
uint8_t __tsan_atomic8_fetch_or(volatile uint8_t *at, uint8_t bits, int order);

void __wrap__exit(int status) {
  (void)__llvm_profile_write_file();
  __real__exit(status);
}

uint64_t __tsan_atomic64_fetch_add(volatile uint64_t *at, uint64_t value, int order) {
  const uint64_t before = *at;
  (void)order;
  *at = before + value;
  return before;
}

uint8_t __tsan_atomic8_fetch_or(volatile uint8_t *at, uint8_t bits, int order) {
  const uint8_t before = *at;
  (void)order;
  *at = (uint8_t)(before | bits);
  return before;
}
