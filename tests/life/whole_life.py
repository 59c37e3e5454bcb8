"""The whole life of a bridge, whatever the system: load, forward, SIGKILL and restart, cutover, psql writes, reverse,
rollback, cutover, abandon from forward, with the system's own application writing all the while and its independent
checker comparing at each stop."""
import os
import signal
import sqlite3

import psycopg2

from life import Life


def quiet_check(life):
    """Stops the writers, compares, and lets them go on."""
    report = life.stop_application()
    line = life.check()
    life.start_application()
    return report, line


class WholeLife:
    """To be mixed into a TestCase that says which system. `writes`: statements that both fences refuse, the first of
    which SQLite knows too. What asks the old store is for one that is a SQLite database."""
    system, rows, rate, user = "", 2000, 200, None
    writes = []
    flip_options = []

    def play(self, journal_mode=None):
        """From the first start to the last trace."""
        with Life(rows=self.rows, journal_mode=journal_mode, rate=self.rate, system=self.system, user=self.user) as life:
            self.before_start(life)
            schema_before = self.schema(life)
            life.start_application()
            life.start_sidecar()
            life.wait_phase("forward")
            life.let_it_write(100)
            quiet_check(life)

            life.let_it_write(50)
            life.stop_sidecar(signal.SIGKILL)
            life.let_it_write(50)
            life.start_sidecar()
            life.wait_phase("forward")
            life.let_it_write(50)
            self.in_forward(life)
            quiet_check(life)

            flipped = life.flip("cutover", *self.flip_options)
            self.assertTrue(flipped["flipped"])
            self.assertEqual(flipped["primary"], "postgres")
            self.assertTrue(os.path.exists(flipped["certificate"]))
            life.let_it_write(100)
            self.refused_by_old(life)
            quiet_check(life)

            life.let_it_write(50)
            life.stop_sidecar(signal.SIGKILL)
            life.let_it_write(50)
            life.start_sidecar()
            life.wait_phase("reverse")
            quiet_check(life)

            self.assertEqual(life.flip("rollback", *self.flip_options)["primary"], "old")
            life.let_it_write(100)
            self.refused_by_postgres(life)
            self.in_forward(life)
            quiet_check(life)

            self.assertEqual(life.flip("cutover", *self.flip_options)["primary"], "postgres")
            life.let_it_write(50)
            self.assertEqual(life.flip("rollback", *self.flip_options)["primary"], "old")
            life.let_it_write(50)
            life.stop_application()
            self.assertTrue(life.check().endswith(", 0 lost"))

            self.assertEqual(life.stop_sidecar(), 0)
            code, out, err = life.run("abandon", "--yes")
            self.assertEqual(code, 0, out + err)
            self.assertEqual(self.schema(life), schema_before)
            self.assertFalse(os.path.exists(life.path("switchback.run")))
            with life.postgres() as postgres, postgres.cursor() as cursor:
                cursor.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'switchback'")
                self.assertEqual(cursor.fetchone()[0], 0)
                cursor.execute("SELECT count(*) FROM pg_replication_slots")
                self.assertEqual(cursor.fetchone()[0], 0)

    def before_start(self, life):
        """The store as it was left, before anybody opened it."""

    def in_forward(self, life):
        """What only this system's application does to its store: twice, while it is primary and the application is
        at work, which it must be afterwards too."""

    @staticmethod
    def schema(life):
        """All that abandon must leave as it was."""
        database = life.sqlite()
        rows = database.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").fetchall()
        database.close()
        return rows

    def refused_by_old(self, life):
        with self.assertRaisesRegex(sqlite3.IntegrityError, 'switchback: writes to .*"postgres".*epoch'):
            life.sqlite().execute(self.writes[0])

    def refused_by_postgres(self, life):
        for statement in self.writes:
            with self.assertRaises(psycopg2.Error) as refused:
                life.postgres().cursor().execute(statement)
            self.assertEqual(refused.exception.pgcode, "25006")
            self.assertIn('go to "old"', str(refused.exception))
