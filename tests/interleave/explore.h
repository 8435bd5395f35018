/* explore.h - runs a small concurrent program in every order that matters, in one real thread.

   The program's threads are coroutines. Each operation on a lock, an atomic or the device is a
   *switch point*: there the explorer may go on with another thread. Whatever can go one way or
   another is a decision, and all decisions come out of one function, explore_pick: which thread
   goes on, which of several stores a load sees, whether an event has completed, whether a hook
   fails. Option 0 is the usual one; every other one is a *deviation*, of which a test bounds the
   number by kind and in all.

     explore_all      every schedule within the bounds, depth first
     explore_random   schedules of PCT: random priorities, which change at d - 1 random steps; every
                      other decision is random too
     explore_replay   the one schedule that a list of decisions names, with a trace
     explore_bytes    the one schedule that any bytes name: for a fuzzer

   Depth first, a thread is preempted only where that can matter, and a schedule is given up when it
   turns out to be the same as another one: is_worth_preempting and is_redundant in explore.c say
   when. scenarios --compare shows that no end of any schedule is lost by it.

   What is found: a call of explore_fail (by the test's own assertions), a deadlock, threads that
   wait for each other without end, a loop without a switch point, a signal that a fault raises, a
   data race, and an access to freed memory. A failure names the decisions that lead to it, as
   "place:choice" for each that is not 0; a test, its bounds and that list are the whole schedule.

   memory.c says how stores are seen and races are found. What is not modelled: see there, and

   - a thread is never switched away from between two switch points. If nothing races, none of that
     can be seen from outside; and if something races, the race check says so. Giving a lock back is
     no switch point either: what stands between it and the next switch point is the thread's own,
     so switching before that one is the same.
   - a bound of 2 preemptions finds what needs at most 2. Most bugs do; none is proved absent
     beyond. The random schedules have no such bound.
   - a thread that paused is looked at again only by a preemption, while another can go on.
   - at most EXPLORE_THREADS threads; no signals, no fork, no cancellation, no clock. */

#ifndef TESTS_INTERLEAVE_EXPLORE_H
#define TESTS_INTERLEAVE_EXPLORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXPLORE_THREADS 3 /* at most */

/* The kinds of deviations. */
enum {
  EXPLORE_PREEMPT, /* another thread goes on, though this one could */
  EXPLORE_STALE,   /* a load sees an older store than it could; a weak exchange fails by itself */
  EXPLORE_PENDING, /* an event is not complete yet when it is asked */
  EXPLORE_FAIL,    /* a hook or malloc fails */
  EXPLORE_KINDS,
  EXPLORE_FREE = EXPLORE_KINDS /* no deviation: this thread cannot go on, so another one must */
};

typedef struct explore_bounds {
  unsigned of[EXPLORE_KINDS];
  unsigned total; /* of all kinds together */
} explore_bounds;

typedef struct explore_test {
  const char *name;
  unsigned threads;
  void (*before)(void *state);              /* alone, once: what it leaves is where all begin */
  void (*thread)(void *state, unsigned id); /* id: 0 ... threads - 1 */
  void (*after)(void *state);               /* alone, when all threads have ended */
  void *state; /* all that the three keep outside of explore_malloc; copied, so without pointers
                  into itself */
  size_t state_bytes;
  explore_bounds bounds;
  bool gives_nothing_up; /* explore_all runs also the schedules that turn out to be like others */
} explore_test;

typedef struct explore_result {
  uint64_t schedules;
  uint64_t given_up;          /* schedules more, which turned out to be the same as others */
  uint64_t steps;             /* the most in one schedule */
  uint64_t ends, ends_digest; /* different ones, of what the program left and what it holds */
  bool exhausted;             /* explore_all: there is no further schedule within the bounds */
  bool failed;
  char message[512];
  char decisions[4096];
} explore_result;

/* `most`: schedules; 0 is without end. */
explore_result explore_all(const explore_test *test, uint64_t most);
explore_result explore_random(const explore_test *test, uint64_t seed, uint64_t schedules,
                              unsigned depth);
explore_result explore_replay(const explore_test *test, const char *decisions);

/* Each two bytes are a deviation: so many decisions before it take their usual option, and of the
   others it takes this one; 255 only skips as many. What is out of bounds is no decision here; but
   preemptions have no bound. */
explore_result explore_bytes(const explore_test *test, const uint8_t *bytes, size_t size);

/* What a program here explores, for one that runs its tests in another way. */
typedef struct explore_suite {
  const char *program;              /* interleave_<this> explores them, and replays them by name */
  size_t (*begin)(void);            /* to be called first: how many there are */
  explore_test (*choose)(size_t i); /* the next to be run is this one */
} explore_suite;

/* Called, if it is set, before each step of a schedule, with the thread and the line. */
extern void (*explore_follow)(unsigned thread, int line);

/* ---- for the program under test -------------------------------------------------------------- */

/* The next decision: less than `options`, of which there is at least one. Before and after the
   threads it is always 0. */
unsigned explore_pick(unsigned kind, unsigned options, const char *what);

/* How many deviations of a kind the schedule has had so far. */
unsigned explore_spent(unsigned kind);

/* Ends the schedule. Does not return. */
_Noreturn void explore_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define explore_assert(condition) \
  ((condition) ? (void)0 : explore_fail("%s:%d: not true: %s", __FILE__, __LINE__, #condition))

/* A line of the trace. Costs nothing unless a schedule is replayed. */
void explore_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A switch point, before a step at `where`: steps at different places can change places. */
void explore_step(const char *what, const void *where, int line);
void explore_pause(int line);     /* not before another thread moved */
void explore_join(void);          /* until all other threads have ended */
unsigned explore_self(void);      /* the thread's id; 0 before and after the threads */
void explore_become(unsigned id); /* before and after the threads: from now on as this one */
unsigned *explore_local(void);    /* a variable of the thread's own; 0 at first */

typedef struct explore_mutex {
  uint64_t owner; /* a thread's id plus one; 0: free */
} explore_mutex;

void explore_lock(explore_mutex *mutex, const char *what, int line);
void explore_unlock(explore_mutex *mutex, const char *what, int line);

/* Atomics of 4 or 8 bytes. */
typedef enum explore_order { EXPLORE_RELAXED, EXPLORE_ACQUIRE, EXPLORE_RELEASE } explore_order;

uint64_t explore_load(const void *from, size_t size, explore_order order, int line);
void explore_store(void *to, size_t size, uint64_t value, explore_order order, int line);
uint64_t explore_exchange(void *at, size_t size, uint64_t value, explore_order order, int line);
/* A weak one: may fail by itself. *expected gets what was there. */
bool explore_replace(void *at, size_t size, uint64_t *expected, uint64_t value, explore_order order,
                     int line);
void explore_or(void *at, size_t size, uint64_t bits, int line); /* relaxed */

/* An asymmetric pair of barriers. A thread's operations before its light barrier, and those after
   it, stand on their sides of every heavy barrier. The light one costs that thread nothing, and is
   no switch point: nothing but a heavy one tells whether it stands before or after another
   thread's step, and that might as well have come before the last step that this thread did. */
void explore_light_barrier(int line);
void explore_heavy_barrier(int line);

/* Memory that is watched: no address is used twice in a schedule, so that whoever touches what was
   freed is found. */
void *explore_malloc(size_t size);
void explore_free(void *ptr);
size_t explore_live(void); /* how many of them there are */

#endif
