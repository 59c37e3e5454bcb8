#include "state/base/utc_text.h"

#include <fmt/format.h>
#include <time.h>

#include <ctime>

namespace switchback {
namespace {

std::string without_zone(std::chrono::system_clock::time_point second) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(second);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

}  // namespace

std::string utc_text(std::chrono::system_clock::time_point when) {
  return without_zone(std::chrono::floor<std::chrono::seconds>(when)) + "Z";
}

std::string utc_text_ms(std::chrono::system_clock::time_point when) {
  const auto second = std::chrono::floor<std::chrono::seconds>(when);
  const auto rest = std::chrono::floor<std::chrono::milliseconds>(when - second);
  return fmt::format("{}.{:03}Z", without_zone(second), rest.count());
}

}  // namespace switchback
