#include "bridge/private_postgres.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>

#include "replication/connection.h"
#include "state/base/durable_file.h"
#include "state/base/error.h"

namespace switchback {
namespace {

constexpr const char* kUser = "postgres";
// The postmaster's signals: https://www.postgresql.org/docs/15/server-shutdown.html
constexpr int kFastShutdown = SIGINT;
constexpr std::chrono::seconds kStartPatience{60};
constexpr std::chrono::seconds kStopPatience{60};
constexpr std::chrono::milliseconds kLookAgain{50};

std::string server_user() {
  return ::geteuid() == 0 ? kUser : "";
}

std::vector<std::string> settings(const std::filesystem::path& folder) {
  return {"-c", "listen_addresses=", "-c", "unix_socket_directories=" + folder.string(),
          "-c", "wal_level=logical", "-c", "max_replication_slots=10",
          "-c", "max_wal_senders=10"};
}

std::string tail(const std::filesystem::path& log) {
  std::string text = read_file(log);
  if (text.size() > 600) text.erase(0, text.size() - 600);
  return text;
}

std::string percent_encoded(const std::string& path) {
  std::string out;
  for (const char c : path) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '.' || c == '-' || c == '_';
    out += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return out;
}

std::string binary_folder() {
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen("pg_config --bindir", "r"), ::pclose);
  std::array<char, 512> line{};
  if (!pipe || ::fgets(line.data(), static_cast<int>(line.size()), pipe.get()) == nullptr) {
    throw Error(ErrorKind::kUsage, Retry::kNever, "no PostgreSQL server is installed",
                {.next = "apt-get install postgresql-15 libpq-dev"});
  }
  std::string folder = line.data();
  while (!folder.empty() && folder.back() == '\n') folder.pop_back();
  return folder;
}

}  // namespace

std::filesystem::path PrivatePostgres::tool(const char* name) const {
  return std::filesystem::path(binary_folder()) / name;
}

std::string PrivatePostgres::stop_command() const {
  const std::string user = server_user();
  return fmt::format("{}{} -D {} stop", user.empty() ? "" : "runuser -u " + user + " -- ",
                     tool("pg_ctl").string(), data().string());
}

void PrivatePostgres::run(const std::vector<std::string>& command) const {
  ChildProcess child(command, {.log = folder_ / "setup.log", .user = server_user()});
  const int status = child.wait();
  if (status != 0) {
    throw Error(ErrorKind::kUnreachable, Retry::kNever,
                fmt::format("'{}' failed: {} {}", command.front(), tail(folder_ / "setup.log"),
                            tail(log())),
                {.object = "the private PostgreSQL",
                 .next = fmt::format("it lives in {}; the user that runs it must be able to enter "
                                     "every folder above that",
                                     folder_.string())});
  }
}

void PrivatePostgres::make_cluster() const {
  make_folder(folder_, 0755);
  if (::geteuid() == 0) {
    const passwd* user = ::getpwnam(kUser);
    if (user == nullptr || ::chown(folder_.c_str(), user->pw_uid, user->pw_gid) != 0) {
      throw Error(ErrorKind::kUsage, Retry::kNever,
                  "PostgreSQL refuses to run as root and there is no user 'postgres' to run it",
                  {.next = "apt-get install postgresql-15"});
    }
  }
  if (std::filesystem::exists(data() / "PG_VERSION")) return;
  run({tool("initdb").string(), "-D", data().string(), "-U", kUser, "-A", "trust", "-E", "UTF8",
       "--locale=C.UTF-8"});
}

void PrivatePostgres::start() {
  make_cluster();
  try {
    run({tool("pg_ctl").string(), "-D", data().string(), "status"});
    return;  // runs already, perhaps for an earlier sidecar
  } catch (const Error&) {
    // Not running: the only way pg_ctl says so is its exit code.
  }
  std::string options;
  for (const auto& word : settings(folder_)) options += "'" + word + "' ";
  run({tool("pg_ctl").string(), "-D", data().string(), "-w", "-l", log().string(), "-o", options,
       "start"});
}

void PrivatePostgres::start_as_child() {
  make_cluster();
  std::vector<std::string> command{tool("postgres").string(), "-D", data().string()};
  for (auto& word : settings(folder_)) command.push_back(std::move(word));
  server_.emplace(command,
                  ChildOptions{.log = log(), .user = server_user(), .at_our_death = kFastShutdown});
  const Deadline deadline = Deadline::in(kStartPatience);
  for (;;) {
    try {
      Connection::open(url(), "switchback setup");
      return;
    } catch (const Error&) {
      // It refuses until it is ready; a look at the process tells whether it will ever be.
      if (server_->wait(Deadline::in(kLookAgain)) || deadline.passed()) {
        throw Error(ErrorKind::kUnreachable, Retry::kNever,
                    "the server does not start: " + tail(log()),
                    {.object = "the private PostgreSQL"});
      }
    }
  }
}

PrivatePostgres::~PrivatePostgres() {
  if (!server_) return;
  server_->signal(kFastShutdown);
  server_->wait(Deadline::in(kStopPatience));
}

std::string PrivatePostgres::url(const std::string& database) const {
  return fmt::format("postgresql://{}@{}/{}", kUser, percent_encoded(folder_.string()), database);
}

}  // namespace switchback
