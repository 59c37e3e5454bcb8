"""Rules about files and lines: size, headers, which folder may include and call what."""
import os
import re

from source import CPP, SCRIPT

# Includes run one way. A folder may include itself and these.
BELOW = {
    "state": set(),
    "watchers": {"state"},
    "replication": {"state"},
    "bridge": {"state", "watchers", "replication"},
    "tests": {"state", "watchers", "replication", "bridge"},
}
# The floors within state/, the lowest first.
FLOORS = ["base", "model", "ports", "ledger"]
MAX_LINES = 500
# Tests hold SQL and JSON as one literal a line, which breaking would only make harder to compare.
MAX_COLUMNS = {"cpp": 100, "script": 130, "test": 120}


def kind(source):
    """cpp, script or None."""
    if source.path.endswith(CPP):
        return "cpp"
    if source.path.endswith(SCRIPT) or source.text.startswith("#!"):
        return "script"
    return None


def size(source, _):
    """No file over 500 lines, no line over its columns."""
    which = kind(source)
    if which is None:
        return
    count = len(source.text.splitlines())
    if count > MAX_LINES:
        yield 1, f"{count} lines; {MAX_LINES} is the limit: split by responsibility"
    limit = MAX_COLUMNS["test" if which == "cpp" and source.path.startswith("tests/") else which]
    for number, line in enumerate(source.lines, 1):
        if len(line) > limit:
            yield number, f"{len(line)} columns; {limit} is the limit"


def include(source, tree):
    """state <- watchers, replication <- bridge; paths start at the root of the repository."""
    if not source.is_cpp:
        return
    for match in re.finditer(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', source.spoken, re.MULTILINE):
        line, path = source.line_of(match.start()), match.group(1)
        target = path.split("/")[0]
        if path not in tree.paths:
            yield line, f'"{path}" is no path from the root of the repository (third parties are included with <>)'
        elif target != source.folder and target not in BELOW.get(source.folder, set()):
            yield line, f"{source.folder}/ must not include {target}/"
        elif target == source.folder == "state" and _floor(path) > _floor(source.path):
            yield line, f"state/{source.path.split('/')[1]} must not include state/{path.split('/')[1]}"


def _floor(path):
    name = path.split("/")[1]
    return FLOORS.index(name) if name in FLOORS else len(FLOORS)


def header(source, _):
    """A header opens with a comment of at least two sentences, then #pragma once."""
    if not source.is_header:
        return
    opening = []
    for line in source.lines:
        if not line.startswith("//"):
            break
        opening.append(line)
    if not opening:
        yield 1, "a header opens with a comment: what it is, why it exists, who calls it, thread safety"
    elif len(re.findall(r"[.!?;:](?:\s|$)", "\n".join(opening))) < 2:
        yield 1, "the opening comment has less than two sentences"
    if "#pragma once" not in source.lines[len(opening):len(opening) + 2]:
        yield len(opening) + 1, "#pragma once must follow the opening comment"


def wire(source, _):
    """libpq is called in replication/ only, SQLite's C interface beside SQLite's own files only."""
    if not source.is_cpp or source.is_test:
        return
    if source.folder != "replication":
        for match in re.finditer(r"<libpq-fe\.h>|\bPQ[a-z]\w*\s*\(|\bPG(?:conn|result)\b", source.code):
            yield source.line_of(match.start()), f"{match.group()} outside replication/"
    if not source.path.startswith(("watchers/sqlite/", "watchers/files/ledger_database.", "state/ledger/")):
        for match in re.finditer(r"<sqlite3\.h>|\bsqlite3_\w+\s*\(|<SQLiteCpp/", source.code):
            yield source.line_of(match.start()), f"{match.group()} outside watchers/sqlite and the ledgers"


def home(source, _):
    """Nothing names somebody's own folders."""
    pattern = r"(?:/home/[a-z]|/Users/[A-Za-z]|/ro" r"ot/\w|/wo" r"rk/(?:main|shared))[\w./-]*"
    for match in re.finditer(pattern, source.text):
        yield source.line_of(match.start()), f"an absolute path of somebody's machine: {match.group()}"


def listed(source, tree):
    """Every .cpp is in its folder's CMakeLists.txt: a file that is not built is not tested."""
    if not source.path.endswith(".cpp"):
        return
    folder = os.path.dirname(source.path)
    while folder and f"{folder}/CMakeLists.txt" not in tree.paths:
        folder = os.path.dirname(folder)
    lists = tree.paths.get(f"{folder}/CMakeLists.txt")
    name = os.path.relpath(source.path, folder) if folder else source.path
    if lists is None or not re.search(rf"(?<![\w/]){re.escape(name)}(?!\w)", lists.text):
        yield 1, f"not listed in {folder}/CMakeLists.txt"


RULES = {"size": size, "include": include, "header": header, "wire": wire, "home": home, "listed": listed}
