#include "watchers/files/record_editor.h"

#include <fmt/format.h>

#include <algorithm>

#include "state/base/error.h"
#include "state/ports/change_sink.h"
#include "watchers/files/json_cell.h"
#include "watchers/files/path_pattern.h"

namespace switchback {
namespace {

using Node = Document::Node;
using Sort = ValueSource::Sort;

bool has_name_column(const TableSource& table) {
  return std::any_of(table.columns.begin(), table.columns.end(), [](const ColumnSource& column) {
    return !column.from.empty() && column.from[0].sort == Sort::kKey && column.from[0].up == 0;
  });
}

}  // namespace

RecordInput RecordState::input() const {
  RecordInput input;
  input.file = &file;
  input.document = document ? &*document : nullptr;
  input.contents = contents;
  input.in_map = in_map;
  input.name = name;
  input.place = place;
  input.copy = copy;
  return input;
}

RowsAtStart::RowsAtStart(const LensPlan& plan, const RecordInput& record,
                         const RecordMemory& memory, bool born)
    : plan_(plan), input_(record), values_(plan, input_, elements_) {
  if (born) return;
  std::vector<std::string> problems;
  elements_ = find_elements(plan, input_, problems);
  NoIdentities none;
  remember(plan, input_, &memory, none, elements_);
}

const RowsAtStart::OfTable& RowsAtStart::of(std::uint16_t table) {
  const auto [at, fresh] = tables_.try_emplace(table);
  if (!fresh) return at->second;
  for (std::uint32_t e = 0; e < elements_.size(); ++e) {
    if (elements_[e].level != plan_.source(table).level || !values_.has_row(table, e)) continue;
    at->second.by_key.try_emplace(values_.key(table, e), e);
    at->second.elements.insert(e);
  }
  return at->second;
}

std::optional<std::uint32_t> RowsAtStart::find(std::uint16_t table, const std::string& key) {
  const OfTable& rows = of(table);
  const auto found = rows.by_key.find(key);
  if (found == rows.by_key.end()) return std::nullopt;
  return found->second;
}

bool RowsAtStart::has_row(std::uint16_t table, std::uint32_t element) {
  return of(table).elements.contains(element);
}

RecordEditor::RecordEditor(const LensPlan& plan, const Chunk& chunk, const TextStyle& style,
                           RowsAtStart& start, RecordState& state)
    : plan_(plan),
      chunk_(chunk),
      style_(state.document && !state.born ? style.refined_by(state.document->text(), state.indent)
                                           : style),
      start_(start),
      state_(state),
      input_(state.input()),
      values_(plan, input_, elements_) {
  std::vector<std::string> problems;
  elements_ = find_elements(plan, input_, problems);
  NoIdentities none;
  if (!state.born) remember(plan, input_, &state.memory, none, elements_);
  edited_.assign(elements_.size(), nullptr);
  if (state.document) root_.emplace(*state.document, Document::kRoot);
  if (root_) edited_[0] = &*root_;
}

std::optional<std::uint32_t> RecordEditor::origin(std::uint32_t element) const {
  if (!state_.origins) return element;
  return (*state_.origins)[element];
}

// A row that was there is known by the element it was of: what its key is read from may have been
// written by another table's change, as that of rows whose enclosing row has another key now.
std::optional<std::uint32_t> RecordEditor::find(const NetChange& net) {
  const auto at_start = net.born ? std::nullopt : start_.find(net.table, key_text(chunk_, net.key));
  const auto now = std::span(net.row).first(map(net).key_width);
  for (std::uint32_t e = 0; e < elements_.size(); ++e) {
    if (elements_[e].level != source(net).level) continue;
    const auto from = origin(e);
    if (at_start && from == at_start) return e;
    if (at_start || (from && start_.has_row(net.table, *from))) continue;
    if (values_.has_row(net.table, e) && values_.key(net.table, e) == key_text(chunk_, now)) {
      return e;
    }
  }
  return std::nullopt;
}

EditedValue& RecordEditor::edited(std::uint32_t element) {
  if (edited_[element] != nullptr) return *edited_[element];
  const Element& here = elements_[element];
  const ElementLevel& level = plan_.collection().levels[here.level];
  EditedValue* value = find_at(edited(here.parent), level.path);
  if (value != nullptr && level.each) {
    EditedValue* found = nullptr;
    for (auto& child : value->children()) {
      if (child.value->origin() == here.node) found = child.value.get();
    }
    value = found;
  }
  if (value == nullptr) throw CannotWrite{"its element was removed by another change", true};
  return *(edited_[element] = value);
}

EditedValue* RecordEditor::find_at(EditedValue& base, const MemberPath& path) const {
  EditedValue* here = &base;
  for (const std::string& step : path) {
    if (here->sort() == JsonSort::kArray) {
      const auto index = static_cast<std::size_t>(std::strtoul(step.c_str(), nullptr, 10));
      auto& children = here->children();
      if (std::to_string(index) != step || index >= children.size()) return nullptr;
      here = children[index].value.get();
    } else {
      here = here->child(step);
    }
    if (here == nullptr) return nullptr;
  }
  return here;
}

EditedValue& RecordEditor::member_at(EditedValue& base, const MemberPath& path, std::uint16_t level,
                                     bool create) {
  EditedValue* here = &base;
  auto sample = plan_.levels[level].sample;
  for (const std::string& step : path) {
    if (here->sort() == JsonSort::kNull && create) here->replace("{}");
    EditedValue* next = find_at(*here, {step});
    if (next == nullptr) {
      if (here->sort() != JsonSort::kObject) {
        throw CannotWrite{fmt::format("{} is in something that is no object", to_pointer(path))};
      }
      const auto like = sample ? plan_.born->member(*sample, step) : std::nullopt;
      add_member(*here, step, &step == &path.back() ? "null" : "{}", sample);
      next = here->child(step);
      sample = like;
    } else if (sample) {
      sample = plan_.born->member(*sample, step);
    }
    here = next;
  }
  return *here;
}

/// Where the template has it, else at the end.
void RecordEditor::add_member(EditedValue& object, const std::string& name, std::string_view json,
                              std::optional<Node> sample) const {
  auto& children = object.children();
  auto at = children.end();
  if (sample && plan_.born->member(*sample, name)) {
    std::vector<std::string> before;
    for (auto node = plan_.born->first(*sample); node; node = plan_.born->next(*node)) {
      if (plan_.born->name(*node) == name) break;
      before.push_back(plan_.born->name(*node));
    }
    at = children.begin();
    for (auto child = children.begin(); child != children.end(); ++child) {
      if (std::find(before.begin(), before.end(), child->name) != before.end()) at = child + 1;
    }
  }
  EditedValue::Child child;
  child.name = name;
  child.value = std::make_unique<EditedValue>(json);
  children.insert(at, std::move(child));
}

void RecordEditor::apply(const NetChange& net) {
  if (state_.gone) {
    if (net.deleted) return;
    throw CannotWrite{"its record is deleted", true};
  }
  const auto element = state_.born ? std::nullopt : find(net);
  if (net.deleted) {
    if (element) remove(net, *element);
    // Inserted and deleted in one batch: there never was such a record.
    if (state_.born && net.table == plan_.levels[0].tables.front()) state_.gone = true;
  } else if (element) {
    update(net, *element);
  } else {
    insert(net);
  }
}

void RecordEditor::remove(const NetChange& net, std::uint32_t element) {
  const std::uint16_t level = elements_[element].level;
  for (const std::uint16_t table : plan_.levels[level].tables) {
    if (table == net.table) break;
    if (!values_.has_row(table, element)) continue;
    throw CannotWrite{
        fmt::format("in the document it is part of its row in {}.{}, which is not deleted",
                    plan_.map(table).schema, plan_.map(table).table)};
  }
  if (level == 0) {
    state_.gone = true;
    return;
  }
  EditedValue& value = edited(element);
  EditedValue* holder = &edited(elements_[element].parent);
  MemberPath path = plan_.collection().levels[level].path;
  if (!plan_.collection().levels[level].each) path.pop_back();
  holder = find_at(*holder, path);
  if (holder != nullptr) holder->remove_child(&value);
}

void RecordEditor::update(const NetChange& net, std::uint32_t element) {
  Target target;
  target.value = root_ ? &edited(element) : nullptr;
  target.level = elements_[element].level;
  target.element = element;
  target.made = &elements_[element].made;
  target.name = element == 0 ? &state_.name : nullptr;
  bool moved = false, placed = false;
  for (std::size_t c = 0; c < net.row.size(); ++c) {
    const ColumnSource& from = source(net).columns[c];
    if (net.row[c].kind == Kind::kUnchanged) continue;
    if (from.from.empty() && !from.otherwise) continue;
    Chunk old;
    std::string why;
    const auto cell = values_.cell(net.table, c, element, old, why);
    if (cell && same_cell(map(net).columns[c], *cell, old, net.row[c], chunk_)) continue;
    const auto& order = source(net).order;
    placed |= std::find(order.begin(), order.end(), c) != order.end();
    if (!from.from.empty() && writable(net, c, target).up != 0) {
      moved = true;
    } else {
      write(net, c, target);
    }
  }
  if (moved || placed) move(net, element);
}

/// Takes the element out of where it is and puts it where the row says it belongs.
void RecordEditor::move(const NetChange& net, std::uint32_t element) {
  const std::uint16_t level = elements_[element].level;
  if (level == 0 || !plan_.collection().levels[level].each) {
    if (level == 0 && source(net).order.size() != 0) return;  // the file's frame orders records
    throw CannotWrite{"the row now names another enclosing row"};
  }
  EditedValue& value = edited(element);
  const std::uint32_t parent = find_parent(net);
  EditedValue* holder =
      find_at(edited(elements_[element].parent), plan_.collection().levels[level].path);
  auto& children = holder->children();
  const auto at = std::find_if(children.begin(), children.end(),
                               [&](const auto& child) { return child.value.get() == &value; });
  std::unique_ptr<EditedValue> taken = std::move(at->value);
  std::string name = at->name;
  children.erase(at);
  taken->made = elements_[element].made;
  put_in_order(net, container_of(parent, level, net.table), std::move(taken), std::move(name));
}

void RecordEditor::insert(const NetChange& net) {
  const std::uint16_t level = source(net).level;
  if (level == 0) {
    Target target;
    target.value = root_ ? &*root_ : nullptr;
    target.made = &elements_[0].made;
    target.name = &state_.name;
    if (!state_.born) target.element = 0;
    write_row(net, target);
    return;
  }
  const std::uint32_t parent = find_parent(net);
  const ElementLevel& spec = plan_.collection().levels[level];
  if (spec.each) return add_element(net, parent);
  Target target;
  target.value = &member_at(edited(parent), spec.path, elements_[parent].level, true);
  if (target.value->sort() == JsonSort::kNull) {
    const auto fresh = new_value(level, net.table);
    target.value->replace(fresh->content().raw(fresh->content_node()));
  }
  target.level = level;
  target.value->made.emplace();
  target.made = &*target.value->made;
  write_row(net, target);
}

void RecordEditor::add_element(const NetChange& net, std::uint32_t parent) {
  const std::uint16_t level = source(net).level;
  EditedValue& container = container_of(parent, level, net.table);
  auto value = new_value(level, net.table);
  std::string name;
  Target target;
  target.value = value.get();
  target.level = level;
  value->made.emplace();
  target.made = &*value->made;
  if (container.sort() == JsonSort::kObject) target.name = &name;
  write_row(net, target);
  if (target.name != nullptr && !has_name_column(source(net))) {
    throw CannotWrite{"no column says its name in the map (\"$key\")"};
  }
  if (target.name != nullptr && container.child(name) != nullptr) {
    throw CannotWrite{fmt::format("there is a member \"{}\" already", name)};
  }
  put_in_order(net, container, std::move(value), std::move(name));
}

EditedValue& RecordEditor::container_of(std::uint32_t parent, std::uint16_t level,
                                        std::uint16_t table) {
  const MemberPath& path = plan_.collection().levels[level].path;
  EditedValue& container = member_at(edited(parent), path, elements_[parent].level, true);
  if (container.sort() == JsonSort::kNull) {
    // A column that takes the element's name speaks of a map.
    const auto& columns = plan_.source(table).columns;
    const bool named = has_name_column(plan_.source(table));
    const auto& order = plan_.source(table).order;
    const bool by_place = std::any_of(order.begin(), order.end(), [&](std::uint16_t c) {
      return !columns[c].from.empty() && columns[c].from[0].sort == Sort::kKey;
    });
    container.replace(named && !by_place ? "{}" : "[]");
  }
  if (container.sort() != JsonSort::kObject && container.sort() != JsonSort::kArray) {
    throw CannotWrite{fmt::format("{} is neither an array nor an object", to_pointer(path))};
  }
  return container;
}

bool RecordEditor::encloses(const NetChange& net, std::uint32_t parent) {
  const auto& columns = source(net).columns;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    if (columns[c].from.empty() || columns[c].from[0].up == 0) continue;
    if (net.row[c].kind == Kind::kUnchanged) continue;
    // Seen from the parent, the value is one level nearer.
    ColumnSource seen = columns[c];
    std::erase_if(seen.from, [](const ValueSource& from) { return from.up == 0; });
    for (ValueSource& from : seen.from) --from.up;
    seen.otherwise.reset();
    Chunk own;
    std::string why;
    const auto cell = values_.cell_from(map(net).columns[c], seen, parent, own, why);
    if (!cell || !same_cell(map(net).columns[c], *cell, own, net.row[c], chunk_)) return false;
  }
  return true;
}

std::uint32_t RecordEditor::find_parent(const NetChange& net) {
  const std::uint16_t level = plan_.collection().levels[source(net).level].parent;
  for (std::uint32_t e = 0; e < elements_.size(); ++e) {
    if (elements_[e].level == level && encloses(net, e)) return e;
  }
  throw CannotWrite{"the enclosing row it names is not in the document", true};
}

std::unique_ptr<EditedValue> RecordEditor::new_value(std::uint16_t level,
                                                     std::uint16_t table) const {
  const auto& columns = plan_.source(table).columns;
  const bool scalar = std::any_of(columns.begin(), columns.end(), [](const ColumnSource& column) {
    return !column.from.empty() && column.from[0].sort == Sort::kMember && column.from[0].up == 0 &&
           column.from[0].path.empty();
  });
  if (scalar) return std::make_unique<EditedValue>("null");
  const auto sample = plan_.levels[level].sample;
  if (!sample || plan_.born->sort(*sample) != JsonSort::kObject) {
    return std::make_unique<EditedValue>("{}");
  }
  return std::make_unique<EditedValue>(emptied_sample(plan_, level));
}

void RecordEditor::put_in_order(const NetChange& net, EditedValue& container,
                                std::unique_ptr<EditedValue> value, std::string name) {
  auto& children = container.children();
  written_[value.get()] = &net;
  auto at = children.end();
  if (container.sort() == JsonSort::kArray) {
    if (!source(net).order.empty()) {
      const OrderKey key = order_key(net, *value);
      while (at != children.begin() && after(net, order_key(net, *(at - 1)->value), key)) --at;
    } else if (source(net).at_start) {
      at = children.begin();
    }
  }
  EditedValue::Child child;
  child.name = std::move(name);
  child.value = std::move(value);
  child.renamed = true;
  children.insert(at, std::move(child));
}

RecordEditor::OrderKey RecordEditor::order_key(const NetChange& net, const EditedValue& value) {
  OrderKey key;
  const auto& order = source(net).order;
  if (const auto written = written_.find(&value); written != written_.end()) {
    if (written->second->table != net.table) return key;
    key.chunk = &chunk_;
    for (const std::uint16_t c : order) key.cells.push_back(written->second->row[c]);
    return key;
  }
  for (std::uint32_t e = 0; e < elements_.size(); ++e) {
    if (elements_[e].level != source(net).level || value.origin() != elements_[e].node) continue;
    key.chunk = &scratch_;
    std::string why;
    for (const std::uint16_t c : order) {
      key.cells.push_back(values_.cell(net.table, c, e, scratch_, why).value_or(Cell::null()));
    }
  }
  return key;
}

/// Whether `a` belongs behind `b`. Nulls last; what cannot be compared is left where it is.
bool RecordEditor::after(const NetChange& net, const OrderKey& a, const OrderKey& b) const {
  if (a.cells.size() != b.cells.size()) return false;
  for (std::size_t i = 0; i < a.cells.size(); ++i) {
    const Cell &x = a.cells[i], &y = b.cells[i];
    const ColumnMap& column = map(net).columns[source(net).order[i]];
    if (same_cell(column, x, *a.chunk, y, *b.chunk)) continue;
    if (x.kind == Kind::kNull || y.kind == Kind::kNull) return x.kind == Kind::kNull;
    if (x.kind != y.kind) return false;
    if (x.kind == Kind::kReal) return x.d > y.d;
    if (x.kind == Kind::kDecimal) {
      return std::strtod(std::string(a.chunk->text(x)).c_str(), nullptr) >
             std::strtod(std::string(b.chunk->text(y)).c_str(), nullptr);
    }
    if (has_text(x.kind)) return a.chunk->text(x) > b.chunk->text(y);
    return x.i > y.i;
  }
  return false;
}

}  // namespace switchback
