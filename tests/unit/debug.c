/* debug.c - tests what HOSTCACHE_DEBUG and HC_MEM_IS_HOST have a cache do with its memory: the
   guard of section 9, and what sections 12 and 13 tell by it.

   Promises: one byte too many is told by free, record_free, check and destroy, and, where free
   could not see it, when the memory is next looked at; a write to what is ready is told when it is
   handed out, by check, and before it goes back; what waits, and what is of a private pool, is left
   alone; live blocks are told by destroy and abandon, with who got them; no lock is held where that
   is told, and nothing of it is lost where nobody listens; what is ready is closed to the host, and
   open again before a hook or the user has it; a cache that does not say HC_MEM_IS_HOST does none
   of it.

   What is wrong here is done by plain stores, which AddressSanitizer does not see; that it sees
   what a program does, a test of its own shows at the end; that valgrind does,
   unit.debug.valgrind_*. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Callers as the test says. */
static int caller_count = 3;
static void *second_caller; /* NULL: like the others */

static int callers(void **addresses, int most) {
  int i;
  for (i = 0; i < caller_count && i < most; i++)
    addresses[i] =
        i == 1 && second_caller != NULL ? second_caller : (void *)(uintptr_t)(0xabc0 + i);
  return i;
}

/* Their names, as the C library gives them: in one piece. */
static size_t name_length; /* 0: there is no memory for names */

static char **names_of(void *const *places, int count) {
  const size_t room = sizeof(char *) + name_length + 1;
  char **names = name_length > 0 ? (char **)malloc((size_t)count * room) : NULL, *text;
  int i;
  if (names == NULL) return NULL;
  text = (char *)(names + count);
  for (i = 0; i < count; i++, text += name_length + 1) {
    names[i] = text;
    memset(text, 'a' + (int)((uintptr_t)places[i] & 0xf), name_length);
    text[name_length] = '\0';
  }
  return names;
}
#ifndef HOSTCACHE_DEBUG
#define HOSTCACHE_DEBUG
#endif
#define HOSTCACHE_BACKTRACE(addresses, most) callers(addresses, most)
#define HOSTCACHE_NAMES_PLACES /* as where the system has names for them */
#define backtrace_symbols(places, count) names_of(places, count)

typedef struct device {
  bool done; /* events are complete */
  bool free_fails, record_fails;
  int gave_back;
} device;

static bool device_get(void **out, size_t align, size_t size) {
  *out = aligned_alloc(align, size);
  return *out != NULL;
}

/* The hook may write to all of it. */
static bool device_take_back(device *d, void *ptr, size_t size) {
  memset(ptr, 0x11, size);
  if (d != NULL && d->free_fails) return false;
  if (d != NULL) d->gave_back++;
  free(ptr);
  return true;
}

#define HC_CTX_T device *
#define HC_MEM_ALLOC(d, size, align, out) \
  ((void)(d), device_get(out, align, size) ? hostcache_done() : hostcache_out_of_memory(1))
#define HC_MEM_FREE(d, ptr, size) \
  (device_take_back(d, ptr, size) ? hostcache_done() : hostcache_failed(1))
#define HC_STREAM_T int
#define HC_EVENT_T int
#define HC_EVENT_RECORD(d, event, stream) \
  ((void)(stream), *(event) = 1, (d)->record_fails ? hostcache_failed(1) : hostcache_done())
#define HC_EVENT_QUERY(d, event) ((void)(event), (d)->done ? hostcache_done() : hostcache_pending())
#define HC_NAME pinned
#define HC_MEM_IS_HOST
#define HC_POOLS
#define HC_ALLOC_EX
#define HC_HOST_ALLOCATOR
#define HC_STATIC
#include "hostcache.h"

/* The same, of which nothing is known. */
#define HC_CTX_T device *
#define HC_MEM_ALLOC(d, size, align, out) \
  ((void)(d), device_get(out, align, size) ? hostcache_done() : hostcache_out_of_memory(1))
#define HC_MEM_FREE(d, ptr, size) \
  (device_take_back(d, ptr, size) ? hostcache_done() : hostcache_failed(1))
#define HC_NO_STREAMS
#define HC_NAME plain
#define HC_STATIC
#include "hostcache.h"

/* Blocks that may leave. */
#define HC_CTX_T device *
#define HC_MEM_ALLOC(d, size, align, out) \
  ((void)(d), device_get(out, align, size) ? hostcache_done() : hostcache_out_of_memory(1))
#define HC_MEM_FREE(d, ptr, size) \
  (device_take_back(d, ptr, size) ? hostcache_done() : hostcache_failed(1))
#define HC_NO_STREAMS
#define HC_OWN_SEGMENTS
#define HC_MEM_IS_HOST
#define HC_POOLS
#define HC_NAME tensors
#define HC_STATIC
#include "hostcache.h"

#include "helpers.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RED_ZONE = 16, READY = 0xdb, MOST_WORDS = sizeof((hostcache_words *)0)->text };

/* ---- a cache, and what it says --------------------------------------------------------------- */

typedef struct said {
  int corrupt, live, other;
  const void *ptr;
  char what[2 * MOST_WORDS]; /* more than it should ever be */
  pinned *calls;             /* a cache that must be free of locks */
} said;

static void listen(void *user, hostcache_result result, int64_t code, const char *what,
                   const void *ptr) {
  said *s = user;
  (void)code;
  if (result == HOSTCACHE_ERR_CORRUPT)
    s->corrupt++;
  else if (result == HOSTCACHE_ERR_BUSY || result == HOSTCACHE_ERR_LEAKED)
    s->live++;
  else
    s->other++;
  s->ptr = ptr;
  snprintf(s->what, sizeof s->what, "%s", what);
  if (s->calls != NULL) {
    hostcache_stats stats;
    assert_ok(pinned_stats(s->calls, &stats));
  }
}

typedef struct rig {
  device device;
  said said;
  pinned *cache;
} rig;

static int setup(void **state) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  rig *r = calloc(1, sizeof *r);
  if (r == NULL) return -1;
  config.on_error = listen;
  config.on_error_user = &r->said;
  *state = r;
  if (pinned_create(&r->cache, &config, &r->device) != HOSTCACHE_OK) return -1;
  r->said.calls = r->cache;
  return 0;
}

static int teardown(void **state) {
  rig *r = *state;
  if (r->cache != NULL) {
    r->device.done = true;
    assert_ok(pinned_process_events(r->cache, NULL));
    assert_ok(pinned_check(r->cache));
    assert_int_equal(r->said.corrupt + r->said.live + r->said.other, 0);
    r->said.calls = NULL;
    assert_ok(pinned_destroy(r->cache));
  }
  assert_can_be_cancelled();
  free(r);
  return 0;
}

static unsigned char *take(rig *r, size_t size) {
  void *ptr;
  assert_ok(pinned_alloc(r->cache, size, &ptr));
  memset(ptr, 0x22, size); /* all of it is the user's */
  return ptr;
}

static void give(rig *r, void *ptr) { assert_ok(pinned_free(r->cache, ptr)); }

#if defined __GNUC__
#define UNSEEN __attribute__((no_sanitize_address, noinline)) /* by AddressSanitizer */
#else
#define UNSEEN
#endif

UNSEEN static void scribble(volatile unsigned char *at) { *at = 0x33; }

UNSEEN static unsigned char peek(const volatile unsigned char *at) { return *at; }

/* It was told so often that memory was written to, the last time that it was this byte. */
static void expect_damage(rig *r, int times, const void *at, const char *words) {
  assert_int_equal(r->said.corrupt, times);
  assert_int_equal(r->said.live + r->said.other, 0);
  assert_ptr_equal(r->said.ptr, at);
  assert_non_null(strstr(r->said.what, words));
  r->said.corrupt = 0;
}

static hostcache_stats figures(rig *r) {
  hostcache_stats stats = {0};
  assert_ok(pinned_stats(r->cache, &stats));
  return stats;
}

static const size_t sizes[] = {1, 100, 496, 497, 512, 64 * KIB, MIB - 16, MIB, 3 * MIB};

/* ---- sizes ----------------------------------------------------------------------------------- */

static void a_block_is_as_large_as_was_asked_and_has_a_red_zone_behind_it(void **state) {
  rig *r = *state;
  size_t i;
  for (i = 0; i < COUNT_OF(sizes); i++) {
    void *ptr = take(r, sizes[i]);
    const hostcache_stats stats = figures(r);
    assert_int_equal(pinned_block_size(pinned_find(r->cache, ptr)), sizes[i]);
    assert_int_equal(stats.requested_bytes.current, sizes[i]);
    assert_true((size_t)stats.allocated_bytes.current >= sizes[i] + RED_ZONE);
    assert_true((size_t)stats.allocated_bytes.current <= sizes[i] + RED_ZONE + sizes[i] / 8 + PAGE);
    give(r, ptr);
  }
}

static void sizes_at_the_ends_are_what_they_always_are(void **state) {
  static const size_t large[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - RED_ZONE, SIZE_MAX / 2 + 1};
  rig *r = *state;
  void *ptr = r;
  size_t i;
  for (i = 0; i < COUNT_OF(large); i++)
    assert_result(pinned_alloc(r->cache, large[i], &ptr), HOSTCACHE_ERR_TOO_BIG);
  give(r, take(r, 1)); /* what would be large enough for a red zone alone is ready */
  assert_ok(pinned_alloc(r->cache, 0, &ptr));
  assert_null(ptr);
  assert_ok(pinned_free(r->cache, NULL));
}

static void what_is_reserved_has_room_for_red_zones(void **state) {
  rig *r = *state;
  void *blocks[8];
  int64_t segments;
  size_t i;
  assert_ok(pinned_reserve(r->cache, 3 * MIB, COUNT_OF(blocks)));
  segments = figures(r).segment.allocated;
  for (i = 0; i < COUNT_OF(blocks); i++) blocks[i] = take(r, 3 * MIB);
  assert_int_equal(figures(r).segment.allocated, segments);
  for (i = 0; i < COUNT_OF(blocks); i++) give(r, blocks[i]);
}

/* ---- overflow -------------------------------------------------------------------------------- */

static void one_byte_too_many_is_told_by_free_and_the_block_is_freed(void **state) {
  rig *r = *state;
  size_t i;
  for (i = 0; i < COUNT_OF(sizes); i++) {
    unsigned char *ptr = take(r, sizes[i]);
    scribble(ptr + sizes[i]);
    assert_result(pinned_free(r->cache, ptr), HOSTCACHE_ERR_CORRUPT);
    expect_damage(r, 1, ptr + sizes[i], "was written to behind its end, at byte ");
    assert_null(pinned_find(r->cache, ptr));
    assert_result(pinned_free(r->cache, ptr), HOSTCACHE_ERR_DOUBLE_FREE);
    assert_ok(pinned_check(r->cache)); /* it is mended */
    give(r, take(r, sizes[i]));        /* and told once */
  }
}

static void every_byte_of_a_red_zone_is_looked_at(void **state) {
  rig *r = *state;
  size_t i;
  for (i = 0; i < 512 - 100; i++) {
    pinned_block *block;
    unsigned char *ptr;
    assert_ok(pinned_block_alloc(r->cache, 100, &block));
    ptr = pinned_block_ptr(block);
    scribble(ptr + 100 + i);
    assert_result(pinned_block_free(r->cache, block), HOSTCACHE_ERR_CORRUPT);
    expect_damage(r, 1, ptr + 100 + i, "a block of 100 bytes");
  }
}

static void an_overflow_is_told_with_the_callers_of_who_got_the_block(void **state) {
  rig *r = *state;
  unsigned char *ptr = take(r, 1000);
  scribble(ptr + 1003);
  assert_result(pinned_free(r->cache, ptr), HOSTCACHE_ERR_CORRUPT);
  expect_damage(r, 1, ptr + 1003,
                "a block of 1000 bytes was written to behind its end, at byte 1003; "
                "got at 0xabc0 < 0xabc1 < 0xabc2");
}

static void an_overflow_of_a_block_that_is_used_is_told_by_free(void **state) {
  rig *r = *state;
  unsigned char *ptr = take(r, 1000);
  assert_ok(pinned_record_stream(r->cache, ptr, 1));
  scribble(ptr + 1000);
  assert_result(pinned_free(r->cache, ptr), HOSTCACHE_ERR_CORRUPT);
  expect_damage(r, 1, ptr + 1000, "behind its end");
  assert_int_equal(figures(r).pending.current, 1);
}

static void an_overflow_is_told_beside_what_the_free_itself_says(void **state) {
  rig *r = *state;
  unsigned char *ptr = take(r, 1000);
  assert_ok(pinned_record_stream(r->cache, ptr, 1));
  assert_ok(pinned_record_stream(r->cache, ptr, 2)); /* the second use stands elsewhere */
  scribble(ptr + 1000);
  r->device.record_fails = true;
  assert_result(pinned_free(r->cache, ptr), HOSTCACHE_ERR_EVENT);
  r->device.record_fails = false;
  assert_int_equal(r->said.corrupt, 1);
  assert_int_equal(figures(r).quarantined.current, 1);
  assert_ok(pinned_release_quarantine(r->cache));
  memset(&r->said, 0, offsetof(said, calls));
}

/* A block that so many callers got is written to behind its end, and freed: that is told. */
static void overflow_with_callers(rig *r, int count, const char *words) {
  unsigned char *ptr;
  caller_count = count;
  ptr = take(r, 1000);
  caller_count = 3;
  scribble(ptr + 1000);
  assert_result(pinned_free(r->cache, ptr), HOSTCACHE_ERR_CORRUPT);
  expect_damage(r, 1, ptr + 1000, words);
}

/* Of callers as many are told as are known: here none but who called the library. */
static void an_overflow_is_told_where_no_callers_are_known(void **state) {
  rig *r = *state;
  overflow_with_callers(r, 0, "got at 0x");
  assert_null(strstr(r->said.what, "0xabc"));
}

static void callers_beyond_those_that_find_room_are_left_out(void **state) {
  rig *r = *state;
  overflow_with_callers(r, 32, "got at 0xabc0 < 0xabc1 < 0xabc2");
  assert_string_equal(strstr(r->said.what, "0xabc6"), "0xabc6 < 0xabc7");
}

UNSEEN static unsigned char *take_here(rig *r) { return take(r, 1000); }

/* What the library itself has called is left out. */
static void callers_begin_with_who_called_the_library(void **state) {
  rig *r = *state;
  volatile int i; /* both are got at the same place */
  char place[64];
  for (i = 0; i < 2; i++) {
    unsigned char *ptr;
    caller_count = i == 0 ? 0 : 4;
    ptr = take_here(r);
    caller_count = 3;
    second_caller = pinned_find(r->cache, ptr)->places[0];
    scribble(ptr + 1000);
    assert_result(pinned_free(r->cache, ptr), HOSTCACHE_ERR_CORRUPT);
    snprintf(place, sizeof place, i == 0 ? "; got at 0x%zx" : "; got at 0x%zx < 0xabc2 < 0xabc3",
             (size_t)second_caller);
    expect_damage(r, 1, ptr + 1000, place);
  }
  second_caller = NULL;
}

/* The functions that hand out. */
static unsigned char *take_in_a_way(rig *r, int way) {
  hostcache_request request = HOSTCACHE_REQUEST_INIT;
  pinned_block *block = NULL;
  void *ptr = NULL;
  request.size = 1000;
  switch (way) {
    case 0: assert_ok(pinned_alloc(r->cache, 1000, &ptr)); break;
    case 1: assert_ok(pinned_block_alloc(r->cache, 1000, &block)); break;
    case 2: assert_ok(pinned_alloc_ex(r->cache, &request, &ptr)); break;
    default: assert_ok(pinned_block_alloc_ex(r->cache, &request, &block)); break;
  }
  ptr = block ? pinned_block_ptr(block) : ptr;
  memset(ptr, 0x22, 1000);
  return ptr;
}

/* First of new memory, then of what was freed. */
static void whatever_hands_a_block_out_its_end_is_looked_at(void **state) {
  rig *r = *state;
  int way, again;
  for (way = 0; way < 4; way++) {
    for (again = 0; again < 3; again++) {
      unsigned char *ptr = take_in_a_way(r, way);
      scribble(ptr + 1000);
      assert_result(pinned_free(r->cache, ptr), HOSTCACHE_ERR_CORRUPT);
      expect_damage(r, 1, ptr + 1000, "got at 0xabc0");
    }
    assert_ok(pinned_empty_cache(r->cache));
  }
}

UNSEEN static const void *place_of(rig *r, void *ptr) {
  const void *place = pinned_find(r->cache, ptr)->places[0];
  give(r, ptr);
  return place;
}

/* ... which is not the caller of that one. */
static void a_function_that_calls_another_notes_its_own_caller(void **state) {
  hostcache_request request = HOSTCACHE_REQUEST_INIT;
  rig *r = *state;
  const void *place;
  void *ptr;
  request.size = 1000;
  caller_count = 0;
  assert_ok(pinned_alloc_ex(r->cache, &request, &ptr));
  place = place_of(r, ptr);
  assert_ok(pinned_alloc_ex(r->cache, &request, &ptr));
  assert_ptr_not_equal(place_of(r, ptr), place);
  caller_count = 3;
}

static void a_block_of_an_allocator_was_got_by_who_called_that(void **state) {
  rig *r = *state;
  hostcache_allocator a;
  void *ptr, *first, *second;
  assert_ok(pinned_as_allocator(r->cache, &a));
  caller_count = 0;
  assert_ok(a.allocate(a.cache, 1000, &ptr, &first));
  assert_ok(a.allocate(a.cache, 1000, &ptr, &second)); /* at another place */
  caller_count = 3;
  assert_ptr_not_equal(((pinned_block *)first)->places[0], ((pinned_block *)second)->places[0]);
  a.deleter(first);
  a.deleter(second);
}

static void callers_have_names_where_the_system_knows_them(void **state) {
  rig *r = *state;
  name_length = 2;
  overflow_with_callers(r, 3, "; got at aa < bb < cc");
  name_length = 0;
}

static void names_that_find_no_room_are_cut_off(void **state) {
  rig *r = *state;
  const char *end;
  name_length = MOST_WORDS - 100;
  overflow_with_callers(r, 3, "; got at aaa");
  name_length = 0;
  assert_int_equal(strlen(r->said.what), MOST_WORDS - 1);
  end = strstr(r->said.what, "a < b");
  assert_non_null(end);
  assert_null(strchr(end, 'c'));
}

/* ... and the memory is the owner's as before. */
static void frees_that_are_wrong_are_told_and_write_nothing(void **state) {
  rig *r = *state;
  pinned *other;
  pinned_block *block;
  unsigned char *ptr;
  assert_ok(pinned_create(&other, NULL, &r->device));
  ptr = take(r, 100);
  block = pinned_find(r->cache, ptr);
  assert_result(pinned_block_free(other, block), HOSTCACHE_ERR_NOT_FOUND);
  assert_int_equal(ptr[0], 0x22);
  assert_result(pinned_free(other, ptr), HOSTCACHE_ERR_NOT_FOUND);
  assert_int_equal(ptr[0], 0x22);
  assert_result(pinned_free(r->cache, ptr + 16), HOSTCACHE_ERR_NOT_FOUND);
  assert_int_equal(ptr[0], 0x22);
  give(r, ptr);
  scribble(ptr + 100); /* which is not told of what is no block any more, nor mended */
  assert_result(pinned_block_free(r->cache, block), HOSTCACHE_ERR_DOUBLE_FREE);
  assert_int_equal(r->said.corrupt, 0);
  assert_ok(pinned_empty_cache(r->cache));
  expect_damage(r, 1, ptr + 100, "ready memory was written to");
  assert_ok(pinned_destroy(other));
}

static void an_overflow_is_told_by_check_for_as_long_as_it_is_there(void **state) {
  rig *r = *state;
  unsigned char *ptr = take(r, 1000);
  scribble(ptr + 1000);
  assert_result(pinned_check(r->cache), HOSTCACHE_ERR_CORRUPT);
  expect_damage(r, 1, ptr + 1000, "a block is not written to behind its end");
  assert_result(pinned_check(r->cache), HOSTCACHE_ERR_CORRUPT);
  expect_damage(r, 1, ptr + 1000, "a block is not written to behind its end");
  assert_result(pinned_free(r->cache, ptr), HOSTCACHE_ERR_CORRUPT);
  expect_damage(r, 1, ptr + 1000, "behind its end");
}

static void an_overflow_is_told_by_a_destroy_that_is_busy(void **state) {
  rig *r = *state;
  unsigned char *ptr = take(r, 1000);
  scribble(ptr + 1000);
  assert_result(pinned_destroy(r->cache), HOSTCACHE_ERR_BUSY);
  assert_int_equal(r->said.corrupt, 1);
  assert_int_equal(r->said.live, 1);
  r->said.corrupt = r->said.live = 0;
  give(r, ptr);
}

/* free_deferred may be called where nobody may be told. */
static void an_overflow_of_what_was_freed_deferred_is_told_when_it_is_handed_out(void **state) {
  rig *r = *state;
  unsigned char *ptr = take(r, 1000);
  scribble(ptr + 1000);
  assert_ok(pinned_free_deferred(r->cache, ptr));
  assert_int_equal(r->said.corrupt, 0);
  assert_ptr_equal(take(r, 1000), ptr);
  expect_damage(r, 1, ptr + 1000,
                "ready memory was written to, after a free or behind a block's end");
  give(r, ptr);
}

static void what_a_stream_writes_behind_a_block_is_told_when_it_is_handed_out(void **state) {
  rig *r = *state;
  unsigned char *ptr = take(r, 1000);
  assert_ok(pinned_record_stream(r->cache, ptr, 1));
  give(r, ptr);
  scribble(ptr + 1001);
  r->device.done = true;
  assert_ok(pinned_process_events(r->cache, NULL));
  assert_ptr_equal(take(r, 1000), ptr);
  expect_damage(r, 1, ptr + 1001, "ready memory was written to");
  give(r, ptr);
}

static void an_aligned_block_has_a_red_zone_too(void **state) {
  rig *r = *state;
  hostcache_request request = HOSTCACHE_REQUEST_INIT;
  void *ptr;
  request.size = 8192;
  request.alignment = 8192;
  assert_ok(pinned_alloc_ex(r->cache, &request, &ptr));
  assert_int_equal((uintptr_t)ptr % 8192, 0);
  scribble((unsigned char *)ptr + 8192);
  assert_result(pinned_free(r->cache, ptr), HOSTCACHE_ERR_CORRUPT);
  expect_damage(r, 1, (unsigned char *)ptr + 8192, "a block of 8192 bytes");
}

static void a_deleter_tells_of_an_overflow(void **state) {
  rig *r = *state;
  hostcache_allocator allocator;
  void *ptr, *context;
  assert_ok(pinned_as_allocator(r->cache, &allocator));
  assert_ok(allocator.allocate(allocator.cache, 1000, &ptr, &context));
  scribble((unsigned char *)ptr + 1000);
  allocator.deleter(context);
  expect_damage(r, 1, (unsigned char *)ptr + 1000, "behind its end");
}

/* ---- write after free ------------------------------------------------------------------------ */

static void a_write_after_free_is_told_when_the_memory_is_handed_out(void **state) {
  rig *r = *state;
  size_t i;
  for (i = 0; i < COUNT_OF(sizes); i++) {
    unsigned char *ptr = take(r, sizes[i]), *at = ptr + sizes[i] / 2;
    give(r, ptr);
    scribble(at);
    assert_ptr_equal(take(r, sizes[i]), ptr); /* which may be used */
    expect_damage(r, 1, at, "ready memory was written to");
    give(r, ptr);
    assert_ok(pinned_check(r->cache));
  }
}

static void a_write_after_free_is_told_by_check(void **state) {
  rig *r = *state;
  size_t i;
  for (i = 0; i < COUNT_OF(sizes); i++) {
    unsigned char *ptr = take(r, sizes[i]);
    give(r, ptr);
    scribble(ptr);
    assert_result(pinned_check(r->cache), HOSTCACHE_ERR_CORRUPT);
    expect_damage(r, 1, ptr, "ready memory is written to by nobody");
    (void)take(r, sizes[i]);
    expect_damage(r, 1, ptr, "ready memory was written to");
    give(r, ptr);
  }
}

static void a_write_after_free_is_told_before_the_memory_goes_back(void **state) {
  rig *r = *state;
  unsigned char *ptr = take(r, 3 * MIB);
  give(r, ptr);
  scribble(ptr + MIB);
  assert_ok(pinned_empty_cache(r->cache));
  assert_int_equal(r->device.gave_back, 1);
  expect_damage(
      r, 1, ptr + MIB,
      "ready memory was written to, after a free or behind a block's end, at byte 1048576");
}

static void a_write_to_memory_that_was_never_handed_out_is_told(void **state) {
  rig *r = *state;
  unsigned char *ptr = take(r, 1000), *at = ptr + MIB;
  scribble(at);
  assert_result(pinned_check(r->cache), HOSTCACHE_ERR_CORRUPT);
  expect_damage(r, 1, at, "ready memory is written to by nobody");
  give(r, ptr);
  assert_ok(pinned_empty_cache(r->cache));
  expect_damage(r, 1, at, "ready memory was written to");
}

static void an_overflow_beyond_the_red_zone_is_a_write_to_ready_memory(void **state) {
  rig *r = *state;
  unsigned char *first = take(r, 496), *second = take(r, 496), *behind;
  give(r, second);
  assert_ok(pinned_trim(r->cache, SIZE_MAX)); /* out of the stock */
  behind = first + 512;
  scribble(behind);
  assert_result(pinned_check(r->cache), HOSTCACHE_ERR_CORRUPT);
  expect_damage(r, 1, behind, "ready memory is written to by nobody");
  give(r, first); /* its red zone is as it was */
  assert_ok(pinned_empty_cache(r->cache));
  expect_damage(r, 1, behind, "ready memory was written to");
}

/* ---- what is left alone ---------------------------------------------------------------------- */

static void what_waits_is_left_alone_until_it_is_ready(void **state) {
  rig *r = *state;
  unsigned char *ptr = take(r, 1000);
  assert_ok(pinned_record_stream(r->cache, ptr, 1));
  give(r, ptr);
  assert_int_equal(peek(ptr), 0x22);
  assert_int_equal(peek(ptr + 999), 0x22);
  scribble(ptr); /* the stream */
  r->device.done = true;
  assert_ok(pinned_process_events(r->cache, NULL));
  assert_int_equal(peek(ptr), READY);
  assert_int_equal(peek(ptr + 999), READY);
  assert_ok(pinned_check(r->cache));
}

static void what_an_event_of_the_users_waits_for_is_left_alone_until_it_is_ready(void **state) {
  rig *r = *state;
  unsigned char *ptr = take(r, 1000);
  assert_ok(pinned_record_event(r->cache, ptr, 1));
  give(r, ptr);
  assert_int_equal(peek(ptr), 0x22);
  r->device.done = true;
  assert_ok(pinned_process_events(r->cache, NULL));
  assert_int_equal(peek(ptr), READY);
}

static void memory_of_a_pool_is_left_alone_until_that_is_released(void **state) {
  static const hostcache_pool_id pool = {1, 2};
  rig *r = *state;
  unsigned char *ptr, *kept;
  assert_ok(pinned_begin_allocate_to_pool(r->cache, pool, NULL, NULL));
  ptr = take(r, 1000);
  kept = take(r, 2000);
  assert_true(pinned_block_size(pinned_find(r->cache, ptr)) >= 1000);
  assert_ok(pinned_end_allocate_to_pool(r->cache, pool));
  give(r, ptr);
  assert_int_equal(peek(ptr), 0x22);
  scribble(ptr + 10);   /* a replay */
  scribble(ptr + 1000); /* likewise, by a block that was there before */
  assert_ok(pinned_check(r->cache));
  assert_ok(pinned_release_pool(r->cache, pool));
  assert_ok(pinned_check(r->cache));
  assert_int_equal(peek(ptr), READY);
  scribble(kept + 2000); /* where nobody looks, as it was a replay's when it was handed out */
  give(r, kept);
  assert_int_equal(peek(kept), READY);
  assert_ok(pinned_check(r->cache));
  scribble(ptr);
  assert_result(pinned_check(r->cache), HOSTCACHE_ERR_CORRUPT);
  expect_damage(r, 1, ptr, "ready memory is written to by nobody");
  assert_ok(pinned_empty_cache(r->cache));
  expect_damage(r, 1, ptr, "ready memory was written to");
}

static void memory_that_a_pool_gives_back_is_not_looked_at(void **state) {
  static const hostcache_pool_id pool = {1, 2};
  rig *r = *state;
  unsigned char *ptr;
  assert_ok(pinned_begin_allocate_to_pool(r->cache, pool, NULL, NULL));
  ptr = take(r, 3 * MIB);
  assert_ok(pinned_end_allocate_to_pool(r->cache, pool));
  give(r, ptr);
  scribble(ptr + MIB); /* a replay */
  assert_ok(pinned_empty_cache_pool(r->cache, pool));
  assert_int_equal(r->device.gave_back, 1);
  assert_int_equal(r->said.corrupt, 0);
  assert_ok(pinned_release_pool(r->cache, pool));
}

static void ready_memory_that_nobody_guards_is_told_by_check(void **state) {
  rig *r = *state;
  unsigned char *ptr = take(r, 1000), *other = take(r, 1000);
  pinned_block *block = pinned_find(r->cache, ptr);
  give(r, ptr);
  block->guarded = 0;
  assert_result(pinned_check(r->cache), HOSTCACHE_ERR_CORRUPT);
  expect_damage(r, 1, NULL, "what is ready, and of no pool, is guarded");
  block->guarded = 1;
  give(r, other);
}

static void a_cache_that_knows_nothing_of_its_memory_leaves_it_alone(void **state) {
  said s = {0};
  device d = {0};
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  unsigned char *bytes;
  void *ptr, *again;
  plain *cache;
  (void)state;
  config.on_error = listen;
  config.on_error_user = &s;
  assert_ok(plain_create(&cache, &config, &d));
  assert_ok(plain_alloc(cache, 64 * KIB, &ptr));
  assert_int_equal(plain_block_size(plain_find(cache, ptr)), 64 * KIB);
  assert_result(plain_destroy(cache), HOSTCACHE_ERR_BUSY);
  bytes = ptr;
  memset(bytes, 0x22, 64 * KIB + 1);
  assert_ok(plain_free(cache, ptr));
  assert_int_equal(bytes[0], 0x22);
  bytes[0] = 0x33;
  assert_ok(plain_alloc(cache, 64 * KIB, &again));
  assert_ptr_equal(again, ptr);
  assert_ok(plain_free(cache, again));
  assert_ok(plain_check(cache));
  assert_ok(plain_destroy(cache));
  assert_int_equal(s.corrupt + s.live + s.other, 0);
}

/* ---- what leaves ----------------------------------------------------------------------------- */

static tensors *tensors_that_tell(said *s) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  tensors *cache;
  config.on_error = listen;
  config.on_error_user = s;
  assert_ok(tensors_create(&cache, &config, NULL));
  return cache;
}

static void a_block_that_leaves_is_open_to_its_last_byte(void **state) {
  said s = {0};
  tensors *cache = tensors_that_tell(&s);
  void *ptr;
  (void)state;
  assert_ok(tensors_alloc(cache, 100, &ptr));
  assert_int_equal(tensors_block_size(tensors_find(cache, ptr)), 100);
  assert_ok(tensors_record_free(cache, ptr));
  memset(ptr, 0x22, 128); /* 100 and the red zone, rounded up to 64 */
  free(ptr);
  assert_ok(tensors_alloc(cache, 100, &ptr));
  scribble((unsigned char *)ptr + 100);
  assert_result(tensors_record_free(NULL, ptr), HOSTCACHE_ERR_CORRUPT);
  assert_int_equal(s.corrupt, 1);
  assert_null(tensors_find(cache, ptr));
  free(ptr);
  assert_ok(tensors_check(cache));
  assert_ok(tensors_destroy(cache));
}

static void a_block_of_a_pool_leaves_without_a_look(void **state) {
  static const hostcache_pool_id pool = {1, 2};
  said s = {0};
  tensors *cache = tensors_that_tell(&s);
  void *ptr;
  (void)state;
  assert_ok(tensors_begin_allocate_to_pool(cache, pool, NULL, NULL));
  assert_ok(tensors_alloc(cache, 100, &ptr));
  memset(ptr, 0x22, 128); /* a replay may write to all of it */
  assert_ok(tensors_record_free(cache, ptr));
  memset(ptr, 0x33, 128);
  free(ptr);
  assert_ok(tensors_end_allocate_to_pool(cache, pool));
  assert_ok(tensors_release_pool(cache, pool));
  assert_ok(tensors_check(cache));
  assert_ok(tensors_destroy(cache));
  assert_int_equal(s.corrupt + s.live + s.other, 0);
}

static void a_block_that_is_freed_through_another_cache_is_looked_at(void **state) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  said s = {0};
  tensors *cache, *other;
  void *ptr;
  (void)state;
  config.on_error = listen;
  config.on_error_user = &s;
  assert_ok(tensors_create(&cache, &config, NULL));
  assert_ok(tensors_create(&other, NULL, NULL));
  assert_ok(tensors_alloc(cache, 100, &ptr));
  scribble((unsigned char *)ptr + 100);
  assert_result(tensors_free(other, ptr), HOSTCACHE_ERR_CORRUPT);
  assert_int_equal(s.corrupt, 1);
  scribble(ptr);
  assert_ok(tensors_free_cached(cache));
  assert_int_equal(s.corrupt, 2);
  assert_ok(tensors_destroy(other));
  assert_ok(tensors_destroy(cache));
}

static void memory_that_the_hook_did_not_take_is_open(void **state) {
  rig *r = *state;
  unsigned char *ptr = take(r, 3 * MIB);
  give(r, ptr);
  r->device.free_fails = true;
  assert_result(pinned_empty_cache(r->cache), HOSTCACHE_ERR_LEAKED);
  r->device.free_fails = false;
  r->said.live = 0;
  memset(ptr, 0x22, 3 * MIB);
  assert_ok(pinned_check(r->cache));
  r->said.calls = NULL;
  assert_result(pinned_destroy(r->cache), HOSTCACHE_ERR_LEAKED);
  r->cache = NULL;
  free(ptr);
}

/* ---- live blocks ----------------------------------------------------------------------------- */

static void live_blocks_are_told_by_a_destroy_that_is_busy(void **state) {
  rig *r = *state;
  void *ptr = take(r, 1000);
  assert_result(pinned_destroy(r->cache), HOSTCACHE_ERR_BUSY);
  assert_int_equal(r->said.live, 1);
  assert_int_equal(r->said.corrupt + r->said.other, 0);
  assert_ptr_equal(r->said.ptr, ptr);
  assert_string_equal(r->said.what,
                      "a block of 1000 bytes is still handed out; got at 0xabc0 < 0xabc1 < 0xabc2");
  r->said.live = 0;
  give(r, ptr);
}

static void of_many_live_blocks_the_first_are_told_and_how_many_more(void **state) {
  rig *r = *state;
  void *blocks[20];
  size_t i;
  for (i = 0; i < 16; i++) blocks[i] = take(r, 1000);
  assert_result(pinned_destroy(r->cache), HOSTCACHE_ERR_BUSY);
  assert_int_equal(r->said.live, 16); /* that are all */
  r->said.live = 0;
  for (; i < COUNT_OF(blocks); i++) blocks[i] = take(r, 1000);
  assert_result(pinned_destroy(r->cache), HOSTCACHE_ERR_BUSY);
  assert_int_equal(r->said.live, 16 + 1);
  assert_string_equal(r->said.what, "4 more blocks are still handed out");
  assert_null(r->said.ptr);
  r->said.live = 0;
  for (i = 0; i < COUNT_OF(blocks); i++) give(r, blocks[i]);
}

/* What a restore makes has no caller. */
static void a_live_block_that_a_restore_brought_back_is_told_without_callers(void **state) {
  static const hostcache_pool_id pool = {1, 2};
  rig *r = *state;
  pinned_checkpoint *checkpoint;
  unsigned char *first, *second;
  assert_ok(pinned_begin_allocate_to_pool(r->cache, pool, NULL, NULL));
  first = take(r, 1000);
  second = take(r, 1000);
  assert_ok(pinned_end_allocate_to_pool(r->cache, pool));
  assert_ok(pinned_checkpoint_pool(r->cache, pool, &checkpoint));
  give(r, first);
  give(r, second); /* one with the first from now on */
  assert_ok(pinned_restore_pool(r->cache, checkpoint, NULL, NULL));
  pinned_checkpoint_free(checkpoint);
  give(r, first);
  assert_result(pinned_destroy(r->cache), HOSTCACHE_ERR_BUSY);
  assert_int_equal(r->said.live, 1);
  assert_ptr_equal(r->said.ptr, second);
  assert_non_null(strstr(r->said.what, "is still handed out; got where cannot be told"));
  r->said.live = 0;
  give(r, second);
  assert_ok(pinned_release_pool(r->cache, pool));
}

static void live_blocks_are_told_by_abandon_which_touches_no_memory(void **state) {
  rig *r = *state;
  unsigned char *ptr = take(r, 1000);
  scribble(ptr + 1000); /* not looked at: the runtime is gone */
  r->said.calls = NULL;
  pinned_abandon(r->cache);
  r->cache = NULL;
  assert_int_equal(r->said.live, 1);
  assert_int_equal(r->said.corrupt + r->said.other, 0);
  assert_ptr_equal(r->said.ptr, ptr);
  assert_non_null(strstr(r->said.what, "got at 0xabc0"));
  memset(ptr, 0x22, 2 * MIB); /* all of the segment is open */
  free(ptr);
}

/* What a child says to stderr. */
static void hear_child(void (*body)(void), char *heard_text, size_t room, int *status) {
  int ends[2];
  ssize_t got;
  size_t used = 0;
  pid_t child;
  assert_int_equal(pipe(ends), 0);
  child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    (void)dup2(ends[1], 2);
    body();
    _exit(0);
  }
  (void)close(ends[1]);
  while ((got = read(ends[0], heard_text + used, room - 1 - used)) > 0) used += (size_t)got;
  heard_text[used] = '\0';
  (void)close(ends[0]);
  assert_int_equal(waitpid(child, status, 0), child);
}

static void err_where_nobody_listens(void) {
  device d = {0};
  pinned *cache;
  void *ptr;
  if (pinned_create(&cache, NULL, &d) != HOSTCACHE_OK) _exit(1);
  if (pinned_alloc(cache, 1000, &ptr) != HOSTCACHE_OK) _exit(1);
  if (pinned_destroy(cache) != HOSTCACHE_ERR_BUSY) _exit(1);
  scribble((unsigned char *)ptr + 1000);
  if (pinned_free(cache, ptr) != HOSTCACHE_ERR_CORRUPT) _exit(1);
  if (pinned_destroy(cache) != HOSTCACHE_OK) _exit(1);
}

static void where_nobody_listens_stderr_is_told(void **state) {
  char text[4096];
  int status;
  (void)state;
  hear_child(err_where_nobody_listens, text, sizeof text, &status);
  assert_true(WIFEXITED(status));
  assert_int_equal(WEXITSTATUS(status), 0);
  assert_non_null(strstr(text,
                         "hostcache: a block of 1000 bytes is still handed out; got at 0xabc0 < "
                         "0xabc1 < 0xabc2 (0x"));
  assert_null(strstr(text, "(0x)")); /* the address follows */
  assert_non_null(strstr(text, "hostcache: a block of 1000 bytes was written to behind its end"));
}

/* ---- all together ---------------------------------------------------------------------------- */

static void a_program_without_faults_is_told_nothing(void **state) {
  enum { SLOTS = 64, STEPS = 6000 };
  rig *r = *state;
  struct {
    unsigned char *ptr;
    size_t size;
  } slots[SLOTS];
  uint64_t seed = 20;
  int step;
  memset(slots, 0, sizeof slots);
  for (step = 0; step < STEPS; step++) {
    const size_t i = random_below(&seed, SLOTS), what = random_below(&seed, 100);
    if (slots[i].ptr == NULL) {
      slots[i].size = 1 + random_below(&seed, what < 5 ? 3 * MIB : 20 * KIB);
      slots[i].ptr = take(r, slots[i].size);
    } else {
      size_t at = random_below(&seed, slots[i].size);
      assert_int_equal(slots[i].ptr[at], 0x22);
      if (what < 30) assert_ok(pinned_record_stream(r->cache, slots[i].ptr, (int)what % 4));
      if (what < 50)
        assert_ok(pinned_free_deferred(r->cache, slots[i].ptr));
      else
        give(r, slots[i].ptr);
      slots[i].ptr = NULL;
    }
    r->device.done = what % 2 == 0;
    if (step % 500 == 0) assert_ok(pinned_check(r->cache));
    if (step % 700 == 0) assert_ok(pinned_empty_cache(r->cache));
    if (step % 900 == 0) assert_ok(pinned_reserve(r->cache, 100 * KIB, 3));
  }
  for (step = 0; step < SLOTS; step++)
    if (slots[step].ptr != NULL) give(r, slots[step].ptr);
}

static void in_a_child_nothing_is_written(void **state) {
  rig *r = *state;
  unsigned char *ptr = take(r, 1000);
  int status;
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    scribble(ptr + 1000);
    if (pinned_free(r->cache, ptr) != HOSTCACHE_ERR_FORKED) _exit(1);
    _exit(ptr[0] == 0x22 && r->said.corrupt == 0 ? 0 : 2);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  give(r, ptr);
}

/* ---- what AddressSanitizer sees -------------------------------------------------------------- */

#ifdef HOSTCACHE_ASAN

static pinned *asan_cache;
static unsigned char *asan_ptr;

static void asan_begin(void) {
  static device d;
  void *ptr;
  if (pinned_create(&asan_cache, NULL, &d) != HOSTCACHE_OK) _exit(0);
  if (pinned_alloc(asan_cache, 1000, &ptr) != HOSTCACHE_OK) _exit(0);
  asan_ptr = ptr;
}

static void write_after_free(void) {
  asan_begin();
  (void)pinned_free(asan_cache, asan_ptr);
  *(volatile unsigned char *)asan_ptr = 1;
}

static void read_after_free(void) {
  asan_begin();
  (void)pinned_free(asan_cache, asan_ptr);
  _exit(*(volatile unsigned char *)(asan_ptr + 999) != 0 ? 0 : 0);
}

static void write_behind_the_end(void) {
  asan_begin();
  *(volatile unsigned char *)(asan_ptr + 1000) = 1;
}

static void write_what_was_never_handed_out(void) {
  asan_begin();
  *(volatile unsigned char *)(asan_ptr + MIB) = 1;
}

static void each_is_stopped_by_address_sanitizer(void **state) {
  void (*const bodies[])(void) = {write_after_free, read_after_free, write_behind_the_end,
                                  write_what_was_never_handed_out};
  char text[65536];
  size_t i;
  int status;
  (void)state;
  for (i = 0; i < COUNT_OF(bodies); i++) {
    hear_child(bodies[i], text, sizeof text, &status);
    assert_false(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_non_null(strstr(text, "use-after-poison"));
  }
}

#endif

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_block_is_as_large_as_was_asked_and_has_a_red_zone_behind_it),
      TEST(sizes_at_the_ends_are_what_they_always_are),
      TEST(what_is_reserved_has_room_for_red_zones),
      TEST(one_byte_too_many_is_told_by_free_and_the_block_is_freed),
      TEST(every_byte_of_a_red_zone_is_looked_at),
      TEST(an_overflow_is_told_with_the_callers_of_who_got_the_block),
      TEST(an_overflow_of_a_block_that_is_used_is_told_by_free),
      TEST(an_overflow_is_told_beside_what_the_free_itself_says),
      TEST(an_overflow_is_told_where_no_callers_are_known),
      TEST(callers_beyond_those_that_find_room_are_left_out),
      TEST(callers_begin_with_who_called_the_library),
      TEST(whatever_hands_a_block_out_its_end_is_looked_at),
      TEST(a_function_that_calls_another_notes_its_own_caller),
      TEST(a_block_of_an_allocator_was_got_by_who_called_that),
      TEST(callers_have_names_where_the_system_knows_them),
      TEST(names_that_find_no_room_are_cut_off),
      TEST(frees_that_are_wrong_are_told_and_write_nothing),
      TEST(an_overflow_is_told_by_check_for_as_long_as_it_is_there),
      TEST(an_overflow_is_told_by_a_destroy_that_is_busy),
      TEST(an_overflow_of_what_was_freed_deferred_is_told_when_it_is_handed_out),
      TEST(what_a_stream_writes_behind_a_block_is_told_when_it_is_handed_out),
      TEST(an_aligned_block_has_a_red_zone_too),
      TEST(a_deleter_tells_of_an_overflow),
      TEST(a_write_after_free_is_told_when_the_memory_is_handed_out),
      TEST(a_write_after_free_is_told_by_check),
      TEST(a_write_after_free_is_told_before_the_memory_goes_back),
      TEST(a_write_to_memory_that_was_never_handed_out_is_told),
      TEST(an_overflow_beyond_the_red_zone_is_a_write_to_ready_memory),
      TEST(what_waits_is_left_alone_until_it_is_ready),
      TEST(what_an_event_of_the_users_waits_for_is_left_alone_until_it_is_ready),
      TEST(memory_of_a_pool_is_left_alone_until_that_is_released),
      TEST(memory_that_a_pool_gives_back_is_not_looked_at),
      TEST(ready_memory_that_nobody_guards_is_told_by_check),
      TEST(a_cache_that_knows_nothing_of_its_memory_leaves_it_alone),
      TEST(a_block_that_leaves_is_open_to_its_last_byte),
      TEST(a_block_of_a_pool_leaves_without_a_look),
      TEST(a_block_that_is_freed_through_another_cache_is_looked_at),
      TEST(memory_that_the_hook_did_not_take_is_open),
      TEST(live_blocks_are_told_by_a_destroy_that_is_busy),
      TEST(of_many_live_blocks_the_first_are_told_and_how_many_more),
      TEST(a_live_block_that_a_restore_brought_back_is_told_without_callers),
      TEST(live_blocks_are_told_by_abandon_which_touches_no_memory),
      TEST(where_nobody_listens_stderr_is_told),
      TEST(a_program_without_faults_is_told_nothing),
      TEST(in_a_child_nothing_is_written),
#ifdef HOSTCACHE_ASAN
      TEST(each_is_stopped_by_address_sanitizer),
#endif
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
