// JSON lists of scalars in columns that are PostgreSQL arrays (text[], integer[] …), which travel
// as array literals: https://www.postgresql.org/docs/15/arrays.html#ARRAYS-IO. Written exactly as
// the server prints them, so that equal lists are equal texts. Pure; private to the codec.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "state/model/table_map.h"
#include "watchers/files/document.h"
#include "watchers/files/style.h"

namespace switchback {

/// Whether the column is a PostgreSQL array.
bool is_text_array(const ColumnMap& column);
/// nullopt if the value is no list, or a list with a container in it.
std::optional<std::string> array_literal(const Document& document, Document::Node node);
/// Compact JSON; nullopt if the literal has more than one dimension.
std::optional<std::string> json_of_array_literal(const ColumnMap& column, std::string_view literal,
                                                 const TextStyle& style);

}  // namespace switchback
