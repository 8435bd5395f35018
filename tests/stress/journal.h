/* journal.h - who had which memory when: what threads write down while they work, and what follows
   from it afterwards.

   Every thread, of the host or of the device, has a journal of its own. An entry gets a number from
   one counter, and is drawn on the safe side:

     HANDED_OUT  after alloc has returned
     FREED       before free is called
     USED        after the device's last access to the memory
     GIVEN_BACK  before the runtime gets it back, inside of HC_MEM_FREE

   The counter is relaxed on purpose. If the cache is right then whatever it lets happen before
   something else does so through synchronisation of its own or the device's, and a counter that is
   only ever added to keeps such an order by itself (two changes of one atomic variable, of which
   the first happens before the second, are in that order): so a right cache is never accused. And a
   relaxed counter orders nothing else, so that a race which the cache or the device leaves open
   stays open, and visible to a thread sanitizer.

   journals_check sorts all entries by number, which takes one pass as no number is missing, and
   plays them on a map of the memory in units of 512 bytes. It says how often

     - memory was handed out, or given back, while somebody had it: two intervals from hand-out to
       free overlap
     - a use ended after the memory was handed out again, or given back

   in time linear in the units touched. What it can't find: a wrong order that happens to leave no
   trace, because the late use was fast enough. Payloads and sanitizers look for that. */

#ifndef TESTS_STRESS_JOURNAL_H
#define TESTS_STRESS_JOURNAL_H

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JOURNAL_UNIT 512 /* the alignment of the caches here: no unit is part of two blocks */

typedef enum journal_kind { HANDED_OUT, FREED, USED, GIVEN_BACK } journal_kind;

typedef struct journal_entry {
  uint64_t number;   /* from 1 */
  uint64_t hand_out; /* FREED, USED: the number of the hand-out that it belongs to */
  uintptr_t start;   /* HANDED_OUT, GIVEN_BACK; with FREED and USED the hand-out tells */
  size_t size;
  journal_kind kind;
  bool held; /* HANDED_OUT, while the entries are played: not freed yet */
} journal_entry;

typedef struct journal { /* written by its thread alone */
  struct journal *next;
  struct journals *all;
  journal_entry *entries;
  size_t count, room;
} journal;

typedef struct journals {
  atomic_uint_fast64_t last; /* relaxed: see above */
  pthread_mutex_t lock;
  journal *first; /* LOCK: lock */
} journals;

static inline void *journal_must(void *ptr) {
  if (ptr == NULL) abort();
  return ptr;
}

static inline void journals_open(journals *all) {
  memset(all, 0, sizeof *all);
  pthread_mutex_init(&all->lock, NULL);
}

static inline void journals_close(journals *all) {
  while (all->first != NULL) {
    journal *first = all->first;
    all->first = first->next;
    free(first->entries);
    free(first);
  }
  pthread_mutex_destroy(&all->lock);
}

/* A journal for one more thread. NULL gives NULL, for a run that writes nothing down. */
static inline journal *journal_new(journals *all) {
  journal *j;
  if (all == NULL) return NULL;
  j = (journal *)journal_must(calloc(1, sizeof *j));
  j->all = all;
  pthread_mutex_lock(&all->lock);
  j->next = all->first;
  all->first = j;
  pthread_mutex_unlock(&all->lock);
  return j;
}

/* Returns the number of the entry. Without a journal it does nothing. */
static inline uint64_t journal_write(journal *j, journal_kind kind, uint64_t hand_out,
                                     const void *start, size_t size) {
  journal_entry *entry;
  if (j == NULL) return 0;
  if (j->count == j->room) {
    j->room = j->room == 0 ? 1024 : 2 * j->room;
    j->entries = (journal_entry *)journal_must(realloc(j->entries, j->room * sizeof *j->entries));
  }
  entry = &j->entries[j->count++];
  memset(entry, 0, sizeof *entry);
  entry->kind = kind;
  entry->hand_out = hand_out;
  entry->start = (uintptr_t)start;
  entry->size = size;
  entry->number = atomic_fetch_add_explicit(&j->all->last, 1, memory_order_relaxed) + 1;
  return entry->number;
}

/* ---- the map of the memory: a hash table of units, with the last hand-out of each ------------ */

typedef struct journal_map {
  uintptr_t *units; /* unit + 1; 0: nothing here */
  uint64_t *owners;
  size_t count, room; /* a power of two */
} journal_map;

static inline uint64_t *journal_owner(journal_map *map, uintptr_t unit);

static inline void journal_map_grow(journal_map *map) {
  journal_map old = *map;
  size_t i;
  map->room = old.room == 0 ? 4096 : 2 * old.room;
  map->count = 0;
  map->units = (uintptr_t *)journal_must(calloc(map->room, sizeof *map->units));
  map->owners = (uint64_t *)journal_must(calloc(map->room, sizeof *map->owners));
  for (i = 0; i < old.room; i++)
    if (old.units[i] != 0) *journal_owner(map, old.units[i] - 1) = old.owners[i];
  free(old.units);
  free(old.owners);
}

/* Whose hand-out was the last of this unit; 0: nobody's, or it was given back since. */
static inline uint64_t *journal_owner(journal_map *map, uintptr_t unit) {
  size_t i;
  if (2 * map->count >= map->room) journal_map_grow(map);
  i = (size_t)(unit * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (map->room - 1);
  while (map->units[i] != 0 && map->units[i] != unit + 1) i = (i + 1) & (map->room - 1);
  if (map->units[i] == 0) {
    map->units[i] = unit + 1;
    map->count++;
  }
  return &map->owners[i];
}

/* ---- the check ------------------------------------------------------------------------------- */

/* One entry is played; says whether it breaks a rule. `entries` are all of them, by number. */
static inline bool journal_play(journal_map *map, journal_entry *entries, journal_entry *entry,
                                bool aloud) {
  journal_entry *block = entry->kind == HANDED_OUT || entry->kind == GIVEN_BACK
                             ? entry
                             : &entries[entry->hand_out - 1];
  const uintptr_t first = block->start / JOURNAL_UNIT;
  const uintptr_t end = (block->start + block->size + JOURNAL_UNIT - 1) / JOURNAL_UNIT;
  const char *wrong = NULL;
  uintptr_t unit;
  if (entry->kind == FREED) {
    if (!block->held) wrong = "freed, which is not held";
    block->held = false;
  }
  for (unit = first; entry->kind != FREED && unit < end; unit++) {
    uint64_t *owner = journal_owner(map, unit);
    if (entry->kind == USED) {
      if (*owner != block->number) wrong = "still used, and was handed out or given back meanwhile";
    } else {
      if (*owner != 0 && entries[*owner - 1].held)
        wrong =
            entry->kind == HANDED_OUT ? "handed out, and held already" : "given back while held";
      *owner = entry->kind == HANDED_OUT ? entry->number : 0;
    }
  }
  if (entry->kind == HANDED_OUT) entry->held = true;
  if (wrong == NULL) return false;
  if (aloud)
    fprintf(stderr, "journal: entry %" PRIu64 ": 0x%" PRIxPTR " with %zu bytes is %s\n",
            entry->number, block->start, block->size, wrong);
  return true;
}

/* How many entries break a rule. No thread writes any more. */
static inline uint64_t journals_check(journals *all) {
  const size_t count = (size_t)atomic_load(&all->last);
  journal_entry *entries = (journal_entry *)journal_must(calloc(count + 1, sizeof *entries));
  journal_map map = {NULL, NULL, 0, 0};
  uint64_t wrong = 0;
  const journal *j;
  size_t i;
  for (j = all->first; j != NULL; j = j->next)
    for (i = 0; i < j->count; i++) entries[j->entries[i].number - 1] = j->entries[i];
  for (i = 0; i < count; i++) wrong += journal_play(&map, entries, &entries[i], wrong < 5);
  free(map.units);
  free(map.owners);
  free(entries);
  return wrong;
}

#endif
