// The triggers that make a SQLite side refuse the application's writes: one per mapped table of the
// group and kind of write, before the row is touched. Their text names where writes go now, so the
// text that must be there follows from mapping, group and epoch alone, and a fence that somebody
// changed is noticed. The bridge's own connections run with triggers off and pass. The gate makes
// and drops them inside its transactions; install and remove use the same statements.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <string>
#include <vector>

#include "state/model/phase.h"
#include "state/model/table_map.h"

namespace switchback {

/// A trigger as it must stand in sqlite_schema.
struct FenceTrigger {
  std::string name;
  std::string table;   // the application's table
  std::string create;  // CREATE TRIGGER …, exactly as SQLite keeps it
};

/// The fence of one group of one store at `epoch`, in table order.
std::vector<FenceTrigger> fence_triggers(const Mapping& mapping, const std::string& store,
                                         const std::string& group, Epoch epoch);

/// Creates the fence, in place of any fence of the group that is there. Inside the caller's
/// transaction; throws SQLite::Exception.
void raise_fence(SQLite::Database& database, const std::vector<FenceTrigger>& fence);

/// DROP TRIGGER IF EXISTS for each of them: also part of the removal script.
std::vector<std::string> drop_fence_statements(const std::vector<FenceTrigger>& fence);
void drop_fence(SQLite::Database& database, const std::vector<FenceTrigger>& fence);

enum class FenceSeen {
  kAbsent,  // none of the triggers is there
  kIntact,  // all are there, with exactly this text
  kTorn,    // some are missing, or say something else
};
FenceSeen look_at_fence(SQLite::Database& database, const std::vector<FenceTrigger>& fence);

}  // namespace switchback
