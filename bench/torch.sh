#!/bin/sh
# Gets what bench_speed needs of PyTorch: its headers and libc10, without what they come with.
#
#     sh bench/torch.sh FOLDER       FOLDER/torch is then what -DHOSTCACHE_TORCH_DIR wants
#
# pip downloads the package, half a gigabyte, from the index that it is set up for; about 65 MB
# of it stay. Nothing is installed, so that the python on this machine is as it was.

set -eu

if [ $# -ne 1 ] || [ "${1#-}" != "$1" ]; then
  echo "usage: sh bench/torch.sh FOLDER" >&2
  exit 2
fi
if [ -e "$1/torch/lib/libc10.so" ]; then
  echo "torch.sh: $1/torch is there already"
  exit 0
fi
if ! python3 -m pip --version >/dev/null 2>&1; then
  echo "torch.sh: python3 has no pip: apt-get install python3-pip" >&2
  exit 1
fi

mkdir -p "$1"
scratch=$(mktemp -d "$1/wheel.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
trap 'exit 130' INT TERM
python3 -m pip download --no-deps --dest "$scratch" torch
python3 - "$scratch" "$1" <<'END'
import glob, re, sys, zipfile
wanted = re.compile(r"torch/(include/|lib/libc10\.so$|version\.py$)|torch-[^/]*/.*LICENSE")
with zipfile.ZipFile(glob.glob(sys.argv[1] + "/*.whl")[0]) as wheel:
    wheel.extractall(sys.argv[2], [name for name in wheel.namelist() if wanted.match(name)])
END
echo "torch.sh: -DHOSTCACHE_TORCH_DIR=$(cd "$1" && pwd)/torch"
