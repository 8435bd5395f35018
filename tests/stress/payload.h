/* payload.h - what is written into a block, and the work of a device on it.

   Each hand-out has a stamp of its own. The host writes it, the device checks it, or checks it and
   writes the next one; all by plain loads and stores, one word in 256 bytes and the last, so that
   no block of 512 bytes can be in the wrong hands unseen. A thread sanitizer sees a race on any of
   them; the stamps tell without one. */

#ifndef TESTS_STRESS_PAYLOAD_H
#define TESTS_STRESS_PAYLOAD_H

#include <inttypes.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "journal.h"

#define PAYLOAD_STEP 32 /* words: 256 bytes */

static _Thread_local journal *own_journal; /* of this thread; NULL: nothing is written down */

static atomic_uint_fast64_t payload_errors; /* relaxed; read when all threads have ended */

static inline size_t payload_random(uint64_t *state, size_t bound) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return (size_t)((*state * UINT64_C(2685821657736338717) >> 11) % bound);
}

static inline void payload_write(uint64_t *words, size_t size, uint64_t stamp) {
  const size_t count = size / sizeof *words;
  size_t i;
  for (i = 0; i < count; i += PAYLOAD_STEP) words[i] = stamp;
  words[count - 1] = stamp;
}

static inline void payload_check(const uint64_t *words, size_t size, uint64_t stamp,
                                 const char *who) {
  const size_t count = size / sizeof *words;
  uint64_t wrong = 0;
  size_t i;
  for (i = 0; i < count; i += PAYLOAD_STEP) wrong += words[i] != stamp;
  wrong += words[count - 1] != stamp;
  if (wrong == 0) return;
  if (atomic_fetch_add_explicit(&payload_errors, wrong, memory_order_relaxed) > 1000) return;
  fprintf(stderr, "payload: %s finds %" PRIu64 " words of %p that are not its own\n", who, wrong,
          (const void *)words);
}

/* Work that a device does on a block. */
typedef struct work {
  struct work *next; /* the device's */
  journal *journal;  /* of the thread that runs it */
  uint64_t hand_out; /* of the block */
  uint64_t *words;
  size_t size;
  uint64_t stamp;
  bool writes; /* the stamp after it */
} work;

static inline void work_run(void *argument) {
  work *w = (work *)argument;
  payload_check(w->words, w->size, w->stamp, "the device");
  if (w->writes) payload_write(w->words, w->size, w->stamp + 1);
  (void)journal_write(w->journal, USED, w->hand_out, NULL, 0);
  free(w);
}

#endif
