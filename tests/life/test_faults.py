"""What goes wrong on a machine, played against the real program: connections that are lost, clocks that jump, values that
fit no type, a table that is gone. Each time something clear is said, nothing is lost or half done, and it goes on once
the cause is gone. Disks and interruptions have files of their own."""
import json
import os
import random
import subprocess
import sys
import threading
import unittest

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
class Faults(FaultTest):
    """Values, tables, connections and clocks."""

    def goes_on_when_postgres_is_back(self, life):
        """What was written without it comes across, and a flip goes through."""
        life.let_it_write(10)
        life.cluster.start()
        life.flip_when_ready("cutover")
        life.let_it_write(10)
        life.stop_application()
        life.check()

    def test_a_lost_connection_is_shown_with_its_next_try(self):
        with Life(rows=100, rate=50) as life:
            life.start_application()
            life.start_sidecar()
            life.wait_phase("forward")
            life.cluster.stop("immediate")
            # The same answer: the next one may come while it is just trying.
            text = wait_until(lambda: (lambda said: "next try in" in said and said)(life.run("status")[1]),
                              "status shows the next try")
            self.assertRegex(text, r"postgres +DOWN +PostgreSQL\n +.*\(next try in \d+\.\d s\)")
            self.assertRegex(text, r"old +up")
            tries = wait_until(lambda: (lambda n: n >= 5 and n)(log(life).count("trying again in")), "five tries")
            pauses = [int(part.split(" ms")[0]) for part in log(life).split("trying again in ")[1:tries + 1]]
            self.assertGreater(max(pauses[2:]), min(pauses[:2]), "the pauses grow")
            code, out, err = life.run("cutover", "--yes")
            self.assertIn(code, (1, 3), out + err)
            self.goes_on_when_postgres_is_back(life)

    def test_postgres_goes_down_under_a_flip_that_has_not_decided(self):
        """Nobody has to wait for it: the old store is open, and everybody is told so at once."""
        def told():
            with open(life.path("switchback.run/primary"), encoding="utf-8") as hint:
                return json.load(hint)["state"]
        with Life(rows=100, rate=50, journal_mode="wal") as life:
            life.start_sidecar()
            life.wait_phase("forward")
            database = life.sqlite()
            database.execute("BEGIN IMMEDIATE")
            database.execute("UPDATE users SET last_scraped = last_scraped")
            flip = life.start("flip.log", "cutover", "--yes", "--max-pause", "200ms")
            wait_until(lambda: told() == "closing", "the flip tries to lock")
            life.cluster.stop("immediate")
            wait_until(lambda: told() == "settled", "the flip has given up")
            self.assertIn(flip.wait(60), (1, 3))
            self.assertEqual((life.group()["primary"], life.group()["phase"]), ("old", "forward"))
            self.assertNotEqual(life.run("cutover", "--yes")[0], 0)
            database.execute("COMMIT")
            database.close()
            life.start_application()
            self.goes_on_when_postgres_is_back(life)

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
            self.refused(life, "cutover", "2 rows are in quarantine.*switchback quarantine list")
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


if __name__ == "__main__":
    unittest.main()
