/* trace.c - tests what can be seen of a cache from inside (HC_TRACE): snapshot, the history, those
   who follow it as it happens, and those who hear of want of memory.

   Promises: each hand-out, free and completion, and each segment, is one entry, in an order that
   could have been; nothing is lost, and nothing is told that did not happen; a tracker has heard
   that memory is free before it hears that it is used again or given back; without a history and
   trackers nothing is recorded, and a hit is the shortest way again. */

#include "sim/below.h"

#define HC_NAME pinned
#define HC_TRACE
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define CACHE pinned
#include "sim/rig.h"
#undef CACHE

#include <pthread.h>

/* ---- what was shown -------------------------------------------------------------------------- */

enum { MOST = 4096 };

typedef struct shown {
  hostcache_trace at[MOST];
  size_t count;
} shown;

static shown seen; /* by the test's own thread */

static void show(void *user, const hostcache_trace *entry) {
  shown *s = (shown *)user;
  expect_or_abort(s->count < MOST);
  s->at[s->count++] = *entry;
}

/* The history, into `seen`. */
static void look(pinned_rig *rig) {
  seen.count = 0;
  assert_ok(pinned_history(rig->cache, show, &seen));
}

static void must_be(size_t i, hostcache_action action, const void *ptr, size_t size) {
  assert_true(i < seen.count);
  if (seen.at[i].action != action)
    print_error("entry %zu: %s\n", i, hostcache_action_string(seen.at[i].action));
  assert_int_equal(seen.at[i].action, action);
  assert_ptr_equal(seen.at[i].ptr, ptr);
  assert_int_equal(seen.at[i].size, size);
}

static void observe(void *user, const hostcache_oom *oom) { *(hostcache_oom *)user = *oom; }

static void must_be_in_sequence(const shown *s) {
  size_t i;
  for (i = 1; i < s->count; i++) {
    assert_int_equal(s->at[i].sequence, s->at[0].sequence + i);
    assert_true(s->at[i].time_ns > s->at[i - 1].time_ns);
  }
}

/* ---- the history ----------------------------------------------------------------------------- */

static void a_history_tells_what_happened(void **state) {
  pinned_rig *rig = *state;
  const void *ptr;
  assert_ok(pinned_record_history(rig->cache, 100, NULL, NULL));
  ptr = pinned_rig_pend(rig, 5000, 1);
  sim_complete_all(&rig->device);
  assert_int_equal(pinned_rig_poll(rig), 1);
  assert_ok(pinned_empty_cache(rig->cache));
  look(rig);
  assert_int_equal(seen.count, 5);
  must_be(0, HOSTCACHE_TRACE_SEGMENT_ALLOC, ptr, 8192);
  must_be(1, HOSTCACHE_TRACE_ALLOC, ptr, 5120);
  must_be(2, HOSTCACHE_TRACE_FREE_REQUESTED, ptr, 5120);
  must_be(3, HOSTCACHE_TRACE_FREE_COMPLETED, ptr, 5120);
  must_be(4, HOSTCACHE_TRACE_SEGMENT_FREE, ptr, 8192);
  assert_int_equal(seen.at[0].requested, 0);
  assert_int_equal(seen.at[1].requested, 5000);
  assert_int_equal(seen.at[3].requested, 5000);
  must_be_in_sequence(&seen);
}

static void without_a_history_nothing_is_recorded(void **state) {
  pinned_rig *rig = *state;
  void *ptr = pinned_rig_take(rig, 5000);
  look(rig);
  assert_int_equal(seen.count, 0);
  assert_ok(pinned_record_history(rig->cache, 100, NULL, NULL));
  assert_ok(pinned_record_history(rig->cache, 0, NULL, NULL));
  pinned_rig_give(rig, ptr);
  look(rig);
  assert_int_equal(seen.count, 0);
}

static void a_history_keeps_the_last_entries(void **state) {
  pinned_rig *rig = *state;
  int i;
  assert_ok(pinned_record_history(rig->cache, 3, NULL, NULL));
  for (i = 0; i < 5; i++) pinned_rig_give(rig, pinned_rig_take(rig, 5000));
  look(rig);
  assert_int_equal(seen.count, 3);
  assert_int_equal(seen.at[0].action, HOSTCACHE_TRACE_ALLOC);
  assert_int_equal(seen.at[1].action, HOSTCACHE_TRACE_FREE_REQUESTED);
  assert_int_equal(seen.at[2].action, HOSTCACHE_TRACE_FREE_COMPLETED);
  must_be_in_sequence(&seen);
  assert_ok(pinned_record_history(rig->cache, 10, NULL, NULL)); /* anew */
  look(rig);
  assert_int_equal(seen.count, 0);
}

/* What a thread has in stock comes and goes the same way. */
static void hits_are_recorded_too(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  void *ptr;
  size_t i;
  int round;
  pinned_rig_configure(rig, config);
  for (round = 0; round < 2; round++) pinned_rig_give(rig, pinned_rig_take(rig, 64 * KIB));
  assert_ok(pinned_record_history(rig->cache, 100, NULL, NULL));
  for (round = 0; round < 5; round++) {
    ptr = pinned_rig_take(rig, 64 * KIB);
    if (round % 2) (void)pinned_rig_use(rig, ptr, 1);
    pinned_rig_give(rig, ptr);
    sim_complete_all(&rig->device);
    assert_int_equal(pinned_rig_poll(rig), round % 2);
  }
  look(rig);
  assert_int_equal(seen.count, 15);
  for (i = 0; i < seen.count; i++)
    assert_int_equal(seen.at[i].action, i % 3); /* ALLOC, FREE_REQUESTED, FREE_COMPLETED */
  assert_int_equal(pinned_rig_stats(rig).num_misses, 1);
}

static void a_free_that_is_refused_is_no_entry(void **state) {
  pinned_rig *rig = *state;
  char *ptr = pinned_rig_take(rig, 5000);
  assert_ok(pinned_record_history(rig->cache, 10, NULL, NULL));
  assert_result(pinned_free(rig->cache, ptr + 1), HOSTCACHE_ERR_NOT_FOUND);
  pinned_rig_give(rig, ptr);
  assert_result(pinned_free(rig->cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
  look(rig);
  assert_int_equal(seen.count, 2);
}

static void memory_that_is_none_is_no_entry(void **state) {
  pinned_rig *rig = *state;
  void *ptr;
  assert_ok(pinned_record_history(rig->cache, 10, NULL, NULL));
  rig->device.mischief = SIM_NULL;
  assert_result(pinned_alloc(rig->cache, 5000, &ptr), HOSTCACHE_ERR_CORRUPT);
  look(rig);
  assert_int_equal(seen.count, 0);
}

static void *count_up(void *user, hostcache_action action) {
  int *next = (int *)user;
  (void)action;
  return (void *)(uintptr_t)++ * next;
}

static void the_users_context_stays_with_the_block(void **state) {
  pinned_rig *rig = *state;
  int next = 100;
  size_t i;
  assert_ok(pinned_record_history(rig->cache, 100, count_up, &next));
  (void)pinned_rig_pend(rig, 5000, 1);
  pinned_rig_give(rig, pinned_rig_take(rig, 5000));
  sim_complete_all(&rig->device);
  assert_int_equal(pinned_rig_poll(rig), 1);
  look(rig);
  assert_int_equal(seen.count, 8);
  for (i = 0; i < seen.count; i++) {
    const uintptr_t context = (uintptr_t)seen.at[i].context;
    if (seen.at[i].action == HOSTCACHE_TRACE_SEGMENT_ALLOC)
      assert_int_equal(context, 0);
    else
      assert_int_equal(context, i >= 4 && i < 7 ? 102 : 101);
  }
}

static void a_history_without_memory_changes_nothing(void **state) {
  pinned_rig *rig = *state;
  assert_ok(pinned_record_history(rig->cache, 10, NULL, NULL));
  (void)pinned_rig_take(rig, 5000);
  below_fail(1, true);
  assert_result(pinned_record_history(rig->cache, 20, NULL, NULL), HOSTCACHE_ERR_NO_METADATA);
  assert_result(pinned_record_history(rig->cache, SIZE_MAX, NULL, NULL), HOSTCACHE_ERR_NO_METADATA);
  assert_result(pinned_history(rig->cache, show, &seen), HOSTCACHE_ERR_NO_METADATA);
  assert_result(pinned_attach_trace_tracker(rig->cache, show, &seen), HOSTCACHE_ERR_NO_METADATA);
  assert_result(pinned_attach_oom_observer(rig->cache, observe, &seen), HOSTCACHE_ERR_NO_METADATA);
  assert_int_equal(rig->heard.of[-HOSTCACHE_ERR_NO_METADATA], 5); /* each was told */
  below_fail_no_more();
  look(rig);
  assert_int_equal(seen.count, 2);
}

static void every_action_has_a_string(void **state) {
  int action;
  (void)state;
  for (action = HOSTCACHE_TRACE_ALLOC; action <= HOSTCACHE_TRACE_SNAPSHOT; action++)
    assert_non_null(strstr(hostcache_action_string((hostcache_action)action), "HOSTCACHE_TRACE_"));
  assert_string_equal(hostcache_action_string((hostcache_action)99), "not a hostcache_action");
}

/* ---- trackers -------------------------------------------------------------------------------- */

/* Follows each address: what is handed out was free, and what goes back is. */
typedef struct follower {
  const void *active[64];
  size_t count, entries, segments;
} follower;

static void follow(void *user, const hostcache_trace *entry) {
  follower *f = (follower *)user;
  size_t i;
  f->entries++;
  for (i = 0; i < f->count && f->active[i] != entry->ptr; i++) continue;
  switch (entry->action) {
    case HOSTCACHE_TRACE_ALLOC:
      expect_or_abort(i == f->count && i < COUNT_OF(f->active));
      f->active[f->count++] = entry->ptr;
      break;
    case HOSTCACHE_TRACE_FREE_COMPLETED:
      expect_or_abort(i < f->count);
      f->active[i] = f->active[--f->count];
      break;
    case HOSTCACHE_TRACE_SEGMENT_ALLOC: f->segments++; break;
    case HOSTCACHE_TRACE_SEGMENT_FREE:
      expect_or_abort(i == f->count);
      f->segments--;
      break;
    default: break;
  }
}

static void trackers_hear_of_each_entry(void **state) {
  pinned_rig *rig = *state;
  static follower first, second;
  void *ptrs[64];
  size_t i;
  memset(&first, 0, sizeof first);
  memset(&second, 0, sizeof second);
  assert_ok(pinned_attach_trace_tracker(rig->cache, follow, &first));
  for (i = 0; i < COUNT_OF(ptrs); i++) {
    ptrs[i] = pinned_rig_take(rig, 5000);
    (void)pinned_rig_use(rig, ptrs[i], 1);
  }
  for (i = 0; i < COUNT_OF(ptrs); i++) pinned_rig_give(rig, ptrs[i]);
  assert_int_equal(first.entries, 192); /* the last polls of the frees found nothing complete */
  sim_complete_all(&rig->device);
  assert_int_equal(pinned_rig_poll(rig), 64); /* all in one poll */
  assert_int_equal(first.entries, 256);
  assert_int_equal(first.count, 0);
  assert_int_equal(first.segments, 64);
  assert_ok(pinned_attach_trace_tracker(rig->cache, follow, &second));
  assert_ok(pinned_empty_cache(rig->cache));
  assert_int_equal(first.segments, 0);
  assert_int_equal(first.entries, 320);
  assert_int_equal(second.entries, 64);
}

static void what_trackers_hear_of_again_needs_no_more_memory(void **state) {
  static follower f; /* hears of the destroy as well */
  pinned_rig *rig = *state;
  uint64_t calls;
  memset(&f, 0, sizeof f);
  assert_ok(pinned_attach_trace_tracker(rig->cache, follow, &f));
  pinned_rig_give(rig, pinned_rig_take(rig, 5000));
  calls = atomic_load(&below.calls);
  pinned_rig_give(rig, pinned_rig_take(rig, 5000));
  assert_int_equal(atomic_load(&below.calls), calls);
  assert_int_equal(f.entries, 7); /* a segment, and of each block three */
}

static void what_a_callback_frees_is_told_by_the_next_call(void **state) {
  pinned_rig *rig = *state;
  static follower f;
  void *ptr;
  memset(&f, 0, sizeof f);
  assert_ok(pinned_attach_trace_tracker(rig->cache, follow, &f));
  ptr = pinned_rig_take(rig, 5000);
  (void)pinned_rig_use(rig, ptr, 1);
  sim_handed_back(&rig->device, ptr);
  assert_ok(pinned_free_deferred(rig->cache, ptr));
  assert_int_equal(f.entries, 2);
  sim_complete_all(&rig->device);
  assert_int_equal(pinned_rig_poll(rig), 1);
  assert_int_equal(f.entries, 4);
  assert_int_equal(f.count, 0);
}

static void count_actions(void *user, const hostcache_trace *entry) {
  ++((size_t *)user)[entry->action];
}

/* The same, and hears of each when it is its turn. */
typedef struct queue {
  size_t counts[16];
  uint64_t next;
} queue;

static void count_in_order(void *user, const hostcache_trace *entry) {
  queue *q = (queue *)user;
  expect_or_abort(entry->sequence >= q->next);
  q->next = entry->sequence + 1;
  count_actions(q->counts, entry);
}

typedef struct callback {
  pinned_rig *rig;
  void *ptrs[150];
  size_t freed;
} callback;

/* While memory is got, as a callback of the runtime's. */
static void free_two_in_a_callback(void *user, sim_hook hook) {
  callback *c = (callback *)user;
  int i;
  if (hook != SIM_MEM_ALLOC) return;
  for (i = 0; i < 2 && c->freed < COUNT_OF(c->ptrs); i++) {
    sim_handed_back(&c->rig->device, c->ptrs[c->freed]);
    assert_ok(pinned_free_deferred(c->rig->cache, c->ptrs[c->freed++]));
  }
}

/* Frees that were noted in a callback are told after the room for them has grown, as it does with
   each slab of records, and each time before the allocation in which it was. */
static void what_is_to_be_told_stays_when_there_is_more_to_tell(void **state) {
  pinned_rig *rig = *state;
  static queue q; /* hears of the destroy as well */
  callback c;
  size_t i;
  c.rig = rig;
  c.freed = 0;
  for (i = 0; i < COUNT_OF(c.ptrs); i++) {
    c.ptrs[i] = pinned_rig_take(rig, 5000);
    (void)pinned_rig_use(rig, c.ptrs[i], 1); /* so that it waits, and keeps its records */
  }
  assert_ok(pinned_attach_trace_tracker(rig->cache, count_in_order, &q));
  rig->device.on_hook = free_two_in_a_callback;
  rig->device.on_hook_user = &c;
  for (i = 1; c.freed < COUNT_OF(c.ptrs); i++) {
    (void)pinned_rig_take(rig, 3 * MIB);
    assert_int_equal(q.counts[HOSTCACHE_TRACE_FREE_REQUESTED], c.freed);
    assert_int_equal(q.counts[HOSTCACHE_TRACE_ALLOC], i);
  }
  rig->device.on_hook = NULL;
  sim_complete_all(&rig->device);
  assert_int_equal(pinned_rig_poll(rig), COUNT_OF(c.ptrs));
  assert_int_equal(q.counts[HOSTCACHE_TRACE_FREE_COMPLETED], COUNT_OF(c.ptrs));
}

/* on_error has heard of it; the cache itself goes on. */
static void what_there_is_no_room_to_tell_is_lost_and_nothing_else(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = pinned_rig_config(rig);
  static queue q; /* hears of the destroy as well */
  size_t i;
  void *ptrs[300];
  config.segment_bytes = 0;
  pinned_rig_configure(rig, config);
  assert_ok(pinned_attach_trace_tracker(rig->cache, count_in_order, &q));
  pinned_rig_give(rig, pinned_rig_take(rig, 512)); /* a segment that all blocks fit into */
  for (i = 0; i < COUNT_OF(ptrs); i++) {
    hostcache_result result;
    below_fail(1, true);
    result = pinned_alloc(rig->cache, 512, &ptrs[i]);
    if (result == HOSTCACHE_ERR_NO_METADATA) {
      below_fail(2, true); /* records, but no room to tell of them */
      result = pinned_alloc(rig->cache, 512, &ptrs[i]);
    }
    below_fail_no_more();
    assert_ok(result);
    sim_handed_out(&rig->device, ptrs[i], 512);
    (void)pinned_rig_use(rig, ptrs[i], 1);
  }
  assert_int_equal(rig->heard.result, HOSTCACHE_ERR_NO_METADATA);
  for (i = 0; i < COUNT_OF(ptrs); i++) pinned_rig_give(rig, ptrs[i]);
  sim_complete_all(&rig->device);
  (void)pinned_rig_poll(rig);
  assert_int_equal(pinned_rig_stats(rig).active.current, 0);
  assert_int_equal(q.counts[HOSTCACHE_TRACE_FREE_REQUESTED], COUNT_OF(ptrs) + 1);
  assert_true(q.counts[HOSTCACHE_TRACE_FREE_COMPLETED] < COUNT_OF(ptrs));
  pinned_rig_check(rig);
}

static void a_tracker_without_memory_for_it_hears_nothing(void **state) {
  pinned_rig *rig = *state;
  size_t counts[16] = {0};
  uint64_t n;
  (void)pinned_rig_take(rig, 5000);
  for (n = 1; n <= 2; n++) {
    below_fail(n, true);
    assert_result(pinned_attach_trace_tracker(rig->cache, count_actions, counts),
                  HOSTCACHE_ERR_NO_METADATA);
    below_fail_no_more();
  }
  (void)pinned_rig_take(rig, 5000);
  assert_int_equal(counts[HOSTCACHE_TRACE_ALLOC], 0);
}

/* Also if there is room for what it would have heard. */
static void a_tracker_hears_nothing_of_what_was_before_it(void **state) {
  static size_t counts[16]; /* hears of the destroy as well */
  pinned_rig *rig = *state;
  void *ptr = pinned_rig_take(rig, 5000);
  size_t i;
  assert_ok(pinned_record_history(rig->cache, 10, NULL, NULL));
  below_fail(2, true);
  assert_result(pinned_attach_trace_tracker(rig->cache, count_actions, counts),
                HOSTCACHE_ERR_NO_METADATA);
  below_fail_no_more();
  sim_handed_back(&rig->device, ptr);
  assert_ok(pinned_free_deferred(rig->cache, ptr));
  assert_ok(pinned_attach_trace_tracker(rig->cache, count_actions, counts));
  (void)pinned_rig_poll(rig);
  for (i = 0; i < COUNT_OF(counts); i++) assert_int_equal(counts[i], 0);
}

typedef struct attached {
  pinned_rig *rig;
  void *ptrs[200];
} attached;

/* And there is more to tell of than the first one gets room for. */
static void attach_another(void *user) {
  attached *a = user;
  static size_t counts[16]; /* hears of the destroy as well */
  size_t i;
  for (i = 0; i < COUNT_OF(a->ptrs); i++) a->ptrs[i] = pinned_rig_take(a->rig, 5000);
  assert_ok(pinned_attach_trace_tracker(a->rig->cache, count_actions, counts));
}

/* The room that one of them gets must be kept. */
static void two_trackers_may_be_attached_at_once(void **state) {
  static size_t counts[16];
  attached a = {*state, {NULL}};
  size_t i;
  (void)pinned_rig_take(a.rig, 5000); /* so that there is something to have room for */
  counts[HOSTCACHE_TRACE_FREE_REQUESTED] = 0;
  below.once = attach_another;
  below.once_user = &a;
  assert_ok(pinned_attach_trace_tracker(a.rig->cache, count_actions, counts));
  assert_null(below.once);
  for (i = 0; i < COUNT_OF(a.ptrs); i++) {
    sim_handed_back(&a.rig->device, a.ptrs[i]);
    assert_ok(pinned_free_deferred(a.rig->cache, a.ptrs[i]));
  }
  (void)pinned_rig_poll(a.rig);
  assert_int_equal(counts[HOSTCACHE_TRACE_FREE_REQUESTED], COUNT_OF(a.ptrs));
}

/* ---- want of memory -------------------------------------------------------------------------- */

static void want_of_memory_that_nobody_observes_is_an_error_all_the_same(void **state) {
  pinned_rig *rig = *state;
  void *ptr;
  assert_ok(pinned_set_max_reserved_bytes(rig->cache, 2 * MIB));
  assert_result(pinned_alloc(rig->cache, 3 * MIB, &ptr), HOSTCACHE_ERR_LIMIT);
}

static void observers_hear_of_want_of_memory(void **state) {
  pinned_rig *rig = *state;
  hostcache_oom first, second;
  int cancel = -1;
  void *ptr;
  memset(&first, 0, sizeof first);
  memset(&second, 0, sizeof second);
  assert_ok(pinned_attach_oom_observer(rig->cache, observe, &first));
  (void)pinned_rig_take(rig, MIB);
  assert_ok(pinned_set_max_reserved_bytes(rig->cache, 2 * MIB));
  assert_result(pinned_alloc(rig->cache, 3 * MIB, &ptr), HOSTCACHE_ERR_LIMIT);
  assert_int_equal(first.result, HOSTCACHE_ERR_LIMIT);
  assert_int_equal(first.requested, 3 * MIB);
  assert_int_equal(first.reserved_bytes, MIB);
  assert_int_equal(first.max_reserved_bytes, 2 * MIB);
  assert_ok(pinned_set_max_reserved_bytes(rig->cache, 0));
  assert_ok(pinned_attach_oom_observer(rig->cache, observe, &second));
  assert_ok(pinned_record_history(rig->cache, 10, NULL, NULL));
  sim_fail(&rig->device, 1, true, SIM_ONLY(SIM_MEM_ALLOC));
  assert_result(pinned_alloc(rig->cache, 4 * MIB, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  sim_fail_no_more(&rig->device);
  assert_int_equal(first.result, HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_int_equal(second.result, HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_int_equal(second.max_reserved_bytes, SIZE_MAX);
  look(rig);
  assert_int_equal(seen.count, 1);
  must_be(0, HOSTCACHE_TRACE_OOM, NULL, 4 * MIB);
  assert_int_equal(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &cancel), 0);
  assert_int_equal(cancel, PTHREAD_CANCEL_ENABLE); /* as it was only while they were called */
}

/* ---- snapshot -------------------------------------------------------------------------------- */

typedef struct view {
  hostcache_range at[32];
  sim_stream streams[32][8];
  size_t count, most;
} view;

static int note(void *user, const hostcache_range *range) {
  view *v = (view *)user;
  assert_true(v->count < COUNT_OF(v->at) && range->stream_count <= 8);
  if (range->stream_count > 0)
    memcpy(v->streams[v->count], range->streams, range->stream_count * sizeof(sim_stream));
  v->at[v->count++] = *range;
  return v->count == v->most;
}

static void a_snapshot_shows_segments_with_their_blocks(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  int next = 0;
  view v = {.count = 0};
  char *ptrs[3];
  size_t i;
  config.segment_bytes = 64 * KIB;
  pinned_rig_configure(rig, config);
  assert_ok(pinned_record_history(rig->cache, 100, count_up, &next));
  for (i = 0; i < COUNT_OF(ptrs); i++) ptrs[i] = pinned_rig_take(rig, 8000);
  (void)pinned_rig_use(rig, ptrs[0], 5);
  (void)pinned_rig_use(rig, ptrs[0], 6);
  (void)pinned_rig_use(rig, ptrs[1], 7);
  pinned_rig_give(rig, ptrs[1]);
  assert_ok(pinned_snapshot(rig->cache, note, &v));
  assert_int_equal(v.count, 5);
  assert_int_equal(v.at[0].kind, HOSTCACHE_VISIT_SEGMENT);
  assert_int_equal(v.at[0].size, 64 * KIB);
  assert_int_equal(v.at[0].active_bytes, 3 * 8 * KIB);
  assert_int_equal(v.at[0].allocated_bytes, 2 * 8 * KIB);
  for (i = 0; i < COUNT_OF(ptrs); i++) {
    const hostcache_range *range = &v.at[1 + i];
    assert_int_equal(range->kind, i == 1 ? HOSTCACHE_VISIT_PENDING : HOSTCACHE_VISIT_ACTIVE);
    assert_ptr_equal(range->ptr, ptrs[i]);
    assert_int_equal(range->size, 8 * KIB);
    assert_int_equal(range->requested, 8000);
    assert_int_equal((uintptr_t)range->context, i + 1);
    assert_int_equal(range->stream_count, 2 - i);
  }
  assert_true(v.streams[1][0] + v.streams[1][1] == 11 && v.streams[2][0] == 7);
  assert_int_equal(v.at[4].kind, HOSTCACHE_VISIT_CACHED);
  assert_int_equal(v.at[4].requested, 0);
  assert_null(v.at[4].context);
  look(rig);
  assert_int_equal(seen.at[seen.count - 1].action, HOSTCACHE_TRACE_SNAPSHOT);
  assert_int_equal((uintptr_t)seen.at[seen.count - 1].context, 4);
}

/* What waits for two streams, one of which is through. */
static void a_snapshot_shows_the_streams_that_are_waited_for_still(void **state) {
  pinned_rig *rig = *state;
  void *ptr = pinned_rig_take(rig, 3 * MIB);
  view v = {.count = 0};
  (void)pinned_rig_use(rig, ptr, 5);
  (void)pinned_rig_use(rig, ptr, 6);
  pinned_rig_give(rig, ptr);
  sim_complete(&rig->device, 5, -1);
  assert_int_equal(pinned_rig_poll(rig), 0);
  assert_ok(pinned_snapshot(rig->cache, note, &v));
  assert_int_equal(v.count, 2);
  assert_int_equal(v.at[1].kind, HOSTCACHE_VISIT_PENDING);
  assert_int_equal(v.at[1].stream_count, 1);
  assert_int_equal(v.streams[1][0], 6);
}

/* Takes a block that one stream uses, and frees it: after the first such free the shortest way. */
static void give_used(pinned_rig *rig, sim_stream stream) {
  void *ptr = pinned_rig_take(rig, 64 * KIB);
  (void)pinned_rig_use(rig, ptr, stream);
  pinned_rig_give(rig, ptr);
}

static size_t count_of_kind(const view *v, int kind, sim_stream stream) {
  size_t count = 0, i;
  for (i = 0; i < v->count; i++)
    count += v->at[i].kind == kind && v->at[i].stream_count == 1 && v->streams[i][0] == stream;
  return count;
}

/* Also where that is one alone; and once it cannot be told whether that is through, although
   another stream has come in its place. */
static void a_snapshot_shows_the_stream_of_what_it_was_used_on(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  view v = {.count = 0};
  void *ptr;
  config.query_error_limit = 1;
  pinned_rig_configure(rig, config);
  give_used(rig, 7);
  give_used(rig, 7);
  assert_ok(pinned_snapshot(rig->cache, note, &v));
  assert_int_equal(count_of_kind(&v, HOSTCACHE_VISIT_PENDING, 7), 2);
  sim_complete(&rig->device, 7,
               1); /* the first alone: it is the second that is asked for in vain */
  assert_int_equal(pinned_rig_poll(rig), 1);
  sim_fail(&rig->device, 1, false, SIM_EVERY_QUERY);
  assert_result(pinned_process_events(rig->cache, NULL), HOSTCACHE_ERR_EVENT);
  ptr = pinned_rig_take(rig, 64 * KIB); /* and of another one, which cannot be recorded */
  (void)pinned_rig_use(rig, ptr, 7);
  sim_handed_back(&rig->device, ptr);
  sim_fail(&rig->device, 1, false, SIM_EVERY_RECORD);
  assert_result(pinned_free(rig->cache, ptr), HOSTCACHE_ERR_EVENT);
  assert_ok(pinned_forget_stream(rig->cache, 7));
  give_used(rig, 8);
  give_used(rig, 8);
  v.count = 0;
  assert_ok(pinned_snapshot(rig->cache, note, &v));
  assert_int_equal(count_of_kind(&v, HOSTCACHE_VISIT_QUARANTINED, 7), 2);
  assert_int_equal(count_of_kind(&v, HOSTCACHE_VISIT_PENDING, 8), 2);
  sim_complete_all(&rig->device);
  assert_ok(pinned_release_quarantine(rig->cache));
}

static void a_snapshot_ends_where_the_visitor_says(void **state) {
  pinned_rig *rig = *state;
  view v = {.most = 2};
  (void)pinned_rig_take(rig, 5000);
  (void)pinned_rig_take(rig, 5000);
  assert_ok(pinned_snapshot(rig->cache, note, &v));
  assert_int_equal(v.count, 2);
}

static void take_some(void *user) {
  pinned_rig *rig = user;
  int i;
  for (i = 0; i < 8; i++) (void)pinned_rig_take(rig, 64 * KIB);
}

static void use_on_some_streams(void *user) {
  pinned_rig *rig = user;
  const size_t last = rig->device.blocks.count - 1;
  sim_stream stream;
  for (stream = 3; stream < 9; stream++)
    assert_ok(pinned_record_stream(rig->cache, (void *)rig->device.blocks.at[last].start, stream));
}

static void use_on_a_stream(void *user) {
  pinned_rig *rig = user;
  assert_ok(pinned_record_stream(rig->cache, (void *)rig->device.blocks.at[0].start, 9));
}

static int count_visits(void *user, const hostcache_visit *visit) {
  (void)visit;
  ++*(size_t *)user;
  return 0;
}

/* ... while it gets memory for what there was before. */
static void what_comes_meanwhile_is_shown_too(void **state) {
  pinned_rig *rig = *state;
  view v = {.count = 0};
  size_t visits = 0;
  (void)pinned_rig_take(rig, 64 * KIB);
  below.once_user = rig;
  below.once = use_on_a_stream; /* for which there is just room */
  assert_ok(pinned_snapshot(rig->cache, note, &v));
  assert_int_equal(v.at[1].stream_count, 1);
  assert_int_equal(v.streams[1][0], 9);
  below.once = use_on_some_streams;
  v.count = 0;
  assert_ok(pinned_snapshot(rig->cache, note, &v));
  assert_int_equal(v.count, 2);
  assert_int_equal(v.at[1].stream_count, 7);
  below.once = take_some;
  v.count = 0;
  assert_ok(pinned_snapshot(rig->cache, note, &v));
  assert_int_equal(v.count, 9 * 2);
  use_on_some_streams(rig); /* two have been used on as many */
  v.count = 0;
  assert_ok(pinned_snapshot(rig->cache, note, &v));
  below.once = take_some;
  assert_ok(pinned_walk(rig->cache, count_visits, &visits));
  assert_int_equal(visits, 17 * 2);
  assert_ok(pinned_record_history(rig->cache, 100, NULL, NULL));
  (void)pinned_rig_take(rig, 64 * KIB);
  below.once = take_some;
  look(rig);
  assert_int_equal(seen.count, 9 * 2); /* each a segment and a block */
}

static void an_event_that_was_handed_over_is_of_no_stream(void **state) {
  pinned_rig *rig = *state;
  view v = {.count = 0};
  void *ptr = pinned_rig_take(rig, 5000);
  assert_ok(pinned_record_event(rig->cache, ptr, sim_own_event(&rig->device, 3)));
  assert_ok(pinned_record_stream(rig->cache, ptr, 5));
  assert_ok(pinned_forget_stream(rig->cache, 5)); /* its use is an event from now on */
  assert_ok(pinned_snapshot(rig->cache, note, &v));
  assert_int_equal(v.at[1].stream_count, 0);
  assert_null(v.at[1].streams);
}

static void a_snapshot_without_memory_says_so(void **state) {
  pinned_rig *rig = *state;
  view v = {.count = 0};
  uint64_t fails;
  (void)pinned_rig_take(rig, 5000);
  for (fails = 1; fails <= 2; fails++) { /* either of both */
    below_fail(fails, false);
    assert_result(pinned_snapshot(rig->cache, note, &v), HOSTCACHE_ERR_NO_METADATA);
    below_fail_no_more();
    assert_int_equal(rig->heard.count, fails);
  }
  assert_int_equal(v.count, 0);
}

static void a_context_stays_when_another_one_listens(void **state) {
  pinned_rig *rig = *state;
  view v = {.count = 0};
  static size_t counts[16]; /* hears of the destroy as well */
  int next = 100;
  assert_ok(pinned_record_history(rig->cache, 100, count_up, &next));
  (void)pinned_rig_take(rig, 5000);
  assert_ok(pinned_attach_trace_tracker(rig->cache, count_actions, counts));
  assert_ok(pinned_snapshot(rig->cache, note, &v));
  assert_int_equal((uintptr_t)v.at[1].context, 101);
}

/* A context that is of an earlier hand-out is not shown. */
static void a_context_ends_with_the_history(void **state) {
  pinned_rig *rig = *state;
  view v = {.count = 0};
  int next = 0;
  assert_ok(pinned_record_history(rig->cache, 100, count_up, &next));
  (void)pinned_rig_take(rig, 5000);
  assert_ok(pinned_record_history(rig->cache, 0, NULL, NULL));
  assert_ok(pinned_snapshot(rig->cache, note, &v));
  assert_null(v.at[1].context);
}

static void what_is_null_is_an_argument_error(void **state) {
  pinned_rig *rig = *state;
  view v;
  assert_result(pinned_snapshot(NULL, note, &v), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_snapshot(rig->cache, NULL, &v), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_record_history(NULL, 1, NULL, NULL), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_history(NULL, show, &seen), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_history(rig->cache, NULL, &seen), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_attach_trace_tracker(NULL, show, &seen), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_attach_trace_tracker(rig->cache, NULL, &seen), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_attach_oom_observer(NULL, observe, &seen), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_attach_oom_observer(rig->cache, NULL, &seen), HOSTCACHE_ERR_ARGUMENT);
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { THREADS = 3, ROUNDS = 300, HELD = 4 };

static void *work(void *user) {
  pinned *cache = (pinned *)user;
  void *held[HELD] = {NULL};
  int i;
  for (i = 0; i < ROUNDS; i++) {
    void **at = &held[i % HELD];
    if (*at) expect_or_abort(pinned_free(cache, *at) == HOSTCACHE_OK);
    expect_or_abort(pinned_alloc(cache, (size_t)(1 + i % 3) * 16 * KIB, at) == HOSTCACHE_OK);
  }
  for (i = 0; i < HELD; i++) expect_or_abort(pinned_free(cache, held[i]) == HOSTCACHE_OK);
  return NULL;
}

static int look_at_all(void *user, const hostcache_range *range) {
  (void)user;
  expect_or_abort(range->size > 0);
  return 0;
}

static void ignore(void *user, const hostcache_trace *entry) {
  (void)user;
  (void)entry;
}

/* Whose records are those of threads that ended before there was a history. */
static void a_history_tells_of_threads_that_come_after_others(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  pthread_t thread;
  int part;
  pinned_rig_configure(rig, config);
  for (part = 0; part < 2; part++) {
    if (part == 1) assert_ok(pinned_record_history(rig->cache, MOST, NULL, NULL));
    assert_int_equal(pthread_create(&thread, NULL, work, rig->cache), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
  }
  look(rig);
  assert_int_equal(seen.count, 3 * ROUNDS);
}

/* Switched on and off while they work; at last it stays on, and must be a true story. */
static void threads_go_on_while_they_are_watched(void **state) {
  pinned_rig *rig = *state;
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  pthread_t threads[THREADS];
  size_t i, j;
  int round, part;
  pinned_rig_configure(rig, config);
  for (part = 0; part < 2; part++) {
    if (part == 1) assert_ok(pinned_record_history(rig->cache, MOST, NULL, NULL));
    for (i = 0; i < THREADS; i++)
      assert_int_equal(pthread_create(&threads[i], NULL, work, rig->cache), 0);
    for (round = 0; round < 30 && part == 0; round++) {
      assert_ok(pinned_record_history(rig->cache, round % 2 ? 0 : 64, NULL, NULL));
      assert_ok(pinned_snapshot(rig->cache, look_at_all, NULL));
      assert_ok(pinned_history(rig->cache, ignore, NULL));
      pinned_rig_check(rig);
      if (round == 20) assert_ok(pinned_attach_trace_tracker(rig->cache, ignore, NULL));
    }
    for (i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  }
  look(rig);
  assert_true(seen.count >= 3 * THREADS * ROUNDS);
  must_be_in_sequence(&seen);
  for (i = 0; i < seen.count; i++) { /* what follows next of the same address */
    const hostcache_trace *entry = &seen.at[i];
    if (entry->action > HOSTCACHE_TRACE_FREE_COMPLETED) continue;
    for (j = i + 1; j < seen.count; j++)
      if (seen.at[j].ptr == entry->ptr && seen.at[j].action <= HOSTCACHE_TRACE_FREE_COMPLETED)
        break;
    if (j == seen.count)
      assert_int_equal(entry->action, HOSTCACHE_TRACE_FREE_COMPLETED);
    else
      assert_int_equal(seen.at[j].action, (entry->action + 1) % 3);
  }
}

/* ---- memory that is not the cache's ---------------------------------------------------------- */

static void memory_pinned_elsewhere_is_in_the_history_and_the_snapshot(void **state) {
  pinned_rig *rig = *state;
  char *elsewhere = (char *)(uintptr_t)0x7000, *silent = (char *)(uintptr_t)0x90000;
  int next = 0;
  view v = {.count = 0}, later = {.count = 0};
  hostcache_stats stats;
  assert_ok(
      pinned_record_external_register(rig->cache, silent, 100)); /* before there is a history */
  assert_ok(pinned_record_history(rig->cache, 100, count_up, &next));
  assert_ok(pinned_record_external_register(rig->cache, elsewhere, 5000));
  assert_ok(pinned_snapshot(rig->cache, note, &v));
  assert_ok(pinned_record_external_unregister(rig->cache, elsewhere));
  look(rig);
  assert_int_equal(seen.count, 6);
  must_be(0, HOSTCACHE_TRACE_SEGMENT_ALLOC, elsewhere, 5000);
  must_be(1, HOSTCACHE_TRACE_ALLOC, elsewhere, 5000);
  assert_int_equal(seen.at[0].requested, 0);
  assert_int_equal(seen.at[1].requested, 5000);
  assert_null(seen.at[0].context);
  assert_non_null(seen.at[1].context);
  must_be(3, HOSTCACHE_TRACE_FREE_REQUESTED, elsewhere, 5000);
  must_be(4, HOSTCACHE_TRACE_FREE_COMPLETED, elsewhere, 5000);
  assert_ptr_equal(seen.at[4].context, seen.at[1].context);
  must_be(5, HOSTCACHE_TRACE_SEGMENT_FREE, elsewhere, 5000);
  assert_int_equal(seen.at[5].requested, 0);
  assert_null(seen.at[5].context);
  assert_int_equal(v.count, 4);
  assert_int_equal(v.at[0].kind, HOSTCACHE_VISIT_SEGMENT);
  assert_ptr_equal(v.at[0].ptr, silent);
  assert_int_equal(v.at[2].kind, HOSTCACHE_VISIT_SEGMENT);
  assert_int_equal(v.at[2].active_bytes, 5000);
  assert_int_equal(v.at[2].requested, 0); /* nor anything else of the one before it */
  assert_null(v.at[2].context);
  assert_int_equal(v.at[3].kind, HOSTCACHE_VISIT_ACTIVE);
  assert_ptr_equal(v.at[3].ptr, elsewhere);
  assert_int_equal(v.at[3].requested, 5000);
  assert_ptr_equal(v.at[3].context, seen.at[1].context);
  assert_ok(pinned_snapshot(rig->cache, note, &later));
  assert_int_equal(later.count, 2);
  stats = pinned_rig_stats(rig);
  assert_int_equal(stats.reserved_bytes.peak, 0); /* in no figure */
  assert_null(pinned_find(rig->cache, silent));
}

static void wrong_calls_about_memory_pinned_elsewhere_are_told(void **state) {
  pinned_rig *rig = *state;
  char *elsewhere = (char *)(uintptr_t)0x7000;
  assert_result(pinned_record_external_register(NULL, elsewhere, 1), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_record_external_register(rig->cache, NULL, 1), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_record_external_register(rig->cache, elsewhere, 0), HOSTCACHE_ERR_ARGUMENT);
  assert_result(pinned_record_external_unregister(rig->cache, elsewhere), HOSTCACHE_ERR_NOT_FOUND);
  below_fail(1, false);
  assert_result(pinned_record_external_register(rig->cache, elsewhere, 1),
                HOSTCACHE_ERR_NO_METADATA);
  below_fail_no_more();
  assert_ok(pinned_record_external_register(rig->cache, elsewhere, 1));
  assert_result(pinned_record_external_register(rig->cache, elsewhere, 2), HOSTCACHE_ERR_ARGUMENT);
  assert_ok(pinned_record_external_unregister(rig->cache, elsewhere));
  assert_result(pinned_record_external_unregister(rig->cache, elsewhere), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(pinned_record_external_unregister(NULL, elsewhere), HOSTCACHE_ERR_ARGUMENT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, pinned_rig_setup, pinned_rig_teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(memory_pinned_elsewhere_is_in_the_history_and_the_snapshot),
      TEST(wrong_calls_about_memory_pinned_elsewhere_are_told),
      TEST(a_history_tells_what_happened),
      TEST(without_a_history_nothing_is_recorded),
      TEST(a_history_keeps_the_last_entries),
      TEST(hits_are_recorded_too),
      TEST(a_free_that_is_refused_is_no_entry),
      TEST(memory_that_is_none_is_no_entry),
      TEST(the_users_context_stays_with_the_block),
      TEST(a_history_without_memory_changes_nothing),
      cmocka_unit_test(every_action_has_a_string),
      TEST(trackers_hear_of_each_entry),
      TEST(what_trackers_hear_of_again_needs_no_more_memory),
      TEST(what_a_callback_frees_is_told_by_the_next_call),
      TEST(what_is_to_be_told_stays_when_there_is_more_to_tell),
      TEST(what_there_is_no_room_to_tell_is_lost_and_nothing_else),
      TEST(a_tracker_without_memory_for_it_hears_nothing),
      TEST(a_tracker_hears_nothing_of_what_was_before_it),
      TEST(two_trackers_may_be_attached_at_once),
      TEST(want_of_memory_that_nobody_observes_is_an_error_all_the_same),
      TEST(observers_hear_of_want_of_memory),
      TEST(a_snapshot_shows_segments_with_their_blocks),
      TEST(a_snapshot_shows_the_streams_that_are_waited_for_still),
      TEST(a_snapshot_shows_the_stream_of_what_it_was_used_on),
      TEST(a_snapshot_ends_where_the_visitor_says),
      TEST(what_comes_meanwhile_is_shown_too),
      TEST(an_event_that_was_handed_over_is_of_no_stream),
      TEST(a_snapshot_without_memory_says_so),
      TEST(a_context_stays_when_another_one_listens),
      TEST(a_context_ends_with_the_history),
      TEST(what_is_null_is_an_argument_error),
      TEST(a_history_tells_of_threads_that_come_after_others),
      TEST(threads_go_on_while_they_are_watched),
  };
  return cmocka_run_group_tests_name("trace", tests, NULL, NULL);
}
