#include "replication/assembler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "state/base/error.h"
#include "state/ports/change_sink.h"
#include "tests/replication/pgoutput_bytes.h"

namespace switchback {
namespace {

using namespace test;
using Event = Assembler::Event;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

ColumnMap column(const char* name, PgType type, const char* type_name) {
  ColumnMap map;
  map.old_name = map.name = name;
  map.type = type;
  map.type_name = type_name;
  return map;
}

// The key is the second column in PostgreSQL and comes first in the map.
std::shared_ptr<const Mapping> mapping() {
  auto all = std::make_shared<Mapping>();
  all->bridge = "test";
  TableMap note;
  note.id = TableId{0};
  note.store = "app";
  note.schema = "public";
  note.table = "note";
  note.key_width = 1;
  note.columns = {column("id", PgType::kInt4, "integer"), column("body", PgType::kText, "text"),
                  column("done", PgType::kBool, "boolean")};
  TableMap tag = note;
  tag.id = TableId{1};
  tag.table = "tag";
  tag.columns.resize(2);
  TableMap other = note;
  other.id = TableId{2};
  other.table = "other_store";
  other.store = "elsewhere";
  all->tables = {note, tag, other};
  return all;
}

constexpr std::uint32_t kNote = 100, kTag = 101, kStranger = 102;

std::string note_relation(char identity = 'd') {
  return relation(kNote, "public", "note", {{"body", 25}, {"id", 23, true}, {"done", 16}},
                  identity);
}
std::string tag_relation() {
  return relation(kTag, "public", "tag", {{"id", 23, true}, {"body", 25}});
}
std::vector<WireValue> note(std::string body, std::string id, std::string done = "t") {
  return {{'t', std::move(body)}, {'t', std::move(id)}, {'t', std::move(done)}};
}
std::vector<WireValue> note_key(std::string id) {
  return {{'n'}, {'t', std::move(id)}, {'n'}};
}

std::string spell(const Chunk& chunk, std::span<const Cell> cells) {
  std::string out;
  for (const Cell& cell : cells) {
    if (!out.empty()) out += ",";
    if (cell.kind == Kind::kNull || cell.kind == Kind::kUnchanged) {
      out += to_string(cell.kind);
    } else {
      out += has_text(cell.kind) ? std::string(chunk.text(cell)) : std::to_string(cell.i);
    }
  }
  return out;
}

std::vector<std::string> spell(const Chunk& chunk) {
  std::vector<std::string> out;
  for (const Change& change : chunk.changes()) {
    std::string line = std::to_string(index(change.table));
    switch (change.op) {
      case Op::kUpsert:
        line += " upsert ";
        break;
      case Op::kDelete:
        line += " delete ";
        break;
      case Op::kTruncate:
        line += " truncate ";
        break;
      case Op::kMisfit:
        line += " misfit ";
        break;
    }
    if (change.old_key != Change::kNone) line += spell(chunk, chunk.old_key(change, 1)) + " -> ";
    out.push_back(line + spell(chunk, chunk.row(change)));
  }
  return out;
}

class AssemblerTest : public testing::Test {
 protected:
  AssemblerTest() : assembler(mapping(), "app") { assembler.reset(Lsn{100}); }

  /// Feeds a whole transaction whose commit record stands at `lsn`.
  Event transaction(std::uint64_t lsn, const std::vector<std::string>& messages) {
    assembler.feed(begin(lsn), chunk);
    for (const auto& bytes : messages) {
      EXPECT_EQ(assembler.feed(bytes, chunk), Event::kNone);
    }
    return assembler.feed(commit(lsn, lsn + 8), chunk);
  }
  void expect_stops(const std::vector<std::string>& messages, const std::string& why) {
    try {
      transaction(300, messages);
      ADD_FAILURE() << "accepted; expected: " << why;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData);
      EXPECT_EQ(error.retry(), Retry::kNever);
      EXPECT_THAT(error.what(), HasSubstr(why));
    }
  }

  Assembler assembler;
  Chunk chunk;
};

TEST_F(AssemblerTest, PutsColumnsInTheMapsOrderKeyFirst) {
  EXPECT_EQ(transaction(
                200, {note_relation(), insert(kNote, note("hi", "7", "f")),
                      update(kNote, {{'n'}, {'t', "7"}, {'u'}}), erase(kNote, 'K', note_key("7"))}),
            Event::kCommit);
  EXPECT_THAT(spell(chunk),
              ElementsAre("0 upsert 7,hi,0", "0 upsert 7,null,unchanged", "0 delete 7"));
  EXPECT_EQ(assembler.reached(), Lsn{208});
  EXPECT_FALSE(assembler.in_transaction());
}

TEST_F(AssemblerTest, ReadsBinaryValues) {
  transaction(200, {note_relation(), insert(kNote, {{'b', "hi"},
                                                    {'b', big_endian(std::int32_t{-7})},
                                                    {'b', std::string(1, '\1')}})});
  EXPECT_THAT(spell(chunk), ElementsAre("0 upsert -7,hi,1"));
}

TEST_F(AssemblerTest, AChangedKeyIsARename) {
  transaction(200,
              {note_relation(), update(kNote, 'K', note_key("1"), {{'u'}, {'t', "2"}, {'n'}})});
  EXPECT_THAT(spell(chunk), ElementsAre("0 upsert 1 -> 2,unchanged,null"));
}

TEST_F(AssemblerTest, AFullOldRowFillsWhatTheUpdateLeftAlone) {
  transaction(
      200, {note_relation('f'), update(kNote, 'O', note("long", "1"), {{'u'}, {'t', "1"}, {'n'}}),
            update(kNote, 'O', note("long", "1"), {{'u'}, {'t', "2"}, {'n'}}),
            erase(kNote, 'O', note("long", "2"))});
  EXPECT_THAT(spell(chunk),
              ElementsAre("0 upsert 1,long,null", "0 upsert 1 -> 2,long,null", "0 delete 2"));
}

TEST_F(AssemblerTest, AnUnchangedKeyComesFromTheOldTuple) {
  transaction(200,
              {note_relation(), update(kNote, 'K', note_key("1"), {{'t', "x"}, {'u'}, {'n'}})});
  EXPECT_THAT(spell(chunk), ElementsAre("0 upsert 1,x,null"));
  expect_stops({update(kNote, {{'t', "x"}, {'u'}, {'n'}})}, "key column id");
}

TEST_F(AssemblerTest, DropsEchoesAndTheirPositionCounts) {
  transaction(200, {message("switchback", "echo"), note_relation(), insert(kNote, note("a", "1")),
                    truncate({kNote})});
  EXPECT_THAT(spell(chunk), IsEmpty());
  EXPECT_EQ(assembler.reached(), Lsn{208});
  // The relation was described within the echo and is known from then on.
  transaction(300, {insert(kNote, note("b", "2"))});
  EXPECT_THAT(spell(chunk), ElementsAre("0 upsert 2,b,1"));
}

TEST_F(AssemblerTest, AnEchoMarkThatIsNotTheFirstChangeMarksNothing) {
  transaction(200, {note_relation(), insert(kNote, note("a", "1")), message("switchback", "echo"),
                    insert(kNote, note("b", "2"))});
  transaction(300, {message("someone", "echo"), insert(kNote, note("c", "3"))});
  EXPECT_THAT(spell(chunk), ElementsAre("0 upsert 1,a,1", "0 upsert 2,b,1", "0 upsert 3,c,1"));
}

TEST_F(AssemblerTest, ADrainMarkerProvesItsCommitOnlyIfTransactional) {
  EXPECT_EQ(transaction(200, {message("switchback", "drain")}), Event::kDrain);
  EXPECT_EQ(assembler.reached(), Lsn{208});
  EXPECT_EQ(assembler.feed(message("switchback", "drain", false), chunk), Event::kNone);
  EXPECT_EQ(transaction(300, {message("switchback", "drain", false)}), Event::kCommit);
  EXPECT_EQ(transaction(400, {}), Event::kCommit);
}

TEST_F(AssemblerTest, DropsWhatWasAppliedBefore) {
  transaction(92, {note_relation(), insert(kNote, note("a", "1"))});  // ends at 100
  transaction(100, {insert(kNote, note("b", "2"))});
  EXPECT_THAT(spell(chunk), ElementsAre("0 upsert 2,b,1"));
}

TEST_F(AssemblerTest, IgnoresTablesOfOthers) {
  transaction(200,
              {relation(kStranger, "public", "stranger", {{"id", 23, true}}),
               relation(103, "public", "other_store", {{"id", 23, true}}),
               insert(kStranger, {{'t', "1"}}), insert(103, {{'t', "1"}}), truncate({kStranger})});
  EXPECT_THAT(spell(chunk), IsEmpty());
}

TEST_F(AssemblerTest, TruncateNamesEveryTableOfOurs) {
  transaction(200, {note_relation(), tag_relation(),
                    relation(kStranger, "public", "stranger", {{"id", 23, true}}),
                    truncate({kNote, kStranger, kTag}, '\1')});
  EXPECT_THAT(spell(chunk), ElementsAre("0 truncate ", "1 truncate "));
}

TEST_F(AssemblerTest, RowsOfATruncatedPartitionAreDeleted) {
  const auto gone = [](const std::string& table, const std::string& keys) {
    return message("switchback", "gone {\"schema\" : \"public\", \"table\" : \"" + table +
                                     "\", \"keys\" : " + keys + "}");
  };
  transaction(200, {gone("note", "[[\"1\"], [\"-2\"]]"), gone("stranger", "[[\"1\"]]"),
                    gone("other_store", "[[\"1\"]]")});
  EXPECT_THAT(spell(chunk), ElementsAre("0 delete 1", "0 delete -2"));
  transaction(300, {message("switchback", "echo"), gone("note", "[[\"3\"]]")});
  EXPECT_EQ(chunk.changes().size(), 2u);
  expect_stops({gone("note", "[[\"3\", \"4\"]]")}, "another key");
}

TEST_F(AssemblerTest, AGoneMessageThatIsNoJsonStops) {
  expect_stops({message("switchback", "gone [[")}, "cannot be read");
}

TEST_F(AssemblerTest, AValueThatCannotBeReadIsAMisfitOfItsKeyAlone) {
  transaction(200, {note_relation(), insert(kNote, note("a", "1", "maybe")),
                    update(kNote, 'K', note_key("1"), note("a", "2", "maybe")),
                    insert(kNote, note("b", "3"))});
  EXPECT_THAT(spell(chunk),
              ElementsAre("0 misfit 1", "0 misfit 1", "0 misfit 2", "0 upsert 3,b,1"));
  EXPECT_THAT(std::string(chunk.text(chunk.changes()[0].reason)), HasSubstr("column done"));
}

TEST_F(AssemblerTest, AKeyThatCannotBeReadStops) {
  expect_stops({note_relation(), insert(kNote, note("a", "one"))}, "");
  EXPECT_THAT(spell(chunk), IsEmpty());
}

TEST_F(AssemblerTest, AColumnThatAppearsStopsAtTheNextChange) {
  transaction(200, {note_relation(), insert(kNote, note("a", "1"))});
  const std::string wider = relation(kNote, "public", "note",
                                     {{"body", 25}, {"id", 23, true}, {"done", 16}, {"Due", 1082}});
  expect_stops({wider, insert(kNote, {{'n'}, {'t', "2"}, {'n'}, {'n'}})},
               "ALTER TABLE \"public\".\"note\" ADD COLUMN \"Due\" date");
}

TEST_F(AssemblerTest, AColumnThatTheMappingLeavesOutIsNoChange) {
  const std::string wider =
      relation(kNote, "public", "note", {{"x", 25}, {"body", 25}, {"id", 23, true}, {"done", 16}});
  transaction(200, {wider, insert(kNote, {{'n'}, {'t', "a"}, {'t', "1"}, {'n'}}), wider,
                    insert(kNote, {{'n'}, {'t', "b"}, {'t', "2"}, {'n'}})});
  EXPECT_THAT(spell(chunk), ElementsAre("0 upsert 1,a,null", "0 upsert 2,b,null"));
}

TEST_F(AssemblerTest, NamesTheAlterThatExplainsAChangedTable) {
  const auto insert_any = insert(kNote, {{'n'}, {'t', "2"}});
  expect_stops({relation(kNote, "public", "note", {{"body", 25}, {"id", 23, true}}), insert_any},
               "DROP COLUMN \"done\"");
  assembler.reset(Lsn{100});
  expect_stops({relation(kNote, "public", "note", {{"body", 25}, {"id", 20, true}, {"done", 16}}),
                insert(kNote, note("a", "1"))},
               "ALTER COLUMN \"id\" TYPE bigint");
  assembler.reset(Lsn{100});
  transaction(200, {note_relation(), insert(kNote, note("a", "1"))});
  expect_stops({relation(kNote, "public", "note", {{"text", 25}, {"id", 23, true}, {"done", 16}}),
                insert(kNote, note("a", "1"))},
               "RENAME COLUMN \"body\" TO \"text\"");
  assembler.reset(Lsn{100});
  expect_stops({relation(kNote, "public", "note", {{"body", 25, true}, {"id", 23}, {"done", 16}}),
                insert(kNote, note("a", "1"))},
               "REPLICA IDENTITY");
}

TEST_F(AssemblerTest, AChangedTableInAnEchoStopsNothing) {
  transaction(200,
              {message("switchback", "echo"), relation(kNote, "public", "note", {{"id", 23, true}}),
               insert(kNote, {{'t', "2"}})});
  EXPECT_THAT(spell(chunk), IsEmpty());
}

TEST_F(AssemblerTest, RefusesAStreamThatMakesNoSense) {
  EXPECT_THROW(assembler.feed(commit(200, 208), chunk), Error);
  EXPECT_THROW(assembler.feed(truncate({kNote}), chunk), Error);
  assembler.feed(begin(200), chunk);
  EXPECT_THROW(assembler.feed(begin(300), chunk), Error);
  EXPECT_THROW(assembler.feed(insert(kNote, note("a", "1")), chunk), Error);  // never described
  EXPECT_THROW(assembler.feed(commit(300, 308), chunk), Error);
  assembler.feed(note_relation(), chunk);
  EXPECT_THROW(assembler.feed(insert(kNote, {{'t', "1"}}), chunk), Error);  // too few values
}

TEST_F(AssemblerTest, AKeepaliveMovesThePositionOnlyBetweenTransactions) {
  assembler.reach(Lsn{150});
  EXPECT_EQ(assembler.reached(), Lsn{150});
  assembler.feed(begin(200), chunk);
  assembler.reach(Lsn{500});
  EXPECT_EQ(assembler.reached(), Lsn{150});
  assembler.feed(commit(200, 208), chunk);
  EXPECT_EQ(assembler.reached(), Lsn{208});
  assembler.reach(Lsn{150});
  EXPECT_EQ(assembler.reached(), Lsn{208});
}

}  // namespace
}  // namespace switchback
