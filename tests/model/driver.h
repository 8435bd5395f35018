/* driver.h - the tests of a model: random programs in each of its configs, the corpus of its
   fuzzer, and what shrinks and shows a program that breaks a rule. Included once after memory.h,
   streams.h or configs.h, which say MODEL_NAME and what a program is; CMake says where MODEL_CORPUS
   lies. */

#include "../helpers.h"

#include <dirent.h>
#include <unistd.h>

#if defined __SANITIZE_THREAD__
#define PROGRAMS 10 /* of each config: there is one thread, and it is slow */
#elif defined __SANITIZE_ADDRESS__
#define PROGRAMS 40
#else
#define PROGRAMS 400
#endif
#define OPERATIONS 250
#define PROGRAM_ROOM (1 + MODEL_OPS * MODEL_OP_BYTES)
#define SHRINK_RUNS 4000

typedef struct program {
  uint8_t bytes[PROGRAM_ROOM];
  size_t size;
} program;

static uint64_t number_from(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 0);
}

/* What the device prints of a rule that is broken is of interest once, not at each attempt. */
static int hush_stderr(void) {
  int kept = dup(STDERR_FILENO);
  fflush(stderr);
  if (freopen("/dev/null", "w", stderr) == NULL) abort();
  return kept;
}

static void unhush_stderr(int kept) {
  fflush(stderr);
  if (dup2(kept, STDERR_FILENO) < 0) abort();
  (void)close(kept);
}

/* Runs a program; the rule that it breaks, or NULL. *length is the number of operations until
   then. */
static const char *run(const program *p, FILE *trace, unsigned lie, size_t *length) {
  model *m = malloc(sizeof *m);
  const char *rule;
  if (m == NULL) abort();
  (void)model_run(m, p->bytes, p->size, trace, lie);
  rule = m->rule;
  if (length != NULL) *length = m->number;
  free(m);
  return rule;
}

static program without(const program *p, size_t first, size_t count) {
  program less = *p;
  size_t from = 1 + first * MODEL_OP_BYTES, bytes = count * MODEL_OP_BYTES;
  memmove(less.bytes + from, less.bytes + from + bytes, less.size - from - bytes);
  less.size -= bytes;
  return less;
}

/* Takes out what is not needed to break the same rule: operations, in chunks that get smaller, then
   what their arguments are more than 0. */
static program shrink(program p, const char *rule) {
  size_t operations, chunk, first, i, runs = 0;
  bool smaller = true;
  while (smaller && runs < SHRINK_RUNS) {
    smaller = false;
    operations = (p.size - 1) / MODEL_OP_BYTES;
    for (chunk = operations; chunk > 0; chunk /= 2) {
      for (first = 0; first + chunk <= operations && runs < SHRINK_RUNS;) {
        program less = without(&p, first, chunk);
        runs++;
        if (run(&less, NULL, 0, NULL) == rule) {
          p = less;
          operations -= chunk;
          smaller = true;
        } else {
          first += chunk;
        }
      }
    }
    for (i = 1; i < p.size && runs < SHRINK_RUNS; i++) {
      static const uint8_t simple[] = {0, 1, 2, 4, 9, 16};
      size_t k;
      if ((i - 1) % MODEL_OP_BYTES == 0) continue; /* which operation it is */
      for (k = 0; k < sizeof simple && simple[k] < p.bytes[i]; k++) {
        program less = p;
        less.bytes[i] = simple[k];
        runs++;
        if (run(&less, NULL, 0, NULL) != rule) continue;
        p = less;
        smaller = true;
        break;
      }
    }
  }
  return p;
}

static void show(const program *p) {
  size_t i;
  (void)run(p, stderr, 0, NULL);
  fprintf(stderr, "    as bytes:");
  for (i = 0; i < p->size; i++) fprintf(stderr, " %02x", p->bytes[i]);
  fprintf(stderr, "\n");
}

/* ---- tests ----------------------------------------------------------------------------------- */

static program random_program(uint64_t seed, size_t setup) {
  program p;
  uint64_t state = seed * UINT64_C(0x9e3779b97f4a7c15) + setup + 1;
  size_t i;
  (void)next_random(&state);
  p.size = 1 + (20 + random_below(&state, OPERATIONS)) * MODEL_OP_BYTES;
  p.bytes[0] = (uint8_t)(setup + seed % MODEL_STOCKS * MODEL_SETUPS);
  for (i = 1; i < p.size; i++) p.bytes[i] = (uint8_t)(next_random(&state) >> 56);
  return p;
}

/* One test for each config, so that each is tried whatever the others do. */
static void a_random_program_breaks_no_rule_and_every_figure_is_the_oracles(void **state) {
  const size_t setup = (size_t)(const model_setup *)*state - (size_t)model_setups;
  const size_t number = setup / sizeof *model_setups;
  const uint64_t seed = number_from("HOSTCACHE_SEED", 1);
  const uint64_t programs = number_from("HOSTCACHE_MODEL_PROGRAMS", PROGRAMS);
  uint64_t i;
  for (i = 0; i < programs; i++) {
    program p = random_program(seed + i, number);
    int kept = hush_stderr();
    size_t length;
    const char *rule = run(&p, NULL, 0, &length);
    if (rule != NULL) {
      if (1 + length * MODEL_OP_BYTES < p.size) p.size = 1 + length * MODEL_OP_BYTES;
      p = shrink(p, rule);
    }
    unhush_stderr(kept);
    if (rule == NULL) continue;
    fprintf(stderr, "HOSTCACHE_SEED=%" PRIu64 " HOSTCACHE_MODEL_PROGRAMS=1 model_%s, config %zu:\n",
            seed + i, MODEL_NAME, number);
    show(&p);
    fail();
  }
}

/* Does one of a few programs without stocks, where also the peaks are exact, notice it? (Of those
   of configs.h not each comes to a cache.) */
static bool is_noticed(unsigned lie) {
  uint64_t seed = MODEL_NO_STOCKS;
  for (; seed < 10 * MODEL_STOCKS; seed += MODEL_STOCKS) {
    program p = random_program(seed, 0);
    if (run(&p, NULL, lie, NULL) == model_rule_FIGURE) return true;
  }
  return false;
}

/* A comparison that could not fail would be none: each figure is falsified once. */
static void a_figure_that_is_off_by_one_is_noticed(void **state) {
  unsigned lie, missed = 0;
  (void)state;
  for (lie = 1; lie <= MODEL_LIES; lie++) {
    const size_t figure = (lie - 1) / 4, part = (lie - 1) % 4;
    /* The peak of a figure that is only bounded may be more. */
    if (lie <= 4 * MODEL_STAT_COUNT && part == 1 && model_stats[figure].known == MODEL_CURRENT)
      continue;
    if (is_noticed(lie)) continue;
    fprintf(stderr, "not compared: figure %u\n", lie);
    missed++;
  }
  assert_int_equal(missed, 0);
}

static program program_from(const char *path) {
  program p;
  FILE *file = fopen(path, "rb");
  if (file == NULL) {
    fprintf(stderr, "cannot read %s\n", path);
    exit(2);
  }
  p.size = fread(p.bytes, 1, sizeof p.bytes, file);
  (void)fclose(file);
  return p;
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
    program p;
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "%s/%s", MODEL_CORPUS, entry->d_name);
    p = program_from(path);
    count++;
    if (run(&p, NULL, 0, NULL) == NULL) continue;
    fprintf(stderr, "%s:\n", path);
    show(&p);
    fail();
  }
  (void)closedir(folder);
  assert_true(count > 10);
}

static int replay(int count, char **paths) {
  int i, broken = 0;
  for (i = 0; i < count; i++) {
    program p = program_from(paths[i]);
    printf("%s\n", paths[i]);
    broken += run(&p, stdout, 0, NULL) != NULL;
  }
  return broken > 0;
}

int main(int argc, char **argv) {
  struct CMUnitTest tests[MODEL_SETUPS + 2];
  char names[MODEL_SETUPS][120];
  size_t i;
  if (argc > 1) return replay(argc - 1, argv + 1);
  memset(tests, 0, sizeof tests);
  for (i = 0; i < MODEL_SETUPS; i++) {
    snprintf(names[i], sizeof names[i],
             "a_random_program_breaks_no_rule_and_every_figure_is_the_oracles: %s",
             model_setups[i].name);
    tests[i].name = names[i];
    tests[i].test_func = a_random_program_breaks_no_rule_and_every_figure_is_the_oracles;
    tests[i].initial_state = (void *)(uintptr_t)&model_setups[i]; /* read alone */
  }
  tests[i].name = "a_figure_that_is_off_by_one_is_noticed";
  tests[i++].test_func = a_figure_that_is_off_by_one_is_noticed;
  tests[i].name = "no_program_of_the_fuzzers_corpus_breaks_a_rule";
  tests[i].test_func = no_program_of_the_fuzzers_corpus_breaks_a_rule;
  return cmocka_run_group_tests_name(MODEL_NAME, tests, NULL, NULL);
}
