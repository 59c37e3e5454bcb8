#include "watchers/files/row_values.h"

#include <fmt/format.h>

#include <algorithm>

#include "state/base/json_text.h"
#include "state/ports/change_sink.h"
#include "watchers/files/json_cell.h"
#include "watchers/files/path_pattern.h"
#include "watchers/sqlite/codec.h"
#include "watchers/sqlite/spelling.h"

namespace switchback {
namespace {

using Node = Document::Node;
using Sort = ValueSource::Sort;

FoundValue text_value(std::string text) {
  return {FoundValue::Sort::kText, {}, std::move(text)};
}

/// The members that nothing takes, as compact JSON; empty if there are none and `inner`.
void append_rest(const Document& document, Node node, const TakenMembers& taken, bool inner,
                 std::string& out) {
  const std::size_t begin = out.size();
  out += '{';
  for (auto member = document.first(node); member; member = document.next(*member)) {
    const auto found = taken.members.find(document.name(*member));
    if (found != taken.members.end() &&
        (found->second.whole || document.sort(*member) == JsonSort::kNull)) {
      continue;
    }
    std::string value;
    if (found == taken.members.end() || document.sort(*member) != JsonSort::kObject) {
      value = document.compact(*member);
    } else {
      append_rest(document, *member, found->second, true, value);
      if (value.empty()) continue;
    }
    if (out.size() > begin + 1) out += ',';
    out += document.raw_name(*member);
    out += ':';
    out += value;
  }
  out += '}';
  // Of an object that columns take from, only what they leave belongs to the rest.
  if (inner && out.size() == begin + 2) out.resize(begin);
}

}  // namespace

std::optional<std::string> scalar_text(const Document& document, Node node) {
  if (document.is_container(node)) return std::nullopt;
  if (document.sort(node) == JsonSort::kString) return document.string(node);
  return std::string(document.raw(node));
}

std::string path_contradiction(const RecordInput& record) {
  if (record.document == nullptr) return {};
  for (const PathMember& told : record.file->members) {
    const auto node = record.document->find(Document::kRoot, told.member);
    if (!node || record.document->sort(*node) == JsonSort::kNull) continue;
    if (scalar_text(*record.document, *node) == told.value) continue;
    return fmt::format("{}: the file's path says it is '{}'", record.document->place(*node),
                       told.value);
  }
  return {};
}

std::uint32_t RowValues::outer(std::uint32_t element, std::uint16_t up) const {
  while (up-- != 0) element = elements_[element].parent;
  return element;
}

bool RowValues::is_null(const FoundValue& value) const {
  if (value.sort == FoundValue::Sort::kAbsent) return true;
  return value.sort == FoundValue::Sort::kNode &&
         record_.document->sort(value.node) == JsonSort::kNull;
}

FoundValue RowValues::find_member(const ValueSource& source, std::uint32_t element) const {
  if (record_.document != nullptr) {
    const auto node = record_.document->find(elements_[element].node, source.path);
    if (node) return {FoundValue::Sort::kNode, *node, {}};
  }
  if (element != 0) return {};
  for (const PathMember& told : record_.file->members) {
    if (told.member == source.path) return text_value(told.value);
  }
  return {};
}

FoundValue RowValues::find(const ValueSource& source, std::uint32_t element) const {
  const std::uint32_t at = outer(element, source.up);
  if (source.same_as) {
    const TableSource& enclosing = plan_.source(source.same_as->table);
    if (has_row(source.same_as->table, at)) {
      return choose(enclosing.columns[source.same_as->column], at).value;
    }
  }
  const Element& here = elements_[at];
  switch (source.sort) {
    case Sort::kMember:
      return find_member(source, at);
    case Sort::kKey:
      if (!here.in_array) return text_value(here.name);
      return here.made.place ? text_value(std::to_string(*here.made.place)) : FoundValue{};
    case Sort::kPath:
      return text_value(record_.file->path);
    case Sort::kSize:
      return text_value(std::to_string(record_.file->size));
    case Sort::kMtime: {
      const auto text = format_timestamp(Spelling::kIso, record_.file->mtime_us);
      return text ? text_value(*text) : FoundValue{};
    }
    case Sort::kSha256:
      return text_value(record_.file->sha256);
    case Sort::kBytes:
      return {FoundValue::Sort::kBytes, {}, std::string(record_.contents)};
    case Sort::kRest:
      return {FoundValue::Sort::kJson, {}, rest(at)};
    case Sort::kConstant:
      return text_value(source.constant);
    case Sort::kUuid:
      return text_value(here.made.uuid);
    case Sort::kSerial:
      return here.made.serial ? text_value(std::to_string(*here.made.serial)) : FoundValue{};
    case Sort::kHash:
      return text_value(here.made.hash);
  }
  return {};
}

std::string RowValues::rest(std::uint32_t element) const {
  const Element& here = elements_[element];
  std::string out;
  if (record_.document == nullptr || record_.document->sort(here.node) != JsonSort::kObject) {
    return "{}";
  }
  append_rest(*record_.document, here.node, plan_.levels[here.level].taken, false, out);
  return out;
}

RowValues::Chosen RowValues::choose(const ColumnSource& column, std::uint32_t element) const {
  Chosen chosen;
  for (std::size_t i = 0; i < column.from.size(); ++i) {
    FoundValue value = find(column.from[i], element);
    if (value.sort == FoundValue::Sort::kAbsent) continue;
    const bool null = is_null(value);
    if (null && chosen.source >= 0) continue;
    chosen = {static_cast<int>(i), std::move(value)};
    if (!null) return chosen;
  }
  if (column.otherwise) {
    FoundValue value = find(*column.otherwise, element);
    if (!is_null(value)) return {-1, std::move(value)};
  }
  return chosen;
}

std::optional<Cell> RowValues::cell_of_value(const ColumnMap& column, const ColumnSource& source,
                                             const FoundValue& value, Chunk& out,
                                             std::string& why) const {
  switch (value.sort) {
    case FoundValue::Sort::kAbsent:
      return Cell::null();
    case FoundValue::Sort::kNode:
      return cell_of(column, source, *record_.document, value.node, out, why);
    case FoundValue::Sort::kText:
      return cell_of_text(column, value.text, out, why);
    case FoundValue::Sort::kJson:
    case FoundValue::Sort::kBytes:
      break;
  }
  StoredValue stored;
  stored.type = value.sort == FoundValue::Sort::kJson ? SQLITE_TEXT : SQLITE_BLOB;
  stored.bytes = value.text;
  return read_cell(column, stored, out, why);
}

std::optional<Cell> RowValues::cell(std::uint16_t table, std::size_t column, std::uint32_t element,
                                    Chunk& out, std::string& why) const {
  return cell_from(plan_.map(table).columns[column], plan_.source(table).columns[column], element,
                   out, why);
}

std::optional<Cell> RowValues::cell_from(const ColumnMap& column, const ColumnSource& source,
                                         std::uint32_t element, Chunk& out,
                                         std::string& why) const {
  return cell_of_value(column, source, choose(source, element).value, out, why);
}

bool RowValues::has_row(std::uint16_t table, std::uint32_t element) const {
  for (const RowCondition& condition : plan_.source(table).where) {
    const FoundValue value = find(condition.source, element);
    std::string text = "null";
    if (value.sort == FoundValue::Sort::kNode) {
      const auto scalar = scalar_text(*record_.document, value.node);
      if (!scalar) return false;
      text = *scalar;
    } else if (value.sort != FoundValue::Sort::kAbsent) {
      text = value.text;
    }
    const auto& values = condition.values;
    if (std::find(values.begin(), values.end(), text) == values.end()) return false;
  }
  return true;
}

std::string RowValues::key(std::uint16_t table, std::uint32_t element) const {
  Chunk scratch;
  std::vector<Cell> cells;
  std::string ignored;
  for (std::size_t c = 0; c < plan_.map(table).key_width; ++c) {
    cells.push_back(cell(table, c, element, scratch, ignored).value_or(Cell::null()));
  }
  return key_text(scratch, cells);
}

std::string RowValues::place(std::uint32_t element) const {
  if (record_.document == nullptr) return record_.file->path;
  return record_.document->place(elements_[element].node);
}

bool RowValues::append_row(std::uint16_t table, std::uint32_t element, Chunk& out,
                           std::string& why) const {
  const TableMap& map = plan_.map(table);
  const Element& here = elements_[element];
  std::string misfit;
  const bool scalar = record_.document != nullptr && !record_.document->is_container(here.node);
  if (scalar && !plan_.levels[here.level].takes_scalars) {
    misfit = place(element) + ": expected an object";
  }
  for (std::size_t c = 0; c < map.columns.size(); ++c) {
    if (c == map.key_width && !misfit.empty()) break;
    std::string reason;
    auto made = cell(table, c, element, out, reason);
    if (!made && misfit.empty()) misfit = reason;
    const bool no_key = c < map.key_width && (!made || made->kind == Kind::kNull);
    if (no_key) {
      out.drop_row();
      why = made ? fmt::format("{}: no value for {}, the key of {}.{}", place(element),
                               map.columns[c].name, map.schema, map.table)
                 : reason;
      return false;
    }
    if (!misfit.empty() && c >= map.key_width) break;
    out.add(*made);
  }
  if (misfit.empty()) {
    out.end_upsert(map.id);
    return true;
  }
  // Only the key travels with a misfit: the cells behind it are taken back.
  out.drop_row();
  for (std::size_t c = 0; c < map.key_width; ++c) {
    std::string ignored;
    out.add(*cell(table, c, element, out, ignored));
  }
  out.end_misfit(map.id, misfit);
  return true;
}

}  // namespace switchback
