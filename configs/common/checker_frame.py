"""Compare the two stores of a system with each other, with the application's journal and with the past.

It exists to disagree with the bridge if the bridge is wrong, so it shares no code with it or with the application
and reads neither config nor table map: what a value of the old store must look like in PostgreSQL is written down by
hand, column by column, in each system's checker.py, which calls main() here. Run it while nobody writes and both
sides have caught up.

Words: lost (an acknowledged row, or one from before, is not there), doubled (a row or increment that nobody made),
stale (not the value last written), resurrected (deleted, and there), differs (the two sides disagree, or a cell
nobody wrote changed). A journal unit without an outcome may or may not have happened. Rows that something other than
a journalled application wrote need a journal of their own, else they count as doubled.
"""
import argparse
import json
import sys
from typing import NamedTuple

import psycopg2

from checker_replay import ANY, replay
from checker_values import from_journal, from_postgres, same


class Column(NamedTuple):
    """What a column holds: text, uuid, int, bool, real, decimal, json or time; `old`: its name on the old side."""
    name: str
    kind: str
    old: str


def columns(**kinds):
    """A table by its columns, the key first: name="kind", or "kind old_name" where the old side has another name."""
    return [Column(name, words.split()[0], (words.split() + [name])[1]) for name, words in kinds.items()]


class Problems:
    """At most one word for each cell or row; the first one said stays."""

    def __init__(self):
        self.found = {}

    def add(self, word, table, key, column, old, postgres):
        """A column of None means the whole row."""
        self.found.setdefault((table, key, column), (word, old, postgres))

    def lines(self):
        """One line each."""
        for (table, key, column), (word, old, postgres) in self.found.items():
            yield f"{word} {table} {key} {column or '(row)'} old={short(old)} postgres={short(postgres)}"


def short(value):
    """One line, not endless."""
    text = value if isinstance(value, str) and value.startswith("<") else repr(value)
    return text if len(text) <= 160 else text[:157] + "..."


def postgres_rows(db, table, table_columns, view=""):
    """The rows through a cursor of the server's, so that memory stays small. `view`: a SELECT to read instead."""
    spelled = {"json": "{}::text", "uuid": "{}::text", "time": "(extract(epoch from {}) * 1000000)::bigint"}
    selected = [spelled.get(c.kind, "{}").format(c.name) for c in table_columns]
    key = table_columns[0]
    cursor = db.cursor(name=f"check_{table}")
    cursor.itersize = 5000
    read = f"({view}) AS {table}" if view else table
    cursor.execute(f"SELECT {', '.join(selected)} FROM {read} ORDER BY {key.name}"
                   + (' COLLATE "C"' if key.kind == "text" else ""))
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
    """Holds what all tables need: both sides, the journal's expectations, the problems."""

    def __init__(self, tables, old, postgres, journal, views):
        self.tables, self.old, self.postgres, self.journal, self.views = tables, old, postgres, journal, views
        self.problems = Problems()

    def table(self, table):
        """Read one table of both sides completely; returns the number of distinct rows."""
        expected = self.journal.rows.get(table, {})
        seen, rows = set(), 0
        both = merged(self.old.rows(table), postgres_rows(self.postgres, table, self.tables[table],
                                                          self.views.get(table, "")))
        for key, old, new in both:
            rows += 1
            row = expected.get(key)
            if row is not None:
                seen.add(key)
            if old is None or new is None:
                self._one_sided(table, key, new is None, row)
            elif row is not None and not row.may_exist:
                self.problems.add("resurrected", table, key, None, "<there>", "<there>")
            else:
                self._cells(table, key, old, new, row)
        for key, row in expected.items():
            if row.must_exist and key not in seen:
                self.problems.add("lost", table, key, None, "<missing>", "<missing>")
        return rows

    def _one_sided(self, table, key, on_old, row):
        there = ("<there>", "<missing>") if on_old else ("<missing>", "<there>")
        if row is None and self.old.has_past:
            word = "doubled" if self.old.past_row(table, key) is None else "lost"
        elif row is None:           # without the past: what the old side has should have been copied
            word = "lost" if on_old else "doubled"
        elif not row.may_exist:
            word = "resurrected"
        else:
            word = "lost" if row.must_exist else "differs"
        self.problems.add(word, table, key, None, *there)

    def _cells(self, table, key, old, new, row):
        for n, column in enumerate(self.tables[table]):
            mine, theirs = self.old.meaning(column, old[n]), from_postgres(column.kind, new[n])
            wanted = row.columns.get(column.name, ANY) if row is not None else ANY
            if wanted is not ANY and wanted is not None:
                values = [from_journal(column.kind, v) for v in wanted if v is not ANY]
                if ANY not in wanted and not (any(same(mine, v) for v in values)
                                              and any(same(theirs, v) for v in values)):
                    self.problems.add("stale", table, key, column.name, old[n], new[n])
            if not same(mine, theirs):
                self.problems.add("differs", table, key, column.name, old[n], new[n])
            counter = self.journal.counters.get((table, key, column.name))
            if counter is not None:
                self._counter(table, key, column.name, counter, mine, theirs)

    def _counter(self, table, key, column, counter, mine, theirs):
        """Increments are sums, so fewer than acknowledged is lost and more than intended is doubled."""
        if any(not isinstance(v, int) for v in (mine, theirs)):
            return
        past = self.old.past_row(table, key) if self.old.has_past else None
        base = counter.base if past is None else past[column]
        if base is None:
            return
        low, high = base + counter.acked, base + counter.acked + counter.unknown
        if min(mine, theirs) < low:
            self.problems.add("lost", table, key, f"{column}:increments", mine, theirs)
        elif max(mine, theirs) > high:
            self.problems.add("doubled", table, key, f"{column}:increments", mine, theirs)
        counter.found = mine - base

    def past(self, table):
        """Against the copy from before the bridge: rows and cells the journal never touched are as they were."""
        expected = self.journal.rows.get(table, {})
        for key, changed in self.old.gone_or_changed(table):
            row = expected.get(key)
            if changed is None:
                if row is None or not row.emptied:
                    self.problems.add("lost", table, key, None, "<missing>", "<not looked at>")
                continue
            for column, (before, now) in changed.items():
                written = row is not None and (row.replaced or column in row.columns)
                # Counters change by increments, which have a rule of their own.
                if not written and (table, key, column) not in self.journal.counters:
                    self.problems.add("differs", table, key, column, f"<{now}, was {before}>", "<not looked at>")
        for key in self.old.new_keys(table):
            if key not in expected:
                self.problems.add("doubled", table, key, None, "<there>", "<not looked at>")

    def loose_rows(self):
        """Rows with keys the database made, by units whose outcome, and so whose key, nobody was told."""
        for table, candidates in self.journal.loose.items():
            known = self.journal.rows.get(table, {})
            strangers = [row for row in self.old.rows(table) if row[0] not in known
                         and not (self.old.has_past and self.old.past_row(table, row[0]))]
            for values in candidates:
                found = next((row for row in strangers if self._fits(table, row, values)), None)
                if found is not None:
                    strangers.remove(found)
                    self.journal.adopt(table, found[0], values)

    def _fits(self, table, row, values):
        return all(values.get(c.name, ANY) is ANY
                   or same(self.old.meaning(c, value), from_journal(c.kind, values[c.name]))
                   for c, value in zip(self.tables[table], row))


def check(tables, open_old, more, views, args):
    """Everything; returns the checker and the number of rows."""
    old = open_old(args.old, args.original, tables)
    postgres = psycopg2.connect(args.postgres)      # the server's time zone does not matter, epochs are compared
    postgres.set_session(isolation_level="REPEATABLE READ", readonly=True)
    checker = Checker(tables, old, postgres, replay(args.journal), views)
    checker.loose_rows()
    rows = 0
    for table in tables:
        rows += checker.table(table)
        if args.original:
            checker.past(table)
    for rule in more:
        rule(checker)
    postgres.close()
    old.close()
    return checker, rows


def main(tables, open_old, more=(), views=None):
    """What a system's checker.py ends with. `more`: rules of the system's own, called with the Checker; `views`: for a
    table whose rows have another key than PostgreSQL's on the old side, the SELECT that shows it under that one.
    Prints the problems, or JSON; the last line is the verdict."""
    parser = argparse.ArgumentParser(description="Compare both stores with each other and with the journal.")
    parser.add_argument("--old", required=True)
    parser.add_argument("--postgres", required=True)
    parser.add_argument("--journal", nargs="+", default=[])
    parser.add_argument("--original", help="a copy of the old store from before the bridge came")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    checker, rows = check(tables, open_old, more, views or {}, args)
    problems, writes = checker.problems, checker.journal.acked
    lines, count = list(problems.lines()), len(problems.found)
    verdict = f"checked {len(tables)} tables, {rows} rows, {writes} writes, {count} lost"
    if args.json:
        words = {}
        for word, _, _ in problems.found.values():
            words[word] = words.get(word, 0) + 1
        print(json.dumps({"tables": len(tables), "rows": rows, "writes": writes, "lost": count, "by_word": words,
                          "problems": lines[:50], "verdict": verdict}))
    else:
        print("\n".join(lines[:50] + [verdict]))
    sys.exit(1 if count else 0)
