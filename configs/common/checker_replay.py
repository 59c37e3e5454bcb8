"""What the application's journals say must, and what may, be in the stores.

Units are replayed in the order in which they were begun. An acknowledged write leaves one possible value; a write
without a known outcome adds one. What a foreign key's action does (a write that has "by") counts like any write.
Columns are followed one by one, which is enough: a unit whose fate is unknown is rare and its key is left alone by
the application afterwards.
"""
import json
import sys


class Any:
    """The value that the database chose, or that nobody was told."""

    def __repr__(self):
        return "anything"


ANY = Any()


class Row:
    """What is expected of one row. `columns` has the possible values of those written."""

    def __init__(self):
        self.must_exist, self.may_exist = False, True
        self.columns = {}
        self.replaced = False       # every column was written, also those not named
        self.emptied = False        # was deleted at least once, or may have been
        self.made = False           # the database made the key

    def put(self, values, sure):
        """The whole row; what is not named went back to a default."""
        self.replaced = True
        self.may_exist = True
        self.must_exist = self.must_exist or sure
        if sure:
            self.columns = {c: [v] for c, v in values.items()}
        else:
            self.columns = {c: self.columns.get(c, [ANY]) + [v] for c, v in values.items()}

    def update(self, values, sure):
        """Only these columns. It says nothing about whether the row exists."""
        for column, value in values.items():
            self.columns[column] = [value] if sure else self.columns.get(column, [ANY]) + [value]

    def delete(self, sure):
        """Gone, or perhaps gone."""
        self.must_exist, self.emptied = False, True
        if sure:
            self.may_exist = False
            self.columns = {}


class Counter:
    """A column that is only ever incremented by its writer."""

    def __init__(self):
        self.base = self.base_at = self.found = None
        self.acked = self.unknown = 0


class Journal:
    """The outcome of all units."""

    def __init__(self):
        self.rows, self.counters, self.loose, self.acked = {}, {}, {}, 0

    def counter(self, table, key, column):
        """Made when first heard of."""
        return self.counters.setdefault((table, key, column), Counter())

    def adopt(self, table, key, values):
        """A row that a unit of unknown fate turns out to have made."""
        row = self.rows.setdefault(table, {}).setdefault(key, Row())
        row.made = True
        row.put(values, True)

    def apply(self, unit, outcome):
        """One unit that happened, or may have."""
        sure = outcome is not None and outcome["state"] == "ack"
        self.acked += sure
        made = outcome.get("made") or {} if outcome else {}
        for n, item in enumerate(unit["writes"]):
            table, do = item["table"], item["do"]
            if do == "add":
                counter = self.counter(table, item["key"], item["column"])
                counter.acked += item["delta"] if sure else 0
                counter.unknown += 0 if sure else item["delta"]
            elif do == "append" and sure:
                self.adopt(table, made[str(n)], told(item["values"], made))
            elif do == "append":
                self.loose.setdefault(table, []).append(told(item["values"], made))
            else:
                self._known_key(table, do, item, told(item.get("values", {}), made), sure)

    def _known_key(self, table, do, item, values, sure):
        known = self.rows.setdefault(table, {})
        row = known.get(item["key"])
        if row is None:
            row = known[item["key"]] = Row()
            row.must_exist = do != "put"        # an update or delete of a row that was there before
        if do == "put":
            row.put(values, sure)
        elif do == "update":
            row.update(values, sure)
        else:
            row.delete(sure)


def told(values, made):
    """The values with the keys that the database made in the same unit, where somebody was told them."""
    return {c: made.get(str(v["$made"]), ANY) if isinstance(v, dict) and list(v) == ["$made"] else v
            for c, v in values.items()}


def read_lines(path):
    """A killed process leaves at most one torn line per run: an intent never tried or an outcome never told."""
    torn = 0
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                yield json.loads(line)
            except ValueError:
                torn += 1
    if torn:
        print(f"{path}: {torn} torn line(s) ignored", file=sys.stderr)


def replay(paths):
    """All journals together, in the order in which the units began."""
    journal, units, outcomes = Journal(), [], {}
    for number, path in enumerate(paths):
        for line in read_lines(path):
            state = line["state"]
            if state == "intent":
                units.append((line["t_ns"], number, line))
            elif state in ("ack", "failed", "unknown"):
                outcomes[number, line["seq"]] = line
            elif state == "base":
                counter = journal.counter(line["table"], line["key"], line["column"])
                if counter.base is None or line["t_ns"] < counter.base_at:      # the first run's counts
                    counter.base, counter.base_at = line["value"], line["t_ns"]
    units.sort(key=lambda unit: unit[:2])
    for _, number, unit in units:
        outcome = outcomes.get((number, unit["seq"]))
        if outcome is None or outcome["state"] != "failed":
            journal.apply(unit, outcome)
    return journal
