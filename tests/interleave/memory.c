/* memory.c - what the threads of an explored program see, and whether they race.

   Order. Each thread has a vector clock; giving a lock back or storing with release hands it on,
   taking the lock or loading with acquire what was stored takes it over. One access *happens
   before* another if its thread's clock at that time has come to the other's thread.

   Atomics. A location remembers its last stores. A load may see any of them, but none that
   is older than one that happens before the load, and none older than what the thread has seen
   there already. An exchange sees the newest. A plain write starts the history anew.

   Races. The program is compiled with -fsanitize=thread, but not linked with it: the functions that
   the compiler calls before each access stand here. For every byte of watched memory
   (explore_malloc, and the program's own statics) each thread's last accesses are known by its
   clock; two of different threads, of which one writes and one is plain, race unless one happens
   before the other. That is so whether or not they met in this schedule. Stacks are not watched.

   Freed memory is never used again in a schedule, and any access to it is a failure. A free counts
   as a write.

   Not modelled: loads that see stores which come later in the program's order (load buffering), and
   stores of one location that change their places; sequentially consistent operations; consume.
   The barriers are those of asymmetric fences, and order atomics only. Of a location the last
   MOST_STORES stores can be seen. Accesses that the compiler takes out, or moves, are seen as it
   compiled them. */

#define _GNU_SOURCE /* mmap's flags */

#include "internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum {
  ARENA_BYTES = 1 << 20,
  WORD = 8,
  MOST_STORES = 8,
  MOST_LOCATIONS = 4096,
  MOST_DIVIDED = 16384
};

/* How a byte is accessed, and what that races with. */
enum { PLAIN_READ, PLAIN_WRITE, ATOMIC_READ, ATOMIC_WRITE, WAYS, ANY_WAY = WAYS };
static const char *const way_names[WAYS] = {"reads", "writes", "reads (atomic)", "writes (atomic)"};
static const unsigned char conflicts[WAYS][WAYS] = {
    [PLAIN_READ] = {0, 1, 0, 1},
    [PLAIN_WRITE] = {1, 1, 1, 1},
    [ATOMIC_READ] = {0, 1, 0, 0},
    [ATOMIC_WRITE] = {1, 1, 0, 0},
};

/* Each thread's clock when it last accessed something in a way, or in any; 0: never. */
typedef uint16_t accesses[EXPLORE_THREADS][WAYS + 1];

typedef struct cell { /* of one word of watched memory */
  accesses last;
  uint16_t bytes;        /* 0: `last` is of all bytes. Else one more than where they stand apart */
  uint16_t locations[2]; /* of its halves, plus one; 0: none */
  uint8_t touched, written; /* in this schedule */
  uint64_t before;          /* what stood there when the schedule began */
} cell;

typedef struct explore_clock { /* a vector clock */
  uint16_t at[EXPLORE_THREADS + 1];
} explore_clock;

typedef struct kept_store {
  uint64_t value;
  explore_clock released; /* what a load with acquire takes over */
  uint16_t clock;         /* of the thread that stored it; 0: it happens before everything */
  uint8_t thread;
} kept_store;

typedef struct location {
  kept_store stores[MOST_STORES]; /* oldest first */
  unsigned count;                 /* 0: to be read from memory */
  /* Places in `stores`: the oldest that each thread may see; the same at its last light barrier;
     and for all that came to a light barrier after the last heavy one. */
  unsigned seen[EXPLORE_THREADS], lit[EXPLORE_THREADS], heavy;
} location;

typedef struct allocation {
  size_t at, size;
  bool live;
} allocation;

static struct memory {
  unsigned char *arena;
  size_t used;
  uint8_t *live; /* for each word of the arena */
  cell *cells;   /* first the arena's words, then those of the statics */
  size_t cell_count;
  unsigned *touched;
  size_t touched_count;
  allocation allocations[1024];
  size_t allocation_count, live_count;
  accesses (*divided)[WORD]; /* of words that were accessed in part */
  size_t divided_count;
  location *locations;
  size_t location_count;
  explore_clock clocks[EXPLORE_THREADS];
  unsigned threads;
  struct {
    size_t used, allocation_count, live_count;
    bool was_live[1024];
  } kept;
  bool has_kept;
  size_t raced, watched; /* a word, plus one */
} memory;

/* Where the program's statics are. */
extern char __data_start[], _end[]; /* NOLINT: the linker's names */

/* Among them what a fuzzer counts in, where it is linked with one (tests/fuzz/schedules.c): that is
   none of the program's, though the compiler tells of each count. */
extern char __start___sancov_cntrs[] __attribute__((weak)), /* NOLINT: likewise */
    __stop___sancov_cntrs[] __attribute__((weak));          /* NOLINT */

static bool is_the_fuzzers(const void *ptr) {
  return (size_t)ptr >= (size_t)__start___sancov_cntrs &&
         (size_t)ptr < (size_t)__stop___sancov_cntrs;
}

static void *room(size_t bytes) {
  void *got =
      mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (got == MAP_FAILED) explore_fail("no memory for the explorer itself");
  return got;
}

/* The word of an address, or -1. */
static size_t word_of(const void *ptr) {
  size_t offset = (size_t)ptr - (size_t)memory.arena;
  if (offset < ARENA_BYTES) return offset / WORD;
  offset = (size_t)ptr - ((size_t)__data_start & ~(size_t)(WORD - 1));
  if (offset < (size_t)_end - (size_t)__data_start) return (ARENA_BYTES + offset) / WORD;
  return (size_t)-1;
}

static uint64_t *address_of(size_t word) {
  if (word < ARENA_BYTES / WORD) return (uint64_t *)(void *)(memory.arena + word * WORD);
  return (uint64_t *)(void *)(((size_t)__data_start & ~(size_t)(WORD - 1)) + word * WORD -
                              ARENA_BYTES);
}

/* ---- clocks ---------------------------------------------------------------------------------- */

static explore_clock *own_clock(void) { return &memory.clocks[explore_current]; }

static void clock_take_over(explore_clock *to, const explore_clock *from) {
  unsigned i;
  for (i = 0; i < EXPLORE_THREADS; i++)
    if (from->at[i] > to->at[i]) to->at[i] = from->at[i];
}

/* What the thread does from now on is not yet known to those who take `to` over. */
static void clock_hand_on(explore_clock *to) {
  explore_clock *own = own_clock();
  *to = *own;
  own->at[explore_current]++;
}

void memory_join(unsigned thread) { clock_take_over(own_clock(), &memory.clocks[thread]); }

/* ---- races ----------------------------------------------------------------------------------- */

static cell *touch(size_t word) {
  cell *touched = &memory.cells[word];
  if (!touched->touched) {
    touched->touched = 1;
    memory.touched[memory.touched_count++] = (unsigned)word;
  }
  return touched;
}

static void describe(size_t word, char *text, size_t size) {
  size_t i, at = word * WORD;
  snprintf(text, size, "statics + %zu", at - ARENA_BYTES);
  if (at >= ARENA_BYTES) return;
  snprintf(text, size, "no allocation");
  for (i = 0; i < memory.allocation_count; i++) {
    const allocation *found = &memory.allocations[i];
    if (at >= found->at && at < found->at + found->size + WORD)
      snprintf(text, size, "byte %zu of allocation %zu, of %zu bytes", at - found->at, i,
               found->size);
  }
}

/* Another thread accessed what this one does, and neither comes before the other. */
static void check_conflict(accesses last, unsigned how, unsigned thread, size_t word) {
  const unsigned self = explore_current;
  unsigned way;
  char text[128];
  for (way = 0; way < WAYS; way++) {
    if (last[thread][way] <= own_clock()->at[thread] || !conflicts[how][way]) continue;
    memory.raced = word + 1;
    describe(word, text, sizeof text);
    explore_fail("data race: thread %u %s what thread %u %s, unordered: %s", self, way_names[how],
                 thread, way_names[way], text);
  }
}

/* Checks an access against the last ones, and notes it. */
static inline void check_last(accesses last, unsigned how, size_t word) {
  const unsigned self = explore_current;
  const explore_clock *own = own_clock();
  unsigned thread;
  if (last[self][how] == own->at[self]) return; /* it did so since it last handed its clock on */
  for (thread = 0; thread < memory.threads; thread++)
    if (thread != self && last[thread][ANY_WAY] > own->at[thread])
      check_conflict(last, how, thread, word);
  last[self][how] = last[self][ANY_WAY] = own->at[self];
}

static void check_races(size_t word, unsigned first, unsigned count, unsigned how) {
  cell *here = touch(word);
  unsigned byte;
  if (here->bytes == 0 && count == WORD) {
    check_last(here->last, how, word);
    return;
  }
  if (here->bytes == 0) {
    explore_assert(memory.divided_count < MOST_DIVIDED);
    for (byte = 0; byte < WORD; byte++)
      memcpy(memory.divided[memory.divided_count][byte], here->last, sizeof here->last);
    here->bytes = (uint16_t)++memory.divided_count;
  }
  for (byte = first; byte < first + count; byte++)
    check_last(memory.divided[here->bytes - 1][byte], how, word);
}

/* Notes what stands in a word before it is written for the first time in a schedule. */
static void before_write(size_t word) {
  cell *here = touch(word);
  if (here->written) return;
  here->written = 1;
  here->before = *address_of(word);
}

static void forget_history(cell *here) {
  unsigned half;
  for (half = 0; half < 2; half++)
    if (here->locations[half]) memory.locations[here->locations[half] - 1].count = 0;
}

static void fail_dead(size_t word, unsigned how, const void *pc) {
  char text[128];
  describe(word, text, sizeof text);
  explore_fail("thread %u %s memory that is not allocated, or was freed: %s (at %p)",
               explore_current, way_names[how], text, pc);
}

static void access_word_by_word(const void *ptr, size_t size, unsigned how, const void *pc) {
  const bool writes = how == PLAIN_WRITE || how == ATOMIC_WRITE;
  const char *at = (const char *)ptr;
  size_t word = word_of(ptr);
  if (word == (size_t)-1) return;
  while (size > 0) {
    unsigned first = (unsigned)((size_t)at % WORD), count = WORD - first;
    if (count > size) count = (unsigned)size;
    if (word < ARENA_BYTES / WORD && !memory.live[word]) fail_dead(word, how, pc);
    if (memory.watched == word + 1)
      explore_note("%s %u bytes at + %u of what races, from %p", way_names[how], count, first, pc);
    if (memory.has_kept && writes) before_write(word);
    if (explore_running) {
      check_races(word, first, count, how);
      if (how == PLAIN_WRITE) forget_history(&memory.cells[word]);
    }
    at += count;
    size -= count;
    word++;
  }
}

/* Did the thread access the whole word in this way since it last handed its clock on, so that there
   is nothing to check or to note? */
static inline bool is_noted(size_t word, unsigned how) {
  const cell *here = &memory.cells[word];
  if (here->bytes || here->last[explore_current][how] != own_clock()->at[explore_current])
    return false;
  return how == PLAIN_READ || (here->written && !here->locations[0] && !here->locations[1]);
}

/* Every access to watched memory comes through here before it is made. Most are outside of it, or
   are made when no other thread is there, or again and again. */
static inline void access_memory(const void *ptr, size_t size, unsigned how, const void *pc) {
  const size_t offset = (size_t)ptr - (size_t)memory.arena, word = offset / WORD;
  if (offset >= ARENA_BYTES && (word_of(ptr) == (size_t)-1 || is_the_fuzzers(ptr))) return;
  if (offset < ARENA_BYTES && offset % WORD + size <= WORD && memory.live[word] &&
      memory.watched == 0 &&
      (explore_running ? is_noted(word, how)
                       : how == PLAIN_READ || !memory.has_kept || memory.cells[word].written))
    return;
  access_word_by_word(ptr, size, how, pc);
}

/* ---- atomics --------------------------------------------------------------------------------- */

static uint64_t value_at(const void *from, size_t size) {
  uint32_t small;
  uint64_t value;
  if (size == 4) {
    memcpy(&small, from, 4);
    return small;
  }
  memcpy(&value, from, 8);
  return value;
}

static void put_value(void *to, size_t size, uint64_t value) {
  uint32_t small = (uint32_t)value;
  if (size == 4)
    memcpy(to, &small, 4);
  else
    memcpy(to, &value, 8);
}

static location *location_at(const void *ptr, size_t size) {
  size_t word = word_of(ptr);
  uint16_t *index;
  location *found;
  explore_assert(word != (size_t)-1 && (size == 4 || size == 8) && (size_t)ptr % size == 0);
  index = &touch(word)->locations[(size_t)ptr % WORD / 4];
  if (*index == 0) {
    explore_assert(memory.location_count < MOST_LOCATIONS);
    *index = (uint16_t)++memory.location_count;
    memory.locations[*index - 1].count = 0;
  }
  found = &memory.locations[*index - 1];
  if (found->count == 0) {
    memset(found->seen, 0, sizeof found->seen);
    memset(found->lit, 0, sizeof found->lit);
    memset(&found->stores[0], 0, sizeof found->stores[0]);
    found->heavy = 0;
    found->stores[0].value = value_at(ptr, size);
    found->count = 1;
  }
  return found;
}

/* The oldest store that a thread may see. */
static unsigned oldest_for(const location *at, unsigned thread) {
  unsigned i = at->count - 1;
  for (; i > at->seen[thread]; i--)
    if (at->stores[i].clock <= memory.clocks[thread].at[at->stores[i].thread]) break;
  return i;
}

static void older_by_one(unsigned *place) {
  if (*place > 0) --*place;
}

static void add_store(location *at, uint64_t value, explore_order order,
                      const explore_clock *more) {
  const unsigned self = explore_current;
  kept_store *fresh;
  unsigned i;
  if (at->count == MOST_STORES) {
    memmove(&at->stores[0], &at->stores[1], (MOST_STORES - 1) * sizeof at->stores[0]);
    at->count--;
    older_by_one(&at->heavy);
    for (i = 0; i < EXPLORE_THREADS; i++) {
      older_by_one(&at->seen[i]);
      older_by_one(&at->lit[i]);
    }
  }
  fresh = &at->stores[at->count++];
  memset(fresh, 0, sizeof *fresh);
  fresh->value = value;
  fresh->thread = (uint8_t)self;
  fresh->clock = own_clock()->at[self];
  if (more) fresh->released = *more;
  if (order == EXPLORE_RELEASE) {
    explore_clock own;
    clock_hand_on(&own);
    clock_take_over(&fresh->released, &own);
  }
  at->seen[self] = at->count - 1;
}

uint64_t explore_load(const void *from, size_t size, explore_order order, int line) {
  const unsigned self = explore_current;
  location *at;
  unsigned oldest, place;
  explore_point("load", order == EXPLORE_ACQUIRE ? "acquire" : "relaxed", from, false, line);
  access_memory(from, size, ATOMIC_READ, __builtin_return_address(0));
  if (!explore_running || word_of(from) == (size_t)-1) return value_at(from, size);
  at = location_at(from, size);
  oldest = oldest_for(at, self);
  place = at->count - 1 - explore_pick(EXPLORE_STALE, at->count - oldest, "an older store");
  at->seen[self] = place;
  if (order == EXPLORE_ACQUIRE) clock_take_over(own_clock(), &at->stores[place].released);
  return at->stores[place].value;
}

void explore_store(void *to, size_t size, uint64_t value, explore_order order, int line) {
  explore_point("store", order == EXPLORE_RELEASE ? "release" : "relaxed", to, true, line);
  access_memory(to, size, ATOMIC_WRITE, __builtin_return_address(0));
  if (explore_running && word_of(to) != (size_t)-1)
    add_store(location_at(to, size), value, order, NULL);
  put_value(to, size, value);
}

/* The newest store, as an exchange sees it. What stands on from it is still released by it. */
static uint64_t newest(location *at, explore_order order, explore_clock *released) {
  const kept_store *last = &at->stores[at->count - 1];
  *released = last->released;
  if (order == EXPLORE_ACQUIRE) clock_take_over(own_clock(), &last->released);
  return last->value;
}

uint64_t explore_exchange(void *at, size_t size, uint64_t value, explore_order order, int line) {
  uint64_t before;
  explore_point("exchange", order == EXPLORE_ACQUIRE ? "acquire" : "release", at, true, line);
  access_memory(at, size, ATOMIC_WRITE, __builtin_return_address(0));
  before = value_at(at, size);
  if (explore_running && word_of(at) != (size_t)-1) {
    explore_clock released;
    before = newest(location_at(at, size), order, &released);
    add_store(location_at(at, size), value, order, &released);
  }
  put_value(at, size, value);
  return before;
}

bool explore_replace(void *at, size_t size, uint64_t *expected, uint64_t value, explore_order order,
                     int line) {
  uint64_t before;
  explore_point("replace", order == EXPLORE_RELEASE ? "release" : "acquire", at, true, line);
  access_memory(at, size, ATOMIC_WRITE, __builtin_return_address(0));
  before = value_at(at, size);
  if (before != *expected) {
    *expected = before;
    return false;
  }
  if (explore_running && word_of(at) != (size_t)-1) {
    explore_clock released;
    if (explore_pick(EXPLORE_STALE, 2, "a weak exchange fails")) return false;
    (void)newest(location_at(at, size), order, &released);
    add_store(location_at(at, size), value, order, &released);
  }
  put_value(at, size, value);
  return true;
}

void explore_or(void *at, size_t size, uint64_t bits, int line) {
  explore_point("or", "relaxed", at, true, line);
  access_memory(at, size, ATOMIC_WRITE, __builtin_return_address(0));
  if (explore_running && word_of(at) != (size_t)-1) {
    explore_clock released;
    const uint64_t before = newest(location_at(at, size), EXPLORE_RELAXED, &released);
    add_store(location_at(at, size), before | bits, EXPLORE_RELAXED, &released);
  }
  put_value(at, size, value_at(at, size) | bits);
}

static void raise_to(unsigned *place, unsigned least) {
  if (*place < least) *place = least;
}

/* The thread sees what was there at the last heavy barrier, and the next one sees what it sees. */
void explore_light_barrier(int line) {
  const unsigned self = explore_current;
  size_t i;
  (void)line;
  if (!explore_running) return;
  for (i = 0; i < memory.location_count; i++) {
    location *at = &memory.locations[i];
    if (at->count == 0) continue;
    raise_to(&at->seen[self], at->heavy);
    at->lit[self] = oldest_for(at, self);
  }
}

/* What the thread saw or stored is seen by all that come to a light barrier, and the thread sees
   what any had seen or stored at its last one. */
void explore_heavy_barrier(int line) {
  const unsigned self = explore_current;
  unsigned thread;
  size_t i;
  explore_point("heavy barrier", "", NULL, true, line);
  if (!explore_running) return;
  for (i = 0; i < memory.location_count; i++) {
    location *at = &memory.locations[i];
    if (at->count == 0) continue;
    raise_to(&at->heavy, oldest_for(at, self));
    for (thread = 0; thread < memory.threads; thread++) raise_to(&at->heavy, at->lit[thread]);
    raise_to(&at->seen[self], at->heavy);
  }
}

/* ---- locks ----------------------------------------------------------------------------------- */

/* What the last holder handed on. */
static explore_clock *clock_of(explore_mutex *mutex) {
  return &location_at(mutex, sizeof mutex->owner)->stores[0].released;
}

void memory_look(explore_mutex *mutex) {
  access_memory(mutex, sizeof *mutex, ATOMIC_WRITE, __builtin_return_address(0));
}

void memory_lock(explore_mutex *mutex) {
  if (explore_running) clock_take_over(own_clock(), clock_of(mutex));
}

void memory_unlock(explore_mutex *mutex) {
  if (explore_running) clock_hand_on(clock_of(mutex));
}

/* ---- allocation ------------------------------------------------------------------------------ */

void *explore_malloc(size_t size) {
  const size_t bytes = (size + WORD - 1) & ~(size_t)(WORD - 1);
  allocation *fresh;
  size_t at;
  explore_point("malloc", "", &memory, true, 0); /* who comes first gets the lower address */
  at = memory.used;
  fresh = &memory.allocations[memory.allocation_count];
  if (explore_pick(EXPLORE_FAIL, 2, "malloc fails")) return NULL;
  if (bytes > ARENA_BYTES - 2 * WORD - at ||
      memory.allocation_count == sizeof memory.allocations / sizeof memory.allocations[0])
    explore_fail("the program allocates more than the explorer's arena holds");
  memory.allocation_count++;
  memory.live_count++;
  memory.used = at + ((bytes + 2 * WORD) & ~(size_t)15); /* a word at least between any two */
  fresh->at = at;
  fresh->size = size;
  fresh->live = true;
  memset(memory.live + at / WORD, 1, bytes / WORD);
  memset(memory.arena + at, 0xa5, bytes);
  return memory.arena + at;
}

void explore_free(void *ptr) {
  size_t i = 0, word, end;
  allocation *found = memory.allocations;
  if (!ptr) return;
  for (; i < memory.allocation_count && memory.arena + found->at != ptr; i++) found++;
  if (i == memory.allocation_count) explore_fail("free of what malloc never gave");
  if (!found->live) explore_fail("freed twice: allocation %zu, of %zu bytes", i, found->size);
  end = (found->at + found->size + WORD - 1) / WORD;
  if (explore_running)
    for (word = found->at / WORD; word < end; word++)
      if (memory.cells[word].touched) check_races(word, 0, WORD, PLAIN_WRITE);
  memset(memory.live + found->at / WORD, 0, end - found->at / WORD);
  found->live = false;
  memory.live_count--;
}

size_t explore_live(void) { return memory.live_count; }

/* ---- from one schedule to the next ----------------------------------------------------------- */

static void set_live(size_t i, bool live) {
  const allocation *at = &memory.allocations[i];
  memset(memory.live + at->at / WORD, live, (at->size + WORD - 1) / WORD);
  memory.allocations[i].live = live;
}

void memory_restore(void) {
  size_t i;
  for (i = 0; i < memory.touched_count; i++) {
    cell *here = &memory.cells[memory.touched[i]];
    if (here->written) *address_of(memory.touched[i]) = here->before;
    memset(here, 0, sizeof *here);
  }
  memory.touched_count = 0;
  memory.location_count = 0;
  memory.divided_count = 0;
  for (i = memory.kept.allocation_count; i < memory.allocation_count; i++) set_live(i, false);
  for (i = 0; i < memory.kept.allocation_count; i++)
    if (memory.allocations[i].live != memory.kept.was_live[i]) set_live(i, memory.kept.was_live[i]);
  memory.used = memory.kept.used;
  memory.allocation_count = memory.kept.allocation_count;
  memory.live_count = memory.kept.live_count;
}

static uint64_t mixed(uint64_t x) { /* the finalizer of splitmix64 */
  x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
  return x ^ (x >> 31);
}

uint64_t memory_digest(void) {
  uint64_t digest = mixed(memory.used), now;
  size_t i;
  for (i = 0; i < memory.touched_count; i++) { /* in any order */
    const unsigned word = memory.touched[i];
    if (!memory.cells[word].written) continue;
    now = *address_of(word);
    if (now != memory.cells[word].before) digest += mixed(mixed(word + 1) ^ now);
  }
  for (i = 0; i < memory.allocation_count; i++)
    digest += mixed(memory.allocations[i].size * 2 + memory.allocations[i].live + (i << 40));
  return digest;
}

void memory_forget(void) {
  if (!memory.arena) {
    memory.cell_count = ((size_t)_end - (size_t)__data_start + ARENA_BYTES) / WORD + 2;
    memory.arena = room(ARENA_BYTES);
    memory.live = room(ARENA_BYTES / WORD);
    memory.cells = room(memory.cell_count * sizeof *memory.cells);
    memory.touched = room(memory.cell_count * sizeof *memory.touched);
    memory.divided = room(MOST_DIVIDED * sizeof *memory.divided);
    memory.locations = room(MOST_LOCATIONS * sizeof *memory.locations);
  }
  memset(&memory.kept, 0, sizeof memory.kept);
  memory_restore();
  memory.has_kept = false;
  memory.raced = 0;
  memory.watched = 0;
}

void memory_keep(void) {
  size_t i;
  memory.kept.used = memory.used;
  memory.kept.allocation_count = memory.allocation_count;
  memory.kept.live_count = memory.live_count;
  for (i = 0; i < memory.allocation_count; i++)
    memory.kept.was_live[i] = memory.allocations[i].live;
  memory.has_kept = true;
}

void memory_begin(unsigned threads) {
  unsigned i;
  memset(memory.clocks, 0, sizeof memory.clocks);
  for (i = 0; i < threads; i++) memory.clocks[i].at[i] = 1;
  memory.threads = threads;
}

void memory_trace(void) { memory.watched = memory.raced; }

/* ---- what the compiler calls ----------------------------------------------------------------- */

#define PC __builtin_return_address(0)
#define ACCESSES(size)                                                                      \
  void __tsan_read##size(void *ptr);                                                        \
  void __tsan_read##size(void *ptr) { access_memory(ptr, size, PLAIN_READ, PC); }           \
  void __tsan_write##size(void *ptr);                                                       \
  void __tsan_write##size(void *ptr) { access_memory(ptr, size, PLAIN_WRITE, PC); }         \
  void __tsan_unaligned_read##size(void *ptr);                                              \
  void __tsan_unaligned_read##size(void *ptr) { access_memory(ptr, size, PLAIN_READ, PC); } \
  void __tsan_unaligned_write##size(void *ptr);                                             \
  void __tsan_unaligned_write##size(void *ptr) { access_memory(ptr, size, PLAIN_WRITE, PC); }
ACCESSES(1)
ACCESSES(2)
ACCESSES(4)
ACCESSES(8)
ACCESSES(16)

void __tsan_init(void);
void __tsan_init(void) {}
void __tsan_func_entry(void *pc);
void __tsan_func_entry(void *pc) { (void)pc; }
void __tsan_func_exit(void);
void __tsan_func_exit(void) {}
void __tsan_read_range(void *ptr, size_t size);
void __tsan_read_range(void *ptr, size_t size) { access_memory(ptr, size, PLAIN_READ, PC); }
void __tsan_write_range(void *ptr, size_t size);
void __tsan_write_range(void *ptr, size_t size) { access_memory(ptr, size, PLAIN_WRITE, PC); }

/* Calls of the C library's functions, also those that the compiler makes of a struct's assignment:
   the linker sends them here (--wrap), or clang names them so. */
#define COPIES(name, real)                              \
  void *name(void *to, const void *from, size_t size);  \
  void *name(void *to, const void *from, size_t size) { \
    access_memory(from, size, PLAIN_READ, PC);          \
    access_memory(to, size, PLAIN_WRITE, PC);           \
    return real(to, from, size);                        \
  }
#define FILLS(name)                             \
  void *name(void *to, int byte, size_t size);  \
  void *name(void *to, int byte, size_t size) { \
    access_memory(to, size, PLAIN_WRITE, PC);   \
    return __real_memset(to, byte, size);       \
  }
COPIES(__wrap_memcpy, __real_memcpy)
COPIES(__wrap_memmove, __real_memmove)
COPIES(__tsan_memcpy, __real_memcpy)
COPIES(__tsan_memmove, __real_memmove)
FILLS(__wrap_memset)
FILLS(__tsan_memset)
