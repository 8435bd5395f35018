#!/bin/sh
# Takes hostcache into another project in one of the ways there are, builds that, and runs it.
#
#     sh run.sh <way> <hostcache's tree> <scratch folder> <version> <cmake> <its generator>

set -eu
here=$(cd "$(dirname "$0")" && pwd)
way=$1
tree=$2
scratch=$3
version=$4
cmake=$5
# The one that is there: CMake's own default need not be.
CMAKE_GENERATOR=$6
export CMAKE_GENERATOR

rm -rf "$scratch"
mkdir -p "$scratch"
cd "$scratch"

# What the user's shell says must not choose another hostcache, or other flags.
unset CFLAGS CXXFLAGS LDFLAGS CMAKE_PREFIX_PATH PKG_CONFIG_PATH DESTDIR || true

installs() {
  "$cmake" -S "$tree" -B install_build -DCMAKE_INSTALL_PREFIX=/nowhere \
    -DHOSTCACHE_TESTS=OFF -DHOSTCACHE_EXAMPLES=OFF >/dev/null
  "$cmake" --install install_build --prefix "$scratch/prefix" >/dev/null
  # Moved, since no file may hold the place that it was installed to.
  mv prefix moved
  rm -rf install_build
}

builds() {
  # The expression, which says nothing, keeps generators of several configurations from adding a folder.
  "$cmake" -S "$here" -B build -DHOSTCACHE_VERSION="$version" \
    -DCMAKE_RUNTIME_OUTPUT_DIRECTORY="$scratch/build$<0:>" "$@"
  "$cmake" --build build
  ./build/consumer
}

case $way in
  find_package)
    installs
    builds -DCMAKE_PREFIX_PATH="$scratch/moved"
    ;;
  find_package_cpp)
    installs
    builds -DCMAKE_PREFIX_PATH="$scratch/moved" -DLANGUAGE=CXX
    ;;
  find_package_of_another_minor_version)
    # While the version is 0.x, another minor version is another interface.
    installs
    other=$(echo "$version" | { IFS=. read -r major minor patch && echo "$major.$((minor + 1)).$patch"; })
    if "$cmake" -S "$here" -B build -DHOSTCACHE_VERSION="$other" \
      -DCMAKE_PREFIX_PATH="$scratch/moved" >log 2>&1; then
      echo "found, though $other was asked for and $version is installed"
      exit 1
    fi
    grep "version: $version" log
    ;;
  add_subdirectory)
    builds -DHOSTCACHE_SOURCE="$tree"
    ;;
  add_subdirectory_cpp)
    builds -DHOSTCACHE_SOURCE="$tree" -DLANGUAGE=CXX
    ;;
  pkg_config)
    installs
    PKG_CONFIG_PATH=$scratch/moved/share/pkgconfig
    export PKG_CONFIG_PATH
    test "$(pkg-config --modversion hostcache)" = "$version"
    # shellcheck disable=SC2046 # the flags are words
    cc $(pkg-config --cflags hostcache) "$here/consumer.c" $(pkg-config --libs hostcache) -o consumer
    ./consumer
    ;;
  flat_copy)
    cp "$tree/hostcache.h" "$tree/backends/hostcache_cpu.h" "$here/consumer.c" .
    cc -DFLAT consumer.c -pthread -o consumer
    ./consumer
    ;;
  without_cpp)
    # What is in C needs no C++ compiler; the tests say that they do.
    "$cmake" -S "$tree" -B header -DCMAKE_CXX_COMPILER=/nowhere/c++ \
      -DHOSTCACHE_TESTS=OFF -DHOSTCACHE_EXAMPLES=OFF
    CXX=/nowhere/c++
    export CXX
    "$cmake" -S "$tree" -B examples -DHOSTCACHE_TESTS=OFF -DHOSTCACHE_EXAMPLES=ON >log
    cat log
    test "$(grep -c 'Left out: the example in C++' log)" -eq 1
    "$cmake" --build examples
    if "$cmake" -S "$tree" -B tests -DHOSTCACHE_TESTS=ON >log 2>&1; then
      echo "the tests ask for no C++ compiler"
      exit 1
    fi
    cat log
    grep -q "apt-get install g++" log
    ;;
  *)
    echo "no such way: $way"
    exit 1
    ;;
esac
