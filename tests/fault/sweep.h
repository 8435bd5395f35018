/* sweep.h - one run of a scenario under a plan of faults: each public call as a step of a script,
   and what must hold after each of them:

   - the result is one that the contract allows for what failed (the table of answers), on_error was
     told once of each failure, with the runtime's own code, and out pointers are NULL after an
     error
   - no lock is held, check finds nothing, and the device saw no rule broken
   - no hook and no malloc was called that this function never calls (free_deferred calls none,
     process_events never waits), and none of them, nor on_error, under a lock
   - every block that is held is found, from its first byte to its last; every figure is that of
     what is held and of what is at the device
   - what failed is called again, in the manner that retries, and that works

   At the end nothing is left: no bookkeeping, no event, and at the device only the memory whose
   free hook failed, or, if the cache was destroyed with blocks in quarantine, theirs. */

#ifndef TESTS_FAULT_SWEEP_H
#define TESTS_FAULT_SWEEP_H

/* ---- the table of answers -------------------------------------------------------------------- */

typedef enum call {
  CALL_NONE,
  CALL_CREATE,
  CALL_ALLOC,
  CALL_RESERVE,
  CALL_RECORD, /* in all its forms */
  CALL_FREE,
  CALL_FREE_DEFERRED,
  CALL_PROCESS_EVENTS,
  CALL_SYNCHRONIZE,
  CALL_TRIM, /* trim_idle and empty_cache too */
  CALL_FORGET_STREAM,
  CALL_RELEASE_QUARANTINE,
  CALL_SET_BOUND,
  CALL_RECORD_FREE,
  CALL_WALK,
  CALL_POOL_BEGIN, /* retain_pool too */
  CALL_POOL_END,
  CALL_POOL_RELEASE,
  CALL_CHECKPOINT,
  CALL_RESTORE,
  CALL_DESTROY,
  CALLS
} call;

static const char *const call_names[CALLS] = {"(none)",
                                              "create",
                                              "alloc",
                                              "reserve",
                                              "record_*",
                                              "free",
                                              "free_deferred",
                                              "process_events",
                                              "synchronize",
                                              "trim",
                                              "forget_stream",
                                              "release_quarantine",
                                              "set_max_*",
                                              "record_free",
                                              "walk",
                                              "begin_allocate_to_pool",
                                              "end_allocate_to_pool",
                                              "release_pool",
                                              "checkpoint_pool",
                                              "restore_pool",
                                              "destroy"};

#define A_OK ONE_OF(HOSTCACHE_OK)
#define A_OOM ONE_OF(HOSTCACHE_ERR_OUT_OF_MEMORY)
#define A_LIMIT ONE_OF(HOSTCACHE_ERR_LIMIT)
#define A_META ONE_OF(HOSTCACHE_ERR_NO_METADATA)
#define A_EVENT ONE_OF(HOSTCACHE_ERR_EVENT)
#define A_BUSY ONE_OF(HOSTCACHE_ERR_BUSY)
#define A_LEAKED ONE_OF(HOSTCACHE_ERR_LEAKED)
#define A_LATE ONE_OF(HOSTCACHE_ERR_TIMEOUT)
#define A_CORRUPT ONE_OF(HOSTCACHE_ERR_CORRUPT)
#define A_GONE ONE_OF(HOSTCACHE_ERR_NOT_FOUND)
#define A_EVERY_ERROR (ONE_OF(-15) - 2u)
/* ... where the scenario bounds memory: what waits or is lost may now be what is wanted */
#define A_BOUNDED ONE_OF(-20)
/* ... where a block that free_deferred left may be the one that it failed for */
#define A_OK_DEFERRED ONE_OF(-21)
#define A_OK_WAITS ONE_OF(-22)   /* ... where waiting for the stream does as well */
#define A_OK_ORDERED ONE_OF(-23) /* ... where it may be a fence that was not recorded */

/* What a call may answer when a site in it failed (sections 5 and 8 of the contract). Of several
   failures each may decide the error; it is OK only if each of them lets it be. 0: this call never
   gets to that site, failing or not. */
static const unsigned answers[CALLS][SITES] = {
    [CALL_CREATE] =
        {
            [SITE_MALLOC] = A_META,
            [SITE_ALLOC] = A_OOM,
            [SITE_NO_MEMORY] = A_OOM,
            [SITE_WRONG] = A_CORRUPT,
            [SITE_FREE] = A_OK, /* of what is wrong, which is the error */
        },
    [CALL_ALLOC] =
        {
            [SITE_MALLOC] = A_OK | A_META,
            [SITE_ALLOC] = A_OOM,
            [SITE_NO_MEMORY] = A_OK | A_OOM | A_BOUNDED,
            [SITE_WRONG] = A_CORRUPT,
            [SITE_FREE] = A_OK | A_BOUNDED, /* leaked memory counts against the cap */
            [SITE_RECORD] = A_OK | A_BOUNDED,
            [SITE_QUERY] = A_OK | A_BOUNDED,
            [SITE_PENDING] = A_OK | A_BOUNDED,
            [SITE_STREAM_WAIT] = A_OK | A_BOUNDED,
            [SITE_AFTER] = A_OK | A_BOUNDED,
            [SITE_END] = A_OK,
        },
    [CALL_RESERVE] =
        {
            [SITE_MALLOC] = A_OK | A_META,
            [SITE_ALLOC] = A_OOM,
            [SITE_NO_MEMORY] = A_OK | A_OOM | A_BOUNDED,
            [SITE_WRONG] = A_CORRUPT,
            [SITE_FREE] = A_OK | A_BOUNDED,
            [SITE_RECORD] = A_OK | A_BOUNDED,
            [SITE_QUERY] = A_OK | A_BOUNDED,
            [SITE_PENDING] = A_OK | A_BOUNDED,
            [SITE_STREAM_WAIT] = A_OK | A_BOUNDED,
            [SITE_END] = A_OK,
        },
    [CALL_RECORD] =
        {
            /* A stream's own queue can be done without, the fifth use of a block cannot. */
            [SITE_MALLOC] = A_OK | A_META,
        },
    [CALL_FREE] =
        {
            [SITE_MALLOC] = A_OK,
            [SITE_FREE] = A_OK,
            [SITE_RECORD] = A_EVENT | A_OK_DEFERRED | A_OK_ORDERED,
            [SITE_QUERY] = A_OK, /* of a poll; of a value that found no room it is EVENT */
            [SITE_PENDING] = A_OK,
            [SITE_STREAM_WAIT] = A_EVENT | A_OK_DEFERRED,
            [SITE_END] = A_OK,
        },
    [CALL_FREE_DEFERRED] = {0},
    [CALL_PROCESS_EVENTS] =
        {
            [SITE_MALLOC] = A_OK,
            [SITE_FREE] = A_OK,
            [SITE_RECORD] = A_EVENT,
            [SITE_QUERY] = A_EVENT,
            [SITE_PENDING] = A_OK,
            [SITE_END] = A_OK,
        },
    [CALL_SYNCHRONIZE] =
        {
            [SITE_MALLOC] = A_OK,
            [SITE_FREE] = A_OK,
            [SITE_RECORD] = A_EVENT | A_LATE,
            [SITE_QUERY] = A_EVENT | A_LATE,
            [SITE_PENDING] = A_OK | A_LATE,
            [SITE_STREAM_WAIT] = A_EVENT | A_LATE,
            [SITE_WAIT] = A_OK | A_EVENT, /* it polls instead */
            [SITE_END] = A_OK,
        },
    [CALL_TRIM] =
        {
            [SITE_MALLOC] = A_OK,
            [SITE_FREE] = A_LEAKED,
            [SITE_RECORD] = A_EVENT,
            [SITE_QUERY] = A_EVENT,
            [SITE_PENDING] = A_OK,
            [SITE_STREAM_WAIT] = A_EVENT,
            [SITE_END] = A_OK,
        },
    [CALL_FORGET_STREAM] =
        {
            [SITE_MALLOC] = A_OK | A_META,
            [SITE_FREE] = A_OK,
            [SITE_RECORD] = A_EVENT | A_OK_WAITS | A_OK_DEFERRED | A_OK_ORDERED,
            [SITE_QUERY] = A_EVENT,
            [SITE_PENDING] = A_OK,
            [SITE_STREAM_WAIT] = A_EVENT | A_OK_DEFERRED | A_OK_ORDERED,
            [SITE_WAIT] = A_OK,
            [SITE_END] = A_OK,
        },
    [CALL_RELEASE_QUARANTINE] =
        {
            [SITE_FREE] = A_OK,
            [SITE_END] = A_OK,
        },
    [CALL_SET_BOUND] =
        {
            [SITE_FREE] = A_LEAKED,
        },
    [CALL_RECORD_FREE] = {0},
    [CALL_WALK] =
        {
            [SITE_MALLOC] = A_META,
        },
    [CALL_POOL_BEGIN] =
        {
            [SITE_MALLOC] = A_META,
        },
    [CALL_POOL_END] = {0},
    [CALL_POOL_RELEASE] =
        {
            [SITE_MALLOC] = A_OK,
            [SITE_FREE] = A_LEAKED,
            [SITE_RECORD] = A_EVENT, /* of what was used in a capture */
            [SITE_STREAM_WAIT] = A_EVENT,
            [SITE_END] = A_OK,
        },
    [CALL_CHECKPOINT] =
        {
            [SITE_MALLOC] = A_META,
        },
    [CALL_RESTORE] =
        {
            [SITE_MALLOC] = A_META,
        },
    [CALL_DESTROY] = /* which of them, end_of_cache says exactly */
    {
        [SITE_MALLOC] = A_OK | A_LEAKED,
        [SITE_FREE] = A_LEAKED,
        [SITE_RECORD] = A_OK | A_LEAKED,
        [SITE_QUERY] = A_OK | A_BUSY | A_LEAKED,
        [SITE_PENDING] = A_OK | A_BUSY | A_LEAKED,
        [SITE_STREAM_WAIT] = A_OK | A_LEAKED,
        [SITE_END] = A_OK | A_LEAKED,
    },
};

/* ---- a run ----------------------------------------------------------------------------------- */

#define RUN_SLOTS 24
#define RUN_SITES 1000
#define PAIR_INTEREST 4 /* calls */

typedef struct slot { /* a block in the hands of the script */
  char *ptr;
  faulted_block *block;
  size_t size;
  bool marked, unknown; /* it has a use; it has one that found no room */
} slot;

typedef struct run {
  sim_device device;
  faulted *cache;
  heard heard;
  hostcache_config config;
  bool bounded; /* by a cap, or by the memory of the device */
  size_t cap;   /* that holds all along; 0: none */
  slot slots[RUN_SLOTS];
  bool ordered; /* something may be ready for one stream alone */
  bool deferred,
      deferred_unknown; /* free_deferred has left a block to others; ... with such a use */
#ifdef MODE_POOLS
  bool pool_is_open;
  int pool_uses; /* how often it was retained */
  bool captured; /* something was, so that what was used in it is quarantined */
  faulted_checkpoint *checkpoint;
  slot then[RUN_SLOTS]; /* what was held when it was made */
#endif
  bool diverged;           /* a step had another end than if nothing had failed */
  size_t lost, lost_bytes; /* leaked by a create that failed: no cache knows of it */

  plan plan;
  bool suspended;     /* while something is called again: nothing fails, and no site counts */
  bool over;          /* likewise, from now on */
  char armed;         /* how the next hook is to fail */
  unsigned only;      /* ... if it is one of these: bits of sites; 0: any */
  uint8_t *sites_are; /* where to note them, or NULL */
  uint64_t sites;     /* so far */
  uint64_t all_fired; /* failures so far */
  bool trace;

  call call; /* the public call under way, or the last one */
  bool inside;
  uint64_t number;   /* of it */
  uint64_t last_hit; /* the last one in which something failed */
  bool finishing;
  unsigned hooks, hits, coded; /* in this call: hooks; failures; those with the runtime's code */
  unsigned fired[SITES];
  unsigned fired_in_all[SITES];
  bool trespassed; /* a hook, malloc or on_error was called where none is, or under a lock */
  heard before;    /* what on_error had heard before it */
} run;

/* ---- sites ----------------------------------------------------------------------------------- */

static char due(const run *r) {
  if (r->suspended || r->over || r->hits >= PLAN_PATIENCE) return '\0';
  return plan_says(&r->plan, r->sites + 1);
}

static bool may_fail(const run *r, site what) {
  return r->only == 0 || (r->only & (1u << what)) != 0;
}

/* Tells the device what its next hook does. */
static void arm(run *r) {
  unsigned hook, hooks = 0;
  r->armed = due(r);
  for (hook = 0; hook < SIM_HOOKS && r->armed != '\0'; hook++)
    if (may_fail(r, site_of((sim_hook)hook, '\0'))) hooks |= SIM_ONLY(hook);
  if (r->armed == 'F') {
    sim_fail(&r->device, 1, false, hooks);
  } else if (r->armed == 'S') {
    sim_fail_with(&r->device, 1, false, hooks, SIM_PENDING);
    r->device.fault.alloc_code = SIM_NO_MEMORY;
  } else {
    sim_fail_no_more(&r->device);
  }
}

/* Gets to a site: `plain` is what it is, `what` how it fails if `kind` says so. */
static void pass(run *r, site plain, site what, char kind) {
  if (!r->suspended && !r->over) r->sites++;
  if (r->sites_are != NULL && r->sites < RUN_SITES) r->sites_are[r->sites] = (uint8_t)plain;
  if (!r->inside || answers[r->call][plain] == 0 || hostcache_locks_held != 0) r->trespassed = true;
  if (kind != '\0') {
    r->hits++;
    r->all_fired++;
    r->fired[what]++;
    r->fired_in_all[what]++;
    if (r->plan.onwards == '*') r->only = 1u << plain;
  }
  if (r->trace)
    print_message("    %s%u: %s%s\n", r->suspended || r->over ? "(no fault) " : "",
                  (unsigned)r->sites, site_names[what], kind != '\0' ? " FAILS" : "");
  arm(r);
}

static void at_hook(void *user, sim_hook hook) {
  run *r = user;
  char kind = r->armed;
  r->device.mischief = SIM_HONEST;
  if (kind == 'W' && hook != SIM_MEM_ALLOC) kind = '\0';
  if (!may_fail(r, site_of(hook, '\0'))) kind = '\0';
  if (kind == 'W') r->device.mischief = SIM_MISALIGNED;
  if (kind == 'F') r->coded++;
  if (++r->hooks > PLAN_STUCK) {
    char text[64];
    plan_print(&r->plan, text);
    fprintf(stderr, "%s hangs: it goes on calling hooks; plan %s\n", call_names[r->call], text);
    abort();
  }
  pass(r, site_of(hook, '\0'), site_of(hook, kind), kind);
}

static void at_malloc(void *user) {
  run *r = user;
  char kind = due(r);
  if (kind == 'W' || !may_fail(r, SITE_MALLOC)) kind = '\0';
  below.once = at_malloc;
  if (kind != '\0') atomic_store(&below.fails_at, atomic_load(&below.calls));
  pass(r, SITE_MALLOC, SITE_MALLOC, kind);
}

/* on_error has heard something. */
static void at_error(void *user) {
  run *r = user;
  if (hostcache_locks_held != 0) r->trespassed = true;
}

/* ---- after each call ------------------------------------------------------------------------- */

static void begin(run *r, call what) {
  r->call = what;
  r->number++;
  r->inside = true;
  r->hooks = r->hits = r->coded = 0;
  memset(r->fired, 0, sizeof r->fired);
  r->before = r->heard;
  below.once = at_malloc;
  arm(r);
}

static uint64_t told_of(const run *r, hostcache_result result) {
  return r->heard.of[-(int)result] - r->before.of[-(int)result];
}

/* The figures; all zero where there is no cache. */
static hostcache_stats figures(const run *r) {
  hostcache_stats stats;
  memset(&stats, 0, sizeof stats);
  if (r->cache != NULL) assert_ok(faulted_stats(r->cache, &stats));
  return stats;
}

/* Is there a reason for a block to be quarantined? */
static bool may_quarantine(const run *r) {
  const unsigned limit = r->config.query_error_limit == 0 ? 3 : r->config.query_error_limit;
  return r->fired_in_all[SITE_MALLOC] > 0 || r->fired_in_all[SITE_RECORD] > 0 ||
         r->fired_in_all[SITE_QUERY] >= limit;
}

/* Was something used in a capture? Then it is quarantined for good reason. */
static bool has_captured(const run *r) {
#ifdef MODE_POOLS
  return r->captured;
#else
  (void)r;
  return false;
#endif
}

/* What is held, found from its first byte to its last, and adds up. */
static void inspect(run *r) {
  size_t i, held = 0, held_bytes = 0, refused = 0, refused_bytes = 0;
  uint64_t heard_before = r->heard.count;
  hostcache_stats stats;
  assert_int_equal(hostcache_locks_held, 0);
  assert_false(r->trespassed);
  assert_int_equal(r->device.violations, 0);
  for (i = 0; i < r->device.ranges.count; i++) {
    if (!r->device.ranges.at[i].refused) continue;
    refused++;
    refused_bytes += r->device.ranges.at[i].size;
  }
  if (r->cache == NULL) {
    assert_int_equal(atomic_load(&below.live), 0);
    return;
  }
  if (faulted_check(r->cache) != HOSTCACHE_OK) {
    print_error("check: %s\n", r->heard.count > heard_before ? r->heard.what : "");
    fail();
  }
  for (i = 0; i < RUN_SLOTS; i++) {
    const slot *s = &r->slots[i];
    if (s->ptr == NULL) continue;
    assert_ptr_equal(faulted_find(r->cache, s->ptr), s->block);
    assert_ptr_equal(faulted_find(r->cache, s->ptr + s->size - 1), s->block);
    assert_ptr_equal(faulted_block_ptr(s->block), s->ptr);
    assert_true(faulted_block_size(s->block) >= s->size);
    held++;
    held_bytes += faulted_block_size(s->block);
  }
  stats = figures(r);
  if (!may_quarantine(r) && !has_captured(r)) assert_int_equal(stats.quarantined.peak, 0);
  if (r->cap > 0) assert_true(r->device.peak_bytes - r->lost_bytes <= r->cap);
  assert_int_equal(stats.allocation.current, held);
  assert_int_equal(stats.allocated_bytes.current, held_bytes);
  assert_int_equal(stats.reserved_bytes.current + (int64_t)r->lost_bytes, r->device.live_bytes);
  assert_int_equal(stats.segment.current + (int64_t)r->lost, r->device.ranges.count);
  assert_int_equal(stats.leaked.current + (int64_t)r->lost, refused);
  assert_int_equal(stats.leaked_bytes.current + (int64_t)r->lost_bytes, refused_bytes);
  assert_int_equal(stats.active.current,
                   stats.allocation.current + stats.pending.current + stats.quarantined.current);
  assert_int_equal(stats.active_bytes.current, stats.allocated_bytes.current +
                                                   stats.pending_bytes.current +
                                                   stats.quarantined_bytes.current);
  assert_int_equal(
      stats.cached_bytes.current,
      stats.reserved_bytes.current - stats.active_bytes.current - stats.leaked_bytes.current);
}

/* What an earlier failure may still do to this call. */
static unsigned later_answers(const run *r, const slot *s) {
  const hostcache_stats stats = figures(r);
  unsigned later = A_OK;
  switch (r->call) {
    case CALL_ALLOC:
    case CALL_RESERVE:
      if (r->bounded &&
          (r->diverged ||
           stats.leaked.current + stats.quarantined.current + stats.pending.current > 0))
        later |= A_LIMIT | A_OOM;
      break;
    case CALL_FREE: /* a use that found no room */
      if (s != NULL && s->unknown) later |= A_EVENT;
      break;
    case CALL_PROCESS_EVENTS:
    case CALL_SYNCHRONIZE:
    case CALL_TRIM:
      if (r->deferred_unknown) later |= A_EVENT;
      break;
    case CALL_CHECKPOINT: /* a block of the pool waits, or is quarantined; or nothing was got */
    case CALL_RESTORE: later |= A_BUSY | A_GONE; break;
    default: break;
  }
  return later;
}

static unsigned allowed_answers(const run *r, unsigned clean, const slot *s) {
  unsigned later = later_answers(r, s), errors = 0;
  bool may_be_ok = true;
  int what;
  if (r->all_fired == 0) return clean;
  if (r->hits == 0) return clean | later;
#ifdef MODE_OWN_SEGMENTS
  /* What is idle does not go back before there is no memory: that may be so already. */
  if (r->fired[SITE_NO_MEMORY] > 0 && r->bounded) clean |= A_OOM;
#endif
  /* Out of memory once, where there is enough: what is idle goes back, and it is asked again. */
  if (r->fired[SITE_NO_MEMORY] == 1 && r->all_fired == 1 && r->call != CALL_CREATE) return clean;
  for (what = 0; what < SITES; what++) {
    unsigned answer = answers[r->call][what];
    if (r->fired[what] == 0) continue;
    if ((answer & A_BOUNDED) != 0 && r->bounded) answer |= A_LIMIT | A_OOM;
    if ((answer & A_OK_DEFERRED) != 0 && r->deferred) answer |= A_OK;
    if ((answer & A_OK_ORDERED) != 0 && r->ordered) answer |= A_OK;
#ifdef MODE_WAITS
    if ((answer & A_OK_WAITS) != 0) answer |= A_OK;
#endif
    if (r->call == CALL_FREE && what == SITE_QUERY && s->unknown) answer = A_EVENT;
    errors |= answer & A_EVERY_ERROR;
    may_be_ok = may_be_ok && (answer & A_OK) != 0;
  }
  return errors | (later & ~A_OK) | (may_be_ok ? clean | A_OK : 0);
}

/* on_error hears of each failure, once, and with the code that the hook gave. */
static void judge_what_was_told(run *r, hostcache_result result, const slot *s) {
  const unsigned events = r->fired[SITE_RECORD] + r->fired[SITE_QUERY] +
                          r->fired[SITE_STREAM_WAIT] + r->fired[SITE_WAIT] + r->fired[SITE_END] +
                          r->fired[SITE_AFTER];
  const bool unknown = (s != NULL && s->unknown) || r->deferred_unknown;
  assert_int_equal(r->heard.with_code - r->before.with_code, r->coded);
  assert_in_range(told_of(r, HOSTCACHE_ERR_EVENT), events, events + unknown);
  assert_int_equal(told_of(r, HOSTCACHE_ERR_LEAKED), r->fired[SITE_FREE]);
  assert_int_equal(told_of(r, HOSTCACHE_ERR_CORRUPT), r->fired[SITE_WRONG]);
  assert_int_equal(told_of(r, HOSTCACHE_ERR_OUT_OF_MEMORY), result == HOSTCACHE_ERR_OUT_OF_MEMORY);
  if (r->call == CALL_CREATE || r->call == CALL_WALK) return; /* there the result says it all */
  assert_int_equal(told_of(r, HOSTCACHE_ERR_NO_METADATA), result == HOSTCACHE_ERR_NO_METADATA);
}

/* To look at everything after every call would take most of the time. Up to the last failure that
   was planned all is as in a run without that one, which was looked at; and a run that leaves is,
   up to its end, as one that goes on. After the second of two it is looked at for some calls, and
   again at the end. */
static bool is_of_interest(run *r) {
  if (r->all_fired < r->plan.count) return false;
  if (r->hits > 0) r->last_hit = r->number;
  if (r->finishing) return true;
  if (r->plan.manner == 'l') return false;
  return r->plan.count < 2 || r->number - r->last_hit < PAIR_INTEREST;
}

/* After a call that gives one of `clean` if nothing fails. `s`: the block that it was about. True:
   to be called again. */
static bool judge(run *r, hostcache_result result, unsigned clean, const slot *s) {
  unsigned allowed = allowed_answers(r, clean, s);
  const bool drains = r->call == CALL_FREE || r->call == CALL_PROCESS_EVENTS ||
                      r->call == CALL_SYNCHRONIZE || r->call == CALL_TRIM ||
                      r->call == CALL_FORGET_STREAM;
  bool again;
  r->inside = false;
  below.once = NULL;
  sim_fail_no_more(&r->device);
  if (r->trace)
    print_message("  %u. %s: %s\n", (unsigned)r->number, call_names[r->call],
                  hostcache_result_string(result));
  if ((allowed & ONE_OF(result)) == 0) {
    int i;
    print_error("call %u, %s, gave %s\n  allowed:", (unsigned)r->number, call_names[r->call],
                hostcache_result_string(result));
    for (i = 0; i < 15; i++)
      if ((allowed & (1u << i)) != 0)
        print_error(" %s\n", hostcache_result_string((hostcache_result)-i));
    for (i = 0; i < SITES; i++)
      if (r->fired[i] > 0) print_error("  %u of %s failed\n", r->fired[i], site_names[i]);
    fail();
  }
  judge_what_was_told(r, result, s);
  if (is_of_interest(r)) inspect(r);
  if (drains && !r->device.capturing) r->deferred = r->deferred_unknown = false;
  again = r->plan.manner == 'r' && r->hits > 0 && (clean & ONE_OF(result)) == 0 &&
          r->call != CALL_FREE && r->call != CALL_DESTROY && result != HOSTCACHE_OK;
  r->diverged |= !again && (clean & ONE_OF(result)) == 0;
  r->suspended = again && r->plan.onwards != '\0';
  return again;
}

/* ---- the steps of a script ------------------------------------------------------------------- */

/* For calls that may simply be made again. */
#define STEP(r, what, clean, expression)          \
  do {                                            \
    hostcache_result step_result;                 \
    do {                                          \
      begin(r, what);                             \
      step_result = expression;                   \
    } while (judge(r, step_result, clean, NULL)); \
  } while (0)

static void create(run *r) {
  hostcache_result result;
  do {
    const size_t lost = r->device.live_bytes;
    r->cache = (faulted *)(void *)r;
    begin(r, CALL_CREATE);
    result = faulted_create(&r->cache, &r->config, &r->device);
    if (result != HOSTCACHE_OK) {
      assert_null(r->cache);
      r->lost_bytes += r->device.live_bytes - lost; /* was wrong, and could not be given back */
      r->lost += r->device.live_bytes > lost;
      assert_true(r->device.live_bytes == lost || r->fired[SITE_FREE] > 0);
    }
  } while (judge(r, result, A_OK, NULL));
  if (result == HOSTCACHE_OK) return;
  r->over = true; /* nothing can go on without it */
  begin(r, CALL_CREATE);
  result = faulted_create(&r->cache, &r->config, &r->device);
  (void)judge(r, result, A_OK, NULL);
  r->over = false;
}

/* Every other block is got, marked and freed by its handle. */
static bool by_handle(int i) { return i % 2 != 0; }

static void take_or(run *r, int i, size_t size, unsigned clean) {
  slot *s = &r->slots[i];
  hostcache_result result;
  assert_null(s->ptr);
  do {
    void *ptr = r;
    faulted_block *block = (faulted_block *)(void *)r;
    begin(r, CALL_ALLOC);
    if (by_handle(i)) {
      result = faulted_block_alloc(r->cache, size, &block);
      if (result != HOSTCACHE_OK) assert_null(block);
      ptr = faulted_block_ptr(block);
    } else {
      result = faulted_alloc(r->cache, size, &ptr);
      if (result != HOSTCACHE_OK) assert_null(ptr);
      block = faulted_find(r->cache, ptr);
    }
    memset(s, 0, sizeof *s);
    if (result == HOSTCACHE_OK) {
      assert_non_null(ptr);
      s->ptr = ptr;
      s->block = block;
      s->size = size;
      sim_handed_out(&r->device, ptr, size);
    }
  } while (judge(r, result, clean, NULL));
}

static void take(run *r, int i, size_t size) { take_or(r, i, size, A_OK); }

#ifdef MODE_ORDERED
/* For the work of a stream, which begins at once. */
static void take_on(run *r, int i, size_t size, sim_stream stream) {
  slot *s = &r->slots[i];
  hostcache_result result;
  assert_null(s->ptr);
  r->ordered = true;
  do {
    void *ptr = r;
    begin(r, CALL_ALLOC);
    result = faulted_alloc_on(r->cache, size, stream, &ptr);
    memset(s, 0, sizeof *s);
    if (result != HOSTCACHE_OK) {
      assert_null(ptr);
      continue;
    }
    s->ptr = ptr;
    s->block = faulted_find(r->cache, ptr);
    s->size = size;
    s->marked = true;
    sim_handed_out_on(&r->device, ptr, size, stream);
    (void)sim_use(&r->device, stream, ptr);
  } while (judge(r, result, A_OK, NULL));
}
#endif

#ifdef MODE_STREAMS
/* The work runs whether the mark was made or not. */
static void use(run *r, int i, sim_stream stream) {
  slot *s = &r->slots[i];
  hostcache_result result;
  if (s->ptr == NULL) return;
  (void)sim_use(&r->device, stream, s->ptr);
  s->marked = true;
  do {
    begin(r, CALL_RECORD);
    result = by_handle(i) ? faulted_block_record_stream(r->cache, s->block, stream)
                          : faulted_record_stream(r->cache, s->ptr + s->size / 2, stream);
    s->unknown |= result == HOSTCACHE_ERR_NO_METADATA;
  } while (judge(r, result, A_OK, NULL));
}
#else
static void use(run *r, int i, sim_stream stream) { (void)r, (void)i, (void)stream; }
#endif

/* A use that the script itself has an event or a value for. */
static void own_use(run *r, int i, sim_stream stream) {
#if defined MODE_TIMELINE || defined MODE_EVENT_T
  slot *s = &r->slots[i];
  hostcache_result result;
#ifdef MODE_TIMELINE
  uint64_t value;
  if (s->ptr == NULL) return;
  value = sim_use(&r->device, stream, s->ptr);
  do {
    begin(r, CALL_RECORD);
    result = by_handle(i) ? faulted_block_record_value(r->cache, s->block, stream, value)
                          : faulted_record_value(r->cache, s->ptr, stream, value);
#else
  if (s->ptr == NULL) return;
  (void)sim_use(&r->device, stream, s->ptr);
  do {
    MODE_EVENT_T event = MODE_OWN_EVENT(&r->device, stream);
    begin(r, CALL_RECORD);
    result = by_handle(i) ? faulted_block_record_event(r->cache, s->block, event)
                          : faulted_record_event(r->cache, s->ptr, event);
    if (result != HOSTCACHE_OK) MODE_END_EVENT(&r->device, event); /* it stayed the script's */
#endif
    s->unknown |= result == HOSTCACHE_ERR_NO_METADATA;
  } while (judge(r, result, A_OK, NULL));
#else
  (void)r, (void)i, (void)stream;
#endif
}

static void give(run *r, int i) {
  slot s = r->slots[i];
  hostcache_result result;
  if (s.ptr == NULL) return;
  memset(&r->slots[i], 0, sizeof s);
  sim_handed_back(&r->device, s.ptr);
  if (r->device.capturing) { /* then it is left to the end of the capture */
    r->deferred |= s.marked || s.unknown;
    r->deferred_unknown |= s.unknown;
  }
  begin(r, CALL_FREE);
  result = by_handle(i) ? faulted_block_free(r->cache, s.block) : faulted_free(r->cache, s.ptr);
  (void)judge(r, result, A_OK, &s);
  assert_null(faulted_find(r->cache, s.ptr));
  /* The cache owns it whatever failed: to free it again is an error, and harmless. */
  if (result == HOSTCACHE_OK || r->plan.manner != 'r') return;
  assert_one_of(faulted_free(r->cache, s.ptr),
                ONE_OF(HOSTCACHE_ERR_DOUBLE_FREE) | ONE_OF(HOSTCACHE_ERR_NOT_FOUND));
}

static void give_deferred(run *r, int i) {
  slot s = r->slots[i];
  if (s.ptr == NULL) return;
  memset(&r->slots[i], 0, sizeof s);
  sim_handed_back(&r->device, s.ptr);
  r->deferred |= s.marked || s.unknown;
  r->deferred_unknown |= s.unknown;
  begin(r, CALL_FREE_DEFERRED);
  (void)judge(r,
              by_handle(i) ? faulted_block_free_deferred(r->cache, s.block)
                           : faulted_free_deferred(r->cache, s.ptr),
              A_OK, NULL);
}

#ifdef MODE_OWN_SEGMENTS
/* The block leaves, and the script gives it to the device itself. */
static void leave(run *r, int i) {
  slot s = r->slots[i];
  size_t size;
  if (s.ptr == NULL) return;
  memset(&r->slots[i], 0, sizeof s);
  size = faulted_block_size(s.block);
  begin(r, CALL_RECORD_FREE);
  assert_ok(faulted_record_free(by_handle(i) ? r->cache : NULL, s.ptr));
  sim_fail_no_more(&r->device);
  r->device.on_hook = NULL;
  sim_handed_back(&r->device, s.ptr);
  assert_int_equal(sim_mem_free(&r->device, s.ptr, size), SIM_DONE);
  r->device.on_hook = at_hook;
  (void)judge(r, HOSTCACHE_OK, A_OK, NULL);
  assert_result(faulted_free(r->cache, s.ptr), HOSTCACHE_ERR_NOT_FOUND);
}
#endif

static void process_events(run *r) {
  STEP(r, CALL_PROCESS_EVENTS, A_OK, faulted_process_events(r->cache, NULL));
}

static void synchronize(run *r, uint64_t timeout_ns) {
  STEP(r, CALL_SYNCHRONIZE, A_OK, faulted_synchronize(r->cache, timeout_ns));
}

static void trim(run *r, size_t keep) { STEP(r, CALL_TRIM, A_OK, faulted_trim(r->cache, keep)); }

static void trim_idle(run *r, uint64_t ns) {
  STEP(r, CALL_TRIM, A_OK, faulted_trim_idle(r->cache, ns));
}

static void empty_cache(run *r) { STEP(r, CALL_TRIM, A_OK, faulted_empty_cache(r->cache)); }

static void reserve_or(run *r, size_t size, size_t count, unsigned clean) {
  STEP(r, CALL_RESERVE, clean, faulted_reserve(r->cache, size, count));
}

static void set_max_reserved(run *r, size_t bytes) {
  r->bounded = bytes > 0;
  r->cap = 0;
  STEP(r, CALL_SET_BOUND, A_OK, faulted_set_max_reserved_bytes(r->cache, bytes));
}

static void set_max_cached(run *r, size_t bytes) {
  STEP(r, CALL_SET_BOUND, A_OK, faulted_set_max_cached_bytes(r->cache, bytes));
}

static void release_quarantine(run *r) {
  STEP(r, CALL_RELEASE_QUARANTINE, A_OK, faulted_release_quarantine(r->cache));
}

/* After it the stream is destroyed, and its handle given to a new one. */
static void forget_stream(run *r, sim_stream stream) {
#ifdef MODE_STREAMS
  hostcache_result result;
  do {
    r->device.progress_per_queries = 1;
    begin(r, CALL_FORGET_STREAM);
    result = faulted_forget_stream(r->cache, stream);
    r->device.progress_per_queries = 0;
    if (result != HOSTCACHE_OK) continue; /* it must not be destroyed */
    sim_stream_destroy(&r->device, stream);
    sim_stream_create(&r->device, stream);
  } while (judge(r, result, A_OK, NULL));
#else
  (void)r, (void)stream;
#endif
}

typedef struct seen {
  size_t bytes, active;
} seen;

static int see(void *user, const hostcache_visit *visit) {
  seen *all = user;
  if (visit->kind == HOSTCACHE_VISIT_SEGMENT) all->bytes += visit->size;
  all->active += visit->kind == HOSTCACHE_VISIT_ACTIVE;
  return 0;
}

static void walk(run *r) {
  hostcache_result result;
  seen all;
  do {
    memset(&all, 0, sizeof all);
    begin(r, CALL_WALK);
    result = faulted_walk(r->cache, see, &all);
  } while (judge(r, result, A_OK, NULL));
  if (result != HOSTCACHE_OK) return;
  assert_int_equal(all.active, figures(r).allocation.current);
  assert_int_equal(all.bytes, figures(r).reserved_bytes.current);
}

/* ---- pools ----------------------------------------------------------------------------------- */

#ifdef MODE_POOLS

static const hostcache_pool_id POOL = {3, 4};

/* Slots from this one on are for what is got while the pool is open, if it could be opened. */
#define POOL_SLOT 12

static void open_pool(run *r) {
  hostcache_result result;
  do {
    begin(r, CALL_POOL_BEGIN);
    result = faulted_begin_allocate_to_pool(r->cache, POOL, NULL, NULL);
  } while (judge(r, result, A_OK, NULL));
  r->pool_is_open = result == HOSTCACHE_OK;
  r->pool_uses += result == HOSTCACHE_OK;
}

static void close_pool(run *r) {
  if (!r->pool_is_open) return;
  STEP(r, CALL_POOL_END, A_OK, faulted_end_allocate_to_pool(r->cache, POOL));
  r->pool_is_open = false;
}

static void release_pool(run *r) {
  if (r->pool_uses == 0) return;
  begin(r, CALL_POOL_RELEASE);
  (void)judge(r, faulted_release_pool(r->cache, POOL), A_OK, NULL);
  r->pool_uses--;
}

/* Stream 1 is captured, which the script works for; if the pool is open, as else it would not be
   known. */
static void capture(run *r, bool begins) {
  r->device.capturing = begins && r->pool_is_open;
  sim_captured_stream = begins ? 1 : SIM_NO_STREAM;
  sim_current = begins ? 1 : 0;
  r->captured |= begins;
}

static void checkpoint(run *r) {
  hostcache_result result;
  if (r->pool_uses == 0) return;
  do {
    begin(r, CALL_CHECKPOINT);
    result = faulted_checkpoint_pool(r->cache, POOL, &r->checkpoint);
  } while (judge(r, result, A_OK, NULL));
  memcpy(r->then, r->slots, sizeof r->then);
}

/* What is held of the pool is what was held then, under other handles. */
static void restore(run *r) {
  hostcache_result result;
  int i;
  if (r->checkpoint == NULL) return;
  do {
    begin(r, CALL_RESTORE);
    result = faulted_restore_pool(r->cache, r->checkpoint, NULL, NULL);
    for (i = POOL_SLOT; i < RUN_SLOTS && result == HOSTCACHE_OK; i++) {
      if (r->slots[i].ptr != NULL) sim_handed_back(&r->device, r->slots[i].ptr);
      r->slots[i] = r->then[i];
      r->slots[i].block = faulted_find(r->cache, r->slots[i].ptr);
    }
    for (i = POOL_SLOT; i < RUN_SLOTS && result == HOSTCACHE_OK; i++)
      if (r->slots[i].ptr != NULL) sim_handed_out(&r->device, r->slots[i].ptr, r->slots[i].size);
  } while (judge(r, result, A_OK, NULL));
}

static void end_pools(run *r) {
  close_pool(r);
  while (r->pool_uses > 0) release_pool(r);
  faulted_checkpoint_free(r->checkpoint);
  r->checkpoint = NULL;
}

#else

static void end_pools(run *r) { (void)r; }

#endif

/* ---- the end --------------------------------------------------------------------------------- */

static void destroy(run *r) {
  const hostcache_stats stats = figures(r);
  hostcache_result result;
  bool left;
  begin(r, CALL_DESTROY);
  result = faulted_destroy(r->cache);
  if (result != HOSTCACHE_ERR_BUSY) {
    r->cache = NULL;
    left = r->device.live_bytes > r->lost_bytes || sim_live_events(&r->device) > 0;
    assert_int_equal(result, left ? HOSTCACHE_ERR_LEAKED : HOSTCACHE_OK);
    /* what is ready for a stream that was forgotten may be left where its fence cannot be told */
    if (stats.leaked.current + stats.quarantined.current == 0 && r->hits == 0 &&
        !r->deferred_unknown && !(r->ordered && r->fired_in_all[SITE_QUERY] > 2))
      assert_int_equal(sim_live_bytes(&r->device), r->lost_bytes);
  }
  (void)judge(r, result, r->all_fired > 0 ? A_OK | A_LEAKED : A_OK, NULL);
}

/* Everything works again. */
static void works(run *r) {
  take_or(r, 0, 4096, A_OK);
  use(r, 0, 1);
  own_use(r, 0, 2);
  give(r, 0);
  sim_complete_all(&r->device);
  synchronize(r, 1000000);
}

static void finish(run *r) {
  int i;
  r->finishing = true;
  r->over = r->plan.manner == 'r';
  end_pools(r);
  for (i = 0; i < RUN_SLOTS; i++) {
    if (r->plan.manner == 'l') {
      give_deferred(r, i);
    } else {
      give(r, i);
    }
  }
  sim_complete_all(&r->device);
  if (r->plan.manner == 'g') {
    synchronize(r, 1000000);
    release_quarantine(r);
  } else if (r->plan.manner == 'r') {
    synchronize(r, 1000000);
    release_quarantine(r);
    set_max_reserved(r, 0);
    r->device.memory_limit = SIZE_MAX;
    works(r);
    empty_cache(r);
    assert_int_equal(figures(r).active.current, 0);
    assert_int_equal(figures(r).cached_bytes.current, 0);
  }
  destroy(r);
  if (r->cache != NULL) { /* a query failed, so that something was pending */
    r->over = true;
    synchronize(r, 1000000);
    destroy(r);
  }
  assert_null(r->cache);
  assert_int_equal(atomic_load(&below.live), 0);
  assert_int_equal(sim_close(&r->device, r->device.live_bytes, sim_live_events(&r->device)), 0);
}

#endif
