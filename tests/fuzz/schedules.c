/* schedules.c - a target for libFuzzer: its bytes are a schedule of one of the tests in
   tests/interleave, whichever program it is of. The first two bytes say which test; the others
   which thread goes on, which store a load sees, whether an event is complete and whether a hook
   fails, as explore_bytes reads them. Here nothing bounds the preemptions, and of the rest there
   may be more than where each schedule within some bounds is explored.

   What libFuzzer keeps is what reaches new code, and what has a step follow another thread's in a
   new way. A schedule that fails is told as tests/interleave tells it, with the command that runs
   it again, and with its trace.

   Without AddressSanitizer, which takes the explorer's change from one stack to another for an
   overflow, and what it restores of the last schedule for a write through a wild pointer. What that
   would find, the explorer finds itself: it has its own malloc, and looks at every access. What the
   compiler calls for ThreadSanitizer is the explorer's, so ThreadSanitizer is not linked either.

   tests/fuzz/run.sh runs it, and tests/fuzz/corpus/schedules holds what it starts from. */

#include "interleave/explore.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUITES(X) \
  X(events)       \
  X(timeline)     \
  X(stocks) X(pools) X(ordered) X(ordered_timeline) X(owners) X(find) X(trace) X(registry)

#define DECLARED(name) extern const explore_suite suite_##name;
SUITES(DECLARED)

#define LISTED(name) &suite_##name,
static const explore_suite *const suites[] = {SUITES(LISTED)};
enum { COUNT = sizeof suites / sizeof suites[0], FOLLOWS = 1 << 12 };

static size_t tests_of[COUNT], tests;

/* Counters that libFuzzer looks at beside those of the code: of which line came after which. */
__attribute__((section("__libfuzzer_extra_counters"))) static uint8_t follows[FOLLOWS];
static unsigned last_thread, last_line;

static void follow(unsigned thread, int line) {
  if (thread != last_thread) {
    uint8_t *counter = &follows[(last_line * 31 + (unsigned)line * 7919) % FOLLOWS];
    *counter = 1;
  }
  last_thread = thread;
  last_line = (unsigned)line;
}

static void begin(void) {
  size_t i;
  for (i = 0; i < COUNT; i++) tests += tests_of[i] = suites[i]->begin();
  explore_follow = follow;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  const explore_suite *const *suite = suites;
  explore_result result;
  explore_test test;
  size_t i;
  if (tests == 0) begin();
  if (size < 2) return 0;
  i = (bytes[0] + ((size_t)bytes[1] << 8)) % tests;
  while (i >= tests_of[suite - suites]) i -= tests_of[suite++ - suites];
  test = (*suite)->choose(i);
  result = explore_bytes(&test, bytes + 2, size - 2);
  if (!result.failed) return 0;
  explore_follow = NULL;
  (void)explore_replay(&test, result.decisions);
  fprintf(stderr, "FAILED: %s\n  again: interleave_%s --replay '%s' %s\n", result.message,
          (*suite)->program, test.name, result.decisions);
  abort();
}
