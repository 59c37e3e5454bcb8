#include "watchers/files/record_path.h"

#include <fmt/format.h>

#include <algorithm>

#include "watchers/files/file_read.h"
#include "watchers/files/path_pattern.h"

namespace switchback {
namespace {

const FilePattern& pattern_of(const Collection& collection, std::string_view path) {
  const auto found = std::find_if(
      collection.files.begin(), collection.files.end(),
      [&](const FilePattern& pattern) { return match_path(pattern, path).has_value(); });
  return found == collection.files.end() ? collection.files.front() : *found;
}

bool takes(const std::vector<FilePattern>& patterns, std::string_view path) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const FilePattern& pattern) {
    return match_path(pattern, path).has_value();
  });
}

}  // namespace

MadePath record_path(const Collection& collection, const RecordText& text, std::string_view now) {
  MadePath made =
      text.path ? checked_path(*text.path) : make_path(pattern_of(collection, now), text.members);
  if (made.path.empty() || made.path == now) return made;
  const std::string_view name = std::string_view(made.path).substr(made.path.rfind('/') + 1);
  if (!takes(collection.files, made.path) || takes(collection.except, made.path) ||
      name.starts_with(kTemporaryPrefix)) {
    return {{}, fmt::format("the collection would not take '{}' for one of its files", made.path)};
  }
  return made;
}

}  // namespace switchback
