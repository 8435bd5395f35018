/* work.c - lanes and their workers: which command is next, what it does, and what its end means. */

#include "work.h"

/* So many of the oldest commands are looked at to choose one: more would take time, and no program
   could tell. */
#define SIM_WINDOW 64

static sim_lane *sim_lanes;

/* ---- commands -------------------------------------------------------------------------------- */

size_t sim_command_size(uint32_t waits) {
  return sizeof(sim_command) + waits * sizeof(sim_event *);
}

void sim_each_event(const sim_command *command, void (*call)(sim_event *event)) {
  uint32_t i;
  if (command->signal != NULL) call(command->signal);
  if (command->reset != NULL) call(command->reset);
  for (i = 0; i < command->wait_count; i++) call(command->waits[i]);
}

void sim_event_keep(sim_event *event) { sim_object_keep(&event->object); }
void sim_event_let_go(sim_event *event) { sim_object_let_go(&event->object); }
static void sim_event_use(sim_event *event) { event->object.uses++; }
static void sim_event_unuse(sim_event *event) { event->object.uses--; }

void sim_push(sim_command **first, sim_command **last, sim_command *command) {
  command->next = NULL;
  command->previous = *last;
  *(*last != NULL ? &(*last)->next : first) = command;
  *last = command;
}

void sim_unlink(sim_command **first, sim_command **last, sim_command *command) {
  *(command->previous != NULL ? &command->previous->next : first) = command->next;
  *(command->next != NULL ? &command->next->previous : last) = command->previous;
}

/* ---- memory of commands ---------------------------------------------------------------------- */

static void sim_bind(sim_use *use) {
  if (use->size == 0) return;
  use->memory = sim_memory_around(use->start, use->size);
  use->memory->object.uses++;
  sim_object_keep(&use->memory->object);
}

static void sim_unbind(sim_use *use) {
  sim_memory *memory = use->memory;
  if (memory == NULL) return;
  use->memory = NULL;
  if (--memory->object.uses == 0 && memory->ends_with_last_use && memory->object.alive)
    sim_memory_release(memory);
  sim_object_let_go(&memory->object);
}

static bool sim_touches(const sim_command *command, uintptr_t start, size_t size) {
  return (command->to.memory != NULL && command->to.memory->object.alive &&
          sim_overlap(command->to.start, command->to.size, start, size)) ||
         (command->from.memory != NULL && command->from.memory->object.alive &&
          sim_overlap(command->from.start, command->from.size, start, size));
}

sim_user sim_unfinished_work_on(uintptr_t start, size_t size) {
  const sim_memory *memory = sim_memory_around(start, 1);
  const sim_lane *lane;
  const sim_command *command;
  if (memory == NULL || memory->object.uses == 0) return (sim_user){NULL, NULL};
  for (lane = sim_lanes; lane != NULL; lane = lane->next)
    for (command = lane->first; command != NULL; command = command->next)
      if (sim_touches(command, start, size)) return (sim_user){command->call, lane->object};
  return (sim_user){NULL, NULL};
}

void sim_spoil_work_on(const sim_memory *memory) {
  const sim_lane *lane;
  sim_command *command;
  if (memory->object.uses == 0) return;
  for (lane = sim_lanes; lane != NULL; lane = lane->next)
    for (command = lane->first; command != NULL; command = command->next)
      if (command->to.memory == memory || command->from.memory == memory) command->spoiled = true;
}

/* ---- the end of a command -------------------------------------------------------------------- */

static void sim_wake(sim_lane *lane) {
  if (lane->sleeping) pthread_cond_signal(&lane->wake);
}

void sim_wake_lanes(void) {
  sim_lane *lane;
  for (lane = sim_lanes; lane != NULL; lane = lane->next)
    if (lane->first != NULL) sim_wake(lane);
}

void sim_signal(sim_event *event, const sim_command *by) {
  if (event->signalled && by == NULL) {
    sim_violation("event %p is signalled while it is signalled: it was not reset",
                  sim_handle(event));
  } else if (event->signalled && !by->told) {
    sim_violation(
        "%s on command list %p: event %p is signalled while it is signalled: it was not "
        "reset",
        by->call, sim_handle(by->list), sim_handle(event));
  }
  event->signalled = true;
  event->by_device = by != NULL;
  sim_wake_lanes();
}

/* The command has nothing to do any more with what the program can destroy; its memory is still
   its. For a lost device this is all that happens. */
static void sim_detach(sim_command *command) {
  uint32_t i;
  if (command->list == NULL) return;
  if (command->signal != NULL) command->signal->signals--;
  if (command->reset != NULL) command->reset->resets--;
  for (i = 0; i < command->wait_count && !command->begun; i++) command->waits[i]->waiting--;
  sim_each_event(command, sim_event_unuse);
  sim_each_event(command, sim_event_let_go);
  command->signal = command->reset = NULL;
  command->wait_count = 0;
  command->list->object.uses--;
  sim_object_let_go(&command->list->object);
  command->list = NULL;
  if (command->batch != NULL && --command->batch->left == 0) {
    sim_fence *fence = command->batch->fence;
    fence->signalled = !sim.lost;
    fence->object.uses--;
    sim_object_let_go(&fence->object);
    free(command->batch);
  }
  command->batch = NULL;
}

static void sim_drop(sim_lane *lane, sim_command *command) {
  sim_detach(command);
  sim_unbind(&command->to);
  sim_unbind(&command->from);
  sim_unlink(&lane->first, &lane->last, command);
  free(command);
  sim.commands--;
}

static void sim_finish(sim_lane *lane, sim_command *command) {
  if (command->reset != NULL) command->reset->signalled = false;
  if (command->signal != NULL) sim_signal(command->signal, command);
  sim_drop(lane, command);
}

void sim_abandon_work(void) {
  sim_lane *lane;
  sim_command *command;
  for (lane = sim_lanes; lane != NULL; lane = lane->next) {
    for (command = lane->first; command != NULL; command = command->next)
      if (command != lane->running) sim_detach(command);
    pthread_cond_signal(&lane->wake); /* a delay is over */
  }
}

void sim_orphan_lanes(void) {
  sim_lane *lane;
  sim_command *command;
  for (lane = sim_lanes; lane != NULL; lane = lane->next) {
    for (command = lane->first; command != NULL; command = command->next) {
      if (command->to.memory != NULL) command->to.memory->moving = 0;
      if (command->from.memory != NULL) command->from.memory->moving = 0;
    }
    lane->has_worker = lane->sleeping = false;
    lane->running = NULL;
    sim_condition_init(&lane->wake); /* it still counts the worker that slept in it */
  }
  sim_abandon_work();
}

/* ---- the choice of a command ----------------------------------------------------------------- */

static bool sim_waits_are_over(const sim_command *command) {
  uint32_t i;
  if (command->begun) return true;
  for (i = 0; i < command->wait_count; i++)
    if (!command->waits[i]->signalled) return false;
  return true;
}

/* Whether it may begin, but for its wait events. */
static bool sim_is_in_turn(const sim_command *command) {
  const sim_command *before = command->previous;
  if (before == NULL) return true;
  if (command->work == SIM_BARRIER && command->wait_count == 0) return false;
  return !command->list->in_order || before->list != command->list;
}

/* Puts those that may begin into `ready`, and returns how many. Those before the first that blocks
   the way have all begun or may begin, so the order in which they end is open. */
static size_t sim_ready(const sim_lane *lane, sim_command *ready[SIM_WINDOW]) {
  size_t count = 0, seen = 0;
  sim_command *command;
  if (sim.lost || sim.stopping || (sim.held && sim.steps == 0)) return 0;
  for (command = lane->first; command != NULL && seen < SIM_WINDOW; command = command->next) {
    seen++;
    if (!sim_is_in_turn(command)) break;
    if (sim_waits_are_over(command)) {
      ready[count++] = command;
    } else if (!command->list->relaxed) {
      break;
    }
    if (command->work == SIM_BARRIER || command->work == SIM_WAIT) break;
  }
  return count;
}

/* Its wait events are behind it, and may be reset. */
static void sim_begin_command(sim_command *command) {
  uint32_t i;
  if (command->begun) return;
  command->begun = true;
  for (i = 0; i < command->wait_count; i++) command->waits[i]->waiting--;
}

static sim_command *sim_choose(const sim_lane *lane) {
  sim_command *ready[SIM_WINDOW];
  const size_t count = sim_ready(lane, ready);
  uint64_t random;
  size_t chosen, i;
  if (count == 0) return NULL;
  random = sim_random(&sim.random);
  chosen = random >> 63 != 0 ? count - 1 : (random >> 11) % count;
  for (i = 0; i <= chosen; i++)
    sim_begin_command(ready[i]); /* in order; which ends first is open */
  return ready[chosen];
}

uint64_t sim_lanes_running(void) {
  const sim_lane *lane;
  uint64_t running = 0;
  for (lane = sim_lanes; lane != NULL; lane = lane->next) running += lane->running != NULL;
  return running;
}

bool sim_lanes_settled(void) {
  sim_command *ready[SIM_WINDOW];
  const sim_lane *lane;
  for (lane = sim_lanes; lane != NULL; lane = lane->next)
    if (lane->running != NULL || (lane->first != NULL && sim_ready(lane, ready) != 0)) return false;
  return true;
}

/* ---- the worker ------------------------------------------------------------------------------ */

static void sim_fill(const sim_command *command) {
  unsigned char *to = (unsigned char *)command->to.start;
  size_t done = command->pattern_size < command->to.size ? command->pattern_size : command->to.size;
  memcpy(to, command->pattern, done);
  while (done < command->to.size) {
    const size_t left = command->to.size - done;
    const size_t more = done < left ? done : left; /* whole patterns, but for the last */
    memcpy(to + done, to, more);
    done += more;
  }
}

static void sim_move(const sim_command *command) {
  const uint64_t now = sim_now_ns();
  switch (command->work) {
    case SIM_COPY:
      memmove((void *)command->to.start, (const void *)command->from.start, command->to.size);
      break;
    case SIM_FILL: sim_fill(command); break;
    case SIM_TIMESTAMP: memcpy((void *)command->to.start, &now, sizeof now); break;
    default: break;
  }
}

static void sim_pass_the_time(sim_lane *lane) {
  const uint64_t end = sim_deadline(sim.delay_us * 1000);
  if (sim.delay_us == 0) return;
  while (!sim.lost && !lane->ending && sim_now_ns() < end) sim_wait_on(&lane->wake, end);
}

static void sim_execute_one(sim_lane *lane, sim_command *command) {
  lane->running = command;
  if (sim.held) sim.steps--;
  sim_pass_the_time(lane);
  if (sim.delay_us != 0 && !sim.lost && !lane->ending) { /* what came meanwhile may end first */
    sim_command *other = sim_choose(lane);
    if (other != NULL) lane->running = command = other;
  }
  if (!sim.lost && !lane->ending && !command->spoiled && command->to.size != 0) {
    sim_memory *to = command->to.memory, *from = command->from.memory;
    to->moving++;
    if (from != NULL) from->moving++;
    pthread_mutex_unlock(&sim.lock);
    sim_move(command);
    pthread_mutex_lock(&sim.lock);
    to->moving--;
    if (from != NULL) from->moving--;
  }
  lane->running = NULL;
  if (sim.lost || lane->ending) {
    sim_detach(command);
  } else {
    sim_finish(lane, command);
  }
  sim_progress();
}

static void *sim_work_on(void *argument) {
  sim_lane *lane = argument;
  pthread_mutex_lock(&sim.lock);
  while (!lane->ending) {
    sim_command *command = sim_choose(lane);
    if (command != NULL) {
      sim_execute_one(lane, command);
      continue;
    }
    sim_progress(); /* settled, perhaps */
    lane->sleeping = true;
    pthread_cond_wait(&lane->wake, &sim.lock);
    lane->sleeping = false;
  }
  pthread_mutex_unlock(&sim.lock);
  return NULL;
}

/* ---- lanes ----------------------------------------------------------------------------------- */

bool sim_lane_begin(sim_lane *lane, sim_object *object, bool synchronous) {
  lane->object = object;
  lane->synchronous = synchronous;
  sim_condition_init(&lane->wake);
  if (sim.stopping || pthread_create(&lane->worker, NULL, sim_work_on, lane) != 0) {
    pthread_cond_destroy(&lane->wake);
    return false;
  }
  lane->has_worker = true;
  lane->next = sim_lanes;
  if (sim_lanes != NULL) sim_lanes->previous = lane;
  sim_lanes = lane;
  return true;
}

static void sim_lane_stop(sim_lane *lane) {
  if (!lane->has_worker) return;
  lane->has_worker = false;
  lane->ending = true;
  pthread_cond_signal(&lane->wake);
  pthread_mutex_unlock(&sim.lock);
  pthread_join(lane->worker, NULL);
  pthread_mutex_lock(&sim.lock);
}

void sim_lane_end(sim_lane *lane) {
  sim_lane_stop(lane);
  while (lane->first != NULL) sim_drop(lane, lane->first);
  *(lane->previous != NULL ? &lane->previous->next : &sim_lanes) = lane->next;
  if (lane->next != NULL) lane->next->previous = lane->previous;
  pthread_cond_destroy(&lane->wake);
}

void sim_stop_lanes(void) {
  sim_lane *lane = sim_lanes;
  while (lane != NULL) {
    if (lane->has_worker) {
      sim_lane_stop(lane);
      lane = sim_lanes; /* they may have changed */
    } else {
      lane = lane->next;
    }
  }
}

/* How a wait of the host has ended; lets go of the object. */
static ze_result_t sim_end_wait(sim_object *object, bool done) {
  const bool alive = object->alive;
  object->awaited--;
  sim_object_let_go(object);
  if (!alive) return ZE_RESULT_ERROR_INVALID_ARGUMENT; /* the referee has told who destroyed it */
  if (sim.lost) return ZE_RESULT_ERROR_DEVICE_LOST;
  return done ? ZE_RESULT_SUCCESS : ZE_RESULT_NOT_READY;
}

ze_result_t sim_lane_wait(sim_lane *lane, uint64_t serial, uint64_t timeout) {
  const uint64_t deadline = timeout == 0 ? 0 : sim_deadline(timeout);
  sim_object_keep(lane->object);
  lane->object->awaited++;
  while (lane->first != NULL && lane->first->serial <= serial && !sim.lost && timeout != 0 &&
         sim_now_ns() < deadline)
    sim_wait_for_progress(deadline);
  return sim_end_wait(lane->object, lane->first == NULL || lane->first->serial > serial);
}

ze_result_t sim_host_wait(sim_object *object, const bool *signalled, uint64_t timeout) {
  const uint64_t deadline = timeout == 0 ? 0 : sim_deadline(timeout);
  sim_object_keep(object);
  object->awaited++;
  while (!*signalled && !sim.lost && object->alive && timeout != 0 && sim_now_ns() < deadline)
    sim_wait_for_progress(deadline);
  return sim_end_wait(object, *signalled);
}

bool sim_lane_is_busy(const sim_lane *lane) { return lane->first != NULL && !sim.lost; }

void sim_submit(sim_lane *lane, sim_command *command) {
  sim_event *signal = command->signal;
  uint32_t i;
  if (signal != NULL) {
    if (signal->signals != 0 && signal->resets == 0) {
      sim_violation(
          "event %p is given a second signal while a submitted command has still to "
          "signal it",
          sim_handle(signal));
      command->told = true;
    }
    signal->signals++;
  }
  if (command->reset != NULL) command->reset->resets++;
  for (i = 0; i < command->wait_count; i++) command->waits[i]->waiting++;
  sim_each_event(command, sim_event_keep);
  sim_each_event(command, sim_event_use);
  sim_object_keep(&command->list->object);
  command->list->object.uses++;
  sim_bind(&command->to);
  sim_bind(&command->from);
  command->serial = ++lane->serial;
  sim_push(&lane->first, &lane->last, command);
  sim.commands++;
  sim_wake(lane);
}
