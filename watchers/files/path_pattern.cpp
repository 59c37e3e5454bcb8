#include "watchers/files/path_pattern.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>

#include "state/base/error.h"

namespace switchback {
namespace {

using Piece = PathPart::Piece;

[[noreturn]] void refuse(std::string_view text, const std::string& what) {
  throw Error(ErrorKind::kUsage, Retry::kNever,
              fmt::format("the file pattern \"{}\": {}", text, what));
}

void add_text(PathPart& part, std::string_view text) {
  if (text.empty()) return;
  if (part.pieces.empty() || part.pieces.back().sort != Piece::Sort::kText) {
    part.pieces.push_back({.sort = Piece::Sort::kText, .text = {}, .member = {}});
  }
  part.pieces.back().text += text;
}

PathPart parse_part(std::string_view whole, std::string_view text) {
  PathPart part;
  if (text == "**") {
    part.any_depth = true;
    return part;
  }
  if (text.empty() || text == "." || text == "..") refuse(whole, "a part of it is empty, . or ..");
  while (!text.empty()) {
    const std::size_t plain = std::min(text.find_first_of("*?{}"), text.size());
    add_text(part, text.substr(0, plain));
    text.remove_prefix(plain);
    if (text.empty()) break;
    const char c = text.front();
    if (c == '}') refuse(whole, "a \"}\" without \"{\"");
    if (c == '*' || c == '?') {
      if (text.starts_with("**")) refuse(whole, "\"**\" stands alone between two slashes");
      part.pieces.push_back(
          {.sort = c == '*' ? Piece::Sort::kAny : Piece::Sort::kOne, .text = {}, .member = {}});
      text.remove_prefix(1);
      continue;
    }
    const std::size_t end = text.find('}');
    const auto member = end == text.npos ? std::nullopt : parse_pointer(text.substr(1, end - 1));
    if (!member || member->empty()) {
      refuse(whole, "expected a member such as {/id} between \"{\" and \"}\"");
    }
    if (!part.pieces.empty() && part.pieces.back().sort != Piece::Sort::kText) {
      refuse(whole, "two parts that stand for any text must have some text between them");
    }
    part.pieces.push_back({.sort = Piece::Sort::kMember, .text = {}, .member = *member});
    text.remove_prefix(end + 1);
  }
  return part;
}

/// Splits at the slashes outside of braces, where they belong to pointers.
std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  std::size_t begin = 0;
  bool braces = false;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size() && text[i] == '{') braces = true;
    if (i < text.size() && text[i] == '}') braces = false;
    if (i < text.size() && (text[i] != '/' || braces)) continue;
    parts.push_back(text.substr(begin, i - begin));
    begin = i + 1;
  }
  return parts;
}

using Members = std::vector<PathMember>;

/// Matches pieces from `at` on against the rest of a name; what a member took is appended.
bool match_pieces(const std::vector<Piece>& pieces, std::size_t at, std::string_view name,
                  Members& members) {
  if (at == pieces.size()) return name.empty();
  const Piece& piece = pieces[at];
  switch (piece.sort) {
    case Piece::Sort::kText:
      return name.starts_with(piece.text) &&
             match_pieces(pieces, at + 1, name.substr(piece.text.size()), members);
    case Piece::Sort::kOne: {
      if (name.empty()) return false;
      std::size_t size = 1;
      while (size < name.size() && (static_cast<unsigned char>(name[size]) & 0xC0) == 0x80) ++size;
      return match_pieces(pieces, at + 1, name.substr(size), members);
    }
    case Piece::Sort::kAny:
    case Piece::Sort::kMember:
      break;
  }
  const bool member = piece.sort == Piece::Sort::kMember;
  // The longest first, so that the text behind a member is found at the name's end.
  for (std::size_t size = name.size() + 1; size-- > (member ? 1u : 0u);) {
    const std::size_t before = members.size();
    if (member) members.push_back({piece.member, std::string(name.substr(0, size))});
    if (match_pieces(pieces, at + 1, name.substr(size), members)) return true;
    members.resize(before);
  }
  return false;
}

bool match_parts(const std::vector<PathPart>& parts, std::size_t part,
                 const std::vector<std::string_view>& names, std::size_t name, Members& members) {
  if (part == parts.size()) return name == names.size();
  if (parts[part].any_depth) {
    for (std::size_t skip = name; skip <= names.size(); ++skip) {
      if (match_parts(parts, part + 1, names, skip, members)) return true;
    }
    return false;
  }
  if (name == names.size()) return false;
  const std::size_t before = members.size();
  if (match_pieces(parts[part].pieces, 0, names[name], members) &&
      match_parts(parts, part + 1, names, name + 1, members)) {
    return true;
  }
  members.resize(before);
  return false;
}

/// One member may stand in several places of a pattern; then all must say the same.
bool consistent(Members& members) {
  Members once;
  for (auto& member : members) {
    const auto same = std::find_if(once.begin(), once.end(), [&](const PathMember& there) {
      return there.member == member.member;
    });
    if (same == once.end()) {
      once.push_back(std::move(member));
    } else if (same->value != member.value) {
      return false;
    }
  }
  members = std::move(once);
  return true;
}

std::string bad_name(std::string_view value) {
  if (value.empty()) return "it is empty";
  if (value == "." || value == "..") return "it would be another folder";
  if (value.find('/') != value.npos || value.find('\\') != value.npos) {
    return "it holds a slash, which would lead to another folder";
  }
  if (!simdjson::validate_utf8(value.data(), value.size())) return "it is not UTF-8";
  const bool control = std::any_of(value.begin(), value.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
  });
  if (control) return "it holds a control character";
  return {};
}

std::string shown(std::string_view value) {
  std::string out;
  for (const char c : value.substr(0, 60)) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 0x20 || byte >= 0x7F ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  return value.size() > 60 ? out + "…" : out;
}

/// Why `name` cannot be the name of a file or folder; empty if it can.
std::string no_file_name(std::string_view name) {
  constexpr std::size_t kLongestName = 255;  // NAME_MAX of Linux's file systems
  const std::string bad = bad_name(name);
  if (!bad.empty()) return fmt::format("'{}' is no file name: {}", shown(name), bad);
  if (name.size() <= kLongestName) return {};
  return fmt::format("the file name '{}' would have {} bytes; {} is the limit", shown(name),
                     name.size(), kLongestName);
}

}  // namespace

std::optional<MemberPath> parse_pointer(std::string_view text) {
  MemberPath path;
  if (text.empty()) return path;
  if (text.front() != '/') return std::nullopt;
  for (const char c : text) {
    if (c == '/') {
      path.emplace_back();
    } else {
      path.back() += c;
    }
  }
  for (std::string& step : path) {
    std::string plain;
    for (std::size_t i = 0; i < step.size(); ++i) {
      if (step[i] != '~') {
        plain += step[i];
        continue;
      }
      const char code = i + 1 < step.size() ? step[++i] : ' ';
      if (code != '0' && code != '1') return std::nullopt;
      plain += code == '0' ? '~' : '/';
    }
    step = plain;
  }
  return path;
}

std::string to_pointer(const MemberPath& path) {
  std::string out;
  for (const std::string& step : path) {
    out += '/';
    for (const char c : step) {
      if (c == '~') {
        out += "~0";
      } else if (c == '/') {
        out += "~1";
      } else {
        out += c;
      }
    }
  }
  return out;
}

FilePattern parse_file_pattern(std::string_view text) {
  if (text.starts_with('/')) refuse(text, "it must be relative");
  if (text.find('\0') != text.npos) refuse(text, "it holds a NUL");
  FilePattern pattern;
  pattern.text = text;
  for (const std::string_view part : split(text)) {
    pattern.parts.push_back(parse_part(text, part));
  }
  if (pattern.parts.back().any_depth) refuse(text, "a file's name must follow \"**\"");
  return pattern;
}

std::optional<std::vector<PathMember>> match_path(const FilePattern& pattern,
                                                  std::string_view path) {
  Members members;
  std::vector<std::string_view> names;
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    names.push_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  if (!match_parts(pattern.parts, 0, names, 0, members) || !consistent(members)) {
    return std::nullopt;
  }
  return members;
}

bool may_hold_matches(const FilePattern& pattern, std::string_view folder) {
  std::size_t part = 0;
  Members ignored;
  for (std::size_t begin = 0; begin < folder.size();) {
    const std::size_t end = std::min(folder.find('/', begin), folder.size());
    if (part + 1 >= pattern.parts.size()) return false;
    if (pattern.parts[part].any_depth) return true;
    if (!match_pieces(pattern.parts[part].pieces, 0, folder.substr(begin, end - begin), ignored)) {
      return false;
    }
    ++part;
    begin = end + 1;
  }
  return part + 1 <= pattern.parts.size();
}

MadePath make_path(const FilePattern& pattern, const std::vector<PathMember>& members) {
  std::string path;
  for (const PathPart& part : pattern.parts) {
    std::string name;
    if (part.any_depth) continue;  // no folder is any number of them
    for (const Piece& piece : part.pieces) {
      if (piece.sort == Piece::Sort::kText) {
        name += piece.text;
        continue;
      }
      if (piece.sort != Piece::Sort::kMember) {
        return {{},
                fmt::format("\"{}\" does not say which file a new record goes to", pattern.text)};
      }
      const auto member = std::find_if(members.begin(), members.end(), [&](const auto& there) {
        return there.member == piece.member;
      });
      if (member == members.end()) {
        return {{},
                fmt::format("no value for {} of \"{}\"", to_pointer(piece.member), pattern.text)};
      }
      const std::string bad = bad_name(member->value);
      if (!bad.empty()) {
        return {{},
                fmt::format("'{}' cannot be part of a file's name: {}", shown(member->value), bad)};
      }
      name += member->value;
    }
    const std::string bad = no_file_name(name);
    if (!bad.empty()) return {{}, bad};
    if (!path.empty()) path += '/';
    path += name;
  }
  // Read back it must say the same, or a later scan would take it for another record's.
  const auto back = match_path(pattern, path);
  const auto told = [&](const PathMember& member) {
    return std::find(members.begin(), members.end(), member) != members.end();
  };
  if (!back || !std::all_of(back->begin(), back->end(), told)) {
    return {{}, fmt::format("the path '{}' would be read as another record's", shown(path))};
  }
  return {path, {}};
}

MadePath checked_path(std::string_view path) {
  for (std::size_t begin = 0; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    std::string bad = no_file_name(path.substr(begin, end - begin));
    if (!bad.empty()) return {{}, std::move(bad)};
    begin = end + 1;
  }
  return {std::string(path), {}};
}

}  // namespace switchback
