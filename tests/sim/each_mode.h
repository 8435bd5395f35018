/* each_mode.h - the same tests in each mode. Define SUITE, the name of a file with a template of
   tests, and include this: the template is included once per mode, with these set:

     CACHE            the cache's name, which begins the names of its tests too
     CACHE_TIMELINE   in timeline mode (else in event mode)
     CACHE_EVENT_T    event mode: the type of an event
     CACHE_OWN_EVENT(d, stream)   ... one that the test owns, after all work so far
     CACHE_END_EVENT(d, event)    ... and what ends it when it stayed the test's
     CACHE_WAITS      the hooks that wait are there (the device then completes what is waited for)

   The caches: sim_pooled, sim_owned, sim_plain, sim_timeline, sim_waiting_pooled,
   sim_waiting_plain, sim_waiting_timeline. ON_EACH_MODE(test) lists a test of the template for all
   of them. */

#ifndef TESTS_SIM_EACH_MODE_H
#define TESTS_SIM_EACH_MODE_H

#define HC_NAME sim_pooled
#include "hooks_pooled.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME sim_owned
#include "hooks_owned.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME sim_plain
#include "hooks_plain.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME sim_timeline
#include "hooks_timeline.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME sim_waiting_pooled
#include "hooks_pooled.h"
#include "hooks_waits.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME sim_waiting_plain
#include "hooks_plain.h"
#include "hooks_waits.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define HC_NAME sim_waiting_timeline
#include "hooks_timeline.h"
#include "hooks_waits.h"
#define HC_IMPLEMENT
#include "hostcache.h"

#define ON_EACH_MODE_WITH_EVENTS(test)                                                          \
  ON(sim_pooled, test), ON(sim_owned, test), ON(sim_plain, test), ON(sim_waiting_pooled, test), \
      ON(sim_waiting_plain, test)
#define ON_EACH_MODE_WITH_TIMELINE(test) ON(sim_timeline, test), ON(sim_waiting_timeline, test)
#define ON_EACH_MODE_THAT_WAITS(test) \
  ON(sim_waiting_pooled, test), ON(sim_waiting_plain, test), ON(sim_waiting_timeline, test)
#define ON_EACH_MODE_THAT_POLLS(test) \
  ON(sim_pooled, test), ON(sim_owned, test), ON(sim_plain, test), ON(sim_timeline, test)
#define ON_NONE_IN_EACH_MODE(test)                                               \
  ON_NONE(sim_pooled, test), ON_NONE(sim_owned, test), ON_NONE(sim_plain, test), \
      ON_NONE(sim_timeline, test), ON_NONE(sim_waiting_pooled, test),            \
      ON_NONE(sim_waiting_plain, test), ON_NONE(sim_waiting_timeline, test)
#define ON_EACH_MODE_ALONE(test)                                                    \
  ON_ALONE(sim_pooled, test), ON_ALONE(sim_owned, test), ON_ALONE(sim_plain, test), \
      ON_ALONE(sim_timeline, test), ON_ALONE(sim_waiting_pooled, test),             \
      ON_ALONE(sim_waiting_plain, test), ON_ALONE(sim_waiting_timeline, test)
#define ON_EACH_MODE(test) ON_EACH_MODE_WITH_EVENTS(test), ON_EACH_MODE_WITH_TIMELINE(test)

static inline void sim_no_end(sim_device *d, sim_point point) {
  (void)d;
  (void)point;
}

#endif

/* ---- events that are objects ---- */

#define CACHE_EVENT_T sim_event
#define CACHE_OWN_EVENT(d, stream) sim_own_event(d, stream)
#define CACHE_END_EVENT(d, event) sim_own_event_end(d, event)

#define CACHE sim_pooled
#include "rig.h"
#include SUITE
#undef CACHE

#define CACHE sim_owned
#include "rig.h"
#include SUITE
#undef CACHE

#define CACHE_WAITS
#define CACHE sim_waiting_pooled
#include "rig.h"
#include SUITE
#undef CACHE
#undef CACHE_WAITS

#undef CACHE_EVENT_T
#undef CACHE_OWN_EVENT
#undef CACHE_END_EVENT

/* ---- events that are plain values ---- */

#define CACHE_EVENT_T sim_point
#define CACHE_OWN_EVENT(d, stream) sim_own_point(d, stream)
#define CACHE_END_EVENT(d, event) sim_no_end(d, event)

#define CACHE sim_plain
#include "rig.h"
#include SUITE
#undef CACHE

#define CACHE_WAITS
#define CACHE sim_waiting_plain
#include "rig.h"
#include SUITE
#undef CACHE
#undef CACHE_WAITS

#undef CACHE_EVENT_T
#undef CACHE_OWN_EVENT
#undef CACHE_END_EVENT

/* ---- timelines ---- */

#define CACHE_TIMELINE

#define CACHE sim_timeline
#include "rig.h"
#include SUITE
#undef CACHE

#define CACHE_WAITS
#define CACHE sim_waiting_timeline
#include "rig.h"
#include SUITE
#undef CACHE
#undef CACHE_WAITS

#undef CACHE_TIMELINE
