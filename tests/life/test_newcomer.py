"""The mistakes of somebody who uses the program for the first time. Each must end at once, with an exit code that says
which kind it is, and a message that says what is wrong, where, and what to do next; and it must leave nothing behind."""
import os
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import ThrowAwayCluster  # noqa: E402
from life import PROGRAM, Life  # noqa: E402

NO, USAGE, UNREACHABLE = 1, 2, 3

# (words, what is changed in switchback.toml, exit code, message)
CONFIG = (
    ("check", ("max_pause", "max_puase"), USAGE, r'max_puase: unknown key.*did you mean "max_pause"'),
    ("check", ('"500ms"', '"500 apples"'), USAGE, r'c\.toml:\d+: \[bridge\] max_pause: expected a duration'),
    ("check", ('"500ms"', "500"), USAGE, r"c\.toml:\d+: \[bridge\] max_pause: expected a string, found an integer"),
    ("check", ('"twitter"', "twitter"), USAGE, r"c\.toml:\d+: this is no TOML"),
    ("check", ("twitter.db", "twiter.db"), UNREACHABLE, r"twiter\.db: there is no such file.*\[store\] sqlite"),
    ("check", ('"twitter.db"', '"."'), UNREACHABLE, r"this is a folder, not a database.*\[store\] sqlite"),
    ("check", ("twitter.db", "switchback.toml"), UNREACHABLE, r"switchback\.toml: file is not a database.*\[store\]"),
    ("check", ("schema.sql", "shema.sql"), USAGE, r"shema\.sql: there is no such schema file.*\[postgres\] schema"),
    ("run --dry-run", ("schema.sql", "shema.sql"), USAGE, r"shema\.sql: there is no such schema file"),
    ("check", ("[table.users]", '[table.nosuch]\nfrom = "app.nosuch"\n[table.users]'), USAGE, r"nosuch: there is no such"),
    ("check", ('"app.users"', '"app.user"'), USAGE, r"c\.toml:\d+: .*no (such )?table.*user"),
    ("check", ('from = "last_scraped"', 'from = "last"'), USAGE, r"app\.users: there is no column last in SQLite"),
    ("run", ('"state"', '"schema.sql"'), NO, r"schema\.sql: cannot create the folder.*correct the path"),
    ("run", ("127.0.0.1:0", "nohost.invalid:1"), USAGE, r"cannot listen there: no such address.*\[admin\] listen"),
    ("run", ("127.0.0.1:0", "{port}"), USAGE, r"Address already in use.*\[admin\] listen"),
    ("check", ('schema = "schema.sql"', 'schema = "schema.sql"\nprivate = true'), UNREACHABLE,
     r"`switchback run` starts the private PostgreSQL"),
)


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Newcomer(unittest.TestCase):
    """From the first command to the second cutover."""

    def types(self, life, code, pattern, *words, config="switchback.toml", **environment):
        done = subprocess.run([PROGRAM, "-c", life.path(config), *words], capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL, env=life.environment(**environment))
        said = done.stdout + done.stderr
        with self.subTest(" ".join(words), config=config):
            self.assertEqual(done.returncode, code, said)
            self.assertRegex(said.replace("\n", " "), pattern)

    def test_before_and_after_the_first_run(self):
        with Life(rows=50) as life:
            before = self.traces(life)
            self.wrong_configurations(life)
            self.wrong_databases(life)
            self.too_early(life)
            self.assertEqual(self.traces(life), before)
            self.same_flip_twice(life)

    def traces(self, life):
        database = life.sqlite()
        schema = database.execute("SELECT name FROM sqlite_schema ORDER BY 1").fetchall()
        database.close()
        with life.postgres() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname = 'switchback'")
            return schema, cursor.fetchall()

    def wrong_configurations(self, life):
        self.types(life, USAGE, r"nowhere\.toml: there is no such configuration file", "run", config="nowhere.toml")
        self.types(life, USAGE, r"nothing says where PostgreSQL is.*DATABASE_URL", "run", DATABASE_URL="")
        self.types(life, USAGE, r"DATABASE_URL: it begins with mysql://.*postgresql://USER@HOST", "run",
                   DATABASE_URL="mysql://shop@db/shop")
        self.types(life, USAGE, r'there is no command "statu".*did you mean "status"', "statu")
        self.types(life, USAGE, r'there is no command "shw".*did you mean "show"', "quarantine", "shw")
        self.types(life, USAGE, r'there is no command "frobnicate".*switchback --help', "frobnicate")
        self.types(life, 0, r"Moves a live application from SQLite or JSON files", "--help")
        self.types(life, NO, r"state: there is no audit log here", "audit", "--check")
        self.types(life, 0, r"nothing was done yet, as .*/state says", "audit")
        with open(life.path("switchback.toml"), encoding="utf-8") as right:
            text = right.read()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            for words, (old, new), code, pattern in CONFIG:
                self.assertIn(old, text)
                with open(life.path("c.toml"), "w", encoding="utf-8") as wrong:
                    wrong.write(text.replace(old, new.replace("{port}", address)))
                with self.subTest(new):
                    self.types(life, code, pattern, *words.split(), config="c.toml")

    def wrong_databases(self, life):
        nobody = life.url.replace("user=postgres", "user=weak")
        with life.postgres() as connection, connection.cursor() as cursor:
            cursor.execute("CREATE ROLE weak LOGIN")
        self.types(life, NO, r"schema\.sql:\d+: permission denied.*ops/grants\.sql", "check", DATABASE_URL=nobody)
        self.types(life, NO, r"schema\.sql:\d+: permission denied.*ops/grants\.sql", "run", DATABASE_URL=nobody)
        self.types(life, UNREACHABLE, r'database "nodb" does not exist.*DATABASE_URL', "check",
                   DATABASE_URL=life.cluster.database_url("nodb"))
        away = "postgresql://nobody@127.0.0.1:1/x"
        self.types(life, UNREACHABLE, r"Connection refused.*check that the server runs", "check", DATABASE_URL=away)
        self.types(life, UNREACHABLE, r"postgres DOWN.*Connection refused.*all +not known", "status", DATABASE_URL=away)
        with open(life.path("switchback.toml"), encoding="utf-8") as right, \
                open(life.path("c.toml"), "w", encoding="utf-8") as wrong:
            wrong.write(right.read().replace("twitter.db", "twiter.db"))
        self.types(life, UNREACHABLE, r"old +DOWN .*twiter\.db +there is no such.*postgres DOWN", "status", config="c.toml",
                   DATABASE_URL=away)
        self.types(life, UNREACHABLE, r"old +DOWN .*twiter\.db.*there is no such.*postgres +up", "status", config="c.toml")
        self.types(life, UNREACHABLE, r"ok +here.*failure +postgres.*refused.*failure +old.*twiter\.db.*2 to be mended",
                   "check", config="c.toml", DATABASE_URL=away)
        with ThrowAwayCluster(wal_level="replica") as replica:
            self.types(life, NO, r"wal_level = replica.*fix: ALTER SYSTEM SET wal_level", "check",
                       DATABASE_URL=replica.url)
            self.types(life, NO, r"wal_level = replica: nothing could flow back.*ALTER SYSTEM SET wal_level", "run",
                       DATABASE_URL=replica.url)

    def too_early(self, life):
        self.types(life, NO, r"not set up and loaded yet.*switchback run", "cutover", "--yes")
        self.types(life, USAGE, r"no terminal to ask on.*--yes", "cutover")
        self.types(life, 0, r"all +the old store +idle.*nothing is installed yet: switchback run", "status")

    def same_flip_twice(self, life):
        life.start_sidecar()
        life.wait_phase("forward")
        # Who asks the sidecar need not know where PostgreSQL is.
        self.types(life, 0, r"all +the old store +forward", "status", DATABASE_URL="")
        self.types(life, 0, r"identical", "verify", DATABASE_URL="")
        self.types(life, NO, r"writes go to old \(epoch 1\).*writes go to old already.*switchback cutover", "rollback",
                   "--yes")
        self.types(life, 0, r"writes go to postgres now \(epoch 2\)", "cutover", "--yes")
        self.types(life, NO, r"writes go to postgres \(epoch 2\).*go to postgres already.*switchback rollback",
                   "cutover", "--yes")
        self.types(life, NO, r"another switchback already runs here \(process \d+\).*stop it", "abandon", "--yes")
        self.types(life, USAGE, r"expected a duration", "rollback", "--yes", "--max-pause", "fast")
        self.assertEqual(life.stop_sidecar(), 0)
        self.types(life, NO, r"writes go to postgres.*switchback rollback, and then switchback abandon", "abandon",
                   "--yes")
        self.types(life, 0, r"all +PostgreSQL +reverse.*no sidecar runs", "status")
        for words in ("status", "verify", "rollback --yes", "quarantine list", "doctor --fix --yes", "check"):
            self.types(life, USAGE, r"nothing says where PostgreSQL is.*DATABASE_URL", *words.split(), DATABASE_URL="")
        # No sidecar: the command flips by itself.
        self.types(life, 0, r"writes go to old now \(epoch 3\)", "rollback", "--yes")


if __name__ == "__main__":
    unittest.main()
