// Rows that wait for a parent, and what each of them would be the parent of: rows that wait for
// each other go in together or never. Rows are known by name, keys by a hash; a row that two share
// costs a try in vain and nothing else. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "state/model/table_map.h"

namespace switchback {

using RowName = std::pair<TableId, std::string>;  // key_text()

class WaitingOrphans {
 public:
  /// The row waits for the keys it `needs`, of which some may be there, and has those it `offers`.
  void wait(const RowName& name, std::vector<std::uint64_t> needs,
            std::vector<std::uint64_t> offers);
  /// It does not wait any longer, if it did.
  void forget(const RowName& name);
  /// Who waits for this key.
  std::vector<RowName> waiting_for(std::uint64_t key) const;
  /// If the row waits for others of which some wait for it: it and all of them. Empty if there are
  /// none, or more than `most` are involved.
  std::set<RowName> circle_of(const RowName& name, std::size_t most) const;

  bool empty() const { return rows_.empty(); }

 private:
  struct Row {
    std::vector<std::uint64_t> needs, offers;
  };
  std::map<RowName, Row> rows_;
  std::unordered_map<std::uint64_t, std::set<RowName>> needed_;
  std::unordered_map<std::uint64_t, std::set<RowName>> offered_;
};

}  // namespace switchback
