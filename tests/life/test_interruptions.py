"""Flips and runs that do not come to their end: Ctrl-C at any moment, and deadlines that pass because somebody holds a
lock. Nothing is lost or half done, everybody is told as before who is primary, and the next one goes through."""
import os
import random
import signal
import sys
import time
import unittest

import psycopg2

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from faults import FaultTest, log  # noqa: E402
from life import PROGRAM, Life, wait_until  # noqa: E402


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Interruptions(FaultTest):
    """Signals and deadlines."""

    def test_ctrl_c_at_random_moments(self):
        chance = random.Random(5)
        with Life(rows=3000, rate=100) as life:
            life.start_application()
            for number in range(6):
                life.start_sidecar()
                time.sleep(chance.uniform(0.05, 1.5))  # the moment is what is random
                # So early that nobody listens yet, it dies of the signal: nothing has begun then.
                self.assertIn(life.stop_sidecar(signal.SIGINT), (0, -signal.SIGINT), f"{number}: {log(life)[-2000:]}")
            for number in range(4):
                life.start_sidecar()
                wait_until(lambda: life.group().get("phase") in ("forward", "reverse"), "it settles", 90)
                there = "cutover" if life.group()["primary"] == "old" else "rollback"
                flip = life.start("flip.log", there, "--yes")
                time.sleep(chance.uniform(0, 0.3))  # the moment is what is random
                self.assertEqual(life.stop_sidecar(signal.SIGINT), 0, f"flip {number}: {log(life)[-2000:]}")
                self.assertIn(flip.wait(60), (0, 1, 3))
            life.start_sidecar()
            wait_until(lambda: life.group().get("phase") in ("forward", "reverse"), "it settles", 90)
            life.let_it_write(20)
            life.stop_application()
            life.check(60)

    def test_a_deadline_that_passes_changes_nothing(self):
        with Life(rows=100, rate=50, journal_mode="wal") as life:
            life.start_sidecar()
            life.wait_phase("forward")
            life.start_application()
            life.let_it_write(5)
            self.slow_transaction_elsewhere(life)
            self.writer_in_sqlite(life)
            life.flip("cutover")
            life.let_it_write(5)
            self.writer_in_postgres(life)
            life.let_it_write(5)
            life.flip("rollback")
            life.let_it_write(5)
            life.stop_application()
            life.check()

    def test_what_fails_after_the_decision_is_finished_by_the_sidecar_that_is_up(self):
        """Between closing one side and opening the other: only the connection is lost, the sidecar and its pump live."""
        with Life(rows=100, rate=50, journal_mode="wal") as life:
            life.start_application()
            life.start_sidecar(SWITCHBACK_FAILPOINT="flip.open.before=error,flip.journal.clear.after=error@3")
            life.wait_phase("forward")
            life.let_it_write(5)
            code, out, err = life.run("cutover", "--yes")
            self.assertNotEqual(code, 0, out + err)
            wait_until(lambda: life.group().get("phase") == "reverse", "the decided flip is finished", 60)
            life.let_it_write(5)
            life.flip("rollback")
            self.assertIn("still noted as decided", log(life))
            life.let_it_write(5)
            life.flip("cutover")
            life.let_it_write(5)
            life.stop_application()
            life.check()

    def slow_transaction_elsewhere(self, life):
        """A slot waits for every transaction that has written: the flip may not wait for ever with it."""
        writer = psycopg2.connect(life.cluster.url)
        writer.cursor().execute("CREATE TABLE elsewhere ()")
        self.refused(life, "cutover", "transaction")
        writer.rollback()
        writer.close()

    def writer_in_sqlite(self, life):
        life.stop_application()
        database = life.sqlite()
        database.execute("BEGIN IMMEDIATE")
        database.execute("UPDATE users SET last_scraped = last_scraped")
        began = time.monotonic()
        self.refused(life, "cutover", "lock", "--max-pause", "100ms")
        self.assertLess(time.monotonic() - began, 45)
        database.execute("COMMIT")
        database.close()
        life.start_application()
        life.let_it_write(5)

    def writer_in_postgres(self, life):
        """Named so that the look beforehand passes it over: it is the deadline that must pass."""
        writer = psycopg2.connect(life.url, application_name="switchback test")
        writer.cursor().execute("UPDATE users SET username = username WHERE id = (SELECT min(id) FROM users)")
        self.refused(life, "rollback", "lock", "--max-pause", "100ms")
        life.let_it_write(5)
        writer.commit()
        writer.close()
        nosy = life.postgres()
        nosy.cursor().execute("BEGIN; LOCK TABLE users IN ROW EXCLUSIVE MODE")
        self.idle_for_a_second(life)
        self.refused(life, "rollback", r"idle in a transaction and holds RowExclusiveLock on users"
                                       r".*pg_terminate_backend")
        nosy.close()

    def idle_for_a_second(self, life):
        """From then on an idle transaction is named."""
        def idle():
            with life.postgres() as connection, connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_stat_activity WHERE state = 'idle in transaction' AND query LIKE '%LOCK%' "
                               "AND state_change < clock_timestamp() - interval '1 s'")
                return cursor.fetchone()
        wait_until(idle, "the transaction has been idle for a second")


if __name__ == "__main__":
    unittest.main()
