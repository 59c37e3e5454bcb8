"""Plays a history whose old store is JSON files. The same steps as play.py's, with one of its own:
  ["files", [edit, …]]      what the application does to its files, one after the other (file_edits.py)
That everything has arrived is told by a canary: a file, or a row, that is written after all else, twice, since files
are looked at one after the other. A file that the application left half-written keeps the rows that it had.
"""
import glob
import os
import sqlite3

import psycopg2

import compare_files
from bridge import Failed
from file_edits import Application
from play import PLAYERS, Player

NO_WRITE = 0o222


class FilesAlone:
    """While the files are primary the bridge reads them and no more: they hold what the application wrote, to the byte."""

    def __init__(self, application):
        self.application, self.current, self.wrote = application, False, {}

    def note(self):
        """The application has just written."""
        self.wrote, self.current = self.application.bytes_of_all(), True

    def close(self):
        """Nothing is open."""

    def differences(self, _):
        """Lines."""
        now = self.application.bytes_of_all()
        return [f"{path} holds {now.get(path)} instead of {self.wrote.get(path)}"
                for path in sorted(set(now) | set(self.wrote)) if now.get(path) != self.wrote.get(path)]


class FilesPlayer(Player):
    """The kind of store that is a folder."""

    def make_store(self):
        self.application = Application(self.path("data"), self.script["collections"])
        self.canary, self.rounds = 0, 0     # its number, and how many have arrived since the last write
        self.quiet = None                   # both sides as they were compared, if nobody has written since
        self.loaded = False                 # both sides have been equal once
        self.application.write_canary(0)
        return ""

    def make_shadow(self):
        return FilesAlone(self.application)

    def last_entry(self):
        return 0

    # -- writes

    def stirred(self):
        """Something happens that the canary must be behind."""
        self.rounds = 0

    def start(self, environment=None):
        if self.sidecar is None or self.sidecar.poll() is not None:
            self.stirred()  # a power loss may have taken the last canary back
        super().start(environment)

    def write_files(self, edits):
        """Of an application whose store is the primary."""
        if self.primary != "old":
            return
        self.quiet = None
        for edit in edits:
            self.application.edit(edit)
        self.shadow.note()
        self.stirred()

    def write_postgres(self, lines):
        self.quiet = None
        super().write_postgres(lines)
        self.stirred()

    def mend(self, which):
        """The application starts again, and writes whole what it had been writing."""
        for path in which:
            self.quiet = None
            self.application.mend(path)
            self.shadow.note()
            self.stirred()

    def mend_for_load(self):
        """A load waits for what the bridge knows of and cannot read any more."""
        if not self.loaded:
            self.mend(list(self.application.torn))

    def die(self, environment):
        self.mend_for_load()
        super().die(environment)

    def flip(self, to):
        if self.primary == "old" and to == "postgres":
            self.mend(list(self.application.torn))
        super().flip(to)
        self.stirred()

    def step(self, step):
        before = self.primary
        if step[0] == "files":
            self.write_files(step[1])
        else:
            super().step(step)
        if (before, self.primary) == ("postgres", "old"):
            self.application.synced()  # a flip drains: the files are what both sides hold

    # -- the two sides

    def caught_up(self):
        told = self.told()
        if told is None:
            return False
        try:
            if self.rounds == 0 or self.arrived(told[0]) and self.rounds < 3:
                self.rounds += 1
                if self.rounds < 3:
                    self.send(told[0])
            return self.rounds == 3 and self.arrived(told[0])
        except (psycopg2.errors.UndefinedTable, psycopg2.errors.ReadOnlySqlTransaction, psycopg2.errors.LockNotAvailable):
            return False  # not yet: of the last two, the load holds the table, or a flip has closed it

    def send(self, primary):
        """One more canary."""
        self.canary += 1
        if primary == "old":
            self.application.write_canary(self.canary)
        else:
            self.pg.cursor().execute("UPDATE canary SET n = %s", (self.canary,))

    def arrived(self, primary):
        """Whether the last one is on the other side."""
        if primary == "postgres":
            return self.application.read_canary() == self.canary
        with self.pg.cursor() as cursor:
            # Until the load is done there is no position, and the canary may have been copied before the rest.
            cursor.execute("SELECT n FROM canary, switchback.checkpoint WHERE bridge = 'h'")
            return cursor.fetchall() == [(self.canary,)]

    def quarantine_of_store(self):
        look = sqlite3.connect(self.path("state/files.ledger"), timeout=30)
        try:
            return look.execute("SELECT tbl, key, reason FROM quarantine").fetchall()
        finally:
            look.close()

    def differences(self):
        held = self.quarantine()
        with self.pg.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            try:
                return compare_files.differences(self.script["collections"], self.application.records_of, cursor, held)
            finally:
                cursor.execute("ROLLBACK")

    def sync(self):
        # What a file held that was written several times and then torn, nobody knows; and a load waits for what it never read.
        self.mend([path for path in self.application.torn if path in self.application.touched or not self.loaded])
        super().sync()
        now = (self.rows(), self.application.bytes_of_all())
        if self.quiet is not None and now != self.quiet:
            raise Failed("restless", f"nobody wrote, and this changed: {changed(self.quiet, now)}")
        self.quiet = now
        self.application.synced()
        self.loaded = True

    def rows(self):
        """All of PostgreSQL's, made-up identities included."""
        held = {}
        with self.pg.cursor() as cursor:
            for table in self.script["tables"]:
                cursor.execute(f"SELECT t::text FROM {table['name']} t ORDER BY 1")
                held[table["name"]] = cursor.fetchall()
        return held

    # -- what else a store must be able to do

    def hold_store(self):
        file = open(self.application.path("canary.json"), "r+b")  # pylint: disable=consider-using-with
        return file.close

    def refused_by_store(self, table, name, lines):
        for path, mode in self.modes():
            if mode & NO_WRITE:
                raise Failed("fence", f"{path} may be written: {oct(mode)}")

    def modes(self):
        """(path, mode) of all files, and of folders that hold some."""
        for path in glob.glob(self.application.path("**"), recursive=True):
            if os.path.isfile(path) or any(os.path.isfile(inner) for inner in glob.glob(glob.escape(path) + "/*")):
                yield path, os.stat(path).st_mode

    def traces_in_store(self):
        return [path for path, mode in self.modes() if not mode & NO_WRITE] + [
            path for path in self.application.bytes_of_all() if not self.application.is_own(path)]


def changed(before, now):
    """What differs of two pictures."""
    return [(name, one.get(name), other.get(name)) for one, other in zip(before, now)
            for name in sorted(set(one) | set(other)) if one.get(name) != other.get(name)]


PLAYERS["files"] = FilesPlayer
