#include <SQLiteCpp/SQLiteCpp.h>
#include <sqlite3.h>

#include <cstdlib>
#include <filesystem>

#include "tests/conformance/harnesses.h"
#include "tests/support/temp_folder.h"
#include "watchers/sqlite/sqlite_endpoint.h"

namespace switchback {
namespace {

constexpr int kBusyTimeoutMs = 10'000;
constexpr const char* kPut =
    "INSERT INTO parent(id, name) VALUES (?, ?) "
    "ON CONFLICT(id) DO UPDATE SET name = excluded.name";

class SqliteHarness : public Harness {
 public:
  explicit SqliteHarness(bool wal) {
    SQLite::Database database(path().string(), SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE);
    if (wal) database.exec("PRAGMA journal_mode = WAL");
    database.exec(kTestSqliteSchema);
  }

  std::unique_ptr<Endpoint> open() override {
    return open_sqlite({.path = path(), .store = "app", .spool_folder = folder_}, test_mapping());
  }
  bool begins_open() const override { return true; }
  bool put_parent(int id, const std::string& name) override {
    return put_parents(id, id, name, true);
  }
  bool remove_parent(int id) override {
    return write([&](SQLite::Database& database) {
      database.exec("DELETE FROM parent WHERE id = " + std::to_string(id));
    });
  }
  bool put_parents(int first, int last, const std::string& name, bool commit) override {
    return write([&](SQLite::Database& database) {
      SQLite::Transaction transaction(database, SQLite::TransactionBehavior::IMMEDIATE);
      SQLite::Statement put(database, kPut);
      for (int id = first; id <= last; ++id) {
        put.bind(1, id);
        put.bind(2, name);
        put.exec();
        put.reset();
      }
      if (commit) transaction.commit();
    });
  }
  std::map<int, std::string> parents() override {
    SQLite::Database database(path().string(), SQLite::OPEN_READWRITE);
    database.setBusyTimeout(kBusyTimeoutMs);
    SQLite::Statement select(database, "SELECT id, name FROM parent");
    std::map<int, std::string> found;
    while (select.executeStep()) {
      found[select.getColumn(0).getInt()] = select.getColumn(1).getString();
    }
    return found;
  }

 private:
  std::filesystem::path path() const { return folder_ / "app.db"; }

  template <class Work>
  bool write(Work&& work) {
    SQLite::Database database(path().string(), SQLite::OPEN_READWRITE);
    database.setBusyTimeout(kBusyTimeoutMs);
    try {
      work(database);
      return true;
    } catch (const SQLite::Exception& error) {
      // Only the fence's own refusal counts as one; anything else fails the test.
      if (std::string(error.what()).find("switchback:") == std::string::npos) throw;
      return false;
    }
  }

  test::TempFolder folder_;
};

}  // namespace

std::unique_ptr<Harness> make_sqlite_harness(bool wal) {
  return std::make_unique<SqliteHarness>(wal);
}

}  // namespace switchback
