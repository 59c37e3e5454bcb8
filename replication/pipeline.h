// libpq's pipeline mode for the length of one round trip: statements are sent without waiting, and
// finish() reads all their results. If it is destroyed unfinished (an exception in between), the
// connection stays in pipeline mode and must be thrown away; the sink does. One thread.
// https://www.postgresql.org/docs/15/libpq-pipeline-mode.html
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "replication/connection.h"

namespace switchback {

class ArrayParameters;

/// Why the server refused rows: their own fault, so that others may still pass.
struct RowError {
  std::string sqlstate;
  std::string reason;      // in words, with the constraint's name
  std::string table;       // that the server names, without schema; may be empty
  std::string constraint;  // may be empty
};

/// nullopt if the error is not about rows: a lost connection, a full disk, a lock, a missing right.
std::optional<RowError> row_error(const PGresult* result);

class Pipeline {
 public:
  /// Throws Error if the connection cannot enter the mode.
  explicit Pipeline(Connection& connection);

  /// A statement with text parameters; nullopt is NULL.
  void send(const std::string& sql, std::span<const std::optional<std::string>> parameters = {});
  void send(const std::string& sql, std::initializer_list<std::optional<std::string>> parameters) {
    send(sql, std::span(parameters.begin(), parameters.size()));
  }
  /// A prepared statement with text parameters.
  void send_prepared(const std::string& name,
                     std::initializer_list<std::optional<std::string>> parameters = {});
  /// A prepared statement with binary arrays. If `must_affect` is set and the statement touches
  /// another number of rows, finish() reports it as an error.
  void send_prepared(const std::string& name, const ArrayParameters& arrays,
                     std::optional<std::uint64_t> must_affect = {});

  struct Outcome {
    /// Of the first statement that failed; the later ones did not run.
    std::optional<RowError> error;
    std::string last_tag;  // command tag of the last statement
  };
  /// Waits for all results and leaves pipeline mode. Throws Error if a statement failed for another
  /// reason than its rows.
  Outcome finish();

 private:
  void sent(int ok, std::string doing);
  void take(std::size_t statement, Outcome& outcome);

  Connection& connection_;
  struct Statement {
    std::string doing;
    std::optional<std::uint64_t> must_affect;
  };
  std::vector<Statement> statements_;
  std::optional<Result> fatal_;
  std::size_t fatal_statement_ = 0;
};

}  // namespace switchback
