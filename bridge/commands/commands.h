// The commands, one file each. cli.cpp parses the command line into these options and calls them;
// each returns the exit code and throws Error for everything that stands in its way, which cli.cpp
// prints and turns into an exit code. They write results to standard output, and everything else
// goes to the log on standard error.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "bridge/demo.h"
#include "state/model/phase.h"

namespace switchback {

/// 0 done; 1 the answer is no; 2 usage or configuration; 3 a side could not be reached.
enum class ExitCode { kDone = 0, kNo = 1, kUsage = 2, kUnreachable = 3 };

struct GlobalOptions {
  std::filesystem::path config = "switchback.toml";
  bool verbose = false;
};

struct RunOptions {
  bool dry_run = false;
};

struct StatusOptions {
  bool watch = false;
  bool json = false;
};

struct FlipOptions {
  Side to = Side::kPostgres;
  std::string group = "all";
  std::optional<std::chrono::milliseconds> max_pause;  // empty: as configured
  bool dry_run = false;
  bool drill = false;
  bool yes = false;
  bool json = false;
};

struct CheckOptions {
  bool json = false;
};

enum class QuarantineVerb { kList, kShow, kRetry, kAccept, kDrop };

struct QuarantineOptions {
  QuarantineVerb verb = QuarantineVerb::kList;
  std::string table;  // empty: any
  std::string key;    // empty: any
  bool all = false;
  bool yes = false;
  bool json = false;
};

struct VerifyOptions {
  std::string table;  // empty: all
  bool repair = false;
  bool json = false;
};

struct AuditOptions {
  bool check = false;
  bool json = false;
};

struct AbandonOptions {
  bool yes = false;
};

struct DoctorOptions {
  bool fix = false;
  std::optional<Side> primary;  // empty: who is, if that is beyond doubt
  bool yes = false;
  bool json = false;
};

ExitCode run_command(const GlobalOptions& global, const RunOptions& options);
ExitCode status_command(const GlobalOptions& global, const StatusOptions& options);
/// cutover and rollback.
ExitCode flip_command(const GlobalOptions& global, const FlipOptions& options);
ExitCode check_command(const GlobalOptions& global, const CheckOptions& options);
ExitCode quarantine_command(const GlobalOptions& global, const QuarantineOptions& options);
ExitCode verify_command(const GlobalOptions& global, const VerifyOptions& options);
ExitCode audit_command(const GlobalOptions& global, const AuditOptions& options);
ExitCode abandon_command(const GlobalOptions& global, const AbandonOptions& options);
ExitCode doctor_command(const GlobalOptions& global, const DoctorOptions& options);
ExitCode demo_command(const GlobalOptions& global, const DemoOptions& options);
/// Hidden; in test builds only: the names of all failpoints.
ExitCode failpoints_command();

}  // namespace switchback
