/* One check of a program that is its own test: says what is not so, and ends the program. */

#ifndef TESTS_EXPECT_H
#define TESTS_EXPECT_H

#include <stdio.h>
#include <stdlib.h>

#define EXPECT(condition) expect((condition) ? 1 : 0, #condition, __FILE__, __LINE__)

static inline void expect(int holds, const char *condition, const char *file, int line) {
  if (holds) return;
  fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
  exit(1);
}

#endif
