/* orders.h - the atomics of section 5 of hostcache.h once more, with no order: what a mutant of
   kind "order" calls (mutants.py). Included where section 5 begins. Only the explorer of
   tests/interleave, whose loads may see old stores, can tell them from the others on a machine of
   strong order. */

#ifndef TESTS_MUTATION_ORDERS_H
#define TESTS_MUTATION_ORDERS_H

#ifdef HOSTCACHE_GLUE_HEADER

#define hostcache_ptr_store_relaxed(to, value) \
  explore_store(to, sizeof(void *), (uintptr_t)(value), EXPLORE_RELAXED, __LINE__)
#define hostcache_ptr_exchange_relaxed(at, value)                                               \
  ((void *)(uintptr_t)explore_exchange(at, sizeof(void *), (uintptr_t)(value), EXPLORE_RELAXED, \
                                       __LINE__))
#define hostcache_ptr_replace_relaxed(at, expected, value)                                         \
  __extension__({                                                                                  \
    uint64_t before = (uintptr_t) * (expected);                                                    \
    int replaced =                                                                                 \
        explore_replace(at, sizeof *(at), &before, (uintptr_t)(value), EXPLORE_RELAXED, __LINE__); \
    *(expected) = (void *)(uintptr_t)before;                                                       \
    replaced;                                                                                      \
  })

#else

#define hostcache_ptr_store_relaxed(to, value) __atomic_store_n(to, value, __ATOMIC_RELAXED)
#define hostcache_ptr_exchange_relaxed(at, value) __atomic_exchange_n(at, value, __ATOMIC_RELAXED)
#define hostcache_ptr_replace_relaxed(at, expected, value) \
  __atomic_compare_exchange_n(at, expected, value, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED)

#endif
#endif
