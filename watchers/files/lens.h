// A record to rows, and changes of rows back to the record. Both ways are pure: bytes and memory
// in, rows or bytes out; who reads and writes files is elsewhere. The laws, held by property tests:
//   put(record, memory, nothing) is the record, byte for byte;
//   get(put(record, memory, changes)) has the changes' rows, and every other row as it was.
// put() checks the second by itself before it answers, so what a document cannot express is refused
// by name and never approximated. One Lens per collection, shared by the threads of source, sink
// and reader.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "state/model/chunk.h"
#include "state/model/document_map.h"
#include "watchers/files/document.h"
#include "watchers/files/memory.h"
#include "watchers/files/path_pattern.h"
#include "watchers/files/style.h"

namespace switchback {

/// What is known of the file a record stands in.
struct FileFacts {
  std::string path;                 // below the collection's root, with '/'
  std::vector<PathMember> members;  // the parts of the path that a pattern names
  std::int64_t size = 0;
  std::int64_t mtime_us = 0;  // since 1970 UTC
  std::string sha256;         // 64 hexadecimal digits; kOpaque only
};

/// One record as it stands in its file.
struct RecordInput {
  const FileFacts* file = nullptr;
  const Document* document = nullptr;  // nullptr: an opaque file
  std::string_view contents;           // of an opaque file
  bool in_map = false;                 // of records; then `name` is its name there
  std::string name;
  std::int64_t place = 0;  // in an array of records or a file of lines, from
                           // number_places()
  std::uint32_t copy = 0;  // how many records before it in the file have its contents
};

/// A row that could not be made and has no key to be quarantined under.
struct KeylessRow {
  TableId table{};
  std::string reason;  // with file, line, column and pointer
};

struct RecordRows {
  RecordMemory memory;
  std::vector<KeylessRow> keyless;
};

/// What became of a record.
struct RecordText {
  bool gone = false;  // its own row was deleted: the record is to be taken out of its file
  std::string bytes;  // the record as it is to be written; equal to the old one if nothing differs
  std::string name;   // in a map: its name, possibly a new one
  std::optional<std::int64_t> place;  // in a list, if a column holds it: what orders it there
  std::vector<PathMember> members;    // what the record now says of its path
  std::optional<std::string> path;    // "$path", if a column takes it
  RecordMemory memory;
  struct Refused {
    std::uint32_t change;  // index in the chunk
    std::string reason;
    bool orphan = false;  // what encloses the row is not here, and may yet come
  };
  std::vector<Refused> refused;  // nothing of these is in `bytes`
};

/// The key of a row of `table`.
struct RowKey {
  TableId table{};
  std::vector<Cell> cells;  // text in the chunk they were read from
};

struct LensPlan;

class Lens {
 public:
  Lens(std::shared_ptr<const Mapping> mapping, std::shared_ptr<const DocumentMap> documents,
       std::uint16_t collection);

  const Collection& collection() const;
  /// Whether anything is made up here, so that memories are not empty.
  bool remembers() const;
  /// What a record is recognised by when its file has changed.
  Mark mark(const RecordInput& record) const;

  /// Appends the record's rows: upserts, or misfits where a value does not fit its column; parents
  /// before children. `before` is the memory of the record as it was, or nullptr if it is new.
  RecordRows get(const RecordInput& record, const RecordMemory* before, Identities& identities,
                 Chunk& rows) const;

  /// Applies those changes of the chunk (upserts, renames, deletes of this collection's tables, all
  /// of this record) to the record.
  RecordText put(const RecordInput& record, const RecordMemory& memory, const Chunk& chunk,
                 std::span<const std::uint32_t> changes, const TextStyle& style) const;

  /// A new record from the upserts of its rows. `file` has the path if it is known already;
  /// `in_map` says that it is to be a member of a map. If the record's own row is refused, so are
  /// all.
  RecordText make(const FileFacts& file, bool in_map, const Chunk& chunk,
                  std::span<const std::uint32_t> changes, const TextStyle& style) const;

  /// Whether the table's rows are records (level 0) rather than parts of one.
  bool is_record(TableId table) const;
  /// The nearest enclosing row that `row` (all columns of `table`) names: look it up to find the
  /// record a new row belongs to. nullopt for records.
  std::optional<RowKey> enclosing(TableId table, std::span<const Cell> row) const;

 private:
  std::shared_ptr<const LensPlan> plan_;
};

}  // namespace switchback
