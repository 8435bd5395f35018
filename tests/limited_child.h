/* limited_child.h - a part of a cmocka test that needs a process which may lock little memory. Only
   for POSIX. Included after cmocka.h. */

#ifndef TESTS_LIMITED_CHILD_H
#define TESTS_LIMITED_CHILD_H

#include <stdio.h>

#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs `body` in a child without privilege that may lock only so many bytes. Root is not held to
   that limit, so a child of root becomes somebody else first. */
static inline void in_a_limited_child(int (*body)(void), size_t soft, size_t hard) {
  struct rlimit limit;
  int status;
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    limit.rlim_cur = soft;
    limit.rlim_max = hard;
    if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0) _exit(2);
    if (geteuid() == 0 && setuid(65534) != 0) _exit(3);
    _exit(body());
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
}

/* cmocka's asserts are for its own process: a child says itself what was not so, and returns 1. */
#define MUST(so)                                                       \
  do {                                                                 \
    if (!(so)) {                                                       \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #so); \
      return 1;                                                        \
    }                                                                  \
  } while (0)

#endif
