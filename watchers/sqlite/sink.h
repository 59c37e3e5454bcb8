// SQLite as the target of the reverse flow: rows, quarantined keys and the position in one SQLite
// transaction, so that a restart continues exactly there. In WAL mode a commit does not wait for
// the disk; a thread syncs behind it and durable() follows. In rollback-journal mode every commit
// is synced, and a batch of several chunks is spooled until it is whole, because SQLite locks
// readers out from the moment its cache overflows. The application's reads may hold up a commit
// there: it is tried briefly, then rolled back, and the pump starts over.
#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "state/model/chunk_spool.h"
#include "state/model/table_map.h"
#include "state/ports/change_sink.h"
#include "watchers/sqlite/checkpointer.h"
#include "watchers/sqlite/chunk_writer.h"
#include "watchers/sqlite/quarantine.h"

namespace switchback {

class SqliteSink : public ChangeSink {
 public:
  SqliteSink(SQLite::Database database, std::filesystem::path path,
             std::shared_ptr<const Mapping> mapping, std::string store,
             std::filesystem::path spool_folder);
  ~SqliteSink() override;

  Position applied() override;
  void apply(const Chunk& chunk, std::vector<Reject>& rejects) override;
  Chunk wanted_rows() override { return writer_ ? writer_->take_wanted() : Chunk(); }
  void commit(const Position& position, std::span<const Reject> rejects) override;
  void rollback() noexcept override;
  Position durable() override;
  std::uint64_t quarantined() override;

 private:
  template <class Call>
  auto guarded(Call&& call);
  void require_ours();
  void prepare_statements();
  void begin();
  void end();
  void write_position(const Position& position);
  void help_checkpoint();
  static int note_wal_pages(void* self, sqlite3*, const char*, int pages);

  SQLite::Database database_;
  std::filesystem::path path_;
  std::shared_ptr<const Mapping> mapping_;
  std::string store_;
  std::filesystem::path spool_folder_;
  std::optional<SqliteQuarantine> quarantine_;
  std::optional<ChunkWriter> writer_;
  std::optional<SQLite::Statement> position_;
  ChunkSpool spool_;
  Chunk spooled_;
  bool wal_ = false;
  int wal_pages_ = 0;
  Position durable_;  // rollback-journal mode
  std::unique_ptr<Checkpointer> checkpointer_;
};

/// Opens a connection of its own; applied() is the first call. Throws Error.
std::unique_ptr<ChangeSink> open_sqlite_sink(const std::filesystem::path& path,
                                             std::shared_ptr<const Mapping> mapping,
                                             const std::string& store,
                                             const std::filesystem::path& spool_folder);

}  // namespace switchback
