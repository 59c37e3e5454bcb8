#include "bridge/columns_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>

#include "state/base/advice.h"
#include "state/base/durable_file.h"
#include "state/base/error.h"

namespace switchback {
namespace {

constexpr std::string_view kPartition = "PARTITION ";

// The name ends where its quotes or its first word do.
std::size_t name_length(std::string_view column) {
  if (!column.starts_with('"')) return std::min(column.find(' '), column.size());
  std::size_t at = 1;
  while (at < column.size() && (column[at] != '"' || column.substr(at).starts_with("\"\""))) {
    at += column[at] == '"' ? 2 : 1;
  }
  return std::min(at + 1, column.size());
}

std::string_view name_of(std::string_view column) {
  return column.substr(0, name_length(column));
}

std::string_view type_of(std::string_view column) {
  return column.substr(std::min(name_length(column) + 1, column.size()));
}

std::vector<std::string> without(const std::vector<std::string>& these,
                                 const std::vector<std::string>& those) {
  std::vector<std::string> out;
  for (const auto& one : these) {
    if (std::find(those.begin(), those.end(), one) == those.end()) out.push_back(one);
  }
  return out;
}

void take_retyped(std::vector<std::string>& gone, std::vector<std::string>& came,
                  std::vector<std::string>& out) {
  std::erase_if(gone, [&](const std::string& before) {
    const auto now = std::find_if(came.begin(), came.end(), [&](const std::string& column) {
      return name_of(column) == name_of(before);
    });
    if (now == came.end()) return false;
    out.push_back(fmt::format("ALTER COLUMN {} TYPE {}", name_of(*now), type_of(*now)));
    came.erase(now);
    return true;
  });
}

std::vector<std::string> alters_of(const std::vector<std::string>& before,
                                   const std::vector<std::string>& now) {
  std::vector<std::string> out;
  std::vector<std::string> gone = without(before, now);
  std::vector<std::string> came = without(now, before);
  std::erase_if(came, [](const std::string& one) { return one.starts_with(kPartition); });
  std::erase_if(gone, [&](const std::string& one) {
    if (!one.starts_with(kPartition)) return false;
    out.push_back("DETACH " + one);
    return true;
  });
  take_retyped(gone, came, out);
  if (gone.size() == 1 && came.size() == 1 && type_of(gone[0]) == type_of(came[0])) {
    out.push_back(fmt::format("RENAME COLUMN {} TO {}", name_of(gone[0]), name_of(came[0])));
    return out;
  }
  for (const auto& column : gone) out.push_back(fmt::format("DROP COLUMN {}", name_of(column)));
  for (const auto& column : came) out.push_back(fmt::format("ADD COLUMN {}", column));
  return out;
}

bool takes_all(const Config& config) {
  return std::any_of(config.stores.begin(), config.stores.end(),
                     [](const StoreConfig& store) { return store.all_tables; });
}

}  // namespace

TablesSeen tables_of(const Site& site) {
  TablesSeen seen;
  for (auto& [name, columns] : site.old_side->columns()) {
    const bool mapped = site.mapping->find_old(site.store, name).has_value();
    if (!mapped && !takes_all(site.config)) continue;
    // Of a table that stays behind only that it is there.
    seen["old " + name] = mapped ? std::move(columns) : std::vector<std::string>{};
  }
  for (auto& [name, columns] : site.postgres->columns()) {
    seen["postgres " + name] = std::move(columns);
  }
  for (auto& [name, columns] : seen) {
    // The record has a line for each.
    for (std::string& column : columns) std::replace(column.begin(), column.end(), '\n', ' ');
    std::sort(columns.begin(), columns.end());
  }
  return seen;
}

std::string difference_of(const TablesSeen& before, const TablesSeen& now) {
  std::vector<std::string> found;
  const auto add = [&](const std::string& name, const std::string& what, const std::string& rest) {
    const auto blank = name.find(' ');
    found.push_back(fmt::format("{}: {} {}{}", name.substr(0, blank), what, name.substr(blank + 1),
                                rest.empty() ? "" : " " + rest));
  };
  for (const auto& [name, columns] : before) {
    const auto at = now.find(name);
    if (at == now.end()) {
      if (!columns.empty()) add(name, "DROP TABLE", "");
      continue;
    }
    if (columns.empty() || at->second.empty()) continue;
    for (const auto& alter : alters_of(columns, at->second)) add(name, "ALTER TABLE", alter);
  }
  for (const auto& [name, columns] : now) {
    if (!before.contains(name)) add(name, "CREATE TABLE", "");
  }
  return fmt::format("{}", fmt::join(found, "; "));
}

bool ColumnsRecord::empty() const {
  return read_file(file_).empty();
}

TablesSeen ColumnsRecord::read() const {
  TablesSeen seen;
  std::istringstream in(read_file(file_));
  std::string line;
  std::vector<std::string>* columns = nullptr;
  while (std::getline(in, line)) {
    if (line.starts_with("  ")) {
      if (columns != nullptr) columns->push_back(line.substr(2));
    } else {
      columns = &seen[line];
    }
  }
  return seen;
}

void ColumnsRecord::note(const TablesSeen& now) {
  std::string text;
  for (const auto& [name, columns] : now) {
    text += name + "\n";
    for (const auto& column : columns) text += "  " + column + "\n";
  }
  if (read_file(file_) != text) replace_file(file_, text, 0600);
}

void ColumnsRecord::require_same(const Site& site) {
  const TablesSeen now = tables_of(site);
  const TablesSeen before = empty() ? now : read();
  const std::string difference = difference_of(before, now);
  if (difference.empty()) return note(now);
  throw Error(
      ErrorKind::kHistory, Retry::kNever,
      "tables are no longer as the bridge took them; what has happened looks like " + difference,
      {.next = kAfterAlter});
}

}  // namespace switchback
