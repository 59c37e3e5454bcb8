"""What goes wrong on a machine, played against the real program: connections that are lost, clocks that jump, Ctrl-C at
any moment, and deadlines that pass. Each time something clear is said, nothing is lost or half done, and it goes on
once the cause is gone. Disks have a file of their own."""
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import unittest

import psycopg2

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from faults import FaultTest, log  # noqa: E402
from life import PROGRAM, Life, wait_until  # noqa: E402

CLOCK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "jumping_clock.c")


class Jumps(threading.Thread):
    """Writes the offset that jumping_clock.c adds."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.over = path, threading.Event()
        self.jump(0)

    def jump(self, seconds):
        with open(self.path, "r+b" if os.path.exists(self.path) else "wb") as page:
            page.write(seconds.to_bytes(8, "little", signed=True))

    def run(self):
        while not self.over.wait(0.02):
            self.jump(random.choice((0, 10 * 365 * 86400, -10 * 365 * 86400)))

    def stop(self):
        self.over.set()
        self.join()


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Interruptions(FaultTest):
    """Connections, signals and deadlines."""

    def test_a_lost_connection_is_shown_with_its_next_try(self):
        with Life(rows=100, rate=50) as life:
            life.start_application()
            life.start_sidecar()
            life.wait_phase("forward")
            life.cluster.stop("immediate")
            wait_until(lambda: "next try in" in life.run("status")[1], "status shows the next try")
            text = life.run("status")[1]
            self.assertRegex(text, r"postgres +DOWN +PostgreSQL\n +.*\(next try in \d+\.\d s\)")
            self.assertRegex(text, r"old +up")
            tries = wait_until(lambda: (lambda n: n >= 5 and n)(log(life).count("trying again in")), "five tries")
            pauses = [int(part.split(" ms")[0]) for part in log(life).split("trying again in ")[1:tries + 1]]
            self.assertGreater(max(pauses[2:]), min(pauses[:2]), "the pauses grow")
            code, out, err = life.run("cutover", "--yes")
            self.assertIn(code, (1, 3), out + err)
            life.let_it_write(10)
            life.cluster.start()
            life.flip_when_ready("cutover")
            life.let_it_write(10)
            life.stop_application()
            life.check()

    def test_a_wall_clock_that_jumps(self):
        """By years and back, every few milliseconds, in the program only: deadlines and pauses never notice."""
        with Life(rows=300, rate=100) as life:
            shim = life.path("jumping_clock.so")
            subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim, CLOCK, "-ldl"], check=True)
            jumps = Jumps(life.path("clock"))
            life.start_application()
            life.start_sidecar(LD_PRELOAD=shim, JUMPING_CLOCK=life.path("clock"),
                               ASAN_OPTIONS="verify_asan_link_order=0:" + os.environ.get("ASAN_OPTIONS", ""))
            jumps.start()
            life.wait_phase("forward")
            for command in ("cutover", "rollback", "cutover", "rollback"):
                life.let_it_write(10)
                outcome = life.flip_when_ready(command)
                self.assertTrue(0 < outcome["pause_ms"] < 30000, outcome)
                with open(outcome["certificate"], encoding="utf-8") as certificate:
                    self.assertEqual(json.load(certificate)["epoch"], outcome["epoch"])
            jumps.stop()
            with open(life.path("state/audit.jsonl"), encoding="utf-8") as audit:
                entries = [json.loads(line) for line in audit]
            self.assertEqual([entry["seq"] for entry in entries], list(range(1, len(entries) + 1)))
            self.assertGreater(len({entry["at"][:4] for entry in entries}), 1, "the clock did jump")
            life.stop_application()
            life.check()

    def test_values_that_fit_no_type_and_a_table_that_is_gone(self):
        with Life(rows=100, rate=50) as life:
            life.start_sidecar()
            life.wait_phase("forward")
            database = life.sqlite()
            key, traits = database.execute("SELECT id, traits FROM personality_analysis ORDER BY id").fetchone()
            set_traits = "UPDATE personality_analysis SET traits = ? WHERE id = ?"
            database.execute(set_traits, ("no json", key))
            database.execute("INSERT INTO users (id, username) VALUES ('nul', 'a' || char(0) || 'b')")
            life.start_application()
            wait_until(lambda: (life.status() or {}).get("quarantined") == 2, "both rows are in quarantine")
            self.refused(life, "cutover", "correct them on the primary.*2 rows are in quarantine")
            with life.postgres() as connection, connection.cursor() as cursor:
                cursor.execute("SELECT table_name, key, reason FROM switchback.quarantine ORDER BY 1")
                named = cursor.fetchall()
            self.assertEqual([row[0] for row in named], ["public.personality_analysis", "public.users"])
            self.assertIn(key, named[0][1])
            self.assertIn("traits", named[0][2])
            life.let_it_write(20)
            database.execute(set_traits, (traits, key))
            database.execute("DELETE FROM users WHERE id = 'nul'")
            life.flip_when_ready("cutover")
            life.flip_when_ready("rollback")
            life.stop_application()
            life.check()
            database.execute("DROP TABLE funnel_completion")
            wait_until(lambda: "funnel_completion" in " ".join((life.status() or {}).get("needs_you", [])),
                       "status names the table that is gone")
            self.assertRegex(life.run("status")[1], r"(?s)old +up .*needs you:.*the pump has stopped: funnel_completion")

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
        time.sleep(1.1)  # an idle transaction is named once it has been idle for a second
        self.refused(life, "rollback", r"pg_terminate_backend.*idle in a transaction and holds "
                                       r"RowExclusiveLock on users")
        nosy.close()


if __name__ == "__main__":
    unittest.main()
