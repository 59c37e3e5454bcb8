// The two laws of the lens over generated mappings, documents, spellings and changes:
//   put(d, m, nothing) is d, byte for byte; get(put(d, m, r)) is r.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "tests/watchers/files/lens_fixture.h"
#include "watchers/files/path_pattern.h"

namespace switchback {
namespace {

using Row = LensText::Row;

enum class Holder { kObject, kArray, kMap };
enum class KeyOf { kMember, kUuid, kSerial, kName, kPlace };

struct GeneratedColumn {
  std::string name, type, member;  // member: a pointer
};

struct GeneratedLevel {
  std::string name, path;
  int depth = 0;
  int parent = -1;
  Holder holder = Holder::kArray;
  KeyOf key = KeyOf::kMember;
  bool place = false, rest = false;
  std::vector<GeneratedColumn> columns;
};

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}

  int below(int limit) { return static_cast<int>(random_() % static_cast<unsigned>(limit)); }
  bool chance(int percent) { return below(100) < percent; }
  template <class Item>
  const Item& any(const std::vector<Item>& items) {
    return items[static_cast<std::size_t>(below(static_cast<int>(items.size())))];
  }

  std::vector<GeneratedLevel> mapping() {
    std::vector<GeneratedLevel> out;
    out.push_back(level("t0", "", -1, 0, Holder::kObject));
    out[0].key = KeyOf::kMember;
    const int count = below(4);
    for (int i = 1; i <= count; ++i) {
      const int parent = below(i);
      const auto& outer = out[static_cast<std::size_t>(parent)];
      if (outer.depth == 2) continue;
      const Holder holder = std::vector{Holder::kObject, Holder::kArray,
                                        Holder::kMap}[static_cast<std::size_t>(below(3))];
      const std::string name = fmt::format("t{}", out.size());
      const std::string path = outer.path + "/in" + name + (holder == Holder::kObject ? "" : "/*");
      out.push_back(level(name, path, parent, outer.depth + 1, holder));
    }
    return out;
  }

  LensText lens(const std::vector<GeneratedLevel>& levels) {
    std::vector<TableText> tables;
    for (const auto& level : levels) {
      TableText table{.name = level.name, .path = level.path, .columns = {}};
      table.columns.push_back(key_column(level));
      if (level.parent >= 0)
        table.columns.push_back("up text = " +
                                key_source(levels[static_cast<std::size_t>(level.parent)], "^"));
      if (level.place) table.columns.push_back("place int = $key");
      for (const auto& column : level.columns) {
        table.columns.push_back(fmt::format("{} {} = {}", column.name, column.type, column.member));
      }
      if (level.rest) table.columns.push_back("rest jsonb = $rest");
      tables.push_back(std::move(table));
    }
    return LensText({.records = ""}, tables);
  }

  std::string document(const std::vector<GeneratedLevel>& levels) {
    next_ = 0;
    return element(levels, 0);
  }

  std::string value(const std::string& type) {
    if (type == "int") return std::to_string(below(2000) - 1000);
    if (type == "bool") return chance(50) ? "true" : "false";
    if (type == "numeric") {
      std::string digits = std::to_string(below(9) + 1);
      for (int i = below(30); i > 0; --i) digits += static_cast<char>('0' + below(10));
      return chance(50) ? digits : digits + "." + std::to_string(below(1000) * 10 + below(9) + 1);
    }
    if (type == "jsonb") {
      // A document has one null; it is SQL's.
      const std::string out = json(2);
      return out == "null" ? "{}" : out;
    }
    return text();
  }

  std::string text() {
    static const std::vector<std::string> kPieces = {
        "a", "B c", "\u00e9", "\U0001F600", "\"", "\\", "\n", "/", "\t", "0", "{", "]", "\u2028"};
    std::string out;
    for (int i = below(6); i > 0; --i) out += any(kPieces);
    return out;
  }

  std::string json(int depth) {
    switch (below(depth > 0 ? 7 : 5)) {
      case 0:
        return "null";
      case 1:
        return "true";
      case 2:
        return std::to_string(below(1000));
      case 3:
      case 4:
        return quoted(text());
      case 5: {
        std::string out = "[";
        for (int i = below(4); i > 0; --i) out += (out.size() > 1 ? "," : "") + json(depth - 1);
        return out + "]";
      }
      default: {
        std::string out = "{";
        for (int i = below(4); i > 0; --i)
          out += fmt::format("{}\"k{}\":{}", out.size() > 1 ? "," : "", i, json(depth - 1));
        return out + "}";
      }
    }
  }

  /// The text in one of the spellings that applications write.
  std::string spelled(const std::string& json_text, TextStyle& style) {
    style = TextStyle();
    style.ascii = chance(50);
    style.slash = chance(20);
    switch (below(5)) {
      case 0:
        style.colon = ":";
        break;
      case 1:
        style.comma = ", ";
        style.colon = ": ";
        break;
      default:
        style.lines = true;
        style.colon = ": ";
        style.unit = any(std::vector<std::string>{"  ", "    ", "\t"});
        style.line_end = chance(25) ? "\r\n" : "\n";
        break;
    }
    return style.print(json_text, {});
  }

  std::string fresh() { return fmt::format("n{}", ++next_); }
  static std::string quoted(const std::string& text) { return TextStyle().quote(text); }

 private:
  GeneratedLevel level(const std::string& name, const std::string& path, int parent, int depth,
                       Holder holder) {
    GeneratedLevel out{.name = name,
                       .path = path,
                       .depth = depth,
                       .parent = parent,
                       .holder = holder,
                       .columns = {}};
    const std::vector<KeyOf> keys = holder == Holder::kMap
                                        ? std::vector{KeyOf::kName}
                                        : std::vector{KeyOf::kMember, KeyOf::kUuid, KeyOf::kSerial};
    out.key = any(keys);
    out.place = holder == Holder::kArray && chance(60);
    out.rest = chance(40);
    static const std::vector<std::string> kTypeNames = {"int", "text", "bool", "numeric", "jsonb"};
    for (int i = below(4); i >= 0; --i) {
      out.columns.push_back({fmt::format("c{}", i), any(kTypeNames),
                             chance(25) ? fmt::format("/o/c{}", i) : fmt::format("/c{}", i)});
    }
    return out;
  }

  static std::string key_source(const GeneratedLevel& level, const std::string& up) {
    switch (level.key) {
      case KeyOf::kMember:
        return up + "/id";
      case KeyOf::kUuid:
        return up + "$uuid";
      case KeyOf::kSerial:
        return up + "$serial";
      case KeyOf::kName:
      case KeyOf::kPlace:
        return up + "$key";
    }
    return {};
  }
  static std::string key_column(const GeneratedLevel& level) {
    const std::string type = level.key == KeyOf::kUuid     ? "uuid"
                             : level.key == KeyOf::kSerial ? "bigint"
                                                           : "text";
    return fmt::format("key {} = {}", type, key_source(level, ""));
  }

  std::string element(const std::vector<GeneratedLevel>& levels, std::size_t at) {
    const GeneratedLevel& level = levels[at];
    std::vector<std::string> members, inner;
    if (level.key == KeyOf::kMember) members.push_back("\"id\":" + quoted(fresh()));
    for (const auto& column : level.columns) {
      if (chance(20)) continue;
      std::string text = chance(15) ? "null"
                         : column.type == "text" && !chance(15)
                             ? quoted(value("text"))
                             : value(column.type == "text" ? "int" : column.type);
      if (column.type == "numeric" && text != "null" && chance(20)) text = quoted(text);
      const std::string name = column.member.substr(column.member.rfind('/') + 1);
      (column.member.starts_with("/o/") ? inner : members).push_back(quoted(name) + ":" + text);
    }
    if (chance(40)) members.push_back("\"unknown\":" + json(2));
    if (chance(30)) inner.push_back("\"odd\":" + json(1));
    if (!inner.empty()) members.push_back("\"o\":" + joined(inner, "{", "}"));
    for (std::size_t child = 0; child < levels.size(); ++child) {
      if (levels[child].parent != static_cast<int>(at) || chance(15)) continue;
      members.push_back("\"in" + levels[child].name + "\":" + held(levels, child));
    }
    std::shuffle(members.begin(), members.end(), random_);
    return joined(members, "{", "}");
  }

  std::string held(const std::vector<GeneratedLevel>& levels, std::size_t at) {
    if (chance(10)) return "null";
    if (levels[at].holder == Holder::kObject) return element(levels, at);
    const bool map = levels[at].holder == Holder::kMap;
    std::vector<std::string> items;
    for (int i = below(4); i > 0; --i) {
      items.push_back((map ? quoted(fresh()) + ":" : std::string()) + element(levels, at));
    }
    return joined(items, map ? "{" : "[", map ? "}" : "]");
  }

  static std::string joined(const std::vector<std::string>& parts, const char* open,
                            const char* close) {
    return open + fmt::format("{}", fmt::join(parts, ",")) + close;
  }

  std::mt19937 random_;
  int next_ = 0;
};

using Rows = std::map<std::pair<std::string, std::string>, std::vector<std::string>>;

Rows by_key(const std::vector<Row>& rows) {
  Rows out;
  for (const Row& row : rows) out[{row.table, row.cells[0]}] = row.cells;
  return out;
}

/// JSON cells by meaning, so that rows can be compared as texts.
Rows normal(Rows rows, const LensText& lens) {
  for (auto& [key, cells] : rows) {
    const TableMap& map = lens.mapping().table(lens.table(key.first));
    for (std::size_t c = 0; c < cells.size(); ++c) {
      if (map.columns[c].type != PgType::kJsonb || cells[c] == "NULL") continue;
      const Hash128 meaning = Document::parse(cells[c], {.where = "cell"}).meaning(Document::kRoot);
      cells[c] = fmt::format("{:x}{:x}", meaning.high, meaning.low);
    }
  }
  return rows;
}

std::size_t first_own(const GeneratedLevel& level) {
  return 1u + (level.parent >= 0 ? 1u : 0u) + (level.place ? 1u : 0u);
}

class Laws : public testing::TestWithParam<unsigned> {};

TEST_P(Laws, Hold) {
  Generator random(GetParam());
  for (int round = 0; round < 40; ++round) {
    const auto levels = random.mapping();
    LensText lens = random.lens(levels);
    TextStyle style;
    std::string text = random.spelled(random.document(levels), style);
    Rows expected = by_key(lens.cells(text));
    EXPECT_EQ(lens.put(text).bytes, text);
    for (int step = 0; step < 6 && !HasFailure(); ++step) {
      // One change of one row.
      std::string what;
      const auto pick =
          std::next(expected.begin(), random.below(static_cast<int>(expected.size())));
      const auto [table, key] = pick->first;
      std::vector<std::string> cells = pick->second;
      const auto& level = levels[static_cast<std::size_t>(std::stoi(table.substr(1)))];
      const int kind = random.below(10);
      if (kind < 6) {
        const auto c =
            static_cast<std::size_t>(random.below(static_cast<int>(level.columns.size())));
        const std::string fresh = random.chance(20) ? "NULL" : random.value(level.columns[c].type);
        cells[first_own(level) + c] = fresh;
        lens.upsert(table, cells);
        expected[{table, key}] = cells;
        what = fmt::format("{} {}: {} = {}", table, key, level.columns[c].name, fresh);
      } else if (kind < 8 && level.depth > 0 && level.holder != Holder::kObject) {
        cells[0] = level.key == KeyOf::kUuid
                       ? fmt::format("11111111-0000-4000-8000-{:012}", round * 100 + step)
                   : level.key == KeyOf::kSerial ? std::to_string(1'000'000 + round * 100 + step)
                                                 : random.fresh();
        if (level.place) cells[2] = std::to_string(100 + step);
        lens.upsert(table, cells);
        expected[{table, cells[0]}] = cells;
        what = fmt::format("{} {}: born", table, cells[0]);
      } else if (level.depth > 0) {
        lens.remove(table, {key});
        expected.erase({table, key});
        // What it enclosed goes with it.
        for (bool more = true; more;) {
          more = false;
          for (auto row = expected.begin(); row != expected.end(); ++row) {
            const auto& inner =
                levels[static_cast<std::size_t>(std::stoi(row->first.first.substr(1)))];
            if (inner.parent < 0) continue;
            const auto& outer = levels[static_cast<std::size_t>(inner.parent)].name;
            if (expected.contains({outer, row->second[1]})) continue;
            expected.erase(row);
            more = true;
            break;
          }
        }
        what = fmt::format("{} {}: deleted", table, key);
      } else {
        continue;
      }
      const std::string before = text;
      const RecordText put = lens.put(text);
      for (const auto& refused : put.refused)
        ADD_FAILURE() << what << ": " << refused.reason << "\n" << before;
      text = put.bytes;
      EXPECT_EQ(normal(by_key(lens.cells(text)), lens), normal(expected, lens))
          << what << "\nbefore: " << before << "\nafter:  " << text;
      EXPECT_EQ(lens.put(text).bytes, text);
      expected = by_key(lens.cells(text));
    }
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Laws, testing::Range(1u, 26u));

/// Bytes of `before` that `after` does not share at its two ends.
std::size_t lost_bytes(const std::string& before, const std::string& after) {
  const auto front = static_cast<std::size_t>(
      std::mismatch(before.begin(), before.end(), after.begin(), after.end()).first -
      before.begin());
  std::size_t back = 0;
  while (back + front < std::min(before.size(), after.size()) &&
         before[before.size() - 1 - back] == after[after.size() - 1 - back]) {
    ++back;
  }
  return before.size() - front - back;
}

TEST(LawsOfBytes, AChangedMemberChangesItsOwnBytesOnly) {
  for (unsigned seed = 1; seed <= 60; ++seed) {
    Generator random(seed);
    const auto levels = random.mapping();
    LensText lens = random.lens(levels);
    TextStyle style;
    const std::string text = random.spelled(random.document(levels), style);
    auto cells = by_key(lens.cells(text)).begin()->second;
    const auto c =
        static_cast<std::size_t>(random.below(static_cast<int>(levels[0].columns.size())));
    const auto& column = levels[0].columns[c];
    cells[first_own(levels[0]) + c] = random.value(column.type);
    lens.upsert("t0", cells);
    const RecordText put = lens.put(text);
    ASSERT_TRUE(put.refused.empty()) << put.refused[0].reason;
    const Document document = Document::parse(text, {.where = "x"});
    const auto old = document.find(Document::kRoot, *parse_pointer(column.member));
    EXPECT_LE(lost_bytes(text, put.bytes), old ? document.raw(*old).size() : 0u) << text << "\n"
                                                                                 << put.bytes;
  }
}

}  // namespace
}  // namespace switchback
