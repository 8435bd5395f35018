/* works.h - what bench_speed lets each allocator do.

   A work is a function template over an allocator, so that nothing stands between the two but what
   the allocator's own user would call. An allocator is a type with

     using block = ...;                    what get returns: a handle or a pointer
     block get(size_t size);
     void use(block, device_stream *);     the block is used on the stream; where `streams`
     void give(block);                     frees it
     bool empty();                         frees what is cached; false: not all of it. No use is
                                           pending, and other threads that used it sleep
     device_memory memory;                 what it holds of device.h; all zero where it does not
                                           get its memory there
     static constexpr bool streams;

   and one object of it serves all threads of one run of one work. add<allocator>(name, works)
   puts it into the program's list; speed.cpp runs the list. One iteration of a work is one block
   got and freed, unless the work says otherwise. What a work does first is not measured: it
   fills the caches. */

#ifndef BENCH_WORKS_H
#define BENCH_WORKS_H

#include <benchmark/benchmark.h>
#include <pthread.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "device.h"

namespace bench {

constexpr size_t kib = 1024;

[[noreturn]] inline void fail(const std::string &what) {
  std::fprintf(stderr, "bench_speed: %s\n", what.c_str());
  std::exit(1);
}

/* ---- the list ------------------------------------------------------------------------------- */

/* Which works make sense for an allocator: a sum of these. */
enum : unsigned {
  one_thread = 1,
  many_threads = 2,
  one_stream = 4,
  streams = 8,  /* the other works with streams */
  handoff = 16, /* a block may be freed by another thread */
  memory = 32,  /* figures that are counts and bytes */
  everything = 63
};

struct entry {
  std::string work, allocator;
  int threads;
  bool once; /* a figure that is no time */
  void (*function)(benchmark::State &);
  void (*begin)(const benchmark::State &);
  void (*end)(const benchmark::State &);
};

std::vector<entry> &entries();
const std::vector<int> &thread_counts(); /* 2 and more, as many as have a processor each */

/* Where bytes reserved by blocks freed are written to, as CSV; NULL: nowhere. */
extern std::FILE *series;

/* ---- what the threads of a run share -------------------------------------------------------- */

template <class A>
struct run {
  static inline A *allocator;
  static inline pthread_barrier_t meeting;
  static inline std::string name; /* of the allocator */

  static void open(unsigned threads) {
    allocator = new A;
    pthread_barrier_init(&meeting, nullptr, threads);
  }

  static void close() {
    delete allocator;
    pthread_barrier_destroy(&meeting);
  }

  static void begin(const benchmark::State &state) { open(static_cast<unsigned>(state.threads())); }

  static void end(const benchmark::State &) { close(); }

  /* Each thread calls this when it has freed all its blocks, and its streams are done. One of them
     empties the cache while the others go to sleep, with whatever they keep; then nothing may be
     left. */
  static void check_that_it_empties() {
    if (pthread_barrier_wait(&meeting) == PTHREAD_BARRIER_SERIAL_THREAD) {
      if (!allocator->empty()) fail(name + " still holds memory when all is free and done");
    }
    pthread_barrier_wait(&meeting);
  }
};

inline device_stream *streams_of(int thread) {
  return &device_streams[thread * DEVICE_STREAMS_EACH];
}

/* ---- works without streams ------------------------------------------------------------------ */

template <class A>
void hit(benchmark::State &state) {
  A &a = *run<A>::allocator;
  for (int i = 0; i < 1000; i++) a.give(a.get(64 * kib));
  for (auto _ : state) a.give(a.get(64 * kib));
  run<A>::check_that_it_empties();
}

/* 64 blocks are got, then freed. */
template <class A>
void batch(benchmark::State &state) {
  constexpr int count = 64;
  A &a = *run<A>::allocator;
  typename A::block blocks[count];
  const auto once = [&] {
    for (auto &block : blocks) block = a.get(64 * kib);
    for (auto &block : blocks) a.give(block);
  };
  for (int i = 0; i < 16; i++) once();
  while (state.KeepRunningBatch(count)) once();
  run<A>::check_that_it_empties();
}

/* A live block, drawn at random, is replaced by one of another size, log-uniform from 4 KiB to
   16 MiB. The draws are made once, and gone through in a circle. */
struct replacement {
  uint32_t slot, size;
};

constexpr size_t mixed_live = 256, mixed_draws = 32768;

inline const std::vector<replacement> &replacements() {
  static const std::vector<replacement> all = [] {
    std::vector<replacement> made(mixed_draws);
    uint64_t state = 1;
    const auto next = [&state] { /* splitmix64 */
                                 uint64_t x = state += UINT64_C(0x9e3779b97f4a7c15);
                                 x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
                                 x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
                                 return x ^ (x >> 31);
    };
    for (auto &one : made) {
      const double part = static_cast<double>(next() >> 11) * 0x1p-53;
      one.slot = static_cast<uint32_t>(next() % mixed_live);
      one.size = static_cast<uint32_t>(std::exp2(12 + 12 * part));
    }
    return made;
  }();
  return all;
}

/* The live blocks of one thread, and its place in the circle. */
template <class A>
struct live {
  A &a;
  const std::vector<replacement> &draws = replacements();
  size_t at;
  typename A::block blocks[mixed_live];
  size_t sizes[mixed_live];

  live(A &allocator, int thread)
      : a(allocator), at(static_cast<size_t>(thread) * 4001 % mixed_draws) {
    for (size_t i = 0; i < mixed_live; i++) {
      sizes[i] = draws[(at + i) % mixed_draws].size;
      blocks[i] = a.get(sizes[i]);
    }
  }

  void replace() {
    const replacement &next = draws[at++ % mixed_draws];
    a.give(blocks[next.slot]);
    blocks[next.slot] = a.get(next.size);
  }

  void give_all() {
    for (auto &block : blocks) a.give(block);
  }
};

template <class A>
void mixed(benchmark::State &state) {
  live<A> mine(*run<A>::allocator, state.thread_index());
  for (size_t i = 0; i < mixed_draws; i++) mine.replace();
  for (auto _ : state) mine.replace();
  mine.give_all();
  run<A>::check_that_it_empties();
}

/* ---- works with streams --------------------------------------------------------------------- */

/* Each block is used on `count` streams, whose work is done `lag` submissions later. Each thread
   has its own streams. */
template <class A, int count, uint64_t lag>
void used(benchmark::State &state) {
  A &a = *run<A>::allocator;
  device_stream *mine = streams_of(state.thread_index());
  const auto pair = [&] {
    const auto block = a.get(64 * kib);
    for (int i = 0; i < count; i++) a.use(block, &mine[i]);
    a.give(block);
  };
  for (int i = 0; i < count; i++) device_finish(&mine[i], lag);
  for (uint64_t i = 0; i < 1000 + 2 * lag; i++) pair();
  for (auto _ : state) pair();
  for (int i = 0; i < count; i++) device_finish(&mine[i], 0);
  run<A>::check_that_it_empties();
}

/* ---- one thread gets, another frees --------------------------------------------------------- */

/* A bounded queue from one thread to one other. Each looks at the other's index only when its last
   look says that the ring is full, or empty. */
template <class T>
class ring {
 public:
  void push(T value) {
    const size_t at = tail.load(std::memory_order_relaxed);
    while (at - head_seen == size) head_seen = look(head, at - size);
    slots[at % size] = value;
    tail.store(at + 1, std::memory_order_release);
  }

  T pop() {
    const size_t at = head.load(std::memory_order_relaxed);
    while (at == tail_seen) tail_seen = look(tail, at);
    const T value = slots[at % size];
    head.store(at + 1, std::memory_order_release);
    return value;
  }

 private:
  static constexpr size_t size = 256;

  /* Reads an index until it is not `old` any more, or for a while: then the processor is left to
     the other thread, which may need it. */
  static size_t look(const std::atomic<size_t> &index, size_t old) {
    for (int i = 0; i < 1000; i++) {
      const size_t seen = index.load(std::memory_order_acquire);
      if (seen != old) return seen;
    }
    std::this_thread::yield();
    return index.load(std::memory_order_acquire);
  }

  alignas(128) std::atomic<size_t> tail{0};
  size_t head_seen = 0;
  alignas(128) std::atomic<size_t> head{0};
  size_t tail_seen = 0;
  alignas(128) T slots[size];
};

template <class A>
void handed_over(benchmark::State &state) {
  run<A>::open(2);
  A &a = *run<A>::allocator;
  using block = typename A::block;
  ring<block> *blocks = new ring<block>;
  std::thread consumer([&a, blocks] {
    while (const block got = blocks->pop()) a.give(got);
    run<A>::check_that_it_empties();
  });
  for (int i = 0; i < 10000; i++) blocks->push(a.get(64 * kib));
  for (auto _ : state) blocks->push(a.get(64 * kib));
  blocks->push(block());
  run<A>::check_that_it_empties();
  consumer.join();
  delete blocks;
  run<A>::close();
}

/* ---- figures that are no times -------------------------------------------------------------- */

/* 20,000 blocks, used on eight streams by turns, of which one is stuck from the start. What is got
   from the device, beside the same without the stuck stream. */
template <class A>
void stuck(benchmark::State &state) {
  constexpr int blocks = 20000, count = DEVICE_STREAMS_EACH;
  struct {
    uint64_t gets, bytes;
  } got[2];
  for (auto _ : state) {
    for (int with = 0; with < 2; with++) {
      run<A>::open(1);
      A &a = *run<A>::allocator;
      for (int i = 0; i < count; i++)
        device_finish(&streams_of(0)[i], i == 0 && with ? UINT64_MAX : 0);
      for (int i = 0; i < blocks; i++) {
        const auto block = a.get(64 * kib);
        a.use(block, &streams_of(0)[i % count]);
        a.give(block);
        if (series && with && i % 100 == 0)
          std::fprintf(series, "%s,%d,%llu\n", run<A>::name.c_str(), i,
                       static_cast<unsigned long long>(a.memory.bytes));
      }
      got[with] = {a.memory.gets, a.memory.bytes};
      device_finish(streams_of(0), 0);
      run<A>::check_that_it_empties();
      run<A>::close();
    }
  }
  state.counters["gets_without"] = static_cast<double>(got[0].gets);
  state.counters["gets"] = static_cast<double>(got[1].gets);
  state.counters["bytes_without"] = static_cast<double>(got[0].bytes);
  state.counters["bytes"] = static_cast<double>(got[1].bytes);
  state.counters["bytes_stuck"] = blocks / count * 64.0 * kib;
}

/* The work `mixed`, in all threads: the peak of what is held, by the peak of what is live. */
template <class A>
void held(benchmark::State &state) {
  static std::atomic<int64_t> now, peak;
  const auto add = [](int64_t bytes) {
    const int64_t sum = now += bytes;
    int64_t old = peak;
    while (old < sum && !peak.compare_exchange_weak(old, sum)) continue;
  };
  if (state.thread_index() == 0) now = peak = 0;
  pthread_barrier_wait(&run<A>::meeting);
  for (auto _ : state) {
    live<A> mine(*run<A>::allocator, state.thread_index());
    for (size_t size : mine.sizes) add(static_cast<int64_t>(size));
    for (int i = 0; i < 100000; i++) {
      const replacement next = mine.draws[mine.at % mixed_draws];
      add(-static_cast<int64_t>(mine.sizes[next.slot]));
      mine.sizes[next.slot] = next.size;
      mine.replace();
      add(static_cast<int64_t>(next.size));
    }
    mine.give_all();
  }
  run<A>::check_that_it_empties();
  if (state.thread_index() == 0)
    state.counters["held_by_live"] =
        static_cast<double>(run<A>::allocator->memory.peak) / static_cast<double>(peak);
}

/* ---- the list of works ---------------------------------------------------------------------- */

template <class A>
void add(const char *allocator, unsigned works) {
  run<A>::name = allocator;
  using function = void (*)(benchmark::State &);
  const auto put = [allocator](const char *work, function f, int threads) {
    entries().push_back({work, allocator, threads, false, f, run<A>::begin, run<A>::end});
  };
  const auto put_alone = [allocator](const char *work, function f, bool once) {
    entries().push_back({work, allocator, 1, once, f, nullptr, nullptr});
  };
  if (works & one_thread) {
    put("hit", hit<A>, 1);
    put("batch", batch<A>, 1);
    put("mixed", mixed<A>, 1);
  }
  if (works & many_threads) {
    for (int threads : thread_counts()) {
      put("hit", hit<A>, threads);
      put("mixed", mixed<A>, threads);
    }
  }
  if (works & handoff) put_alone("handed_over", handed_over<A>, false);
  if constexpr (A::streams) {
    if (works & one_stream) {
      put("one_stream", used<A, 1, 0>, 1);
      if (works & many_threads)
        for (int threads : thread_counts()) put("one_stream", used<A, 1, 0>, threads);
    }
    if (works & streams) {
      put("four_streams", used<A, 4, 0>, 1);
      put("lag_64", used<A, 1, 64>, 1);
      put("lag_1024", used<A, 1, 1024>, 1);
      put("lag_16384", used<A, 1, 16384>, 1);
      if (works & memory) put_alone("stuck", stuck<A>, true);
    }
  }
  if (works & memory)
    for (int threads : thread_counts())
      entries().push_back({"held", allocator, threads, true, held<A>, run<A>::begin, run<A>::end});
}

}  // namespace bench

#endif
