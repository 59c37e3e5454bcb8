// Current rows of a SQLite store: for the load, the verifier and repairs. Each call is one read
// transaction, so what it returns is a committed state, and its window says which: the end of the
// log in that same snapshot. Snapshots are short: in rollback-journal mode a reader makes the
// application's writers wait, in WAL mode it holds up checkpoints. Used by one thread.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "state/model/table_map.h"
#include "state/ports/row_reader.h"

namespace switchback {

/// Opens a connection of its own. Throws Error. Tables are scanned by rowid, those WITHOUT ROWID by
/// primary key. scan() throws Error(kHistory, retry later) if `cursor` was made before the schema
/// changed and the table's rowids are not its key (VACUUM may have renumbered them): begin that
/// table anew with an empty cursor.
std::unique_ptr<RowReader> open_sqlite_reader(const std::filesystem::path& path,
                                              std::shared_ptr<const Mapping> mapping,
                                              const std::string& store);

}  // namespace switchback
