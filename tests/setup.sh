#!/bin/sh
# Installs what the tests need, with apt. Quick when everything is there already.
#
#     sh tests/setup.sh
#
# One line of the table is one thing needed: its Debian package, whether the tests can do without
# it, how to see that it is there, and what it is for. It needs nothing but sh and apt to begin.

set -u

# package | must or may | there if this succeeds | what is left out without it
needs='
cmake                          | must | cmake_is_new_enough                         | everything
ninja-build                    | must | command -v ninja                            | everything
gcc                            | must | command -v gcc && command -v cc             | everything
libc6-dev                      | must | test -e /usr/include/stdlib.h               | everything
g++                            | must | command -v g++                              | everything
pkg-config                     | must | command -v pkg-config                       | everything
libcmocka-dev                  | must | pkg-config --exists cmocka                  | everything
python3                        | must | python3 -c pass                             | everything
clang                          | may  | command -v clang && command -v clang++      | compile.clang.*, lint.*_clang, half of fail.*
libclang-rt-dev                | may  | fuzzer_is_there                             | fuzz.*
clang-tidy-19                  | may  | command -v clang-tidy-19                    | static.tidy.*
cppcheck                       | may  | command -v cppcheck                         | static.cppcheck.*
gcc-12                         | may  | command -v gcc-12                           | static.analyzer.*
clang-19                       | may  | command -v clang-19 && command -v clang++-19 | coverage, static.thread_safety.*
llvm-19                        | may  | command -v llvm-cov-19 && command -v llvm-profdata-19 | coverage
libclang-rt-19-dev             | may  | profile_runtime_is_there                    | coverage
clang-format-14                | may  | command -v clang-format-14                  | lint.format
gcc-mingw-w64-x86-64-win32     | may  | command -v x86_64-w64-mingw32-gcc           | *.mingw*, compile.clang.c11.32_bit
g++-mingw-w64-x86-64-win32     | may  | command -v x86_64-w64-mingw32-g++           | compile.mingw.c++*, link.mingw.*
libze-dev                      | may  | test -e /usr/include/level_zero/ze_api.h    | *level_zero*, examples.10_level_zero_copy
musl-tools                     | may  | command -v musl-gcc                         | *.musl.*
tcc                            | may  | command -v tcc                              | *.tcc.*
qemu-user                      | may  | command -v qemu-s390x                       | platform.* of other processors
gcc-s390x-linux-gnu            | may  | command -v s390x-linux-gnu-gcc              | platform.s390x.*
libc6-dev-s390x-cross          | may  | libc_is_there s390x-linux-gnu               | platform.s390x.*
gcc-aarch64-linux-gnu          | may  | command -v aarch64-linux-gnu-gcc            | platform.aarch64.*
libc6-dev-arm64-cross          | may  | libc_is_there aarch64-linux-gnu             | platform.aarch64.*
gcc-riscv64-linux-gnu          | may  | command -v riscv64-linux-gnu-gcc            | platform.riscv64.*
libc6-dev-riscv64-cross        | may  | libc_is_there riscv64-linux-gnu             | platform.riscv64.*
gcc-i686-linux-gnu             | may  | command -v i686-linux-gnu-gcc               | platform.i686.*
libc6-dev-i386-cross           | may  | libc_is_there i686-linux-gnu                | platform.i686.*
wine64                         | may  | test -x /usr/lib/wine/wine64                | platform.mingw.*
libbenchmark-dev               | may  | test -e /usr/include/benchmark/benchmark.h  | bench.speed_runs, bench.instructions
libjemalloc2                   | may  | library_is_there libjemalloc.so.2           | a peer in bench.speed_runs
libmimalloc2.0                 | may  | library_is_there libmimalloc.so.2           | a peer in bench.speed_runs
libtcmalloc-minimal4           | may  | library_is_there libtcmalloc_minimal.so.4   | a peer in bench.speed_runs
valgrind                       | may  | command -v valgrind                         | bench.instructions, unit.debug.valgrind_*
'

# The presets are of version 6, which came with CMake 3.25.
cmake_is_new_enough() {
  version=$(cmake --version 2>/dev/null | sed -n 's/^cmake version //p')
  major=${version%%.*}
  rest=${version#*.}
  minor=${rest%%.*}
  [ "${major:-0}" -gt 3 ] || { [ "${major:-0}" -eq 3 ] && [ "${minor:-0}" -ge 25 ]; }
}

library_is_there() { PATH=$PATH:/sbin:/usr/sbin ldconfig -p | grep -q "$1"; }

# The C library that a compiler for another processor links with.
libc_is_there() { test -e "/usr/$1/lib/libc.a"; }

# The runtimes of clang's sanitizers lie beside the clang that they belong to.
fuzzer_is_there() { ls "$(clang -print-resource-dir)"/lib/*/libclang_rt.fuzzer*; }

profile_runtime_is_there() { ls "$(clang-19 -print-resource-dir)"/lib/*/libclang_rt.profile*; }

# Prints the lines of the table whose probe fails.
missing() {
  printf '%s\n' "$needs" | while IFS='|' read -r package kind probe purpose; do
    if [ -n "$package" ] && ! eval "$probe" >/dev/null 2>&1; then
      printf '%s|%s|%s|%s\n' "$package" "$kind" "$probe" "$purpose"
    fi
  done
}

packages() { missing | cut -d '|' -f 1 | tr -d ' ' | tr '\n' ' '; }

wanted=$(packages)
if [ -z "$wanted" ]; then
  echo "setup: everything is there"
  exit 0
fi
echo "setup: missing: $wanted"

if ! command -v apt-get >/dev/null 2>&1; then
  echo "setup: there is no apt-get here. Please install what these Debian packages hold:" >&2
  missing | while IFS='|' read -r package kind probe purpose; do
    printf 'setup:   %s (without it is left out: %s)\n' "${package%% *}" "${purpose# }" >&2
  done
  exit 1
fi

as_root=
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null 2>&1; then
    echo "setup: please run as root, or install sudo: apt-get install $wanted" >&2
    exit 1
  fi
  as_root=sudo
fi

apt() {
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 "$@" </dev/null
}

# The package lists may be absent or old: they are fetched only when they turn out to be.
# shellcheck disable=SC2086 # $wanted is a list of words
if ! apt install --no-install-recommends $wanted; then
  apt update
  # One that cannot be had must not keep the others away.
  if ! apt install --no-install-recommends $wanted; then
    for package in $wanted; do apt install --no-install-recommends "$package"; done
  fi
fi

missing | while IFS='|' read -r package kind probe purpose; do
  printf 'setup: could not install %s; left out: %s\n' "${package%% *}" "${purpose# }" >&2
done
if missing | grep -q '| *must *|'; then
  echo "setup: the tests cannot run without it" >&2
  exit 1
fi
echo "setup: done"
