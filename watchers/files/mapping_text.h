// The small languages of a mapping of documents: where a value comes from ("^/id", "$key"), where a
// table's rows are ("/messages/*"), how a file is divided into records ("/users/*"). Parsed here
// for the configuration, and linked into what the lens executes. Everything throws Error(kUsage)
// that says what was expected. Pure.
#pragma once

#include <string_view>

#include "state/model/document_map.h"

namespace switchback {

/// "/a/b", "", "^/a", "$key", "^$key", "$path" … "$rest", "=constant", "$uuid", "$serial", "$hash".
ValueSource parse_source(std::string_view text);

/// "/*", "", "/p/*", "lines", "file".
RecordsLayout parse_records(std::string_view text);

/// The level that a table's path means, made (with those around it) if it is new: "", "/object",
/// "/list/*", "/a/*/b/*".
std::uint16_t add_level(Collection& collection, std::string_view path);

/// Completes a collection whose tables and levels stand: orders the tables, finds for each '^' the
/// enclosing row that has the value, gives lists with a place that order. Throws if a source
/// reaches out of the record, a file's property is taken of something else, or nothing in a row
/// says which row encloses it.
void link_collection(const Mapping& mapping, Collection& collection);

}  // namespace switchback
