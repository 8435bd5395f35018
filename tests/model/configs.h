/* configs.h - programs that make configs, and operations on the caches that come of them, against
   the oracle of memory.h.

   A program is a string of bytes, as there: the first one chooses a device, and each four that
   follow are one operation and its three arguments. While there is no cache, an operation sets one
   field of the config, makes create fail from below, or creates. What create may say to a config is
   written here once more, after the contract and the comments of hostcache_config. A refused one
   starts again from the defaults. With a cache, the operations are those of memory.h under all of
   its rules; one more ends the cache, and the next config begins. */

#ifndef TESTS_MODEL_CONFIGS_H
#define TESTS_MODEL_CONFIGS_H

/* What stands before /proc where the header reads the budget; NULL: nothing was made yet. */
static const char *model_budget_root;
#define HOSTCACHE_BUDGET_ROOT model_budget_root

#define MODEL_CONFIGS
#include "memory.h"

#include <sys/stat.h>
#include <unistd.h>

#define MODEL_NAME "configs"

#define MODEL_BUDGET (96 * MODEL_MIB)

static const model_setup model_setups[] = {
    {.name = "a large device"},
    {.name = "a large device, and a budget", .has_budget = true},
    {.name = "a small device", .memory_limit = 40 * MODEL_MIB, .reuses_addresses = true},
    {.name = "a small device that goes on",
     .memory_limit = 20 * MODEL_MIB,
     .reuses_addresses = true,
     .has_budget = true,
     .progress = 2},
};
enum { MODEL_SETUPS = sizeof model_setups / sizeof *model_setups };

/* Of 256: how often a config is tried, or something below made to fail for it; how often a cache
   ends. The latter are taken from the first operation of memory.h. */
enum { CONFIG_CREATES = 28, CONFIG_FAILS = 8, CONFIG_ENDS = 6 };

/* ---- the system's budget --------------------------------------------------------------------- */

static char config_tree[] = "/tmp/hostcache_configs_XXXXXX";

static const char *config_path(const char *name) {
  static char path[64];
  snprintf(path, sizeof path, "%s%s", config_tree, name);
  return path;
}

static void config_tree_end(void) {
  (void)remove(config_path("/proc/meminfo"));
  (void)remove(config_path("/proc"));
  (void)remove(config_path(""));
}

/* A /proc that tells of MODEL_BUDGET bytes, or one that tells of nothing. */
static void config_budget(bool has_budget) {
  static bool made;
  FILE *file;
  if (!made) {
    made = true;
    if (mkdtemp(config_tree) == NULL || mkdir(config_path("/proc"), 0700) != 0) abort();
    (void)atexit(config_tree_end);
    file = fopen(config_path("/proc/meminfo"), "w");
    if (file == NULL) abort();
    fprintf(file, "MemAvailable: %zu kB\n", MODEL_BUDGET / MODEL_KIB);
    if (fclose(file) != 0) abort();
  }
  model_budget_root = has_budget ? config_tree : "/dev/null";
}

/* ---- what create may say --------------------------------------------------------------------- */

static bool config_is_power(uint64_t number) { return (number & (number - 1)) == 0; }

/* Does nothing in it contradict itself? A field of 0 is the default, which never does. */
static bool config_makes_sense(const hostcache_config *config) {
  const size_t most = (size_t)PTRDIFF_MAX / 2; /* so that no rounding can overflow */
  const size_t unit = config->alignment > MODEL_PAGE ? config->alignment : MODEL_PAGE;
  const size_t max_segment = model_or(config->max_segment_bytes, SIZE_MAX);
  const size_t cap = model_or(config->max_reserved_bytes, SIZE_MAX);
  const size_t max_cached =
      config->max_cached_bytes == HOSTCACHE_NONE ? 0 : model_or(config->max_cached_bytes, SIZE_MAX);
  size_t reserve;
  if (config->version != HOSTCACHE_VERSION) return false;
  if (config->streams_die_idle > 1 || config->max_reserved_percent > 100) return false;
  if (!config_is_power(config->alignment) || config->alignment > most) return false;
  if (!config_is_power(config->class_steps) || config->class_steps > 64) return false;
  if (config->class_max_bytes > most || config->segment_bytes > most) return false;
  if (config->reserve_segment_bytes > most) return false;
  reserve = model_up(config->reserve_segment_bytes, unit);
  return max_segment >= unit && config->segment_bytes <= max_segment && reserve <= max_segment &&
         reserve <= cap && reserve <= max_cached;
}

/* Judged by the hooks that it called. */
static unsigned config_results(const model *m, const hostcache_config *config) {
  if (!config_makes_sense(config)) return MODEL_BIT(HOSTCACHE_ERR_ARGUMENT);
  if (model_malloc_failed(m)) return MODEL_BIT(HOSTCACHE_ERR_NO_METADATA);
  if (config->max_reserved_percent > 0 && !m->setup->has_budget)
    return MODEL_BIT(HOSTCACHE_ERR_UNSUPPORTED);
  if (m->reserve > m->cap) return MODEL_BIT(HOSTCACHE_ERR_LIMIT);
  if (m->calls.count > 0 && m->calls.at[m->calls.count - 1].code != SIM_DONE)
    return MODEL_BIT(HOSTCACHE_ERR_OUT_OF_MEMORY);
  MODEL_MUST((model *)(uintptr_t)m, (m->calls.count == 1) == (m->reserve > 0), CREATE,
             "the hook was called %zu times for a reserve segment of %zu", m->calls.count,
             m->reserve);
  return MODEL_BIT(HOSTCACHE_OK);
}

/* ---- making configs -------------------------------------------------------------------------- */

/* Most are of a size that a cache can use; the others are at the ends of what there is. */
static size_t config_size(uint8_t y, uint8_t z) {
  static const size_t ends[] = {
      0,       1, MODEL_PAGE, (size_t)PTRDIFF_MAX / 2, (size_t)PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1,
      SIZE_MAX};
  const size_t power = (size_t)1 << (8 + y % 20);
  switch (z % 8) {
    case 0: return ends[y % (sizeof ends / sizeof *ends)] + z / 8 % 3 - 1;
    case 1: return (size_t)1 << y % (8 * sizeof(size_t));
    default: return power + power / 32 * (z / 8);
  }
}

#define CONFIG_SET(field, value) \
  (config->field = (value),      \
   model_say(m, "%3u config.%s = %" PRIu64 "\n", m->number, #field, (uint64_t)config->field))

static void config_set(model *m, hostcache_config *config, const uint8_t *bytes) {
  static const uint64_t waits[] = {0, 1, 30000, 300000, INT64_MAX, UINT64_MAX - 1, UINT64_MAX};
  const uint8_t y = bytes[2], z = bytes[3];
  const size_t size = config_size(y, z);
  switch (bytes[1] % 18) {
    case 0: CONFIG_SET(version, HOSTCACHE_VERSION ^ (z % 8 == 0 ? 1u << y % 32 : 0)); break;
    case 1: CONFIG_SET(query_error_limit, z % 4 == 0 ? UINT32_MAX - y % 2 : y % 6); break;
    case 2: CONFIG_SET(alignment, z % 8 < 2 ? size : (size_t)1 << y % 20); break;
    case 3:
    case 4: CONFIG_SET(segment_bytes, size); break;
    case 5: CONFIG_SET(max_segment_bytes, size); break;
    case 6:
    case 7: CONFIG_SET(max_reserved_bytes, size); break;
    case 8: CONFIG_SET(max_cached_bytes, size); break;
    case 9: CONFIG_SET(max_split_size, size); break;
    case 10: CONFIG_SET(thread_cache_bytes, size); break;
    case 11: CONFIG_SET(wait_on_limit_ns, waits[y % (sizeof waits / sizeof *waits)]); break;
    case 12: CONFIG_SET(streams_die_idle, z % 8 == 0 ? y : y % 2); break;
    case 13: CONFIG_SET(reserve_segment_bytes, size); break;
    case 14: CONFIG_SET(class_max_bytes, size); break;
    case 15: CONFIG_SET(class_steps, z % 8 == 0 ? y : 1u << y % 7); break;
    case 16: CONFIG_SET(max_reserved_percent, z % 8 == 0 ? UINT32_MAX - y : y % 102); break;
    default:
      config->on_error = y % 2 == 0 ? NULL : model_hear;
      model_say(m, "%3u config.on_error: %s\n", m->number, y % 2 == 0 ? "none" : "there is one");
  }
}

/* Keeps programs from asking a device for ever: one that is waited for without end goes on, and
   what fails without end is not waited for. */
static void config_tame(model *m, hostcache_config *config) {
  if (config->wait_on_limit_ns <= 30000) return;
  if (config->query_error_limit > 10) config->wait_on_limit_ns = 30000;
  m->device.progress_per_queries = 1;
}

/* ---- a program ------------------------------------------------------------------------------- */

/* The oracle of a new cache, on a new device. */
static void config_begin(model *m) {
  const model kept = *m;
  model_open(m, kept.setup);
  m->trace = kept.trace;
  m->lie = kept.lie;
  m->number = kept.number;
  config_budget(m->setup->has_budget);
}

static void config_end(model *m) {
  const uint64_t violations =
      sim_close(&m->device, m->device.live_bytes, sim_live_events(&m->device));
  MODEL_MUST(m, violations == 0, REFEREE, "the device printed it");
  model_free(m);
}

/* A create that fails leaves nothing. */
static void config_refused(model *m) {
  MODEL_MUST(m, m->cache == NULL, CREATE, "a cache, and %s", model_name(m->result));
  MODEL_MUST(m, atomic_load(&below.live) == 0, CREATE, "%lld allocations of bookkeeping are left",
             (long long)atomic_load(&below.live));
  MODEL_MUST(m, m->device.live_bytes == 0, CREATE, "%zu bytes are held", m->device.live_bytes);
  MODEL_MUST(m,
             m->deaf || m->result == HOSTCACHE_ERR_ARGUMENT ||
                 m->result == HOSTCACHE_ERR_NO_METADATA || model_heard(m, m->result) == 1,
             TOLD, "%s was not told", model_name(m->result));
}

static void config_create(model *m, hostcache_config *config, const uint8_t *bytes) {
  const bool without = bytes[3] % 32 == 0; /* a config: all defaults */
  hostcache_result result;
  model_say(m, "%3u create%s\n", m->number, without ? " without a config" : "");
  MODEL_MUST(m, pinned_create(NULL, config, &m->device) == HOSTCACHE_ERR_ARGUMENT, CREATE,
             "create has nowhere to put a cache");
  m->malloc_before = atomic_load(&below.failed);
  memcpy(m->heard_before, m->heard, sizeof m->heard);
  if (without) {
    static const hostcache_config none = HOSTCACHE_CONFIG_INIT;
    *config = none;
  }
  config_tame(m, config);
  if (config_makes_sense(config)) model_understand(m, config);
  if (config_makes_sense(config) && config->max_reserved_percent > 0 && m->setup->has_budget)
    m->cap = model_least(m->cap, MODEL_BUDGET * config->max_reserved_percent / 100);
  result = without ? pinned_create(&m->cache, NULL, &m->device) : model_create(m, *config);
  model_expect(m, "create", result, config_results(m, config));
  sim_fail_no_more(&m->device);
  below_fail_no_more();
  if (m->rule != NULL) return;
  if (result == HOSTCACHE_OK)
    model_compare(m, &m->ranges);
  else
    config_refused(m);
}

static void config_fail(model *m, const uint8_t *bytes) {
  if (bytes[1] % 2 == 0) {
    sim_fail(&m->device, 1, true, SIM_ONLY(SIM_MEM_ALLOC));
    m->device.fault.alloc_code = bytes[2] % 2 == 0 ? SIM_FAILURE : SIM_NO_MEMORY;
  } else {
    below_fail(1 + bytes[2] % 8, bytes[3] % 4 == 0);
  }
  model_say(m, "%3u create will fail in a hook, or in malloc\n", m->number);
}

static void config_program(model *m, const uint8_t *program, const uint8_t *end) {
  const size_t stock = model_stocks[*program / MODEL_SETUPS % MODEL_STOCKS];
  hostcache_config config = model_config(m->setup, stock);
  for (program++; end - program >= MODEL_OP_BYTES && m->rule == NULL && m->number < MODEL_OPS;
       program += MODEL_OP_BYTES) {
    if (m->cache != NULL && *program >= CONFIG_ENDS) {
      model_step(m, program);
      continue;
    }
    m->number++;
    if (m->cache != NULL) {
      model_end(m);
    } else if (*program < CONFIG_CREATES) {
      config_create(m, &config, program);
      if (m->cache != NULL || m->rule != NULL) continue;
    } else if (*program < CONFIG_CREATES + CONFIG_FAILS) {
      config_fail(m, program);
      continue;
    } else {
      config_set(m, &config, program);
      continue;
    }
    if (m->rule != NULL) return;
    config_end(m);
    config_begin(m);
    config = model_config(m->setup, stock);
  }
  if (m->rule == NULL && m->cache != NULL) model_end(m);
}

/* Runs a program, as that of memory.h does. */
static bool model_run(model *m, const uint8_t *program, size_t size, FILE *trace, unsigned lie) {
  jmp_buf here;
  if (size == 0) return true;
  memset(m, 0, sizeof *m);
  m->setup = &model_setups[*program % MODEL_SETUPS];
  m->trace = trace;
  m->lie = lie;
  model_asserting = m;
  model_jump = &here;
  model_say(m, "    %s\n", m->setup->name);
  if (setjmp(here) == 0) {
    config_begin(m);
    config_program(m, program, program + size);
  }
  model_close(m);
  return m->rule == NULL;
}

#endif
