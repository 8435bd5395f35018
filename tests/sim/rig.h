/* rig.h - a cache on a simulated device, ready to be tested. A template: define CACHE, the cache's
   name, before the inclusion, and get CACHE_rig and what works on it; CACHE_WITHOUT_STREAMS, and
   CACHE_OWN_SEGMENTS, where it is such a one. May be included for several caches.

   The rig watches every test in the same way: when it is closed, the bookkeeping must be
   consistent, every byte must have gone back, every event must be destroyed, no rule broken, and
   the thread can be cancelled as before. What the test still holds is freed first. */

#include "../helpers.h"
#include "sim.h"

#ifndef TESTS_SIM_RIG_H
#define TESTS_SIM_RIG_H

#define RIG_NOW PASTE(CACHE, rig)
#define ON_RIG(name) PASTE(RIG_NOW, name)
#define API(name) PASTE(CACHE, name)

/* The head of a test in a template; it finds its rig in *state. */
#define RIG_TEST(name) static void PASTE(CACHE, name)(void **state)

/* For tests that make their own rigs. */
#define ON_NONE(cache, test) \
  { #cache ": " #test, PASTE(cache, test), PASTE(cache, rig_reset), NULL, NULL }

/* For a list of tests: each gets a rig with the default config, or one where no blocks share
   segments, whatever the registration says. */
#define ON(cache, test)                                                                         \
  {                                                                                             \
#cache ": " #test, PASTE(cache, test), PASTE(cache, rig_setup), PASTE(cache, rig_teardown), \
        NULL                                                                                    \
  }
#define ON_ALONE(cache, test)                                             \
  {                                                                       \
#cache ": " #test, PASTE(cache, test), PASTE(cache, rig_setup_alone), \
        PASTE(cache, rig_teardown), NULL                                  \
  }

#endif

typedef struct RIG_NOW {
  sim_device device;
  CACHE *cache; /* NULL once the test has destroyed it itself */
  heard heard;
  bool alone;           /* blocks share no segments */
  bool may_leak;        /* the test makes the free hook fail */
  bool may_lose_events; /* the test makes hooks on events fail, so that events are left */
  size_t left_bytes; /* where the test destroyed the cache itself: what was left to the runtime */
} RIG_NOW;

/* Blocks share no segments, unless the test or its registration (segments.h) says so; in a test
   that is listed as ALONE the registration says nothing. */
static inline hostcache_config ON_RIG(config)(RIG_NOW *rig) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
#ifndef CACHE_OWN_SEGMENTS
  config.segment_bytes = rig->alone ? SEGMENT_OF_ONE_BLOCK : segment_bytes_wanted();
#endif
  config.on_error = hear;
  config.on_error_user = &rig->heard;
  return config;
}

/* The device without a cache. */
static inline RIG_NOW *ON_RIG(new)(void) {
  RIG_NOW *rig = (RIG_NOW *)malloc(sizeof *rig);
  if (rig == NULL) abort();
  memset(rig, 0, sizeof *rig);
  sim_open(&rig->device);
#ifdef CACHE_OWN_SEGMENTS
  rig->device.no_pages = true;
#endif
  rig->device.waits_complete = true;
  rig->heard.wanted_code = SIM_FAILURE;
  return rig;
}

static inline RIG_NOW *ON_RIG(open_as)(bool alone) {
  RIG_NOW *rig = ON_RIG(new)();
  hostcache_config config;
  rig->alone = alone;
  config = ON_RIG(config)(rig);
  assert_ok(API(create)(&rig->cache, &config, &rig->device));
  return rig;
}

static inline RIG_NOW *ON_RIG(open)(void) { return ON_RIG(open_as)(false); }

static inline hostcache_stats ON_RIG(stats)(RIG_NOW *rig) {
  hostcache_stats stats;
  memset(&stats, 0xff, sizeof stats);
  assert_ok(API(stats)(rig->cache, &stats));
  return stats;
}

/* Lets so much have been held and in use before, so that idle segments do not go back for less. */
static inline void ON_RIG(warm)(RIG_NOW *rig, size_t size) {
  void *ptr = NULL;
  assert_ok(API(alloc)(rig->cache, size, &ptr));
  assert_ok(API(free)(rig->cache, ptr));
  assert_ok(API(empty_cache)(rig->cache));
  assert_ok(API(reset_accumulated_stats)(rig->cache));
  memset(rig->device.calls, 0, sizeof rig->device.calls);
}

/* Swaps the cache, which must be idle, for one with this config. */
static inline void ON_RIG(configure)(RIG_NOW *rig, hostcache_config config) {
  assert_ok(API(destroy)(rig->cache));
  rig->cache = NULL;
  assert_ok(API(create)(&rig->cache, &config, &rig->device));
}

#ifndef CACHE_WITHOUT_STREAMS
/* Streams die idle here, in whatever mode. */
static inline void ON_RIG(let_streams_die_idle)(RIG_NOW *rig) {
  hostcache_config config = ON_RIG(config)(rig);
  config.streams_die_idle = 1;
  ON_RIG(configure)(rig, config);
}
#endif

/* A block of the cache, also in the referee's book. */
static inline void *ON_RIG(take)(RIG_NOW *rig, size_t size) {
  void *ptr = NULL;
  assert_ok(API(alloc)(rig->cache, size, &ptr));
  assert_non_null(ptr);
  sim_handed_out(&rig->device, ptr, size);
  return ptr;
}

/* Takes what is ready in segments that are in use: the next block is one that waits, or new. */
static inline void ON_RIG(fill)(RIG_NOW *rig, size_t size) {
  while (ON_RIG(stats)(rig).inactive_split_bytes.current >= (int64_t)size)
    (void)ON_RIG(take)(rig, size);
}

static inline void ON_RIG(give)(RIG_NOW *rig, void *ptr) {
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free)(rig->cache, ptr));
}

#ifndef CACHE_WITHOUT_STREAMS
/* Marks the block, and submits work that uses it. */
static inline uint64_t ON_RIG(use)(RIG_NOW *rig, void *ptr, sim_stream stream) {
  assert_ok(API(record_stream)(rig->cache, ptr, stream));
  return sim_use(&rig->device, stream, ptr);
}

/* A block that was used on a stream and freed: it waits. */
static inline void *ON_RIG(pend)(RIG_NOW *rig, size_t size, sim_stream stream) {
  void *ptr = ON_RIG(take)(rig, size);
  (void)ON_RIG(use)(rig, ptr, stream);
  ON_RIG(give)(rig, ptr);
  return ptr;
}
#endif

/* pinned_check says which invariant is broken through on_error alone. */
static inline void ON_RIG(check)(RIG_NOW *rig) {
  uint64_t heard_before = rig->heard.count;
  if (API(check)(rig->cache) == HOSTCACHE_OK) return;
  if (rig->heard.count > heard_before) print_error("check: %s\n", rig->heard.what);
  fail();
}

/* What a poll makes ready. */
static inline size_t ON_RIG(poll)(RIG_NOW *rig) {
  size_t ready = SIZE_MAX;
  assert_ok(API(process_events)(rig->cache, &ready));
  return ready;
}

/* Ends all work and frees what the test holds, so that only what is lost can be left. */
static inline void ON_RIG(settle)(RIG_NOW *rig) {
  uint32_t lane;
  sim_fail_no_more(&rig->device);
  rig->device.mischief = SIM_HONEST;
  rig->device.capturing = false;
  rig->device.on_hook = NULL;
  rig->heard.react = NULL;
  for (lane = 0; lane < rig->device.lane_count; lane++) rig->device.lanes[lane].stuck = false;
  while (rig->device.blocks.count > 0) {
    void *ptr = (void *)rig->device.blocks.at[0].start;
    sim_complete_all(&rig->device);
    sim_handed_back(&rig->device, ptr);
    (void)API(free)(rig->cache, ptr); /* may say that an earlier failure made it quarantine */
  }
  sim_complete_all(&rig->device);
  assert_ok(API(synchronize)(rig->cache, UINT64_C(1000000000)));
}

/* Destroys the cache, which must have lost nothing. What it says that it leaked is left to the
   runtime. */
static inline void ON_RIG(destroy)(RIG_NOW *rig) {
  hostcache_stats stats;
  ON_RIG(settle)(rig);
  ON_RIG(check)(rig);
  assert_ok(API(release_quarantine)(rig->cache));
  ON_RIG(check)(rig);
  stats = ON_RIG(stats)(rig);
  assert_int_equal(stats.active.current, 0);
  assert_int_equal(stats.pending.current, 0);
  assert_int_equal(stats.quarantined.current, 0);
  assert_int_equal(stats.reserved_bytes.current, sim_live_bytes(&rig->device));
  if (!rig->may_leak) assert_int_equal(stats.leaked.current, 0);
  assert_result(API(destroy)(rig->cache),
                stats.leaked.current > 0 ? HOSTCACHE_ERR_LEAKED : HOSTCACHE_OK);
  rig->cache = NULL;
  rig->left_bytes = (size_t)stats.leaked_bytes.current;
}

/* Ends the cache and the device, and asserts that nothing was lost and no rule broken; and that
   this thread can be cancelled, as it can not in hooks. */
static inline void ON_RIG(close)(RIG_NOW *rig) {
  size_t left_events;
  if (rig->cache != NULL) ON_RIG(destroy)(rig);
  left_events = rig->may_lose_events ? sim_live_events(&rig->device) : 0;
  assert_int_equal(sim_close(&rig->device, rig->left_bytes, left_events), 0);
  assert_can_be_cancelled();
#ifdef TESTS_SIM_BELOW_H
  assert_int_equal(atomic_load(&below.live), 0);
#endif
  free(rig);
}

static inline int ON_RIG(reset)(void **state) {
  (void)state;
#ifdef TESTS_SIM_BELOW_H
  below_fail_no_more();
  below.once = NULL;
  atomic_store(&below.live, 0); /* a test that failed leaves some */
#endif
  return 0;
}

static inline int ON_RIG(setup)(void **state) {
  (void)ON_RIG(reset)(state);
  *state = ON_RIG(open)();
  return 0;
}

static inline int ON_RIG(setup_alone)(void **state) {
  (void)ON_RIG(reset)(state);
  *state = ON_RIG(open_as)(true);
  return 0;
}

static inline int ON_RIG(teardown)(void **state) {
#ifdef TESTS_SIM_BELOW_H
  below_fail_no_more();
#endif
  ON_RIG(close)((RIG_NOW *)*state);
  return 0;
}
