"""What one cache adds to a program: bytes of code, and seconds of the compiler's.

    cost.py COMPILER      fails where the code is more than CODE_BOUND; no time makes it fail

The code is what a second cache like that of speed/events.c adds at -O2 to a file that has one: what
all caches of a file share stands there once. What is counted is all that stands in memory without
being written to: constants and tables too. The seconds are those of the file with one cache, at -O2
and -O0, less those of an empty file.
"""

import os
import resource
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SPEED = os.path.join(HERE, "speed")
CODE_BOUND = 60 * 1024
SECONDS_BOUND = 0.5


def compiled(compiler, level, source, scratch):
    """Bytes of code, and the compiler's seconds of processor time: the least of three, since other work
    of the machine only adds."""
    built = os.path.join(scratch, "built.o")
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([compiler, level, "-DNDEBUG", "-I", os.path.dirname(HERE), "-I", SPEED, "-c", source,
                        "-o", built], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    sizes = subprocess.run(["size", built], check=True, stdout=subprocess.PIPE, text=True).stdout
    return int(sizes.split("\n")[1].split()[0]), min(seconds)


def cost(compiler, level):
    """Bytes of code and seconds."""
    one = os.path.join(SPEED, "events.c")
    with tempfile.TemporaryDirectory() as scratch:
        nothing, two = os.path.join(scratch, "nothing.c"), os.path.join(scratch, "two.c")
        with open(nothing, "w") as file:
            file.write("typedef int nothing;\n")
        with open(one) as source, open(two, "w") as file:
            text = source.read()
            file.write(text + text.replace("events_cache", "second_cache"))
        code, seconds = compiled(compiler, level, one, scratch)
        both_code, _ = compiled(compiler, level, two, scratch)
        _, empty_seconds = compiled(compiler, level, nothing, scratch)
    return both_code - code, seconds - empty_seconds


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    code, seconds = cost(sys.argv[1], "-O2")
    print("code: %.1f KiB, at most %d; compiled in %.2f s, without optimisation in %.2f s"
          % (code / 1024, CODE_BOUND / 1024, seconds, cost(sys.argv[1], "-O0")[1]))
    return 1 if code > CODE_BOUND else 0


if __name__ == "__main__":
    sys.exit(main())
