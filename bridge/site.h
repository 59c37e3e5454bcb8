// Both sides of one bridge, opened: the configuration read against what the two sides say of
// their tables. Every command that touches a side begins here. Opening may wait on the network; the
// endpoints inside open connections of their own as they are used.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bridge/config.h"
#include "replication/connection.h"
#include "state/model/table_map.h"
#include "state/ports/endpoint.h"

namespace switchback {

enum class SchemaUse {
  kApply,  // create what [postgres] schema says and is missing
  kTry,    // the same inside a transaction that is rolled back: for commands that change nothing
};

struct Site {
  Config config;
  std::string store;  // the old one's name in the mapping
  std::shared_ptr<const Mapping> mapping;
  std::vector<std::string> warnings;  // what the mapping leaves behind, in words
  std::unique_ptr<Endpoint> old_side;
  std::unique_ptr<Endpoint> postgres;

  Endpoint& of(Side side) const { return side == Side::kOld ? *old_side : *postgres; }
  /// The group that flips. One group per bridge so far.
  std::string group() const { return kOnlyGroup; }
};

/// Throws Error: kUsage if configuration and tables do not fit, kUnreachable if a side is not
/// there.
Site open_site(const Config& config, SchemaUse schema);

/// A connection for the program's own questions (status, NOTIFY), named "switchback BRIDGE USE".
Connection connect(const Config& config, const std::string& use);

/// The CREATE TABLEs of `[postgres] schema`; empty if none is named. Throws Error(kUsage) if the
/// file is not there.
std::string read_schema_file(const Config& config);

}  // namespace switchback
