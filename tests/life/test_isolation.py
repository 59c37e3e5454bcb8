"""Ten thousand rows in one transaction, of which 37 cannot be applied: 9,963 arrive, 37 are in quarantine, each with
the reason that is its own, and a crash around the commit keeps it so. In both directions."""
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import PROGRAM, Life, wait_until  # noqa: E402

ROWS = 10_000


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Isolation(unittest.TestCase):
    def test_both_directions(self):
        with Life(rows=20) as life:
            database = life.sqlite()
            database.execute("CREATE UNIQUE INDEX own ON users (profile_picture_url) WHERE profile_picture_url = 'own'")
            life.start_sidecar()
            life.wait_phase("forward")
            self.assertEqual(life.stop_sidecar(), 0)
            postgres = life.postgres()
            with postgres.cursor() as cursor:
                cursor.execute("CREATE UNIQUE INDEX by_lower ON users (lower(username));"
                               "ALTER TABLE users ADD CONSTRAINT no_evil CHECK (username NOT LIKE 'evil%')")
                reasons = self.write_old(database)
                self.crash(life, "pg.sink.commit")
                self.check_postgres(life, cursor, reasons)
                self.mend_old(database, reasons)
                life.start_sidecar()
                self.wait_held(life, 0)
                life.flip_when_ready("cutover")
                self.assertEqual(life.stop_sidecar(), 0)
                reasons = self.write_new(cursor)
                self.crash(life, "sqlite.sink.commit")
                self.check_sqlite(life, database, reasons)
            postgres.close()

    def crash(self, life, step):
        """Before and after the commit; then it goes on."""
        for when in ("before", "after"):
            life.start_sidecar(SWITCHBACK_FAILPOINT=f"{step}.{when}=crash")
            self.assertNotEqual(life.sidecar.wait(60), 0)
        life.start_sidecar()
        self.wait_held(life, 37)
        self.assertEqual(life.stop_sidecar(), 0)

    def wait_held(self, life, count):
        def held():
            status = life.ask("/status")
            lag = status and status["groups"][0]["lag"]
            return lag and lag["changes"] == 0 and status["quarantined"] == count
        wait_until(held, f"{count} rows are in quarantine")

    def write_old(self, database):
        rows, reasons = [], {}
        for i in range(ROWS):
            name, data = f"name {i}", "{}"
            kind = i % 270 if i < 270 * 37 else 1
            if kind == 0:
                name, data, reasons[f"new {i:05}"] = (
                    (f"a\0{i}", "{}", "username"), (name, f"no json {i}", "profile_data.*jsonb"),
                    (f"{i}" * 200, "{}", r"too long.*varying\(255\)|varying\(255\).*too long"), (f"evil {i}", "{}", "no_evil"),
                    (f"NAME {i - 1}", "{}", "by_lower"))[i // 270 % 5]
            rows.append((f"new {i:05}", name, data))
        database.execute("BEGIN")
        database.executemany("INSERT INTO users (id, username, profile_data) VALUES (?, ?, ?)", rows)
        database.execute("COMMIT")
        return reasons

    def check_postgres(self, life, cursor, reasons):
        cursor.execute("SELECT count(*) FROM users WHERE id LIKE 'new %'")
        self.assertEqual(cursor.fetchone()[0], ROWS - 37)
        cursor.execute("SELECT key, reason FROM switchback.quarantine WHERE table_name = 'public.users'")
        self.same_reasons(dict(cursor.fetchall()), reasons)

    def same_reasons(self, held, reasons):
        self.assertEqual(set(held), {f'["{key}"]' for key in reasons})
        self.assertEqual(len(held), 37)
        for key, pattern in reasons.items():
            self.assertTrue(re.search(pattern, held[f'["{key}"]']), f'{key}: {held[f"""["{key}"]"""]}, not {pattern}')

    def mend_old(self, database, reasons):
        database.execute("BEGIN")
        for key in reasons:
            database.execute("UPDATE users SET username = 'mended ' || id, profile_data = NULL WHERE id = ?", (key,))
        database.execute("COMMIT")

    def write_new(self, cursor):
        """The first of the 21 with the same picture fits."""
        cursor.execute("UPDATE users SET profile_data = CASE WHEN id < 'new 00017' THEN '1e400' ELSE '{\"a\": 1}' END::jsonb,"
                       " profile_picture_url = CASE WHEN id = 'new 00050' OR id >= 'new 00100' AND id < 'new 00120'"
                       " THEN 'own' ELSE 'x' || id END WHERE id LIKE 'new %'")
        reasons = {}
        for i in range(17):
            reasons[f"new {i:05}"] = "profile_data"
        for i in range(100, 120):
            reasons[f"new {i:05}"] = "UNIQUE.*profile_picture_url"
        return reasons

    def check_sqlite(self, life, database, reasons):
        self.assertEqual(database.execute("SELECT count(*) FROM users WHERE id LIKE 'new %' AND "
                                          "profile_picture_url = 'x' || id AND profile_data = '{\"a\": 1}'").fetchone()[0],
                         ROWS - 38)
        held = dict(database.execute("SELECT key, reason FROM _switchback_quarantine").fetchall())
        self.same_reasons(held, reasons)


if __name__ == "__main__":
    unittest.main()
