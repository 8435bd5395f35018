/* books.h - what the models share: rules that are told, and figures that are compared. Included
   once `model`, its blocks and MODEL_RULES are there. Of a block it uses `kind`, `requested` and
   `capacity`, and of a model

     trace, rule, finding, lie, want, bases, alignment, max_split, stock, device, number, result,
     called, heard, heard_before, fired_before */

#ifndef TESTS_MODEL_BOOKS_H
#define TESTS_MODEL_BOOKS_H

/* ---- rules ----------------------------------------------------------------------------------- */

#define MODEL_RULE_NAME(name, text) static const char model_rule_##name[] = text;
MODEL_RULES(MODEL_RULE_NAME)

#if defined __GNUC__
__attribute__((format(printf, 3, 4)))
#endif
static void
model_broken(model *m, const char *rule, const char *format, ...) {
  va_list arguments;
  if (m->rule != NULL) return;
  m->rule = rule;
  va_start(arguments, format);
  vsnprintf(m->finding, sizeof m->finding, format, arguments);
  va_end(arguments);
}

#define MODEL_MUST(m, condition, name, ...) \
  ((condition) ? (void)0 : model_broken(m, model_rule_##name, __VA_ARGS__))

static void model_assertion(const char *condition) {
  if (model_jump == NULL) {
    fprintf(stderr, "assertion failed: %s\n", condition);
    abort();
  }
  model_broken(model_asserting, model_rule_ASSERTION, "%s", condition);
  longjmp(*model_jump, 1);
}

#if defined __GNUC__
__attribute__((format(printf, 2, 3)))
#endif
static void
model_say(model *m, const char *format, ...) {
  va_list arguments;
  if (m->trace == NULL) return;
  va_start(arguments, format);
  vfprintf(m->trace, format, arguments);
  va_end(arguments);
}

static const char *model_name(hostcache_result result) {
  static const char *const names[] = {
#define MODEL_RESULT_NAME(name, value, text) #name,
      HOSTCACHE_RESULTS(MODEL_RESULT_NAME)};
  unsigned i = (unsigned)-(int)result;
  return i < sizeof names / sizeof *names ? names[i] + strlen("HOSTCACHE_") : "?";
}

static uint64_t model_fired(const model *m, unsigned hooks) {
  uint64_t fired = 0;
  unsigned hook;
  for (hook = 0; hook < SIM_HOOKS; hook++)
    if ((hooks & SIM_ONLY(hook)) != 0)
      fired += m->device.fault.fired_of[hook] - m->fired_before[hook];
  return fired;
}

/* ---- what on_error hears, and what a call returns -------------------------------------------- */

static void model_hear(void *user, hostcache_result result, int64_t code, const char *what,
                       const void *ptr) {
  model *m = user;
  (void)ptr;
  if (result <= 0 && result > -16) m->heard[-(int)result]++;
  model_say(m, "    on_error: %s (%" PRId64 "): %s\n", model_name(result), code, what);
}

static uint64_t model_heard(const model *m, hostcache_result result) {
  return m->heard[-(int)result] - m->heard_before[-(int)result];
}

#define MODEL_BIT(result) (1u << -(int)(result))

/* The result of the operation, which must be among these. */
static void model_expect(model *m, const char *what, hostcache_result result, unsigned allowed) {
  m->result = result;
  m->called = true;
  model_say(m, "  = %s\n", model_name(result));
  MODEL_MUST(m, result <= 0 && result > -16 && (allowed & MODEL_BIT(result)) != 0, RESULT,
             "%s returned %s", what, model_name(result));
}

/* The call is made before what is allowed is judged by the hooks that it called. */
#define MODEL_CALL(m, what, call, allowed)  \
  do {                                      \
    hostcache_result called = call;         \
    model_expect(m, what, called, allowed); \
  } while (0)

/* ---- figures --------------------------------------------------------------------------------- */

static void model_add(hostcache_stat *stat, size_t amount) {
  stat->current += (int64_t)amount;
  stat->allocated += (int64_t)amount;
  if (stat->current > stat->peak) stat->peak = stat->current;
}

static void model_subtract(hostcache_stat *stat, size_t amount) {
  stat->current -= (int64_t)amount;
  stat->freed += (int64_t)amount;
}

typedef void model_step_fn(hostcache_stat *stat, size_t amount);

static void model_count_in_use(model *m, const model_block *block, model_step_fn *step) {
  step(&m->want.active, 1);
  step(&m->want.active_bytes, block->capacity);
  step(&m->want.requested_bytes, block->requested);
  step(&m->want.wasted_bytes, block->capacity - block->requested);
}

static void model_count_kind(model *m, const model_block *block, model_step_fn *step) {
  hostcache_stats *want = &m->want;
  switch (block->kind) {
    case HOSTCACHE_VISIT_ACTIVE:
      step(&want->allocation, 1);
      step(&want->allocated_bytes, block->capacity);
      if (block->capacity > m->max_split) step(&want->oversize_allocations, 1);
      break;
    case HOSTCACHE_VISIT_PENDING:
      step(&want->pending, 1);
      step(&want->pending_bytes, block->capacity);
      break;
    case HOSTCACHE_VISIT_QUARANTINED:
      step(&want->quarantined, 1);
      step(&want->quarantined_bytes, block->capacity);
      break;
  }
}

static void model_turn(model *m, model_block *block, int kind) {
  model_count_kind(m, block, model_subtract);
  block->kind = kind;
  model_count_kind(m, block, model_add);
}

static void model_count_call(hostcache_duration *duration) {
  /* The replaced clock moves by 1000 ns when it is looked at. */
  duration->total += 1000;
  duration->max = duration->min = 1000;
  duration->count++;
}

/* How much of a figure can be known. */
enum {
  MODEL_CURRENT, /* `current` alone */
  MODEL_STOCKED, /* all, but that the peak may be higher where threads have stocks of their own */
  MODEL_EXACT
};

typedef struct model_figure {
  const char *name;
  size_t at; /* its offset in hostcache_stats */
  int known;
} model_figure;

#define MODEL_FIGURE(name, known) \
  { #name, offsetof(hostcache_stats, name), known }

static const model_figure model_stats[] = {
    MODEL_FIGURE(allocation, MODEL_STOCKED),      MODEL_FIGURE(segment, MODEL_EXACT),
    MODEL_FIGURE(active, MODEL_STOCKED),          MODEL_FIGURE(inactive_split, MODEL_CURRENT),
    MODEL_FIGURE(allocated_bytes, MODEL_STOCKED), MODEL_FIGURE(reserved_bytes, MODEL_EXACT),
    MODEL_FIGURE(active_bytes, MODEL_STOCKED),    MODEL_FIGURE(inactive_split_bytes, MODEL_CURRENT),
    MODEL_FIGURE(requested_bytes, MODEL_STOCKED), MODEL_FIGURE(pending, MODEL_STOCKED),
    MODEL_FIGURE(pending_bytes, MODEL_STOCKED),   MODEL_FIGURE(quarantined, MODEL_EXACT),
    MODEL_FIGURE(quarantined_bytes, MODEL_EXACT), MODEL_FIGURE(leaked, MODEL_EXACT),
    MODEL_FIGURE(leaked_bytes, MODEL_EXACT),      MODEL_FIGURE(oversize_allocations, MODEL_STOCKED),
    MODEL_FIGURE(oversize_segments, MODEL_EXACT), MODEL_FIGURE(cached_bytes, MODEL_CURRENT),
    MODEL_FIGURE(wasted_bytes, MODEL_STOCKED),
};
static const model_figure model_counts[] = {
    MODEL_FIGURE(mem_alloc_time.total, MODEL_EXACT),
    MODEL_FIGURE(mem_alloc_time.max, MODEL_EXACT),
    MODEL_FIGURE(mem_alloc_time.min, MODEL_EXACT),
    MODEL_FIGURE(mem_alloc_time.count, MODEL_EXACT),
    MODEL_FIGURE(mem_free_time.total, MODEL_EXACT),
    MODEL_FIGURE(mem_free_time.max, MODEL_EXACT),
    MODEL_FIGURE(mem_free_time.min, MODEL_EXACT),
    MODEL_FIGURE(mem_free_time.count, MODEL_EXACT),
    MODEL_FIGURE(num_alloc_retries, MODEL_EXACT),
    MODEL_FIGURE(num_ooms, MODEL_EXACT),
    MODEL_FIGURE(num_sync_all_streams, MODEL_EXACT),
    MODEL_FIGURE(num_mem_alloc, MODEL_EXACT),
    MODEL_FIGURE(num_mem_free, MODEL_EXACT),
    MODEL_FIGURE(num_event_record, MODEL_EXACT),
    MODEL_FIGURE(num_event_query, MODEL_EXACT),
    MODEL_FIGURE(num_hits, MODEL_EXACT),
    MODEL_FIGURE(num_misses, MODEL_EXACT),
    MODEL_FIGURE(max_split_size, MODEL_EXACT),
    MODEL_FIGURE(last_failed_bytes, MODEL_EXACT),
};
enum {
  MODEL_STAT_COUNT = sizeof model_stats / sizeof *model_stats,
  MODEL_COUNT_COUNT = sizeof model_counts / sizeof *model_counts,
  MODEL_LIES = 4 * MODEL_STAT_COUNT + MODEL_COUNT_COUNT
};

static hostcache_stat *model_stat_of(hostcache_stats *stats, size_t i) {
  return (hostcache_stat *)(void *)((char *)stats + model_stats[i].at);
}

static int64_t *model_count_of(hostcache_stats *stats, size_t i) {
  return (int64_t *)(void *)((char *)stats + model_counts[i].at);
}

/* What resetting changes. */
static void model_reset_want(model *m, bool peaks) {
  const hostcache_duration none = {0, 0, 0, 0};
  hostcache_stats *want = &m->want;
  size_t i;
  for (i = 0; i < MODEL_STAT_COUNT; i++) {
    hostcache_stat *stat = model_stat_of(want, i);
    if (peaks) {
      stat->peak = stat->current;
      if (m->stock > 0 && model_stats[i].known == MODEL_CURRENT) stat->peak = 0; /* stocks go */
    } else {
      stat->allocated = stat->freed = 0;
      m->bases[i] = stat->current;
    }
  }
  if (peaks) return;
  want->mem_alloc_time = want->mem_free_time = none;
  want->num_alloc_retries = want->num_ooms = want->num_sync_all_streams = 0;
  want->num_mem_alloc = want->num_mem_free = want->num_hits = want->num_misses = 0;
  want->num_event_record = want->num_event_query = 0;
}

/* How high the peak of a figure may be. What is in a stock may count as handed out, and so may what
   waits; and what was requested of it may be all of it. What a callback freed may count twice while
   it waits. */
static int64_t model_most(const model *m, const hostcache_stats *got, size_t i) {
  const hostcache_stats *want = &m->want;
  const size_t at = model_stats[i].at;
  const hostcache_stat *stat = (const hostcache_stat *)(const void *)((const char *)want + at);
  if (m->stock == 0 || model_stats[i].known != MODEL_STOCKED) return stat->peak;
  if (at == offsetof(hostcache_stats, active))
    return stat->peak + (int64_t)(m->stock / m->alignment);
  if (at == offsetof(hostcache_stats, active_bytes)) return stat->peak + (int64_t)m->stock;
  if (at == offsetof(hostcache_stats, pending) || at == offsetof(hostcache_stats, pending_bytes))
    return 2 * stat->peak;
  if (at == offsetof(hostcache_stats, allocation) ||
      at == offsetof(hostcache_stats, oversize_allocations))
    return got->active.peak;
  return got->active_bytes.peak;
}

/* Compares what the cache says with what is wanted. */
static void model_compare_stats(model *m, hostcache_stats *got) {
  hostcache_stats *want = &m->want;
  size_t i;
  if (m->lie > 0 && m->lie <= 4 * MODEL_STAT_COUNT)
    ((int64_t *)(void *)model_stat_of(got, (m->lie - 1) / 4))[(m->lie - 1) % 4]--;
  else if (m->lie > 0)
    (*model_count_of(got, m->lie - 1 - 4 * MODEL_STAT_COUNT))--;
  for (i = 0; i < MODEL_STAT_COUNT; i++) {
    const hostcache_stat *g = model_stat_of(got, i);
    hostcache_stat *w = model_stat_of(want, i);
    if (model_stats[i].known == MODEL_CURRENT) { /* of which the rest can only be bounded */
      MODEL_MUST(m, g->peak >= w->current && g->peak >= w->peak, FIGURE,
                 "the peak of %s is %" PRId64 ", and was %" PRId64, model_stats[i].name, g->peak,
                 w->peak);
      MODEL_MUST(m, g->allocated >= w->allocated && g->freed >= w->freed, FIGURE,
                 "%s.allocated or .freed went back", model_stats[i].name);
      w->peak = g->peak;
      w->allocated = g->allocated;
      w->freed = g->freed;
    }
    MODEL_MUST(
        m, g->current == w->current && g->peak >= w->peak && g->peak <= model_most(m, got, i),
        FIGURE, "%s.current is %" PRId64 ", not %" PRId64 "; .peak %" PRId64 ", not %" PRId64,
        model_stats[i].name, g->current, w->current, g->peak, w->peak);
    MODEL_MUST(m,
               g->allocated == w->allocated && g->freed == w->freed &&
                   g->allocated - g->freed == g->current - m->bases[i],
               FIGURE,
               "%s.allocated is %" PRId64 ", not %" PRId64 "; .freed %" PRId64 ", not %" PRId64,
               model_stats[i].name, g->allocated, w->allocated, g->freed, w->freed);
  }
  for (i = 0; i < MODEL_COUNT_COUNT; i++)
    MODEL_MUST(m, *model_count_of(got, i) == *model_count_of(want, i), FIGURE,
               "%s is %" PRId64 ", not %" PRId64, model_counts[i].name, *model_count_of(got, i),
               *model_count_of(want, i));
  MODEL_MUST(m,
             got->inactive_split_bytes.peak <= got->cached_bytes.peak &&
                 got->requested_bytes.peak <= got->active_bytes.peak,
             FIGURE, "a part has a higher peak than the whole");
}

#endif
