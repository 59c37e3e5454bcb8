// Malformed files of every layout: refused with their place, nothing of them is written down, and
// what was mended is taken.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/watchers/files/files_fixture.h"
#include "watchers/files/path_pattern.h"

namespace switchback {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

struct LayoutCase {
  const char* name;
  const char* records;
  const char* text;     // with VALUE in the place of one
  const char* line;     // on which it stands
  const char* pointer;  // to it
};

constexpr LayoutCase kLayouts[] = {
    {"array", "/*", "[\n  {\"id\": 1, \"x\": 0},\n  {\"id\": 2, \"x\": VALUE},\n  {\"id\": 3}\n]\n",
     "3", "/1/x"},
    {"map", "/*", "{\n\"a\": {\"id\": 1},\r\n\"b\": {\"id\": 2, \"x\":\nVALUE}\n}", "4", "/b/x"},
    {"inside", "/users/*", "{\"v\": 1,\n \"users\": [\n{\"id\": 1, \"x\": VALUE}\n]}", "3",
     "/users/0/x"},
    {"whole", "", "{\n  \"id\": 1,\n  \"x\": [VALUE]\n}", "3", "/x/0"},
    {"lines", "lines", "{\"id\": 1}\n\n{\"id\": 2, \"x\": VALUE}\n{\"id\": 3}\n", "3", "/x"},
};

std::string filled(const LayoutCase& layout, const std::string& value) {
  std::string text = layout.text;
  return text.replace(text.find("VALUE"), 5, value);
}

class BadInput : public testing::TestWithParam<LayoutCase> {
 protected:
  BadInput()
      : store_({.files = "*.json", .records = GetParam().records},
               {{.name = "t", .path = "", .columns = {"id int = /id", "x jsonb = /x"}}}) {
    store_.write("a.json", filled(GetParam(), "\"sound\""));
    store_.write("b.json", "");
    store_.install();
    ledger_ = FilesLedger::open(store_.ledger(), false);
    scan_.emplace(store_.text().mapping_pointer(), store_.text().documents(), *ledger_);
  }

  /// Why the file is refused now; empty if it is not. Nothing must have come of a refused one.
  std::string refusal(const std::string& bytes) {
    store_.write("a.json", bytes);
    const ScanResult seen = scan_->run(Look::kContents, nullptr);
    for (const UnreadableFile& file : seen.unreadable) {
      if (file.path != (store_.root() / "a.json").string()) continue;
      EXPECT_EQ(seen.from, seen.to) << bytes;
      EXPECT_FALSE(file.held);
      return file.why;
    }
    return "";
  }

  FilesFixture store_;
  std::unique_ptr<FilesLedger> ledger_;
  std::optional<FileScan> scan_;
};

TEST_P(BadInput, IsRefusedWithFileLineColumnAndPointer) {
  const std::vector<std::pair<std::string, std::string>> values = {
      {"\"\xff\"", "a byte that is not UTF-8"},
      {"\"\xed\xa0\x80\"", "a byte that is not UTF-8"},
      {"NaN", "NaN is no JSON"},
      {"Infinity", "Infinity is no JSON"},
      {"01", "a number with a zero before it"},
      {"\"\\x\"", "no such escape"},
      {"\"\\u12\"", "\\u needs four hexadecimal digits"},
      {"'a'", "expected a value"},
      {"nul", "expected a value"},
  };
  const LayoutCase& layout = GetParam();
  const std::string rows = ::testing::PrintToString(store_.rows_read());
  for (const auto& [value, reason] : values) {
    const std::string why = refusal(filled(layout, value));
    EXPECT_THAT(why, testing::StartsWith(fmt::format("a.json:{}:", layout.line))) << value;
    EXPECT_THAT(why, HasSubstr(fmt::format(" {}: ", layout.pointer))) << value;
    EXPECT_THAT(why, HasSubstr(reason)) << value;
  }
  // What is wrong deeper inside has a longer pointer.
  EXPECT_THAT(refusal(filled(layout, "{\"a\": 1, \"\\u0061\": 2}")),
              HasSubstr("the member \"a\" is there twice"));
  const std::string deep = std::string(10'000, '[') + std::string(10'000, ']');
  EXPECT_THAT(refusal(filled(layout, deep)), HasSubstr("nested deeper than 1000 levels"));
  EXPECT_THAT(refusal("\xEF\xBB\xBF" + filled(layout, "1")),
              testing::AllOf(HasSubstr("a.json:1:1"), HasSubstr("a byte order mark")));
  store_.write("a.json", filled(layout, "\"sound\""));
  EXPECT_EQ(::testing::PrintToString(store_.rows_read()), rows);
  EXPECT_EQ(refusal(filled(layout, std::string(400, '7'))), "") << "of any size";
  EXPECT_THAT(::testing::PrintToString(store_.rows_read()), HasSubstr(std::string(400, '7')));
}

TEST_P(BadInput, AFileCutAnywhereKeepsItsRows) {
  const std::string text = filled(GetParam(), "\"caf\u00e9 \\ud83d\\ude00\"");
  ASSERT_EQ(refusal(text), "");
  const auto rows = ledger_->count_rows(store_.text().table("t"));
  std::string whole = text;
  while (whole.back() == '\n') whole.pop_back();  // what ends there is no half
  const bool lines = std::string(GetParam().records) == "lines";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::string cut = text.substr(0, size);
    // Lines end anywhere: what is whole of them counts, and a mass delete is held elsewhere.
    const std::size_t last = cut.find_last_not_of('\n');
    if (lines && (last == cut.npos || cut[last] == '}')) continue;
    EXPECT_THAT(refusal(cut), testing::StartsWith("a.json:")) << size << ": " << cut;
    EXPECT_EQ(ledger_->count_rows(store_.text().table("t")), rows) << cut;
  }
  EXPECT_EQ(refusal(text), "");
}

INSTANTIATE_TEST_SUITE_P(Layouts, BadInput, testing::ValuesIn(kLayouts),
                         [](const auto& test) { return test.param.name; });

class HeldFiles : public testing::Test {
 protected:
  HeldFiles()
      : store_({.files = "*.json"}, {{.name = "t", .path = "", .columns = {"id int = /id"}}}) {
    store_.write("a.json", "[{\"id\":1},{\"id\":2},{\"id\":3},{\"id\":4},{\"id\":5}]");
    store_.install();
    ledger_ = FilesLedger::open(store_.ledger(), false);
    scan_.emplace(store_.text().mapping_pointer(), store_.text().documents(), *ledger_);
  }
  std::uint64_t rows() { return ledger_->count_rows(store_.text().table("t")); }
  ScanResult look() { return scan_->run(Look::kStamps, nullptr); }

  FilesFixture store_;
  std::unique_ptr<FilesLedger> ledger_;
  std::optional<FileScan> scan_;
};

TEST_F(HeldFiles, AreWrittenDownUntilTheyAreNot) {
  store_.write("a.json", "[]");
  look();
  ASSERT_THAT(ledger_->held(), SizeIs(1));
  EXPECT_EQ(ledger_->held()[0].path, "a.json");
  EXPECT_THAT(ledger_->held()[0].reason, HasSubstr("5 of its 5 records"));
  const std::string since = ledger_->held()[0].since;
  store_.write("a.json", "[{\"id\":5}]");
  look();
  ASSERT_THAT(ledger_->held(), SizeIs(1));
  EXPECT_THAT(ledger_->held()[0].reason, HasSubstr("4 of its 5 records"));
  EXPECT_EQ(ledger_->held()[0].since, since);
  store_.write("a.json", "[{\"id\":5},{\"id\":4},{\"id\":3},{\"id\":2}]");
  look();
  EXPECT_THAT(ledger_->held(), IsEmpty());
  EXPECT_EQ(rows(), 4u);
}

TEST_F(HeldFiles, AreLetThroughAsTheyStandThen) {
  store_.write("a.json", "[]");
  look();
  store_.write("a.json", "[{\"id\":6}]");  // the application goes on
  scan_->let_through({0, "a.json"});
  EXPECT_THAT(ledger_->held(), IsEmpty());
  EXPECT_EQ(rows(), 1u);
  EXPECT_EQ(ledger_->entries_beyond(ledger_->first().value), 6u) << "five gone, one new";
  EXPECT_THAT(look().unreadable, IsEmpty());
}

TEST_F(HeldFiles, AreNotLetThroughHalfWritten) {
  store_.write("a.json", "[");
  look();
  EXPECT_THAT(ledger_->held(), IsEmpty());
  EXPECT_THROW(scan_->let_through({0, "a.json"}), Error);
  EXPECT_EQ(rows(), 5u);
}

// Which of them would write it back?
TEST(OverlappingCollections, TakeNothingOfTheFileThatBothTake) {
  FilesFixture store({.files = "*.json", .records = "/users/*"},
                     {{.name = "t", .path = "", .columns = {"id int = /id"}}});
  auto& collections = store.text().documents()->collections;
  Collection second = collections[0];
  second.name = "second";
  second.root = store.folder();
  second.files = {parse_file_pattern("data/b*.json")};
  store.write("a.json", R"({"users":[{"id":1}],"posts":[{"id":2}]})");
  store.write("b.json", R"({"users":[{"id":3}],"posts":[{"id":4}]})");
  const auto refused = [&](MemberPath path) {
    second.records = {RecordsLayout::Form::kEach, std::move(path)};
    collections.resize(1);
    collections.push_back(second);
    std::filesystem::remove(store.ledger());
    store.install();
    const auto ledger = FilesLedger::open(store.ledger(), false);
    FileScan scan(store.text().mapping_pointer(), store.text().documents(), *ledger);
    std::vector<std::string> files;
    for (const auto& file : scan.run(Look::kContents, nullptr).unreadable) {
      EXPECT_THAT(file.why, HasSubstr("take the same records of it"));
      files.push_back(std::filesystem::path(file.path).filename());
    }
    return files;
  };
  EXPECT_THAT(refused({"posts"}), IsEmpty());
  EXPECT_THAT(refused({"users"}), testing::ElementsAre("b.json", "b.json"));
  EXPECT_THAT(refused({}), testing::ElementsAre("b.json", "b.json"));
}

}  // namespace
}  // namespace switchback
