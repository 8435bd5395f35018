"""The rules of hostcache.h, and some of the other files, that no compiler checks.

    lint.py <check> <scratch folder>

Runs one check on the header, which must find nothing, and then on copies of it that were broken on
purpose, in each of which it must find more: a check that cannot fail is none. Each check is a function
that gives its findings; BREAKERS says how to break the header for it. The checks in FOR_PACKS
are made of the files in backends/ as well, and those in FOR_ALL of every file in C or C++; those in
FOR_FILES are made of other files instead.
"""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

SECTIONS = ["COMMON", "PARAMETERS", "NAMES", "DECLARE", "GLUE", "TYPES", "HOOKS", "SIZES",
            "SEGMENTS", "BINS", "EVENTS", "PUBLIC", "CHECK", "UNDEF"]

# Names with a leading or double underscore that the header may use, since others made them. It may
# define none.
FOREIGN = re.compile(r"""^(
    _WIN32 | _WIN32_WINNT | _MSC_VER | _MSC_FULL_VER | __cplusplus | __STDC_\w+__ | __FILE__ | __LINE__ | __VA_ARGS__
  | __GNUC__ | __GNUC_MINOR__ | __clang__ | __TINYC__ | __EXCEPTIONS | __cpp_exceptions | _CPPUNWIND
  | __LP64__ | __mips__ | __xtensa__ | __alpha__ | __hppa__ | _SC_PAGESIZE
  | __linux__ | __ANDROID__ | __APPLE__ | __FreeBSD__ | __SANITIZE_THREAD__ | __SANITIZE_ADDRESS__
  | __has_\w+ | __attribute__ | __declspec | __extension__ | __builtin_\w+ | __thread | __asm__
  | __x86_64__ | __i386__ | __aarch64__ | _aligned_malloc | _aligned_free
  | __atomic_\w+ | __ATOMIC_\w+ | __sync_\w+ | __NR_\w+ | __asan_\w+
  | _Thread_local | _Atomic | _Static_assert | _Alignas | _Alignof | _Generic | _Noreturn | _Bool
  | _Interlocked\w+ | _ReadWriteBarrier | _InterlockedExchangeAdd64
)$""", re.X)

# What belongs to the system: reached through the GLUE section alone, so that a test can replace it.
SYSTEM = re.compile(r"""\b(
    pthread_\w+ | PTHREAD_\w+ | atomic_\w+ | memory_order\w* | ATOMIC_\w+
  | __atomic_\w+ | __ATOMIC_\w+ | __sync_\w+
  | _Atomic | _Thread_local | thread_local | __thread
  | clock_\w+ | CLOCK_\w+ | timespec\w* | gettimeofday | nanosleep | usleep | sched_yield | getpid | syscall
  | CRITICAL_SECTION | SRWLOCK\w* | \w+SRWLock\w* | Interlocked\w+ | _Interlocked\w+ | Query\w+Counter\w*
  | QueryPerformance\w+ | Sleep | SwitchToThread | Tls[A-Z]\w+ | Fls[A-Z]\w+ | InitOnce\w* | MemoryBarrier
  | once_flag | mtx_\w+ | cnd_\w+ | thrd_\w+ | tss_\w+ | membarrier | madvise | mmap
)\b""", re.X)

WINUSER = ["HC_ACTION", "HC_GETNEXT", "HC_SKIP", "HC_NOREMOVE", "HC_NOREM", "HC_SYSMODALON", "HC_SYSMODALOFF"]

BANNER = re.compile(r"^/\* ---- (\d+)\. ([A-Z]+) -+$")


def blank(text):
    """The text with comments and the insides of strings blanked out, line by line as before."""
    def spaces(match):
        found = match.group(0)
        if found[0] in "\"'":
            return found[0] + " " * (len(found) - 2) + found[0]
        return re.sub(r"[^\n]", " ", found)
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', spaces, text, flags=re.S)


def lines_of(text):
    return list(enumerate(text.split("\n"), 1))


def section_starts(text):
    """The list of (line, number, name) of the banners."""
    return [(number, int(match.group(1)), match.group(2))
            for number, line in lines_of(text) for match in [BANNER.match(line)] if match]


def section_range(text, name):
    """The first line of a section and the one after its last; 0, 0 where there is none."""
    starts = section_starts(text)
    for index, (line, _, found) in enumerate(starts):
        if found == name:
            after = starts[index + 1][0] if index + 1 < len(starts) else len(text.split("\n")) + 1
            return line, after
    return 0, 0


# ---- the checks -----------------------------------------------------------------------------


def check_identifiers(text, _):
    """No identifier begins with an underscore or holds two, but for those that others made."""
    found = []
    for number, line in lines_of(blank(text)):
        defined = re.match(r"\s*#\s*define\s+(\w+)", line)
        for name in re.findall(r"\b[A-Za-z_]\w*\b", line):
            reserved = name.startswith("_") or "__" in name
            if reserved and (not FOREIGN.match(name) or (defined and defined.group(1) == name)):
                # Pasted to something, as in HC_JOIN(HC_NAME, _##name) and in name##_room.
                if not re.search(r"\b%s\s*##|##\s*%s\b" % (re.escape(name), re.escape(name)), line):
                    found.append("%d: %s" % (number, name))
    return found


def check_line_length(text, _):
    """At most 100 columns, no tab, no space at the end."""
    found = ["%d: %d columns" % (number, len(line)) for number, line in lines_of(text) if len(line) > 100]
    found += ["%d: a tab" % number for number, line in lines_of(text) if "\t" in line]
    found += ["%d: a space at the end" % number for number, line in lines_of(text) if line != line.rstrip()]
    return found


def check_macro_bodies(text, _):
    """No function is written as a macro that goes on over lines: no debugger could step through it."""
    found = []
    for match in re.finditer(r"^[ \t]*#[ \t]*define[ \t]+(\w+)((?:[^\n]*\\\n)+[^\n]*)", blank(text), re.M):
        body = match.group(2)
        if re.search(r"\b(if|for|while|do)\b|[{};].*;|;.*[{}]", body, re.S):
            found.append("%d: %s" % (text.count("\n", 0, match.start()) + 1, match.group(1)))
    return found


def check_glue(text, _):
    """Threads, atomics, clocks and thread-locals are named in GLUE alone, as are system headers."""
    first, after = section_range(text, "GLUE")
    if not first:
        return ["there is no GLUE section"]
    found = []
    for number, line in lines_of(blank(text)):
        if first <= number < after:
            continue
        found += ["%d: %s" % (number, match.group(0)) for match in SYSTEM.finditer(line)]
        include = re.match(r"\s*#\s*include\s*<(.*)>", line)
        if include and include.group(1) not in ("stddef.h", "stdint.h"):
            found.append("%d: includes %s" % (number, include.group(1)))
    return found


def check_sections(text, _):
    """The sections are there, each once, in their order, and the MAP at the top names the same ones."""
    starts = [(number, name) for _, number, name in section_starts(text)]
    expected = list(enumerate(SECTIONS, 1))
    if starts != expected:
        return ["the banners are %s" % starts]
    top = "\n".join(text.split("\n")[:section_starts(text)[0][0] - 1])
    mapped = [(int(number), name) for number, name in re.findall(r"^ +(\d+) ([A-Z]+)\s\s", top, re.M)]
    return [] if mapped == expected else ["the MAP has %s" % mapped]


def check_winuser(text, _):
    """The names that winuser.h owns are not used."""
    return ["%d: %s" % (number, name) for number, line in lines_of(text) for name in WINUSER
            if re.search(r"\b%s\b" % name, line)]


def check_undef(text, _):
    """Every HC_* macro that is defined or asked for is undefined in UNDEF; and nothing else is, there."""
    first, after = section_range(text, "UNDEF")
    code = blank(text).split("\n")
    end = set(re.findall(r"#\s*undef\s+(\w+)", "\n".join(code[first - 1:after - 1])))
    known = set()
    for line in code[:first - 1]:
        if re.match(r"\s*#\s*(define|if|ifdef|ifndef|elif)\b", line) or line.endswith("\\"):
            known |= set(re.findall(r"\bHC_\w+", line))
    found = ["%s is not undefined" % name for name in sorted(known - end)]
    found += ["%s is undefined but never seen" % name for name in sorted(end - known)]
    return found


def check_includes(text, _):
    """No header of the library includes another: copying the files into one folder works."""
    return ["%d: includes a file of its own" % number for number, line in lines_of(blank(text))
            if re.match(r"\s*#\s*include\s*\"", line)]


def check_version(text, _):
    """The version that is compared with an earlier inclusion's is the one that is defined."""
    versions = re.findall(r"HOSTCACHE_VERSION (?:!= )?(\d+)", blank(text))
    return [] if len(versions) == 2 and len(set(versions)) == 1 else ["versions: %s" % versions]


def check_api(text, _):
    """The API block at the top names the functions that DECLARE has, each once."""
    first, after = section_range(text, "DECLARE")
    declared = re.findall(r"^HC_PUBLIC.*\bHC_FN\((\w+)\)", "\n".join(text.split("\n")[first - 1:after - 1]), re.M)
    block = re.search(r"^   API\..*?\n\n(.*?)\n\n", text, re.M | re.S)
    if not block or not declared:
        return ["there is no API block, or no prototype"]
    # Names come first in a line, and end in a comma or before what they do.
    listed = [name for line in block.group(1).split("\n") if not line.startswith(" " * 20)
              for name in re.split(r", *", re.split(r"\s{2,}", line.strip())[0]) if name]
    found = ["%s is declared, and not in the API block" % name for name in declared if name not in listed]
    found += ["%s is in the API block, and not declared" % name for name in listed if name not in declared]
    return found + ["%s is named twice" % name for name in set(listed) if listed.count(name) > 1]


def check_invariants(text, _):
    """Each sentence that the CHECK section can give is expected by a test that breaks its invariant."""
    def sentences(code):
        code = re.sub(r"/\*.*?\*/", "", code, flags=re.S)
        return set(re.findall(r'"((?:\\.|[^"\\\n])*)"', re.sub(r'"\s*"', "", code)))
    first, after = section_range(text, "CHECK")
    section = re.sub(r"HC_I\(tell\)\(.*?;", "", "\n".join(text.split("\n")[first - 1:after - 1]), flags=re.S)
    tested = set()
    for name in ("check.c", "debug.c"):
        with open(os.path.join(ROOT, "tests", "unit", name), encoding="utf-8") as file:
            tested |= sentences(file.read())
    found = ["no test breaks: %s" % sentence for sentence in sorted(sentences(section) - tested)]
    return found + ([] if sentences(section) else ["CHECK has no sentence"])


def macros_left(text, compiler, scratch):
    """For each file of units/, what its inclusions of the header change in the macros that are defined."""
    os.makedirs(scratch, exist_ok=True)
    copy = os.path.join(scratch, "hostcache.h")
    with open(copy, "w", encoding="utf-8") as file:
        file.write(text)
    units = os.path.join(HERE, "units")
    for unit in sorted(os.listdir(units)):
        # -dD keeps every #define and #undef, and line markers that say which file it is from.
        run = subprocess.run([compiler, "-std=c11", "-E", "-dD", "-I", scratch, "-I", HERE, "-I", ROOT,
                              os.path.join(units, unit)],
                             text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if run.returncode != 0:
            yield "%s: %s" % (unit, run.stderr)
            continue
        file, defined = None, {}
        for marker in re.finditer(r'^# \d+ "(?P<file>.*)"|^#(?P<change>define|undef) (?P<name>\w+)',
                                  run.stdout, re.M):
            name = marker.group("name")
            if marker.group("change") is None:
                file = marker.group("file")
            elif marker.group("change") == "define":
                defined[name] = file
            elif (defined.pop(name, copy) != copy and file == copy
                  and not name.startswith(("HC_", "HOSTCACHE_"))):
                yield "%s: undefines %s, which is not its own" % (unit, name)
        for name, where in sorted(defined.items()):
            ours = where == copy or (where or "").startswith(os.path.join(ROOT, "backends"))
            if ours and not name.startswith("HOSTCACHE_"):
                yield "%s: leaves %s" % (unit, name)
            # winuser.h's are there before, and stay.
            elif name.startswith("HC_") and name not in WINUSER:
                yield "%s: keeps the parameter %s" % (unit, name)


def check_macro_leak_gcc(text, scratch):
    """No macro but HOSTCACHE_* is defined after an inclusion that was not before: gcc."""
    return macros_left(text, "gcc", scratch)


def check_macro_leak_clang(text, scratch):
    """The same: clang."""
    return macros_left(text, "clang", scratch)


def check_macro_leak_mingw(text, scratch):
    """The same: for Windows, whose headers have macros of their own beginning with HC_."""
    return macros_left(text, "x86_64-w64-mingw32-gcc", scratch)


def check_tests_named(text, _):
    """Every test that a table names in its last column is in the tests."""
    there = set()
    for folder, _, files in os.walk(os.path.join(ROOT, "tests")):
        for name in files:
            if name.endswith((".c", ".h", ".cpp")):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    there.update(re.findall(r"\w+", file.read()))
    for number, line in enumerate(text.split("\n"), 1):
        if line.startswith("| "):
            for name in re.findall(r"`(\w+_\w+)`", line.rstrip(" |").rsplit(" | ", 1)[-1]):
                if name not in there:
                    yield "%d: there is no test %s" % (number, name)


# ---- how to break the header ----------------------------------------------------------------


def insert_in(section, line):
    """Adds a line at the end of a section."""
    def breaker(text):
        _, after = section_range(text, section)
        lines = text.split("\n")
        return "\n".join(lines[:after - 1] + [line] + lines[after - 1:])
    return breaker


def replace(pattern, replacement):
    return lambda text: re.sub(pattern, replacement, text, count=1, flags=re.M)


# Checks of the packs too, and of the examples and tests.
FOR_PACKS = ["identifiers", "line_length", "macro_bodies", "winuser", "includes"]
FOR_ALL = ["line_length"]

# What is not made of the header, but of other files: the one that is broken, and more.
FOR_FILES = {"tests_named": ["tests/README.md", "tests/INTERFACES.md"]}

# Within the macros of UNDEF: leaves one out, defines one after it, takes one of the user's away.
LEAKS = [replace(r"^#undef HC_NAME\n", ""), replace(r"^#undef HC_FN\n", ""),
         insert_in("UNDEF", "#define hostcache_min(a, b) ((a) < (b) ? (a) : (b))"),
         insert_in("UNDEF", "#undef INT_MAX\n#undef SIZE_MAX")]

BREAKERS = {
    "identifiers": [insert_in("COMMON", "static inline void _bad(void) {}"),
                    insert_in("BINS", "struct hostcache__bad { int a; };"),
                    insert_in("GLUE", "#define _GNU_SOURCE"),
                    insert_in("GLUE", "#define __cplusplus 1")],
    "line_length": [insert_in("TYPES", "int a" + " " * 100 + ";"), insert_in("TYPES", "\tint a;"),
                    insert_in("TYPES", "int a; ")],
    "macro_bodies": [insert_in("SIZES", "#define HC_BAD(a) \\\n  do { a; } while (0)"),
                     insert_in("SIZES", "#define HC_BAD(type) \\\n  static type bad(type a) \\\n  { return a; }")],
    "glue": [insert_in("BINS", "static pthread_mutex_t bad;"),
             insert_in("PUBLIC", "atomic_fetch_add(&a, 1);"),
             insert_in("EVENTS", "_Thread_local int bad;"), insert_in("TYPES", "#include <time.h>"),
             insert_in("COMMON", "#include <windows.h>"), insert_in("EVENTS", "clock_gettime(0, &t);"),
             replace(r"^/\* ---- 5\. GLUE", "/* ---- 5. SYSTEM")],
    "sections": [replace(r"^/\* ---- 8\. SIZES", "/* ---- 8. BYTES"),
                 replace(r"^/\* ---- 8\. SIZES -*\n", "/*\n"),
                 replace(r"^( +8) SIZES", r"\1 BYTES")],
    "winuser": [insert_in("TYPES", "#define HC_ACTION 1"), insert_in("NAMES", "/* HC_SKIP */")],
    "undef": [replace(r"^#undef HC_NAME\n", ""), insert_in("SIZES", "#define HC_BAD 1"),
              insert_in("PARAMETERS", "#ifdef HC_BAD\n#endif"), insert_in("UNDEF", "#undef HC_BAD")],
    "invariants": [insert_in("CHECK", 'return "pigs fly";'),
                   replace(r"^/\* ---- 13\. CHECK", "/* ---- 13. LOOK")],
    "api": [insert_in("DECLARE", "HC_PUBLIC void HC_FN(fly)(HC_CACHE *cache);"),
            replace(r"^     check, walk ", "     check, talk "), replace(r"^     check, walk ", "     check, check")],
    "includes": [insert_in("COMMON", "#include \"hostcache_cpu.h\"")],
    "tests_named": [replace(r"`nothing_is_asked_for_and_nothing_is_freed`", "`nothing_is_asked_for`")],
    "version": [replace(r"^#define HOSTCACHE_VERSION (\d+)", r"#define HOSTCACHE_VERSION 1\1")],
    "macro_leak_gcc": LEAKS,
    "macro_leak_clang": LEAKS,
    "macro_leak_mingw": LEAKS,
}


def other_files(name):
    """The files other than hostcache.h, or the first in FOR_FILES, that a check is made of, from the root."""
    if name in FOR_FILES:
        return FOR_FILES[name][1:]
    folders = (["backends"] if name in FOR_PACKS else []) + (["bench", "examples", "tests"] if name in FOR_ALL else [])
    return sorted(os.path.relpath(os.path.join(path, file), ROOT) for folder in folders
                  for path, _, files in os.walk(os.path.join(ROOT, folder)) for file in files
                  if file.endswith((".h", ".c", ".cpp")))


def main():
    name, scratch = sys.argv[1:]
    check = globals()["check_" + name]
    subject = FOR_FILES.get(name, ["hostcache.h"])[0]
    with open(os.path.join(ROOT, subject), encoding="utf-8") as file:
        text = file.read()

    findings = list(check(text, os.path.join(scratch, "whole")))
    print(check.__doc__)
    for finding in findings:
        print("  %s: %s" % (subject, finding))
    elsewhere = 0
    others = other_files(name)
    for other in others:
        with open(os.path.join(ROOT, other), encoding="utf-8") as file:
            for finding in check(file.read(), None):
                print("  %s: %s" % (other, finding))
                elsewhere += 1
    print("%d other files" % len(others))

    blind = 0
    for index, breaker in enumerate(BREAKERS[name]):
        broken = breaker(text)
        if broken == text:
            print("  breaker %d does not apply any more" % index)
            blind += 1
        elif all(finding in findings for finding in check(broken, os.path.join(scratch, "broken%d" % index))):
            print("  sees nothing wrong in the copy that breaker %d broke" % index)
            blind += 1
    print("%d of %d broken copies seen" % (len(BREAKERS[name]) - blind, len(BREAKERS[name])))
    return 1 if findings or elsewhere or blind or (name in FOR_PACKS and not others) else 0


if __name__ == "__main__":
    sys.exit(main())
