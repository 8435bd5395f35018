/* check.c - tests section 13 of the header: check and walk.

   Promises: for each invariant that check knows, breaking it gives HOSTCACHE_ERR_CORRUPT and
   on_error hears its sentence, and mending it gives HOSTCACHE_OK again; check and walk may run at
   any time; walk shows every segment and its range, by address. (That no sentence is missing here
   is a rule of compile/lint.py.)

   The cache is emitted into this file, so that the tests can reach its insides. The runtime below
   completes work when `done` is set, and gives addresses that nobody can read. */

#include <stdbool.h>
#include <stdint.h>

typedef struct device {
  uintptr_t next;
  bool done;
  bool free_fails;
  int events;
} device;

#define HC_NAME insides
#define HC_POOLS
#define HC_DEVICE_ALLOCATOR
#define HC_STREAM_ORDERED
#define HC_STREAM_T int
#define HC_EVENT_T int
#define HC_CTX_T device *
#define HC_MEM_ALLOC(d, size, align, out) \
  ((void)(align), *(out) = (void *)(d)->next, (d)->next += (size) + 65536, hostcache_done())
#define HC_MEM_FREE(d, ptr, size) \
  ((void)(ptr), (void)(size), (d)->free_fails ? hostcache_failed(1) : hostcache_done())
#define HC_EVENT_CREATE(d, stream, event) \
  ((void)(stream), *(event) = ++(d)->events, hostcache_done())
#define HC_EVENT_DESTROY(d, event) ((void)(d), (void)(event), hostcache_done())
#define HC_EVENT_RECORD(d, event, stream) \
  ((void)(d), (void)(event), (void)(stream), hostcache_done())
#define HC_EVENT_QUERY(d, event) ((void)(event), (d)->done ? hostcache_done() : hostcache_pending())
#define HC_STATIC
#include "hostcache.h"

#define HC_NAME tensors
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#define HC_CTX_T device *
#define HC_MEM_ALLOC(d, size, align, out) \
  ((void)(align), *(out) = (void *)(d)->next, (d)->next += (size) + 65536, hostcache_done())
#define HC_MEM_FREE(d, ptr, size) ((void)(d), (void)(ptr), (void)(size), hostcache_done())
#define HC_STATIC
#include "hostcache.h"

#include "helpers.h"

/* What the tests break: a cache that has a block in each state.

     active[0]  marked by streams 1 to 6, and with two events, which together need
                memory of their own                                                64 KiB
     active[1]  without a use                                                      64 KiB
     waiting    for streams 1 and 2                                                64 KiB
     behind     for stream 1, behind `waiting`                                     64 KiB
     loose[2]   for an event each that was handed over                             64 KiB
     cached[2]  idle segments                                                      64 KiB
     large[2]   likewise, 2 MiB and 3 MiB
     part[3]    of one segment, the second of them cached, as is what is over      1 KiB
     stocked[2] of the same segment, in this thread's stock, the second on top     2 KiB
     a batch of 16 of that size, also of this segment, in a shared bin
     and stream 7, which was used and has an event in its pool */
typedef struct scene {
  device device;
  heard heard;
  insides *cache;
  insides_block *active[2], *waiting, *behind, *loose[2], *cached[2], *large[2], *part[3];
  insides_block *stocked[2];
} scene;

static insides_block *get(scene *s, size_t size) {
  insides_block *block = NULL;
  assert_ok(insides_block_alloc(s->cache, size, &block));
  return block;
}

/* Frees 18 blocks: the 17th is more than the stock may hold, so it goes to the shared bin, with all
   before it but the first. */
static void stock_up(scene *s) {
  insides_block *blocks[18];
  size_t i;
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = get(s, 2 * KIB);
  for (i = 0; i < COUNT_OF(blocks); i++) assert_ok(insides_block_free(s->cache, blocks[i]));
  s->stocked[0] = blocks[0];
  s->stocked[1] = blocks[17];
}

static int set_scene(void **state) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  scene *s = calloc(1, sizeof *s);
  int stream;
  if (!s) return -1;
  s->device.next = 65536;
  config.segment_bytes = 64 * KIB;
  config.thread_cache_bytes = 32 * KIB;
  config.on_error = hear;
  config.on_error_user = &s->heard;
  assert_ok(insides_create(&s->cache, &config, &s->device));

  s->device.done =
      true; /* stream 7 leaves an event in its pool, on a block that the next but one reuses */
  s->waiting = get(s, 64 * KIB);
  assert_ok(insides_block_record_stream(s->cache, s->waiting, 7));
  assert_ok(insides_block_free(s->cache, s->waiting));
  assert_ok(insides_process_events(s->cache, NULL));
  s->device.done = false;

  s->active[0] = get(s, 64 * KIB);
  for (stream = 1; stream <= 6; stream++)
    assert_ok(insides_block_record_stream(s->cache, s->active[0], stream));
  assert_ok(insides_block_record_event(s->cache, s->active[0], 102));
  assert_ok(insides_block_record_event(s->cache, s->active[0], 103));
  s->active[1] = get(s, 64 * KIB - 100);
  s->waiting = get(s, 64 * KIB);
  s->behind = get(s, 64 * KIB);
  s->loose[0] = get(s, 64 * KIB);
  s->loose[1] = get(s, 64 * KIB);
  s->cached[0] = get(s, 64 * KIB);
  s->cached[1] = get(s, 64 * KIB);
  s->large[0] = get(s, 2 * MIB);
  s->large[1] = get(s, 3 * MIB);
  s->part[0] = get(s, 1 * KIB);
  s->part[1] = get(s, 1 * KIB);
  s->part[2] = get(s, 1 * KIB);
  assert_ok(insides_block_free(s->cache, s->part[1]));
  assert_ok(insides_trim(s->cache, SIZE_MAX)); /* part[1] leaves the stock for a heap */
  stock_up(s);
  assert_ok(insides_block_record_stream(s->cache, s->waiting, 1));
  assert_ok(insides_block_record_stream(s->cache, s->waiting, 2));
  assert_ok(insides_block_free(s->cache, s->waiting));
  assert_ok(insides_block_record_stream(s->cache, s->behind, 1));
  assert_ok(insides_block_free(s->cache, s->behind));
  assert_ok(insides_block_record_event(s->cache, s->loose[0], 100));
  assert_ok(insides_block_free(s->cache, s->loose[0]));
  assert_ok(insides_block_record_event(s->cache, s->loose[1], 101));
  assert_ok(insides_block_free(s->cache, s->loose[1]));
  assert_ok(insides_block_free(s->cache, s->cached[0]));
  assert_ok(insides_block_free(s->cache, s->cached[1]));
  assert_ok(insides_block_free(s->cache, s->large[0]));
  assert_ok(insides_block_free(s->cache, s->large[1]));
  assert_ok(insides_check(s->cache));
  *state = s;
  return 0;
}

static int strike_scene(void **state) {
  scene *s = *state;
  s->device.done = true;
  s->device.free_fails = false;
  assert_ok(insides_check(s->cache));
  assert_ok(insides_block_free(s->cache, s->active[0]));
  assert_ok(insides_block_free(s->cache, s->active[1]));
  assert_ok(insides_block_free(s->cache, s->part[0]));
  assert_ok(insides_block_free(s->cache, s->part[2]));
  assert_ok(insides_destroy(s->cache));
  free(s);
  return 0;
}

/* The invariant is told to be broken, in these words. */
static void assert_broken(scene *s, const char *sentence) {
  uint64_t before = s->heard.of[-HOSTCACHE_ERR_CORRUPT];
  assert_result(insides_check(s->cache), HOSTCACHE_ERR_CORRUPT);
  assert_int_equal(s->heard.of[-HOSTCACHE_ERR_CORRUPT], before + 1);
  assert_string_equal(s->heard.what, sentence);
}

/* Sets a field, sees the sentence, and sets it back. */
#define BREAK(field, value, sentence)     \
  do {                                    \
    __typeof__(field) *field_ = &(field); \
    __typeof__(field) before_ = *field_;  \
    *field_ = (value);                    \
    assert_broken(s, sentence);           \
    *field_ = before_;                    \
    assert_ok(insides_check(s->cache));   \
  } while (0)

/* The same where something is broken before and after. */
#define BREAK_TOO(field, value, sentence) \
  do {                                    \
    __typeof__(field) *field_ = &(field); \
    __typeof__(field) before_ = *field_;  \
    *field_ = (value);                    \
    assert_broken(s, sentence);           \
    *field_ = before_;                    \
  } while (0)

/* What `life` of a block says when it is in that state. */
static size_t life_in(const insides_block *block, unsigned in) {
  return (block->life & ~(size_t)HOSTCACHE_STATE_MASK) | in;
}

static struct insides_i_thread *own(scene *s) { return insides_i_here_already(s->cache); }

static struct insides_i_lane *lane_of(scene *s, int stream) {
  struct insides_i_lane *lane = insides_i_lane_of(s->cache, stream);
  assert_non_null(lane);
  return lane;
}

static struct insides_i_queue *queue_of(scene *s, int stream) {
  struct insides_i_queue *queue = insides_i_queue_of(own(s), lane_of(s, stream));
  assert_non_null(queue);
  return queue;
}

/* The bin of the thread's stock, and the batch of the shared bin. */
static struct insides_i_bin *bin_of(scene *s) { return &own(s)->bins[s->stocked[0]->bin]; }
static insides_block *batch_of(scene *s) { return s->cache->batches[s->stocked[0]->bin]; }

/* ---- the index of segments ---- */

static void a_segment_stands_in_the_index_under_its_address(void **state) {
  scene *s = *state;
  BREAK(s->active[1]->segment->ptr, (char *)s->active[1]->ptr + 4096,
        "a segment stands in the index under its address");
}

static void segments_do_not_overlap(void **state) {
  scene *s = *state;
  BREAK(s->active[0]->segment->size, s->active[0]->segment->size + 2 * MIB,
        "segments do not overlap");
  BREAK(s->large[1]->segment->size, 4 * MIB, "segments do not overlap");
}

static void a_segment_is_a_multiple_of_the_page(void **state) {
  scene *s = *state;
  BREAK(s->active[1]->segment->size, 65537, "a segment is a multiple of the page");
  BREAK(s->active[1]->segment->size, 0, "a segment is a multiple of the page");
}

static void a_block_is_a_segment_of_its_own(void **state) {
  device d = {.next = 65536};
  heard ear = {0};
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  tensors *of;
  tensors_block *blocks[2];
  (void)state;
  config.on_error = hear;
  config.on_error_user = &ear;
  assert_ok(tensors_create(&of, &config, &d));
  assert_ok(tensors_block_alloc(of, 100, &blocks[0]));
  assert_ok(tensors_block_alloc(of, 100, &blocks[1]));
  assert_ok(tensors_check(of));
  blocks[0]->right = blocks[1];
  assert_result(tensors_check(of), HOSTCACHE_ERR_CORRUPT);
  assert_string_equal(ear.what, "a block is a segment of its own");
  blocks[0]->right = NULL;
  blocks[0]->segment->size = 100; /* where there are no pages, of the alignment */
  assert_result(tensors_check(of), HOSTCACHE_ERR_CORRUPT);
  assert_string_equal(ear.what, "a segment is a multiple of the page");
  blocks[0]->segment->size = 128;
  assert_ok(tensors_check(of));
  assert_ok(tensors_block_free(of, blocks[0]));
  assert_ok(tensors_block_free(of, blocks[1]));
  assert_ok(tensors_destroy(of));
}

static void a_range_knows_its_segment(void **state) {
  scene *s = *state;
  BREAK(s->active[1]->segment, s->active[0]->segment, "a range knows its segment");
}

static void a_block_lies_in_a_segment(void **state) {
  scene *s = *state;
  s->device.free_fails = true;
  assert_result(insides_empty_cache(s->cache), HOSTCACHE_ERR_LEAKED);
  assert_ok(insides_check(s->cache));
  BREAK(s->cached[0]->segment, NULL, "a block lies in a segment");
  assert_ok(insides_check(s->cache));
  insides_abandon(s->cache);
  free(s);
  assert_int_equal(set_scene(state), 0);
}

static void a_block_in_the_index_has_memory(void **state) {
  scene *s = *state;
  BREAK(s->active[1]->life, life_in(s->active[1], HOSTCACHE_SPARE),
        "a block in the index has memory");
  BREAK(s->active[1]->life, life_in(s->active[1], HOSTCACHE_LEAKED),
        "a block in the index has memory");
}

static void the_ranges_of_a_segment_follow_each_other_without_a_gap(void **state) {
  scene *s = *state;
  const char *sentence = "the ranges of a segment follow each other without a gap";
  insides_block *next = get(s, 5 * MIB), *before = get(s, 40 * KIB), *last = get(s, 4 * KIB);
  const size_t up_to_next = (uintptr_t)next->ptr - (uintptr_t)last->ptr;
  BREAK(last->size, up_to_next + 1, sentence); /* so far that it is another segment's as well */
  assert_ok(insides_block_free(s->cache, next));
  assert_ok(insides_block_free(s->cache, before));
  assert_ok(insides_block_free(s->cache, last));
  BREAK(s->active[1]->size, 64 * KIB + 512, sentence);
  BREAK(s->active[1]->size, 64 * KIB - 512, sentence);
  BREAK(s->active[1]->size, 0, sentence);
  BREAK(s->part[2]->ptr, (char *)s->part[2]->ptr + 512, sentence);
  BREAK(s->part[0]->right, NULL, sentence);
}

static void ranges_are_linked_both_ways(void **state) {
  scene *s = *state;
  BREAK(s->part[0]->left, s->part[2], "ranges are linked both ways");
  BREAK(s->part[2]->left, s->part[0], "ranges are linked both ways");
}

static void a_block_is_aligned(void **state) {
  scene *s = *state;
  s->part[0]->size -= 256;
  s->part[1]->ptr = (char *)s->part[1]->ptr - 256;
  assert_broken(s, "a block is aligned");
  s->part[1]->ptr = (char *)s->part[1]->ptr + 256;
  s->part[0]->size += 256;
}

static void ready_ranges_do_not_stand_side_by_side(void **state) {
  scene *s = *state;
  const uint8_t bin = s->part[2]->bin;
  s->part[2]->life = life_in(s->part[2], HOSTCACHE_CACHED);
  s->part[2]->is_ready = 1;
  s->part[2]->bin = s->part[1]->bin;
  assert_broken(s, "ready ranges do not stand side by side");
  s->part[2]->life = life_in(s->part[2], HOSTCACHE_ACTIVE);
  s->part[2]->is_ready = 0;
  s->part[2]->bin = bin;
}

static void a_block_is_found_by_its_first_address_and_its_last(void **state) {
  scene *s = *state;
  const char *sentence = "a block is found by its first address and its last";
  hostcache_shelves spare = {{NULL, NULL}, {0, 0}};
  uint64_t first = (uintptr_t)s->active[1]->ptr;
  hostcache_index_remove(&s->cache->index, first);
  assert_broken(s, sentence);
  hostcache_index_add(&s->cache->index, first, s->active[0], &spare);
  assert_broken(s, sentence);
  hostcache_index_remove(&s->cache->index, first);
  hostcache_index_add(&s->cache->index, first, s->active[0], &spare); /* the first alone is wrong */
  hostcache_index_add(&s->cache->index, first + 8192, s->active[1], &spare);
  assert_broken(s, sentence);
  hostcache_index_remove(&s->cache->index, first + 8192);
  hostcache_index_remove(&s->cache->index, first);
  hostcache_index_add(&s->cache->index, first, s->active[1], &spare);
  assert_ok(insides_check(s->cache));
  hostcache_index_add(&s->cache->index, first + 8192, s->active[0], &spare);
  assert_broken(s, sentence);
  hostcache_index_remove(&s->cache->index, first + 8192);
}

static void a_block_is_in_the_index(void **state) {
  scene *s = *state;
  hostcache_shelves spare = {{NULL, NULL}, {0, 0}};
  uint64_t first = (uintptr_t)s->active[1]->ptr;
  hostcache_index_remove(&s->cache->index, first);
  BREAK_TOO(s->active[1]->is_indexed, 0, "a block is in the index");
  hostcache_index_add(&s->cache->index, first, s->active[1], &spare);
  assert_ok(insides_check(s->cache));
}

static void what_is_not_in_the_index_is_not_found_there(void **state) {
  scene *s = *state;
  const char *sentence = "what is not in the index is not found there";
  BREAK(s->active[1]->is_indexed, 0, sentence);
  BREAK(s->stocked[0]->is_indexed, 0, sentence);
  BREAK(s->cached[0]->is_indexed, 0, sentence);
}

static void what_is_held_was_claimed(void **state) {
  scene *s = *state;
  BREAK(s->cache->claimed, s->cache->claimed - 1, "what is held was claimed");
}

static void may_be_alike(scene *s, hostcache_node *node, const hostcache_node *above) {
  const uint64_t before = node->priority;
  node->priority = above->priority;
  assert_ok(insides_check(s->cache));
  node->priority = before;
}

static void the_index_is_a_heap_by_priority(void **state) {
  scene *s = *state;
  hostcache_node *node;
  BREAK(s->cache->by_address->priority, 0, "the index is a heap by priority");
  assert_non_null(s->cache->by_address->right);
  BREAK(s->cache->by_address->right->priority, UINT64_MAX, "the index is a heap by priority");
  may_be_alike(s, s->cache->by_address->right, s->cache->by_address);
  for (node = s->cache->by_address; node->left == NULL;) node = node->right;
  may_be_alike(s, node->left, node);
  BREAK(node->left->priority, UINT64_MAX, "the index is a heap by priority");
}

static void a_block_with_memory_is_in_the_index(void **state) {
  scene *s = *state;
  hostcache_node *node = &s->active[1]->segment->by_address;
  hostcache_tree_remove(&s->cache->by_address, node);
  assert_broken(s, "a block with memory is in the index");
  hostcache_tree_add(&s->cache->by_address, node, node->key, node->owner);
}

/* A segment that is on its way out may be in the index, but no record has that memory. */
static void what_is_in_the_index_has_a_block_with_memory(void **state) {
  static struct insides_i_segment segment;
  static insides_block range;
  scene *s = *state;
  segment.ptr = (void *)(s->device.next + MIB);
  segment.size = 4 * KIB;
  segment.first = &range;
  range.segment = &segment;
  range.ptr = segment.ptr;
  range.size = segment.size;
  range.life = life_in(&range, HOSTCACHE_LEAVING);
  s->cache->claimed += segment.size;
  hostcache_tree_add(&s->cache->by_address, &segment.by_address, (size_t)segment.ptr, &segment);
  assert_broken(s, "a block with memory is in the index");
  range.life = life_in(&range, HOSTCACHE_ACTIVE);
  assert_broken(s, "a block is in the index");
  hostcache_tree_remove(&s->cache->by_address, &segment.by_address);
  s->cache->claimed -= segment.size;
}

/* ---- what a block says of itself ---- */

static void a_block_knows_its_cache(void **state) {
  scene *s = *state;
  BREAK(s->cached[0]->cache, NULL, "a block knows its cache");
}

static void a_blocks_state_is_one_of_those_drawn(void **state) {
  scene *s = *state;
  BREAK(s->active[1]->life, life_in(s->active[1], HOSTCACHE_STATE_COUNT),
        "a block's state is one of those drawn");
}

static void a_spare_record_has_no_segment(void **state) {
  scene *s = *state;
  BREAK(s->cache->spares.blocks->segment, s->active[0]->segment, "a spare record has no segment");
}

static void a_block_is_at_least_as_large_as_the_request(void **state) {
  scene *s = *state;
  BREAK(s->active[1]->requested, 64 * KIB + 1, "a block is at least as large as the request");
  BREAK(s->waiting->requested, 0, "a block is at least as large as the request");
}

static void a_block_has_room_for_its_uses(void **state) {
  scene *s = *state;
  int i;
  for (i = 0; i < 5; i++) s->active[1]->in.uses[i].kind = HOSTCACHE_USE_EVENT;
  BREAK(s->active[1]->extra_uses, 6, "a block has room for its uses");
  s->active[1]->extra_uses = 5; /* one more than there is room for, as without memory for it */
  assert_ok(insides_check(s->cache));
  s->active[1]->extra_uses = 0;
  BREAK(s->active[1]->more_room, 4, "a block has room for its uses");
  BREAK(s->active[0]->more, NULL, "a block has room for its uses");
}

static void a_block_is_of_the_class_of_its_bin(void **state) {
  scene *s = *state;
  BREAK(s->active[1]->bin, 0, "a block is of the class of its bin");
  BREAK(s->part[0]->bin, (uint8_t)(s->part[0]->bin + 1), "a block is of the class of its bin");
  BREAK(s->part[0]->bin, 200, "a block is of the class of its bin"); /* there is no such bin */
}

static void only_an_active_block_is_marked(void **state) {
  scene *s = *state;
  BREAK(s->cached[0]->marks, 1, "only an active block is marked");
  BREAK(s->stocked[0]->marks_too, 1, "only an active block is marked");
  BREAK(s->waiting->marks, 1, "only an active block is marked");
}

static void only_a_block_that_waits_has_uses_outstanding(void **state) {
  scene *s = *state;
  BREAK(s->cached[0]->outstanding, 1, "only a block that waits has uses outstanding");
}

static void a_block_waits_for_something(void **state) {
  scene *s = *state;
  BREAK(s->behind->outstanding, 0, "a block waits for something");
}

static void a_use_is_of_a_known_kind(void **state) {
  scene *s = *state;
  BREAK(s->active[0]->in.uses[1].kind, HOSTCACHE_USE_EVENT + 1, "a use is of a known kind");
}

static void an_active_block_is_marked_by_a_stream_once(void **state) {
  scene *s = *state;
  struct insides_i_use *uses = s->active[0]->in.uses;
  uses[0].kind = uses[1].kind = HOSTCACHE_USE_STREAM;
  uses[0].stream = 1;
  uses[1].stream = 2;
  assert_ok(insides_check(s->cache));
  BREAK(uses[1].stream, 1, "an active block is marked by a stream once");
  uses[0].kind = uses[1].kind = HOSTCACHE_USE_EVENT;
}

/* ---- heaps ---- */

static void what_is_in_a_heap_is_ready_of_its_kind_and_of_its_pool(void **state) {
  scene *s = *state;
  const char *sentence = "what is in a heap is ready, of its kind, and of its pool";
  const hostcache_pool_id id = {1, 2};
  assert_ok(insides_retain_pool(s->cache, id));
  BREAK(s->large[0]->segment->kind, HOSTCACHE_KIND_SMALL, sentence);
  BREAK(s->large[0]->segment->pool, s->cache->pools, sentence);
  assert_ok(insides_release_pool(s->cache, id));
  insides_i_heap_add(s->cache, &s->cache->heaps[HOSTCACHE_KIND_LARGE], s->active[1]);
  s->active[1]->is_ready = 0;
  assert_broken(s, sentence);
  insides_i_heap_remove(s->cache, &s->cache->heaps[HOSTCACHE_KIND_LARGE], s->cached[0]);
  s->cached[0]->is_ready = 1;
  assert_broken(s, sentence); /* in its place */
  insides_i_heap_remove(s->cache, &s->cache->heaps[HOSTCACHE_KIND_LARGE], s->active[1]);
  insides_i_heap_add(s->cache, &s->cache->heaps[HOSTCACHE_KIND_LARGE], s->cached[0]);
}

static void the_pools_know_how_much_of_them_is_ready(void **state) {
  scene *s = *state;
  const char *sentence = "the pools know how much of them is ready";
  const hostcache_pool_id id = {1, 2};
  insides_block *block;
  BREAK(s->cache->pooled_bytes, 4096, sentence);
  assert_ok(insides_begin_allocate_to_pool(s->cache, id, NULL, NULL));
  assert_ok(insides_block_alloc(s->cache, 64 * KIB, &block));
  assert_ok(insides_block_free(s->cache, block));
  assert_ok(insides_end_allocate_to_pool(s->cache, id));
  BREAK(s->cache->pooled_bytes, 0, sentence);
  assert_ok(insides_release_pool(s->cache, id));
}

static void a_stream_knows_how_much_is_ready_for_it_alone(void **state) {
  scene *s = *state;
  const char *sentence = "a stream knows how much is ready for it alone";
  struct insides_i_order *order;
  insides_block *block;
  assert_ok(insides_block_alloc_on(s->cache, 64 * KIB, 9, &block));
  order = block->order;
  assert_ok(insides_block_free(s->cache, block));
  BREAK(order->bytes, 0, sentence);
  BREAK(s->cache->ordered_bytes, 0, sentence);
  BREAK(block->order, NULL, "what is in a heap is ready, of its kind, and of its pool");
  BREAK(s->large[1]->ready_from, NULL, "a ready range stands in the list of its size");
}

static void a_ready_range_stands_in_the_list_of_its_size(void **state) {
  scene *s = *state;
  const char *sentence = "a ready range stands in the list of its size";
  BREAK(s->large[1]->ready_class, 1, sentence);
  BREAK(s->large[1]->ready_from, NULL, sentence);
  s->large[1]->segment->size -= MIB;
  s->large[1]->size -= MIB;
  assert_broken(s, sentence);
  s->large[1]->segment->size += MIB;
  s->large[1]->size += MIB;
}

static void a_list_of_ready_ranges_ends(void **state) {
  scene *s = *state;
  BREAK(s->large[1]->ready_next, s->large[1], /* the last of all that is in the heaps */
        "what is in a heap is ready, of its kind, and of its pool");
}

static void a_heap_knows_which_of_its_lists_hold_something(void **state) {
  scene *s = *state;
  const char *sentence = "a heap knows which of its lists hold something";
  struct insides_i_heap *heap = &s->cache->heaps[HOSTCACHE_KIND_LARGE];
  size_t *filled = &heap->filled[s->large[1]->ready_class / HOSTCACHE_WORD_BITS];
  BREAK(heap->words, 0, sentence);
  BREAK(*filled, 0, sentence);
  BREAK(heap->filled[0], 1, sentence);
}

static void a_cached_block_is_in_a_heap(void **state) {
  scene *s = *state;
  const char *sentence = "a cached block is in a heap";
  BREAK(s->cached[0]->life, life_in(s->cached[0], HOSTCACHE_ACTIVE), sentence);
  BREAK(s->active[1]->life, life_in(s->active[1], HOSTCACHE_CACHED), sentence);
  BREAK(s->cached[0]->is_ready, 0, sentence);
  insides_i_heap_remove(s->cache, &s->cache->heaps[HOSTCACHE_KIND_LARGE], s->cached[0]);
  s->cached[0]->is_ready = 1;
  assert_broken(s, sentence);
  insides_i_heap_add(s->cache, &s->cache->heaps[HOSTCACHE_KIND_LARGE], s->cached[0]);
}

static void a_range_in_a_heap_has_no_bin(void **state) {
  scene *s = *state;
  BREAK(s->part[1]->bin, s->part[0]->bin, "a range in a heap has no bin");
}

/* Another one stands in place of the last. */
static void another_one_is_no_idle_segment(scene *s, struct insides_i_segment *other) {
  struct insides_i_segment *last = s->cache->idle_last;
  other->idle_previous = last->idle_previous;
  other->idle_next = NULL;
  s->cache->idle_last = other;
  BREAK_TOO(last->idle_previous->idle_next, other,
            "the idle segments are those that are one ready range");
  s->cache->idle_last = last;
}

/* The list ends before the last. */
static void the_last_idle_segment_is_left_out(scene *s) {
  struct insides_i_segment *last = s->cache->idle_last;
  s->cache->idle_last = last->idle_previous;
  BREAK_TOO(last->idle_previous->idle_next, NULL,
            "the idle segments are those that are one ready range");
  s->cache->idle_last = last;
}

static void the_idle_segments_are_those_that_are_one_ready_range(void **state) {
  scene *s = *state;
  const char *sentence = "the idle segments are those that are one ready range";
  BREAK(s->cache->idle_first, s->cache->idle_first->idle_next, sentence);
  BREAK(s->cache->idle_last, s->cache->idle_last->idle_previous, sentence);
  BREAK(s->cached[1]->segment->idle_next, NULL, sentence);
  BREAK(s->cached[1]->segment->idle_next, s->active[1]->segment, sentence);
  BREAK(s->cache->idle.in, s->cache->idle.in + 1, sentence);
  BREAK(s->cache->idle_last->idle_previous, NULL, sentence);
  BREAK(s->cache->idle_last->idle_next, s->cache->idle_first, sentence); /* a ring ends */
  the_last_idle_segment_is_left_out(s);
  s->active[1]->segment->idle_previous = s->cached[1]->segment;
  BREAK(s->cached[1]->segment->idle_next, s->active[1]->segment, sentence);
  another_one_is_no_idle_segment(s, s->active[1]->segment);
  assert_ok(insides_block_free(s->cache, s->part[0]));
  assert_ok(insides_trim(s->cache, SIZE_MAX)); /* now the first range of its segment is ready */
  s->part[2]->segment->idle_previous = s->cached[1]->segment;
  BREAK(s->cached[1]->segment->idle_next, s->part[2]->segment, sentence);
  another_one_is_no_idle_segment(s, s->part[2]->segment);
  s->part[0] = get(s, 1 * KIB);
}

/* ---- stocks and bins ---- */

static void what_is_in_a_stock_or_a_bin_is_stocked_there(void **state) {
  scene *s = *state;
  const char *sentence = "what is in a stock or a bin is stocked there";
  insides_block *last = batch_of(s)->in.batch.blocks[15];
  BREAK(s->stocked[0]->life, life_in(s->stocked[0], HOSTCACHE_ACTIVE), sentence);
  BREAK(last->life, life_in(last, HOSTCACHE_ACTIVE), sentence);
  last = batch_of(s)->in.batch.blocks[1];
  BREAK(last->life, life_in(last, HOSTCACHE_ACTIVE), sentence);
  BREAK(own(s)->bins[0].top, s->stocked[1], sentence);
  BREAK(s->cache->batches[0], batch_of(s), sentence);
  assert_ok(insides_trim(s->cache, SIZE_MAX)); /* the same of one that is alone there */
  last = get(s, 2 * KIB);
  assert_ok(insides_block_free(s->cache, last));
  BREAK(last->life, life_in(last, HOSTCACHE_ACTIVE), sentence);
}

static void what_is_in_a_stock_has_its_thread_for_a_home(void **state) {
  scene *s = *state;
  needs("threads", HOSTCACHE_THREADS != HOSTCACHE_THREADS_NONE);
  BREAK(s->stocked[0]->home, &s->cache->common, "what is in a stock has its thread for a home");
  BREAK(s->stocked[1]->home, &s->cache->common, "what is in a stock has its thread for a home");
}

static void a_stocked_block_has_no_uses(void **state) {
  scene *s = *state;
  BREAK(s->stocked[0]->extra_uses, 1, "a stocked block has no uses");
  BREAK(s->stocked[1]->extra_uses, UINT32_C(1) << 30, "a stocked block has no uses");
  BREAK(batch_of(s)->in.batch.blocks[15]->extra_uses, 1, "a stocked block has no uses");
}

static void a_stocked_block_is_in_one_stock_or_bin(void **state) {
  scene *s = *state;
  const char *sentence = "a stocked block is in one stock or bin";
  BREAK(s->stocked[0]->next, s->stocked[1], sentence); /* a ring ends */
  BREAK(batch_of(s)->next, batch_of(s), sentence);
  BREAK(s->cache->batches[s->stocked[0]->bin], NULL, sentence);
}

static void a_stock_knows_how_much_it_has(void **state) {
  scene *s = *state;
  const char *sentence = "a stock knows how much it has";
  assert_ptr_equal(bin_of(s)->top, s->stocked[1]);
  BREAK(bin_of(s)->top, s->stocked[0], sentence);
  BREAK(bin_of(s)->got, bin_of(s)->got + 1, sentence);
  BREAK(bin_of(s)->put, bin_of(s)->put + 1, sentence);
  BREAK(bin_of(s)->traded, bin_of(s)->traded - 1, sentence);
  BREAK(own(s)->stock_bytes, 2 * KIB, sentence);
}

static void the_bins_know_how_much_they_have(void **state) {
  scene *s = *state;
  BREAK(s->cache->binned_bytes, 0, "the bins know how much they have");
}

/* ---- queues ---- */

static void a_queue_knows_its_length(void **state) {
  scene *s = *state;
  BREAK(queue_of(s, 1)->length, 1, "a queue knows its length");
  BREAK(queue_of(s, 1)->length, 3, "a queue knows its length");
  BREAK(own(s)->loose.length, 0, "a queue knows its length");
}

static void a_queue_is_linked_both_ways(void **state) {
  scene *s = *state;
  BREAK(s->loose[1]->in.uses[0].previous, NULL, "a queue is linked both ways");
}

static void tickets_do_not_fall_along_a_queue(void **state) {
  scene *s = *state;
  BREAK(s->behind->in.uses[0].ticket, s->waiting->in.uses[0].ticket - 1,
        "tickets do not fall along a queue");
}

static void a_use_in_a_queue_is_queued(void **state) {
  scene *s = *state;
  BREAK(s->behind->in.uses[0].fate, HOSTCACHE_FATE_OVER, "a use in a queue is queued");
}

static void the_block_of_a_queued_use_waits(void **state) {
  scene *s = *state;
  BREAK(s->behind->in.uses[0].block, s->active[1], "the block of a queued use waits");
}

static void a_block_waits_in_its_homes_queues(void **state) {
  scene *s = *state;
  needs("threads", HOSTCACHE_THREADS != HOSTCACHE_THREADS_NONE);
  BREAK(s->behind->home, &s->cache->common, "a block waits in its home's queues");
  BREAK(s->loose[0]->home, NULL, "a block waits in its home's queues");
}

static void a_queue_ends_at_its_tail(void **state) {
  scene *s = *state;
  BREAK(queue_of(s, 1)->tail, queue_of(s, 1)->head, "a queue ends at its tail");
}

static void the_cursor_stands_in_the_loose_queue(void **state) {
  scene *s = *state;
  BREAK(own(s)->loose.cursor, &s->waiting->in.uses[0], "the cursor stands in the loose queue");
}

static void a_block_has_as_many_uses_outstanding_as_stand_in_queues(void **state) {
  scene *s = *state;
  BREAK(s->waiting->outstanding, 1, "a block has as many uses outstanding as stand in queues");
  BREAK(s->waiting->outstanding, 3, "a block has as many uses outstanding as stand in queues");
}

static void a_queue_stands_at_the_number_of_its_lane(void **state) {
  scene *s = *state;
  const char *sentence = "a queue stands at the number of its lane";
  BREAK(queue_of(s, 1)->lane, lane_of(s, 2), sentence);
  BREAK(queue_of(s, 1)->lane, NULL, sentence);
}

static void a_thread_counts_its_busy_queues(void **state) {
  scene *s = *state;
  assert_int_equal(own(s)->waiting, 3); /* of two streams, and the loose one */
  BREAK(own(s)->waiting, 4, "a thread counts its busy queues");
  BREAK(s->cache->common.waiting, 1, "a thread counts its busy queues");
}

/* ---- streams ---- */

static void a_pool_has_room_for_its_events(void **state) {
  scene *s = *state;
  assert_int_equal(queue_of(s, 7)->pool_count, 1);
  BREAK(queue_of(s, 7)->pool_count, queue_of(s, 7)->pool_room + 1,
        "a pool has room for its events");
}

static void a_stream_that_was_forgotten_pools_no_events(void **state) {
  scene *s = *state;
  const char *sentence = "a stream that was forgotten pools no events";
  BREAK(lane_of(s, 7)->live, 0, sentence);
  BREAK(own(s)->loose.pool_room, 1, sentence); /* which is of no stream */
  lane_of(s, 7)->leaving = 1;                  /* its pool goes last */
  BREAK(lane_of(s, 7)->live, 0, "a thread knows live lanes only");
  lane_of(s, 7)->leaving = 0;
  queue_of(s, 7)->claimed = 1; /* its claimer ends it */
  BREAK(lane_of(s, 7)->live, 0, "a thread knows live lanes only");
  queue_of(s, 7)->claimed = 0;
  s->cache->stats.num_barriers_refused = 1; /* then the pool could not be reached */
  BREAK(lane_of(s, 7)->live, 0, "a thread knows live lanes only");
  s->cache->stats.num_barriers_refused = 0;
}

/* Where a thread remembers a lane. */
static struct insides_i_lane **known_as(scene *s, const struct insides_i_lane *lane) {
  size_t i;
  for (i = 0; i < COUNT_OF(own(s)->known); i++)
    if (own(s)->known[i] == lane) return &own(s)->known[i];
  fail_msg("no place has the lane");
  return NULL;
}

static void a_thread_knows_live_lanes_only(void **state) {
  scene *s = *state;
  struct insides_i_lane *lane = lane_of(s, 2); /* the last that was marked but one */
  assert_ok(insides_block_record_stream(s->cache, s->active[1], 2));
  assert_ptr_equal(*known_as(s, lane), lane);
  BREAK(lane->live, 0, "a thread knows live lanes only");
}

static void the_live_lanes_are_those_in_the_table(void **state) {
  scene *s = *state;
  const char *sentence = "the live lanes are those in the table";
  struct insides_i_lane *lane, **bucket;
  assert_ok(insides_block_record_stream(s->cache, s->active[1], 8));
  lane = lane_of(s, 8);
  *known_as(s, lane) = NULL;
  bucket = &s->cache->buckets[insides_i_stream_bucket(8)];
  BREAK(lane->live, 0, sentence);
  BREAK(*bucket, lane->next, sentence);
  BREAK(lane->next, lane, sentence); /* a ring ends */
  BREAK(s->cache->retired, lane, sentence);
  BREAK(s->cache->leaving, lane, sentence);
  s->cache->lane_count++;
  BREAK_TOO(s->cache->retired, lane, sentence);
  BREAK_TOO(s->cache->leaving, lane, sentence);
  s->cache->lane_count--;
}

static void a_stream_is_found_in_the_table_once(void **state) {
  scene *s = *state;
  int twin = 4;
  while (insides_i_stream_bucket(twin) == insides_i_stream_bucket(3)) twin++;
  BREAK(lane_of(s, 3)->stream, twin,
        "a stream is found in the table, once"); /* in the wrong bucket */
  {
    struct insides_i_lane *lane = lane_of(s, 4); /* twice in one bucket */
    struct insides_i_lane **from = &s->cache->buckets[insides_i_stream_bucket(4)];
    struct insides_i_lane **to = &s->cache->buckets[insides_i_stream_bucket(3)];
    struct insides_i_lane *next = lane->next;
    assert_ptr_equal(*from, lane);
    *from = next;
    lane->next = *to;
    *to = lane;
    lane->stream = 3;
    assert_broken(s, "a stream is found in the table, once");
    lane->stream = 4;
    *to = lane->next;
    lane->next = next;
    *from = lane;
  }
}

/* ---- the figures ---- */

/* All of hostcache_stats that is a hostcache_stat, but for allocation, allocated_bytes and
   wasted_bytes, which are differences of the others. */
static void the_figures_equal_the_sum_over_the_blocks(void **state) {
  scene *s = *state;
  hostcache_stats *shared = &s->cache->stats;
  struct insides_i_thread *t = own(s);
  int64_t *counted[] = {&shared->segment.current,
                        &shared->reserved_bytes.current,
                        &shared->leaked.current,
                        &shared->leaked_bytes.current,
                        &shared->oversize_segments.current,
                        &s->cache->ready.in,
                        &s->cache->ready.in_bytes,
                        &s->cache->idle.in_bytes,
                        &t->used.in,
                        &t->used.in_bytes,
                        &t->requested.in_bytes,
                        &t->pending.in,
                        &t->pending.in_bytes,
                        &t->quarantined.in,
                        &t->quarantined.in_bytes,
                        &t->oversize.in};
  size_t i;
  for (i = 0; i < COUNT_OF(counted); i++)
    BREAK(*counted[i], *counted[i] - 1, "the figures equal the sum over the blocks");
  for (i = 0; insides_i_stat_by_number(shared, (unsigned)i) != NULL;) i++;
  assert_int_equal(i, COUNT_OF(counted) + 3);
}

/* The columns: what is counted of one pool only. */
static void the_columns_equal_the_sum_over_the_blocks(void **state) {
  scene *s = *state;
  struct insides_i_column *small = &s->cache->columns[0];
  struct insides_i_thread_column *mine = &own(s)->columns[0];
  struct insides_i_bin *bin = &own(s)->bins[s->stocked[0]->bin];
  int64_t *counted[] = {&small->segment.current,
                        &small->reserved_bytes.current,
                        &small->split.in,
                        &small->split.in_bytes,
                        &small->direct.in,
                        &small->direct.in_bytes,
                        &small->direct_requested.in_bytes,
                        &small->binned.now,
                        &small->binned_bytes.now,
                        &mine->handed.in,
                        &mine->handed.in_bytes,
                        &mine->used.in,
                        &mine->used.in_bytes,
                        &mine->requested.in_bytes,
                        &bin->large_got,
                        &bin->large_put,
                        &bin->large_traded};
  size_t i;
  for (i = 0; i < COUNT_OF(counted); i++)
    BREAK(*counted[i], *counted[i] - 1, "the figures equal the sum over the blocks");
}

static void the_figures_of_both_pools_add_up_to_those_of_all(void **state) {
  scene *s = *state;
  const char *sentence = "the figures of both pools add up to those of all";
  hostcache_stat *segment = &s->cache->columns[1].segment;
  BREAK(segment->allocated, segment->allocated + 1, sentence);
  BREAK(segment->freed, segment->freed + 1, sentence);
}

static void a_peak_is_not_below_its_current(void **state) {
  scene *s = *state;
  const char *sentence = "a peak is not below its current";
  BREAK(s->cache->columns[1].segment.peak, 1, sentence);
  BREAK(s->cache->lent.peak, 7, sentence); /* the eight that are active or pending */
  BREAK(s->cache->stats.segment.peak, 1, sentence);
}

/* ---- walk ---- */

typedef struct seen {
  hostcache_visit visits[64];
  size_t count, stop_after;
} seen;

static int look(void *user, const hostcache_visit *visit) {
  seen *all = user;
  assert_true(all->count < COUNT_OF(all->visits));
  all->visits[all->count++] = *visit;
  return all->count == all->stop_after;
}

static void walk_shows_every_segment_and_its_ranges_by_address(void **state) {
  scene *s = *state;
  size_t of_kind[6] = {0}, bytes = 0, left = 0, i;
  uintptr_t next = 0;
  seen all = {0};
  assert_ok(insides_walk(s->cache, look, &all));
  for (i = 0; i < all.count; i++) {
    const hostcache_visit *v = &all.visits[i];
    of_kind[v->kind]++;
    if (v->kind == HOSTCACHE_VISIT_SEGMENT) {
      assert_int_equal(left, 0); /* the ranges before filled theirs */
      assert_true((uintptr_t)v->ptr >= next);
      next = (uintptr_t)v->ptr;
      left = v->size;
      bytes += v->size;
    } else {
      assert_int_equal((uintptr_t)v->ptr, next);
      next += v->size;
      left -= v->size;
      assert_true((v->requested > 0) ==
                  (v->kind == HOSTCACHE_VISIT_ACTIVE || v->kind == HOSTCACHE_VISIT_PENDING));
    }
  }
  assert_int_equal(left, 0);
  assert_int_equal(of_kind[HOSTCACHE_VISIT_SEGMENT], 11);
  assert_int_equal(of_kind[HOSTCACHE_VISIT_ACTIVE], 4);
  assert_int_equal(of_kind[HOSTCACHE_VISIT_PENDING], 4);
  assert_int_equal(of_kind[HOSTCACHE_VISIT_CACHED], 6 + 18); /* those of stock and bin, too */
  assert_int_equal(bytes, s->cache->stats.reserved_bytes.current);
  assert_int_equal(all.visits[1].requested, 64 * KIB);
}

static void walk_stops_where_it_is_told_to(void **state) {
  scene *s = *state;
  seen all = {0};
  all.stop_after = 3;
  assert_ok(insides_walk(s->cache, look, &all));
  assert_int_equal(all.count, 3);
  assert_result(insides_walk(s->cache, NULL, NULL), HOSTCACHE_ERR_ARGUMENT);
}

static int change_the_cache(void *user, const hostcache_visit *visit) {
  scene *s = user;
  insides_block *block = get(s, 64 * KIB);
  (void)visit;
  assert_ok(insides_block_free(s->cache, block));
  assert_ok(insides_empty_cache(s->cache));
  assert_ok(insides_check(s->cache));
  return 0;
}

static void what_walk_calls_may_call_the_cache(void **state) {
  scene *s = *state;
  assert_ok(insides_walk(s->cache, change_the_cache, s));
}

static void walk_shows_what_leaked(void **state) {
  scene *s = *state;
  size_t leaked = 0, i;
  seen all = {0};
  s->device.free_fails = true;
  assert_result(insides_empty_cache(s->cache), HOSTCACHE_ERR_LEAKED);
  assert_ok(insides_walk(s->cache, look, &all));
  for (i = 0; i < all.count; i++) leaked += all.visits[i].kind == HOSTCACHE_VISIT_LEAKED;
  assert_int_equal(leaked, 4);
  assert_int_equal(all.count, 25);
  insides_abandon(s->cache);
  free(s);
  assert_int_equal(set_scene(state), 0);
}

#define ON_SCENE(test) cmocka_unit_test_setup_teardown(test, set_scene, strike_scene)

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_SCENE(a_segment_stands_in_the_index_under_its_address),
      ON_SCENE(segments_do_not_overlap),
      ON_SCENE(a_segment_is_a_multiple_of_the_page),
      cmocka_unit_test(a_block_is_a_segment_of_its_own),
      ON_SCENE(a_range_knows_its_segment),
      ON_SCENE(a_block_lies_in_a_segment),
      ON_SCENE(a_block_in_the_index_has_memory),
      ON_SCENE(the_ranges_of_a_segment_follow_each_other_without_a_gap),
      ON_SCENE(ranges_are_linked_both_ways),
      ON_SCENE(a_block_is_aligned),
      ON_SCENE(ready_ranges_do_not_stand_side_by_side),
      ON_SCENE(a_block_is_found_by_its_first_address_and_its_last),
      ON_SCENE(a_block_is_in_the_index),
      ON_SCENE(what_is_not_in_the_index_is_not_found_there),
      ON_SCENE(what_is_held_was_claimed),
      ON_SCENE(the_index_is_a_heap_by_priority),
      ON_SCENE(a_block_with_memory_is_in_the_index),
      ON_SCENE(what_is_in_the_index_has_a_block_with_memory),
      ON_SCENE(a_block_knows_its_cache),
      ON_SCENE(a_blocks_state_is_one_of_those_drawn),
      ON_SCENE(a_spare_record_has_no_segment),
      ON_SCENE(a_block_is_at_least_as_large_as_the_request),
      ON_SCENE(a_block_has_room_for_its_uses),
      ON_SCENE(a_block_is_of_the_class_of_its_bin),
      ON_SCENE(only_an_active_block_is_marked),
      ON_SCENE(only_a_block_that_waits_has_uses_outstanding),
      ON_SCENE(a_block_waits_for_something),
      ON_SCENE(a_use_is_of_a_known_kind),
      ON_SCENE(an_active_block_is_marked_by_a_stream_once),
      ON_SCENE(what_is_in_a_heap_is_ready_of_its_kind_and_of_its_pool),
      ON_SCENE(the_pools_know_how_much_of_them_is_ready),
      ON_SCENE(a_stream_knows_how_much_is_ready_for_it_alone),
      ON_SCENE(a_ready_range_stands_in_the_list_of_its_size),
      ON_SCENE(a_list_of_ready_ranges_ends),
      ON_SCENE(a_heap_knows_which_of_its_lists_hold_something),
      ON_SCENE(a_cached_block_is_in_a_heap),
      ON_SCENE(a_range_in_a_heap_has_no_bin),
      ON_SCENE(the_idle_segments_are_those_that_are_one_ready_range),
      ON_SCENE(what_is_in_a_stock_or_a_bin_is_stocked_there),
      ON_SCENE(what_is_in_a_stock_has_its_thread_for_a_home),
      ON_SCENE(a_stocked_block_has_no_uses),
      ON_SCENE(a_stocked_block_is_in_one_stock_or_bin),
      ON_SCENE(a_stock_knows_how_much_it_has),
      ON_SCENE(the_bins_know_how_much_they_have),
      ON_SCENE(a_queue_knows_its_length),
      ON_SCENE(a_queue_is_linked_both_ways),
      ON_SCENE(tickets_do_not_fall_along_a_queue),
      ON_SCENE(a_use_in_a_queue_is_queued),
      ON_SCENE(the_block_of_a_queued_use_waits),
      ON_SCENE(a_block_waits_in_its_homes_queues),
      ON_SCENE(a_queue_ends_at_its_tail),
      ON_SCENE(the_cursor_stands_in_the_loose_queue),
      ON_SCENE(a_block_has_as_many_uses_outstanding_as_stand_in_queues),
      ON_SCENE(a_queue_stands_at_the_number_of_its_lane),
      ON_SCENE(a_thread_counts_its_busy_queues),
      ON_SCENE(a_pool_has_room_for_its_events),
      ON_SCENE(a_stream_that_was_forgotten_pools_no_events),
      ON_SCENE(a_thread_knows_live_lanes_only),
      ON_SCENE(the_live_lanes_are_those_in_the_table),
      ON_SCENE(a_stream_is_found_in_the_table_once),
      ON_SCENE(the_figures_equal_the_sum_over_the_blocks),
      ON_SCENE(the_columns_equal_the_sum_over_the_blocks),
      ON_SCENE(the_figures_of_both_pools_add_up_to_those_of_all),
      ON_SCENE(a_peak_is_not_below_its_current),
      ON_SCENE(walk_shows_every_segment_and_its_ranges_by_address),
      ON_SCENE(walk_stops_where_it_is_told_to),
      ON_SCENE(what_walk_calls_may_call_the_cache),
      ON_SCENE(walk_shows_what_leaked),
  };
  return cmocka_run_group_tests_name("check", tests, NULL, NULL);
}
