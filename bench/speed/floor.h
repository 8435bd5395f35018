/* floor.h - the least that such an allocator can cost: it does the work of one and takes no care.

   Each thread has a list of free blocks for each size class, eight classes to a doubling, last
   in, first out; and for each stream a queue of blocks that wait, asked only when a list is
   empty. There is no synchronisation at all, a block must be freed by the thread that got it,
   memory is never given back, and a mistake is not noticed. A block is named by a handle, as in
   hostcache, and the functions stand in a file of their own, as a user's cache does. */

#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include "device.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct floor_block floor_block;

floor_block *floor_get(device_memory *memory, size_t size); /* NULL: no memory. size > 8 */
void floor_use(floor_block *block, device_stream *stream);  /* at most four, each once */
void floor_give(floor_block *block);

#ifdef __cplusplus
}
#endif

#endif
