/* Streams of every kind that == and the default hash take. */
#include "runtime.h"

typedef struct rt_queue rt_queue; /* never completed: a handle, as CUDA's and OpenCL's are */
typedef enum rail { RAIL_COPY, RAIL_COMPUTE } rail;

#define RECORD(value_ptr, stream) (*(value_ptr) = (uint64_t)((stream) != 0), hostcache_done())

#define HOSTCACHE_IMPLEMENTATION
#include "hooks_memory.h"
#define HC_NAME of_pointers
#define HC_STREAM_T rt_queue *
#define HC_TIMELINE
#define HC_TIMELINE_RECORD(ctx, stream, value_ptr) ((void)(ctx), RECORD(value_ptr, stream))
#define HC_TIMELINE_QUERY(ctx, stream, value_ptr) ((void)(ctx), RECORD(value_ptr, stream))
#include "hostcache.h"

#include "hooks_memory.h"
#define HC_NAME of_wide_integers
#define HC_STREAM_T uint64_t
#define HC_TIMELINE
#define HC_TIMELINE_RECORD(ctx, stream, value_ptr) ((void)(ctx), RECORD(value_ptr, stream))
#define HC_TIMELINE_QUERY(ctx, stream, value_ptr) ((void)(ctx), RECORD(value_ptr, stream))
#include "hostcache.h"

#include "hooks_memory.h"
#define HC_NAME of_small_integers
#define HC_STREAM_T signed char
#define HC_TIMELINE
#define HC_TIMELINE_RECORD(ctx, stream, value_ptr) ((void)(ctx), RECORD(value_ptr, stream))
#define HC_TIMELINE_QUERY(ctx, stream, value_ptr) ((void)(ctx), RECORD(value_ptr, stream))
#include "hostcache.h"

#include "hooks_memory.h"
#define HC_NAME of_enumerators
#define HC_STREAM_T rail
#define HC_TIMELINE
#define HC_TIMELINE_RECORD(ctx, stream, value_ptr) ((void)(ctx), RECORD(value_ptr, stream))
#define HC_TIMELINE_QUERY(ctx, stream, value_ptr) ((void)(ctx), RECORD(value_ptr, stream))
#include "hostcache.h"
