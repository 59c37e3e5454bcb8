"""The application's two adapters: the same unit of work on SQLite and on PostgreSQL.

Both take a unit as the list of writes of application.py and run it as one transaction. What went wrong is said in
three words only, because a caller needs no more: Refused (the fence: try the other side), Retry (nothing happened:
try again) and Lost (COMMIT was sent and no answer came). Any other error is a bug or a broken store and passes
through, with nothing done.
"""
import json
import sqlite3
from datetime import datetime

import psycopg2
import psycopg2.extensions
from psycopg2.extras import Json

KEYS = {"users": "id", "tweets": "id", "personality_analysis": "id", "funnel_progress": "user_id",
        "funnel_completion": "user_id", "referral_codes": "code", "referral_usage_log": "id",
        "referral_tracking": "id"}
DEFAULTED = {"tweets": "created_in_db"}       # left to the database, which a REPLACE resets


class Refused(Exception):
    """The fence of a side that is not primary."""
    kind = "refused"


class Retry(Exception):
    """The attempt came to nothing, for a reason that passes."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


class Lost(Exception):
    """COMMIT was sent; whether it happened is unknown."""
    kind = "commit-unknown"


class SqliteStore:
    """SQLite as node's driver leaves it: the file's own journal mode, foreign_keys off, a busy timeout."""

    def __init__(self, path, busy_timeout_ms, synchronous):
        self.path, self.busy_timeout_ms, self.synchronous = path, busy_timeout_ms, synchronous
        self.db = None

    def _open(self):
        if self.db is None:
            self.db = sqlite3.connect(self.path, isolation_level=None, timeout=self.busy_timeout_ms / 1000,
                                      cached_statements=64)
            self.db.execute(f"PRAGMA synchronous = {self.synchronous}")

    def close(self):
        """Idempotent."""
        if self.db is not None:
            self.db.close()
            self.db = None

    def find_keys(self, rng):
        """Keys of existing rows which this process will write to."""
        self._open()
        return find_keys(lambda sql, *args: self.db.execute(sql, args).fetchall(), rng)

    def run(self, writes, immediate):
        """One transaction. A deferred one now and then, which may fail at once when it upgrades."""
        self._open()
        committing = False
        try:
            self.db.execute("BEGIN IMMEDIATE" if immediate else "BEGIN")
            made = {str(n): key for n, item in enumerate(writes) if (key := self._write(item)) is not None}
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
        return Lost(str(error)) if in_doubt else error

    def _write(self, item):
        table, key = item["table"], KEYS[item["table"]]
        if item["do"] == "add":
            column = item["column"]
            (now,), = self.db.execute(f"SELECT {column} FROM {table} WHERE {key} = ?", (item["key"],)).fetchall()
            self.db.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (now + item["delta"], item["key"]))
            return None
        if item["do"] == "delete":
            self.db.execute(f"DELETE FROM {table} WHERE {key} = ?", (item["key"],))
            return None
        values = {c: self._spell(table, c, v) for c, v in item["values"].items()}
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

    @staticmethod
    def _spell(table, column, value):
        """Text for JSON and dates, 0/1 for booleans. A tweet's date has two spellings: the old code path is still
        there, so the second decides which one a row gets."""
        if isinstance(value, bool):
            return int(value)
        if isinstance(value, (dict, list)):
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if not isinstance(value, datetime):
            return value
        if (table, column) != ("tweets", "created_at"):
            return value.strftime("%Y-%m-%d %H:%M:%S")
        return value.strftime("%Y-%m-%dT%H:%M:%S.000Z" if value.second % 3 == 0 else "%a %b %d %H:%M:%S +0000 %Y")


class PostgresStore:
    """PostgreSQL with its native types. Connects when it is first needed and again after a loss."""

    def __init__(self, url):
        self.url = url
        self.db = self.cursor = None

    def _open(self):
        if self.db is None or self.db.closed:
            try:
                self.db = psycopg2.connect(self.url, application_name="twitter-application", connect_timeout=5)
            except psycopg2.OperationalError as error:
                self.db = None
                raise Retry("connect", str(error)) from error
            self.db.autocommit = True       # BEGIN and COMMIT are ours, so that we know which of them failed
            self.cursor = self.db.cursor()

    def close(self):
        """Idempotent."""
        if self.db is not None:
            self.db.close()
            self.db = None

    def find_keys(self, rng):
        """Keys of existing rows which this process will write to."""
        self._open()

        def fetch(sql, *args):
            self.cursor.execute(sql.replace("?", "%s"), args)
            return self.cursor.fetchall()
        return find_keys(fetch, rng)

    def run(self, writes, immediate):
        """One transaction; `immediate` has no meaning here."""
        del immediate
        self._open()
        committing = False
        try:
            self.cursor.execute("BEGIN")
            made = {str(n): key for n, item in enumerate(writes) if (key := self._write(item)) is not None}
            committing = True
            self.cursor.execute("COMMIT")
            if self.cursor.statusmessage != "COMMIT":
                raise Retry("rolled-back", "COMMIT answered " + self.cursor.statusmessage)
            return made
        except psycopg2.Error as error:
            raise self._explain(error, committing) from error

    def _explain(self, error, committing):
        """Roll back where there is a connection left, and say what is known."""
        code = error.pgcode or ""
        gone = self.db.closed or not code or code.startswith(("57P", "08"))
        if gone:
            self.close()
            kind = code or "connection-lost"
            return Lost(str(error)) if committing else Retry(kind, str(error))
        if self.db.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
            try:
                self.cursor.execute("ROLLBACK")
            except psycopg2.Error:
                self.close()
        if code == "25006":
            return Refused(str(error))
        return Retry(code, str(error)) if code in ("40P01", "40001", "55P03", "57014") else error

    def _write(self, item):
        table, key = item["table"], KEYS[item["table"]]
        run = self.cursor.execute
        if item["do"] == "add":
            column = item["column"]
            run(f"SELECT {column} FROM {table} WHERE {key} = %s", (item["key"],))
            (now,), = self.cursor.fetchall()
            run(f"UPDATE {table} SET {column} = %s WHERE {key} = %s", (now + item["delta"], item["key"]))
            return None
        if item["do"] == "delete":
            run(f"DELETE FROM {table} WHERE {key} = %s", (item["key"],))
            return None
        values = {c: Json(v) if isinstance(v, (dict, list)) else v for c, v in item["values"].items()}
        if item["do"] == "update":
            run(f"UPDATE {table} SET {', '.join(f'{c} = %s' for c in values)} WHERE {key} = %s",
                (*values.values(), item["key"]))
            return None
        if item["do"] == "append":
            run(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(['%s'] * len(values))}) RETURNING {key}",
                tuple(values.values()))
            return self.cursor.fetchone()[0]
        self._put(table, key, {key: item["key"], **values})
        return None

    def _put(self, table, key, values):
        """What INSERT OR REPLACE means there: columns not named go back to their default, whole seconds."""
        marks = dict.fromkeys(values, "%s")
        if table in DEFAULTED:
            marks[DEFAULTED[table]] = "date_trunc('second', CURRENT_TIMESTAMP)"
        sets = ", ".join(f"{c} = EXCLUDED.{c}" for c in marks if c != key)
        self.cursor.execute(f"INSERT INTO {table} ({', '.join(marks)}) VALUES ({', '.join(marks.values())}) "
                            f"ON CONFLICT ({key}) DO UPDATE SET {sets}", tuple(values.values()))


def find_keys(fetch, rng):
    """Existing rows to work on, by the same statements on both sides; the tweets come from all over the table."""
    tweets = {}
    low, high = fetch("SELECT min(id), max(id) FROM tweets")[0]
    for _ in range(400 if low else 0):
        start = str(rng.randrange(int(low), int(high) + 1)).rjust(len(low), "0")
        tweets.update((row[0], None) for row in fetch("SELECT id FROM tweets WHERE id >= ? ORDER BY id LIMIT 1", start))
    return {"users": [row[0] for row in fetch("SELECT id FROM users ORDER BY id LIMIT 500")],
            "tweets": list(tweets),
            "codes": dict(fetch("SELECT code, usage_count FROM referral_codes ORDER BY code LIMIT 8")),
            "funnel": [row[0] for row in fetch("SELECT user_id FROM funnel_progress ORDER BY user_id LIMIT 40")]}
