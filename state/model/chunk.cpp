#include "state/model/chunk.h"

#include <cstring>

#include "state/base/error.h"

namespace switchback {

void Chunk::clear() {
  changes_.clear();
  cells_.clear();
  arena_.clear();
  open_ = 0;
  boundary.reset();
}

Cell Chunk::add_text(Kind kind, std::string_view text) {
  if (text.size() > UINT32_MAX) {
    throw Error(ErrorKind::kData, Retry::kNever, "a value of 4 GiB or more");
  }
  Cell cell = Cell::null();
  cell.kind = kind;
  cell.offset = arena_.size();
  cell.size = static_cast<std::uint32_t>(text.size());
  arena_.append(text);
  return cell;
}

void Chunk::end(TableId table, Op op, std::uint32_t row) {
  Change change;
  change.table = table;
  change.op = op;
  change.row = row;
  change.width = static_cast<std::uint16_t>(cells_.size() - row);
  changes_.push_back(change);
  open_ = cells_.size();
}

void Chunk::end_upsert(TableId table) {
  end(table, Op::kUpsert, static_cast<std::uint32_t>(open_));
}

void Chunk::end_delete(TableId table) {
  end(table, Op::kDelete, static_cast<std::uint32_t>(open_));
}

void Chunk::end_truncate(TableId table) {
  end(table, Op::kTruncate, static_cast<std::uint32_t>(open_));
}

void Chunk::end_misfit(TableId table, std::string_view reason) {
  const Cell why = add_text(Kind::kText, reason);
  end(table, Op::kMisfit, static_cast<std::uint32_t>(open_));
  changes_.back().reason = why;
}

void Chunk::end_rename(TableId table, std::uint16_t key_width) {
  const auto old_key = static_cast<std::uint32_t>(open_);
  end(table, Op::kUpsert, old_key + key_width);
  changes_.back().old_key = old_key;
}

namespace {

struct Header {
  std::uint64_t magic, changes, cells, arena, has_boundary;
  Position boundary;
};
constexpr std::uint64_t kMagic = 0x6b6e756863627773;

template <class T>
void append_pod(std::string& out, const T* data, std::size_t count) {
  const std::size_t at = out.size();
  out.resize(at + count * sizeof(T));
  if (count != 0) std::memcpy(out.data() + at, data, count * sizeof(T));
}

template <class T>
void take_pod(std::string_view& image, T* data, std::size_t count) {
  if (image.size() < count * sizeof(T)) {
    throw Error(ErrorKind::kInternal, Retry::kNever, "a spooled chunk is cut short");
  }
  if (count != 0) std::memcpy(data, image.data(), count * sizeof(T));
  image.remove_prefix(count * sizeof(T));
}

}  // namespace

void Chunk::serialize(std::string& out) const {
  const Header header{kMagic,        changes_.size(),      cells_.size(),
                      arena_.size(), boundary.has_value(), boundary.value_or(Position{})};
  append_pod(out, &header, 1);
  append_pod(out, changes_.data(), changes_.size());
  append_pod(out, cells_.data(), cells_.size());
  out += arena_;
}

Chunk Chunk::parse(std::string_view image) {
  Chunk chunk;
  chunk.load(image);
  return chunk;
}

void Chunk::load(std::string_view image) {
  clear();
  Header header{};
  take_pod(image, &header, 1);
  if (header.magic != kMagic) {
    throw Error(ErrorKind::kInternal, Retry::kNever, "not a spooled chunk");
  }
  changes_.resize(header.changes);
  take_pod(image, changes_.data(), header.changes);
  cells_.resize(header.cells, Cell::null());
  take_pod(image, cells_.data(), header.cells);
  if (image.size() != header.arena) {
    throw Error(ErrorKind::kInternal, Retry::kNever, "a spooled chunk has a wrong length");
  }
  arena_ = image;
  open_ = cells_.size();
  if (header.has_boundary != 0) boundary = header.boundary;
}

Cell copy_cell(const Cell& cell, const Chunk& from, Chunk& to) {
  return has_text(cell.kind) ? to.add_text(cell.kind, from.text(cell)) : cell;
}

}  // namespace switchback
