// How one row's cells are written into one element, and what becomes of the record then. Which
// element, and where among its siblings, is in record_editor.cpp.
#include <fmt/format.h>

#include <algorithm>

#include "state/base/error.h"
#include "watchers/files/json_cell.h"
#include "watchers/files/path_pattern.h"
#include "watchers/files/record_editor.h"

namespace switchback {
namespace {

using Node = Document::Node;
using Sort = ValueSource::Sort;

/// A cell as a name or an identity: text.
std::string cell_text(const Chunk& chunk, const Cell& cell) {
  switch (cell.kind) {
    case Kind::kInt:
      return std::to_string(cell.i);
    case Kind::kDecimal:
    case Kind::kText:
    case Kind::kUuid:
      return std::string(chunk.text(cell));
    case Kind::kNull:
    case Kind::kUnchanged:
    case Kind::kBool:
    case Kind::kReal:
    case Kind::kBytes:
    case Kind::kJson:
    case Kind::kTimestamp:
    case Kind::kDate:
      break;
  }
  throw CannotWrite{"a value of this type cannot be a name"};
}

std::int64_t cell_integer(const Cell& cell) {
  if (cell.kind != Kind::kInt)
    throw CannotWrite{"a place or a number of a series must be an integer"};
  return cell.i;
}

/// Makes the members that nothing takes be those of `json`.
void merge_rest(EditedValue& object, const Document& document, Node node,
                const TakenMembers& taken) {
  const auto taken_at = [&](const std::string& name) -> const TakenMembers* {
    const auto found = taken.members.find(name);
    return found == taken.members.end() ? nullptr : &found->second;
  };
  std::erase_if(object.children(), [&](EditedValue::Child& child) {
    if (document.member(node, child.name)) return false;
    const TakenMembers* inner = taken_at(child.name);
    return inner == nullptr;
  });
  for (auto& child : object.children()) {
    const TakenMembers* inner = taken_at(child.name);
    const auto there = document.member(node, child.name);
    if (inner == nullptr || inner->whole || there) continue;
    if (child.value->sort() != JsonSort::kObject) continue;
    const Document nothing = Document::parse("{}", {.where = "nothing"});
    merge_rest(*child.value, nothing, Document::kRoot, *inner);
  }
  for (auto member = document.first(node); member; member = document.next(*member)) {
    const std::string name = document.name(*member);
    const TakenMembers* inner = taken_at(name);
    if (inner != nullptr && inner->whole) {
      throw CannotWrite{fmt::format("the rest may not hold \"{}\", which a column takes", name)};
    }
    EditedValue* there = object.child(name);
    if (there == nullptr) {
      EditedValue::Child child;
      child.name = name;
      child.value = std::make_unique<EditedValue>(document.raw(*member));
      object.children().push_back(std::move(child));
    } else if (inner != nullptr && there->sort() == JsonSort::kObject &&
               document.sort(*member) == JsonSort::kObject) {
      merge_rest(*there, document, *member, *inner);
    } else {
      there->assign(document, *member);
    }
  }
}

}  // namespace

std::string NoIdentities::new_uuid() {
  throw CannotWrite{"it would make an element whose identity no row says"};
}

std::int64_t NoIdentities::next_serial(std::uint16_t, std::uint16_t) {
  throw CannotWrite{"it would make an element whose number no row says"};
}

std::string emptied_sample(const LensPlan& plan, std::uint16_t level) {
  EditedValue value(*plan.born, *plan.levels[level].sample);
  for (const std::uint16_t child : plan.levels[level].children) {
    const ElementLevel& spec = plan.collection().levels[child];
    EditedValue* holder = &value;
    for (std::size_t i = 0; holder != nullptr && i + 1 < spec.path.size(); ++i) {
      holder = holder->child(spec.path[i]);
    }
    EditedValue* inner = holder == nullptr ? nullptr : holder->child(spec.path.back());
    if (inner == nullptr) continue;
    if (!spec.each) {
      holder->remove_child(inner);
    } else if (inner->sort() == JsonSort::kObject || inner->sort() == JsonSort::kArray) {
      inner->replace(inner->sort() == JsonSort::kObject ? "{}" : "[]");
    }
  }
  return value.render(TextStyle{}, "");
}

bool RecordEditor::in_path(const ValueSource& source, const Target& target) const {
  if (source.sort != Sort::kMember || target.level != 0 || source.path.empty()) return false;
  const auto told =
      std::find_if(state_.file.members.begin(), state_.file.members.end(),
                   [&](const PathMember& there) { return there.member == source.path; });
  if (target.element) {
    return told != state_.file.members.end() && state_.document &&
           !state_.document->find(Document::kRoot, source.path);
  }
  // Born: where the template has no such member, the path alone says it.
  if (!plan_.born || plan_.born->find(Document::kRoot, source.path)) return false;
  for (const FilePattern& pattern : plan_.collection().files) {
    for (const PathPart& part : pattern.parts) {
      for (const PathPart::Piece& piece : part.pieces) {
        if (piece.sort == PathPart::Piece::Sort::kMember && piece.member == source.path)
          return true;
      }
    }
  }
  return false;
}

const ValueSource& RecordEditor::writable(const NetChange& net, std::size_t column,
                                          const Target& target) const {
  const ColumnSource& from = source(net).columns[column];
  if (target.element) {
    const int chosen = values_.choose(from, *target.element).source;
    if (chosen >= 0) return from.from[static_cast<std::size_t>(chosen)];
  }
  return from.from.front();
}

void RecordEditor::write_row(const NetChange& net, Target& target) {
  for (std::size_t c = 0; c < net.row.size(); ++c) {
    const ColumnSource& from = source(net).columns[c];
    if (from.from.empty() || writable(net, c, target).up != 0) continue;
    if (net.row[c].kind == Kind::kUnchanged) {
      throw CannotWrite{fmt::format("{}: its value was not sent and is not known here",
                                    map(net).columns[c].name)};
    }
    write(net, c, target);
  }
  write_conditions(net, target);
}

/// A new element must be one the table takes.
void RecordEditor::write_conditions(const NetChange& net, Target& target) {
  for (const RowCondition& condition : source(net).where) {
    const bool own = condition.source.sort == Sort::kMember && condition.source.up == 0 &&
                     !condition.source.path.empty();
    if (!own || target.value == nullptr || condition.values.front() == "null") continue;
    EditedValue* there = find_at(*target.value, condition.source.path);
    if (there != nullptr && there->sort() != JsonSort::kNull) continue;
    member_at(*target.value, condition.source.path, target.level, true)
        .replace(style_.quote(condition.values.front()));
  }
}

void RecordEditor::write(const NetChange& net, std::size_t column, Target& target) {
  const ColumnSource& from = source(net).columns[column];
  if (net.row[column].kind == Kind::kNull) return write_null(net, column, target);
  if (from.from.empty()) {
    throw CannotWrite{
        fmt::format("{}: the document has no place for it", map(net).columns[column].name)};
  }
  write_to(net, column, writable(net, column, target), target);
}

void RecordEditor::write_null(const NetChange& net, std::size_t column, Target& target) {
  const ColumnSource& from = source(net).columns[column];
  for (const ValueSource& source : from.from) {
    if (source.up != 0) continue;
    if (source.sort == Sort::kRest) {
      if (target.element) write_rest("{}", target);
      continue;
    }
    if (source.sort != Sort::kMember || target.value == nullptr || in_path(source, target)) {
      if (source.made_up() || !target.element) continue;
      throw CannotWrite{fmt::format("{}: it cannot be NULL", map(net).columns[column].name)};
    }
    EditedValue* value = find_at(*target.value, source.path);
    if (value == nullptr || value->sort() == JsonSort::kNull) continue;
    if (source.path.empty() || from.gone == ColumnSource::Gone::kNull) {
      value->replace("null");
      continue;
    }
    MemberPath outer = source.path;
    outer.pop_back();
    EditedValue* holder = find_at(*target.value, outer);
    if (holder->sort() == JsonSort::kObject) {
      holder->remove_child(value);
    } else {
      value->replace("null");
    }
  }
}

void RecordEditor::write_to(const NetChange& net, std::size_t column, const ValueSource& source,
                            Target& target) {
  const Cell& cell = net.row[column];
  switch (source.sort) {
    case Sort::kMember:
      if (in_path(source, target)) {
        const PathMember told{source.path, cell_text(chunk_, cell)};
        auto& members = state_.file.members;
        std::erase_if(members, [&](const auto& there) { return there.member == told.member; });
        members.push_back(told);
        return;
      }
      return write_member(net, column, source.path, target);
    case Sort::kKey:
      return write_key(net, column, target);
    case Sort::kRest:
      return write_rest(chunk_.text(cell), target);
    case Sort::kUuid:
      target.made->uuid = cell_text(chunk_, cell);
      return;
    case Sort::kSerial:
      target.made->serial = cell_integer(cell);
      return;
    case Sort::kHash:
      target.made->hash = cell_text(chunk_, cell);
      return;
    case Sort::kPath:
      state_.path = cell_text(chunk_, cell);
      state_.file.path = *state_.path;
      return;
    case Sort::kBytes:
      state_.contents = chunk_.text(cell);
      return;
    case Sort::kSize:
    case Sort::kMtime:
    case Sort::kSha256:
      return;  // they follow from the file
    case Sort::kConstant:
      if (cell_text(chunk_, cell) == source.constant) return;
      throw CannotWrite{fmt::format("{}: at the old side it is always '{}'",
                                    map(net).columns[column].name, source.constant)};
  }
}

void RecordEditor::write_member(const NetChange& net, std::size_t column, const MemberPath& path,
                                Target& target) {
  if (target.value == nullptr) throw CannotWrite{"an opaque file has no members"};
  EditedValue& value = member_at(*target.value, path, target.level, true);
  const Document* like = &value.content();
  std::optional<Node> previous = value.content_node();
  if (value.sort() == JsonSort::kNull) {
    const auto sample = plan_.levels[target.level].sample;
    previous = sample ? plan_.born->find(*sample, path) : std::nullopt;
    like = sample ? &*plan_.born : nullptr;
  }
  const ColumnSource& from = source(net).columns[column];
  value.assign(
      json_of(map(net).columns[column], from, net.row[column], chunk_, like, previous, style_));
}

void RecordEditor::write_rest(std::string_view json, Target& target) {
  const Document document = Document::parse(json, {.where = "the rest"});
  if (target.value == nullptr || target.value->sort() != JsonSort::kObject ||
      document.sort(Document::kRoot) != JsonSort::kObject) {
    throw CannotWrite{"the rest of an element must be an object"};
  }
  merge_rest(*target.value, document, Document::kRoot, plan_.levels[target.level].taken);
}

void RecordEditor::write_key(const NetChange& net, std::size_t column, Target& target) {
  const Cell& cell = net.row[column];
  const bool in_array = target.element      ? elements_[*target.element].in_array
                        : target.level == 0 ? !state_.in_map
                                            : target.name == nullptr;
  if (in_array) {
    target.made->place = cell_integer(cell);
    if (target.level == 0) state_.place = cell.i;
    return;
  }
  const std::string name = cell_text(chunk_, cell);
  if (target.name != nullptr) {
    *target.name = name;
    return;
  }
  const Element& element = elements_[*target.element];
  EditedValue* holder =
      find_at(edited(element.parent), plan_.collection().levels[element.level].path);
  if (holder->child(name) != nullptr) {
    throw CannotWrite{fmt::format("there is a member \"{}\" already", name)};
  }
  for (auto& child : holder->children()) {
    if (child.value.get() != target.value) continue;
    child.name = name;
    child.renamed = true;
  }
}

/// The new document's elements get what those of the old one had, or what their rows said.
void RecordEditor::follow_elements(RecordState& next) {
  const RecordInput record = next.input();
  struct Was {
    EditedValue* value = nullptr;
    std::optional<Node> node;  // of the old document, if the value was not opened
  };
  std::map<std::pair<std::uint16_t, Node>, std::uint32_t> before;
  for (std::uint32_t e = 0; e < elements_.size(); ++e) {
    before[{elements_[e].level, elements_[e].node}] = e;
  }
  const Document& old = *state_.document;
  const auto step = [&](Was was, const std::string* name, std::uint32_t index) -> Was {
    if (was.value != nullptr && !was.value->opened()) {
      was.node = was.value->in_place() ? was.value->origin() : std::nullopt;
      was.value = nullptr;
    }
    if (was.value != nullptr) {
      if (name != nullptr) return {find_at(*was.value, {*name}), std::nullopt};
      return {was.value->children().at(index).value.get(), std::nullopt};
    }
    if (!was.node) return {};
    if (name != nullptr) return {nullptr, old.find(*was.node, {*name})};
    auto node = old.first(*was.node);
    while (node && index-- != 0) node = old.next(*node);
    return {nullptr, node};
  };
  std::vector<std::string> problems;
  auto elements = find_elements(plan_, record, problems);
  std::vector<Was> was(elements.size());
  was[0].value = &*root_;
  elements[0].made = elements_[0].made;
  next.origins.emplace(elements.size());
  if (!state_.born) next.origins->front() = origin(0);
  for (std::size_t i = 1; i < elements.size(); ++i) {
    const ElementLevel& level = plan_.collection().levels[elements[i].level];
    Was here = was[elements[i].parent];
    for (const std::string& name : level.path) here = step(here, &name, 0);
    if (level.each) here = step(here, nullptr, elements[i].index);
    was[i] = here;
    std::optional<Node> node = here.node;
    if (here.value != nullptr) node = here.value->origin();
    const auto found = node ? before.find({elements[i].level, *node}) : before.end();
    if (found != before.end()) {
      elements[i].made = elements_[found->second].made;
      (*next.origins)[i] = origin(found->second);
    }
    if (here.value != nullptr && here.value->made) elements[i].made = *here.value->made;
  }
  if (!plan_.remembers) return;
  const RecordMemory fresh = memory_of(plan_, elements);
  NoIdentities none;
  remember(plan_, record, &fresh, none, elements);
  next.memory = memory_of(plan_, elements);
}

void RecordEditor::finish() {
  if (state_.gone || !root_) {
    if (!state_.gone) state_.memory = memory_of(plan_, elements_);
    state_.born = false;
    return;
  }
  RecordState next = state_;
  next.text = std::make_shared<const std::string>(root_->render(style_, state_.indent));
  next.document = Document::parse(*next.text, {.where = "the record"});
  follow_elements(next);
  next.born = false;
  state_ = std::move(next);
}

}  // namespace switchback
