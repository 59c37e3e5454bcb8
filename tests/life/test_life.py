"""The whole life of a bridge, with the client application writing all the while, in both journal modes: load,
forward, SIGKILL and restart, cutover, psql writes, reverse, rollback, cutover, abandon from forward. The independent
checker compares at each stop."""
import json
import os
import signal
import sqlite3
import sys
import unittest

import psycopg2

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import PROGRAM, Life, wait_until  # noqa: E402


def quiet_check(life):
    """Stops the writers, compares, and lets them go on."""
    report = life.stop_application()
    line = life.check()
    life.start_application()
    return report, line


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class WholeLife(unittest.TestCase):
    """One class attribute differs between the journal modes."""

    def play(self, journal_mode):
        with Life(tweets=2000, journal_mode=journal_mode, rate=200) as life:
            schema_before = self.schema(life)
            life.start_application()
            life.start_sidecar()
            life.wait_phase("forward")
            life.let_it_write(100)
            quiet_check(life)

            life.let_it_write(50)
            life.stop_sidecar(signal.SIGKILL)
            life.let_it_write(50)
            life.start_sidecar()
            life.wait_phase("forward")
            life.let_it_write(50)
            quiet_check(life)

            flipped = life.flip("cutover")
            self.assertTrue(flipped["flipped"])
            self.assertEqual(flipped["primary"], "postgres")
            self.assertTrue(os.path.exists(flipped["certificate"]))
            life.let_it_write(100)
            self.refused_by_sqlite(life)
            quiet_check(life)

            life.let_it_write(50)
            life.stop_sidecar(signal.SIGKILL)
            life.let_it_write(50)
            life.start_sidecar()
            life.wait_phase("reverse")
            quiet_check(life)

            self.assertEqual(life.flip("rollback")["primary"], "old")
            life.let_it_write(100)
            self.refused_by_postgres(life)
            quiet_check(life)

            self.assertEqual(life.flip("cutover")["primary"], "postgres")
            life.let_it_write(50)
            self.assertEqual(life.flip("rollback")["primary"], "old")
            life.let_it_write(50)
            life.stop_application()
            self.assertTrue(life.check().endswith(", 0 lost"))

            self.assertEqual(life.stop_sidecar(), 0)
            code, out, err = life.run("abandon", "--yes")
            self.assertEqual(code, 0, out + err)
            self.assertEqual(self.schema(life), schema_before)
            with life.postgres() as postgres, postgres.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'switchback'")
                self.assertEqual(cursor.fetchone()[0], 0)
                cursor.execute("SELECT count(*) FROM pg_replication_slots")
                self.assertEqual(cursor.fetchone()[0], 0)

    @staticmethod
    def schema(life):
        database = life.sqlite()
        rows = database.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").fetchall()
        database.close()
        return rows

    def refused_by_sqlite(self, life):
        with self.assertRaisesRegex(sqlite3.IntegrityError, 'switchback: writes to .*"postgres".*epoch'):
            life.sqlite().execute("UPDATE users SET username = username")

    def refused_by_postgres(self, life):
        for statement in ("UPDATE users SET username = username", "TRUNCATE analysis_chunks"):
            with self.assertRaises(psycopg2.Error) as refused:
                life.postgres().cursor().execute(statement)
            self.assertEqual(refused.exception.pgcode, "25006")
            self.assertIn('go to "old"', str(refused.exception))

    def test_rollback_journal(self):
        self.play("delete")

    def test_wal(self):
        self.play("wal")


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Faults(unittest.TestCase):
    """What a person's day brings."""

    def test_postgres_down_at_start_and_in_the_middle(self):
        with Life(tweets=300) as life:
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
        with Life(tweets=100) as life:
            life.start_sidecar()
            life.wait_phase("forward")
            code, _, err = life.run("run")
            self.assertEqual(code, 1, err)
            self.assertIn(str(life.sidecar.pid), err)
            self.assertIsNone(life.sidecar.poll())

    def test_a_transaction_opened_before_the_flip_cannot_write_after_it(self):
        with Life(tweets=100) as life:
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
        with Life(tweets=100) as life:
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
