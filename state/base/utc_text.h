// A moment as the files and logs we write spell it: ISO 8601 in UTC. Here because the standard
// library's and fmt's own ways cost a second of compiling in each source. Stateless.
#pragma once

#include <chrono>
#include <string>

namespace switchback {

/// "2026-01-31T12:00:00Z"; what is left of the second is cut off.
std::string utc_text(std::chrono::system_clock::time_point when);
/// "2026-01-31T12:00:00.123Z"
std::string utc_text_ms(std::chrono::system_clock::time_point when);

}  // namespace switchback
