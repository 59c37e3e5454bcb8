// A source keeps what was applied and not compared yet, whatever stands behind it, and tells it
// again.
#include <gtest/gtest.h>

#include <chrono>
#include <set>

#include "tests/conformance/harnesses.h"

namespace switchback {
namespace {

/// Pulls until all that the application wrote before has come.
void pull_until(ChangeSource& source, Endpoint& endpoint, Position& at) {
  const auto gate = endpoint.make_gate("all");
  ASSERT_TRUE(gate->lock(soon()));
  const Position mark = gate->mark();
  gate->unlock();
  Chunk chunk;
  for (const Deadline deadline = soon(); !at.reaches(mark) && !deadline.passed();) {
    if (source.pull(chunk, deadline, {}) == Pull::kIdle) continue;
    if (chunk.boundary) at = *chunk.boundary;
  }
}

class OwedConformance : public testing::TestWithParam<std::pair<const char*, MakeHarness>> {};

TEST_P(OwedConformance, SourceTellsAgainWhatWasAppliedAndNotCompared) {
  const auto harness = GetParam().second();
  auto endpoint = harness->open();
  endpoint->install();
  if (!harness->begins_open()) {
    const auto gate = endpoint->make_gate("all");
    gate->make_ready_to_open();
    gate->open(2, {});
  }
  Position compared, at;
  {
    const auto source = endpoint->make_source();
    source->start({});
    ASSERT_TRUE(harness->put_parent(1, "compared"));
    pull_until(*source, *endpoint, compared);
    source->compared(compared);
    ASSERT_TRUE(harness->put_parents(2, 4, "owed", true));
    pull_until(*source, *endpoint, at);
    ASSERT_TRUE(harness->remove_parent(3));
    pull_until(*source, *endpoint, at);
    source->acknowledge(at);
    source->idle();
  }
  ASSERT_TRUE(harness->put_parent(9, "new"));
  endpoint = harness->open();
  const auto source = endpoint->make_source();
  source->compared(compared);
  source->start(at);
  std::set<int> owed, fresh;
  Chunk chunk;
  for (const Deadline deadline = soon(); !fresh.contains(9) && !deadline.passed();) {
    const Pull pull = source->pull(chunk, deadline, {});
    if (pull == Pull::kIdle) continue;
    if (pull == Pull::kOwed) {
      EXPECT_FALSE(chunk.boundary) << "the other side has that already";
      EXPECT_TRUE(fresh.empty()) << "first what is older";
    }
    for (const Change& change : chunk.changes()) {
      if (change.table != kParent) continue;
      (pull == Pull::kOwed ? owed : fresh).insert(static_cast<int>(chunk.row(change)[0].i));
    }
  }
  EXPECT_EQ(owed, (std::set<int>{2, 3, 4}));
  EXPECT_EQ(fresh, std::set<int>{9});
}

INSTANTIATE_TEST_SUITE_P(Endpoints, OwedConformance, testing::ValuesIn(all_harnesses()),
                         [](const auto& test) { return std::string(test.param.first); });

}  // namespace
}  // namespace switchback
