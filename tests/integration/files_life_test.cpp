// The whole life of a bridge whose old store is files: an array of records and a folder of
// documents, load, forward, cutover, reverse, rollback; by the supervisor that `run` runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <thread>

#include "bridge/config.h"
#include "bridge/sidecar.h"
#include "bridge/supervisor.h"
#include "bridge/verify/live.h"
#include "state/base/error.h"
#include "tests/support/postgres_cluster.h"
#include "tests/support/temp_folder.h"

namespace switchback {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kConfig = R"([bridge]
name = "notes"
max_pause = "30s"
[admin]
listen = "off"
[collection.notes]
root = "app"
files = "notes.json"
[collection.talks]
root = "app"
files = "talks/{/id}.json"
records = ""
[collection.events]
root = "app"
files = "events.json"
[table.events]
from = "events"
deletes = "keep"
[table.events.columns]
id = "/id"
what = "/what"
[table.notes]
from = "notes"
[table.notes.columns]
id = "/id"
title = "/title"
[table.talks]
from = "talks"
[table.talks.columns]
id = "/id"
[table.messages]
from = "talks:/messages/*"
order = ["n"]
[table.messages.columns]
id = "$uuid"
talk = "^/id"
n = "$key"
body = "/body"
)";

constexpr const char* kSchema =
    "CREATE TABLE notes(id bigint PRIMARY KEY, title text NOT NULL);"
    "CREATE TABLE events(id bigint PRIMARY KEY, what text);"
    "CREATE TABLE talks(id text PRIMARY KEY);"
    "CREATE TABLE messages(id uuid PRIMARY KEY, talk text NOT NULL REFERENCES talks,"
    "  n integer NOT NULL, body text NOT NULL)";

constexpr const char* kNotes =
    "[\n\t{\"id\": 1, \"title\": \"one\", \"own\": true},\n\t{\"id\": 2, \"title\": \"two\"}\n]\n";

class FilesLife : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(folder_ / "app/talks");
    write("notes.json", kNotes);
    write("events.json", ring(1, 6));
    write("talks/a.json", R"({"id": "a", "messages": [{"body": "x"}, {"body": "y"}]})");
    conninfo_ = test::fresh_database();
    sql(kSchema);
    run();
  }
  void TearDown() override {
    supervisor_.reset();
    std::error_code code;
    for (const auto& entry : fs::recursive_directory_iterator(folder_.path(), code)) {
      fs::permissions(entry.path(), fs::perms::owner_write, fs::perm_options::add, code);
    }
  }

  void run() {
    supervisor_.reset();
    supervisor_.emplace(
        parse_config(kConfig, folder_ / "switchback.toml", [this](const char* name) {
          return std::string_view(name) == "DATABASE_URL" ? conninfo_.c_str() : nullptr;
        }));
    supervisor_->start({});
  }
  void write(const std::string& path, const std::string& bytes) const {
    std::ofstream(folder_ / "app" / path) << bytes;
  }
  /// The events first..last, as a list that holds no more writes them.
  static std::string ring(int first, int last) {
    std::string out;
    for (int i = first; i <= last; ++i) {
      out += (out.empty() ? "[\n " : ",\n ") + ("{\"id\": " + std::to_string(i)) +
             ", \"what\": \"e\"}";
    }
    return out + "\n]\n";
  }
  std::string differences() {
    const VerifyReport report = run_verify(*supervisor_, {}, 0, {}, [](const auto&) {});
    return report.identical() ? "" : report.example();
  }
  std::string read(const std::string& path) const {
    std::ifstream in(folder_ / "app" / path);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string sql(const std::string& statements) const {
    return test::PostgresCluster::shared().sql(conninfo_, statements);
  }
  std::string messages() const {
    return sql("SELECT string_agg(talk || body, ' ' ORDER BY talk, n) FROM messages");
  }
  FlipReport flip(Side to) {
    return supervisor_->flip({.to = to, .max_pause = std::chrono::seconds(30)}, "test");
  }
  Status status() const { return to_status(supervisor_->config(), supervisor_->picture()); }
  static bool eventually(const std::function<bool()>& holds) {
    const Deadline deadline = Deadline::in(std::chrono::seconds(60));
    while (!holds()) {
      if (deadline.passed()) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
  }

  test::TempFolder folder_;
  std::string conninfo_;
  std::optional<Supervisor> supervisor_;
};

TEST_F(FilesLife, LoadForwardCutoverReverseRollback) {
  EXPECT_EQ(sql("SELECT string_agg(title, ' ' ORDER BY id) FROM notes"), "one two");
  EXPECT_EQ(messages(), "ax ay");
  EXPECT_TRUE(fs::exists(folder_ / "switchback.state/backups/before-capture/1/talks/a.json"));

  write("talks/b.json", R"({"id": "b", "messages": [{"body": "z"}]})");
  EXPECT_TRUE(eventually([&] { return messages() == "ax ay bz"; })) << messages();
  fs::remove(folder_ / "app/talks/b.json");

  const FlipReport cutover = flip(Side::kPostgres);
  ASSERT_TRUE(cutover.outcome.flipped);
  EXPECT_EQ(messages(), "ax ay") << "what was written right before the cutover";
  struct stat fenced {};
  ASSERT_EQ(::stat((folder_ / "app/notes.json").c_str(), &fenced), 0);
  EXPECT_EQ(fenced.st_mode & 0222, 0u);

  sql("UPDATE notes SET title = 'TWO' WHERE id = 2; INSERT INTO talks VALUES ('c'); INSERT INTO "
      "messages VALUES (gen_random_uuid(), 'c', 0, 'w')");
  run();  // a restart on the way
  ASSERT_TRUE(flip(Side::kOld).outcome.flipped);
  std::string expected = kNotes;
  expected.replace(expected.find("two"), 3, "TWO");
  EXPECT_EQ(read("notes.json"), expected) << "not a byte but the changed value's";
  EXPECT_THAT(read("talks/c.json"), HasSubstr("\"body\": \"w\""));

  write("notes.json", "[{\"id\": 3, \"title\": \"three\"}]");
  EXPECT_TRUE(
      eventually([&] { return sql("SELECT string_agg(title, ' ') FROM notes") == "three"; }));
  EXPECT_ANY_THROW(sql("DELETE FROM notes"));
}

TEST_F(FilesLife, Trap18ARingThatDropsItsOldEntries) {
  const auto events = [&] {
    return sql("SELECT string_agg(id || what, ' ' ORDER BY id) FROM events");
  };
  EXPECT_EQ(events(), "1e 2e 3e 4e 5e 6e");
  write("events.json", ring(6, 8));  // most of it at once, and yet not held
  EXPECT_TRUE(eventually([&] { return events() == "1e 2e 3e 4e 5e 6e 7e 8e"; })) << events();
  EXPECT_EQ(differences(), "");

  ASSERT_TRUE(flip(Side::kPostgres).outcome.flipped);
  sql("UPDATE events SET what = 'seen' WHERE id = 2; DELETE FROM events WHERE id IN (3, 7); "
      "INSERT INTO events VALUES (9, 'new')");
  ASSERT_TRUE(flip(Side::kOld).outcome.flipped);
  EXPECT_EQ(differences(), "");
  EXPECT_EQ(read("events.json"),
            "[\n {\"id\": 6, \"what\": \"e\"},\n {\"id\": 8, \"what\": \"e\"},\n {\n  \"id\": 2,\n"
            "  \"what\": \"seen\"\n },\n {\n  \"id\": 9,\n  \"what\": \"new\"\n }\n]\n")
      << "what was written there is in the file again";

  write("events.json", ring(8, 9));
  EXPECT_TRUE(eventually([&] { return events() == "1e 2seen 4e 5e 6e 8e 9e"; })) << events();
  EXPECT_EQ(differences(), "");
}

TEST_F(FilesLife, AFileThatStaysUnreadableIsShownAndRefusesAFlip) {
  write("notes.json", "[{\"id\": 1, \"title\": \"on");
  ASSERT_TRUE(eventually([&] { return !status().unread.empty(); }));
  EXPECT_THAT(status().unread.front().what, HasSubstr("app/notes.json"));
  EXPECT_THAT(to_text(status()), HasSubstr("a flip waits for it"));
  const FlipOutcome outcome = flip(Side::kPostgres).outcome;
  ASSERT_FALSE(outcome.flipped);
  EXPECT_THAT(outcome.obstacles.front().what, HasSubstr("notes.json cannot be carried over"));
  EXPECT_EQ(sql("SELECT count(*) FROM notes"), "2");
  write("notes.json", kNotes);
  EXPECT_TRUE(eventually([&] { return status().unread.empty(); }));
  EXPECT_TRUE(flip(Side::kPostgres).outcome.flipped);
}

TEST_F(FilesLife, AStateDirectoryThatIsLostWhilePostgresIsPrimaryIsNotBegunAnew) {
  ASSERT_TRUE(flip(Side::kPostgres).outcome.flipped);
  supervisor_.reset();
  fs::rename(folder_ / "switchback.state", folder_ / "lost");
  EXPECT_THROW(
      try { run(); } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("this state directory knows nothing of it"));
        throw;
      },
      Error);
}

}  // namespace
}  // namespace switchback
