/* level_zero_suite.h - a template of level_zero.c: its tests, on immediate lists and on queues.
   CACHE, STREAM_T, CALLED (the functions that the pack calls) and ON_QUEUES are set before. */

#undef API
#undef RIG
#undef OF
#undef RIG_TEST
#define API(name) PASTE(CACHE, name)
#define RIG PASTE(CACHE, rig)
#define OF(name) PASTE(RIG, name)
#define RIG_TEST(name) static void PASTE(CACHE, name)(void **state)

/* A closed list that was executed on a queue, to be destroyed when that is idle. */
typedef struct OF(spent) {
  struct OF(spent) * next;
  ze_command_list_handle_t list;
} OF(spent);

typedef struct RIG {
  hostcache_level_zero l0;
  CACHE *cache;
  STREAM_T streams[STREAMS];
  OF(spent) * spent[STREAMS];
  void *device; /* DEVICE_BYTES of device memory */
  heard heard;
  bool may_leak;
} RIG;

/* ---- the rig --------------------------------------------------------------------------------- */

static STREAM_T OF(stream_make)(RIG *rig) {
  ze_command_queue_desc_t desc;
  STREAM_T stream;
  memset(&desc, 0, sizeof desc);
  desc.stype = ZE_STRUCTURE_TYPE_COMMAND_QUEUE_DESC;
  desc.mode = ZE_COMMAND_QUEUE_MODE_ASYNCHRONOUS;
#ifdef ON_QUEUES
  must(zeCommandQueueCreate(rig->l0.context, rig->l0.device, &desc, &stream));
#else
  must(zeCommandListCreateImmediate(rig->l0.context, rig->l0.device, &desc, &stream));
#endif
  return stream;
}

/* Ends a stream that has no work. */
static void OF(stream_end)(STREAM_T stream) {
#ifdef ON_QUEUES
  must(zeCommandQueueDestroy(stream));
#else
  must(zeCommandListDestroy(stream));
#endif
}

/* The i-th stream is idle: what was executed on it can go. */
static void OF(spent_end)(RIG *rig, int i) {
  while (rig->spent[i] != NULL) {
    OF(spent) *next = rig->spent[i]->next;
    expect_or_abort(zeCommandListDestroy(rig->spent[i]->list) == ZE_RESULT_SUCCESS);
    free(rig->spent[i]);
    rig->spent[i] = next;
  }
}

static RIG *OF(open)(void) {
  RIG *rig = (RIG *)calloc(1, sizeof *rig);
  ze_device_mem_alloc_desc_t desc;
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  int i;
  assert_non_null(rig);
  must(hostcache_level_zero_open(&rig->l0, 0));
  config.segment_bytes = 4096; /* so that every new block shows at the hooks */
  config.on_error = hear;
  config.on_error_user = &rig->heard;
  assert_ok(API(create)(&rig->cache, &config, &rig->l0));
  for (i = 0; i < STREAMS; i++) rig->streams[i] = OF(stream_make)(rig);
  memset(&desc, 0, sizeof desc);
  desc.stype = ZE_STRUCTURE_TYPE_DEVICE_MEM_ALLOC_DESC;
  must(zeMemAllocDevice(rig->l0.context, &desc, DEVICE_BYTES, 64, rig->l0.device, &rig->device));
  return rig;
}

/* Ends everything; what is lost, or against the rules, the driver reports. */
static void OF(close)(void **state) {
  RIG *rig = *state;
  hostcache_stats stats;
  ze_result_t closed;
  int i;
  *state = NULL; /* whatever fails from here on, it is not closed twice */
  memset(&stats, 0, sizeof stats);
  ze_sim_fail_no_more();
  ze_sim_hold(0);
  ze_sim_delay(0);
  if (rig->cache != NULL) {
    assert_one_of(API(synchronize)(rig->cache, UINT64_MAX),
                  ONE_OF(HOSTCACHE_OK) | ONE_OF(HOSTCACHE_ERR_EVENT));
    assert_ok(API(check)(rig->cache));
    assert_ok(API(release_quarantine)(rig->cache));
    assert_ok(API(check)(rig->cache));
    assert_ok(API(stats)(rig->cache, &stats));
    assert_int_equal(stats.active.current, 0);
    assert_true(rig->may_leak || stats.leaked.current == 0);
    assert_result(API(destroy)(rig->cache),
                  stats.leaked.current > 0 ? HOSTCACHE_ERR_LEAKED : HOSTCACHE_OK);
  }
  for (i = 0; i < STREAMS; i++) {
    OF(spent_end)(rig, i);
    if (rig->streams[i] != NULL) OF(stream_end)(rig->streams[i]);
  }
  must(zeMemFree(rig->l0.context, rig->device));
  closed = hostcache_level_zero_close(&rig->l0);
  if (!rig->may_leak) must(closed);
  assert_null(rig->l0.inside); /* not in use */
  free(rig);
  assert_int_equal(ze_sim_reset(), 0);
}

static int OF(setup)(void **state) {
  mallocs_left = -1;
  (void)ze_sim_reset();
  *state = OF(open)();
  return 0;
}

static int OF(teardown)(void **state) {
  if (*state != NULL) OF(close)(state); /* NULL: a test failed between two rigs */
  return 0;
}

/* Submits a copy of `size` bytes at ptr to the device, in no order; each stream has a place of its
   own there. On threads too. */
static void OF(copy)(RIG *rig, int i, const void *ptr, size_t size) {
  void *place = (char *)rig->device + (size_t)i * (DEVICE_BYTES / STREAMS);
  ze_command_list_handle_t list;
#ifdef ON_QUEUES
  ze_command_list_desc_t desc;
  OF(spent) *spent = (OF(spent) *)malloc(sizeof *spent);
  expect_or_abort(spent != NULL);
  memset(&desc, 0, sizeof desc);
  desc.stype = ZE_STRUCTURE_TYPE_COMMAND_LIST_DESC;
  expect_or_abort(zeCommandListCreate(rig->l0.context, rig->l0.device, &desc, &list) ==
                  ZE_RESULT_SUCCESS);
  spent->list = list;
  spent->next = rig->spent[i];
  rig->spent[i] = spent;
#else
  list = rig->streams[i];
  hostcache_level_zero_lock(&rig->l0, list); /* the cache appends to it too */
#endif
  expect_or_abort(zeCommandListAppendMemoryCopy(list, place, ptr, size, NULL, 0, NULL) ==
                  ZE_RESULT_SUCCESS);
#ifdef ON_QUEUES
  expect_or_abort(zeCommandListClose(list) == ZE_RESULT_SUCCESS);
  expect_or_abort(zeCommandQueueExecuteCommandLists(rig->streams[i], 1, &list, NULL) ==
                  ZE_RESULT_SUCCESS);
#else
  hostcache_level_zero_unlock(&rig->l0, list);
#endif
}

/* A block, in the driver's book too. */
static void *OF(take)(RIG *rig, size_t size) {
  void *ptr = NULL;
  assert_ok(API(alloc)(rig->cache, size, &ptr));
  assert_non_null(ptr);
  ze_sim_handed_out(ptr, size);
  return ptr;
}

static void OF(give)(RIG *rig, void *ptr) {
  ze_sim_handed_back(ptr);
  assert_ok(API(free)(rig->cache, ptr));
}

/* A block that a copy on the i-th stream uses, freed. */
static void *OF(pend)(RIG *rig, size_t size, int i) {
  void *ptr = OF(take)(rig, size);
  assert_ok(API(record_stream)(rig->cache, ptr, rig->streams[i]));
  OF(copy)(rig, i, ptr, size);
  OF(give)(rig, ptr);
  return ptr;
}

/* ---- the one rule ---------------------------------------------------------------------------- */

/* The device takes commands in another order each time, one at a time; after each, memory of that
   size is asked for. A signal that does not wait for the copies before it would be seen: the driver
   reports what is handed out while a copy from it has not ended. */
RIG_TEST(a_block_is_not_handed_out_before_an_unordered_copy_has_ended) {
  enum { COPIES = 6, SIZE = 64 * 1024 };
  RIG *rig = *state;
  uint64_t seed;
  for (seed = 1; seed <= 40; seed++) {
    void *ptr, *other;
    int i;
    ze_sim_seed(seed);
    ze_sim_hold(1);
    ptr = OF(take)(rig, SIZE);
    assert_ok(API(record_stream)(rig->cache, ptr, rig->streams[0]));
    for (i = 0; i < COPIES; i++) OF(copy)(rig, 0, (char *)ptr + i * 4096, 4096);
    OF(give)(rig, ptr);
    for (i = 0; i < COPIES; i++) {
      ze_sim_step(1);
      ze_sim_settle();
      assert_ok(API(process_events)(rig->cache, NULL));
      other = OF(take)(rig, SIZE);
      assert_ptr_not_equal(other, ptr); /* the event comes after all copies */
      OF(give)(rig, other);
    }
    ze_sim_hold(0);
    assert_ok(API(synchronize)(rig->cache, UINT64_MAX));
    assert_ok(API(empty_cache)(rig->cache));
    assert_null(API(find)(rig->cache, ptr)); /* now it is free, and with all others given back */
    assert_int_equal(ze_sim_live(ZE_SIM_HOST_BYTES), 0);
    assert_int_equal(ze_sim_violations(), 0);
  }
}

/* ---- events ---------------------------------------------------------------------------------- */

RIG_TEST(event_pools_grow_and_events_are_used_again) {
  enum { BLOCKS = 200 };
  RIG *rig = *state;
  void *blocks[BLOCKS];
  int i, round;
  for (round = 0; round < 2; round++) {
    ze_sim_hold(1);
    for (i = 0; i < BLOCKS; i++) {
      blocks[i] = OF(take)(rig, 4096);
      assert_ok(API(record_stream)(rig->cache, blocks[i], rig->streams[0]));
      OF(copy)(rig, 0, blocks[i], 4096);
    }
    for (i = 0; i < BLOCKS; i++) OF(give)(rig, blocks[i]);
    assert_int_equal(ze_sim_live(ZE_SIM_EVENTS), BLOCKS); /* each has one of its own */
    assert_int_equal(ze_sim_calls("zeEventCreate"), BLOCKS);
    ze_sim_hold(0);
    assert_ok(API(synchronize)(rig->cache, UINT64_MAX));
    OF(spent_end)(rig, 0);
  }
  assert_true(ze_sim_live(ZE_SIM_POOLS) > 1);
}

RIG_TEST(an_event_of_the_program_can_be_handed_over) {
  RIG *rig = *state;
  ze_event_pool_desc_t pool_desc;
  ze_event_desc_t desc;
  ze_event_pool_handle_t pool;
  ze_event_handle_t event;
  void *ptr = OF(take)(rig, 4096), *other;
  memset(&pool_desc, 0, sizeof pool_desc);
  pool_desc.stype = ZE_STRUCTURE_TYPE_EVENT_POOL_DESC;
  pool_desc.flags = ZE_EVENT_POOL_FLAG_HOST_VISIBLE;
  pool_desc.count = 1;
  must(zeEventPoolCreate(rig->l0.context, &pool_desc, 0, NULL, &pool));
  memset(&desc, 0, sizeof desc);
  desc.stype = ZE_STRUCTURE_TYPE_EVENT_DESC;
  must(zeEventCreate(pool, &desc, &event));
  assert_ok(API(record_event)(rig->cache, ptr, hostcache_level_zero_event_of(event)));
  OF(give)(rig, ptr);
  assert_ok(API(process_events)(rig->cache, NULL));
  other = OF(take)(rig, 4096);
  assert_ptr_not_equal(other, ptr);
  must(zeEventHostSignal(event));
  assert_ok(API(process_events)(rig->cache, NULL)); /* and destroys it */
  assert_ptr_equal(OF(take)(rig, 4096), ptr);
  OF(give)(rig, ptr);
  OF(give)(rig, other);
  must(zeEventPoolDestroy(pool));
}

RIG_TEST(close_says_that_a_cache_still_has_events) {
  RIG *rig = *state;
  (void)OF(pend)(rig, 4096, 0);
  assert_int_equal(hostcache_level_zero_close(&rig->l0), ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE);
  (void)OF(pend)(rig, 4096, 0); /* nothing was done */
}

RIG_TEST(a_stream_may_be_destroyed_once_it_is_forgotten_and_idle) {
  RIG *rig = *state;
  void *ptr = OF(take)(rig, 4096);
  int i;
  for (i = 0; i < 10; i++) (void)OF(pend)(rig, 4096, 0);
  assert_ok(API(record_stream)(rig->cache, ptr, rig->streams[0]));
  OF(copy)(rig, 0, ptr, 4096);
  assert_ok(API(forget_stream)(rig->cache, rig->streams[0]));
  ze_sim_settle(); /* idle, as the program must see to */
  OF(spent_end)(rig, 0);
  OF(stream_end)(rig->streams[0]);
  rig->streams[0] = NULL;
  OF(give)(rig, ptr);
  assert_ok(API(synchronize)(rig->cache, UINT64_MAX));
  for (i = 0; i < 10; i++) (void)OF(pend)(rig, 4096, 1);
}

/* ---- failures -------------------------------------------------------------------------------- */

/* What a program does with a cache, whatever fails on the way. */
static void OF(script)(RIG *rig) {
  const unsigned allowed =
      ONE_OF(HOSTCACHE_OK) | ONE_OF(HOSTCACHE_ERR_EVENT) | ONE_OF(HOSTCACHE_ERR_LEAKED);
  static const size_t sizes[] = {64 * KIB, 4 * KIB, 2 * MIB, 64 * KIB};
  void *blocks[4];
  int round, i;
  for (round = 0; round < 2; round++) {
    for (i = 0; i < 4; i++) {
      hostcache_result got = API(alloc)(rig->cache, sizes[i], &blocks[i]);
      assert_one_of(got, ONE_OF(HOSTCACHE_OK) | ONE_OF(HOSTCACHE_ERR_OUT_OF_MEMORY));
      assert_int_equal(got == HOSTCACHE_OK, blocks[i] != NULL);
      if (blocks[i] == NULL) continue;
      ze_sim_handed_out(blocks[i], sizes[i]);
      assert_ok(API(record_stream)(rig->cache, blocks[i], rig->streams[i % STREAMS]));
      if (i == 0) assert_ok(API(record_stream)(rig->cache, blocks[i], rig->streams[3]));
#ifndef ON_QUEUES /* there a copy takes calls that may fail */
      OF(copy)(rig, i % STREAMS, blocks[i], 4096);
#endif
    }
    for (i = 0; i < 4; i++) {
      if (blocks[i] == NULL) continue;
      ze_sim_handed_back(blocks[i]);
      if (i == 1)
        assert_ok(API(free_deferred)(rig->cache, blocks[i]));
      else
        assert_one_of(API(free)(rig->cache, blocks[i]), allowed);
      assert_ok(API(check)(rig->cache));
    }
    assert_one_of(API(process_events)(rig->cache, NULL), allowed);
    assert_one_of(API(synchronize)(rig->cache, UINT64_MAX), allowed);
    assert_ok(API(check)(rig->cache));
    assert_one_of(API(empty_cache)(rig->cache), allowed);
    assert_ok(API(check)(rig->cache));
  }
}

/* The n-th call fails (`onwards`: and all after it), for every n until the script runs through. */
static void OF(sweep)(void **state, int onwards) {
  uint64_t n, fired = 1;
  OF(close)(state);
  for (n = 1; fired > 0; n++) {
    RIG *rig = OF(open)();
    *state = rig;
    rig->may_leak = true;
    rig->heard.wanted_code = ZE_RESULT_ERROR_UNKNOWN;
    assert_int_equal(ze_sim_fail(CALLED, n, onwards, ZE_RESULT_ERROR_UNKNOWN), 0);
    OF(script)(rig);
    fired = ze_sim_fired();
    /* Each code is told; of several failures behind one answer the first one's. */
    assert_true(fired == 0 || rig->heard.with_code > 0);
    ze_sim_fail_no_more();
    ze_sim_settle(); /* the device is idle, as release_quarantine is told */
    assert_ok(API(release_quarantine)(rig->cache));
    OF(script)(rig); /* works again */
    assert_int_equal(ze_sim_violations(), 0);
    OF(close)(state);
    assert_true(n < 1000);
  }
  assert_true(n > 20);
  *state = OF(open)();
}

RIG_TEST(each_call_fails_once) { OF(sweep)(state, 0); }

RIG_TEST(all_calls_fail_from_each_on) { OF(sweep)(state, 1); }

RIG_TEST(each_malloc_of_the_pack_fails_once) {
  RIG *rig = *state;
  mallocs_left = 0;
  OF(script)(rig); /* without any event */
  mallocs_left = -1;
  assert_true(rig->heard.of[-HOSTCACHE_ERR_EVENT] > 0);
  ze_sim_settle();
  assert_ok(API(release_quarantine)(rig->cache));
  OF(script)(rig);
}

#undef RECORDS
#undef WAITS
#ifdef ON_QUEUES
#define RECORDS "zeCommandQueueExecuteCommandLists"
#define WAITS "zeCommandQueueSynchronize"
#else
#define RECORDS "zeCommandListAppendBarrier"
#define WAITS "zeEventHostSynchronize"
#endif

/* A block that a copy uses, freed where the event cannot be recorded. */
static void *OF(pend_unrecorded)(RIG *rig) {
  void *ptr = OF(take)(rig, 4096);
  assert_ok(API(record_stream)(rig->cache, ptr, rig->streams[0]));
  OF(copy)(rig, 0, ptr, 4096);
  ze_sim_handed_back(ptr);
  return ptr;
}

RIG_TEST(where_no_event_can_be_recorded_the_stream_is_waited_for) {
  RIG *rig = *state;
  void *ptr;
  ze_sim_delay(5000); /* so that a wait that is none would be seen */
  ptr = OF(pend_unrecorded)(rig);
  assert_int_equal(ze_sim_fail(RECORDS, 1, 0, ZE_RESULT_ERROR_UNKNOWN), 0);
  assert_result(API(free)(rig->cache, ptr), HOSTCACHE_ERR_EVENT);
  ze_sim_fail_no_more();
  assert_ptr_equal(OF(take)(rig, 4096), ptr); /* the driver would report that it is used */
  OF(give)(rig, ptr);
}

RIG_TEST(where_the_stream_cannot_be_waited_for_the_block_is_quarantined) {
  RIG *rig = *state;
  hostcache_stats stats = {0};
  void *ptr, *other;
  ze_sim_hold(1);
  ptr = OF(pend_unrecorded)(rig);
  assert_int_equal(ze_sim_fail(RECORDS "," WAITS, 1, 1, ZE_RESULT_ERROR_UNKNOWN), 0);
  assert_result(API(free)(rig->cache, ptr), HOSTCACHE_ERR_EVENT);
  ze_sim_fail_no_more();
  assert_ok(API(stats)(rig->cache, &stats));
  assert_int_equal(stats.quarantined.current, 1);
  other = OF(take)(rig, 4096);
  assert_ptr_not_equal(other, ptr);
  OF(give)(rig, other);
  ze_sim_hold(0);
  ze_sim_settle();
}

/* Lets the wait for the stream fail, as soon as the record has. */
static void OF(fail_the_wait_too)(void *user, hostcache_result result, int64_t code,
                                  const char *what, const void *ptr) {
  hear(user, result, code, what, ptr);
  if (strstr(what, "HC_EVENT_RECORD") != NULL)
    (void)ze_sim_fail(WAITS, 1, 0, ZE_RESULT_ERROR_UNKNOWN);
}

/* What the pack waited with is pending then, and stays until it has completed. */
RIG_TEST(a_wait_that_fails_leaves_nothing_that_is_still_to_be_signalled) {
  RIG *rig = *state;
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  hostcache_stats stats = {0};
  CACHE *first = rig->cache;
  void *ptr, *other;
  config.segment_bytes = 4096;
  config.on_error = OF(fail_the_wait_too);
  config.on_error_user = &rig->heard;
  assert_ok(API(create)(&rig->cache, &config, &rig->l0));
  ze_sim_hold(1);
  ptr = OF(pend_unrecorded)(rig);
  assert_int_equal(ze_sim_fail(RECORDS, 1, 0, ZE_RESULT_ERROR_UNKNOWN), 0);
  assert_result(API(free)(rig->cache, ptr), HOSTCACHE_ERR_EVENT);
  ze_sim_fail_no_more();
  assert_ok(API(stats)(rig->cache, &stats));
  assert_int_equal(stats.quarantined.current, 1);
  other = OF(take)(rig, 4096);
  assert_ptr_not_equal(other, ptr);
  OF(give)(rig, other);
  assert_ok(API(destroy)(first));
  ze_sim_hold(0);
  ze_sim_settle(); /* and when the rig is closed, nothing of it is left */
}

RIG_TEST(a_lost_device_is_survived) {
  RIG *rig = *state;
  hostcache_stats stats = {0};
  void *held = OF(take)(rig, 64 * KIB), *ptr;
  int i;
  ze_sim_hold(1); /* so that nothing has begun */
  for (i = 0; i < STREAMS; i++) (void)OF(pend)(rig, 4 * KIB, i);
  rig->heard.wanted_code = ZE_RESULT_ERROR_DEVICE_LOST;
  ze_sim_lose_device();
  for (i = 0; i < 3; i++) assert_result(API(process_events)(rig->cache, NULL), HOSTCACHE_ERR_EVENT);
  assert_ok(API(stats)(rig->cache, &stats));
  assert_int_equal(stats.quarantined.current, STREAMS);
  assert_int_equal(stats.pending.current, 0);
  assert_true(rig->heard.with_code >= 3 * STREAMS);
  assert_result(API(alloc)(rig->cache, MIB, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_int_equal(rig->heard.code, ZE_RESULT_ERROR_DEVICE_LOST);
  OF(give)(rig, held);
  /* And everything is given back, when the rig is closed. */
}

RIG_TEST(out_of_memory_and_only_that_is_reclaimed_for) {
  static const ze_result_t codes[] = {ZE_RESULT_ERROR_OUT_OF_HOST_MEMORY,
                                      ZE_RESULT_ERROR_OUT_OF_DEVICE_MEMORY};
  RIG *rig = *state;
  hostcache_stats stats = {0};
  void *ptr;
  size_t i;
  OF(give)(rig, OF(take)(rig, 4 * MIB)); /* so much was held before: nothing goes back for less */
  assert_ok(API(empty_cache)(rig->cache));
  for (i = 0; i < COUNT_OF(codes); i++) {
    OF(give)(rig, OF(take)(rig, 64 * KIB)); /* idle */
    assert_int_equal(ze_sim_fail("zeMemAllocHost", 1, 0, codes[i]), 0);
    ptr = OF(take)(rig, MIB - 64); /* with room for a red zone */
    ze_sim_fail_no_more();
    assert_ok(API(stats)(rig->cache, &stats));
    assert_int_equal(stats.num_alloc_retries, i + 1);
    assert_int_equal(stats.reserved_bytes.current, MIB); /* what was idle went back */
    OF(give)(rig, ptr);
    assert_ok(API(empty_cache)(rig->cache));
  }
  assert_int_equal(ze_sim_fail("zeMemAllocHost", 1, 0, ZE_RESULT_ERROR_UNKNOWN), 0);
  assert_result(API(alloc)(rig->cache, MIB, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  ze_sim_fail_no_more();
  assert_ok(API(stats)(rig->cache, &stats));
  assert_int_equal(stats.num_alloc_retries, COUNT_OF(codes));
  assert_int_equal(rig->heard.code, ZE_RESULT_ERROR_UNKNOWN);

  ze_sim_limits(8 * MIB, 0, 0);
  assert_result(API(alloc)(rig->cache, 16 * MIB, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  OF(give)(rig, OF(take)(rig, 8 * MIB - 64)); /* with room for a red zone */
}

RIG_TEST(memory_beyond_the_limit_of_one_allocation_is_asked_for_relaxed) {
  RIG *rig;
  void *ptr;
  OF(close)(state);
  ze_sim_limits(0, 0, 4 * MIB);
  *state = rig = OF(open)();
  ptr = OF(take)(rig, 16 * MIB);
  memset(ptr, 1, 16 * MIB);
  OF(give)(rig, ptr);
  OF(give)(rig, OF(take)(rig, 4 * MIB - 64)); /* with a red zone, the limit itself */
}

RIG_TEST(without_relaxed_limits_the_drivers_code_is_told) {
  RIG *rig;
  hostcache_stats stats = {0};
  void *ptr;
  OF(close)(state);
  ze_sim_limits(0, 0, 4 * MIB);
  ze_sim_relaxed_limits(0);
  *state = rig = OF(open)();
  assert_result(API(alloc)(rig->cache, 16 * MIB, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_int_equal(rig->heard.code, ZE_RESULT_ERROR_UNSUPPORTED_SIZE);
  assert_ok(API(stats)(rig->cache, &stats));
  assert_int_equal(stats.num_alloc_retries, 0); /* it would not help */
}

RIG_TEST(close_is_refused_while_a_cache_has_memory) {
  RIG *rig = *state;
  OF(give)(rig, OF(take)(rig, 4096));
  assert_int_equal(hostcache_level_zero_close(&rig->l0), ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE);
  assert_ok(API(check)(rig->cache));
  OF(give)(rig, OF(take)(rig, 4096)); /* nothing was done */
}

RIG_TEST(close_is_refused_while_an_event_of_any_pool_is_in_use) {
  enum { EVENTS = 65 }; /* the last is alone in the second pool, then in the first */
  RIG *rig = *state;
  hostcache_level_zero_event events[EVENTS];
  int i;
  for (i = 0; i < EVENTS; i++) must(hostcache_level_zero_event_create(&rig->l0, 0, &events[i]));
  for (i = 0; i < EVENTS - 1; i++) must(hostcache_level_zero_event_destroy(&rig->l0, &events[i]));
  assert_int_equal(hostcache_level_zero_close(&rig->l0), ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE);
  must(hostcache_level_zero_event_create(&rig->l0, 0, &events[0]));
  must(hostcache_level_zero_event_destroy(&rig->l0, &events[EVENTS - 1]));
  assert_int_equal(hostcache_level_zero_close(&rig->l0), ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE);
  must(hostcache_level_zero_event_destroy(&rig->l0, &events[0]));
  must(hostcache_level_zero_event_destroy(&rig->l0, &events[0])); /* nothing to do any more */
}

RIG_TEST(errno_stays_as_it_was) {
  RIG *rig = *state;
  errno = 77;
  (void)OF(pend)(rig, 4096, 0);
  assert_int_equal(errno, 77);
  assert_ok(API(synchronize)(rig->cache, UINT64_MAX));
  assert_ok(API(empty_cache)(rig->cache));
  assert_int_equal(errno, 77);
}

/* ---- threads --------------------------------------------------------------------------------- */

typedef struct OF(worker) {
  RIG *rig;
  int number;
  uint64_t operations;
} OF(worker);

/* Allocates, copies on a stream that others use as well, frees. The driver reports a list that two
   threads append to at once, and memory that is handed out too early. */
static void *OF(work)(void *argument) {
  OF(worker) *worker = argument;
  RIG *rig = worker->rig;
  uint64_t seed = (uint64_t)worker->number + 1, n;
  void *kept[8] = {NULL};
  for (n = 0; n < worker->operations; n++) {
    size_t slot = random_below(&seed, COUNT_OF(kept));
    /* On queues each thread copies on its own one: its spent lists are not shared. */
#ifdef ON_QUEUES
    int i = worker->number;
    if (n % 256 == 255) {
      expect_or_abort(zeCommandQueueSynchronize(rig->streams[i], UINT64_MAX) == ZE_RESULT_SUCCESS);
      OF(spent_end)(rig, i);
    }
#else
    int i = (int)random_below(&seed, STREAMS);
#endif
    if (kept[slot] != NULL) {
      ze_sim_handed_back(kept[slot]);
      expect_or_abort(API(free)(rig->cache, kept[slot]) == HOSTCACHE_OK);
      kept[slot] = NULL;
    } else {
      size_t size = 4096 << random_below(&seed, 3);
      expect_or_abort(API(alloc)(rig->cache, size, &kept[slot]) == HOSTCACHE_OK);
      ze_sim_handed_out(kept[slot], size);
      if (random_below(&seed, 2) == 0) continue;
      expect_or_abort(API(record_stream)(rig->cache, kept[slot], rig->streams[i]) == HOSTCACHE_OK);
      OF(copy)(rig, i, kept[slot], 64);
    }
  }
  for (n = 0; n < COUNT_OF(kept); n++) {
    if (kept[n] == NULL) continue;
    ze_sim_handed_back(kept[n]);
    expect_or_abort(API(free)(rig->cache, kept[n]) == HOSTCACHE_OK);
  }
  return NULL;
}

RIG_TEST(four_threads_on_four_streams) {
  RIG *rig = *state;
  OF(worker) workers[STREAMS];
  pthread_t threads[STREAMS];
  int i;
  for (i = 0; i < STREAMS; i++) {
    workers[i].rig = rig;
    workers[i].number = i;
    workers[i].operations = stress_operations() / STREAMS;
    assert_int_equal(pthread_create(&threads[i], NULL, OF(work), &workers[i]), 0);
  }
  for (i = 0; i < STREAMS; i++) pthread_join(threads[i], NULL);
  assert_ok(API(check)(rig->cache));
  assert_int_equal(ze_sim_violations(), 0);
}
