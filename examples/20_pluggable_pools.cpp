// 20_pluggable_pools.cpp - private pools for 20_pluggable.c, which PyTorch opens for a graph that
// is captured and for torch.cuda.use_mem_pool.
//
// PyTorch casts the addresses to functions that take a std::function and a std::pair by value. As
// these are the types of the C++ library, this file and PyTorch must be compiled with the same one.

#include "20_pluggable.h"

#include <cstdio>
#include <functional>
#include <map>
#include <mutex>
#include <utility>

namespace {

using pool_id = std::pair<unsigned long long, unsigned long long>;  // c10::MempoolId_t
using stream_filter = std::function<bool(torch_stream)>;

// A filter lives as long as its pool is open. LOCK: lock; a filter is called without it, and stays
// where it is while others are added and removed.
std::mutex lock;
std::map<std::pair<int, pool_id>, stream_filter> filters;

hostcache_pool_id pool_of(pool_id id) { return hostcache_pool_id{id.first, id.second}; }

// Whom the filter cannot tell, as it throws, is let in: that can only keep memory too long.
int let_in(void *user, const void *stream) {
  try {
    const stream_filter &filter = *static_cast<const stream_filter *>(user);
    return filter(pluggable_handle(*static_cast<const pluggable_stream *>(stream)));
  } catch (...) {
    return 1;
  }
}

void tell(const char *what, hostcache_result result) {
  if (result != HOSTCACHE_OK)
    std::fprintf(stderr, "%s: %s\n", what, hostcache_result_string(result));
}

// Keeps a filter; NULL if the pool is open.
stream_filter *keep(int device, pool_id id, stream_filter filter) {
  std::lock_guard<std::mutex> hold(lock);
  auto added = filters.emplace(std::make_pair(device, id), std::move(filter));
  return added.second ? &added.first->second : nullptr;
}

void let_go(int device, pool_id id) {
  std::lock_guard<std::mutex> hold(lock);
  filters.erase(std::make_pair(device, id));
}

}  // namespace

extern "C" {

PLUGGABLE_API void pluggable_begin_allocate_to_pool(int device, pool_id id, stream_filter filter);
PLUGGABLE_API void pluggable_end_allocate_to_pool(int device, pool_id id);
PLUGGABLE_API void pluggable_release_pool(int device, pool_id id);

// What the filter lets in, or all where there is none, comes from this pool until it is closed.
void pluggable_begin_allocate_to_pool(int device, pool_id id, stream_filter filter) {
  stream_filter *kept = keep(device, id, std::move(filter));
  hostcache_result result = HOSTCACHE_ERR_ARGUMENT;
  if (kept) {
    result = plugged_begin_allocate_to_pool(pluggable_cache(device), pool_of(id),
                                            *kept ? let_in : nullptr, kept);
    if (result != HOSTCACHE_OK) let_go(device, id);
  }
  tell("pluggable_begin_allocate_to_pool", result);
}

void pluggable_end_allocate_to_pool(int device, pool_id id) {
  const hostcache_result result =
      plugged_end_allocate_to_pool(pluggable_cache(device), pool_of(id));
  if (result == HOSTCACHE_OK) let_go(device, id);  // nobody is in the filter any more
  tell("pluggable_end_allocate_to_pool", result);
}

// What the pool kept is everybody's. A torch.cuda.MemPool releases at its end what it had retained
// without telling us, and what is no pool any more by then: that is no failure.
void pluggable_release_pool(int device, pool_id id) {
  const hostcache_result result = plugged_release_pool(pluggable_cache(device), pool_of(id));
  if (result != HOSTCACHE_ERR_NOT_FOUND) tell("pluggable_release_pool", result);
}

}  // extern "C"
