"""How much an application feels of the bridge. Clients of different habits write to databases with capture and a
sidecar on them, all habits side by side; each has its own database, so that whatever lock it meets is ours. Then, one
at a time, its speed is measured with and without capture, in turns.

20 s for each habit; SWITCHBACK_MANNERS_SECONDS says otherwise (ops/test --long: ten minutes). SWITCHBACK_RELEASE, if
set, is the program: a sanitizer's slowness is nobody's habit.
"""
import contextlib
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import unittest

import psycopg2

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import life  # noqa: E402
from cluster import ThrowAwayCluster  # noqa: E402
from manners_client import Client  # noqa: E402

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "manners_client.py")
SECONDS = float(os.environ.get("SWITCHBACK_MANNERS_SECONDS", "20"))
RATE = 100
# Transactions of a client that wants RATE of them a second: with capture, of those without.
LEAST_DONE = 0.85
# The same as fast as a client goes. The goal is 0.85 for both; with a rollback journal each read of
# the sidecar holds the writer off, and 0.65 to 0.75 is what it reaches today.
LEAST_SPEED = {"wal": 0.85, "delete": 0.5}
TURNS, TURN_SECONDS = 25, 0.25
# These transactions write one page each; capture adds the log's, and now and then a new page of the log.
MOST_WAL = 2.1
USUAL_WAL = 1000 * 4120  # what a -wal grows to before SQLite checkpoints by itself

# The name, the journal mode, the client's options.
HABITS = [
    ("waits a second", "wal", ["--busy-ms", "1000"]),
    ("waits five seconds, begins immediately", "wal", ["--busy-ms", "5000", "--begin", "BEGIN IMMEDIATE"]),
    ("does not wait", "wal", ["--busy-ms", "0"]),
    ("syncs at checkpoints only", "wal", ["--busy-ms", "1000", "--synchronous", "NORMAL"]),
    ("reads for long", "wal", ["--busy-ms", "1000", "--long-reads", "3"]),
    ("waits a second", "delete", ["--busy-ms", "1000"]),
    ("waits five seconds, begins immediately", "delete", ["--busy-ms", "5000", "--begin", "BEGIN IMMEDIATE"]),
    ("does not wait", "delete", ["--busy-ms", "0"]),
]


class SharedLife(life.Life):
    """A bridge whose PostgreSQL is one database of a cluster that others use too."""

    def __init__(self, cluster, number, **options):
        super().__init__(**options)
        self.shared, self.number = cluster, number

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="switchback-manners-")
        os.chmod(self.folder, 0o755)
        self.cluster = contextlib.nullcontext()  # not this bridge's to end
        with contextlib.closing(psycopg2.connect(self.shared.url)) as admin:
            admin.autocommit = True
            admin.cursor().execute(f"CREATE DATABASE bridge{self.number}")
        self.url = self.shared.database_url(f"bridge{self.number}")
        self.make_store()
        self.make_plain()
        return self

    def make_plain(self):
        """The same database, which no bridge knows."""
        with contextlib.closing(sqlite3.connect(self.path("original"))) as original, \
                contextlib.closing(sqlite3.connect(self.path("plain"))) as plain:
            original.backup(plain)
            plain.execute(f"PRAGMA journal_mode = {self.journal_mode}")


@unittest.skipUnless(life.PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class MannersTest(unittest.TestCase):
    """One cluster and one sidecar for each habit."""

    @classmethod
    def setUpClass(cls):
        cls.program = life.PROGRAM
        life.PROGRAM = os.environ.get("SWITCHBACK_RELEASE") or life.PROGRAM
        cls.cluster = ThrowAwayCluster(extra="max_connections = 200")
        cls.cluster.__enter__()
        cls.addClassCleanup(cls.end)
        cls.lives = []
        for number, (_, mode, _) in enumerate(HABITS):
            bridge = SharedLife(cls.cluster, number, rows=300, journal_mode=mode)
            bridge.__enter__()
            cls.lives.append(bridge)
        for bridge in cls.lives:
            bridge.start_sidecar()
        for bridge in cls.lives:
            bridge.wait_phase("forward")

    @classmethod
    def end(cls):
        for bridge in cls.lives:
            bridge.__exit__(None, None, None)
        cls.cluster.__exit__()
        life.PROGRAM = cls.program

    @staticmethod
    def start_client(path, options):
        return subprocess.Popen([life.PYTHON, CLIENT, path, "--seconds", str(SECONDS), "--rate", str(RATE), *options],
                                stdout=subprocess.PIPE, text=True)

    def test_what_clients_meet(self):
        """Beside each captured client one of the same habit without a bridge: for the size of the -wal."""
        clients = []
        for (_, _, options), bridge in zip(HABITS, self.lives):
            clients.append((self.start_client(bridge.path(bridge.store), options),
                            self.start_client(bridge.path("plain"), options)))
        reports = [[json.loads(client.communicate()[0]) for client in pair] for pair in clients]
        for (name, mode, options), bridge, (captured, plain) in zip(HABITS, self.lives, reports):
            with self.subTest(habit=name, journal_mode=mode):
                prunes = bridge.status()["capture"]["prunes"]
                print(f"{mode}, {name}: {captured} without: {plain} prunes: {prunes}", file=sys.stderr)
                self.assertGreater(captured["done"], 0)
                busy = captured["busy"]
                if mode == "wal":
                    self.assertGreaterEqual(captured["done"], LEAST_DONE * plain["done"])
                    self.assertLessEqual(sum(busy.values()), prunes)
                    self.assertLessEqual(captured["wal_peak"], MOST_WAL * max(plain["wal_peak"], USUAL_WAL))
                elif "0" not in options:
                    self.assertEqual(busy["commit"], 0)
                    self.assertLessEqual(sum(busy.values()), prunes)
                self.assertEqual(bridge.status()["capture"]["unexplained"], 0)

    def test_speed_with_capture(self):
        """In turns, since the machine's mood changes; as fast as it goes, with a sync for each commit. What others
        sync meanwhile can drown a whole series, so there are up to three."""
        for mode in ("wal", "delete"):
            bridge = next(b for b, habit in zip(self.lives, HABITS) if habit[1] == mode)
            captured, plain = (Client(bridge.path(name), 5000) for name in (bridge.store, "plain"))
            self.addCleanup(captured.connection.close)
            self.addCleanup(plain.connection.close)
            for _ in range(3):
                ratio = self.speed_ratio(captured, plain)
                print(f"{mode}: with capture {ratio:.2f} of the speed without", file=sys.stderr)
                if ratio >= LEAST_SPEED[mode]:
                    break
            with self.subTest(journal_mode=mode):
                self.assertGreaterEqual(ratio, LEAST_SPEED[mode])

    def test_pace_with_a_rollback_journal(self):
        """By itself: side by side with the others it is their syncs that a commit waits for."""
        bridge = next(b for b, habit in zip(self.lives, HABITS) if habit[1] == "delete")
        captured, plain = (Client(bridge.path(name), 1000) for name in (bridge.store, "plain"))
        self.addCleanup(captured.connection.close)
        self.addCleanup(plain.connection.close)
        ratio = self.speed_ratio(captured, plain, turns=5, seconds=1, rate=RATE)
        print(f"delete: with capture {ratio:.2f} of {RATE} transactions a second", file=sys.stderr)
        self.assertGreaterEqual(ratio, LEAST_DONE)
        self.assertEqual(sum(captured.busy.values()), 0)

    @staticmethod
    def speed_ratio(captured, plain, turns=TURNS, seconds=TURN_SECONDS, rate=0):
        """Of the medians of a series of turns."""
        rates = {captured: [], plain: []}
        for turn in range(turns):
            for client in (captured, plain) if turn % 2 else (plain, captured):
                rates[client].append(client.run(seconds, rate))
        return statistics.median(rates[captured]) / statistics.median(rates[plain])


if __name__ == "__main__":
    unittest.main()
