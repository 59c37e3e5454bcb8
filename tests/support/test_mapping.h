// The two tables that the conformance suite and the pump's and flip's tests play with: a parent
// with one column of most kinds and a child that refers to it.
#pragma once

#include <memory>
#include <string>

#include "state/model/table_map.h"

namespace switchback {

inline constexpr TableId kParent{0};
inline constexpr TableId kChild{1};

/// parent(id int4, name text not null, flag bool, doc jsonb, at timestamptz);
/// child(id int8, parent_id int4 references parent, amount numeric).
std::shared_ptr<const Mapping> test_mapping();

/// The same tables as SQLite and PostgreSQL know them.
extern const char* const kTestSqliteSchema;
extern const char* const kTestPostgresSchema;

}  // namespace switchback
