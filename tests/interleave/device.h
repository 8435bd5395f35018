/* device.h - the runtime that the explored caches run on, and the referee of the one rule.

   A little memory at addresses that nobody may touch, of which the lowest free ones are always
   given again at once; six streams; events, or, in timeline mode, the streams' own counters. Work
   is submitted to a stream under a number, and a stream has done all up to some number. How far
   that is is decided when somebody asks, by the explorer, and never goes back: so completion in
   every order needs no device thread. Each hook is a switch point, and is under way while other
   threads run.

   The referee fails the schedule when

   - a block is handed out that is handed out already, or while work on it is not done;
   - memory goes back that is handed out, that work is not done on, or that was not given so;
   - more is held than the cap;
   - a hook sees an event that another hook is at, that is not there or is ended too early;
   - a hook is at a stream when forget_stream has returned, or comes to it later;
   - a hook on events is under way when a capture begins, or comes during it. */

#ifndef TESTS_INTERLEAVE_DEVICE_H
#define TESTS_INTERLEAVE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DEVICE_UNIT = 512, DEVICE_UNITS = 192, DEVICE_STREAMS = 6, DEVICE_EVENTS = 32 };
enum { DEVICE_DONE, DEVICE_PENDING, DEVICE_NO_MEMORY, DEVICE_FAILED }; /* what hooks return */

typedef struct device_unit { /* of memory */
  uint8_t segment;           /* which it belongs to; 0: none */
  uint8_t is_handed_out;
  uint16_t last_work[DEVICE_STREAMS];
} device_unit;

typedef struct device_stream {
  uint16_t submitted, done;
  uint8_t hooks; /* that are at it */
  uint8_t is_forgotten;
} device_stream;

typedef struct device_event {
  uint8_t is_there, is_recorded, hooks;
  uint8_t stream;
  uint16_t number; /* complete when its stream has done so much */
} device_event;

typedef struct device { /* copied from schedule to schedule: no pointers */
  device_unit units[DEVICE_UNITS];
  device_stream streams[DEVICE_STREAMS];
  device_event events[DEVICE_EVENTS];
  unsigned segments, held, cap; /* held and cap: units; a cap of 0 is none */
  unsigned leaked;              /* segments whose free hook failed */
  unsigned queries;
  uint8_t is_capturing;
} device;

/* The hooks. A stream is its number; an event is its number plus one. */
int device_mem_alloc(device *d, size_t size, void **ptr);
int device_mem_free(device *d, void *ptr, size_t size);
int device_event_create(device *d, unsigned stream, unsigned *event);
int device_event_destroy(device *d, unsigned event);
int device_event_record(device *d, unsigned event, unsigned stream);
int device_event_query(device *d, unsigned event);
int device_timeline_record(device *d, unsigned stream, uint64_t *value);
int device_timeline_query(device *d, unsigned stream, uint64_t *value);

/* What the program does with the cache, as the referee has to know it. */
void device_hand_out(device *d, const void *ptr, size_t size);
void device_hand_out_on(device *d, const void *ptr, size_t size,
                        unsigned stream);                       /* for its work */
void device_hand_back(device *d, const void *ptr, size_t size); /* before the free */
void device_submit(device *d, const void *ptr, size_t size, unsigned stream);
void device_forget(device *d, unsigned stream); /* when forget_stream has returned OK */

void device_capture(device *d, bool begins); /* of some stream */

void device_finish(device *d);       /* all work is done */
void device_expect_empty(device *d); /* the cache is gone: nothing of it is left */

#endif
