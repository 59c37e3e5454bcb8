// A throw-away PostgreSQL for tests: made in a temporary folder, reached by a unix socket in it,
// gone at the end, also when the test process is killed. PostgreSQL refuses to run as root, so as
// root it runs as the user `postgres`. The data folder is copied from a template that initdb makes
// once per machine and server version, so a cluster costs a fraction of a second. The server's
// programs come from `pg_config --bindir`, or from SWITCHBACK_TEST_PG_BIN to test against another
// version. Used by one thread.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "state/base/unique_fd.h"

namespace switchback::test {

struct ClusterOptions {
  bool fsync = false;
  /// Copies of the template share its system identifier; true makes one of its own (a second more).
  bool own_identity = false;
  /// Lines of postgresql.conf that outrank the defaults.
  std::vector<std::string> settings = {};
};

enum class StopMode {
  kFast,       // ends sessions, writes a checkpoint
  kImmediate,  // a crash: recovers at the next start
};

class PostgresCluster {
 public:
  /// Makes and starts one. Throws std::runtime_error with the server's own words.
  explicit PostgresCluster(ClusterOptions options = {});
  ~PostgresCluster();
  PostgresCluster(const PostgresCluster&) = delete;
  PostgresCluster& operator=(const PostgresCluster&) = delete;

  /// The one this test executable shares, made at the first call.
  static PostgresCluster& shared();

  /// Returns when it accepts connections.
  void start();
  void stop(StopMode mode);
  void restart(StopMode mode = StopMode::kFast);

  /// For the superuser `postgres`, in libpq's key=value form; to be continued with " key=value".
  std::string conninfo(const std::string& database) const;
  void create_database(const std::string& name);
  /// A new empty database with a name of its own; its conninfo.
  std::string fresh_database();
  /// Runs SQL as the superuser; what the last statement returned, "" for none, columns separated by
  /// '|' and rows by newlines, NULL as "NULL".
  std::string sql(const std::string& conninfo, const std::string& statements) const;

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path data() const { return folder_ / "data"; }
  std::filesystem::path log() const { return folder_ / "log"; }
  const std::filesystem::path& bindir() const { return bindir_; }

 private:
  void make_data();
  void write_settings();
  /// Ends the server and removes the folder once this process has closed its end of a pipe.
  void start_undertaker();
  std::string log_tail() const;

  const ClusterOptions options_;
  std::filesystem::path bindir_;
  std::filesystem::path folder_;
  UniqueFd undertaker_pipe_;
  int undertaker_ = -1;
  int databases_ = 0;
};

/// Shorthand: a fresh database of the shared cluster.
std::string fresh_database();

}  // namespace switchback::test
