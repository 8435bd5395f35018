/* speed.cpp - times of hostcache and of its peers, side by side.

     bench_speed                      every work with every allocator
     bench_speed --list               the names: work/allocator/threads
     bench_speed --series=FILE        the work `stuck` also writes what is held, block by block
     bench_speed --iterations=N       N iterations of each, whatever time they take
     bench_speed --benchmark_filter=REGEX, --benchmark_min_time=SECONDS, ...
                                      Google Benchmark's own, of which --help tells more

   works.h says what is measured, device.h and floor.h what it is measured on and against; bench/run
   runs it in several rounds and makes a table. A second thread is alive all the time and asleep:
   without one, glibc's mutexes are cheaper than any program with threads has them.

   It fails (exit status 1) when a cache still holds memory after a work, when all is free and done
   and it is emptied while its other threads sleep. No time makes it fail. */

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>

#include "allocators.h"
#include "works.h"

namespace bench {

std::FILE *series;

std::vector<entry> &entries() {
  static std::vector<entry> all;
  return all;
}

const std::vector<int> &thread_counts() {
  static const std::vector<int> counts = [] {
    const int most = std::clamp(static_cast<int>(std::thread::hardware_concurrency()), 2,
                                DEVICE_STREAMS / DEVICE_STREAMS_EACH);
    std::vector<int> made;
    for (int threads = 2; threads < most; threads *= 2) made.push_back(threads);
    made.push_back(most);
    return made;
  }();
  return counts;
}

namespace {

/* Sleeps until the program ends. */
class sleeper {
 public:
  ~sleeper() {
    {
      const std::lock_guard<std::mutex> guard(lock);
      over = true;
    }
    wake.notify_one();
    thread.join();
  }

 private:
  std::mutex lock;
  std::condition_variable wake;
  bool over = false;
  std::thread thread{[this] {
    std::unique_lock<std::mutex> guard(lock);
    wake.wait(guard, [this] { return over; });
  }};
};

/* The works in the order in which they were first added, and in each its allocators. */
void sort_by_work() {
  std::map<std::pair<std::string, int>, size_t> places;
  for (const auto &one : entries()) places.insert({{one.work, one.threads}, places.size()});
  std::stable_sort(entries().begin(), entries().end(), [&places](const entry &a, const entry &b) {
    return places[{a.work, a.threads}] < places[{b.work, b.threads}];
  });
}

/* Two of the peers read the environment, or the loader does for them, when a program starts: so the
   program sets it and starts again. Debian's jemalloc has more thread-locals than the loader
   usually has room for in a library that is opened late; and tcmalloc would share the program's
   break with glibc's malloc, which then behaves as it never does alone. */
void prepare_environment(char **argv) {
  if (std::getenv("TCMALLOC_SKIP_SBRK")) return;
  setenv("TCMALLOC_SKIP_SBRK", "1", 1);
  setenv("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=16384", 1);
  execv("/proc/self/exe", argv);
  fail("cannot start again");
}

/* The value of --name=value; NULL: another argument. */
const char *value_of(const char *argument, const char *name) {
  const size_t length = std::strlen(name);
  return std::strncmp(argument, name, length) == 0 && argument[length] == '='
             ? argument + length + 1
             : nullptr;
}

}  // namespace
}  // namespace bench

int main(int argc, char **argv) {
  using namespace bench;
  prepare_environment(argv);
  long long iterations = 0;
  bool list = false;
  benchmark::Initialize(&argc, argv);
  for (int i = 1; i < argc; i++) {
    if (const char *path = value_of(argv[i], "--series")) {
      series = std::fopen(path, "w");
      if (!series) fail(std::string("cannot write ") + path);
    } else if (const char *count = value_of(argv[i], "--iterations")) {
      iterations = std::atoll(count);
      if (iterations < 1) fail("--iterations wants a number, 1 or more");
    } else if (std::strcmp(argv[i], "--list") == 0) {
      list = true;
    } else {
      std::fprintf(stderr, "bench_speed: what is %s? See the top of speed.cpp, or --help\n",
                   argv[i]);
      return 2;
    }
  }

  /* What is compared most stands together: a machine can become slower or faster at any time. */
  add_floor();
  add_hostcache();
#ifdef BENCH_PYTORCH
  add_pytorch();
#endif
  add_malloc();
#ifdef BENCH_CUB
  add_cub();
#endif
  add_hostcache_variants();

  sort_by_work();
  for (const auto &one : entries()) {
    const std::string name = one.work + "/" + one.allocator + "/" + std::to_string(one.threads);
    if (list) {
      std::printf("%s\n", name.c_str());
      continue;
    }
    auto *made = benchmark::RegisterBenchmark(name.c_str(), one.function);
    made->UseRealTime()->Threads(one.threads);
    if (one.begin) made->Setup(one.begin)->Teardown(one.end);
    if (one.once)
      made->Iterations(1);
    else if (iterations)
      made->Iterations(iterations);
  }
  if (list) return 0;

  const sleeper second_thread;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  if (series && std::fclose(series) != 0) fail("cannot write the series");
  return 0;
}
