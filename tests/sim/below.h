/* below.h - what the header needs from below, replaced: its malloc, which can be made to fail at
   the n-th call and counts what is alive, or to do something else first, as another thread would;
   and its clock, which moves by itself by one microsecond whenever it is read, so that a timeout
   runs out without any waiting. Included before hostcache.h. */

#ifndef TESTS_SIM_BELOW_H
#define TESTS_SIM_BELOW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct below_state {
  atomic_llong live;        /* blocks of bookkeeping */
  atomic_ullong calls;      /* of malloc */
  atomic_ullong fails_at;   /* this call of malloc fails; 0: none */
  atomic_ullong fails_from; /* and all from this one; 0: none */
  atomic_ullong failed;
  atomic_ullong now_ns;
  void (*once)(void *user); /* called inside of the next malloc; set while no other thread runs */
  void *once_user;
} below_state;

static below_state below;

static inline void *below_malloc(size_t size) {
  unsigned long long call = atomic_fetch_add(&below.calls, 1) + 1;
  unsigned long long from = atomic_load(&below.fails_from);
  unsigned char *ptr;
  if (below.once != NULL) {
    void (*once)(void *user) = below.once;
    below.once = NULL;
    once(below.once_user);
  }
  if (call == atomic_load(&below.fails_at) || (from != 0 && call >= from)) {
    atomic_fetch_add(&below.failed, 1);
    return NULL;
  }
  ptr = (unsigned char *)malloc(size);
  if (ptr == NULL) return NULL;
  memset(ptr, 0xa5, size); /* nobody may rely on zeroes */
  atomic_fetch_add(&below.live, 1);
  return ptr;
}

static inline void below_free(void *ptr) {
  if (ptr == NULL) return;
  atomic_fetch_sub(&below.live, 1);
  free(ptr);
}

/* The n-th malloc from now on fails (1 is the next), or all from there on. */
static inline void below_fail(uint64_t n, bool onwards) {
  unsigned long long at = atomic_load(&below.calls) + n;
  atomic_store(&below.failed, 0);
  atomic_store(&below.fails_at, onwards ? 0 : at);
  atomic_store(&below.fails_from, onwards ? at : 0);
}

static inline void below_fail_no_more(void) {
  atomic_store(&below.fails_at, 0);
  atomic_store(&below.fails_from, 0);
}

static inline uint64_t below_now(void) { return atomic_fetch_add(&below.now_ns, 1000) + 1000; }

#define HOSTCACHE_MALLOC(size) below_malloc(size)
#define HOSTCACHE_FREE(ptr) below_free(ptr)
#define HOSTCACHE_NOW_NS() below_now()

#endif
