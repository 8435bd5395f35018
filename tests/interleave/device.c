/* device.c - see device.h. Compiled without the race check: it is the referee, not the program. */

#include "device.h"
#include "explore.h"

static char *const base = (char *)(uintptr_t)0x200000000000u; /* NOLINT: never dereferenced */

static unsigned unit_of(const void *ptr) {
  return (unsigned)(((uintptr_t)ptr - (uintptr_t)base) / DEVICE_UNIT);
}

static unsigned units_in(size_t size) { return (unsigned)((size + DEVICE_UNIT - 1) / DEVICE_UNIT); }

static bool fails(const char *what) { return explore_pick(EXPLORE_FAIL, 2, what) != 0; }

/* ---- memory ---------------------------------------------------------------------------------- */

/* No work on the unit may be under way, but on the stream `own`. */
static void expect_idle(device *d, unsigned unit, unsigned own, const char *what) {
  unsigned stream;
  for (stream = 0; stream < DEVICE_STREAMS; stream++)
    if (stream != own && d->units[unit].last_work[stream] > d->streams[stream].done)
      explore_fail("the one rule: unit %u is %s while work %u of stream %u is not done", unit, what,
                   d->units[unit].last_work[stream], stream);
}

int device_mem_alloc(device *d, size_t size, void **ptr) {
  const unsigned count = units_in(size);
  unsigned first, length, i;
  explore_step("HC_MEM_ALLOC", d, __LINE__);
  if (fails("out of memory")) return DEVICE_NO_MEMORY;
  for (first = 0, length = 0; length < count; length++)
    if (d->units[first + length].segment) {
      first += length + 1;
      length = (unsigned)-1;
      explore_assert(first + count <= DEVICE_UNITS);
    }
  d->segments++;
  d->held += count;
  for (i = first; i < first + count; i++) d->units[i].segment = (uint8_t)d->segments;
  if (d->cap && d->held > d->cap)
    explore_fail("the cap is passed: %u units are held, of %u", d->held, d->cap);
  *ptr = base + first * DEVICE_UNIT;
  explore_note("  ... gives units %u to %u", first, first + count - 1);
  return DEVICE_DONE;
}

int device_mem_free(device *d, void *ptr, size_t size) {
  const unsigned first = unit_of(ptr), end = first + units_in(size);
  const unsigned segment = first < DEVICE_UNITS ? d->units[first].segment : 0;
  unsigned i;
  explore_step("HC_MEM_FREE", d, __LINE__);
  explore_note("  ... of units %u to %u", first, end - 1);
  explore_assert(segment != 0 && end <= DEVICE_UNITS);
  explore_assert(first == 0 || d->units[first - 1].segment != segment);
  explore_assert(end == DEVICE_UNITS || d->units[end].segment != segment);
  for (i = first; i < end; i++) {
    explore_assert(d->units[i].segment == segment);
    if (d->units[i].is_handed_out)
      explore_fail("the one rule: unit %u goes back while it is handed out", i);
    expect_idle(d, i, DEVICE_STREAMS, "given back");
  }
  if (fails("HC_MEM_FREE fails")) {
    d->leaked++;
    return DEVICE_FAILED;
  }
  d->held -= end - first;
  for (i = first; i < end; i++) d->units[i].segment = 0;
  return DEVICE_DONE;
}

void device_hand_out_on(device *d, const void *ptr, size_t size, unsigned stream) {
  unsigned i = unit_of(ptr), end = i + units_in(size);
  explore_assert(end <= DEVICE_UNITS);
  for (; i < end; i++) {
    if (!d->units[i].segment) explore_fail("unit %u is handed out, and is not the cache's", i);
    if (d->units[i].is_handed_out) explore_fail("the one rule: unit %u is handed out twice", i);
    expect_idle(d, i, stream, "handed out");
    d->units[i].is_handed_out = 1;
  }
}

void device_hand_out(device *d, const void *ptr, size_t size) {
  device_hand_out_on(d, ptr, size, DEVICE_STREAMS);
}

void device_hand_back(device *d, const void *ptr, size_t size) {
  unsigned i = unit_of(ptr), end = i + units_in(size);
  for (; i < end; i++) d->units[i].is_handed_out = 0;
}

/* ---- streams and events ---------------------------------------------------------------------- */

static device_stream *come_to(device *d, unsigned stream, const char *hook) {
  device_stream *at = &d->streams[stream];
  explore_assert(stream < DEVICE_STREAMS);
  at->hooks++;
  explore_step(hook, d, __LINE__);
  if (at->is_forgotten) explore_fail("%s: stream %u was forgotten", hook, stream);
  if (d->is_capturing) explore_fail("%s: a stream is being captured", hook);
  return at;
}

void device_capture(device *d, bool begins) {
  unsigned i;
  explore_step(begins ? "begins a capture" : "ends the capture", d, __LINE__);
  d->is_capturing = begins;
  for (i = 0; begins && i < DEVICE_STREAMS; i++)
    if (d->streams[i].hooks) explore_fail("a capture begins while a hook is at stream %u", i);
  for (i = 0; begins && i < DEVICE_EVENTS; i++)
    if (d->events[i].hooks) explore_fail("a capture begins while a hook is at event %u", i + 1);
}

void device_submit(device *d, const void *ptr, size_t size, unsigned stream) {
  unsigned i = unit_of(ptr), end = i + units_in(size);
  explore_step("submits work", d, __LINE__);
  d->streams[stream].submitted++;
  for (; i < end; i++) d->units[i].last_work[stream] = d->streams[stream].submitted;
}

void device_forget(device *d, unsigned stream) {
  explore_step("has forgotten a stream", d, __LINE__);
  if (d->streams[stream].hooks)
    explore_fail("forget_stream returned while a hook is at stream %u", stream);
  d->streams[stream].is_forgotten = 1;
}

static device_event *event_at(device *d, unsigned event, const char *hook) {
  device_event *at = &d->events[event - 1];
  explore_assert(event >= 1 && event <= DEVICE_EVENTS);
  if (!at->is_there) explore_fail("%s: event %u is not there", hook, event);
  if (at->hooks) explore_fail("%s: another hook is at event %u", hook, event);
  return at;
}

static bool is_complete(const device *d, const device_event *event) {
  return d->streams[event->stream].done >= event->number;
}

int device_event_create(device *d, unsigned stream, unsigned *event) {
  device_stream *at = come_to(d, stream, "HC_EVENT_CREATE");
  unsigned i = 0;
  at->hooks--;
  if (fails("HC_EVENT_CREATE fails")) return DEVICE_FAILED;
  while (d->events[i].is_there) explore_assert(++i < DEVICE_EVENTS);
  d->events[i] = (device_event){.is_there = 1, .stream = (uint8_t)stream};
  *event = i + 1;
  return DEVICE_DONE;
}

int device_event_destroy(device *d, unsigned event) {
  device_event *at = event_at(d, event, "HC_EVENT_DESTROY");
  at->hooks++;
  explore_step("HC_EVENT_DESTROY", d, __LINE__);
  at->hooks--;
  if (at->is_recorded && !is_complete(d, at))
    explore_fail("HC_EVENT_DESTROY: event %u is not complete", event);
  at->is_there = 0;
  return DEVICE_DONE;
}

int device_event_record(device *d, unsigned event, unsigned stream) {
  device_event *at = event_at(d, event, "HC_EVENT_RECORD");
  device_stream *on;
  at->hooks++;
  on = come_to(d, stream, "HC_EVENT_RECORD");
  at->hooks--;
  on->hooks--;
  if (at->is_recorded && !is_complete(d, at))
    explore_fail("HC_EVENT_RECORD: event %u is still pending", event);
  if (fails("HC_EVENT_RECORD fails")) return DEVICE_FAILED;
  at->is_recorded = 1;
  at->stream = (uint8_t)stream;
  at->number = ++on->submitted;
  return DEVICE_DONE;
}

/* How far the stream has come: to `number`, or, by a deviation, not yet. */
static bool comes_to(device *d, unsigned stream, uint16_t number) {
  device_stream *at = &d->streams[stream];
  if (at->done >= number) return true;
  if (explore_pick(EXPLORE_PENDING, 2, "  ... not complete yet")) return false;
  at->done = number;
  return true;
}

int device_event_query(device *d, unsigned event) {
  device_event *at = event_at(d, event, "HC_EVENT_QUERY");
  at->hooks++;
  explore_step("HC_EVENT_QUERY", d, __LINE__);
  if (d->is_capturing) explore_fail("HC_EVENT_QUERY: a stream is being captured");
  at->hooks--;
  d->queries++;
  explore_assert(at->is_recorded);
  if (fails("HC_EVENT_QUERY fails")) return DEVICE_FAILED;
  return comes_to(d, at->stream, at->number) ? DEVICE_DONE : DEVICE_PENDING;
}

int device_timeline_record(device *d, unsigned stream, uint64_t *value) {
  device_stream *at = come_to(d, stream, "HC_TIMELINE_RECORD");
  at->hooks--;
  if (fails("HC_TIMELINE_RECORD fails")) return DEVICE_FAILED;
  *value = ++at->submitted;
  return DEVICE_DONE;
}

int device_timeline_query(device *d, unsigned stream, uint64_t *value) {
  device_stream *at = come_to(d, stream, "HC_TIMELINE_QUERY");
  at->hooks--;
  d->queries++;
  if (fails("HC_TIMELINE_QUERY fails")) return DEVICE_FAILED;
  (void)comes_to(d, stream, at->submitted);
  *value = at->done;
  return DEVICE_DONE;
}

/* ---- the end --------------------------------------------------------------------------------- */

void device_finish(device *d) {
  unsigned stream;
  for (stream = 0; stream < DEVICE_STREAMS; stream++)
    d->streams[stream].done = d->streams[stream].submitted;
}

void device_expect_empty(device *d) {
  unsigned i, segments = 0;
  for (i = 0; i < DEVICE_UNITS; i++)
    segments += d->units[i].segment && (i == 0 || d->units[i].segment != d->units[i - 1].segment);
  if (segments != d->leaked) explore_fail("%u segments were not given back", segments - d->leaked);
  for (i = 0; i < DEVICE_EVENTS; i++)
    if (d->events[i].is_there) explore_fail("event %u was not destroyed", i + 1);
}
