// The SQL that applies changes to one table: its text, the columns it takes as arrays, and what the
// server says of the table beyond the mapping. Pure but for read_target().
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "replication/connection.h"
#include "state/model/table_map.h"

namespace switchback {

/// What the SQL of one table needs to know beyond the mapping.
struct Target {
  std::vector<std::string>
      casts;  // by mapped column: "::interval" for types carried as text, or ""
  bool identity_always_key = false;  // such a column takes no UPDATE
};

Target read_target(Connection& connection, const TableMap& table);

/// Which statement a change needs. Changes of one table and one form go into one statement, except
/// for the forms that move keys, which go row by row.
struct Form {
  enum class Kind : std::uint8_t {
    kUpsert,      // insert, or update what is there
    kUpdate,      // some columns were not sent: update what is there
    kMove,        // the key changed; inserts if the old key is not there
    kMoveUpdate,  // the key changed and some columns were not sent
    kDelete,
    kClear,  // every row
  };
  Kind kind = Kind::kUpsert;
  std::vector<bool> sent = {};  // kUpdate and kMoveUpdate: by mapped column

  friend bool operator==(const Form&, const Form&) = default;
};

struct FormStatement {
  std::string sql;
  std::vector<std::uint16_t> old_key;  // indexes of the columns filled from the old key, first
  std::vector<std::uint16_t> row;      // indexes of the columns filled from the row
  bool must_match = false;             // affecting fewer rows than sent is an error
};

/// A delete that would take rows of mapped tables along by ON DELETE CASCADE fails like one that a
/// foreign key refuses (23503): the old store says itself which of its rows are gone, and what
/// PostgreSQL deletes beyond them would be lost in silence.
FormStatement make_statement(const Mapping& mapping, const TableMap& table, const Target& target,
                             const Form& form);

}  // namespace switchback
