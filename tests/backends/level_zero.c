/* level_zero.c - backends/hostcache_level_zero.h, through the stock loader and the simulated driver
   of tests/level_zero_sim, which is the referee: it reports whatever the specification forbids, and
   memory that is handed out while a command still touches it.

   Promises: a block is not handed out before the commands on it have ended, in whatever order the
   device takes them; every call that may fail may do so at any time, and nothing is lost; every
   code reaches on_error; a lost device is survived; memory beyond one allocation's limit is asked
   for as the driver wants it; event pools grow; any number of threads may use one list. (What the
   contract promises of any device is in behaviour.c, which runs over this backend too.) */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "level_zero_sim/level_zero_sim.h"

static int mallocs_left = -1; /* of the pack: so many succeed, then all fail; -1: none fails */

static void *scarce_malloc(size_t size) {
  if (mallocs_left == 0) return NULL;
  if (mallocs_left > 0) mallocs_left--;
  return malloc(size);
}

#define HOSTCACHE_LEVEL_ZERO_MALLOC(size) scarce_malloc(size)
#define HOSTCACHE_LEVEL_ZERO_FREE(ptr) free(ptr)
#define HOSTCACHE_LEVEL_ZERO_IMPLEMENTATION
#define HOSTCACHE_IMPLEMENTATION

#define HC_NAME on_lists
#include "backends/hostcache_level_zero.h"
#include "hostcache.h"

#define HC_NAME on_queues
#define HC_LEVEL_ZERO_QUEUES
#include "backends/hostcache_level_zero.h"
#include "hostcache.h"

#define HC_NAME in_device
#define HC_LEVEL_ZERO_DEVICE
#include "backends/hostcache_level_zero.h"
#include "hostcache.h"

#define HC_NAME in_shared
#define HC_LEVEL_ZERO_SHARED
#include "backends/hostcache_level_zero.h"
#include "hostcache.h"

#if defined HC_LEVEL_ZERO_QUEUES || defined HC_STREAM_T || defined HC_MEM_ALLOC
#error "a switch or a parameter outlived its inclusion"
#endif

#include "helpers.h"

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define STRESS_DEFAULT 50000
#else
#define STRESS_DEFAULT 1000000
#endif

#define must(call) assert_int_equal(call, ZE_RESULT_SUCCESS)

/* Everything that the pack calls, once it is open. The copies of the tests are of other kinds. */
#define CALLED_ON_LISTS                                                                       \
  "zeMemAllocHost,zeMemFree,zeEventPoolCreate,zeEventCreate,zeEventDestroy,zeEventHostReset," \
  "zeEventQueryStatus,zeEventHostSynchronize,zeCommandListAppendBarrier"
#define CALLED_ON_QUEUES                            \
  CALLED_ON_LISTS                                   \
  ",zeCommandListCreate,zeCommandListClose,"        \
  "zeCommandListDestroy,zeCommandQueueSynchronize," \
  "zeCommandQueueExecuteCommandLists"
/* Not zeInit and zeDriverGet: a loader drops a driver that fails there, for good. */
#define CALLED_BY_OPEN \
  "zeDeviceGet,zeDeviceGetProperties,zeDriverGetExtensionProperties,zeContextCreate"

enum { STREAMS = 4, DEVICE_BYTES = 1 << 20 };

/* Of the stress, in all: a million, or what the environment says. */
static uint64_t stress_operations(void) {
  const char *wanted = getenv("HOSTCACHE_STRESS");
  return wanted != NULL ? strtoull(wanted, NULL, 10) : STRESS_DEFAULT;
}

#define CACHE on_lists
#define STREAM_T ze_command_list_handle_t
#define CALLED CALLED_ON_LISTS
#include "level_zero_suite.h"
#undef CACHE
#undef STREAM_T
#undef CALLED

#define CACHE on_queues
#define STREAM_T ze_command_queue_handle_t
#define CALLED CALLED_ON_QUEUES
#define ON_QUEUES
#include "level_zero_suite.h"

/* ---- open, attach, close --------------------------------------------------------------------- */

static int nothing_is_left(void **state) {
  (void)state;
  mallocs_left = -1;
  return ze_sim_reset() == 0 ? 0 : -1;
}

static void a_driver_that_is_not_there_is_an_argument_error(void **state) {
  hostcache_level_zero l0, zero;
  (void)state;
  memset(&l0, 0xff, sizeof l0);
  memset(&zero, 0, sizeof zero);
  assert_int_equal(hostcache_level_zero_open(&l0, 1000), ZE_RESULT_ERROR_INVALID_ARGUMENT);
  assert_memory_equal(&l0, &zero, sizeof l0);
  assert_int_equal(hostcache_level_zero_open(NULL, 0), ZE_RESULT_ERROR_INVALID_NULL_POINTER);
  must(hostcache_level_zero_close(&l0)); /* nothing to do */
  must(hostcache_level_zero_close(NULL));
}

/* Whichever call or malloc of open fails: it says so, leaves nothing behind, and works the next
   time. */
static void open_may_fail_at_any_call(void **state) {
  hostcache_level_zero l0, zero;
  uint64_t n;
  int mallocs;
  (void)state;
  memset(&zero, 0, sizeof zero);
  for (n = 1;; n++) {
    ze_result_t result;
    assert_int_equal(ze_sim_fail(CALLED_BY_OPEN, n, 0, ZE_RESULT_ERROR_DEVICE_LOST), 0);
    result = hostcache_level_zero_open(&l0, 0);
    if (ze_sim_fired() == 0) break;
    assert_int_equal(result, ZE_RESULT_ERROR_DEVICE_LOST);
    assert_memory_equal(&l0, &zero, sizeof l0);
    assert_int_equal(ze_sim_live(ZE_SIM_CONTEXTS), 0);
    assert_true(n < 100);
  }
  ze_sim_fail_no_more();
  must(hostcache_level_zero_close(&l0));
  assert_true(n > 6); /* two are called twice */
  for (mallocs = 0; mallocs < 100; mallocs++) {
    mallocs_left = mallocs;
    if (hostcache_level_zero_open(&l0, 0) == ZE_RESULT_SUCCESS) break;
    assert_memory_equal(&l0, &zero, sizeof l0);
  }
  assert_in_range(mallocs, 2, 99);
  mallocs_left = -1;
  must(hostcache_level_zero_close(&l0));
}

static void handles_that_the_program_has_stay_its_own(void **state) {
  hostcache_level_zero first, second;
  on_lists *cache;
  void *ptr;
  (void)state;
  must(hostcache_level_zero_open(&first, 0));
  memset(&second, 0, sizeof second);
  assert_int_equal(hostcache_level_zero_attach(&second), ZE_RESULT_ERROR_INVALID_NULL_HANDLE);
  assert_int_equal(hostcache_level_zero_attach(NULL), ZE_RESULT_ERROR_INVALID_NULL_POINTER);
  second.driver = first.driver;
  second.device = first.device;
  second.context = first.context;
  must(hostcache_level_zero_attach(&second));
  assert_ok(on_lists_create(&cache, NULL, &second));
  assert_ok(on_lists_alloc(cache, 1000, &ptr));
  assert_ok(on_lists_free(cache, ptr));
  assert_ok(on_lists_destroy(cache));
  must(hostcache_level_zero_close(&second));
  assert_int_equal(ze_sim_live(ZE_SIM_CONTEXTS), 1);
  must(hostcache_level_zero_close(&first));
}

/* What abandon, or a destroy that says LEAKED, has left makes close refuse, and abandon the way
   out. */
static void what_was_left_behind_can_be_abandoned(void **state) {
  hostcache_level_zero l0, zero;
  ze_context_handle_t context;
  on_lists *cache;
  void *ptr;
  (void)state;
  memset(&zero, 0, sizeof zero);
  must(hostcache_level_zero_open(&l0, 0));
  context = l0.context;
  assert_ok(on_lists_create(&cache, NULL, &l0));
  assert_ok(on_lists_alloc(cache, 1000, &ptr));
  on_lists_abandon(cache);
  assert_int_equal(hostcache_level_zero_close(&l0), ZE_RESULT_ERROR_HANDLE_OBJECT_IN_USE);
  hostcache_level_zero_abandon(&l0);
  assert_memory_equal(&l0, &zero, sizeof l0);
  hostcache_level_zero_abandon(&l0);
  hostcache_level_zero_abandon(NULL);
  must(zeMemFree(context, ptr));
  must(zeContextDestroy(context));
}

static void what_was_not_opened_is_told(void **state) {
  hostcache_level_zero l0;
  hostcache_level_zero_event event;
  on_lists *cache;
  void *ptr;
  (void)state;
  memset(&l0, 0, sizeof l0);
  assert_ok(on_lists_create(&cache, NULL, &l0));
  assert_result(on_lists_alloc(cache, 1000, &ptr), HOSTCACHE_ERR_OUT_OF_MEMORY);
  assert_ok(on_lists_destroy(cache));
  assert_int_equal(hostcache_level_zero_event_create(&l0, 0, &event),
                   ZE_RESULT_ERROR_UNINITIALIZED);
}

/* Counter-based events of a driver that does not know them would never be reset. */
static void counters_are_refused_where_the_driver_has_none(void **state) {
  hostcache_level_zero l0;
  hostcache_level_zero_event event;
  (void)state;
  must(hostcache_level_zero_open(&l0, 0));
  assert_int_equal(hostcache_level_zero_event_create(&l0, 1, &event),
                   ZE_RESULT_ERROR_UNSUPPORTED_FEATURE);
  must(hostcache_level_zero_close(&l0));
}

/* ---- kinds of memory ------------------------------------------------------------------------- */

static ze_memory_type_t kind_of(const hostcache_level_zero *l0, const void *ptr,
                                ze_device_handle_t *device) {
  ze_memory_allocation_properties_t properties;
  memset(&properties, 0, sizeof properties);
  properties.stype = ZE_STRUCTURE_TYPE_MEMORY_ALLOCATION_PROPERTIES;
  must(zeMemGetAllocProperties(l0->context, ptr, &properties, device));
  return properties.type;
}

#define KIND_TEST(name, cache, kind, owned)                                           \
  static void name(void **state) {                                                    \
    hostcache_level_zero l0;                                                          \
    ze_device_handle_t device = NULL;                                                 \
    cache *made;                                                                      \
    void *ptr, *large;                                                                \
    (void)state;                                                                      \
    ze_sim_limits(0, 0, 4 * MIB);                                                     \
    must(hostcache_level_zero_open(&l0, 0));                                          \
    assert_ok(PASTE(cache, create)(&made, NULL, &l0));                                \
    assert_ok(PASTE(cache, alloc)(made, 1000, &ptr));                                 \
    assert_int_equal(kind_of(&l0, ptr, &device), kind);                               \
    assert_true(!(owned) || device == l0.device);                                     \
    assert_ok(PASTE(cache, alloc)(made, 16 * MIB, &large)); /* with relaxed limits */ \
    assert_ok(PASTE(cache, free)(made, large));                                       \
    assert_ok(PASTE(cache, free)(made, ptr));                                         \
    assert_ok(PASTE(cache, destroy)(made));                                           \
    must(hostcache_level_zero_close(&l0));                                            \
  }
KIND_TEST(host_memory_is_host_memory, on_queues, ZE_MEMORY_TYPE_HOST, 0)
KIND_TEST(device_memory_is_of_the_device, in_device, ZE_MEMORY_TYPE_DEVICE, 1)
KIND_TEST(shared_memory_is_shared_with_the_device, in_shared, ZE_MEMORY_TYPE_SHARED, 1)

static void every_result_has_a_string_that_helps(void **state) {
  (void)state;
  assert_non_null(strstr(hostcache_level_zero_result_string(ZE_RESULT_ERROR_UNSUPPORTED_SIZE),
                         "maxMemAllocSize"));
  assert_non_null(
      strstr(hostcache_level_zero_result_string(ZE_RESULT_ERROR_UNINITIALIZED), "driver"));
  assert_non_null(hostcache_level_zero_result_string((ze_result_t)12345));
}

#define ON(cache, test)                                                                         \
  {                                                                                             \
#cache ": " #test, PASTE(cache, test), PASTE(cache, rig_setup), PASTE(cache, rig_teardown), \
        NULL                                                                                    \
  }
#define ALONE(test) cmocka_unit_test_setup_teardown(test, nothing_is_left, nothing_is_left)
#define ON_BOTH(test) ON(on_lists, test), ON(on_queues, test)

int main(void) {
  const struct CMUnitTest tests[] = {
      ALONE(a_driver_that_is_not_there_is_an_argument_error),
      ALONE(open_may_fail_at_any_call),
      ALONE(handles_that_the_program_has_stay_its_own),
      ALONE(what_was_left_behind_can_be_abandoned),
      ALONE(what_was_not_opened_is_told),
      ALONE(counters_are_refused_where_the_driver_has_none),
      ALONE(host_memory_is_host_memory),
      ALONE(device_memory_is_of_the_device),
      ALONE(shared_memory_is_shared_with_the_device),
      ALONE(every_result_has_a_string_that_helps),
      ON_BOTH(a_block_is_not_handed_out_before_an_unordered_copy_has_ended),
      ON_BOTH(event_pools_grow_and_events_are_used_again),
      ON_BOTH(an_event_of_the_program_can_be_handed_over),
      ON_BOTH(each_call_fails_once),
      ON_BOTH(all_calls_fail_from_each_on),
      ON_BOTH(each_malloc_of_the_pack_fails_once),
      ON_BOTH(where_no_event_can_be_recorded_the_stream_is_waited_for),
      ON_BOTH(where_the_stream_cannot_be_waited_for_the_block_is_quarantined),
      ON_BOTH(a_wait_that_fails_leaves_nothing_that_is_still_to_be_signalled),
      ON_BOTH(a_lost_device_is_survived),
      ON_BOTH(out_of_memory_and_only_that_is_reclaimed_for),
      ON_BOTH(memory_beyond_the_limit_of_one_allocation_is_asked_for_relaxed),
      ON_BOTH(without_relaxed_limits_the_drivers_code_is_told),
      ON_BOTH(a_stream_may_be_destroyed_once_it_is_forgotten_and_idle),
      ON_BOTH(close_says_that_a_cache_still_has_events),
      ON_BOTH(close_is_refused_while_a_cache_has_memory),
      ON_BOTH(close_is_refused_while_an_event_of_any_pool_is_in_use),
      ON_BOTH(errno_stays_as_it_was),
      ON_BOTH(four_threads_on_four_streams),
  };
  return cmocka_run_group_tests_name("level_zero", tests, NULL, NULL);
}
