// The program: the command line with its commands.
#include <fmt/format.h>

#include "bridge/cli.h"
#include "state/base/failpoint.h"

namespace switchback {

ExitCode failpoints_command() {
  for (const auto name : failpoint_names()) fmt::print("{}\n", name);
  return ExitCode::kDone;
}

}  // namespace switchback

int main(int argc, char** argv) {
  using namespace switchback;
  return run_cli(argc, argv,
                 {.run = run_command,
                  .status = status_command,
                  .flip = flip_command,
                  .check = check_command,
                  .quarantine = quarantine_command,
                  .verify = verify_command,
                  .audit = audit_command,
                  .abandon = abandon_command,
                  .demo = demo_command,
                  .doctor = doctor_command,
                  .failpoints = failpoints_command});
}
