#include "replication/row_applier.h"

#include <xxhash.h>

#include <algorithm>

#include "replication/codec.h"
#include "replication/wire.h"
#include "state/base/error.h"

namespace switchback {
namespace {

constexpr std::uint32_t kMostRows = 4096;
constexpr std::size_t kKeySlots = std::size_t{4} * kMostRows;  // a power of two, a quarter full

bool by_row(const Form& form) {
  return form.kind == Form::Kind::kMove || form.kind == Form::Kind::kMoveUpdate ||
         form.kind == Form::Kind::kClear;
}

}  // namespace

Form RowApplier::form_of(const Chunk& chunk, const Change& change) const {
  Form form;
  if (change.op == Op::kDelete) form.kind = Form::Kind::kDelete;
  if (change.op == Op::kTruncate) form.kind = Form::Kind::kClear;
  if (change.op != Op::kUpsert) return form;
  const bool moves = change.old_key != Change::kNone;
  if (moves) form.kind = Form::Kind::kMove;
  const auto row = chunk.row(change);
  const auto unchanged = [](const Cell& cell) { return cell.kind == Kind::kUnchanged; };
  if (std::none_of(row.begin(), row.end(), unchanged)) return form;
  form.kind = moves ? Form::Kind::kMoveUpdate : Form::Kind::kUpdate;
  for (const Cell& cell : row) form.sent.push_back(!unchanged(cell));
  return form;
}

RowApplier::Prepared* RowApplier::find(TableId table, const Form& form) {
  for (auto& [known, prepared] : tables_[table].forms) {
    if (known == form) return &prepared;
  }
  return nullptr;
}

void RowApplier::prepare(const Chunk& chunk, std::span<const std::uint32_t> changes) {
  for (const std::uint32_t i : changes) {
    const Change& change = chunk.changes()[i];
    const Form form = form_of(chunk, change);
    if (find(change.table, form) != nullptr) continue;
    const TableMap& map = mapping_.table(change.table);
    Table& table = tables_[change.table];
    if (!table.target) table.target = read_target(connection_, map);
    Prepared prepared;
    prepared.name = "switchback_" + std::to_string(++prepared_count_);
    prepared.statement = make_statement(mapping_, map, *table.target, form);
    std::vector<Oid> types;
    const auto add = [&](std::uint16_t column) {
      prepared.columns.push_back(&map.columns[column]);
      types.push_back(array_oid(map.columns[column].type));
    };
    for (const std::uint16_t column : prepared.statement.old_key) add(column);
    for (const std::uint16_t column : prepared.statement.row) add(column);
    const Result result(PQprepare(connection_.raw(), prepared.name.c_str(),
                                  prepared.statement.sql.c_str(), static_cast<int>(types.size()),
                                  types.data()));
    if (PQresultStatus(result.get()) != PGRES_COMMAND_OK) {
      throw_postgres_error(connection_.raw(), result.get(), prepared.statement.sql);
    }
    table.forms.emplace_back(form, std::move(prepared));
  }
}

bool RowApplier::add_key(const Chunk& chunk, const Change& change) {
  const auto key = chunk.row(change).first(mapping_.table(change.table).key_width);
  key_bytes_.clear();
  for (const Cell& cell : key) {
    key_bytes_ += static_cast<char>(cell.kind);
    if (has_text(cell.kind)) {
      append_big_endian(key_bytes_, cell.size);
      key_bytes_ += chunk.text(cell);
    } else {
      append_big_endian(key_bytes_, cell.i);
    }
  }
  const std::uint64_t hash = XXH3_64bits(key_bytes_.data(), key_bytes_.size());
  keys_.resize(kKeySlots);
  for (std::size_t at = hash % kKeySlots;; at = (at + 1) % kKeySlots) {
    KeySlot& slot = keys_[at];
    if (slot.round != round_) {
      slot = {hash, round_};
      return true;
    }
    if (slot.hash == hash) return false;
  }
}

void RowApplier::add_row(const Prepared& prepared, const Chunk& chunk, const Change& change) {
  cells_.clear();
  if (!prepared.statement.old_key.empty()) {
    const auto old_key = chunk.old_key(change, mapping_.table(change.table).key_width);
    cells_.insert(cells_.end(), old_key.begin(), old_key.end());
  }
  const auto row = chunk.row(change);
  for (const std::uint16_t column : prepared.statement.row) cells_.push_back(row[column]);
  arrays_.add_row(cells_, chunk);
}

void RowApplier::send(Pipeline& pipeline, const Chunk& chunk,
                      std::span<const std::uint32_t> changes, std::vector<Unfit>& unfit) {
  const auto all = chunk.changes();
  std::size_t next = 0;
  while (next < changes.size()) {
    const TableId table = all[changes[next]].table;
    const Form form = form_of(chunk, all[changes[next]]);
    const Prepared& prepared = *find(table, form);
    arrays_.begin(prepared.columns);
    ++round_;
    while (next < changes.size() && arrays_.rows() < (by_row(form) ? 1 : kMostRows)) {
      const Change& change = all[changes[next]];
      // The same key twice in one statement is an error there ("cannot affect row a second time").
      if (change.table != table || !(form_of(chunk, change) == form) ||
          !(by_row(form) || add_key(chunk, change))) {
        break;
      }
      try {
        add_row(prepared, chunk, change);
      } catch (const Error& error) {
        if (error.kind() != ErrorKind::kData) throw;
        unfit.push_back({changes[next], error.what()});
      }
      ++next;
    }
    if (arrays_.rows() == 0) continue;
    arrays_.finish();
    pipeline.send_prepared(prepared.name, arrays_,
                           prepared.statement.must_match
                               ? std::optional<std::uint64_t>(arrays_.rows())
                               : std::nullopt);
  }
}

}  // namespace switchback
