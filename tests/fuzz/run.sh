#!/bin/sh
# Runs a target of libFuzzer for some seconds (or HOSTCACHE_FUZZ_SECONDS of the environment), over a
# copy of its corpus: the tree stays as it is.
#
#     sh run.sh <target> <corpus> <scratch folder> <seconds> [<option of libFuzzer>...]
#
# What it finds lies in <scratch folder>/found. The target shows it when it is given the file, and so
# does `model_<target> <file>`, where there is one. (Without -entropic=0 libFuzzer would take more time
# to choose what it changes next than half a minute of runs leaves.)

set -u
target=$1
corpus=$2
scratch=$3
seconds=${HOSTCACHE_FUZZ_SECONDS:-$4}
shift 4

rm -rf "$scratch"
mkdir -p "$scratch/corpus" "$scratch/found" || exit 1
cp "$corpus"/* "$scratch/corpus" || exit 1

ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1} \
UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1} \
  "$target" "$scratch/corpus" -artifact_prefix="$scratch/found/" -max_total_time="$seconds" \
  -max_len=801 -entropic=0 -print_final_stats=1 "$@"
