/* What captures need, as further parameters of the next inclusion of hostcache.h: private pools,
   the stream that this thread works for, and whether that is being captured, which the test says.
   (What a runtime would end the capture for is a violation of the simulated device.) */
#include "sim.h"

#ifndef TESTS_SIM_HOOKS_CAPTURES_H
#define TESTS_SIM_HOOKS_CAPTURES_H

#include <stdatomic.h>

enum { SIM_NO_STREAM = -1 };

static _Thread_local sim_stream sim_current;           /* that this thread works for */
static sim_stream sim_captured_stream = SIM_NO_STREAM; /* set while no other thread runs */
static atomic_ullong sim_capture_calls;                /* of the two hooks that ask */
static int sim_current_fails, sim_is_capturing_fails, sim_relax_fails;

static inline int sim_stream_current(sim_stream *stream) {
  atomic_fetch_add(&sim_capture_calls, 1);
  *stream = sim_current;
  return sim_current_fails;
}

static inline int sim_is_capturing(sim_stream stream) {
  atomic_fetch_add(&sim_capture_calls, 1);
  if (sim_is_capturing_fails) return sim_is_capturing_fails;
  return stream == sim_captured_stream ? SIM_DONE : SIM_PENDING;
}

static inline int sim_relax_begin(uint64_t *mode) {
  *mode = sim_relaxed;
  if (!sim_relax_fails) sim_relaxed = 1;
  return sim_relax_fails;
}

static inline int sim_relax_end(const uint64_t *mode) {
  sim_relaxed = *mode;
  return sim_relax_fails;
}

#endif

#define HC_POOLS
#define HC_STREAM_CURRENT(ctx, stream_ptr) hostcache_map(sim_stream_current(stream_ptr), 0, 0)
#define HC_STREAM_IS_CAPTURING(ctx, stream) \
  hostcache_map(sim_is_capturing(stream), SIM_DONE, SIM_PENDING)
#define HC_CAPTURE_RELAX_BEGIN(ctx, mode_ptr) hostcache_map(sim_relax_begin(mode_ptr), 0, 0)
#define HC_CAPTURE_RELAX_END(ctx, mode_ptr) hostcache_map(sim_relax_end(mode_ptr), 0, 0)
