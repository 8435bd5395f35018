/* pools.c - random programs of private pools, captures and checkpoints, against the oracle of
   pools.h.

     model_pools               the tests, of pools alone and with blocks for the work of streams;
                               HOSTCACHE_MODEL_PROGRAMS says how many programs each config gets,
                               HOSTCACHE_SEED which
     model_pools <file>...     runs files as programs, and names what they do: a corpus of
                               tests/fuzz/pools.c, or what the fuzzer found

   A program that breaks a rule is told by its seed, which runs it again; it is not made smaller. */

#include "pools_caches.h"

#include <dirent.h>

#if defined __SANITIZE_THREAD__
#define PROGRAMS 5 /* of each config: there is one thread, and it is slow */
#elif defined __SANITIZE_ADDRESS__
#define PROGRAMS 20
#else
#define PROGRAMS 120
#endif

enum { MOST_BYTES = 4096 };

static uint64_t number_from(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 0);
}

static uint64_t told; /* the seed of the program that runs */

static int tell_the_seed(void **state) {
  (void)state;
  if (told != 0)
    print_error("to see it: HOSTCACHE_SEED=%" PRIu64 " HOSTCACHE_MODEL_PROGRAMS=1\n", told);
  told = 0;
  return 0;
}

static void a_random_program_breaks_no_rule(void **state) {
  const uint8_t which = *(const uint8_t *)*state;
  const uint64_t seed = number_from("HOSTCACHE_SEED", 1);
  const uint64_t programs = number_from("HOSTCACHE_MODEL_PROGRAMS", PROGRAMS);
  uint8_t bytes[MOST_BYTES];
  uint64_t i;
  size_t k;
  for (i = 0; i < programs; i++) {
    uint64_t random = (seed + i) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    told = seed + i;
    bytes[0] = which;
    for (k = 1; k < sizeof bytes; k++) bytes[k] = (uint8_t)(next_random(&random) >> 56);
    pools_run(bytes, sizeof bytes);
  }
  told = 0;
}

static void run_file(const char *path) {
  uint8_t bytes[MOST_BYTES];
  FILE *file = fopen(path, "rb");
  size_t size;
  if (file == NULL) {
    fprintf(stderr, "cannot read %s\n", path);
    exit(2);
  }
  size = fread(bytes, 1, sizeof bytes, file);
  (void)fclose(file);
  if (pools_trace != NULL && size > 0)
    fprintf(pools_trace, "%s: %s, %s\n", path, pools_caches[bytes[0] % POOLS_CACHES].name,
            pools_configs[bytes[0] / POOLS_CACHES % POOLS_CONFIGS]);
  pools_run(bytes, size);
}

/* What the fuzzer has kept reaches what chance seldom does; here it needs no clang. */
static void no_program_of_the_fuzzers_corpus_breaks_a_rule(void **state) {
  DIR *folder = opendir(MODEL_CORPUS);
  struct dirent *entry;
  unsigned count = 0;
  (void)state;
  assert_non_null(folder);
  while ((entry = readdir(folder)) != NULL) {
    char path[4096];
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/%s", MODEL_CORPUS, entry->d_name);
    run_file(path);
    count++;
  }
  (void)closedir(folder);
  assert_true(count > 10);
}

static int replay(int count, char **paths) {
  int i;
  pools_trace = stdout;
  setbuf(stdout, NULL); /* what breaks a rule aborts */
  (void)setenv("CMOCKA_TEST_ABORT", "1", 1);
  for (i = 0; i < count; i++) run_file(paths[i]);
  return 0;
}

int main(int argc, char **argv) {
  enum { TESTS = POOLS_CACHES * POOLS_CONFIGS };
  struct CMUnitTest tests[TESTS + 1];
  char names[TESTS][80];
  uint8_t which[TESTS];
  size_t i;
  if (argc > 1) return replay(argc - 1, argv + 1);
  memset(tests, 0, sizeof tests);
  for (i = 0; i < TESTS; i++) {
    which[i] = (uint8_t)i;
    snprintf(names[i], sizeof names[i], "a_random_program_breaks_no_rule: %s, %s",
             pools_caches[i % POOLS_CACHES].name, pools_configs[i / POOLS_CACHES]);
    tests[i].name = names[i];
    tests[i].test_func = a_random_program_breaks_no_rule;
    tests[i].teardown_func = tell_the_seed;
    tests[i].initial_state = &which[i];
  }
  tests[i].name = "no_program_of_the_fuzzers_corpus_breaks_a_rule";
  tests[i].test_func = no_program_of_the_fuzzers_corpus_breaks_a_rule;
  return cmocka_run_group_tests_name("model.pools", tests, NULL, NULL);
}
