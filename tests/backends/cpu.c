/* The CPU runtime of backends/hostcache_cpu.h, and both of its parameter packs under a cache.

   Promises checked: the items of a stream run in order and exactly; streams do not wait for each
   other, and submitting waits for nothing; every wait, query and counter tells the truth; a refused
   lock is seen; memory is aligned, zero, counted and really locked; what fails has done nothing;
   errno stays; another process opens shared memory by its handle, and no other; a buffer that a
   stream still uses is not handed out, by counter or by event.

   Nothing depends on time: a gate is a function in a stream that returns when the test says so. */

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifndef _WIN32
#include <sys/resource.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

#include <cmocka.h>

/* ---- what the runtime gets its bookkeeping from ---------------------------------------------- */

static int mallocs_left = -1; /* so many succeed, then all fail; -1: none fails */

static void *scarce_malloc(size_t size) {
  if (mallocs_left == 0) {
    errno = ENOMEM;
    return NULL;
  }
  if (mallocs_left > 0) mallocs_left--;
  return malloc(size);
}

#define HOSTCACHE_CPU_MALLOC(size) scarce_malloc(size)
#define HOSTCACHE_CPU_FREE(ptr) free(ptr)
#define HOSTCACHE_CPU_IMPLEMENTATION
#define HOSTCACHE_IMPLEMENTATION

#define HC_NAME counted
#include "backends/hostcache_cpu.h"
#include "hostcache.h"

#define HC_NAME evented
#define HC_CPU_EVENTS
#include "backends/hostcache_cpu.h"
#include "hostcache.h"

#if defined HC_CPU_EVENTS || defined HC_STREAM_T || defined HC_MEM_ALLOC
#error "a switch or a parameter outlived its inclusion"
#endif

/* Both kinds of result are 0 when all went well. */
#define works(call) assert_int_equal(call, 0)

/* Sanitizers make mlock do nothing, so nothing can be learnt there about locking. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define LOCKS_ARE_REAL 0
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || \
    __has_feature(memory_sanitizer)
#define LOCKS_ARE_REAL 0
#endif
#endif
#if !defined LOCKS_ARE_REAL
#define LOCKS_ARE_REAL 1
#endif

/* ---- gates ----------------------------------------------------------------------------------- */

typedef struct gate {
  pthread_mutex_t lock;
  pthread_cond_t changed;
  int arrived, opened;
} gate;

/* Every gate that a test ever made. A test that fails leaves before it has opened its own, and its
   stream must not hang for it. */
static gate gates[128];
static int gates_made;

static gate *gate_make(void) {
  gate *g = &gates[gates_made++];
  assert_true(gates_made <= 128);
  pthread_mutex_init(&g->lock, NULL);
  pthread_cond_init(&g->changed, NULL);
  return g;
}

/* Runs in a stream: stays until the gate is opened. */
static void gate_hold(void *argument) {
  gate *g = (gate *)argument;
  pthread_mutex_lock(&g->lock);
  g->arrived = 1;
  pthread_cond_broadcast(&g->changed);
  while (!g->opened) pthread_cond_wait(&g->changed, &g->lock);
  pthread_mutex_unlock(&g->lock);
}

/* Holds the stream up. On return its worker stands at the gate. */
static gate *gate_close(hostcache_cpu_stream *stream) {
  gate *g = gate_make();
  works(hostcache_cpu_host(stream, gate_hold, g));
  pthread_mutex_lock(&g->lock);
  while (!g->arrived) pthread_cond_wait(&g->changed, &g->lock);
  pthread_mutex_unlock(&g->lock);
  return g;
}

static void gate_open(gate *g) {
  pthread_mutex_lock(&g->lock);
  g->opened = 1;
  pthread_cond_broadcast(&g->changed);
  pthread_mutex_unlock(&g->lock);
}

/* ---- fixture --------------------------------------------------------------------------------- */

enum { STREAMS = 2 };

typedef struct device {
  hostcache_cpu *cpu;
  hostcache_cpu_stream *streams[STREAMS];
} device;

static int device_open(void **state) {
  device *d = (device *)calloc(1, sizeof *d);
  int i;
  if (!d || hostcache_cpu_open(&d->cpu, NULL) != HOSTCACHE_CPU_OK) return -1;
  for (i = 0; i < STREAMS; i++) {
    if (hostcache_cpu_stream_create(d->cpu, &d->streams[i]) != HOSTCACHE_CPU_OK) return -1;
  }
  *state = d;
  return 0;
}

/* Every test must have given back what it got. */
static int device_close(void **state) {
  device *d = (device *)*state;
  int i, failed = 0;
  for (i = 0; i < gates_made; i++) gate_open(&gates[i]);
  for (i = 0; i < STREAMS; i++) {
    failed |= hostcache_cpu_stream_destroy(d->streams[i]) != HOSTCACHE_CPU_OK;
  }
  failed |= hostcache_cpu_close(d->cpu) != HOSTCACHE_CPU_OK;
  free(d);
  return failed ? -1 : 0;
}

static hostcache_cpu_figures figures_of(hostcache_cpu *cpu) {
  hostcache_cpu_figures figures;
  works(hostcache_cpu_get_figures(cpu, &figures));
  return figures;
}

/* ---- streams --------------------------------------------------------------------------------- */

enum { MANY = 5000 };

typedef struct journal { /* written by one stream */
  int next;
  int entries[MANY];
} journal;

typedef struct entry {
  journal *to;
  int number;
} entry;

static void journal_write(void *argument) {
  entry *e = (entry *)argument;
  e->to->entries[e->to->next++] = e->number;
}

static void items_run_in_order_however_many_wait(void **state) {
  device *d = (device *)*state;
  journal *j = (journal *)calloc(1, sizeof *j);
  entry *entries = (entry *)calloc(MANY, sizeof *entries);
  gate *g;
  int i;
  assert_non_null(j);
  assert_non_null(entries);
  g = gate_close(d->streams[0]);
  for (i = 0; i < MANY; i++) { /* the queue grows many times, and no submission waits */
    entries[i].to = j;
    entries[i].number = i;
    works(hostcache_cpu_host(d->streams[0], journal_write, &entries[i]));
  }
  assert_int_equal(j->next, 0);
  gate_open(g);
  works(hostcache_cpu_stream_wait(d->streams[0]));
  assert_int_equal(j->next, MANY);
  for (i = 0; i < MANY; i++) assert_int_equal(j->entries[i], i);
  free(entries);
  free(j);
}

static void a_queue_that_wraps_keeps_its_order_when_it_grows(void **state) {
  device *d = (device *)*state;
  journal *j = (journal *)calloc(1, sizeof *j);
  entry entries[200];
  gate *g;
  int i;
  assert_non_null(j);
  for (i = 0; i < 200; i++) {
    entries[i].to = j;
    entries[i].number = i;
  }
  for (i = 0; i < 50; i++) { /* so that what waits begins in the middle of the first ring of 64 */
    works(hostcache_cpu_host(d->streams[0], journal_write, &entries[i]));
  }
  works(hostcache_cpu_stream_wait(d->streams[0]));
  g = gate_close(d->streams[0]);
  for (i = 50; i < 200; i++) {
    works(hostcache_cpu_host(d->streams[0], journal_write, &entries[i]));
  }
  gate_open(g);
  works(hostcache_cpu_stream_wait(d->streams[0]));
  for (i = 0; i < 200; i++) assert_int_equal(j->entries[i], i);
  free(j);
}

static void copies_and_fills_touch_their_bytes_and_no_others(void **state) {
  static const size_t sizes[] = {1, 2, 63, 64, 65, 4095, 4096, 4097, 100000};
  device *d = (device *)*state;
  size_t i, k;
  for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    const size_t n = sizes[i];
    unsigned char *from = (unsigned char *)malloc(n), *to = (unsigned char *)malloc(n + 2);
    void *middle;
    assert_non_null(from);
    assert_non_null(to);
    works(hostcache_cpu_device_alloc(d->cpu, n, &middle));
    for (k = 0; k < n; k++) from[k] = (unsigned char)(k * 7 + i);
    memset(to, 0xEE, n + 2);
    works(hostcache_cpu_fill(d->streams[0], middle, 0x55, n));
    works(hostcache_cpu_copy(d->streams[0], middle, from, n - 1));
    works(hostcache_cpu_copy(d->streams[0], to + 1, middle, n));
    works(hostcache_cpu_stream_wait(d->streams[0]));
    assert_memory_equal(to + 1, from, n - 1);
    assert_int_equal(to[n], 0x55);
    assert_int_equal(to[0], 0xEE);
    assert_int_equal(to[n + 1], 0xEE);
    works(hostcache_cpu_device_free(d->cpu, middle));
    free(from);
    free(to);
  }
  works(hostcache_cpu_copy(d->streams[0], NULL, NULL, 0));
  works(hostcache_cpu_fill(d->streams[0], NULL, 1, 0));
  works(hostcache_cpu_stream_wait(d->streams[0]));
}

static void the_counter_tells_what_was_submitted_and_what_has_run(void **state) {
  device *d = (device *)*state;
  char bytes[4] = {0};
  gate *g;
  assert_int_equal(hostcache_cpu_submitted(d->streams[0]), 0);
  assert_int_equal(hostcache_cpu_reached(d->streams[0]), 0);
  g = gate_close(d->streams[0]);
  works(hostcache_cpu_fill(d->streams[0], bytes, 1, 4));
  works(hostcache_cpu_fill(d->streams[0], bytes, 2, 4));
  assert_int_equal(hostcache_cpu_submitted(d->streams[0]), 3);
  assert_int_equal(hostcache_cpu_reached(d->streams[0]), 0);
  gate_open(g);
  works(hostcache_cpu_value_wait(d->streams[0], 3));
  assert_int_equal(hostcache_cpu_reached(d->streams[0]), 3);
  assert_int_equal(bytes[3], 2);
}

static void a_stream_that_hangs_does_not_hold_up_another(void **state) {
  device *d = (device *)*state;
  char byte = 0;
  gate *g;
  g = gate_close(d->streams[0]);
  works(hostcache_cpu_fill(d->streams[1], &byte, 9, 1));
  works(hostcache_cpu_stream_wait(d->streams[1]));
  assert_int_equal(byte, 9);
  assert_int_equal(hostcache_cpu_reached(d->streams[0]), 0);
  gate_open(g);
  works(hostcache_cpu_stream_wait(d->streams[0]));
}

typedef struct waiter {
  hostcache_cpu_stream *stream;
  uint64_t value;
  hostcache_cpu_result result;
} waiter;

static void *waiter_main(void *argument) {
  waiter *w = (waiter *)argument;
  w->result = hostcache_cpu_value_wait(w->stream, w->value);
  return NULL;
}

/* Returns when so many threads sleep in a wait for the stream. */
static void await_sleepers(hostcache_cpu_stream *stream, uint64_t count) {
  uint64_t waiting;
  do {
    sched_yield();
    hostcache_cpu_lock(&stream->lock);
    waiting = stream->waiting;
    hostcache_cpu_unlock(&stream->lock);
  } while (waiting < count);
}

static void a_wait_for_a_value_not_yet_submitted_ends_when_it_is_reached(void **state) {
  device *d = (device *)*state;
  pthread_t threads[2];
  waiter waiters[2];
  char byte = 0;
  int i;
  for (i = 0; i < 2; i++) {
    waiters[i].stream = d->streams[0];
    waiters[i].value = (uint64_t)i + 1;
    waiters[i].result = HOSTCACHE_CPU_PENDING;
    assert_int_equal(pthread_create(&threads[i], NULL, waiter_main, &waiters[i]), 0);
  }
  await_sleepers(d->streams[0], 2);
  works(hostcache_cpu_fill(d->streams[0], &byte, 1, 1));
  pthread_join(threads[0], NULL); /* woken by the first item, while the other sleeps on */
  works(waiters[0].result);
  await_sleepers(d->streams[0], 1);
  works(hostcache_cpu_fill(d->streams[0], &byte, 2, 1));
  pthread_join(threads[1], NULL);
  works(waiters[1].result);
}

static void destroying_a_stream_runs_all_that_was_submitted(void **state) {
  device *d = (device *)*state;
  hostcache_cpu_stream *stream;
  char bytes[100] = {0};
  gate *g;
  size_t i;
  works(hostcache_cpu_stream_create(d->cpu, &stream));
  g = gate_close(stream);
  for (i = 0; i < 100; i++) {
    works(hostcache_cpu_fill(stream, bytes + i, 3, 1));
  }
  gate_open(g);
  works(hostcache_cpu_stream_destroy(stream));
  for (i = 0; i < 100; i++) assert_int_equal(bytes[i], 3);
  works(hostcache_cpu_stream_destroy(NULL));
}

static void a_bounded_queue_refuses_what_is_too_much_and_does_nothing(void **state) {
  hostcache_cpu_options options = {0, 2};
  hostcache_cpu_event *event;
  hostcache_cpu_stream *stream;
  hostcache_cpu *cpu;
  char bytes[3] = {0};
  gate *g;
  (void)state;
  works(hostcache_cpu_open(&cpu, &options));
  works(hostcache_cpu_stream_create(cpu, &stream));
  works(hostcache_cpu_event_create(cpu, &event));
  g = gate_close(stream); /* runs, so it does not wait in the queue */
  works(hostcache_cpu_fill(stream, bytes, 1, 1));
  works(hostcache_cpu_fill(stream, bytes + 1, 1, 1));
  assert_int_equal(hostcache_cpu_fill(stream, bytes + 2, 1, 1), HOSTCACHE_CPU_ERR_QUEUE_FULL);
  assert_int_equal(hostcache_cpu_event_record(event, stream), HOSTCACHE_CPU_ERR_QUEUE_FULL);
  assert_int_equal(hostcache_cpu_event_query(event), HOSTCACHE_CPU_OK); /* never recorded */
  assert_int_equal(hostcache_cpu_submitted(stream), 3);
  gate_open(g);
  works(hostcache_cpu_stream_wait(stream));
  assert_int_equal(bytes[1], 1);
  assert_int_equal(bytes[2], 0);
  works(hostcache_cpu_event_destroy(event));
  works(hostcache_cpu_stream_destroy(stream));
  works(hostcache_cpu_close(cpu));
}

typedef struct inside { /* what a function that a stream calls gets from its own stream */
  hostcache_cpu_stream *stream;
  hostcache_cpu_event *event;
  hostcache_cpu_result stream_wait, value_wait, past_wait, event_wait, destroy, copy;
} inside;

static void wait_for_own_stream(void *argument) {
  inside *i = (inside *)argument;
  i->stream_wait = hostcache_cpu_stream_wait(i->stream);
  i->value_wait = hostcache_cpu_value_wait(i->stream, hostcache_cpu_reached(i->stream) + 1);
  i->past_wait = hostcache_cpu_value_wait(i->stream, hostcache_cpu_reached(i->stream));
  i->event_wait = hostcache_cpu_event_wait(i->event);
  i->destroy = hostcache_cpu_stream_destroy(i->stream);
  i->copy = hostcache_cpu_copy(i->stream, NULL, NULL, 0);
}

static void a_function_that_would_wait_for_its_own_stream_is_told(void **state) {
  device *d = (device *)*state;
  inside i;
  gate *g;
  memset(&i, 0, sizeof i);
  i.stream = d->streams[0];
  works(hostcache_cpu_event_create(d->cpu, &i.event));
  g = gate_close(i.stream);
  works(hostcache_cpu_host(i.stream, wait_for_own_stream, &i));
  works(hostcache_cpu_event_record(i.event, i.stream));
  gate_open(g);
  works(hostcache_cpu_stream_wait(i.stream));
  assert_int_equal(i.stream_wait, HOSTCACHE_CPU_ERR_DEADLOCK);
  assert_int_equal(i.value_wait, HOSTCACHE_CPU_ERR_DEADLOCK);
  works(i.past_wait);
  assert_int_equal(i.event_wait, HOSTCACHE_CPU_ERR_DEADLOCK);
  assert_int_equal(i.destroy, HOSTCACHE_CPU_ERR_DEADLOCK);
  works(i.copy); /* submitting is fine */
  works(hostcache_cpu_stream_wait(i.stream));
  works(hostcache_cpu_event_destroy(i.event));
}

/* ---- events ---------------------------------------------------------------------------------- */

static void an_event_is_complete_when_what_was_submitted_before_it_has_run(void **state) {
  device *d = (device *)*state;
  hostcache_cpu_event *event;
  gate *before, *after;
  works(hostcache_cpu_event_create(d->cpu, &event));
  assert_int_equal(hostcache_cpu_event_query(event), HOSTCACHE_CPU_OK); /* never recorded */
  works(hostcache_cpu_event_wait(event));
  before = gate_close(d->streams[0]);
  works(hostcache_cpu_event_record(event, d->streams[0]));
  after = gate_make();
  works(hostcache_cpu_host(d->streams[0], gate_hold, after));
  assert_int_equal(hostcache_cpu_event_query(event), HOSTCACHE_CPU_PENDING);
  gate_open(before);
  works(hostcache_cpu_event_wait(event)); /* does not wait for `after` */
  assert_int_equal(hostcache_cpu_event_query(event), HOSTCACHE_CPU_OK);
  gate_open(after);
  works(hostcache_cpu_stream_wait(d->streams[0]));
  works(hostcache_cpu_event_destroy(event));
  works(hostcache_cpu_event_destroy(NULL));
}

static void an_event_recorded_again_stands_for_its_last_marker(void **state) {
  device *d = (device *)*state;
  hostcache_cpu_event *event;
  gate *slow, *fast;
  works(hostcache_cpu_event_create(d->cpu, &event));
  slow = gate_close(d->streams[0]);
  fast = gate_close(d->streams[1]);
  works(hostcache_cpu_event_record(event, d->streams[0]));
  works(hostcache_cpu_event_record(event, d->streams[1]));
  assert_int_equal(hostcache_cpu_event_query(event), HOSTCACHE_CPU_PENDING);
  gate_open(fast);
  works(hostcache_cpu_event_wait(event));
  gate_open(slow); /* the first marker comes late, and must not undo the second */
  works(hostcache_cpu_stream_wait(d->streams[0]));
  assert_int_equal(hostcache_cpu_event_query(event), HOSTCACHE_CPU_OK);

  slow = gate_close(d->streams[0]); /* and the other way about: the first marker is not enough */
  works(hostcache_cpu_event_record(event, d->streams[1]));
  works(hostcache_cpu_event_record(event, d->streams[0]));
  works(hostcache_cpu_stream_wait(d->streams[1]));
  assert_int_equal(hostcache_cpu_event_query(event), HOSTCACHE_CPU_PENDING);
  gate_open(slow);
  works(hostcache_cpu_event_wait(event));
  works(hostcache_cpu_event_destroy(event));
  works(hostcache_cpu_stream_wait(d->streams[0]));
}

static void an_event_destroyed_early_lives_until_its_marker_has_run(void **state) {
  device *d = (device *)*state;
  hostcache_cpu_event *event;
  gate *g;
  works(hostcache_cpu_event_create(d->cpu, &event));
  g = gate_close(d->streams[0]);
  works(hostcache_cpu_event_record(event, d->streams[0]));
  works(hostcache_cpu_event_destroy(event));
  assert_int_equal(figures_of(d->cpu).events, 1);
  gate_open(g);
  works(hostcache_cpu_stream_wait(d->streams[0]));
  assert_int_equal(figures_of(d->cpu).events, 0);
}

static void *wait_for_event(void *event) {
  static char failed;
  return hostcache_cpu_event_wait((hostcache_cpu_event *)event) == HOSTCACHE_CPU_OK ? NULL
                                                                                    : &failed;
}

/* Who waits for an event sleeps on what its stream consists of. A cache does that with a stream
   that it was told to forget, and that its user destroys at will. */
static void a_stream_may_be_destroyed_while_its_event_is_waited_for(void **state) {
  device *d = (device *)*state;
  hostcache_cpu_stream *stream;
  hostcache_cpu_event *event;
  pthread_t sleeper;
  void *failed;
  int round;
  works(hostcache_cpu_event_create(d->cpu, &event));
  for (round = 0; round < 40; round++) {
    gate *g;
    works(hostcache_cpu_stream_create(d->cpu, &stream));
    g = gate_close(stream);
    works(hostcache_cpu_event_record(event, stream));
    assert_int_equal(pthread_create(&sleeper, NULL, wait_for_event, event), 0);
    if (round % 2) await_sleepers(stream, 1); /* else it may still be on its way */
    gate_open(g);
    works(hostcache_cpu_stream_destroy(stream));
    assert_int_equal(pthread_join(sleeper, &failed), 0);
    assert_null(failed);
    works(hostcache_cpu_event_wait(event)); /* also long after */
  }
  works(hostcache_cpu_event_destroy(event));
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void memory_is_aligned_zero_and_counted(void **state) {
  static const size_t sizes[] = {1, 4096, 4097, 65536, 1 << 20, (2 << 20) + 4096};
  device *d = (device *)*state;
  size_t s, alignment, i;
  for (s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
    for (alignment = 1; alignment <= (size_t)8 << 20; alignment *= 2) {
      hostcache_cpu_segment segment;
      hostcache_cpu_figures figures;
      unsigned char *bytes;
      void *ptr;
      works(hostcache_cpu_mem_alloc(d->cpu, sizes[s], alignment, &ptr, &segment));
      bytes = (unsigned char *)ptr;
      assert_int_equal((uintptr_t)ptr & (alignment - 1), 0);
      assert_true(segment.bytes >= sizes[s] && segment.bytes < sizes[s] + d->cpu->page);
      for (i = 0; i < sizes[s]; i += 511) assert_int_equal(bytes[i], 0);
      bytes[sizes[s] - 1] = 1;
      figures = figures_of(d->cpu);
      assert_int_equal(figures.locked_bytes + figures.unlocked_bytes, segment.bytes);
      assert_int_equal(segment.locked ? figures.locked_bytes : figures.unlocked_bytes,
                       segment.bytes);
      works(hostcache_cpu_mem_free(d->cpu, ptr, &segment));
      assert_null(segment.base);
    }
  }
  assert_int_equal(figures_of(d->cpu).locked_bytes + figures_of(d->cpu).unlocked_bytes, 0);
}

/* More than there is: out of memory, and nothing has changed. */
static void impossible_sizes_are_out_of_memory(void **state) {
  static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 4096, SIZE_MAX / 2 + 1,
                                 SIZE_MAX / 4};
  device *d = (device *)*state;
  hostcache_cpu_segment segment;
  size_t i;
  void *ptr = &segment;
  for (i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
    assert_int_equal(hostcache_cpu_mem_alloc(d->cpu, sizes[i], 4096, &ptr, &segment),
                     HOSTCACHE_CPU_ERR_OUT_OF_MEMORY);
    assert_null(ptr);
    assert_null(segment.base);
  }
  assert_int_equal(hostcache_cpu_mem_alloc(d->cpu, 4096, SIZE_MAX / 2 + 1, &ptr, &segment),
                   HOSTCACHE_CPU_ERR_OUT_OF_MEMORY);
  assert_int_equal(figures_of(d->cpu).locked_bytes + figures_of(d->cpu).unlocked_bytes, 0);
}

#ifdef __linux__
/* What the kernel itself counts as locked for this process, in bytes. */
static size_t kernel_locked(void) {
  FILE *status = fopen("/proc/self/status", "r");
  char line[256];
  unsigned long kib = 0;
  assert_non_null(status);
  while (fgets(line, sizeof line, status)) {
    if (sscanf(line, "VmLck: %lu", &kib) == 1) break;
  }
  fclose(status);
  return (size_t)kib * 1024;
}

static void memory_is_really_locked(void **state) {
  device *d = (device *)*state;
  const size_t before = kernel_locked();
  hostcache_cpu_segment segment;
  void *ptr;
  if (!LOCKS_ARE_REAL) skip();
  works(hostcache_cpu_mem_alloc(d->cpu, 1 << 20, 4096, &ptr, &segment));
  assert_int_equal(kernel_locked() - before, segment.locked ? (size_t)1 << 20 : 0);
  works(hostcache_cpu_mem_free(d->cpu, ptr, &segment));
  assert_int_equal(kernel_locked(), before);
}
#endif

/* ---- what needs a process that is refused things --------------------------------------------- */

#ifndef _WIN32

#include "limited_child.h"

enum { KIB = 1024 };

static int a_refusal_is_seen(void) {
  hostcache_cpu_segment small, large;
  hostcache_cpu_figures f = {0, 0, 0, 0, 0, 0, 0, 0, 0};
  hostcache_cpu *cpu;
  void *first, *second;
  MUST(hostcache_cpu_open(&cpu, NULL) == HOSTCACHE_CPU_OK);
  MUST(hostcache_cpu_mem_alloc(cpu, 32 * KIB, 4096, &first, &small) == HOSTCACHE_CPU_OK);
  MUST(small.locked == 1);
  errno = 0;
  MUST(hostcache_cpu_mem_alloc(cpu, 128 * KIB, 4096, &second, &large) == HOSTCACHE_CPU_OK);
  MUST(errno == 0);
  MUST(large.locked == 0);
  memset(second, 1, 128 * KIB); /* usable all the same */
  MUST(hostcache_cpu_get_figures(cpu, &f) == HOSTCACHE_CPU_OK);
  MUST(f.locked_bytes == 32 * KIB && f.unlocked_bytes == 128 * KIB);
  MUST(f.locks_granted == 1 && f.locks_refused == 1);
  MUST(f.lock_error == ENOMEM || f.lock_error == EPERM || f.lock_error == EAGAIN);
  MUST(hostcache_cpu_close(cpu) == HOSTCACHE_CPU_ERR_BUSY);
  MUST(hostcache_cpu_mem_free(cpu, second, &large) == HOSTCACHE_CPU_OK);
  MUST(hostcache_cpu_mem_free(cpu, first, &small) == HOSTCACHE_CPU_OK);
  MUST(hostcache_cpu_get_figures(cpu, &f) == HOSTCACHE_CPU_OK);
  MUST(f.locked_bytes == 0 && f.unlocked_bytes == 0 && f.locks_refused == 1);
  MUST(hostcache_cpu_close(cpu) == HOSTCACHE_CPU_OK);
  return 0;
}

static void a_refused_lock_is_seen_and_the_memory_usable(void **state) {
  (void)state;
  if (!LOCKS_ARE_REAL) skip();
  in_a_limited_child(a_refusal_is_seen, 64 * KIB, 64 * KIB);
}

static int a_required_lock_fails(void) {
  hostcache_cpu_options options = {1, 0};
  hostcache_cpu_segment segment;
  hostcache_cpu_figures f = {0, 0, 0, 0, 0, 0, 0, 0, 0};
  hostcache_cpu *cpu;
  void *ptr;
  MUST(hostcache_cpu_open(&cpu, &options) == HOSTCACHE_CPU_OK);
  MUST(hostcache_cpu_mem_alloc(cpu, 128 * KIB, 4096, &ptr, &segment) ==
       HOSTCACHE_CPU_ERR_LOCK_REFUSED);
  MUST(ptr == NULL && segment.base == NULL);
  MUST(hostcache_cpu_get_figures(cpu, &f) == HOSTCACHE_CPU_OK);
  MUST(f.locks_refused == 1 && f.unlocked_bytes == 0 && f.locked_bytes == 0);
  MUST(hostcache_cpu_mem_alloc(cpu, 32 * KIB, 4096, &ptr, &segment) == HOSTCACHE_CPU_OK);
  MUST(segment.locked == 1);
  MUST(hostcache_cpu_mem_free(cpu, ptr, &segment) == HOSTCACHE_CPU_OK);
  MUST(hostcache_cpu_close(cpu) == HOSTCACHE_CPU_OK);
  return 0;
}

static void a_required_lock_that_is_refused_gives_no_memory(void **state) {
  (void)state;
  if (!LOCKS_ARE_REAL) skip();
  in_a_limited_child(a_required_lock_fails, 64 * KIB, 64 * KIB);
}

static int the_cache_makes_room(void) {
  hostcache_cpu_options options = {1, 0};
  hostcache_stats stats;
  hostcache_cpu *cpu;
  counted *cache;
  void *idle, *ptr;
  MUST(hostcache_cpu_open(&cpu, &options) == HOSTCACHE_CPU_OK);
  MUST(counted_create(&cache, NULL, cpu) == HOSTCACHE_OK);
  MUST(counted_alloc(cache, 32 * KIB, &idle) == HOSTCACHE_OK);
  MUST(counted_free(cache, idle) == HOSTCACHE_OK);
  /* Both would pass the limit. There is room for a red zone. */
  MUST(counted_alloc(cache, 48 * KIB - 64, &ptr) == HOSTCACHE_OK);
  MUST(counted_stats(cache, &stats) == HOSTCACHE_OK);
  MUST(stats.num_ooms == 0);
  MUST(stats.reserved_bytes.current == 48 * KIB);
  MUST(counted_alloc(cache, 128 * KIB, &idle) == HOSTCACHE_ERR_OUT_OF_MEMORY);
  MUST(idle == NULL);
  MUST(counted_free(cache, ptr) == HOSTCACHE_OK);
  MUST(counted_check(cache) == HOSTCACHE_OK);
  MUST(counted_destroy(cache) == HOSTCACHE_OK);
  MUST(hostcache_cpu_close(cpu) == HOSTCACHE_CPU_OK);
  return 0;
}

static void a_refused_lock_makes_the_cache_give_idle_memory_back(void **state) {
  (void)state;
  if (!LOCKS_ARE_REAL) skip();
  in_a_limited_child(the_cache_makes_room, 64 * KIB, 64 * KIB);
}

static int the_limit_rises_as_far_as_it_may(void) {
  errno = 77;
  MUST(hostcache_cpu_lock_limit() == 64 * KIB);
  MUST(hostcache_cpu_raise_lock_limit(1) == HOSTCACHE_CPU_OK);
  MUST(hostcache_cpu_lock_limit() == 64 * KIB);
  MUST(hostcache_cpu_raise_lock_limit(512 * KIB) == HOSTCACHE_CPU_OK);
  MUST(hostcache_cpu_lock_limit() == 512 * KIB);
  MUST(hostcache_cpu_raise_lock_limit(2048 * KIB) == HOSTCACHE_CPU_ERR_LOCK_REFUSED);
  MUST(hostcache_cpu_lock_limit() == 1024 * KIB);
  MUST(errno == 77);
  return 0;
}

static void the_lock_limit_is_raised_as_far_as_it_may(void **state) {
  (void)state;
  in_a_limited_child(the_limit_rises_as_far_as_it_may, 64 * KIB, 1024 * KIB);
}

static int no_thread_is_an_error(void) {
  struct rlimit limit = {0, 0};
  hostcache_cpu_stream *stream;
  hostcache_cpu_figures f = {0, 0, 0, 0, 0, 0, 0, 0, 0};
  hostcache_cpu *cpu;
  MUST(setrlimit(RLIMIT_NPROC, &limit) == 0);
  MUST(hostcache_cpu_open(&cpu, NULL) == HOSTCACHE_CPU_OK);
  errno = 77;
  MUST(hostcache_cpu_stream_create(cpu, &stream) == HOSTCACHE_CPU_ERR_THREAD);
  MUST(errno == 77 && stream == NULL);
  MUST(hostcache_cpu_get_figures(cpu, &f) == HOSTCACHE_CPU_OK);
  MUST(f.streams == 0);
  MUST(hostcache_cpu_close(cpu) == HOSTCACHE_CPU_OK);
  return 0;
}

static void a_thread_that_cannot_be_had_is_an_error(void **state) {
  (void)state;
  in_a_limited_child(no_thread_is_an_error, 64 * KIB, 64 * KIB);
}

#endif

/* ---- failures -------------------------------------------------------------------------------- */

/* Everything that gets bookkeeping, once; 1 if all went well. */
static int use_everything(void) {
  hostcache_cpu *cpu = NULL;
  hostcache_cpu_stream *stream = NULL;
  hostcache_cpu_event *event = NULL;
  void *memory = NULL;
  int i, submitted = 0, ok = 1;
  gate *g;
  ok = ok && hostcache_cpu_open(&cpu, NULL) == HOSTCACHE_CPU_OK;
  ok = ok && hostcache_cpu_stream_create(cpu, &stream) == HOSTCACHE_CPU_OK;
  ok = ok && hostcache_cpu_event_create(cpu, &event) == HOSTCACHE_CPU_OK;
  ok = ok && hostcache_cpu_device_alloc(cpu, 64, &memory) == HOSTCACHE_CPU_OK;
  if (ok) {
    g = gate_close(stream);
    for (i = 0; ok && i < 300; i++) { /* the queue grows from 64 to 512 items */
      ok = hostcache_cpu_fill(stream, memory, 1, 64) == HOSTCACHE_CPU_OK;
      submitted += ok;
    }
    ok = ok && hostcache_cpu_event_record(event, stream) == HOSTCACHE_CPU_OK;
    assert_int_equal(hostcache_cpu_submitted(stream), 1 + submitted + ok);
    gate_open(g);
    works(hostcache_cpu_stream_wait(stream));
    assert_int_equal(hostcache_cpu_event_query(event), HOSTCACHE_CPU_OK);
  }
  if (cpu) hostcache_cpu_device_free(cpu, memory);
  works(hostcache_cpu_event_destroy(event));
  works(hostcache_cpu_stream_destroy(stream));
  works(hostcache_cpu_close(cpu));
  return ok;
}

static void every_malloc_may_fail_and_nothing_is_left_behind(void **state) {
  int n = -1, ok;
  (void)state;
  do {
    mallocs_left = ++n;
    ok = use_everything();
    mallocs_left = -1;
  } while (!ok);
  assert_int_equal(n, 8); /* runtime, stream, ring, event, memory, and the ring grown three times */
}

static void nothing_closes_while_anything_is_alive(void **state) {
  hostcache_cpu_segment segment;
  hostcache_cpu_stream *stream;
  hostcache_cpu_event *event;
  hostcache_cpu *cpu;
  void *ptr;
  (void)state;
  works(hostcache_cpu_open(&cpu, NULL));
  works(hostcache_cpu_stream_create(cpu, &stream));
  assert_int_equal(hostcache_cpu_close(cpu), HOSTCACHE_CPU_ERR_BUSY);
  works(hostcache_cpu_stream_destroy(stream));
  works(hostcache_cpu_event_create(cpu, &event));
  assert_int_equal(hostcache_cpu_close(cpu), HOSTCACHE_CPU_ERR_BUSY);
  works(hostcache_cpu_event_destroy(event));
  works(hostcache_cpu_mem_alloc(cpu, 1, 1, &ptr, &segment));
  assert_int_equal(hostcache_cpu_close(cpu), HOSTCACHE_CPU_ERR_BUSY);
  works(hostcache_cpu_mem_free(cpu, ptr, &segment));
  works(hostcache_cpu_device_alloc(cpu, 1, &ptr));
  assert_int_equal(hostcache_cpu_close(cpu), HOSTCACHE_CPU_ERR_BUSY);
  works(hostcache_cpu_device_free(cpu, ptr));
  works(hostcache_cpu_close(cpu));
  works(hostcache_cpu_close(NULL));
}

static void bad_arguments_are_told(void **state) {
  device *d = (device *)*state;
  hostcache_cpu_figures figures;
  hostcache_cpu_segment segment;
  hostcache_cpu_stream *stream;
  hostcache_cpu_event *event;
  void *ptr;
  memset(&segment, 0, sizeof segment);
  assert_int_equal(hostcache_cpu_open(NULL, NULL), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_get_figures(NULL, &figures), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_get_figures(d->cpu, NULL), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_stream_create(NULL, &stream), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_stream_create(d->cpu, NULL), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_copy(NULL, &ptr, &ptr, 1), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_copy(d->streams[0], NULL, &ptr, 1), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_copy(d->streams[0], &ptr, NULL, 1), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_fill(NULL, &ptr, 0, 1), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_fill(d->streams[0], NULL, 0, 1), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_host(NULL, gate_hold, NULL), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_host(d->streams[0], NULL, NULL), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_stream_wait(NULL), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_value_wait(NULL, 0), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_event_create(NULL, &event), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_event_create(d->cpu, NULL), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_event_record(NULL, d->streams[0]), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_event_query(NULL), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_event_wait(NULL), HOSTCACHE_CPU_ERR_ARGUMENT);
  works(hostcache_cpu_event_create(d->cpu, &event));
  assert_int_equal(hostcache_cpu_event_record(event, NULL), HOSTCACHE_CPU_ERR_ARGUMENT);
  works(hostcache_cpu_event_destroy(event));
  assert_int_equal(hostcache_cpu_mem_alloc(NULL, 1, 1, &ptr, &segment), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_mem_alloc(d->cpu, 0, 1, &ptr, &segment),
                   HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_mem_alloc(d->cpu, 1, 0, &ptr, &segment),
                   HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_mem_alloc(d->cpu, 1, 3, &ptr, &segment),
                   HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_mem_alloc(d->cpu, 1, 1, NULL, &segment),
                   HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_mem_alloc(d->cpu, 1, 1, &ptr, NULL), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_mem_free(NULL, &ptr, &segment), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_mem_free(d->cpu, &ptr, &segment), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_device_alloc(NULL, 1, &ptr), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_device_alloc(d->cpu, 0, &ptr), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_device_alloc(d->cpu, 1, NULL), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_device_free(NULL, NULL), HOSTCACHE_CPU_ERR_ARGUMENT);
  works(hostcache_cpu_device_free(d->cpu, NULL));
}

static void errno_is_left_as_it_was(void **state) {
  hostcache_cpu_segment segment;
  hostcache_cpu_stream *stream;
  hostcache_cpu_event *event;
  hostcache_cpu *cpu;
  gate *g;
  void *ptr;
  int i;
  (void)state;
  errno = 77;
  works(hostcache_cpu_open(&cpu, NULL));
  works(hostcache_cpu_stream_create(cpu, &stream));
  works(hostcache_cpu_event_create(cpu, &event));
  assert_int_equal(hostcache_cpu_mem_alloc(cpu, SIZE_MAX / 4, 1, &ptr, &segment),
                   HOSTCACHE_CPU_ERR_OUT_OF_MEMORY);
  works(hostcache_cpu_mem_alloc(cpu, 65536, 65536, &ptr, &segment));
  g = gate_close(stream);
  mallocs_left = 0;
  for (i = 0; i < 64; i++) {
    works(hostcache_cpu_event_record(event, stream));
  }
  assert_int_equal(hostcache_cpu_event_record(event, stream), HOSTCACHE_CPU_ERR_OUT_OF_MEMORY);
  mallocs_left = -1;
  gate_open(g);
  works(hostcache_cpu_event_wait(event));
  works(hostcache_cpu_mem_free(cpu, ptr, &segment));
  works(hostcache_cpu_event_destroy(event));
  works(hostcache_cpu_stream_destroy(stream));
  works(hostcache_cpu_close(cpu));
  assert_int_equal(errno, 77);
}

/* ---- memory that processes share ------------------------------------------------------------- */

#ifdef __linux__

/* The part of the other process: finds what was written, and answers. 0: it was there. */
static int answer(const hostcache_cpu_handle *handle) {
  hostcache_cpu *cpu;
  void *ptr;
  if (hostcache_cpu_open(&cpu, NULL) != HOSTCACHE_CPU_OK) return 1;
  if (hostcache_cpu_shared_open(cpu, handle, &ptr) != HOSTCACHE_CPU_OK) return 2;
  if (strcmp((char *)ptr + 5000, "question") != 0) return 3;
  strcpy((char *)ptr + 5000, "answer");
  if (hostcache_cpu_close(cpu) != HOSTCACHE_CPU_ERR_BUSY) return 4;
  if (hostcache_cpu_shared_free(cpu, ptr) != HOSTCACHE_CPU_OK) return 5;
  return hostcache_cpu_close(cpu) == HOSTCACHE_CPU_OK ? 0 : 6;
}

static void another_process_opens_memory_by_its_handle(void **state) {
  device *d = (device *)*state;
  hostcache_cpu_handle handle;
  char *bytes;
  void *ptr;
  int status;
  pid_t child;
  works(hostcache_cpu_shared_alloc(d->cpu, 8000, &ptr));
  bytes = (char *)ptr;
  assert_int_equal(bytes[0] | bytes[8191], 0); /* whole pages */
  assert_int_equal(figures_of(d->cpu).shared_blocks, 1);
  works(hostcache_cpu_shared_handle(d->cpu, ptr, &handle));
  strcpy(bytes + 5000, "question");
  child = fork();
  assert_true(child >= 0);
  if (child == 0) _exit(answer(&handle));
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
  assert_string_equal(bytes + 5000, "answer");
  works(hostcache_cpu_shared_free(d->cpu, ptr));
  assert_int_equal(figures_of(d->cpu).shared_blocks, 0);
}

static void a_handle_of_memory_that_is_gone_opens_nothing(void **state) {
  device *d = (device *)*state;
  hostcache_cpu_handle gone, none, larger;
  void *ptr, *opened;
  works(hostcache_cpu_shared_alloc(d->cpu, 1, &ptr));
  works(hostcache_cpu_shared_handle(d->cpu, ptr, &gone));
  works(hostcache_cpu_shared_free(d->cpu, ptr));
  assert_int_equal(hostcache_cpu_shared_open(d->cpu, &gone, &opened), HOSTCACHE_CPU_ERR_SYSTEM);
  works(hostcache_cpu_shared_alloc(d->cpu, 1, &ptr)); /* has the same number */
  assert_int_equal(hostcache_cpu_shared_open(d->cpu, &gone, &opened), HOSTCACHE_CPU_ERR_SYSTEM);
  assert_null(opened);
  memset(&none, 0, sizeof none);
  assert_int_equal(hostcache_cpu_shared_open(d->cpu, &none, &opened), HOSTCACHE_CPU_ERR_SYSTEM);
  works(hostcache_cpu_shared_handle(d->cpu, ptr, &larger));
  larger.bytes *= 2; /* to touch what is behind a file's end is a signal */
  assert_int_equal(hostcache_cpu_shared_open(d->cpu, &larger, &opened), HOSTCACHE_CPU_ERR_SYSTEM);
  works(hostcache_cpu_shared_free(d->cpu, ptr));
}

static void memory_that_was_opened_outlives_who_made_it(void **state) {
  device *d = (device *)*state;
  hostcache_cpu_handle handle;
  void *ptr, *opened;
  works(hostcache_cpu_shared_alloc(d->cpu, 1, &ptr));
  works(hostcache_cpu_shared_handle(d->cpu, ptr, &handle));
  works(hostcache_cpu_shared_open(d->cpu, &handle, &opened));
  assert_ptr_not_equal(opened, ptr);
  *(char *)ptr = 'x';
  works(hostcache_cpu_shared_free(d->cpu, ptr));
  assert_int_equal(*(char *)opened, 'x');
  assert_int_equal(hostcache_cpu_shared_handle(d->cpu, opened, &handle),
                   HOSTCACHE_CPU_ERR_ARGUMENT);
  works(hostcache_cpu_shared_free(d->cpu, opened));
}

/* The number that the next file gets: higher if one was left open. */
static int next_file(void) {
  const int file = dup(1);
  close(file);
  return file;
}

static void wrong_calls_about_shared_memory_are_told(void **state) {
  device *d = (device *)*state;
  hostcache_cpu_handle handle;
  void *ptr, *kept;
  int other, file;
  assert_int_equal(hostcache_cpu_shared_alloc(NULL, 1, &ptr), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_shared_alloc(d->cpu, 0, &ptr), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_shared_alloc(d->cpu, 1, NULL), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_shared_alloc(d->cpu, SIZE_MAX, &ptr),
                   HOSTCACHE_CPU_ERR_OUT_OF_MEMORY);
  assert_int_equal(hostcache_cpu_shared_handle(d->cpu, &other, &handle),
                   HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_shared_handle(d->cpu, NULL, &handle), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_shared_open(d->cpu, NULL, &ptr), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_shared_free(d->cpu, &other), HOSTCACHE_CPU_ERR_ARGUMENT);
  assert_int_equal(hostcache_cpu_shared_free(NULL, NULL), HOSTCACHE_CPU_ERR_ARGUMENT);
  works(hostcache_cpu_shared_free(d->cpu, NULL));
  works(hostcache_cpu_shared_alloc(d->cpu, 1, &ptr));
  kept = ptr;
  file = next_file();
  works(hostcache_cpu_shared_handle(d->cpu, ptr, &handle));
  mallocs_left = 0;
  errno = 77;
  assert_int_equal(hostcache_cpu_shared_alloc(d->cpu, 1, &ptr), HOSTCACHE_CPU_ERR_OUT_OF_MEMORY);
  assert_int_equal(hostcache_cpu_shared_open(d->cpu, &handle, &ptr),
                   HOSTCACHE_CPU_ERR_OUT_OF_MEMORY);
  mallocs_left = -1;
  assert_int_equal(errno, 77);
  assert_int_equal(next_file(), file);
  assert_int_equal(figures_of(d->cpu).shared_blocks, 1);
  works(hostcache_cpu_shared_free(d->cpu, kept));
}

#endif

static void every_code_has_a_text_of_its_own(void **state) {
  int i, k;
  (void)state;
  for (i = -9; i <= 1; i++) {
    const char *text = hostcache_cpu_result_string((hostcache_cpu_result)i);
    assert_string_not_equal(text, hostcache_cpu_result_string((hostcache_cpu_result)-100));
    for (k = -9; k < i; k++) {
      assert_string_not_equal(text, hostcache_cpu_result_string((hostcache_cpu_result)k));
    }
  }
}

/* ---- under a cache: both packs --------------------------------------------------------------- */

/* The two caches behind one set of functions, so that each test below runs on both. */
typedef struct pack {
  void *(*create)(hostcache_cpu *cpu);
  hostcache_result (*alloc)(void *cache, size_t size, void **ptr);
  hostcache_result (*record)(void *cache, void *ptr, hostcache_cpu_stream *stream);
  hostcache_result (*release)(void *cache, void *ptr);
  hostcache_result (*synchronize)(void *cache);
  hostcache_result (*forget)(void *cache, hostcache_cpu_stream *stream);
  hostcache_result (*stats)(void *cache, hostcache_stats *stats);
  hostcache_result (*check)(void *cache);
  hostcache_result (*destroy)(void *cache);
  int (*locked)(void *cache, void *ptr);
} pack;

#define PACK(name)                                                                             \
  static void *name##_make(hostcache_cpu *cpu) {                                               \
    name *cache;                                                                               \
    hostcache_config config = HOSTCACHE_CONFIG_INIT;                                           \
    config.segment_bytes = 4096; /* so that blocks share none */                               \
    return name##_create(&cache, &config, cpu) == HOSTCACHE_OK ? cache : NULL;                 \
  }                                                                                            \
  static hostcache_result name##_get(void *cache, size_t size, void **ptr) {                   \
    return name##_alloc((name *)cache, size, ptr);                                             \
  }                                                                                            \
  static hostcache_result name##_use(void *cache, void *ptr, hostcache_cpu_stream *stream) {   \
    return name##_record_stream((name *)cache, ptr, stream);                                   \
  }                                                                                            \
  static hostcache_result name##_give(void *cache, void *ptr) {                                \
    return name##_free((name *)cache, ptr);                                                    \
  }                                                                                            \
  static hostcache_result name##_settle(void *cache) {                                         \
    return name##_synchronize((name *)cache, UINT64_MAX);                                      \
  }                                                                                            \
  static hostcache_result name##_drop(void *cache, hostcache_cpu_stream *stream) {             \
    return name##_forget_stream((name *)cache, stream);                                        \
  }                                                                                            \
  static hostcache_result name##_figures(void *cache, hostcache_stats *stats) {                \
    return name##_stats((name *)cache, stats);                                                 \
  }                                                                                            \
  static hostcache_result name##_verify(void *cache) { return name##_check((name *)cache); }   \
  static hostcache_result name##_end(void *cache) { return name##_destroy((name *)cache); }    \
  static int name##_locked(void *cache, void *ptr) {                                           \
    return name##_block_segment(name##_find((name *)cache, ptr), NULL)->locked;                \
  }                                                                                            \
  static const pack name##_pack = {name##_make,   name##_get,   name##_use,     name##_give,   \
                                   name##_settle, name##_drop,  name##_figures, name##_verify, \
                                   name##_end,    name##_locked};

PACK(counted)
PACK(evented)

static const pack *const packs[] = {&counted_pack, &evented_pack};

static void a_freed_buffer_is_not_handed_out_while_a_stream_uses_it(void **state) {
  device *d = (device *)*state;
  int i;
  for (i = 0; i < 2; i++) {
    const pack *p = packs[i];
    void *cache = p->create(d->cpu), *a, *b, *c;
    unsigned char copied[4096];
    hostcache_stats stats;
    gate *g;
    assert_non_null(cache);
    works(p->alloc(cache, 4096, &a));
    memset(a, 0x11, 4096);
    g = gate_close(d->streams[0]);
    works(hostcache_cpu_copy(d->streams[0], copied, a, 4096));
    works(p->record(cache, a, d->streams[0]));
    works(p->release(cache, a));
    works(p->alloc(cache, 4096, &b));
    assert_ptr_not_equal(a, b);
    memset(b, 0x22, 4096);
    assert_int_equal(p->destroy(cache), HOSTCACHE_ERR_BUSY);
    gate_open(g);
    works(p->synchronize(cache));
    assert_int_equal(copied[0], 0x11);
    assert_int_equal(copied[4095], 0x11);
    works(p->alloc(cache, 4096, &c));
    assert_ptr_equal(a, c);
    works(p->release(cache, b));
    works(p->release(cache, c));
    works(p->stats(cache, &stats));
    assert_int_equal(stats.num_mem_alloc, 2);
    assert_int_equal(stats.num_event_record, 1);
    works(p->check(cache));
    works(p->destroy(cache));
  }
}

static void a_buffer_tells_whether_it_is_locked(void **state) {
  device *d = (device *)*state;
  int i;
  for (i = 0; i < 2; i++) {
    const pack *p = packs[i];
    void *cache = p->create(d->cpu), *ptr;
    assert_non_null(cache);
    works(p->alloc(cache, 100000, &ptr));
    assert_int_equal(p->locked(cache, ptr), figures_of(d->cpu).locked_bytes != 0);
    works(p->release(cache, ptr));
    works(p->destroy(cache));
  }
}

static void a_forgotten_stream_may_end_before_the_buffer_that_it_used(void **state) {
  device *d = (device *)*state;
  int i;
  for (i = 0; i < 2; i++) {
    const pack *p = packs[i];
    void *cache = p->create(d->cpu), *ptr;
    hostcache_cpu_stream *stream;
    assert_non_null(cache);
    works(hostcache_cpu_stream_create(d->cpu, &stream));
    works(p->alloc(cache, 4096, &ptr));
    works(hostcache_cpu_fill(stream, ptr, 1, 4096));
    works(p->record(cache, ptr, stream));
    works(p->forget(cache, stream));
    works(hostcache_cpu_stream_destroy(stream));
    works(p->release(cache, ptr));
    works(p->synchronize(cache));
    works(p->check(cache));
    works(p->destroy(cache));
  }
}

/* Opens the gate as soon as somebody sleeps for the stream behind it. */
typedef struct opener {
  hostcache_cpu_stream *stream;
  gate *at;
} opener;

static void *opener_main(void *argument) {
  opener *o = (opener *)argument;
  await_sleepers(o->stream, 1);
  gate_open(o->at);
  return NULL;
}

static void an_event_that_cannot_be_recorded_is_told_and_the_stream_waited_for(void **state) {
  hostcache_cpu_options options = {0, 1};
  hostcache_cpu_stream *stream;
  hostcache_cpu *cpu;
  hostcache_stats stats;
  pthread_t thread;
  unsigned char copied[4096];
  evented *cache;
  opener o;
  gate *g;
  void *ptr, *again;
  (void)state;
  works(hostcache_cpu_open(&cpu, &options));
  works(hostcache_cpu_stream_create(cpu, &stream));
  works(evented_create(&cache, NULL, cpu));
  works(evented_alloc(cache, 4096, &ptr));
  memset(ptr, 0x33, 4096);
  g = gate_close(stream);
  works(hostcache_cpu_copy(stream, copied, ptr, 4096)); /* queue full */
  works(evented_record_stream(cache, ptr, stream));
  o.stream = stream;
  o.at = g;
  assert_int_equal(pthread_create(&thread, NULL, opener_main, &o), 0);
  assert_int_equal(evented_free(cache, ptr), HOSTCACHE_ERR_EVENT);
  pthread_join(thread, NULL);
  assert_int_equal(copied[4095], 0x33); /* free waited for the stream */
  works(evented_alloc(cache, 4096, &again));
  assert_ptr_equal(again, ptr); /* and so the block is ready, not quarantined */
  works(evented_free(cache, again));
  works(evented_stats(cache, &stats));
  assert_int_equal(stats.quarantined.current, 0);
  works(evented_check(cache));
  works(evented_destroy(cache));
  works(hostcache_cpu_stream_destroy(stream));
  works(hostcache_cpu_close(cpu));
}

enum { WORKERS = 4, ROUNDS = 400, PIECE = 3000 };

typedef struct worker { /* a thread that stages pieces, each to its own place on the device */
  const pack *pack;
  void *cache;
  hostcache_cpu_stream *streams[STREAMS];
  unsigned char *device;
  unsigned number;
  int failed;
} worker;

static void *worker_main(void *argument) {
  worker *w = (worker *)argument;
  unsigned i;
  for (i = 0; i < ROUNDS && !w->failed; i++) {
    hostcache_cpu_stream *stream = w->streams[i % STREAMS];
    const size_t size = PIECE - i % 7 * 400;
    void *ptr;
    w->failed |= w->pack->alloc(w->cache, size, &ptr) != HOSTCACHE_OK;
    if (w->failed) break;
    memset(ptr, (int)((i + w->number) & 0xFF), size);
    w->failed |= hostcache_cpu_copy(stream, w->device + i * PIECE, ptr, size) != HOSTCACHE_CPU_OK;
    w->failed |= w->pack->record(w->cache, ptr, stream) != HOSTCACHE_OK;
    w->failed |= w->pack->release(w->cache, ptr) != HOSTCACHE_OK;
  }
  return NULL;
}

static void threads_that_share_streams_and_a_cache_copy_what_they_wrote(void **state) {
  device *d = (device *)*state;
  int i;
  for (i = 0; i < 2; i++) {
    void *cache = packs[i]->create(d->cpu);
    pthread_t threads[WORKERS];
    worker workers[WORKERS];
    hostcache_stats stats;
    unsigned n, round;
    size_t k;
    assert_non_null(cache);
    for (n = 0; n < WORKERS; n++) {
      worker *w = &workers[n];
      memset(w, 0, sizeof *w);
      w->pack = packs[i];
      w->cache = cache;
      memcpy(w->streams, d->streams, sizeof w->streams);
      w->device = (unsigned char *)malloc(ROUNDS * PIECE);
      w->number = n;
      assert_non_null(w->device);
      assert_int_equal(pthread_create(&threads[n], NULL, worker_main, w), 0);
    }
    for (n = 0; n < WORKERS; n++) pthread_join(threads[n], NULL);
    works(packs[i]->synchronize(cache));
    for (n = 0; n < WORKERS; n++) {
      assert_int_equal(workers[n].failed, 0);
      for (round = 0; round < ROUNDS; round++) {
        const unsigned char *piece = workers[n].device + round * PIECE;
        const size_t size = PIECE - round % 7 * 400;
        for (k = 0; k < size; k++) {
          if (piece[k] != ((round + n) & 0xFF)) {
            fail_msg("thread %u, round %u: byte %zu is not what was staged", n, round, k);
          }
        }
      }
      free(workers[n].device);
    }
    works(packs[i]->stats(cache, &stats));
    assert_int_equal(stats.num_hits + stats.num_misses, WORKERS * ROUNDS);
    assert_int_equal(stats.allocation.current, 0);
    assert_int_equal(stats.pending.current, 0);
    works(packs[i]->check(cache));
    works(packs[i]->destroy(cache));
    assert_int_equal(figures_of(d->cpu).events, 0);
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, device_open, device_close)
  const struct CMUnitTest tests[] = {
      TEST(items_run_in_order_however_many_wait),
      TEST(a_queue_that_wraps_keeps_its_order_when_it_grows),
      TEST(copies_and_fills_touch_their_bytes_and_no_others),
      TEST(the_counter_tells_what_was_submitted_and_what_has_run),
      TEST(a_stream_that_hangs_does_not_hold_up_another),
      TEST(a_wait_for_a_value_not_yet_submitted_ends_when_it_is_reached),
      TEST(destroying_a_stream_runs_all_that_was_submitted),
      cmocka_unit_test(a_bounded_queue_refuses_what_is_too_much_and_does_nothing),
      TEST(a_function_that_would_wait_for_its_own_stream_is_told),
      TEST(an_event_is_complete_when_what_was_submitted_before_it_has_run),
      TEST(an_event_recorded_again_stands_for_its_last_marker),
      TEST(an_event_destroyed_early_lives_until_its_marker_has_run),
      TEST(a_stream_may_be_destroyed_while_its_event_is_waited_for),
      TEST(memory_is_aligned_zero_and_counted),
      TEST(impossible_sizes_are_out_of_memory),
#ifdef __linux__
      TEST(memory_is_really_locked),
#endif
#ifndef _WIN32
      cmocka_unit_test(a_refused_lock_is_seen_and_the_memory_usable),
      cmocka_unit_test(a_required_lock_that_is_refused_gives_no_memory),
      cmocka_unit_test(a_refused_lock_makes_the_cache_give_idle_memory_back),
      cmocka_unit_test(the_lock_limit_is_raised_as_far_as_it_may),
      cmocka_unit_test(a_thread_that_cannot_be_had_is_an_error),
#endif
      cmocka_unit_test(every_malloc_may_fail_and_nothing_is_left_behind),
      cmocka_unit_test(nothing_closes_while_anything_is_alive),
      TEST(bad_arguments_are_told),
      cmocka_unit_test(errno_is_left_as_it_was),
#ifdef __linux__
      TEST(another_process_opens_memory_by_its_handle),
      TEST(a_handle_of_memory_that_is_gone_opens_nothing),
      TEST(memory_that_was_opened_outlives_who_made_it),
      TEST(wrong_calls_about_shared_memory_are_told),
#endif
      cmocka_unit_test(every_code_has_a_text_of_its_own),
      TEST(a_freed_buffer_is_not_handed_out_while_a_stream_uses_it),
      TEST(a_buffer_tells_whether_it_is_locked),
      TEST(a_forgotten_stream_may_end_before_the_buffer_that_it_used),
      cmocka_unit_test(an_event_that_cannot_be_recorded_is_told_and_the_stream_waited_for),
      TEST(threads_that_share_streams_and_a_cache_copy_what_they_wrote),
  };
#undef TEST
  return cmocka_run_group_tests(tests, NULL, NULL);
}
