#include "watchers/files/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "state/base/error.h"
#include "watchers/files/path_pattern.h"

namespace switchback {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/// Walks over JSON without looking closer than brackets and strings need: what it steps over is
/// judged by parse_record(), or was when it last changed.
class Skimmer {
 public:
  Skimmer(std::string_view file, std::string_view where) : file_(file), where_(where) {}

  FileRecords each(const MemberPath& path) {
    FileRecords out;
    blanks();
    if (at_ == file_.size()) fail("the file is empty");
    if (!enter(path, 0, out)) out.frame = FileRecords::Frame::kMissing;
    blanks();
    if (at_ != file_.size()) fail("something follows the value's end");
    return out;
  }

 private:
  /// Reads the value at the cursor; true if the records were found in it.
  bool enter(const MemberPath& path, std::size_t depth, FileRecords& out) {
    if (depth == path.size()) return records(path, out);
    if (peek() != '{') {
      const bool null = file_.substr(at_).starts_with("null");
      if (!null) fail(fmt::format("expected an object that holds \"{}\"", path[depth]));
      skip();
      return false;
    }
    bool found = false, seen = false;
    members([&](std::string_view token) {
      if (unescape_json(token) != path[depth]) return skip();
      if (seen) fail(fmt::format("the member \"{}\" is there twice", path[depth]));
      seen = true;
      found = enter(path, depth + 1, out);
    });
    return found;
  }

  bool records(const MemberPath& path, FileRecords& out) {
    if (file_.substr(at_).starts_with("null")) {
      skip();
      return false;
    }
    out.begin = at_;
    if (peek() == '[') {
      out.frame = FileRecords::Frame::kArray;
      elements([&] { out.records.push_back(span(0, 0)); });
    } else if (peek() == '{') {
      out.frame = FileRecords::Frame::kMap;
      members([&](std::string_view token) {
        const auto begin = static_cast<std::size_t>(token.data() - file_.data());
        out.records.push_back(span(begin, begin + token.size()));
      });
      check_names(out);
    } else {
      fail(fmt::format("expected an array or an object of records at \"{}\"", to_pointer(path)));
    }
    out.end = at_;
    return true;
  }

  RecordSpan span(std::size_t name_begin, std::size_t name_end) {
    RecordSpan made;
    made.name_begin = name_begin;
    made.name_end = name_end;
    made.begin = at_;
    skip();
    made.end = at_;
    return made;
  }

  template <class Call>
  void elements(Call&& call) {
    ++at_;
    blanks();
    if (take(']')) return;
    do {
      blanks();
      call();
      blanks();
    } while (take(','));
    if (!take(']')) fail("expected ',' or ']'");
  }

  template <class Call>
  void members(Call&& call) {
    ++at_;
    blanks();
    if (take('}')) return;
    do {
      blanks();
      const std::string_view token = name();
      blanks();
      if (!take(':')) fail("expected ':'");
      blanks();
      call(token);
      blanks();
    } while (take(','));
    if (!take('}')) fail("expected ',' or '}'");
  }

  std::string_view name() {
    const std::size_t begin = at_;
    if (peek() != '"') fail("expected a member's name in quotes");
    skip_string();
    const std::string_view token = file_.substr(begin, at_ - begin);
    const bool plain = std::all_of(token.begin(), token.end(), [](char c) {
      return static_cast<unsigned char>(c) >= 0x20 && static_cast<unsigned char>(c) < 0x80 &&
             c != '\\';
    });
    if (!plain) Document::parse(token, {.where = where_, .file = file_});
    return token;
  }

  /// Over one value: a scalar to its delimiter, a container to its closing bracket.
  void skip() {
    const char c = peek();
    if (c == '"') return skip_string();
    if (c != '{' && c != '[') {
      const std::size_t end = std::min(file_.find_first_of(",]} \t\r\n", at_), file_.size());
      if (end == at_) fail("expected a value");
      at_ = end;
      return;
    }
    std::size_t depth = 0;
    do {
      // Everything but brackets and strings is stepped over at once.
      while (at_ < file_.size() && !kStops[static_cast<unsigned char>(file_[at_])]) ++at_;
      if (at_ >= file_.size()) fail("the file ends inside a value");
      switch (file_[at_]) {
        case '"':
          skip_string();
          continue;
        case '{':
        case '[':
          ++depth;
          break;
        default:
          --depth;
          break;
      }
      ++at_;
    } while (depth != 0);
  }

  void skip_string() {
    std::size_t from = at_ + 1;
    for (;;) {
      const void* const quote = from < file_.size()
                                    ? std::memchr(file_.data() + from, '"', file_.size() - from)
                                    : nullptr;
      if (quote == nullptr) {
        at_ = file_.size();
        fail("the file ends inside a string");
      }
      const auto end = static_cast<std::size_t>(static_cast<const char*>(quote) - file_.data());
      std::size_t slashes = 0;
      while (file_[end - 1 - slashes] == '\\') ++slashes;
      from = end + 1;
      if (slashes % 2 == 0) break;
    }
    at_ = from;
  }

  void check_names(const FileRecords& out) {
    std::vector<std::pair<Hash128, std::size_t>> names;
    for (std::size_t i = 0; i < out.records.size(); ++i)
      names.push_back({hash_of(out.name(file_, i)), i});
    std::sort(names.begin(), names.end());
    for (std::size_t i = 1; i < names.size(); ++i) {
      if (names[i].first != names[i - 1].first) continue;
      at_ = out.records[names[i].second].name_begin;
      fail(fmt::format("the member \"{}\" is there twice", out.name(file_, names[i].second)));
    }
  }

  char peek() {
    if (at_ >= file_.size()) fail("the file ends where a value should be");
    return file_[at_];
  }
  void blanks() {
    while (at_ < file_.size() && is_blank(file_[at_])) ++at_;
  }
  bool take(char c) {
    if (at_ >= file_.size() || file_[at_] != c) return false;
    ++at_;
    return true;
  }

  [[noreturn]] void fail(const std::string& what) {
    // The strict parser knows better what is wrong, if the file is no JSON at all. It needs three
    // times the file's memory.
    if (file_.size() <= kSmall) Document::parse(file_, {.where = where_});
    const TextPlace place = place_in(file_, at_);
    throw Error(ErrorKind::kData, Retry::kLater,
                fmt::format("{}:{}:{}: {}", where_, place.line, place.column, what),
                {.object = std::string(where_)});
  }

  static constexpr std::size_t kSmall = std::size_t{16} << 20;
  static constexpr auto kStops = [] {
    std::array<bool, 256> stops{};
    for (const char c : {'"', '{', '[', '}', ']'}) stops[static_cast<unsigned char>(c)] = true;
    return stops;
  }();

  std::string_view file_, where_;
  std::size_t at_ = 0;
};

FileRecords lines(std::string_view file) {
  FileRecords out;
  out.frame = FileRecords::Frame::kLines;
  for (std::size_t begin = 0; begin < file.size();) {
    const std::size_t line_end = file.find('\n', begin);
    RecordSpan span;
    span.begin = begin;
    span.end = std::min(line_end, file.size());
    while (span.begin < span.end && is_blank(file[span.begin])) ++span.begin;
    while (span.end > span.begin && is_blank(file[span.end - 1])) --span.end;
    if (span.begin < span.end) {
      out.records.push_back(span);
      out.unfinished_line = line_end == file.npos;
    }
    if (line_end == file.npos) break;
    begin = line_end + 1;
  }
  return out;
}

FileRecords whole(std::string_view file, FileRecords::Frame frame) {
  FileRecords out;
  out.frame = frame;
  RecordSpan span{.begin = 0, .end = file.size()};
  if (frame == FileRecords::Frame::kWhole) {
    while (span.begin < span.end && is_blank(file[span.begin])) ++span.begin;
    while (span.end > span.begin && is_blank(file[span.end - 1])) --span.end;
  }
  out.records.push_back(span);
  return out;
}

}  // namespace

std::string FileRecords::name(std::string_view file, std::size_t i) const {
  const RecordSpan& span = records[i];
  if (span.name_begin == span.name_end) return {};
  return unescape_json(file.substr(span.name_begin, span.name_end - span.name_begin));
}

FileRecords divide(std::string_view file, const RecordsLayout& layout, std::string_view where) {
  switch (layout.form) {
    case RecordsLayout::Form::kEach:
      return Skimmer(file, where).each(layout.path);
    case RecordsLayout::Form::kWhole: {
      FileRecords out = whole(file, FileRecords::Frame::kWhole);
      if (out.records[0].begin == out.records[0].end) {
        throw Error(ErrorKind::kData, Retry::kLater,
                    fmt::format("{}:1:1: the file is empty", where),
                    {.object = std::string(where)});
      }
      return out;
    }
    case RecordsLayout::Form::kLines:
      return lines(file);
    case RecordsLayout::Form::kOpaque:
      return whole(file, FileRecords::Frame::kOpaque);
  }
  return {};
}

Document parse_record(std::string_view file, const FileRecords& records, std::size_t i,
                      const RecordsLayout& layout, std::string_view where) {
  TextOrigin origin{.where = where, .file = file};
  switch (records.frame) {
    case FileRecords::Frame::kArray:
      origin.pointer = to_pointer(layout.path) + "/" + std::to_string(i);
      break;
    case FileRecords::Frame::kMap:
      origin.pointer = to_pointer(layout.path) + to_pointer({records.name(file, i)});
      break;
    case FileRecords::Frame::kWhole:
    case FileRecords::Frame::kLines:
    case FileRecords::Frame::kOpaque:
    case FileRecords::Frame::kMissing:
      break;
  }
  return Document::parse(records.bytes(file, i), origin);
}

}  // namespace switchback
