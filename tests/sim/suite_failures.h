/* suite_failures.h - a template of tests: the table "when things fail" (section 8 of the contract),
   row by row. */

/* ---- HC_MEM_ALLOC: out of memory ------------------------------------------------------------- */

RIG_TEST(out_of_memory_gives_back_what_is_idle_and_asks_once_more) {
  RIG_NOW *rig = *state;
  hostcache_stats stats;
  ON_RIG(warm)(rig, MIB);
  ON_RIG(give)(rig, ON_RIG(take)(rig, 64 * KIB));
  rig->device.memory_limit = 512 * KIB;
  (void)ON_RIG(take)(rig, 512 * KIB);
  stats = ON_RIG(stats)(rig);
  assert_int_equal(stats.num_alloc_retries, 1);
  assert_int_equal(stats.num_ooms, 0);
  assert_int_equal(rig->device.calls[SIM_MEM_FREE], 1);
  assert_int_equal(stats.reserved_bytes.current, 512 * KIB);
}

RIG_TEST(out_of_memory_after_reclaiming_is_an_error_and_nothing_else) {
  RIG_NOW *rig = *state;
  void *ptr = &ptr, *held = ON_RIG(take)(rig, 64 * KIB);
  hostcache_stats stats;
  rig->heard.wanted_code = SIM_NO_MEMORY;
  rig->device.memory_limit = 128 * KIB;
  assert_result(API(alloc)(rig->cache, 128 * KIB, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_null(ptr);
  stats = ON_RIG(stats)(rig);
  assert_int_equal(stats.num_alloc_retries, 1);
  assert_int_equal(stats.num_ooms, 1);
  assert_int_equal(stats.allocation.current, 1);
  assert_int_equal(stats.reserved_bytes.current, sim_live_bytes(&rig->device));
  assert_int_equal(rig->device.calls[SIM_MEM_ALLOC], 3);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_OUT_OF_MEMORY], 1);
  assert_in_range(rig->heard.with_code, 1, 2);
  assert_non_null(strstr(rig->heard.what, "is out of memory, also after"));
  ON_RIG(give)(rig, held);
  (void)ON_RIG(take)(rig, 128 * KIB); /* it works again as soon as there is memory */
}

/* The bug: out of memory although a pending block would do (pytorch #189504). */
RIG_TEST(what_completed_meanwhile_is_used_before_failing) {
  RIG_NOW *rig = *state;
  void *same = ON_RIG(pend)(rig, 64 * KIB, 1);
  void *other = ON_RIG(pend)(rig, 256 * KIB, 2);
  rig->device.memory_limit = 320 * KIB;
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), same);
  (void)other;
  (void)ON_RIG(take)(rig, 128 * KIB); /* of another size: its memory is given back for it */
  assert_int_equal(ON_RIG(stats)(rig).num_ooms, 0);
}

RIG_TEST(what_is_pending_is_not_given_back_even_when_memory_is_out) {
  RIG_NOW *rig = *state;
  void *ptr, *pending = ON_RIG(pend)(rig, 64 * KIB, 1);
  rig->device.memory_limit = 64 * KIB;
  assert_result(API(alloc)(rig->cache, 64 * KIB, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_result(API(alloc)(rig->cache, 4 * KIB, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_int_equal(rig->device.calls[SIM_MEM_FREE], 0);
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), pending);
}

/* ---- HC_MEM_ALLOC: otherwise ----------------------------------------------------------------- */

RIG_TEST(another_failure_to_get_memory_is_told_at_once) {
  RIG_NOW *rig = *state;
  void *ptr = &ptr;
  ON_RIG(warm)(rig, MIB);
  ON_RIG(give)(rig, ON_RIG(take)(rig, 64 * KIB));
  sim_fail(&rig->device, 1, false, SIM_ONLY(SIM_MEM_ALLOC));
  assert_result(API(alloc)(rig->cache, 128 * KIB, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_null(ptr);
  assert_int_equal(rig->device.calls[SIM_MEM_ALLOC], 2);
  assert_int_equal(rig->device.calls[SIM_MEM_FREE], 0);
  assert_int_equal(rig->heard.with_code, 1);
  assert_non_null(strstr(rig->heard.what, "failed, not for want of memory"));
  assert_int_equal(ON_RIG(stats)(rig).num_alloc_retries, 0);
  (void)ON_RIG(take)(rig, 128 * KIB);
}

/* ---- HC_MEM_ALLOC: memory that cannot be right ----------------------------------------------- */

RIG_TEST(misaligned_memory_is_given_back_and_refused) {
  RIG_NOW *rig = *state;
  void *ptr = &ptr;
  rig->device.mischief = SIM_MISALIGNED;
  assert_result(API(alloc)(rig->cache, 64 * KIB, &ptr), HOSTCACHE_ERR_CORRUPT);
  assert_null(ptr);
  assert_int_equal(sim_live_bytes(&rig->device), 0);
  assert_int_equal(ON_RIG(stats)(rig).reserved_bytes.current, 0);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_CORRUPT], 1);
  (void)ON_RIG(take)(rig, 64 * KIB);
}

RIG_TEST(misaligned_memory_that_cannot_be_given_back_is_leaked) {
  RIG_NOW *rig = *state;
  hostcache_stats stats;
  void *ptr = NULL;
  rig->may_leak = true;
  rig->device.mischief = SIM_MISALIGNED;
  sim_fail(&rig->device, 1, false, SIM_ONLY(SIM_MEM_FREE));
  assert_result(API(alloc)(rig->cache, 64 * KIB, &ptr), HOSTCACHE_ERR_CORRUPT);
  assert_null(ptr);
  stats = ON_RIG(stats)(rig);
  assert_int_equal(stats.leaked_bytes.current, 64 * KIB);
  assert_int_equal(stats.reserved_bytes.current, 64 * KIB);
  assert_int_equal(stats.active.current, 0);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_CORRUPT], 1);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_LEAKED], 1);
  assert_int_equal(rig->heard.with_code, 1);
}

/* The range that is live already must come through unharmed. What happens to the other is the
   runtime's: only the referee's own book is put right here. */
static inline void ON_RIG(misplaced)(RIG_NOW *rig, sim_mischief mischief) {
  void *held = ON_RIG(take)(rig, 64 * KIB), *ptr = &ptr;
  size_t i;
  rig->device.mischief = mischief;
  assert_result(API(alloc)(rig->cache, 64 * KIB + 1, &ptr), HOSTCACHE_ERR_CORRUPT);
  assert_null(ptr);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_CORRUPT], 1);
  for (i = 0; i < rig->device.ranges.count; i++)
    if (rig->device.ranges.at[i].overlaps) sim_drop_range(&rig->device, i);
  ON_RIG(check)(rig);
  assert_non_null(API(find)(rig->cache, (char *)held + 64 * KIB - 1));
  assert_int_equal(ON_RIG(stats)(rig).allocation.current, 1);
  (void)ON_RIG(take)(rig, 64 * KIB + 1);
  ON_RIG(give)(rig, held);
  assert_ok(API(empty_cache)(rig->cache));
}

RIG_TEST(memory_that_overlaps_the_end_of_a_live_segment_is_refused) {
  ON_RIG(misplaced)(*state, SIM_OVERLAPPING_START);
}

RIG_TEST(memory_that_begins_where_a_live_segment_does_is_refused) {
  ON_RIG(misplaced)(*state, SIM_OVERLAPPING_SAME);
}

RIG_TEST(memory_that_wraps_around_the_address_space_is_refused) {
  ON_RIG(misplaced)(*state, SIM_WRAPPING);
}

RIG_TEST(memory_at_null_is_refused) {
  RIG_NOW *rig = *state;
  void *ptr = &ptr;
  rig->device.mischief = SIM_NULL;
  assert_one_of(API(alloc)(rig->cache, 64 * KIB, &ptr),
                ONE_OF(HOSTCACHE_ERR_CORRUPT) | ONE_OF(HOSTCACHE_ERR_OUT_OF_MEMORY));
  assert_null(ptr);
  assert_int_equal(ON_RIG(stats)(rig).reserved_bytes.current, 0);
  assert_int_equal(rig->heard.count, 1);
  (void)ON_RIG(take)(rig, 64 * KIB);
}

/* ---- record_*: no room for the mark ---------------------------------------------------------- */

RIG_TEST(four_uses_need_no_malloc) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  sim_stream stream;
  below_fail(1, true);
  for (stream = 0; stream < 4; stream++) (void)ON_RIG(use)(rig, ptr, stream);
  ON_RIG(give)(rig, ptr); /* nor does a free */
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_NO_METADATA], 0);
  below_fail_no_more();
  for (stream = 0; stream < 4; stream++) {
    assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
    sim_complete(&rig->device, stream, -1);
    assert_ok(API(process_events)(rig->cache, NULL));
  }
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
}

RIG_TEST(a_use_without_room_leaves_the_block_the_callers_and_makes_its_free_careful) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  hostcache_result result = HOSTCACHE_OK;
  sim_stream stream;
  below_fail(1, true);
  for (stream = 0; stream < 40 && result == HOSTCACHE_OK; stream++) {
    (void)sim_use(&rig->device, stream, ptr);
    result = API(record_stream)(rig->cache, ptr, stream);
  }
  below_fail_no_more();
  assert_int_equal(result, HOSTCACHE_ERR_NO_METADATA);
  assert_true(stream > 4);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_NO_METADATA], 1);
  assert_non_null(API(find)(rig->cache, ptr));
  assert_int_equal(ON_RIG(stats)(rig).allocation.current, 1);

  sim_handed_back(&rig->device, ptr);
#ifdef CACHE_WAITS
  assert_ok(API(free)(rig->cache, ptr));
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
#else
  assert_result(API(free)(rig->cache, ptr), HOSTCACHE_ERR_EVENT);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_EVENT], 1);
#endif
  ON_RIG(check)(rig);
  /* The other uses, at least, are incomplete. */
  assert_ptr_not_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
  ON_RIG(fill)(rig, 64 * KIB);
  sim_complete_all(&rig->device);
#ifndef CACHE_WAITS
  assert_ptr_not_equal(ON_RIG(take)(rig, 64 * KIB), ptr); /* nobody can tell */
  ON_RIG(fill)(rig, 64 * KIB);
  assert_ok(API(release_quarantine)(rig->cache)); /* but the caller */
#endif
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
}

/* Several uses are without room: one of them must not make the cache forget the others. */
RIG_TEST(every_use_without_room_counts) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  sim_stream stream;
  below_fail(1, true);
  for (stream = 0; stream < 20; stream++) {
    (void)sim_use(&rig->device, stream, ptr);
    (void)API(record_stream)(rig->cache, ptr, stream);
  }
  below_fail_no_more();
  sim_handed_back(&rig->device, ptr);
  (void)API(free)(rig->cache, ptr);
  for (stream = 0; stream < 20; stream++) {
    assert_ok(API(process_events)(rig->cache, NULL));
    (void)ON_RIG(take)(rig, 64 * KIB); /* the referee sees it if that is the block */
    sim_complete(&rig->device, stream, -1);
  }
}

#ifdef CACHE_WAITS
RIG_TEST(process_events_quarantines_a_use_without_room_for_which_free_would_wait) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  sim_stream stream;
  below_fail(1, true);
  for (stream = 0; stream < 4; stream++) (void)ON_RIG(use)(rig, ptr, stream);
  (void)sim_use(&rig->device, 7, ptr);
  assert_result(API(record_stream)(rig->cache, ptr, 7), HOSTCACHE_ERR_NO_METADATA);
  below_fail_no_more();
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free_deferred)(rig->cache, ptr));
  assert_result(API(process_events)(rig->cache, NULL), HOSTCACHE_ERR_EVENT);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_WAIT), 0);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
  sim_complete_all(&rig->device);
  assert_ptr_not_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
}
#endif

#if defined CACHE_WAITS && defined CACHE_TIMELINE
/* The fifth use of a block is one up to two values of stream 7, and finds no room. */
static inline hostcache_result ON_RIG(free_without_room)(RIG_NOW *rig, uint64_t value,
                                                         uint64_t other) {
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  sim_stream stream;
  for (stream = 0; stream < 4; stream++) assert_ok(API(record_stream)(rig->cache, ptr, stream));
  below_fail(1, true);
  assert_result(API(record_value)(rig->cache, ptr, 7, value), HOSTCACHE_ERR_NO_METADATA);
  assert_result(API(record_value)(rig->cache, ptr, 7, other), HOSTCACHE_ERR_NO_METADATA);
  below_fail_no_more();
  sim_handed_back(&rig->device, ptr);
  return API(free)(rig->cache, ptr);
}

RIG_TEST(a_value_without_room_is_over_when_its_stream_has_reached_it) {
  RIG_NOW *rig = *state;
  const uint64_t value = sim_submit(&rig->device, 7);
  assert_ok(ON_RIG(free_without_room)(rig, value, value));
  assert_int_equal(rig->device.calls[SIM_STREAM_WAIT], 1);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
}

/* An idle stream has not reached what was not submitted to it yet. */
RIG_TEST(a_value_without_room_that_its_idle_stream_has_not_reached_quarantines) {
  RIG_NOW *rig = *state;
  const uint64_t value = sim_submit(&rig->device, 7), later = value + 1;
  assert_result(ON_RIG(free_without_room)(rig, value, later), HOSTCACHE_ERR_EVENT);
  assert_result(ON_RIG(free_without_room)(rig, later, value), HOSTCACHE_ERR_EVENT);
  assert_int_equal(rig->device.calls[SIM_STREAM_WAIT], 2);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 2);
}

RIG_TEST(a_value_without_room_of_a_stream_that_answers_pending_quarantines) {
  RIG_NOW *rig = *state;
  const uint64_t value = sim_submit(&rig->device, 7);
  sim_fail_with(&rig->device, 1, false, SIM_ONLY(SIM_TIMELINE_QUERY), SIM_PENDING);
  assert_result(ON_RIG(free_without_room)(rig, value, value), HOSTCACHE_ERR_EVENT);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_EVENT], 2); /* of the query, and the block */
}
#endif

#ifndef CACHE_TIMELINE
RIG_TEST(an_event_for_which_there_is_no_room_stays_the_callers) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  CACHE_EVENT_T event = CACHE_OWN_EVENT(&rig->device, 1);
  hostcache_result result;
  int given = 0;
  below_fail(1, true);
  while ((result = API(record_event)(rig->cache, ptr, event)) == HOSTCACHE_OK && given < 40) {
    given++;
    event = CACHE_OWN_EVENT(&rig->device, 1);
  }
  below_fail_no_more();
  assert_int_equal(result, HOSTCACHE_ERR_NO_METADATA);
  assert_true(given >= 4);
  CACHE_END_EVENT(&rig->device, event);
  assert_non_null(API(find)(rig->cache, ptr));
  sim_handed_back(&rig->device, ptr);
  (void)API(free)(rig->cache, ptr); /* waits or quarantines; settled below */
  sim_complete_all(&rig->device);
  assert_ok(API(process_events)(rig->cache, NULL));
}
#endif

/* ---- creating or recording an event at free -------------------------------------------------- */

/* Two streams used the block; the call of `hooks` that comes `nth` does nothing and returns
   `code`. */
static inline void ON_RIG(fail_at_free)(RIG_NOW *rig, uint64_t nth, unsigned hooks, int code) {
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  hostcache_result result;
  (void)ON_RIG(use)(rig, ptr, 1);
  (void)ON_RIG(use)(rig, ptr, 2);
  rig->heard.wanted_code = code == SIM_PENDING ? 0 : code; /* pending has no code */
  sim_fail_with(&rig->device, nth, false, hooks, code);
  sim_handed_back(&rig->device, ptr);
  result = API(free)(rig->cache, ptr);
  if (rig->device.fault.fired == 0) { /* a mode that creates no events */
    assert_int_equal(result, HOSTCACHE_OK);
    return;
  }
  assert_int_equal(result, HOSTCACHE_ERR_EVENT);
  sim_fail_no_more(&rig->device);
  assert_int_equal(rig->heard.with_code, 1);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_EVENT], 1);
  assert_ptr_equal(rig->heard.ptr, ptr);
  assert_result(API(free)(rig->cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE); /* the cache owns it */
  assert_result(API(record_stream)(rig->cache, ptr, 1), HOSTCACHE_ERR_NOT_FOUND);
  assert_int_equal(ON_RIG(stats)(rig).allocation.current, 0);
  assert_int_equal(ON_RIG(stats)(rig).active.current, 1);
  ON_RIG(check)(rig);
  (void)ON_RIG(take)(rig, 64 * KIB); /* the use that was recorded stays */
  sim_complete_all(&rig->device);
  assert_ok(API(process_events)(rig->cache, NULL));
#ifdef CACHE_WAITS
  assert_int_equal(rig->device.calls[SIM_STREAM_WAIT], 1);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
#else
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
  assert_int_equal(ON_RIG(stats)(rig).quarantined_bytes.current, 64 * KIB);
  assert_ptr_not_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
  assert_result(API(free)(rig->cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_ok(API(empty_cache)(rig->cache));
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
  assert_ok(API(release_quarantine)(rig->cache));
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
#endif
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
}

RIG_TEST(a_first_record_that_fails_at_free_loses_nothing) {
  ON_RIG(fail_at_free)(*state, 1, SIM_EVERY_RECORD & ~SIM_ONLY(SIM_EVENT_CREATE), SIM_FAILURE);
}

RIG_TEST(a_second_record_that_fails_at_free_loses_nothing) {
  ON_RIG(fail_at_free)(*state, 2, SIM_EVERY_RECORD & ~SIM_ONLY(SIM_EVENT_CREATE), SIM_FAILURE);
}

RIG_TEST(a_record_that_answers_pending_at_free_counts_as_failed) {
  ON_RIG(fail_at_free)(*state, 1, SIM_EVERY_RECORD & ~SIM_ONLY(SIM_EVENT_CREATE), SIM_PENDING);
}

RIG_TEST(an_event_that_cannot_be_created_at_free_loses_nothing) {
  ON_RIG(fail_at_free)(*state, 1, SIM_ONLY(SIM_EVENT_CREATE), SIM_FAILURE);
}

RIG_TEST(a_second_event_that_cannot_be_created_at_free_loses_nothing) {
  ON_RIG(fail_at_free)(*state, 2, SIM_ONLY(SIM_EVENT_CREATE), SIM_FAILURE);
}

RIG_TEST(an_event_whose_creation_answers_pending_at_free_counts_as_not_created) {
  ON_RIG(fail_at_free)(*state, 1, SIM_ONLY(SIM_EVENT_CREATE), SIM_PENDING);
}

/* A block that a callback freed, so that the next upkeep has to record its use of stream 1. */
static inline void *ON_RIG(leave_to_upkeep)(RIG_NOW *rig) {
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, ptr, 1);
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free_deferred)(rig->cache, ptr));
  return ptr;
}

RIG_TEST(upkeep_says_so_when_a_record_fails_that_a_callback_left_to_it) {
  RIG_NOW *rig = *state;
  (void)ON_RIG(leave_to_upkeep)(rig);
  sim_fail(&rig->device, 1, false, SIM_EVERY_RECORD);
  assert_result(API(process_events)(rig->cache, NULL), HOSTCACHE_ERR_EVENT);
  (void)ON_RIG(leave_to_upkeep)(rig);
  sim_fail(&rig->device, 1, false, SIM_EVERY_RECORD);
  assert_result(API(synchronize)(rig->cache, UINT64_C(1000000000)), HOSTCACHE_ERR_EVENT);
  (void)ON_RIG(leave_to_upkeep)(rig);
  sim_fail(&rig->device, 1, false, SIM_EVERY_RECORD);
  assert_result(API(empty_cache)(rig->cache), HOSTCACHE_ERR_EVENT);
  assert_int_equal(rig->heard.with_code, 3);
}

RIG_TEST(synchronize_does_not_wait_for_what_is_quarantined) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, ptr, 1);
  (void)ON_RIG(use)(rig, ptr, 2);
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free_deferred)(rig->cache, ptr));
  sim_fail(&rig->device, 1, false, SIM_EVERY_RECORD);
  assert_result(API(process_events)(rig->cache, NULL), HOSTCACHE_ERR_EVENT);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
  assert_ok(API(synchronize)(rig->cache, 0)); /* though its use of stream 2 was recorded */
}

#ifdef CACHE_WAITS
RIG_TEST(process_events_quarantines_what_free_would_wait_for) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(leave_to_upkeep)(rig), *other;
  sim_fail(&rig->device, 1, false, SIM_EVERY_RECORD);
  assert_result(API(process_events)(rig->cache, NULL), HOSTCACHE_ERR_EVENT);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_WAIT), 0);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
  other = ON_RIG(take)(rig, 64 * KIB);
  assert_ptr_not_equal(other, ptr);
  (void)ON_RIG(use)(rig, other, 1);
  sim_fail(&rig->device, 1, false, SIM_EVERY_RECORD);
  sim_handed_back(&rig->device, other);
  assert_result(API(free)(rig->cache, other), HOSTCACHE_ERR_EVENT);
  assert_int_equal(rig->device.calls[SIM_STREAM_WAIT], 1);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
}

static inline void ON_RIG(fail_to_wait_too)(RIG_NOW *rig, int code) {
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, ptr, 1);
  sim_fail_with(&rig->device, 1, true, SIM_EVERY_RECORD | SIM_ONLY(SIM_STREAM_WAIT), code);
  sim_handed_back(&rig->device, ptr);
  assert_result(API(free)(rig->cache, ptr), HOSTCACHE_ERR_EVENT);
  sim_fail_no_more(&rig->device);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_EVENT], 2); /* of the record, and the wait */
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
  sim_complete_all(&rig->device);
  assert_ptr_not_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
}

RIG_TEST(a_wait_that_fails_too_ends_in_quarantine) {
  ON_RIG(fail_to_wait_too)(*state, SIM_FAILURE);
}

RIG_TEST(a_wait_for_a_stream_that_answers_pending_ends_in_quarantine) {
  ON_RIG(fail_to_wait_too)(*state, SIM_PENDING);
}

/* It is ready as the stream was waited for, and above the bound. */
RIG_TEST(a_free_whose_record_fails_keeps_the_bound_on_what_is_idle) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  void *ptr;
  config.segment_bytes = MIB;
  ON_RIG(configure)(rig, config);
  (void)ON_RIG(pend)(rig, 64 * KIB, 1); /* so that this thread knows the stream */
  sim_complete_all(&rig->device);
  (void)ON_RIG(poll)(rig);
  ptr = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, ptr, 1);
  assert_ok(API(set_max_cached_bytes)(rig->cache, HOSTCACHE_NONE));
  sim_fail(&rig->device, 1, false, SIM_EVERY_RECORD);
  sim_handed_back(&rig->device, ptr);
  assert_result(API(free)(rig->cache, ptr), HOSTCACHE_ERR_EVENT);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
  assert_int_equal(ON_RIG(stats)(rig).reserved_bytes.current, 0);
}

/* That it does not block as it should is no failure, and no proof either. */
RIG_TEST(a_wait_for_a_use_that_answers_pending_proves_nothing) {
  RIG_NOW *rig = *state;
  (void)ON_RIG(pend)(rig, 64 * KIB, 1);
  (void)ON_RIG(pend)(rig, 64 * KIB, 2);
  sim_fail_with(&rig->device, 1, true, SIM_EVERY_WAIT, SIM_PENDING);
  rig->device.progress_per_queries = 5;
  assert_ok(API(synchronize)(rig->cache, UINT64_MAX));
  assert_true(sim_calls(&rig->device, SIM_EVERY_WAIT) > 2); /* it goes on asking in this way */
  assert_int_equal(rig->heard.count, 0);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
  (void)ON_RIG(take)(rig, 64 * KIB); /* the referee looks */
  (void)ON_RIG(take)(rig, 64 * KIB);
}

RIG_TEST(where_a_wait_for_a_use_fails_synchronize_polls_instead) {
  RIG_NOW *rig = *state;
  (void)ON_RIG(pend)(rig, 64 * KIB, 1);
  (void)ON_RIG(pend)(rig, 64 * KIB, 2);
  sim_fail(&rig->device, 1, true, SIM_EVERY_WAIT);
  rig->device.progress_per_queries = 5;
  assert_ok(API(synchronize)(rig->cache, UINT64_MAX));
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_WAIT), 1);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_EVENT], 1);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
  (void)ON_RIG(take)(rig, 64 * KIB); /* the referee looks */
  (void)ON_RIG(take)(rig, 64 * KIB);
}
#endif

/* ---- a query --------------------------------------------------------------------------------- */

/* Two blocks wait on each of four streams. */
static inline void ON_RIG(pend_four_streams)(RIG_NOW *rig) {
  void *blocks[8];
  int i;
  for (i = 0; i < 8; i++) blocks[i] = ON_RIG(take)(rig, 64 * KIB);
  for (i = 0; i < 8; i++) {
    (void)ON_RIG(use)(rig, blocks[i], i % 4);
    ON_RIG(give)(rig, blocks[i]);
  }
}

/* The bug: a query that throws drops the entry (read in the source of pytorch). */
RIG_TEST(a_query_that_fails_once_leaves_the_block_where_it_is) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(pend)(rig, 64 * KIB, 1);
  size_t ready = 99;
  sim_fail(&rig->device, 1, false, SIM_EVERY_QUERY);
  assert_result(API(process_events)(rig->cache, &ready), HOSTCACHE_ERR_EVENT);
  assert_int_equal(ready, 0);
  assert_int_equal(rig->heard.with_code, 1);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_EVENT], 1);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
  assert_ptr_not_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
  ON_RIG(fill)(rig, 64 * KIB);
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), ptr);
}

RIG_TEST(a_query_that_fails_does_not_stop_the_other_streams) {
  RIG_NOW *rig = *state;
  size_t ready = 0;
  ON_RIG(pend_four_streams)(rig);
  sim_complete_all(&rig->device);
  sim_fail(&rig->device, 1, false, SIM_EVERY_QUERY);
  assert_result(API(process_events)(rig->cache, &ready), HOSTCACHE_ERR_EVENT);
  assert_int_equal(ready, 6); /* of the three streams whose query did not fail */
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 2);
  assert_int_equal(ON_RIG(poll)(rig), 2);
}

/* How often in a row a query fails, or returns `code`, before quarantine. */
static inline void ON_RIG(fail_queries)(RIG_NOW *rig, int limit, int code) {
  void *first = ON_RIG(take)(rig, 64 * KIB), *second = ON_RIG(take)(rig, 64 * KIB);
  int i;
  (void)ON_RIG(use)(rig, first, 1);
  ON_RIG(give)(rig, first);
  (void)ON_RIG(use)(rig, second, 1);
  ON_RIG(give)(rig, second);
  for (i = 0; i < limit; i++) {
    if (i > 0) assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
    sim_fail_with(&rig->device, 1, false, SIM_EVERY_QUERY, code);
    assert_result(API(process_events)(rig->cache, NULL), HOSTCACHE_ERR_EVENT);
    assert_non_null(
        strstr(rig->heard.what, i + 1 < limit ? "failed: the block waits" : "failed too often"));
    assert_ptr_equal(rig->heard.ptr, first);
  }
  sim_fail_no_more(&rig->device);
  sim_complete_all(&rig->device);
#ifdef CACHE_TIMELINE
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 2); /* the stream's queue */
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
#else
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1); /* the block */
  assert_int_equal(ON_RIG(poll)(rig), 1);
  assert_ptr_equal(ON_RIG(take)(rig, 64 * KIB), second);
#endif
  assert_ptr_not_equal(ON_RIG(take)(rig, 64 * KIB), first);
  ON_RIG(check)(rig);
  assert_ok(API(release_quarantine)(rig->cache));
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
  assert_int_equal(ON_RIG(stats)(rig).quarantined_bytes.current, 0);
  assert_int_equal(ON_RIG(stats)(rig).pending.peak, 2);
}

RIG_TEST(a_query_that_fails_three_times_in_a_row_quarantines) {
  ON_RIG(fail_queries)(*state, 3, SIM_FAILURE);
}

#ifdef CACHE_TIMELINE
/* A stream's counter can be told at any time: pending is no answer. */
RIG_TEST(a_timeline_that_answers_pending_counts_as_failed) {
  ON_RIG(fail_queries)(*state, 3, SIM_PENDING);
}
#endif

RIG_TEST(the_config_says_after_how_many_failures_a_query_quarantines) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  config.query_error_limit = 1;
  ON_RIG(configure)(rig, config);
  ON_RIG(fail_queries)(rig, 1, SIM_FAILURE);
  config.query_error_limit = 7;
  ON_RIG(settle)(rig);
  ON_RIG(configure)(rig, config);
  ON_RIG(fail_queries)(rig, 7, SIM_FAILURE);
}

static inline void ON_RIG(fail_with_answers_between)(RIG_NOW *rig) {
  int round;
  for (round = 0; round < 5; round++) {
    sim_fail(&rig->device, 1, true, SIM_EVERY_QUERY);
    assert_result(API(process_events)(rig->cache, NULL), HOSTCACHE_ERR_EVENT);
    assert_result(API(process_events)(rig->cache, NULL), HOSTCACHE_ERR_EVENT);
    sim_fail_no_more(&rig->device);
    assert_int_equal(ON_RIG(poll)(rig), 0);
  }
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 0);
}

RIG_TEST(a_query_that_succeeds_in_between_starts_the_count_again) {
  (void)ON_RIG(pend)(*state, 64 * KIB, 1);
  ON_RIG(fail_with_answers_between)(*state);
}

#ifndef CACHE_TIMELINE
RIG_TEST(an_event_handed_over_that_answers_in_between_starts_the_count_again) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  (void)sim_use(&rig->device, 1, ptr);
  assert_ok(API(record_event)(rig->cache, ptr, CACHE_OWN_EVENT(&rig->device, 1)));
  ON_RIG(give)(rig, ptr);
  ON_RIG(fail_with_answers_between)(rig);
}
#endif

RIG_TEST(upkeep_finishes_its_work_when_a_query_fails_and_says_so) {
  RIG_NOW *rig = *state;
  int64_t before;
  (void)ON_RIG(pend)(rig, 64 * KIB, 1);
  before = ON_RIG(stats)(rig).reserved_bytes.current;
  ON_RIG(give)(rig, ON_RIG(take)(rig, 3 * MIB));
  sim_fail(&rig->device, 1, false, SIM_EVERY_QUERY);
  assert_result(API(empty_cache)(rig->cache), HOSTCACHE_ERR_EVENT);
  /* The idle block went back. */
  assert_int_equal(ON_RIG(stats)(rig).reserved_bytes.current, before);
  sim_complete_all(&rig->device);
  sim_fail(&rig->device, 1, false, SIM_EVERY_QUERY);
  assert_result(API(synchronize)(rig->cache, UINT64_C(1000000000)), HOSTCACHE_ERR_EVENT);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
}

RIG_TEST(an_allocation_tells_only_on_error_of_a_query_that_fails) {
  RIG_NOW *rig = *state;
  (void)ON_RIG(pend)(rig, 64 * KIB, 1);
  ON_RIG(fill)(rig, 64 * KIB);
  sim_fail(&rig->device, 1, false, SIM_EVERY_QUERY);
  (void)ON_RIG(take)(rig, 64 * KIB);
  assert_int_equal(rig->device.fault.fired, 1);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_EVENT], 1);
}

RIG_TEST(a_free_tells_only_on_error_of_a_query_that_fails) {
  RIG_NOW *rig = *state;
  void *blocks[64];
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = ON_RIG(take)(rig, 64 * KIB);
  sim_fail(&rig->device, 1, false, SIM_EVERY_QUERY);
  for (i = 0; i < COUNT_OF(blocks); i++) {
    (void)ON_RIG(use)(rig, blocks[i], 1);
    ON_RIG(give)(rig, blocks[i]);
  }
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_EVENT], rig->device.fault.fired);
}

RIG_TEST(a_stream_that_cannot_be_forgotten_is_still_known) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, ptr, 7);
  rig->device.progress_per_queries = 1;
  sim_fail(&rig->device, 1, false, SIM_EVERY_RECORD & ~SIM_ONLY(SIM_EVENT_CREATE));
#ifdef CACHE_WAITS
  assert_ok(API(forget_stream)(rig->cache, 7)); /* waiting for the stream does as well */
#else
  assert_result(API(forget_stream)(rig->cache, 7), HOSTCACHE_ERR_EVENT);
#endif
  assert_int_equal(rig->heard.with_code, 1);
  assert_non_null(API(find)(rig->cache, ptr));
  ON_RIG(check)(rig);
  assert_ok(API(forget_stream)(rig->cache, 7)); /* the retry works, and covers the block */
  rig->device.progress_per_queries = 0;
  sim_stream_destroy(&rig->device, 7);
  ON_RIG(give)(rig, ptr);
  (void)ON_RIG(take)(rig, 64 * KIB);
}

/* ---- HC_MEM_FREE ----------------------------------------------------------------------------- */

/* Memory that may still go back later is not the cache's to count on either. */
RIG_TEST(memory_whose_return_answers_pending_is_leaked) {
  RIG_NOW *rig = *state;
  rig->may_leak = true;
  ON_RIG(give)(rig, ON_RIG(take)(rig, 64 * KIB));
  sim_fail_with(&rig->device, 1, false, SIM_ONLY(SIM_MEM_FREE), SIM_PENDING);
  assert_result(API(empty_cache)(rig->cache), HOSTCACHE_ERR_LEAKED);
  assert_int_equal(ON_RIG(stats)(rig).leaked.current, 1);
}

RIG_TEST(memory_that_cannot_be_given_back_is_leaked_and_not_tried_again) {
  RIG_NOW *rig = *state;
  void *lost = ON_RIG(take)(rig, 64 * KIB), *kept = ON_RIG(take)(rig, 128 * KIB);
  hostcache_stats stats;
  rig->may_leak = true;
  ON_RIG(give)(rig, lost);
  sim_fail(&rig->device, 1, false, SIM_ONLY(SIM_MEM_FREE));
  assert_result(API(empty_cache)(rig->cache), HOSTCACHE_ERR_LEAKED);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_LEAKED], 1);
  assert_int_equal(rig->heard.with_code, 1);
  stats = ON_RIG(stats)(rig);
  assert_int_equal(stats.leaked.current, 1);
  assert_int_equal(stats.leaked_bytes.current, 64 * KIB);
  assert_int_equal(stats.reserved_bytes.current, 192 * KIB);
  assert_int_equal(stats.active.current, 1);

  /* Its range has left the address index. */
  assert_null(API(find)(rig->cache, lost));
  assert_result(API(free)(rig->cache, lost), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(API(record_stream)(rig->cache, lost, 1), HOSTCACHE_ERR_NOT_FOUND);

  assert_one_of(API(empty_cache)(rig->cache), ONE_OF(HOSTCACHE_OK) | ONE_OF(HOSTCACHE_ERR_LEAKED));
  assert_int_equal(rig->device.calls[SIM_MEM_FREE], 1);
  assert_ptr_not_equal(ON_RIG(take)(rig, 64 * KIB), lost);
  ON_RIG(give)(rig, kept);
}

RIG_TEST(the_rest_goes_back_when_one_segment_cannot) {
  RIG_NOW *rig = *state;
  void *blocks[5];
  size_t i;
  rig->may_leak = true;
  for (i = 0; i < 5; i++) blocks[i] = ON_RIG(take)(rig, 64 * KIB);
  for (i = 0; i < 5; i++) ON_RIG(give)(rig, blocks[i]);
  sim_fail(&rig->device, 2, false, SIM_ONLY(SIM_MEM_FREE));
  assert_result(API(empty_cache)(rig->cache), HOSTCACHE_ERR_LEAKED);
  assert_int_equal(rig->device.calls[SIM_MEM_FREE], 5);
  assert_int_equal(ON_RIG(stats)(rig).segment.current, 1);
}

RIG_TEST(destroy_tells_of_what_it_could_not_give_back) {
  RIG_NOW *rig = *state;
  ON_RIG(give)(rig, ON_RIG(take)(rig, 64 * KIB));
  ON_RIG(give)(rig, ON_RIG(take)(rig, 128 * KIB));
  sim_fail(&rig->device, 1, false, SIM_ONLY(SIM_MEM_FREE));
  assert_result(API(destroy)(rig->cache), HOSTCACHE_ERR_LEAKED);
  rig->cache = NULL;
  rig->left_bytes = sim_live_bytes(&rig->device);
  assert_true(rig->left_bytes == 64 * KIB || rig->left_bytes == 128 * KIB);
}

RIG_TEST(destroy_leaves_what_is_quarantined_to_the_runtime) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  (void)ON_RIG(use)(rig, ptr, 1);
  sim_fail(&rig->device, 1, true, SIM_EVERY_RECORD | SIM_ONLY(SIM_STREAM_WAIT));
  sim_handed_back(&rig->device, ptr);
  assert_result(API(free)(rig->cache, ptr), HOSTCACHE_ERR_EVENT);
  assert_result(API(destroy)(rig->cache), HOSTCACHE_ERR_LEAKED);
  rig->cache = NULL;
  rig->left_bytes = 64 * KIB;
  rig->may_lose_events = true;
}

/* ---- the header's own malloc ----------------------------------------------------------------- */

RIG_TEST(without_bookkeeping_an_allocation_changes_nothing) {
  RIG_NOW *rig = *state;
  void *ptr = &ptr;
  hostcache_stats before = ON_RIG(stats)(rig), after;
  uint64_t calls = sim_calls(&rig->device, SIM_EVERY_HOOK);
  below_fail(1, true);
  assert_result(API(alloc)(rig->cache, 64 * KIB, &ptr), HOSTCACHE_ERR_NO_METADATA);
  below_fail_no_more();
  assert_null(ptr);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_NO_METADATA], 1);
  after = ON_RIG(stats)(rig);
  assert_memory_equal(&before.allocation, &after.allocation, sizeof before.allocation);
  assert_int_equal(after.reserved_bytes.current, sim_live_bytes(&rig->device));
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), calls);
  (void)ON_RIG(take)(rig, 64 * KIB);
}

RIG_TEST(without_bookkeeping_a_cache_is_not_made) {
  RIG_NOW *rig = *state;
  long long live = atomic_load(&below.live);
  uint64_t n;
  for (n = 1; n < 100; n++) {
    CACHE *cache = (CACHE *)(void *)rig;
    hostcache_result result;
    below_fail(n, false);
    result = API(create)(&cache, NULL, &rig->device);
    if (atomic_load(&below.failed) == 0) {
      assert_int_equal(result, HOSTCACHE_OK);
      assert_ok(API(destroy)(cache));
      break;
    }
    assert_int_equal(result, HOSTCACHE_ERR_NO_METADATA);
    assert_null(cache);
    assert_int_equal(atomic_load(&below.live), live);
  }
  assert_in_range(n, 2, 99);
  below_fail_no_more();
}
