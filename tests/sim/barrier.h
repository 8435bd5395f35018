/* barrier.h - the system's barrier that reaches all threads, in the hands of the test, which can
   have it refused: the n-th time from now on, or from there on. Included before hostcache.h, which
   calls it by syscall().

   Nothing of the system is called. So other threads must be asleep, or wait for this one, whenever
   the cache may want to hold them; then there is nothing that a barrier would have to order. */

#ifndef TESTS_SIM_BARRIER_H
#define TESTS_SIM_BARRIER_H

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BARRIER_REGISTERS = 16, BARRIER_EXPEDITED = 8 }; /* membarrier's commands */
enum { BARRIER_TOO_MANY = 1000000 };                    /* calls of it: something goes round */

static struct {
  bool is_there;                 /* the header has asked for it */
  bool is_missing;               /* and is to hear that it is not, as on an old system */
  uint64_t calls, refused;       /* since barrier_refuse */
  uint64_t fails_at, fails_from; /* by `calls`; 0: none */
} barrier;                       /* used by one thread at a time */

static inline long barrier_call(long number, ...) {
  va_list arguments;
  int command;
  (void)number;
  va_start(arguments, number);
  command = va_arg(arguments, int);
  va_end(arguments);
  if (command == BARRIER_REGISTERS) {
    barrier.is_there = !barrier.is_missing;
    if (barrier.is_there) return 0;
    errno = EINVAL;
    return -1;
  }
  if (command != BARRIER_EXPEDITED) abort();
  if (++barrier.calls > BARRIER_TOO_MANY) {
    fputs("the barrier is wanted again and again, without an end\n", stderr);
    abort();
  }
  atomic_thread_fence(memory_order_seq_cst);
  if (barrier.calls != barrier.fails_at &&
      (barrier.fails_from == 0 || barrier.calls < barrier.fails_from))
    return 0;
  barrier.refused++;
  errno = EPERM;
  return -1;
}

/* The n-th call from now on is refused (1 is the next), or all from there on. */
static inline void barrier_refuse(uint64_t n, bool onwards) {
  barrier.calls = barrier.refused = 0;
  barrier.fails_at = onwards ? 0 : n;
  barrier.fails_from = onwards ? n : 0;
}

static inline void barrier_refuse_no_more(void) { barrier.fails_at = barrier.fails_from = 0; }

#define syscall barrier_call

#endif
