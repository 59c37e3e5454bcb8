#include "bridge/demo.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <thread>

#include "bridge/child_process.h"
#include "bridge/demo_system.h"
#include "bridge/private_postgres.h"
#include "bridge/site.h"
#include "bridge/supervisor.h"
#include "state/base/durable_file.h"
#include "state/base/log.h"

namespace switchback {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Debian's own: the one that its python3-psycopg2 belongs to, whatever else is on the PATH.
constexpr const char* kPython = "/usr/bin/python3";

template <class... Args>
void tell(fmt::format_string<Args...> text, Args&&... args) {
  fmt::print("{}\n", fmt::format(text, std::forward<Args>(args)...));
  std::fflush(stdout);
}

class Demo {
 public:
  explicit Demo(DemoOptions options);
  ~Demo();
  int play();

 private:
  void make_store(const std::string& name);
  std::vector<std::string> program(const char* name, std::vector<std::string> arguments) const;
  void start_postgres();
  void start_application();
  void start_sidecar();
  void flip(Side to);
  void tell_quarantine(Side refused_by);
  void watch_writes(const char* what);
  void stop_application();
  void wait_drained();
  void plant_loss();
  int check();
  void report_pauses();
  std::uint64_t journal_size() const;
  std::filesystem::path file(std::string_view name) const { return folder_ / name; }

  const DemoOptions options_;
  const DemoSystem system_;
  std::filesystem::path folder_;
  bool remove_folder_ = false;
  std::optional<PrivatePostgres> postgres_;
  std::string url_;
  std::optional<ChildProcess> application_;
  std::optional<Supervisor> supervisor_;
  std::jthread sidecar_;
  std::mutex mutex_;
  std::optional<Error> sidecar_error_;  // guarded by mutex_
};

Demo::Demo(DemoOptions options)
    : options_(std::move(options)),
      system_(load_demo_system(options_.system)),
      folder_(options_.folder) {
  if (folder_.empty()) {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "switchback-demo-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
      throw Error(ErrorKind::kDisk, Retry::kNever, "cannot make a folder for the demo",
                  {.object = pattern});
    }
    folder_ = pattern;
    remove_folder_ = true;
    // As root the server runs as another user, who must be able to enter.
    std::filesystem::permissions(folder_, std::filesystem::perms(0755));
  }
  folder_ = std::filesystem::absolute(folder_);
  make_folder(folder_, 0755);
  if (std::filesystem::exists(file(system_.store))) {
    throw Error(ErrorKind::kUsage, Retry::kNever, "there is a demo in this folder already",
                {.object = folder_.string(), .next = "name an empty folder with --folder"});
  }
}

Demo::~Demo() {
  application_.reset();
  sidecar_ = {};
  supervisor_.reset();
  postgres_.reset();
  std::error_code ignored;
  if (remove_folder_) std::filesystem::remove_all(folder_, ignored);
}

/// One of the system's own programs, as a command.
std::vector<std::string> Demo::program(const char* name, std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), {kPython, (system_.folder / name).string()});
  return arguments;
}

void Demo::make_store(const std::string& name) {
  std::vector<std::string> arguments = {
      "--out",  file(name).string(),
      "--rows", std::to_string(options_.rows.value_or(system_.rows)),
      "--seed", "7"};
  if (!options_.journal_mode.empty()) {
    arguments.insert(arguments.end(), {"--journal-mode", options_.journal_mode});
  }
  ChildProcess maker(program("make_sample.py", std::move(arguments)),
                     {.log = file("make_sample.log")});
  if (maker.wait() != 0) {
    throw Error(ErrorKind::kUsage, Retry::kNever, read_file(file("make_sample.log")),
                {.object = "the sample data maker", .next = "apt-get install python3"});
  }
}

void Demo::start_postgres() {
  postgres_.emplace(file("pg"));
  postgres_->start_as_child();
  Connection::open(postgres_->url(), "switchback demo").exec("CREATE DATABASE app");
  url_ = postgres_->url("app");
}

void Demo::start_application() {
  application_.emplace(
      program("application.py",
              {"--old", file(system_.store).string(), "--postgres", url_, "--primary",
               (file("switchback.run") / "primary").string(), "--journal",
               file("journal.jsonl").string(), "--report", file("report.json").string(), "--rate",
               std::to_string(options_.rate), "--seed", "11"}),
      ChildOptions{.log = file("application.log")});
}

void Demo::start_sidecar() {
  for (const auto& path : system_.bridge_files()) {
    replace_file(file(path.filename().string()), read_file(path), 0600);
  }
  const auto environment = [this](const char* name) -> const char* {
    return std::string_view(name) == "DATABASE_URL" ? url_.c_str() : nullptr;
  };
  supervisor_.emplace(load_config(file("switchback.toml"), environment));
  sidecar_ = std::jthread([this](std::stop_token stop) {
    try {
      supervisor_->run(stop);
    } catch (const Error& error) {
      const std::lock_guard lock(mutex_);
      sidecar_error_ = error;
    }
  });
  std::string step;
  std::mutex nothing;
  std::condition_variable look_again;
  for (Picture now = supervisor_->picture(); now.phase != Phase::kForward;
       now = supervisor_->picture()) {
    {
      const std::lock_guard lock(mutex_);
      if (sidecar_error_) throw *sidecar_error_;
    }
    if (!now.load.step.empty() && now.load.step != step) {
      step = now.load.step;
      tell("    {} …", step);
    }
    std::unique_lock lock(nothing);
    look_again.wait_for(lock, milliseconds(20));
  }
}

std::uint64_t Demo::journal_size() const {
  std::error_code code;
  const auto size = std::filesystem::file_size(file("journal.jsonl"), code);
  return code ? 0 : size;
}

// The application must get on with its work for the length of a phase.
void Demo::watch_writes(const char* what) {
  const std::uint64_t before = journal_size();
  std::mutex nothing;
  std::condition_variable look_again;
  std::unique_lock lock(nothing);
  const auto ended = [this] { return !application_->running(); };
  if (look_again.wait_for(lock, seconds(options_.seconds_per_phase), ended)) {
    throw Error(ErrorKind::kInternal, Retry::kNever, read_file(file("application.log")),
                {.object = "the application ended by itself"});
  }
  if (journal_size() == before) {
    throw Error(ErrorKind::kInternal, Retry::kNever, "the application wrote nothing",
                {.object = what});
  }
  const Picture now = supervisor_->picture();
  tell("    {}: {} changes carried so far in this phase, {} waiting", what, now.pump.changes,
       now.pump.lag.changes);
}

// Nobody can ask for it afterwards: PostgreSQL ends with the demo.
void Demo::tell_quarantine(Side refused_by) {
  const Site site = open_site(supervisor_->config(), SchemaUse::kTry);
  for (const QuarantineEntry& entry : site.of(refused_by).quarantine()) {
    tell("    in quarantine: {} {}: {}", entry.name, entry.key, entry.reason);
  }
}

void Demo::flip(Side to) {
  const FlipReport report =
      supervisor_->flip({.to = to, .max_pause = supervisor_->config().max_pause}, "demo");
  if (!report.outcome.flipped) {
    remove_folder_ = false;
    tell_quarantine(to);
    fmt::print(stderr, "kept for a look: {}\n", folder_.string());
    const Obstacle& why = report.outcome.obstacles.front();
    throw Error(ErrorKind::kRefused, Retry::kNever, why.what, {.next = why.cure});
  }
  tell("    writes go to {} now, epoch {}; locked for {:.1f} ms", to_string(to),
       report.outcome.epoch, static_cast<double>(report.outcome.pause.count()) / 1000.0);
}

void Demo::stop_application() {
  application_->signal(SIGTERM);
  const auto status = application_->wait(Deadline::in(seconds(30)));
  if (status != 0) {
    throw Error(ErrorKind::kInternal, Retry::kNever, read_file(file("application.log")),
                {.object = "the application did not end well"});
  }
}

void Demo::wait_drained() {
  std::mutex nothing;
  std::condition_variable look_again;
  const Deadline deadline = Deadline::in(seconds(30));
  Connection connection = Connection::open(url_, "switchback demo");
  // The reverse source's lag counts bytes of WAL; a quiet pump with nothing waiting has them all.
  const std::string end =
      connection.exec("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").string(0, 0);
  connection.exec("SELECT pg_logical_emit_message(true, 'switchback', 'drain')");
  while (supervisor_->picture().pump.durable.value < std::stoull(end)) {
    if (deadline.passed()) {
      throw Error(ErrorKind::kInternal, Retry::kNever, "the last changes did not come across");
    }
    std::unique_lock lock(nothing);
    look_again.wait_for(lock, milliseconds(5));
  }
}

// What the checker is for: a row that the application was told is safe, gone from both sides.
void Demo::plant_loss() {
  Connection::open(url_, "switchback demo").exec(system_.plant_loss);
}

int Demo::check() {
  ChildProcess checker(program("checker.py", {"--old", file(system_.store).string(), "--postgres",
                                              url_, "--journal", file("journal.jsonl").string(),
                                              "--original", file("original").string()}),
                       {.log = file("checker.log")});
  const int status = checker.wait();
  fmt::print("{}", read_file(file("checker.log")));
  std::fflush(stdout);
  return status == 0 ? 0 : 1;
}

void Demo::report_pauses() {
  simdjson::dom::parser parser;
  const simdjson::dom::element report = parser.load(file("report.json").string());
  for (const simdjson::dom::element change : report["switches"].get_array()) {
    tell("    {} -> {}: {:.1f} ms between two acknowledged writes",
         std::string_view(change["from"]), std::string_view(change["to"]),
         double(change["gap_ms"]));
  }
  tell("    {} writes acknowledged, {:.0f} a second; errors the application saw: {}",
       std::uint64_t(report["acked"]), double(report["rate"]), simdjson::minify(report["errors"]));
}

int Demo::play() {
  tell("1. A live application: {} {}, and a program that writes all the while",
       options_.rows.value_or(system_.rows), system_.scene);
  make_store("original");
  make_store(system_.store);
  start_postgres();
  start_application();
  tell("2. The sidecar starts: backup, capture, initial load into PostgreSQL");
  start_sidecar();
  tell("3. Forward: every change flows to PostgreSQL");
  watch_writes("forward");
  tell("4. Cutover, under load");
  flip(Side::kPostgres);
  tell("5. Reverse: every change flows back");
  watch_writes("reverse");
  tell("6. Rollback, under load");
  flip(Side::kOld);
  watch_writes("forward");
  tell("7. Cutover again");
  flip(Side::kPostgres);
  watch_writes("reverse");
  stop_application();
  tell("8. What the application saw");
  report_pauses();
  if (options_.plant_loss) plant_loss();
  wait_drained();
  // Whole: its pump would go on writing where the checker reads.
  sidecar_ = {};
  supervisor_.reset();
  tell("9. An independent checker reads both stores against the application's journal");
  const int result = check();
  remove_folder_ = remove_folder_ && result == 0;
  if (result != 0) fmt::print(stderr, "kept for a look: {}\n", folder_.string());
  return result;
}

}  // namespace

int run_demo(const DemoOptions& options) {
  set_log_level(LogLevel::kWarning);
  return Demo(options).play();
}

}  // namespace switchback
