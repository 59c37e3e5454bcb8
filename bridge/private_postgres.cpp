#include "bridge/private_postgres.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <memory>

#include "bridge/child_process.h"
#include "state/base/durable_file.h"
#include "state/base/error.h"

namespace switchback {
namespace {

constexpr const char* kUser = "postgres";

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

void PrivatePostgres::run(const std::vector<std::string>& command) const {
  std::vector<std::string> words;
  if (::geteuid() == 0) words = {"runuser", "-u", kUser, "--"};
  words.insert(words.end(), command.begin(), command.end());
  ChildProcess child(words, folder_ / "setup.log");
  const int status = child.wait();
  if (status != 0) {
    throw Error(ErrorKind::kUnreachable, Retry::kNever,
                fmt::format("'{}' failed: {} {}", command.front(), tail(folder_ / "setup.log"),
                            tail(folder_ / "server.log")),
                {.object = "the private PostgreSQL"});
  }
}

void PrivatePostgres::start() {
  make_folder(folder_, 0755);
  if (::geteuid() == 0) {
    const passwd* user = ::getpwnam(kUser);
    if (user == nullptr || ::chown(folder_.c_str(), user->pw_uid, user->pw_gid) != 0) {
      throw Error(ErrorKind::kUsage, Retry::kNever,
                  "PostgreSQL refuses to run as root and there is no user 'postgres' to run it",
                  {.next = "apt-get install postgresql-15"});
    }
  }
  const std::string data = (folder_ / "data").string();
  if (!std::filesystem::exists(folder_ / "data" / "PG_VERSION")) {
    run({tool("initdb").string(), "-D", data, "-U", kUser, "-A", "trust", "-E", "UTF8",
         "--locale=C.UTF-8"});
  }
  try {
    run({tool("pg_ctl").string(), "-D", data, "status"});
    return;  // runs already, perhaps for an earlier sidecar
  } catch (const Error&) {
    // Not running: the only way pg_ctl says so is its exit code.
  }
  const std::string options = fmt::format(
      "-c listen_addresses='' -c unix_socket_directories='{}' -c wal_level=logical "
      "-c max_replication_slots=10 -c max_wal_senders=10",
      folder_.string());
  run({tool("pg_ctl").string(), "-D", data, "-w", "-l", (folder_ / "server.log").string(), "-o",
       options, "start"});
}

void PrivatePostgres::stop() noexcept {
  try {
    run({tool("pg_ctl").string(), "-D", (folder_ / "data").string(), "-w", "-m", "fast", "stop"});
  } catch (const std::exception&) {
    // Nothing more can be done about a server that does not stop; its log says why.
  }
}

std::string PrivatePostgres::url(const std::string& database) const {
  return fmt::format("postgresql://{}@{}/{}", kUser, percent_encoded(folder_.string()), database);
}

}  // namespace switchback
