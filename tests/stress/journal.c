/* journal.c - the check of the journals itself: what it must see, and what it must let pass. */

#include <setjmp.h>
#include <stdarg.h>
#include "payload.h"

#include <cmocka.h>

static journals all;

static int begin(void **state) {
  (void)state;
  journals_open(&all);
  own_journal = journal_new(&all);
  return 0;
}

static int end(void **state) {
  (void)state;
  journals_close(&all);
  return 0;
}

/* A block of so many units from this one on. */
static uint64_t handed_out(size_t unit, size_t units) {
  return journal_write(own_journal, HANDED_OUT, 0, (char *)0x10000 + unit * JOURNAL_UNIT,
                       units * JOURNAL_UNIT);
}

static void freed(uint64_t block) { (void)journal_write(own_journal, FREED, block, NULL, 0); }

static void used(uint64_t block) { (void)journal_write(own_journal, USED, block, NULL, 0); }

static void given_back(size_t unit, size_t units) {
  (void)journal_write(own_journal, GIVEN_BACK, 0, (char *)0x10000 + unit * JOURNAL_UNIT,
                      units * JOURNAL_UNIT);
}

static void memory_that_is_used_freed_and_used_again_is_right(void **state) {
  (void)state;
  uint64_t first = handed_out(0, 4), second;
  used(first);
  freed(first);
  used(first); /* the device may go on until the memory is handed out again */
  second = handed_out(0, 2);
  (void)handed_out(2, 2);
  used(second);
  assert_int_equal(journals_check(&all), 0);
}

static void memory_that_came_back_from_the_runtime_is_right(void **state) {
  (void)state;
  uint64_t first = handed_out(0, 4), second;
  used(first);
  freed(first);
  given_back(0, 8);
  second = handed_out(1, 4);
  used(second);
  freed(second);
  assert_int_equal(journals_check(&all), 0);
}

static void intervals_that_overlap_are_seen(void **state) {
  (void)state;
  uint64_t first = handed_out(0, 4);
  (void)handed_out(3, 1);
  freed(first);
  assert_int_equal(journals_check(&all), 1);
}

static void a_use_that_ends_after_the_next_hand_out_is_seen(void **state) {
  (void)state;
  uint64_t first = handed_out(0, 4);
  freed(first);
  (void)handed_out(2, 1); /* a part is enough */
  used(first);
  assert_int_equal(journals_check(&all), 1);
}

static void a_use_that_ends_after_a_hand_out_that_is_over_is_seen(void **state) {
  (void)state;
  uint64_t first = handed_out(0, 4), second;
  freed(first);
  second = handed_out(0, 4);
  freed(second);
  used(first);
  assert_int_equal(journals_check(&all), 1);
}

static void memory_that_is_given_back_while_it_is_held_or_used_is_seen(void **state) {
  (void)state;
  uint64_t first = handed_out(0, 4), second = handed_out(4, 4);
  freed(first);
  given_back(0, 8); /* the second one is held */
  used(first);
  freed(second);
  assert_int_equal(journals_check(&all), 2);
}

static void what_is_freed_twice_is_seen(void **state) {
  (void)state;
  uint64_t first = handed_out(0, 1);
  freed(first);
  freed(first);
  assert_int_equal(journals_check(&all), 1);
}

static void the_map_grows(void **state) {
  enum { BLOCKS = 20000 };
  (void)state;
  uint64_t blocks[BLOCKS];
  size_t i;
  for (i = 0; i < BLOCKS; i++) blocks[i] = handed_out(3 * i, 2);
  for (i = 0; i < BLOCKS; i += 2) freed(blocks[i]);
  for (i = 0; i < BLOCKS; i += 2) (void)handed_out(3 * i, 1);
  for (i = 0; i < BLOCKS; i++) used(blocks[i]); /* every other one too late */
  assert_int_equal(journals_check(&all), BLOCKS / 2);
}

static void a_payload_that_was_changed_is_seen(void **state) {
  uint64_t words[4096 / sizeof(uint64_t)];
  (void)state;
  payload_write(words, sizeof words, 7);
  payload_check(words, sizeof words, 7, "nobody");
  assert_int_equal(atomic_load(&payload_errors), 0);
  payload_write(words + 64, 512, 8); /* whoever has a unit of it */
  payload_check(words, sizeof words, 7, "the test, as it should,");
  assert_int_equal(atomic_load(&payload_errors), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(memory_that_is_used_freed_and_used_again_is_right),
      TEST(memory_that_came_back_from_the_runtime_is_right),
      TEST(intervals_that_overlap_are_seen),
      TEST(a_use_that_ends_after_the_next_hand_out_is_seen),
      TEST(a_use_that_ends_after_a_hand_out_that_is_over_is_seen),
      TEST(memory_that_is_given_back_while_it_is_held_or_used_is_seen),
      TEST(what_is_freed_twice_is_seen),
      TEST(the_map_grows),
      TEST(a_payload_that_was_changed_is_seen),
  };
  return cmocka_run_group_tests_name("stress.journal", tests, NULL, NULL);
}
