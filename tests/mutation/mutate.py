#!/usr/bin/env python3
"""Asks the tests for every small fault of hostcache.h (mutants.py): does one of them fail?

    mutate.py SCRATCH [--sample N] [--seed TEXT] [--only PATTERN] [--tests PATTERN] [--jobs N]

SCRATCH is a folder for a copy of the tree with the mutants in its header, for its programs, and for
results.jsonl, from which a run that was stopped goes on. First each test runs with no mutant alive,
which tells how long it takes and past which mutants it comes; then each mutant is alive in the tests
that come past it, the likely and quick ones first, until one fails. One that none of them sees has
survived: it must stand in survivors.txt with the reason why nothing can see it. What stands there
and was killed, or is no mutant any more, is an error as well.

--sample takes N of them, chosen by --seed, and each must be killed or stand in the list. The whole
takes hours; at least 95 in 100 of those that a test could see must be killed.
"""

import argparse
import collections
import hashlib
import json
import mmap
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time

import mutants as mutation

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MOST = 1 << 16  # as in mutant.c
LEAST_KILLED = 95  # in 100

# Those that see what only an order of threads shows, and take long: asked last, and the only ones
# that tell one memory order from another.
EXPLORER = re.compile(r"^interleave\.")
TESTS = r"^(unit|model|fault|interleave|life|stress|behaviour\.cpu|backends\.(cpu|malloc|pluggable))"
LONG = re.compile(r"\.(reduction|random|triples|pairs)$")
QUICKER = {"HOSTCACHE_MODEL_PROGRAMS": "40"}  # what random programs find they find early


def say(text):
    print(time.strftime("%H:%M:%S"), text, flush=True)


class Tree:
    """A copy of this tree, with the mutants in its header, and its build."""

    def __init__(self, scratch):
        self.root = os.path.join(scratch, "tree")
        self.build = os.path.join(scratch, "build")
        self.without = set()
        self.mutants = []

    def write(self):
        with open(os.path.join(ROOT, "hostcache.h"), encoding="utf-8") as file:
            text, self.mutants = mutation.make(file.read(), self.without)
        with open(os.path.join(self.root, "hostcache.h"), "w", encoding="utf-8") as file:
            file.write(text)

    def make(self):
        os.makedirs(self.root, exist_ok=True)
        files = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                               cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
        pack = subprocess.Popen(["tar", "-c", "--null", "-T", "-"], cwd=ROOT, stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE)
        unpack = subprocess.Popen(["tar", "-x"], cwd=self.root, stdin=pack.stdout)
        pack.stdin.write(files)
        pack.stdin.close()
        if unpack.wait() or pack.wait():
            sys.exit("the tree cannot be copied")
        self.write()
        chooser = os.path.join(self.build, "mutant.o")
        os.makedirs(self.build, exist_ok=True)
        subprocess.run(["cc", "-O1", "-fPIC", "-c", os.path.join(HERE, "mutant.c"), "-o", chooser], check=True)
        flags = f"-w -O1 -fno-inline-functions -include {os.path.join(HERE, 'mutant.h')}"
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
        """True if it passed; killed after so many seconds, or so many of the processor's."""
        def limit():
            resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        running = subprocess.Popen(self.command, cwd=self.folder, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=limit,
                                   env={**os.environ, **QUICKER, **self.environment, **more},
                                   start_new_session=True)
        try:
            return running.wait(timeout=seconds) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            try:
                os.killpg(running.pid, signal.SIGKILL)  # and what it forked
            except ProcessLookupError:
                pass
            running.wait()

    def trace(self, scratch):
        path = os.path.join(scratch, f"reached.{self.name}")
        with open(path, "w+b") as file:
            file.truncate(MOST)
            file.flush()
            started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
            passed = self.run(1200, 1200, HOSTCACHE_MUTANT_REACHED=path)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            self.seconds = time.monotonic() - started
            self.cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                self.reached = bytes(mapped)
        os.remove(path)
        return passed

    def sees(self, number):
        """Does it fail with this mutant alive?"""
        return not self.run(20 + 10 * self.seconds, int(10 + 5 * self.cpu), HOSTCACHE_MUTANT_CHOSEN=str(number))


class Hunt:
    """Takes mutants from a list, by some threads at once."""

    def __init__(self, tests, results):
        self.tests, self.results = tests, results
        self.lock = threading.Lock()
        self.killers = collections.defaultdict(list)  # of a function, the last first. LOCK: lock
        self.kills = collections.Counter()  # LOCK: lock
        self.begun = time.monotonic()
        self.done = self.survived = 0  # LOCK: lock

    def in_turn(self, number, mutant):
        reaching = [t for t in self.tests if t.reached[number] and
                    (mutant.operator != "order" or EXPLORER.match(t.name))]
        with self.lock:
            known = self.killers[mutant.function][:4]
            reaching.sort(key=lambda t: (t.cpu + 0.05) / (1 + self.kills[t.name]) + 1000 * (t.cpu > 5))
        return [t for t in known if t in reaching] + [t for t in reaching if t not in known]

    def hunt(self, number, mutant, count):
        started = time.monotonic()
        turn = self.in_turn(number, mutant)
        killer = next((test for test in turn if test.sees(number)), None)
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
                      "reached": len(turn), "seconds": round(time.monotonic() - started, 1)}
            self.results.write(json.dumps(result) + "\n")
            self.results.flush()
            if self.done % 50 == 0:
                rate = self.done / (time.monotonic() - self.begun)
                say(f"{self.done} of {count}, {self.survived} survived, {(count - self.done) / rate / 60:.0f} min to go")

    def all(self, numbered, jobs):
        left = collections.deque(numbered)

        def work():
            while True:
                try:
                    number, mutant = left.popleft()
                except IndexError:
                    return
                self.hunt(number, mutant, len(numbered))
        workers = [threading.Thread(target=work, daemon=True) for _ in range(jobs)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()


def read_survivors():
    """What survives, with the reason why it may: lines of a key, then ' -- ' and the reason."""
    known = {}
    with open(os.path.join(HERE, "survivors.txt"), encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                key, dash, reason = line.rstrip("\n").partition(" -- ")
                if not dash or not reason:
                    sys.exit(f"survivors.txt: no reason in '{line.strip()}'")
                known[key] = reason
    return known


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scratch")
    parser.add_argument("--sample", type=int, default=0)
    parser.add_argument("--seed", default="")
    parser.add_argument("--only", default="", help="mutants whose key has this pattern")
    parser.add_argument("--tests", default=TESTS, help="tests whose name has this pattern")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()

    tree = Tree(given.scratch)
    tree.make()
    tests = list(tree.tests(given.tests))
    say(f"{len(tree.mutants)} mutants; building {len(tests)} tests")
    tree.compile(tests)
    fit = []
    for test in tests:
        if test.trace(given.scratch):
            fit.append(test)
        else:
            sys.exit(f"{test.name} fails with no mutant alive")
    say(f"{sum(t.cpu for t in fit):.0f} s for all tests")

    path = os.path.join(given.scratch, "results.jsonl")
    known = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            known = {result["key"]: result for result in map(json.loads, file)}
    numbered = [(n, m) for n, m in enumerate(tree.mutants, 1)
                if n not in tree.without and re.search(given.only, m.key)]
    compiled = [(n, m) for n, m in numbered if any(t.reached[n] for t in fit)]
    never = [m for n, m in numbered if not any(t.reached[n] for t in fit)]
    say(f"{len(compiled)} are reached, {len(never)} are not")
    with open(os.path.join(given.scratch, "never.txt"), "w", encoding="utf-8") as file:
        file.writelines(f"{m.line} {m.key}\n" for m in never)
    chosen = compiled
    if given.sample:
        draw = random.Random(hashlib.sha256(given.seed.encode()).digest())
        chosen = draw.sample(compiled, min(given.sample, len(compiled)))
    with open(path, "a", encoding="utf-8") as results:
        todo = [(n, m) for n, m in chosen if m.key not in known]
        random.Random(0).shuffle(todo)
        Hunt(fit, results).all(todo, given.jobs)
    with open(path, encoding="utf-8") as file:
        known = {result["key"]: result for result in map(json.loads, file)}
    return judge([m for _, m in chosen], known)


def judge(chosen, results):
    listed = read_survivors()
    wrong = 0
    survived = [m for m in chosen if not results[m.key]["by"]]
    for mutant in survived:
        if mutant.key not in listed:
            print(f"SURVIVED  hostcache.h:{mutant.line}: {mutant.key}")
            wrong += 1
    for mutant in chosen:
        if mutant.key in listed and results[mutant.key]["by"]:
            print(f"LISTED, but {results[mutant.key]['by']} sees it: {mutant.key}")
            wrong += 1
    killed = len(chosen) - len(survived)
    print(f"{killed} of {len(chosen)} mutants killed, {100 * killed / max(1, len(chosen)):.1f} in 100")
    return 1 if wrong else 0


sys.exit(main())
