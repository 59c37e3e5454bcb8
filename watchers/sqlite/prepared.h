// A prepared statement whose sqlite3_stmt is within reach: SQLiteCpp hides it, and the codec reads
// and binds values without a std::string for each. Used by one thread; must not outlive its
// database.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>
#include <sqlite3.h>

#include <memory>
#include <string_view>

namespace switchback {

class Prepared {
 public:
  /// Throws SQLite::Exception.
  Prepared(SQLite::Database& database, std::string_view sql);

  sqlite3_stmt* get() const { return statement_.get(); }
  /// True if there is a row. Throws SQLite::Exception; the statement is then reset.
  bool step();
  /// Ends the read this statement holds open.
  void reset() noexcept { sqlite3_reset(statement_.get()); }

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
  };
  sqlite3* handle_;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

/// Resets a statement at the end of a scope, however it is left.
class ResetAtEnd {
 public:
  explicit ResetAtEnd(Prepared& statement) : statement_(statement) {}
  ~ResetAtEnd() { statement_.reset(); }
  ResetAtEnd(const ResetAtEnd&) = delete;
  ResetAtEnd& operator=(const ResetAtEnd&) = delete;

 private:
  Prepared& statement_;
};

}  // namespace switchback
