#include "watchers/files/file_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "state/base/error.h"
#include "watchers/files/edited_value.h"
#include "watchers/files/path_pattern.h"

namespace switchback {
namespace {

using Frame = FileRecords::Frame;
using Sort = RecordEdit::Sort;

/// One record of the file that is to be.
struct Item {
  std::optional<std::size_t> old;    // which record it was
  const RecordEdit* edit = nullptr;  // its new text, if it has one
};

std::vector<Item> items_after(const FileRecords& records, const std::vector<RecordEdit>& edits) {
  std::vector<const RecordEdit*> change(records.records.size(), nullptr);
  std::vector<std::vector<const RecordEdit*>> before(records.records.size() + 1);
  for (const RecordEdit& edit : edits) {
    if (edit.sort == Sort::kInsert) {
      before.at(edit.index).push_back(&edit);
    } else {
      change.at(edit.index) = &edit;
    }
  }
  std::vector<Item> out;
  for (std::size_t i = 0; i <= records.records.size(); ++i) {
    for (const RecordEdit* edit : before[i]) out.push_back({std::nullopt, edit});
    if (i == records.records.size()) break;
    if (change[i] == nullptr || change[i]->sort == Sort::kReplace) out.push_back({i, change[i]});
  }
  return out;
}

/// A record's lines moved to the indentation it gets. Strings hold no line ends.
std::string indented(const std::string& bytes, std::string_view indent) {
  std::string out;
  for (const char c : bytes) {
    out += c;
    if (c == '\n') out += indent;
  }
  return out;
}

std::string line_indent(std::string_view file, std::size_t at) {
  const std::size_t last = file.substr(0, at).rfind('\n');
  const std::string_view line = file.substr(last == file.npos ? 0 : last + 1);
  return std::string(line.substr(0, std::min(line.find_first_not_of(" \t"), line.size())));
}

/// Records between brackets, in an array or a map.
class Bracketed {
 public:
  Bracketed(std::string_view file, const FileRecords& records, const TextStyle& style)
      : file_(file), records_(records), style_(style) {
    const auto& all = records.records;
    const std::string outer = line_indent(file, records.begin);
    if (all.empty()) {
      indent_ = style.lines ? outer + style.unit : outer;
      if (style.lines) lead_ = style.line_end + indent_;
      if (style.lines) tail_ = style.line_end + outer;
    } else {
      lead_ = file.substr(records.begin + 1, begin_of(0) - records.begin - 1);
      tail_ = file.substr(all.back().end, records.end - 1 - all.back().end);
      const std::size_t last = lead_.rfind('\n');
      indent_ = last == lead_.npos ? outer : lead_.substr(last + 1);
    }
    if (all.size() > 1) {
      between_ = file.substr(all[0].end, begin_of(1) - all[0].end);
    } else {
      between_ = lead_.find('\n') != lead_.npos ? "," + lead_ : style.comma;
    }
  }

  void edited(const std::vector<Item>& items, const TextOut& out) const {
    out(file_.substr(0, records_.begin + 1));
    for (std::size_t i = 0; i < items.size(); ++i) {
      const auto old = items[i].old;
      if (i == 0) {
        out(lead_);
      } else if (old && items[i - 1].old && *items[i - 1].old + 1 == *old) {
        const std::size_t end = records_.records[*old - 1].end;
        out(file_.substr(end, begin_of(*old) - end));
      } else {
        out(between_);
      }
      append(out, items[i]);
    }
    if (!items.empty()) out(tail_);
    out(file_.substr(records_.end - 1));
  }

 private:
  std::size_t begin_of(std::size_t i) const {
    const RecordSpan& span = records_.records[i];
    return span.name_begin == span.name_end ? span.begin : span.name_begin;
  }

  void append(const TextOut& out, const Item& item) const {
    const bool map = records_.frame == Frame::kMap;
    if (!item.old) {
      if (map) out(style_.quote(item.edit->name) + style_.colon);
      out(indented(item.edit->bytes, indent_));
      return;
    }
    const RecordSpan& span = records_.records[*item.old];
    const bool renamed =
        map && item.edit != nullptr && item.edit->name != records_.name(file_, *item.old);
    if (renamed) {
      out(style_.quote(item.edit->name));
      out(file_.substr(span.name_end, span.begin - span.name_end));
    } else {
      out(file_.substr(begin_of(*item.old), span.begin - begin_of(*item.old)));
    }
    out(item.edit != nullptr ? std::string_view(item.edit->bytes)
                             : file_.substr(span.begin, span.end - span.begin));
  }

  std::string_view file_;
  const FileRecords& records_;
  const TextStyle& style_;
  std::string lead_, between_, tail_, indent_;
};

std::string one_line(const std::string& bytes) {
  if (bytes.find('\n') == bytes.npos) return bytes;
  return Document::parse(bytes, {.where = "a record"}).compact(Document::kRoot);
}

std::string edited_lines(std::string_view file, const FileRecords& records,
                         const std::vector<Item>& items, const TextStyle& style) {
  std::string out;
  out.reserve(file.size() + file.size() / 64);
  std::size_t kept_to = 0;  // what of the file is in `out` or dropped
  const auto line_begin = [&](std::size_t at) {
    const std::size_t last = file.substr(0, at).rfind('\n');
    return last == file.npos ? 0 : last + 1;
  };
  const auto line_after = [&](std::size_t at) {
    const std::size_t next = file.find('\n', at);
    return next == file.npos ? file.size() : next + 1;
  };
  std::size_t looked_at = 0;  // of the records
  std::vector<bool> stays(records.records.size(), false);
  for (const Item& item : items) {
    if (item.old) stays[*item.old] = true;
  }
  // Everything up to the record's line is copied, but for the lines of records that go.
  const auto copy_to = [&](std::size_t end) {
    for (; looked_at < records.records.size(); ++looked_at) {
      const RecordSpan& span = records.records[looked_at];
      if (span.begin >= end) break;
      if (stays[looked_at] || span.begin < kept_to) continue;
      out += file.substr(kept_to, line_begin(span.begin) - kept_to);
      kept_to = line_after(span.end);
    }
    if (end > kept_to) out += file.substr(kept_to, end - kept_to);
    kept_to = std::max(kept_to, end);
  };
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].old) {
      const RecordSpan& span = records.records[*items[i].old];
      copy_to(span.begin);
      out += items[i].edit != nullptr ? one_line(items[i].edit->bytes)
                                      : std::string(file.substr(span.begin, span.end - span.begin));
      kept_to = span.end;
      continue;
    }
    const auto next = std::find_if(items.begin() + static_cast<std::ptrdiff_t>(i), items.end(),
                                   [](const Item& item) { return item.old.has_value(); });
    copy_to(next == items.end() ? file.size() : line_begin(records.records[*next->old].begin));
    const bool open_line = !out.empty() && out.back() != '\n';
    if (open_line) out += style.line_end;
    out += one_line(items[i].edit->bytes);
    if (!open_line) out += style.line_end;
  }
  copy_to(file.size());
  return out;
}

/// The records as one JSON text, for a file that has no place for them yet.
std::string new_container(const std::vector<RecordEdit>& edits) {
  const bool map = std::any_of(edits.begin(), edits.end(),
                               [](const RecordEdit& edit) { return !edit.name.empty(); });
  const TextStyle plain;
  std::string out(1, map ? '{' : '[');
  for (const RecordEdit& edit : edits) {
    if (out.size() > 1) out += ',';
    if (map) out += plain.quote(edit.name) + ":";
    out += edit.bytes;
  }
  return out + (map ? '}' : ']');
}

std::string with_container(std::string_view file, const RecordsLayout& layout,
                           const std::vector<RecordEdit>& edits, const TextStyle& style) {
  const bool fresh = file.find_first_not_of(" \t\r\n") == file.npos;
  if (fresh) {
    std::string json = new_container(edits);
    for (auto step = layout.path.rbegin(); step != layout.path.rend(); ++step) {
      json = "{" + TextStyle().quote(*step) + ":" + json + "}";
    }
    return style.print(json, {}) + (style.final_line_end ? style.line_end : "");
  }
  const Document document = Document::parse(file, {.where = "the file"});
  EditedValue root(document, Document::kRoot);
  EditedValue* here = &root;
  for (const std::string& step : layout.path) {
    if (here->sort() == JsonSort::kNull) here->replace("{}");
    if (here->sort() != JsonSort::kObject) {
      throw Error(ErrorKind::kData, Retry::kNever,
                  fmt::format("there is no room for records at \"{}\"", to_pointer(layout.path)));
    }
    if (here->child(step) == nullptr) {
      here->children().push_back({step, std::make_unique<EditedValue>("null")});
    }
    here = here->child(step);
  }
  here->replace(new_container(edits));
  std::string out(file.substr(0, document.begin(Document::kRoot)));
  out += root.render(style, document.indent(Document::kRoot));
  out += file.substr(document.end(Document::kRoot));
  return out;
}

}  // namespace

std::string edit_records(std::string_view file, const FileRecords& records,
                         const RecordsLayout& layout, const std::vector<RecordEdit>& edits,
                         const TextStyle& style) {
  if (edits.empty()) return std::string(file);
  switch (records.frame) {
    case Frame::kArray:
    case Frame::kMap: {
      std::size_t size = file.size();
      for (const RecordEdit& edit : edits) size += 2 * (edit.bytes.size() + edit.name.size());
      std::string out;
      out.reserve(size);  // grown step by step, a large file would be held twice
      Bracketed(file, records, style)
          .edited(items_after(records, edits), [&](std::string_view text) { out += text; });
      return out;
    }
    case Frame::kLines:
      return edited_lines(file, records, items_after(records, edits), style);
    case Frame::kOpaque:
      return edits.back().bytes;
    case Frame::kWhole: {
      if (records.records.empty()) break;
      const RecordSpan& span = records.records.front();
      std::string out(file.substr(0, span.begin));
      out += edits.back().bytes;
      out += file.substr(span.end);
      return out;
    }
    case Frame::kMissing:
      break;
  }
  switch (layout.form) {
    case RecordsLayout::Form::kEach:
      return with_container(file, layout, edits, style);
    case RecordsLayout::Form::kWhole:
      return edits.back().bytes + (style.final_line_end ? style.line_end : "");
    case RecordsLayout::Form::kLines: {
      std::string out;
      for (const RecordEdit& edit : edits) out += one_line(edit.bytes) + style.line_end;
      return out;
    }
    case RecordsLayout::Form::kOpaque:
      return edits.back().bytes;
  }
  return std::string(file);
}

void edit_records(std::string_view file, const FileRecords& records, const RecordsLayout& layout,
                  const std::vector<RecordEdit>& edits, const TextStyle& style,
                  const TextOut& out) {
  const bool bracketed = records.frame == Frame::kArray || records.frame == Frame::kMap;
  if (!bracketed || edits.empty()) return out(edit_records(file, records, layout, edits, style));
  Bracketed(file, records, style).edited(items_after(records, edits), out);
}

}  // namespace switchback
