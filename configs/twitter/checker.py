#!/usr/bin/python3
"""Compare the two stores of the twitter system with each other, with the application's journal and with the past.

It exists to disagree with the bridge if the bridge is wrong, so it shares no code with it or with the application
and reads neither config nor table map: what a SQLite value must look like in PostgreSQL is written down here by hand,
column by column. Run it while nobody writes and both sides have caught up.

Words: lost (an acknowledged row, or one from before, is not there), doubled (a row or increment that nobody made),
stale (not the value last written), resurrected (deleted, and there), differs (the two sides disagree, or a cell
nobody wrote changed). A journal unit without an outcome may or may not have happened. Rows that something other than
a journalled application wrote need a journal of their own, else they count as doubled.
"""
import argparse
import json
import sqlite3
import sys
from datetime import date, datetime, timezone
from decimal import Decimal
from functools import lru_cache

import psycopg2

from checker_replay import ANY, replay

# Column: how SQLite's value reads as PostgreSQL's. The first column of each table is its key.
TABLES = {
    "users": {"id": "text", "username": "text", "profile_data": "json", "profile_picture_url": "text",
              "last_scraped": "time", "created_at": "time"},
    "tweets": {"id": "text", "user_id": "text", "text": "text", "created_at": "time", "url": "text",
               "is_reply": "bool", "metadata": "json", "created_in_db": "time"},
    "personality_analysis": {"id": "text", "user_id": "text", "traits": "json", "interests": "json",
                             "communication_style": "json", "analyzed_at": "time"},
    "funnel_progress": {"user_id": "text", "current_command_index": "int", "completed_commands": "json",
                        "command_responses": "json", "last_updated": "time"},
    "funnel_completion": {"user_id": "text", "completed_at": "time", "completion_data": "json"},
    "referral_tracking": {"id": "int", "referral_code": "text", "referrer_user_id": "text",
                          "referred_user_id": "text", "used_at": "time"},
    "referral_codes": {"code": "text", "owner_user_id": "text", "usage_count": "int", "created_at": "time"},
    "referral_usage_log": {"id": "int", "referral_code": "text", "used_by_user_id": "text", "used_at": "time"},
}
MONTHS = {m: n + 1 for n, m in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split())}
MICROS = 1_000_000


class Unreadable:
    """A SQLite value that has no meaning in its column's type; equal to nothing."""

    def __init__(self, value):
        self.value = value

    def __repr__(self):
        return f"unreadable {self.value!r}"


@lru_cache(4096)
def day_micros(year, month, day):
    """Midnight UTC in microseconds since 1970."""
    return (date(year, month, day).toordinal() - 719163) * 86400 * MICROS


def clock_micros(text):
    """hh:mm:ss"""
    return (int(text[0:2]) * 3600 + int(text[3:5]) * 60 + int(text[6:8])) * MICROS


def read_time(text):
    """Microseconds since 1970 of any spelling the application ever used; without a zone it is UTC."""
    if text[:1].isalpha():          # Mon Nov 25 01:23:24 +0000 2024
        _, month, day, clock, zone, year = text.split()
        shift = (int(zone[1:3]) * 3600 + int(zone[3:5]) * 60) * MICROS * (-1 if zone[0] == "-" else 1)
        return day_micros(int(year), MONTHS[month], int(day)) + clock_micros(clock) - shift
    if len(text) == 19 and text[10] == " ":
        return day_micros(int(text[:4]), int(text[5:7]), int(text[8:10])) + clock_micros(text[11:])
    if len(text) == 24 and text[10] == "T" and text[19] == "." and text[23] == "Z":
        return (day_micros(int(text[:4]), int(text[5:7]), int(text[8:10])) + clock_micros(text[11:19])
                + int(text[20:23]) * 1000)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    since = moment - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (since.days * 86400 + since.seconds) * MICROS + since.microseconds


def no_constant(word):
    """Python reads NaN and Infinity; JSON has neither."""
    raise ValueError(word)


def read_json(text):
    """Exact numbers; of a member that comes twice the last counts, as in jsonb."""
    return json.loads(text, parse_float=Decimal, parse_constant=no_constant)


READERS = {"time": read_time, "json": read_json, "text": lambda v: v, "int": lambda v: v, "bool": lambda v: v == 1}
STORED_AS = {"time": str, "json": str, "text": str, "int": int, "bool": int}


def from_sqlite(kind, value):
    """Meaning of a value as SQLite gave it. A value of another storage class than the application writes is a fault."""
    if value is None:
        return None
    try:
        if type(value) is not STORED_AS[kind] or (kind == "bool" and value not in (0, 1)):
            return Unreadable(value)
        return READERS[kind](value)
    except (ValueError, KeyError, IndexError, ArithmeticError):
        return Unreadable(value)


def from_postgres(kind, value):
    """Meaning of a value as selected by postgres_rows()."""
    return read_json(value) if kind == "json" and value is not None else value


def from_journal(kind, value):
    """Meaning of a journalled value: native JSON types, dates as ISO. Numbers in JSON were parsed as floats there."""
    if value is None or kind not in ("time", "json"):
        return value
    return read_time(value) if kind == "time" else read_json(json.dumps(value))


def same(a, b):
    """Equality of meaning. True is not 1, and a Decimal 1.50 is 1.5 is not "1.5"."""
    if isinstance(a, dict):
        return isinstance(b, dict) and len(a) == len(b) and all(k in b and same(v, b[k]) for k, v in a.items())
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return a == b


class Problems:
    """At most one word for each cell or row; the first one said stays."""

    def __init__(self):
        self.found = {}

    def add(self, word, table, key, column, old, postgres):
        """A column of None means the whole row."""
        self.found.setdefault((table, key, column), (word, old, postgres))

    def has_row(self, table, key):
        """Has something been said about this whole row?"""
        return (table, key, None) in self.found

    def lines(self):
        """One line each."""
        for (table, key, column), (word, old, postgres) in self.found.items():
            yield f"{word} {table} {key} {column or '(row)'} old={short(old)} postgres={short(postgres)}"


def short(value):
    """One line, not endless."""
    text = value if isinstance(value, str) and value.startswith("<") else repr(value)
    return text if len(text) <= 160 else text[:157] + "..."


def sqlite_rows(db, table):
    """Rows in key order; BINARY so that the order is that of bytes, as with COLLATE "C"."""
    columns = list(TABLES[table])
    return iter(db.execute(f"SELECT {', '.join(columns)} FROM main.{table} ORDER BY {columns[0]} COLLATE BINARY"))


def postgres_rows(db, table):
    """The same rows through a cursor of the server's, so that memory stays small."""
    spelled = {"json": "{}::text", "time": "(extract(epoch from {}) * 1000000)::bigint"}
    columns = [spelled.get(kind, "{}").format(c) for c, kind in TABLES[table].items()]
    key, kind = next(iter(TABLES[table].items()))
    cursor = db.cursor(name=f"check_{table}")
    cursor.itersize = 5000
    cursor.execute(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {key}"
                   + (' COLLATE "C"' if kind == "text" else ""))
    return iter(cursor)


def merged(left, right):
    """(key, row of left or None, row of right or None), in key order."""
    a, b = next(left, None), next(right, None)
    while a is not None or b is not None:
        if b is None or (a is not None and a[0] < b[0]):
            yield a[0], a, None
            a = next(left, None)
        elif a is None or b[0] < a[0]:
            yield b[0], None, b
            b = next(right, None)
        else:
            yield a[0], a, b
            a, b = next(left, None), next(right, None)


class Checker:
    """Holds what all tables need: the journal's expectations, the past, the problems."""

    def __init__(self, sqlite, postgres, journal, problems, has_original):
        self.sqlite, self.postgres, self.journal = sqlite, postgres, journal
        self.problems, self.has_original = problems, has_original
        self.log_rows = {}      # code -> rows of this journal's applications in the log

    def table(self, table):
        """Read one table of both sides completely; returns the number of distinct rows."""
        expected = self.journal.rows.get(table, {})
        seen, rows = set(), 0
        for key, old, new in merged(sqlite_rows(self.sqlite, table), postgres_rows(self.postgres, table)):
            rows += 1
            row = expected.get(key)
            if row is not None:
                seen.add(key)
            if old is None or new is None:
                self._one_sided(table, key, old, new, row)
            elif row is not None and not row.may_exist:
                self.problems.add("resurrected", table, key, None, "<there>", "<there>")
            else:
                self._cells(table, key, old, new, row)
            if table == "referral_usage_log" and row is not None and row.made:
                self._count_log(old or new)
        for key, row in expected.items():
            if row.must_exist and key not in seen:
                self.problems.add("lost", table, key, None, "<missing>", "<missing>")
        return rows

    def _one_sided(self, table, key, old, new, row):
        there = ("<there>", "<missing>") if new is None else ("<missing>", "<there>")
        if row is None and self.has_original:
            word = "lost" if self._in_original(table, key) else "doubled"
        elif row is None:           # without the past: what SQLite has should have been copied
            word = "lost" if new is None else "doubled"
        elif not row.may_exist:
            word = "resurrected"
        else:
            word = "lost" if row.must_exist else "differs"
        self.problems.add(word, table, key, None, *there)

    def _in_original(self, table, key):
        name = next(iter(TABLES[table]))
        found = self.sqlite.execute(f"SELECT 1 FROM original.{table} WHERE {name} = ?", (key,)).fetchone()
        return found is not None

    def _cells(self, table, key, old, new, row):
        for n, (column, kind) in enumerate(TABLES[table].items()):
            mine, theirs = from_sqlite(kind, old[n]), from_postgres(kind, new[n])
            wanted = row.columns.get(column, ANY) if row is not None else ANY
            if wanted is not ANY and wanted is not None:
                values = [from_journal(kind, v) for v in wanted if v is not ANY]
                if ANY not in wanted and not (any(same(mine, v) for v in values)
                                              and any(same(theirs, v) for v in values)):
                    self.problems.add("stale", table, key, column, old[n], new[n])
            if not same(mine, theirs):
                self.problems.add("differs", table, key, column, old[n], new[n])
            counter = self.journal.counters.get((table, key, column))
            if counter is not None:
                self._counter(table, key, column, counter, mine, theirs)

    def _counter(self, table, key, column, counter, mine, theirs):
        """Increments are sums, so fewer than acknowledged is lost and more than intended is doubled."""
        if any(not isinstance(v, int) for v in (mine, theirs)):
            return
        base = self._original_counter(table, key, column) if self.has_original else counter.base
        if base is None:
            return
        low, high = base + counter.acked, base + counter.acked + counter.unknown
        if min(mine, theirs) < low:
            self.problems.add("lost", table, key, f"{column}:increments", mine, theirs)
        elif max(mine, theirs) > high:
            self.problems.add("doubled", table, key, f"{column}:increments", mine, theirs)
        counter.found = mine - base

    def _original_counter(self, table, key, column):
        name = next(iter(TABLES[table]))
        found = self.sqlite.execute(f"SELECT {column} FROM original.{table} WHERE {name} = ?", (key,)).fetchone()
        return found[0] if found else None

    def _count_log(self, row):
        self.log_rows[row[1]] = self.log_rows.get(row[1], 0) + 1

    def log_agrees(self):
        """The application counts and logs in one transaction, so both must say the same."""
        for (table, key, column), counter in self.journal.counters.items():
            logged = self.log_rows.get(key, 0)
            if counter.found is not None and not counter.unknown and logged != counter.found:
                word = "lost" if logged < counter.found else "doubled"
                self.problems.add(word, table, key, f"{column}:log", f"<counted {counter.found}>", f"<logged {logged}>")

    def past(self, table):
        """Against the copy from before the bridge: rows and cells the journal never touched are as they were."""
        expected = self.journal.rows.get(table, {})
        columns = list(TABLES[table])
        key = columns[0]
        cell = "(typeof(o.{0}) <> typeof(n.{0}) OR hex(o.{0}) <> hex(n.{0}))"
        changed = [cell.format(c) for c in columns]
        shown = [f"typeof({s}.{c}) || ' ' || hex({s}.{c})" for c in columns for s in "on"]
        for found in self.sqlite.execute(
                f"SELECT o.{key}, n.{key} IS NULL, {', '.join(changed)}, {', '.join(shown)} FROM original.{table} o "
                f"LEFT JOIN main.{table} n ON n.{key} = o.{key} WHERE n.{key} IS NULL OR {' OR '.join(changed)}"):
            row = expected.get(found[0])
            if found[1]:
                if row is None or not row.emptied:
                    self.problems.add("lost", table, found[0], None, "<missing>", "<not looked at>")
                continue
            for n, column in enumerate(columns):
                if found[2 + n] and not (row is not None and (row.replaced or column in row.columns)):
                    before, now = found[2 + len(columns) + 2 * n:][:2]
                    self._changed(table, found[0], column, before, now)
        for (extra,) in self.sqlite.execute(
                f"SELECT {key} FROM main.{table} n WHERE NOT EXISTS "
                f"(SELECT 1 FROM original.{table} o WHERE o.{key} = n.{key})"):
            if extra not in expected:
                self.problems.add("doubled", table, extra, None, "<there>", "<not looked at>")

    def _changed(self, table, key, column, before, now):
        """Counters change by increments, which have a rule of their own."""
        if (table, key, column) not in self.journal.counters:
            self.problems.add("differs", table, key, column, f"<{now}, was {before}>", "<not looked at>")


def open_both(args):
    """Read-only on both sides, each in one snapshot; the server's time zone does not matter, epochs are compared."""
    sqlite = sqlite3.connect(f"file:{args.sqlite}?mode=ro", uri=True, isolation_level=None)
    if args.original:
        sqlite.execute("ATTACH ? AS original", (f"file:{args.original}?mode=ro",))
    sqlite.execute("BEGIN")
    postgres = psycopg2.connect(args.postgres)
    postgres.set_session(isolation_level="REPEATABLE READ", readonly=True)
    return sqlite, postgres


def loose_rows(checker):
    """Rows with keys the database made, by units whose outcome, and so whose key, nobody was told."""
    for table, candidates in checker.journal.loose.items():
        columns = list(TABLES[table])
        for values in candidates:
            found = checker.sqlite.execute(
                f"SELECT {', '.join(columns)} FROM main.{table} WHERE referral_code = ? ORDER BY {columns[0]}",
                (values["referral_code"],))
            for row in found:
                wanted = {c: from_journal(TABLES[table][c], v) for c, v in values.items()}
                mine = {c: from_sqlite(TABLES[table][c], row[columns.index(c)]) for c in values}
                if mine == wanted and row[0] not in checker.journal.rows.get(table, {}) and not (
                        checker.has_original and checker._in_original(table, row[0])):
                    checker.journal.adopt(table, row[0], values)
                    break


def check(args):
    """Everything; returns (tables, rows, writes, problems)."""
    sqlite, postgres = open_both(args)
    problems, journal = Problems(), replay(args.journal)
    checker = Checker(sqlite, postgres, journal, problems, bool(args.original))
    loose_rows(checker)
    rows = 0
    for table in TABLES:
        rows += checker.table(table)
        if args.original:
            checker.past(table)
    checker.log_agrees()
    postgres.close()
    sqlite.close()
    return len(TABLES), rows, journal.acked, problems


def main():
    """Print the problems, or JSON; the last line is the verdict."""
    parser = argparse.ArgumentParser(description="Compare both stores with each other and with the journal.")
    parser.add_argument("--sqlite", required=True)
    parser.add_argument("--postgres", required=True)
    parser.add_argument("--journal", nargs="+", default=[])
    parser.add_argument("--original", help="a copy of the SQLite database from before the bridge came")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    tables, rows, writes, problems = check(args)
    lines, count = list(problems.lines()), len(problems.found)
    verdict = f"checked {tables} tables, {rows} rows, {writes} writes, {count} lost"
    if args.json:
        words = {}
        for word, _, _ in problems.found.values():
            words[word] = words.get(word, 0) + 1
        print(json.dumps({"tables": tables, "rows": rows, "writes": writes, "lost": count, "by_word": words,
                          "problems": lines[:50], "verdict": verdict}))
    else:
        print("\n".join(lines[:50] + [verdict]))
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
