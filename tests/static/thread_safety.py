#!/usr/bin/env python3
"""Checks the comments of the header that name locks, by clang's thread safety analysis.

    thread_safety.py clean <compiler> <scratch folder> <mode>
    thread_safety.py broken <compiler> <scratch folder> <mode>

The header needs no other annotation than the sentences that it has. They become clang's attributes
in a copy of it, in the lines where they stood:

    size_t claimed;      /* LOCK: segments_lock. ...  it is touched only where segments_lock is held;
                                                      ", as the next two lines": these too
    /* ... LOCK: segments_lock. */                    above a struct: all fields of it
    /* ... segments_lock is held. */                  the function wants it, of all who call it
    /* ... segments_lock is held, and is let go here. it is wanted, and not held afterwards
    /* ... The thread is held. */                     who is inside of a thread's record, or has its
                                                      lock: THREAD is held
    /* ... All threads are held. */                   THREAD is, and threads_lock, under which they were
                                                      taken
    /* ... With no lock held. */                      as before a hook: none of the locks is held
    /* ... Likewise. */                               as the function above
    /* ..., as for all that follow. */                up to the next #endif

A lock is known by its name alone, not by the cache that it is of: the ranks forbid that one thread
holds two of a name. So what is guarded in a block or a segment can be followed too.

What cannot be said is in NOT_FOLLOWED, or is left out here: what several locks guard ("to write",
"and all threads' locks", "as `stream`"); of which thread a field is (a block is as well of who frees
it, or has it to itself), so that only functions are checked for it; what is passed by its address. The
explorer of tests/interleave sees all of these, and HOSTCACHE_DEBUG the order of locks.

The copy is read as C++11. In C clang 19 takes `guarded_by(lock)` of a field with
-fexperimental-late-parse-attributes, but then asks for a `lock` that is no object's.

`broken` plants the mistakes of BREAKERS, one at a time, and fails where one is not seen.
"""

import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))

THREAD = "a_thread"
LOCKS = ["hostcache_owners_lock", "hostcache_guests_lock", "threads_lock", "streams_lock",
         "segments_lock", "trace_lock", THREAD]

# A function of whose locks no attribute tells all: what is said to its callers, and why its own body
# is not followed.
HELD_IF_0 = "try_acquire_capability(0, %s)" % THREAD
HELD_IF_NOT_0 = "try_acquire_capability(1, %s)" % THREAD
LET_GO = "release_capability(%s)" % THREAD
ONLY_IF_NOT_0 = "release_capability(segments_lock), try_acquire_capability(1, segments_lock)"
NOT_FOLLOWED = {
    # A thread's record is held by its lock, or by a flag.
    "begin": ("acquire_capability(%s)" % THREAD, "either of the two"),
    "end": (LET_GO, "either of the two"),
    "raise": (HELD_IF_NOT_0, "the flag"),
    "raise_apart": (HELD_IF_NOT_0, "the flag"),
    "raise_own": (HELD_IF_NOT_0, "the flag"),
    "lower": (LET_GO, "the flag"),
    "seize": (HELD_IF_0, "the lock, unless the flag stays up"),
    "release": (LET_GO, "the lock"),
    "hold": (HELD_IF_0, "either of the two"),
    "let_go": (LET_GO, "either of the two"),
    "hold_home": (HELD_IF_NOT_0, "either of the two, or NULL"),
    "stop": ("try_acquire_capability(0, threads_lock, %s)" % THREAD, "holds all threads, or none and is not 0"),
    "go_on": ("release_capability(threads_lock, %s)" % THREAD, "also ends what stop began and gave up"),
    # Held or not by what is returned, which is a kind of answer that only callers are told.
    "spares_fill": (ONLY_IF_NOT_0, "gives the lock up where it fails"),
    "spares_for_segment": (ONLY_IF_NOT_0, "the same"),
    "memory_get": ("try_acquire_capability(0, segments_lock)", "returns with the lock if all went well"),
    "segment_get": ("try_acquire_capability(0, segments_lock)", "the same"),
    "stats_lock": ("acquire_capability(segments_lock, %s)" % THREAD, "all threads, or the common one"),
    "stats_unlock": ("release_capability(segments_lock, %s)" % THREAD, "the same"),
    "drop": ("", "one of several numbers says that the thread is still held"),
    "free_now": ("", "is told so by drop"),
    # An answer is asked for once: where it is kept, and asked again, it is not followed.
    "gather": ("", "asks several times whether stop was refused"),
    "record": ("", "asks several times whether the home is held"),
    "reserve_segment": ("", "asks several times whether segment_get went well"),
    "prepare": ("", "says by a pointer whether stop was refused"),
    # Nobody else knows of the cache yet, or uses it any more.
    "create": ("", "before"),
    "bound_by_budget": ("", "before"),
    "dispose": ("", "after"),
    "dispose_lanes": ("", "after"),
    "tear_down": ("", "after, but for those who still take the locks"),
}

# Mistakes, each as the text that it replaces (which stands in the header exactly once), and a part of
# what the analysis says of it.
BREAKERS = [
    ("a lock that is not given back on an error",
     "    if (!job->pool) {\n      hostcache_unlock(&self->segments_lock);\n",
     "    if (!job->pool) {\n",
     "not held on every path"),
    ("a lock that is not given back",
     "  self->rejections++;\n  hostcache_unlock(&self->segments_lock);\n",
     "  self->rejections++;\n",
     "is not held on every path"),
    ("a field that is read without its lock",
     "  hostcache_lock(&self->trace_lock);\n  before = self->annals;\n",
     "  before = self->annals;\n  hostcache_lock(&self->trace_lock);\n",
     "reading variable 'annals'"),
    ("a field of a block that is read without its lock",
     "/* May a stream be captured at this moment?",
     "HOSTCACHE_INLINE int HC_I(broken)(const HC_BLOCK *block) { return block->is_ready; }\n"
     "/* May a stream be captured at this moment?",
     "reading variable 'is_ready'"),
    ("a function that needs a lock, called without it",
     "  hostcache_lock(&self->streams_lock);\n  lane = HC_I(lane_find)(self, stream);\n  retired",
     "  lane = HC_I(lane_find)(self, stream);\n  hostcache_lock(&self->streams_lock);\n  retired",
     "calling function"),
    ("a lock that is taken twice",
     "  retired = self->retired != NULL;\n  hostcache_unlock(&self->streams_lock);\n",
     "  retired = self->retired != NULL;\n  hostcache_lock(&self->streams_lock);\n",
     "already held"),
    ("a lock that is given back twice",
     "  self->annals.user = user;\n  hostcache_unlock(&self->trace_lock);\n",
     "  self->annals.user = user;\n  hostcache_unlock(&self->trace_lock);\n"
     "  hostcache_unlock(&self->trace_lock);\n",
     "that was not held"),
    ("a function that wants a thread, called without it",
     "  HC_I(begin)(self, thread);\n  while (lane->number >= thread->queue_room) {\n",
     "  (void)HC_I(queue_of)(thread, lane);\n"
     "  HC_I(begin)(self, thread);\n  while (lane->number >= thread->queue_room) {\n",
     "requires holding lock 'hostcache_named_a_thread'"),
    ("a hook that is called under a lock",
     "  self->annals.user = user;\n  hostcache_unlock(&self->trace_lock);\n",
     "  self->annals.user = user;\n  hostcache_hook_end(hostcache_hook_begin());\n"
     "  hostcache_unlock(&self->trace_lock);\n",
     "cannot call function 'hostcache_hook_begin' while"),
    ("all threads go on although none is held",
     "  if (HC_I(stop)(self)) return;\n  hostcache_lock(&self->segments_lock);\n  HC_I(end_captures)",
     "  hostcache_lock(&self->segments_lock);\n  HC_I(end_captures)",
     "requires holding lock 'hostcache_named_threads_lock'"),
]

HEAD = re.compile(r"(?:^/\*(?P<comment>(?:(?!\*/).)*)\*/\n)?"
                  r"^(?P<head>HOSTCACHE_(?:UNUSED|INLINE|APART|RARE)\b[^;{}#]*?\))(?= \{)", re.S | re.M)
STRUCT = re.compile(r"(?P<comment>/\*(?:(?!\*/).)*\*/\n)?"
                    r"^(?:HC_[A-Z]+|(?:typedef )?struct (?:HC_I\(\w+\)|\w+)) \{(?P<body>.*?)^\}", re.S | re.M)
FIELD = re.compile(r"^(?P<declaration>(?:  |static )\w[^;{}#/]*);(?:[ \t]*/\*(?P<comment>(?:(?!\*/).)*)\*/)?",
                   re.S | re.M)


def prelude():
    """The locks, and functions that say that one is taken or given back. In one line."""
    parts = ["struct __attribute__((capability(\"lock\"))) hostcache_named_lock { int nothing; };"]
    for lock in LOCKS:
        parts.append("extern hostcache_named_lock {0};".format(named(lock)))
        for verb, attribute in ("taken", "acquire_capability"), ("given_back", "release_capability"):
            parts.append("static inline void hostcache_{0}_{1}() "
                         "__attribute__(({2}({3}), no_thread_safety_analysis)) {{}}"
                         .format(verb, lock, attribute, named(lock)))
    return " ".join(parts)


def named(lock):
    return "hostcache_named_" + lock.replace("hostcache_", "")


def attribute(text):
    """` __attribute__((text))`, with the names of locks in it as the copy has them."""
    return " __attribute__((%s))" % re.sub("|".join(LOCKS), lambda lock: named(lock.group(0)), text)


def locks_in(sentence):
    locks = [lock for lock in LOCKS if re.search(r"\b%s\b" % lock, sentence)]
    if re.search(r"\ball threads\b(?! \(if)", sentence, re.I) and not re.search(r"\bif it\b|; else\b", sentence):
        locks += ["threads_lock", THREAD]
    elif re.search(r"\b(the|its|a) (thread|home)\b", sentence, re.I) and not re.search(r" or |; else\b", sentence):
        locks.append(THREAD)
    return sorted(set(locks))


def function_attributes(text):
    """For each function that needs one: where its head ends, and the attribute."""
    found, used = [], set()
    above, more, end = "", 0, 0
    check, _ = [match.start() for match in re.finditer(r"^/\* ---- 1[34]\. ", text, re.M)]
    for match in HEAD.finditer(text):
        comment = " ".join((match.group("comment") or "").split())
        name = re.search(r"(?:HC_(?:I|FN)\((\w+)\)|hostcache_(\w+))\(", match.group("head"))
        name = name.group(1) or name.group(2)
        needs = ""
        for sentence in re.split(r"(?<=[.:?]) ", comment):
            locks = locks_in(sentence)
            if re.search(r"\bno lock (is )?held\b|\bno lock of the cache is held\b", sentence, re.I):
                needs = "locks_excluded(%s)" % ", ".join(LOCKS)
            elif (locks and re.search(r"\b(is|are) held\b", sentence)
                    and not re.search(r"\bor a thread\b|\bbut for\b|\bnot held\b", sentence)):
                verb = "release" if "is let go here" in sentence else "requires"
                needs = "%s_capability(%s)" % (verb, ", ".join(locks))
        # "as for the next two", "as for all that follow" up to an #endif, "Likewise."
        if "\n#endif" in text[end:match.start()] or "held" in comment:
            more = {"the next two": 2, "all that follow": 99}.get(
                (re.search(r"as for (the next two|all that follow)", comment) or [0, 0])[1], 0)
        elif comment.endswith("Likewise.") or more > 0:
            needs = above
            more -= 1
        end = match.end()
        if match.start() > check and re.match(r"check_|add_up", name): # as the banner says
            needs = "requires_capability(segments_lock, streams_lock, threads_lock, %s)" % THREAD
        above = needs
        if name in NOT_FOLLOWED:
            used.add(name)
            said = NOT_FOLLOWED[name][0]
            needs = (said + ", " if said else "") + "no_thread_safety_analysis"
        if needs:
            found.append((match.end("head"), attribute(needs)))
    return found, sorted(set(NOT_FOLLOWED) - used)


def guard_in(comment):
    """The one lock that a comment names as the guard, and for how many lines after it; or None."""
    said = re.search(r"(?:^|[.] )LOCK: (%s)(?=$|\. |\.$|, as the)(?:, as the next (line|two|three))?" % "|".join(LOCKS),
                     " ".join((comment or "").strip("/* \n").split()))
    more = {"line": 1, "two": 2, "three": 3}
    return (said.group(1), more.get(said.group(2), 0)) if said else (None, 0)


def field_attributes(text):
    """For each declarator of a field that one lock guards: where it ends, and the attribute."""
    found = []

    def guard(declaration, at, lock):
        for declarator in declaration.split(","):
            at += len(declarator)
            # An array's attribute stands behind its size.
            found.append((at, attribute("guarded_by(%s)" % lock)))
            at += 1

    for struct in STRUCT.finditer(text):
        body, start = struct.group("body"), struct.start("body")
        whole, _ = guard_in(struct.group("comment"))
        above, more = None, 0
        for field in FIELD.finditer(body):
            lock, lines = guard_in(field.group("comment"))
            if not lock and "LOCK:" not in (field.group("comment") or ""):
                lock, lines = (above, more - 1) if more > 0 else (whole, 0)
            above, more = lock, lines
            if lock:
                guard(field.group("declaration"), start + field.start("declaration"), lock)
    for variable in FIELD.finditer(text):
        lock, _ = guard_in(variable.group("comment"))
        if lock and variable.group("declaration").startswith("static "):
            guard(variable.group("declaration"), variable.start("declaration"), lock)
    return found


def annotated(text):
    """The copy; every line of it is where it was."""
    functions, unused = function_attributes(text)
    fields = field_attributes(text)
    for at, what in sorted(functions + fields, reverse=True):
        text = text[:at] + what + text[at:]
    text = text.replace("#define HOSTCACHE_GLUE_INCLUDED\n\n",
                        "#define HOSTCACHE_GLUE_INCLUDED\n%s\n" % prelude(), 1)
    for call, verb in ("lock", "taken"), ("unlock", "given_back"):
        text = re.sub(r"\bhostcache_%s\(&(?:self->)?(%s|thread->lock)\);" % (call, "|".join(LOCKS)),
                      lambda match, verb=verb: "(%s, hostcache_%s_%s());"
                      % (match.group(0)[:-1], verb, match.group(1).replace("thread->lock", THREAD)), text)
    # The analysis follows what is compared with a number, not with a name for one.
    text = re.sub(r"([!=]=) HOSTCACHE_OK\b", r"\1 0", text)
    return text, len(functions), len(fields), unused


def analyse(text, compiler, scratch, mode):
    """What the compiler says of the annotated copy."""
    os.makedirs(scratch, exist_ok=True)
    copy = os.path.join(scratch, "hostcache.h")
    with open(copy, "w", encoding="utf-8") as file:
        file.write(text)
    run = subprocess.run([compiler, "-std=c++11", "-fsyntax-only", "-Wthread-safety", "-D", "MODE_" + mode.upper(),
                          "-include", os.path.join(HERE, "hooks.h"), "-x", "c++", copy],
                         text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return run.stdout if run.stdout or run.returncode == 0 else "status %d\n" % run.returncode


def main():
    what, compiler, scratch, mode = sys.argv[1:]
    with open(os.path.join(ROOT, "hostcache.h"), encoding="utf-8") as file:
        text = file.read()
    if what == "clean":
        copy, functions, fields, unused = annotated(text)
        said = analyse(copy, compiler, scratch, mode)
        print(said, end="")
        for name in unused:
            print("NOT_FOLLOWED names %s, which is no function of the header" % name)
        print("%d functions need a lock, %d fields are guarded by one" % (functions, fields))
        return 1 if said or unused or not functions or not fields else 0

    blind = 0
    for name, good, bad, expected in BREAKERS:
        if text.count(good) != 1:
            print("%s: stands in the header %d times, not once" % (name, text.count(good)))
            blind += 1
        elif expected not in analyse(annotated(text.replace(good, bad))[0], compiler, scratch, mode):
            print("%s: not seen" % name)
            blind += 1
    print("%d of %d mistakes seen" % (len(BREAKERS) - blind, len(BREAKERS)))
    return 1 if blind else 0


if __name__ == "__main__":
    sys.exit(main())
