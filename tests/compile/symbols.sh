#!/bin/sh
# Looks at what the header puts into the symbol tables.
#
#     sh symbols.sh <shared library> <object>...
#
# The library, built with -fvisibility=hidden and HC_API, exports the interface of its cache and
# nothing else. The objects, those of programs/two_files, define for other files the interfaces of
# their caches, what the program itself defines, and nothing else.

set -u
library=$1
shift
failed=0

everywhere='create destroy abandon alloc record_event free free_deferred
  block_alloc block_record_event block_free block_free_deferred block_ptr block_size find
  process_events synchronize empty_cache trim trim_idle reserve set_max_reserved_bytes set_max_cached_bytes release_quarantine
  stats reset_accumulated_stats reset_peak_stats budget check walk'
with_streams='record_stream block_record_stream forget_stream'

# interface NAME: the functions of a cache with streams and events.
interface() {
  # shellcheck disable=SC2086 # lists of words
  printf "$1_%s\n" $everywhere $with_streams
}

# defines FILE NM_OPTION: compares the symbols of the file with the list on standard input.
defines() {
  expected=$(sort)
  if ! table=$(nm "$2" --defined-only "$1"); then
    echo "nm cannot read $1"
    failed=1
    return
  fi
  # Capitals are global: T code, D B R data, V W u merged by the linker, C common.
  found=$(printf '%s\n' "$table" | sed -n 's/^[0-9a-f]* [A-Zu] //p' | sort)
  if [ "$found" != "$expected" ]; then
    printf '%s defines for other files:\n%s\nand should define:\n%s\n' "$1" "$found" "$expected"
    failed=1
  fi
}

# Not in a pipe: `failed` must be this shell's.
defines "$library" -D <<LIST
$(interface exported)
LIST

objects=0
for object; do
  objects=$((objects + 1))
  case $object in
    */two_files.c.o*) list=main ;;
    */two_files_a.c.o*) list=$(interface first) ;;
    # This cache has neither streams nor events.
    */two_files_b.c.o*)
      list=$(interface second | grep -v -E '_(record_stream|record_event|forget_stream)$'; echo use_second)
      ;;
    *) list="nothing that is known here" ;;
  esac
  defines "$object" -g <<LIST
$list
LIST
done

echo "1 library and $objects objects looked at"
[ "$objects" -eq 3 ] && [ "$failed" -eq 0 ]
