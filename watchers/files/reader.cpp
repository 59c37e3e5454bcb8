#include "watchers/files/reader.h"

#include <charconv>
#include <chrono>
#include <optional>

#include "state/base/deadline.h"
#include "state/base/error.h"
#include "state/model/copy_change.h"
#include "watchers/files/row_key.h"
#include "watchers/files/stored_rows.h"
#include "watchers/files/watch.h"

namespace switchback {
namespace {

constexpr std::size_t kRecordsPerLook = 1024;
// How long a file may keep changing, or be half written, before the reader gives up for now.
constexpr std::chrono::milliseconds kReadPatience{5'000};
constexpr std::chrono::milliseconds kLittlePatience{50};  // writers wait

class FilesReader final : public RowReader {
 public:
  FilesReader(std::shared_ptr<const Mapping> mapping, std::shared_ptr<const DocumentMap> documents,
              const std::filesystem::path& ledger)
      : mapping_(mapping),
        documents_(documents),
        ledger_(FilesLedger::open(ledger, false)),
        scan_(mapping, std::move(documents), *ledger_),
        rows_(mapping, scan_, *ledger_),
        spool_folder_(ledger.parent_path()) {}

  Window scan(TableId table, ScanCursor& cursor, Chunk& out) override {
    if (cursor.after.empty() && !closed(table)) scan_.run(Look::kStamps, nullptr);
    // The application writes all the while: a chunk ends at a file that has changed, and the next
    // one begins there.
    const std::size_t before = out.changes().size();
    return at_one_state(table, [&](bool) {
      return scan_here(table, cursor, out) || out.changes().size() != before;
    });
  }
  Window fetch(TableId table, const Chunk& keys, Chunk& out) override {
    // A key that the ledger does not know may be in a file that changed since.
    if (!closed(table) && !nobody_writes_) scan_.run(Look::kStamps, nullptr);
    std::vector<DirtyKey> wanted = wanted_of(table, keys);
    RankedBatch found(mapping_, spool_folder_);
    // Files that are written to all the time are never as the ledger has them all at once, but one
    // by one they are.
    std::optional<Position> from;
    Window window = at_one_state(table, [&](bool by_ledger) {
      if (!from) from = ledger_->last();
      wanted = rows_.read_some(wanted, found, by_ledger);
      return wanted.empty();
    });
    window.from = *from;
    rows_.release();
    give(table, found, out);
    return window;
  }
  void nobody_writes() override { nobody_writes_ = true; }
  void asked_for_applied_only() override { applied_only_ = true; }
  std::uint64_t estimate(TableId table) override { return ledger_->count_rows(table); }

  void accept_what_is_there() override { accepts_ = true; }

 private:
  /// What was changed behind the fence is for a person to see and for the sink to find. Noted here,
  /// it would be what the sink takes for its own and writes over.
  bool closed(TableId table) const {
    if (accepts_) return false;
    const auto gate = ledger_->gate(mapping_->table(table).group);
    return gate && gate->door == GateState::Door::kClosed;
  }
  /// Runs `read` in a snapshot of the ledger that the files agree with; it says whether they do,
  /// and is told whether nobody has looked at them before.
  /// A look that brings the ledger no nearer to the files is not worth another one before
  /// something happens to them.
  template <class Read>
  Window at_one_state(TableId table, Read read) {
    const Deadline deadline = Deadline::in(nobody_writes_ ? kLittlePatience : kReadPatience);
    if (applied_only_ && closed(table)) {
      const LedgerRead snapshot(*ledger_);
      if (read(true)) return window();
    }
    std::optional<FilesWatch> watch;
    while (true) {
      if (watch) watch->drain();
      ScanResult seen;
      if (closed(table)) {
        const LedgerTrial undone(*ledger_);
        refuse_half_replaced();
        seen = scan_.run_inside(Look::kStamps);
        const bool done = read(false);
        rows_.release();  // its numbers are of what is undone now
        if (done) return window();
      } else {
        {
          const LedgerRead snapshot(*ledger_);
          if (read(false)) return window();
        }
        seen = scan_.run(Look::kStamps, nullptr);
      }
      give_up_at(deadline, seen);
      if (!watch) {
        watch.emplace(documents_, WatchTimes{});
      } else if (seen.from == seen.to || closed(table)) {  // what was undone brings nothing nearer
        watch->looked({}, true, seen.unstable || seen.unreadable.empty());
        watch->wait(deadline);
      }
    }
  }
  /// Only a sink that failed in the middle leaves some.
  void refuse_half_replaced() const {
    if (ledger_->intents().empty()) return;
    throw Error(ErrorKind::kBusy, Retry::kLater, "files are being replaced, and not all are yet",
                {.next = "`switchback status` says what keeps the pump from going on"});
  }
  static void give_up_at(Deadline deadline, const ScanResult& seen) {
    if (!deadline.passed()) return;
    throw Error(ErrorKind::kBusy, Retry::kLater,
                "a file is not as it was when it was last understood",
                {.object = seen.unreadable.empty() ? "" : seen.unreadable.front().path,
                 .next = seen.unreadable.empty() ? "" : seen.unreadable.front().why});
  }
  Window window() const {
    const Position now = ledger_->last();
    return {now, now};
  }

  /// Records never change their number and new ones have higher ones, so a scan meets each.
  bool scan_here(TableId table, ScanCursor& cursor, Chunk& out) {
    std::uint64_t after = 0;
    const std::string& text = cursor.after;
    std::from_chars(text.data(), text.data() + text.size(), after);
    while (!out.full()) {
      const auto homes = ledger_->records_after(after, kRecordsPerLook);
      for (const auto& home : homes) {
        if (rows_.fills(home.file, table) && !rows_.append(home, table, out)) {
          cursor.after = std::to_string(after);
          return false;
        }
        after = home.record;
        if (out.full()) break;
      }
      if (homes.size() < kRecordsPerLook && !out.full()) {
        cursor.done = true;
        rows_.release();
        break;
      }
    }
    cursor.after = std::to_string(after);
    return true;
  }

  std::vector<DirtyKey> wanted_of(TableId table, const Chunk& keys) const {
    std::vector<DirtyKey> wanted;
    const std::uint16_t width = mapping_->table(table).key_width;
    for (const Change& change : keys.changes()) {
      if (change.table != table || change.op == Op::kTruncate) continue;
      wanted.push_back({table, key_bytes(keys, change, width)});
    }
    return wanted;
  }
  void give(TableId table, RankedBatch& found, Chunk& out) const {
    const std::uint16_t width = mapping_->table(table).key_width;
    Chunk part;
    while (found.next(part)) {
      for (const Change& change : part.changes()) copy_change(part, change, width, out);
    }
  }

  const std::shared_ptr<const Mapping> mapping_;
  const std::shared_ptr<const DocumentMap> documents_;
  const std::unique_ptr<FilesLedger> ledger_;
  FileScan scan_;
  StoredRows rows_;
  const std::filesystem::path spool_folder_;
  bool accepts_ = false, nobody_writes_ = false, applied_only_ = false;
};

}  // namespace

std::unique_ptr<RowReader> open_files_reader(std::shared_ptr<const Mapping> mapping,
                                             std::shared_ptr<const DocumentMap> documents,
                                             const std::filesystem::path& ledger) {
  return std::make_unique<FilesReader>(std::move(mapping), std::move(documents), ledger);
}

}  // namespace switchback
