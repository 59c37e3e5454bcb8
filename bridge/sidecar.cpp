#include "bridge/sidecar.h"

#include <fmt/format.h>

#include "bridge/clean_gate.h"
#include "bridge/old_store.h"
#include "bridge/quarantine.h"
#include "bridge/report_json.h"
#include "state/base/log.h"

namespace switchback {
namespace {

Direction direction_of(Side primary) {
  return primary == Side::kOld ? Direction::kForward : Direction::kReverse;
}

bool settled(Phase phase) {
  return phase == Phase::kForward || phase == Phase::kReverse;
}

SideStatus side_status(const Config& config, const Picture& picture, Side side) {
  SideStatus status;
  status.side = side;
  // A URL may hold a password, so PostgreSQL is named by what it is, never by how it is reached.
  status.where = side == Side::kOld ? old_store_place(config).string() : "PostgreSQL";
  // Down is what an error says; a pump that is only just connecting has none.
  status.up = true;
  const auto& error = picture.error ? picture.error : picture.pump.error;
  if (error && side_of(*error) == side) {
    status.error = error->what();
    if (picture.pump.state == PumpState::kRetrying) status.retry_in = picture.pump.retry_in;
    // A side may answer and say no: a full disk, a table that was altered.
    status.up = error->kind() != ErrorKind::kUnreachable;
  }
  return status;
}

std::vector<std::string> needs_you(const Picture& picture) {
  std::vector<std::string> out;
  if (picture.pump.quarantined != 0) {
    out.push_back(quarantine_needs_you(picture.pump.quarantined));
  }
  if (picture.pump.counts.unexplained != 0) {
    out.push_back(
        fmt::format("{} unexplained commits changed SQLite and were not captured (blob I/O, or a "
                    "connection with its triggers off): what they wrote is not in PostgreSQL; "
                    "`switchback verify` names it, and --repair carries it over",
                    picture.pump.counts.unexplained));
  }
  for (const std::string& row : picture.trail.examples) {
    out.push_back(
        fmt::format("{}; `switchback verify --repair` applies what the primary has", row));
  }
  for (const SourceTrouble& trouble : picture.pump.troubles) {
    out.push_back(fmt::format("{}: {}; {}", trouble.what, trouble.why,
                              trouble.held ? trouble_cure(trouble)
                                           : "its rows in PostgreSQL stay as they are until it can "
                                             "be read, and a flip waits for it"));
  }
  if (picture.pump.state == PumpState::kStopped && picture.pump.error) {
    out.push_back(fmt::format("the pump has stopped: {}", picture.pump.error->what()));
  }
  if (picture.error) out.push_back(picture.error->what());
  return out;
}

}  // namespace

Status to_status(const Config& config, const Picture& picture) {
  Status status;
  status.bridge = config.bridge;
  status.running = true;
  GroupStatus group;
  group.name = "all";
  group.phase = picture.phase;
  if (picture.epoch != 0 && picture.phase != Phase::kFlipping) group.primary = picture.primary;
  group.epoch = picture.epoch;
  if (settled(picture.phase) && !picture.error) group.lag = picture.pump.lag;
  status.groups.push_back(group);
  status.quarantined = picture.pump.quarantined;
  for (const auto& table : picture.tables) status.tables.push_back(table);
  for (const Side side : {Side::kOld, Side::kPostgres}) {
    status.sides.push_back(side_status(config, picture, side));
  }
  if (picture.phase == Phase::kSnapshot) status.load = picture.load.tables;
  status.changes_per_second = picture.pump.changes_per_second;
  status.counts = picture.pump.counts;
  status.trail = picture.trail;
  status.changes = picture.pump.changes;
  status.unread = picture.pump.troubles;
  status.batches = picture.pump.batches;
  status.needs_you = needs_you(picture);
  return status;
}

Sidecar::Sidecar(Supervisor& supervisor)
    : supervisor_(supervisor),
      metrics_(supervisor.config().bridge),
      verifier_(supervisor, {.every = supervisor.config().verify_every,
                             .rows_per_second = supervisor.config().verify_rate}) {
  const Config& config = supervisor.config();
  if (config.admin_host.empty()) return;
  server_ = std::make_unique<AdminServer>(
      AdminOptions{.host = config.admin_host,
                   .port = config.admin_port,
                   .fall_back = !config.admin_said,
                   .token = supervisor.state_dir().token(),
                   .address_file = supervisor.state_dir().file("admin")},
      handlers());
  log_info(fmt::format("admin server on {}:{}", config.admin_host, server_->port()));
}

bool Sidecar::flowing() const {
  const Picture now = supervisor_.picture();
  return settled(now.phase) &&
         (now.pump.state == PumpState::kFlowing || now.pump.state == PumpState::kParked);
}

AdminHandlers Sidecar::handlers() {
  return {.ready = [this] { return flowing(); },
          .status = [this] { return status(); },
          .metrics = [this] { return metrics(); },
          .primary =
              [this] {
                const Picture now = supervisor_.picture();
                return now.epoch != 0 && now.phase != Phase::kFlipping ? std::optional(now.primary)
                                                                       : std::nullopt;
              },
          .flip = [this](const FlipOrder& order) { return flip(order); },
          .verify = [this](const VerifyOrder& order) { return verifier_.order(order); },
          .verify_answer = [this](std::uint64_t run) { return verifier_.answer(run); },
          .quarantine =
              [this](const std::string& order) {
                return to_json(act_on_quarantine(supervisor_, parse_quarantine_order(order)));
              },
          .mend = [this](const MendOrder& order) { supervisor_.order_mend(order); },
          .mend_answer = [this] { return supervisor_.mend_answer(); }};
}

Status Sidecar::status() {
  Status status = to_status(supervisor_.config(), supervisor_.picture());
  status.last_verify = verifier_.last();
  if (status.last_verify && !status.last_verify->identical) {
    status.needs_you.push_back(
        "the two sides differ: `switchback verify` names the rows, "
        "`switchback verify --repair` applies the primary's again");
  }
  return status;
}

std::string Sidecar::metrics() {
  const Picture now = supervisor_.picture();
  metrics_.note_progress(direction_of(now.primary), now.pump.changes, now.pump.batches);
  metrics_.note_counts(now.pump.counts);
  metrics_.set(status(), flowing());
  return metrics_.text();
}

FlipRequest to_request(const FlipOrder& order, const Config& config) {
  return {.group = order.group,
          .to = order.to,
          .max_pause = order.max_pause.value_or(config.max_pause),
          .dry_run = order.dry_run,
          .drill = order.drill};
}

std::string Sidecar::flip(const FlipOrder& order) {
  const FlipRequest request = to_request(order, supervisor_.config());
  const FlipReport report = supervisor_.flip(
      request, order.by, [&] { return sweep_for_flip(supervisor_, verifier_, request); });
  if (report.outcome.flipped) metrics_.note_flip(order.to, report.outcome.pause);
  return report_json(report);
}

}  // namespace switchback
