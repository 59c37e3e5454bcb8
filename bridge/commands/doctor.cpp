// `switchback doctor`: what state each side is in and what is wrong; with --fix, the way on from
// it, through the running sidecar or alone.
#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <chrono>
#include <vector>

#include "bridge/admin_client.h"
#include "bridge/columns_record.h"
#include "bridge/commands/commands.h"
#include "bridge/commands/common.h"
#include "bridge/epoch_record.h"
#include "bridge/mending.h"
#include "bridge/mending_record.h"
#include "bridge/old_store.h"
#include "bridge/open_gates.h"
#include "bridge/signals.h"
#include "bridge/supervisor.h"
#include "state/base/json_text.h"

namespace switchback {
namespace {

constexpr const char* kCannotBeTold = "what differs cannot be told before that is mended";

/// What was found, without anything having been changed.
struct Findings {
  GateState old_side, postgres;
  std::optional<Side> primary;  // beyond doubt
  std::vector<std::string> wrong;
  std::vector<std::string> apart;  // a line per table that differs
};

// Several looks may come upon the same.
bool is_told(const Findings& found, const std::string& what) {
  return std::find(found.wrong.begin(), found.wrong.end(), what) != found.wrong.end();
}

bool try_out(Findings& found, const std::function<void()>& look) {
  try {
    look();
    return true;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::kUnreachable) throw;
    if (!is_told(found, error.what())) found.wrong.emplace_back(error.what());
    return false;
  }
}

/// What `run` would come upon.
void try_to_start(const Site& site, const std::filesystem::path& state, Findings& found) {
  EpochRecord epochs(state / "epochs");
  ColumnsRecord columns(state / "columns");
  try_out(found, [&] { epochs.require_not_older(found.old_side, found.postgres); });
  try_out(found, [&] {
    if (!columns.empty()) columns.require_same(site);
  });
  try_out(found, [&] { site.old_side->plan_install(); });
  if (!found.primary) return;
  const Side to = other(*found.primary);
  try_out(found, [&] { site.of(*found.primary).require_whole(); });
  try_out(found, [&] {
    const auto sink = site.of(to).make_sink();
    require_settled(*sink);
    site.of(*found.primary).make_source()->start(sink->applied());
  });
}

/// What stopped the sidecar's pump, in its own words.
void ask_sidecar(const AdminClient& sidecar, Findings& found) {
  const std::string answer = sidecar.get("/status", kAnswerLimit);
  simdjson::dom::parser parser;
  simdjson::dom::array needs;
  if (parser.parse(answer.data(), answer.size())["needs_you"].get(needs)) return;
  for (const auto need : needs) {
    std::string_view words;
    if (!need.get(words)) found.wrong.emplace_back(words);
  }
}

void compare(const Site& site, Side primary, Findings& found) {
  bool hindered = false;
  const VerifyReport report = compare_at_rest(site, primary, {}, [](const VerifyProgress&) {});
  for (const TableReport& table : report.tables) {
    std::uint64_t in_old = 0, in_postgres = 0, values = 0;
    std::string_view row;  // of which one difference was counted; those of a row are told together
    for (const Difference& difference : table.differences) {
      if (difference.sort == DifferenceSort::kValue && difference.key == row) continue;
      row = difference.key;
      in_old += difference.sort == DifferenceSort::kMissingInPostgres ? 1 : 0;
      in_postgres += difference.sort == DifferenceSort::kMissingInOld ? 1 : 0;
      values +=
          difference.sort == DifferenceSort::kValue || difference.sort == DifferenceSort::kMisfit;
    }
    if (is_told(found, table.problem)) {
      hindered = true;
    } else if (!table.problem.empty()) {
      found.apart.push_back(fmt::format("{}: cannot be compared: {}", table.name, table.problem));
    } else if (in_old + in_postgres + values + table.more != 0) {
      found.apart.push_back(
          fmt::format("{}: {} rows only in old, {} only in postgres, {} that differ{}", table.name,
                      in_old, in_postgres, values,
                      table.more != 0 ? fmt::format(", and {} rows more", table.more) : ""));
    }
  }
  if (hindered) found.apart.emplace_back(kCannotBeTold);
}

Findings look(const Config& config, const Site& site, const std::optional<AdminClient>& sidecar,
              std::optional<Side> chosen) {
  Findings found;
  const auto deadline = Deadline::in(kLookWithin);
  found.old_side = site.old_side->make_gate(site.group())->inspect(deadline);
  found.postgres = site.postgres->make_gate(site.group())->inspect(deadline);
  const Epoch highest = std::max({found.old_side.epoch, found.postgres.epoch,
                                  EpochRecord(config.state_dir / "epochs").highest()});
  const MendingRecord mending(config.state_dir / "mending");
  std::optional<MendingBegun> begun;
  try_out(found, [&] { begun = mending.pending(); });
  found.primary = begun ? std::optional(begun->primary)
                        : undoubted_primary(found.old_side, found.postgres, highest);
  if (begun && !sidecar) try_out(found, [&] { mending.require_none(); });
  if (!found.primary) {
    found.wrong.push_back(fmt::format(
        "it is not certain who is primary: the highest epoch there was is {}", highest));
  }
  for (const Side side : {Side::kOld, Side::kPostgres}) {
    const GateState& gate = side == Side::kOld ? found.old_side : found.postgres;
    if (gate.door != GateState::Door::kTorn) continue;
    found.wrong.push_back(fmt::format(
        "the fence of {} is not as its gate says: somebody changed it, and may have written there",
        to_string(side)));
  }
  if (sidecar) {
    ask_sidecar(*sidecar, found);
  } else {
    try_to_start(site, config.state_dir, found);
  }
  if (found.wrong.empty()) return found;
  // What keeps the two sides from being compared now may be what --fix is there for. A comparison
  // looks at the files, and after it nobody could tell how many of them were there before.
  const Side primary = chosen.value_or(found.primary.value_or(Side::kOld));
  const bool compared = try_out(found, [&] {
    site.of(primary).require_whole();
    compare(site, primary, found);
  });
  if (!compared) found.apart.emplace_back(kCannotBeTold);
  return found;
}

void print(const Config& config, const Findings& found, std::optional<Side> chosen) {
  fmt::print("old       {} at epoch {}: {}\npostgres  {} at epoch {}\n",
             to_string(found.old_side.door), found.old_side.epoch, old_store_place(config).string(),
             to_string(found.postgres.door), found.postgres.epoch);
  if (found.wrong.empty()) {
    fmt::print("nothing is wrong\n");
    return;
  }
  for (const auto& line : found.wrong) fmt::print("wrong: {}\n", line);
  for (const auto& line : found.apart) fmt::print("  {}\n", line);
  const auto primary = chosen ? chosen : found.primary;
  if (!primary) {
    fmt::print(
        "`switchback doctor --fix --primary old` makes postgres as old is, --primary "
        "postgres makes old as postgres is\n");
    return;
  }
  fmt::print(
      "--fix makes {} as {} is, which is primary then; what only {} has, or has otherwise, "
      "is kept in a file below {}\n",
      to_string(other(*primary)), to_string(*primary), to_string(other(*primary)),
      (config.state_dir / "kept").string());
}

void print_json(const Findings& found) {
  JsonWriter json;
  json.begin_object().key("wrong").begin_array();
  for (const auto& line : found.wrong) json.value(line);
  json.end_array().key("apart").begin_array();
  for (const auto& line : found.apart) json.value(line);
  json.end_array();
  if (found.primary) json.member("primary", to_string(*found.primary));
  fmt::print("{}\n", json.end_object().take());
}

MendReport through_sidecar(const AdminClient& sidecar, const MendOrder& order) {
  StopOnSignal stop;
  sidecar.post("/mend", to_json(order), kAnswerLimit);
  for (;;) {
    if (const auto done = parse_mend_answer(sidecar.get("/mend", kAnswerLimit))) return *done;
    if (!stop.wait(kLookEvery)) {
      throw Error(ErrorKind::kBusy, Retry::kLater, "stopped waiting",
                  {.next = "the sidecar goes on with it; `switchback status` shows what came of "
                           "it"});
    }
  }
}

MendReport alone(const Config& config, const MendOrder& order) {
  const StopOnSignal stop;
  Supervisor supervisor(config);
  return supervisor.mend(order, stop.token(), [](const VerifyProgress&) {});
}

void print(const MendReport& report, bool sidecar) {
  const auto to = to_string(other(report.primary));
  fmt::print("compared {} rows of old and {} of postgres; {} is primary at epoch {}\n",
             report.rows_old, report.rows_postgres, to_string(report.primary), report.epoch);
  fmt::print("{} rows of {} applied to {}, {} removed there\n", report.applied,
             to_string(report.primary), to, report.removed);
  if (!report.kept.empty()) {
    fmt::print("what {} had of them is kept in {}\n", to, report.kept.string());
  }
  if (report.refused != 0) {
    fmt::print("{} rows are in quarantine: `switchback quarantine list`\n", report.refused);
  }
  if (report.left != 0) {
    fmt::print("of them {} are in {} as they were: no copy of them could be kept\n", report.left,
               to);
  }
  fmt::print("{}\n", sidecar ? "changes flow again" : "start it again: switchback run");
}

}  // namespace

ExitCode doctor_command(const GlobalOptions& global, const DoctorOptions& options) {
  const Config config = read_config(global);
  const auto sidecar = AdminClient::find(config.state_dir);
  if (!options.fix || !options.yes) {
    const Site site = open_site(config, SchemaUse::kTry);
    const Findings found = look(config, site, sidecar, options.primary);
    options.json ? print_json(found) : print(config, found, options.primary);
    if (!options.fix) return found.wrong.empty() ? ExitCode::kDone : ExitCode::kNo;
    if (!confirmed("Do it?")) return ExitCode::kNo;
  }
  const MendOrder order{options.primary, who_asks()};
  const MendReport report = sidecar ? through_sidecar(*sidecar, order) : alone(config, order);
  if (options.json) {
    fmt::print("{}\n", to_json(report));
  } else {
    print(report, sidecar.has_value());
  }
  return ExitCode::kDone;
}

}  // namespace switchback
