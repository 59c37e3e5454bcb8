// The LLM Council's own configuration over its own sample, without a sidecar between: what the
// mapping makes of the files, and what becomes of the files when PostgreSQL changes, is judged by
// the system's checker, whose expectations were written by hand.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>

#include "bridge/child_process.h"
#include "bridge/config.h"
#include "bridge/demo_system.h"
#include "bridge/mapping_builder.h"
#include "replication/catalog.h"
#include "replication/connection.h"
#include "replication/install.h"
#include "replication/reader.h"
#include "replication/schema_file.h"
#include "replication/sink.h"
#include "state/base/durable_file.h"
#include "tests/support/postgres_cluster.h"
#include "watchers/files/ledger.h"
#include "watchers/files/reader.h"
#include "watchers/files/scan.h"
#include "watchers/files/sink.h"

namespace switchback {
namespace {

using test::PostgresCluster;

class ExampleFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    const DemoSystem system = load_demo_system("llmcouncil");
    programs_ = system.folder;
    std::string pattern =
        (std::filesystem::temp_directory_path() / "switchback-example-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    for (const auto& path : system.bridge_files()) {
      std::filesystem::copy_file(path, folder_ / path.filename());
    }
    run("make_sample.py", {"--out", data().string(), "--rows", "120", "--seed", "3"});
    connect();
    map();
    load();
  }
  void TearDown() override {
    std::error_code ignored;
    if (!HasFailure()) std::filesystem::remove_all(folder_, ignored);
  }

  std::filesystem::path data() const { return folder_ / "data"; }
  std::filesystem::path ledger() const { return folder_ / "files.ledger"; }

  /// One of the system's programs; what it printed.
  std::string run(const std::string& name, std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"/usr/bin/python3", (programs_ / name).string()});
    const auto log = folder_ / (name + ".log");
    ChildProcess child(arguments, {.log = log});
    const int status = child.wait();
    const std::string said = read_file(log);
    std::filesystem::remove(log);
    EXPECT_EQ(status, 0) << said;
    return said;
  }
  void check() {
    run("checker.py", {"--old", data().string(), "--postgres", uri_});
    EXPECT_TRUE(rejects_.empty()) << rejects_.front().key << ": " << rejects_.front().reason;
  }

  void connect() {
    auto& cluster = PostgresCluster::shared();
    conninfo_ = cluster.fresh_database();
    connection_.emplace(Connection::open(conninfo_, "test"));
    connection_->exec("SET search_path = public");
    uri_ = conninfo_;
    apply_schema(*connection_, read_file(folder_ / "schema.sql"), "schema.sql");
    // As switchback.toml says: orphans = "leave".
    for (const char* table : {"conversations", "subscriptions"}) {
      connection_->exec(fmt::format("ALTER TABLE {0} DROP CONSTRAINT {0}_user_id_fkey", table));
    }
  }
  void map() {
    const Config config = load_config(folder_ / "switchback.toml",
                                      [](const char*) -> const char* { return nullptr; });
    BuiltMapping built = build_mapping(config, {}, read_catalog(*connection_));
    mapping_ = std::make_shared<Mapping>(std::move(built.mapping));
    documents_ = std::make_shared<DocumentMap>(std::move(built.documents));
    install_postgres(*connection_, *mapping_, documents_->store);
  }
  /// Every row of the files to PostgreSQL.
  void load() {
    const auto opened = FilesLedger::open(ledger(), true);
    FileScan scan(mapping_, documents_, *opened);
    scan.run(Look::kContents, nullptr);
    LedgerWrite write(*opened);
    opened->begin_log();
    write.make_durable();
    const auto reader = open_files_reader(mapping_, documents_, ledger());
    const auto sink = open_postgres_sink(conninfo_, mapping_, documents_->store);
    sink->applied();
    carry(*reader, *sink, {1, 1, 1});
  }
  void carry(RowReader& reader, ChangeSink& sink, const Position& position) {
    rejects_.clear();
    for (const TableMap& table : mapping_->tables) {
      ScanCursor cursor;
      while (!cursor.done) {
        Chunk chunk;
        reader.scan(table.id, cursor, chunk);
        keys_[table.id].push_back(chunk);
        sink.apply(chunk, rejects_);
      }
    }
    finish(sink, position);
  }
  void finish(ChangeSink& sink, const Position& position) {
    Chunk last;
    last.boundary = position;
    sink.apply(last, rejects_);
    sink.commit(position, rejects_);
  }
  /// Statements of an application, and then everything PostgreSQL has to the files.
  void change(const std::string& statements) {
    connection_->exec("BEGIN");
    connection_->exec("SET LOCAL switchback.applying = 'on'");
    for (const SqlStatement& statement : split_sql(statements)) {
      connection_->exec(std::string(statement.text));
    }
    connection_->exec("COMMIT");
    const auto reader = open_postgres_reader(conninfo_, mapping_);
    const auto sink = open_files_sink(mapping_, documents_, ledger());
    sink->applied();
    for (const auto& [table, chunks] : std::exchange(keys_, {})) {
      for (const Chunk& keys : chunks) {
        Chunk now;
        reader->fetch(table, keys, now);
        sink->apply(now, rejects_);
      }
    }
    carry(*reader, *sink, {2, ++round_, 0});
  }

  std::map<std::string, std::string> files() const {
    std::map<std::string, std::string> out;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(data())) {
      if (entry.is_regular_file()) {
        out[std::filesystem::relative(entry.path(), data()).string()] = read_file(entry.path());
      }
    }
    return out;
  }
  std::set<std::string> changed_since(const std::map<std::string, std::string>& before) const {
    std::set<std::string> out;
    const auto now = files();
    for (const auto& [path, bytes] : now) {
      const auto at = before.find(path);
      if (at == before.end() || at->second != bytes) out.insert(path);
    }
    for (const auto& [path, bytes] : before) {
      if (!now.contains(path)) out.insert(path);
    }
    return out;
  }
  std::string one(const std::string& sql) { return connection_->exec(sql).string(0, 0); }

  std::filesystem::path programs_, folder_;
  std::string conninfo_, uri_;
  std::optional<Connection> connection_;
  std::shared_ptr<Mapping> mapping_;
  std::shared_ptr<DocumentMap> documents_;
  std::map<TableId, std::vector<Chunk>> keys_;
  std::vector<Reject> rejects_;
  std::uint64_t round_ = 0;
};

TEST_F(ExampleFiles, TheSampleBecomesWhatTheCheckerExpects) {
  check();
  EXPECT_EQ(one("SELECT count(*) FROM conversations"), "120");
}

TEST_F(ExampleFiles, NothingThatChangesChangesNoByte) {
  const auto before = files();
  change("SELECT 1");
  EXPECT_EQ(changed_since(before), std::set<std::string>());
  check();
}

TEST_F(ExampleFiles, EveryKindOfChangeArrivesAndOnlyItsFilesChange) {
  const auto before = files();
  const std::string talk =
      one("SELECT conversation_id FROM messages GROUP BY 1 HAVING count(*) > 2 ORDER BY 1 LIMIT 1");
  const std::string user = one("SELECT min(user_id) FROM users");
  const std::string flat = one("SELECT min(user_id) FROM users WHERE email IS NULL");
  const std::string gone = one("SELECT max(id::text) FROM conversations");
  const std::string born = "0b8f3c1e-4d2a-4c3b-8a6f-0123456789ab";
  change(fmt::format(
      "UPDATE conversations SET title = 'Café', starred = NOT starred, is_visible = false, "
      "expires_at = '2025-06-07 08:09:10.5' WHERE id = '{0}';"
      "DELETE FROM messages WHERE id = (SELECT id FROM messages WHERE conversation_id = '{0}' "
      "ORDER BY position OFFSET 1 LIMIT 1);"
      "INSERT INTO messages (conversation_id, position, role, stage1, stage2, stage3) VALUES "
      "('{0}', 1000, 'assistant', '[{{\"model\": \"m\", \"response\": \"é\"}}]', '[]', '{{}}');"
      "UPDATE users SET mood = 'well', profile_locked = true WHERE user_id IN ('{1}', '{2}');"
      "UPDATE subscriptions SET stripe_customer_id = 'cus_1', current_period_end = '2026-01-01' "
      "WHERE user_id IN (SELECT user_id FROM subscriptions WHERE tier = 'free' LIMIT 2);"
      "DELETE FROM conversations WHERE id = '{3}';"
      "INSERT INTO conversations (id, user_id, created_at, title) VALUES "
      "('{4}', '{1}', '2025-06-07 08:09:10.12', 'born');"
      "INSERT INTO messages (conversation_id, position, role, content) VALUES "
      "('{4}', 5, 'user', 'first'), ('{4}', 9, 'user', 'second');"
      "INSERT INTO users (user_id, email, mood, created_at) VALUES "
      "('user_new', 'n@mail.example', NULL, '2025-06-07 08:09:10');"
      "INSERT INTO subscriptions (user_id, tier, created_at) VALUES "
      "('user_new', 'free', '2025-06-07 08:09:10')",
      talk, user, flat, gone, born));
  check();
  EXPECT_EQ(changed_since(before).size(), 9u);
  EXPECT_EQ(read_file(data() / "conversations" / (born + ".json")), fmt::format(R"({{
  "id": "{}",
  "user_id": "{}",
  "created_at": "2025-06-07T08:09:10.120000",
  "title": "born",
  "starred": false,
  "messages": [
    {{
      "role": "user",
      "content": "first"
    }},
    {{
      "role": "user",
      "content": "second"
    }}
  ],
  "report_cycle": 0,
  "has_follow_up": false,
  "follow_up_answers": null,
  "is_visible": true,
  "expires_at": null
}})",
                                                                                born, user));
  EXPECT_EQ(read_file(data() / "subscriptions" / "user_new.json"), R"({
  "user_id": "user_new",
  "tier": "free",
  "status": "active",
  "stripe_subscription_id": null,
  "current_period_end": null,
  "created_at": "2025-06-07T08:09:10",
  "updated_at": null
})");
  EXPECT_EQ(read_file(data() / "profiles" / (flat + ".json")).find("\"profile\""),
            std::string::npos);
  const auto now = files();
  change("SELECT 1");
  EXPECT_EQ(changed_since(now), std::set<std::string>());
}

}  // namespace
}  // namespace switchback
