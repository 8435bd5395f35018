#!/bin/sh
# Runs a check that must fail: with exit status 1, and a line that matches.
#
#     sh driver.sh <regex> <command>...

set -u
regex=$1
shift

output=$("$@" 2>&1)
status=$?
printf '%s\n' "$output"

if [ "$status" -ne 1 ]; then
  echo "FAILED: exit status $status instead of 1"
  exit 1
fi
if ! printf '%s\n' "$output" | grep -q -E -e "$regex"; then
  echo "FAILED: no line matches '$regex'"
  exit 1
fi
