"""Plays a history: real sidecars, real databases, one step after the other; at each `sync` both sides must be equal.

A history is plain data (JSON), so that one that failed can be shrunk, printed and kept. Its steps:
  ["sqlite", connection, [lines]]     ["postgres", [lines]]      statements of the application; errors are its own affair
  ["pragma", connection, line]        ["reopen"]                 the application changes a habit, or starts anew
  ["start", environment]              ["kill"] ["stop"]          the sidecar
  ["die", environment]                starts a sidecar that loses its power at a failpoint; the application's SQLite
                                      connections are closed meanwhile
  ["until_dead"]                      waits for a sidecar that dies of its failpoint
  ["flip", "postgres" | "old"]        until it has flipped, whatever dies on the way
  ["flip_alone", "postgres" | "old"]  the same, typed while no sidecar runs
  ["abandon"]                         takes the bridge off, with SQLite as primary; nothing is written after it
  ["pg_crash"]                        PostgreSQL is stopped in the middle of things, and started
  ["blocked_flip", "postgres" | "old"] tried while somebody's transaction is open: it changes nothing
  ["sync"]                            until the other side has all, then compare
  ["probe"]                           the side that is not primary refuses every write
  ["save"] ["restore"]                a copy of the store is taken, and put in its place, while nobody has it open
  ["refuses", words]                  a sidecar must stop its pump and say these words; only as the last step
  ["expect", "old" | "postgres", query, rows]
Connections: 0 and 1 are the application's, 2 has the store attached as `app` to a database of its own.
"""
import io
import os
import signal
import sqlite3
import subprocess
import time

import psycopg2

from bridge import COMMANDS, PATIENCE, Bridge, Failed
from shadow import Shadow

# SQLite overlooks an orphan that OR REPLACE puts into a table which refers to itself, unless the table has certain
# triggers; capture's are such. Its count of such orphans then goes on to differ, so either side may be the one to refuse.
OVERLOOKED = "FOREIGN KEY constraint failed"
# A transaction that read before it writes meets any other writer so, the bridge too, whatever its busy timeout.
LOCKED = "database is locked"


class Player(Bridge):
    """Plays the steps of one history."""

    def __enter__(self):
        super().__enter__()
        self.shadow = self.make_shadow()
        return self

    def make_shadow(self):
        """What the application makes of a store that the bridge never saw."""
        return Shadow(self.folder, self.script.get("habits", {}))

    def __exit__(self, *failure):
        self.shadow.close()
        super().__exit__(*failure)

    def write_sqlite(self, number, lines):
        """Statements; one that fails leaves the rest to run, as a careless application would."""
        if self.primary != "old":
            return
        connection = self.connection(number)
        if not self.shadow.current:
            self.shadow.copy()
        self.shadow.follow(number, connection)
        for line in lines:
            refused = None
            try:
                connection.execute(line).fetchall()
            except (sqlite3.Error, sqlite3.Warning) as error:
                refused = error
            if "switchback" in str(refused):
                raise Failed("application", f"{line}: {refused}")
            if not self.shadow.current:
                continue
            alone = self.shadow.run(number, line)
            if (alone is None) != (refused is None):
                if str(refused or alone) not in (OVERLOOKED, LOCKED):
                    raise Failed("application", f"{line}: with the bridge {refused}, without it {alone}")
                self.shadow.current = False
            if refused and "OR FAIL" in line:
                # What was done before it failed depends on the order of rows, which is SQLite's own choice: another
                # one where triggers keep it from changing rows while it looks for them.
                self.shadow.current = False
            if OVERLOOKED in (str(refused), str(alone)) and str(refused) != str(alone):
                self.shadow.current = False  # one of them failed for another reason, and may have kept rows
        for made in (connection, self.shadow.connection(number)):
            if made.in_transaction:
                made.execute("ROLLBACK")

    def write_postgres(self, lines):
        """The same."""
        if self.primary != "postgres":
            return
        with self.pg.cursor() as cursor:
            for line in lines:
                try:
                    if line.startswith("COPY ") and "\n" in line:
                        cursor.copy_expert(*self._copy(line))
                    else:
                        cursor.execute(line)
                except psycopg2.Error as error:
                    if "switchback" in str(error) or error.pgcode in ("25006", "XX000"):
                        raise Failed("application", f"{line}: {error}") from error
            cursor.execute("ROLLBACK")

    @staticmethod
    def _copy(line):
        head, rows = line.split("\n", 1)
        return head, io.StringIO(rows)

    def flipped(self):
        """What holds right after a flip."""
        self.shadow.current = False
        if self.primary == "postgres":
            self.check_sequences()

    def check_sequences(self):
        """After a cutover a generated key is above every key there is."""
        with self.pg.cursor() as cursor:
            for table in self.script["tables"]:
                if not table.get("serial"):
                    continue
                cursor.execute(f"SELECT nextval(pg_get_serial_sequence('{table['name']}', 'id')), "
                               f"(SELECT max(id) FROM {table['name']})")
                new, highest = cursor.fetchone()
                if highest is not None and new <= highest:
                    raise Failed("sequence", f"{table['name']}: the next generated key is {new}, and {highest} exists")

    def sync(self):
        """Compares until equal; differing although caught up, or never caught up, is a failure."""
        self.without_power_loss()
        end = time.monotonic() + PATIENCE
        calm = None
        while True:
            self.look_at_sidecar()
            caught_up = self.caught_up()
            lines = self.differences() if caught_up else ["not caught up"]
            if not lines and self.primary == "old" and self.shadow.current:
                lines = self.shadow.differences(self.script["tables"])
                if lines:
                    raise Failed("application", "\n".join(lines))
            if not lines:
                return
            calm = calm or time.monotonic() if caught_up else None
            if calm and time.monotonic() > calm + (self.second_tries if self.quarantine() else self.grace):
                raise Failed("differs", "\n".join(lines[:12]) + f"\nin quarantine: {self.quarantine()}\n"
                             + self.log()[-2000:])
            if time.monotonic() > end or "(stopped)" in self.log():
                raise Failed("stopped" if "(stopped)" in self.log() else "stuck",
                             f"{lines[:5]}\n{self.log()[-3000:]}")
            time.sleep(0.01 if not caught_up else 0.05)  # between two looks

    def abandon(self):
        """No trace is left on either side."""
        self.flip("old")
        self.sync()
        self.end_sidecar(signal.SIGTERM)
        done = self.type("abandon")
        left = self.traces_in_store()
        with self.pg.cursor() as cursor:
            cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname = 'switchback' UNION ALL SELECT tgname FROM "
                           "pg_trigger WHERE tgname LIKE 'switchback%' UNION ALL SELECT pubname FROM pg_publication UNION "
                           "ALL SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")
            left += cursor.fetchall()
        if done.returncode != 0 or left:
            raise Failed("abandon", f"ended with {done.returncode}, left {left}: {done.stdout}{done.stderr}")

    def traces_in_store(self):
        """What a bridge that is gone left there."""
        look = sqlite3.connect(self.path("store.db"), timeout=30)
        left = look.execute("SELECT name FROM sqlite_schema WHERE name LIKE '%switchback%'").fetchall()
        look.close()
        return left

    def crash_postgres(self):
        """What was acknowledged with synchronous_commit = off may be gone; then it is gone everywhere."""
        self.cluster.stop("immediate")
        self.cluster.start()
        self.pg.close()
        self.connect_postgres()

    def blocked_flip(self, to):
        """The command, while a transaction of the application holds on to the primary."""
        if self.primary == to:
            return
        self.wait_settled()
        if self.primary == "old":
            release = self.hold_store()
        else:
            holder = psycopg2.connect(self.url)
            holder.cursor().execute(f"LOCK {self.script['tables'][-1]['name']} IN ROW EXCLUSIVE MODE")
            release = holder.close
        done = self.type(COMMANDS[to], "--json", "--max-pause", "100ms")
        release()
        # Dead on the way, or refused.
        if done.returncode not in (1, 3):
            raise Failed("flip", f"{COMMANDS[to]} ended with {done.returncode}: {done.stdout}{done.stderr}")

    def hold_store(self):
        """The application is in the middle of a write; returns what ends it."""
        holder = self.connection(0)
        holder.execute("BEGIN IMMEDIATE")
        return lambda: holder.execute("ROLLBACK")

    def refused_by_store(self, table, name, lines):
        """The store takes none of the statements, nor the like."""
        if name == table["name"]:
            _refused_by_sqlite(self, name, lines)

    # -- what fixed scripts need

    def copy_store(self, what):
        """While nobody has it open."""
        self.end_sidecar(signal.SIGTERM)
        self.close_connections()
        names = ("store.db", "saved.db") if what == "save" else ("saved.db", "store.db")
        for ending in ("", "-wal", "-shm", "-journal"):
            if os.path.exists(self.path(names[1] + ending)):
                os.remove(self.path(names[1] + ending))
        source, target = sqlite3.connect(self.path(names[0])), sqlite3.connect(self.path(names[1]))
        source.backup(target)
        target.execute(f"PRAGMA journal_mode = {self.script['journal_mode']}")
        source.close()
        target.close()

    def until_dead(self):
        """The failpoint is reached by itself."""
        try:
            self.sidecar.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed("stuck", f"the failpoint is not reached:\n{self.log()[-2000:]}") from None

    def refuses(self, words):
        """The pump stops, and says why; nothing is compared."""
        end = time.monotonic() + PATIENCE
        self.start()
        while not ("(stopped)" in self.log() and words in self.log()):
            if self.sidecar.poll() is not None or self.caught_up() or time.monotonic() > end:
                raise Failed("accepted", f"the sidecar does not say: {words}\n{self.log()[-2000:]}")
            time.sleep(0.05)  # between two looks

    def expect(self, side, query, rows):
        """What one side holds, beside what is compared."""
        if side == "old":
            found = self.connection(0).execute(query).fetchall()
        else:
            with self.pg.cursor() as cursor:
                cursor.execute(query)
                found = cursor.fetchall()
        if [list(row) for row in found] != rows:
            raise Failed("unexpected", f"{query}: {found} instead of {rows}")

    # -- all of it

    def step(self, step):
        """One step."""
        what, *rest = step
        self.script_target = None
        if what in ("die", "restore") or what == "start" and "SWITCHBACK_POWER_LOSS" in rest[0]:
            self.shadow.current = False
        if what == "sqlite":
            self.write_sqlite(*rest)
        elif what == "pragma":
            for made in (self.connection(rest[0]), self.shadow.connection(rest[0])):
                made.execute(rest[1]).fetchall()
        elif what == "postgres":
            self.write_postgres(*rest)
        elif what == "reopen":
            self.close_connections()
            self.shadow.close()
        elif what == "start":
            self.end_sidecar(signal.SIGTERM)
            self.start(rest[0])
        elif what == "kill":
            self.end_sidecar(signal.SIGKILL)
        elif what == "stop":
            self.end_sidecar(signal.SIGTERM)
        elif what == "die":
            self.die(*rest)
        elif what == "flip":
            self.flip(*rest)
            self.flipped()
        elif what == "flip_alone":
            self.end_sidecar(signal.SIGTERM)
            if self.primary != rest[0] and self.type(COMMANDS[rest[0]]).returncode == 0:
                self.primary = rest[0]
            self.flip(*rest)
            self.flipped()
        elif what == "abandon":
            self.abandon()
        elif what == "pg_crash":
            self.crash_postgres()
        elif what == "sync":
            self.sync()
        elif what == "until_dead":
            self.until_dead()
        elif what == "blocked_flip":
            self.blocked_flip(*rest)
        elif what == "probe":
            probe(self)
        elif what in ("save", "restore"):
            self.copy_store(what)
        elif what == "refuses":
            self.refuses(*rest)
        elif what == "expect":
            self.expect(*rest)
        else:
            raise AssertionError(f"no such step: {what}")

    def play(self):
        """All steps, and an end at which both sides are equal and the sidecar stops well."""
        for step in self.script["steps"]:
            self.step(step)
        if any(step[0] in ("refuses", "abandon") for step in self.script["steps"]):
            return
        self.script_target = None
        self.sync()
        self.end_sidecar(signal.SIGTERM)


def probe(player):
    """The side that is not primary refuses every way of writing to each of its tables."""
    for table in player.script["tables"]:
        for name in [table["name"], *table.get("leaves", [])]:
            key = table["key"][0]
            lines = [f"UPDATE {name} SET {key} = {key}", f"DELETE FROM {name}",
                     f"INSERT INTO {name} SELECT * FROM {name} LIMIT 1"]
            if player.primary == "old":
                _refused_by_postgres(player, lines + [f"TRUNCATE {name} CASCADE"])
            else:
                player.refused_by_store(table, name, lines)


def _refused_by_postgres(player, lines):
    with player.pg.cursor() as cursor:
        for role in ("origin", "replica"):
            for line in lines:
                _refused_by_postgres_as(cursor, role, line)


def _refused_by_postgres_as(cursor, role, line):
    # TRUNCATE waits for whoever uses the table just then. Where TRUNCATE CASCADE and the bridge, which tries rows of its
    # quarantine again, wait for each other, PostgreSQL ends who has waited for deadlock_timeout: the bridge, which tries again.
    cursor.execute(f"BEGIN; SET LOCAL session_replication_role = {role}; SET LOCAL lock_timeout = '30s';"
                   "SET LOCAL deadlock_timeout = '60s'")
    try:
        cursor.execute(line)
    except psycopg2.Error as error:
        # The fence of a partitioned table's rows comes after the unique index and, by name, after ON DELETE RESTRICT.
        if error.pgcode not in ("25006", "23505", "23503"):
            raise Failed("fence", f"{line}: {error}") from error
    else:
        if cursor.rowcount != 0:  # an empty partitioned table has nothing to refuse
            raise Failed("no fence", f"PostgreSQL took: {line}")
    finally:
        cursor.execute("ROLLBACK")


def _refused_by_sqlite(player, name, lines):
    connection = player.connection(0)
    if not connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]:
        return
    for line in lines:
        connection.execute("BEGIN")
        try:
            connection.execute(line)
        except sqlite3.Error as error:
            if "switchback" not in str(error):
                raise Failed("fence", f"{line}: {error}") from error
        else:
            raise Failed("no fence", f"SQLite took: {line}")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


# By the kind of the old store; files_play.py adds its own.
PLAYERS = {"sqlite": Player}


def play(cluster, script, environment=None):
    """Plays one history; None or the Failed that it showed."""
    with PLAYERS[script.get("store", "sqlite")](cluster, script, environment) as player:
        try:
            player.play()
        except Failed as failed:
            return failed
        except subprocess.TimeoutExpired as late:
            return Failed("stuck", str(late))
    return None
