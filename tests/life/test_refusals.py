"""Who may write where, and what the one who may not is told: each side refuses in its turn, writers who were waiting
when the fence came down are refused and lose nothing, and what a person types into psql while PostgreSQL is primary
arrives in SQLite, autovacuum or not."""
import os
import sqlite3
import subprocess
import sys
import threading
import time
import unittest

import psycopg2

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import PROGRAM, Life, wait_until  # noqa: E402

TABLES = ("users", "tweets", "personality_analysis", "funnel_progress", "funnel_completion", "referral_tracking",
          "referral_codes", "referral_usage_log")
ONLY_POSTGRES = ("analysis_queue", "analysis_chunks")

# Every way PostgreSQL has to write a row; each must be refused, even where it would touch none.
POSTGRES_WRITES = (
    "INSERT INTO users (id, username) VALUES ('nobody', 'nobody')",
    "INSERT INTO users (id, username) SELECT id, username FROM users ON CONFLICT DO NOTHING",
    "INSERT INTO referral_codes (code, owner_user_id) VALUES ('REF-00000', 'x') "
    "ON CONFLICT (code) DO UPDATE SET usage_count = 99",
    "UPDATE tweets SET text = 'by the wrong door'",
    "UPDATE tweets SET text = text WHERE false",
    "DELETE FROM referral_usage_log",
    "WITH gone AS (DELETE FROM funnel_completion RETURNING *) SELECT count(*) FROM gone",
    "MERGE INTO referral_codes c USING users u ON c.code = u.id WHEN NOT MATCHED THEN "
    "INSERT (code, owner_user_id) VALUES (u.id, u.username)",
    "TRUNCATE referral_usage_log",
    "TRUNCATE users CASCADE",
    "BEGIN; SET LOCAL session_replication_role = replica; DELETE FROM referral_usage_log; COMMIT",
    *(f"TRUNCATE {table} CASCADE" for table in ONLY_POSTGRES),
)
SQLITE_WRITES = (
    "INSERT INTO users (id, username) VALUES ('nobody', 'nobody')",
    "INSERT OR IGNORE INTO users (id, username) SELECT id, username FROM users",
    "INSERT OR REPLACE INTO referral_codes (code, owner_user_id) VALUES ('REF-00000', 'x')",
    "REPLACE INTO users SELECT * FROM users",
    "INSERT INTO referral_codes (code, owner_user_id) VALUES ('REF-00000', 'x') "
    "ON CONFLICT (code) DO UPDATE SET usage_count = 99",
    "UPDATE OR IGNORE tweets SET text = 'by the wrong door'",
    "UPDATE tweets SET text = text WHERE rowid = 1",
    *(f"DELETE FROM {table}" for table in TABLES),
)


def counts(connection, tables):
    """Rows of each table."""
    cursor = connection.cursor()
    found = {}
    for table in tables:
        cursor.execute(f"SELECT count(*) FROM {table}")
        found[table] = cursor.fetchone()[0]
    return found


class Hammer(threading.Thread):
    """A client that counts its own code up, commit by commit, until it is refused; `acked` is what it was promised."""

    def __init__(self, connect, statement, code):
        super().__init__()
        self.connect, self.statement, self.code = connect, statement, code
        self.acked, self.refusal, self.began, self.waited = 0, None, None, 0.0

    def run(self):
        connection = self.connect()
        cursor = connection.cursor()
        while self.refusal is None:
            self.began = time.monotonic()
            try:
                cursor.execute(self.statement, (self.acked + 1, self.code))
                self.acked += 1
            except (sqlite3.Error, psycopg2.Error) as error:
                self.refusal, self.waited = error, time.monotonic() - self.began
        connection.close()


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Refusals(unittest.TestCase):
    """The fence, seen from outside."""

    def postgres_refuses(self, life, epoch):
        connection = life.postgres()
        before = counts(connection, TABLES + ONLY_POSTGRES)
        for statement in POSTGRES_WRITES:
            with self.subTest(statement), self.assertRaises(psycopg2.Error) as refused:
                connection.cursor().execute(statement)
            self.postgres_says(refused.exception, epoch)
            connection.cursor().execute("ROLLBACK")
        with self.assertRaises(psycopg2.Error) as refused:
            with subprocess.Popen(["printf", "nobody\\tnobody\\n"], stdout=subprocess.PIPE) as rows:
                connection.cursor().copy_expert("COPY users (id, username) FROM STDIN", rows.stdout)
        self.postgres_says(refused.exception, epoch)
        self.assertEqual(counts(connection, TABLES + ONLY_POSTGRES), before)
        connection.close()

    def postgres_says(self, error, epoch):
        self.assertEqual(error.pgcode, "25006", error)
        self.assertRegex(error.diag.message_primary,
                         rf'^switchback: writes to public\.\w+ go to "old" \(group all, epoch {epoch}\)$')
        self.assertEqual(error.diag.message_detail, f"primary=old group=all epoch={epoch}")
        self.assertIn("switchback.primary('all')", error.diag.message_hint)

    def sqlite_refuses(self, life, epoch):
        connection = life.sqlite()
        before = counts(connection, TABLES)
        for statement in SQLITE_WRITES:
            with self.subTest(statement), self.assertRaises(sqlite3.IntegrityError) as refused:
                connection.execute(statement)
            self.sqlite_says(refused.exception, epoch)
        self.assertEqual(counts(connection, TABLES), before)
        connection.close()

    def sqlite_says(self, error, epoch):
        self.assertRegex(str(error), rf'^switchback: writes to \w+ go to "postgres" \(group all, epoch {epoch}\)$')

    def test_each_side_refuses_in_its_turn_and_says_where_writes_go(self):
        with Life(rows=100, journal_mode="wal") as life:
            life.start_sidecar()
            life.wait_phase("forward")
            self.postgres_refuses(life, life.group()["epoch"])
            old_transaction = psycopg2.connect(life.url)
            old_transaction.set_session(isolation_level="REPEATABLE READ")
            old_cursor = old_transaction.cursor()
            old_cursor.execute("SELECT 1")
            self.sqlite_refuses(life, life.flip("cutover")["epoch"])
            # A transaction from before the cutover looks at the old rows, but may write, and the write flows.
            old_cursor.execute("UPDATE referral_codes SET usage_count = 4711 WHERE code = 'REF-00001'")
            old_transaction.commit()
            old_transaction.close()
            self.wait_in_sqlite(life, "SELECT usage_count FROM referral_codes WHERE code = 'REF-00001'", 4711)
            self.postgres_refuses(life, life.flip("rollback")["epoch"])
            life.sqlite().execute("UPDATE users SET last_scraped = last_scraped")

    def wait_in_sqlite(self, life, query, value):
        wait_until(lambda: life.sqlite().execute(query).fetchone() == (value,), f"{query} gives {value}")

    def test_writers_who_wait_when_the_fence_comes_down_are_refused_and_lose_nothing(self):
        with Life(rows=100, journal_mode="delete", pg_extra="deadlock_timeout = 60s\nautovacuum = off") as life:
            life.start_sidecar()
            life.wait_phase("forward")
            self.waiting_in_sqlite(life)
            self.hammered_postgres(life)

    def flip_in_thread(self, life, *words):
        """Types a flip and does not wait for it; (thread, what it will have printed)."""
        outcome = {}
        thread = threading.Thread(target=lambda: outcome.update(life.flip(*words)))
        thread.start()
        return thread, outcome

    def waiting_in_sqlite(self, life):
        """Somebody keeps the cutover from its last steps, so that SQLite is certainly locked while a writer comes."""
        holder = psycopg2.connect(life.url, application_name="switchback test")
        # Looking goes through this lock; the gate's row is changed last of all, with SQLite locked and drained.
        holder.cursor().execute("LOCK TABLE switchback.group_state IN SHARE MODE")
        flip, outcome = self.flip_in_thread(life, "cutover", "--max-pause", "30s")
        self.gate_waits(life)
        with self.assertRaisesRegex(sqlite3.OperationalError, "locked"):
            sqlite3.connect(life.path("twitter.db"), timeout=0).execute("BEGIN IMMEDIATE")
        writer = Hammer(life.sqlite, "UPDATE referral_codes SET usage_count = ? WHERE code = ?", "REF-00002")
        writer.start()
        wait_until(lambda: writer.began and time.monotonic() - writer.began > 0.3, "the writer waits")
        self.assertEqual((writer.acked, writer.refusal), (0, None))
        holder.close()
        flip.join(120)
        writer.join(120)
        self.sqlite_says(writer.refusal, outcome["epoch"])

    def gate_waits(self, life):
        """Until a gate's session stands before the table we hold."""
        def waits():
            with life.postgres() as connection, connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'switchback % gate' "
                               "AND wait_event_type = 'Lock' AND query LIKE '%group_state%'")
                return cursor.fetchone()
        wait_until(waits, "the gate waits for its table")

    def hammered_postgres(self, life):
        """Four clients at full speed: whoever is waiting when the lock comes is refused, and none lost a count."""
        clients = [Hammer(life.postgres, "UPDATE referral_codes SET usage_count = %s WHERE code = %s",
                          f"REF-0000{number}") for number in range(4)]
        for client in clients:
            client.start()
        wait_until(lambda: all(client.acked > 20 for client in clients), "all clients write")
        epoch = life.flip("rollback", "--max-pause", "5s")["epoch"]
        for client in clients:
            client.join(60)
            self.postgres_says(client.refusal, epoch)
            row = life.sqlite().execute("SELECT usage_count FROM referral_codes WHERE code = ?", (client.code,))
            self.assertEqual(row.fetchone()[0], client.acked)
        waits = ", ".join(f"{1000 * client.waited:.0f}" for client in clients)
        print(f"hammered: {sum(client.acked for client in clients)} writes, last waits {waits} ms", flush=True)


PSQL = r"""
BEGIN;
INSERT INTO users (id, username, profile_data, created_at) VALUES
  ('psql-1', 'psql one', '{"b": 1, "a": [true, null]}', '2024-05-06 07:08:09+00'), ('psql-2', 'psql two', NULL, now());
INSERT INTO tweets (id, user_id, text, created_at, is_reply) SELECT 'psql-t' || n, 'psql-1', E'line\nüber ' || n,
  '2024-05-06 07:08:09.123+02', n % 2 = 0 FROM generate_series(1, 500) n;
INSERT INTO referral_codes (code, owner_user_id) VALUES ('PSQL', 'psql one');
INSERT INTO referral_usage_log (referral_code, used_by_user_id) VALUES ('PSQL', 'psql-2');
COMMIT;
BEGIN;
DELETE FROM funnel_completion;
SAVEPOINT before;
INSERT INTO users (id, username) VALUES ('psql-never', 'never');
ROLLBACK;
BEGIN;
INSERT INTO users (id, username, created_at) VALUES ('psql-4', 'psql four', NULL);
SAVEPOINT before;
INSERT INTO users (id, username) VALUES ('psql-never', 'never');
ROLLBACK TO before;
COMMIT;
INSERT INTO referral_codes (code, owner_user_id, usage_count) VALUES ('PSQL', 'x', 0), ('PSQL-2', 'y', 1)
  ON CONFLICT (code) DO UPDATE SET usage_count = referral_codes.usage_count + 41;
UPDATE tweets SET is_reply = NULL, metadata = '{"k": 1.50}' WHERE id = 'psql-t7';
UPDATE users SET id = 'psql-5' WHERE id = 'psql-4';
DELETE FROM tweets WHERE user_id = 'psql-1' AND id <> 'psql-t7';
\copy funnel_progress (user_id, current_command_index, last_updated) FROM stdin
psql one	-7	2024-01-02 03:04:05+00
psql two	2147483647	\N
\.
TRUNCATE referral_tracking;
INSERT INTO referral_tracking (id, referral_code, referrer_user_id, referred_user_id)
  VALUES (4711, 'PSQL', 'psql-1', 'psql-2');
"""

# What SQLite must hold then, cell for cell as it is stored there.
ARRIVED = {
    "SELECT id, username, created_at FROM users WHERE id IN ('psql-1', 'psql-4', 'psql-5', 'psql-never') ORDER BY id":
        [("psql-1", "psql one", "2024-05-06 07:08:09"), ("psql-5", "psql four", None)],
    "SELECT id, text, created_at, is_reply, metadata FROM tweets WHERE user_id = 'psql-1'":
        [("psql-t7", "line\nüber 7", "2024-05-06T05:08:09.123Z", None, '{"k": 1.50}')],
    "SELECT code, owner_user_id, usage_count, typeof(usage_count) FROM referral_codes WHERE code LIKE 'PSQL%' ORDER BY 1":
        [("PSQL", "psql one", 41, "integer"), ("PSQL-2", "y", 1, "integer")],
    "SELECT used_by_user_id FROM referral_usage_log WHERE referral_code = 'PSQL'": [("psql-2",)],
    "SELECT user_id, current_command_index, last_updated, completed_commands FROM funnel_progress "
    "WHERE user_id LIKE 'psql %' ORDER BY 1":
        [("psql one", -7, "2024-01-02 03:04:05", "[]"), ("psql two", 2147483647, None, "[]")],
    "SELECT id, referral_code, referrer_user_id, referred_user_id FROM referral_tracking":
        [(4711, "PSQL", "psql-1", "psql-2")],
}


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class ByHand(unittest.TestCase):
    """A person at psql, and autovacuum, which asks nobody."""

    def psql(self, life, script):
        done = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", life.url], input=script, text=True,
                              capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_what_psql_writes_in_reverse_arrives_and_stays_after_the_rollback(self):
        with Life(rows=100, journal_mode="wal") as life:
            life.start_sidecar()
            life.wait_phase("forward")
            life.flip("cutover")
            before = counts(life.sqlite(), TABLES)
            self.psql(life, PSQL)
            self.psql(life, "INSERT INTO users (id, username) VALUES ('psql-last', 'last')")
            wait_until(lambda: life.sqlite().execute("SELECT 1 FROM users WHERE id = 'psql-last'").fetchone(),
                       "the last write in SQLite")
            self.arrived(life, before)
            life.flip("rollback")
            self.arrived(life, before)
            database = life.sqlite()
            database.execute("DELETE FROM tweets WHERE user_id = 'psql-1'")
            # AUTOINCREMENT goes on above the key that psql chose.
            database.execute("INSERT INTO referral_tracking (referral_code, referrer_user_id, referred_user_id) "
                             "VALUES ('PSQL', 'psql-1', 'psql-5')")
            self.assertEqual(database.execute("SELECT max(id) FROM referral_tracking").fetchone()[0], 4712)
            life.flip("cutover")
            found = self.psql(life, "COPY (SELECT max(id), (SELECT count(*) FROM tweets WHERE user_id = 'psql-1') "
                                    "FROM referral_tracking) TO STDOUT")
            self.assertEqual(found, "4712\t0\n")

    def arrived(self, life, before):
        database = life.sqlite()
        for query, rows in ARRIVED.items():
            self.assertEqual(database.execute(query).fetchall(), rows, query)
        now = counts(database, TABLES)
        self.assertEqual(now["users"] - before["users"], 4)
        self.assertEqual(now["funnel_completion"], before["funnel_completion"])
        database.close()

    def test_a_flip_while_autovacuum_works_on_a_table(self):
        with Life(rows=3000, pg_extra="autovacuum_naptime = 1s\nautovacuum_max_workers = 6") as life:
            life.start_sidecar()
            life.wait_phase("forward")
            # One page in 100 ms: it would take minutes, and it comes back at once when it was sent away.
            self.psql(life, "ALTER TABLE tweets SET (autovacuum_vacuum_scale_factor = 0, "
                            "autovacuum_vacuum_threshold = 1, autovacuum_vacuum_cost_delay = 100, "
                            "autovacuum_vacuum_cost_limit = 1)")
            life.start_application()
            life.sqlite().execute("UPDATE tweets SET text = text || '!'")
            self.autovacuum_works(life)
            life.flip("cutover")
            life.let_it_write(20)
            self.psql(life, "UPDATE tweets SET is_reply = is_reply")
            self.autovacuum_works(life)
            life.flip("rollback")
            life.let_it_write(20)
            life.stop_application()

    def autovacuum_works(self, life):
        """Until a worker is at the table; it has the table's lock then and would keep it for long."""
        def works():
            return self.psql(life, "COPY (SELECT pid FROM pg_stat_activity JOIN pg_stat_progress_vacuum USING (pid) "
                                   "WHERE backend_type = 'autovacuum worker' AND relid = 'tweets'::regclass) TO STDOUT")
        return wait_until(works, "autovacuum works on tweets")


if __name__ == "__main__":
    unittest.main()
