#include "bridge/verify/sweep.h"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <set>
#include <thread>

#include "bridge/pump.h"
#include "bridge/reapply.h"
#include "tests/support/test_mapping.h"
#include "tests/support/toy_endpoint.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

QuarantineEntry entry(TableId table, const char* key, bool accepted) {
  QuarantineEntry out;
  out.table = table;
  out.key = key;
  out.reason = "too long";
  out.accepted = accepted;
  return out;
}

class SweepTest : public testing::Test {
 protected:
  static constexpr std::int64_t kRows = 3000;

  void SetUp() override {
    pump_ = std::make_unique<Pump>("test", [this] {
      return Pump::Parts{open_toy(from_)->make_source(), open_toy(to_)->make_sink(),
                         [this] { return open_toy(from_)->make_reader(); }};
    });
    pump_->start();
    for (std::int64_t id = 0; id < kRows; ++id) {
      from_->write(kParent, toy_parent(id, "n" + std::to_string(id), R"({"a":1,"b":[1,2]})"));
    }
    ASSERT_TRUE(pump_->wait_applied(end(), Deadline::in(seconds(20))));
  }
  Position end() { return open_toy(from_)->make_gate("all")->mark(); }
  VerifySides sides() {
    VerifySides sides;
    sides.mapping = test_mapping();
    sides.make_reader = [this](Side side) {
      return open_toy(side == Side::kOld ? from_ : to_)->make_reader();
    };
    sides.carried = [this](const Position& position, Deadline deadline) {
      return pump_->wait_applied(position, deadline);
    };
    sides.quarantine = [this] { return quarantine_; };
    return sides;
  }
  Sweep sweep() {
    return Sweep(sides(), Pace(0, {}), [](const VerifyProgress&) {});
  }
  VerifyReport compare() { return sweep().run({kParent, kChild}); }
  void reapply_by_pump(const Chunk& keys) {
    pump_
        ->submit([&](Pump::Parts& parts, const Position& applied) {
          const auto reader = parts.make_reader();
          reapply(keys, applied, *reader, *parts.sink);
        })
        .get();
  }

  std::shared_ptr<ToyStore> from_ = std::make_shared<ToyStore>(test_mapping(), true);
  std::shared_ptr<ToyStore> to_ = std::make_shared<ToyStore>(test_mapping(), false);
  std::vector<QuarantineEntry> quarantine_;
  std::unique_ptr<Pump> pump_;
};

/// Somebody who writes without pause to the rows that are not a multiple of ten.
class Writer {
 public:
  Writer(ToyStore& store, std::int64_t rows) {
    thread_ = std::jthread([&store, rows](std::stop_token stop) {
      std::minstd_rand random(1);
      for (int n = 0; !stop.stop_requested(); ++n) {
        const auto id = static_cast<std::int64_t>(random() % static_cast<unsigned>(rows));
        if (id % 10 == 0) continue;
        if (n % 7 == 0) {
          store.erase(kParent, toy_parent(id, ""));
        } else {
          store.write(kParent, toy_parent(id, "w" + std::to_string(n)));
        }
        if (n % 4 == 0) std::this_thread::yield();
      }
    });
  }

 private:
  std::jthread thread_;
};

TEST_F(SweepTest, SidesAtRestAreIdentical) {
  const VerifyReport report = compare();
  EXPECT_TRUE(report.identical()) << to_text(report);
  EXPECT_EQ(report.tables.at(0).rows_old, static_cast<std::uint64_t>(kRows));
  EXPECT_EQ(report.tables.at(0).rows_postgres, static_cast<std::uint64_t>(kRows));
}

TEST_F(SweepTest, TheSameMeaningSpelledApartIsNoDifference) {
  to_->tamper(kParent, toy_parent(5, ""), toy_parent(5, "n5", R"({ "b" : [1.0, 2], "a" : 1e0 })"));
  EXPECT_TRUE(compare().identical());
}

TEST_F(SweepTest, ATypeThatOnlyPostgresKnowsIsAskedAbout) {
  auto mapping = std::make_shared<Mapping>(*test_mapping());
  mapping->tables[0].columns[1].type = PgType::kOtherText;
  to_->tamper(kParent, toy_parent(5, ""), toy_parent(5, "N5", R"({"a":1,"b":[1,2]})"));
  to_->tamper(kParent, toy_parent(6, ""), toy_parent(6, "other", R"({"a":1,"b":[1,2]})"));
  VerifySides sides = this->sides();
  sides.mapping = mapping;
  sides.same_in_postgres = [](const ColumnMap& column, std::string_view a, std::string_view b) {
    return column.name == "name" && a == "n5" && b == "N5";
  };
  const VerifyReport report =
      Sweep(sides, Pace(0, {}), [](const VerifyProgress&) {}).run({kParent});
  ASSERT_EQ(report.tables.at(0).differences.size(), 1u) << to_text(report);
  EXPECT_EQ(report.tables.at(0).differences.front().key, R"(["6"])");
}

TEST_F(SweepTest, NoFalseDifferenceWhileSomebodyWrites) {
  const Writer writer(*from_, kRows);
  for (int round = 0; round < 10; ++round) {
    const VerifyReport report = compare();
    EXPECT_TRUE(report.identical()) << to_text(report);
  }
}

TEST_F(SweepTest, FindsEveryRowThatWasTamperedWithAndNoOther) {
  std::minstd_rand random(3);
  std::map<std::string, DifferenceSort> planted;
  const Writer writer(*from_, kRows);
  for (std::int64_t id = 0; id < kRows; id += 10) {
    const std::string key = "[\"" + std::to_string(id) + "\"]";
    switch (random() % 5) {
      case 0:
        to_->tamper(kParent, toy_parent(id, ""), toy_parent(id, "changed there"));
        planted[key] = DifferenceSort::kValue;
        break;
      case 1:
        from_->tamper(kParent, toy_parent(id, ""),
                      toy_parent(id, "n" + std::to_string(id), R"({"a":2,"b":[1,2]})"));
        planted[key] = DifferenceSort::kValue;
        break;
      case 2:
        to_->tamper(kParent, toy_parent(id, ""), {});
        planted[key] = DifferenceSort::kMissingInPostgres;
        break;
      case 3:
        from_->tamper(kParent, toy_parent(id, ""), {});
        planted[key] = DifferenceSort::kMissingInOld;
        break;
      default:
        break;
    }
  }
  Sweep sweep = this->sweep();
  VerifyReport report = sweep.run({kParent, kChild});
  std::map<std::string, DifferenceSort> found;
  for (const Difference& one : report.tables.at(0).differences) {
    found[one.key] = one.sort;
    EXPECT_FALSE(one.cause.empty());
  }
  EXPECT_EQ(found, planted);
  EXPECT_FALSE(report.identical());

  sweep.repair(report, [this](const Chunk& keys) { reapply_by_pump(keys); });
  EXPECT_TRUE(report.identical()) << to_text(report);
  EXPECT_TRUE(compare().identical());
}

TEST_F(SweepTest, WhatWasNotRepairedMayBeTriedOnceMore) {
  to_->tamper(kParent, toy_parent(7, ""), toy_parent(7, "seven"));
  to_->tamper(kParent, toy_parent(8, ""), toy_parent(8, "eight"));
  Sweep sweep = this->sweep();
  VerifyReport report = sweep.run({kParent});
  std::size_t asked = 0;
  sweep.repair(report, [&](const Chunk& keys) {
    Chunk first;
    first.add(copy_cell(keys.row(keys.changes().front())[0], keys, first));
    first.end_delete(kParent);
    asked += keys.changes().size();
    reapply_by_pump(first);
  });
  EXPECT_FALSE(report.identical());
  sweep.repair(report, [&](const Chunk& keys) {
    asked += keys.changes().size();
    reapply_by_pump(keys);
  });
  EXPECT_TRUE(report.identical()) << to_text(report);
  EXPECT_EQ(asked, 3u);
}

TEST_F(SweepTest, AnEntryThatHasEndedExcusesNothing) {
  to_->tamper(kParent, toy_parent(7, ""), toy_parent(7, "seven"));
  quarantine_ = {{kParent, "", R"(["7"])", "no", "", "", false}};
  Sweep sweep = this->sweep();
  VerifyReport report = sweep.run({kParent});
  EXPECT_TRUE(report.explained()) << to_text(report);
  quarantine_.clear();
  sweep.repair(report, [](const Chunk&) {});
  EXPECT_FALSE(report.explained()) << to_text(report);
}

TEST_F(SweepTest, NamesTheColumnAndBothValues) {
  to_->tamper(kParent, toy_parent(7, ""), toy_parent(7, "seven", R"({"a":1,"b":[1,2]})"));
  const VerifyReport report = compare();
  ASSERT_EQ(report.tables.at(0).differences.size(), 1u) << to_text(report);
  const Difference& one = report.tables.at(0).differences.front();
  EXPECT_EQ(one.key, R"(["7"])");
  EXPECT_EQ(one.column, "name");
  EXPECT_EQ(one.old_value, "'n7'");
  EXPECT_EQ(one.postgres_value, "'seven'");
}

TEST_F(SweepTest, ARowThatNeverRestsIsNoDifference) {
  std::jthread busy([this](std::stop_token stop) {
    for (int n = 0; !stop.stop_requested(); ++n) {
      from_->write(kParent, toy_parent(4, n % 2 == 0 ? "even" : "odd"));
    }
  });
  for (int round = 0; round < 3; ++round) {
    const VerifyReport report = compare();
    EXPECT_TRUE(report.tables.at(0).differences.empty()) << to_text(report);
  }
  busy.request_stop();
  busy.join();
  EXPECT_TRUE(compare().identical());
}

TEST_F(SweepTest, WhatIsInQuarantineIsTold) {
  to_->tamper(kParent, toy_parent(1, ""), {});
  to_->tamper(kParent, toy_parent(2, ""), {});
  to_->tamper(kParent, toy_parent(3, ""), {});
  quarantine_ = {entry(kParent, R"(["1"])", false), entry(kParent, R"(["2"])", true),
                 entry(kChild, R"(["3"])", false)};
  const VerifyReport report = compare();
  std::map<std::string, Known> known;
  for (const Difference& one : report.tables.at(0).differences) known[one.key] = one.known;
  EXPECT_EQ(known, (std::map<std::string, Known>{{R"(["1"])", Known::kQuarantined},
                                                 {R"(["2"])", Known::kAccepted},
                                                 {R"(["3"])", Known::kNot}}));
  EXPECT_FALSE(report.identical());
  EXPECT_FALSE(report.explained());
}

TEST_F(SweepTest, AcceptedAloneIsIdentical) {
  to_->tamper(kParent, toy_parent(2, ""), {});
  quarantine_ = {entry(kParent, R"(["2"])", true)};
  EXPECT_TRUE(compare().identical());
}

TEST_F(SweepTest, AReportReadsBackAsItWasWritten) {
  to_->tamper(kParent, toy_parent(1, ""), {});
  from_->tamper(kParent, toy_parent(2, ""), toy_parent(2, "it's \"quoted\"\n"));
  const VerifyReport report = compare();
  const std::string json = to_json(report);
  EXPECT_EQ(to_json(parse_verify_report(json)), json);
  EXPECT_THROW(parse_verify_report("{}"), Error);
}

TEST_F(SweepTest, AStopEndsIt) {
  std::stop_source stop;
  stop.request_stop();
  Sweep sweep(sides(), Pace(0, stop.get_token()), [](const VerifyProgress&) {});
  EXPECT_THROW(sweep.run({kParent}), Error);
}

TEST_F(SweepTest, KeepsToItsPace) {
  const auto begun = Deadline::Clock::now();
  Sweep sweep(sides(), Pace(10'000, {}), [](const VerifyProgress&) {});
  EXPECT_TRUE(sweep.run({kParent}).identical());
  EXPECT_GE(Deadline::Clock::now() - begun, milliseconds(299));
}

}  // namespace
}  // namespace switchback
