#include "bridge/commands/commands.h"

namespace switchback {

ExitCode demo_command(const GlobalOptions&, const DemoOptions& options) {
  return run_demo(options) == 0 ? ExitCode::kDone : ExitCode::kNo;
}

}  // namespace switchback
