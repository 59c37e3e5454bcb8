// The owner of one libpq connection. All PQ calls of the project stay in replication/. A connection
// belongs to one thread. Every session pins what the bridge relies on (time zone, search path,
// synchronous_commit, row_security, timeouts), whatever the server's, database's or role's
// defaults.
#pragma once

#include <libpq-fe.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "state/base/deadline.h"
#include "state/base/error.h"

namespace switchback {

struct ResultDeleter {
  void operator()(PGresult* result) const noexcept { PQclear(result); }
};

/// A result in text format, read by row and column index.
class Result {
 public:
  explicit Result(PGresult* result) : result_(result) {}
  int rows() const { return PQntuples(result_.get()); }
  bool is_null(int row, int column) const { return PQgetisnull(result_.get(), row, column) != 0; }
  std::string_view text(int row, int column) const {
    return {PQgetvalue(result_.get(), row, column),
            static_cast<std::size_t>(PQgetlength(result_.get(), row, column))};
  }
  std::string string(int row, int column) const { return std::string(text(row, column)); }
  /// Throws Error(kInternal) if the text is no integer.
  std::int64_t integer(int row, int column) const;
  bool boolean(int row, int column) const { return text(row, column) == "t"; }
  PGresult* get() const { return result_.get(); }

 private:
  std::unique_ptr<PGresult, ResultDeleter> result_;
};

enum class ConnectionUse { kSql, kReplication };

class Connection {
 public:
  /// `conninfo` is a URL or key=value string; empty means libpq's own environment variables.
  /// `name` becomes application_name ("switchback twitter sink"). Throws Error(kUnreachable)
  /// without the password in it.
  static Connection open(const std::string& conninfo, const std::string& name,
                         ConnectionUse use = ConnectionUse::kSql);

  /// Runs one or more statements without parameters; returns the last result.
  Result exec(const std::string& sql);
  /// Runs one statement with text parameters; nullopt is NULL.
  Result exec(const std::string& sql, std::span<const std::optional<std::string>> parameters);
  Result exec(const std::string& sql,
              std::initializer_list<std::optional<std::string>> parameters) {
    return exec(sql, std::span(parameters.begin(), parameters.size()));
  }
  PGconn* raw() const { return conn_.get(); }
  int server_version() const { return PQserverVersion(conn_.get()); }
  bool alive() const { return PQstatus(conn_.get()) == CONNECTION_OK; }
  bool in_transaction() const { return PQtransactionStatus(conn_.get()) != PQTRANS_IDLE; }

 private:
  struct Finish {
    void operator()(PGconn* conn) const noexcept { PQfinish(conn); }
  };
  explicit Connection(PGconn* conn) : conn_(conn) {}
  std::unique_ptr<PGconn, Finish> conn_;
};

/// Turns a failed result (or, with nullptr, the connection's state) into an Error whose kind and
/// retry advice come from the SQLSTATE.
/// https://www.postgresql.org/docs/15/errcodes-appendix.html
[[noreturn]] void throw_postgres_error(PGconn* conn, const PGresult* result,
                                       std::string_view doing);

}  // namespace switchback
