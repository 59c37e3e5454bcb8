#!/usr/bin/python3
"""The WidgeTDC system's application: what it writes, and how it spells it in SQLite.

Every key is made by the database. Foreign keys are on, so deleting an entity, a document or a decision changes other
tables too; the journal names what that will be (by="database"). One such process writes at a time.
"""
import json
import os
import sys
from datetime import datetime, timezone
from decimal import Decimal

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "common"))
from client import System, main  # noqa: E402  (the shared folder is found beside this one)
from client_postgres import PostgresStore  # noqa: E402
from client_sqlite import SqliteStore, add_options  # noqa: E402
from client_units import Made, resolved, write  # noqa: E402

TABLES = ["memory_entities", "memory_relations", "memory_tags", "raw_documents", "structured_facts", "decisions",
          "evolution_kpis", "pal_focus_windows", "pal_stress_levels"]
KEYS = dict.fromkeys(TABLES, "id")
# Columns that the plan for PostgreSQL renamed. The journal has the new names.
OLD_NAMES = {("memory_entities", "text"): "content", ("raw_documents", "source"): "source_path",
             ("raw_documents", "ingested_at"): "created_at"}
DEFAULTED = {"pal_focus_windows": "updated_at"}      # half of its REPLACEs leave it to the database
# Parent: (child, its column, what a foreign key's action does to it).
CHILDREN = {"memory_entities": [("memory_tags", "entity_id", "delete"), ("memory_relations", "source_id", "delete")],
            "raw_documents": [("structured_facts", "doc_id", "update")],
            "decisions": [("evolution_kpis", "decision_id", "delete")]}
PARENT = {child: (parent, column) for parent, children in CHILDREN.items() for child, column, _ in children}
JS_DATES = {"updated_at", "start_time", "end_time"}
MOST_KNOWN = 400                # rows of a parent table that are kept in mind


class Work:
    """Makes units of work. Knows rows that belong to this process, parents with all their children; learns."""

    def __init__(self, rng, found):
        self.rng, self.hot = rng, [key for _, key, _ in found["counters"]]
        self.known = found["known"]         # parent table: {key: {child table: {keys}}}
        self.windows, self.loose_facts = found["windows"], []
        units = [(22, self.ingest), (10, self.remember), (12, self.recall), (8, self.relate), (6, self.weigh),
                 (5, self.tag), (4, self.untag), (6, self.forget), (6, self.document), (5, self.fact),
                 (5, self.fact_edit), (3, self.document_gone), (4, self.decide), (6, self.measure), (2, self.undecide),
                 (7, self.focus), (6, self.stress)]
        self.weights, self.makers = zip(*units)

    def next(self, seq):
        """(op, writes) of the next unit. Values are Python's own types; the stores spell them."""
        maker = self.rng.choices(self.makers, self.weights)[0]
        return maker.__name__, maker(seq, datetime.now(timezone.utc).replace(microsecond=0))

    def learn(self, _op, writes, outcome, made):
        """Own what certainly exists. After an unknown outcome leave the rows of the unit, and the parents whose
        children nobody can be sure of, alone for ever; what a failed unit gave up stays given up."""
        for n, item in enumerate(writes):
            table = item["table"]
            if outcome == "ack" and item["do"] == "append":
                self._born(table, made[str(n)], resolved(item["values"], made))
            elif outcome == "unknown":
                self._doubt(table, item)

    def _born(self, table, key, values):
        if table in CHILDREN:
            known = self.known[table]
            known[key] = {child: set() for child, _, _ in CHILDREN[table]}
            if len(known) > MOST_KNOWN:
                del known[self.rng.choice(list(known))]
        elif table in PARENT:
            parent, column = PARENT[table]
            if values[column] in self.known[parent]:
                self.known[parent][values[column]][table].add(key)
            elif values[column] is None:
                self.loose_facts = self.loose_facts[-99:] + [key]
        elif table == "pal_focus_windows":
            self.windows = self.windows[-99:] + [key]

    def _doubt(self, table, item):
        if table in CHILDREN:
            self.known[table].pop(item["key"], None)
        elif table in PARENT:
            parent, column = PARENT[table]
            self.known[parent].pop(item.get("values", {}).get(column), None)
            for children in self.known[parent].values():
                children[table].discard(item["key"])
            if item["key"] in self.loose_facts:
                self.loose_facts.remove(item["key"])
        elif table == "pal_focus_windows" and item["key"] in self.windows:
            self.windows.remove(item["key"])

    def _parent(self, table):
        """Some parent that is known, or None."""
        return self.rng.choice(list(self.known[table])) if self.known[table] else None

    def _child(self, table):
        """(its parent, some child that is known), or None."""
        parent, _ = PARENT[table]
        for _ in range(20):
            key = self._parent(parent)
            if key is not None and self.known[parent][key][table]:
                return key, self.rng.choice(sorted(self.known[parent][key][table]))
        return None

    def _end(self, table, seq, now):
        """Deletes a parent; the children follow by themselves."""
        key = self._parent(table)
        if key is None:
            return self.stress(seq, now)
        children = self.known[table].pop(key)
        writes = [write("delete", table, key)]
        for child, column, action in CHILDREN[table]:
            more = {"values": {column: None}} if action == "update" else {}
            writes += [write(action, child, n, by="database", **more) for n in sorted(children[child])]
            if action == "update":
                self.loose_facts = (self.loose_facts + sorted(children[child]))[-100:]
        return writes

    def _metadata(self, seq):
        return {"source": "live", "seq": seq, "ratio": seq / 8, "tags": ["a", None], "æ": {"deep": [True, 1e-7]}}

    def ingest(self, seq, now):
        """An entity, its tags and perhaps a relation in one transaction: they need the key just made."""
        writes = [write("append", "memory_entities", None,
                        values={"org_id": "org-live", "user_id": f"user{seq % 9}" if seq % 4 else None,
                                "entity_type": "note", "text": f"seq {seq}: it's \"live\" 🚀\n\tC:\\new",
                                "metadata": self._metadata(seq) if seq % 5 else None, "created_at": now})]
        for n in range(seq % 4):
            writes.append(write("append", "memory_tags", None, values={"entity_id": Made(0), "tag": f"tag {n}"}))
        if seq % 2:
            writes.append(self._relation(seq, Made(0), now))
        return writes

    def _relation(self, seq, source, now):
        return write("append", "memory_relations", None,
                     values={"org_id": "org-live", "source_id": source, "target_id": seq, "relation_type": "relates_to",
                             "strength": Decimal(seq % 101) / 100, "created_at": now})

    def remember(self, seq, now):
        """A narrow update: everything else in the row must stay as it was, spelling included."""
        key = self._parent("memory_entities")
        if key is None:
            return self.ingest(seq, now)
        return [write("update", "memory_entities", key,
                      values={"text": f"again {seq}", "metadata": self._metadata(seq), "updated_at": now})]

    def recall(self, seq, now):
        """Read-modify-write on very few rows."""
        if not self.hot:
            return self.stress(seq, now)
        return [write("add", "memory_entities", self.rng.choice(self.hot), column="importance", delta=1)]

    def relate(self, seq, now):
        """An edge between two that exist, or did."""
        key = self._parent("memory_entities")
        return self.ingest(seq, now) if key is None else [self._relation(seq, key, now)]

    def weigh(self, seq, now):
        """REAL there, NUMERIC(3,2) here."""
        found = self._child("memory_relations")
        if found is None:
            return self.relate(seq, now)
        return [write("update", "memory_relations", found[1], values={"strength": Decimal(seq % 100) / 100})]

    def tag(self, seq, now):
        """A table without a date."""
        key = self._parent("memory_entities")
        if key is None:
            return self.ingest(seq, now)
        return [write("append", "memory_tags", None, values={"entity_id": key, "tag": f"seq {seq}, \"ø\""})]

    def untag(self, seq, now):
        """Deleted keys are given up here, so that nothing of ours ever brings one back."""
        found = self._child("memory_tags")
        if found is None:
            return self.tag(seq, now)
        self.known["memory_entities"][found[0]]["memory_tags"].discard(found[1])
        return [write("delete", "memory_tags", found[1])]

    def forget(self, seq, now):
        """ON DELETE CASCADE, twice."""
        return self._end("memory_entities", seq, now)

    def document(self, seq, now):
        """A document and what was read in it; one in five is long enough to be stored out of line."""
        return [write("append", "raw_documents", None,
                      values={"org_id": "org-live", "source_type": "email", "source": f"/inbox/{seq}" if seq % 3 else None,
                              "content": f"seq {seq} " * (4000 if seq % 5 == 0 else 5), "ingested_at": now}),
                self._fact(seq, Made(0), now)]

    def _fact(self, seq, document, now):
        occurred = (now, now.replace(hour=0, minute=0, second=0), None)[seq % 3]
        return write("append", "structured_facts", None,
                     values={"org_id": "org-live", "doc_id": document, "fact_type": f"fact.{seq % 7}",
                             "json_payload": {"seq": seq, "amount": seq / 100, "by": None}, "occurred_at": occurred})

    def fact(self, seq, now):
        """With a document or without; created_at is left to the database."""
        return [self._fact(seq, self._parent("raw_documents") if seq % 3 else None, now)]

    def fact_edit(self, seq, now):
        """A narrow update beside a foreign key."""
        found = self._child("structured_facts")
        key = found[1] if found else self.rng.choice(self.loose_facts) if self.loose_facts else None
        if key is None:
            return self.fact(seq, now)
        return [write("update", "structured_facts", key, values={"json_payload": {"seq": seq, "edited": [1.5, {}]}})]

    def document_gone(self, seq, now):
        """ON DELETE SET NULL."""
        return self._end("raw_documents", seq, now)

    def decide(self, seq, now):
        """A decision and what is expected of it."""
        kpis = [write("append", "evolution_kpis", None,
                      values={"decision_id": Made(0), "kpi_name": f"kpi {n}", "expected_value": Decimal(seq * 7 + n) / 100,
                              "measured_at": now}) for n in range(1 + seq % 3)]
        return [write("append", "decisions", None,
                      values={"org_id": "org-live", "title": f"decide {seq}", "description": None, "made_at": now}), *kpis]

    def measure(self, seq, now):
        """Two decimals, and a double as it was computed."""
        found = self._child("evolution_kpis")
        if found is None:
            return self.decide(seq, now)
        delta = (self.rng.random() - 0.5) * 10.0 ** self.rng.randrange(-9, 9) if seq % 7 else float(seq)
        return [write("update", "evolution_kpis", found[1],
                      values={"actual_value": Decimal(seq * 13 % 100_000_000) / 100, "kpi_delta": delta,
                              "measured_at": now})]

    def undecide(self, seq, now):
        """ON DELETE CASCADE."""
        return self._end("decisions", seq, now)

    def focus(self, seq, now):
        """REPLACE of a row; updated_at is the application's own or the database's, which spell it differently."""
        values = {"user_id": f"user{seq % 9}", "org_id": "org-live", "weekday": seq % 7, "start_hour": seq % 20,
                  "end_hour": seq % 20 + 2, "start_time": now, "end_time": None, "priority": "høj"}
        if seq % 2:
            values["updated_at"] = now
        if not self.windows or seq % 5 == 0:
            return [write("append", "pal_focus_windows", None, values=values)]
        return [write("put", "pal_focus_windows", self.rng.choice(self.windows), values=values)]

    def stress(self, seq, now):
        """The simplest of all."""
        return [write("append", "pal_stress_levels", None,
                      values={"user_id": f"user{seq % 9}", "level": seq % 10 + 1, "measured_at": now})]


def spell(_table, column, value):
    """Text for JSON and dates, REAL for decimals. JavaScript's own dates are ISO; when something happened is a date
    alone if that is all anybody knows."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if not isinstance(value, datetime):
        return value
    if column == "occurred_at":
        return value.strftime("%Y-%m-%dT%H:%M:%S.000Z" if value.hour or value.minute or value.second else "%Y-%m-%d")
    return value.strftime("%Y-%m-%dT%H:%M:%S.000Z" if column in JS_DATES else "%Y-%m-%d %H:%M:%S")


def find(fetch, rng):
    """Existing rows to work on, by the same statements on both sides; parents with all of their children."""
    hot = fetch("SELECT id, importance FROM memory_entities ORDER BY id LIMIT 8")
    known = {}
    for parent, children in CHILDREN.items():
        ids = [row[0] for row in fetch(f"SELECT id FROM {parent} ORDER BY id")]
        ids = sorted(set(ids) - {row[0] for row in hot}) if parent == "memory_entities" else ids
        known[parent] = {key: {child: {row[0] for row in fetch(f"SELECT id FROM {child} WHERE {column} = ?", key)}
                               for child, column, _ in children} for key in rng.sample(ids, min(60, len(ids)))}
    return {"counters": {("memory_entities", key, "importance"): value for key, value in hot}, "known": known,
            "windows": [row[0] for row in fetch("SELECT id FROM pal_focus_windows ORDER BY id LIMIT 40")]}


if __name__ == "__main__":
    main(System("WidgeTDC", Work, find, lambda args: SqliteStore(args, KEYS, spell, True, OLD_NAMES),
                lambda args: PostgresStore(args, KEYS, "widgettdc-application", DEFAULTED), add_options))
