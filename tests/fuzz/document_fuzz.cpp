// Any bytes are either a document, in which every value lies where it says, or an Error(kData).
// Held against simdjson: what it refuses is refused, what it takes is taken unless a member is
// repeated, the nesting is too deep for us, or a number too large for it. What is taken goes
// through the lens, with its laws as assertions: put(d, m, nothing) is d, byte for byte, and
// get(put(d, m, r)) has the rows r. An input of two texts with a NUL between them is a document and
// what it is to become.
#include <simdjson.h>

#include <cstdlib>
#include <map>
#include <numeric>
#include <string>

#include "state/base/error.h"
#include "state/model/copy_change.h"
#include "tests/watchers/files/lens_fixture.h"
#include "watchers/files/edited_value.h"
#include "watchers/files/json_cell.h"
#include "watchers/files/layout.h"
#include "watchers/files/row_key.h"
#include "watchers/files/style.h"

namespace switchback {
namespace {

void expect(bool holds) {
  if (!holds) std::abort();
}

/// Every value is inside its container, after the one before it.
void check_places(const Document& document, Document::Node node) {
  std::size_t at = document.begin(node);
  for (auto child = document.first(node); child; child = document.next(*child)) {
    expect(document.begin(*child) > at && document.end(*child) < document.end(node));
    at = document.end(*child) - 1;
    if (document.is_container(*child)) check_places(document, *child);
  }
}

void check_document(std::string_view text, const Document& document) {
  check_places(document, Document::kRoot);
  const std::string compact = document.compact(Document::kRoot);
  const Document again = Document::parse(compact, {.where = "compact"});
  expect(again.meaning(Document::kRoot) == document.meaning(Document::kRoot));
  const std::string printed = TextStyle::of(text, false).print(compact, "");
  const Document pretty = Document::parse(printed, {.where = "printed"});
  expect(pretty.meaning(Document::kRoot) == document.meaning(Document::kRoot));
  EditedValue edited(document, Document::kRoot);
  if (document.is_container(Document::kRoot)) edited.children();
  expect(edited.render(TextStyle(), "") == document.raw(Document::kRoot));
}

bool refused_by_simdjson(std::string_view text) {
  simdjson::dom::parser parser;
  const simdjson::padded_string padded(text);
  const auto error = parser.parse(padded).error();
  // A number beyond its range is one it cannot hold, not one that is wrong.
  return error != simdjson::SUCCESS && error != simdjson::NUMBER_ERROR &&
         error != simdjson::DEPTH_ERROR && error != simdjson::STRING_ERROR;
}

// ---- the lens

const std::vector<TableText> kTables = {
    {.name = "t",
     .path = "",
     .columns = {"id text = /id", "n numeric = /n", "b bool = /o/b | /b", "j jsonb = /j",
                 "i int = /i else =7", "d timestamptz = /d", "r real = /r gone absent",
                 "rest jsonb = $rest"}},
    {.name = "items",
     .path = "/list/*",
     .columns = {"id uuid = $uuid", "up text = ^/id", "place int = $key", "t text = /t gone absent",
                 "rest jsonb = $rest"}},
    {.name = "named",
     .path = "/map/*",
     .keys = 2,
     .columns = {"name text = $key", "up text = ^/id", "v bigint = /v"}},
    {.name = "deep",
     .path = "/list/*/in/*",
     .columns = {"id bigint = $serial", "up uuid = ^$uuid", "s text = \"\"", "place int = $key"}},
};

/// One record's rows by table and key; a misfit has its reason for a row.
struct Taken {
  Chunk rows;
  std::map<std::pair<TableId, std::string>, std::uint32_t> by_key;
  RecordMemory memory;
  bool whole = true;  // nothing misfits or has no key, and no key is there twice
};

class Subject {
 public:
  Subject() : text_({.records = ""}, kTables) {}

  Taken get(const Document& document, const RecordMemory* memory) {
    Taken out;
    RecordRows got = text_.lens().get(input(document), memory, text_.identities, out.rows);
    out.memory = std::move(got.memory);
    out.whole = got.keyless.empty();
    for (std::uint32_t i = 0; i < out.rows.changes().size(); ++i) {
      const Change& change = out.rows.changes()[i];
      if (change.op == Op::kMisfit) out.whole = false;
      const std::uint16_t width = text_.mapping().table(change.table).key_width;
      const bool fresh =
          out.by_key.emplace(std::pair(change.table, key_bytes(out.rows, change, width)), i).second;
      if (!fresh) out.whole = false;
    }
    return out;
  }

  RecordText put(const Document& document, const RecordMemory& memory, const Chunk& changes) {
    std::vector<std::uint32_t> all(changes.changes().size());
    std::iota(all.begin(), all.end(), 0u);
    return text_.lens().put(input(document), memory, changes, all,
                            TextStyle::of(document.text(), false));
  }

  /// What turns the rows of `from` into those of `to`: upserts, then deletes.
  Chunk between(const Taken& from, const Taken& to) const {
    Chunk out;
    for (const auto& [key, i] : to.by_key) {
      const std::uint16_t width = text_.mapping().table(key.first).key_width;
      copy_change(to.rows, to.rows.changes()[i], width, out);
    }
    for (const auto& [key, i] : from.by_key) {
      if (to.by_key.contains(key)) continue;
      add_cells(key.second, out);
      out.end_delete(key.first);
    }
    return out;
  }

  bool same(const Taken& a, const Taken& b) const {
    if (a.by_key.size() != b.by_key.size()) return false;
    for (const auto& [key, i] : a.by_key) {
      const auto there = b.by_key.find(key);
      if (there == b.by_key.end()) return false;
      const auto one = a.rows.row(a.rows.changes()[i]);
      const auto other = b.rows.row(b.rows.changes()[there->second]);
      const TableMap& table = text_.mapping().table(key.first);
      for (std::size_t c = 0; c < one.size(); ++c) {
        if (!same_cell(table.columns[c], one[c], a.rows, other[c], b.rows)) return false;
      }
    }
    return true;
  }

 private:
  RecordInput input(const Document& document) const {
    RecordInput in;
    in.file = &file_;
    in.document = &document;
    return in;
  }
  LensText text_;
  const FileFacts file_;
};

void check_lens(std::string_view text, std::string_view wanted) {
  Subject subject;
  const Document before = Document::parse(text, {.where = "before"});
  const Taken first = subject.get(before, nullptr);
  // The first law; what is remembered is remembered.
  const RecordText same = subject.put(before, first.memory, Chunk());
  expect(!same.gone && same.refused.empty() && same.bytes == before.raw(Document::kRoot));
  expect(same.memory.serialize() == first.memory.serialize());
  const Taken again = subject.get(before, &first.memory);
  expect(again.memory.serialize() == first.memory.serialize());
  expect(first.by_key.size() == again.by_key.size());
  if (!first.whole) return;
  expect(subject.same(first, again));
  // The second law: whole rows of another document, or of none.
  const Document after = Document::parse(wanted, {.where = "after"});
  const Taken target = subject.get(after, &first.memory);
  if (!target.whole) return;
  const Chunk changes = subject.between(first, target);
  const RecordText put = subject.put(before, first.memory, changes);
  if (put.gone) return;
  const Document made = Document::parse(put.bytes, {.where = "made"});
  const Taken found = subject.get(made, &put.memory);
  expect(found.memory.serialize() == put.memory.serialize());
  if (put.refused.empty()) expect(found.whole && subject.same(found, target));
  // Refused ones leave nothing behind that another put would stumble over.
  const RecordText still = subject.put(made, put.memory, Chunk());
  expect(still.bytes == put.bytes);
}

void check_layouts(std::string_view text) {
  for (const auto form : {RecordsLayout::Form::kEach, RecordsLayout::Form::kLines}) {
    RecordsLayout layout;
    layout.form = form;
    try {
      const FileRecords records = divide(text, layout, "fuzz");
      for (std::size_t i = 0; i < records.records.size(); ++i) {
        expect(records.records[i].begin < records.records[i].end);
        expect(records.records[i].end <= text.size());
        parse_record(text, records, i, layout, "fuzz");
      }
      expect(edit_records(text, records, layout, {}, TextStyle::of(text, false)) == text);
    } catch (const Error& error) {
      expect(error.kind() == ErrorKind::kData);
    }
  }
}

}  // namespace
}  // namespace switchback

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace switchback;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const std::string_view text = all.substr(0, all.find('\0'));
  const std::string_view wanted = text.size() < size ? all.substr(text.size() + 1) : "{}";
  try {
    const Document document = Document::parse(text, {.where = "fuzz"});
    expect(!refused_by_simdjson(text));
    check_document(text, document);
    // A record's text ends with its value: what stands around it is its file's.
    check_lens(document.raw(Document::kRoot), wanted);
  } catch (const Error& error) {
    expect(error.kind() == ErrorKind::kData);
  }
  check_layouts(text);
  if (text.size() < size) check_layouts(all);
  return 0;
}
