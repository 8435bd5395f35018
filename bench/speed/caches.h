/* caches.h - declares the caches of bench_speed. Each is emitted by a file of its own, as in a
   user's program, so that the works reach it by calls alone. */

#ifndef BENCH_CACHES_H
#define BENCH_CACHES_H

#define HC_NAME events_cache /* event mode: events.c */
#include "hooks_event.h"
#include "hostcache.h"

#define HC_NAME pooled_cache /* event mode, events are objects: pooled.c */
#include "hooks_pooled.h"
#include "hostcache.h"

#define HC_NAME timeline_cache /* timeline mode: timeline.c */
#include "hooks_timeline.h"
#include "hostcache.h"

#define HC_NAME unthreaded_cache /* event mode, HOSTCACHE_THREADS_NONE: unthreaded.c */
#include "hooks_event.h"
#include "hostcache.h"

#define HC_NAME library_cache /* event mode, in a shared object: library.c */
#include "hooks_event.h"
#include "hostcache.h"

#define HC_NAME library_initial_cache /* the same, with HOSTCACHE_TLS_MODEL "initial-exec" */
#include "hooks_event.h"
#include "hostcache.h"

#endif
