"""What one cache adds to a program: bytes of code, and seconds of the compiler's.

    cost.py COMPILER      fails where the code is more than CODE_BOUND; no time makes it fail

Both are of speed/events.c at -O2 (and -O0, for the seconds), less those of an empty file. What is
counted as code is all that stands in memory without being written to: constants and tables too.
"""

import os
import resource
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CODE_BOUND = 60 * 1024
SECONDS_BOUND = 0.5


def compiled(compiler, level, source, scratch):
    """Bytes of code, and the compiler's seconds of processor time: the least of three, since other work
    of the machine only adds."""
    built = os.path.join(scratch, "built.o")
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([compiler, level, "-DNDEBUG", "-I", os.path.dirname(HERE), "-c", source, "-o", built],
                       check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    sizes = subprocess.run(["size", built], check=True, stdout=subprocess.PIPE, text=True).stdout
    return int(sizes.split("\n")[1].split()[0]), min(seconds)


def cost(compiler, level):
    """Bytes of code and seconds."""
    with tempfile.TemporaryDirectory() as scratch:
        nothing = os.path.join(scratch, "nothing.c")
        with open(nothing, "w") as file:
            file.write("typedef int nothing;\n")
        empty_code, empty_seconds = compiled(compiler, level, nothing, scratch)
        code, seconds = compiled(compiler, level, os.path.join(HERE, "speed", "events.c"), scratch)
    return code - empty_code, seconds - empty_seconds


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    code, seconds = cost(sys.argv[1], "-O2")
    print("code: %.1f KiB, at most %d; compiled in %.2f s, without optimisation in %.2f s"
          % (code / 1024, CODE_BOUND / 1024, seconds, cost(sys.argv[1], "-O0")[1]))
    return 1 if code > CODE_BOUND else 0


if __name__ == "__main__":
    sys.exit(main())
