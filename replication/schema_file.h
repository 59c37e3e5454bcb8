// The application's schema.sql: split into statements as psql would, and run statement by statement
// so that what exists already is left alone and each error names its line. Called by `run` and
// `check` (inside a transaction that is rolled back). split_sql() is pure; apply_schema() needs a
// connection of its own thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "replication/connection.h"

namespace switchback {

struct SqlStatement {
  std::string_view text;  // without the semicolon; a view into the input
  int line = 1;           // where its first word stands
};

/// Splits at semicolons outside of quotes, dollar quotes, comments, parentheses and BEGIN ATOMIC
/// bodies. Statements that are empty but for comments are left out. Throws Error(kData) naming the
/// line at an unfinished quote or comment, and at a psql command (a backslash).
/// https://www.postgresql.org/docs/15/sql-syntax-lexical.html
std::vector<SqlStatement> split_sql(std::string_view sql);

/// Runs what is missing. A statement whose object exists is skipped (nothing is ever altered by
/// it). One transaction, or part of the caller's. Returns the statements that did run. Throws
/// Error(kData) with `file`:line.
std::vector<std::string> apply_schema(Connection& connection, std::string_view sql,
                                      const std::string& file);

}  // namespace switchback
