// Between JSON values and canonical cells, by the PostgreSQL type of the column. Numbers never pass
// through a double unless the column is one. Pure and thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "state/model/chunk.h"
#include "state/model/document_map.h"
#include "watchers/files/document.h"
#include "watchers/files/style.h"

namespace switchback {

/// The cell that the value means in `column`, its text copied into `out`; nullopt if the type
/// cannot hold it, then `why` says so with the value's place.
std::optional<Cell> cell_of(const ColumnMap& column, const ColumnSource& source,
                            const Document& document, Document::Node node, Chunk& out,
                            std::string& why);
/// The same for a value that is text to begin with: a name, a path, a constant.
std::optional<Cell> cell_of_text(const ColumnMap& column, std::string_view text, Chunk& out,
                                 std::string& why);

/// Whether two cells of the column mean the same.
bool same_cell(const ColumnMap& column, const Cell& a, const Chunk& of_a, const Cell& b,
               const Chunk& of_b);

/// What a document is to hold for `cell` (neither null nor unchanged): JSON text. Spelled like
/// `previous` (the value it replaces, or one of a template, in `document`) where that loses
/// nothing. Strings are in `style`; containers are compact, to be merged or printed by the caller.
/// Throws Error(kData) if JSON has no form for it (bytes that are no text).
std::string json_of(const ColumnMap& column, const ColumnSource& source, const Cell& cell,
                    const Chunk& chunk, const Document* document,
                    std::optional<Document::Node> previous, const TextStyle& style);

}  // namespace switchback
