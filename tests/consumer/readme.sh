#!/bin/sh
# Does what the README shows, as it stands there, in a copy of the files that it names.
#
#     sh readme.sh quickstart <hostcache's tree> <scratch folder>    the first command
#     sh readme.sh level_zero <hostcache's tree> <scratch folder>    the same over Level Zero
#     sh readme.sh example    <hostcache's tree> <scratch folder>    the first program

set -eu
what=$1
tree=$2
scratch=$3

rm -rf "$scratch"
mkdir -p "$scratch"
cp -r "$tree/hostcache.h" "$tree/backends" "$tree/examples" "$scratch"
cd "$scratch"

case $what in
  quickstart)
    command=$(sed -n 's/^ *\(cc .*01_quickstart.*\)$/\1/p' "$tree/README.md" | head -n 1)
    ;;
  level_zero)
    command=$(sed -n 's/^ *\(cc .*10_level_zero_copy.*\)$/\1/p' "$tree/README.md" | head -n 1)
    ;;
  example)
    awk '/^```c$/ { inside = 1; next } /^```$/ && inside { exit } inside' "$tree/README.md" >example.c
    command="cc -std=c11 -Wall -Wextra -Werror -pthread -I. example.c -o example && ./example"
    test -s example.c || command=
    ;;
  *) command= ;;
esac
if [ -z "$command" ]; then
  echo "README.md shows no $what"
  exit 1
fi

echo "$command"
sh -c "$command"
