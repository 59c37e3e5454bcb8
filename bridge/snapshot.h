// The phase `snapshot`: a backup of the old store before the first trace of the bridge is put into
// it, then the initial load into PostgreSQL while the application writes on. Every step is safe to
// repeat, and a load that was killed resumes. Called by the supervisor's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "bridge/pump.h"
#include "bridge/site.h"
#include "bridge/status.h"
#include "state/ledger/state_dir.h"

namespace switchback {

struct LoadProgress {
  std::string step;  // "copying", "building keys", "catching up", "building the rest"
  std::vector<LoadStatus> tables;
};

/// Takes the one backup that precedes the first capture, unless there is one already.
void backup_before_capture(const Site& site, const StateDir& state);

/// True if the initial load has come to its end.
bool load_done(const Site& site);

/// Loads everything and returns with the pump's position recorded, constraints validated and tables
/// analysed. `start_pump` is called once the keys stand, to catch up before the rest is built.
void run_load(const Site& site, const std::function<std::shared_ptr<Pump>()>& start_pump,
              const std::function<void(const LoadProgress&)>& report, std::stop_token stop);

}  // namespace switchback
