/* The types that all caches share, as the contract has them, and the strings of the results. */
#define HC_NAME plain
#define HC_NO_STREAMS
#include "hostcache.h"

static inline int shape_of(const hostcache_config *config, const hostcache_stats *stats,
                           const hostcache_visit *visit) {
  const int64_t *numbers[] = {&stats->allocation.current,
                              &stats->segment.peak,
                              &stats->active.allocated,
                              &stats->inactive_split.freed,
                              &stats->allocated_bytes.current,
                              &stats->reserved_bytes.current,
                              &stats->active_bytes.current,
                              &stats->inactive_split_bytes.current,
                              &stats->requested_bytes.current,
                              &stats->pending.current,
                              &stats->pending_bytes.current,
                              &stats->quarantined.current,
                              &stats->quarantined_bytes.current,
                              &stats->leaked.current,
                              &stats->leaked_bytes.current,
                              &stats->oversize_allocations.current,
                              &stats->oversize_segments.current,
                              &stats->mem_alloc_time.total,
                              &stats->mem_free_time.max,
                              &stats->mem_free_time.min,
                              &stats->mem_free_time.count,
                              &stats->num_alloc_retries,
                              &stats->num_ooms,
                              &stats->num_sync_all_streams,
                              &stats->num_mem_alloc,
                              &stats->num_mem_free,
                              &stats->num_event_record,
                              &stats->num_event_query,
                              &stats->num_hits,
                              &stats->num_misses,
                              &stats->max_split_size};
  const size_t *sizes[] = {&config->alignment,
                           &config->segment_bytes,
                           &config->max_segment_bytes,
                           &config->max_reserved_bytes,
                           &config->max_cached_bytes,
                           &config->max_split_size,
                           &config->thread_cache_bytes,
                           &visit->size,
                           &visit->requested};
  const uint32_t *words[] = {&config->version, &config->query_error_limit,
                             &config->streams_die_idle};
  const uint64_t *limit = &config->wait_on_limit_ns;
  const hostcache_error_fn *on_error = &config->on_error;
  void *const *user = &config->on_error_user;
  const int *kind = &visit->kind;
  const void *const *ptr = &visit->ptr;
  return numbers[0] != NULL && sizes[0] != NULL && words[0] != NULL && limit != NULL &&
         on_error != NULL && user != NULL && kind != NULL && ptr != NULL;
}

static inline int shape_of_budget(const hostcache_budget *budget) {
  const int64_t *figures[] = {&budget->bytes,         &budget->memlock_limit,
                              &budget->memlock_used,  &budget->cgroup_limit,
                              &budget->cgroup_used,   &budget->huge_free,
                              &budget->mem_available, &budget->cgroup_reclaimable};
  const int32_t *exempt = &budget->memlock_exempt;
  const hostcache_binding bindings[] = {HOSTCACHE_BUDGET_NOTHING, HOSTCACHE_BUDGET_MEMLOCK,
                                        HOSTCACHE_BUDGET_CGROUP, HOSTCACHE_BUDGET_AVAILABLE};
  return *figures[0] != HOSTCACHE_UNKNOWN && *figures[1] != HOSTCACHE_UNLIMITED && *exempt == 0 &&
         budget->binding == bindings[1] && hostcache_binding_string(bindings[0]) != NULL;
}

int shared_types(const hostcache_stats *stats, const hostcache_visit *visit);
int shared_types(const hostcache_stats *stats, const hostcache_visit *visit) {
  hostcache_config config = HOSTCACHE_CONFIG_INIT;
  const hostcache_result results[] = {HOSTCACHE_OK,
                                      HOSTCACHE_ERR_ARGUMENT,
                                      HOSTCACHE_ERR_TOO_BIG,
                                      HOSTCACHE_ERR_OUT_OF_MEMORY,
                                      HOSTCACHE_ERR_LIMIT,
                                      HOSTCACHE_ERR_NO_METADATA,
                                      HOSTCACHE_ERR_NOT_FOUND,
                                      HOSTCACHE_ERR_DOUBLE_FREE,
                                      HOSTCACHE_ERR_EVENT,
                                      HOSTCACHE_ERR_BUSY,
                                      HOSTCACHE_ERR_LEAKED,
                                      HOSTCACHE_ERR_TIMEOUT,
                                      HOSTCACHE_ERR_FORKED,
                                      HOSTCACHE_ERR_UNSUPPORTED,
                                      HOSTCACHE_ERR_CORRUPT};
  const int kinds[] = {HOSTCACHE_VISIT_SEGMENT,     HOSTCACHE_VISIT_ACTIVE,
                       HOSTCACHE_VISIT_PENDING,     HOSTCACHE_VISIT_CACHED,
                       HOSTCACHE_VISIT_QUARANTINED, HOSTCACHE_VISIT_LEAKED};
  const char *string = hostcache_result_string(results[0]);
  hostcache_budget budget;
  config.thread_cache_bytes = HOSTCACHE_NONE;
  config.max_reserved_percent = 50;
  if (plain_budget(&budget) == HOSTCACHE_OK && !shape_of_budget(&budget)) return 0;
  return shape_of(&config, stats, visit) && kinds[0] != kinds[1] && string != NULL;
}

#if HOSTCACHE_VERSION < 100
#error "HOSTCACHE_VERSION is one integer that the preprocessor can compare"
#endif
