#include "watchers/files/elements.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "watchers/files/path_pattern.h"

namespace switchback {
namespace {

using Node = Document::Node;
constexpr std::uint32_t kNone = ElementMemory::kNone;

Hash128 combined(const Hash128& a, const Hash128& b) {
  const std::uint64_t parts[] = {a.high, a.low, b.high, b.low};
  return hash_of({reinterpret_cast<const char*>(parts), sizeof parts});
}

Mark mark_of(const LensPlan& plan, std::uint16_t level, const Document& document, Node node,
             const std::string& name, bool in_map) {
  if (in_map) return {hash_of(name), true};
  Hash128 key;
  const auto& members = plan.levels[level].own_key;
  for (const MemberPath& path : members) {
    const auto value = document.find(node, path);
    if (!value || document.sort(*value) == JsonSort::kNull) return {document.meaning(node), false};
    key = combined(key, document.meaning(*value));
  }
  if (members.empty()) return {document.meaning(node), false};
  return {key, true};
}

class Finder {
 public:
  Finder(const LensPlan& plan, const RecordInput& record, std::vector<std::string>& problems)
      : plan_(plan), document_(*record.document), problems_(problems) {}

  void inside(std::uint32_t parent) {
    const std::uint16_t level = elements[parent].level;
    for (const std::uint16_t child : plan_.levels[level].children) {
      const ElementLevel& spec = plan_.collection().levels[child];
      const auto found = document_.find(elements[parent].node, spec.path);
      if (!found || document_.sort(*found) == JsonSort::kNull) continue;
      if (spec.each) {
        each(parent, child, *found);
      } else {
        add(parent, child, *found, {}, false, 0);
      }
    }
  }

  std::vector<Element> elements;

 private:
  void each(std::uint32_t parent, std::uint16_t level, Node container) {
    if (!document_.is_container(container)) {
      problems_.push_back(document_.place(container) + ": expected an array or an object");
      return;
    }
    const bool in_array = document_.sort(container) == JsonSort::kArray;
    std::uint32_t index = 0;
    for (auto node = document_.first(container); node; node = document_.next(*node)) {
      add(parent, level, *node, document_.name(*node), in_array, index++);
    }
  }

  void add(std::uint32_t parent, std::uint16_t level, Node node, std::string name, bool in_array,
           std::uint32_t index) {
    Element element;
    element.level = level;
    element.parent = parent;
    element.node = node;
    element.in_array = in_array;
    element.index = index;
    if (plan_.remembers) {
      const bool single = !plan_.collection().levels[level].each;
      element.mark =
          single ? Mark{{}, true} : mark_of(plan_, level, document_, node, name, !in_array);
    }
    element.name = std::move(name);
    elements.push_back(std::move(element));
    inside(static_cast<std::uint32_t>(elements.size() - 1));
  }

  const LensPlan& plan_;
  const Document& document_;
  std::vector<std::string>& problems_;
};

std::string hash_text(const Hash128& hash) {
  return fmt::format("{:016x}{:016x}", hash.high, hash.low);
}

/// The elements of one level inside one element.
using Group = std::pair<std::uint32_t, std::uint16_t>;

class Rememberer {
 public:
  Rememberer(const LensPlan& plan, const RecordMemory* before, Identities& identities,
             std::vector<Element>& elements)
      : plan_(plan), identities_(identities), elements_(elements) {
    before_of_.assign(elements.size(), kNone);
    if (before == nullptr) return;
    before_ = &before->elements;
    for (std::uint32_t i = 1; i < before_->size(); ++i) {
      const ElementMemory& element = (*before_)[i];
      before_groups_[{element.parent, element.level}].push_back(i);
    }
    if (!before_->empty()) take(0, 0);
  }

  /// The record itself, then every group, outer ones first.
  void run(const RecordInput& record) {
    Element& root = elements_[0];
    if (plan_.levels[0].place && root.in_array) root.made.place = record.place;
    fill(root, record.copy);
    std::map<Group, std::vector<std::uint32_t>> groups;
    for (std::uint32_t i = 1; i < elements_.size(); ++i) {
      groups[{elements_[i].parent, elements_[i].level}].push_back(i);
    }
    for (const auto& [group, members] : groups) one(group, members);
  }

 private:
  void take(std::uint32_t element, std::uint32_t old) {
    before_of_[element] = old;
    const ElementMemory& memory = (*before_)[old];
    elements_[element].made = memory.made;
    // An identity made from contents goes with them.
    if (memory.mark != elements_[element].mark) elements_[element].made.hash.clear();
  }

  void one(const Group& group, const std::vector<std::uint32_t>& members) {
    const std::uint32_t old_parent = before_of_[group.first];
    const auto old = before_groups_.find({old_parent, group.second});
    if (old_parent != kNone && old != before_groups_.end()) {
      std::vector<Mark> before, now;
      for (const std::uint32_t i : old->second) before.push_back((*before_)[i].mark);
      for (const std::uint32_t i : members) now.push_back(elements_[i].mark);
      const auto pairs = align(before, now);
      for (std::size_t i = 0; i < pairs.size(); ++i) {
        if (pairs[i] != kNone) take(members[i], old->second[pairs[i]]);
      }
    }
    if (plan_.levels[group.second].place && elements_[members[0]].in_array) {
      std::vector<std::optional<std::int64_t>> places;
      for (const std::uint32_t i : members) places.push_back(elements_[i].made.place);
      number_places(places);
      for (std::size_t i = 0; i < members.size(); ++i) elements_[members[i]].made.place = places[i];
    }
    std::map<std::string, std::uint32_t> copies;
    if (plan_.levels[group.second].hash) {
      for (const std::uint32_t i : members) {
        if (!elements_[i].made.hash.empty()) ++copies[elements_[i].made.hash];
      }
    }
    for (const std::uint32_t i : members) {
      std::uint32_t copy = 0;
      if (plan_.levels[group.second].hash && elements_[i].made.hash.empty()) {
        while (copies.contains(hash_for(elements_[i], copy))) ++copy;
        copies[hash_for(elements_[i], copy)] = 1;
      }
      fill(elements_[i], copy);
    }
  }

  std::string hash_for(const Element& element, std::uint32_t copy) const {
    const Hash128 hash = element.mark.hash;
    return hash_text(copy == 0 ? hash : combined(hash, {0, copy}));
  }

  void fill(Element& element, std::uint32_t copy) {
    const LevelPlan& level = plan_.levels[element.level];
    if (level.uuid && element.made.uuid.empty()) element.made.uuid = identities_.new_uuid();
    if (level.serial && !element.made.serial) {
      element.made.serial = identities_.next_serial(plan_.collection_index, element.level);
    }
    if (level.hash && element.made.hash.empty()) element.made.hash = hash_for(element, copy);
  }

  const LensPlan& plan_;
  Identities& identities_;
  std::vector<Element>& elements_;
  const std::vector<ElementMemory>* before_ = nullptr;
  std::map<Group, std::vector<std::uint32_t>> before_groups_;
  std::vector<std::uint32_t> before_of_;  // element -> index in before_
};

bool in_list(const LensPlan& plan, const RecordInput& record) {
  switch (plan.collection().records.form) {
    case RecordsLayout::Form::kEach:
      return !record.in_map;
    case RecordsLayout::Form::kLines:
      return true;
    case RecordsLayout::Form::kWhole:
    case RecordsLayout::Form::kOpaque:
      return false;
  }
  return false;
}

}  // namespace

Mark record_mark(const LensPlan& plan, const RecordInput& record) {
  switch (plan.collection().records.form) {
    case RecordsLayout::Form::kWhole:
    case RecordsLayout::Form::kOpaque:
      return {hash_of(record.file->path), true};
    case RecordsLayout::Form::kEach:
    case RecordsLayout::Form::kLines:
      return mark_of(plan, 0, *record.document, Document::kRoot, record.name, record.in_map);
  }
  return {};
}

std::vector<Element> find_elements(const LensPlan& plan, const RecordInput& record,
                                   std::vector<std::string>& problems) {
  Element root;
  root.name = record.name;
  root.in_array = in_list(plan, record);
  if (plan.remembers) root.mark = record_mark(plan, record);
  if (record.document == nullptr) return {std::move(root)};
  if (plan.levels[0].hash) root.mark.hash = record.document->meaning(Document::kRoot);
  Finder finder(plan, record, problems);
  finder.elements.push_back(std::move(root));
  finder.inside(0);
  return std::move(finder.elements);
}

void remember(const LensPlan& plan, const RecordInput& record, const RecordMemory* before,
              Identities& identities, std::vector<Element>& elements) {
  if (plan.remembers) Rememberer(plan, before, identities, elements).run(record);
}

RecordMemory memory_of(const LensPlan& plan, const std::vector<Element>& elements) {
  RecordMemory memory;
  if (!plan.remembers) return memory;
  memory.elements.reserve(elements.size());
  for (std::size_t i = 0; i < elements.size(); ++i) {
    const Element& element = elements[i];
    memory.elements.push_back(
        {element.level, i == 0 ? kNone : element.parent, element.mark, element.made});
  }
  return memory;
}

}  // namespace switchback
