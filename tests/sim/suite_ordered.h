/* suite_ordered.h - a template of tests: blocks for the work of one stream, of a cache with the
   parameters of hooks_ordered.h; and CACHE_AFTER where streams can be made to wait. */

/* A block for a stream, also in the referee's book, and in use there. */
static inline void *ON_RIG(take_on)(RIG_NOW *rig, size_t size, sim_stream stream) {
  void *ptr = NULL;
  assert_ok(API(alloc_on)(rig->cache, size, stream, &ptr));
  assert_non_null(ptr);
  sim_handed_out_on(&rig->device, ptr, size, stream);
  (void)sim_use(&rig->device, stream, ptr);
  return ptr;
}

/* A block that its stream alone has used, freed. */
static inline void *ON_RIG(leave_on)(RIG_NOW *rig, size_t size, sim_stream stream) {
  void *ptr = ON_RIG(take_on)(rig, size, stream);
  ON_RIG(give)(rig, ptr);
  ON_RIG(check)(rig);
  return ptr;
}

static inline uint64_t ON_RIG(records)(RIG_NOW *rig) {
  const uint64_t records =
      sim_calls(&rig->device, SIM_ONLY(SIM_EVENT_RECORD) | SIM_ONLY(SIM_TIMELINE_RECORD));
  assert_int_equal(ON_RIG(stats)(rig).num_event_record, records);
  return records;
}

/* ---- the same stream ------------------------------------------------------------------------- */

RIG_TEST(a_block_that_its_stream_alone_used_is_ready_for_it_at_once) {
  RIG_NOW *rig = *state;
  static const size_t sizes[] = {1, 4 * KIB, 64 * KIB, 3 * MIB};
  size_t i;
  for (i = 0; i < COUNT_OF(sizes); i++) {
    void *ptr = ON_RIG(leave_on)(rig, sizes[i], 1);
    assert_ptr_equal(ON_RIG(take_on)(rig, sizes[i], 1), ptr);
    ON_RIG(check)(rig);
  }
}

/* At first each free does, and then one of 16, if the one before has completed. Where events are
   pooled these do with as many as there are at a time. */
RIG_TEST(a_stream_that_goes_on_with_its_blocks_records_few_fences) {
  RIG_NOW *rig = *state;
  uint64_t before, created;
  int i;
  (void)ON_RIG(leave_on)(rig, 64 * KIB, 1);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_QUERY), 0); /* one of 16 asks */
  for (i = 1; i < 1000; i++) (void)ON_RIG(leave_on)(rig, 64 * KIB, 1);
  assert_in_range(ON_RIG(records)(rig), 1, 16);
  sim_complete_all(&rig->device);
  (void)ON_RIG(poll)(rig);
  before = ON_RIG(records)(rig);
  created = rig->device.calls[SIM_EVENT_CREATE];
  for (i = 0; i < 320; i++) {
    sim_complete_all(&rig->device);
    (void)ON_RIG(leave_on)(rig, 64 * KIB, 1);
  }
  assert_int_equal(ON_RIG(records)(rig), before + 20);
  assert_int_equal(rig->device.calls[SIM_EVENT_CREATE], created);
  assert_int_equal(ON_RIG(stats)(rig).num_hits, 1319);
}

RIG_TEST(what_a_stream_has_taken_again_needs_no_fence) {
  RIG_NOW *rig = *state;
  uint64_t before;
  int i;
  for (i = 0; i < 20; i++) (void)ON_RIG(leave_on)(rig, 64 * KIB, 1); /* has no credit left */
  sim_complete_all(&rig->device);
  (void)ON_RIG(poll)(rig);
  (void)ON_RIG(leave_on)(rig, 64 * KIB, 1); /* without a fence */
  (void)ON_RIG(take_on)(rig, 64 * KIB, 1);
  before = ON_RIG(records)(rig);
  (void)ON_RIG(poll)(rig);
  assert_int_equal(ON_RIG(records)(rig), before);
}

/* Who polls often does not ask for more of them. */
RIG_TEST(polls_between_frees_do_not_add_a_fence_to_each) {
  RIG_NOW *rig = *state;
  uint64_t before;
  int round, i;
  for (i = 0; i < 16; i++) (void)ON_RIG(leave_on)(rig, 64 * KIB, 1); /* has credit at first */
  before = ON_RIG(records)(rig);
  for (round = 0; round < 10; round++) {
    for (i = 0; i < 16; i++) {
      sim_complete_all(&rig->device);
      (void)ON_RIG(leave_on)(rig, 64 * KIB, 1);
    }
    (void)ON_RIG(poll)(rig);
  }
  assert_in_range(ON_RIG(records)(rig), before + 10, before + 20);
}

/* What others look for in vain they get as soon as can be. */
RIG_TEST(a_miss_has_the_next_frees_record_a_fence_each) {
  RIG_NOW *rig = *state;
  int i;
  for (i = 0; i < 64; i++) (void)ON_RIG(leave_on)(rig, 64 * KIB, 1); /* has no credit left */
  (void)ON_RIG(take_on)(rig, 3 * MIB, 2);
  for (i = 0; i < 15; i++) {
    uint64_t before;
    sim_complete_all(&rig->device);
    (void)ON_RIG(poll)(rig);
    before = ON_RIG(records)(rig);
    (void)ON_RIG(leave_on)(rig, 64 * KIB, 1);
    assert_int_equal(ON_RIG(records)(rig), before + 1);
  }
}

/* What goes round through many streams is no more memory than where each block has its event. */
RIG_TEST(memory_that_goes_from_stream_to_stream_does_not_grow) {
  RIG_NOW *rig = *state;
  void *block[8];
  sim_stream stream;
  size_t i;
  for (stream = 0; stream < 16; stream++) {
    for (i = 0; i < COUNT_OF(block); i++) block[i] = ON_RIG(take_on)(rig, 4 * MIB, stream);
    for (i = 0; i < COUNT_OF(block); i++) ON_RIG(give)(rig, block[i]);
    (void)sim_submit(&rig->device, stream); /* it goes on with something else */
    sim_complete(&rig->device, stream, COUNT_OF(block));
  }
  assert_int_equal(ON_RIG(stats)(rig).reserved_bytes.peak, 8 * 4 * MIB);
}

RIG_TEST(frees_keep_what_is_ready_for_streams_bounded) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  void *block[100];
  size_t i;
  config.max_cached_bytes = 4 * MIB;
  ON_RIG(configure)(rig, config);
  rig->device.eager = true;
  for (i = 0; i < COUNT_OF(block); i++) block[i] = ON_RIG(take_on)(rig, 4 * MIB, 1);
  for (i = 0; i < COUNT_OF(block); i++) ON_RIG(give)(rig, block[i]);
  assert_in_range(ON_RIG(stats)(rig).reserved_bytes.current, 0, (4 + 16 * 4) * MIB);
}

RIG_TEST(what_is_ready_for_a_stream_is_split_there_and_becomes_whole_again) {
  RIG_NOW *rig = *state;
  void *whole = ON_RIG(leave_on)(rig, 8 * MIB, 1), *part[4];
  size_t i;
  for (i = 0; i < 4; i++) {
    part[i] = ON_RIG(take_on)(rig, 2 * MIB, 1);
    assert_int_equal((char *)part[i] - (char *)whole, i * 2 * MIB);
  }
  ON_RIG(give)(rig, part[2]);
  ON_RIG(give)(rig, part[0]);
  ON_RIG(give)(rig, part[3]);
  assert_ptr_equal(ON_RIG(take_on)(rig, 4 * MIB, 1), part[2]);
  ON_RIG(give)(rig, part[2]);
  ON_RIG(give)(rig, part[1]);
  ON_RIG(check)(rig);
  assert_ptr_equal(ON_RIG(take_on)(rig, 8 * MIB, 1), whole);
  assert_int_equal(ON_RIG(stats)(rig).segment.current, 1);
}

RIG_TEST(a_mark_by_its_own_stream_changes_nothing) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take_on)(rig, 64 * KIB, 1);
  (void)ON_RIG(use)(rig, ptr, 1);
  ON_RIG(give)(rig, ptr);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
  assert_ptr_equal(ON_RIG(take_on)(rig, 64 * KIB, 1), ptr);
}

RIG_TEST(a_deferred_free_makes_a_block_ready_for_its_stream_without_a_hook) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take_on)(rig, 64 * KIB, 1);
  const uint64_t hooks = sim_calls(&rig->device, SIM_EVERY_HOOK);
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free_deferred)(rig->cache, ptr));
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), hooks);
  ON_RIG(check)(rig);
  assert_ptr_equal(ON_RIG(take_on)(rig, 64 * KIB, 1), ptr);
}

/* ---- other streams --------------------------------------------------------------------------- */

RIG_TEST(a_block_is_ready_for_others_when_its_stream_is_through) {
  RIG_NOW *rig = *state;
  void *ptr, *other;
  int host;
  ON_RIG(warm)(rig, 32 * MIB);
  for (host = 0; host < 2; host++) {
    ptr = ON_RIG(leave_on)(rig, 3 * MIB, 1);
    sim_complete_all(&rig->device);
    if (host)
      other = ON_RIG(take)(rig, 3 * MIB);
    else
      other = ON_RIG(take_on)(rig, 3 * MIB, 2);
    assert_ptr_equal(other, ptr);
    ON_RIG(give)(rig, other);
    sim_complete_all(&rig->device);
    assert_int_equal(ON_RIG(stats)(rig).segment.current, 1);
    ON_RIG(check)(rig);
  }
}

/* The fence is recorded at the free, so that what was submitted later does not count. */
RIG_TEST(what_a_stream_does_later_does_not_keep_its_block_from_others) {
  RIG_NOW *rig = *state;
  void *ptr;
  ON_RIG(warm)(rig, 32 * MIB);
  ptr = ON_RIG(leave_on)(rig, 3 * MIB, 1);
  (void)sim_submit(&rig->device, 1);
  sim_complete(&rig->device, 1, 1);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

RIG_TEST(what_was_freed_after_a_fence_gets_one_of_its_own) {
  RIG_NOW *rig = *state;
  void *one, *two, *got[2];
  ON_RIG(warm)(rig, 32 * MIB);
  one = ON_RIG(take_on)(rig, 3 * MIB, 1);
  two = ON_RIG(take_on)(rig, 3 * MIB, 1);
  ON_RIG(give)(rig, one); /* with a fence */
  ON_RIG(give)(rig, two); /* without */
  sim_complete_all(&rig->device);
  got[0] = ON_RIG(take)(rig, 3 * MIB);
  got[1] = ON_RIG(take)(rig, 3 * MIB);
  assert_true((got[0] == one && got[1] == two) || (got[0] == two && got[1] == one));
  assert_int_equal(ON_RIG(stats)(rig).segment.current, 2);
}

RIG_TEST(a_fence_does_not_cover_what_is_freed_after_it) {
  RIG_NOW *rig = *state;
  void *one, *two;
  ON_RIG(warm)(rig, 32 * MIB);
  one = ON_RIG(take_on)(rig, 3 * MIB, 1);
  two = ON_RIG(take_on)(rig, 3 * MIB, 1);
  ON_RIG(give)(rig, one); /* with a fence */
  (void)ON_RIG(use)(rig, two, 1);
  ON_RIG(give)(rig, two);
  sim_complete(&rig->device, 1, 2);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), one);
  assert_ptr_not_equal(ON_RIG(take)(rig, 3 * MIB), two);
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), two);
}

/* What becomes one is covered where all of it is. */
RIG_TEST(a_fence_does_not_cover_what_a_later_neighbour_became_part_of) {
  RIG_NOW *rig = *state;
  char *whole, *parts[2];
  int first;
  ON_RIG(warm)(rig, 32 * MIB);
  for (first = 0; first < 2; first++) {
    whole = ON_RIG(take)(rig, 8 * MIB);
    ON_RIG(give)(rig, whole);
    parts[0] = ON_RIG(take_on)(rig, 4 * MIB, 1);
    parts[1] = ON_RIG(take_on)(rig, 4 * MIB, 1);
    assert_ptr_equal(parts[1], whole + 4 * MIB);
    ON_RIG(give)(rig, parts[first]); /* with a fence */
    (void)ON_RIG(use)(rig, parts[1 - first], 1);
    ON_RIG(give)(rig, parts[1 - first]);
    sim_complete(&rig->device, 1, 2);
    assert_int_equal(ON_RIG(poll)(rig), 0);
    ON_RIG(check)(rig);
    sim_complete_all(&rig->device);
    assert_ok(API(synchronize)(rig->cache, UINT64_MAX));
    assert_ptr_equal(ON_RIG(take)(rig, 8 * MIB), whole);
    ON_RIG(give)(rig, whole);
  }
}

/* Where a range is divided, both parts are as new as it was. */
RIG_TEST(a_part_of_what_is_ready_for_a_stream_is_as_new_as_the_whole) {
  RIG_NOW *rig = *state;
  char *whole, *part;
  ON_RIG(warm)(rig, 32 * MIB);
  whole = ON_RIG(leave_on)(rig, 8 * MIB, 1); /* with a fence */
  part = ON_RIG(take_on)(rig, 8 * MIB, 1);
  ON_RIG(give)(rig, part); /* without one */
  part = ON_RIG(take_on)(rig, 4 * MIB, 1);
  assert_ptr_equal(part, whole);
  sim_complete(&rig->device, 1, 1);
  assert_int_equal(ON_RIG(poll)(rig), 0);
  assert_ptr_not_equal(ON_RIG(take)(rig, 4 * MIB), whole + 4 * MIB);
}

RIG_TEST(process_events_makes_ready_for_all_what_streams_are_through_with) {
  RIG_NOW *rig = *state;
  void *ptr;
  ON_RIG(warm)(rig, 32 * MIB);
  ptr = ON_RIG(leave_on)(rig, 3 * MIB, 1);
  assert_int_equal(ON_RIG(poll)(rig), 0);
  sim_complete_all(&rig->device);
  assert_int_equal(ON_RIG(poll)(rig), 1);
  ON_RIG(check)(rig);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

/* It was freed in a callback, where no fence can be recorded. */
RIG_TEST(process_events_records_a_fence_and_asks_for_it_at_once) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take_on)(rig, 3 * MIB, 1);
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free_deferred)(rig->cache, ptr));
  sim_complete_all(&rig->device);
  assert_int_equal(ON_RIG(poll)(rig), 1);
}

RIG_TEST(a_block_that_others_used_waits_for_them_too) {
  RIG_NOW *rig = *state;
  void *ptr, *again;
  ON_RIG(warm)(rig, 32 * MIB);
  ptr = ON_RIG(take_on)(rig, 3 * MIB, 1);
  (void)ON_RIG(use)(rig, ptr, 2);
  ON_RIG(give)(rig, ptr);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
  again = ON_RIG(take_on)(rig, 3 * MIB, 1);
  assert_ptr_not_equal(again, ptr);
  sim_complete(&rig->device, 2, -1);
  assert_ptr_not_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
  sim_complete(&rig->device, 1, -1);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

#ifdef CACHE_EVENT_T
RIG_TEST(a_block_waits_for_an_event_that_was_given_for_it) {
  RIG_NOW *rig = *state;
  void *ptr;
  ON_RIG(warm)(rig, 32 * MIB);
  ptr = ON_RIG(take_on)(rig, 3 * MIB, 1);
  (void)sim_use(&rig->device, 2, ptr);
  assert_ok(API(record_event)(rig->cache, ptr, CACHE_OWN_EVENT(&rig->device, 2)));
  ON_RIG(give)(rig, ptr);
  assert_ptr_not_equal(ON_RIG(take_on)(rig, 3 * MIB, 1), ptr);
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take_on)(rig, 3 * MIB, 1), ptr);
}
#else
RIG_TEST(a_block_waits_for_a_value_that_was_given_for_it) {
  RIG_NOW *rig = *state;
  void *ptr;
  ON_RIG(warm)(rig, 32 * MIB);
  ptr = ON_RIG(take_on)(rig, 3 * MIB, 1);
  (void)sim_submit(&rig->device, 1);
  assert_ok(API(record_value)(rig->cache, ptr, 1, 3));
  ON_RIG(give)(rig, ptr);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
  (void)sim_submit(&rig->device, 1);
  sim_complete(&rig->device, 1, 2);
  assert_ptr_not_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

/* The memory may be in use by what the stream did before it was got again. */
RIG_TEST(a_value_does_not_stand_for_what_was_there_before) {
  RIG_NOW *rig = *state;
  void *ptr;
  int i;
  ON_RIG(warm)(rig, 32 * MIB);
  ptr = ON_RIG(take_on)(rig, 3 * MIB, 1);
  for (i = 0; i < 9; i++) (void)ON_RIG(use)(rig, ptr, 1);
  sim_complete(&rig->device, 1, 5);
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free_deferred)(rig->cache, ptr));
  assert_ok(API(alloc_on)(rig->cache, 3 * MIB, 1, &ptr));
  sim_handed_out_on(&rig->device, ptr, 3 * MIB, 1);
  assert_ok(API(record_value)(rig->cache, ptr, 1, 5)); /* which is reached */
  ON_RIG(give)(rig, ptr);
  assert_ptr_not_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

/* Only a value of its own stream adds to what the block is for: of another one, or where it is for
   none, no more than the value counts. */
RIG_TEST(a_value_of_another_stream_is_waited_for_too) {
  RIG_NOW *rig = *state;
  int has_own;
  for (has_own = 0; has_own < 2; has_own++) {
    void *ptr = has_own ? ON_RIG(take_on)(rig, 64 * KIB, 1) : ON_RIG(take)(rig, 64 * KIB);
    assert_ok(API(record_value)(rig->cache, ptr, 2, sim_use(&rig->device, 2, ptr)));
    (void)sim_submit(&rig->device, 2);
    ON_RIG(give)(rig, ptr);
    sim_complete(&rig->device, 1, -1);
    (void)ON_RIG(poll)(rig);
    assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
    sim_complete(&rig->device, 2, 1);
    (void)ON_RIG(poll)(rig);
    assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
    sim_complete(&rig->device, 2, -1);
  }
}

/* Also by a stream without a bit in the marks, and where a mark came after the value. */
RIG_TEST(a_value_beyond_the_work_so_far_is_waited_for) {
  RIG_NOW *rig = *state;
  sim_stream stream;
  ON_RIG(warm)(rig, 512 * MIB);
  for (stream = 0; stream < 100; stream++) {
    void *ptr = ON_RIG(take_on)(rig, 3 * MIB, stream);
    assert_ok(API(record_value)(rig->cache, ptr, stream, 2));
    assert_ok(API(record_stream)(rig->cache, ptr, stream));
    ON_RIG(give)(rig, ptr);
    assert_int_equal(ON_RIG(stats)(rig).pending.current, stream + 1);
  }
  for (stream = 0; stream < 100; stream++) (void)sim_submit(&rig->device, stream);
}
#endif

#ifdef CACHE_AFTER

RIG_TEST(another_stream_gets_it_before_and_is_made_to_wait) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(leave_on)(rig, 3 * MIB, 1);
  const uint64_t got = rig->device.calls[SIM_MEM_ALLOC];
  assert_ptr_equal(ON_RIG(take_on)(rig, 3 * MIB, 2), ptr);
  assert_int_equal(rig->device.calls[SIM_STREAM_AFTER], 1);
  ON_RIG(give)(rig, ptr);
  assert_ptr_equal(ON_RIG(take_on)(rig, 3 * MIB, 3), ptr); /* after 2, and so after 1 */
  assert_int_equal(rig->device.calls[SIM_MEM_ALLOC], got);
  ON_RIG(give)(rig, ptr);
  ON_RIG(check)(rig);
  assert_ptr_not_equal(ON_RIG(take)(rig, 3 * MIB), ptr); /* the host cannot be made to */
}

/* Its fence is recorded by the one who looks for it. */
RIG_TEST(what_a_stream_is_through_with_another_one_gets_without_waiting) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take_on)(rig, 3 * MIB, 1);
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free_deferred)(rig->cache, ptr));
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take_on)(rig, 3 * MIB, 2), ptr);
  assert_int_equal(rig->device.calls[SIM_STREAM_AFTER], 0);
}

RIG_TEST(where_a_stream_cannot_be_made_to_wait_it_gets_other_memory) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(leave_on)(rig, 3 * MIB, 1);
  sim_fail(&rig->device, 1, false, SIM_ONLY(SIM_STREAM_AFTER));
  assert_ptr_not_equal(ON_RIG(take_on)(rig, 3 * MIB, 2), ptr);
  assert_int_equal(rig->heard.count, 1);
  assert_int_equal(ON_RIG(stats)(rig).allocation.peak, 1); /* what it could not have is no peak */
  ON_RIG(check)(rig);
  assert_ptr_equal(ON_RIG(take_on)(rig, 3 * MIB, 1), ptr);
}

RIG_TEST(no_stream_is_made_to_wait_for_what_could_not_be_recorded) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(leave_on)(rig, 3 * MIB, 1);
  sim_fail(&rig->device, 1, false, SIM_EVERY_RECORD);
  assert_ptr_not_equal(ON_RIG(take_on)(rig, 3 * MIB, 2), ptr);
  assert_int_equal(rig->device.fault.fired, 1);
  assert_int_equal(rig->device.calls[SIM_STREAM_AFTER], 0);
}

#else

RIG_TEST(neighbours_of_two_streams_become_one_when_both_are_through) {
  RIG_NOW *rig = *state;
  void *whole, *one, *two;
  ON_RIG(warm)(rig, 32 * MIB);
  whole = ON_RIG(take)(rig, 8 * MIB);
  ON_RIG(give)(rig, whole);
  one = ON_RIG(take_on)(rig, 4 * MIB, 1);
  two = ON_RIG(take_on)(rig, 4 * MIB, 2);
  assert_int_equal((char *)two - (char *)one, 4 * MIB);
  ON_RIG(give)(rig, one);
  ON_RIG(give)(rig, two);
  ON_RIG(check)(rig);
  assert_ptr_equal(ON_RIG(take_on)(rig, 4 * MIB, 2), two);
  assert_ptr_equal(ON_RIG(take_on)(rig, 4 * MIB, 1), one);
  ON_RIG(give)(rig, one);
  ON_RIG(give)(rig, two);
  sim_complete(&rig->device, 1, -1);
  (void)ON_RIG(poll)(rig);
  ON_RIG(check)(rig);
  sim_complete(&rig->device, 2, -1);
  assert_ptr_equal(ON_RIG(take)(rig, 8 * MIB), whole);
}

/* Streams beyond those that have a bit in the marks. */
RIG_TEST(a_hundred_streams_have_blocks_of_their_own) {
  RIG_NOW *rig = *state;
  void *of[100];
  sim_stream stream;
  for (stream = 0; stream < 100; stream++) of[stream] = ON_RIG(leave_on)(rig, 64 * KIB, stream);
  for (stream = 99; stream >= 0; stream--)
    assert_ptr_equal(ON_RIG(take_on)(rig, 64 * KIB, stream), of[stream]);
  ON_RIG(check)(rig);
}

/* Who asks in vain takes nothing from others. */
RIG_TEST(an_allocation_that_fails_leaves_to_streams_what_is_theirs) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  void *ptr, *other;
  config.max_reserved_bytes = 8 * MIB;
  ON_RIG(configure)(rig, config);
  ptr = ON_RIG(leave_on)(rig, 8 * MIB, 1);
  assert_result(API(alloc)(rig->cache, 4 * MIB, &other), HOSTCACHE_ERR_LIMIT);
  assert_result(API(alloc)(rig->cache, 64 * MIB, &other), HOSTCACHE_ERR_LIMIT);
  assert_result(API(synchronize)(rig->cache, 0), HOSTCACHE_ERR_TIMEOUT);
  assert_ok(API(empty_cache)(rig->cache));
  assert_result(API(destroy)(rig->cache), HOSTCACHE_ERR_BUSY);
  assert_ptr_equal(ON_RIG(take_on)(rig, 8 * MIB, 1), ptr);
}

RIG_TEST(a_stream_that_runs_keeps_its_block_from_others) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(leave_on)(rig, 3 * MIB, 1);
  assert_ptr_not_equal(ON_RIG(take_on)(rig, 3 * MIB, 2), ptr);
  assert_ptr_not_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
  assert_ptr_equal(ON_RIG(take_on)(rig, 3 * MIB, 1), ptr);
}

#endif

/* ---- bounds, and the end of things ----------------------------------------------------------- */

RIG_TEST(empty_cache_gives_back_what_streams_are_through_with_and_no_more) {
  RIG_NOW *rig = *state;
  void *later = ON_RIG(take_on)(rig, 3 * MIB, 1);
  (void)ON_RIG(leave_on)(rig, 3 * MIB, 1);
  ON_RIG(give)(rig, later); /* which its fence does not cover */
  (void)ON_RIG(leave_on)(rig, 5 * MIB, 2);
  sim_complete(&rig->device, 1, -1);
  assert_ok(API(empty_cache)(rig->cache)); /* the referee looks at what goes back */
  ON_RIG(check)(rig);
  assert_int_equal(ON_RIG(stats)(rig).reserved_bytes.current, 5 * MIB);
  sim_complete(&rig->device, 2, -1);
  assert_ok(API(empty_cache)(rig->cache));
  assert_int_equal(ON_RIG(stats)(rig).reserved_bytes.current, 0);
}

RIG_TEST(what_is_ready_for_a_stream_is_not_bound_as_idle_memory_is) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  void *idle, *kept;
  config.max_cached_bytes = 4 * MIB;
  ON_RIG(configure)(rig, config);
  idle = ON_RIG(take)(rig, 3 * MIB);
  kept = ON_RIG(take_on)(rig, 3 * MIB, 1);
  ON_RIG(give)(rig, idle);
  ON_RIG(give)(rig, kept);
  assert_int_equal(ON_RIG(stats)(rig).segment.current, 2);
  sim_complete_all(&rig->device);
  (void)ON_RIG(poll)(rig);
  assert_int_equal(ON_RIG(stats)(rig).segment.current, 1);
}

RIG_TEST(what_is_above_the_bound_goes_back_when_its_stream_is_through) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  config.max_cached_bytes = HOSTCACHE_NONE;
  ON_RIG(configure)(rig, config);
  (void)ON_RIG(leave_on)(rig, 3 * MIB, 1);
  assert_int_equal(ON_RIG(stats)(rig).reserved_bytes.current, 3 * MIB);
  sim_complete_all(&rig->device);
  (void)ON_RIG(poll)(rig);
  assert_int_equal(ON_RIG(stats)(rig).reserved_bytes.current, 0);
}

/* One of 16 frees looks. */
RIG_TEST(what_is_above_the_bound_goes_back_by_a_free_that_finds_its_stream_through) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  int i;
  config.max_cached_bytes = HOSTCACHE_NONE;
  ON_RIG(configure)(rig, config);
  rig->device.eager = true;
  for (i = 0; i < 16; i++) (void)ON_RIG(leave_on)(rig, 3 * MIB, 1);
  assert_int_equal(ON_RIG(stats)(rig).reserved_bytes.current, 0);
}

RIG_TEST(at_the_cap_a_block_of_another_stream_is_waited_for) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  void *ptr, *other;
  config.max_reserved_bytes = 4 * MIB;
  ON_RIG(configure)(rig, config);
  ptr = ON_RIG(leave_on)(rig, 4 * MIB, 1);
  assert_result(API(alloc)(rig->cache, 3 * MIB, &other), HOSTCACHE_ERR_LIMIT);
  ON_RIG(check)(rig);
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

/* What is freed after a fence gets another one when that is complete. */
RIG_TEST(at_the_cap_all_that_streams_freed_is_waited_for) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  void *parts[2];
  config.max_reserved_bytes = 8 * MIB;
  config.wait_on_limit_ns = UINT64_MAX;
  ON_RIG(configure)(rig, config);
  parts[0] = ON_RIG(take_on)(rig, 4 * MIB, 1);
  parts[1] = ON_RIG(take_on)(rig, 4 * MIB, 1);
  ON_RIG(give)(rig, parts[0]);
  (void)ON_RIG(use)(rig, parts[1], 1);
  ON_RIG(give)(rig, parts[1]);
  rig->device.progress_per_queries = 1;
  (void)ON_RIG(take)(rig, 8 * MIB);
}

/* A callback, while the runtime is asked for memory. */
typedef struct ON_RIG(callback) {
  RIG_NOW *rig;
  void *ptr;
} ON_RIG(callback);

static inline void ON_RIG(free_meanwhile)(void *user, sim_hook hook) {
  ON_RIG(callback) *callback = user;
  RIG_NOW *rig = callback->rig;
  if (hook != SIM_MEM_ALLOC) return;
  rig->device.on_hook = NULL;
  sim_handed_back(&rig->device, callback->ptr);
  assert_ok(API(free_deferred)(rig->cache, callback->ptr));
}

/* No fence covers it yet. */
RIG_TEST(what_a_callback_frees_while_the_runtime_is_asked_is_waited_for) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  ON_RIG(callback) callback = {rig, NULL};
  config.wait_on_limit_ns = UINT64_MAX;
  ON_RIG(configure)(rig, config);
  callback.ptr = ON_RIG(take_on)(rig, 4 * MIB, 1);
  rig->device.memory_limit = 4 * MIB;
  rig->device.on_hook = ON_RIG(free_meanwhile);
  rig->device.on_hook_user = &callback;
  rig->device.progress_per_queries = 1;
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), callback.ptr);
}

RIG_TEST(a_free_off_the_hot_path_records_the_fence_too) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  config.thread_cache_bytes = HOSTCACHE_NONE;
  ON_RIG(configure)(rig, config);
  (void)ON_RIG(leave_on)(rig, 3 * MIB, 1);
  assert_int_equal(ON_RIG(records)(rig), 1);
  (void)ON_RIG(poll)(rig);
  assert_int_equal(ON_RIG(records)(rig), 1); /* as that covers all */
}

RIG_TEST(at_the_cap_a_stream_takes_what_is_its_own) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  void *ptr;
  config.max_reserved_bytes = 4 * MIB;
  ON_RIG(configure)(rig, config);
  ptr = ON_RIG(leave_on)(rig, 4 * MIB, 1);
  assert_ptr_equal(ON_RIG(take_on)(rig, 3 * MIB, 1), ptr);
}

RIG_TEST(destroy_is_busy_as_long_as_a_stream_runs) {
  RIG_NOW *rig = *state;
  void *later = ON_RIG(take_on)(rig, 3 * MIB, 1);
  (void)ON_RIG(leave_on)(rig, 3 * MIB, 1);
  ON_RIG(give)(rig, later); /* which its fence does not cover */
  assert_result(API(destroy)(rig->cache), HOSTCACHE_ERR_BUSY);
  ON_RIG(check)(rig);
  sim_complete_all(&rig->device);
  assert_ok(API(destroy)(rig->cache));
  rig->cache = NULL;
}

/* All memory is ready for all, as the caller says; but the event of the fence cannot end. */
RIG_TEST(destroy_is_busy_as_long_as_a_fence_waits) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(leave_on)(rig, 3 * MIB, 1);
  assert_ptr_equal(ON_RIG(take_on)(rig, 3 * MIB, 1), ptr);
  (void)ON_RIG(use)(rig, ptr, 2);
  rig->device.works.count = 0; /* the referee takes the caller's word for it */
  sim_fail(&rig->device, 1, true, SIM_EVERY_RECORD | SIM_ONLY(SIM_STREAM_WAIT));
  sim_handed_back(&rig->device, ptr);
  assert_result(API(free)(rig->cache, ptr), HOSTCACHE_ERR_EVENT);
  sim_fail_no_more(&rig->device);
  assert_int_equal(ON_RIG(stats)(rig).quarantined.current, 1);
  assert_ok(API(release_quarantine)(rig->cache));
  assert_int_equal(ON_RIG(stats)(rig).active.current, 0);
  assert_result(API(destroy)(rig->cache), HOSTCACHE_ERR_BUSY);
}

static inline void ON_RIG(abandon)(RIG_NOW *rig) {
  sim_shutdown(&rig->device);
  rig->left_bytes = sim_live_bytes(&rig->device);
  rig->may_lose_events = true;
  API(abandon)(rig->cache);
  rig->cache = NULL;
}

RIG_TEST(abandon_leaves_no_bookkeeping) {
  RIG_NOW *rig = *state;
  (void)ON_RIG(leave_on)(rig, 3 * MIB, 1);
  (void)ON_RIG(take_on)(rig, 3 * MIB, 2);
  ON_RIG(abandon)(rig);
}

RIG_TEST(synchronize_waits_until_all_is_ready_for_all) {
  RIG_NOW *rig = *state;
  void *ptr;
  ON_RIG(warm)(rig, 32 * MIB);
  ptr = ON_RIG(leave_on)(rig, 3 * MIB, 1);
  assert_result(API(synchronize)(rig->cache, 0), HOSTCACHE_ERR_TIMEOUT);
  rig->device.progress_per_queries = 2;
  assert_ok(API(synchronize)(rig->cache, UINT64_MAX));
  rig->device.progress_per_queries = 0;
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

/* ---- streams that go ------------------------------------------------------------------------- */

RIG_TEST(what_was_ready_for_a_forgotten_stream_is_waited_for_without_it) {
  RIG_NOW *rig = *state;
  void *ptr, *kept;
  ON_RIG(warm)(rig, 32 * MIB);
  kept = ON_RIG(take_on)(rig, 5 * MIB, 1);
  ptr = ON_RIG(leave_on)(rig, 3 * MIB, 1);
  rig->device.progress_per_queries = 1; /* in timeline mode it has to come to its end */
  assert_ok(API(forget_stream)(rig->cache, 1));
  rig->device.progress_per_queries = 0;
  sim_stream_destroy(&rig->device, 1);
  ON_RIG(check)(rig);
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
  ON_RIG(give)(rig, kept);
  assert_ptr_equal(ON_RIG(take)(rig, 5 * MIB), kept);
  ON_RIG(check)(rig);
}

/* ... nor does it leave any bookkeeping. */
RIG_TEST(a_new_stream_gets_nothing_that_was_ready_for_the_one_before) {
  RIG_NOW *rig = *state;
  long long books = 0;
  int round;
  for (round = 0; round < 6; round++) {
    if (round == 3) books = atomic_load(&below.live);
    (void)ON_RIG(leave_on)(rig, 3 * MIB, 1); /* the referee sees whether that is in use */
    rig->device.progress_per_queries = 1;
    assert_ok(API(forget_stream)(rig->cache, 1));
    rig->device.progress_per_queries = 0;
    sim_stream_destroy(&rig->device, 1);
    sim_stream_create(&rig->device, 1);
    sim_complete_all(&rig->device);
    (void)ON_RIG(poll)(rig);
    ON_RIG(check)(rig);
  }
  assert_int_equal(atomic_load(&below.live), books);
}

RIG_TEST(a_stream_without_blocks_of_its_own_is_forgotten_like_any_other) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take)(rig, 64 * KIB);
  assert_ok(API(forget_stream)(rig->cache, 7)); /* the cache has never met it */
  sim_stream_destroy(&rig->device, 7);
  (void)ON_RIG(use)(rig, ptr, 8); /* it has only used what is for all */
  rig->device.progress_per_queries = 1;
  assert_ok(API(forget_stream)(rig->cache, 8));
  rig->device.progress_per_queries = 0;
  sim_stream_destroy(&rig->device, 8);
  ON_RIG(give)(rig, ptr);
  ON_RIG(check)(rig);
}

/* Another thread, inside of the first record of forget_stream, for what is ready for stream 1. */
typedef struct ON_RIG(rival) {
  RIG_NOW *rig;
  void *kept; /* or NULL: it frees what it took, and calls no hook */
  bool keeps;
} ON_RIG(rival);

static inline void ON_RIG(take_inside)(void *user, sim_hook hook) {
  ON_RIG(rival) *rival = user;
  RIG_NOW *rig = rival->rig;
  void *ptr;
  if ((SIM_ONLY(hook) & (SIM_ONLY(SIM_EVENT_RECORD) | SIM_ONLY(SIM_TIMELINE_RECORD))) == 0) return;
  rig->device.on_hook = NULL;
  ptr = ON_RIG(take_on)(rig, 3 * MIB, 1);
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free_deferred)(rig->cache, ptr));
  if (rival->keeps) rival->kept = ON_RIG(take_on)(rig, 3 * MIB, 1);
}

/* Stream 1 has a block that no fence covers yet. */
static inline void *ON_RIG(leave_uncovered)(RIG_NOW *rig) {
  void *ptr = ON_RIG(take_on)(rig, 3 * MIB, 1);
  sim_handed_back(&rig->device, ptr);
  assert_ok(API(free_deferred)(rig->cache, ptr));
  return ptr;
}

static inline void ON_RIG(let_rival_in)(RIG_NOW *rig, ON_RIG(rival) * rival) {
  rival->rig = rig;
  rig->device.on_hook = ON_RIG(take_inside);
  rig->device.on_hook_user = rival;
  rig->device.progress_per_queries = 1;
}

RIG_TEST(what_is_freed_while_its_stream_is_forgotten_gets_a_fence_before_that_is_gone) {
  RIG_NOW *rig = *state;
  ON_RIG(rival) rival = {NULL, NULL, false};
  void *ptr;
  ON_RIG(warm)(rig, 32 * MIB);
  ptr = ON_RIG(leave_uncovered)(rig);
  ON_RIG(let_rival_in)(rig, &rival);
  assert_ok(API(forget_stream)(rig->cache, 1));
  assert_null(rig->device.on_hook);
  assert_int_equal(ON_RIG(records)(rig), 2);
  assert_int_equal(rig->device.calls[SIM_STREAM_WAIT], 0); /* the fences do */
  rig->device.progress_per_queries = 0;
  sim_stream_destroy(&rig->device, 1); /* no hook sees it from here on */
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

/* A thread that forgets stream 1, while another one records its fence. */
typedef struct ON_RIG(forgetter) {
  RIG_NOW *rig;
  pthread_t thread;
  atomic_bool is_forgotten;
} ON_RIG(forgetter);

static void *ON_RIG(forget_1)(void *argument) {
  ON_RIG(forgetter) *forgetter = argument;
  expect_or_abort(API(forget_stream)(forgetter->rig->cache, 1) == HOSTCACHE_OK);
  atomic_store(&forgetter->is_forgotten, true);
  return NULL;
}

/* (A cache that does not wait is given time to be caught.) */
static inline void ON_RIG(forget_beside)(void *user, sim_hook hook) {
  ON_RIG(forgetter) *forgetter = user;
  int i;
  if ((SIM_ONLY(hook) & SIM_EVERY_RECORD) == 0) return;
  forgetter->rig->device.on_hook = NULL;
  assert_int_equal(pthread_create(&forgetter->thread, NULL, ON_RIG(forget_1), forgetter), 0);
  for (i = 0; i < 2000; i++) {
    assert_false(atomic_load(&forgetter->is_forgotten));
    sched_yield();
  }
}

RIG_TEST(a_fence_that_is_just_recorded_keeps_its_stream_from_being_forgotten) {
  RIG_NOW *rig = *state;
  ON_RIG(forgetter) forgetter;
  void *ptr = ON_RIG(take_on)(rig, 3 * MIB, 1);
  forgetter.rig = rig;
  atomic_init(&forgetter.is_forgotten, false);
  rig->device.on_hook = ON_RIG(forget_beside);
  rig->device.on_hook_user = &forgetter;
  rig->device.progress_per_queries = 1;
  ON_RIG(give)(rig, ptr);
  assert_null(rig->device.on_hook);
  pthread_join(forgetter.thread, NULL);
  rig->device.progress_per_queries = 0;
  sim_stream_destroy(&rig->device, 1);
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

/* What is got then is the next stream's of that handle: that one has it, and waits for it. */
RIG_TEST(what_is_taken_while_its_stream_is_forgotten_is_a_block_like_any_other) {
  RIG_NOW *rig = *state;
  ON_RIG(rival) rival = {NULL, NULL, true};
  void *ptr;
  ON_RIG(warm)(rig, 32 * MIB);
  ptr = ON_RIG(leave_uncovered)(rig);
  ON_RIG(let_rival_in)(rig, &rival);
  assert_ok(API(forget_stream)(rig->cache, 1));
  assert_null(rig->device.on_hook);
  rig->device.progress_per_queries = 0;
  assert_ptr_equal(rival.kept, ptr);
  (void)ON_RIG(use)(rig, ptr, 1);
  ON_RIG(give)(rig, ptr);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
  assert_ptr_not_equal(ON_RIG(take_on)(rig, 3 * MIB, 1), ptr);
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

/* Unless the stream can be waited for instead; what failed may be told even so. */
RIG_TEST(a_stream_whose_last_fence_cannot_be_recorded_is_not_forgotten) {
  RIG_NOW *rig = *state;
  ON_RIG(rival) rival = {NULL, NULL, false};
  uint64_t n;
  for (n = 1; n <= 2; n++) { /* the first, or that of what is freed meanwhile */
    void *ptr = ON_RIG(leave_uncovered)(rig);
    void *got = NULL;
    hostcache_result result;
    ON_RIG(let_rival_in)(rig, &rival);
    if (n == 1) rig->device.on_hook = NULL;
    rig->device.calls[SIM_STREAM_WAIT] = 0;
    sim_fail(&rig->device, n, true, SIM_EVERY_RECORD);
    result = API(forget_stream)(rig->cache, 1);
    sim_fail_no_more(&rig->device);
    rig->device.progress_per_queries = 0;
    assert_null(rig->device.on_hook);
    ON_RIG(check)(rig);
    if (rig->device.calls[SIM_STREAM_WAIT] > 0) {
      (void)assert_one_of(result, ONE_OF(HOSTCACHE_OK) | ONE_OF(HOSTCACHE_ERR_EVENT));
      got = ON_RIG(take)(rig, 3 * MIB);
    } else {
      assert_int_equal(result, HOSTCACHE_ERR_EVENT);
      got = ON_RIG(take_on)(rig, 3 * MIB, 1);
    }
    assert_ptr_equal(got, ptr);
    ON_RIG(give)(rig, got);
    sim_complete_all(&rig->device);
    (void)ON_RIG(poll)(rig);
  }
}

/* With 91 streams that the cache has met, of which the last has no bit in the marks of a block. */
enum { ON_RIG(late) = 90 };

static inline void ON_RIG(meet)(RIG_NOW *rig) {
  int stream;
  for (stream = 0; stream <= ON_RIG(late); stream++) (void)ON_RIG(pend)(rig, 4 * KIB, stream);
  sim_complete_all(&rig->device);
  (void)ON_RIG(poll)(rig);
}

/* Forgets it, while something happens inside of a hook, once. */
static inline void ON_RIG(forget_late_beside)(RIG_NOW *rig,
                                              void (*on_hook)(void *user, sim_hook hook),
                                              void *user) {
  rig->device.on_hook = on_hook;
  rig->device.on_hook_user = user;
  rig->device.progress_per_queries = 1;
  assert_ok(API(forget_stream)(rig->cache, ON_RIG(late)));
  assert_null(rig->device.on_hook);
  rig->device.progress_per_queries = 0;
  sim_stream_destroy(&rig->device, ON_RIG(late));
  ON_RIG(check)(rig);
}

static inline void ON_RIG(give_inside)(void *user, sim_hook hook) {
  ON_RIG(rival) *rival = user;
  RIG_NOW *rig = rival->rig;
  if ((SIM_ONLY(hook) & (SIM_ONLY(SIM_EVENT_RECORD) | SIM_ONLY(SIM_TIMELINE_RECORD))) == 0) return;
  rig->device.on_hook = NULL;
  ON_RIG(give)(rig, rival->kept);
}

RIG_TEST(a_block_that_is_freed_while_its_stream_is_forgotten_waits_for_it) {
  RIG_NOW *rig = *state;
  ON_RIG(rival) rival = {rig, NULL, true};
  void *got;
  ON_RIG(meet)(rig);
  rival.kept = ON_RIG(take_on)(rig, 3 * MIB, ON_RIG(late));
  ON_RIG(forget_late_beside)(rig, ON_RIG(give_inside), &rival);
  got = ON_RIG(take)(rig, 3 * MIB); /* the referee looks */
  sim_complete_all(&rig->device);
  (void)ON_RIG(poll)(rig);
  if (got != rival.kept) assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), rival.kept);
}

/* For one block that is all recorded already, the other one's turn comes after that. */
typedef struct ON_RIG(two_kept) {
  RIG_NOW *rig;
  void *kept[2];
  int records;
} ON_RIG(two_kept);

static inline void ON_RIG(give_both_inside)(void *user, sim_hook hook) {
  ON_RIG(two_kept) *two = user;
  RIG_NOW *rig = two->rig;
  int i;
  if ((SIM_ONLY(hook) & SIM_EVERY_RECORD) == 0 || ++two->records < 2) return;
  rig->device.on_hook = NULL;
  for (i = 0; i < 2; i++) ON_RIG(give)(rig, two->kept[i]);
}

RIG_TEST(what_was_recorded_to_forget_a_stream_does_not_leak_when_its_block_is_freed) {
  RIG_NOW *rig = *state;
  ON_RIG(two_kept) two = {rig, {NULL, NULL}, 0};
  int i;
  ON_RIG(meet)(rig);
  for (i = 0; i < 2; i++) two.kept[i] = ON_RIG(take_on)(rig, 3 * MIB, ON_RIG(late));
  ON_RIG(forget_late_beside)(rig, ON_RIG(give_both_inside), &two);
  for (i = 0; i < 2; i++) (void)ON_RIG(take)(rig, 3 * MIB); /* the referee looks */
}

/* A block of a stream that was forgotten is marked by another one, and a third one has that place
   now: it is not the third one's. */
RIG_TEST(a_block_of_a_forgotten_stream_is_not_of_the_one_in_its_place) {
  enum { FRESH = 100 };
  RIG_NOW *rig = *state;
  void *ptr;
  ON_RIG(let_streams_die_idle)(rig);
  ON_RIG(meet)(rig);
  ptr = ON_RIG(take_on)(rig, 3 * MIB, ON_RIG(late) - 1);
  sim_complete_all(&rig->device);
  assert_ok(API(forget_stream)(rig->cache, ON_RIG(late) - 1));
  sim_stream_destroy(&rig->device, ON_RIG(late) - 1);
  (void)ON_RIG(take_on)(rig, 64 * KIB, FRESH);
  (void)ON_RIG(use)(rig, ptr, ON_RIG(late));
  ON_RIG(give)(rig, ptr);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
  assert_ptr_not_equal(ON_RIG(take_on)(rig, 3 * MIB, FRESH), ptr);
  ON_RIG(check)(rig);
}

/* ---- when things fail ------------------------------------------------------------------------ */

/* The first streams have a bit each in a block, the others a place in a list. */
RIG_TEST(a_stream_beyond_those_with_a_bit_has_blocks_of_its_own_too) {
  enum { LATE = 90 };
  RIG_NOW *rig = *state;
  void *alone, *ptr, *behind;
  int stream;
  for (stream = 0; stream <= LATE; stream++) (void)ON_RIG(pend)(rig, 4 * KIB, stream);
  sim_complete_all(&rig->device);
  (void)ON_RIG(poll)(rig);
  alone = ON_RIG(leave_on)(rig, 64 * KIB, LATE);
  assert_ptr_equal(ON_RIG(take_on)(rig, 64 * KIB, LATE), alone);
  ptr = ON_RIG(take_on)(rig, 3 * MIB, LATE); /* used by one with a bit */
  (void)ON_RIG(use)(rig, ptr, 2);
  ON_RIG(give)(rig, ptr);
  assert_ptr_not_equal(ON_RIG(take_on)(rig, 3 * MIB, LATE), ptr);
  behind = ON_RIG(take_on)(rig, 4 * MIB, LATE); /* by one without */
  (void)ON_RIG(use)(rig, behind, LATE - 1);
  ON_RIG(give)(rig, behind);
  assert_ptr_not_equal(ON_RIG(take_on)(rig, 4 * MIB, LATE), behind);
  ON_RIG(check)(rig);
}

/* Nor does what was there before it change anything for it. */
RIG_TEST(a_stream_without_a_bit_leaves_nothing_of_itself_to_who_comes_after_it) {
  enum { LATE = 90 };
  RIG_NOW *rig = *state;
  int stream;
  void *ptr;
  ON_RIG(warm)(rig, 32 * MIB);
  for (stream = 0; stream <= LATE; stream++) (void)ON_RIG(pend)(rig, 4 * KIB, stream);
  ptr = ON_RIG(pend)(rig, 3 * MIB, 2);
  sim_complete_all(&rig->device);
  (void)ON_RIG(poll)(rig);
  assert_ptr_equal(ON_RIG(leave_on)(rig, 3 * MIB, LATE), ptr);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
  sim_complete_all(&rig->device);
  (void)ON_RIG(poll)(rig);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
  ON_RIG(give)(rig, ptr);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 0);
}

RIG_TEST(what_is_not_split_is_for_its_own_stream_too) {
  RIG_NOW *rig = *state;
  hostcache_config config = ON_RIG(config)(rig);
  void *ptr;
  config.max_split_size = 64 * KIB;
  ON_RIG(configure)(rig, config);
  ptr = ON_RIG(leave_on)(rig, MIB, 1);
  assert_ptr_not_equal(ON_RIG(take)(rig, MIB), ptr);
  sim_complete_all(&rig->device);
  (void)ON_RIG(poll)(rig);
  assert_ptr_equal(ON_RIG(take)(rig, MIB), ptr);
}

#ifdef CACHE_EVENT_T /* else forgetting waits for all that is pending */

/* ... nor is one whose use by the forgotten stream is an event now. */
RIG_TEST(a_block_of_a_forgotten_stream_waits_for_it_whoever_has_its_place) {
  enum { FRESH = 100 };
  RIG_NOW *rig = *state;
  void *ptr;
  ON_RIG(meet)(rig);
  ptr = ON_RIG(take_on)(rig, 3 * MIB, ON_RIG(late));
  assert_ok(API(forget_stream)(rig->cache, ON_RIG(late)));
  (void)ON_RIG(take_on)(rig, 64 * KIB, FRESH);
  ON_RIG(give)(rig, ptr);
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1);
  assert_ptr_not_equal(ON_RIG(take_on)(rig, 3 * MIB, FRESH), ptr);
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

/* The stream is not there any more, so nothing is recorded on it. */
RIG_TEST(what_cannot_be_told_of_a_forgotten_stream_waits_for_the_word_that_all_is_idle) {
  RIG_NOW *rig = *state;
  void *ptr, *other;
  int i;
  ON_RIG(warm)(rig, 32 * MIB);
  ptr = ON_RIG(leave_on)(rig, 3 * MIB, 1);
  assert_ok(API(forget_stream)(rig->cache, 1));
  sim_stream_destroy(&rig->device, 1);
  rig->may_lose_events = true;
  sim_fail(&rig->device, 1, true, SIM_EVERY_QUERY);
  for (i = 0; i < 3; i++) assert_result(API(process_events)(rig->cache, NULL), HOSTCACHE_ERR_EVENT);
  sim_fail_no_more(&rig->device);
  assert_ok(API(process_events)(rig->cache, NULL));
  assert_ok(API(empty_cache)(rig->cache));
  other = ON_RIG(leave_on)(rig, 3 * MIB, 2); /* in its place */
  assert_ptr_not_equal(other, ptr);
  sim_complete_all(&rig->device);
  (void)ON_RIG(poll)(rig);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), other);
  assert_ptr_not_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
  assert_ok(API(release_quarantine)(rig->cache));
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

/* Leaves a fence of stream 1, which is forgotten, among what has no order, as there was no memory
   for a queue: the stream's place is free before that has completed. What it covered is active. */
static inline void *ON_RIG(leave_without_a_queue)(RIG_NOW *rig) {
  void *ptr = ON_RIG(take_on)(rig, 3 * MIB, 1);
  below_fail(1, true);
  ON_RIG(give)(rig, ptr);
  below_fail_no_more();
  assert_ptr_equal(ON_RIG(take_on)(rig, 3 * MIB, 1), ptr);
  assert_ok(API(forget_stream)(rig->cache, 1));
  return ptr;
}

RIG_TEST(a_fence_of_a_forgotten_stream_says_nothing_of_the_one_in_its_place) {
  RIG_NOW *rig = *state;
  void *ptr, *left;
  ON_RIG(warm)(rig, 32 * MIB);
  ptr = ON_RIG(leave_without_a_queue)(rig);
  left = ON_RIG(leave_on)(rig, 5 * MIB, 2);
  sim_complete(&rig->device, 1, -1);
  (void)ON_RIG(poll)(rig);
  assert_ptr_not_equal(ON_RIG(take)(rig, 5 * MIB), left);
  ON_RIG(give)(rig, ptr);
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 5 * MIB), left);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

RIG_TEST(a_fence_of_a_forgotten_stream_that_cannot_be_told_says_nothing_of_the_one_in_its_place) {
  RIG_NOW *rig = *state;
  void *ptr, *left;
  int i;
  ON_RIG(warm)(rig, 32 * MIB);
  rig->may_lose_events = true;
  ptr = ON_RIG(leave_without_a_queue)(rig);
  left = ON_RIG(take_on)(rig, 5 * MIB, 2);
  sim_fail(&rig->device, 1, true, SIM_EVERY_QUERY);
  for (i = 0; i < 3; i++) assert_result(API(process_events)(rig->cache, NULL), HOSTCACHE_ERR_EVENT);
  sim_fail_no_more(&rig->device);
  ON_RIG(give)(rig, left);
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 5 * MIB), left);
  ON_RIG(give)(rig, ptr);
}

/* What it left stays with its own fences: the next stream in its place begins with nothing. */
RIG_TEST(a_stream_in_the_place_of_one_whose_fences_wait_begins_with_nothing) {
  RIG_NOW *rig = *state;
  void *left = ON_RIG(leave_on)(rig, 64 * KIB, 1);
  int round;
  assert_ok(API(forget_stream)(rig->cache, 1));
  for (round = 0; round < 3; round++) {
    assert_ptr_not_equal(ON_RIG(take_on)(rig, 64 * KIB, 2), left);
    (void)ON_RIG(leave_on)(rig, 64 * KIB, 2);
    assert_ok(API(forget_stream)(rig->cache, 2));
  }
  sim_complete_all(&rig->device);
  (void)ON_RIG(poll)(rig);
  ON_RIG(check)(rig);
}

#endif

RIG_TEST(wrong_calls_for_a_stream_are_told) {
  RIG_NOW *rig = *state;
  API(block) *block = (API(block) *)rig;
  unsigned long long books;
  void *ptr = rig;
  assert_result(API(alloc_on)(NULL, 1, 1, &ptr), HOSTCACHE_ERR_ARGUMENT);
  assert_null(ptr);
  assert_result(API(alloc_on)(rig->cache, 1, 1, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(API(block_alloc_on)(NULL, 1, 1, &block), HOSTCACHE_ERR_ARGUMENT);
  assert_null(block);
  assert_result(API(block_alloc_on)(rig->cache, 1, 1, NULL), HOSTCACHE_ERR_ARGUMENT);
  ptr = rig;
  assert_ok(API(alloc_on)(rig->cache, 0, 1, &ptr));
  assert_null(ptr);
  assert_result(API(alloc_on)(rig->cache, SIZE_MAX, 1, &ptr), HOSTCACHE_ERR_TOO_BIG);
  assert_int_equal(sim_calls(&rig->device, SIM_EVERY_HOOK), 0);
  ptr = ON_RIG(leave_on)(rig, 64 * KIB, 1);
  assert_result(API(free)(rig->cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_result(API(record_stream)(rig->cache, ptr, 1), HOSTCACHE_ERR_NOT_FOUND);
  books = atomic_load(&below.calls);
  assert_ok(API(alloc_on)(rig->cache, 0, 1, &ptr)); /* also where there is something for it, */
  assert_null(ptr);
  assert_ok(API(alloc_on)(rig->cache, 0, 2, &ptr)); /* or not even bookkeeping */
  assert_null(ptr);
  assert_int_equal(atomic_load(&below.calls), books);
}

RIG_TEST(a_fence_that_cannot_be_recorded_leaves_the_block_to_its_stream) {
  RIG_NOW *rig = *state;
  void *ptr;
  sim_fail(&rig->device, 1, false, SIM_EVERY_RECORD);
  ptr = ON_RIG(leave_on)(rig, 3 * MIB, 1);
  assert_int_equal(rig->heard.count, 1);
  assert_ptr_equal(ON_RIG(take_on)(rig, 3 * MIB, 1), ptr);
  ON_RIG(give)(rig, ptr);
  sim_complete_all(&rig->device);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

RIG_TEST(process_events_says_that_a_fence_could_not_be_recorded) {
  RIG_NOW *rig = *state;
  sim_fail(&rig->device, 1, true, SIM_EVERY_RECORD);
  (void)ON_RIG(leave_on)(rig, 3 * MIB, 1);
  assert_result(API(process_events)(rig->cache, NULL), HOSTCACHE_ERR_EVENT);
  sim_fail_no_more(&rig->device);
  assert_ok(API(process_events)(rig->cache, NULL));
}

/* A block that is freed for stream 1, whose fence cannot be told. */
static inline void *ON_RIG(leave_untold)(RIG_NOW *rig) {
  void *ptr = ON_RIG(leave_on)(rig, 3 * MIB, 1);
  int i;
  rig->may_lose_events = true;
  sim_fail(&rig->device, 1, true, SIM_EVERY_QUERY);
  for (i = 0; i < 3; i++) assert_result(API(process_events)(rig->cache, NULL), HOSTCACHE_ERR_EVENT);
  ON_RIG(check)(rig);
  sim_fail_no_more(&rig->device);
  return ptr;
}

RIG_TEST(a_fence_that_cannot_be_told_leaves_the_block_to_its_stream) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(leave_untold)(rig);
  assert_ptr_not_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
  assert_ptr_equal(ON_RIG(take_on)(rig, 3 * MIB, 1), ptr);
  ON_RIG(give)(rig, ptr);
  sim_complete_all(&rig->device);
  assert_ok(API(process_events)(rig->cache, NULL));
  assert_ptr_not_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
  assert_ok(API(release_quarantine)(rig->cache));
  ON_RIG(check)(rig);
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

RIG_TEST(what_a_fence_could_not_tell_another_one_tells_where_it_is_needed) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(leave_untold)(rig);
  sim_complete_all(&rig->device);
  assert_ok(API(synchronize)(rig->cache, UINT64_MAX));
  assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
}

/* The cache has one fence that is in no memory from malloc. */
RIG_TEST(a_fence_without_memory_can_end_untold_and_be_used_again) {
  RIG_NOW *rig = *state;
  void *ptr;
  int round, i;
  rig->may_lose_events = true;
  for (round = 0; round < 3; round++) {
    ptr = ON_RIG(take_on)(rig, 3 * MIB, 1);
    below_fail(1, true);
    ON_RIG(give)(rig, ptr);
    below_fail_no_more();
    sim_fail(&rig->device, 1, true, SIM_EVERY_QUERY);
    for (i = 0; i < 3; i++)
      assert_result(API(process_events)(rig->cache, NULL), HOSTCACHE_ERR_EVENT);
    sim_fail_no_more(&rig->device);
    sim_complete_all(&rig->device);
    assert_ok(API(release_quarantine)(rig->cache));
    ON_RIG(check)(rig);
    assert_ptr_equal(ON_RIG(take)(rig, 3 * MIB), ptr);
    ON_RIG(give)(rig, ptr);
  }
}

RIG_TEST(a_second_fence_without_memory_is_recorded_when_there_is_some) {
  RIG_NOW *rig = *state;
  void *one = ON_RIG(take_on)(rig, 3 * MIB, 1), *two = ON_RIG(take_on)(rig, 3 * MIB, 1);
  below_fail(1, true);
  ON_RIG(give)(rig, one);
  assert_int_equal(ON_RIG(records)(rig), 1);
  ON_RIG(give)(rig, two);
  assert_int_equal(ON_RIG(records)(rig), 1);
  below_fail_no_more();
  sim_complete_all(&rig->device);
  assert_int_equal(ON_RIG(poll)(rig), 2);
  assert_int_equal(ON_RIG(records)(rig), 2);
}

RIG_TEST(a_stream_is_not_forgotten_while_there_is_no_memory_for_its_fence) {
  RIG_NOW *rig = *state;
  void *one = ON_RIG(take_on)(rig, 3 * MIB, 1), *two = ON_RIG(take_on)(rig, 3 * MIB, 1);
  below_fail(1, true);
  ON_RIG(give)(rig, one);
  ON_RIG(give)(rig, two);
  assert_result(API(forget_stream)(rig->cache, 1), HOSTCACHE_ERR_NO_METADATA);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_NO_METADATA], 1);
  below_fail_no_more();
  sim_complete_all(&rig->device);
  assert_ok(API(forget_stream)(rig->cache, 1));
  (void)ON_RIG(poll)(rig);
  (void)ON_RIG(take)(rig, 3 * MIB);
  (void)ON_RIG(take)(rig, 3 * MIB);
  assert_int_equal(ON_RIG(stats)(rig).num_hits, 2);
}

typedef struct ON_RIG(freed) {
  RIG_NOW *rig;
  API(block) * block;
} ON_RIG(freed);

static inline void *ON_RIG(free_it)(void *user) {
  const ON_RIG(freed) *u = user;
  expect_or_abort(API(block_free)(u->rig->cache, u->block) == HOSTCACHE_OK);
  return NULL;
}

/* The other one comes between this one's look at the block and its lock. */
RIG_TEST(a_block_of_a_stream_that_two_threads_free_at_once_is_freed_once) {
  RIG_NOW *rig = *state;
  void *ptr = (ON_RIG(leave_on)(rig, 3 * MIB, 1), ON_RIG(take_on)(rig, 3 * MIB, 1));
  ON_RIG(freed) u = {rig, API(find)(rig->cache, ptr)};
  struct API(i_thread) *own = API(i_here)(rig->cache);
  pthread_t other;
  API(i_begin)(rig->cache, own);
  sim_handed_back(&rig->device, ptr);
  assert_int_equal(pthread_create(&other, NULL, ON_RIG(free_it), &u), 0);
  pthread_join(other, NULL);
  assert_result(API(i_free_ordered)(rig->cache, own, u.block), HOSTCACHE_ERR_DOUBLE_FREE);
  ON_RIG(check)(rig);
  assert_int_equal(ON_RIG(stats)(rig).allocation.freed, 2);
  assert_ptr_equal(ON_RIG(take_on)(rig, 3 * MIB, 1), ptr);
}

RIG_TEST(abandon_leaves_no_fence_that_had_no_memory) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(take_on)(rig, 3 * MIB, 1);
  below_fail(1, true);
  ON_RIG(give)(rig, ptr);
  below_fail_no_more();
  ON_RIG(abandon)(rig);
}

/* ... if it can be waited for. */
RIG_TEST(synchronize_waits_for_a_stream_whose_fence_cannot_be_recorded) {
  RIG_NOW *rig = *state;
  bool waited;
  void *ptr;
  ON_RIG(warm)(rig, 32 * MIB);
  sim_fail(&rig->device, 1, true, SIM_EVERY_RECORD);
  ptr = ON_RIG(leave_on)(rig, 3 * MIB, 1);
  assert_result(API(synchronize)(rig->cache, UINT64_MAX), HOSTCACHE_ERR_EVENT);
  sim_fail_no_more(&rig->device);
  waited = rig->device.calls[SIM_STREAM_WAIT] > 0;
  assert_int_equal(sim_lane_reached(&rig->device, 1, 1), waited);
  assert_int_equal(ON_RIG(take)(rig, 3 * MIB) == ptr, waited);
}

RIG_TEST(what_cannot_be_told_of_a_stream_is_left_to_the_runtime) {
  RIG_NOW *rig = *state;
  (void)ON_RIG(leave_on)(rig, 3 * MIB, 1);
  rig->may_lose_events = true;
  sim_fail(&rig->device, 1, true, SIM_EVERY_QUERY | SIM_EVERY_RECORD | SIM_EVERY_WAIT);
  assert_result(API(destroy)(rig->cache), HOSTCACHE_ERR_BUSY);
  assert_result(API(destroy)(rig->cache), HOSTCACHE_ERR_BUSY);
  assert_result(API(destroy)(rig->cache), HOSTCACHE_ERR_LEAKED);
  rig->cache = NULL;
  rig->left_bytes = 3 * MIB;
}

RIG_TEST(without_memory_for_the_books_it_is_a_block_like_any_other) {
  RIG_NOW *rig = *state;
  sim_stream stream;
  for (stream = 1; stream < 24; stream++) {
    void *ptr = NULL;
    below_fail(((uint64_t)stream + 1) / 2, stream % 2 == 0);
    if (API(alloc_on)(rig->cache, 64 * KIB, stream, &ptr) == HOSTCACHE_OK) {
      sim_handed_out_on(&rig->device, ptr, 64 * KIB, stream);
      (void)sim_use(&rig->device, stream, ptr);
      sim_handed_back(&rig->device, ptr);
      assert_ok(API(free)(rig->cache, ptr));
    }
    below_fail_no_more();
    ON_RIG(check)(rig);
    assert_int_equal(ON_RIG(stats)(rig).allocation.current, 0);
  }
}

/* It is new to a stream that the cache has met. */
RIG_TEST(without_memory_for_what_a_stream_has_it_gets_what_is_for_all) {
  RIG_NOW *rig = *state;
  void *ptr = ON_RIG(pend)(rig, 3 * MIB, 1), *none;
  sim_complete_all(&rig->device);
  (void)ON_RIG(poll)(rig);
  below_fail(1, true);
  assert_result(API(alloc_on)(rig->cache, SIZE_MAX, 1, &none), HOSTCACHE_ERR_TOO_BIG);
  assert_ptr_equal(ON_RIG(take_on)(rig, 3 * MIB, 1), ptr);
  ON_RIG(give)(rig, ptr);
  below_fail_no_more();
  assert_int_equal(ON_RIG(stats)(rig).pending.current, 1); /* as it is not its stream's own */
}

typedef struct ON_RIG(early) {
  RIG_NOW *rig;
  void *ptr;
} ON_RIG(early);

/* Other threads, while the first allocation for stream 1 gets memory for the books. */
static inline void ON_RIG(take_earlier)(void *user) {
  ON_RIG(early) *early = user;
  early->ptr = ON_RIG(take_on)(early->rig, 3 * MIB, 1);
}

static inline void ON_RIG(change_places)(void *user) {
  ON_RIG(early) *early = user;
  RIG_NOW *rig = early->rig;
  assert_ok(API(forget_stream)(rig->cache, 1));
  sim_stream_destroy(&rig->device, 1);
  sim_stream_create(&rig->device, 1);
  early->ptr = ON_RIG(take_on)(rig, 5 * MIB, 2);
}

RIG_TEST(two_first_allocations_for_a_stream_share_what_it_has) {
  RIG_NOW *rig = *state;
  ON_RIG(early) early = {rig, NULL};
  void *ptr;
  (void)ON_RIG(pend)(rig, 64 * KIB, 1);
  below.once = ON_RIG(take_earlier);
  below.once_user = &early;
  ptr = ON_RIG(take_on)(rig, 5 * MIB, 1);
  assert_null(below.once);
  ON_RIG(give)(rig, early.ptr);
  ON_RIG(give)(rig, ptr);
  ON_RIG(check)(rig);
  assert_ptr_equal(ON_RIG(take_on)(rig, 3 * MIB, 1), early.ptr);
  assert_ptr_equal(ON_RIG(take_on)(rig, 5 * MIB, 1), ptr);
}

RIG_TEST(an_allocation_for_a_stream_that_is_forgotten_meanwhile_is_for_the_next_of_the_handle) {
  RIG_NOW *rig = *state;
  ON_RIG(early) early = {rig, NULL};
  void *ptr;
  (void)ON_RIG(pend)(rig, 64 * KIB, 1);
  sim_complete_all(&rig->device);
  (void)ON_RIG(poll)(rig);
  below.once = ON_RIG(change_places);
  below.once_user = &early;
  ptr = ON_RIG(take_on)(rig, 3 * MIB, 1);
  assert_null(below.once);
  ON_RIG(give)(rig, early.ptr);
  ON_RIG(give)(rig, ptr);
  ON_RIG(check)(rig);
  assert_ptr_equal(ON_RIG(take_on)(rig, 3 * MIB, 1), ptr);
  assert_ptr_equal(ON_RIG(take_on)(rig, 5 * MIB, 2), early.ptr);
}

/* Takes until no record of a block is left but those in use: the next part of a range needs memory
   for one. */
static inline void ON_RIG(use_the_records_up)(RIG_NOW *rig) {
  int i;
  for (i = 0; rig->cache->spares.block_count > 0; i++) {
    (void)ON_RIG(take_on)(rig, 64 * KIB, 9);
    assert_true(i < 1000);
  }
}

/* What another stream has, and is through with or not, it keeps then. */
RIG_TEST(an_allocation_that_finds_no_record_for_it_takes_nothing_from_other_streams) {
  RIG_NOW *rig = *state;
  void *part, *got;
  int through;
  for (through = 0; through < 2; through++) {
    ON_RIG(settle)(rig);
    ON_RIG(configure)(rig, ON_RIG(config)(rig));
    ON_RIG(warm)(rig, 128 * MIB);
    part = ON_RIG(take_on)(rig, 8 * MIB, 1);
    ON_RIG(give)(rig, ON_RIG(take_on)(rig, 16 * MIB, 9)); /* for what uses the records up */
    (void)ON_RIG(leave_on)(rig, 64 * KIB, 2);
    ON_RIG(use_the_records_up)(rig);
    sim_handed_back(&rig->device, part);
    assert_ok(API(free_deferred)(rig->cache, part));
    if (through) sim_complete(&rig->device, 1, -1);
    below_fail(1, true);
    got = rig;
    assert_result(API(alloc_on)(rig->cache, 3 * MIB, 2, &got), HOSTCACHE_ERR_NO_METADATA);
    below_fail_no_more();
    assert_null(got);
    assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_NO_METADATA], through + 1);
    ON_RIG(check)(rig);
    if (!through) assert_ptr_equal(ON_RIG(take_on)(rig, 8 * MIB, 1), part);
  }
}

/* ---- threads --------------------------------------------------------------------------------- */

/* Each thread works for a stream of its own, and now and then for one that all have; it passes
   blocks on to the next, which frees them. */
typedef struct ON_RIG(worker) {
  RIG_NOW *rig;
  _Atomic(void *) *from, *to;
  sim_stream stream;
  uint64_t random;
} ON_RIG(worker);

static void *ON_RIG(work)(void *argument) {
  ON_RIG(worker) *w = argument;
  int i;
  for (i = 0; i < 2000; i++) {
    const sim_stream stream = random_below(&w->random, 4) > 0 ? w->stream : 9;
    const size_t size = 1 + random_below(&w->random, random_below(&w->random, 3) ? 64 * KIB : MIB);
    void *ptr = NULL;
    expect_or_abort(API(alloc_on)(w->rig->cache, size, stream, &ptr) == HOSTCACHE_OK);
    (void)sim_submit(&w->rig->device, stream);
    ptr = atomic_exchange(w->to, ptr);
    if (ptr != NULL) expect_or_abort(API(free)(w->rig->cache, ptr) == HOSTCACHE_OK);
    ptr = atomic_exchange(w->from, NULL);
    if (ptr != NULL && i % 2) expect_or_abort(API(free)(w->rig->cache, ptr) == HOSTCACHE_OK);
    if (ptr != NULL && !(i % 2))
      expect_or_abort(API(free_deferred)(w->rig->cache, ptr) == HOSTCACHE_OK);
    if (i % 64 == 0) expect_or_abort(API(process_events)(w->rig->cache, NULL) == HOSTCACHE_OK);
    if (i % 500 == 499) expect_or_abort(API(empty_cache)(w->rig->cache) == HOSTCACHE_OK);
    if (i % 300 == 299)
      expect_or_abort(API(forget_stream)(w->rig->cache, w->stream) == HOSTCACHE_OK);
  }
  return NULL;
}

RIG_TEST(threads_work_for_streams_at_once) {
  enum { THREADS = 4 };
  RIG_NOW *rig = *state;
  _Atomic(void *) passed[THREADS];
  ON_RIG(worker) workers[THREADS];
  pthread_t threads[THREADS];
  size_t i;
  rig->device.progress_per_queries = 1;
  for (i = 0; i < THREADS; i++) atomic_init(&passed[i], NULL);
  for (i = 0; i < THREADS; i++) {
    const ON_RIG(worker)
        worker = {rig, &passed[i], &passed[(i + 1) % THREADS], (sim_stream)i, i + 1};
    workers[i] = worker;
    assert_int_equal(pthread_create(&threads[i], NULL, ON_RIG(work), &workers[i]), 0);
  }
  for (i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  for (i = 0; i < THREADS; i++)
    if (passed[i] != NULL) assert_ok(API(free)(rig->cache, atomic_load(&passed[i])));
  ON_RIG(check)(rig);
  assert_ok(API(synchronize)(rig->cache, UINT64_MAX));
  assert_ok(API(empty_cache)(rig->cache));
  assert_int_equal(ON_RIG(stats)(rig).reserved_bytes.current, 0);
}
