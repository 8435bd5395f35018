/* referee.c - the one lock, calls and faults, violations, the controls, the beginning and the
   end. */

#include "internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define SIM_PRINTED 32 /* violations that are printed in full; after that they only count */
#define SIM_DEFAULT_MAX_ALLOC ((uint64_t)4 << 30)
#define SIM_DEFAULT_WIDEN 64 /* at 1, appending takes many times as long */

sim_state sim = {.lock = PTHREAD_MUTEX_INITIALIZER, .widen_random = 1};

static pid_t sim_process; /* that the workers belong to: a child after fork has none */
static bool sim_report_at_exit;
static int sim_exit_status; /* of a process that was not tidy; 0: its own */

/* Of the call that this thread is in. */
static _Thread_local const char *sim_here;
static _Thread_local ze_result_t sim_verdict;

/* A line on stderr. */
__attribute__((format(printf, 1, 2))) static void sim_say(const char *format, ...) {
  char text[2 * SIM_TEXT];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  fprintf(stderr, SIM_NAME ": %s\n", text);
}

/* ---- functions ------------------------------------------------------------------------------- */

typedef enum sim_when { ANY, USES, ENDS } sim_when;

static const struct {
  const char *name;
  sim_when when;
} sim_functions[FN_COUNT] = {
#define X(name, when) {#name, when},
    SIM_FUNCTIONS(X)
#undef X
};

/* Is this name one of those in the list, which has commas between them? */
static bool sim_is_listed(const char *list, const char *name) {
  const size_t length = strlen(name);
  while (*list != '\0') {
    const size_t here = strcspn(list, ",");
    if (here == length && strncmp(list, name, length) == 0) return true;
    list += here;
    list += *list == ',';
  }
  return false;
}

/* "a,b": those; "-a,b": all but those; NULL: all. False if a name is unknown. */
static bool sim_select(const char *list, bool selected[FN_COUNT]) {
  const bool but = list != NULL && *list == '-';
  size_t wanted = 1, found = 0;
  const char *at;
  int i;
  if (but) list++;
  for (at = list; at != NULL && *at != '\0'; at++) wanted += *at == ',';
  for (i = 0; i < FN_COUNT; i++) {
    const bool listed = list != NULL && sim_is_listed(list, sim_functions[i].name);
    found += listed;
    selected[i] = list == NULL || listed != but;
  }
  return list == NULL || found == wanted;
}

static bool sim_fault_is_due(sim_function function) {
  sim_fault *fault = &sim.fault;
  if (!fault->armed || !fault->functions[function]) return false;
  fault->seen++;
  if (fault->seen != fault->at && !(fault->onwards && fault->seen > fault->at)) return false;
  fault->fired++;
  return true;
}

/* Not in the child's first moment: most children call exec, and never come here. */
static void sim_tell_orphan(void) {
  static bool told;
  if (sim.orphan && !told) sim_say("this process was forked; the device stayed with its parent");
  told = sim.orphan;
}

ze_result_t sim_enter(sim_function function) {
  pthread_mutex_lock(&sim.lock);
  sim_here = sim_functions[function].name;
  sim_verdict = ZE_RESULT_SUCCESS;
  sim.calls[function]++;
  if (sim_fault_is_due(function)) {
    sim_verdict = sim.fault.result;
  } else if (sim.lost && sim_functions[function].when == USES) {
    sim_verdict = ZE_RESULT_ERROR_DEVICE_LOST;
    sim_tell_orphan();
  }
  return sim_verdict;
}

void sim_enter_control(const char *name) {
  pthread_mutex_lock(&sim.lock);
  sim_here = name;
}

const char *sim_call_name(void) { return sim_here; }

ze_result_t sim_refusal(void) { return sim_verdict; }

ze_result_t sim_leave(ze_result_t result) {
  sim_here = NULL;
  pthread_mutex_unlock(&sim.lock);
  return result;
}

void sim_widen(void) {
  const char *here = sim_here;
  const bool now = sim.widen != 0 && sim_random(&sim.widen_random) % sim.widen == 0;
  pthread_mutex_unlock(&sim.lock);
  if (now) sched_yield();
  pthread_mutex_lock(&sim.lock);
  sim_here = here;
}

/* ---- time, chance, memory -------------------------------------------------------------------- */

/* xorshift64*; the state is never 0. */
uint64_t sim_random(uint64_t *state) {
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return *state * UINT64_C(2685821657736338717);
}

uint64_t sim_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t sim_deadline(uint64_t timeout_ns) {
  const uint64_t now = sim_now_ns();
  return timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
}

void sim_wait_on(pthread_cond_t *condition, uint64_t deadline) {
  struct timespec until;
  if (deadline == UINT64_MAX) {
    pthread_cond_wait(condition, &sim.lock);
    return;
  }
  until.tv_sec = (time_t)(deadline / UINT64_C(1000000000));
  until.tv_nsec = (long)(deadline % UINT64_C(1000000000));
  pthread_cond_timedwait(condition, &sim.lock, &until);
}

void sim_wait_for_progress(uint64_t deadline) {
  sim.waiters++;
  sim_wait_on(&sim.progress, deadline);
  sim.waiters--;
}

void sim_progress(void) {
  if (sim.waiters != 0) pthread_cond_broadcast(&sim.progress);
}

void sim_condition_init(pthread_cond_t *condition) {
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
  pthread_cond_init(condition, &attributes);
  pthread_condattr_destroy(&attributes);
}

void *sim_grown(void *at, size_t size) {
  at = realloc(at, size);
  if (at == NULL) {
    sim_say("the machine has no memory left");
    abort();
  }
  return at;
}

void *sim_allocate(size_t size) { return memset(sim_grown(NULL, size), 0, size); }

/* ---- violations ------------------------------------------------------------------------------ */

void sim_violation(const char *format, ...) {
  char *text = sim.remembered[sim.remembered_count++ % SIM_REMEMBERED];
  size_t used = 0;
  va_list arguments;
  if (sim_here != NULL) used = (size_t)snprintf(text, SIM_TEXT, "%s: ", sim_here);
  va_start(arguments, format);
  vsnprintf(text + used, SIM_TEXT - used, format, arguments);
  va_end(arguments);
  sim.violations++;
  sim.ever_violations++;
  if (sim.ever_violations <= SIM_PRINTED) sim_say("%s", text);
  if (sim.ever_violations == SIM_PRINTED) sim_say("violations are only counted from here");
  if (sim.abort_on_violation) abort();
}

void sim_check_stype(const void *structure, ze_structure_type_t stype, const char *name) {
  const sim_header *header = structure;
  if (header->stype != stype)
    sim_violation("stype of the %s is 0x%x, not 0x%x", name, (unsigned)header->stype,
                  (unsigned)stype);
}

const void *sim_chained(const void *desc, ze_structure_type_t stype, bool stype_is_known) {
  const sim_header *header = ((const sim_header *)desc)->next;
  const void *found = NULL;
  for (; header != NULL; header = header->next) {
    if (stype_is_known && header->stype == stype) {
      found = header;
    } else {
      sim_violation(
          "a structure of type 0x%x is chained to a descriptor; this driver does not "
          "have that extension here",
          (unsigned)header->stype);
    }
  }
  return found;
}

uint64_t ze_sim_violations(void) {
  uint64_t violations;
  pthread_mutex_lock(&sim.lock);
  violations = sim.violations;
  pthread_mutex_unlock(&sim.lock);
  return violations;
}

const char *ze_sim_last_violation(void) {
  static _Thread_local char text[SIM_TEXT];
  text[0] = '\0';
  pthread_mutex_lock(&sim.lock);
  if (sim.remembered_count != 0)
    memcpy(text, sim.remembered[(sim.remembered_count - 1) % SIM_REMEMBERED], SIM_TEXT);
  pthread_mutex_unlock(&sim.lock);
  return text;
}

uint64_t ze_sim_expected(const char *text) {
  uint64_t found = 0;
  size_t i;
  pthread_mutex_lock(&sim.lock);
  for (i = 0; i < SIM_REMEMBERED; i++) {
    if (sim.remembered[i][0] == '\0' || strstr(sim.remembered[i], text) == NULL) continue;
    sim.remembered[i][0] = '\0';
    found++;
  }
  sim.violations -= found;
  sim.ever_violations -= found;
  pthread_mutex_unlock(&sim.lock);
  return found;
}

/* ---- what is alive --------------------------------------------------------------------------- */

static const struct {
  const char *name;
  sim_kind kind; /* SIM_NO_KIND: not an object */
} sim_whats[ZE_SIM_WHATS] = {
    [ZE_SIM_HOST_BYTES] = {"bytes of host memory", SIM_NO_KIND},
    [ZE_SIM_DEVICE_BYTES] = {"bytes of device memory", SIM_NO_KIND},
    [ZE_SIM_ALLOCATIONS] = {"allocations", SIM_MEMORY},
    [ZE_SIM_CONTEXTS] = {"contexts", SIM_CONTEXT},
    [ZE_SIM_QUEUES] = {"command queues", SIM_QUEUE},
    [ZE_SIM_LISTS] = {"command lists", SIM_LIST},
    [ZE_SIM_POOLS] = {"event pools", SIM_POOL},
    [ZE_SIM_EVENTS] = {"events", SIM_EVENT},
    [ZE_SIM_FENCES] = {"fences", SIM_FENCE},
    [ZE_SIM_COMMANDS] = {"unfinished commands", SIM_NO_KIND},
    [ZE_SIM_RUNNING] = {"running commands", SIM_NO_KIND},
};

static uint64_t sim_live(ze_sim_what what) {
  switch (what) {
    case ZE_SIM_HOST_BYTES: return sim.host_bytes;
    case ZE_SIM_DEVICE_BYTES: return sim.device_bytes;
    case ZE_SIM_COMMANDS: return sim.commands;
    case ZE_SIM_RUNNING: return sim_lanes_running();
    default: return sim.live[sim_whats[what].kind];
  }
}

uint64_t ze_sim_live(ze_sim_what what) {
  uint64_t live = 0;
  pthread_mutex_lock(&sim.lock);
  if ((unsigned)what < ZE_SIM_WHATS) live = sim_live(what);
  pthread_mutex_unlock(&sim.lock);
  return live;
}

static bool sim_anything_lives(void) {
  int i;
  for (i = 0; i < ZE_SIM_WHATS; i++)
    if (sim_live((ze_sim_what)i) != 0) return true;
  return false;
}

static void sim_report_calls(void) {
  int i;
  sim_say("calls");
  for (i = 0; i < FN_COUNT; i++) {
    if (sim.calls[i] != 0)
      fprintf(stderr, "  %12" PRIu64 "  %s\n", sim.calls[i], sim_functions[i].name);
  }
}

static void sim_report_live(void) {
  int i;
  sim_say("alive");
  for (i = 0; i < ZE_SIM_WHATS; i++) {
    if (sim_live((ze_sim_what)i) != 0)
      fprintf(stderr, "  %12" PRIu64 "  %s\n", sim_live((ze_sim_what)i), sim_whats[i].name);
  }
}

static void sim_report_violations(void) { sim_say("%" PRIu64 " violations", sim.violations); }

void ze_sim_report(void) {
  pthread_mutex_lock(&sim.lock);
  sim_report_calls();
  sim_report_live();
  sim_report_violations();
  pthread_mutex_unlock(&sim.lock);
}

/* ---- controls -------------------------------------------------------------------------------- */

void ze_sim_seed(uint64_t seed) {
  pthread_mutex_lock(&sim.lock);
  sim.random = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
  pthread_mutex_unlock(&sim.lock);
}

void ze_sim_delay(uint64_t microseconds) {
  pthread_mutex_lock(&sim.lock);
  sim.delay_us = microseconds;
  pthread_mutex_unlock(&sim.lock);
}

void ze_sim_widen(uint64_t one_in) {
  pthread_mutex_lock(&sim.lock);
  sim.widen = one_in;
  pthread_mutex_unlock(&sim.lock);
}

void ze_sim_hold(int on) {
  pthread_mutex_lock(&sim.lock);
  sim.held = on != 0;
  sim.steps = 0;
  sim_wake_lanes();
  pthread_mutex_unlock(&sim.lock);
}

void ze_sim_step(uint64_t commands) {
  pthread_mutex_lock(&sim.lock);
  sim.steps += commands;
  sim_wake_lanes();
  pthread_mutex_unlock(&sim.lock);
}

void ze_sim_settle(void) {
  pthread_mutex_lock(&sim.lock);
  while (!sim_lanes_settled()) sim_wait_for_progress(UINT64_MAX);
  pthread_mutex_unlock(&sim.lock);
}

void ze_sim_lose_device(void) {
  pthread_mutex_lock(&sim.lock);
  if (!sim.lost) {
    sim.lost = true;
    sim_abandon_work();
    sim_wake_lanes();
    sim_progress();
  }
  pthread_mutex_unlock(&sim.lock);
}

int ze_sim_fail(const char *functions, uint64_t n, int onwards, ze_result_t result) {
  sim_fault fault = {.armed = n != 0, .onwards = onwards != 0, .at = n, .result = result};
  if (result == ZE_RESULT_SUCCESS) fault.result = ZE_RESULT_ERROR_UNKNOWN;
  if (!sim_select(functions, fault.functions)) {
    sim_say("ze_sim_fail: not all of these are known: %s", functions);
    return -1;
  }
  pthread_mutex_lock(&sim.lock);
  sim.fault = fault;
  pthread_mutex_unlock(&sim.lock);
  return 0;
}

void ze_sim_fail_no_more(void) {
  pthread_mutex_lock(&sim.lock);
  sim.fault.armed = false;
  pthread_mutex_unlock(&sim.lock);
}

uint64_t ze_sim_fired(void) {
  uint64_t fired;
  pthread_mutex_lock(&sim.lock);
  fired = sim.fault.fired;
  pthread_mutex_unlock(&sim.lock);
  return fired;
}

uint64_t ze_sim_calls(const char *functions) {
  bool selected[FN_COUNT];
  uint64_t calls = 0;
  int i;
  if (!sim_select(functions, selected))
    sim_say("ze_sim_calls: not all of these are known: %s", functions);
  pthread_mutex_lock(&sim.lock);
  for (i = 0; i < FN_COUNT; i++) calls += selected[i] ? sim.calls[i] : 0;
  pthread_mutex_unlock(&sim.lock);
  return calls;
}

void ze_sim_limits(uint64_t host, uint64_t device, uint64_t max_alloc) {
  pthread_mutex_lock(&sim.lock);
  sim.host_limit = host != 0 ? host : UINT64_MAX;
  sim.device_limit = device != 0 ? device : UINT64_MAX;
  sim.max_alloc = max_alloc != 0 ? max_alloc : SIM_DEFAULT_MAX_ALLOC;
  pthread_mutex_unlock(&sim.lock);
}

void ze_sim_relaxed_limits(int on) {
  pthread_mutex_lock(&sim.lock);
  sim.no_relaxed = on == 0;
  pthread_mutex_unlock(&sim.lock);
}

/* ---- the environment ------------------------------------------------------------------------- */

/* A number at the start of the text, and what comes behind it. NULL: there is none, or it has a
   sign, or more than 64 bits. */
static const char *sim_number(const char *text, uint64_t *value) {
  char *end;
  if (*text < '0' || *text > '9') return NULL;
  errno = 0;
  *value = strtoull(text, &end, 0);
  return errno == 0 ? end : NULL;
}

static uint64_t sim_environment(const char *name, uint64_t otherwise) {
  const char *text = getenv(name), *end;
  uint64_t value;
  if (text == NULL || *text == '\0') return otherwise;
  end = sim_number(text, &value);
  if (end != NULL && *end == '\0') return value;
  sim_say("%s is no number of 0 or more, and ignored: %s", name, text);
  return otherwise;
}

/* functions:n[+][:result]. False if it is not that. */
static bool sim_parse_fault(const char *text) {
  const char *at = strchr(text, ':');
  char functions[256];
  uint64_t n, result = 0;
  int onwards;
  if (at == NULL || (size_t)(at - text) >= sizeof functions) return false;
  memcpy(functions, text, (size_t)(at - text));
  functions[at - text] = '\0';
  at = sim_number(at + 1, &n);
  if (at == NULL || n == 0) return false;
  onwards = *at == '+';
  at += onwards;
  if (*at == ':') at = sim_number(at + 1, &result);
  if (at == NULL || *at != '\0') return false;
  (void)ze_sim_fail(functions[0] != '\0' ? functions : NULL, n, onwards, (ze_result_t)result);
  return true;
}

static void sim_environment_fault(void) {
  const char *text = getenv("ZE_SIM_FAIL");
  if (text != NULL && *text != '\0' && !sim_parse_fault(text))
    sim_say("ZE_SIM_FAIL is not functions:n[+][:result], and ignored: %s", text);
}

static void sim_defaults(void) {
  ze_sim_seed(sim_environment("ZE_SIM_SEED", 0));
  ze_sim_delay(sim_environment("ZE_SIM_DELAY_US", 0));
  ze_sim_limits(sim_environment("ZE_SIM_HOST_LIMIT", 0), sim_environment("ZE_SIM_DEVICE_LIMIT", 0),
                sim_environment("ZE_SIM_MAX_ALLOC", 0));
  ze_sim_relaxed_limits(sim_environment("ZE_SIM_NO_RELAXED", 0) == 0);
  ze_sim_widen(sim_environment("ZE_SIM_WIDEN", SIM_DEFAULT_WIDEN));
  ze_sim_hold(0);
  sim_environment_fault();
}

/* ---- the beginning and the end --------------------------------------------------------------- */

uint64_t ze_sim_reset(void) {
  uint64_t violations;
  int i;
  sim_enter_control("ze_sim_reset");
  sim.steps = 0;
  sim.held = true; /* nothing begins any more; what runs ends */
  if (!sim.lost) {
    if (sim.commands != 0)
      sim_violation("still there at the reset: %" PRIu64 " unfinished commands", sim.commands);
    sim_abandon_work();
  }
  sim_stop_lanes();
  sim_release_excused();
  for (i = 0; i < ZE_SIM_WHATS; i++) {
    const sim_kind kind = sim_whats[i].kind;
    if (kind != SIM_NO_KIND && sim.live[kind] != 0)
      sim_violation("still there at the reset: %" PRIu64 " %s", sim.live[kind], sim_whats[i].name);
  }
  sim_release_everything();
  violations = sim.violations;
  sim.violations = sim.ever_violations = sim.remembered_count = 0;
  memset(sim.remembered, 0, sizeof sim.remembered);
  memset(sim.calls, 0, sizeof sim.calls);
  memset(&sim.fault, 0, sizeof sim.fault);
  sim.handed_out.count = 0;
  sim.lost = sim.orphan;
  sim_leave(ZE_RESULT_SUCCESS);
  sim_defaults();
  return violations;
}

/* A program that is linked with this library before the loader has the loader's own functions of
   these names replaced by ours: its calls would reach us past the loader. */
static void sim_check_link_order(void) {
  void *program = dlopen(NULL, RTLD_LAZY); /* what it is linked with, in that order */
  const void *first = program != NULL ? dlsym(program, "zeGetGlobalProcAddrTable") : NULL;
  const bool has_loader = program != NULL && dlsym(program, "zeInit") != NULL;
  Dl_info ours, theirs;
  if (program != NULL) dlclose(program);
  if (first == NULL || !has_loader) return;
  if (dladdr(&sim, &ours) == 0 || dladdr(first, &theirs) == 0) return;
  if (ours.dli_fbase != theirs.dli_fbase) return;
  sim_say("link the program with the loader before this library");
  abort();
}

/* fork copies this memory while a worker or another thread may be in the middle of it, unless the
   thread that forks has the lock. The child has that thread alone: no workers, so no device. */
static void sim_before_fork(void) { pthread_mutex_lock(&sim.lock); }
static void sim_in_parent(void) { pthread_mutex_unlock(&sim.lock); }

static void sim_in_child(void) {
  sim.orphan = sim.lost = true;
  sim.waiters = 0;
  sim_condition_init(&sim.progress);
  sim_forget_threads();
  sim_orphan_lanes();
  pthread_mutex_unlock(&sim.lock);
}

__attribute__((constructor)) static void sim_begin(void) {
  sim_check_link_order();
  sim_process = getpid();
  sim_condition_init(&sim.progress);
  sim.abort_on_violation = sim_environment("ZE_SIM_ABORT", 0) != 0;
  sim_report_at_exit = sim_environment("ZE_SIM_REPORT", 0) != 0;
  sim_exit_status = (int)(sim_environment("ZE_SIM_EXIT", 0) & 0xff); /* as the system has it */
  sim_defaults();
  pthread_atfork(sim_before_fork, sim_in_parent, sim_in_child);
}

static void sim_say_at_exit(bool tidy) {
  if (sim_report_at_exit) sim_report_calls();
  if (sim_report_at_exit || (!tidy && sim_exit_status != 0)) sim_report_live();
  if (sim_report_at_exit || !tidy) sim_report_violations();
}

/* The library is never unloaded (-z nodelete), so this runs when the process ends, and the loader
   has gone by then or never calls again. Workers are ended here, not left to be cut off in the
   middle of memory that the C library takes down. */
__attribute__((destructor)) static void sim_end(void) {
  bool tidy;
  if (sim_process != getpid()) return;
  pthread_mutex_lock(&sim.lock);
  sim.stopping = true;
  sim_stop_lanes();
  sim_release_excused();
  tidy = sim.violations == 0 && (sim_exit_status == 0 || !sim_anything_lives());
  sim_say_at_exit(tidy);
  pthread_mutex_unlock(&sim.lock);
  if (tidy || sim_exit_status == 0) return;
  fflush(NULL); /* _exit does not */
  _exit(sim_exit_status);
}
