/* 11_cpu_caching.c - the same few sizes again and again: malloc's memory, kept from round to round.

     cc -O2 -pthread -I. examples/11_cpu_caching.c -o cpu_caching && ./cpu_caching

   A network of a few layers looks at one picture after the other. Each layer gets a tensor for what
   it finds, and frees the one before. With a cache as the current one of the thread the second
   picture gets nothing from the system any more; and the one tensor that the program keeps leaves
   the cache, and outlives it. What to learn: the layers know of no cache but the current one. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HC_NAME tensors
#define HC_STATIC /* all of it in this file, and nothing of it outside */
#include "backends/hostcache_malloc.h"
#include "hostcache.h"

enum { LAYERS = 5, PICTURES = 100 };

/* Bytes of what each layer finds. No two are alike, so each has a block of its own in the cache. */
static const size_t bytes_of[LAYERS] = {3 * 224 * 224 * 4, 64 * 112 * 112 * 4, 128 * 56 * 56 * 4,
                                        256 * 28 * 28 * 4, 1000 * 4};

/* Says what should be, and ends the program if it is not so. */
static void expect(int so, const char *what) {
  printf("%s  %s\n", so ? "ok   " : "WRONG", what);
  if (!so) exit(EXIT_FAILURE);
}

/* ---- the network: it knows the current cache, if there is one -------------------------------- */

static float *tensor_new(size_t bytes) {
  void *ptr = NULL;
  if (!tensors_current()) {
    if (hostcache_malloc_get((bytes + 63) / 64 * 64, 64, &ptr)) exit(EXIT_FAILURE);
  } else if (tensors_alloc(tensors_current(), bytes, &ptr) != HOSTCACHE_OK) {
    exit(EXIT_FAILURE);
  }
  return (float *)ptr;
}

static void tensor_free(float *tensor) {
  if (tensors_current() && tensors_free(tensors_current(), tensor) == HOSTCACHE_OK) return;
  (void)tensors_record_free(NULL, tensor); /* if a cache knows it, not any more */
  hostcache_malloc_free(tensor);
}

/* What the last layer found is the caller's. */
static float *look_at(int picture) {
  float *found = NULL;
  int i;
  for (i = 0; i < LAYERS; i++) {
    float *next = tensor_new(bytes_of[i]);
    memset(next, 0, bytes_of[i]);
    next[0] = found ? found[0] + 1 : (float)picture; /* hard work */
    if (found) tensor_free(found);
    found = next;
  }
  return found;
}

/* ---- the program ----------------------------------------------------------------------------- */

static hostcache_stats figures(tensors *cache) {
  hostcache_stats stats;
  if (tensors_stats(cache, &stats) != HOSTCACHE_OK) exit(EXIT_FAILURE);
  return stats;
}

int main(void) {
  tensors *cache;
  hostcache_guard guard;
  hostcache_stats stats;
  float *kept;
  int picture;

  tensor_free(look_at(0));
  expect(!tensors_current(), "without a cache the network works as well: by malloc and free");

  expect(tensors_create(&cache, NULL, NULL) == HOSTCACHE_OK, "a cache is made; it gets no memory");
  expect(tensors_guard_push(cache, &guard) == HOSTCACHE_OK, "it is this thread's current one");
  tensor_free(look_at(0));
  expect(figures(cache).num_mem_alloc == LAYERS, "the first picture gets each layer's tensor");
  for (picture = 1; picture < PICTURES; picture++) tensor_free(look_at(picture));
  kept = look_at(PICTURES);
  stats = figures(cache);
  expect(stats.num_mem_alloc == LAYERS, "the next hundred get none: all of theirs are there");
  expect(tensors_guard_pop(&guard) == HOSTCACHE_OK, "the current one is what it was: none");

  printf("%lld of %lld tensors came from the cache; %lld KiB are cached, %lld bytes in use\n",
         (long long)stats.num_hits, (long long)(stats.num_hits + stats.num_misses),
         (long long)stats.cached_bytes.current / 1024, (long long)stats.active_bytes.current);

  expect(tensors_record_free(cache, kept) == HOSTCACHE_OK, "the last result leaves the cache");
  expect(tensors_free_cached(cache) == HOSTCACHE_OK, "all that is cached goes back");
  expect(figures(cache).reserved_bytes.current == 0, "so it holds nothing");
  expect(tensors_destroy(cache) == HOSTCACHE_OK, "and ends");
  expect(kept[0] == (float)(PICTURES + LAYERS - 1), "the result is still there");
  tensor_free(kept);
  return EXIT_SUCCESS;
}
