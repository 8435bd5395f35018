/* pools.c - random programs of private pools, captures and checkpoints, against an oracle.

     model_pools     the tests, of pools alone and with blocks for the work of streams;
                     HOSTCACHE_MODEL_PROGRAMS says how many programs each config gets,
                     HOSTCACHE_SEED which

   The oracle knows of each block which pool it was got from, whether it was got for a capture and
   used, and which blocks a checkpoint holds. After every operation: each call says what it may say;
   what is handed out is of the pool that it belongs to, in memory that nobody has; what was used in
   a capture is quarantined until the last release of its pool; what is freed by the stream that it
   was got for, and used by no other, serves that stream again; check finds nothing; the figures
   that the oracle knows are right. The simulated device watches the one rule, and that no hook is
   called that a capture forbids. A program that breaks a rule is told by its seed, which runs it
   again; it is not made smaller. */

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

#if defined __SANITIZE_THREAD__
#define PROGRAMS 5 /* of each config: there is one thread, and it is slow */
#elif defined __SANITIZE_ADDRESS__
#define PROGRAMS 20
#else
#define PROGRAMS 120
#endif

enum { POOLS = 3, STREAMS = 4, BLOCKS = 48, OPERATIONS = 250 };

static uint64_t number_from(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 0);
}

static uint64_t told; /* the seed of the program that runs */

/* A test that fails leaves the cache; the next one starts anew. */
static int tell_the_seed(void **state) {
  (void)state;
  if (told != 0)
    print_error("to see it: HOSTCACHE_SEED=%" PRIu64 " HOSTCACHE_MODEL_PROGRAMS=1\n", told);
  told = 0;
  sim_captured_stream = SIM_NO_STREAM;
  atomic_store(&below.live, 0);
  return 0;
}

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

#define IN_CONFIG(cache, config) \
  { #cache ": " #config, PASTE(cache, programs), NULL, tell_the_seed, (void *)(uintptr_t)config }
#define IN_EACH_CONFIG(cache) \
  IN_CONFIG(cache, SHARED), IN_CONFIG(cache, ALONE), IN_CONFIG(cache, WITHOUT_STOCKS)

int main(void) {
  const struct CMUnitTest tests[] = {
      IN_EACH_CONFIG(pooled),           IN_EACH_CONFIG(timeline),      IN_EACH_CONFIG(ordered),
      IN_EACH_CONFIG(ordered_timeline), IN_EACH_CONFIG(ordered_after),
  };
  return cmocka_run_group_tests_name("model.pools", tests, NULL, NULL);
}
