// File patterns: globs whose parts may be members of the record, "conversations/{/id}.json". Read
// forwards they say which files belong to a collection and what their paths tell; backwards they
// make the path of a record born in PostgreSQL, and refuse what would leave the folder or is no
// file name. Pure: nothing here touches a disk, so symbolic links are for whoever opens the file.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "state/model/document_map.h"

namespace switchback {

/// A member whose value a path holds.
struct PathMember {
  MemberPath member;
  std::string value;
  friend bool operator==(const PathMember&, const PathMember&) = default;
};

/// Throws Error(kUsage) on a pattern that cannot be meant: absolute, "..", an empty part, "{" that
/// is not closed or holds no pointer. `text` may have '*', '?', "**/" and "{/pointer}".
FilePattern parse_file_pattern(std::string_view text);

/// The members that `path` (relative, with '/') tells if the pattern takes it; nullopt if it does
/// not.
std::optional<std::vector<PathMember>> match_path(const FilePattern& pattern,
                                                  std::string_view path);
/// Whether any path below the folder `path` could match: which folders are to be watched.
bool may_hold_matches(const FilePattern& pattern, std::string_view folder);

struct MadePath {
  std::string path;    // empty if there is none
  std::string reason;  // then: why
};
/// The path that these members make. There is none if the pattern has '*' or '?' left, if a member
/// is missing, or if a value is no plain file name: empty, '.', '..', longer than 255 bytes with
/// what surrounds it, not UTF-8, or holding '/', '\\', NUL or a control character.
MadePath make_path(const FilePattern& pattern, const std::vector<PathMember>& members);

/// The same for a path that is given as a whole.
MadePath checked_path(std::string_view path);

/// RFC 6901 text and back; nullopt if it is no pointer.
std::optional<MemberPath> parse_pointer(std::string_view text);
std::string to_pointer(const MemberPath& path);

}  // namespace switchback
