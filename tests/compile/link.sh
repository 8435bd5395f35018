#!/bin/sh
# Compiles and links one program with a compiler for another system, where it cannot be run.
#
#     sh link.sh <program> <C compiler> <C++ compiler> <file>...

set -eu
here=$(cd "$(dirname "$0")" && pwd)
program=$1
c=$2
cpp=$3
shift 3

objects=
options="-O2 -Wall -Wextra -Werror -I$here/../.. -I$here"
for file; do
  object=$program.$(basename "$file").o
  # shellcheck disable=SC2086 # $options is a list of words
  case $file in
    *.cpp) "$cpp" -std=c++11 $options -c "$file" -o "$object" ;;
    *) "$c" -std=c11 $options -c "$file" -o "$object" ;;
  esac
  objects="$objects $object"
done

# shellcheck disable=SC2086 # $objects is a list of words
"$cpp" -static $objects -o "$program"
test -s "$program"
echo "linked $(basename "$program")"
