// The messages of PostgreSQL's logical replication, as the output plugin pgoutput writes them in
// protocol version 1 with the options `binary` and `messages`: bytes in, a variant out. Pure, so
// that it can be fuzzed and tested without a server. Every read is bounds-checked, and what is not
// understood is an Error(kData): a change that were guessed or skipped would be lost. Called by
// the assembler; thread-safe.
// https://www.postgresql.org/docs/15/protocol-logicalrep-message-formats.html
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

#include "replication/lsn.h"

namespace switchback::pgoutput {

/// pg_class.oid of a table.
enum class RelationId : std::uint32_t {};

struct Begin {
  Lsn commit_lsn;  // of the transaction's commit record, where Commit will say the same
  std::int64_t commit_time = 0;  // microseconds since 2000-01-01 UTC
  std::uint32_t xid = 0;
};

struct Commit {
  Lsn commit_lsn;
  Lsn end_lsn;  // just behind the commit record: the position to continue from
  std::int64_t commit_time = 0;
};

struct Origin {
  Lsn commit_lsn;
  std::string_view name;
};

struct RelationColumn {
  bool key = false;  // part of the replica identity
  std::string_view name;
  std::uint32_t type = 0;
  std::int32_t type_modifier = -1;
};

struct Relation {
  RelationId id{};
  std::string_view schema, name;
  char replica_identity = 'd';  // pg_class.relreplident
  std::vector<RelationColumn> columns;
};

/// Precedes a Relation that has a column of a type no server brings along.
struct Type {
  std::uint32_t oid = 0;
  std::string_view schema, name;
};

struct Value {
  enum class Form : std::uint8_t {
    kNull,
    kUnchanged,  // TOAST that the update left alone: not sent
    kText,
    kBinary,
  };
  Form form = Form::kNull;
  std::string_view bytes;
};
using Tuple = std::span<const Value>;

struct Insert {
  RelationId relation{};
  Tuple row;
};

/// What an update or delete says of the row before: its identity's columns (the others read as
/// NULL and mean nothing), or, with REPLICA IDENTITY FULL, all of it.
enum class Before : std::uint8_t { kNothing, kKey, kRow };

struct Update {
  RelationId relation{};
  Before before = Before::kNothing;
  Tuple old_row;
  Tuple row;
};

struct Delete {
  RelationId relation{};
  Before before = Before::kKey;
  Tuple old_row;
};

struct Truncate {
  bool cascade = false;
  bool restart_identity = false;
  std::vector<RelationId> relations;  // those that CASCADE reached included
};

/// pg_logical_emit_message().
struct Message {
  bool transactional = false;
  Lsn lsn;
  std::string_view prefix;
  std::string_view content;
};

using AnyMessage =
    std::variant<Begin, Commit, Origin, Relation, Type, Insert, Update, Delete, Truncate, Message>;

/// Decodes one message. The views and tuples it holds point into `bytes` and `values` and live as
/// long as both are left alone. Throws Error(kData) for anything but exactly one known message.
AnyMessage decode(std::string_view bytes, std::vector<Value>& values);

}  // namespace switchback::pgoutput
