/* The simulated device as parameters of the next inclusion of hostcache.h: memory. (Here and in the
   other hooks_*.h a call that knows no pending says it all the same when the referee was told to
   answer that.) */
#include "sim.h"

#define HC_CTX_T sim_device *
#define HC_MEM_ALLOC(ctx, size, align, ptr_out)                                           \
  hostcache_map_memory(sim_mem_alloc(ctx, size, align, ptr_out), SIM_DONE, SIM_NO_MEMORY, \
                       SIM_NO_MEMORY)
#define HC_MEM_FREE(ctx, ptr, size) \
  hostcache_map(sim_mem_free(ctx, ptr, size), SIM_DONE, SIM_PENDING)
