"""`switchback doctor`: whatever tears the two sides apart is noticed, named, and resolved by one command: all is compared
from the primary, the other side made like it, and changes flow again. What only the other side had is kept in a file.
"""
import glob
import json
import os
import signal
import shutil
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import PROGRAM, Life, wait_until  # noqa: E402
from tampering import postgres_unseen, sqlite_unseen  # noqa: E402
from test_crash import MENDING, POINTS  # noqa: E402
from test_forks import add_user, copy_of, restore  # noqa: E402

MINE = "SELECT id, username FROM users WHERE id LIKE 'fork%' ORDER BY id"
PARTITIONED = ("CREATE TABLE funnel_completion (", ") PARTITION BY HASH (user_id);\n"
               "CREATE TABLE completion_0 PARTITION OF funnel_completion FOR VALUES WITH (MODULUS 2, REMAINDER 0);\n"
               "CREATE TABLE completion_1 PARTITION OF funnel_completion FOR VALUES WITH (MODULUS 2, REMAINDER 1);")


def of_postgres(life, query=MINE):
    with life.postgres().cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def of_old(life, query=MINE):
    database = life.sqlite()
    try:
        return database.execute(query).fetchall()
    finally:
        database.close()


def write_old(life, *statements):
    database = life.sqlite()
    for statement in statements:
        database.execute(statement)
    database.close()


class Mended(unittest.TestCase):
    def wait_told(self, life, *words):
        """Until `status` says all of that."""
        def told():
            _, out, _ = life.run("status")
            return all(word in out for word in words) and out
        return wait_until(told, f"status to say: {words}", 90, 0.2)

    def fix(self, life, *options):
        code, out, err = life.run("doctor", "--fix", "--yes", "--json", *options, timeout=180)
        self.assertEqual(code, 0, out + err)
        return json.loads(out)

    def flip_refused(self, life, command, words):
        """At once, however long it is until the next look at the tables."""
        code, out, err = life.run(command, "--yes")
        self.assertEqual(code, 1, out + err)
        self.assertIn(words, err)
        self.wait_told(life, words, "switchback doctor --fix")

    def same(self, life, query=MINE):
        """Both sides give the same; what that is."""
        return wait_until(lambda: of_old(life, query) == of_postgres(life, query) and (of_old(life, query) or True),
                          f"the same on both sides: {query}", 60, 0.1)

    def kept(self, report):
        with open(report["kept"], encoding="utf-8") as lines:
            return [json.loads(line)["row"] for line in lines]

    def identical(self, life):
        code, out, err = life.run("verify", timeout=180)
        self.assertEqual(code, 0, out + err)


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Forward(Mended):
    """The old store is primary."""

    def test_a_life_of_mishaps(self):
        with Life(rows=60, journal_mode="wal") as life:
            life.start_sidecar()
            life.wait_phase("forward")
            self.assertEqual(life.run("doctor")[0], 0)
            self.a_restored_copy(life)
            self.a_rebuilt_table(life)
            self.columns(life)
            self.killed_at_every_step(life)
            self.another_file(life)
            self.identical(life)
            life.flip_when_ready("cutover")
            life.flip_when_ready("rollback")

    def a_restored_copy(self, life):
        copy_of(life, "copy")
        writer = life.sqlite()
        for number in (1, 2):
            add_user(writer, number)
        writer.execute("UPDATE users SET username = 'gone' WHERE id = 'fork1'")
        writer.close()
        self.same(life)
        life.stop_sidecar()
        restore(life, "copy")
        write_old(life, *(f"INSERT INTO users(id, username) VALUES ('fork{n}', 'new{n}')" for n in (2, 3)))
        life.start_sidecar()
        self.wait_told(life, "history has forked", "switchback doctor --fix")
        code, out, _ = life.run("doctor")
        self.assertEqual(code, 1)
        self.assertIn("public.users: 1 rows only in old, 1 only in postgres, 1 that differ", out)
        self.assertEqual([row[0] for row in of_postgres(life)], ["fork1", "fork2"], "looked, and did something")
        report = self.fix(life)
        self.assertEqual((report["primary"], report["applied"], report["removed"]), ("old", 2, 1))
        self.assertEqual(sorted((row["id"], row["username"]) for row in self.kept(report)),
                         [("fork1", "gone"), ("fork2", "fork2")])
        self.assertEqual(of_postgres(life), [("fork2", "new2"), ("fork3", "new3")])
        write_old(life, "INSERT INTO users(id, username) VALUES ('fork4', 'four')")
        self.assertEqual(len(self.same(life)), 3)

    def a_rebuilt_table(self, life):
        """As migration tools do it. While it goes unnoticed, and while the pump stands, somebody writes."""
        database = life.sqlite()
        columns = database.execute("SELECT sql FROM sqlite_schema WHERE name = 'users'").fetchone()[0]
        database.execute("BEGIN IMMEDIATE")
        database.execute(columns.replace("users", "users_new", 1))
        database.execute("INSERT INTO users_new SELECT * FROM users")
        database.execute("DROP TABLE users")
        database.execute("ALTER TABLE users_new RENAME TO users")
        database.execute("UPDATE users SET username = 'rebuilt' WHERE id = 'fork3'")
        database.execute("COMMIT")
        database.close()
        self.wait_told(life, "capture triggers are missing", "switchback doctor --fix")
        write_old(life, "DELETE FROM users WHERE id = 'fork4'")
        self.fix(life)
        self.assertEqual(of_postgres(life), [("fork2", "new2"), ("fork3", "rebuilt")])

    def columns(self, life):
        """Each ALTER stops the pump and is named; what is written to the new column meanwhile is not lost."""
        write_old(life, "ALTER TABLE users ADD COLUMN note TEXT", "UPDATE users SET note = 'n' || id")
        self.wait_told(life, 'old: ALTER TABLE users ADD COLUMN "note" TEXT', "switchback doctor --fix")
        write_old(life, "INSERT INTO users(id, username, note) VALUES ('fork5', 'five', 'meanwhile')")
        with life.postgres().cursor() as cursor:
            cursor.execute("ALTER TABLE users ADD COLUMN note text")
        self.fix(life)
        self.assertEqual(of_postgres(life, "SELECT note FROM users WHERE id IN ('fork3', 'fork5') ORDER BY id"),
                         [("nfork3",), ("meanwhile",)])
        write_old(life, "ALTER TABLE users RENAME COLUMN note TO remark")
        self.wait_told(life, 'old: ALTER TABLE users RENAME COLUMN "note" TO "remark"')
        with life.postgres().cursor() as cursor:
            cursor.execute("ALTER TABLE users RENAME COLUMN note TO remark")
        write_old(life, "UPDATE users SET remark = 'r' WHERE id = 'fork5'", "CREATE TABLE more(id INTEGER PRIMARY KEY)")
        self.fix(life)
        self.same(life, "SELECT remark FROM users ORDER BY id")
        # Of PostgreSQL's side a type, and a table that SQLite alone has.
        with life.postgres().cursor() as cursor:
            cursor.execute("ALTER TABLE users ALTER COLUMN remark TYPE varchar(50)")
        self.flip_refused(life, "cutover",
                          "postgres: ALTER TABLE public.users ALTER COLUMN remark TYPE character varying(50)")
        write_old(life, "UPDATE users SET remark = 's' WHERE id = 'fork5'")
        self.fix(life)
        self.same(life, "SELECT remark FROM users ORDER BY id")
        write_old(life, "CREATE TABLE notes(id INTEGER PRIMARY KEY, t TEXT)", "INSERT INTO notes VALUES (1, 'x')")
        self.wait_told(life, "old: CREATE TABLE notes")
        with life.postgres().cursor() as cursor:
            cursor.execute("CREATE TABLE notes(id int PRIMARY KEY, t text)")
        self.fix(life)
        self.assertEqual(of_postgres(life, "SELECT * FROM notes"), [(1, "x")])

    def killed_at_every_step(self, life):
        life.stop_sidecar()
        points = [point for point in POINTS if point.startswith(MENDING)]
        for number, point in enumerate(points):
            postgres_unseen(life.postgres(), f"INSERT INTO users(id, username) VALUES ('odd{number}', 'o{number}')")
            code, out, err = life.run("doctor", "--fix", "--yes", SWITCHBACK_FAILPOINT=f"{point}=crash", timeout=180)
            self.assertEqual(code, -signal.SIGKILL, f"{point}: {out}{err}")
        if points:
            postgres_unseen(life.postgres(), "INSERT INTO users(id, username) VALUES ('odd', 'odd')")
            life.run("doctor", "--fix", "--yes", SWITCHBACK_FAILPOINT="resync.apply.after=crash", timeout=180)
            life.start_sidecar()
            self.assertEqual(life.sidecar.wait(60), 1)
            self.assertIn("has not come to its end", life.run("doctor")[1])
            self.fix(life)
        life.start_sidecar()
        wait_until(life.settled, "the sidecar settles")
        self.fix(life)
        self.assertEqual(of_postgres(life, "SELECT id FROM users WHERE id LIKE 'odd%'"), [])
        everything = ""
        for name in glob.glob(life.path("state/kept/*")):
            with open(name, encoding="utf-8") as rows:
                everything += rows.read()
        self.assertEqual([n for n in range(len(points)) if f'"odd{n}"' not in everything], [])

    def another_file(self, life):
        """An application that saves its whole database: triggers and log are gone. Who is right is asked for."""
        database = life.sqlite()
        for trigger, in database.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{trigger}"')
        for table, in database.execute("SELECT name FROM sqlite_schema WHERE name GLOB '_switchback*'").fetchall():
            database.execute(f'DROP TABLE "{table}"')
        database.execute("UPDATE users SET username = 'saved' WHERE id = 'fork3'")
        database.close()
        self.wait_told(life, "switchback doctor --fix")
        before = of_postgres(life)
        code, out, err = life.run("doctor", "--fix", "--yes")
        self.assertEqual(code, 1, out + err)
        self.assertIn("--primary old", err)
        self.assertEqual(of_postgres(life), before)
        report = self.fix(life, "--primary", "old")
        self.assertEqual(report["primary"], "old")
        self.assertIn(("fork3", "saved"), of_postgres(life))


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Reverse(Mended):
    """PostgreSQL is primary."""

    def test_a_life_of_mishaps(self):
        with Life(rows=60, journal_mode="wal") as life:
            with open(life.path("schema.sql"), encoding="utf-8") as schema:
                head, table = schema.read().split(PARTITIONED[0], 1)
            with open(life.path("schema.sql"), "w", encoding="utf-8") as schema:
                schema.write(head + PARTITIONED[0] + table.replace(");", PARTITIONED[1], 1))
            life.start_sidecar()
            life.wait_phase("forward")
            copy_of(life, "before")
            life.flip_when_ready("cutover")
            life.wait_phase("reverse")
            self.slot_lost(life)
            self.columns(life)
            self.partition_detached(life)
            self.postgres_restored(life)
            self.old_copy(life)
            self.identical(life)
            life.flip_when_ready("rollback")
            write_old(life, "INSERT INTO users(id, username) VALUES ('fork9', 'nine')")
            self.same(life)

    def write(self, life, *statements):
        connection = life.postgres()
        for statement in statements:
            connection.cursor().execute(statement)
        connection.close()

    def slot_lost(self, life):
        life.stop_sidecar()
        slots = "SELECT slot_name FROM pg_replication_slots WHERE active_pid IS NULL"
        slot = wait_until(lambda: of_postgres(life, slots), "the slot let go by its reader")[0][0]
        self.write(life, f"SELECT pg_drop_replication_slot('{slot}')",
                   "INSERT INTO users(id, username) VALUES ('fork1', 'one')")
        life.start_sidecar()
        self.wait_told(life, "the slot is gone", "switchback doctor --fix")
        self.write(life, "INSERT INTO users(id, username) VALUES ('fork2', 'two')")
        self.assertEqual(self.fix(life)["primary"], "postgres")
        self.assertEqual(of_old(life), [("fork1", "one"), ("fork2", "two")])
        self.write(life, "DELETE FROM users WHERE id = 'fork1'")
        self.assertEqual(len(self.same(life)), 1)

    def columns(self, life):
        self.write(life, "ALTER TABLE users ADD COLUMN note text DEFAULT 'd'",
                   "UPDATE users SET note = 'x' WHERE id = 'fork2'")
        self.wait_told(life, "ADD COLUMN note text", "switchback doctor --fix")
        self.write(life, "UPDATE users SET note = 'y' WHERE id = 'fork2'")
        write_old(life, "ALTER TABLE users ADD COLUMN note TEXT DEFAULT 'd'")
        self.fix(life)
        self.assertEqual(of_old(life, "SELECT note FROM users WHERE id = 'fork2'"), [("y",)])
        self.write(life, "UPDATE users SET note = 'z' WHERE id = 'fork2'")
        self.same(life, "SELECT id, note FROM users ORDER BY id")

    def partition_detached(self, life):
        self.write(life, "INSERT INTO funnel_completion(user_id, completion_data) SELECT 'p' || g, '1' FROM "
                         "generate_series(1, 20) AS g")
        rows = "SELECT user_id FROM funnel_completion ORDER BY user_id"
        self.same(life, rows)
        self.write(life, "ALTER TABLE funnel_completion DETACH PARTITION completion_0")
        self.flip_refused(life, "rollback", "DETACH PARTITION public.completion_0")
        report = self.fix(life)
        self.assertGreater(report["removed"], 0)
        self.assertEqual(len(self.kept(report)), report["removed"])
        self.same(life, rows)

    def postgres_restored(self, life):
        """A copy of its files from before the last writes, recovered as a base backup is: on a timeline of its own."""
        life.stop_sidecar()
        life.cluster.stop()
        copy = life.cluster.data + ".copy"
        shutil.copytree(life.cluster.data, copy)
        life.cluster.start()
        life.start_sidecar()
        life.wait_phase("reverse")
        self.write(life, *(f"INSERT INTO users(id, username) VALUES ('fork{n}', 'late{n}')" for n in (5, 6)))
        self.same(life)
        life.stop_sidecar()
        life.cluster.stop()
        owner = os.stat(life.cluster.data)
        shutil.rmtree(life.cluster.data)
        os.rename(copy, life.cluster.data)
        for folder, _, files in os.walk(life.cluster.data):
            for name in (folder, *(os.path.join(folder, file) for file in files)):
                os.chown(name, owner.st_uid, owner.st_gid, follow_symlinks=False)
        with open(os.path.join(life.cluster.data, "postgresql.auto.conf"), "a", encoding="utf-8") as settings:
            settings.write("restore_command = 'false'\n")
        with open(os.path.join(life.cluster.data, "recovery.signal"), "w", encoding="utf-8") as wanted:
            os.chown(wanted.fileno(), owner.st_uid, owner.st_gid)
        life.cluster.start()
        wait_until(lambda: of_postgres(life, "SELECT pg_is_in_recovery()") == [(False,)], "recovered")
        life.start_sidecar()
        self.wait_told(life, "this is not the PostgreSQL", "switchback doctor --fix")
        self.write(life, "INSERT INTO users(id, username) VALUES ('fork6', 'again')")
        report = self.fix(life)
        self.assertEqual(sorted(row["username"] for row in self.kept(report)), ["late5", "late6"])
        self.assertEqual(self.same(life), [("fork2", "two"), ("fork6", "again")])

    def old_copy(self, life):
        """A copy from before the cutover believes that it is primary, and somebody writes to it."""
        life.stop_sidecar()
        restore(life, "before")
        write_old(life, "INSERT INTO users(id, username) VALUES ('forkx', 'astray')",
                  "ALTER TABLE users ADD COLUMN note TEXT DEFAULT 'd'")
        life.start_sidecar()
        self.assertEqual(life.sidecar.wait(60), 1)
        report = self.fix(life)
        self.assertEqual(report["primary"], "postgres")
        self.assertIn("astray", [row.get("username") for row in self.kept(report)])
        with self.assertRaisesRegex(Exception, "go to .postgres"):
            write_old(life, "DELETE FROM users")
        life.start_sidecar()
        wait_until(life.settled, "the sidecar settles")
        self.assertEqual(self.same(life), [("fork2", "two"), ("fork6", "again")])


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Misfits(Mended):
    """Rows of the other side that no copy can be kept of, or that nobody can be asked for by their key."""

    ODD = "SELECT user_id, current_command_index FROM funnel_progress WHERE typeof(current_command_index) = 'text'"

    def quarantined(self, life):
        code, out, err = life.run("quarantine", "list", "--json")
        self.assertEqual(code, 0, err)
        return {entry["key"]: entry["reason"] for entry in json.loads(out)["entries"]}

    def test_they_stay_and_are_named(self):
        with Life(rows=60, journal_mode="wal") as life:
            life.start_sidecar()
            life.wait_phase("forward")
            life.flip_when_ready("cutover")
            life.wait_phase("reverse")
            user, = of_postgres(life, "SELECT user_id FROM funnel_progress ORDER BY user_id LIMIT 1")[0]
            sqlite_unseen(life.path(life.store),
                          "INSERT INTO funnel_progress(user_id, current_command_index) VALUES ('astray', 'abc')",
                          "INSERT INTO users(id, username) VALUES (NULL, 'nobody')",
                          "INSERT INTO users(id, username) VALUES ('fork1', 'one')",
                          f"UPDATE funnel_progress SET current_command_index = 'xyz' WHERE user_id = '{user}'")
            odd = sorted([("astray", "abc"), (user, "xyz")])
            code, out, err = life.run("verify", "--repair", timeout=180)
            self.assertEqual(code, 1, out + err)
            self.assertEqual(sorted(of_old(life, self.ODD)), odd)
            self.assertEqual(of_old(life), [])
            with open(glob.glob(life.path("state/kept/*"))[0], encoding="utf-8") as kept:
                self.assertIn('"fork1"', kept.read())
            self.told_beforehand(life)
            report = self.fix(life)
            self.assertEqual((report["left"], report["refused"]), (2, 3))
            entries = self.quarantined(life)
            self.assertEqual(len(entries), 3, entries)
            self.assertIn("no copy of it could be kept", entries['["astray"]'])
            # The pump tries again what is in quarantine, but not these.
            self.write_postgres(life, "INSERT INTO users(id, username) VALUES ('fork2', 'two')")
            self.same(life)
            self.assertEqual(life.stop_sidecar(), 0)
            life.start_sidecar()
            wait_until(life.settled, "the sidecar settles")
            self.write_postgres(life, "INSERT INTO users(id, username) VALUES ('fork3', 'three')")
            self.same(life)
            self.identical_but(life, 3)
            self.assertEqual(sorted(of_old(life, self.ODD)), odd)
            self.assertEqual(of_old(life, "SELECT username FROM users WHERE id IS NULL"), [("nobody",)])
            # A person may say so.
            code, out, err = life.run("quarantine", "retry", "--table", "funnel_progress", "--key", "astray")
            self.assertEqual(code, 0, out + err)
            self.assertEqual(of_old(life, self.ODD), [(user, "xyz")])

    def told_beforehand(self, life):
        """Once something is wrong, `doctor` counts these, too."""
        with life.postgres().cursor() as cursor:
            cursor.execute("ALTER TABLE users ADD COLUMN note text")
        self.wait_told(life, "ADD COLUMN note text")
        self.assertIn("public.funnel_progress: 0 rows only in old, 0 only in postgres, 2 that differ",
                      life.run("doctor")[1])
        with life.postgres().cursor() as cursor:
            cursor.execute("ALTER TABLE users DROP COLUMN note")

    def identical_but(self, life, rows):
        code, out, err = life.run("verify", timeout=180)
        self.assertEqual(code, 1, out + err)
        self.assertIn(f"{rows} rows differ", out)

    def write_postgres(self, life, statement):
        with life.postgres().cursor() as cursor:
            cursor.execute(statement)


@unittest.skipUnless(POINTS, "failpoints exist in test builds only")
class Interrupted(Mended):
    """Who was right when `doctor --fix` began is right for whoever goes on with it, whatever the gates say by then."""

    def cut_off(self, life, point, *options):
        code, out, err = life.run("doctor", "--fix", "--yes", *options, SWITCHBACK_FAILPOINT=f"{point}=crash",
                                  timeout=180)
        self.assertEqual(code, -signal.SIGKILL, out + err)

    def refuses_to_start(self, life):
        life.start_sidecar()
        self.assertEqual(life.sidecar.wait(60), 1)
        with open(life.path("sidecar.log"), encoding="utf-8") as log:
            self.assertRegex(log.read(), "has not come to its end(.|\n)*switchback doctor --fix")

    def test_a_restored_copy_is_not_opened(self):
        with Life(rows=60, journal_mode="wal") as life:
            life.start_sidecar()
            life.wait_phase("forward")
            copy_of(life, "copy")
            write_old(life, "INSERT INTO users(id, username) VALUES ('fork1', 'one')")
            self.same(life)
            life.stop_sidecar()
            restore(life, "copy")
            self.cut_off(life, "sqlite.gate.close.commit.after", "--primary", "postgres")
            self.refuses_to_start(life)
            with self.assertRaisesRegex(Exception, "go to .postgres|closed|refuses"):
                write_old(life, "DELETE FROM users")
            self.assertIn("makes old as postgres is", life.run("doctor")[1])
            code, out, err = life.run("abandon", "--yes")
            self.assertEqual(code, 1, out + err)
            self.assertEqual(self.fix(life)["primary"], "postgres")
            self.assertEqual(of_old(life), [("fork1", "one")])
            life.start_sidecar()
            wait_until(life.settled, "the sidecar settles")
            self.identical(life)

    def test_a_flip_that_was_cut_off_before(self):
        with Life(rows=60, journal_mode="wal") as life:
            life.start_sidecar(SWITCHBACK_FAILPOINT="flip.close.after=crash")
            life.wait_phase("forward")
            life.run("cutover", "--yes")
            life.sidecar.wait(60)
            self.cut_off(life, "sqlite.gate.open.commit.before")
            report = self.fix(life)
            self.assertEqual(report["primary"], "old")
            # A person may think better of it.
            self.cut_off(life, "resync.settle.before", "--primary", "postgres")
            self.assertEqual(self.fix(life, "--primary", "old")["primary"], "old")
            life.start_sidecar()
            wait_until(life.settled, "the sidecar settles")
            self.identical(life)

    def test_an_error_after_the_gates_moved(self):
        """The sidecar goes on, and tells everybody who is primary now."""
        with Life(rows=60, journal_mode="wal") as life:
            life.start_sidecar(SWITCHBACK_FAILPOINT="resync.settle.before=error")
            life.wait_phase("forward")
            wait_until(lambda: ((life.status() or {}).get("last_verify") or {}).get("clean"), "clean", 60, 0.2)
            code, out, err = life.run("doctor", "--fix", "--yes", "--primary", "postgres", timeout=180)
            self.assertEqual(code, 1, out + err)
            wait_until(lambda: life.group().get("primary") == "postgres", "status to say who is primary", 30, 0.2)
            with open(life.path("switchback.run/primary"), encoding="utf-8") as told:
                self.assertIn("postgres", told.read())
            with open(life.path("sidecar.log"), encoding="utf-8") as log:
                self.assertRegex(log.read(), "no longer clean: .*doctor --fix")
            self.wait_told(life, "has not come to its end", "switchback doctor --fix")
            self.assertEqual(self.fix(life)["primary"], "postgres")
            with life.postgres().cursor() as cursor:
                cursor.execute("INSERT INTO users(id, username) VALUES ('fork1', 'one')")
            self.same(life)
            self.identical(life)


if __name__ == "__main__":
    unittest.main()
