#include "watchers/files/record_inputs.h"

#include <algorithm>
#include <map>

#include "state/base/sha256.h"
#include "watchers/files/path_pattern.h"

namespace switchback {
namespace {

template <class Test>
bool any_source(const Collection& collection, Test test) {
  return std::any_of(
      collection.tables.begin(), collection.tables.end(), [&](const TableSource& table) {
        return std::any_of(
            table.columns.begin(), table.columns.end(), [&](const ColumnSource& column) {
              return std::any_of(column.from.begin(), column.from.end(),
                                 [&](const ValueSource& source) { return test(table, source); });
            });
      });
}

}  // namespace

bool holds_places(const Collection& collection) {
  return any_source(collection, [&](const TableSource& table, const ValueSource& source) {
    return source.sort == ValueSource::Sort::kKey && table.level == source.up;
  });
}

bool names_records(const Mapping& mapping, const Collection& collection) {
  for (const TableSource& table : collection.tables) {
    if (table.level != 0) continue;
    const auto& columns = mapping.table(table.table).columns;
    for (std::size_t c = 0; c < table.columns.size(); ++c) {
      const Kind kind = kind_of(columns[c].type);
      for (const ValueSource& source : table.columns[c].from) {
        if (source.sort == ValueSource::Sort::kKey && kind != Kind::kInt) return true;
      }
    }
  }
  return false;
}

RecordInputs::RecordInputs(const Collection& collection, std::string path, const FileBytes& file)
    : collection_(collection),
      path_(std::move(path)),
      file_(file),
      records_(divide(file.bytes, collection.records, path_)) {
  facts_.path = path_;
  facts_.size = file.stamp.size;
  facts_.mtime_us = file.stamp.mtime_ns / 1000;
  for (const FilePattern& pattern : collection.files) {
    if (auto members = match_path(pattern, path_)) {
      facts_.members = std::move(*members);
      break;
    }
  }
  if (records_.frame == FileRecords::Frame::kOpaque) facts_.sha256 = sha256_of(file.bytes);
  const bool tells_copies = any_source(collection, [](const TableSource&, const ValueSource& s) {
    return s.sort == ValueSource::Sort::kHash;
  });
  if (!tells_copies) return;
  std::map<Hash128, std::uint32_t> seen;
  for (std::size_t i = 0; i < size(); ++i) {
    copies_.push_back(seen[hash_of(records_.bytes(file.bytes, i))]++);
  }
}

bool RecordInputs::in_list() const {
  return records_.frame == FileRecords::Frame::kArray ||
         records_.frame == FileRecords::Frame::kLines;
}

const RecordInput& RecordInputs::at(std::size_t i, std::int64_t place) {
  input_ = {};
  input_.file = &facts_;
  if (records_.frame == FileRecords::Frame::kOpaque) {
    input_.contents = file_.bytes;
    return input_;
  }
  document_ = parse_record(file_.bytes, records_, i, collection_.records, path_);
  return input_of(i, place, records_.name(file_.bytes, i));
}

const RecordInput& RecordInputs::at_outside(std::size_t i, std::int64_t place,
                                            std::string_view own) {
  const RecordSpan& span = records_.records[i];
  const std::string_view name = own.substr(0, span.name_end - span.name_begin);
  const bool in_map = records_.frame == FileRecords::Frame::kMap;
  input_ = {};
  input_.file = &facts_;
  where_ = path_ + ", from byte " + std::to_string(span.begin) + " on";
  TextOrigin origin{.where = where_};
  if (in_map)
    origin.pointer = to_pointer(collection_.records.path) + to_pointer({unescape_json(name)});
  if (records_.frame == FileRecords::Frame::kArray) {
    origin.pointer = to_pointer(collection_.records.path) + "/" + std::to_string(i);
  }
  document_ = Document::parse(own.substr(own.size() - (span.end - span.begin)), origin);
  return input_of(i, place, in_map ? unescape_json(name) : std::string());
}

const RecordInput& RecordInputs::input_of(std::size_t i, std::int64_t place, std::string name) {
  input_.document = &*document_;
  input_.in_map = records_.frame == FileRecords::Frame::kMap;
  if (input_.in_map) input_.name = std::move(name);
  input_.place = place;
  if (!copies_.empty()) input_.copy = copies_[i];
  return input_;
}

}  // namespace switchback
