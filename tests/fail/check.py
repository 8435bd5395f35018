"""Compiles a file that must not compile, and compares what the compiler says with what the file expects.

    check.py <scratch folder> <case.c> <variant or -> <compiler>...

The comments of a case say what is expected, each on lines of its own:

    /* variants: A B */              compiled once with -DVARIANT_A, once with -DVARIANT_B
    /* only in C++ */                not tried as C
    /* expect 1: <regex> */          so many errors match; VARIANT in it is the variant's name
    /* expect 1 in gcc: <regex> */   of gcc and g++ alone; or in clang, in C, in C++
    /* expect 1 when A: <regex> */   of variant A alone
    /* then any: <regex> */          after the first error, as many as there are that match

A regex is looked for in the message and in the line of source below it, after a \\n.
There must be exactly the errors that are expected, no cascade after them. Fails with what differs.
"""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def expectations(text, compiler, variant):
    """The list of (count, regex) that hold for this compiler and variant."""
    here = (None, "clang" if "clang" in compiler else "gcc", "C++" if compiler.endswith("++") else "C")
    found = []
    for line in re.findall(r"^/\* expect (.*) \*/$", text, re.M):
        count, place, variant_wanted, regex = re.match(
            r"(\d+)(?: in (gcc|clang|C|C\+\+))?(?: when (\w+))?: (.*)$", line).groups()
        if place in here and variant_wanted in (None, variant):
            found.append((int(count), regex.replace("VARIANT", variant)))
    return found


def make_other_version(scratch):
    """Writes the header with another version, for two_versions.c. Returns its folder."""
    with open(os.path.join(ROOT, "hostcache.h"), encoding="utf-8") as file:
        header = file.read()
    version = re.search(r"#define HOSTCACHE_VERSION (\d+)", header).group(1)
    other, replaced = re.subn(r"(HOSTCACHE_VERSION (?:!= )?)%s\b" % version, r"\g<1>%d" % (int(version) + 1),
                              header)
    if replaced < 2:
        sys.exit("hostcache.h does not compare its version with the one that was there before")
    os.makedirs(scratch, exist_ok=True)
    with open(os.path.join(scratch, "hostcache_other.h"), "w", encoding="utf-8") as file:
        file.write(other)
    return scratch


def complaints(compiler, case, text, variant, include):
    """What is wrong with what this compiler says, as a list of lines."""
    cpp = compiler.endswith("++")
    command = [compiler, "-x", "c++" if cpp else "c", "-std=c++11" if cpp else "-std=c11", "-fsyntax-only",
               "-I", ROOT, "-I", HERE, "-I", os.path.join(ROOT, "tests", "compile"), "-I", include,
               "-DVARIANT_" + variant, case]
    run = subprocess.run(command, env=dict(os.environ, LC_ALL="C"), text=True, check=False,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    # With the line of source below, unless that is another message.
    errors = re.findall(r"^.*?: (?:fatal )?error: (.*(?:\n(?!.*: (?:fatal )?(?:error|warning|note): ).*)?)$",
                        run.stdout, re.M)
    expected = expectations(text, compiler, variant)
    for follows in re.findall(r"^/\* then any: (.*) \*/$", text, re.M):
        errors = errors[:1] + [error for error in errors[1:] if not re.search(follows, error)]
    wrong = []
    if run.returncode == 0:
        wrong.append("it compiled")
    unexpected = list(errors)
    if not expected:
        wrong.append("the case expects nothing")
    for count, regex in expected:
        matching = [error for error in errors if re.search(regex, error)]
        unexpected = [error for error in unexpected if error not in matching]
        if len(matching) != count:
            wrong.append("%d errors match '%s' instead of %d" % (len(matching), regex, count))
    wrong += ["unexpected: " + error.split("\n")[0] for error in unexpected]
    if len(errors) != sum(count for count, _ in expected):
        wrong.append("%d errors instead of %d" % (len(errors), sum(count for count, _ in expected)))
    if wrong:
        wrong += ["", " ".join(command), run.stdout]
    return wrong


def main():
    scratch, case, variant, *compilers = sys.argv[1:]
    with open(case, encoding="utf-8") as file:
        text = file.read()
    include = make_other_version(scratch)
    failed = tried = 0
    for compiler in compilers:
        if "/* only in C++ */" in text and not compiler.endswith("++"):
            continue
        tried += 1
        wrong = complaints(compiler, case, text, variant.strip("-"), include)
        print("%s: %s" % (compiler, "as expected" if not wrong else "FAILED"))
        print("".join("  %s\n" % line for line in wrong), end="")
        failed += bool(wrong)
    return 1 if failed or not tried else 0


if __name__ == "__main__":
    sys.exit(main())
