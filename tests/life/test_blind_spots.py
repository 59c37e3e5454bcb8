"""What no comparison of single changes could see ends "clean", even if it was put back, and the next full comparison
names the value that was changed behind it."""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import Life, PROGRAM, wait_until  # noqa: E402
from tampering import about_to_commit_unseen, postgres_unseen, sqlite_unseen  # noqa: E402
from test_verify import Planted, found, verify  # noqa: E402

FENCES = ("switchback_fence_row", "switchback_fence_statement")


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class BlindSpots(unittest.TestCase):
    """One bridge, one blind spot after the other; nobody asks for a comparison."""

    def test_each_ends_clean(self):
        with Life(rows=200, journal_mode="wal") as life:
            life.start_sidecar()
            life.wait_phase("forward")
            planted = Planted(life, 4)
            with life.sqlite() as database:
                planted.make(database.execute)
            for number, spot in enumerate((self.fence_off_and_on, self.column_rewritten, self.trigger_off_and_on,
                                           self.triggers_switched_off)):
                wait_until(lambda: self.last(life).get("clean"), f"clean before {spot.__name__}", 90, 0.2)
                spot(life, planted.keys[number])
                wait_until(lambda: self.last(life).get("identical") is False, f"{spot.__name__} is found", 90, 0.2)
                self.assertFalse(self.last(life)["clean"])
                self.assertIn("no longer clean", self.log(life))
                code, report = verify(life, "--repair")
                self.assertEqual((code, found(report)), (0, {(planted.keys[number], "value")}))

    def test_what_a_repair_did_is_compared_before_a_flip_stands_on_it(self):
        """A row that it deletes may be one that others refer to, and were compared before."""
        with Life(rows=200, journal_mode="wal") as life:
            with open(life.path("switchback.toml"), "a", encoding="utf-8") as config:
                config.write('\n[verify]\nevery = "off"\n')
            life.start_sidecar()
            life.wait_phase("forward")
            self.assertEqual(verify(life)[0], 0)
            self.assertTrue(self.last(life)["clean"])
            postgres_unseen(life.postgres(), "UPDATE users SET username = 'unseen' WHERE id = (SELECT min(id) FROM users)")
            code, report = verify(life, "--repair")
            self.assertEqual((code, len(found(report))), (0, 1))
            last = self.last(life)
            self.assertEqual((last["identical"], last["clean"]), (True, False))
            self.assertIn("repaired", last["why"])
            life.flip_when_ready("cutover")

    def test_between_the_gates_of_a_flip_and_its_lock(self):
        """Without an entry in the log there is nothing to drain, and after the flip nobody would know of it."""
        with Life(rows=200, journal_mode="wal") as life:
            life.start_sidecar()
            life.wait_phase("forward")
            code, _ = verify(life)
            self.assertEqual(code, 0)
            with about_to_commit_unseen(life.path(life.store), "UPDATE users SET username = 'unseen' WHERE id = "
                                        "(SELECT min(id) FROM users)"):
                flip = life.start("flip.log", "cutover", "--yes", "--max-pause", "5s")
                wait_until(lambda: self.primary(life)["state"] == "closing", "the gates are passed", 60)
            self.assertEqual(flip.wait(60), 1)
            with open(life.path("flip.log"), encoding="utf-8") as said:
                self.assertIn("commits that capture saw nothing of", said.read())
            code, report = verify(life, "--repair")
            self.assertEqual(len(found(report)), 1)
            life.flip_when_ready("cutover")
            with life.postgres() as postgres, postgres.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM users WHERE username = 'unseen'")
                self.assertEqual(cursor.fetchone()[0], 1)

    def primary(self, life):
        with open(life.path("switchback.run/primary"), encoding="utf-8") as hint:
            return json.load(hint)

    def last(self, life):
        return (life.ask("/status") or {}).get("last_verify") or {}

    def log(self, life):
        with open(life.path("sidecar.log"), encoding="utf-8") as log:
            return log.read()

    def fence_off_and_on(self, life, key):
        with life.postgres() as postgres, postgres.cursor() as cursor:
            for mode in ("DISABLE", "ENABLE ALWAYS"):
                for fence in FENCES:
                    cursor.execute(f"ALTER TABLE funnel_completion {mode} TRIGGER {fence}")
                if mode == "DISABLE":
                    cursor.execute(f"UPDATE funnel_completion SET completion_data = '2' WHERE user_id = '{key}'")

    def column_rewritten(self, life, key):
        with life.postgres() as postgres, postgres.cursor() as cursor:
            cursor.execute("ALTER TABLE funnel_completion ALTER COLUMN completion_data TYPE jsonb USING "
                           f"CASE WHEN user_id = '{key}' THEN '3' ELSE completion_data END")

    def trigger_off_and_on(self, life, key):
        with life.sqlite() as database:
            triggers = database.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' AND "
                                        "tbl_name = 'funnel_completion' AND name GLOB '_switchback*'").fetchall()
            database.execute("BEGIN IMMEDIATE")
            for name, _ in triggers:
                database.execute(f'DROP TRIGGER "{name}"')
            database.execute(f"UPDATE funnel_completion SET completion_data = '4' WHERE user_id = '{key}'")
            for _, text in triggers:
                database.execute(text)
            database.execute("COMMIT")

    def triggers_switched_off(self, life, key):
        sqlite_unseen(life.path(life.store),
                      f"UPDATE funnel_completion SET completion_data = '5' WHERE user_id = '{key}'")


if __name__ == "__main__":
    unittest.main()
