"""One large JSON file, an array of records as JSON.stringify(x, null, 2) writes it, beside a sidecar: how long it takes
until one changed record is on the other side, and how much memory the sidecar had. test_large_file.py asks for little,
ops/bench/files for 131 MB.
"""
import json
import os
import random
import shutil
import subprocess
import tempfile
import time

import psycopg2
from cluster import ThrowAwayCluster
from life import PROGRAM, wait_until

CONFIG = """
[bridge]
name = "large"
[admin]
listen = "127.0.0.1:0"
[postgres]
schema = "schema.sql"
[collection.items]
root = "data"
files = "items.json"
[table.items]
from = "items"
[table.items.columns]
id = "/id"
name = "/name"
town = "/address/town"
price = "/price"
tags = "/tags"
made = "/made"
[table.items.columns.note]
from = "/note"
"""
SCHEMA = """
CREATE TABLE items (id bigint PRIMARY KEY, name text, town text, price numeric, tags text[], made timestamptz, note text);
"""
LETTERS = "etaoinshrdlu cmfwyp éß"


def record(rng, number):
    """About 524 bytes, indented."""
    return {"id": number, "name": f"item {number}", "address": {"town": rng.choice(["Aachen", "Zürich", "Łódź"]), "zip": "10115"},
            "price": round(rng.random() * 1000, 2), "tags": ["new", f"t{number % 7}"], "made": "2024-11-25T01:23:24.000Z",
            "active": number % 3 == 0, "left": None, "note": "".join(rng.choices(LETTERS, k=180 + number % 17))}


def write_file(path, records, seed=1):
    """The array; returns its size."""
    rng = random.Random(seed)
    with open(path, "w", encoding="utf-8") as file:
        file.write("[")
        for number in range(records):
            text = json.dumps(record(rng, number), indent=2, ensure_ascii=False).replace("\n", "\n  ")
            file.write((",\n  " if number else "\n  ") + text)
        file.write("\n]")
    return os.path.getsize(path)


class LargeFile:
    """Use as a context manager. Times are seconds, sizes bytes."""

    def __init__(self, records, fsync="off"):
        self.records, self.fsync = records, fsync
        self.sidecar = None

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="switchback-large-")
        os.mkdir(self.path("data"))
        self.size = write_file(self.file(), self.records)
        with open(self.path("switchback.toml"), "w", encoding="utf-8") as config:
            config.write(CONFIG)
        with open(self.path("schema.sql"), "w", encoding="utf-8") as schema:
            schema.write(SCHEMA)
        self.cluster = ThrowAwayCluster(extra=f"fsync = {self.fsync}").__enter__()
        self.pg = psycopg2.connect(self.cluster.url)
        self.pg.autocommit = True
        return self

    def __exit__(self, *failure):
        if self.sidecar is not None:
            self.sidecar.kill()
            self.sidecar.wait()
        self.pg.close()
        self.cluster.__exit__(*failure)
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        """In the folder."""
        return os.path.join(self.folder, name)

    def file(self):
        """The file."""
        return self.path("data/items.json")

    def run(self, *words):
        """A command of the program, to its end."""
        done = subprocess.run([PROGRAM, "-c", self.path("switchback.toml"), *words], env=self.environment(), text=True,
                              capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def environment(self):
        """Of the program."""
        return {**os.environ, "DATABASE_URL": self.cluster.url}

    def load(self):
        """Starts the sidecar; how long the load takes."""
        begin = time.monotonic()
        with open(self.path("log"), "ab") as log:
            self.sidecar = subprocess.Popen([PROGRAM, "-c", self.path("switchback.toml"), "run"], stdout=log, stderr=log,
                                            env=self.environment())
        wait_until(self.forward, "the load to end", 600, 0.02)
        return time.monotonic() - begin

    def forward(self):
        """Whether the load is done."""
        assert self.sidecar.poll() is None, "the sidecar ended"
        with open(self.path("log"), encoding="utf-8") as log:
            return "phase forward" in log.read()

    def sql(self, text):
        """Rows, if it has any."""
        with self.pg.cursor() as cursor:
            cursor.execute(text)
            return cursor.fetchall() if cursor.description else None

    def change(self, number, name):
        """The application gives one record another name of the same length, by a rename; how long until PostgreSQL has
        it, from the rename on."""
        with open(self.file(), "rb") as file:
            text = file.read()
        at = text.index(b'"name": "', text.index(b'"id": %d,' % number)) + len(b'"name": "')
        text = text[:at] + name.encode() + text[text.index(b'"', at):]
        with open(self.file() + ".new", "wb") as file:
            file.write(text)
        os.sync()  # what writing it costs is not the bridge's
        begin = time.monotonic()
        os.rename(self.file() + ".new", self.file())
        wait_until(lambda: self.sql(f"SELECT name FROM items WHERE id = {number}") == [(name,)], "the change", 120, 0.002)
        return time.monotonic() - begin

    def change_back(self, number, name):
        """The same on PostgreSQL's side, into the file; only that record's bytes may change."""
        with open(self.file(), "rb") as file:
            before = file.read()
        at = before.index(b'"name": "', before.index(b'"id": %d,' % number)) + len(b'"name": "')
        wanted = before[:at] + name.encode() + before[before.index(b'"', at):]
        begin, inode = time.monotonic(), os.stat(self.file()).st_ino
        self.sql(f"UPDATE items SET name = '{name}' WHERE id = {number}")
        wait_until(lambda: os.stat(self.file()).st_ino != inode, "the change", 120, 0.002)
        took = time.monotonic() - begin
        with open(self.file(), "rb") as file:
            assert file.read() == wanted, "other bytes than the record's changed"
        return took

    def forget_peak(self):
        """From here on the peak counts anew."""
        with open(f"/proc/{self.sidecar.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")

    def peak(self):
        """The most memory that the sidecar had."""
        with open(f"/proc/{self.sidecar.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) * 1024
