/* hostcache.cpp - the caches of caches.h as allocators of works.h, by handle and by pointer. */

#include "allocators.h"
#include "caches.h"
#include "works.h"

namespace {

void must(hostcache_result result, const char *call) {
  if (result != HOSTCACHE_OK)
    bench::fail(std::string(call) + ": " + hostcache_result_string(result));
}

template <class cache, class named, auto create, auto destroy, auto alloc, auto record, auto free,
          auto empty_cache, auto stats>
class allocator {
 public:
  using block = named *;
  static constexpr bool streams = true;
  device_memory memory = {};

  allocator() { must(create(&made, nullptr, &memory), "create"); }
  ~allocator() { must(destroy(made), "destroy"); }
  allocator(const allocator &) = delete;
  allocator &operator=(const allocator &) = delete;

  block get(size_t size) {
    block got;
    if (alloc(made, size, &got) != HOSTCACHE_OK) bench::fail("alloc");
    return got;
  }

  void use(block got, device_stream *stream) {
    if (record(made, got, stream) != HOSTCACHE_OK) bench::fail("record_stream");
  }

  void give(block got) {
    if (free(made, got) != HOSTCACHE_OK) bench::fail("free");
  }

  bool empty() {
    hostcache_stats figures;
    must(empty_cache(made), "empty_cache");
    must(stats(made, &figures), "stats");
    return figures.reserved_bytes.current == 0 && memory.bytes == 0;
  }

 private:
  cache *made;
};

#define BY_HANDLE(name)                                                            \
  allocator<name, name##_block, name##_create, name##_destroy, name##_block_alloc, \
            name##_block_record_stream, name##_block_free, name##_empty_cache, name##_stats>
#define BY_POINTER(name)                                                                   \
  allocator<name, void, name##_create, name##_destroy, name##_alloc, name##_record_stream, \
            name##_free, name##_empty_cache, name##_stats>

}  // namespace

void add_hostcache() {
  using namespace bench;
  add<BY_HANDLE(events_cache)>("hostcache", everything);
  add<BY_POINTER(events_cache)>("hostcache_pointer", everything & ~memory);
}

void add_hostcache_variants() {
  using namespace bench;
  add<BY_HANDLE(timeline_cache)>("hostcache_timeline", everything);
  add<BY_POINTER(timeline_cache)>("hostcache_timeline_pointer",
                                  one_stream | streams | many_threads);
  add<BY_HANDLE(pooled_cache)>("hostcache_pooled", one_stream | streams);
  add<BY_HANDLE(unthreaded_cache)>("hostcache_unthreaded", one_thread | one_stream | streams);
  add<BY_HANDLE(library_cache)>("hostcache_library", one_thread | one_stream);
  add<BY_HANDLE(library_initial_cache)>("hostcache_library_initial", one_thread | one_stream);
}
