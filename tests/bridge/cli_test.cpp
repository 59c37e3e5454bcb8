#include "bridge/cli.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace switchback {
namespace {

using ::testing::HasSubstr;

class Cli : public ::testing::Test {
 protected:
  int call(std::vector<const char*> words) {
    words.insert(words.begin(), "switchback");
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    const int code = run_cli(static_cast<int>(words.size()), words.data(), commands());
    out_ = ::testing::internal::GetCapturedStdout();
    err_ = ::testing::internal::GetCapturedStderr();
    return code;
  }
  Commands commands() {
    Commands all;
    all.run = [this](const GlobalOptions& global, const RunOptions& options) {
      global_ = global;
      run_ = options;
      return done("run");
    };
    all.status = [this](const GlobalOptions& global, const StatusOptions& options) {
      global_ = global;
      status_ = options;
      return done("status");
    };
    all.flip = [this](const GlobalOptions&, const FlipOptions& options) {
      flip_ = options;
      return done("flip");
    };
    all.check = [this](const GlobalOptions&, const CheckOptions&) { return done("check"); };
    all.quarantine = [this](const GlobalOptions&, const QuarantineOptions& options) {
      quarantine_ = options;
      return done("quarantine");
    };
    all.audit = [this](const GlobalOptions&, const AuditOptions& options) {
      audit_ = options;
      return done("audit");
    };
    all.abandon = [this](const GlobalOptions&, const AbandonOptions& options) {
      abandon_ = options;
      return done("abandon");
    };
    all.demo = [this](const GlobalOptions&, const DemoOptions& options) {
      demo_ = options;
      return done("demo");
    };
    all.failpoints = [this] { return done("failpoints"); };
    return all;
  }
  ExitCode done(const char* name) {
    called_ = name;
    if (error_) throw Error(*error_);
    return ExitCode::kDone;
  }

  GlobalOptions global_;
  RunOptions run_;
  StatusOptions status_;
  FlipOptions flip_;
  QuarantineOptions quarantine_;
  AuditOptions audit_;
  AbandonOptions abandon_;
  DemoOptions demo_;
  std::string called_, out_, err_;
  std::optional<Error> error_;
};

TEST_F(Cli, GlobalOptionsStandAnywhere) {
  EXPECT_EQ(call({"run"}), 0);
  EXPECT_EQ(global_.config, "switchback.toml");
  EXPECT_FALSE(run_.dry_run);
  EXPECT_EQ(call({"-c", "a.toml", "run", "--dry-run"}), 0);
  EXPECT_EQ(global_.config, "a.toml");
  EXPECT_TRUE(run_.dry_run);
  EXPECT_EQ(call({"status", "--json", "--config", "b.toml", "--verbose"}), 0);
  EXPECT_EQ(global_.config, "b.toml");
  EXPECT_TRUE(global_.verbose);
  EXPECT_TRUE(status_.json);
}

TEST_F(Cli, CutoverAndRollbackAreOneCommandWithTwoEnds) {
  EXPECT_EQ(call({"cutover", "--max-pause", "300ms", "--yes"}), 0);
  EXPECT_EQ(flip_.to, Side::kPostgres);
  EXPECT_EQ(flip_.max_pause, std::chrono::milliseconds(300));
  EXPECT_TRUE(flip_.yes);
  EXPECT_EQ(flip_.group, "all");
  EXPECT_EQ(call({"rollback", "--group", "g", "--dry-run", "--json"}), 0);
  EXPECT_EQ(flip_.to, Side::kOld);
  EXPECT_EQ(flip_.group, "g");
  EXPECT_TRUE(flip_.dry_run);
  EXPECT_TRUE(flip_.json);
}

TEST_F(Cli, EveryCommandIsReachedAndHasHelpWithAnExample) {
  for (const char* name : {"run", "status", "cutover", "rollback", "check", "abandon", "demo"}) {
    EXPECT_EQ(call({name}), 0) << err_;
    EXPECT_FALSE(called_.empty());
    called_.clear();
    EXPECT_EQ(call({name, "--help"}), 0);
    EXPECT_THAT(out_, HasSubstr("example:\n  "));
    EXPECT_THAT(out_, HasSubstr("switchback"));
    EXPECT_EQ(called_, "") << "help must not run the command";
  }
  EXPECT_EQ(call({"--version"}), 0);
  EXPECT_THAT(out_, HasSubstr("switchback "));
}

TEST_F(Cli, TheDemoPlaysAnySystemAtItsOwnSizeUnlessToldOtherwise) {
  EXPECT_EQ(call({"demo"}), 0);
  EXPECT_EQ(demo_.system, "twitter");
  EXPECT_EQ(demo_.rows, std::nullopt);
  EXPECT_EQ(demo_.journal_mode, "");
  EXPECT_EQ(call({"demo", "--system", "widgettdc", "--rows", "50"}), 0);
  EXPECT_EQ(demo_.system, "widgettdc");
  EXPECT_EQ(demo_.rows, 50);
}

TEST_F(Cli, BadUsageIsExitCodeTwo) {
  const std::vector<std::vector<const char*>> all = {{},
                                                     {"fly"},
                                                     {"run", "--fast"},
                                                     {"cutover", "--max-pause", "soon"},
                                                     {"cutover", "--max-pause", "2h"},
                                                     {"demo", "--journal-mode", "off"},
                                                     {"status", "extra"}};
  for (const auto& words : all) {
    EXPECT_EQ(call(words), 2);
    EXPECT_EQ(called_, "");
    EXPECT_NE(err_, "");
  }
}

TEST_F(Cli, ErrorsBecomeMessagesAndExitCodes) {
  error_.emplace(ErrorKind::kUnreachable, Retry::kLater, "connection refused",
                 ErrorDetail{.object = "db:5432", .next = "start PostgreSQL"});
  EXPECT_EQ(call({"status", "--json"}), 3);
  EXPECT_EQ(err_, "switchback: db:5432: connection refused. Next: start PostgreSQL\n");
  EXPECT_THAT(out_, HasSubstr(R"({"error":{"kind":"unreachable")"));
  EXPECT_EQ(call({"run"}), 3);
  EXPECT_EQ(out_, "");
}

TEST(ExitCode, ComesFromTheKindOfError) {
  EXPECT_EQ(exit_code(ErrorKind::kUsage), ExitCode::kUsage);
  EXPECT_EQ(exit_code(ErrorKind::kUnreachable), ExitCode::kUnreachable);
  for (const auto kind : {ErrorKind::kRefused, ErrorKind::kBusy, ErrorKind::kData,
                          ErrorKind::kHistory, ErrorKind::kDisk, ErrorKind::kInternal}) {
    EXPECT_EQ(exit_code(kind), ExitCode::kNo);
  }
}

TEST_F(Cli, QuarantineHasAVerb) {
  EXPECT_EQ(call({"quarantine"}), 2);
  EXPECT_EQ(call({"quarantine", "drop", "--table", "t", "--key", R"(["1","x"])", "--yes"}), 0);
  EXPECT_EQ(quarantine_.verb, QuarantineVerb::kDrop);
  EXPECT_EQ(quarantine_.table, "t");
  EXPECT_EQ(quarantine_.key, R"(["1","x"])");
  EXPECT_TRUE(quarantine_.yes);
  EXPECT_EQ(call({"quarantine", "list", "--key", "1"}), 2);
  EXPECT_EQ(call({"quarantine", "retry", "--all", "-c", "x.toml"}), 0);
  EXPECT_TRUE(quarantine_.all);
}

TEST_F(Cli, AuditMayCheck) {
  EXPECT_EQ(call({"audit", "--check"}), 0);
  EXPECT_EQ(called_, "audit");
  EXPECT_TRUE(audit_.check);
}

}  // namespace
}  // namespace switchback
