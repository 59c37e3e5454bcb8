#!/usr/bin/python3
"""The checker is only worth something if it fails: each kind of damage is planted once and must be named.

The damage is done to the stores after some hundred writes of the real application, copied to PostgreSQL by the few lines of
loader below, which know nothing of the bridge. Run: /usr/bin/python3 -m unittest tests/life/test_checker.py
"""
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest
from datetime import datetime, timezone

import psycopg2
from psycopg2.extras import execute_values

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from cluster import ThrowAwayCluster  # noqa: E402  (the folder is no package)

sys.path.insert(0, os.path.join(HERE, "..", "..", "configs", "common"))
from client_parts import Journal  # noqa: E402

CONFIG = os.path.join(HERE, "..", "..", "configs", "twitter")
PYTHON = "/usr/bin/python3"
PARENTS_FIRST = ["users", "tweets", "personality_analysis", "funnel_progress", "funnel_completion",
                 "referral_codes", "referral_tracking", "referral_usage_log"]
SPELLINGS = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S.%fZ", "%a %b %d %H:%M:%S +0000 %Y"]


def run(program, *args):
    """A program of configs/twitter, to its end."""
    return subprocess.run([PYTHON, os.path.join(CONFIG, program), *map(str, args)], capture_output=True, text=True,
                          check=False)


def as_postgres(column, value):
    """The test's own reading of a SQLite value."""
    if value is None:
        return None
    if column == "is_reply":
        return bool(value)
    if column.endswith(("_at", "_in_db", "_updated", "_scraped")):
        for spelling in SPELLINGS:
            try:
                return datetime.strptime(value, spelling).replace(tzinfo=timezone.utc)
            except ValueError:
                pass
        raise ValueError(value)
    return value


def copy_to_postgres(sqlite_path, url):
    """All rows, and the sequences, as a load would leave them."""
    db, pg = sqlite3.connect(sqlite_path), psycopg2.connect(url)
    with pg, pg.cursor() as cursor:
        cursor.execute("ALTER TABLE tweets DROP CONSTRAINT IF EXISTS tweets_user_id_fkey")
        for table in PARENTS_FIRST:
            rows = db.execute(f"SELECT * FROM {table}")
            names = [d[0] for d in rows.description]
            execute_values(cursor, f"INSERT INTO {table} ({','.join(names)}) VALUES %s",
                           [[as_postgres(n, v) for n, v in zip(names, row)] for row in rows])
        for table in ("referral_tracking", "referral_usage_log"):
            cursor.execute(f"SELECT setval('{table}_id_seq', (SELECT max(id) + 1 FROM {table}))")
    pg.close()
    db.close()


def copy_to_sqlite(url, sqlite_path):
    """The way back, without any care for spellings."""
    db, pg = sqlite3.connect(sqlite_path), psycopg2.connect(url)
    with pg, pg.cursor() as cursor, db:
        for table in PARENTS_FIRST:
            cursor.execute(f"SELECT * FROM {table}")
            names = [d[0] for d in cursor.description]
            db.execute(f"DELETE FROM {table}")
            db.executemany(f"INSERT INTO {table} ({','.join(names)}) VALUES ({','.join('?' * len(names))})",
                           [[as_sqlite(v) for v in row] for row in cursor])
    pg.close()
    db.close()


def as_sqlite(value):
    """JSON text and dates; a bool is an int already."""
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M:%S.%f")
    return json.dumps(value) if isinstance(value, (dict, list)) else value


def start_application(sqlite_path, url, primary, journal, rate):
    """The application, running."""
    return subprocess.Popen([PYTHON, os.path.join(CONFIG, "application.py"), "--old", sqlite_path, "--postgres",
                             url, "--primary", primary, "--journal", journal, "--rate", str(rate), "--synchronous",
                             "NORMAL"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for_acks(journal, count, process):
    """Until that many acknowledged writes are on disk; a deadline, not a guess."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if os.path.exists(journal):
            with open(journal, encoding="utf-8") as file:
                if sum('"ack"' in line for line in file) >= count:
                    return
        time.sleep(0.02)
    raise AssertionError(f"no {count} acknowledged writes: {process.communicate()}")


def stop(process):
    """SIGTERM and the summary."""
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    return json.loads(out)


class CheckerTest(unittest.TestCase):
    """One store after some hundred writes; every test damages a copy of it."""

    @classmethod
    def setUpClass(cls):
        cls.enterClassContext(cluster := ThrowAwayCluster())
        cls.cluster = cluster
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.before, cls.after, cls.journal = (os.path.join(cls.folder, n) for n in ("before.db", "after.db", "j"))
        made = run("make_sample.py", "--out", cls.before, "--rows", 400, "--seed", 5)
        assert made.returncode == 0, made.stderr
        shutil.copy(cls.before, cls.after)
        cls.make_database("loaded", "template1")
        process = start_application(cls.after, cls.cluster.database_url("loaded"), "missing", cls.journal, 500)
        wait_for_acks(cls.journal, 400, process)
        cls.summary = stop(process)
        copy_to_postgres(cls.after, cls.cluster.database_url("loaded"))

    @classmethod
    def make_database(cls, name, template):
        """A database with the schema, or a copy of one."""
        pg = psycopg2.connect(cls.cluster.url)
        pg.autocommit = True
        with pg.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        pg.close()
        if template == "template1":
            subprocess.run(["psql", "-qX", "-v", "ON_ERROR_STOP=1", "-f", os.path.join(CONFIG, "schema.sql"),
                            cls.cluster.database_url(name)], check=True, capture_output=True)

    def setUp(self):
        self.name = self.id().rsplit(".", 1)[-1].lower()
        self.make_database(self.name, "loaded")
        self.url = self.cluster.database_url(self.name)
        self.sqlite = os.path.join(self.folder, self.name + ".db")
        shutil.copy(self.after, self.sqlite)

    def damage(self, sqlite="", postgres=""):
        """Change either store behind everybody's back; exactly one row each."""
        if sqlite:
            db = sqlite3.connect(self.sqlite)
            self.assertEqual(db.execute(sqlite).rowcount, 1)
            db.commit()
            db.close()
        if postgres:
            pg = psycopg2.connect(self.url)
            with pg, pg.cursor() as cursor:
                cursor.execute(postgres)
                self.assertEqual(cursor.rowcount, 1)
            pg.close()

    def check(self, *more, journals=()):
        """(exit code, problem lines, last line)."""
        done = run("checker.py", "--old", self.sqlite, "--postgres", self.url,
                   "--journal", *(journals or [self.journal]), *more)
        lines = done.stdout.splitlines()
        self.assertTrue(lines, done.stderr)
        return done.returncode, lines[:-1], lines[-1]

    def assert_found(self, word, place, *more):
        """The checker must fail, and its only line must say this word of this place."""
        code, lines, last = self.check(*more)
        self.assertEqual((code, len(lines)), (1, 1), "\n".join(lines))
        self.assertTrue(lines[0].startswith(f"{word} {place}"), lines[0])
        self.assertTrue(last.endswith(" 1 lost"), last)

    def written(self, do, table):
        """The last acknowledged write of that kind whose key nothing touched later."""
        with open(self.journal, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        writes = [w for line in lines if line["state"] == "intent" for w in line["writes"] if w["table"] == table]
        later = {w["key"]: w for w in writes}
        return next(w for w in reversed(writes) if w["do"] == do and later[w["key"]] is w)

    def test_undamaged(self):
        code, lines, last = self.check("--original", self.before)
        self.assertEqual((code, lines), (0, []))
        self.assertRegex(last, rf"^checked 8 tables, \d+ rows, {self.summary['acked']} writes, 0 lost$")
        self.assertGreater(self.summary["acked"], 300)
        self.assertEqual(self.check()[0], 0, "and without the copy from before")

    def test_lost_on_one_side(self):
        key = self.written("put", "tweets")["key"]
        self.damage(postgres=f"DELETE FROM tweets WHERE id = '{key}'")
        self.assert_found("lost", f"tweets {key}", "--original", self.before)

    def test_lost_on_both_sides(self):
        key = self.written("put", "funnel_completion")["key"]
        delete = f"DELETE FROM funnel_completion WHERE user_id = '{key}'"
        self.damage(delete, delete)
        self.assert_found("lost", f"funnel_completion {key}")

    def test_lost_untouched_row(self):
        delete = "DELETE FROM personality_analysis WHERE id = 'analysis_3'"
        self.damage(delete, delete)
        self.assert_found("lost", "personality_analysis analysis_3", "--original", self.before)

    def test_lost_increment(self):
        code = self.written("add", "referral_codes")["key"]
        update = f"UPDATE referral_codes SET usage_count = usage_count - 1 WHERE code = '{code}'"
        self.damage(update, update)
        code_, lines, _ = self.check("--original", self.before)
        self.assertEqual(code_, 1)
        self.assertTrue(any(line.startswith(f"lost referral_codes {code} usage_count") for line in lines), lines)

    def test_doubled_row(self):
        insert = ("INSERT INTO referral_usage_log (id, referral_code, used_by_user_id, used_at) "
                  "SELECT 900000, referral_code, used_by_user_id, used_at FROM referral_usage_log ORDER BY id LIMIT 1")
        self.damage(insert, insert)
        self.assert_found("doubled", "referral_usage_log 900000", "--original", self.before)

    def test_doubled_on_one_side(self):
        self.damage(postgres="INSERT INTO funnel_completion (user_id) VALUES ('nobody')")
        self.assert_found("doubled", "funnel_completion nobody")

    def test_doubled_increment(self):
        code = self.written("add", "referral_codes")["key"]
        update = f"UPDATE referral_codes SET usage_count = usage_count + 1 WHERE code = '{code}'"
        self.damage(update, update)
        code_, lines, _ = self.check()
        self.assertEqual(code_, 1)
        self.assertTrue(any(line.startswith(f"doubled referral_codes {code} usage_count") for line in lines), lines)

    def test_stale_on_one_side(self):
        key = self.written("update", "users")["key"]
        self.damage(postgres=f"UPDATE users SET profile_data = '{{\"bio\": \"seq 1\"}}' WHERE id = '{key}'")
        self.assert_found("stale", f"users {key} profile_data")

    def test_stale_on_both_sides(self):
        key = self.written("update", "funnel_progress")["key"]
        update = f"UPDATE funnel_progress SET current_command_index = 1 WHERE user_id = '{key}'"
        self.damage(update, update)
        self.assert_found("stale", f"funnel_progress {key} current_command_index", "--original", self.before)

    def test_resurrected(self):
        key = self.written("delete", "tweets")["key"]
        insert = (f"INSERT INTO tweets (id, user_id, text, created_at, created_in_db) VALUES ('{key}', 'x', 'y', "
                  "'2024-01-01 00:00:00', '2024-01-01 00:00:00')")
        self.damage(insert, insert.replace("00:00'", "00:00Z'"))
        self.assert_found("resurrected", f"tweets {key}")

    def test_differing_cells(self):
        for n, (column, value) in enumerate((("is_reply", "NOT coalesce(is_reply, false)"), ("text", "text || ' '"),
                                             ("created_at", "created_at + interval '1 microsecond'"),
                                             ("metadata", "'{\"metrics\": true}'"), ("url", "coalesce(url, '') || '/'"))):
            row = "(SELECT id FROM tweets WHERE user_id LIKE 'gone%' ORDER BY id LIMIT 1 OFFSET 1)"
            self.damage(postgres=f"UPDATE tweets SET {column} = {value} WHERE id = {row}")
            _, lines, last = self.check()
            self.assertTrue(last.endswith(f" {n + 1} lost"), last)
            self.assertTrue(any(x.startswith("differs tweets ") and f" {column} " in x for x in lines), lines)

    def test_json_compares_by_meaning(self):
        self.damage("UPDATE tweets SET metadata = '{\"b\":1e2,\"a\":1, \"a\" : [1.50]}' WHERE rowid = 1",
                    "UPDATE tweets SET metadata = '{\"a\":[1.5],\"b\":100}' WHERE id = "
                    "(SELECT min(id) FROM tweets)")
        self.assertEqual(self.check()[0], 0)

    def test_changed_typeof(self):
        self.damage("UPDATE referral_codes SET usage_count = 'x' || usage_count WHERE code = 'REF-00009'")
        self.assert_found("differs", "referral_codes REF-00009 usage_count", "--original", self.before)

    def test_changed_spelling(self):
        self.damage("UPDATE users SET created_at = replace(created_at, ' ', 'T') || '.000Z' WHERE id LIKE '%0' "
                    "AND rowid = (SELECT min(rowid) FROM users WHERE id LIKE '%0')")
        self.assertEqual(self.check()[0], 0, "the same moment")
        code, lines, _ = self.check("--original", self.before)
        self.assertEqual((code, len(lines)), (1, 1))
        self.assertRegex(lines[0], "^differs users .* created_at ")

    def test_application_follows_the_primary(self):
        """A cutover played by hand: fence, copy, tell; the journal of both sides must hold."""
        self.make_database("follow", "template1")
        url, journal = self.cluster.database_url("follow"), os.path.join(self.folder, "follow.j")
        primary = os.path.join(self.folder, "primary")
        process = start_application(self.sqlite, url, primary, journal, 300)
        wait_for_acks(journal, 100, process)
        db = sqlite3.connect(self.sqlite, isolation_level=None)
        db.execute("BEGIN IMMEDIATE")
        for n, table in enumerate(PARENTS_FIRST):
            for verb in ("INSERT", "UPDATE", "DELETE"):
                db.execute(f"CREATE TRIGGER fence_{n}_{verb} BEFORE {verb} ON {table} BEGIN "
                           "SELECT RAISE(ABORT, 'switchback: postgres is primary'); END")
        db.execute("COMMIT")
        copy_to_postgres(self.sqlite, url)
        with open(primary + ".new", "w", encoding="utf-8") as file:
            file.write('{"epoch":1,"state":"settled","groups":{"all":"postgres"}}\n')
        os.rename(primary + ".new", primary)
        wait_for_acks(journal, 500, process)
        summary = stop(process)
        self.assertEqual((summary["failed"], summary["unknown"], len(summary["switches"])), (0, 0, 1), summary)
        self.assertEqual(list(summary["errors"]), ["old"])
        self.assertGreater(summary["errors"]["old"]["refused"], 0)
        for n, _ in enumerate(PARENTS_FIRST):
            for verb in ("INSERT", "UPDATE", "DELETE"):
                db.execute(f"DROP TRIGGER fence_{n}_{verb}")
        db.close()
        copy_to_sqlite(url, self.sqlite)
        self.url = url
        code, lines, last = self.check(journals=[journal, self.journal])
        self.assertEqual((code, lines), (0, []), last)

    def test_killed_application(self):
        """SIGKILL leaves a unit in doubt; neither outcome may be called a loss."""
        journal = os.path.join(self.folder, "killed.j")
        shutil.copy(self.journal, journal)
        process = start_application(self.sqlite, self.url, "missing", journal, 0)
        wait_for_acks(journal, self.summary["acked"] + 200, process)
        process.kill()
        process.communicate()
        again = start_application(self.sqlite, self.url, "missing", journal, 400)
        wait_for_acks(journal, self.summary["acked"] + 400, again)
        stop(again)
        self.make_database("killed", "template1")
        self.url = self.cluster.database_url("killed")
        copy_to_postgres(self.sqlite, self.url)
        code, lines, last = self.check("--original", self.before, journals=[journal])
        self.assertEqual((code, lines), (0, []), last)


class JournalTest(unittest.TestCase):
    def test_a_line_that_a_killed_run_tore_stops_no_later_run(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "journal.jsonl")
            with open(path, "w", encoding="utf-8") as file:
                file.write('{"seq": 1, "state": "intent"}\n{"seq": 2, "state": "intent", "op": "an')
            for number, last in ((1, 1), (2, 1), (3, 2)):
                journal = Journal(path)
                self.assertEqual(journal.start(), last, f"run {number}")
                if number == 2:
                    journal.intent(2, "again", [])
                journal.close()


if __name__ == "__main__":
    unittest.main()
