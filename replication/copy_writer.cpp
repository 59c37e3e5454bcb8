#include "replication/copy_writer.h"

#include <charconv>

#include "replication/codec.h"
#include "replication/wire.h"

namespace switchback {
namespace {

constexpr std::string_view kHeader("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19);
constexpr std::string_view kTrailer("\377\377", 2);

void append_field(const ColumnMap& column, const Chunk& chunk, const Cell& cell, std::string& out) {
  if (cell.kind == Kind::kNull) return append_big_endian<std::int32_t>(out, -1);
  if (cell.kind == Kind::kUnchanged) {
    throw Error(ErrorKind::kInternal, Retry::kNever, "a row to be loaded lacks a value",
                {.object = column.name, .sqlstate = {}, .next = {}});
  }
  const std::size_t at = out.size();
  append_big_endian<std::int32_t>(out, 0);
  encode_binary(column, cell, has_text(cell.kind) ? chunk.text(cell) : std::string_view(), out);
  put_big_endian(out, at, static_cast<std::int32_t>(out.size() - at - 4));
}

// "COPY tweets, line 3, column id": the server counts rows of the binary format as lines.
std::optional<std::size_t> failed_row(const char* context) {
  if (context == nullptr) return std::nullopt;
  const std::string_view text = context;
  const auto at = text.find(", line ");
  if (at == text.npos) return std::nullopt;
  std::size_t line = 0;
  std::from_chars(text.data() + at + 7, text.data() + text.size(), line);
  if (line == 0) return std::nullopt;
  return line - 1;
}

bool data_made_it_fail(std::string_view sqlstate) {
  const auto category = sqlstate.substr(0, 2);
  return category == "22" || category == "23" || sqlstate == "54000";
}

}  // namespace

std::vector<std::uint16_t> copied_columns(const TableMap& map) {
  std::vector<std::uint16_t> columns;
  for (std::size_t i = 0; i < map.columns.size(); ++i) {
    const ColumnMap& column = map.columns[i];
    if (!column.generated && !column.old_name.empty()) {
      columns.push_back(static_cast<std::uint16_t>(i));
    }
  }
  return columns;
}

std::vector<std::uint16_t> key_columns(const TableMap& map) {
  std::vector<std::uint16_t> columns(map.key_width);
  for (std::uint16_t i = 0; i < map.key_width; ++i) columns[i] = i;
  return columns;
}

Chunk& CopyPage::begin(const TableMap& map, std::span<const std::uint16_t> columns) {
  map_ = &map;
  columns_ = columns;
  chunk_.clear();
  bytes_.clear();
  rows_.clear();
  rejects_.clear();
  return chunk_;
}

void CopyPage::encode() {
  bytes_.reserve(chunk_.bytes());
  const auto changes = chunk_.changes();
  for (std::uint32_t i = 0; i < changes.size(); ++i) {
    const auto cells = chunk_.row(changes[i]);
    if (changes[i].op == Op::kMisfit) {
      rejects_.push_back({map_->id, key_text(chunk_, cells.first(map_->key_width)),
                          std::string(chunk_.text(changes[i].reason)), ""});
      continue;
    }
    const std::size_t begin = bytes_.size();
    try {
      append_big_endian(bytes_, static_cast<std::int16_t>(columns_.size()));
      for (const std::uint16_t c : columns_) {
        append_field(map_->columns[c], chunk_, cells[c], bytes_);
      }
      rows_.push_back({bytes_.size(), i});
    } catch (const Error& error) {
      bytes_.resize(begin);
      if (error.kind() != ErrorKind::kData) throw;
      rejects_.push_back(
          {map_->id, key_text(chunk_, cells.first(map_->key_width)), error.what(), ""});
    }
  }
}

std::string_view CopyPage::slice(std::size_t first, std::size_t last) const {
  const std::size_t begin = first == 0 ? 0 : rows_[first - 1].end;
  const std::size_t end = last == 0 ? 0 : rows_[last - 1].end;
  return std::string_view(bytes_).substr(begin, end - begin);
}

Reject CopyPage::reject(std::size_t row, std::string reason, std::string sqlstate) const {
  const Change& change = chunk_.changes()[rows_[row].change];
  return {change.table, key_text(chunk_, chunk_.row(change).first(map_->key_width)),
          std::move(reason), std::move(sqlstate)};
}

std::optional<CopyFailure> copy_in(Connection& connection, const std::string& copy_sql,
                                   std::span<const std::string_view> rows) {
  PGconn* const conn = connection.raw();
  connection.exec(copy_sql);
  const auto put = [&](std::string_view bytes) {
    if (PQputCopyData(conn, bytes.data(), static_cast<int>(bytes.size())) != 1) {
      throw_postgres_error(conn, nullptr, copy_sql);
    }
  };
  put(kHeader);
  for (const auto bytes : rows) put(bytes);
  put(kTrailer);
  if (PQputCopyEnd(conn, nullptr) != 1) throw_postgres_error(conn, nullptr, copy_sql);
  const Result end(PQgetResult(conn));
  while (PGresult* more = PQgetResult(conn)) PQclear(more);
  if (PQresultStatus(end.get()) == PGRES_COMMAND_OK) return std::nullopt;
  const char* state = PQresultErrorField(end.get(), PG_DIAG_SQLSTATE);
  if (state == nullptr || !data_made_it_fail(state)) {
    throw_postgres_error(conn, end.get(), copy_sql);
  }
  return CopyFailure{PQresultErrorField(end.get(), PG_DIAG_MESSAGE_PRIMARY), state,
                     failed_row(PQresultErrorField(end.get(), PG_DIAG_CONTEXT))};
}

}  // namespace switchback
