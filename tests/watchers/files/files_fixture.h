// A store of files in a throw-away folder with its ledger, for the tests of scan, source and sink.
// One thread.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "state/ports/change_sink.h"
#include "state/ports/change_source.h"
#include "tests/support/temp_folder.h"
#include "tests/watchers/files/lens_fixture.h"
#include "watchers/files/scan.h"
#include "watchers/files/source.h"

namespace switchback {

/// What a sink would hold: rows as text by key, and the keys in quarantine.
struct FilesReplica {
  std::map<std::string, std::string> rows;        // "users(1" -> "users(1, Ann)"
  std::map<std::string, std::string> quarantine;  // "users(1" -> reason
  std::vector<std::string> changes;               // of the last batch, in order
  Position position;

  void apply(const Mapping& mapping, const Chunk& chunk);
};

class FilesFixture {
 public:
  FilesFixture(const CollectionText& collection, const std::vector<TableText>& tables);
  FilesFixture(const FilesFixture&) = delete;
  FilesFixture& operator=(const FilesFixture&) = delete;

  const LensText& text() const { return text_; }
  LensText& text() { return text_; }
  Collection& collection() { return text_.documents()->collections.front(); }
  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path root() const { return folder_ / "data"; }
  std::filesystem::path ledger() const { return folder_ / "files.db"; }

  /// Writes a file as most applications do: truncate, then write.
  void write(const std::string& path, const std::string& bytes) const;
  std::string read(const std::string& path) const;
  /// Makes the ledger and looks at everything once; the log begins after that.
  void install() const;
  std::unique_ptr<ChangeSource> source(WatchTimes times = {});
  std::unique_ptr<ChangeSink> sink() const;
  /// Applies the changes gathered in text() as one batch; what was rejected.
  std::vector<Reject> apply(ChangeSink& sink, const Position& position);
  /// Pulls until a boundary came, or nothing did until the deadline: then false.
  bool pull_batch(ChangeSource& source, FilesReplica& replica,
                  std::chrono::milliseconds limit = std::chrono::seconds(20));
  /// Of all collections' tables, by a reader of their own.
  std::map<std::string, std::string> rows_read() const;

  std::vector<SourceTrouble> trouble;  // as the source told after the last pull_batch()

 private:
  LensText text_;
  test::TempFolder folder_;
};

}  // namespace switchback
