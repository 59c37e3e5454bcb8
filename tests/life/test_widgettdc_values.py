"""What only the WidgeTDC system has, value by value: keys made on both sides, cascades, decimals and doubles, one column
with dates in two spellings, a column that only PostgreSQL has."""
import os
import subprocess
import sys
import unittest

import psycopg2

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from life import PROGRAM, Life, wait_until  # noqa: E402


@unittest.skipUnless(PROGRAM, "SWITCHBACK names the program under test; ctest sets it")
class Values(unittest.TestCase):
    """One life without the application: every statement is the test's own."""

    @classmethod
    def setUpClass(cls):
        cls.life = cls.enterClassContext(Life(rows=100, system="widgettdc"))
        cls.life.start_sidecar()
        cls.life.wait_phase("forward")

    def setUp(self):
        self.old = self.life.sqlite()
        self.addCleanup(self.old.close)
        self.old.execute("PRAGMA foreign_keys = ON")
        self.new = self.life.postgres()
        self.addCleanup(self.new.close)
        self.flip_to("old")

    def flip_to(self, side):
        if self.life.group()["primary"] != side:
            # What happens to values is looked at here, not how long it takes.
            self.life.flip("cutover" if side == "postgres" else "rollback", "--max-pause", "5s")

    def on_old(self, sql):
        return self.old.execute(sql).fetchall()

    def on_new(self, sql):
        with self.new.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else cursor.rowcount

    def becomes(self, look, wanted):
        """The other side gets there."""
        try:
            wait_until(lambda: look() == wanted, f"{wanted}", 60)
        except AssertionError as late:
            self.assertEqual(look(), wanted, late)

    def cells(self, table, column, key):
        """Bytes and storage class."""
        return self.on_old(f"SELECT typeof({column}), hex({column}) FROM {table} WHERE id = {key}")

    def test_keys_made_on_either_side_are_never_made_again_on_the_other(self):
        insert = "INSERT INTO pal_stress_levels (user_id, level, measured_at) VALUES ('x', 3, '2025-01-02 03:04:05')"
        newest = "SELECT seq FROM sqlite_sequence WHERE name = 'pal_stress_levels'"
        first = self.old.execute(insert).lastrowid
        self.flip_to("postgres")
        born = [self.on_new(insert + " RETURNING id")[0][0] for _ in range(3)]
        self.assertEqual(born, [first + 1, first + 2, first + 3])
        self.on_new(f"DELETE FROM pal_stress_levels WHERE id = {born[2]}")
        handed_out = self.on_new("SELECT nextval('pal_stress_levels_id_seq')")[0][0]
        self.flip_to("old")
        self.assertEqual(self.on_old(newest), [(handed_out,)], "a key that no row got was handed out too")
        again = self.old.execute(insert).lastrowid
        self.assertEqual(again, handed_out + 1)
        self.old.execute("DELETE FROM pal_stress_levels WHERE id = ?", (again,))
        self.flip_to("postgres")
        self.assertEqual(self.on_new(insert + " RETURNING id")[0][0], again + 1)

    def test_cascades_follow_on_both_sides(self):
        def family(side, key):
            return [side(f"SELECT count(*) FROM {table} WHERE {column} = {key}")[0][0]
                    for table, column in (("memory_entities", "id"), ("memory_tags", "entity_id"),
                                          ("memory_relations", "source_id"))]
        keys = [row[0] for row in self.on_old(
            "SELECT id FROM memory_entities WHERE EXISTS (SELECT 1 FROM memory_tags WHERE entity_id = memory_entities.id) "
            "AND EXISTS (SELECT 1 FROM memory_relations WHERE source_id = memory_entities.id) LIMIT 2")]
        self.becomes(lambda: family(self.on_new, keys[0]), family(self.on_old, keys[0]))
        self.on_old(f"DELETE FROM memory_entities WHERE id = {keys[0]}")
        self.becomes(lambda: family(self.on_new, keys[0]), [0, 0, 0])
        document = self.on_old("SELECT doc_id FROM structured_facts JOIN raw_documents d ON d.id = doc_id LIMIT 1")[0][0]
        facts = self.on_old(f"SELECT id FROM structured_facts WHERE doc_id = {document} ORDER BY id")
        self.flip_to("postgres")
        self.on_new(f"DELETE FROM memory_entities WHERE id = {keys[1]}")
        self.on_new(f"DELETE FROM raw_documents WHERE id = {document}")
        self.becomes(lambda: family(self.on_old, keys[1]), [0, 0, 0])
        self.becomes(lambda: self.on_old(f"SELECT count(*) FROM structured_facts WHERE doc_id = {document}"), [(0,)])
        self.assertEqual(self.on_old("SELECT id FROM structured_facts WHERE doc_id IS NULL AND id IN "
                                     f"({','.join(str(f[0]) for f in facts)}) ORDER BY id"), facts)

    def test_a_replaced_parent_takes_its_children_along(self):
        key, tags = self.on_old("SELECT entity_id, count(*) FROM memory_tags GROUP BY 1 HAVING count(*) > 1 LIMIT 1")[0]
        count = f"SELECT count(*) FROM memory_tags WHERE entity_id = {key}"
        self.becomes(lambda: self.on_new(count), [(tags,)])
        self.on_old("INSERT OR REPLACE INTO memory_entities (id, org_id, entity_type, content) "
                    f"VALUES ({key}, 'org-live', 'note', 'replaced')")
        self.assertEqual(self.on_old(count), [(0,)], "REPLACE deletes, and foreign keys are on")
        self.becomes(lambda: self.on_new(count), [(0,)])
        self.assertEqual(self.on_new(f"SELECT text, importance, updated_at FROM memory_entities WHERE id = {key}"),
                         [("replaced", 3, None)])

    def test_decimals_and_doubles(self):
        doubles = ["0.1", "-1e-300", "1.7976931348623157e308", "0.30000000000000004", "3.0", "5e-324"]
        key = self.on_old("SELECT min(id) FROM evolution_kpis")[0][0]
        for double in doubles:
            self.on_old(f"UPDATE evolution_kpis SET kpi_delta = {double}, expected_value = 99999999.99 WHERE id = {key}")
            self.becomes(lambda: self.on_new(f"SELECT kpi_delta, expected_value::text FROM evolution_kpis WHERE id = {key}"),
                         [(float(double), "99999999.99")])
        self.flip_to("postgres")
        for double in reversed(doubles):
            self.on_new(f"UPDATE evolution_kpis SET kpi_delta = '{double}', actual_value = 0.07 WHERE id = {key}")
            self.becomes(lambda: self.on_old(f"SELECT kpi_delta, actual_value, typeof(actual_value) FROM evolution_kpis "
                                             f"WHERE id = {key}"), [(float(double), 0.07, "real")])
        self.on_new("INSERT INTO evolution_kpis (id, decision_id, kpi_name, expected_value, kpi_delta, measured_at) "
                    "VALUES (5000, 1, 'born here', 12.50, 2, '2025-01-02 03:04:05.678901Z')")
        self.becomes(lambda: self.on_old("SELECT typeof(expected_value), expected_value, typeof(kpi_delta), kpi_delta, "
                                         "measured_at FROM evolution_kpis WHERE id = 5000"),
                     [("real", 12.5, "real", 2.0, "2025-01-02 03:04:05.678901")])

    def test_a_decimal_that_would_be_rounded_is_named_and_not_rounded(self):
        key = self.on_old("SELECT max(id) FROM memory_relations")[0][0]
        before = self.on_new(f"SELECT strength::text FROM memory_relations WHERE id = {key}")
        self.on_old(f"UPDATE memory_relations SET strength = 0.125 WHERE id = {key}")
        self.becomes(lambda: self.life.status()["quarantined"], 1)
        self.assertEqual(self.on_new(f"SELECT strength::text FROM memory_relations WHERE id = {key}"), before)
        self.assertEqual(self.life.run("cutover", "--yes")[0], 1, "an open entry blocks a flip")
        self.on_old(f"UPDATE memory_relations SET strength = 0.12 WHERE id = {key}")
        self.becomes(lambda: self.life.status()["quarantined"], 0)
        self.assertEqual(self.on_new(f"SELECT strength::text FROM memory_relations WHERE id = {key}"), [("0.12",)])

    def test_both_spellings_of_a_date_stay_byte_for_byte(self):
        keys = [self.on_old(f"SELECT min(id) FROM pal_focus_windows WHERE updated_at LIKE '{like}'")[0][0]
                for like in ("%T%Z", "____-__-__ %")]
        before = [self.cells("pal_focus_windows", "updated_at", key) for key in keys]
        days = self.on_old("SELECT id, occurred_at FROM structured_facts WHERE length(occurred_at) = 10 ORDER BY id")
        self.flip_to("postgres")
        for key in keys:
            self.on_new(f"UPDATE pal_focus_windows SET priority = 'seen', updated_at = updated_at WHERE id = {key}")
        self.on_new("UPDATE structured_facts SET fact_type = fact_type || '!'")
        self.becomes(lambda: self.on_old("SELECT count(*) FROM pal_focus_windows WHERE priority = 'seen'"), [(2,)])
        self.becomes(lambda: self.on_old("SELECT count(*) FROM structured_facts WHERE fact_type NOT LIKE '%!'"), [(0,)])
        self.assertEqual([self.cells("pal_focus_windows", "updated_at", key) for key in keys], before)
        self.assertEqual(self.on_old("SELECT id, occurred_at FROM structured_facts WHERE length(occurred_at) = 10 "
                                     "ORDER BY id"), days)
        for key in keys:
            self.on_new(f"UPDATE pal_focus_windows SET updated_at = '2025-05-06 07:08:09Z' WHERE id = {key}")
        self.becomes(lambda: [self.on_old(f"SELECT updated_at FROM pal_focus_windows WHERE id = {key}")[0][0]
                              for key in keys], ["2025-05-06T07:08:09.000Z", "2025-05-06 07:08:09"])

    def checked(self):
        """What the checker says of both stores, without a journal."""
        done = subprocess.run([*self.life.program("checker.py"), "--old", self.life.path(self.life.store), "--postgres",
                               self.life.url], capture_output=True, text=True, check=False)
        return done.stdout.splitlines()

    def test_the_checker_names_a_cell_that_differs_ever_so_little(self):
        self.becomes(lambda: self.checked()[-1].rsplit(", ", 1)[1], "0 lost")
        for table, column, damage in (("memory_relations", "strength", "abs(strength - 0.01)"),
                                      ("evolution_kpis", "kpi_delta", "1e-300 + coalesce(kpi_delta, 0) * (1 + 3e-16)"),
                                      ("pal_focus_windows", "updated_at", "updated_at + interval '1 microsecond'"),
                                      ("structured_facts", "doc_id",
                                       "(SELECT max(id) FROM raw_documents WHERE id <> coalesce(doc_id, 0))"),
                                      ("memory_entities", "text", "text || ' '")):
            write = f"UPDATE {table} SET {column} = {{}} WHERE id = (SELECT min(id) FROM {table})"
            was = self.on_new(f"SELECT {column} FROM {table} ORDER BY id LIMIT 1")[0][0]
            self.on_new("BEGIN; SET LOCAL switchback.applying = 'on'; " + write.format(damage) + "; COMMIT")
            lines = self.checked()
            self.assertRegex(lines[0], rf"^differs {table} \d+ {column} ")
            self.assertEqual(len(lines), 2, lines)
            with self.new.cursor() as cursor:
                cursor.execute("BEGIN; SET LOCAL switchback.applying = 'on'; " + write.format("%s") + "; COMMIT", (was,))

    def test_a_column_that_only_postgres_has_keeps_its_value(self):
        self.flip_to("postgres")
        self.on_new("UPDATE raw_documents SET title = 'read twice' WHERE id = 3")
        self.flip_to("old")
        self.on_old("UPDATE raw_documents SET content = 'once more' WHERE id = 3")
        self.becomes(lambda: self.on_new("SELECT content, title FROM raw_documents WHERE id = 3"),
                     [("once more", "read twice")])

    def test_a_reference_to_nothing_arrives_as_null_and_a_check_refuses(self):
        gone = self.on_old("SELECT id FROM structured_facts WHERE doc_id NOT IN (SELECT id FROM raw_documents) LIMIT 1")[0][0]
        self.assertEqual(self.on_new(f"SELECT doc_id FROM structured_facts WHERE id = {gone}"), [(None,)])
        self.flip_to("postgres")
        with self.assertRaises(psycopg2.errors.CheckViolation):
            self.on_new("INSERT INTO pal_stress_levels (user_id, level, measured_at) VALUES ('x', 11, now())")


if __name__ == "__main__":
    unittest.main()
