/* glue.h - what threads need of section 5 of hostcache.h, as the explorer needs it: every lock,
   atomic, barrier and pause is a switch point. Named by HOSTCACHE_GLUE_HEADER, and so included in
   the middle of hostcache.h. Most are macros, so that a trace tells the line of hostcache.h that
   they stand in.

   The explored threads are coroutines of one real thread, so what is thread-local is an array by
   explore_self. A thread leaves the caches that it is a guest of where the program says
   glue_thread_ends. The system may refuse a heavy barrier, as a hook may fail. The clock stands
   still; there are no forks, and no cancellation. */

#ifndef TESTS_INTERLEAVE_GLUE_H
#define TESTS_INTERLEAVE_GLUE_H

#include "explore.h"

typedef struct hostcache_mutex {
  explore_mutex native;
  unsigned rank;
} hostcache_mutex;

/* The race check need not look at what is the glue's own. */
#define GLUE_UNWATCHED __attribute__((no_sanitize_thread))

GLUE_UNWATCHED static const char *glue_rank_name(unsigned rank) {
  static const char *const names[] = {"no",     "owners",  "guests",   "threads", "thread",
                                      "common", "streams", "segments", "trace"};
  return rank < sizeof names / sizeof names[0] ? names[rank] : "unnamed";
}

static int hostcache_mutex_init(hostcache_mutex *mutex, unsigned rank) {
  memset(mutex, 0, sizeof *mutex);
  mutex->rank = rank;
  return explore_pick(EXPLORE_FAIL, 2, "no mutex to be had") ? 1 : 0;
}

static void hostcache_mutex_destroy(hostcache_mutex *mutex) {
  explore_assert(mutex->native.owner == 0);
}

/* explore_local has the locks that the thread holds, a bit for each rank. Being inside of its own
   record counts as one. */
GLUE_UNWATCHED static void glue_note_lock(unsigned rank, int line) {
  if ((*explore_local() >> rank) != 0)
    explore_fail("takes the %s lock out of order, line %d", glue_rank_name(rank), line);
  *explore_local() |= 1u << rank;
}

GLUE_UNWATCHED static void hostcache_note_unlock(unsigned rank) {
  *explore_local() &= ~(1u << rank);
}

GLUE_UNWATCHED static void glue_lock(hostcache_mutex *mutex, int line) {
  glue_note_lock(mutex->rank, line);
  explore_lock(&mutex->native, glue_rank_name(mutex->rank), line);
}

GLUE_UNWATCHED static void glue_lock_one_more(hostcache_mutex *mutex, int line) {
  hostcache_note_unlock(mutex->rank);
  glue_lock(mutex, line);
}

GLUE_UNWATCHED static void glue_unlock(hostcache_mutex *mutex, int line) {
  hostcache_note_unlock(mutex->rank);
  explore_unlock(&mutex->native, glue_rank_name(mutex->rank), line);
}

#define hostcache_note_lock(rank) glue_note_lock(rank, __LINE__)
#define hostcache_lock(mutex) glue_lock(mutex, __LINE__)
#define hostcache_lock_one_more(mutex) glue_lock_one_more(mutex, __LINE__)
#define hostcache_unlock(mutex) glue_unlock(mutex, __LINE__)

/* Atomics. */

#define hostcache_ptr_load_relaxed(from) \
  ((void *)(uintptr_t)explore_load(from, sizeof(void *), EXPLORE_RELAXED, __LINE__))
#define hostcache_ptr_load_acquire(from) \
  ((void *)(uintptr_t)explore_load(from, sizeof(void *), EXPLORE_ACQUIRE, __LINE__))
#define hostcache_ptr_store_release(to, value) \
  explore_store(to, sizeof(void *), (uintptr_t)(value), EXPLORE_RELEASE, __LINE__)
#define hostcache_size_load_acquire(from) \
  ((size_t)explore_load(from, sizeof(size_t), EXPLORE_ACQUIRE, __LINE__))
#define hostcache_size_store_release(to, value) \
  explore_store(to, sizeof(size_t), value, EXPLORE_RELEASE, __LINE__)
#define hostcache_size_load_relaxed(from) \
  ((size_t)explore_load(from, sizeof(size_t), EXPLORE_RELAXED, __LINE__))
#define hostcache_size_store_relaxed(to, value) \
  explore_store(to, sizeof(size_t), value, EXPLORE_RELAXED, __LINE__)
#define hostcache_size_or_relaxed(at, bits) explore_or(at, sizeof(size_t), bits, __LINE__)
#define hostcache_u32_load_relaxed(from) \
  ((uint32_t)explore_load(from, sizeof(uint32_t), EXPLORE_RELAXED, __LINE__))
#define hostcache_u32_store_relaxed(to, value) \
  explore_store(to, sizeof(uint32_t), value, EXPLORE_RELAXED, __LINE__)
#define hostcache_u32_load_acquire(from) \
  ((uint32_t)explore_load(from, sizeof(uint32_t), EXPLORE_ACQUIRE, __LINE__))
#define hostcache_u32_store_release(to, value) \
  explore_store(to, sizeof(uint32_t), value, EXPLORE_RELEASE, __LINE__)
#define hostcache_ptr_exchange_acquire(at, value)                                               \
  ((void *)(uintptr_t)explore_exchange(at, sizeof(void *), (uintptr_t)(value), EXPLORE_ACQUIRE, \
                                       __LINE__))
#define hostcache_ptr_replace_release(at, expected, value) \
  glue_replace(at, expected, value, __LINE__)

static int glue_replace(void **at, void **expected, void *value, int line) {
  uint64_t before = (uintptr_t)*expected;
  int replaced = explore_replace(at, sizeof *at, &before, (uintptr_t)value, EXPLORE_RELEASE, line);
  *expected = (void *)(uintptr_t)before;
  return replaced;
}

/* The barrier. Where there is none, both sides pay for a fence: that is a heavy one, too. */

static bool glue_has_no_barrier; /* set by a test before it makes a cache */

static int hostcache_barrier_ready(void) { return !glue_has_no_barrier; }

#define hostcache_raise(flag)                                           \
  (explore_store(flag, sizeof(uint32_t), 1, EXPLORE_RELAXED, __LINE__), \
   glue_has_no_barrier ? (void)0 : explore_light_barrier(__LINE__))
#define hostcache_raise_with_fence(flag)                                \
  (explore_store(flag, sizeof(uint32_t), 1, EXPLORE_RELAXED, __LINE__), \
   explore_heavy_barrier(__LINE__))

#define hostcache_heavy_barrier(asymmetric) glue_heavy_barrier(asymmetric, __LINE__)

static int glue_heavy_barrier(int asymmetric, int line) {
  if (asymmetric && explore_pick(EXPLORE_FAIL, 2, "the system refuses the barrier")) return -1;
  explore_heavy_barrier(line);
  return 0;
}

/* What takes time. */

#define hostcache_pause(attempt) ((void)(attempt), explore_pause(__LINE__))
#define hostcache_sleep(ns) ((void)(ns), explore_pause(__LINE__))

HOSTCACHE_UNUSED static uint64_t hostcache_now_ns(void) { return 1000000; }

static int hostcache_cancel_off(void) { return 0; }
static void hostcache_cancel_on(int cancel) { (void)cancel; }

static int hostcache_hook_begin(void) {
  if (*explore_local() != 0) explore_fail("a hook is called with a lock held");
  return hostcache_cancel_off();
}
#define hostcache_hook_begin_plain() hostcache_hook_begin()
static void hostcache_hook_end(int cancel) { hostcache_cancel_on(cancel); }

static int hostcache_watch_forks(void) { return 0; }
static unsigned hostcache_process(void) { return 0; }

/* Guests. */

typedef struct hostcache_guest {
  struct hostcache_guest *next;
  struct hostcache_guest **list;
  uint64_t cache;
  void (*leave)(struct hostcache_guest *guest);
} hostcache_guest;

typedef struct hostcache_here {
  uint64_t cache;
  void *thread;
} hostcache_here;

static hostcache_here glue_heres[EXPLORE_THREADS];
static hostcache_guest
    *glue_guests[EXPLORE_THREADS]; /* this and the rest: LOCK: glue_guests_lock */
static uint64_t glue_guests_numbers, glue_guests_caches;
static hostcache_mutex glue_guests_lock = {{0}, HOSTCACHE_RANK_GUESTS};

HOSTCACHE_UNUSED static hostcache_mutex hostcache_owners_lock = {{0}, HOSTCACHE_RANK_OWNERS};

#define HOSTCACHE_THREAD_LOCAL static /* of the one real thread: what else is so goes by guests */

static size_t hostcache_here_place(uint64_t number) {
  (void)number;
  return 0;
}

static hostcache_here *hostcache_here_at(size_t place) {
  (void)place;
  return &glue_heres[explore_self()];
}

static uint64_t hostcache_guests_open(void) {
  hostcache_lock(&glue_guests_lock);
  glue_guests_numbers++;
  glue_guests_caches++;
  hostcache_unlock(&glue_guests_lock);
  return glue_guests_numbers;
}

static void hostcache_guests_close(void) {
  hostcache_lock(&glue_guests_lock);
  glue_guests_caches--;
  hostcache_unlock(&glue_guests_lock);
}

HOSTCACHE_UNUSED static int hostcache_guests_can_be_told(void) { return 1; }

static hostcache_guest *hostcache_guest_find(uint64_t cache) {
  hostcache_guest *guest;
  hostcache_lock(&glue_guests_lock);
  guest = glue_guests[explore_self()];
  while (guest && guest->cache != cache) guest = guest->next;
  hostcache_unlock(&glue_guests_lock);
  return guest;
}

static int hostcache_guest_add(hostcache_guest *guest) {
  hostcache_guest **list = &glue_guests[explore_self()];
  if (explore_pick(EXPLORE_FAIL, 2, "no thread's end is told")) return -1;
  hostcache_lock(&glue_guests_lock);
  guest->list = list;
  guest->next = *list;
  *list = guest;
  hostcache_unlock(&glue_guests_lock);
  return 0;
}

static void hostcache_guest_remove(hostcache_guest *guest) {
  hostcache_guest **at;
  hostcache_lock(&glue_guests_lock);
  if (guest->list) {
    for (at = guest->list; *at != guest;) at = &(*at)->next;
    *at = guest->next;
    guest->list = NULL;
  }
  hostcache_unlock(&glue_guests_lock);
}

/* Before the first cache of a test: what another test left is not there. */
HOSTCACHE_UNUSED static void glue_begin(void) {
  memset(glue_heres, 0, sizeof glue_heres);
  memset(glue_guests, 0, sizeof glue_guests);
  memset(&glue_guests_lock.native, 0, sizeof glue_guests_lock.native);
  memset(&hostcache_owners_lock.native, 0, sizeof hostcache_owners_lock.native);
  glue_guests_numbers = 0;
  glue_guests_caches = 0;
}

/* The thread ends, as far as the caches know. Called again, it ends again. */
HOSTCACHE_UNUSED static void glue_thread_ends(void) {
  hostcache_guest **first = &glue_guests[explore_self()], *guest;
  hostcache_lock(&glue_guests_lock);
  while ((guest = *first) != NULL) {
    *first = guest->next;
    guest->list = NULL;
    hostcache_here_at(0)->cache = 0;
    guest->leave(guest);
  }
  hostcache_unlock(&glue_guests_lock);
}

#endif
