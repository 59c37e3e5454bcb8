#include "watchers/files/adopt.h"

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <vector>

#include "state/base/error.h"
#include "state/model/meaning.h"
#include "watchers/files/file_read.h"
#include "watchers/files/large_file.h"
#include "watchers/files/lens.h"
#include "watchers/files/record_inputs.h"
#include "watchers/files/row_key.h"

namespace switchback {
namespace {

using Sort = ValueSource::Sort;

/// What columns of a table mean here.
struct Columns {
  std::optional<std::uint16_t> uuid, serial, hash, place;
  std::vector<std::uint16_t> contents;   // all but these
  std::vector<std::uint16_t> enclosing;  // those that take their value from further out
};

bool has_own(const ColumnSource& column, Sort sort) {
  return std::any_of(column.from.begin(), column.from.end(), [&](const ValueSource& source) {
    return source.sort == sort && source.up == 0;
  });
}

Columns columns_of(const TableMap& map, const TableSource& table) {
  Columns out;
  for (std::uint16_t c = 0; c < table.columns.size(); ++c) {
    const ColumnSource& column = table.columns[c];
    if (has_own(column, Sort::kUuid)) {
      out.uuid = c;
    } else if (has_own(column, Sort::kSerial)) {
      out.serial = c;
    } else if (has_own(column, Sort::kHash)) {
      out.hash = c;
    } else if (has_own(column, Sort::kKey) && kind_of(map.columns[c].type) == Kind::kInt) {
      out.place = c;
    } else {
      out.contents.push_back(c);
      const bool outer = std::any_of(column.from.begin(), column.from.end(),
                                     [](const ValueSource& source) { return source.up != 0; });
      if (outer) out.enclosing.push_back(c);
    }
  }
  return out;
}

MadeUp made_in(const Columns& columns, std::span<const Cell> row, const Chunk& chunk) {
  MadeUp made;
  if (columns.uuid) made.uuid = chunk.text(row[*columns.uuid]);
  if (columns.serial && row[*columns.serial].kind == Kind::kInt)
    made.serial = row[*columns.serial].i;
  if (columns.hash) made.hash = chunk.text(row[*columns.hash]);
  if (columns.place && row[*columns.place].kind == Kind::kInt) made.place = row[*columns.place].i;
  return made;
}

/// Whether the element is the one whose row has these identities.
bool is_of(const MadeUp& element, const MadeUp& row, const Columns& columns) {
  if (columns.uuid) return element.uuid == row.uuid;
  if (columns.serial) return element.serial == row.serial;
  return element.hash == row.hash;
}

/// A row of the other side.
struct Theirs {
  MadeUp made;
  Hash128 contents, enclosing;
  bool taken = false;
};

/// An element whose row nobody has like that.
struct Left {
  std::uint64_t record = 0;
  std::uint32_t element = 0;
};

using Visit = std::function<void(std::uint64_t id, KnownRecord& known, const RecordInput& input)>;

class Adopter {
 public:
  Adopter(std::shared_ptr<const Mapping> mapping, std::shared_ptr<const DocumentMap> documents,
          std::uint16_t number, FilesLedger& ledger, RowReader& others)
      : mapping_(mapping),
        collection_(documents->collections[number]),
        lens_(mapping, documents, number),
        number_(number),
        ledger_(ledger),
        others_(others) {}

  void run() {
    if (!lens_.remembers()) return;
    std::optional<std::uint16_t> done;
    for (const TableSource& table : collection_.tables) {  // by level, outer ones first
      const Columns columns = columns_of(mapping_->table(table.table), table);
      if (!columns.uuid && !columns.serial && !columns.hash) continue;
      if (done == table.level) continue;
      done = table.level;
      one_level(table, columns);
    }
    if (done) note_rows();
  }

 private:
  void each_record(const Visit& visit);
  void read_theirs(const TableSource& table, const Columns& columns);
  void one_level(const TableSource& table, const Columns& columns);
  void pair_the_rest(const TableSource& table, std::map<Hash128, std::vector<Left>>& left);
  void adopt(const Left& left, std::uint16_t level, Theirs* theirs);
  static void take(MadeUp& made, Theirs& theirs);
  void note_rows();

  const std::shared_ptr<const Mapping> mapping_;
  const Collection& collection_;
  const Lens lens_;
  const std::uint16_t number_;
  FilesLedger& ledger_;
  RowReader& others_;
  std::vector<Theirs> theirs_;
};

// In the order of the files and of the records in them. What is changed in `known` is written down.
void Adopter::each_record(const Visit& visit) {
  for (const KnownFile& file : ledger_.files()) {
    if (file.collection != number_) continue;
    const LargeFileTurn turn(file.stamp.size);
    const ReadResult read = read_store_file(collection_.root, file.path);
    if (read.outcome != ReadOutcome::kRead || hash_of(read.file.bytes) != file.bytes) {
      throw Error(ErrorKind::kBusy, Retry::kLater, "a file has changed since it was looked at",
                  {.object = (collection_.root / file.path).string(), .next = "try again"});
    }
    RecordInputs inputs(collection_, file.path, read.file);
    const auto entries = ledger_.records(file.id);
    for (std::size_t i = 0; i < entries.size(); ++i) {
      KnownRecord known = ledger_.record(entries[i].id);
      const RecordMemory before = known.memory;
      visit(entries[i].id, known, inputs.at(i, known.place));
      if (known.memory.serialize() != before.serialize()) {
        ledger_.update_record(entries[i].id, known);
      }
    }
  }
}

void Adopter::read_theirs(const TableSource& table, const Columns& columns) {
  const TableMap& map = mapping_->table(table.table);
  RowHasher contents(map, columns.contents);
  RowHasher enclosing(map, columns.enclosing);
  theirs_.clear();
  std::int64_t most = 0;
  ScanCursor cursor;
  while (!cursor.done) {
    Chunk chunk;
    others_.scan(table.table, cursor, chunk);
    for (const Change& change : chunk.changes()) {
      if (change.op != Op::kUpsert) continue;
      const auto row = chunk.row(change);
      Theirs one{made_in(columns, row, chunk), contents.row(row, chunk), enclosing.row(row, chunk)};
      most = std::max(most, one.made.serial.value_or(0));
      theirs_.push_back(std::move(one));
    }
  }
  if (columns.serial) ledger_.raise_serial(number_, table.level, most);
  std::stable_sort(theirs_.begin(), theirs_.end(),
                   [](const Theirs& a, const Theirs& b) { return a.made.place < b.made.place; });
}

void Adopter::take(MadeUp& made, Theirs& theirs) {
  if (!theirs.made.uuid.empty()) made.uuid = theirs.made.uuid;
  if (!theirs.made.hash.empty()) made.hash = theirs.made.hash;
  if (theirs.made.serial) made.serial = theirs.made.serial;
  // In a map there is none. get() puts right what does not grow along the list.
  if (made.place && theirs.made.place) made.place = theirs.made.place;
  theirs.taken = true;
}

void Adopter::one_level(const TableSource& table, const Columns& columns) {
  read_theirs(table, columns);
  std::map<Hash128, std::vector<std::uint32_t>> like;  // untaken, the first at the end
  for (std::size_t i = theirs_.size(); i-- != 0;) {
    like[theirs_[i].contents].push_back(static_cast<std::uint32_t>(i));
  }
  const TableMap& map = mapping_->table(table.table);
  RowHasher contents(map, columns.contents);
  RowHasher enclosing(map, columns.enclosing);
  std::map<Hash128, std::vector<Left>> left;
  each_record([&](std::uint64_t id, KnownRecord& known, const RecordInput& input) {
    Chunk rows;
    const RecordMemory now = lens_.get(input, &known.memory, ledger_, rows).memory;
    known.memory = now;
    for (const Change& change : rows.changes()) {
      if (change.table != table.table || change.op != Op::kUpsert) continue;
      const auto row = rows.row(change);
      const MadeUp made = made_in(columns, row, rows);
      const auto element =
          std::find_if(now.elements.begin(), now.elements.end(), [&](const ElementMemory& one) {
            return one.level == table.level && is_of(one.made, made, columns);
          });
      if (element == now.elements.end()) continue;
      const auto at = static_cast<std::uint32_t>(element - now.elements.begin());
      auto& alike = like[contents.row(row, rows)];
      if (alike.empty()) {
        left[enclosing.row(row, rows)].push_back({id, at});
        continue;
      }
      take(known.memory.elements[at].made, theirs_[alike.back()]);
      alike.pop_back();
    }
  });
  pair_the_rest(table, left);
}

void Adopter::pair_the_rest(const TableSource& table, std::map<Hash128, std::vector<Left>>& left) {
  std::map<Hash128, std::vector<Theirs*>> theirs;
  for (Theirs& one : theirs_) {
    if (!one.taken) theirs[one.enclosing].push_back(&one);
  }
  for (auto& [enclosing, ours] : left) {
    const auto& untaken = theirs[enclosing];
    const bool pair = table.level != 0 && untaken.size() == ours.size();
    for (std::size_t i = 0; i < ours.size(); ++i) {
      adopt(ours[i], table.level, pair ? untaken[i] : nullptr);
    }
  }
}

// nullptr: it is new; a number it got may be another's by now.
void Adopter::adopt(const Left& left, std::uint16_t level, Theirs* theirs) {
  KnownRecord known = ledger_.record(left.record);
  MadeUp& made = known.memory.elements[left.element].made;
  if (theirs != nullptr) {
    take(made, *theirs);
  } else if (made.serial) {
    made.serial = ledger_.next_serial(number_, level);
  }
  ledger_.update_record(left.record, known);
}

// The ledger's rows bear the identities.
void Adopter::note_rows() {
  each_record([&](std::uint64_t id, KnownRecord&, const RecordInput&) {
    for (const RowMark& row : ledger_.rows(id)) ledger_.remove_row(row.table, row.key);
    ledger_.remove_rivals(id);
    ledger_.remove_keyless(id);
  });
  each_record([&](std::uint64_t id, KnownRecord& known, const RecordInput& input) {
    Chunk rows;
    const RecordRows made = lens_.get(input, &known.memory, ledger_, rows);
    known.memory = made.memory;
    for (const Change& change : rows.changes()) {
      const std::string key = key_bytes(rows, change, mapping_->table(change.table).key_width);
      if (ledger_.owner(change.table, key)) {
        ledger_.add_rival(id, change.table, key);
        ledger_.log(change.table, key);
      } else {
        ledger_.put_row(id, {change.table, key, row_hash(rows, change)});
      }
    }
    for (const KeylessRow& row : made.keyless) {
      ledger_.put_keyless(id, row.table, row.reason);
      ledger_.log(row.table, no_key(mapping_->table(row.table).key_width));
    }
  });
}

}  // namespace

void adopt_identities(std::shared_ptr<const Mapping> mapping,
                      std::shared_ptr<const DocumentMap> documents, FilesLedger& ledger,
                      RowReader& others) {
  LedgerWrite write(ledger);
  for (std::uint16_t i = 0; i < documents->collections.size(); ++i) {
    Adopter(mapping, documents, i, ledger, others).run();
  }
  write.make_durable();
}

}  // namespace switchback
