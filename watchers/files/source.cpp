#include "watchers/files/source.h"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>

#include "state/base/advice.h"
#include "state/base/error.h"
#include "watchers/files/ranked_batch.h"
#include "watchers/files/row_key.h"
#include "watchers/files/stored_rows.h"

namespace switchback {
namespace {

using Clock = Deadline::Clock;

constexpr std::chrono::seconds kPruneEvery{5};
// How long a batch may take to be gathered.
constexpr std::chrono::seconds kGathering{1};
constexpr int kBetweenPullLooksMs = 2;

class FilesSource final : public ChangeSource {
 public:
  FilesSource(std::shared_ptr<const Mapping> mapping, std::shared_ptr<const DocumentMap> documents,
              FilesSourceOptions options)
      : mapping_(std::move(mapping)),
        documents_(std::move(documents)),
        options_(std::move(options)),
        batch_(mapping_, options_.spool_folder),
        watch_(documents_, options_.times) {}

  void start(const Position& applied) override;
  Pull pull(Chunk& out, Deadline deadline, std::stop_token stop) override;
  void acknowledge(const Position& durable) noexcept override { acknowledged_ = durable; }
  void compared(const Position& position) noexcept override { compared_ = position; }
  void idle() override { prune(); }
  void park() noexcept override {
    if (rows_) rows_->release();
  }
  Lag lag() override;
  std::vector<SourceTrouble> troubles() override;
  void wake() noexcept override { watch_.wake(); }

 private:
  Pull hand_out(Chunk& out);
  bool look(Look how);
  bool gather();
  bool all_stand(const std::vector<DirtyKey>& keys);
  void put_off(const std::vector<DirtyKey>& keys);
  void find_owed();
  void prune();
  void report(std::vector<UnreadableFile> unreadable);

  const std::shared_ptr<const Mapping> mapping_;
  const std::shared_ptr<const DocumentMap> documents_;
  const FilesSourceOptions options_;
  RankedBatch batch_;
  FilesWatch watch_;
  std::unique_ptr<FilesLedger> ledger_;
  std::optional<FileScan> scan_;
  std::optional<StoredRows> rows_;

  Position position_;           // what was handed out, or is being
  bool in_batch_ = false;       // batch_ leads to position_
  bool stuck_ = false;          // what the log has more is in files that must be mended first
  bool owes_boundary_ = false;  // a start from nothing ends in a position even without changes
  Position acknowledged_;
  std::optional<Position> compared_;
  Chunk owed_;                  // not handed out yet
  Clock::time_point oldest_{};  // when the batch that is not acknowledged yet was found
  Clock::time_point next_prune_{};
  std::vector<UnreadableFile> unreadable_;
  std::map<std::string, Clock::time_point> unreadable_since_;  // by path
};

void FilesSource::start(const Position& applied) {
  rows_.reset();
  scan_.reset();
  batch_.clear();
  in_batch_ = false;
  ledger_ = FilesLedger::open(options_.ledger, false);
  scan_.emplace(mapping_, documents_, *ledger_);
  rows_.emplace(mapping_, *scan_, *ledger_);
  owes_boundary_ = applied == Position{};
  position_ = owes_boundary_ ? ledger_->first() : applied;
  if (!ledger_->holds(position_)) {
    throw Error(ErrorKind::kHistory, Retry::kNever,
                "PostgreSQL stands at a position that the ledger of the files does not know: one "
                "of them was put back from an older copy",
                {.object = options_.ledger.string(), .next = kDoctorFix});
  }
  acknowledged_ = position_;
  find_owed();
}

void FilesSource::find_owed() {
  owed_.clear();
  if (!compared_) return;
  if (!(*compared_ == Position{}) && compared_->history != position_.history) return;
  for (const DirtyKey& dirty : ledger_->dirty(compared_->value, position_.value)) {
    add_cells(dirty.key, owed_);
    owed_.end_delete(dirty.table);
  }
}

// The last chunk of a batch is known only when there is none after it: an empty one has the
// boundary.
Pull FilesSource::hand_out(Chunk& out) {
  if (batch_.next(out)) return Pull::kChunk;
  out.clear();
  out.boundary = position_;
  in_batch_ = false;
  return Pull::kChunk;
}

// Rows of what the log says beyond our position, all as of one moment of it: a record that is gone
// by then takes along what was in it. The application writes all the while: files that have changed
// since are looked at first, and everything is read again. False: there is nothing that can be told
// yet, since a file keeps changing or cannot be read.
bool FilesSource::gather() {
  const Deadline deadline = Deadline::in(kGathering);
  Position end;
  stuck_ = false;
  for (;;) {
    batch_.clear();
    std::size_t all = 0;
    std::vector<DirtyKey> left;
    {
      const LedgerRead snapshot(*ledger_);
      end = ledger_->last();
      left = ledger_->dirty(position_.value, end.value);
      all = left.size();
      left = rows_->read_some(left, batch_);
    }
    if (left.empty()) break;
    stuck_ = all_stand(left);
    if (stuck_ || deadline.passed()) {
      if (left.size() == all && !owes_boundary_) return false;
      put_off(left);
      break;
    }
    ::poll(nullptr, 0, kBetweenPullLooksMs);
    report(scan_->run(Look::kStamps, nullptr).unreadable);
  }
  rows_->release();
  position_ = end;
  oldest_ = Clock::now();
  in_batch_ = true;
  owes_boundary_ = false;
  return true;
}

// Whether all these rows are in files that have been unreadable for longer than a write takes.
bool FilesSource::all_stand(const std::vector<DirtyKey>& keys) {
  std::set<std::string> standing;
  for (const SourceTrouble& trouble : troubles()) standing.insert(trouble.what);
  return std::all_of(keys.begin(), keys.end(), [&](const DirtyKey& dirty) {
    const auto owner = ledger_->owner(dirty.table, dirty.key);
    const auto file = owner ? ledger_->file(owner->file) : std::nullopt;
    if (!file) return false;
    return standing.contains((scan_->collection(file->collection).root / file->path).string());
  });
}

// One file that cannot be read holds up no other: its rows are logged again behind what the batch
// leads to, and told when it can be.
void FilesSource::put_off(const std::vector<DirtyKey>& keys) {
  LedgerWrite write(*ledger_);
  for (const DirtyKey& dirty : keys) ledger_->log(dirty.table, dirty.key);
  write.make_durable();
}

/// True if there is a batch now.
bool FilesSource::look(Look how) {
  watch_.drain();
  const auto before = Clock::now();
  batch_.clear();
  ScanResult seen = scan_->run(how, &batch_);
  report(std::move(seen.unreadable));
  bool soon = seen.unstable;
  // What the scan found is the whole batch, unless somebody else's scan comes before it.
  if (seen.from == position_ && seen.to.value != position_.value && !seen.contested) {
    position_ = seen.to;
    in_batch_ = true;
    owes_boundary_ = false;
  } else if (ledger_->last().value != position_.value && !gather()) {
    soon = !stuck_;
  }
  watch_.looked(Clock::now() - before, how == Look::kContents, soon);
  if (in_batch_) oldest_ = Clock::now();
  return in_batch_;
}

Pull FilesSource::pull(Chunk& out, Deadline deadline, std::stop_token stop) {
  out.clear();
  if (!owed_.empty()) {
    std::swap(out, owed_);
    return Pull::kOwed;
  }
  const std::stop_callback wake(stop, [this] { watch_.wake(); });
  while (!stop.stop_requested()) {
    if (in_batch_) return hand_out(out);
    prune();
    if (owes_boundary_ || ledger_->last().value != position_.value) {
      if (gather()) continue;
      if (!stuck_) watch_.looked({}, false, true);
    }
    switch (watch_.wait(deadline)) {
      case FilesWatch::Outcome::kStamps:
        look(Look::kStamps);
        break;
      case FilesWatch::Outcome::kContents:
        look(Look::kContents);
        break;
      case FilesWatch::Outcome::kWoken:
        // A flip's gate may have scanned: see what it logged before going idle.
        if (ledger_->last().value == position_.value) return Pull::kIdle;
        break;
      case FilesWatch::Outcome::kDeadline:
        return Pull::kIdle;
    }
  }
  return Pull::kIdle;
}

// The acknowledged entry stays, to prove the position by, and what was not compared yet.
void FilesSource::prune() {
  if (Clock::now() < next_prune_) return;
  std::uint64_t keep = acknowledged_.value;
  const bool bound =
      compared_ && (*compared_ == Position{} || compared_->history == acknowledged_.history);
  if (bound) keep = std::min(keep, compared_->value);
  if (!ledger_ || ledger_->first().value >= keep) return;
  LedgerWrite write(*ledger_);
  ledger_->prune(keep);
  write.make_durable();
  next_prune_ = Clock::now() + kPruneEvery;
}

Lag FilesSource::lag() {
  Lag lag;
  if (!ledger_) return lag;
  lag.changes = ledger_->entries_beyond(acknowledged_.value);
  if (lag.changes != 0) {
    lag.age = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - oldest_);
  }
  return lag;
}

std::vector<SourceTrouble> FilesSource::troubles() {
  std::vector<SourceTrouble> out;
  const auto now = Clock::now();
  for (const UnreadableFile& file : unreadable_) {
    if (!file.held && now - unreadable_since_[file.path] < options_.being_written) continue;
    out.push_back({file.path, file.why, file.held});
  }
  return out;
}

void FilesSource::report(std::vector<UnreadableFile> unreadable) {
  const auto now = Clock::now();
  std::map<std::string, Clock::time_point> since;
  for (const UnreadableFile& file : unreadable) {
    const auto known = unreadable_since_.find(file.path);
    since[file.path] = known == unreadable_since_.end() ? now : known->second;
  }
  unreadable_since_ = std::move(since);
  if (unreadable == unreadable_) return;
  unreadable_ = std::move(unreadable);
}

}  // namespace

std::unique_ptr<ChangeSource> open_files_source(std::shared_ptr<const Mapping> mapping,
                                                std::shared_ptr<const DocumentMap> documents,
                                                FilesSourceOptions options) {
  return std::make_unique<FilesSource>(std::move(mapping), std::move(documents),
                                       std::move(options));
}

}  // namespace switchback
