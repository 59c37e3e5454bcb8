// The records of one file as the lens wants them: parsed on demand, with what is known of the file.
// Used by the scan to look at what changed, and by whoever reads rows of known records. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "state/model/document_map.h"
#include "watchers/files/document.h"
#include "watchers/files/file_read.h"
#include "watchers/files/layout.h"
#include "watchers/files/lens.h"

namespace switchback {

class RecordInputs {
 public:
  /// Divides the file. Throws Error(kData) with file, line, column and pointer if it is no whole
  /// file of its layout. `file` must outlive the object.
  RecordInputs(const Collection& collection, std::string path, const FileBytes& file);
  RecordInputs(const RecordInputs&) = delete;
  RecordInputs& operator=(const RecordInputs&) = delete;

  std::size_t size() const { return records_.records.size(); }
  const FileRecords& records() const { return records_; }
  std::string_view bytes() const { return file_.bytes; }
  Hash128 hash(std::size_t i) const { return records_.hash(file_.bytes, i); }
  /// Whether records stand in a list, where each has a place.
  bool in_list() const;

  /// Parses the record; the input lives until the next call. Throws Error(kData).
  const RecordInput& at(std::size_t i, std::int64_t place);
  /// The same of a file whose bytes are not at hand any more: `own` has the record's, from its name
  /// in a map on. Messages count lines from there, and say so.
  const RecordInput& at_outside(std::size_t i, std::int64_t place, std::string_view own);

 private:
  const RecordInput& input_of(std::size_t i, std::int64_t place, std::string name);

  const Collection& collection_;
  const std::string path_;
  const FileBytes& file_;
  FileRecords records_;
  FileFacts facts_;
  std::string where_;  // of the document, for messages
  std::optional<Document> document_;
  RecordInput input_;
  std::vector<std::uint32_t> copies_;  // per record, if the collection tells copies apart
};

/// Whether a column of the records' own rows holds their place in a list.
bool holds_places(const Collection& collection);
/// Whether they hold its name in a map instead, by what the column can take.
bool names_records(const Mapping& mapping, const Collection& collection);

}  // namespace switchback
