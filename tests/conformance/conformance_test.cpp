// The port conformance suite: what every endpoint must do, whatever stands behind it. Four parts,
// played alone and together; the toy, SQLite in both journal modes, files and PostgreSQL pass the
// same tests. A new kind of store joins by writing a harness.
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <set>

#include "state/base/error.h"
#include "tests/conformance/harnesses.h"
#include "tests/support/toy_endpoint.h"

namespace switchback {
namespace {

using Door = GateState::Door;
using std::chrono::milliseconds;
using std::chrono::seconds;

class Conformance : public testing::TestWithParam<std::pair<const char*, MakeHarness>> {
 protected:
  void SetUp() override {
    harness_ = GetParam().second();
    endpoint_ = harness_->open();
    endpoint_->install();
  }

  /// Opens the gate at `epoch`, as a flip would.
  void open_gate(Epoch epoch) {
    const auto gate = endpoint_->make_gate("all");
    gate->make_ready_to_open();
    gate->open(epoch, {});
  }
  void close_gate(Epoch epoch) {
    const auto gate = endpoint_->make_gate("all");
    ASSERT_TRUE(gate->lock(soon()));
    ASSERT_TRUE(gate->close(epoch, soon()));
  }
  /// After this the application may write, and a source can read what it writes.
  void make_primary() {
    if (!harness_->begins_open()) open_gate(2);
  }
  void make_secondary() {
    if (harness_->begins_open()) close_gate(2);
  }

  /// Pulls until a boundary; the parents' changes by id: a name, or nullopt for a delete.
  std::map<int, std::optional<std::string>> pull_batch(ChangeSource& source, Position& boundary) {
    std::map<int, std::optional<std::string>> seen;
    Chunk chunk;
    const Deadline deadline = soon();
    while (!deadline.passed()) {
      if (source.pull(chunk, deadline, {}) == Pull::kIdle) continue;
      for (const Change& change : chunk.changes()) {
        if (change.table != kParent) continue;
        const auto row = chunk.row(change);
        const int id = static_cast<int>(row[0].i);
        if (change.op == Op::kUpsert) seen[id] = std::string(chunk.text(row[1]));
        if (change.op == Op::kDelete) seen[id] = std::nullopt;
      }
      if (chunk.boundary) {
        boundary = *chunk.boundary;
        return seen;
      }
    }
    ADD_FAILURE() << "no boundary came";
    return seen;
  }
  /// Pulls batches until `mark` is reached; all changes together.
  std::map<int, std::optional<std::string>> pull_until(ChangeSource& source, const Position& mark,
                                                       Position& at) {
    std::map<int, std::optional<std::string>> all;
    while (!at.reaches(mark) && !HasFailure()) {
      for (auto& [id, name] : pull_batch(source, at)) all[id] = name;
    }
    return all;
  }
  Position mark() {
    const auto gate = endpoint_->make_gate("all");
    EXPECT_TRUE(gate->lock(soon()));
    const Position position = gate->mark();
    gate->unlock();
    return position;
  }

  static void add_parent(Chunk& chunk, int id, const std::optional<std::string>& name) {
    chunk.add(Cell::integer(id));
    chunk.add(name ? chunk.add_text(Kind::kText, *name) : Cell::null());
    chunk.add(Cell::boolean(true));
    chunk.add(chunk.add_text(Kind::kJson, R"({"a": 1})"));
    chunk.add(Cell::timestamp(1'700'000'000'000'000));
    chunk.end_upsert(kParent);
  }
  static void commit(ChangeSink& sink, Chunk& chunk, Position position) {
    std::vector<Reject> rejects;
    chunk.boundary = position;
    sink.apply(chunk, rejects);
    sink.commit(position, rejects);
  }
  Position wait_durable(ChangeSink& sink, const Position& position) {
    const Deadline deadline = soon();
    while (!(sink.durable() == position) && !deadline.passed()) std::this_thread::yield();
    return sink.durable();
  }

  std::unique_ptr<Harness> harness_;
  std::unique_ptr<Endpoint> endpoint_;
};

// ---- source

TEST_P(Conformance, SourceGivesEveryCommittedWrite) {
  make_primary();
  const auto source = endpoint_->make_source();
  source->start({});
  ASSERT_TRUE(harness_->put_parent(1, "one"));
  ASSERT_TRUE(harness_->put_parents(2, 50, "many", true));
  // Only the net change between two looks is told, so a row must have been seen to be missed.
  Position at;
  auto seen = pull_until(*source, mark(), at);
  EXPECT_EQ(seen.size(), 50u);
  EXPECT_EQ(seen.at(2), "many");
  ASSERT_TRUE(harness_->put_parent(1, "uno"));
  ASSERT_TRUE(harness_->remove_parent(2));
  for (auto& [id, name] : pull_until(*source, mark(), at)) seen[id] = name;
  EXPECT_EQ(seen.at(1), "uno");
  EXPECT_EQ(seen.at(2), std::nullopt);
  EXPECT_EQ(seen.at(50), "many");
}

TEST_P(Conformance, SourceNeverGivesWhatWasRolledBack) {
  make_primary();
  const auto source = endpoint_->make_source();
  source->start({});
  harness_->put_parents(1, 5, "ghost", false);
  ASSERT_TRUE(harness_->put_parent(9, "real"));
  Position at;
  const auto seen = pull_until(*source, mark(), at);
  EXPECT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen.at(9), "real");
}

TEST_P(Conformance, SourceContinuesRightAfterAPosition) {
  make_primary();
  Position at;
  {
    const auto source = endpoint_->make_source();
    source->start({});
    ASSERT_TRUE(harness_->put_parent(1, "before"));
    pull_until(*source, mark(), at);
  }
  ASSERT_TRUE(harness_->put_parent(2, "after"));
  endpoint_ = harness_->open();
  const auto source = endpoint_->make_source();
  source->start(at);
  const auto seen = pull_until(*source, mark(), at);
  EXPECT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen.at(2), "after");
}

TEST_P(Conformance, SourceKeepsAnAcknowledgedPositionUsable) {
  make_primary();
  Position at;
  {
    const auto source = endpoint_->make_source();
    source->start({});
    ASSERT_TRUE(harness_->put_parents(1, 20, "x", true));
    pull_until(*source, mark(), at);
    source->acknowledge(at);
    Chunk chunk;
    source->pull(chunk, Deadline::in(milliseconds(50)), {});
    source->idle();
  }
  const auto source = endpoint_->make_source();
  EXPECT_NO_THROW(source->start(at));
}

TEST_P(Conformance, SourceRefusesAPositionOfAnotherHistory) {
  make_primary();
  const auto source = endpoint_->make_source();
  try {
    source->start({.history = 0x1234567, .value = 3, .proof = 0});
    Chunk chunk;
    source->pull(chunk, soon(), {});
    FAIL() << "a foreign position was taken";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kHistory) << error.what();
  }
}

TEST_P(Conformance, SourceIsWokenWithoutAChange) {
  make_primary();
  const auto source = endpoint_->make_source();
  source->start({});
  Chunk chunk;
  while (source->pull(chunk, Deadline::in(milliseconds(20)), {}) == Pull::kChunk) {
  }
  auto waiting = std::async(std::launch::async,
                            [&] { return source->pull(chunk, Deadline::in(seconds(30)), {}); });
  EXPECT_EQ(waiting.wait_for(milliseconds(20)), std::future_status::timeout);
  source->wake();
  ASSERT_EQ(waiting.wait_for(seconds(5)), std::future_status::ready);
}

// ---- sink

TEST_P(Conformance, SinkKeepsRowsAndPositionTogether) {
  make_secondary();
  const Position position{11, 22, 33};
  {
    const auto sink = endpoint_->make_sink();
    EXPECT_EQ(sink->applied(), Position{});
    Chunk chunk;
    add_parent(chunk, 1, "one");
    commit(*sink, chunk, position);
    EXPECT_EQ(wait_durable(*sink, position), position);
  }
  endpoint_ = harness_->open();
  EXPECT_EQ(endpoint_->make_sink()->applied(), position);
  EXPECT_EQ(harness_->parents(), (std::map<int, std::string>{{1, "one"}}));
}

TEST_P(Conformance, SinkForgetsWhatIsRolledBack) {
  make_secondary();
  const auto sink = endpoint_->make_sink();
  sink->applied();
  Chunk chunk;
  add_parent(chunk, 1, "one");
  std::vector<Reject> rejects;
  sink->apply(chunk, rejects);
  sink->rollback();
  EXPECT_TRUE(harness_->parents().empty());
  EXPECT_EQ(sink->applied(), Position{});
}

TEST_P(Conformance, SinkTakesTheSameBatchTwice) {
  make_secondary();
  const auto sink = endpoint_->make_sink();
  sink->applied();
  Chunk chunk;
  add_parent(chunk, 1, "one");
  add_parent(chunk, 2, "two");
  chunk.add(Cell::integer(3));
  chunk.end_delete(kParent);
  commit(*sink, chunk, {1, 1, 0});
  commit(*sink, chunk, {1, 2, 0});
  EXPECT_EQ(harness_->parents(), (std::map<int, std::string>{{1, "one"}, {2, "two"}}));
}

TEST_P(Conformance, SinkRenames) {
  make_secondary();
  const auto sink = endpoint_->make_sink();
  sink->applied();
  Chunk chunk;
  add_parent(chunk, 1, "one");
  commit(*sink, chunk, {1, 1, 0});
  chunk.clear();
  chunk.add(Cell::integer(1));
  chunk.add(Cell::integer(7));
  chunk.add(chunk.add_text(Kind::kText, "seven"));
  chunk.add(Cell::null());
  chunk.add(Cell::null());
  chunk.add(Cell::null());
  chunk.end_rename(kParent, 1);
  commit(*sink, chunk, {1, 2, 0});
  EXPECT_EQ(harness_->parents(), (std::map<int, std::string>{{7, "seven"}}));
}

TEST_P(Conformance, SinkTurnsAwayOneRowAndTakesTheRest) {
  make_secondary();
  const auto sink = endpoint_->make_sink();
  sink->applied();
  Chunk chunk;
  for (int id = 1; id <= 9; ++id) {
    add_parent(chunk, id, id == 5 ? std::nullopt : std::optional<std::string>("ok"));
  }
  std::vector<Reject> rejects;
  chunk.boundary = Position{1, 1, 0};
  sink->apply(chunk, rejects);
  ASSERT_EQ(rejects.size(), 1u);
  EXPECT_EQ(rejects[0].key, R"(["5"])");
  EXPECT_FALSE(rejects[0].reason.empty());
  sink->commit({1, 1, 0}, rejects);
  EXPECT_EQ(harness_->parents().size(), 8u);
  EXPECT_EQ(sink->quarantined(), 1u);
  chunk.clear();
  add_parent(chunk, 5, "mended");
  commit(*sink, chunk, {1, 2, 0});
  EXPECT_EQ(sink->quarantined(), 0u);
}

TEST_P(Conformance, SinkTruncates) {
  make_secondary();
  const auto sink = endpoint_->make_sink();
  sink->applied();
  Chunk chunk;
  for (int id = 1; id <= 9; ++id) add_parent(chunk, id, "x");
  commit(*sink, chunk, {1, 1, 0});
  chunk.clear();
  chunk.end_truncate(kParent);
  commit(*sink, chunk, {1, 2, 0});
  EXPECT_TRUE(harness_->parents().empty());
}

TEST_P(Conformance, SinkPassesTheFenceAndMakesNoEcho) {
  make_secondary();
  const auto sink = endpoint_->make_sink();
  sink->applied();
  EXPECT_FALSE(harness_->put_parent(1, "refused"));
  Chunk chunk;
  add_parent(chunk, 2, "carried");
  const auto gate = endpoint_->make_gate("all");
  gate->make_ready_to_open();
  const auto source = endpoint_->make_source();
  source->start({});
  commit(*sink, chunk, {1, 1, 0});
  gate->open(9, {});
  ASSERT_TRUE(harness_->put_parent(3, "theirs"));
  Position at;
  const auto seen = pull_until(*source, mark(), at);
  if (GetParam().first != std::string("toy")) {  // whose sink and log are one
    EXPECT_FALSE(seen.contains(2)) << "the bridge's own write came back";
  }
  EXPECT_TRUE(seen.contains(3));
}

// ---- reader

TEST_P(Conformance, ReaderScansEveryRowOnceAndResumes) {
  make_primary();
  ASSERT_TRUE(harness_->put_parents(1, 500, "row", true));
  std::set<std::int64_t> ids;
  ScanCursor cursor;
  int calls = 0;
  while (!cursor.done && ++calls < 10'000) {
    const auto reader = endpoint_->make_reader();  // a new process each time
    Chunk chunk;
    reader->scan(kParent, cursor, chunk);
    for (const Change& change : chunk.changes()) {
      EXPECT_TRUE(ids.insert(chunk.row(change)[0].i).second) << "read twice";
    }
  }
  EXPECT_EQ(ids.size(), 500u);
}

TEST_P(Conformance, ReaderPartsMeetEveryRowBetweenThem) {
  make_primary();
  ASSERT_TRUE(harness_->put_parents(1, 500, "row", true));
  auto parts = endpoint_->make_reader()->parts(kParent, 3);
  ASSERT_TRUE(harness_->put_parents(501, 600, "born after the parts were cut", true));
  std::set<std::int64_t> ids;
  for (ScanCursor& cursor : parts) {
    const auto reader = endpoint_->make_reader();
    for (int calls = 0; !cursor.done && calls < 10'000; ++calls) {
      Chunk chunk;
      reader->scan(kParent, cursor, chunk);
      for (const Change& change : chunk.changes()) {
        EXPECT_TRUE(ids.insert(chunk.row(change)[0].i).second) << "read twice";
      }
    }
  }
  EXPECT_EQ(ids.size(), 600u);
}

TEST_P(Conformance, ReaderFetchesByKey) {
  make_primary();
  ASSERT_TRUE(harness_->put_parent(1, "one"));
  Chunk keys;
  for (const int id : {1, 2}) {
    keys.add(Cell::integer(id));
    keys.end_delete(kParent);
  }
  Chunk rows;
  endpoint_->make_reader()->fetch(kParent, keys, rows);
  std::map<std::int64_t, Op> found;
  for (const Change& change : rows.changes()) found[rows.row(change)[0].i] = change.op;
  EXPECT_EQ(found, (std::map<std::int64_t, Op>{{1, Op::kUpsert}, {2, Op::kDelete}}));
}

// ---- gate

TEST_P(Conformance, GateBeginsAsItsSideShould) {
  const Door door = harness_->begins_open() ? Door::kOpen : Door::kClosed;
  EXPECT_EQ(endpoint_->make_gate("all")->inspect(soon()), (GateState{door, 1}));
  EXPECT_EQ(harness_->put_parent(1, "x"), harness_->begins_open());
}

TEST_P(Conformance, LockHoldsWritersOffAndUnlockLetsThemGo) {
  make_primary();
  const auto gate = endpoint_->make_gate("all");
  const GateState before = gate->inspect(soon());
  ASSERT_TRUE(gate->lock(soon()));
  auto writer = std::async(std::launch::async, [&] { return harness_->put_parent(1, "waits"); });
  EXPECT_EQ(writer.wait_for(milliseconds(100)), std::future_status::timeout);
  gate->unlock();
  EXPECT_TRUE(writer.get());
  EXPECT_EQ(gate->inspect(soon()), before);
}

TEST_P(Conformance, AWriterThatWaitedIsRefusedOnceTheGateCloses) {
  make_primary();
  const auto gate = endpoint_->make_gate("all");
  ASSERT_TRUE(gate->lock(soon()));
  auto writer = std::async(std::launch::async, [&] { return harness_->put_parent(1, "waits"); });
  EXPECT_EQ(writer.wait_for(milliseconds(100)), std::future_status::timeout);
  ASSERT_TRUE(gate->close(7, soon()));
  EXPECT_FALSE(writer.get());
  EXPECT_EQ(gate->inspect(soon()), (GateState{Door::kClosed, 7}));
  EXPECT_TRUE(harness_->parents().empty());
}

TEST_P(Conformance, TheMarkCoversEveryAcceptedWrite) {
  make_primary();
  const auto source = endpoint_->make_source();
  source->start({});
  for (int id = 1; id <= 20; ++id) ASSERT_TRUE(harness_->put_parent(id, "x"));
  const auto gate = endpoint_->make_gate("all");
  ASSERT_TRUE(gate->lock(soon()));
  const Position end = gate->mark();
  Position at;
  EXPECT_EQ(pull_until(*source, end, at).size(), 20u);
  source->park();
  EXPECT_TRUE(gate->close(5, soon()));
}

TEST_P(Conformance, CloseAndOpenAreIdempotent) {
  make_primary();
  close_gate(5);
  const auto gate = endpoint_->make_gate("all");
  EXPECT_TRUE(gate->close(5, soon()));
  gate->make_ready_to_open();
  gate->open(6, {});
  gate->open(6, {});
  EXPECT_EQ(gate->inspect(soon()), (GateState{Door::kOpen, 6}));
  EXPECT_TRUE(harness_->put_parent(1, "x"));
}

TEST_P(Conformance, AClosedGateTellsItsCountersToWhoeverFinishesAFlip) {
  make_primary();
  ASSERT_TRUE(harness_->put_parent(41, "x"));
  close_gate(5);
  EXPECT_NO_THROW(endpoint_->make_gate("all")->counters());
}

TEST_P(Conformance, APreparedOpeningThatIsGivenUpChangesNothing) {
  make_secondary();
  const auto gate = endpoint_->make_gate("all");
  const GateState before = gate->inspect(soon());
  gate->make_ready_to_open();
  ASSERT_TRUE(gate->prepare(9, {}, soon()));
  gate->unlock();
  EXPECT_EQ(endpoint_->make_gate("all")->inspect(soon()), before);
  EXPECT_FALSE(harness_->put_parent(1, "refused"));
}

TEST_P(Conformance, APreparedOpeningOpens) {
  make_secondary();
  const auto gate = endpoint_->make_gate("all");
  gate->make_ready_to_open();
  ASSERT_TRUE(gate->prepare(9, {}, soon()));
  gate->open(9, {});
  EXPECT_EQ(endpoint_->make_gate("all")->inspect(soon()), (GateState{Door::kOpen, 9}));
  EXPECT_TRUE(harness_->put_parent(1, "x"));
}

TEST_P(Conformance, ALockedGateThatIsDestroyedLetsGo) {
  make_primary();
  {
    const auto gate = endpoint_->make_gate("all");
    ASSERT_TRUE(gate->lock(soon()));
  }
  EXPECT_TRUE(harness_->put_parent(1, "x"));
}

INSTANTIATE_TEST_SUITE_P(Endpoints, Conformance, testing::ValuesIn(all_harnesses()),
                         [](const auto& test) { return std::string(test.param.first); });

}  // namespace
}  // namespace switchback
