// `switchback verify`: through the running sidecar, or, when none runs, with a supervisor of its
// own for as long as the comparison takes.
#include <fmt/format.h>
#include <simdjson.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "bridge/admin_client.h"
#include "bridge/commands/commands.h"
#include "bridge/commands/common.h"
#include "bridge/signals.h"
#include "bridge/supervisor.h"
#include "bridge/verify/live.h"

namespace switchback {
namespace {

/// One line on the terminal that is written over; nothing if standard error is none.
class ProgressLine {
 public:
  ~ProgressLine() { clear(); }
  void show(const VerifyProgress& progress) {
    const auto now = std::chrono::steady_clock::now();
    if (!terminal_ || progress.table.empty() || now - shown_ < kLookEvery) return;
    shown_ = now;
    const double part = static_cast<double>(progress.rows) /
                        static_cast<double>(std::max<std::uint64_t>(progress.rows_total, 1));
    fmt::print(stderr, "\r\x1b[K{} of {}: {}, {} {} rows ({:.0f} %)", progress.tables_done + 1,
               progress.tables, progress.table, progress.step, progress.rows,
               std::min(part, 1.0) * 100);
    std::fflush(stderr);
    written_ = true;
  }
  void clear() {
    if (written_) fmt::print(stderr, "\r\x1b[K");
    written_ = false;
  }

 private:
  const bool terminal_ = ::isatty(STDERR_FILENO) != 0;
  bool written_ = false;
  std::chrono::steady_clock::time_point shown_{};
};

/// Reads the sidecar's answer: false if it is the report, else how far it is.
bool still_runs(std::string_view json, VerifyProgress& progress) {
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  bool running = false;
  if (parser.parse(json.data(), json.size()).get(root) || root["running"].get(running))
    return false;
  std::string_view table, step;
  std::uint64_t done = 0, all = 0;
  if (!root["table"].get(table)) progress.table = table;
  if (!root["step"].get(step)) progress.step = step;
  if (root["rows"].get(progress.rows)) progress.rows = 0;
  if (root["rows_total"].get(progress.rows_total)) progress.rows_total = 0;
  if (!root["tables_done"].get(done)) progress.tables_done = done;
  if (!root["tables"].get(all)) progress.tables = all;
  return running;
}

std::uint64_t run_number(std::string_view json) {
  simdjson::dom::parser parser;
  std::uint64_t run = 0;
  if (!parser.parse(json.data(), json.size())["run"].get(run)) return run;
  throw Error(ErrorKind::kInternal, Retry::kNever, "the sidecar's answer cannot be read",
              {.next = "use the sidecar's version"});
}

VerifyReport through_sidecar(const AdminClient& sidecar, const VerifyOrder& order) {
  StopOnSignal stop;
  const std::uint64_t run = run_number(sidecar.post("/verify", to_json(order), kAnswerLimit));
  const std::string path = fmt::format("/verify?run={}", run);
  ProgressLine line;
  VerifyProgress progress;
  for (;;) {
    const std::string answer = sidecar.get(path, kAnswerLimit);
    if (!still_runs(answer, progress)) return parse_verify_report(answer);
    line.show(progress);
    if (!stop.wait(kLookEvery)) {
      throw Error(ErrorKind::kBusy, Retry::kLater, "stopped waiting for the comparison",
                  {.next = "the sidecar goes on with it; `switchback status` shows its result"});
    }
  }
}

VerifyReport alone(const Config& config, const VerifyOrder& order) {
  require_installed(config);
  const StopOnSignal stop;
  Supervisor supervisor(config);
  supervisor.start(stop.token());
  ProgressLine line;
  return run_verify(supervisor, order, 0, stop.token(),
                    [&](const VerifyProgress& progress) { line.show(progress); });
}

}  // namespace

ExitCode verify_command(const GlobalOptions& global, const VerifyOptions& options) {
  const Config config = read_config(global);
  const VerifyOrder order{options.table, options.repair, who_asks()};
  const auto sidecar = AdminClient::find(config.state_dir);
  const VerifyReport report = sidecar ? through_sidecar(*sidecar, order) : alone(config, order);
  fmt::print("{}{}", options.json ? to_json(report) : to_text(report), options.json ? "\n" : "");
  return report.identical() ? ExitCode::kDone : ExitCode::kNo;
}

}  // namespace switchback
