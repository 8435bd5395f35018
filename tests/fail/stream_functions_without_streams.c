/* variants: record_stream record_value record_event forget_stream */
/* expect 1: plain_VARIANT */
#define HC_NAME plain
#define HC_NO_STREAMS
#include "hostcache.h"

#ifndef __cplusplus
#pragma GCC diagnostic error "-Wimplicit-function-declaration"
#endif

void use(plain *cache);
void use(plain *cache) {
#if defined VARIANT_record_stream
  plain_record_stream(cache, cache, 0);
#elif defined VARIANT_record_value
  plain_record_value(cache, cache, 0, 0);
#elif defined VARIANT_record_event
  plain_record_event(cache, cache, 0);
#else
  plain_forget_stream(cache, 0);
#endif
}
