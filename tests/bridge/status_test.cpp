#include "bridge/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bridge/metrics.h"
#include "state/base/error.h"

namespace switchback {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Status sample() {
  Status status;
  status.bridge = "twitter";
  status.running = true;
  status.groups = {
      {"all", Phase::kForward, Side::kOld, 7, Lag{3, 400, std::chrono::milliseconds(1500)}},
      {"odd", Phase::kFlipping, std::nullopt, 8, std::nullopt}};
  status.quarantined = 2;
  status.tables = {{"public.users", 100}};
  status.sides = {{Side::kOld, "/srv/a.db", true, "", {}},
                  {Side::kPostgres, "host h database d", false, "connection refused",
                   std::chrono::milliseconds(2500)}};
  status.load = {{"public.tweets", 250, 1000, 50, false}};
  status.changes_per_second = 12.5;
  status.changes = 99;
  status.batches = 9;
  status.counts = {5, 2};
  status.trail = {.owed = 3,
                  .age = std::chrono::milliseconds(500),
                  .compared = 80,
                  .differing = 1,
                  .found = 2,
                  .dropped = 1,
                  .why_dropped = "too many",
                  .examples = {"public.users [\"7\"] name: old 'a', postgres 'b'"}};
  status.unread = {{"/srv/a.json", "line 3: expected a value", false}};
  status.needs_you = {"look at the quarantine: \"a\""};
  return status;
}

TEST(Status, JsonHasTheDesignedKeys) {
  Status status;
  status.bridge = "b";
  status.groups = {{"all", Phase::kReverse, Side::kPostgres, 2, Lag{}}};
  status.tables = {{"public.t", 5}};
  EXPECT_EQ(to_json(status),
            R"({"bridge":"b","running":false,"groups":[{"name":"all","phase":"reverse",)"
            R"("primary":"postgres","epoch":2,"lag":{"changes":0,"bytes":0,"seconds":0}}],)"
            R"("quarantined":0,"tables":[{"name":"public.t","rows":5}],"last_verify":null,)"
            R"("trailing":{"owed":0,"seconds":0,"compared":0,"differing":0,"found":0,"dropped":0,)"
            R"("why_dropped":"","examples":[]},)"
            R"("rates":{"changes_per_second":0,"changes":0,"batches":0},)"
            R"("capture":{"prunes":0,"unexplained":0},"sides":[],"load":[],"unread":[],)"
            R"("needs_you":[]})");
}

TEST(Status, JsonComesBackAsItWas) {
  const std::string json = to_json(sample());
  EXPECT_EQ(to_json(parse_status(json)), json);
}

TEST(Status, ForeignJsonIsAnError) {
  EXPECT_THROW(parse_status("{}"), Error);
  EXPECT_THROW(parse_status("not json"), Error);
}

TEST(Status, TextSaysWhereWritesGoAndWhatIsNeeded) {
  const std::string text = to_text(sample());
  EXPECT_THAT(text, HasSubstr("all          the old store   forward         7  3 changes, 1.5 s"));
  EXPECT_THAT(text, HasSubstr("nowhere: a flip is under way"));
  EXPECT_THAT(text, HasSubstr("postgres DOWN host h database d"));
  EXPECT_THAT(text, HasSubstr("connection refused (next try in 2.5 s)"));
  EXPECT_THAT(text, HasSubstr("[######                  ]  25 %  250 rows, 50/s, 15 s left"));
  EXPECT_THAT(text, HasSubstr("2 rows in quarantine"));
  EXPECT_THAT(text, HasSubstr("2 unexplained commits"));
  EXPECT_THAT(text, HasSubstr("needs you:\n  - look at the quarantine"));
  EXPECT_THAT(to_text(Status{}), HasSubstr("nothing needs you"));
}

TEST(Metrics, CountsAndGaugesInPrometheusText) {
  Metrics metrics("twitter");
  metrics.note_progress(Direction::kForward, 10, 2);
  metrics.note_progress(Direction::kForward, 15, 3);
  metrics.note_progress(Direction::kForward, 4, 1);  // a new pump
  metrics.note_counts({3, 1});
  metrics.note_counts({4, 1});
  metrics.note_counts({1, 0});  // a new pump
  metrics.note_flip(Side::kPostgres, std::chrono::milliseconds(30));
  metrics.set(sample(), true);
  const std::string text = metrics.text();
  for (const std::string line :
       {R"(switchback_applied_changes_total{bridge="twitter",direction="forward"} 19)",
        R"(switchback_batches_total{bridge="twitter",direction="forward"} 4)",
        R"(switchback_batches_total{bridge="twitter",direction="reverse"} 0)",
        R"(switchback_flowing{bridge="twitter"} 1)",
        R"(switchback_lag_changes{bridge="twitter",group="all"} 3)",
        R"(switchback_lag_changes{bridge="twitter",group="odd"} Nan)",
        R"(switchback_lag_bytes{bridge="twitter",group="all"} 400)",
        R"(switchback_lag_seconds{bridge="twitter",group="all"} 1.5)",
        R"(switchback_epoch{bridge="twitter",group="all"} 7)",
        R"(switchback_primary{bridge="twitter",group="all",side="old"} 1)",
        R"(switchback_primary{bridge="twitter",group="all",side="postgres"} 0)",
        R"(switchback_up{bridge="twitter",side="postgres"} 0)",
        R"(switchback_quarantined{bridge="twitter"} 2)",
        R"(switchback_log_prunes_total{bridge="twitter"} 5)",
        R"(switchback_unexplained_commits_total{bridge="twitter"} 1)",
        R"(switchback_flips_total{bridge="twitter",to="postgres"} 1)",
        R"(switchback_flip_pause_seconds_bucket{bridge="twitter",to="postgres",le="0.05"} 1)"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

}  // namespace
}  // namespace switchback
