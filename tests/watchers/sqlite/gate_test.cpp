#include "watchers/sqlite/gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "state/base/error.h"
#include "tests/watchers/sqlite/target_fixture.h"

namespace switchback {
namespace {

using namespace std::string_literals;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

GateState open_at(Epoch epoch) {
  return {GateState::Door::kOpen, epoch};
}
GateState closed_at(Epoch epoch) {
  return {GateState::Door::kClosed, epoch};
}

/// An application's write that says when it waits for the lock, and how it ended.
class WaitingWriter {
 public:
  WaitingWriter(const TargetFixture& target, const std::string& sql)
      : thread_([this, &target, sql] { write(target, sql); }) {}

  void until_it_waits() const { waiting_.wait(false); }
  const std::string& answer() {
    thread_.join();
    return answer_;
  }

 private:
  void write(const TargetFixture& target, const std::string& sql) {
    const auto application = target.application();
    sqlite3_busy_handler(application->getHandle(), &WaitingWriter::on_busy, this);
    try {
      application->exec(sql);
      answer_ = "not refused";
    } catch (const SQLite::Exception& error) {
      answer_ = error.what();
    }
  }
  static int on_busy(void* self, int) {
    auto& waiting = static_cast<WaitingWriter*>(self)->waiting_;
    waiting = true;
    waiting.notify_all();
    std::this_thread::yield();
    return 1;
  }

  std::atomic<bool> waiting_ = false;
  std::string answer_;
  std::jthread thread_;
};

class SqliteGateTest : public ::testing::TestWithParam<std::string> {
 protected:
  GateState inspect() const { return target_.gate()->inspect(Deadline::in(seconds(5))); }
  void close(Epoch epoch) const {
    const auto gate = target_.gate();
    ASSERT_TRUE(gate->lock(Deadline::in(seconds(5))));
    ASSERT_TRUE(gate->close(epoch, Deadline::in(seconds(5))));
  }
  std::string refusal(const std::string& sql) const {
    try {
      target_.application()->exec(sql);
      return "not refused";
    } catch (const SQLite::Exception& error) {
      return error.what();
    }
  }
  TargetFixture target_{GetParam()};
};

INSTANTIATE_TEST_SUITE_P(Modes, SqliteGateTest, ::testing::Values("wal", "delete"),
                         [](const auto& mode) { return mode.param; });

/// What AUTOINCREMENT hands out after a way there and back.
class Trap07 : public SqliteGateTest {};
INSTANTIATE_TEST_SUITE_P(Modes, Trap07, ::testing::Values("wal", "delete"),
                         [](const auto& mode) { return mode.param; });

TEST_P(SqliteGateTest, ClosesAndOpensAgain) {
  EXPECT_EQ(inspect(), open_at(1));
  close(7);
  EXPECT_EQ(inspect(), closed_at(7));
  const auto gate = target_.gate();
  EXPECT_TRUE(gate->close(7, Deadline::in(seconds(1)))) << "not idempotent";
  EXPECT_TRUE(gate->prepare(8, {}, Deadline::in(seconds(1))));
  gate->open(8, {});
  gate->open(8, {});
  EXPECT_EQ(inspect(), open_at(8));
  target_.application()->exec("INSERT INTO person(name) VALUES ('x')");
  gate->unlock();
  EXPECT_EQ(target_.ask("SELECT count(*) FROM sqlite_schema WHERE name LIKE '%fence%'"), "0");
  EXPECT_THROW(gate->open(3, {}), Error) << "an epoch never goes back";
}

TEST_P(SqliteGateTest, FenceRefusesEveryKindOfWriteByName) {
  target_.application()->exec("INSERT INTO person(id, name) VALUES (1, 'x')");
  close(7);
  const auto message =
      HasSubstr("switchback: writes to person go to \"postgres\" (group all, epoch 7)");
  EXPECT_THAT(refusal("INSERT INTO person(name) VALUES ('y')"), message);
  EXPECT_THAT(refusal("INSERT OR IGNORE INTO person(name) VALUES ('y')"), message);
  EXPECT_THAT(refusal("REPLACE INTO person(id, name) VALUES (1, 'y')"), message);
  EXPECT_THAT(refusal("UPDATE person SET name = 'y'"), message);
  EXPECT_THAT(refusal("UPDATE OR IGNORE person SET name = 'y'"), message);
  EXPECT_THAT(refusal("DELETE FROM person"), message);
  EXPECT_THAT(refusal("INSERT INTO note VALUES ('a', 'b', 'c')"), HasSubstr("writes to note"));
  EXPECT_EQ(target_.ask("SELECT name FROM person"), "x");
}

TEST_P(SqliteGateTest, BridgePassesItsOwnFence) {
  close(2);
  const auto sink = target_.sink();
  sink->applied();
  ChunkHand hand;
  hand.upsert(kPerson, {1_i, "a"s, nullptr, nullptr, nullptr});
  EXPECT_TRUE(apply_batch(*sink, hand.end(1)).empty());
  EXPECT_EQ(target_.ask("SELECT name FROM person"), "a");
}

TEST_P(SqliteGateTest, WaitingWriterIsRefusedOnceTheFenceIsDown) {
  const auto gate = target_.gate();
  ASSERT_TRUE(gate->lock(Deadline::in(seconds(5))));
  WaitingWriter writer(target_, "INSERT INTO person(name) VALUES ('late')");
  writer.until_it_waits();
  EXPECT_TRUE(gate->close(2, Deadline::in(seconds(5))));
  EXPECT_THAT(writer.answer(), HasSubstr("switchback: writes to person go to"));
}

TEST_P(SqliteGateTest, WaitingWriterGoesOnAfterUnlock) {
  const auto before = target_.ask("SELECT group_concat(sql) FROM sqlite_schema");
  const auto gate = target_.gate();
  ASSERT_TRUE(gate->lock(Deadline::in(seconds(5))));
  WaitingWriter writer(target_, "INSERT INTO person(name) VALUES ('waited')");
  writer.until_it_waits();
  gate->unlock();
  EXPECT_EQ(writer.answer(), "not refused");
  EXPECT_EQ(target_.ask("SELECT name FROM person"), "waited");
  EXPECT_EQ(target_.ask("SELECT group_concat(sql) FROM sqlite_schema"), before);
  EXPECT_EQ(inspect(), open_at(1));
}

TEST_P(SqliteGateTest, LockEndsAtTheDeadlineWithNothingChanged) {
  const auto application = target_.application();
  application->exec("BEGIN IMMEDIATE");
  const auto gate = target_.gate();
  const auto start = Deadline::Clock::now();
  EXPECT_FALSE(gate->lock(Deadline::in(milliseconds(60))));
  EXPECT_FALSE(gate->prepare(2, {}, Deadline::in(milliseconds(60))));
  EXPECT_LT(Deadline::Clock::now() - start, seconds(2));
  application->exec("INSERT INTO person(name) VALUES ('mine'); COMMIT");
  EXPECT_EQ(inspect(), open_at(1));
  EXPECT_TRUE(gate->lock(Deadline::in(seconds(5))));
}

TEST_P(SqliteGateTest, CloseAfterTheDeadlineChangesNothing) {
  const auto gate = target_.gate();
  ASSERT_TRUE(gate->lock(Deadline::in(seconds(5))));
  EXPECT_FALSE(gate->close(2, Deadline::in(milliseconds(-1))));
  gate->unlock();
  EXPECT_EQ(inspect(), open_at(1));
}

TEST_P(SqliteGateTest, MarkIsTheLogsEnd) {
  target_.application()->exec("INSERT INTO person(name) VALUES ('a'), ('b')");
  const auto gate = target_.gate();
  ASSERT_TRUE(gate->lock(Deadline::in(seconds(5))));
  const Position mark = gate->mark();
  EXPECT_EQ(std::to_string(mark.value), target_.ask("SELECT max(seq) FROM _switchback_log"));
  EXPECT_EQ(std::to_string(static_cast<std::int64_t>(mark.proof)),
            target_.ask("SELECT nonce FROM _switchback_log ORDER BY seq DESC LIMIT 1"));
  EXPECT_EQ(std::to_string(mark.history),
            target_.ask("SELECT value FROM _switchback_meta WHERE name = 'history'"));
}

TEST_P(Trap07, CountersGoBothWays) {
  target_.application()->exec(
      "INSERT INTO person(id, name) VALUES (40, 'a'), (41, 'b'); DELETE FROM person WHERE id = 41");
  const auto gate = target_.gate();
  ASSERT_TRUE(gate->lock(Deadline::in(seconds(5))));
  const auto counters = gate->counters();
  ASSERT_EQ(counters.size(), 1u);
  EXPECT_EQ(counters[0].column, "id");
  EXPECT_EQ(counters[0].value, 41);
  ASSERT_TRUE(gate->close(2, Deadline::in(seconds(5))));
  gate->open(3, {.counters = {{kPerson, "id", 99}}});
  target_.application()->exec("INSERT INTO person(name) VALUES ('next')");
  EXPECT_EQ(target_.ask("SELECT max(id) FROM person"), "100");
}

TEST_P(Trap07, CounterOfATableThatNeverHadARow) {
  close(2);
  target_.gate()->open(3, {.counters = {{kPerson, "id", 9}}});
  target_.application()->exec("INSERT INTO person(name) VALUES ('first')");
  EXPECT_EQ(target_.ask("SELECT id FROM person"), "10");
}

// PostgreSQL handed out 1 to 4 and deleted the last two: their numbers must not come again.
TEST_P(Trap07, NumbersOfRowsThatAreGoneAreNotHandedOutAgain) {
  target_.application()->exec("INSERT INTO person(name) VALUES ('one')");
  close(2);
  const auto sink = target_.sink();
  sink->applied();
  ChunkHand hand;
  hand.upsert(kPerson, {2_i, "two"s, true, nullptr, nullptr});
  EXPECT_TRUE(apply_batch(*sink, hand.end(7)).empty());
  target_.gate()->open(3, {.counters = {{kPerson, "id", 4}}});
  target_.application()->exec("INSERT INTO person(name) VALUES ('next')");
  EXPECT_EQ(target_.ask("SELECT id FROM person ORDER BY id"), "1 2 5");
}

TEST_P(SqliteGateTest, DamagedFenceIsTorn) {
  close(2);
  target_.application()->exec("DROP TRIGGER _switchback_fence_UPDATE_person");
  EXPECT_EQ(inspect(), (GateState{GateState::Door::kTorn, 2}));
}

TEST_P(SqliteGateTest, DestroyedGateUnlocks) {
  { ASSERT_TRUE(target_.gate()->lock(Deadline::in(seconds(5)))); }
  target_.application(0)->exec("INSERT INTO person(name) VALUES ('free')");
}

TEST(SqliteGateRollbackJournal, OpenReaderMakesCloseFalseAndNothingChanged) {
  const TargetFixture target("delete");
  const auto reader = target.application();
  reader->exec("BEGIN; SELECT count(*) FROM person");
  const auto gate = target.gate();
  ASSERT_TRUE(gate->lock(Deadline::in(seconds(5))));
  EXPECT_FALSE(gate->close(2, Deadline::in(seconds(5))));
  // At once, before anybody calls unlock(): readers and writers go on.
  EXPECT_EQ(target.ask("SELECT count(*) FROM person"), "0");
  gate->unlock();
  EXPECT_FALSE(gate->prepare(2, {}, Deadline::in(milliseconds(50))));
  reader->exec("COMMIT");
  EXPECT_EQ(target.gate()->inspect(Deadline::in(seconds(5))), open_at(1));
  ASSERT_TRUE(gate->lock(Deadline::in(seconds(5))));
  EXPECT_TRUE(gate->close(2, Deadline::in(seconds(5))));
  EXPECT_EQ(target.gate()->inspect(Deadline::in(seconds(5))), closed_at(2));
}

TEST(SqliteGateReadOnly, IsAnObstacleAndIsNotMadeReady) {
  const TargetFixture target("wal");
  SqliteGate gate(SQLite::Database(target.path().string(), SQLite::OPEN_READONLY), target.path(),
                  target.mapping(), "app", "all");
  const auto obstacles = gate.obstacles();
  ASSERT_EQ(obstacles.size(), 1u);
  EXPECT_THAT(obstacles[0].what, HasSubstr("app.db is read-only"));
  EXPECT_THAT(obstacles[0].cure, HasSubstr("right to write it"));
  EXPECT_THROW(gate.make_ready_to_open(), Error);
}

TEST(SqliteGateRollbackJournal, LastingReaderOfAnotherProcessIsAnObstacle) {
  const TargetFixture target("delete");
  EXPECT_TRUE(target.gate()->obstacles().empty());
  const std::string script =
      "import sqlite3,sys; c = sqlite3.connect(sys.argv[1]);"
      "c.isolation_level = None; c.execute('BEGIN');"
      "c.execute('SELECT count(*) FROM person').fetchall();"
      "print('ready', flush=True); sys.stdin.read()";
  FILE* reader = ::popen(("python3 -c \"" + script + "\" " + target.path().string() + " > " +
                          (target.folder() / "ready").string())
                             .c_str(),
                         "w");
  ASSERT_NE(reader, nullptr);
  const auto deadline = Deadline::in(seconds(20));
  while (std::filesystem::exists(target.folder() / "ready") == false ||
         std::filesystem::file_size(target.folder() / "ready") == 0) {
    ASSERT_FALSE(deadline.passed());
    std::this_thread::sleep_for(milliseconds(5));
  }
  const auto obstacles = target.gate()->obstacles();
  ASSERT_EQ(obstacles.size(), 1u);
  EXPECT_THAT(obstacles[0].what, HasSubstr("python3"));
  ::pclose(reader);
  EXPECT_TRUE(target.gate()->obstacles().empty());
}

}  // namespace
}  // namespace switchback
