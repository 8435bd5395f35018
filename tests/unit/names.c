/* names.c - tests section 3 of the header: generated names.

   Promises: any number of caches live in one file and share nothing; every external name begins
   with HC_NAME, also where that is short, long, or the beginning of another; the types are named
   NAME and NAME_block. */

#define HC_NAME a
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME a_block_of_a_cache /* begins like the type of the other's block */
#include "sim/hooks_timeline.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME The_Name_of_a_Cache_may_be_as_long_as_anybody_likes_and_hold_123_digits
#include "sim/hooks_plain.h"
#define HC_IMPLEMENT
#include "hostcache.h"

/* The name may itself be a macro. */
#define MY_NAME named_by_a_macro
#define HC_NAME MY_NAME
#include "sim/hooks_owned.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#include "helpers.h"

#define LONG(function) \
  The_Name_of_a_Cache_may_be_as_long_as_anybody_likes_and_hold_123_digits_##function

static void caches_in_one_file_share_nothing(void **state) {
  sim_device *d = malloc(sizeof *d);
  a *first, *second;
  a_block_of_a_cache *third;
  The_Name_of_a_Cache_may_be_as_long_as_anybody_likes_and_hold_123_digits *fourth;
  named_by_a_macro *fifth;
  named_by_a_macro_block *block;
  void *one, *two, *three, *four;
  hostcache_stats stats = {0};
  (void)state;
  assert_non_null(d);
  sim_open(d);
  assert_ok(a_create(&first, NULL, d));
  assert_ok(a_create(&second, NULL, d));
  assert_ok(a_block_of_a_cache_create(&third, NULL, d));
  assert_ok(LONG(create)(&fourth, NULL, d));
  assert_ok(named_by_a_macro_create(&fifth, NULL, d));

  assert_ok(a_alloc(first, 64 * KIB, &one));
  assert_ok(a_alloc(second, 64 * KIB, &two));
  assert_ok(a_block_of_a_cache_alloc(third, 64 * KIB, &three));
  assert_ok(LONG(alloc)(fourth, 64 * KIB, &four));
  assert_ok(named_by_a_macro_block_alloc(fifth, 64 * KIB, &block));
  assert_result(a_free(first, two), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(a_free(first, three), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(a_block_of_a_cache_free(third, four), HOSTCACHE_ERR_NOT_FOUND);
  assert_result(LONG(free)(fourth, one), HOSTCACHE_ERR_NOT_FOUND);
  assert_ok(a_free(first, one));
  assert_ok(a_stats(second, &stats));
  assert_int_equal(stats.allocation.current, 1);
  assert_ok(a_free(second, two));
  assert_ok(a_block_of_a_cache_free(third, three));
  assert_ok(LONG(free)(fourth, four));
  assert_ok(named_by_a_macro_block_free(fifth, block));

  assert_ok(a_check(first));
  assert_ok(a_destroy(first));
  assert_ok(a_check(second));
  assert_ok(a_destroy(second));
  assert_ok(a_block_of_a_cache_check(third));
  assert_ok(a_block_of_a_cache_destroy(third));
  assert_ok(LONG(check)(fourth));
  assert_ok(LONG(destroy)(fourth));
  assert_ok(named_by_a_macro_check(fifth));
  assert_ok(named_by_a_macro_destroy(fifth));
  assert_int_equal(sim_close(d, 0, 0), 0);
  free(d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(caches_in_one_file_share_nothing),
  };
  return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
