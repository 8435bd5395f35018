/* A runtime that does nothing: its device is always idle. For what is only compiled, and for the
   programs that show how one is put together; what the header does is tested elsewhere. */

#ifndef TESTS_RUNTIME_H
#define TESTS_RUNTIME_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define RT_OK 0
#define RT_NOT_READY 1
#define RT_NO_MEMORY 2

typedef int rt_stream;
typedef struct rt_event {
  uint64_t value;
} rt_event;
typedef struct rt_key { /* what such a runtime gives with its memory */
  uint32_t local, remote;
} rt_key;

/* aligned_alloc is missing on Windows: the pointer that malloc gave stands before the block. */
static inline int rt_mem_alloc(size_t size, size_t align, void **ptr) {
  char *raw = (char *)malloc(size + align + sizeof(void *));
  char *aligned;
  if (raw == NULL) return RT_NO_MEMORY;
  aligned = raw + sizeof(void *);
  aligned += (align - (uintptr_t)aligned % align) % align;
  ((void **)(void *)aligned)[-1] = raw;
  *ptr = aligned;
  return RT_OK;
}

static inline int rt_mem_free(void *ptr) {
  free(((void **)ptr)[-1]);
  return RT_OK;
}

static inline int rt_key_alloc(size_t size, size_t align, void **ptr, rt_key *key) {
  key->local = 1;
  key->remote = 2;
  return rt_mem_alloc(size, align, ptr);
}

static inline int rt_key_free(void *ptr, const rt_key *key) {
  return key->local == 1 && key->remote == 2 ? rt_mem_free(ptr) : RT_NOT_READY;
}

static inline int rt_event_record(rt_event *event, rt_stream stream) {
  event->value = (uint64_t)stream;
  return RT_OK;
}

static inline int rt_event_query(const rt_event *event) {
  return event->value == UINT64_MAX ? RT_NOT_READY : RT_OK;
}

static inline int rt_value(rt_stream stream, uint64_t *value) {
  *value = (uint64_t)stream;
  return RT_OK;
}

#endif
