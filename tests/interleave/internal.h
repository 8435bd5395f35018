/* internal.h - what explore.c (threads and decisions) and memory.c (what they see) share. */

#ifndef TESTS_INTERLEAVE_INTERNAL_H
#define TESTS_INTERLEAVE_INTERNAL_H

#include "explore.h"

#include <string.h>

/* The C library's own: the linker gives these names to what is watched (see the end of memory.c),
   and the explorer does not watch itself. */
void *__real_memcpy(void *to, const void *from, size_t size);
void *__real_memmove(void *to, const void *from, size_t size);
void *__real_memset(void *to, int byte, size_t size);
#define memcpy __real_memcpy
#define memmove __real_memmove
#define memset __real_memset

extern bool explore_running;     /* the threads run: not before, and not after */
extern unsigned explore_current; /* what explore_self gives */

/* A switch point, before a step at a lock, an atomic or a device, and its line in the trace. */
void explore_point(const char *operation, const char *what, const void *where, bool writes,
                   int line);

void memory_forget(void);     /* a new test: no memory, and nothing kept */
void memory_keep(void);       /* the memory as it is now is where every schedule begins */
void memory_restore(void);    /* ... */
uint64_t memory_digest(void); /* of what differs from where every schedule begins */
void memory_begin(unsigned threads);
void memory_join(unsigned thread); /* this thread has seen all that another did */
void memory_trace(void);           /* the next schedule repeats the last: its race is traced */

/* How memory.c sees a lock: an atomic, of which each holder takes over what the last one handed
   on. */
void memory_look(explore_mutex *mutex); /* is it there? Before it is looked at */
void memory_lock(explore_mutex *mutex);
void memory_unlock(explore_mutex *mutex);

#endif
