/* allocators.h - one function for each file that adds allocators to the list of works.h. */

#ifndef BENCH_ALLOCATORS_H
#define BENCH_ALLOCATORS_H

void add_floor();
void add_hostcache();          /* event mode, by handle and by pointer */
void add_hostcache_variants(); /* other modes, settings and ways to build it */
void add_pytorch();
void add_cub();
void add_malloc();

#endif
