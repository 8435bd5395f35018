#!/bin/sh
# Says which files are not as clang-format would have them; first, that it would see it.
#
#     sh format.sh <clang-format> <hostcache's tree> <file>...

set -u
clang_format=$1
tree=$2
shift 2

seen() { ! "$clang_format" --style="file:$tree/.clang-format" --dry-run -Werror 2>/dev/null; }
if ! printf 'int  a ;\n' | seen || printf 'int a;\n' | seen; then
  echo "$clang_format cannot tell what is formatted and what is not"
  exit 1
fi

echo "$# files"
[ "$#" -gt 0 ] && "$clang_format" --style="file:$tree/.clang-format" --dry-run -Werror "$@"
