// Between canonical cells and PostgreSQL's binary form, by type. The same bytes are a COPY BINARY
// field, an array element of an unnest parameter, and a value in pgoutput's binary mode.
// https://www.postgresql.org/docs/15/sql-copy.html (binary format);
// src/backend/utils/adt/*send/*recv All functions are pure and thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "state/model/chunk.h"
#include "state/model/table_map.h"

namespace switchback {

/// Appends the value's binary form without any length. The cell must be neither null nor unchanged.
/// Throws Error(kData) if the type cannot hold it (an int out of range, text with a NUL byte).
void encode_binary(const ColumnMap& column, const Cell& cell, std::string_view text,
                   std::string& out);

/// Reads one value's binary form into `out`'s arena. Throws Error(kData) on bytes that are no value
/// of the type.
Cell decode_binary(const ColumnMap& column, std::string_view bytes, Chunk& out);

/// Reads one value in PostgreSQL's text form (as under the pinned session settings): for types
/// whose binary form differs between servers, and for pgoutput columns sent as text.
Cell decode_text(const ColumnMap& column, std::string_view text, Chunk& out);

/// The server's type OIDs for `type` and its array; 25 (text) for kOtherText.
/// https://github.com/postgres/postgres/blob/REL_15_STABLE/src/include/catalog/pg_type.dat
std::uint32_t type_oid(PgType type) noexcept;
std::uint32_t array_oid(PgType type) noexcept;

}  // namespace switchback
