// Any bytes are either one message, all of whose views lie inside the input, or an Error(kData).
#include <cstdlib>
#include <functional>

#include "replication/pgoutput.h"
#include "state/base/error.h"

namespace switchback::pgoutput {
namespace {

void expect_inside(std::string_view whole, std::string_view part) {
  if (part.empty()) return;
  const std::less_equal<const char*> not_after;
  if (!not_after(whole.data(), part.data()) ||
      !not_after(part.data() + part.size(), whole.data() + whole.size())) {
    std::abort();
  }
}

void expect_inside(std::string_view whole, Tuple tuple) {
  for (const Value& value : tuple) expect_inside(whole, value.bytes);
}

struct Check {
  std::string_view whole;
  void operator()(const Begin&) const {}
  void operator()(const Commit&) const {}
  void operator()(const Truncate&) const {}
  void operator()(const Origin& origin) const { expect_inside(whole, origin.name); }
  void operator()(const Type& type) const {
    expect_inside(whole, type.schema);
    expect_inside(whole, type.name);
  }
  void operator()(const Relation& relation) const {
    expect_inside(whole, relation.schema);
    expect_inside(whole, relation.name);
    for (const auto& column : relation.columns) expect_inside(whole, column.name);
  }
  void operator()(const Insert& insert) const { expect_inside(whole, insert.row); }
  void operator()(const Update& update) const {
    expect_inside(whole, update.old_row);
    expect_inside(whole, update.row);
  }
  void operator()(const Delete& gone) const { expect_inside(whole, gone.old_row); }
  void operator()(const Message& message) const {
    expect_inside(whole, message.prefix);
    expect_inside(whole, message.content);
  }
};

}  // namespace
}  // namespace switchback::pgoutput

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace switchback;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::vector<pgoutput::Value> values;
  try {
    std::visit(pgoutput::Check{bytes}, pgoutput::decode(bytes, values));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kData) std::abort();
  }
  return 0;
}
