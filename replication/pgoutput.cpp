#include "replication/pgoutput.h"

#include <fmt/format.h>

#include <concepts>
#include <string>

#include "replication/wire.h"
#include "state/base/error.h"

namespace switchback::pgoutput {
namespace {

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorKind::kData, Retry::kNever, "replication message: " + what,
              {.object = "PostgreSQL"});
}

// Reads from the front of a message; each read checks that it is there.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : left_(bytes) {}

  template <std::unsigned_integral T>
  T number() {
    return read_big_endian<T>(take(sizeof(T)));
  }
  char byte() { return take(1).front(); }
  std::int64_t time() { return static_cast<std::int64_t>(number<std::uint64_t>()); }
  Lsn lsn() { return Lsn{number<std::uint64_t>()}; }
  RelationId relation() { return RelationId{number<std::uint32_t>()}; }

  std::string_view string() {
    const auto end = left_.find('\0');
    if (end == left_.npos) refuse("a string does not end");
    const auto text = left_.substr(0, end);
    left_.remove_prefix(end + 1);
    return text;
  }

  std::string_view sized() {
    const auto size = number<std::uint32_t>();
    return take(size);
  }

  // A count of things of at least `least_size` bytes each; so no count makes us reserve more
  // memory than the message itself has.
  std::size_t checked_count(std::size_t count, std::size_t least_size) const {
    if (count > left_.size() / least_size) refuse("a count exceeds the message");
    return count;
  }

  void end() const {
    if (!left_.empty()) refuse(fmt::format("{} bytes too many", left_.size()));
  }

 private:
  std::string_view take(std::size_t size) {
    if (left_.size() < size) refuse("cut short");
    const auto taken = left_.substr(0, size);
    left_.remove_prefix(size);
    return taken;
  }

  std::string_view left_;
};

Value read_value(Reader& in) {
  const char form = in.byte();
  switch (form) {
    case 'n':
      return {Value::Form::kNull, {}};
    case 'u':
      return {Value::Form::kUnchanged, {}};
    case 't':
      return {Value::Form::kText, in.sized()};
    case 'b':
      return {Value::Form::kBinary, in.sized()};
    default:
      refuse(fmt::format("unknown form of value 0x{:02x}", static_cast<unsigned char>(form)));
  }
}

// Appends a tuple's values; returns how many. Spans are made once all tuples are read, because
// appending may move the values.
std::size_t read_tuple(Reader& in, std::vector<Value>& values) {
  const std::size_t count = in.checked_count(in.number<std::uint16_t>(), 1);
  for (std::size_t i = 0; i < count; ++i) values.push_back(read_value(in));
  return count;
}

void expect(Reader& in, char marker) {
  const char got = in.byte();
  if (got != marker) {
    refuse(fmt::format("expected '{}', got 0x{:02x}", marker, static_cast<unsigned char>(got)));
  }
}

Before before_of(char marker) {
  switch (marker) {
    case 'K':
      return Before::kKey;
    case 'O':
      return Before::kRow;
    default:
      refuse(fmt::format("unknown tuple 0x{:02x}", static_cast<unsigned char>(marker)));
  }
}

Begin read_begin(Reader& in) {
  Begin begin;
  begin.commit_lsn = in.lsn();
  begin.commit_time = in.time();
  begin.xid = in.number<std::uint32_t>();
  return begin;
}

Commit read_commit(Reader& in) {
  Commit commit;
  if (in.byte() != 0) refuse("a commit has flags that this version does not know");
  commit.commit_lsn = in.lsn();
  commit.end_lsn = in.lsn();
  commit.commit_time = in.time();
  return commit;
}

Origin read_origin(Reader& in) {
  Origin origin;
  origin.commit_lsn = in.lsn();
  origin.name = in.string();
  return origin;
}

Relation read_relation(Reader& in) {
  constexpr std::size_t kLeastColumn = 1 + 1 + 4 + 4;  // flags, empty name, type, modifier
  Relation relation;
  relation.id = in.relation();
  relation.schema = in.string();
  relation.name = in.string();
  relation.replica_identity = in.byte();
  const auto count = in.checked_count(in.number<std::uint16_t>(), kLeastColumn);
  relation.columns.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    RelationColumn column;
    const auto flags = in.number<std::uint8_t>();
    if (flags > 1) refuse("a column has flags that this version does not know");
    column.key = flags == 1;
    column.name = in.string();
    column.type = in.number<std::uint32_t>();
    column.type_modifier = static_cast<std::int32_t>(in.number<std::uint32_t>());
    relation.columns.push_back(column);
  }
  return relation;
}

Type read_type(Reader& in) {
  Type type;
  type.oid = in.number<std::uint32_t>();
  type.schema = in.string();
  type.name = in.string();
  return type;
}

Insert read_insert(Reader& in, std::vector<Value>& values) {
  Insert insert;
  insert.relation = in.relation();
  expect(in, 'N');
  read_tuple(in, values);
  insert.row = values;
  return insert;
}

Update read_update(Reader& in, std::vector<Value>& values) {
  Update update;
  update.relation = in.relation();
  std::size_t old_count = 0;
  if (const char marker = in.byte(); marker != 'N') {
    update.before = before_of(marker);
    old_count = read_tuple(in, values);
    expect(in, 'N');
  }
  read_tuple(in, values);
  update.old_row = Tuple(values).first(old_count);
  update.row = Tuple(values).subspan(old_count);
  return update;
}

Delete read_delete(Reader& in, std::vector<Value>& values) {
  Delete gone;
  gone.relation = in.relation();
  gone.before = before_of(in.byte());
  read_tuple(in, values);
  gone.old_row = values;
  return gone;
}

Truncate read_truncate(Reader& in) {
  Truncate truncate;
  const auto count = in.number<std::uint32_t>();
  const auto options = in.number<std::uint8_t>();
  if (options > 3) refuse("a truncate has options that this version does not know");
  truncate.cascade = (options & 1) != 0;
  truncate.restart_identity = (options & 2) != 0;
  truncate.relations.reserve(in.checked_count(count, 4));
  for (std::uint32_t i = 0; i < count; ++i) truncate.relations.push_back(in.relation());
  return truncate;
}

Message read_message(Reader& in) {
  Message message;
  const auto flags = in.number<std::uint8_t>();
  if (flags > 1) refuse("a message has flags that this version does not know");
  message.transactional = flags == 1;
  message.lsn = in.lsn();
  message.prefix = in.string();
  message.content = in.sized();
  return message;
}

AnyMessage read(Reader& in, std::vector<Value>& values) {
  const char kind = in.byte();
  switch (kind) {
    case 'B':
      return read_begin(in);
    case 'C':
      return read_commit(in);
    case 'O':
      return read_origin(in);
    case 'R':
      return read_relation(in);
    case 'Y':
      return read_type(in);
    case 'I':
      return read_insert(in, values);
    case 'U':
      return read_update(in, values);
    case 'D':
      return read_delete(in, values);
    case 'T':
      return read_truncate(in);
    case 'M':
      return read_message(in);
    default:
      refuse(fmt::format("unknown kind 0x{:02x}", static_cast<unsigned char>(kind)));
  }
}

}  // namespace

AnyMessage decode(std::string_view bytes, std::vector<Value>& values) {
  values.clear();
  Reader in(bytes);
  AnyMessage message = read(in, values);
  in.end();
  return message;
}

}  // namespace switchback::pgoutput
