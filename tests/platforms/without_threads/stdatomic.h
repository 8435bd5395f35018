/* stdatomic.h - what the tests use of it, for a compiler that has no atomics and programs that have
   one thread: plain loads and stores. */

#ifndef TESTS_PLATFORMS_STDATOMIC_H
#define TESTS_PLATFORMS_STDATOMIC_H

typedef long long atomic_llong;
typedef unsigned long long atomic_ullong;

#define atomic_load(at) (*(at))
#define atomic_store(at, value) ((void)(*(at) = (value)))
#define atomic_fetch_add(at, value) ((*(at) += (value)) - (value))
#define atomic_fetch_sub(at, value) ((*(at) -= (value)) + (value))

static inline unsigned long long atomic_exchange(atomic_ullong *at, unsigned long long value) {
  const unsigned long long before = *at;
  *at = value;
  return before;
}

#endif
