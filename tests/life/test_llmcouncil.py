"""The whole life of the LLM Council's bridge, and what only files have: writers that are killed in the middle of a
write, a fence of mode bits, ids that exist in PostgreSQL only, bytes that must stay."""
import glob
import json
import os
import signal
import stat
import subprocess
import sys
import unittest
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import PROGRAM, PYTHON, Life, wait_until  # noqa: E402
from whole_life import WholeLife  # noqa: E402

USER = "nobody"


def torn(store):
    """Files that are not JSON."""
    found = []
    for path in glob.glob(os.path.join(store, "**", "*.json"), recursive=True):
        try:
            with open(path, encoding="utf-8") as file:
                json.load(file)
        except ValueError:
            found.append(path)
        except FileNotFoundError:
            continue
    return found


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Council(WholeLife, unittest.TestCase):
    """With an application that now and then dies while it writes. What a flip does is looked at here, not how long a
    slow machine takes for it."""
    system, rows, rate, user = "llmcouncil", 300, 60, USER
    flip_options = ["--max-pause", "5s"]
    writes = ["UPDATE conversations SET title = title", "TRUNCATE messages"]

    def test_whole_life(self):
        self.play()

    def in_forward(self, life):
        """A half-written file takes nothing away; the next process mends it and goes on."""
        life.stop_application()
        life.start_application(die_writing=40)
        self.assertEqual(life.application.wait(120), -signal.SIGKILL)
        found = torn(life.path(life.store))
        self.assertEqual(len(found), 1)
        table = os.path.basename(os.path.dirname(found[0]))
        with life.postgres() as postgres, postgres.cursor() as cursor:
            counts = "SELECT (SELECT count(*) FROM conversations), (SELECT count(*) FROM messages)"
            wait_until(lambda: (life.status() or {}).get("unread"), f"the half-written file of {table} is told of")
            cursor.execute(counts)
            self.assertGreater(min(cursor.fetchone()), 100)
        life.start_application()
        life.let_it_write(50)
        # Others may be under the application's pen just now.
        wait_until(lambda: found[0] not in torn(life.path(life.store)), "the half-written file is mended")
        wait_until(lambda: not (life.status() or {"unread": True}).get("unread"), "nothing is half-written any more")

    @staticmethod
    def schema(life):
        """Modes and owners, of all folders and of the files taken together; what lies there besides JSON."""
        found = set()
        for folder, _, files in os.walk(life.path(life.store)):
            about = os.stat(folder)
            found.add((os.path.relpath(folder, life.path(life.store)), stat.filemode(about.st_mode), about.st_uid))
            for name in files:
                about = os.stat(os.path.join(folder, name))
                if name != ".lock":
                    kind = "JSON" if name.endswith(".json") else name
                    found.add((kind, stat.filemode(about.st_mode), about.st_uid))
        return sorted(found)

    def refused_by_old(self, life):
        talk = glob.glob(life.path(life.store + "/conversations/*.json"))[0]
        for path in (talk, life.path(life.store + "/conversations/new.json"), life.path(life.store + "/profiles/new.json")):
            tried = subprocess.run([PYTHON, "-c", "import sys; open(sys.argv[1], 'a')", path], user=life.user,
                                   capture_output=True, text=True, check=False)
            self.assertIn("PermissionError", tried.stderr)


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Values(unittest.TestCase):
    """One life without the application: every write is the test's own."""

    @classmethod
    def setUpClass(cls):
        cls.life = cls.enterClassContext(Life(rows=60, system="llmcouncil"))
        cls.life.start_sidecar()
        cls.life.wait_phase("forward")

    def setUp(self):
        self.new = self.life.postgres()
        self.addCleanup(self.new.close)
        self.flip_to("old")

    def flip_to(self, side):
        if self.life.group()["primary"] != side:
            # What happens to values is looked at here, not how long it takes.
            self.life.flip("cutover" if side == "postgres" else "rollback", "--max-pause", "5s")

    def on_new(self, sql, *values):
        with self.new.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else cursor.rowcount

    def becomes(self, look, wanted):
        """The other side gets there."""
        try:
            wait_until(lambda: look() == wanted, f"{wanted}", 60)
        except AssertionError as late:
            self.assertEqual(look(), wanted, late)

    def path(self, name, key):
        return self.life.path(f"{self.life.store}/{name}/{key}.json")

    def bytes_of(self, name, key):
        """None if there is no such file."""
        try:
            with open(self.path(name, key), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def save(self, name, key, document):
        with open(self.path(name, key), "w", encoding="utf-8") as file:
            json.dump(document, file, indent=2)

    def talks(self, fits):
        """Conversations of the sample that fit, as they are now."""
        for path in sorted(glob.glob(self.path("conversations", "*"))):
            with open(path, encoding="utf-8") as file:
                document = json.load(file)
            if fits(document):
                yield document

    def ids(self, talk):
        return [row[0] for row in self.on_new("SELECT id FROM messages WHERE conversation_id = %s ORDER BY position", talk)]

    def test_only_the_bytes_of_what_changed_change(self):
        talk = next(self.talks(lambda d: d["messages"] and "starred" in d and "is_visible" in d))["id"]
        before = self.bytes_of("conversations", talk)
        others = {}
        for path in glob.glob(self.path("*", "*")):
            if talk not in path:
                with open(path, "rb") as file:
                    others[path] = file.read()
        self.flip_to("postgres")
        self.on_new("UPDATE conversations SET title = %s WHERE id = %s", "Caf\u00e9 \U0001f680 \"x\"", talk)
        title = json.dumps(json.loads(before)["title"]).encode()
        wanted = before.replace(b'"title": ' + title, b'"title": "Caf\\u00e9 \\ud83d\\ude80 \\"x\\""', 1)
        self.becomes(lambda: self.bytes_of("conversations", talk), wanted)
        for path, text in others.items():
            with open(path, "rb") as file:
                self.assertEqual(file.read(), text, path)

    def test_messages_keep_their_made_up_ids_there_and_back(self):
        talk = next(self.talks(lambda d: len(d["messages"]) > 1))
        key, made = talk["id"], self.ids(talk["id"])
        self.flip_to("postgres")
        born = self.on_new("INSERT INTO messages (conversation_id, position, role, content) VALUES (%s, 99, 'user', "
                           "'from here') RETURNING id", key)[0][0]
        self.becomes(lambda: json.loads(self.bytes_of("conversations", key))["messages"],
                     talk["messages"] + [{"role": "user", "content": "from here"}])
        self.flip_to("old")
        talk["messages"].append({"role": "user", "content": "from here"})
        talk["messages"].append({"role": "user", "content": "from there"})
        self.save("conversations", key, talk)
        self.becomes(lambda: self.ids(key)[:-1], made + [born])
        self.flip_to("postgres")
        last = self.ids(key)[-1]
        self.assertEqual(self.on_new("SELECT content FROM messages WHERE id = %s", last), [("from there",)])
        self.on_new("DELETE FROM messages WHERE id = %s", born)
        talk["messages"].pop(-2)
        self.becomes(lambda: json.loads(self.bytes_of("conversations", key)), talk)
        self.assertEqual(self.ids(key), made + [last])

    def test_a_conversation_born_in_postgres_is_written_as_the_application_would(self):
        self.flip_to("postgres")
        key = str(uuid.uuid4())
        self.on_new("INSERT INTO conversations (id, user_id, created_at, title) VALUES (%s, 'u', "
                    "'2025-06-07 08:09:10.120', '\u2014')", key)
        self.on_new("INSERT INTO messages (conversation_id, position, role, content) VALUES (%s, 0, 'user', 'hi')", key)
        self.on_new("UPDATE conversations SET expires_at = '2025-07-01 00:00:00' WHERE id = %s", key)
        wanted = json.dumps({"id": key, "user_id": "u", "created_at": "2025-06-07T08:09:10.120000", "title": "\u2014",
                             "starred": False, "messages": [{"role": "user", "content": "hi"}], "report_cycle": 0,
                             "has_follow_up": False, "follow_up_answers": None, "is_visible": True,
                             "expires_at": "2025-07-01T00:00:00"}, indent=2)
        self.becomes(lambda: (self.bytes_of("conversations", key) or b"").decode(), wanted)
        self.on_new("DELETE FROM conversations WHERE id = %s", key)
        self.becomes(lambda: self.bytes_of("conversations", key), None)

    def test_both_shapes_of_profiles_stay_what_they_are(self):
        shapes = {}
        for path in sorted(glob.glob(self.path("profiles", "*"))):
            with open(path, encoding="utf-8") as file:
                document = json.load(file)
            shapes.setdefault("profile" in document, document)
        self.flip_to("postgres")
        for document in shapes.values():
            self.on_new("UPDATE users SET mood = 'well' WHERE user_id = %s", document["user_id"])
            document.get("profile", document)["mood"] = "well"
        for document in shapes.values():
            self.becomes(lambda d=document: json.loads(self.bytes_of("profiles", d["user_id"])), document)

    def test_a_user_id_that_is_no_file_name_is_refused(self):
        self.flip_to("postgres")
        for key in ("../../evil", "a/b", ".."):
            self.on_new("INSERT INTO users (user_id, created_at) VALUES (%s, '2025-01-01')", key)
        self.becomes(lambda: self.life.status()["quarantined"], 3)
        self.assertFalse(os.path.exists(self.life.path("evil.json")))
        self.on_new("DELETE FROM users WHERE user_id IN ('../../evil', 'a/b', '..')")
        self.becomes(lambda: self.life.status()["quarantined"], 0)

    def test_a_file_that_is_emptied_keeps_its_rows(self):
        talk = next(self.talks(lambda d: d["messages"]))
        made = self.ids(talk["id"])
        with open(self.path("conversations", talk["id"]), "w", encoding="utf-8"):
            pass
        other = next(self.talks_but(talk["id"]))
        other["title"] = "flows on"
        self.save("conversations", other["id"], other)
        self.becomes(lambda: self.on_new("SELECT title FROM conversations WHERE id = %s", other["id"]), [("flows on",)])
        self.assertEqual(self.ids(talk["id"]), made)
        self.save("conversations", talk["id"], talk)
        talk["title"] = "again"
        self.save("conversations", talk["id"], talk)
        self.becomes(lambda: self.on_new("SELECT title FROM conversations WHERE id = %s", talk["id"]), [("again",)])
        self.assertEqual(self.ids(talk["id"]), made)

    def test_what_cannot_be_read_is_told_everywhere(self):
        talk = next(self.talks(lambda d: d["messages"]))
        path = self.path("conversations", talk["id"])
        self.assertEqual(self.life.metrics()['switchback_unread{bridge="llmcouncil"}'], 0)
        with open(path, "w", encoding="utf-8") as file:
            file.write('{\n  "id": tru')
        self.becomes(lambda: [one["what"] for one in self.life.status()["unread"]], [path])
        self.becomes(lambda: self.life.metrics()['switchback_unread{bridge="llmcouncil"}'], 1)
        code, out, _ = self.life.run("status")
        self.assertEqual(code, 0, out)
        self.assertRegex(out, f"needs you:\n  - {path}: .*.*; its rows in PostgreSQL stay as they are")
        code, out, _ = self.life.run("cutover", "--yes")
        self.assertEqual(code, 1, out)
        self.assertIn(path, out)
        self.save("conversations", talk["id"], talk)
        self.becomes(lambda: self.life.status()["unread"], [])
        self.assertIn("nothing needs you", self.life.run("status")[1])

    def talks_but(self, key):
        """Other conversations."""
        for path in sorted(glob.glob(self.path("conversations", "*"))):
            if key not in path:
                with open(path, encoding="utf-8") as file:
                    yield json.load(file)


if __name__ == "__main__":
    unittest.main()
