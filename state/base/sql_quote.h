// The one place where identifiers and literals are quoted. Both SQLite and PostgreSQL (with
// standard_conforming_strings on, which every session of ours pins) follow the SQL standard here.
// Values are bound wherever a statement allows it; literals are for DDL and trigger bodies.
#pragma once

#include <string>
#include <string_view>

namespace switchback {

/// "name", inner double quotes doubled. Throws Error(kData) on a NUL byte.
std::string quote_identifier(std::string_view name);
/// 'text', inner single quotes doubled. Throws Error(kData) on a NUL byte.
std::string quote_literal(std::string_view text);

}  // namespace switchback
