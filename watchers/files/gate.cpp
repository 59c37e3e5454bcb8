#include "watchers/files/gate.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "state/base/error.h"
#include "state/base/failpoint.h"
#include "state/base/file_calls.h"
#include "watchers/files/app_locks.h"
#include "watchers/files/journal.h"
#include "watchers/files/scan.h"
#include "watchers/files/write_fence.h"

namespace switchback {
namespace {

namespace fs = std::filesystem;
using Door = GateState::Door;

constexpr int kBetweenTriesMs = 2;
constexpr std::chrono::seconds kPatience{10};

class FilesGate final : public WriteGate {
 public:
  FilesGate(std::shared_ptr<const Mapping> mapping, std::shared_ptr<const DocumentMap> documents,
            const fs::path& ledger, std::string group)
      : mapping_(std::move(mapping)),
        documents_(std::move(documents)),
        ledger_(FilesLedger::open(ledger, false)),
        scan_(mapping_, documents_, *ledger_),
        own_path_(ledger.string() + ".gate"),
        group_(std::move(group)) {
    for (std::uint16_t i = 0; i < documents_->collections.size(); ++i) {
      if (in_group(documents_->collections[i])) collections_.push_back(i);
    }
  }
  ~FilesGate() override { unlock(); }

  GateState inspect(Deadline deadline) override;
  std::vector<Obstacle> obstacles() override;
  void make_ready_to_open() override {}
  bool lock(Deadline deadline) override;
  Position mark() override { return mark_; }
  std::vector<Counter> counters() override;
  bool prepare(Epoch epoch, const OpenPlan& plan, Deadline deadline) override;
  bool close(Epoch epoch, Deadline deadline) override;
  void open(Epoch epoch, const OpenPlan& plan) override;
  void unlock() noexcept override;
  void settle_closed() override {}

 private:
  bool in_group(const Collection& collection) const;
  bool is_ours(const fs::path& path) const;
  std::vector<fs::path> files() const;
  std::vector<fs::path> to_fence() const;
  std::vector<fs::path> lock_files() const;
  bool take_own(Deadline deadline);
  bool come_to_rest(Deadline deadline);
  bool no_writer_left(Deadline deadline) const;
  bool nothing_came();
  void lower();
  template <class Visit>
  void each_serial(Visit visit) const;

  const std::shared_ptr<const Mapping> mapping_;
  const std::shared_ptr<const DocumentMap> documents_;
  const std::unique_ptr<FilesLedger> ledger_;
  FileScan scan_;
  // Held by whoever moves the fence: bits that are off although the gate is open are then under way
  // and not left behind by a crash.
  const fs::path own_path_;
  const std::string group_;
  std::vector<std::uint16_t> collections_;

  UniqueFd own_;
  AppLocks locks_;
  Position mark_;
  bool locked_ = false;
};

bool FilesGate::in_group(const Collection& collection) const {
  return std::any_of(collection.tables.begin(), collection.tables.end(), [&](const auto& source) {
    return mapping_->table(source.table).group == group_;
  });
}

// ---- which paths

std::vector<fs::path> FilesGate::files() const {
  std::set<fs::path> found;
  for (const std::uint16_t number : collections_) {
    const Collection& collection = documents_->collections[number];
    for (const std::string& path : list_files(collection)) found.insert(collection.root / path);
  }
  return {found.begin(), found.end()};
}

std::vector<fs::path> FilesGate::lock_files() const {
  std::set<fs::path> found;
  for (const std::uint16_t number : collections_) {
    const Collection& collection = documents_->collections[number];
    if (collection.lock.empty()) continue;
    for (const std::string& path : list_files(collection)) {
      found.insert(collection.root / beside(collection.lock, path));
    }
    // One lock for all of them may be there before any file is.
    if (collection.lock.find("{path}") == std::string::npos) {
      found.insert(collection.root / collection.lock);
    }
  }
  return {found.begin(), found.end()};
}

// Files before the folders they are in. Folders stay as they are where groups share the store:
// another group's files may be in them.
std::vector<fs::path> FilesGate::to_fence() const {
  std::vector<fs::path> found = files();
  const bool alone = collections_.size() == documents_->collections.size();
  std::set<fs::path> folders;
  for (const std::uint16_t number : collections_) {
    const Collection& collection = documents_->collections[number];
    for (const std::string& path : list_files(collection)) {
      if (!collection.keep_copy.empty()) {
        found.push_back(collection.root / beside(collection.keep_copy, path));
      }
      for (fs::path at = fs::path(path).parent_path(); alone && !at.empty();
           at = at.parent_path()) {
        folders.insert(collection.root / at);
      }
    }
    if (alone) folders.insert(collection.root);
  }
  found.insert(found.end(), folders.rbegin(), folders.rend());
  return found;
}

bool FilesGate::is_ours(const fs::path& path) const {
  if (collections_.size() == documents_->collections.size()) return true;
  return std::any_of(collections_.begin(), collections_.end(), [&](std::uint16_t number) {
    const Collection& collection = documents_->collections[number];
    const std::string below = path.lexically_relative(collection.root).string();
    const auto files = list_files(collection);
    return takes_file(collection, below) ||
           std::any_of(files.begin(), files.end(), [&](const std::string& file) {
             return !collection.keep_copy.empty() && beside(collection.keep_copy, file) == below;
           });
  });
}

// ---- state

bool FilesGate::take_own(Deadline deadline) {
  if (own_) return true;
  UniqueFd fd(::open(own_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) fail_with_errno(own_path_, "cannot be opened");
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (deadline.passed()) return false;
    ::poll(nullptr, 0, kBetweenTriesMs);
  }
  own_ = std::move(fd);
  return true;
}

void FilesGate::lower() {
  lower_fence(*ledger_, [this](const std::string& path) { return is_ours(path); });
}

GateState FilesGate::inspect(Deadline) {
  const auto state = ledger_->gate(group_);
  if (!state) return {Door::kOpen, 0};  // nothing installed: the application writes freely
  const auto fences = ledger_->fences();
  if (state->door == Door::kOpen) {
    // The gate's row is what counts: bits that a crash left off follow it.
    const bool idle = !own_ && !fences.empty() && take_own(Deadline::in({}));
    if (idle) {
      lower();
      own_.reset();
    }
    return *state;
  }
  const bool torn = std::any_of(fences.begin(), fences.end(), [&](const auto& fence) {
    return is_ours(fence.first) && is_writable(fence.first);
  });
  return {torn ? Door::kTorn : Door::kClosed, state->epoch};
}

std::vector<Obstacle> FilesGate::obstacles() {
  std::vector<Obstacle> found;
  const auto state = ledger_->gate(group_);
  if (!state || state->door != Door::kOpen) return found;
  for (const fs::path& path : lock_files()) {
    if (!AppLocks::held(path)) continue;
    found.push_back({"somebody holds the lock " + path.string(),
                     "let the application finish, or remove the lock if nobody runs"});
  }
  for (const fs::path& path : files()) {
    if (open_for_writing(path) != OpenForWriting::kYes) continue;
    found.push_back({path.string() + " is open for writing",
                     "stop the process that holds it: `fuser -v " + path.string() + "` names it"});
  }
  return found;
}

// ---- lock

// Two looks at all contents in a row that agree: the second one found nothing to log.
bool FilesGate::come_to_rest(Deadline deadline) {
  for (;;) {
    const ScanResult seen = scan_.run(Look::kContents, nullptr);
    mark_ = seen.to;
    if (seen.from == seen.to && !seen.unstable && seen.unreadable.empty()) return true;
    if (deadline.passed()) return false;
    ::poll(nullptr, 0, kBetweenTriesMs);
  }
}

bool FilesGate::lock(Deadline deadline) {
  if (locked_) return true;
  if (!take_own(deadline)) return false;
  lower();                              // what a crash left behind
  scan_.run(Look::kContents, nullptr);  // most of the work, while nobody waits
  locked_ = locks_.take(lock_files(), deadline) && come_to_rest(deadline);
  if (!locked_) unlock();
  return locked_;
}

void FilesGate::unlock() noexcept {
  if (!own_) return;
  try {
    const auto state = ledger_->gate(group_);
    if (!state || state->door == Door::kOpen) lower();
  } catch (const Error&) {
    // inspect() and the next lock() try again.
  }
  locks_.release();
  locked_ = false;
  own_.reset();
}

// ---- close

bool FilesGate::no_writer_left(Deadline deadline) const {
  for (const fs::path& path : files()) {
    while (open_for_writing(path) == OpenForWriting::kYes) {
      if (deadline.passed()) return false;
      ::poll(nullptr, 0, kBetweenTriesMs);
    }
  }
  return true;
}

// Since mark(). Bits that just changed make every stamp look fresh, which means nothing here.
bool FilesGate::nothing_came() {
  const ScanResult seen = scan_.run(Look::kContents, nullptr);
  return seen.from == mark_ && seen.to == mark_ && !seen.changing && seen.unreadable.empty();
}

bool FilesGate::close(Epoch epoch, Deadline deadline) {
  const auto state = ledger_->gate(group_);
  const bool closed = state && state->door == Door::kClosed;
  if (closed && state->epoch == epoch) return true;
  if (!closed && !lock(deadline)) return false;
  if (closed && !take_own(deadline)) return false;
  try {
    raise_fence(*ledger_, to_fence());
    if (!closed && !(no_writer_left(deadline) && nothing_came())) {
      lower();
      return false;
    }
    LedgerWrite write(*ledger_);
    ledger_->put_gate(group_, {Door::kClosed, epoch});
    failpoint("files.gate.close.commit.before");
    write.make_durable();
    failpoint("files.gate.close.commit.after");
  } catch (const Error&) {
    unlock();  // which looks what the gate says now
    throw;
  }
  locks_.release();
  locked_ = false;
  own_.reset();
  return true;
}

// ---- open

template <class Visit>
void FilesGate::each_serial(Visit visit) const {
  for (const std::uint16_t number : collections_) {
    for (const TableSource& table : documents_->collections[number].tables) {
      for (std::size_t c = 0; c < table.columns.size(); ++c) {
        for (const ValueSource& source : table.columns[c].from) {
          if (source.sort != ValueSource::Sort::kSerial || source.up != 0) continue;
          visit(number, table.level, table.table, mapping_->table(table.table).columns[c].name);
        }
      }
    }
  }
}

std::vector<Counter> FilesGate::counters() {
  std::vector<Counter> found;
  each_serial(
      [&](std::uint16_t collection, std::uint16_t level, TableId table, const std::string& column) {
        found.push_back({table, column, ledger_->serial(collection, level)});
      });
  return found;
}

bool FilesGate::prepare(Epoch, const OpenPlan&, Deadline deadline) {
  FileJournal(*ledger_).replay();
  return take_own(deadline);
}

void FilesGate::open(Epoch epoch, const OpenPlan& plan) {
  if (!take_own(Deadline::in(kPatience))) {
    throw Error(ErrorKind::kBusy, Retry::kLater, "another switchback moves the fence of the files",
                {.object = own_path_.string()});
  }
  FileJournal(*ledger_).replay();
  {
    LedgerWrite write(*ledger_);
    each_serial([&](std::uint16_t collection, std::uint16_t level, TableId table,
                    const std::string& column) {
      for (const Counter& counter : plan.counters) {
        if (counter.table == table && counter.column == column) {
          ledger_->raise_serial(collection, level, counter.value);
        }
      }
    });
    ledger_->put_gate(group_, {Door::kOpen, epoch});
    failpoint("files.gate.open.commit.before");
    write.make_durable();
    failpoint("files.gate.open.commit.after");
  }
  lower();
  locks_.release();
  locked_ = false;
  own_.reset();
}

// Before the first install there is no ledger, and looking must not make one.
class NoGateYet final : public WriteGate {
 public:
  GateState inspect(Deadline) override { return {Door::kOpen, 0}; }
  std::vector<Obstacle> obstacles() override {
    return {{"the bridge is not installed at the files", "switchback run"}};
  }
  void make_ready_to_open() override {}
  bool lock(Deadline) override { return false; }
  Position mark() override { return {}; }
  std::vector<Counter> counters() override { return {}; }
  bool prepare(Epoch, const OpenPlan&, Deadline) override { return false; }
  bool close(Epoch, Deadline) override { return false; }
  void open(Epoch, const OpenPlan&) override {
    throw Error(ErrorKind::kRefused, Retry::kNever, "the bridge is not installed at the files",
                {.next = "switchback run"});
  }
  void unlock() noexcept override {}
  void settle_closed() override {}
};

}  // namespace

std::unique_ptr<WriteGate> open_files_gate(std::shared_ptr<const Mapping> mapping,
                                           std::shared_ptr<const DocumentMap> documents,
                                           const fs::path& ledger, const std::string& group) {
  std::error_code code;
  if (!fs::exists(ledger, code)) return std::make_unique<NoGateYet>();
  return std::make_unique<FilesGate>(std::move(mapping), std::move(documents), ledger, group);
}

}  // namespace switchback
