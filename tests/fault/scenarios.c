/* scenarios.c - each call of a hook, and each malloc, fails in scenarios of public calls: alone,
   with all after it, with all after it of its kind, and in pairs. One program for each mode
   (mode_*.h):

     fault_pooled                         sweeps through all scenarios, and says how much that was
     fault_pooled <scenario> <plan>       runs one of them under one plan (plan.h), and tells all

   Single failures are swept in full, and so are pairs, each in one of eight ways that is drawn;
   only under a sanitizer they are a sample. The seed stands below. With HOSTCACHE_STRESS set all
   pairs fail in all ways.

   What the calls must answer, and what must hold after each, is in sweep.h. Not seen here: what
   another thread does meanwhile; failures of what the system gives (mutexes, thread-locals); more
   than two failures that are not in a row. */

#include "sim/below.h"

#define HC_NAME faulted
#include MODE_HEADER
#define HOSTCACHE_IMPLEMENTATION
#include "hostcache.h"

#include "helpers.h"
#include "sim/sim.h"

#include "plan.h"

#include "sweep.h"

#include <time.h>

/* How much: pairs of each scenario, manners (plan.h), and whether what comes after a failure fails
   too. Under ASan all is five times slower; under TSan fifty times, which has little to find where
   there is one thread. */
#if defined __SANITIZE_THREAD__
#define PAIRS 20
#define MANNERS "g"
#define ONWARDS 1
#elif defined __SANITIZE_ADDRESS__
#define PAIRS 150
#define MANNERS "rgl"
#define ONWARDS 3
#else
#define PAIRS 12000 /* all that 150 sites have */
#define MANNERS "rgl"
#define ONWARDS 3
#endif
#define SEED UINT64_C(0x5eed)

typedef struct scenario {
  const char *name;
  void (*script)(run *r);
  hostcache_config config; /* what differs from the default */
  size_t memory_limit;     /* of the device; 0: none */
} scenario;

/* ---- memory ---------------------------------------------------------------------------------- */

static void hits_and_misses(run *r) {
  take(r, 0, 4 * KIB);
  give(r, 0);
  take(r, 1, 4 * KIB); /* a hit */
  take(r, 2, 3 * MIB); /* a segment of its own */
  give(r, 2);
  take(r, 3, 3 * MIB);
  take(r, 4, 5 * MIB);
  take(r, 5, 0x1000 * KIB);
  give(r, 1);
  give(r, 5);
}

static void splitting_and_coalescing(run *r) {
  int i;
  for (i = 0; i < 6; i++) take(r, i, 10 * KIB); /* the first segment, and half of a second */
  give(r, 1);
  give(r, 3);
  give(r, 2);           /* becomes one with both */
  take(r, 6, 28 * KIB); /* of what they are now, but for a rest */
  take(r, 7, 1 * KIB);
  give(r, 0);
  give(r, 6);
  give(r, 4);
  give(r, 5);
  take(r, 8, 60 * KIB);
  give(r, 7);
  empty_cache(r);
  take(r, 9, 40 * KIB);
}

static void a_segment_got_at_creation(run *r) {
  take(r, 0, 8 * KIB);
  take(r, 1, 100 * KIB);
  take(r, 2, 64 * KIB); /* there is no room for it there */
  give(r, 0);
  give(r, 1);
  walk(r);
  empty_cache(r);
  take(r, 3, 8 * KIB);
}

/* More records than one malloc gives. */
static void many_blocks(run *r) {
  int i;
  for (i = 0; i < RUN_SLOTS; i++) take(r, i, 68 * KIB);
  for (i = 0; i < RUN_SLOTS; i += 2) give(r, i);
  for (i = 0; i < 4; i++) take(r, 2 * i, 200);
  walk(r);
}

static void reserving(run *r) {
  reserve_or(r, 20 * KIB, 4, A_OK);
  take(r, 0, 20 * KIB);
  take(r, 1, 20 * KIB);
  reserve_or(r, 3 * MIB, 2, A_OK);
  reserve_or(r, 20 * KIB, 2, A_OK); /* is there */
  take(r, 2, 3 * MIB);
  give(r, 0);
  reserve_or(r, 1 * KIB, 70, A_OK);
}

static void trimming(run *r) {
  int i;
  for (i = 0; i < 4; i++) take(r, i, 80 * KIB);
  for (i = 0; i < 3; i++) give(r, i);
  trim(r, 200 * KIB);
  take(r, 4, 90 * KIB);
  use(r, 4, 1);
  give(r, 4);
  trim(r, 0); /* what waits stays */
  sim_complete_all(&r->device);
  trim_idle(r, 1000000000);
  take(r, 5, 90 * KIB);
  give(r, 5);
  trim_idle(r, 1);
  give(r, 3);
  empty_cache(r);
}

#ifdef MODE_OWN_SEGMENTS
static void leaving(run *r) {
  int i;
  for (i = 0; i < 6; i++) take(r, i, 1000 + 100 * (size_t)i);
  leave(r, 0);
  give(r, 1);
  leave(r, 2);
  take(r, 6, 1200);
  take(r, 7, 1100); /* a hit */
  leave(r, 7);
  reserve_or(r, 1100, 2, A_OK);
  take(r, 8, 1100);
  leave(r, 3);
  give(r, 4);
  empty_cache(r);
  leave(r, 8);
}
#endif

/* ---- uses ------------------------------------------------------------------------------------ */

static void uses_of_streams(run *r) {
  take(r, 0, 64 * KIB);
  take(r, 1, 4 * KIB);
  use(r, 0, 1);
  use(r, 0, 2);
  use(r, 1, 1);
  give(r, 0);
  give(r, 1);
  take(r, 2, 64 * KIB); /* a miss: it waits */
  sim_complete(&r->device, 1, -1);
  process_events(r);
  use(r, 2, 2);
  give(r, 2);
  sim_complete(&r->device, 2, -1);
  process_events(r);
  take(r, 3, 64 * KIB); /* a hit; its event comes from the pool */
  use(r, 3, 2);
  give(r, 3);
  take(r, 4, 64 * KIB);
  sim_complete_all(&r->device);
  take(r, 5, 64 * KIB); /* made ready by this */
}

static void more_uses_than_have_room(run *r) {
  sim_stream stream;
  take(r, 0, 64 * KIB);
  for (stream = 1; stream <= 6; stream++) use(r, 0, stream);
  use(r, 0, 1);
  take(r, 1, 64 * KIB);
  for (stream = 1; stream <= 9; stream++) own_use(r, 1, stream);
  give(r, 0);
  take(r, 2, 64 * KIB);
  sim_complete(&r->device, 3, -1);
  process_events(r);
  give(r, 1);
  for (stream = 1; stream <= 9; stream++) /* all but the first that may find no room */
    if (stream != 5) sim_complete(&r->device, stream, -1);
  process_events(r);
  take(r, 5, 64 * KIB);
  sim_complete_all(&r->device);
  process_events(r);
  take(r, 3, 64 * KIB);
  take(r, 4, 64 * KIB);
  for (stream = 1; stream <= 5; stream++) use(r, 4, stream); /* there is room by now, or not */
  give(r, 4);
}

/* Events and values that the caller gives, beside marks. */
static void own_uses(run *r) {
  int i;
  for (i = 0; i < 3; i++) take(r, i, 64 * KIB);
  own_use(r, 0, 1);
  own_use(r, 0, 2);
  use(r, 1, 1);
  own_use(r, 1, 1);
  own_use(r, 2, 3);
  use(r, 2, 3);
  give(r, 0);
  give(r, 1);
  give_deferred(r, 2);
  sim_complete(&r->device, 1, -1);
  process_events(r);
  take(r, 3, 64 * KIB);
  own_use(r, 3, 4);
  give_deferred(r, 3);
  sim_complete_all(&r->device);
  synchronize(r, 1000000);
  take(r, 4, 64 * KIB);
}

/* Every 16th free on a stream polls it. */
static void frees_that_poll(run *r) {
  int i;
  for (i = 0; i < 18; i++) {
    take(r, i, 4 * KIB);
    use(r, i, 1);
    own_use(r, i, 1);
  }
  for (i = 0; i < 9; i++) give(r, i);
  sim_complete(&r->device, 1, 20);
  for (i = 9; i < 18; i++) give(r, i);
  sim_complete_all(&r->device);
}

/* What free_deferred leaves is recorded by whoever comes first. */
static void frees_in_callbacks(run *r) {
  int i;
  for (i = 0; i < 8; i++) {
    take(r, i, 64 * KIB);
    use(r, i, i % 3);
    use(r, i, i % 2 + 4);
  }
  give_deferred(r, 0);
  take(r, 8, 64 * KIB);
  give_deferred(r, 1);
  give(r, 2);
  give_deferred(r, 3);
  process_events(r);
  give_deferred(r, 4);
  empty_cache(r);
  give_deferred(r, 5);
  forget_stream(r, 1);
  give_deferred(r, 6);
  sim_complete_all(&r->device);
  synchronize(r, 1000000);
  give_deferred(r, 7);
  reserve_or(r, 100 * KIB, 1, A_OK);
}

static void uses_without_room_in_callbacks(run *r) {
  sim_stream stream;
  take(r, 0, 64 * KIB);
  for (stream = 1; stream <= 5; stream++) use(r, 0, stream);
  give_deferred(r, 0);
  process_events(r);
  take(r, 1, 64 * KIB);
  for (stream = 1; stream <= 5; stream++) own_use(r, 1, stream);
  give_deferred(r, 1);
  for (stream = 1; stream <= 4; stream++) sim_complete(&r->device, stream, -1);
  take(r, 2, 64 * KIB);
  take(r, 3, 64 * KIB);
  sim_complete_all(&r->device);
  synchronize(r, 1000000);
}

static void synchronizing(run *r) {
  int i;
  for (i = 0; i < 3; i++) {
    take(r, i, 64 * KIB);
    use(r, i, i);
    use(r, i, 3);
  }
  own_use(r, 2, 5);
  for (i = 0; i < 3; i++) give(r, i);
  r->device.progress_per_queries = 2;
  synchronize(r, UINT64_MAX); /* by the hooks that wait, if there are any */
  take(r, 3, 64 * KIB);
  use(r, 3, 1);
  give(r, 3);
  synchronize(r, 1000000);
  r->device.progress_per_queries = 0;
}

static void forgetting(run *r) {
  sim_stream stream;
  take(r, 0, 64 * KIB);
  take(r, 1, 64 * KIB);
  take(r, 2, 4 * KIB);
  use(r, 0, 6);
  use(r, 0, 7);
  use(r, 1, 6);
  own_use(r, 1, 6);
  use(r, 2, 6);
  give(r, 2);
  forget_stream(r, 6);
  use(r, 0, 6); /* a new stream, or, if that failed, the same */
  use(r, 1, 6);
  forget_stream(r, 6);
  sim_complete(&r->device, 7, -1);
  give(r, 0);
  take(r, 3, 64 * KIB);
  for (stream = 1; stream <= 5; stream++) use(r, 3, stream); /* the last may find no room */
  forget_stream(r, 5);
  forget_stream(r, 9); /* was never seen */
  process_events(r);
  take(r, 5, 64 * KIB);
  give(r, 3);
  give(r, 1);
  sim_complete_all(&r->device);
  synchronize(r, 1000000);
  take(r, 4, 64 * KIB);
}

/* The config of this one quarantines at the first failure of a query. */
static void quarantine(run *r) {
  int i;
  for (i = 0; i < 4; i++) take(r, i, 64 * KIB);
  for (i = 0; i < 3; i++) {
    use(r, i, 1);
    own_use(r, i, 2);
    give(r, i);
  }
  process_events(r);
  process_events(r);
  take(r, 4, 64 * KIB);
  sim_complete_all(&r->device);
  process_events(r);
  release_quarantine(r);
  take(r, 5, 64 * KIB);
  take(r, 6, 64 * KIB);
  use(r, 6, 1);
  give(r, 6);
  sim_complete_all(&r->device);
  synchronize(r, 1000000);
  release_quarantine(r);
}

/* ---- bounds ---------------------------------------------------------------------------------- */

static void bounds_that_change(run *r) {
  int i;
  for (i = 0; i < 4; i++) take(r, i, 80 * KIB);
  for (i = 0; i < 2; i++) give(r, i);
  set_max_reserved(r, 250 * KIB); /* one goes back */
  use(r, 2, 1);
  give(r, 2);
  set_max_cached(r, 100 * KIB);
  sim_complete_all(&r->device);
  process_events(r); /* what is ready now is above the bound */
  take(r, 4, 100 * KIB);
  give(r, 3);
  set_max_reserved(r, 0);
  set_max_cached(r, HOSTCACHE_NONE);
  take(r, 5, 100 * KIB);
  give(r, 4);
  give(r, 5);
  reserve_or(r, 4 * KIB, 1, A_LIMIT); /* it could not be kept */
}

/* The config of this one has a cap of 256 KiB. */
static void a_cap(run *r) {
  take(r, 0, 100 * KIB);
  take(r, 1, 100 * KIB);
  take_or(r, 2, 100 * KIB, A_LIMIT);
  give(r, 0);
  take(r, 3, 140 * KIB); /* what is idle goes back for it */
  use(r, 1, 1);
  give(r, 1);
  take_or(r, 4, 120 * KIB, A_LIMIT); /* it waits */
  sim_complete_all(&r->device);
  take(r, 5, 104 * KIB); /* and now it does not */
  give(r, 3);
  reserve_or(r, 60 * KIB, 3, A_LIMIT);
}

/* The device of this one has 256 KiB. */
static void memory_that_runs_out(run *r) {
  take(r, 0, 100 * KIB);
  take(r, 1, 100 * KIB);
  take_or(r, 2, 100 * KIB, A_OOM);
  give(r, 0);
  take(r, 3, 140 * KIB);
  use(r, 1, 1);
  give_deferred(r, 1);
  take_or(r, 4, 120 * KIB, A_OOM);
  sim_complete_all(&r->device);
  take(r, 5, 104 * KIB);
  give(r, 3);
  reserve_or(r, 60 * KIB, 3, A_OOM);
}

/* The config of this one waits at its cap. */
static void waiting_at_the_cap(run *r) {
  take(r, 0, 100 * KIB);
  take(r, 1, 100 * KIB);
  use(r, 0, 1);
  own_use(r, 0, 2);
  use(r, 1, 1);
  give(r, 0);
  give(r, 1);
  r->device.progress_per_queries = 2;
  take(r, 2, 200 * KIB);
  r->device.progress_per_queries = 0;
  take_or(r, 3, 100 * KIB, A_LIMIT);
}

/* ---- blocks for the work of one stream ------------------------------------------------------- */

#ifdef MODE_ORDERED

static void streams_of_their_own(run *r) {
  take_on(r, 0, 300 * KIB, 1);
  take_on(r, 2, 300 * KIB, 1);
  take_on(r, 4, 4 * KIB, 2);
  use(r, 4, 1);
  give(r, 0);
  give(r, 4);
  take_on(r, 6, 100 * KIB, 1);
  take_on(r, 8, 200 * KIB, 2); /* for which stream 1 may have to be waited for */
  give_deferred(r, 2);
  sim_complete(&r->device, 1, 1);
  process_events(r);
  take(r, 10, 300 * KIB);
  give(r, 6);
  give(r, 8);
  sim_complete_all(&r->device);
  process_events(r);
  give(r, 10);
  take_on(r, 0, 300 * KIB, 2);
  give(r, 0);
  forget_stream(r, 2);
  take_on(r, 0, 64 * KIB, 2);
  give(r, 0);
  sim_complete_all(&r->device);
  synchronize(r, 1000000);
  take_on(r, 0, 64 * KIB, 1);
  give(r, 0);
  sim_complete_all(&r->device);
  empty_cache(r);
}

static void a_stream_at_the_cap(run *r) {
  take_on(r, 0, 128 * KIB, 1);
  take_on(r, 2, 128 * KIB, 1);
  give(r, 0);
  give(r, 2);
  take_on(r, 0, 64 * KIB, 1);
  give(r, 0);
  sim_complete_all(&r->device);
  take(r, 4, 256 * KIB);
  give(r, 4);
  take_on(r, 0, 256 * KIB, 2);
  give(r, 0);
  sim_complete_all(&r->device);
}

#endif

/* ---- pools ----------------------------------------------------------------------------------- */

#ifdef MODE_POOLS

static void a_pool(run *r) {
  take(r, 0, 64 * KIB);
  open_pool(r);
  take(r, 12, 64 * KIB);
  take(r, 13, 300 * KIB);
  take(r, 14, 4 * KIB);
  use(r, 14, 1);
  give(r, 12);
  close_pool(r);
  take(r, 1, 64 * KIB);
  give(r, 14);
  sim_complete_all(&r->device);
  process_events(r);
  open_pool(r);
  take(r, 15, 4 * KIB);
  give(r, 15);
  close_pool(r);
  empty_cache(r); /* the pool keeps what it has */
  release_pool(r);
  release_pool(r);
  give(r, 13);
  take(r, 2, 100 * KIB);
  empty_cache(r);
}

/* One block is used in the capture, one before it. */
static void a_capture(run *r) {
  take(r, 0, 64 * KIB);
  take(r, 1, 64 * KIB);
  use(r, 0, 1);
  use(r, 1, 2);
  own_use(r, 1, 3);
  open_pool(r);
  capture(r, true);
  give(r, 0);
  give_deferred(r, 1);
  take(r, 12, 64 * KIB);
  use(r, 12, 1);
  own_use(r, 12, 4);
  give(r, 12);
  take(r, 13, 64 * KIB);
  give(r, 13);
  process_events(r);
  trim(r, 0);
  capture(r, false);
  close_pool(r);
  process_events(r);
  sim_complete_all(&r->device);
  process_events(r);
  release_pool(r);
  take(r, 2, 64 * KIB);
}

static void a_checkpoint(run *r) {
  open_pool(r);
  take(r, 12, 64 * KIB);
  take(r, 13, 4 * KIB);
  checkpoint(r);
  give(r, 12);
  take(r, 14, 20 * KIB);
  take(r, 15, 3 * MIB);
  restore(r);
  take(r, 16, 20 * KIB);
  give(r, 13);
  restore(r);
  close_pool(r);
}

#endif

/* ---- the end --------------------------------------------------------------------------------- */

/* Leaves something of everything to destroy: events in pools, idle segments, blocks that wait and
   have completed. */
static void much_to_destroy(run *r) {
  int i;
  for (i = 0; i < 5; i++) {
    take(r, i, 64 * KIB);
    use(r, i, i % 2);
    own_use(r, i, 3);
  }
  for (i = 0; i < 3; i++) give(r, i);
  sim_complete_all(&r->device);
  process_events(r);
  take(r, 5, 3 * MIB);
  use(r, 5, 1);
  give(r, 5);
}

static const scenario scenarios[] = {
    {.name = "hits_and_misses", .script = hits_and_misses},
    {.name = "splitting_and_coalescing",
     .script = splitting_and_coalescing,
     .config = {.segment_bytes = 64 * KIB}},
    {.name = "a_segment_got_at_creation",
     .script = a_segment_got_at_creation,
     .config = {.segment_bytes = 4096, .reserve_segment_bytes = 128 * KIB}},
    {.name = "many_blocks", .script = many_blocks, .config = {.segment_bytes = 4096}},
    {.name = "reserving", .script = reserving, .config = {.segment_bytes = 64 * KIB}},
    {.name = "trimming", .script = trimming, .config = {.segment_bytes = 4096}},
#ifdef MODE_OWN_SEGMENTS
    {.name = "leaving", .script = leaving},
#endif
    {.name = "uses_of_streams", .script = uses_of_streams, .config = {.segment_bytes = 4096}},
    {.name = "more_uses_than_have_room",
     .script = more_uses_than_have_room,
     .config = {.segment_bytes = 4096}},
    {.name = "own_uses", .script = own_uses, .config = {.segment_bytes = 4096}},
    {.name = "frees_that_poll", .script = frees_that_poll},
    {.name = "frees_in_callbacks", .script = frees_in_callbacks, .config = {.segment_bytes = 4096}},
    {.name = "uses_without_room_in_callbacks",
     .script = uses_without_room_in_callbacks,
     .config = {.segment_bytes = 4096}},
    {.name = "synchronizing", .script = synchronizing, .config = {.segment_bytes = 4096}},
    {.name = "forgetting", .script = forgetting, .config = {.segment_bytes = 4096}},
    {.name = "forgetting_where_streams_die_idle",
     .script = forgetting,
     .config = {.segment_bytes = 4096, .streams_die_idle = 1}},
    {.name = "quarantine",
     .script = quarantine,
     .config = {.segment_bytes = 4096, .query_error_limit = 1}},
    {.name = "bounds_that_change", .script = bounds_that_change, .config = {.segment_bytes = 4096}},
    {.name = "a_cap",
     .script = a_cap,
     .config = {.segment_bytes = 4096, .max_reserved_bytes = 256 * KIB}},
    {.name = "memory_that_runs_out",
     .script = memory_that_runs_out,
     .config = {.segment_bytes = 4096},
     .memory_limit = 256 * KIB},
    {.name = "waiting_at_the_cap",
     .script = waiting_at_the_cap,
     .config = {.segment_bytes = 4096, .max_reserved_bytes = 256 * KIB, .wait_on_limit_ns = 40000}},
#ifdef MODE_POOLS
    {.name = "a_pool", .script = a_pool, .config = {.segment_bytes = 4096}},
    {.name = "a_capture", .script = a_capture, .config = {.segment_bytes = 4096}},
    {.name = "a_checkpoint", .script = a_checkpoint, .config = {.segment_bytes = 256 * KIB}},
#endif
#ifdef MODE_ORDERED
    {.name = "streams_of_their_own",
     .script = streams_of_their_own,
     .config = {.segment_bytes = SEGMENT_OF_ONE_BLOCK}},
    {.name = "a_stream_at_the_cap",
     .script = a_stream_at_the_cap,
     .config = {.segment_bytes = 4096, .max_reserved_bytes = 256 * KIB}},
#endif
    {.name = "much_to_destroy", .script = much_to_destroy, .config = {.segment_bytes = 4096}},
};

/* ---- sweeps ---------------------------------------------------------------------------------- */

static run now;
static const scenario *scenario_now; /* whose run has begun and not ended */
static struct { uint64_t scenarios, runs, faults, pairs, all_pairs, sampled; } totals;

/* The scenarios whose blocks can share segments: not where memory is bounded, nor where something
   else is said of them. */
static bool is_shared(const scenario *what) {
  return what->config.segment_bytes == SEGMENT_OF_ONE_BLOCK &&
         what->config.max_reserved_bytes == 0 && what->config.reserve_segment_bytes == 0 &&
         what->memory_limit == 0;
}

/* Runs a scenario under a plan, and notes which its sites are. Returns how many failures there
   were. */
static uint64_t play(const scenario *what, const plan *p, uint8_t *sites_are, bool trace) {
  run *r = &now;
  scenario_now = what;
  memset(r, 0, sizeof *r);
  r->plan = *p;
  r->sites_are = sites_are;
  r->trace = trace;
  sim_open(&r->device);
  r->device.waits_complete = true;
  /* The hardest device to serve; but misaligned memory must not overlap its neighbour too. */
  r->device.reuses_addresses = memchr(p->kind, 'W', sizeof p->kind) == NULL;
  r->device.on_hook = at_hook;
  r->device.on_hook_user = r;
  if (what->memory_limit > 0) r->device.memory_limit = what->memory_limit;
  r->heard.wanted_code = SIM_FAILURE;
  r->heard.react = at_error;
  r->heard.react_user = r;
  r->config = what->config;
  if (is_shared(what)) r->config.segment_bytes = segment_bytes_wanted();
#ifdef MODE_OWN_SEGMENTS
  r->config.segment_bytes = r->config.reserve_segment_bytes = 0;
  r->device.no_pages = true;
#endif
  r->config.version = HOSTCACHE_VERSION;
  r->config.on_error = hear;
  r->config.on_error_user = &r->heard;
  r->cap = what->config.max_reserved_bytes;
  r->bounded = what->memory_limit > 0 || what->config.max_reserved_bytes > 0;
  atomic_store(&below.now_ns, 1000000);
  below.once_user = r;
  create(r);
  what->script(r);
  finish(r);
  scenario_now = NULL;
  totals.runs++;
  totals.faults += r->all_fired;
  return r->all_fired;
}

/* Each site fails, in each way that it can: alone, or with those after it. The number of sites. */
static uint64_t sweep_singles(const scenario *what, char manner, char kind, char onwards) {
  uint8_t sites_are[RUN_SITES] = {0};
  const plan clean = {manner, 0, {0, 0}, {kind, 0}, 0}; /* on the same device: play asks the kind */
  plan p = {manner, 1, {0, 0}, {kind, 0}, onwards};
  uint64_t sites;
  assert_int_equal(play(what, &clean, sites_are, false), 0);
  sites = now.sites;
  assert_in_range(sites, 2, RUN_SITES - 1);
  for (p.at[0] = 1; p.at[0] <= sites; p.at[0]++) {
    const uint8_t at = sites_are[p.at[0]];
    if (kind == 'W' && at != SITE_ALLOC) continue;
    if (kind == 'S' && at == SITE_MALLOC && onwards != '+') continue; /* the same as F */
    assert_true(play(what, &p, NULL, false) > 0);
    if (kind != 'W') continue;
    p.count = 2; /* nor can it be given back */
    p.at[1] = p.at[0] + 1;
    p.kind[1] = 'F';
    (void)play(what, &p, NULL, false);
    p.count = 1;
  }
  return sites;
}

/* Two sites fail, in one of the ways that `i` numbers. */
#define PAIR_WAYS 8
static void play_pair(const scenario *what, uint64_t first, uint64_t second, unsigned i) {
  plan p = {i % 2 ? 'r' : 'g', 2, {first, second}, {i & 2 ? 'S' : 'F', i & 4 ? 'S' : 'F'}, 0};
  (void)play(what, &p, NULL, false);
  totals.pairs++;
}

/* Each two of the first sites fail, in one way that is drawn; of too many a sample. In the long
   version all of them, in all ways. */
static void sweep_pairs(const scenario *what, uint64_t sites) {
  const uint64_t all = sites * (sites - 1) / 2;
  const bool stress = getenv("HOSTCACHE_STRESS") != NULL, sampled = all > PAIRS && !stress;
  uint64_t seed = SEED, first, second;
  unsigned i;
  for (first = 1; first < sites; first++) {
    for (second = first + 1; second <= sites; second++) {
      for (i = 0; i < PAIR_WAYS && stress; i++) play_pair(what, first, second, i);
      if (stress || (sampled && next_random(&seed) % all >= PAIRS)) continue;
      play_pair(what, first, second, (unsigned)random_below(&seed, PAIR_WAYS));
    }
  }
  totals.sampled += sampled;
  totals.all_pairs += all;
}

static void sweep(void **state) {
  static const char manners[] = MANNERS, onwards[] = {0, '+', '*'};
  const scenario *what = *state;
  uint64_t sites = 0;
  size_t i, j;
  for (i = 0; i < strlen(manners); i++) {
    for (j = 0; j < ONWARDS; j++) {
      sites = sweep_singles(what, manners[i], 'F', onwards[j]);
      (void)sweep_singles(what, manners[i], 'S', onwards[j]);
    }
    if (what->memory_limit == 0) (void)sweep_singles(what, manners[i], 'W', 0);
  }
  sweep_pairs(what, sites);
  totals.scenarios++;
}

static int tell_of_failure(void **state) {
  (void)state;
  if (scenario_now != NULL) {
    char text[64];
    plan_print(&now.plan, text);
    print_error("to see it: fault_" MODE_NAME " %s %s\n", scenario_now->name, text);
    scenario_now = NULL;
  }
  below.once = NULL;
  below_fail_no_more();
  atomic_store(&below.live, 0);
  hostcache_locks_held = 0;
  return 0;
}

int main(int count, char **words) {
  struct CMUnitTest tests[COUNT_OF(scenarios)];
  const clock_t began = clock();
  size_t i, test_count = 0;
  int failed;
  plan p;
  memset(tests, 0, sizeof tests); /* those without a name are not run */
  for (i = 0; i < COUNT_OF(scenarios); i++) {
    if (blocks_share_segments() && !is_shared(&scenarios[i])) continue;
    tests[test_count].name = scenarios[i].name;
    tests[test_count].test_func = sweep;
    tests[test_count].teardown_func = tell_of_failure;
    tests[test_count++].initial_state = (void *)(uintptr_t)&scenarios[i];
  }
  if (count == 3 && plan_read(words[2], &p)) {
    for (i = 0; i < COUNT_OF(scenarios); i++)
      if (strcmp(scenarios[i].name, words[1]) == 0) (void)play(&scenarios[i], &p, NULL, true);
    return 0;
  }
  failed = cmocka_run_group_tests_name("fault." MODE_NAME, tests, NULL, NULL);
  print_message(
      "%u scenarios, %u runs with %u faults; of %u pairs of sites %u (%u scenarios are "
      "sampled, seed 0x%x); %.1f s\n",
      (unsigned)totals.scenarios, (unsigned)totals.runs, (unsigned)totals.faults,
      (unsigned)totals.all_pairs, (unsigned)totals.pairs, (unsigned)totals.sampled, (unsigned)SEED,
      (double)(clock() - began) / CLOCKS_PER_SEC);
  return failed;
}
