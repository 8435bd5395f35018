/* floor.c - see floor.h. */

#include "floor.h"

#include <stdlib.h>

enum { STEPS = 8, CLASSES = 64 * STEPS, USES = 4 };

struct floor_block {
  floor_block *next; /* in a list */
  void *ptr;
  unsigned size_class;
  unsigned uses;    /* before it is freed */
  unsigned waiting; /* after: uses that are not known to be done */
  device_stream *streams[USES];
};

typedef struct waiting {
  device_event event;
  floor_block *block;
} waiting;

/* A ring; head == tail: empty. */
typedef struct queue {
  waiting *ring;
  size_t head, tail, mask;
  int listed; /* in `busy` */
} queue;

static __thread struct floor_thread {
  floor_block *lists[CLASSES];
  queue queues[DEVICE_STREAMS];
  queue *busy[DEVICE_STREAMS]; /* those that were ever used */
  unsigned busy_count;
} mine;

/* What is rare stands apart, so that the rest saves no registers for it. */
#define RARE __attribute__((noinline))

/* Sizes from class c - 1, not included, to class c, included: (8 + step) << shift. */
static unsigned class_of(size_t size) {
  const unsigned top = 63u - (unsigned)__builtin_clzll(size - 1);
  return top * STEPS + (unsigned)(((size - 1) >> (top - 3)) % STEPS);
}

static size_t size_of(unsigned size_class) {
  return (size_t)(STEPS + size_class % STEPS + 1) << (size_class / STEPS - 3);
}

static RARE void grow(queue *q) {
  const size_t size = q->mask ? 2 * (q->mask + 1) : 64;
  waiting *ring = (waiting *)malloc(size * sizeof *ring);
  size_t i;
  if (!ring) abort();
  for (i = q->head; i != q->tail; i++) ring[i & (size - 1)] = q->ring[i & q->mask];
  free(q->ring);
  q->ring = ring;
  q->mask = size - 1;
  if (!q->listed) mine.busy[mine.busy_count++] = q;
  q->listed = 1;
}

static void push(floor_block *block, device_stream *stream) {
  queue *q = &mine.queues[stream - device_streams];
  waiting *last;
  if (q->tail - q->head >= q->mask) grow(q);
  last = &q->ring[q->tail++ & q->mask];
  last->event = device_record(stream);
  last->block = block;
}

static void put(floor_block *block) {
  block->next = mine.lists[block->size_class];
  mine.lists[block->size_class] = block;
}

static void poll(void) {
  unsigned i;
  for (i = 0; i < mine.busy_count; i++) {
    queue *q = mine.busy[i];
    while (q->head != q->tail && device_is_done(&q->ring[q->head & q->mask].event)) {
      floor_block *block = q->ring[q->head++ & q->mask].block;
      if (--block->waiting == 0) put(block);
    }
  }
}

static RARE floor_block *fresh(device_memory *memory, unsigned size_class) {
  floor_block *block = (floor_block *)calloc(1, sizeof *block);
  if (!block || device_get(memory, size_of(size_class), &block->ptr) != 0) return NULL;
  block->size_class = size_class;
  return block;
}

static RARE floor_block *polled(device_memory *memory, unsigned size_class) {
  floor_block *block;
  poll();
  block = mine.lists[size_class];
  if (!block) return fresh(memory, size_class);
  mine.lists[size_class] = block->next;
  return block;
}

floor_block *floor_get(device_memory *memory, size_t size) {
  const unsigned size_class = class_of(size);
  floor_block *block = mine.lists[size_class];
  if (!block) return polled(memory, size_class);
  mine.lists[size_class] = block->next;
  return block;
}

void floor_use(floor_block *block, device_stream *stream) {
  block->streams[block->uses++] = stream;
}

static RARE void give_used(floor_block *block) {
  const unsigned uses = block->uses;
  unsigned i;
  block->uses = 0;
  block->waiting = uses;
  for (i = 0; i < uses; i++) push(block, block->streams[i]);
}

void floor_give(floor_block *block) {
  if (block->uses)
    give_used(block);
  else
    put(block);
}
