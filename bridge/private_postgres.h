// A PostgreSQL of the bridge's own, started from the installed binaries: for `demo`, whose server
// ends with it, and for [postgres] private = true, whose server runs on as the application's
// primary may. It listens on a Unix socket only. As root it runs as the user "postgres", since
// PostgreSQL refuses root. One thread.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bridge/child_process.h"

namespace switchback {

class PrivatePostgres {
 public:
  /// `folder` holds data, socket and log; made if missing.
  explicit PrivatePostgres(std::filesystem::path folder) : folder_(std::move(folder)) {}
  /// Ends the sessions of a child and waits for it.
  ~PrivatePostgres();
  PrivatePostgres(const PrivatePostgres&) = delete;
  PrivatePostgres& operator=(const PrivatePostgres&) = delete;

  /// Creates the cluster if there is none, and starts the server if it does not run. It runs on
  /// when we end. Throws Error(kUnreachable) with the end of the server's log.
  void start();
  /// The same with a server that shuts down with this object, or with this thread if we are killed.
  void start_as_child();
  /// A URL for libpq, psycopg2 and psql alike.
  std::string url(const std::string& database = "postgres") const;
  /// What a person types to stop the server. Throws Error(kUsage) if none is installed.
  std::string stop_command() const;

 private:
  void make_cluster() const;
  void run(const std::vector<std::string>& command) const;
  std::filesystem::path tool(const char* name) const;
  std::filesystem::path data() const { return folder_ / "data"; }
  std::filesystem::path log() const { return folder_ / "server.log"; }

  std::filesystem::path folder_;
  std::optional<ChildProcess> server_;
};

}  // namespace switchback
