"""The old side for the checker, where it is a folder of JSON files: as it is now, and a copy from before the bridge.
Their rows are put into a database in memory, so that everything else is as with SQLite."""
import glob
import json
import os
import sqlite3
import sys
from decimal import Decimal

from checker_sqlite import SqliteOld
from checker_values import no_constant


def spell_json(value):
    """JSON with the numbers' own digits."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{spell_json(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(spell_json, value)) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value)


def stored(kind, value):
    """As SqliteOld reads it back; what has another type than its column can hold becomes bytes, which no column can."""
    if value is None:
        return None
    if kind == "json":
        return spell_json(value)
    if kind == "bool" and isinstance(value, bool):
        return int(value)
    fits = {"int": int, "text": str, "uuid": str, "time": str}.get(kind)
    if fits is None or not isinstance(value, fits) or isinstance(value, bool):
        return spell_json(value).encode()
    return value


def unique(pairs):
    """A member that comes twice is a fault, not the last one's."""
    if len(dict(pairs)) != len(pairs):
        raise ValueError(f"a member comes twice: {[name for name, _ in pairs]}")
    return dict(pairs)


def read(path):
    """(bytes, document); a file that cannot be read ends the check."""
    with open(path, "rb") as file:
        text = file.read()
    try:
        return text, json.loads(text, parse_float=Decimal, parse_constant=no_constant, object_pairs_hook=unique)
    except ValueError as error:
        sys.exit(f"{path}: {error}")


class FilesOld(SqliteOld):
    """Reads all files of both folders. `kinds`: glob to a function that makes of (file's name without .json, document)
    the rows, as (table, {column: value})."""

    def __init__(self, path, original, tables, kinds):
        self.tables, self.has_past = tables, original is not None
        self.path, self.original, self.kinds = path, original, kinds
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.db.execute("ATTACH ':memory:' AS original")
        self.files = {}                     # of the original: relative path to (bytes, [(table, key)])
        self._fill("main", path)
        if original:
            self.files = self._fill("original", original)

    def _fill(self, schema, folder):
        for table, columns in self.tables.items():
            names = [c.old for c in columns]
            self.db.execute(f"CREATE TABLE {schema}.{table} ({', '.join(names)}, PRIMARY KEY ({names[0]}))")
        self.db.execute("BEGIN")
        files = {}
        for pattern, rows_of in self.kinds.items():
            for path in sorted(glob.glob(os.path.join(folder, pattern))):
                text, document = read(path)
                rows = list(rows_of(os.path.basename(path)[:-len(".json")], document))
                for table, values in rows:
                    self._add(schema, table, values, path)
                files[os.path.relpath(path, folder)] = text, [(table, next(iter(row.values()))) for table, row in rows]
        self.db.execute("COMMIT")
        return files

    def _add(self, schema, table, values, path):
        columns = self.tables[table]
        try:
            self.db.execute(f"INSERT INTO {schema}.{table} VALUES ({', '.join('?' * len(columns))})",
                            [stored(c.kind, values[c.name]) for c in columns])
        except sqlite3.IntegrityError as error:
            sys.exit(f"{path}: {error}: the key is in another file too")


def untouched_files(checker):
    """A file none of whose rows was ever written, and that got no new element, has the bytes it had before the bridge.
    A rule for main()."""
    old, journal = checker.old, checker.journal
    written = {(table, key) for table, rows in journal.rows.items() for key in rows}
    written |= {(table, key) for table, key, _ in journal.counters}
    grown = {key.partition("/")[0] for _, key in written if "/" in key}
    for path, (before, rows) in old.files.items():
        if any(row in written or row[1] in grown for row in rows):
            continue
        try:
            with open(os.path.join(old.path, path), "rb") as file:
                same = file.read() == before
        except FileNotFoundError:
            continue    # its rows are missing, which is said elsewhere
        if not same:
            checker.problems.add("differs", "file", path, None, "<other bytes than before>", "<not looked at>")
