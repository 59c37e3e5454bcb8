#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "state/base/durable_file.h"
#include "state/base/error.h"
#include "state/base/json_text.h"
#include "state/base/sha256.h"
#include "state/ledger/audit.h"
#include "state/ledger/audit_check.h"
#include "state/ledger/run_dir.h"
#include "state/ledger/state_dir.h"
#include "tests/support/temp_folder.h"

namespace switchback {
namespace {

using ::testing::HasSubstr;

class Umask {
 public:
  explicit Umask(mode_t mask) : before_(::umask(mask)) {}
  ~Umask() { ::umask(before_); }
  Umask(const Umask&) = delete;
  Umask& operator=(const Umask&) = delete;

 private:
  mode_t before_;
};

class Ledger : public ::testing::Test {
 protected:
  static mode_t mode(const std::filesystem::path& path) {
    struct stat info {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 07777;
  }

  test::TempFolder folder_;
};

std::string message_of(const std::function<void()>& call, ErrorKind kind) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(to_string(error.kind()), to_string(kind)) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return {};
}

TEST(JsonText, NestsAndEscapes) {
  JsonWriter json;
  json.begin_object()
      .member("a\"b", "x\n\\\x01")
      .key("list")
      .begin_array()
      .value(1)
      .value(-2.5)
      .value(true)
      .null()
      .begin_object()
      .end_object()
      .end_array()
      .member("nan", std::nan(""))
      .end_object();
  EXPECT_EQ(json.take(), R"({"a\"b":"x\u000a\\\u0001","list":[1,-2.5,true,null,{}],"nan":null})");
}

TEST_F(Ledger, StateDirIsPrivateAndKeepsItsToken) {
  const auto path = folder_ / "deep" / "state";
  const StateDir state = StateDir::open(path);
  EXPECT_EQ(mode(path), 0700u);
  const std::string token = state.token();
  EXPECT_EQ(token.size(), 64u);
  EXPECT_EQ(mode(path / "token"), 0600u);
  EXPECT_EQ(StateDir::open(path).token(), token);
  EXPECT_EQ(StateDir::read_token(path), token);
  EXPECT_EQ(StateDir::read_token(folder_), "");
  state.probe();
  EXPECT_FALSE(std::filesystem::exists(path / "probe"));
}

TEST_F(Ledger, StateDirOpenToOthersIsRefusedWithTheCommand) {
  const auto path = folder_ / "state";
  make_folder(path, 0755);
  EXPECT_THAT(message_of([&] { StateDir::open(path); }, ErrorKind::kUsage),
              HasSubstr("chmod 700 '" + path.string() + "'"));
  EXPECT_EQ(mode(path), 0755u);
}

TEST_F(Ledger, AFolderIsMadeWithItsModeWhateverTheUmask) {
  {
    const Umask umask(077);
    make_folder(folder_ / "run", 0755);
    make_folder(folder_ / "new" / "ends with a slash" / "", 0755);
    make_folder(folder_ / "run", 0700);
  }
  {
    const Umask umask(0);
    make_folder(folder_ / "state", 0700);
  }
  EXPECT_EQ(mode(folder_ / "run"), 0755u) << "it was there, and keeps its own";
  EXPECT_EQ(mode(folder_ / "new" / "ends with a slash"), 0755u);
  EXPECT_EQ(mode(folder_ / "new"), 0700u);
  EXPECT_EQ(mode(folder_ / "state"), 0700u);
  const std::filesystem::path folder = folder_;
  std::ofstream(folder / "file") << "x";
  EXPECT_THAT(message_of([&] { make_folder(folder / "file", 0700); }, ErrorKind::kDisk),
              HasSubstr("File exists"));
  EXPECT_THAT(message_of([&] { make_folder(folder / "file" / "state", 0700); }, ErrorKind::kDisk),
              HasSubstr("Not a directory"));
  make_folder("/", 0700);
  message_of([] { make_folder("", 0700); }, ErrorKind::kDisk);
}

TEST_F(Ledger, SecondSidecarIsRefusedByName) {
  StateDir first = StateDir::open(folder_);
  EXPECT_EQ(StateDir::holder(folder_), std::nullopt);
  first.lock();
  EXPECT_EQ(StateDir::holder(folder_), ::getpid());
  StateDir second = StateDir::open(folder_);
  EXPECT_THAT(message_of([&] { second.lock(); }, ErrorKind::kRefused),
              HasSubstr("process " + std::to_string(::getpid())));
  { const StateDir gone = std::move(first); }
  EXPECT_EQ(StateDir::holder(folder_), std::nullopt);
  second.lock();
}

TEST_F(Ledger, ProbeNoticesAVanishedAndAReplacedDirectory) {
  const auto path = folder_ / "state";
  StateDir state = StateDir::open(path);
  state.lock();
  state.probe();
  std::filesystem::rename(path, folder_ / "elsewhere");
  EXPECT_THAT(message_of([&] { state.probe(); }, ErrorKind::kDisk), HasSubstr("is gone"));
  StateDir other = StateDir::open(path);
  other.lock();
  EXPECT_THAT(message_of([&] { state.probe(); }, ErrorKind::kDisk), HasSubstr("was replaced"));
}

TEST_F(Ledger, PrimaryIsOneLineForEverybody) {
  RunDir run = RunDir::open(folder_ / "run");
  run.tell({7, false, {{"all", Side::kOld}}});
  EXPECT_EQ(read_file(run.primary_file()),
            "{\"epoch\":7,\"state\":\"settled\",\"groups\":{\"all\":\"old\"}}\n");
  EXPECT_EQ(mode(run.primary_file()), 0644u);
  EXPECT_EQ(mode(folder_ / "run"), 0755u);
  run.tell({8, true, {{"a", Side::kPostgres}, {"b", Side::kOld}}});
  EXPECT_EQ(read_file(run.primary_file()),
            "{\"epoch\":8,\"state\":\"closing\",\"groups\":{\"a\":\"postgres\",\"b\":\"old\"}}\n");
}

TEST_F(Ledger, PrimaryIsLeftAloneWhenItSaysSoAlready) {
  RunDir run = RunDir::open(folder_);
  const PrimaryHint hint{1, false, {{"all", Side::kOld}}};
  run.tell(hint);
  struct stat first {
  }, second{};
  ASSERT_EQ(::stat(run.primary_file().c_str(), &first), 0);
  run.tell(hint);
  ASSERT_EQ(::stat(run.primary_file().c_str(), &second), 0);
  EXPECT_EQ(first.st_ino, second.st_ino);
  std::filesystem::remove_all(folder_);
  run.tell(hint);
  EXPECT_EQ(read_file(run.primary_file()), to_line(hint));
}

TEST_F(Ledger, AuditLinesAreChained) {
  const auto clock = [] {
    return std::chrono::system_clock::time_point(std::chrono::milliseconds(1'700'000'000'042));
  };
  AuditLog::open(folder_, clock).append({"install", "sidecar", ""});
  AuditLog::open(folder_, clock).append({"cutover", "root", R"({"epoch":2})"});
  const std::string first =
      R"({"seq":1,"at":"2023-11-14T22:13:20.042Z","event":"install","by":"sidecar","detail":null,"prev":""})";
  const std::string second =
      R"({"seq":2,"at":"2023-11-14T22:13:20.042Z","event":"cutover","by":"root","detail":{"epoch":2},"prev":")" +
      sha256_of(first) + "\"}";
  EXPECT_EQ(read_file(folder_ / "audit.jsonl"), first + "\n" + second + "\n");
  EXPECT_EQ(mode(folder_ / "audit.jsonl"), 0600u);
}

TEST_F(Ledger, AuditCutsOffWhatACrashLeftUnfinished) {
  AuditLog::open(folder_).append({"install", "sidecar", ""});
  const std::string whole = read_file(folder_ / "audit.jsonl");
  std::ofstream(folder_ / "audit.jsonl", std::ios::app) << "{\"seq\":2,\"at\":\"20";
  AuditLog log = AuditLog::open(folder_);
  EXPECT_EQ(read_file(folder_ / "audit.jsonl"), whole);
  log.append({"abandon", "root", ""});
  const std::string all = read_file(folder_ / "audit.jsonl");
  EXPECT_THAT(all.substr(whole.size()), ::testing::StartsWith("{\"seq\":2,"));
  EXPECT_THAT(all, HasSubstr(sha256_of(whole.substr(0, whole.size() - 1))));
}

class Audit : public Ledger {
 protected:
  void SetUp() override {
    Ledger::SetUp();
    AuditLog log = AuditLog::open(folder_);
    for (int i = 1; i <= 5; ++i) log.append({"event " + std::to_string(i), "root", ""});
    lines_ = check_audit(folder_).lines;
  }
  std::vector<std::string> faults_of(const std::vector<std::string>& lines) {
    std::string text;
    for (const auto& line : lines) text += line + "\n";
    replace_file(folder_ / "audit.jsonl", text, 0600);
    return check_audit(folder_).faults;
  }
  std::vector<std::string> lines_;
};

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST_F(Audit, WhatWasWrittenIsWhole) {
  EXPECT_EQ(lines_.size(), 5u);
  EXPECT_THAT(faults_of(lines_), IsEmpty());
}

TEST_F(Audit, EveryChangedEntryIsNamed) {
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    auto changed = lines_;
    changed[i].replace(changed[i].find("root"), 4, "toor");
    const std::string name = "entry " + std::to_string(i + 1);
    EXPECT_THAT(faults_of(changed), ElementsAre(HasSubstr(name))) << i;
    changed[i] = "no entry";
    EXPECT_THAT(faults_of(changed), ::testing::Contains(HasSubstr(std::to_string(i + 1)))) << i;
  }
}

TEST_F(Audit, EveryRemovedEntryIsNamed) {
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    auto shorter = lines_;
    shorter.erase(shorter.begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_THAT(faults_of(shorter),
                ElementsAre(HasSubstr("entry " + std::to_string(i + 1) + " was removed")))
        << i;
  }
  EXPECT_THAT(faults_of({lines_[0], lines_[4]}), ElementsAre("entries 2 to 4 were removed"));
  EXPECT_THAT(faults_of({}), ElementsAre("entries 1 to 5 were removed from the end"));
}

TEST_F(Audit, WhatWasCutOffOrChangedIsNamedWhateverComesAfterIt) {
  const auto go_on_after = [&](std::string text) {
    const std::string whole = read_file(folder_ / "audit.jsonl");
    const std::string head = read_file(folder_ / "audit.head");
    replace_file(folder_ / "audit.jsonl", text, 0600);
    AuditLog::open(folder_).append({"event 6", "root", ""});
    AuditLog::open(folder_).append({"event 7", "root", ""});
    auto faults = check_audit(folder_).faults;
    replace_file(folder_ / "audit.jsonl", whole, 0600);
    replace_file(folder_ / "audit.head", head, 0600);
    return faults;
  };
  EXPECT_THAT(go_on_after(lines_[0] + "\n" + lines_[1] + "\n"),
              ElementsAre("entries 3 to 5 were removed"));
  EXPECT_THAT(go_on_after(""), ElementsAre("entries 1 to 5 were removed"));
  std::string changed = read_file(folder_ / "audit.jsonl");
  changed.replace(changed.rfind("root"), 4, "toor");
  EXPECT_THAT(go_on_after(changed), ElementsAre("entry 5 was changed"));
}

TEST_F(Audit, ReorderedAndForgedEntriesAreNamed) {
  auto swapped = lines_;
  std::swap(swapped[1], swapped[2]);
  EXPECT_THAT(faults_of(swapped), ::testing::Contains(HasSubstr("entry 2 is out of its order")));
  auto longer = lines_;
  longer.push_back(R"({"seq":6,"event":"forged","prev":"00"})");
  EXPECT_THAT(faults_of(longer), ::testing::Not(IsEmpty()));
  std::filesystem::remove(folder_ / "audit.head");
  EXPECT_THAT(faults_of(lines_), ElementsAre(HasSubstr("audit.head is gone")));
}

TEST_F(Audit, ACertificateIsAsTheLogSaysOfIt) {
  const auto certificates = folder_ / kCertificates;
  std::filesystem::create_directory(certificates);
  const auto write = [&](const std::string& text) {
    replace_file(certificates / "2-cutover.json", text, 0600);
    return text;
  };
  const auto vouch = [&](const std::string& text) {
    AuditLog::open(folder_).append(
        {std::string(kCertificateEvent), "root",
         R"({"path":"/moved/since/2-cutover.json","hash":")" + sha256_of(text) + "\"}"});
  };
  vouch(write("one"));
  EXPECT_THAT(check_audit(folder_).faults, IsEmpty());
  write("another");
  EXPECT_THAT(check_audit(folder_).faults,
              ElementsAre(HasSubstr("2-cutover.json was changed since entry 6")));
  vouch("another");
  EXPECT_THAT(check_audit(folder_).faults, IsEmpty()) << "a bridge that began anew";
  std::filesystem::remove(certificates / "2-cutover.json");
  EXPECT_THAT(check_audit(folder_).faults, ElementsAre(HasSubstr("2-cutover.json is gone")));
}

TEST_F(Audit, ACrashWhileAppendingIsNoForgery) {
  const std::string head = read_file(folder_ / "audit.head");
  std::ofstream(folder_ / "audit.jsonl", std::ios::app) << "{\"seq\":6,\"at\":\"20";
  EXPECT_THAT(check_audit(folder_).faults, IsEmpty());
  EXPECT_TRUE(check_audit(folder_).unfinished);
  // Between the line and the note of it.
  AuditLog::open(folder_).append({"event 6", "root", ""});
  replace_file(folder_ / "audit.head", head, 0600);
  EXPECT_THAT(check_audit(folder_).faults, IsEmpty());
  AuditLog::open(folder_).append({"event 7", "root", ""});
  EXPECT_THAT(check_audit(folder_).faults, IsEmpty());
  EXPECT_EQ(check_audit(folder_).lines.size(), 7u);
}

}  // namespace
}  // namespace switchback
