// Rows that outlived their record: of tables with deletes = "keep", whose old store drops entries
// (a list of the last thousand, a log that is rotated) that PostgreSQL goes on having. A delete
// notes the row's key and version (its xmin) in switchback.outlived instead of deleting it, and
// whoever reads for the bridge does not see it: on the old side there is none. As soon as somebody
// writes the row, it has another version and is like any other. (A batch is one transaction and
// names a key once, so no version is both noted and written.) Pure: SQL text.
// https://www.postgresql.org/docs/15/ddl-system-columns.html
#pragma once

#include <string>
#include <string_view>

#include "state/model/table_map.h"

namespace switchback {

/// The statement that notes the rows `t` of `table` which `from` and `where` choose; both as in
/// "SELECT … FROM table AS t{from}{where}", either may be empty.
std::string note_outlived(std::string_view bridge, const TableMap& table, const std::string& from,
                          const std::string& where);

/// " WHERE …" or, to be added to other conditions, " AND …": the rows `t` that have not. Empty for
/// tables whose rows are deleted.
std::string not_outlived(std::string_view bridge, const TableMap& table, std::string_view joint);

}  // namespace switchback
