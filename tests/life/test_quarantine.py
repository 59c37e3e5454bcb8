"""Rows that the other side cannot take, and what an operator can do about them with `switchback quarantine`: through
the running sidecar, and without one; where PostgreSQL refuses, and where SQLite does."""
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import PROGRAM, Life, wait_until  # noqa: E402

NO, USAGE = 1, 2


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Quarantine(unittest.TestCase):
    def types(self, code, pattern, *words):
        found, out, err = self.life.run("quarantine", *words)
        with self.subTest(" ".join(words)):
            self.assertEqual(found, code, out + err)
            self.assertRegex((out + err).replace("\n", " "), pattern)

    def entries(self):
        code, out, err = self.life.run("quarantine", "list", "--json")
        self.assertEqual(code, 0, err)
        return {(entry["table"], entry["key"]): entry for entry in json.loads(out)["entries"]}

    def wait_entries(self, count):
        wait_until(lambda: len(self.entries()) == count, f"{count} rows are in quarantine")

    def ask(self, statement):
        with self.life.postgres() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else None

    def test_every_command(self):
        with Life(rows=60) as life:
            self.life = life
            database = life.sqlite()
            database.execute("CREATE UNIQUE INDEX own_picture ON users (profile_picture_url) "
                             "WHERE profile_picture_url LIKE 'own%'")
            life.start_sidecar()
            life.wait_phase("forward")
            self.ask("ALTER TABLE users ADD CONSTRAINT no_evil CHECK (username <> 'evil')")
            self.types(0, "nothing is in quarantine", "list")
            self.key, self.traits = database.execute("SELECT id, traits FROM personality_analysis").fetchone()
            self.set_traits = "UPDATE personality_analysis SET traits = ? WHERE id = ?"
            database.execute(self.set_traits, ("no json", self.key))
            database.execute("INSERT INTO users (id, username) VALUES ('nul', 'a' || char(0) || 'b')")
            database.execute("INSERT INTO users (id, username) VALUES ('it''s 1', 'evil')")
            self.wait_entries(3)
            self.looking()
            self.mistakes()
            self.retry()
            self.accept(database)
            self.drop()
            self.other_way_round()
            self.audit()

    def looking(self):
        self.types(0, r"""public\.users \["nul"\] +refused by postgres since 20.*what can be done: switchback quarantine"""
                   r" show --table", "list")
        self.types(0, r"""no_evil.*old: .*postgres: no such row.*username +'evil' +- .*"""
                   r"""quarantine retry --table public.users --key '\["it'\\''s 1"\]'""",
                   "show", "--table", "users", "--key", "it's 1")
        self.types(0, r"traits: .*cannot be expressed: .*traits.*quarantine accept --table public.personality_analysis",
                   "show", "--table", "personality_analysis")
        code, out, err = self.life.run("cutover", "--dry-run")
        self.assertEqual(code, NO, err)
        self.assertIn("switchback quarantine list", out)
        self.assertRegex(self.life.run("status")[1], "3 rows are in quarantine.*switchback quarantine list")

    def mistakes(self):
        self.types(USAGE, "does not say which entries.*--table and --key.*--all", "retry")
        self.types(USAGE, "does not say which entries", "accept", "--table", "users")
        self.types(NO, "no such row is in quarantine.*quarantine list", "retry", "--table", "users", "--key", "nobody")
        self.types(USAGE, "no terminal to ask on.*--yes", "drop", "--table", "users", "--key", "nul")
        self.types(USAGE, "subcommand is required", *())
        self.assertEqual(len(self.entries()), 3)

    def retry(self):
        these = ("retry", "--table", "public.users", "--key", "it's 1")
        self.types(NO, "still refused: .*no_evil", *these)
        self.ask("ALTER TABLE users DROP CONSTRAINT no_evil")
        self.types(0, "applied as the primary has it now", *these)
        self.assertEqual(self.ask("SELECT username FROM users WHERE id = 'it''s 1'"), [("evil",)])
        self.assertEqual(len(self.entries()), 2)

    def accept(self, database):
        these = ("--table", "personality_analysis", "--key", self.key)
        self.types(0, "accepted as it is", "accept", *these)
        self.assertTrue(self.entries()[("public.personality_analysis", f'["{self.key}"]')]["accepted"])
        self.assertEqual(self.life.status()["quarantined"], 1)
        # A later change of the key counts again.
        database.execute(self.set_traits, ("still no json", self.key))
        wait_until(lambda: self.life.status()["quarantined"] == 2, "the entry is open again")
        self.types(0, "accepted as it is", "accept", *these)
        database.execute(self.set_traits, (self.traits, self.key))
        self.wait_entries(1)

    def drop(self):
        self.types(0, "deleted on the other side", "drop", "--table", "users", "--key", "nul", "--yes")
        self.assertEqual(self.life.status()["quarantined"], 0)
        self.types(0, "accepted", "list")
        self.life.sqlite().execute("DELETE FROM users WHERE id = 'nul'")
        self.wait_entries(0)

    def other_way_round(self):
        life = self.life
        life.flip_when_ready("cutover")
        (first,), (user,) = self.ask("SELECT id FROM users ORDER BY id LIMIT 2")
        self.ask(f"UPDATE users SET profile_picture_url = 'own' WHERE id = '{first}'")
        self.ask(f"UPDATE users SET profile_picture_url = 'own' WHERE id = '{user}'")
        self.wait_entries(1)
        self.types(0, r"refused by old", "list")
        self.assertEqual(life.stop_sidecar(), 0)
        these = ("--table", "users", "--key", user)
        self.types(NO, "still refused: ", "retry", *these)
        self.types(0, "accepted as it is", "accept", *these)
        self.types(0, "deleted on the other side", "drop", "--yes", *these)
        self.assertEqual(life.sqlite().execute("SELECT 1 FROM users WHERE id = ?", (user,)).fetchall(), [])
        self.ask(f"UPDATE users SET profile_picture_url = NULL WHERE id = '{user}'")
        self.types(0, "applied as the primary has it now|nothing is in quarantine", "retry", "--all")
        life.start_sidecar()
        # Until it is up, a command takes the state directory for itself, and could keep it out.
        wait_until(lambda: life.status()["running"], "the sidecar answers")
        life.wait_phase("reverse")
        self.wait_entries(0)
        life.flip_when_ready("rollback")
        self.assertEqual(life.run("verify")[0], 0)

    def audit(self):
        self.assertEqual(self.life.stop_sidecar(), 0)
        with open(self.life.path("state/audit.jsonl"), encoding="utf-8") as audit:
            events = [json.loads(line) for line in audit]
        done = [event for event in events if event["event"].startswith("quarantine")]
        self.assertEqual({event["event"] for event in done},
                         {"quarantine retry", "quarantine accept", "quarantine drop"})
        self.assertEqual(done[0]["detail"][0]["key"], '["it\'s 1"]')
        self.assertEqual([event["event"] for event in events].count("certificate"), 2)
        self.assertRegex(self.life.run("audit")[1], r"cutover +by .*\n(.*\n)*.*quarantine drop +by")
        self.assertEqual(self.life.run("audit", "--check")[0], 0)
        with open(self.life.path("state/audit.jsonl"), encoding="utf-8") as audit:
            lines = audit.readlines()
        gone = next(at for at, line in enumerate(lines) if "quarantine drop" in line)
        with open(self.life.path("state/audit.jsonl"), "w", encoding="utf-8") as audit:
            audit.writelines(lines[:gone] + lines[gone + 1:])
        code, out, _ = self.life.run("audit", "--check")
        self.assertEqual(code, NO)
        self.assertRegex(out, f"audit.jsonl: entry {gone + 1} was removed")
        self.assertFalse(json.loads(self.life.run("audit", "--check", "--json")[1])["whole"])


if __name__ == "__main__":
    unittest.main()
