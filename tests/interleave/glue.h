/* glue.h - section 5 of hostcache.h as the explorer needs it: every lock, atomic and pause is a
   switch point. Named by HOSTCACHE_GLUE_HEADER, and so included in the middle of hostcache.h. Most
   are macros, so that a trace tells the line of hostcache.h that they stand in.

   The clock stands still; there are no forks, and no cancellation. */

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
  static const char *const names[] = {"no",       "check", "streams", "queue",
                                      "segments", "block", "stats"};
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

GLUE_UNWATCHED static void glue_lock(hostcache_mutex *mutex, int line) {
  unsigned *held = explore_local(); /* the locks that the thread holds, a bit for each rank */
  if ((*held >> mutex->rank) != 0)
    explore_fail("takes the %s lock out of order, line %d", glue_rank_name(mutex->rank), line);
  explore_lock(&mutex->native, glue_rank_name(mutex->rank), line);
  *held |= 1u << mutex->rank;
}

GLUE_UNWATCHED static void glue_unlock(hostcache_mutex *mutex, int line) {
  *explore_local() &= ~(1u << mutex->rank);
  explore_unlock(&mutex->native, glue_rank_name(mutex->rank), line);
}

#define hostcache_lock(mutex) glue_lock(mutex, __LINE__)
#define hostcache_unlock(mutex) glue_unlock(mutex, __LINE__)

#define hostcache_ptr_load_acquire(from) \
  ((void *)(uintptr_t)explore_load(from, sizeof(void *), EXPLORE_ACQUIRE, __LINE__))
#define hostcache_ptr_store_release(to, value) \
  explore_store(to, sizeof(void *), (uintptr_t)(value), EXPLORE_RELEASE, __LINE__)
#define hostcache_size_load_acquire(from) \
  ((size_t)explore_load(from, sizeof(size_t), EXPLORE_ACQUIRE, __LINE__))
#define hostcache_size_store_release(to, value) \
  explore_store(to, sizeof(size_t), value, EXPLORE_RELEASE, __LINE__)
#define hostcache_u32_load_relaxed(from) \
  ((uint32_t)explore_load(from, sizeof(uint32_t), EXPLORE_RELAXED, __LINE__))
#define hostcache_u32_store_relaxed(to, value) \
  explore_store(to, sizeof(uint32_t), value, EXPLORE_RELAXED, __LINE__)
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

#define hostcache_pause(attempt) ((void)(attempt), explore_pause(__LINE__))

static uint64_t hostcache_now_ns(void) { return 1000000; }

static int hostcache_hook_begin(void) {
  if (*explore_local() != 0) explore_fail("a hook is called with a lock held");
  return 0;
}
static void hostcache_hook_end(int cancel) { (void)cancel; }

static int hostcache_watch_forks(void) { return 0; }
static unsigned hostcache_process(void) { return 0; }

#endif
