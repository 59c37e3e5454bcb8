// The fence in PostgreSQL: what makes a table refuse every write but the bridge's own. Two triggers
// on each table that holds rows (partitions and inheritance children included): one BEFORE
// STATEMENT for insert, update, delete and truncate, which refuses early, and one AFTER ROW, which
// also meets what has no statement (rows routed from a parent, logical replication's apply). AFTER,
// because any BEFORE ROW trigger for INSERT makes COPY insert row by row. Both have a WHEN clause
// by which the bridge's own transactions pass without a function call, and are ENABLE ALWAYS while
// the gate is closed, DISABLEd while it is open. Used by install and gate. Stateless; a connection
// belongs to one thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "replication/connection.h"
#include "state/model/table_map.h"

namespace switchback {

inline constexpr std::string_view kFenceRow = "switchback_fence_row";
inline constexpr std::string_view kFenceStatement = "switchback_fence_statement";

/// What a bridge's transaction runs first to pass its own fences.
inline constexpr const char* kPassFence = "SET LOCAL switchback.applying = 'on'";

/// A table that holds rows, and its fence as found. tgenabled: 'A' always, 'D' disabled, 'O' and
/// 'R' foreign hands; 0 if the trigger is missing.
struct FencedTable {
  std::string schema, name;
  char row = 0, statement = 0;

  std::string quoted() const;
  bool installed() const { return row != 0 && statement != 0; }
  bool closed() const { return row == 'A' && statement == 'A'; }
  bool open() const { return row == 'D' && statement == 'D'; }
};

/// Ids of the tables of `group` that PostgreSQL has: those of `store`, and those only PostgreSQL
/// has.
std::vector<TableId> fenced_tables(const Mapping& mapping, std::string_view store,
                                   std::string_view group);
/// The groups that fenced_tables() knows for `store`.
std::vector<std::string> groups_of(const Mapping& mapping, std::string_view store);

/// The leaves of `tables`, in the one fixed order in which everything of ours locks them.
std::vector<FencedTable> read_fences(Connection& connection, const Mapping& mapping,
                                     const std::vector<TableId>& tables);

/// CREATE TRIGGER for what is missing, for the session's role; new triggers fire at once, so a
/// following set_fence() belongs to the same transaction.
std::vector<std::string> create_fence(Connection& connection, const FencedTable& table,
                                      std::string_view bridge, std::string_view group);
/// ALTER TABLE … ENABLE ALWAYS (closed) or DISABLE (open) TRIGGER, both in one statement.
std::string set_fence(const FencedTable& table, bool closed);

}  // namespace switchback
