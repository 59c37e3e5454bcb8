// A SQLite database with the bridge installed, as the target of changes and as one side of a flip,
// in either journal mode; and a small hand for making chunks.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <initializer_list>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "state/model/chunk.h"
#include "state/model/table_map.h"
#include "state/ports/change_sink.h"
#include "state/ports/write_gate.h"
#include "tests/support/temp_folder.h"

namespace switchback {

inline constexpr TableId kPerson{0};
inline constexpr TableId kNote{1};

/// person(id int4, name text unique, flag bool, doc jsonb, at timestamptz), with an unmapped
/// column; note(code text, lang text, body text), WITHOUT ROWID, keyed by (code, lang NOCASE).
std::shared_ptr<const Mapping> target_mapping();

class TargetFixture {
 public:
  explicit TargetFixture(const std::string& journal_mode);
  TargetFixture(const TargetFixture&) = delete;
  TargetFixture& operator=(const TargetFixture&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  std::filesystem::path path() const { return folder_ / "app.db"; }
  const std::shared_ptr<const Mapping>& mapping() const { return mapping_; }

  std::unique_ptr<ChangeSink> sink() const;
  std::unique_ptr<WriteGate> gate() const;
  /// A connection like an application's, with this busy timeout.
  std::unique_ptr<SQLite::Database> application(int busy_ms = 5'000) const;
  /// The first column of the rows, joined by blanks.
  std::string ask(const std::string& sql) const;

 private:
  test::TempFolder folder_;
  std::shared_ptr<const Mapping> mapping_;
};

struct Json {
  std::string text;
};
struct At {
  std::int64_t micros;
};
struct Unchanged {};
using Value = std::variant<std::nullptr_t, std::int64_t, bool, std::string, Json, At, Unchanged>;

/// Builds a chunk change by change.
class ChunkHand {
 public:
  ChunkHand& upsert(TableId table, const std::vector<Value>& row);
  ChunkHand& rename(TableId table, const std::vector<Value>& old_key,
                    const std::vector<Value>& row);
  ChunkHand& remove(TableId table, const std::vector<Value>& key);
  ChunkHand& truncate(TableId table);
  ChunkHand& misfit(TableId table, const std::vector<Value>& key, const std::string& reason);
  const Chunk& end(std::uint64_t position);
  const Chunk& unfinished() { return chunk_; }

 private:
  void add(const std::vector<Value>& cells);
  Chunk chunk_;
};

std::int64_t operator""_i(unsigned long long value);

/// Applies one whole batch and returns its rejects.
std::vector<Reject> apply_batch(ChangeSink& sink, const Chunk& chunk);

}  // namespace switchback
