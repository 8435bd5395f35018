/* segments.h - what a suite that is registered twice is told. It has segments of one block each, so
   that every new block shows at the hooks; and, with HOSTCACHE_SHARED_SEGMENTS in the environment,
   those of the default config. What shares a segment is of a class, and so takes the ways of the
   hot path: through the stock of a thread, and through the queues in fewer steps. */

#ifndef TESTS_SEGMENTS_H
#define TESTS_SEGMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define SEGMENT_OF_ONE_BLOCK ((size_t)4096) /* the config that says so */

static inline bool blocks_share_segments(void) {
  return getenv("HOSTCACHE_SHARED_SEGMENTS") != NULL;
}

static inline size_t segment_bytes_wanted(void) {
  return blocks_share_segments() ? 0 : SEGMENT_OF_ONE_BLOCK;
}

/* How many segments so many blocks of one size lie in. */
static inline int64_t segments_of(int64_t blocks, size_t size) {
  const int64_t in_one = blocks_share_segments() ? (int64_t)(2097152 / size) : 1;
  return (blocks + in_one - 1) / in_one;
}

#endif
