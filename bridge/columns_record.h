// What the mapped tables of both sides looked like when the bridge last took them as they are: at
// install, and when `doctor --fix` was done. A table that was altered since stops the pump, with
// the difference written as the ALTER that would cause it: whatever a new mapping makes of it,
// values written in between may be missing on the other side. Kept in the state directory; used by
// whoever starts a pump, one thread at a time.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "bridge/site.h"

namespace switchback {

/// "old users" or "postgres public.users" -> `name type` of each column, in order of text, and the
/// partitions. Of the old side's tables only those that are mapped, or all if the store takes all.
using TablesSeen = std::map<std::string, std::vector<std::string>>;

TablesSeen tables_of(const Site& site);

/// The ALTERs that would make `now` of `before`; empty if none did. A partition that was added is
/// none: rows in it come as its parent's.
std::string difference_of(const TablesSeen& before, const TablesSeen& now);

class ColumnsRecord {
 public:
  explicit ColumnsRecord(std::filesystem::path file) : file_(std::move(file)) {}

  bool empty() const;
  TablesSeen read() const;
  /// Durable when it returns.
  void note(const TablesSeen& now);
  /// Throws Error(kHistory) with the difference. What may differ (a new partition) is noted; so is
  /// all of it where nothing was on record.
  void require_same(const Site& site);

 private:
  std::filesystem::path file_;
};

}  // namespace switchback
