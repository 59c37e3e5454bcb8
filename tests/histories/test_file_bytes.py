"""Files as JavaScript and Python really write them: after PostgreSQL changed one record, that record's bytes are others,
and nothing before or after them. What the file should be is what the same writer makes of the changed document."""
import json
import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bridge import PROGRAM, history_cluster  # noqa: E402
from files_play import FilesPlayer  # noqa: E402

RECORDS = [
    {"id": 1, "name": "café \U0001f680", "n": 1.5, "tags": ["a", "\u2028"], "inner": {"x": [], "y": {}, "z": [[1], {}]}},
    {"id": 2, "name": "b", "n": 2, "tags": [], "inner": {"x": None, "deep": {"q": "\"\\/\b\f\t\r\n\u007f"}}},
    {"id": 3, "name": "", "n": 1e21, "tags": ["z"], "inner": {"long": "é" * 300}},
]
CHANGED = {"name": "thé \"x\" \u2014 \U0001f600 </b>\n", "n": 12.25, "tags": ["new", "é", ""]}
NODE = "const fs = require('fs'); fs.writeFileSync(process.argv[1], JSON.stringify(JSON.parse(process.argv[2]){}){});"
PYTHON = ("import json, sys; file = open(sys.argv[1], 'w', newline='{}', encoding='utf-8'); "
          "json.dump(json.loads(sys.argv[2]), file, {})")
WRITERS = {
    "stringify": ["node", "-e", NODE.format(", null, 2", "")],
    "node_minified": ["node", "-e", NODE.format("", "")],
    "node_tabs": ["node", "-e", NODE.format(", null, '\\t'", " + '\\n'")],
    "python": ["python3", "-c", PYTHON.format("", "indent=2")],
    "python_utf8": ["python3", "-c", PYTHON.format("", "indent=2, ensure_ascii=False")],
    "python_one_line": ["python3", "-c", PYTHON.format("", "ensure_ascii=True")],
    "python_minified": ["python3", "-c", PYTHON.format("", "separators=(',', ':')")],
    "python_crlf": ["python3", "-c", PYTHON.format("\\r\\n", "indent=4, ensure_ascii=False")],
}


def present():
    """The writers whose language is installed."""
    return [name for name, words in WRITERS.items() if shutil.which(words[0])]


def script():
    """A collection for each writer."""
    columns = [{"column": "name", "path": ["name"], "kind": "text", "else": None},
               {"column": "n", "path": ["n"], "kind": "real", "else": None},
               {"column": "tags", "path": ["tags"], "kind": "list", "else": None}]
    made = {"store": "files", "postgres": ["CREATE TABLE canary (id integer PRIMARY KEY, n bigint)"], "collections": [],
            "tables": [], "steps": [],
            "config": '[collection.canary]\nroot = "data"\nfiles = "canary.json"\nrecords = ""\n[table.canary]\n'
                      'from = "canary"\n[table.canary.columns]\nid = "/id"\nn = "/n"\n'}
    for name in present():
        ascii_only = "true" if name in ("python", "python_one_line", "python_minified") else "false"
        made["postgres"].append(f"CREATE TABLE {name} (id bigint PRIMARY KEY, name text, n double precision, tags text[])")
        made["tables"].append({"name": name, "key": ["id"]})
        made["collections"].append(
            {"name": name, "form": "array", "path": f"{name}.json", "group": None, "style": "python", "key": "int8",
             "tables": [{"name": name, "shape": "record", "member": None, "parent": None, "has_id": False, "place": None,
                         "rest": False, "columns": columns}]})
        made["config"] += (f'[collection.{name}]\nroot = "data"\nfiles = "{name}.json"\nascii = {ascii_only}\n'
                           f'[table.{name}]\nfrom = "{name}"\n[table.{name}.columns]\nid = "/id"\nname = "/name"\n'
                           f'n = "/n"\ntags = "/tags"\n')
    return made


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Bytes(unittest.TestCase):
    """One bridge for all writers."""

    def write(self, player, name, records):
        """By the writer itself."""
        subprocess.run([*WRITERS[name], player.application.path(f"{name}.json"), json.dumps(records)], check=True)

    def test_only_the_changed_record(self):
        changed = [RECORDS[0], {**RECORDS[1], **CHANGED}, RECORDS[2]]
        tags = "ARRAY[" + ", ".join(f"'{tag}'" for tag in CHANGED["tags"]) + "]"
        self.assertGreaterEqual(len(present()), 5)
        with history_cluster() as cluster, FilesPlayer(cluster, script()) as player:
            for name in present():
                self.write(player, name, RECORDS)
            player.step(["start", {}])
            player.step(["sync"])
            player.step(["flip", "postgres"])
            before = player.application.bytes_of_all()
            player.step(["postgres", [f"UPDATE {name} SET name = '{CHANGED['name']}', n = {CHANGED['n']}, tags = {tags} "
                                      "WHERE id = 2" for name in present()]])
            player.step(["sync"])
            after = player.application.bytes_of_all()
            for name in present():
                with self.subTest(name):
                    self.write(player, name, changed)
                    wanted = player.application.bytes_of(f"{name}.json")
                    self.assertNotEqual(before[f"{name}.json"], wanted)
                    self.assertEqual(after[f"{name}.json"], wanted)
                    # And the comparison that needs no writer: what precedes and what follows the record.
                    self.assertTrue(outside(before[f"{name}.json"]) == outside(after[f"{name}.json"]))
                    print(f"{name}: {len(wanted)} bytes, none but the record's changed", flush=True)


def outside(text):
    """What stands before the second record, and after it."""
    second = text.index(b"{", text.index(b"}", text.index(b'"z"')) + 3)
    return text[:second], text[text.rindex(b"{", 0, text.index(b'"id"', text.index(b'"id"', second) + 1)):]


if __name__ == "__main__":
    unittest.main()
