// `switchback check`: tries what the bridge needs on both sides. Changes nothing.
#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "bridge/commands/commands.h"
#include "bridge/commands/common.h"
#include "bridge/old_store.h"
#include "bridge/site.h"
#include "state/base/json_text.h"
#include "state/ledger/state_dir.h"

namespace switchback {
namespace {

using Level = Finding::Level;

struct Line {
  std::string_view side;
  Finding finding;
};

std::string_view word(Level level) {
  switch (level) {
    case Level::kOk:
      return "ok";
    case Level::kWarning:
      return "warning";
    case Level::kFailure:
      return "failure";
  }
  return "failure";
}

void add(std::vector<Line>& lines, std::string_view side, std::vector<Finding> findings) {
  for (auto& finding : findings) lines.push_back({side, std::move(finding)});
}

auto failures(const std::vector<Line>& lines) {
  return std::count_if(lines.begin(), lines.end(),
                       [](const Line& line) { return line.finding.level == Level::kFailure; });
}

/// What lies on this host and belongs to neither side.
std::vector<Finding> check_here(const Config& config) {
  std::error_code code;
  if (!std::filesystem::exists(config.state_dir, code)) {
    return {{Level::kOk,
             fmt::format("state directory {} will be created", config.state_dir.string()), ""}};
  }
  try {
    StateDir::open(config.state_dir).probe();
    return {{Level::kOk, fmt::format("state directory {}", config.state_dir.string()), ""}};
  } catch (const Error& error) {
    return {{Level::kFailure, error.message(), error.detail().next}};
  }
}

void check_sides(const Config& config, std::vector<Line>& lines) {
  const Site site = open_site(config, SchemaUse::kTry);
  std::size_t flowing = 0;
  for (const auto& table : site.mapping->tables) flowing += table.flows() ? 1 : 0;
  add(lines, "mapping", {{Level::kOk, fmt::format("{} tables flow", flowing), ""}});
  for (const auto& warning : site.warnings) {
    add(lines, "mapping", {{Level::kWarning, warning, ""}});
  }
  for (const auto& table : site.mapping->tables) {
    if (table.orphans != Orphans::kLeave || table.foreign_keys.empty()) continue;
    add(lines, "mapping",
        {{Level::kWarning,
          fmt::format("{}.{}: orphans = \"leave\", so its foreign keys are not made in PostgreSQL",
                      table.schema, table.table),
          ""}});
  }
  add(lines, "old", site.old_side->check());
  add(lines, "postgres", site.postgres->check());
}

/// As far as one can see: what is wrong here is told even if a side cannot be reached.
ExitCode look(const Config& config, std::vector<Line>& lines) {
  add(lines, "here", check_here(config));
  try {
    check_sides(config, lines);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kUnreachable) throw;
    const bool postgres = side_of(error) == Side::kPostgres;
    add(lines, postgres ? "postgres" : "old",
        {{Level::kFailure, fmt::format("{}: {}", error.detail().object, error.message()),
          error.detail().next}});
    const std::string missing = old_store_missing(config);
    if (postgres && !missing.empty()) {
      add(lines, "old",
          {{Level::kFailure, fmt::format("{}: {}", old_store_place(config).string(), missing),
            "correct the path in the configuration"}});
    }
    return ExitCode::kUnreachable;
  }
  return failures(lines) == 0 ? ExitCode::kDone : ExitCode::kNo;
}

void print_text(const std::vector<Line>& lines) {
  for (const auto& [side, finding] : lines) {
    fmt::print("{:<8} {:<9} {}\n", word(finding.level), side, finding.what);
    if (!finding.fix.empty()) fmt::print("{:<18} fix: {}\n", "", finding.fix);
  }
}

void print_json(const std::vector<Line>& lines, bool ok) {
  JsonWriter json;
  json.begin_object().member("ok", ok).key("findings").begin_array();
  for (const auto& [side, finding] : lines) {
    json.begin_object()
        .member("side", side)
        .member("level", word(finding.level))
        .member("what", finding.what)
        .member("fix", finding.fix)
        .end_object();
  }
  json.end_array().end_object();
  fmt::print("{}\n", json.take());
}

}  // namespace

ExitCode check_command(const GlobalOptions& global, const CheckOptions& options) {
  std::vector<Line> lines;
  const ExitCode result = look(read_config(global), lines);
  const auto to_mend = failures(lines);
  if (options.json) {
    print_json(lines, to_mend == 0);
  } else {
    print_text(lines);
    fmt::print("{}\n", to_mend == 0 ? "all is ready: switchback run"
                                    : fmt::format("{} to be mended first", to_mend));
  }
  return result;
}

}  // namespace switchback
