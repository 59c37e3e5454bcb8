// What `switchback verify` asks of the sidecar, and how it travels. Pure.
#pragma once

#include <string>
#include <string_view>

namespace switchback {

struct VerifyOrder {
  std::string table;    // "schema.table", or the table alone; empty: all
  bool repair = false;  // apply what the primary has where the sides differ
  std::string by;       // who asked, for the audit log
};

/// The body of POST /verify, and back. Throws Error(kUsage).
std::string to_json(const VerifyOrder& order);
VerifyOrder parse_verify_order(std::string_view json);

}  // namespace switchback
