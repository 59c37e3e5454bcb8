// A change to one record changes that record's bytes and no others, whoever wrote the file: the
// file afterwards is, byte for byte, what the application would have written.
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "tests/watchers/files/files_fixture.h"

namespace switchback {
namespace {

/// How one writer spells a file of three records.
struct Writer {
  std::string name;
  std::function<std::string(const std::string& middle, const std::string& number)> write;
  bool ascii = false;
};

std::string with_line_ends(std::string text, const std::string& line_end) {
  std::string out;
  for (const char c : text) out += c == '\n' ? line_end : std::string(1, c);
  return out;
}

std::string indented(const std::string& unit, const std::string& middle, const std::string& n,
                     const std::string& first) {
  const auto record = [&](const std::string& id, const std::string& name, const std::string& x) {
    return unit + "{\n" + unit + unit + "\"id\": " + id + ",\n" + unit + unit + "\"name\": \"" +
           name + "\",\n" + unit + unit + "\"n\": " + x + ",\n" + unit + unit + "\"tags\": [\n" +
           unit + unit + unit + "\"a\",\n" + unit + unit + unit + "1.50\n" + unit + unit + "]\n" +
           unit + "}";
  };
  return "[\n" + record("1", first, "1e2") + ",\n" + record("2", middle, n) + ",\n" +
         record("3", "z", "3") + "\n]";
}

std::string minified(const std::string& middle, const std::string& n) {
  return "[{\"id\":1,\"name\":\"caf\xC3\xA9\",\"n\":1e2},{\"id\":2,\"name\":\"" + middle +
         "\",\"n\":" + n + ",\"tags\":[1.0]},{\"id\":3,\"name\":\"z\",\"n\":3}]";
}

const char* const kCafe = "caf\xC3\xA9";

std::vector<Writer> writers() {
  return {
      {"stringify", [](const auto& m, const auto& n) { return indented("  ", m, n, kCafe); }},
      {"python", [](const auto& m, const auto& n) { return indented("  ", m, n, kCafe) + "\n"; }},
      {"python_ascii",
       [](const auto& m, const auto& n) { return indented("  ", m, n, "caf\\u00e9"); }, true},
      {"minified", minified},
      {"tabs", [](const auto& m, const auto& n) { return indented("\t", m, n, kCafe); }},
      {"crlf",
       [](const auto& m, const auto& n) {
         return with_line_ends(indented("    ", m, n, kCafe) + "\n", "\r\n");
       }},
  };
}

class SinkBytes : public testing::TestWithParam<Writer> {};

TEST_P(SinkBytes, OnlyTheChangedRecordsBytesChange) {
  FilesFixture store({.files = "users.json"},
                     {{.name = "users",
                       .path = "",
                       .columns = {"id int = /id", "name text = /name", "n numeric = /n"}}});
  const Writer& writer = GetParam();
  store.write("users.json", writer.write("b", "2"));
  store.install();
  const auto sink = store.sink();
  sink->applied();
  store.text().upsert("users", {"2", "caf\xC3\xA9 \"x\"", "12345678901234567890.125"});
  EXPECT_TRUE(store.apply(*sink, {1, 1, 1}).empty());
  const std::string spelled = writer.ascii ? "caf\\u00e9 \\\"x\\\"" : "caf\xC3\xA9 \\\"x\\\"";
  EXPECT_EQ(store.read("users.json"), writer.write(spelled, "12345678901234567890.125"));
  // And back: the very bytes of the beginning.
  store.text().upsert("users", {"2", "b", "2"});
  EXPECT_TRUE(store.apply(*sink, {1, 2, 1}).empty());
  EXPECT_EQ(store.read("users.json"), writer.write("b", "2"));
}

TEST_P(SinkBytes, ARecordThatComesAndGoesLeavesTheFileAsItWas) {
  FilesFixture store({.files = "users.json"},
                     {{.name = "users",
                       .path = "",
                       .columns = {"id int = /id", "name text = /name", "n numeric = /n"}}});
  const std::string before = GetParam().write("b", "2");
  store.write("users.json", before);
  store.install();
  const auto sink = store.sink();
  sink->applied();
  store.text().upsert("users", {"4", "new", "7"});
  EXPECT_TRUE(store.apply(*sink, {1, 1, 1}).empty());
  EXPECT_EQ(store.rows_read().size(), 4u);
  const std::string during = store.read("users.json");
  const std::string tail = before.substr(before.rfind('}') + 1);
  const std::size_t kept = before.size() - tail.size();
  EXPECT_EQ(during.substr(0, kept), before.substr(0, kept));
  EXPECT_TRUE(during.ends_with(tail)) << during;
  store.text().remove("users", {"4"});
  EXPECT_TRUE(store.apply(*sink, {1, 2, 1}).empty());
  EXPECT_EQ(store.read("users.json"), before);
}

INSTANTIATE_TEST_SUITE_P(Writers, SinkBytes, testing::ValuesIn(writers()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace switchback
