/* explore.c - the threads of an explored program, and the decisions that steer them. explore.h says
   what it is for, memory.c is what the threads see.

   A schedule is run from its first decision on: those up to a place are given, all others take
   option 0 (or are random). To explore depth first, the last decision that has another option
   within the bounds takes it, and those behind it are forgotten. Nothing but the decisions tells
   one run from another: the memory is put back to what `before` left, the clock is counted, and no
   address is chosen by the system. */

#define _GNU_SOURCE /* the signal handler's setcontext */

#include "internal.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <ucontext.h>

enum {
  STACK_BYTES = 256 << 10,
  MOST_DECISIONS = 1 << 15,
  LONE_PAUSES = 4, /* of one thread, while no other does anything, are fine: it looks again */
  ENDS = 1 << 18,
  PLACES = 1 << 15,
  LESSONS = 100, /* random schedules from which a depth first search learns, before it begins */
  MOST_STEPS = 20000, /* a schedule that takes more never ends */
  WATCHDOG_TICKS = 5  /* of a tenth of a second of processor time, without a switch point */
};

typedef enum condition { ABLE, LOCKED_OUT, PAUSED, JOINING, ENDED } condition;

typedef struct step {
  const void *where; /* which lock, atomic or device; NULL: all, as a barrier */
  bool writes;
} step;

typedef struct coroutine {
  ucontext_t context;
  condition condition;
  explore_mutex *wants; /* LOCKED_OUT */
  bool resumed;         /* chosen just now, and no step done since: to preempt it would be idle */
  bool justified;       /* see is_redundant */
  uint64_t steps;       /* its own */
  uint64_t paused_at;   /* what the others had done when it paused */
  unsigned lone_pauses; /* since they did anything */
  int priority;         /* PCT: the highest goes on */
  uint32_t locks;       /* that it holds, a bit for each */
  uint32_t fresh_locks; /* those that it took since its last step, and others take as well */
  unsigned local;
} coroutine;

typedef struct decision {
  uint16_t chosen, options; /* how many there are within the bounds, from 0 */
} decision;

/* Who came to a place, who of them changed something there, and which locks they all held: a bit
   for each thread and lock. */
typedef struct visits {
  uint8_t came, wrote;
  uint32_t locks;
} visits;

/* Where steps were done: a lock, an atomic, the device. */
typedef struct spot {
  const void *where;  /* NULL: a free one of the table */
  visits known, seen; /* when this pass over the schedules began; so far */
} spot;

typedef enum strategy { DEPTH_FIRST, RANDOM, REPLAY, BYTES } strategy;

bool explore_running;
unsigned explore_current;
void (*explore_follow)(unsigned thread, int line);

static struct explorer {
  const explore_test *test;
  strategy strategy;
  bool tracing;
  coroutine *threads; /* EXPLORE_THREADS of them */
  char *stacks;
  uint64_t steps, progress;
  step *log; /* of the steps so far */

  decision *trail;
  size_t length, given; /* decisions so far; those that are not free */
  unsigned spent[EXPLORE_KINDS + 1], spent_total;
  const char *replayed;
  const uint8_t *bytes, *bytes_end; /* BYTES: those that are not used yet */
  unsigned skipped;                 /* decisions, as the first of them says */

  uint64_t random, change_points[8], longest;
  unsigned depth;
  int lowest; /* the last priority that a thread got when it paused */

  spot *places; /* a table by address of where steps were done, in any schedule of the test */
  size_t place_count;
  bool has_new; /* something was found there since this pass over the schedules began */
  const explore_mutex *mutexes[32];
  size_t mutex_count;

  bool redundant; /* the schedule was given up */
  size_t end_count;
  uint64_t *ends; /* how schedules ended that passed: a table of digests; 0 is empty */
  ucontext_t home;
  explore_result result;
  volatile sig_atomic_t idle_ticks;
  uint64_t seen_steps;
} explorer;

unsigned explore_self(void) { return explore_current; }
void explore_become(unsigned id) {
  explore_assert(!explore_running && id < EXPLORE_THREADS);
  explore_current = id;
}
unsigned *explore_local(void) { return &explorer.threads[explore_current].local; }

void explore_note(const char *format, ...) {
  va_list arguments;
  if (!explorer.tracing) return;
  if (explore_running)
    fprintf(stderr, "%5llu  %*sT%u  ", (unsigned long long)explorer.steps,
            (int)(4 * explore_current), "", explore_current);
  else
    fprintf(stderr, "       --  ");
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
}

/* ---- failures -------------------------------------------------------------------------------- */

static void write_decisions(void) {
  explore_result *result = &explorer.result;
  size_t i, at = 0;
  result->decisions[0] = 0;
  for (i = 0; i < explorer.length; i++)
    if (explorer.trail[i].chosen && at < sizeof result->decisions - 16)
      at += (size_t)snprintf(result->decisions + at, sizeof result->decisions - at, "%s%zu:%u",
                             at ? "," : "", i, explorer.trail[i].chosen);
  if (at == 0) snprintf(result->decisions, sizeof result->decisions, "none");
}

void explore_fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(explorer.result.message, sizeof explorer.result.message, format, arguments);
  va_end(arguments);
  explore_note("FAILED: %s", explorer.result.message);
  write_decisions();
  explorer.result.failed = true;
  explore_running = false;
  setcontext(&explorer.home);
  abort();
}

static void on_signal(int signal) {
  if (signal == SIGVTALRM) {
    if (explorer.seen_steps !=
        explorer.steps + explorer.result.schedules + explorer.result.given_up) {
      explorer.seen_steps = explorer.steps + explorer.result.schedules + explorer.result.given_up;
      explorer.idle_ticks = 0;
    }
    if (++explorer.idle_ticks <= WATCHDOG_TICKS) return;
    explorer.idle_ticks = 0;
    explore_fail("no switch point for half a second: a loop without end");
  }
  explore_fail("signal %d: %s", signal, strsignal(signal));
}

/* A watchdog of processor time: it makes a hang a failure, and else changes nothing. */
static void watch(bool on) {
  static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGVTALRM};
  static struct sigaction kept[sizeof faults / sizeof faults[0]];
  struct itimerval every = {{0, on ? 100000 : 0}, {0, on ? 100000 : 0}};
  struct sigaction action;
  size_t i;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  if (!on) (void)setitimer(ITIMER_VIRTUAL, &every, NULL);
  for (i = 0; i < sizeof faults / sizeof faults[0]; i++)
    (void)sigaction(faults[i], on ? &action : &kept[i], on ? &kept[i] : NULL);
  if (on) (void)setitimer(ITIMER_VIRTUAL, &every, NULL);
}

/* ---- decisions ------------------------------------------------------------------------------- */

static uint64_t next_random(void) { /* xorshift64* */
  explorer.random ^= explorer.random >> 12;
  explorer.random ^= explorer.random << 25;
  explorer.random ^= explorer.random >> 27;
  return explorer.random * UINT64_C(2685821657736338717);
}

static unsigned random_below(unsigned bound) { return (unsigned)((next_random() >> 11) % bound); }

/* What the replayed list says of the decision at this place. */
static unsigned replayed_at(size_t place) {
  const char *at = explorer.replayed;
  while (at && *at) {
    char *end;
    size_t listed = (size_t)strtoull(at, &end, 10);
    unsigned chosen = *end == ':' ? (unsigned)strtoul(end + 1, &end, 10) : 0;
    if (listed == place && end != at) return chosen;
    at = *end ? end + 1 : end;
  }
  return 0;
}

/* What the bytes say of this decision. */
static unsigned chosen_by_bytes(unsigned options) {
  enum { ONLY_SKIPS = 255 };
  unsigned chosen = 0;
  if (explorer.bytes_end - explorer.bytes < 2) return 0;
  if (explorer.skipped++ < explorer.bytes[0]) return 0;
  if (explorer.bytes[0] != ONLY_SKIPS) chosen = 1 + explorer.bytes[1] % (options - 1);
  explorer.bytes += 2;
  explorer.skipped = 0;
  return chosen;
}

static void justify_all(void) {
  unsigned i;
  for (i = 0; i < explorer.test->threads; i++) explorer.threads[i].justified = true;
}

/* `preferred` is what a random schedule takes; for others of its decisions it is `options`. */
static unsigned decide(unsigned kind, unsigned options, unsigned preferred, bool matters,
                       const char *what) {
  const explore_bounds *bounds = &explorer.test->bounds;
  const bool by_bytes = explorer.strategy == BYTES;
  const bool is_counted = kind != EXPLORE_FREE &&
                          !(kind == EXPLORE_PREEMPT && (explorer.strategy == RANDOM || by_bytes));
  unsigned chosen = 0, within = options;
  decision *here = &explorer.trail[explorer.length];
  if (options < 2 || explorer.redundant) return 0;
  if (explorer.length == MOST_DECISIONS) explore_fail("more decisions than there is room for");
  if (is_counted &&
      (explorer.spent[kind] >= bounds->of[kind] || explorer.spent_total >= bounds->total))
    within = 1;
  if (!matters) within = 1; /* a decision still: the places of others do not depend on this */
  if (explorer.strategy == REPLAY)
    chosen = replayed_at(explorer.length);
  else if (explorer.strategy == DEPTH_FIRST && explorer.length < explorer.given)
    chosen = here->chosen;
  else if (by_bytes && within > 1)
    chosen = chosen_by_bytes(options);
  else if (explorer.strategy == RANDOM && within > 1)
    chosen = preferred < options ? preferred : random_below(6) == 0 ? random_below(options) : 0;
  if (chosen >= options || (explorer.strategy == DEPTH_FIRST && explorer.length < explorer.given &&
                            here->options != within))
    explore_fail("the explored program is not the same in every run: decision %zu",
                 explorer.length);
  here->chosen = (uint16_t)chosen;
  here->options = (uint16_t)within;
  explorer.length++;
  if (chosen && is_counted) {
    explorer.spent[kind]++;
    explorer.spent_total++;
  }
  if (chosen && kind != EXPLORE_FREE && kind != EXPLORE_PREEMPT) {
    explorer.progress++; /* who waits for the usual outcome does not wait in vain */
    justify_all();
  }
  if (chosen && what) explore_note("%s", what);
  return chosen;
}

unsigned explore_pick(unsigned kind, unsigned options, const char *what) {
  return explore_running ? decide(kind, options, options, true, what) : 0;
}

unsigned explore_spent(unsigned kind) { return explorer.spent[kind]; }

/* ---- threads --------------------------------------------------------------------------------- */

static uint64_t steps_of_others(const coroutine *thread) {
  return explorer.steps + explorer.progress - thread->steps;
}

static bool is_able(unsigned id) {
  const coroutine *thread = &explorer.threads[id];
  unsigned other;
  switch (thread->condition) {
    case ABLE: return true;
    case LOCKED_OUT: return thread->wants->owner == 0;
    case PAUSED: return steps_of_others(thread) > thread->paused_at;
    case JOINING:
      for (other = 0; other < explorer.test->threads; other++)
        if (other != id && explorer.threads[other].condition != ENDED) return false;
      return true;
    case ENDED: break;
  }
  return false;
}

static void go_on_with(unsigned id, ucontext_t *from) {
  explore_current = id;
  explorer.threads[id].condition = ABLE;
  swapcontext(from, &explorer.threads[id].context);
}

static spot *spot_of(const void *where) {
  size_t at = ((uintptr_t)where * UINT64_C(0x9e3779b97f4a7c15)) >> 32;
  for (;; at++) {
    spot *here = &explorer.places[at % PLACES];
    if (here->where == where) return here;
    if (here->where) continue;
    if (++explorer.place_count > PLACES / 2)
      explore_fail("steps at more places than there is room for");
    here->where = where;
    here->seen.locks = here->known.locks = UINT32_MAX;
    return here;
  }
}

/* Does it matter whether a thread's step comes before or after what the others do there? */
static bool can_conflict(const visits *there, unsigned self, bool writes) {
  return there->locks == 0 && ((writes ? there->came : there->wrote) & ~self) != 0;
}

/* Is there but one schedule, which is not chosen here? */
static bool is_given(void) { return explorer.strategy == REPLAY || explorer.strategy == BYTES; }

/* Notes who comes to a place. Should this thread be preempted before it? Not where a thread alone
   comes, where all only look, or where each holds the same lock: there its step changes places with
   all that the others can do meanwhile, so it can as well be preempted later. But in any case once
   while it holds a lock that others take: who comes to wait for that hands on to this thread, and
   no preemption is spent on it. Which places these are is learned: if a pass over the schedules
   finds one more, the next pass begins anew. */
static bool is_worth_preempting(const void *where, bool writes) {
  const unsigned self = 1u << explore_current;
  const uint32_t locks = explorer.threads[explore_current].locks;
  spot *here;
  if (!where || is_given() || explorer.test->gives_nothing_up) return true;
  here = spot_of(where);
  if ((here->seen.came & self) == 0 || (writes && (here->seen.wrote & self) == 0) ||
      (here->seen.locks & ~locks)) {
    here->seen.came |= (uint8_t)self;
    if (writes) here->seen.wrote |= (uint8_t)self;
    here->seen.locks &= locks;
    if (here->seen.locks == 0 && here->seen.wrote && (here->seen.came & (here->seen.came - 1)))
      explorer.has_new = true;
  }
  return explorer.strategy == RANDOM || explorer.threads[explore_current].fresh_locks != 0 ||
         can_conflict(&here->known, self, writes);
}

/* Do others take this lock? */
static bool is_shared(const explore_mutex *mutex) {
  return !is_given() && (spot_of(mutex)->known.came & ~(1u << explore_current)) != 0;
}

/* The next pass knows what this one found. */
static void learn_places(void) {
  size_t i;
  for (i = 0; i < PLACES; i++) explorer.places[i].known = explorer.places[i].seen;
  explorer.has_new = false;
}

/* The bit of a lock; 0 for the last ones, if there are too many. */
static uint32_t bit_of(const explore_mutex *mutex) {
  size_t i;
  for (i = 0; i < explorer.mutex_count; i++)
    if (explorer.mutexes[i] == mutex) return UINT32_C(1) << i;
  if (explorer.mutex_count == sizeof explorer.mutexes / sizeof explorer.mutexes[0]) return 0;
  explorer.mutexes[explorer.mutex_count++] = mutex;
  return UINT32_C(1) << i;
}

/* Chooses who goes on: this thread first, if it can, then the others by their ids. Where this
   thread cannot, one that paused goes on only if all others do, so that threads that wait do not
   keep each other busy; else it takes a preemption, if that matters here. Returns false, and
   chooses nobody, if there is none. */
static bool choose_thread(bool matters, unsigned *id) {
  unsigned options[EXPLORE_THREADS], count = 0, other, best = 0;
  const bool mine = explore_current < explorer.test->threads && is_able(explore_current);
  int paused;
  if (mine) options[count++] = explore_current;
  for (paused = 0; paused < 2 && (mine || count == 0); paused++)
    for (other = 0; other < explorer.test->threads; other++)
      if (other != explore_current && is_able(other) &&
          (explorer.threads[other].condition == PAUSED) == paused)
        options[count++] = other;
  if (count == 0) return false;
  for (other = 1; other < count; other++)
    if (explorer.threads[options[other]].priority > explorer.threads[options[best]].priority)
      best = other;
  *id = options[decide(mine ? EXPLORE_PREEMPT : EXPLORE_FREE, count, best, matters || !mine, NULL)];
  return true;
}

/* This thread cannot go on: another one does. */
static void leave(const char *why) {
  coroutine *self = &explorer.threads[explore_current];
  unsigned next;
  if (!choose_thread(true, &next)) explore_fail("deadlock: no thread can go on; this one %s", why);
  go_on_with(next, &self->context);
}

/* A thread was preempted before a step, and goes on with it now. If nothing that others have done
   meanwhile has to do with that step, the step could as well have been done before it: then
   another schedule, in which the thread is preempted later, is the same, and this one need not go
   on. Not so if another thread came to wait for something meanwhile, as it may not wait then. */
static bool is_redundant(const coroutine *self, uint64_t since, const void *where, bool writes) {
  uint64_t i;
  if (explorer.strategy != DEPTH_FIRST || explorer.test->gives_nothing_up) return false;
  if (self->justified) return false;
  for (i = since; i < explorer.steps; i++)
    if (!where || !explorer.log[i].where ||
        (explorer.log[i].where == where && (writes || explorer.log[i].writes)))
      return false;
  return true;
}

static void note_step(const void *where, bool writes) {
  step *here = &explorer.log[explorer.steps];
  if (++explorer.steps >= MOST_STEPS)
    explore_fail("%d steps, and no end: threads wait for each other", MOST_STEPS);
  here->where = where;
  here->writes = writes;
}

void explore_point(const char *operation, const char *what, const void *where, bool writes,
                   int line) {
  coroutine *self;
  unsigned next, i;
  bool matters;
  if (!explore_running) return;
  self = &explorer.threads[explore_current];
  matters = is_worth_preempting(where, writes);
  for (i = 0; explorer.strategy == RANDOM && i + 1 < explorer.depth; i++)
    if (explorer.change_points[i] == explorer.steps) self->priority = (int)(explorer.depth - 2 - i);
  if (!self->resumed && choose_thread(matters, &next) && next != explore_current) {
    const uint64_t since = explorer.steps;
    self->justified = false;
    go_on_with(next, &self->context);
    if (!explorer.redundant && is_redundant(self, since, where, writes)) {
      explorer.redundant = true;
#ifndef EXPLORE_TO_THE_END /* tests/coverage: of what ends midway, counts make no sense */
      setcontext(&explorer.home);
#endif
    }
  }
  self->resumed = false;
  self->fresh_locks = 0;
  note_step(where, writes);
  self->steps++;
  if (explore_follow) explore_follow(explore_current, line);
  if (explorer.tracing) explore_note("%s %s, line %d", operation, what, line);
}

void explore_step(const char *what, const void *where, int line) {
  explore_point(what, "", where, true, line);
}

void explore_pause(int line) {
  coroutine *self = &explorer.threads[explore_current];
  unsigned other, able = 0;
  if (!explore_running) return;
  explore_note("pause, line %d", line);
  justify_all();
  self->priority = --explorer.lowest;
  for (other = 0; other < explorer.test->threads; other++)
    able += other != explore_current && is_able(other);
  if (self->paused_at != steps_of_others(self)) self->lone_pauses = 0;
  self->paused_at = steps_of_others(self);
  if (able > 0) {
    self->condition = PAUSED;
    leave("pauses");
    self->resumed = true;
  } else if (++self->lone_pauses > LONE_PAUSES) {
    explore_fail("livelock: the thread waits for what no other thread can do, line %d", line);
  }
}

void explore_join(void) {
  coroutine *self = &explorer.threads[explore_current];
  unsigned other;
  explore_point("join", "", NULL, true, 0);
  justify_all();
  self->condition = JOINING;
  if (!is_able(explore_current)) leave("joins");
  self->condition = ABLE;
  for (other = 0; other < explorer.test->threads; other++)
    if (other != explore_current) memory_join(other);
}

void explore_lock(explore_mutex *mutex, const char *what, int line) {
  coroutine *self = &explorer.threads[explore_current];
  const unsigned owner = explore_current + 1;
  if (explore_running && mutex->owner && mutex->owner != owner)
    self->resumed = true; /* it must wait: so another one goes on, which costs no preemption */
  explore_point("lock", what, mutex, true, line);
  memory_look(mutex);
  if (mutex->owner == owner) explore_fail("takes the %s lock that it holds, line %d", what, line);
  if (mutex->owner) {
    if (!explore_running) explore_fail("the %s lock was left locked, line %d", what, line);
    explore_note("waits for T%u", (unsigned)mutex->owner - 1);
    explorer.threads[mutex->owner - 1].justified = true;
    self->condition = LOCKED_OUT;
    self->wants = mutex;
    leave("waits for a lock");
    note_step(mutex, true); /* now, and not when it came to wait, the lock is taken */
    self->steps++;
  }
  memory_lock(mutex);
  mutex->owner = owner;
  self->locks |= bit_of(mutex);
  if (explore_running && is_shared(mutex)) self->fresh_locks |= bit_of(mutex);
}

void explore_unlock(explore_mutex *mutex, const char *what, int line) {
  if (mutex->owner != explore_current + 1)
    explore_fail("gives back the %s lock, which it does not hold, line %d", what, line);
  memory_unlock(mutex);
  mutex->owner = 0;
  explorer.threads[explore_current].locks &= ~bit_of(mutex);
  explorer.threads[explore_current].fresh_locks &= ~bit_of(mutex);
}

static void begin_thread(int id) {
  unsigned next;
  explorer.test->thread(explorer.test->state, (unsigned)id);
  explorer.threads[id].condition = ENDED;
  explore_note("ends");
  note_step(&explorer, false); /* for those that pause */
  if (choose_thread(true, &next)) go_on_with(next, &explorer.threads[id].context);
  for (next = 0; next < explorer.test->threads; next++)
    if (explorer.threads[next].condition != ENDED)
      explore_fail("deadlock: no thread can go on; the last one has ended");
  setcontext(&explorer.home);
}

/* ---- schedules ------------------------------------------------------------------------------- */

/* Does the schedule end as none before it? If not, `after` would find what it found then. */
static bool is_new_end(void) {
  uint64_t digest = memory_digest(), at;
  const unsigned char *state = explorer.test->state;
  size_t i;
  for (i = 0; i < explorer.test->state_bytes; i++)
    digest = (digest ^ state[i]) * UINT64_C(0x100000001b3);
  digest = (digest ^ explorer.spent[EXPLORE_FAIL]) * UINT64_C(0x100000001b3);
  if (digest == 0) digest = 1;
  for (at = digest; explorer.ends[at % ENDS] != 0; at++)
    if (explorer.ends[at % ENDS] == digest) return false;
  if (++explorer.end_count > ENDS / 2) {
    memset(explorer.ends, 0, ENDS * sizeof *explorer.ends);
    explorer.end_count = 0;
  }
  explorer.result.ends++;
  explorer.result.ends_digest += digest;
  while (explorer.ends[at % ENDS] != 0) at++;
  explorer.ends[at % ENDS] = digest;
  return true;
}

/* Runs the test's threads from where `before` left all. False: it failed. */
static bool run_threads(void *kept) {
  const explore_test *test = explorer.test;
  volatile bool started = false;
  unsigned i, first;
  memory_restore();
  memcpy(test->state, kept, test->state_bytes);
  memory_begin(test->threads);
  explorer.steps = 0;
  explorer.progress = 0;
  explorer.length = 0;
  explorer.lowest = 0;
  memset(explorer.spent, 0, sizeof explorer.spent);
  explorer.spent_total = 0;
  for (i = 0; i < test->threads; i++) {
    coroutine *thread = &explorer.threads[i];
    thread->condition = ABLE;
    thread->resumed = true;
    thread->steps = 0;
    thread->local = 0;
    thread->locks = 0;
    thread->fresh_locks = 0;
    thread->paused_at = 0;
    thread->lone_pauses = 0;
    thread->context.uc_stack.ss_sp = explorer.stacks + i * STACK_BYTES;
    thread->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&thread->context, (void (*)(void))begin_thread, 1, (int)i);
  }
  explorer.redundant = false;
  (void)getcontext(&explorer.home); /* also where a failure goes, and the last thread at its end */
  if (!started) {
    started = true;
    explore_current = EXPLORE_THREADS;
    explore_running = true;
    (void)choose_thread(true, &first);
    explore_current = first;
    setcontext(&explorer.threads[first].context);
  }
  explore_running = false;
  explore_current = 0;
  if (explorer.redundant) {
    explorer.result.given_up++;
    return true;
  }
  explorer.result.schedules++;
  if (explorer.steps > explorer.result.steps) explorer.result.steps = explorer.steps;
  for (i = 0; i < EXPLORE_THREADS; i++) explorer.threads[i].local = 0;
  if (!explorer.result.failed && (is_given() || is_new_end())) {
    volatile bool ran = false;
    (void)getcontext(&explorer.home);
    if (!ran) {
      ran = true;
      test->after(test->state);
    }
  }
  return !explorer.result.failed;
}

/* The next schedule of a depth first search. False: there is none. */
static bool next_schedule(void) {
  while (explorer.length > 0) {
    decision *last = &explorer.trail[explorer.length - 1];
    if (last->chosen + 1u < last->options) {
      last->chosen++;
      explorer.given = explorer.length;
      return true;
    }
    explorer.length--;
  }
  return false;
}

/* PCT: every thread gets a priority of its own above those that the change points give. */
static void random_schedule(uint64_t seed) {
  unsigned i, j;
  int swap;
  explorer.random = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
  (void)next_random();
  for (i = 0; i < explorer.test->threads; i++)
    explorer.threads[i].priority = (int)(explorer.depth + i);
  for (i = explorer.test->threads; i-- > 1;) {
    j = random_below(i + 1);
    swap = explorer.threads[i].priority;
    explorer.threads[i].priority = explorer.threads[j].priority;
    explorer.threads[j].priority = swap;
  }
  for (i = 0; i + 1 < explorer.depth; i++)
    explorer.change_points[i] = random_below((unsigned)explorer.longest + 1);
}

/* No schedule was run so far. */
static void begin_pass(void) {
  explorer.given = 0;
  explorer.length = 0;
  if (!is_given()) memset(explorer.ends, 0, ENDS * sizeof *explorer.ends);
  explorer.end_count = 0;
  memset(&explorer.result, 0, sizeof explorer.result);
}

static void *begin(const explore_test *test, strategy by) {
  void *kept = malloc(test->state_bytes + 1);
  volatile bool began = false;
  unsigned i;
  if (!kept) abort();
  if (!explorer.trail) {
    explorer.trail = malloc(MOST_DECISIONS * sizeof *explorer.trail);
    explorer.stacks = malloc(EXPLORE_THREADS * (size_t)STACK_BYTES);
    explorer.threads = calloc(EXPLORE_THREADS, sizeof *explorer.threads);
    explorer.log = malloc(MOST_STEPS * sizeof *explorer.log);
    explorer.ends = malloc(ENDS * sizeof *explorer.ends);
    explorer.places = malloc(PLACES * sizeof *explorer.places);
    if (!explorer.places || !explorer.ends || !explorer.log || !explorer.trail ||
        !explorer.stacks || !explorer.threads)
      abort();
    for (i = 0; i < EXPLORE_THREADS; i++) (void)getcontext(&explorer.threads[i].context);
  }
  explorer.test = test;
  explorer.strategy = by;
  explorer.longest = 1;
  explore_current = 0;
  for (i = 0; i < EXPLORE_THREADS; i++) explorer.threads[i].local = 0;
  explore_running = false;
  if (!is_given()) { /* which needs no places, and is to begin fast */
    memset(explorer.places, 0, PLACES * sizeof *explorer.places);
    explorer.place_count = 0;
  }
  explorer.mutex_count = 0;
  explorer.has_new = false;
  begin_pass();
  watch(true);
  (void)getcontext(&explorer.home);
  if (!began) {
    began = true;
    memory_forget();
    memset(test->state, 0, test->state_bytes);
    test->before(test->state);
    memory_keep();
    memcpy(kept, test->state, test->state_bytes);
  }
  return kept;
}

static explore_result end(void *kept) {
  watch(false);
  memory_forget(); /* what the caller writes to its statics from here on stays */
  free(kept);
  return explorer.result;
}

/* Random schedules tell which places are shared, but for a few, before the first pass. What fails
   here is none of the result, as it may be out of bounds; but then it is the last, since it may
   have taken half a second to fail, and the next would as well. */
static void learn_by_chance(void *kept) {
  unsigned i;
  explorer.strategy = RANDOM;
  explorer.depth = 3;
  for (i = 0; i < LESSONS && !explorer.result.failed; i++) {
    random_schedule(i);
    (void)run_threads(kept);
    if (explorer.steps > explorer.longest) explorer.longest = explorer.steps;
  }
  explorer.strategy = DEPTH_FIRST;
  learn_places();
  begin_pass();
}

explore_result explore_all(const explore_test *test, uint64_t most) {
  void *kept = begin(test, DEPTH_FIRST);
  uint64_t until = 0; /* this pass ends, as it has found new places; 0: it has not */
  if (!explorer.result.failed && !test->gives_nothing_up) learn_by_chance(kept);
  while (!explorer.result.failed && run_threads(kept)) {
    const uint64_t run = explorer.result.schedules + explorer.result.given_up;
    const bool is_over = !next_schedule();
    if (explorer.has_new && until == 0) until = 2 * run + LESSONS;
    if (explorer.has_new && (is_over || run >= until)) {
      learn_places();
      begin_pass();
      until = 0;
    } else if (is_over) {
      explorer.result.exhausted = true;
      break;
    }
    if (most && explorer.result.schedules >= most) break;
  }
  return end(kept);
}

explore_result explore_random(const explore_test *test, uint64_t seed, uint64_t schedules,
                              unsigned depth) {
  void *kept = begin(test, RANDOM);
  uint64_t i;
  explorer.depth = depth;
  for (i = 0; i < schedules && !explorer.result.failed; i++) {
    random_schedule(seed + i);
    (void)run_threads(kept);
    if (explorer.steps > explorer.longest) explorer.longest = explorer.steps;
  }
  return end(kept);
}

explore_result explore_replay(const explore_test *test, const char *decisions) {
  void *kept = begin(test, REPLAY);
  explorer.replayed = decisions;
  explorer.tracing = false;
  if (!explorer.result.failed && !run_threads(kept))
    memory_trace(); /* now it is known what races */
  explorer.tracing = true;
  explorer.result.failed = false;
  (void)run_threads(kept);
  explorer.tracing = false;
  return end(kept);
}

explore_result explore_bytes(const explore_test *test, const uint8_t *bytes, size_t size) {
  void *kept = begin(test, BYTES);
  explorer.bytes = bytes;
  explorer.bytes_end = bytes + size;
  explorer.skipped = 0;
  if (!explorer.result.failed) (void)run_threads(kept);
  return end(kept);
}
