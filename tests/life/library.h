/* library.h - what the libraries of libraries.c export: each has a cache of the same name. */

#ifndef TESTS_LIFE_LIBRARY_H
#define TESTS_LIFE_LIBRARY_H

#include <stdatomic.h>

typedef struct library { /* results are those of hostcache; 0 is good */
  int (*open)(void);     /* makes the library's cache */
  int (*close)(void);
  int (*take)(void **ptr);
  int (*give)(void *ptr); /* after a use, which is complete */
  long (*stock)(void);    /* gets and frees small blocks; the bytes that its thread has in stock */
  int (*check)(void);
  int (*hook_calls)(void); /* of hooks in this library's code, for whatever cache */
  int (*bytes)(void);      /* that this library's device has given and not got back */
  const void *(*put_into_registry)(int type); /* its allocator, from its code; what is there then */
  const void *(*get_from_registry)(int type);
  const void *(*allocator)(void);
  void (*at_unload)(int what,
                    atomic_int *done); /* what a destructor of the library does; it sets *done */
} library;

enum { LEAVE, DESTROY, ABANDON };

#define LIBRARY_SYMBOL "life_library"

#endif
