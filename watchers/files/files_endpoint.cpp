#include "watchers/files/files_endpoint.h"

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <map>
#include <set>

#include "state/base/deadline.h"
#include "state/base/error.h"
#include "state/base/json_text.h"
#include "watchers/files/adopt.h"
#include "watchers/files/app_locks.h"
#include "watchers/files/backup.h"
#include "watchers/files/check.h"
#include "watchers/files/file_losses.h"
#include "watchers/files/gate.h"
#include "watchers/files/gate_paths.h"
#include "watchers/files/journal.h"
#include "watchers/files/layout.h"
#include "watchers/files/reader.h"
#include "watchers/files/scan.h"
#include "watchers/files/sink.h"
#include "watchers/files/source.h"
#include "watchers/files/write_fence.h"
#include "watchers/sqlite/power_loss.h"

namespace switchback {
namespace {

namespace fs = std::filesystem;

// How long a file may be under the application's pen before it is not let through for now.
constexpr std::chrono::seconds kInstallPatience{2};
constexpr int kBetweenTriesMs = 5;
// More than this, and more than half of a collection's files, are not deleted by a new history.
constexpr std::size_t kFewFiles = 3;

std::string quoted(const std::string& path) {
  std::string out = "'";
  for (const char c : path) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

class FilesEndpoint final : public Endpoint {
 public:
  FilesEndpoint(FilesOptions options, std::shared_ptr<const Mapping> mapping,
                std::shared_ptr<const DocumentMap> documents)
      : options_(std::move(options)),
        mapping_(std::move(mapping)),
        documents_(std::move(documents)) {}

  std::unique_ptr<ChangeSource> make_source() override {
    return open_files_source(mapping_, documents_,
                             {.ledger = options_.ledger,
                              .spool_folder = options_.spool_folder,
                              .times = options_.times});
  }
  std::unique_ptr<ChangeSink> make_sink() override {
    return open_files_sink(mapping_, documents_, options_.ledger);
  }
  std::unique_ptr<RowReader> make_reader() override {
    return open_files_reader(mapping_, documents_, options_.ledger);
  }
  std::unique_ptr<WriteGate> make_gate(const std::string& group) override {
    return open_files_gate(mapping_, documents_, options_.ledger, group);
  }
  std::vector<Finding> check() override { return check_files(*mapping_, documents_); }
  void backup(const fs::path& name) override { backup_files(*documents_, name); }
  std::vector<QuarantineEntry> quarantine() override;
  void let_through(const QuarantineEntry& held) override;
  std::unique_ptr<Endpoint> make_scratch(const fs::path& folder) override;
  std::vector<std::string> plan_install() override;
  void install() override;
  void require_whole() override;
  Position renew() override;
  void adopt(RowReader& others) override;
  std::string removal_script() override;
  void remove() override;

 private:
  std::set<std::string> groups() const;
  std::string group_of(const HeldFile& file) const;
  std::string held_key(const HeldFile& file) const;
  bool installed() const;
  void note_installed(FilesLedger& ledger) const;
  void require_most_files(const FilesLedger& ledger) const;
  void require_folders() const;
  bool is_closed(FilesLedger& ledger) const;
  void take_anew(FilesLedger& ledger) const;
  void raise_closed_fences(FilesLedger& ledger) const;
  std::vector<fs::path> own_files() const {
    const std::string ledger = options_.ledger.string();
    return {ledger, ledger + "-wal", ledger + "-shm", ledger + ".gate"};
  }

  const FilesOptions options_;
  const std::shared_ptr<const Mapping> mapping_;
  const std::shared_ptr<const DocumentMap> documents_;
};

// Collections that share a folder share it in the scratch too: one may hold a file of the other's.
std::unique_ptr<Endpoint> FilesEndpoint::make_scratch(const fs::path& folder) {
  DocumentMap documents = *documents_;
  std::map<fs::path, fs::path> roots;
  for (Collection& collection : documents.collections) {
    const auto [root, is_new] =
        roots.try_emplace(collection.root, folder / std::to_string(roots.size()));
    if (is_new) fs::create_directories(root->second);
    collection.root = root->second;
  }
  FilesOptions options = options_;
  options.ledger = folder / "files.ledger";
  options.spool_folder = folder;
  auto scratch = std::make_unique<FilesEndpoint>(
      std::move(options), mapping_, std::make_shared<const DocumentMap>(std::move(documents)));
  scratch->install();
  return scratch;
}

std::string FilesEndpoint::held_key(const HeldFile& file) const {
  const Collection& collection = documents_->collections[file.collection];
  std::string key = "[";
  append_json_string(key, (collection.root / file.path).string());
  return key + "]";
}

std::vector<QuarantineEntry> FilesEndpoint::quarantine() {
  std::error_code code;
  if (!fs::exists(options_.ledger, code)) return {};
  const auto ledger = FilesLedger::open(options_.ledger, false);
  auto entries = ledger->quarantine();
  for (QuarantineEntry& entry : entries) {
    entry.table = find_qualified(*mapping_, entry.name);
  }
  for (const HeldFile& file : ledger->held()) {
    // Behind the fence nothing is let through: that a file has changed there is another trouble.
    const auto gate = ledger->gate(group_of(file));
    if (gate && gate->door != GateState::Door::kOpen) continue;
    QuarantineEntry entry{{}, "file", held_key(file), file.reason, "", file.since};
    entry.held = true;
    entries.push_back(std::move(entry));
  }
  return entries;
}

void FilesEndpoint::let_through(const QuarantineEntry& held) {
  const auto ledger = FilesLedger::open(options_.ledger, false);
  const Deadline deadline = Deadline::in(kInstallPatience);
  for (const HeldFile& file : ledger->held()) {
    if (held_key(file) != held.key) continue;
    FileScan scan(mapping_, documents_, *ledger);
    for (;;) {
      try {
        return scan.let_through({file.collection, file.path});
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::kBusy || deadline.passed()) throw;
      }
      ::poll(nullptr, 0, kBetweenTriesMs);
    }
  }
  throw Error(ErrorKind::kRefused, Retry::kNever, "the file is not held any more",
              {.next = "switchback quarantine list"});
}

std::string FilesEndpoint::group_of(const HeldFile& file) const {
  return mapping_->table(documents_->collections[file.collection].tables.front().table).group;
}

std::set<std::string> FilesEndpoint::groups() const {
  std::set<std::string> found;
  for (const Collection& collection : documents_->collections) {
    for (const TableSource& table : collection.tables) {
      found.insert(mapping_->table(table.table).group);
    }
  }
  return found;
}

bool FilesEndpoint::installed() const {
  std::error_code code;
  if (!fs::exists(options_.ledger, code)) return false;
  const auto ledger = FilesLedger::open(options_.ledger, true);
  for (const std::string& group : groups()) {
    if (!ledger->gate(group)) return false;
  }
  return true;
}

std::vector<std::string> FilesEndpoint::plan_install() {
  if (installed()) return {};
  return {fmt::format("make {} and note there what the files hold", options_.ledger.string())};
}

// The gate's rows come last and with the log's beginning, so an install that died begins anew.
void FilesEndpoint::install() {
  if (installed()) return;
  const auto ledger = FilesLedger::open(options_.ledger, true);
  FileScan scan(mapping_, documents_, *ledger);
  scan.run(Look::kContents, nullptr);
  LedgerWrite write(*ledger);
  note_installed(*ledger);
  write.make_durable();
}

// Inside a LedgerWrite.
void FilesEndpoint::note_installed(FilesLedger& ledger) const {
  ledger.begin_log();
  for (const std::string& group : groups()) {
    if (!ledger.gate(group)) ledger.put_gate(group, {GateState::Door::kOpen, 1});
  }
}

// Also of what was made behind a fence that somebody took off.
void FilesEndpoint::raise_closed_fences(FilesLedger& ledger) const {
  for (const std::string& group : groups()) {
    const auto gate = ledger.gate(group);
    if (!gate || gate->door == GateState::Door::kOpen) continue;
    raise_fence(ledger, GatePaths(*mapping_, documents_, group).to_fence());
  }
}

// Without a ledger nobody knows what a folder held that is not there.
void FilesEndpoint::require_folders() const {
  for (const Collection& collection : documents_->collections) {
    std::error_code code;
    if (fs::exists(collection.root, code)) continue;
    throw Error(ErrorKind::kRefused, Retry::kNever,
                "the folder of the files is not there, and the ledger that knew what it held "
                "neither",
                {.object = collection.root.string(),
                 .next = "mount it, or put it back; if there is nothing to put there, make it"});
  }
}

// Files of one record each are never held: each of them is little that goes.
void FilesEndpoint::require_most_files(const FilesLedger& ledger) const {
  std::map<std::uint16_t, std::size_t> known;
  for (const KnownFile& file : ledger.files()) ++known[file.collection];
  for (const auto& [number, count] : known) {
    const Collection& collection = documents_->collections[number];
    const std::size_t there = list_files(collection).size();
    if (there + kFewFiles >= count || 2 * there >= count) continue;
    std::error_code code;
    const char* const root = fs::exists(collection.root, code) ? "" : "its folder is not there: ";
    throw Error(ErrorKind::kRefused, Retry::kNever,
                fmt::format("{}: {}{} of {} files are gone, and their rows would be deleted",
                            collection.name, root, count - there, count),
                {.object = collection.root.string(),
                 .next = "mount the folder or put the files back, then again; or `switchback "
                         "doctor --fix --primary postgres` brings them back from PostgreSQL"});
  }
}

bool FilesEndpoint::is_closed(FilesLedger& ledger) const {
  for (const std::string& group : groups()) {
    const auto gate = ledger.gate(group);
    if (gate && gate->door != GateState::Door::kOpen) return true;
  }
  return false;
}

void FilesEndpoint::require_whole() {
  std::error_code code;
  if (!fs::exists(options_.ledger, code)) return require_folders();
  const auto ledger = FilesLedger::open(options_.ledger, true);
  FileJournal(*ledger).replay();
  require_most_files(*ledger);
  FileScan scan(mapping_, documents_, *ledger);
  ScanResult seen;
  if (is_closed(*ledger)) {
    // Noted, what was changed behind the fence would be taken for the bridge's own.
    const LedgerWrite undone(*ledger);
    seen = scan.run_inside(Look::kContents);
  } else {
    seen = scan.run(Look::kContents, nullptr);
  }
  for (const UnreadableFile& file : seen.unreadable) {
    if (!file.held) continue;
    throw Error(
        ErrorKind::kRefused, Retry::kNever, file.why,
        {.object = file.path,
         .next = "put the records back; or, if they are meant to go (`switchback quarantine "
                 "list`), `switchback quarantine accept --table file --key " +
                 file.path + "`; then again"});
  }
}

// All or nothing: what the ledger knew is worth keeping until it knows what the files hold now.
// What an unread file held would be in PostgreSQL only, and a comparison would delete it there.
void FilesEndpoint::take_anew(FilesLedger& ledger) const {
  LedgerWrite write(ledger);
  ledger.begin_anew();
  FileScan scan(mapping_, documents_, ledger);
  ScanResult seen = scan.run_inside(Look::kContents);
  const Deadline deadline = Deadline::in(kInstallPatience);
  while (seen.untaken || !seen.unreadable.empty()) {
    if (deadline.passed()) {
      if (seen.unreadable.empty()) {
        throw Error(ErrorKind::kBusy, Retry::kLater, "files are being written all the time",
                    {.next = "`switchback doctor --fix` again at a quieter moment"});
      }
      const UnreadableFile& file = seen.unreadable.front();
      throw Error(ErrorKind::kData, Retry::kNever, file.why,
                  {.object = file.path, .next = "mend the file, then again"});
    }
    ::poll(nullptr, 0, kBetweenTriesMs);
    seen = scan.run_inside(Look::kStamps);
  }
  note_installed(ledger);
  write.make_durable();
}

// An older copy's log may have entries that PostgreSQL takes for its position: with another history
// none has.
Position FilesEndpoint::renew() {
  const auto ledger = FilesLedger::open(options_.ledger, true);
  FileJournal(*ledger).replay();
  raise_closed_fences(*ledger);  // before the files are looked at: nothing may come in between
  take_anew(*ledger);
  return ledger->first();
}

void FilesEndpoint::adopt(RowReader& others) {
  adopt_identities(mapping_, documents_, *FilesLedger::open(options_.ledger, false), others);
}

std::string FilesEndpoint::removal_script() {
  std::string script = "-- Nothing to run in a database. In a shell, with switchback stopped:\n";
  std::error_code code;
  if (fs::exists(options_.ledger, code)) {
    for (const auto& [path, mode] : FilesLedger::open(options_.ledger, true)->fences()) {
      script += fmt::format("--   chmod {:o} {}\n", mode, quoted(path));
    }
  }
  script += "--   (were the files made read-only since, `chmod u+w` them)\n--   rm -f";
  for (const fs::path& path : own_files()) script += " " + quoted(path.string());
  return script + "\n";
}

void FilesEndpoint::remove() {
  std::error_code code;
  if (fs::exists(options_.ledger, code)) {
    const auto ledger = FilesLedger::open(options_.ledger, true);
    FileJournal(*ledger).replay();
    lower_fence(*ledger, [](const std::string&) { return true; });
    for (const Collection& collection : documents_->collections) {
      remove_leftovers(collection.root);
    }
  }
  for (const fs::path& path : own_files()) fs::remove(path, code);
}

}  // namespace

std::unique_ptr<Endpoint> open_files(FilesOptions options, std::shared_ptr<const Mapping> mapping,
                                     std::shared_ptr<const DocumentMap> documents) {
  arm_power_loss();
  file_losses::arm();
  return std::make_unique<FilesEndpoint>(std::move(options), std::move(mapping),
                                         std::move(documents));
}

}  // namespace switchback
