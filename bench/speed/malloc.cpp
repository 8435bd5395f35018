/* malloc.cpp - general allocators as allocators of works.h.

   Each is reached through pointers to its own functions, so that it does not replace the program's
   malloc, on which the others stand: glibc's as it is, the others from their libraries. */

#include <dlfcn.h>

#include "allocators.h"
#include "works.h"

namespace {

struct functions {
  void *(*malloc)(size_t);
  void (*free)(void *);
};

template <int which>
struct allocator {
  using block = void *;
  static constexpr bool streams = false;
  static inline functions call;
  device_memory memory = {};

  block get(size_t size) {
    const block got = call.malloc(size);
    if (!got) bench::fail("malloc");
    return got;
  }
  void give(block got) { call.free(got); }
  bool empty() { return true; } /* it need not: memory of the system can be taken back from it */
};

/* RTLD_LOCAL keeps a library's malloc to itself. */
[[maybe_unused]] functions from(const char *library, const char *malloc_name,
                                const char *free_name) {
  void *opened = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (!opened) bench::fail(dlerror());
  functions found;
  found.malloc = reinterpret_cast<void *(*)(size_t)>(dlsym(opened, malloc_name));
  found.free = reinterpret_cast<void (*)(void *)>(dlsym(opened, free_name));
  if (!found.malloc || !found.free) bench::fail(std::string(library) + " has no " + malloc_name);
  if (found.malloc == &std::malloc) bench::fail(std::string(library) + " replaced malloc");
  return found;
}

/* A volatile pointer, or the compiler would leave out malloc and free together. */
functions of_glibc() {
  static void *(*volatile malloc_itself)(size_t) = &std::malloc;
  static void (*volatile free_itself)(void *) = &std::free;
  return {malloc_itself, free_itself};
}

template <int which>
void add_one(const char *name, functions call) {
  allocator<which>::call = call;
  bench::add<allocator<which>>(name, bench::one_thread | bench::many_threads | bench::handoff);
}

}  // namespace

void add_malloc() {
  add_one<0>("glibc", of_glibc());
#ifdef BENCH_JEMALLOC
  add_one<1>("jemalloc", from(BENCH_JEMALLOC, "malloc", "free"));
#endif
#ifdef BENCH_MIMALLOC
  add_one<2>("mimalloc", from(BENCH_MIMALLOC, "mi_malloc", "mi_free"));
#endif
#ifdef BENCH_TCMALLOC
  add_one<3>("tcmalloc", from(BENCH_TCMALLOC, "tc_malloc", "tc_free"));
#endif
}
