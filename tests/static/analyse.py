#!/usr/bin/env python3
"""Runs a tool that reads code over the header in one mode, or over a pack.

    analyse.py <tool> clean <program> <scratch folder> <subject>...
    analyse.py <tool> broken <program> <scratch folder> <subject>

<tool> is analyzer (gcc -fanalyzer), tidy (clang-tidy) or cppcheck; <subject> is a mode of hooks.h or
the name of a pack. The header is given to the tool as the file itself, after hooks.h, and not by an
#include: clang's analyzer does not look into headers.

`clean` fails for each finding that is not in EXCEPTIONS, and for each exception that is not found in
the subject that it names. `broken` plants the mistakes of BREAKERS in one copy, all at once, and
fails where one is not found.
"""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
PACKS = ["cpu", "malloc", "level_zero", "pluggable"]

# tool, check, the functions in which it finds what is none, a subject in which it surely does, and
# why it is none.
EXCEPTIONS = [
    ("analyzer", "-Wanalyzer-null-argument", "record", "timeline_waits",
     "`more` is NULL only with a `room` of 0, which is never above more_room: it does not relate the two"),
    ("analyzer", "-Wanalyzer-malloc-leak", "cpu_restore_error", "cpu",
     "a stream that stream_make could not complete is freed there, by stream_dispose, which has only a summary"),
    ("analyzer", "-Wanalyzer-malloc-leak", "level_zero_(grow|leave)", "level_zero",
     "the pool is in the list inside->pools, which it forgets at the next call"),
    ("tidy", "clang-analyzer-core.NullDereference", "own|lock", "timeline_waits",
     "a walk over all threads begins with &self->common, which it takes to be NULL perhaps, and so `self`"),
    ("tidy", "clang-analyzer-deadcode.DeadStores", r"call_\w+", "timeline_waits",
     "what a hook leaves behind that throws, in C++"),
    ("tidy", "clang-analyzer-deadcode.DeadStores", "comfort|heap_first|size_to_get", "own_segments",
     "nothing is shared in this mode: it leaves out what follows, by a condition that is a constant"),
    ("tidy", "bugprone-branch-clone", "cgroup_without_limit", "timeline_waits",
     "three cases in the order of the comment above them"),
    ("tidy", "bugprone-macro-parentheses", "HOSTCACHE_LOCAL", "timeline_waits",
     "the name of what it declares"),
    ("tidy", "clang-analyzer-core.NullDereference", "note_range", "pluggable",
     "no range is in state SPARE, which is not in use: it does not know that of the table of states"),
    ("tidy", "clang-analyzer-core.UndefinedBinaryOperatorResult", "pluggable_i_is_busy", "pluggable",
     "stats writes nothing after a fork, which was asked before"),
    ("cppcheck", "memleak", "record_external_register", "interfaces",
     "it is in the list then, which *at is the end of"),
    ("cppcheck", "nullPointerRedundantCheck", "pluggable_i_opening_take", "pluggable",
     "`*at` may be NULL, which is asked; `at` never is"),
    ("cppcheck", "invalidFunctionArg", "cpu_map", "cpu",
     "memory that is of no file is asked for with -1 for the file"),
]

# A mistake: the text that it replaces, which stands in the header exactly once; and which check of
# which tool finds it, in which function.
BREAKERS = [
    ("a file that is not closed",
     "  failed = ferror(file);\n  (void)fclose(file);\n",
     "  failed = ferror(file);\n",
     {"analyzer": ("-Wanalyzer-file-leak", "read_fields"), "tidy": ("clang-analyzer-unix.Stream", "read_fields")}),
    ("memory that is not asked for NULL",
     "  if (!fresh) return NULL;\n  memset((void *)fresh, 0, sizeof *fresh);\n  fresh->lane = lane;\n  fresh->poll_at",
     "  memset((void *)fresh, 0, sizeof *fresh);\n  fresh->lane = lane;\n  fresh->poll_at",
     {"analyzer": ("-Wanalyzer-possible-null-argument", "queue_make")}),
    ("memory that is freed twice",
     "    if (!queues) {\n      HOSTCACHE_FREE(fresh);\n",
     "    if (!queues) {\n      HOSTCACHE_FREE(fresh);\n      HOSTCACHE_FREE(fresh);\n",
     {"analyzer": ("-Wanalyzer-double-free", "HOSTCACHE_FREE"), "tidy": ("clang-analyzer-unix.Malloc", "queue_make")}),
    ("memory that is lost",
     "  if (fresh) HOSTCACHE_FREE(fresh); /* another thread was faster */\n",
     "",
     {"analyzer": ("-Wanalyzer-malloc-leak", "lane_make"), "tidy": ("clang-analyzer-unix.Malloc", "lane_make"),
      "cppcheck": ("memleak", "lane_make")}),
    ("memory that is used after it was freed",
     "  HOSTCACHE_FREE(self);\n}\n",
     "  HOSTCACHE_FREE(self);\n  self->number = 0;\n}\n",
     {"analyzer": ("-Wanalyzer-use-after-free", "dispose")}),
    ("a variable that is read before it is written",
     "  HC_BLOCK *chain = bin->top, *last = chain;\n",
     "  HC_BLOCK *chain = bin->top, *last;\n",
     {"tidy": ("clang-analyzer-core.NullDereference", "stock_pull"), "cppcheck": ("uninitStructMember", "stock_pull")}),
]

FINDING = re.compile(r"^(?P<file>[^:\n]+):(?P<line>\d+):\d+: \w+: (?P<text>.*) \[(?P<check>[-\w.,+]+)\]$", re.M)


def command(tool, program, subject, path):
    """What runs the tool over a file."""
    options = ["-I", ROOT, "-std=c11"]
    if subject == "pluggable":
        options += ["-D", "HOSTCACHE_PLUGGABLE_IMPLEMENTATION", "-include", path, "-include", "hostcache.h"]
    elif subject in PACKS:
        options += ["-D", "HC_NAME=cache", "-D", "HOSTCACHE_%s_IMPLEMENTATION" % subject.upper()]
    else:
        options += ["-D", "MODE_" + subject.upper(), "-include", os.path.join(HERE, "hooks.h")]
    if tool == "analyzer":
        # Each function by itself, what it calls by a summary: else its bounds are used up long before
        # it has seen all. With summaries it does not know what is written through a pointer.
        return [program, "-fanalyzer", "-fanalyzer-call-summaries", "--param",
                "analyzer-max-enodes-per-program-point=3", "-Wno-analyzer-use-of-uninitialized-value",
                "-fdiagnostics-plain-output", "-DNDEBUG", *options, "-x", "c", "-S", "-o", os.devnull, path]
    if tool == "tidy":
        # How many states of one function it looks at: by itself 225,000, which takes 90 seconds.
        return [program, "--quiet", "--config-file=" + os.path.join(HERE, "clang-tidy.yaml"), path, "--",
                *options, "-x", "c", "-Xclang", "-analyzer-config", "-Xclang",
                "max-nodes=8000"]
    # It has no preprocessor of a system: what makes the header take the ways of Linux and gcc is said.
    # There is no -include.
    forced = [option for pair in zip(options, options[1:]) if pair[0] == "-include"
              for option in ["--include=" + pair[1]]][::-1]
    kept = [option for before, option in zip([""] + options, options)
            if "-include" not in (before, option) and not option.startswith("-std")]
    return [program, "-q", "--std=c11", "--language=c", "--library=posix", "--enable=warning,performance,portability",
            "-D__GNUC__=12", "-D__x86_64__", "-D__linux__", "-D__LP64__", "-DSYS_futex=202", "-DSYS_membarrier=324",
            *kept, *forced, path]


def function_at(text, line):
    """The function or macro that a line of the text is of, without what the header puts before its name."""
    lines = text.split("\n")[:line]
    macro = re.match(r"#\s*define (\w+)", lines[-1])
    if macro:
        return macro.group(1)
    for above in reversed(lines):
        head = re.match(r"\w[\w \t*]*?(?:HC_(?:I|FN)\((\w+)\)|\bhostcache_(\w+)|\b(\w+))\(", above)
        if head and not above.endswith(";"):
            return next(name for name in head.groups() if name)
    return ""


def findings(tool, program, subject, path, text):
    """All that the tool says of the file, each as (check, function, as it was printed)."""
    run = subprocess.run(command(tool, program, subject, path), text=True, check=False,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    said = run.stdout + run.stderr
    texts = {path: text}
    found = set()
    for match in FINDING.finditer(said):
        where = os.path.join(ROOT, match.group("file"))
        if where not in texts:
            with open(where, encoding="utf-8") as file:
                texts[where] = file.read()
        found.add((match.group("check"), function_at(texts[where], int(match.group("line"))), match.group(0)))
    found = sorted(found)
    if run.returncode != 0 and not found:
        found = [("", "", said or "status %d" % run.returncode)]
    return found


def main():
    tool, what, program, scratch, *subjects = sys.argv[1:]
    failures = 0
    for subject in subjects:
        path = os.path.join(ROOT, "backends/hostcache_%s.h" % subject if subject in PACKS else "hostcache.h")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if what == "broken":
            for name, good, bad, _ in BREAKERS:
                if text.count(good) != 1:
                    print("%s: stands in the header %d times, not once" % (name, text.count(good)))
                    failures += 1
                text = text.replace(good, bad)
            os.makedirs(scratch, exist_ok=True)
            path = os.path.join(scratch, "hostcache.h")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
        found = findings(tool, program, subject, path, text)
        if what == "broken":
            expected = [(name, finders[tool]) for name, _, _, finders in BREAKERS if tool in finders]
            missed = [name for name, finder in expected if not any(finder == finding[:2] for finding in found)]
            for name in missed:
                print("%s: not found" % name)
            print("%d of %d mistakes found" % (len(expected) - len(missed), len(expected)))
            failures += len(missed) + (not expected)
            if missed:
                print("".join("  %s %s %s\n" % finding for finding in found), end="")
            continue
        known = [exception for exception in EXCEPTIONS if exception[0] == tool]
        for check, function, line in found:
            if not any(check == exception[1] and re.fullmatch(exception[2], function) for exception in known):
                print("%s: in %s: %s" % (subject, function, line))
                failures += 1
        for _, check, function, surely, _ in known:
            if surely == subject and not any(finding[0] == check and re.fullmatch(function, finding[1])
                                             for finding in found):
                print("%s: %s is not found in %s any more: the exception can go" % (subject, check, function))
                failures += 1
        print("%s: %d findings" % (subject, len(found)))
    return 1 if failures or not subjects else 0


if __name__ == "__main__":
    sys.exit(main())
