/* declare.c - tests section 4 of the header: declarations, which may be repeated, and the code that
   follows them.

   Promises: prototypes are those of section 5 of the contract, in each mode; declaring twice, and
   declaring before implementing, is fine; only the name, the types and the mode are needed to
   declare; nothing but these names is made, and the types are opaque. */

#include "sim/sim.h"

/* Three times in event mode: twice without any hook, then with the code. */
#define HC_NAME pinned
#define HC_STREAM_T sim_stream
#define HC_EVENT_T sim_event
#define HC_CTX_T sim_device *
#include "hostcache.h"

#define HC_NAME pinned
#define HC_STREAM_T sim_stream
#define HC_EVENT_T sim_event
#define HC_CTX_T sim_device *
#define HC_DECLARE
#include "hostcache.h"

typedef struct caller { /* what another file may do with a declaration alone */
  pinned *cache;
  pinned_block *block;
} caller;

#define HC_NAME pinned
#include "sim/hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

/* ... and once more after the code. */
#define HC_NAME pinned
#define HC_STREAM_T sim_stream
#define HC_EVENT_T sim_event
#define HC_CTX_T sim_device *
#include "hostcache.h"

#define HC_NAME counted
#include "sim/hooks_timeline.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME requests
#include "sim/hooks_requests.h"
#define HC_IMPLEMENT
#include "hostcache.h"

/* Hooks may be defined for what is only declared. */
#define HC_NAME elsewhere
#include "sim/hooks_plain.h"
#define HC_DECLARE
#include "hostcache.h"

#include "helpers.h"

/* The interface of section 5, written out: a difference in any type does not compile. */
#define INTERFACE_OF(name, ctx_t)                                                     \
  typedef struct name##_interface {                                                   \
    hostcache_result (*create)(name **, const hostcache_config *, ctx_t);             \
    hostcache_result (*destroy)(name *);                                              \
    void (*abandon)(name *);                                                          \
    hostcache_result (*alloc)(name *, size_t, void **);                               \
    hostcache_result (*release[2])(name *, void *);                                   \
    hostcache_result (*block_alloc)(name *, size_t, name##_block **);                 \
    hostcache_result (*block_release[2])(name *, name##_block *);                     \
    void *(*block_ptr)(const name##_block *);                                         \
    size_t (*block_size)(const name##_block *);                                       \
    name##_block *(*find)(name *, const void *);                                      \
    hostcache_result (*process_events)(name *, size_t *);                             \
    hostcache_result (*synchronize)(name *, uint64_t);                                \
    hostcache_result (*of_cache_alone[5])(name *);                                    \
    hostcache_result (*trim)(name *, size_t);                                         \
    hostcache_result (*reserve)(name *, size_t, size_t);                              \
    hostcache_result (*stats)(name *, hostcache_stats *);                             \
    hostcache_result (*walk)(name *, hostcache_visit_fn, void *);                     \
  } name##_interface;                                                                 \
  static const name##_interface name##_functions = {                                  \
      name##_create,                                                                  \
      name##_destroy,                                                                 \
      name##_abandon,                                                                 \
      name##_alloc,                                                                   \
      {name##_free, name##_free_deferred},                                            \
      name##_block_alloc,                                                             \
      {name##_block_free, name##_block_free_deferred},                                \
      name##_block_ptr,                                                               \
      name##_block_size,                                                              \
      name##_find,                                                                    \
      name##_process_events,                                                          \
      name##_synchronize,                                                             \
      {name##_empty_cache, name##_release_quarantine, name##_reset_accumulated_stats, \
       name##_reset_peak_stats, name##_check},                                        \
      name##_trim,                                                                    \
      name##_reserve,                                                                 \
      name##_stats,                                                                   \
      name##_walk,                                                                    \
  }

INTERFACE_OF(pinned, sim_device *);
INTERFACE_OF(counted, sim_device *);
INTERFACE_OF(requests, sim_device *);

static hostcache_result (*const record_stream[])(pinned *, void *,
                                                 sim_stream) = {pinned_record_stream};
static hostcache_result (*const record_event[])(pinned *, void *,
                                                sim_event) = {pinned_record_event};
static hostcache_result (*const block_record_stream[])(pinned *, pinned_block *,
                                                       sim_stream) = {pinned_block_record_stream};
static hostcache_result (*const block_record_event[])(pinned *, pinned_block *,
                                                      sim_event) = {pinned_block_record_event};
static hostcache_result (*const forget_stream[])(pinned *, sim_stream) = {pinned_forget_stream};
static hostcache_result (*const record_value[])(counted *, void *, sim_stream,
                                                uint64_t) = {counted_record_value};
static hostcache_result (*const block_record_value[])(counted *, counted_block *, sim_stream,
                                                      uint64_t) = {counted_block_record_value};
static hostcache_result (*const record_request[])(requests *, void *,
                                                  sim_event) = {requests_record_event};

static void every_function_of_the_interface_is_there(void **state) {
  (void)state;
  assert_true(pinned_functions.create != NULL && counted_functions.walk != NULL &&
              requests_functions.find != NULL);
  assert_true(record_stream[0] != NULL && record_event[0] != NULL &&
              block_record_stream[0] != NULL);
  assert_true(block_record_event[0] != NULL && forget_stream[0] != NULL && record_value[0] != NULL);
  assert_true(block_record_value[0] != NULL && record_request[0] != NULL);
}

static void a_cache_works_through_its_declaration_alone(void **state) {
  sim_device *d = malloc(sizeof *d);
  caller c;
  (void)state;
  assert_non_null(d);
  sim_open(d);
  assert_ok(pinned_functions.create(&c.cache, NULL, d));
  assert_ok(pinned_functions.block_alloc(c.cache, 100, &c.block));
  assert_ok(block_record_stream[0](c.cache, c.block, 3));
  assert_ok(pinned_functions.block_release[0](c.cache, c.block));
  assert_ok(pinned_functions.synchronize(c.cache, 0));
  assert_ok(pinned_functions.of_cache_alone[4](c.cache));
  assert_ok(pinned_functions.destroy(c.cache));
  assert_int_equal(sim_close(d, 0, 0), 0);
  free(d);
}

/* What is only declared must not be implemented: this would be a second definition. */
hostcache_result elsewhere_check(elsewhere *cache) {
  (void)cache;
  return HOSTCACHE_ERR_UNSUPPORTED;
}

static void what_is_only_declared_is_not_implemented(void **state) {
  (void)state;
  assert_result(elsewhere_check(NULL), HOSTCACHE_ERR_UNSUPPORTED);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_function_of_the_interface_is_there),
      cmocka_unit_test(a_cache_works_through_its_declaration_alone),
      cmocka_unit_test(what_is_only_declared_is_not_implemented),
  };
  return cmocka_run_group_tests_name("declare", tests, NULL, NULL);
}
