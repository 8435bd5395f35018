#!/bin/sh
# Looks at what the header puts into the symbol tables.
#
#     sh symbols.sh <shared library> <object>...
#
# The library, built with -fvisibility=hidden and HC_API, exports the interface of its cache and
# nothing else. The objects define no symbol for other files but what the names of their caches prefix.

set -u
library=$1
shift
failed=0

exported=$(nm -D --defined-only "$library" | sed -n 's/^[0-9a-f]* [TDBRVWu] //p' | sort)
expected=$(printf 'exported_%s\n' create destroy abandon \
  alloc record_stream record_event free free_deferred \
  block_alloc block_record_stream block_record_event block_free block_free_deferred \
  block_ptr block_size find \
  process_events synchronize empty_cache trim reserve forget_stream release_quarantine \
  stats reset_accumulated_stats reset_peak_stats check walk | sort)
if [ "$exported" != "$expected" ]; then
  printf 'the library exports:\n%s\nand should export:\n%s\n' "$exported" "$expected"
  failed=1
fi

objects=0
for object; do
  objects=$((objects + 1))
  # Capitals are global: T code, D B R data, V W u merged by the linker, C common.
  others=$(nm -g --defined-only "$object" | sed -n 's/^[0-9a-f]* [A-Zu] //p' |
    grep -v -E '^(first|second|main|use_first|use_second)(_[a-z_]+)?$')
  if [ -n "$others" ]; then
    printf '%s defines for other files:\n%s\n' "$object" "$others"
    failed=1
  fi
done

echo "1 library and $objects objects looked at"
[ "$objects" -gt 0 ] && [ "$failed" -eq 0 ]
