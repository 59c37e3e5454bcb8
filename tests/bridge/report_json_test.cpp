#include "bridge/report_json.h"

#include <gtest/gtest.h>

#include "state/base/error.h"

namespace switchback {
namespace {

using std::chrono::microseconds;

TEST(ReportJson, ADoneFlipComesBack) {
  FlipReport report;
  report.outcome.flipped = true;
  report.outcome.primary = Side::kPostgres;
  report.outcome.epoch = 7;
  report.outcome.pause = microseconds(12'500);
  report.outcome.tries = 2;
  report.certificate = "/state/certificates/000007-cutover.json";
  report.outcome.parts = {microseconds(1'500), microseconds(5'000), microseconds(0),
                          microseconds(6'000)};
  report.outcome.predicted = {{microseconds(2'000), microseconds(8'000)}, 3};
  report.outcome.checks = {{"old", {"readers", "none that stays", "none for 20 ms"}}};
  const std::string json = report_json(report);
  EXPECT_EQ(json,
            R"({"flipped":true,"primary":"postgres","epoch":7,"pause_ms":12.5,"drain_ms":0,)"
            R"("tries":2,"obstacles":[],"predicted":{"pause_ms":10,"by_measured":3,"lock_ms":2,)"
            R"("drain_ms":8,"compare_ms":0,"change_over_ms":0},"measured":{"pause_ms":12.5,)"
            R"("lock_ms":1.5,"drain_ms":5,"compare_ms":0,"change_over_ms":6},"gates":[)"
            R"({"name":"readers","side":"old","value":"none that stays","limit":"none for 20 ms",)"
            R"("ok":true,"cure":"","best_effort":false}],)"
            R"("certificate":"/state/certificates/000007-cutover.json"})");
  const FlipAnswer answer = parse_report(json);
  EXPECT_TRUE(answer.flipped);
  EXPECT_EQ(answer.primary, "postgres");
  EXPECT_EQ(answer.epoch, 7U);
  EXPECT_DOUBLE_EQ(answer.pause_ms, 12.5);
  EXPECT_EQ(answer.certificate, report.certificate);
  EXPECT_TRUE(answer.obstacles.empty());
  EXPECT_FALSE(answer.drilled);
  EXPECT_DOUBLE_EQ(answer.predicted_ms, 10);
  ASSERT_EQ(answer.checks.size(), 1u);
  EXPECT_EQ(answer.checks[0].where, "old");
  EXPECT_EQ(answer.checks[0].check.limit, "none for 20 ms");
}

TEST(ReportJson, ARefusedFlipNamesWhatStandsInTheWay) {
  FlipReport report;
  report.outcome.obstacles = {{"a \"slow\" writer", "end it"}, {"quarantine", "repair the row"}};
  const std::string json = report_json(report);
  EXPECT_NE(json.find(R"("certificate":null)"), json.npos) << json;
  const FlipAnswer answer = parse_report(json);
  EXPECT_FALSE(answer.flipped);
  ASSERT_EQ(answer.obstacles.size(), 2U);
  EXPECT_EQ(answer.obstacles[0].what, "a \"slow\" writer");
  EXPECT_EQ(answer.obstacles[1].cure, "repair the row");
}

TEST(ReportJson, AnythingElseIsRefused) {
  EXPECT_THROW(parse_report(""), Error);
  EXPECT_THROW(parse_report("[]"), Error);
  EXPECT_THROW(parse_report(R"({"flipped":"yes"})"), Error);
  // A flip that says it was done must name its certificate.
  EXPECT_THROW(parse_report(R"({"flipped":true,"primary":"old","epoch":1,"pause_ms":1.0,)"
                            R"("obstacles":[],"certificate":null})"),
               Error);
}

}  // namespace
}  // namespace switchback
