"""How many instructions a block got and freed costs, by callgrind: a figure that does not wander.

    instructions.py PROGRAM                    the bounds of BOUNDS; fails where one is passed
    instructions.py PROGRAM WORK/ALLOCATOR...  what these cost

PROGRAM is bench_speed. Each is run with few iterations and with many; what lies between the two is
the iterations' own, and the start, the caches' filling and the end fall out. What has a bound is
counted in a bare loop, that of bench_count beside PROGRAM; all else has the steps of the works of
bench_speed among it, some 20 to 40.
"""

import os
import re
import subprocess
import sys

BOUNDS = [("hit/hostcache", 130), ("one_stream/hostcache", 400)]
FEW, MANY = 2000, 22000

# What speed.cpp would set before it started again: callgrind does not follow a program into another.
ENVIRONMENT = {"TCMALLOC_SKIP_SBRK": "1", "GLIBC_TUNABLES": "glibc.rtld.optional_static_tls=16384"}


def collected(program, name, iterations):
    """Instructions of a whole run."""
    if name in dict(BOUNDS):
        command = [os.path.join(os.path.dirname(program), "bench_count"), name.split("/")[0], str(iterations)]
    else:
        command = [program, "--benchmark_filter=^%s/1/" % name, "--iterations=%d" % iterations]
    done = subprocess.run(
        ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"] + command,
        env=dict(os.environ, **ENVIRONMENT), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = re.search(r"Collected : (\d+)", done.stdout)
    if done.returncode != 0 or not found:
        raise RuntimeError("%s under callgrind ended with status %d:\n%s"
                           % (name, done.returncode, done.stdout))
    return int(found.group(1))


def count(program, name):
    """Instructions of one iteration of a work, as WORK/ALLOCATOR."""
    return (collected(program, name, MANY) - collected(program, name, FEW)) / (MANY - FEW)


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    program, names = sys.argv[1], sys.argv[2:]
    passed = 0
    for name, bound in [(name, None) for name in names] or BOUNDS:
        instructions = count(program, name)
        over = bound is not None and instructions > bound
        passed += over
        print("%-40s %8.1f%s%s" % (name, instructions, "" if bound is None else ", at most %d" % bound,
                                   "  TOO MANY" if over else ""), flush=True)
    return 1 if passed else 0


if __name__ == "__main__":
    sys.exit(main())
