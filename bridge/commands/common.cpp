#include "bridge/commands/common.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "bridge/private_postgres.h"
#include "bridge/site.h"
#include "bridge/snapshot.h"
#include "state/base/error.h"

namespace switchback {

Config read_config(const GlobalOptions& global) {
  Config config = load_config(global.config, [](const char* name) { return std::getenv(name); });
  if (config.postgres_from == PostgresFrom::kPrivate) {
    config.conninfo = PrivatePostgres(private_postgres_folder(config)).url();
  }
  return config;
}

std::filesystem::path private_postgres_folder(const Config& config) {
  // PostgreSQL refuses root, and its own user could not enter root's 0700 state directory.
  if (::geteuid() == 0) return config.state_dir.string() + ".pg";
  return config.state_dir / "postgres";
}

void require_installed(const Config& config) {
  const Site site = open_site(config, SchemaUse::kTry);
  if (site.old_side->plan_install().empty() && load_done(site)) return;
  throw Error(ErrorKind::kRefused, Retry::kNever, "this bridge is not set up and loaded yet",
              {.next = "switchback run, and then again when `switchback status` shows forward"});
}

std::string who_asks() {
  const passwd* user = ::getpwuid(::geteuid());
  return user != nullptr ? user->pw_name : fmt::format("uid {}", ::geteuid());
}

bool confirmed(const std::string& question) {
  if (::isatty(STDIN_FILENO) == 0) {
    throw Error(ErrorKind::kUsage, Retry::kNever, "there is no terminal to ask on",
                {.next = "add --yes"});
  }
  std::cerr << question << " [y/N] " << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "yes";
}

}  // namespace switchback
