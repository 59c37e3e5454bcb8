#include "tests/watchers/files/files_fixture.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "watchers/files/ledger.h"
#include "watchers/files/reader.h"
#include "watchers/files/sink.h"

namespace switchback {
namespace {

/// "users(1, Ann)" with one key column is "users(1".
std::string key_of(const Mapping& mapping, const Change& change, const std::string& shown) {
  std::size_t at = 0;
  for (int width = mapping.table(change.table).key_width; width > 0; --width) {
    at = std::min(shown.find(", ", at + 1), shown.find_last_of(')'));
    if (at == std::string::npos) break;
  }
  return shown.substr(0, std::min(at, shown.find(')')));
}

}  // namespace

void FilesReplica::apply(const Mapping& mapping, const Chunk& chunk) {
  const auto shown = shown_rows(mapping, chunk);
  for (std::size_t i = 0; i < shown.size(); ++i) {
    const Change& change = chunk.changes()[i];
    const std::string key = key_of(mapping, change, shown[i]);
    if (change.op == Op::kMisfit) {
      quarantine[key] = chunk.text(change.reason);
      changes.push_back("? " + shown[i]);
      continue;
    }
    quarantine.erase(key);
    changes.push_back((change.op == Op::kDelete ? "- " : "+ ") + shown[i]);
    if (change.op == Op::kDelete) {
      rows.erase(key);
    } else {
      rows[key] = shown[i];
    }
  }
}

FilesFixture::FilesFixture(const CollectionText& collection, const std::vector<TableText>& tables)
    : text_(collection, tables) {
  std::filesystem::create_directory(root());
  text_.documents()->collections.front().root = root();
}

void FilesFixture::write(const std::string& path, const std::string& bytes) const {
  std::filesystem::create_directories((root() / path).parent_path());
  std::ofstream(root() / path, std::ios::binary | std::ios::trunc) << bytes;
}

std::string FilesFixture::read(const std::string& path) const {
  std::ostringstream out;
  out << std::ifstream(root() / path, std::ios::binary).rdbuf();
  return out.str();
}

void FilesFixture::install() const {
  const auto opened = FilesLedger::open(ledger(), true);
  FileScan scan(text_.mapping_pointer(), text_.documents(), *opened);
  scan.run(Look::kContents, nullptr);
  LedgerWrite write(*opened);
  opened->begin_log();
  write.make_durable();
}

std::unique_ptr<ChangeSource> FilesFixture::source(WatchTimes times) {
  return open_files_source(text_.mapping_pointer(), text_.documents(),
                           {.ledger = ledger(),
                            .spool_folder = folder_,
                            .times = times,
                            .being_written = std::chrono::milliseconds(0)});
}

std::unique_ptr<ChangeSink> FilesFixture::sink() const {
  return open_files_sink(text_.mapping_pointer(), text_.documents(), ledger());
}

std::vector<Reject> FilesFixture::apply(ChangeSink& sink, const Position& position) {
  std::vector<Reject> rejects;
  text_.changes.boundary = position;
  sink.apply(text_.changes, rejects);
  sink.commit(position, rejects);
  text_.changes.clear();
  return rejects;
}

bool FilesFixture::pull_batch(ChangeSource& source, FilesReplica& replica,
                              std::chrono::milliseconds limit) {
  const Deadline deadline = Deadline::in(limit);
  replica.changes.clear();
  Chunk chunk;
  while (source.pull(chunk, deadline, {}) == Pull::kChunk) {
    replica.apply(text_.mapping(), chunk);
    if (chunk.boundary) {
      replica.position = *chunk.boundary;
      trouble = source.troubles();
      return true;
    }
  }
  trouble = source.troubles();
  return false;
}

std::map<std::string, std::string> FilesFixture::rows_read() const {
  const auto reader = open_files_reader(text_.mapping_pointer(), text_.documents(), ledger());
  FilesReplica replica;
  for (const TableMap& map : text_.mapping().tables) {
    ScanCursor cursor;
    while (!cursor.done) {
      Chunk chunk;
      reader->scan(map.id, cursor, chunk);
      replica.apply(text_.mapping(), chunk);
    }
  }
  return replica.rows;
}

}  // namespace switchback
