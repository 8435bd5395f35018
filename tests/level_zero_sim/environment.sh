#!/bin/sh
# environment.sh <leave> <leave, linked the wrong way round> <driver> <second driver>
# What the environment says, what is printed at the end, and the status of the process.

leave=$1 wrong_order=$2 driver=$3 second=$4
failures=0

# run <status> <regular expression, or "nothing"> <program> [<argument>]
# The variables before it are those of the program. Lines are joined for the expression.
run() {
  status=$1 expected=$2
  shift 2
  out=$("$@" 2>&1 >/dev/null)
  got=$?
  line=$(printf '%s' "$out" | tr '\n' '~')
  if [ "$got" -ne "$status" ]; then
    echo "FAILED: status $got, not $status: $*"
  elif [ "$expected" = nothing ] && [ -n "$out" ]; then
    echo "FAILED: something is printed: $*"
  elif [ "$expected" != nothing ] && ! printf '%s' "$line" | grep -Eq "$expected"; then
    echo "FAILED: this is not printed: $expected: $*"
  else
    return
  fi
  printf '%s\n' "$out"
  failures=$((failures + 1))
}

export ZE_ENABLE_ALT_DRIVERS="$driver"
aborted=134

# A tidy program hears nothing, and its own status is kept.
run 0 nothing "$leave"
run 0 nothing "$leave" tidy
export ZE_SIM_EXIT=7
run 0 nothing "$leave" tidy

# What is left alive, and what was wrong.
run 7 'sim: alive~.* 1  contexts~.* 1  unfinished commands~.*level zero sim: 0 violations$' "$leave"
run 7 'zeMemFree: 0x.* is freed, where no memory is.*~level zero sim: 1 violations$' "$leave" wrong
unset ZE_SIM_EXIT
run 0 '~level zero sim: 1 violations$' "$leave" wrong

# Faults and the report. What a fault kept alive is not the program's.
export ZE_SIM_FAIL=zeMemAllocHost:1:0x70000002 ZE_SIM_REPORT=1
run 0 'memory: 0x70000002~.* 1  zeMemAllocHost~.*level zero sim: 0 violations$' "$leave"
unset ZE_SIM_REPORT
export ZE_SIM_FAIL=zeContextDestroy:1 ZE_SIM_EXIT=7
run 1 "^context's end: 0x7ffffffe\$" "$leave" tidy
unset ZE_SIM_FAIL ZE_SIM_EXIT

export ZE_SIM_ABORT=1
run $aborted 'is freed, where no memory is' "$leave" wrong
unset ZE_SIM_ABORT

export ZE_SIM_DELAY_US=-1
run 0 'ZE_SIM_DELAY_US is no number of 0 or more, and ignored: -1$' "$leave" tidy
unset ZE_SIM_DELAY_US

# Two drivers: the first that is named is used, and says which it is.
export ZE_ENABLE_ALT_DRIVERS="$second,$driver"
run 0 'level zero sim two: zeMemFree: .*~level zero sim two: 1 violations$' "$leave" wrong

export ZE_ENABLE_ALT_DRIVERS="$driver"
run $aborted 'link the program with the loader before this library' "$wrong_order" tidy

exit $((failures != 0))
