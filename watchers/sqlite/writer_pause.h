// When an application that writes again and again is between two transactions, so that a write of
// ours meets none. Looked at from outside: all there is to see are its commits.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include "state/base/deadline.h"

namespace switchback {

/// Waits for a commit that came after a pause of some milliseconds and is not followed by another
/// at once. True then, and if nobody committed until the deadline; false if no such commit was
/// seen. `database`: in WAL mode, with no transaction open; in rollback-journal mode each look
/// would hold the writers off. Throws SQLite::Exception.
bool wait_for_pause(SQLite::Database& database, Deadline deadline);

}  // namespace switchback
