#!/bin/sh
# Runs examples/01_quickstart as a user would, on real files.
#
#   sh quickstart.sh PROGRAM SCRATCH
#
# One line for each check; exit 0 only if all held, 77 if some could not be made on this machine.
# SCRATCH is made, and emptied first. Nothing depends on time: the signals are sent to a program
# that waits for input.

set -u
export LC_ALL=C

[ $# -eq 2 ] || { echo "usage: quickstart.sh PROGRAM SCRATCH" >&2; exit 2; }
case $1 in /*) program=$1 ;; *) program=$PWD/$1 ;; esac
rm -rf "$2" && mkdir -p "$2" && cd "$2" || exit 2

passed=0 failed=0 skipped=0 status=0

# run ARGUMENT...: the program; leaves status, out and err behind.
run() {
  "$program" "$@" >out 2>err </dev/null
  status=$?
}

# check NAME COMMAND...: a line for the outcome of the command.
check() {
  name=$1
  shift
  if "$@" >/dev/null 2>&1; then
    echo "ok      $name"
    passed=$((passed + 1))
  else
    echo "FAILED  $name (status $status)"
    sed 's/^/        | /' out err | head -n 40
    failed=$((failed + 1))
  fi
}

# skip NAME REASON: what this machine lacks.
skip() {
  echo "skipped $1: $2"
  skipped=$((skipped + 1))
}

# Runs a command without what root may do beyond others: read any file, lock any memory. It stays
# root, so that it need not be let into the folders above.
powerless() {
  if [ "$(id -u)" -ne 0 ]; then
    "$@"
  else
    setpriv --bounding-set=-all --inh-caps=-all "$@"
  fi
}

succeeds() { [ "$status" -eq 0 ] && [ ! -s err ]; }
copied() { succeeds && cmp "$1" "$2"; }

# fails STATUS TEXT: with that status, and that text in a message of the program.
fails() { [ "$status" -eq "$1" ] && grep '^quickstart: ' err | grep -q -- "$2"; }

# figure LABEL: the first number of that row in the file `table`; -1 where there is no such row.
figure() { sed -n "s/^ *$1  *//p" table | awk 'NR == 1 { print $1 } END { if (!NR) print -1 }'; }

# ---- files --------------------------------------------------------------------------------------

mkdir directory
: >empty
printf x >byte
cp "$0" text 2>/dev/null || printf 'some\ntext\n' >text
awk 'BEGIN { for (i = 0; i < 900000; i++) print i * 7919 % 1000003 }' >large # about 6 MiB
cat text large empty byte >joined

# ---- copies -------------------------------------------------------------------------------------

run text
check "a text file, and a table on standard output" succeeds
check "the table says what was copied" grep -q '^copied and checked' out

run -o copy text
check "-o writes an identical file" copied copy text

run -o copy empty
check "an empty file" copied copy empty

run -o copy byte
check "a file of one byte" copied copy byte

run -o copy text large empty byte
check "several files, one after the other" copied copy joined

for mode in "--mode timeline" "--mode events" "--no-cache"; do
  # shellcheck disable=SC2086 # the mode is one or two words
  run $mode -o copy large
  check "a large file with $mode" copied copy large
done

for shape in "--chunk 1:1" "--chunk 1:7 --streams 1 --depth 1" \
  "--chunk 4095:4097 --streams 64 --depth 3"; do
  for mode in "" "--mode events"; do
    # shellcheck disable=SC2086
    run $shape $mode -o copy text
    check "$shape $mode" copied copy text
  done
done
run --chunk 1M:4M --depth 2 -o copy large
check "--chunk 1M:4M" copied copy large
run --depth 1024 --streams 64 --chunk 1K:16K -o copy large
check "--depth 1024 --streams 64" copied copy large
run -o copy -- text
check "-- ends the options" copied copy text

"$program" -o copy - <large >out 2>err
status=$?
check "standard input" copied copy large
"$program" -o - - <large >copy 2>err
status=$?
check "standard output holds the copy" cmp copy large
check "and the table is on standard error then" grep -q '^copied and checked' err
# shellcheck disable=SC2002 # a pipe, not a file, is what is tested
cat large | "$program" -o copy text - byte >out 2>err
status=$?
cat text large byte >expected
check "a pipe between two files" copied copy expected

# ---- figures ------------------------------------------------------------------------------------

# Hits and misses make up the buffers, and few of these came from the system. The first column of
# figures is the cached run.
figures_fit() {
  cp out table
  buffers=$(figure 'staging buffers got')
  [ $(($(figure 'hits:.*called') + $(figure 'misses:.*called'))) -eq "$buffers" ] &&
    [ $(($(figure 'segments from the system') * 2)) -lt "$buffers" ] &&
    [ "$(figure 'stream positions recorded')" -gt 0 ]
}

for mode in timeline events; do
  run --mode "$mode" large
  check "the figures of $mode fit together" figures_fit

  run --compare --mode "$mode" large
  check "--compare with $mode" succeeds
  check "and its table names both runs" grep -Eq "^ +$mode +no cache" out
  check "and prints the ratio" grep -Eq 'memory took [0-9.]+ times as long' out
  check "and its figures fit together" figures_fit
done
run --no-cache large
check "--no-cache has no figures of a cache" grep -Eq '^  hits.* -$' out

# ---- errors -------------------------------------------------------------------------------------

run --help
check "--help is no error" succeeds
check "--help prints the options" grep -q -- '--compare' out

run
check "no file" fails 2 "give it a file"
run --frobnicate text
check "an unknown option" fails 2 "there is no option --frobnicate"
for option in -o --mode --streams --depth --chunk; do
  run text $option
  check "$option without its value" fails 2 "$option needs a value"
done
for bad in "--mode none" "--streams 0" "--streams 65" "--streams x" "--streams -1" "--streams 4K" \
  "--depth 0" "--depth 1025" "--depth 99999999999999999999" "--depth 3x" "--chunk 4096" \
  "--chunk 0:4" "--chunk 8:4" "--chunk :4" "--chunk 4:" "--chunk 1K:128M" "--chunk 1K:2K:3K" \
  "--chunk 1G:2G"; do
  # shellcheck disable=SC2086
  run $bad text
  check "$bad" fails 2 "${bad%% *} is"
done

echo before >kept
run -o kept text nosuch
check "a file that is missing" fails 1 "can't read nosuch: No such file"
check "and the output is as it was" grep -q before kept
run directory
check "a directory" fails 1 "directory is a directory; give it files"
run -o nosuch/copy text
check "an output in a folder that is missing" fails 1 "can't write nosuch/copy: No such file"
run -o directory text
check "an output that is a directory" fails 1 "can't write directory"
cp text same
run -o same same
check "an output that is also read" fails 1 "same is also the output"
check "and it is as it was" cmp same text
run --compare -
check "--compare of standard input" fails 1 "can be read once"
run --compare -o copy text
check "--compare with -o" fails 2 "drop -o"
run --compare --no-cache text
check "--compare with --no-cache" fails 2 "drop --no-cache"

cp text secret && chmod 000 secret
if ! powerless true || powerless test -r secret; then
  skip "a file without permission" "no way to be held to permissions"
else
  powerless "$program" secret >out 2>err
  status=$?
  check "a file without permission" fails 1 "can't read secret: Permission denied"
fi

if [ -w /dev/full ]; then
  run -o /dev/full large
  check "a full disk" fails 1 "can't write /dev/full: No space left"
  run -o /dev/full byte
  check "a full disk, found out at the end" fails 1 "can't write /dev/full: No space left"
  check "and the output is named as incomplete" fails 1 "/dev/full holds only a part"
  "$program" -o - byte >/dev/full 2>err
  status=$?
  check "a full disk behind standard output" fails 1 "can't write standard output: No space left"
  "$program" byte >/dev/full 2>err
  status=$?
  check "a table that can't be written" fails 1 "No space left"
else
  skip "a full disk" "there is no /dev/full"
fi

if [ -r /proc/self/mem ]; then
  run -o copy text /proc/self/mem
  check "a read that fails half-way" fails 1 "can't read /proc/self/mem: "
  check "and the output is named as incomplete" fails 1 "copy holds only a part"
else
  skip "a read that fails half-way" "there is no /proc/self/mem"
fi

{
  "$program" -o - large 2>err
  echo $? >broken
} | :
status=$(cat broken)
check "a reader that is gone" fails 1 "can't write standard output: Broken pipe"

# ---- locked memory that is refused --------------------------------------------------------------

# limited COMMAND...: may lock 64 KiB.
limited() {
  # shellcheck disable=SC2016 # the inner shell expands it
  powerless sh -c 'ulimit -l 64 && "$@"' sh "$@"
}
if grep -q -e __asan_init -e __tsan_init "$program"; then
  # No sanitizer locks memory: not a thing that this machine lacks.
  echo "without memory that is not locked: sanitizers make mlock do nothing"
elif ! limited true; then
  skip "memory that is not locked" "no way to be held to a limit"
else
  limited "$program" large >out 2>err
  status=$?
  cp out table
  check "memory that is not locked does not stop the copy" succeeds
  check "but is counted" [ "$(figure 'locks refused')" -gt 0 ]
  check "and told" grep -q 'Not all memory was locked' out
fi

# ---- signals ------------------------------------------------------------------------------------

# The pipe holds far less than `large`: when cat is done, the program has read most of it, and waits
# for more.
mkfifo pipe
for signal in INT:130 TERM:143; do
  expected=${signal#*:}
  "$program" -o copy - <pipe >out 2>err &
  pid=$!
  exec 3>pipe
  cat large >&3
  kill -s "${signal%:*}" "$pid"
  exec 3>&-
  wait "$pid"
  status=$?
  check "SIG${signal%:*} ends it with $expected" fails "$expected" "interrupted after"
  check "and the partial output is named" fails "$expected" "copy holds only a part"
done

echo
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] || exit 1
[ "$skipped" -eq 0 ] || exit 77
