/* life.h - what the tests of beginnings and ends share: children whose end is the result, threads
   that meet, a hook in which a thread stops. Included after rig.h. */

#ifndef TESTS_LIFE_LIFE_H
#define TESTS_LIFE_LIFE_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>
#ifndef _WIN32
#include <sys/mman.h>
#include <sys/types.h>
#include <sys/wait.h>
#endif

/* ---- children -------------------------------------------------------------------------------- */

/* For what a child must find, where cmocka's assertions, which are for their own process, can't be
   used: prints what is not so and ends the process, whatever thread it is on. */
#define MUST(so)                                                       \
  do {                                                                 \
    if (!(so)) {                                                       \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #so); \
      fflush(stderr);                                                  \
      _exit(1);                                                        \
    }                                                                  \
  } while (0)

#ifdef _WIN32

#define in_a_child(body, argument) \
  do {                             \
    (void)(body);                  \
    (void)(argument);              \
    needs("fork", false);          \
  } while (0)

#else

/* At exit a leak checker looks at the threads that a process has had. In a child those of its
   parent are missing, with all that only their stacks point to; and so is the main thread after
   pthread_exit. There it must not look. (It calls this, if there is one.) */
static bool threads_are_missing;
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void) { return threads_are_missing; }

/* Runs `body` in a child, which is to end by itself with 0: by returning, which is exit(0), or in a
   way of its own. Says whether it did. The alarm is for a child that hangs, and decides nothing
   else. */
static inline bool child_ends_well(void (*body)(void *), void *argument) {
  int status;
  pid_t child;
  fflush(NULL); /* else the child's exit writes it once more */
  child = fork();
  if (child == 0) {
    alarm(30);
    body(argument);
    exit(0);
  }
  if (child < 0 || waitpid(child, &status, 0) != child) {
    print_error("no child could be had, or not waited for\n");
    return false;
  }
  if (WIFSIGNALED(status))
    print_error("the child was ended by signal %d%s\n", WTERMSIG(status),
                WTERMSIG(status) == SIGALRM ? ": it hung" : "");
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

#define in_a_child(body, argument) assert_true(child_ends_well(body, argument))

/* A number that a child counts and its parent reads: so that what happens last in a process can be
   seen to have happened. */
static inline atomic_int *shared_count(void) {
  void *page =
      mmap(NULL, sizeof(atomic_int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  assert_true(page != MAP_FAILED);
  return (atomic_int *)page;
}

/* Its last value. */
static inline int shared_count_end(atomic_int *count) {
  const int value = atomic_load(count);
  munmap(count, sizeof *count);
  return value;
}

#endif

/* ---- threads that meet ----------------------------------------------------------------------- */

typedef struct meeting {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int step; /* only rises */
} meeting;

#define MEETING_INIT \
  { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 }

static inline void reach(meeting *m, int step) {
  pthread_mutex_lock(&m->lock);
  if (step > m->step) m->step = step;
  pthread_cond_broadcast(&m->changed);
  pthread_mutex_unlock(&m->lock);
}

static inline void await(meeting *m, int step) {
  pthread_mutex_lock(&m->lock);
  while (m->step < step) pthread_cond_wait(&m->changed, &m->lock);
  pthread_mutex_unlock(&m->lock);
}

/* ---- a hook in which a thread stops ---------------------------------------------------------- */

#ifdef TESTS_SIM_H

static _Thread_local meeting *stop_at; /* this thread stops once, reaches 1 there and awaits 2, */
static _Thread_local sim_hook stop_in; /* in this hook */

static inline void stop_in_a_hook(void *user, sim_hook hook) {
  meeting *m = stop_at;
  (void)user;
  if (m == NULL || hook != stop_in) return;
  stop_at = NULL;
  reach(m, 1);
  await(m, 2);
}

#endif

#endif
