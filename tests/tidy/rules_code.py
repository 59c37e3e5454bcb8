"""Rules about what C++ code says: ownership, sleeping, leftovers, switches, who opens a store's files."""
import re

from source import CPP, SCRIPT


def own(source, _):
    """Owners are objects: no naked new or delete (placement new owns nothing)."""
    if not source.is_cpp:
        return
    for match in re.finditer(r"\bnew\s+[A-Za-z_:]|(?<!operator )\bdelete\b", source.code):
        before = source.code[:match.start()].rstrip()
        if match.group() == "delete" and before.endswith("="):
            continue
        yield source.line_of(match.start()), f"naked {match.group().split()[0]}: let an object own it"


def sleep(source, _):
    """Wait for a condition with a deadline, not for a guess."""
    if not source.is_cpp:
        return
    for match in re.finditer(r"\b(?:sleep_for|sleep_until|usleep|nanosleep|clock_nanosleep)\s*\(|(?<!\w)::sleep\s*\(",
                             source.code):
        line = source.line_of(match.start())
        if source.is_test and any("deadline" in near for near in source.lines[max(line - 7, 0):line]):
            continue        # the step of a loop that looks again until a deadline
        yield line, f"{match.group().strip('( ')}: wait on a condition with a deadline"


def leftover(source, _):
    """What is not done is an issue, not a comment."""
    if not source.path.endswith(CPP + SCRIPT) and not source.text.startswith("#!"):
        return
    for match in re.finditer(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b", source.text):
        yield source.line_of(match.start()), f"{match.group()}: do it, or open an issue"


def store_files(source, _):
    """Closing any descriptor of a database drops SQLite's locks on it, so only SQLite may open one."""
    if not source.is_cpp or not source.path.startswith("watchers/sqlite/"):
        return
    pattern = (r"(?<![\w>])::(?:open|openat|creat)\s*\(|(?:[=(!,]|\breturn)\s*open(?:at)?\s*\(|\bfopen\s*\("
               r"|\b[io]?fstream\b(?!>)|\bcopy_file\s*\(|\bread_file\s*\(|\breplace_file\s*\(")
    for match in re.finditer(pattern, source.code):
        line = source.line_of(match.start())
        if "O_DIRECTORY" in source.lines[line - 1]:
            continue        # the folder, for its fsync, not a file in it
        yield line, "a store's files are opened only through SQLite"


def switch(source, _):
    """The compiler names the enumerator that a switch forgot, unless there is a default."""
    if not source.is_cpp:
        return
    for match in re.finditer(r"\bswitch\s*\(", source.code):
        body = _body(source.code, match.end() - 1)
        if body is None:
            continue
        own_labels = _without_nested(body)
        over_enum = re.search(r"\bcase\s+(?:\w+::)+k[A-Z]\w*\s*:", own_labels) or (
            "using enum" in source.code and re.search(r"\bcase\s+k[A-Z]\w*\s*:", own_labels))
        default = re.search(r"\bdefault\s*:", own_labels)
        if over_enum and default:
            line = source.line_of(match.start()) + own_labels.count("\n", 0, default.start())
            yield line, "a switch over an enum class has no default"


def _body(code, parenthesis):
    """What follows the parenthesis, between its braces; braces of the condition count."""
    end = _closing(code, parenthesis, "(", ")")
    start = code.find("{", end)
    if end < 0 or start < 0:
        return None
    # From the parenthesis on, so that lines can be counted from the switch.
    return blank_to(code[parenthesis:start + 1]) + code[start + 1:_closing(code, start, "{", "}")]


def blank_to(text):
    """Keeps the line ends only."""
    return re.sub(r"[^\n]", " ", text)


def _closing(code, start, opens, closes):
    depth = 0
    for offset in range(start, len(code)):
        depth += (code[offset] == opens) - (code[offset] == closes)
        if depth == 0:
            return offset
    return len(code)


def _without_nested(body):
    """The body with every inner switch blanked."""
    while (inner := re.search(r"\bswitch\s*\(", body)) is not None:
        end = _closing(body, body.find("{", _closing(body, inner.end() - 1, "(", ")")), "{", "}") + 1
        body = body[:inner.start()] + blank_to(body[inner.start():end]) + body[end:]
    return body


RULES = {"own": own, "sleep": sleep, "leftover": leftover, "store-files": store_files, "switch": switch}
