/* hostcache_malloc.h - parameters for hostcache that make it a cache of malloc's own memory.

   For programs that get the same few sizes again and again: a network's activations, the buffers
   of a codec. What malloc gives back to the system after each round, and has to fetch and fault in
   for the next, stays where it is. It follows c10::CPUCachingAllocator of PyTorch: a block is one
   piece of malloc's memory, and serves requests of exactly its size; so it may outlive the cache's
   knowledge of it, and be freed by plain free; which cache a thread uses is what its guards say,
   and a pointer goes back to where it came from, whichever cache is asked.

   QUICK START

     #define HOSTCACHE_IMPLEMENTATION           // in one file of the program
     #define HC_NAME tensors
     #include "hostcache_malloc.h"              // gives every other HC_* parameter
     #include "hostcache.h"                     // makes the cache, and takes the parameters away

     tensors *cache;
     hostcache_guard guard;
     tensors_create(&cache, NULL, NULL);

     tensors_guard_push(cache, &guard);         // the current cache of this thread
     for (each picture) run(network, picture);  // which calls tensors_alloc(tensors_current(), ...)
     tensors_guard_pop(&guard);

     tensors_free_cached(cache);
     tensors_destroy(cache);

   In C++ a guard is a line:

     struct with_cache {
       hostcache_guard guard;
       explicit with_cache(tensors *cache) { tensors_guard_push(cache, &guard); }
       ~with_cache() { tensors_guard_pop(&guard); }
       with_cache(const with_cache &) = delete;
     };

   BLOCKS THAT LEAVE

   What is freed where no cache is current need not go back: tell the caches, and free it.

     void free_tensor(void *ptr) {
       if (tensors_current()) {
         tensors_free(tensors_current(), ptr);  // into the cache that it is of
       } else {
         tensors_record_free(NULL, ptr);        // no cache knows it any more (or none ever did)
         hostcache_malloc_free(ptr);            // free
       }
     }

   hostcache_malloc_free is free itself; on Windows, where aligned memory is another kind, it is
   _aligned_free, and neither free nor delete will do. record_free comes first: once it is freed,
   another thread may have been given the same address.

   MEMORY THAT THE CACHES DO NOT KNOW

     (nothing)                       free says HOSTCACHE_ERR_NOT_FOUND, and the memory is untouched
     #define HC_MALLOC_FREES_FOREIGN it goes to hostcache_malloc_free, as upstream does: what malloc
                                     gave can then be freed through a cache as well. But a pointer
                                     that is stale, as its memory went back, is freed twice then

   Chosen before each inclusion, for the inclusion of hostcache.h that follows it. HC_CTX_T is left
   to the program; the hooks have no use for it.

   GUARANTEES

   - Memory is aligned as the config says (64 bytes by default), and is as malloc left it: neither
     zeroed nor touched.
   - errno is left as it was found. A failure has the code of the C library: ENOMEM is out of
     memory, upon which the cache gives back what is idle and asks again.
   - What is cached is malloc's in every way: a leak checker sees it, a profiler counts it.

   C11 or C++11; aligned_alloc, posix_memalign (Apple, Android) or _aligned_malloc (Windows; built
   with mingw, not run). */

#ifndef HOSTCACHE_MALLOC_H
#define HOSTCACHE_MALLOC_H

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#ifdef _WIN32
#include <malloc.h>
#endif

/* Frees what a cache got and let go. NULL is fine. */
static inline void hostcache_malloc_free(void *ptr) {
  const int error = errno;
#ifdef _WIN32
  _aligned_free(ptr);
#else
  free(ptr);
#endif
  errno = error;
}

/* The hook: 0, or why there is no memory. `size` is a multiple of `align`, a power of two. */
static inline int hostcache_malloc_get(size_t size, size_t align, void **ptr) {
  const int error = errno;
  int code;
  if (align < sizeof(void *)) { /* as little as aligned memory can be asked for */
    align = sizeof(void *);
    size = (size + (align - 1)) & ~(align - 1);
  }
  errno = 0;
#if defined _WIN32
  *ptr = _aligned_malloc(size, align);
#elif defined __APPLE__ || defined __ANDROID__
  *ptr = NULL;
  errno = posix_memalign(ptr, align, size);
#else
  *ptr = aligned_alloc(align, size);
#endif
  code = errno != 0 ? errno : ENOMEM;
  errno = error;
  return *ptr ? 0 : code;
}

#endif /* HOSTCACHE_MALLOC_H */

#if defined HC_STREAM_T || defined HC_SEGMENT_T || defined HC_EVENT_T || defined HC_TIMELINE || \
    defined HC_NO_STREAMS || defined HC_OWN_SEGMENTS || defined HC_MEM_ALLOC ||                 \
    defined HC_MEM_FREE || defined HC_FREE_FOREIGN
#error "hostcache_malloc.h: a type or hook is defined already; include it before each hostcache.h"
/* So that this sentence is all that the user hears. */
#undef HC_STREAM_T
#undef HC_SEGMENT_T
#undef HC_EVENT_T
#undef HC_TIMELINE
#undef HC_NO_STREAMS
#undef HC_OWN_SEGMENTS
#undef HC_MEM_ALLOC
#undef HC_MEM_FREE
#undef HC_FREE_FOREIGN
#endif

#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#define HC_MEM_IS_HOST
#define HC_MEM_ALLOC(ctx, size, align, ptr_out) \
  ((void)(ctx), hostcache_map_memory(hostcache_malloc_get(size, align, ptr_out), 0, ENOMEM, ENOMEM))
#define HC_MEM_FREE(ctx, ptr, size) \
  ((void)(ctx), (void)(size), hostcache_malloc_free(ptr), hostcache_done())
#ifdef HC_MALLOC_FREES_FOREIGN
#define HC_FREE_FOREIGN(ctx, ptr) ((void)(ctx), hostcache_malloc_free(ptr), hostcache_done())
#endif
#undef HC_MALLOC_FREES_FOREIGN
