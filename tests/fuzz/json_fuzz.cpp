// Any two texts have the same meaning or not, in both directions alike; each means itself. Numbers
// are respelled without changing them.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "state/base/decimal.h"
#include "state/base/json_meaning.h"

namespace switchback {
namespace {

void decimal(std::string_view text) {
  const auto value = parse_decimal(text);
  // Written out, 1e999999999 is a gigabyte of zeros.
  if (!value || value->exponent > 5000 || value->exponent < -5000) return;
  if (parse_decimal(to_plain(*value)) != value) std::abort();
}

}  // namespace
}  // namespace switchback

// The two texts stand on either side of the first byte 0xff, which no UTF-8 has.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace switchback;
  const std::string_view whole(reinterpret_cast<const char*>(data), size);
  const auto cut = whole.find('\xff');
  const std::string_view a = whole.substr(0, cut);
  const std::string_view b = cut == whole.npos ? a : whole.substr(cut + 1);
  if (!json_same(a, a)) std::abort();
  if (json_same(a, b) != json_same(b, a)) std::abort();
  // What jsonb takes, json takes.
  if (!json_refusal(a, JsonFlavour::kJsonb) && json_refusal(a, JsonFlavour::kJson)) std::abort();
  decimal(a);
  return 0;
}
