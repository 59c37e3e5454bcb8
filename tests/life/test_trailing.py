"""What is applied is compared once more shortly afterwards; what is owed of it survives the sidecar, and is compared
under a flip's lock. Rows are changed by hand on the other side in between."""
import json
import os
import signal
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import Life, PROGRAM, wait_until  # noqa: E402
from tampering import file_unseen, postgres_unseen, sqlite_unseen  # noqa: E402
from test_verify import Planted, found, make_subscription, verify  # noqa: E402

HELD = {"SWITCHBACK_FAILPOINT": "verify.trail.before=hold"}


def trailing(life):
    return (life.ask("/status") or {}).get("trailing") or {}


def restart(life, **environment):
    life.stop_sidecar(signal.SIGKILL)
    life.start_sidecar(**environment)
    wait_until(life.settled, "the sidecar is up again", 60, 0.05)


def held_and_clean(life):
    """The verifier that trails behind holds still, and nothing makes a flip compare everything."""
    restart(life, **HELD)
    code, report = verify(life)
    assert code == 0, report


def set_value(key, value):
    return f"UPDATE funnel_completion SET completion_data = '{value}' WHERE user_id = '{key}'"


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Trailing(unittest.TestCase):

    def is_named(self, life, key):
        wait_until(lambda: any(key in words for words in trailing(life).get("examples", [])), f"{key} is named", 60)
        self.assertGreaterEqual(trailing(life)["found"], 1)
        self.assertFalse((life.ask("/status").get("last_verify") or {}).get("clean"))
        metrics = life.metrics()
        self.assertGreaterEqual(sum(value for name, value in metrics.items()
                                    if name.startswith("switchback_verify_differences_total")), 1)

    def repair(self, life, key):
        code, report = verify(life, "--repair")
        self.assertEqual((code, found(report)), (0, {(key, "value")}))

    def refused(self, life, command, key):
        before = life.group()
        code, out, err = life.run(command, "--yes", "--json")
        self.assertEqual(code, 1, out + err)
        self.assertIn(key, out)
        self.assertFalse(json.loads(out)["flipped"])
        after = life.group()
        self.assertEqual([after[name] for name in ("phase", "primary", "epoch")],
                         [before[name] for name in ("phase", "primary", "epoch")])

    def test_sqlite(self):
        with Life(rows=100, journal_mode="wal") as life:
            life.start_sidecar()
            life.wait_phase("forward")
            planted = Planted(life, 4)
            with life.sqlite() as database:
                planted.make(database.execute)
            wait_until(lambda: trailing(life).get("compared", 0) >= 4 and trailing(life)["owed"] == 0, "it follows")
            self.assertEqual(trailing(life)["found"], 0)
            self.forward(life, planted.keys)
            life.start_application()
            life.let_it_write(30)
            life.flip_when_ready("cutover")
            life.stop_application()
            self.reverse(life, planted.keys)
            life.flip_when_ready("rollback")

    def value_in_postgres(self, life, key):
        with life.postgres() as postgres, postgres.cursor() as cursor:
            cursor.execute("SELECT completion_data::text FROM funnel_completion WHERE user_id = %s", (key,))
            return cursor.fetchone()[0]

    def forward(self, life, keys):
        # Under the lock: nobody has compared the row since it was changed.
        held_and_clean(life)
        with life.sqlite() as database:
            database.execute(set_value(keys[0], '{"n": 7}'))
        wait_until(lambda: "7" in self.value_in_postgres(life, keys[0]), "the change has arrived")
        postgres_unseen(life.postgres(), set_value(keys[0], '{"n": 8}'))
        self.refused(life, "cutover", keys[0])
        # The debt survives the sidecar.
        restart(life)
        self.is_named(life, keys[0])
        self.refused(life, "cutover", keys[0])
        self.repair(life, keys[0])

    def value_in_sqlite(self, life, key):
        with life.sqlite() as database:
            return database.execute("SELECT completion_data FROM funnel_completion WHERE user_id = ?",
                                    (key,)).fetchone()[0]

    def reverse(self, life, keys):
        held_and_clean(life)
        with life.postgres() as postgres, postgres.cursor() as cursor:
            cursor.execute(set_value(keys[1], '{"n": 7}'))
        wait_until(lambda: "7" in self.value_in_sqlite(life, keys[1]), "the change has arrived")
        sqlite_unseen(life.path(life.store), set_value(keys[1], '{"n": 8}'))
        self.refused(life, "rollback", keys[1])
        restart(life)
        self.is_named(life, keys[1])
        self.repair(life, keys[1])

    def test_files(self):
        with Life(rows=20, system="llmcouncil", user="nobody") as life:
            life.start_sidecar()
            life.wait_phase("forward")
            paths = [life.path(f"{life.store}/subscriptions/planted_{n}.json") for n in range(2)]
            restart(life, **HELD)
            for path in paths:
                make_subscription(path)
            wait_until(lambda: self.tier_in_postgres(life, "planted_1"), "they have arrived")
            postgres_unseen(life.postgres(), "UPDATE subscriptions SET tier = 'yearly' WHERE user_id = 'planted_0'")
            restart(life)
            self.is_named(life, "planted_0")
            self.repair(life, "planted_0")
            life.flip_when_ready("cutover")
            held_and_clean(life)
            with life.postgres() as postgres, postgres.cursor() as cursor:
                cursor.execute("UPDATE subscriptions SET tier = 'yearly' WHERE user_id = 'planted_1'")
            wait_until(lambda: "yearly" in self.text_of(paths[1]), "the change has arrived")
            file_unseen(paths[1], lambda text: text.replace("yearly", "free"))
            self.refused(life, "rollback", "planted_1")
            restart(life)
            self.is_named(life, "planted_1")
            self.repair(life, "planted_1")
            life.flip_when_ready("rollback")

    def text_of(self, path):
        with open(path, encoding="utf-8") as file:
            return file.read()

    def tier_in_postgres(self, life, key):
        with life.postgres() as postgres, postgres.cursor() as cursor:
            cursor.execute("SELECT tier FROM subscriptions WHERE user_id = %s", (key,))
            return cursor.fetchone()


if __name__ == "__main__":
    unittest.main()
