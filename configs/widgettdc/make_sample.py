#!/usr/bin/python3
"""Make a SQLite database as the WidgeTDC system's application would have left it, of any size.

Awkward where the real store is: WAL mode with everything in the -wal, one column with dates in two spellings, numbers
as REAL, JSON as text, facts whose document is gone, counters (AUTOINCREMENT) ahead of the newest row. The same
arguments always give the same rows. Everybody in here is invented.
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "common"))
from sample import FIRST, LAST, PHRASES, START, insert, iso_ms_z, main, sqlite_date, text_json  # noqa: E402

SCHEMA = """
CREATE TABLE memory_entities (
    id INTEGER PRIMARY KEY AUTOINCREMENT, org_id TEXT NOT NULL, user_id TEXT, entity_type TEXT NOT NULL,
    content TEXT NOT NULL, importance INTEGER NOT NULL DEFAULT 3, metadata TEXT,
    created_at DATETIME DEFAULT CURRENT_TIMESTAMP, updated_at DATETIME);
CREATE TABLE memory_relations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, org_id TEXT NOT NULL,
    source_id INTEGER NOT NULL REFERENCES memory_entities(id) ON DELETE CASCADE, target_id INTEGER NOT NULL,
    relation_type TEXT NOT NULL, strength REAL NOT NULL DEFAULT 1.0, created_at DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE memory_tags (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    entity_id INTEGER NOT NULL REFERENCES memory_entities(id) ON DELETE CASCADE, tag TEXT NOT NULL);
CREATE TABLE raw_documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT, org_id TEXT NOT NULL, source_type TEXT NOT NULL, source_path TEXT,
    content TEXT NOT NULL, created_at DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE structured_facts (
    id INTEGER PRIMARY KEY AUTOINCREMENT, org_id TEXT NOT NULL,
    doc_id INTEGER REFERENCES raw_documents(id) ON DELETE SET NULL, fact_type TEXT NOT NULL,
    json_payload TEXT NOT NULL, occurred_at DATETIME, created_at DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE decisions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, org_id TEXT NOT NULL, title TEXT NOT NULL, description TEXT,
    made_at DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE evolution_kpis (
    id INTEGER PRIMARY KEY AUTOINCREMENT, decision_id INTEGER NOT NULL REFERENCES decisions(id) ON DELETE CASCADE,
    kpi_name TEXT NOT NULL, expected_value REAL NOT NULL, actual_value REAL, kpi_delta REAL,
    measured_at DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE pal_focus_windows (
    id INTEGER PRIMARY KEY AUTOINCREMENT, user_id TEXT NOT NULL, org_id TEXT NOT NULL, weekday INTEGER NOT NULL,
    start_hour INTEGER NOT NULL, end_hour INTEGER NOT NULL, start_time DATETIME, end_time DATETIME,
    priority TEXT NOT NULL DEFAULT 'normal', updated_at DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE pal_stress_levels (
    id INTEGER PRIMARY KEY AUTOINCREMENT, user_id TEXT NOT NULL, level INTEGER NOT NULL,
    measured_at DATETIME DEFAULT CURRENT_TIMESTAMP);
CREATE INDEX idx_memory_org ON memory_entities(org_id);
CREATE INDEX idx_tags_entity ON memory_tags(entity_id);
CREATE INDEX idx_relations_source ON memory_relations(source_id);
CREATE INDEX idx_facts_doc ON structured_facts(doc_id);
CREATE INDEX idx_kpis_decision ON evolution_kpis(decision_id);
"""

ORPHANS = 0.015                # facts whose document is gone
ORGS = ["org-alpha", "org-beta", "tdc-internal"]
TYPES = ["note", "meeting", "insight", "DecisionContext", "mål"]
TAGS = ["urgent", "q3", "customer", "håndbog", "a, b", "100%", "follow-up", "🔥"]
RELATIONS = ["relates_to", "caused_by", "supersedes"]
SOURCES = ["email", "file", "api"]


def make_entities(rng, count):
    """Entities, a third of them updated once; the importance of most is the default."""
    for n in range(count):
        draw, second = rng.random(), START + n * 41
        metadata = {"source": rng.choice(SOURCES), "score": round(draw, 3), "tags": [], "lang": None}
        updated = None if draw < 0.6 else iso_ms_z(second + 900, int(draw * 1000)) if draw < 0.9 else sqlite_date(second + 900)
        yield (n + 1, ORGS[n % 3], f"{rng.choice(FIRST)}@{rng.choice(LAST)}.example" if draw > 0.1 else None,
               TYPES[n % len(TYPES)], f"{rng.choice(PHRASES)}; {rng.choice(PHRASES)} #{n}", 3 if draw < 0.7 else n % 10,
               text_json(metadata) if draw > 0.05 else None, sqlite_date(second), updated)


def make_relations(rng, count):
    """Edges. A few targets name an entity that is gone: nothing ever checked them."""
    for n in range(count * 8 // 10):
        draw = rng.random()
        target = rng.randrange(count) + 1 if draw > 0.01 else count + 1000 + n
        yield (ORGS[n % 3], rng.randrange(count) + 1, target, rng.choice(RELATIONS), round(draw, 2) if draw < 0.8 else 1.0,
               sqlite_date(START + n * 50))


def make_tags(rng, count):
    """None to three for each entity."""
    for n in range(count):
        for tag in rng.sample(TAGS, n % 4):
            yield n + 1, tag


def make_documents(rng, count):
    """Texts of some length, now and then of a length that PostgreSQL stores out of line."""
    for n in range(count):
        words = [rng.choice(PHRASES) for _ in range(400 if n % 37 == 0 else 6)]
        yield (n + 1, ORGS[n % 3], SOURCES[n % 3], f"/inbox/{rng.choice(LAST)}/{n}.eml" if n % 5 else None,
               f"{n}: " + "\n".join(words), sqlite_date(START + n * 300))


def make_facts(rng, count, documents):
    """Facts with the date only, with the time too, or without; `documents` and more documents than are left."""
    for n in range(count):
        draw, second = rng.random(), START + n * 97
        gone = draw < ORPHANS or n == 0
        document = documents + 1 + n % 9 if gone else rng.randrange(documents) + 1 if draw < 0.9 else None
        occurred = (iso_ms_z(second, int(draw * 1000)) if n % 3 == 0 else sqlite_date(second)[:10] if n % 3 == 1 else None)
        payload = f'{{"amount":{rng.randrange(9000)}.{n % 100:02d},"currency":"DKK","confidence":{draw:.4f},"by":null}}'
        yield ORGS[n % 3], document, f"fact.{n % 7}", payload, occurred, sqlite_date(second)


def make_kpis(rng, decisions):
    """Two decimals for what people expect, every double there is for what was computed."""
    for n in range(decisions * 3):
        expected = rng.randrange(1_000_000) / 100
        actual = rng.randrange(1_000_000) / 100 if n % 3 else None
        yield (n // 3 + 1, f"kpi {n % 11}", expected, actual, None if actual is None else (actual - expected) / 3,
               sqlite_date(START + n * 700))


def make_windows(rng, count):
    """Rows of both spellings in one column."""
    for n in range(count):
        start, second = n % 20, START + n * 3600
        yield (f"{rng.choice(FIRST)}_{n}", ORGS[n % 3], n % 7, start, start + 1 + n % 4,
               iso_ms_z(second, 0) if n % 4 else None, iso_ms_z(second + 5400, 500) if n % 4 else None,
               ("low", "normal", "høj")[n % 3], iso_ms_z(second, n % 1000) if n % 2 else sqlite_date(second))


def fill(db, rng, count):
    """All tables in one transaction; random numbers are drawn in this fixed order."""
    documents, decisions = max(20, count // 10), max(5, count // 50)
    insert(db, "memory_entities", "id,org_id,user_id,entity_type,content,importance,metadata,created_at,updated_at",
           make_entities(rng, count))
    insert(db, "memory_relations", "org_id,source_id,target_id,relation_type,strength,created_at",
           make_relations(rng, count))
    insert(db, "memory_tags", "entity_id,tag", make_tags(rng, count))
    insert(db, "raw_documents", "id,org_id,source_type,source_path,content,created_at", make_documents(rng, documents + 9))
    db.execute("DELETE FROM raw_documents WHERE id > ?", (documents,))      # their facts stay, and the counter
    insert(db, "structured_facts", "org_id,doc_id,fact_type,json_payload,occurred_at,created_at",
           make_facts(rng, count // 2, documents))
    insert(db, "decisions", "org_id,title,description,made_at",
           ((ORGS[n % 3], f"decide {n}: {rng.choice(PHRASES)}", rng.choice(PHRASES) if n % 2 else None,
             sqlite_date(START + n * 5000)) for n in range(decisions)))
    insert(db, "evolution_kpis", "decision_id,kpi_name,expected_value,actual_value,kpi_delta,measured_at",
           make_kpis(rng, decisions))
    insert(db, "pal_focus_windows",
           "user_id,org_id,weekday,start_hour,end_hour,start_time,end_time,priority,updated_at",
           make_windows(rng, max(40, count // 20)))
    insert(db, "pal_stress_levels", "user_id,level,measured_at",
           ((f"{rng.choice(FIRST)}_{n % 50}", n % 10 + 1, sqlite_date(START + n * 600)) for n in range(count // 5)))


if __name__ == "__main__":
    main("WidgeTDC", SCHEMA, fill, "wal", "memory entities")
