#include "watchers/files/record_path.h"

#include <fmt/format.h>

#include <algorithm>

#include "watchers/files/path_pattern.h"
#include "watchers/files/scan.h"

namespace switchback {
namespace {

const FilePattern& pattern_of(const Collection& collection, std::string_view path) {
  const auto found = std::find_if(
      collection.files.begin(), collection.files.end(),
      [&](const FilePattern& pattern) { return match_path(pattern, path).has_value(); });
  return found == collection.files.end() ? collection.files.front() : *found;
}

}  // namespace

MadePath record_path(const Collection& collection, const RecordText& text, std::string_view now) {
  MadePath made =
      text.path ? checked_path(*text.path) : make_path(pattern_of(collection, now), text.members);
  if (made.path.empty() || made.path == now) return made;
  if (!takes_file(collection, made.path)) {
    return {{}, fmt::format("the collection would not take '{}' for one of its files", made.path)};
  }
  return made;
}

}  // namespace switchback
