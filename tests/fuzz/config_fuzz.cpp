// Any text is a configuration or an Error(kUsage) that says what is wrong with it.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "bridge/config.h"
#include "state/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace switchback;
  try {
    parse_config({reinterpret_cast<const char*>(data), size}, "/switchback.toml",
                 [](const char*) -> const char* { return nullptr; });
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kUsage) std::abort();
  }
  return 0;
}
