"""Histories that fork: a restored copy of the SQLite database, a slot that is gone. The pump stops and says which
history it was; nothing is applied by position."""
import os
import shutil
import sqlite3
import subprocess
import sys
import unittest

import psycopg2

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import PROGRAM, Life, wait_until  # noqa: E402


def copy_of(life, name):
    """A copy as SQLite's backup makes it."""
    source, target = life.sqlite(), sqlite3.connect(life.path(name))
    with source, target:
        source.backup(target)
    source.close()
    target.close()


def restore(life, name):
    """What a person does who restores a copy: the file goes back, the -wal goes."""
    for ending in ("-wal", "-shm", "-journal"):
        if os.path.exists(life.path(life.store + ending)):
            os.remove(life.path(life.store + ending))
    shutil.copy(life.path(name), life.path(life.store))


def add_user(connection, number):
    connection.execute(f"INSERT INTO users(id, username) VALUES ('fork{number}', 'fork{number}')")


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Forks(unittest.TestCase):
    def wait_told(self, life, words):
        """Until `status` says so; all of what it says."""
        def told():
            _, out, err = life.run("status")
            return words in out and out
        return wait_until(told, f"status to say: {words}", 60, 0.2)

    def rows(self, life):
        with life.postgres().cursor() as cursor:
            cursor.execute("SELECT id FROM users WHERE id LIKE 'fork%' ORDER BY id")
            return cursor.fetchall()

    def test_a_restored_copy_that_went_on(self):
        with Life(rows=60, journal_mode="wal") as life:
            life.start_sidecar()
            life.wait_phase("forward")
            copy_of(life, "copy")
            writer = life.sqlite()
            for number in (1, 2):
                add_user(writer, number)
            wait_until(lambda: len(self.rows(life)) == 2, "both rows in PostgreSQL")
            writer.close()
            life.stop_sidecar()
            restore(life, "copy")
            writer = life.sqlite()
            for number in (11, 12):  # under the seqs that the two had
                add_user(writer, number)
            writer.close()
            life.start_sidecar()
            told = self.wait_told(life, "history has forked")
            self.assertIn("restored", told)
            self.assertEqual(self.rows(life), [("fork1",), ("fork2",)], "applied by position")
            code, _, err = life.run("cutover", "--yes")
            self.assertEqual(code, 1, "a cutover over a fork")

    def test_reverse_without_its_slot_and_over_an_older_copy(self):
        with Life(rows=60, journal_mode="wal") as life:
            life.start_sidecar()
            life.wait_phase("forward")
            copy_of(life, "before")
            life.flip("cutover")
            life.wait_phase("reverse")
            postgres = life.postgres()
            cursor = postgres.cursor()
            add = "INSERT INTO users(id, username) VALUES (%s, %s)"
            cursor.execute(add, ("fork1", "one"))
            count = "SELECT count(*) FROM users WHERE id LIKE 'fork%'"
            wait_until(lambda: life.sqlite().execute(count).fetchone()[0] == 1, "the row in SQLite")
            life.stop_sidecar()

            # The slot goes: what is written from now on is in no stream.
            cursor.execute("SELECT slot_name FROM pg_replication_slots WHERE database = current_database()")
            slot = cursor.fetchone()[0]
            wait_until(lambda: self.drop(cursor, slot), "the slot let go by its reader")
            cursor.execute(add, ("fork2", "two"))
            life.start_sidecar()
            self.assertIn(slot, self.wait_told(life, "the slot is gone"))
            self.assertEqual(life.sqlite().execute(count).fetchone()[0], 1)
            life.stop_sidecar()
            # One made by hand begins too late, and is no better.
            cursor.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (slot,))
            life.start_sidecar()
            self.wait_told(life, "will not be sent again")
            life.stop_sidecar()

            # A copy from before the cutover believes that it is primary.
            restore(life, "before")
            life.start_sidecar()
            self.assertEqual(life.sidecar.wait(60), 1)
            with open(life.path("sidecar.log"), encoding="utf-8") as log:
                self.assertIn("it is an older copy", log.read())

    def test_another_postgres_before_the_second_cutover(self):
        """PostgreSQL fails over while SQLite is primary again: what SQLite once followed says nothing of the new one."""
        with Life(rows=60, journal_mode="wal") as life:
            life.start_sidecar()
            life.wait_phase("forward")
            life.flip("cutover")
            life.wait_phase("reverse")
            self.comes_back(life, 1)
            life.flip_when_ready("rollback")
            life.wait_phase("forward")
            self.promote(life)
            life.flip_when_ready("cutover", 120)
            life.wait_phase("reverse")
            self.comes_back(life, 2)
            life.flip_when_ready("rollback")

    def test_postgres_set_back_while_nobody_writes(self):
        """The pump is idle and knows only what it committed to the one before: a cutover asks the one that is there."""
        with Life(rows=60, journal_mode="wal") as life:
            life.start_sidecar()
            life.wait_phase("forward")
            life.cluster.stop()
            subprocess.run(["cp", "-a", life.cluster.data, life.cluster.data + ".before"], check=True)
            life.cluster.start()
            writer = life.sqlite()
            add_user(writer, 1)
            writer.close()
            wait_until(lambda: self.rows(life) == [("fork1",)], "the row in PostgreSQL")
            code, out, err = life.run("verify")
            self.assertEqual(code, 0, out + err)
            wait_until(lambda: life.ask("/status")["trailing"]["owed"] == 0, "no comparison is owed")
            life.cluster.stop()
            shutil.rmtree(life.cluster.data)
            os.rename(life.cluster.data + ".before", life.cluster.data)
            life.cluster.start()
            self.assertEqual(self.rows(life), [])
            code, out, err = life.run("cutover", "--yes")
            self.assertNotEqual(code, 0, out)
            self.assertIn("no longer has all that was applied to it", out + err)
            life.flip_when_ready("cutover", 120)
            self.assertEqual(self.rows(life), [("fork1",)])

    def comes_back(self, life, number):
        """A row that is written in PostgreSQL reaches SQLite."""
        connection = life.postgres()
        connection.cursor().execute("INSERT INTO users(id, username) VALUES (%s, %s)", (f"fork{number}", f"f{number}"))
        connection.close()
        count = "SELECT count(*) FROM users WHERE id LIKE 'fork%'"
        wait_until(lambda: life.sqlite().execute(count).fetchone()[0] == number, f"row {number} in SQLite")

    def promote(self, life):
        life.cluster.stop()
        with open(os.path.join(life.cluster.data, "standby.signal"), "w", encoding="ascii"):
            pass
        shutil.chown(os.path.join(life.cluster.data, "standby.signal"), life.cluster.user)
        life.cluster.start()

        def promoted():
            connection = psycopg2.connect(life.url)
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_is_in_recovery() AND pg_promote()")
                cursor.execute("SELECT NOT pg_is_in_recovery()")
                there = cursor.fetchone()[0]
            connection.close()
            return there
        wait_until(promoted, "PostgreSQL promoted")

    def drop(self, cursor, slot):
        cursor.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots"
                       " WHERE slot_name = %s AND active_pid IS NULL", (slot,))
        return cursor.rowcount == 1


if __name__ == "__main__":
    unittest.main()
