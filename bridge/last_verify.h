// What the last full comparison said and whether it still holds, as `status` shows it, metrics
// count it and the state directory keeps it from one sidecar to the next. Pure but for the file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "state/base/json_text.h"

namespace switchback {

struct VerifyStatus {
  std::string at;     // when it ended; UTC, ISO 8601
  std::string since;  // when it began: what it says holds from then on
  bool identical = false;
  std::uint64_t rows_differing = 0;
  bool clean = false;  // identical, and nothing has happened since that would not be noticed
  std::string why;     // it is not clean; empty if it is

  friend bool operator==(const VerifyStatus&, const VerifyStatus&) = default;
};

void write_verify(JsonWriter& json, const VerifyStatus& last);
/// Of write_verify()'s object; empty if it is something else.
std::optional<VerifyStatus> parse_verify(std::string_view json);

/// Empty if there is no such file, or it is of another version: then nothing is known.
std::optional<VerifyStatus> read_last_verify(const std::filesystem::path& file);
/// Durable. Throws Error(kDisk).
void write_last_verify(const std::filesystem::path& file, const VerifyStatus& last);

}  // namespace switchback
