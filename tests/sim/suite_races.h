/* suite_races.h - a template of tests: what happens while something else is under way. Where order
   matters it is made, not hoped for: either the other thing happens inside of a hook, on the same
   thread, or a hook stops a thread at a gate until the test has done it. Only the last test is a
   real race, with the referee watching. */

/* ---- a gate inside of a hook ----------------------------------------------------------------- */

#ifndef TESTS_SIM_SUITE_RACES_H
#define TESTS_SIM_SUITE_RACES_H

typedef struct gate {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  unsigned hooks;  /* a call of one of them stops here, */
  unsigned passes; /* after so many that pass */
  bool used, reached, open;
} gate;

static _Thread_local gate *own_gate; /* where this thread stops */

static inline void gate_init(gate *g, unsigned hooks) {
  memset(g, 0, sizeof *g);
  pthread_mutex_init(&g->lock, NULL);
  pthread_cond_init(&g->changed, NULL);
  g->hooks = hooks;
}

static inline void gate_end(gate *g) {
  pthread_mutex_destroy(&g->lock);
  pthread_cond_destroy(&g->changed);
}

/* For on_hook. */
static inline void gate_stop(void *user, sim_hook hook) {
  gate *g = own_gate;
  (void)user;
  if (g == NULL) return;
  pthread_mutex_lock(&g->lock);
  if (!g->used && (g->hooks & SIM_ONLY(hook)) != 0 && g->passes-- == 0) {
    g->used = g->reached = true;
    pthread_cond_broadcast(&g->changed);
    while (!g->open) pthread_cond_wait(&g->changed, &g->lock);
  }
  pthread_mutex_unlock(&g->lock);
}

/* Until the thread stands at the gate, or has passed where the gate was expected and says so by
   gate_open. */
static inline void gate_await(gate *g) {
  pthread_mutex_lock(&g->lock);
  while (!g->reached) pthread_cond_wait(&g->changed, &g->lock);
  pthread_mutex_unlock(&g->lock);
}

/* Gives a thread time to come to the gate, which it need not do. */
static inline void gate_look(gate *g) {
  bool reached = false;
  int i;
  for (i = 0; i < 5000 && !reached; i++) {
    sched_yield();
    pthread_mutex_lock(&g->lock);
    reached = g->reached;
    pthread_mutex_unlock(&g->lock);
  }
}

static inline void gate_open(gate *g) {
  pthread_mutex_lock(&g->lock);
  g->open = g->reached = true;
  pthread_cond_broadcast(&g->changed);
  pthread_mutex_unlock(&g->lock);
}

#endif

/* A call on another thread, which stops at the gate. */
typedef struct ON_RIG(call) {
  RIG_NOW *rig;
  gate gate;
  pthread_t thread;
  void *block;       /* to free; or */
  sim_stream stream; /* to forget, and to destroy at once; or, if negative: process_events */
  bool keeps;        /* the stream is not destroyed */
  hostcache_result result;
  bool idle; /* the stream was, when it had been forgotten */
} ON_RIG(call);

static inline bool ON_RIG(is_idle)(RIG_NOW *rig, sim_stream stream) {
  const sim_lane *lane;
  bool idle;
  sim_lock(&rig->device);
  lane = &rig->device.lanes[rig->device.lane_of[stream]];
  idle = lane->completed == lane->submitted;
  sim_unlock(&rig->device);
  return idle;
}

static inline void *ON_RIG(call_body)(void *argument) {
  ON_RIG(call) *call = argument;
  own_gate = &call->gate;
  if (call->block != NULL) {
    call->result = API(free)(call->rig->cache, call->block);
  } else if (call->stream < 0) {
    call->result = API(process_events)(call->rig->cache, NULL);
  } else {
    call->result = API(forget_stream)(call->rig->cache, call->stream);
    if (call->result == HOSTCACHE_OK) call->idle = ON_RIG(is_idle)(call->rig, call->stream);
    if (call->result == HOSTCACHE_OK && !call->keeps)
      sim_stream_destroy(&call->rig->device, call->stream);
  }
  gate_open(&call->gate); /* where no hook was called */
  return NULL;
}

static inline void ON_RIG(call_prepare)(ON_RIG(call) * call, RIG_NOW *rig, void *block,
                                        sim_stream stream, unsigned hooks) {
  memset(call, 0, sizeof *call);
  call->rig = rig;
  call->block = block;
  call->stream = stream;
  gate_init(&call->gate, hooks);
}

/* The first call that runs sets on_hook; it stays until the last of them has ended. */
static inline void ON_RIG(call_run)(ON_RIG(call) * call) {
  if (call->rig->device.on_hook != gate_stop) call->rig->device.on_hook = gate_stop;
  assert_int_equal(pthread_create(&call->thread, NULL, ON_RIG(call_body), call), 0);
}

static inline hostcache_result ON_RIG(call_join)(ON_RIG(call) * call) {
  gate_open(&call->gate);
  assert_int_equal(pthread_join(call->thread, NULL), 0);
  gate_end(&call->gate);
  return call->result;
}

static inline void ON_RIG(call_start)(ON_RIG(call) * call, RIG_NOW *rig, void *block,
                                      sim_stream stream, unsigned hooks) {
  ON_RIG(call_prepare)(call, rig, block, stream, hooks);
  ON_RIG(call_run)(call);
  gate_await(&call->gate);
}

static inline hostcache_result ON_RIG(call_end)(ON_RIG(call) * call) {
  hostcache_result result = ON_RIG(call_join)(call);
  call->rig->device.on_hook = NULL;
  return result;
}

static inline void ON_RIG(let_it_move_beside)(RIG_NOW *rig) {
  sim_lock(&rig->device);
  rig->device.progress_per_queries = 1;
  sim_unlock(&rig->device);
}

/* ---- a stream is forgotten while its blocks are freed ---------------------------------------- */

/* Frees, inside of the hooks of forget_stream, what is marked with the stream. */
static inline void ON_RIG(free_inside)(void *user, sim_hook hook) {
  RIG_NOW *rig = user;
  void *ptr;
  (void)hook;
  if (rig->device.blocks.count == 0) return;
  ptr = (void *)rig->device.blocks.at[0].start;
  sim_handed_back(&rig->device, ptr);
  sim_depth++;
  if (rig->device.blocks.count % 2 == 0) {
    assert_ok(API(free)(rig->cache, ptr));
  } else {
    assert_ok(API(free_deferred)(rig->cache, ptr));
  }
  sim_depth--;
}

RIG_TEST(a_block_that_is_freed_while_its_stream_is_forgotten_does_not_bring_the_handle_back) {
  RIG_NOW *rig = *state;
  int i;
  for (i = 0; i < 6; i++) {
    void *ptr = ON_RIG(take)(rig, 64 * KIB);
    (void)ON_RIG(use)(rig, ptr, 7);
    (void)ON_RIG(use)(rig, ptr, 3);
#ifdef CACHE_TIMELINE
    if (i % 3 == 0) assert_ok(API(record_value)(rig->cache, ptr, 7, sim_use(&rig->device, 7, ptr)));
#endif
  }
  rig->device.on_hook = ON_RIG(free_inside);
  rig->device.on_hook_user = rig;
  rig->device.progress_per_queries = 1;
  assert_ok(API(forget_stream)(rig->cache, 7));
  rig->device.progress_per_queries = 0;
  rig->device.on_hook = NULL;
  sim_stream_destroy(&rig->device, 7);
  for (i = 0; i < 6; i++) {
    assert_ok(API(process_events)(rig->cache, NULL));
    (void)ON_RIG(take)(rig, 64 * KIB);
  }
  sim_complete_all(&rig->device);
  assert_ok(API(synchronize)(rig->cache, UINT64_C(1000000000)));
}

static inline void ON_RIG(forget_then_renew)(RIG_NOW *rig) {
  rig->device.progress_per_queries = 1;
  assert_ok(API(forget_stream)(rig->cache, 7));
  rig->device.progress_per_queries = 0;
  sim_stream_destroy(&rig->device, 7);
  assert_ok(API(process_events)(rig->cache, NULL));
}

RIG_TEST(a_stream_that_was_never_used_is_forgotten_like_any_other) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB); /* marked, but nothing was submitted: a counter of 0 */
  assert_ok(API(record_stream)(rig->cache, ptr, 7));
  ON_RIG(forget_then_renew)(rig);
  ON_RIG(give)(rig, ptr);
  assert_ok(API(process_events)(rig->cache, NULL));
#ifdef CACHE_TIMELINE
  sim_stream_create(&rig->device, 7);
  ptr = ON_RIG(take)(rig, 64 * KIB);
  assert_ok(API(record_value)(rig->cache, ptr, 7, 0));
  ON_RIG(forget_then_renew)(rig);
  ON_RIG(give)(rig, ptr);
  assert_ok(API(process_events)(rig->cache, NULL));
#endif
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
}

RIG_TEST(a_use_without_room_does_not_bring_the_handle_of_a_forgotten_stream_back) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  sim_stream stream;
  for (stream = 0; stream < 4; stream++) (void)ON_RIG(use)(rig, ptr, stream);
  (void)sim_use(&rig->device, 7, ptr);
  below_fail(1, true);
  assert_result(API(record_stream)(rig->cache, ptr, 7), HOSTCACHE_ERR_NO_METADATA);
  below_fail_no_more();
  ON_RIG(forget_then_renew)(rig);
  sim_handed_back(&rig->device, ptr);
  (void)API(free)(rig->cache, ptr); /* quarantines where it cannot wait for the stream */
  for (stream = 0; stream < 4; stream++) sim_complete(&rig->device, stream, -1);
  assert_ok(API(process_events)(rig->cache, NULL));
  (void)ON_RIG(take)(rig, 64 * KIB);
}

/* ---- forget_stream fails: the stream lives on ------------------------------------------------ */

/* Each hook call of forget_stream fails in its turn. Where it says that it failed, the stream is in
   use as before: what is submitted later is covered by the marks of before, whether the blocks are
   freed then, or the stream is forgotten in a second attempt. */
static inline bool ON_RIG(forget_fails_at)(uint64_t n, uint32_t die_idle, bool again_at_once) {
  RIG_NOW *rig = ON_RIG(open)();
  hostcache_config config = ON_RIG(config)(rig);
  void *blocks[4];
  hostcache_result result;
  bool fired;
  size_t i;
  config.streams_die_idle = die_idle;
  config.query_error_limit = 1;
  ON_RIG(configure)(rig, config);
  for (i = 0; i < COUNT_OF(blocks); i++) {
    blocks[i] = ON_RIG(take)(rig, 64 * KIB);
    (void)ON_RIG(use)(rig, blocks[i], 7);
    if (i % 2 == 0) (void)ON_RIG(use)(rig, blocks[i], 1);
  }
  (void)ON_RIG(pend)(rig, 64 * KIB, 7);
  sim_complete(&rig->device, 1, -1);
  rig->device.progress_per_queries = 1;
  sim_fail(&rig->device, n, false, SIM_EVERY_HOOK);
  result = API(forget_stream)(rig->cache, 7);
  fired = rig->device.fault.fired > 0;
  sim_fail_no_more(&rig->device);
  rig->device.progress_per_queries = 0;
  ON_RIG(check)(rig);
  if (result != HOSTCACHE_OK) {
    assert_int_equal(result, HOSTCACHE_ERR_EVENT);
    assert_true(fired);
    for (i = 0; i < COUNT_OF(blocks); i++) (void)sim_use(&rig->device, 7, blocks[i]);
    if (again_at_once) {
      rig->device.progress_per_queries = 1;
      result = API(forget_stream)(rig->cache, 7);
      assert_int_equal(result, HOSTCACHE_OK);
      rig->device.progress_per_queries = 0;
    }
  }
  if (result == HOSTCACHE_OK) {
    sim_stream_destroy(&rig->device, 7);
    sim_stream_create(&rig->device, 7);
  }
  for (i = 0; i < COUNT_OF(blocks); i++) ON_RIG(give)(rig, blocks[i]);
  assert_ok(API(process_events)(rig->cache, NULL));
  for (i = 0; i < COUNT_OF(blocks) + 1; i++)
    (void)ON_RIG(take)(rig, 64 * KIB); /* the referee looks */
  ON_RIG(check)(rig);
  sim_complete_all(&rig->device);
  if (result != HOSTCACHE_OK) assert_ok(API(forget_stream)(rig->cache, 7));
  ON_RIG(close)(rig);
  return fired;
}

RIG_TEST(a_stream_whose_forgetting_fails_anywhere_goes_on_as_before) {
  uint64_t n;
  (void)state;
  for (n = 1; ON_RIG(forget_fails_at)(n, 0, false); n++) assert_true(n < 200);
  for (n = 1; ON_RIG(forget_fails_at)(n, 1, false); n++) assert_true(n < 200);
  for (n = 1; ON_RIG(forget_fails_at)(n, 0, true); n++) assert_true(n < 200);
  for (n = 1; ON_RIG(forget_fails_at)(n, 1, true); n++) assert_true(n < 200);
}

/* Two streams are forgotten at once, and the one that began first fails: the other must not have
   undone what the first needs. */
RIG_TEST(two_streams_forgotten_at_once_do_not_disturb_each_other) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB), *other = ON_RIG(take)(rig, 64 * KIB);
  ON_RIG(call) call;
  sim_stream stream;
  for (stream = 0; stream < 4; stream++) (void)ON_RIG(use)(rig, ptr, stream);
  below_fail(1, true);
  (void)sim_use(&rig->device, 7, ptr);
  assert_result(API(record_stream)(rig->cache, ptr, 7), HOSTCACHE_ERR_NO_METADATA);
  below_fail_no_more();
  (void)ON_RIG(use)(rig, other, 7);
  (void)ON_RIG(use)(rig, other, 8);
  sim_complete_all(&rig->device);

  sim_fail(&rig->device, 2, true, SIM_EVERY_HOOK); /* the second and all later hooks fail */
  ON_RIG(call_start)(&call, rig, NULL, 7, SIM_EVERY_HOOK);
  sim_fail_no_more(&rig->device);
  assert_ok(API(forget_stream)(rig->cache, 8));
  sim_stream_destroy(&rig->device, 8);
  sim_fail(&rig->device, 1, true, SIM_EVERY_HOOK);
  if (ON_RIG(call_end)(&call) != HOSTCACHE_OK) {
    (void)sim_use(&rig->device, 7, ptr); /* the stream lives on */
    (void)sim_use(&rig->device, 7, other);
  }
  sim_fail_no_more(&rig->device);
  sim_handed_back(&rig->device, ptr);
  (void)API(free)(rig->cache, ptr);
  sim_handed_back(&rig->device, other);
  (void)API(free)(rig->cache, other);
  assert_ok(API(process_events)(rig->cache, NULL));
  for (stream = 0; stream < 3; stream++) (void)ON_RIG(take)(rig, 64 * KIB);
}

#if defined CACHE_WAITS || defined CACHE_TIMELINE
/* What is prepared for one stream stays so when another one is forgotten meanwhile: the free calls
   no hook on it. */
RIG_TEST(a_use_without_room_is_forgotten_with_its_stream_also_beside_another_one) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take_and_overfill)(rig), *other = ON_RIG(take)(rig, 64 * KIB);
  ON_RIG(call) call;
  (void)ON_RIG(use)(rig, other, 9);
  sim_complete_all(&rig->device);
  ON_RIG(call_prepare)(&call, rig, NULL, 9, SIM_EVERY_HOOK);
  call.gate.passes = 1; /* the second hook is for the other block */
  ON_RIG(call_run)(&call);
  gate_await(&call.gate);
  assert_ok(API(forget_stream)(rig->cache, 8));
  assert_ok(ON_RIG(call_end)(&call)); /* and the stream is destroyed */
  ON_RIG(give)(rig, ptr);
  assert_ok(API(process_events)(rig->cache, NULL));
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
}
#endif

/* ---- two threads forget the same stream ------------------------------------------------------ */

#ifdef CACHE_TIMELINE
/* The first one waits for the stream; what it has prepared must not let the second one return
   before the stream is there. */
RIG_TEST(a_stream_that_two_threads_forget_has_come_to_its_end_for_both) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  ON_RIG(call) first, second;
  (void)ON_RIG(use)(rig, ptr, 7);
  ON_RIG(call_prepare)(&first, rig, NULL, 7, SIM_EVERY_QUERY | SIM_EVERY_WAIT);
  ON_RIG(call_prepare)(&second, rig, NULL, 7, 0);
  first.keeps = second.keeps = true;
  ON_RIG(call_run)(&first);
  gate_await(&first.gate);
  ON_RIG(call_run)(&second);
  gate_look(&second.gate);
  ON_RIG(let_it_move_beside)(rig);
  gate_open(&first.gate);
  assert_ok(ON_RIG(call_join)(&second));
  assert_ok(ON_RIG(call_end)(&first));
  assert_true(first.idle);
  assert_true(second.idle);
  rig->device.progress_per_queries = 0;
  sim_stream_destroy(&rig->device, 7);
  ON_RIG(give)(rig, ptr);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
}
#else
/* The first one has prepared one of two marks when it fails, and undoes that: the second one must
   not have relied on it. */
RIG_TEST(a_forgetting_that_fails_leaves_no_mark_to_another_that_succeeds) {
  RIG_NOW *rig = *state;
  void *blocks[2];
  ON_RIG(call) first, second;
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++) {
    blocks[i] = ON_RIG(take)(rig, 64 * KIB);
    (void)ON_RIG(use)(rig, blocks[i], 7);
  }
  sim_fail(&rig->device, 2, false, SIM_ONLY(SIM_EVENT_RECORD));
  ON_RIG(call_prepare)(&first, rig, NULL, 7, SIM_ONLY(SIM_EVENT_RECORD));
  ON_RIG(call_prepare)(&second, rig, NULL, 7, SIM_ONLY(SIM_EVENT_RECORD));
  first.gate.passes = 1;
  ON_RIG(call_run)(&first);
  gate_await(&first.gate); /* in the record that is about to fail; and it cannot wait instead: */
  sim_fail(&rig->device, 1, true, SIM_ONLY(SIM_STREAM_WAIT));
  ON_RIG(call_run)(&second);
  gate_look(&second.gate);
  assert_result(ON_RIG(call_join)(&first), HOSTCACHE_ERR_EVENT);
  assert_ok(ON_RIG(call_end)(&second)); /* and the stream is destroyed */
  sim_fail_no_more(&rig->device);
  for (i = 0; i < COUNT_OF(blocks); i++) ON_RIG(give)(rig, blocks[i]); /* a hook must not see it */
  for (i = 0; i < COUNT_OF(blocks); i++) (void)ON_RIG(take)(rig, 64 * KIB);
}
#endif

/* ---- the record of a forgotten stream is used for another ------------------------------------ */

/* Stream 8 follows stream 7 in the moment in which an event of 7 is on its way to the pool. */
static inline void ON_RIG(change_streams)(void *user) {
  RIG_NOW *rig = user;
  assert_ok(API(forget_stream)(rig->cache, 7));
  sim_stream_destroy(&rig->device, 7);
  assert_ok(API(record_stream)(rig->cache, (void *)rig->device.blocks.at[0].start, 8));
}

RIG_TEST(an_event_that_completes_while_its_stream_is_forgotten_serves_no_other_stream) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(pend)(rig, 64 * KIB, 7);
  sim_complete_all(&rig->device);
  below.once = ON_RIG(change_streams);
  below.once_user = rig;
  assert_int_equal(ON_RIG(poll)(rig), 1);
  if (below.once != NULL) { /* a mode without a pool */
    below.once = NULL;
    return;
  }
  (void)sim_use(&rig->device, 8, ptr);
  ON_RIG(give)(rig, ptr); /* the referee sees whose event is recorded */
}

#ifndef CACHE_WAITS
/* Inside of the queries with which forget_stream waits, first for what is pending at the call, then
   for what came meanwhile. */
typedef struct ON_RIG(latecomer) {
  RIG_NOW *rig;
  ON_RIG(call) call;
  gate forgotten;   /* reached when the stream is */
  bool is_too_soon; /* it was, while the hook still ran */
  pthread_t opener;
  int step;
} ON_RIG(latecomer);

static inline void *ON_RIG(let_it_record)(void *argument) {
  ON_RIG(latecomer) *late = argument;
  gate_look(&late->forgotten);
  pthread_mutex_lock(&late->forgotten.lock);
  late->is_too_soon = late->forgotten.reached;
  pthread_mutex_unlock(&late->forgotten.lock);
  ON_RIG(let_it_move_beside)(late->rig);
  gate_open(&late->call.gate);
  return NULL;
}

static inline void ON_RIG(come_late)(void *user, sim_hook hook) {
  ON_RIG(latecomer) *late = user;
  RIG_NOW *rig = late->rig;
  if ((SIM_ONLY(hook) & SIM_EVERY_QUERY) == 0) return;
  if (late->step == 0) {
    sim_complete(&rig->device, 7, -1);
    (void)ON_RIG(pend)(rig, 64 * KIB, 7); /* this is to be waited for too; in its query ... */
  } else if (late->step == 1) {
    void *block = ON_RIG(take)(rig, 128 * KIB); /* ... a block is used and freed, which stops */
    (void)ON_RIG(use)(rig, block, 7);
    sim_handed_back(&rig->device, block);
    ON_RIG(call_start)(&late->call, rig, block, -1, SIM_EVERY_RECORD);
    sim_complete(&rig->device, 7, 1);
    assert_int_equal(pthread_create(&late->opener, NULL, ON_RIG(let_it_record), late), 0);
  }
  late->step++;
}

/* However late it begins. */
RIG_TEST(a_free_that_begins_while_its_stream_is_forgotten_keeps_it_until_it_is_recorded) {
  RIG_NOW *rig = *state;
  ON_RIG(latecomer) late;
  ON_RIG(let_streams_die_idle)(rig);
  memset(&late, 0, sizeof late);
  late.rig = rig;
  gate_init(&late.forgotten, 0);
  (void)ON_RIG(pend)(rig, 64 * KIB, 7);
  rig->device.on_hook = ON_RIG(come_late);
  rig->device.on_hook_user = &late;
  assert_ok(API(forget_stream)(rig->cache, 7));
  gate_open(&late.forgotten);
  assert_int_equal(late.step, 2);
  sim_stream_destroy(&rig->device, 7); /* the referee sees whether a hook is still there */
  assert_int_equal(pthread_join(late.opener, NULL), 0);
  assert_ok(ON_RIG(call_end)(&late.call));
  assert_false(late.is_too_soon);
  gate_end(&late.forgotten);
  (void)ON_RIG(poll)(rig); /* no hook sees the handle */
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
}
#endif

/* ---- others, while a thread is inside of a hook ---------------------------------------------- */

static inline void ON_RIG(pend_one_more)(void *user, sim_hook hook) {
  RIG_NOW *rig = user;
  if (!(SIM_EVERY_QUERY & SIM_ONLY(hook))) return;
  sim_depth++;
  (void)ON_RIG(pend)(rig, 4 * KIB, 1);
  sim_depth--;
}

RIG_TEST(a_poll_asks_no_further_than_what_was_queued_when_it_began) {
  RIG_NOW *rig = *state;
  (void)ON_RIG(pend)(rig, 64 * KIB, 1);
  (void)ON_RIG(pend)(rig, 64 * KIB, 1);
  rig->device.eager = true; /* what is freed in a query is complete before the next one */
  rig->device.on_hook = ON_RIG(pend_one_more);
  rig->device.on_hook_user = rig;
  assert_int_equal(ON_RIG(poll)(rig), 2);
  rig->device.on_hook = NULL;
}

#ifdef CACHE_WAITS
/* Another thread, while synchronize gives back what is idle: what it waits for completes, and
   something else of the same stream is freed, and hangs. */
static inline void ON_RIG(go_on_when_freed)(void *user, sim_hook hook) {
  RIG_NOW *rig = user;
  if (hook != SIM_MEM_FREE) return;
  rig->device.on_hook = NULL;
  sim_complete(&rig->device, 1, -1);
  assert_int_equal(ON_RIG(poll)(rig), 1);
  (void)ON_RIG(pend)(rig, 3 * MIB, 1);
}

RIG_TEST(synchronize_does_not_wait_for_what_is_freed_after_the_call) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  config.max_cached_bytes = HOSTCACHE_NONE;
  ON_RIG(configure)(rig, config);
  (void)ON_RIG(pend)(rig, 3 * MIB, 1);
  (void)ON_RIG(pend)(rig, 3 * MIB, 2);
  sim_complete(&rig->device, 2, -1);
  rig->device.on_hook = ON_RIG(go_on_when_freed);
  rig->device.on_hook_user = rig;
  assert_ok(API(synchronize)(rig->cache, UINT64_MAX));
  assert_null(rig->device.on_hook);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
  assert_false(ON_RIG(is_idle)(rig, 1));
}
#endif

#ifdef CACHE_EVENT_T
/* The events of two streams end at the same time; the one that was forgotten first is the first to
   be through. */
RIG_TEST(streams_whose_events_end_at_once_are_forgotten_independently) {
  RIG_NOW *rig = *state;
  ON_RIG(call) calls[2];
  void *ptr;
  int i;
  for (i = 0; i < 2; i++) {
    (void)ON_RIG(pend)(rig, 64 * KIB, 7 + i);
    sim_complete_all(&rig->device);
    assert_int_equal(ON_RIG(poll)(rig), 1); /* and the pool has an event, where there is one */
  }
  for (i = 0; i < 2; i++)
    ON_RIG(call_start)(&calls[i], rig, NULL, 7 + i, SIM_ONLY(SIM_EVENT_DESTROY));
  for (i = 0; i < 2; i++) assert_ok(ON_RIG(call_join)(&calls[i]));
  rig->device.on_hook = NULL;
  for (i = 0; i < 2; i++) { /* in their places */
    ptr = ON_RIG(pend)(rig, 64 * KIB, 17 + i);
    sim_complete_all(&rig->device);
    assert_int_equal(ON_RIG(poll)(rig), 1);
    assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
  }
}
#endif

RIG_TEST(a_poll_that_is_under_way_holds_nobody_up) {
  RIG_NOW *rig = *state;
  void *cached = ON_RIG(take)(rig, 64 * KIB);
  ON_RIG(call) call;
  (void)ON_RIG(pend)(rig, 64 * KIB, 1);
  (void)ON_RIG(pend)(rig, 64 * KIB, 2);
  ON_RIG(give)(rig, cached);
  ON_RIG(call_start)(&call, rig, NULL, -1, SIM_EVERY_QUERY);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), cached); /* a hit */
  (void)ON_RIG(take)(rig, 128 * KIB);                    /* a miss */
  (void)ON_RIG(pend)(rig, 4 * KIB, 3);
  (void)ON_RIG(pend)(rig, 4 * KIB, 1);
  sim_complete(&rig->device, 3, -1);
  assert_int_equal(ON_RIG(poll)(rig), 1); /* the streams that nobody is asking */
  assert_ok(API(empty_cache)(rig->cache));
  assert_result(API(destroy)(rig->cache), HOSTCACHE_ERR_BUSY);
  assert_ok(ON_RIG(call_end)(&call));
}

RIG_TEST(synchronize_counts_what_another_thread_is_just_recording) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  ON_RIG(call) call;
  (void)ON_RIG(use)(rig, ptr, 1);
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free_deferred)(rig->cache, ptr));
  ON_RIG(call_start)
  (&call, rig, NULL, -1, SIM_EVERY_RECORD); /* it took the block, and has not recorded it yet */
  assert_result(API(synchronize)(rig->cache, 0), HOSTCACHE_ERR_TIMEOUT);
  assert_result(API(destroy)(rig->cache), HOSTCACHE_ERR_BUSY);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
  assert_ok(ON_RIG(call_end)(&call));
}

/* Opens the gate once the test's thread waits for what stands there, and so looks at the clock. */
static inline void *ON_RIG(open_when_awaited)(void *argument) {
  ON_RIG(call) *call = argument;
  const uint64_t began = atomic_load(&below.now_ns);
  while (atomic_load(&below.now_ns) - began < 10000) sched_yield();
  gate_open(&call->gate);
  return NULL;
}

RIG_TEST(synchronize_waits_for_what_another_thread_is_just_recording) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  ON_RIG(call) call;
  pthread_t opener;
  (void)ON_RIG(use)(rig, ptr, 1);
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free_deferred)(rig->cache, ptr));
  rig->device.progress_per_queries = 1;
  ON_RIG(call_start)(&call, rig, NULL, -1, SIM_EVERY_RECORD);
  assert_int_equal(pthread_create(&opener, NULL, ON_RIG(open_when_awaited), &call), 0);
  assert_ok(API(synchronize)(rig->cache, UINT64_MAX - 1)); /* never, but looks at the clock */
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
  assert_int_equal(pthread_join(opener, NULL), 0);
  assert_ok(ON_RIG(call_end)(&call));
}

/* One call stands inside of a hook on the stream, while another thread forgets the stream and
   destroys it: the referee says so if the hook is still there. (A cache that does not wait is given
   time to be caught: one that does is not hurried by it.) */
static inline void ON_RIG(forget_beside)(RIG_NOW *rig, void *block, unsigned hooks) {
  ON_RIG(call) inside, forget;
  ON_RIG(call_start)(&inside, rig, block, -1, hooks);
  ON_RIG(call_prepare)(&forget, rig, NULL, 7, 0);
  ON_RIG(call_run)(&forget);
  gate_look(&forget.gate);
  ON_RIG(let_it_move_beside)(rig);
  gate_open(&inside.gate);
  assert_ok(ON_RIG(call_join)(&forget));
  assert_ok(ON_RIG(call_end)(&inside));
  rig->device.progress_per_queries = 0;
}

RIG_TEST(a_query_that_is_under_way_on_a_stream_keeps_it_from_being_forgotten) {
  RIG_NOW *rig = *state;
  (void)ON_RIG(pend)(rig, 64 * KIB, 7);
  sim_complete_all(&rig->device);
  ON_RIG(forget_beside)(rig, NULL, SIM_EVERY_QUERY);
}

RIG_TEST(a_record_that_is_under_way_on_a_stream_keeps_it_from_being_forgotten) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, ptr, 7);
  sim_handed_back(&rig->device, ptr);
  ON_RIG(forget_beside)(rig, ptr, SIM_EVERY_RECORD);
}

RIG_TEST(a_deferred_record_that_is_under_way_on_a_stream_keeps_it_from_being_forgotten) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, ptr, 7);
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free_deferred)(rig->cache, ptr));
  ON_RIG(forget_beside)(rig, NULL, SIM_EVERY_RECORD);
}

#if defined CACHE_WAITS && !defined CACHE_TIMELINE
/* It polls for events handed over, but not as long as a stream can be waited for. */
RIG_TEST(synchronize_waits_for_streams_also_beside_events_that_were_handed_over) {
  RIG_NOW *rig = *state;
  void *block = ON_RIG(take)(rig, 64 * KIB), *other = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, block, 1);
  (void)sim_use(&rig->device, 1, other);
  assert_ok(API(record_event)(rig->cache, other, CACHE_OWN_EVENT(&rig->device, 1)));
  ON_RIG(give)(rig, block);
  ON_RIG(give)(rig, other);
  rig->device.progress_per_queries = 2;
  assert_ok(API(synchronize)(rig->cache, UINT64_MAX));
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_WAIT), 1);
}

/* While synchronize waits for an event that hangs, others can poll the rest of those handed
   over. */
static inline void ON_RIG(poll_inside)(void *user, sim_hook hook) {
  RIG_NOW *rig = user;
  int64_t pending;
  if (hook != SIM_EVENT_WAIT) return;
  pending = ON_RIG(stats)(rig).pending.current;
  if (pending < 3) return;
  sim_complete(&rig->device, 2, -1);
  sim_depth++;
  assert_ok(API(process_events)(rig->cache, NULL));
  sim_depth--;
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
}

RIG_TEST(synchronize_on_an_event_that_hangs_keeps_no_other_from_being_polled) {
  RIG_NOW *rig = *state;
  sim_stream stream;
  int i;
  for (i = 0; i < 3; i++) {
    void *ptr = ON_RIG(take)(rig, 64 * KIB);
    stream = i == 0 ? 1 : 2;
    (void)sim_use(&rig->device, stream, ptr);
    assert_ok(API(record_event)(rig->cache, ptr, CACHE_OWN_EVENT(&rig->device, stream)));
    ON_RIG(give)(rig, ptr);
  }
  rig->device.on_hook = ON_RIG(poll_inside);
  rig->device.on_hook_user = rig;
  rig->device.progress_per_queries = 1; /* where it polls instead */
  assert_ok(API(synchronize)(rig->cache, UINT64_MAX));
}
#endif

/* ---- threads and failures -------------------------------------------------------------------- */

typedef struct ON_RIG(worker) {
  RIG_NOW *rig;
  pthread_t thread;
  int number;
} ON_RIG(worker);

/* Work completes as it is submitted here, so that quarantine may be released at any time; but each
   eleventh hook fails. */
static inline void *ON_RIG(do_all_and_fail)(void *argument) {
  ON_RIG(worker) *w = argument;
  RIG_NOW *rig = w->rig;
  uint64_t seed = 1000 + (uint64_t)w->number;
  const sim_stream own = 20 + w->number;
  void *slots[6] = {NULL};
  int step;
  size_t i;
  for (step = 0; step < 1200; step++) {
    size_t slot = random_below(&seed, COUNT_OF(slots));
    sim_stream stream = random_below(&seed, 4) == 0 ? own : (sim_stream)random_below(&seed, 8);
    hostcache_result result = HOSTCACHE_OK;
    if (slots[slot] == NULL) {
      size_t size = (1 + random_below(&seed, 4)) * 64 * KIB;
      result = API(alloc)(rig->cache, size, &slots[slot]);
      expect_or_abort(result == HOSTCACHE_OK || result == HOSTCACHE_ERR_OUT_OF_MEMORY);
      if (slots[slot] != NULL) sim_handed_out(&rig->device, slots[slot], size);
      continue;
    }
    switch (random_below(&seed, 16)) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        result = API(record_stream)(rig->cache, slots[slot], stream);
        expect_or_abort(result == HOSTCACHE_OK);
        (void)sim_use(&rig->device, stream, slots[slot]);
        break;
      case 5: (void)sim_use(&rig->device, stream, slots[slot]);
#ifdef CACHE_TIMELINE
        result = API(record_value)(rig->cache, slots[slot], stream, 1);
#else
        result = API(record_event)(rig->cache, slots[slot], CACHE_OWN_EVENT(&rig->device, stream));
#endif
        expect_or_abort(result == HOSTCACHE_OK);
        break;
      case 6:
      case 7:
      case 8:
      case 9:
      case 10:
      case 11:
        sim_handed_back(&rig->device, slots[slot]);
        result = random_below(&seed, 3) == 0 ? API(free_deferred)(rig->cache, slots[slot])
                                             : API(free)(rig->cache, slots[slot]);
        expect_or_abort(result == HOSTCACHE_OK || result == HOSTCACHE_ERR_EVENT);
        slots[slot] = NULL;
        break;
      case 12: result = API(process_events)(rig->cache, NULL); break;
      case 13: result = API(release_quarantine)(rig->cache); break;
      case 14:
        result = API(forget_stream)(rig->cache, own);
        if (result == HOSTCACHE_OK) {
          sim_stream_destroy(&rig->device, own);
          sim_stream_create(&rig->device, own);
        }
        break;
      default: result = step % 3 == 0 ? API(check)(rig->cache) : API(synchronize)(rig->cache, 0);
    }
    expect_or_abort(result == HOSTCACHE_OK || result == HOSTCACHE_ERR_EVENT ||
                    result == HOSTCACHE_ERR_TIMEOUT);
  }
  for (i = 0; i < COUNT_OF(slots); i++) {
    if (slots[i] == NULL) continue;
    sim_handed_back(&rig->device, slots[i]);
    (void)API(free)(rig->cache, slots[i]);
  }
  return NULL;
}

/* on_error is heard on several threads here, so that nothing is kept of it. */
static inline void ON_RIG(hear_nothing)(void *user, hostcache_result result, int64_t code,
                                        const char *what, const void *ptr) {
  (void)user;
  (void)ptr;
  expect_or_abort(result == HOSTCACHE_ERR_EVENT || result == HOSTCACHE_ERR_OUT_OF_MEMORY);
  expect_or_abort(what != NULL && (code == SIM_FAILURE || code == 0));
}

RIG_TEST(threads_do_everything_while_hooks_fail) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  ON_RIG(worker) workers[3];
  size_t i;
  config.on_error = ON_RIG(hear_nothing);
  ON_RIG(configure)(rig, config);
  rig->device.eager = rig->device.widens = rig->device.reuses_addresses = true;
  sim_fail_every(&rig->device, 11,
                 SIM_EVERY_HOOK & ~(SIM_ONLY(SIM_MEM_FREE) | SIM_ONLY(SIM_EVENT_DESTROY)));
  for (i = 0; i < COUNT_OF(workers); i++) {
    workers[i].rig = rig;
    workers[i].number = (int)i;
    assert_int_equal(pthread_create(&workers[i].thread, NULL, ON_RIG(do_all_and_fail), &workers[i]),
                     0);
  }
  for (i = 0; i < COUNT_OF(workers); i++)
    assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
  sim_fail_no_more(&rig->device);
  (void)API(process_events)(rig->cache, NULL);
}
