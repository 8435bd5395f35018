/* The library of examples/20_pluggable.c over CUDA's interface, of which cuda_stand_in has as much
   as it takes: what 20_pluggable_cuda.h does with devices, default streams, errors and captures.

   After each test the current device and the last error are what they were, and nothing was called
   that CUDA would have refused. */

#define HC_NAME undefined /* only declared, for what the helpers need */
#define HC_DECLARE
#include "pluggable_torch.h"

#include "hostcache.h"

#include "cuda_stand_in/cuda_runtime_api.h"
#include "helpers.h"

#define LARGE (4 * MIB) /* a segment of its own */

static torch_library *t;

static void *get(int device, cudaStream_t stream) {
  return torch_raw_alloc(t, LARGE, device, (torch_stream)stream);
}

static void give(void *ptr) { assert_true(torch_raw_delete(t, ptr)); }

static int plug(void **state) {
  (void)state;
  t = torch_plug(PLUGGABLE_LIBRARY);
  if (t != NULL) torch_init(t, STAND_IN_DEVICES);
  return t == NULL;
}

/* The test has freed all: so all can go back. */
static int is_as_it_was(void **state) {
  int device;
  (void)state;
  torch_empty_cache(t);
  assert_int_equal(stand_in_used(0), 0);
  assert_int_equal(stand_in_used(1), 0);
  assert_int_equal(cudaPeekAtLastError(), cudaSuccess);
  assert_int_equal(cudaGetDevice(&device), cudaSuccess);
  assert_int_equal(device, 0);
  assert_int_equal(stand_in_forbidden(), 0);
  return 0;
}

static void the_default_stream_is_another_one_on_each_device(void **state) {
  cudaStream_t a = stand_in_stream(0), b = stand_in_stream(1);
  void *zero = get(0, NULL), *one = get(1, NULL), *zero_again, *one_again;
  (void)state;
  stand_in_submit(NULL, 0);
  stand_in_submit(NULL, 1);
  give(zero);
  give(one);
  stand_in_finish(NULL, 1);
  zero_again = get(0, a);
  one_again = get(1, b);
  assert_ptr_not_equal(zero_again, zero);
  assert_ptr_equal(one_again, one);
  stand_in_finish(NULL, 0);
  give(zero_again);
  give(one_again);
}

static void a_stream_of_another_device_is_waited_for_there(void **state) {
  cudaStream_t a = stand_in_stream(0), b = stand_in_stream(1);
  void *first = get(0, a), *second, *third;
  (void)state;
  torch_record_stream(t, first, (torch_stream)b);
  stand_in_submit(b, 1);
  give(first);
  second = get(0, a);
  assert_ptr_not_equal(second, first);
  stand_in_finish(b, 1);
  third = get(0, a);
  assert_ptr_equal(third, first);
  give(second);
  give(third);
}

/* The legacy stream waits for them, so an event there does; and the name may be that of another one
   on another thread, so that it serves none of them at once. */
static void the_default_stream_of_a_thread_is_waited_for_on_the_legacy_one(void **state) {
  const cudaStream_t others[] = {NULL, cudaStreamPerThread};
  size_t i;
  (void)state;
  for (i = 0; i < COUNT_OF(others); i++) {
    void *first = get(0, cudaStreamPerThread), *second;
    stand_in_submit(NULL, 0);
    give(first);
    second = get(0, others[i]);
    assert_ptr_not_equal(second, first);
    stand_in_finish(NULL, 0);
    give(second);
  }
}

static void the_legacy_stream_is_the_default_one(void **state) {
  void *first = get(0, cudaStreamLegacy), *second;
  (void)state;
  stand_in_submit(NULL, 0);
  give(first);
  second = get(0, NULL);
  assert_ptr_equal(second, first);
  stand_in_finish(NULL, 0);
  give(second);
}

static void without_memory_there_is_no_pointer_and_no_error_left(void **state) {
  void *most = torch_raw_alloc(t, STAND_IN_DEVICE_BYTES, 1, NULL);
  (void)state;
  assert_non_null(most);
  assert_null(get(1, NULL));
  assert_int_equal(cudaPeekAtLastError(), cudaSuccess);
  assert_null(get(STAND_IN_DEVICES, NULL));
  give(most);
  torch_empty_cache(t);
  torch_set_memory_fraction(t, 0.5, 1);
  assert_null(torch_raw_alloc(t, STAND_IN_DEVICE_BYTES / 2 + 1, 1, NULL));
  torch_set_memory_fraction(t, 1, 1);
}

static void the_base_of_a_pointer_is_what_cudaMalloc_gave(void **state) {
  char *ptr = get(1, NULL);
  size_t size;
  (void)state;
  assert_ptr_equal(torch_base_allocation(t, ptr + 5, &size), ptr);
  assert_int_equal(size, LARGE);
  give(ptr);
}

static int is_captured(void *user, torch_stream stream) { return (void *)stream == user; }

/* Memory is got in the capture, no event is recorded or asked, and what the graph uses is not
   handed out again before the graph ends. */
static void a_graph_keeps_what_was_got_while_it_was_captured(void **state) {
  cudaStream_t a = stand_in_stream(0);
  void *used, *used_too, *beside, *later, *of_another_graph;
  (void)state;
  torch_begin_pool(t, 0, 1, 0, TORCH_ASKS, is_captured, a);
  stand_in_capture(a, 1);
  used = get(0, a);
  beside = get(0, NULL);
  assert_non_null(used);
  assert_non_null(beside);
  give(used);
  give(beside);
  used_too = get(0, a);
  assert_ptr_not_equal(used_too, used);
  give(used_too);
  stand_in_capture(a, 0);
  torch_end_pool(t, 0, 1, 0);
  later = get(0, a);
  torch_begin_pool(t, 0, 1, 0, TORCH_ASKS, is_captured, a); /* for another graph */
  of_another_graph = get(0, a);
  torch_end_pool(t, 0, 1, 0);
  assert_ptr_not_equal(later, used);
  assert_ptr_not_equal(later, used_too);
  assert_ptr_not_equal(of_another_graph, used);
  assert_ptr_not_equal(of_another_graph, used_too);
  give(later);
  give(of_another_graph);
  torch_release_pool(t, 0, 1, 0);
  torch_release_pool(t, 0, 1, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(the_default_stream_is_another_one_on_each_device, is_as_it_was),
      cmocka_unit_test_teardown(a_stream_of_another_device_is_waited_for_there, is_as_it_was),
      cmocka_unit_test_teardown(the_default_stream_of_a_thread_is_waited_for_on_the_legacy_one,
                                is_as_it_was),
      cmocka_unit_test_teardown(the_legacy_stream_is_the_default_one, is_as_it_was),
      cmocka_unit_test_teardown(without_memory_there_is_no_pointer_and_no_error_left, is_as_it_was),
      cmocka_unit_test_teardown(the_base_of_a_pointer_is_what_cudaMalloc_gave, is_as_it_was),
      cmocka_unit_test_teardown(a_graph_keeps_what_was_got_while_it_was_captured, is_as_it_was),
  };
  return cmocka_run_group_tests(tests, plug, NULL);
}
