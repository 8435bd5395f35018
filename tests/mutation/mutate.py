#!/usr/bin/env python3
"""Asks the tests for every small fault of hostcache.h (mutants.py): does one of them fail?

    mutate.py SCRATCH [--sample N [--seed TEXT]] [--only PATTERN] [--tests PATTERN] [--again] [--anew]
              [--unlisted] [--jobs N] [--write]

SCRATCH is a folder for a copy of the tree with the mutants in its header, for its programs, and for
results.jsonl, from which a run that was stopped goes on. A test runs with no mutant alive first,
which tells how long it takes and past which mutants it comes; then each mutant is alive in the tests
that come past it, the likely and quick ones first, until one fails. One that none of them sees has
survived: it must stand in survivors.txt with the reason why nothing can see it. What stands there
and was killed, or is no mutant any more, is an error as well.

The whole takes hours; at least 95 in 100 must be killed. --tests asks others than those that take a
few seconds, --again those again that have survived before, --anew all: for another header, but first
those tests that saw them in this one; --unlisted leaves out what stands in survivors.txt. --write
notes which tests killed those of each function in killers.txt: they are asked first from then on.
--sample takes N mutants that are in no list, chosen by --seed or else by the commit, and builds no
more tests than it takes to kill them.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import hashlib
import json
import mmap
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import mutants as mutation

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
KILLERS = os.path.join(HERE, "killers.txt")
SURVIVORS = os.path.join(HERE, "survivors.txt")
MOST = 1 << 16  # as in mutant.c
MOST_MEMORY = 8 << 30  # in bytes, of a program that only a mutant makes so greedy
LEAST_KILLED = 95  # in 100

# What takes a few seconds: a mutant that survives has been alive in each of them.
TESTS = r"^(unit|model|life|behaviour\.cpu|backends\.(cpu|malloc|pluggable)|interleave\.(find|trace|owners|registry|pools|ordered|stocks|timeline\.pairs)$)"
EXPLORER = re.compile(r"^interleave\.")  # these alone tell one memory order from another
SLOW = 1.0  # seconds of the processor: slower tests are asked only for what no other sees
QUICKER = {"HOSTCACHE_MODEL_PROGRAMS": "40",  # what random programs find they find early
           "CMOCKA_TEST_ABORT": "1"}  # one failure will do


def say(text):
    print(time.strftime("%H:%M:%S"), text, flush=True)


class Tree:
    """A copy of this tree, with the mutants in its header, and its build."""

    def __init__(self, scratch, optimised):
        self.scratch = os.path.abspath(scratch)
        self.optimised = optimised
        self.root = os.path.join(self.scratch, "tree")
        self.build = os.path.join(self.scratch, "build")
        self.without = set()
        self.mutants = []

    def write(self):
        with open(os.path.join(ROOT, "hostcache.h"), encoding="utf-8") as file:
            text, self.mutants = mutation.make(file.read(), self.without)
        header = os.path.join(self.root, "hostcache.h")
        if os.path.exists(header):
            with open(header, encoding="utf-8") as file:
                if file.read() == text:
                    return  # what was built with it needs not be built again
        with open(header, "w", encoding="utf-8") as file:
            file.write(text)

    def copy(self):
        """All but the header; and each file keeps its time, so that only what changed is built again."""
        def left_out(folder, names):
            paths = {name: os.path.join(folder, name) for name in names}
            return {name for name, path in paths.items()
                    if name.startswith(".") or path in (self.scratch, os.path.join(ROOT, "hostcache.h"))
                    or os.path.exists(os.path.join(path, "CMakeCache.txt"))}
        os.makedirs(self.root, exist_ok=True)
        for entry in os.scandir(self.root):
            if entry.is_dir():
                shutil.rmtree(entry.path)
            elif entry.name != "hostcache.h":
                os.remove(entry.path)
        shutil.copytree(ROOT, self.root, ignore=left_out, dirs_exist_ok=True)

    def make(self):
        self.copy()
        self.write()
        chooser = os.path.join(self.build, "mutant.o")
        os.makedirs(self.build, exist_ok=True)
        subprocess.run(["cc", "-O2", "-fPIC", "-c", os.path.join(HERE, "mutant.c"), "-o", chooser], check=True)
        flags = f"-w -O{self.optimised} -I{os.path.join(self.root, 'tests')} -include {os.path.join(HERE, 'mutant.h')}"
        links = [f"-DCMAKE_{kind}_LINKER_FLAGS={chooser}" for kind in ("EXE", "SHARED", "MODULE")]
        subprocess.run(["cmake", "-S", self.root, "-B", self.build, "-G", "Ninja", "-DHOSTCACHE_BENCH=OFF",
                        "-DCMAKE_BUILD_TYPE=", f"-DCMAKE_C_FLAGS={flags}", f"-DCMAKE_CXX_FLAGS={flags}", *links],
                       check=True, stdout=subprocess.DEVNULL)

    def tests(self, pattern):
        """The tests that the pattern names: what runs, in which folder and environment, of which target."""
        commands = self.commands()
        shown = subprocess.run(["ctest", "--test-dir", self.build, "--show-only=json-v1", "-LE", "toolchain|bench"],
                               check=True, stdout=subprocess.PIPE).stdout
        for test in json.loads(shown)["tests"]:
            properties = {p["name"]: p["value"] for p in test["properties"]}
            if re.search(pattern, test["name"]) and not properties.get("DISABLED"):
                yield Test(test["name"], commands[test["name"]], properties)

    def commands(self):
        """What each test runs; ctest itself tells that only of programs which are there already."""
        found = {}
        for folder, _, files in os.walk(self.build):
            if "CTestTestfile.cmake" in files:
                with open(os.path.join(folder, "CTestTestfile.cmake"), encoding="utf-8") as file:
                    for name, words in re.findall(r"^add_test\(\[=*\[(.*?)\]=*\] (.*)\)$", file.read(), flags=re.M):
                        found[name] = re.findall(r'"((?:[^"\\]|\\.)*)"', words)
        return found

    def compile(self, tests):
        """Builds their programs. A mutant that does not compile is taken out, and is none."""
        if not tests:
            return
        targets = sorted({os.path.relpath(test.command[0], self.build) for test in tests})
        while True:
            done = subprocess.run(["ninja", "-C", self.build, "-k", "0", *targets], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, check=False)
            printed = done.stdout.decode(errors="replace")
            if done.returncode == 0:
                return
            bad = {int(line) for line in re.findall(r"hostcache\.h:(\d+):\d+: error", printed)}
            with open(os.path.join(self.root, "hostcache.h"), encoding="utf-8") as file:
                lines = file.read().splitlines()
            found = {int(n) for line in bad for n in re.findall(r"HOSTCACHE_(?:MUTANT|SIGN)\((\d+)\)", lines[line - 1])}
            if not found:
                sys.exit(printed[-4000:])
            say(f"{len(found)} mutants do not compile")
            self.without |= found
            self.write()


class Test:
    def __init__(self, name, command, properties):
        self.name, self.command = name, command
        self.folder = properties.get("WORKING_DIRECTORY")
        self.environment = dict(entry.split("=", 1) for entry in properties.get("ENVIRONMENT", []))
        self.seconds = self.cpu = 0.0
        self.reached = b""

    def run(self, seconds, cpu, **more):
        """Did it pass, and how long did that take the processor? It is killed after so many seconds,
        or so many of the processor's."""
        def limit():
            resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
            resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        running = subprocess.Popen(self.command, cwd=self.folder, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=limit,
                                   env={**os.environ, **QUICKER, **self.environment, **more},
                                   start_new_session=True)

        def kill():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)  # and what it forked
        alarm = threading.Timer(seconds, kill)
        alarm.start()
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
        alarm.cancel()
        kill()
        return running.returncode == 0, used.ru_utime + used.ru_stime

    def trace(self, scratch):
        path = os.path.join(scratch, f"reached.{self.name}")
        with open(path, "w+b") as file:
            file.truncate(MOST)
            file.flush()
            started = time.monotonic()
            passed, self.cpu = self.run(1200, 1200, HOSTCACHE_MUTANT_REACHED=path)
            self.seconds = time.monotonic() - started
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                self.reached = bytes(mapped)
        os.remove(path)
        if not passed:
            sys.exit(f"{self.name} fails with no mutant alive")

    def sees(self, number):
        """Does it fail with this mutant alive?"""
        passed, _ = self.run(20 + 10 * self.seconds, int(3 + 5 * self.cpu), HOSTCACHE_MUTANT_CHOSEN=str(number))
        return not passed


class Hunt:
    """Takes mutants from a list, by some threads at once."""

    def __init__(self, tree, tests, results, before):
        self.tree, self.tests, self.results = tree, tests, results
        self.building = threading.Lock()
        self.lock = threading.Lock()
        self.killers = read_killers(tests)  # of a function, the likeliest first. LOCK: lock
        self.before = before  # by its key, what came of a mutant the last time
        self.kills = collections.Counter()  # LOCK: lock

    def prepare(self, tests, jobs=1):
        """Builds and traces those that are not yet."""
        with self.building:
            fresh = [test for test in tests if not test.reached]
            self.tree.compile(fresh)
            with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
                list(pool.map(lambda test: test.trace(self.tree.scratch), fresh))

    def in_turn(self, mutant, asked):
        before = self.before.get(mutant.key, {}).get("by")
        with self.lock:
            known = [test for test in self.killers[mutant.function] if test in asked][:4]
            known = [test for test in asked if test.name == before] + [test for test in known if test.name != before]
            rest = [test for test in asked if test not in known]
            rest.sort(key=lambda t: ((t.cpu or 5) + 0.05) / (1 + self.kills[t.name]) + 1000 * (t.cpu > 5))
        return [test for test in known + rest if mutant.operator != "order" or EXPLORER.match(test.name)]

    def killer_of(self, number, mutant, tests):
        """The first of these tests that sees it, or None."""
        for test in self.in_turn(mutant, tests):
            self.prepare([test])
            if number not in self.tree.without and test.reached[number] and test.sees(number):
                return test
        return None

    def hunt(self, number, mutant, tests, last):
        started = time.monotonic()
        killer = self.killer_of(number, mutant, tests)
        with self.lock:
            if killer:
                self.kills[killer.name] += 1
                of = self.killers[mutant.function]
                if killer in of:
                    of.remove(killer)
                of.insert(0, killer)
            else:
                self.survived += 1
            self.done += 1
            result = {"key": mutant.key, "line": mutant.line, "by": killer and killer.name,
                      "past": sum(bool(test.reached and test.reached[number]) for test in self.tests),
                      "last": last, "seconds": round(time.monotonic() - started, 1)}
            self.results.write(json.dumps(result) + "\n")
            self.results.flush()

    def all(self, numbered, tests, jobs, last=True):
        """Each of these mutants, with their numbers, in these tests; are they the last that it is asked for?"""
        self.done = self.survived = 0
        begun = shown = time.monotonic()
        left = collections.deque(numbered)

        def work():
            nonlocal shown
            while True:
                try:
                    number, mutant = left.popleft()
                except IndexError:
                    return
                try:
                    self.hunt(number, mutant, tests, last)
                except SystemExit as why:
                    print(why, flush=True)
                    os._exit(1)  # all threads
                with self.lock:
                    now = time.monotonic()
                    if now - shown > 60:
                        shown = now
                        left_s = (now - begun) * len(left) / self.done
                        say(f"{self.done} of {len(numbered)}, {self.survived} survived, {left_s / 60:.0f} min to go")
        workers = [threading.Thread(target=work, daemon=True) for _ in range(jobs)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


def read_killers(tests):
    """The tests that killed mutants of a function, by its name."""
    named = {test.name: test for test in tests}
    killers = collections.defaultdict(list)
    if not os.path.exists(KILLERS):
        return killers
    with open(KILLERS, encoding="utf-8") as file:
        for line in file:
            function, _, names = line.partition(": ")
            killers[function] = [named[name] for name in names.split() if name in named]
    return killers


def write_killers(mutants, results):
    kills = collections.defaultdict(collections.Counter)
    for mutant in mutants:
        killer = results.get(mutant.key, {}).get("by")
        if killer:
            kills[mutant.function][killer] += 1
    with open(KILLERS, "w", encoding="utf-8") as file:
        for function in sorted(kills):
            names = [name for name, _ in kills[function].most_common()]
            file.write(f"{function}: {' '.join(names)}\n")


def read_survivors():
    """What survives, with the reason why it may: lines of a key, then ' -- ' and the reason."""
    known = {}
    with open(SURVIVORS, encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                key, dash, reason = line.rstrip("\n").partition(" -- ")
                if not dash or not reason:
                    sys.exit(f"survivors.txt: no reason in '{line.strip()}'")
                known[key] = reason
    return known


def commit():
    """Names what is tested, wherever that is known."""
    told = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          check=False)
    return told.stdout.decode().strip() or "no commit"


def read_results(path):
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return {result["key"]: result for result in map(json.loads, file)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scratch")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", default="")
    parser.add_argument("--only", default="", help="mutants whose key has this pattern")
    parser.add_argument("--tests", default=TESTS, help="tests whose name has this pattern")
    parser.add_argument("--again", action="store_true", help="ask those that have survived again")
    parser.add_argument("--anew", action="store_true", help="ask all again")
    parser.add_argument("--unlisted", action="store_true", help="mutants that are in no list")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--write", action="store_true", help="write killers.txt")
    given = parser.parse_args()

    tree = Tree(given.scratch, 0 if given.sample else 1)  # what runs for longer than it compiles is optimised
    tree.make()
    tests = list(tree.tests(given.tests))
    listed = read_survivors()
    chosen = [(n, m) for n, m in enumerate(tree.mutants, 1) if re.search(given.only, m.key)
              and not ((given.unlisted or given.sample) and m.key in listed)]
    path = os.path.join(given.scratch, "results.jsonl")
    if given.sample:
        seed = given.seed or commit()
        draw = random.Random(hashlib.sha256(seed.encode()).digest())
        chosen = draw.sample(chosen, given.sample)
        say(f"{len(chosen)} of {len(tree.mutants)} mutants, chosen by {seed}")
    else:
        say(f"{len(tree.mutants)} mutants; building {len(tests)} tests")
    before = read_results(path)
    with open(path, "w" if given.sample or given.anew else "a", encoding="utf-8") as results:
        hunt = Hunt(tree, tests, results, before)
        if given.sample:  # others are built when they are asked
            likely = [hunt.killers[m.function][0] for _, m in chosen if hunt.killers[m.function]]
            hunt.prepare(sorted(set(likely), key=tests.index), given.jobs)
        else:
            hunt.prepare(tests, given.jobs)
            say(f"{sum(test.cpu for test in tests):.0f} s for all tests")
        known = read_results(path)
        random.Random(0).shuffle(chosen)
        chosen.sort(key=lambda one: one[1].key in listed)  # what is expected to survive comes last
        todo = [(n, m) for n, m in chosen
                if m.key not in known or given.again and not known[m.key]["by"]]
        if given.sample:
            hunt.all(todo, tests, given.jobs)
        else:
            quick = [test for test in tests if test.cpu <= SLOW]
            say(f"{len(todo)} mutants in {len(quick)} quick tests")
            hunt.all(todo, quick, given.jobs, last=False)
            known = read_results(path)
            left = [(n, m) for n, m in chosen if not known[m.key]["by"] and not known[m.key]["last"]]
            say(f"{len(left)} mutants, which none of these sees, in the others")
            hunt.all(left, [test for test in tests if test.cpu > SLOW], given.jobs)
    results = read_results(path)
    if given.write:
        write_killers(tree.mutants, results)
    gone = sorted(set(listed) - {mutant.key for mutant in tree.mutants})
    for key in gone:
        print(f"LISTED, but no mutant: {key}")
    right = judge([m for n, m in chosen if n not in tree.without], results, listed)
    most = len(tree.mutants) * (100 - LEAST_KILLED) // 100
    if len(listed) > most:
        print(f"{len(listed)} are listed, of at most {most}")
    return 0 if right and not gone and len(listed) <= most else 1


def judge(chosen, results, listed):
    """Are they killed, or listed?"""
    wrong = 0
    survived = [mutant for mutant in chosen if not results[mutant.key]["by"]]
    for mutant in survived:
        if mutant.key not in listed:
            past = results[mutant.key]["past"]
            print(f"SURVIVED  hostcache.h:{mutant.line}: {mutant.key}  ({past} tests come past it)")
            wrong += 1
    for mutant in chosen:
        if mutant.key in listed and results[mutant.key]["by"]:
            print(f"LISTED, but {results[mutant.key]['by']} sees it: {mutant.key}")
            wrong += 1
    killed = len(chosen) - len(survived)
    percent = 100 * killed / max(1, len(chosen))
    print(f"{killed} of {len(chosen)} mutants killed, {percent:.1f} in 100")
    return wrong == 0 and percent >= LEAST_KILLED


sys.exit(main())
