"""`switchback verify` on a store that is in use: no difference where there is none, and every one where there is."""
import json
import os
import sys
import unittest

if os.environ.get("SWITCHBACK_RELEASE") and os.environ.get("SWITCHBACK_VERIFY_ROWS"):
    # So many rows need the program at its real speed; before it is looked for below.
    os.environ["SWITCHBACK"] = os.environ["SWITCHBACK_RELEASE"]

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import Life, PROGRAM, wait_until  # noqa: E402
from tampering import file_unseen, postgres_unseen, sqlite_unseen  # noqa: E402

# What a flip may wait for the comparison that it needs, where other tests want the processor too.
A_COMPARISON = 240
PLANTED = int(os.environ.get("SWITCHBACK_VERIFY_PLANTED", "60"))


def verify(life, *options):
    """(exit code, report) of `verify --json`."""
    code, out, err = life.run("verify", "--json", *options, timeout=600)
    assert out, f"verify ended with {code}: {err}"
    return code, json.loads(out)


def found(report):
    """What is named: {(key, what)}."""
    return {(one["key"][0], one["what"]) for table in report["tables"] for one in table["differences"]}


def make_subscription(path):
    """A subscription's file as LLM Council would write it, its key the file's name; by rename."""
    key = os.path.basename(path)[:-5]
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump({"user_id": key, "tier": "monthly", "status": "active", "stripe_subscription_id": None,
                   "current_period_end": None, "created_at": "2024-01-01T00:00:00",
                   "updated_at": "2024-01-01T00:00:00"}, file, indent=2)
    os.rename(path + ".new", path)


def plan(keys, side):
    """What is done to rows on one side, one third changed, one removed, one added: [(what, key)]; and what is to be
    found."""
    missing, added = f"missing in {side}", f"missing in {'postgres' if side == 'old' else 'old'}"
    work, expected = [], set()
    for n, key in enumerate(keys):
        what, name, finding = (("change", key, "value"), ("remove", key, missing), ("add", f"added_{key}", added))[n % 3]
        work.append((what, name))
        expected.add((name, finding))
    return work, expected


class Planted:
    """Rows of a table that the application leaves alone."""
    TAMPER = {"change": "UPDATE funnel_completion SET completion_data = '{{\"n\": 2}}' WHERE user_id = '{0}'",
              "remove": "DELETE FROM funnel_completion WHERE user_id = '{0}'",
              "add": "INSERT INTO funnel_completion (user_id, completed_at) VALUES ('{0}', '2024-01-01 00:00:00')"}

    def __init__(self, life, count=PLANTED, prefix="planted"):
        self.life = life
        self.keys = [f"{prefix}_{n:05d}" for n in range(count)]

    def make(self, write):
        """The rows as the application would make them; `write` runs a statement at the primary."""
        for n in range(0, len(self.keys), 100):
            write("INSERT INTO funnel_completion (user_id, completed_at, completion_data) VALUES " + ", ".join(
                f"('{key}', '2024-01-01 00:00:00', '{{\"n\": 1}}')" for key in self.keys[n:n + 100]))

    def tamper(self, side):
        """Statements, each of which makes one difference; and what is to be found."""
        work, expected = plan(self.keys, side)
        return [self.TAMPER[what].format(key) for what, key in work], expected


class PlantedFiles(Planted):
    """The same of LLM Council's subscriptions, each a file."""
    ROW = "('{0}', 'monthly', 'active', '2024-01-01', '2024-01-01')"
    INSERT = "INSERT INTO subscriptions (user_id, tier, status, created_at, updated_at) VALUES "
    TAMPER = {"change": "UPDATE subscriptions SET tier = 'yearly' WHERE user_id = '{0}'",
              "remove": "DELETE FROM subscriptions WHERE user_id = '{0}'",
              "add": INSERT + ROW}

    def path(self, key):
        return self.life.path(f"{self.life.store}/subscriptions/{key}.json")

    def make_files(self):
        for key in self.keys:
            make_subscription(self.path(key))

    def make(self, write):
        write(self.INSERT + ", ".join(self.ROW.format(key) for key in self.keys))

    def tamper_files(self):
        """Does it past the fence; what is to be found."""
        work, expected = plan(self.keys, "old")
        does = {"change": lambda path: file_unseen(path, lambda text: text.replace("monthly", "yearly")),
                "remove": os.unlink, "add": make_subscription}
        for what, key in work:
            does[what](self.path(key))
        return expected


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Verify(unittest.TestCase):
    """One bridge each, with its application writing all the while."""

    def identical(self, life, times):
        for _ in range(times):
            code, report = verify(life)
            self.assertEqual((code, report["identical"], found(report)), (0, True, set()))
        return report

    def finds_and_repairs(self, life, tamper, planted, side):
        statements, expected = planted.tamper(side)
        tamper(*statements)
        code, report = verify(life)
        self.assertEqual((code, report["identical"]), (1, False))
        self.assertEqual(found(report), expected)
        for table in report["tables"]:
            for one in table["differences"]:
                self.assertTrue(one["cause"])
                if one["what"] == "value":
                    self.assertEqual(one["column"], "completion_data")
                    self.assertIn('"n": ', one["old"] + one["postgres"])
        code, report = verify(life, "--repair", "--table", "funnel_completion")
        self.assertEqual((code, report["identical"]), (0, True))
        self.assertTrue(all(one["repaired"] for one in report["tables"][0]["differences"]))
        self.assertEqual(found(report), expected)
        self.identical(life, 1)

    def sqlite_write(self, life):
        def write(statement):
            with life.sqlite() as database:
                database.execute(statement)
        return write

    def postgres_write(self, life):
        def write(statement):
            with life.postgres() as postgres, postgres.cursor() as cursor:
                cursor.execute(statement)
        return write

    def test_both_directions_under_load(self):
        rows = int(os.environ.get("SWITCHBACK_VERIFY_ROWS", "1000"))
        rate = int(os.environ.get("SWITCHBACK_VERIFY_RATE", "200"))
        times = int(os.environ.get("SWITCHBACK_VERIFY_TIMES", "2"))
        with Life(rows=rows, rate=rate, journal_mode="wal") as life:
            life.start_sidecar()
            life.wait_phase("forward", 900)
            one = Planted(life)
            one.make(self.sqlite_write(life))
            life.start_application()
            life.let_it_write(50)
            report = self.identical(life, times)
            print(f"{rows} rows forward: {report['took_ms']} ms")
            self.finds_and_repairs(life, lambda *s: postgres_unseen(life.postgres(), *s), one, "postgres")
            self.finds_and_repairs(life, lambda *s: sqlite_unseen(life.path(life.store), *s), one, "old")
            self.last_verify_is_told(life)
            life.flip_when_ready("cutover", A_COMPARISON)
            life.let_it_write(50)
            report = self.identical(life, times)
            print(f"{rows} rows reverse: {report['took_ms']} ms")
            two = Planted(life, prefix="second_planted")
            two.make(self.postgres_write(life))
            self.identical(life, 1)
            self.finds_and_repairs(life, lambda *s: sqlite_unseen(life.path(life.store), *s), two, "old")
            self.finds_and_repairs(life, lambda *s: postgres_unseen(life.postgres(), *s), two, "postgres")
            life.stop_application()
            # The checker knows what the application wrote, and no more.
            self.postgres_write(life)("DELETE FROM funnel_completion WHERE user_id LIKE '%planted%'")
            life.check()

    def test_files(self):
        with Life(rows=40, rate=20, system="llmcouncil", user="nobody") as life:
            life.start_sidecar()
            life.wait_phase("forward", 300)
            life.start_application()
            life.let_it_write(20)
            one = PlantedFiles(life)
            one.make_files()
            self.identical(life, 2)
            self.names_and_repairs(life, self.in_postgres(life, one))
            # More files than its configuration expects: each is read once more under the lock.
            life.flip_when_ready("cutover", A_COMPARISON, ("--max-pause", "20s"))
            life.let_it_write(20)
            self.identical(life, 2)
            self.names_and_repairs(life, self.in_postgres(life, one))
            two = PlantedFiles(life, prefix="second_planted")
            two.make(self.postgres_write(life))
            self.identical(life, 1)
            self.names_and_repairs(life, two.tamper_files)
            life.stop_application()
            self.postgres_write(life)("DELETE FROM subscriptions WHERE user_id LIKE '%planted%'")
            life.check()

    @staticmethod
    def in_postgres(life, planted):
        def tamper():
            statements, expected = planted.tamper("postgres")
            postgres_unseen(life.postgres(), *statements)
            return expected
        return tamper

    def names_and_repairs(self, life, tamper):
        expected = tamper()
        code, report = verify(life)
        self.assertEqual((code, found(report)), (1, expected))
        code, report = verify(life, "--repair")
        self.assertEqual((code, report["identical"]), (0, True), report)
        self.identical(life, 1)

    def last_verify_is_told(self, life):
        status = life.status()
        self.assertTrue(status["last_verify"]["identical"], status["last_verify"])
        self.assertRegex(status["last_verify"]["at"], r"^\d{4}-\d\d-\d\dT")

    def test_alone_and_what_is_refused(self):
        with Life(rows=300) as life:
            code, _, err = life.run("verify")
            self.assertEqual(code, 1, err)
            life.start_sidecar()
            life.wait_phase("forward")
            code, _, err = life.run("verify", "--table", "nobody")
            self.assertEqual(code, 2, err)
            wait_until(lambda: (life.status() or {}).get("last_verify"), "the sidecar compares by itself", 60, 0.2)
            life.stop_sidecar()
            one = Planted(life, 3)
            one.make(self.sqlite_write(life))
            code, out, _ = life.run("verify")
            self.assertEqual(code, 0, out)
            self.assertTrue(out.startswith("identical: "), out)
            _, expected = one.tamper("postgres")
            postgres_unseen(life.postgres(), *one.tamper("postgres")[0])
            code, out, _ = life.run("verify")
            self.assertEqual(code, 1)
            for key, _ in expected:
                self.assertIn(key, out)
            code, out, _ = life.run("verify", "--repair")
            self.assertEqual(code, 0, out)


if __name__ == "__main__":
    unittest.main()
