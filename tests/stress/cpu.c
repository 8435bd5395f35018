/* cpu.c - threads at once on caches of the CPU backend, whose streams are real threads.

   Promises: what a thread holds is its own; a block is not handed out before the device is done
   with it, nor given back; whatever is done at the same time, nothing is lost, and every figure is
   exact afterwards. How: suite.h, in event mode (pooled events) and timeline mode. What it can't
   find: an order of steps that did not come up; tests/interleave has all of them, for few steps. */

#define HOSTCACHE_CPU_IMPLEMENTATION
#define HOSTCACHE_IMPLEMENTATION

#define HC_NAME cpu_events
#define HC_CPU_EVENTS
#include "backends/hostcache_cpu.h"
#include "hostcache.h"

#define HC_NAME cpu_timeline
#include "backends/hostcache_cpu.h"
#include "hostcache.h"

#include "cpus.h"

#define RUNS 4 /* tests below */
#define DEVICE cpus
#define WITH_STREAMS

#define CACHE cpu_events
#define WITH_EVENTS
#define CACHE_OWN_EVENT(d, stream) cpus_own_event(d, stream)
#include "suite.h"
#undef CACHE
#undef WITH_EVENTS

#define CACHE cpu_timeline
#define WITH_TIMELINE
#include "suite.h"
#undef CACHE

int main(void) {
  const struct CMUnitTest tests[] = {STRESS(cpu_events), STRESS(cpu_timeline)};
  stress_announce("stress_cpu");
  return cmocka_run_group_tests_name("stress.cpu", tests, NULL, NULL);
}
