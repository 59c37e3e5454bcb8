"""The gates of a flip, one after the other: what a dry run shows, that a gate which is not met changes nothing, that a
drill is a flip but for its end, how well the pause was predicted, and what the certificate says."""
import contextlib
import glob
import hashlib
import json
import os
import sys
import unittest

import psycopg2

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import PROGRAM, Life, wait_until  # noqa: E402

NO = 1


class Gates:
    """What both kinds of store have in common; `options` of every flip."""
    options = ["--max-pause", "10s"]

    def picture(self, life):
        """Whatever a flip would change: the primary, the epoch, the gates and fences of both sides."""
        group = life.group()
        with life.postgres() as postgres, postgres.cursor() as cursor:
            cursor.execute("SELECT (SELECT array_agg(g ORDER BY grp) FROM switchback.group_state g)::text, "
                           "(SELECT array_agg(concat_ws(' ', tgrelid::regclass, tgname, tgenabled) "
                           "ORDER BY tgrelid, tgname) FROM pg_trigger WHERE tgname LIKE 'switchback%')::text, "
                           "(SELECT count(*) FROM pg_replication_slots)")
            row = cursor.fetchone()
        with open(life.path("switchback.run/primary"), encoding="utf-8") as hint:
            return group["primary"], group["epoch"], row, hint.read(), self.old_fence(life)

    def audit(self, life):
        code, out, err = life.run("audit", "--json")
        self.assertEqual(code, 0, err)
        return [json.loads(line) for line in out.splitlines()]

    def refused(self, life, command, what, dry=True):
        """Both the dry run and the flip say no and why, and nothing has changed."""
        before = self.picture(life)
        for words in ([command, "--dry-run"], [command, "--yes"])[0 if dry else 1:]:
            code, out, err = life.run(*words, *self.options)
            self.assertEqual(code, NO, (out, err))
            self.assertRegex(out, what)
            self.assertRegex(out, "cure: .")
        self.assertEqual(self.picture(life), before)

    def drill(self, life, command):
        """Nothing is another than before, and the log says that it was a drill."""
        before = self.picture(life)
        code, out, err = life.run(command, "--drill", "--yes", *self.options)
        self.assertEqual(code, 0, (out, err))
        self.assertRegex(out, "a drill: .*undone on purpose\nwriters waited for [0-9.]+ ms;.*\nnothing has changed")
        self.assertEqual(self.picture(life), before)
        self.assertEqual([entry["event"] for entry in self.audit(life)][-1], command + " drill")
        life.let_it_write(20)

    def dry_run(self, life, command):
        code, out, err = life.run(command, "--dry-run", *self.options)
        self.assertEqual(code, 0, (out, err))
        self.assertRegex(out, r"ok +bridge +predicted pause +\d+ ms: lock \d+, drain \d+, .*limit: 10000 ms")
        self.assertRegex(out, r"ok +postgres +long transactions +none +limit: none open for 5 s")
        self.assertRegex(out, r"ok +bridge +quarantine +0 open entries +limit: 0")
        self.assertRegex(out, r"nothing stands in the way; .*predicted pause \d+ ms")
        return out

    def flips(self, life, command):
        """By dry run, drill and then in earnest; what the program says of it."""
        self.dry_run(life, command)
        self.drill(life, command)
        report = life.flip(command, *self.options)
        life.let_it_write(20)
        predicted, measured = report["predicted"], report["measured"]
        self.assertEqual(predicted["by_measured"] > 0, True)
        # Of the same order: a slow machine may stall in one of them and not in the other.
        self.assertLess(measured["pause_ms"], 20 * predicted["pause_ms"] + 2000)
        self.assertLess(predicted["pause_ms"], 20 * measured["pause_ms"] + 2000)
        self.assertAlmostEqual(sum(measured[part] for part in ("lock_ms", "drain_ms", "compare_ms", "change_over_ms")),
                               report["pause_ms"], delta=0.01)
        print(f"{command}: predicted {predicted['pause_ms']:.1f} ms, measured {measured['pause_ms']:.1f} ms", flush=True)
        self.certificate(life, command, report)
        return report

    def certificate(self, life, command, report):
        with open(report["certificate"], encoding="utf-8") as file:
            said = json.load(file)
        self.assertEqual((said["flip"], said["epoch"], said["by"] != ""), (command, report["epoch"], True))
        self.assertEqual(set(said["positions"]), {"old", "postgres"})
        self.assertIn(said["drained_to"], said["positions"].values())
        self.assertTrue(said["full_sweep"]["identical"], said["full_sweep"])
        self.assertIn("compared_under_lock", said)
        page = os.path.splitext(report["certificate"])[0] + ".txt"
        with open(page, encoding="utf-8") as file:
            text = file.read()
        self.assertRegex(text, f"Certificate of a {command}: bridge .*, epoch {report['epoch']}")
        for line in ("proof of the drain", "full comparison", "compared under lock", "best effort", "predicted",
                     "The gates before it"):
            self.assertIn(line, text)
        entry = [entry for entry in self.audit(life) if entry["event"] == "certificate"][-1]["detail"]
        self.assertEqual((entry["path"], entry["page"]), (report["certificate"], page))
        for name, digest in ((entry["path"], entry["hash"]), (page, entry["page_hash"])):
            with open(name, "rb") as file:
                self.assertEqual(hashlib.sha256(file.read()).hexdigest(), digest)
        return said, text


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Sqlite(Gates, unittest.TestCase):
    """The twitter system."""

    def old_fence(self, life):
        database = life.sqlite()
        found = database.execute("SELECT name, sql FROM sqlite_schema ORDER BY 1").fetchall()
        found += database.execute("SELECT * FROM _switchback_gate").fetchall()
        database.close()
        return found

    def test_dry_run_drill_prediction_and_certificate_in_both_directions(self):
        with Life(rows=100, journal_mode="wal", rate=100) as life:
            life.start_sidecar()
            life.wait_phase("forward")
            life.start_application()
            life.let_it_write(20)
            self.assertRegex(self.dry_run(life, "cutover"), r"ok +bridge +reverse rehearsal +\d+ rows of \d+ tables")
            self.flips(life, "cutover")
            self.assertRegex(self.dry_run(life, "rollback"), r"ok +postgres +slot +.* of WAL kept")
            self.flips(life, "rollback")
            life.stop_application()
            life.check()

    def test_a_row_that_could_not_be_written_back_refuses_a_cutover(self):
        with Life(rows=100, journal_mode="wal") as life:
            # PostgreSQL has no such column: no new row of its could ever enter this table.
            with life.sqlite() as database:
                database.execute("CREATE TABLE other (id INTEGER PRIMARY KEY AUTOINCREMENT, referral_code TEXT, "
                                 "used_by_user_id TEXT, used_at DATETIME, stamp TEXT NOT NULL)")
                database.execute("INSERT INTO other SELECT *, 'only here' FROM referral_usage_log")
                database.execute("DROP TABLE referral_usage_log")
                database.execute("ALTER TABLE other RENAME TO referral_usage_log")
            life.start_sidecar()
            life.wait_phase("forward")
            self.refused(life, "cutover", r"referral_usage_log \[\"1\"\]: cannot be written back: .*stamp")
            self.assertEqual(glob.glob(life.path("state/rehearsal*")), [], "nothing is left of it")

    def test_who_is_in_the_way_what_differs_and_a_missing_fence_refuse(self):
        with Life(rows=100, journal_mode="wal") as life:
            life.start_sidecar()
            life.wait_phase("forward")
            self.idle_transaction(life)
            self.difference(life)
            postgres = life.postgres()
            postgres.cursor().execute("ALTER TABLE tweets DISABLE TRIGGER USER")
            self.refused(life, "cutover", "torn|the fence of")
            postgres.close()

    def test_prepared_transactions_and_a_vacuum_that_does_not_yield_refuse(self):
        extra = "max_prepared_transactions = 4\nautovacuum_naptime = 1\nautovacuum_freeze_max_age = 100000"
        with Life(rows=2000, journal_mode="wal", pg_extra=extra) as life:
            life.start_sidecar()
            life.wait_phase("forward")
            for url, name in ((life.url, "of .* keeps its locks"), (life.cluster.url, "of the database .* is open")):
                self.prepared(life, url, name)
            self.vacuum_against_wraparound(life)
            self.dry_run(life, "cutover")

    def prepared(self, life, url, what):
        with contextlib.closing(psycopg2.connect(url)) as holder:
            holder.autocommit = True
            cursor = holder.cursor()
            for statement in ("BEGIN", "SELECT txid_current()", "PREPARE TRANSACTION 'held'"):
                cursor.execute(statement)
            self.refused(life, "cutover", f"the prepared transaction 'held' {what}")
            cursor.execute("ROLLBACK PREPARED 'held'")

    def vacuum_against_wraparound(self, life):
        """One that the table's own settings make begin at once and take for ever."""
        with contextlib.closing(life.postgres()) as postgres, postgres.cursor() as cursor:
            postgres.autocommit = True
            cursor.execute("ALTER TABLE tweets SET (autovacuum_vacuum_cost_delay = 100, "
                           "autovacuum_vacuum_cost_limit = 1)")
            cursor.execute("SET synchronous_commit = off")
            cursor.execute("DO $$ BEGIN FOR n IN 1..100100 LOOP PERFORM txid_current(); COMMIT; END LOOP; END $$")
            working = ("SELECT pid FROM pg_stat_activity WHERE query LIKE 'autovacuum: VACUUM public.tweets "
                       "(to prevent wraparound)'")

            def works():
                cursor.execute(working)
                return cursor.fetchone()
            wait_until(works, "the vacuum", 120)
            self.refused(life, "cutover", "an anti-wraparound autovacuum works on tweets")
            cursor.execute("SELECT pg_cancel_backend(%s)", works())
            cursor.execute("ALTER TABLE tweets RESET (autovacuum_vacuum_cost_delay, autovacuum_vacuum_cost_limit)")
            wait_until(lambda: not works(), "its end", 120)

    def idle_transaction(self, life):
        holder = psycopg2.connect(life.url, application_name="holder")
        holder.cursor().execute("LOCK TABLE users IN ROW SHARE MODE")
        wait_until(lambda: life.run("cutover", "--dry-run")[0] == NO, "the idle transaction is noticed")
        self.refused(life, "cutover", r"\(holder\) is idle in a transaction|\(holder, user .*has been open")
        holder.close()

    def difference(self, life):
        """A flip compares first where nothing vouches for the two sides, and only a repair lets it pass then."""
        postgres = life.postgres()
        postgres.cursor().execute("BEGIN; SET LOCAL switchback.applying = 'on'; "
                                  "UPDATE users SET username = 'by another hand' WHERE id = "
                                  "(SELECT min(id) FROM users); COMMIT")
        self.assertEqual(life.run("verify")[0], NO)
        self.refused(life, "cutover", r"the two sides differ \(public\.users .* username: ")
        self.assertEqual(life.run("verify", "--repair")[0], 0)
        self.dry_run(life, "cutover")
        postgres.close()


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Files(Gates, unittest.TestCase):
    """The council's files."""
    user = "nobody"

    def old_fence(self, life):
        found = []
        for folder, _, files in os.walk(life.path(life.store)):
            for name in [*files, ""]:
                path = os.path.join(folder, name)
                if name != ".lock" and not name.startswith("."):
                    found.append((path, os.stat(path).st_mode))
        return sorted(found)

    def test_dry_run_drill_prediction_and_certificate_in_both_directions(self):
        with Life(rows=60, rate=60, system="llmcouncil", user=self.user) as life:
            life.start_sidecar()
            life.wait_phase("forward")
            out = self.dry_run(life, "cutover")
            self.assertRegex(out, "application's locks +0 of 1 are held")
            self.assertRegex(out, "open files +0 of [0-9]+ are open for writing")
            self.assertRegex(out, r"reverse rehearsal +\d+ rows of \d+ tables")
            life.start_application()
            life.let_it_write(20)
            life.flip("cutover", *self.options)
            life.let_it_write(20)
            self.flips(life, "rollback")
            self.flips(life, "cutover")
            life.stop_application()
            life.check()

    def picture(self, life):
        """New files come all the time: what counts is whether those there are can be written."""
        *rest, fence = super().picture(life)
        return *rest, {bool(mode & 0o200) for _, mode in fence}


if __name__ == "__main__":
    unittest.main()
