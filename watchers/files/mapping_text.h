// The small languages of a mapping of documents: where a value comes from ("^/id", "$key"), where a
// table's rows are ("/messages/*"), how a file is divided into records ("/users/*"). Parsed here
// for the configuration, and linked into what the lens executes. Everything throws Error(kUsage)
// that says what was expected. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "state/model/document_map.h"

namespace switchback {

/// "/a/b", "", "^/a", "$key", "^$key", "$path" … "$rest", "=constant", "$uuid", "$serial", "$hash".
ValueSource parse_source(std::string_view text);

/// "/*", "", "/p/*", "lines", "file".
RecordsLayout parse_records(std::string_view text);

/// The levels that the paths of a collection's tables mean ("", "/object", "/list/*", "/a/*/b/*"),
/// made in `collection`; for each path its level. Each "*" is a level, and so is each place that
/// has a table: what encloses a row is the nearest of either.
std::vector<std::uint16_t> make_levels(Collection& collection,
                                       const std::vector<std::string>& paths);

/// Completes a collection whose tables and levels stand: orders the tables, finds for each '^' the
/// enclosing row that has the value, gives lists with a place that order. Throws if a source
/// reaches out of the record, a file's property is taken of something else, or nothing in a row
/// says which row encloses it.
void link_collection(const Mapping& mapping, Collection& collection);

}  // namespace switchback
