// Any text is a date in a spelling or not; what was read is written back, where the spelling can,
// as text that reads as the same moment.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "watchers/sqlite/spelling.h"

namespace switchback {
namespace {

void timestamp(Spelling spelling, std::string_view text) {
  const auto micros = parse_timestamp(spelling, text);
  if (!micros) return;
  const auto written = format_timestamp(spelling, *micros);
  if (written && parse_timestamp(spelling, *written) != micros) std::abort();
  if (spelling != Spelling::kIso) return;
  const auto alike = imitate_iso(text, *micros);
  if (alike && parse_timestamp(spelling, *alike) != micros) std::abort();
}

void date(std::string_view text) {
  const auto days = parse_date(text);
  if (!days) return;
  const auto written = format_date(*days);
  if (written && parse_date(*written) != days) std::abort();
}

}  // namespace
}  // namespace switchback

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace switchback;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const Spelling spelling : {Spelling::kSqlite, Spelling::kIsoMsZ, Spelling::kIso,
                                  Spelling::kTwitter, Spelling::kUnix, Spelling::kUnixMs}) {
    timestamp(spelling, text);
  }
  date(text);
  const auto seen = recognise_timestamp(text);
  if (seen && parse_timestamp(seen->spelling, text) != seen->micros) std::abort();
  return 0;
}
