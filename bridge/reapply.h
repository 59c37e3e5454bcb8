// Keys whose current row is read from the primary and applied to the other side: rows of which the
// source sent a part only, and rows that somebody asks for again (quarantine, repairs). Never an
// old image: what is applied is what the primary holds now. Runs on the pump's thread.
//
// Why a later change from the stream ends at the newest state all the same. A store that logs keys
// (SQLite, files) reads each key's row when the batch is read, and between two batches nothing has
// been read ahead: the next batch is read after this, and is newer. PostgreSQL's stream may still
// bring what the read saw already; it brings all of it, in order, and ends with what the read saw
// or later, so such a row goes back for a moment and then forward again. Only a flip would mind,
// and a flip drains first.
#pragma once

#include <cstdint>
#include <vector>

#include "state/model/position.h"
#include "state/ports/change_sink.h"
#include "state/ports/row_reader.h"

namespace switchback {

struct CurrentRows {
  std::uint64_t rows = 0;  // there, and applied unless rejected
  std::uint64_t gone = 0;  // not there: deleted on the other side
};

/// Inside the sink's transaction. `keys` has changes of any kind, whose keys count; `boundary` is
/// that of the batch under way.
CurrentRows apply_current_rows(const Chunk& keys, const Position& boundary, RowReader& reader,
                               ChangeSink& sink, std::vector<Reject>& rejects);

struct Reapplied : CurrentRows {
  std::vector<Reject> rejects;  // the other side still cannot take these
};

/// The whole of it, between two batches: one transaction that applies the rows, ends or renews
/// their quarantine, and leaves the position as it is. What was turned away `already` goes into the
/// book with it. Throws what the reader or the sink throws.
Reapplied reapply(const Chunk& keys, const Position& applied, RowReader& reader, ChangeSink& sink,
                  std::vector<Reject> already = {});

}  // namespace switchback
