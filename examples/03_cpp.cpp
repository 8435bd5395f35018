/* 03_cpp.cpp - the cache from C++: buffers that free themselves, and do not wait when they do.

     cc -O2 -pthread -I. -c examples/03_cpp_cache.c -o cpp_cache.o
     c++ -std=c++11 -O2 -pthread -I. examples/03_cpp.cpp cpp_cache.o -o cpp && ./cpp

   What to learn: the functions are plain C, so a holder of thirty lines turns them into C++. It
   keeps the block's handle, which spares the cache looking a pointer up. */

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "03_cpp_cache.h"

namespace {

void check(hostcache_result result) {
  if (result != HOSTCACHE_OK) throw std::runtime_error(hostcache_result_string(result));
}

void check(hostcache_cpu_result result) {
  if (result != HOSTCACHE_CPU_OK) throw std::runtime_error(hostcache_cpu_result_string(result));
}

/* A staging buffer. It may go out of scope while streams use it, if they were named to used_by. */
class Buffer {
 public:
  Buffer(staging *cache, std::size_t size) : cache_(cache), block_(nullptr) {
    check(staging_block_alloc(cache, size, &block_));
  }
  Buffer(Buffer &&other) noexcept : cache_(other.cache_), block_(other.block_) {
    other.block_ = nullptr;
  }
  Buffer &operator=(Buffer &&other) noexcept {
    std::swap(cache_, other.cache_);
    std::swap(block_, other.block_);
    return *this;
  }
  Buffer(const Buffer &) = delete;
  Buffer &operator=(const Buffer &) = delete;
  ~Buffer() {
    staging_block_free(cache_, block_); /* what fails is the cache's to tell: config.on_error */
  }

  void used_by(hostcache_cpu_stream *stream) {
    check(staging_block_record_stream(cache_, block_, stream));
  }
  void *data() const { return staging_block_ptr(block_); }
  std::size_t size() const { return staging_block_size(block_); }
  bool locked() const { return staging_block_segment(block_, nullptr)->locked != 0; }

 private:
  staging *cache_;
  staging_block *block_;
};

/* The runtime, a stream and the cache. Variables end in reverse order: the cache, then the stream,
   which takes the end of its work with it, then the runtime. What the stream writes to comes before
   them all, so that it is still there, also when something throws. */
struct CloseCpu {
  void operator()(hostcache_cpu *cpu) const { hostcache_cpu_close(cpu); }
};
struct EndStream {
  void operator()(hostcache_cpu_stream *stream) const { hostcache_cpu_stream_destroy(stream); }
};
struct EndCache {
  void operator()(staging *cache) const {
    staging_synchronize(cache, UINT64_MAX);
    staging_destroy(cache);
  }
};

template <class T, class End>
using Owner = std::unique_ptr<T, End>;

int run() {
  constexpr std::size_t floats = 64 * 1024, bytes = floats * sizeof(float), rounds = 100;

  std::vector<float> device(floats * rounds);

  hostcache_cpu *opened_cpu;
  check(hostcache_cpu_open(&opened_cpu, nullptr));
  const Owner<hostcache_cpu, CloseCpu> cpu(opened_cpu);

  hostcache_cpu_stream *opened_stream;
  check(hostcache_cpu_stream_create(cpu.get(), &opened_stream));
  const Owner<hostcache_cpu_stream, EndStream> stream(opened_stream);

  staging *opened_cache;
  check(staging_create(&opened_cache, nullptr, cpu.get()));
  const Owner<staging, EndCache> cache(opened_cache);

  /* Each round fills a buffer and leaves it to the stream. The mark comes before the copy, so that
     nothing that throws can come between the two. */
  bool locked = true;
  for (std::size_t round = 0; round < rounds; round++) {
    Buffer buffer(cache.get(), bytes);
    const std::vector<float> source(floats, static_cast<float>(round));
    std::memcpy(buffer.data(), source.data(), bytes);
    buffer.used_by(stream.get());
    check(hostcache_cpu_copy(stream.get(), &device[round * floats], buffer.data(), bytes));
    locked = locked && buffer.locked();
  } /* freed here; the copy may not have begun */
  check(hostcache_cpu_stream_wait(stream.get()));

  for (std::size_t i = 0; i < device.size(); i++) {
    if (device[i] != static_cast<float>(i / floats)) {
      throw std::runtime_error("a buffer was handed out while the stream was reading it");
    }
  }

  hostcache_stats stats;
  check(staging_stats(cache.get(), &stats));
  std::printf("uploaded %zu x %zu KiB through %lld buffers (%s)\n", rounds, bytes / 1024,
              static_cast<long long>(stats.num_mem_alloc), locked ? "locked" : "not all locked");
  return 0;
}

}  // namespace

int main() {
  try {
    return run();
  } catch (const std::exception &error) {
    std::fprintf(stderr, "03_cpp: %s\n", error.what());
    return 1;
  }
}
