// Puts records back into the bytes of their file: replaces, removes and inserts whole records and
// touches nothing else. Brackets, commas, indentation and line ends come from what is already
// there. Called by the sink for each file of a batch. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "watchers/files/layout.h"
#include "watchers/files/style.h"

namespace switchback {

struct RecordEdit {
  enum class Sort : std::uint8_t { kReplace, kRemove, kInsert };
  Sort sort = Sort::kReplace;
  /// kReplace, kRemove: which record. kInsert: the one it is to stand before; the number of records
  /// for the end.
  std::size_t index = 0;
  std::string bytes;  // of the record
  std::string name;   // kMap: its name, unescaped
};

/// The file with its records edited. Several inserts at one index keep their order. A file that is
/// empty or not there yet ("") is made in the layout's form. Throws Error(kData) if the layout has
/// no room: a record in a place that holds something else (kMissing under a scalar).
std::string edit_records(std::string_view file, const FileRecords& records,
                         const RecordsLayout& layout, const std::vector<RecordEdit>& edits,
                         const TextStyle& style);

using TextOut = std::function<void(std::string_view)>;
/// The same, given out piece by piece where it stands between brackets.
void edit_records(std::string_view file, const FileRecords& records, const RecordsLayout& layout,
                  const std::vector<RecordEdit>& edits, const TextStyle& style, const TextOut& out);

}  // namespace switchback
