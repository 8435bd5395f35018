/* helpers.h - what every cmocka program here shares: cmocka itself, assertions about results, and
   an ear for on_error. Included after hostcache.h. */

#ifndef TESTS_HELPERS_H
#define TESTS_HELPERS_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "segments.h"

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define PAGE ((size_t)4096)
#define COUNT_OF(array) (sizeof(array) / sizeof(array)[0])

#define PASTE2(a, b) a##_##b
#define PASTE(a, b) PASTE2(a, b)

/* A test that not every platform can have says what it needs, and is skipped elsewhere. */
#define needs(what, is_there)                      \
  do {                                             \
    if (!(is_there)) {                             \
      print_message("left out: needs %s\n", what); \
      skip();                                      \
    }                                              \
  } while (0)
#define SIZES_HAVE_64_BITS (SIZE_MAX > UINT32_MAX)

/* ---- results --------------------------------------------------------------------------------- */

#define assert_result(call, expected) assert_result_at(call, expected, #call, __FILE__, __LINE__)
#define assert_ok(call) assert_result(call, HOSTCACHE_OK)

static inline void assert_result_at(hostcache_result got, hostcache_result expected,
                                    const char *call, const char *file, int line) {
  if (got == expected) return;
  print_error("%s\n  gave     %s\n  expected %s\n", call, hostcache_result_string(got),
              hostcache_result_string(expected));
  _fail(file, line);
}

/* One of several, as bits: for sweeps, where a fault may or may not have been in the way. */
#define ONE_OF(result) (1u << -(int)(result))
#define assert_one_of(call, allowed) assert_one_of_at(call, allowed, #call, __FILE__, __LINE__)

static inline hostcache_result assert_one_of_at(hostcache_result got, unsigned allowed,
                                                const char *call, const char *file, int line) {
  if ((allowed & ONE_OF(got)) == 0) {
    print_error("%s\n  gave %s, which is not among what is allowed\n", call,
                hostcache_result_string(got));
    _fail(file, line);
  }
  return got;
}

/* Like the assertions of cmocka, which must not be used on other threads than the test's own. */
#define expect_or_abort(condition)                                                          \
  do {                                                                                      \
    if (!(condition)) {                                                                     \
      fprintf(stderr, "%s:%d: not true on a thread: %s\n", __FILE__, __LINE__, #condition); \
      abort();                                                                              \
    }                                                                                       \
  } while (0)

/* A thread that the cache kept from being cancelled for a while can be again. */
static inline void assert_can_be_cancelled(void) {
  int before = -1;
  assert_int_equal(pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &before), 0);
  assert_int_equal(before, PTHREAD_CANCEL_ENABLE);
}

/* ---- what on_error hears --------------------------------------------------------------------- */

typedef struct heard { /* used by one thread at a time */
  uint64_t count;
  uint64_t of[16];    /* by the negated result */
  uint64_t with_code; /* with the code that `wanted_code` says */
  int64_t wanted_code;
  hostcache_result result;
  int64_t code;
  const void *ptr;
  char what[64];
  void (*react)(void *user);
  void *react_user;
} heard;

static inline void hear(void *user, hostcache_result result, int64_t code, const char *what,
                        const void *ptr) {
  heard *h = (heard *)user;
  h->count++;
  if (result <= 0 && result > -16) h->of[-(int)result]++;
  if (code == h->wanted_code) h->with_code++;
  h->result = result;
  h->code = code;
  h->ptr = ptr;
  snprintf(h->what, sizeof h->what, "%s", what == NULL ? "(null)" : what);
  if (h->react != NULL) h->react(h->react_user);
}

/* ---- random numbers -------------------------------------------------------------------------- */

/* xorshift64*; the seed is never 0, and stands in the test. */
static inline uint64_t next_random(uint64_t *state) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * UINT64_C(2685821657736338717);
}

static inline size_t random_below(uint64_t *state, size_t bound) {
  return (size_t)((next_random(state) >> 11) % bound);
}

#endif
