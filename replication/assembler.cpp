#include "replication/assembler.h"

#include <fmt/format.h>

#include <span>
#include <utility>

#include "replication/codec.h"
#include "replication/gone_rows.h"
#include "replication/names.h"
#include "state/base/advice.h"
#include "state/base/error.h"
#include "state/base/mutation.h"

namespace switchback {
namespace {

using pgoutput::Before;
using pgoutput::Tuple;
using pgoutput::Value;

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorKind::kData, Retry::kNever, what, {.object = "replication stream"});
}

[[noreturn]] void refuse_changed_table(const RelationMap& relation) {
  const TableMap& table = *relation.table;
  throw Error(ErrorKind::kData, Retry::kNever,
              "the table is no longer as it was mapped: what has happened to it looks like " +
                  relation.difference + "; the pump of this group stops",
              {.object = table.schema + "." + table.table, .next = kAfterAlter});
}

// One table's values become cells of `out`.
class RowWriter {
 public:
  RowWriter(const RelationMap& relation, Chunk& out) : relation_(relation), out_(out) {}

  const TableMap& table() const { return *relation_.table; }

  void expect_width(Tuple tuple) const {
    if (tuple.size() == relation_.width) return;
    refuse(fmt::format("{}.{}: a row of {} values for {} columns", table().schema, table().table,
                       tuple.size(), relation_.width));
  }

  // The value in `row`, or the one from `old_row` where the update left it alone and the server
  // says what it was.
  const Value* value(std::size_t column, Tuple row, Tuple old_row, bool old_is_known) const {
    const auto at = relation_.from[column];
    if (at == RelationMap::kNotSent) return nullptr;
    const Value* sent = &row[at];
    if (sent->form == Value::Form::kUnchanged && old_is_known) sent = &old_row[at];
    return sent;
  }

  Cell cell(std::size_t column, const Value* value) {
    if (value == nullptr) return Cell::unchanged();
    const ColumnMap& map = table().columns[column];
    switch (value->form) {
      case Value::Form::kNull:
        return Cell::null();
      case Value::Form::kUnchanged:
        return mutated("unchanged-as-null") ? Cell::null() : Cell::unchanged();
      case Value::Form::kText:
        return decode_text(map, value->bytes, out_);
      case Value::Form::kBinary:
        return decode_binary(map, value->bytes, out_);
    }
    refuse("a value of an unknown form");
  }

  // A key must be there: without it there is no row to speak of, so nothing can be quarantined.
  void key(std::vector<Cell>& cells, Tuple row, Tuple old_row, bool old_is_known) {
    cells.clear();
    for (std::size_t i = 0; i < table().key_width; ++i) {
      cells.push_back(cell(i, value(i, row, old_row, old_is_known)));
      if (cells.back().kind == Kind::kNull || cells.back().kind == Kind::kUnchanged) {
        refuse(fmt::format("{}.{}: a change without a value for the key column {}", table().schema,
                           table().table, table().columns[i].name));
      }
    }
  }

  bool same_key(Tuple row, Tuple old_row) const {
    for (std::size_t i = 0; i < table().key_width; ++i) {
      const auto at = relation_.from[i];
      const Value& now = row[at];
      if (now.form == Value::Form::kUnchanged) continue;
      if (now.form != old_row[at].form || now.bytes != old_row[at].bytes) return false;
    }
    return true;
  }

  void upsert(std::span<const Cell> old_key, std::span<const Cell> key, Tuple row, Tuple old_row,
              bool old_is_known) {
    for (const Cell& part : old_key) out_.add(part);
    if (!old_key.empty() && mutated("rename-as-two")) {
      out_.end_delete(table().id);
      old_key = {};
    }
    for (const Cell& part : key) out_.add(part);
    std::size_t column = table().key_width;
    try {
      for (; column < table().columns.size(); ++column) {
        out_.add(cell(column, value(column, row, old_row, old_is_known)));
      }
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::kData) throw;
      misfit(old_key, key, column, error.message());
      return;
    }
    if (old_key.empty()) {
      out_.end_upsert(table().id);
    } else {
      out_.end_rename(table().id, table().key_width);
    }
  }

 private:
  // Of a renamed row neither key is right on the other side any more, so both are turned away.
  void misfit(std::span<const Cell> old_key, std::span<const Cell> key, std::size_t column,
              const std::string& why) {
    out_.drop_row();
    const std::string reason = fmt::format("column {}: {}", table().columns[column].name, why);
    for (const auto cells : {old_key, key}) {
      if (cells.empty()) continue;
      for (const Cell& part : cells) out_.add(part);
      out_.end_misfit(table().id, reason);
    }
  }

  const RelationMap& relation_;
  Chunk& out_;
};

}  // namespace

struct Assembler::Visitor {
  Assembler& assembler;
  Chunk& out;

  Event operator()(const pgoutput::Begin& message) {
    return assembler.begin(message), Event::kNone;
  }
  Event operator()(const pgoutput::Commit& message) { return assembler.commit(message); }
  Event operator()(const pgoutput::Relation& message) {
    return assembler.relation(message), Event::kNone;
  }
  Event operator()(const pgoutput::Message& message) {
    return assembler.note(message, out), Event::kNone;
  }
  Event operator()(const pgoutput::Insert& message) {
    return assembler.insert(message, out), Event::kNone;
  }
  Event operator()(const pgoutput::Update& message) {
    return assembler.update(message, out), Event::kNone;
  }
  Event operator()(const pgoutput::Delete& message) {
    return assembler.erase(message, out), Event::kNone;
  }
  Event operator()(const pgoutput::Truncate& message) {
    return assembler.truncate(message, out), Event::kNone;
  }
  Event operator()(const pgoutput::Type& message) {
    assembler.type_names_[message.oid] = message.name;
    return Event::kNone;
  }
  // Somebody else's replication writes to our tables; its changes are as good as any.
  Event operator()(const pgoutput::Origin&) { return Event::kNone; }
};

Assembler::Assembler(std::shared_ptr<const Mapping> mapping, std::string store)
    : mapping_(std::move(mapping)), store_(std::move(store)) {}

void Assembler::reset(Lsn applied, Lsn compared) {
  relations_.clear();
  type_names_.clear();
  applied_ = reached_ = applied;
  compared_ = compared;
  in_transaction_ = owed_ = false;
}

Assembler::Event Assembler::feed(std::string_view message, Chunk& out) {
  return std::visit(Visitor{*this, out}, pgoutput::decode(message, values_));
}

void Assembler::reach(Lsn wal_end) {
  if (!in_transaction_ && wal_end > reached_) reached_ = wal_end;
}

void Assembler::begin(const pgoutput::Begin& message) {
  if (in_transaction_) refuse("a transaction began inside another");
  in_transaction_ = true;
  commit_lsn_ = message.commit_lsn;
  // A position is the end of some record, so a commit record that begins before it also ends there.
  const bool applied = message.commit_lsn < applied_;
  owed_ = applied && message.commit_lsn >= compared_;
  skipping_ = applied && !owed_;
  seen_change_ = drain_ = false;
}

Assembler::Event Assembler::commit(const pgoutput::Commit& message) {
  expect_transaction("a commit");
  if (message.commit_lsn != commit_lsn_ || message.end_lsn <= message.commit_lsn) {
    refuse("a commit at " + to_string(message.commit_lsn) + " ends the transaction of " +
           to_string(commit_lsn_));
  }
  in_transaction_ = false;
  if (message.end_lsn > reached_) reached_ = message.end_lsn;
  return drain_ ? Event::kDrain : Event::kCommit;
}

void Assembler::relation(const pgoutput::Relation& message) {
  const auto id = mapping_->find(message.schema, message.name);
  const TableMap* table = id ? &mapping_->table(*id) : nullptr;
  if (table == nullptr || !table->flows() || table->store != store_) {
    relations_[message.id] = RelationMap{};
    return;
  }
  const auto before = relations_.find(message.id);
  const bool seen = before != relations_.end() && before->second.table == table;
  relations_[message.id] =
      map_relation(message, *table, type_names_, seen ? &before->second : nullptr);
}

void Assembler::note(const pgoutput::Message& message, Chunk& out) {
  // One without a transaction is there even if its writer rolled back: it proves nothing.
  if (!message.transactional) return;
  expect_transaction("a message");
  if (message.prefix == kMessagePrefix) {
    const bool echo = message.content == "echo" && !seen_change_;
    if (echo && !mutated("echo-kept")) skipping_ = true;
    if (message.content == "drain") drain_ = true;
    if (message.content.starts_with(kGoneRows) && !skipping_) {
      append_gone_rows(message.content.substr(kGoneRows.size()), *mapping_, store_, out);
    }
  }
  seen_change_ = true;
}

// Looking a relation up is also where a change is counted, whether it is ours or not.
const RelationMap* Assembler::known(pgoutput::RelationId id) {
  expect_transaction("a change");
  seen_change_ = true;
  const auto found = relations_.find(id);
  if (found == relations_.end()) {
    refuse(fmt::format("a change of relation {}, which was never described",
                       static_cast<std::uint32_t>(id)));
  }
  return found->second.table == nullptr ? nullptr : &found->second;
}

const RelationMap* Assembler::wanted(pgoutput::RelationId id) {
  const RelationMap* relation = known(id);
  if (relation == nullptr || skipping_) return nullptr;
  if (!relation->difference.empty()) {
    if (owed_) return nullptr;  // what it was applied to has another form by now
    refuse_changed_table(*relation);
  }
  return relation;
}

void Assembler::insert(const pgoutput::Insert& message, Chunk& out) {
  const RelationMap* relation = wanted(message.relation);
  if (relation == nullptr) return;
  RowWriter writer(*relation, out);
  writer.expect_width(message.row);
  for (const Value& value : message.row) {
    if (value.form == Value::Form::kUnchanged) refuse("an insert with an unchanged value");
  }
  writer.key(new_key_, message.row, {}, false);
  writer.upsert({}, new_key_, message.row, {}, false);
}

void Assembler::update(const pgoutput::Update& message, Chunk& out) {
  const RelationMap* relation = wanted(message.relation);
  if (relation == nullptr) return;
  RowWriter writer(*relation, out);
  writer.expect_width(message.row);
  const bool has_old = message.before != Before::kNothing;
  if (has_old) writer.expect_width(message.old_row);
  writer.key(new_key_, message.row, message.old_row, has_old);
  old_key_.clear();
  if (has_old && !writer.same_key(message.row, message.old_row)) {
    writer.key(old_key_, message.old_row, {}, false);
  }
  // Beside the key's columns, a 'K' tuple has NULLs that mean nothing.
  writer.upsert(old_key_, new_key_, message.row, message.old_row, message.before == Before::kRow);
}

void Assembler::erase(const pgoutput::Delete& message, Chunk& out) {
  const RelationMap* relation = wanted(message.relation);
  if (relation == nullptr) return;
  RowWriter writer(*relation, out);
  writer.expect_width(message.old_row);
  writer.key(old_key_, message.old_row, {}, false);
  for (const Cell& part : old_key_) out.add(part);
  out.end_delete(relation->table->id);
}

void Assembler::truncate(const pgoutput::Truncate& message, Chunk& out) {
  for (const auto id : message.relations) {
    const RelationMap* relation = wanted(id);
    if (relation != nullptr) out.end_truncate(relation->table->id);
  }
}

void Assembler::expect_transaction(std::string_view what) const {
  if (!in_transaction_) refuse(std::string(what) + " outside any transaction");
}

}  // namespace switchback
