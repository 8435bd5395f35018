#!/usr/bin/env python3
"""Measures which branches and conditions of hostcache.h the tests reach, and guards the figure.

    coverage.py SCRATCH [--again NAME,NAME]

It builds the programs of the table below with clang-19's coverage of branches and MC/DC, runs them,
and unites what they say by the place in the header. The report stands in SCRATCH/report.txt. It
fails where a condition is not reached and not listed; where one is listed that is reached, or not
there any more; and where the list does not have as many entries as its first line says, so that it
does not grow by itself. --again runs these programs alone, and takes the others as they were in the
last run, which must have been of the same header.

Threads that meet by chance reach some conditions in one run and not in another. So where something
is not reached that is not listed, the programs whose threads are not steered run once more, and twice
at most: what counts is what any of the runs reached.

What is counted. The header is a template that each program includes several times, under other names
and with other hooks, and llvm-cov counts each of them alone. Here a side of a branch is taken where
any program took it, and a condition has been shown to decide (MC/DC) where two test vectors of its
decision show it, whichever inclusions they come from: the decision stands at one place of the source.
A condition that the compiler folds in an inclusion, as HC_ALONE, counts where another inclusion
evaluates it. What #if leaves out of every program is not counted: Windows, systems other than Linux,
what stands in for builtins of the compiler.

Two macros take conditions as their arguments, which clang would place in the macro's own line.
HOSTCACHE_RARELY is only a hint, and is blank in the copy of the header that is built here, so that
all places stay. HOSTCACHE_ASSERT is left out as a class: an assertion that can be made false is a bug.

What llvm-cov shows as text is read, as its JSON has neither test vectors nor what is folded."""

import argparse
import collections
import concurrent.futures
import dataclasses
import glob
import os
import re
import subprocess
import sys

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
HEADER = os.path.join(os.path.dirname(TESTS), "hostcache.h")
UNREACHABLE = os.path.join(TESTS, "coverage", "unreachable.txt")
PROFDATA, COV = "llvm-profdata-19", "llvm-cov-19"
SECONDS = 1500  # a program that hangs is a failure as well
# A decision of more conditions than this, or of a kind that clang cannot measure, is a warning of
# clang's, and a failure here: none is left out in silence. Counters are atomic, since that of one
# side is told from two others: where threads lose a count, it seems to have been taken.
COVERAGE = ["-fprofile-instr-generate", "-fprofile-update=atomic", "-fcoverage-mapping",
            "-fcoverage-mcdc", "-Xclang", "-fmcdc-max-conditions=24"]


# ---- the programs ------------------------------------------------------------------------------


@dataclasses.dataclass
class Program:
    name: str
    sources: list
    options: list = dataclasses.field(default_factory=list)
    runs: list = dataclasses.field(default_factory=lambda: [{}])  # the environment of each run
    arguments: list = dataclasses.field(default_factory=list)
    interleaved: bool = False  # its threads are steered (interleave/explore.c)


SHARED = [{}, {"HOSTCACHE_SHARED_SEGMENTS": "1"}]


def stem(path):
    return os.path.splitext(os.path.basename(path))[0]


STEERING = ["interleave/explore.c", "interleave/memory.c", "interleave/device.c"]
INTERLEAVED = [
    ("stocks", "stocks", [], []),
    ("pools", "pools", [], []),
    ("ordered", "ordered", [], []),
    ("ordered_timeline", "ordered", ["-DCACHE_TIMELINE"], []),
    ("find", "find", [], []),
    ("owners", "owners", [], []),
    ("trace", "trace", [], []),
    ("events", "scenarios", [], ["--random"]),
    ("timeline", "scenarios", ["-DCACHE_TIMELINE"], ["--random"]),
]
SHARED_UNITS = ["events", "hooks", "ordered"]
ADD_NOTHING = ["declare", "names", "referee", "sizes"]  # the report says which do


def programs():
    """Those whose tests reach something that the ones before do not."""
    table = []
    for source in sorted(glob.glob(os.path.join(TESTS, "unit", "*.c"))):
        with open(source, encoding="utf-8") as file:
            has_the_header = re.search(r'"(hostcache|sim/each_mode)\.h"', file.read())
        name = stem(source)
        if has_the_header and name not in ADD_NOTHING:
            table.append(Program("unit." + name, [f"unit/{name}.c", "only.c"],
                                 runs=SHARED if name in SHARED_UNITS else [{}]))
    table.append(Program("model.memory", ["model/memory.c", "only.c"],
                         [f'-DMODEL_CORPUS="{TESTS}/fuzz/corpus/memory"'],
                         [{"HOSTCACHE_MODEL_PROGRAMS": "20"}]))
    for name in ["fork", "threads"]:
        table.append(Program("life." + name, [f"life/{name}.c", "only.c"]))
    for name, source, options, arguments in INTERLEAVED:
        table.append(Program("interleave." + name, [f"interleave/{source}.c", *STEERING],
                             options, arguments=arguments, interleaved=True))
    return table


def call(command, environment=None, accepted=(0,)):
    done = subprocess.run(command, cwd=TESTS, env=environment, timeout=SECONDS, check=False,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = done.stdout.decode(errors="replace")
    if done.returncode not in accepted:
        raise RuntimeError(f"{text}\n{' '.join(command)}\nends with {done.returncode}")
    return text


def build(program, scratch):
    """Compiles each source, as C or C++, and links them."""
    objects, left_out = [], []
    for source in [*program.sources, "coverage/runtime.c"]:
        cpp = source.endswith(".cpp")
        target = os.path.join(scratch, f"{program.name}.{stem(source)}.o")
        options = ["-O0", "-pthread", "-DHOSTCACHE_DEBUG", "-I" + scratch, "-I.", "-I..", "-Isim",
                   "-Icompile", *program.options]
        if source in STEERING or source == "coverage/runtime.c":
            options += ["-O1", "-DEXPLORE_TO_THE_END"]  # has nothing of the header
        else:
            options += COVERAGE
            if program.interleaved:
                options += ["-fsanitize=thread", "-fno-builtin"]
        said = call(["clang++-19" if cpp else "clang-19", "-std=gnu++11" if cpp else "-std=gnu11",
                     *options, "-c", source, "-o", target])
        left_out += re.findall(r"hostcache\.h:(\d+):.*MC/DC", said)
        objects.append(target)
    if left_out:
        raise RuntimeError("clang-19 cannot measure the decisions of hostcache.h in the lines "
                           f"{', '.join(sorted(set(left_out), key=int))}: write them in another way")
    binary = os.path.join(scratch, program.name)
    wrapped = ["_exit"] + (["memcpy", "memmove", "memset"] if program.interleaved else [])
    linker = "clang++-19" if any(s.endswith(".cpp") for s in program.sources) else "clang-19"
    call([linker, "-pthread", "-fprofile-instr-generate", *objects, "-o", binary,
          *["-Wl,--wrap=" + name for name in wrapped], "-lcmocka", "-lm", "-ldl"])
    return binary


def measure(program, scratch):
    """Builds and runs one program; its coverage as text."""
    binary = build(program, scratch)
    for old in glob.glob(binary + ".*.profraw"):
        os.remove(old)
    return run_program(program, scratch)


def run_program(program, scratch):
    """Runs one program that is built; its coverage as text, that of former runs as well."""
    binary = os.path.join(scratch, program.name)
    for run in program.runs:
        call([binary, *program.arguments], dict(os.environ, LLVM_PROFILE_FILE=binary + ".%m.profraw", **run))
    call([PROFDATA, "merge", "-o", binary + ".profdata", *glob.glob(binary + ".*.profraw")])
    text = call([COV, "show", binary, "-instr-profile=" + binary + ".profdata", "-show-branches=count",
                 "-show-mcdc", "-show-instantiations=false", "-sources",
                 os.path.join(scratch, "hostcache.h")])
    with open(binary + ".txt", "w", encoding="utf-8") as file:
        file.write(text)
    return text


def last_time(program, scratch):
    with open(os.path.join(scratch, program.name + ".txt"), encoding="utf-8") as file:
        return file.read()


# ---- what llvm-cov says ------------------------------------------------------------------------


class Seen:
    """Places are (line, column) of a condition."""

    def __init__(self):
        self.sides = collections.defaultdict(set)  # place: which of "true" and "false"
        self.vectors = collections.defaultdict(set)  # places of a decision's conditions: vectors

    def read(self, text):
        places = []
        for line in text.splitlines():
            branch = re.search(r"\|  Branch \((\d+):(\d+)\): \[(.*)\]$", line)
            if branch:
                if "Folded" not in branch[3]:
                    sides = re.fullmatch(r"True: (\S+), False: (\S+)", branch[3])
                    place = (int(branch[1]), int(branch[2]))
                    self.sides[place] |= {side for side, count in zip(("true", "false"), sides.groups())
                                          if count != "0"}
            elif "MC/DC Decision Region" in line:
                places = []
            elif condition := re.search(r"Condition C\d+ --> \((\d+):(\d+)\)", line):
                places.append((int(condition[1]), int(condition[2])))
            elif vector := re.search(r"\|  +\d+ \{ (.*?) += (\w) +\}", line):
                self.vectors[tuple(places)].add((tuple(vector[1].replace(" ", "").split(",")), vector[2]))
            elif "-Pair: " in line:
                _ = self.vectors[tuple(places)]  # also of a decision that never ran

    def unite(self, other):
        for place, sides in other.sides.items():
            self.sides[place] |= sides
        for places, vectors in other.vectors.items():
            self.vectors[places] |= vectors

    def decided(self):
        """The conditions of decisions, and those that were shown to decide."""
        conditions, shown = set(), set()
        for places, vectors in self.vectors.items():
            conditions.update(place for place in places if place in self.sides)
            for index, place in enumerate(places):
                yes = [v for v in vectors if v[0][index] == "T"]
                no = [v for v in vectors if v[0][index] == "F"]
                if any(differ_by_one(a, b, index) for a in yes for b in no):
                    shown.add(place)
        return conditions, shown & conditions


def differ_by_one(first, second, index):
    """Two vectors show condition `index` where their results differ, and no other that both evaluate."""
    return first[1] != second[1] and all(
        a == b or at == index or "-" in (a, b) or "C" in (a, b)
        for at, (a, b) in enumerate(zip(first[0], second[0])))


# ---- what the header says ----------------------------------------------------------------------


class Header:
    def __init__(self):
        with open(HEADER, encoding="utf-8") as file:
            self.lines = file.read().splitlines()
        self.functions, name = [], "-"
        for line in self.lines:
            if re.match(r"[A-Za-z]", line):
                named = re.search(r"(?:HC_FN|HC_I)\((\w+)\)\(|\b(hostcache_\w+)\(", line)
                name = (named[1] or named[2]) if named else name
            self.functions.append(name)

    def write_for_coverage(self, path):
        blank = [line if line.startswith("#define") else
                 line.replace("HOSTCACHE_RARELY", " " * len("HOSTCACHE_RARELY")) for line in self.lines]
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(blank) + "\n")

    def in_assertion(self, place):
        return "HOSTCACHE_ASSERT(" in self.lines[place[0] - 1][:place[1] + len("HOSTCACHE_ASSERT(")] or \
            re.match(r"#define HOSTCACHE_ASSERT\b", self.lines[place[0] - 1])

    def condition(self, place):
        """The text of the condition that begins at a place."""
        line, column = place
        text = self.lines[line - 1][column - 1:] + " " + " ".join(self.lines[line:line + 6])
        depth, end = 0, len(text)
        for at, char in enumerate(text):
            if char in "([{":
                depth += 1
            elif char in ")]}":
                depth -= 1
            if depth < 0 or depth == 0 and (char in "?;:{" or text[at:at + 2] in ("&&", "||")):
                end = at
                break
        return " ".join(text[:end].split())

    def keys(self, places):
        """Names that last when lines move: the function, the condition's text, and which of several."""
        count, keys = collections.Counter(), {}
        for place in sorted(places):
            function, condition = self.functions[place[0] - 1], self.condition(place)
            count[function, condition] += 1
            which = count[function, condition]
            keys[place] = (function, condition + (f" #{which}" if which > 1 else ""))
        return keys


# ---- the lists ---------------------------------------------------------------------------------


def read_list(path):
    """{(function, condition): what}: a line "entries: N", then each entry as
    "function -- condition -- what", with its reason in lines that begin with spaces. What is missing
    is a side of its branch ("true", "false" or both), or that it was shown to decide ("decides")."""
    entries, problems, promised, reasons = {}, [], None, collections.Counter()
    last = None
    with open(path, encoding="utf-8") as file:
        for line in file.read().splitlines():
            if line.startswith("entries: "):
                promised = int(line.removeprefix("entries: "))
            elif line.startswith(" "):
                reasons[last] += 1
            elif line and not line.startswith("#"):
                function, condition, what = line.split(" -- ")
                last = (function, condition)
                if last in entries:
                    problems.append(f"{os.path.basename(path)}: twice: {line}")
                entries[last] = what
    if promised != len(entries):
        problems.append(f"{os.path.basename(path)} says that it has {promised} entries, and has "
                        f"{len(entries)}: say it, if it is meant to be so")
    return entries, problems, reasons


def compare(missing, known, unreachable):
    """What is wrong with the list, as sentences."""
    problems = []
    for key, what in unreachable.items():
        if key not in known:
            problems.append(f"unreachable.txt: hostcache.h has no such condition: {' -- '.join(key)}")
        elif missing.get(key) != what:
            problems.append(f"unreachable.txt: {' -- '.join(key)} -- {what}, but not reached is: "
                            f"{missing.get(key, 'nothing')}")
    return problems + [f"not reached, and not listed: {' -- '.join(key)} -- {what}"
                       for key, what in missing.items() if key not in unreachable]


def per_cent(part, whole):
    return f"{part} of {whole} ({100 * part / whole:.2f}%)"


def additions(seen_by):
    """The programs, each with what it adds to those before; the one that adds most comes first."""
    left, have, lines = dict(seen_by), set(), []
    while left:
        facts = {name: {(p, s) for p, sides in seen.sides.items() for s in sides} |
                 {(p, v) for p, vectors in seen.vectors.items() for v in vectors}
                 for name, seen in left.items()}
        best = max(facts, key=lambda name: len(facts[name] - have))
        lines.append(f"{len(facts[best] - have):7} {best}")
        have |= facts[best]
        del left[best]
    return lines


def read_all(some, text_of):
    """What programs reach, each by its name; `text_of` measures one. Two at a time."""
    seen_by, failed = {}, []
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        running = {pool.submit(text_of, program): program.name for program in some}
        for future in concurrent.futures.as_completed(running):
            seen = Seen()
            try:
                seen.read(future.result())
                seen_by[running[future]] = seen
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                failed.append(f"{running[future]}: {error}")
    if failed:
        sys.exit("\n\n".join(failed))
    return seen_by


def what_is_missing(seen, header):
    """Of each condition, by its key, what was not reached; its places; the keys of all."""
    conditions, shown = seen.decided()
    keys = header.keys(place for place in seen.sides if not header.in_assertion(place))
    missing, places = {}, {}
    for place, key in keys.items():
        what = [side for side in ("true", "false") if side not in seen.sides[place]]
        if not what and place in conditions and place not in shown:
            what = ["decides"]
        if what:
            missing[key] = " ".join(what)
            places[key] = place
    return missing, places, keys


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("scratch")
    parser.add_argument("--again", default="")
    arguments = parser.parse_args()
    scratch = os.path.abspath(arguments.scratch)
    os.makedirs(scratch, exist_ok=True)
    header = Header()
    header.write_for_coverage(os.path.join(scratch, "hostcache.h"))
    again = arguments.again.split(",") if arguments.again else []
    unreachable, problems, reasons = read_list(UNREACHABLE)

    def first(program):
        is_old = again and program.name not in again
        return last_time(program, scratch) if is_old else measure(program, scratch)

    seen, seen_by = Seen(), read_all(programs(), first)
    for one in seen_by.values():
        seen.unite(one)
    for _ in range(2):
        missing, _, _ = what_is_missing(seen, header)
        if all(key in unreachable for key in missing):
            break
        print("once more: the programs whose threads are not steered")
        unsteered = [program for program in programs() if not program.interleaved]
        for one in read_all(unsteered, lambda program: run_program(program, scratch)).values():
            seen.unite(one)
    missing, places, keys = what_is_missing(seen, header)
    if not keys:
        sys.exit("llvm-cov shows no branch of hostcache.h")

    conditions, shown = seen.decided()
    conditions, shown = conditions & keys.keys(), shown & keys.keys()
    sides = sum(len(seen.sides[place]) for place in keys)
    report = [
        f"branches: {per_cent(sides, 2 * len(keys))} sides",
        f"MC/DC: {per_cent(len(shown), len(conditions))} conditions of {len(seen.vectors)} decisions",
        f"conditions: {per_cent(len(keys) - len(missing), len(keys))} have all of it", ""]
    previous = None
    for key, what in missing.items():
        if key[0] != previous:
            report.append(f"{key[0]}:")
        previous = key[0]
        report.append(f"  {places[key][0]:6} {what:10} {key[1]}")
    report += ["", "what each program adds:"] + additions(seen_by)
    with open(os.path.join(scratch, "report.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(report) + "\n")
    print("\n".join(report[:3]))
    print(f"the whole report: {os.path.join(scratch, 'report.txt')}")
    problems += [f"unreachable.txt: no reason: {' -- '.join(key)}" for key in unreachable if not reasons[key]]
    if len(unreachable) * 100 > len(keys):
        problems.append(f"unreachable.txt has more than 1% of {len(keys)} conditions")
    problems += compare(missing, set(keys.values()), unreachable)
    print("\n".join(problems))
    return 1 if problems else 0


sys.exit(main())
