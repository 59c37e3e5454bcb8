"""The old side of an application whose store is one SQLite database."""
import sqlite3

from client_units import Broken, Lost, Refused, Retry, resolved


def add_options(parser):
    """Habits that differ between applications and matter to a bridge."""
    parser.add_argument("--busy-timeout-ms", type=int, default=5000)
    parser.add_argument("--synchronous", choices=["OFF", "NORMAL", "FULL", "EXTRA"], default="FULL")


class SqliteStore:
    """One connection, in the file's own journal mode. A unit of work is one transaction."""

    def __init__(self, args, keys, spell, foreign_keys=False, old_names=None):
        """`keys`: table to key column; `spell(table, column, value)`: how the application writes a value;
        `old_names`: (table, column) to the column's name here, where the plan for PostgreSQL renames it."""
        self.args, self.keys, self.spell = args, keys, spell
        self.foreign_keys, self.old_names = foreign_keys, old_names or {}
        self.db = None

    def _open(self):
        if self.db is None:
            self.db = sqlite3.connect(self.args.old, isolation_level=None, timeout=self.args.busy_timeout_ms / 1000,
                                      cached_statements=64)
            self.db.execute(f"PRAGMA synchronous = {self.args.synchronous}")
            self.db.execute(f"PRAGMA foreign_keys = {int(self.foreign_keys)}")

    def close(self):
        """Idempotent."""
        if self.db is not None:
            self.db.close()
            self.db = None

    def look(self, find):
        """What `find(fetch)` finds by SELECTs that both sides understand."""
        try:
            self._open()
            return find(lambda sql, *args: self.db.execute(sql, args).fetchall())
        except sqlite3.Error as error:
            raise Retry(type(error).__name__, str(error)) from error

    def run(self, writes, immediate):
        """One transaction; the keys the database made, by the write's number. A deferred one may fail at once when
        it upgrades."""
        self._open()
        committing, made = False, {}
        try:
            self.db.execute("BEGIN IMMEDIATE" if immediate else "BEGIN")
            for n, item in enumerate(writes):
                key = None if "by" in item else self._write(item, made)
                if key is not None:
                    made[str(n)] = key
            committing = True
            self.db.execute("COMMIT")
            return made
        except sqlite3.Error as error:
            undone = self.db.in_transaction
            self._undo()
            raise self._explain(error, committing and not undone) from error

    def _undo(self):
        """An ABORT leaves the transaction open, a full disk ends it by itself."""
        try:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
        except sqlite3.Error:
            self.close()        # closing rolls back too

    @staticmethod
    def _explain(error, in_doubt):
        if isinstance(error, sqlite3.IntegrityError) and "switchback:" in str(error):
            return Refused(str(error))
        code = getattr(error, "sqlite_errorcode", None) or 0
        if code & 0xff in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return Retry(getattr(error, "sqlite_errorname", "SQLITE_BUSY"), str(error))
        if code & 0xff == sqlite3.SQLITE_SCHEMA:
            return Retry("SQLITE_SCHEMA", str(error))
        return Lost(str(error)) if in_doubt else Broken(type(error).__name__, str(error))

    def _name(self, table, column):
        return self.old_names.get((table, column), column)

    def _write(self, item, made):
        table, key = item["table"], self.keys[item["table"]]
        if item["do"] == "add":
            column = self._name(table, item["column"])
            (now,), = self.db.execute(f"SELECT {column} FROM {table} WHERE {key} = ?", (item["key"],)).fetchall()
            self.db.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (now + item["delta"], item["key"]))
            return None
        if item["do"] == "delete":
            self.db.execute(f"DELETE FROM {table} WHERE {key} = ?", (item["key"],))
            return None
        values = {self._name(table, c): self.spell(table, c, v) for c, v in resolved(item["values"], made).items()}
        if item["do"] == "update":
            sets = ", ".join(f"{c} = ?" for c in values)
            self.db.execute(f"UPDATE {table} SET {sets} WHERE {key} = ?", (*values.values(), item["key"]))
            return None
        if item["do"] == "put":
            values = {key: item["key"], **values}
        verb = "INSERT OR REPLACE" if item["do"] == "put" else "INSERT"
        cursor = self.db.execute(f"{verb} INTO {table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",
                                 tuple(values.values()))
        return cursor.lastrowid if item["do"] == "append" else None
