"""Every durable step stands between a failpoint before and one after, and the registry knows each name.

A step is an fsync or rename, a COMMIT, a checkpoint of SQLite's log, a slot made or dropped, a status that tells the
server what it may forget. A step inside a helper function may have its failpoints around each call of the helper; SQL
in a named constant is a step where the constant is used.
"""
import re

REGISTRY = "state/base/failpoint_names.h"
NEAR = 10      # lines
CALL = re.compile(r'\bfailpoint\(([^;]*?"[^;]*?)\);')

CODE_STEPS = {
    r"(?<![\w.:])(?:::)?(?:fsync|fdatasync|syncfs)\s*\(": "sync",
    r"(?<![\w.>:])(?:::|(?:std::)?(?:filesystem|fs)::)?rename(?:at2?)?\s*\(": "rename",
    r"\b\w+(?:\.|->)commit\s*\(\s*\)": "COMMIT",
    r"\bsqlite3_wal_checkpoint(?:_v2)?\s*\(": "checkpoint",
}
SQL_STEPS = {
    r"(?:^|;)\s*COMMIT\b(?!\s+PREPARED)": "COMMIT",
    r"\bwal_checkpoint\s*\(": "checkpoint",
    r"\bCREATE_REPLICATION_SLOT\b|\bpg_create_logical_replication_slot\b": "slot made",
    r"\bDROP_REPLICATION_SLOT\b|\bpg_drop_replication_slot\b": "slot dropped",
}
STATUS = re.compile(r"\bPQputCopyData\s*\(")
STATUS_FILES = re.compile(r"stream|status|feedback|receiv|walsender")


def durable(source, _):
    """Each step has its two failpoints."""
    if not source.is_cpp or source.is_test or source.path == REGISTRY:
        return
    for offset, what in steps(source):
        line = source.line_of(offset)
        if not bracketed(source, line) and not _all_calls_bracketed(source, offset):
            yield line, f"{what} without failpoint(\"….before\") and failpoint(\"….after\") around it"


def steps(source):
    """(offset, what) of each durable step."""
    for pattern, what in CODE_STEPS.items():
        for match in re.finditer(pattern, source.code):
            if not _is_declaration(source.code, match):
                yield match.start(), what
    for offset, text in source.literals:
        for pattern, what in SQL_STEPS.items():
            if re.search(pattern, text) and not _only_compared(source, offset) and not _read_only(source, offset):
                yield from ((place, what) for place in _uses(source, offset))
    if STATUS_FILES.search(source.path.split("/")[-1]):
        for match in STATUS.finditer(source.code):
            yield match.start(), "status sent"


def names_called(text):
    """The names in every failpoint(…); one call may choose between literals."""
    return [name for call in CALL.findall(text) for name in re.findall(r'"([^"]*)"', call)]


def _only_compared(source, offset):
    """A tag the server sent is looked at, nothing is sent."""
    return re.search(r"[=!]=\s*$", source.code[:offset]) is not None


def _read_only(source, offset):
    """Ends a transaction that was begun READ ONLY: nothing becomes durable."""
    begun = [text for place, text in source.literals if place < offset and text.startswith("BEGIN")]
    return bool(begun) and "READ ONLY" in begun[-1]


def _is_declaration(code, match):
    """`void rename(` declares; `return rename(` calls."""
    if match.group().lstrip().startswith(("::", "std::", "fs::", "filesystem::")) or "." in match.group():
        return False
    before = re.search(r"(\w+)[ \t&*]+$", code[:match.start()])
    return before is not None and before.group(1) not in ("return", "co_return", "else", "do")


def _uses(source, offset):
    """Where a literal takes effect: where it stands, or where the constant that holds it is named."""
    statement = source.code[max(source.code.rfind(";", 0, offset), source.code.rfind("{", 0, offset),
                                source.code.rfind("}", 0, offset)) + 1:offset]
    name = re.search(r"\b(?:constexpr|const)\b[^()=]*?\b(k[A-Z]\w*)\s*(?:\[\])?\s*=\s*$", statement)
    if name is None:
        return [offset]
    return [match.start() for match in re.finditer(rf"\b{name.group(1)}\b", source.code) if match.start() > offset]


def bracketed(source, line):
    """A pair of one name, one half shortly before and the other shortly after the line."""
    before = {name[:-len(".before")] for name in _names(source, line - NEAR, line) if name.endswith(".before")}
    after = {name[:-len(".after")] for name in _names(source, line, line + NEAR) if name.endswith(".after")}
    return bool(before & after)


def _names(source, first, last):
    lines = source.spoken.split("\n")[max(first - 1, 0):last]
    return names_called("\n".join(lines))


def _all_calls_bracketed(source, offset):
    """The step is all that a helper does for its callers, and each of them has the pair."""
    function = None
    for match in re.finditer(r"^(?:[\w:<>&*\[\], ]+ )?[&*]?(?:\w+::)*(\w+)\([^;{}]*\)[^;{}()]*\{", source.code,
                             re.MULTILINE):
        if match.start() > offset:
            break
        function = match
    if function is None or function.group(1) in ("if", "for", "while", "switch"):
        return False
    calls = [match.start() for match in re.finditer(rf"\b{function.group(1)}\(", source.code)
             if not function.start() <= match.start() <= function.end()]
    return bool(calls) and all(bracketed(source, source.line_of(call)) for call in calls)


def registry(source, tree):
    """The registry is what the sources call: no more, no less, once each, in pairs."""
    if source.path != REGISTRY:
        return
    names = [(text, source.line_of(offset)) for offset, text in source.literals if "/" not in text]
    called = {}
    for other in tree.sources:
        if other.is_cpp and not other.is_test:
            for name in names_called(other.spoken):
                called.setdefault(name, other.path)
    seen = set()
    for name, line in names:
        if name in seen:
            yield line, f"{name} stands here twice"
        seen.add(name)
        if name not in called:
            yield line, f"{name} is called nowhere"
        if not re.fullmatch(r"[a-z0-9_]+(?:\.[a-z0-9_]+)+\.(?:before|after)", name):
            yield line, f"{name} is not of the form folder.step.before or .after"
    for name in sorted(set(called) - seen):
        yield 1, f"{name}, called in {called[name]}, is not registered"
    for name in sorted(seen | set(called)):
        stem, _, end = name.rpartition(".")
        if f"{stem}.{'after' if end == 'before' else 'before'}" not in seen | set(called):
            yield 1, f"{name} has no other half"


def literal(source, _):
    """A name that is put together at run time cannot be compared with the registry."""
    if not source.is_cpp or source.is_test or source.path.startswith("state/base/failpoint"):
        return
    for match in re.finditer(r"\bfailpoint\(", source.spoken):
        if not CALL.match(source.spoken, match.start()):
            yield source.line_of(match.start()), "failpoint() takes a literal name"


RULES = {"durable": durable, "registry": registry, "failpoint-name": literal}
