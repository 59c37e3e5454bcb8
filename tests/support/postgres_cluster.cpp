#include "tests/support/postgres_cluster.h"

#include <fcntl.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>
#include <stdexcept>

namespace switchback::test {
namespace {

namespace fs = std::filesystem;

constexpr const char* kServerUser = "postgres";

bool is_root() {
  return ::geteuid() == 0;
}

std::string slurp(const fs::path& path) {
  std::ifstream in(path);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

/// Puts runuser in front where the server would refuse us.
std::vector<std::string> as_server_user(std::vector<std::string> command) {
  if (is_root()) command.insert(command.begin(), {"runuser", "-u", kServerUser, "--"});
  return command;
}

/// The child after fork(): never returns. Signals and descriptors of the test stay with the test.
[[noreturn]] void exec_child(const std::vector<std::string>& command, int input, int output) {
  ::dup2(input, STDIN_FILENO);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(output, STDERR_FILENO);
  if (::chdir("/") != 0) ::_exit(127);
  std::vector<char*> argv;
  for (const auto& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  ::execvp(argv[0], argv.data());
  ::_exit(127);
}

/// Runs a command to its end. Output goes to a file, not a pipe: a server that pg_ctl leaves behind
/// would hold a pipe open for ever.
std::string run(const std::vector<std::string>& command) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> output(std::tmpfile(), &std::fclose);
  const UniqueFd input(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const pid_t child = ::fork();
  if (child == 0) exec_child(command, input.get(), ::fileno(output.get()));
  int status = 0;
  ::waitpid(child, &status, 0);
  std::string text;
  std::rewind(output.get());
  std::array<char, 4096> buffer{};
  while (const std::size_t n = std::fread(buffer.data(), 1, buffer.size(), output.get())) {
    text.append(buffer.data(), n);
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    throw std::runtime_error(command[is_root() && command.size() > 4 ? 4 : 0] + " failed: " + text);
  }
  return text;
}

fs::path find_bindir() {
  if (const char* wanted = std::getenv("SWITCHBACK_TEST_PG_BIN")) return wanted;
  std::string line = run({"pg_config", "--bindir"});
  while (!line.empty() && line.back() == '\n') line.pop_back();
  return line;
}

/// Where a cluster goes. One that syncs nothing lies in memory where there is room: on a disk,
/// making and removing its thousand files is most of what a short test waits for.
fs::path folder_for(bool fsync) {
  const fs::path memory = "/dev/shm";
  constexpr std::uintmax_t kRoom = std::uintmax_t{4} << 30;
  std::error_code none;
  const bool roomy = fs::space(memory, none).available >= kRoom && !none;
  const bool usable = ::access(memory.c_str(), W_OK) == 0 && std::getenv("TMPDIR") == nullptr;
  return roomy && usable && !fsync ? memory : fs::temp_directory_path();
}

fs::path make_folder(const fs::path& below, const std::string& prefix) {
  std::string name = (below / (prefix + "XXXXXX")).string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary folder: " + name);
  if (is_root()) {
    const passwd* user = ::getpwnam(kServerUser);
    if (user == nullptr) throw std::runtime_error("there is no user 'postgres' to run a server as");
    if (::chown(name.c_str(), user->pw_uid, user->pw_gid) != 0) {
      throw std::runtime_error("cannot give " + name + " to the user 'postgres'");
    }
  }
  fs::permissions(name, fs::perms(0755));
  return name;
}

void initdb(const fs::path& bindir, const fs::path& data) {
  run(as_server_user({(bindir / "initdb").string(), "-D", data.string(), "-U", "postgres", "-A",
                      "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"}));
}

/// The template's data folder, made if it is not there. Several test programs may try at once: each
/// makes its own and the first rename wins.
fs::path template_data(const fs::path& bindir) {
  const std::string version = run({(bindir / "postgres").string(), "--version"});
  const std::size_t mark = std::hash<std::string>()(bindir.string() + version);
  const fs::path home =
      fs::temp_directory_path() /
      ("switchback-test-template-" + std::to_string(::geteuid()) + "-" + std::to_string(mark));
  if (fs::exists(home / "data" / "PG_VERSION")) return home / "data";
  const fs::path made = make_folder(home.parent_path(), "sbtemplate-");
  initdb(bindir, made / "data");
  if (::rename(made.c_str(), home.c_str()) != 0) fs::remove_all(made);
  return home / "data";
}

struct Finish {
  void operator()(PGconn* conn) const { PQfinish(conn); }
  void operator()(PGresult* result) const { PQclear(result); }
};

}  // namespace

PostgresCluster::PostgresCluster(ClusterOptions options)
    : options_(std::move(options)), bindir_(find_bindir()) {
  folder_ = make_folder(folder_for(options_.fsync), "sbpg-");
  start_undertaker();
  make_data();
  write_settings();
  start();
}

PostgresCluster::~PostgresCluster() {
  undertaker_pipe_.reset();
  ::waitpid(undertaker_, nullptr, 0);
}

PostgresCluster& PostgresCluster::shared() {
  static PostgresCluster cluster;
  return cluster;
}

void PostgresCluster::start_undertaker() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  const UniqueFd read_end(ends[0]);
  undertaker_pipe_ = UniqueFd(ends[1]);
  const UniqueFd output(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  std::vector<std::string> stop = as_server_user(
      {(bindir_ / "pg_ctl").string(), "stop", "-w", "-m", "immediate", "-D", data().string()});
  // `read` ends when the last writer of the pipe is gone, however it went.
  const std::string script = "read -r _; folder=$1; shift; \"$@\"; rm -rf -- \"$folder\"";
  std::vector<std::string> command = {"sh", "-c", script, "sh", folder_.string()};
  command.insert(command.end(), stop.begin(), stop.end());
  undertaker_ = ::fork();
  if (undertaker_ == 0) {
    ::setsid();  // a Ctrl-C or timeout that kills the test's process group must not reach it
    exec_child(command, read_end.get(), output.get());
  }
}

void PostgresCluster::make_data() {
  if (options_.own_identity) {
    initdb(bindir_, data());
    return;
  }
  const fs::path from = template_data(bindir_);
  run(as_server_user({"cp", "-a", from.string(), data().string()}));
}

void PostgresCluster::write_settings() {
  std::ofstream out(data() / "postgresql.conf", std::ios::app);
  out << "\nlisten_addresses = ''\nunix_socket_directories = '" << folder_.string() << "'\n"
      << "wal_level = logical\nmax_wal_senders = 20\nmax_replication_slots = 20\n"
      << "max_connections = 100\nshared_buffers = 64MB\nmax_wal_size = 2GB\n"
      << "log_min_messages = warning\nfsync = " << (options_.fsync ? "on" : "off") << "\n";
  for (const auto& line : options_.settings) out << line << "\n";
  if (!out.flush()) throw std::runtime_error("cannot write postgresql.conf");
}

void PostgresCluster::start() {
  try {
    run(as_server_user({(bindir_ / "pg_ctl").string(), "start", "-w", "-t", "60", "-D",
                        data().string(), "-l", log().string()}));
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(error.what() + log_tail());
  }
}

void PostgresCluster::stop(StopMode mode) {
  run(as_server_user({(bindir_ / "pg_ctl").string(), "stop", "-w", "-t", "60", "-D",
                      data().string(), "-m", mode == StopMode::kFast ? "fast" : "immediate"}));
}

void PostgresCluster::restart(StopMode mode) {
  stop(mode);
  start();
}

std::string PostgresCluster::conninfo(const std::string& database) const {
  return "host=" + folder_.string() + " user=postgres dbname=" + database;
}

void PostgresCluster::create_database(const std::string& name) {
  sql(conninfo("postgres"), "CREATE DATABASE " + name + " STRATEGY FILE_COPY");
}

std::string PostgresCluster::fresh_database() {
  const std::string name = "test_" + std::to_string(++databases_);
  create_database(name);
  return conninfo(name);
}

std::string PostgresCluster::sql(const std::string& conninfo, const std::string& statements) const {
  const std::unique_ptr<PGconn, Finish> conn(PQconnectdb(conninfo.c_str()));
  const std::unique_ptr<PGresult, Finish> result(PQexec(conn.get(), statements.c_str()));
  const ExecStatusType status = PQresultStatus(result.get());
  if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
    throw std::runtime_error(std::string(PQerrorMessage(conn.get())) + " in: " + statements);
  }
  std::string out;
  for (int row = 0; row < PQntuples(result.get()); ++row) {
    if (row != 0) out += '\n';
    for (int column = 0; column < PQnfields(result.get()); ++column) {
      if (column != 0) out += '|';
      out += PQgetisnull(result.get(), row, column) != 0 ? "NULL"
                                                         : PQgetvalue(result.get(), row, column);
    }
  }
  return out;
}

std::string PostgresCluster::log_tail() const {
  const std::string text = slurp(log());
  return text.substr(text.size() > 2000 ? text.size() - 2000 : 0);
}

std::string fresh_database() {
  return PostgresCluster::shared().fresh_database();
}

}  // namespace switchback::test
