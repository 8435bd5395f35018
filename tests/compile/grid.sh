#!/bin/sh
# Compiles each file given, every warning an error, and says which ones failed.
#
#     sh grid.sh <scratch folder> <compiler and options...> -- <file>...
#
# The options hold -std=; from it follows the language that the files are taken for.

set -u
here=$(cd "$(dirname "$0")" && pwd)
scratch=$1
shift
mkdir -p "$scratch"

command=
while [ "$1" != -- ]; do
  case $1 in
    -std=*++*) language="-x c++" ;;
    -std=*) language="-x c -Wstrict-prototypes" ;;
  esac
  command="$command $1"
  shift
done
shift

warnings="-Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wundef -Wcast-qual -Werror"
command="$command $warnings -I$here/../.. -I$here $language"

compiled=0
failed=0
for file; do
  # shellcheck disable=SC2086 # $command is a list of words
  if $command -c "$file" -o "$scratch/out.o"; then
    compiled=$((compiled + 1))
  else
    echo "FAILED:$command -c $file"
    failed=$((failed + 1))
  fi
done
rm -f "$scratch/out.o"

echo "$compiled compiled, $failed failed:$command"
[ "$failed" -eq 0 ] && [ "$compiled" -gt 0 ]
