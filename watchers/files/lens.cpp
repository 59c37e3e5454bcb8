// From a record to rows. The way back is in lens_put.cpp.
#include "watchers/files/lens.h"

#include <algorithm>

#include "watchers/files/elements.h"
#include "watchers/files/lens_plan.h"
#include "watchers/files/row_values.h"

namespace switchback {
namespace {

/// Whether `inner`, `up` levels further in, takes the value that `outer` does.
bool repeats(const ColumnSource& outer, const ColumnSource& inner, std::uint16_t up) {
  return std::any_of(inner.from.begin(), inner.from.end(), [&](const ValueSource& b) {
    return std::any_of(outer.from.begin(), outer.from.end(),
                       [&](const ValueSource& a) { return LensPlan::same_source(a, b, up); });
  });
}

}  // namespace

Lens::Lens(std::shared_ptr<const Mapping> mapping, std::shared_ptr<const DocumentMap> documents,
           std::uint16_t collection)
    : plan_(std::make_shared<const LensPlan>(
          LensPlan::make(std::move(mapping), std::move(documents), collection))) {}

const Collection& Lens::collection() const {
  return plan_->collection();
}

bool Lens::remembers() const {
  return plan_->remembers;
}

Mark Lens::mark(const RecordInput& record) const {
  return record_mark(*plan_, record);
}

RecordRows Lens::get(const RecordInput& record, const RecordMemory* before, Identities& identities,
                     Chunk& rows) const {
  RecordRows out;
  const auto& tables = plan_->collection().tables;
  std::vector<std::string> problems;
  auto elements = find_elements(*plan_, record, problems);
  remember(*plan_, record, before, identities, elements);
  const TableId first = tables.front().table;
  for (auto& problem : problems) out.keyless.push_back({first, std::move(problem)});
  out.memory = memory_of(*plan_, elements);
  if (std::string reason = path_contradiction(record); !reason.empty()) {
    out.keyless.push_back({first, std::move(reason)});
    return out;
  }
  const RowValues values(*plan_, record, elements);
  for (std::uint16_t t = 0; t < tables.size(); ++t) {
    for (std::uint32_t e = 0; e < elements.size(); ++e) {
      if (elements[e].level != tables[t].level || !values.has_row(t, e)) continue;
      std::string why;
      if (!values.append_row(t, e, rows, why)) out.keyless.push_back({tables[t].table, why});
    }
  }
  return out;
}

bool Lens::is_record(TableId table) const {
  return plan_->source(plan_->index_of(table)).level == 0;
}

std::optional<RowKey> Lens::enclosing(TableId table, std::span<const Cell> row) const {
  const TableSource& source = plan_->source(plan_->index_of(table));
  const auto& tables = plan_->collection().tables;
  // Outer levels from the nearest on; at each a table whose whole key this row's columns repeat.
  std::uint16_t level = source.level, up = 0;
  while (level != 0) {
    level = plan_->collection().levels[level].parent;
    ++up;
    for (std::uint16_t t = 0; t < tables.size(); ++t) {
      if (tables[t].level != level) continue;
      RowKey key{tables[t].table, {}};
      for (std::uint16_t k = 0; k < plan_->map(t).key_width; ++k) {
        const auto column = std::find_if(
            source.columns.begin(), source.columns.end(),
            [&](const ColumnSource& there) { return repeats(tables[t].columns[k], there, up); });
        if (column == source.columns.end()) break;
        key.cells.push_back(row[static_cast<std::size_t>(column - source.columns.begin())]);
      }
      if (key.cells.size() == plan_->map(t).key_width) return key;
    }
  }
  return std::nullopt;
}

}  // namespace switchback
