#include "tests/watchers/sqlite/capture_copy.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "state/base/sql_quote.h"
#include "watchers/sqlite/capture.h"
#include "watchers/sqlite/schema.h"

namespace switchback {
namespace {

constexpr int kTable = 7;

TableMap map_of(const std::vector<std::string>& key) {
  TableMap map;
  map.id = TableId{kTable};
  map.old_table = "t";
  for (const std::string& column : key) map.columns.emplace_back().old_name = column;
  map.key_width = static_cast<std::uint16_t>(key.size());
  return map;
}

}  // namespace

CaptureCopy::CaptureCopy(const std::string& schema, std::vector<std::string> key)
    : database_(":memory:", SQLite::OPEN_READWRITE), key_(std::move(key)) {
  exec(schema);
  exec(create_log_sql(2));
  for (const SqliteTable& table : read_schema(database_)) {
    if (table.name != "t") continue;
    for (const SqliteColumn& column : table.columns) {
      const std::string name = quote_identifier(column.name);
      columns_ += fmt::format("{0}{1}, typeof({1})", columns_.empty() ? "" : ", ", name);
    }
    for (const CaptureTrigger& trigger : capture_triggers(map_of(key_), table)) {
      exec(trigger.create);
      EXPECT_EQ(database_
                    .execAndGet("SELECT sql FROM sqlite_schema WHERE name = " +
                                quote_literal(trigger.name))
                    .getString(),
                trigger.create);
    }
  }
  exec("CREATE TABLE copy AS SELECT * FROM t");
}

std::string CaptureCopy::logged() {
  SQLite::Statement query(
      database_,
      fmt::format("SELECT quote(k1){} FROM _switchback_log ORDER BY k1, typeof(k1) = 'real', k2",
                  key_.size() > 1 ? " || ' ' || quote(k2)" : ""));
  std::string out;
  while (query.executeStep()) {
    out += (out.empty() ? "" : ", ") + query.getColumn(0).getString();
  }
  return out;
}

void CaptureCopy::catch_up() {
  const auto matches = [&](const char* table) {
    std::string condition;
    for (std::size_t i = 0; i < key_.size(); ++i) {
      condition +=
          fmt::format("{0}{1}.{2} COLLATE BINARY IS l.k{3} AND typeof({1}.{2}) = typeof(l.k{3})",
                      i == 0 ? "" : " AND ", table, key_[i], i + 1);
    }
    return condition;
  };
  EXPECT_EQ(database_
                .execAndGet(
                    fmt::format("SELECT count(*) FROM _switchback_log WHERE tbl IS NOT {}", kTable))
                .getInt(),
            0);
  EXPECT_EQ(
      database_.execAndGet("SELECT count(*) = coalesce(max(seq), 0) FROM _switchback_log").getInt(),
      1);
  exec("DELETE FROM copy WHERE EXISTS (SELECT 1 FROM _switchback_log AS l WHERE " +
       matches("copy") + ")");
  exec("INSERT INTO copy SELECT * FROM t WHERE EXISTS (SELECT 1 FROM _switchback_log AS l WHERE " +
       matches("t") + ")");
  exec("DELETE FROM _switchback_log");
}

std::string CaptureCopy::rows_only_in(const std::string& one, const std::string& other) {
  SQLite::Statement query(database_, fmt::format("SELECT {0} FROM {1} EXCEPT SELECT {0} FROM {2}",
                                                 columns_, one, other));
  std::string out;
  while (query.executeStep()) {
    out += "only in " + one + ":";
    for (int i = 0; i < query.getColumnCount(); i += 2) {
      out += " | " + query.getColumn(i).getString();
    }
    out += "\n";
  }
  return out;
}

std::string CaptureCopy::difference() {
  std::string out = rows_only_in("t", "copy") + rows_only_in("copy", "t");
  const auto count = [&](const char* table) {
    return database_.execAndGet(fmt::format("SELECT count(*) FROM {}", table)).getInt();
  };
  if (count("t") != count("copy")) {
    out += fmt::format("{} rows, the copy has {}\n", count("t"), count("copy"));
  }
  return out;
}

std::string CaptureCopy::after(const std::string& sql) {
  exec(sql);
  catch_up();
  return difference();
}

}  // namespace switchback
