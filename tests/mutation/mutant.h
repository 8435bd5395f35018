/* mutant.h - chooses one of the mutants that stand in a copy of hostcache.h (mutants.py). Included
   before everything else of a program, in each of its files.

   HOSTCACHE_MUTANT_CHOSEN, of the environment, is the number of the one that is alive; without it
   none is. HOSTCACHE_MUTANT_REACHED names a file with a byte for each: that of a mutant that the
   program comes past becomes 1. */

#ifndef TESTS_MUTATION_MUTANT_H
#define TESTS_MUTATION_MUTANT_H

#ifdef __cplusplus
extern "C" {
#endif
extern int hostcache_mutant_chosen;
extern unsigned char *hostcache_mutants_reached;
int hostcache_mutant(int number);
#ifdef __cplusplus
}
#endif

/* Where each touch of memory is told to somebody, these must not be. */
#ifdef __SANITIZE_THREAD__
#define HOSTCACHE_MUTANT(n) hostcache_mutant(n)
#else
#define HOSTCACHE_MUTANT(n) (hostcache_mutants_reached[n] = 1, hostcache_mutant_chosen == (n))
#endif
#define HOSTCACHE_SIGN(n) (HOSTCACHE_MUTANT(n) ? -1 : 1)

#endif
