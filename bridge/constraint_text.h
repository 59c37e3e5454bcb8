// Reads the two constraint definitions that the mapping needs, in the spelling PostgreSQL's
// pg_get_constraintdef() gives them. Pure.
#pragma once

#include <optional>
#include <string_view>

#include "replication/catalog.h"

namespace switchback {

/// The columns of "PRIMARY KEY (a, "B c")"; nullopt if it is no primary key.
std::optional<std::vector<std::string>> parse_primary_key(std::string_view definition);

/// "FOREIGN KEY (a) REFERENCES [schema.]table(b) ON UPDATE … ON DELETE … …"; nullopt if it is none.
/// An unqualified parent is in `default_schema`.
std::optional<CatalogForeignKey> parse_foreign_key(std::string_view name,
                                                   std::string_view definition,
                                                   std::string_view default_schema);

}  // namespace switchback
