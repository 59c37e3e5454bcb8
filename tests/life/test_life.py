"""The whole life of the twitter system's bridge, in both journal modes, and what a person's day brings."""
import json
import os
import sys
import unittest

import psycopg2

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import PROGRAM, Life, wait_until  # noqa: E402
from whole_life import WholeLife  # noqa: E402


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Twitter(WholeLife, unittest.TestCase):
    """In both journal modes."""
    system = "twitter"
    writes = ["UPDATE users SET username = username", "TRUNCATE analysis_chunks"]

    def test_rollback_journal(self):
        self.play("delete")

    def test_wal(self):
        self.play("wal")


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Faults(unittest.TestCase):
    """What a person's day brings."""

    def test_postgres_down_at_start_and_in_the_middle(self):
        with Life(rows=300) as life:
            life.cluster.stop("fast")
            life.start_application()
            life.start_sidecar()
            wait_until(lambda: "trying again" in open(life.path("sidecar.log"), encoding="utf-8").read(),
                       "the sidecar says that it tries again")
            life.cluster.start()
            life.wait_phase("forward")
            life.let_it_write(30)
            life.cluster.stop("immediate")
            life.let_it_write(50)
            life.cluster.start()
            life.wait_phase("forward")
            life.stop_application()
            life.check(60)

    def test_two_sidecars_at_once(self):
        with Life(rows=100) as life:
            life.start_sidecar()
            life.wait_phase("forward")
            code, _, err = life.run("run")
            self.assertEqual(code, 1, err)
            self.assertIn(str(life.sidecar.pid), err)
            self.assertIsNone(life.sidecar.poll())

    def test_a_transaction_opened_before_the_flip_cannot_write_after_it(self):
        with Life(rows=100) as life:
            life.start_application()
            life.start_sidecar()
            life.wait_phase("forward")
            life.flip("cutover")
            reader = psycopg2.connect(life.url)
            reader.set_session(isolation_level="REPEATABLE READ")
            cursor = reader.cursor()
            cursor.execute("SELECT 1")
            life.flip("rollback")
            with self.assertRaises(psycopg2.Error) as refused:
                cursor.execute("UPDATE users SET username = username")
            self.assertEqual(refused.exception.pgcode, "25006")
            reader.close()
            life.stop_application()
            life.check()

    def test_an_open_reader_in_rollback_journal_mode_makes_the_flip_refuse_and_changes_nothing(self):
        with Life(rows=100) as life:
            life.start_sidecar()
            life.wait_phase("forward")
            reader = life.sqlite()
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM tweets").fetchone()
            code, out, err = life.run("cutover", "--yes", "--json", "--max-pause", "200ms")
            self.assertEqual(code, 1, out + err)
            self.assertFalse(json.loads(out)["flipped"])
            reader.execute("ROLLBACK")
            life.sqlite().execute("UPDATE users SET last_scraped = last_scraped")
            self.assertEqual(life.group()["primary"], "old")
            life.flip("cutover")


if __name__ == "__main__":
    unittest.main()
