/* suite_forget.h - a template of tests: forget_stream against frees that race it, against failures
   half way, and with nothing to wait for. The referee speaks up when a hook sees a stream that was
   destroyed, and when memory is handed out that work still uses. */

/* Forgets stream 9 while everything moves along, and destroys it. */
static inline void ON_RIG(forget_and_destroy)(RIG_NOW *rig) {
  rig->device.progress_per_queries = 1;
  assert_ok(API(forget_stream)(rig->cache, 9));
  rig->device.progress_per_queries = 0;
  rig->device.on_hook = NULL;
  sim_stream_destroy(&rig->device, 9);
}

/* Stands for another thread that frees the marked block at the worst moment: inside the first hook
   that the forgetting calls. */
typedef struct ON_RIG(rival) {
  RIG_NOW *rig;
  void *block;
  bool deferred;
} ON_RIG(rival);

/* From now on, until it is told to stop (rig->device.on_hook). */
static inline void ON_RIG(rival_has)(RIG_NOW *rig, ON_RIG(rival) * rival, void *block,
                                     void (*hook)(void *, sim_hook)) {
  rival->rig = rig;
  rival->block = block;
  rig->device.on_hook = hook;
  rig->device.on_hook_user = rival;
}

/* ... a block that stream 9 uses. */
static inline void ON_RIG(rival_has_marked)(RIG_NOW *rig, ON_RIG(rival) * rival,
                                            void (*hook)(void *, sim_hook)) {
  void *block = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, block, 9);
  ON_RIG(rival_has)(rig, rival, block, hook);
}

static inline void ON_RIG(rival_frees)(void *user, sim_hook hook) {
  ON_RIG(rival) *rival = user;
  (void)hook;
  if (rival->block == NULL) return;
  sim_handed_back(&rival->rig->device, rival->block);
  if (rival->deferred)
    assert_ok(API(free_deferred)(rival->rig->cache, rival->block));
  else
    assert_ok(API(free)(rival->rig->cache, rival->block));
  rival->block = NULL;
}

static inline void ON_RIG(forget_with_a_rival)(RIG_NOW *rig, bool deferred, bool is_first) {
  ON_RIG(rival) rival = {NULL, NULL, false};
  if (!is_first) (void)ON_RIG(use)(rig, ON_RIG(take)(rig, 64 * KIB), 9); /* the hook is for this */
  rival.rig = rig;
  rival.deferred = deferred;
  rival.block = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, rival.block, 9);
  rig->device.on_hook = ON_RIG(rival_frees);
  rig->device.on_hook_user = &rival;
  ON_RIG(forget_and_destroy)(rig);
  assert_null(rival.block);
  assert_ok(API(process_events)(rig->cache, NULL)); /* asks nothing of the stream any more */
  (void)ON_RIG(take)(rig, 64 * KIB);
}

RIG_TEST(a_block_freed_while_its_stream_is_forgotten_is_waited_for) {
  ON_RIG(forget_with_a_rival)(*state, false, true);
}

RIG_TEST(a_block_freed_deferred_while_its_stream_is_forgotten_is_waited_for) {
  ON_RIG(forget_with_a_rival)(*state, true, true);
}

RIG_TEST(a_block_freed_deferred_before_its_mark_is_looked_at_is_waited_for) {
  ON_RIG(forget_with_a_rival)(*state, true, false);
}

RIG_TEST(what_is_recorded_and_asked_to_forget_a_stream_is_counted) {
  RIG_NOW *rig = *state;
  void *marked;
  ON_RIG(let_streams_die_idle)(rig);
  marked = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, marked, 9);
  (void)ON_RIG(pend)(rig, 64 * KIB, 9);
  ON_RIG(forget_and_destroy)(rig);
  assert_int_equal(
      ON_RIG(stats)(rig).num_event_record,
      sim_calls(&rig->device, SIM_ONLY(SIM_EVENT_RECORD) | SIM_ONLY(SIM_TIMELINE_RECORD)));
  assert_int_equal(ON_RIG(stats)(rig).num_event_query, sim_calls(&rig->device, SIM_EVERY_QUERY));
  ON_RIG(give)(rig, marked);
}

RIG_TEST(what_is_ready_after_a_stream_was_forgotten_is_idle_memory) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  config.streams_die_idle = 1;
  config.max_cached_bytes = HOSTCACHE_NONE;
  ON_RIG(configure)(rig, config);
  (void)ON_RIG(pend)(rig, 3 * MIB, 9);
  ON_RIG(forget_and_destroy)(rig);
  assert_int_equal(ON_RIG(stats)(rig).reserved_bytes.current, 0);
}

RIG_TEST(a_stream_on_which_nothing_ever_ran_leaves_no_mark) {
  RIG_NOW *rig = *state;
  void *block = ON_RIG(take)(rig, 64 * KIB);
  assert_ok(API(record_stream)(rig->cache, block, 9));
  ON_RIG(forget_and_destroy)(rig);
  ON_RIG(give)(rig, block);
  assert_ok(API(process_events)(rig->cache, NULL));
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
}

/* There was no memory for a queue, so it waits among what has no order; as does what another stream
   is not through with. */
RIG_TEST(what_waits_in_no_queue_is_waited_for_when_its_stream_is_forgotten) {
  RIG_NOW *rig = *state;
  void *block, *other;
  ON_RIG(let_streams_die_idle)(rig);
  block = ON_RIG(take)(rig, 64 * KIB);
  other = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, block, 9);
  (void)ON_RIG(use)(rig, other, 8);
  below_fail(1, true);
  ON_RIG(give)(rig, other);
  ON_RIG(give)(rig, block);
  below_fail_no_more();
  sim_stick(&rig->device, 8, true);
  rig->device.progress_per_queries = 1;
  assert_ok(API(forget_stream)(rig->cache, 9));
  assert_true(sim_lane_reached(&rig->device, 9, 1));
  sim_stream_destroy(&rig->device, 9);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
}

/* ... although it has completed in the end. */
RIG_TEST(a_query_that_fails_while_its_stream_is_forgotten_is_told) {
  RIG_NOW *rig = *state;
  ON_RIG(let_streams_die_idle)(rig);
  (void)ON_RIG(pend)(rig, 64 * KIB, 9);
  rig->device.progress_per_queries = 1;
  sim_fail(&rig->device, 1, false, SIM_EVERY_QUERY);
  assert_result(API(forget_stream)(rig->cache, 9), HOSTCACHE_ERR_EVENT);
  assert_ok(API(forget_stream)(rig->cache, 9));
}

/* Whichever hook fails: if the stream could not be forgotten it lives on, and its marks cover later
   work as before. */
RIG_TEST(a_stream_that_could_not_be_forgotten_is_marked_as_before) {
  uint64_t n, refused = 0;
  bool fired = true;
  (void)state;
  for (n = 1; fired; n++) {
    RIG_NOW *rig = ON_RIG(open)();
    void *blocks[3];
    hostcache_result result;
    size_t i;
    for (i = 0; i < COUNT_OF(blocks); i++) {
      blocks[i] = ON_RIG(take)(rig, 64 * KIB);
      (void)ON_RIG(use)(rig, blocks[i], 9);
    }
    rig->may_lose_events = true;
    rig->device.progress_per_queries = 1;
    sim_fail(&rig->device, n, true, SIM_EVERY_HOOK);
    result = API(forget_stream)(rig->cache, 9);
    fired = rig->device.fault.fired > 0;
    sim_fail_no_more(&rig->device);
    rig->device.progress_per_queries = 0;
    ON_RIG(check)(rig);
    if (result == HOSTCACHE_OK) {
      sim_stream_destroy(&rig->device, 9);
    } else {
      assert_int_equal(result, HOSTCACHE_ERR_EVENT);
      refused++;
      sim_complete(&rig->device, 9, -1);
      for (i = 0; i < COUNT_OF(blocks); i++)
        (void)sim_use(&rig->device, 9, blocks[i]); /* later work */
    }
    for (i = 0; i < COUNT_OF(blocks); i++) ON_RIG(give)(rig, blocks[i]);
    assert_ok(API(process_events)(rig->cache, NULL));
    for (i = 0; i < COUNT_OF(blocks); i++)
      (void)ON_RIG(take)(rig, 64 * KIB); /* the referee looks */
    ON_RIG(close)(rig);
    assert_true(n < 100);
  }
  assert_true(refused > 0);
}

#ifndef CACHE_TIMELINE
/* The mark has the event that was recorded for it until that is known. */
RIG_TEST(abandon_leaves_nothing_of_a_stream_that_could_not_be_forgotten) {
  RIG_NOW *rig = *state;
  int i;
  for (i = 0; i < 2; i++) (void)ON_RIG(use)(rig, ON_RIG(take)(rig, 64 * KIB), 9);
  sim_fail(&rig->device, 2, true, SIM_EVERY_RECORD | SIM_EVERY_WAIT);
  assert_result(API(forget_stream)(rig->cache, 9), HOSTCACHE_ERR_EVENT);
  sim_fail_no_more(&rig->device);
  rig->left_bytes = sim_live_bytes(&rig->device);
  rig->may_lose_events = true;
  sim_shutdown(&rig->device);
  API(abandon)(rig->cache);
  rig->cache = NULL;
}
#endif

/* While a use without room of stream 9 is as good as over, as 9 is being forgotten, one of stream 8
   finds no room either: that one counts. */
static inline void ON_RIG(mark_without_room)(RIG_NOW *rig, void *block, sim_stream stream) {
  (void)sim_use(&rig->device, stream, block);
  below_fail(1, true);
  assert_result(API(record_stream)(rig->cache, block, stream), HOSTCACHE_ERR_NO_METADATA);
  below_fail_no_more();
}

static inline void ON_RIG(rival_marks)(void *user, sim_hook hook) {
  ON_RIG(rival) *rival = user;
  (void)hook;
  if (rival->block == NULL) return;
  ON_RIG(mark_without_room)(rival->rig, rival->block, 8);
  rival->block = NULL;
}

RIG_TEST(a_use_without_room_made_while_another_stream_is_forgotten_counts) {
  RIG_NOW *rig = *state;
  ON_RIG(rival) rival = {NULL, NULL, false};
  void *marked = ON_RIG(take)(rig, 64 * KIB), *ptr = ON_RIG(take)(rig, 64 * KIB);
  sim_stream stream;
  for (stream = 0; stream < 4; stream++) assert_ok(API(record_stream)(rig->cache, ptr, stream));
  (void)ON_RIG(use)(rig, marked, 9);
  ON_RIG(mark_without_room)(rig, ptr, 9);
  ON_RIG(rival_has)(rig, &rival, ptr, ON_RIG(rival_marks));
  ON_RIG(forget_and_destroy)(rig);
  assert_null(rival.block);
  sim_handed_back(&rig->device, ptr);
  assert_result(API(free)(rig->cache, ptr), HOSTCACHE_ERR_EVENT); /* two uses cannot be told */
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
  (void)ON_RIG(take)(rig, 64 * KIB); /* the referee looks */
}

/* A block whose marks fill it, and a use of stream 9 that finds no room. */
static inline void *ON_RIG(take_and_overfill)(RIG_NOW *rig) {
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  sim_stream stream;
  for (stream = 0; stream < 4; stream++) assert_ok(API(record_stream)(rig->cache, ptr, stream));
  ON_RIG(mark_without_room)(rig, ptr, 9);
  return ptr;
}

/* Its free has nothing to record, but it is not ready at once. */
RIG_TEST(a_use_without_room_counts_also_where_all_others_are_forgotten) {
  RIG_NOW *rig = *state;
  sim_stream stream;
  void *ptr;
  ON_RIG(let_streams_die_idle)(rig);
  ptr = ON_RIG(take_and_overfill)(rig);
  for (stream = 0; stream < 4; stream++) {
    assert_ok(API(forget_stream)(rig->cache, stream));
    sim_stream_destroy(&rig->device, stream);
  }
  sim_handed_back(&rig->device, ptr);
#ifdef CACHE_WAITS
  assert_ok(API(free)(rig->cache, ptr));
  assert_true(sim_lane_reached(&rig->device, 9, 1));
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
#else
  assert_result(API(free)(rig->cache, ptr), HOSTCACHE_ERR_EVENT);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
#endif
}

#ifndef CACHE_WAITS
/* One more that cannot be recorded is one more that cannot be told. */
RIG_TEST(a_use_without_room_and_one_that_is_not_recorded_are_two_that_cannot_be_told) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take_and_overfill)(rig);
  sim_stream stream;
  sim_fail(&rig->device, 1, false, SIM_EVERY_RECORD);
  sim_handed_back(&rig->device, ptr);
  assert_result(API(free)(rig->cache, ptr), HOSTCACHE_ERR_EVENT);
  sim_fail_no_more(&rig->device);
  for (stream = 0; stream < 4; stream++) sim_complete(&rig->device, stream, -1);
  assert_int_equal(ON_RIG(poll)(rig), 0);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
  (void)ON_RIG(take)(rig, 64 * KIB); /* the referee looks */
}
#else
/* A timeline is asked only where a value was given: an idle stream need not have reached that. */
RIG_TEST(a_use_without_room_that_is_waited_for_is_not_asked_for) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take_and_overfill)(rig);
  const uint64_t queries = sim_calls(&rig->device, SIM_EVERY_QUERY);
  ON_RIG(give)(rig, ptr);
  assert_true(sim_lane_reached(&rig->device, 9, 1));
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_QUERY), queries);
}
#endif

/* Later there is memory, and the stream is marked as it should be; but what was used before that is
   not covered, where the stream cannot be waited for. */
RIG_TEST(a_use_without_room_counts_also_where_its_stream_is_marked_later) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take_and_overfill)(rig);
  (void)ON_RIG(use)(rig, ptr, 9);
  ON_RIG(forget_and_destroy)(rig);
  sim_handed_back(&rig->device, ptr);
#if defined CACHE_WAITS || defined CACHE_TIMELINE
  assert_ok(API(free)(rig->cache, ptr));
#else
  assert_result(API(free)(rig->cache, ptr), HOSTCACHE_ERR_EVENT);
#endif
  assert_ok(API(process_events)(rig->cache, NULL));
  (void)ON_RIG(take)(rig, 64 * KIB); /* the referee looks */
}

/* What is freed in a callback while another stream is forgotten is recorded before that is gone:
   also where nothing but a use without room is of that stream; and it need not be. */
static inline void ON_RIG(forget_with_a_rival_without_room)(RIG_NOW *rig, sim_stream stream) {
  ON_RIG(rival) rival = {NULL, NULL, true};
  void *marked = ON_RIG(take)(rig, 64 * KIB);
  sim_stream other;
  rival.rig = rig;
  rival.block = ON_RIG(take)(rig, 64 * KIB);
  for (other = 0; other < 4; other++) assert_ok(API(record_stream)(rig->cache, rival.block, other));
  ON_RIG(mark_without_room)(rig, rival.block, stream);
  (void)ON_RIG(use)(rig, marked, 9);
  rig->device.on_hook = ON_RIG(rival_frees);
  rig->device.on_hook_user = &rival;
  ON_RIG(forget_and_destroy)(rig);
  assert_null(rival.block);
  (void)API(process_events)(rig->cache, NULL); /* may quarantine it, and asks nothing of 9 */
  (void)ON_RIG(take)(rig, 64 * KIB);           /* the referee looks */
  (void)ON_RIG(take)(rig, 64 * KIB);
}

RIG_TEST(a_use_without_room_freed_deferred_while_its_stream_is_forgotten_is_seen_to) {
  ON_RIG(forget_with_a_rival_without_room)(*state, 9);
}

RIG_TEST(a_use_without_room_freed_deferred_while_another_stream_is_forgotten_is_left_alone) {
  ON_RIG(forget_with_a_rival_without_room)(*state, 8);
}

#ifdef CACHE_WAITS

RIG_TEST(a_stream_on_which_nothing_can_be_recorded_is_waited_for_when_it_is_forgotten) {
  RIG_NOW *rig = *state;
  void *block = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, block, 9);
  sim_fail(&rig->device, 1, false, SIM_EVERY_RECORD);
  assert_ok(API(forget_stream)(rig->cache, 9));
  assert_true(sim_lane_reached(&rig->device, 9, 1));
  sim_stream_destroy(&rig->device, 9);
  ON_RIG(give)(rig, block);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), block);
}

/* That is told once. */
RIG_TEST(a_stream_that_cannot_be_waited_for_is_asked_until_it_is_idle) {
  RIG_NOW *rig = *state;
  int i;
  ON_RIG(let_streams_die_idle)(rig);
  for (i = 0; i < 3; i++) (void)ON_RIG(pend)(rig, 64 * KIB, 9);
  sim_fail(&rig->device, 1, true, SIM_EVERY_WAIT);
  rig->device.progress_per_queries = 2;
  assert_ok(API(forget_stream)(rig->cache, 9));
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_WAIT), 1);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_EVENT], 1);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
}

#ifndef CACHE_TIMELINE
RIG_TEST(a_stream_that_cannot_be_waited_for_is_not_forgotten) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take_and_overfill)(rig);
  sim_fail(&rig->device, 1, true, SIM_ONLY(SIM_STREAM_WAIT));
  assert_result(API(forget_stream)(rig->cache, 9), HOSTCACHE_ERR_EVENT);
  sim_fail_no_more(&rig->device);
  (void)sim_use(&rig->device, 9, ptr); /* later work */
  assert_ok(API(forget_stream)(rig->cache, 9));
  assert_true(sim_lane_reached(&rig->device, 9, 2));
  sim_stream_destroy(&rig->device, 9);
  ON_RIG(give)(rig, ptr);
  (void)ON_RIG(poll)(rig);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
}
#endif

/* Makes a block with a use without room, and one with a mark of stream 9, during whose forgetting
   the rival has the first. Returns that. */
static inline void *ON_RIG(let_rival)(RIG_NOW *rig, ON_RIG(rival) * rival,
                                      void (*hook)(void *, sim_hook)) {
  void *block = ON_RIG(take_and_overfill)(rig), *marked = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, marked, 9);
  rig->device.all_calls = 0;
  ON_RIG(rival_has)(rig, rival, block, hook);
  return block;
}

/* Uses the block again when its use without room is as good as over: inside the second hook. */
static inline void ON_RIG(rival_marks_again)(void *user, sim_hook hook) {
  ON_RIG(rival) *rival = user;
  (void)hook;
  if (rival->block == NULL || rival->rig->device.all_calls < 2) return;
  ON_RIG(mark_without_room)(rival->rig, rival->block, 9);
  rival->block = NULL;
}

RIG_TEST(a_use_without_room_counts_also_where_its_stream_is_just_forgotten) {
  RIG_NOW *rig = *state;
  ON_RIG(rival) rival = {NULL, NULL, false};
  void *block = ON_RIG(let_rival)(rig, &rival, ON_RIG(rival_marks_again));
  assert_ok(API(forget_stream)(rig->cache, 9));
  rig->device.on_hook = NULL;
  assert_null(rival.block);
  ON_RIG(give)(rig, block);
  assert_true(
      sim_lane_reached(&rig->device, 9, 3)); /* it was waited for, or is by the forgetting */
  (void)ON_RIG(poll)(rig);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), block); /* the referee looks */
}

/* The same, of stream 8: it finds no room while the use of stream 9 is waited for. */
static inline void ON_RIG(rival_marks_late)(void *user, sim_hook hook) {
  ON_RIG(rival) *rival = user;
  if (rival->rig->device.all_calls >= 2) ON_RIG(rival_marks)(user, hook);
}

RIG_TEST(a_use_without_room_made_while_one_of_another_stream_is_waited_for_counts) {
  RIG_NOW *rig = *state;
  ON_RIG(rival) rival = {NULL, NULL, false};
  void *block = ON_RIG(let_rival)(rig, &rival, ON_RIG(rival_marks_late));
  ON_RIG(forget_and_destroy)(rig);
  assert_null(rival.block);
  sim_handed_back(&rig->device, block);
  assert_result(API(free)(rig->cache, block), HOSTCACHE_ERR_EVENT); /* two cannot be told */
  (void)ON_RIG(take)(rig, 64 * KIB);                                /* the referee looks */
}

/* Marks the block once more while the stream is waited for, and uses it later. */
static inline void ON_RIG(rival_marks_for_later)(void *user, sim_hook hook) {
  ON_RIG(rival) *rival = user;
  (void)hook;
  if (rival->block == NULL) return;
  below_fail(1, true);
  assert_result(API(record_stream)(rival->rig->cache, rival->block, 9), HOSTCACHE_ERR_NO_METADATA);
  below_fail_no_more();
  rival->block = NULL;
}

RIG_TEST(a_use_without_room_counts_also_where_its_stream_is_waited_for_just_then) {
  RIG_NOW *rig = *state;
  ON_RIG(rival) rival = {NULL, NULL, false};
  void *block = ON_RIG(take_and_overfill)(rig);
  ON_RIG(rival_has)(rig, &rival, block, ON_RIG(rival_marks_for_later));
  assert_ok(API(forget_stream)(rig->cache, 9));
  rig->device.on_hook = NULL;
  assert_null(rival.block);
  (void)sim_use(&rig->device, 9, block);
  ON_RIG(give)(rig, block);
  (void)ON_RIG(poll)(rig);
  (void)ON_RIG(take)(rig, 64 * KIB); /* the referee looks */
}

/* What was as good as over is so no more, if then the stream is not forgotten after all. */
RIG_TEST(a_use_without_room_of_a_stream_that_could_not_be_forgotten_counts_as_before) {
  RIG_NOW *rig = *state;
  void *block = ON_RIG(take_and_overfill)(rig), *marked = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, marked, 9);
  sim_fail(&rig->device, 2, true, SIM_EVERY_HOOK); /* the second is for the other block */
  rig->may_lose_events = true;
  assert_result(API(forget_stream)(rig->cache, 9), HOSTCACHE_ERR_EVENT);
  sim_fail_no_more(&rig->device);
  ON_RIG(give)(rig, marked);
  (void)sim_use(&rig->device, 9, block);        /* later work */
  assert_ok(API(forget_stream)(rig->cache, 9)); /* which waits for it */
  ON_RIG(give)(rig, block);
  (void)ON_RIG(poll)(rig);
  (void)ON_RIG(take)(rig, 64 * KIB); /* the referee looks at both */
  (void)ON_RIG(take)(rig, 64 * KIB);
}

RIG_TEST(a_use_without_room_counts_also_where_one_of_another_stream_was_forgotten) {
  RIG_NOW *rig = *state;
  void *block = ON_RIG(take_and_overfill)(rig);
  assert_ok(API(forget_stream)(rig->cache, 9));
  ON_RIG(mark_without_room)(rig, block, 10);
  assert_ok(API(forget_stream)(rig->cache, 10)); /* which waits */
  ON_RIG(give)(rig, block);
  (void)ON_RIG(poll)(rig);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), block); /* the referee looks */
}

#ifdef CACHE_TIMELINE
/* Gives a value for a block whose marks fill it, while there is no memory for room. */
static inline void ON_RIG(give_value_without_room)(RIG_NOW *rig, void *block, sim_stream stream,
                                                   uint64_t value) {
  sim_stream other;
  for (other = 0; other < 4; other++) assert_ok(API(record_stream)(rig->cache, block, other));
  below_fail(1, true);
  assert_result(API(record_value)(rig->cache, block, stream, value), HOSTCACHE_ERR_NO_METADATA);
  below_fail_no_more();
}

static inline void ON_RIG(use_when_asked)(void *user, sim_hook hook) {
  ON_RIG(rival) *rival = user;
  if ((hook != SIM_TIMELINE_QUERY && hook != SIM_TIMELINE_WAIT) || rival->block == NULL) return;
  (void)sim_use(&rival->rig->device, 9, rival->block);
  rival->block = NULL;
}

/* Forgetting waits for work that has not been submitted yet, and here is not before it asks: for
   the highest value of any block, with room or without, wherever that stands among them. */
static inline void ON_RIG(forget_with_values)(RIG_NOW *rig, int highest, bool has_room) {
  ON_RIG(rival) rival = {rig, NULL, false};
  const uint64_t done = sim_submit(&rig->device, 9);
  void *blocks[5];
  int i;
  sim_complete(&rig->device, 9, -1);
  for (i = 0; i < 5; i++) {
    const uint64_t value = i == highest ? done + 1 : done;
    blocks[i] = ON_RIG(take)(rig, 64 * KIB);
    if ((i + highest) % 2 == 0 ? has_room : !has_room)
      assert_ok(API(record_value)(rig->cache, blocks[i], 9, value));
    else
      ON_RIG(give_value_without_room)(rig, blocks[i], 9, value);
  }
  rival.block = blocks[highest];
  rig->device.on_hook = ON_RIG(use_when_asked);
  rig->device.on_hook_user = &rival;
  assert_ok(API(forget_stream)(rig->cache, 9));
  rig->device.on_hook = NULL;
  assert_null(rival.block);
  assert_true(sim_lane_reached(&rig->device, 9, done + 1));
  for (i = 0; i < 5; i++) ON_RIG(give)(rig, blocks[i]);
}

RIG_TEST(the_highest_value_is_waited_for_when_its_stream_is_forgotten) {
  int highest;
  for (highest = 0; highest < 5; highest++) {
    ON_RIG(forget_with_values)(*state, highest, false);
    ON_RIG(forget_with_values)(*state, highest, true);
  }
}

RIG_TEST(a_value_without_room_of_another_stream_is_not_waited_for) {
  RIG_NOW *rig = *state;
  void *block = ON_RIG(take)(rig, 64 * KIB);
  int i;
  for (i = 0; i < 3; i++) (void)sim_submit(&rig->device, 9);
  ON_RIG(give_value_without_room)(rig, block, 8, 3);
  assert_ok(API(record_value)(rig->cache, block, 9, 1));
  assert_ok(API(forget_stream)(rig->cache, 9));
  assert_false(sim_lane_reached(&rig->device, 9, 2));
  sim_complete_all(&rig->device);
}
#endif

/* Frees the block when its use without room is as good as over: inside the second hook. No event
   can be recorded, so every stream is waited for, and the block is ready at once. */
static inline void ON_RIG(rival_frees_late)(void *user, sim_hook hook) {
  ON_RIG(rival) *rival = user;
  (void)hook;
  if (rival->block == NULL || rival->rig->device.all_calls < 2) return;
  sim_fail(&rival->rig->device, 1, true, SIM_EVERY_RECORD);
  sim_handed_back(&rival->rig->device, rival->block);
  assert_result(API(free)(rival->rig->cache, rival->block), HOSTCACHE_ERR_EVENT);
  sim_fail_no_more(&rival->rig->device);
  rival->block = NULL;
}

/* What is as good as over is so for the block's next user no more. */
RIG_TEST(a_use_without_room_counts_also_where_the_one_before_was_over) {
  RIG_NOW *rig = *state;
  ON_RIG(rival) rival = {NULL, NULL, false};
  void *first = ON_RIG(take_and_overfill)(rig), *marked = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, marked, 9);
  rig->may_lose_events = true;
  rig->device.all_calls = 0;
  ON_RIG(rival_has)(rig, &rival, first, ON_RIG(rival_frees_late));
  assert_ok(API(forget_stream)(rig->cache, 9));
  rig->device.on_hook = NULL;
  assert_null(rival.block);
  assert_ptr_equal(ON_RIG(take_and_overfill)(rig), first);
  assert_ok(API(forget_stream)(rig->cache, 9)); /* which waits */
  ON_RIG(give)(rig, first);
  assert_ok(API(process_events)(rig->cache, NULL));
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), first); /* the referee looks */
}

#endif

#ifndef CACHE_TIMELINE

/* An event that was recorded in vain may not be ended before it has completed: the cache keeps it
   until then. */
RIG_TEST(an_event_recorded_in_vain_is_ended_when_it_has_completed) {
  RIG_NOW *rig = *state;
  ON_RIG(rival) rival = {NULL, NULL, false};
  ON_RIG(rival_has_marked)(rig, &rival, ON_RIG(rival_frees));
  /* The event that it recorded is not needed: the free has its own. */
  assert_ok(API(forget_stream)(rig->cache, 9));
  rig->device.on_hook = NULL;
  sim_stream_destroy(&rig->device, 9);
  assert_result(API(synchronize)(rig->cache, 0), HOSTCACHE_ERR_TIMEOUT);
  sim_complete_all(&rig->device);
  assert_ok(API(synchronize)(rig->cache, 0));
  assert_ok(API(destroy)(rig->cache)); /* and the rig sees that no event is left */
  rig->cache = NULL;
}

/* ... not even for what a callback frees meanwhile, for which it comes again. */
RIG_TEST(forgetting_a_stream_that_need_not_be_idle_does_not_wait_for_it) {
  RIG_NOW *rig = *state;
  ON_RIG(rival) rival = {NULL, NULL, true};
  ON_RIG(rival_has_marked)(rig, &rival, ON_RIG(rival_frees));
  rig->device.progress_per_queries = 1;
  assert_ok(API(forget_stream)(rig->cache, 9));
  rig->device.progress_per_queries = 0;
  assert_false(sim_lane_reached(&rig->device, 9, 1));
}

/* Nobody frees the block any earlier for these events, so nobody waits for them. */
RIG_TEST(synchronize_does_not_wait_for_the_events_of_a_stream_that_could_not_be_forgotten) {
  RIG_NOW *rig = *state;
  void *blocks[2];
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++) {
    blocks[i] = ON_RIG(take)(rig, 64 * KIB);
    (void)ON_RIG(use)(rig, blocks[i], 9);
  }
  /* The second record fails, and waiting instead. */
  sim_fail(&rig->device, 2, true, SIM_ONLY(SIM_EVENT_RECORD) | SIM_ONLY(SIM_STREAM_WAIT));
  assert_result(API(forget_stream)(rig->cache, 9), HOSTCACHE_ERR_EVENT);
  sim_fail_no_more(&rig->device);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
  assert_ok(API(synchronize)(rig->cache, 0));
  sim_complete(&rig->device, 9, -1);
  assert_int_equal(ON_RIG(poll)(rig), 0);
  assert_int_equal(sim_live_events(&rig->device), 0); /* they ended before the blocks are freed */
}

RIG_TEST(a_stream_is_not_forgotten_while_there_is_no_memory_for_an_event) {
  RIG_NOW *rig = *state;
  void *block = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, block, 9);
  below_fail(1, true);
  assert_result(API(forget_stream)(rig->cache, 9), HOSTCACHE_ERR_NO_METADATA);
  below_fail_no_more();
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_NO_METADATA], 1);
  assert_ok(API(forget_stream)(rig->cache, 9));
  sim_stream_destroy(&rig->device, 9);
  ON_RIG(give)(rig, block);
}

/* It is of no stream that the cache would know of. */
RIG_TEST(an_event_that_was_handed_over_keeps_no_stream_from_being_forgotten) {
  RIG_NOW *rig = *state;
  ON_RIG(let_streams_die_idle)(rig);
  (void)ON_RIG(pend_handed_over)(rig, 1);
  assert_ok(API(forget_stream)(rig->cache, 0));
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
}

static inline void ON_RIG(rival_frees_and_submits)(void *user, sim_hook hook) {
  ON_RIG(rival) *rival = user;
  if (rival->block == NULL) return;
  ON_RIG(rival_frees)(rival, hook);
  (void)sim_submit(&rival->rig->device, 9);
}

/* Leaves an event that nobody needs, recorded in vain after unit 2 of stream 9, and a block that
   waits for unit 1. (Where events are plain values nothing is left.) */
static inline void ON_RIG(record_in_vain)(RIG_NOW *rig) {
  ON_RIG(rival) rival = {NULL, NULL, false};
  ON_RIG(rival_has_marked)(rig, &rival, ON_RIG(rival_frees_and_submits));
  assert_ok(API(forget_stream)(rig->cache, 9));
  rig->device.on_hook = NULL;
  rig->may_lose_events = true;
}

/* Says LEAKED just where an event is left. */
static inline void ON_RIG(destroy_and_count)(RIG_NOW *rig) {
  hostcache_result result = API(destroy)(rig->cache);
  rig->cache = NULL;
  assert_result(result, sim_live_events(&rig->device) > 0 ? HOSTCACHE_ERR_LEAKED : HOSTCACHE_OK);
}

RIG_TEST(destroy_tells_of_an_event_recorded_in_vain_that_has_not_completed) {
  RIG_NOW *rig = *state;
  ON_RIG(record_in_vain)(rig);
  sim_complete(&rig->device, 9, 1);
  ON_RIG(destroy_and_count)(rig);
}

RIG_TEST(destroy_tells_of_an_event_recorded_in_vain_that_cannot_be_told) {
  RIG_NOW *rig = *state;
  ON_RIG(record_in_vain)(rig);
  sim_complete(&rig->device, 9, -1);
  sim_fail(&rig->device, 2, true, SIM_EVERY_QUERY); /* the first one is of the block's own event */
  (void)API(process_events)(rig->cache, NULL);
  (void)API(process_events)(rig->cache, NULL);
  (void)API(process_events)(rig->cache, NULL);
  sim_fail_no_more(&rig->device);
  assert_int_equal(ON_RIG(stats)(rig).active.current, 0);
  ON_RIG(destroy_and_count)(rig);
}

/* More events wait than one poll asks; the last of them are complete. */
RIG_TEST(everything_that_waits_is_asked_before_memory_is_out) {
  RIG_NOW *rig = *state;
  void *blocks[60], *ptr;
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++) {
    blocks[i] = ON_RIG(take)(rig, 64 * KIB);
    (void)sim_use(&rig->device, i < 40 ? 1 : 2, blocks[i]);
    assert_ok(
        API(record_event)(rig->cache, blocks[i], CACHE_OWN_EVENT(&rig->device, i < 40 ? 1 : 2)));
  }
  ON_RIG(fill)(rig, 64 * KIB);
  rig->device.memory_limit = sim_live_bytes(&rig->device);
  for (i = 0; i < COUNT_OF(blocks); i++) {
    sim_handed_back(&rig->device, blocks[i]);
    assert_ok(API(free)(rig->cache, blocks[i]));
  }
  sim_complete(&rig->device, 2, -1);
  for (i = 40; i < COUNT_OF(blocks); i++) {
    assert_ok(API(alloc)(rig->cache, 64 * KIB, &ptr));
    sim_handed_out(&rig->device, ptr, 64 * KIB);
  }
  assert_result(API(alloc)(rig->cache, 64 * KIB, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
}

#endif
