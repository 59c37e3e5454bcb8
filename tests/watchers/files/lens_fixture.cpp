#include "tests/watchers/files/lens_fixture.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <sstream>

#include "watchers/files/json_cell.h"
#include "watchers/files/mapping_text.h"
#include "watchers/files/path_pattern.h"

namespace switchback {
namespace {

const std::map<std::string, PgType> kTypes = {{"bool", PgType::kBool},
                                              {"int", PgType::kInt4},
                                              {"bigint", PgType::kInt8},
                                              {"real", PgType::kFloat8},
                                              {"numeric", PgType::kNumeric},
                                              {"text", PgType::kText},
                                              {"json", PgType::kJson},
                                              {"jsonb", PgType::kJsonb},
                                              {"timestamp", PgType::kTimestamp},
                                              {"date", PgType::kDate},
                                              {"uuid", PgType::kUuid},
                                              {"text[]", PgType::kOtherText},
                                              {"timestamptz", PgType::kTimestamptz},
                                              {"bytea", PgType::kBytea}};

std::string trimmed(std::string text) {
  text.erase(0, text.find_first_not_of(' '));
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

std::vector<std::string> split(const std::string& text, const std::string& mark) {
  std::vector<std::string> out;
  std::size_t begin = 0;
  for (std::size_t at = text.find(mark); at != text.npos; at = text.find(mark, begin)) {
    out.push_back(trimmed(text.substr(begin, at - begin)));
    begin = at + mark.size();
  }
  out.push_back(trimmed(text.substr(begin)));
  return out;
}

/// "name type = source | source else source gone absent"
void add_column(const std::string& text, TableMap& map, TableSource& table) {
  const std::size_t equals = text.find(" = ");
  const auto words = split(text.substr(0, equals), " ");
  ColumnMap column;
  column.name = words.at(0);
  column.type = kTypes.at(words.at(1));
  column.type_name = words.at(1);
  column.old_name = text.substr(equals + 3);
  ColumnSource source;
  std::string from = column.old_name;
  if (from.ends_with(" gone absent")) {
    source.gone = ColumnSource::Gone::kAbsent;
    from.resize(from.size() - 12);
  }
  const auto parts = split(from, " else ");
  for (const auto& one : split(parts[0], " | ")) {
    source.from.push_back(parse_source(one == "\"\"" ? "" : one));
  }
  if (parts.size() > 1) source.otherwise = parse_source(parts[1]);
  map.columns.push_back(std::move(column));
  table.columns.push_back(std::move(source));
}

std::string shown_cell(const Chunk& chunk, const Cell& cell) {
  switch (cell.kind) {
    case Kind::kNull:
      return "NULL";
    case Kind::kUnchanged:
      return "UNCHANGED";
    case Kind::kBool:
      return cell.i != 0 ? "true" : "false";
    case Kind::kInt:
    case Kind::kTimestamp:
    case Kind::kDate:
      return std::to_string(cell.i);
    case Kind::kReal:
      return fmt::format("{}", cell.d);
    case Kind::kDecimal:
    case Kind::kText:
    case Kind::kBytes:
    case Kind::kJson:
    case Kind::kUuid:
      return std::string(chunk.text(cell));
  }
  return {};
}

}  // namespace

std::string CountedIdentities::new_uuid() {
  return fmt::format("00000000-0000-4000-8000-{:012}", ++uuids_);
}

LensText::LensText(const CollectionText& collection, const std::vector<TableText>& tables)
    : mapping_(std::make_shared<Mapping>()), documents_(std::make_shared<DocumentMap>()) {
  mapping_->bridge = "test";
  Collection out;
  out.name = "N";
  out.root = "/nowhere";
  out.files.push_back(parse_file_pattern(collection.files));
  out.records = parse_records(collection.records);
  out.born = collection.born;
  out.ascii = collection.ascii;
  std::vector<std::string> paths;
  for (const TableText& text : tables) paths.push_back(text.path);
  const auto levels = make_levels(out, paths);
  for (const TableText& text : tables) {
    TableMap map;
    map.id = TableId{static_cast<std::uint16_t>(mapping_->tables.size())};
    map.store = "files";
    map.schema = "public";
    map.table = text.name;
    map.key_width = static_cast<std::uint16_t>(text.keys);
    map.rank = static_cast<std::uint16_t>(mapping_->tables.size());
    TableSource table;
    table.table = map.id;
    table.level = levels[mapping_->tables.size()];
    table.at_start = text.at_start;
    for (const auto& column : text.columns) add_column(column, map, table);
    for (std::size_t c = 0; c < map.columns.size(); ++c) {
      if (map.columns[c].name == text.order) table.order.push_back(static_cast<std::uint16_t>(c));
    }
    if (!text.where.empty()) {
      const auto halves = split(text.where, "=");
      table.where.push_back({parse_source(halves[0]), split(halves[1], ",")});
    }
    mapping_->tables.push_back(std::move(map));
    out.tables.push_back(std::move(table));
  }
  link_collection(*mapping_, out);
  documents_->collections.push_back(std::move(out));
  lens_ = std::make_unique<Lens>(mapping_, documents_, std::uint16_t{0});
}

TableId LensText::table(const std::string& wanted) const {
  return *mapping_->find("public", wanted);
}

std::vector<std::string> shown_rows(const Mapping& mapping, const Chunk& chunk) {
  std::vector<std::string> out;
  for (const Change& change : chunk.changes()) {
    std::string row = mapping.table(change.table).table + "(";
    for (const Cell& cell : chunk.row(change)) {
      if (row.back() != '(') row += ", ";
      row += shown_cell(chunk, cell);
    }
    row += ")";
    if (change.op == Op::kMisfit) row += " misfit: " + std::string(chunk.text(change.reason));
    out.push_back(row);
  }
  return out;
}

RecordRows LensText::get(std::string_view record, const FileFacts& file, Chunk& chunk) {
  const Document document = Document::parse(record, {.where = "data.json"});
  RecordInput input;
  input.file = &file;
  input.document = &document;
  input.in_map = in_map;
  input.name = name;
  input.place = place;
  RecordRows got =
      lens_->get(input, memory.elements.empty() ? nullptr : &memory, identities, chunk);
  memory = got.memory;
  return got;
}

std::vector<std::string> LensText::rows(std::string_view record, const FileFacts& file) {
  Chunk chunk;
  const RecordRows got = get(record, file, chunk);
  auto out = shown_rows(*mapping_, chunk);
  for (const auto& keyless : got.keyless) out.push_back("keyless: " + keyless.reason);
  return out;
}

std::vector<LensText::Row> LensText::cells(std::string_view record, const FileFacts& file) {
  Chunk chunk;
  for (const auto& keyless : get(record, file, chunk).keyless) ADD_FAILURE() << keyless.reason;
  std::vector<Row> out;
  for (const Change& change : chunk.changes()) {
    if (change.op == Op::kMisfit) ADD_FAILURE() << chunk.text(change.reason);
    Row row{mapping_->table(change.table).table, {}};
    for (const Cell& cell : chunk.row(change)) row.cells.push_back(shown_cell(chunk, cell));
    out.push_back(std::move(row));
  }
  return out;
}

void LensText::add_cells(const TableMap& map, const std::vector<std::string>& cells) {
  for (std::size_t c = 0; c < cells.size(); ++c) {
    if (cells[c] == "NULL") {
      changes.add(Cell::null());
    } else if (cells[c] == "UNCHANGED") {
      changes.add(Cell::unchanged());
    } else if (kind_of(map.columns[c].type) == Kind::kJson) {
      changes.add(changes.add_text(Kind::kJson, cells[c]));
    } else {
      std::string why;
      const auto cell = cell_of_text(map.columns[c], cells[c], changes, why);
      if (!cell) throw std::runtime_error(why);
      changes.add(*cell);
    }
  }
}

void LensText::upsert(const std::string& to, const std::vector<std::string>& cells) {
  add_cells(mapping_->table(table(to)), cells);
  changes.end_upsert(table(to));
}

void LensText::remove(const std::string& from, const std::vector<std::string>& key) {
  add_cells(mapping_->table(table(from)), key);
  changes.end_delete(table(from));
}

void LensText::rename(const std::string& in, const std::vector<std::string>& key,
                      const std::vector<std::string>& cells) {
  const TableMap& map = mapping_->table(table(in));
  add_cells(map, key);
  add_cells(map, cells);
  changes.end_rename(table(in), map.key_width);
}

std::vector<std::uint32_t> LensText::all_changes() const {
  std::vector<std::uint32_t> out(changes.changes().size());
  std::iota(out.begin(), out.end(), 0u);
  return out;
}

RecordText LensText::put(std::string_view record, const FileFacts& file) {
  const Document document = Document::parse(record, {.where = "data.json"});
  RecordInput input;
  input.file = &file;
  input.document = &document;
  input.in_map = in_map;
  input.name = name;
  input.place = place;
  RecordText out = lens_->put(input, memory, changes, all_changes(),
                              TextStyle::of(record, lens_->collection().ascii));
  memory = out.memory;
  changes.clear();
  return out;
}

RecordText LensText::make(bool to_map, const FileFacts& file) {
  RecordText out = lens_->make(file, to_map, changes, all_changes(),
                               TextStyle::of({}, lens_->collection().ascii));
  memory = out.memory;
  changes.clear();
  return out;
}

}  // namespace switchback
