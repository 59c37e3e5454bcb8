// The command line: parses it, calls the command and turns what it throws into a message and an
// exit code. The commands come in as functions, so that parsing can be tested without them. Called
// by main() only.
#pragma once

#include <functional>

#include "bridge/commands/commands.h"
#include "state/base/error.h"

namespace switchback {

struct Commands {
  std::function<ExitCode(const GlobalOptions&, const RunOptions&)> run;
  std::function<ExitCode(const GlobalOptions&, const StatusOptions&)> status;
  std::function<ExitCode(const GlobalOptions&, const FlipOptions&)> flip;
  std::function<ExitCode(const GlobalOptions&, const CheckOptions&)> check;
  std::function<ExitCode(const GlobalOptions&, const QuarantineOptions&)> quarantine;
  std::function<ExitCode(const GlobalOptions&, const VerifyOptions&)> verify;
  std::function<ExitCode(const GlobalOptions&, const AuditOptions&)> audit;
  std::function<ExitCode(const GlobalOptions&, const AbandonOptions&)> abandon;
  std::function<ExitCode(const GlobalOptions&, const DemoOptions&)> demo;
  std::function<ExitCode(const GlobalOptions&, const DoctorOptions&)> doctor = {};
  std::function<ExitCode()> failpoints;
};

/// The process's exit code. Messages about errors go to standard error; with --json the error goes
/// to standard output too, as JSON.
int run_cli(int argc, const char* const* argv, const Commands& commands);

/// The one place where kinds of errors become exit codes.
ExitCode exit_code(ErrorKind kind) noexcept;

}  // namespace switchback
