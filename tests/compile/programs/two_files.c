/* Two files of one program implement different caches; a third, this one, uses both. */
#include "expect.h"
#include "two_files.h"

int main(void) {
  first *cache;
  second *other;
  void *ptr, *again;

  EXPECT(first_create(&cache, NULL, NULL) == HOSTCACHE_OK);
  EXPECT(second_create(&other, NULL, NULL) == HOSTCACHE_OK);

  EXPECT(first_alloc(cache, 1000, &ptr) == HOSTCACHE_OK);
  EXPECT(second_free(other, ptr) == HOSTCACHE_ERR_NOT_FOUND);
  EXPECT(first_record_stream(cache, ptr, 1) == HOSTCACHE_OK);
  EXPECT(first_free(cache, ptr) == HOSTCACHE_OK);
  EXPECT(first_synchronize(cache, UINT64_MAX) == HOSTCACHE_OK);
  EXPECT(first_alloc(cache, 1000, &again) == HOSTCACHE_OK);
  EXPECT(again == ptr);
  EXPECT(first_free(cache, again) == HOSTCACHE_OK);
  EXPECT(use_second());

  EXPECT(first_check(cache) == HOSTCACHE_OK);
  EXPECT(second_destroy(other) == HOSTCACHE_OK);
  EXPECT(first_destroy(cache) == HOSTCACHE_OK);
  return 0;
}
