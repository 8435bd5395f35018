/* floor.cpp - the floor of floor.h as an allocator of works.h. */

#include "allocators.h"
#include "floor.h"
#include "works.h"

namespace {

struct allocator {
  using block = floor_block *;
  static constexpr bool streams = true;
  /* The lists are the threads' own, and outlive the allocator; so does what counts their memory. */
  static inline device_memory memory;

  block get(size_t size) {
    const block got = floor_get(&memory, size);
    if (!got) bench::fail("the floor: no memory");
    return got;
  }
  void use(block got, device_stream *stream) { floor_use(got, stream); }
  void give(block got) { floor_give(got); }
  bool empty() { return true; } /* it cannot */
};

}  // namespace

void add_floor() {
  using namespace bench;
  add<allocator>("floor", one_thread | many_threads | one_stream | streams);
}
