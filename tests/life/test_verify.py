"""`switchback verify` on a store that is in use: no difference where there is none, and every one where there is."""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import Life, PROGRAM, wait_until  # noqa: E402
from tampering import file_unseen, postgres_unseen, sqlite_unseen  # noqa: E402

PLANTED = 60


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


class Planted:
    """Rows of a table that the application leaves alone, and what was done to each: one third changed, one removed,
    one added, on either side."""

    def __init__(self, life, count=PLANTED):
        self.life, self.count = life, count
        self.keys = [f"planted_{n:05d}" for n in range(count)]

    def make(self, write):
        """The rows as the application would make them; `write` runs a statement at the primary."""
        for n in range(0, self.count, 100):
            write("INSERT INTO funnel_completion (user_id, completed_at, completion_data) VALUES " + ", ".join(
                f"('{key}', '2024-01-01 00:00:00', '{{\"n\": 1}}')" for key in self.keys[n:n + 100]))

    def tamper(self, with_side):
        """Statements, each of which makes one difference; and what is to be found."""
        expected, statements = set(), []
        missing, added = (("missing in old", "missing in postgres") if with_side == "old"
                          else ("missing in postgres", "missing in old"))
        for n, key in enumerate(self.keys):
            if n % 3 == 0:
                statements.append(f"UPDATE funnel_completion SET completion_data = '{{\"n\": 2}}' "
                                  f"WHERE user_id = '{key}'")
                expected.add((key, "value"))
            elif n % 3 == 1:
                statements.append(f"DELETE FROM funnel_completion WHERE user_id = '{key}'")
                expected.add((key, missing))
            else:
                statements.append(f"INSERT INTO funnel_completion (user_id, completed_at) "
                                  f"VALUES ('added_{key}', '2024-01-01 00:00:00')")
                expected.add((f"added_{key}", added))
        return statements, expected


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
        planted = int(os.environ.get("SWITCHBACK_VERIFY_PLANTED", str(PLANTED)))
        with Life(rows=rows, rate=rate, journal_mode="wal") as life:
            life.start_sidecar()
            life.wait_phase("forward", 900)
            one = Planted(life, planted)
            one.make(self.sqlite_write(life))
            life.start_application()
            life.let_it_write(50)
            report = self.identical(life, times)
            print(f"{rows} rows forward: {report['took_ms']} ms")
            self.finds_and_repairs(life, lambda *s: postgres_unseen(life.postgres(), *s), one, "postgres")
            self.finds_and_repairs(life, lambda *s: sqlite_unseen(life.path(life.store), *s), one, "old")
            self.last_verify_is_told(life)
            life.flip_when_ready("cutover")
            life.let_it_write(50)
            report = self.identical(life, times)
            print(f"{rows} rows reverse: {report['took_ms']} ms")
            two = Planted(life, planted)
            two.keys = ["second_" + key for key in two.keys]
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
            paths = [life.path(f"{life.store}/subscriptions/planted_{n:02d}.json") for n in range(12)]
            for path in paths:
                make_subscription(path)
            self.identical(life, 2)
            expected = {("planted_00", "value"), ("planted_01", "missing in postgres"), ("added", "missing in old")}
            statements = ["UPDATE subscriptions SET tier = 'yearly' WHERE user_id = 'planted_00'",
                          "DELETE FROM subscriptions WHERE user_id = 'planted_01'",
                          "INSERT INTO subscriptions (user_id, tier, created_at, updated_at) "
                          "VALUES ('added', 'free', now(), now())"]
            self.names_and_repairs(life, lambda: postgres_unseen(life.postgres(), *statements), expected)
            life.flip_when_ready("cutover")
            life.let_it_write(20)
            self.identical(life, 2)
            self.names_and_repairs(life, lambda: postgres_unseen(life.postgres(), *statements),
                                   {("planted_00", "value"), ("planted_01", "missing in postgres"),
                                    ("added", "missing in old")})
            self.names_and_repairs(life, lambda: self.tamper_with_files(paths), {
                ("planted_02", "value"), ("planted_03", "missing in old"), ("planted_99", "missing in postgres")})
            life.stop_application()
            self.postgres_write(life)("DELETE FROM subscriptions WHERE user_id LIKE 'planted%' OR user_id = 'added'")
            life.check()

    def tamper_with_files(self, paths):
        file_unseen(paths[2], lambda text: text.replace("monthly", "yearly"))
        os.unlink(paths[3])
        make_subscription(os.path.join(os.path.dirname(paths[0]), "planted_99.json"))

    def names_and_repairs(self, life, tamper, expected):
        tamper()
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
