#!/usr/bin/env python3
"""Plants one bug that a comparable allocator really had, and sees that the test named for it fails.

    museum.py BUG HEADER SCRATCH PROGRAM COMPILER ARGUMENT...

BUG is a file of this folder: a sentence, the program and the test that must fail, and what is to be
changed in the header, as hunks of a patch without line numbers. What a hunk takes away, with the
lines around it, must stand in the header exactly once: so a bug that no longer fits is an error, and
never a test that passes for nothing. PROGRAM is the healthy program, where the test must pass.
The arguments compile the same program against the header's copy with the bug in it."""

import os
import re
import subprocess
import sys

SECONDS = 20  # a planted deadlock hangs: that is a failure as well


def read_bug(path):
    with open(path, encoding="utf-8") as file:
        head, *hunks = re.split(r"^@@\n", file.read(), flags=re.M)
    fields = dict(re.findall(r"^(\w+): (.*)$", head, flags=re.M))
    edits = []
    for hunk in hunks:
        lines = hunk.splitlines()
        before = [line[1:] for line in lines if line[:1] != "+"]
        after = [line[1:] for line in lines if line[:1] != "-"]
        edits.append(("\n".join(before) + "\n", "\n".join(after) + "\n"))
    return fields["test"], edits


def plant(header, edits):
    for before, after in edits:
        if header.count(before) != 1:
            sys.exit(f"the header has these lines {header.count(before)} times, not once:\n{before}")
        header = header.replace(before, after)
    return header


def run(program, test):
    """Runs one test of a cmocka program. Its status, None if it hung, and what it printed."""
    environment = dict(os.environ, HOSTCACHE_TEST=test)
    try:
        done = subprocess.run([program], env=environment, timeout=SECONDS, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        return done.returncode, done.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as error:
        return None, (error.stdout or b"").decode(errors="replace")


def main():
    bug, header, scratch, healthy, compiler, *arguments = sys.argv[1:]
    test, edits = read_bug(bug)
    os.makedirs(scratch, exist_ok=True)
    with open(header, encoding="utf-8") as file:
        planted = plant(file.read(), edits)
    with open(os.path.join(scratch, "hostcache.h"), "w", encoding="utf-8") as file:
        file.write(planted)

    status, printed = run(healthy, test)
    if status != 0 or f"[       OK ] {test}\n" not in printed:
        sys.exit(f"{printed}\n{test} does not pass without the bug")

    program = os.path.join(scratch, "program")
    subprocess.run([compiler, "-I" + scratch, *arguments, "-o", program], check=True)
    status, printed = run(program, test)
    print(printed)
    if f"[ RUN      ] {test}\n" not in printed:
        sys.exit(f"{test} did not run")
    if status == 0:
        sys.exit(f"{test} does not see the bug")
    print(f"{test} sees it:", "it hangs" if status is None else f"status {status}")


main()
