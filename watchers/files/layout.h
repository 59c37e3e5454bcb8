// Divides the bytes of a file into records, and says so when they cannot be a whole file: half
// written, emptied, not JSON. Only the frame around the records is looked at closely here; a record
// is parsed (document.h) when its hash is not the one it had before, so a scan of a large file
// costs little more than reading it. Pure; views point into the bytes given.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "state/base/hash128.h"
#include "state/model/document_map.h"
#include "watchers/files/document.h"

namespace switchback {

struct RecordSpan {
  std::size_t begin = 0, end = 0;            // the record's own bytes in the file
  std::size_t name_begin = 0, name_end = 0;  // its name in a map, with quotes; equal: none
};

struct FileRecords {
  enum class Frame : std::uint8_t {
    kArray,
    kMap,
    kWhole,
    kLines,
    kOpaque,
    kMissing,  // the file is there and whole, but holds nothing at the records' path
  };
  Frame frame = Frame::kMissing;
  std::vector<RecordSpan> records;
  /// kArray, kMap: of the brackets, the first byte and the one behind the last.
  std::size_t begin = 0, end = 0;
  /// kLines: what follows the last line end, which may be a line in the making; empty if none.
  bool unfinished_line = false;

  std::string_view bytes(std::string_view file, std::size_t i) const {
    return file.substr(records[i].begin, records[i].end - records[i].begin);
  }
  /// The i-th record's name in a map, unescaped; empty otherwise.
  std::string name(std::string_view file, std::size_t i) const;
  /// Where the i-th record begins: in a map with its name.
  std::size_t begin_of(std::size_t i) const {
    const RecordSpan& span = records[i];
    return span.name_begin == span.name_end ? span.begin : span.name_begin;
  }
  /// Hash of a record as it stands, in a map with its name: many a record has the value of another.
  Hash128 hash(std::string_view file, std::size_t i) const {
    return hash_of(file.substr(begin_of(i), records[i].end - begin_of(i)));
  }
};

/// Throws Error(kData, retry later) with file, line, column and pointer, if the bytes are no whole
/// file of this layout: an empty file too. `where` is the file's path, for messages. Not all of a
/// record's inside is judged here: parse_record() does that.
FileRecords divide(std::string_view file, const RecordsLayout& layout, std::string_view where);

/// Parses the i-th record for the lens, with the places it has in the file. Throws as divide().
Document parse_record(std::string_view file, const FileRecords& records, std::size_t i,
                      const RecordsLayout& layout, std::string_view where);

}  // namespace switchback
