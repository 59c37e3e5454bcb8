#!/usr/bin/python3
"""The LLM Council's sample, application and checker without the bridge: the files look as the real application's, the
application writes to both sides and survives being killed in the middle of a write, and the checker names each kind
of damage, planted once. Run: /usr/bin/python3 -m unittest tests/life/test_llmcouncil_programs.py
"""
import filecmp
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import psycopg2
from psycopg2.extras import Json, execute_values

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from cluster import ThrowAwayCluster  # noqa: E402  (the folder is no package)

CONFIG = os.path.join(HERE, "..", "..", "configs", "llmcouncil")
PYTHON = "/usr/bin/python3"
MEMBERS = {"users": ["user_id", "email", "created_at", "profile_locked"],
           "subscriptions": ["user_id", "tier", "status", "stripe_customer_id", "stripe_subscription_id",
                             "current_period_end", "created_at", "updated_at"],
           "conversations": ["id", "user_id", "created_at", "title", "starred", "report_cycle", "has_follow_up",
                             "follow_up_answers", "is_visible", "expires_at"],
           "messages": ["role", "content", "stage1", "stage2", "stage3", "metadata"]}
DEFAULTS = {"profile_locked": False, "starred": False, "report_cycle": 0, "has_follow_up": False, "is_visible": True}


def run(program, *args):
    """A program of configs/llmcouncil, to its end."""
    return subprocess.run([PYTHON, os.path.join(CONFIG, program), *map(str, args)], capture_output=True, text=True,
                          check=False)


def documents(store, pattern):
    """Of all files that the pattern finds."""
    for path in sorted(glob.glob(os.path.join(store, pattern))):
        with open(path, encoding="ascii") as file:
            yield json.load(file)


def row(table, document):
    """The members that are columns."""
    values = [document.get(name, DEFAULTS.get(name)) for name in MEMBERS[table]]
    return [Json(value) if isinstance(value, (dict, list)) else value for value in values]


def copy_to_postgres(store, url):
    """All rows, as a load would leave them."""
    rows = {table: [] for table in MEMBERS}
    for document in documents(store, "profiles/*.json"):
        said = document.get("profile", document)
        rows["users"].append(row("users", document) + [said[name] for name in ("gender", "age_range", "mood")])
    for document in [*documents(store, "subscriptions/*.json"), *documents(store, "data/subscriptions/*.json")]:
        rows["subscriptions"].append(row("subscriptions", document))
    for document in documents(store, "conversations/*.json"):
        rows["conversations"].append(row("conversations", document))
        rows["messages"] += [row("messages", message) + [document["id"], place * 3 - 7]
                             for place, message in enumerate(document["messages"])]
    more = {"users": ["gender", "age_range", "mood"], "messages": ["conversation_id", "position"]}
    pg = psycopg2.connect(url)
    with pg, pg.cursor() as cursor:
        for child in ("subscriptions", "conversations"):
            cursor.execute(f"ALTER TABLE {child} DROP CONSTRAINT {child}_user_id_fkey")
        for table, values in rows.items():
            execute_values(cursor, f"INSERT INTO {table} ({','.join(MEMBERS[table] + more.get(table, []))}) VALUES %s",
                           values)
    pg.close()


def start_application(store, url, primary, journal, rate, *more):
    """The application, running."""
    return subprocess.Popen([PYTHON, os.path.join(CONFIG, "application.py"), "--old", store, "--postgres", url,
                             "--primary", primary, "--journal", journal, "--rate", str(rate), *map(str, more)],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


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


def fence(store, up):
    """All write bits off files and folders, or back."""
    for folder, _, files in os.walk(store):
        os.chmod(folder, 0o555 if up else 0o755)
        for name in files:
            if name != ".lock":
                os.chmod(os.path.join(folder, name), 0o444 if up else 0o644)


class SampleTest(unittest.TestCase):
    """What the maker makes."""

    @classmethod
    def setUpClass(cls):
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        for name, seed in (("a", 3), ("b", 3), ("c", 4)):
            made = run("make_sample.py", "--out", os.path.join(cls.folder, name), "--rows", 120, "--seed", seed)
            assert made.returncode == 0, made.stderr
        cls.store = os.path.join(cls.folder, "a")

    def test_the_same_seed_makes_the_same_bytes(self):
        def difference(other):
            compared = filecmp.dircmp(self.store, os.path.join(self.folder, other))
            subs = list(compared.subdirs.values()) + [s for d in compared.subdirs.values() for s in d.subdirs.values()]
            return [name for d in subs for name in d.left_only + d.right_only + d.diff_files]
        self.assertEqual(difference("b"), [])
        self.assertNotEqual(difference("c"), [])

    def test_an_existing_folder_is_left_alone(self):
        self.assertEqual(run("make_sample.py", "--out", self.store, "--rows", 1).returncode, 1)

    def test_files_are_written_as_json_dump_does(self):
        paths = glob.glob(os.path.join(self.store, "**", "*.json"), recursive=True)
        texts = []
        for path in paths:
            with open(path, encoding="ascii", newline="") as file:
                texts.append(file.read())
            self.assertEqual(texts[-1], json.dumps(json.loads(texts[-1]), indent=2))
        self.assertTrue(any("\\ud83d" in text for text in texts))
        self.assertEqual(len(glob.glob(os.path.join(self.store, "conversations", "*.json"))), 120)

    def test_it_is_as_awkward_as_the_real_store(self):
        talks = list(documents(self.store, "conversations/*.json"))
        self.assertTrue(all(re.fullmatch(r"[0-9a-f-]{36}", talk["id"]) and talk["id"][14] == "4" for talk in talks))
        for member in ("starred", "report_cycle", "is_visible"):
            self.assertEqual({member in talk for talk in talks}, {True, False}, member)
        self.assertEqual({type(talk.get("expires_at")) for talk in talks}, {str, type(None)})
        self.assertEqual({"." in talk["created_at"] for talk in talks}, {True, False})
        messages = [message for talk in talks for message in talk["messages"]]
        self.assertEqual({frozenset(message) for message in messages},
                         {frozenset(names) for names in (["role", "content"], ["role", "stage1", "stage2", "stage3"],
                                                         ["role", "stage1", "stage2", "stage3", "metadata"])})
        self.assertTrue(any(not talk["messages"] for talk in talks))
        profiles = list(documents(self.store, "profiles/*.json"))
        self.assertEqual({"profile" in profile for profile in profiles}, {True, False})
        self.assertTrue({talk["user_id"] for talk in talks} - {profile["user_id"] for profile in profiles})
        payers = list(documents(self.store, "subscriptions/*.json"))
        self.assertEqual({"stripe_customer_id" in payer for payer in payers}, {True, False})
        self.assertTrue(list(documents(self.store, "data/subscriptions/*.json")))


class ProgramsTest(unittest.TestCase):
    """One store after some hundred writes; every test works on a copy of it."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = cls.enterClassContext(ThrowAwayCluster())
        cls.folder = cls.enterClassContext(tempfile.TemporaryDirectory())
        cls.before, cls.after, cls.journal = (os.path.join(cls.folder, n) for n in ("before", "after", "j"))
        made = run("make_sample.py", "--out", cls.before, "--rows", 150, "--seed", 5)
        assert made.returncode == 0, made.stderr
        shutil.copytree(cls.before, cls.after)
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
        self.store = os.path.join(self.folder, self.name)
        shutil.copytree(self.after, self.store)

    def on_postgres(self, statement):
        """Behind everybody's back; exactly one row."""
        pg = psycopg2.connect(self.url)
        with pg, pg.cursor() as cursor:
            cursor.execute(statement)
            self.assertEqual(cursor.rowcount, 1, statement)
        pg.close()

    def edit(self, key, change, folder="conversations"):
        """Changes a document behind everybody's back."""
        path = os.path.join(self.store, folder, key + ".json")
        with open(path, encoding="utf-8") as file:
            document = json.load(file)
        change(document)
        with open(path, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)

    def check(self, *more, journals=()):
        """(exit code, problem lines, last line)."""
        done = run("checker.py", "--old", self.store, "--postgres", self.url,
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

    def written(self, do, table, op=None):
        """The last acknowledged write of that kind whose row nothing touched later, and no later unit its file."""
        with open(self.journal, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        units = [line for line in lines if line["state"] == "intent"]
        last = {w["key"].partition("/")[0]: unit for unit in units for w in unit["writes"]}
        return next(w for unit in reversed(units) for w in unit["writes"]
                    if w["do"] == do and w["table"] == table and op in (None, unit["op"])
                    and last[w["key"].partition("/")[0]] is unit)

    def untouched(self):
        """A conversation of before that has messages and that nobody wrote to."""
        with open(self.journal, encoding="utf-8") as file:
            journal = file.read()
        return next(d for d in documents(self.before, "conversations/*.json") if d["id"] not in journal and d["messages"])

    def test_undamaged(self):
        code, lines, last = self.check("--original", self.before)
        self.assertEqual((code, lines), (0, []))
        self.assertRegex(last, rf"^checked 4 tables, \d+ rows, {self.summary['acked']} writes, 0 lost$")
        self.assertGreater(self.summary["acked"], 300)
        self.assertEqual((self.summary["failed"], self.summary["unknown"]), (0, 0))
        self.assertEqual(self.check()[0], 0, "and without the copy from before")

    def test_lost_message_on_one_side(self):
        key, _, place = self.written("put", "messages")["key"].partition("/")
        self.on_postgres(f"DELETE FROM messages WHERE id = (SELECT id FROM messages WHERE conversation_id = '{key}' "
                         f"ORDER BY position OFFSET {int(place)} LIMIT 1)")
        self.assert_found("lost", f"messages {key}/{place}", "--original", self.before)

    def test_lost_message_on_both_sides(self):
        key, _, place = self.written("put", "messages")["key"].partition("/")
        self.on_postgres(f"DELETE FROM messages WHERE id = (SELECT id FROM messages WHERE conversation_id = '{key}' "
                         f"ORDER BY position OFFSET {int(place)} LIMIT 1)")
        self.edit(key, lambda document: document["messages"].pop(int(place)))
        self.assert_found("lost", f"messages {key}/{place}", "--original", self.before)

    def test_lost_untouched_message(self):
        talk = self.untouched()
        last = len(talk["messages"]) - 1
        self.edit(talk["id"], lambda document: document["messages"].pop())
        self.on_postgres(f"DELETE FROM messages WHERE id = (SELECT id FROM messages WHERE conversation_id = "
                         f"'{talk['id']}' ORDER BY position OFFSET {last} LIMIT 1)")
        code, lines, _ = self.check("--original", self.before)
        self.assertEqual((code, len(lines)), (1, 2), lines)
        self.assertTrue(lines[0].startswith(f"lost messages {talk['id']}/{last:05d}"), lines)
        self.assertTrue(lines[1].startswith(f"differs file conversations/{talk['id']}.json"), lines)

    def test_lost_file(self):
        key = self.written("put", "users")["key"]
        os.unlink(os.path.join(self.store, "profiles", key + ".json"))
        self.assert_found("lost", f"users {key}", "--original", self.before)

    def test_messages_that_changed_places(self):
        talk = next(d for d in documents(self.store, "conversations/*.json") if len(d["messages"]) > 1)
        self.edit(talk["id"], lambda document: document["messages"].reverse())
        code, lines, _ = self.check()
        self.assertEqual(code, 1)
        self.assertTrue(all(f"messages {talk['id']}/" in line for line in lines), lines)

    def test_lost_and_doubled_increment(self):
        key = self.written("add", "conversations")["key"]
        for sign, word in ((-1, "lost"), (2, "doubled")):
            self.edit(key, lambda document, by=sign: document.update(report_cycle=document["report_cycle"] + by))
            self.on_postgres(f"UPDATE conversations SET report_cycle = report_cycle + {sign} WHERE id = '{key}'")
            _, lines, _ = self.check("--original", self.before)
            self.assertTrue(any(x.startswith(f"{word} conversations {key} report_cycle:inc") for x in lines), lines)

    def test_doubled_message(self):
        talk = self.untouched()
        place = f"{talk['id']}/{len(talk['messages']):05d}"
        self.edit(talk["id"], lambda document: document["messages"].append({"role": "user", "content": "x"}))
        self.on_postgres(f"INSERT INTO messages (conversation_id, position, role, content) VALUES ('{talk['id']}', "
                         "9999, 'user', 'x')")
        _, lines, _ = self.check("--original", self.before)
        self.assertTrue(lines and lines[0].startswith(f"doubled messages {place}"), lines)

    def test_stale_on_both_sides(self):
        key = self.written("update", "users")["key"]
        self.on_postgres(f"UPDATE users SET mood = 'old' WHERE user_id = '{key}'")

        def change(document):
            document.get("profile", document)["mood"] = "old"
        self.edit(key, change, "profiles")
        self.assert_found("stale", f"users {key} mood", "--original", self.before)

    def test_resurrected(self):
        key = self.written("delete", "conversations")["key"]
        self.on_postgres(f"INSERT INTO conversations (id, created_at) VALUES ('{key}', '2025-01-01')")
        with open(os.path.join(self.store, "conversations", key + ".json"), "w", encoding="utf-8") as file:
            json.dump({"id": key, "user_id": None, "created_at": "2025-01-01", "title": None, "messages": []}, file)
        self.assert_found("resurrected", f"conversations {key}")

    def test_differing_cells(self):
        talk = self.untouched()
        for n, (column, value) in enumerate((("title", "coalesce(title, '') || ' '"), ("starred", "NOT starred"),
                                             ("created_at", "created_at + interval '1 microsecond'"),
                                             ("expires_at", "coalesce(expires_at, now()) + interval '1 s'"))):
            self.on_postgres(f"UPDATE conversations SET {column} = {value} WHERE id = '{talk['id']}'")
            _, lines, last = self.check()
            self.assertTrue(last.endswith(f" {n + 1} lost"), last)
            self.assertTrue(any(x.startswith("differs conversations ") and f" {column} " in x for x in lines), lines)

    def test_a_member_of_another_type(self):
        self.edit(self.untouched()["id"], lambda document: document.update(starred="false", report_cycle=True))
        _, lines, _ = self.check()
        self.assertEqual(sorted(line.split()[3] for line in lines), ["report_cycle", "starred"], lines)

    def test_a_file_that_was_only_respelled(self):
        talk = self.untouched()
        path = os.path.join("conversations", talk["id"] + ".json")
        with open(os.path.join(self.store, path), "w", encoding="utf-8") as file:
            json.dump(talk, file, indent=4)
        self.assertEqual(self.check()[0], 0, "it says the same")
        self.assert_found("differs", f"file {path}", "--original", self.before)

    def test_a_torn_file_is_named(self):
        path = os.path.join(self.store, "conversations", self.untouched()["id"] + ".json")
        os.truncate(path, os.path.getsize(path) - 1)
        done = run("checker.py", "--old", self.store, "--postgres", self.url, "--journal", self.journal)
        self.assertEqual(done.returncode, 1)
        self.assertIn(path, done.stderr)

    def test_application_follows_the_primary(self):
        """A cutover played by hand: lock, fence, copy, tell; the journal of both sides must hold."""
        self.make_database("follow", "template1")
        url, journal = self.cluster.database_url("follow"), os.path.join(self.folder, "follow.j")
        primary = os.path.join(self.folder, "primary")
        process = start_application(self.store, url, primary, journal, 300)
        wait_for_acks(journal, 100, process)
        subprocess.run(["flock", os.path.join(self.store, ".lock"), "find", self.store, "!", "-name", ".lock", "-exec",
                        "chmod", "a-w", "{}", "+"], check=True)
        copy_to_postgres(self.store, url)
        with open(primary + ".new", "w", encoding="utf-8") as file:
            file.write('{"epoch":1,"state":"settled","groups":{"all":"postgres"}}\n')
        os.rename(primary + ".new", primary)
        wait_for_acks(journal, 500, process)
        summary = stop(process)
        fence(self.store, False)
        self.assertEqual((summary["failed"], summary["unknown"], len(summary["switches"])), (0, 0, 1), summary)
        self.assertEqual(list(summary["errors"]), ["old"])
        self.assertGreater(summary["errors"]["old"]["refused"], 0)
        again = os.path.join(self.folder, "follow.store")
        self.copy_to_files(url, again)
        self.url, self.store = url, again
        code, lines, last = self.check(journals=[journal, self.journal])
        self.assertEqual((code, lines), (0, []), last)

    def copy_to_files(self, url, store):
        """The way back, without any care for how it was spelled."""
        for name in ("conversations", "profiles", "subscriptions"):
            os.makedirs(os.path.join(store, name))
        pg = psycopg2.connect(url)
        with pg.cursor() as cursor:
            cursor.execute("SELECT 'profiles/' || user_id, row_to_json(u)::text FROM users u UNION ALL "
                           "SELECT 'subscriptions/' || user_id, row_to_json(s)::text FROM subscriptions s UNION ALL "
                           "SELECT 'conversations/' || id, (SELECT jsonb_set(to_jsonb(c), '{messages}', coalesce("
                           "(SELECT jsonb_agg(to_jsonb(m) ORDER BY position) FROM messages m WHERE conversation_id = "
                           "c.id), '[]')))::text FROM conversations c")
            for name, text in cursor:
                with open(os.path.join(store, name + ".json"), "w", encoding="utf-8") as file:
                    file.write(text)
        pg.close()

    def test_killed_in_the_middle_of_a_write(self):
        """A file is half-written and its unit in doubt; neither outcome may be called a loss, and the next process
        goes on."""
        journal = os.path.join(self.folder, "killed.j")
        shutil.copy(self.journal, journal)
        for kill in range(3):
            dying = start_application(self.store, self.url, "missing", journal, 400, "--die-writing", 40 + kill,
                                      "--seed", kill)
            dying.communicate(timeout=60)
            self.assertEqual(dying.returncode, -signal.SIGKILL)
            torn = [path for path in glob.glob(os.path.join(self.store, "*", "*.json")) if not self.parses(path)]
            self.assertEqual(len(torn), 1)
        again = start_application(self.store, self.url, "missing", journal, 400)
        wait_for_acks(journal, self.summary["acked"] + 250, again)
        self.assertEqual(stop(again)["failed"], 0)
        self.make_database("killed", "template1")
        self.url = self.cluster.database_url("killed")
        copy_to_postgres(self.store, self.url)
        code, lines, last = self.check("--original", self.before, journals=[journal])
        self.assertEqual((code, lines), (0, []), last)

    @staticmethod
    def parses(path):
        """Whether it is JSON."""
        try:
            with open(path, encoding="utf-8") as file:
                json.load(file)
            return True
        except ValueError:
            return False

    def test_waits_while_somebody_holds_the_lock(self):
        journal = os.path.join(self.folder, "locked.j")
        process = start_application(self.store, self.url, "missing", journal, 200)
        wait_for_acks(journal, 20, process)
        with subprocess.Popen(["flock", os.path.join(self.store, ".lock"), "sh", "-c", "echo; cat"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            holder.stdout.readline()
            before = self.picture()
            self.assertIsNone(process.poll())
            time.sleep(0.3)  # many times the application's pace
            self.assertEqual(self.picture(), before)
        wait_for_acks(journal, 60, process)
        self.assertEqual(stop(process)["failed"], 0)

    def picture(self):
        """Of all files, without reading them."""
        paths = glob.glob(os.path.join(self.store, "**", "*.json"), recursive=True)
        return {path: (os.stat(path).st_mtime_ns, os.stat(path).st_size) for path in paths}


if __name__ == "__main__":
    unittest.main()
