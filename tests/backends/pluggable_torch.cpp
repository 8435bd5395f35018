/* pluggable_torch.cpp - see pluggable_torch.h. */

#include "pluggable_torch.h"

#include <dlfcn.h>
#include <sys/types.h>

#include <atomic>
#include <cstdio>
#include <functional>
#include <map>
#include <mutex>
#include <stdexcept>
#include <utility>

namespace {

using pool_id = std::pair<unsigned long long, unsigned long long>;
using stream_filter = std::function<bool(torch_stream)>;

struct metadata {
  size_t size;
  int device;
  torch_stream stream;
};

std::atomic<long> filters_alive(0);

/* A filter with something to destroy, so that one which is called after its end is seen. */
struct filter_object {
  int kind;
  torch_filter ask;
  void *user;
  filter_object(int k, torch_filter a, void *u) : kind(k), ask(a), user(u) { ++filters_alive; }
  filter_object(const filter_object &other) : kind(other.kind), ask(other.ask), user(other.user) {
    ++filters_alive;
  }
  filter_object &operator=(const filter_object &) = delete;
  ~filter_object() {
    ask = nullptr;
    --filters_alive;
  }
  bool operator()(torch_stream stream) const {
    if (kind == TORCH_THROWS) throw std::runtime_error("the stream cannot be told");
    return ask(user, stream) != 0;
  }
};

/* The value of ctypes.cast(getattr(library, name), ctypes.c_void_p). */
uint64_t address(void *library, const char *name) {
  void *symbol = dlsym(library, name);
  if (!symbol) std::fprintf(stderr, "%s\n", dlerror());
  return reinterpret_cast<uintptr_t>(symbol);
}

template <typename type>
std::function<type> function_at(uint64_t address_of_it) {
  return reinterpret_cast<type *>(static_cast<uintptr_t>(address_of_it));
}

}  // namespace

struct torch_library {
  std::function<void *(size_t, int, torch_stream)> alloc;
  std::function<void(void *, size_t, int, torch_stream)> free;
  std::function<void(int)> init;
  std::function<void()> reset;
  std::function<void(double, int)> memory_fraction;
  std::function<void *(void *, size_t *)> base_alloc;
  std::function<void(void *, torch_stream)> record_stream;
  std::function<void(int, pool_id, stream_filter)> begin_allocate_to_pool;
  std::function<void(int, pool_id)> end_allocate_to_pool;
  std::function<void(int, pool_id)> release_pool;
  std::mutex lock;
  std::map<void *, metadata> allocated; /* LOCK: lock */
};

extern "C" {

torch_library *torch_plug(const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL); /* as ctypes.CDLL does */
  if (!library) {
    std::fprintf(stderr, "%s\n", dlerror());
    return nullptr;
  }
#define ADDRESS(name)                                         \
  const uint64_t name = address(library, "pluggable_" #name); \
  if (!name) return nullptr;
  TORCH_NAMES(ADDRESS)
#undef ADDRESS
  torch_library *t = new torch_library;
  t->alloc = function_at<void *(size_t, int, torch_stream)>(alloc);
  t->free = function_at<void(void *, size_t, int, torch_stream)>(free);
  t->init = function_at<void(int)>(init);
  t->reset = function_at<void()>(reset);
  t->memory_fraction = function_at<void(double, int)>(memory_fraction);
  t->base_alloc = function_at<void *(void *, size_t *)>(base_alloc);
  t->record_stream = function_at<void(void *, torch_stream)>(record_stream);
  t->begin_allocate_to_pool =
      function_at<void(int, pool_id, stream_filter)>(begin_allocate_to_pool);
  t->end_allocate_to_pool = function_at<void(int, pool_id)>(end_allocate_to_pool);
  t->release_pool = function_at<void(int, pool_id)>(release_pool);
  return t;
}

void torch_init(torch_library *t, int device_count) { t->init(device_count); }

void torch_empty_cache(torch_library *t) { t->reset(); }

void torch_set_memory_fraction(torch_library *t, double fraction, int device) {
  t->memory_fraction(fraction, device);
}

void *torch_raw_alloc(torch_library *t, size_t size, int device, torch_stream stream) {
  void *ptr = t->alloc(size, device, stream);
  std::lock_guard<std::mutex> hold(t->lock);
  t->allocated.emplace(ptr, metadata{size, device, stream});
  return ptr;
}

int torch_raw_delete(torch_library *t, void *ptr) {
  metadata data;
  {
    std::lock_guard<std::mutex> hold(t->lock);
    const auto found = t->allocated.find(ptr);
    if (found == t->allocated.end()) return 0;
    data = found->second;
    t->allocated.erase(found);
  }
  t->free(ptr, data.size, data.device, data.stream);
  return 1;
}

void *torch_base_allocation(torch_library *t, void *ptr, size_t *size) {
  return t->base_alloc(ptr, size);
}

void torch_record_stream(torch_library *t, void *ptr, torch_stream stream) {
  t->record_stream(ptr, stream);
}

void torch_begin_pool(torch_library *t, int device, uint64_t first, uint64_t second, int kind,
                      torch_filter filter, void *user) {
  stream_filter asked;
  if (kind != TORCH_LETS_ALL_IN) asked = filter_object(kind, filter, user);
  t->begin_allocate_to_pool(device, pool_id(first, second), std::move(asked));
}

void torch_end_pool(torch_library *t, int device, uint64_t first, uint64_t second) {
  t->end_allocate_to_pool(device, pool_id(first, second));
}

void torch_release_pool(torch_library *t, int device, uint64_t first, uint64_t second) {
  t->release_pool(device, pool_id(first, second));
}

long torch_filters_alive(void) { return filters_alive; }

void torch_free_anything(torch_library *t, void *ptr, int device) {
  t->free(ptr, 1, device, nullptr);
}

} /* extern "C" */
