// The implementation, in C++: its hooks may use whatever C++ has.
#include "cache_in_cpp.h"

#include <new>

namespace {

hostcache_status get(std::size_t size, std::size_t align, void **ptr) {
  try {
    char *raw = new char[size + align + sizeof(void *)];
    uintptr_t address = reinterpret_cast<uintptr_t>(raw) + sizeof(void *);
    address += (align - address % align) % align;
    *ptr = reinterpret_cast<void *>(address);
    static_cast<void **>(*ptr)[-1] = raw;
    return hostcache_done();
  } catch (const std::bad_alloc &) {
    return hostcache_out_of_memory(1);
  }
}

hostcache_status give_back(void *ptr) {
  delete[] static_cast<char *>(static_cast<void **>(ptr)[-1]);
  return hostcache_done();
}

}  // namespace

#define HOSTCACHE_IMPLEMENTATION
#include "hooks_event.h"
#define HC_NAME pinned
#define HC_MEM_ALLOC(ctx, size, align, ptr_out) ((void)(ctx), get(size, align, ptr_out))
#define HC_MEM_FREE(ctx, ptr, size) ((void)(ctx), (void)(size), give_back(ptr))
#include "hostcache.h"
