/* mutant.c - which mutant is alive (mutant.h). Linked to each program. */

#include "mutant.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MOST = 1 << 16 };

static unsigned char nowhere[MOST];

int hostcache_mutant_chosen;
unsigned char *hostcache_mutants_reached = nowhere;

int hostcache_mutant(int number) {
  hostcache_mutants_reached[number] = 1;
  return hostcache_mutant_chosen == number;
}

__attribute__((constructor)) static void choose(void) {
  const char *chosen = getenv("HOSTCACHE_MUTANT_CHOSEN");
  const char *reached = getenv("HOSTCACHE_MUTANT_REACHED");
  if (chosen) hostcache_mutant_chosen = atoi(chosen);
  if (reached) {
    int file = open(reached, O_RDWR);
    void *at = mmap(NULL, MOST, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (at == MAP_FAILED) abort();
    hostcache_mutants_reached = (unsigned char *)at;
    (void)close(file);
  }
}
