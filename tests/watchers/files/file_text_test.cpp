// Whole files after a change to one record: byte for byte what the application would have written.
#include "watchers/files/file_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "state/base/error.h"
#include "tests/watchers/files/lens_fixture.h"
#include "watchers/files/edited_value.h"
#include "watchers/files/mapping_text.h"

namespace switchback {
namespace {

LensText users(bool ascii = false) {
  return LensText({.ascii = ascii}, {{.name = "users",
                                      .path = "",
                                      .columns = {"id int = /id", "name text = /name",
                                                  "tags jsonb = /tags", "score real = /score"}}});
}

/// What a file is after record `index` got these cells.
std::string changed(LensText& lens, const std::string& file, std::size_t index,
                    const std::vector<std::string>& cells) {
  const FileRecords records = divide(file, {}, "f");
  const Document document = parse_record(file, records, index, {}, "f");
  const FileFacts facts;
  RecordInput input;
  input.file = &facts;
  input.document = &document;
  lens.upsert("users", cells);
  const std::uint32_t first = 0;
  const TextStyle style = TextStyle::of(file, lens.lens().collection().ascii);
  const RecordText put = lens.lens().put(input, {}, lens.changes, {&first, 1}, style);
  EXPECT_TRUE(put.refused.empty());
  lens.changes.clear();
  return edit_records(file, records, {}, {{RecordEdit::Sort::kReplace, index, put.bytes, {}}},
                      style);
}

/// `before` with the one occurrence of `what` replaced.
std::string with(std::string before, const std::string& what, const std::string& instead) {
  const std::size_t at = before.find(what);
  EXPECT_NE(at, before.npos);
  EXPECT_EQ(before.find(what, at + 1), before.npos);
  return before.replace(at, what.size(), instead);
}

// As JSON.stringify(x, null, 2) writes it: raw UTF-8, no final line end.
const std::string kStringify = R"([
  {
    "id": 1,
    "name": "Zoë",
    "tags": [
      "a",
      {
        "b": 1
      }
    ],
    "score": 1
  },
  {
    "id": 2,
    "name": "Ann",
    "tags": [],
    "score": 0.5
  }
])";
// As Python's json.dump(x, indent=2) does, which escapes what is not ASCII and writes 1.0.
const std::string kPython = R"([
  {
    "id": 1,
    "name": "Zo\u00eb",
    "tags": [
      "a",
      {
        "b": 1
      }
    ],
    "score": 1.0
  },
  {
    "id": 2,
    "name": "Ann",
    "tags": [],
    "score": 0.5
  }
]
)";

std::string crlf(std::string text) {
  for (std::size_t at = text.find('\n'); at != text.npos; at = text.find('\n', at + 2))
    text.replace(at, 1, "\r\n");
  return text;
}
std::string tabbed(std::string text) {
  for (std::size_t at = text.find("  "); at != text.npos; at = text.find("  ", at))
    text.replace(at, 2, "\t");
  return text;
}

TEST(FileText, AsJavaScriptWritesIt) {
  LensText lens = users();
  EXPECT_EQ(changed(lens, kStringify, 0, {"1", "Zo\u00eb \u4e2d", "[\"a\", {\"b\": 1}]", "1"}),
            with(kStringify, "Zo\u00eb", "Zo\u00eb \u4e2d"));
  EXPECT_EQ(
      changed(lens, kStringify, 0, {"1", "Zo\u00eb", "[\"a\", {\"b\": 1, \"c\": [true]}]", "1"}),
      with(kStringify, "\"b\": 1\n", "\"b\": 1,\n        \"c\": [\n          true\n        ]\n"));
  EXPECT_EQ(changed(lens, kStringify, 1, {"2", "Ann", "[1]", "0.5"}),
            with(kStringify, "[],", "[\n      1\n    ],"));
}

TEST(FileText, AsPythonWritesIt) {
  LensText lens = users();
  EXPECT_EQ(changed(lens, kPython, 0, {"1", "\u4e2d\U0001F600", "[\"a\", {\"b\": 1}]", "1"}),
            with(kPython, "Zo\\u00eb", "\\u4e2d\\ud83d\\ude00"));
  EXPECT_EQ(changed(lens, kPython, 0, {"1", "Zo\u00eb", "[\"a\", {\"b\": 1}]", "3"}),
            with(kPython, "1.0", "3.0"));
  // Nothing in this record shows how it escapes; the file does.
  EXPECT_EQ(changed(lens, kPython, 1, {"2", "\u00e9", "[]", "0.5"}),
            with(kPython, "Ann", "\\u00e9"));
}

TEST(FileText, TabsAndOtherLineEnds) {
  LensText lens = users();
  for (const std::string& file : {crlf(kStringify), tabbed(kStringify), crlf(tabbed(kPython))}) {
    EXPECT_EQ(changed(lens, file, 1, {"2", "Bob", "[]", "0.5"}), with(file, "Ann", "Bob"));
    const std::string unit = file.find('\t') == file.npos ? "  " : "\t";
    const std::string end = file.find('\r') == file.npos ? "\n" : "\r\n";
    EXPECT_EQ(changed(lens, file, 1, {"2", "Ann", "[1]", "0.5"}),
              with(file, "[],", "[" + end + unit + unit + unit + "1" + end + unit + unit + "],"));
  }
}

TEST(FileText, Minified) {
  LensText lens = users();
  const std::string file = R"([{"id":1,"name":"a","tags":{"x":[1,2]}},{"id":2,"name":"b"}])";
  EXPECT_EQ(changed(lens, file, 0, {"1", "a", R"({"x": [1, 2, 3], "y": null})", "NULL"}),
            with(file, "[1,2]}", "[1,2,3],\"y\":null}"));
  EXPECT_EQ(changed(lens, file, 1, {"2", "b", "NULL", "2"}),
            with(file, "\"b\"}", "\"b\",\"score\":2}"));
  const std::string python = R"([{"id": 1, "name": "a"}, {"id": 2, "name": "b"}])";
  EXPECT_EQ(changed(lens, python, 0, {"1", "a", "{\"x\": 1}", "NULL"}),
            with(python, "\"a\"}", "\"a\", \"tags\": {\"x\": 1}}"));
}

TEST(FileText, OddBlanksStayWhereNothingChanged) {
  LensText lens = users();
  const std::string file =
      "[ {\"id\":1 ,  \"name\" :\"a\",\n\"tags\":[ 1,   2 ,3, { } ], \"score\":1 }\n,{\"id\":2}]";
  EXPECT_EQ(changed(lens, file, 0, {"1", "b", "[1, 2, 3, {}, 4]", "1"}),
            with(with(file, "\"a\"", "\"b\""), "{ } ]", "{ },   4 ]"));
  EXPECT_EQ(changed(lens, file, 0, {"1", "a", "[1, 3, {}]", "1"}),
            with(file, "1,   2 ,3", "1,   3"));
}

TEST(EditedValue, AnEmptyContainerKeepsItsBlanks) {
  for (const std::string_view text : {"[\n]", "{ }", "[{\"a\": [ ]}]"}) {
    const Document document = Document::parse(text, {.where = "x"});
    EditedValue value(document, Document::kRoot);
    for (auto& child : value.children()) child.value->child("a")->children();
    EXPECT_EQ(value.render(TextStyle(), ""), text);
  }
}

TEST(FileText, RecordsComeAndGo) {
  const TextStyle style = TextStyle::of(kStringify, false);
  const FileRecords records = divide(kStringify, {}, "f");
  const std::string born = style.print(R"({"id": 3})", "");
  EXPECT_EQ(
      edit_records(kStringify, records, {}, {{RecordEdit::Sort::kInsert, 2, born, {}}}, style),
      with(kStringify, "0.5\n  }", "0.5\n  },\n  {\n    \"id\": 3\n  }"));
  const std::string front =
      edit_records(kStringify, records, {}, {{RecordEdit::Sort::kInsert, 0, born, {}}}, style);
  EXPECT_EQ(front, with(kStringify, "[\n  {\n    \"id\": 1",
                        "[\n  {\n    \"id\": 3\n  },\n  {\n    \"id\": 1"));
  // What comes and goes again leaves no trace.
  const FileRecords more = divide(front, {}, "f");
  EXPECT_EQ(edit_records(front, more, {}, {{RecordEdit::Sort::kRemove, 0, {}, {}}}, style),
            kStringify);
  EXPECT_EQ(
      edit_records(kStringify, records, {},
                   {{RecordEdit::Sort::kRemove, 0, {}, {}}, {RecordEdit::Sort::kRemove, 1, {}, {}}},
                   style),
      "[]");
  EXPECT_EQ(edit_records("[]\n", divide("[]\n", {}, "f"), {},
                         {{RecordEdit::Sort::kInsert, 0, born, {}}}, style),
            "[\n  {\n    \"id\": 3\n  }\n]\n");
}

TEST(FileText, MapsAndNestedCollections) {
  const std::string file =
      "{\n  \"v\": 1,\n  \"users\": {\n    \"a\": {\"n\": 1},\n    \"b\": {\"n\": 2}\n  }\n}\n";
  const RecordsLayout layout = parse_records("/users/*");
  const FileRecords records = divide(file, layout, "f");
  const TextStyle style = TextStyle::of(file, false);
  EXPECT_EQ(edit_records(file, records, layout,
                         {{RecordEdit::Sort::kReplace, 0, "{\"n\": 1}", "c"}}, style),
            with(file, "\"a\"", "\"c\""));
  EXPECT_EQ(edit_records(file, records, layout,
                         {{RecordEdit::Sort::kInsert, 2, "{\"n\": 3}", "\u00e9\""}}, style),
            with(file, "{\"n\": 2}", "{\"n\": 2},\n    \"\u00e9\\\"\": {\"n\": 3}"));
  const RecordsLayout posts = parse_records("/posts/*");
  EXPECT_EQ(edit_records(file, divide(file, posts, "f"), posts,
                         {{RecordEdit::Sort::kInsert, 0, "1", {}}}, style),
            with(file, "2}\n  }", "2}\n  },\n  \"posts\": [\n    1\n  ]"));
  EXPECT_EQ(edit_records("", {}, posts, {{RecordEdit::Sort::kInsert, 0, "{}", "k"}}, TextStyle()),
            R"({"posts":{"k":{}}})");
}

TEST(FileText, Lines) {
  const RecordsLayout layout = parse_records("lines");
  const std::string file = "{\"a\":1}\r\n\r\n{\"a\":2}\r\n{\"a\":3}\r\n";
  const FileRecords records = divide(file, layout, "f");
  const TextStyle style = TextStyle::of(file, false);
  const auto edited = [&](const std::vector<RecordEdit>& edits) {
    return edit_records(file, records, layout, edits, style);
  };
  EXPECT_EQ(edited({{RecordEdit::Sort::kReplace, 1, "{\n\"a\": 9}", {}}}),
            with(file, "{\"a\":2}", "{\"a\":9}"));
  EXPECT_EQ(edited({{RecordEdit::Sort::kRemove, 1, {}, {}}}), with(file, "{\"a\":2}\r\n", ""));
  EXPECT_EQ(
      edited({{RecordEdit::Sort::kInsert, 3, "4", {}}, {RecordEdit::Sort::kInsert, 0, "0", {}}}),
      "0\r\n" + file + "4\r\n");
  EXPECT_EQ(edit_records("1", divide("1", layout, "f"), layout,
                         {{RecordEdit::Sort::kInsert, 1, "2", {}}}, TextStyle()),
            "1\n2");
}

TEST(TextStyle, IsReadFromTheText) {
  const TextStyle one = TextStyle::of("{\n\t\"a\": [\"\\u00E9\", \"\\/\"]\n}\n", false);
  EXPECT_TRUE(one.lines && one.ascii && one.slash && one.upper_hex && one.final_line_end);
  EXPECT_EQ(one.unit, "\t");
  EXPECT_EQ(one.print("{\"x\":[\"\u00e9/\"]}", ""), "{\n\t\"x\": [\n\t\t\"\\u00E9\\/\"\n\t]\n}");
  EXPECT_FALSE(TextStyle::of("[1, 2]", false).lines);
  EXPECT_EQ(TextStyle::of("[1, 2]", false).comma, ", ");
  EXPECT_EQ(TextStyle().quote("\x01\"\xed\xa0\x80"), "\"\\u0001\\\"\\ud800\"");
}

}  // namespace
}  // namespace switchback
