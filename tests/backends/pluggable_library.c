/* The library of examples/20_pluggable.c, loaded and called as PyTorch does it (pluggable_torch.h),
   over the CPU backend.

   Promises checked: each function that the example tells Python of is there by name; memory that
   was freed serves no other stream before the one it was got for, and each that was recorded, is
   through; devices share nothing; what the functions of PyTorch mean is what these do; what cannot
   be is told on stderr, once, and gives NULL. Each test has a device, or several, to itself. */

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define HC_NAME undefined /* only declared, for what the helpers need */
#define HC_DECLARE
#include "pluggable_torch.h"

#include "hostcache.h"

#include "helpers.h"

#define LARGE (4 * MIB) /* a segment of its own */

static torch_library *t;
static hostcache_cpu *cpu;

/* ---- streams whose work ends when the test says so --------------------------------------------

   They are not destroyed before the process ends, as PyTorch's are not: the library may ask. */

typedef struct gate {
  torch_stream stream;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool is_open; /* LOCK: lock */
} gate;

static void must(hostcache_cpu_result result) {
  if (result == HOSTCACHE_CPU_OK) return;
  fprintf(stderr, "cpu: %s\n", hostcache_cpu_result_string(result));
  abort();
}

static void wait_until_open(void *argument) {
  gate *g = (gate *)argument;
  pthread_mutex_lock(&g->lock);
  while (!g->is_open) pthread_cond_wait(&g->changed, &g->lock);
  pthread_mutex_unlock(&g->lock);
}

static void gate_new(gate *g) {
  pthread_mutex_init(&g->lock, NULL);
  pthread_cond_init(&g->changed, NULL);
  g->is_open = false;
  must(hostcache_cpu_stream_create(cpu, &g->stream));
}

/* From here on the stream is at work. */
static void gate_close(gate *g) { must(hostcache_cpu_host(g->stream, wait_until_open, g)); }

static void gate_open(gate *g) {
  pthread_mutex_lock(&g->lock);
  g->is_open = true;
  pthread_cond_broadcast(&g->changed);
  pthread_mutex_unlock(&g->lock);
}

static void *gate_opener(void *argument) {
  gate_open((gate *)argument);
  return NULL;
}

static void gate_open_and_wait(gate *g) {
  gate_open(g);
  must(hostcache_cpu_stream_wait(g->stream));
}

/* ---- what the library says ------------------------------------------------------------------- */

typedef struct listener {
  int saved;
  FILE *file;
} listener;

static listener listen_to_stderr(void) {
  listener l = {dup(STDERR_FILENO), tmpfile()};
  assert_true(l.saved >= 0 && l.file != NULL);
  fflush(stderr);
  assert_true(dup2(fileno(l.file), STDERR_FILENO) >= 0);
  return l;
}

/* How many lines were written that have this in them. */
static int heard_of(listener l, const char *what) {
  char line[512];
  int count = 0;
  fflush(stderr);
  dup2(l.saved, STDERR_FILENO);
  close(l.saved);
  rewind(l.file);
  while (fgets(line, sizeof line, l.file) != NULL) count += strstr(line, what) != NULL;
  fclose(l.file);
  return count;
}

static bool is_mapped(void *ptr) { return msync(ptr, PAGE, MS_ASYNC) == 0 || errno != ENOMEM; }

static void *get(size_t size, int device, torch_stream stream) {
  void *ptr = torch_raw_alloc(t, size, device, stream);
  assert_non_null(ptr);
  memset(ptr, 0x5a, size);
  return ptr;
}

static void give(void *ptr) { assert_true(torch_raw_delete(t, ptr)); }

static int setup(void **state) {
  (void)state;
  must(hostcache_cpu_open(&cpu, NULL));
  t = torch_plug(PLUGGABLE_LIBRARY);
  return t == NULL;
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void what_is_used_before_init_is_there_after_it(void **state) {
  gate a;
  void *before, *again;
  (void)state;
  gate_new(&a);
  before = get(LARGE, 1, a.stream);
  torch_init(t, 4);
  torch_init(t, 4);
  torch_init(t, 0); /* as PyTorch does when it makes the allocator */
  give(before);
  again = get(LARGE, 1, a.stream);
  assert_ptr_equal(again, before);
  give(again);
}

static void memory_serves_its_stream_again_at_once(void **state) {
  gate a;
  void *first, *second;
  (void)state;
  gate_new(&a);
  first = get(LARGE, 4, a.stream);
  gate_close(&a);
  give(first);
  second = get(LARGE, 4, a.stream);
  assert_ptr_equal(second, first);
  gate_open_and_wait(&a);
  give(second);
}

static void memory_serves_another_stream_when_its_own_is_through(void **state) {
  gate a, b;
  void *first, *second, *third;
  (void)state;
  gate_new(&a);
  gate_new(&b);
  first = get(LARGE, 2, a.stream);
  gate_close(&a);
  give(first);
  second = get(LARGE, 2, b.stream);
  assert_ptr_not_equal(second, first);
  gate_open_and_wait(&a);
  third = get(LARGE, 2, b.stream);
  assert_ptr_equal(third, first);
  give(second);
  give(third);
}

static void memory_waits_for_each_stream_that_was_recorded(void **state) {
  gate a, b, c;
  char *first, *second, *third;
  (void)state;
  gate_new(&a);
  gate_new(&b);
  gate_new(&c);
  first = get(LARGE, 3, a.stream);
  torch_record_stream(t, first, b.stream);
  torch_record_stream(t, first + 100, c.stream); /* a view of the tensor */
  gate_close(&b);
  gate_close(&c);
  give(first);
  gate_open_and_wait(&b);
  second = get(LARGE, 3, a.stream);
  assert_ptr_not_equal(second, first);
  gate_open_and_wait(&c);
  third = get(LARGE, 3, a.stream);
  assert_ptr_equal(third, first);
  give(second);
  give(third);
}

/* NULL is no stream of the CPU backend: what is got for it is the host's, and ready at once. */
static void memory_for_no_stream_waits_for_none(void **state) {
  void *first, *second;
  (void)state;
  first = get(LARGE, 4, NULL);
  torch_record_stream(t, first, NULL);
  give(first);
  second = get(LARGE, 4, NULL);
  assert_ptr_equal(second, first);
  give(second);
}

static void devices_share_nothing(void **state) {
  gate a;
  void *first, *second, *again;
  (void)state;
  gate_new(&a);
  first = get(LARGE, 5, a.stream);
  give(first);
  second = get(LARGE, 6, a.stream);
  assert_ptr_not_equal(second, first);
  again = get(LARGE, 5, a.stream);
  assert_ptr_equal(again, first);
  torch_set_memory_fraction(t, 0.0, 5);
  give(get(3 * LARGE, 6, a.stream));
  give(second);
  give(again);
}

static void nothing_is_nothing(void **state) {
  const listener l = listen_to_stderr();
  void *nothing = torch_raw_alloc(t, 0, 7, NULL);
  int deleted, said;
  (void)state;
  torch_record_stream(t, NULL, NULL);
  deleted = torch_raw_delete(t, NULL);
  said = heard_of(l, "pluggable");
  assert_null(nothing);
  assert_true(deleted);
  assert_int_equal(said, 0);
}

/* ---- what is optional ------------------------------------------------------------------------ */

static void a_fraction_bounds_what_is_held_of_a_device(void **state) {
  void *first, *second, *third;
  (void)state;
  torch_set_memory_fraction(t, 1.0 / 128, 8); /* of 1 GiB */
  first = get(LARGE, 8, NULL);
  second = get(LARGE, 8, NULL);
  assert_null(torch_raw_alloc(t, LARGE, 8, NULL));
  give(first);
  third = get(LARGE, 8, NULL);
  torch_set_memory_fraction(t, 1.0, 8);
  give(get(8 * LARGE, 8, NULL));
  give(second);
  give(third);
}

static void a_fraction_that_is_none_changes_nothing(void **state) {
  const listener l = listen_to_stderr();
  int said;
  (void)state;
  torch_set_memory_fraction(t, 1.5, 9);
  torch_set_memory_fraction(t, -1.0, 9);
  torch_set_memory_fraction(t, 0.5, -1);
  said = heard_of(l, "pluggable_memory_fraction");
  assert_int_equal(said, 1);
  give(get(LARGE, 9, NULL));
}

static void at_the_bound_an_allocation_waits_for_what_is_pending(void **state) {
  gate a;
  pthread_t opener;
  void *first, *second;
  (void)state;
  gate_new(&a);
  torch_set_memory_fraction(t, 1.0 / 256, 10);
  first = get(LARGE, 10, a.stream);
  gate_close(&a);
  give(first);
  pthread_create(&opener, NULL, gate_opener, &a);
  second = get(LARGE, 10, NULL);
  assert_ptr_equal(second, first);
  pthread_join(opener, NULL);
  give(second);
}

static void the_base_of_a_pointer_is_what_the_runtime_gave(void **state) {
  char *large = get(LARGE, 11, NULL), *small = get(1000, 11, NULL), *other = get(1000, 11, NULL);
  size_t size, size_of_other;
  char *base;
  (void)state;
  assert_ptr_equal(torch_base_allocation(t, large, &size), large);
  assert_int_equal(size, LARGE);
  assert_ptr_equal(torch_base_allocation(t, large + LARGE - 1, &size), large);
  assert_int_equal(size, LARGE);
  assert_ptr_equal(torch_base_allocation(t, large + 1, NULL), large);
  base = torch_base_allocation(t, small + 999, &size);
  assert_int_equal(size, 2 * MIB);
  assert_true(base <= small && small + 1000 <= base + size);
  assert_ptr_equal(torch_base_allocation(t, other, &size_of_other), base);
  assert_int_equal(size_of_other, size);
  give(large);
  give(small);
  give(other);
}

static void a_pointer_from_elsewhere_has_no_base(void **state) {
  int elsewhere;
  size_t size = 1;
  (void)state;
  assert_null(torch_base_allocation(t, &elsewhere, &size));
  assert_int_equal(size, 0);
  assert_null(torch_base_allocation(t, NULL, NULL));
}

static void emptying_the_cache_gives_back_all_that_is_ready(void **state) {
  gate a;
  void *ready, *busy, *active, *elsewhere;
  (void)state;
  gate_new(&a);
  ready = get(LARGE, 12, NULL);
  active = get(LARGE, 12, NULL);
  busy = get(LARGE, 12, a.stream);
  elsewhere = get(LARGE, 13, NULL);
  gate_close(&a);
  give(busy);
  give(ready);
  give(elsewhere);
  torch_empty_cache(t);
  assert_false(is_mapped(ready));
  assert_false(is_mapped(elsewhere));
  assert_true(is_mapped(busy));
  assert_true(is_mapped(active));
  gate_open_and_wait(&a);
  torch_empty_cache(t);
  assert_false(is_mapped(busy));
  assert_true(is_mapped(active));
  give(active);
}

/* ---- pools ----------------------------------------------------------------------------------- */

typedef struct asked { /* what a filter was asked, and lets in */
  torch_stream one;
  int times;
} asked;

static int is_the_one(void *user, torch_stream stream) {
  asked *about = (asked *)user;
  about->times++;
  return stream == about->one;
}

static void a_pool_serves_whom_its_filter_lets_in(void **state) {
  gate a, b;
  asked about = {NULL, 0};
  void *inside, *outside, *later;
  (void)state;
  gate_new(&a);
  gate_new(&b);
  about.one = a.stream;
  torch_begin_pool(t, 14, 3, UINT64_MAX, TORCH_ASKS, is_the_one, &about);
  inside = get(LARGE, 14, a.stream);
  outside = get(LARGE, 14, b.stream);
  assert_int_equal(about.times, 2);
  torch_end_pool(t, 14, 3, UINT64_MAX);
  give(inside);
  later = get(LARGE, 14, a.stream); /* the pool is closed, and keeps its memory ... */
  assert_ptr_not_equal(later, inside);
  assert_int_equal(about.times, 2);
  give(outside);
  give(later);
  torch_begin_pool(t, 14, 3, UINT64_MAX, TORCH_ASKS, is_the_one, &about);
  later = get(LARGE, 14, a.stream); /* ... for when it is open again */
  assert_ptr_equal(later, inside);
  give(later);
  torch_end_pool(t, 14, 3, UINT64_MAX);
  torch_release_pool(t, 14, 3, UINT64_MAX);
  torch_release_pool(t, 14, 3, UINT64_MAX);
}

static void what_a_pool_kept_is_everybodys_after_its_release(void **state) {
  void *inside, *later;
  (void)state;
  torch_begin_pool(t, 15, 1, 2, TORCH_LETS_ALL_IN, NULL, NULL);
  inside = get(LARGE, 15, NULL);
  give(inside);
  torch_end_pool(t, 15, 1, 2);
  torch_release_pool(t, 15, 1, 2);
  later = get(LARGE, 15, NULL);
  assert_ptr_equal(later, inside);
  give(later);
}

static void a_filter_lives_as_long_as_its_pool_is_open(void **state) {
  asked about = {NULL, 0};
  (void)state;
  assert_int_equal(torch_filters_alive(), 0);
  torch_begin_pool(t, 16, 1, 2, TORCH_ASKS, is_the_one, &about);
  torch_begin_pool(t, 17, 1, 2, TORCH_ASKS, is_the_one, &about);
  torch_begin_pool(t, 16, 1, 3, TORCH_ASKS, is_the_one, &about);
  assert_int_equal(torch_filters_alive(), 3);
  give(get(LARGE, 16, NULL));
  torch_end_pool(t, 16, 1, 2);
  torch_end_pool(t, 17, 1, 2);
  torch_end_pool(t, 16, 1, 3);
  assert_int_equal(torch_filters_alive(), 0);
  torch_release_pool(t, 16, 1, 2);
  torch_release_pool(t, 17, 1, 2);
  torch_release_pool(t, 16, 1, 3);
}

static void a_filter_that_throws_lets_in(void **state) {
  void *inside, *later;
  (void)state;
  torch_begin_pool(t, 18, 1, 2, TORCH_THROWS, NULL, NULL);
  inside = get(LARGE, 18, NULL);
  torch_end_pool(t, 18, 1, 2);
  give(inside);
  later = get(LARGE, 18, NULL);
  assert_ptr_not_equal(later, inside);
  give(later);
  torch_release_pool(t, 18, 1, 2);
}

static void wrong_calls_about_pools_are_told(void **state) {
  asked about = {NULL, 0};
  listener l;
  int said;
  (void)state;
  torch_begin_pool(t, 19, 1, 2, TORCH_ASKS, is_the_one, &about);
  l = listen_to_stderr();
  torch_begin_pool(t, 19, 1, 2, TORCH_ASKS, is_the_one, &about);
  torch_begin_pool(t, 19, 0, 0, TORCH_ASKS, is_the_one, &about);
  torch_begin_pool(t, -1, 1, 2, TORCH_ASKS, is_the_one, &about);
  torch_end_pool(t, 19, 5, 5);
  torch_end_pool(t, -1, 1, 2);
  torch_release_pool(t, 19, 1, 2); /* it is open */
  said = heard_of(l, "_pool: HOSTCACHE_ERR_");
  assert_int_equal(said, 6);
  assert_int_equal(torch_filters_alive(), 1);
  torch_end_pool(t, 19, 1, 2);
  torch_release_pool(t, 19, 1, 2);
  l = listen_to_stderr();
  torch_release_pool(t, 19, 1, 2); /* as the end of a MemPool does */
  said = heard_of(l, "pool");
  assert_int_equal(said, 0);
}

/* ---- what goes wrong ------------------------------------------------------------------------- */

static void without_memory_there_is_no_pointer(void **state) {
  const listener l = listen_to_stderr();
  void *huge = torch_raw_alloc(t, 2 * GIB, 20, NULL);
  void *huge_again = torch_raw_alloc(t, 2 * GIB, 20, NULL);
  void *negative = torch_raw_alloc(t, SIZE_MAX, 20, NULL);
  const int said = heard_of(l, "pluggable_alloc: HOSTCACHE_ERR_LIMIT");
  (void)state;
  assert_null(huge);
  assert_null(huge_again);
  assert_null(negative);
  assert_true(said <= 1); /* an earlier test may have been the first */
  give(get(LARGE, 20, NULL));
}

static void there_is_no_such_device(void **state) {
  const listener l = listen_to_stderr();
  void *before = torch_raw_alloc(t, LARGE, -1, NULL);
  void *beyond = torch_raw_alloc(t, LARGE, 64, NULL);
  int said;
  (void)state;
  torch_free_anything(t, &said, -1);
  torch_free_anything(t, &said, 1000000);
  said = heard_of(l, "pluggable_free: HOSTCACHE_ERR_ARGUMENT");
  assert_null(before);
  assert_null(beyond);
  assert_int_equal(said, 1);
}

static void a_pointer_from_elsewhere_is_told_once(void **state) {
  char elsewhere[64];
  char *ours = get(LARGE, 21, NULL);
  const listener l = listen_to_stderr();
  int said;
  (void)state;
  torch_free_anything(t, elsewhere, 21);
  torch_free_anything(t, elsewhere + 1, 21);
  torch_free_anything(t, ours, 22);     /* of another device */
  torch_free_anything(t, ours + 1, 21); /* not its first byte */
  torch_record_stream(t, elsewhere, NULL);
  torch_record_stream(t, elsewhere, NULL);
  said = heard_of(l, "HOSTCACHE_ERR_NOT_FOUND");
  assert_int_equal(said, 2); /* once of each function */
  memset(ours, 1, LARGE);    /* still there */
  give(ours);
}

static void a_double_free_is_told_once(void **state) {
  void *ptr = get(LARGE, 23, NULL), *one, *two;
  listener l;
  int said;
  (void)state;
  give(ptr);
  l = listen_to_stderr();
  torch_free_anything(t, ptr, 23);
  torch_free_anything(t, ptr, 23);
  said = heard_of(l, "pluggable_free: HOSTCACHE_ERR_DOUBLE_FREE");
  assert_int_equal(said, 1);
  one = get(LARGE, 23, NULL);
  two = get(LARGE, 23, NULL);
  assert_ptr_not_equal(one, two);
  give(one);
  give(two);
}

static void a_child_after_fork_gets_nothing_and_breaks_nothing(void **state) {
  void *ptr = get(LARGE, 24, NULL);
  pid_t child;
  int status = -1;
  (void)state;
  child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    const bool nothing = torch_raw_alloc(t, LARGE, 24, NULL) == NULL;
    torch_raw_delete(t, ptr);
    torch_empty_cache(t);
    _exit(nothing ? 0 : 1);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  memset(ptr, 1, LARGE);
  give(ptr);
}

/* ---- threads --------------------------------------------------------------------------------- */

enum { THREADS = 6, STREAMS = 3, ROUNDS = 400 };
enum { FIRST_DEVICE = 30, DEVICES = 2, FIRST_NEW_DEVICE = 32, ALL_DEVICES = 64 };

static torch_stream streams[STREAMS];

typedef struct payload {
  unsigned char *bytes, value;
  size_t size;
} payload;

/* On a stream, after it has filled the bytes. */
static void is_untouched(void *argument) {
  payload *p = (payload *)argument;
  size_t i;
  for (i = 0; i < p->size; i++) expect_or_abort(p->bytes[i] == p->value);
  free(p);
}

/* Fills memory on a stream and looks at it there: the one that it is got for, or another one, which
   comes after that one and is recorded. Frees it while that is at work. */
static void use_and_free(uint64_t *random, unsigned char value) {
  const size_t size = 1 + random_below(random, 200000);
  const int device = FIRST_DEVICE + (int)random_below(random, DEVICES);
  torch_stream got_for = streams[random_below(random, STREAMS)];
  torch_stream used_on = streams[random_below(random, STREAMS)];
  void *bytes = torch_raw_alloc(t, size, device, got_for);
  payload *p = malloc(sizeof *p);
  expect_or_abort(bytes != NULL && p != NULL);
  *p = (payload){bytes, value, size};
  if (used_on != got_for) {
    must(hostcache_cpu_stream_wait(got_for)); /* which may be using what was there before */
    torch_record_stream(t, bytes, used_on);
  }
  must(hostcache_cpu_fill(used_on, bytes, value, size));
  must(hostcache_cpu_host(used_on, is_untouched, p));
  torch_raw_delete(t, bytes);
}

static void *work(void *argument) {
  const unsigned char value = (unsigned char)(1 + (uintptr_t)argument);
  uint64_t random = 77 + (uint64_t)(uintptr_t)argument;
  int i;
  for (i = 0; i < ROUNDS; i++) {
    use_and_free(&random, value);
    if (i % 100 == 99) torch_empty_cache(t);
    if (i % 150 == 149) torch_init(t, FIRST_DEVICE + DEVICES);
  }
  return NULL;
}

static void run_on_threads(uintptr_t count, void *(*run)(void *argument)) {
  pthread_t threads[THREADS];
  uintptr_t i;
  for (i = 0; i < count; i++) pthread_create(&threads[i], NULL, run, (void *)i);
  for (i = 0; i < count; i++) pthread_join(threads[i], NULL);
}

static void any_thread_may_call(void **state) {
  size_t i;
  (void)state;
  for (i = 0; i < STREAMS; i++) must(hostcache_cpu_stream_create(cpu, &streams[i]));
  run_on_threads(THREADS, work);
  for (i = 0; i < STREAMS; i++) must(hostcache_cpu_stream_wait(streams[i]));
}

/* Both threads come here before either goes on, and then both at once. */
static void meet(void) {
  static atomic_uint arrivals;
  const unsigned mine = atomic_fetch_add(&arrivals, 1);
  while (atomic_load(&arrivals) / 2 == mine / 2) sched_yield();
}

/* What is of a cache that another one took the place of would be nobody's. */
static void *use_new_devices(void *argument) {
  int device;
  for (device = FIRST_NEW_DEVICE; device < ALL_DEVICES; device++) {
    void *ptr;
    meet();
    ptr = torch_raw_alloc(t, PAGE, device, NULL);
    meet();
    expect_or_abort(torch_base_allocation(t, ptr, NULL) != NULL);
    torch_raw_delete(t, ptr);
  }
  return argument;
}

static void threads_that_come_first_get_one_cache(void **state) {
  (void)state;
  run_on_threads(2, use_new_devices);
}

/* ---- over CUDA ------------------------------------------------------------------------------- */

/* Where it was built: without a GPU it can be loaded all the same. */
static void the_library_over_cuda_has_the_same_functions(void **state) {
#ifdef PLUGGABLE_LIBRARY_CUDA
  static const char *const names[] = {
#define NAME(name) "pluggable_" #name,
      TORCH_NAMES(NAME)
#undef NAME
  };
  void *library = dlopen(PLUGGABLE_LIBRARY_CUDA, RTLD_NOW | RTLD_LOCAL);
  size_t i;
  (void)state;
  if (library == NULL) fail_msg("%s", dlerror());
  for (i = 0; i < COUNT_OF(names); i++) assert_non_null(dlsym(library, names[i]));
#else
  (void)state;
  skip();
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(what_is_used_before_init_is_there_after_it),
      cmocka_unit_test(memory_serves_its_stream_again_at_once),
      cmocka_unit_test(memory_serves_another_stream_when_its_own_is_through),
      cmocka_unit_test(memory_waits_for_each_stream_that_was_recorded),
      cmocka_unit_test(memory_for_no_stream_waits_for_none),
      cmocka_unit_test(devices_share_nothing),
      cmocka_unit_test(nothing_is_nothing),
      cmocka_unit_test(a_fraction_bounds_what_is_held_of_a_device),
      cmocka_unit_test(a_fraction_that_is_none_changes_nothing),
      cmocka_unit_test(at_the_bound_an_allocation_waits_for_what_is_pending),
      cmocka_unit_test(the_base_of_a_pointer_is_what_the_runtime_gave),
      cmocka_unit_test(a_pointer_from_elsewhere_has_no_base),
      cmocka_unit_test(emptying_the_cache_gives_back_all_that_is_ready),
      cmocka_unit_test(a_pool_serves_whom_its_filter_lets_in),
      cmocka_unit_test(what_a_pool_kept_is_everybodys_after_its_release),
      cmocka_unit_test(a_filter_lives_as_long_as_its_pool_is_open),
      cmocka_unit_test(a_filter_that_throws_lets_in),
      cmocka_unit_test(wrong_calls_about_pools_are_told),
      cmocka_unit_test(without_memory_there_is_no_pointer),
      cmocka_unit_test(there_is_no_such_device),
      cmocka_unit_test(a_pointer_from_elsewhere_is_told_once),
      cmocka_unit_test(a_double_free_is_told_once),
      cmocka_unit_test(a_child_after_fork_gets_nothing_and_breaks_nothing),
      cmocka_unit_test(any_thread_may_call),
      cmocka_unit_test(threads_that_come_first_get_one_cache),
      cmocka_unit_test(the_library_over_cuda_has_the_same_functions),
  };
  return cmocka_run_group_tests(tests, setup, NULL);
}
