// What may be said about a PostgreSQL connection string: it may hold a password, so it is never
// printed itself. Pure.
#pragma once

#include <string>
#include <string_view>

namespace switchback {

/// True if a URL or key=value string carries a password.
bool has_password(std::string_view conninfo);

/// Host, port and database for people, without anything secret; when in doubt, less.
std::string describe_conninfo(std::string_view conninfo);

}  // namespace switchback
