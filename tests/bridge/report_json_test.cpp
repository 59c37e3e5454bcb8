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
  const std::string json = report_json(report);
  EXPECT_EQ(json,
            R"({"flipped":true,"primary":"postgres","epoch":7,"pause_ms":12.5,"drain_ms":0,)"
            R"("tries":2,"obstacles":[],"certificate":"/state/certificates/000007-cutover.json"})");
  const FlipAnswer answer = parse_report(json);
  EXPECT_TRUE(answer.flipped);
  EXPECT_EQ(answer.primary, "postgres");
  EXPECT_EQ(answer.epoch, 7U);
  EXPECT_DOUBLE_EQ(answer.pause_ms, 12.5);
  EXPECT_EQ(answer.certificate, report.certificate);
  EXPECT_TRUE(answer.obstacles.empty());
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
