// A database with the application's tables and indexes and none of its rows, for trying what the
// bridge would write. Without triggers and views: the bridge's own writes fire no trigger. Made by
// the endpoint before a cutover; stateless.
#pragma once

#include <filesystem>

namespace switchback {

/// `copy` must not be there. Nobody else knows of it, so it is not synced. Throws Error.
void make_empty_copy(const std::filesystem::path& database, const std::filesystem::path& copy);

}  // namespace switchback
