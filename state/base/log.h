// The program's log: lines on stderr, with their time and how bad it is. Library code returns or
// throws instead; the ones that log are those that go on after an error. In front of spdlog, whose
// headers cost more to compile than most of our sources. Thread-safe; setting it up is not.
#pragma once

#include <string_view>

namespace switchback {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

/// Once, before any thread is made: lines below `least` are dropped.
void set_up_log(LogLevel least);
/// From now on; a program that tells its story on stdout wants warnings only.
void set_log_level(LogLevel least);

void log_line(LogLevel level, std::string_view text);
inline void log_info(std::string_view text) {
  log_line(LogLevel::kInfo, text);
}
inline void log_warning(std::string_view text) {
  log_line(LogLevel::kWarning, text);
}
inline void log_error(std::string_view text) {
  log_line(LogLevel::kError, text);
}

}  // namespace switchback
