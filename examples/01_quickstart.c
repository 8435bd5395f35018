/* 01_quickstart.c - copies files through pinned staging memory, and counts what that costs.

     cc -O2 -pthread -I. examples/01_quickstart.c -o quickstart && ./quickstart hostcache.h

   A chunk of a file goes: file -> staging buffer -> "device" -> another staging buffer -> checked
   byte for byte -> output. Several streams copy at once. The device is plain memory and a stream is
   a thread (backends/hostcache_cpu.h), but the staging memory is really locked.

   What to learn, in the order in which you will need it:

     1. generate a cache        the inclusions below: two caches live in this one file
     2. say who uses a buffer   send_chunk: record_stream, then free at once, though the copy has
        and free it at once     not run yet. The cache hands the memory out again when it has.
                                This is the point of the library
     3. wait where you must     finish_chunk: what the host reads, the host waits for. Such a buffer
                                has no mark when it is freed, so it is ready at once
     4. end in order            close_run: the cache, then its streams, then the runtime
     5. read the figures        print_table: what is said of the cache comes from its own stats */

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* In a larger program these two stand in one file alone. */
#define HOSTCACHE_CPU_IMPLEMENTATION
#define HOSTCACHE_IMPLEMENTATION

/* A cache named `staging`: streams are counters (--mode timeline). */
#define HC_NAME staging
#include "backends/hostcache_cpu.h"
#include "hostcache.h"

/* Another, named `staging_events`: it records event objects (--mode events). */
#define HC_NAME staging_events
#define HC_CPU_EVENTS
#include "backends/hostcache_cpu.h"
#include "hostcache.h"

static const char usage[] =
    "usage: quickstart [OPTION]... FILE...        (- is standard input)\n"
    "\n"
    "Copies files through pinned staging memory, checks every byte, and prints what it cost.\n"
    "\n"
    "  -o FILE          write the copy there, one file after the other (- is standard output)\n"
    "  --compare        run with the cache, then without, and print the ratio\n"
    "  --no-cache       get and lock memory anew for every chunk, and give it back\n"
    "  --mode MODE      how the cache knows what a stream has done: timeline (default) or events\n"
    "  --streams N      copy on N streams, 1 to 64 (default 2)\n"
    "  --depth N        keep N chunks in flight, 1 to 1024 (default 4)\n"
    "  --chunk MIN:MAX  bytes in a chunk, with K or M, up to 64M (default 16K:32K)\n"
    "  --help           print this\n";

enum { EXIT_USAGE = 2, EXIT_SIGNAL = 128 };
typedef enum mode { MODE_TIMELINE, MODE_EVENTS, MODE_NO_CACHE } mode;

typedef struct options {
  mode mode;
  int compare, help, file_count;
  size_t streams, depth, chunk_min, chunk_max;
  const char *output; /* NULL: none; "-": standard output */
  const char **files;
} options;

typedef struct buffer { /* staging memory */
  void *ptr;
  hostcache_cpu_segment segment; /* without a cache, which would keep it for us */
} buffer;

typedef struct chunk { /* a chunk on its way; `depth` of them are in flight */
  size_t size;         /* 0: nothing is on its way here */
  unsigned char *read; /* what was read, kept aside to check against */
  void *device;
  buffer up, down;
  hostcache_cpu_stream *stream;
  uint64_t back; /* it is back when the stream has reached this */
} chunk;

typedef struct run {
  const options *options;
  mode mode;
  hostcache_cpu *cpu;
  staging *timeline_cache;
  staging_events *events_cache;
  hostcache_cpu_stream **streams;
  chunk *chunks;
  FILE *output;
  int64_t total;                   /* bytes to copy; 0: not known */
  uint64_t sent, random;           /* chunks sent; what the size of the next one is made from */
  int64_t started_ns, shown_ns;    /* the run; the last progress, 0 without a terminal */
  int64_t bytes, buffers;          /* came back and were checked; staging buffers got */
  int64_t whole_ns, memory_ns;     /* the whole run; getting memory and giving it back */
  int64_t get_ns;                  /* getting it alone: mapped, made resident, locked */
  int64_t rate;                    /* bytes per second of the whole run */
  hostcache_stats stats;           /* the cache's own figures */
  hostcache_cpu_figures cpu_stats; /* the runtime's own */
} run;

/* ---- messages and progress ------------------------------------------------------------------- */

static volatile sig_atomic_t caught; /* the signal that asks us to stop */
static int progress_shown;           /* 1: the terminal's last line is ours */

static void on_signal(int number) { caught = number; }

static void catch_signals(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal; /* no SA_RESTART: a read that waits comes back */
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  signal(SIGPIPE, SIG_IGN); /* a reader that is gone is an error of fwrite, and reported as one */
}

static void clear_progress(void) {
  if (progress_shown) fputs("\r\033[K", stderr);
  progress_shown = 0;
}

/* Says what went wrong and what to do about it. Gives 0, as do all functions here that fail. */
static int fail(const char *format, ...) {
  va_list arguments;
  clear_progress();
  fputs("quickstart: ", stderr);
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
  return 0;
}

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static const char *const in_bytes[] = {" B", " KiB", " MiB", " GiB", " TiB", NULL};
static const char *const in_bytes_per_s[] = {" B/s", " KiB/s", " MiB/s", " GiB/s", NULL};
static const char *const in_time[] = {" ns", " us", " ms", " s", NULL};
static const char *const as_count[] = {"", NULL};

/* A number with the unit that suits it, in one of a few texts: one printf may use several. */
static const char *text_of(int64_t number, const char *const *units) {
  static char texts[8][32];
  static unsigned next;
  const double step = units == in_time ? 1000 : 1024;
  char *text = texts[next++ % 8];
  double value = (double)number;
  int decimals = 0;
  for (; value >= step && units[1]; value /= step, units++) decimals = 2;
  if (decimals && value >= 10) decimals = value < 100;
  snprintf(text, sizeof texts[0], "%.*f%s", decimals, value, *units);
  return text;
}

static void print_progress(run *r) {
  static const char full[] = "########################", rest[] = "........................";
  const int64_t now = now_ns();
  if (!r->shown_ns || now - r->shown_ns < 100000000) return;
  r->shown_ns = now;
  r->rate = (int64_t)((double)r->bytes * 1e9 / (double)(now - r->started_ns));
  progress_shown = 1;
  if (r->total) {
    const double part = r->bytes < r->total ? (double)r->bytes / (double)r->total : 1;
    const int width = (int)(part * 24);
    fprintf(stderr, "\r[%.*s%.*s] %3.0f%%", width, full, 24 - width, rest, part * 100);
  } else { /* a pipe: nobody knows how much is to come */
    fprintf(stderr, "\r%c", "|/-\\"[now / 100000000 % 4]);
  }
  fprintf(stderr, " %s, %s%s\033[K", text_of(r->bytes, in_bytes), text_of(r->rate, in_bytes_per_s),
          r->mode == MODE_NO_CACHE ? ", without the cache" : "");
}

/* ---- staging memory: from one of the two caches, or from neither ----------------------------- */

/* Gives 1 if both are OK, else says which is not. */
static int check(const char *what, hostcache_result result, hostcache_cpu_result cpu_result) {
  if (result != HOSTCACHE_OK) return fail("%s: %s", what, hostcache_result_string(result));
  if (cpu_result == HOSTCACHE_CPU_OK) return 1;
  return fail("%s: %s", what, hostcache_cpu_result_string(cpu_result));
}

static int get_buffer(run *r, size_t size, buffer *b) {
  const int64_t start = now_ns();
  hostcache_result result = HOSTCACHE_OK;
  hostcache_cpu_result cpu_result = HOSTCACHE_CPU_OK;
  if (r->mode == MODE_TIMELINE) {
    result = staging_alloc(r->timeline_cache, size, &b->ptr);
  } else if (r->mode == MODE_EVENTS) {
    result = staging_events_alloc(r->events_cache, size, &b->ptr);
  } else {
    cpu_result = hostcache_cpu_mem_alloc(r->cpu, size, 4096, &b->ptr, &b->segment);
  }
  r->get_ns += now_ns() - start;
  r->memory_ns += now_ns() - start;
  r->buffers++;
  return check("no staging memory (ask for less with --chunk or --depth)", result, cpu_result);
}

/* Gives a buffer back. If `stream` is not NULL, it may still be using the buffer: the cache is told
   and nobody waits. Without a cache there is nobody to tell, and the caller must have waited. */
static int free_buffer(run *r, buffer *b, hostcache_cpu_stream *stream) {
  const int64_t start = now_ns();
  hostcache_result result = HOSTCACHE_OK;
  hostcache_cpu_result cpu_result = HOSTCACHE_CPU_OK;
  if (r->mode == MODE_TIMELINE) {
    if (stream) result = staging_record_stream(r->timeline_cache, b->ptr, stream);
    if (result == HOSTCACHE_OK) result = staging_free(r->timeline_cache, b->ptr);
  } else if (r->mode == MODE_EVENTS) {
    if (stream) result = staging_events_record_stream(r->events_cache, b->ptr, stream);
    if (result == HOSTCACHE_OK) result = staging_events_free(r->events_cache, b->ptr);
  } else {
    cpu_result = hostcache_cpu_mem_free(r->cpu, b->ptr, &b->segment);
  }
  r->memory_ns += now_ns() - start;
  b->ptr = NULL;
  return check("a staging buffer could not be freed", result, cpu_result);
}

/* Lets the cache find out that all is done, takes its figures, and ends it. */
static int end_cache(run *r) {
  hostcache_result result = HOSTCACHE_OK;
  int64_t start;
  if (r->timeline_cache) {
    result = staging_synchronize(r->timeline_cache, UINT64_MAX);
    staging_stats(r->timeline_cache, &r->stats);
  } else if (r->events_cache) {
    result = staging_events_synchronize(r->events_cache, UINT64_MAX);
    staging_events_stats(r->events_cache, &r->stats);
  }
  if (!check("the cache can't be ended", result, HOSTCACHE_CPU_OK)) return 0;
  start = now_ns(); /* all memory goes back now, which is time spent on memory as well */
  if (r->timeline_cache) result = staging_destroy(r->timeline_cache);
  if (r->events_cache) result = staging_events_destroy(r->events_cache);
  r->memory_ns += now_ns() - start;
  return check("the cache can't be ended", result, HOSTCACHE_CPU_OK);
}

/* ---- the copy -------------------------------------------------------------------------------- */

/* Sends what is in c->up to the device and back. Nothing here waits. */
static int send_chunk(run *r, chunk *c, size_t size) {
  memcpy(c->read, c->up.ptr, size);
  if (!get_buffer(r, size, &c->down)) return 0;
  if (hostcache_cpu_copy(c->stream, c->device, c->up.ptr, size) != HOSTCACHE_CPU_OK) {
    return fail("no memory to submit a copy (ask for less with --depth)");
  }
  /* The copy up may not have begun. We are done with the buffer all the same. */
  if (r->mode != MODE_NO_CACHE && !free_buffer(r, &c->up, c->stream)) return 0;
  if (hostcache_cpu_copy(c->stream, c->down.ptr, c->device, size) != HOSTCACHE_CPU_OK) {
    return fail("no memory to submit a copy (ask for less with --depth)");
  }
  c->back = hostcache_cpu_submitted(c->stream);
  c->size = size;
  return 1;
}

static const char *output_name(const options *o) {
  return strcmp(o->output, "-") ? o->output : "standard output";
}

/* Takes what came back: waits for its stream, checks it, writes it. */
static int finish_chunk(run *r, chunk *c) {
  const size_t size = c->size;
  int ok = 1;
  if (!size) return 1;
  c->size = 0;
  hostcache_cpu_value_wait(c->stream, c->back);
  if (memcmp(c->down.ptr, c->read, size) != 0) {
    ok = fail("what came back is not what was read: a bug; please report it");
  } else if (r->output && fwrite(c->down.ptr, 1, size, r->output) != size) {
    ok = fail("can't write %s: %s", output_name(r->options), strerror(errno));
  } else {
    r->bytes += (int64_t)size;
  }
  ok = free_buffer(r, &c->down, NULL) && ok; /* waited for, so it carries no mark */
  if (c->up.ptr) ok = free_buffer(r, &c->up, NULL) && ok;
  print_progress(r);
  return ok;
}

/* A size within --chunk: the same sizes in every run (xorshift64, fixed seed). */
static size_t next_size(run *r) {
  r->random ^= r->random << 13;
  r->random ^= r->random >> 7;
  r->random ^= r->random << 17;
  return r->options->chunk_min +
         (size_t)(r->random % (r->options->chunk_max - r->options->chunk_min + 1));
}

static int copy_file(run *r, const char *name) {
  FILE *file = strcmp(name, "-") ? fopen(name, "rb") : stdin;
  int ok = file ? 1 : fail("can't read %s: %s", name, strerror(errno));
  while (ok && !caught) {
    chunk *c = &r->chunks[r->sent % r->options->depth]; /* of those in flight, the oldest */
    const size_t size = next_size(r);
    size_t got;
    ok = finish_chunk(r, c) && get_buffer(r, size, &c->up);
    if (!ok) break;
    errno = 0;
    got = fread(c->up.ptr, 1, size, file);
    if (ferror(file) && !caught) ok = fail("can't read %s: %s", name, strerror(errno));
    if (!got || !ok || caught) {
      ok = free_buffer(r, &c->up, NULL) && ok;
      break;
    }
    c->stream = r->streams[r->sent++ % r->options->streams];
    ok = send_chunk(r, c, got);
  }
  if (file && file != stdin) fclose(file);
  return ok;
}

static int open_run(run *r) {
  const options *o = r->options;
  size_t i;
  if (!check("no runtime", HOSTCACHE_OK, hostcache_cpu_open(&r->cpu, NULL))) return 0;
  r->streams = (hostcache_cpu_stream **)calloc(o->streams, sizeof *r->streams);
  r->chunks = (chunk *)calloc(o->depth, sizeof *r->chunks);
  if (!r->streams || !r->chunks) return fail("no memory");
  /* Buffers in both directions, as many again that wait for their stream, and some for the process.
     If the system refuses, the table says how much could not be locked. */
  (void)hostcache_cpu_raise_lock_limit(4 * o->depth * o->chunk_max + (1 << 20));
  for (i = 0; i < o->streams; i++) {
    if (!check("no stream (ask for fewer with --streams)", HOSTCACHE_OK,
               hostcache_cpu_stream_create(r->cpu, &r->streams[i]))) {
      return 0;
    }
  }
  for (i = 0; i < o->depth; i++) {
    chunk *c = &r->chunks[i];
    c->read = (unsigned char *)malloc(o->chunk_max);
    if (!c->read || hostcache_cpu_device_alloc(r->cpu, o->chunk_max, &c->device)) {
      return fail("no memory for so many chunks (ask for less with --chunk or --depth)");
    }
  }
  return check("no cache",
               r->mode == MODE_TIMELINE ? staging_create(&r->timeline_cache, NULL, r->cpu)
               : r->mode == MODE_EVENTS ? staging_events_create(&r->events_cache, NULL, r->cpu)
                                        : HOSTCACHE_OK,
               HOSTCACHE_CPU_OK);
}

/* Ends whatever was begun, also after a failure: the work, the buffers, the cache, its streams, and
   then the runtime, which tells if anything of it is still alive. */
static int close_run(run *r) {
  size_t i;
  int ok = 1;
  for (i = 0; r->streams && i < r->options->streams; i++) hostcache_cpu_stream_wait(r->streams[i]);
  for (i = 0; r->chunks && i < r->options->depth; i++) {
    chunk *c = &r->chunks[i];
    if (c->up.ptr) ok = free_buffer(r, &c->up, NULL) && ok;
    if (c->down.ptr) ok = free_buffer(r, &c->down, NULL) && ok;
    hostcache_cpu_device_free(r->cpu, c->device);
    free(c->read);
  }
  ok = end_cache(r) && ok;
  for (i = 0; r->streams && i < r->options->streams; i++) {
    hostcache_cpu_stream_destroy(r->streams[i]);
  }
  hostcache_cpu_get_figures(r->cpu, &r->cpu_stats);
  ok = check("the runtime can't be ended", HOSTCACHE_OK, hostcache_cpu_close(r->cpu)) && ok;
  free(r->streams);
  free(r->chunks);
  return ok;
}

/* Brings the output to an end. A full disk is often found out as late as here. */
static int close_output(run *r, int ok) {
  errno = 0;
  if ((r->output == stdout ? fflush(stdout) : fclose(r->output)) != 0 && ok) {
    ok = fail("can't write %s: %s", output_name(r->options), strerror(errno));
  }
  if (!ok || caught) fail("%s holds only a part of the copy", output_name(r->options));
  return ok;
}

static int do_run(run *r, const options *o, mode with, int64_t total) {
  size_t i;
  int file, ok;
  memset(r, 0, sizeof *r);
  r->options = o;
  r->mode = with;
  r->total = total;
  r->random = 88172645463325252u;
  r->started_ns = now_ns();
  if (isatty(STDERR_FILENO)) r->shown_ns = r->started_ns;
  ok = open_run(r);
  if (ok && o->output) {
    r->output = strcmp(o->output, "-") ? fopen(o->output, "wb") : stdout;
    if (!r->output) ok = fail("can't write %s: %s", o->output, strerror(errno));
  }
  for (file = 0; ok && !caught && file < o->file_count; file++) ok = copy_file(r, o->files[file]);
  for (i = 0; ok && i < o->depth; i++) ok = finish_chunk(r, &r->chunks[(r->sent + i) % o->depth]);
  ok = close_run(r) && ok;
  r->whole_ns = now_ns() - r->started_ns;
  r->rate = (int64_t)((double)r->bytes * 1e9 / (double)r->whole_ns);
  clear_progress();
  if (caught) fail("interrupted after %s", text_of(r->bytes, in_bytes));
  return r->output ? close_output(r, ok) : ok;
}

/* ---- the table ------------------------------------------------------------------------------- */

static const struct {
  const char *label;
  const char *const *units;
  size_t offset; /* of a 64-bit figure in a run */
  int of_cache;  /* 1: there is none without a cache */
} rows[] = {
    {"copied and checked", in_bytes, offsetof(run, bytes), 0},
    {"whole time", in_time, offsetof(run, whole_ns), 0},
    {"  getting and freeing memory", in_time, offsetof(run, memory_ns), 0},
    {"    getting it, locked", in_time, offsetof(run, get_ns), 0},
    {"throughput", in_bytes_per_s, offsetof(run, rate), 0},
    {"staging buffers got", as_count, offsetof(run, buffers), 0},
    {"  hits: no hook was called", as_count, offsetof(run, stats.num_hits), 1},
    {"  misses: a hook was called", as_count, offsetof(run, stats.num_misses), 1},
    {"segments from the system", as_count, offsetof(run, stats.num_mem_alloc), 1},
    {"  time it took for them", in_time, offsetof(run, stats.mem_alloc_time.total), 1},
    {"bytes requested, in all", in_bytes, offsetof(run, stats.requested_bytes.allocated), 1},
    {"  at most at once", in_bytes, offsetof(run, stats.requested_bytes.peak), 1},
    {"bytes reserved, at the end", in_bytes, offsetof(run, stats.reserved_bytes.current), 1},
    {"  at most at once", in_bytes, offsetof(run, stats.reserved_bytes.peak), 1},
    {"stream positions recorded", as_count, offsetof(run, stats.num_event_record), 1},
    {"  asked whether reached", as_count, offsetof(run, stats.num_event_query), 1},
    {"locks granted", as_count, offsetof(run, cpu_stats.locks_granted), 0},
    {"locks refused", as_count, offsetof(run, cpu_stats.locks_refused), 0},
};

static void print_table(FILE *to, const run *runs, int count) {
  static const char *const titles[] = {"timeline", "events", "no cache"};
  uint64_t refused = 0;
  size_t row;
  int i;
  fprintf(to, "%-29s", "");
  for (i = 0; i < count; i++) fprintf(to, "%14s", titles[runs[i].mode]);
  for (row = 0; row < sizeof rows / sizeof rows[0]; row++) {
    fprintf(to, "\n%-29s", rows[row].label);
    for (i = 0; i < count; i++) {
      const int none = rows[row].of_cache && runs[i].mode == MODE_NO_CACHE;
      int64_t figure;
      memcpy(&figure, (const char *)&runs[i] + rows[row].offset, sizeof figure);
      fprintf(to, "%14s", none ? "-" : text_of(figure, rows[row].units));
    }
  }
  for (i = 0; i < count; i++) refused += runs[i].cpu_stats.locks_refused;
  fputs(refused ? "\n\nNot all memory was locked: raise the limit (ulimit -l).\n" : "\n", to);
  if (count == 2) {
    fprintf(to,
            "\nWithout the cache, getting memory took %.1f times as long; with freeing it, memory "
            "took %.1f times as long, and the whole %.2f times.\n",
            (double)runs[1].get_ns / (double)runs[0].get_ns,
            (double)runs[1].memory_ns / (double)runs[0].memory_ns,
            (double)runs[1].whole_ns / (double)runs[0].whole_ns);
  }
}

/* ---- the command line ------------------------------------------------------------------------ */

/* Reads a number, with K or M behind it if `most` is that large, and moves *text behind it. Gives 0
   if there is none from 1 to `most`. */
static size_t parse_number(const char **text, size_t most) {
  char *end;
  unsigned long long value = **text >= '0' && **text <= '9' ? strtoull(*text, &end, 10) : 0;
  if (!value || value > most) return 0;
  if (most >= 1 << 20 && (*end == 'K' || *end == 'M')) value <<= *end++ == 'K' ? 10 : 20;
  *text = end;
  return value <= most ? (size_t)value : 0;
}

static int parse_value(options *o, const char *name, const char *value) {
  const char *rest = value;
  if (!strcmp(name, "-o")) {
    o->output = value;
  } else if (!strcmp(name, "--mode")) {
    o->mode = strcmp(value, "events") ? MODE_TIMELINE : MODE_EVENTS;
    if (o->mode == MODE_TIMELINE && strcmp(value, "timeline")) {
      return fail("--mode is timeline or events, not '%s'", value);
    }
  } else if (!strcmp(name, "--streams")) {
    o->streams = parse_number(&rest, 64);
    if (!o->streams || *rest) return fail("--streams is from 1 to 64, not '%s'", value);
  } else if (!strcmp(name, "--depth")) {
    o->depth = parse_number(&rest, 1024);
    if (!o->depth || *rest) return fail("--depth is from 1 to 1024, not '%s'", value);
  } else {
    o->chunk_min = parse_number(&rest, 64 << 20);
    o->chunk_max = 0;
    if (*rest == ':') {
      rest++;
      o->chunk_max = parse_number(&rest, 64 << 20);
    }
    if (!o->chunk_min || o->chunk_max < o->chunk_min || *rest) {
      return fail("--chunk is MIN:MAX, as in 64K:1M, from 1 byte to 64M, not '%s'", value);
    }
  }
  return 1;
}

static int parse(options *o, int argc, char **argv) {
  int i, no_cache = 0, mode_given = 0, only_files = 0;
  for (i = 1; i < argc; i++) {
    const char *word = argv[i];
    if (only_files || word[0] != '-' || !word[1]) {
      o->files[o->file_count++] = word;
    } else if (!strcmp(word, "--")) {
      only_files = 1;
    } else if (!strcmp(word, "--help")) {
      o->help = 1;
    } else if (!strcmp(word, "--compare")) {
      o->compare = 1;
    } else if (!strcmp(word, "--no-cache")) {
      no_cache = 1;
    } else if (strcmp(word, "-o") && strcmp(word, "--mode") && strcmp(word, "--streams") &&
               strcmp(word, "--depth") && strcmp(word, "--chunk")) {
      return fail("there is no option %s; --help prints those there are", word);
    } else if (++i == argc) {
      return fail("%s needs a value; --help says which", word);
    } else if (!parse_value(o, word, argv[i])) {
      return 0;
    } else if (!strcmp(word, "--mode")) {
      mode_given = 1;
    }
  }
  if (o->help) return 1;
  if (!o->file_count) return fail("give it a file, or - for standard input; --help prints more");
  if (o->compare && no_cache) return fail("--compare runs without the cache too: drop --no-cache");
  if (no_cache && mode_given) return fail("--no-cache has no mode: drop --mode");
  if (o->compare && o->output) return fail("--compare would write the copy twice: drop -o");
  if (no_cache) o->mode = MODE_NO_CACHE;
  return 1;
}

/* Finds out what can't be read before anything is written. Gives the bytes of all files in *total;
   0 if one of them is a pipe or a device. */
static int check_files(const options *o, int64_t *total) {
  struct stat in, out;
  int i, unknown = 0;
  if (!o->output || (strcmp(o->output, "-") ? stat(o->output, &out) : fstat(1, &out))) {
    out.st_mode = 0; /* no such file yet */
  }
  for (i = 0; i < o->file_count; i++) {
    const char *name = o->files[i];
    const int from_stdin = !strcmp(name, "-");
    if (from_stdin ? fstat(0, &in) : stat(name, &in) || access(name, R_OK)) {
      return fail("can't read %s: %s", name, strerror(errno));
    }
    if (S_ISDIR(in.st_mode)) return fail("%s is a directory; give it files", name);
    if (o->compare && (from_stdin || !S_ISREG(in.st_mode))) {
      return fail("--compare reads twice, and %s can be read once: save it to a file", name);
    }
    if (S_ISREG(out.st_mode) && in.st_dev == out.st_dev && in.st_ino == out.st_ino) {
      return fail("%s is also the output: it would be overwritten before it is read",
                  from_stdin ? "standard input" : name);
    }
    if (S_ISREG(in.st_mode)) *total += (int64_t)in.st_size;
    if (!S_ISREG(in.st_mode)) unknown = 1;
  }
  if (unknown) *total = 0;
  return 1;
}

int main(int argc, char **argv) {
  options o = {MODE_TIMELINE, 0, 0, 0, 2, 4, 16 << 10, 32 << 10, NULL, NULL};
  run runs[2];
  int64_t total = 0;
  int status = EXIT_USAGE;
  o.files = (const char **)calloc((size_t)argc, sizeof *o.files);
  if (o.files && parse(&o, argc, argv)) {
    FILE *to = o.output && !strcmp(o.output, "-") ? stderr : stdout; /* the table */
    int ok;
    if (o.help) {
      ok = fputs(usage, stdout) >= 0;
    } else {
      catch_signals();
      /* With the cache first: that run is the one that finds the files not yet in memory. */
      ok = check_files(&o, &total) && do_run(&runs[0], &o, o.mode, total);
      if (ok && !caught && o.compare) ok = do_run(&runs[1], &o, MODE_NO_CACHE, total);
      if (ok && !caught) print_table(to, runs, o.compare ? 2 : 1);
    }
    if (fflush(to) != 0 && ok) ok = fail("can't write to standard output: %s", strerror(errno));
    status = caught ? EXIT_SIGNAL + (int)caught : ok ? EXIT_SUCCESS : EXIT_FAILURE;
  }
  free(o.files);
  return status;
}
