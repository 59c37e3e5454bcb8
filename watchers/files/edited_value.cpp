#include "watchers/files/edited_value.h"

#include <algorithm>

namespace switchback {
namespace {

using Node = Document::Node;

std::string_view after_last_line_end(std::string_view gap) {
  return gap.substr(gap.rfind('\n') + 1);
}

std::size_t begin_of(const Document& document, Node node) {
  const std::string_view name = document.raw_name(node);
  if (name.empty()) return document.begin(node);
  return static_cast<std::size_t>(name.data() - document.text().data());
}

/// The blanks and the comma that a container puts around what it holds.
struct Gaps {
  std::string lead, between, tail;
  std::string inner_indent;

  Gaps(const Document& document, Node container, const TextStyle& style, std::string_view indent) {
    const std::string_view text = document.text();
    const auto first = document.first(container);
    if (!first) {
      const std::string inner = std::string(indent) + style.unit;
      if (style.lines) lead = style.line_end + inner;
      if (style.lines) tail = style.line_end + std::string(indent);
      between = style.lines ? "," + lead : style.comma;
      inner_indent = style.lines ? inner : std::string(indent);
      return;
    }
    Node last = *first;
    while (const auto next = document.next(last)) last = *next;
    const std::size_t lead_begin = document.begin(container) + 1;
    lead = text.substr(lead_begin, begin_of(document, *first) - lead_begin);
    tail = text.substr(document.end(last), document.end(container) - 1 - document.end(last));
    const bool lines = lead.find('\n') != lead.npos;
    inner_indent = lines ? after_last_line_end(lead) : indent;
    if (const auto second = document.next(*first)) {
      between =
          text.substr(document.end(*first), begin_of(document, *second) - document.end(*first));
    } else {
      between = lines ? "," + lead : style.comma;
    }
  }
};

}  // namespace

EditedValue::EditedValue(const Document& document, Node node)
    : record_(&document), origin_(node), content_(&document), node_(node) {}

EditedValue::EditedValue(std::string_view json) : content_(nullptr), node_(Document::kRoot) {
  replace(json);
}

void EditedValue::replace(std::string_view json) {
  auto own = std::make_shared<Own>();
  own->text = json;
  own->document = Document::parse(own->text, {.where = "a value"});
  content_ = &own->document;
  node_ = Document::kRoot;
  own_ = std::move(own);
  record_ = nullptr;
  opened_ = false;
  children_.clear();
}

std::vector<EditedValue::Child>& EditedValue::children() {
  if (opened_) return children_;
  opened_ = true;
  for (auto node = content_->first(node_); node; node = content_->next(*node)) {
    Child child;
    child.name = content_->name(*node);
    child.value = std::make_unique<EditedValue>(*content_, *node);
    if (record_ == nullptr) {
      // A part of a born value has no place in the record, and must keep its text alive.
      child.value->record_ = nullptr;
      child.value->origin_.reset();
      child.value->own_ = own_;
    }
    children_.push_back(std::move(child));
  }
  return children_;
}

EditedValue* EditedValue::child(std::string_view name) {
  if (sort() != JsonSort::kObject) return nullptr;
  for (Child& child : children()) {
    if (child.name == name) return child.value.get();
  }
  return nullptr;
}

void EditedValue::remove_child(const EditedValue* child) {
  std::erase_if(children(), [&](const Child& there) { return there.value.get() == child; });
}

void EditedValue::assign(std::string_view json) {
  const Document document = Document::parse(json, {.where = "a value"});
  assign(document, Document::kRoot);
}

void EditedValue::assign(const Document& document, Node node) {
  if (!opened_ && content_->meaning(node_) == document.meaning(node)) return;
  if (sort() != document.sort(node)) return replace(document.raw(node));
  if (sort() == JsonSort::kObject) return assign_object(document, node);
  if (sort() == JsonSort::kArray) return assign_array(document, node);
  replace(document.raw(node));
}

void EditedValue::assign_object(const Document& document, Node node) {
  std::erase_if(children(), [&](const Child& there) { return !document.member(node, there.name); });
  for (auto member = document.first(node); member; member = document.next(*member)) {
    const std::string name = document.name(*member);
    if (EditedValue* there = child(name)) {
      there->assign(document, *member);
    } else {
      children_.push_back({name, std::make_unique<EditedValue>(document.raw(*member))});
    }
  }
}

void EditedValue::assign_array(const Document& document, Node node) {
  std::vector<Mark> before, now;
  std::vector<Node> nodes;
  for (Child& child : children()) {
    before.push_back({child.value->content_->meaning(child.value->node_), false});
  }
  for (auto item = document.first(node); item; item = document.next(*item)) {
    now.push_back({document.meaning(*item), false});
    nodes.push_back(*item);
  }
  const auto pairs = align(before, now);
  std::vector<Child> fresh;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (pairs[i] == ElementMemory::kNone) {
      fresh.push_back({{}, std::make_unique<EditedValue>(document.raw(nodes[i]))});
      continue;
    }
    fresh.push_back(std::move(children_[pairs[i]]));
    fresh.back().value->assign(document, nodes[i]);
  }
  children_ = std::move(fresh);
}

std::string EditedValue::render(const TextStyle& style, std::string_view indent) {
  std::string out;
  render(out, style, indent);
  return out;
}

void EditedValue::render(std::string& out, const TextStyle& style, std::string_view indent) {
  const bool empty_still = opened_ && children_.empty() && content_->count(node_) == 0;
  if (!opened_ || empty_still) {
    out += record_ != nullptr ? std::string(content_->raw(node_))
                              : style.print(content_->raw(node_), indent);
  } else if (record_ != nullptr) {
    render_in_place(out, style, indent);
  } else {
    render_new(out, style, indent);
  }
}

void EditedValue::render_in_place(std::string& out, const TextStyle& style,
                                  std::string_view indent) {
  const bool object = sort() == JsonSort::kObject;
  const std::string_view text = content_->text();
  out += object ? '{' : '[';
  const Gaps gaps(*content_, node_, style, indent);
  std::optional<Node> previous;  // the place of the value before
  for (std::size_t i = 0; i < children_.size(); ++i) {
    const Child& child = children_[i];
    const auto place = child.value->origin_;
    const bool follows = previous && place && content_->next(*previous) == place;
    if (i == 0) {
      out += gaps.lead;
    } else if (follows) {
      const std::size_t end = content_->end(*previous);
      out += text.substr(end, begin_of(*content_, *place) - end);
    } else {
      out += gaps.between;
    }
    if (object && place && !child.renamed) {
      const std::size_t begin = begin_of(*content_, *place);
      out += text.substr(begin, content_->begin(*place) - begin);
    } else if (object) {
      out += style.quote(child.name) + style.colon;
    }
    child.value->render(out, style, gaps.inner_indent);
    previous = place;
  }
  if (!children_.empty()) out += gaps.tail;
  out += object ? '}' : ']';
}

void EditedValue::render_new(std::string& out, const TextStyle& style, std::string_view indent) {
  const bool object = sort() == JsonSort::kObject;
  const std::string inner = style.lines ? std::string(indent) + style.unit : std::string(indent);
  out += object ? '{' : '[';
  for (std::size_t i = 0; i < children_.size(); ++i) {
    if (i != 0) out += style.lines ? "," : style.comma;
    if (style.lines) out += style.line_end + inner;
    if (object) out += style.quote(children_[i].name) + style.colon;
    children_[i].value->render(out, style, inner);
  }
  if (!children_.empty() && style.lines) out += style.line_end + std::string(indent);
  out += object ? '}' : ']';
}

}  // namespace switchback
