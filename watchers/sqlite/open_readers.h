// Who holds a read lock on a database in rollback-journal mode, told by the kernel's own list: the
// database file itself must never be opened outside SQLite. Used by the gate before a flip.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace switchback {

struct OpenReader {
  pid_t pid = 0;
  std::string command;
};

/// Other processes that hold SQLite's shared lock on `database` each time of several looks within
/// some 300 ms, so that a busy application does not count. Empty where /proc does not tell.
std::vector<OpenReader> lasting_readers(const std::filesystem::path& database);

}  // namespace switchback
