/* pytorch.cpp - PyTorch's own at::CachingHostAllocatorImpl over device.h, as an allocator of
   works.h.

   Its template asks for a stream and an event type and overrides for what a runtime does, as
   hostcache's hooks do. Here an event is a plain value, which it is faster with than with the
   pool of event objects that PyTorch's backends add. Headers and libc10 are all that it needs. */

#include <ATen/core/CachingHostAllocator.h>

#include "allocators.h"
#include "works.h"

namespace {

/* c10::Stream carries a 64-bit id: the address of ours. */
c10::Stream as_c10(device_stream *here) {
  return c10::Stream(c10::Stream::UNSAFE, c10::Device(c10::DeviceType::CPU, 0),
                     static_cast<c10::StreamId>(reinterpret_cast<intptr_t>(here)));
}

struct stream {
  device_stream *here;

  explicit stream(c10::Stream s) : here(reinterpret_cast<device_stream *>(s.id())) {}
  operator c10::Stream() const { return as_c10(here); }
  bool operator==(const stream &other) const { return here == other.here; }
};

}  // namespace

template <>
struct std::hash<stream> {
  size_t operator()(const stream &s) const noexcept { return std::hash<void *>()(s.here); }
};

namespace {

struct implementation final : at::CachingHostAllocatorImpl<stream, device_event> {
  device_memory memory = {};

  void allocate_host_memory(size_t size, void **ptr) override {
    if (device_get(&memory, size, ptr) != 0) bench::fail("PyTorch's allocator: no memory");
  }
  void free_block(at::HostBlock<stream> *block) override {
    device_give(&memory, block->ptr_, block->size_);
  }
  void record_stream(std::optional<std::vector<device_event>> &events, stream s) override {
    events->push_back(device_record(s.here));
  }
  bool query_event(device_event &event) override { return device_is_done(&event); }
};

/* A block is its pointer and a context, as in at::DataPtr. */
struct allocator {
  struct block {
    void *ptr, *context;
    explicit operator bool() const { return ptr != nullptr; }
  };
  static constexpr bool streams = true;
  implementation impl;
  device_memory &memory = impl.memory;

  block get(size_t size) {
    const auto got = impl.allocate(size);
    return {got.first, got.second};
  }
  void use(block got, device_stream *s) { impl.record_event(got.ptr, got.context, as_c10(s)); }
  void give(block got) { impl.free(got.context); }
  bool empty() {
    impl.empty_cache();
    return memory.bytes == 0;
  }
};

}  // namespace

void add_pytorch() { bench::add<allocator>("pytorch", bench::everything); }
