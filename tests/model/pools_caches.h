/* pools_caches.h - programs of private pools, captures and checkpoints in each of five caches,
   alone and with blocks for the work of streams, each in three configs, against the oracle of
   pools.h.

   The oracle knows of each block which pool it was got from, whether it was got for a capture and
   used, and which blocks a checkpoint holds. After every operation: each call says what it may say;
   what is handed out is of the pool that it belongs to, in memory that nobody has; what was used in
   a capture is quarantined until the last release of its pool; what is freed by the stream that it
   was got for, and used by no other, serves that stream again; check finds nothing; the figures
   that the oracle knows are right. The simulated device watches the one rule, and that no hook is
   called that a capture forbids. What is not so fails by cmocka's assertions, in a test or not.

   Of a program's bytes the first one chooses the cache and its config (pools_run). */

#ifndef TESTS_MODEL_POOLS_CACHES_H
#define TESTS_MODEL_POOLS_CACHES_H

#include "sim/below.h"

#define HC_NAME pooled
#define HC_TRACE
#include "sim/hooks_captures.h"
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME timeline
#define HC_TRACE
#include "sim/hooks_captures.h"
#include "sim/hooks_timeline.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME ordered
#define HC_TRACE
#define HC_ALLOC_EX
#include "sim/hooks_captures.h"
#include "sim/hooks_pooled.h"
#include "sim/hooks_ordered.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME ordered_timeline
#define HC_TRACE
#define HC_ALLOC_EX
#define HC_DEVICE_ALLOCATOR
#include "sim/hooks_captures.h"
#include "sim/hooks_timeline.h"
#include "sim/hooks_waits.h"
#include "sim/hooks_ordered.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME ordered_after
#define HC_TRACE
#define HC_ALLOC_EX
#include "sim/hooks_captures.h"
#include "sim/hooks_plain.h"
#define SIM_ORDERED_AFTER
#include "sim/hooks_ordered.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#include "helpers.h"

enum { POOLS = 3, STREAMS = 4, BLOCKS = 48, OPERATIONS = 250 };

static FILE *pools_trace; /* every operation is named here; NULL: none */

static sim_stream streams[STREAMS] = {0, 1, 2, 3};

static int is_stream(void *user, const void *stream) {
  return *(const sim_stream *)stream == *(const sim_stream *)user;
}

#define CACHE pooled
#include "sim/rig.h"
#include "pools.h"
#undef CACHE

#define CACHE timeline
#include "sim/rig.h"
#include "pools.h"
#undef CACHE

#define CACHE_ORDERED

#define CACHE ordered
#include "sim/rig.h"
#include "pools.h"
#undef CACHE

#define CACHE ordered_timeline
#include "sim/rig.h"
#include "pools.h"
#undef CACHE

#define CACHE ordered_after
#include "sim/rig.h"
#include "pools.h"
#undef CACHE

#undef CACHE_ORDERED

static const struct {
  const char *name;
  void (*program)(const uint8_t *bytes, size_t size, int how);
} pools_caches[] = {
    {"pooled", pooled_program},
    {"timeline", timeline_program},
    {"ordered", ordered_program},
    {"ordered_timeline", ordered_timeline_program},
    {"ordered_after", ordered_after_program},
};
enum { POOLS_CACHES = sizeof pools_caches / sizeof pools_caches[0] };

static const char *const pools_configs[] = {"SHARED", "ALONE", "WITHOUT_STOCKS"};
enum { POOLS_CONFIGS = sizeof pools_configs / sizeof pools_configs[0] };

/* Runs a program, with what another one left put away. */
static void pools_run(const uint8_t *bytes, size_t size) {
  if (size == 0) return;
  sim_captured_stream = SIM_NO_STREAM;
  atomic_store(&below.live, 0);
  pools_caches[bytes[0] % POOLS_CACHES].program(bytes + 1, size - 1,
                                                bytes[0] / POOLS_CACHES % POOLS_CONFIGS);
}

#endif
