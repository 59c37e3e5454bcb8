#include "watchers/sqlite/fence.h"

#include <fmt/format.h>

#include <array>

#include "state/base/sql_quote.h"
#include "watchers/sqlite/objects.h"

namespace switchback {
namespace {

constexpr std::array<const char*, 3> kWrites = {"INSERT", "UPDATE", "DELETE"};

FenceTrigger trigger_for(const TableMap& map, const char* write, Epoch epoch) {
  FenceTrigger trigger;
  trigger.name = fmt::format("{}fence_{}_{}", kTriggerPrefix, write, map.old_table);
  trigger.table = map.old_table;
  const std::string message =
      fmt::format("switchback: writes to {} go to \"postgres\" (group {}, epoch {})", map.old_table,
                  map.group, epoch);
  // SQLite keeps the text from the trigger's name on; one blank after TRIGGER makes both equal.
  trigger.create =
      fmt::format("CREATE TRIGGER {} BEFORE {} ON {} BEGIN SELECT RAISE(ABORT, {}); END",
                  quote_identifier(trigger.name), write, quote_identifier(map.old_table),
                  quote_literal(message));
  return trigger;
}

}  // namespace

std::vector<FenceTrigger> fence_triggers(const Mapping& mapping, const std::string& store,
                                         const std::string& group, Epoch epoch) {
  std::vector<FenceTrigger> fence;
  for (const auto& map : mapping.tables) {
    if (map.only == Only::kPostgres || map.store != store || map.group != group) continue;
    for (const char* write : kWrites) fence.push_back(trigger_for(map, write, epoch));
  }
  return fence;
}

void raise_fence(SQLite::Database& database, const std::vector<FenceTrigger>& fence) {
  drop_fence(database, fence);
  for (const auto& trigger : fence) database.exec(trigger.create);
}

std::vector<std::string> drop_fence_statements(const std::vector<FenceTrigger>& fence) {
  std::vector<std::string> statements;
  for (const auto& trigger : fence) {
    statements.push_back("DROP TRIGGER IF EXISTS " + quote_identifier(trigger.name));
  }
  return statements;
}

void drop_fence(SQLite::Database& database, const std::vector<FenceTrigger>& fence) {
  for (const auto& statement : drop_fence_statements(fence)) database.exec(statement);
}

FenceSeen look_at_fence(SQLite::Database& database, const std::vector<FenceTrigger>& fence) {
  SQLite::Statement look(
      database, "SELECT tbl_name, sql FROM sqlite_schema WHERE type = 'trigger' AND name = ?");
  std::size_t present = 0;
  std::size_t intact = 0;
  for (const auto& trigger : fence) {
    look.bind(1, trigger.name);
    if (look.executeStep()) {
      ++present;
      const bool same = look.getColumn(0).getString() == trigger.table &&
                        look.getColumn(1).getString() == trigger.create;
      if (same) ++intact;
    }
    look.reset();
  }
  if (present == 0) return FenceSeen::kAbsent;
  return intact == fence.size() ? FenceSeen::kIntact : FenceSeen::kTorn;
}

}  // namespace switchback
