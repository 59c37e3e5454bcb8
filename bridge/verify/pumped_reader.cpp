#include "bridge/verify/pumped_reader.h"

#include <utility>

namespace switchback {
namespace {

class PumpedReader final : public RowReader {
 public:
  PumpedReader(Supervisor& supervisor, std::shared_ptr<RowReader> reader)
      : supervisor_(supervisor), reader_(std::move(reader)) {}

  Window scan(TableId table, ScanCursor& cursor, Chunk& out) override {
    const auto job = std::make_shared<Job>();
    job->cursor = cursor;
    supervisor_.with_pump([job, table, reader = reader_](Pump::Parts&, const Position&) {
      job->window = reader->scan(table, job->cursor, job->rows);
    });
    cursor = std::move(job->cursor);
    return give(*job, out);
  }
  Window fetch(TableId table, const Chunk& keys, Chunk& out) override {
    const auto job = std::make_shared<Job>();
    job->keys = keys;
    supervisor_.with_pump([job, table, reader = reader_](Pump::Parts&, const Position&) {
      job->window = reader->fetch(table, job->keys, job->rows);
    });
    return give(*job, out);
  }
  std::uint64_t estimate(TableId table) override { return reader_->estimate(table); }
  void accept_what_is_there() override { reader_->accept_what_is_there(); }

 private:
  /// The job may outlive the call that waits for it, so it owns what it uses.
  struct Job {
    ScanCursor cursor;
    Chunk keys, rows;
    Window window;
  };
  /// The sweep's chunks are empty when they are handed in.
  static Window give(Job& job, Chunk& out) {
    out = std::move(job.rows);
    return job.window;
  }

  Supervisor& supervisor_;
  const std::shared_ptr<RowReader> reader_;
};

}  // namespace

std::unique_ptr<RowReader> read_between_batches(Supervisor& supervisor,
                                                std::unique_ptr<RowReader> reader) {
  return std::make_unique<PumpedReader>(supervisor, std::move(reader));
}

}  // namespace switchback
