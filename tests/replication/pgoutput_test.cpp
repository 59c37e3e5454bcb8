#include "replication/pgoutput.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "state/base/error.h"
#include "tests/replication/pgoutput_bytes.h"

namespace switchback::pgoutput {
namespace {

using namespace test;

template <class T>
T decode_as(const std::string& bytes, std::vector<Value>& values) {
  AnyMessage message = decode(bytes, values);
  EXPECT_TRUE(std::holds_alternative<T>(message)) << "variant index " << message.index();
  return std::get<T>(std::move(message));
}

void expect_refused(const std::string& bytes, const std::string& why) {
  std::vector<Value> values;
  try {
    decode(bytes, values);
    ADD_FAILURE() << "accepted; expected: " << why;
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_THAT(error.message(), testing::HasSubstr(why));
  }
}

std::vector<std::string> one_of_each() {
  const std::vector<WireValue> row = {{'b', std::string("\0\0\0\1", 4)}, {'t', "x"}, {'n'}, {'u'}};
  return {begin(0x1000),
          commit(0x1000, 0x1030),
          "O" + big_endian(std::uint64_t{3}) + zero_ended("pg_1"),
          relation(7, "public", "t", {{"id", 23, true}, {"v", 25, false, 24}}),
          type(20000, "public", "mood"),
          insert(7, row),
          update(7, row),
          update(7, 'K', row, row),
          update(7, 'O', row, row),
          erase(7, 'K', row),
          erase(7, 'O', row),
          truncate({7, 8}, '\3'),
          message("switchback", "echo")};
}

TEST(Pgoutput, ReadsBeginAndCommit) {
  std::vector<Value> values;
  const auto started = decode_as<Begin>(begin(0x1000), values);
  EXPECT_EQ(started.commit_lsn, Lsn{0x1000});
  EXPECT_EQ(started.commit_time, 77);
  EXPECT_EQ(started.xid, 9u);
  const auto ended = decode_as<Commit>(commit(0x1000, 0x1030), values);
  EXPECT_EQ(ended.commit_lsn, Lsn{0x1000});
  EXPECT_EQ(ended.end_lsn, Lsn{0x1030});
}

TEST(Pgoutput, ReadsARelation) {
  std::vector<Value> values;
  const std::string bytes =
      relation(7, "public", "t", {{"id", 23, true}, {"v", 1043, false, 24}}, 'f');
  const auto table = decode_as<Relation>(bytes, values);
  EXPECT_EQ(table.id, RelationId{7});
  EXPECT_EQ(table.schema, "public");
  EXPECT_EQ(table.name, "t");
  EXPECT_EQ(table.replica_identity, 'f');
  ASSERT_EQ(table.columns.size(), 2u);
  EXPECT_TRUE(table.columns[0].key);
  EXPECT_EQ(table.columns[1].name, "v");
  EXPECT_EQ(table.columns[1].type, 1043u);
  EXPECT_EQ(table.columns[1].type_modifier, 24);
}

TEST(Pgoutput, KeepsTheFourFormsOfAValueApart) {
  std::vector<Value> values;
  const std::string bytes = insert(7, {{'b', ""}, {'t', "null"}, {'n'}, {'u'}});
  const auto inserted = decode_as<Insert>(bytes, values);
  ASSERT_EQ(inserted.row.size(), 4u);
  EXPECT_EQ(inserted.row[0].form, Value::Form::kBinary);
  EXPECT_EQ(inserted.row[0].bytes, "");
  EXPECT_EQ(inserted.row[1].form, Value::Form::kText);
  EXPECT_EQ(inserted.row[1].bytes, "null");
  EXPECT_EQ(inserted.row[2].form, Value::Form::kNull);
  EXPECT_EQ(inserted.row[3].form, Value::Form::kUnchanged);
}

TEST(Pgoutput, SeparatesOldAndNewRow) {
  std::vector<Value> values;
  const std::string bytes = update(7, 'K', {{'t', "1"}, {'n'}}, {{'t', "2"}, {'u'}});
  const auto updated = decode_as<Update>(bytes, values);
  EXPECT_EQ(updated.before, Before::kKey);
  ASSERT_EQ(updated.old_row.size(), 2u);
  ASSERT_EQ(updated.row.size(), 2u);
  EXPECT_EQ(updated.old_row[0].bytes, "1");
  EXPECT_EQ(updated.row[0].bytes, "2");
  const std::string plain = update(7, {{'t', "2"}});
  EXPECT_EQ(decode_as<Update>(plain, values).before, Before::kNothing);
}

TEST(Pgoutput, ReadsTruncateAndMessage) {
  std::vector<Value> values;
  const auto emptied = decode_as<Truncate>(truncate({7, 8}, '\1'), values);
  EXPECT_TRUE(emptied.cascade);
  EXPECT_FALSE(emptied.restart_identity);
  EXPECT_THAT(emptied.relations, testing::ElementsAre(RelationId{7}, RelationId{8}));
  const std::string bytes = message("switchback", "drain", false);
  const auto said = decode_as<Message>(bytes, values);
  EXPECT_FALSE(said.transactional);
  EXPECT_EQ(said.prefix, "switchback");
  EXPECT_EQ(said.content, "drain");
}

TEST(Pgoutput, RefusesAMessageCutAtAnyByte) {
  for (const auto& bytes : one_of_each()) {
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      std::vector<Value> values;
      EXPECT_THROW(decode(std::string_view(bytes).substr(0, size), values), Error)
          << bytes[0] << " at " << size;
    }
  }
}

TEST(Pgoutput, RefusesTrailingBytes) {
  for (const auto& bytes : one_of_each()) expect_refused(bytes + '\0', "too many");
}

TEST(Pgoutput, RefusesEveryUnknownKind) {
  for (int kind = 0; kind < 256; ++kind) {
    if (std::string_view("BCORYIUDTM").find(static_cast<char>(kind)) != std::string_view::npos &&
        kind != 0) {
      continue;
    }
    expect_refused(std::string(1, static_cast<char>(kind)), "unknown kind");
  }
}

TEST(Pgoutput, RefusesUnknownParts) {
  expect_refused(insert(7, {{'x'}}), "form of value");
  expect_refused("U" + big_endian(std::uint32_t{7}) + "X" + tuple({}), "unknown tuple");
  expect_refused("D" + big_endian(std::uint32_t{7}) + "N" + tuple({}), "unknown tuple");
  expect_refused("I" + big_endian(std::uint32_t{7}) + "K" + tuple({}), "expected 'N'");
  expect_refused(truncate({7}, '\4'), "options");
}

TEST(Pgoutput, ReservesNoMoreThanTheMessageHas) {
  expect_refused("T" + big_endian(std::uint32_t{0xffffffff}) + std::string(1, '\0'), "count");
  expect_refused("I" + big_endian(std::uint32_t{7}) + "N" + "\xff\xff", "count");
}

}  // namespace
}  // namespace switchback::pgoutput
