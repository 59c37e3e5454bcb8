// Every way to write to PostgreSQL reaches SQLite.
#include <gtest/gtest.h>

#include "tests/integration/reverse_line.h"

namespace switchback {
namespace {

class WaysToWrite : public ::testing::Test {
 protected:
  void copy_in(const std::string& statement, const std::string& rows) {
    line_.write(statement);
    PGconn* raw = line_.application().raw();
    PQputCopyData(raw, rows.data(), static_cast<int>(rows.size()));
    PQputCopyEnd(raw, nullptr);
    const Result end(PQgetResult(raw));
    EXPECT_EQ(PQresultStatus(end.get()), PGRES_COMMAND_OK) << PQerrorMessage(raw);
    while (PGresult* more = PQgetResult(raw)) PQclear(more);
  }
  test::ReverseLine line_;
};

TEST_F(WaysToWrite, CopyAndStatementsOfManyRows) {
  std::string rows;
  for (int i = 1; i <= 5000; ++i) rows += std::to_string(i) + "\tn\t\\N\t7\n";
  copy_in("COPY public.item FROM STDIN", rows);
  line_.write(
      "INSERT INTO public.item SELECT i, 'm' || i, repeat('x', i % 50), i FROM "
      "generate_series(5001, 6000) i;"
      "UPDATE public.item SET n = o.n + 1 FROM public.item o WHERE o.id = item.id - 1;"
      "DELETE FROM public.item USING public.item o WHERE item.id = o.id + 3000 AND o.n = 8;"
      "WITH gone AS (DELETE FROM public.item WHERE id % 7 = 0 RETURNING id)"
      " INSERT INTO public.part(item, note) SELECT NULL, id FROM gone");
  line_.expect_same();
}

TEST_F(WaysToWrite, OnConflictAndMerge) {
  line_.write("INSERT INTO public.item VALUES (1, 'a', 'b', 1), (2, 'a', 'b', 2)");
  line_.write(
      "INSERT INTO public.item VALUES (1, 'x', 'y', 5), (3, 'c', 'c', 3) ON CONFLICT (id) DO "
      "UPDATE SET n = item.n + EXCLUDED.n;"
      "INSERT INTO public.item VALUES (2, 'lost', 'lost', 0), (4, 'd', 'd', 4) ON CONFLICT DO "
      "NOTHING");
  if (line_.application().server_version() >= 150000) {
    line_.write(
        "MERGE INTO public.item t USING (VALUES (1), (2), (9)) s(id) ON t.id = s.id"
        " WHEN MATCHED AND s.id = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET name = 'merged'"
        " WHEN NOT MATCHED THEN INSERT VALUES (s.id, 'new', NULL, NULL)");
  }
  line_.expect_same();
}

TEST_F(WaysToWrite, TruncateOfSeveralTablesAndByCascade) {
  const std::string fill =
      "INSERT INTO public.item SELECT i, 'a', 'b', i FROM generate_series(1, 5) i;"
      "INSERT INTO public.part(item) SELECT i FROM generate_series(1, 5) i;"
      "INSERT INTO public.place SELECT i, i, i FROM generate_series(1, 5) i;";
  line_.write(fill);
  line_.write(
      "BEGIN; TRUNCATE public.place; INSERT INTO public.place VALUES (9, 1, '1'); ROLLBACK");
  line_.expect_same();
  line_.write("TRUNCATE public.item CASCADE");
  line_.expect_same();
  line_.write("TRUNCATE public.place; " + fill);
  line_.write(
      "BEGIN; DELETE FROM public.place WHERE id = 1; TRUNCATE public.place, public.part RESTART "
      "IDENTITY; INSERT INTO public.place VALUES (1, 7, 'again');"
      "INSERT INTO public.part(item, note) VALUES (1, 'first'); COMMIT");
  line_.expect_same();
  EXPECT_EQ(line_.sqlite("SELECT id FROM part"), "1");
}

TEST_F(WaysToWrite, CascadesOfDeletesAndOfKeys) {
  line_.write(
      "INSERT INTO public.item SELECT i, 'a', repeat('long', 3000), i FROM generate_series(1, 6) i;"
      "INSERT INTO public.part(item, note) SELECT i % 6 + 1, 'of ' || i FROM "
      "generate_series(1, 60) i");
  line_.write("UPDATE public.item SET id = id + 100 WHERE id < 4");
  line_.write("DELETE FROM public.item WHERE id IN (2, 102, 5)");
  line_.expect_same();
}

TEST_F(WaysToWrite, DeferredConstraints) {
  line_.write("INSERT INTO public.place SELECT i, i, 'l' || i FROM generate_series(1, 50) i");
  line_.write("UPDATE public.place SET spot = 51 - spot");
  line_.write("UPDATE public.place SET spot = spot % 50 + 1, label = label || 'x'");
  line_.write(
      "BEGIN; INSERT INTO public.node VALUES (3, 2), (2, 1), (1, 3);"
      "UPDATE public.node SET up = 4 WHERE id = 1; INSERT INTO public.node VALUES (4, 4); COMMIT");
  line_.write("BEGIN; DELETE FROM public.node WHERE id IN (3, 2); COMMIT");
  line_.expect_same();
}

TEST_F(WaysToWrite, SubtransactionsThatRolledBackAreNotThere) {
  line_.write(
      "BEGIN; INSERT INTO public.item VALUES (1, 'kept', NULL, 1); SAVEPOINT a;"
      "INSERT INTO public.item VALUES (2, 'gone', NULL, 2); UPDATE public.item SET n = 9;"
      "ROLLBACK TO a; INSERT INTO public.item VALUES (3, 'kept', NULL, 3); SAVEPOINT b;"
      "DELETE FROM public.item WHERE id = 1; RELEASE b; COMMIT");
  line_.write(
      "DO $$ BEGIN FOR i IN 1..200 LOOP BEGIN INSERT INTO public.item VALUES (i, 'loop', NULL, i);"
      " IF i % 3 = 0 THEN RAISE EXCEPTION 'no'; END IF;"
      " EXCEPTION WHEN others THEN NULL; END; END LOOP; END $$");
  line_.expect_same();
  EXPECT_EQ(line_.sqlite("SELECT count(*) FROM item WHERE name = 'gone' OR id = 6"), "0");
}

TEST_F(WaysToWrite, PreparedTransactionsComeWhenTheyAreCommitted) {
  line_.write(
      "BEGIN; INSERT INTO public.item VALUES (1, 'p', NULL, 1); PREPARE TRANSACTION 'ways one'");
  line_.write("BEGIN; INSERT INTO public.item VALUES (2, 'q', NULL, 1); PREPARE TRANSACTION 'two'");
  line_.write("INSERT INTO public.item VALUES (3, 'r', NULL, 1)");
  // The pump comes to stand behind both, and is begun again there.
  const auto until = Deadline::in(std::chrono::seconds(60));
  while (line_.sqlite("SELECT count(*) FROM item") != "1" && !until.passed()) {
    std::this_thread::yield();
  }
  line_.stop_pump();
  line_.start_pump();
  line_.write("ROLLBACK PREPARED 'two'");
  line_.write("COMMIT PREPARED 'ways one'");
  line_.expect_same();
  EXPECT_EQ(line_.sqlite("SELECT group_concat(id) FROM item"), "1,3");
}

TEST_F(WaysToWrite, AKeyChangeLeavesLargeValuesAlone) {
  line_.write(
      "INSERT INTO public.item SELECT i, 'a', repeat(chr(64 + i), 20000), i FROM "
      "generate_series(1, 4) i");
  line_.drain();
  line_.write_sqlite("UPDATE item SET own = 'mine' || id");
  line_.write("UPDATE public.item SET id = id + 10");
  line_.write(
      "BEGIN; UPDATE public.item SET id = -1 WHERE id = 11; UPDATE public.item SET id = 11 WHERE "
      "id = 12; UPDATE public.item SET id = 12, n = 0 WHERE id = -1; COMMIT");
  line_.expect_same();
  EXPECT_EQ(line_.sqlite("SELECT group_concat(own, ' ') FROM (SELECT own FROM item ORDER BY id)"),
            "mine2 mine1 mine3 mine4");
}

TEST_F(WaysToWrite, ARowThatSqliteLacksIsFetchedWhole) {
  line_.write(
      "INSERT INTO public.item SELECT i, 'a', repeat(chr(64 + i), 20000), i FROM "
      "generate_series(1, 4) i");
  line_.drain();
  line_.write_sqlite("DELETE FROM item");
  line_.write("UPDATE public.item SET n = 5 WHERE id = 1");
  line_.write("UPDATE public.item SET id = 20 WHERE id = 2");
  line_.write(
      "BEGIN; UPDATE public.item SET n = 6 WHERE id = 3; UPDATE public.item SET n = 7 WHERE id = 4;"
      "DELETE FROM public.item WHERE id = 4; COMMIT");
  line_.expect_same();
}

TEST_F(WaysToWrite, WhoDoesNotWaitForTheDiskIsHeardToo) {
  line_.write("SET synchronous_commit = off");
  for (int i = 1; i <= 200; ++i) {
    line_.write("INSERT INTO public.item VALUES (" + std::to_string(i) + ", 'fast', NULL, 0)");
  }
  line_.expect_same();
}

}  // namespace
}  // namespace switchback
