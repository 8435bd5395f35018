/* The user's code after an inclusion that lacks a hook: the cache is declared all the same, so that
   these lines add no error to the one that says what is missing. */

hostcache_result use(pinned *cache);
hostcache_result use(pinned *cache) {
  void *ptr;
  hostcache_result result = pinned_alloc(cache, 1, &ptr);
  return result != HOSTCACHE_OK ? result : pinned_free(cache, ptr);
}
