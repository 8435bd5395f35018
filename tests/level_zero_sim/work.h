/* work.h - what runs on a device: lanes, commands, and the objects that submit and hold them.

   A lane is what executes commands in the order that the specification leaves: a worker thread, and
   the commands that were submitted to it and have not ended. A queue has one, and an immediate list
   has one. A regular list only holds commands; executing it submits copies of them.

     work.c     lanes and workers
     lists.c    queues and lists: append, close, execute
     events.c   events, their pools, and fences */

#ifndef LEVEL_ZERO_SIM_WORK_H
#define LEVEL_ZERO_SIM_WORK_H

#include "tables.h"

/* ---- types ----------------------------------------------------------------------------------- */

typedef struct sim_command sim_command;

typedef struct sim_lane {
  sim_object *object; /* the queue or the immediate list that it belongs to */
  pthread_t worker;
  pthread_cond_t wake;              /* of the worker */
  bool has_worker, ending;          /* ending: the worker returns as soon as it can */
  bool sleeping, synchronous;       /* sleeping: the worker waits for something to do */
  sim_command *first, *last;        /* by their serials */
  sim_command *running;             /* one of them, or NULL */
  uint64_t serial;                  /* of the last that was submitted */
  struct sim_lane *next, *previous; /* of all lanes */
} sim_lane;

typedef struct sim_queue {
  sim_object object;
  sim_lane lane;
} sim_queue;

typedef struct sim_list {
  sim_object object; /* its uses are its commands under way */
  bool immediate, closed, relaxed, in_order;
  sim_command *first, *last; /* of a regular list */
  sim_lane lane;             /* of an immediate list */
} sim_list;

/* What was submitted with one fence. */
typedef struct sim_batch {
  sim_fence *fence;
  uint64_t left; /* commands */
} sim_batch;

typedef enum sim_work {
  SIM_NOTHING, /* only waits and signals */
  SIM_COPY,
  SIM_FILL,
  SIM_TIMESTAMP,
  SIM_BARRIER, /* nothing behind it begins before it has ended; so for SIM_WAIT */
  SIM_WAIT
} sim_work;

typedef struct sim_use {
  uintptr_t start;
  size_t size;        /* 0: none */
  uint64_t id;        /* of the memory, once it was found; 0: not yet. Addresses come again */
  sim_memory *memory; /* once it is submitted */
} sim_use;

struct sim_command {
  sim_command *next, *previous;
  sim_work work;
  const char *call; /* that appended it */
  sim_use to, from;
  unsigned char pattern[SIM_PATTERN];
  size_t pattern_size;
  sim_event *signal, *reset;
  bool told;    /* the referee has complained about its signal already */
  bool spoiled; /* its memory was freed */
  bool begun;   /* its wait events were signalled in its turn: they are not looked at again */
  uint64_t serial;
  sim_list *list;
  sim_batch *batch; /* NULL: no fence */
  uint32_t wait_count;
  sim_event *waits[];
};

/* ---- functions ------------------------------------------------------------------------------- */

size_t sim_command_size(uint32_t waits);

/* Calls it for every event that the command has to do with. */
void sim_each_event(const sim_command *command, void (*call)(sim_event *event));
void sim_event_keep(sim_event *event);
void sim_event_let_go(sim_event *event);

void sim_push(sim_command **first, sim_command **last, sim_command *command);
void sim_unlink(sim_command **first, sim_command **last, sim_command *command);

/* The event is signalled, by this command or (NULL) by the host. */
void sim_signal(sim_event *event, const sim_command *by);

/* Hands a command that was checked to the lane, which owns it from here on. */
void sim_submit(sim_lane *lane, sim_command *command);

/* False if the system gives no thread. sim_lane_end stops the worker, and lets go of the lock
   while it does; the object must be kept by the caller. */
bool sim_lane_begin(sim_lane *lane, sim_object *object, bool synchronous);
void sim_lane_end(sim_lane *lane);
bool sim_lane_is_busy(const sim_lane *lane);

/* Waits until all that was submitted up to this serial has ended. */
ze_result_t sim_lane_wait(sim_lane *lane, uint64_t serial, uint64_t timeout);

/* Waits until *signalled, which belongs to the object. */
ze_result_t sim_host_wait(sim_object *object, const bool *signalled, uint64_t timeout);

/* Whether a command of a list of this context may have this event. NULL: any context. */
ze_result_t sim_check_event(const sim_event *event, const sim_object *context);

#endif
