#include "bridge/mending.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "bridge/mend.h"
#include "state/base/durable_file.h"
#include "tests/support/temp_folder.h"

namespace switchback {
namespace {

using Door = GateState::Door;

const TablesSeen kBefore{{"old users", {"\"a b\" TEXT", "id INTEGER", "name TEXT"}},
                         {"postgres public.users",
                          {"\"a b\" text", "PARTITION public.users_1", "id integer", "name text"}}};

TablesSeen altered(const std::string& table, const std::string& gone, const std::string& came) {
  TablesSeen now = kBefore;
  auto& columns = now.at(table);
  std::erase(columns, gone);
  if (!came.empty()) columns.push_back(came);
  return now;
}

TEST(Columns, TheDifferenceIsTheAlterThatWouldCauseIt) {
  EXPECT_EQ(difference_of(kBefore, kBefore), "");
  EXPECT_EQ(difference_of(kBefore, altered("old users", "", "note TEXT")),
            "old: ALTER TABLE users ADD COLUMN note TEXT");
  EXPECT_EQ(difference_of(kBefore, altered("old users", "name TEXT", "")),
            "old: ALTER TABLE users DROP COLUMN name");
  EXPECT_EQ(difference_of(kBefore, altered("old users", "\"a b\" TEXT", "\"c \"\" d\" TEXT")),
            "old: ALTER TABLE users RENAME COLUMN \"a b\" TO \"c \"\" d\"");
  EXPECT_EQ(difference_of(kBefore, altered("postgres public.users", "name text",
                                           "name character varying(50)")),
            "postgres: ALTER TABLE public.users ALTER COLUMN name TYPE character varying(50)");
}

TEST(Columns, APartitionMayComeButNotGo) {
  EXPECT_EQ(
      difference_of(kBefore, altered("postgres public.users", "PARTITION public.users_1", "")),
      "postgres: ALTER TABLE public.users DETACH PARTITION public.users_1");
  EXPECT_EQ(
      difference_of(kBefore, altered("postgres public.users", "", "PARTITION public.users_2")), "");
}

TEST(Columns, TablesComeAndGo) {
  TablesSeen now = kBefore;
  now["old notes"] = {};
  EXPECT_EQ(difference_of(kBefore, now), "old: CREATE TABLE notes");
  EXPECT_EQ(difference_of(now, kBefore), "") << "it was never carried";
  now.erase("old users");
  EXPECT_EQ(difference_of(kBefore, now), "old: DROP TABLE users; old: CREATE TABLE notes");
}

TEST(Columns, TheRecordReadsBackAsItWasWritten) {
  const test::TempFolder folder;
  ColumnsRecord record(folder / "columns");
  record.note(kBefore);
  EXPECT_EQ(record.read(), kBefore);
}

TEST(Mending, ThePrimaryIsWhoStandsOpenAtTheHighestEpoch) {
  const auto primary = [](GateState of_old, GateState of_postgres, Epoch highest) {
    return undoubted_primary(of_old, of_postgres, highest);
  };
  EXPECT_EQ(primary({Door::kOpen, 3}, {Door::kClosed, 3}, 3), Side::kOld);
  EXPECT_EQ(primary({Door::kClosed, 4}, {Door::kOpen, 4}, 4), Side::kPostgres);
  // An older copy of the other side, whatever it believes.
  EXPECT_EQ(primary({Door::kOpen, 1}, {Door::kOpen, 2}, 2), Side::kPostgres);
  EXPECT_EQ(primary({Door::kOpen, 3}, {Door::kOpen, 2}, 3), Side::kOld);
  // A flip that was cut off: who closed last has all there is.
  EXPECT_EQ(primary({Door::kClosed, 4}, {Door::kClosed, 3}, 4), Side::kOld);
}

TEST(Mending, WhoWasSetBackIsNotTrusted) {
  const auto primary = [](GateState of_old, GateState of_postgres, Epoch highest) {
    return undoubted_primary(of_old, of_postgres, highest);
  };
  EXPECT_EQ(primary({Door::kOpen, 0}, {Door::kClosed, 1}, 1), std::nullopt);
  EXPECT_EQ(primary({Door::kClosed, 4}, {Door::kOpen, 2}, 4), std::nullopt);
  EXPECT_EQ(primary({Door::kOpen, 3}, {Door::kClosed, 3}, 4), std::nullopt);
  EXPECT_EQ(primary({Door::kOpen, 3}, {Door::kOpen, 3}, 3), std::nullopt);
  EXPECT_EQ(primary({Door::kClosed, 3}, {Door::kClosed, 3}, 3), std::nullopt);
}

TEST(Mending, WhoIsRightIsKnownUntilTheEnd) {
  const test::TempFolder folder;
  MendingRecord record(folder / "mending");
  EXPECT_EQ(record.pending(), std::nullopt);
  record.begin({Side::kPostgres, "ada of the\nnight shift"});
  const MendingRecord later(folder / "mending");
  EXPECT_EQ(later.pending(), (MendingBegun{Side::kPostgres, "ada of the night shift"}));
  EXPECT_THROW(later.require_none(), Error);
  record.begin({Side::kOld, ""});
  EXPECT_EQ(later.pending(), (MendingBegun{Side::kOld, ""}));
  record.end();
  EXPECT_EQ(later.pending(), std::nullopt);
  EXPECT_NO_THROW(later.require_none());
  replace_file(folder / "mending", "primary both by ada\n", 0600);
  EXPECT_THROW(later.pending(), Error);
}

TEST(Mending, OrderAndAnswerReadBack) {
  EXPECT_EQ(parse_mend_order(to_json(MendOrder{std::nullopt, "ada"})).by, "ada");
  EXPECT_EQ(parse_mend_order(to_json(MendOrder{Side::kPostgres, "ada"})).primary, Side::kPostgres);
  EXPECT_THROW(parse_mend_order("{\"by\":\"ada\",\"primary\":\"both\"}"), Error);
  MendReport report;
  report.primary = Side::kPostgres;
  report.removed = 7;
  report.left = 2;
  report.kept = "/tmp/x.jsonl";
  const auto back = parse_mend_answer(to_json(report));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->primary, Side::kPostgres);
  EXPECT_EQ(back->removed, 7u);
  EXPECT_EQ(back->left, 2u);
  EXPECT_EQ(back->kept, report.kept);
  EXPECT_FALSE(parse_mend_answer(to_json(MendProgress{.running = true, .compared = {}})));
}

}  // namespace
}  // namespace switchback
