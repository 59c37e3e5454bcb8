// What several commands share: reading the configuration, where PostgreSQL is, who asks, and asking
// back. One thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "bridge/commands/commands.h"
#include "bridge/config.h"

namespace switchback {

/// How long a sidecar may take to answer, and the time between two looks at work that goes on.
inline constexpr std::chrono::seconds kAnswerLimit{30};
inline constexpr std::chrono::milliseconds kLookEvery{200};

/// The configuration with PostgreSQL's place filled in; a private server is taken to run already.
/// Throws Error(kUsage). Whether anything says where PostgreSQL is shows when a side is opened: who
/// asks a running sidecar need not know it.
Config read_config(const GlobalOptions& global);

/// Where [postgres] private = true keeps its server.
std::filesystem::path private_postgres_folder(const Config& config);

/// For commands that do without a sidecar, and neither install nor load: that is what `run` is for,
/// with somebody watching. Throws Error(kRefused) if that is not done yet.
void require_installed(const Config& config);

/// The operating system's user name, for the audit log.
std::string who_asks();

/// Asks on the terminal; false if the answer is not yes. Throws Error(kUsage) that names --yes if
/// there is no terminal to ask on.
bool confirmed(const std::string& question);

}  // namespace switchback
