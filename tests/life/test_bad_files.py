"""Files that are no documents, records that are no rows, and files that lost most of what they held: each is told with
its place, nothing else stops, PostgreSQL keeps its rows, and a person can mend it or let it through."""
import json
import os
import re
import signal
import sqlite3
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import PROGRAM, Life, wait_until  # noqa: E402

CONFIG = """
[bridge]
name = "people"
state_dir = "state"
run_dir = "switchback.run"
[admin]
listen = "127.0.0.1:0"
[postgres]
schema = "schema.sql"
[collection.people]
root = "data"
files = "people/*.json"
[table.people]
from = "people"
[table.people.columns]
id = "/id"
name = "/name"
number = "/number"
"""
SCHEMA = "CREATE TABLE people (id integer PRIMARY KEY, name text, number numeric);"
DIGITS = "7" * 400
NO = 1

# What stands in the place of a name, and what is said of it.
MALFORMED = {
    "utf8": (b'"\xff"', "a byte that is not UTF-8"),
    "twice": (b'{"a": 1, "b": {}, "a": 2}', 'the member "a" is there twice'),
    "nan": (b"NaN", "NaN is no JSON"),
    "infinity": (b"-Infinity", "-Infinity is no JSON"),
    "deep": (b"[" * 10_000 + b"]" * 10_000, "nested deeper than 1000 levels"),
    "control": (b'"a\nb"', "a control character in a string"),
    "zero": (b"007", "a number with a zero before it"),
    "cut": None,
    "bom": None,
    "empty": None,
}


class People(Life):
    """A folder of arrays."""

    def __init__(self):
        super().__init__(system="llmcouncil")

    def make_store(self):
        os.makedirs(self.path("data/people"))
        for name in (*MALFORMED, "sound", "odd", "many", "most"):
            self.save(name, people(name))
        for name, text in (("switchback.toml", CONFIG), ("schema.sql", SCHEMA)):
            with open(self.path(name), "w", encoding="utf-8") as file:
                file.write(text)

    def file(self, name):
        """Its path."""
        return self.path(f"data/people/{name}.json")

    def save(self, name, records):
        """As an application does: truncate, then write."""
        self.put(name, records if isinstance(records, bytes) else json.dumps(records, indent=2).encode())

    def put(self, name, text):
        """Bytes as they are."""
        with open(self.file(name), "wb") as file:
            file.write(text)


def people(name, suffix=""):
    """Records of one file, no two files' alike."""
    first = 100 * ([*MALFORMED, "sound", "odd", "many", "most"].index(name) + 1)
    count = {"many": 30, "most": 30, "odd": 9}.get(name, 3)
    return [{"id": first + i, "name": name + suffix, "number": i} for i in range(count)]


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class BadFiles(unittest.TestCase):
    """One life; its tests leave all files sound."""

    @classmethod
    def setUpClass(cls):
        cls.life = cls.enterClassContext(People())
        cls.life.start_sidecar()
        cls.life.wait_phase("forward")

    def ask(self, statement):
        with self.life.postgres() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def rows(self, name):
        first = people(name)[0]["id"]
        return self.ask(f"SELECT id, name FROM people WHERE id BETWEEN {first} AND {first + 99} ORDER BY 1")

    def arrives(self, name, suffix):
        wanted = [(one["id"], one["name"]) for one in people(name, suffix)]
        wait_until(lambda: self.rows(name) == wanted, f"{name} is what was written")

    def unread(self):
        return {one["what"]: one["why"] for one in (self.life.ask("/status") or {}).get("unread", ())}

    def types(self, code, pattern, *words):
        found, out, err = self.life.run("quarantine", *words)
        self.assertEqual(found, code, out + err)
        self.assertRegex((out + err).replace("\n", " "), pattern)

    def held(self):
        out = self.life.run("quarantine", "list", "--json")[1]
        return [json.loads(one["key"])[0] for one in json.loads(out)["entries"] if one["held"]]

    def log(self):
        with open(self.life.path("sidecar.log"), encoding="utf-8") as log:
            return log.read()

    def test_a_file_that_is_no_document_keeps_its_rows(self):
        life, before = self.life, self.ask("SELECT * FROM people ORDER BY id")
        said = {}
        for name, broken in MALFORMED.items():
            text = json.dumps(people(name), indent=2).encode()
            if broken:
                at = [found.start() for found in re.finditer(f'"{name}"'.encode(), text)][1]
                line = 1 + text[:at].count(b"\n")
                said[name] = rf":{line}:\d+ /1/name.*: {broken[1]}"
                text = text[:at] + broken[0] + text[at + len(name) + 2:]
            else:
                text, said[name] = {"cut": (text[:-25], r":1\d:\d+ "),
                                    "bom": (b"\xef\xbb\xbf" + text, ":1:1 .*: a byte order mark"),
                                    "empty": (b"", r":1:1 .*: expected a value, the text ends")}[name]
            life.put(name, text)
        wait_until(lambda: len(self.unread()) == len(MALFORMED), "each malformed file is told of")
        for name, pattern in said.items():
            self.assertRegex(self.unread()[life.file(name)], f"people/{name}.json" + pattern)
            line = f"{life.file(name)} is left as it was: people/{name}.json:"
            wait_until(lambda line=line: line in self.log(), "the log says so")
        life.save("sound", people("sound", " flows on"))
        self.arrives("sound", " flows on")
        life.save("sound", people("sound"))
        self.arrives("sound", "")
        self.assertEqual(self.ask("SELECT * FROM people ORDER BY id"), before)
        self.assertIsNone(life.sidecar.poll())
        for name in MALFORMED:
            life.save(name, people(name, " mended"))
        for name in MALFORMED:
            self.arrives(name, " mended")
        wait_until(lambda: not self.unread(), "nothing is malformed any more")
        wait_until(lambda: f"{life.file('cut')} is read again" in self.log(), "the log says that, too")

    def test_records_that_are_no_rows_are_named_one_by_one(self):
        life, records = self.life, people("odd", " more")
        first = records[0]["id"]
        records[0]["number"] = 0
        text = json.dumps(records, indent=2).replace('"number": 0', f'"number": {DIGITS}')
        more = [rf'{{"id": {first + 10}, "name": "a\u0000b"}}', rf'{{"id": {first + 11}, "name": "\ud800"}}',
                '{"name": "nobody"}',
                f'{{"id": {first + 12}, "name": "one"}}', f'{{"id": {first + 12}, "name": "other"}}', f'{{"id": {DIGITS}}}']
        life.put("odd", text.rstrip("]\n").encode() + b",\n" + ",\n".join(more).encode() + b"\n]")
        number = f"SELECT number::text FROM people WHERE id = {first}"
        wait_until(lambda: self.ask(number) == [(DIGITS,)], "the other records flow")
        wait_until(lambda: life.ask("/status")["quarantined"] == 4, "four keys in quarantine")
        entries = {entry["key"]: entry["reason"] for entry in json.loads(life.run("quarantine", "list", "--json")[1])["entries"]}
        self.assertRegex(entries[f'["{first + 10}"]'], r"people/odd.json:\d+:\d+ /9/name: .*NUL")
        self.assertRegex(entries[f'["{first + 11}"]'], r"people/odd.json:\d+:\d+ /10/name: .*not valid UTF-8")
        self.assertRegex(entries[f'["{first + 12}"]'], "more than one record has this key: record 13 of people/odd.json")
        nameless = [reason for key, reason in entries.items() if key == "[null]"]
        self.assertRegex(nameless[0], r"people/odd.json:\d+:\d+ /1[14].*and 1 more rows without a key")
        life.save("odd", people("odd"))
        self.arrives("odd", "")
        wait_until(lambda: life.ask("/status")["quarantined"] == 0, "the quarantine is empty again")

    def test_a_file_that_lost_most_of_its_records_waits_for_a_person(self):
        life, path = self.life, self.life.file("many")
        these = ("--table", "file", "--key", path)
        life.save("many", [])
        wait_until(lambda: path in self.unread(), "the file is held")
        self.assertEqual(self.held(), [path])
        self.types(0, f"file .*{path}.*held back by old since 20.*30 of its 30 records are gone at once", "list")
        self.types(0, f"put the records back.*switchback quarantine accept --table file --key {path}", "show", *these)
        self.assertRegex(life.run("status")[1], f"{path}: 30 of its 30 .*switchback quarantine accept --table file --key {path}")
        code, out, _ = life.run("cutover", "--dry-run")
        self.assertEqual(code, NO, out)
        self.assertIn(f"switchback quarantine accept --table file --key {path}", out)
        # What is not meant for it leaves it alone.
        self.types(NO, "still held: 30 of its 30", "retry", *these)
        self.types(NO, "cannot be dropped: put the records back", "drop", "--yes", *these)
        self.types(NO, "let through by its name only", "accept", "--all")
        life.stop_sidecar(signal.SIGKILL)
        self.assertEqual(self.held(), [path], "told without a sidecar, too")
        life.start_sidecar()
        life.wait_phase("forward")
        wait_until(lambda: path in self.unread(), "the file is still held")
        self.assertEqual(len(self.rows("many")), 30)
        life.save("many", people("many", " back"))
        self.arrives("many", " back")
        wait_until(lambda: self.held() == [], "what was put back is held no longer")
        # Meant: with a sidecar, and with one that does not live to see it.
        life.save("many", people("many", " last")[:2])
        wait_until(lambda: self.held() == [path], "the file is held again")
        self.types(0, "let through: the rows go", "accept", *these)
        wait_until(lambda: [name for _, name in self.rows("many")] == ["many last"] * 2, "the others are deleted")
        self.types(NO, "no such row is in quarantine", "accept", *these)
        os.remove(life.file("most"))
        wait_until(lambda: self.held() == [life.file("most")], "a file that is gone is held, too")
        life.stop_sidecar(signal.SIGKILL)
        self.types(0, "let through", "accept", "--table", "file", "--key", life.file("most"))
        life.start_sidecar()
        life.wait_phase("forward")
        wait_until(lambda: self.rows("most") == [], "what was let through goes after a restart")
        self.assertEqual(self.held(), [])
        self.assertEqual(life.run("audit")[1].count("quarantine accept"), 2)
        self.assertEqual(life.run("verify")[0], 0)
        life.save("many", people("many"))
        life.save("most", people("most"))
        self.arrives("most", "")

    def test_a_flip_says_no_when_a_file_becomes_half_written_under_its_comparison(self):
        life, text = self.life, json.dumps(people("sound"), indent=2).encode()
        life.stop_sidecar()
        life.start_sidecar()
        wait_until(lambda: "the flip compares first" in life.run("cutover", "--dry-run")[1], "the bridge is up")
        life.put("sound", text[:-25])
        began = time.monotonic()
        code, out, err = life.run("cutover", "--yes")
        self.assertEqual(code, NO, out + err)
        self.assertRegex(out + err, f"{life.file('sound')} cannot be carried over")
        self.assertLess(time.monotonic() - began, 20)
        life.put("sound", text)
        wait_until(lambda: not self.unread(), "the file is read again")
        self.assertEqual(life.run("verify")[0], 0)

    def test_mending_the_bridge_lets_nothing_through(self):
        """The pump stands, since the ledger is not the one that PostgreSQL followed."""
        life, path = self.life, self.life.file("many")
        life.stop_sidecar()
        ledger = sqlite3.connect(life.path("state/files.ledger"))
        with ledger:
            ledger.execute("UPDATE meta SET value = value + 1 WHERE name = 'history'")
        ledger.close()
        life.start_sidecar()
        wait_until(lambda: "switchback doctor --fix" in life.run("status")[1], "the pump stands")
        life.save("many", [])
        for _ in range(2):
            code, out, err = life.run("doctor", "--fix", "--yes")
            self.assertEqual(code, 1, out + err)
            self.assertIn(f"switchback quarantine accept --table file --key {path}", err)
            self.assertEqual(len(self.rows("many")), 30)
            self.assertEqual(self.held(), [path])
        self.types(0, "let through: the rows go", "accept", "--table", "file", "--key", path)
        self.assertEqual(life.run("doctor", "--fix", "--yes")[0], 0)
        self.assertEqual(self.rows("many"), [])
        life.save("many", people("many"))
        self.arrives("many", "")


if __name__ == "__main__":
    unittest.main()
