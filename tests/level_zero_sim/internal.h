/* internal.h - what the files of the driver share.

     referee.c   the one lock, calls and faults, violations, the controls, the beginning and the end
     objects.c   handles, and who owns what
     driver.c    driver, device, contexts
     memory.c    memory, and the caller's book
     work.c      what executes commands; lists.c and events.c: what submits and orders them
     tables.c    what the loader asks for

   One lock guards everything, so that a check and what it allows are one step, and the driver is
   easy to trust. Workers let go of it only while they move bytes or pass the time. */

#ifndef LEVEL_ZERO_SIM_INTERNAL_H
#define LEVEL_ZERO_SIM_INTERNAL_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <level_zero/ze_api.h>

#include "level_zero_sim.h"

/* ---- numbers --------------------------------------------------------------------------------- */

#ifndef ZE_SIM_COPY /* which copy of the driver this is, where there are several in a process */
#define ZE_SIM_COPY 1
#endif

#if ZE_SIM_COPY == 1 /* what every line that it prints begins with */
#define SIM_NAME "level zero sim"
#else
#define SIM_NAME "level zero sim two"
#endif

/* Two more came with 1.7. */
#define SIM_LAST_ADVICE \
  ((unsigned)ZE_MEMORY_ADVICE_BIAS_UNCACHED + (SIM_HEADER_HAS(1, 7) ? 2u : 0u))

#define SIM_QUEUES 64u /* of the device's one group */
#define SIM_PATTERN 16 /* bytes of the largest pattern of a fill */

/* The version of Level Zero's header. Newer ones say it as a macro too, and mean that. */
#if defined ZE_API_VERSION_CURRENT_M
#define SIM_HEADER_VERSION ZE_API_VERSION_CURRENT_M
#define SIM_HEADER_HAS(major, minor) (ZE_API_VERSION_CURRENT_M >= ZE_MAKE_VERSION(major, minor))
#else
#define SIM_HEADER_VERSION ZE_API_VERSION_CURRENT
#define SIM_HEADER_HAS(major, minor) 0
#endif

/* Lists that keep their order came with 1.9. */
#if SIM_HEADER_HAS(1, 9)
#define SIM_QUEUE_IN_ORDER ((uint32_t)ZE_COMMAND_QUEUE_FLAG_IN_ORDER)
#define SIM_LIST_IN_ORDER ((uint32_t)ZE_COMMAND_LIST_FLAG_IN_ORDER)
#else
#define SIM_QUEUE_IN_ORDER 0u
#define SIM_LIST_IN_ORDER 0u
#endif

/* ---- functions ------------------------------------------------------------------------------- */

/* What the driver implements, and when it works: USES the device; ANY time, also when the device is
   lost; ENDS an object, which works also then. */
#define SIM_FUNCTIONS(X)                           \
  X(zeInit, ANY)                                   \
  X(zeDriverGet, ANY)                              \
  X(zeDriverGetApiVersion, ANY)                    \
  X(zeDriverGetProperties, ANY)                    \
  X(zeDriverGetIpcProperties, ANY)                 \
  X(zeDriverGetExtensionProperties, ANY)           \
  X(zeDriverGetExtensionFunctionAddress, ANY)      \
  X(zeDeviceGet, ANY)                              \
  X(zeDeviceGetSubDevices, USES)                   \
  X(zeDeviceGetProperties, USES)                   \
  X(zeDeviceGetComputeProperties, USES)            \
  X(zeDeviceGetModuleProperties, USES)             \
  X(zeDeviceGetCommandQueueGroupProperties, USES)  \
  X(zeDeviceGetMemoryProperties, USES)             \
  X(zeDeviceGetMemoryAccessProperties, USES)       \
  X(zeDeviceGetCacheProperties, USES)              \
  X(zeDeviceGetImageProperties, USES)              \
  X(zeDeviceGetExternalMemoryProperties, USES)     \
  X(zeDeviceGetP2PProperties, USES)                \
  X(zeDeviceCanAccessPeer, USES)                   \
  X(zeDeviceGetStatus, USES)                       \
  X(zeDeviceGetGlobalTimestamps, USES)             \
  X(zeContextCreate, USES)                         \
  X(zeContextCreateEx, USES)                       \
  X(zeContextDestroy, ENDS)                        \
  X(zeContextGetStatus, USES)                      \
  X(zeContextSystemBarrier, USES)                  \
  X(zeContextMakeMemoryResident, USES)             \
  X(zeContextEvictMemory, USES)                    \
  X(zeMemAllocHost, USES)                          \
  X(zeMemAllocDevice, USES)                        \
  X(zeMemAllocShared, USES)                        \
  X(zeMemFree, ENDS)                               \
  X(zeMemFreeExt, ENDS)                            \
  X(zeMemGetAllocProperties, USES)                 \
  X(zeMemGetAddressRange, USES)                    \
  X(zeCommandQueueCreate, USES)                    \
  X(zeCommandQueueDestroy, ENDS)                   \
  X(zeCommandQueueExecuteCommandLists, USES)       \
  X(zeCommandQueueSynchronize, USES)               \
  X(zeCommandListCreate, USES)                     \
  X(zeCommandListCreateImmediate, USES)            \
  X(zeCommandListDestroy, ENDS)                    \
  X(zeCommandListClose, USES)                      \
  X(zeCommandListReset, USES)                      \
  X(zeCommandListHostSynchronize, USES)            \
  X(zeCommandListAppendMemoryCopy, USES)           \
  X(zeCommandListAppendMemoryFill, USES)           \
  X(zeCommandListAppendBarrier, USES)              \
  X(zeCommandListAppendMemoryRangesBarrier, USES)  \
  X(zeCommandListAppendSignalEvent, USES)          \
  X(zeCommandListAppendWaitOnEvents, USES)         \
  X(zeCommandListAppendEventReset, USES)           \
  X(zeCommandListAppendWriteGlobalTimestamp, USES) \
  X(zeCommandListAppendMemoryPrefetch, USES)       \
  X(zeCommandListAppendMemAdvise, USES)            \
  X(zeEventPoolCreate, USES)                       \
  X(zeEventPoolDestroy, ENDS)                      \
  X(zeEventCreate, USES)                           \
  X(zeEventDestroy, ENDS)                          \
  X(zeEventHostSignal, USES)                       \
  X(zeEventHostReset, USES)                        \
  X(zeEventHostSynchronize, USES)                  \
  X(zeEventQueryStatus, USES)                      \
  X(zeFenceCreate, USES)                           \
  X(zeFenceDestroy, ENDS)                          \
  X(zeFenceHostSynchronize, USES)                  \
  X(zeFenceQueryStatus, USES)                      \
  X(zeFenceReset, USES)

typedef enum sim_function {
#define X(name, when) FN_##name,
  SIM_FUNCTIONS(X)
#undef X
      FN_COUNT
} sim_function;

/* Every entry of a table is `return SIM_CALL(zeName, what to do under the lock)`. A call that a
   fault is set for, and one on a lost device, does nothing. */
#define SIM_CALL(name, body) \
  (sim_enter(FN_##name) == ZE_RESULT_SUCCESS ? sim_leave(body) : sim_leave(sim_refusal()))

/* The same for what ends `object` (a handle, or memory): if a fault keeps it alive, that is not the
   program's leak. */
#define SIM_CALL_END(name, object, body)                       \
  (sim_enter(FN_##name) == ZE_RESULT_SUCCESS ? sim_leave(body) \
                                             : (sim_excuse(object), sim_leave(sim_refusal())))

/* Takes the lock, counts the call, and says whether it may go on. */
ze_result_t sim_enter(sim_function function);
ze_result_t sim_refusal(void); /* what the last sim_enter of this thread said */
ze_result_t sim_leave(ze_result_t result);

/* The same for a control that may report something; sim_leave ends it too. */
void sim_enter_control(const char *name);
const char *sim_call_name(void); /* of the call that this thread is in; NULL: of none */

/* ---- objects --------------------------------------------------------------------------------- */

typedef enum sim_kind {
  SIM_NO_KIND, /* a handle never has it */
  SIM_DRIVER,
  SIM_DEVICE,
  SIM_CONTEXT,
  SIM_QUEUE,
  SIM_LIST,
  SIM_POOL,
  SIM_EVENT,
  SIM_FENCE,
  SIM_MEMORY, /* known by its address, not by a handle */
  SIM_KINDS
} sim_kind;

/* An object is alive until it is destroyed, and its struct is there until nothing refers to it any
   more. A handle is a number that is never given twice, so that a stale one is always told from a
   live one. */
typedef struct sim_object {
  sim_kind kind;
  bool alive;
  bool excused; /* a fault kept it alive */
  uintptr_t handle;
  uint64_t uses;    /* by submitted commands that have not ended: it must not be destroyed */
  uint64_t awaited; /* by so many threads of the host: it must not be destroyed */
  uint64_t inside;  /* calls in it now that must not be from two threads at once */
  uint64_t refs;    /* what keeps the struct, being alive among it */
  struct sim_object *owner; /* context; a fence's queue; an event's pool. NULL: none (any more) */
  struct sim_object *first, *next, *previous; /* what it owns; its siblings */
} sim_object;

typedef struct sim_context {
  sim_object object;
} sim_context;

typedef struct sim_pool {
  sim_object object;
  bool host_visible;
  uint32_t count;
  struct sim_event **slots;
} sim_pool;

typedef struct sim_event {
  sim_object object;
  sim_context *context;
  bool host_visible, host_scope; /* scope: its signal makes what was written visible to the host */
  bool signalled;
  bool by_device, told; /* a command signalled it last; the host was told about the scope */
  uint32_t index;
  uint64_t signals, resets; /* submitted, and not ended */
  uint64_t waiting;         /* submitted commands that have not begun, because of it or not yet */
} sim_event;

typedef struct sim_fence {
  sim_object object;
  bool signalled;
} sim_fence;

typedef struct sim_memory {
  sim_object object;
  ze_memory_type_t type;
  bool on_device; /* counts as device memory */
  bool leaving;   /* is being freed: nobody finds it any more */
  bool ends_with_last_use;
  uint64_t id;
  uintptr_t start;
  size_t size;
  uint64_t moving; /* workers in it now, without the lock */
  void *base;      /* what was mapped */
  size_t mapped;
} sim_memory;

/* A new object: alive, with a handle, owned. Never NULL: a machine without memory aborts. */
void *sim_object_new(sim_kind kind, size_t size, sim_object *owner);
void sim_object_end(sim_object *object); /* not alive any more; lets go */
void sim_object_keep(sim_object *object);
void sim_object_let_go(sim_object *object);
void sim_object_move(sim_object *object, sim_object *owner);
const char *sim_kind_name(sim_kind kind);
#define sim_handle(what) ((void *)(what)->object.handle) /* for reports */

/* The live object of a handle, which NULL never has. Says what is wrong, if it is not NULL. */
void *sim_find(sim_kind kind, const void *handle);
/* What a call returns for a handle that is not there. */
#define sim_missing(handle) \
  ((handle) == NULL ? ZE_RESULT_ERROR_INVALID_NULL_HANDLE : ZE_RESULT_ERROR_INVALID_ARGUMENT)
sim_object *sim_peek(const void *handle); /* the same for any kind, and says nothing */
void sim_excuse(const void *handle_or_memory);

/* True and a violation if it still owns something. What faults kept alive in it is released. */
bool sim_owns_something(sim_object *object);
void sim_release(sim_object *object); /* whatever it is, with what it owns */

/* For what must not be called from two threads at once on the same object. */
void sim_go_inside(sim_object *object, const char *what);
void sim_go_outside(sim_object *object);
void sim_widen(void); /* lets go of the lock for a moment, so that threads meet */
/* The same inside of an object. Not a success: it was destroyed meanwhile, or the device lost. */
ze_result_t sim_linger(const sim_object *object);
void sim_forget_threads(void); /* a child after fork: nobody waits, and nobody is inside */

void *sim_allocate(size_t size);            /* zeroed; aborts if there is none */
void *sim_grown(void *at, size_t new_size); /* as realloc; aborts if there is none */
void sim_release_excused(void);             /* contexts that only faults kept */
void sim_release_everything(void);          /* for the reset */

/* ---- ranges of addresses --------------------------------------------------------------------- */

/* Disjoint ranges, sorted by their start. */
typedef struct sim_range {
  uintptr_t start;
  size_t size;
  sim_memory *memory; /* NULL in the caller's book */
} sim_range;

typedef struct sim_ranges {
  sim_range *at;
  size_t count, room;
} sim_ranges;

bool sim_overlap(uintptr_t a, size_t a_size, uintptr_t b, size_t b_size);
sim_range *sim_ranges_overlapping(const sim_ranges *ranges, uintptr_t start, size_t size);
void sim_ranges_insert(sim_ranges *ranges, sim_range range);
void sim_ranges_remove(sim_ranges *ranges, sim_range *range);

/* ---- memory ---------------------------------------------------------------------------------- */

sim_memory *sim_memory_around(uintptr_t start, size_t size); /* NULL: not all of it is alive */
sim_memory *sim_memory_checked(const void *ptr, size_t size, const sim_context *context);
void sim_memory_release(sim_memory *memory);
void sim_memory_drop_cache(void);

/* ---- work ------------------------------------------------------------------------------------ */

void sim_wake_lanes(void);    /* something that all of them wait for has changed */
bool sim_lanes_settled(void); /* nothing runs, and nothing may begin */
uint64_t sim_lanes_running(void);
void sim_abandon_work(void); /* the device is lost */
void sim_stop_lanes(void);   /* at exit: no worker is left afterwards */

/* A command that was submitted and has not ended, as reports name it. */
typedef struct sim_user {
  const char *call;     /* that appended it. NULL: there is none */
  const sim_object *on; /* a queue or an immediate list */
} sim_user;
#define SIM_USER "%s on the %s %p"
#define sim_user_is(user) (user).call, sim_kind_name((user).on->kind), (void *)(user).on->handle

sim_user sim_unfinished_work_on(uintptr_t start, size_t size); /* the oldest */
void sim_orphan_lanes(void);                      /* a child after fork: they have no workers */
void sim_spoil_work_on(const sim_memory *memory); /* it was freed: commands leave it alone */
void sim_queue_release(sim_object *queue);
void sim_list_release(sim_object *list);
void sim_pool_release(sim_object *pool);
void sim_event_release(sim_object *event);

/* ---- the state ------------------------------------------------------------------------------- */

typedef struct sim_fault {
  bool armed, onwards;
  bool functions[FN_COUNT];
  uint64_t at, seen, fired;
  ze_result_t result;
} sim_fault;

#define SIM_REMEMBERED 64 /* violations whose text ze_sim_expected can still find */
#define SIM_TEXT 320      /* bytes of such a text, with its end */

/* LOCK: lock, all of it. */
typedef struct sim_state {
  pthread_mutex_t lock;
  pthread_cond_t progress; /* events, fences and lanes: the host may find what it waits for */
  uint64_t waiters;        /* of progress */
  bool stopping;           /* the process ends */
  bool orphan;             /* a child after fork: the device stayed with the parent */

  /* the controls */
  uint64_t delay_us;
  bool held;
  uint64_t steps; /* commands that may begin while held */
  bool lost;
  bool no_relaxed;
  bool abort_on_violation;
  uint64_t host_limit, device_limit, max_alloc;
  uint64_t random;
  uint64_t widen, widen_random;
  sim_fault fault;

  /* the books */
  uint64_t calls[FN_COUNT];
  uint64_t violations, ever_violations;
  char remembered[SIM_REMEMBERED][SIM_TEXT];
  uint64_t remembered_count;
  uint64_t live[SIM_KINDS];
  uint64_t host_bytes, device_bytes;
  uint64_t commands; /* submitted, and not ended */
  sim_ranges memory, handed_out;
} sim_state;

extern sim_state sim;

uint64_t sim_random(uint64_t *state);
uint64_t sim_now_ns(void);

/* A condition of the one lock; sim_wait_on returns at the deadline too. */
void sim_condition_init(pthread_cond_t *condition);
void sim_wait_on(pthread_cond_t *condition, uint64_t deadline);

/* Waits for progress, or until `deadline` (of sim_now_ns; UINT64_MAX: none) has passed. */
void sim_wait_for_progress(uint64_t deadline);
void sim_progress(void); /* wakes who waits for it */
uint64_t sim_deadline(uint64_t timeout_ns);

/* ---- violations ------------------------------------------------------------------------------ */

__attribute__((format(printf, 1, 2))) void sim_violation(const char *format, ...);

/* A violation, and the code that the call returns because of it. */
#define sim_wrong(code, ...) (sim_violation(__VA_ARGS__), (code))

/* The start of every descriptor and every structure of properties. */
typedef struct sim_header {
  ze_structure_type_t stype;
  const void *next;
} sim_header;

void sim_check_stype(const void *structure, ze_structure_type_t stype, const char *name);

/* The structure of this type in the chain, NULL if there is none; any other is a violation. */
const void *sim_chained(const void *desc, ze_structure_type_t stype, bool stype_is_known);

/* ---- what the loader gets -------------------------------------------------------------------- */

extern struct _ze_driver_handle_t *const sim_driver_handle;
extern struct _ze_device_handle_t *const sim_device_handle;
ze_result_t sim_check_driver(ze_driver_handle_t handle);
ze_result_t sim_check_device(ze_device_handle_t handle);

#endif
