"""The mutants of hostcache.h, all in one copy of it.

A mutant is one small fault: a condition turned round, a lock not taken, a weaker memory order. To
compile the header once for each would take days, so make() writes a copy that holds them all, each
behind HOSTCACHE_MUTANT(n) (mutant.h), which is 1 for the one that is chosen when the program
starts, and 0 for all others: with none chosen the copy behaves as the header does.

    operator    what it does
    negate      turns a condition round: of if, while, for, do, ?:
    weaken      leaves out an operand of && or ||
    bound       < becomes <=, > becomes >=, and back
    by_one      adds 1 to a number that is added or subtracted
    sign        + becomes -, - becomes +, also in += and -=
    order       acquire or release becomes relaxed; a barrier is left out
    lock        a lock is not taken, or not given back
    call        a call whose result is not used is left out
    early       a function returns at once, with 0 where it returns something

Nothing can tell some of these from the header, and they are not made: the bound of what is the
lesser or the larger of two, a prefetch or a pause that is left out, and the condition of one, an early
return of what does nothing. Nor what is for other systems, compilers and sanitizers than those that run the tests of mutants.
"""

import bisect
import re

TOKEN = re.compile(r"""
    (?P<space>\s+|/\*.*?\*/|//[^\n]*)
  | (?P<preprocessor>\#(?:[^\n\\/]|\\.|\\\n|/(?!\*)|/\*.*?\*/)*)
  | (?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
  | (?P<name>[A-Za-z_]\w*)
  | (?P<number>\.?\d(?:[eEpP][+-]|[\w.])*)
  | (?P<sign><<=|>>=|\.\.\.|->|\+\+|--|&&|\|\||[-+*/%&|^<>=!]=|<<|>>|.)
""", re.X | re.S)

ORDERED = re.compile(r"hostcache_(?:ptr|size|u32)_\w+_(?:acquire|release)$")
BARRIERS = {"hostcache_heavy_barrier", "hostcache_raise", "hostcache_raise_with_fence"}
HINTS = {"hostcache_prefetch", "hostcache_pause", "hostcache_rest", "__builtin_prefetch", "__builtin_ia32_pause",
         "sched_yield"}
LOCKS = {"hostcache_lock", "hostcache_unlock", "hostcache_lock_one_more", "hostcache_note_lock",
         "hostcache_note_unlock"}
HEADS = {"if", "for", "while"}
NOT_CALLS = HEADS | {"switch", "return", "sizeof"}
LEAVES_EXPRESSION = {",", ";", "?", ":", "return", "=", "+=", "-=", "*=", "/=", "|=", "&=", "^=", "<<=", ">>="}

# What stands before the name of a function that returns nothing, or a number, or a pointer.
QUALIFIERS = r"(?:(?:HOSTCACHE_(?:UNUSED|INLINE|RARE|APART)|HC_PUBLIC|static|inline|const|__attribute__\(\(.*?\)\)) )*"
VOID = re.compile(QUALIFIERS + r"void $")
RESULT = re.compile(QUALIFIERS + r"hostcache_result $")
NUMBER = re.compile(QUALIFIERS + r"(?:(?:unsigned|int|long|size_t|u?int\d+_t) |.*\*(?:const )?$)")


# Conditions of parts that are compiled elsewhere; and those that hold here, so that the rest is elsewhere.
CONDITIONAL = re.compile(r"^[ \t]*#[ \t]*((if|ifdef|ifndef|elif|else|endif)\b(?:[^\n\\/]|\\.|\\\n|/(?!\*))*)", re.M)
ELSEWHERE = re.compile(r"(?<!!defined )(?:\b_?WIN32|_THREADS_WIN32|_MSC_VER|__SANITIZE_|HOSTCACHE_TSAN)"
                       r"|!defined HOSTCACHE_FUTEX")
HERE = re.compile(r"(?:ifdef|(?:el)?if defined) (?:__GNUC__|__linux__|HOSTCACHE_CLOCK_MONOTONIC|HOSTCACHE_FUTEX)$"
                  r"|.* defined SYS_membarrier$")


def parts_elsewhere(source):
    """The spans of the source that are compiled elsewhere."""
    spans, stack = [], []  # of each #if: does a condition hold here, and where does a part for elsewhere begin?
    for match in CONDITIONAL.finditer(source):
        line, word = " ".join(match.group(1).split()), match.group(2)
        if word in ("elif", "else", "endif"):
            holds, since = stack.pop()
            if since is not None:
                spans.append((since, match.start()))
        else:
            holds = False
        if word != "endif":
            is_elsewhere = holds or word != "ifndef" and ELSEWHERE.search(line)
            stack.append((holds or bool(HERE.match(line)), match.end() if is_elsewhere else None))
    return spans


class Token:
    def __init__(self, kind, text, at):
        self.kind, self.text, self.at, self.end = kind, text, at, at + len(text)

    def ends_operand(self):
        return self.text in (")", "]") or self.kind in ("number", "string") or \
            self.kind == "name" and self.text not in ("return", "case")


class Function:
    """One that is defined: its name, what it returns, and the tokens of its body, in which a line of
    the preprocessor is one. `other` has the other half of each bracket, `within` what bracket each
    token stands in."""

    def __init__(self, head, body, base):
        name = re.search(r"(?:HC_I|HC_FN)\((\w+)\)\s*\(|(\w+)\s*\(", head)
        self.name = name.group(1) or name.group(2)
        self.returns = head[:name.start()]
        self.tokens = [Token(match.lastgroup, match.group(), base + match.start())
                       for match in TOKEN.finditer(body) if match.lastgroup != "space"]
        self.other, self.within, stack = {}, [], []
        for i, token in enumerate(self.tokens):
            self.within.append(self.tokens[stack[-1]].text if stack else "")
            if token.kind == "sign" and token.text in "([{":
                stack.append(i)
            elif token.kind == "sign" and token.text in ")]}" and stack:
                first = stack.pop()
                self.other[first], self.other[i] = i, first

    def is_plain(self, first, last):
        """No line of the preprocessor parts these tokens."""
        return first <= last and all(t.kind != "preprocessor" for t in self.tokens[first:last + 1])

    def run(self, i, step, stops):
        """How far what stands beside the token i reaches: the last index before one of `stops`, or
        before the bracket around it, or what leaves an expression. And what ended it."""
        k = i + step
        while True:
            text = self.tokens[k].text
            if self.tokens[k].kind == "preprocessor" or text in stops or text in LEAVES_EXPRESSION or \
                    self.tokens[k].kind == "sign" and text in ("([{" if step < 0 else ")]}"):
                return k - step, text
            if k in self.other:
                k = self.other[k]
            k += step

    def texts(self, first, last):
        return [token.text for token in self.tokens[first:last + 1]]

    def does_nothing(self):
        """Its body is (void)x; any times, and return 0; or nothing."""
        body = " ".join(token.text for token in self.tokens)
        return re.fullmatch(r"{ (\( void \) \w+ ; )*(return (0|NULL) ; )?}", body)

    def is_most(self, i):
        """The token i compares in `if (... && a > b) b = a;`, or `a = b;`, or in `a > b ? a : b`, or with <."""
        first, why = self.run(i, -1, ("&&",))
        last, then = self.run(i, 1, ())
        a, b = self.texts(first, i - 1), self.texts(i + 1, last)
        following = self.texts(last + 2, last + 3 + len(a) + len(b))
        if then == "?":
            return following[:-1] in (a + [":"] + b, b + [":"] + a) and following[-1] in LEAVES_EXPRESSION | {")"}
        if then != ")" or why not in ("(", "&&"):
            return False
        head = self.tokens[self.other[last + 1] - 1]
        return head.text == "if" and following in (a + ["="] + b + [";"], b + ["="] + a + [";"])

    def guards_hints(self, i):
        """The token i is an if, of which nothing depends but hints."""
        at = self.other[i + 1] + 1
        end = at + 1
        if self.tokens[at].text == "{":
            at, end = at + 1, self.other[at]
        while at < end:
            if self.tokens[at].text not in HINTS:
                return False
            at = self.other[at + 1] + 2
        return self.tokens[end].text != "else"

    def begins_statement(self, i):
        before = self.tokens[i - 1]
        if self.within[i] != "{":
            return False
        if before.text == ")":
            first = self.other[i - 1]
            return first > 0 and self.tokens[first - 1].text in HEADS
        return before.kind == "preprocessor" or before.text in (";", "{", "}", "else", "do")


def functions_of(source):
    """What is defined at the left margin, and ends by a brace there."""
    definition = re.compile(r"^(?!typedef\b|struct\b|union\b|enum\b|static const\b|extern\b)"
                            r"([A-Za-z](?:[^;{}#=\n]|\n(?!\n|#))*\)[^;{}#=\n]*)\{$(.*?^\})", re.M | re.S)
    for match in definition.finditer(source):
        yield Function(" ".join(match.group(1).split()), "{" + match.group(2), match.start(2) - 1)


class Mutant:
    """`key` names it whatever moves around it: its function, operator and text, and which it is of
    those that are alike."""

    def __init__(self, operator, function, line, text):
        self.operator, self.function, self.line = operator, function, line
        self.text = " ".join(text.split())
        self.key = None


class Edit:
    """What mutant n does to a span of the source, which holds other edits, or is held by them: `around`
    makes its new text of those of its parts, which are spans within it, or the whole."""

    def __init__(self, n, at, end, around, *parts):
        self.n, self.at, self.end, self.around = n, at, end, around
        self.parts = parts or ((at, end),)


class Maker:
    def __init__(self, source):
        self.source = source
        self.edits, self.mutants = [], []
        self.lines = [match.start() for match in re.finditer(r"^", source, flags=re.M)]
        self.elsewhere = parts_elsewhere(source)

    def is_elsewhere(self, token):
        return any(first <= token.at < last for first, last in self.elsewhere)

    def mutant(self, operator, function, at, end):
        line = bisect.bisect_right(self.lines, at)
        self.mutants.append(Mutant(operator, function.name, line, self.source[at:end]))
        return len(self.mutants)

    def wrap(self, operator, function, first, last, before, after):
        """A mutant of the tokens from first to last, by what is put before and after them, with its
        number for %d."""
        at, end = function.tokens[first].at, function.tokens[last].end
        n = self.mutant(operator, function, at, end)
        before, after = before.replace("%d", str(n)), after.replace("%d", str(n))
        self.edits.append(Edit(n, at, end, lambda text: before + text + after))

    def put(self, operator, function, at, first, last, text):
        """A mutant that stands for the tokens from first to last, by what is put at `at`."""
        n = self.mutant(operator, function, function.tokens[first].at, function.tokens[last].end)
        self.edits.append(Edit(n, at, at, lambda _: text % n))

    def condition(self, function, first, last):
        if function.is_plain(first, last):
            self.wrap("negate", function, first, last, "(!(", ") == HOSTCACHE_MUTANT(%d))")

    def operand(self, function, i, step):
        """An operand of the && or || at i: what follows it; what precedes it, if it is the first."""
        operator = function.tokens[i].text
        end, why = function.run(i, step, {operator, "||"})
        if step < 0 and why == operator:
            return
        first, last = sorted((i + step, end))
        if not function.is_plain(first, last):
            return
        if operator == "&&":
            self.wrap("weaken", function, first, last, "(HOSTCACHE_MUTANT(%d) || (", "))")
        else:
            self.wrap("weaken", function, first, last, "(!HOSTCACHE_MUTANT(%d) && (", "))")

    def bound(self, function, i):
        """The token i compares. (To add 1 to a side would not do: an unsigned 0 less 1 is the most.)"""
        operator = function.tokens[i]
        first, _ = function.run(i, -1, {"&&", "||"})
        last, _ = function.run(i, 1, {"&&", "||"})
        if not function.is_plain(first, last):
            return
        at, end = function.tokens[first].at, function.tokens[last].end
        n = self.mutant("bound", function, function.tokens[i - 1].at, function.tokens[i + 1].end)
        other = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}[operator.text]
        self.edits.append(Edit(
            n, at, end,
            lambda a, b: f"(HOSTCACHE_MUTANT({n}) ? {a} {other} {b} : {a} {operator.text} {b})",
            (at, operator.at), (operator.end, end)))

    def sign(self, function, i):
        """The token i adds or subtracts what follows it; or all that does, if it assigns."""
        tokens, last = function.tokens, i + 1
        n = self.mutant("sign", function, tokens[i - 1].at, tokens[i + 1].end)
        if tokens[i].text in ("+", "-"):
            self.edits.append(Edit(n, tokens[i + 1].at, tokens[i + 1].at, lambda _: f"HOSTCACHE_SIGN({n}) * "))
            return
        while tokens[last].text not in (";", ",", ")"):
            last = function.other.get(last, last) + 1
        self.edits.append(Edit(n, tokens[i + 1].at, tokens[last - 1].end,
                               lambda text: f"HOSTCACHE_SIGN({n}) * ({text})"))

    def operators(self, function, i):
        token, following = function.tokens[i], function.tokens[i + 1]
        if token.text in ("&&", "||"):
            self.operand(function, i, -1)
            self.operand(function, i, 1)
        elif token.text == "?":
            first, _ = function.run(i, -1, ())
            self.condition(function, first, i - 1)
        elif token.text in ("<", "<=", ">", ">=") and not function.is_most(i):
            self.bound(function, i)
        elif token.text in ("+", "-", "+=", "-=") and function.tokens[i - 1].ends_operand():
            self.sign(function, i)
            if following.kind == "number":
                self.wrap("by_one", function, i + 1, i + 1, "(HOSTCACHE_MUTANT(%d) + ", ")")

    def call(self, function, i):
        """The tokens from i on are a name and its arguments."""
        tokens, name = function.tokens, function.tokens[i].text
        last = function.other[i + 1]
        if name in NOT_CALLS or name in HINTS or not function.is_plain(i, last):
            return
        if ORDERED.match(name):
            relaxed = re.sub("(acquire|release)$", "relaxed", name)
            n = self.mutant("order", function, tokens[i].at, tokens[last].end)
            self.edits.append(Edit(
                n, tokens[i].at, tokens[last].end,
                lambda given: f"(HOSTCACHE_MUTANT({n}) ? {relaxed}{given} : {name}{given})",
                (tokens[i].end, tokens[last].end)))
        if name in ("HC_I", "HC_FN") and tokens[last + 1].text == "(":
            last = function.other[last + 1]
        first = i - 3 if [t.text for t in tokens[i - 3:i]] == ["(", "void", ")"] else i
        if tokens[last + 1].text == ";" and function.is_plain(i, last) and function.begins_statement(first):
            operator = "lock" if name in LOCKS else "order" if name in BARRIERS else "call"
            self.wrap(operator, function, first, last + 1, "{ if (!HOSTCACHE_MUTANT(%d)) ", " }")

    def early(self, function):
        if function.does_nothing() or self.is_elsewhere(function.tokens[0]):
            return
        if VOID.match(function.returns):
            what = " if (HOSTCACHE_MUTANT(%d)) return;"
        elif RESULT.match(function.returns):
            what = " if (HOSTCACHE_MUTANT(%d)) return HOSTCACHE_OK;"
        elif NUMBER.match(function.returns):
            what = " if (HOSTCACHE_MUTANT(%d)) return 0;"
        else:
            return
        self.put("early", function, function.tokens[0].end, 0, 0, what)

    def function(self, function):
        tokens = function.tokens
        self.early(function)
        i = 0
        while i < len(tokens) - 1:
            token = tokens[i]
            if token.text in ("HOSTCACHE_ASSERT", "HOSTCACHE_LOCAL") or token.text == "static":
                while tokens[i].text != ";":  # a constant, or what is not the program's work
                    i += 1
                continue
            if self.is_elsewhere(token):
                i += 1
                continue
            if token.kind == "sign":
                self.operators(function, i)
            elif token.text in ("if", "while") and token.kind == "name" and not function.guards_hints(i):
                self.condition(function, i + 2, function.other[i + 1] - 1)
            elif token.text == "for":
                semicolons = [k for k in range(i + 2, function.other[i + 1]) if tokens[k].text == ";"]
                self.condition(function, semicolons[0] + 1, semicolons[1] - 1)
            elif token.kind == "name" and tokens[i + 1].text == "(":
                self.call(function, i)
            i += 1

    def text(self, at, end, edits):
        """The source from at to end with the edits in it, which are in order."""
        parts, here, i = [], at, 0
        while i < len(edits):
            edit = edits[i]
            i += 1
            inner = []
            while edit.end > edit.at and i < len(edits) and edits[i].at < edit.end:
                inner.append(edits[i])
                i += 1
            within = [[e for e in inner if first <= e.at and e.end <= last] for first, last in edit.parts]
            if sum(map(len, within)) != len(inner):
                raise ValueError(f"an edit at {edit.at} parts another")
            texts = [self.text(*part, edits) for part, edits in zip(edit.parts, within)]
            parts += [self.source[here:edit.at], edit.around(*texts)]
            here = edit.end
        parts.append(self.source[here:end])
        return "".join(parts)


def make(source, without=frozenset()):
    """The header with its mutants, and the list of them: HOSTCACHE_MUTANT counts it from 1. Those whose
    numbers are in `without` keep them, but are not in the text."""
    maker = Maker(source)
    for function in functions_of(source):
        maker.function(function)
    edits = [edit for edit in maker.edits if edit.n not in without]
    edits.sort(key=lambda edit: (edit.at, edit.end > edit.at, -edit.end, edit.parts[0] != (edit.at, edit.end)))
    seen = {}
    for mutant in maker.mutants:
        mutant.key = f"{mutant.function} | {mutant.operator} | {mutant.text}"
        seen[mutant.key] = seen.get(mutant.key, 0) + 1
        if seen[mutant.key] > 1:
            mutant.key += f" | {seen[mutant.key]}"
    glue = "#define HOSTCACHE_GLUE_INCLUDED\n"
    if source.count(glue) != 1:
        raise ValueError("the header has no place where section 5 begins")
    text = maker.text(0, len(source), edits).replace(glue, f'{glue}#include "mutation/orders.h"\n')
    return text, maker.mutants
