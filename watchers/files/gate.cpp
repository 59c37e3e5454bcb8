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
#include "watchers/files/gate_paths.h"
#include "watchers/files/journal.h"
#include "watchers/files/scan.h"
#include "watchers/files/write_fence.h"

namespace switchback {
namespace {

namespace fs = std::filesystem;
using Door = GateState::Door;

constexpr int kBetweenGateLooksMs = 2;
constexpr std::chrono::seconds kGatePatience{10};
// An application that works holds its lock for less than this at a time.
constexpr std::chrono::milliseconds kMoment{500};
// After this side closed, the other one still has to commit before the deadline.
constexpr std::chrono::milliseconds kForTheOther{20};
constexpr std::uint64_t kEnoughDiskBytes = std::uint64_t{16} << 20;

class FilesGate final : public WriteGate {
 public:
  FilesGate(std::shared_ptr<const Mapping> mapping, std::shared_ptr<const DocumentMap> documents,
            const fs::path& ledger, std::string group)
      : mapping_(std::move(mapping)),
        documents_(std::move(documents)),
        ledger_(FilesLedger::open(ledger, false)),
        scan_(mapping_, documents_, *ledger_),
        own_path_(ledger.string() + ".gate"),
        group_(std::move(group)),
        paths_(*mapping_, documents_, group_) {}
  ~FilesGate() override { unlock(); }

  GateState inspect(Deadline deadline) override;
  std::vector<GateCheck> look() override;
  void make_ready_to_open() override {}
  void make_ready_to_close() override;
  bool lock(Deadline deadline) override;
  Position mark() override { return mark_; }
  std::vector<Counter> counters() override;
  bool prepare(Epoch epoch, const OpenPlan& plan, Deadline deadline) override;
  Position applied() override { return ledger_->applied(); }
  bool close(Epoch epoch, Deadline deadline) override;
  void open(Epoch epoch, const OpenPlan& plan) override;
  void unlock() noexcept override;
  void settle_closed() override {}

 private:
  bool is_open() const;
  bool take_own(Deadline deadline);
  bool come_to_rest(Deadline deadline);
  bool no_writer_left(Deadline deadline) const;
  bool nothing_came(Deadline deadline);
  void lower();
  void look_at_folders(std::vector<GateCheck>& found) const;
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
  const GatePaths paths_;

  UniqueFd own_;
  AppLocks locks_;
  Position mark_;
  bool locked_ = false;
};

// ---- state

// By the gate's row. Without one nothing is installed, and the application writes freely.
bool FilesGate::is_open() const {
  const auto state = ledger_->gate(group_);
  return !state || state->door == Door::kOpen;
}

bool FilesGate::take_own(Deadline deadline) {
  if (own_) return true;
  UniqueFd fd(::open(own_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) fail_with_errno(own_path_, "cannot be opened");
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (deadline.passed()) return false;
    ::poll(nullptr, 0, kBetweenGateLooksMs);
  }
  own_ = std::move(fd);
  return true;
}

void FilesGate::lower() {
  lower_fence(*ledger_, [this](const std::string& path) { return paths_.is_ours(path); });
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
  bool any = false, torn = false;
  for (const auto& [path, mode] : fences) {
    if (!paths_.is_ours(path)) continue;
    any = true;
    torn = torn || is_writable(path);
  }
  // Closed without any fence: what the ledger knew of it is lost, and no mode would come back.
  torn = torn || (!any && !paths_.files().empty());
  return {torn ? Door::kTorn : Door::kClosed, state->epoch};
}

void FilesGate::look_at_folders(std::vector<GateCheck>& found) const {
  std::set<fs::path> roots;
  for (const std::uint16_t number : paths_.collections()) {
    roots.insert(documents_->collections[number].root);
  }
  for (const fs::path& root : roots) {
    std::error_code code;
    const auto space = fs::space(root, code);
    const bool room = code || space.available >= kEnoughDiskBytes;
    found.push_back(
        {"disk space",
         code ? fmt::format("{}: {}", root.string(), code.message())
              : fmt::format("{} MiB are free in {}", space.available >> 20, root.string()),
         "16 MiB", room, room ? "" : "free at least 16 MiB on that disk"});
  }
}

std::vector<GateCheck> FilesGate::look() {
  std::vector<GateCheck> found;
  look_at_folders(found);
  const auto state = ledger_->gate(group_);
  if (!state || state->door != Door::kOpen) return found;
  for (auto& check : paths_.held_all_along(Deadline::in(kMoment))) {
    found.push_back(std::move(check));
  }
  found.push_back(paths_.rights());
  for (auto& check : paths_.cannot_be_proven()) found.push_back(std::move(check));
  scan_.run(Look::kContents, nullptr);  // most of what lock() would have to do
  return found;
}

// ---- lock

// Two looks in a row that agree: the second one found nothing to log. close() reads all contents
// once more, so here the stamps will do.
bool FilesGate::come_to_rest(Deadline deadline) {
  for (;;) {
    const ScanResult seen = scan_.run(Look::kStamps, nullptr);
    mark_ = seen.to;
    if (seen.from == seen.to && !seen.unstable && seen.unreadable.empty()) return true;
    if (deadline.passed()) return false;
    ::poll(nullptr, 0, kBetweenGateLooksMs);
  }
}

// What came lately, and what the fence's sync would have to carry to disk: all that others wrote on
// it, so that it may well take longer than writers can wait.
void FilesGate::make_ready_to_close() {
  scan_.run(Look::kStamps, nullptr);
  sync_modes(paths_.to_fence());
}

bool FilesGate::lock(Deadline deadline) {
  if (locked_) return true;
  if (!take_own(deadline)) return false;
  if (!is_open()) {
    // The fence holds off everybody and stays; where it was torn, close() puts it back.
    mark_ = ledger_->last();
    locked_ = true;
    return true;
  }
  lower();  // what a crash left behind
  locked_ = !deadline.passed() && locks_.take(paths_.locks(), deadline) && come_to_rest(deadline);
  if (!locked_) unlock();
  return locked_;
}

void FilesGate::unlock() noexcept {
  if (!own_) return;
  try {
    if (is_open()) lower();
  } catch (const Error&) {
    // inspect() and the next lock() try again.
  }
  locks_.release();
  locked_ = false;
  own_.reset();
}

// ---- close

bool FilesGate::no_writer_left(Deadline deadline) const {
  for (const fs::path& path : paths_.files()) {
    if (deadline.passed()) return false;
    while (open_for_writing(path) == OpenForWriting::kYes) {
      if (deadline.passed()) return false;
      ::poll(nullptr, 0, kBetweenGateLooksMs);
    }
  }
  return true;
}

// Since mark().
bool FilesGate::nothing_came(Deadline deadline) {
  return ledger_->last() == mark_ && scan_.agrees(deadline) && ledger_->last() == mark_;
}

bool FilesGate::close(Epoch epoch, Deadline deadline) {
  // What the row says is not enough: somebody may have taken the fence off.
  if (inspect(deadline) == GateState{Door::kClosed, epoch}) return true;
  if (!lock(deadline)) return false;
  const bool was_open = is_open();
  try {
    const Deadline in_time(deadline.at() - kForTheOther);
    if (was_open && in_time.passed()) return false;
    raise_fence(*ledger_, paths_.to_fence());
    // What came behind a fence that was torn is not ours to carry over; a full comparison finds it.
    const bool at_rest = no_writer_left(in_time) && (!was_open || nothing_came(in_time));
    if (!at_rest || in_time.passed()) {
      if (was_open) lower();
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
  for (const std::uint16_t number : paths_.collections()) {
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
  if (!take_own(Deadline::in(kGatePatience))) {
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
  std::vector<GateCheck> look() override {
    return {
        {"installed", "the bridge is not installed at the files", "yes", false, "switchback run"}};
  }
  void make_ready_to_open() override {}
  bool lock(Deadline) override { return false; }
  Position mark() override { return {}; }
  std::vector<Counter> counters() override { return {}; }
  bool prepare(Epoch, const OpenPlan&, Deadline) override { return false; }
  Position applied() override { return {}; }
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
