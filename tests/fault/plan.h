/* plan.h - what is to fail in a run, and the run's eye on hooks and malloc.

   The calls of hooks and of malloc that a scenario causes are counted as one sequence of sites, 1,
   2, 3, ... A plan says which of them fail, and how; so a pair may be of two hooks, of two mallocs,
   or of one of each. Written as text, for a replay:

     r7F       the 7th site fails
     g7F,12S   so does the 12th, softly
     l7F+      the 7th, and all after it
     g7F*      the 7th, and all after it that are the same hook, or malloc too

   First comes the manner of the run:
     r   retries: what failed is called again, and that must work (the plan goes on meanwhile, so
         that the second of a pair may hit it; but not one that fails from somewhere onwards)
     g   goes on as if nothing was, and destroys the cache under faults too
     l   leaves: frees everything by free_deferred and destroys the cache at once, under faults

   Then the kind of the failure:
     F   it fails
     S   softly: memory is out; any other hook answers "pending"; malloc as with F
     W   wrong: memory is misaligned; nothing else can be so */

#ifndef TESTS_FAULT_PLAN_H
#define TESTS_FAULT_PLAN_H

#define PLAN_PATIENCE 50 /* failures in one public call; then it heals, so that waits end */
#define PLAN_STUCK 20000 /* hooks in one public call; then it is said to hang */

/* What a site is. The columns of the table of answers (sweep.h). */
typedef enum site {
  SITE_MALLOC,
  SITE_ALLOC,       /* HC_MEM_ALLOC fails */
  SITE_NO_MEMORY,   /* ... is out of memory */
  SITE_WRONG,       /* ... gives misaligned memory */
  SITE_FREE,        /* HC_MEM_FREE */
  SITE_RECORD,      /* HC_EVENT_CREATE, HC_EVENT_RECORD, HC_TIMELINE_RECORD */
  SITE_QUERY,       /* HC_EVENT_QUERY, HC_TIMELINE_QUERY */
  SITE_PENDING,     /* "pending" where that is an answer: no failure, but it may be a lie */
  SITE_STREAM_WAIT, /* HC_STREAM_WAIT */
  SITE_AFTER,       /* HC_STREAM_WAIT_EVENT, HC_STREAM_WAIT_VALUE */
  SITE_WAIT,        /* HC_EVENT_WAIT, HC_TIMELINE_WAIT */
  SITE_END,         /* HC_EVENT_DESTROY */
  SITES
} site;

static const char *const site_names[SITES] = {"malloc",
                                              "HC_MEM_ALLOC",
                                              "HC_MEM_ALLOC, out of memory",
                                              "HC_MEM_ALLOC, misaligned",
                                              "HC_MEM_FREE",
                                              "a record",
                                              "a query",
                                              "a query, pending",
                                              "HC_STREAM_WAIT",
                                              "HC_STREAM_WAIT_EVENT",
                                              "a wait",
                                              "HC_EVENT_DESTROY"};

typedef struct plan {
  char manner;
  unsigned count;
  uint64_t at[2];
  char kind[2];
  char onwards; /* '+': all after the last one too; '*': those of the same hook; else 0 */
} plan;

static site site_of(sim_hook hook, char kind) {
  switch (hook) {
    case SIM_MEM_ALLOC: return kind == 'W' ? SITE_WRONG : kind == 'S' ? SITE_NO_MEMORY : SITE_ALLOC;
    case SIM_MEM_FREE: return SITE_FREE;
    case SIM_EVENT_CREATE:
    case SIM_EVENT_RECORD:
    case SIM_TIMELINE_RECORD: return SITE_RECORD;
    case SIM_EVENT_QUERY: return kind == 'S' ? SITE_PENDING : SITE_QUERY;
    case SIM_TIMELINE_QUERY: return SITE_QUERY; /* a counter can be told at any time */
    case SIM_STREAM_WAIT: return SITE_STREAM_WAIT;
    case SIM_STREAM_AFTER: return SITE_AFTER;
    case SIM_EVENT_WAIT:
    case SIM_TIMELINE_WAIT: return kind == 'S' ? SITE_PENDING : SITE_WAIT;
    case SIM_EVENT_DESTROY: return SITE_END;
    case SIM_HOOKS: break;
  }
  abort();
}

/* How the site of this number is to fail, or 0. */
static char plan_says(const plan *p, uint64_t number) {
  unsigned i;
  for (i = 0; i < p->count; i++)
    if (p->at[i] == number) return p->kind[i];
  return p->onwards != '\0' && number > p->at[p->count - 1] ? p->kind[p->count - 1] : '\0';
}

static void plan_print(const plan *p, char text[64]) {
  int length = snprintf(text, 64, "%c", p->manner);
  unsigned i;
  for (i = 0; i < p->count; i++)
    length += snprintf(text + length, (size_t)(64 - length), "%s%u%c", i > 0 ? "," : "",
                       (unsigned)p->at[i], p->kind[i]);
  if (p->onwards != '\0') (void)snprintf(text + length, (size_t)(64 - length), "%c", p->onwards);
}

static bool plan_read(const char *text, plan *p) {
  unsigned first = 0, second = 0;
  memset(p, 0, sizeof *p);
  (void)sscanf(text, "%c%u%c,%u%c", &p->manner, &first, &p->kind[0], &second, &p->kind[1]);
  p->at[0] = first;
  p->at[1] = second;
  p->count = second > 0 ? 2 : first > 0;
  p->onwards = strchr(text, '+') != NULL ? '+' : strchr(text, '*') != NULL ? '*' : '\0';
  return p->manner != '\0' && strchr("rgl", p->manner) != NULL;
}

#endif
