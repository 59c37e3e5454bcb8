"""One transaction of a million rows, in each direction: it arrives whole, and the sidecar's memory stays bounded."""
import os
import sys
import unittest

RELEASE = os.environ.get("SWITCHBACK_RELEASE")
if RELEASE:
    os.environ["SWITCHBACK"] = RELEASE  # before the program is looked for below

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from bridge import PROGRAM, history_cluster  # noqa: E402
from play import Player  # noqa: E402

ROWS = int(os.environ.get("SWITCHBACK_LARGE_ROWS", "1000000"))
# A build that watches its memory takes more of it.
MOST_MIB = 128 if RELEASE else 1024


def script(journal_mode):
    """A million rows on SQLite, then changed by one transaction of PostgreSQL, and taken away by the next."""
    return {
        "journal_mode": journal_mode, "habits": {},
        "sqlite": ["CREATE TABLE t (id INTEGER PRIMARY KEY, c INTEGER, word TEXT)"],
        "postgres": ["CREATE TABLE t (id bigint PRIMARY KEY, c bigint, word text)"],
        "tables": [{"name": "t", "key": ["id"], "columns": [["id", "int8"], ["c", "int8"], ["word", "text"]]}],
        "config": '[table.t]\nfrom = "app.t"\n',
        "steps": [
            ["start", {}], ["sync"],
            ["sqlite", 0, ["INSERT INTO t WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < "
                           f"{ROWS}) SELECT n, n, 'word ' || n FROM s"]], ["sync"],
            ["flip", "postgres"], ["postgres", ["UPDATE t SET c = c + 1, word = 'other ' || id"]], ["sync"],
            ["postgres", ["DELETE FROM t WHERE id > 10"]], ["sync"]]}


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Large(unittest.TestCase):
    """In both journal modes: WAL streams into the database, a rollback journal has it spooled first."""

    def play(self, journal_mode):
        with history_cluster() as cluster, Player(cluster, script(journal_mode)) as player:
            for step in player.script["steps"]:
                player.step(step)
                if player.sidecar:
                    print(f"{journal_mode}, {step[0]}: {peak_mib(player.sidecar.pid)} MiB at most", flush=True)
            self.assertLessEqual(peak_mib(player.sidecar.pid), MOST_MIB)

    def test_wal(self):
        self.play("wal")

    def test_rollback_journal(self):
        self.play("delete")


def peak_mib(pid):
    """The most memory that a process has had."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) // 1024


if __name__ == "__main__":
    unittest.main()
