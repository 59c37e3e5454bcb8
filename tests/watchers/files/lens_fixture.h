// Mappings of documents in few words, and the ways tests look at rows: as text. A table is written
// as its path and its columns ("id uuid = $uuid"), the first `keys` of which are its key.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "watchers/files/file_text.h"
#include "watchers/files/layout.h"
#include "watchers/files/lens.h"

namespace switchback {

struct TableText {
  std::string name, path;
  int keys = 1;
  std::vector<std::string> columns;  // "name type = source | source else source"
  std::string where = {};            // "/type = a,b"
  std::string order = {};            // a column
  bool at_start = false;
};

struct CollectionText {
  std::string files = "data.json", records = "/*";
  std::string born = {};
  bool ascii = false;
};

/// Identities in the order they are asked for.
class CountedIdentities : public Identities {
 public:
  std::string new_uuid() override;
  std::int64_t next_serial(std::uint16_t, std::uint16_t) override { return ++serial_; }

 private:
  std::int64_t uuids_ = 0, serial_ = 0;
};

class LensText {
 public:
  LensText(const CollectionText& collection, const std::vector<TableText>& tables);

  const Lens& lens() const { return *lens_; }
  const Mapping& mapping() const { return *mapping_; }
  const std::shared_ptr<Mapping>& mapping_pointer() const { return mapping_; }
  /// The lens has them too, so do not change what it looks at.
  const std::shared_ptr<DocumentMap>& documents() const { return documents_; }
  TableId table(const std::string& name) const;

  /// One record's rows: "users(1, Ann)"; misfits and keyless rows with their reasons.
  std::vector<std::string> rows(std::string_view record, const FileFacts& file = {});
  /// The same rows cell by cell; misfits and keyless rows fail the test.
  struct Row {
    std::string table;
    std::vector<std::string> cells;
    friend auto operator<=>(const Row&, const Row&) = default;
  };
  std::vector<Row> cells(std::string_view record, const FileFacts& file = {});
  /// Keeps what get() remembered.
  RecordMemory memory;
  CountedIdentities identities;

  /// Adds an upsert to `changes` from texts ("NULL" and "UNCHANGED" are themselves); a delete from
  /// a key; a rename from the old key and the row.
  void upsert(const std::string& table, const std::vector<std::string>& cells);
  void remove(const std::string& table, const std::vector<std::string>& key);
  void rename(const std::string& table, const std::vector<std::string>& key,
              const std::vector<std::string>& cells);
  Chunk changes;

  /// put() of `changes`, which are cleared; the memory is the one after it.
  RecordText put(std::string_view record, const FileFacts& file = {});
  RecordText make(bool in_map = false, const FileFacts& file = {});
  std::string name;  // of the record, if it is in a map
  bool in_map = false;
  std::int64_t place = 0;

 private:
  RecordRows get(std::string_view record, const FileFacts& file, Chunk& chunk);
  void add_cells(const TableMap& map, const std::vector<std::string>& cells);
  std::vector<std::uint32_t> all_changes() const;

  std::shared_ptr<Mapping> mapping_;
  std::shared_ptr<DocumentMap> documents_;
  std::unique_ptr<Lens> lens_;
};

std::vector<std::string> shown_rows(const Mapping& mapping, const Chunk& chunk);

}  // namespace switchback
