// `switchback audit`: what the log says was done, and whether it is as it was written. Needs
// neither side and no sidecar.
#include <fmt/format.h>
#include <simdjson.h>

#include <cstdlib>
#include <filesystem>

#include "bridge/commands/commands.h"
#include "bridge/config.h"
#include "state/base/error.h"
#include "state/base/json_text.h"
#include "state/ledger/audit.h"
#include "state/ledger/audit_check.h"

namespace switchback {
namespace {

void print_entry(const std::string& line) {
  simdjson::dom::parser parser;
  simdjson::dom::object entry;
  std::string_view at, event, by;
  simdjson::dom::element detail;
  if (parser.parse(line).get(entry) || entry["at"].get(at) || entry["event"].get(event) ||
      entry["by"].get(by) || entry["detail"].get(detail)) {
    fmt::print("{}\n", line);
    return;
  }
  fmt::print("{}  {:<18} by {:<10} {}\n", at, event, by,
             detail.is_null() ? "" : simdjson::minify(detail));
}

std::string findings_json(const AuditFindings& found) {
  JsonWriter json;
  json.begin_object()
      .member("whole", found.faults.empty())
      .member("unfinished", found.unfinished)
      .key("faults")
      .begin_array();
  for (const auto& fault : found.faults) json.value(fault);
  json.end_array().member("count", found.lines.size()).end_object();
  return json.take();
}

void print_findings(const AuditFindings& found, const std::string& file) {
  for (const auto& fault : found.faults) fmt::print("{}: {}\n", file, fault);
  if (found.faults.empty()) {
    fmt::print("{} entries, each as it was written\n", found.lines.size());
  } else {
    fmt::print(
        "somebody changed the log or what it vouches for: keep a copy, and compare it with a "
        "backup of the state directory\n");
  }
  if (found.unfinished) {
    fmt::print(
        "the last line is unfinished: a crash cut it off, and the next `switchback run` "
        "removes it\n");
  }
}

}  // namespace

ExitCode audit_command(const GlobalOptions& global, const AuditOptions& options) {
  const Config config =
      load_config(global.config, [](const char* name) { return std::getenv(name); });
  const AuditFindings found = check_audit(config.state_dir);
  if (options.check) {
    // Not one entry, and no file that could have lost them: as a mistyped folder looks.
    if (found.faults.empty() && !std::filesystem::exists(config.state_dir / kAuditFile)) {
      throw Error(ErrorKind::kRefused, Retry::kNever, "there is no audit log here",
                  {.object = config.state_dir.string(),
                   .next = "name the bridge's own configuration with -c; `switchback run` begins "
                           "the log"});
    }
    if (options.json) {
      fmt::print("{}\n", findings_json(found));
    } else {
      print_findings(found, (config.state_dir / kAuditFile).string());
    }
    return found.faults.empty() ? ExitCode::kDone : ExitCode::kNo;
  }
  // A line is JSON already.
  for (const auto& line : found.lines) options.json ? fmt::print("{}\n", line) : print_entry(line);
  if (found.lines.empty() && !options.json) {
    fmt::print("nothing was done yet, as {} says\n", config.state_dir.string());
  }
  return ExitCode::kDone;
}

}  // namespace switchback
