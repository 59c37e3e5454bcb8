// Any bytes are either a document, in which every value lies where it says, or an Error(kData).
// Held against simdjson: what it refuses is refused, what it takes is taken unless a member is
// repeated, the nesting is too deep for us, or a number too large for it. What is taken goes
// through the lens.
#include <simdjson.h>

#include <cstdlib>
#include <string>

#include "state/base/error.h"
#include "watchers/files/edited_value.h"
#include "watchers/files/layout.h"
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

}  // namespace
}  // namespace switchback

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace switchback;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    const Document document = Document::parse(text, {.where = "fuzz"});
    expect(!refused_by_simdjson(text));
    check_document(text, document);
  } catch (const Error& error) {
    expect(error.kind() == ErrorKind::kData);
  }
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
    } catch (const Error& error) {
      expect(error.kind() == ErrorKind::kData);
    }
  }
  return 0;
}
