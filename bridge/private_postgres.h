// A PostgreSQL of the bridge's own, started from the installed binaries: for `demo` and for
// [postgres] private = true. It listens on a Unix socket only. As root it runs as the user
// "postgres", since PostgreSQL refuses root. One thread.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace switchback {

class PrivatePostgres {
 public:
  /// `folder` holds data, socket and log; made if missing.
  explicit PrivatePostgres(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// Creates the cluster if there is none, and starts the server if it does not run. Throws
  /// Error(kUnreachable) with the end of the server's log.
  void start();
  /// Ends sessions and stops the server. It runs on until somebody does.
  void stop() noexcept;
  /// A URL for libpq, psycopg2 and psql alike.
  std::string url(const std::string& database = "postgres") const;

 private:
  void run(const std::vector<std::string>& command) const;
  std::filesystem::path tool(const char* name) const;

  std::filesystem::path folder_;
};

}  // namespace switchback
