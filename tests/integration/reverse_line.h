// PostgreSQL as primary, a real slot, the pump and a real SQLite database behind it: what is
// written to PostgreSQL in any way must be in SQLite at the end. Rows of both sides are compared as
// text, by SQL that shares nothing with the program. One thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "bridge/pump.h"
#include "replication/connection.h"
#include "state/ports/endpoint.h"
#include "tests/support/postgres_cluster.h"
#include "tests/support/temp_folder.h"

namespace switchback::test {

/// item(id, name, big kept out of line, n), part(id, item, note) which follows item by cascades,
/// place(id, spot unique but deferrable, label unique), node(id, up to itself, deferred).
class ReverseLine {
 public:
  ReverseLine();
  ~ReverseLine();
  ReverseLine(const ReverseLine&) = delete;
  ReverseLine& operator=(const ReverseLine&) = delete;

  /// As an application would, on a session of its own.
  void write(const std::string& statements) { application_->exec(statements); }
  Connection& application() { return *application_; }
  Connection session() const { return Connection::open(conninfo_, "application"); }
  const std::string& conninfo() const { return conninfo_; }
  static PostgresCluster& cluster();

  WriteGate& gate() { return *gate_; }
  Pump& pump() { return *pump_; }
  void start_pump();
  void stop_pump() { pump_.reset(); }

  /// Writes on the SQLite side behind the bridge's back.
  void write_sqlite(const std::string& statements) const;
  /// One value of a query.
  std::string sqlite(const std::string& query) const;
  std::string postgres(const std::string& query) const;
  /// Locks PostgreSQL, waits until all it accepted is in SQLite, and unlocks.
  void drain(std::chrono::seconds patience = std::chrono::seconds(60));
  /// drain(), and then both sides have the same rows and nothing is in quarantine.
  void expect_same(std::chrono::seconds patience = std::chrono::seconds(60));

 private:
  std::filesystem::path file() const { return folder_ / "app.db"; }

  const std::string conninfo_;
  test::TempFolder folder_;
  std::shared_ptr<const Mapping> mapping_;
  std::unique_ptr<Endpoint> postgres_, old_side_;
  std::unique_ptr<WriteGate> gate_;
  std::unique_ptr<Connection> application_;
  std::unique_ptr<Pump> pump_;
};

}  // namespace switchback::test
