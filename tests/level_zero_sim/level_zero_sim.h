/* level_zero_sim.h - a Level Zero driver that runs on the CPU, and referees the program that uses
   it.

   The stock loader loads it, as it loads a driver for a GPU:

     ZE_ENABLE_ALT_DRIVERS=/path/liblevel_zero_sim.so ./program

   CMake builds it (CMakeLists.txt), and so does one line, in this folder:

     cc -shared -fPIC -fvisibility=hidden -D_GNU_SOURCE -O2 -g -o liblevel_zero_sim.so
       driver.c events.c lists.c memory.c objects.c referee.c tables.c work.c
       -Wl,-Bsymbolic -Wl,-z,nodelete -pthread -ldl

   Commands are executed for real, by worker threads on real memory: asynchronously, and out of
   order wherever the specification leaves the order open. Each step of the program that the
   specification forbids is a violation: printed on stderr at once, and counted. A test ends with
   ze_sim_violations() == 0, or is run with ZE_SIM_EXIT=1. Reports name objects by the driver's own
   handles: the program has those too, unless the loader wraps them (with several drivers, or under
   ZE_ENABLE_LOADER_INTERCEPT=1; zelLoaderTranslateHandle then gives the driver's).

   WHAT IS MODELLED

     driver, device   one of each; one queue group that copies and computes, with 64 queues
     memory           host, device and shared memory. An address is aligned to what was asked for,
                      and to no more. Limits on bytes and on the size of one allocation, with the
                      relaxed-limits extension. What is freed is filled with 0xDD (and poisoned
                      under AddressSanitizer); the address that was freed last is handed out first
     queues, lists    regular and immediate command lists, open and closed; queues; one worker
                      thread for each queue and each immediate list; synchronous modes
     commands         copy, fill, barrier, ranges barrier, signal, wait, reset of an event, global
                      timestamp, prefetch and advice (which do nothing); each with its signal event
                      and its wait events
     events, fences   pools of a fixed count, host visible or not; fences
     device lost      nothing begins any more, what had begun signals nothing, and every call on the
                      device says so. Objects and memory can still be given back
     fork             the device stays with the parent: to the child it is lost

   The order of commands, per queue or immediate list:
     - Commands begin in order, so one whose wait events are not signalled holds back those behind
       it, unless its list has ZE_COMMAND_LIST_FLAG_RELAXED_ORDERING. Apart from that they end in
       any order, lists of the same queue included: a random one of those that may have begun is
       executed next. One that was appended late is preferred half of the time.
     - A barrier without wait events waits for all earlier commands of the queue. One with wait
       events waits for these events alone, as the specification has it. Nothing behind a barrier
       begins before it has ended.
     - A bare zeCommandListAppendSignalEvent waits for nothing, and so does the signal event of a
       command, but for that command.
     - A fence is signalled when the lists that it was submitted with have ended.

   NOT MODELLED

     Kernels, modules, images, samplers, virtual and physical memory, copies of regions and from
     other contexts, sharing between processes, timestamps of events, counter-based events, several
     devices, sub-devices, sysman, metrics, debugging: these give
     ZE_RESULT_ERROR_UNSUPPORTED_FEATURE. zeInitDrivers: newer loaders see that it is not there, and
     zeInit is. Caches of the device: memory is coherent, whatever the scopes of events. Pinning:
     memory is not locked into RAM. The host can read device memory. Two unordered commands that
     touch the same bytes are executed in some order, and not reported.

   STRICTER THAN THE SPECIFICATION

     Reported as well, because nobody means it: an event is signalled while it is signalled; it is
     given a second signal, or the host resets it, while a submitted command has still to signal
     it; the host resets it while a submitted command that waits for it has not begun; two threads
     record or reset the same event at once; the host sees a command's signal of an event that was
     created without ZE_EVENT_SCOPE_FLAG_HOST as its signal scope (once for each event; the default
     is "synchronization within the command list only"). An event, a fence, a queue or a list is
     destroyed while a thread of the host waits for it. A list is closed twice, or executed after
     memory of its commands was freed, though other memory is at that address now. A fence is
     submitted while it is signalled, or reset while it is pending. A descriptor's stype is wrong,
     or an unknown structure is chained to it. Ordinary memory (malloc) is given to a copy.

   CONTROLS

   The functions below. Link the program with this library too, by the path that the loader is
   told: both then see one instance. (The loader comes first: cc ... -lze_loader
   /path/liblevel_zero_sim.so. The other way round, the driver's functions would be taken for the
   loader's own of the same names; that is noticed, and ends the program.) Or ask
   zeDriverGetExtensionFunctionAddress for them by name, which needs no linking and tells two
   drivers apart. Or set the environment:

     ZE_SIM_SEED=number, ZE_SIM_DELAY_US=microseconds, ZE_SIM_WIDEN=one in so many
     ZE_SIM_HOST_LIMIT=bytes, ZE_SIM_DEVICE_LIMIT=bytes, ZE_SIM_MAX_ALLOC=bytes
     ZE_SIM_NO_RELAXED=1     the driver has no relaxed-limits extension
     ZE_SIM_FAIL=functions:n[+][:result]    as ze_sim_fail; the result is a number, 0x... too
     ZE_SIM_REPORT=1         at exit: every function's calls, what is alive, the violations, whose
                             number is printed without it too if it is not 0
     ZE_SIM_EXIT=1 to 255    at exit: with violations, or anything left alive, the process ends with
                             this status, and says why. What a fault kept alive does not count
     ZE_SIM_ABORT=1          the first violation aborts, for a debugger

   What is no number of 0 or more is ignored, with a line that says so. A second driver in the
   process (-DZE_SIM_COPY=2) calls itself "level zero sim two" in what it prints.

   All but ze_sim_reset may be called by any thread at any time. Free of any other project's
   headers. Linux, C11, gcc or clang. */

#ifndef LEVEL_ZERO_SIM_H
#define LEVEL_ZERO_SIM_H

#include <stddef.h>
#include <stdint.h>

#include <level_zero/ze_api.h>

#if defined __GNUC__
#define ZE_SIM_API __attribute__((visibility("default")))
#else
#define ZE_SIM_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- one run to the next --------------------------------------------------------------------- */

/* Back to what the environment says: faults, holds and losses are over, counters and books are
   empty. Says what is still alive, each kind as a violation, and takes it away. Returns the
   violations since the last reset, these included. No other thread may be in the driver. */
ZE_SIM_API uint64_t ze_sim_reset(void);

/* Violations since the last reset. The first 32 are printed in full. */
ZE_SIM_API uint64_t ze_sim_violations(void);

/* The text of the last one; "" if there is none. Valid until this thread asks again. */
ZE_SIM_API const char *ze_sim_last_violation(void);

/* Takes note of violations that a test expected: those of the last 64 whose text has this part.
   Returns how many there were, and takes them from the count. */
ZE_SIM_API uint64_t ze_sim_expected(const char *text);

/* Prints every function's calls, what is alive, and the number of violations on stderr. */
ZE_SIM_API void ze_sim_report(void);

typedef enum ze_sim_what {
  ZE_SIM_HOST_BYTES,   /* as asked for, without what alignment costs                         */
  ZE_SIM_DEVICE_BYTES, /* shared memory counts here if it belongs to the device, else as host */
  ZE_SIM_ALLOCATIONS,
  ZE_SIM_CONTEXTS,
  ZE_SIM_QUEUES,
  ZE_SIM_LISTS,
  ZE_SIM_POOLS,
  ZE_SIM_EVENTS,
  ZE_SIM_FENCES,
  ZE_SIM_COMMANDS, /* submitted, and not ended                                               */
  ZE_SIM_RUNNING,  /* of these, those that workers are at: at most one for each queue        */
  ZE_SIM_WHATS
} ze_sim_what;

/* How much of it is alive. */
ZE_SIM_API uint64_t ze_sim_live(ze_sim_what what);

/* ---- the device's time ----------------------------------------------------------------------- */

/* Where the random order of commands starts from. */
ZE_SIM_API void ze_sim_seed(uint64_t seed);

/* Each command takes at least so long. */
ZE_SIM_API void ze_sim_delay(uint64_t microseconds);

/* One in so many calls that must not be made by two threads at once (appends, closes, resets and
   executions of lists; resets and creations of events) stops in the middle and lets other threads
   run, so that those who do it meet and are reported. 1: each of them, for tests of races; 0: none;
   64 at first. */
ZE_SIM_API void ze_sim_widen(uint64_t one_in);

/* While it is on, no command begins. */
ZE_SIM_API void ze_sim_hold(int on);

/* Lets so many commands begin while held, and no more. */
ZE_SIM_API void ze_sim_step(uint64_t commands);

/* Waits until nothing runs and nothing may begin: all that is left waits for events, or is held. */
ZE_SIM_API void ze_sim_settle(void);

/* The device is lost, from now until the next reset. */
ZE_SIM_API void ze_sim_lose_device(void);

/* ---- failures -------------------------------------------------------------------------------- */

/* The n-th call from now (1 is the next) of any of `functions` returns `result` (0:
   ZE_RESULT_ERROR_UNKNOWN) and does nothing; `onwards`: and so do all that follow. Functions are
   names with commas between them; with a '-' before the first, all but these; NULL: all that the
   driver has. What could not be given back because of it is not reported as leaked. Replaces what
   was set before. Returns 0, or -1 if there is no function of such a name. */
ZE_SIM_API int ze_sim_fail(const char *functions, uint64_t n, int onwards, ze_result_t result);
ZE_SIM_API void ze_sim_fail_no_more(void);

/* How many calls failed since ze_sim_fail. */
ZE_SIM_API uint64_t ze_sim_fired(void);

/* How often any of these functions was called since the last reset; written as for ze_sim_fail. */
ZE_SIM_API uint64_t ze_sim_calls(const char *functions);

/* Bytes of host memory and of device memory, and the largest allocation. 0: no limit, and for the
   last the default, 4 GiB. */
ZE_SIM_API void ze_sim_limits(uint64_t host, uint64_t device, uint64_t max_alloc);

/* Whether the driver has the relaxed-limits extension. */
ZE_SIM_API void ze_sim_relaxed_limits(int on);

/* ---- the caller's book ----------------------------------------------------------------------- */

/* For a program that hands out parts of the driver's memory, as a cache does. Reported: a range is
   handed out while a submitted command that touches it has not ended, or while it is handed out,
   or where no memory is; memory is freed while a part of it is handed out. After the device was
   lost, what it had not ended is not over. */
ZE_SIM_API void ze_sim_handed_out(const void *ptr, size_t size);
ZE_SIM_API void ze_sim_handed_back(const void *ptr);

#ifdef __cplusplus
}
#endif

#endif
