"""The old side for the checker, where it is one SQLite database: as it is now, and a copy from before the bridge."""
import sqlite3
from decimal import Decimal

from checker_values import Unreadable, read_json, read_time


def as_bool(value):
    """0 and 1 only."""
    if value not in (0, 1):
        raise ValueError(value)
    return value == 1


# How a value of each kind is stored, and how it is read. A value of another storage class than the application
# writes is a fault. A "decimal" is a REAL there: the shortest digits that give this double are the number meant.
STORED_AS = {"time": str, "json": str, "text": str, "uuid": str, "int": int, "bool": int, "real": float,
             "decimal": float}
READERS = {"time": read_time, "json": read_json, "bool": as_bool, "decimal": lambda v: Decimal(repr(v))}


class SqliteOld:
    """Reads both files in one snapshot. Every old store of the checker has these methods."""

    def __init__(self, path, original, tables):
        self.tables, self.has_past = tables, original is not None
        self.db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
        if original:
            self.db.execute("ATTACH ? AS original", (f"file:{original}?mode=ro",))
        self.db.execute("BEGIN")

    def close(self):
        """Ends the snapshot."""
        self.db.close()

    def rows(self, table):
        """Rows in key order; BINARY so that the order is that of bytes, as with COLLATE "C"."""
        names = [c.old for c in self.tables[table]]
        return iter(self.db.execute(f"SELECT {', '.join(names)} FROM main.{table} ORDER BY {names[0]} COLLATE BINARY"))

    @staticmethod
    def meaning(column, value):
        """Of a value as rows() gives it."""
        if value is None:
            return None
        try:
            if type(value) is not STORED_AS[column.kind]:
                return Unreadable(value)
            reader = READERS.get(column.kind)
            return reader(value) if reader else value
        except (ValueError, KeyError, IndexError, ArithmeticError):
            return Unreadable(value)

    def past_row(self, table, key):
        """The row of before by the columns' names here, or None."""
        columns = self.tables[table]
        found = self.db.execute(f"SELECT {', '.join(c.old for c in columns)} FROM original.{table} "
                                f"WHERE {columns[0].old} = ?", (key,)).fetchone()
        return dict(zip((c.name for c in columns), found)) if found else None

    def gone_or_changed(self, table):
        """(key, None) of each row of before that is gone, (key, {column: (before, now)}) of each whose bytes or
        storage class are not what they were."""
        columns = self.tables[table]
        key = columns[0].old
        cell = "(typeof(o.{0}) <> typeof(n.{0}) OR hex(o.{0}) <> hex(n.{0}))"
        changed = [cell.format(c.old) for c in columns]
        shown = [f"typeof({s}.{c.old}) || ' ' || hex({s}.{c.old})" for c in columns for s in "on"]
        for found in self.db.execute(
                f"SELECT o.{key}, n.{key} IS NULL, {', '.join(changed)}, {', '.join(shown)} FROM original.{table} o "
                f"LEFT JOIN main.{table} n ON n.{key} = o.{key} WHERE n.{key} IS NULL OR {' OR '.join(changed)}"):
            texts = found[2 + len(columns):]
            yield found[0], None if found[1] else {
                column.name: texts[2 * n:2 * n + 2] for n, column in enumerate(columns) if found[2 + n]}

    def new_keys(self, table):
        """Keys that were not there before."""
        key = self.tables[table][0].old
        for (new,) in self.db.execute(f"SELECT {key} FROM main.{table} n WHERE NOT EXISTS "
                                      f"(SELECT 1 FROM original.{table} o WHERE o.{key} = n.{key})"):
            yield new
