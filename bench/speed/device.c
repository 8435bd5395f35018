/* device.c - address space for the device of device.h, by mmap. */

#include "device.h"

#include <sys/mman.h>

device_stream device_streams[DEVICE_STREAMS] __attribute__((aligned(128)));

int device_get(device_memory *memory, size_t size, void **ptr) {
  uint64_t bytes, peak;
  *ptr = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (*ptr == MAP_FAILED) return -1;
  __atomic_add_fetch(&memory->gets, 1, __ATOMIC_RELAXED);
  bytes = __atomic_add_fetch(&memory->bytes, size, __ATOMIC_RELAXED);
  peak = __atomic_load_n(&memory->peak, __ATOMIC_RELAXED);
  while (peak < bytes && !__atomic_compare_exchange_n(&memory->peak, &peak, bytes, 0,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
    continue;
  return 0;
}

int device_give(device_memory *memory, void *ptr, size_t size) {
  __atomic_sub_fetch(&memory->bytes, size, __ATOMIC_RELAXED);
  return munmap(ptr, size);
}
