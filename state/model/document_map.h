// How the records of JSON files and folders of files become rows and rows become records again:
// what [collection.N] and the tables with from = "N:/…" say, as plain structs. The table maps
// beside it say what the rows look like in PostgreSQL; this says where in a document each value
// lives. Parsed and judged by `bridge/`, executed by `watchers/files`. Immutable once made and
// shared by all threads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "state/model/table_map.h"

namespace switchback {

/// RFC 6901, taken apart and unescaped; empty: the value itself.
using MemberPath = std::vector<std::string>;

/// How the bytes of a file are divided into records.
struct RecordsLayout {
  enum class Form : std::uint8_t {
    kEach,    // "/*", "/p/*": each element of the array, or member of the map, found at `path`
    kWhole,   // "": the file is one record
    kLines,   // "lines": each line is a record (JSON Lines)
    kOpaque,  // "file": the file is a row and its contents are bytes
  };
  Form form = Form::kEach;
  MemberPath path;  // kEach
};

/// One part of a file pattern between two slashes: "conversations", "*.json", "{/id}.json", "**".
struct PathPart {
  struct Piece {
    enum class Sort : std::uint8_t { kText, kAny, kOne, kMember };  // kAny '*', kOne '?'
    Sort sort = Sort::kText;
    std::string text;   // kText
    MemberPath member;  // kMember: the value of this member of the record
  };
  std::vector<Piece> pieces;
  bool any_depth = false;  // "**": any number of folders, none included
};

/// A glob relative to the collection's root.
struct FilePattern {
  std::string text;  // as configured
  std::vector<PathPart> parts;
};

/// One kind of element that a collection's records hold. Level 0 is the record itself. A table's
/// path "/a/*/b" makes two more: each element of "a", and the "b" of each.
struct ElementLevel {
  std::uint16_t parent = 0;  // the enclosing level; its own index for level 0
  MemberPath path;           // from the enclosing element
  bool each = false;         // each element of the array or map there; else the value itself
};

/// Where one value comes from.
struct ValueSource {
  enum class Sort : std::uint8_t {
    kMember,    // "/a/b", "": the member of an element, or the element itself
    kKey,       // "$key": its name in a map; in an array its place (see TableSource::order)
    kPath,      // "$path": the file's path below the collection's root; of the file: these five
    kSize,      // "$size"
    kMtime,     // "$mtime"
    kSha256,    // "$sha256"
    kBytes,     // "$bytes"
    kRest,      // "$rest": the members that nothing else takes, as one object
    kConstant,  // "=text"
    kUuid,      // "$uuid": made up for an element, and remembered
    kSerial,    // "$serial": likewise
    kHash,      // "$hash": made from the element's contents, and remembered
  };
  Sort sort = Sort::kMember;
  std::uint16_t up = 0;  // how many '^': of the element this many levels out
  MemberPath path;       // kMember
  std::string constant;  // kConstant
  /// Set where an enclosing row has a column that takes the same value: then the value is the one
  /// that row got, whatever it was made from. An index into Collection::tables, and of its column.
  struct RowValue {
    std::uint16_t table, column;
  };
  std::optional<RowValue> same_as;
  std::string text;  // as configured, for messages

  /// Made up by the bridge: never enters a document.
  bool made_up() const {
    return sort == Sort::kConstant || sort == Sort::kUuid || sort == Sort::kSerial ||
           sort == Sort::kHash;
  }
};

/// What fills one column of TableMap::columns, at the same index.
struct ColumnSource {
  std::vector<ValueSource> from;         // the first that is present; empty: nothing does
  std::optional<ValueSource> otherwise;  // if none is: read this, write nothing
  /// What a value that becomes NULL in PostgreSQL leaves in the document.
  enum class Gone : std::uint8_t { kNull, kAbsent };
  Gone gone = Gone::kNull;
  bool json_in_text = false;  // the member is a string that holds JSON
};

/// The row exists only where the value is one of these.
struct RowCondition {
  ValueSource source;
  std::vector<std::string> values;  // texts of scalars: "a", "5", "true", "null"
};

/// One table that takes its rows from a collection.
struct TableSource {
  TableId table{};
  std::uint16_t level = 0;
  std::vector<ColumnSource> columns;  // parallel to TableMap::columns
  std::vector<RowCondition> where;    // all must hold
  /// Columns by which elements of an array are kept in order; a new one that they do not place goes
  /// to the end, or the start. A column from "$key" of an array holds a place: it orders elements,
  /// an element keeps the value it got, and only its rank has a meaning.
  std::vector<std::uint16_t> order;
  bool at_start = false;
};

struct Collection {
  std::string name;
  std::filesystem::path root;  // absolute; patterns and $path are relative to it
  std::vector<FilePattern> files;
  std::vector<FilePattern> except;
  RecordsLayout records;
  std::string lock;       // pattern of the application's lock file, "{path}.lock"; or empty
  std::string keep_copy;  // "{path}.backup": a sibling that is kept in step; or empty
  std::string born;    // JSON of a record born in PostgreSQL: its members and their order; or empty
  bool ascii = false;  // new text is escaped to ASCII where a file does not show what it does
  std::vector<ElementLevel> levels;  // parents before children
  std::vector<TableSource> tables;   // by level, then by rank
};

/// All collections of one bridge; together they are one store.
struct DocumentMap {
  std::string store = "files";  // TableMap::store of every table in it
  std::vector<Collection> collections;
};

}  // namespace switchback
