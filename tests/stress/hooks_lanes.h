/* The device of lanes.h as parameters of the next inclusion of hostcache.h: memory. */
#define HC_CTX_T lanes *
#define HC_MEM_ALLOC(d, size, align, ptr) LANES_MEMORY(lanes_mem_alloc(d, size, align, ptr))
#define HC_MEM_FREE(d, ptr, size) LANES_STATUS(lanes_mem_free(d, ptr, size))
