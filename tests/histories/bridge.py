"""A bridge of a random history: a folder with a store (here SQLite; files_play.py has the other kind), a database of the
run's PostgreSQL, the application's connections to both, and the sidecar as a process that may be killed at any moment.
play.py says what is done with it.
"""
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

import psycopg2

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "life"))
import compare  # noqa: E402
from cluster import ThrowAwayCluster  # noqa: E402  (found in tests/life)
from life import PROGRAM  # noqa: E402

PG_EXTRA = "max_prepared_transactions = 8\nautovacuum = off"
PATIENCE = float(os.environ.get("SWITCHBACK_HISTORY_PATIENCE", "60"))
COMMANDS = {"postgres": "cutover", "old": "rollback"}
# How a sidecar may end: killed, well, or told to end before it listened.
WELL = (-signal.SIGKILL, 0, -signal.SIGTERM)


class Failed(Exception):
    """The history shows something wrong. `kind` is what a shorter history must show too."""

    def __init__(self, kind, text):
        super().__init__(f"{kind}: {text}")
        self.kind = kind


def history_cluster():
    """The one PostgreSQL of a run."""
    return ThrowAwayCluster(extra=PG_EXTRA)


class Bridge:
    """One history's. Use as a context manager."""

    number = 0
    grace = 3.0     # seconds that the two sides may differ after the other side says that it has everything
    second_tries = 25.0  # the same while rows are in quarantine: what another row was the cause of is tried again

    def __init__(self, cluster, script, environment=None):
        self.cluster, self.script, self.extra = cluster, script, environment or {}
        self.sidecar, self.primary = None, "old"
        self.connections = {}
        self.powered = None     # the last log entry when a sidecar began that may lose its power; nobody opens the store then
        Bridge.number += 1
        self.database = f"h{os.getpid()}_{Bridge.number}"

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="switchback-history-")
        admin = self._admin()
        admin.cursor().execute(f"CREATE DATABASE {self.database} STRATEGY FILE_COPY")
        admin.close()
        self.url = self.cluster.database_url(self.database)
        self.connect_postgres()
        with self.pg.cursor() as cursor:
            for line in self.script["postgres"]:
                cursor.execute(line)
        store = self.make_store()
        with open(self.path("switchback.toml"), "w", encoding="utf-8") as config:
            config.write(f'[bridge]\nname = "h"\nstate_dir = "state"\nrun_dir = "run"\nmax_pause = "5s"\n'
                         f'[admin]\nlisten = "127.0.0.1:0"\n{store}{self.script["config"]}')
        return self

    def make_store(self):
        """The old store as the application left it; what the configuration says of it."""
        store = sqlite3.connect(self.path("store.db"), isolation_level=None)
        store.execute(f"PRAGMA journal_mode = {self.script['journal_mode']}")
        for line in self.script["sqlite"]:
            store.execute(line)
        store.close()
        return '[store.app]\nsqlite = "store.db"\ntables = "*"\n'

    def connect_postgres(self):
        """The application's connection; it does not wait for its own prepared transactions."""
        self.pg = psycopg2.connect(self.url)
        self.pg.autocommit = True
        self.pg.cursor().execute("SET lock_timeout = '300ms'")

    def __exit__(self, kind, *_):
        if self.sidecar and self.sidecar.poll() is None:
            self.sidecar.kill()
            self.sidecar.wait()
        self.close_connections()
        self.pg.close()
        admin = self._admin()
        with admin.cursor() as cursor:
            cursor.execute(f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = "
                           f"'{self.database}' AND NOT active")
            cursor.execute("SELECT gid FROM pg_prepared_xacts WHERE database = %s", (self.database,))
            left = [gid for gid, in cursor.fetchall()]
        if left:
            inside = psycopg2.connect(self.url)
            inside.autocommit = True
            for gid in left:
                inside.cursor().execute(f"ROLLBACK PREPARED '{gid}'")
            inside.close()
        try:
            admin.cursor().execute(f"DROP DATABASE {self.database} WITH (FORCE)")
        except psycopg2.Error:
            pass  # a walsender that is only just ending; the cluster goes at the end
        admin.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _admin(self):
        admin = psycopg2.connect(self.cluster.url)
        admin.autocommit = True
        return admin

    def path(self, name):
        """In the history's folder."""
        return os.path.join(self.folder, name)

    def log(self):
        """What the sidecars said."""
        with open(self.path("sidecar.log"), encoding="utf-8", errors="replace") as log:
            return log.read()

    # -- the application

    def connection(self, number):
        """One of the application's connections to SQLite."""
        self.without_power_loss()
        if number in self.connections:
            return self.connections[number]
        made = sqlite3.connect(self.path("store.db" if number != 2 else "beside.db"), timeout=30, isolation_level=None)
        if number == 2:
            made.execute("ATTACH ? AS app", (self.path("store.db"),))
        else:
            made.execute("ATTACH ? AS other", (self.path(f"other{number}.db"),))
        for line in self.script.get("habits", {}).get(str(number), []):
            made.execute(line)
        self.connections[number] = made
        return made

    def close_connections(self):
        """As an application that ends."""
        for made in self.connections.values():
            made.close()
        self.connections.clear()

    # -- the sidecar

    def environment(self, more=None):
        """Of every process of the program."""
        return {**os.environ, "DATABASE_URL": self.url, "SWITCHBACK_FAILPOINT_LOG": self.path("failpoints.log"),
                **self.extra, **(more or {})}

    def start(self, environment=None):
        """A sidecar, if none lives. One that may lose its power has the store to itself: a real power loss would end
        the application's connections and the checker's too."""
        if self.sidecar and self.sidecar.poll() is None:
            return
        self.powered = None
        if environment and "SWITCHBACK_POWER_LOSS" in environment:
            self.close_connections()
            self.powered = self.last_entry() or 0
        with open(self.path("sidecar.log"), "ab") as log:
            self.sidecar = subprocess.Popen([PROGRAM, "-c", self.path("switchback.toml"), "run"], stdout=log, stderr=log,
                                            env=self.environment(environment))

    def without_power_loss(self):
        """Before anybody else opens the store."""
        if self.powered is not None:
            self.end_sidecar(signal.SIGTERM)
            self.start()

    def look_at_sidecar(self):
        """Starts it again if it was killed; anything else that ended it is a failure."""
        if self.sidecar is None:
            self.start()
        elif self.sidecar.poll() is not None:
            if not self.ended_well(self.sidecar.returncode):
                raise Failed("died", f"the sidecar ended with {self.sidecar.returncode}:\n{self.log()[-3000:]}")
            self.start()

    def ended_well(self, code):
        """A flip typed while the sidecar is only starting is done by the command alone, which then holds the place."""
        return code in WELL or code == 1 and "already runs here" in self.log()[-400:]

    def end_sidecar(self, how):
        """By SIGKILL or SIGTERM."""
        if self.sidecar is None:
            return
        if self.sidecar.poll() is None:
            self.sidecar.send_signal(how)
        try:
            code = self.sidecar.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed("stuck", f"the sidecar does not end:\n{self.log()[-3000:]}") from None
        if not self.ended_well(code):
            raise Failed("died", f"the sidecar ended with {code}:\n{self.log()[-3000:]}")

    def die(self, environment):
        """A power loss at a failpoint, with nobody else in the database, or no failpoint is reached: then SIGTERM."""
        self.end_sidecar(signal.SIGTERM)
        self.start({**environment, "SWITCHBACK_POWER_LOSS": "1"})
        end = time.monotonic() + PATIENCE
        while self.sidecar.poll() is None and not self.caught_up():
            if time.monotonic() > end:
                raise Failed("stuck", f"neither dead nor in sync:\n{self.log()[-3000:]}")
            time.sleep(0.02)  # between two looks
        self.end_sidecar(signal.SIGTERM)

    def told(self):
        """What the run folder says: (primary, epoch), or None while it cannot be told."""
        try:
            with open(self.path("run/primary"), encoding="utf-8") as file:
                line = json.load(file)
            return (line["groups"]["all"], line["epoch"]) if line["state"] == "settled" else None
        except (OSError, ValueError, KeyError):
            return None

    def type(self, *words):
        """A command, as a person would."""
        return subprocess.run([PROGRAM, "-c", self.path("switchback.toml"), *words, "--yes"],
                              capture_output=True, text=True, env=self.environment(), timeout=2 * PATIENCE)

    def flip(self, to):
        """Types the command until it has happened."""
        if self.primary == to:
            return
        command = COMMANDS[to]
        self.wait_settled()
        epoch = (self.told() or (None, 0))[1]
        calm = None
        end = time.monotonic() + PATIENCE
        while True:
            self.look_at_sidecar()
            done = self.type(command, "--json")
            said = done.stdout + done.stderr
            if done.returncode == 0:
                break
            if done.returncode not in (1, 3):
                raise Failed("flip", f"{command} ended with {done.returncode}: {said}")
            if "in quarantine" in said and self.sidecar.poll() is None and self.caught_up():
                lines = self.differences()
                if not lines:
                    return  # rows are held back with good reason: then nobody may flip
                calm = calm or time.monotonic()
                if time.monotonic() > calm + self.second_tries:
                    raise Failed("quarantine", f"{said}\n{self.quarantine()}\n{lines}")
            # Cut off on the way, it may be finished by a command or a sidecar that came later.
            told = self.told()
            if told and told[0] == to and told[1] > epoch:
                break
            if time.monotonic() > end:
                raise Failed("flip", f"{command} does not come to an end: {said}\n{self.log()[-3000:]}")
            time.sleep(0.05)  # before the next try
        self.primary = to

    def wait_settled(self):
        """Until a sidecar that lives says who is primary."""
        end = time.monotonic() + PATIENCE
        while True:
            self.look_at_sidecar()
            if self.caught_up():
                return
            if time.monotonic() > end:
                raise Failed("stuck", f"not settled:\n{self.log()[-3000:]}")
            time.sleep(0.02)  # between two looks

    # -- the two sides

    def caught_up(self):
        """True if the other side says that it has all that the primary took, and the sidecar which is primary."""
        told = self.told()
        if told is None:
            return False
        with self.pg.cursor() as cursor:
            try:
                if told[0] == "old":
                    return self._caught_up_forward(cursor)
                return self._caught_up_reverse(cursor)
            except (psycopg2.errors.UndefinedTable, psycopg2.errors.InvalidSchemaName):
                return False

    def _caught_up_forward(self, cursor):
        entry = self.powered if self.powered is not None else self.last_entry()
        cursor.execute("SELECT value FROM switchback.checkpoint WHERE bridge = 'h'")
        applied = cursor.fetchone()
        return applied is not None and entry is not None and applied[0] >= entry

    def _caught_up_reverse(self, cursor):
        """By the slot; or, where nobody may lose its power, by the store, of which the slot may hear seconds later."""
        target = self.target(cursor)
        cursor.execute("SELECT confirmed_flush_lsn >= %s FROM pg_replication_slots WHERE database = %s AND "
                       "slot_type = 'logical'", (target, self.database))
        confirmed = cursor.fetchone() == (True,)
        if confirmed or self.powered is not None:
            return confirmed
        high, low = (int(part, 16) for part in target.split("/"))
        look = sqlite3.connect(self.path("store.db"), timeout=30)
        try:
            return look.execute("SELECT value FROM _switchback_position").fetchone()[0] >= (high << 32) + low
        except (sqlite3.OperationalError, TypeError):
            return False
        finally:
            look.close()

    def last_entry(self):
        """The newest seq of the log, or None before there is one."""
        look = sqlite3.connect(self.path("store.db"), timeout=30)
        try:
            return look.execute("SELECT max(seq) FROM _switchback_log").fetchone()[0]
        except sqlite3.OperationalError:
            return None
        finally:
            look.close()

    def target(self, cursor):
        """The position that the reverse flow must have reached."""
        if self.script_target is None:
            # The flip's own marker: without it a source that has nothing to hand out says so only every few seconds.
            cursor.execute("SELECT pg_logical_emit_message(true, 'switchback', 'drain')")
            self.script_target = cursor.fetchone()[0]
        return self.script_target

    script_target = None

    def quarantine(self):
        """What both sides say of it."""
        with self.pg.cursor() as cursor:
            cursor.execute("SELECT table_name, key, reason FROM switchback.quarantine")
            held = cursor.fetchall()
        return held + self.quarantine_of_store()

    def quarantine_of_store(self):
        """What the old store cannot take."""
        look = sqlite3.connect(self.path("store.db"), timeout=30)
        held = look.execute("SELECT tbl, key, reason FROM _switchback_quarantine").fetchall()
        look.close()
        return held

    def differences(self):
        """By the independent comparison; quarantine of both sides counted together."""
        held = len(self.quarantine())
        look = sqlite3.connect(self.path("store.db"), timeout=30)
        try:
            with self.pg.cursor() as cursor:
                return compare.differences(self.script["tables"], look, cursor, held)
        finally:
            look.close()
