/* libraries.c - caches in shared libraries, which may have the same name, and come and go.

   Promises: a library that hides its cache (HC_API as hidden visibility, or HC_STATIC) shares
   nothing with another that has one of the same name; a library may be unloaded once its caches are
   destroyed or abandoned, also while threads live that have used them, and in its own destructor;
   nothing of it is called afterwards, at a fork or at the end of a thread.

   Where the names are visible, and a library is loaded so that others see them (RTLD_GLOBAL, or by
   linking to it), the dynamic linker lets the first definition serve all: the second library then
   calls the functions, and with them the hooks, of the first. That can't be told from inside. What
   holds all the same, as both come from one header: the cache that is made so is consistent. (The
   bug: a singleton in a header became two in two shared objects, cmssw #42414. Here nothing is
   shared, so that two are as good as one.)

   library.c is what is loaded, in four copies; LIBRARY_... are their paths. */

#include <dlfcn.h>

#define HC_NAME twin /* only declared: of the program itself there is none */
#define HC_STREAM_T int
#include "hostcache.h"

#include "helpers.h"
#include "library.h"
#include "life.h"

typedef struct loaded {
  void *handle;
  const library *api;
} loaded;

static loaded load(const char *path, int scope) {
  const library *(*get)(void);
  loaded l;
  l.handle = dlopen(path, RTLD_NOW | scope);
  if (l.handle == NULL) fail_msg("%s", dlerror());
  *(void **)&get = dlsym(l.handle, LIBRARY_SYMBOL);
  assert_non_null(get);
  l.api = get();
  return l;
}

static void unload(loaded l) { assert_int_equal(dlclose(l.handle), 0); }

static void is_gone(const char *path) {
#ifdef __GLIBC__ /* others never unload */
  assert_null(dlopen(path, RTLD_NOW | RTLD_NOLOAD));
#else
  (void)path;
#endif
}

static void use(const library *api) {
  void *first, *second;
  assert_int_equal(api->take(&first), HOSTCACHE_OK);
  assert_int_equal(api->take(&second), HOSTCACHE_OK);
  memset(first, 1, 100000);
  assert_int_equal(api->give(first), HOSTCACHE_OK);
  assert_int_equal(api->give(second), HOSTCACHE_OK);
  assert_int_equal(api->check(), HOSTCACHE_OK);
}

static void open_and_use(const library *api) {
  assert_int_equal(api->open(), HOSTCACHE_OK);
  use(api);
}

static void close_all(const library *api) {
  assert_int_equal(api->close(), HOSTCACHE_OK);
  assert_int_equal(api->bytes(), 0);
}

/* ---- the same name twice --------------------------------------------------------------------- */

/* Each has its own: hooks, memory, and which pointers it knows. */
static void are_strangers(loaded one, loaded two) {
  int calls;
  void *ptr;
  open_and_use(one.api);
  assert_int_equal(two.api->hook_calls(), 0);
  calls = one.api->hook_calls();
  open_and_use(two.api);
  assert_int_equal(one.api->hook_calls(), calls);
  assert_true(two.api->hook_calls() > 0);
  assert_int_equal(one.api->take(&ptr), HOSTCACHE_OK);
  assert_int_equal(two.api->give(ptr), HOSTCACHE_ERR_NOT_FOUND);
  assert_int_equal(one.api->give(ptr), HOSTCACHE_OK);
}

/* Each has a registry of its own: what one puts there, the other does not see. */
static void have_registries_of_their_own(loaded one, loaded two) {
  assert_ptr_equal(one.api->put_into_registry(1), one.api->allocator());
  assert_null(two.api->get_from_registry(1));
  assert_ptr_equal(two.api->put_into_registry(1), two.api->allocator());
  assert_ptr_equal(one.api->get_from_registry(1), one.api->allocator());
}

/* One goes; the other one goes on, and can end. */
static void part(loaded one, const char *path, loaded two) {
  close_all(one.api);
  unload(one);
  is_gone(path);
  use(two.api);
  close_all(two.api);
  unload(two);
}

static void hidden_twins_share_nothing(void **state) {
  loaded one, two;
  (void)state;
  one = load(LIBRARY_HIDDEN_ONE, RTLD_LOCAL);
  two = load(LIBRARY_HIDDEN_TWO, RTLD_LOCAL);
  are_strangers(one, two);
  have_registries_of_their_own(one, two);
  part(one, LIBRARY_HIDDEN_ONE, two);
}

static void hidden_twins_share_nothing_in_the_global_scope_either(void **state) {
  loaded one, two;
  (void)state;
  one = load(LIBRARY_HIDDEN_ONE, RTLD_GLOBAL);
  two = load(LIBRARY_HIDDEN_TWO, RTLD_GLOBAL);
  are_strangers(one, two);
  have_registries_of_their_own(one, two);
  part(two, LIBRARY_HIDDEN_TWO, one);
}

static void visible_twins_share_nothing_where_each_is_loaded_for_itself(void **state) {
  loaded one, two;
  (void)state;
  one = load(LIBRARY_VISIBLE_ONE, RTLD_LOCAL);
  two = load(LIBRARY_VISIBLE_TWO, RTLD_LOCAL);
  are_strangers(one, two);
  have_registries_of_their_own(one, two);
  part(one, LIBRARY_VISIBLE_ONE, two);
}

/* The code of the first serves both. The device, which is what the second gives as context, is its
   own; and as long as it needs the code of the first that is not unloaded. */
static void a_visible_twin_in_the_global_scope_serves_the_other_one_too(void **state) {
  loaded one, two;
  (void)state;
  one = load(LIBRARY_VISIBLE_ONE, RTLD_GLOBAL);
  two = load(LIBRARY_VISIBLE_TWO, RTLD_GLOBAL);
  open_and_use(one.api);
  open_and_use(two.api);
  assert_true(one.api->hook_calls() > 0);
  assert_true(one.api->bytes() > 0);
  assert_true(two.api->bytes() > 0);
  print_message("of %d hook calls %d were the second library's own\n",
                one.api->hook_calls() + two.api->hook_calls(), two.api->hook_calls());
  assert_ptr_equal(one.api->put_into_registry(1), one.api->allocator());
  assert_ptr_equal(two.api->get_from_registry(1), one.api->allocator()); /* there is one registry */
  use(one.api);
  use(two.api);
  close_all(one.api);
  unload(one);
  use(two.api);
  close_all(two.api);
  unload(two);
}

/* ---- libraries that go ----------------------------------------------------------------------- */

static void fork_and_use(void *argument) {
  const library *api = (const library *)argument;
  void *ptr;
  if (api != NULL) MUST(api->take(&ptr) == HOSTCACHE_ERR_FORKED);
  if (api != NULL) MUST(api->close() == HOSTCACHE_ERR_FORKED);
}

/* What a library has registered to be called at forks must have gone with it. */
static void a_process_may_fork_after_a_library_has_gone(void **state) {
  int i;
  (void)state;
  for (i = 0; i < 30; i++) {
    loaded one = load(LIBRARY_HIDDEN_ONE, RTLD_LOCAL), two = load(LIBRARY_VISIBLE_TWO, RTLD_LOCAL);
    open_and_use(one.api);
    open_and_use(two.api);
    in_a_child(fork_and_use, (void *)(uintptr_t)one.api);
    close_all(one.api);
    unload(one);
    is_gone(LIBRARY_HIDDEN_ONE);
    in_a_child(fork_and_use, (void *)(uintptr_t)two.api);
    close_all(two.api);
    unload(two);
    is_gone(LIBRARY_VISIBLE_TWO);
    in_a_child(fork_and_use, NULL);
  }
}

typedef struct guest {
  const library *api;
  meeting meeting;
} guest;

static void *use_and_stay(void *argument) {
  guest *g = (guest *)argument;
  void *ptr;
  expect_or_abort(g->api->take(&ptr) == HOSTCACHE_OK);
  expect_or_abort(g->api->give(ptr) == HOSTCACHE_OK);
  reach(&g->meeting, 1);
  await(&g->meeting, 2);
  return NULL;
}

/* Were anything of the library to run at the end of the thread, it would not be there. */
static void a_thread_may_outlive_the_library_whose_cache_it_used(void **state) {
  int i;
  (void)state;
  for (i = 0; i < 10; i++) {
    loaded one = load(LIBRARY_HIDDEN_ONE, RTLD_LOCAL);
    guest g = {one.api, MEETING_INIT};
    pthread_t thread;
    assert_int_equal(one.api->open(), HOSTCACHE_OK);
    assert_int_equal(pthread_create(&thread, NULL, use_and_stay, &g), 0);
    await(&g.meeting, 1);
    close_all(one.api);
    unload(one);
    is_gone(LIBRARY_HIDDEN_ONE);
    reach(&g.meeting, 2);
    assert_int_equal(pthread_join(thread, NULL), 0);
  }
}

/* Fills a stock, and stays; then fills one in the library that came instead, if there is one. */
static void *fill_and_stay(void *argument) {
  guest *g = (guest *)argument;
  expect_or_abort(g->api->stock() > 0);
  reach(&g->meeting, 1);
  await(&g->meeting, 2);
  if (g->api != NULL) expect_or_abort(g->api->stock() > 0);
  return NULL;
}

static void *fill_and_end(void *argument) {
  const library *api = (const library *)argument;
  expect_or_abort(api->stock() > 0);
  return NULL;
}

static void fill_in_threads_that_end(const library *api) {
  pthread_t threads[3];
  size_t i;
  for (i = 0; i < COUNT_OF(threads); i++)
    assert_int_equal(
        pthread_create(&threads[i], NULL, fill_and_end, (void *)(uintptr_t)(const void *)api), 0);
  for (i = 0; i < COUNT_OF(threads); i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void a_library_may_go_after_the_threads_that_had_a_stock_in_it(void **state) {
  int i;
  (void)state;
  for (i = 0; i < 10; i++) {
    loaded one = load(LIBRARY_HIDDEN_ONE, RTLD_LOCAL);
    assert_int_equal(one.api->open(), HOSTCACHE_OK);
    fill_in_threads_that_end(one.api);
    assert_int_equal(one.api->check(), HOSTCACHE_OK);
    assert_true(one.api->stock() > 0); /* this thread's own, too */
    close_all(one.api);
    unload(one);
    is_gone(LIBRARY_HIDDEN_ONE);
  }
}

/* However its cache ended: by the program, or in its own destructor. What the threads know of that
   cache must be no harm, neither at their end, nor where they meet the next one. */
static void a_library_may_go_before_the_threads_that_have_a_stock_in_it(void **state) {
  enum { ROUNDS = 4 };
  static void *held[ROUNDS]; /* what is left of an abandoned cache is still known to the program */
  int what, i;
  (void)state;
  for (what = LEAVE; what <= ABANDON; what++) {
    for (i = 0; i < ROUNDS; i++) {
      loaded one = load(LIBRARY_HIDDEN_ONE, RTLD_LOCAL), next = {NULL, NULL};
      guest g = {one.api, MEETING_INIT};
      pthread_t thread;
      atomic_int done;
      atomic_init(&done, 0);
      assert_int_equal(one.api->open(), HOSTCACHE_OK);
      assert_int_equal(pthread_create(&thread, NULL, fill_and_stay, &g), 0);
      await(&g.meeting, 1);
      fill_in_threads_that_end(one.api);
      if (what == ABANDON) assert_int_equal(one.api->take(&held[i]), HOSTCACHE_OK);
      if (what == LEAVE) close_all(one.api);
      one.api->at_unload(what, &done);
      unload(one);
      is_gone(LIBRARY_HIDDEN_ONE);
      assert_int_equal(atomic_load(&done), what != LEAVE);
      if (i % 2 == 0) {
        next = load(LIBRARY_HIDDEN_ONE, RTLD_LOCAL); /* very likely where the other one was */
        assert_int_equal(next.api->open(), HOSTCACHE_OK);
      }
      g.api = next.api;
      reach(&g.meeting, 2);
      assert_int_equal(pthread_join(thread, NULL), 0);
      if (next.api == NULL) continue;
      use(next.api);
      close_all(next.api);
      unload(next);
      is_gone(LIBRARY_HIDDEN_ONE);
    }
  }
}

/* ---- the library's own destructor ------------------------------------------------------------ */

static void a_library_may_destroy_or_abandon_its_cache_while_it_is_unloaded(void **state) {
  static void *held; /* what is left of an abandoned cache is still known to the program */
  int what;
  (void)state;
  for (what = DESTROY; what <= ABANDON; what++) {
    loaded one = load(LIBRARY_HIDDEN_ONE, RTLD_LOCAL);
    atomic_int done;
    atomic_init(&done, 0);
    open_and_use(one.api);
    if (what == ABANDON) assert_int_equal(one.api->take(&held), HOSTCACHE_OK);
    one.api->at_unload(what, &done);
    unload(one);
    is_gone(LIBRARY_HIDDEN_ONE);
    assert_int_equal(atomic_load(&done), 1);
  }
}

static atomic_int *exit_done; /* shared with the child */

static void exit_with_libraries(void *argument) {
  const int what = *(const int *)argument;
  static loaded one, two;
  static void *held, *too; /* what is left of an abandoned cache is still known to the program */
  one = load(LIBRARY_HIDDEN_ONE, RTLD_LOCAL);
  two = load(LIBRARY_VISIBLE_TWO, RTLD_GLOBAL);
  open_and_use(one.api);
  open_and_use(two.api);
  if (what != DESTROY) MUST(one.api->take(&held) == HOSTCACHE_OK);
  MUST(two.api->take(&too) == HOSTCACHE_OK);
  one.api->at_unload(what, exit_done);
}

/* Everything is alive, in one library or in both, and each of them is finalised. */
static void a_process_may_exit_with_libraries_that_have_caches(void **state) {
  int what;
  (void)state;
  for (what = LEAVE; what <= ABANDON; what++) {
    exit_done = shared_count();
    in_a_child(exit_with_libraries, &what);
    assert_int_equal(shared_count_end(exit_done), what != LEAVE);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(hidden_twins_share_nothing),
      cmocka_unit_test(hidden_twins_share_nothing_in_the_global_scope_either),
      cmocka_unit_test(visible_twins_share_nothing_where_each_is_loaded_for_itself),
      cmocka_unit_test(a_process_may_fork_after_a_library_has_gone),
      cmocka_unit_test(a_thread_may_outlive_the_library_whose_cache_it_used),
      cmocka_unit_test(a_library_may_go_after_the_threads_that_had_a_stock_in_it),
      cmocka_unit_test(a_library_may_go_before_the_threads_that_have_a_stock_in_it),
      cmocka_unit_test(a_library_may_destroy_or_abandon_its_cache_while_it_is_unloaded),
      cmocka_unit_test(a_process_may_exit_with_libraries_that_have_caches),
      /* Last: it may keep a library from being unloaded. */
      cmocka_unit_test(a_visible_twin_in_the_global_scope_serves_the_other_one_too),
  };
  return cmocka_run_group_tests_name("life.libraries", tests, NULL, NULL);
}
