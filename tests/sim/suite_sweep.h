/* suite_sweep.h - a template of tests: one script of about forty operations is run again and again;
   each time another call of a hook, or of malloc, fails. Not a sample: n goes up until the script
   runs through. Whatever fails:

   - each operation returns what it may return, and nothing else
   - the bookkeeping is consistent after each operation, and the referee sees no rule broken
   - on_error has heard of the failure, with the runtime's own code. (A malloc that fails where the
     cache can do without, for a stream's own queue or for its pool of events, is no failure: the
     uses wait in the common list.)
   - once nothing fails any more, everything works
   - no byte and no event is lost: what is not given back, the cache has told of */

/* What went wrong so far decides what is right later on. */
typedef struct ON_RIG(sweep) {
  RIG_NOW *rig;
  bool faults;          /* hooks fail, or malloc does */
  uint64_t no_metadata; /* how often that was the result */
  void *slots[8];
  size_t sizes[8];
} ON_RIG(sweep);

/* After each operation. */
static inline void ON_RIG(step)(ON_RIG(sweep) * sweep) {
  RIG_NOW *rig = sweep->rig;
  hostcache_stats stats;
  ON_RIG(check)(rig);
  stats = ON_RIG(stats)(rig);
  assert_int_equal(stats.reserved_bytes.current, sim_live_bytes(&rig->device));
  assert_int_equal(stats.allocation.current, rig->device.blocks.count);
  assert_int_equal(stats.active.current,
                   stats.allocation.current + stats.pending.current + stats.quarantined.current);
}

static inline unsigned ON_RIG(allowed)(const ON_RIG(sweep) * sweep, unsigned errors) {
  return ONE_OF(HOSTCACHE_OK) | (sweep->faults ? errors : 0);
}

static inline void ON_RIG(sweep_alloc)(ON_RIG(sweep) * sweep, int slot, size_t size) {
  RIG_NOW *rig = sweep->rig;
  void *ptr = &ptr;
  hostcache_result result =
      assert_one_of(API(alloc)(rig->cache, size, &ptr),
                    ON_RIG(allowed)(sweep, ONE_OF(HOSTCACHE_ERR_OUT_OF_MEMORY) |
                                               ONE_OF(HOSTCACHE_ERR_NO_METADATA)));
  if (result != HOSTCACHE_OK) {
    assert_null(ptr);
    sweep->no_metadata += result == HOSTCACHE_ERR_NO_METADATA;
  } else {
    sim_handed_out(&rig->device, ptr, size);
  }
  sweep->slots[slot] = ptr;
  sweep->sizes[slot] = size;
  ON_RIG(step)(sweep);
}

static inline void ON_RIG(sweep_use)(ON_RIG(sweep) * sweep, int slot, sim_stream stream) {
  RIG_NOW *rig = sweep->rig;
  char *ptr = sweep->slots[slot];
  if (ptr == NULL) return;
  (void)sim_use(&rig->device, stream, ptr); /* the work runs whether the mark was made or not */
  if (assert_one_of(API(record_stream)(rig->cache, ptr + sweep->sizes[slot] / 2, stream),
                    ON_RIG(allowed)(sweep, ONE_OF(HOSTCACHE_ERR_NO_METADATA))) != HOSTCACHE_OK)
    sweep->no_metadata++;
  ON_RIG(step)(sweep);
}

/* A use that the caller itself has an event or a value for. */
static inline void ON_RIG(sweep_own_use)(ON_RIG(sweep) * sweep, int slot, sim_stream stream) {
  RIG_NOW *rig = sweep->rig;
  void *ptr = sweep->slots[slot];
  hostcache_result result;
  if (ptr == NULL) return;
#ifdef CACHE_TIMELINE
  result = API(record_value)(rig->cache, ptr, stream, sim_use(&rig->device, stream, ptr));
#else
  CACHE_EVENT_T event;
  (void)sim_use(&rig->device, stream, ptr);
  event = CACHE_OWN_EVENT(&rig->device, stream);
  result = API(record_event)(rig->cache, ptr, event);
  if (result != HOSTCACHE_OK) CACHE_END_EVENT(&rig->device, event);
#endif
  if (assert_one_of(result, ON_RIG(allowed)(sweep, ONE_OF(HOSTCACHE_ERR_NO_METADATA))) !=
      HOSTCACHE_OK)
    sweep->no_metadata++;
  ON_RIG(step)(sweep);
}

static inline void ON_RIG(sweep_free)(ON_RIG(sweep) * sweep, int slot, bool deferred) {
  RIG_NOW *rig = sweep->rig;
  void *ptr = sweep->slots[slot];
  if (ptr == NULL) return;
  sweep->slots[slot] = NULL;
  sim_handed_back(&rig->device, ptr);
  if (deferred) {
    assert_ok(API(free_deferred)(rig->cache, ptr));
  } else {
    assert_one_of(API(free)(rig->cache, ptr), ON_RIG(allowed)(sweep, ONE_OF(HOSTCACHE_ERR_EVENT)));
  }
  ON_RIG(step)(sweep);
}

static inline void ON_RIG(sweep_upkeep)(ON_RIG(sweep) * sweep, hostcache_result result,
                                        unsigned errors) {
  assert_one_of(result, ON_RIG(allowed)(sweep, errors));
  ON_RIG(step)(sweep);
}

static inline void ON_RIG(script)(ON_RIG(sweep) * sweep) {
  RIG_NOW *rig = sweep->rig;
  sim_device *d = &rig->device;
  const unsigned event = ONE_OF(HOSTCACHE_ERR_EVENT);
  const unsigned leaked = ONE_OF(HOSTCACHE_ERR_LEAKED);
  hostcache_result forgotten;
  sim_stream stream;

  ON_RIG(sweep_alloc)(sweep, 0, 64 * KIB);
  ON_RIG(sweep_alloc)(sweep, 1, 4 * KIB);
  ON_RIG(sweep_alloc)(sweep, 2, 64 * KIB);
  ON_RIG(sweep_use)(sweep, 0, 1);
  ON_RIG(sweep_use)(sweep, 0, 2);
  for (stream = 1; stream <= 6; stream++) ON_RIG(sweep_use)(sweep, 1, stream);
  ON_RIG(sweep_own_use)(sweep, 2, 3);
  ON_RIG(sweep_use)(sweep, 2, 4);
  ON_RIG(sweep_free)(sweep, 0, false);
  ON_RIG(sweep_alloc)(sweep, 3, 64 * KIB); /* a miss: the other is pending */
  sim_complete(d, 1, -1);
  ON_RIG(sweep_upkeep)(sweep, API(process_events)(rig->cache, NULL), event);
  sim_complete(d, 2, -1);
  ON_RIG(sweep_upkeep)(sweep, API(process_events)(rig->cache, NULL), event);
  ON_RIG(sweep_free)(sweep, 1, true);
  ON_RIG(sweep_free)(sweep, 2, false);
  ON_RIG(sweep_alloc)(sweep, 0, 64 * KIB); /* a hit */
  ON_RIG(sweep_use)(sweep, 0, 5);
  ON_RIG(sweep_own_use)(sweep, 3, 5);
  ON_RIG(sweep_free)(sweep, 0, true);
  ON_RIG(sweep_free)(sweep, 3, true);
  ON_RIG(sweep_upkeep)(sweep, API(empty_cache)(rig->cache), event | leaked);
  ON_RIG(sweep_alloc)(sweep, 1, 3 * MIB);
  ON_RIG(sweep_use)(sweep, 1, 6);
  ON_RIG(sweep_alloc)(sweep, 2, 100);
  ON_RIG(sweep_use)(sweep, 2, 6);
  ON_RIG(sweep_free)(sweep, 2, false);
  d->progress_per_queries = 1;
  forgotten = assert_one_of(API(forget_stream)(rig->cache, 6),
                            ON_RIG(allowed)(sweep, event | ONE_OF(HOSTCACHE_ERR_NO_METADATA)));
  if (forgotten == HOSTCACHE_OK) {
    sim_stream_destroy(d, 6);
    sim_stream_create(d, 6);
  }
  sweep->no_metadata += forgotten == HOSTCACHE_ERR_NO_METADATA;
  d->progress_per_queries = 0;
  ON_RIG(step)(sweep);
  ON_RIG(sweep_use)(sweep, 1, 6);
  ON_RIG(sweep_free)(sweep, 1, false);
  ON_RIG(sweep_alloc)(sweep, 0, 100);
  sim_complete_all(d);
  ON_RIG(sweep_upkeep)(sweep, API(synchronize)(rig->cache, UINT64_C(1000000)), event);
  ON_RIG(sweep_alloc)(sweep, 4, 3 * MIB);
  ON_RIG(sweep_free)(sweep, 4, false);
  ON_RIG(sweep_upkeep)(sweep, API(empty_cache)(rig->cache), event | leaked);
  ON_RIG(sweep_upkeep)(sweep, API(release_quarantine)(rig->cache), event);
  ON_RIG(sweep_free)(sweep, 0, false);
}

/* What the script says when nothing fails any more. */
static inline void ON_RIG(afterwards)(ON_RIG(sweep) * sweep) {
  RIG_NOW *rig = sweep->rig;
  int slot;
  sim_fail_no_more(&rig->device);
  below_fail_no_more();
  ON_RIG(step)(sweep);
  for (slot = 0; slot < 8; slot++)
    if (sweep->slots[slot] != NULL) ON_RIG(sweep_free)(sweep, slot, false);
  sim_complete_all(&rig->device);
  assert_one_of(API(synchronize)(rig->cache, UINT64_C(1000000000)), ONE_OF(HOSTCACHE_OK));
  assert_ok(API(release_quarantine)(rig->cache));
  assert_int_equal(ON_RIG(stats)(rig).active.current, 0);

  sweep->faults = false;
  ON_RIG(script)(sweep); /* all of it succeeds now */
}

static inline void ON_RIG(sweep_hooks)(bool onwards, int alloc_code) {
  uint64_t n, fired = 1, least_told;
  for (n = 1; fired > 0; n++) {
    ON_RIG(sweep) sweep;
    RIG_NOW *rig = ON_RIG(open)();
    memset(&sweep, 0, sizeof sweep);
    sweep.rig = rig;
    sweep.faults = true;
    rig->may_leak = true;
    sim_fail(&rig->device, n, onwards, SIM_EVERY_HOOK);
    rig->device.fault.alloc_code = alloc_code;
    ON_RIG(script)(&sweep);
    fired = rig->device.fault.fired;
    /* A failure to destroy an event need not be told, nor one to get memory that a second attempt
       makes good. */
    least_told = fired - rig->device.fault.fired_of[SIM_EVENT_DESTROY];
    if (alloc_code == SIM_NO_MEMORY) least_told -= rig->device.fault.fired_of[SIM_MEM_ALLOC];
    if (rig->heard.with_code < least_told) {
      print_error("hook call %d%s failed: on_error heard of %d, not of %d\n", (int)n,
                  onwards ? " and all after" : "", (int)rig->heard.with_code, (int)least_told);
      fail();
    }
    if (fired == 0) rig->may_leak = false; /* the last round: nothing failed */
    ON_RIG(afterwards)(&sweep);
    ON_RIG(close)(rig);
    assert_true(n < 1000);
  }
  assert_true(n > 20);
}

RIG_TEST(each_hook_call_fails_once) {
  (void)state;
  ON_RIG(sweep_hooks)(false, SIM_FAILURE);
}

RIG_TEST(each_hook_call_fails_once_and_memory_is_out) {
  (void)state;
  ON_RIG(sweep_hooks)(false, SIM_NO_MEMORY);
}

RIG_TEST(all_hook_calls_fail_from_each_on) {
  (void)state;
  ON_RIG(sweep_hooks)(true, SIM_FAILURE);
}

static inline void ON_RIG(sweep_mallocs)(bool onwards) {
  uint64_t n;
  bool failed = true;
  for (n = 1; failed; n++) {
    ON_RIG(sweep) sweep;
    RIG_NOW *rig = ON_RIG(open)();
    memset(&sweep, 0, sizeof sweep);
    sweep.rig = rig;
    sweep.faults = true;
    below_fail(n, onwards);
    ON_RIG(script)(&sweep);
    failed = atomic_load(&below.failed) > 0;
    assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_NO_METADATA], sweep.no_metadata);
    ON_RIG(afterwards)(&sweep);
    ON_RIG(close)(rig);
    assert_true(n < 1000);
  }
  assert_true(n > 2);
}

RIG_TEST(each_malloc_fails_once) {
  (void)state;
  ON_RIG(sweep_mallocs)(false);
}

RIG_TEST(all_mallocs_fail_from_each_on) {
  (void)state;
  ON_RIG(sweep_mallocs)(true);
}
